"""Extrapolation: against SciPy's k-d tree and a plain walk from ring to ring."""

import pickle

import dask
import numpy as np
import pytest
import xarray as xr
from analytic import on_grid, rotated_grid, smooth, vortex
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import cKDTree

from oceankit.fields import Grid, GridError
from oceankit.fields.adjacency import adjacency
from oceankit.numerics import threads
from oceankit.numerics.sphere import unit_vectors
from oceankit.regridding import Regridder, regrid
from oceankit.regridding import _extrapolation_kernels as kernels

HOW = ("nearest", "inverse_distance", "creep")


def holed(step: float, seed: int = 0, share: float = 0.6) -> xr.DataArray:
    """A global field with large holes and small ones."""
    field = on_grid(Grid.global_regular(step), vortex, "sst")
    rng = np.random.default_rng(seed)
    lon, lat = np.radians(field.lon), np.radians(field.lat)
    land = np.sin(3 * lon + seed) * np.cos(lat) + 0.3 * np.sin(5 * lat) > 1 - 2 * share
    land = land.transpose("lat", "lon")
    return field.where(~land & (rng.random(field.shape) < 0.95))


def vectors(grid: Grid) -> np.ndarray:
    lon, lat = grid.lon.values, grid.lat.values
    if grid.kind == "rectilinear":
        lon, lat = np.meshgrid(lon, lat)
    return unit_vectors(lon.ravel(), lat.ravel())


# ---- from the source ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["nearest", "bilinear", "conservative", "mean"])
@pytest.mark.parametrize("k", [1, 5])
def test_from_the_nearest_valid_sources(method, k):
    """Every target has a value: its own if it had one, otherwise what scipy's tree finds among the valid cells."""
    field = holed(5.0)
    target = Grid.regular(lon=(-10, 350, 3), lat=(-84, 84, 4))
    plain = Regridder(field, target, method)(field)
    how = {"extrapolate": "nearest"} if k == 1 else {"extrapolate": "inverse_distance", "neighbours": k, "power": 1.5}
    filled = Regridder(field, target, method, **how)(field).values
    had = np.isfinite(plain.values)
    assert 500 < (~had).sum() < plain.size - 500
    np.testing.assert_array_equal(filled[had], plain.values[had])
    valid = np.isfinite(field.values.ravel())
    apart, order = cKDTree(vectors(Grid.from_dataset(field))[valid]).query(vectors(target)[~had.ravel()], k=k + 1)
    weights = (2 * np.arcsin(apart[:, :k] / 2)) ** -1.5
    values = field.values.ravel()[valid][order[:, :k]]
    values = (weights * values).sum(axis=1) / weights.sum(axis=1)
    # Of two centres equally far the first is taken, and scipy's tree may take the other.
    tie = apart[:, k] - apart[:, k - 1] < 1e-12
    assert tie.mean() < 0.2
    np.testing.assert_allclose(filled[~had][~tie], values[~tie], rtol=1e-12)
    if k == 1:
        assert np.isin(filled, [*field.values.ravel(), *plain.values.ravel()]).all()


def test_ties_go_to_the_first():
    data = xr.DataArray([np.nan, 2.0, 3.0, 4.0], dims="points")
    source = Grid.points([0.0, 10.0, -10.0, 10.0], [0.0, 0.0, 0.0, 0.0])
    assert Regridder(source, Grid.points([0.0], [0.0]), "nearest", extrapolate="nearest")(data).values.tolist() == [2.0]


def test_outside_the_source():
    """Targets beyond the source's cells are filled too, as far as they may be."""
    field = on_grid(Grid.regular(lon=(100, 110, 1), lat=(0, 10, 1)), smooth)
    out = regrid(field, 10.0, "bilinear", extrapolate="nearest")
    assert np.isfinite(out.values).all()
    assert float(out.sel(lon=285, lat=-85)) in field.values
    assert np.isnan(regrid(field, 10.0, "bilinear").values).sum() == out.size - 1


def test_masked_cells_of_both_sides():
    field = holed(10.0)
    source = Grid.from_dataset(field.to_dataset(), mask=(field.lon < 180).broadcast_like(field))
    shown = xr.DataArray(np.arange(18 * 36).reshape(18, 36) % 4 > 0, dims=("lat", "lon"))
    target = Grid.from_dataset(field.to_dataset(), mask=shown)
    wild = field.where(field.lon < 180, 1e6)
    for how in HOW:
        out = Regridder(source, target, "nearest", extrapolate=how)(wild).values
        np.testing.assert_array_equal(np.isfinite(out), target.mask.values)
        assert np.nanmax(out) <= np.nanmax(field.values)


def test_on_a_plane():
    x, y = np.arange(0.5, 10), np.arange(0.5, 8)
    field = xr.DataArray(2 * x[None] - 3 * y[:, None], dims=("y", "x"), coords={"x": x, "y": y})
    target = Grid.points(x=[1.5, 12.0, -3.0], y=[2.5, 20.0, 4.0])
    out = Regridder(field, target, "nearest", extrapolate="nearest")(field.where(field.x > 2)).values
    np.testing.assert_allclose(out, [5 - 7.5, 19 - 22.5, 5 - 10.5])


# ---- ring by ring -----------------------------------------------------------------------------------------------------------


def walk(values: np.ndarray, beside: list[list[int]], closed: np.ndarray, levels: int | None) -> np.ndarray:
    """Creep in plain Python."""
    values = values.copy()
    ring = 0
    while levels is None or ring < levels:
        found = {}
        for cell in np.flatnonzero(np.isnan(values) & ~closed):
            near = [values[c] for c in beside[cell] if not np.isnan(values[c])]
            if near:
                found[cell] = sum(near) / len(near)
        if not found:
            break
        for cell, value in found.items():
            values[cell] = value
        ring += 1
    return values


def neighbours_of(grid: Grid) -> list[list[int]]:
    beside = adjacency(grid)
    return [beside.columns[a:b].tolist() for a, b in zip(beside.start[:-1], beside.start[1:], strict=True)]


@pytest.mark.parametrize("levels", [None, 1, 3])
@pytest.mark.parametrize("masked", [False, True])
def test_creep_is_a_walk_from_ring_to_ring(levels, masked):
    field = holed(6.0, share=0.7)
    target = Grid.global_regular(4.0)
    shown = np.random.default_rng(0).random(target.shape) < (0.6 if masked else 2.0)
    if masked:
        ds = xr.Dataset(coords=target.coords())
        target = Grid.from_dataset(ds, mask=xr.DataArray(shown, dims=target.dims))
    plain = Regridder(field, target, "bilinear")(field).values.ravel()
    ours = Regridder(field, target, "bilinear", extrapolate="creep", creep_levels=levels)(field).values.ravel()
    expected = walk(plain, neighbours_of(target), ~shown.ravel(), levels)
    np.testing.assert_allclose(ours, expected, rtol=1e-14)
    assert np.isfinite(ours).sum() > np.isfinite(plain).sum()
    if levels == 1:
        assert np.isnan(ours[shown.ravel()]).any()


def test_creep_in_a_row():
    """By hand: both sides go on with their last value and meet in the mean."""
    field = on_grid(Grid.regular(lon=(0, 9, 1), lat=(0, 2, 1)), smooth)
    field[:] = [[1.0, np.nan, np.nan, np.nan, np.nan, np.nan, 4.0, 8.0, np.nan], [np.nan] * 9]
    target = Grid.from_dataset(field.to_dataset(), mask=xr.DataArray([[True] * 9, [False] * 9], dims=("lat", "lon")))
    out = Regridder(field, target, "nearest", extrapolate="creep")(field).values
    np.testing.assert_array_equal(out[0], [1, 1, 1, 2.5, 4, 4, 4, 8, 8])
    two = Regridder(field, target, "nearest", extrapolate="creep", creep_levels=2)(field).values
    np.testing.assert_array_equal(two[0], [1, 1, 1, np.nan, 4, 4, 4, 8, 8])
    assert np.isnan(out[1]).all()


def test_creep_across_the_seam_and_the_fold(nemo):
    """On eORCA1 values go on across the seam in longitude and across the fold."""
    grid = Grid.from_dataset(nemo)
    for row, column, over in ((150, 359, (150, 0)), (329, 30, (329, 329))):
        field = xr.DataArray(np.full(grid.shape, np.nan), dims=grid.dims)
        field[row, column] = 3.0
        out = Regridder(grid, grid, "nearest", extrapolate="creep", creep_levels=1)(field)
        assert float(out[over]) == 3.0
        assert int(out.notnull().sum()) == 5


def test_creep_on_a_mesh(shared):
    with xr.open_dataset(shared / "data/unstructured/SFBOFS_subset1.nc", decode_times=False) as ds:
        faces = Grid.from_dataset(ds.load())
    rng = np.random.default_rng(5)
    field = xr.DataArray(rng.normal(size=faces.size), dims=faces.dims)
    field = field.where(rng.random(faces.size) < 0.05)
    ours = Regridder(faces, faces, "nearest", extrapolate="creep")(field).values
    np.testing.assert_allclose(ours, walk(field.values, neighbours_of(faces), np.zeros(faces.size, bool), None))
    assert np.isfinite(ours).all()


@given(st.integers(0, 1000), st.floats(0.02, 0.98))
@settings(max_examples=20, deadline=None)
def test_creep_reaches_all_and_stays_within(seed, share):
    rng = np.random.default_rng(seed)
    grid = Grid.global_regular(15.0)
    field = on_grid(grid, vortex).where(rng.random(grid.shape) < share)
    field[3, 4] = 1.0
    out = Regridder(grid, grid, "nearest", extrapolate="creep")(field).values
    assert np.isfinite(out).all()
    assert out.min() >= np.nanmin(field.values) - 1e-12
    assert out.max() <= np.nanmax(field.values) + 1e-12


# ---- what holds for all of them -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("method", ["conservative", "bilinear", "idw", "median"])
def test_a_constant_stays_constant_and_is_everywhere(method, how):
    field = holed(5.0) * 0 + 1 / 3
    out = regrid(field, 4.0, method, extrapolate=how).values
    assert np.abs(out - 1 / 3).max() < 1e-14


@pytest.mark.parametrize("how", HOW)
def test_nothing_comes_of_nothing(how):
    field = holed(10.0)
    stacked = xr.concat([field, field * np.nan, field + 1], dim="time")
    out = Regridder(field, 9.0, extrapolate=how)(stacked).values
    assert np.isnan(out[1]).all()
    assert np.isfinite(out[[0, 2]]).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("how", HOW)
def test_from_the_very_field_whatever_the_chunks_and_threads(how, dtype):
    """Each time and level is filled from its own valid cells: the same as one by one."""
    cube = xr.concat([holed(9.0, seed=s, share=0.3 + 0.1 * (s % 3)) for s in (0, 1, 0, 2, 0)], dim="time")
    cube = (cube * xr.DataArray([1.0, -2.0], dims="depth")).astype(dtype).transpose("time", "depth", "lat", "lon")
    cube = cube.rename("sst")
    regridder = Regridder(cube, Grid.regular(lon=(90, 200, 5), lat=(-60, 65, 5)), extrapolate=how, min_coverage=0.9)
    with threads.limit(1):
        eager = regridder(cube)
    assert eager.dtype == dtype
    assert np.isfinite(eager.values).all()
    with threads.limit(3):
        xr.testing.assert_identical(eager, regridder(cube))
    for t in range(5):
        fresh = Regridder(cube, regridder.target, extrapolate=how, min_coverage=0.9)
        np.testing.assert_array_equal(fresh(cube[t, 1]).values, eager.values[t, 1])
    for chunks in ({"time": 1}, {"depth": 1, "time": 2}, {"lat": 7, "lon": 20}, {"lat": 10, "time": 3}):
        lazy = regridder(cube.chunk(chunks))
        assert dask.is_dask_collection(lazy)
        xr.testing.assert_identical(eager, lazy.compute())
    again = pickle.loads(pickle.dumps(regridder._filler.value))
    out = Regridder(cube, regridder.target, min_coverage=0.9)(cube).values.reshape(10, -1)
    again.fill(np.ascontiguousarray(cube.values.reshape(10, -1)), out)
    np.testing.assert_array_equal(out.reshape(eager.shape), eager.values)


def test_the_filler_is_one_key_of_the_graph():
    field = holed(10.0).expand_dims(time=6)
    regridder = Regridder(field, 9.0, extrapolate="nearest")
    graph = dict(regridder(field.chunk(time=1)).__dask_graph__())
    kinds = [type(getattr(v, "value", v)).__name__ for v in graph.values()]
    assert kinds.count("FromSource") == 1


def test_coverage_and_weights_are_of_the_method_alone():
    field = holed(10.0)
    plain, filled = Regridder(field, 9.0), Regridder(field, 9.0, extrapolate="creep")
    xr.testing.assert_identical(plain.coverage(field), filled.coverage(field))
    xr.testing.assert_identical(plain.weights, filled.weights)


def test_a_file_keeps_it(tmp_path):
    field = holed(10.0)
    for options in (
        {"extrapolate": "creep", "creep_levels": 2},
        {"extrapolate": "inverse_distance", "neighbours": 3, "power": 1.0},
    ):
        regridder = Regridder(field, 9.0, **options)
        regridder.save(tmp_path / "r.nc")
        xr.testing.assert_identical(Regridder.load(tmp_path / "r.nc")(field), regridder(field))


def test_land_of_eorca1_is_filled(nemo):
    """The northernmost land has what is nearest to it at sea."""
    sst = nemo["tos"].squeeze(drop=True).astype(np.float64)
    out = Regridder(nemo, 2.0, "bilinear", extrapolate="nearest")(sst)
    assert bool(out.notnull().all())
    plain = Regridder(nemo, 2.0, "bilinear")(sst)
    sea = sst.values.ravel()
    valid = np.isfinite(sea)
    points = unit_vectors(sst.nav_lon.values.ravel(), sst.nav_lat.values.ravel())
    need = plain.isnull().values.ravel()
    apart, order = cKDTree(points[valid]).query(vectors(Grid.global_regular(2.0))[need], k=2)
    clear = apart[:, 1] - apart[:, 0] > 1e-9
    np.testing.assert_array_equal(out.values.ravel()[need][clear], sea[valid][order[clear, 0]])
    assert clear.mean() > 0.9


def test_kernels_as_python():
    rng = np.random.default_rng(1)
    grid = rotated_grid(5, 6)
    beside = adjacency(grid)
    values = np.where(rng.random(30) < 0.2, rng.normal(size=30), np.nan)
    closed = rng.random(30) < 0.2
    values[closed] = np.nan
    for levels in (-1, 2):
        ours = values.copy()
        kernels.creep.py_func(ours, beside.start, beside.columns, closed, levels)
        expected = walk(values, neighbours_of(grid), closed, None if levels < 0 else levels)
        np.testing.assert_allclose(ours, expected, rtol=1e-14)
    fields, sources = rng.normal(size=(3, 20)), rng.integers(0, 20, (8, 4))
    weights, out = rng.random((8, 4)), np.full((3, 8), np.nan)
    out[1, 2] = 7.0
    kernels.put.py_func(fields, np.array([1, 2]), sources, weights, np.arange(8), out)
    expected = (weights * fields[:, sources]).sum(axis=-1) / weights.sum(axis=1)
    expected[0], expected[1, 2] = np.nan, 7.0
    np.testing.assert_allclose(out, expected, rtol=1e-13)


# ---- mistakes ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"extrapolate": "linear"}, r"extrapolate='linear' is not known.*'creep'"),
        ({"extrapolate": "creep", "creep_levels": 0}, "creep_levels=0; give a whole number"),
        ({"extrapolate": "creep", "creep_levels": 1.5}, r"creep_levels=1\.5"),
        ({"extrapolate": "nearest", "creep_levels": 2}, "creep_levels=2 is for extrapolate='creep', not for 'nearest'"),
        ({"creep_levels": 2}, "creep_levels=2 is for extrapolate='creep'"),
        ({"extrapolate": "nearest", "skipna": False}, r"extrapolate='nearest' fills.*skipna=False.*choose one"),
        ({"extrapolate": "nearest", "method": "count"}, r"extrapolate='nearest'.*a count is 0"),
    ],
)
def test_options_that_contradict(options, message):
    with pytest.raises(ValueError, match=message):
        Regridder(Grid.global_regular(30), 30.0, **({"method": "bilinear"} | options))


def test_points_cannot_creep():
    field = holed(30.0)
    with pytest.raises(GridError, match=r"creep.*list of points.*'nearest'"):
        Regridder(field, Grid.points([0.0], [0.0]), extrapolate="creep")
