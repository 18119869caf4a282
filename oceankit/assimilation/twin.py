"""Twin experiments: a model makes the truth, observations of it are drawn, and a method has to find it again."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from oceankit.assimilation import _ensemble_core as core
from oceankit.assimilation import _twin_kernels as kernels
from oceankit.assimilation.ensemble import EnsembleMethod

__all__ = ["MODELS", "Model", "run"]

SPIN_UP = 400
"""Cycles before those that are reported."""


class Model(NamedTuple):
    """A model of which twin experiments are made, and how it is observed: everywhere, with independent errors."""

    step: Callable[[np.ndarray, float, int], None]
    """Takes states (members, variables) on by so many steps, in place"""
    dt: float
    steps: int
    """Steps between observations"""
    start: np.ndarray
    """float64 (variables,): the truth and the members begin near it"""
    start_variance: float
    error_variance: float
    ring: bool
    """Whether the variables stand on a ring, one grid point apart; otherwise all are at the same place"""


MODELS: dict[str, Model] = {
    # Sakov and Oke (2008a): 40 variables, observed every 0.05 with unit error.
    "lorenz96": Model(kernels.lorenz96, 0.05, 1, np.eye(1, 40)[0], 0.001, 1.0, ring=True),
    # Sakov et al. (2012): observed every 0.25 with a variance of 2.
    "lorenz63": Model(kernels.lorenz63, 0.01, 25, np.array([1.509, -1.531, 25.46]), 2.0, 2.0, ring=False),
}


def run(model: str | Model, method: EnsembleMethod, *, cycles: int, seed: int, members: int) -> xr.Dataset:
    """How well a method follows the truth of a model.

    Parameters
    ----------
    model
        One of :data:`MODELS`, or its name. On the ring of ``"lorenz96"`` the radius of a localization is in grid points.
    cycles
        Cycles that are reported, after 400 more of spin-up.
    seed
        Seeds the truth, the observations, the first ensemble and a method whose ``rng`` is None.

    Returns
    -------
    Dataset
        Along ``cycle``: ``rmse_f`` and ``rmse_a``, root-mean-square errors of the mean of background and analysis over the
        variables, and ``spread_a``, the root of the mean variance of the analysis.

    Examples
    --------
    >>> from oceankit.assimilation import ETKF, Multiplicative
    >>> found = run("lorenz63", ETKF(inflation=Multiplicative(1.02)), cycles=200, seed=1, members=10)
    >>> 0.3 < float(found.rmse_a.mean()) < 1.0
    True
    """
    if isinstance(model, str):
        if model not in MODELS:
            raise ValueError(f"model={model!r} is not known; choose one of {', '.join(map(repr, MODELS))}")
        model = MODELS[model]
    if not isinstance(method, EnsembleMethod):
        raise ValueError(
            f"method={method!r} is no ensemble method; give one such as ETKF(inflation=Multiplicative(1.02))"
        )
    for name, value, least in (("cycles", cycles, 1), ("members", members, 2)):
        if not isinstance(value, int | np.integer) or value < least:
            raise ValueError(f"{name}={value!r}; give a whole number of at least {least}")
    rng = np.random.default_rng(seed)
    own = rng.spawn(1)[0] if method.rng is None else method.rng
    n = model.start.size
    drawn = model.start + math.sqrt(model.start_variance) * rng.standard_normal((members + 1, n))
    truth, ensemble = np.ascontiguousarray(drawn[:1]), np.ascontiguousarray(drawn[1:])
    places, missing = _places(model), np.zeros((1, n), bool)
    error_std = np.full(n, math.sqrt(model.error_variance))
    out: dict[str, Any] = {name: np.empty(cycles) for name in ("rmse_f", "rmse_a", "spread_a")}
    for cycle in range(-SPIN_UP, cycles):
        for states in (truth, ensemble):
            model.step(states, model.dt, model.steps)
        value = truth[0] + error_std * rng.standard_normal(n)
        before = ensemble.mean(axis=0)
        seen = core.Modelled(np.ascontiguousarray(ensemble.T), value, error_std, places)
        method.analyse(ensemble[:, None, :], missing, places, seen, own)
        if not np.isfinite(ensemble).all():
            raise ValueError(f"{method!r} lost the model in cycle {cycle}: the ensemble is no longer finite")
        if cycle >= 0:
            out["rmse_f"][cycle] = np.sqrt(((before - truth[0]) ** 2).mean())
            out["rmse_a"][cycle] = np.sqrt(((ensemble.mean(axis=0) - truth[0]) ** 2).mean())
            out["spread_a"][cycle] = np.sqrt(ensemble.var(axis=0, ddof=1).mean())
    titles = {
        "rmse_f": "error of the background's mean",
        "rmse_a": "error of the analysis mean",
        "spread_a": "spread of the analysis",
    }
    return xr.Dataset(
        {name: ("cycle", values, {"long_name": titles[name]}) for name, values in out.items()},
        coords={"cycle": np.arange(cycles)},
        attrs={"method": repr(method), "members": members, "seed": seed},
    )


def _places(model: Model) -> core.Places:
    n = model.start.size
    if not model.ring:
        return core.Places(np.zeros((n, 2)), np.empty((n, 0)), (), 0.0)
    radius, angle = n / (2.0 * np.pi), 2.0 * np.pi * np.arange(n) / n
    at = radius * np.column_stack([np.cos(angle), np.sin(angle)])
    return core.Places(at, np.empty((n, 0)), (), radius)
