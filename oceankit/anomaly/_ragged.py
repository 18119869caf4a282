"""Apply a kernel whose results have a length known only from the data, over fields of any shape."""

from collections.abc import Callable, Hashable, Sequence
from typing import Any

import dask
import numpy as np
import xarray as xr

from oceankit.fields import blocks, coordinates
from oceankit.numerics import threads

__all__ = ["events_along"]

# As in fields.blocks: a block of this many values stays in cache and feeds every thread.
_BLOCK_VALUES = 2**18

Columns = tuple[np.ndarray, ...]


def events_along(kernel: Callable[..., Columns], fields: Sequence[xr.DataArray], dim: Hashable) -> Columns:
    """Columns of the events found by ``kernel``, ordered by cell.

    Parameters
    ----------
    kernel
        ``kernel(*rows)`` of one (n, ``dim``) array per field returns equally long columns, the first of them the row
        of each event in ascending order. It must treat rows independently and release the GIL.
    fields
        All of the same dimensions in the same order, ``dim`` last, and of the same sizes.
    dim
        Read as a whole; in a lazy field it must be in one chunk.

    Returns
    -------
    tuple of 1-D arrays
        Eager also for lazy fields, which are computed block by block: their cells need not fit in memory together.
        The first column is the flat index of the cell over the dimensions without ``dim``.

    Raises
    ------
    ValueError
        If a lazy field has ``dim`` in several chunks.
    """
    shape = fields[0].shape[:-1]
    if not any(blocks.is_lazy(f) for f in fields):
        rows = [np.ascontiguousarray(f.values).reshape(-1, f.shape[-1]) for f in fields]
        per_row = max(1, rows[0].shape[1])

        def work(start: int, stop: int) -> Columns:
            row, *columns = kernel(*(r[start:stop] for r in rows))
            return row + start, *columns

        # A field without cells still goes through the kernel, for the dtypes of its columns.
        total = rows[0].shape[0]
        parts = threads.over_blocks(work, total, block=max(1, _BLOCK_VALUES // per_row)) if total else [work(0, 0)]
        return tuple(np.concatenate(columns) for columns in zip(*parts, strict=True))
    chunks = next(f for f in fields if blocks.is_lazy(f)).data.chunks
    for field in fields:
        if blocks.is_lazy(field) and len(field.data.chunks[-1]) > 1:
            raise ValueError(
                f"{coordinates.describe(field)} has {dim!r} in {len(field.data.chunks[-1])} chunks, but this operation "
                f"reads the whole of it; rechunk first, for example with .chunk({{{dim!r}: -1}})"
            )
    pieces = [f.chunk(dict(zip(f.dims, chunks, strict=True))).data.to_delayed().ravel() for f in fields]
    corners = [np.concatenate([[0], np.cumsum(c)[:-1]]) for c in chunks[:-1]]
    offsets = np.stack(np.meshgrid(*corners, indexing="ij"), -1).reshape(-1, len(corners)) if corners else [()]
    tasks = [dask.delayed(_block)(kernel, at, shape, *piece) for at, *piece in zip(offsets, *pieces, strict=True)]
    found = dask.compute(*tasks)
    columns = [np.concatenate(c) for c in zip(*found, strict=True)]
    order = np.argsort(columns[0], kind="stable")
    return tuple(c[order] for c in columns)


def _block(kernel: Callable[..., Columns], offset: Sequence[int], shape: tuple[int, ...], *block: Any) -> Columns:
    """The kernel on one block, its rows renamed to cells of the whole field."""
    row, *columns = kernel(*(np.ascontiguousarray(b).reshape(-1, b.shape[-1]) for b in block))
    if not shape:
        return row, *columns
    within = np.unravel_index(row, block[0].shape[:-1])
    cell = np.ravel_multi_index(tuple(i + o for i, o in zip(within, offset, strict=True)), shape)
    return np.asarray(cell, np.int64), *columns
