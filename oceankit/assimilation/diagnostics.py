"""Are the errors that an analysis was told the errors that it met? Statistics of what ``assimilate`` returns.

Every function takes the diagnostics Dataset of ``method.assimilate`` and counts the observations that were used. Those that
ask about the analysis want :func:`residuals` first; statistics over many cycles want :func:`join`.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from typing import Any

import numpy as np
import xarray as xr

from oceankit.assimilation.diagnostics_desroziers import desroziers
from oceankit.assimilation.diagnostics_ensemble import crps, rank_histogram
from oceankit.assimilation.diagnostics_spread import reduced_chi2, spread_reduction, spread_skill
from oceankit.assimilation.diagnostics_table import By, groups_of, join, of_variable, table_of, units_of, used
from oceankit.fields.grid import Grid
from oceankit.observations.matching import by_variable, same_units
from oceankit.observations.operators import Interp
from oceankit.observations.table import validate

__all__ = [
    "crps",
    "desroziers",
    "innovations",
    "join",
    "of_variable",
    "rank_histogram",
    "reduced_chi2",
    "residuals",
    "spread_reduction",
    "spread_skill",
]

_POSITIONS = ("lon", "lat", "x", "y", "depth", "time")


def residuals(
    diagnostics: xr.Dataset,
    analysis: xr.DataArray | xr.Dataset,
    *,
    hx: Callable[[xr.DataArray, xr.Dataset], xr.DataArray] | xr.DataArray | None = None,
) -> xr.Dataset:
    """Compare the observations with the analysis.

    Parameters
    ----------
    diagnostics, analysis
        As ``assimilate`` returned them.
    hx
        What the analysis would have measured: a function of (field, observations), a DataArray along ``obs`` (and
        ``member``), or None: :class:`~oceankit.observations.operators.Interp`. The one that ``assimilate`` was given.

    Returns
    -------
    Dataset
        The diagnostics with ``residual``, observation minus (mean of the) analysis, and where the analysis has members
        ``hx_analysis`` (obs, member) and ``analysis_spread``, their standard deviation with divisor members - 1. They are
        there for all observations that the analysis reaches, also those not used; a ``residual`` from before is replaced.

    Raises
    ------
    ValueError
        If the observations do not fit the analysis, as in ``assimilate``.

    Examples
    --------
    >>> from oceankit import OptimalInterpolation
    >>> from oceankit.observations import table
    >>> sla = xr.DataArray(np.zeros((3, 3)), dims=("lat", "lon"), name="sla",
    ...                    coords={"lat": [35.0, 36.0, 37.0], "lon": [121.0, 122.0, 123.0]})
    >>> oi = OptimalInterpolation(background_error_std=1.0, length_scale=100.0)
    >>> analysis, found = oi.assimilate(sla, table(value=[1.0], error_std=1.0, lon=[122.0], lat=[36.0]))
    >>> residuals(found, analysis).residual.values.round(12).tolist()
    [0.5]
    """
    columns = table_of(diagnostics, purpose="residuals")
    plain = columns.drop_vars([n for n, v in columns.variables.items() if v.dims != ("obs",)])
    obs = validate(plain.rename({f"obs_{n}": n for n in _POSITIONS if f"obs_{n}" in plain.variables}))
    seen = _modelled(_fields(analysis), Grid.from_dataset(analysis), obs, hx)
    said = units_of(columns)
    mean = seen if seen.ndim == 1 else seen.mean(axis=1)
    new: dict[str, Any] = {
        "residual": ("obs", obs["value"].values - mean, {"long_name": "observation minus analysis", **said})
    }
    if seen.ndim == 2:
        spread = seen.std(axis=1, ddof=1)
        new["hx_analysis"] = (("obs", "member"), seen, {"long_name": "members of the analysis there", **said})
        new["analysis_spread"] = ("obs", spread, {"long_name": "standard deviation of the analysis there", **said})
    return diagnostics.assign(new)


def _fields(analysis: Any) -> dict[Hashable, xr.DataArray]:
    """The fields that observations may belong to."""
    if isinstance(analysis, xr.DataArray):
        return {analysis.name: analysis}
    if not isinstance(analysis, xr.Dataset):
        raise ValueError(f"the analysis is a DataArray or Dataset, not a {type(analysis).__name__}")
    dims = set(Grid.from_dataset(analysis).dims)
    fields = {n: v for n, v in analysis.data_vars.items() if dims <= set(v.dims) and v.dtype.kind == "f"}
    # An ensemble's Dataset may hold a bathymetry, which nobody analyses.
    members = {n: v for n, v in fields.items() if "member" in v.dims}
    return members or fields


def _modelled(fields: Mapping[Hashable, xr.DataArray], grid: Grid, obs: xr.Dataset, hx: Any) -> np.ndarray:
    """float64 (obs,) or (obs, members): what the analysis would have measured."""
    n = obs.sizes["obs"]
    if hx is not None and not callable(hx):
        return _laid(hx, n, "hx")
    parts = []
    for name, mine in by_variable(fields, obs.assign(_number=("obs", np.arange(n)))).items():
        field, numbers, mine = fields[name], mine["_number"].values, mine.drop_vars("_number")
        same_units(field, mine)
        there = Interp()(field, mine, grid=grid) if hx is None else hx(field, mine)
        parts.append((numbers, _laid(there, numbers.size, f"what the analysis of {name!r} would have measured")))
    members = {values.shape[1:] for _, values in parts}
    if len(members) > 1:
        raise ValueError("some fields of the analysis have members and others have none; give one kind at a time")
    out = np.full((n, *members.pop()), np.nan)
    for numbers, values in parts:
        out[numbers] = values
    return out


def _laid(values: Any, n: int, what: str) -> np.ndarray:
    if (
        not isinstance(values, xr.DataArray)
        or not {"obs"} <= set(values.dims) <= {"obs", "member"}
        or values.sizes["obs"] != n
    ):
        shape = dict(values.sizes) if isinstance(values, xr.DataArray) else f"the type {type(values).__name__}"
        raise ValueError(f"{what} has {shape}; a DataArray along obs ({n}), and member for an ensemble, is needed")
    return np.ascontiguousarray(values.transpose("obs", ...).values, np.float64)


def innovations(diagnostics: xr.Dataset, *, by: By = None) -> xr.Dataset:
    """Moments of the innovations, beside those expected from the errors stated.

    Parameters
    ----------
    diagnostics
        As ``assimilate`` returned them.
    by
        None: all in one. Groups: the name of a column (``"variable"``, ``"platform"``), several names, or a mapping from
        names to edges of bins, ``{"depth": [0, 100, 500]}`` (None instead of edges: a group of each value).

    Returns
    -------
    Dataset
        Along the names of ``by``: ``n``, ``mean``, ``rms``, ``std`` (divisor n: rms^2 = mean^2 + std^2) and, where the
        diagnostics have ``spread``, ``expected_std``, the root of the mean of spread^2 + error_std^2, and ``chi2``, the mean
        of d^2 / (spread^2 + error_std^2), near 1 where the errors stated are right (the diagonal of what
        Desroziers et al. 2005 ask in section 2). NaN where ``n`` is 0. ``n_in_no_bin`` counts what lies beyond the edges.

    Raises
    ------
    ValueError
        If a column is missing or edges do not increase.

    Examples
    --------
    >>> found = xr.Dataset({n: ("obs", v) for n, v in {"value": [1.0, 2.0, 6.0], "error_std": [1.0, 1.0, 1.0],
    ...     "innovation": [1.0, -1.0, 3.0], "status": [0, 0, 0], "platform": ["a", "a", "b"]}.items()})
    >>> innovations(found, by="platform").rms.values.tolist()
    [1.0, 3.0]
    """
    mine = used(diagnostics, purpose="innovations")
    groups, units = groups_of(mine, by), units_of(mine)
    d = mine["innovation"].values.astype(np.float64)
    n = groups.counts()
    with np.errstate(invalid="ignore", divide="ignore"):
        total, squares = groups.sums(d, d**2)
        mean = total / n
        about = d - np.where(groups.number >= 0, mean[groups.number], 0.0)
        out = {
            "n": groups.laid(n, long_name="number of observations", units="1"),
            "mean": groups.laid(mean, long_name="mean innovation", **units),
            "rms": groups.laid(np.sqrt(squares / n), long_name="root mean square innovation", **units),
            "std": groups.laid(
                np.sqrt(groups.sums(about**2)[0] / n), long_name="standard deviation of innovations", **units
            ),
        }
        if "spread" in mine.variables:
            expected = mine["spread"].values ** 2 + mine["error_std"].values ** 2
            variance, chi2 = groups.sums(expected, d**2 / expected)
            out["expected_std"] = groups.laid(
                np.sqrt(variance / n), long_name="innovation expected from the errors stated", **units
            )
            out["chi2"] = groups.laid(chi2 / n, long_name="mean of innovation^2 over its expected variance", units="1")
    return xr.Dataset({**out, **groups.outside()}, groups.coords)
