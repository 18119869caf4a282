"""Scores as a Dataset: names, meanings, units and the ends of their intervals."""

from collections.abc import Hashable
from typing import Any

import numpy as np
import xarray as xr

from oceankit.forecast import _bootstrap, _pairing, _scores
from oceankit.forecast._by import Groups
from oceankit.forecast._pairing import Given

__all__ = ["MEANING", "score_table"]

MEANING: dict[str, str] = {
    "bias": "mean of forecast minus truth",
    "rmse": "root mean square error",
    "mae": "mean absolute error",
    "crps": "continuous ranked probability score; the absolute error of a forecast that has no distribution",
    "corr": "correlation over all pairs of a group",
    "index_corr": "correlation over time of the weighted means of the group",
    "acc": "anomaly correlation, uncentred, over all pairs of a group",
    "spread": "root mean square standard deviation of the forecast",
    "spread_skill": "spread over root mean square error",
    "rmse_gain": "root mean square error of the reference minus that of the forecast",
    "crps_gain": "CRPS of the reference minus that of the forecast",
    "rmse_skill": "1 - rmse / rmse of the reference",
    "crps_skill": "1 - crps / crps of the reference",
    "base_rate": "observed rate of the event",
    "mean_probability": "mean forecast probability of the event",
    "brier": "Brier score",
    "bss": "Brier skill score against the nominal rate",
    "bss_vs_observed_rate": "Brier skill score against the observed rate",
    "bss_vs_reference": "Brier skill score against the reference",
    "brier_gain": "Brier score of the reference minus that of the forecast",
    "reliability": "reliability of ten bins (Murphy 1973): the less the better",
    "resolution": "resolution of ten bins (Murphy 1973): the more the better",
    "uncertainty": "uncertainty, base_rate (1 - base_rate)",
    "ece": "expected calibration error: mean gap between probability and observed frequency of ten bins",
    "auc": "area under the ROC curve",
    "sedi": "symmetric extremal dependence index (Ferro and Stephenson 2011)",
    "ets": "equitable threat score (Gilbert 1884)",
    "hit_rate": "share of events that were forecast",
    "false_alarm_rate": "share of non-events that were forecast as events",
    "false_alarm_ratio": "share of forecast events that did not happen",
    "frequency_bias": "how often the event is forecast over how often it happens",
}
_IN_UNITS = ("bias", "rmse", "mae", "crps", "spread", "rmse_gain", "crps_gain")


def score_table(
    per_time: np.ndarray,
    layout: _scores.Layout,
    groups: Groups,
    given: Given,
    *,
    options: dict[str, Any],
    block: int | None,
    level: float | None,
    n_boot: int,
    rng: Any,
) -> xr.Dataset:
    """Scores of sums (times, groups, sums), with intervals where ``level`` is given."""
    total = per_time.sum(axis=0)
    out = {**_counts(total, layout, groups), **_values(total, layout, groups, given, options)}
    coords: dict[Hashable, Any] = dict(groups.coords)
    if layout.event:
        out |= _curves(total, layout, groups)
        coords["probability_bin"] = ("probability_bin", (np.arange(_scores.BINS) + 0.5) / _scores.BINS)
    attrs: dict[str, Any] = {}
    if level is not None:
        ends, attrs = _intervals(per_time, layout, given, options, block, level, n_boot, rng)
        for name in [n for n in (*MEANING, "reliability_frequency") if n in out]:
            dims, values, own = out[name]
            for k, end in enumerate(("low", "high")):
                edge = np.full(values.shape, np.nan) if ends is None else ends[name][k].reshape(values.shape)
                out[f"{name}_{end}"] = (dims, edge, {**own, "long_name": f"{end} end of the interval of {name}"})
    return xr.Dataset(out, coords, attrs)


def _counts(total: np.ndarray, layout: _scores.Layout, groups: Groups) -> dict[str, Any]:
    counts = {
        "n": ("n", "pairs of forecast and truth"),
        "n_missing_truth": ("n_truth", "forecasts without truth: before, after or missing in the record"),
        "n_missing_forecast": ("n_forecast", "truth without forecast"),
    }
    return {
        name: (
            groups.dims,
            layout.get(total, key).reshape(groups.shape).astype(np.int64),
            {"long_name": meaning, "units": "1"},
        )
        for name, (key, meaning) in counts.items()
    }


def _values(
    total: np.ndarray, layout: _scores.Layout, groups: Groups, given: Given, options: dict[str, Any]
) -> dict[str, Any]:
    units = given.one.attrs.get("units")
    own = {} if units is None else {"units": units}
    return {
        name: (
            groups.dims,
            values.reshape(groups.shape),
            {"long_name": MEANING[name], **(own if name in _IN_UNITS else {"units": "1"})},
        )
        for name, values in _scores.finish(total, layout, **options).items()
    }


def _curves(total: np.ndarray, layout: _scores.Layout, groups: Groups) -> dict[str, Any]:
    """The reliability table and the ROC curve."""
    table = {
        "reliability_probability": "mean forecast probability of the bin",
        "reliability_frequency": "observed frequency in the bin",
        "reliability_share": "weighted share of pairs in the bin",
        "roc_hit_rate": "hit rate as the threshold falls from above 1 to 0",
        "roc_false_alarm_rate": "false alarm rate as the threshold falls from above 1 to 0",
    }
    values = (*_scores.reliability(total, layout), *_scores.roc(total, layout))
    return {
        name: (
            (*groups.dims, "roc_point" if name.startswith("roc") else "probability_bin"),
            each.reshape(*groups.shape, -1),
            {"long_name": meaning, "units": "1"},
        )
        for (name, meaning), each in zip(table.items(), values, strict=True)
    }


def _intervals(
    per_time: np.ndarray, layout: _scores.Layout, given: Given, options: dict[str, Any], block: int | None,
    level: float, n_boot: int, rng: Any,
) -> tuple[dict[str, Any] | None, dict[str, Any]]:  # fmt: skip
    """Ends of the intervals (None where there are too few starts), and attributes that say how they were made."""
    starts = len(per_time)
    if starts < _bootstrap.FEWEST:
        return None, {"interval": f"none: {starts} starts are too few"}
    if block is None:
        block = _bootstrap.default_block(starts, _longest(given))
    counts = _bootstrap.resamples(starts, block=block, n_boot=n_boot, rng=rng)

    def scores(sums: np.ndarray) -> dict[str, np.ndarray]:
        out = _scores.finish(sums, layout, **options)
        if layout.event:
            out["reliability_frequency"] = _scores.reliability(sums, layout)[1]
        return out

    told = f"{100 * level:g} % of {n_boot} resamples of blocks of {block} start times"
    return _bootstrap.interval(per_time, scores, counts, level=level), {"interval": told, "block": int(block)}


def _longest(given: Given) -> float:
    """The longest lead in steps between starts."""
    at = _pairing.seconds(given.valid[:, 0]) if len(given.init) > 1 else np.zeros(1)
    between = float(np.median(np.diff(at))) if at.size > 1 else 0.0
    if between <= 0 or np.asarray(given.init).dtype.kind not in "MO":
        return float(given.valid.shape[1])
    ahead = (_pairing.seconds(given.valid[:1].ravel()) - _pairing.seconds(given.init[:1])) / between
    # Months differ in length: 12 of them are 12 steps, not 12.2.
    return float(np.round(ahead.max()))
