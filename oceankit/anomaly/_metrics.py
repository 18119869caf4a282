"""What is told of an event, from the sums that its record keeps."""

import numpy as np

from oceankit.anomaly import _heatwave_kernels as k
from oceankit.anomaly._conventions import Convention
from oceankit.numerics.transposing import as_rows

__all__ = ["CATEGORIES", "metrics_of"]

CATEGORIES = ("moderate", "strong", "severe", "extreme")

_KINDS = {
    "": (k.SHIFT_A, k.SUM_A, k.SQUARE_A, k.TOP_A),
    "_relThresh": (k.SHIFT_R, k.SUM_R, k.SQUARE_R, k.TOP_R),
    "_abs": (k.SHIFT_X, k.SUM_X, k.SQUARE_X, k.TOP_X),
}


def metrics_of(records: np.ndarray, convention: Convention, sign: float) -> dict[str, np.ndarray]:
    """Metrics of the (events, columns) records by name, as the convention defines them; float64, and int64 where they count."""
    r = as_rows(records)  # a column lies together
    found = {
        "index_start": r[k.START].astype(np.int64),
        "index_end": r[k.END].astype(np.int64),
        "index_peak": r[k.PEAK].astype(np.int64),
    }
    found["duration"] = found["index_end"] - found["index_start"] + 1
    for n, name in enumerate(CATEGORIES):
        found[f"duration_{name}"] = r[k.MODERATE + n].astype(np.int64)
    found["days_missing"] = r[k.MISSING].astype(np.int64)
    at_peak = convention.relative_at_peak
    greatest = {
        "": r[k.MAX],
        "_relThresh": r[k.REL_AT_PEAK if at_peak else k.REL_MAX],
        "_abs": r[k.ABS_AT_PEAK if at_peak else k.ABS_MAX],
    }
    days = r[k.DAYS]
    for kind, (shift, total, square, top) in _KINDS.items():
        freedom = days - convention.degrees_of_freedom
        with np.errstate(invalid="ignore", divide="ignore"):
            variance = np.maximum(r[square] - r[total] ** 2 / days, 0.0) / np.where(freedom > 0, freedom, np.nan)
        cumulative = r[top] if convention.greatest_sum else r[total] + days * r[shift]
        found[f"intensity_max{kind}"] = sign * greatest[kind]
        found[f"intensity_mean{kind}"] = sign * (r[shift] + r[total] / days)
        found[f"intensity_var{kind}"] = np.sqrt(variance)
        found[f"intensity_cumulative{kind}"] = sign * cumulative
    found["category"] = _category(r, found["duration"], convention)
    direction = sign if convention.signed_rates else 1.0
    to_peak = r[k.PEAK] - r[k.START]
    if convention.first_day_is_a_day:
        to_peak = np.maximum(to_peak, 1.0)
    found["rate_onset"] = direction * _rate(r[k.MAX], r[k.FIRST], r[k.BEFORE], to_peak, convention)
    found["rate_decline"] = direction * _rate(r[k.MAX], r[k.LAST], r[k.AFTER], r[k.END] - r[k.PEAK], convention)
    return found


def _category(r: np.ndarray, duration: np.ndarray, convention: Convention) -> np.ndarray:
    if not convention.category_by_days:
        return r[k.CATEGORY].astype(np.int64)
    category = np.ones(duration.size, np.int64)
    for n in range(1, 4):
        category[np.rint(r[k.MODERATE + n] / duration * 100.0) > 0] = n + 1
    return category


def _rate(
    peak: np.ndarray, edge: np.ndarray, beyond: np.ndarray, days: np.ndarray, convention: Convention
) -> np.ndarray:
    """Rise from halfway between the edge and the day beyond it; from the edge itself where that day is not known."""
    rate = (peak - 0.5 * (edge + beyond)) / (days + 0.5)
    if convention.edge_rates:
        return np.where(np.isnan(beyond), (peak - edge) / np.maximum(days, 1.0), rate)
    return rate
