"""The algebra of the ensemble methods on plain arrays: what fields, tables and twin experiments have in common."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from oceankit.assimilation import _ensemble_kernels as kernels
from oceankit.assimilation.inflation import RTPP, RTPS, Forgetting, Inflation, Multiplicative
from oceankit.assimilation.localization import Localization, scales
from oceankit.numerics import threads, within

__all__ = ["Found", "Modelled", "Places", "analyse", "error_subspace", "random_rotation"]

_BLOCK = 256


class Places(NamedTuple):
    """Where values or observations are."""

    at: np.ndarray
    """float64 (n, 2 or 3): points on the sphere of radius ``sphere``, or on a plane"""
    extra: np.ndarray
    """float64 (n, extras): depth and time, where these are localized"""
    names: tuple[str, ...]
    sphere: float
    """Radius in the units of the localization; 0 on a plane"""


class Modelled(NamedTuple):
    """Observations, and what the members would have measured."""

    hx: np.ndarray
    """float64 (observations, members)"""
    value: np.ndarray
    error_std: np.ndarray
    places: Places


class Found(NamedTuple):
    """What an analysis says of itself."""

    counts: np.ndarray
    """int64 (places,): observations that reached each"""
    signals: np.ndarray
    """float64 (places,): degrees of freedom for signal"""


def random_rotation(rng: np.random.Generator, members: int) -> np.ndarray:
    """An orthogonal matrix (members, members) that keeps the mean, drawn evenly (Sakov and Oke 2008b)."""
    q, r = np.linalg.qr(rng.standard_normal((members - 1, members - 1)))
    q = q * np.sign(np.diag(r))
    basis = error_subspace(members)
    return np.ascontiguousarray(basis @ q @ basis.T + 1.0 / members)


def error_subspace(members: int) -> np.ndarray:
    """Orthonormal columns (members, members - 1), each adding up to nothing (Nerger et al. 2012)."""
    out = np.eye(members, members - 1)
    out -= 1.0 / (members * (1.0 + 1.0 / np.sqrt(members)))
    out[-1] = -1.0 / np.sqrt(members)
    return out


def analyse(
    method: int | None,
    state: np.ndarray,
    missing: np.ndarray,
    places: Places,
    seen: Modelled,
    *,
    localization: Localization | None,
    inflation: Inflation | None,
    perturbations: np.ndarray | None = None,
    rotation: np.ndarray | None = None,
    subspace: bool = False,
) -> Found:
    """Turn a background ensemble into the analysis, in place.

    Parameters
    ----------
    method
        One of the transforms of the kernels; None takes observations one by one.
    state
        Floats (members, fields, places).
    missing
        bool (fields, places): left alone.
    perturbations
        float64 (observations, members), for EnKF.
    rotation
        float64 (members, members).
    """
    members, _, number = state.shape
    prior = 1.0 / np.sqrt(inflation.value) if isinstance(inflation, Forgetting) else 1.0
    factor = inflation.value if isinstance(inflation, Multiplicative) else 1.0
    relax = inflation.value if isinstance(inflation, RTPP) else 0.0
    spread = inflation.value if isinstance(inflation, RTPS) else 0.0
    turn = np.empty((0, 0)) if rotation is None else rotation
    inflations = prior, factor, relax, spread
    counts, signals = np.zeros(number, np.int64), np.zeros(number)
    mean = seen.hx.mean(axis=1, keepdims=True)
    anomalies = (seen.hx - mean) * prior
    if localization is None:
        # Everything is at the same place: one transform for all.
        at, extra, sphere, radius, function, twice = np.zeros((number, 2)), np.zeros((number, 0)), 0.0, 1.0, 1, False
        obs_at, obs_extra, limits = np.zeros((seen.value.size, 2)), np.zeros((seen.value.size, 0)), np.empty(0)
        cells = within.build(obs_at, 1.0)
    else:
        at, extra, obs_at, obs_extra, sphere = (
            places.at, places.extra, seen.places.at, seen.places.extra, places.sphere,
        )  # fmt: skip
        radius, function = localization.radius, localization.function
        twice, limits = localization.taper_on == "anomalies", scales(localization, places.names)
        # Straight through the sphere: what is farther than half way round is everywhere.
        straight = 2.0 * sphere * np.sin(min(0.5 * radius / sphere, 0.5 * np.pi)) if sphere > 0 else radius
        cells = within.build(obs_at, straight)
    order = cells.order
    if method is None:
        _in_sequence(
            state, missing, at, extra, cells, obs_at, obs_extra, limits, sphere, radius, function, localization is None,
            Modelled(mean + anomalies, seen.value, seen.error_std, seen.places), turn, inflations, counts,
        )  # fmt: skip
        return Found(counts, signals)
    s = np.ascontiguousarray((anomalies / seen.error_std[:, None])[order])
    d = np.ascontiguousarray(((seen.value - mean[:, 0]) / seen.error_std)[order])
    perturbed = np.empty((0, members))
    if perturbations is not None:
        # Of inflated members, as S is.
        own = seen.value[:, None] + perturbations - mean - anomalies
        perturbed = np.ascontiguousarray((own / seen.error_std[:, None])[order])
    omega = error_subspace(members) if subspace else np.empty((members, 0))
    if localization is None:
        _everywhere(method, state, missing, s, d, perturbed, omega, turn, inflations, counts, signals)
        return Found(counts, signals)
    extra_sorted = np.ascontiguousarray(obs_extra[order])

    def work(begin: int, end: int) -> None:
        kernels.local(
            method, state[:, :, begin:end], missing[:, begin:end], at[begin:end], extra[begin:end], cells, extra_sorted,
            limits, sphere, radius, function, twice, s, d, perturbed, omega, turn, *inflations, counts[begin:end],
            signals[begin:end],
        )  # fmt: skip

    threads.over_blocks(work, number, block=_BLOCK)
    return Found(counts, signals)


def _everywhere(
    method: int, state: np.ndarray, missing: np.ndarray, s: np.ndarray, d: np.ndarray, perturbed: np.ndarray,
    omega: np.ndarray, rotation: np.ndarray, inflations: tuple[float, ...], counts: np.ndarray, signals: np.ndarray,
) -> None:  # fmt: skip
    """One transform for all places."""
    x = np.empty((state.shape[0], state.shape[0]))
    signals[:] = kernels.transform(method, s, d, perturbed, omega, x)
    counts[:] = d.size
    if rotation.size:
        kernels.turned(x, rotation, np.empty(x.shape[0]))

    def work(begin: int, end: int) -> None:
        kernels.transformed(state[:, :, begin:end], missing[:, begin:end], x, *inflations)

    threads.over_blocks(work, state.shape[2], block=4096)


def _in_sequence(
    state: np.ndarray, missing: np.ndarray, at: np.ndarray, extra: np.ndarray, cells: within.CellList, obs_at: np.ndarray,
    obs_extra: np.ndarray, limits: np.ndarray, sphere: float, radius: float, function: int, everywhere: bool,
    seen: Modelled, rotation: np.ndarray, inflations: tuple[float, ...], counts: np.ndarray,
) -> None:  # fmt: skip
    hx = np.ascontiguousarray(seen.hx)
    steps, slopes = np.empty_like(hx), np.empty_like(hx)
    extra_sorted = np.ascontiguousarray(obs_extra[cells.order])
    kernels.sequence(
        hx, seen.value, seen.error_std**2, obs_at, obs_extra, cells, extra_sorted, limits, sphere, radius, function,
        everywhere, steps, slopes,
    )  # fmt: skip

    def work(begin: int, end: int) -> None:
        kernels.in_sequence(
            state[:, :, begin:end], missing[:, begin:end], at[begin:end], extra[begin:end], cells, extra_sorted, limits,
            sphere, radius, function, everywhere, steps, slopes, rotation, *inflations, counts[begin:end],
        )  # fmt: skip

    threads.over_blocks(work, state.shape[2], block=_BLOCK)
