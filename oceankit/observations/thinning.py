"""Thinning: no two observations nearer than a distance."""

from typing import Any

import numpy as np
import xarray as xr

from oceankit.numerics import within
from oceankit.observations import _thinning_kernels as kernels
from oceankit.observations._axes import elapsed, in_nanoseconds
from oceankit.observations.flags import SUSPECT, flagged, usable
from oceankit.observations.footprints import chord
from oceankit.observations.interpolation import places_of
from oceankit.observations.table import ObservationError, validate

__all__ = ["thin"]

_WAYS = ("error", "order", "random")
# What is at the spacing to rounding is not nearer.
_SLACK = 1e-9


def thin(
    obs: xr.Dataset,
    spacing: float,
    *,
    time: Any = None,
    depth: float | None = None,
    by: str = "error",
    rng: int | np.random.Generator | None = None,
) -> xr.Dataset:
    """Thin observations of the same variable out to a least distance.

    One after another is kept, the best first, unless one that was kept already is nearer than the spacing: all that are kept
    are at least the spacing apart, and each that is not has a better one nearer than it.

    Parameters
    ----------
    obs
        A table of observations. Those flagged 3, 4 or 9 take no part and stay as they are.
    spacing
        Great-circle distance in km; on a plane coordinate units.
    time, depth
        Where given (``"6h"``; metres), two observations are near each other only if they are also nearer than this in time
        and in depth. Where None, times and depths play no part.
    by
        What comes first: ``"error"``, the smallest ``error_std``, the first of equals; ``"order"``, as in the table;
        ``"random"``, as drawn from ``rng``.
    rng
        A seed or ``numpy.random.Generator``, for ``"random"``.

    Returns
    -------
    Dataset
        All observations; those thinned out have ``flag`` 3 and ``flag_reason`` "thinned", so that they are not assimilated.
        They are not bad, and can be had back for verification by their reason. The attribute ``n_thinned`` counts them.

    Raises
    ------
    ObservationError
        If a distance is not above zero, the observations have no time or depth that is asked for, or ``by`` is not known.

    Examples
    --------
    >>> from oceankit.observations import table
    >>> obs = table(value=[14.0, 14.1, 14.3], error_std=[0.2, 0.1, 0.2], lon=[0.0, 0.1, 0.3], lat=0.0)
    >>> thin(obs, 20.0).flag.values.tolist()
    [3, 2, 2]
    """
    obs = validate(obs)
    reach = _reach(obs, spacing)
    times, days = _extra(obs, "time", time)
    depths, metres = _extra(obs, "depth", depth)
    ranks = _ranks(obs, by, rng)
    places = places_of(obs)
    points = np.ascontiguousarray(places.centres()[:, : 2 if places.planar else 3])
    good = usable(obs)
    kept = np.zeros(good.size, bool)
    for mine in _of_variables(obs, good):
        here = np.zeros(mine.size, bool)
        own = points[mine]
        limit = reach * reach * (1.0 - _SLACK)
        kernels.greedy(
            np.argsort(ranks[mine], kind="stable"), own, _periods(own, reach, times[mine], days), limit,
            times[mine], days, depths[mine], metres, here,
        )  # fmt: skip
        kept[mine] = here
    out = good & ~kept
    return flagged(obs, out, SUSPECT, "thinned").assign_attrs(n_thinned=int(out.sum()))


def _reach(obs: xr.Dataset, spacing: float) -> float:
    """The spacing as a straight distance between points."""
    number = isinstance(spacing, int | float | np.number) and not isinstance(spacing, bool)
    if not number or not (np.isfinite(spacing) and spacing > 0):
        raise ObservationError(f"spacing={spacing!r}; a distance is a number above zero")
    return chord(float(spacing), planar="lon" not in obs.variables)


def _extra(obs: xr.Dataset, name: str, given: Any) -> tuple[np.ndarray, float]:
    """Times in days or depths in metres, and the distance at which two of them are no longer near."""
    if given is None:
        return np.zeros(obs.sizes["obs"]), np.inf
    if name not in obs.variables:
        raise ObservationError(
            f"{name}={given!r} is given, but the observations have no {name}; give table(..., {name}=...)"
        )
    if name == "time":
        return elapsed(obs["time"].values), in_nanoseconds(given, "time") / 86_400e9
    if not isinstance(given, int | float | np.number) or not (np.isfinite(given) and given > 0):
        raise ObservationError(f"depth={given!r}; a distance is a number of metres above zero")
    return obs["depth"].values.astype(np.float64), float(given)


def _periods(points: np.ndarray, reach: float, times: np.ndarray, days: float) -> kernels.Periods:
    """Points by periods of at least ``days``, not many more of them than points."""
    cells = within.build(points, reach)
    since = times - times.min()
    length = max(days * (1.0 + _SLACK), float(since.max()) / points.shape[0])
    number = (since / length).astype(np.int64)
    order = np.argsort(number[cells.order], kind="stable")
    start = np.concatenate([[0], np.cumsum(np.bincount(number))]).astype(np.int64)
    cells = cells._replace(points=cells.points[order], order=cells.order[order], keys=cells.keys[order])
    return kernels.Periods(cells, number, start)


def _ranks(obs: xr.Dataset, by: str, rng: int | np.random.Generator | None) -> np.ndarray:
    """Which observation comes first."""
    n = obs.sizes["obs"]
    if by not in _WAYS:
        raise ObservationError(f"by={by!r} is not known; choose one of {', '.join(map(repr, _WAYS))}")
    if (by == "random") != (rng is not None):
        raise ObservationError(
            "by='random' draws: give rng= a seed or a numpy Generator"
            if rng is None
            else f"rng= belongs to by='random', and by is {by!r}"
        )
    if by == "random":
        return np.random.default_rng(rng).permutation(n)
    return np.arange(n) if by == "order" else obs["error_std"].values


def _of_variables(obs: xr.Dataset, good: np.ndarray) -> list[np.ndarray]:
    """Places of the usable observations of each variable."""
    if "variable" not in obs.variables:
        return [np.flatnonzero(good)] if good.any() else []
    kinds = obs["variable"].values.astype(str)
    return [np.flatnonzero(good & (kinds == kind)) for kind in np.unique(kinds[good])]
