"""Apply a kernel whose results have a length known only from the data, over fields of any shape."""

from collections.abc import Callable, Hashable, Sequence
from typing import Any

import dask
import numpy as np
import xarray as xr

from oceankit.fields import blocks, coordinates
from oceankit.numerics import threads

__all__ = ["aligned_rows", "events_along", "events_in_memory", "require_one_chunk", "spread"]

Columns = tuple[np.ndarray, ...]

# A block of all steps of some cells; what dask's own arrays are recommended to have.
_CHUNK_BYTES = 2**27


def events_along(kernel: Callable[..., Columns], fields: Sequence[xr.DataArray], dim: Hashable) -> Columns:
    """Columns of the events found by ``kernel``, ordered by cell.

    Parameters
    ----------
    kernel
        ``kernel(*rows)`` of one (n, steps) array per field returns equally long columns, the first of them the row
        of each event in ascending order. It must treat rows independently and release the GIL.
    fields
        The cells are those of the first, whose other dimension is ``dim``. Each of the others has some of the dimensions of
        the cells, and one of its own (``dim``, or a day of the year) last; where it lacks a dimension it serves all cells
        along it.
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
    first = fields[0].transpose(..., dim)
    loop = first.dims[:-1]
    shape = first.shape[:-1]
    beside = [spread(f, loop) for f in fields[1:]]
    if not any(blocks.is_lazy(f) for f in fields):
        return events_in_memory(_bare(kernel), np.asarray(first.data), [np.asarray(b.data) for b in beside])
    for field in fields:
        require_one_chunk(field, next(d for d in field.dims[::-1] if d not in loop))
    lazy = next(f for f in fields if blocks.is_lazy(f))
    chunks = [
        dict(zip(lazy.dims, lazy.data.chunks, strict=True)).get(d, (n,)) for d, n in zip(loop, shape, strict=True)
    ]
    tasks = []
    for at in np.ndindex(*(len(c) for c in chunks)):
        starts = [sum(c[:k]) for c, k in zip(chunks, at, strict=True)]
        window = tuple(slice(s, s + c[k]) for s, c, k in zip(starts, chunks, at, strict=True))
        parts = [_part(first.data[window])]
        for b in beside:
            cut = tuple(w if n > 1 else slice(None) for w, n in zip(window, b.shape[:-1], strict=True))
            parts.append(_part(b.data[cut]))
        tasks.append(dask.delayed(_block)(kernel, starts, shape, *parts))
    found = dask.compute(*tasks)
    columns = [np.concatenate(c) for c in zip(*found, strict=True)]
    order = np.argsort(columns[0], kind="stable")
    return tuple(c[order] for c in columns)


def require_one_chunk(field: xr.DataArray, dim: Hashable) -> None:
    """Refuse a lazy field with ``dim`` in several chunks, with chunks that would do.

    Raises
    ------
    ValueError
        Naming the dimension and a rechunk that gives blocks of moderate size.
    """
    if not blocks.is_lazy(field):
        return
    pieces = len(field.data.chunks[field.get_axis_num(dim)])
    if pieces == 1:
        return
    cells = max(1, _CHUNK_BYTES // (field.sizes[dim] * field.dtype.itemsize))
    plan: dict[Hashable, int] = {dim: -1}
    for other in field.dims[::-1]:
        if other != dim:
            plan[other] = max(1, min(field.sizes[other], cells))
            cells //= plan[other]
    raise ValueError(
        f"{coordinates.describe(field)} has {dim!r} in {pieces} chunks, but this operation "
        f"reads the whole of it; rechunk first, for example with .chunk({plan}), and store the result "
        "where it is used more than once"
    )


def spread(field: xr.DataArray, loop: tuple[Hashable, ...]) -> xr.DataArray:
    """With all dimensions of the cells, of length 1 where the field lacks one, and its own dimension last."""
    (own,) = (d for d in field.dims if d not in loop)
    missing = [d for d in loop if d not in field.dims]
    bare = field.drop_vars(list(field.coords))
    return bare.expand_dims(missing).transpose(*loop, own) if missing else bare.transpose(*loop, own)


def _part(data: Any) -> Any:
    """One block of an array as what a task depends on."""
    if dask.is_dask_collection(data):
        return data.rechunk(data.shape).to_delayed().item()
    return np.asarray(data)


def _bare(kernel: Callable[..., Columns]) -> Callable[..., Columns]:
    return lambda _start, _stop, *rows: kernel(*rows)


def aligned_rows(
    data: np.ndarray, beside: Sequence[np.ndarray]
) -> tuple[int, int, Callable[[int, int], tuple[np.ndarray, ...]]]:
    """Number of rows of an array (cells ..., steps), how many make a block, and what brings a block of rows in order.

    With the rows of arrays ``beside`` it, whose cell dimensions are the same or of length 1.
    """
    n_rows, block, rows = blocks.row_blocks(data, 1)
    lead = data.shape[:-1]
    tables = []
    for array in beside:
        own = array.shape[:-1]
        table = np.ascontiguousarray(array).reshape(-1, array.shape[-1])
        which = None if own == lead else np.broadcast_to(np.arange(table.shape[0]).reshape(own), lead).ravel()
        tables.append((table, which))

    def of(start: int, stop: int) -> tuple[np.ndarray, ...]:
        return rows(start, stop), *(t[start:stop] if w is None else t[w[start:stop]] for t, w in tables)

    return n_rows, block, of


def events_in_memory(kernel: Callable[..., Columns], data: np.ndarray, beside: Sequence[np.ndarray]) -> Columns:
    """As :func:`events_along` of arrays (cells ..., steps), with ``kernel(start, stop, *rows)`` told which rows it gets."""
    n_rows, block, rows = aligned_rows(data, beside)

    def work(start: int, stop: int) -> Columns:
        row, *columns = kernel(start, stop, *rows(start, stop))
        return row + start, *columns

    # A field without cells still goes through the kernel, for the dtypes of its columns.
    parts = threads.over_blocks(work, n_rows, block=block) if n_rows else [work(0, 0)]
    return tuple(np.concatenate(columns) for columns in zip(*parts, strict=True))


def _block(
    kernel: Callable[..., Columns], offset: Sequence[int], shape: tuple[int, ...], data: np.ndarray, *beside: np.ndarray
) -> Columns:
    """The kernel on one block, its rows renamed to cells of the whole field."""
    row, *columns = events_in_memory(_bare(kernel), data, beside)
    if not shape:
        return row, *columns
    within = np.unravel_index(row, data.shape[:-1])
    cell = np.ravel_multi_index(tuple(i + o for i, o in zip(within, offset, strict=True)), shape)
    return np.asarray(cell, np.int64), *columns
