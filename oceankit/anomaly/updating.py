"""Heatwaves day by day: a small state that new days are added to, equal to the bit to doing all of them at once."""

from collections.abc import Hashable
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from oceankit.anomaly import _calendar
from oceankit.anomaly import _heatwave_kernels as k
from oceankit.anomaly._conventions import named
from oceankit.anomaly._detection import Detection, Options, options_of, prepared
from oceankit.anomaly._event_table import cell_coordinates, event_variables, over
from oceankit.anomaly._metrics import CATEGORIES, metrics_of
from oceankit.anomaly._packing import native
from oceankit.anomaly._steps import require_no_holes, step_name
from oceankit.anomaly._units import is_temperature
from oceankit.numerics import threads

__all__ = ["ongoing", "update", "updated_events"]

# Cells are updated in blocks of about this many values.
_BLOCK_VALUES = 2**18
_STATE = ("open_cell", "open_status", "open_record", "tail_value", "ended_cell", "ended_record", "last_anomaly")
# No temperature of the sea or the air is so far from its mean; a change of units is 273.15.
_FARTHEST = 150.0
_NO_PACKING = (np.nan, np.nan, 1.0, 0.0)


def update(
    state: xr.Dataset,
    new_days: xr.DataArray | xr.Dataset,
    *,
    min_duration: int | None = None,
    max_gap: int | None = None,
    max_missing: int | None = None,
    cold: bool | None = None,
    time: Hashable | None = None,
    allow_other_source: bool = False,
) -> xr.Dataset:
    """Add new days to a state, and return the new state.

    Parameters
    ----------
    state
        What an earlier update returned; or, to begin, a climatology (or a Dataset with ``mean`` and ``threshold`` of one's own).
        It is not changed. A state is an ordinary Dataset: write it with :func:`oceankit.write`, and open it again.
    new_days
        One day or more (along time, or with a scalar time), the first of them the day after the last that the state has seen.
        A day of which nothing is known is given as a day of missing values.
    min_duration, max_gap, max_missing, cold
        As in :func:`oceankit.heatwaves`. They are settled with the first days; later they may be left out.
    time, allow_other_source
        As in :func:`oceankit.heatwaves`.

    Returns
    -------
    xarray.Dataset
        The climatology, unchanged (lazy if it was); ``time``, all days that were seen; of each cell ``last_anomaly`` and
        ``last_category``, those of the last day; ``open_*`` and ``tail_*`` along ``open`` and ``tail``, what is known of events
        that have not ended and of runs that may become one; ``ended_*`` along ``ended``, what was measured of events that are
        over. :func:`updated_events` and :func:`ongoing` tell what it says.

    Raises
    ------
    ValueError
        If the new days do not follow the last one, an option contradicts the state, or as :func:`oceankit.heatwaves`.

    Examples
    --------
    >>> import numpy as np, xarray as xr
    >>> days = xr.date_range("2001-01-01", periods=12)
    >>> hs = xr.DataArray([1, 1, 3, 4, 5, 4, 3, 3, 1, 1, 1, 1.0], dims="time", coords={"time": days}, name="hs")
    >>> state = xr.Dataset({"mean": 1.0, "threshold": 2.0})
    >>> for day in range(12):
    ...     state = update(state, hs[day : day + 1], cold=False)
    >>> int(updated_events(state)["duration"][0])
    6
    """
    given = {"min_duration": min_duration, "max_gap": max_gap, "max_missing": max_missing, "cold": cold}
    begun = all(name in state for name in _STATE)
    options = _settled(state, given) if begun else _first_options(state, given)
    field = _with_time(new_days, time)
    detection = prepared(field, state, options, time=time, allow_other_source=allow_other_source)
    cells = _Cells.of(state, detection) if begun else _Cells.new(detection)
    times = _joined_times(state if begun else None, detection)
    ordered = detection.variable.transpose(..., detection.dim)
    parts = _advanced(detection, ordered, cells, times.size - detection.days.number.size)
    return _state_of(state, begun, detection, ordered, parts, times)


def updated_events(state: xr.Dataset) -> xr.Dataset:
    """The events of a state, those that are over and those that go on, as :func:`oceankit.heatwaves` gives them.

    Parameters
    ----------
    state
        From :func:`update`.

    Returns
    -------
    xarray.Dataset
        Along ``event``, with ``open``: whether more days may still change the event.

    Raises
    ------
    ValueError
        If ``state`` is none.
    """
    _require_state(state)
    lasting = state["open_status"].values[:, k.STATUS] >= k.LASTING
    cells = np.concatenate([state["ended_cell"].values, state["open_cell"].values[lasting]])
    records = np.concatenate([state["ended_record"].values, state["open_record"].values[lasting]])
    still = np.concatenate([np.zeros(state.sizes["ended"], bool), np.ones(int(lasting.sum()), bool)])
    order = np.lexsort((records[:, k.START], cells))
    field = state["last_anomaly"]
    sign = -1.0 if state.attrs["cold"] else 1.0
    axis, days = _calendar.read(state["time"], None)
    variables = event_variables(
        metrics_of(records[order], named(state.attrs.get("convention", "oliver")), sign), cells[order], axis.values, sign,
        str(field.attrs.get("units", "")), step_name(days),
    )  # fmt: skip
    variables["cell"][2]["long_name"] = f"flat index of the cell{over(field.dims)}"
    variables["open"] = ("event", still[order], {"long_name": "whether more days may still change the event"})
    kept = ("min_duration", "max_gap", "max_missing", "convention", "source_variable")
    result = xr.Dataset(variables, attrs={name: state.attrs[name] for name in kept if name in state.attrs})
    # The last dimension stands for the time that a field has.
    place = cell_coordinates(field.expand_dims("time", -1), "time", cells[order], taken=set(variables) | {"event"})
    return result.assign_coords({name: v for name, v in place.items() if name != "time"})


def ongoing(state: xr.Dataset) -> xr.Dataset:
    """Where a state stands on its last day, as maps.

    Parameters
    ----------
    state
        From :func:`update`.

    Returns
    -------
    xarray.Dataset
        Over the cells: ``category`` of the last day, as :func:`oceankit.anomaly.heatwave_days` would give it if no more days
        came (int8, 0 where there is no heatwave); ``exceedance``, the category of the day on its own, however long it has
        lasted; ``anomaly``, the departure from the mean; ``duration``, days since the event began, 0 where none goes on.

    Raises
    ------
    ValueError
        If ``state`` is none.
    """
    _require_state(state)
    field = state["last_anomaly"]
    status, record = state["open_status"].values, state["open_record"].values
    last = state.sizes["time"] - 1
    duration = np.zeros(field.size, np.int64)
    warm = np.zeros(field.size, bool)
    lasting = status[:, k.STATUS] == k.LASTING
    at = state["open_cell"].values[lasting]
    duration[at] = last - record[lasting, k.START] + 1
    warm[at] = record[lasting, k.END] == last
    exceedance = state["last_category"]
    category = exceedance.where(warm.reshape(field.shape), 0).astype(np.int8)
    flags = exceedance.attrs | {"long_name": "category of the heatwave on the last day"}
    length = field.copy(data=duration.reshape(field.shape)).drop_attrs()
    return xr.Dataset(
        {
            "category": category.assign_attrs(flags),
            "exceedance": exceedance,
            "anomaly": field,
            "duration": length.assign_attrs(long_name="days since the event began", units="1"),
        },
        coords={"time": state["time"][-1]},
    )


# --- what a state is ----------------------------------------------------------------------------------------------------


class _Cells(NamedTuple):
    """What is kept of the cells, those in the middle of something with more."""

    cell: np.ndarray
    status: np.ndarray
    record: np.ndarray
    tail_start: np.ndarray
    tail: np.ndarray
    """(days, 3) value, mean and threshold of the days that may come to belong to an event, cell by cell."""
    previous: np.ndarray

    @classmethod
    def new(cls, detection: Detection) -> "_Cells":
        n = detection.variable.size // detection.variable.sizes[detection.dim]
        nothing = np.zeros((0, 3))
        starts, status = np.zeros(1, np.int64), np.zeros((0, k.N_STATUS), np.int64)
        return cls(np.empty(0, np.int64), status, np.zeros((0, k.COLUMNS)), starts, nothing, np.full(n, np.nan))

    @classmethod
    def of(cls, state: xr.Dataset, detection: Detection) -> "_Cells":
        cells = detection.variable.isel({detection.dim: 0}).dims
        kept = state["last_anomaly"]
        if kept.dims != cells or kept.shape != tuple(detection.variable.sizes[d] for d in cells):
            raise ValueError(
                f"the new days have the cells { ({d: detection.variable.sizes[d] for d in cells}) } and the state "
                f"{dict(kept.sizes)}: give the same cells in the same order of dimensions"
            )
        tail = np.stack([state[f"tail_{name}"].values for name in ("value", "mean", "threshold")], axis=1)
        starts = np.concatenate([[0], np.cumsum(state["open_tail"].values)]).astype(np.int64)
        cell, status, record = (state[f"open_{name}"].values for name in ("cell", "status", "record"))
        return cls(cell, status, record, starts, tail, detection.options.sign * kept.values.ravel())


def _require_state(state: xr.Dataset) -> None:
    missing = [n for n in (*_STATE, "time") if not isinstance(state, xr.Dataset) or n not in state]
    if missing:
        raise ValueError(f"this is no state: it has no variable {missing[0]!r}; make one with oceankit.anomaly.update")


def _first_options(clim: xr.Dataset, given: dict[str, Any]) -> Options:
    duration = 5 if given["min_duration"] is None else given["min_duration"]
    gap = 2 if given["max_gap"] is None else given["max_gap"]
    return options_of(clim, duration, gap, given["max_missing"], given["cold"])


def _settled(state: xr.Dataset, given: dict[str, Any]) -> Options:
    for name, value in given.items():
        if value is not None and value != state.attrs[name]:
            raise ValueError(
                f"{name}={value!r} was given, but the state was begun with {name}={state.attrs[name]!r}: leave it out, or begin "
                "again with the climatology"
            )
    a = state.attrs
    return Options(int(a["min_duration"]), int(a["max_gap"]), int(a["max_missing"]), bool(a["cold"]))


def _with_time(new_days: xr.DataArray | xr.Dataset, time: Hashable | None) -> xr.DataArray | xr.Dataset:
    """A single day gets a time dimension."""
    name = time if time is not None else "time"
    if name in new_days.coords and new_days[name].ndim == 0:
        return new_days.expand_dims(name)
    return new_days


def _joined_times(state: xr.Dataset | None, detection: Detection) -> np.ndarray:
    """All days that were seen, as time values.

    Raises
    ------
    ValueError
        If the new days do not follow the last one.
    """
    new = detection.time.values
    if state is None:
        return new
    known = state["time"]
    _, days = _calendar.read(known, "time")
    if days.calendar != detection.days.calendar:
        raise ValueError(
            f"the new days are in the calendar {detection.days.calendar!r} and the state's in {days.calendar!r}: convert them"
        )
    if detection.days.stamp[0] <= days.stamp[-1]:
        raise ValueError(
            f"the new days begin with {new[0]}, but the state has seen all days to {known.values[-1]}: give only later ones, or "
            "go on from a state that was kept before that day"
        )
    joined = np.concatenate([known.values, new.astype(known.dtype)])
    tail = xr.DataArray(joined[-(new.size + 3) :], dims="time", name=str(detection.time.name))
    tail = tail.assign_coords(time=tail)
    require_no_holes(tail, _calendar.read(tail, "time")[1])
    return joined


# --- one update ---------------------------------------------------------------------------------------------------------


class _Part(NamedTuple):
    """One block of cells after the new days."""

    cell: np.ndarray
    status: np.ndarray
    record: np.ndarray
    tail_size: np.ndarray
    tail: np.ndarray
    ended_cell: np.ndarray
    ended_record: np.ndarray
    previous: np.ndarray
    category: np.ndarray


def _advanced(detection: Detection, ordered: xr.DataArray, cells: _Cells, first: int) -> list[_Part]:
    """All cells after the new days, in blocks."""
    steps = ordered.shape[-1]
    which, places = np.unique(detection.places, return_inverse=True)
    places = places.astype(np.uint32)
    mean, threshold = (_table(s, ordered, which) for s in (detection.mean, detection.threshold))
    rows = native(np.asarray(ordered.values).reshape(-1, steps))

    def work(start: int, stop: int) -> _Part:
        block = slice(start, stop)
        stored = np.ascontiguousarray(rows[block])
        return _block(detection, stored, mean[block], threshold[block], places, cells, start, first)

    return threads.over_blocks(work, rows.shape[0], block=max(1, _BLOCK_VALUES // steps))


def _table(statistic: xr.DataArray, ordered: xr.DataArray, places: np.ndarray) -> np.ndarray:
    """(cells, places) of a statistic; of a lazy one only these places are loaded."""
    cells, year = ordered.dims[:-1], statistic.dims[-1]
    here = statistic.isel({year: places})
    missing = {d: ordered.sizes[d] for d in cells if d not in here.dims}
    return np.ascontiguousarray(here.expand_dims(missing).transpose(*cells, year).values).reshape(-1, places.size)


def _block(
    detection: Detection, rows: np.ndarray, mean: np.ndarray, threshold: np.ndarray, places: np.ndarray, cells: _Cells,
    start: int, first: int,
) -> _Part:  # fmt: skip
    n, steps = rows.shape
    o, packing = detection.options, detection.packing
    warm, anomaly, category = k.glance(rows, packing.numbers, o.sign, mean, threshold, places)
    if (
        is_temperature(detection.variable.attrs.get("units", ""))
        and np.nanmax(np.abs(anomaly), initial=0.0) > _FARTHEST
    ):
        raise ValueError(
            f"the field {detection.variable.name!r} is {np.nanmax(np.abs(anomaly)):.1f} from its mean on the last new day, in "
            f"{detection.variable.attrs['units']!r}: its units seem to have changed; convert the new days first"
        )
    low, high = np.searchsorted(cells.cell, [start, start + n])
    open_here = cells.cell[low:high] - start
    warm[open_here] = True
    active = np.flatnonzero(warm)
    place = np.searchsorted(active, open_here)
    status, record = np.zeros((active.size, k.N_STATUS), np.int64), np.zeros((active.size, k.COLUMNS))
    status[place], record[place] = cells.status[low:high], cells.record[low:high]
    # Days that may come to belong to an event stand before the new ones, so that the kernel sees one series.
    sizes = np.diff(cells.tail_start[low : high + 1])
    width = int(sizes.max(initial=0))
    series = np.full((3, active.size, width + steps), np.nan)
    series[0, :, width:] = packing.unpacked(rows[active])
    series[1, :, width:] = mean[active][:, places]
    series[2, :, width:] = threshold[active][:, places]
    tail = cells.tail[cells.tail_start[low] : cells.tail_start[high]]
    column = np.arange(len(tail)) - np.repeat(np.cumsum(sizes) - sizes, sizes) + np.repeat(width - sizes, sizes)
    series[:, np.repeat(place, sizes), column] = tail.T
    days = np.arange(width + steps, dtype=np.uint32)
    segments = np.array([[0, 0, width + steps]])
    before = cells.previous[start + active]
    ended_cell, ended_record = k.follow(
        series[0], _NO_PACKING, o.sign, series[1], series[2], days, segments, first - width, width, True,
        o.min_duration, o.max_gap, o.max_missing, status, record, before, np.zeros((0, width + steps), np.int8),
    )  # fmt: skip
    going_on = np.flatnonzero(status[:, k.STATUS] != k.IDLE)
    sizes = first + steps - 1 - status[going_on, k.COUNTED]
    at = np.repeat(going_on, sizes)
    column = (
        np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes) + np.repeat(width + steps - sizes, sizes)
    )
    return _Part(
        start + active[going_on], status[going_on], record[going_on], sizes, series[:, at, column].T,
        start + active[ended_cell], ended_record, anomaly, category,
    )  # fmt: skip


def _state_of(
    state: xr.Dataset, begun: bool, detection: Detection, ordered: xr.DataArray, parts: list[_Part], times: np.ndarray
) -> xr.Dataset:
    columns = {name: np.concatenate([getattr(p, name) for p in parts]) for name in _Part._fields}
    ended_cell, ended_record = columns["ended_cell"], columns["ended_record"]
    if begun:
        ended_cell = np.concatenate([state["ended_cell"].values, ended_cell])
        ended_record = np.concatenate([state["ended_record"].values, ended_record])
    variable, o = detection.variable, detection.options
    cells = ordered.isel({detection.dim: -1}, drop=True)
    units = {key: value for key, value in variable.attrs.items() if key == "units"}
    maps = {
        "last_anomaly": (
            o.sign * columns["previous"],
            {"long_name": "departure from the mean on the last day", **units},
        ),
        "last_category": (
            columns["category"],
            {
                "long_name": "category of the last day, however long it has lasted",
                "flag_values": np.arange(5, dtype=np.int8),
                "flag_meanings": " ".join(("none", *CATEGORIES)),
            },
        ),
    }
    tail = columns["tail"]
    found: dict[str, Any] = {
        name: (cells.dims, data.reshape(cells.shape), attrs) for name, (data, attrs) in maps.items()
    }
    found |= {
        "open_cell": ("open", columns["cell"], {"long_name": f"flat index of the cell{over(cells.dims)}"}),
        "open_status": (("open", "status_column"), columns["status"]),
        "open_record": (("open", "record_column"), columns["record"]),
        "open_tail": ("open", columns["tail_size"], {"long_name": "days of the cell along tail"}),
        "tail_value": ("tail", tail[:, 0], units),
        "tail_mean": ("tail", tail[:, 1], units),
        "tail_threshold": ("tail", tail[:, 2], units),
        "ended_cell": ("ended", ended_cell, {"long_name": f"flat index of the cell{over(cells.dims)}"}),
        "ended_record": (("ended", "record_column"), ended_record),
    }
    attrs = state.attrs | {
        "min_duration": o.min_duration, "max_gap": o.max_gap, "max_missing": o.max_missing, "cold": int(o.cold),
    }  # fmt: skip
    attrs.setdefault("source_variable", str(variable.name or ""))
    base = state.drop_vars([n for n in (*found, "time") if n in state])
    axis = xr.Variable("time", times, detection.time.attrs)
    return base.assign(found).assign_coords({**cells.coords, "time": axis}).assign_attrs(attrs)
