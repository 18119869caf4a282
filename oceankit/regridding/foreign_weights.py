"""Weights that other tools wrote: ESMF, xESMF, TempestRemap, SCRIP and CDO, checked against the grids they are to serve.

Two layouts are about. ESMF's has ``row`` (target), ``col`` (source) and ``S`` along ``n_s``, its grids in ``xc_a``, ``frac_b``
and so on (ESMF Reference Manual, "Regrid Interpolation Weight File Format"); xESMF leaves the grids out, TempestRemap writes
the same. SCRIP's has ``dst_address``, ``src_address`` and ``remap_matrix`` along ``num_links`` (Jones 1999; SCRIP Users
Guide 1.5); CDO writes that. Both count cells from 1, the first dimension of a Fortran array fastest: as our arrays lie.
"""

from __future__ import annotations

import os
from typing import Any, Literal, NamedTuple

import netCDF4
import numpy as np

from oceankit.fields.files import StoreError
from oceankit.fields.grid import Grid, GridError
from oceankit.numerics import sparse
from oceankit.numerics.sparse import Rows
from oceankit.regridding.agreement import check_places
from oceankit.regridding.operators import Matrix
from oceankit.regridding.weight_files import place_of

__all__ = ["Foreign", "Side", "matrix", "read"]

_TINY = 1e-9
"""Sums of weights and shares of areas that differ by less are the same."""


class Side(NamedTuple):
    """What a file says of one of its two grids; None where it says nothing."""

    size: int | None
    dims: tuple[int, ...] | None
    """Lengths of its dimensions, the slowest first, as NumPy has them."""
    lon: np.ndarray | None
    """float64 (cells,): centres in degrees, or in the file's own units on a plane"""
    lat: np.ndarray | None
    mask: np.ndarray | None
    """bool (cells,): whether a cell takes part"""
    area: np.ndarray | None
    frac: np.ndarray | None
    """float64 (cells,): share of a target that the source covers"""


class Foreign(NamedTuple):
    """A file of weights; rows and columns count from 0."""

    name: str
    convention: Literal["ESMF", "SCRIP"]
    row: np.ndarray
    column: np.ndarray
    values: np.ndarray
    method: str
    normalization: str
    edges: str
    """What the edges of its cells are, where it says so (ours do)"""
    source: Side
    target: Side

    @property
    def is_conservative(self) -> bool:
        return "conserv" in self.method.lower()


# ---- reading ----------------------------------------------------------------------------------------------------------

_ESMF = {"size": "n_{0}", "lon": "xc_{0}", "lat": "yc_{0}", "mask": "mask_{0}", "area": "area_{0}", "frac": "frac_{0}"}
_SCRIP = {
    "size": "{0}_grid_size", "lon": "{0}_grid_center_lon", "lat": "{0}_grid_center_lat", "mask": "{0}_grid_imask",
    "area": "{0}_grid_area", "frac": "{0}_grid_frac",
}  # fmt: skip


def read(path: str | os.PathLike[str]) -> Foreign:
    """Read a file of weights in either layout.

    Raises
    ------
    StoreError
        If there is none, or it holds weights that are not one number per pair of cells.
    """
    name = os.fspath(path)
    try:
        with netCDF4.Dataset(place_of(path, "read")) as file:
            file.set_always_mask(False)
            if {"remap_matrix", "src_address", "dst_address"} <= set(file.variables):
                return _scrip(file, name)
            if {"row", "col", "S"} <= set(file.variables):
                return _esmf(file, name)
            holds = ", ".join(map(repr, list(file.variables)[:8])) or "nothing"
    except StoreError:
        raise
    except (OSError, RuntimeError, IndexError, ValueError) as error:
        raise StoreError(
            f"{name!r} could not be read as NetCDF ({error}): it is damaged, or no file of weights"
        ) from error
    raise StoreError(
        f"{name!r} holds {holds}, but no weights: neither row, col and S (ESMF) nor dst_address, src_address and "
        "remap_matrix (SCRIP, CDO); files of Regridder.save are read by Regridder.load"
    )


def _esmf(file: Any, name: str) -> Foreign:
    row, column, values = (_flat(file, n) for n in ("row", "col", "S"))
    method = _attribute(file, "oceankit_method", "ESMF_regrid_method", "map_method")
    normalization, edges = _attribute(file, "normalization"), _attribute(file, "edges") or "not said"
    target, source = _side(file, _ESMF, "b", "dst", name), _side(file, _ESMF, "a", "src", name)
    # xESMF marks targets that it does not reach by a single weight that is no number, on the first source cell.
    unmapped = (
        np.isnan(values) & (np.bincount(row, minlength=1)[row] == 1) if _is_count(row) else np.zeros(row.size, bool)
    )
    row, column, values = row[~unmapped], column[~unmapped], values[~unmapped]
    found = Foreign(name, "ESMF", row, column, values, method, normalization, edges, source, target)
    if method.lower() == "nearest destination to source" and np.bincount(row, minlength=1).max() > 1:
        raise StoreError(
            f"{name!r} holds weights by 'Nearest destination to source', which add up the sources of a target; a Regridder takes "
            "means: make them anew with method 'nearest_target'"
        )
    return _counted_from_0(found, "row", "col")


def _scrip(file: Any, name: str) -> Foreign:
    weights = np.asarray(file.variables["remap_matrix"][...], np.float64)
    weights = weights.reshape(weights.shape[0], -1)
    method = _attribute(file, "oceankit_method", "map_method")
    if weights.shape[1] > 1 and np.any(weights[:, 1:] != 0.0):
        raise StoreError(
            f"{name!r} ({method}) has {weights.shape[1]} weights for each pair of cells: the others multiply gradients of the "
            "field, which every tool makes in its own way. Make the weights here (method='conservative2' or 'bicubic'), or "
            "write them with one weight a pair (cdo gencon, genbil)"
        )
    if method.lower().startswith("largest"):
        raise StoreError(
            f"{name!r} ({method}) picks the value with the largest share of a target, which is no mean; its weights alone do "
            "not say that: make them anew with method 'nearest' or 'conservative'"
        )
    target, source = _side(file, _SCRIP, "dst", "dst", name), _side(file, _SCRIP, "src", "src", name)
    row, column = _flat(file, "dst_address"), _flat(file, "src_address")
    normalization, edges = _attribute(file, "normalization"), _attribute(file, "edges") or "not said"
    found = Foreign(name, "SCRIP", row, column, weights[:, 0].copy(), method, normalization, edges, source, target)
    return _counted_from_0(found, "dst_address", "src_address")


def _is_count(numbers: np.ndarray) -> bool:
    return bool(numbers.size and numbers.dtype.kind in "iu" and numbers.min() >= 0)


def _flat(file: Any, name: str) -> np.ndarray:
    values = np.asarray(file.variables[name][...]).ravel()
    return values.astype(np.float64) if values.dtype.kind == "f" else values.astype(np.int64)


def _attribute(file: Any, *names: str) -> str:
    """The first of some attributes, in any case: TempestRemap writes them with capitals."""
    there = {n.lower(): n for n in file.ncattrs()}
    return next((str(file.getncattr(there[n.lower()])).strip() for n in names if n.lower() in there), "")


def _side(file: Any, layout: dict[str, str], letter: str, prefix: str, name: str) -> Side:
    names = {key: text.format(letter) for key, text in layout.items()}
    size = len(file.dimensions[names["size"]]) if names["size"] in file.dimensions else None
    dims_name = f"{prefix}_grid_dims"
    dims = tuple(int(n) for n in _flat(file, dims_name)[::-1]) if dims_name in file.variables else None
    found = {k: _flat(file, names[k]) for k in ("lon", "lat", "mask", "area", "frac") if names[k] in file.variables}
    for key in ("lon", "lat"):
        if key in found:
            units = str(getattr(file.variables[names[key]], "units", "degrees")).lower()
            found[key] = np.degrees(found[key]) if units.startswith("rad") else found[key]
    if size is not None:
        for key, values in found.items():
            if values.size != size:
                raise StoreError(
                    f"{name!r}: {names[key]!r} has {values.size} values for {size} cells; the file is damaged"
                )
    mask = found["mask"] != 0 if "mask" in found else None
    lon, lat = found.get("lon"), found.get("lat")
    return Side(size, dims, lon, lat, mask, found.get("area"), found.get("frac"))


def _counted_from_0(found: Foreign, row: str, column: str) -> Foreign:
    name = found.name
    if not found.row.size == found.column.size == found.values.size:
        raise StoreError(
            f"{name!r} has {found.values.size} weights for {found.row.size} {row!r} and {found.column.size} {column!r}; "
            "the file is damaged"
        )
    bad = ~np.isfinite(found.values)
    if bad.any():
        raise StoreError(
            f"{name!r} holds {int(bad.sum())} weight(s) that are no number, the first at position {int(np.argmax(bad))}; "
            "make the weights again"
        )
    for label, numbers in ((row, found.row), (column, found.column)):
        if numbers.dtype.kind == "f":
            raise StoreError(
                f"{name!r}: {label!r} holds numbers with a fraction, so it counts no cells; the file is damaged"
            )
        if numbers.size and numbers.min() < 1:
            raise StoreError(
                f"{name!r}: {label!r} holds {int(numbers.min())}, but cells count from 1; if the file counts from 0, add one"
            )
    return found._replace(row=found.row - 1, column=found.column - 1)


# ---- against the grids ------------------------------------------------------------------------------------------------


def matrix(found: Foreign, source: Grid, target: Grid) -> Matrix:
    """The weights as an operator from ``source`` to ``target``.

    Masked cells of either the file or the source grid take no part. Rows are scaled to add up to the share of the target
    that is covered, where the file has it: files normalised by ``fracarea`` lose it otherwise, and ``min_coverage`` asks for it.

    Raises
    ------
    GridError
        If the file was written for other grids.
    StoreError
        If weights of a target add up to nothing or, of an interpolation, to more than one: they take no means.
    """
    for which, numbers, side, grid in (
        ("source", found.column, found.source, source),
        ("target", found.row, found.target, target),
    ):
        _check_size(found.name, which, int(numbers.max(initial=-1)) + 1, side, grid)
        if side.lon is not None and side.lat is not None:
            check_places(found.name, which, side.lon, side.lat, side.mask, grid)
    # Scaled before cells are left out: the shares in the file know nothing of masks that came later.
    rows = _scaled(found, _rows(found, target.size, source.size))
    keep = rows.values != 0.0
    own = None if source.mask is None else source.mask.values.ravel()
    number = rows.numbers()
    for mask, cells in ((found.source.mask, rows.columns), (own, rows.columns), (found.target.mask, number)):
        if mask is not None:
            keep &= mask[cells]
    if not keep.any():
        raise StoreError(f"{found.name!r} has no weight that is not zero or masked; correct the path, or the masks")
    return Matrix(sparse.select(rows, keep), source.size)


def _check_size(name: str, which: str, reached: int, side: Side, grid: Grid) -> None:
    shape = dict(zip(grid.dims, grid.shape, strict=True))
    if side.size is not None and side.size != grid.size:
        dims = f", {' x '.join(map(str, side.dims))}" if side.dims and len(side.dims) > 1 else ""
        raise GridError(
            f"{name!r} was written for a {which} of {side.size} cells{dims}, and this {which} has {grid.size}, {shape}; "
            f"give the {which} that the file was made for"
        )
    if reached > grid.size:
        raise GridError(
            f"{name!r} refers to cell {reached} of its {which}, and this {which} has {grid.size} cells, {shape}; "
            f"give the {which} that the file was made for"
        )
    # Some tools call a grid a list of cells (rank 1); two dimensions that are others are another grid.
    if (
        side.dims is not None
        and len(side.dims) == 2
        and len(grid.shape) == 2
        and side.dims != grid.shape
        and 1 not in side.dims
    ):
        turned = "; its two dimensions are the other way around" if side.dims == grid.shape[::-1] else ""
        raise GridError(
            f"{name!r} was written for a {which} of {side.dims[0]} x {side.dims[1]} cells, and this {which} is {shape}{turned}; "
            f"give the {which} that the file was made for"
        )


def _rows(found: Foreign, n_rows: int, n_columns: int) -> Rows:
    """Weights by target; within one in the order of the file, pairs that occur twice added up."""
    row, column, values = found.row, found.column, found.values
    if row.size and (np.diff(row) < 0).any():
        order = np.argsort(row, kind="stable")
        row, column, values = row[order], column[order], values[order]
    pairs = row * n_columns + column
    unique, first, place = np.unique(pairs, return_index=True, return_inverse=True)
    if unique.size < pairs.size:
        order = np.sort(first)
        total = np.bincount(place, weights=values)[place[order]]
        row, column, values = row[order], column[order], total
    start = np.concatenate([[0], np.cumsum(np.bincount(row, minlength=n_rows))]).astype(np.int64)
    return Rows(start, column.astype(np.uint32), values, n_columns)


def _scaled(found: Foreign, rows: Rows) -> Rows:
    total = sparse.sums(rows)
    reached = np.diff(rows.start) > 0
    none = reached & (total < _TINY * np.maximum.reduceat(np.append(np.abs(rows.values), 0.0), rows.start[:-1]))
    if none.any():
        raise StoreError(
            f"the weights in {found.name!r} add up to {total[none][0]:g} at target cell {int(np.argmax(none)) + 1}: these are no "
            "weights of a mean (of a derivative perhaps), and a Regridder takes means"
        )
    share = found.target.frac
    if found.is_conservative and found.normalization.lower() == "none" and share is None:
        if found.target.area is None:
            raise StoreError(
                f"{found.name!r} has areas for weights (normalization 'none') and neither shares nor areas of its targets; "
                "write it with normalization 'fracarea' or 'destarea'"
            )
        share = total / np.where(found.target.area > 0, found.target.area, 1.0)
    if share is None:
        share = total
    wanted = np.where(reached & (share > 0), share, total)
    if not found.is_conservative and found.method and (over := wanted > 1 + 1e-6).any():
        raise StoreError(
            f"the weights in {found.name!r} ({found.method}) add up to {wanted[over][0]:g} at target cell "
            f"{int(np.argmax(over)) + 1}: they take sums, and a Regridder takes means"
        )
    factor = np.where(reached & (np.abs(wanted - total) > _TINY), wanted / np.where(reached, total, 1.0), 1.0)
    if (factor == 1.0).all():
        return rows
    return rows._replace(values=rows.values * factor[rows.numbers()])
