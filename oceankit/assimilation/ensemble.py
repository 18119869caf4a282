"""Ensemble methods: the members' own spread says how errors of the background hang together."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any, ClassVar

import numpy as np
import xarray as xr

from oceankit.assimilation import _ensemble_core as core
from oceankit.assimilation import _ensemble_kernels as kernels
from oceankit.assimilation import inflation as inflations
from oceankit.assimilation import localization as localizations
from oceankit.assimilation._status import FLAGGED, OUTSIDE, STATUS, USED, status_of
from oceankit.fields.grid import Grid
from oceankit.numerics.sphere import EARTH_RADIUS, unit_vectors
from oceankit.observations.matching import by_variable, same_units
from oceankit.observations.operators import Interp, elapsed, place_of
from oceankit.observations.table import ObservationError, validate

__all__ = ["EAKF", "ESTKF", "ETKF", "LESTKF", "LETKF", "DEnKF", "EnKF", "EnsembleMethod"]

_KM = EARTH_RADIUS / 1e3


class EnsembleMethod:
    """What all ensemble methods have in common.

    Parameters
    ----------
    localization
        :class:`GaspariCohn` or :class:`Boxcar`; None: each observation reaches everything.
    inflation
        :class:`Multiplicative`, :class:`Forgetting`, :class:`RTPS`, :class:`RTPP` or None.
    rng
        A seed or ``numpy.random.Generator`` for what is drawn; needed by methods that draw.
    """

    _transform: ClassVar[int | None] = kernels.ETKF
    _subspace: ClassVar[bool] = False
    _perturbs: ClassVar[bool] = False
    _local: ClassVar[bool] = False

    def __init__(
        self,
        *,
        localization: localizations.Localization | None = None,
        inflation: inflations.Inflation | None = None,
        rotate: bool = False,
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
        self.rng = None if rng is None else np.random.default_rng(rng)

    @property
    def draws(self) -> bool:
        """Whether the analysis draws random numbers."""
        return self.rotate or self._perturbs

    def __repr__(self) -> str:
        said = [f"{n}={getattr(self, n)!r}" for n in ("localization", "inflation") if getattr(self, n) is not None]
        return f"{type(self).__name__}({', '.join(said + ['rotate=True'] * self.rotate)})"

    def analyse(
        self,
        state: np.ndarray,
        missing: np.ndarray,
        places: core.Places,
        seen: core.Modelled,
        rng: np.random.Generator | None = None,
    ) -> core.Found:
        """The analysis of plain arrays, in place; see ``_ensemble_core.analyse``."""
        rng = self.rng if rng is None else rng
        if self.draws and rng is None:
            raise ValueError(f"{type(self).__name__} draws random numbers: give rng= a seed or a numpy Generator")
        members = state.shape[0]
        perturbations = rotation = None
        if self._perturbs and rng is not None:
            drawn = rng.standard_normal((seen.value.size, members))
            perturbations = (drawn - drawn.mean(axis=1, keepdims=True)) * seen.error_std[:, None]
        if self.rotate and rng is not None:
            rotation = core.random_rotation(rng, members)
        return core.analyse(
            self._transform, state, missing, places, seen, localization=self.localization, inflation=self.inflation,
            perturbations=perturbations, rotation=rotation, subspace=self._subspace,
        )  # fmt: skip

    def assimilate(self, background: Any, observations: xr.Dataset, *, hx: Any = None) -> tuple[Any, xr.Dataset]:
        """Correct an ensemble by observations.

        Parameters
        ----------
        background
            A DataArray with a dimension ``member``, or a Dataset of such: variables that have the grid's dimensions and
            ``member`` are analysed together, so that an observation of one corrects all of them. Not changed. Where it has
            several times, all are corrected by what is seen at any of them, within the localization's ``time``.
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
            On the grid ``n_local`` (observations that reached a place), ``dfs`` (degrees of freedom for signal; not for
            EAKF). Along ``obs`` the table with ``innovation`` (observation minus the mean of the background), ``spread`` (of
            the background there) and ``status``, its positions as ``obs_lon`` and so on; as numbers ``n_used``,
            ``n_outside``, ``n_flagged``, ``innovation_mean``, ``innovation_rms`` and ``innovation_chi2``, the mean of
            d^2 / (spread^2 + error_std^2), near 1 where spread and errors are right.

        Raises
        ------
        ValueError
            If there are fewer than two members, a value is missing in some of them only, or no observation can be used.
        """
        fields = _fields(background)
        obs = validate(observations)
        grid = Grid.from_dataset(background)
        modelled = _modelled(fields, grid, obs, hx)
        status = status_of(np.isfinite(modelled).all(axis=1), obs, grid)
        used = status == USED
        names = () if self.localization is None else tuple(
            n for n in ("depth", "time") if getattr(self.localization, n) is not None
        )  # fmt: skip
        state = _State(fields, grid, names)
        mine = obs.isel(obs=np.flatnonzero(used))
        seen = core.Modelled(
            np.ascontiguousarray(modelled[used]), mine["value"].values.astype(np.float64),
            mine["error_std"].values.astype(np.float64), _places_of(mine, grid, names),
        )  # fmt: skip
        parts = (
            [self.analyse(*part, seen) for part in state.parts()]
            if not self.draws
            else self._with_one_draw(state, seen)
        )
        analysis = state.fields(background)
        found = state.on_grid(parts, with_signal=self._transform is not None)
        return analysis, found.merge(_statistics(obs, status, modelled))

    def _with_one_draw(self, state: _State, seen: core.Modelled) -> list[core.Found]:
        """All parts of the state with the same random numbers."""
        if self.rng is None:
            raise ValueError(f"{type(self).__name__} draws random numbers: give rng= a seed or a numpy Generator")
        seed = self.rng.integers(2**63)
        return [self.analyse(*part, seen, rng=np.random.default_rng(seed)) for part in state.parts()]


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

    _transform = None


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
    return _places(obs[a].values, obs[b].values, extra, names, grid.planar)


def _places(a: np.ndarray, b: np.ndarray, extra: list[np.ndarray], names: tuple[str, ...], planar: bool) -> core.Places:
    at = np.column_stack([a, b]).astype(np.float64) if planar else unit_vectors(a, b) * _KM
    columns = np.column_stack([np.asarray(e, np.float64) for e in extra]) if extra else np.empty((len(at), 0))
    return core.Places(np.ascontiguousarray(at), np.ascontiguousarray(columns), names, 0.0 if planar else _KM)


class _State:
    """Fields as arrays (members, fields, places), one for each set of extra coordinates that their places have."""

    def __init__(self, fields: Mapping[Hashable, xr.DataArray], grid: Grid, names: tuple[str, ...]) -> None:
        self.grid, self.names = grid, names
        self._parts: list[
            tuple[list[tuple[Hashable, xr.DataArray, tuple[str, ...]]], np.ndarray, np.ndarray, core.Places]
        ] = []
        for extra in names:
            if all(place_of(field, extra) is None for field in fields.values()):  # type: ignore[arg-type]
                raise ValueError(
                    f"the localization has {extra}=, but no field has a {extra}; assign it, for example "
                    f"background.assign_coords({extra}=...), or leave {extra}= out"
                )
        groups: dict[tuple[Any, ...], list[tuple[Hashable, xr.DataArray]]] = {}
        axes: dict[tuple[Any, ...], list[xr.DataArray]] = {}
        for name, field in fields.items():
            if not set(grid.dims) <= set(field.dims):
                raise ValueError(f"{name!r} has the dimensions {field.dims} and lies not on the grid {grid.dims}")
            own = [_axis(field, n) for n in names]
            key = tuple((a.dims, a.values.tobytes()) for a in own)
            groups.setdefault(key, []).append((name, field))
            axes[key] = own
        for key, group in groups.items():
            self._parts.append(self._part(group, axes[key]))

    def _part(self, group: list[tuple[Hashable, xr.DataArray]], own: list[xr.DataArray]) -> Any:
        along = [str(d) for a in own for d in a.dims]
        dims = (*self.grid.dims, *along)
        pieces, laid = [], []
        for name, field in group:
            rest = tuple(d for d in field.dims if d not in dims and d != "member")
            ordered = field.transpose("member", *rest, *dims)
            shape = ordered.shape
            values = np.asarray(ordered.values).reshape(shape[0], int(np.prod(shape[1 : 1 + len(rest)])), -1)
            laid.append((name, ordered, rest))
            pieces.append(values)
        state = np.concatenate(pieces, axis=1, dtype=np.result_type(*pieces))
        there = np.isfinite(state)
        some = there.any(axis=0) & ~there.all(axis=0)
        if some.any():
            f, c = (int(k[0]) for k in np.nonzero(some))
            at = int(np.searchsorted(np.cumsum([p.shape[1] for p in pieces]), f, side="right"))
            raise ValueError(
                f"{group[at][0]!r} is missing in {int((~there[:, f, c]).sum())} of {state.shape[0]} members at one cell, and at "
                f"{int(some.sum())} cells in some members only; fill it, or mask it in all of them"
            )
        lon, lat = self.grid.lon.values, self.grid.lat.values
        a, b = np.meshgrid(lon, lat) if self.grid.kind == "rectilinear" else (lon, lat)
        n_extra = int(np.prod([x.size for x in own if x.ndim], initial=1))
        columns = np.meshgrid(*[x.values.ravel() for x in own], indexing="ij") if own else []
        extra = [np.tile(c.ravel(), a.size) for c in columns]
        places = _places(
            np.repeat(a.ravel(), n_extra), np.repeat(b.ravel(), n_extra), extra, self.names, self.grid.planar
        )
        missing = ~there.all(axis=0)
        nowhere = ~np.isfinite(places.at).all(axis=1)
        places.at[nowhere] = np.inf
        return laid, state, missing | nowhere, places

    def parts(self) -> list[tuple[np.ndarray, np.ndarray, core.Places]]:
        """What the core is given; it changes the arrays."""
        return [(state, missing, places) for _, state, missing, places in self._parts]

    def fields(self, background: Any) -> Any:
        """The background with the values as they are now."""
        out = background.copy()
        for laid, state, _, _ in self._parts:
            first = 0
            for name, ordered, rest in laid:
                many = int(np.prod([ordered.sizes[d] for d in rest], initial=1))
                values = state[:, first : first + many].reshape(ordered.shape).astype(ordered.dtype, copy=False)
                first += many
                new = ordered.copy(data=values)
                if isinstance(background, xr.DataArray):
                    return new.transpose(*background.dims)
                out[name] = new.transpose(*background[name].dims)
        return out

    def on_grid(self, parts: list[core.Found], *, with_signal: bool) -> xr.Dataset:
        """Counts and degrees of freedom, where there are several kinds of places those with the most."""
        which = int(np.argmax([len(p[3].at) for p in self._parts]))
        _, ordered, rest = self._parts[which][0][0]
        sample = ordered.isel(dict.fromkeys(("member", *rest), 0), drop=True)
        found = parts[which]
        said = {"n_local": (found.counts, "observations that reached the place")}
        if with_signal:
            said["dfs"] = (found.signals, "degrees of freedom for signal")
        return xr.Dataset(
            {
                name: (sample.dims, values.reshape(sample.shape), {"long_name": long_name, "units": "1"})
                for name, (values, long_name) in said.items()
            },
            coords=sample.coords,
        )


def _axis(field: xr.DataArray, name: str) -> xr.DataArray:
    """Where a field's values are in depth or time; NaN where it has none: then observations of all reach it alike."""
    found = place_of(field, name)  # type: ignore[arg-type]
    return xr.DataArray(np.nan) if found is None else found


# ---- what comes out ---------------------------------------------------------------------------------------------------


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
        status=("obs", status.astype(np.int8), STATUS),
        n_used=int(used.sum()),
        n_outside=int((status == OUTSIDE).sum()),
        n_flagged=int((status == FLAGGED).sum()),
        innovation_mean=float(d.mean()),
        innovation_rms=float(np.sqrt((d**2).mean())),
        innovation_chi2=float((d**2 / expected).mean()),
    )
