"""Bilinear and bicubic weights from rectilinear sources: one small set per axis.

Bilinear is the patch through four centres in space, met by the ray through the target, as in ESMF. On a rectilinear
source that splits: the share in longitude is tan over tan, whatever the latitude, and the share in latitude depends on
the longitude only through how far the chord between two centres dips below their parallel.
"""

from typing import Any, NamedTuple

import numpy as np
import scipy.sparse

from oceankit.fields.grid import Edges, Grid
from oceankit.fields.topology import circular_order
from oceankit.numerics.separable import Axes, make
from oceankit.numerics.sparse import Rows, from_fixed
from oceankit.regridding.operators import Operator, Separable, from_scipy, of_axes

__all__ = ["bicubic", "bilinear"]

# Beyond this a chord is no neighbour of its parallel; shares are then linear in longitude.
_WIDEST = 60.0


class _Source(NamedTuple):
    """The axes of a source in the order in which they rise, and where its rows and columns stand in the field."""

    lon: np.ndarray
    lon_order: np.ndarray
    lat: np.ndarray
    """With those of rows made for the poles."""
    row: np.ndarray
    """Extended row of each latitude."""
    front: int
    made: np.ndarray
    wraps: bool
    planar: bool
    flat: bool
    """Whether shares are linear in degrees (or on a plane), not those of the patch in space."""


def bilinear(source: Grid, target: Grid, *, periodic: bool, pole: str | None, edges: Edges) -> Operator:
    """Between the four centres around each target centre; ``pole="mean"`` closes the caps with the mean of the last row."""
    return _operator(
        target, _bilinear_axes(_source(source, periodic, "mean" if pole else None, edges), target, source.shape)
    )


def bicubic(source: Grid, target: Grid, *, periodic: bool, pole: str | None) -> Operator:
    """Cubic Hermite between the four centres on each axis, with slopes of the parabola through three centres.

    Beyond a pole lie the rows on its far side. Where one of the sixteen values is missing, the bilinear weights serve.
    """
    smooth = _bicubic_axes(_source(source, periodic, "across" if pole else None), target, source.shape)
    plain = _bilinear_axes(_source(source, periodic, "mean" if pole else None), target, source.shape)
    return _operator(target, smooth, plain)


def _operator(target: Grid, axes: Axes, instead: Axes | None = None) -> Operator:
    if target.kind == "rectilinear":
        return Separable(axes, instead)
    # Places in any order: the n-th row of the one axis goes with the n-th of the other.
    number = np.arange(axes.lat.shape[0])
    return of_axes(axes, instead, number, number)


# ---- the source's axes ----------------------------------------------------------------------------------------------


def _source(source: Grid, periodic: bool, pole: str | None, edges: Edges = "great_circle") -> _Source:
    flat = source.planar or edges == "latitude"
    lat_order = np.argsort(source.lat.values)
    lat = np.asarray(source.lat.values, np.float64)[lat_order]
    if source.planar:
        lon_order = np.argsort(source.lon.values)
        lon = np.asarray(source.lon.values, np.float64)[lon_order]
    else:
        lon_order, lon, _ = circular_order(np.asarray(source.lon.values, np.float64))
    wraps = periodic and not source.planar
    falls = bool(lat.size > 1 and lat_order[0] > lat_order[-1])
    if not (pole and wraps and lat.size > 1):
        return _Source(lon, lon_order, lat, lat_order, 0, np.empty((0, 2), np.int64), wraps, source.planar, flat)
    half = lon.size // 2
    uniform = lon.size % 2 == 0 and np.ptp(np.diff(lon)) < 1e-6 and abs(lon[-1] - lon[0] + lon[1] - lon[0] - 360) < 1e-6
    ends = [
        _beyond(lat, lat_order, pole if uniform else "mean", half),
        _beyond(-lat[::-1], lat_order[::-1], pole if uniform else "mean", half),
    ]
    south, north = ends[0], (-ends[1][0][::-1], ends[1][1][::-1])
    first, last = (north, south) if falls else (south, north)
    front = first[0].size
    made = (
        np.concatenate([first[1][:: -1 if falls else 1], last[1][:: -1 if falls else 1]])
        .reshape(-1, 2)
        .astype(np.int64)
    )
    extended = np.concatenate([south[0], lat, north[0]])
    n = extended.size
    row = np.arange(n)[::-1] if falls else np.arange(n)
    return _Source(lon, lon_order, extended, row, front, made, wraps, source.planar, flat)


def _beyond(lat: np.ndarray, order: np.ndarray, pole: str, half: int) -> tuple[np.ndarray, np.ndarray]:
    """Latitudes of the rows made beyond the first of a rising axis, and what they are made of."""
    gap, step = lat[0] + 90.0, lat[1] - lat[0]
    none = np.empty(0), np.empty((0, 2), np.int64)
    # Where the last row's cells reach the pole; a grid that ends at 60 degrees has no cap to close.
    if gap > 1.01 * step or (gap <= 0.0 and pole == "mean"):
        return none
    if pole == "mean":
        return np.array([-90.0]), np.array([[order[0], -1]])
    # A row (nearly) at the pole is its own mirror image: twice within a hair it would make slopes of rounding errors.
    over = [1, 0] if gap > 0.25 * step else [1]
    return -180.0 - lat[over], np.array([[order[k], half] for k in over])


# ---- bilinear -------------------------------------------------------------------------------------------------------


def between(at: np.ndarray, axis: np.ndarray, *, wraps: bool, angular: bool) -> tuple[np.ndarray, ...]:
    """The interval of a rising axis that each position is in.

    Returns places of its two ends, its width, the position from its start, and whether there is one at all.
    """
    slack = 1e-10 * max(1.0, float(np.abs(axis).max()))
    if angular:
        # Into the one turn that starts at the axis; a hair before its start is its start.
        at = axis[0] + np.mod(at - axis[0] + slack, 360.0) - slack
    n = axis.size
    lower = np.searchsorted(axis, at, side="right") - 1
    if not wraps:
        lower = np.where(np.abs(at - axis[-1]) <= slack, max(n - 2, 0), lower)
    lower = np.where(np.abs(at - axis[0]) <= slack, 0, lower)
    inside = (
        np.isfinite(at) & (lower >= 0) & (lower < (n if wraps else n - 1) if n > 1 else np.abs(at - axis[0]) <= slack)
    )
    low = np.clip(lower, 0, n - 1)
    high = (low + 1) % n
    width = axis[high] - axis[low]
    width = np.where(high < low, width + 360.0, width) if wraps else np.where(high < low, 0.0, width)
    offset = np.clip(np.where(inside, at - axis[low], 0.0), 0.0, width)
    return low, high, width, offset, inside


def _lon_shares(at: np.ndarray, axes: _Source) -> tuple[np.ndarray, ...]:
    """Places of two columns, share of the second, dip of the chord there, and whether inside."""
    low, high, width, offset, inside = between(at, axes.lon, wraps=axes.wraps, angular=not axes.planar)
    with np.errstate(invalid="ignore", divide="ignore"):
        share = np.where(width > 0, offset / width, 0.0)
        if axes.flat:
            return low, high, share, np.zeros(share.shape), inside
        half, beside = np.radians(width / 2), np.radians(offset - width / 2)
        curved = (width > 0) & (width < _WIDEST)
        share = np.where(curved, 0.5 * (1 + np.tan(beside) / np.tan(half)), share)
        dip = np.where(curved, np.cos(half) / np.cos(beside) - 1, 0.0)
    return low, high, _snap(share), np.where(np.abs(dip) < 1e-15, 0.0, dip), inside


def _snap(share: np.ndarray) -> np.ndarray:
    """Exactly 0 or 1 where rounding left it beside: a place on a row has no weight off the row."""
    return np.where(share < 1e-12, 0.0, np.where(share > 1 - 1e-12, 1.0, share))


def _lat_shares(at: np.ndarray, axes: _Source) -> tuple[Any, ...]:
    """Places of two rows, share of the second as a series in the dip, and whether inside.

    With c, s cosine and sine of the rows' latitudes, and r one plus the dip, the ray at latitude a meets the patch at
    t = (r sin a c0 - cos a s0) / (cos a (s1 - s0) - r sin a (c1 - c0)).
    """
    low, high, width, offset, inside = between(at, axes.lat, wraps=False, angular=False)
    if axes.flat:
        with np.errstate(invalid="ignore", divide="ignore"):
            share = np.where(width > 0, offset / width, 0.0)
        return low, high, (share, np.zeros(share.shape), np.zeros(share.shape)), inside
    a, p0, p1 = (np.radians(v) for v in (axes.lat[low] + offset, axes.lat[low], axes.lat[high]))
    sa, ca, s0, c0, s1, c1 = np.sin(a), np.cos(a), np.sin(p0), np.cos(p0), np.sin(p1), np.cos(p1)
    single = (width <= 0) | (offset <= 0)
    top, top1 = sa * c0 - ca * s0, sa * c0
    bottom, bottom1 = np.where(single, 1.0, ca * (s1 - s0) - sa * (c1 - c0)), -sa * (c1 - c0)

    # The first terms of its series in the dip, which is a few 1e-5 at one degree.
    turn = np.where(single, 0.0, top1 * bottom - top * bottom1)
    series = np.where(single, 0.0, _snap(top / bottom)), turn / bottom**2, -turn * bottom1 / bottom**3
    return low, high, series, inside


def _bilinear_axes(axes: _Source, target: Grid, shape: tuple[int, ...]) -> Axes:
    i0, i1, share, dip, inside = _lon_shares(target.lon.values.ravel(), axes)
    lon = _pairs(axes.lon_order[i0], axes.lon_order[i1], share, inside, shape[1])
    j0, j1, series, inside = _lat_shares(target.lat.values.ravel(), axes)
    lat = _pairs(axes.row[j0], axes.row[j1], series[0], inside, axes.lat.size)
    order = np.argsort(np.stack([axes.row[j0], axes.row[j1]], axis=1), axis=1)
    bend = [np.take_along_axis(np.stack([-part, part], axis=1), order, axis=1) for part in series[1:]]
    # Entries that are nothing without a dip may be something with it, so both stay where the dip counts.
    keep = np.stack([1 - series[0], series[0]], axis=1) != 0.0
    keep = np.take_along_axis(keep & inside[:, None], order, axis=1)
    bend_values = np.stack([lat.values, *(part[keep] for part in bend)])
    bend_values = bend_values if dip.any() else bend_values[:1]
    return make(lat, lon, front=axes.front, made=axes.made, bend=bend_values, column_bend=dip)


def _pairs(first: np.ndarray, second: np.ndarray, share: np.ndarray, inside: np.ndarray, size: int) -> Rows:
    """Rows of two entries in ascending order of column."""
    columns, values = np.stack([first, second], axis=1), np.stack([1 - share, share], axis=1)
    order = np.argsort(columns, axis=1)
    columns, values = (np.take_along_axis(v, order, axis=1) for v in (columns, values))
    return from_fixed(np.where(inside[:, None], columns, -1), values, size)


# ---- bicubic --------------------------------------------------------------------------------------------------------


def _bicubic_axes(axes: _Source, target: Grid, shape: tuple[int, ...]) -> Axes:
    lon = _cubic(target.lon.values.ravel(), axes.lon, wraps=axes.wraps, angular=not axes.planar)
    lat = _cubic(target.lat.values.ravel(), axes.lat, wraps=False, angular=False)
    lon, lat = _renumbered(lon, axes.lon_order, shape[1]), _renumbered(lat, axes.row, axes.lat.size)
    return make(lat, lon, front=axes.front, made=axes.made)


def _cubic(at: np.ndarray, axis: np.ndarray, *, wraps: bool, angular: bool) -> scipy.sparse.csr_array:
    """Cubic Hermite weights (positions, axis)."""
    low, high, width, offset, inside = between(at, axis, wraps=wraps, angular=angular)
    n, m = axis.size, at.size
    with np.errstate(invalid="ignore", divide="ignore"):
        t = np.where(width > 0, offset / width, 0.0) * inside
    number = np.arange(m)

    def two(first: np.ndarray, second: np.ndarray) -> scipy.sparse.csr_array:
        values = np.concatenate([first, second]) * np.tile(inside, 2)
        return scipy.sparse.csr_array((values, (np.tile(number, 2), np.concatenate([low, high]))), shape=(m, n))

    values = two((1 + 2 * t) * (1 - t) ** 2, t**2 * (3 - 2 * t))
    if n < 3:
        return two(1 - t, t)
    slopes = two(t * (1 - t) ** 2 * width, -(t**2) * (1 - t) * width)
    out = values + slopes @ _slopes(axis, wraps)
    out.eliminate_zeros()
    return out


def _slopes(axis: np.ndarray, wraps: bool) -> scipy.sparse.csr_array:
    """Slope at each node of the parabola through it and its neighbours; at an open end, of that through the last three."""
    n = axis.size
    centre = np.arange(n) if wraps else np.clip(np.arange(n), 1, n - 2)
    nodes = np.stack([centre - 1, centre, centre + 1])
    x = axis[nodes % n] + 360.0 * (nodes // n)
    at = axis[None]
    rows, values = np.tile(np.arange(n), 3), []
    for k in range(3):
        a, b = x[(k + 1) % 3], x[(k + 2) % 3]
        values.append(((at[0] - a) + (at[0] - b)) / ((x[k] - a) * (x[k] - b)))
    return scipy.sparse.csr_array((np.concatenate(values), (rows, (nodes % n).ravel())), shape=(n, n))


def _renumbered(matrix: scipy.sparse.csr_array, order: np.ndarray, size: int) -> Rows:
    turned = scipy.sparse.csr_array((matrix.data, order[matrix.indices], matrix.indptr), shape=(matrix.shape[0], size))
    return from_scipy(turned)
