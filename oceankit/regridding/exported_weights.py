"""Weights for other tools, in the layouts of ESMF and of SCRIP (which CDO reads), with all that they ask for.

Whatever the method, what is written is one number for each pair of cells: bicubic and second-order weights are expanded.
Cells count from 1; corners go counter-clockwise; areas are in square radians.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import numpy as np
import xarray as xr

from oceankit._version import __version__
from oceankit.fields.files import StoreError
from oceankit.fields.grid import Edges, Grid, GridError
from oceankit.numerics import sparse
from oceankit.numerics.sparse import Rows
from oceankit.numerics.sphere import EARTH_RADIUS
from oceankit.regridding.methods import BINNING
from oceankit.regridding.operators import Operator
from oceankit.regridding.second_order import SecondOrder
from oceankit.regridding.weight_files import place_of, written

__all__ = ["NORMALIZATIONS", "Normalization", "check_linear", "write"]

Normalization = Literal["destarea", "fracarea"]
NORMALIZATIONS = ("destarea", "fracarea")

# By method: what ESMF's files call it in map_method and ESMF_regrid_method, and what CDO makes of it. What CDO has no
# name for goes under one whose weights it applies as they are.
_NAMES = {
    "bilinear": ("Bilinear remapping", "Bilinear", "Bilinear remapping"),
    "conservative": ("Conservative remapping", "First-order Conservative", "Conservative remapping"),
    "conservative2": ("Conservative remapping", "Second-order Conservative", "Conservative remapping"),
    "nearest": ("Bilinear remapping", "Nearest source to destination", "Nearest neighbor"),
}
_OTHER = ("Bilinear remapping", "Bilinear", "Distance weighted avg of nearest neighbors")


class _Side(NamedTuple):
    """One grid as the files describe it, every array by cell."""

    dims: np.ndarray
    """The fastest first"""
    lon: np.ndarray
    lat: np.ndarray
    corners: tuple[np.ndarray, np.ndarray] | None
    """float64 (cells, corners)"""
    area: np.ndarray
    mask: np.ndarray
    frac: np.ndarray


def check_linear(method: str, operator: Operator, extrapolate: str | None) -> None:
    """Refuse what cannot be said by one weight for each pair of cells."""
    if extrapolate is not None:
        raise StoreError(
            f"weights with extrapolate={extrapolate!r} cannot be written for other tools: what fills a target depends on what is "
            "missing; make the regridder without extrapolate, or use Regridder.save"
        )
    limited = isinstance(operator, SecondOrder) and operator.reach.shape[1] > 0
    if limited or (method in BINNING and method != "mean"):
        what = "a limiter looks at the values" if limited else f"{method!r} is no weighted mean of values"
        raise StoreError(f"these weights cannot be written for other tools: {what}; use Regridder.save")


def write(
    path: str | os.PathLike[str],
    convention: Literal["ESMF", "SCRIP"],
    rows: Rows,
    source: Grid,
    target: Grid,
    *,
    method: str,
    edges: str,
    normalization: str | None,
) -> None:
    """Write weights.

    Parameters
    ----------
    rows
        Weights that add up, target by target, to the share that is covered.
    method, edges
        As of the regridder.
    normalization
        ``"destarea"``: weights as they are; ``"fracarea"``: those of a target add up to one. None: ``"destarea"`` for
        conservative weights in ESMF's layout, otherwise ``"fracarea"``.

    Raises
    ------
    StoreError
        If the path or normalization is none, or the grids are on a plane.
    """
    place_of(path, "write")
    if normalization not in (None, *NORMALIZATIONS):
        raise StoreError(f"normalization={normalization!r} is not known; choose 'destarea' or 'fracarea'")
    if source.planar or target.planar:
        raise StoreError(
            "weights between grids on a plane have no longitudes and latitudes, which these files ask for; use Regridder.save"
        )
    conservative = "conserv" in method.lower()
    if normalization is None:
        normalization = "destarea" if conservative and convention == "ESMF" else "fracarea"
    share = sparse.sums(rows)
    if normalization == "fracarea":
        # What adds up to one but for rounding stays to the bit.
        scale = np.where((share > 0) & (np.abs(share - 1) > 1e-9), share, 1.0)
        values = rows.values / scale[rows.numbers()]
    else:
        values = rows.values
    ours = _side(target, edges, share)
    theirs = _side(source, edges, np.empty(0))
    theirs = theirs._replace(frac=_given(rows, ours.area, theirs.area, conservative))
    make = _esmf if convention == "ESMF" else _scrip
    ds = make(rows._replace(values=values), theirs, ours, _names(method))
    ds.attrs["normalization"] = normalization if conservative or convention == "ESMF" else "none"
    ds.attrs |= {"edges": edges, "oceankit_method": method, "history": f"written by oceankit {__version__}"}
    encoding = {name: {"_FillValue": None} for name in ds.variables}
    with written(path) as part:
        ds.to_netcdf(part, engine="netcdf4", format="NETCDF4", encoding=encoding)


def _names(method: str) -> tuple[str, str, str]:
    plain = method.lower()
    if plain in _NAMES:
        return _NAMES[plain]
    return next((names for key, names in _NAMES.items() if plain.startswith(key[:7])), _OTHER)


# ---- the grids --------------------------------------------------------------------------------------------------------


def _side(grid: Grid, edges: str, frac: np.ndarray) -> _Side:
    flat = grid._flat_centres()
    there = np.isfinite(flat).all(axis=1)
    # Land without coordinates is masked; zeros stand for its places, for tools that do arithmetic on all of them.
    lon, lat = np.where(there[:, None], flat, 0.0).T
    corners, area = _corners(grid), np.zeros(grid.size)
    if corners is not None:
        how: Edges = "latitude" if edges == "latitude" else "great_circle"
        area = np.nan_to_num(grid.area(edges=how).values.ravel() / EARTH_RADIUS**2)
    dims = np.array(grid.shape[::-1], np.int32)
    return _Side(dims, lon, lat, corners, area, grid.used().astype(np.int32), frac)


def _corners(grid: Grid) -> tuple[np.ndarray, np.ndarray] | None:
    """Corners of the cells (cells, corners), the last one repeated where a cell has fewer; None where there are none."""
    if not grid.has_cells:
        return None
    try:
        lon, lat = (v.values for v in grid.corners.data_vars.values())
    except GridError:
        return None
    if grid.kind == "rectilinear":
        west_east, south_north = np.sort(lon, axis=1), np.sort(lat, axis=1)
        lon = np.broadcast_to(west_east[None, :, [0, 1, 1, 0]], (*grid.shape, 4))
        lat = np.broadcast_to(south_north[:, None, [0, 0, 1, 1]], (*grid.shape, 4))
    out = []
    for values in (lon, lat):
        values = values.reshape(grid.size, -1)
        there = np.isfinite(values)
        last = np.maximum.accumulate(np.where(there, np.arange(values.shape[1]), 0), axis=1)
        filled = np.take_along_axis(values, last, axis=1)
        out.append(np.where(np.isfinite(filled), filled, 0.0))
    return out[0], out[1]


def _given(rows: Rows, ours: np.ndarray, theirs: np.ndarray, conservative: bool) -> np.ndarray:
    """Share of each source cell that goes somewhere; of interpolations, whether any of it does."""
    if not conservative:
        return (np.bincount(rows.columns, minlength=rows.n_columns) > 0).astype(np.float64)
    taken = np.bincount(rows.columns, weights=rows.values * ours[rows.numbers()], minlength=rows.n_columns)
    return np.divide(taken, theirs, out=np.zeros(taken.size), where=theirs > 0)


# ---- the two layouts --------------------------------------------------------------------------------------------------


def _esmf(rows: Rows, source: _Side, target: _Side, names: tuple[str, str, str]) -> xr.Dataset:
    variables: dict[str, Any] = {}
    for letter, prefix, which, side in (("a", "src", "source", source), ("b", "dst", "target", target)):
        n = f"n_{letter}"
        variables |= {
            f"{prefix}_grid_dims": (f"{prefix}_grid_rank", side.dims),
            f"xc_{letter}": (n, side.lon, _degrees(f"longitude of {which} cell centres")),
            f"yc_{letter}": (n, side.lat, _degrees(f"latitude of {which} cell centres")),
            f"mask_{letter}": (n, side.mask, {"units": "unitless"}),
            f"area_{letter}": (n, side.area, {"units": "square radians"}),
            f"frac_{letter}": (n, side.frac, {"units": "unitless"}),
        }
        if side.corners is not None:
            dims = (n, f"nv_{letter}")
            variables[f"xv_{letter}"] = (dims, side.corners[0], _degrees(f"longitude of {which} cell corners"))
            variables[f"yv_{letter}"] = (dims, side.corners[1], _degrees(f"latitude of {which} cell corners"))
    row, column = _from_1(rows)
    variables |= {"row": ("n_s", row), "col": ("n_s", column), "S": ("n_s", rows.values)}
    attrs = {
        "title": "oceankit regridding weights",
        "map_method": names[0],
        "ESMF_regrid_method": names[1],
        "conventions": "NCAR-CSM",
        "domain_a": "source grid",
        "domain_b": "target grid",
    }
    return xr.Dataset(variables, attrs=attrs)


def _scrip(rows: Rows, source: _Side, target: _Side, names: tuple[str, str, str]) -> xr.Dataset:
    variables: dict[str, Any] = {}
    for prefix, side in (("src", source), ("dst", target)):
        n = f"{prefix}_grid_size"
        variables |= {
            f"{prefix}_grid_dims": (f"{prefix}_grid_rank", side.dims),
            f"{prefix}_grid_center_lat": (n, side.lat, {"units": "degrees"}),
            f"{prefix}_grid_center_lon": (n, side.lon, {"units": "degrees"}),
            f"{prefix}_grid_imask": (n, side.mask, {"units": "unitless"}),
            f"{prefix}_grid_area": (n, side.area, {"units": "square radians"}),
            f"{prefix}_grid_frac": (n, side.frac, {"units": "unitless"}),
        }
        if side.corners is not None:
            dims = (n, f"{prefix}_grid_corners")
            variables[f"{prefix}_grid_corner_lat"] = (dims, side.corners[1], {"units": "degrees"})
            variables[f"{prefix}_grid_corner_lon"] = (dims, side.corners[0], {"units": "degrees"})
    row, column = _from_1(rows)
    variables |= {
        "src_address": ("num_links", column),
        "dst_address": ("num_links", row),
        "remap_matrix": (("num_links", "num_wgts"), rows.values[:, None]),
    }
    attrs = {
        "title": "oceankit regridding weights",
        "map_method": names[2],
        "conventions": "SCRIP",
        "source_grid": "source grid",
        "dest_grid": "target grid",
    }
    return xr.Dataset(variables, attrs=attrs)


def _degrees(long_name: str) -> Mapping[str, str]:
    return {"units": "degrees", "long_name": long_name}


def _from_1(rows: Rows) -> tuple[np.ndarray, np.ndarray]:
    return tuple((numbers.astype(np.int64) + 1).astype(np.int32) for numbers in (rows.numbers(), rows.columns))  # type: ignore[return-value]
