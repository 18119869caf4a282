"""The mean over a footprint against a plain loop over all cells; lazy and eager alike."""

import numpy as np
import pytest
import xarray as xr
from analytic import on_grid, rotated_grid, vortex

from oceankit.fields import Grid
from oceankit.numerics.sphere import great_circle_distance
from oceankit.observations import ObservationError, table
from oceankit.observations.operators import Interp


def at(lon, lat, **more):
    return table(value=np.zeros(len(lon)), error_std=1.0, lon=lon, lat=lat, **more)


def by_hand(field, grid, obs, radius, least):
    """Each observation looks at each cell."""
    lon, lat = np.meshgrid(grid.lon, grid.lat) if grid.kind == "rectilinear" else (grid.lon.values, grid.lat.values)
    area = grid.area(edges="latitude").values
    out = np.full(obs.sizes["obs"], np.nan)
    for i in range(out.size):
        near = great_circle_distance(lon, lat, float(obs.lon[i]), float(obs.lat[i])) <= radius
        there = near & np.isfinite(field.values)
        if there.any() and area[there].sum() >= (least - 1e-9) * area[near].sum():
            out[i] = np.average(field.values[there], weights=area[there])
    return out


@pytest.mark.parametrize("grid", [Grid.regular(lon=(100, 140, 0.5), lat=(50, 80, 0.5)), rotated_grid(40, 60)])
@pytest.mark.parametrize("least", [0.0, 0.5, 1.0])
def test_the_mean_of_the_cells_around(grid, least):
    rng = np.random.default_rng(3)
    field = on_grid(grid, vortex, "ssh")
    field = field.where(rng.random(field.shape) > 0.3)
    some = rng.choice(grid.size, 60)
    lon, lat = np.meshgrid(grid.lon, grid.lat) if grid.kind == "rectilinear" else (grid.lon.values, grid.lat.values)
    obs = at(lon.ravel()[some] + rng.normal(0, 0.3, 60), np.clip(lat.ravel()[some] + rng.normal(0, 0.3, 60), -90, 90))
    out = Interp("cell_mean", footprint=180.0, min_coverage=least)(field, obs, grid=grid)
    np.testing.assert_allclose(out.values, by_hand(field, grid, obs, 90.0, least), rtol=1e-12)


def test_no_centre_within_the_footprint_is_outside():
    field = xr.DataArray(np.ones((3, 3)), dims=("lat", "lon"), coords={"lat": [0.0, 1, 2], "lon": [0.0, 1, 2]})
    out = Interp("cell_mean", footprint=50.0)(field, at([1.0, 1.5, 90.0], [1.0, 1.5, 0.0]))
    np.testing.assert_array_equal(out.values, [1.0, np.nan, np.nan])
    assert np.isnan(Interp("cell_mean", footprint=50.0)(field, at([90.0], [0.0])).values).all()


def test_other_dimensions_chunks_time_and_depth():
    rng = np.random.default_rng(0)
    grid = Grid.regular(lon=(0, 20, 1), lat=(0, 15, 1))
    coords = {**grid.coords(), "depth": ("depth", [0.0, 10.0], {"units": "m"}),
              "time": np.array(["2015-01-01", "2015-01-03"], "datetime64[ns]"), "member": [3, 4, 5]}  # fmt: skip
    dims = ("time", "member", "depth", *grid.dims)
    field = xr.DataArray(rng.normal(size=(2, 3, 2, 15, 20)).astype("f4"), dims=dims, coords=coords, name="t")
    obs = at(rng.uniform(2, 18, 9), rng.uniform(2, 13, 9), time="2015-01-02", depth=2.5)
    operator = Interp("cell_mean", footprint=400.0)
    out = operator(field, obs)
    assert set(out.dims) == {"member", "obs"}
    assert out.dtype == "float32"
    assert out.member.values.tolist() == [3, 4, 5]
    for chunks in ({"member": 1}, {"lat": 4, "lon": 7}, {"time": 1, "depth": 1, "lat": 5}):
        lazy = operator(field.chunk(chunks), obs)
        assert lazy.chunks is not None
        np.testing.assert_allclose(lazy.transpose(*out.dims).values, out.values, rtol=1e-6)
    weights = field.isel(time=0) * 0.5 + field.isel(time=1) * 0.5
    single = operator((weights.isel(depth=0) * 0.75 + weights.isel(depth=1) * 0.25), obs)
    np.testing.assert_allclose(out.transpose(*single.dims).values, single.values, rtol=1e-5)


def test_on_a_plane_and_masked():
    grid = Grid.regular(x=(0, 4, 1), y=(0, 4, 1))
    field = xr.DataArray(np.arange(16.0).reshape(4, 4), dims=grid.dims, coords=grid.coords())
    obs = table(value=[0.0], error_std=1.0, x=[2.0], y=[2.0])
    assert Interp("cell_mean", footprint=1.5)(field, obs).values.tolist() == [7.5]
    mask = field != 5.0
    masked = Grid.from_dataset(field, mask=mask)
    out = Interp("cell_mean", footprint=1.5)(field, obs, grid=masked)
    np.testing.assert_allclose(out.values, [(6 + 9 + 10) / 3])
    assert np.isnan(Interp("cell_mean", footprint=1.5, min_coverage=0.8)(field, obs, grid=masked).values).all()
    with pytest.raises(ObservationError, match="both x and y"):
        Interp("cell_mean", footprint=1.5)(field, at([1.0], [1.0]))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "cell_mean"}, "needs footprint"),
        ({"method": "nearest", "footprint": 3.0}, "belongs to method='cell_mean'"),
        ({"method": "cell_mean", "footprint": -3.0}, "footprint=-3.0"),
        ({"method": "cubic"}, "method='cubic' is not known"),
    ],
)
def test_what_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Interp(**options)


def test_packed_fields_are_refused():
    field = xr.DataArray(np.ones((3, 3), "i2"), dims=("lat", "lon"), coords={"lat": [0.0, 1, 2], "lon": [0.0, 1, 2]})
    with pytest.raises(ObservationError, match="scale_factor"):
        Interp("cell_mean", footprint=300.0)(field.assign_attrs(scale_factor=0.01), at([1.0], [1.0]))
