"""Linear forecasts of anomalies as plain arrays: damped persistence, the linear inverse model, seasonal ridges.

Every fit is given the rows (start times) it may learn from, so that the same code serves the whole training period and
the parts of it that are left out in turn. What is learnt is a dictionary of arrays.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.sparse.linalg import svds

__all__ = ["Eofs", "Past", "damped", "eofs_of", "fill", "propagator", "seasonal_features"]

_DIRECT = 3000  # largest side of a covariance that is decomposed as a whole


@dataclass(frozen=True)
class Past:
    """What is known of a record in the form forecasts need.

    ``anomalies`` (times, cells) have NaN where missing; ``filled`` have there the last value known, damped: only the
    past of each time is used. ``phase`` (times) is the phase of the year.
    """

    anomalies: np.ndarray
    filled: np.ndarray
    phase: np.ndarray

    def lagged(self, rows: np.ndarray, lag: int) -> np.ndarray:
        """Filled anomalies ``lag`` steps before each row, zero before the record begins."""
        at = rows - lag
        out = self.filled[np.maximum(at, 0)]
        if len(at) and at.min() < 0:
            out = np.where((at >= 0)[:, None], out, 0.0)
        return out

    def trailing(self, rows: np.ndarray, steps: int) -> np.ndarray:
        """Mean of the filled anomalies over the ``steps`` that end at each row, fewer where the record begins later."""
        total = np.concatenate([np.zeros((1, self.filled.shape[1])), np.cumsum(self.filled, axis=0)])
        first = np.maximum(rows + 1 - steps, 0)
        return (total[rows + 1] - total[first]) / (rows + 1 - first)[:, None]


def fill(anomalies: np.ndarray, memory: np.ndarray) -> np.ndarray:
    """Replace what is missing by the last value known times ``memory`` (cells) for each step since; zero before any."""
    if np.isfinite(anomalies).all():
        return anomalies
    out = np.nan_to_num(anomalies, nan=0.0)
    missing = np.isnan(anomalies)
    last = np.zeros(anomalies.shape[1])
    for row in np.flatnonzero(missing.any(axis=1)):
        last = out[row - 1] if row else last
        out[row] = np.where(missing[row], last * memory, out[row])
    return out


def memory_of(anomalies: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Correlation of each cell with itself a step later, over ``rows``, between 0 and 1."""
    now, then = anomalies[rows[:-1]], anomalies[rows[1:]]
    both = np.isfinite(now) & np.isfinite(then)
    now, then = np.where(both, now, 0.0), np.where(both, then, 0.0)
    scale = np.sqrt((now**2).sum(axis=0) * (then**2).sum(axis=0))
    return np.clip(np.divide((now * then).sum(axis=0), scale, where=scale > 0, out=np.zeros(len(scale))), 0.0, 1.0)


def damped(past: Past, rows: np.ndarray, lead: int) -> np.ndarray:
    """Regression of each cell ``lead`` steps later on itself now, through the origin and never below zero; (cells,)."""
    now, then = past.filled[rows], past.anomalies[rows + lead]
    present = np.isfinite(then)
    square = (now**2 * present).sum(axis=0)
    product = (now * np.where(present, then, 0.0)).sum(axis=0)
    return np.maximum(np.divide(product, square, where=square > 0, out=np.zeros(len(square))), 0.0)


@dataclass(frozen=True)
class Eofs:
    """Leading patterns of area-weighted anomalies: ``patterns`` (modes, cells), ``scale`` their standard deviations."""

    patterns: np.ndarray
    scale: np.ndarray
    root: np.ndarray  # sqrt of the area weights

    def components(self, values: np.ndarray, modes: int | None = None) -> np.ndarray:
        """Principal components of ``values`` (times, cells): (times, modes)."""
        return (values * self.root) @ self.patterns[:modes].T

    def field(self, components: np.ndarray) -> np.ndarray:
        """Cells from components (times, modes)."""
        return (components @ self.patterns[: components.shape[-1]]) / self.root


def eofs_of(values: np.ndarray, weights: np.ndarray, modes: int) -> Eofs:
    """Empirical orthogonal functions of ``values`` (times, cells), not centred: they are anomalies.

    From the covariance of the shorter side, or by Lanczos iterations where both sides are long. The largest loading of
    each pattern is positive, so that the same data give the same signs.
    """
    root = np.sqrt(weights)
    weighted = values * root
    modes = min(modes, *weighted.shape)
    if min(weighted.shape) > _DIRECT:
        start = np.ones(min(weighted.shape)) / np.sqrt(min(weighted.shape))
        _, _, patterns = svds(weighted, k=modes, v0=start)
        patterns = patterns[::-1]
    elif weighted.shape[1] <= weighted.shape[0]:
        _, vectors = np.linalg.eigh(weighted.T @ weighted)
        patterns = vectors[:, ::-1][:, :modes].T
    else:
        square, vectors = np.linalg.eigh(weighted @ weighted.T)
        patterns = vectors[:, ::-1][:, :modes].T @ weighted / np.sqrt(square[::-1][:modes, None])
    peak = patterns[np.arange(len(patterns)), np.abs(patterns).argmax(axis=1)]
    patterns = np.ascontiguousarray(patterns * np.sign(peak)[:, None])
    scale = (weighted @ patterns.T).std(axis=0)
    return Eofs(patterns, np.where(scale > 0, scale, 1.0), root)


def propagator(components: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """One step of the linear inverse model, G = C(1) C(0)^-1 (Penland & Magorian 1993, eq. 4), from ``rows``."""
    now, then = components[rows], components[rows + 1]
    square = now.T @ now
    # Components that never move (a constant cell) would make C(0) singular.
    square += 1e-12 * np.trace(square) / len(square) * np.eye(len(square))
    # Contiguous as it is in a file: products with a transposed view round differently.
    return np.ascontiguousarray(np.linalg.solve(square, now.T @ then).T)


def seasonal_features(
    past: Past, eofs: Eofs, rows: np.ndarray, modes: int, lags: Sequence[int], waves: np.ndarray
) -> np.ndarray:
    """Lagged components times harmonics of the year, and the harmonics themselves: (rows, modes * lags * n + n).

    Components are scaled by the first one's standard deviation, so that a penalty weighs on weak patterns more.
    ``waves`` (n - 1 = 2 or 4) are the amplitudes of cosines and sines: the smoother the seasons, the smaller they are.
    """
    angle = 2 * np.pi * past.phase[rows]
    season = [np.ones(len(rows))]
    for k in range(len(waves)):
        season += [waves[k] * np.cos((k + 1) * angle), waves[k] * np.sin((k + 1) * angle)]
    seasons = np.stack(season, axis=1)
    parts = [eofs.components(past.lagged(rows, lag), modes) / eofs.scale[0] for lag in lags]
    lagged = np.concatenate(parts, axis=1)
    return np.concatenate([(lagged[:, :, None] * seasons[:, None, :]).reshape(len(rows), -1), seasons], axis=1)
