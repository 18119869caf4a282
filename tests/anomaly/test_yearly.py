"""Events year by year: the table of marineHeatWaves.py, cells, calendars, laziness; trends against other people's fits."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy import stats

from oceankit.anomaly import climatology, heatwave_days, heatwaves, spells, trends, yearly


@pytest.fixture
def west_australia(shared):
    return xr.load_dataset(shared / "data" / "sst_points" / "oisst_daily_WA_1982_2022.nc")["sst"]


@pytest.fixture
def hot(make_daily):
    """Six years, on 2 x 3 cells, of which one is land, with their climatology."""
    sst = make_daily("2001-01-01", "2006-12-31", (2, 3))
    sst[:, 0, 1] = np.nan
    clim = climatology(sst, period=(2001, 2006), percentile=80)
    return sst, clim, heatwaves(sst, clim)


def test_marine_heat_waves_py(shared, west_australia):
    reference = pd.read_csv(shared / "reference" / "anomaly" / "sst_WA__default_1983-2012__block.csv")
    clim = climatology(west_australia, period=(1983, 2012))
    events = heatwaves(west_australia, clim)
    ours = yearly(events, west_australia, days=heatwave_days(west_australia, clim))
    # Its cumulative intensity of an event beyond New Year is in the last year, where its own comment says the first.
    beyond = events.isel(event=(events.start.dt.year != events.end.dt.year).values)
    assert beyond.start.dt.year.values.tolist() == [2010, 2012]
    for year, total in zip(beyond.start.dt.year.values, beyond.intensity_cumulative.values, strict=True):
        reference.loc[reference.years_start == year, "total_icum"] += total
        reference.loc[reference.years_start == year + 1, "total_icum"] -= total
    compared = 0
    np.testing.assert_array_equal(ours.year, reference.years_start)
    for name in reference.columns.drop(["years_start", "years_end", "years_centre"]):
        column = ours[name.replace("temp_", "value_")]
        assert column.dtype == np.float64
        np.testing.assert_allclose(column.values, reference[name], rtol=0, atol=1e-9, err_msg=name)
        compared += 1
    assert compared == len(ours.data_vars) == 26
    empty = reference["count"] == 0
    assert empty.sum() > 3
    assert np.isnan(ours.duration.values[empty]).all()


@pytest.mark.parametrize("order", [("time", "lat", "lon"), ("lon", "time", "lat")])
def test_grid_equals_its_cells(hot, order):
    sst, clim, events = hot
    table = yearly(events, sst.transpose(*order), days=heatwave_days(sst, clim))
    assert table["count"].dims == ("year", *[d for d in order if d != "time"])
    assert table.value_mean.dims == table["count"].dims
    for i, j in np.ndindex(2, 3):
        one = table.isel(lat=i, lon=j)
        if np.isnan(sst[0, i, j]):
            assert all(v.isnull().all() for v in one.data_vars.values())
            continue
        alone = sst[:, i, j]
        found = heatwaves(alone, clim.isel(lat=i, lon=j))
        wanted = yearly(found, alone, days=heatwave_days(alone, clim.isel(lat=i, lon=j)))
        xr.testing.assert_equal(one, wanted)
        assert int(wanted["count"].sum()) == found.sizes["event"]
        assert int(wanted["total_days"].sum()) == int(found["duration"].sum())


def test_values_against_xarray(hot):
    sst, _, events = hot
    sst = sst.where(sst.time.dt.dayofyear != 30)
    table = yearly(events, sst)
    groups = sst.groupby("time.year")
    for name, wanted in (("mean", groups.mean()), ("max", groups.max()), ("min", groups.min())):
        xr.testing.assert_allclose(
            table[f"value_{name}"].drop_attrs(), wanted.rename(f"value_{name}").drop_attrs(), rtol=1e-13
        )
    assert table.value_max.attrs["units"] == "degree_C"


def test_lazy_is_the_same(hot):
    sst, clim, events = hot
    eager = yearly(events, sst, days=heatwave_days(sst, clim))
    lazy = yearly(events, sst.chunk(lat=1, time=-1), days=heatwave_days(sst.chunk(lat=1, time=-1), clim))
    assert {n for n, v in lazy.items() if v.chunks} == {n for n in lazy if n.startswith("value_") or n.endswith("e_days")} | {
        "strong_days", "extreme_days",
    }  # fmt: skip
    xr.testing.assert_identical(lazy.compute(), eager)
    xr.testing.assert_allclose(trends(lazy).compute(), trends(eager))
    with pytest.raises(ValueError, match="time"):
        yearly(events, sst.chunk(time=100))


def test_packed_values(hot):
    sst, _, events = hot
    codes = np.where(sst.isnull(), -999, np.rint(sst / 0.01)).astype(np.int16)
    packed = sst.copy(data=codes).assign_attrs(scale_factor=0.01, _FillValue=np.int16(-999))
    xr.testing.assert_allclose(yearly(events, packed), yearly(events, sst.round(2)))


def test_without_field(hot):
    sst, clim, events = hot
    with_field = yearly(events, sst)
    table = yearly(events, years=(2001, 2006), like=clim["mean"])
    xr.testing.assert_identical(table, with_field.drop_vars(["value_mean", "value_max", "value_min"]))
    part = yearly(events, years=(2002, 2003), like=clim["mean"])
    xr.testing.assert_identical(part, table.sel(year=[2002, 2003]))
    xr.testing.assert_identical(yearly(events, sst, years=(2002, 2003)), with_field.sel(year=[2002, 2003]))
    none = yearly(events.isel(event=slice(0)), sst)
    assert float(none["count"].sum()) == float(none["total_days"].sum()) == 0
    assert none.duration.isnull().all()
    single = yearly(heatwaves(sst[:, 0, 0], clim.isel(lat=0, lon=0)), years=(2001, 2006))
    np.testing.assert_array_equal(single["count"], table["count"][:, 0, 0])


@pytest.mark.parametrize("calendar", ["standard", "noleap", "360_day"])
def test_days_across_new_year_in_any_calendar(make_daily, calendar):
    sst = make_daily("2001-01-01", "2005-12-30", calendar=calendar) * 0
    inside = (
        (sst.time.dt.year == 2002) & (sst.time.dt.month >= 12)
        | (sst.time.dt.year == 2003)
        | (sst.time.dt.dayofyear < 3)
    )
    sst = sst.where(~inside, 2.0)
    events = heatwaves(sst, xr.Dataset({"mean": 0.0, "threshold": 1.0}), cold=False, min_duration=2)
    table = yearly(events, sst)
    year = sst.time.dt.year
    for k, y in enumerate(table.year.values):
        assert float(table.total_days[k]) == int((inside & (year == y)).sum())
    lengths = {"standard": 31 + 365 + 2, "noleap": 31 + 365 + 2, "360_day": 30 + 360 + 2}
    assert float(table.duration.sel(year=2002)) == (2 + lengths[calendar]) / 2
    assert table["count"].values.tolist() == [1, 2, 0, 0, 1]


@pytest.mark.parametrize(("freq", "n"), [("MS", 40), ("ME", 40), ("6h", 3000), ("5D", 300)])
def test_other_steps_than_days(freq, n):
    time = xr.date_range("2001-10-01", periods=n, freq=freq, use_cftime=False)
    warm = xr.DataArray(np.ones(n), dims="time", coords={"time": time})
    events = spells(warm > 0, min_duration=2)
    table = yearly(events, warm)
    np.testing.assert_array_equal(table.total_days, warm.groupby("time.year").sum())


def test_strongest_of_cold_spells_is_the_lowest(make_daily):
    sst = make_daily("2001-01-01", "2006-12-31")
    events = heatwaves(sst, climatology(sst, period=(2001, 2006), percentile=20))
    table = yearly(events, sst)
    wanted = events.intensity_max.groupby(events.start.dt.year.rename("year")).min()
    np.testing.assert_array_equal(table.intensity_max_max.dropna("year"), wanted)
    no_kind = events.drop_attrs(deep=False)
    no_kind.attrs.pop("kind", None)
    np.testing.assert_array_equal(yearly(no_kind, sst).intensity_max_max, table.intensity_max_max)


def test_a_missing_rate_does_not_hide_the_others(hot):
    sst, _, events = hot
    rates = events.rate_onset.where(np.arange(events.sizes["event"]) % 2 == 0)
    table = yearly(events.assign(rate_onset=rates), sst)
    at = {"lat": float(events.lat[0]), "lon": float(events.lon[0])}
    here = (events.lat == at["lat"]) & (events.lon == at["lon"]) & (events.start.dt.year == events.start.dt.year[0])
    wanted = np.nanmean(rates.values[here])
    assert float(table.rate_onset.sel(year=int(events.start.dt.year[0]), **at)) == pytest.approx(wanted)


def test_refusals(hot):
    sst, clim, events = hot
    with pytest.raises(ValueError, match="no such dimension"):
        yearly(events.rename(event="row"), sst)
    with pytest.raises(ValueError, match="lack start, duration"):
        yearly(events.drop_vars(["start", "duration"]), sst)
    with pytest.raises(ValueError, match="give the field, or years="):
        yearly(events)
    with pytest.raises(ValueError, match="of several cells"):
        yearly(events, years=(2001, 2006))
    with pytest.raises(ValueError, match="lies at lat=0.25"):
        yearly(events, sst[:, :1])
    with pytest.raises(ValueError, match="no coordinate 'x'"):
        yearly(events, sst.rename(lon="x"))
    with pytest.raises(ValueError, match="different cells"):
        yearly(events, sst, like=clim["mean"][:, :1])
    with pytest.raises(ValueError, match=r"\(1999, 2003\) are wanted, and field \('sst'|\(1999, 2003\) are wanted"):
        yearly(events, sst, years=(1999, 2003))
    for wrong in (2001, (2003, 2001), (2001.5, 2003), "2001"):
        with pytest.raises(ValueError, match="first and the last year"):
            yearly(events, sst, years=wrong)
    undated = events.assign(start=("event", np.arange(events.sizes["event"])))
    with pytest.raises(ValueError, match="not dates"):
        yearly(undated, sst)
    bare = sst.drop_vars(["lat", "lon"])
    found = heatwaves(bare, clim.drop_vars(["lat", "lon"]), allow_other_source=True)
    assert int(yearly(found, bare)["count"].sum()) == found.sizes["event"]
    with pytest.raises(ValueError, match="of other cells"):
        yearly(found, xr.concat([bare, bare], "lon"))


def test_trends_against_linregress():
    rng = np.random.default_rng(3)
    years = np.arange(1982, 2023)
    values = rng.gamma(2.0, 1.5, (41, 3, 4)) + 0.04 * (years - 1982)[:, None, None]
    values[rng.random(values.shape) < 0.3] = np.nan
    values[:, 0, 0] = np.nan
    values[2:, 0, 1] = np.nan
    values[3:, 0, 2], values[:3, 0, 2] = np.nan, [1.0, 2.0, 4.0]
    table = xr.Dataset({"x": (("year", "lat", "lon"), values, {"units": "days"}), "name": "text"}, {"year": years})
    for confidence in (0.95, 0.8):
        found = trends(table, confidence=confidence)
        assert set(found.data_vars) == {"x_trend", "x_halfwidth"}
        for i, j in np.ndindex(3, 4):
            y = values[:, i, j]
            known = np.isfinite(y)
            slope, half = float(found.x_trend[i, j]), float(found.x_halfwidth[i, j])
            if known.sum() < 3:
                assert np.isnan([slope, half]).all()
                continue
            fit = stats.linregress(years[known], y[known])
            t = stats.t.isf((1 - confidence) / 2, known.sum() - 2)
            assert slope == pytest.approx(10 * fit.slope, rel=1e-10)
            assert half == pytest.approx(10 * t * fit.stderr, rel=1e-10)
    assert found.x_trend.attrs["units"] == "days (10 years)-1"
    exact = trends(xr.Dataset({"x": ("year", [1.0, 2.0, 3.0, 4.0])}, {"year": [1, 2, 3, 4]}))
    assert float(exact.x_trend) == pytest.approx(10)
    assert float(exact.x_halfwidth) == pytest.approx(0, abs=1e-12)


def test_trends_refusals():
    table = xr.Dataset({"x": ("year", [1.0, 2.0])}, {"year": [1, 2]})
    for wrong in (0, 1, 95, "0.95", True):
        with pytest.raises(ValueError, match="confidence is"):
            trends(table, confidence=wrong)
    with pytest.raises(ValueError, match="along 'year'"):
        trends(table.drop_vars("year"))
    with pytest.raises(ValueError, match="different whole numbers"):
        trends(table.assign_coords(year=[1, 1]))
