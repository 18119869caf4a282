"""Does an ensemble spread as far as it errs? Innovations against its covariance, spread against skill, what is left of it."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import numpy as np
import xarray as xr
from scipy import special

from oceankit.assimilation.diagnostics_table import By, groups_of, units_of, used
from oceankit.fields.checks import aligned
from oceankit.fields.grid import Grid

__all__ = ["reduced_chi2", "spread_reduction", "spread_skill"]

_LIKELY = 0.9


def reduced_chi2(diagnostics: xr.Dataset, *, by: By = None) -> xr.Dataset:
    """Innovations against their whole covariance: ``d^T (H P H^T + R)^-1 d / n``, P from the members.

    Parameters
    ----------
    diagnostics
        With ``hx``, as ensemble methods return it. Optimal interpolation returns its own ``reduced_chi2``.
    by
        Groups that are each taken by themselves, as for :func:`oceankit.assimilation.diagnostics.innovations`: ``"cycle"``
        for what :func:`oceankit.assimilation.diagnostics.join` gives, as errors of different cycles are no part of P.

    Returns
    -------
    Dataset
        Along the names of ``by``: ``chi2``; ``n``; ``reduced_chi2``, their quotient, expected to be 1 where P and R are right
        (Bennett 1992; Talagrand 1999; the mean over errors of twice the minimum of the cost function); ``scatter``,
        sqrt(2 / n), its standard deviation then, for Gaussian errors. NaN where ``n`` is 0.

    Raises
    ------
    ValueError
        If ``hx`` is missing.

    Notes
    -----
    P has the rank members - 1 and is not localized here. With many more observations than members, errors that no member
    spans are held against R alone, and the number is above 1 even for a perfect ensemble.

    The work is in the smaller of two spaces. In that of the members, with Y the anomalies over sqrt(members - 1), the number
    is the least value of ``(d - Y w)^T R^-1 (d - Y w) + w^T w`` over weights w (Hunt et al. 2007, eq. 19; Woodbury's
    formula): sums of squares, so nothing cancels.

    Examples
    --------
    >>> found = xr.Dataset({n: ("obs", [v]) for n, v in
    ...                     {"value": 3.0, "error_std": 1.0, "innovation": 2.0, "status": 0}.items()})
    >>> round(float(reduced_chi2(found.assign(hx=(("obs", "member"), [[0.0, 1.0, 2.0]]))).reduced_chi2), 12)
    2.0
    """
    mine = used(diagnostics, "hx", purpose="reduced_chi2")
    groups = groups_of(mine, by)
    hx = mine["hx"].transpose("obs", "member").values.astype(np.float64)
    error = mine["error_std"].values.astype(np.float64)
    d = mine["innovation"].values / error
    anomalies = (hx - hx.mean(axis=1, keepdims=True)) / (error * np.sqrt(hx.shape[1] - 1))[:, None]
    order = np.argsort(groups.number, kind="stable")
    ends = np.searchsorted(groups.number[order], np.arange(groups.size + 1))
    chi2 = np.zeros(groups.size)
    for k in range(groups.size):
        rows = order[ends[k] : ends[k + 1]]
        y, e = anomalies[rows], d[rows]
        chi2[k] = _against_covariance(y, e)
    n = groups.counts()
    with np.errstate(invalid="ignore", divide="ignore"):
        out = {
            "chi2": groups.laid(
                np.where(n > 0, chi2, np.nan), long_name="innovations over their covariance", units="1"
            ),
            "n": groups.laid(n, long_name="number of observations", units="1"),
            "reduced_chi2": groups.laid(
                chi2 / n, long_name="innovations over their covariance, by observation", units="1"
            ),
            "scatter": groups.laid(
                np.sqrt(2 / n), long_name="standard deviation of reduced_chi2 if all is right", units="1"
            ),
        }
    return xr.Dataset({**out, **groups.outside()}, groups.coords)


def _against_covariance(y: np.ndarray, e: np.ndarray) -> float:
    """``e^T (I + y y^T)^-1 e`` for y (obs, members) and e (obs,), both over the errors of observations."""
    if y.shape[0] < y.shape[1]:
        return float(e @ np.linalg.solve(np.eye(y.shape[0]) + y @ y.T, e))
    weights = np.linalg.solve(np.eye(y.shape[1]) + y.T @ y, y.T @ e)
    return float(((e - y @ weights) ** 2).sum() + (weights**2).sum())


def spread_skill(diagnostics: xr.Dataset, *, bins: int = 10, members: float | None = None) -> xr.Dataset:
    """Is the innovation large where it is expected to be? Predicted against found, in bins of equal counts.

    Predicted is ``sqrt((N + 1) / N spread^2 + error_std^2)``. The factor is there as the mean of N members errs itself: for
    members and truth from one distribution the square error of the mean is (N + 1) / N times the variance, estimated with
    divisor N - 1 as ``spread`` is (Fortin et al. 2014; Whitaker and Loughe 1998 for the relation by bins).

    Parameters
    ----------
    diagnostics
        With ``spread``.
    bins
        Number of bins; those of observations that are all predicted alike are no different.
    members
        N, where the diagnostics have no ``hx`` to count them; ``numpy.inf`` leaves the factor out.

    Returns
    -------
    Dataset
        Along ``bin``: ``n``, ``predicted`` and ``found`` (root mean squares), ``low`` and ``high``, the middle 90 % of ``found``
        if all is right, for independent Gaussian innovations. As numbers ``ratio``, found over predicted of all (above 1:
        too little spread or error stated), ``factor``.

    Raises
    ------
    ValueError
        If ``spread`` or N is missing, or there are fewer observations than bins.

    Examples
    --------
    >>> found = xr.Dataset({n: ("obs", [v, v]) for n, v in
    ...     {"value": 1.0, "error_std": 3.0, "innovation": 5.0, "spread": 4.0, "status": 0}.items()})
    >>> float(spread_skill(found, bins=1, members=np.inf).ratio)
    1.0
    """
    mine = used(diagnostics, "spread", purpose="spread_skill")
    n = mine.sizes["obs"]
    if not (isinstance(bins, int | np.integer) and 1 <= bins <= n):
        raise ValueError(f"bins={bins!r}; give a whole number between 1 and {n}, the number of observations used")
    if members is None:
        if "hx" not in mine.variables:
            raise ValueError("spread_skill needs the number of members: give members= (numpy.inf where there are none)")
        members = mine.sizes["member"]
    if not members >= 2:
        raise ValueError(f"members={members!r}; an ensemble has at least two")
    factor = 1.0 if np.isinf(members) else (members + 1) / members
    expected = factor * mine["spread"].values.astype(np.float64) ** 2 + mine["error_std"].values.astype(np.float64) ** 2
    squares = mine["innovation"].values.astype(np.float64) ** 2
    parts = np.array_split(np.argsort(expected, kind="stable"), bins)
    count = np.array([p.size for p in parts])
    predicted, found = (np.sqrt([v[p].mean() for p in parts]) for v in (expected, squares))
    tail = (1 - _LIKELY) / 2
    low, high = (predicted * np.sqrt(2 * special.gammaincinv(count / 2, q) / count) for q in (tail, 1 - tail))
    units = units_of(mine)
    rows = {
        "predicted": (predicted, "root mean square innovation predicted"),
        "found": (found, "root mean square innovation"),
        "low": (low, "low end of what is likely if all is right"),
        "high": (high, "high end of what is likely if all is right"),
    }
    numbers = {
        "ratio": (float(np.sqrt(squares.mean() / expected.mean())), "innovation found over predicted"),
        "factor": (float(np.sqrt(factor)), "factor of the spread for the error of the mean of the members"),
    }
    return xr.Dataset(
        {
            "n": ("bin", count, {"long_name": "number of observations", "units": "1"}),
            **{k: ("bin", v, {"long_name": words, **units}) for k, (v, words) in rows.items()},
            **{k: ((), v, {"long_name": words, "units": "1"}) for k, (v, words) in numbers.items()},
        },
        {"bin": ("bin", np.arange(bins), {"long_name": "bin, by what is predicted", "units": "1"})},
    )


# ---- on the grid ------------------------------------------------------------------------------------------------------


def spread_reduction(background: xr.DataArray | xr.Dataset, analysis: xr.DataArray | xr.Dataset) -> xr.Dataset:
    """What the observations did to the spread, place by place: analysis over background.

    Parameters
    ----------
    background, analysis
        Ensembles with ``member``, as ``assimilate`` took and returned them. Lazy fields give a lazy result.

    Returns
    -------
    Dataset
        Each field by its name: standard deviation of the analysis over that of the background, NaN where that is missing or
        zero; and ``<name>_mean``, its mean over the grid weighted by the area of cells (on bare points and nodes of a mesh,
        which have none, by count), along the dimensions that are left.

    Raises
    ------
    ValueError
        If both have no field with ``member`` in common, or lie on different grids.

    Examples
    --------
    >>> coords = {"lat": [35.0, 36.0], "lon": [121.0, 122.0]}
    >>> rng = np.random.default_rng(0)
    >>> sla = xr.DataArray(rng.normal(size=(5, 2, 2)), dims=("member", "lat", "lon"), coords=coords, name="sla")
    >>> round(float(spread_reduction(sla, sla / 2).sla_mean), 12)
    0.5
    """
    before, after = _ensembles(background, "background"), _ensembles(analysis, "analysis")
    names = [n for n in before if n in after]
    if not names:
        raise ValueError(f"background {list(before)} and analysis {list(after)} have no ensemble field in common")
    grid = Grid.from_dataset(background)
    weights = _areas(grid)
    out: dict[Hashable, xr.DataArray] = {}
    for name in names:
        first, second = before[name], after[name]
        if dict(first.sizes) != {d: second.sizes.get(d) for d in first.dims} or first.ndim != second.ndim:
            raise ValueError(
                f"{name!r} has the sizes {dict(first.sizes)} in the background and {dict(second.sizes)} in the analysis; give "
                "what assimilate took and what it returned"
            )
        axes = {d: first[d].values for d in first.dims if d in first.coords and d != "member"}
        second = aligned(second, axes, "the analysis").assign_coords({d: first[d] for d in axes})
        low, high = _spread(second), _spread(first)
        ratio = (low / high.where(high > 0)).astype(np.result_type(first.dtype, np.float32))
        ratio.attrs = {"long_name": f"spread of the analysis over that of the background, {name}", "units": "1"}
        mean = ratio.astype(np.float64).weighted(weights).mean(grid.dims)
        how = "area-weighted mean" if weights.attrs.get("units") else "mean"
        mean.attrs = {"long_name": f"{how} of: {ratio.attrs['long_name']}", "units": "1"}
        out[name], out[f"{name}_mean"] = ratio, mean
    return xr.Dataset(out)


def _ensembles(fields: Any, what: str) -> dict[Hashable, xr.DataArray]:
    if isinstance(fields, xr.DataArray):
        fields = {fields.name if fields.name is not None else "field": fields}
    elif not isinstance(fields, xr.Dataset):
        raise ValueError(f"the {what} is a DataArray or Dataset, not a {type(fields).__name__}")
    found = {n: v for n, v in fields.items() if "member" in v.dims and v.dtype.kind == "f"}
    if not found:
        raise ValueError(f"the {what} has no field of floats with a dimension 'member'; spread is that of an ensemble")
    return found


def _spread(field: xr.DataArray) -> xr.DataArray:
    return field.std("member", ddof=1, skipna=False, dtype=np.float64)


def _areas(grid: Grid) -> xr.DataArray:
    cells = grid.kind in ("rectilinear", "curvilinear") or (grid.kind == "mesh" and grid.location == "face")
    if not cells or 1 in grid.shape:
        return xr.DataArray(np.ones(grid.shape), dims=grid.dims)
    return grid.area().fillna(0.0).drop_vars(grid.coords())
