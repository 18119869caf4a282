"""Super-observations: many observations in a cell as one, and what a field would look like to them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from oceankit.fields.grid import Grid
from oceankit.numerics import sparse
from oceankit.numerics.sphere import lonlat, unit_vectors
from oceankit.observations import _cells
from oceankit.observations._means import rows_of_groups, weighted_means
from oceankit.observations.flags import flags_of, usable
from oceankit.observations.interpolation import Interp
from oceankit.observations.table import ATTRS, ObservationError, validate

__all__ = ["SuperOb", "superob"]

_NUMBER = {"long_name": "number of the super-observation"}
_MEMBER = {"long_name": "number of the super-observation that it went into, -1 for none"}


def superob(
    obs: xr.Dataset,
    grid_or_spacing: Grid | xr.Dataset | xr.DataArray | float,
    *,
    time: Any = None,
    depth: Any = None,
    by: str | Sequence[str] = (),
    min_count: int = 1,
    correlation: float = 0.0,
    inflate_by_scatter: bool = False,
    return_raw: bool = False,
) -> Any:
    """Average observations of the same variable in the same cell, weighted by 1 / error_std^2.

    Parameters
    ----------
    obs
        A table of observations. Flags 3, 4 and 9 are not averaged.
    grid_or_spacing
        A :class:`~oceankit.fields.Grid` (or a field that has one), whose cells hold the observations; or a number: cells of
        about that width, in km on the sphere (bands of latitude, each cut into as many cells as fit), in coordinate units on
        a plane. The cells lie fixed, wherever the observations are.
    time
        Windows of time: a duration (``"6h"``; windows count from 1970-01-01), or the ascending edges of windows. A window
        holds its begin and not its end. None: all times together.
    depth
        Windows of depth: metres (counted from 0), or ascending edges. None: all depths together.
    by
        Further columns in which the observations of a cell must agree to be averaged, for example ``"track"``; they are kept.
    min_count
        Cells with fewer observations give none.
    correlation
        Correlation r between the errors of any two observations of a cell, 0 to 1.
    inflate_by_scatter
        Whether the error grows where the observations of a cell differ by more than their errors say (Birge 1932).
    return_raw
        Whether to return the observations as well, with the super-observation that each went into: what
        :class:`~oceankit.observations.operators.SuperOb` needs.

    Returns
    -------
    table : Dataset
        One observation for each cell, variable and window, with means of ``value``, ``lon`` and ``lat`` (of unit vectors; or
        ``x`` and ``y``), ``time`` and ``depth``; ``error_std``; ``n_obs``, how many were averaged; ``superob``, its number;
        and ``flag`` where ``obs`` has it: 1 where all are good, else 2. The order does not depend on that of ``obs``. Other
        columns belong to single observations and stay with them. Attributes count what was averaged and what was not:
        ``n_averaged``, ``n_flagged``, ``n_outside`` (the grid, or the windows) and ``n_too_few``.
    raw : Dataset
        ``obs`` with a column ``superob``: the number, -1 where it went into none. Only where ``return_raw``.

    Raises
    ------
    ObservationError
        If nothing is left to average, or an option is none.
    GridError
        If the grid is a bare list of points.

    Notes
    -----
    With e_i the error of each of n observations and W = sum 1/e_i^2, the variance of the error of their weighted mean is
    ``(1 - r) / W + r (sum 1/e_i)^2 / W^2``; for equal errors ``e^2 (r + (1 - r) / n)``. With ``inflate_by_scatter`` the factor
    1 - r becomes ``max(1 - r, sum (y_i - mean)^2 / e_i^2 / (n - 1))``. The error of taking a cell for a point, or a model's
    field for what was measured, is not in it.

    References
    ----------
    Birge, R. T. (1932), Phys. Rev. 40, 207-227.

    Examples
    --------
    >>> from oceankit.observations import table
    >>> obs = table(value=[1.0, 3.0, 8.0], error_std=1.0, lon=[0.2, 0.4, 5.0], lat=0.1)
    >>> out = superob(obs, Grid.regular(lon=(0, 10, 1), lat=(0, 1, 1)))
    >>> out.value.values.tolist(), out.n_obs.values.tolist(), out.error_std.values.round(3).tolist()
    ([2.0, 8.0], [2, 1], [0.707, 1.0])
    """
    obs = validate(obs)
    _check(min_count, correlation)
    names = (by,) if isinstance(by, str) else tuple(by)
    given = [_cells.windows(obs, n, w) for n, w in (("time", time), ("depth", depth)) if w is not None]  # type: ignore[arg-type]
    numbered = [*given, _cells.cells(obs, grid_or_spacing)]
    inside = np.logical_and.reduce([there for _, there in numbered])
    good = usable(obs)
    keys = [_codes(obs, n) for n in ("variable", *names) if n != "variable" or n in obs.variables]
    groups, counts = _groups([*keys, *(number for number, _ in numbered)], good & inside, min_count)
    left = {
        "n_averaged": int(counts.sum()),
        "n_flagged": int((~good).sum()),
        "n_outside": int((good & ~inside).sum()),
        "n_too_few": int((good & inside & (groups < 0)).sum()),
    }
    if not counts.size:
        raise ObservationError(
            f"none of the {good.size} observations can be averaged: {left['n_flagged']} are flagged, {left['n_outside']} lie "
            f"outside the grid or the windows, and {left['n_too_few']} in cells with fewer than min_count={min_count}"
        )
    out = _averaged(obs, groups, counts, names, correlation, inflate_by_scatter).assign_attrs(left)
    return (out, obs.assign(superob=("obs", groups, dict(_MEMBER)))) if return_raw else out


def _check(min_count: Any, correlation: Any) -> None:
    if not isinstance(min_count, int | np.integer) or isinstance(min_count, bool) or min_count < 1:
        raise ObservationError(f"min_count={min_count!r}; it is a whole number of at least 1")
    if not isinstance(correlation, int | float | np.number) or not 0.0 <= correlation <= 1.0:
        raise ObservationError(f"correlation={correlation!r}; the correlation of errors is between 0 and 1")


def _codes(obs: xr.Dataset, name: str) -> np.ndarray:
    """The values of a column as numbers in their order."""
    if name not in obs.variables:
        raise ObservationError(f"by={name!r} is no column of the observations; they have {list(obs.variables)}")
    codes, _ = pd.factorize(obs[name].values, sort=True)
    if (codes < 0).any():
        raise ObservationError(
            f"{name!r} is missing at obs {int(np.argmax(codes < 0))}; give it there, or leave it out of by="
        )
    return codes.astype(np.int64)


def _groups(keys: Sequence[np.ndarray], wanted: np.ndarray, min_count: int) -> tuple[np.ndarray, np.ndarray]:
    """The group of each observation, int64, -1 where it is in none; and how many each group has."""
    at = np.flatnonzero(wanted)
    code = np.zeros(at.size, np.int64)
    for key in keys:
        # Numbered anew each time, so that products of many keys do not overflow.
        _, part = np.unique(key[at], return_inverse=True)
        _, code = np.unique(code * (part.max(initial=0) + 1) + part, return_inverse=True)
    counts = np.bincount(code)
    enough = counts >= min_count
    number = np.where(enough, np.cumsum(enough) - 1, -1)
    groups = np.full(wanted.size, -1, np.int64)
    groups[at] = number[code]
    return groups, counts[enough]


def _averaged(
    obs: xr.Dataset, groups: np.ndarray, counts: np.ndarray, by: Sequence[str], correlation: float, scatter: bool
) -> xr.Dataset:
    at = np.flatnonzero(groups >= 0)
    g, n = groups[at], counts.size
    first = np.full(n, at.size)
    np.minimum.at(first, g, np.arange(at.size))
    error = obs["error_std"].values[at].astype(np.float64)
    weight = error**-2.0
    total = np.bincount(g, weight, n)

    def mean(values: np.ndarray) -> np.ndarray:
        # Of differences, so that the mean of equal values is that value.
        base = values[first]
        return base + np.bincount(g, weight * (values - base[g]), n) / total

    value = mean(obs["value"].values[at].astype(np.float64))
    apart = obs["value"].values[at] - value[g]
    columns: dict[str, Any] = {
        "value": value,
        "error_std": _errors(np.bincount(g, weight * apart**2, n), total, np.bincount(g, 1.0 / error, n), counts,
                             correlation, scatter),
    }  # fmt: skip
    kept = [name for name in ("variable", *by) if name in obs.variables]
    columns |= {name: obs[name].values[at][first] for name in kept}
    if "flag" in obs.variables:
        columns["flag"] = np.where(np.bincount(g, flags_of(obs)[at] == 2, n) > 0, 2, 1).astype(np.int8)
    columns |= {"n_obs": counts.astype(np.int64), "superob": np.arange(n)}
    places = _places(obs, at, g, weight, mean, n)
    said = {name: dict(obs[name].attrs) for name in (*kept, *places, "value", "error_std")}
    said |= {
        "flag": dict(ATTRS["flag"]),
        "n_obs": {"long_name": "observations averaged", "units": "1"},
        "superob": _NUMBER,
    }
    return validate(
        xr.Dataset(
            {k: ("obs", v, dict(said[k])) for k, v in columns.items() if k not in places},
            coords={k: ("obs", v, said[k]) for k, v in places.items()},
            attrs=dict(obs.attrs),
        )
    )


def _errors(
    squares: np.ndarray, total: np.ndarray, inverse: np.ndarray, counts: np.ndarray, correlation: float, scatter: bool
) -> np.ndarray:
    """Errors of weighted means; ``squares`` are of the differences over their errors."""
    own = np.full(counts.size, 1.0 - correlation)
    if scatter:
        own = np.maximum(own, squares / np.maximum(counts - 1, 1))
    return np.sqrt(own / total + correlation * (inverse / total) ** 2)


def _places(
    obs: xr.Dataset, at: np.ndarray, g: np.ndarray, weight: np.ndarray, mean: Callable[[np.ndarray], np.ndarray], n: int
) -> dict[str, np.ndarray]:
    """Mean positions, times and depths."""
    out: dict[str, np.ndarray] = {}
    if "lon" in obs.variables:
        lon, lat = obs["lon"].values[at], obs["lat"].values[at]
        vectors = unit_vectors(lon, lat)
        middle = np.stack([np.bincount(g, weight * vectors[:, d], n) for d in range(3)], axis=-1)
        out["lon"], out["lat"] = lonlat(middle)
        if (obs["lon"].values > 180.0).any():
            out["lon"] = out["lon"] % 360.0
    else:
        out |= {k: mean(obs[k].values[at].astype(np.float64)) for k in ("x", "y")}
    if "depth" in obs.variables:
        out["depth"] = mean(obs["depth"].values[at].astype(np.float64))
    if "time" in obs.variables:
        times = obs["time"].values[at].astype("datetime64[ns]")
        begin = times.min()
        # Counted from the first of all: nanoseconds since 1970 have more digits than float64.
        since = mean((times - begin).astype(np.float64))
        out["time"] = begin + np.rint(since).astype("timedelta64[ns]")
    return out


class SuperOb:
    """The field at super-observations: ``operator`` at each observation that went into one, averaged as they were.

    The mean of a field over the observations of a cell is not the field at their mean place: where a cell is seen in part, or
    the field bends, this is what compares like with like.

    Parameters
    ----------
    raw
        The observations with their column ``superob``: the second of ``superob(..., return_raw=True)``.
    operator
        What gives a field at the observations, ``operator(field, observations)``; :class:`Interp` where None.
    min_coverage
        A super-observation gets a value where at least this share of its weights lies on observations inside the field, from
        those; 1: all of them.

    Examples
    --------
    >>> from oceankit.observations import superob, table
    >>> field = xr.DataArray([[0.0, 1.0], [0.0, 1.0]], dims=("lat", "lon"), coords={"lat": [0.0, 1.0], "lon": [0.0, 1.0]})
    >>> obs = table(value=[0.1, 0.5], error_std=[0.1, 0.2], lon=[0.1, 0.6], lat=0.5)
    >>> mean, raw = superob(obs, 200.0, return_raw=True)
    >>> SuperOb(raw)(field, mean).values.round(6).tolist()
    [0.2]
    """

    def __init__(
        self,
        raw: xr.Dataset,
        operator: Callable[..., xr.DataArray] | None = None,
        *,
        min_coverage: float = 0.5,
    ) -> None:
        self.raw = validate(raw)
        if "superob" not in raw.variables:
            raise ObservationError(
                "the raw observations have no column 'superob'; give the second of superob(..., return_raw=True)"
            )
        if operator is not None and not callable(operator):
            raise ObservationError(f"operator={operator!r}; give what is called as operator(field, observations)")
        if not isinstance(min_coverage, int | float | np.number) or not 0.0 <= min_coverage <= 1.0:
            raise ObservationError(f"min_coverage={min_coverage!r}; it is a share between 0 and 1")
        self.operator, self.min_coverage = Interp() if operator is None else operator, float(min_coverage)

    def __call__(self, field: xr.DataArray, observations: xr.Dataset, *, grid: Grid | None = None) -> xr.DataArray:
        """Values along ``obs`` and the other dimensions of ``field``, missing outside it; lazy in, lazy out.

        Parameters
        ----------
        observations
            The table that :func:`superob` returned with the raw observations, or some of it.

        Raises
        ------
        ObservationError
            If the table was not made of these raw observations.
        """
        obs = validate(observations)
        numbers, groups = self._numbers(obs)
        used = np.flatnonzero(np.isin(groups, numbers))
        mine = self.raw.isel(obs=used)
        there = self.operator(field, mine) if grid is None else self.operator(field, mine, grid=grid)
        wanted, place = np.unique(numbers, return_inverse=True)
        rows = rows_of_groups(
            np.searchsorted(wanted, groups[used]), mine["error_std"].values.astype(np.float64) ** -2.0, wanted.size
        )
        sparse.divide(rows, sparse.sums(rows))
        return weighted_means(there, ["obs"], sparse.take(rows, place), "obs", least=self.min_coverage)

    def _numbers(self, obs: xr.Dataset) -> tuple[np.ndarray, np.ndarray]:
        """The numbers of the super-observations, and that of each raw observation."""
        for name in ("superob", "n_obs"):
            if name not in obs.variables:
                raise ObservationError(
                    f"the table has no column {name!r}, so it is none of super-observations; give the first of "
                    "superob(..., return_raw=True)"
                )
        numbers, groups = obs["superob"].values, self.raw["superob"].values
        counts = np.bincount(groups[groups >= 0], minlength=int(numbers.max(initial=0)) + 1)
        other = (numbers < 0) | (counts[np.maximum(numbers, 0)] != obs["n_obs"].values)
        if other.any():
            i = int(np.argmax(other))
            raise ObservationError(
                f"super-observation {numbers[i]} was made of {obs['n_obs'].values[i]} observations, and the raw ones have "
                f"{counts[max(int(numbers[i]), 0)]} of it; give the table and the raw observations of one call of superob"
            )
        return numbers, groups
