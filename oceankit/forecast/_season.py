"""The seasonal mean of each cell, learnt from the training period alone."""

from dataclasses import dataclass

import numpy as np

from oceankit.forecast._steps import Axis, Step, months_of, phase_of, text

__all__ = ["Season", "fit_season", "harmonics"]


def harmonics(phase: np.ndarray, count: int) -> np.ndarray:
    """Columns 1, cos, sin, cos 2, sin 2 ... of the phase of the year, shape (times, 1 + 2 count)."""
    angle = 2 * np.pi * phase[:, None] * np.arange(1, count + 1)
    waves = np.stack([np.cos(angle), np.sin(angle)], axis=2).reshape(len(phase), -1)
    return np.concatenate([np.ones((len(phase), 1)), waves], axis=1)


@dataclass(frozen=True)
class Season:
    """Means by month (12, cells), or coefficients of harmonics (1 + 2 n, cells)."""

    table: np.ndarray
    step: Step

    def at(self, times: np.ndarray) -> np.ndarray:
        """The seasonal mean at ``times``, shape (times, cells)."""
        if self.step.unit == "months":
            return self.table[months_of(times)]
        return harmonics(phase_of(times, self.step), (len(self.table) - 1) // 2) @ self.table


def fit_season(values: np.ndarray, axis: Axis, rows: np.ndarray) -> Season:
    """Seasonal means of ``values`` (times, cells) over ``rows``.

    Monthly records: the mean of each month. Others: least squares on three harmonics of the year, one where the
    period is shorter than three years, the plain mean where it is shorter than one and a half.

    Raises
    ------
    ValueError
        For a month of the year without any value in a cell that has values in other months.
    """
    times, known = axis.times[rows], values[rows]
    if axis.step.unit == "months":
        months = months_of(times)
        table = np.full((12, values.shape[1]), np.nan)
        for month in range(12):
            taken = known[months == month]
            count = np.isfinite(taken).sum(axis=0)
            table[month] = np.divide(
                np.nansum(taken, axis=0), count, where=count > 0, out=np.full(values.shape[1], np.nan)
            )
        lacking = np.isnan(table)
        if lacking.any():
            month = int(np.argmax(lacking.any(axis=1)))
            raise ValueError(
                f"the period from {text(times[0])} to {text(times[-1])} has no value for month {month + 1} in "
                f"{int(lacking[month].sum())} of {values.shape[1]} cells; a climatology needs each month at least "
                "once: choose a longer period, or mask these cells"
            )
        return Season(table, axis.step)
    years = len(rows) / axis.step.per_year()
    count = 3 if years >= 3 else 1 if years >= 1.5 else 0
    columns = harmonics(phase_of(times, axis.step), count)
    present = np.isfinite(known)
    squares = (columns[:, :, None] * columns[:, None, :]).reshape(len(columns), -1)
    gram = (present.T.astype(float) @ squares).reshape(-1, columns.shape[1], columns.shape[1])
    moment = np.where(present, known, 0.0).T @ columns
    # A trace of a ridge keeps cells with few values solvable; it does not show in the others.
    gram += 1e-9 * np.eye(columns.shape[1]) * np.maximum(gram[:, :1, :1], 1.0)
    return Season(np.linalg.solve(gram, moment[:, :, None])[:, :, 0].T.copy(), axis.step)
