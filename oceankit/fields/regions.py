"""Write a part of an existing Zarr store, in whole chunks, where it belongs."""

import os
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
import zarr

from oceankit.fields.files import StoreError, existing, format_of, is_zarr
from oceankit.fields.provenance import unsealed

__all__ = ["Region", "write_region"]

Region = Mapping[str, slice] | str


def write_region(ds: xr.Dataset, path: str | os.PathLike[str], region: Region) -> None:
    """Write the variables of ``ds`` into ``region`` of the store at ``path``; see `oceankit.write`."""
    given = os.fspath(path)
    if format_of(path) != "zarr":
        raise StoreError(
            f"{given!r}: only Zarr stores are written by region; use a name that ends in .zarr, or write it whole"
        )
    place = existing(Path(path).expanduser())
    if not is_zarr(place):
        raise StoreError(
            f"there is no Zarr store {given!r} to write a region of; lay it out with oceankit.fields.template"
        )
    coder = xr.coders.CFTimedeltaCoder(decode_via_units=False)
    with xr.open_dataset(place, engine="zarr", chunks=None, consolidated=False, decode_timedelta=coder) as store:
        spans = _spans(ds, store, region, given)
        fields = _fields(ds, store, zarr.open_group(place, mode="r"), spans, given)
    unsealed(place)
    slices = {str(d): spans[d] for d in fields.dims}
    fields.to_zarr(place, mode="r+", consolidated=False, write_empty_chunks=True, region=slices)


def _spans(ds: xr.Dataset, store: xr.Dataset, region: Region, path: str) -> dict[Hashable, slice]:
    """Where each dimension of ``ds`` lies in the store."""
    found: dict[Hashable, slice] = {}
    if isinstance(region, str):
        if region != "auto":
            raise StoreError(f"region is {region!r}; give slices by dimension, or 'auto'")
        found = {d: _found(ds, store, d, path) for d in ds.dims if d in ds.indexes and d in store.indexes}
        region = {}
    for name, span in region.items():
        if name not in store.dims or name not in ds.dims:
            raise StoreError(
                f"the region names {name!r}, but {path!r} has {tuple(store.dims)} and the data {tuple(ds.dims)}"
            )
        if not isinstance(span, slice) or span.step not in (None, 1):
            raise StoreError(f"the region of {name!r} is {span!r}; give a slice with step 1")
        found[name] = slice(*span.indices(store.sizes[name])[:2])
    for dim, size in ds.sizes.items():
        if dim not in store.dims:
            raise StoreError(f"the data have a dimension {dim!r}, which {path!r} lacks; it has {tuple(store.dims)}")
        span = found.setdefault(dim, slice(0, store.sizes[dim]))
        if span.stop - span.start != size:
            raise StoreError(
                f"the data have {size} along {dim!r}, but the region {span.start}:{span.stop} of {path!r} has "
                f"{span.stop - span.start}; select the part that belongs there"
            )
    return found


def _found(ds: xr.Dataset, store: xr.Dataset, dim: Hashable, path: str) -> slice:
    places = store.indexes[dim].get_indexer(ds.indexes[dim])
    if (places < 0).any():
        raise StoreError(f"{dim!r} = {ds[dim].values[places < 0][0]} is not in {path!r}; the region cannot be found")
    if len(places) and (np.diff(places) != 1).any():
        raise StoreError(f"the values of {dim!r} do not follow each other in {path!r} as in the data; write them apart")
    return slice(int(places[0]), int(places[-1]) + 1) if len(places) else slice(0, 0)


def _fields(ds: xr.Dataset, store: xr.Dataset, arrays: Any, spans: Mapping[Hashable, slice], path: str) -> xr.Dataset:
    """What is to be written, in the chunks of the store; the rest must be there already, equal."""
    partial = {d for d, s in spans.items() if s != slice(0, store.sizes[d])}
    written: dict[Hashable, xr.Variable] = {}
    for name, variable in ds.variables.items():
        if name not in store.variables:
            raise StoreError(
                f"{path!r} has no variable {name!r}, only {tuple(store.variables)}; drop it, or lay it out first"
            )
        there = store.variables[name]
        if there.dims != variable.dims:
            raise StoreError(
                f"{name!r} has the dimensions {variable.dims}, but {there.dims} in {path!r}; transpose the data"
            )
        if _kind(there) != _kind(variable):
            raise StoreError(
                f"{name!r} has the type {variable.dtype}, but {there.dtype} in {path!r}; convert it with .astype"
            )
        partly = partial & set(variable.dims)
        owned = name in ds.data_vars and bool(variable.dims) and (bool(partly) or not partial)
        cut = _cut(variable, arrays[str(name)], spans, name) if owned else ""
        if owned and not cut:
            written[name] = (
                variable if variable.chunks is None else variable.chunk(_chunks(variable, arrays[str(name)]))
            )
            continue
        # What belongs to other regions, too, is not written again: it must be there, equal.
        shared = not owned or partly < partial
        if not (shared and xr.DataArray(there.isel({d: spans[d] for d in there.dims})).equals(xr.DataArray(variable))):
            raise StoreError(
                cut
                or f"{name!r} differs from what {path!r} holds there, so the data belong elsewhere or to another "
                "product; correct the region, or lay the store out with these values"
            )
    if not written:
        raise StoreError(f"the data have no variable along the region {dict(spans)}; there is nothing to write")
    return xr.Dataset(written).drop_encoding()


def _chunks(variable: xr.Variable, array: Any) -> dict[Hashable, int]:
    return dict(zip(variable.dims, array.shards or array.chunks, strict=True))


def _cut(variable: xr.Variable, array: Any, spans: Mapping[Hashable, slice], name: Hashable) -> str:
    """How the region cuts through chunks of the stored array, which no two writers may share; empty if it does not."""
    for (dim, chunk), total in zip(_chunks(variable, array).items(), array.shape, strict=True):
        span = spans[dim]
        if span.start % chunk or (span.stop % chunk and span.stop != total):
            low, high = span.start // chunk * chunk, min(-(-span.stop // chunk) * chunk, total)
            return (
                f"the region {dim}={span.start}:{span.stop} cuts chunks of {name!r}, which are {chunk} long; two "
                f"writers might meet in one: write {low}:{high}, or lay the store out with other chunks"
            )
    return ""


def _kind(variable: xr.Variable) -> str:
    """What must agree: numbers to the byte, dates and texts in kind."""
    kind = variable.dtype.kind
    return str(variable.dtype) if kind in "fiub" else "text" if kind in "UST" else kind
