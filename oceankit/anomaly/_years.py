"""What falls into each year: values of a field, days of a category, events and their days."""

from collections.abc import Callable, Hashable
from functools import partial
from typing import Any

import cftime
import numpy as np
import xarray as xr

from oceankit.anomaly import _calendar
from oceankit.anomaly._packing import Packing
from oceankit.fields import blocks

__all__ = ["along_years", "counts_of", "days_by_year", "extremes_of", "strongest", "year_of"]

# Steps of so many days are calendar months.
_MONTH = (27.0, 32.0)


def along_years(
    kernel: Callable[..., Any],
    field: xr.DataArray,
    days: _calendar.Days,
    dim: Hashable,
    span: tuple[int, int],
    n_outputs: int,
) -> tuple[xr.DataArray, ...]:
    """Results of ``kernel(rows, starts)`` along ``year``, lazy where the field is.

    ``rows`` are the (n, steps) values of the years of ``span``, ``starts`` where each year begins that has a step; it gives
    (n_outputs, n, len(starts)) numbers. Years without a step are missing.
    """
    inside = slice(int(np.searchsorted(days.year, span[0])), int(np.searchsorted(days.year, span[1], side="right")))
    present, starts = np.unique(days.year[inside], return_index=True)
    length = span[1] - span[0] + 1
    output = blocks.Output(("year",), (length,), np.float64)
    constants = {"starts": starts, "at": present - span[0], "length": length}
    found = blocks.along(
        partial(_spread, kernel, n_outputs), field.isel({dim: inside}), [dim], [output] * n_outputs, constants=constants
    )
    return tuple(array.drop_attrs() for array in found)


def _spread(
    kernel: Callable[..., Any], n_outputs: int, rows: np.ndarray, starts: np.ndarray, at: np.ndarray, length: int
) -> Any:
    out = np.full((n_outputs, rows.shape[0], length), np.nan)
    out[:, :, at] = kernel(rows, starts)
    return tuple(out) if n_outputs > 1 else out[0]


def extremes_of(packing: Packing, rows: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Mean, maximum and minimum of the values of each year."""
    values = packing.unpacked(rows).astype(np.float64, copy=False)
    known = ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        total = np.add.reduceat(np.where(known, values, 0.0), starts, axis=1)
        mean = total / np.add.reduceat(known, starts, axis=1, dtype=np.int64)
        return np.stack([mean, np.fmax.reduceat(values, starts, axis=1), np.fmin.reduceat(values, starts, axis=1)])


def counts_of(rows: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Number of days of the categories 1 to 4 in each year."""
    return np.stack([np.add.reduceat(rows == n, starts, axis=1, dtype=np.int64) for n in range(1, 5)])


def year_of(dates: xr.DataArray) -> np.ndarray:
    """Calendar years of dates of any calendar.

    Raises
    ------
    ValueError
        If these are no dates.
    """
    if dates.size == 0:
        return np.zeros(0, np.int64)
    if dates.dtype.kind != "M" and not hasattr(dates.values[0], "calendar"):
        raise ValueError(
            f"{dates.name} holds {dates.dtype} values, not dates: decode the file of the events (xarray.decode_cf)"
        )
    return dates.dt.year.values.astype(np.int64)


def days_by_year(events: xr.Dataset) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Which event, which year and how many steps of the event lie in it.

    The steps between first and last are of equal length, or calendar months.
    """
    year, duration = year_of(events["start"]), events["duration"].values.astype(np.int64)
    which = np.arange(year.size)
    if year.size == 0:
        return which, year, duration
    beyond = year_of(events["end"]) - year
    span = np.arange(year.min(), year.max() + beyond.max() + 2)
    start, end, first_of = _seconds(events["start"].values, events["end"].values, span)
    month = events["start"].dt.month.values
    steps = np.maximum(duration - 1, 1)
    monthly = (end - start >= _MONTH[0] * 86400 * steps) & (end - start <= _MONTH[1] * 86400 * steps)
    found, before = [], np.zeros_like(duration)
    for k in range(int(beyond.max()) + 1):
        # Steps before the first of January that follows: rounded up, in whole numbers.
        until = first_of[year + k + 1 - span[0]] - start
        regular = -(-until * steps // np.maximum(end - start, 1))
        ended = np.clip(np.where(monthly, 12 * (k + 1) + 1 - month, regular), 0, duration)
        ended = np.where(k >= beyond, duration, ended)
        here = ended > before
        found.append((which[here], (year + k)[here], (ended - before)[here]))
        before = ended
    of, when, count = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return of, when, count


def _seconds(start: np.ndarray, end: np.ndarray, years: np.ndarray) -> tuple[np.ndarray, ...]:
    """Dates and the first of January of each year, in seconds."""
    if start.dtype.kind == "M":
        january = (years - 1970).astype("datetime64[Y]")
        return tuple(v.astype("datetime64[s]").astype(np.int64) for v in (start, end, january))
    calendar = start[0].calendar
    january = np.array([cftime.datetime(int(y), 1, 1, calendar=calendar) for y in years], dtype=object)
    units = "seconds since 1970-01-01"
    return tuple(
        np.asarray(cftime.date2num(v, units, calendar=calendar)).astype(np.int64) for v in (start, end, january)
    )


def strongest(values: np.ndarray, place: np.ndarray, size: int, kind: Any) -> np.ndarray:
    """The greatest value at each of so many places; of cold spells the lowest, and of events that do not say what they are
    the farthest from 0.
    """
    ranked = np.abs(values) if kind is None else -values if kind == "cold spells" else values
    order = np.argsort(ranked, kind="stable")
    order = order[~np.isnan(values[order])]
    out = np.full(size, np.nan)
    out[place[order]] = values[order]  # the last that is written to a place stays
    return out
