"""Write products to NetCDF and Zarr, whole or by region, atomically, with CF/ACDD attributes and provenance."""

import json
import os
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import dask
import netCDF4
import xarray as xr
import zarr

from oceankit.fields import clock, conventions, provenance, resuming
from oceankit.fields.encoding import encoded
from oceankit.fields.files import StoreError, format_of, growing, replacing, reporting, require_place, sync, taking
from oceankit.fields.hashing import digests, stored
from oceankit.fields.opening import open_fields, sources_of
from oceankit.fields.owning import owned
from oceankit.fields.provenance import Integrity, check_integrity
from oceankit.fields.regions import Region, write_region

__all__ = ["Integrity", "StoreError", "check_integrity", "open_fields", "seal", "template", "write"]


def write(
    data: xr.Dataset | xr.DataArray,
    path: str | os.PathLike[str],
    *,
    region: Region | None = None,
    metadata: Mapping[str, Any] | None = None,
    inputs: Iterable[str | os.PathLike[str]] | None = None,
    options: Mapping[str, Any] | None = None,
    resume: bool = False,
) -> None:
    """Write a product: NetCDF (``.nc``) or Zarr version 3 (``.zarr``), by the suffix of ``path``.

    A whole product is written beside ``path`` and takes its place when it is complete: a write that fails or is killed
    leaves the earlier product, or nothing. Lazy data are computed once, block by block, and read back for their hashes.
    Packing and chunks of the input files are not inherited: float32 stays float32, NaN is missing, times are int64,
    missing text is empty, and bytes become text in Zarr.

    Parameters
    ----------
    data
        A Dataset, or a DataArray with a name. Lazy ones are computed on the Dask scheduler in force.
    path
        The product. An earlier one is replaced.
    region
        Write into a part of an existing Zarr store (see `template`): slices by dimension, or ``"auto"`` to find them
        from the coordinates of ``data``. The edges must be those of the store's chunks, so that any number of processes
        may write at once. Afterwards `seal` records the hashes.
    metadata
        Global attributes that only people know: ``title``, ``summary``, ``institution``, ``license`` ...
        ``coverage_content_type`` goes to the data variables that lack it.
    inputs
        The files that the product was made from; by default those that ``data`` remembers (see `open_fields`), which
        arithmetic on it forgets.
    options
        How it was made, recorded as given; anything that JSON can say.
    resume
        Write lazy data tile by tile (their chunks) into a Zarr store beside ``path`` until the last is there; a NetCDF file is
        made from it then. After a kill or a lost node the same call goes on with the tiles that are missing. Whether the data
        are the same is seen from their layout, coordinates, ``inputs`` and ``options``, not from values that nobody has
        computed yet: name in ``options`` what makes them.

    Raises
    ------
    StoreError
        If the path, the data, the region or the metadata do not fit, or the disk does not take them.

    Examples
    --------
    >>> import os, tempfile, xarray as xr
    >>> folder = tempfile.TemporaryDirectory()
    >>> path = os.path.join(folder.name, "sst.nc")
    >>> sst = xr.DataArray([20.5, 21.0], dims="lon", coords={"lon": [120.0, 121.0]}, name="sst")
    >>> write(sst, path, metadata={"institution": "a university"}, options={"step": "mean"})
    >>> check_integrity(path).ok
    True
    """
    ds = _dataset(data)
    if region is not None:
        if metadata or inputs or options:
            raise StoreError("a region carries values alone; give metadata, inputs and options to template or seal")
        write_region(ds, path, region)
        return
    form = format_of(path)
    product, recorded = _prepared(ds, path, metadata, inputs, options)
    lazy = any(v.chunks is not None for v in product.data_vars.values())
    if lazy and resume:
        _in_tiles(product, path, recorded, form)
        return
    with reporting(path), replacing(path) as part:
        if form == "zarr":
            _store(product, part)
        elif lazy and _elsewhere():
            # Workers fill a store, and this process makes the file: one HDF5 file is not written from several.
            with growing(path) as between:
                _store(product, between)
                _file_of(between, product, part)
        else:
            _file(product, part)
        _stamp(part, recorded)


def template(
    data: xr.Dataset | xr.DataArray,
    path: str | os.PathLike[str],
    *,
    metadata: Mapping[str, Any] | None = None,
    inputs: Iterable[str | os.PathLike[str]] | None = None,
    options: Mapping[str, Any] | None = None,
) -> None:
    """Lay out a Zarr store for ``write(..., region=...)`` to fill, without computing anything.

    Coordinates and values already in memory are written; of lazy variables only the layout is, in their Dask chunks,
    and what is not filled later stays missing. Other arguments are those of `write`.

    Raises
    ------
    StoreError
        If ``path`` is not ``.zarr`` (a NetCDF file cannot be written by several processes), or as for `write`.

    Examples
    --------
    >>> import os, tempfile, numpy as np, xarray as xr
    >>> folder = tempfile.TemporaryDirectory()
    >>> path = os.path.join(folder.name, "sst.zarr")
    >>> sst = xr.DataArray(np.arange(6.0), dims="time", coords={"time": np.arange(6)}, name="sst")
    >>> template(sst.chunk(time=3), path)
    >>> for start in (0, 3):
    ...     write(sst[start : start + 3], path, region="auto")
    >>> seal(path)
    >>> check_integrity(path).ok
    True
    """
    if format_of(path) != "zarr":
        raise StoreError(
            f"{os.fspath(path)!r}: only a Zarr store can be filled by region; use a name that ends in .zarr"
        )
    product, recorded = _prepared(_dataset(data), path, metadata, inputs, options)
    with reporting(path), replacing(path) as part:
        _store(product, part, compute=False)
        _stamp(part, {**recorded, "content": False})


def seal(path: str | os.PathLike[str]) -> None:
    """Declare a Zarr store that was filled by region complete, and record the hashes of its content.

    Raises
    ------
    StoreError
        If it is no store of `template`, or some chunk was never written; the message names the first.
    """
    _sealed(path, os.fspath(path))


def _sealed(place: str | os.PathLike[str], path: str) -> None:
    with stored(place) as product:
        text = product.attrs.get("provenance")
        if format_of(place) != "zarr" or text is None:
            raise StoreError(f"{path!r} was not laid out by oceankit.fields.template, so it cannot be sealed")
        for name, array in product.arrays.items():
            written, whole = array.data.nchunks_initialized, array.data.nchunks
            if written < whole:
                raise StoreError(
                    f"{path!r} is not complete: {name!r} has {written} of {whole} chunks; write the remaining regions"
                )
        record = json.loads(text) | {"variables": provenance.content_of(product)}
        now = clock.now().strftime("%Y-%m-%dT%H:%M:%SZ")
        attrs = {
            "date_modified": now,
            "history": f"{product.attrs.get('history', '')}\n{now} oceankit: filled by region",
        }
        record["attributes"] |= digests(attrs)
    zarr.open_group(Path(place).expanduser(), mode="r+").attrs.update(
        {**attrs, "provenance": json.dumps(record, indent=1)}
    )


def _in_tiles(product: xr.Dataset, path: str | os.PathLike[str], recorded: Mapping[str, Any], form: str) -> None:
    """Write what is not there yet, and put the whole in its place."""
    given, place = os.fspath(path), resuming.unfinished(path)
    store, made_by = place / resuming.STORE, {"inputs": recorded["inputs"], "options": recorded["options"]}
    tiles = encoded(product, "zarr")
    require_place(path)
    with owned(place, given) as still_mine:
        with reporting(path):
            if not resuming.begun(place, tiles, made_by, given):
                with replacing(store) as beginning:
                    _store(product, beginning, compute=False)
                    _stamp(beginning, {**recorded, "content": False})
                resuming.begin(place, tiles, made_by)
        # What the computation itself cannot read is no matter of this product's disk.
        resuming.fill(place, tiles, given)
        with reporting(path):
            _sealed(store, given)
            sync(store / "zarr.json")
            # A store is renamed into its place; a file is made from it.
            placing: Any = taking(store, path) if form == "zarr" else replacing(path)
            with placing as part:
                if form == "netcdf":
                    _file_of(store, product, part)
                    _stamp(part, recorded)
                still_mine()
            resuming.forget(place)
            shutil.rmtree(place, ignore_errors=True)


def _store(product: xr.Dataset, part: Path, **options: Any) -> None:
    encoded(product, "zarr").to_zarr(
        part, mode="w-", zarr_format=3, consolidated=False, write_empty_chunks=True, **options
    )


def _file(product: xr.Dataset, part: Path) -> None:
    encoded(product, "netcdf").to_netcdf(part, engine="netcdf4", format="NETCDF4")


def _file_of(store: Path, product: xr.Dataset, part: Path) -> None:
    """Make the file from a store, chunk by chunk, in this thread whatever the scheduler in force."""
    with dask.config.set(scheduler="synchronous"):
        _file(resuming.filled(store, product), part)


def _elsewhere() -> bool:
    """Whether the Dask scheduler in force may compute in other processes."""
    get = dask.base.get_scheduler()
    return get is not None and getattr(get, "__module__", "") not in ("dask.local", "dask.threaded")


def _dataset(data: xr.Dataset | xr.DataArray) -> xr.Dataset:
    if isinstance(data, xr.Dataset):
        return data
    if data.name is None:
        raise StoreError("the DataArray has no name to be stored under; give it one with .rename")
    if data.name in data.coords:
        raise StoreError(f"the DataArray is called like its coordinate {data.name!r}; rename it")
    ds = data.to_dataset()
    ds.attrs.pop("coordinates", None)
    return ds


def _prepared(
    ds: xr.Dataset,
    path: str | os.PathLike[str],
    metadata: Mapping[str, Any] | None,
    inputs: Iterable[str | os.PathLike[str]] | None,
    options: Mapping[str, Any] | None,
) -> tuple[xr.Dataset, dict[str, Any]]:
    """The product as it will be described, and what its provenance will say."""
    options = dict(options or {})
    try:
        json.dumps(options)
    except (TypeError, ValueError) as error:
        raise StoreError(
            f"options cannot be recorded ({error}); give text, numbers, lists and mappings of these"
        ) from error
    if isinstance(inputs, str | os.PathLike):
        inputs = [inputs]
    sources = sources_of(ds) if inputs is None else tuple(os.fspath(p) for p in inputs)
    now = clock.now()
    ds = conventions.with_references(ds)
    # Coordinates are described by their values, objects stored by what they are, and text is short.
    for name, variable in ds.variables.items():
        if name in ds.coords or variable.dtype.kind in "OTUS":
            variable.load()
    ds = conventions.described(ds, name=Path(path).name, metadata=metadata or {}, sources=sources, now=now)
    recorded = {"inputs": provenance.input_records(sources, given=inputs is not None), "options": options, "now": now}
    return ds, recorded


def _stamp(part: Path, recorded: Mapping[str, Any]) -> None:
    """Record the provenance of what has just been written, read back from the disk."""
    with stored(part) as product:
        text = provenance.record(product, **recorded)
    if part.is_dir():
        zarr.open_group(part, mode="r+").attrs["provenance"] = text
    else:
        with netCDF4.Dataset(part, "a") as dataset:
            dataset.setncattr("provenance", text)
