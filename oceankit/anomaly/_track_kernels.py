"""Kernels of tracking: measure objects, how much of them overlaps from step to step, and which event goes on in which."""

import numpy as np

from oceankit.numerics.compiling import kernel

__all__ = ["CONTINUES", "EXCHANGES", "MERGES", "SPLITS", "follow", "measure", "overlaps"]

CONTINUES, SPLITS, MERGES, EXCHANGES = 0, 1, 2, 3
"""What a link between two objects is."""


@kernel
def measure(
    labels: np.ndarray, count: int, area: np.ndarray, quantum: float, centres: np.ndarray, values: np.ndarray, sign: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:  # fmt: skip
    """Step, area, area-weighted centre, sum of values and of the area that has them, and extreme of each object.

    Parameters
    ----------
    labels : int32 (steps, cells)
        Objects 1 to ``count``, each in one step.
    area : int64 (cells,)
        In units of ``quantum``; a cell without area takes no part.
    centres : float64 (cells, 3)
    values : float (steps, cells) or (0, cells)
        NaN is skipped. The extreme is the highest where ``sign`` is 1, the lowest where it is -1.
    """
    step = np.zeros(count, np.int32)
    size = np.zeros(count, np.int64)
    vector = np.zeros((count, 3))
    total, weight, extreme = np.zeros(count), np.zeros(count), np.full(count, np.nan)
    for t in range(labels.shape[0]):
        for cell in range(labels.shape[1]):
            k = labels[t, cell] - 1
            if k < 0:
                continue
            step[k] = t
            if area[cell] == 0:
                continue
            size[k] += area[cell]
            share = area[cell] * quantum
            for axis in range(3):
                vector[k, axis] += share * centres[cell, axis]
            if values.shape[0] > 0:
                value = np.float64(values[t, cell])
                if not np.isnan(value):
                    total[k] += share * value
                    weight[k] += share
                    if not sign * value <= sign * extreme[k]:
                        extreme[k] = value
    return step, size, vector, total, weight, extreme


@kernel
def overlaps(
    last: np.ndarray, first: np.ndarray, kept_last: np.ndarray, kept_first: np.ndarray, area: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Objects that share cells in two consecutive steps (cells,), and the area shared; a pair may come several times.

    ``kept_last`` and ``kept_first`` give each label its number, 0 where it is no object.
    """
    old, new, shared = np.empty(0, np.int32), np.empty(0, np.int32), np.empty(0, np.int64)
    for writing in range(2):
        n, p, c = -1, 0, 0
        for cell in range(first.size):
            if last[cell] == 0 or first[cell] == 0:
                continue
            here, there = kept_first[first[cell]], kept_last[last[cell]]
            if here == 0 or there == 0:
                continue
            if here != c or there != p:
                n, p, c = n + 1, there, here
                if writing == 1:
                    old[n], new[n], shared[n] = p, c, 0
            if writing == 1:
                shared[n] += area[cell]
        if writing == 0:
            old, new, shared = np.empty(n + 1, np.int32), np.empty(n + 1, np.int32), np.empty(n + 1, np.int64)
    return old, new, shared


@kernel
def follow(old: np.ndarray, new: np.ndarray, n_objects: int) -> tuple[np.ndarray, np.ndarray]:
    """Event of each object, from 0 as they begin, and what each link is.

    Objects are ordered by step, links ``old`` to ``new`` by preference: one continues an event where neither of its ends is
    taken. Of the others of an object that nothing continues the first is a merge, of one that continues nothing a split,
    and all that are left exchanges.
    """
    after, before = np.full(n_objects, -1, np.int64), np.full(n_objects, -1, np.int64)
    kind = np.full(old.size, EXCHANGES, np.int8)
    for link in range(old.size):
        if after[old[link]] < 0 and before[new[link]] < 0:
            after[old[link]], before[new[link]] = new[link], old[link]
            kind[link] = CONTINUES
    merged, split = np.zeros(n_objects, np.bool_), np.zeros(n_objects, np.bool_)
    for link in range(old.size):
        p, c = old[link], new[link]
        if after[p] < 0 and not merged[p]:
            merged[p] = True
            kind[link] = MERGES
        elif before[c] < 0 and not split[c]:
            split[c] = True
            kind[link] = SPLITS
    event = np.empty(n_objects, np.int64)
    n = 0
    for k in range(n_objects):
        if before[k] >= 0:
            event[k] = event[before[k]]
        else:
            event[k] = n
            n += 1
    return event, kind
