"""Figures of forecasts draw the numbers they are given, and say what they cannot draw."""

import numpy as np
import pytest
import xarray as xr

from oceankit.forecast.verify import verify
from oceankit.products import plot_forecast, plot_reliability, plot_roc, plot_scoreboard

TIME = xr.date_range("2000-01-01", periods=80, freq="MS").values


@pytest.fixture(scope="module")
def truth() -> xr.DataArray:
    rng = np.random.default_rng(0)
    values = rng.normal(size=(80, 30)).cumsum(axis=0) * 0.2
    return xr.DataArray(values, dims=("time", "station"), coords={"time": TIME}, name="sst", attrs={"units": "degC"})


@pytest.fixture(scope="module")
def forecast(truth) -> xr.Dataset:
    mean = truth.isel(time=slice(0, 76)).rename(time="init_time").expand_dims(lead_time=[1, 2, 3])
    mean["lead_time"].attrs["units"] = "months"
    std = (xr.zeros_like(mean) + 0.2 * np.sqrt(mean["lead_time"])).assign_attrs(mean.attrs)
    return xr.Dataset({"mean": mean.assign_attrs(long_name="sea surface temperature"), "std": std})


@pytest.fixture(scope="module")
def scores(forecast, truth) -> xr.Dataset:
    return verify(forecast, truth, event=0.5, rate=0.3, n_boot=100)


def lines(ax, gid: str) -> list:
    return [line for line in ax.lines if line.get_gid() == gid]


def panel(ax, name: str):
    return next(a for a in ax.figure.axes if a.get_label() == name)


def bars(ax, gid: str) -> list:
    return [c for c in ax.collections if c.get_gid() == gid]


def test_the_reliability_of_one_lead(scores):
    one = scores.sel(lead_time=1)
    ax = plot_reliability(one)
    (curve,) = lines(ax, "curve")
    there = np.isfinite(one["reliability_frequency"].values)
    np.testing.assert_array_equal(curve.get_ydata(), one["reliability_frequency"].values[there])
    np.testing.assert_array_equal(curve.get_xdata(), one["reliability_probability"].values[there])
    (interval,) = bars(ax, "interval")
    first = interval.get_segments()[0]
    assert first[:, 1].tolist() == [
        one["reliability_frequency_low"].values[0],
        one["reliability_frequency_high"].values[0],
    ]
    assert bars(ax, "skill")
    assert any("ECE" in t.get_text() and f"{float(one['ece']):.3f}" in t.get_text() for t in ax.texts)
    (steps,) = [p for p in panel(ax, "sharpness").patches if p.get_gid() == "sharpness"]
    np.testing.assert_allclose(steps.get_data().values.sum(), 100)


def test_several_leads_or_models_are_named(scores):
    ax = plot_reliability(scores)
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["1 month", "2 months", "3 months"]
    ax = plot_roc({"ours": scores.sel(lead_time=1), "theirs": scores.sel(lead_time=3)})
    areas = [f"{name}: {float(scores['auc'].sel(lead_time=k)):.3f}" for name, k in (("ours", 1), ("theirs", 3))]
    assert [t.get_text() for t in ax.get_legend().get_texts()] == areas
    x, y = lines(ax, "curve")[0].get_data()
    assert (x[0], y[0], x[-1], y[-1]) == (0, 0, 1, 1)
    assert lines(ax, "decision")[0].get_ydata()[0] == scores["hit_rate"].values[0]


def test_the_scoreboard_shows_models_with_intervals(scores):
    both = xr.concat([scores, scores + 0.1], xr.DataArray(["our_model", "persistence"], dims="model", name="model"))
    for name in ("rmse", "rmse_low"):
        both[name].attrs = scores[name].attrs
    ax = plot_scoreboard(both, score="rmse", highlight="our_model")
    ours, theirs = lines(ax, "model")
    np.testing.assert_array_equal(ours.get_ydata(), scores["rmse"])
    np.testing.assert_allclose(theirs.get_ydata(), scores["rmse"] + 0.1)
    assert ours.get_linewidth() > theirs.get_linewidth()
    assert (np.abs(ours.get_xdata() - [1, 2, 3]) < 0.3).all()
    assert not np.array_equal(ours.get_xdata(), theirs.get_xdata())
    segments = bars(ax, "interval")[0].get_segments()
    np.testing.assert_array_equal([s[1, 1] for s in segments], scores["rmse_high"])
    assert ax.get_ylabel() == "RMSE (°C)"
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["our model", "persistence"]
    named = plot_scoreboard({"a": scores, "b": scores}, score="bss")
    assert len(lines(named, "model")) == 2


def test_the_plume_has_bands_truth_and_threshold(forecast, truth):
    one = forecast.isel(init_time=40, station=3)
    ax = plot_forecast(one, truth=truth.isel(station=3), threshold=0.5, title="Station 3")
    (line,) = lines(ax, "forecast")
    np.testing.assert_array_equal(line.get_ydata(), one["mean"])
    (wide,), (narrow,) = bars(ax, "band90"), bars(ax, "band50")
    for band, factor in ((wide, 1.6449), (narrow, 0.6745)):
        y = band.get_paths()[0].vertices[:, 1]
        assert y.max() == pytest.approx((one["mean"] + factor * one["std"]).max().item(), abs=1e-3)
    (dots,) = lines(ax, "truth")
    assert dots.get_ydata()[-1] == truth.values[43, 3]
    assert len(dots.get_ydata()) > 3
    assert (lines(ax, "threshold")[0].get_ydata() == 0.5).all()
    assert "Station 3" in ax.get_title(loc="left")
    assert ax.get_ylabel() == "Sea surface temperature (°C)"


def test_an_ensemble_and_its_probabilities(forecast):
    rng = np.random.default_rng(1)
    members = forecast["mean"].isel(init_time=0, station=0) + xr.DataArray(
        rng.normal(size=(3, 50)), dims=("lead_time", "member")
    )
    chances = xr.DataArray([0.1, 0.4, 0.8], dims="lead_time")
    ax = plot_forecast(xr.Dataset({"sst": members, "p_event": chances}))
    y = bars(ax, "band90")[0].get_paths()[0].vertices[:, 1]
    assert y.max() == pytest.approx(members.quantile(0.95, "member").max().item())
    assert [b.get_height() for b in panel(ax, "probability").patches] == [10, 40, 80]


def test_own_axes_are_drawn_on(scores, forecast):
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(2, 2)
    assert plot_reliability(scores.sel(lead_time=1), ax=axes[0, 0]) is axes[0, 0]
    assert plot_roc(scores.sel(lead_time=1), ax=axes[0, 1]) is axes[0, 1]
    assert plot_scoreboard(scores, ax=axes[1, 0]) is axes[1, 0]
    assert plot_forecast(forecast.isel(init_time=1, station=2), ax=axes[1, 1]) is axes[1, 1]
    figure.canvas.draw()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda s, f: plot_reliability(s[["rmse", "n"]]), "'reliability_frequency' is missing"),
        (lambda s, f: plot_reliability(s.expand_dims(region=2)), "select, for example"),
        (lambda s, f: plot_roc({str(k): s for k in range(3)}), "would draw 9 curves"),
        (lambda s, f: plot_scoreboard(s, score="skill"), "have no 'skill'"),
        (lambda s, f: plot_scoreboard(s.expand_dims(region=2)), "the lead alone"),
        (lambda s, f: plot_scoreboard(s, highlight="ours"), "highlight='ours'"),
        (lambda s, f: plot_forecast(f), "one start and one cell"),
        (lambda s, f: plot_forecast(f["mean"].isel(init_time=0, station=0).rename("p_event")), "p_event alone"),
    ],
)
def test_what_cannot_be_drawn_is_refused(scores, forecast, call, message):
    with pytest.raises(ValueError, match=message):
        call(scores, forecast)


def test_other_units_are_refused(forecast, truth):
    kelvin = (truth.isel(station=3) + 273.15).assign_attrs(units="K")
    with pytest.raises(ValueError, match="'K', but the forecast in 'degC'"):
        plot_forecast(forecast.isel(init_time=40, station=3), truth=kelvin)
