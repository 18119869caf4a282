"""The cells around each observation."""

import numpy as np

from oceankit.numerics.compiling import kernel
from oceankit.numerics.within import find

__all__ = ["collect", "count"]


@kernel
def count(queries, cells, counts):
    """How many points of a :class:`~oceankit.numerics.within.CellList` are within its reach of each query."""
    found, squared = np.empty(0, np.int64), np.empty(0)
    for i in range(queries.shape[0]):
        counts[i] = find(queries[i], cells, found, squared)


@kernel
def collect(queries, cells, start, numbers):
    """Their places in the caller's array, ascending, into ``numbers[start[i]:start[i + 1]]``."""
    for i in range(queries.shape[0]):
        n = start[i + 1] - start[i]
        found, squared = np.empty(n, np.int64), np.empty(n)
        find(queries[i], cells, found, squared)
        numbers[start[i] : start[i + 1]] = np.sort(cells.order[found])
