"""All points within a distance: a list of cells as wide as it, so that a query looks into its own and those beside.

Points come cell by cell, and in each in the caller's order: the order does not depend on who asks, nor in what order.
"""

from typing import NamedTuple

import numpy as np

from oceankit.numerics.compiling import kernel

__all__ = ["CellList", "build", "find"]

# Cells in a row of them at most, so that their numbers fit: cells are wider than asked for where there would be more.
_MOST = 2**20
# Distances are rounded: what lies on the rim is found.
_SLACK = 1e-9


class CellList(NamedTuple):
    """Points in the order of their cells."""

    points: np.ndarray
    """float64 (n, dimensions), reordered"""
    order: np.ndarray
    """int64 (n,): place of each in the caller's array"""
    keys: np.ndarray
    """int64 (n,): number of the cell of each, ascending"""
    origin: np.ndarray
    """float64 (3,): lowest coordinates; dimensions that there are not are zero"""
    size: np.ndarray
    """float64 (3,): width of the cells"""
    shape: np.ndarray
    """int64 (3,): cells along each dimension"""
    reach: float


def build(points: np.ndarray, reach: float) -> CellList:
    """Cells of points (n, at most 3 dimensions) for queries within ``reach``; none may be NaN."""
    points = np.ascontiguousarray(points, np.float64)
    if points.ndim != 2 or points.shape[1] > 3:
        raise ValueError(f"points have shape {points.shape}; give (n, at most 3 dimensions)")
    if not np.isfinite(points).all():
        raise ValueError("a point to search among is not finite; leave out points without coordinates first")
    if not reach > 0.0:
        raise ValueError(f"reach={reach}; a distance to search within is above zero")
    three = np.zeros((points.shape[0], 3))
    three[:, : points.shape[1]] = points
    origin = three.min(axis=0) if len(three) else np.zeros(3)
    extent = three.max(axis=0) - origin if len(three) else np.zeros(3)
    size = np.maximum(reach * (1.0 + _SLACK), extent / (_MOST - 1))
    cell = np.floor((three - origin) / size).astype(np.int64)
    shape = cell.max(axis=0) + 1 if len(cell) else np.ones(3, np.int64)
    keys = (cell[:, 2] * shape[1] + cell[:, 1]) * shape[0] + cell[:, 0]
    order = np.argsort(keys, kind="stable")
    return CellList(points[order], order, keys[order], origin, size, shape, reach)


@kernel
def _first_from(keys, key):
    """Place of the first key that is not below ``key``."""
    low, high = 0, keys.size
    while low < high:
        middle = (low + high) // 2
        if keys[middle] < key:
            low = middle + 1
        else:
            high = middle
    return low


@kernel
def find(query, cells, found, squared):
    """Points within reach of ``query``: their places in ``cells`` and squared distances.

    Returns how many there are, also where ``found`` has room for fewer: then ask again with more.
    """
    dims = cells.points.shape[1]
    here = np.zeros(3, np.int64)
    for d in range(dims):
        # Far beyond all points the number of a cell is of no use.
        here[d] = np.int64(min(max((query[d] - cells.origin[d]) / cells.size[d], -2.0), cells.shape[d] + 1.0) + 2.0) - 2
    limit = cells.reach * cells.reach * (1.0 + 2.0 * _SLACK)
    n = 0
    first, last = max(here[0] - 1, 0), min(here[0] + 1, cells.shape[0] - 1)
    if first > last:
        return n
    for z in range(max(here[2] - 1, 0), min(here[2] + 2, cells.shape[2])):
        for y in range(max(here[1] - 1, 0), min(here[1] + 2, cells.shape[1])):
            row = (z * cells.shape[1] + y) * cells.shape[0]
            k = _first_from(cells.keys, row + first)
            while k < cells.keys.size and cells.keys[k] <= row + last:
                distance = 0.0
                for d in range(dims):
                    step = cells.points[k, d] - query[d]
                    distance += step * step
                if distance <= limit:
                    if n < found.size:
                        found[n], squared[n] = k, distance
                    n += 1
                k += 1
    return n
