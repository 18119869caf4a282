"""Which day's field comes when: most in time, some late, some twice, some preliminary first and corrected later.

An archive holds the final version of each day. How its days would have come is drawn for each of them from its date and a seed
alone, never from values: so nothing of a later day shows in what came before it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["Delivery", "schedule", "spoiled"]

_LATEST = {"late": 4, "again": 3, "corrected": 6}
_BIAS, _SPIKE = 0.4, 9.0  # kelvin
_SPIKE_SHARE = 0.03


@dataclass(frozen=True)
class Delivery:
    """A day's field on its way."""

    arrives: np.datetime64
    """Day on which it is there"""
    day: np.datetime64
    """Day that it shows"""
    kind: str
    """``in time``, ``late``, ``again`` (the same once more), ``preliminary`` or ``corrected``"""


def schedule(
    days: Sequence[np.datetime64] | np.ndarray,
    *,
    late: float = 0.05,
    again: float = 0.03,
    corrected: float = 0.05,
    seed: int = 0,
) -> list[Delivery]:
    """The deliveries of a stretch of days, in the order in which they come.

    Parameters
    ----------
    days
        Consecutive days (datetime64). By the last of them everything has come.
    late, again, corrected
        Shares of the days that come 1 to 4 days late, come a second time 1 to 3 days later, or come as a preliminary version with
        errors that is replaced 2 to 6 days later.
    seed
        Of the draw.

    Examples
    --------
    >>> days = np.arange("2015-08-01", "2015-09-01", dtype="M8[D]")
    >>> some = schedule(days, late=0.2, again=0.1, corrected=0.2)
    >>> sorted({d.kind for d in some}), len({d.day for d in some})
    (['corrected', 'in time', 'late', 'preliminary'], 31)
    """
    days = np.asarray(days, "M8[D]")
    found: list[Delivery] = []
    for day in days:
        rng = np.random.default_rng([seed, int(day.astype(np.int64)) & 0xFFFFFFFF])
        draw, wait = rng.random(), rng.random()

        def after(least: int, kind: str, day: np.datetime64 = day, wait: float = wait) -> Delivery:
            lag = least + int(wait * (_LATEST[kind] - least + 1))
            return Delivery(min(day + np.timedelta64(lag, "D"), days[-1]), day, kind)

        if draw < late:
            found.append(after(1, "late"))
        elif draw < late + again:
            found += [Delivery(day, day, "in time"), after(1, "again")]
        elif draw < late + again + corrected:
            found += [Delivery(day, day, "preliminary"), after(2, "corrected")]
        else:
            found.append(Delivery(day, day, "in time"))
    return sorted(found, key=lambda d: (d.arrives, d.day, d.kind == "corrected"))


def spoiled(values: np.ndarray, day: np.datetime64, seed: int) -> np.ndarray:
    """A preliminary version of a day: a little too warm or cold as a whole, and far off in a few cells."""
    rng = np.random.default_rng([seed, 1, int(day.astype("M8[D]").astype(np.int64)) & 0xFFFFFFFF])
    out = values + rng.uniform(-_BIAS, _BIAS)
    cells = rng.random(values.shape) < _SPIKE_SHARE
    return np.where(cells, out + rng.choice([-_SPIKE, _SPIKE], size=values.shape), out).astype(values.dtype)
