"""Open fields from NetCDF, Zarr, GRIB and GeoTIFF: one file or many, lazily, with times that may not decode."""

import glob
import logging
import os
from collections.abc import Hashable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from oceankit._extras import require
from oceankit.fields import coordinates
from oceankit.fields.conventions import is_time
from oceankit.fields.files import StoreError, existing, is_zarr, local

__all__ = ["open_fields", "sources_of"]

log = logging.getLogger(__name__)

# By suffix: the engine, the package that it needs, the extra that installs it.
_EXTRAS = {
    **dict.fromkeys((".grib", ".grib2", ".grb", ".grb2"), ("cfgrib", "cfgrib", "grib", "reading GRIB")),
    **dict.fromkeys((".tif", ".tiff"), ("rasterio", "rioxarray", "geotiff", "reading GeoTIFF")),
}
Paths = str | os.PathLike[str] | Iterable[str | os.PathLike[str]]


def open_fields(
    paths: Paths,
    *,
    engine: str | None = None,
    chunks: int | str | Mapping[Any, Any] | None = "auto",
    **options: Any,
) -> xr.Dataset:
    """Open one file or many as a Dataset of lazy fields.

    Parameters
    ----------
    paths
        A path, a glob such as ``"runs/*.nc"`` (taken in the order of names) or several paths. NetCDF files, Zarr
        directories (version 2 or 3), addresses that an engine understands, GRIB and GeoTIFF with their extras.
        Many files are combined by their coordinates; what does not vary along them must be equal in all files.
    engine
        An xarray engine; found from the file by default.
    chunks
        As in `xarray.open_dataset`. By default multiples of the file's own chunks of at most 128 MiB, so that neither
        an unchunked giant nor a file of tiny chunks is a trouble; ``{}`` takes the file's own, None is without Dask.
    **options
        Passed to `xarray.open_dataset`.

    Returns
    -------
    Dataset
        ``encoding["sources"]`` of it and of its variables holds the paths as given; `oceankit.write` records them.

        * Times that do not decode (year 0, months as units) stay numbers; a warning in the log names them.
        * Durations with plain units (a wave period in ``s``) stay numbers; xarray's own timedeltas are restored.
        * A dimension coordinate of time without units (NEMO's ``time_counter``, all zero) is replaced by the time
          coordinate along it that decodes (``time_centered``), where there is exactly one; the log says so.
        * ``valid_min``, ``valid_max`` and ``valid_range`` of packed variables are unpacked with the values.

    Raises
    ------
    StoreError
        If there is no such file, its format is unknown, or the files do not combine; the message says which and why.
    MissingExtraError
        If the format needs a package that is not installed.

    Examples
    --------
    >>> import tempfile, xarray as xr
    >>> folder = tempfile.TemporaryDirectory()
    >>> for day in (1, 2):
    ...     sst = xr.DataArray([[20.0 + day]], dims=("time", "lat"), coords={"time": [day], "lat": [35.0]}, name="sst")
    ...     sst.to_netcdf(f"{folder.name}/day{day}.nc")
    >>> open_fields(f"{folder.name}/*.nc").sst.values.ravel()
    array([21., 22.])
    """
    names = _listed(paths)
    parts = [_open_one(name, engine, chunks, options) for name in names]
    whole = parts[0] if len(parts) == 1 else _combined(parts, names)
    with ExitStack() as stack:
        for part in parts:
            stack.callback(part.close)
        whole.set_close(stack.pop_all().close)
    for coordinate in list(whole.coords.values()):
        # Bounds are read with their coordinate: both are counted in the same units, which lazy values cannot tell.
        bounds = coordinate.attrs.get("bounds", coordinate.encoding.get("bounds"))
        if coordinate.ndim == 1 and bounds in whole.variables:
            whole[bounds].load()
    whole.encoding["sources"] = tuple(names)
    for variable in whole.variables.values():
        variable.encoding["sources"] = tuple(names)
    return whole


def sources_of(ds: xr.Dataset) -> tuple[str, ...]:
    """The files that ``ds`` and its variables remember to come from, in order of first mention."""
    found: dict[str, None] = {}
    for encoding in (ds.encoding, *(v.encoding for v in ds.variables.values())):
        found.update(dict.fromkeys(encoding.get("sources", ())))
    return tuple(found)


def _listed(paths: Paths) -> list[str]:
    if not isinstance(paths, str | os.PathLike):
        names = [os.fspath(p) for p in paths]
        if not names:
            raise StoreError("the list of paths is empty; name at least one file")
        twice = sorted({n for n in names if names.count(n) > 1}) if len(set(names)) < len(names) else []
        if twice:
            raise StoreError(f"{twice[0]!r} is listed {names.count(twice[0])} times; name each file once")
        return names
    name = os.fspath(paths)
    place = local(name)
    if place is None or existing(place).exists() or not glob.has_magic(name):
        return [name]
    names = sorted(glob.glob(os.path.expanduser(name), recursive=True))
    if not names:
        raise StoreError(f"no file matches {name!r} (looked from the folder {os.getcwd()!r}); correct the pattern")
    return names


def _open_one(name: str, engine: str | None, chunks: Any, options: Mapping[str, Any]) -> xr.Dataset:
    place = local(name)
    options = {"decode_timedelta": xr.coders.CFTimedeltaCoder(decode_via_units=False), **options}
    address = name
    if place is not None:
        place = _found(name, place)
        address = str(place)
        if engine is None and place.suffix.lower() in _EXTRAS:
            engine, module, extra, purpose = _EXTRAS[place.suffix.lower()]
            require(module, extra=extra, purpose=purpose)
        if engine in (None, "zarr") and is_zarr(place):
            engine = "zarr"
            options.setdefault("consolidated", _is_consolidated(place))
    try:
        ds = _decoded(name, address, engine, chunks, options)
    except (OSError, ValueError) as error:
        if isinstance(error, StoreError):
            raise
        raise StoreError(
            f"{name!r} could not be opened ({_first_line(error)}); it must be NetCDF, Zarr or what the engine reads: "
            "check the file, or name an engine with engine="
        ) from error
    return _unpack_limits(_mend_time(ds, name))


def _found(name: str, place: Path) -> Path:
    found = existing(place)
    if not found.exists():
        raise StoreError(f"there is no file {name!r} (looked from the folder {os.getcwd()!r}); correct the path")
    if found is not place:
        log.warning("%s: its replacement was interrupted; the earlier product is read from %s", name, found)
    if found.is_dir() and not is_zarr(found):
        raise StoreError(f"{name!r} is a folder and no Zarr store; name its files, for example {name.rstrip('/')}/*.nc")
    return found


def _is_consolidated(place: Path) -> bool:
    # Said to xarray because it warns about stores without consolidated metadata, which is most of Zarr 3.
    if (place / ".zmetadata").exists():
        return True
    root = place / "zarr.json"
    return root.exists() and '"consolidated_metadata"' in root.read_text(encoding="utf-8")


def _decoded(name: str, address: str, engine: str | None, chunks: Any, options: Mapping[str, Any]) -> xr.Dataset:
    """Open with every time that decodes."""
    try:
        return _chunked(address, engine, chunks, options)
    except (ValueError, OverflowError):
        if "decode_times" in options:
            raise
        with xr.open_dataset(address, engine=engine, chunks=None, **{**options, "decode_times": False}) as raw:
            bad = [n for n, v in raw.variables.items() if not _decodes(v)]
            bad += [b for n in bad if (b := raw[n].attrs.get("bounds")) in raw.variables]
            every = list(raw.variables)
            for n in bad:
                log.warning(
                    "%s: the times of %r (units %r) do not decode and stay numbers", name, n, raw[n].attrs.get("units")
                )
        if not bad:
            raise
        return _chunked(address, engine, chunks, {**options, "decode_times": {n: n not in bad for n in every}})


def _decodes(variable: xr.Variable) -> bool:
    if " since " not in str(variable.attrs.get("units", "")):
        return True
    try:
        xr.decode_cf(xr.Dataset({"time": (variable.dims, variable.data, variable.attrs)}))
    except (ValueError, OverflowError):
        return False
    return True


def _chunked(address: str, engine: str | None, chunks: Any, options: Mapping[str, Any]) -> xr.Dataset:
    try:
        return xr.open_dataset(address, engine=engine, chunks=chunks, **options)
    except NotImplementedError:
        if chunks != "auto":
            raise
    # Dask cannot size chunks of strings and other objects: these few stay as the file has them.
    whole = xr.open_dataset(address, engine=engine, chunks={}, **options)
    objects = [n for n, v in whole.variables.items() if v.dtype.kind in "OT"]
    dropped = options.get("drop_variables") or []
    dropped = [dropped] if isinstance(dropped, str) else list(dropped)
    rest = xr.open_dataset(address, engine=engine, chunks="auto", **{**options, "drop_variables": [*dropped, *objects]})
    mixed = whole.assign({n: v for n, v in rest.variables.items() if n not in rest.indexes and n not in whole.coords})
    mixed = mixed.assign_coords(
        {n: v for n, v in rest.variables.items() if n not in rest.indexes and n in whole.coords}
    )
    mixed.encoding = whole.encoding
    with ExitStack() as stack:
        stack.callback(whole.close)
        stack.callback(rest.close)
        mixed.set_close(stack.pop_all().close)
    return mixed


def _mend_time(ds: xr.Dataset, name: str) -> xr.Dataset:
    """Give a time dimension whose coordinate has no units the one time coordinate along it that decodes."""
    close = ds.close
    for dim in [d for d in ds.dims if d in ds.indexes]:
        own = ds.variables[dim]
        if own.dtype.kind not in "fiu" or str(own.attrs.get("units", "")).strip():
            continue
        if dim not in coordinates.candidates(ds, "time"):
            continue
        others = [n for n, v in ds.variables.items() if n != dim and v.dims == (dim,) and is_time(v)]
        if len(others) == 1:
            time = ds.variables[others[0]].load()
            attrs = {**time.attrs, **{k: v for k, v in own.attrs.items() if k == "axis"}}
            log.info("%s: %r has no units; the times of %r are taken along it", name, dim, others[0])
            encoding = dict(ds.encoding)
            ds = ds.assign_coords({dim: xr.Variable((dim,), time.data, attrs, time.encoding)})
            ds.encoding = encoding
            ds.set_close(close)
    return ds


def _unpack_limits(ds: xr.Dataset) -> xr.Dataset:
    """CF states valid limits in packed numbers; once the values are unpacked they would be wrong."""
    for variable in ds.variables.values():
        scale, offset = variable.encoding.get("scale_factor", 1), variable.encoding.get("add_offset", 0)
        packed = np.dtype(variable.encoding.get("dtype", variable.dtype))
        if variable.dtype.kind != "f" or packed.kind not in "iu":
            continue
        for key in ("valid_min", "valid_max", "valid_range"):
            limit = np.asarray(variable.attrs.get(key, np.nan))
            if limit.dtype.kind in "iu":
                unpacked = (limit * np.float64(scale) + np.float64(offset)).astype(variable.dtype)
                variable.attrs[key] = unpacked if unpacked.ndim else unpacked[()]
    return ds


def _combined(parts: Sequence[xr.Dataset], names: Sequence[str]) -> xr.Dataset:
    _check_alike(parts, names)
    try:
        return xr.combine_by_coords(
            list(parts),
            data_vars="minimal",
            coords="minimal",
            compat="equals",
            join="exact",
            combine_attrs="drop_conflicts",
        )  # type: ignore[return-value]
    except (ValueError, TypeError) as error:
        raise StoreError(
            f"the {len(names)} files do not combine by their coordinates: "
            f"{_difference(parts, names) or _first_line(error)}; "
            "open what belongs together, and merge the rest with xarray"
        ) from error


def _check_alike(parts: Sequence[xr.Dataset], names: Sequence[str]) -> None:
    """What xarray would join without a word: units, dimensions and kinds of values that differ between files."""
    first: dict[Hashable, tuple[xr.Variable, str]] = {}
    for part, name in zip(parts, names, strict=True):
        for key, variable in part.variables.items():
            other, owner = first.setdefault(key, (variable, name))
            for what, here, there in (
                ("units", variable.attrs.get("units"), other.attrs.get("units")),
                ("the dimensions", variable.dims, other.dims),
                ("values of kind", variable.dtype.kind, other.dtype.kind),
            ):
                if here != there:
                    raise StoreError(
                        f"the {len(names)} files do not combine: in {name!r} {key!r} has {what} {here!r}, but "
                        f"{there!r} in {owner!r}; convert one of them first"
                    )


def _difference(parts: Sequence[xr.Dataset], names: Sequence[str]) -> str | None:
    """The first file that is not like the first one, in words; looked for only after combining has failed."""
    first = parts[0]
    times = {d for d in first.dims if d in coordinates.candidates(first, "time")}
    for part, name in zip(parts[1:], names[1:], strict=True):
        lacking = [n for n in first.variables if n not in part.variables]
        more = [n for n in part.variables if n not in first.variables]
        if lacking and not more:
            return f"{name!r} lacks {lacking[0]!r}, which {names[0]!r} has"
        if more and not lacking:
            return f"{name!r} has {more[0]!r}, which {names[0]!r} lacks"
        for dim in first.sizes:
            if dim not in times and part.sizes.get(dim, first.sizes[dim]) != first.sizes[dim]:
                return f"{name!r} has {part.sizes[dim]} along {dim!r}, but {names[0]!r} has {first.sizes[dim]}"
        for key, variable in first.variables.items():
            if (
                key in part.variables
                and not times & set(variable.dims)
                and not xr.DataArray(variable).equals(xr.DataArray(part.variables[key]))
            ):
                return f"the values of {key!r} in {name!r} differ from those in {names[0]!r}"
    overlap = [d for d in times if any(set(first.indexes[d]) & set(p.indexes.get(d, ())) for p in parts[1:])]
    return f"several files hold the same {overlap[0]!r}" if overlap else None


def _first_line(error: BaseException) -> str:
    return str(error).strip().split("\n")[0].rstrip(".") or type(error).__name__
