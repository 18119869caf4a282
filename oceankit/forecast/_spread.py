"""How wide a forecast's errors are, for each cell and time of the year."""

from dataclasses import dataclass

import numpy as np

from oceankit.forecast._season import harmonics
from oceankit.forecast._steps import Step, months_of, phase_of

__all__ = ["Spread", "fit_spread"]

_LEAST = 0.25  # share of a cell's mean variance below which its seasonal variance never falls


@dataclass(frozen=True)
class Spread:
    """Variances by month (12, cells), or as harmonics of the year (1 + 2 n, cells) above a floor."""

    table: np.ndarray
    step: Step

    def at(self, times: np.ndarray) -> np.ndarray:
        """Standard deviations at ``times`` (times, cells)."""
        if self.step.unit == "months":
            return np.sqrt(self.table[months_of(times)])
        variance = harmonics(phase_of(times, self.step), (len(self.table) - 1) // 2) @ self.table
        return np.sqrt(np.maximum(variance, _LEAST * self.table[0]))


def fit_spread(errors: np.ndarray, times: np.ndarray, step: Step, *, keep: int | None = None) -> Spread:
    """Root mean squares of ``errors`` (times, cells), NaN where unknown.

    Monthly: over the month and the ones before and after it. Otherwise one harmonic of the year, where the errors
    cover two years or more. ``keep``: only so many of the last errors.
    """
    if keep is not None:
        errors, times = errors[-keep:], times[-keep:]
    square, known = np.nan_to_num(errors**2, nan=0.0), np.isfinite(errors)
    overall = _mean(square.sum(axis=0), known.sum(axis=0))
    overall = np.where(overall > 0, overall, np.finfo(float).tiny)
    if step.unit == "months":
        months = months_of(times)
        sums = np.stack([square[months == m].sum(axis=0) for m in range(12)])
        counts = np.stack([known[months == m].sum(axis=0) for m in range(12)])
        around = lambda a: a + np.roll(a, 1, axis=0) + np.roll(a, -1, axis=0)  # noqa: E731
        total, count = around(sums), around(counts)
        table = np.where(count > 0, _mean(total, count), overall)
        return Spread(np.maximum(table, np.finfo(float).tiny), step)
    if len(times) < 2 * step.per_year():
        return Spread(overall[None], step)
    columns = harmonics(phase_of(times, step), 1)
    # The harmonics are nearly orthogonal over whole years; the mean stays what it is.
    swing = 2 * np.stack([_mean((square * c[:, None]).sum(axis=0), known.sum(axis=0)) for c in columns[:, 1:].T])
    return Spread(np.concatenate([overall[None], swing]), step)


def _mean(total: np.ndarray, count: np.ndarray) -> np.ndarray:
    return np.divide(total, count, where=count > 0, out=np.zeros(total.shape))
