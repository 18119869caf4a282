"""Which time steps each day of the year, or month, of a climatology is computed from."""

from typing import NamedTuple

import numpy as np

from oceankit.anomaly import _calendar
from oceankit.anomaly._climatology_kernels import changes_of_pools
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
    order = np.arange(length)
    if leaps and (convention.leap_day == "between" or edges[_LEAP_DAY] == edges[_LEAP_DAY + 1]):
        order = np.delete(order, _LEAP_DAY)
        by_place = np.delete(by_place, slice(edges[_LEAP_DAY], edges[_LEAP_DAY + 1]))
    for d in np.flatnonzero(np.diff(edges) < _FEWEST_YEARS):
        if not (leaps and d == _LEAP_DAY):
            _require_years(int(edges[d + 1] - edges[d]), f"day {d + 1} of the year", base, half_window)
    counts = (last - first)[by_place]
    ends = np.cumsum(counts)
    steps = np.arange(ends[-1]) + np.repeat(first[by_place] - (ends - counts), counts)
    sizes = np.bincount(place[by_place], counts, length).astype(np.int64)[order]
    return Plan(_changes(steps, sizes, order, length), convention.leap_day if leaps else "", _NONE)


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
    return Plan(_changes_of(pools, length), "", around)


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
    return Plan(_changes_of(pools, 12), "", _NONE)


def _changes_of(pools: list[np.ndarray], length: int) -> Pools:
    sizes = np.array([p.size for p in pools])
    return _changes(np.concatenate(pools), sizes, np.arange(len(pools)), length)


def _changes(steps: np.ndarray, sizes: np.ndarray, order: np.ndarray, length: int) -> Pools:
    """Pools, given one after the other with their sizes, as changes from each to the next."""
    starts = np.concatenate([[0], np.cumsum(sizes)])
    n_steps = 1 + int(steps.max(initial=0))
    entering, slots, enter_starts, leaving, leave_starts, capacity = changes_of_pools(steps, starts, n_steps)
    return Pools(entering, slots, enter_starts, leaving, leave_starts, capacity, order.astype(np.uint32), length)


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
