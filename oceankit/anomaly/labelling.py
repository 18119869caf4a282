"""Labels of connected cells: in each step, or through time, however long the record and however it is chunked."""

from collections.abc import Hashable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import dask
import dask.array
import numpy as np
import xarray as xr
from scipy import sparse
from scipy.sparse import csgraph

from oceankit.anomaly import _label_kernels as kernels
from oceankit.anomaly._connected import (
    CONNECTIVITIES,
    Neighbours,
    as_flags,
    check_options,
    find_grid,
    neighbours_of,
    time_of,
    words_of,
)  # fmt: skip
from oceankit.fields import blocks
from oceankit.fields.grid import Grid
from oceankit.numerics import threads

__all__ = ["label"]

# A block of this many cells and steps keeps the runs of a step before in cache; its runs need 6 bytes per value at most.
_BLOCK_VALUES = 2**24
_MOST_LABELS = np.iinfo(np.int32).max


def label(
    mask: xr.DataArray,
    *,
    connectivity: int = 26,
    periodic: bool | None = None,
    grid: Grid | None = None,
    dim: Hashable | None = None,
) -> xr.DataArray:
    """Number the connected parts of a mask.

    Parameters
    ----------
    mask
        Boolean, or 0 and 1 with NaN for false, on a grid and along time, dimensions in any order. Along further dimensions
        (members, depths) nothing is connected.
    connectivity
        Who touches whom. In space and time: 6 by faces (the cells beside in one step, and the same cell one step before
        and after), 18 by faces and edges, 26 by faces, edges and corners. In each step by itself: 4 by edges, 8 by edges
        and corners. On a mesh an edge and a corner are those of its cells: 6 connects cells with a common edge in one
        step, 18 those with a common corner in one step and those with a common edge one step apart, 26 those with a
        common corner in one step and one step apart.
    periodic
        Whether the last column is beside the first. None: as the longitudes say (:attr:`Grid.periodic`); where the mask has
        none, it is not.
    grid
        Where the mask's own coordinates do not say who is beside whom: a mesh. Tripolar grids are connected across their
        fold, and what stands there a second time gets the label of what it is a copy of.
    dim
        The dimension to connect along, where it is not that of the time coordinate: ``"depth"``, for example.

    Returns
    -------
    xarray.DataArray
        int32, dimensions and coordinates of ``mask``: 0 where it is false, elsewhere 1 to ``attrs["n_labels"]`` in the
        order in which parts appear by time, row and column (further dimensions before that), so that there is one
        right answer, whatever the chunks and threads. A lazy mask is read once to count and connect, chunk by chunk, and
        its labels are lazy: each chunk is labelled again when it is asked for. Horizontal chunks are merged for that.

    Raises
    ------
    ValueError
        If the mask is none, an option is unknown, there is no time or it is not sorted or has holes, the grid does
        not fit, or there are more than 2**31 - 1 labels.

    Notes
    -----
    Runs of cells along each row are united with those they touch (union-find, smallest first); where corners connect, runs of
    two rows of two steps together. Beside the labels
    a block of steps takes at most 6 bytes per cell and step (a block has 2**24 of them, or is a chunk), and the record a
    few bytes for each part that meets another one at the edge of a block.

    Examples
    --------
    >>> import numpy as np, xarray as xr
    >>> mask = xr.DataArray(np.zeros((2, 3, 4), bool), dims=("time", "y", "x"))
    >>> mask[0, 0, 0] = mask[0, 2, 3] = mask[1, 1, 3] = True
    >>> label(mask, dim="time", periodic=True).values.tolist()
    [[[1, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 1]], [[0, 0, 0, 0], [0, 0, 0, 1], [0, 0, 0, 0]]]
    >>> label(mask, dim="time", connectivity=6).attrs["n_labels"]
    3
    """
    check_options(mask, connectivity, tuple(CONNECTIVITIES), periodic)
    grid = find_grid(mask, grid)
    timed = connectivity not in (4, 8)
    if dim is None and timed:
        dim = time_of(mask, None).dims[0]
    elif dim is not None and (dim not in mask.dims or (grid is not None and dim in grid.dims)):
        raise ValueError(f"dim is {dim!r}; name a dimension of the mask, {mask.dims}, that is not one of its grid")
    neighbours, space = neighbours_of(mask, grid, dim, connectivity, periodic)
    lead = [d for d in mask.dims if d not in space and d != dim] + ([] if dim is None else [dim])
    ordered = mask.transpose(*lead, *space)
    data = ordered.data if lead else ordered.data[None]
    work = _lazy if blocks.is_lazy(mask) else _eager
    found, count = work(data, data.ndim - len(space) - 1, neighbours, timed, mask.name)
    labels = ordered.copy(data=found if lead else found[0]).transpose(*mask.dims)
    labels.name = "label"
    labels.attrs = {
        "long_name": "number of the connected part, 0 outside",
        "n_labels": count,
        "connectivity": int(connectivity),
        "source_variable": str(mask.name or ""),
    }
    labels.encoding = {}
    return labels


# ---- numbers of parts that go through several blocks ----------------------------------------------------------------


class _Numbers(NamedTuple):
    """The labels of one block: how many it has, how far they move, and those that belong to a part of an earlier block."""

    n: int
    before: int
    inner: np.ndarray
    final: np.ndarray

    def table(self) -> np.ndarray:
        """int32 (n + 1,): final label of each label of the block."""
        table = np.arange(self.n + 1)
        table += self.before - np.searchsorted(self.inner, table)
        table[self.inner] = self.final
        table[0] = 0
        return table.astype(np.int32)


def _number(counts: Sequence[int], seams: Sequence[np.ndarray]) -> tuple[list[_Numbers], int]:
    """Labels through all blocks from the number in each and the pairs (n, 2) that touch at its beginning."""
    offset = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])
    pairs = [seam + offset[[max(b - 1, 0), b]] for b, seam in enumerate(seams)]
    ids, index = np.unique(np.concatenate(pairs), return_inverse=True)
    ends = index.reshape(-1, 2)
    edges = sparse.coo_array((np.ones(len(ends), bool), (ends[:, 0], ends[:, 1])), shape=(ids.size, ids.size))
    component = csgraph.connected_components(edges, directed=False)[1]
    _, first = np.unique(component, return_index=True)
    root = ids[first][component]
    joined = root != ids
    gone, root = ids[joined], root[joined]
    total = int(offset[-1]) - gone.size
    if total > _MOST_LABELS:
        raise ValueError(f"the mask has {total} connected parts, more than int32 can number: label it piece by piece")
    final = (root - np.searchsorted(gone, root)).astype(np.int32)
    cuts = np.searchsorted(gone, offset, side="right")
    numbers = [
        _Numbers(int(n), int(offset[b] - low), (gone[low:high] - offset[b]).astype(np.int32), final[low:high])
        for b, (n, (low, high)) in enumerate(zip(counts, pairwise(cuts), strict=True))
    ]
    return numbers, total


_NO_PAIRS = np.empty((0, 2), np.int32)


def _eager(
    data: np.ndarray, n_outer: int, neighbours: Neighbours, timed: bool, name: Hashable
) -> tuple[np.ndarray, int]:
    """Labels of (outer..., steps, space...): block by block, all threads at work, then the same numbers throughout."""
    out = np.zeros(data.shape, np.int32)
    length = max(1, _BLOCK_VALUES // max(1, int(np.prod(data.shape[n_outer + 1 :]))))
    starts = range(0, data.shape[n_outer], length)
    pieces = [(*outer, slice(s, s + length)) for outer in np.ndindex(data.shape[:n_outer]) for s in starts]

    def write(b: int, _: int) -> int:
        return neighbours.write(as_flags(np.asarray(data[pieces[b]]), name), out[pieces[b]])

    def seam(b: int, _: int) -> np.ndarray:
        *outer, steps = pieces[b]
        if not timed or steps.start == 0:
            return _NO_PAIRS
        return neighbours.seam(out[(*outer, steps.start - 1)], out[(*outer, steps.start)])

    def renumber(b: int, _: int) -> None:
        table = numbers[b].table()
        if (table != np.arange(table.size)).any():
            flags = as_flags(np.asarray(data[pieces[b]]), name)
            kernels.relabel(out[pieces[b]].reshape(-1), words_of(flags), table)

    counts = threads.over_blocks(write, len(pieces), block=1)
    numbers, total = _number(counts, threads.over_blocks(seam, len(pieces), block=1) or [_NO_PAIRS])
    threads.over_blocks(renumber, len(pieces), block=1)
    return out, total


# ---- lazily ---------------------------------------------------------------------------------------------------------


def _lazy(data: Any, n_outer: int, neighbours: Neighbours, timed: bool, name: Hashable) -> tuple[Any, int]:
    """The same chunk by chunk: counts and seams are computed now, the labels when they are asked for."""
    n_space = data.ndim - n_outer - 1
    data = data.rechunk({axis: 1 if axis < n_outer else -1 for axis in range(data.ndim) if axis != n_outer})
    shared = dask.delayed(neighbours, traverse=False)
    pieces = data.to_delayed().ravel()
    per_record = len(data.chunks[n_outer])
    count, ends = dask.delayed(_count), dask.delayed(_ends, nout=3)
    tasks: list[tuple[Any, Any]] = []
    before = None
    for b, piece in enumerate(pieces):
        if not timed:
            tasks.append((count(piece, n_space, shared, name), _NO_PAIRS))
            continue
        number, first, last = ends(piece, n_space, shared, name)
        tasks.append((number, _NO_PAIRS if b % per_record == 0 else dask.delayed(_seam)(before, first, shared)))
        before = last
    counts, seams = zip(*dask.compute(*tasks), strict=True) if tasks else ((), (_NO_PAIRS,))
    numbers, total = _number(counts, seams)
    chunks = np.empty(len(pieces), object)
    for b, (piece, shape) in enumerate(zip(pieces, _shapes(data), strict=True)):
        chunk = dask.delayed(_labels)(piece, n_space, shared, name, numbers[b])
        chunks[b] = dask.array.from_delayed(chunk, shape, np.int32)
    return dask.array.block(chunks.reshape(data.numblocks).tolist()), total


def _shapes(data: Any) -> list[tuple[int, ...]]:
    return [tuple(c[i] for c, i in zip(data.chunks, at, strict=True)) for at in np.ndindex(data.numblocks)]


def _flags(piece: np.ndarray, n_space: int, name: Hashable) -> np.ndarray:
    return as_flags(np.asarray(piece).reshape(piece.shape[piece.ndim - n_space - 1 :]), name)


def _count(piece: np.ndarray, n_space: int, neighbours: Neighbours, name: Hashable) -> int:
    return neighbours.label(_flags(piece, n_space, name), ends=True)[1]


def _ends(
    piece: np.ndarray, n_space: int, neighbours: Neighbours, name: Hashable
) -> tuple[int, np.ndarray, np.ndarray]:
    """How many labels a chunk has, and its first and last step."""
    (first, last), count = neighbours.label(_flags(piece, n_space, name), ends=True)
    return count, first, last


def _seam(last: np.ndarray, first: np.ndarray, neighbours: Neighbours) -> np.ndarray:
    return neighbours.seam(last, first)


def _labels(piece: np.ndarray, n_space: int, neighbours: Neighbours, name: Hashable, numbers: _Numbers) -> np.ndarray:
    flags = _flags(piece, n_space, name)
    labels, _ = neighbours.label(flags)
    kernels.relabel(labels.reshape(-1), words_of(flags), numbers.table())
    return labels.reshape(piece.shape)
