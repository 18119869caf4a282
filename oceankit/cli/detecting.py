"""The command `oceankit detect`: climatology, heatwaves and their days of whole files, from disk to disk."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import xarray as xr

from oceankit._version import __version__
from oceankit.anomaly import climatology, detect, heatwave_days
from oceankit.cli._nodes import did_you_mean
from oceankit.cli.heatwaves import summed_up
from oceankit.cli.places import found, size_text
from oceankit.cli.regridding import RefusedError
from oceankit.fields import coordinates, open_fields

__all__ = ["Search", "chosen", "detect_files", "search_of"]

# What the library takes as it is, and what tells how values are packed.
_BYTES, _PACKING = 2, ("scale_factor", "add_offset", "_FillValue", "missing_value")


@dataclass(frozen=True)
class Search:
    """What the command was asked for."""

    sources: Sequence[str]
    out: Path
    variable: str | None = None
    memory: str = "1GiB"
    keep_climatology: bool = True
    base: dict[str, Any] = field(default_factory=dict)
    """Keywords of a climatology."""
    lasting: dict[str, Any] = field(default_factory=dict)
    """Keywords of heatwaves."""


def search_of(given: dict[str, Any]) -> Search:
    """What the options of the command say."""
    base = {n: given[n] for n in ("period", "half_window", "smooth", "percentile", "convention")}
    lasting = {n: given[n] for n in ("min_duration", "max_gap", "max_missing")}
    same = ("sources", "out", "variable", "memory")
    return Search(
        keep_climatology=not given["no_climatology"], base=base, lasting=lasting, **{n: given[n] for n in same}
    )


def detect_files(search: Search) -> None:
    """Find the heatwaves of files, telling on the terminal what is done.

    Raises
    ------
    RefusedError, ValueError
        If something does not fit; nothing is written then.
    """
    begin = time.perf_counter()
    sources = [name for path in search.sources for name in found(path, Path.cwd())]
    if search.out.exists():
        raise RefusedError(f"{str(search.out)!r} is there already; name another folder, or remove it first")
    if not search.out.absolute().parent.is_dir():
        raise RefusedError(f"the folder of {str(search.out)!r} does not exist; create it first")
    name, options, stored = _how_to_open(sources, search.variable)
    with open_fields(sources, **options) as ds:
        whole = ds[name]
        _check(whole, search)
        told = [" x ".join(f"{n} {d}" for d, n in whole.sizes.items()), whole.attrs.get("units"), stored]
        click.echo(
            f"oceankit {__version__}: {name} ({', '.join(t for t in told if t)}) from {len(sources)} "
            f"file{'s' * (len(sources) != 1)}"
        )
        options = {"memory": search.memory, "keep_climatology": search.keep_climatology}
        detect(whole, search.out, **options, **search.base, **search.lasting)
    with open_fields(search.out / "events.zarr") as events:
        click.echo(f"  {summed_up(events)}")
    for path in sorted(search.out.iterdir()):
        click.echo(f"  {path}, {size_text(path)}")
    click.echo(f"  [{time.perf_counter() - begin:.1f} s]")


def _how_to_open(sources: Sequence[str], variable: str | None) -> tuple[str, dict[str, Any], str]:
    """Which variable, options of `open_fields`, and in words how values are taken that the files pack."""
    with open_fields(sources[0], chunks=None, mask_and_scale=False) as ds:
        name = chosen(ds, variable)
        first = _packing(ds[name])
    alike = first is not None
    for source in sources[1:] if alike else ():
        with open_fields(source, chunks=None, mask_and_scale=False) as ds:
            alike = alike and name in ds and _packing(ds[name]) == first
    # Without Dask just the part that is wanted is read, whatever the chunks are; but many files are joined by Dask.
    options: dict[str, Any] = {"chunks": None, "cache": False} if len(sources) == 1 else {"chunks": {}}
    if alike:
        return name, {**options, "mask_and_scale": {name: False}}, "packed values as they are"
    return name, options, "" if first is None else "unpacked, as not all files are packed alike"


def chosen(ds: xr.Dataset, variable: str | None) -> str:
    """The variable that is asked for, or the only one that could be."""
    if variable is not None:
        if variable not in ds.data_vars:
            known = map(str, ds.data_vars)
            raise RefusedError(f"the files have no variable {variable!r}; {did_you_mean(variable, known)}")
        return variable
    dims = set(coordinates.find(ds, "time").dims)
    bounds = {str(v.attrs.get("bounds", v.encoding.get("bounds", ""))) for v in ds.variables.values()}
    names = [
        str(n)
        for n, v in ds.data_vars.items()
        if dims & set(v.dims) and n not in bounds and (v.dtype.kind == "f" or (v.dtype.kind in "iu" and _scaled(v)))
    ]
    if len(names) != 1:
        listed = f"{len(names)} fields along time ({', '.join(names)})" if names else "no field along time"
        raise RefusedError(f"the files have {listed}; name the variable with --variable")
    return names[0]


def _scaled(variable: xr.DataArray) -> bool:
    return "scale_factor" in variable.attrs or "add_offset" in variable.attrs


def _packing(variable: xr.DataArray) -> tuple[str, ...] | None:
    """How the stored values are packed, to be compared; None where they have to be unpacked first."""
    short = variable.dtype.kind in "iu" and variable.dtype.itemsize <= _BYTES and "_Unsigned" not in variable.attrs
    if not (short and _scaled(variable)):
        return None
    return (variable.dtype.newbyteorder("=").str, *(str(variable.attrs.get(key)) for key in _PACKING))


def _check(whole: xr.DataArray, search: Search) -> None:
    """Try the options on one cell, lazily: what is wrong shows before the first tile is read."""
    dims = coordinates.find(whole, "time").dims
    one = whole.isel({d: slice(0, 1) for d in whole.dims if d not in dims}).chunk(dict.fromkeys(dims, -1))
    heatwave_days(one, climatology(one, **search.base), **search.lasting)
