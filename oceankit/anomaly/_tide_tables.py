"""Tables of constituents, and the units and times of sea level."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from oceankit.anomaly import _tide_constants as names
from oceankit.fields.coordinates import find

__all__ = ["as_table", "metres", "table_of", "times_of"]

_LENGTHS = {"m": 1.0, "metre": 1.0, "metres": 1.0, "meter": 1.0, "meters": 1.0, "cm": 0.01, "mm": 0.001}


def table_of(
    found: Sequence[Mapping[str, tuple[float, float]]], others: Sequence[Any], level: xr.DataArray, convention: str
) -> xr.Dataset:
    """Constituents of one or more stations, sorted by speed; the mean level is under the empty name."""
    every = sorted({n for one in found for n in one} - {""})
    meanings = [names.meaning(n, convention) for n in every]
    speeds = names.frequencies([m for m in meanings if m is not None])
    order = np.argsort(speeds, kind="stable")
    every = [every[k] for k in order]
    both = np.array([[one.get(n, (np.nan, np.nan)) for n in every] for one in found], dtype=np.float64)
    shape = [level.sizes[d] for d in others]
    dims = (*others, "constituent")
    return xr.Dataset(
        {
            "amplitude": (dims, both[..., 0].reshape(*shape, -1), {"units": "m", "long_name": "amplitude"}),
            "phase": (dims, both[..., 1].reshape(*shape, -1), {"units": "degree", "long_name": "Greenwich phase lag"}),
            "frequency": ("constituent", speeds[order], {"units": "degree h-1", "long_name": "speed"}),
            "mean_level": (
                others,
                np.reshape([one[""][0] for one in found], shape),
                {"units": "m", "long_name": "mean level"},
            ),
        },
        coords={"constituent": every} | {d: level[d] for d in others if d in level.coords},
        attrs={"convention": convention},
    )


def as_table(constituents: Any) -> xr.Dataset:
    """A Dataset of constituents as it is, a mapping of (amplitude, phase) as one."""
    if isinstance(constituents, xr.Dataset):
        missing = [n for n in ("amplitude", "phase", "constituent") if n not in constituents.variables]
        if missing:
            raise ValueError(f"the constituents have no {missing}; they need amplitude and phase along 'constituent'")
        return constituents
    both = np.array(list(constituents.values()), dtype=np.float64).reshape(-1, 2)
    return xr.Dataset(
        {"amplitude": ("constituent", both[:, 0], {"units": "m"}), "phase": ("constituent", both[:, 1])},
        coords={"constituent": list(constituents)},
    )


def metres(data: xr.DataArray, what: str) -> xr.DataArray:
    """``data`` in metres.

    Raises
    ------
    ValueError
        If the units are missing or no length.

    Examples
    --------
    >>> metres(xr.DataArray([120.0], dims="time", attrs={"units": "cm"}), "the level").values
    array([1.2])
    """
    units = str(data.attrs.get("units", "")).strip()
    if units not in _LENGTHS:
        said = repr(units) if units else "missing"
        raise ValueError(f"the units of {what} are {said}; set .attrs['units'] to m, cm or mm")
    return data if _LENGTHS[units] == 1 else (data * _LENGTHS[units]).assign_attrs(data.attrs | {"units": "m"})


def times_of(data: xr.DataArray | xr.Dataset, name: str | None) -> xr.DataArray:
    """The one-dimensional datetime64 time of ``data``.

    Examples
    --------
    >>> times_of(xr.DataArray(np.array(["2000-01-01"], "datetime64[ns]"), dims="time", name="time"), None).size
    1
    """
    is_time = isinstance(data, xr.DataArray) and data.ndim == 1 and not data.coords
    clock: xr.DataArray = data if is_time else find(data, "time", name=name)  # type: ignore[assignment]
    if clock.ndim != 1 or clock.dtype.kind != "M":
        raise ValueError(
            f"the time {clock.name!r} has dimensions {clock.dims} and dtype {clock.dtype}; the tide needs one axis of "
            "datetime64 in UTC"
        )
    if clock.isnull().any():
        raise ValueError(f"the time {clock.name!r} has missing values; drop them")
    return clock
