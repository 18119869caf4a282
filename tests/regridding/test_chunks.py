"""Lazy fields in many chunks: the same numbers to the bit, and only the chunks that are needed."""

import dask
import dask.array
import numpy as np
import pytest
import xarray as xr
from analytic import on_grid, rotated_grid, vortex

from oceankit.fields import Grid
from oceankit.regridding import Regridder

METHODS = ("nearest", "bilinear", "bicubic", "conservative", "conservative2")


def cube(grid: Grid, dtype=np.float64) -> xr.DataArray:
    """Two times and two levels of a field with holes that differ."""
    rng = np.random.default_rng(5)
    field = on_grid(grid, vortex, "sst").astype(dtype)
    stack = xr.concat([field + k for k in range(4)], "n")
    holes = rng.random(stack.shape) < 0.08
    return stack.where(~holes).assign_attrs(units="degC")


SOURCES = {
    "global": lambda: Grid.global_regular(4.0),
    "southward": lambda: Grid.from_dataset(
        xr.Dataset(coords={"lat": np.arange(88.0, -90, -4), "lon": np.arange(-178.0, 180, 4)})
    ),
    "tilted": lambda: rotated_grid(30, 40),
}
TARGETS = {
    "regular": lambda: Grid.regular(lon=(-40, 60, 2.5), lat=(-50, 90, 2.5)),
    "tilted": lambda: rotated_grid(20, 25, lon=(-20, 25), lat=(-25, 15), pole=(50.0, 150.0)),
    "points": lambda: Grid.points(np.linspace(-60, 30, 50), np.linspace(20, 60, 50)),
}


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("skipna", [True, False])
def test_chunks_do_not_change_a_bit(source, target, method, skipna):
    if method.startswith("conservative") and target == "points":
        pytest.skip("points have no cells")
    grid = SOURCES[source]()
    field = cube(grid)
    regridder = Regridder(grid, TARGETS[target](), method, skipna=skipna)
    expected = regridder(field)
    covered = regridder.coverage(field)
    for sizes in ((7, 11), (field.shape[1], 13)):
        chunks = {"n": 3, **dict(zip(grid.dims, sizes, strict=True))}
        lazy = regridder(field.chunk(chunks))
        assert dask.is_dask_collection(lazy)
        assert lazy.dtype == expected.dtype
        xr.testing.assert_identical(lazy.compute(scheduler="synchronous"), expected)
        np.testing.assert_allclose(regridder.coverage(field.chunk(chunks)).values, covered.values, atol=1e-14)


def watched(field: xr.DataArray, chunks: dict) -> tuple[xr.DataArray, list]:
    """The field in chunks, and a list of the chunks that get loaded."""
    loaded: list = []
    blocks = field.chunk(chunks)

    def note(block, block_info=None):
        if block_info is not None and block.size:
            loaded.append(block_info[0]["chunk-location"])
        return block

    return blocks.copy(data=dask.array.map_blocks(note, blocks.data, dtype=blocks.dtype, meta=np.empty((0, 0)))), loaded


@pytest.mark.parametrize("method", METHODS)
def test_only_the_chunks_that_are_touched_are_loaded(method):
    grid = Grid.global_regular(2.0)
    field, loaded = watched(on_grid(grid, vortex), {"lat": 15, "lon": 20})
    # Chunks are 30 x 40 degrees; stencils reach over one edge of the one that the target lies in.
    target = Grid.regular(lon=(121, 139, 1), lat=(-25, -5, 1))
    Regridder(grid, target, method)(field).compute(scheduler="synchronous")
    assert (2, 3) in loaded
    assert set(loaded) <= {(2, 3), (2, 2)}


def test_a_part_of_the_result_loads_its_part_of_the_source():
    grid = Grid.global_regular(2.0)
    field, loaded = watched(on_grid(grid, vortex), {"lat": 15, "lon": 20})
    out = Regridder(grid, 1.0, "conservative")(field)
    assert max(len(c) for c in out.chunks) > 1
    out.isel(lat=slice(0, 5), lon=slice(0, 5)).compute(scheduler="synchronous")
    assert 0 < len(set(loaded)) <= 4


def test_targets_without_a_source_are_missing():
    grid = Grid.regular(lon=(0, 40, 2), lat=(0, 40, 2))
    field = on_grid(grid, vortex)
    regridder = Regridder(grid, 5.0, "conservative")
    lazy = regridder(field.chunk(lat=5, lon=5))
    xr.testing.assert_identical(lazy.compute(), regridder(field))
    assert int(np.isfinite(lazy).sum()) == 64


def test_a_masked_target_in_many_chunks():
    grid = Grid.global_regular(4.0)
    field = on_grid(grid, vortex)
    like = on_grid(Grid.global_regular(10.0), vortex)
    target = Grid.from_dataset(like, mask=like > 2)
    regridder = Regridder(grid, target, "bilinear")
    xr.testing.assert_identical(regridder(field.chunk(lat=9, lon=30)).compute(), regridder(field))
    assert int(np.isfinite(regridder(field)).sum()) == int((like > 2).sum())
