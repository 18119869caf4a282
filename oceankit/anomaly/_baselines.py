"""Baselines that move: a trend that is taken out, or a base period that shifts from year to year."""

from collections.abc import Hashable
from typing import NamedTuple

import numpy as np
import xarray as xr

from oceankit.anomaly import _calendar
from oceankit.anomaly._packing import unpacked
from oceankit.fields import blocks

__all__ = ["BASELINES", "YEAR", "Trend", "detrended", "shifted_periods", "tabulated"]

BASELINES = ("fixed", "detrended", "shifting")
YEAR = "year"
"""The dimension of a shifting climatology: the years for which its entries hold."""

_DAY = 86_400e6


class Trend(NamedTuple):
    """What a trend is fitted to."""

    days: np.ndarray
    """float64 (steps,): from the middle of the base period."""
    places: np.ndarray
    """int64 (steps,): place in the year, -1 outside of the base period."""
    length: int

    @classmethod
    def of(cls, days: _calendar.Days, first: int, last: int, place: np.ndarray, length: int) -> tuple["Trend", str]:
        """The trend over a base period (yyyymmdd), and the date at its middle."""
        inside = (days.key >= first) & (days.key <= last)
        middle = int(days.number[inside].mean())
        reference = _calendar.days_between(middle, middle, days.calendar)
        label = _calendar.iso(int(reference.key[0]), days.calendar)
        return cls(days.stamp / _DAY - middle, np.where(inside, place, -1), length), label


def detrended(variable: xr.DataArray, clim: xr.Dataset, days: _calendar.Days, dim: Hashable) -> xr.DataArray:
    """The field as float64 without the trend of a detrended climatology; as it is for other climatologies."""
    if "trend" not in clim:
        return variable
    reference = _calendar.parse_period((clim.attrs["trend_reference"], clim.attrs["trend_reference"]))[0]
    since = xr.DataArray(days.stamp / _DAY - _calendar.number_of(reference, days.calendar), dims=[dim])
    values = unpacked(variable)
    out = (values.astype(np.float64) - clim["trend"].drop_vars(list(clim["trend"].coords)) * since).transpose(
        *variable.dims
    )
    return out.rename(variable.name).assign_attrs(values.attrs)


def shifted_periods(first: int, last: int, days: _calendar.Days) -> dict[int, tuple[str, str]]:
    """For each year from the one after the base period (yyyymmdd bounds), the period of as many years that ends before it."""
    periods: dict[int, tuple[str, str]] = {}
    year = last // 10_000 + 1
    while days.key[-1] // 100 >= (last + (year - 1 - last // 10_000) * 10_000) // 100:
        shift = year - 1 - last // 10_000
        periods[year] = (_bound(first, shift), _bound(last, shift))
        year += 1
    return periods


def _bound(key: int, years: int) -> str:
    year, month, day = key // 10_000 + years, key // 100 % 100, key % 100
    return f"{year:04d}-{month:02d}-{day:02d}"


def tabulated(
    clim: xr.Dataset, name: str, by: str | None, days: _calendar.Days, places: np.ndarray
) -> tuple[xr.DataArray, np.ndarray]:
    """A statistic of a climatology with one dimension for the year, last, and the place of each day along it.

    Raises
    ------
    ValueError
        If a shifting climatology ends before the days do.
    """
    statistic = clim[name].drop_vars(list(clim[name].coords)).astype(np.float64, copy=False)
    dim = by or "dayofyear"
    if YEAR not in statistic.dims:
        if dim not in statistic.dims:
            statistic = statistic.expand_dims({dim: clim.sizes[by] if by else 1})
        return statistic.transpose(..., dim), places
    years = clim[YEAR].values
    if days.year.max() > years[-1]:
        raise ValueError(
            f"the shifting climatology holds until {years[-1]}, and the field has days of {days.year.max()}: make it again from "
            "data that reach the year before"
        )
    row = np.maximum(days.year - years[0], 0)
    cells = [d for d in statistic.dims if d not in (YEAR, dim)]
    wide = statistic.transpose(*cells, YEAR, dim)
    table = wide.stack({"_place": (YEAR, dim)}, create_index=False).rename({"_place": dim})
    return table.chunk({dim: -1}) if blocks.is_lazy(table) else table, row * clim.sizes[dim] + places
