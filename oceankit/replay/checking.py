"""The check of a day's field before anything uses it; what fails is set aside with a flag, never silently."""

from dataclasses import dataclass

import numpy as np

__all__ = ["BAD", "FLAGS", "GOOD", "MISSING", "Checks"]

GOOD, BAD, MISSING = np.int8(1), np.int8(4), np.int8(9)
FLAGS = {"flag_values": np.array([1, 4, 9], np.int8), "flag_meanings": "good bad missing"}
"""As QARTOD has them."""

# A heatwave is no error: limits are never nearer than the extremes of the training years and half as much again.
_DEVIATIONS = 6.0
_BEYOND = 1.5


@dataclass(frozen=True)
class Checks:
    """Limits of each cell, from the training years alone."""

    far: np.ndarray
    """Largest departure from the climatological mean (cells)"""
    fast: np.ndarray
    """Largest change from the day before (cells)"""

    @classmethod
    def learnt(cls, departures: np.ndarray) -> "Checks":
        """From departures from the mean (days, cells) of the training years."""
        steps = np.diff(departures, axis=0)
        with np.errstate(all="ignore"):
            return cls(*(_limit(values) for values in (departures, steps)))

    def flags(self, values: np.ndarray, mean: np.ndarray, before: np.ndarray, mean_before: np.ndarray) -> np.ndarray:
        """Flags (cells) of a day's values, given the mean of the day, and the day before (NaN where it is unknown)."""
        departure = values - mean
        step = departure - (before - mean_before)
        with np.errstate(invalid="ignore"):
            bad = (np.abs(departure) > self.far) | (np.abs(step) > self.fast)
        return np.where(np.isnan(values), MISSING, np.where(bad, BAD, GOOD)).astype(np.int8)


def _limit(values: np.ndarray) -> np.ndarray:
    known = np.isfinite(values)
    n = np.maximum(known.sum(axis=0), 1)
    filled = np.where(known, values, 0.0)
    deviation = np.sqrt((filled**2).sum(axis=0) / n)
    return np.maximum(_DEVIATIONS * deviation, _BEYOND * np.abs(filled).max(axis=0, initial=0.0))
