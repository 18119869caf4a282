"""Kernels of the climatology: mean and order statistics of sliding pools of time steps, and the periodic moving average.

Cells lie side by side, as in maps, and several are taken at once (:mod:`oceankit.numerics.ranks`). Neighbouring pools share
most of their values, so a pool is a buffer in which a few are replaced, and the search for its quantile begins where that of
the last pool ended.
"""

import numpy as np

from oceankit.numerics import ranks
from oceankit.numerics.compiling import helper, kernel

__all__ = ["changes_of_pools", "moving_average", "pooled_floats", "pooled_integers", "trends_within"]


@kernel
def changes_of_pools(steps, starts, n_steps):
    """Keep the steps that neighbouring pools share in their slots of a buffer, and give the others' slots to new steps.

    Parameters
    ----------
    steps : (n,) int64
        Time steps of the pools, one after the other.
    starts : (pools + 1,) int64
        Where those of each pool begin, and the end.
    n_steps : int
        Number of time steps.

    Returns
    -------
    enter_steps, enter_slots, enter_starts, leave_slots, leave_starts, capacity
        As :func:`pooled_integers` takes them.
    """
    pools = starts.size - 1
    slot_of, last_in = np.full(n_steps, -1, np.int64), np.full(n_steps, -1, np.int64)
    free, n_free, capacity = np.empty(steps.size, np.uint32), 0, 0
    enter_steps, enter_slots, entered = np.empty(steps.size, np.uint32), np.empty(steps.size, np.uint32), 0
    leave_slots, left = np.empty(steps.size, np.uint32), 0
    enter_starts, leave_starts = np.zeros(pools + 1, np.uint32), np.zeros(pools + 1, np.uint32)
    for pool in range(pools):
        for n in range(starts[pool], starts[pool + 1]):
            last_in[steps[n]] = pool
        empty = n_free
        for n in range(starts[max(pool - 1, 0)], starts[pool]):
            step = steps[n]
            if last_in[step] != pool:
                free[n_free] = slot_of[step]
                n_free += 1
                slot_of[step] = -1
        for n in range(starts[pool], starts[pool + 1]):
            step = steps[n]
            if slot_of[step] < 0:
                if n_free > 0:
                    n_free -= 1
                    slot_of[step] = free[n_free]
                else:
                    slot_of[step] = capacity
                    capacity += 1
                enter_steps[entered], enter_slots[entered] = step, slot_of[step]
                entered += 1
        # What is taken over need not be emptied first.
        for n in range(empty, n_free):
            leave_slots[left] = free[n]
            left += 1
        enter_starts[pool + 1], leave_starts[pool + 1] = entered, left
    return (
        enter_steps[:entered].copy(),
        enter_slots[:entered].copy(),
        enter_starts,
        leave_slots[:left].copy(),
        leave_starts,
        capacity,
    )


@helper
def _between(low, high, weight):
    """NumPy's linear interpolation of a quantile, with its order of operations."""
    step = high - low
    value = low + step * weight if weight < 0.5 else high - step * (1.0 - weight)
    return low if low == high else value


@helper
def _targets(whole, real, quantile, n):
    """The ranks from whose values the quantile is interpolated; none where nothing is held."""
    for lane in range(n):
        count = whole[ranks.COUNT * n + lane]
        position = (count - 1) * quantile
        k = np.int64(position)
        real[ranks.SHARE * n + lane] = position - k
        whole[ranks.TARGET * n + lane] = k + 1 if count > 0 else 0


@helper
def _exchange_pool(
    pool, columns, first, enter_steps, enter_slots, enter_starts, leave_slots, leave_starts, nothing, held, missing, other, whole
):  # fmt: skip
    """What leaves is taken over by missing values."""
    values, steps = nothing
    ranks.exchange(
        values, 0, steps, leave_slots, leave_starts[pool], leave_starts[pool + 1], held, missing, other, whole
    )
    ranks.exchange(
        columns,
        first,
        enter_steps,
        enter_slots,
        enter_starts[pool],
        enter_starts[pool + 1],
        held,
        missing,
        other,
        whole,
    )


@kernel
def pooled_integers(
    columns, missing, other, scale, offset, enter_steps, enter_slots, enter_starts, leave_slots, leave_starts, capacity, order,
    length, quantile,
):  # fmt: skip
    """Mean and quantile of packed integers over a sequence of pools of time steps.

    A pool is a buffer with slots; from pool to pool some are emptied and some are filled.

    Parameters
    ----------
    columns : (steps, n) array of int16 or int32
        At least as many cells as go side by side (:func:`~oceankit.numerics.ranks.cells_of`), next to each other in memory.
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
    mean, level : (length, n) float64
        NaN where a pool holds no value, and where there is no pool.
    lost : bool
        Whether a value was the greatest integer of its type and was taken for missing: wider ones must be given then.
    """
    cells, n = columns.shape[1], ranks.cells_of(columns)
    mean, level = np.full((length, cells), np.nan), np.full((length, cells), np.nan)
    held = np.empty((capacity, n), columns.dtype)
    whole, real = np.zeros(ranks.WHOLE * n, np.int64), np.ones(ranks.REAL * n)
    missing, other = columns.dtype.type(missing), columns.dtype.type(other)
    nothing = np.full((1, n), missing, columns.dtype), np.zeros(leave_slots.size, np.uint32)
    lost = False
    for group in range(0, cells, n):
        first = min(group, cells - n)
        ranks.empty(held, whole)
        for pool in range(order.size):
            _exchange_pool(
                pool, columns, first, enter_steps, enter_slots, enter_starts, leave_slots, leave_starts, nothing, held,
                missing, other, whole,
            )  # fmt: skip
            _targets(whole, real, quantile, n)
            ranks.find(held, whole, real)
            at = order[pool]
            for lane in range(n):
                count, target = whole[ranks.COUNT * n + lane], whole[ranks.TARGET * n + lane]
                low = whole[ranks.FOUND * n + lane] * scale + offset
                high = whole[ranks.AFTER * n + lane] * scale + offset
                value = _between(low, high if target < count else low, real[ranks.SHARE * n + lane])
                mean[at, first + lane] = (
                    whole[ranks.SUM * n + lane] / max(count, 1) * scale + offset if count > 0 else np.nan
                )
                level[at, first + lane] = value if count > 0 else np.nan
        for lane in range(n):
            lost |= whole[ranks.LOST * n + lane] > 0
    return mean, level, lost


@kernel
def pooled_floats(
    columns, bits, enter_steps, enter_slots, enter_starts, leave_slots, leave_starts, capacity, order, length, quantile
):
    """The same of float32 or float64 ``columns``, in which NaN is missing; ``bits`` are integers of the same width."""
    cells, n = columns.shape[1], ranks.cells_of(columns)
    mean, level = np.full((length, cells), np.nan), np.full((length, cells), np.nan)
    held = np.empty((capacity, n), bits.dtype)
    whole, real = np.zeros(ranks.WHOLE * n, np.int64), np.ones(ranks.REAL * n)
    missing = columns.dtype.type(np.nan)
    nothing = np.full((1, n), missing, columns.dtype), np.zeros(leave_slots.size, np.uint32)
    for group in range(0, cells, n):
        first = min(group, cells - n)
        ranks.empty(held, whole)
        for pool in range(order.size):
            _exchange_pool(
                pool, columns, first, enter_steps, enter_slots, enter_starts, leave_slots, leave_starts, nothing, held,
                missing, missing, whole,
            )  # fmt: skip
            _targets(whole, real, quantile, n)
            ranks.find(held, whole, real)
            ranks.as_values(columns, whole, real)
            ranks.totals(columns, held, real)
            at = order[pool]
            for lane in range(n):
                count, target = whole[ranks.COUNT * n + lane], whole[ranks.TARGET * n + lane]
                low, high = real[ranks.FOUND_VALUE * n + lane], real[ranks.AFTER_VALUE * n + lane]
                value = _between(low, high if target < count else low, real[ranks.SHARE * n + lane])
                mean[at, first + lane] = real[ranks.TOTAL * n + lane] / max(count, 1) if count > 0 else np.nan
                level[at, first + lane] = value if count > 0 else np.nan
    return mean, level


@kernel
def moving_average(columns: np.ndarray, width: int) -> np.ndarray:
    """Centred moving average of odd ``width`` along periodic (days, n) columns; NaN spreads over the width."""
    days, n = columns.shape
    out = np.zeros(columns.shape)
    for day in range(days):
        for offset in range(day - width // 2, day - width // 2 + width):
            row = columns[offset % days]
            for cell in range(n):
                out[day, cell] += row[cell]
        for cell in range(n):
            out[day, cell] /= width
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
