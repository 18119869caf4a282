"""The table that an analysis leaves along ``obs``: checked, cut to what was used, grouped, joined over cycles."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from oceankit.assimilation._status import USED

__all__ = ["By", "Groups", "groups_of", "join", "of_variable", "table_of", "units_of", "used"]

By = str | Sequence[str] | Mapping[str, Any] | None

# What a column is, and how to come by it.
_REMEDIES = {
    "residual": "observation minus analysis; call diagnostics.residuals(diagnostics, analysis) first",
    "analysis_spread": "the spread of the analysis; call diagnostics.residuals(diagnostics, analysis) first",
    "hx": "what each member would have measured, (obs, member); ensemble methods return it: assimilate with one, or assign it",
    "spread": "the standard deviation of the background there; ensemble methods return it, for another method assign what "
    "was stated: diagnostics.assign(spread=('obs', ...))",
}


def table_of(diagnostics: xr.Dataset, *needed: str, purpose: str) -> xr.Dataset:
    """The columns along ``obs`` (and ``member``) of what ``assimilate`` returned, without its fields on the grid.

    Raises
    ------
    ValueError
        If it is no such Dataset, or a needed column is missing; the message says how to come by it.
    """
    if not isinstance(diagnostics, xr.Dataset):
        raise ValueError(
            f"{purpose} reads the Dataset of diagnostics that assimilate returns beside the analysis, not a "
            f"{type(diagnostics).__name__}"
        )
    if "obs" not in diagnostics.dims:
        suffixed = sorted(str(d)[4:] for d in diagnostics.dims if str(d).startswith("obs_"))
        remedy = (
            f"the fields {suffixed} were analysed one by one: take one, diagnostics.of_variable(found, {suffixed[0]!r})"
            if suffixed
            else "give the second of what assimilate returns, (analysis, diagnostics)"
        )
        raise ValueError(f"the diagnostics have no dimension 'obs' but {tuple(diagnostics.dims)}; {remedy}")
    names = [n for n, v in diagnostics.variables.items() if "obs" in v.dims and set(v.dims) <= {"obs", "member"}]
    coords = [n for n in names if n in diagnostics.coords]
    columns = xr.Dataset(
        {n: diagnostics[n].variable for n in names if n not in coords},
        {n: diagnostics[n].variable for n in coords},
    )
    for name in ("value", "error_std", "innovation", "status", *needed):
        if name not in columns.variables:
            what = _REMEDIES.get(name, "give the diagnostics as assimilate returns them")
            raise ValueError(f"{purpose} needs {name!r} along obs, which the diagnostics do not have: {what}")
    return columns


def used(diagnostics: xr.Dataset, *needed: str, purpose: str) -> xr.Dataset:
    """The same, of the observations that were used; needed columns without gaps."""
    columns = table_of(diagnostics, *needed, purpose=purpose)
    mine = columns.isel(obs=np.flatnonzero(columns["status"].values == USED))
    if mine.sizes["obs"] == 0:
        raise ValueError(f"{purpose}: none of the {columns.sizes['obs']} observations was used (status 0)")
    for name in ("innovation", "error_std", *needed):
        bad = ~np.isfinite(mine[name].values).reshape(mine.sizes["obs"], -1).all(axis=1)
        if bad.any():
            raise ValueError(
                f"{purpose}: {name!r} is missing at {int(bad.sum())} of {bad.size} observations that were used; drop them, "
                f"for example with diagnostics.isel(obs=numpy.isfinite(diagnostics[{name!r}].values))"
            )
    return mine


def units_of(columns: xr.Dataset) -> dict[str, str]:
    """Units of the observations as attributes, none where they have none."""
    return {k: v for k, v in columns["value"].attrs.items() if k == "units"}


def of_variable(diagnostics: xr.Dataset, variable: Hashable) -> xr.Dataset:
    """The diagnostics of one field, where a method analysed the fields of a Dataset one by one (optimal interpolation).

    Parameters
    ----------
    diagnostics
        Names and the dimension ``obs`` end in ``_<variable>``.
    variable
        Name of the field in the background.

    Returns
    -------
    Dataset
        As if that field had been analysed alone: ``innovation``, ``status`` ... along ``obs``.

    Raises
    ------
    ValueError
        If there are none of that name.

    Examples
    --------
    >>> both = xr.Dataset({"innovation_sla": ("obs_sla", [0.1]), "innovation_sst": ("obs_sst", [2.0, 1.0])})
    >>> of_variable(both, "sst").innovation.values.tolist()
    [2.0, 1.0]
    """
    end = f"_{variable}"
    dim = f"obs{end}"
    if dim not in diagnostics.dims:
        known = [str(d)[4:] for d in diagnostics.dims if str(d).startswith("obs_")]
        raise ValueError(f"the diagnostics have nothing of {variable!r}; they are of {known or 'one field alone'}")
    mine = [n for n in diagnostics.variables if str(n).endswith(end)]
    found = diagnostics[mine]
    found = found.drop_vars([n for n in found.coords if n not in mine and n not in found.dims])
    return found.rename({**{n: str(n).removesuffix(end) for n in mine if n != dim}, dim: "obs"})


def join(diagnostics: Iterable[xr.Dataset]) -> xr.Dataset:
    """The tables of several analyses as one, with the number of each in ``cycle``: statistics need many observations.

    Parameters
    ----------
    diagnostics
        As ``assimilate`` returned them, one each cycle; fields on the grid and numbers are left out.

    Returns
    -------
    Dataset
        Along ``obs`` the columns that all have, and ``cycle`` (0, 1, ...).

    Raises
    ------
    ValueError
        If there are none, or ensembles differ in size.

    Examples
    --------
    >>> one = xr.Dataset({n: ("obs", [v]) for n, v in
    ...                   {"value": 1.0, "error_std": 0.1, "innovation": 0.2, "status": 0}.items()})
    >>> join([one, one]).cycle.values.tolist()
    [0, 1]
    """
    tables = [table_of(found, purpose="join") for found in diagnostics]
    if not tables:
        raise ValueError("join was given no diagnostics at all; give those of one cycle or more")
    members = sorted({t.sizes["member"] for t in tables if "member" in t.dims})
    if len(members) > 1:
        raise ValueError(f"the ensembles have {members} members; join analyses of one size, or drop hx from them")
    shared = set.intersection(*(set(t.variables) for t in tables))
    parts = [
        t.drop_vars([n for n in t.variables if n not in shared]).assign(
            cycle=("obs", np.full(t.sizes["obs"], k), {"long_name": "number of the analysis", "units": "1"})
        )
        for k, t in enumerate(tables)
    ]
    return xr.concat(parts, "obs", data_vars="all", coords="all", compat="override", combine_attrs="override")


# ---- groups -----------------------------------------------------------------------------------------------------------


class Groups(NamedTuple):
    """Which group each observation is in (-1: in none), and the dimensions along which groups lie."""

    number: np.ndarray
    shape: tuple[int, ...]
    dims: tuple[str, ...]
    coords: dict[str, Any]

    @property
    def size(self) -> int:
        """How many there are."""
        return int(np.prod(self.shape, initial=1))

    def sums(self, *columns: np.ndarray) -> list[np.ndarray]:
        """float64 (groups,) each: sums of the columns."""
        inside = self.number >= 0
        return [np.bincount(self.number[inside], c[inside], self.size) for c in columns]

    def counts(self) -> np.ndarray:
        """int64 (groups,): observations in each."""
        return np.bincount(self.number[self.number >= 0], minlength=self.size)

    def laid(self, values: np.ndarray, **attrs: Any) -> tuple[tuple[str, ...], np.ndarray, dict[str, Any]]:
        """A variable of a Dataset along the groups' dimensions."""
        return self.dims, np.asarray(values).reshape(self.shape), attrs

    def outside(self) -> dict[str, Any]:
        """The number of observations in no bin, where there are bins."""
        if not any(name.endswith("_bounds") for name in self.coords):
            return {}
        said = {"long_name": "used observations in none of the bins", "units": "1"}
        return {"n_in_no_bin": ((), int((self.number < 0).sum()), said)}


def groups_of(columns: xr.Dataset, by: By) -> Groups:
    """Groups by the values of columns, or by bins of them; None: all in one.

    Parameters
    ----------
    by
        Name of a column; several names; or a mapping from names to edges of bins (None: each value is a group). The
        positions go by their names in the table or here, ``"depth"`` or ``"obs_depth"``. Bins hold their lower edge, the
        last one both.
    """
    wanted = (
        {}
        if by is None
        else {by: None}
        if isinstance(by, str)
        else dict(by)
        if isinstance(by, Mapping)
        else dict.fromkeys(by)
    )
    codes, shape, coords = [], [], {}
    for name, edges in wanted.items():
        column = _column(columns, name)
        code, axis = _by_value(column, name) if edges is None else _by_bins(column, name, edges)
        codes.append(code)
        shape.append(axis[name][1].size)
        coords.update(axis)
    n = columns.sizes["obs"]
    number = np.zeros(n, np.int64)
    for code, size in zip(codes, shape, strict=True):
        number = np.where((number < 0) | (code < 0), -1, number * size + code)
    return Groups(number, tuple(shape), tuple(wanted), coords)


def _column(columns: xr.Dataset, name: str) -> xr.DataArray:
    for known in (name, f"obs_{name}"):
        if known in columns.variables and columns[known].dims == ("obs",):
            return columns[known]
    raise ValueError(f"by={name!r} is no column of the diagnostics, which have {sorted(map(str, columns.variables))}")


def _by_value(column: xr.DataArray, name: str) -> tuple[np.ndarray, dict[str, Any]]:
    values = column.values.astype(str) if column.dtype.kind == "O" else column.values
    known, code = np.unique(values, return_inverse=True)
    return code, {name: (name, known, dict(column.attrs))}


def _by_bins(column: xr.DataArray, name: str, edges: Any) -> tuple[np.ndarray, dict[str, Any]]:
    dates = column.dtype.kind == "M"
    if not dates and column.dtype.kind not in "fiu":
        raise ValueError(
            f"{name!r} has dtype {column.dtype}, which has no bins; give by={name!r} for a group of each value"
        )
    limits = np.asarray(edges, "datetime64[ns]" if dates else np.float64)
    if limits.ndim != 1 or limits.size < 2 or not (limits[1:] > limits[:-1]).all():
        raise ValueError(f"by={{{name!r}: {edges!r}}}: edges of bins are two numbers or more that increase")
    values = column.values
    code = np.searchsorted(limits, values, side="right") - 1
    code[values == limits[-1]] = limits.size - 2
    code[(code > limits.size - 2) | (values != values)] = -1
    low, high = limits[:-1], limits[1:]
    middle = low + (high - low) / 2
    if not dates:
        # An open bin is labelled by the edge it has.
        middle = np.where(
            np.isfinite(middle), middle, np.where(np.isfinite(low), low, np.where(np.isfinite(high), high, 0.0))
        )
    bounds = f"{name}_bounds"
    return code, {
        name: (name, middle, {**column.attrs, "bounds": bounds}),
        bounds: ((name, "bound"), np.column_stack([low, high])),
    }
