"""From level to level along the times of issue: an alert rises at once and falls slowly."""

import os
from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import xarray as xr

from oceankit.products._alert_rules import loaded

__all__ = ["ACTIONS", "BEYOND", "MISSING", "TIME_DIMS", "follow", "highest", "level_attrs", "words"]

MISSING, BEYOND = -1, -2
ACTIONS = ("keep", "issue", "upgrade", "downgrade", "lift")
TIME_DIMS = ("init_time", "time", "valid_time", "lead_time")
_KEEP, _ISSUE, _UPGRADE, _DOWNGRADE, _LIFT = range(5)
_NAT = np.datetime64("NaT", "ns")


def follow(
    levels: xr.DataArray,
    *,
    guard: xr.DataArray | None = None,
    dim: Hashable | None = None,
    hold: float | np.timedelta64 | None = None,
    rules: str | os.PathLike[str] | Mapping[str, Any] | None = None,
    state: xr.Dataset | None = None,
) -> tuple[xr.Dataset, xr.Dataset]:
    """The alert in force at each time of issue, and what is done: issue, upgrade, downgrade, lift or keep.

    A higher level is taken at once. A lower one is taken when no level above it was reached for ``hold`` (from the first
    time below to now, both included), or at once down to ``guard``. Times without a level (negative values) change
    nothing, and the hold starts anew after them: missing data never end an alert.

    Parameters
    ----------
    levels
        Levels 0 (none), 1 (blue) to 4 (red), negative where there is none, along ``dim`` and any further dimensions.
    guard
        Levels that the same values would reach if every threshold were lower by a margin, as :func:`assess` gives them
        (``level_with_margin``): where even these are below the alert in force, it falls to them without waiting.
    dim
        Dimension of the times of issue, with increasing dates; by default the one of ``init_time``, ``time``, ``valid_time``
        and ``lead_time`` (with its coordinate ``valid_time``) that is there.
    hold
        Hours, or a timedelta64. By default ``decision.hold`` of the rules.
    rules
        See :func:`check_rules`.
    state
        As an earlier call gave it back: the following goes on from there. Any cut of a series gives the same result.

    Returns
    -------
    followed : Dataset
        ``status``: the level in force after each time (-1 before the first known level). ``action``: flags of
        keep, issue, upgrade, downgrade, lift.
    state : Dataset
        ``status``, ``below_since`` (since when no level above each ``lower_level`` was reached) and ``last_time``: small, and
        of the shape of one time. Write it with :func:`oceankit.fields.write` and hand it on.

    Raises
    ------
    ValueError
        If there is no such dimension, its dates do not increase or do not follow the state's, a value is no level, or
        the state belongs to another hold or other places.

    Examples
    --------
    >>> time = np.datetime64("2024-08-01T00", "ns") + np.arange(5) * np.timedelta64(6, "h")
    >>> levels = xr.DataArray([0, 2, 3, 1, 1], dims="time", coords={"time": time})
    >>> followed, state = follow(levels, hold=6)
    >>> followed.status.values, words(followed.action).values.tolist()
    (array([0, 2, 3, 3, 1], dtype=int8), ['keep', 'issue', 'upgrade', 'keep', 'downgrade'])
    """
    dim, dates = _dates(levels, dim)
    wait = _hold(hold, rules)
    top = len(loaded(rules)["levels"])
    levels = levels.transpose(dim, ...)
    given = _checked(levels, "levels", top)
    spare = given if guard is None else _checked(guard.transpose(*levels.dims), "guard", top)
    status, since, last = _begin(levels, dim, state, wait, top)
    if dates.size and not np.isnat(last) and dates[0] <= last:
        raise ValueError(f"levels start at {dates[0]}, but the state has gone on to {last}; give only what is new")
    out, done = np.empty(given.shape, np.int8), np.empty(given.shape, np.int8)
    lower = np.arange(top).reshape(top, *[1] * status.ndim)
    for i, now in enumerate(dates):
        level = given[i]
        below = np.where(spare[i] < 0, top, np.maximum(spare[i], level))
        known = level >= 0
        still = known & (level <= lower)
        since = np.where(still, np.where(np.isnat(since), now, since), _NAT)
        # The lowest level that nothing has exceeded for the hold, and the one that the margin allows at once.
        held = still & (now - since >= wait)
        waited = np.where(held.any(axis=0), held.argmax(axis=0), top)
        at_once = np.where(known & (below < status) & (guard is not None), below, top)
        new = np.where(known, np.maximum(level, np.minimum(status, np.minimum(waited, at_once))), status)
        done[i] = _action(status, new)
        status = out[i] = new.astype(np.int8)
    kept = levels.isel({dim: 0}, drop=True) if dates.size else None
    followed = xr.Dataset(
        {
            "status": (levels.dims, out, level_attrs(loaded(rules), "alert in force", none_first=True)),
            "action": (levels.dims, done, _flags(range(5), ACTIONS, "what is done with the alert")),
        },
        coords=levels.coords,
    )
    return followed, _state(status, since, dates[-1] if dates.size else last, levels, dim, wait, kept, state)


def _dates(levels: xr.DataArray, dim: Hashable | None) -> tuple[Hashable, np.ndarray]:
    if not isinstance(levels, xr.DataArray):
        raise ValueError(f"levels is a {type(levels).__name__}; give a DataArray, for example assessment['level']")
    if dim is None:
        dim = next((d for d in TIME_DIMS if d in levels.dims), None)
    if dim is None or dim not in levels.dims:
        raise ValueError(f"levels have the dimensions {levels.dims}, none of issue times; name it with dim=")
    name = dim if levels.coords.get(dim) is not None and levels[dim].dtype.kind == "M" else "valid_time"
    if name not in levels.coords or levels[name].dims != (dim,) or levels[name].dtype.kind != "M":
        raise ValueError(f"the dimension {dim!r} of levels has no dates; give it a coordinate of datetime64")
    dates = levels[name].values.astype("datetime64[ns]")
    if np.isnat(dates).any() or (np.diff(dates) <= np.timedelta64(0)).any():
        raise ValueError(f"the dates of {name!r} are missing or do not increase; sort and clean them first")
    return dim, dates


def _hold(hold: Any, rules: Any) -> np.timedelta64:
    if hold is None:
        hold = loaded(rules)["decision"]["hold"]["value"]
    if not isinstance(hold, np.timedelta64):
        hours = float(hold)
        if not 0 <= hours < 1e6:
            raise ValueError(f"hold={hold!r} must be hours from 0 up, or a timedelta64")
        hold = np.timedelta64(round(hours * 3600e9), "ns")
    if np.isnat(hold) or hold < np.timedelta64(0):
        raise ValueError(f"hold={hold!r} must be hours from 0 up, or a timedelta64")
    return hold.astype("timedelta64[ns]")


def _checked(levels: xr.DataArray, what: str, top: int) -> np.ndarray:
    values = np.asarray(levels.values)
    if values.dtype.kind == "f":
        # Levels that went through a file come back as floats with NaN for missing.
        values = np.where(np.isnan(values), MISSING, values)
    if values.dtype.kind not in "iuf" or not np.isin(values, np.arange(BEYOND, top + 1)).all():
        raise ValueError(
            f"{what} must hold levels from 0 to {top}, or -1 or -2 where there is none; assess() makes them"
        )
    return values.astype(np.int8)


def _begin(levels: xr.DataArray, dim: Hashable, state: xr.Dataset | None, wait: np.timedelta64, top: int) -> Any:
    rest = tuple(d for d in levels.dims if d != dim)
    shape = tuple(levels.sizes[d] for d in rest)
    if state is None:
        return np.full(shape, MISSING, np.int8), np.full((top, *shape), _NAT), _NAT
    missing = [n for n in ("status", "below_since", "last_time", "hold") if n not in state]
    if missing:
        raise ValueError(f"state lacks {', '.join(missing)}; give the Dataset that follow() gave back")
    before = state["hold"].values.astype("timedelta64[ns]")
    if before != wait:
        raise ValueError(
            f"the state was made with a hold of {before / np.timedelta64(1, 'h'):g} h; go on with the same"
        )
    if set(state["status"].dims) != set(rest) or any(state.sizes[d] != levels.sizes[d] for d in rest):
        raise ValueError(
            f"the state is of {dict(state['status'].sizes)}, the levels of {dict(levels.sizes)}; give those of the same places"
        )
    for name in rest:
        if name in state.coords and name in levels.coords and not np.array_equal(state[name], levels[name]):
            raise ValueError(
                f"the coordinate {name!r} of the state is not that of the levels; give those of the same places"
            )
    since = state["below_since"].transpose("lower_level", *rest).values.astype("datetime64[ns]")
    return (
        state["status"].transpose(*rest).values.astype(np.int8),
        since,
        state["last_time"].values.astype("datetime64[ns]"),
    )


def _action(old: np.ndarray, new: np.ndarray) -> np.ndarray:
    return np.select(
        [
            (new > old) & (new > 0) & (old <= 0),
            (new > old) & (old > 0),
            (new < old) & (new > 0),
            (new < old) & (new == 0),
        ],
        [_ISSUE, _UPGRADE, _DOWNGRADE, _LIFT],
        _KEEP,
    )


def _state(
    status: np.ndarray, since: np.ndarray, last: Any, levels: xr.DataArray, dim: Hashable, wait: np.timedelta64,
    kept: xr.DataArray | None, state: xr.Dataset | None,
) -> xr.Dataset:  # fmt: skip
    if kept is None and state is not None:
        return state.copy()
    rest = tuple(d for d in levels.dims if d != dim)
    coords = {n: c for n, c in levels.coords.items() if dim not in c.dims and set(c.dims) <= set(rest) and c.ndim}
    return xr.Dataset(
        {
            "status": (rest, np.array(status, np.int8), {"long_name": "alert in force"}),
            "below_since": (("lower_level", *rest), since, {"long_name": "since when no higher level was reached"}),
            "last_time": ((), last),
            "hold": ((), wait),
        },
        coords={**coords, "lower_level": np.arange(len(since), dtype=np.int8)},
    )


def highest(levels: xr.DataArray, dims: Any) -> xr.DataArray:
    """The highest level along some dimensions; without an alert, unknown where part of it is unknown."""
    dims = [d for d in ([dims] if isinstance(dims, str) else list(dims)) if d in levels.dims]
    most, least = levels.max(dims), levels.min(dims)
    return xr.where((most <= 0) & (least < 0), least, most).astype(np.int8).assign_attrs(levels.attrs)


def level_attrs(book: Mapping[str, Any], long_name: str, *, none_first: bool = False) -> dict[str, Any]:
    """CF flags of the levels."""
    names = (
        ["no_data", "none", *book["levels"]] if none_first else ["beyond_the_rules", "no_data", "none", *book["levels"]]
    )
    start = MISSING if none_first else BEYOND
    return _flags(range(start, start + len(names)), names, long_name)


def _flags(values: Any, names: Any, long_name: str) -> dict[str, Any]:
    return {"long_name": long_name, "flag_values": np.array(list(values), np.int8), "flag_meanings": " ".join(names)}


def words(flags: xr.DataArray) -> xr.DataArray:
    """Flags (``level``, ``status``, ``action``) as words.

    Raises
    ------
    ValueError
        If the array has no ``flag_values`` and ``flag_meanings``, or a value that is none of them.

    Examples
    --------
    >>> flags = xr.DataArray([0, 2], attrs={"flag_values": [0, 1, 2], "flag_meanings": "none blue yellow"})
    >>> words(flags).values.tolist()
    ['none', 'yellow']
    """
    values = np.atleast_1d(np.asarray(flags.attrs.get("flag_values", [])))
    names = str(flags.attrs.get("flag_meanings", "")).split()
    if not names or len(names) != values.size:
        raise ValueError(
            f"{flags.name!r} has no flags: flag_values {values.tolist()}, flag_meanings {names}; take level, status or action"
        )
    table = dict(zip(values.tolist(), names, strict=True))
    strange = set(np.unique(flags.values).tolist()) - set(table)
    if strange:
        raise ValueError(
            f"{flags.name!r} has the values {sorted(strange)}, which are none of its flags {values.tolist()}"
        )
    text = np.array([table[v] for v in flags.values.ravel().tolist()], dtype="U32").reshape(flags.shape)
    return flags.copy(data=text).drop_attrs()
