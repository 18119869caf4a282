"""How the rows and columns of a curvilinear grid join: across the seam, at a tripolar fold, in halos."""

from typing import Any, NamedTuple

import numpy as np

from oceankit.numerics.sphere import unit_vectors

__all__ = ["Topology", "circular_order", "none", "of_lattice"]


class Topology(NamedTuple):
    """Neighbourhood of a lattice of centres beyond its own edges.

    It is told of the *canonical* lattice: longitude along the second axis, a fold beyond the last row, and without
    columns that are copies of others; :meth:`canonical` brings an array of the grid's shape into that form.
    """

    wraps: bool
    """The last column of the canonical lattice is next to the first."""
    fold: np.ndarray | None
    """int64: beyond the last row of the canonical lattice, column i continues in column fold[i] of that same row."""
    halo: np.ndarray
    """bool, the grid's shape: copies of cells that stand elsewhere in the grid"""
    columns: np.ndarray
    """int64: the columns of the transposed and flipped grid that are no copies"""
    same_as: np.ndarray
    """int64: for each column before copies were left out, its place in the canonical lattice"""
    transposed: bool = False
    flipped: bool = False

    @property
    def periodic(self) -> bool:
        """Closed in longitude, by wrapping or by halo columns."""
        return self.wraps

    def canonical(self, array: np.ndarray) -> np.ndarray:
        """An array (first axis, second axis, ...) of the grid as the canonical lattice."""
        array = np.swapaxes(array, 0, 1) if self.transposed else array
        return (array[::-1] if self.flipped else array)[:, self.columns]

    def original(self, array: np.ndarray) -> np.ndarray:
        """The way back from :meth:`canonical`; copies get what they are copies of."""
        array = array[:, self.same_as]
        array = array[::-1] if self.flipped else array
        return np.swapaxes(array, 0, 1) if self.transposed else array


def none(shape: tuple[int, ...]) -> Topology:
    """Of a grid that joins nowhere."""
    columns = np.arange(shape[-1])
    return Topology(False, None, np.zeros(shape, bool), columns, columns)


class _Lattice:
    """Centres in degrees (ny, nx), of which unit vectors are made where they are looked at."""

    def __init__(self, lon: np.ndarray, lat: np.ndarray) -> None:
        self.lon, self.lat, self.shape = lon, lat, lon.shape

    def __getitem__(self, at: Any) -> np.ndarray:
        return unit_vectors(self.lon[at], self.lat[at])

    def part(self, at: Any) -> "_Lattice":
        return _Lattice(self.lon[at], self.lat[at])


def of_lattice(lon: np.ndarray, lat: np.ndarray) -> Topology:
    """Topology of centres (ny, nx) in degrees, stored in any direction; NaN where there is none."""
    found = _along_columns(_Lattice(lon, lat))
    if found.wraps:
        return found
    turned = _along_columns(_Lattice(lon.T, lat.T))
    if not turned.wraps:
        return found
    return turned._replace(transposed=True, halo=np.ascontiguousarray(turned.halo.T))


def _along_columns(points: _Lattice) -> Topology:
    """Topology if longitude runs along the second axis."""
    ny, nx = points.shape
    if ny < 2 or nx < 4:
        return none((ny, nx))
    halo = np.zeros((ny, nx), bool)
    ends = [0, 1, nx - 2, nx - 1]
    halo[:, ends] = _copies(points[:, ends])
    # A whole column of copies is a halo; single coincidences (a degenerate seam) are not.
    halo[:, halo.mean(axis=0) <= 0.5] = False
    columns = np.flatnonzero(~halo.any(axis=0))
    kept = points.part((slice(None), columns)) if columns.size < nx else points
    with np.errstate(invalid="ignore"):
        # Some rows tell what is usual as well as all of them.
        some = kept[:: max(1, ny // 16)]
        spacing = _median(np.linalg.norm(some[:, 1:] - some[:, :-1], axis=-1))
        seam = _median(np.linalg.norm(kept[:, -1] - kept[:, 0], axis=-1))
    wraps = bool(0.0 < seam <= 2.0 * spacing and columns.size * spacing > 1.0)
    same_as = np.searchsorted(columns, np.arange(nx)).clip(max=columns.size - 1)
    for c in np.flatnonzero(halo.any(axis=0)):
        same_as[c] = int(np.nanargmin(np.nanmean(np.linalg.norm(kept[:] - points[:, c : c + 1], axis=-1), axis=0)))
    found = Topology(wraps, None, halo, columns, same_as)
    for flipped in (False, True):
        rows = kept.part(slice(None, None, -1)) if flipped else kept
        copies = _copies(rows[-3:]) if ny > 3 else np.zeros((min(3, ny), columns.size), bool)
        # Beyond a fold at least half a row stands a second time; scattered coincidences (at a pole of the grid) count too.
        if copies.any():
            halo[np.ix_(np.arange(3) if flipped else np.arange(ny - 3, ny), columns)] |= (
                copies[::-1] if flipped else copies
            )
        fold = _fold(rows[-1], _median(np.linalg.norm(rows[-1] - rows[-2], axis=-1))) if wraps else None
        if found.fold is None and fold is not None:
            found = found._replace(fold=fold, flipped=flipped)
    return found


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
        Whether the gap is no wider than one and a half of the steps beside it, so that the axis closes on itself.
    """
    around = np.mod(lon, 360.0)
    order = np.argsort(around, kind="stable")
    values = around[order]
    gaps = np.append(np.diff(values), values[0] + 360.0 - values[-1])
    widest = int(np.argmax(gaps))
    beside = max(gaps[widest - 1], gaps[(widest + 1) % gaps.size])
    closed = bool(values.size > 2 and gaps[widest] <= 1.5 * beside)
    if closed:
        # No gap to speak of: start where the user's axis starts, if it goes eastwards from there.
        widest = (int(np.flatnonzero(order == 0)[0]) - 1) % order.size
    order = np.roll(order, -(widest + 1))
    values = around[order]
    values = values + 360.0 * np.cumsum(np.append(False, np.diff(values) < 0))
    return order, values, closed
