"""Values put where there are none: from given source cells, or ring by ring from the cells beside."""

import numpy as np

from oceankit.numerics.compiling import kernel

__all__ = ["creep", "put"]


@kernel
def put(
    fields: np.ndarray, which: np.ndarray, sources: np.ndarray, weights: np.ndarray, targets: np.ndarray, out: np.ndarray
) -> None:  # fmt: skip
    """Weighted means of the ``sources`` (m, k) in the ``targets`` (m,) of the fields ``which``, where ``out`` is NaN."""
    for n in range(which.size):
        f = which[n]
        for m in range(targets.size):
            if out[f, targets[m]] != out[f, targets[m]]:
                total = full = 0.0
                for k in range(sources.shape[1]):
                    if sources[m, k] >= 0:
                        total += weights[m, k] * fields[f, sources[m, k]]
                        full += weights[m, k]
                out[f, targets[m]] = total / full if full > 0.0 else np.nan


@kernel
def creep(values: np.ndarray, start: np.ndarray, columns: np.ndarray, closed: np.ndarray, levels: int) -> None:
    """Fill one field (cells,) in place: each ring of cells beside filled ones has the mean of those filled before it.

    ``closed`` bool (cells,) are not filled; at most ``levels`` rings, all where negative.
    """
    cells = values.size
    # Ring in which each cell was filled; -1 while it is not.
    ring = np.full(cells, -1, np.int32)
    edge, beyond = np.empty(cells, np.int32), np.empty(cells, np.int32)
    n_edge = 0
    for i in range(cells):
        if values[i] == values[i]:
            ring[i] = 0
            edge[n_edge] = i
            n_edge += 1
    level = 0
    while n_edge > 0 and level != levels:
        level += 1
        n_beyond = 0
        for e in range(n_edge):
            for k in range(start[edge[e]], start[edge[e] + 1]):
                i = columns[k]
                if ring[i] < 0 and not closed[i]:
                    ring[i] = level
                    beyond[n_beyond] = i
                    n_beyond += 1
        for e in range(n_beyond):
            i = beyond[e]
            total, n = 0.0, 0
            for k in range(start[i], start[i + 1]):
                if 0 <= ring[columns[k]] < level:
                    total += values[columns[k]]
                    n += 1
            values[i] = total / n
        edge, beyond = beyond, edge
        n_edge = n_beyond
