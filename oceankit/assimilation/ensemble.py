"""Ensemble methods: the members' own spread says how errors of the background hang together."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any, ClassVar

import numpy as np
import xarray as xr

from oceankit.assimilation import _ensemble_core as core
from oceankit.assimilation import _ensemble_kernels as kernels
from oceankit.assimilation import _ensemble_tiles as tiles
from oceankit.assimilation import inflation as inflations
from oceankit.assimilation import localization as localizations
from oceankit.assimilation._bounds import Bounds, bounds_of, checked_bounds
from oceankit.assimilation._status import DUPLICATE, FLAGGED, OUTSIDE, STATUS, USED, status_of
from oceankit.fields.grid import Grid
from oceankit.observations.matching import by_variable, same_units
from oceankit.observations.operators import Interp, elapsed
from oceankit.observations.table import ObservationError, validate

__all__ = ["EAKF", "ESTKF", "ETKF", "LESTKF", "LETKF", "DEnKF", "EnKF", "EnsembleMethod"]


class EnsembleMethod:
    """What all ensemble methods have in common.

    Parameters
    ----------
    localization
        :class:`GaspariCohn` or :class:`Boxcar`; None: each observation reaches everything.
    inflation
        :class:`Multiplicative`, :class:`Forgetting`, :class:`RTPS`, :class:`RTPP` or None.
    rotate
        Whether one random rotation of the ensemble that keeps its mean follows the analysis.
    weight_grid
        :class:`WeightGrid`: transforms are found on a coarser grid and interpolated. None: at each place. Not for EAKF.
    bounds
        (lowest, highest) that members keep after the analysis, None where there is none; for a Dataset a mapping from
        variable to such a pair. What was set to a bound is counted.
    rng
        A seed or ``numpy.random.Generator`` for what is drawn; needed by methods that draw.
    """

    _transform: ClassVar[int] = kernels.ETKF
    _subspace: ClassVar[bool] = False
    _perturbs: ClassVar[bool] = False
    _local: ClassVar[bool] = False

    def __init__(
        self,
        *,
        localization: localizations.Localization | None = None,
        inflation: inflations.Inflation | None = None,
        rotate: bool = False,
        weight_grid: localizations.WeightGrid | None = None,
        bounds: Bounds = None,
        rng: np.random.Generator | int | None = None,
    ) -> None:
        name = type(self).__name__
        self.localization = localizations.check(localization, name)
        self.inflation = inflations.check(inflation, name)
        if self._local and localization is None:
            raise ValueError(f"{name} is local: give localization=GaspariCohn(radius) or Boxcar(radius)")
        if not isinstance(rotate, bool | np.bool_):
            raise ValueError(f"{name}(rotate={rotate!r}): give True or False")
        self.rotate = bool(rotate)
        self.weight_grid = localizations.check_weight_grid(weight_grid, name)
        if weight_grid is not None and (localization is None or self._transform == kernels.EAKF):
            why = "takes observations one by one" if self._transform == kernels.EAKF else "has no localization="
            raise ValueError(f"{name}(weight_grid={weight_grid!r}) {why}, so there are no transforms to interpolate")
        self.bounds = checked_bounds(bounds)
        self.rng = None if rng is None else np.random.default_rng(rng)

    @property
    def draws(self) -> bool:
        """Whether the analysis draws random numbers."""
        return self.rotate or self._perturbs

    def __repr__(self) -> str:
        said = [
            f"{n}={getattr(self, n)!r}"
            for n in ("localization", "inflation", "weight_grid", "bounds")
            if getattr(self, n) is not None
        ]
        return f"{type(self).__name__}({', '.join(said + ['rotate=True'] * self.rotate)})"

    def analyse(
        self,
        state: np.ndarray,
        missing: np.ndarray,
        places: core.Places,
        seen: core.Modelled,
        rng: np.random.Generator | None = None,
    ) -> None:
        """The analysis of plain arrays, in place: a state (members, fields, places), missing (fields, places)."""
        core.solve_all(self._system(seen, rng), core.inflating(self.inflation), state, missing, places)

    def _system(self, seen: core.Modelled, rng: np.random.Generator | None = None) -> core.System:
        """The observations' side, with what is drawn."""
        rng = self.rng if rng is None else rng
        if self.draws and rng is None:
            raise ValueError(f"{type(self).__name__} draws random numbers: give rng= a seed or a numpy Generator")
        perturbations = rotation = None
        if self._perturbs and rng is not None:
            drawn = rng.standard_normal(seen.hx.shape)
            perturbations = (drawn - drawn.mean(axis=1, keepdims=True)) * seen.error_std[:, None]
        if self.rotate and rng is not None:
            rotation = core.random_rotation(rng, seen.hx.shape[1])
        return core.prepared(
            self._transform, seen, localization=self.localization, prior=core.inflating(self.inflation).prior,
            perturbations=perturbations, rotation=rotation, subspace=self._subspace,
        )  # fmt: skip

    def assimilate(self, background: Any, observations: xr.Dataset, *, hx: Any = None) -> tuple[Any, xr.Dataset]:
        """Correct an ensemble by observations.

        Parameters
        ----------
        background
            A DataArray with a dimension ``member``, or a Dataset of such: variables that have the grid's dimensions and
            ``member`` are analysed together, so that an observation of one corrects all of them. Not changed. Where it has
            several times, all are corrected by what is seen at any of them, within the localization's ``time``. A lazy one
            gives a lazy analysis, chunk by chunk of the grid with the observations that reach it; members, levels and times
            of a chunk are held together. What the members would have measured is computed at once.
        observations
            A table along ``obs`` (:func:`oceankit.observations.table`), with ``variable`` where the background has several
            fields. Flags 3, 4 and 9 are not used.
        hx
            What the members would have measured, (member, obs) or (obs, member); a callable ``hx(field, observations)``; None:
            :class:`~oceankit.observations.operators.Interp`, each observation at its own time.

        Returns
        -------
        analysis
            Like ``background``.
        diagnostics : Dataset
            On the grid ``n_local`` (observations that reached a place; with a ``weight_grid`` those of the nearest anchor),
            ``dfs`` (degrees of freedom for signal), ``srf`` (spread reduction factor: by how much the spread of the
            modelled observations was larger before), both not for EAKF, and ``n_bounded`` (values set to one of the
            ``bounds``). Along ``obs`` the table with ``hx`` (what each member would have measured), ``innovation``
            (observation minus the mean of the background), ``spread`` (of the background there) and ``status``, its
            positions as ``obs_lon`` and so on; as numbers ``n_used``, ``n_outside``, ``n_flagged``, ``n_duplicate``,
            ``innovation_mean``, ``innovation_rms`` and ``innovation_chi2``, the mean of d^2 / (spread^2 + error_std^2),
            near 1 where spread and errors are right.

        Raises
        ------
        ValueError
            If there are fewer than two members, a value is missing in some of them only, or no observation can be used.
        """
        fields = _fields(background)
        obs = validate(observations)
        grid = Grid.from_dataset(background)
        limits = bounds_of(self.bounds, fields)
        modelled = _modelled(fields, grid, obs, hx)
        status = status_of(np.isfinite(modelled).all(axis=1), obs, grid)
        names = () if self.localization is None else tuple(
            n for n in ("depth", "time") if getattr(self.localization, n) is not None
        )  # fmt: skip
        stride = None if self.weight_grid is None else self.weight_grid.stride
        groups = tiles.groups_of(fields, grid, names, stride)
        used = status == USED
        mine = obs.isel(obs=np.flatnonzero(used))
        system = self._system(
            core.Modelled(
                np.ascontiguousarray(modelled[used]), mine["value"].values.astype(np.float64),
                mine["error_std"].values.astype(np.float64), _places_of(mine, grid, names),
            )
        )  # fmt: skip
        inflate = core.inflating(self.inflation)
        analysis, said = background.copy(deep=False), {}
        for group in groups:
            done, of_places = tiles.analysed(group, system, inflate, [limits[n] for n in group.names], stride)
            said[group] = of_places
            for name, field in zip(group.names, done, strict=True):
                new = field.transpose(*fields[name].dims)
                if isinstance(background, xr.DataArray):
                    analysis = new
                else:
                    analysis[name] = new
        silent = {"dfs", "srf"} if self._transform == kernels.EAKF else set()
        silent |= {"n_bounded"} if self.bounds is None else set()
        return analysis, _on_grid(said, silent).merge(_statistics(obs, status, modelled))


class ETKF(EnsembleMethod):
    """Ensemble transform Kalman filter with the symmetric square root (Bishop et al. 2001; Hunt et al. 2007).

    ``rotate=True`` follows the analysis with one random rotation of the ensemble that keeps its mean.
    """


class LETKF(ETKF):
    """The ETKF at each place with the observations that reach it (Hunt, Kostelich and Szunyogh 2007).

    Examples
    --------
    >>> from oceankit.assimilation import GaspariCohn
    >>> from oceankit.observations import table
    >>> rng = np.random.default_rng(0)
    >>> sla = xr.DataArray(rng.normal(size=(20, 5, 5)), dims=("member", "lat", "lon"), name="sla",
    ...                    coords={"lat": np.arange(35.0, 40), "lon": np.arange(120.0, 125)})
    >>> analysis, said = LETKF(localization=GaspariCohn(300.0)).assimilate(
    ...     sla, table(value=[1.0], error_std=0.1, lon=[122.0], lat=[37.0]))
    >>> round(float(analysis.mean("member")[2, 2]), 1), int(said.n_local.max())
    (1.0, 1)
    """

    _local = True


class ESTKF(EnsembleMethod):
    """Error subspace transform Kalman filter (Nerger et al. 2012): the ETKF's analysis by way of members - 1 dimensions."""

    _subspace = True


class LESTKF(ESTKF):
    """The ESTKF at each place with the observations that reach it."""

    _local = True


class DEnKF(EnsembleMethod):
    """Deterministic ensemble Kalman filter (Sakov and Oke 2008a): anomalies are corrected by half the gain."""

    _transform = kernels.DENKF


class EnKF(EnsembleMethod):
    """Ensemble Kalman filter with perturbed observations (Burgers, van Leeuwen and Evensen 1998).

    Perturbations are drawn once for each observation and have no mean over the members.
    """

    _transform = kernels.ENKF
    _perturbs = True


class EAKF(EnsembleMethod):
    """Ensemble adjustment Kalman filter (Anderson 2001, 2003): observations one by one, in the table's order."""

    _transform = kernels.EAKF


# ---- what goes in -----------------------------------------------------------------------------------------------------


def _fields(background: Any) -> dict[Hashable, xr.DataArray]:
    """The fields that are analysed."""
    if isinstance(background, xr.DataArray):
        found: dict[Hashable, xr.DataArray] = {background.name: background}
    elif isinstance(background, xr.Dataset):
        found = {n: v for n, v in background.data_vars.items() if "member" in v.dims and v.dtype.kind == "f"}
    else:
        raise ValueError(f"an ensemble is an xarray DataArray or Dataset, not a {type(background).__name__}")
    for name, field in found.items():
        if "member" not in field.dims:
            raise ValueError(
                f"{name!r} has the dimensions {field.dims}, and an ensemble has one called 'member'; rename yours, or stack "
                "the members with xarray.concat(fields, 'member')"
            )
        if field.sizes["member"] < 2:
            raise ValueError(f"{name!r} has {field.sizes['member']} member; an ensemble has at least two")
        if field.dtype.kind != "f":
            raise ValueError(
                f"{name!r} has dtype {field.dtype}; an analysis needs floats: give field.astype('float32')"
            )
    if not found:
        raise ValueError("the background has no field of floats with a dimension 'member'")
    sizes = {int(f.sizes["member"]) for f in found.values()}
    if len(sizes) > 1:
        raise ValueError(f"the fields have {sorted(sizes)} members; all fields of one ensemble have the same")
    return found


def _modelled(fields: Mapping[Hashable, xr.DataArray], grid: Grid, obs: xr.Dataset, hx: Any) -> np.ndarray:
    """float64 (obs, members): what the members would have measured."""
    members, n = next(iter(fields.values())).sizes["member"], obs.sizes["obs"]
    if hx is not None and not callable(hx):
        given = hx.transpose("obs", "member").values if isinstance(hx, xr.DataArray) else np.asarray(hx)
        if not isinstance(hx, xr.DataArray) and members == n:
            raise ValueError(f"hx is {n} by {n}: give a DataArray, whose dimensions 'member' and 'obs' tell them apart")
        given = given.T if given.shape == (members, n) else given
        if given.shape != (n, members):
            raise ValueError(f"hx has shape {np.shape(hx)}, but there are {members} members and {n} observations")
        return given.astype(np.float64)
    out = np.full((n, members), np.nan)
    numbered = obs.assign(_number=("obs", np.arange(n)))
    for name, mine in by_variable(fields, numbered).items():
        numbers, mine = mine["_number"].values, mine.drop_vars("_number")
        same_units(fields[name], mine)
        there = Interp()(fields[name], mine, grid=grid) if hx is None else hx(fields[name], mine)
        if not isinstance(there, xr.DataArray) or set(there.dims) != {"obs", "member"}:
            what = (
                f"the dimensions {there.dims}"
                if isinstance(there, xr.DataArray)
                else f"the type {type(there).__name__}"
            )
            raise ValueError(
                f"what the members of {name!r} would have measured has {what}; a DataArray with 'member' and 'obs' is needed: "
                "give hx=, or a depth or time to the field and the observations where one of them is left over"
            )
        out[numbers] = there.transpose("obs", "member").values
    return out


def _places_of(obs: xr.Dataset, grid: Grid, names: tuple[str, ...]) -> core.Places:
    if grid.planar == ("lon" in obs.variables):
        raise ObservationError("the background and the observations must both have lon and lat, or both x and y")
    a, b = ("x", "y") if grid.planar else ("lon", "lat")
    extra = []
    for name in names:
        if name not in obs.variables:
            raise ObservationError(
                f"the localization has {name}=, but the observations have no {name}; give table(..., {name}=...)"
            )
        extra.append(obs["depth"].values if name == "depth" else elapsed(obs["time"].values))
    return tiles.places_at(obs[a].values, obs[b].values, extra, names, grid.planar)


# ---- what comes out ---------------------------------------------------------------------------------------------------


def _on_grid(said: Mapping[tiles.Group, list[Any]], silent: set[str]) -> xr.Dataset:
    """What is said of the places; where there are several kinds, of those that are the most."""
    group = max(said, key=lambda g: int(np.prod(g.shape)))
    sample = group.sample()
    return xr.Dataset(
        {
            name: xr.DataArray(values, dims=group.dims, attrs={"long_name": title, "units": "1"}).transpose(
                *sample.dims
            )
            for (name, title), values in zip(tiles.SAID.items(), said[group], strict=True)
            if name not in silent
        },
        coords=sample.coords,
    )


def _statistics(obs: xr.Dataset, status: np.ndarray, modelled: np.ndarray) -> xr.Dataset:
    used = status == USED
    with np.errstate(invalid="ignore"):
        innovation, spread = obs["value"].values - modelled.mean(axis=1), modelled.std(axis=1, ddof=1)
    units = {k: v for k, v in obs["value"].attrs.items() if k == "units"}
    # The grid has coordinates of these names too.
    places = {n: f"obs_{n}" for n in ("lon", "lat", "x", "y", "depth", "time") if n in obs.coords}
    d = innovation[used]
    expected = spread[used] ** 2 + obs["error_std"].values[used] ** 2
    return obs.rename(places).assign(
        innovation=("obs", innovation, {"long_name": "observation minus mean of the background", **units}),
        spread=("obs", spread, {"long_name": "standard deviation of the background there", **units}),
        hx=(("obs", "member"), modelled, {"long_name": "what the member would have measured", **units}),
        status=("obs", status.astype(np.int8), STATUS),
        n_used=int(used.sum()),
        n_outside=int((status == OUTSIDE).sum()),
        n_flagged=int((status == FLAGGED).sum()),
        n_duplicate=int((status == DUPLICATE).sum()),
        innovation_mean=float(d.mean()),
        innovation_rms=float(np.sqrt((d**2).mean())),
        innovation_chi2=float((d**2 / expected).mean()),
    )
