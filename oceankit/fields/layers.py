"""Levels of each column that a Dataset gives outright: fields of depths, and thicknesses of layers added up."""

import re
from collections.abc import Hashable

import numpy as np
import xarray as xr

from oceankit.fields.coordinates import CoordinateError, describe
from oceankit.fields.verticals import EDGES, attribute, between, midpoints, ordered, without

__all__ = ["Thicknesses", "find_explicit", "find_thicknesses", "is_place"]

_DEPTHS = re.compile(r"z_(rho|w|u|v|psi|r)|zcoordinates|zcor|n?gdep(t|w|u|v)?(_\w+)?|depth\w*|lev_depth")
_THICK = re.compile(r"e3[tuvwf](_\w+)?|thkcello|thknss|layer_thickness|cell_thickness|dzt?|h|hfac[csw]")
_CURVES = re.compile(r"(cs|sc)_[rw]")
_SURFACE = re.compile(r"zos|ssh|zeta|sossheig|elevation|sea_surface_height|surf_el")
_SURFACE_NAMES = re.compile(r"sea_surface_height_above_(geoid|mean_sea_level|sea_level)|sea_surface_elevation")


def find_explicit(ds: xr.Dataset, field: xr.DataArray, dim: Hashable) -> Hashable | None:
    """The name of a field of depths for the columns of ``field``; None where there is none.

    Raises
    ------
    CoordinateError
        If there are several.
    """
    named = f"{attribute(field, 'coordinates')}".split()
    found = []
    for n, v in ds.variables.items():
        if (
            n == field.name
            or v.ndim < 2
            or dim not in v.dims
            or not set(v.dims) <= set(field.dims)
            or v.dtype.kind not in "fiu"
        ):
            continue
        standard = str(v.attrs.get("standard_name", ""))
        marked = standard in ("depth", "height", "altitude") or (not standard and bool(v.attrs.get("positive")))
        if marked or _DEPTHS.fullmatch(str(n).lower()):
            found.append(n)
    found = [n for n in found if n in named] or found
    if len(found) > 1:
        raise CoordinateError(
            f"{describe(field)} has several fields of depths: {', '.join(map(repr, found))}; name the one that is meant with "
            "depth="
        )
    return found[0] if found else None


def find_thicknesses(ds: xr.Dataset, field: xr.DataArray, dim: Hashable) -> "Thicknesses | None":
    """Thicknesses of the layers of ``field``; None where there are none.

    Raises
    ------
    CoordinateError
        If there are several.
    """
    found = []
    for n, v in ds.variables.items():
        if n == field.name or dim not in v.dims or v.ndim < 2 or not set(v.dims) <= set(field.dims):
            continue
        if v.attrs.get("standard_name") == "cell_thickness" or _THICK.fullmatch(str(n).lower()):
            found.append(n)
    said = [n for n in found if str(n) in attribute(field, "cell_measures").split()]
    # A thickness is a field of its own columns, too: a variable that is one does not have another.
    found = said or found
    if len(found) > 1:
        raise CoordinateError(
            f"{describe(field)} has several thicknesses of layers: {', '.join(map(repr, found))}; drop those that are not meant, "
            "or give the depths with depth="
        )
    return Thicknesses(ds, field, dim, found[0]) if found else None


class Thicknesses:
    """Layers that lie one below the other from the surface down: partial bottom cells, z-star, hybrid layers."""

    def __init__(self, ds: xr.Dataset, field: xr.DataArray, dim: Hashable, name: Hashable) -> None:
        self._dim, self._field = dim, field
        self.described_by: set[Hashable] = {name}
        thick = ds[name]
        self._top: xr.DataArray | float = 0.0
        if str(name).lower().startswith("hfac"):
            self._of_shares(ds, thick)
            return
        units = str(thick.attrs.get("units", "m")).strip().lower()
        if units not in ("m", "meter", "metre", "meters", "metres"):
            raise CoordinateError(
                f"{name!r} is taken for the thickness of layers, but its units are {thick.attrs.get('units')!r}; give it in "
                "metres, or the depths with depth="
            )
        self._thick = thick.astype(np.float64)
        times = [d for d in thick.dims if "time" in str(d).lower() or str(d).lower() in ("t", "mt")]
        heights = [
            n
            for n, v in ds.variables.items()
            if (_SURFACE_NAMES.fullmatch(str(v.attrs.get("standard_name", ""))) or _SURFACE.fullmatch(str(n).lower()))
            and set(v.dims) <= set(thick.dims)
        ]
        if times and len(heights) == 1:
            self._top = -ds[heights[0]].astype(np.float64)

    def _of_shares(self, ds: xr.Dataset, share: xr.DataArray) -> None:
        """MITgcm: shares of full cells; under an ice shelf the topmost wet cell hangs on its lower edge."""
        if "drF" not in ds.variables or ds["drF"].dims != (self._dim,):
            raise CoordinateError(
                f"{share.name!r} is a share of full cells, and their thickness 'drF' along {self._dim!r} is not in the "
                "Dataset; add it"
            )
        self.described_by.add("drF")
        full = ds["drF"].astype(np.float64)
        self._thick = share.astype(np.float64) * full
        wet = self._thick > 0.0
        first = wet & (wet.cumsum([self._dim]) == 1)
        more = wet.sum([self._dim]) > 1
        hangs = xr.where(first & more, full.cumsum([self._dim]) - self._thick, 0.0)
        stands = xr.where(first & ~more, full.cumsum([self._dim]) - full, 0.0)
        self._top = (hangs + stands).max([self._dim])

    def edges(self) -> xr.DataArray:
        """Depths of the edges of layers; layers without a thickness have none either, but for their place."""
        thick = without(self._thick, self._dim)
        top = xr.where(thick.notnull().any([self._dim]), self._top, np.nan)
        below = top + thick.fillna(0.0).cumsum([self._dim])
        start = top + 0.0 * below.isel({self._dim: slice(0, 1)})
        return ordered(between([start, below], self._dim), self._field, self._dim, EDGES.format(self._dim))

    def centres(self) -> xr.DataArray:
        """Depths of the middles of layers."""
        middle = midpoints(self.edges(), EDGES.format(self._dim), self._dim)
        return ordered(middle.where(without(self._thick, self._dim).notnull()), self._field, self._dim, self._dim)


def is_place(name: Hashable, variable: xr.Variable) -> bool:
    """Whether a variable along the levels says where they are, and so nothing about the levels of a target."""
    usual = any(p.fullmatch(str(name).lower()) for p in (_DEPTHS, _THICK, _CURVES))
    return usual or variable.attrs.get("standard_name") in ("cell_thickness", "depth", "height", "altitude")
