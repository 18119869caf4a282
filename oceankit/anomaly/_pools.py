"""Which time steps each day of the year, or month, of a climatology is computed from."""

from typing import NamedTuple

import numpy as np

from oceankit.anomaly import _calendar

__all__ = ["Base", "Pools", "daily", "monthly"]

# Below this a percentile over years says nothing, whatever its window.
_FEWEST_YEARS = 3


class Base(NamedTuple):
    """The base period: its first and last day as yyyymmdd, and what messages and attributes call it."""

    first: int
    last: int
    label: str


class Pools(NamedTuple):
    """The time steps that each entry of the climatology is computed from, as writes to a buffer (see the kernel)."""

    steps: np.ndarray
    slots: np.ndarray
    starts: np.ndarray
    capacity: int


def daily(days: _calendar.Days, base: Base, half_window: int) -> tuple[Pools, np.ndarray]:
    """Pools of the days of the year, and the days (from 0) that they stand for.

    A pool is made of the time steps within ``half_window`` days of each occurrence of its day in the base period.

    Raises
    ------
    ValueError
        If the base period reaches out of the data, or has data in too few years.
    """
    length = _calendar.year_length(days.calendar)
    step = max(1.0, float(np.median(np.diff(days.stamp))) / 86_400e6) if days.number.size > 1 else 1.0
    # A year beyond the data on either side: enough to see that the period reaches out of them.
    near = _calendar.days_between(days.number[0] - 366, days.number[-1] + 366, days.calendar)
    inside = (near.key >= base.first) & (near.key <= base.last)
    anchors, place = near.number[inside], _calendar.day_of_year(near)[inside] - 1
    covered = anchors.size and days.number[0] - anchors[0] < step and anchors[-1] - days.number[-1] < step
    _require_covered(bool(covered), base, days)
    first = np.searchsorted(days.number, anchors - half_window, "left")
    last = np.searchsorted(days.number, anchors + half_window, "right")
    interpolated = length == 366 and days.calendar not in ("all_leap", "366_day")
    order = np.array([d for d in range(length) if not (interpolated and d == 59)])
    pools = []
    for d in order:
        years = np.flatnonzero((place == d) & (last > first))
        _require_years(years.size, f"day {d + 1} of the year", base, half_window)
        pools.append(np.concatenate([np.arange(first[y], last[y]) for y in years]))
    return _writes(pools), order


def monthly(days: _calendar.Days, base: Base) -> Pools:
    """Pools of the months: all steps of the base period in each.

    Raises
    ------
    ValueError
        As :func:`daily`.
    """
    months = days.key // 100
    _require_covered(bool(months[0] <= base.first // 100 and months[-1] >= base.last // 100), base, days)
    inside = (days.key >= base.first) & (days.key <= base.last)
    pools = []
    for month in range(1, 13):
        steps = np.flatnonzero(inside & (days.month == month))
        _require_years(np.unique(days.year[steps]).size, f"month {month}", base)
        pools.append(steps)
    return _writes(pools)


def _writes(pools: list[np.ndarray]) -> Pools:
    """Keep the steps that neighbouring pools share where they are, and give the others' slots to new steps."""
    steps: list[int] = []
    slots: list[int] = []
    starts = [0]
    place: dict[int, int] = {}
    free: list[int] = []
    capacity = 0
    for pool in pools:
        now = set(pool.tolist())
        left = [place.pop(s) for s in sorted(place.keys() - now)]
        free += left
        for step in sorted(now - place.keys()):
            if not free:
                free.append(capacity)
                capacity += 1
            place[step] = free.pop()
            steps.append(step)
            slots.append(place[step])
        unused = set(free)
        emptied = [slot for slot in left if slot in unused]
        steps += [-1] * len(emptied)
        slots += emptied
        starts.append(len(steps))
    return Pools(np.array(steps, np.int64), np.array(slots, np.int64), np.array(starts, np.int64), capacity)


def _require_covered(covered: bool, base: Base, days: _calendar.Days) -> None:
    if not covered:
        first, last = (_calendar.iso(int(days.key[end]), days.calendar) for end in (0, -1))
        raise ValueError(
            f"the base period {base.label} is not covered by the data, which run from {first} to {last}: "
            "choose a period inside them"
        )


def _require_years(years: int, what: str, base: Base, half_window: int | None = None) -> None:
    if years < _FEWEST_YEARS:
        near = "" if half_window is None else f" (or within {half_window} days of it)"
        remedy = "" if half_window is None else ", a wider half_window, or by='month' for monthly fields"
        raise ValueError(
            f"the base period {base.label} has data in {years} years for {what}{near}, and at least "
            f"{_FEWEST_YEARS} are needed: choose a longer period{remedy}"
        )
