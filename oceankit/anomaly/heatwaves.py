"""Marine heatwaves and cold spells after Hobday et al. (2016, 2018), of any variable that has a climatology."""

from collections.abc import Hashable, Sequence
from functools import partial

import numpy as np
import xarray as xr

from oceankit.anomaly._detection import Detection, Options, Rules, options_of, percentile_of, prepared
from oceankit.anomaly._event_table import cell_coordinates, event_variables, over
from oceankit.anomaly._heatwave_kernels import COLUMNS, N_STATUS, categories_of, follow
from oceankit.anomaly._metrics import CATEGORIES, metrics_of
from oceankit.anomaly._packing import native
from oceankit.anomaly._ragged import aligned_rows, events_along, events_in_memory, require_one_chunk, spread
from oceankit.anomaly._steps import step_name
from oceankit.fields import blocks
from oceankit.numerics import threads

__all__ = ["heatwave_days", "heatwaves"]

_ROWS = 32


def heatwaves(
    field: xr.DataArray | xr.Dataset,
    clim: xr.Dataset,
    *,
    min_duration: int = 5,
    max_gap: int = 2,
    max_missing: int | None = None,
    cold: bool | None = None,
    time: Hashable | None = None,
    allow_other_source: bool = False,
) -> xr.Dataset:
    """Events in which a field lies beyond its threshold for at least ``min_duration`` days, with all of their metrics.

    A day counts when its value is strictly above the threshold of its day of the year (strictly below it for cold spells).
    Events no more than ``max_gap`` days apart are joined; each must be long enough on its own, and the days of the gap belong
    to the joined event. The program whose conventions hold is the one named when the climatology was made.

    Parameters
    ----------
    field
        Daily values of any dimensions besides time, lazy or not; other steps work too, and durations count steps. Packed
        integers of at most 16 bits (with ``scale_factor``, ``add_offset``, ``_FillValue`` in their attributes, as read with
        ``mask_and_scale=False``) are taken as they are. A lazy field must have time in one chunk.
    clim
        From :func:`oceankit.climatology`, or any Dataset with ``mean`` and ``threshold``. A variable without a dimension of the
        year is the same on all days: ``clim.assign(threshold=2.0)``, with ``cold`` given, finds days beyond 2 in the field's
        units.
    min_duration
        Days above the threshold that an event needs.
    max_gap
        Days at or below the threshold that do not separate two events; 0 joins nothing.
    max_missing
        A day without value neither ends a run of days nor counts in it, so that missing data neither split an event nor make
        one. Holes of more than ``max_missing`` days (default: ``min_duration``) are taken as days that are not beyond the
        threshold; with 0 every missing day is, as in other programs. Metrics are of the days that have a value.
    cold
        Whether events lie below the threshold. It is read from the climatology's percentile; where that does not tell (50, or
        a threshold of your own, the same on all days) it must be given.
    time
        Name of the time coordinate, where it is not found by itself.
    allow_other_source
        As in :func:`oceankit.anomalies`.

    Returns
    -------
    xarray.Dataset
        Along ``event``, ordered by cell and then by time, in memory (also of a lazy field, which is computed by blocks of
        cells): ``start``, ``end`` and ``peak`` (dates), ``duration`` and the number of days in each category, ``days_missing``;
        ``intensity_max``, ``_mean``, ``_var`` (a standard deviation) and ``_cumulative`` of the departure from the mean, and
        the same with ``_relThresh`` from the threshold and ``_abs`` of the value itself; ``category`` (1 to 4); ``rate_onset``
        and ``rate_decline``; positions along time; ``cell`` (flat index over the other dimensions) and the cell's
        coordinates. All metrics are float64. Intensities of cold spells are negative.

    Raises
    ------
    ValueError
        If an option is out of range, the climatology is of other cells, units, calendar or source, ``cold`` contradicts it, or
        times are not decoded, sorted, unique, without holes and in one chunk.

    Notes
    -----
    Rates are between halfway to the day before the first (after the last) and the peak. Where that day is missing or outside
    the record, they are taken from the first (last) day itself, or are missing in the conventions of R. Where threshold and
    mean are equal, a day beyond them is of category 4.

    References
    ----------
    Hobday, A. J., et al. (2016). A hierarchical approach to defining marine heatwaves. Progress in Oceanography 141, 227-238.
    Hobday, A. J., et al. (2018). Categorizing and naming marine heatwaves. Oceanography 31(2), 162-173.

    Examples
    --------
    >>> import numpy as np, xarray as xr
    >>> from oceankit.anomaly import climatology
    >>> days = xr.date_range("2001-01-01", "2004-12-31")
    >>> sst = xr.DataArray(np.tile([14.9, 15.1], 731)[: days.size], dims="time", coords={"time": days}, name="sst")
    >>> clim = climatology(sst, period=(2001, 2004))
    >>> sst[500:510] += 2
    >>> events = heatwaves(sst, clim)
    >>> str(events["start"].values[0])[:10], int(events["duration"][0]), int(events["category"][0])
    ('2002-05-16', 10, 4)
    """
    options = options_of(clim, min_duration, max_gap, max_missing, cold)
    detection = prepared(field, clim, options, time=time, allow_other_source=allow_other_source)
    ordered = detection.variable.transpose(..., detection.dim)
    fields = [ordered, detection.mean, detection.threshold]
    cells, *metrics = events_along(partial(events_of_rows, detection.rules), fields, detection.dim)
    return described(detection, ordered, cells, metrics, clim)


def heatwave_days(
    field: xr.DataArray | xr.Dataset,
    clim: xr.Dataset,
    *,
    min_duration: int = 5,
    max_gap: int = 2,
    max_missing: int | None = None,
    cold: bool | None = None,
    time: Hashable | None = None,
    allow_other_source: bool = False,
) -> xr.DataArray:
    """Category of each day of a heatwave (or cold spell), 0 where there is none.

    Parameters
    ----------
    field, clim, min_duration, max_gap, max_missing, cold, time, allow_other_source
        As in :func:`heatwaves`. The days of a gap are not beyond the threshold and have category 0, so ``max_gap`` changes
        nothing here; it is accepted so that both functions take the same options.

    Returns
    -------
    xarray.DataArray
        int8, with the dimensions, coordinates and (lazy) chunks of the field, named ``heatwave_category`` or
        ``cold_spell_category``: 1 moderate, 2 strong, 3 severe, 4 extreme. It is 0 where the field is missing.

    Raises
    ------
    ValueError
        As :func:`heatwaves`.

    Examples
    --------
    >>> import numpy as np, xarray as xr
    >>> days = xr.date_range("2001-01-01", periods=9)
    >>> o2 = xr.DataArray([6, 5, 1.9, 1, 0.4, 1.1, 1.8, 3, 1], dims="time", coords={"time": days}, name="oxygen")
    >>> levels = xr.Dataset({"mean": 3.0, "threshold": 2.0})
    >>> heatwave_days(o2, levels, cold=True).values
    array([0, 0, 1, 2, 2, 1, 1, 0, 0], dtype=int8)
    """
    options = options_of(clim, min_duration, max_gap, max_missing, cold)
    found = prepared(field, clim, options, time=time, allow_other_source=allow_other_source)
    variable, dim = found.variable, found.dim
    require_one_chunk(variable, dim)
    return _described_days(found, _days(found), clim)


def heatwaves_and_days(
    field: xr.DataArray,
    clim: xr.Dataset,
    *,
    min_duration: int,
    max_gap: int,
    max_missing: int | None,
    time: Hashable | None,
) -> tuple[xr.Dataset, xr.DataArray]:
    """What :func:`heatwaves` and :func:`heatwave_days` give of a field in memory, each series read once for both."""
    options = options_of(clim, min_duration, max_gap, max_missing, None)
    found = prepared(field, clim, options, time=time, allow_other_source=False)
    rules, ordered = found.rules, found.variable.transpose(..., found.dim)
    data = np.asarray(ordered.data)
    days, put = blocks.like(data, np.int8)

    def events_of(
        start: int, stop: int, rows: np.ndarray, mean: np.ndarray, threshold: np.ndarray
    ) -> tuple[np.ndarray, ...]:
        part = np.zeros(rows.shape, np.int8)
        events = events_of_rows(rules, rows, mean, threshold, part)
        put(start, stop, part)
        return events

    beside = [np.asarray(spread(table, ordered.dims[:-1]).data) for table in (found.mean, found.threshold)]
    cells, *metrics = events_in_memory(events_of, data, beside)
    by_day = xr.DataArray(days, dims=ordered.dims)
    return described(found, ordered, cells, metrics, clim), _described_days(found, by_day, clim)


def _described_days(found: Detection, days: xr.DataArray, clim: xr.Dataset) -> xr.DataArray:
    variable = found.variable
    kept = {key: value for key, value in variable.attrs.items() if key == "grid_mapping"}
    what = "cold_spell" if found.options.cold else "heatwave"
    attrs = kept | {
        "long_name": f"category of the {what.replace('_', ' ')}",
        "flag_values": np.arange(5, dtype=np.int8),
        "flag_meanings": " ".join(("none", *CATEGORIES)),
        "reference_climatology": _reference(clim),
    }
    out = variable.copy(data=days.transpose(*variable.dims).data)
    out.name, out.attrs, out.encoding = f"{what}_category", attrs, {}
    return out


def events_of_rows(
    rules: Rules, rows: np.ndarray, mean: np.ndarray, threshold: np.ndarray, days: np.ndarray | None = None
) -> tuple[np.ndarray, ...]:
    """Cells and metrics of the events of (n, steps) rows of stored values; what has not ended at the last step ends there.

    Categories of the days are written into the zeros of ``days`` (n, steps) int8.
    """
    steps, o = rows.shape[1], rules.options
    none = np.zeros((0, steps), np.int8)
    found = []
    # Records of few cells stay in cache until metrics are made of them.
    for start in range(0, max(1, len(rows)), _ROWS):
        part = slice(start, start + _ROWS)
        n = len(rows[part])
        cells, records = follow(
            native(rows[part]), rules.packing.numbers, o.sign, mean[part], threshold[part], rules.places, rules.segments,
            0, 0, False, o.min_duration, o.max_gap, o.max_missing,
            np.zeros((n, N_STATUS), np.int64), np.zeros((n, COLUMNS)), np.full(n, np.nan), none if days is None else days[part],
        )  # fmt: skip
        found.append((cells + start, *metrics_of(records, rules.convention, o.sign)))
    return tuple(np.concatenate(columns) for columns in zip(*found, strict=True))


def described(
    detection: Detection, ordered: xr.DataArray, cells: np.ndarray, metrics: Sequence[np.ndarray], clim: xr.Dataset
) -> xr.Dataset:
    """The Dataset of events."""
    variables = event_variables(
        metrics, cells, detection.time.values, detection.options.sign,
        str(detection.variable.attrs.get("units", "")), step_name(detection.days),
    )  # fmt: skip
    variables["cell"][2]["long_name"] = f"flat index of the cell{over(ordered.dims[:-1])}"
    result = xr.Dataset(variables, attrs=_attributes(detection.options, clim, detection.variable))
    return result.assign_coords(cell_coordinates(ordered, detection.dim, cells, taken=set(variables) | {"event"}))


def _attributes(options: Options, clim: xr.Dataset, variable: xr.DataArray) -> dict[str, object]:
    return {
        "kind": "cold spells" if options.cold else "heatwaves",
        "min_duration": options.min_duration,
        "max_gap": options.max_gap,
        "max_missing": options.max_missing,
        "convention": str(clim.attrs.get("convention", "oliver")),
        "reference_climatology": _reference(clim),
        "source_variable": str(variable.name or ""),
    }


def _reference(clim: xr.Dataset) -> str:
    percentile = percentile_of(clim)
    if np.isnan(percentile):
        return "a threshold of the user's own"
    return f"percentile {percentile:g} over {clim.attrs.get('period', 'an unrecorded period')}"


def _days(found: Detection) -> xr.DataArray:
    """Categories with time last."""
    year, rules = found.mean.dims[-1], found.rules

    def categories(data: np.ndarray, mean: np.ndarray, threshold: np.ndarray) -> np.ndarray:
        beside = [np.expand_dims(b, tuple(range(data.ndim - b.ndim))) for b in (mean, threshold)]
        n_rows, block, rows = aligned_rows(data, beside)
        out, put = blocks.like(data, np.int8)

        def work(start: int, stop: int) -> None:
            put(start, stop, categories_of_rows(rules, *rows(start, stop)))

        threads.over_blocks(work, n_rows, block=block)
        return out

    bare = found.variable.drop_vars(list(found.variable.coords))
    return xr.apply_ufunc(
        categories, bare, found.mean, found.threshold, input_core_dims=[[found.dim], [year], [year]],
        output_core_dims=[[found.dim]], dask="parallelized", output_dtypes=[np.int8],
    )  # fmt: skip


def categories_of_rows(rules: Rules, rows: np.ndarray, mean: np.ndarray, threshold: np.ndarray) -> np.ndarray:
    """int8 (n, steps) categories of the days of (n, steps) rows of stored values."""
    o = rules.options
    return categories_of(
        native(rows), rules.packing.numbers, o.sign, mean, threshold, rules.places, rules.segments,
        o.min_duration, o.max_missing,
    )  # fmt: skip
