"""The Dataset of events that were followed: what each was, its path, the ledger of merges and splits, and its balance."""

from typing import Any

import numpy as np
import xarray as xr

from oceankit.anomaly import _track_kernels as kernels
from oceankit.anomaly._tracks import Places, Record
from oceankit.numerics import sphere

__all__ = ["events_of"]

_KINDS = np.array(["continuation", "split", "merge", "exchange"])
Columns = dict[str, tuple[Any, dict[str, Any]]]


def events_of(
    record: Record, axis: xr.DataArray, places: Places, values: xr.DataArray | None, cold: bool, options: dict[str, Any]
) -> tuple[xr.Dataset, np.ndarray]:
    """The Dataset of :func:`oceankit.anomaly.track`, and the number of the event of each object, 0 for short ones."""
    n_all = int(record.event.max(initial=-1)) + 1
    duration = np.bincount(record.event, minlength=n_all)
    kept = duration >= options["min_duration"]
    numbers = np.where(kept, np.cumsum(kept), 0)
    number = numbers[record.event]
    # A stable sort keeps the steps of each event in order.
    rows = np.argsort(number, kind="stable")[np.count_nonzero(number == 0) :]
    first = np.flatnonzero(np.diff(number[rows], prepend=0))
    words = _Words(axis, places, values, cold)
    events = _measured(record, rows, first, words)
    events |= _ends(record, rows, first, numbers, number, axis.size)
    columns = {
        "event": events,
        "point": _points(record, rows, number, words),
        "link": _ledger(record, number, words),
        axis.dims[0]: _balance(record, number, events, axis.size, words),
    }
    data = {name: (dim, *column) for dim, some in columns.items() for name, column in some.items()}
    coords = {
        "event": ("event", np.arange(1, first.size + 1), {"long_name": "number of the event, as in the labels"}),
        axis.name: axis.variable,
    }
    return xr.Dataset(data, coords, {**options, "areas": words.measured}), number


class _Words:
    """Dates, names and units of what the Dataset holds."""

    def __init__(self, axis: xr.DataArray, places: Places, values: xr.DataArray | None, cold: bool) -> None:
        self.times, self.places, self.values = axis.values, places, values
        self.which = "lowest" if cold else "highest"
        self.area = {"units": places.units} if places.units else {}
        self.measured = "1 (cells are counted)" if places.counted else (places.units or "as given")
        if values is not None:
            self.label = values.attrs.get("long_name", values.name or "value")
            self.units = {k: v for k, v in values.attrs.items() if k in ("units", "units_metadata")}

    def position(self, centre: np.ndarray, suffix: str = "", prefix: str = "", what: str = "") -> Columns:
        """Columns of longitude and latitude, or x and y, of centroids (n, 3)."""
        if self.places.kind == "none":
            return {}
        if self.places.kind == "plane":
            names, pair = ("x", "y"), (centre[:, 0], centre[:, 1])
            attrs: tuple[dict[str, str], ...] = ({}, {})
        else:
            lon, lat = sphere.lonlat(centre)
            lon = np.where(lon < 0, lon + 360.0, lon) if self.places.east else lon
            names, pair = ("lon", "lat"), (np.where(lon >= 360.0, 0.0, lon), lat)
            attrs = tuple({"units": u} for u in ("degrees_east", "degrees_north"))
        return {
            f"{prefix}{n}{suffix}": (p, {"long_name": f"{n} of the centroid{what}", **a})
            for n, p, a in zip(names, pair, attrs, strict=True)
        }


def _measured(record: Record, rows: np.ndarray, first: np.ndarray, words: _Words) -> Columns:
    """What each event was: dates, areas, positions, intensities."""
    step, area = record.step[rows], record.area[rows]
    last = _last(first, rows.size)
    duration = last - first + 1
    peak = _first_highest(area, first, duration)
    total = _sums(area, first)
    dates = {"start": (first, "first step"), "end": (last, "last step"), "peak": (peak, "step of the largest area")}
    out: Columns = {
        n: (words.times[step[at]], {"long_name": f"{what} of the event"}) for n, (at, what) in dates.items()
    }
    out["duration"] = (
        duration,
        {"long_name": "duration of the event in time steps", "units": "1", "sample_dimension": "point"},
    )
    out["area_max"] = area[peak], {"long_name": "largest area", **words.area}
    out["area_mean"] = total / duration, {"long_name": "mean area over the steps", **words.area}
    out["area_cumulative"] = total, {"long_name": "sum of the area over the steps", **words.area}
    for name, (at, what) in dates.items():
        out |= words.position(record.centre[rows[at]], f"_{name}", what=f" at the {what}")
    if words.places.kind != "none":
        out["path_length"] = _path_length(record.centre[rows], first, words)
    if words.values is not None:
        highest = record.extreme[rows] * (-1.0 if words.which == "lowest" else 1.0)
        at = _first_highest(np.where(np.isnan(highest), -np.inf, highest), first, duration)
        mean = _sums(record.total[rows], first) / _positive(_sums(record.weight[rows], first))
        summed = _sums(np.nan_to_num(record.mean[rows]), first)
        out["intensity_max"] = record.extreme[rows[at]], {"long_name": f"{words.which} {words.label}", **words.units}
        out["intensity_peak"] = words.times[step[at]], {"long_name": f"step of the {words.which} {words.label}"}
        out["intensity_mean"] = mean, {"long_name": f"mean {words.label} by area and step", **words.units}
        out["intensity_cumulative"] = (
            np.where(np.isnan(mean), np.nan, summed),
            {"long_name": f"sum over the steps of the mean {words.label} by area", **words.units},
        )
    return out


def _last(first: np.ndarray, size: int) -> np.ndarray:
    """Last row of each event."""
    return np.append(first, size)[1:] - 1 if first.size else first


def _sums(column: np.ndarray, first: np.ndarray) -> np.ndarray:
    """Sums of the rows of each event; none is empty."""
    return np.add.reduceat(column, first) if first.size else np.empty(0)


def _positive(column: np.ndarray) -> np.ndarray:
    return np.where(column > 0, column, np.nan)


def _first_highest(column: np.ndarray, first: np.ndarray, duration: np.ndarray) -> np.ndarray:
    """Row of the highest value of each event, the first of equals."""
    if not first.size:
        return first
    highest = np.repeat(np.maximum.reduceat(column, first), duration)
    return np.minimum.reduceat(np.where(column == highest, np.arange(column.size), column.size), first)


def _path_length(centre: np.ndarray, first: np.ndarray, words: _Words) -> tuple[np.ndarray, dict[str, Any]]:
    apart = np.linalg.norm(np.diff(centre, axis=0, prepend=centre[:1]), axis=1)
    if words.places.kind == "sphere":
        apart = 2e-3 * sphere.EARTH_RADIUS * np.arcsin(np.clip(apart / 2, 0.0, 1.0))
    apart[first] = 0.0
    units = {"units": "km"} if words.places.kind == "sphere" else {}
    return _sums(apart, first), {"long_name": "length of the way of the centroid", **units}


def _ends(
    record: Record, rows: np.ndarray, first: np.ndarray, numbers: np.ndarray, number: np.ndarray, n_steps: int
) -> Columns:
    """How each event began and ended, and with whom."""
    last = _last(first, rows.size)
    n_all = numbers.size
    parent, heir = np.full(n_all, -1), np.full(n_all, -1)
    split, merge = record.kind == kernels.SPLITS, record.kind == kernels.MERGES
    parent[record.event[record.new[split]]] = number[record.old[split]]
    heir[record.event[record.old[merge]]] = number[record.new[merge]]
    whole = np.flatnonzero(numbers)
    parent, heir = parent[whole], heir[whole]
    ended = np.where(heir >= 0, "merged", np.where(record.step[rows[last]] == n_steps - 1, "open", "dissipated"))
    too_short = "0 where there is none, or it was too short to be kept"
    return {
        "began": (np.where(parent >= 0, "split", "formed"), {"long_name": "how the event began"}),
        "parent": (np.maximum(parent, 0), {"long_name": f"event that it split from, {too_short}"}),
        "ended": (ended, {"long_name": "how the event ended, open at the last step"}),
        "merged_into": (np.maximum(heir, 0), {"long_name": f"event that it merged into, {too_short}"}),
    }


def _points(record: Record, rows: np.ndarray, number: np.ndarray, words: _Words) -> Columns:
    """The paths, event by event and step by step."""
    out: Columns = {
        "point_event": (number[rows], {"long_name": "event of the point"}),
        "point_time": (words.times[record.step[rows]], {"long_name": "time of the point"}),
        "point_area": (record.area[rows], {"long_name": "area of the object", **words.area}),
    }
    out |= words.position(record.centre[rows], prefix="point_")
    if words.values is not None:
        out["point_intensity_mean"] = record.mean[rows], {"long_name": f"mean {words.label} by area", **words.units}
        out["point_intensity_max"] = record.extreme[rows], {"long_name": f"{words.which} {words.label}", **words.units}
    return out


def _ledger(record: Record, number: np.ndarray, words: _Words) -> Columns:
    """Splits, merges and exchanges by time, those between short events left out."""
    told = np.flatnonzero((record.kind != kernels.CONTINUES) & ((number[record.old] > 0) | (number[record.new] > 0)))
    told = told[np.lexsort((record.new[told], record.old[told], record.step[record.new[told]]))]
    old, new = record.old[told], record.new[told]
    short = "0 where it was too short to be kept"
    return {
        "link_time": (words.times[record.step[new]], {"long_name": "later of the two steps"}),
        "link_kind": (_KINDS[record.kind[told]], {"long_name": "split, merge, or exchange between events that go on"}),
        "link_from": (number[old], {"long_name": f"event at the earlier step, {short}"}),
        "link_to": (number[new], {"long_name": f"event at the later step, {short}"}),
        "link_area": (record.shared[told], {"long_name": "area that the two objects share", **words.area}),
    }


def _balance(record: Record, number: np.ndarray, events: Columns, n_steps: int, words: _Words) -> Columns:
    """Objects of each step, and by which ways there are more or fewer than before."""
    kept = number > 0
    position = {t: k for k, t in enumerate(words.times.tolist())}
    begins = np.array([position[t] for t in events["start"][0].tolist()], np.int64)
    ends = np.array([position[t] for t in events["end"][0].tolist()], np.int64) + 1
    split, merged, gone = (
        events[n][0] == w for n, w in (("began", "split"), ("ended", "merged"), ("ended", "dissipated"))
    )

    def count(steps: np.ndarray) -> np.ndarray:
        return np.bincount(steps, minlength=n_steps)[:n_steps]

    columns = {
        "n_objects": (count(record.step[kept]), "objects"),
        "n_formed": (count(begins[~split]), "events that formed"),
        "n_split": (count(begins[split]), "events that split from another"),
        "n_merged": (count(ends[merged]), "events that merged into another since the step before"),
        "n_dissipated": (count(ends[gone]), "events that dissipated since the step before"),
    }
    out: Columns = {n: (c, {"long_name": f"number of {what}", "units": "1"}) for n, (c, what) in columns.items()}
    total = np.bincount(record.step[kept], record.area[kept], minlength=n_steps)
    out["area_total"] = total, {"long_name": "area of all objects", **words.area}
    return out
