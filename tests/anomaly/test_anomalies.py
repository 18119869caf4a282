"""Anomalies: the subtraction, what the result says, and the climatologies that are refused."""

import cloudpickle
import dask.array
import numpy as np
import pytest
import xarray as xr

from oceankit.anomaly import anomalies, climatology

PERIOD = (2002, 2007)


def by_hand(field: xr.DataArray, clim: xr.Dataset) -> np.ndarray:
    """Time first; the place in the year from the dates themselves."""
    if "month" in clim.dims:
        place = field["time"].dt.month.values - 1
    else:
        leap = {(d.month, d.day): n for n, d in enumerate(xr.date_range("2000-01-01", "2000-12-31"))}
        place = np.array([leap[d.month, d.day] for d in field.indexes["time"]])
    mean = clim["mean"].transpose("month" if "month" in clim.dims else "dayofyear", ...).values
    return field.transpose("time", ...).values.astype(float) - mean[place]


@pytest.mark.parametrize("by", ["dayofyear", "month"])
@pytest.mark.parametrize("dims", [("time", "lat", "lon"), ("lat", "time", "lon"), ("lon", "lat", "time")])
def test_by_hand(cube, by, dims):
    clim = climatology(cube, period=PERIOD, by=by)
    found = anomalies(cube.transpose(*dims), clim)
    assert found.dims == dims
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found.transpose("time", "lat", "lon"), by_hand(cube, clim).astype("float32"))


@pytest.mark.parametrize(("given", "wanted"), [("float64", "float64"), (">f4", "float32"), ("int16", "float64")])
def test_dtypes(make_daily, given, wanted):
    sst = make_daily("2001-01-01", "2008-12-31").astype(given)
    clim = climatology(sst, period=PERIOD)
    found = anomalies(sst, clim)
    assert found.dtype == np.dtype(wanted)
    np.testing.assert_array_equal(found, by_hand(sst, clim).astype(wanted))


@pytest.mark.parametrize("chunks", [{"time": 100}, {"lat": 1, "lon": 3}, {"time": 999, "lat": 2}])
@pytest.mark.parametrize("lazy_clim", [True, False])
def test_chunks_and_threads_change_no_bit(cube, chunks, lazy_clim):
    clim = climatology(cube, period=PERIOD)
    expected = anomalies(cube, clim)
    lazy = anomalies(cube.chunk(chunks), clim.chunk({"dayofyear": 100, "lon": 2}) if lazy_clim else clim)
    assert lazy.chunksizes == cube.chunk(chunks).chunksizes
    for workers in (1, 2):
        xr.testing.assert_identical(lazy.compute(scheduler="threads", num_workers=workers), expected)


def test_the_graph_holds_the_climatology_once(make_daily):
    """Neither spread over time (10 MB here) nor copied into each of 200 tasks (37 MB)."""
    clim = climatology(make_daily("2001-01-01", "2008-12-31", (8, 8)), period=PERIOD)
    days = xr.date_range("2001-01-01", periods=20_000)
    zeros = dask.array.zeros((20_000, 8, 8), chunks=(100, -1, -1))
    field = xr.DataArray(zeros, dims=("time", "lat", "lon"), coords={"time": days}, name="sst")
    graph = cloudpickle.dumps(dict(anomalies(field, clim).__dask_graph__()))
    assert clim["mean"].nbytes < len(graph) < 1_000_000


def test_other_years_and_members(cube):
    clim = climatology(cube, period=PERIOD)
    later = cube.assign_coords(time=xr.date_range("2011-01-01", periods=cube.sizes["time"]))
    np.testing.assert_array_equal(anomalies(later, clim), by_hand(later, clim).astype("float32"))
    members = xr.concat([cube, cube + 1], "member").transpose("time", "member", "lat", "lon")
    found = anomalies(members, clim)
    assert found.dims == members.dims
    np.testing.assert_array_equal(found.isel(member=0), anomalies(cube, clim))


def test_noleap_field_and_standard_climatology(make_daily):
    sst = make_daily("2001-01-01", "2008-12-31")
    other = make_daily("2001-01-01", "2008-12-31", calendar="noleap")
    clim = climatology(sst, period=PERIOD)
    found = anomalies(other, clim)
    first_of_march = other["time"].to_index().get_loc("2003-03-01").start
    assert found[first_of_march] == other[first_of_march] - clim["mean"].sel(dayofyear=61).item()


def test_what_the_result_says(cube):
    cube.attrs |= {"standard_name": "surface_temperature", "long_name": "SST", "valid_max": 40.0}
    cube.encoding["scale_factor"] = 0.01
    found = anomalies(cube, climatology(cube, period=PERIOD))
    assert found.name == "sst_anomaly"
    assert found.encoding == {}
    assert found.attrs == {
        "units": "degree_C", "units_metadata": "temperature: difference", "long_name": "SST anomaly",
        "standard_name": "surface_temperature_anomaly",
        "reference_climatology": "mean by dayofyear over 2002-01-01/2007-12-31",
    }  # fmt: skip
    xr.testing.assert_identical(found.coords.to_dataset(), cube.coords.to_dataset())
    cube.attrs = {"standard_name": "sea_surface_height_above_geoid", "units": "m"}
    found = anomalies(cube, climatology(cube, period=PERIOD))
    assert "standard_name" not in found.attrs
    assert "units_metadata" not in found.attrs
    assert found.attrs["long_name"] == "sst anomaly"


def test_dataset(cube):
    dataset = cube.to_dataset().assign(depth_of_sea=(("lat", "lon"), np.ones((3, 4))))
    clim = climatology(dataset, period=PERIOD)
    found = anomalies(dataset, clim)
    assert set(found.data_vars) == {"depth_of_sea", "sst_anomaly"}
    xr.testing.assert_identical(found["sst_anomaly"], anomalies(cube, clim))


def test_curvilinear_coordinates_are_compared(cube):
    lon = xr.DataArray(np.arange(12.0).reshape(3, 4), dims=("lat", "lon"))
    curved = (
        cube.drop_vars(["lat", "lon"])
        .rename(lat="y", lon="x")
        .assign_coords(nav_lon=lon.rename(lat="y", lon="x"), nav_lat=lon.rename(lat="y", lon="x") / 10)
    )
    clim = climatology(curved, period=PERIOD)
    assert {"nav_lon", "nav_lat"} <= set(clim.coords)
    assert anomalies(curved, clim).notnull().any()
    with pytest.raises(ValueError, match=r"'nav_lon'.*0\.0 to 11\.0.*the same cells"):
        anomalies(curved, clim.assign_coords(nav_lon=clim["nav_lon"] + 0.5))


def test_refused_climatologies(cube):
    clim = climatology(cube, period=PERIOD)
    short = clim.isel(dayofyear=slice(0, 365))
    cases = [
        (cube.rename("analysed_sst"), clim, "variable 'sst'.*'analysed_sst'.*allow_other_source"),
        (cube.assign_attrs(units="K"), clim, "'K', its climatology 'degree_C'"),
        (cube.isel(lon=slice(0, 3)), clim, "3 cells along 'lon', its climatology 4"),
        (cube.assign_coords(lon=cube["lon"] + 180), clim, r"'lon'.*180\.0 to 180\.75.*0\.0 to 0\.75.*same cells"),
        (cube.isel(lat=slice(None, None, -1)), clim, "'lat'.*same cells"),
        (cube.mean("lat"), clim, "dimension 'lat' that .* lacks"),
        (cube.assign_coords(depth=5.0), clim.assign_coords(depth=0.0), r"'depth'.*5\.0.*0\.0"),
        (cube, short, "365 entries along 'dayofyear'"),
        (cube, clim.isel(dayofyear=slice(None, None, -1)), "whole year in order"),
        (cube, clim["mean"], "not a climatology"),
        (cube, clim.rename(mean="average"), "not a climatology"),
        (cube, clim.mean("dayofyear"), "must be 'dayofyear' or 'month'"),
        (cube.drop_vars("time"), clim, "no time coordinate"),
    ]
    for field, other, words in cases:
        with pytest.raises(ValueError, match=words):
            anomalies(field, other)


def test_no_anomaly_against_another_source(cube):
    cube.encoding["source"] = "/archive/oisst-v02r01.19820101.nc"
    clim = climatology(cube, period=PERIOD)
    later, other = cube.copy(), cube.copy()
    later.encoding["source"] = "/elsewhere/oisst-v02r01.20230101.nc"
    other.encoding["source"] = "/archive/ostia.19820101.nc"
    expected = anomalies(cube, clim)
    xr.testing.assert_identical(anomalies(later, clim), expected)
    with pytest.raises(ValueError, match=r"'oisst-v02r01.\*.nc', the field from 'ostia.\*.nc'.*allow_other_source"):
        anomalies(other, clim)
    xr.testing.assert_identical(anomalies(other, clim, allow_other_source=True), expected)
    with pytest.raises(ValueError, match="variable 'sst'"):
        anomalies(expected, clim)  # an anomaly of an anomaly
    with pytest.raises(ValueError, match="units"):
        anomalies(other.assign_attrs(units="K"), clim, allow_other_source=True)


def test_calendars_of_other_lengths(make_daily):
    sst = make_daily("2001-01-01", "2008-12-31")
    model = make_daily("2001-01-01", "2008-12-30", calendar="360_day")
    with pytest.raises(ValueError, match=r"calendar '360_day'.*366 days a year.*convert_calendar"):
        anomalies(model, climatology(sst, period=PERIOD), allow_other_source=True)
    monthly = climatology(sst, period=PERIOD, by="month")
    assert anomalies(model, monthly).notnull().all()


def test_packed_integers(make_daily):
    sst = make_daily("2001-01-01", "2008-12-31", (2,)).drop_vars("lat").rename("sst")
    stored = np.rint(sst.values * 100).astype("int16")
    stored[5:9, 0] = -999
    attrs = {"units": "degree_C", "scale_factor": 0.01, "add_offset": 1.5, "_FillValue": np.int16(-999)}
    packed = sst.copy(data=stored).assign_attrs(attrs)
    values = sst.copy(data=np.where(stored == -999, np.nan, stored * 0.01 + 1.5)).assign_attrs(units="degree_C")
    clim = climatology(values, period=PERIOD)
    xr.testing.assert_allclose(climatology(packed.to_dataset(), period=PERIOD), clim, rtol=1e-13)
    xr.testing.assert_identical(anomalies(packed, clim), anomalies(values, clim))
    xr.testing.assert_identical(anomalies(packed.chunk(lat=1), clim).compute(), anomalies(values, clim))
