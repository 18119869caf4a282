"""Kernels of the spells: find the runs that last, and measure values over them."""

import numpy as np

from oceankit.numerics.compiling import helper, kernel

__all__ = ["count_spells", "fill_spells", "measure_spells"]


@helper
def _scan(row: np.ndarray, min_duration: int, max_gap: int, start: np.ndarray, end: np.ndarray) -> int:
    """Number of spells in ``row``; writes their first and last step while ``start`` and ``end`` have room.

    A run shorter than ``min_duration`` is no spell, and is not counted when gaps are joined either.
    """
    found = 0
    last_end = -1
    run = 0
    for t in range(row.size + 1):
        if t < row.size and row[t]:
            run += 1
            continue
        if run >= min_duration:
            first = t - run
            if found > 0 and first - last_end - 1 <= max_gap:
                found -= 1
            elif found < start.size:
                start[found] = first
            if found < end.size:
                end[found] = t - 1
            last_end = t - 1
            found += 1
        run = 0
    return found


@kernel
def count_spells(rows: np.ndarray, min_duration: int, max_gap: int) -> np.ndarray:
    """Number of spells in each of the (n, steps) boolean ``rows``; (n,) int64."""
    counts = np.empty(rows.shape[0], np.int64)
    nowhere = np.empty(0, np.int64)
    for cell in range(rows.shape[0]):
        counts[cell] = _scan(rows[cell], min_duration, max_gap, nowhere, nowhere)
    return counts


@kernel
def fill_spells(
    rows: np.ndarray, min_duration: int, max_gap: int, counts: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Row, first and last step of each spell, by row and time: three (events,) int64 arrays.

    ``counts`` is that of :func:`count_spells` with the same options.
    """
    total = counts.sum()
    row, start, end = np.empty(total, np.int64), np.empty(total, np.int64), np.empty(total, np.int64)
    at = 0
    for cell in range(rows.shape[0]):
        after = at + counts[cell]
        if after > at:
            row[at:after] = cell
            _scan(rows[cell], min_duration, max_gap, start[at:after], end[at:after])
        at = after
    return row, start, end


@kernel
def measure_spells(
    values: np.ndarray, row: np.ndarray, start: np.ndarray, end: np.ndarray, sign: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Extreme, its step, mean and sum of (n, steps) ``values`` over each spell; NaN values do not count.

    ``sign`` is 1 where the extreme is the maximum, -1 where it is the minimum; the first of equal ones is taken.
    Three (events,) float64 arrays and an int64 one for the step: NaN, and -1, where a spell has no value at all.
    """
    n = row.size
    extreme, mean, total = np.full(n, np.nan), np.full(n, np.nan), np.full(n, np.nan)
    peak = np.full(n, -1, np.int64)
    for event in range(n):
        summed = 0.0
        valid = 0
        for t in range(start[event], end[event] + 1):
            value = np.float64(values[row[event], t])
            if np.isnan(value):
                continue
            summed += value
            valid += 1
            if peak[event] < 0 or sign * value > sign * extreme[event]:
                extreme[event] = value
                peak[event] = t
        if valid > 0:
            mean[event] = summed / valid
            total[event] = summed
    return extreme, peak, mean, total
