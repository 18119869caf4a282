"""Targets of which each needs a few cells of a lazy field, without loading the rest of it."""

from collections.abc import Callable, Hashable, Sequence
from itertools import pairwise
from typing import Any

import dask
import dask.array
import numpy as np
import xarray as xr

from oceankit.fields.blocks import Output

__all__ = ["gathered"]


def gathered(
    field: xr.DataArray,
    dims: Sequence[Hashable],
    output: Output,
    part: Callable[[np.ndarray], tuple[np.ndarray, Callable[[np.ndarray], np.ndarray]]],
    *,
    nothing: float = np.nan,
) -> xr.DataArray:
    """Targets of which each needs a few cells of a lazy field that lies in several chunks along ``dims``.

    The targets are cut into tiles, about as many as the field has chunks; a tile loads the chunks that hold a cell it
    needs, and no other.

    Parameters
    ----------
    part
        ``part(targets)``: of targets given by their places in the flat output, the places of the cells they need in the
        flat field (n_cells,), and what takes those cells (n, n_cells) to the targets (n, n_targets), releasing the GIL.
    output
        Core dimensions, shape and dtype of the result; their product is all targets.
    nothing
        Result of targets that need no cell at all.
    """
    loop = tuple(d for d in field.dims if d not in dims)
    data = field.transpose(*loop, *dims).data
    chunks = data.chunks[len(loop) :]
    tiles = [_cuts(n, k) for n, k in zip(output.shape, _pieces(output.shape, chunks), strict=True)]
    place = np.arange(int(np.prod(output.shape))).reshape(output.shape)
    grid = np.empty([len(t) for t in tiles], object)
    for at in np.ndindex(grid.shape):
        window = tuple(slice(*tiles[axis][k]) for axis, k in enumerate(at))
        targets = place[window]
        cells, work = part(targets.ravel())
        grid[at] = _tile(data, len(loop), chunks, cells, work, targets.shape, output.dtype, nothing)
    result = dask.array.block(grid.tolist())
    touched = set(dims) | set(output.dims)
    kept = {k: v for k, v in field.coords.items() if not touched & set(v.dims)}
    return xr.DataArray(result, dims=loop + tuple(output.dims), coords=kept, name=field.name, attrs=field.attrs)


def _pieces(shape: tuple[int, ...], chunks: tuple[tuple[int, ...], ...]) -> tuple[int, ...]:
    """Tiles along each axis of the output: as the field is cut, or as many in all."""
    counts = [len(c) for c in chunks]
    if len(counts) != len(shape):
        each = int(np.ceil(np.prod(counts) ** (1 / len(shape))))
        counts = [each] * len(shape)
    return tuple(min(k, n) for k, n in zip(counts, shape, strict=True))


def _cuts(n: int, pieces: int) -> list[tuple[int, int]]:
    edges = np.linspace(0, n, pieces + 1).round().astype(int)
    return list(pairwise(edges.tolist()))


def _tile(
    data: Any, n_loop: int, chunks: tuple[tuple[int, ...], ...], cells: np.ndarray, work: Any, shape: tuple[int, ...],
    dtype: Any, nothing: float,
) -> Any:  # fmt: skip
    """One tile of targets from the chunks that hold its cells."""
    loop_chunks = data.chunks[:n_loop]
    out_chunks = (*loop_chunks, *((n,) for n in shape))
    if not cells.size:
        return dask.array.full((*data.shape[:n_loop], *shape), nothing, dtype=dtype, chunks=out_chunks)
    index = np.unravel_index(cells, [sum(c) for c in chunks])
    starts = [np.concatenate([[0], np.cumsum(c)]) for c in chunks]
    which = [np.searchsorted(s, i, side="right") - 1 for s, i in zip(starts, index, strict=True)]
    number = np.ravel_multi_index(which, [len(c) for c in chunks])
    needed = np.unique(number)
    blocks, offset = [], np.zeros(needed.size + 1, np.int64)
    position = np.empty(cells.size, np.int64)
    for k, chunk in enumerate(needed):
        at = np.unravel_index(chunk, [len(c) for c in chunks])
        sizes = [c[a] for c, a in zip(chunks, at, strict=True)]
        mine = number == chunk
        local = [i[mine] - s[a] for i, s, a in zip(index, starts, at, strict=True)]
        position[mine] = offset[k] + np.ravel_multi_index(local, sizes)
        offset[k + 1] = offset[k] + int(np.prod(sizes))
        blocks.append(data.blocks[(*(slice(None),) * n_loop, *at)])
    gather = dask.delayed((position, work), traverse=False)
    core = range(n_loop, n_loop + len(chunks))
    return dask.array.map_blocks(
        _gather, *blocks, n_core=len(chunks), shape=shape, gather=gather, chunks=out_chunks, dtype=dtype,
        drop_axis=list(core), new_axis=list(range(n_loop, n_loop + len(shape))),
        meta=np.empty((0,) * (n_loop + len(shape)), dtype),
    )  # fmt: skip


def _gather(*blocks: np.ndarray, n_core: int, shape: tuple[int, ...], gather: tuple[np.ndarray, Any]) -> np.ndarray:
    position, work = gather
    lead = blocks[0].shape[: blocks[0].ndim - n_core]
    n = int(np.prod(lead, dtype=np.int64))
    flat = np.concatenate([b.reshape(n, int(np.prod(b.shape[len(lead) :]))) for b in blocks], axis=1)
    return work(np.ascontiguousarray(flat[:, position])).reshape(*lead, *shape)
