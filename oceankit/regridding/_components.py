"""What two components say of themselves: whether they are a pair, and which axes they are along."""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

__all__ = ["VectorError", "check_pair", "name_of", "named_along", "said_of", "together"]

_GEOGRAPHIC = re.compile(r"(^|[_\s])(east|north)ward([_\s]|$)|^(zonal|meridional)\b", re.IGNORECASE)
_ALONG_GRID = re.compile(r"(^|_)[xy]_(\w+_)?(velocity|wind|stress|transport)|\b[uv]-momentum", re.IGNORECASE)


class VectorError(ValueError):
    """Two components do not make a vector, or their axes are not known; the message says why and the remedy."""


# ---- are they a pair ------------------------------------------------------------------------------------------------


def together(u: Any, v: Any) -> tuple[Any, Any]:
    """``v`` with the dimension names of ``u`` where one alone differs and means the same (NEMO's depthu and depthv)."""
    if not (isinstance(u, xr.DataArray) and isinstance(v, xr.DataArray)):
        return u, v
    mine, theirs = ([d for d in a.dims if d not in b.dims] for a, b in ((u, v), (v, u)))
    if len(mine) != 1 or len(theirs) != 1 or mine[0] not in u.coords or theirs[0] not in v.coords:
        return u, v
    a, b = u.coords[mine[0]].values, v.coords[theirs[0]].values
    same = a.shape == b.shape and a.dtype.kind in "fiu" and b.dtype.kind in "fiu" and np.allclose(a, b, rtol=1e-6)
    return (u, v.rename({theirs[0]: mine[0]})) if same else (u, v)


def check_pair(u: Any, v: Any) -> None:
    """Refuse what is no pair of components at the same points."""
    for component, which in ((u, "u"), (v, "v")):
        if not isinstance(component, xr.DataArray):
            raise VectorError(f"{which} is a {type(component).__name__}; give both components as DataArrays")
        if component.dtype.kind not in "fiu":
            raise VectorError(f"{name_of(component)} has dtype {component.dtype}, which is no component of a vector")
    ours, theirs = (_unit(c) for c in (u, v))
    if ours and theirs and ours != theirs:
        raise VectorError(
            f"{name_of(u)} is in {u.attrs['units']!r} and {name_of(v)} in {v.attrs['units']!r}; bring both to one unit"
        )
    if dict(u.sizes) != dict(v.sizes):
        raise VectorError(
            f"{name_of(u)} has {dict(u.sizes)} and {name_of(v)} {dict(v.sizes)}: they are not at the same points; bring "
            "staggered components to the cell centres with to_centres(u, v, centres=...)"
        )
    for d in u.dims:
        if d in u.coords and d in v.coords and not _same(u.coords[d].values, v.coords[d].values):
            raise VectorError(
                f"{name_of(u)} and {name_of(v)} have different values of {d!r}; select the common ones with xarray.align, "
                "or bring staggered components to the cell centres with to_centres(u, v, centres=...)"
            )


def _unit(component: xr.DataArray) -> str:
    """Units with the usual ways of writing metres per second made one."""
    units = " ".join(str(component.attrs.get("units", "")).split())
    speed = r"(m|met(er|re)s?)(/| ?)(s|sec(ond)?s?)(-1|\^-1|\*\*-1)?|(m|met(er|re)s?) ?per ?s(ec(ond)?)?"
    return "m s-1" if re.fullmatch(speed, units.replace(".", " ")) else units


def _same(a: np.ndarray, b: np.ndarray) -> bool:
    if a.shape != b.shape:
        return False
    if a.dtype.kind in "fiu" and b.dtype.kind in "fiu":
        return bool(np.allclose(a, b, rtol=1e-6, atol=1e-6))
    return bool((a == b).all())


def name_of(component: xr.DataArray) -> str:
    return repr(component.name) if component.name is not None else "a component"


# ---- names ----------------------------------------------------------------------------------------------------------


def said_of(attrs: Mapping[Any, Any]) -> str | None:
    """Which axes the attributes of a component name: "geographic", "grid", or None where they are silent."""
    for key in ("standard_name", "long_name"):
        text = str(attrs.get(key, ""))
        if _GEOGRAPHIC.search(text):
            return "geographic"
        if _ALONG_GRID.search(text):
            return "grid"
    return None


def named_along(attrs: Mapping[Any, Any], axes: str) -> dict[Any, Any]:
    """Attributes with CF standard names of the other axes changed to those of ``axes``."""
    out = dict(attrs)
    for key in ("standard_name", "long_name"):
        if key in out and " " not in str(out[key]).strip():
            out[key] = _to_geographic(str(out[key])) if axes == "geographic" else _to_grid(str(out[key]))
    return out


_WARD = {"x": "eastward", "y": "northward", "eastward": "x", "northward": "y"}


def _to_geographic(name: str) -> str:
    # CF puts the word before the medium: sea_water_x_velocity is eastward_sea_water_velocity.
    moved = re.sub(r"(sea_water|sea_ice)_([xy])_velocity", lambda m: f"{_WARD[m[2]]}_{m[1]}_velocity", name)
    return re.sub(r"(?<![a-z])([xy])(?=_)", lambda m: _WARD[m[1]], moved)


def _to_grid(name: str) -> str:
    moved = re.sub(
        r"(eastward|northward)_(sea_water|sea_ice)_velocity", lambda m: f"{m[2]}_{_WARD[m[1]]}_velocity", name
    )
    return re.sub(r"(?<![a-z])(eastward|northward)(?=_)", lambda m: _WARD[m[1]], moved)
