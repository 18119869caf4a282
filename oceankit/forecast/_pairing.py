"""A forecast and the truth it is held against: read, checked, and paired start by start."""

import re
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from oceankit.fields.coordinates import candidates, describe
from oceankit.forecast._steps import Step, shifted, text
from oceankit.observations import matching

__all__ = [
    "Given",
    "Pairs",
    "beside",
    "on_grid",
    "place_in_year",
    "read_forecast",
    "read_truth",
    "seasonal",
    "seconds",
    "slabs",
]

_LEAD = re.compile(r"(?:(\d+) )?(month|day|hour)s?")
_SLAB = 24 * 2**20  # values held at once


@dataclass(frozen=True)
class Given:
    """A forecast as it was given: the fields along (init_time, lead_time, *space), and when they are valid."""

    fields: dict[str, xr.DataArray]
    """``mean``, ``std``, ``members`` and ``p``, those that there are"""
    init: np.ndarray
    valid: np.ndarray
    """Times (init_time, lead_time)"""
    lead: xr.DataArray
    space: tuple[Hashable, ...]

    @property
    def one(self) -> xr.DataArray:
        """Any of the fields, for names, units and coordinates."""
        return next(iter(self.fields.values()))

    @property
    def cells(self) -> xr.DataArray:
        """The field of one time: names, coordinates and attributes of the cells."""
        field = self.one.isel(init_time=0, lead_time=0, drop=True)
        return field.isel(member=0, drop=True) if "member" in field.dims else field


@dataclass(frozen=True)
class Pairs:
    """Pairs of forecast and truth; the arrays broadcast against each other."""

    values: dict[str, np.ndarray]
    """``obs`` and what of ``mean``, ``std``, ``members``, ``p``, ``climatology``, ``threshold`` there is"""
    time: np.ndarray
    lead: np.ndarray
    place: np.ndarray
    """Cell, or row of the observations"""
    valid: np.ndarray


def read_forecast(forecast: Any, what: str = "forecast") -> Given:
    """Take a forecast in.

    Raises
    ------
    ValueError
        For several variables of which none is ``mean``, no ``lead_time``, no way to tell when it is valid,
        probabilities outside 0..1 and spreads below 0 are refused when they are read.
    """
    fields = _fields(forecast, what)
    out: dict[str, xr.DataArray] = {}
    first = next(iter(fields.values()))
    if "lead_time" not in first.coords:
        raise ValueError(
            f"{what}: {describe(first)} has no coordinate 'lead_time', only {[str(c) for c in first.coords]}; rename "
            "the one that counts steps since the start, or add it: .expand_dims(lead_time=[1])"
        )
    if "mean" in fields and "std" in fields:
        matching.agree(fields["mean"], fields["std"])
    for name, field in fields.items():
        for dim in ("lead_time", "init_time"):
            if dim not in field.dims:
                field = field.expand_dims(dim)
        out[name] = field.transpose(
            "init_time", "lead_time", *_cells(field), *(["member"] if name == "members" else [])
        )
    space = _cells(next(iter(out.values())))
    for name, field in out.items():
        if _cells(field) != space:
            raise ValueError(f"{what}: {name} has the dimensions {field.dims}, but others have {space}; broadcast it")
    field = next(iter(out.values()))
    init = field["init_time"].values if "init_time" in field.coords else np.arange(field.sizes["init_time"])
    if pd.Index(init).has_duplicates or (len(init) > 1 and not pd.Index(init).is_monotonic_increasing):
        raise ValueError(f"{what}: init_time does not increase; sort by it and drop what repeats")
    return Given(out, init, _valid(field, what), field["lead_time"], space)


def _cells(field: xr.DataArray) -> tuple[Hashable, ...]:
    return tuple(d for d in field.dims if d not in ("init_time", "lead_time", "member"))


def _fields(forecast: Any, what: str) -> dict[str, xr.DataArray]:
    if isinstance(forecast, xr.DataArray):
        if str(forecast.name) == "p_event":
            return {"p": forecast}
        return {"members" if "member" in forecast.dims else "mean": forecast}
    if not isinstance(forecast, xr.Dataset):
        kind = type(forecast).__name__
        raise ValueError(f"{what} is an xarray Dataset or DataArray along lead_time, not a {kind}")
    known = {n: v for n, v in forecast.data_vars.items() if v.dtype.kind in "fiu" and "lead_time" in v.coords}
    picked = {key: known[n] for n, key in (("mean", "mean"), ("std", "std"), ("p_event", "p")) if n in known}
    if "mean" in picked:
        return picked
    others = [n for n in known if n not in ("std", "p_event")]
    if len(others) == 1 and "std" not in picked:
        return {"members" if "member" in known[others[0]].dims else "mean": known[others[0]], **picked}
    if not others and "p" in picked and "std" not in picked:
        return picked
    raise ValueError(
        f"{what} has the variables {[str(n) for n in forecast.data_vars]}; give one of them, or a Dataset with 'mean' "
        "(and 'std'), with one variable along 'member', or with 'p_event', along lead_time"
    )


def _valid(field: xr.DataArray, what: str) -> np.ndarray:
    """When each value is valid: from ``valid_time``, or from the start and the lead."""
    shape = field.sizes["init_time"], field.sizes["lead_time"]
    if "valid_time" in field.coords:
        given = field["valid_time"]
        strange = [d for d in given.dims if d not in ("init_time", "lead_time")]
        if strange or ("init_time" not in given.dims and shape[0] > 1):
            raise ValueError(
                f"{what}: valid_time lies along {given.dims}; with {shape[0]} init_time it must be (init_time, lead_time)"
            )
        for dim in ("lead_time", "init_time"):
            given = given if dim in given.dims else given.expand_dims(dim)
        values = given.transpose("init_time", "lead_time").values
        if values.dtype.kind != "M" and not hasattr(values.ravel()[0], "calendar"):
            raise ValueError(f"{what}: valid_time has dtype {values.dtype}; decode it to dates")
        return np.broadcast_to(values, shape)
    if "init_time" not in field.coords:
        raise ValueError(
            f"{what} says neither valid_time nor init_time, so nobody knows when it is valid; "
            "add .assign_coords(valid_time=('lead_time', dates))"
        )
    init, lead = np.atleast_1d(field["init_time"].values), field["lead_time"]
    if init.dtype.kind != "M" and not hasattr(init.ravel()[0], "calendar"):
        raise ValueError(f"{what}: init_time has dtype {init.dtype}; decode it to dates")
    if lead.dtype.kind == "m":
        # Calendars of cftime add Python's timedeltas.
        steps = lead.values if init.dtype.kind == "M" else lead.to_index().to_pytimedelta()
        return np.asarray(init[:, None] + steps[None, :])
    found = _LEAD.fullmatch(str(lead.attrs.get("units", "")).strip())
    if found is None or lead.dtype.kind not in "iu":
        raise ValueError(
            f"{what}: lead_time has dtype {lead.dtype} and units {lead.attrs.get('units')!r}; give timedelta64, or whole "
            "numbers with units 'months', 'days' or 'hours', or a coordinate valid_time"
        )
    per = {"month": ("months", 1), "day": ("hours", 24), "hour": ("hours", 1)}[found[2]]
    step = Step(per[0], per[1] * int(found[1] or 1))
    return np.stack([shifted(init, int(n), step) for n in lead.values], axis=1)


def beside(given: Given, other: Given) -> None:
    """Refuse a reference of other starts, leads or cells than the forecast's."""
    for name, ours, theirs in (("init_time", given.init, other.init), ("lead_time", given.lead, other.lead)):
        if len(ours) != len(theirs) or not np.array_equal(np.asarray(ours), np.asarray(theirs)):
            raise ValueError(
                f"the reference has {len(theirs)} values of {name}, the forecast {len(ours)}, or they differ: a gain "
                "is that of the same forecasts; select the common ones with xr.align(forecast, reference)"
            )
    if not np.array_equal(given.valid, other.valid):
        raise ValueError("valid_time of the reference differs from the forecast's; a gain needs the same dates")
    on_grid(other.cells, given.cells, "the reference", given.space)
    matching.agree(given.one, other.one) if "p" not in (*given.fields, *other.fields) else None


# ---- the truth --------------------------------------------------------------------------------------------------------


def read_truth(truth: Any, given: Given) -> tuple[xr.DataArray, np.ndarray]:
    """The truth along (time, *space) on the forecast's cells, and the place of each valid time in it (-1: none).

    Raises
    ------
    ValueError
        For other units or another grid than the forecast's, and for times that lie between those of the truth.
    """
    field = _one(truth)
    if "p" not in given.fields or len(given.fields) > 1:
        matching.agree(given.one, field)
    names = [str(n) for n in candidates(field, "time") if field[n].ndim == 1] or [
        str(d) for d in field.dims if d == "time"
    ]
    if not names:
        raise ValueError(f"the truth, {describe(field)}, has no time along a dimension; it has {tuple(field.dims)}")
    dim = field[names[0]].dims[0]
    field = on_grid(field, given.cells, "the truth", given.space, dim)
    return field, _places(field[names[0]], given.valid)


def _one(truth: Any) -> xr.DataArray:
    if isinstance(truth, xr.Dataset):
        names = [n for n, v in truth.data_vars.items() if v.dtype.kind in "fiub" and not str(n).endswith("bnds")]
        if len(names) != 1:
            raise ValueError(f"the truth has the variables {[str(n) for n in names]}; give the one forecast: ds[name]")
        return truth[names[0]]
    if not isinstance(truth, xr.DataArray):
        raise ValueError(f"the truth is a field along time, or a table of observations, not a {type(truth).__name__}")
    return truth


def on_grid(
    field: xr.DataArray, cells: xr.DataArray, what: str, space: tuple[Hashable, ...], *more: Hashable
) -> xr.DataArray:
    """The field along (*more, *space), in the order of the forecast's cells; another grid is refused."""
    if set(field.dims) - set(more) != set(space):
        raise ValueError(
            f"{what}, {describe(field)}, has the dimensions {tuple(map(str, field.dims))}, the forecast's cells "
            f"{tuple(map(str, space))}: select, or regrid with oceankit.regrid(field, forecast)"
        )
    for dim in space:
        if field.sizes[dim] != cells.sizes[dim]:
            raise ValueError(
                f"{what}, {describe(field)}, has {field.sizes[dim]} cells along {str(dim)!r}, the forecast "
                f"{cells.sizes[dim]}: regrid one to the other, oceankit.regrid(field, forecast)"
            )
    turned = {
        d: field.indexes[d].get_indexer(cells.indexes[d]) for d in space if d in field.indexes and d in cells.indexes
    }
    field = field.isel({d: k for d, k in turned.items() if (k >= 0).all() and (np.diff(k) != 1).any()})
    longitudes = {str(n) for n in candidates(cells, "longitude")}
    for name, ours in cells.coords.items():
        if name not in field.coords or not ours.dims or ours.dtype.kind not in "fiu":
            continue
        theirs = field.coords[name]
        if set(theirs.dims) != set(ours.dims):
            continue
        apart = np.abs(theirs.transpose(*ours.dims).values.astype(np.float64) - ours.values)
        apart = np.minimum(apart % 360, -apart % 360) if str(name) in longitudes else apart
        if np.nanmax(apart, initial=0.0) > 1e-4 * max(1.0, float(np.nanmax(np.abs(ours.values), initial=0.0)) * 1e-2):
            raise ValueError(
                f"{what}, {describe(field)}, lies on another grid than the forecast: {str(name)!r} differs by up to "
                f"{np.nanmax(apart):g}; regrid one to the other, oceankit.regrid(field, forecast)"
            )
    return field.transpose(*more, *space)


def _places(time: xr.DataArray, valid: np.ndarray) -> np.ndarray:
    """Place of each valid time along the truth's; -1 before, after and in gaps of the record."""
    index = time.to_index()
    if index.has_duplicates:
        raise ValueError(f"the truth holds a time twice, {text(index[index.duplicated()][0])}; drop one of them")
    wanted = valid.ravel()
    if (time.dtype.kind == "M") != (wanted.dtype.kind == "M"):
        raise ValueError(
            f"the truth's times are of dtype {time.dtype}, the forecast's {wanted.dtype}; convert one with convert_calendar"
        )
    found = index.get_indexer(pd.Index(wanted) if wanted.dtype.kind == "M" else xr.CFTimeIndex(wanted))
    at = seconds(index.values)
    order = np.sort(at)
    step = float(np.median(np.diff(order))) if len(at) > 1 else np.inf
    lost = np.flatnonzero(found < 0)
    late = seconds(wanted[lost])
    around = np.clip(np.searchsorted(order, late)[:, None] + [-1, 0], 0, len(order) - 1)
    near = np.abs(late[:, None] - order[around])
    # A little beside a time of the truth is no gap: the dates of the two are written differently.
    beside_it = near.min(axis=1, initial=np.inf) <= 0.5 * step if len(lost) else np.zeros(0, bool)
    if beside_it.any() or (found < 0).all():
        first = wanted[lost[np.argmax(beside_it)]]
        raise ValueError(
            f"the forecast is valid at {text(first)}, and the truth has no such time ({text(index[0])} to "
            f"{text(index[-1])}, {len(index)} times): shift, resample or select one of them so that dates agree"
        )
    return np.asarray(found).reshape(valid.shape)


def seconds(times: np.ndarray) -> np.ndarray:
    """Seconds of datetime64 or cftime dates since an origin of their own, for differences."""
    if np.asarray(times).dtype.kind == "M":
        return np.asarray(times, "datetime64[s]").astype(np.float64)
    return np.array([86400.0 * one.toordinal(fractional=True) for one in np.ravel(times)])


def seasonal(field: Any, what: str, given: Given) -> Callable[[np.ndarray], np.ndarray]:
    """What a climatology or threshold says at given times: a function from times to (*times, cells).

    Raises
    ------
    ValueError
        If it lies on another grid, or has a dimension that is neither of the forecast's cells nor of the year.
    """
    if isinstance(field, int | float | np.number) and not isinstance(field, bool):
        return lambda times: np.full((*times.shape, 1), float(field))
    if isinstance(field, xr.Dataset) and "mean" in field:
        field = field["mean"]
    field = _one(field)
    dims = [d for d in ("month", "dayofyear", "time") if d in field.dims]
    if len(dims) > 1:
        raise ValueError(f"{what} has the dimensions {dims}; one of them at most tells the time")
    matching.agree(given.one, field) if next(iter(given.fields)) != "p" else None
    table = on_grid(expanded(field, given.cells), given.cells, what, given.space, *dims)
    flat = np.asarray(table.values, np.float64).reshape(*(table.sizes[d] for d in dims), -1)
    if not dims:
        return lambda times: np.broadcast_to(flat, (*times.shape, flat.shape[-1]))
    if dims == ["time"]:
        return lambda times: _or_nan(flat, _places(table["time"], times))
    if table.sizes[dims[0]] not in {"month": (12,), "dayofyear": (360, 365, 366)}[dims[0]]:
        raise ValueError(f"{what} has {table.sizes[dims[0]]} entries along {dims[0]!r}; it must have the whole year")
    return lambda times: flat[place_in_year(times, dims[0], table.sizes[dims[0]])]


def expanded(field: xr.DataArray, cells: xr.DataArray) -> xr.DataArray:
    """The field repeated along those dimensions of the cells that it lacks."""
    return field.expand_dims({d: cells.sizes[d] for d in cells.dims if d not in field.dims})


def _or_nan(flat: np.ndarray, places: np.ndarray) -> np.ndarray:
    return np.where(places[..., None] >= 0, flat[places], np.nan)


def place_in_year(times: np.ndarray, by: str, size: int = 12) -> np.ndarray:
    """From 0: the month, or the day of a year of ``size`` days (366: 29 February has a place in every year)."""
    when = xr.DataArray(times.ravel(), dims="t").dt
    if by == "month":
        return np.asarray(when.month.values - 1).reshape(times.shape)
    day = when.dayofyear.values - 1
    if size == 366:
        day = day + ((when.month.values > 2) & ~np.asarray(when.is_leap_year.values, bool))
    return np.asarray(np.minimum(day, size - 1)).reshape(times.shape)


def slabs(
    given: Given, truth: xr.DataArray, places: np.ndarray, extra: dict[str, Callable[[np.ndarray], np.ndarray]],
    reference: Given | None,
) -> Iterator[Pairs]:  # fmt: skip
    """Pairs on the grid, a few starts at a time, so that memory stays bounded whatever the record."""
    cells = int(np.prod([given.cells.sizes[d] for d in given.space], dtype=np.int64))
    members = max(f.sizes.get("member", 1) for g in (given, reference) if g is not None for f in g.fields.values())
    starts, leads = places.shape
    step = max(1, _SLAB // max(leads * cells * (members + 12), 1))
    for first in range(0, starts, step):
        rows = slice(first, min(first + step, starts))
        shape = (rows.stop - first, leads, cells)
        wanted, back = np.unique(places[rows], return_inverse=True)
        there = np.asarray(truth.isel({truth.dims[0]: wanted[wanted >= 0]}).values, np.float64)
        there = np.concatenate([np.full((int((wanted < 0).sum()), cells), np.nan), there.reshape(-1, cells)])
        values = {"obs": there[back.reshape(-1)].reshape(shape)}
        for prefix, one in (("", given), ("ref_", reference)):
            for name, field in {} if one is None else one.fields.items():
                array = np.asarray(field.isel(init_time=rows).values, np.float64)
                values[prefix + name] = array.reshape(*shape, *array.shape[2 + len(given.space) :])
        for name, at in extra.items():
            values[name] = at(given.valid[rows])
        yield Pairs(
            values,
            np.arange(first, rows.stop)[:, None, None],
            np.arange(leads)[None, :, None],
            np.arange(cells)[None, None, :],
            given.valid[rows][:, :, None],
        )
