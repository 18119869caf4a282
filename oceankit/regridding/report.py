"""What a regridder does to each cell, and what it leaves out and why."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from oceankit.fields.grid import Edges, Grid
from oceankit.numerics.sparse import Rows

__all__ = ["REASONS", "report"]

REASONS = (
    "mapped",
    "masked in the target",
    "target has no position",
    "target cell is degenerate",
    "covered too little",
    "only masked source there",
    "outside the source",
)
"""What may be said of a target cell; the place of each is its flag value."""
_MAPPED, _MASKED, _NOWHERE, _DEGENERATE, _LITTLE, _SOURCE_MASKED, _OUTSIDE = range(7)


def report(
    rows: Rows,
    unmasked: Rows | None,
    source: Grid,
    target: Grid,
    *,
    edges: Edges | None,
    least: float,
    attrs: dict[str, Any],
    valid: np.ndarray | None = None,
) -> xr.Dataset:
    """The report on a matrix of weights.

    Parameters
    ----------
    rows
        Weights without masked source cells.
    unmasked
        Weights as if nothing of the source were masked, None where nothing is.
    edges
        Of the cells whose areas the weights are shares of; None where weights are no shares of areas.
    least
        Share of a target that must be covered.
    attrs
        What else is to be said.
    valid
        bool (sources,): cells of the source that take part; None for all.

    Returns
    -------
    Dataset
        On the target grid ``reason`` (a flag with ``flag_meanings``), ``coverage``, ``weight_min``, ``weight_max`` and
        ``n_sources``; on the source grid, whose dimensions and coordinates begin with ``source_``, ``source_share``: how
        much of each source cell went somewhere, NaN where it takes no part. Totals are attributes.
    """
    areas = edges is not None
    number = rows.numbers()
    n = rows.shape[0]
    count = np.bincount(number, minlength=n)
    cover = np.bincount(number, weights=rows.values, minlength=n)
    low, high = np.full(n, np.nan), np.full(n, np.nan)
    some = count > 0
    if rows.values.size:
        low[some] = np.minimum.reduceat(rows.values, rows.start[:-1][some])
        high[some] = np.maximum.reduceat(rows.values, rows.start[:-1][some])
    reason = _reasons(cover, count, unmasked, target, areas=areas, least=least)
    out = xr.Dataset(coords=target.coords())
    for name, values, long_name in (
        ("reason", reason.astype(np.int8), "what becomes of the target cell"),
        ("coverage", cover, "share of the target cell that the source covers"),
        ("weight_min", low, "smallest weight"),
        ("weight_max", high, "largest weight"),
        ("n_sources", count.astype(np.int32), "source cells with a weight"),
    ):
        out[name] = (target.dims, values.reshape(target.shape), {"long_name": long_name, "units": "1"})
    out["reason"].attrs.update(
        flag_values=np.arange(len(REASONS), dtype=np.int8),
        flag_meanings=" ".join(r.replace(" ", "_") for r in REASONS),
    )
    if edges is not None:
        ours, theirs = (g.area(edges=edges).values.ravel() for g in (target, source))
        taken = rows.values * np.nan_to_num(ours)[number]
        share = np.bincount(rows.columns, weights=taken, minlength=source.size) / theirs
        meaning = "share of the source cell's area that targets take"
    else:
        share = np.bincount(rows.columns, weights=rows.values, minlength=source.size)
        meaning = "sum of the weights that the source cell has"
    out = out.assign_coords(_of_source(source))
    dims = tuple(f"source_{d}" for d in source.dims)
    valid = np.ones(source.size, bool) if valid is None else valid
    shown = np.where(valid, share, np.nan).reshape(source.shape)
    out["source_share"] = (dims, shown, {"long_name": meaning, "units": "1"})
    out.attrs = {**attrs, **_totals(rows, cover, reason, valid, target)}
    out.attrs |= _flaws(source, target)
    if edges is not None:
        out.attrs |= _conservation(cover, share, ours, theirs)
        out.attrs["area_mapped" if target.planar else "area_mapped_m2"] = float((cover * np.nan_to_num(ours)).sum())
    return out


def _of_source(source: Grid) -> dict[str, tuple[tuple[str, ...], np.ndarray, dict[Any, Any]]]:
    """Coordinates of the source under names of their own, beside those of the target."""
    return {
        f"source_{name}": (
            tuple(f"source_{d}" for d in c.dims),
            c.values,
            {k: v for k, v in c.attrs.items() if k != "bounds"},
        )
        for name, c in source.coords().items()
    }


def _reasons(
    cover: np.ndarray, count: np.ndarray, unmasked: Rows | None, target: Grid, *, areas: bool, least: float
) -> np.ndarray:
    reason = np.full(cover.size, _OUTSIDE)
    if unmasked is not None:
        reason[np.diff(unmasked.start) > 0] = _SOURCE_MASKED
    reason[count > 0] = _LITTLE
    reason[(cover > 0) & (cover >= least - 1e-9)] = _MAPPED
    if areas:
        reason[target.cells().faces[:, 0] < 0] = _DEGENERATE
    reason[~np.isfinite(target.centres()).all(axis=1)] = _NOWHERE
    if target.mask is not None:
        reason[~target.mask.values.ravel()] = _MASKED
    return reason


def _totals(rows: Rows, cover: np.ndarray, reason: np.ndarray, valid: np.ndarray, target: Grid) -> dict[str, Any]:
    out: dict[str, Any] = {"n_weights": rows.values.size, "n_targets": target.size, "n_source_cells": valid.size}
    for value, name in enumerate(REASONS):
        out[f"n_{name.replace(' ', '_')}"] = int((reason == value).sum())
    if rows.values.size:
        out["weight_smallest"], out["weight_largest"] = float(rows.values.min()), float(rows.values.max())
        full = cover[reason == _MAPPED]
        if full.size:
            out["coverage_smallest_mapped"], out["coverage_largest_mapped"] = float(full.min()), float(full.max())
    out["n_source_cells_unused"] = int((valid & (np.bincount(rows.columns, minlength=valid.size) == 0)).sum())
    return out


def _flaws(source: Grid, target: Grid) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for name, grid in (("source", source), ("target", target)):
        said = grid.report()
        out |= {
            f"{name}_{key}": said[key] for key in ("clockwise", "bow_ties", "zero_area", "halo_copies") if key in said
        }
    return out


def _conservation(cover: np.ndarray, share: np.ndarray, ours: np.ndarray, theirs: np.ndarray) -> dict[str, Any]:
    """How well areas close: for target cells that are covered whole, source cells that are taken whole, and in all."""
    out: dict[str, Any] = {}
    for name, part, area in (("target", cover, ours), ("source", share, theirs)):
        whole = np.abs(part - 1) < 1e-6
        out[f"n_{name}_cells_whole"] = int(whole.sum())
        if whole.any():
            out[f"closure_{name}_largest_error"] = float(np.abs(part[whole] - 1).max())
            out[f"closure_{name}_total_error"] = float((part * area)[whole].sum() / area[whole].sum() - 1)
    return out
