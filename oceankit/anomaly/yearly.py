"""Events year by year: how many, how long, how strong."""

from collections.abc import Hashable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import xarray as xr

from oceankit.anomaly import _calendar
from oceankit.anomaly._metrics import CATEGORIES
from oceankit.anomaly._packing import packing_of
from oceankit.anomaly._years import along_years, counts_of, days_by_year, extremes_of, strongest, year_of
from oceankit.anomaly.climatology import one_variable
from oceankit.fields.coordinates import candidates, describe

__all__ = ["yearly"]

_VALUES = {"value_mean": "mean", "value_max": "greatest", "value_min": "lowest"}


def yearly(
    events: xr.Dataset,
    field: xr.DataArray | xr.Dataset | None = None,
    *,
    days: xr.DataArray | None = None,
    years: tuple[int, int] | None = None,
    like: xr.DataArray | None = None,
    time: Hashable | None = None,
) -> xr.Dataset:
    """Number, mean metrics and totals of the events of each year, in each cell.

    An event belongs to the year in which it starts; only its days are counted in the year in which they fall. These are the
    rules of Oliver's marineHeatWaves.py (blockAverage).

    Parameters
    ----------
    events
        From :func:`oceankit.heatwaves`, or any Dataset along ``event`` with ``start``, ``end``, ``duration`` and ``cell``.
    field
        In which they were found, lazy or not. Its time says which years there are, its cells where events may be, and its
        values give mean, maximum and minimum of each year.
    days
        Categories of the days, from :func:`oceankit.heatwave_days` with the same options: adds the days in each category.
    years
        First and last year, both included; by default those of the field (or of ``days``). Events that start in other years are
        left out. Needed where neither is given: events do not tell for how long nothing happened.
    like
        An array with the cells of the field, such as ``clim["mean"]``. Cells that it is missing in are missing in the result;
        by default those without a value in the field in any of the years, which takes a pass over a lazy field. It also
        stands for the cells where no field is given. The events of a single series need neither.
    time
        Name of the time coordinate of field and days, where it is not found by itself.

    Returns
    -------
    xarray.Dataset
        Along ``year`` and the dimensions of the cells, float64, in the units of the events: ``count``; means over the events
        that start in the year of ``duration``, ``intensity_*``, ``rate_onset`` and ``rate_decline``, as far as the
        events have them; ``intensity_max_max`` of the strongest and ``total_icum``, the sum of their cumulative intensities;
        ``total_days``, the days of events that fall into the year. With days ``moderate_days``, ``strong_days``,
        ``severe_days`` and ``extreme_days``, with a field ``value_mean``, ``value_max`` and ``value_min``: lazy if these are.
        In a year without events ``count`` and totals are 0 and means missing. A metric that is missing for an event does not
        enter its year's mean.

    Raises
    ------
    ValueError
        If there is no dimension ``event`` or a column is missing, field, days, like and events are not of the same cells,
        years are not covered or not known, or times are not decoded, sorted, unique and in one chunk.

    Notes
    -----
    The result is dense: some 25 variables of 8 bytes for each year and cell. The first and the last year of a record are
    counted as far as they have data, and so are years with holes. In
    marineHeatWaves.py the cumulative intensity of an event that lasts beyond its year enters ``total_icum`` of its last year,
    although its comment says the first, as here.

    References
    ----------
    Oliver, E. C. J., marineHeatWaves.py, https://github.com/ecjoliver/marineHeatWaves.

    Examples
    --------
    >>> import numpy as np, xarray as xr
    >>> from oceankit.anomaly import heatwaves
    >>> days = xr.date_range("2001-01-01", "2003-12-31")
    >>> sst = xr.DataArray(np.full(days.size, 15.0), dims="time", coords={"time": days}, name="sst")
    >>> sst[100:110], sst[200:220] = 18.0, 17.0
    >>> events = heatwaves(sst, xr.Dataset({"mean": 15.0, "threshold": 16.0}), cold=False)
    >>> table = yearly(events, sst)
    >>> table["count"].values, table["duration"].values, table["value_max"].values
    (array([2., 0., 0.]), array([15., nan, nan]), array([18., 15., 15.]))
    """
    _require_columns(events)
    records = {name: _Record.of(array, time) for name, array in (("field", field), ("days", days)) if array is not None}
    first, last = span = _span(years, records)
    values: dict[str, xr.DataArray] = {}
    if "field" in records:
        values |= _values(records["field"], span)
    if "days" in records:
        values |= _category_days(records["days"], span)
    grid = _grid_of(events, records, values, like)
    coords = {"year": ("year", np.arange(first, last + 1), {"long_name": "calendar year"}), **grid.coords}
    out = xr.Dataset(coords=coords, attrs={k: v for k, v in events.attrs.items() if k != "history"})
    for name, (data, attrs) in _columns(events, _cells_of(events, grid), span, grid.shape).items():
        out[name] = (("year", *grid.dims), np.where(grid.known, data, np.nan), attrs)
    known = xr.DataArray(grid.known, dims=grid.dims)
    for name, array in values.items():
        bare = array.transpose("year", *grid.dims).drop_vars(list(array.coords))
        out[name] = bare.where(known).assign_attrs(array.attrs)
    return out


class _Record(NamedTuple):
    """An array along time."""

    variable: xr.DataArray
    days: _calendar.Days
    dim: Hashable

    @classmethod
    def of(cls, array: xr.DataArray | xr.Dataset, time: Hashable | None) -> "_Record":
        variable = one_variable(array, time)
        axis, days = _calendar.read(variable, time)
        _calendar.require_increasing(axis, days)
        return cls(variable, days, axis.dims[0])


class _Grid(NamedTuple):
    """The cells that are counted, and of which of them anything is known."""

    dims: tuple[Hashable, ...]
    shape: tuple[int, ...]
    coords: dict[Hashable, xr.DataArray]
    known: np.ndarray

    def index_of(self, dim: Hashable) -> Any:
        return self.coords[dim].to_index() if dim in self.coords else pd.RangeIndex(self.shape[self.dims.index(dim)])


def _require_columns(events: xr.Dataset) -> None:
    if not isinstance(events, xr.Dataset) or "event" not in events.dims:
        raise ValueError(
            "events must be a Dataset along 'event', as heatwaves() returns it; this has no such dimension"
        )
    missing = [name for name in ("start", "end", "duration", "cell") if name not in events]
    if missing:
        raise ValueError(f"events lack {', '.join(missing)}; they have {sorted(map(str, events.data_vars))}")


def _span(years: Any, records: dict[str, _Record]) -> tuple[int, int]:
    """First and last year, covered by all records."""
    if years is None:
        if not records:
            raise ValueError(
                "which years there are is not known: give the field, or years=(first, last); events do not tell for how long "
                "nothing happened"
            )
        days = next(iter(records.values())).days
        years = int(days.year[0]), int(days.year[-1])
    whole = not isinstance(years, str) and np.shape(years) == (2,) and np.asarray(years).dtype.kind in "iu"
    if not whole or years[0] > years[1]:
        raise ValueError(f"years is {years!r}; give the first and the last year as whole numbers: (1982, 2022)")
    asked = int(years[0]), int(years[1])
    for name, record in records.items():
        first, last = int(record.days.year[0]), int(record.days.year[-1])
        if asked[0] < first or asked[1] > last:
            raise ValueError(
                f"the years {asked} are wanted, and {name} ({describe(record.variable)}) has {first} to {last}"
            )
    return asked


def _values(field: _Record, span: tuple[int, int]) -> dict[str, xr.DataArray]:
    packing = packing_of(field.variable)
    found = along_years(partial(extremes_of, packing), field.variable, field.days, field.dim, span, 3)
    label = field.variable.attrs.get("long_name", field.variable.name or "value")
    units = {k: v for k, v in field.variable.attrs.items() if k in ("units", "units_metadata")}
    return {
        name: array.assign_attrs({"long_name": f"{what} {label} of the year", **units})
        for (name, what), array in zip(_VALUES.items(), found, strict=True)
    }


def _category_days(days: _Record, span: tuple[int, int]) -> dict[str, xr.DataArray]:
    found = along_years(counts_of, days.variable, days.days, days.dim, span, len(CATEGORIES))
    return {
        f"{name}_days": array.assign_attrs({"long_name": f"days of category {n} ({name}) in the year", "units": "days"})
        for (n, name), array in zip(enumerate(CATEGORIES, 1), found, strict=True)
    }


def _grid_of(
    events: xr.Dataset, records: dict[str, _Record], values: dict[str, xr.DataArray], like: xr.DataArray | None
) -> _Grid:
    """The cells of ``like`` or of the first record; all given must have the same."""
    given = {name: _cells(record.variable, {record.dim}) for name, record in records.items()}
    if like is not None:
        of_time = {d for name in candidates(like, "time") for d in like[name].dims} | {"dayofyear", "month", "year"}
        given = {"like": _cells(like, of_time), **given}
    if not given:
        along = [str(name) for name, c in events.coords.items() if "event" in c.dims and name != "event"]
        if along or (events["cell"] != 0).any():
            raise ValueError(
                f"the events are of several cells ({', '.join(along) or 'cell'} differ): give the field they were found in, "
                "or like=, an array with the same cells such as clim['mean']"
            )
        return _Grid((), (), {}, np.array(True))
    (name, grid), *others = given.items()
    for other, cells in others:
        if set(cells.dims) != set(grid.dims) or not all(cells.index_of(d).equals(grid.index_of(d)) for d in grid.dims):
            raise ValueError(f"{other} and {name} are of different cells: select the same part of both")
    known = like.notnull() if like is not None else values["value_mean"].notnull() if "field" in records else None
    if known is None:
        return grid._replace(known=np.ones(grid.shape, bool))
    return grid._replace(known=known.any([d for d in known.dims if d not in grid.dims]).transpose(*grid.dims).values)


def _cells(array: xr.DataArray, of_time: set[Hashable]) -> _Grid:
    dims = tuple(d for d in array.dims if d not in of_time)
    coords = {name: c for name, c in array.coords.items() if set(c.dims) <= set(dims)}
    return _Grid(dims, tuple(array.sizes[d] for d in dims), coords, np.array(True))


def _cells_of(events: xr.Dataset, grid: _Grid) -> np.ndarray:
    """Flat index of each event's cell in the grid, whose dimensions may be in another order than those of the field."""
    given = events["cell"].values.astype(np.int64)
    at = []
    for d in grid.dims:
        if d not in events.coords:
            raise ValueError(f"the events have no coordinate {d!r}, which is a dimension of the cells {grid.dims}")
        index = grid.index_of(d)
        if not index.is_unique:
            raise ValueError(
                f"the cells have the same {d!r} twice, so that events cannot be told apart: drop the coordinate"
            )
        found = index.get_indexer(events[d].values)
        if (found < 0).any():
            value = events[d].values[int(np.argmax(found < 0))]
            raise ValueError(
                f"an event lies at {d}={value}, where field (or days, like) has no cell: give that of the events"
            )
        at.append(found)
    cell = np.ravel_multi_index(tuple(at), grid.shape) if at else np.zeros_like(given)
    if not any(d in grid.coords for d in grid.dims) and not np.array_equal(cell, given):
        raise ValueError(
            f"the events are of other cells than {dict(zip(grid.dims, grid.shape, strict=True))}: give theirs"
        )
    return cell


def _columns(
    events: xr.Dataset, cell: np.ndarray, span: tuple[int, int], cells: tuple[int, ...]
) -> dict[str, tuple[np.ndarray, dict[str, Any]]]:
    """What is told of each year of the events, as data and attributes."""
    year = year_of(events["start"])
    kept = (year >= span[0]) & (year <= span[1])
    shape = (span[1] - span[0] + 1, *cells)
    size, n_cells = int(np.prod(shape)), int(np.prod(cells))
    place = ((year - span[0]) * n_cells + cell)[kept]

    def summed(values: np.ndarray, at: np.ndarray = place) -> np.ndarray:
        return np.bincount(at, values, minlength=size).astype(np.float64).reshape(shape)

    def told(name: str, meaning: str) -> dict[str, Any]:
        return {"long_name": meaning} | (
            {"units": events[name].attrs["units"]} if "units" in events[name].attrs else {}
        )

    out: dict[str, tuple[np.ndarray, dict[str, Any]]] = {
        "count": (summed(np.ones(place.size)), {"long_name": "number of events that start in the year", "units": "1"})
    }
    for name in map(str, events.data_vars):
        if name != "duration" and not name.startswith(("intensity_", "rate_")):
            continue
        values = events[name].values[kept].astype(np.float64)
        there = ~np.isnan(values)
        with np.errstate(invalid="ignore"):
            mean = summed(np.where(there, values, 0.0)) / summed(there)
        label = events[name].attrs.get("long_name", name.replace("_", " "))
        out[name] = mean, told(name, f"mean over the year's events of: {label}")
        if name == "intensity_max":
            most = strongest(values, place, size, events.attrs.get("kind")).reshape(shape)
            out["intensity_max_max"] = most, told(name, "intensity_max of the year's strongest event")
        if name == "intensity_cumulative":
            total = summed(np.where(there, values, 0.0))
            out["total_icum"] = total, told(name, "sum of the cumulative intensities of the year's events")
    of, when, count = days_by_year(events)
    inside = (when >= span[0]) & (when <= span[1])
    days = summed(count[inside], ((when - span[0]) * n_cells + cell[of])[inside])
    out["total_days"] = days, told("duration", "days of events that fall into the year")
    return out
