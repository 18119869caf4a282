"""Which time steps each day of the year, or month, of a climatology is computed from."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from oceankit.anomaly import _calendar
from oceankit.anomaly._conventions import Convention

__all__ = ["Base", "Plan", "Pools", "daily", "monthly"]

_LEAP_DAY = 59
_NONE = np.empty((0, 3), np.int64)

# Below this a percentile over years says nothing, whatever its window.
_FEWEST_YEARS = 3


class Base(NamedTuple):
    """The base period: its first and last day as yyyymmdd, and what messages and attributes call it."""

    first: int
    last: int
    label: str


class Pools(NamedTuple):
    """The time steps that each entry of the climatology is computed from, as changes of a buffer (see the kernels)."""

    enter_steps: np.ndarray
    enter_slots: np.ndarray
    enter_starts: np.ndarray
    leave_slots: np.ndarray
    leave_starts: np.ndarray
    capacity: int
    order: np.ndarray
    """Entries (from 0) of the result that the pools stand for; the others are computed from their neighbours."""
    length: int


class Plan(NamedTuple):
    """How the climatology of each row is computed."""

    pools: Pools
    leap_day: str
    """What becomes of entry 59 when the others are finished, see :class:`oceankit.anomaly._conventions.Convention`."""
    around_leap_day: np.ndarray
    """(years, 3) steps of 28 and 29 February and 1 March, -1 where there is none: each year's 29 February is filled and stands
    behind the last time step, one step for each year. Empty where nothing is filled."""


def daily(days: _calendar.Days, base: Base, half_window: int, convention: Convention) -> Plan:
    """Pools of the days of the year.

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
    if convention.leap_day == "filled":
        return _spread(days, base, half_window, near.year[inside], anchors, place, convention.window == "own_year")
    first = np.searchsorted(days.number, anchors - half_window, "left")
    last = np.searchsorted(days.number, anchors + half_window, "right")
    if convention.window == "inside":
        first = np.maximum(first, np.searchsorted(days.number, anchors[0], "left"))
        last = np.minimum(last, np.searchsorted(days.number, anchors[-1], "right"))
    leaps = length == 366 and days.calendar not in ("all_leap", "366_day")
    first, last, place = (a[last > first] for a in (first, last, place))
    by_place = np.argsort(place, kind="stable")
    edges = np.searchsorted(place[by_place], np.arange(length + 1))
    order, pools = [], []
    for d in range(length):
        years = by_place[edges[d] : edges[d + 1]]
        if leaps and d == _LEAP_DAY:
            if convention.leap_day == "between" or not years.size:
                continue
        else:
            _require_years(years.size, f"day {d + 1} of the year", base, half_window)
        order.append(d)
        counts = last[years] - first[years]
        within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        pools.append(np.repeat(first[years], counts) + within)
    return Plan(_changes(pools, order, length), convention.leap_day if leaps else "", _NONE)


def _spread(
    days: _calendar.Days, base: Base, half_window: int, year: np.ndarray, number: np.ndarray, place: np.ndarray,
    own_year: bool,
) -> Plan:  # fmt: skip
    """Pools on a table of years and days of the year in which 29 February is filled for each year."""
    if np.unique(days.number).size < days.number.size:
        raise ValueError(
            "the conventions 'heatwaveR' and 'heatwave3' are defined for daily values, and the field has several in a day: "
            "take daily means first, with resample(time='D').mean(), or use convention='oliver'"
        )
    length = _calendar.year_length(days.calendar)
    table = np.full((year[-1] - year[0] + 1, length), -1)
    at = np.searchsorted(days.number, number)
    found = days.number[np.minimum(at, days.number.size - 1)] == number
    table[year - year[0], place] = np.where(found, at, -1)
    around = _NONE
    if length == 366:
        around = table[:, _LEAP_DAY - 1 : _LEAP_DAY + 2].copy()
        filled = (around >= 0).any(1)
        table[:, _LEAP_DAY] = np.where(filled, days.number.size + np.arange(len(table)), -1)
    pools = []
    for d in range(length):
        _require_years(int((table[:, d] >= 0).sum()), f"day {d + 1} of the year", base, half_window)
        near = np.arange(d - half_window, d + half_window + 1)
        beside = 0 if own_year else near // length
        rows = np.arange(len(table))[:, None] + beside
        steps = np.where((rows >= 0) & (rows < len(table)), table[np.clip(rows, 0, len(table) - 1), near % length], -1)
        pools.append(np.unique(steps[steps >= 0]))
    return Plan(_changes(pools, range(length), length), "", around)


def monthly(days: _calendar.Days, base: Base) -> Plan:
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
    return Plan(_changes(pools, range(12), 12), "", _NONE)


def _changes(pools: list[np.ndarray], order: Sequence[int], length: int) -> Pools:
    """Keep the steps that neighbouring pools share where they are, and give the others' slots to new steps."""
    n_steps = 1 + max((int(p.max()) for p in pools if p.size), default=0)
    slot_of = np.full(n_steps, -1)
    inside = np.zeros(n_steps, bool)
    before = np.empty(0, np.int64)
    free = np.empty(0, np.int64)
    capacity = 0
    entering, slots, leaving = [], [], []
    for pool in pools:
        inside[pool] = True
        gone = before[~inside[before]]
        left = slot_of[gone]
        slot_of[gone] = -1
        new = pool[slot_of[pool] < 0]
        free = np.concatenate([free, left])
        if new.size > free.size:
            more = np.arange(capacity, capacity + new.size - free.size)
            free = np.concatenate([free, more])
            capacity += more.size
        slot_of[new] = free[: new.size]
        entering.append(new)
        slots.append(free[: new.size])
        free = free[new.size :]
        # What is taken over need not be emptied first.
        leaving.append(np.intersect1d(left, free, assume_unique=True))
        inside[pool] = False
        before = pool

    def joined(parts: list[np.ndarray]) -> np.ndarray:
        return np.concatenate(parts).astype(np.uint32)

    def starts(parts: list[np.ndarray]) -> np.ndarray:
        return np.cumsum([0, *(p.size for p in parts)]).astype(np.uint32)

    columns = (joined(entering), joined(slots), starts(entering), joined(leaving), starts(leaving))
    return Pools(*columns, capacity, np.array(order, np.uint32), length)


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
