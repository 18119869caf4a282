"""What is told of an event, from the sums that its record keeps."""

import numpy as np

from oceankit.anomaly import _heatwave_kernels as k
from oceankit.anomaly._conventions import Convention
from oceankit.numerics.compiling import kernel

__all__ = ["CATEGORIES", "METRICS", "metrics_of"]

CATEGORIES = ("moderate", "strong", "severe", "extreme")

_COUNTS = (
    "index_start",
    "index_end",
    "index_peak",
    "duration",
    *(f"duration_{name}" for name in CATEGORIES),
    "days_missing",
    "category",
)
_KINDS = ("", "_relThresh", "_abs")
_MEASURES = (
    *(f"intensity_{what}{of}" for of in _KINDS for what in ("max", "mean", "var", "cumulative")),
    "rate_onset",
    "rate_decline",
)
METRICS = _COUNTS + _MEASURES


def metrics_of(records: np.ndarray, convention: Convention, sign: float) -> tuple[np.ndarray, ...]:
    """:data:`METRICS` of the (events, columns) records, as the convention defines them; float64, and int64 where they count.

    Values are those of the records times ``sign``: 1, or -1 of cold spells.
    """
    counts = np.empty((len(_COUNTS), len(records)), np.int64)
    measures = np.empty((len(_MEASURES), len(records)))
    c = convention
    _measures(
        records, sign, sign if c.signed_rates else 1.0, float(c.degrees_of_freedom), c.relative_at_peak, c.greatest_sum,
        c.edge_rates, c.first_day_is_a_day, c.category_by_days, counts, measures,
    )  # fmt: skip
    return (*counts, *measures)


@kernel
def _measures(
    records: np.ndarray, sign: float, direction: float, degrees_of_freedom: float, at_peak: bool, greatest_sum: bool,
    edge_rates: bool, first_day_is_a_day: bool, by_days: bool, counts: np.ndarray, measures: np.ndarray,
) -> None:  # fmt: skip
    for n in range(records.shape[0]):
        r = records[n]
        duration = r[k.END] - r[k.START] + 1.0
        counts[0, n], counts[1, n], counts[2, n], counts[3, n] = r[k.START], r[k.END], r[k.PEAK], duration
        category = 1 if by_days else int(r[k.CATEGORY])
        for level in range(4):
            counts[4 + level, n] = r[k.MODERATE + level]
            if by_days and np.rint(r[k.MODERATE + level] / duration * 100.0) > 0.0:
                category = level + 1
        counts[8, n], counts[9, n] = r[k.MISSING], category
        days = r[k.DAYS]
        freedom = days - degrees_of_freedom
        greatest = (
            r[k.MAX],
            r[k.REL_AT_PEAK] if at_peak else r[k.REL_MAX],
            r[k.ABS_AT_PEAK] if at_peak else r[k.ABS_MAX],
        )
        tops = r[k.TOP_A], r[k.TOP_R], r[k.TOP_X]
        for kind in range(3):
            shift, total, square = r[k.SHIFT_A + 3 * kind], r[k.SUM_A + 3 * kind], r[k.SQUARE_A + 3 * kind]
            variance = max(square - total**2 / days, 0.0) / freedom if freedom > 0.0 else np.nan
            measures[4 * kind, n] = sign * greatest[kind]
            measures[4 * kind + 1, n] = sign * (shift + total / days)
            measures[4 * kind + 2, n] = np.sqrt(variance)
            measures[4 * kind + 3, n] = sign * (tops[kind] if greatest_sum else total + days * shift)
        to_peak = r[k.PEAK] - r[k.START]
        if first_day_is_a_day:
            to_peak = max(to_peak, 1.0)
        measures[12, n] = direction * _rate(r[k.MAX], r[k.FIRST], r[k.BEFORE], to_peak, edge_rates)
        measures[13, n] = direction * _rate(r[k.MAX], r[k.LAST], r[k.AFTER], r[k.END] - r[k.PEAK], edge_rates)


@kernel
def _rate(peak: float, edge: float, beyond: float, days: float, edge_rates: bool) -> float:
    """Rise from halfway between the edge and the day beyond it; from the edge itself where that day is not known."""
    if edge_rates and np.isnan(beyond):
        return (peak - edge) / max(days, 1.0)
    return (peak - 0.5 * (edge + beyond)) / (days + 0.5)
