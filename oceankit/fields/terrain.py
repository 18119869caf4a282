"""Terrain-following levels: the parametric vertical coordinates of the CF conventions, and how ROMS stretches its own."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from oceankit.fields.coordinates import CoordinateError

__all__ = ["FORMULAS", "heights", "s_coordinate", "stretched"]

# Terms of each formula, those that may be absent last.
FORMULAS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "ocean_sigma_coordinate": (("sigma", "depth"), ("eta",)),
    "ocean_s_coordinate": (("s", "depth", "a", "b", "depth_c"), ("eta",)),
    "ocean_s_coordinate_g1": (("s", "C", "depth", "depth_c"), ("eta",)),
    "ocean_s_coordinate_g2": (("s", "C", "depth", "depth_c"), ("eta",)),
    "ocean_sigma_z_coordinate": (("sigma", "depth", "depth_c", "zlev"), ("eta", "nsigma")),
    "ocean_double_sigma_coordinate": (("sigma", "depth", "z1", "z2", "a", "href", "k_c"), ()),
}


def heights(formula: str, terms: Mapping[str, xr.DataArray], dim: str) -> xr.DataArray:
    """Heights of levels above the datum in metres, positive up, by a formula of the CF conventions.

    Parameters
    ----------
    formula
        A standard name, one of ``FORMULAS``.
    terms
        The terms of the formula, lengths in metres. ``eta`` is 0 where it is absent; the result has its dimensions first.
    dim
        The vertical dimension.

    References
    ----------
    CF conventions, appendix D. Song, Y., and Haidvogel, D. (1994), J. Comput. Phys. 115, 228-244 (ocean_s_coordinate).
    Shchepetkin, A. F., and McWilliams, J. C. (2005), Ocean Modelling 9, 347-404 (g1, g2).
    """
    depth = terms["depth"]
    eta = terms.get("eta", xr.DataArray(0.0))
    if formula == "ocean_sigma_coordinate":
        return (eta + depth) * terms["sigma"] + eta
    if formula == "ocean_s_coordinate":
        s, critical = terms["s"], terms["depth_c"]
        return eta * (1 + s) + critical * s + (depth - critical) * _song_haidvogel(s, terms["a"], terms["b"])
    if formula == "ocean_s_coordinate_g1":
        unmoved = terms["depth_c"] * terms["s"] + (depth - terms["depth_c"]) * terms["C"]
        return eta * (1 + unmoved / depth) + unmoved
    if formula == "ocean_s_coordinate_g2":
        share = (terms["depth_c"] * terms["s"] + depth * terms["C"]) / (terms["depth_c"] + depth)
        return (eta + depth) * share + eta
    if formula == "ocean_sigma_z_coordinate":
        return _sigma_z(terms, depth, eta, dim)
    return _double_sigma(terms, depth, dim)


def _song_haidvogel(s: Any, theta_s: Any, theta_b: Any) -> Any:
    surface = np.sinh(theta_s * s) / np.sinh(theta_s)
    both = np.tanh(theta_s * (s + 0.5)) / (2.0 * np.tanh(0.5 * theta_s)) - 0.5
    return (1.0 - theta_b) * surface + theta_b * both


def _sigma_z(terms: Mapping[str, xr.DataArray], depth: xr.DataArray, eta: xr.DataArray, dim: str) -> xr.DataArray:
    """Sigma down to ``depth_c``, then levels of constant height."""
    sigma, zlev = terms["sigma"], terms["zlev"]
    following = sigma.notnull()
    if "nsigma" in terms:
        following = following & (xr.DataArray(np.arange(sigma.sizes[dim]), dims=dim) < terms["nsigma"])
    shallow = np.minimum(terms["depth_c"], depth)
    upright = -zlev if str(zlev.attrs.get("positive", "up")).lower() == "down" else zlev
    return xr.where(following, (eta + shallow) * sigma + eta, upright)


def _double_sigma(terms: Mapping[str, xr.DataArray], depth: xr.DataArray, dim: str) -> xr.DataArray:
    """One sigma to the depth f, another from there to the sea floor.

    The formula as the conventions print it gives numbers that grow downwards: sigma is 0 at the surface, 1 at f, 2 at the bottom.
    """
    sigma, z1, z2 = terms["sigma"], terms["z1"], terms["z2"]
    if float(sigma.min()) < 0.0:
        raise CoordinateError(
            f"the double sigma coordinate {sigma.name!r} holds {float(sigma.min()):g}; its formula wants 0 at the surface, 1 "
            "where the two meet and 2 at the sea floor: convert it, or give the depths with depth="
        )
    between = 0.5 * (z1 + z2) + 0.5 * (z1 - z2) * np.tanh(2.0 * terms["a"] / (z1 - z2) * (depth - terms["href"]))
    number = xr.DataArray(np.arange(1, sigma.sizes[dim] + 1), dims=dim)
    down = xr.where(number <= terms["k_c"], sigma * between, between + (sigma - 1) * (depth - between))
    return -down


def stretched(s: np.ndarray, vstretching: int, theta_s: float, theta_b: float) -> np.ndarray:
    """The stretching curve C(s) of ROMS, from -1 at the sea floor to 0 at the surface.

    Parameters
    ----------
    s
        From -1 to 0.
    vstretching
        1: Song and Haidvogel (1994); 2: Shchepetkin (2005); 3: Geyer, for bottom boundary layers; 4: Shchepetkin (2010);
        5: as 4, with the levels of Souza et al. (2015).
    theta_s, theta_b
        Surface and bottom control parameters.
    """
    if vstretching == 1:
        return _song_haidvogel(s, theta_s, theta_b) if theta_s > 0.0 else np.array(s)
    if vstretching == 2:
        surface = (1.0 - np.cosh(theta_s * s)) / (np.cosh(theta_s) - 1.0) if theta_s > 0.0 else -(s**2)
        if theta_b == 0.0:
            return surface
        bottom = np.sinh(theta_b * (s + 1.0)) / np.sinh(theta_b) - 1.0
        share = (s + 1.0) * (1.0 + (1.0 - (s + 1.0)))
        return share * surface + (1.0 - share) * bottom
    if vstretching == 3:
        scale = 3.0
        bottom = np.log(np.cosh(scale * (s + 1.0) ** theta_b)) / np.log(np.cosh(scale)) - 1.0
        surface = -np.log(np.cosh(scale * np.abs(s) ** theta_s)) / np.log(np.cosh(scale))
        share = 0.5 * (1.0 - np.tanh(scale * (s + 0.5)))
        return share * bottom + (1.0 - share) * surface
    surface = (1.0 - np.cosh(theta_s * s)) / (np.cosh(theta_s) - 1.0) if theta_s > 0.0 else -(s**2)
    return np.expm1(theta_b * surface) / -np.expm1(-theta_b) if theta_b > 0.0 else surface


def _positions(numbers: np.ndarray, n: int, vstretching: int) -> np.ndarray:
    """s of levels that are numbered from the sea floor (0) to the surface (n)."""
    if vstretching != 5:
        return numbers / n - 1.0
    # A quadratic Legendre polynomial: finer at the surface (Souza et al. 2015).
    legendre = (numbers**2 - 2.0 * numbers * n + numbers + n**2 - n) / (n**2 - n)
    return -legendre - 0.01 * (numbers**2 - numbers * n) / (1.0 - n)


def s_coordinate(
    n: int,
    *,
    theta_s: float,
    theta_b: float,
    hc: float | None = None,
    Tcline: float | None = None,
    hmin: float | None = None,
    Vtransform: int = 2,
    Vstretching: int = 4,
) -> xr.Dataset:
    """The s-coordinate of a ROMS configuration: positions of the levels and their stretching curves.

    Merge it with a Dataset that has ``h`` and ``zeta``, and :func:`~oceankit.fields.depths` finds the depths.

    Parameters
    ----------
    n
        Number of layers, at least 2 (8 with ``Vstretching=5``, whose levels leave the column with fewer).
    theta_s, theta_b
        Surface and bottom control parameters.
    hc
        Critical depth in metres, or
    Tcline
        what ROMS derives it from: ``hc = Tcline`` with ``Vtransform=2``, the lesser of ``Tcline`` and ``hmin`` with 1.
    hmin
        Least depth of the bathymetry in metres; only for ``Tcline`` with ``Vtransform=1``.
    Vtransform
        1 (``ocean_s_coordinate_g1``) or 2 (``ocean_s_coordinate_g2``).
    Vstretching
        1: Song and Haidvogel (1994); 2: Shchepetkin (2005); 3: Geyer; 4: Shchepetkin (2010); 5: Souza et al. (2015).

    Returns
    -------
    Dataset
        ``s_rho``, ``Cs_r`` (n) at the centres of layers, ``s_w``, ``Cs_w`` (n + 1) between them, from the sea floor (-1) to
        the surface (0), and the parameters.

    Raises
    ------
    CoordinateError
        If a parameter is unknown or missing, or the curve they give does not rise all the way.

    References
    ----------
    Song, Y., and Haidvogel, D. (1994), J. Comput. Phys. 115, 228-244. Shchepetkin, A. F., and McWilliams, J. C. (2005), Ocean
    Modelling 9, 347-404; and their notes of 2010. Souza, J. M. A. C., et al. (2015), J. Geophys. Res. Oceans 120, 6768-6788.

    Examples
    --------
    >>> s = s_coordinate(30, theta_s=7.0, theta_b=2.0, hc=250.0)
    >>> [round(float(v), 4) for v in s["Cs_w"][[0, 15, 30]]]
    [-1.0, -0.064, 0.0]
    """
    for name, value, known in (("Vtransform", Vtransform, (1, 2)), ("Vstretching", Vstretching, (1, 2, 3, 4, 5))):
        if value not in known:
            raise CoordinateError(f"{name}={value!r} is not known; choose one of {', '.join(map(str, known))}")
    if n < 2:
        raise CoordinateError(f"n={n!r} layers; an s-coordinate has at least 2")
    for name, angle in (("theta_s", theta_s), ("theta_b", theta_b)):
        if not (np.isfinite(angle) and angle >= 0.0):
            raise CoordinateError(f"{name}={angle!r}; it is a number that is not negative")
    critical = _critical_depth(hc, Tcline, hmin, Vtransform)
    s_rho = _positions(np.arange(1, n + 1) - 0.5, n, Vstretching)
    s_w = _positions(np.arange(n + 1.0), n, Vstretching)
    c_rho, c_w = (stretched(s, Vstretching, float(theta_s), float(theta_b)) for s in (s_rho, s_w))
    for ends in (s_w, c_w):
        # To the last bit: the outermost interfaces are the sea floor and the surface.
        ends[0], ends[-1] = -1.0, 0.0
    for rho, w in ((s_rho, s_w), (c_rho, c_w)):
        if not (np.diff(np.insert(w, np.arange(1, n + 1), rho)) > 0.0).all():
            raise CoordinateError(
                f"theta_s={theta_s:g} and theta_b={theta_b:g} with Vstretching={Vstretching} give {n} layers that turn back; "
                "choose parameters inside the range of this stretching, or more layers"
            )
    attrs = {"standard_name": f"ocean_s_coordinate_g{Vtransform}", "positive": "up", "units": "1"}
    terms = "s: {0} C: {1} eta: zeta depth: h depth_c: hc"
    return xr.Dataset(
        {
            "Cs_r": ("s_rho", c_rho, {"long_name": "stretching curve at centres of layers", "units": "1"}),
            "Cs_w": ("s_w", c_w, {"long_name": "stretching curve at interfaces of layers", "units": "1"}),
            "hc": ((), critical, {"long_name": "critical depth", "units": "m"}),
            "theta_s": ((), float(theta_s), {"long_name": "surface control parameter", "units": "1"}),
            "theta_b": ((), float(theta_b), {"long_name": "bottom control parameter", "units": "1"}),
            "Vtransform": ((), Vtransform, {"long_name": "vertical transformation equation"}),
            "Vstretching": ((), Vstretching, {"long_name": "vertical stretching function"}),
        },
        coords={
            "s_rho": ("s_rho", s_rho, {**attrs, "formula_terms": terms.format("s_rho", "Cs_r")}),
            "s_w": ("s_w", s_w, {**attrs, "formula_terms": terms.format("s_w", "Cs_w")}),
        },
    )


def _critical_depth(hc: float | None, tcline: float | None, hmin: float | None, vtransform: int) -> float:
    if (hc is None) == (tcline is None):
        raise CoordinateError(f"hc={hc!r} and Tcline={tcline!r}; give one of the two, in metres")
    if tcline is not None and vtransform == 1 and hmin is None:
        raise CoordinateError(
            f"Tcline={tcline!r} with Vtransform=1: hc is the lesser of Tcline and hmin; give hmin= too"
        )
    value = hc if hc is not None else tcline if vtransform == 2 else min(float(tcline or 0.0), float(hmin or 0.0))
    if value is None or not (np.isfinite(value) and value >= 0.0):
        raise CoordinateError(f"the critical depth is {value!r}; it is a depth in metres that is not negative")
    return float(value)
