"""What a model of twin experiments is, and the two of Lorenz."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from oceankit.assimilation import _ensemble_core as core
from oceankit.assimilation import _twin_kernels as kernels

__all__ = ["Model", "lorenz63", "lorenz96"]


class Model(NamedTuple):
    """A model of which twin experiments are made, and how it is observed.

    Its states are float64 (members, variables); the variables are (fields, places) in C order.
    """

    step: Callable[[np.ndarray, float, int], None]
    """Takes states on by so many steps, in place"""
    dt: float
    steps: int
    """Steps between observations: one cycle"""
    begin: Callable[[np.random.Generator, int], np.ndarray]
    """So many states to begin with, drawn"""
    fields: tuple[tuple[str, str], ...]
    """Name and units of each field"""
    places: core.Places
    missing: np.ndarray
    """bool (fields, places): land, where a variable has no meaning and the state is zero"""
    error_std: np.ndarray
    """float64 (variables,): of an observation of each"""
    observed: Callable[[int], np.ndarray]
    """int (observations,): the variables that are observed in a cycle, in order"""
    scales: Callable[[], np.ndarray] | None = None
    """float64 (fields,): climatological standard deviations, where fields of different units are counted together"""
    gap: int = 1
    """Cycles between states of a climatology"""
    settles: int = 400
    """Cycles until a state that was begun with is on the attractor"""


def lorenz96() -> Model:
    """Sakov and Oke (2008a): 40 variables on a ring, observed every 0.05 with unit error."""
    n = 40
    radius, angle = n / (2.0 * np.pi), 2.0 * np.pi * np.arange(n) / n
    at = radius * np.column_stack([np.cos(angle), np.sin(angle)])
    places = core.Places(at, np.empty((n, 0)), (), radius)
    return _lorenz(kernels.lorenz96, 0.05, 1, np.eye(1, n)[0], 0.001, 1.0, places, gap=20)


def lorenz63() -> Model:
    """Sakov et al. (2012): three variables at the same place, observed every 0.25 with a variance of 2."""
    places = core.Places(np.zeros((3, 2)), np.empty((3, 0)), (), 0.0)
    return _lorenz(kernels.lorenz63, 0.01, 25, np.array([1.509, -1.531, 25.46]), 2.0, 2.0, places, gap=4)


def _lorenz(
    step: Callable[[np.ndarray, float, int], None], dt: float, steps: int, start: np.ndarray, start_variance: float,
    error_variance: float, places: core.Places, *, gap: int,
) -> Model:  # fmt: skip
    """A model that is observed everywhere, with independent errors, and begins near a point."""
    n = start.size
    everywhere = np.arange(n)

    def begin(rng: np.random.Generator, number: int) -> np.ndarray:
        return start + math.sqrt(start_variance) * rng.standard_normal((number, n))

    def observed(_: int) -> np.ndarray:
        return everywhere

    return Model(
        step, dt, steps, begin, (("x", "1"),), places, np.zeros((1, n), bool), np.full(n, math.sqrt(error_variance)),
        observed, gap=gap,
    )  # fmt: skip
