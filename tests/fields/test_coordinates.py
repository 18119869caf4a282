"""Finding coordinates: CF attributes first, then usual names, always overridable."""

import gc
import weakref

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from oceankit.fields import CoordinateError
from oceankit.fields.coordinates import find, horizontal, in_degrees


def test_attributes_before_names():
    ds = xr.Dataset(coords={"lon": ("k", [0.0, 1.0]), "a": ("k", [5.0, 6.0], {"standard_name": "longitude"})})
    assert find(ds, "longitude", name="lon").name == "lon"
    assert find(ds.drop_vars("lon"), "longitude").name == "a"
    with pytest.raises(CoordinateError, match="several longitude.*'a', 'lon'"):
        find(ds, "longitude")


def test_time_by_dtype_units_and_name():
    days = np.array(["2020-01-01", "2020-01-02"], "datetime64[ns]")
    assert find(xr.DataArray([1, 2], dims="d", coords={"d": days}), "time").name == "d"
    undecoded = xr.DataArray([1, 2], dims="d", coords={"d": ("d", [0, 1], {"units": "days since 2000-01-01"})})
    assert find(undecoded, "time").name == "d"
    with pytest.raises(CoordinateError, match="'sst' has no time coordinate"):
        find(xr.DataArray([1], dims="x", name="sst"), "time")


def test_staggered_grids_give_their_centres(shared):
    with xr.open_dataset(shared / "data" / "roms" / "Nordic_subset.nc", decode_times=False) as ds:
        assert [c.name for c in horizontal(ds)] == ["lon_rho", "lat_rho"]
        assert [c.name for c in horizontal(ds, lon="lon_u", lat="lat_u")] == ["lon_u", "lat_u"]
        with pytest.raises(CoordinateError, match="shares its dimensions"):
            horizontal(ds, lon="lon_u", lat="lat_v")


def test_coordinates_among_the_data_variables():
    ds = xr.Dataset({"lon": ("p", [1.0, 2.0]), "lat": ("p", [3.0, 4.0]), "sst": ("p", [0.0, 0.0])})
    assert [c.name for c in horizontal(ds)] == ["lon", "lat"]


def test_undeclared_fill_values_are_missing():
    lon = xr.DataArray([10.0, 9.969209968386869e36], dims="x", name="lon", attrs={"units": "degrees_east"})
    assert np.isnan(in_degrees(lon, "longitude")).tolist() == [False, True]


@pytest.mark.parametrize("units", ["degrees_east", "degree_E", "degrees East", "degrees", "deg", ""])
def test_units_that_are_degrees(units):
    lon = xr.DataArray([10.0, 20.0], dims="x", name="lon", attrs={"units": units})
    assert in_degrees(lon, "longitude").tolist() == [10.0, 20.0]


@pytest.mark.parametrize("units", ["m", "km", "K", "degC"])
def test_units_that_are_not(units):
    with pytest.raises(CoordinateError, match=f"units are '{units}'"):
        in_degrees(xr.DataArray([10.0], dims="x", name="lon", attrs={"units": units}), "longitude")


@pytest.mark.parametrize("kind", ["array", "dataset"])
def test_looking_for_coordinates_keeps_no_field(kind):
    times = xr.date_range("2001-01-01", periods=3)
    field = xr.DataArray(
        np.zeros((3, 4)), dims=("time", "lat"), coords={"time": times, "lat": np.arange(4.0)}, name="sst"
    )
    field = field if kind == "array" else field.to_dataset()
    gone = weakref.ref(field)
    gc.collect()
    gc.disable()
    try:
        assert find(field, "time").name == "time"
        assert find(field, "latitude").name == "lat"
        del field
        assert gone() is None
    finally:
        gc.enable()


def test_beside_columns_of_pandas_types():
    columns = {"lon": [1.0, 2.0], "platform": pd.Categorical(["buoy", "ship"])}
    ds = pd.DataFrame(columns, index=pd.Index([0, 1], name="obs")).to_xarray()
    assert find(ds, "longitude").name == "lon"
