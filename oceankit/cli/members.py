"""The members of an ensemble as one field: along a dimension of the files, or one file each."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from oceankit.cli._nodes import did_you_mean
from oceankit.fields import coordinates, open_fields

__all__ = ["FILES", "each_its_file", "mean_of", "named", "spread_of", "tiled", "tiles_of", "timeless"]

FILES = "files"
_BYTES = 2**26  # of one tile with all its members, levels and times


def each_its_file(
    sources: Sequence[str], variable: str, *, static: bool, engine: str | None, chunks: Any
) -> xr.Dataset:
    """Files of one member each, stacked in their order along ``member``.

    Parameters
    ----------
    static
        Whether members are of different dates, as those of a static ensemble: a single time is left out.

    Raises
    ------
    ValueError
        If a file is not like the first: its variable, dimensions, coordinates or units.
    """
    parts: list[xr.Dataset] = []
    for source in sources:
        ds = open_fields(source, engine=engine, chunks=chunks)
        if variable not in ds.data_vars:
            if not parts:
                return ds  # said where the variable is chosen
            raise ValueError(
                f"{source!r} has no variable {variable!r}; {did_you_mean(variable, map(str, ds.data_vars))}"
            )
        if ds[variable].sizes.get("member", 1) > 1:
            raise ValueError(
                f"{source!r} has {ds.sizes['member']} members itself; leave 'members' out, or name one member a file"
            )
        ds = ds.squeeze("member", drop=True) if "member" in ds.dims else ds
        parts.append(timeless(ds, variable) if static else ds)
    first = parts[0]
    for source, part in zip(sources, parts, strict=True):
        _check_alike(first[variable], part[variable], sources[0], source)
    # By position: all have the coordinates of the first.
    stacked = xr.Variable.concat([p[variable].variable for p in parts], "member")
    encoding = {k: v for k, v in first[variable].encoding.items() if k == "preferred_chunks"}
    return first.assign({variable: (stacked.dims, stacked.data, dict(first[variable].attrs), encoding)})


def _check_alike(first: xr.DataArray, other: xr.DataArray, name: str, source: str) -> None:
    if other.dims != first.dims or other.shape != first.shape:
        raise ValueError(f"{source!r} has {dict(other.sizes)}, but {name!r} {dict(first.sizes)}; members are alike")
    if other.attrs.get("units") != first.attrs.get("units"):
        ours, theirs = first.attrs.get("units"), other.attrs.get("units")
        raise ValueError(f"{source!r} is in {theirs!r}, but {name!r} in {ours!r}; convert one of them")
    for dim in first.dims:
        if dim in first.indexes and not _same(first[dim].values, other[dim].values if dim in other.indexes else None):
            raise ValueError(
                f"{source!r} has other values of {dim!r} than {name!r}; members are of the same places and times"
            )


def _same(ours: np.ndarray, theirs: np.ndarray | None) -> bool:
    if theirs is None or ours.dtype.kind != theirs.dtype.kind:
        return False
    return bool(np.allclose(ours, theirs, atol=1e-6) if ours.dtype.kind in "fiu" else (ours == theirs).all())


def timeless(ds: xr.Dataset, variable: str) -> xr.Dataset:
    """Without a single time."""
    times = [n for n in coordinates.candidates(ds[variable], "time") if ds[n].size == 1]
    dims = [d for n in times for d in ds[n].dims]
    return ds.squeeze(dims, drop=True).drop_vars([n for n in times if n in ds.variables and n not in dims])


def named(ds: xr.Dataset, variable: str, dim: str | None) -> xr.Dataset:
    """The dataset with the dimension ``dim`` of its members called ``member``, and members numbered.

    Raises
    ------
    ValueError
        If the variable has no such dimension.
    """
    dims = ds[variable].dims
    if dim is not None and dim not in dims:
        raise ValueError(f"{variable!r} has no dimension {dim!r}; {did_you_mean(dim, map(str, dims))}")
    old = "member" if dim is None else dim
    if old not in dims:
        return ds
    # Dates of members, and what describes them, would be taken for the time of the field.
    dated = [n for n, c in ds.coords.items() if old in c.dims and (c.ndim > 1 or c.dtype.kind not in "iu")]
    ds = ds.drop_vars(dated)
    if old != "member":
        ds = ds.rename({old: "member"}) if old in ds.coords else ds.rename_dims({old: "member"})
    numbers = ds["member"].values if "member" in ds.coords else np.arange(ds.sizes["member"])
    return ds.assign_coords(
        member=("member", numbers, {"long_name": "number of the member", "standard_name": "realization", "units": "1"})
    )


# ---- tiles ------------------------------------------------------------------------------------------------------------


def tiles_of(ds: xr.Dataset, variable: str, members: str | None) -> Mapping[Any, int] | str:
    """Chunks to open files with, so that all members of a chunk of the grid can be held together."""
    field = ds[variable]
    dims = [d for d in _grid_dims(field) if d != members]
    layers = int(np.prod([n for d, n in field.sizes.items() if d not in dims], initial=1))
    return _tile(field, dims, layers, field.encoding.get("preferred_chunks", {})) or "auto"


def tiled(field: xr.DataArray) -> xr.DataArray:
    """A lazy ensemble in chunks of the grid that hold all members together and are small."""
    dims = _grid_dims(field)
    if field.chunks is None or "member" not in field.dims or not dims:
        return field
    layers = int(np.prod([n for d, n in field.sizes.items() if d not in dims], initial=1))
    tile = _tile(field, dims, layers, {})
    if not tile:
        return field
    largest = {d: max(c) for d, c in zip(field.dims, field.chunks, strict=True) if d in dims}
    small = np.prod(list(largest.values())) <= 2 * np.prod([tile[d] for d in dims])
    return field if small else field.chunk(tile)


def _grid_dims(field: xr.DataArray) -> list[Any]:
    try:
        lon, lat = coordinates.horizontal(field)
    except ValueError:
        return []  # said where the grid is made
    return [d for d in field.dims if d in {*lon.dims, *lat.dims}]


def _tile(field: xr.DataArray, dims: list[Any], layers: int, stored: Mapping[Any, int]) -> dict[Any, int]:
    """Cells along each dimension of the grid, whole chunks of the file where these are not too large; {} for all."""
    cells = max(_BYTES // (layers * field.dtype.itemsize), 1)
    sizes = [field.sizes[d] for d in dims]
    if not dims or np.prod(sizes) <= cells:
        return {}
    if len(dims) == 1:
        return {dims[0]: cells}
    nx, (py, px) = sizes[1], [min(stored.get(d, 1), n) for d, n in zip(dims, sizes, strict=True)]
    if py * px > 2 * cells:
        py = px = 1
    columns = nx if cells >= nx * py else max(px, cells // py // px * px)
    return {dims[0]: max(py, cells // columns // py * py), dims[1]: columns}


# ---- numbers ----------------------------------------------------------------------------------------------------------


def mean_of(members: xr.DataArray) -> xr.DataArray:
    """The mean over members, missing where one is."""
    mean = members.mean("member", skipna=False, dtype=np.float64, keep_attrs=True)
    return mean.astype(members.dtype).rename(members.name)


def spread_of(members: xr.DataArray) -> xr.DataArray:
    """The standard deviation over members, with divisor members - 1."""
    return (
        members.astype(np.float64)
        .std("member", skipna=False, ddof=1, keep_attrs=True)
        .astype(members.dtype)
        .rename(members.name)
    )
