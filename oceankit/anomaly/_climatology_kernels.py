"""Kernels of the climatology: mean and order statistics of sliding pools of time steps, and the periodic moving average.

Values are compared as integer keys that sort like them: stored integers as they are, floats by their bits
(:func:`sort_keys`). Neighbouring pools share most of their values, so a pool is a buffer in which a few keys are replaced, and
the search for its quantile begins where that of the last pool ended (:mod:`oceankit.numerics.ranks`).
"""

import numpy as np

from oceankit.numerics.compiling import helper, kernel
from oceankit.numerics.ranks import LANES, census, kth, total

__all__ = ["moving_average", "pooled_floats", "pooled_integers", "sort_keys", "trends_within"]


def sort_keys(rows: np.ndarray) -> np.ndarray:
    """Integers of the width of the float32 or float64 ``rows`` (n, steps) that sort like them, NaN as the greatest integer.

    Examples
    --------
    >>> bool((np.diff(sort_keys(np.array([[-np.inf, -2.0, 0.0, 1e-300, np.inf, np.nan]]))) > 0).all())
    True
    """
    whole = np.dtype(f"i{rows.dtype.itemsize}")
    return _keys(rows, rows.view(whole), whole.type(np.iinfo(whole).max), whole.type(8 * whole.itemsize - 1))


@kernel
def _keys(rows, bits, greatest, sign_bit):
    keys = np.empty_like(bits)
    for cell in range(rows.shape[0]):
        for step in range(rows.shape[1]):
            # Negative floats sort backwards by their bits: turn all but the sign round.
            turned = bits[cell, step] ^ ((bits[cell, step] >> sign_bit) & greatest)
            keys[cell, step] = greatest if np.isnan(rows[cell, step]) else turned
    return keys


@helper
def _between(low, high, weight):
    """NumPy's linear interpolation of a quantile, with its order of operations."""
    if low == high:
        return low
    step = high - low
    return low + step * weight if weight < 0.5 else high - step * (1.0 - weight)


@kernel
def pooled_integers(
    rows, missing, other, scale, offset, enter_steps, enter_slots, enter_starts, leave_slots, leave_starts, capacity, order,
    length, quantile,
):  # fmt: skip
    """Mean and quantile of packed integers over a sequence of pools of time steps.

    A pool is a buffer with slots; from pool to pool some are emptied and some are filled.

    Parameters
    ----------
    rows : (n, steps) array
        Signed integers that lie below the greatest of their type, unless missing.
    missing, other : int
        What stands for missing.
    scale, offset : float
        ``value = scale * stored + offset``; the scale is positive.
    enter_steps, enter_slots, enter_starts : uint32 arrays
        Time steps that enter and the slots that they take over, one pool after the other, and where those of each pool begin.
    leave_slots, leave_starts : uint32 arrays
        Slots that are emptied and not taken over.
    capacity : int
        Number of slots.
    order : uint32 (pools,) array
        Places of the pools in the result.
    length : int
        Size of the result.
    quantile : float
        Between 0 and 1, by NumPy's linear rule: at (count - 1) * quantile between the order statistics.

    Returns
    -------
    mean, level : (n, length) float64
        NaN where a pool holds no value, and where there is no pool.
    """
    n_rows = rows.shape[0]
    greatest = rows.dtype.type(np.iinfo(rows.dtype).max)
    mean, level = np.full((n_rows, length), np.nan), np.full((n_rows, length), np.nan)
    held = np.empty(capacity + (-capacity) % LANES, rows.dtype)
    row = np.empty(rows.shape[1], rows.dtype)
    for cell in range(n_rows):
        for step in range(row.size):
            stored = rows[cell, step]
            row[step] = greatest if (stored == missing) | (stored == other) else stored
        held[:] = greatest
        near, gap = np.int64(0), np.int64(1)
        for pool in range(order.size):
            for leaving in range(leave_starts[pool], leave_starts[pool + 1]):
                held[leave_slots[leaving]] = greatest
            for entry in range(enter_starts[pool], enter_starts[pool + 1]):
                held[enter_slots[entry]] = row[enter_steps[entry]]
            count, summed = census(held)
            if count == 0:
                continue
            position = (count - 1) * quantile
            k = int(position)
            found, near, gap = kth(held, k, near, gap)
            low = found * scale + offset
            high = near * scale + offset if k + 1 < count else low
            mean[cell, order[pool]] = summed / count * scale + offset
            level[cell, order[pool]] = _between(low, high, position - k)
    return mean, level


@kernel
def pooled_floats(
    rows, keys, enter_steps, enter_slots, enter_starts, leave_slots, leave_starts, capacity, order, length, quantile
):
    """The same of float32 or float64 ``rows`` with their :func:`sort_keys`."""
    n_rows = rows.shape[0]
    greatest = keys.dtype.type(np.iinfo(keys.dtype).max)
    mean, level = np.full((n_rows, length), np.nan), np.full((n_rows, length), np.nan)
    slots = capacity + (-capacity) % LANES
    held, values = np.empty(slots, keys.dtype), np.empty(slots)
    bits = np.empty(2, keys.dtype)
    floats = bits.view(rows.dtype)
    for cell in range(n_rows):
        row, key = rows[cell], keys[cell]
        held[:] = greatest
        values[:] = 0.0
        near, gap = np.int64(0), np.int64(1)
        for pool in range(order.size):
            for leaving in range(leave_starts[pool], leave_starts[pool + 1]):
                slot = leave_slots[leaving]
                held[slot] = greatest
                values[slot] = 0.0
            for entry in range(enter_starts[pool], enter_starts[pool + 1]):
                step, slot = enter_steps[entry], enter_slots[entry]
                held[slot] = key[step]
                values[slot] = row[step] if key[step] != greatest else 0.0
            count, _ = census(held)
            if count == 0:
                continue
            position = (count - 1) * quantile
            k = int(position)
            found, near, gap = kth(held, k, near, gap)
            bits[0] = found
            bits[1] = near if k + 1 < count else found
            for n in range(2):
                if bits[n] < 0:  # as in _keys
                    bits[n] ^= greatest
            mean[cell, order[pool]] = total(values) / count
            level[cell, order[pool]] = _between(np.float64(floats[0]), np.float64(floats[1]), position - k)
    return mean, level


@kernel
def moving_average(rows: np.ndarray, width: int) -> np.ndarray:
    """Centred moving average of odd ``width`` along periodic (n, days) rows; NaN spreads over the width."""
    n = rows.shape[1]
    half = width // 2
    out = np.zeros(rows.shape)
    ring = np.empty(n + 2 * half)
    for cell in range(rows.shape[0]):
        ring[half : half + n] = rows[cell]
        ring[:half] = rows[cell, n - half :]
        ring[half + n :] = rows[cell, :half]
        for offset in range(width):
            for day in range(n):
                out[cell, day] += ring[day + offset]
        for day in range(n):
            out[cell, day] /= width
    return out


@kernel
def trends_within(rows, days, places, length):
    """Slope of each row with time, by least squares about the mean of each place: the season does not enter.

    Parameters
    ----------
    rows : (n, steps) float64
        NaN is missing.
    days : (steps,) float64
    places : (steps,) int64
        Day of the year (or month) of each step, from 0 to below ``length``; negative ones do not count.

    Returns
    -------
    (n,) float64
        Per unit of ``days``; NaN where there are no two values of a place.
    """
    out = np.full(rows.shape[0], np.nan)
    number, value, time = np.empty(length), np.empty(length), np.empty(length)
    for cell in range(rows.shape[0]):
        row = rows[cell]
        number[:] = 0.0
        value[:] = 0.0
        time[:] = 0.0
        for step in range(row.size):
            place = places[step]
            if place >= 0 and not np.isnan(row[step]):
                number[place] += 1.0
                value[place] += row[step]
                time[place] += days[step]
        together, alone = 0.0, 0.0
        for step in range(row.size):
            place = places[step]
            if place >= 0 and not np.isnan(row[step]):
                departure = days[step] - time[place] / number[place]
                together += departure * (row[step] - value[place] / number[place])
                alone += departure * departure
        if alone > 0.0:
            out[cell] = together / alone
    return out
