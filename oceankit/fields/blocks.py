"""The one place where an array kernel meets xarray and Dask."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import cached_property, partial
from typing import Any, NamedTuple

import dask
import dask.array
import numpy as np
import xarray as xr

from oceankit.numerics import threads
from oceankit.numerics.transposing import CELLS_OF_A_MAP, as_rows

__all__ = ["Output", "Shared", "along", "columns", "is_lazy", "like", "pointwise", "row_blocks"]

# Rows are cut so that a block of input is about this many values: it stays in cache and feeds every thread.
_BLOCK_VALUES = 2**18

_BLOCK_POINTS = 2048


class Output(NamedTuple):
    """One result of a kernel: its core dimensions, their sizes and its dtype."""

    dims: tuple[Hashable, ...]
    shape: tuple[int, ...]
    dtype: Any


class Shared:
    """A large constant that many calls use: all of them refer to one key of the graph."""

    def __init__(self, value: Any) -> None:
        self.value = value

    @cached_property
    def delayed(self) -> Any:
        return dask.delayed(self.value, traverse=False)


def _keys(constants: Mapping[str, Any]) -> dict[str, Any]:
    """Constants as keys of a graph."""
    return {n: c.delayed if isinstance(c, Shared) else dask.delayed(c, traverse=False) for n, c in constants.items()}


def _values(constants: Mapping[str, Any]) -> dict[str, Any]:
    return {n: c.value if isinstance(c, Shared) else c for n, c in constants.items()}


def is_lazy(obj: xr.DataArray | xr.Dataset) -> bool:
    """Whether ``obj`` holds Dask arrays that are still to be computed."""
    return dask.is_dask_collection(obj)


def along(
    kernel: Callable[..., Any],
    field: xr.DataArray,
    dims: Sequence[Hashable],
    outputs: Sequence[Output],
    *,
    constants: Mapping[str, Any] | None = None,
    rechunk: bool = False,
    threaded: bool = False,
    cells_last: bool = False,
) -> tuple[xr.DataArray, ...]:
    """Apply a kernel over the core dimensions ``dims`` of a field of any shape.

    Parameters
    ----------
    kernel
        ``kernel(rows, **constants)``: ``rows`` is C-contiguous with shape ``(n, *sizes of dims)``; it returns
        one array of shape ``(n, *output.shape)`` per output (a bare array where there is one output).
        It must treat rows independently and release the GIL.
    field
        Eager fields are cut into blocks of rows that all threads of the process share; lazy fields give lazy results.
    dims
        Core dimensions, in the order in which the kernel wants them; they end up last.
    outputs
        Core dimensions, shape and dtype of each result.
    constants
        Passed to the kernel by name. For a lazy field each becomes one key of the graph, never a copy in each task.
    rechunk
        Whether a lazy field may be merged to one chunk along ``dims``; otherwise more chunks are refused.
    threaded
        Whether the kernel shares its work among threads by itself: it then gets all rows of an eager field at once.
    cells_last
        Whether the kernel takes cells side by side instead of rows, for one core dimension: ``(size, n)`` with unit stride along
        the cells, and its results ``(*output.shape, n)``, of at most one dimension besides. Of maps it gets parts where they lie.

    Returns
    -------
    tuple of DataArray
        One per output, dimensions: those of ``field`` without ``dims``, then the output's own.

    Raises
    ------
    ValueError
        If ``field`` lacks one of ``dims`` or has it in several chunks and ``rechunk`` is false.
    """
    constants = dict(constants or {})
    for dim in dims:
        if dim not in field.dims:
            raise ValueError(f"{_name(field)} has no dimension {dim!r}; it has {tuple(field.dims)}")
    loop = tuple(d for d in field.dims if d not in dims)
    ordered = field.transpose(*loop, *dims)
    data = ordered.data
    if is_lazy(field):
        data = _one_chunk(data, ordered, dims, rechunk)
        call = _rows(kernel, len(dims), outputs) if threaded else _blockwise(kernel, len(dims), outputs, cells_last)
        results = _lazy(call, data, len(dims), outputs, constants)
    else:
        eager = _rows(kernel, len(dims), outputs) if threaded else _by_blocks(kernel, len(dims), outputs, cells_last)
        found = eager(np.asarray(data), **_values(constants))
        results = found if isinstance(found, tuple) else (found,)
    touched = set(dims) | {d for out in outputs for d in out.dims}
    kept = {k: v for k, v in field.coords.items() if not touched & set(v.dims)}
    return tuple(
        xr.DataArray(result, dims=loop + tuple(out.dims), coords=kept, name=field.name, attrs=field.attrs)
        for result, out in zip(results, outputs, strict=True)
    )


def pointwise(
    kernel: Callable[..., Any],
    field: xr.DataArray,
    arguments: Sequence[xr.DataArray],
    n_outputs: int,
    *,
    constants: Mapping[str, Any] | None = None,
) -> tuple[xr.DataArray, ...]:
    """Apply a kernel to each value of a field and what belongs to that value (its position, its error).

    Parameters
    ----------
    kernel
        ``kernel(values, *arguments, **constants)``: all 1-D of one length n; it returns float64 (n, n_outputs). It must
        treat points independently and release the GIL.
    field
        Eager fields are shared among threads, lazy ones give lazy results chunk by chunk.
    arguments
        Eager arrays whose dimensions are among those of ``field``; they are broadcast.
    n_outputs
        Number of results, each with the dimensions and coordinates of ``field``.
    constants
        As in :func:`along`.
    """
    constants = dict(constants or {})
    expanded = [_expanded(argument, field) for argument in arguments]
    if is_lazy(field):
        keyed = _keys(constants)
        chunks = field.data.chunks
        lazy = [
            dask.array.from_array(a, chunks=tuple(c if n > 1 else (1,) for c, n in zip(chunks, a.shape, strict=True)))
            for a in expanded
        ]
        data = dask.array.map_blocks(
            _points(kernel, n_outputs), field.data, *lazy,
            dtype=np.float64, chunks=(*chunks, (n_outputs,)), new_axis=field.ndim, **keyed,
        )  # fmt: skip
    else:
        data = _points(kernel, n_outputs)(np.asarray(field.data), *expanded, **_values(constants))
    return tuple(field.copy(data=data[..., k]) for k in range(n_outputs))


def columns(
    kernel: Callable[..., np.ndarray],
    field: xr.DataArray,
    dim: Hashable,
    beside: Sequence[tuple[xr.DataArray, Hashable]],
    output: Output,
    *,
    constants: Mapping[str, Any] | None = None,
) -> xr.DataArray:
    """Apply a kernel along one dimension of a field where it lies, together with what belongs to the same columns.

    Unlike :func:`along` it moves no dimension, so nothing is copied.

    Parameters
    ----------
    kernel
        ``kernel(values, *beside, axis=axis, **constants)``: ``values`` has the dimensions of ``field``, each array beside it
        too, with length 1 where it lacks one and with its own dimension at ``axis``. It returns an array like ``values`` whose
        ``axis`` has the size of the output. It must treat columns independently and release the GIL; threads are its own affair.
    field
        Lazy where it or what lies beside it is lazy; its chunks along ``dim`` are merged, others are kept.
    dim
        The dimension of the columns.
    beside
        Arrays and which of their dimensions lies along the columns; the others are among those of ``field``.
    output
        The dimension in place of ``dim``, its size, and the dtype.
    constants
        As in :func:`along`.
    """
    constants = dict(constants or {})
    axis = field.dims.index(dim)
    arrays, places = [], []
    for array, own in beside:
        names = [own if d == dim else d for d in field.dims]
        strange = [d for d in array.dims if d not in names]
        if strange:
            raise ValueError(f"{_name(array)} has the dimension {strange[0]!r}, which {_name(field)} lacks")
        arrays.append(array.transpose(*(d for d in names if d in array.dims)))
        places.append(tuple(slice(None) if d in array.dims else None for d in names))

    def call(values: np.ndarray, *others: np.ndarray, known: Mapping[str, Any]) -> np.ndarray:
        full = [o[place] for o, place in zip(others, places, strict=True)]
        return kernel(values, *full, axis=axis, **known)

    if is_lazy(field) or any(is_lazy(a) for a in arrays):
        data = _lazy_columns(call, field, dim, arrays, places, output, constants)
    else:
        data = call(np.asarray(field.data), *(np.asarray(a.data) for a in arrays), known=_values(constants))
    dims = tuple(output.dims[0] if d == dim else d for d in field.dims)
    kept = {k: v for k, v in field.coords.items() if not {dim, output.dims[0]} & set(v.dims)}
    return xr.DataArray(data, dims=dims, coords=kept, name=field.name, attrs=field.attrs)


def _lazy_columns(
    call: Callable[..., np.ndarray],
    field: xr.DataArray,
    dim: Hashable,
    arrays: Sequence[xr.DataArray],
    places: Sequence[tuple[slice | None, ...]],
    output: Output,
    constants: Mapping[str, Any],
) -> Any:
    # Chunks are the field's; where it is in memory, those of the arrays beside it.
    chunks: dict[Hashable, Any] = {}
    for a in (*arrays[::-1], field):
        if is_lazy(a):
            chunks.update(zip(a.dims, a.data.chunks, strict=True))
    wanted = {d: chunks.get(d, -1) if d != dim else -1 for d in field.dims}
    axis = field.dims.index(dim)
    labels = list(range(field.ndim))
    out = labels.copy()
    out[axis] = field.ndim
    parts = [_in_chunks(field.data, [wanted[d] for d in field.dims]), labels]
    for n, (a, place) in enumerate(zip(arrays, places, strict=True)):
        mine = [field.ndim + 1 + n if k == axis else k for k in labels if place[k] is not None]
        parts += [_in_chunks(a.data, [wanted[field.dims[k]] if k < field.ndim else -1 for k in mine]), mine]
    return dask.array.blockwise(
        call, out, *parts, new_axes={field.ndim: output.shape[0]}, dtype=output.dtype, concatenate=True, align_arrays=False,
        meta=np.empty((0,) * field.ndim, output.dtype), known=_keys(constants),
    )  # fmt: skip


def _in_chunks(data: Any, chunks: Sequence[Any]) -> Any:
    if dask.is_dask_collection(data):
        return data.rechunk(dict(enumerate(chunks)))
    return dask.array.from_array(np.asarray(data), chunks=tuple(chunks))


def _expanded(argument: xr.DataArray, field: xr.DataArray) -> np.ndarray:
    """Values with the dimensions of ``field``, of length 1 where the argument lacks one."""
    strange = [d for d in argument.dims if d not in field.dims]
    if strange:
        raise ValueError(f"{_name(argument)} has the dimension {strange[0]!r}, which {_name(field)} lacks")
    ordered = argument.transpose(*(d for d in field.dims if d in argument.dims))
    sizes = [argument.sizes[d] if d in argument.dims else 1 for d in field.dims]
    return np.asarray(ordered.values).reshape(sizes)


def _points(kernel: Callable[..., Any], n_outputs: int) -> Callable[..., np.ndarray]:
    """The kernel as a function of arrays that broadcast, cut into blocks of points for all threads."""

    def call(values: np.ndarray, *arguments: np.ndarray, **constants: Any) -> np.ndarray:
        flat = [np.ascontiguousarray(np.broadcast_to(a, values.shape)).ravel() for a in (values, *arguments)]
        out = np.empty((values.size, n_outputs))

        def work(start: int, stop: int) -> None:
            out[start:stop] = kernel(*(f[start:stop] for f in flat), **constants)

        threads.over_blocks(work, values.size, block=_BLOCK_POINTS)
        return out.reshape(*values.shape, n_outputs)

    return call


def _name(field: xr.DataArray) -> str:
    return repr(field.name) if field.name is not None else "the field"


def _one_chunk(data: Any, field: xr.DataArray, dims: Sequence[Hashable], rechunk: bool) -> Any:
    first = field.ndim - len(dims)
    for axis, dim in enumerate(dims, start=first):
        pieces = len(data.chunks[axis])
        if pieces > 1 and not rechunk:
            raise ValueError(
                f"{_name(field)} has {dim!r} in {pieces} chunks, but this operation reads the whole of it; "
                f"rechunk first, for example with .chunk({{{dim!r}: -1}})"
            )
    return data.rechunk(dict.fromkeys(range(first, field.ndim), -1))


def _rows(kernel: Callable[..., Any], n_core: int, outputs: Sequence[Output]) -> Callable[..., Any]:
    """The kernel as a function of an array with any leading dimensions."""

    def call(block: np.ndarray, **constants: Any) -> Any:
        lead, core = block.shape[: block.ndim - n_core], block.shape[block.ndim - n_core :]
        found = kernel(np.ascontiguousarray(block).reshape(-1, *core), **constants)
        parts = found if isinstance(found, tuple) else (found,)
        parts = tuple(part.reshape((*lead, *out.shape)) for part, out in zip(parts, outputs, strict=True))
        return parts if len(outputs) > 1 else parts[0]

    return call


def _by_blocks(
    kernel: Callable[..., Any], n_core: int, outputs: Sequence[Output], cells_last: bool
) -> Callable[..., tuple[np.ndarray, ...]]:
    if cells_last:
        return partial(_side_by_side, kernel, outputs=outputs)
    return partial(_eager, kernel, n_core=n_core, outputs=outputs)


def _blockwise(
    kernel: Callable[..., Any], n_core: int, outputs: Sequence[Output], cells_last: bool
) -> Callable[..., Any]:
    eager = _by_blocks(kernel, n_core, outputs, cells_last)

    def call(block: np.ndarray, **constants: Any) -> Any:
        parts = eager(block, **constants)
        return parts if len(outputs) > 1 else parts[0]

    return call


def _lazy(
    call: Callable[..., Any], data: Any, n_core: int, outputs: Sequence[Output], constants: Mapping[str, Any]
) -> tuple[Any, ...]:
    core = [f"i{k}" for k in range(n_core)]
    sizes: dict[str, int] = {}
    signatures = []
    for n, out in enumerate(outputs):
        labels = [f"o{n}_{k}" for k in range(len(out.shape))]
        sizes.update(zip(labels, out.shape, strict=True))
        signatures.append(f"({','.join(labels)})")
    keyed = _keys(constants)
    results = dask.array.apply_gufunc(
        call,
        f"({','.join(core)})->{','.join(signatures)}",
        data,
        output_dtypes=[out.dtype for out in outputs],
        output_sizes=sizes,
        **keyed,
    )
    return results if isinstance(results, tuple) else (results,)


def _eager(
    kernel: Callable[..., Any], data: np.ndarray, *, n_core: int, outputs: Sequence[Output], **constants: Any
) -> tuple[np.ndarray, ...]:
    """The kernel on blocks of rows, shared among the threads; only a block at a time is brought in order."""
    lead = data.shape[: data.ndim - n_core]
    n_rows, block, rows = row_blocks(data, n_core)
    results = tuple(np.empty((n_rows, *out.shape), out.dtype) for out in outputs)

    def work(start: int, stop: int) -> None:
        found = kernel(rows(start, stop), **constants)
        for result, part in zip(results, found if isinstance(found, tuple) else (found,), strict=True):
            result[start:stop] = part.reshape(stop - start, *result.shape[1:])

    threads.over_blocks(work, n_rows, block=block)
    return tuple(r.reshape((*lead, *out.shape)) for r, out in zip(results, outputs, strict=True))


def _side_by_side(
    kernel: Callable[..., Any], data: np.ndarray, *, outputs: Sequence[Output], **constants: Any
) -> tuple[np.ndarray, ...]:
    """The kernel on blocks of cells that lie side by side, shared among the threads; results lie in memory as the field does."""
    lead, size = data.shape[:-1], data.shape[-1]
    n_cells = int(np.prod(lead, dtype=np.int64))
    maps = _of_maps(data)
    flat = (
        np.moveaxis(data, -1, 0).reshape(size, n_cells) if maps else np.ascontiguousarray(data).reshape(n_cells, size)
    )
    shapes = [(*out.shape, n_cells) if maps else (n_cells, *out.shape) for out in outputs]
    results = tuple(np.empty(shape, out.dtype) for shape, out in zip(shapes, outputs, strict=True))

    def work(start: int, stop: int) -> None:
        found = kernel(flat[:, start:stop] if maps else as_rows(flat[start:stop]), **constants)
        for result, part in zip(results, found if isinstance(found, tuple) else (found,), strict=True):
            if maps:
                result[..., start:stop] = part
            else:
                result[start:stop] = as_rows(part) if part.ndim > 1 else part

    threads.over_blocks(work, n_cells, block=CELLS_OF_A_MAP)
    if not maps:
        return tuple(r.reshape((*lead, *out.shape)) for r, out in zip(results, outputs, strict=True))
    return tuple(
        np.moveaxis(r.reshape((*out.shape, *lead)), range(len(out.shape)), range(-len(out.shape), 0))
        for r, out in zip(results, outputs, strict=True)
    )


def _of_maps(data: np.ndarray) -> bool:
    """Whether the last dimension lies slowest in memory: maps, one after the other."""
    return bool(np.moveaxis(data, -1, 0).flags.c_contiguous)


def like(data: np.ndarray, dtype: Any) -> tuple[np.ndarray, Callable[[int, int, np.ndarray], None]]:
    """An array like ``data`` (cells ..., steps), maps where that is maps, and ``put(start, stop, rows)``, which fills it."""
    steps, lead = data.shape[-1], data.shape[:-1]
    n_rows = int(np.prod(lead, dtype=np.int64))
    if _of_maps(data):
        columns = np.empty((steps, n_rows), dtype)

        def put(start: int, stop: int, rows: np.ndarray) -> None:
            as_rows(rows, columns[:, start:stop])

        return np.moveaxis(columns.reshape(steps, *lead), 0, -1), put
    whole = np.empty((n_rows, steps), dtype)

    def put_rows(start: int, stop: int, rows: np.ndarray) -> None:
        whole[start:stop] = rows

    return whole.reshape(data.shape), put_rows


def row_blocks(data: np.ndarray, n_core: int) -> tuple[int, int, Callable[[int, int], np.ndarray]]:
    """Number of rows of an array with ``n_core`` core dimensions last, how many make a block, and what brings rows in order.

    An array whose core dimension lies slowest in memory (maps, one after the other) is transposed block by block.
    """
    core = data.shape[data.ndim - n_core :]
    n_rows = int(np.prod(data.shape[: data.ndim - n_core], dtype=np.int64))
    block = max(1, _BLOCK_VALUES // max(1, int(np.prod(core, dtype=np.int64))))
    if n_core == 1 and data.ndim > 1 and _of_maps(data) and not data.flags.c_contiguous:
        columns = np.moveaxis(data, -1, 0).reshape(core[0], n_rows)
        return n_rows, max(CELLS_OF_A_MAP, block), lambda start, stop: as_rows(columns[:, start:stop])
    whole = np.ascontiguousarray(data).reshape(n_rows, *core)
    return n_rows, block, lambda start, stop: whole[start:stop]
