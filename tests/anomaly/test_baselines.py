"""Baselines that move, against the same done by hand."""

import numpy as np
import pytest
import xarray as xr

from oceankit.anomaly import anomalies, climatology, heatwave_days, heatwaves, update, updated_events

PERIOD = (2002, 2006)


@pytest.fixture
def warming(make_daily):
    sst = make_daily("2001-01-01", "2009-12-31", (2, 2))
    days = np.arange(sst.sizes["time"])
    slope = np.array([[0.0, 1e-3], [-5e-4, 2e-3]])
    sst = sst + xr.DataArray(days, dims="time") * xr.DataArray(slope, dims=("lat", "lon"))
    return sst.transpose("time", "lat", "lon").rename("sst").assign_attrs(units="degree_C"), slope


def test_the_trend_is_found_and_taken_out(warming):
    sst, slope = warming
    clim = climatology(sst, period=PERIOD, baseline="detrended")
    assert clim.attrs["baseline"] == "detrended"
    assert clim.attrs["trend_reference"] == "2004-07-01"
    # Red noise of standard deviation 1.7 leaves a trend of its own.
    np.testing.assert_allclose(clim["trend"], slope, rtol=0, atol=4e-4)
    assert clim["trend"].attrs["units"] == "degree_C day-1"
    middle = np.datetime64("2004-07-01")
    days = (sst["time"].values - middle) / np.timedelta64(1, "D")
    flat = sst - clim["trend"] * xr.DataArray(days, dims="time")
    flat = flat.transpose("time", "lat", "lon").assign_attrs(sst.attrs).rename("sst")
    by_hand = climatology(flat, period=PERIOD)
    for name in ("mean", "threshold"):
        np.testing.assert_allclose(clim[name], by_hand[name], rtol=0, atol=1e-12)
    np.testing.assert_allclose(anomalies(sst, clim), anomalies(flat, by_hand), rtol=0, atol=1e-11)
    found, expected = heatwaves(sst, clim), heatwaves(flat, by_hand)
    np.testing.assert_array_equal(found["start"], expected["start"])
    np.testing.assert_allclose(found["intensity_cumulative"], expected["intensity_cumulative"], atol=1e-9)
    state = update(update(clim, sst[:700]), sst[700:])
    xr.testing.assert_equal(updated_events(state).drop_vars("open"), found)


def test_exact_trend_of_a_line():
    days = xr.date_range("2001-01-01", "2004-12-31")
    line = xr.DataArray(3 + 0.001 * np.arange(days.size), dims="time", coords={"time": days}, name="sst")
    clim = climatology(line, period=(2001, 2004), baseline="detrended")
    assert float(clim["trend"]) == pytest.approx(0.001, rel=1e-12)
    np.testing.assert_allclose(clim["mean"], 3 + 0.001 * 730, rtol=0, atol=1e-9)
    packed = line.copy(data=np.rint(line.values * 1000).astype("int16")).assign_attrs(scale_factor=0.001)
    assert float(climatology(packed, period=(2001, 2004), baseline="detrended")["trend"]) == pytest.approx(
        0.001, rel=1e-12
    )


def test_each_year_has_the_years_before_it(warming):
    sst, _ = warming
    clim = climatology(sst, period=PERIOD, baseline="shifting")
    assert clim["year"].values.tolist() == [2007, 2008, 2009, 2010]
    days, departure = heatwave_days(sst, clim), anomalies(sst, clim)
    for year in range(2001, 2010):
        shift = max(0, year - 2007)
        own = climatology(sst, period=(2002 + shift, 2006 + shift))
        if year >= 2007:
            np.testing.assert_array_equal(clim["threshold"].sel(year=year), own["threshold"])
        inside = sst["time"].dt.year.values == year
        np.testing.assert_array_equal(departure[inside], anomalies(sst, own)[inside])
        # Runs that cross new year know both thresholds; in summer they know one.
        summer = inside & (np.abs(sst["time"].dt.dayofyear.values - 183) < 60)
        core = summer & np.roll(summer, 20) & np.roll(summer, -20)
        np.testing.assert_array_equal(days[core], heatwave_days(sst, own)[core])
    lazy = climatology(sst.chunk(lat=1), period=PERIOD, baseline="shifting")
    xr.testing.assert_identical(heatwaves(sst.chunk(lat=1), lazy), heatwaves(sst, clim))


def test_refusals(warming):
    sst, _ = warming
    with pytest.raises(ValueError, match="baseline is 'moving'; choose one of 'fixed', 'detrended', 'shifting'"):
        climatology(sst, period=PERIOD, baseline="moving")
    clim = climatology(sst[:2922], period=PERIOD, baseline="shifting")
    later = sst.assign_coords(time=xr.date_range("2012-01-01", periods=sst.sizes["time"]))
    with pytest.raises(ValueError, match="holds until 2009, and the field has days of 2020"):
        heatwaves(later, clim)
