"""Inflation: ensembles come out of an analysis with too little spread, and each of these gives some back."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["Forgetting", "Inflation", "Multiplicative", "RTPP", "RTPS"]


class Inflation:
    """What all inflations have: one number."""

    def __init__(self, value: float, name: str, low: float, high: float) -> None:
        number = isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
        if not number or not low <= value <= high:
            raise ValueError(f"{type(self).__name__}({name}={value!r}): give a number between {low:g} and {high:g}")
        self.value = float(value)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.value:g})"


class Multiplicative(Inflation):
    """Anomalies times ``factor`` after the analysis (Anderson and Anderson 1999)."""

    def __init__(self, factor: float) -> None:
        super().__init__(factor, "factor", 0.5, 10.0)


class Forgetting(Inflation):
    """PDAF's forgetting factor: the background's covariance is divided by ``factor`` before the analysis.

    Where no observation reaches, the ensemble is inflated all the same, by the square root.
    """

    def __init__(self, factor: float) -> None:
        super().__init__(factor, "factor", 0.01, 1.0)


class RTPS(Inflation):
    """Relaxation to prior spread (Whitaker and Hamill 2012): the spread becomes that of the analysis plus ``alpha`` times
    what the analysis took from it.
    """

    def __init__(self, alpha: float) -> None:
        super().__init__(alpha, "alpha", 0.0, 1.0)


class RTPP(Inflation):
    """Relaxation to prior perturbations (Zhang et al. 2004): anomalies are ``alpha`` parts those of the background."""

    def __init__(self, alpha: float) -> None:
        super().__init__(alpha, "alpha", 0.0, 1.0)


def check(inflation: Any, method: str) -> Inflation | None:
    """``inflation``, if it is one."""
    if inflation is not None and not isinstance(inflation, Inflation):
        raise ValueError(
            f"{method}(inflation={inflation!r}): give Multiplicative(factor), Forgetting(factor), RTPS(alpha), RTPP(alpha) "
            "or None; a bare number does not say which is meant"
        )
    return inflation
