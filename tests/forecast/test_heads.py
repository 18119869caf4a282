import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy.stats import norm

from oceankit import climatology
from oceankit.forecast import heads


def forecasts(values, spread=0.5, first="2010-01-01", leads=(1, 2)):
    """Daily forecasts whose mean is what comes, plus an error of the stated spread."""
    time = pd.date_range(first, periods=len(values), freq="D")
    truth = xr.DataArray(values, dims="time", coords={"time": time}, attrs={"units": "m"})
    rng = np.random.default_rng(3)
    starts = np.arange(len(values) - max(leads))
    mean = np.stack([values[starts + k] + spread * rng.standard_normal(len(starts)) for k in leads], axis=1)
    valid = np.stack([time[starts + k] for k in leads], axis=1)
    out = xr.Dataset(
        {
            "mean": (("init_time", "lead_time"), mean, {"units": "m"}),
            "std": (("init_time", "lead_time"), np.full_like(mean, spread)),
        },
        coords={"init_time": time[starts], "lead_time": list(leads), "valid_time": (("init_time", "lead_time"), valid)},
    )
    return out, truth


def test_probability_of_a_level_is_that_of_the_normal_distribution():
    forecast, _ = forecasts(np.linspace(0, 3, 50))
    p = heads.probabilities(forecast, {"low": 1.0, "high": 2.0})
    np.testing.assert_allclose(p.sel(level="high"), norm.sf(2.0, forecast["mean"], forecast["std"]), atol=1e-12)
    assert (p.sel(level="low") >= p.sel(level="high")).all()


def test_probability_of_an_ensemble_tends_to_that_of_its_distribution():
    members = xr.DataArray(np.random.default_rng(0).normal(1.0, 0.5, (4000, 3)), dims=("member", "lead_time"))
    p = heads.probabilities(members, {"level": 1.5})
    np.testing.assert_allclose(p.sel(level="level"), norm.sf(1.0), atol=0.02)


def test_calibration_mends_a_spread_that_is_too_narrow():
    forecast, truth = forecasts(np.random.default_rng(1).gamma(2.0, 1.0, 4000), spread=1.0)
    narrow = forecast.assign(std=forecast["std"] / 2)
    fit = heads.calibrate(narrow.isel(init_time=slice(0, 2000)), truth, {"high": 3.0})
    assert (fit["slope"] < 0.9).all()
    assert (fit["shift"] == 0).all()
    late = narrow.isel(init_time=slice(2000, None))
    happened = (truth.sel(time=late["valid_time"]) > 3.0).values
    brier = [
        float(((heads.probabilities(late, {"high": 3.0}, calibration=c)[0].values - happened) ** 2).mean())
        for c in (None, fit)
    ]
    assert brier[1] < brier[0]


def test_calibration_leaves_an_honest_forecast_alone_and_counts_events():
    values = np.random.default_rng(2).standard_normal(3000)
    forecast, truth = forecasts(values, spread=1.0)
    # The best forecast of a standard normal value seen with an error of the same size.
    honest = forecast.assign(mean=forecast["mean"] / 2, std=forecast["std"] * 0 + np.sqrt(0.5))
    fit = heads.calibrate(honest, truth, {"high": 1.0})
    np.testing.assert_allclose(fit["slope"], 1.0, atol=0.15)
    happened = (truth.sel(time=honest["valid_time"]) > 1.0).sum("init_time")
    np.testing.assert_array_equal(fit["events"].sel(level="high"), happened)


@pytest.mark.parametrize("by", ["dayofyear", "month"])
def test_heatwave_categories_are_multiples_of_the_threshold_above_the_mean(by):
    time = pd.date_range("1990-01-01", "2009-12-31", freq="D")
    season = np.cos(2 * np.pi * (time.day_of_year - 30) / 365.25)
    sst = xr.DataArray(
        15 + 4 * season + np.random.default_rng(5).standard_normal(len(time)),
        dims="time", coords={"time": time}, name="sst", attrs={"units": "degC"},
    )  # fmt: skip
    clim = climatology(sst, period=("1990-01-01", "2009-12-31"), by=by)
    valid = pd.DatetimeIndex(["2011-02-28", "2011-03-01", "2012-02-29", "2012-12-31"])
    forecast = xr.Dataset({"mean": ("lead_time", np.zeros(4)), "std": ("lead_time", np.full(4, 0.1))})
    forecast = forecast.assign_coords(lead_time=[1, 2, 3, 4], valid_time=("lead_time", valid))
    levels = heads.marine_heatwave_levels(forecast, clim)
    place = [59, 61, 60, 366] if by == "dayofyear" else [2, 3, 2, 12]
    mean, threshold = (clim[n].sel({by: place}).values for n in ("mean", "threshold"))
    for k, level in enumerate(levels.values(), start=1):
        np.testing.assert_allclose(level, mean + k * (threshold - mean))
    hot = forecast.assign(mean=("lead_time", mean + 2.5 * (threshold - mean)))
    out = heads.marine_heatwave(hot, clim)
    np.testing.assert_array_equal(out["category"], 2)
    assert out["probability"].sel(level="extreme").max() < 0.01


def test_surge_is_added_to_the_tide_in_one_datum_only():
    forecast, _ = forecasts(np.zeros(10), spread=0.2)
    time = pd.date_range("2010-01-01", periods=12, freq="D")
    tide = xr.DataArray(
        np.linspace(1, 2, 12), dims="time", coords={"time": time}, attrs={"vertical_datum": "gauge zero"}
    )
    out = heads.storm_surge(forecast, tide, {"blue": 1.5, "red": 2.5}, datum="gauge zero")
    expected = forecast["mean"] + tide.sel(time=forecast["valid_time"]).values
    np.testing.assert_allclose(out["mean"], expected)
    np.testing.assert_allclose(out["probability"].sel(level="blue"), norm.sf(1.5, expected, 0.2), atol=1e-12)
    assert out["mean"].attrs["vertical_datum"] == "gauge zero"
    with pytest.raises(ValueError, match="'gauge zero'.*'mean sea level'"):
        heads.storm_surge(forecast, tide, {"blue": 1.5}, datum="mean sea level")
    del tide.attrs["vertical_datum"]
    with pytest.raises(ValueError, match="refers to None"):
        heads.storm_surge(forecast, tide, {"blue": 1.5}, datum="gauge zero")
    tide.attrs["vertical_datum"] = "gauge zero"
    with pytest.raises(ValueError, match="tide has no value at 2010-01-0"):
        heads.storm_surge(forecast, tide.isel(time=slice(0, 4)), {"blue": 1.5}, datum="gauge zero")


def test_bad_input_is_refused_by_name():
    forecast, truth = forecasts(np.zeros(10))
    with pytest.raises(ValueError, match="levels is empty"):
        heads.probabilities(forecast, {})
    with pytest.raises(ValueError, match=r"lacks \['std'\]"):
        heads.probabilities(forecast[["mean"]], {"high": 1.0})
    with pytest.raises(ValueError, match="without members"):
        heads.probabilities(forecast["mean"], {"high": 1.0})
    with pytest.raises(ValueError, match="'cm'; convert"):
        heads.high_waves(forecast.assign(mean=forecast["mean"].assign_attrs(units="cm")))
    with pytest.raises(ValueError, match="truth has none of the times"):
        heads.calibrate(forecast, truth.assign_coords(time=truth["time"] + np.timedelta64(4000, "D")), {"high": 1.0})
    fit = heads.calibrate(forecast, truth, {"high": 1.0})
    with pytest.raises(ValueError, match="no level 'higher'; it has"):
        heads.probabilities(forecast, {"higher": 2.0}, calibration=fit)
    with pytest.raises(ValueError, match="no 'threshold'"):
        heads.marine_heatwave_levels(forecast, xr.Dataset({"mean": ("month", np.zeros(12))}))


def test_missing_values_stay_missing():
    forecast, _ = forecasts(np.zeros(10))
    forecast["mean"][2, 0] = np.nan
    p = heads.high_waves(forecast)
    assert p.isel(init_time=2, lead_time=0).isnull().all()
    assert p.isel(init_time=2, lead_time=1).notnull().all()
    assert list(p["level"].values) == ["2.5 m", "4 m", "6 m"]
