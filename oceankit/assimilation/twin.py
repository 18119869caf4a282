"""Twin experiments: a model makes the truth, observations of it are drawn, and a method has to find it again."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from oceankit.assimilation import _ensemble_core as core
from oceankit.assimilation import _shallow_water as water
from oceankit.assimilation._twin_model import Model, lorenz63, lorenz96
from oceankit.assimilation.ensemble import EnsembleMethod
from oceankit.observations.table import table

__all__ = ["MODELS", "Basin", "Model", "climatology", "run", "shallow_water_basin"]

SPIN_UP = 400
"""Cycles before those that are reported."""

MODELS: dict[str, Model] = {"lorenz96": lorenz96(), "lorenz63": lorenz63(), "shallow_water": water.model()}

_DENSE = 2000
_TITLES = {
    "rmse_f": "error of the background's mean",
    "rmse_a": "error of the analysis mean",
    "spread_a": "spread of the analysis",
}


def run(model: str | Model, method: Any, *, cycles: int, seed: int, members: int, spin_up: int = SPIN_UP) -> xr.Dataset:
    """How well a method follows the truth of a model.

    Parameters
    ----------
    model
        One of :data:`MODELS`, or its name. A localization's radius is in grid points on the ring of ``"lorenz96"``, and in
        km in the basin of ``"shallow_water"``, where ssh is observed along two satellite passes a cycle, u and v never.
    method
        An ensemble method, or one that corrects a single state: then ``members=1``. None: nothing is assimilated.
    cycles
        Cycles that are reported, after ``spin_up`` more.
    seed
        Seeds the truth, the observations, the first ensemble and a method whose ``rng`` is None.

    Returns
    -------
    Dataset
        Along ``cycle``: ``rmse_f`` and ``rmse_a``, root-mean-square errors of the mean of background and analysis over the
        variables, and ``spread_a``, the root of the mean variance of the analysis (missing for one member). With several
        fields these three are without units: errors are divided by the field's climatological standard deviation. Then
        there are also ``rmse_f_ssh``, ``rmse_a_ssh``, ``spread_a_ssh`` and so on in the field's units, and that standard
        deviation as ``climatological_std`` along ``field``.

    Raises
    ------
    ValueError
        If the model is not known, a number is too small, or the ensemble is no longer finite.

    Examples
    --------
    >>> from oceankit.assimilation import ETKF, Multiplicative
    >>> found = run("lorenz63", ETKF(inflation=Multiplicative(1.02)), cycles=200, seed=1, members=10)
    >>> 0.3 < float(found.rmse_a.mean()) < 1.0
    True
    """
    model = _known(model)
    if method is not None and not hasattr(method, "analyse"):
        raise ValueError(
            f"method={method!r} is no ensemble method; give one such as ETKF(inflation=Multiplicative(1.02))"
        )
    fewest = 2 if isinstance(method, EnsembleMethod) else 1
    for name, value, least in (("cycles", cycles, 1), ("members", members, fewest), ("spin_up", spin_up, 0)):
        if not isinstance(value, int | np.integer) or value < least:
            raise ValueError(f"{name}={value!r}; give a whole number of at least {least}")
    rng = np.random.default_rng(seed)
    own = rng.spawn(1)[0] if getattr(method, "rng", None) is None else method.rng
    drawn = model.begin(rng, members + 1)
    truth, ensemble = np.ascontiguousarray(drawn[:1]), np.ascontiguousarray(drawn[1:])
    score = _Score(model, cycles)
    state = ensemble.reshape(members, *model.missing.shape)
    for cycle in range(-spin_up, cycles):
        for states in (truth, ensemble):
            model.step(states, model.dt, model.steps)
        before = ensemble.mean(axis=0)
        seen = _observed(model, cycle, truth, ensemble, rng)
        if method is not None and seen.value.size:
            method.analyse(state, model.missing, model.places, seen, own)
        if not np.isfinite(ensemble).all():
            raise ValueError(f"{method!r} lost the model in cycle {cycle}: the ensemble is no longer finite")
        if cycle >= 0:
            score.add(cycle, truth[0], before, ensemble)
    return score.result().assign_attrs(method=repr(method), members=members, seed=seed)


def climatology(model: str | Model, *, seed: int, samples: int = 1000) -> xr.Dataset:
    """Mean and covariance of a model's states, from one long run.

    Parameters
    ----------
    model
        One of :data:`MODELS`, or its name.
    seed
        Where the run begins.
    samples
        States taken, one time unit (Lorenz) or 15 days (shallow water) apart.

    Returns
    -------
    Dataset
        ``mean`` and ``std`` along ``variable``, the states themselves as ``states`` along ``sample`` and ``variable``, and
        for up to 2000 variables the ``covariance`` along ``variable`` and ``variable_``. Variables are numbered as in a state,
        fields one after the other; ``field``, and where they lie on a plane ``x`` and ``y``, say what each is. Missing on land.

    Examples
    --------
    >>> found = climatology("lorenz96", seed=1, samples=500)
    >>> round(float(found["mean"].mean()), 1), round(float(found["std"].mean()), 1)
    (2.3, 3.6)
    """
    model = _known(model)
    if not isinstance(samples, int | np.integer) or samples < 2:
        raise ValueError(f"samples={samples!r}; give a whole number of at least 2")
    if model is MODELS["shallow_water"]:
        states = water.states_of_a_free_run(int(samples), int(seed)).copy()
    else:
        state = np.ascontiguousarray(model.begin(np.random.default_rng(seed), 1))
        model.step(state, model.dt, model.steps * model.settles)
        states = np.empty((samples, state.size))
        for k in range(samples):
            model.step(state, model.dt, model.steps * model.gap)
            states[k] = state[0]
    states[:, model.missing.ravel()] = np.nan
    out = xr.Dataset(
        {
            "mean": ("variable", states.mean(axis=0), {"long_name": "mean of the states"}),
            "std": ("variable", states.std(axis=0, ddof=1), {"long_name": "standard deviation of the states"}),
            "states": (("sample", "variable"), states, {"long_name": "states of the model"}),
        },
        coords=_variables(model),
        attrs={"seed": seed},
    )
    if states.shape[1] <= _DENSE:
        out["covariance"] = (("variable", "variable_"), np.cov(states.T), {"long_name": "covariance of the states"})
    return out


class Basin(NamedTuple):
    """What a cycling experiment in the basin of shallow water needs."""

    ensemble: xr.Dataset
    """ssh, u and v (member, y, x) at the first time, on a plane with x and y in km; u and v on the cell's east and north face"""
    model: water.States
    """``model(ensemble, start, end)`` takes an ensemble, or one state, on"""
    truth: xr.Dataset
    """ssh, u and v (time, y, x)"""
    observations: xr.Dataset
    """Table of ssh along two satellite passes at each time after the first"""


def shallow_water_basin(*, times: Any = None, members: int = 40, seed: int = 0) -> Basin:
    """The basin of shallow water as fields, for experiments with ``assimilate`` and :func:`oceankit.assimilation.cycling.run`.

    A double gyre on 50 by 40 cells of 20 km, driven by a steady wind, with an island, a headland and a slanting coast
    (:data:`MODELS` has the same as arrays). The flow is aperiodic; members and truth are states of one long free run.

    Parameters
    ----------
    times
        Of the truth and the observations, whole steps of 4800 s apart; the ensemble is valid at the first. None: 31 days
        from 1 January 2000.
    members, seed
        How many members, and what draws them, the truth and the errors of the observations.

    Raises
    ------
    ValueError
        If the times do not increase, or are no whole steps apart.

    Examples
    --------
    >>> basin = shallow_water_basin(times=["2000-01-01", "2000-01-02"], members=4)
    >>> dict(basin.ensemble.sizes), basin.observations.sizes["obs"] > 30
    ({'member': 4, 'y': 40, 'x': 50}, True)
    """
    given = np.arange("2000-01-01", "2000-02-01", dtype="M8[D]") if times is None else times
    when = np.asarray(given, "M8[ns]")
    if when.ndim != 1 or not when.size or (np.diff(when) <= np.timedelta64(0)).any():
        raise ValueError("times= of the basin must be a list of increasing times")
    model, rng = MODELS["shallow_water"], np.random.default_rng(seed)
    states, basin = model.begin(rng, members + 1), water.States()
    ensemble = xr.Dataset(
        water.as_fields(states[1:], ["member"]),
        coords={"member": np.arange(members), **water.coordinates(), "time": when[0]},
    )
    now = xr.Dataset(water.as_fields(states[:1], []), coords={**water.coordinates(), "time": when[0]})
    truth, tables = [now], []
    for k in range(1, when.size):
        now = basin(now, when[k - 1], when[k])
        truth.append(now)
        cells = water.tracks(k)
        value = now["ssh"].values.ravel()[cells] + water.ERROR_STD["ssh"] * rng.standard_normal(cells.size)
        at = model.places.at[cells]
        tables.append(
            table(
                value=value, error_std=water.ERROR_STD["ssh"], x=at[:, 0], y=at[:, 1], time=when[k], variable="ssh", units="m"
            )
        )  # fmt: skip
    if not tables:
        raise ValueError("times= of the basin needs two times at least: the ensemble's, and one that is observed")
    return Basin(ensemble, basin, xr.concat(truth, "time"), xr.concat(tables, "obs"))


# ---- the steps of a run -------------------------------------------------------------------------------------------------


def _known(model: str | Model) -> Model:
    if isinstance(model, str):
        if model not in MODELS:
            raise ValueError(f"model={model!r} is not known; choose one of {', '.join(map(repr, MODELS))}")
        return MODELS[model]
    return model


def _observed(
    model: Model, cycle: int, truth: np.ndarray, ensemble: np.ndarray, rng: np.random.Generator
) -> core.Modelled:
    """What is seen of the truth, and of the members."""
    which = model.observed(cycle)
    error_std = model.error_std[which]
    value = truth[0, which] + error_std * rng.standard_normal(which.size)
    place = which % model.missing.shape[1]
    places = model.places._replace(at=model.places.at[place], extra=model.places.extra[place])
    return core.Modelled(np.ascontiguousarray(ensemble[:, which].T), value, error_std, places, which)


class _Score:
    """Errors and spread, cycle by cycle: of all variables, and of each field where there are several."""

    def __init__(self, model: Model, cycles: int) -> None:
        self.model = model
        self.there = [np.flatnonzero(~missing) + f * missing.size for f, missing in enumerate(model.missing)]
        self.scales = np.ones(len(model.fields)) if model.scales is None else model.scales()
        names = [""] + [f"_{name}" for name, _ in model.fields] * (len(model.fields) > 1)
        self.found = {kind + name: np.full(cycles, np.nan) for name in names for kind in _TITLES}

    def add(self, cycle: int, truth: np.ndarray, before: np.ndarray, ensemble: np.ndarray) -> None:
        several = len(ensemble) > 1
        squares = {
            "rmse_f": (before - truth) ** 2,
            "rmse_a": (ensemble.mean(axis=0) - truth) ** 2,
            "spread_a": ensemble.var(axis=0, ddof=1) if several else np.full(truth.size, np.nan),
        }
        for kind, square in squares.items():
            parts = [square[there] for there in self.there]
            if len(parts) > 1:
                for (name, _), part in zip(self.model.fields, parts, strict=True):
                    self.found[f"{kind}_{name}"][cycle] = np.sqrt(part.mean())
                parts = [part / scale**2 for part, scale in zip(parts, self.scales, strict=True)]
            self.found[kind][cycle] = np.sqrt(np.concatenate(parts).mean())

    def result(self) -> xr.Dataset:
        units = dict(self.model.fields)
        out = xr.Dataset(coords={"cycle": np.arange(next(iter(self.found.values())).size)})
        for name, values in self.found.items():
            kind = next(k for k in _TITLES if name.startswith(k))
            field = name[len(kind) + 1 :]
            attrs = {"long_name": _TITLES[kind] + (f": {field}" if field else "")}
            out[name] = ("cycle", values, {**attrs, "units": units[field]} if field else attrs)
        if len(self.model.fields) > 1:
            out = out.assign_coords(field=[name for name, _ in self.model.fields])
            out["climatological_std"] = (
                "field",
                self.scales,
                {"long_name": "what errors of each field are divided by"},
            )
        return out


def _variables(model: Model) -> dict[str, Any]:
    """What each variable of a state is."""
    fields, number = [name for name, _ in model.fields], model.missing.shape[1]
    out: dict[str, Any] = {"field": ("variable", np.repeat(fields, number))}
    if model.places.sphere == 0.0 and model.places.at.any():
        for k, name in enumerate(("x", "y")):
            out[name] = ("variable", np.tile(model.places.at[:, k], len(fields)))
    return out
