"""Days of a time axis in any CF calendar, and their place in the climatological year."""

import re
from calendar import monthrange
from collections.abc import Hashable
from typing import Any, NamedTuple

import cftime
import numpy as np
import xarray as xr

from oceankit.fields import coordinates

__all__ = [
    "Days",
    "day_of_year",
    "days_between",
    "iso",
    "number_of",
    "parse_period",
    "read",
    "require_increasing",
    "year_length",
]

_EPOCH = "days since 1970-01-01"
_MICROSECONDS_A_DAY = 86_400_000_000
# Days before each month of a leap year: 29 February is always day 60 and 1 March always day 61.
_BEFORE_MONTH = np.array([0, 31, 60, 91, 121, 152, 182, 213, 244, 274, 305, 335])
_DATE = re.compile(r"(-?\d{1,5})(?:-(\d{1,2})(?:-(\d{1,2})(?:[T ].*)?)?)?")


class Days(NamedTuple):
    """Calendar days, one per time step; ``number`` counts days since 1970-01-01, ``stamp`` microseconds since then."""

    number: np.ndarray
    stamp: np.ndarray
    year: np.ndarray
    month: np.ndarray
    day: np.ndarray
    calendar: str

    @property
    def key(self) -> np.ndarray:
        """The date as the whole number yyyymmdd, which sorts alike in every calendar."""
        return self.year * 10_000 + self.month * 100 + self.day


def read(field: xr.DataArray, name: Hashable | None) -> tuple[xr.DataArray, Days]:
    """The time coordinate of ``field`` and its days.

    Raises
    ------
    ValueError
        If there is no time along one dimension, or it was not decoded, has missing values or several calendars.
    """
    time = coordinates.find(field, "time", name=name)
    if time.ndim != 1 or time.dims[0] not in field.dims:
        raise ValueError(
            f"the time coordinate {time.name!r} of {coordinates.describe(field)} has dimensions {time.dims}; it must "
            "run along one dimension of the field: name another with time="
        )
    if time.size == 0:
        raise ValueError(f"the time coordinate {time.name!r} of {coordinates.describe(field)} is empty")
    values = time.values
    if values.dtype.kind == "M":
        if np.isnat(values).any():
            raise ValueError(f"the time coordinate {time.name!r} holds NaT: drop those steps first")
        stamp = values.astype("datetime64[us]").astype(np.int64)
        return time, _days(stamp // _MICROSECONDS_A_DAY, stamp, "proleptic_gregorian")
    if values.dtype != object or not all(isinstance(v, cftime.datetime) for v in values):
        units = time.attrs.get("units")
        raise ValueError(
            f"the time coordinate {time.name!r} holds {values.dtype} values"
            + (f" in {units!r}" if units else "")
            + ", not dates: open the file with decode_times=True, or use xarray.decode_cf or assign_coords first"
        )
    calendars = sorted({v.calendar for v in values})
    if len(calendars) > 1:
        raise ValueError(f"the time coordinate {time.name!r} mixes the calendars {calendars}: convert it to one")
    stamp = np.asarray(cftime.date2num(values, _EPOCH.replace("days", "microseconds"), calendar=calendars[0]), np.int64)
    return time, _days(stamp // _MICROSECONDS_A_DAY, stamp, calendars[0])


def number_of(key: int, calendar: str) -> int:
    """Days since 1970-01-01 of the date yyyymmdd."""
    date = cftime.datetime(key // 10_000, key // 100 % 100, key % 100, calendar=calendar)
    return int(cftime.date2num(date, _EPOCH, calendar=calendar))


def days_between(first: int, last: int, calendar: str) -> Days:
    """Every calendar day from number ``first`` to number ``last``, both included."""
    number = np.arange(first, last + 1)
    return _days(number, number * _MICROSECONDS_A_DAY, calendar)


def _days(number: np.ndarray, stamp: np.ndarray, calendar: str) -> Days:
    if calendar == "proleptic_gregorian":
        dates = number.astype("datetime64[D]")
        months = dates.astype("datetime64[M]")
        count = months.astype(np.int64)
        year, month = count // 12 + 1970, count % 12 + 1
        return Days(number, stamp, year, month, (dates - months).astype(np.int64) + 1, calendar)
    objects = cftime.num2date(number, _EPOCH, calendar=calendar)
    year, month, day = (np.array([getattr(d, part) for d in objects], np.int64) for part in ("year", "month", "day"))
    return Days(number, stamp, year, month, day, calendar)


def year_length(calendar: str) -> int:
    """Length of the climatological year: 360 for the 360-day calendar, 366 for all others."""
    return 360 if calendar == "360_day" else 366


def day_of_year(days: Days) -> np.ndarray:
    """Day of the climatological year, from 1, by month and day of the month.

    All calendars but one share the axis of a leap year, so that 1 March is day 61 whether or not the year (or the
    calendar) has a 29 February; ``360_day`` has its own axis of 12 months of 30 days.
    """
    if days.calendar == "360_day":
        return (days.month - 1) * 30 + days.day
    return _BEFORE_MONTH[days.month - 1] + days.day


def require_increasing(time: xr.DataArray, days: Days) -> None:
    """Refuse duplicated or unsorted times, naming the first of them."""
    steps = np.diff(days.stamp)
    if (steps > 0).all():
        return
    at = int(np.argmin(steps > 0))
    before, after = time.values[at], time.values[at + 1]
    if steps[at] == 0:
        remedy = f"drop_duplicates({time.dims[0]!r})"
        raise ValueError(f"the time coordinate {time.name!r} holds {after} twice: use {remedy}")
    remedy = f"sortby({time.name!r})"
    raise ValueError(f"the time coordinate {time.name!r} is not sorted: {after} follows {before}; use {remedy}")


def parse_period(period: Any) -> tuple[int, int]:
    """First and last day of a base period as yyyymmdd; a year or a month means all of its days.

    Examples
    --------
    >>> parse_period((1983, "2012-06"))
    (19830101, 20120631)
    """
    if isinstance(period, str) or not hasattr(period, "__len__") or len(period) != 2:
        raise ValueError(f"period is {period!r}; give its first and last date, as in ('1983-01-01', '2012-12-31')")
    first, last = _date_key(period[0], (1, 1)), _date_key(period[1], (12, 31))
    if first > last:
        raise ValueError(f"period {tuple(map(str, period))} ends before it begins")
    return first, last


def _date_key(bound: Any, rest: tuple[int, int]) -> int:
    # Dates of all kinds (datetime, numpy, pandas, cftime) print alike.
    found = _DATE.fullmatch(str(bound).strip()) if not isinstance(bound, bool | float) else None
    if found is None:
        raise ValueError(f"period has the bound {bound!r}; give a year, 'YYYY', 'YYYY-MM', 'YYYY-MM-DD' or a date")
    year, month, day = (int(part) if part else None for part in found.groups())
    month, day = month if month is not None else rest[0], day if day is not None else rest[1]
    if year is None or not (1 <= month <= 12 and 1 <= day <= 31):
        raise ValueError(f"period has the bound {bound!r}, which is no date")
    return year * 10_000 + month * 100 + day


def iso(key: int, calendar: str) -> str:
    """The date of a yyyymmdd key; the 31st that stands for the end of a month becomes its last day.

    Examples
    --------
    >>> iso(20080231, "standard")
    '2008-02-29'
    """
    year, month, day = key // 10_000, key // 100 % 100, key % 100
    last = 30 if calendar == "360_day" else monthrange(year, month)[1]
    return f"{year:04d}-{month:02d}-{min(day, last):02d}"
