"""Kernels behind xarray: lazy in and lazy out, the same numbers whatever the chunks and threads."""

import dask
import dask.array
import numpy as np
import pytest
import xarray as xr

from oceankit.fields import blocks, gathering
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


# ---- targets that need a few cells of a lazy field ---------------------------------------------------------------------


def watched(chunks):
    """A field of two members in chunks, the places in it, and a list of the chunks that get loaded."""
    loaded: list = []
    values = np.random.default_rng(2).normal(size=(2, 40, 60))

    def note(block, block_info=None):
        if block_info is not None and block.size:
            loaded.append(block_info[0]["chunk-location"])
        return block

    data = dask.array.from_array(values, chunks=chunks).map_blocks(note, dtype=float, meta=np.empty((0, 0, 0)))
    return xr.DataArray(data, dims=("member", "lat", "lon")), values.reshape(2, -1), loaded


def seen(field, columns):
    """Sums of two neighbouring cells at each target; -1 needs none."""

    def part(targets):
        mine = columns[targets]
        cells = np.unique(np.concatenate([mine[mine >= 0], mine[mine >= 0] + 1]))
        place = np.searchsorted(cells, mine)

        def work(values):
            out = np.full((len(values), mine.size), np.nan)
            out[:, mine >= 0] = values[:, place[mine >= 0]] + values[:, place[mine >= 0] + 1]
            return out

        return cells, work

    output = blocks.Output(("obs",), (columns.size,), float)
    return gathering.gathered(field, ["lat", "lon"], output, part, lambda: columns)


@pytest.mark.parametrize("members", [1, 2])
@pytest.mark.parametrize("kind", ["at random", "sorted", "in a corner", "none"])
def test_targets_in_any_order_load_each_chunk_once_and_few_at_a_time(kind, members, monkeypatch):
    rng = np.random.default_rng(3)
    row, column = rng.integers(0, 40, 500), rng.integers(0, 59, 500)
    if kind == "in a corner":
        row, column = row // 5, column // 6
    columns = row * 60 + column
    columns = {"none": np.full(500, -1), "sorted": np.sort(columns)}.get(kind, columns)
    columns[rng.random(500) < 0.1] = -1
    for piece in (2**25, 1000):
        monkeypatch.setattr(gathering, "_PIECE", piece)
        field, values, loaded = watched((members, 8, 10))
        out = seen(field, columns)
        with dask.config.set(scheduler="synchronous"):
            found = out.values
        expected = np.where(columns >= 0, values[:, columns] + values[:, columns + 1], np.nan)
        np.testing.assert_array_equal(found, expected)
        corner = {"in a corner": 2, "none": 0}.get(kind, 5 * 6)
        assert len(loaded) == len(set(loaded)) == corner * (2 // members)
        layers = {n.rpartition("-")[0]: layer for n, layer in out.data.dask.layers.items()}
        picks, tiles = (
            [v for k, v in layers["gather"].items() if k[0].startswith(name)] for name in ("pick", "gather")
        )
        assert len(picks) == len(loaded)
        # A tile is of one chunk of first cells and of the neighbours of these; rows that are sorted run through all columns.
        assert max((len(t[2]) for t in tiles if len(t) == 3), default=0) <= (6 if kind == "sorted" else 2)
        # Each chunk is loaded and its cells picked in one task.
        if members == 2 and kind != "none":
            tasks = dask.array.optimize(out.data.dask, out.data.__dask_keys__())
            assert not [k for k in tasks if str(k[0]).startswith("note")]


def test_targets_whose_order_is_good_keep_it():
    field, _, loaded = watched((2, 8, 60))
    out = seen(field, np.arange(0, 2400, 7))
    assert out.data.numblocks == (1, 5)
    with dask.config.set(scheduler="synchronous"):
        out[:, :60].compute()
    assert len(loaded) == 1
