"""Intervals of scores: blocks of times resampled, all cells of a time together."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

__all__ = ["FEWEST", "default_block", "interval", "resamples"]

FEWEST = 8
"""With fewer times than this an interval would pretend to know something."""
_MEMORY = 96 * 2**20


def default_block(times: int, longest_lead: float = 1.0) -> int:
    """Length of a block where none is given: the longest lead in steps between starts, or the cube root of the number of times.

    Errors of forecasts that overlap are correlated over their lead. At least five blocks remain.

    Examples
    --------
    >>> default_block(155, 12), default_block(155, 1), default_block(20, 12)
    (12, 6, 4)
    """
    return max(1, min(max(int(np.ceil(longest_lead)), int(np.ceil(times ** (1 / 3)))), times // 5))


def resamples(times: int, *, block: int, n_boot: int, rng: Any = 0) -> np.ndarray:
    """How often each time occurs in each resample: float64 (n_boot, times), rows that add up to ``times``.

    Moving blocks (Kuensch 1989) that wrap round at the end (Politis and Romano 1992), so that the first and the last
    time occur as often as the others.

    Raises
    ------
    ValueError
        If the block is not between 1 and the number of times, or there are fewer than 2 resamples.

    Examples
    --------
    >>> resamples(6, block=3, n_boot=2).sum(axis=1).tolist()
    [6.0, 6.0]
    """
    if not isinstance(block, int | np.integer) or isinstance(block, bool) or not 1 <= block <= times:
        raise ValueError(f"block={block!r}; a block is a whole number of start times between 1 and {times}")
    if not isinstance(n_boot, int | np.integer) or n_boot < 2:
        raise ValueError(f"n_boot={n_boot!r}; give 2 or more resamples, or intervals=None for none")
    many = -(-times // block)
    starts = np.random.default_rng(rng).integers(times, size=(n_boot, many))
    drawn = ((starts[:, :, None] + np.arange(block)) % times).reshape(n_boot, -1)[:, :times]
    rows = np.arange(n_boot)[:, None] * times
    return np.bincount((rows + drawn).ravel(), minlength=n_boot * times).reshape(n_boot, times).astype(np.float64)


def interval(
    per_time: np.ndarray,
    scores: Callable[[np.ndarray], Mapping[str, np.ndarray]],
    counts: np.ndarray,
    *,
    level: float = 0.95,
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Ends of the percentile interval of each score.

    Parameters
    ----------
    per_time
        Sums of each time: (times, groups, sums).
    scores
        From sums (..., groups, sums) to scores (..., groups, *more).
    counts
        From :func:`resamples`. The same rows for two forecasts keep their differences paired.
    level
        Share of resamples inside.

    Returns
    -------
    dict
        Low and high end, each (groups, *more). NaN where the score is undefined in most resamples.

    Examples
    --------
    >>> sums = np.random.default_rng(0).normal(size=(400, 1, 1))
    >>> low, high = interval(sums, lambda s: {"mean": s[..., 0] / 400}, resamples(400, block=1, n_boot=999))["mean"]
    >>> bool(low[0] < 0 < high[0]), round(float(high[0] - low[0]), 1)
    (True, 0.2)
    """
    if not 0 < level < 1:
        raise ValueError(f"intervals={level!r}; give the share of resamples inside, such as 0.95, or None")
    times, groups, size = per_time.shape
    step = max(1, _MEMORY // (8 * size * len(counts)))
    ends: dict[str, list[np.ndarray]] = {}
    for first in range(0, groups, step):
        part = per_time[:, first : first + step]
        drawn = (counts @ part.reshape(times, -1)).reshape(len(counts), -1, size)
        for name, values in scores(drawn).items():
            ends.setdefault(name, []).append(_ends(values, level))
    joined = {name: np.concatenate(parts, axis=1) for name, parts in ends.items()}
    return {name: (both[0], both[1]) for name, both in joined.items()}


def _ends(values: np.ndarray, level: float) -> np.ndarray:
    known = np.isfinite(values)
    shares = [(1 - level) / 2, (1 + level) / 2]
    if known.all():
        return np.asarray(np.quantile(values, shares, axis=0))
    many = known.sum(axis=0)
    # NaN sorts last: quantiles of the known part by hand are far faster than nanquantile.
    ordered = np.sort(np.where(known, values, np.nan), axis=0)
    out = np.empty((2, *values.shape[1:]))
    for k, share in enumerate(shares):
        place = share * np.maximum(many - 1, 0)
        low = np.floor(place).astype(np.int64)
        high = np.minimum(low + 1, np.maximum(many - 1, 0))
        a, b = (np.take_along_axis(ordered, at[None], axis=0)[0] for at in (low, high))
        out[k] = a + (place - low) * (b - a)
    return np.where(many * 2 > len(values), out, np.nan)
