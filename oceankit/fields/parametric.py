"""Terrain-following levels of a Dataset: formula terms, and the files of ROMS and FVCOM that do without them."""

import re
from collections.abc import Hashable, Mapping

import numpy as np
import xarray as xr

from oceankit.fields import terrain
from oceankit.fields.coordinates import CoordinateError, describe
from oceankit.fields.verticals import EDGES, attribute, between, metres_down, midpoints, ordered, without

__all__ = ["Parametric", "find_parametric"]

_TERM = re.compile(r"(\w+):\s*(\S+)")
_COORDINATE = re.compile(r"(ocean|atmosphere)_\w*coordinate(_g\d)?")
_LENGTHS = ("eta", "depth", "depth_c", "zlev", "z1", "z2", "href")
# Levels at the centres of layers, and those between them.
_PARTNERS = {"s_rho": "s_w", "siglay": "siglev", "siglay_center": "siglev_center"}


class Parametric:
    """Levels that a formula places between the surface and the sea floor."""

    def __init__(
        self, ds: xr.Dataset, field: xr.DataArray, dim: Hashable, formula: str, terms: Mapping[str, xr.DataArray]
    ) -> None:
        self._ds, self._field, self._dim, self._formula = ds, field, dim, formula
        self._terms = {"eta": xr.zeros_like(terms["depth"]), **terms}
        self.described_by: set[Hashable] = {t.name for t in terms.values()}
        if dim in _PARTNERS:
            # The levels between are part of the same description.
            self.described_by |= {n for n in (_PARTNERS[str(dim)], "Cs_w") if n in ds.variables}
        if dim in _PARTNERS.values():
            self.described_by |= {n for n, w in _PARTNERS.items() if w == dim and n in ds.variables}

    def centres(self) -> xr.DataArray:
        return self._depths(self._terms, self._dim)

    def _depths(self, terms: Mapping[str, xr.DataArray], dim: Hashable) -> xr.DataArray:
        eta = terms["eta"]
        size = next(t.sizes[dim] for t in terms.values() if dim in t.dims)
        # The first operand gives a sum its order: with that of the field no copy is needed later.
        flat = [d for d in eta.dims if d in terms["depth"].dims]
        eta = eta.expand_dims({dim: size}).transpose(*(d for d in eta.dims if d not in flat), dim, *flat)
        if set(eta.dims) <= {dim, *self._field.dims}:
            eta = ordered(eta, self._field, self._dim, dim)
        return self._placed(-terrain.heights(self._formula, {**terms, "eta": eta}, str(dim)), dim)

    def _placed(self, found: xr.DataArray, dim: Hashable) -> xr.DataArray:
        """Depths at the points of the field, in its order."""
        return ordered(_onto(self._ds, self._field, found, dim), self._field, self._dim, dim).astype(
            np.float64, copy=False
        )

    def edges(self) -> xr.DataArray:
        edges = EDGES.format(self._dim)
        partner = self._interfaces()
        if partner is not None:
            return self._depths(partner, edges)
        # Half-way, but the outermost edges are known: the surface and the sea floor.
        centres = self.centres()
        floor, surface = (
            _onto(self._ds, self._field, t, self._dim) for t in (self._terms["depth"], -self._terms["eta"])
        )
        n = centres.sizes[self._dim]
        first, last = (centres.isel({self._dim: slice(k, k + 1)}) for k in (0, n - 1))
        ends = (floor, surface) if self._rises() else (surface, floor)
        start, end = (e + 0.0 * without(c, self._dim) for e, c in zip(ends, (first, last), strict=True))
        middle = [midpoints(centres, self._dim, self._dim)] if n > 1 else []
        joined = between([start, *middle, end], self._dim)
        inside = xr.where(joined < surface, surface, xr.where(joined > floor, floor, joined))
        return ordered(inside, self._field, self._dim, edges).astype(np.float64)

    def _rises(self) -> bool:
        """Whether the first level is the lowest."""
        s = self._terms.get("s", self._terms.get("sigma"))
        values = np.asarray(s.isel({d: 0 for d in s.dims if d != self._dim}).values)  # type: ignore[union-attr]
        values = values[np.isfinite(values)]
        grows = values.size > 1 and bool(values[-1] > values[0])
        return not grows if self._formula == "ocean_double_sigma_coordinate" else grows

    def _interfaces(self) -> dict[str, xr.DataArray] | None:
        """Terms of the formula at the edges, where the model's interfaces are known."""
        n = self._field.sizes[self._dim]
        key = "sigma" if "sigma" in self._terms else "s"
        edges = EDGES.format(self._dim)
        name = _PARTNERS.get(str(self._dim))
        beside = self._ds[name] if name in self._ds.variables else None
        curve = None
        if name == "s_w" and self._formula != "ocean_sigma_coordinate":
            curve = _curve(self._ds, "w", n)
            if beside is None and curve is not None:
                beside = xr.DataArray(np.linspace(-1.0, 0.0, n + 1), dims="s_w", name="s_w")
        if beside is None or beside.sizes.get(name, -1) != n + 1:
            return None
        if "C" in self._terms and curve is None:
            return None
        out = {k: t for k, t in self._terms.items() if self._dim not in t.dims}
        parts = {key: beside}
        if curve is not None and "C" in self._terms:
            parts["C"] = curve
        for k, part in parts.items():
            out[k] = without(part, name).rename({name: edges})
        # a and b of ocean_s_coordinate and the like have no vertical dimension; what has one was replaced.
        return out if set(out) >= set(self._terms) else None


def find_parametric(ds: xr.Dataset, field: xr.DataArray, dim: Hashable) -> tuple[Parametric | None, str]:
    """The terrain-following levels of ``field``, or None and why they cannot be had (\"\" where there are none).

    Raises
    ------
    CoordinateError
        If the coordinate is one of the atmosphere, or a term has units that are no length.
    """
    marked = [n for n, v in ds.variables.items() if dim in v.dims and _standard(v)]
    marked = [n for n in marked if n == dim] or marked
    if marked:
        return _by_terms(ds, field, dim, ds[marked[0]])
    if dim in ("s_rho", "s_w"):
        return _roms(ds, field, dim)
    if dim in ("siglay", "siglev") and any(n in ds.variables for n in (dim, f"{dim}_center")):
        return _fvcom(ds, field, dim)
    return None, ""


def _standard(variable: xr.Variable) -> str:
    """The standard name of a parametric coordinate, or ''."""
    name = str(variable.attrs.get("standard_name", ""))
    return name if _COORDINATE.fullmatch(name) else ""


def _by_terms(ds: xr.Dataset, field: xr.DataArray, dim: Hashable, axis: xr.DataArray) -> tuple[Parametric | None, str]:
    formula = _standard(axis.variable)
    if formula.startswith("atmosphere_"):
        raise CoordinateError(f"{axis.name!r} is an {formula}: a coordinate of the atmosphere has no depths in the sea")
    if formula not in terrain.FORMULAS:
        return None, f"{axis.name!r} is an {formula!r}, which is not known; give the depths with depth="
    said = dict(_TERM.findall(attribute(axis, "formula_terms")))
    if not said:
        if dim in ("s_rho", "s_w"):
            return _roms(ds, field, dim)
        return None, f"{axis.name!r} is an {formula!r} without formula_terms; give the depths with depth="
    needed, optional = terrain.FORMULAS[formula]
    if formula == "ocean_s_coordinate" and "C" in said and "a" not in said:
        # Files of ROMS from before the names with g1 and g2 were agreed.
        transform = _number(ds, "Vtransform")
        formula = f"ocean_s_coordinate_g{1 if transform is None else int(transform)}"
        needed, optional = terrain.FORMULAS[formula]
    # FVCOM writes sigma: siglay at its levels between, too; the coordinate itself is what is meant.
    own = "sigma" if "sigma" in needed else "s"
    if said.get(own) not in ds.variables or dim not in ds[said[own]].dims:
        said[own] = str(axis.name)
    without = [k for k in needed if k not in said]
    if without:
        return None, f"formula_terms of {axis.name!r} say nothing of {', '.join(without)}; give the depths with depth="
    lost = [f"{k}: {n}" for k, n in said.items() if k in (*needed, *optional) and n not in ds.variables]
    if lost:
        return None, (
            f"{axis.name!r} is an {formula}, and its terms {', '.join(lost)} are not with {describe(field)}; give the Dataset "
            "that has them, or the depths with depth=oceankit.fields.depths(dataset, variable)"
        )
    terms = {k: _term(k, ds[n]) for k, n in said.items() if k in (*needed, *optional)}
    return Parametric(ds, field, dim, formula, terms), ""


def _term(key: str, variable: xr.DataArray) -> xr.DataArray:
    """A term as float64; lengths in metres."""
    units = str(variable.attrs.get("units", "")).strip().lower()
    if key in _LENGTHS and units not in ("", "m", "meter", "metre", "meters", "metres"):
        bare = {k: v for k, v in variable.attrs.items() if k not in ("positive", "standard_name")}
        # Whatever way it grows: only the factor is wanted.
        scaled = metres_down(variable.assign_attrs(bare).assign_attrs(positive="up"), trusted=True)
        return (-scaled).rename(variable.name).assign_attrs({"positive": variable.attrs.get("positive", "up")})
    kept = {k: v for k, v in variable.attrs.items() if k == "positive"}
    out = variable.astype(np.float64)
    out.attrs = kept
    return out


def _number(ds: xr.Dataset, name: str) -> float | None:
    """A parameter, kept as a variable or as a global attribute, in whatever case."""
    for holder in (ds.variables, ds.attrs):
        for n, value in holder.items():
            if str(n).lower() == name.lower():
                flat = np.asarray(value).ravel()
                return float(flat[0]) if flat.size == 1 and flat.dtype.kind in "fiu" else None
    return None


def _curve(ds: xr.Dataset, kind: str, n: int) -> xr.DataArray | None:
    """Cs_r or Cs_w for ``n`` layers: from the file, or built from its parameters."""
    name = f"Cs_{kind}"
    dim = "s_rho" if kind == "r" else "s_w"
    size = n + (kind == "w")
    if name in ds.variables and ds[name].dims == (dim,):
        return ds[name].astype(np.float64)
    listed = np.asarray(ds.attrs.get(name, []), np.float64)
    if listed.shape == (size,):
        return xr.DataArray(listed, dims=dim, name=name)
    parameters = {k: _number(ds, k) for k in ("Vstretching", "theta_s", "theta_b")}
    if any(v is None for v in parameters.values()):
        return None
    made = terrain.s_coordinate(
        n, theta_s=parameters["theta_s"] or 0.0, theta_b=parameters["theta_b"] or 0.0, hc=0.0,
        Vstretching=int(parameters["Vstretching"] or 0),
    )  # fmt: skip
    return made[name].drop_vars(dim)


def _roms(ds: xr.Dataset, field: xr.DataArray, dim: Hashable) -> tuple[Parametric | None, str]:
    """Files of ROMS and its kin without formula terms."""
    kind = "r" if dim == "s_rho" else "w"
    layers = field.sizes[dim] - (kind == "w")
    transform, critical = _number(ds, "Vtransform"), _number(ds, "hc")
    if transform is None and str(ds.attrs.get("VertCoordType", "")).upper() == "NEW":
        transform = 2.0
    curve = _curve(ds, kind, layers)
    known = {
        "h": "h" in ds.variables, "zeta": "zeta" in ds.variables, "hc": critical is not None,
        "Vtransform": transform in (1.0, 2.0), f"Cs_{kind}": curve is not None,
    }  # fmt: skip
    if not all(known.values()):
        absent = ", ".join(k for k, v in known.items() if not v)
        return None, (
            f"the levels {dim!r} are those of ROMS, and {absent} is not with {describe(field)}; give the Dataset that has it "
            "(zeta=0.0 for depths at rest, s_coordinate(...) for the curves), or the depths with depth="
        )
    if dim in ds.variables:
        s = ds[dim]
    else:
        places = np.arange(layers) + 0.5 if kind == "r" else np.arange(layers + 1.0)
        s = xr.DataArray(places / layers - 1.0, dims=[dim], name=dim)
    terms = {
        "s": _term("s", s), "C": curve, "eta": _term("eta", ds["zeta"]), "depth": _term("depth", ds["h"]),
        "depth_c": xr.DataArray(critical, name="hc"),
    }  # fmt: skip
    return Parametric(ds, field, dim, f"ocean_s_coordinate_g{int(transform or 0)}", terms), ""  # type: ignore[arg-type]


def _fvcom(ds: xr.Dataset, field: xr.DataArray, dim: Hashable) -> tuple[Parametric | None, str]:
    """Files of FVCOM: sigma, ``h`` and ``zeta`` at nodes."""
    absent = [n for n in ("h", "zeta") if n not in ds.variables]
    if absent:
        return None, (
            f"the levels {dim!r} are those of FVCOM, and {', '.join(absent)} is not with {describe(field)}; give the Dataset "
            "that has it (zeta=0.0 for depths at rest), or the depths with depth="
        )
    if dim not in ds.variables:
        return (
            None,
            f"the levels {dim!r} of FVCOM have no values; give the Dataset that has {dim!r}, or the depths with depth=",
        )
    terms = {"sigma": _term("sigma", ds[dim]), "eta": _term("eta", ds["zeta"]), "depth": _term("depth", ds["h"])}
    return Parametric(ds, field, dim, "ocean_sigma_coordinate", terms), ""


_STAGGERED = re.compile(r"(xi|eta)_rho")


def _onto(ds: xr.Dataset, field: xr.DataArray, term: xr.DataArray, dim: Hashable | None) -> xr.DataArray:
    """A term at the points of ``field``: means of neighbours for velocities of ROMS, of three nodes for those of FVCOM.

    Raises
    ------
    CoordinateError
        If the points of the field are none that belong to those of the term.
    """
    for d in term.dims:
        if d in field.dims or d == dim:
            continue
        match = _STAGGERED.fullmatch(str(d))
        mates = [f"{match[1]}_{k}" for k in ("u", "v", "psi") if f"{match[1]}_{k}" in field.dims] if match else []
        if match and len(mates) == 1:
            term = _staggered(field, term, d, mates[0])
        elif d == "node" and "nele" in field.dims and "nv" in ds.variables:
            corners = ds["nv"].astype(np.int64) - 1
            term = term.isel(node=corners).mean([c for c in corners.dims if c != "nele"])
        elif d not in term.coords and ds.sizes.get(d, 0) == 1:
            term = term.squeeze(d, drop=True)
        elif _horizontal(d):
            raise CoordinateError(
                f"{describe(field)} lies on {field.dims}, and {term.name!r}, which places its levels, on {term.dims}; "
                "give its depths with depth="
            )
    return term


def _horizontal(dim: Hashable) -> bool:
    return not re.fullmatch(r".*time.*|t|date|member|ens\w*|realization|init_time|lead_time|one", str(dim).lower())


def _staggered(field: xr.DataArray, term: xr.DataArray, old: Hashable, new: str) -> xr.DataArray:
    """ROMS counts a velocity point and the rho-point before it alike: u[i] lies between rho[i] and rho[i + 1]."""
    bare = without(term, old)
    n, m = term.sizes[old], field.sizes[new]
    if {"xi": new in ("xi_u", "xi_psi"), "eta": new in ("eta_v", "eta_psi")}[new.split("_")[0]]:
        mean = 0.5 * (bare.isel({old: slice(None, -1)}) + bare.isel({old: slice(1, None)}))
        if m == n:
            mean = mean.pad({old: (0, 1)}, constant_values=np.nan)
        n = mean.sizes[old]
        bare = mean
    if m != n:
        raise CoordinateError(
            f"{describe(field)} has {m} points along {new!r}, and {term.name!r} {term.sizes[old]} along {old!r}: they are not of "
            "one grid; give its depths with depth="
        )
    return bare.rename({old: new}).rename(term.name)
