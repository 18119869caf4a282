"""How values are stored: types, missing values, times, chunks and compression, decided here and never inherited."""

from collections.abc import Hashable
from typing import Any, Literal

import numpy as np
import xarray as xr
import zarr

from oceankit.fields.conventions import bounds_of, is_time
from oceankit.fields.files import StoreError

__all__ = ["GROWING", "encoded"]

_CHUNK_BYTES = 2**22
GROWING = "growing_dims"
_GROWTH = 2**17  # entries of a chunk along a dimension that grows
_SMALL_BYTES = 2**16  # not worth compressing
_TICKS = {"s": "seconds", "ms": "milliseconds", "us": "microseconds", "ns": "nanoseconds"}
# Neighbours in a column have little in common: what is slower makes it hardly smaller.
_OF_A_TABLE = zarr.codecs.BloscCodec(cname="lz4", shuffle="bitshuffle")
_NO_DATE = np.iinfo(np.int64).min


def encoded(ds: xr.Dataset, form: Literal["netcdf", "zarr"]) -> xr.Dataset:
    """A copy of ``ds`` whose encodings are those of our products; coordinates and objects must be in memory.

    :data:`GROWING` in its own encoding names dimensions of tables that will grow. (What files call unlimited is inherited from
    them, and says nothing of a product.)

    Raises
    ------
    StoreError
        If the format cannot hold a name, a type or an attribute.
    """
    growing = set(ds.encoding.get(GROWING, ()))
    ds = ds.drop_encoding()
    bounds = bounds_of(ds)
    _check_attrs("the dataset", ds.attrs)
    encodings: dict[Hashable, dict[str, Any]] = {}
    changed: dict[Hashable, xr.Variable] = {}
    for name, before in ds.variables.items():
        variable = before
        _check(name, variable)
        encoding = encodings[name] = {}
        if is_time(variable):
            family = [v for n in _family(name, bounds) if is_time(v := ds.variables[n])]
            tick = max((_tick(v) for v in family), key=list(_TICKS).index)
            variable = _counted_in(tick, variable)
            encoding |= _time_encoding(variable, tick)
        elif variable.dtype.kind == "m":
            unit = _TICKS[np.datetime_data(variable.dtype)[0]]
            encoding |= {"units": unit, "dtype": "int64", "_FillValue": _NO_DATE}
        elif variable.dtype.kind == "f" and "_FillValue" not in variable.attrs:
            plain = name in ds.coords or name in bounds
            encoding["_FillValue"] = None if plain else variable.dtype.type(np.nan)
        if name in bounds:
            encoding["coordinates"] = None  # bounds belong to their coordinate and to nothing else
        if form == "netcdf":
            encoding |= _netcdf_storage(variable)
        else:
            variable = _for_zarr(name, variable)
            encoding |= {"chunks": _zarr_chunks(variable, growing)} if variable.ndim else {}
            if variable.ndim == 1 and name not in variable.dims and variable.dtype.kind in "fiumM":
                encoding["compressors"] = _OF_A_TABLE
        if variable is not before:
            changed[name] = variable
    ds = ds.assign_coords({n: v for n, v in changed.items() if n in ds.coords}).assign(
        {n: v for n, v in changed.items() if n not in ds.coords}
    )
    for name, encoding in encodings.items():
        ds.variables[name].encoding = encoding
    return ds


def _family(name: Hashable, bounds: dict[Hashable, Hashable]) -> list[Hashable]:
    """A coordinate and its bounds, which must be counted in the same units."""
    owner = bounds.get(name, name)
    return [owner, *(b for b, o in bounds.items() if o == owner)]


def _check(name: Hashable, variable: xr.Variable) -> None:
    if not isinstance(name, str) or not name or "/" in name:
        raise StoreError(f"the variable name {name!r} cannot be stored; rename it to text without a slash")
    kind = variable.dtype.kind
    if kind == "O" and variable.size and not is_time(variable):
        # Missing text (None, NaN) is stored as NetCDF has it: empty.
        odd = [v for v in variable.values.flat if not isinstance(v, str | bytes) and v is not None and v == v]
        if odd:
            raise StoreError(f"{name!r} holds objects such as {odd[0]!r}; convert it to numbers, text or dates")
    if kind in "cV" or (kind == "f" and variable.dtype.itemsize not in (4, 8)):
        raise StoreError(f"{name!r} has the type {variable.dtype}, which CF does not know; convert it with .astype")
    _check_attrs(repr(name), variable.attrs)


def _check_attrs(owner: str, attrs: dict[Any, Any]) -> None:
    for key, value in attrs.items():
        plain = isinstance(value, str | bytes | int | float | np.generic | list | tuple | np.ndarray)
        if not isinstance(key, str) or not plain or isinstance(value, bool | np.bool_):
            raise StoreError(
                f"{owner} has the attribute {key!r}={value!r}, which cannot be stored; make it text or a number"
            )


def _counted_in(tick: str, variable: xr.Variable) -> xr.Variable:
    """``variable`` fit to be counted in ``tick``: in a finer unit than its own xarray loses the dates beside a NaT."""
    if variable.dtype.kind == "M" and variable.dtype < np.dtype(f"M8[{tick}]"):
        return variable.astype(f"M8[{tick}]")
    return variable


def _time_encoding(variable: xr.Variable, tick: str) -> dict[str, Any]:
    calendar = "proleptic_gregorian"
    if variable.dtype.kind == "O":
        calendar = variable.values.flat[0].calendar
    lacking = variable.chunks is not None or bool(variable.isnull().any())
    return {
        "units": f"{_TICKS[tick]} since 1970-01-01 00:00:00",
        "calendar": calendar,
        "dtype": "int64",
        "_FillValue": _NO_DATE if lacking else None,
    }


def _tick(variable: xr.Variable) -> str:
    """The coarsest unit that counts these dates without loss."""
    if variable.dtype.kind == "O":
        dates = [d for d in variable.values.flat if d is not None and d == d]
        return "us" if any(d.microsecond for d in dates) else "s"
    own = np.datetime_data(variable.dtype)[0]
    if variable.chunks is not None:
        return own if own in _TICKS else "s"
    values = variable.values
    values = values[~np.isnat(values)]
    return next((t for t in _TICKS if (values.astype(f"M8[{t}]") == values).all()), "ns")


def _netcdf_storage(variable: xr.Variable) -> dict[str, Any]:
    if (variable.dtype.kind in "OTUS" and not is_time(variable)) or variable.nbytes <= _SMALL_BYTES:
        return {}
    return {"zlib": True, "complevel": 4, "shuffle": True, "chunksizes": _chunk_shape(variable)}


def _chunk_shape(variable: xr.Variable) -> tuple[int, ...]:
    """Chunks of about 4 MiB that are contiguous in C order: whole maps rather than long series."""
    room = _CHUNK_BYTES // max(1, variable.dtype.itemsize)
    whole = variable.shape if variable.chunks is None else tuple(c[0] for c in variable.chunks)
    shape: list[int] = []
    for size in reversed(whole):
        most = max(1, min(size, room))
        # Where it can be, a divisor: a stored chunk that two Dask chunks share is compressed twice.
        shape.insert(0, next((n for n in range(most, most // 2, -1) if size % n == 0), most))
        room //= shape[0]
    return tuple(shape)


def _for_zarr(name: Hashable, variable: xr.Variable) -> xr.Variable:
    if variable.dtype.kind in "SUO" and not is_time(variable):
        # Zarr 3 specifies text of any length, neither text nor bytes of fixed length.
        text = np.empty(variable.shape, object)
        try:
            text.reshape(-1)[:] = [
                v.decode() if isinstance(v, bytes) else v if v == v else None for v in variable.values.flat
            ]
        except UnicodeDecodeError as error:
            raise StoreError(
                f"{name!r} holds bytes that are not UTF-8 ({error}); decode them, as with .str.decode('latin-1')"
            ) from error
        variable = variable.copy(data=text)
    if variable.chunks is not None and not all(map(_even, variable.chunks)):
        variable = variable.chunk({d: max(c) for d, c in zip(variable.dims, variable.chunks, strict=True)})
    return variable


def _even(chunks: tuple[int, ...]) -> bool:
    return len(set(chunks[:-1])) <= 1 and chunks[-1] <= chunks[0]


def _zarr_chunks(variable: xr.Variable, growing: set[Hashable]) -> tuple[int, ...]:
    if variable.chunks is None:
        shape = _chunk_shape(variable)
        # There the size that it has now says nothing.
        return tuple(_GROWTH if d in growing else n for d, n in zip(variable.dims, shape, strict=True))
    return tuple(max(1, c[0]) for c in variable.chunks)
