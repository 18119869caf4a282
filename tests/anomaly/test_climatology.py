"""The climatology against a plain NumPy reference, across chunks, threads and calendars, and its refusals."""

import datetime

import cftime
import numpy as np
import pandas as pd
import pytest
import xarray as xr

from oceankit.anomaly import _calendar, _pools, climatology
from oceankit.anomaly._climatology_kernels import moving_average, pooled_floats, pooled_integers
from oceankit.numerics import threads

PERIOD = (2002, 2007)


def plain(series: xr.DataArray, first: int, last: int, *, half_window=5, smooth=31, percentile=90.0, length=366):
    """Hobday's climatology of one series of days without holes, as marineHeatWaves.py does it."""
    values = series.values.astype(float)
    dates = series["time"].dt
    year, month, day = dates.year.values, dates.month.values, dates.day.values
    mean, threshold = np.full(length, np.nan), np.full(length, np.nan)
    axis = xr.date_range("2000-01-01", periods=length, calendar="360_day" if length == 360 else "standard")
    for d, label in enumerate(axis):
        centres = np.flatnonzero((month == label.month) & (day == label.day) & (year >= first) & (year <= last))
        steps = [c + w for c in centres for w in range(-half_window, half_window + 1) if 0 <= c + w < values.size]
        pool = values[steps][~np.isnan(values[steps])]
        if pool.size:
            mean[d], threshold[d] = pool.mean(), np.percentile(pool, percentile)
    if length == 366:
        for statistic in (mean, threshold):
            statistic[59] = 0.5 * statistic[58] + 0.5 * statistic[60]
    if smooth:
        mean, threshold = (
            np.convolve(np.tile(s, 3), np.ones(smooth) / smooth, "same")[length : 2 * length] for s in (mean, threshold)
        )
    return mean, threshold


@pytest.mark.parametrize(
    "options", [{}, {"half_window": 0}, {"smooth": None}, {"percentile": 10.0}, {"half_window": 12, "smooth": 5}]
)
def test_plain_reference(make_daily, options):
    sst = make_daily("2001-01-01", "2008-12-31")
    sst[30:50] = np.nan
    clim = climatology(sst, period=PERIOD, **options)
    mean, threshold = plain(sst, *PERIOD, **options)
    np.testing.assert_allclose(clim["mean"], mean, rtol=0, atol=1e-12)
    np.testing.assert_allclose(clim["threshold"], threshold, rtol=0, atol=1e-12)
    assert clim["dayofyear"].values.tolist() == list(range(1, 367))


def test_the_window_runs_past_the_base_period(make_daily):
    sst = make_daily("2001-01-01", "2008-12-31")
    changed = sst.copy()
    changed[{"time": sst.indexes["time"].get_loc("2008-01-03")}] += 50
    inside = climatology(sst, period=PERIOD, smooth=None)["mean"]
    beyond = climatology(changed, period=PERIOD, smooth=None)["mean"]
    moved = np.flatnonzero(inside.values != beyond.values) + 1
    assert moved.tolist() == [364, 365, 366]  # 3 January is within five days of 29 to 31 December


def test_noleap_uses_the_axis_of_a_leap_year(make_daily):
    sst = make_daily("2001-01-01", "2008-12-31", calendar="noleap")
    clim = climatology(sst, period=PERIOD, smooth=None)
    place = _calendar.day_of_year(_calendar.read(sst, None)[1])
    assert place[:365].tolist() == [*range(1, 60), *range(61, 367)]
    # Dates beside 29 February are neighbours in this calendar: pool by position in its own year of 365 days.
    values = sst.values[:2920].reshape(8, 365)
    mean = np.full(366, np.nan)
    for d in range(365):
        steps = (np.arange(1, 7)[:, None] * 365 + d + np.arange(-5, 6)).ravel()
        mean[d if d < 59 else d + 1] = values.ravel()[steps].mean()
    mean[59] = (mean[58] + mean[60]) / 2
    np.testing.assert_allclose(clim["mean"], mean, rtol=0, atol=1e-12)


def test_360_day_has_its_own_axis(make_daily):
    sst = make_daily("2001-01-01", "2008-12-30", calendar="360_day")
    clim = climatology(sst, period=("2002-01-01", "2007-12-30"))
    mean, threshold = plain(sst, *PERIOD, length=360)
    np.testing.assert_allclose(clim["mean"], mean, rtol=0, atol=1e-12)
    np.testing.assert_allclose(clim["threshold"], threshold, rtol=0, atol=1e-12)
    xr.testing.assert_identical(clim, climatology(sst, period=PERIOD).assign_attrs(period=clim.attrs["period"]))
    assert clim.sizes["dayofyear"] == 360
    assert "360-day" in clim["dayofyear"].attrs["long_name"]


def test_all_leap_pools_29_february(make_daily):
    sst = make_daily("2001-01-01", "2008-12-31", calendar="all_leap")
    clim = climatology(sst, period=PERIOD, half_window=0, smooth=None)
    expected = sst.values.reshape(8, 366)[1:7].mean(0)
    np.testing.assert_allclose(clim["mean"], expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("calendar", ["standard", "proleptic_gregorian", "julian"])
def test_cftime_with_real_leap_years(make_daily, calendar):
    sst = make_daily("2001-01-01", "2008-12-31")
    clim = climatology(sst, period=PERIOD)
    dates = xr.date_range("2001-01-01", "2008-12-31", calendar=calendar, use_cftime=True)
    other = climatology(sst.assign_coords(time=dates), period=PERIOD)
    xr.testing.assert_equal(other, clim)
    assert other.attrs["calendar"] == calendar


def test_a_hole_in_the_axis_is_missing_data(make_daily):
    sst = make_daily("2001-01-01", "2008-12-31")
    absent = np.random.default_rng(3).random(sst.size) < 0.3
    absent[[0, -1]] = False
    expected = climatology(sst.where(~xr.DataArray(absent, dims="time")), period=PERIOD)
    xr.testing.assert_allclose(climatology(sst[~absent], period=PERIOD), expected, rtol=1e-14)


def test_weekly_and_six_hourly_steps(make_daily):
    sst = make_daily("2001-01-01", "2008-12-31")
    weekly = climatology(sst[3::7], period=(2001, 2008), smooth=None)
    kept = xr.DataArray(np.arange(sst.size) % 7 == 3, dims="time")
    expected = climatology(sst.where(kept), period=(2001, 2008), smooth=None)
    xr.testing.assert_allclose(weekly, expected, rtol=1e-14)
    hours = xr.date_range("2001-01-01", "2008-12-31T18:00", freq="6h")
    repeated = xr.DataArray(np.repeat(sst.values, 4), dims="time", coords={"time": hours}, name="sst")
    np.testing.assert_allclose(
        climatology(repeated, period=PERIOD)["mean"], climatology(sst, period=PERIOD)["mean"], rtol=0, atol=1e-12
    )


def test_missing_data(cube):
    clim = climatology(cube, period=(2001, 2008))
    assert clim["mean"].isel(lat=1, lon=2).isnull().all()
    assert clim["threshold"].isel(lat=1, lon=2).isnull().all()
    few = climatology(cube, period=(2001, 2008), smooth=None)["mean"].isel(lat=0, lon=1)
    # Values end on 19 July 2001: the window reaches five days further.
    assert few[:205].notnull().all()
    assert few[206:360].isnull().all()
    # The average does not fill: it is missing within half its width of a missing day.
    smoothed = clim["mean"].isel(lat=0, lon=1)
    expected = few.pad(dayofyear=15, mode="wrap").rolling(dayofyear=31).mean()[30:]
    np.testing.assert_array_equal(smoothed.isnull(), expected.isnull())


def test_by_month_on_days_and_on_months(make_daily):
    sst = make_daily("2001-01-01", "2008-12-31", (2,)).drop_vars("lat")
    clim = climatology(sst, period=PERIOD, by="month", percentile=75)
    inside = sst.sel(time=slice("2002", "2007")).groupby("time.month")
    np.testing.assert_allclose(clim["mean"], inside.mean(), rtol=0, atol=1e-12)
    np.testing.assert_allclose(clim["threshold"], inside.quantile(0.75).transpose("month", ...), rtol=0, atol=1e-12)
    months = sst.resample(time="MS").mean()
    monthly = climatology(months, period=("2001-04", "2005-09"), by="month")
    picked = months.sel(time=slice("2001-04", "2005-09")).groupby("time.month").mean()
    np.testing.assert_allclose(monthly["mean"], picked, rtol=0, atol=1e-12)
    assert monthly.attrs["period"] == "2001-04-01/2005-09-30"
    assert (monthly.attrs["half_window"], monthly.attrs["smooth"], monthly.attrs["by"]) == (0, 0, "month")


def test_period_spellings(make_daily):
    sst = make_daily("2001-01-01", "2008-12-31")
    expected = climatology(sst, period=(2002, 2007))
    for period in [
        ("2002", "2007"),
        ["2002-01", "2007-12"],
        ("2002-01-01", "2007-12-31T12:00"),
        (datetime.date(2002, 1, 1), pd.Timestamp("2007-12-31")),
        (np.datetime64("2002"), np.datetime64("2007-12-31T00:00:00.000000000")),
        (np.int64(2002), cftime.DatetimeNoLeap(2007, 12, 31)),
        (pd.Period("2002-01"), pd.Period("2007-12")),
    ]:
        xr.testing.assert_identical(climatology(sst, period=period), expected)


@pytest.mark.parametrize("by", ["dayofyear", "month"])
@pytest.mark.parametrize("chunks", [{"lat": 1}, {"lat": 2, "lon": 3}, {"lat": -1, "lon": -1}])
def test_chunks_and_threads_change_no_bit(cube, by, chunks):
    expected = climatology(cube, period=PERIOD, by=by)
    with threads.limit(1):
        xr.testing.assert_identical(climatology(cube, period=PERIOD, by=by), expected)
    with threads.limit(2):
        xr.testing.assert_identical(climatology(cube, period=PERIOD, by=by), expected)
    lazy = climatology(cube.chunk(chunks), period=PERIOD, by=by)
    assert lazy["mean"].chunks
    assert lazy["threshold"].chunks
    for workers in (1, 2):
        xr.testing.assert_identical(lazy.compute(scheduler="threads", num_workers=workers), expected)


def test_gridded_equals_pixel_by_pixel_in_any_order_of_dimensions(cube):
    whole = climatology(cube, period=PERIOD)
    assert whole["mean"].dims == ("dayofyear", "lat", "lon")
    turned = climatology(cube.transpose("lon", "time", "lat"), period=PERIOD)
    assert turned["mean"].dims == ("lon", "dayofyear", "lat")
    xr.testing.assert_equal(turned.transpose(*whole["mean"].dims), whole)
    for i, j in np.ndindex(3, 4):
        xr.testing.assert_equal(climatology(cube[:, i, j], period=PERIOD), whole.isel(lat=i, lon=j))


def test_what_the_result_says(cube):
    cube.attrs |= {"standard_name": "sea_surface_temperature", "valid_min": 0.0}
    cube.encoding["source"] = "/archive/oisst.20010101.nc"
    clim = climatology(cube.to_dataset(), period=PERIOD, percentile=95)
    assert clim.attrs == {
        "period": "2002-01-01/2007-12-31", "by": "dayofyear", "percentile": 95.0, "convention": "oliver",
        "half_window": 5, "smooth": 31, "calendar": "proleptic_gregorian", "units": "degree_C",
        "source_variable": "sst", "source_file": "oisst.*.nc",
    }  # fmt: skip
    for name in ("mean", "threshold"):
        assert clim[name].dtype == np.float64
        assert clim[name].attrs["units"] == "degree_C"
        assert clim[name].attrs["standard_name"] == "sea_surface_temperature"
        assert "valid_min" not in clim[name].attrs
    assert set(clim.coords) == {"lat", "lon", "dayofyear"}


def test_it_can_be_written_and_read(cube, tmp_path):
    clim = climatology(cube, period=PERIOD)
    clim.to_netcdf(tmp_path / "clim.nc")
    xr.testing.assert_identical(xr.load_dataset(tmp_path / "clim.nc"), clim)


def test_infinite_values_are_values(make_daily):
    sst = make_daily("2001-01-01", "2008-12-31")
    sst[400] = np.inf
    clim = climatology(sst, period=(2001, 2008), smooth=None)
    assert np.isinf(clim["mean"]).sum() == 11
    assert np.isfinite(clim["threshold"]).all()


# --- kernels ----------------------------------------------------------------------------------------------------


SPANS = [(0, 40), (1, 40), (3, 50), (100, 60), (99, 61), (0, 1), (20, 3), (0, 160)]


def pools() -> list[np.ndarray]:
    """Pools that overlap, that have nothing in common, and that hold one step."""
    return [np.arange(start, start + n) for start, n in SPANS]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("quantile", [0.9, 0.1, 0.5])
def test_pooled_floats(dtype, quantile):
    """Against NumPy, with ties, one value or none."""
    rng = np.random.default_rng(5)
    rows = rng.normal(size=(6, 160)).astype(dtype)
    rows[1] = np.round(rows[1])
    rows[2, rng.random(160) < 0.8] = np.nan
    rows[3] = np.nan
    rows[4] = np.exp(20 * rows[4])  # far from evenly spread
    rows[5, ::7] = np.inf
    # The kernels take more cells at once than these; those behind the last are computed from the end.
    columns = np.tile(rows, (4, 1))[:21].T
    bits = np.empty(0, f"i{columns.dtype.itemsize}")
    found = pooled_floats(np.ascontiguousarray(columns), bits, *_pools._changes_of(pools(), 9), quantile)
    mean, level = (f.T[:6] for f in found)
    for f in found:
        np.testing.assert_array_equal(f[:, 18:], f[:, :3])
    assert np.isnan(mean[:, 8]).all()
    for row, pool in np.ndindex(6, 8):
        held = rows[row, pools()[pool]].astype(float)
        held = held[~np.isnan(held)]
        if held.size == 0:
            assert np.isnan([mean[row, pool], level[row, pool]]).all()
            continue
        np.testing.assert_allclose(mean[row, pool], held.mean(), rtol=1e-13, atol=1e-14)
        with np.errstate(invalid="ignore"):
            expected = np.percentile(held, 100 * quantile)
        if not np.isnan(expected):  # NumPy takes the difference of two infinities
            np.testing.assert_array_equal(level[row, pool], expected)


@pytest.mark.parametrize("dtype", ["int16", "int32"])
@pytest.mark.parametrize("quantile", [0.9, 0.1, 0.5])
def test_pooled_integers(dtype, quantile):
    rng = np.random.default_rng(6)
    rows = rng.integers(-500, 500, (4, 160)).astype(dtype)
    rows[1] = rng.integers(0, 3, 160)
    rows[2] = rng.choice([-32768, 32766, 7, -999], 160)
    rows[3] = -999
    columns = np.ascontiguousarray(np.tile(rows, (10, 1)).T)
    *found, lost = pooled_integers(columns, -999, -998, 0.01, 5.0, *_pools._changes_of(pools(), 8), quantile)
    assert not lost
    for f in found:
        np.testing.assert_array_equal(f[:, 36:], f[:, :4])
    found = [f[:, :4].T for f in found]
    values = np.where(rows == -999, np.nan, rows * 0.01 + 5.0)
    for row, pool in np.ndindex(4, 8):
        held = values[row, pools()[pool]]
        held = held[~np.isnan(held)]
        expected = (held.mean(), np.percentile(held, 100 * quantile)) if held.size else (np.nan, np.nan)
        np.testing.assert_allclose([f[row, pool] for f in found], expected, rtol=1e-14, atol=1e-13)


@pytest.mark.parametrize("compiled", [True, False])
def test_moving_average(compiled):
    rows = np.random.default_rng(0).normal(size=(3, 40))
    rows[1, 7] = np.nan
    function = moving_average if compiled else moving_average.py_func
    for width in (1, 5, 39):
        expected = [np.convolve(np.tile(r, 3), np.ones(width) / width, "same")[40:80] for r in rows]
        np.testing.assert_allclose(function(rows.T.copy(), width).T, expected, rtol=0, atol=1e-14)


# --- refusals ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"period": (1990, 2007)}, "1990-01-01/2007-12-31 is not covered.*2001-01-01 to 2008-12-31"),
        ({"period": (2002, 2009)}, "not covered"),
        ({"period": (1950, 1970)}, "not covered"),
        ({"period": (2002, 2003)}, "data in 2 years for day 1 .*at least 3"),
        ({"period": (2002, 2003), "by": "month"}, "data in 2 years for month 1"),
        ({"period": (2007, 2002)}, "ends before it begins"),
        ({"period": "2002/2007"}, "first and last date"),
        ({"period": 2002}, "first and last date"),
        ({"period": ("2002", "2007-13")}, "'2007-13', which is no date"),
        ({"period": ("spring", "2007")}, "bound 'spring'"),
        ({"period": (2002.0, 2007)}, "bound 2002.0"),
        ({"by": "season"}, "by is 'season'"),
        ({"percentile": 0}, "percentile is 0"),
        ({"percentile": 100}, "percentile is 100"),
        ({"percentile": np.nan}, "percentile is nan"),
        ({"percentile": "90"}, "percentile is '90'"),
        ({"percentile": [50, 90]}, "percentile is"),
        ({"smooth": 30}, "smooth is 30; give an odd"),
        ({"smooth": -1}, "smooth is -1"),
        ({"smooth": 31.0}, "smooth is 31.0"),
        ({"half_window": -1}, "half_window is -1"),
        ({"half_window": 183}, "half_window is 183"),
        ({"half_window": 7, "by": "month"}, "half_window=7 .*by='month'"),
        ({"smooth": 11, "by": "month"}, "smooth=11 .*by='month'"),
        ({"convention": "Oliver"}, "convention is 'Oliver'; choose one of 'oliver', 'heatwaveR', 'heatwave3', 'xmhw'"),
        ({"convention": None}, "convention is None"),
        ({"time": "date"}, "no variable 'date'"),
    ],
)
def test_refused_options(make_daily, options, words):
    with pytest.raises(ValueError, match=words):
        climatology(make_daily("2001-01-01", "2008-12-31"), **{"period": PERIOD, **options})


def test_period_has_no_default(make_daily):
    with pytest.raises(TypeError, match="period"):
        climatology(make_daily("2001-01-01", "2008-12-31"))


def test_refused_fields(make_daily):
    sst = make_daily("2001-01-01", "2008-12-31")
    days = sst["time"].values
    mixed = np.array([cftime.DatetimeNoLeap(2001, 1, 1), cftime.DatetimeGregorian(2001, 1, 2)])
    numbers = ("time", np.arange(sst.size), {"units": "months since 1960-01-01"})
    months = sst.resample(time="MS").mean()
    cases = [
        (sst[::-1], "not sorted.*sortby"),
        (sst.isel(time=[0, 1, 1, 2]), "2001-01-02.* twice: use drop_duplicates"),
        (sst.chunk(time=1000), "'time' in 3 chunks.*chunk\\({'time': -1}\\)"),
        (sst.assign_coords(time=numbers), "in 'months since 1960-01-01', not dates.*decode"),
        (sst.drop_vars("time"), "no time coordinate"),
        (sst.assign_coords(time=np.where(np.arange(sst.size) == 5, np.datetime64("NaT"), days)), "NaT"),
        (xr.DataArray([1.0, 2.0], dims="time", coords={"time": mixed}), "mixes the calendars"),
        (sst.astype("int32").assign_attrs(scale_factor=0.01), "packed int32.*scale_factor.*mask_and_scale"),
        (sst.assign_attrs(scale_factor=0.01), "float64 values with scale_factor.*mask_and_scale"),
        (sst.astype("int16").assign_attrs(scale_factor=0.0), "scale_factor 0"),
        (sst.astype("complex64"), "complex64"),
        (sst.expand_dims(dayofyear=2), "already has a dimension 'dayofyear'"),
        (sst[:1].squeeze(), "must run along one dimension"),
        (sst[:0], "is empty"),
        (months, "data in 0 years for day .*by='month'"),
        (xr.Dataset({"a": sst, "b": sst}), "2 floating-point variables along time \\('a', 'b'\\)"),
        (sst.astype(int).to_dataset(), "0 floating-point variables"),
    ]
    for field, words in cases:
        with pytest.raises(ValueError, match=words):
            climatology(field, period=PERIOD if field is not months else (2001, 2008))


@pytest.mark.parametrize("lazy", [False, True])
def test_units_that_change_halfway(make_daily, lazy):
    sst = make_daily("2001-01-01", "2008-12-31", (2,))
    sst[1800:] += 273.15
    if lazy:
        sst = sst.chunk(lat=1)
    with pytest.raises(
        ValueError, match=r"'sst' has units 'degree_C'.*between 2005-1\d-0\d.* and 2005-12-0\d.*other units"
    ):
        climatology(sst, period=PERIOD).compute()
    assert climatology(sst.assign_attrs(units="m"), period=PERIOD)["mean"].compute().max() > 100


@pytest.mark.parametrize("missing", [None, -32768, 32767, 0])
@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "uint16"])
@pytest.mark.parametrize("greatest", [True, False])
def test_packed_integers_at_the_ends_of_their_range(make_daily, dtype, missing, greatest):
    sst = make_daily("2001-01-01", "2006-12-31", (3, 50))
    info = np.iinfo(dtype)
    rng = np.random.default_rng(5)
    values = rng.integers(info.min, info.max, sst.shape, dtype, endpoint=True)
    values[:, 0, 0] = rng.choice([0, info.min, info.max], sst.sizes["time"])
    values[:, 1] = np.where(rng.random(values[:, 1].shape) < 0.5, info.max, 0)
    if not greatest:
        values[values == info.max] = 0
    sst = sst.copy(data=values).assign_attrs(units="1")
    packing = {"scale_factor": 0.5} | ({} if missing is None else {"_FillValue": missing})
    found = climatology(sst.assign_attrs(packing), period=(2001, 2006), half_window=2)
    wanted = climatology((sst * 0.5).where(sst != missing), period=(2001, 2006), half_window=2)
    for name in ("mean", "threshold"):
        np.testing.assert_allclose(found[name], wanted[name], rtol=1e-12, atol=1e-9)
