"""The time axis of a forecast: regular steps of hours, days or months, and where in the year each of them lies."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

__all__ = ["Axis", "axis_of", "months_of", "phase_of"]

_HOUR = np.timedelta64(1, "h")


@dataclass(frozen=True)
class Step:
    """One step: ``count`` calendar months, or a fixed ``count`` of hours."""

    unit: str  # "months" or "hours"
    count: int

    @property
    def cadence(self) -> str:
        """``monthly``, ``daily`` (a day or longer) or ``hourly`` (shorter than a day)."""
        if self.unit == "months":
            return "monthly"
        return "daily" if self.count >= 24 else "hourly"

    @property
    def label(self) -> str:
        """As in ``1 months``, ``1 days`` or ``6 hours``: what a lead of one means."""
        if self.unit == "hours" and self.count % 24 == 0:
            return f"{self.count // 24} days"
        return f"{self.count} {self.unit}"

    @property
    def units(self) -> str:
        """Units of ``lead_time`` when it counts steps of one unit, else the whole label."""
        number, unit = self.label.split()
        return unit if number == "1" else f"{number} {unit}"

    def per_year(self) -> float:
        """Steps in a year."""
        return 12 / self.count if self.unit == "months" else 365.25 * 24 / self.count


@dataclass(frozen=True)
class Axis:
    """Times of a record as whole numbers of steps, without holes."""

    times: np.ndarray  # datetime64[ns] or cftime objects
    numbers: np.ndarray  # consecutive int64, counted from a fixed origin
    step: Step
    calendar: str

    def __len__(self) -> int:
        return len(self.numbers)

    def valid(self, rows: np.ndarray, lead: int) -> np.ndarray:
        """Times ``lead`` steps after those at ``rows``, beyond the end of the axis too."""
        return shifted(self.times[rows], lead, self.step)


def axis_of(time: xr.DataArray, *, name: str = "time", like: "Axis | None" = None) -> Axis:
    """Read a regular time axis.

    Parameters
    ----------
    time
        One-dimensional times, numpy or cftime, increasing, with the same step everywhere.
    like
        An axis whose step this one must have; needed where ``time`` has one value only.

    Raises
    ------
    ValueError
        For times that repeat, go back, are missing or have steps of several lengths: named with the remedy.
    """
    values = time.values
    if values.ndim != 1 or values.size == 0:
        raise ValueError(f"{name} must be one-dimensional and not empty, got shape {values.shape}")
    accessor = time.dt
    calendar = str(accessor.calendar)
    seconds = _seconds(values)
    gaps = np.diff(seconds)
    if (gaps <= 0).any():
        k = int(np.argmax(gaps <= 0))
        raise ValueError(
            f"{name} must increase: {text(values[k + 1])} follows {text(values[k])}; sort by it and drop what repeats"
        )
    if like is not None and len(values) == 1:
        step = like.step
    else:
        step = _step(gaps, values, name)
    if step.unit == "months":
        numbers = (accessor.year.values.astype(np.int64) * 12 + accessor.month.values - 1) // step.count
    else:
        length = 3600 * step.count
        # Steps are told from the first time, so that noon is not half-way between two days.
        numbers = np.floor(seconds[0] / length + 1e-3).astype(np.int64) + np.round(
            (seconds - seconds[0]) / length
        ).astype(np.int64)
    holes = np.flatnonzero(np.diff(numbers) != 1)
    if len(holes):
        k = int(holes[0])
        raise ValueError(
            f"{name} has a hole: {text(values[k + 1])} follows {text(values[k])}, but a step is {step.label} "
            f"({len(holes)} such places). Missing steps must be there as NaN: "
            f"field.reindex({name}=...) with every step fills them in"
        )
    if like is not None and (step != like.step or calendar not in _same(like.calendar)):
        raise ValueError(
            f"{name} has steps of {step.label} in the {calendar} calendar, "
            f"the forecast was fitted on steps of {like.step.label} in the {like.calendar} calendar"
        )
    return Axis(values, numbers, step, calendar)


def shifted(times: np.ndarray, lead: int, step: Step) -> np.ndarray:
    """Times moved by ``lead`` steps; days beyond the end of a shorter month fall on its last day."""
    if step.unit == "hours":
        if times.dtype.kind == "M":
            return times + lead * step.count * _HOUR
        from datetime import timedelta

        return times + timedelta(hours=lead * step.count)
    if times.dtype.kind == "M":
        month = times.astype("datetime64[M]")
        within = times - month.astype(times.dtype)
        target = month + np.timedelta64(lead * step.count, "M")
        longest = (
            (target + np.timedelta64(1, "M")).astype("datetime64[D]")
            - np.timedelta64(1, "D")
            - target.astype("datetime64[D]")
        )
        return target.astype(times.dtype) + np.minimum(within, longest.astype(within.dtype))
    out = np.empty(len(times), dtype=object)
    for i, one in enumerate(times):
        months = one.year * 12 + one.month - 1 + lead * step.count
        first = one.replace(year=months // 12, month=months % 12 + 1, day=1)
        out[i] = first.replace(day=min(one.day, int(first.daysinmonth)))
    return out


def months_of(times: np.ndarray) -> np.ndarray:
    """Month of the year of each time, 0 to 11."""
    if times.dtype.kind == "M":
        return times.astype("datetime64[M]").astype(np.int64) % 12
    return np.asarray(xr.DataArray(times, dims="t").dt.month.values, dtype=np.int64) - 1


def phase_of(times: np.ndarray, step: Step) -> np.ndarray:
    """Where in the year each time lies, 0 to 1; months by their middle, so that their lengths do not matter."""
    accessor = xr.DataArray(times, dims="t").dt
    if step.unit == "months":
        return (accessor.month.values - 0.5) / 12
    length = np.where(accessor.is_leap_year.values, 366.0, 365.0) if accessor.calendar != "360_day" else 360.0
    if accessor.calendar in ("noleap", "365_day"):
        length = 365.0
    return (accessor.dayofyear.values - 1 + accessor.hour.values / 24) / length


def text(value: Any) -> str:
    """A time as ``2014-08-18 13:00``, without the clock at midnight."""
    shown = np.datetime_as_string(value, unit="m").replace("T", " ") if isinstance(value, np.datetime64) else str(value)
    return shown.removesuffix(" 00:00").removesuffix(" 00:00:00")


def _same(calendar: str) -> tuple[str, ...]:
    gregorian = ("standard", "gregorian", "proleptic_gregorian")
    return gregorian if calendar in gregorian else (calendar,)


def _seconds(values: np.ndarray) -> np.ndarray:
    if values.dtype.kind == "M":
        if np.isnat(values).any():
            raise ValueError("time has missing values (NaT); drop them")
        return (values - np.datetime64("1970-01-01", "ns")) / np.timedelta64(1, "s")
    import cftime

    origin = "seconds since 1970-01-01"
    return np.asarray(cftime.date2num(values, origin, calendar=values[0].calendar), dtype=float)


def _step(gaps: np.ndarray, values: np.ndarray, name: str) -> Step:
    if not len(gaps):
        raise ValueError(f"{name} has one value only ({text(values[0])}); a step cannot be told from it")
    days = np.median(gaps) / 86400
    if 27.5 <= days <= 31.5 or 88 <= days <= 93 or 359 <= days <= 366.5:
        count = 1 if days < 32 else 3 if days < 94 else 12
        if count == 1 or gaps.min() != gaps.max():
            return Step("months", count)
    hours = np.median(gaps) / 3600
    if round(hours) < 1 or abs(hours - round(hours)) > 1e-6:
        raise ValueError(
            f"{name} has steps of {np.median(gaps):g} seconds; steps must be whole hours, days or months: "
            "resample the record"
        )
    return Step("hours", round(hours))
