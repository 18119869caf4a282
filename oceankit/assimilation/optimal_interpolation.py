"""Optimal interpolation: the best linear estimate from a background and observations with given covariances."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import xarray as xr

from oceankit.assimilation._background import BackgroundMethod, Std, modelled_at, statistics, title_of
from oceankit.assimilation._bounds import Bounds, checked_bounds
from oceankit.assimilation._oi_solver import Setting, System, analyse, local, solve_all
from oceankit.assimilation._scales import in_days
from oceankit.assimilation._status import USED, status_of
from oceankit.fields import blocks
from oceankit.fields.grid import Grid
from oceankit.numerics import covariance as covariances
from oceankit.numerics import neighbours, threads
from oceankit.numerics.sphere import EARTH_RADIUS
from oceankit.observations.matching import same_units
from oceankit.observations.operators import elapsed, place_of
from oceankit.observations.table import ObservationError

__all__ = ["OptimalInterpolation"]


class OptimalInterpolation(BackgroundMethod):
    """Optimal interpolation (Gandin 1963; Daley 1991, chapter 4; Bretherton, Davis and Fandry 1976).

    The analysis is ``xb + C (S + R)^-1 (y - H xb)``: C is the background covariance between analysis point and
    observations, S that among observations, R the diagonal of the observation-error variances. Covariances are
    ``std(a) std(b) rho(distance)``, times correlations in depth and time where those scales are given.

    Parameters
    ----------
    background_error_std
        Standard deviation of the background error, in the field's units: a number, a field on the background's grid,
        or for a Dataset a mapping from variable to either.
    length_scale
        Daley's correlation length L, km on the sphere and coordinate units on a plane: every function falls as
        ``1 - d^2/2L^2`` near zero distance. Distances are great circles.
    depth_scale
        The same for depth, in metres. Needed where the background has more than one depth.
    time_scale
        The same for time: a timedelta, a string such as ``"5D"``, or days. None: errors stay the same over time; each
        observation is still compared with the background at its own time.
    covariance
        ``"gaspari_cohn"`` (zero beyond 3.65 L), ``"gaussian"`` ``exp(-d^2/2L^2)`` or ``"matern"`` (smoothness 3/2,
        ``(1 + d/L) exp(-d/L)``).
    n_nearest
        Use the so many nearest observations at each point (nearest in scaled distance); None solves with all of them
        at once, which is exact.
    bounds
        (lowest, highest) that the analysis keeps, None where there is none; for a Dataset a mapping from variable to such a
        pair. What was set to a bound is counted.

    Examples
    --------
    >>> from oceankit.observations import table
    >>> background = xr.DataArray(np.zeros((3, 3)), dims=("lat", "lon"), name="sla",
    ...                           coords={"lat": [35.0, 36.0, 37.0], "lon": [121.0, 122.0, 123.0]})
    >>> obs = table(value=[1.0], error_std=1.0, lon=[122.0], lat=[36.0])
    >>> oi = OptimalInterpolation(background_error_std=1.0, length_scale=100.0)
    >>> analysis, diagnostics = oi.assimilate(background, obs)
    >>> round(float(analysis[1, 1]), 12), round(float(diagnostics.analysis_error_variance[1, 1]), 12)
    (0.5, 0.5)
    """

    def __init__(
        self,
        *,
        background_error_std: Std,
        length_scale: float,
        depth_scale: float | None = None,
        time_scale: Any = None,
        covariance: Literal["gaspari_cohn", "gaussian", "matern"] = "gaspari_cohn",
        n_nearest: int | None = None,
        bounds: Bounds = None,
    ) -> None:
        if covariance not in covariances.FUNCTIONS:
            raise ValueError(
                f"covariance={covariance!r} is not known; choose one of {', '.join(map(repr, covariances.FUNCTIONS))}"
            )
        for name, scale in (("length_scale", length_scale), ("depth_scale", depth_scale)):
            if scale is None and name == "depth_scale":
                continue
            if not isinstance(scale, float | int | np.floating | np.integer) or not (np.isfinite(scale) and scale > 0):
                raise ValueError(f"{name}={scale!r}; a correlation length is a number above zero")
        if n_nearest is not None and not (isinstance(n_nearest, int | np.integer) and n_nearest >= 1):
            raise ValueError(f"n_nearest={n_nearest!r}; it is a whole number of at least 1, or None for all")
        self.background_error_std = background_error_std
        self.bounds = checked_bounds(bounds)
        self.length_scale = float(length_scale)
        self.depth_scale = None if depth_scale is None else float(depth_scale)
        self.time_scale = None if time_scale is None else in_days(time_scale, "time_scale")
        self.covariance = covariance
        self.n_nearest = None if n_nearest is None else int(n_nearest)

    def __repr__(self) -> str:
        std = self.background_error_std
        said = {
            "background_error_std": std if isinstance(std, float | int) else "...",
            "length_scale": self.length_scale,
        }
        more = ("depth_scale", "time_scale", "n_nearest", "bounds")
        said |= {"covariance": self.covariance, **{n: v for n in more if (v := getattr(self, n)) is not None}}
        return f"OptimalInterpolation({', '.join(f'{n}={v!r}' for n, v in said.items())})"

    def _one(self, background: xr.DataArray, grid: Grid, obs: xr.Dataset, hx: Any) -> tuple[xr.DataArray, xr.Dataset]:
        same_units(background, obs)
        setting = self._setting(background, grid, obs)
        modelled = modelled_at(background, grid, obs, hx)
        std_field, std_obs = self._background_std(background, grid, obs)
        status = status_of(np.isfinite(modelled) & np.isfinite(std_obs), obs, grid)
        used = status == USED
        innovation = obs["value"].values - modelled
        mine = obs.isel(obs=np.flatnonzero(used))
        system = self._system(setting, mine, innovation[used], std_obs[used])
        increments, variance = blocks.pointwise(
            analyse,
            background,
            [*setting.positions, std_field],
            2,
            constants={"setting": setting.bare(), "system": system},
        )
        at_obs = np.full(used.size, np.nan)
        at_obs[used] = system.at_observations
        analysis, found = self._analysis(background, increments)
        found["analysis_error_variance"] = _variance(variance, background)
        said = statistics(obs, status, innovation, innovation - at_obs, std_obs, system.chi2)
        return analysis, found.merge(said)

    # ---- the problem ----------------------------------------------------------------------------------------------

    def _setting(self, background: xr.DataArray, grid: Grid, obs: xr.Dataset) -> Setting:
        """Scales, and the positions of the background's values that matter."""
        if grid.planar == ("lon" in obs.variables):
            raise ObservationError("the background and the observations must both have lon and lat, or both x and y")
        positions, names = [grid.lon, grid.lat], []
        dims = set(grid.dims)
        for name, scale, keyword in (
            ("depth", self.depth_scale, "depth_scale"),
            ("time", self.time_scale, "time_scale"),
        ):
            place = place_of(background, name)  # type: ignore[arg-type]
            if place is not None:
                dims |= set(place.dims)
            if scale is None:
                # One depth is still a depth: the deep sea must not be taken for the surface.
                if name == "depth" and place is not None and (place.size > 1 or "depth" in obs.variables):
                    raise ValueError(
                        f"the background has {place.size} value(s) of {place.name!r}: give OptimalInterpolation a depth_scale= "
                        "in metres, or select one depth and drop depth from background or observations"
                    )
                continue
            if place is None:
                raise ValueError(
                    f"{keyword}= is given, but the background has no {name}; assign it, for example "
                    f"background.assign_coords({name}=...), or leave {keyword} out"
                )
            if name not in obs.variables:
                raise ObservationError(
                    f"{keyword}= is given, but the observations have no {name}; give table(..., {name}=...)"
                )
            positions.append(place)
            names.append(name)
        beyond = [d for d in background.dims if d not in dims]
        if beyond:
            raise ValueError(
                f"the background also has the dimension {beyond[0]!r}, which is neither of its grid {grid.dims} nor depth nor "
                "time; assimilate one position of it at a time"
            )
        radius = 0.0 if grid.planar else EARTH_RADIUS / 1e3 / self.length_scale
        scales = {"depth": self.depth_scale, "time": self.time_scale}
        return Setting(
            positions, tuple(names), tuple(float(scales[n] or 1.0) for n in names), radius, self.length_scale,
            covariances.FUNCTIONS[self.covariance], self.n_nearest,
        )  # fmt: skip

    def _system(self, setting: Setting, obs: xr.Dataset, innovation: np.ndarray, std: np.ndarray) -> System:
        horizontal = [obs["lon"], obs["lat"]] if "lon" in obs.variables else [obs["x"], obs["y"]]
        rest = [obs["depth"].values if n == "depth" else elapsed(obs["time"].values) for n in setting.extra]
        at = setting.scaled(*(h.values for h in horizontal), *rest)
        variance = obs["error_std"].values ** 2
        if setting.n_nearest is None:
            return solve_all(setting, at, innovation, std, variance)
        tree = neighbours.build(at)
        # In the order of the tree: what is near a point lies together in memory.
        order = tree.order
        at, std = np.ascontiguousarray(at[order]), std[order]
        sorted_tree = tree._replace(order=np.arange(order.size))
        system = System(at, std, innovation[order], variance[order], sorted_tree, None, None, np.empty(0), np.nan)
        everywhere = np.ones(at.shape[0], bool)

        def work(start: int, stop: int) -> np.ndarray:
            return local(setting, system, everywhere[start:stop], at[start:stop], std[start:stop])[:, 0]

        there = np.empty(order.size)
        there[order] = np.concatenate(threads.over_blocks(work, order.size, block=512))
        return system._replace(at_observations=there)


# ---- what goes in and comes out ---------------------------------------------------------------------------------------


def _variance(variance: xr.DataArray, background: xr.DataArray) -> xr.DataArray:
    variance.attrs = {"long_name": f"analysis-error variance of {title_of(background)}"}
    if "units" in background.attrs:
        variance.attrs["units"] = f"({background.attrs['units']})2"
    return variance
