"""Whether a field and a climatology belong together, and which entry of the climatology each day of the field has."""

from collections.abc import Hashable

import numpy as np
import xarray as xr

from oceankit.anomaly import _calendar
from oceankit.anomaly._baselines import YEAR
from oceankit.anomaly.climatology import source_file
from oceankit.fields import coordinates
from oceankit.fields.coordinates import describe

__all__ = ["axis_of", "places_of", "require_agreement"]


def axis_of(clim: xr.Dataset, *names: str) -> str | None:
    """The dimension of the year of a climatology: ``"dayofyear"``, ``"month"``, or None where no variable has one.

    Raises
    ------
    ValueError
        If a variable of ``names`` is absent, or the year is not whole and in order.
    """
    for name in names:
        if not isinstance(clim, xr.Dataset) or name not in clim:
            raise ValueError(
                f"clim is not a climatology: it has no variable {name!r}; make it with oceankit.climatology"
            )
    dims = {d for name in names for d in clim[name].dims}
    found = [n for n in ("dayofyear", "month") if n in dims]
    if len(found) > 1:
        raise ValueError(f"clim has the dimensions {found}; one of them must be 'dayofyear' or 'month'")
    if not found:
        return None
    by = found[0]
    allowed = (12,) if by == "month" else (366, 360)
    if clim.sizes[by] not in allowed or not np.array_equal(clim[by].values, np.arange(1, clim.sizes[by] + 1)):
        raise ValueError(f"clim has {clim.sizes[by]} entries along {by!r}; it must have the whole year in order")
    return by


def places_of(days: _calendar.Days, by: str | None) -> np.ndarray:
    """Place of each day along the year of a climatology, from 0."""
    if by is None:
        return np.zeros(days.number.size, np.int64)
    return _calendar.day_of_year(days) - 1 if by == "dayofyear" else days.month - 1


def require_agreement(
    field: xr.DataArray | xr.Dataset,
    variable: xr.DataArray,
    clim: xr.Dataset,
    name: str,
    by: str | None,
    days: _calendar.Days,
    dim: Hashable,
    *,
    allow_other_source: bool,
) -> None:
    """Refuse a climatology whose variable ``name`` is not that of the field.

    Raises
    ------
    ValueError
        If calendar, units, cells or (unless allowed) source differ; the message names both.
    """
    if by == "dayofyear" and clim.sizes[by] != _calendar.year_length(days.calendar):
        raise ValueError(
            f"{describe(variable)} is in the calendar {days.calendar!r}, but the climatology has {clim.sizes[by]} days "
            f"a year (calendar {clim.attrs.get('calendar')!r}): convert one with convert_calendar"
        )
    _require_same_units(variable, clim[name])
    _require_same_cells(variable, clim[name], by, dim)
    if not allow_other_source:
        _require_same_source(field, variable, clim)


def _require_same_units(field: xr.DataArray, statistic: xr.DataArray) -> None:
    ours, theirs = field.attrs.get("units"), statistic.attrs.get("units")
    if ours and theirs and str(ours).strip() != str(theirs).strip():
        raise ValueError(
            f"{describe(field)} has units {ours!r}, its climatology {theirs!r}: convert one of them, or give "
            "both the same spelling in attrs['units']"
        )


def _require_same_source(field: xr.DataArray | xr.Dataset, variable: xr.DataArray, clim: xr.Dataset) -> None:
    pairs = {
        "variable": (str(variable.name or ""), clim.attrs.get("source_variable", "")),
        "file": (source_file(field, variable), clim.attrs.get("source_file", "")),
    }
    for what, (ours, theirs) in pairs.items():
        if ours and theirs and ours != theirs:
            raise ValueError(
                f"the climatology comes from the {what} {theirs!r}, the field from {ours!r}, and an anomaly against "
                "the climatology of another source shows the difference of the sources: make the climatology from the "
                "field's own source, or pass allow_other_source=True if both are the same product"
            )


def _require_same_cells(field: xr.DataArray, statistic: xr.DataArray, by: str | None, dim: Hashable) -> None:
    cells = [d for d in statistic.dims if d not in (by, YEAR)]
    for d in cells:
        if d == dim or d not in field.dims:
            raise ValueError(
                f"clim[{statistic.name!r}] has a dimension {d!r} that {describe(field)} lacks: {field.dims}"
            )
        if field.sizes[d] != statistic.sizes[d]:
            raise ValueError(
                f"{describe(field)} has {field.sizes[d]} cells along {d!r}, its climatology {statistic.sizes[d]}: "
                "select the same region of both, or regrid the field before the climatology is made"
            )
    places = {
        *coordinates.candidates(field, "longitude"),
        *coordinates.candidates(field, "latitude"),
        *coordinates.candidates(field, "vertical"),
    }
    for name, theirs in statistic.coords.items():
        if name in (by, YEAR) or name not in field.coords or not (name in places or set(theirs.dims) & set(cells)):
            continue
        ours = field.coords[name]
        alike = set(ours.dims) == set(theirs.dims)
        if not alike or not ours.variable.equals(theirs.variable.transpose(*ours.dims)):
            raise ValueError(
                f"the coordinate {name!r} of {describe(field)} ({_ends(ours)}) differs from its climatology's "
                f"({_ends(theirs)}): an anomaly needs the same cells; select or regrid the field like the climatology's"
            )


def _ends(coordinate: xr.DataArray) -> str:
    values = coordinate.values.ravel()
    return f"{values[0]}" if values.size == 1 else f"{values[0]} to {values[-1]}, {values.size} values"
