"""verify pairs the right dates, refuses what cannot be compared, and gives a published table of scores."""

import csv
import time as clock

import numpy as np
import pytest
import xarray as xr

from oceankit.forecast.verify import verify
from oceankit.observations import table


def months(first: str, n: int) -> np.ndarray:
    return xr.date_range(first, periods=n, freq="MS").values


@pytest.fixture
def truth() -> xr.DataArray:
    """Five years of months on a small grid with one cell of land."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=(60, 4, 5)).cumsum(axis=0) * 0.3 + 15
    values[:, 0, 0] = np.nan
    return xr.DataArray(
        values,
        dims=("time", "lat", "lon"),
        coords={
            "time": months("2000-01-01", 60),
            "lat": ("lat", [-40.0, -20, 0, 20], {"units": "degrees_north"}),
            "lon": ("lon", [150.0, 152, 154, 156, 158], {"units": "degrees_east"}),
        },
        name="sst",
        attrs={"units": "degC"},
    )


@pytest.fixture
def forecast(truth) -> xr.Dataset:
    """Persistence for 1, 2 and 4 months from 40 starts, with a spread."""
    start = truth.isel(time=slice(5, 45)).rename(time="init_time")
    mean = start.expand_dims(lead_time=[1, 2, 4]).transpose("init_time", "lead_time", ...)
    mean["lead_time"].attrs["units"] = "months"
    std = xr.zeros_like(mean) + 0.3 * np.sqrt(mean["lead_time"])
    return xr.Dataset({"mean": mean, "std": std.assign_attrs(units="degC")})


def target(truth: xr.DataArray, lead: int) -> np.ndarray:
    return truth.values[5 + lead : 45 + lead]


# ---- pairs ------------------------------------------------------------------------------------------------------------


def test_each_lead_meets_the_truth_of_its_own_date(truth, forecast):
    found = verify(forecast, truth, intervals=None)
    weights = np.cos(np.radians(truth.lat.values))[:, None] * np.ones(5)
    for k, lead in enumerate([1, 2, 4]):
        error = forecast["mean"].values[:, k] - target(truth, lead)
        square = np.nansum(error**2 * weights) / (np.isfinite(error) * weights).sum()
        assert found["rmse"].values[k] == pytest.approx(np.sqrt(square))
        assert found["n"].values[k] == 40 * 19
    assert found["rmse"].attrs["units"] == "degC"
    assert found.attrs["weights"] == "area"
    assert not found["n_missing_truth"].any()
    assert not found["n_missing_forecast"].any()
    assert "rmse_low" not in found


def test_ways_to_say_when_a_forecast_is_valid_agree(truth, forecast):
    wanted = verify(forecast, truth, intervals=None)["rmse"].values
    dates = np.stack([truth.time.values[5 + lead : 45 + lead] for lead in (1, 2, 4)], axis=1)
    said = forecast.assign_coords(valid_time=(("init_time", "lead_time"), dates))
    said["lead_time"].attrs.clear()
    np.testing.assert_array_equal(verify(said, truth, intervals=None)["rmse"], wanted)
    # Daily leads as timedelta64.
    days = truth.assign_coords(time=np.datetime64("2000-01-01", "ns") + np.arange(60) * np.timedelta64(1, "D"))
    daily = forecast.assign_coords(
        init_time=days.time.values[5:45], lead_time=np.array([1, 2, 4]) * np.timedelta64(86400 * 10**9, "ns")
    )
    np.testing.assert_array_equal(verify(daily, days, intervals=None)["rmse"], wanted)
    daily = daily.assign_coords(lead_time=("lead_time", [24, 48, 96], {"units": "hours"}))
    np.testing.assert_array_equal(verify(daily, days, intervals=None)["rmse"], wanted)
    # A calendar of its own.
    other = xr.date_range("2000-01-01", periods=60, freq="MS", calendar="noleap", use_cftime=True)
    found = verify(forecast.assign_coords(init_time=other[5:45]), truth.assign_coords(time=other), intervals=None)
    np.testing.assert_allclose(found["rmse"], wanted)


def test_one_start_without_a_dimension_has_scores_and_no_interval(truth, forecast):
    found = verify(forecast.isel(init_time=3), truth, weights=1)
    error = forecast["mean"].values[3, 0] - truth.values[9]
    assert found["n"].values.tolist() == [19, 19, 19]
    assert found["mae"].values[0] == pytest.approx(np.nanmean(np.abs(error)))
    assert np.isnan(found["rmse_low"]).all()
    assert "too few" in found.attrs["interval"]


def test_order_and_layout_of_the_truth_do_not_matter(truth, forecast):
    wanted = verify(forecast, truth, intervals=None)
    turned = truth.isel(lat=slice(None, None, -1), time=slice(None, None, -1)).transpose("lon", "time", "lat")
    turned = turned.assign_coords(lon=turned.lon - 360)
    xr.testing.assert_allclose(verify(forecast, turned, intervals=None).drop_attrs(), wanted.drop_attrs())


def test_lazy_input_gives_the_same_scores(truth, forecast):
    wanted = verify(forecast, truth, event=15.5, n_boot=50)
    lazy = verify(forecast.chunk(init_time=7), truth.chunk(time=11), event=15.5, n_boot=50)
    xr.testing.assert_identical(lazy, wanted)


def test_a_few_starts_at_a_time_give_the_same_sums(truth, forecast, monkeypatch):
    wanted = verify(forecast, truth, event=15.5, n_boot=50)
    monkeypatch.setattr("oceankit.forecast._pairing._SLAB", 2000)
    xr.testing.assert_allclose(verify(forecast, truth, event=15.5, n_boot=50), wanted)


def test_missing_truth_is_dropped_and_counted(truth, forecast):
    short = truth.isel(time=slice(0, 45)).copy(deep=True)
    short[20, 1, 1] = np.nan
    found = verify(forecast, short, intervals=None)
    assert found["n"].values.tolist() == [39 * 19 - 1, 38 * 19 - 1, 36 * 19 - 1]
    assert found["n_missing_truth"].values.tolist() == [20, 39, 77]
    holes = forecast.copy(deep=True)
    holes["std"][4, 1, 2, 2] = np.nan
    assert verify(holes, truth, intervals=None)["n_missing_forecast"].values.tolist() == [0, 1, 0]


def test_a_gap_in_the_truth_is_missing_and_not_bridged(truth, forecast):
    gap = truth.drop_sel(time="2001-03-01")
    found = verify(forecast, gap, intervals=None)
    assert found["n_missing_truth"].values.tolist() == [19, 19, 19]


# ---- refusals ---------------------------------------------------------------------------------------------------------


def test_dates_that_lie_beside_those_of_the_truth_are_refused(truth, forecast):
    middle = truth.assign_coords(time=truth.time.values + np.timedelta64(14, "D"))
    with pytest.raises(ValueError, match=r"valid at 2000-07-01, and the truth has no such time .* so that dates agree"):
        verify(forecast, middle)
    with pytest.raises(ValueError, match="no such time"):
        verify(forecast, truth.assign_coords(time=months("1990-01-01", 60)))
    with pytest.raises(ValueError, match="a time twice, 2000-01-01"):
        verify(forecast, xr.concat([truth, truth[:1]], "time"))


def test_other_units_are_refused(truth, forecast):
    with pytest.raises(ValueError, match=r"'degC' and 'sst' in 'K'; convert one"):
        verify(forecast, (truth + 273.15).assign_attrs(units="K"))
    with pytest.raises(ValueError, match=r"in 'degC' and .* in 'K'"):
        verify(forecast, truth, event=xr.full_like(truth[0], 290.0, dtype=float).assign_attrs(units="K"))


def test_another_grid_is_refused_with_the_remedy(truth, forecast):
    for other in (truth.isel(lon=slice(1, None)), truth.assign_coords(lat=truth.lat + 0.5), truth.rename(lat="y")):
        with pytest.raises(ValueError, match="regrid"):
            verify(forecast, other)
    with pytest.raises(ValueError, match="regrid"):
        verify(forecast, truth, climatology=truth.mean("time").isel(lat=slice(2)))


def test_a_forecast_that_does_not_say_when_it_is_valid_is_refused(truth, forecast):
    without = forecast.copy()
    without["lead_time"].attrs.clear()
    with pytest.raises(ValueError, match="units None; give timedelta64"):
        verify(without, truth)
    with pytest.raises(ValueError, match="neither valid_time|nobody knows"):
        verify(forecast.isel(init_time=0, drop=True), truth)
    with pytest.raises(ValueError, match="no coordinate 'lead_time'"):
        verify(forecast["mean"].isel(lead_time=0, drop=True), truth)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"event": 15.0, "side": "over"}, "side='over'"),
        ({"event": 15.0, "decision": 0.0}, "decision=0.0"),
        ({"event": 15.0, "rate": 10}, "rate=10"),
        ({"by": "basin"}, "by='basin' is neither"),
        ({"by": {"region": {"empty": (0, 10, 0, 10)}}}, "'empty' holds no cell"),
        ({"by": {"region": {"odd": (0, 10)}}}, "west, east, south, north"),
        ({"by": {"lat": [10, 0]}}, "edges of bins"),
        ({"intervals": 95}, "intervals=95"),
        ({"tolerance": "3h"}, "tolerance= is for observations"),
        ({"reference": "persistence"}, "reference is an xarray"),
    ],
)
def test_options_that_make_no_sense_are_refused(truth, forecast, change, message):
    with pytest.raises(ValueError, match=message):
        verify(forecast, truth, **change)


def test_impossible_forecasts_are_refused(truth, forecast):
    with pytest.raises(ValueError, match="std of -0.3"):
        verify(forecast.assign(std=forecast["std"] * 0 - 0.3), truth)
    percent = xr.zeros_like(forecast["mean"]) + 37.0
    with pytest.raises(ValueError, match="p_event of the forecast is 37"):
        verify(forecast.assign(p_event=percent), truth, event=15.0)
    with pytest.raises(ValueError, match="the truth holds"):
        verify((percent / 100).rename("p_event"), truth)
    with pytest.raises(ValueError, match="has no 'p_event'"):
        verify(forecast, truth, event=truth > 15)
    with pytest.raises(ValueError, match="select the common ones"):
        verify(forecast, truth, reference=forecast.isel(init_time=slice(1, None)))
    with pytest.raises(ValueError, match=r"give one of them"):
        verify(forecast.rename(mean="sst"), truth)


# ---- kinds of forecasts -----------------------------------------------------------------------------------------------


def test_an_ensemble_is_scored_by_its_members(truth, forecast):
    scoringrules = pytest.importorskip("scoringrules", reason="needs scoringrules")
    rng = np.random.default_rng(3)
    members = forecast["mean"] + xr.DataArray(rng.normal(size=(8, 40, 3)), dims=("member", "init_time", "lead_time"))
    found = verify(members.rename("sst"), truth, event=15.5, intervals=None, weights=1)
    there = np.isfinite(target(truth, 2))
    values = members.transpose("init_time", "lead_time", "lat", "lon", "member").values[:, 1]
    theirs = scoringrules.crps_ensemble(target(truth, 2)[there], values[there], estimator="fair")
    assert found["crps"].values[1] == pytest.approx(theirs.mean())
    spread = np.sqrt(values[there].var(axis=-1, ddof=1).mean())
    assert found["spread"].values[1] == pytest.approx(spread)
    assert found["spread_skill"].values[1] == pytest.approx(np.sqrt(9 / 8) * spread / found["rmse"].values[1])
    p = (values[there] > 15.5).mean(axis=-1)
    assert found["brier"].values[1] == pytest.approx(((p - (target(truth, 2)[there] > 15.5)) ** 2).mean())


def test_a_numerical_model_is_scored_as_it_is(truth, forecast):
    found = verify(forecast["mean"].rename("thetao"), truth, event=15.5, climatology=truth.mean("time"), intervals=None)
    np.testing.assert_allclose(found["crps"], found["mae"])
    assert "spread" not in found
    assert (found["frequency_bias"] > 0).all()
    assert found["acc"].values[0] > found["acc"].values[2]


def test_a_probability_alone_against_yes_and_no(truth, forecast):
    whole = verify(forecast, truth, event=15.5, n_boot=50)
    std, mean = forecast["std"], forecast["mean"]
    p = xr.apply_ufunc(lambda z: 0.5 * (1 + np.vectorize(__import__("math").erf)(z)), (mean - 15.5) / std / np.sqrt(2))
    happened = (truth > 15.5).astype(float).where(truth.notnull())
    alone = verify(p.rename("p_event"), happened, n_boot=50)
    assert "rmse" not in alone
    for name in ("brier", "ece", "auc", "base_rate", "brier_low", "bss_vs_observed_rate_high"):
        np.testing.assert_allclose(alone[name], whole[name], atol=1e-9)


def test_events_below_are_events_above_turned_over(truth, forecast):
    below = verify(forecast, truth, event=15.0, side="below", intervals=None)
    mirror = xr.Dataset({"mean": -forecast["mean"], "std": forecast["std"]})
    above = verify(mirror, -truth, event=-15.0, intervals=None)
    for name in ("brier", "auc", "ets", "ece", "base_rate"):
        np.testing.assert_allclose(below[name], above[name])


def test_a_forecast_gains_nothing_on_itself_and_less_spread_on_the_truth(truth, forecast):
    found = verify(forecast, truth, event=15.5, reference=forecast, n_boot=100)
    for name in ("rmse_gain", "crps_gain", "brier_gain", "bss_vs_reference"):
        np.testing.assert_allclose(found[name], 0, atol=1e-12)
        np.testing.assert_allclose(found[f"{name}_low"], 0, atol=1e-12)
    worse = forecast.assign(mean=forecast["mean"] + 0.5)
    found = verify(forecast, truth, reference=worse, n_boot=200)
    assert (found["crps_gain_low"] > 0).all()
    # Paired: far narrower than the intervals of the two scores.
    width = found["rmse_gain_high"] - found["rmse_gain_low"]
    assert (found["rmse"] + found["rmse_gain"] > found["rmse"]).all()
    assert np.isfinite(width).all()


# ---- groups -----------------------------------------------------------------------------------------------------------


def test_regions_seasons_and_bins(truth, forecast):
    boxes = {
        "north": (149, 159, -1, 30),
        "all": (0, 360, -90, 90),
        "shape": [(149, -45), (153, -45), (153, -15), (149, -15)],
    }
    found = verify(forecast, truth, by={"lead_time": None, "region": boxes}, n_boot=50)
    assert found["n"].dims == ("lead_time", "region")
    assert found["n"].sel(region="north").values.tolist() == [40 * 10] * 3
    assert found["n"].sel(region="shape").values.tolist() == [40 * 3] * 3
    alone = verify(forecast.sel(lat=slice(-1, 30)), truth.sel(lat=slice(-1, 30)), n_boot=50)
    np.testing.assert_allclose(found["rmse"].sel(region="north"), alone["rmse"])
    np.testing.assert_allclose(found["crps_low"].sel(region="north"), alone["crps_low"])
    np.testing.assert_allclose(found["rmse"].sel(region="all"), verify(forecast, truth, intervals=None)["rmse"])
    seasons = verify(forecast, truth, by=("season", "lead_time"), intervals=None)
    assert seasons["n"].sum("season").values.tolist() == [40 * 19] * 3
    june = target(truth, 1)[np.isin((np.arange(40) + 5 + 1) % 12 + 1, (6, 7, 8))]
    assert seasons["n"].sel(season="JJA", lead_time=1) == len(june) * 19
    bands = verify(forecast, truth, by={"lat": [-90, -10, 90]}, intervals=None)
    assert bands["n"].values.tolist() == [40 * 3 * 9, 40 * 3 * 10]
    assert bands["lat_bounds"].values.tolist() == [[-90, -10], [-10, 90]]
    labels = xr.where(truth.lon > 153, "east", "west").expand_dims(lat=4).assign_coords(lat=truth.lat)
    named = verify(forecast, truth, by={"side": labels}, intervals=None)
    assert named["side"].values.tolist() == ["east", "west"]


def test_depths_are_levels_or_bins(truth, forecast):
    depth = xr.DataArray([5.0, 50, 300], dims="depth", attrs={"units": "m", "positive": "down"})
    deep = forecast["mean"].expand_dims(depth=depth) + xr.DataArray([0.0, 0.5, 1.0], dims="depth")
    below = truth.expand_dims(depth=depth)
    levels = verify(deep, below, by=("depth", "lead_time"), intervals=None)
    assert levels["bias"].sel(lead_time=1).diff("depth").values == pytest.approx([0.5, 0.5])
    bins = verify(deep, below, by={"depth": [0, 100, 1000]}, intervals=None)
    assert bins["n"].values.tolist() == [2 * 3 * 40 * 19, 3 * 40 * 19]


def test_the_correlation_of_a_box_is_that_of_its_means(truth, forecast):
    found = verify(forecast, truth, by={"lead_time": None, "region": {"box": (151, 157, -25, 5)}}, intervals=None)
    weights = np.cos(np.radians(truth.lat)).isel(lat=slice(1, 3))
    box = {"lat": slice(1, 3), "lon": slice(1, 4)}
    ours = forecast["mean"].isel(lead_time=0).isel(box).weighted(weights).mean(("lat", "lon"))
    theirs = truth.isel(box).weighted(weights).mean(("lat", "lon")).values[6:46]
    assert found["index_corr"].values[0, 0] == pytest.approx(np.corrcoef(ours, theirs)[0, 1])


# ---- observations -----------------------------------------------------------------------------------------------------


@pytest.fixture
def daily(truth) -> xr.DataArray:
    """A field that is linear in space and known: 2 lead + 0.1 lon + 0.2 lat, from 20 starts, leads 1 to 3 days."""
    init = np.datetime64("2010-01-01", "ns") + np.arange(20) * np.timedelta64(1, "D")
    values = 2.0 * np.array([1, 2, 3.0])[:, None, None] + 0.2 * truth.lat.values[:, None] + 0.1 * truth.lon.values
    return xr.DataArray(
        np.broadcast_to(values, (20, *values.shape)),
        dims=("init_time", "lead_time", "lat", "lon"),
        coords={
            "init_time": init,
            "lead_time": ("lead_time", [1, 2, 3], {"units": "days"}),
            "lat": truth.lat,
            "lon": truth.lon,
        },
        name="sst",
        attrs={"units": "degC"},
    )


def test_observations_meet_the_nearest_valid_time_of_each_start(daily):
    rng = np.random.default_rng(0)
    lon, lat = rng.uniform(150, 158, 200), rng.uniform(-40, 20, 200)
    when = np.datetime64("2010-01-08", "ns") + (rng.uniform(-10, 10, 200) * 3600e9).astype("timedelta64[ns]")
    value = 0.2 * lat + 0.1 * lon
    obs = table(value=value, error_std=0.1, lon=lon, lat=lat, time=when, units="degC")
    found = verify(daily, obs, intervals=None)
    # All of them within half a day of the 8th: once for each lead, from the 7th, the 6th and the 5th.
    assert found["n"].values.tolist() == [200] * 3
    assert found["bias"].values == pytest.approx([2, 4, 6], abs=1e-6)
    narrow = verify(daily, obs, tolerance="3h", intervals=None)
    near = (np.abs(when - np.datetime64("2010-01-08", "ns")) <= np.timedelta64(3, "h")).sum()
    assert narrow["n"].values.tolist() == [near] * 3


def test_columns_flags_and_places_outside(daily):
    obs = table(
        value=[1.0, 1, 1, 1], error_std=0.1, lon=[151, 152, 153, 10], lat=[0.0, 0, 0, 0], time=np.datetime64("2010-01-08T01"),
        flag=[1, 4, 2, 1], platform=["a", "a", "b", "b"], units="degC",
    )  # fmt: skip
    found = verify(daily, obs, by=("platform", "lead_time"), intervals=None)
    assert found["n"].values.tolist() == [[1, 1, 1], [1, 1, 1]]
    assert found["n_missing_forecast"].values.tolist() == [[0] * 3, [1] * 3]
    assert found.attrs["flagged_observations_left_out"] == 1
    region = verify(daily, obs, by={"region": {"west": (150, 151.5, -5, 5)}}, intervals=None)
    assert region["n"].values.tolist() == [3]
    with pytest.raises(ValueError, match="'K' and .*'degC'"):
        verify(daily, table(value=[280.0], error_std=1, lon=[151], lat=[0], time=["2010-01-08"], units="K"))
    with pytest.raises(ValueError, match="no time"):
        verify(daily, table(value=[1.0], error_std=1, lon=[151], lat=[0]))
    with pytest.raises(ValueError, match="no pair"):
        verify(daily, table(value=[1.0], error_std=1, lon=[151], lat=[0], time=["2020-01-08"]))


def test_profiles_are_interpolated_in_depth_and_scored_by_depth(daily):
    depth = xr.DataArray([0.0, 100, 200], dims="depth", attrs={"units": "m", "positive": "down"})
    deep = daily.expand_dims(depth=depth) - 0.01 * depth
    n = 30
    levels = np.tile([25.0, 75, 150], n // 3)
    obs = table(
        value=0.1 * 154 - 0.01 * levels, error_std=0.1, lon=np.full(n, 154.0), lat=np.zeros(n), depth=levels,
        time=np.datetime64("2010-01-10"), units="degC",
    )  # fmt: skip
    found = verify(deep, obs, by={"depth": [0, 100, 200], "lead_time": None}, intervals=None)
    assert found["n"].values.tolist() == [[20] * 3, [10] * 3]
    np.testing.assert_allclose(found["bias"], [[2, 4, 6]] * 2, atol=1e-6)


def test_events_and_climatology_at_observations(daily):
    lon = np.linspace(150, 158, 50)
    obs = table(
        value=0.1 * lon + 2, error_std=0.1, lon=lon, lat=np.zeros(50), time=np.datetime64("2010-01-10"), units="degC"
    )
    normal = xr.DataArray(
        np.arange(12.0)[:, None, None] + 0 * daily[0, 0].drop_vars("init_time").values,
        dims=("month", "lat", "lon"),
        coords={"month": np.arange(1, 13), "lat": daily.lat, "lon": daily.lon},
    )
    found = verify(daily, obs, event=17.5, climatology=normal, intervals=None)
    assert found["hit_rate"].values[0] == 1
    assert found["false_alarm_rate"].values.tolist()[0] == 0
    assert np.isfinite(found["acc"]).all()


# ---- somebody else's truth --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def kaplan(shared) -> dict:
    """Damped persistence of Kaplan SST anomalies fitted on 1900-1999, as in the reference table."""
    path = shared / "data" / "forecast" / "kaplan_sst_anom_tropPac_5deg_1856_2014.nc"
    if not path.exists():
        pytest.skip("no Kaplan SST among the reference data")
    with xr.open_dataset(path) as ds:
        field = ds["sst_anom"].astype(np.float64).load()
    normal = field.sel(time=slice("1970", "1999")).groupby("time.month").mean()
    anomaly = (field.groupby("time.month") - normal).drop_vars("month")
    train, recent = anomaly.sel(time=slice("1900", "1999")), anomaly.sel(time=slice("1970", "1999"))
    near = [np.isin(recent.time.dt.month, [(m - 2) % 12 + 1, m, m % 12 + 1]) for m in range(1, 13)]
    limit = xr.concat([recent[k].quantile(0.9, "time", skipna=False) for k in near], "month")
    limit = limit.assign_coords(month=np.arange(1, 13)).drop_vars("quantile")
    leads = np.arange(1, 13)
    start = anomaly.sel(time=slice("2000-12", "2013-10")).rename(time="init_time")
    fits = [damped(train.values, lead) for lead in leads]
    place = {"dims": ("lead_time", "lat", "lon"), "coords": {"lead_time": ("lead_time", leads, {"units": "months"})}}
    factor, std = (xr.DataArray(np.stack([f[k] for f in fits]), **place) for k in range(2))
    forecast = xr.Dataset({"mean": start * factor, "std": std + 0 * start})
    with open(shared / "reference" / "forecast" / "kaplan_scores.csv") as file:
        rows = [r for r in csv.DictReader(file) if r["model"] == "damped_persistence"]
    return {"forecast": forecast, "truth": anomaly, "event": limit, "table": rows}


def damped(train: np.ndarray, lead: int) -> tuple[np.ndarray, np.ndarray]:
    """Regression of each cell on itself, not below zero, and its error of three folds that it was not fitted on."""

    def slope(rows: np.ndarray) -> np.ndarray:
        x, y = train[:-lead][rows], train[lead:][rows]
        with np.errstate(invalid="ignore"):
            return np.clip((x * y).sum(axis=0) / (x * x).sum(axis=0), 0, None)

    fold = np.arange(len(train)) * 3 // len(train)
    error = np.empty_like(train[lead:])
    for k in range(3):
        out, kept = fold[lead:] == k, (fold[:-lead] != k) & (fold[lead:] != k)
        error[out] = train[lead:][out] - slope(kept) * train[:-lead][out]
    return slope(np.ones(len(error), bool)), np.sqrt((error**2).mean(axis=0))


def test_a_published_table_of_scores(kaplan):
    """Twelve leads of nine scores of the Kaplan benchmark, made elsewhere with other code."""
    by = {"lead_time": None, "region": {"all": (0, 360, -90, 90), "nino34": (190, 240, -5, 5)}}
    found = verify(
        kaplan["forecast"], kaplan["truth"], by=by, event=kaplan["event"], rate=0.1, decision="unbiased", intervals=None
    )
    near = {"rmse": 1.5e-4, "crps": 1.5e-4, "bss_vs_10pct": 7e-4, "bss_vs_obs_rate": 7e-4, "base_rate": 1.5e-4,
            "ece": 8e-4, "sedi": 3e-3, "nino34_corr": 1.5e-4}  # fmt: skip
    ours = {"bss_vs_10pct": "bss", "bss_vs_obs_rate": "bss_vs_observed_rate", "nino34_corr": "index_corr"}
    for row in kaplan["table"]:
        for name, tolerance in near.items():
            region = "nino34" if name == "nino34_corr" else "all"
            value = found[ours.get(name, name)].sel(lead_time=int(row["lead"]), region=region).item()
            assert value == pytest.approx(float(row[name]), abs=tolerance), (name, row["lead"])
    assert (found["n"].sel(region="all") == 155 * 252).all()


def test_a_thousand_resamples_take_seconds(kaplan):
    began = clock.perf_counter()
    found = verify(
        kaplan["forecast"],
        kaplan["truth"],
        event=kaplan["event"],
        rate=0.1,
        climatology=0.0,
        reference=kaplan["forecast"]["mean"],
    )
    assert clock.perf_counter() - began < 10  # about 0.6 on an idle core
    for name in ("rmse", "crps", "bss", "acc", "auc"):
        assert (found[f"{name}_low"] < found[name]).all()
        assert (found[f"{name}_high"] > found[name]).all()
    assert found.attrs["block"] == 12
