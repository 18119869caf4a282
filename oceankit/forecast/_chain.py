"""The linear base of the forecaster: damped persistence, or its mean with a LIM, or both in turn; then a seasonal ridge.

The ridge predicts the departure from what comes before it, so that a strong penalty leads back to damped persistence
and not to climatology. What it departs from (or the mean of the two) and the penalties are chosen lead by lead by
blocks of the training period that are left out in turn; forecasts of these are what the network learns to correct.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from oceankit.forecast import _linear
from oceankit.forecast._blocks import blocks_of
from oceankit.forecast._linear import Past

__all__ = ["Chain"]

PENALTIES = (0.001, 0.003, 0.01, 0.03, 0.1, 0.2, 0.35, 0.7, 2.0, 50.0)
LAGS = {
    "monthly": (0, 1, 2, 3, 6, 11),
    "daily": (0, 1, 2, 3, 5, 7, 10, 14, 21, 29),
    "hourly": (0, 1, 2, 3, 4, 5, 6, 7, 9, 11, 12, 13, 18, 23, 24, 25, 26, 36, 37, 48, 49, 50),
}
# Amplitudes of the year's harmonics in the ridge: those of a Gaussian of two months, 0.9 of the whole; at shorter
# steps the coefficients vary less and there are more lags to modulate.
WAVES = {"monthly": (1.02, 0.45), "daily": (0.5,), "hourly": (0.5,)}
_MODES, _LIM_MODES = 20, 30
_REFILLS = 4  # of what is missing, in the final fit; one while penalties are compared


class Chain:
    """Fitted linear base for several leads.

    Parameters
    ----------
    leads
        Steps ahead.
    cadence
        ``monthly``, ``daily`` or ``hourly``: the lags looked at and how smooth the seasons are.
    local
        Each cell by itself: damped persistence alone, which serves cells that were not in the training.
    """

    def __init__(self, leads: Sequence[int], cadence: str, *, local: bool, folds: int = 5) -> None:
        self.leads, self.cadence, self.local, self.folds = tuple(leads), cadence, local, folds
        self.lags = (0,) if local else LAGS[cadence]
        self.factors: dict[int, np.ndarray] = {}
        self.share: dict[int, float] = {}  # of the linear inverse model in what the ridge departs from
        self.penalty: dict[int, tuple[float, ...]] = {}
        self.slopes: dict[int, np.ndarray] = {}

    @property
    def reach(self) -> int:
        """Steps of history looked at."""
        return max(self.lags)

    def fit(
        self, past: Past, rows: np.ndarray, weights: np.ndarray, stride: int
    ) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
        """Learn from ``rows``; yields (lead, starts, anomalies forecast by what was fitted without their block)."""
        blocks = blocks_of(rows, self.folds, len(past.filled))
        starts = rows[self.reach : len(rows) - max(self.leads)]
        apart = [_apart(starts, max(self.leads), blocks, k) for k in range(self.folds)]
        shown = starts[::stride]
        if self.local:
            for lead in self.leads:
                self.factors[lead] = _linear.damped(past, starts, lead)
                held = np.empty((len(shown), past.filled.shape[1]))
                for k, near in enumerate(apart):
                    at = blocks[shown] == k
                    held[at] = past.filled[shown[at]] * _linear.damped(past, near, lead)
                yield lead, shown, held
            return
        self.eofs = _linear.eofs_of(past.filled[rows], weights, _LIM_MODES)
        components = self.eofs.components(past.filled)
        inside = rows[:-1]
        self._step = _linear.propagator(components, inside)
        features = self._features(past, starts)
        whole = _Part(self, past, components, features, starts, starts, self._step)
        parts = []
        for k, near in enumerate(apart):
            outside = inside[(blocks[inside] != k) & (blocks[inside + 1] != k)]
            parts.append(_Part(self, past, components, features, starts, near, _linear.propagator(components, outside)))
        for lead in self.leads:
            yield lead, shown, self._fit_lead(lead, whole, parts, blocks, weights, shown)

    def _features(self, past: Past, rows: np.ndarray) -> np.ndarray:
        return _linear.seasonal_features(past, self.eofs, rows, _MODES, self.lags, np.asarray(WAVES[self.cadence]))

    def anomalies(self, past: Past, rows: np.ndarray, lead: int) -> np.ndarray:
        """Forecast anomalies (rows, cells) ``lead`` steps after each row."""
        base = past.filled[rows] * self.factors[lead]
        if self.local:
            return base
        if self.share[lead]:
            ahead = np.linalg.matrix_power(self._step, lead)
            model = self.eofs.field(self.eofs.components(past.filled[rows]) @ ahead.T)
            base = base + self.share[lead] * (model - base)
        return base + self._features(past, rows) @ self.slopes[lead]

    def _fit_lead(
        self,
        lead: int,
        whole: "_Part",
        parts: "list[_Part]",
        blocks: np.ndarray,
        weights: np.ndarray,
        shown: np.ndarray,
    ) -> np.ndarray:
        """Choose base and penalty by the blocks left out; returns what they were forecast to be."""
        truth = whole.past.anomalies[shown + lead]
        best = []
        for half in (True, False):
            held = np.empty((len(PENALTIES), *truth.shape))
            for k, part in enumerate(parts):
                at = np.flatnonzero(blocks[shown] == k)
                for i, forecast in enumerate(part.forecasts(shown[at], lead, half, PENALTIES)):
                    held[i, at] = forecast
            i = int(np.argmin([np.nansum((h - truth) ** 2 * weights) for h in held]))
            best.append((half, PENALTIES[i], held[i].copy()))
        choices = [best[:1], best[1:], best]
        means = [np.mean([held for _, _, held in chosen], axis=0) for chosen in choices]
        i = int(np.argmin([np.nansum((m - truth) ** 2 * weights) for m in means]))
        self.penalty[lead] = tuple(penalty for _, penalty, _ in choices[i])
        self.share[lead] = float(np.mean([0.5 * half for half, _, _ in choices[i]]))
        fits = [whole.slopes(lead, half, [penalty], _REFILLS) for half, penalty, _ in choices[i]]
        self.factors[lead] = fits[0][0]
        self.slopes[lead] = np.mean([slope for _, (slope,) in fits], axis=0)
        return np.asarray(means[i])


class _Part:
    """The ridge's normal equations over some of the starts, decomposed once for all leads and penalties."""

    def __init__(
        self,
        chain: Chain,
        past: Past,
        components: np.ndarray,
        features: np.ndarray,
        starts: np.ndarray,
        near: np.ndarray,
        step: np.ndarray,
    ) -> None:
        self.chain, self.past, self.components, self.near, self.step = chain, past, components, near, step
        self._all, self._starts = features, starts
        self.x = features[np.searchsorted(starts, near)]
        values, self.vectors = np.linalg.eigh(self.x.T @ self.x)
        self.values = np.maximum(values, 0.0)

    def base(self, rows: np.ndarray, factors: np.ndarray, lead: int, half: bool) -> np.ndarray:
        """Damped persistence, or its mean with the LIM."""
        out = self.past.filled[rows] * factors
        if half:
            ahead = np.linalg.matrix_power(self.step, lead)
            out = (out + self.chain.eofs.field(self.components[rows] @ ahead.T)) / 2
        return out

    def slopes(
        self, lead: int, half: bool, penalties: Sequence[float], refills: int
    ) -> tuple[np.ndarray, list[np.ndarray]]:
        """Factors of damped persistence, and the ridge's coefficients for each penalty."""
        factors = _linear.damped(self.past, self.near, lead)
        departure = self.past.anomalies[self.near + lead] - self.base(self.near, factors, lead, half)
        known = np.isfinite(departure)
        departure = np.where(known, departure, 0.0)
        turned = self.vectors.T @ (self.x.T @ departure)
        some, cells = np.flatnonzero(~known.all(axis=1)), np.flatnonzero(~known.all(axis=0))
        holed = self.x[some] if refills else self.x[:0]
        out = []
        for penalty in penalties:
            slope = self.vectors @ (turned / (self.values + penalty * len(self.x))[:, None])
            for _ in range(refills if len(some) else 0):
                # What is missing is forecast, and the fit repeated: its fixed point is the fit to what is known.
                guessed = np.where(known[np.ix_(some, cells)], 0.0, holed @ slope[:, cells])
                more = turned[:, cells] + self.vectors.T @ (holed.T @ guessed)
                slope[:, cells] = self.vectors @ (more / (self.values + penalty * len(self.x))[:, None])
            out.append(slope)
        return factors, out

    def forecasts(self, rows: np.ndarray, lead: int, half: bool, penalties: Sequence[float]) -> Iterator[np.ndarray]:
        """Anomalies forecast from ``rows`` for each penalty."""
        factors, slopes = self.slopes(lead, half, penalties, 1)
        base, x = self.base(rows, factors, lead, half), self._all[np.searchsorted(self._starts, rows)]
        for slope in slopes:
            yield base + x @ slope


def _apart(starts: np.ndarray, lead: int, blocks: np.ndarray, block: int) -> np.ndarray:
    """Starts that neither lie in ``block`` nor are within a lead of it, nor have their targets there."""
    inside = np.flatnonzero(blocks == block)
    if not len(inside):
        return starts
    return starts[(starts + lead < inside[0]) | (starts > inside[-1] + lead)]
