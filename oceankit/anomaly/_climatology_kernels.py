"""Kernels of the climatology: pooled mean and order statistics, and the periodic moving average.

Values are compared as integer keys that sort like them (:func:`sort_keys`): loops over integers are vectorised by the
compiler, loops with floating-point minima are not.
"""

import numpy as np

from oceankit.numerics.compiling import helper, kernel

__all__ = ["from_keys", "moving_average", "pooled_statistics", "sort_keys"]

# Neighbouring pools differ little, so their order statistics are few steps apart; beyond this many, sort instead.
_NEAR = 20


def sort_keys(rows: np.ndarray) -> np.ndarray:
    """Integers of the width of the float32 or float64 ``rows`` that sort like them, NaN as the greatest integer.

    Examples
    --------
    >>> bool((np.diff(sort_keys(np.array([-np.inf, -2.0, 0.0, 1e-300, np.inf, np.nan]))) > 0).all())
    True
    """
    whole = np.dtype(f"i{rows.dtype.itemsize}")
    greatest = np.iinfo(whole).max
    keys = _flip(rows.view(whole))
    keys[np.isnan(rows)] = greatest
    return keys


def from_keys(keys: np.ndarray) -> np.ndarray:
    """The values whose :func:`sort_keys` are ``keys``."""
    return _flip(keys).view(np.dtype(f"f{keys.dtype.itemsize}"))


def _flip(bits: np.ndarray) -> np.ndarray:
    # Negative floats sort backwards by their bits: turn all but the sign round. The map is its own inverse.
    return bits ^ ((bits >> (8 * bits.itemsize - 1)) & np.iinfo(bits.dtype).max)


@helper
def _count_below(keys: np.ndarray, pivot: np.integer) -> int:
    n = 0
    for i in range(keys.size):
        n += keys[i] < pivot
    return n


@helper
def _next_above(keys: np.ndarray, pivot: np.integer, greatest: np.integer) -> np.integer:
    best = greatest
    for i in range(keys.size):
        best = min(best, keys[i] if keys[i] > pivot else greatest)
    return best


@helper
def _next_below(keys: np.ndarray, pivot: np.integer, least: np.integer) -> np.integer:
    best = least
    for i in range(keys.size):
        best = max(best, keys[i] if keys[i] < pivot else least)
    return best


@helper
def _neighbours(
    keys: np.ndarray, k: int, near: np.integer, greatest: np.integer, least: np.integer
) -> tuple[np.integer, np.integer]:
    """The ``k``-th and the ``k + 1``-th smallest key, walking from the key ``near`` to its neighbours."""
    value = near
    less = _count_below(keys, value)
    for _ in range(_NEAR):
        if less > k:
            value = _next_below(keys, value, least)
            less = _count_below(keys, value)
            continue
        above = _next_above(keys, value, greatest)
        upto = _count_below(keys, above)
        if above == greatest:
            upto = keys.size
        if upto > k:
            return value, value if upto > k + 1 else above
        value, less = above, upto
    ordered = np.sort(keys)
    return ordered[k], ordered[min(k + 1, keys.size - 1)]


@kernel
def pooled_statistics(
    rows: np.ndarray,
    keys: np.ndarray,
    steps: np.ndarray,
    slots: np.ndarray,
    starts: np.ndarray,
    capacity: int,
    quantile: float,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Mean and order statistics of each row over a sequence of pools of time steps.

    A pool is a buffer whose slots are overwritten from pool to pool where it changes, in any order.

    Parameters
    ----------
    rows, keys : (n, steps) arrays
        Values and their :func:`sort_keys`.
    steps, slots : int64 arrays
        Time steps that are written to the buffer and where, one pool after the other; step -1 empties the slot.
    starts : (pools + 1,) int64 array
        Where the writes of each pool begin.
    capacity : int
        Number of slots.
    quantile : float
        Between 0 and 1.

    Returns
    -------
    mean : (n, pools) float64
        NaN where a pool holds no value.
    low, high : (n, pools) keys
        The order statistics on either side of the quantile by NumPy's linear rule, (count - 1) * quantile; the
        greatest integer where a pool holds no value.
    weight : (n, pools) float64
        Share of ``high`` in the quantile.
    """
    n_rows, n_pools = rows.shape[0], starts.size - 1
    greatest = keys.dtype.type(np.iinfo(keys.dtype).max)
    least = keys.dtype.type(np.iinfo(keys.dtype).min)
    mean, weight = np.full((n_rows, n_pools), np.nan), np.zeros((n_rows, n_pools))
    low, high = np.full((n_rows, n_pools), greatest), np.full((n_rows, n_pools), greatest)
    held = np.empty(capacity, keys.dtype)
    values = np.empty(capacity + (-capacity) % 4)
    for cell in range(n_rows):
        held[:] = greatest
        values[:] = 0.0
        count = 0
        near = least
        for pool in range(n_pools):
            for write in range(starts[pool], starts[pool + 1]):
                step, slot = steps[write], slots[write]
                count -= held[slot] != greatest
                held[slot] = greatest
                values[slot] = 0.0
                if step >= 0 and keys[cell, step] != greatest:
                    held[slot] = keys[cell, step]
                    values[slot] = rows[cell, step]
                    count += 1
            if count == 0:
                continue
            # Four sums that do not wait for each other.
            a, b, c, d = 0.0, 0.0, 0.0, 0.0
            for i in range(0, values.size, 4):
                a += values[i]
                b += values[i + 1]
                c += values[i + 2]
                d += values[i + 3]
            mean[cell, pool] = ((a + b) + (c + d)) / count
            position = (count - 1) * quantile
            k = int(position)
            near, after = _neighbours(held, k, near, greatest, least)
            low[cell, pool] = near
            high[cell, pool] = after if k + 1 < count else near
            weight[cell, pool] = position - k
    return mean, low, high, weight


@kernel
def moving_average(rows: np.ndarray, width: int) -> np.ndarray:
    """Centred moving average of odd ``width`` along periodic (n, days) rows; NaN spreads over the width."""
    n = rows.shape[1]
    half = width // 2
    out = np.empty(rows.shape)
    ring = np.empty(n + 2 * half)
    for cell in range(rows.shape[0]):
        ring[half : half + n] = rows[cell]
        ring[:half] = rows[cell, n - half :]
        ring[half + n :] = rows[cell, :half]
        for day in range(n):
            total = 0.0
            for offset in range(width):
                total += ring[day + offset]
            out[cell, day] = total / width
    return out
