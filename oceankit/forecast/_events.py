"""Thresholds of rare events from the training period, and probabilities that were calibrated against what happened."""

from dataclasses import dataclass

import numpy as np
import xarray as xr
from scipy.optimize import minimize
from scipy.special import log_ndtr, ndtr

from oceankit.anomaly import climatology as anomaly_climatology
from oceankit.forecast._season import Season
from oceankit.forecast._steps import Axis, Step, months_of

__all__ = ["YEARS", "Threshold", "calibrate", "fit_threshold", "probability"]

YEARS = 30
"""At most so many last years of the training period define what is rare, and how wide errors are today."""
_LIMIT = 8  # excesses beyond are as sure as these
_PRIOR = 0.02  # weight of "already calibrated" against the mean log score


@dataclass(frozen=True)
class Threshold:
    """Event thresholds: by month (12, cells) or day of the year (366, cells), or the same always (1, cells)."""

    table: np.ndarray
    step: Step

    def at(self, times: np.ndarray) -> np.ndarray:
        """Thresholds at ``times`` (times, cells)."""
        if len(self.table) == 1:
            return np.broadcast_to(self.table, (len(times), self.table.shape[1]))
        if self.step.unit == "months":
            return self.table[months_of(times)]
        accessor = xr.DataArray(times, dims="t").dt
        day = np.asarray(accessor.dayofyear.values)
        if accessor.calendar != "360_day":
            # Day 60 of the table is 29 February in every year, as in climatologies.
            leap = np.asarray(accessor.is_leap_year.values) if accessor.calendar not in ("noleap", "365_day") else False
            day = np.where(~np.asarray(leap) & (day >= 60), day + 1, day)
        return self.table[day - 1]


def fit_threshold(values: np.ndarray, axis: Axis, rows: np.ndarray, season: Season, percentile: float) -> Threshold:
    """The ``percentile`` of ``values`` (times, cells) for each time of the year, over the last 30 years of ``rows``.

    Monthly: of anomalies in the month and its neighbours. Daily: the day-of-year percentile of Hobday et al. (2016),
    as ``oceankit.anomaly.climatology`` makes it. Shorter steps: one for all times.
    """
    rows = rows[-round(YEARS * axis.step.per_year()) :]
    if axis.step.unit == "months" and axis.step.count == 1:
        anomalies = values[rows] - season.at(axis.times[rows])
        months = months_of(axis.times[rows])
        table = np.empty((12, values.shape[1]))
        for month in range(12):
            near = np.abs((months - month + 6) % 12 - 6) <= 1
            table[month] = np.nanpercentile(anomalies[near], percentile, axis=0)
        return Threshold(table + season.table, axis.step)
    if axis.step.unit == "hours" and axis.step.count == 24 and len(rows) >= 3 * 365:
        field = xr.DataArray(
            values[rows], dims=("time", "cell"), coords={"time": axis.times[rows]}, name="field", attrs={"units": "1"}
        )
        days = xr.DataArray(field["time"].dt.strftime("%Y-%m-%d").values)
        clim = anomaly_climatology(
            field, period=(str(days[0].item()), str(days[-1].item())), by="dayofyear", percentile=percentile
        )
        return Threshold(np.asarray(clim["threshold"].transpose("dayofyear", "cell").values), axis.step)
    return Threshold(np.nanpercentile(values[rows], percentile, axis=0)[None], axis.step)


def probability(
    mean: np.ndarray,
    std: np.ndarray,
    threshold: np.ndarray,
    fit: np.ndarray | None = None,
    other: np.ndarray | None = None,
) -> np.ndarray:
    """Probability that a Gaussian exceeds ``threshold``, recalibrated on the normal scale.

    ``fit`` is (shift, slope, slope of the other), and ``other`` the excess (mean - threshold) / std of another
    forecast, where there is one.
    """
    excess = (mean - threshold) / std
    if fit is None:
        return np.asarray(ndtr(excess))
    z = fit[0] + fit[1] * excess
    return np.asarray(ndtr(z if other is None else z + fit[2] * other))


def calibrate(
    excess: np.ndarray, other: np.ndarray | None, happened: np.ndarray, weights: np.ndarray, part: np.ndarray
) -> np.ndarray:
    """Slopes on the normal scale that make probabilities likeliest (Platt's scaling with a normal link and no shift).

    ``excess`` is (mean - threshold) / std of a forecast, ``other`` that of a simpler one, ``happened`` 1 where the
    event did and 0 where not, ``part`` the stretch of time of each. Excesses are counted in bins of 0.1. The fit is
    kept only where it makes the Brier score of stretches that it was not fitted to better, by more than two standard
    errors; otherwise probabilities stay as they are: (0, 1, 0).
    """
    plain = np.array([0.0, 1.0, 0.0])
    if not len(excess) or happened.min() == happened.max():
        return plain
    bins = _LIMIT * 20 + 1
    both = (excess, excess if other is None else other)
    own, its = (np.rint(np.clip(x, -_LIMIT, _LIMIT) * 10).astype(int) + 10 * _LIMIT for x in both)
    filled, index = np.unique(own * bins + its, return_inverse=True)
    parts, which = np.unique(part, return_inverse=True)
    size = len(parts) * len(filled)
    weights = weights / weights.sum()
    yes = np.bincount(which * len(filled) + index, weights * happened, size).reshape(len(parts), -1)
    no = np.bincount(which * len(filled) + index, weights, size).reshape(len(parts), -1) - yes
    columns = np.stack([np.ones(len(filled)), (filled // bins) / 10 - _LIMIT, (filled % bins) / 10 - _LIMIT])
    # No shift: how often the event happened in the past is what changes with the climate.
    bounds = [(0.0, 0.0), (0.0, 2.0), (0.0, 2.0 if other is not None else 0.0)]

    def fitted(chosen: np.ndarray) -> np.ndarray:
        happen, fail = yes[chosen].sum(axis=0), no[chosen].sum(axis=0)
        total = happen.sum() + fail.sum()

        def cost(x: np.ndarray) -> float:
            z = x @ columns
            score = -(happen * log_ndtr(z) + fail * log_ndtr(-z)).sum() / total
            return float(score + _PRIOR * (x[0] ** 2 + (x[1] + x[2] - 1) ** 2))

        return np.asarray(minimize(cost, plain, method="L-BFGS-B", bounds=bounds).x)

    def brier(x: np.ndarray, k: int) -> float:
        p = ndtr(x @ columns)
        return float((yes[k] * (1 - p) ** 2 + no[k] * p**2).sum() / (yes[k] + no[k]).sum())

    if len(parts) > 1:
        everyone = np.arange(len(parts))
        gains = np.array([brier(plain, int(k)) - brier(fitted(everyone[everyone != k]), int(k)) for k in everyone])
        if gains.mean() <= 2 * gains.std(ddof=1) / len(parts) ** 0.5:
            return plain
    return fitted(np.arange(len(parts)))
