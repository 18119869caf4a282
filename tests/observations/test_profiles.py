"""Profiles on levels of any kind: exact where the field is linear, outside below the sea floor and beyond the field."""

import numpy as np
import pytest
import xarray as xr

from oceankit.fields import depth_edges, depths, s_coordinate
from oceankit.observations import ObservationError, table
from oceankit.observations.operators import Interp, Profile

LON, LAT = np.arange(120.0, 125.0), np.arange(30.0, 34.0)


def at(lon, lat, depth, **more):
    n = max(np.size(v) for v in (lon, lat, depth))
    lon, lat, depth = (np.broadcast_to(v, n) for v in (lon, lat, depth))
    return table(value=np.zeros(n), error_std=1.0, lon=lon, lat=lat, depth=depth, **more)


def roms(zeta=0.0, levels=8, times=None):
    """Bathymetry that is linear in longitude, levels that follow it, and a field linear in depth and position."""
    ds = s_coordinate(levels, theta_s=5.0, theta_b=2.0, hc=20.0)
    h = xr.DataArray(50.0 + 30.0 * (LON - 120.0), dims="lon").expand_dims(lat=LAT.size)
    ds = ds.assign_coords(lon=("lon", LON, {"units": "degrees_east"}), lat=("lat", LAT, {"units": "degrees_north"}))
    zeta = zeta if isinstance(zeta, xr.DataArray) else xr.full_like(h, zeta)
    ds = ds.assign(h=h, zeta=zeta)
    like = (zeta * h).expand_dims(s_rho=levels)
    ds["temp"] = like.transpose(..., "s_rho", "lat", "lon") * 0.0
    z = depths(ds, "temp")
    ds["temp"] = (20.0 - 0.05 * z + 0.3 * (ds.lat - 30.0)).transpose(*ds["temp"].dims)
    return ds, z


def test_a_field_linear_in_depth_on_terrain_following_levels():
    ds, z = roms()
    rng = np.random.default_rng(0)
    obs = at(rng.uniform(120, 124, 50), rng.uniform(30, 33, 50), rng.uniform(0, 170, 50))
    out = Profile(ds)(ds.temp, obs)
    floor = 50.0 + 30.0 * (obs.lon.values - 120.0)
    shallowest, deepest = (np.interp(obs.lon.values, LON, z.isel(lat=0, s_rho=k).values) for k in (-1, 0))
    inside = (obs.depth.values >= shallowest) & (obs.depth.values <= deepest)
    assert inside.sum() > 20
    wanted = 20.0 - 0.05 * np.clip(obs.depth.values, shallowest, deepest) + 0.3 * (obs.lat.values - 30.0)
    below = obs.depth.values > floor + 1e-9
    np.testing.assert_allclose(out.values[~below], wanted[~below], rtol=1e-12)
    assert np.isnan(out.values[below]).all()
    assert below.any()
    assert (~inside & ~below).any()


def test_edges_of_the_layers_end_at_the_sea_floor():
    ds, z = roms()
    field = ds.temp
    floor = 50.0 + 30.0 * 0.5
    out = Profile(ds)(field, at(120.5, 31.0, [floor - 0.01, floor + 0.01]))
    last = np.interp(120.5, LON, z.isel(lat=0, s_rho=0).values)
    np.testing.assert_allclose(out.values[0], 20 - 0.05 * last + 0.3, rtol=1e-12)
    assert np.isnan(out.values[1])
    field = ds.temp.assign_coords(lon=ds.lon + 0.5)
    with pytest.raises(ObservationError, match="other places"):
        Profile(ds)(field, at(121.5, 31.0, 5.0))
    given = Profile(depth_edges(ds, "temp"))(ds.temp, at(120.5, 31.0, [floor - 0.01, floor + 0.01]))
    assert np.isfinite(given.values).tolist() == [True, False]


def test_a_surface_below_the_datum_is_still_the_sea():
    ds, _ = roms(zeta=-2.0)
    field = ds.temp
    out = Profile(ds)(field, at(121.0, 31.0, [0.0, 0.5, 40.0]))
    np.testing.assert_allclose(out.values[:2], field.isel(s_rho=-1).sel(lon=121.0, lat=31.0).item())
    np.testing.assert_allclose(out.values[2], 20 - 0.05 * 40 + 0.3)


def test_depths_that_move_in_time_and_differ_between_members():
    time = np.array(["2015-01-01", "2015-01-03"], "datetime64[ns]")
    zeta = xr.DataArray([[0.0, 2.0], [1.0, -1.0], [0.5, 0.5]], dims=("member", "time"),
                        coords={"time": time, "member": [1, 5, 9]})  # fmt: skip
    zeta = zeta.expand_dims(lat=LAT.size, lon=LON.size).transpose("member", "time", "lat", "lon")
    ds, z = roms(zeta)
    obs = at([120.5, 122.3], [31.0, 32.5], [20.0, 60.0], time=["2015-01-02", "2015-01-01"])
    out = Profile(z)(ds.temp, obs)
    assert out.dims == ("member", "obs")
    assert out.member.values.tolist() == [1, 5, 9]
    wanted = 20.0 - 0.05 * obs.depth.values + 0.3 * (obs.lat.values - 30.0)
    np.testing.assert_allclose(out.values, np.broadcast_to(wanted, (3, 2)), rtol=1e-12)
    for chunks in ({"member": 1}, {"lat": 2, "lon": 2}, {"time": 1, "s_rho": 3}):
        for depth in (z, z.chunk(member=1)):
            lazy = Profile(depth)(ds.temp.chunk(chunks), obs)
            assert lazy.chunks is not None
            np.testing.assert_array_equal(lazy.values, out.values)
    assert np.isnan(Profile(z)(ds.temp, at(121.0, 31.0, 20.0, time="2015-01-09")).values).all()


def test_with_one_axis_of_depths_it_is_interp():
    rng = np.random.default_rng(1)
    depth = np.array([2.0, 10.0, 30.0, 75.0])
    time = np.array(["2015-01-01", "2015-01-02", "2015-01-04"], "datetime64[ns]")
    field = xr.DataArray(
        rng.normal(size=(3, 2, 4, LAT.size, LON.size)), dims=("time", "member", "depth", "lat", "lon"), name="temp",
        coords={"time": time, "depth": ("depth", depth, {"units": "m", "positive": "down"}), "lat": LAT, "lon": LON},
    )  # fmt: skip
    n = 80
    times = time[0] + rng.integers(-20, 100, n) * np.timedelta64(1, "h")
    obs = at(rng.uniform(119.5, 124.5, n), rng.uniform(29.5, 33.5, n), rng.uniform(0, 110, n), time=times)
    a, b = Interp()(field, obs).transpose("member", "obs"), Profile()(field, obs).transpose("member", "obs")
    assert 0 < np.isnan(a.values).sum() < a.size
    np.testing.assert_allclose(b.values, a.values, rtol=1e-12)
    up = field.isel(depth=slice(None, None, -1))
    np.testing.assert_allclose(Profile()(up, obs).transpose("member", "obs").values, a.values, rtol=1e-12)
    nearest = Profile(horizontal="nearest")(field, obs).transpose("member", "obs")
    np.testing.assert_allclose(nearest.values, Interp("nearest")(field, obs).transpose("member", "obs").values)
    single = Profile()(field.astype("f4"), obs)
    assert single.dtype == "float32"
    np.testing.assert_allclose(single.transpose("member", "obs").values, a.values, rtol=2e-5, atol=1e-5)


def test_partial_cells_and_neighbours_of_other_depth():
    """Two columns of thicknesses: the sea floor lies at 30 and at 50 m."""
    thick = xr.DataArray([[10.0, 10.0], [10.0, 20.0], [10.0, 20.0], [np.nan, 10.0]], dims=("lev", "lon"))
    value = xr.DataArray([[1.0, 3.0], [2.0, 4.0], [3.0, 5.0], [np.nan, 6.0]], dims=("lev", "lon"))
    coords = {"lon": [0.0, 1.0], "lat": [0.0, 1.0]}
    field = value.expand_dims(lat=2, axis=1).assign_coords(coords)
    field = field.assign_coords(
        thkcello=thick.assign_attrs(standard_name="cell_thickness", units="m").expand_dims(lat=2, axis=1)
    )
    deep = at([0.0, 0.0, 1.0, 1.0, 1.0], 0.5, [29.0, 31.0, 57.0, 59.0, 61.0])
    np.testing.assert_array_equal(Profile()(field, deep).values, [3.0, np.nan, 6.0, 6.0, np.nan])
    # Half-way: the fourth level is wet in one column of two, and half is enough; its values and depths are that one's alone.
    middle = Profile()(field, at(0.5, 0.5, [5.0, 12.5 + 5, 55.0, 61.0]))
    np.testing.assert_allclose(middle.values[[0, 1, 2]], [2.0, 3.0, 6.0])
    assert np.isnan(middle.values[3])
    strict = Profile(min_coverage=0.6)(field, at(0.5, 0.5, [32.5, 55.0]))
    assert strict.values[0] == 4.0
    assert np.isnan(strict.values[1])


def test_the_mean_over_what_was_observed():
    depth = xr.DataArray([5.0, 15.0, 30.0], dims="depth", attrs={"units": "m", "positive": "down"})
    field = xr.DataArray([1.0, 2.0, 4.0], dims="depth", coords={"depth": depth}).expand_dims(lat=2, lon=2)
    field = field.assign_coords(lat=[0.0, 1.0], lon=[0.0, 1.0])
    edges = [0.0, 10.0, 20.0, 40.0]
    obs = at(0.5, 0.5, [5.0, 10.0, 25.0, 39.0, 45.0], thickness=[10.0, 10.0, 20.0, 4.0, 12.0])
    out = Profile(edges, "layer_mean", thickness="thickness")(field, obs)
    np.testing.assert_allclose(out.values[:4], [1.0, 1.5, (5 * 2 + 15 * 4) / 20, 4.0])
    assert np.isnan(out.values[4])
    np.testing.assert_allclose(Profile(edges, "layer_mean", thickness=20.0)(field, obs).values[1], 1.5)
    with pytest.raises(ObservationError, match="needs thickness"):
        Profile(method="layer_mean")
    with pytest.raises(ObservationError, match="no column"):
        Profile(edges, "layer_mean", thickness="thick")(field, obs)
    with pytest.raises(ObservationError, match="thickness is -1"):
        Profile(edges, "layer_mean", thickness=-1.0)(field, obs)


def test_nothing_is_observed_above_the_surface():
    ds, _ = roms(zeta=-1.0)
    field = ds.temp
    out = Profile(ds, "layer_mean", thickness=1.0)(field, at(121.0, 31.0, [0.0, 0.6]))
    np.testing.assert_allclose(out.values, field.isel(s_rho=-1).sel(lon=121.0, lat=31.0).item())


def test_a_missing_level_between_others():
    depth = xr.DataArray([0.0, 10.0, 20.0, 30.0], dims="depth", attrs={"units": "m", "positive": "down"})
    field = xr.DataArray([1.0, np.nan, 3.0, 4.0], dims="depth", coords={"depth": depth}).expand_dims(lat=2, lon=2)
    field = field.assign_coords(lat=[0.0, 1.0], lon=[0.0, 1.0])
    out = Profile()(field, at(0.5, 0.5, [0.0, 5.0, 15.0, 20.0, 25.0]))
    np.testing.assert_array_equal(out.values, [1.0, np.nan, np.nan, 3.0, 3.5])


def test_it_is_linear_and_has_an_adjoint():
    ds, z = roms()
    rng = np.random.default_rng(7)
    obs = at(rng.uniform(120, 124, 12), rng.uniform(30, 33, 12), rng.uniform(0, 60, 12))
    operator = Profile(z)
    a, b = (xr.zeros_like(ds.temp) + rng.normal(size=ds.temp.shape) for _ in range(2))
    np.testing.assert_allclose(
        operator(2.0 * a - 3.0 * b, obs).values,
        2.0 * operator(a, obs).values - 3.0 * operator(b, obs).values,
        rtol=1e-10,
    )
    # Its matrix, by unit fields as members, gives the inner products of the adjoint.
    units = np.eye(a.size).reshape(a.size, *a.shape)
    members = xr.DataArray(units, dims=("member", *a.dims), coords=a.coords)
    matrix = operator(members, obs).transpose("obs", "member").values
    np.testing.assert_allclose(matrix @ a.values.ravel(), operator(a, obs).values, rtol=1e-10)
    y = rng.normal(size=12)
    np.testing.assert_allclose((matrix.T @ y) @ b.values.ravel(), y @ operator(b, obs).values, rtol=1e-10)
    np.testing.assert_allclose(matrix.sum(axis=1), 1.0)


def test_what_is_refused():
    ds, z = roms()
    with pytest.raises(ObservationError, match="depth"):
        Profile(z)(ds.temp, table(value=[0.0], error_std=1.0, lon=[121.0], lat=[31.0]))
    with pytest.raises(ObservationError, match="no vertical dimension"):
        Profile()(ds.h, at(121.0, 31.0, 5.0))
    with pytest.raises(ValueError, match="nothing says where the levels|zeta"):
        Profile()(ds.temp, at(121.0, 31.0, 5.0))
    with pytest.raises(ObservationError, match="turn back"):
        Profile(z.where(z.s_rho != z.s_rho[3], 0.0))(ds.temp, at(121.0, 31.0, 5.0))
    with pytest.raises(ObservationError, match="vary along 'time'"):
        Profile(z.expand_dims(time=2))(ds.temp, at(121.0, 31.0, 5.0))
    for bad in ({"method": "cubic"}, {"horizontal": "idw"}, {"thickness": 3.0}):
        with pytest.raises(ObservationError, match=next(iter(bad))):
            Profile(**bad)


def test_outside_the_field():
    ds, z = roms()
    out = Profile(z)(ds.temp, at([10.0, 121.0], 31.0, 20.0))
    assert np.isfinite(out.values).tolist() == [False, True]
    assert np.isnan(Profile(z)(ds.temp, at(10.0, 31.0, 20.0)).values).all()
