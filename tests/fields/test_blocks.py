"""Kernels behind xarray: lazy in and lazy out, the same numbers whatever the chunks and threads."""

import dask
import dask.array
import numpy as np
import pytest
import xarray as xr

from oceankit.fields import blocks
from oceankit.numerics import threads


@pytest.fixture
def cube() -> xr.DataArray:
    values = np.random.default_rng(0).normal(size=(5, 6, 7, 3))
    return xr.DataArray(values, dims=("time", "lat", "lon", "member"), coords={"lat": np.arange(6.0)}, name="cube")


def centred(rows, *, offset):
    mean = rows.mean(axis=1)
    return rows - mean[:, None] + offset, mean


def run(field):
    size = field.sizes["time"]
    outputs = [blocks.Output(("step",), (size,), field.dtype), blocks.Output((), (), np.float64)]
    return blocks.along(centred, field, ["time"], outputs, constants={"offset": 2.0}, rechunk=True)


@pytest.mark.parametrize("chunks", [{}, {"lat": 2}, {"lat": 1, "lon": 3, "member": 1}, {"time": 2, "lon": 2}])
def test_chunks_change_nothing(cube, chunks):
    eager, lazy = run(cube), run(cube.chunk(chunks))
    assert all(dask.is_dask_collection(x) for x in lazy)
    for a, b in zip(eager, lazy, strict=True):
        xr.testing.assert_identical(a, b.compute())
    expected = cube - cube.mean("time") + 2
    np.testing.assert_allclose(eager[0].values, expected.transpose("lat", "lon", "member", "time").values)


@pytest.mark.parametrize("number", [1, 2, 3])
def test_threads_change_nothing(cube, number):
    with threads.limit(number):
        xr.testing.assert_identical(run(cube)[0], run(cube.chunk(lat=3))[0].compute())


def test_a_chunked_core_dimension_is_refused_unless_it_may_be_merged(cube):
    with pytest.raises(ValueError, match=r"'cube' has 'time' in 3 chunks.*chunk\(\{'time': -1\}\)"):
        blocks.along(centred, cube.chunk(time=2), ["time"], [], constants={"offset": 0})
    with pytest.raises(ValueError, match=r"'cube' has no dimension 'depth'"):
        blocks.along(centred, cube, ["depth"], [])


class Large:
    """A constant that tells how often it is pickled."""

    pickled = 0

    def __reduce__(self):
        Large.pickled += 1
        return (Large, ())


def test_constants_are_one_key_of_the_graph():
    marker = Large()
    field = xr.DataArray(dask.array.zeros((40, 4), chunks=(1, 4)), dims=("a", "b"))
    (out,) = blocks.along(
        lambda rows, *, constant: rows,
        field,
        ["b"],
        [blocks.Output(("b",), (4,), float)],
        constants={"constant": marker},
    )
    graph = dict(out.__dask_graph__())
    holders = [k for k, v in graph.items() if v is marker or getattr(v, "value", None) is marker]
    assert len(holders) == 1
    assert len(graph) >= 40


@pytest.mark.parametrize("chunks", [None, {"lat": 2}, {"time": 1, "lon": 4}])
def test_pointwise_broadcasts_what_belongs_to_each_value(cube, chunks):
    def kernel(values, lat, lon, *, factor):
        return np.stack([values * factor + lat, lon], axis=1)

    lat = xr.DataArray(np.arange(6.0), dims="lat")
    lon = xr.DataArray(np.arange(42.0).reshape(7, 6), dims=("lon", "lat"))
    field = cube if chunks is None else cube.chunk(chunks)
    first, second = blocks.pointwise(kernel, field, [lat, lon], 2, constants={"factor": 3.0})
    assert dask.is_dask_collection(first) == (chunks is not None)
    np.testing.assert_allclose(first.values, (cube * 3 + lat).transpose(*cube.dims).values)
    np.testing.assert_allclose(second.values, lon.broadcast_like(cube).transpose(*cube.dims).values)
    with pytest.raises(ValueError, match="'depth'"):
        blocks.pointwise(kernel, cube, [lat.rename(lat="depth")], 1)
