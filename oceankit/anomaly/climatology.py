"""Day-of-year and monthly climatologies: what is normal, and what is rare, at each time of the year."""

import re
from collections.abc import Hashable
from typing import Any, Literal

import numpy as np
import xarray as xr

from oceankit.anomaly import _baselines, _calendar, _pools
from oceankit.anomaly._climatology_kernels import (
    moving_average,
    pooled_floats,
    pooled_integers,
    trends_within,
)
from oceankit.anomaly._conventions import named
from oceankit.anomaly._packing import ATTRIBUTES, UNPACKED, Packing, packing_of
from oceankit.anomaly._units import SAMPLES, Guard, guard_of
from oceankit.fields import blocks, coordinates
from oceankit.fields.coordinates import describe
from oceankit.numerics.lanes import lanes_of
from oceankit.numerics.transposing import as_rows

__all__ = ["climatology", "one_variable", "source_file"]

By = Literal["dayofyear", "month"]

_WINDOW, _SMOOTH = 5, 31
# Attributes of the field that describe its values and not those of a statistic.
_OF_THE_VALUES = ("actual_range", "valid_min", "valid_max", "valid_range", "cell_methods", *ATTRIBUTES)


def climatology(
    field: xr.DataArray | xr.Dataset,
    *,
    period: Any,
    by: By = "dayofyear",
    half_window: int = _WINDOW,
    smooth: int | None = _SMOOTH,
    percentile: float = 90,
    convention: str = "oliver",
    baseline: str = "fixed",
    time: Hashable | None = None,
) -> xr.Dataset:
    """Mean and percentile of a field at each time of the year over a base period.

    By day of the year after Hobday et al. (2016): for each day of the year, the values within ``half_window`` days of it are
    pooled over the years of the base period, and their mean and percentile (NumPy's linear rule) are taken; a periodic moving
    average over ``smooth`` days comes last. What the definition leaves open is settled by ``convention``. Days
    are counted by date, so a gap in the time axis is missing data and nothing shifts;
    sub-daily values all enter the pool of their day.

    Parameters
    ----------
    field
        Any dimensions besides time, lazy or not; NaN is missing. Packed integers of at most 16 bits (``scale_factor``,
        ``add_offset``, ``_FillValue`` in the attributes, as read with ``mask_and_scale=False``) are taken as they are, which is
        fastest. A Dataset must have one floating-point variable along time. A lazy field must have time in one chunk.
    period
        First and last date of the base period, both included: ``(1983, 2012)``, ``("2006-04", "2010-09")``,
        ``("1983-01-01", "2012-12-31")`` or dates. It has no default because it is a scientific choice.
    by
        ``"dayofyear"``, or ``"month"``: mean and percentile of all values of each calendar month in the period,
        of daily or monthly fields, without window or smoothing.
    half_window
        Days on either side of the day that are pooled with it.
    smooth
        Width of the moving average in days, odd; None for none.
    percentile
        Between 0 and 100, both excluded. Below 50 it is the threshold of cold spells.
    convention
        Whose program to follow. ``"oliver"`` (marineHeatWaves.py): 29 February is the mean of its neighbours in the finished
        statistic, and the window runs past the edges of the base period where the field has data there. ``"xmhw"``: 29
        February is the mean of itself and its neighbours, and the window stops at the edges. ``"heatwaveR"``: 29 February is
        filled into the data of every year with the mean of its neighbours, rounded to two decimals, and the window wraps
        within each year. ``"heatwave3"``: the same, but the window goes on in the years before and after, inside the base
        period. :func:`oceankit.heatwaves` follows the same program.
    baseline
        ``"fixed"``: the base period holds for all years. ``"detrended"``: the linear trend of each cell over the base period
        (by least squares about the mean of each day of the year) is taken out of the field before, and again wherever the
        climatology is used. ``"shifting"``: each year after the base period has a climatology of as many years that end before
        it; the result has a dimension ``year``, and earlier years have the first.
    time
        Name of the time coordinate, where it is not found by itself.

    Returns
    -------
    xarray.Dataset
        ``mean`` and ``threshold`` (and ``trend``, per day, where it was taken out), float64, in the field's units; ``by`` takes
        the place of time among the dimensions, from 1 to 366 or 12. An entry whose pool holds no value is missing, and so are
        the smoothed days within
        ``smooth // 2`` of it. The attributes record the options and the source.

    Raises
    ------
    ValueError
        If an option is out of range, the period is not covered by the data or has fewer than 3 years of them, times
        are not decoded, sorted and unique, time is in several chunks, or temperatures are partly in other units.

    Notes
    -----
    The day of the year goes by month and day of the month on the axis of a leap year, in all calendars: 1 March is
    day 61 also in a common year and in ``noleap`` (365_day), whose day 60 is interpolated as above. In ``all_leap``
    (366_day) day 60 occurs every year and is pooled like any other. ``360_day`` has its own axis, 1 to 360, of twelve
    months of 30 days.

    References
    ----------
    Hobday, A. J., et al. (2016). A hierarchical approach to defining marine heatwaves. Progress in Oceanography 141,
    227-238. Oliver, E. C. J., marineHeatWaves.py, https://github.com/ecjoliver/marineHeatWaves.

    Examples
    --------
    >>> import numpy as np, xarray as xr
    >>> days = xr.date_range("2001-01-01", "2004-12-31")
    >>> sst = xr.DataArray(np.full(days.size, 15.0), dims="time", coords={"time": days}, name="sst")
    >>> clim = climatology(sst, period=(2001, 2004))
    >>> clim.sizes["dayofyear"], float(clim["mean"][59]), float(clim["threshold"][59])
    (366, 15.0, 15.0)
    """
    bounds = _calendar.parse_period(period)
    _check_options(by, half_window, smooth, percentile, convention)
    if baseline not in _baselines.BASELINES:
        raise ValueError(f"baseline is {baseline!r}; choose one of {', '.join(map(repr, _baselines.BASELINES))}")
    variable = one_variable(field, time)
    packing = packing_of(variable)
    if by in variable.dims:
        raise ValueError(f"{describe(variable)} already has a dimension {by!r}: rename it")
    axis, days = _calendar.read(variable, time)
    _calendar.require_increasing(axis, days)
    base = _pools.Base(*bounds, "/".join(_calendar.iso(key, days.calendar) for key in bounds))
    if by == "month":
        half_window, smooth = 0, None
        plan = _pools.monthly(days, base)
    else:
        plan = _pools.daily(days, base, half_window, named(convention))
    dim = axis.dims[0]
    output = blocks.Output((by,), (plan.pools.length,), np.float64)
    if baseline == "shifting":
        options = {
            "by": by,
            "half_window": half_window,
            "smooth": smooth,
            "percentile": percentile,
            "convention": convention,
        }
        return _shifting(variable, _baselines.shifted_periods(*bounds, days), base.label, options, field, time)
    constants = {
        "plan": plan, "packing": packing, "quantile": percentile / 100, "width": 1 if smooth is None else smooth, "trend": None,
        "guard": guard_of(variable.name, variable.attrs.get("units", ""), axis.values),
    }  # fmt: skip
    outputs, reference = [output, output], ""
    if baseline == "detrended":
        place = _calendar.day_of_year(days) - 1 if by == "dayofyear" else days.month - 1
        constants["trend"], reference = _baselines.Trend.of(days, *bounds, place, plan.pools.length)
        outputs = [*outputs, blocks.Output((), (), np.float64)]
    results = blocks.along(_statistics, variable, [dim], outputs, constants=constants, cells_last=True)
    shape = [by if d == dim else d for d in variable.dims]
    mean, threshold = (_described(r.transpose(*shape), variable, by, days.calendar) for r in results[:2])
    label = variable.attrs.get("long_name", variable.name or "value")
    mean.attrs["long_name"] = f"climatological mean of {label}"
    threshold.attrs["long_name"] = f"climatological percentile {percentile:g} of {label}"
    clim = xr.Dataset({"mean": mean, "threshold": threshold})
    clim.attrs = {
        "period": base.label,
        "by": by,
        "percentile": float(percentile),
        "convention": convention,
        "half_window": half_window,
        "smooth": 0 if smooth is None else smooth,
        "calendar": days.calendar,
        "units": str(variable.attrs.get("units", "")),
        "source_variable": str(variable.name or ""),
        "source_file": source_file(field, variable),
    }
    if baseline == "detrended":
        units = str(variable.attrs.get("units", ""))
        about = {"long_name": f"trend of {label}"} | ({"units": f"{units} day-1"} if units else {})
        clim["trend"] = results[2].drop_attrs(deep=False).assign_attrs(about)
        clim.attrs["trend_reference"] = reference
    if baseline != "fixed":
        clim.attrs["baseline"] = baseline
    return clim


def _shifting(
    variable: xr.DataArray, periods: dict[int, tuple[str, str]], label: str, options: dict[str, Any],
    field: xr.DataArray | xr.Dataset, time: Hashable | None,
) -> xr.Dataset:  # fmt: skip
    """The climatologies of all periods along the years for which they hold."""
    parts = [climatology(variable, period=period, time=time, **options) for period in periods.values()]
    about = {"long_name": "year for which the climatology of the years before it holds", "units": "1"}
    years = xr.DataArray(list(periods), dims=_baselines.YEAR, name=_baselines.YEAR, attrs=about)
    clim = xr.concat(parts, years, combine_attrs="drop_conflicts", join="exact")
    clim.attrs |= {"period": label, "baseline": "shifting", "source_file": source_file(field, variable)}
    return clim


def one_variable(field: xr.DataArray | xr.Dataset, time: Hashable | None) -> xr.DataArray:
    """The field itself, or the one variable of a Dataset that runs along time and holds floats or packed integers."""
    if isinstance(field, xr.DataArray):
        return field
    dims = set(coordinates.find(field, "time", name=time).dims)
    along = {n: v for n, v in field.data_vars.items() if dims & set(v.dims)}
    names = [
        n for n, v in along.items() if v.dtype.kind == "f" or (v.dtype.kind in "iu" and set(ATTRIBUTES) & set(v.attrs))
    ]
    if len(names) != 1:
        raise ValueError(
            f"{describe(field)} has {len(names)} floating-point variables along time "
            f"({', '.join(map(repr, names)) or 'none'}), and one is wanted: pass it as dataset[name]"
        )
    return field[names[0]]


def source_file(field: xr.DataArray | xr.Dataset, variable: xr.DataArray) -> str:
    """Name of the file the field was read from, dates in it left out; empty where it is not known."""
    path = str(variable.encoding.get("source") or field.encoding.get("source") or "")
    return re.sub(r"\d{4,}", "*", path.rstrip("/").rsplit("/", 1)[-1])


def _statistics(
    columns: np.ndarray,
    plan: _pools.Plan,
    packing: Packing,
    quantile: float,
    width: int,
    trend: _baselines.Trend | None,
    guard: Guard | None,
) -> tuple[np.ndarray, ...]:
    """Mean and threshold of (steps, n) columns as two (length, n) arrays; and (n,) slopes if a trend is taken out before."""
    if guard is not None:
        stride = max(1, columns.shape[0] // SAMPLES)
        guard.check(packing.unpacked(columns[::stride].T), stride)
    if trend is not None:
        values = packing.unpacked(columns).astype(np.float64)
        slope = trends_within(as_rows(values), trend.days, trend.places, trend.length)
        flat = values - slope * trend.days[:, None]
        return *_statistics(flat, plan, UNPACKED, quantile, width, None, None), slope
    if packing.packed and (plan.around_leap_day.size or packing.scale < 0.0):
        columns, packing = packing.unpacked(columns), UNPACKED
    if plan.around_leap_day.size:
        columns = _with_leap_days(columns, plan.around_leap_day)
    mean, level = _pooled(columns, plan, packing, quantile)
    finished = []
    for year in (mean, level):
        if plan.leap_day == "between":
            year[59] = 0.5 * year[58] + 0.5 * year[60]
        elif plan.leap_day == "three_days":
            year[59] = _mean_of_known(year[58:61])
        finished.append(moving_average(year, width) if width > 1 else year)
    return tuple(finished)


def _pooled(columns: np.ndarray, plan: _pools.Plan, packing: Packing, quantile: float) -> tuple[np.ndarray, np.ndarray]:
    """Mean and quantile of each pool, (length, n)."""
    if packing.packed:
        # Integers as wide as the keys hold the numbers of keys, and what stands for missing (beyond 16 bits: nothing does).
        held = (plan.pools.capacity, packing.missing, packing.other)
        narrow = columns.dtype == np.int16 and all(-(2**15) <= number < 2**15 for number in held)
        columns = columns.astype(np.int16 if narrow else np.int32, copy=False)
    else:
        # float16, integers and the big-endian values of NetCDF-3 become what the kernel knows.
        single = columns.dtype.kind == "f" and columns.dtype.itemsize <= 4
        columns = columns.astype(np.float32 if single else np.float64, copy=False)
    n = columns.shape[1]
    if n < lanes_of(columns.dtype):  # the kernels take so many cells at once
        columns = np.pad(columns, ((0, 0), (0, lanes_of(columns.dtype) - n)), mode="edge")
    if packing.packed:
        numbers = (packing.missing, packing.other, packing.scale, packing.offset, *plan.pools, quantile)
        *found, lost = pooled_integers(columns, *numbers)
        if lost:
            *found, _ = pooled_integers(columns.astype(np.int32), *numbers)
    else:
        bits = np.empty(0, f"i{columns.dtype.itemsize}")
        found = pooled_floats(columns, bits, *plan.pools, quantile)
    mean, level = (np.ascontiguousarray(f[:, :n]) for f in found)
    return mean, level


def _with_leap_days(columns: np.ndarray, around: np.ndarray) -> np.ndarray:
    """Float64 columns with the 29 February of each year behind the last step: filled where it is missing.

    The mean of its neighbours is rounded to two decimals, to the nearer of the two numbers that have so many (the even one of
    equally near ones), as R's ``round`` does.
    """
    known = np.where(around.T[:, :, None] >= 0, columns[np.maximum(around.T, 0)].astype(np.float64), np.nan)
    mean = _mean_of_known(known)
    scaled = np.abs(mean) * 100.0
    below, above = np.floor(scaled), np.ceil(scaled)
    to_below, to_above = np.abs(mean) - below / 100.0, above / 100.0 - np.abs(mean)
    up = (to_above < to_below) | ((to_above == to_below) & (below % 2 == 1))
    rounded = np.copysign(np.where(up, above, below) / 100.0, mean)
    leap = np.where(np.isnan(known[1]), rounded, known[1])
    return np.concatenate([columns, leap])


def _mean_of_known(values: np.ndarray) -> np.ndarray:
    """Mean along the first axis of what is not missing."""
    known = ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        return np.where(known, values, 0.0).sum(0) / known.sum(0)


def _described(statistic: xr.DataArray, field: xr.DataArray, by: By, calendar: str) -> xr.DataArray:
    attrs = {k: v for k, v in field.attrs.items() if k not in _OF_THE_VALUES}
    if by == "month":
        meaning = "month of the year"
    elif calendar == "360_day":
        meaning = "day of the year in the 360-day calendar"
    else:
        meaning = "day of the year, counted as in a leap year: 29 February is day 60"
    axis = xr.DataArray(np.arange(1, statistic.sizes[by] + 1), dims=by, attrs={"long_name": meaning, "units": "1"})
    return statistic.drop_attrs(deep=False).assign_coords({by: axis}).assign_attrs(attrs)


def _check_options(by: str, half_window: Any, smooth: Any, percentile: Any, convention: str) -> None:
    if by not in ("dayofyear", "month"):
        raise ValueError(f"by is {by!r}; choose 'dayofyear' or 'month'")
    named(convention)
    number = isinstance(percentile, int | float | np.number) and not isinstance(percentile, bool)
    if not number or not 0 < percentile < 100:
        raise ValueError(f"percentile is {percentile!r}; give one number above 0 and below 100")
    if not _is_whole(half_window) or not 0 <= half_window <= 182:
        raise ValueError(f"half_window is {half_window!r}; give a whole number of days from 0 to 182")
    if smooth is not None and (not _is_whole(smooth) or smooth % 2 == 0 or not 1 <= smooth <= 359):
        raise ValueError(f"smooth is {smooth!r}; give an odd number of days from 1 to 359, or None for no smoothing")
    if by == "month" and (half_window not in (0, _WINDOW) or smooth not in (None, 1, _SMOOTH)):
        raise ValueError(
            f"half_window={half_window} and smooth={smooth} were asked for with by='month', which has neither: "
            "leave them out"
        )


def _is_whole(value: Any) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)
