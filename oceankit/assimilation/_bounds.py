"""Bounds that an analysis keeps: salinity and chlorophyll are not negative, ice covers at most everything."""

from collections.abc import Hashable, Iterable, Mapping
from typing import Any, TypeAlias

import numpy as np

__all__ = ["Bounds", "bounds_of", "checked_bounds"]

Pair: TypeAlias = tuple[float | None, float | None]
Bounds: TypeAlias = Pair | Mapping[str, Pair] | None


def checked_bounds(given: Any) -> Bounds:
    """``bounds=`` of a method, if they are some."""
    for name, pair in given.items() if isinstance(given, Mapping) else [("", given)]:
        if pair is None and not name:
            return None
        low, high = _numbers(pair, f"bounds of {name!r}" if name else "bounds")
        if not low < high:
            raise ValueError(f"bounds {f'of {name!r} ' if name else ''}are {pair!r}; the lowest is below the highest")
    return given


def bounds_of(given: Bounds, names: Iterable[Hashable]) -> dict[Hashable, tuple[float, float]]:
    """Lowest and highest of each field, infinite where there is none."""
    names = list(names)
    if given is None:
        return dict.fromkeys(names, (-np.inf, np.inf))
    if not isinstance(given, Mapping):
        if len(names) > 1:
            raise ValueError(
                f"bounds={given!r} do not say which of {names} they are for; give a mapping from variable to them"
            )
        return {names[0]: _numbers(given, "bounds")}
    strange = [n for n in given if n not in names]
    if strange:
        raise ValueError(f"bounds are given for {strange[0]!r}, but the background has {names}")
    return {n: _numbers(given[n], "bounds") if n in given else (-np.inf, np.inf) for n in names}  # type: ignore[index]


def _numbers(pair: Any, what: str) -> tuple[float, float]:
    try:
        low, high = pair
        return (-np.inf if low is None else float(low)), (np.inf if high is None else float(high))
    except (TypeError, ValueError):
        raise ValueError(f"{what} {pair!r}: give (lowest, highest), None where there is none") from None
