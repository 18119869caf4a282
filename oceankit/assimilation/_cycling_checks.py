"""What a cycling run holds against each other: times and windows, and what a model gives back against what it was given."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from oceankit.assimilation._cycling_command import ModelError
from oceankit.observations.table import ObservationError, validate

__all__ = ["ensemble_of", "in_window", "like_before", "moving", "times_of", "windows_of"]

_NS = np.timedelta64(1, "ns")


def moving(ds: xr.Dataset) -> list[Any]:
    """The fields that a model changes: floats with ``member``, or all floats where there are no members."""
    return [
        n for n, v in ds.data_vars.items() if v.dtype.kind == "f" and ("member" in v.dims or "member" not in ds.dims)
    ]


def ensemble_of(ensemble: Any, start: Any) -> tuple[xr.Dataset, np.datetime64]:
    """The ensemble in memory without its time, and that time."""
    if not isinstance(ensemble, xr.Dataset):
        raise ValueError(
            f"the ensemble is a {type(ensemble).__name__}; give a Dataset (of a DataArray: .to_dataset(name=...))"
        )
    if "time" in ensemble.dims and ensemble.sizes["time"] == 1:
        ensemble = ensemble.isel(time=0)
    if "time" in ensemble.dims:
        raise ValueError(f"the ensemble has {ensemble.sizes['time']} times; a run starts from one: .isel(time=-1)")
    if not moving(ensemble):
        raise ValueError(f"the ensemble has no field of floats to be taken on; it has {list(ensemble.data_vars)}")
    if start is None and "time" not in ensemble.coords:
        raise ValueError("the ensemble does not say when it is valid; give start=, or a coordinate 'time'")
    when = _time(ensemble["time"].values if start is None else start, "start")
    return ensemble.drop_vars("time", errors="ignore").load(), when


def times_of(times: Any, start: np.datetime64) -> np.ndarray:
    """datetime64[ns] (cycles,): analysis times, increasing, none before the start."""
    found = np.asarray([_time(t, "times") for t in np.atleast_1d(np.asarray(times))])
    if found.ndim != 1 or not found.size:
        raise ValueError("times= is empty; give the times of the analyses")
    if (np.diff(found) <= 0 * _NS).any():
        k = int(np.argmax(np.diff(found) <= 0 * _NS))
        raise ValueError(f"times= must increase: {found[k + 1]} follows {found[k]}")
    if found[0] < start:
        raise ValueError(f"the first analysis, {found[0]}, lies before the ensemble's time {start}; leave it out")
    return found


def _time(given: Any, name: str) -> np.datetime64:
    try:
        found = np.datetime64(np.asarray(given).item() if np.asarray(given).dtype.kind in "OU" else given, "ns")
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name}={given!r} is no date ({error}); give datetime64, datetimes or ISO dates") from None
    if np.isnat(found):
        raise ValueError(f"{name}= holds a missing time")
    return found


def windows_of(times: np.ndarray, start: np.datetime64, window: str) -> np.ndarray:
    """datetime64[ns] (cycles, 2): after the first and up to the second, that included.

    ``"trailing"`` ends at the analysis and begins at the one before; ``"centred"`` reaches half way to both neighbours.
    """
    if window not in ("trailing", "centred"):
        raise ValueError(f"window={window!r} is not known; choose 'trailing' or 'centred'")
    first = times[0] - start if times[0] > start else (times[1] - times[0] if times.size > 1 else 0 * _NS)
    if first == 0 * _NS:
        raise ValueError(
            "the only analysis is at the ensemble's own time, so that its window has no length; give an earlier start="
        )
    if window == "trailing":
        return np.column_stack([np.concatenate([[times[0] - first], times[:-1]]), times])
    last = times[-1] - times[-2] if times.size > 1 else first
    first = times[1] - times[0] if times.size > 1 else first
    middle = times[:-1] + np.diff(times) // 2
    edges = np.concatenate([[times[0] - first // 2], middle, [times[-1] + last // 2]])
    return np.column_stack([edges[:-1], edges[1:]])


def in_window(observations: Any, window: np.ndarray) -> xr.Dataset | None:
    """The observations of one window, of a table or from a callable; None where there are none.

    Raises
    ------
    ObservationError
        If what a callable gives lies outside the window that it was asked for.
    """
    if not callable(observations):
        when = observations["time"].values
        mine = np.flatnonzero((when > window[0]) & (when <= window[1]))
        return observations.isel(obs=mine) if mine.size else None
    found = observations(window[0], window[1])
    if found is None or (isinstance(found, xr.Dataset) and found.sizes.get("obs") == 0):
        return None
    found = validate(found)
    if "time" in found.variables:
        when = found["time"].values
        odd = (when <= window[0]) | (when > window[1])
        if odd.any():
            raise ObservationError(
                f"observations({window[0]}, {window[1]}) gave {int(odd.sum())} of {odd.size} observations outside that window "
                f"(after its begin, up to its end), the first at {when[odd][0]}; give those of the window alone"
            )
    return found


# ---- what a model gives back --------------------------------------------------------------------------------------------


def like_before(found: Any, before: xr.Dataset, time: np.datetime64, who: str) -> xr.Dataset:
    """``before`` with the values of ``found``, if these are the same members on the same grid, finite where they were.

    Raises
    ------
    ModelError
        If they are not; the message says what differs.
    """
    if not isinstance(found, xr.Dataset):
        raise ModelError(f"{who} gave a {type(found).__name__}; a Dataset like the one that went in is needed")
    if "time" in found.dims:
        if found.sizes["time"] != 1:
            raise ModelError(f"{who} gave {found.sizes['time']} times; write the last one alone")
        found = found.isel(time=0)
    if "time" in found.coords and found["time"].dtype.kind == "M" and found["time"].values != time:
        raise ModelError(f"{who} gave a state of {found['time'].values}; one of {time} was asked for")
    _same_coordinates(found, before, who)
    out = before.copy()
    for name in moving(before):
        out[name] = before[name].copy(data=_same_field(found, before[name], who))
    return out.assign_coords(time=time)


def _same_field(found: xr.Dataset, before: xr.DataArray, who: str) -> np.ndarray:
    name = before.name
    if name not in found:
        raise ModelError(f"{who} gave no {name!r}; it gave {list(found.data_vars)}")
    field = found[name]
    if set(field.dims) != set(before.dims) or any(field.sizes[d] != n for d, n in before.sizes.items()):
        raise ModelError(
            f"{who} gave {name!r} with {dict(field.sizes)}; what went in has {dict(before.sizes)}: the same members on the "
            "same grid are needed"
        )
    if not np.can_cast(field.dtype, before.dtype, "safe"):
        raise ModelError(
            f"{who} gave {name!r} as {field.dtype}, and the ensemble is {before.dtype}, which would round it: make the ensemble "
            f"{field.dtype} with .astype, or let the model write {before.dtype}"
        )
    values = field.transpose(*before.dims).values.astype(before.dtype)
    lost = ~np.isfinite(values) & np.isfinite(before.values)
    if lost.any():
        at = dict(zip(before.dims, (int(k[0]) for k in np.nonzero(lost)), strict=True))
        raise ModelError(
            f"{who} gave {name!r} with {int(lost.sum())} values missing or infinite that went in finite, the first at {at}: it "
            "has lost its balance, or masks other cells than the ensemble"
        )
    gained = ~np.isnan(values) & np.isnan(before.values)
    if gained.any():
        raise ModelError(
            f"{who} gave {name!r} with values at {int(gained.sum())} places that are missing in the ensemble: write land as NaN"
        )
    return values


def _same_coordinates(found: xr.Dataset, before: xr.Dataset, who: str) -> None:
    """Positions to a millionth of their size: files of models carry them in float32."""
    for name, ours in before.coords.items():
        if not set(ours.dims) & {d for n in moving(before) for d in before[n].dims}:
            continue
        if name not in found.coords:
            if name == "member":
                continue  # by their order
            raise ModelError(f"{who} gave no coordinate {name!r}; it gave {list(found.coords)}")
        theirs = found[name]
        same = theirs.dims == ours.dims and theirs.shape == ours.shape
        if same and ours.dtype.kind == "f" and theirs.dtype.kind == "f":
            # On both sides of the largest, so that also positions near zero are compared.
            most = float(np.nanmax(np.abs(ours.values), initial=0.0))
            same = np.allclose(theirs.values, ours.values, rtol=0.0, atol=1e-6 * most, equal_nan=True)
        elif same:
            same = bool((theirs.values == ours.values).all())
        if not same:
            raise ModelError(
                f"{who} gave another {name!r}: {_ends(theirs.values)} with {dict(theirs.sizes)}, and what went in has "
                f"{_ends(ours.values)} with {dict(ours.sizes)}; the same members on the same grid are needed"
            )


def _ends(values: np.ndarray) -> str:
    flat = values.ravel()
    return f"{flat[0]} ... {flat[-1]}" if flat.size else "nothing"
