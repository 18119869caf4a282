"""Optimal interpolation: the best linear estimate from a background and observations with given covariances."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

import numpy as np
import xarray as xr

from oceankit.assimilation._oi_solver import Setting, System, analyse, local, solve_all
from oceankit.assimilation._scales import in_days
from oceankit.assimilation._status import FLAGGED, OUTSIDE, STATUS, USED, status_of
from oceankit.fields import blocks
from oceankit.fields.checks import aligned
from oceankit.fields.grid import Grid
from oceankit.numerics import covariance as covariances
from oceankit.numerics import neighbours, threads
from oceankit.numerics.sphere import EARTH_RADIUS
from oceankit.observations.matching import by_variable, same_units
from oceankit.observations.operators import Interp, elapsed, place_of
from oceankit.observations.table import ObservationError, validate

__all__ = ["OptimalInterpolation"]


class OptimalInterpolation:
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
        background_error_std: float | xr.DataArray | Mapping[str, float | xr.DataArray],
        length_scale: float,
        depth_scale: float | None = None,
        time_scale: Any = None,
        covariance: Literal["gaspari_cohn", "gaussian", "matern"] = "gaspari_cohn",
        n_nearest: int | None = None,
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
        self.length_scale = float(length_scale)
        self.depth_scale = None if depth_scale is None else float(depth_scale)
        self.time_scale = None if time_scale is None else in_days(time_scale, "time_scale")
        self.covariance = covariance
        self.n_nearest = None if n_nearest is None else int(n_nearest)

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
            On the grid ``increments`` and ``analysis_error_variance``; along ``obs`` the table with ``innovation``
            (observation minus background), ``residual`` (minus analysis), ``status``, and its positions as ``obs_lon``,
            ``obs_lat`` (``obs_time``, ``obs_depth``); as numbers ``n_used``,
            ``n_outside``, ``n_flagged``, ``innovation_mean``, ``innovation_rms``, ``residual_rms``,
            ``innovation_chi2`` (mean of d^2 / (background + observation variance)) and, where all observations are
            solved at once, ``reduced_chi2`` (d^T (S + R)^-1 d / n); both are near 1 where the errors stated are right.
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
        same_units(background, obs)
        setting = self._setting(background, grid, obs)
        modelled = _modelled(background, grid, obs, hx)
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
        analysis = (background + increments.astype(_dtype(background))).rename(background.name)
        analysis.attrs = dict(background.attrs)
        found = xr.Dataset(
            {
                "increments": _increments(increments, background),
                "analysis_error_variance": _variance(variance, background),
            }
        )
        return analysis, found.merge(_statistics(obs, status, innovation, innovation - at_obs, std_obs, system))

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

    def _background_std(self, background: xr.DataArray, grid: Grid, obs: xr.Dataset) -> tuple[xr.DataArray, np.ndarray]:
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
        return xr.DataArray(number), np.full(obs.sizes["obs"], number)

    def _system(self, setting: Setting, obs: xr.Dataset, innovation: np.ndarray, std: np.ndarray) -> System:
        horizontal = [obs["lon"], obs["lat"]] if "lon" in obs.variables else [obs["x"], obs["y"]]
        rest = [obs["depth"].values if n == "depth" else elapsed(obs["time"].values) for n in setting.extra]
        at = setting.scaled(*(h.values for h in horizontal), *rest)
        variance = obs["error_std"].values ** 2
        if setting.n_nearest is None:
            return solve_all(setting, at, innovation, std, variance)
        system = System(at, std, innovation, variance, neighbours.build(at), None, None, np.empty(0), np.nan)
        everywhere = np.ones(at.shape[0], bool)

        def work(start: int, stop: int) -> np.ndarray:
            return local(setting, system, everywhere[start:stop], at[start:stop], std[start:stop])[:, 0]

        return system._replace(at_observations=np.concatenate(threads.over_blocks(work, at.shape[0], block=512)))


# ---- what goes in and comes out ---------------------------------------------------------------------------------------


def _modelled(background: xr.DataArray, grid: Grid, obs: xr.Dataset, hx: Any) -> np.ndarray:
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


def _title(field: xr.DataArray) -> str:
    return str(field.attrs.get("long_name", field.attrs.get("standard_name", field.name or "the field")))


def _dtype(background: xr.DataArray) -> np.dtype:
    """Floats keep their precision; whole numbers cannot hold an increment."""
    return np.result_type(background.dtype, np.float32)


def _increments(increments: xr.DataArray, background: xr.DataArray) -> xr.DataArray:
    out = increments.astype(_dtype(background))
    out.attrs = {"long_name": f"analysis increment of {_title(background)}"}
    if "units" in background.attrs:
        out.attrs["units"] = background.attrs["units"]
    return out


def _variance(variance: xr.DataArray, background: xr.DataArray) -> xr.DataArray:
    variance.attrs = {"long_name": f"analysis-error variance of {_title(background)}"}
    if "units" in background.attrs:
        variance.attrs["units"] = f"({background.attrs['units']})2"
    return variance


def _statistics(
    obs: xr.Dataset, status: np.ndarray, innovation: np.ndarray, residual: np.ndarray, std: np.ndarray, system: System
) -> xr.Dataset:
    used = status == USED
    d, r = innovation[used], residual[used]
    units = {k: v for k, v in obs["value"].attrs.items() if k == "units"}
    # The grid has coordinates of these names too.
    places = {n: f"obs_{n}" for n in ("lon", "lat", "x", "y", "depth", "time") if n in obs.coords}
    out = obs.rename(places).assign(
        innovation=("obs", innovation, {"long_name": "observation minus background", **units}),
        residual=("obs", residual, {"long_name": "observation minus analysis", **units}),
        status=("obs", status.astype(np.int8), STATUS),
    )
    expected = std[used] ** 2 + obs["error_std"].values[used] ** 2
    numbers: dict[str, Any] = {
        "n_used": int(used.sum()),
        "n_outside": int((status == OUTSIDE).sum()),
        "n_flagged": int((status == FLAGGED).sum()),
        "innovation_mean": float(d.mean()),
        "innovation_rms": float(np.sqrt((d**2).mean())),
        "residual_rms": float(np.sqrt((r**2).mean())),
        "innovation_chi2": float((d**2 / expected).mean()),
    }
    if np.isfinite(system.chi2):
        numbers["reduced_chi2"] = system.chi2
    return out.assign(numbers)
