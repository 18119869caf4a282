"""Greedy thinning."""

from typing import NamedTuple

import numpy as np

from oceankit.numerics.compiling import kernel
from oceankit.numerics.within import CellList, find

__all__ = ["Periods", "greedy"]


class Periods(NamedTuple):
    """The points of a CellList period by period, in each by their cells: long series at one place share a cell."""

    cells: CellList
    number: np.ndarray
    """int64 (n,): period of each point, in the caller's order; those near each other in time are at most one apart"""
    start: np.ndarray
    """int64 (periods + 1,)"""


@kernel
def greedy(ranked, points, periods, limit, times, time, depths, depth, kept):
    """Keep each point in turn, unless one that was kept before is nearer in every respect.

    Parameters
    ----------
    ranked
        int64 (n,): the points in the order in which they are looked at.
    points, periods
        float64 (n, dimensions), and their :class:`Periods`.
    limit, time, depth
        Squared distance, and the distances in time and depth, at which two points are no longer near.
    kept
        bool (n,): the result.
    """
    waiting = np.ones(ranked.size, np.bool_)
    found, squared = np.empty(256, np.int64), np.empty(256)
    cells, last = periods.cells, periods.start.size - 2
    for i in ranked:
        if not waiting[i]:
            continue
        kept[i] = True
        for p in range(max(periods.number[i] - 1, 0), min(periods.number[i] + 1, last) + 1):
            a, b = periods.start[p], periods.start[p + 1]
            part = CellList(
                cells.points[a:b], cells.order[a:b], cells.keys[a:b], cells.origin, cells.size, cells.shape, cells.reach
            )
            n = find(points[i], part, found, squared)
            if n > found.size:
                found, squared = np.empty(2 * n, np.int64), np.empty(2 * n)
                n = find(points[i], part, found, squared)
            for k in range(n):
                if squared[k] < limit:
                    j = part.order[found[k]]
                    if abs(times[j] - times[i]) < time and abs(depths[j] - depths[i]) < depth:
                        waiting[j] = False
