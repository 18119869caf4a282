"""Options of windows, checked; periods of a record, set apart."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from oceankit.forecast._record import as_period
from oceankit.forecast._steps import text
from oceankit.forecast._window_source import Source

__all__ = ["apart", "leads_of", "names_of", "pair_of", "period_rows", "seasonal_names", "whole"]


def whole(name: str, value: Any, least: int) -> int:
    """A whole number of at least ``least``."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise ValueError(f"{name}={value!r} must be a whole number of at least {least}")
    return int(value)


def leads_of(leads: Any) -> tuple[int, ...]:
    """Leads: whole steps from 1, increasing."""
    found = tuple(whole("leads", lead, 1) for lead in (leads if np.iterable(leads) else (leads,)))
    if not found or list(found) != sorted(set(found)):
        raise ValueError(f"leads={list(found)} must increase and have one step at least, as range(1, 13)")
    return found


def pair_of(name: str, value: Any) -> tuple[int, int]:
    """Two numbers of cells."""
    if not isinstance(value, Sequence) or len(value) != 2:
        raise ValueError(f"{name}={value!r} must be two numbers of cells, as (32, 32)")
    return whole(name, value[0], 1), whole(name, value[1], 1)


def names_of(names: Sequence[str] | str) -> list[str]:
    """One name or several."""
    return [names] if isinstance(names, str) else [str(n) for n in names]


def seasonal_names(season: Any, source: Source, scaling: Any) -> list[str]:
    """Names of variables whose seasonal mean is subtracted."""
    names = [*source.fields, *source.series]
    if season is False or season is None:
        return []
    if scaling is None:
        raise ValueError("season is subtracted by the scaling: choose scaling='cell' or 'pooled'")
    if season is True:
        return names
    wanted = names_of(season)
    if set(wanted) - set(names):
        raise ValueError(f"season names {sorted(set(wanted) - set(names))}; the inputs and targets are {names}")
    return wanted


def period_rows(source: Source, period: Any, *, what: str = "period") -> slice:
    """Rows of a period; a range is rows already."""
    if period is None:
        return slice(0, len(source.axis))
    if isinstance(period, range):
        return slice(period.start, period.stop)
    rows = as_period(period, source.axis, what=what)
    return slice(int(rows[0]), int(rows[-1]) + 1)


def apart(spans: dict[str, slice], gap: int, source: Source) -> dict[str, range]:
    """Periods with ``gap`` steps or more between them: the first steps of the later one are left out.

    Raises
    ------
    ValueError
        For periods that overlap, or of which nothing is left.
    """
    out: dict[str, range] = {}
    before: tuple[str, slice] | None = None
    for name, rows in sorted(spans.items(), key=lambda item: item[1].start):
        start = rows.start
        if before is not None:
            last = before[1].stop
            if start < last:
                raise ValueError(
                    f"{name} begins at {text(source.axis.times[start])}, before {before[0]} ends at "
                    f"{text(source.axis.times[last - 1])}; periods must not overlap"
                )
            start = max(start, last + gap)
        if start >= rows.stop:
            raise ValueError(
                f"nothing is left of {name} after a gap of {gap} steps behind {before[0] if before else ''}; choose a "
                "longer period or a shorter gap="
            )
        out[name] = range(start, rows.stop)
        before = (name, rows)
    return {name: out[name] for name in spans}
