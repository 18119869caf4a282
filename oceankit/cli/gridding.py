"""From `levels` and `regrid` to fields on other depths and grids, with weights that are kept in files."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import xarray as xr

from oceankit.cli.inputs import Input
from oceankit.fields import CoordinateError, Grid, StoreError
from oceankit.fields.grid_files import grid_parts
from oceankit.regridding import Regridder, regrid_vertical

__all__ = ["WeightsError", "check_kept", "kept", "levelled", "on_levels", "options_of", "outside"]

# They are applied after the weights, and may change from run to run.
_AFTER = ("skipna", "min_coverage", "extrapolate", "creep_levels")
_OWN = ("periodic", "edges", "pole", "limiter", "neighbours", "power")


class WeightsError(StoreError):
    """A file of weights is not what this regridding needs; the message says why."""


# ---- levels ---------------------------------------------------------------------------------------------------------


def on_levels(data: Input, spec: Mapping[str, Any]) -> Input:
    """An input on the depths that `levels` describes, lazily; what says where its levels are is taken from its files.

    Raises
    ------
    ValueError
        As :func:`oceankit.regridding.regrid_vertical`.
    """
    return replace(data, ds=levelled(data.ds, [data.variable], spec))


def levelled(ds: xr.Dataset, names: Sequence[Hashable], spec: Mapping[str, Any]) -> xr.Dataset:
    """The dataset with these variables on other depths; others that lie along their old levels are left behind."""
    # As coordinates the others are looked at for terms, and not regridded.
    others = [n for n in ds.data_vars if n not in names]
    out = regrid_vertical(
        ds.set_coords(others),
        spec["depths"],
        edges=spec["edges"],
        method=spec["method"],
        dim=spec["dim"],
        skipna=spec["skipna"],
        min_coverage=spec["min_coverage"],
        extrapolate=outside(spec["extrapolate"]),
    )
    return out.reset_coords([n for n in others if n in out.coords])


def outside(words: Sequence[str] | None) -> str | tuple[str | None, str | None] | None:
    """``extrapolate`` of the vertical as the library has it.

    Examples
    --------
    >>> outside(["layer"]), outside(["none", "layer"]), outside(None)
    ('layer', (None, 'layer'), None)
    """
    if not words:
        return None
    given = [None if w == "none" else w for w in words]
    return given[0] if len(given) == 1 else (given[0], given[1])


# ---- weights --------------------------------------------------------------------------------------------------------


def options_of(spec: Mapping[str, Any]) -> dict[str, Any]:
    """The keywords of a Regridder that `regrid` describes."""
    own = (
        "skipna",
        "min_coverage",
        "extrapolate",
        "creep_levels",
        "edges",
        "periodic",
        "limiter",
        "neighbours",
        "power",
    )
    return {n: spec[n] for n in own} | {"pole": None if spec["pole"] == "none" else spec["pole"]}


def kept(
    path: Path | None, source: Grid, target: Grid, method: str | None, options: Mapping[str, Any]
) -> tuple[Regridder, str]:
    """A regridder, from the file ``path`` where it is there, else made and saved there.

    Parameters
    ----------
    path
        None to make it and keep nothing.
    method
        None takes bilinear, or that of a file which another tool wrote.
    options
        Keywords of a Regridder.

    Returns
    -------
    Regridder, str
        The str says where the weights come from or went, and is empty without a path.

    Raises
    ------
    WeightsError
        If the file was made for other grids, or by another method or other options.
    """
    if path is None or not path.exists():
        regridder = Regridder(source, target, method or "bilinear", **options)
        if path is None:
            return regridder, ""
        path.parent.mkdir(parents=True, exist_ok=True)
        regridder.save(path)
        return regridder, f"weights saved in {path.name}"
    if method is None and _is_foreign(path):
        return _foreign(path, source, target, options), f"weights of {path.name}, which another tool wrote"
    found = check_kept(path, source, target, method or "bilinear", options)
    assert found is not None  # the file is there
    for name in _AFTER:
        if name in options:
            setattr(found, name, options[name])
    return found, f"weights of {path.name}"


def check_kept(path: Path, source: Grid, target: Grid, method: str, options: Mapping[str, Any]) -> Regridder | None:
    """The regridder of a file, if it is there and was made for these grids and options.

    Raises
    ------
    WeightsError
        If it was made for others.
    """
    if not path.exists():
        return None
    if _is_foreign(path):
        raise WeightsError(
            f"{str(path)!r} holds weights of another tool, which are of its own method, not {method!r}; name another "
            "file, or use the command 'oceankit regrid' without --method, which takes such weights as they are"
        )
    regridder = Regridder.load(path)
    _check_grid(path, "source", regridder.source, source)
    _check_grid(path, "target", regridder.target, target)
    _check_options(path, regridder, method, {**options, "periodic": _wraps(source, options)})
    return regridder


def _is_foreign(path: Path) -> bool:
    try:
        with netCDF4.Dataset(path) as file:
            return "oceankit_regridder_format" not in file.ncattrs() and bool(
                {"S", "remap_matrix"} & set(file.variables)
            )
    except OSError:
        return False  # what is wrong with it is said when it is loaded


def _foreign(path: Path, source: Grid, target: Grid, options: Mapping[str, Any]) -> Regridder:
    if options.get("extrapolate") is not None:
        raise WeightsError(f"{str(path)!r} was written by another tool, and extrapolation needs weights made here")
    applied = {n: options[n] for n in ("skipna", "min_coverage") if n in options}
    return Regridder.from_esmf(path, source, target, **applied)


def _wraps(source: Grid, options: Mapping[str, Any]) -> bool:
    given = options.get("periodic")
    return bool(source.periodic if given is None else given)


def _check_options(path: Path, regridder: Regridder, method: str, options: Mapping[str, Any]) -> None:
    has = {"method": regridder.method, **regridder.options}
    wanted = {"method": method, **{n: options[n] for n in _OWN if n in options}}
    for name, value in wanted.items():
        if has.get(name) != value:
            raise WeightsError(
                f"the weights in {str(path)!r} were made with {name}={has.get(name)!r}, and {name}={value!r} is asked for; "
                "remove the file to have it made anew, or name another"
            )


def _check_grid(path: Path, which: str, theirs: Grid, ours: Grid) -> None:
    try:
        differs = _difference(theirs, ours)
    except CoordinateError as error:
        differs = str(error)
    if differs:
        raise WeightsError(
            f"the weights in {str(path)!r} were made for another {which}: {differs}; "
            "remove the file to have it made anew, or name another"
        )


def _difference(theirs: Grid, ours: Grid) -> str:
    """How two grids differ; empty where they are the same, positions to 1e-6 degrees."""
    if (theirs.kind, theirs.shape, theirs.planar) != (ours.kind, ours.shape, ours.planar):
        return f"{theirs!r}, not {ours!r}"
    if theirs.dims != ours.dims:
        return f"it has the dimensions {theirs.dims}, not {ours.dims}"
    has, wanted = grid_parts(theirs)[0], grid_parts(ours)[0]
    for name in sorted({*has, *wanted}):
        if name not in has or name not in wanted:
            return f"{name!r} is {'not in the file' if name not in has else 'in the file alone'}"
        a, b = has[name], wanted[name]
        if a.shape != b.shape:
            return f"its {name!r} has the shape {a.shape}, not {b.shape}"
        if a.dtype == bool or a.dtype.kind in "iu":
            if not np.array_equal(a, b):
                return f"its {name!r} differs in {int((a != b).sum())} places"
        elif not np.allclose(a, b, rtol=0, atol=1e-6, equal_nan=True):
            apart = np.abs(a - b)
            return f"its {name!r} differs by up to {np.nanmax(apart, initial=0.0):g}"
    return ""
