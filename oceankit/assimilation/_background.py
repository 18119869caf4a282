"""Methods that correct one background whose error statistics are stated: what they have in common."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np
import xarray as xr

from oceankit.assimilation._bounds import Bounds, bounds_of
from oceankit.assimilation._status import DUPLICATE, FLAGGED, OUTSIDE, STATUS, USED
from oceankit.fields.checks import aligned
from oceankit.fields.grid import Grid
from oceankit.observations.matching import by_variable
from oceankit.observations.operators import Interp
from oceankit.observations.table import validate

__all__ = ["BackgroundMethod", "Std", "increments_of", "modelled_at", "statistics", "title_of"]

Std: TypeAlias = float | xr.DataArray | Mapping[str, float | xr.DataArray]


class BackgroundMethod:
    """One background, corrected variable by variable."""

    background_error_std: Std
    bounds: Bounds = None

    def assimilate(
        self,
        background: xr.DataArray | xr.Dataset,
        observations: xr.Dataset,
        *,
        hx: xr.DataArray | np.ndarray | Callable[[xr.DataArray, xr.Dataset], xr.DataArray] | None = None,
    ) -> tuple[Any, xr.Dataset]:
        """The analysis and its diagnostics.

        Parameters
        ----------
        background
            A field, or a Dataset of several (then each observation's ``variable`` says which it belongs to; they are
            analysed one by one). Lazy fields give lazy analyses; only H(x) is computed at once.
        observations
            A table from :func:`oceankit.observations.table`. Flags 3, 4 and 9 are not used.
        hx
            The background at the observations: values along ``obs``, or a function of (field, observations). None is
            :class:`oceankit.observations.operators.Interp`.

        Returns
        -------
        analysis
            Like ``background``.
        diagnostics : Dataset
            On the grid ``increments`` and, of optimal interpolation, ``analysis_error_variance``. Along ``obs`` the table
            with ``innovation`` (observation minus background), ``residual`` (minus analysis), ``spread`` (the
            background error stated there), ``status``, and its positions
            as ``obs_lon``, ``obs_lat`` (``obs_time``, ``obs_depth``). As numbers ``n_used``, ``n_outside``, ``n_flagged``,
            ``n_duplicate``, ``innovation_mean``, ``innovation_rms``, ``residual_rms``, ``innovation_chi2`` (mean of
            d^2 / (background + observation variance)) and, where all observations are solved at once, ``reduced_chi2``
            (d^T (S + R)^-1 d / n); both are near 1 where the errors stated are right. With ``bounds`` ``n_bounded``, the
            values set to one of them; residuals are those before.
            For a Dataset each name ends in ``_<variable>``.

        Raises
        ------
        ValueError
            If no observation can be used, units differ, or the covariance is not positive definite.
        """
        obs = validate(observations)
        if isinstance(background, xr.DataArray):
            (obs,) = by_variable({background.name: background}, obs).values()
            return self._one(background, Grid.from_dataset(background), obs, hx)
        if not isinstance(background, xr.Dataset):
            raise ValueError(f"the background is a DataArray or Dataset, not a {type(background).__name__}")
        if hx is not None and not callable(hx):
            raise ValueError("hx= for a Dataset is a function of (field, observations), or None")
        grid = Grid.from_dataset(background)
        on_grid = {
            n: v for n, v in background.data_vars.items() if set(grid.dims) <= set(v.dims) and v.dtype.kind in "fiu"
        }
        fields = {n: v for n, v in on_grid.items() if n not in grid.described_by}
        analysis, parts = background.copy(), []
        for name, mine in by_variable(fields, obs).items():
            field, found = self._one(background[name], grid, mine, hx)
            analysis[name] = field
            names = {v: f"{v}_{name}" for v in found.variables if v not in background.coords and v != "obs"}
            parts.append(found.rename({**names, "obs": f"obs_{name}"}))
        return analysis, xr.merge(parts, compat="override")

    def _one(self, background: xr.DataArray, grid: Grid, obs: xr.Dataset, hx: Any) -> tuple[xr.DataArray, xr.Dataset]:
        raise NotImplementedError

    def _analysis(self, background: xr.DataArray, increments: xr.DataArray) -> tuple[xr.DataArray, xr.Dataset]:
        """Background plus increments within bounds, and what is said of both on the grid."""
        analysis = (background + increments.astype(_dtype(background))).rename(background.name)
        found = xr.Dataset({"increments": increments_of(increments, background)})
        given = self.bounds
        if isinstance(given, Mapping):
            given = {n: b for n, b in given.items() if n == background.name} or None
        if given is not None:
            low, high = bounds_of(given, [background.name])[background.name]
            found["n_bounded"] = ((analysis < low) | (analysis > high)).sum()
            found["n_bounded"].attrs["long_name"] = "values that were set to a bound"
            analysis = analysis.clip(None if np.isinf(low) else low, None if np.isinf(high) else high, keep_attrs=True)
        analysis.attrs = dict(background.attrs)
        return analysis, found

    def _background_std(
        self, background: xr.DataArray, grid: Grid, obs: xr.Dataset | None
    ) -> tuple[xr.DataArray, np.ndarray]:
        """The standard deviation stated, a number or a field, and at the observations."""
        given = self.background_error_std
        if isinstance(given, Mapping):
            if background.name not in given:
                raise ValueError(f"background_error_std has no entry for {background.name!r}; it has {list(given)}")
            given = given[str(background.name)]
        if isinstance(given, xr.DataArray) and given.ndim:
            std = given.compute()
            strange = [d for d in std.dims if d not in background.dims]
            if strange or any(std.sizes[d] != background.sizes[d] for d in std.dims):
                raise ValueError(
                    f"background_error_std has dimensions {dict(std.sizes)}, the background {dict(background.sizes)}; "
                    "give it on the background's grid"
                )
            axes = {d: background[d].values for d in std.dims if d in background.coords}
            std = aligned(std, axes, "background_error_std").assign_coords(
                {n: c for n, c in background.coords.items() if set(c.dims) <= set(std.dims)}
            )
            if bool((std <= 0).any()):
                raise ValueError(f"background_error_std holds {float(std.min()):g}; a standard deviation is above zero")
            if obs is None:
                return std, np.empty(0)
            if set(grid.dims) <= set(std.dims):
                return std, np.asarray(Interp()(std, obs, grid=grid).values, np.float64)
            whole = std.broadcast_like(
                background.isel({d: 0 for d in background.dims if d not in (*grid.dims, *std.dims)})
            )
            return std, np.asarray(Interp()(whole, obs, grid=grid).values, np.float64)
        if not isinstance(given, float | int | np.floating | np.integer | xr.DataArray):
            raise ValueError(
                f"background_error_std is a {type(given).__name__}; give a number, or a DataArray on the background's grid"
            )
        number = float(given)
        if not (np.isfinite(number) and number > 0):
            raise ValueError(f"background_error_std={number:g}; a standard deviation is above zero")
        return xr.DataArray(number), np.full(0 if obs is None else obs.sizes["obs"], number)


def modelled_at(background: xr.DataArray, grid: Grid, obs: xr.Dataset, hx: Any) -> np.ndarray:
    if hx is None and not (
        grid.kind in ("rectilinear", "curvilinear") or (grid.kind == "mesh" and grid.location == "node")
    ):
        what = "the faces of a mesh" if grid.kind == "mesh" else "bare points"
        raise ValueError(
            f"values on {what} have no neighbours to interpolate between; give hx=operators.Interp('nearest')"
        )
    found = Interp()(background, obs, grid=grid) if hx is None else hx(background, obs) if callable(hx) else hx
    values = np.asarray(found, np.float64)
    if values.shape != (obs.sizes["obs"],):
        raise ValueError(
            f"hx has shape {values.shape}, but there are {obs.sizes['obs']} observations; give one value each"
        )
    return values


def title_of(field: xr.DataArray) -> str:
    return str(field.attrs.get("long_name", field.attrs.get("standard_name", field.name or "the field")))


def _dtype(background: xr.DataArray) -> np.dtype:
    """Floats keep their precision; whole numbers cannot hold an increment."""
    return np.result_type(background.dtype, np.float32)


def increments_of(increments: xr.DataArray, background: xr.DataArray) -> xr.DataArray:
    out = increments.astype(_dtype(background))
    out.attrs = {"long_name": f"analysis increment of {title_of(background)}"}
    if "units" in background.attrs:
        out.attrs["units"] = background.attrs["units"]
    return out


def statistics(
    obs: xr.Dataset, status: np.ndarray, innovation: np.ndarray, residual: np.ndarray, std: np.ndarray, chi2: float
) -> xr.Dataset:
    """What is said along ``obs``, and as numbers."""
    used = status == USED
    d, r = innovation[used], residual[used]
    units = {k: v for k, v in obs["value"].attrs.items() if k == "units"}
    # The grid has coordinates of these names too.
    places = {n: f"obs_{n}" for n in ("lon", "lat", "x", "y", "depth", "time") if n in obs.coords}
    out = obs.rename(places).assign(
        innovation=("obs", innovation, {"long_name": "observation minus background", **units}),
        residual=("obs", residual, {"long_name": "observation minus analysis", **units}),
        spread=("obs", std, {"long_name": "standard deviation of the background error there, as stated", **units}),
        status=("obs", status.astype(np.int8), STATUS),
    )
    expected = std[used] ** 2 + obs["error_std"].values[used] ** 2
    numbers: dict[str, Any] = {
        "n_used": int(used.sum()),
        "n_outside": int((status == OUTSIDE).sum()),
        "n_flagged": int((status == FLAGGED).sum()),
        "n_duplicate": int((status == DUPLICATE).sum()),
        "innovation_mean": float(d.mean()),
        "innovation_rms": float(np.sqrt((d**2).mean())),
        "residual_rms": float(np.sqrt((r**2).mean())),
        "innovation_chi2": float((d**2 / expected).mean()),
    }
    if np.isfinite(chi2):
        numbers["reduced_chi2"] = chi2
    return out.assign(numbers)
