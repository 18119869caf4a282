"""What heatwaves, their days and their day-by-day update have in common: field, climatology and options, made ready."""

from collections.abc import Hashable
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from oceankit.anomaly import _calendar
from oceankit.anomaly._agreement import axis_of, places_of, require_agreement
from oceankit.anomaly._baselines import detrended, tabulated
from oceankit.anomaly._conventions import Convention, named
from oceankit.anomaly._packing import Packing, packing_of
from oceankit.anomaly._steps import require_no_holes
from oceankit.anomaly.climatology import one_variable

__all__ = ["Detection", "Options", "Rules", "options_of", "percentile_of", "prepared", "segments_of"]


class Options(NamedTuple):
    """How long and how close, in time steps; and whether below instead of above."""

    min_duration: int
    max_gap: int
    max_missing: int
    cold: bool

    @property
    def sign(self) -> float:
        return -1.0 if self.cold else 1.0


class Rules:
    """What the kernels need to know of a record besides its values; small, as each task of a lazy field has a copy."""

    def __init__(self, segments: np.ndarray, packing: Packing, options: Options, convention: Convention) -> None:
        self.segments, self.packing, self.options, self.convention = segments, packing, options, convention
        runs = [np.arange(place, place + n, dtype=np.uint32) for _, place, n in segments]
        self.places = np.concatenate(runs) if runs else np.empty(0, np.uint32)

    def __reduce__(self) -> tuple[Any, ...]:
        # A place for each day follows from the segments, which are few.
        return Rules, (self.segments, self.packing, self.options, self.convention)


class Detection(NamedTuple):
    """A field and its climatology, checked against each other."""

    variable: xr.DataArray
    time: xr.DataArray
    days: _calendar.Days
    places: np.ndarray
    """uint32 (steps,): where each step stands in the climatology."""
    segments: np.ndarray
    mean: xr.DataArray
    threshold: xr.DataArray
    """Both with the dimensions that they share with the cells, and that of the year last."""
    packing: Packing
    convention: Convention
    options: Options

    @property
    def rules(self) -> Rules:
        return Rules(self.segments, self.packing, self.options, self.convention)

    @property
    def dim(self) -> Hashable:
        return self.time.dims[0]


def options_of(clim: xr.Dataset, min_duration: Any, max_gap: Any, max_missing: Any, cold: Any) -> Options:
    """Options, checked.

    Raises
    ------
    ValueError
        If a number is no whole number or too small, or ``cold`` contradicts the climatology or cannot be told from it.
    """
    axis_of(clim, "mean", "threshold")
    if max_missing is None:
        max_missing = min_duration
    for name, value, least in (
        ("min_duration", min_duration, 1),
        ("max_gap", max_gap, 0),
        ("max_missing", max_missing, 0),
    ):
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
            raise ValueError(f"{name} is {value!r}; give a whole number of time steps, at least {least}")
    percentile = percentile_of(clim)
    told = None if np.isnan(percentile) or percentile == 50.0 else percentile < 50.0
    if cold is None and told is None:
        raise ValueError(
            "the climatology has no percentile above or below 50 that would tell warm from cold events: pass cold=False for days "
            "above the threshold or cold=True for days below it"
        )
    if cold is not None and told is not None and bool(cold) != told:
        raise ValueError(
            f"cold={cold!r} contradicts the climatology, whose threshold is its percentile {percentile:g}: make one with "
            f"percentile={100 - percentile:g}, or leave cold out"
        )
    return Options(int(min_duration), int(max_gap), int(max_missing), bool(told if cold is None else cold))


def percentile_of(clim: xr.Dataset) -> float:
    """The percentile that a climatology's threshold is; NaN where it is somebody's own, the same on all days."""
    theirs = "threshold" in clim and {"dayofyear", "month"} & set(clim["threshold"].dims)
    return float(clim.attrs.get("percentile", np.nan)) if theirs else np.nan


def prepared(
    field: xr.DataArray | xr.Dataset,
    clim: xr.Dataset,
    options: Options,
    *,
    time: Hashable | None,
    allow_other_source: bool,
) -> Detection:
    """A field and a climatology made ready.

    Raises
    ------
    ValueError
        If they do not belong together, or times are not decoded, sorted, unique and without holes.
    """
    by = axis_of(clim, "mean", "threshold")
    convention = named(clim.attrs.get("convention", "oliver"))
    variable = one_variable(field, time)
    axis, days = _calendar.read(variable, time)
    _calendar.require_increasing(axis, days)
    require_no_holes(axis, days)
    for name in ("mean", "threshold"):
        require_agreement(field, variable, clim, name, by, days, axis.dims[0], allow_other_source=allow_other_source)
    of_year = places_of(days, by)
    (mean, places), (threshold, _) = (tabulated(clim, name, by, days, of_year) for name in ("mean", "threshold"))
    places = places.astype(np.uint32)
    variable = detrended(variable, clim, days, axis.dims[0])
    packing = packing_of(variable)
    return Detection(variable, axis, days, places, segments_of(places), mean, threshold, packing, convention, options)


def segments_of(places: np.ndarray) -> np.ndarray:
    """(k, 3) first step, its place and length of each stretch of steps whose places follow each other."""
    if not places.size:
        return np.empty((0, 3), np.int64)
    starts = np.concatenate([[0], 1 + np.flatnonzero(np.diff(places.astype(np.int64)) != 1)])
    sizes = np.diff(np.concatenate([starts, [places.size]]))
    return np.stack([starts, places[starts].astype(np.int64), sizes], axis=1)
