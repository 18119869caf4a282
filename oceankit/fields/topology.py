"""How the rows and columns of a curvilinear grid join: across the seam, at a tripolar fold, in halos."""

from typing import NamedTuple

import numpy as np

__all__ = ["Topology", "circular_order", "of_lattice"]


class Topology(NamedTuple):
    """Neighbourhood of an (ny, nx) lattice of centres beyond its own edges."""

    wraps: bool
    """The last column is next to the first."""
    fold: np.ndarray | None
    """int64 (nx,): beyond the last row, column i continues in column fold[i] of that same row."""
    halo: np.ndarray
    """bool (ny, nx): copies of cells that stand elsewhere in the grid"""
    periodic: bool
    """Closed in longitude, by wrapping or by halo columns."""


def of_lattice(points: np.ndarray) -> Topology:
    """Topology of centres given as unit vectors (ny, nx, 3); NaN where there is none."""
    ny, nx = points.shape[:2]
    halo = np.zeros((ny, nx), bool)
    if ny < 2 or nx < 4:
        return Topology(False, None, halo, False)
    with np.errstate(invalid="ignore"):
        spacing = _median(np.linalg.norm(points[:, 1:] - points[:, :-1], axis=-1))
        seam = _median(np.linalg.norm(points[:, -1] - points[:, 0], axis=-1))
        rows = _median(np.linalg.norm(points[-1] - points[-2], axis=-1))
    columns = [0, 1, nx - 2, nx - 1]
    halo[:, columns] |= _copies(points[:, columns])
    # A whole column of copies is a halo; single coincidences (a degenerate seam) are not.
    for c in columns:
        halo[:, c] &= halo[:, c].mean() > 0.5
    copied_columns = halo.any()
    top = slice(max(0, ny - 3), ny)
    halo[top] |= _copies(points[top])
    wraps = bool(not copied_columns and 0.0 < seam <= 2.0 * spacing and nx * spacing > 1.0)
    fold = _fold(points[-1], rows) if wraps else None
    return Topology(wraps, fold, halo, bool(wraps or copied_columns))


def _median(values: np.ndarray) -> float:
    values = values[np.isfinite(values)]
    return float(np.median(values)) if values.size else np.nan


def _copies(points: np.ndarray) -> np.ndarray:
    """Points that another one before them equals to about 10 m, those at the poles apart."""
    flat = points.reshape(-1, 3)
    usable = np.isfinite(flat[:, 0]) & (np.abs(flat[:, 2]) < 1 - 1e-9)
    keys = np.round(np.where(usable[:, None], flat, 0.0) / 2e-6).astype(np.int64)
    code = (keys[:, 0] * 1_000_003 + keys[:, 1]) * 1_000_003 + keys[:, 2]
    code = np.where(usable, code, np.iinfo(np.int64).min + np.arange(code.size))
    _, first = np.unique(code, return_index=True)
    copies = np.ones(code.size, bool)
    copies[first] = False
    return copies.reshape(points.shape[:-1])


def _fold(top: np.ndarray, row_spacing: float) -> np.ndarray | None:
    """The mirror image of the last row in itself, if that is what lies beyond it."""
    n = top.shape[0]
    if not np.isfinite(top).all():
        return None
    columns = np.arange(n)
    gaps = [np.linalg.norm(top - top[(shift - columns) % n], axis=1).mean() for shift in range(n)]
    shift = int(np.argmin(gaps))
    # A row around the pole is no fold: its mirror images are all about as far away as its far side.
    if not 0.0 < gaps[shift] <= 2.0 * row_spacing or gaps[shift] > 0.5 * float(np.mean(gaps)):
        return None
    return (shift - columns) % n


def circular_order(lon: np.ndarray) -> tuple[np.ndarray, np.ndarray, bool]:
    """An axis of longitudes as a walk eastwards that starts after its widest gap.

    Returns
    -------
    order : int64 (n,)
        ``lon[order]`` goes eastwards.
    values : float64 (n,)
        The same longitudes, rising without jumps and less than 360 degrees in all.
    closed : bool
        Whether the gap is no wider than one and a half steps, so that the axis closes on itself.
    """
    around = np.mod(lon, 360.0)
    order = np.argsort(around, kind="stable")
    values = around[order]
    gaps = np.append(np.diff(values), values[0] + 360.0 - values[-1])
    widest = int(np.argmax(gaps))
    closed = bool(values.size > 2 and gaps[widest] <= 1.5 * np.median(gaps))
    if closed:
        # No gap to speak of: start where the user's axis starts, if it goes eastwards from there.
        widest = (int(np.flatnonzero(order == 0)[0]) - 1) % order.size
    order = np.roll(order, -(widest + 1))
    values = around[order]
    values = values + 360.0 * np.cumsum(np.append(False, np.diff(values) < 0))
    return order, values, closed
