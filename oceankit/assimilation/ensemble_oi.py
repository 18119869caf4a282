"""Ensemble optimal interpolation: a static ensemble says how errors of one background hang together."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import numpy as np
import xarray as xr

from oceankit.assimilation import _ensemble_kernels as kernels
from oceankit.assimilation._bounds import Bounds, bounds_of, checked_bounds
from oceankit.assimilation._scales import above_zero
from oceankit.assimilation.ensemble import EnsembleMethod
from oceankit.assimilation.localization import Localization, WeightGrid

__all__ = ["EnsembleOI"]


class _Static(EnsembleMethod):
    """The mean is corrected, anomalies stay."""

    _transform = kernels.EOI


class EnsembleOI:
    """Ensemble optimal interpolation (Evensen 2003; Oke et al. 2008).

    The background-error covariance is ``scale`` times that of a static ensemble, for example of a model run's anomalies in
    the same season of many years; one background is corrected, and observations of one variable correct all.

    Parameters
    ----------
    ensemble
        A DataArray or Dataset with a dimension ``member``, on the background's grid, with the background's variables. Its
        own mean is taken out. Lazy or not.
    scale
        What the ensemble's covariance is multiplied by: a model's own variability is larger than its error.
    localization, weight_grid, bounds
        As for the other ensemble methods.

    Examples
    --------
    >>> from oceankit.assimilation import GaspariCohn
    >>> from oceankit.observations import table
    >>> rng = np.random.default_rng(0)
    >>> coords = {"lat": np.arange(35.0, 40), "lon": np.arange(120.0, 125)}
    >>> years = xr.DataArray(rng.normal(size=(50, 5, 5)), dims=("member", "lat", "lon"), name="sla", coords=coords)
    >>> eoi = EnsembleOI(years, scale=0.5, localization=GaspariCohn(300.0))
    >>> analysis, said = eoi.assimilate(years[0].drop_vars("member", errors="ignore") * 0.0,
    ...                                 table(value=[1.0], error_std=0.1, lon=[122.0], lat=[37.0]))
    >>> round(float(analysis[2, 2]), 1)
    1.0
    """

    def __init__(
        self,
        ensemble: Any,
        *,
        scale: float = 1.0,
        localization: Localization | None = None,
        weight_grid: WeightGrid | None = None,
        bounds: Bounds = None,
    ) -> None:
        if not isinstance(ensemble, xr.DataArray | xr.Dataset) or "member" not in ensemble.dims:
            raise ValueError(
                "EnsembleOI needs a static ensemble, a DataArray or Dataset with a dimension 'member', not "
                f"{type(ensemble).__name__}"
            )
        if ensemble.sizes["member"] < 2:
            raise ValueError("the static ensemble has one member; anomalies need at least two")
        self.ensemble, self.scale = ensemble, above_zero(scale, "scale")
        self.bounds = checked_bounds(bounds)
        self._method = _Static(localization=localization, weight_grid=weight_grid)

    def __repr__(self) -> str:
        said = [f"{self.ensemble.sizes['member']} members", f"scale={self.scale:g}"]
        known = {n: getattr(self._method, n) for n in ("localization", "weight_grid")} | {"bounds": self.bounds}
        said += [f"{n}={v!r}" for n, v in known.items() if v is not None]
        return f"EnsembleOI({', '.join(said)})"

    def assimilate(self, background: Any, observations: xr.Dataset, *, hx: Any = None) -> tuple[Any, xr.Dataset]:
        """Correct one background.

        Parameters
        ----------
        background
            A DataArray, or a Dataset whose variables the static ensemble has too. Lazy ones give lazy analyses.
        observations
            A table along ``obs``, with ``variable`` where the background has several fields. Flags 3, 4 and 9 are not used.
        hx
            A callable ``hx(field, observations)``, also for fields with members; None:
            :class:`~oceankit.observations.operators.Interp`.

        Returns
        -------
        analysis
            Like ``background``.
        diagnostics : Dataset
            As of the ensemble methods; ``hx`` holds the background plus each anomaly.

        Raises
        ------
        ValueError
            If the static ensemble lacks a variable or lies on another grid, or no observation can be used.
        """
        if hx is not None and not callable(hx):
            raise ValueError("hx= of EnsembleOI is a function of (field, observations), or None")
        fields = self._fields(background)
        limits = bounds_of(self.bounds, list(fields))
        around = {name: self._around(name, field) for name, field in fields.items()}
        single = isinstance(background, xr.DataArray)
        members = next(iter(around.values())) if single else background.drop_vars(list(fields)).assign(around)
        analysed, said = self._method.assimilate(members, observations, hx=hx)
        analysis = background.copy(deep=False)
        bounded = []
        for name, field in fields.items():
            # All members are corrected alike: what was added to the first is the increment.
            new, old = (analysed, around[name]) if single else (analysed[name], around[name])
            increment = (new.isel(member=0) - old.isel(member=0)).drop_vars("member", errors="ignore")
            done = (field + increment).transpose(*field.dims).astype(np.result_type(field.dtype, np.float32))
            low, high = limits[name]
            bounded.append(((done < low) | (done > high)).sum())
            if np.isfinite(low) or np.isfinite(high):
                done = done.clip(None if np.isinf(low) else low, None if np.isinf(high) else high)
            done.attrs, done.name = dict(field.attrs), field.name
            if single:
                analysis = done
            else:
                analysis[name] = done
        if self.bounds is not None:
            said["n_bounded"] = sum(bounded[1:], bounded[0])
        return analysis, said

    def _fields(self, background: Any) -> dict[Hashable, xr.DataArray]:
        """Those of the background that the static ensemble has."""
        if isinstance(background, xr.DataArray):
            return {background.name: background}
        if not isinstance(background, xr.Dataset):
            raise ValueError(f"the background is a DataArray or Dataset, not a {type(background).__name__}")
        known = [self.ensemble.name] if isinstance(self.ensemble, xr.DataArray) else list(self.ensemble.data_vars)
        found = {n: background[n] for n in known if n in background.data_vars}
        if not found:
            raise ValueError(
                f"the static ensemble has {known}, and the background {list(background.data_vars)}: nothing in common"
            )
        return found

    def _around(self, name: Hashable, field: xr.DataArray) -> xr.DataArray:
        """The background with the static ensemble's anomalies around it."""
        if "member" in field.dims:
            raise ValueError(
                f"the background {name!r} has members; EnsembleOI corrects one field: give its mean, or use EnKF or LETKF"
            )
        if isinstance(self.ensemble, xr.DataArray):
            own = self.ensemble
        elif name in self.ensemble.data_vars:
            own = self.ensemble[name]
        else:
            raise ValueError(f"the static ensemble has no {name!r}; it has {list(self.ensemble.data_vars)}")
        for dim in own.dims:
            if dim == "member":
                continue
            if dim not in field.dims or own.sizes[dim] != field.sizes[dim]:
                raise ValueError(
                    f"the static ensemble of {name!r} has {dict(own.sizes)} and the background {dict(field.sizes)}; regrid one "
                    "to the other"
                )
            if dim in own.indexes and dim in field.indexes and not np.allclose(own[dim], field[dim], atol=1e-6):
                raise ValueError(
                    f"{dim!r} of the static ensemble of {name!r} is not that of the background; regrid one to the other"
                )
        # By position: coordinates are the same but for rounding.
        bare = own.drop_vars([c for c in own.coords if c != "member"])
        anomalies = (bare - bare.mean("member")) * np.sqrt(self.scale)
        members = (field + anomalies).transpose("member", *field.dims)
        members.attrs, members.name = dict(field.attrs), field.name
        return members
