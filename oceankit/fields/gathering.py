"""Targets of which each needs a few cells of a lazy field, without loading the rest of it.

In two stages: of each chunk the cells that any target needs, then tiles of targets from these. So no task holds more
than one chunk of the field, and each is loaded once.
"""

import math
from collections.abc import Callable, Hashable, Sequence
from itertools import pairwise
from typing import Any
from uuid import uuid4

import dask
import dask.array
import numpy as np
import xarray as xr
from dask.highlevelgraph import HighLevelGraph

from oceankit.fields.blocks import Output

__all__ = ["gathered"]

# Targets keep their order where a tile of them begins in no more chunks than this, in the mean.
_FEW_CHUNKS = 4

# Targets that were put in another order go back to theirs in pieces of about so many bytes.
_PIECE = 2**25


def gathered(
    field: xr.DataArray,
    dims: Sequence[Hashable],
    output: Output,
    part: Callable[[np.ndarray], tuple[np.ndarray, Callable[[np.ndarray], np.ndarray]]],
    first: Callable[[], np.ndarray],
    *,
    nothing: float = np.nan,
) -> xr.DataArray:
    """Targets of which each needs a few cells of a lazy field that lies in several chunks along ``dims``.

    The targets are cut into tiles, about as many as the field has chunks; a tile needs the chunks that hold its cells,
    and no other. Where targets lie in one dimension and their neighbours in it are not neighbours in the field, as in a
    table of observations, tiles are made of targets whose cells lie in the same chunk; the result has the targets' own order.

    Parameters
    ----------
    part
        ``part(targets)``: of targets given by their places in the flat output, the places of the cells they need in the
        flat field (n_cells,), and what takes those cells (n, n_cells) to the targets (n, n_targets), releasing the GIL.
    first
        Gives for all targets the place of one of the cells that each needs, -1 where it needs none: int64 (targets,).
    output
        Core dimensions, shape and dtype of the result; their product is all targets.
    nothing
        Result of targets that need no cell at all.
    """
    loop = tuple(d for d in field.dims if d not in dims)
    data = field.transpose(*loop, *dims).data
    chunks = Chunks(data.chunks[len(loop) :])
    order = None
    if len(output.shape) == 1:
        order, cuts = _along(chunks, first(), output.shape[0])
        tiles = [cuts]
    else:
        tiles = [_cuts(n, k) for n, k in zip(output.shape, _pieces(output.shape, chunks), strict=True)]
    place = np.arange(int(np.prod(output.shape))) if order is None else order
    place = place.reshape(output.shape)
    parts = {}
    for at in np.ndindex(*(len(t) for t in tiles)):
        targets = place[tuple(slice(*tiles[axis][k]) for axis, k in enumerate(at))]
        parts[at] = (targets.shape, *part(targets.ravel()))
    cut = tuple(tuple(b - a for a, b in t) for t in tiles)
    result = _tiled(data, len(loop), chunks, parts, cut, output.dtype, nothing)
    if order is not None:
        result = _taken(result, np.argsort(order))
    touched = set(dims) | set(output.dims)
    kept = {k: v for k, v in field.coords.items() if not touched & set(v.dims)}
    return xr.DataArray(result, dims=loop + tuple(output.dims), coords=kept, name=field.name, attrs=field.attrs)


# ---- which targets make a tile ----------------------------------------------------------------------------------------


class Chunks:
    """The chunks of a field along its core dimensions, numbered from 0."""

    def __init__(self, sizes: tuple[tuple[int, ...], ...]) -> None:
        self.sizes = sizes
        self.counts = [len(s) for s in sizes]
        self.number = int(np.prod(self.counts))
        self._starts = [np.concatenate([[0], np.cumsum(s)]) for s in sizes]
        self._shape = [sum(s) for s in sizes]

    def holding(self, cells: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Number of the chunk that holds each cell of the flat field, and the cell's place in the flat chunk."""
        index = np.unravel_index(cells, self._shape)
        which = [np.searchsorted(s, i, side="right") - 1 for s, i in zip(self._starts, index, strict=True)]
        local = np.zeros(cells.size, np.int64)
        for s, w, i in zip(self._starts, which, index, strict=True):
            local = local * np.diff(s)[w] + i - s[w]
        return np.ravel_multi_index(which, self.counts), local

    def at(self, number: int) -> tuple[int, ...]:
        """Where a chunk is among the others."""
        return tuple(int(k) for k in np.unravel_index(number, self.counts))


def _pieces(shape: tuple[int, ...], chunks: Chunks) -> tuple[int, ...]:
    """Tiles along each axis of the output: as the field is cut, or as many in all."""
    counts = chunks.counts
    if len(counts) != len(shape):
        each = int(np.ceil(chunks.number ** (1 / len(shape))))
        counts = [each] * len(shape)
    return tuple(min(k, n) for k, n in zip(counts, shape, strict=True))


def _cuts(n: int, pieces: int) -> list[tuple[int, int]]:
    edges = np.linspace(0, n, pieces + 1).round().astype(int)
    return list(pairwise(edges.tolist()))


def _along(chunks: Chunks, first: np.ndarray, n: int) -> tuple[np.ndarray | None, list[tuple[int, int]]]:
    """Targets in one dimension: their order in the tiles, None for their own, and where the tiles begin and end."""
    (pieces,) = _pieces((n,), chunks)
    number = np.full(n, chunks.number)
    number[first >= 0] = chunks.holding(first[first >= 0])[0]
    cuts = _cuts(n, pieces)
    tile = np.repeat(np.arange(len(cuts)), [b - a for a, b in cuts])
    if np.unique(tile * (chunks.number + 1) + number).size <= _FEW_CHUNKS * len(cuts):
        return None, cuts
    order = np.argsort(number, kind="stable")
    # Of one chunk each, and none much larger than if all were alike.
    edges, most = np.flatnonzero(np.diff(number[order], prepend=-1)), -(-n // pieces)
    spans = pairwise([*edges.tolist(), n])
    return order, [(a + i, a + j) for a, b in spans for i, j in _cuts(b - a, -(-(b - a) // most))]


# ---- the graph --------------------------------------------------------------------------------------------------------


class Tile:
    """What makes a tile of targets of the cells that were picked from chunks."""

    def __init__(self, position: np.ndarray, work: Callable[[np.ndarray], np.ndarray], shape: tuple[int, ...]) -> None:
        self.position, self.work, self.shape = position, work, shape

    def __call__(self, picked: list[np.ndarray]) -> np.ndarray:
        lead = picked[0].shape[:-1]
        flat = np.concatenate([p.reshape(math.prod(p.shape[:-1]), p.shape[-1]) for p in picked], axis=1)
        return self.work(np.ascontiguousarray(flat[:, self.position])).reshape(*lead, *self.shape)


def _tiled(
    data: Any, n_loop: int, chunks: Chunks, parts: dict[tuple[int, ...], Any], cut: tuple[tuple[int, ...], ...],
    dtype: Any, nothing: float,
) -> Any:  # fmt: skip
    """Tiles of targets, each from the cells that it needs: (their shape, cells, work) by their place among the tiles."""
    token = uuid4().hex
    pick, tile, known = (f"{name}-{token}" for name in ("pick", "gather", "constant"))
    held = {at: chunks.holding(cells) for at, (_, cells, _) in parts.items()}
    needed = _needed(held.values())
    loops = list(np.ndindex(*data.numblocks[:n_loop]))
    tasks: dict[Any, Any] = {}
    for k, local in needed.items():
        size = int(np.prod([s[a] for s, a in zip(chunks.sizes, chunks.at(k), strict=True)]))
        cells: Any = None if local.size == size else local
        if len(loops) > 1 and cells is not None:
            tasks[known, "cells", k] = cells
            cells = (known, "cells", k)
        for n in loops:
            # An array that is an argument, not a key, lets Dask join this to what loads the chunk.
            tasks[(pick, *n, k)] = (_picked, (data.name, *n, *chunks.at(k)), n_loop, cells)
    for at, (shape, _, work) in parts.items():
        number, local = held[at]
        if not number.size:
            lead = [[c[i] for c, i in zip(data.chunks[:n_loop], n, strict=True)] for n in loops]
            tasks |= {
                (tile, *n, *at): (np.full, (*size, *shape), nothing, np.dtype(dtype))
                for n, size in zip(loops, lead, strict=True)
            }
            continue
        mine, offset = np.unique(number).tolist(), 0
        position = np.empty(number.size, np.int64)
        for k in mine:
            here = number == k
            position[here] = offset + np.searchsorted(needed[k], local[here])
            offset += needed[k].size
        tasks[known, "tile", *at] = Tile(position, work, shape)
        tasks |= {(tile, *n, *at): (_worked, (known, "tile", *at), [(pick, *n, k) for k in mine]) for n in loops}
    graph = HighLevelGraph.from_collections(tile, tasks, dependencies=[data])
    meta = np.empty((0,) * (n_loop + len(cut)), dtype)
    return dask.array.Array(graph, tile, (*data.chunks[:n_loop], *cut), meta=meta)


def _needed(held: Any) -> dict[int, np.ndarray]:
    """Of each chunk the cells that some tile needs, in ascending order."""
    number, local = (np.concatenate(found) for found in zip(*held, strict=True))
    order = np.lexsort((local, number))
    number, local = number[order], local[order]
    new = (np.diff(number, prepend=-1) != 0) | (np.diff(local, prepend=-1) != 0)
    number, local = number[new], local[new]
    edges = np.flatnonzero(np.diff(number, prepend=-1))
    return dict(zip(number[edges].tolist(), np.split(local, edges[1:]), strict=True)) if number.size else {}


def _picked(chunk: np.ndarray, n_loop: int, cells: np.ndarray | None) -> np.ndarray:
    """Cells of a chunk (..., n_cells); all of them where None are named."""
    flat = chunk.reshape(*chunk.shape[:n_loop], math.prod(chunk.shape[n_loop:]))
    return flat if cells is None else flat[..., cells]


def _worked(tile: Tile, picked: list[np.ndarray]) -> np.ndarray:
    return tile(picked)


def _taken(data: Any, index: np.ndarray) -> Any:
    """Places of the last axis in another order: as a whole where that is little, else in pieces."""
    lead = int(np.prod([max(c) for c in data.chunks[:-1]], dtype=np.int64))
    size = max(1, _PIECE // max(1, lead * data.dtype.itemsize))
    whole = data.rechunk({data.ndim - 1: size})
    if whole.numblocks[-1] > 1:
        return dask.array.take(whole, index, axis=-1)
    places = dask.delayed(index, traverse=False)
    return dask.array.map_blocks(_ordered, whole, places=places, dtype=data.dtype, meta=data._meta)


def _ordered(values: np.ndarray, places: np.ndarray) -> np.ndarray:
    return values[..., places]
