"""Statistics of the values that fall in each cell; values that are NaN are left out."""

import numpy as np

from oceankit.numerics.compiling import kernel

__all__ = ["count", "greatest", "least", "mean", "median", "place_in_axis", "sort_by_cell"]


@kernel
def sort_by_cell(cells: np.ndarray, start: np.ndarray, columns: np.ndarray) -> None:
    """Count the places of each cell in ``start[cell + 1]`` (``columns`` empty), or write them in order from ``start[cell]``.

    ``cells`` int64 (places,), negative for places in none; in the end ``start[cell]`` has moved on to the next cell's.
    """
    for k in range(cells.size):
        if cells[k] >= 0:
            if columns.size == 0:
                start[cells[k] + 1] += 1
            else:
                columns[start[cells[k]]] = k
                start[cells[k]] += 1


@kernel
def place_in_axis(
    at: np.ndarray, low: np.ndarray, high: np.ndarray, west: float, period: float, out: np.ndarray
) -> None:
    """The interval [low, high) that holds each position, -1 where none does; the last one also has its upper end.

    ``low`` rises. With a ``period`` (0 for none) positions count in the turn from ``west``, which a last interval that
    ends a turn further on leaves to the first.
    """
    n = low.size
    for k in range(at.size):
        x = at[k]
        out[k] = -1
        if x != x:
            continue
        if period > 0.0:
            # Only moved where it has to be, so that a position on an edge stays on it to the last bit.
            if x < west or x >= west + period:
                x -= period * np.floor((x - west) / period)
            if x >= west + period:
                x -= period
        a, b = 0, n
        while a < b:
            middle = (a + b) // 2
            if low[middle] <= x:
                a = middle + 1
            else:
                b = middle
        last = a - 1
        if last >= 0 and (x < high[last] or (last == n - 1 and x == high[last])):
            out[k] = last


@kernel
def mean(fields: np.ndarray, start: np.ndarray, columns: np.ndarray, strict: bool, out: np.ndarray) -> None:
    """Means, ``out`` (n, cells) of ``fields`` (n, places); sums are float64."""
    for f in range(fields.shape[0]):
        for i in range(start.size - 1):
            total, n = 0.0, 0
            for k in range(start[i], start[i + 1]):
                value = fields[f, columns[k]]
                if value == value:
                    total += value
                    n += 1
            whole = not strict or n == start[i + 1] - start[i]
            out[f, i] = total / n if n > 0 and whole else np.nan


@kernel
def least(fields: np.ndarray, start: np.ndarray, columns: np.ndarray, strict: bool, out: np.ndarray) -> None:
    """Smallest values, as :func:`mean`."""
    for f in range(fields.shape[0]):
        for i in range(start.size - 1):
            best, n = np.inf, 0
            for k in range(start[i], start[i + 1]):
                value = fields[f, columns[k]]
                if value == value:
                    best = min(best, value)
                    n += 1
            whole = not strict or n == start[i + 1] - start[i]
            out[f, i] = best if n > 0 and whole else np.nan


@kernel
def greatest(fields: np.ndarray, start: np.ndarray, columns: np.ndarray, strict: bool, out: np.ndarray) -> None:
    """Largest values, as :func:`mean`."""
    for f in range(fields.shape[0]):
        for i in range(start.size - 1):
            best, n = -np.inf, 0
            for k in range(start[i], start[i + 1]):
                value = fields[f, columns[k]]
                if value == value:
                    best = max(best, value)
                    n += 1
            whole = not strict or n == start[i + 1] - start[i]
            out[f, i] = best if n > 0 and whole else np.nan


@kernel
def _select(values: np.ndarray, n: int, k: int) -> float:
    """The k-th smallest of the first ``n`` values, which are put in two halves around it (quickselect)."""
    low, high = 0, n - 1
    while low < high:
        pivot = values[(low + high) // 2]
        i, j = low, high
        while i <= j:
            while values[i] < pivot:
                i += 1
            while values[j] > pivot:
                j -= 1
            if i <= j:
                values[i], values[j] = values[j], values[i]
                i += 1
                j -= 1
        # Between the two meeting points all values are the pivot.
        if k <= j:
            high = j
        elif k >= i:
            low = i
        else:
            low = high
    return values[k]


@kernel
def median(fields: np.ndarray, start: np.ndarray, columns: np.ndarray, strict: bool, out: np.ndarray) -> None:
    """Medians, as :func:`mean`; of an even number of values the mean of the two in the middle."""
    most = 0
    for i in range(start.size - 1):
        most = max(most, start[i + 1] - start[i])
    held = np.empty(most)
    for f in range(fields.shape[0]):
        for i in range(start.size - 1):
            n = 0
            for k in range(start[i], start[i + 1]):
                value = fields[f, columns[k]]
                if value == value:
                    held[n] = value
                    n += 1
            if n == 0 or (strict and n < start[i + 1] - start[i]):
                out[f, i] = np.nan
                continue
            middle = _select(held, n, n // 2)
            if n % 2 == 0:
                below = -np.inf
                for k in range(n // 2):
                    below = max(below, held[k])
                middle = 0.5 * below + 0.5 * middle
            out[f, i] = middle


@kernel
def count(fields: np.ndarray, start: np.ndarray, columns: np.ndarray, out: np.ndarray) -> None:
    """Numbers of values that are there, ``out`` (n, cells) of ``fields`` (n, places)."""
    for f in range(fields.shape[0]):
        for i in range(start.size - 1):
            n = 0
            for k in range(start[i], start[i + 1]):
                value = fields[f, columns[k]]
                n += 1 if value == value else 0
            out[f, i] = n
