"""Correlation functions of distance; ``length`` is the same physical scale in all of them.

``length`` is Daley's length L = sqrt(-1 / rho''(0)): near zero distance every function here falls as
1 - d^2 / (2 L^2), so one can be exchanged for another without tuning again.
"""

import math

import numpy as np
from numpy.typing import ArrayLike

from oceankit.numerics.compiling import kernel

__all__ = ["FUNCTIONS", "GASPARI_COHN_ZERO", "correlation", "evaluate", "gaspari_cohn"]

GASPARI_COHN, GAUSSIAN, MATERN = 0, 1, 2
FUNCTIONS = {"gaspari_cohn": GASPARI_COHN, "gaussian": GAUSSIAN, "matern": MATERN}

GASPARI_COHN_ZERO = 2.0 * math.sqrt(10.0 / 3.0)
"""Distance, in lengths, where the Gaspari-Cohn function becomes zero (2c, with c = sqrt(10/3) L)."""


@kernel
def gaspari_cohn(r):
    """Gaspari and Cohn (1999) equation 4.10 at r = distance / c; zero from r = 2."""
    if r >= 2.0:
        return 0.0
    if r >= 1.0:
        # Horner's form of r^5/12 - r^4/2 + 5r^3/8 + 5r^2/3 - 5r + 4 - 2/(3r)
        return max(0.0, ((((r / 12.0 - 0.5) * r + 0.625) * r + 5.0 / 3.0) * r - 5.0) * r + 4.0 - 2.0 / (3.0 * r))
    return (((-0.25 * r + 0.5) * r + 0.625) * r - 5.0 / 3.0) * r * r + 1.0


@kernel
def correlation(function, d):
    """Correlation at ``d`` lengths: gaspari_cohn (0), gaussian (1) or matern of smoothness 3/2 (2)."""
    if function == 0:
        return gaspari_cohn(d / 1.8257418583505538)
    if function == 1:
        return math.exp(-0.5 * d * d)
    return (1.0 + d) * math.exp(-d)


@kernel
def _correlations(function, d, out):
    for i in range(d.size):
        out[i] = correlation(function, d[i])


def evaluate(function: str, distance: ArrayLike, length: float) -> np.ndarray:
    """Correlation at ``distance`` for a Daley length ``length`` in the same units.

    ``"gaussian"`` is exp(-d^2 / 2L^2); ``"matern"`` has smoothness 3/2, (1 + d/L) exp(-d/L), known as SOAR;
    ``"gaspari_cohn"`` is their compact fifth-order function with c = sqrt(10/3) L, zero from 3.65 L on.

    Examples
    --------
    >>> evaluate("gaussian", [0.0, 100.0], 100.0).round(4).tolist()
    [1.0, 0.6065]
    """
    if function not in FUNCTIONS:
        raise ValueError(f"covariance {function!r} is not known; choose one of {', '.join(map(repr, FUNCTIONS))}")
    d = np.abs(np.asarray(distance, np.float64)) / length
    out = np.empty(d.size)
    _correlations(FUNCTIONS[function], np.ascontiguousarray(d).ravel(), out)
    return out.reshape(d.shape)
