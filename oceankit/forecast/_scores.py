"""Scores of forecasts from sums over pairs: arrays only, so that a bootstrap resamples sums instead of data.

Every score here is a function of sums of weighted terms over the pairs of forecast and truth. :func:`sums` adds the
terms up for each time and group; :func:`finish` makes the scores of any such sums, of one sample or of a thousand
resamples at once.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy.special import ndtr

__all__ = [
    "BINS", "FINE", "Layout", "crps_ensemble", "crps_gaussian", "finish", "probability_above", "reliability", "roc",
    "sums", "unbiased_rates", "with_index",
]  # fmt: skip

BINS = 10
"""Equal bins of forecast probability: reliability, its decomposition, ECE."""
FINE = 200
"""Bins of probability for ROC and thresholds found from the data, fine near 0 and 1."""

_PLAIN = (
    "n",
    "w",
    "e",
    "ee",
    "abs",
    "f",
    "o",
    "ff",
    "oo",
    "fo",
    "aa",
    "bb",
    "ab",
    "crps",
    "var",
    "n_truth",
    "n_forecast",
)
_EVENT = ("wp", "y", "brier", "yes", "hit")
_REFERENCE = ("ref_ee", "ref_abs", "ref_crps", "ref_brier")
_INDEX = ("times", "F", "O", "FF", "OO", "FO")


def crps_gaussian(mean: Any, std: Any, obs: Any) -> np.ndarray:
    """Continuous ranked probability score of a normal distribution, in the units of the observations.

    Where ``std`` is zero it is the absolute error. Gneiting et al. (2005, Monthly Weather Review 133, eq. 5).

    Examples
    --------
    >>> float(crps_gaussian(0.0, 1.0, 0.0).round(4)), float(crps_gaussian(1.0, 0.0, 3.0))
    (0.2337, 2.0)
    """
    mean, std, obs = (np.asarray(v, np.float64) for v in (mean, std, obs))
    error = obs - mean
    with np.errstate(divide="ignore", invalid="ignore"):
        z = error / std
        density = np.exp(-0.5 * z * z) / np.sqrt(2 * np.pi)
        score = std * (z * (2 * ndtr(z) - 1) + 2 * density - 1 / np.sqrt(np.pi))
    return np.asarray(np.where(std == 0, np.abs(error), score))


def crps_ensemble(members: Any, obs: Any, *, fair: bool = True) -> np.ndarray:
    """CRPS of an ensemble along the last axis of ``members``; NaN where a member is missing.

    ``fair``: of the distribution that the members are drawn from (Ferro 2014), so that ensembles of different size
    compare; otherwise of the members as they are. One member gives the absolute error.

    Examples
    --------
    >>> crps_ensemble([[0.0, 2.0]], [1.0]).tolist(), crps_ensemble([[0.0, 2.0]], [1.0], fair=False).tolist()
    ([0.0], [0.5])
    """
    members, obs = np.asarray(members, np.float64), np.asarray(obs, np.float64)
    size = members.shape[-1]
    distance = np.abs(members - obs[..., None]).mean(axis=-1)
    if size == 1:
        return np.asarray(distance)
    ranks = 2.0 * np.arange(size) - size + 1
    pairs = np.sort(members, axis=-1) @ ranks  # the sum of |x_i - x_j| over i < j
    return np.asarray(distance - pairs / (size * (size - 1 if fair else size)))


def probability_above(threshold: Any, mean: Any, std: Any) -> np.ndarray:
    """Probability that a normal value lies above ``threshold``; 0 or 1 where ``std`` is zero.

    Examples
    --------
    >>> probability_above(1.0, [1.0, 2.0], [0.5, 0.0]).tolist()
    [0.5, 1.0]
    """
    threshold, mean, std = (np.asarray(v, np.float64) for v in (threshold, mean, std))
    with np.errstate(divide="ignore", invalid="ignore"):
        p = ndtr((mean - threshold) / std)
    certain = np.where(np.isfinite(mean) & np.isfinite(threshold), (mean > threshold).astype(np.float64), np.nan)
    return np.asarray(np.where(std == 0, certain, p))


class Layout:
    """Where each sum stands along the last axis of an array of sums."""

    def __init__(self, *, event: bool = False, reference: bool = False) -> None:
        self.event, self.reference = event, reference
        self.terms: frozenset[str] = frozenset()
        names = [*_PLAIN, *(_EVENT if event else ()), *(_REFERENCE if reference else ()), *_INDEX]
        self.at = {name: k for k, name in enumerate(names)}
        self.coarse = slice(len(names), len(names) + (3 * BINS if event else 0))
        self.fine = slice(self.coarse.stop, self.coarse.stop + (2 * FINE if event else 0))
        self.size = self.fine.stop

    def get(self, total: np.ndarray, name: str) -> np.ndarray:
        """The sums called ``name``."""
        return total[..., self.at[name]]

    def bins(self, total: np.ndarray) -> np.ndarray:
        """Weight, probability and events of each bin: (..., 3, BINS)."""
        return total[..., self.coarse].reshape(*total.shape[:-1], 3, BINS)

    def fine_bins(self, total: np.ndarray) -> np.ndarray:
        """Weight and events of each fine bin: (..., 2, FINE)."""
        return total[..., self.fine].reshape(*total.shape[:-1], 2, FINE)


def sums(
    obs: np.ndarray,
    *,
    mean: np.ndarray | None = None,
    std: np.ndarray | None = None,
    crps: np.ndarray | None = None,
    climatology: np.ndarray | None = None,
    p: np.ndarray | None = None,
    event: np.ndarray | None = None,
    decision: float = 0.5,
    weights: np.ndarray | float = 1.0,
    reference: Mapping[str, np.ndarray] | None = None,
    time: np.ndarray | None = None,
    times: int | None = None,
    group: np.ndarray | int = 0,
    groups: int = 1,
) -> tuple[np.ndarray, Layout]:
    """Weighted sums of the terms of all scores, for each time and group.

    Parameters
    ----------
    obs
        Truth, any shape; NaN where there is none. All other arrays broadcast to this shape.
    mean, std
        Predicted mean and standard deviation, in the units of ``obs``. ``std`` is that of the spread.
    crps
        CRPS of each pair; where None that of the normal distribution, or the absolute error where ``std`` is None too.
    climatology
        What is normal, for the anomaly correlation.
    p, event
        Probability of the event, and whether it happened: 0 or 1, NaN where unknown.
    decision
        The event counts as forecast where ``p`` reaches this.
    weights
        Weights, not below zero.
    reference
        ``mean``, ``crps`` and ``p`` of another forecast, each optional. Pairs that it lacks are left out.
    time, times
        Row of each pair, and how many rows there are; by default the first axis of ``obs``.
    group, groups
        Group of each pair (below zero: none), and how many groups there are.

    Returns
    -------
    sums : ndarray
        float64 (times, groups, layout.size).
    layout : Layout
    """
    obs = np.asarray(obs, np.float64)
    shape = obs.shape
    if time is None:
        time = np.arange(shape[0]).reshape(-1, *[1] * (len(shape) - 1))
        times = shape[0] if times is None else times
    elif times is None:
        raise ValueError("time= needs times=, the number of rows")
    layout = Layout(event=p is not None, reference=reference is not None)
    terms, have_truth, have_forecast = _terms(obs, mean, std, crps, climatology, p, event, decision, reference)
    layout.terms = frozenset(terms)
    where = np.broadcast_to(time * groups + group, shape)
    inside = np.broadcast_to(np.asarray(group) >= 0, shape)
    used = have_truth & have_forecast & inside
    cells = int(times or 0) * groups

    def added(values: np.ndarray, index: np.ndarray) -> np.ndarray:
        return np.bincount(index, weights=values, minlength=cells)

    out = np.zeros((cells, layout.size))
    index = where[used]
    w = np.broadcast_to(np.asarray(weights, np.float64), shape)[used]
    out[:, layout.at["n"]] = np.bincount(index, minlength=cells)
    out[:, layout.at["w"]] = added(w, index)
    out[:, layout.at["n_truth"]] = np.bincount(where[have_forecast & ~have_truth & inside], minlength=cells)
    out[:, layout.at["n_forecast"]] = np.bincount(where[have_truth & ~have_forecast & inside], minlength=cells)
    for name, values in terms.items():
        out[:, layout.at[name]] = added(w * np.broadcast_to(values, shape)[used], index)
    if p is not None:
        prob, happened = (np.broadcast_to(np.asarray(v, np.float64), shape)[used] for v in (p, event))
        for part, count, taken in (
            (layout.coarse, BINS, np.minimum((prob * BINS).astype(np.int64), BINS - 1)),
            (layout.fine, FINE, np.minimum((_stretched(prob) * FINE).astype(np.int64), FINE - 1)),
        ):
            columns = (np.ones_like(w), prob, happened) if count == BINS else (np.ones_like(w), happened)
            binned = [np.bincount(index * count + taken, w * c, cells * count) for c in columns]
            out[:, part] = np.stack(binned).reshape(len(columns), cells, count).swapaxes(0, 1).reshape(cells, -1)
    return out.reshape(int(times or 0), groups, layout.size), layout


def _terms(
    obs: np.ndarray, mean: Any, std: Any, crps: Any, climatology: Any, p: Any, event: Any, decision: float,
    reference: Mapping[str, np.ndarray] | None,
) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:  # fmt: skip
    """What is summed, and where truth and forecast are known."""
    shape = obs.shape
    truth = np.isfinite(obs) if event is None else np.isfinite(np.broadcast_to(event, shape))
    known = np.ones(shape, bool)
    terms: dict[str, np.ndarray] = {}
    if mean is not None:
        truth = truth & np.isfinite(obs)
        mean = np.asarray(mean, np.float64)
        error = mean - obs
        terms |= {"e": error, "ee": error * error, "abs": np.abs(error), "f": mean, "o": obs, "ff": mean * mean,
                  "oo": obs * obs, "fo": mean * obs}  # fmt: skip
        if std is not None:
            terms["var"] = np.asarray(std, np.float64) ** 2
        if crps is None:
            crps = np.abs(error) if std is None else crps_gaussian(mean, std, obs)
        terms["crps"] = crps
        if climatology is not None:
            a, b = mean - climatology, obs - climatology
            terms |= {"aa": a * a, "bb": b * b, "ab": a * b}
            truth = truth & np.isfinite(np.broadcast_to(climatology, shape))
        known &= np.isfinite(mean) if std is None else np.isfinite(mean) & np.isfinite(std)
    if p is not None:
        p = np.asarray(p, np.float64)
        yes = (p >= decision).astype(np.float64)
        terms |= {"wp": p, "y": event, "brier": (p - event) ** 2, "yes": yes, "hit": yes * event}
        known &= np.isfinite(p)
    for name, own in () if reference is None else reference.items():
        known &= np.isfinite(own)
        if name == "mean":
            terms |= {"ref_ee": (own - obs) ** 2, "ref_abs": np.abs(own - obs)}
        elif name == "p":
            terms["ref_brier"] = (own - event) ** 2
        elif name == "crps":
            terms["ref_crps"] = own
    if reference is not None and "crps" not in reference and "ref_abs" in terms:
        terms["ref_crps"] = terms["ref_abs"]
    # A CRPS is missing where the truth is: that is no fault of the reference.
    if reference is not None and "crps" in reference:
        known = known | (~truth & (np.isfinite(mean) if mean is not None else True))
    return terms, np.broadcast_to(truth, shape), np.broadcast_to(known, shape)


def _stretched(p: np.ndarray) -> np.ndarray:
    return 2 / np.pi * np.arcsin(np.sqrt(np.clip(p, 0.0, 1.0)))


def with_index(per_time: np.ndarray, layout: Layout) -> np.ndarray:
    """Add, in place, the sums behind the correlation of the groups' means over time, such as that of Nino3.4."""
    weight = layout.get(per_time, "w")
    there = weight > 0
    with np.errstate(invalid="ignore", divide="ignore"):
        f, o = (np.where(there, layout.get(per_time, name) / weight, 0.0) for name in ("f", "o"))
    for name, values in zip(_INDEX, (there, f, o, f * f, o * o, f * o), strict=True):
        per_time[..., layout.at[name]] = values
    return per_time


# ---- from sums to scores ----------------------------------------------------------------------------------------------


def finish(
    total: np.ndarray, layout: Layout, *, rate: float | None = None, unbiased: bool = False, inflate: float = 1.0
) -> dict[str, np.ndarray]:
    """Scores of sums (..., layout.size): each of shape (...), NaN where they are not defined.

    Parameters
    ----------
    total
        Sums over times of what :func:`sums` returns.
    rate
        Nominal rate of the event, for ``bss``.
    unbiased
        Take the decision threshold that forecasts the event as often as it happens, instead of that of :func:`sums`.
    inflate
        What the spread is multiplied by before it is held against the error: sqrt((m + 1) / m) for m members.
    """

    def get(name: str) -> np.ndarray:
        return layout.get(total, name)

    with np.errstate(invalid="ignore", divide="ignore"):
        w = np.where(get("w") > 0, get("w"), np.nan)
        mean = {name: get(name) / w for name in layout.terms}
        out: dict[str, np.ndarray] = {}
        if "ee" in mean:
            out |= _continuous(mean, inflate)
            t = np.where(get("times") > 2, get("times"), np.nan)
            out["index_corr"] = _correlation(*(get(name) / t for name in _INDEX[1:]))
        if "ee" in mean and "ref_ee" in mean:
            out["rmse_gain"] = np.sqrt(mean["ref_ee"]) - out["rmse"]
            out["rmse_skill"] = 1 - out["rmse"] / np.sqrt(mean["ref_ee"])
        if "ee" in mean and "ref_crps" in mean:
            out["crps_gain"] = mean["ref_crps"] - out["crps"]
            out["crps_skill"] = 1 - out["crps"] / mean["ref_crps"]
        if layout.event:
            out |= _event(total, layout, mean, rate, unbiased)
    return out


def _continuous(mean: Mapping[str, np.ndarray], inflate: float) -> dict[str, np.ndarray]:
    rmse = np.sqrt(mean["ee"])
    out = {
        "bias": mean["e"],
        "rmse": rmse,
        "mae": mean["abs"],
        "crps": mean["crps"],
        "corr": _correlation(mean["f"], mean["o"], mean["ff"], mean["oo"], mean["fo"]),
    }
    if "ab" in mean:
        out["acc"] = mean["ab"] / np.sqrt(mean["aa"] * mean["bb"])
    if "var" in mean:
        spread = np.sqrt(mean["var"])
        out |= {"spread": spread, "spread_skill": spread * inflate / rmse}
    return out


def _correlation(f: Any, o: Any, ff: Any, oo: Any, fo: Any) -> np.ndarray:
    vf, vo = ff - f * f, oo - o * o
    # Below this a variance is rounding error of a constant.
    constant = (vf <= 1e-13 * ff) | (vo <= 1e-13 * oo)
    return np.where(constant, np.nan, (fo - f * o) / np.sqrt(np.where(constant, np.nan, vf * vo)))


def _event(
    total: np.ndarray, layout: Layout, mean: Mapping[str, np.ndarray], rate: float | None, unbiased: bool
) -> dict[str, np.ndarray]:
    base, brier = mean["y"], mean["brier"]
    uncertainty = base * (1 - base)
    out = {"base_rate": base, "mean_probability": mean["wp"], "brier": brier}
    out["bss_vs_observed_rate"] = 1 - brier / uncertainty
    if rate is not None:
        out["bss"] = 1 - brier / (uncertainty + (base - rate) ** 2)
    if "ref_brier" in mean:
        out["bss_vs_reference"] = 1 - brier / mean["ref_brier"]
        out["brier_gain"] = mean["ref_brier"] - brier
    weight, prob, happened = np.moveaxis(layout.bins(total), -2, 0)
    share = weight / weight.sum(axis=-1, keepdims=True)
    filled = weight > 0
    gap = np.where(filled, (prob - happened) / np.where(filled, weight, 1.0), 0.0)
    away = np.where(filled, happened / np.where(filled, weight, 1.0) - base[..., None], 0.0)
    out["reliability"], out["resolution"] = (share * gap**2).sum(axis=-1), (share * away**2).sum(axis=-1)
    out["uncertainty"], out["ece"] = uncertainty, (share * np.abs(gap)).sum(axis=-1)
    hits, falses = roc(total, layout)
    out["auc"] = (np.diff(falses, axis=-1) * (hits[..., 1:] + hits[..., :-1]) / 2).sum(axis=-1)
    if unbiased:
        hit_rate, false_rate = unbiased_rates(hits, falses, base)
    else:
        hit_rate, false_rate = mean["hit"] / base, (mean["yes"] - mean["hit"]) / (1 - base)
    return out | contingency(hit_rate, false_rate, base)


def contingency(hit_rate: np.ndarray, false_rate: np.ndarray, base: np.ndarray) -> dict[str, np.ndarray]:
    """Scores of the two-by-two table: SEDI after Ferro and Stephenson (2011, eq. 2), ETS after Gilbert (1884)."""
    H, F = hit_rate, false_rate
    hit, false = H * base, F * (1 - base)
    chance = base * (hit + false)
    inner = (H > 0) & (H < 1) & (F > 0) & (F < 1)
    h, f = np.where(inner, H, 0.5), np.where(inner, F, 0.25)
    top = np.log(f) - np.log(h) - np.log1p(-f) + np.log1p(-h)
    sedi = np.where(inner, top / (np.log(f) + np.log(h) + np.log1p(-f) + np.log1p(-h)), np.nan)
    return {
        "sedi": sedi,
        "ets": (hit - chance) / (base + false - chance),
        "hit_rate": H,
        "false_alarm_rate": F,
        "false_alarm_ratio": false / np.where(hit + false > 0, hit + false, np.nan),
        "frequency_bias": (hit + false) / base,
    }


def roc(total: np.ndarray, layout: Layout) -> tuple[np.ndarray, np.ndarray]:
    """Hit rates and false-alarm rates (..., FINE + 1) as the threshold falls from above 1 to 0."""
    weight, happened = np.moveaxis(layout.fine_bins(total), -2, 0)
    out = []
    for counted in (happened, weight - happened):
        above = np.cumsum(counted[..., ::-1], axis=-1)
        with np.errstate(invalid="ignore", divide="ignore"):
            rates = above / above[..., -1:]
        out.append(np.concatenate([np.where(np.isfinite(rates[..., :1]), 0.0, np.nan), rates], axis=-1))
    return out[0], out[1]


def unbiased_rates(hits: np.ndarray, falses: np.ndarray, base: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Hit and false-alarm rate where the event is forecast as often as it happens: where the ROC crosses that line."""
    said = hits * base[..., None] + falses * (1 - base[..., None])
    k = np.clip((said < base[..., None]).sum(axis=-1), 1, hits.shape[-1] - 1)[..., None]

    def at(values: np.ndarray, place: np.ndarray) -> np.ndarray:
        return np.take_along_axis(values, place, axis=-1)[..., 0]

    low, high = at(said, k - 1), at(said, k)
    share = np.where(high > low, (base - low) / np.where(high > low, high - low, 1.0), 0.0)
    first, second = (at(v, k - 1) + share * (at(v, k) - at(v, k - 1)) for v in (hits, falses))
    return first, second


def reliability(total: np.ndarray, layout: Layout) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of each bin: mean probability, observed frequency (NaN where empty) and share of all pairs, (..., BINS)."""
    weight, prob, happened = np.moveaxis(layout.bins(total), -2, 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return prob / weight, happened / weight, weight / weight.sum(axis=-1, keepdims=True)
