"""Spells: how long a condition lasts, event by event."""

from collections.abc import Hashable
from typing import Any

import numpy as np
import xarray as xr

from oceankit.anomaly import _calendar
from oceankit.anomaly._event_table import cell_coordinates, over
from oceankit.anomaly._packing import native, unpacked
from oceankit.anomaly._ragged import events_along
from oceankit.anomaly._spell_kernels import count_spells, fill_spells, measure_spells
from oceankit.anomaly._steps import require_no_holes

__all__ = ["spells"]


def spells(
    condition: xr.DataArray,
    *,
    min_duration: int,
    max_gap: int = 0,
    values: xr.DataArray | None = None,
    cold: bool = False,
    time: Hashable | None = None,
) -> xr.Dataset:
    """Runs of a condition along time that last at least ``min_duration`` steps, one entry per event.

    Two events separated by a gap of at most ``max_gap`` steps are joined, as in Hobday et al. (2016): each must be
    long enough on its own, and the steps of the gap count in the duration of the joined event.

    Parameters
    ----------
    condition
        Boolean, or 0 and 1 with NaN for missing, of any dimensions besides time. A missing step ends a run like a
        false one, and like it may be bridged by ``max_gap``. Note that ``field > limit`` is False where ``field`` is
        missing.
    min_duration
        In steps of the time axis, at least 1.
    max_gap
        In steps of the time axis; 0 joins nothing.
    values
        What is measured over each event, of the dimensions of ``condition``: an anomaly, for example. NaN is skipped.
    cold
        The peak is the lowest value instead of the highest.
    time
        Name of the time coordinate, where it is not found by itself.

    Returns
    -------
    xarray.Dataset
        Along ``event``, ordered by cell and then by time: ``start`` and ``end`` (dates of the first and the last step),
        ``duration`` (steps, both included), ``index_start`` and ``index_end`` (positions along time), ``cell`` (flat
        index over the other dimensions in their order) and the cell's coordinates. With ``values`` also ``peak``
        (date), ``index_peak``, ``intensity_max`` (the value at the peak), ``intensity_mean`` and
        ``intensity_cumulative`` (sum over the steps), in their units. It is in memory also for lazy input, which is
        computed by blocks of cells: how many events there are depends on the data.

    Raises
    ------
    ValueError
        If an option is out of range, ``condition`` is no condition, times are not decoded, sorted, unique and without
        holes, time is in several chunks, ``values`` lie elsewhere, or an event has no value in ``values`` at all.

    References
    ----------
    Hobday, A. J., et al. (2016). A hierarchical approach to defining marine heatwaves. Progress in Oceanography 141,
    227-238.

    Examples
    --------
    >>> import xarray as xr
    >>> days = xr.date_range("2010-01-01", periods=8)
    >>> warm = xr.DataArray([0.2, 1.0, 2.0, 0.1, 1.5, 1.0, 0.0, 3.0], dims="time", coords={"time": days})
    >>> events = spells(warm > 0.5, min_duration=2, max_gap=1, values=warm)
    >>> events["duration"].values, events["intensity_max"].values, events["peak"].dt.day.values
    (array([5]), array([2.]), array([3]))
    """
    for name, value, least in (("min_duration", min_duration, 1), ("max_gap", max_gap, 0)):
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
            raise ValueError(f"{name} is {value!r}; give a whole number of time steps, at least {least}")
    if condition.dtype.kind not in "bfiuO":
        raise ValueError(f"the condition holds {condition.dtype} values; give true and false, or 0 and 1 with NaN")
    axis, days = _calendar.read(condition, time)
    _calendar.require_increasing(axis, days)
    require_no_holes(axis, days)
    dim = axis.dims[0]
    fields = [condition.transpose(..., dim)]
    if values is not None:
        values = unpacked(values) if values.dtype.kind in "fiu" else values
        fields.append(_aligned(values, fields[0]))

    def find(flags: np.ndarray, *measured: np.ndarray) -> tuple[np.ndarray, ...]:
        rows = _as_bool(flags)
        found = fill_spells(rows, min_duration, max_gap, count_spells(rows, min_duration, max_gap))
        if not measured:
            return found
        return *found, *measure_spells(native(measured[0]), *found, -1.0 if cold else 1.0)

    cell, start, end, *metrics = events_along(find, fields, dim)
    times = axis.values
    events = {
        "start": (times[start], {"long_name": "first step of the event"}),
        "end": (times[end], {"long_name": "last step of the event"}),
        "duration": (end - start + 1, {"long_name": "duration of the event in time steps", "units": "1"}),
        "index_start": (start, {"long_name": "position of the first step along time", "units": "1"}),
        "index_end": (end, {"long_name": "position of the last step along time", "units": "1"}),
        "cell": (cell, {"long_name": f"flat index of the cell{over(fields[0].dims[:-1])}", "units": "1"}),
    }
    if values is not None:
        _require_values(metrics[1], start, cell, times, values)
        events |= _measured(metrics, times, values, cold)
    result = xr.Dataset(
        {name: ("event", data, attrs) for name, (data, attrs) in events.items()},
        attrs={
            "min_duration": int(min_duration),
            "max_gap": int(max_gap),
            "source_variable": str(condition.name or ""),
        },
    )
    return result.assign_coords(cell_coordinates(fields[0], dim, cell, taken=set(events) | {"event"}))


def _measured(metrics: list[np.ndarray], times: np.ndarray, values: xr.DataArray, cold: bool) -> dict[str, Any]:
    extreme, peak, mean, total = metrics
    label = values.attrs.get("long_name", values.name or "value")
    units = {k: v for k, v in values.attrs.items() if k in ("units", "units_metadata")}
    which = "lowest" if cold else "highest"
    return {
        "peak": (times[peak], {"long_name": f"step of the {which} {label} in the event"}),
        "index_peak": (peak, {"long_name": "position of the peak along time", "units": "1"}),
        "intensity_max": (extreme, {"long_name": f"{which} {label} in the event", **units}),
        "intensity_mean": (mean, {"long_name": f"mean {label} over the event", **units}),
        "intensity_cumulative": (total, {"long_name": f"sum of {label} over the steps of the event", **units}),
    }


def _as_bool(flags: np.ndarray) -> np.ndarray:
    if flags.dtype == bool:
        return flags
    numbers = flags.astype(np.float64)
    strange = ~np.isnan(numbers) & (numbers != 0) & (numbers != 1)
    if strange.any():
        raise ValueError(
            f"the condition holds the value {numbers[strange][0]:g}; it must be true or false (or missing): compare "
            "the field first, for example anomaly > 0.5"
        )
    return numbers == 1


def _aligned(values: xr.DataArray, condition: xr.DataArray) -> xr.DataArray:
    if set(values.dims) != set(condition.dims) or any(values.sizes[d] != n for d, n in condition.sizes.items()):
        sizes = f"{dict(values.sizes)}, the condition {dict(condition.sizes)}"
        raise ValueError(f"values have the sizes {sizes}: select the same part of both")
    if values.dtype.kind not in "fiu":
        raise ValueError(f"values hold {values.dtype}, not real numbers: use astype(float)")
    for d in condition.dims:
        if d in values.coords and d in condition.coords and not values[d].variable.equals(condition[d].variable):
            raise ValueError(f"values and condition differ in the coordinate {d!r}: select the same part of both")
    return values.transpose(*condition.dims)


def _require_values(
    peak: np.ndarray, start: np.ndarray, cell: np.ndarray, times: np.ndarray, values: xr.DataArray
) -> None:
    empty = np.flatnonzero(peak < 0)
    if empty.size:
        raise ValueError(
            f"values ({values.name!r}) are missing throughout {empty.size} events, the first of them from "
            f"{times[start[empty[0]]]} in cell {cell[empty[0]]}: the condition must be false or missing there"
        )
