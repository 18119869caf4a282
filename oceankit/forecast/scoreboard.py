"""All forecasters side by side, on a period that none of them has seen."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import xarray as xr

from oceankit.forecast import baselines
from oceankit.forecast._bootstrap import default_block, interval, resamples
from oceankit.forecast._events import Threshold, fit_threshold, probability
from oceankit.forecast._model import Model, check_leads
from oceankit.forecast._record import Layout, Record, as_period, base_rows, read
from oceankit.forecast._scores import crps_gaussian, finish, sums, with_index
from oceankit.forecast._season import fit_season
from oceankit.forecast._steps import text

__all__ = ["scoreboard"]

_KINDS: dict[str, type[Model]] = {
    "climatology": baselines.Climatology,
    "persistence": baselines.Persistence,
    "damped_persistence": baselines.DampedPersistence,
    "lim": baselines.LIM,
    "ridge": baselines.SeasonalRidge,
    "blend": baselines.Blend,
}
_OURS = ("forecaster_zero", "forecaster")
_SCORES = {
    "rmse": "root mean square error",
    "acc": "anomaly correlation",
    "crps": "continuous ranked probability score",
    "bss": "Brier skill score against the nominal rate",
    "bss_vs_observed_rate": "Brier skill score against the observed rate",
    "sedi": "symmetric extremal dependence index",
    "auc": "area under the ROC curve",
    "ece": "expected calibration error",
    "nino34_corr": "correlation of Nino3.4",
}
_BLOCK = 2**21


def scoreboard(
    data: xr.DataArray | xr.Dataset,
    *,
    train: Any,
    test: Any,
    leads: Sequence[int],
    climatology: Any = None,
    models: Sequence[str | Model] | Mapping[str, Model] | None = None,
    seeds: int = 5,
    event_percentile: float = 90.0,
    event_threshold: float | None = None,
    intervals: float | None = 0.95,
    n_boot: int = 1000,
    rng: Any = 0,
    **options: Any,
) -> xr.Dataset:
    """Fit every forecaster to ``train`` and score it on ``test``.

    Parameters
    ----------
    data
        Field along ``time``, raw or anomalies.
    train, test
        First and last date of each, as ``("1900", "1999")``; the test begins after the training ends.
    leads
        Steps ahead.
    climatology
        First and last date of the years that anomalies refer to; by default those of ``train``.
    models
        Names (by default all): climatology, persistence, damped_persistence, lim, ridge, blend, forecaster_zero,
        forecaster; or forecasters of your own, which are fitted too.
    seeds
        The forecaster's network is trained with so many seeds; its scores are those of the mean over them.
    event_percentile, event_threshold
        The event: above this percentile of the training period for the time of the year, or a fixed threshold.
    intervals, n_boot, rng
        Share inside the intervals, number of resamples of blocks of starts, random numbers.
    options
        Handed on to ``Forecaster``, such as ``local``, ``epochs``, ``device``.

    Returns
    -------
    Dataset
        Over (model, lead): rmse, acc, crps, bss (against the nominal rate), bss_vs_observed_rate, sedi (at the
        threshold where the event is forecast as often as it happens), auc, ece, nino34_corr where the data cover it,
        each with ``_low`` and ``_high``. ``crps_gain`` is that of the forecaster over ``forecaster_zero``, the same
        without the network (positive: the network helps), with its interval; ``kept_mean`` and ``kept_spread`` are the
        shares of the network's correction that were kept (mean over seeds). Starts are those whose history and targets
        lie in the test period, the same for all models and leads; scores are weighted by area.

    Raises
    ------
    ValueError
        For a test that overlaps the training or is too short, and unknown names of models.
    """
    leads = check_leads(leads)
    if not isinstance(seeds, int | np.integer) or seeds < 1:
        raise ValueError(f"seeds must be a whole number from 1 on, got {seeds!r}")
    if not 0 < event_percentile < 100:
        raise ValueError(f"event_percentile must lie between 0 and 100, got {event_percentile!r}")
    chosen = _chosen(models, leads, climatology)
    whole = read(data, what="data")
    rows = as_period(train, whole.axis, what="train")
    after = as_period(test, whole.axis, what="test")
    if after[0] <= rows[-1]:
        raise ValueError(
            f"test begins at {text(whole.axis.times[after[0]])}, before train ends at {text(whole.axis.times[rows[-1]])}"
        )
    years = base_rows(climatology, whole.axis, rows)
    if years[-1] > rows[-1]:
        raise ValueError(f"climatology={climatology!r} reaches beyond train={train!r}; it would know the test")
    name = whole.layout.time
    # Which cells are sea is known from the training period alone.
    layout = read(data.isel({name: slice(int(rows[0]), int(rows[-1]) + 1)})).layout
    record = read(data, like=layout, axis=whole.axis, what="data")
    fitted, kept = _fitted(
        chosen,
        record,
        rows,
        leads,
        climatology,
        seeds,
        {**options, "event_percentile": event_percentile, "event_threshold": event_threshold},
    )
    reach = max(model.reach for many in fitted.values() for model in many)
    starts = after[reach : max(len(after) - max(leads), 0)]
    if len(starts) < 3:
        raise ValueError(
            f"test has {len(after)} steps, too few for {reach} steps of history and a lead of {max(leads)}; "
            "test on more, or forecast less far"
        )
    season = fit_season(record.values, record.axis, years)
    threshold = (
        Threshold(np.full((1, layout.cells), float(event_threshold)), record.axis.step)
        if event_threshold is not None
        else fit_threshold(record.values, record.axis, rows, season, event_percentile)
    )
    rate = 1 - event_percentile / 100
    box = _nino34(layout)
    tables: dict[str, dict[str, np.ndarray]] = {}
    counts = None
    if intervals is not None:
        counts = resamples(len(starts), block=default_block(len(starts), max(leads)), n_boot=n_boot, rng=rng)
    for label, many in fitted.items():
        zero = fitted["forecaster_zero"][0] if label == "forecaster" and chosen[label] is None else None
        tables[label] = _scores(many, zero, record, starts, season, threshold, rate, box, counts, intervals)
    return _dataset(tables, leads, kept, starts, record, seeds, event_threshold, event_percentile)


def _chosen(models: Any, leads: tuple[int, ...], climatology: Any) -> dict[str, Model | None]:
    if models is None:
        models = [*_KINDS, *_OURS]
    if isinstance(models, str | Model):
        models = [models]
    items = (
        list(models.items())
        if isinstance(models, Mapping)
        else [(m if isinstance(m, str) else m.name, m) for m in models]
    )
    out: dict[str, Model | None] = {}
    if not items:
        raise ValueError("models is empty; name at least one forecaster, or leave it out for all of them")
    for label, model in items:
        if label in out:
            raise ValueError(f"models has {label!r} twice; pass a mapping from names of your own to forecasters")
        if isinstance(model, Model):
            if model.leads != leads:
                raise ValueError(f"model {label!r} forecasts leads {model.leads}, the scoreboard {leads}")
            out[label] = model
        elif model in _KINDS:
            out[label] = _KINDS[model](leads=leads, climatology=climatology)
        elif model in _OURS:
            out[label] = None
        else:
            raise ValueError(f"models has {model!r}; known are {', '.join([*_KINDS, *_OURS])}, or a forecaster")
    return out


def _fitted(
    chosen: dict[str, Model | None],
    record: Record,
    rows: np.ndarray,
    leads: tuple[int, ...],
    climatology: Any,
    seeds: int,
    options: dict[str, Any],
) -> tuple[dict[str, list[Model]], np.ndarray]:
    out: dict[str, list[Model]] = {}
    kept = np.full((len(leads), 2), np.nan)
    ours: list[Any] = []
    if any(model is None for model in chosen.values()):
        from oceankit.forecast.forecaster import Forecaster

        first = Forecaster(leads=leads, climatology=climatology, **options)
        first._fit_base(record, rows)
        for k in range(seeds if "forecaster" in chosen else 1):
            one = copy.copy(first)
            one._inputs = copy.copy(first._inputs)
            one.settings = replace(first.settings, seed=first.settings.seed + k)
            one._fit_network(None)
            ours.append(one)
        kept = np.mean([one._shares for one in ours], axis=0)
    for label, model in chosen.items():
        if model is not None:
            model._fit_record(record, rows)
            out[label] = [model]
        elif label == "forecaster":
            out.setdefault("forecaster_zero", [ours[0].without_network()])
            out[label] = ours
        else:
            out[label] = [ours[0].without_network()]
    return out, kept


def _scores(
    many: list[Model],
    zero: Model | None,
    record: Record,
    starts: np.ndarray,
    season: Any,
    threshold: Threshold,
    rate: float,
    box: np.ndarray | None,
    counts: np.ndarray | None,
    level: float | None,
) -> dict[str, np.ndarray]:
    """Scores of one forecaster (of the mean over seeds), by lead."""
    weights = record.layout.weights
    leads = many[0].leads
    total: Any = None
    index: Any = None
    size = max(1, _BLOCK // (record.layout.cells * len(leads)))
    for model in many:
        past = model._past(record)
        for begin in range(0, len(starts), size):
            rows = starts[begin : begin + size]
            block = model._block(past, record.axis, rows, None)
            other = None if zero is None else zero._block(past, record.axis, rows, None)
            for i, lead in enumerate(leads):
                valid = record.axis.valid(rows, lead)
                truth, limit = record.values[rows + lead], threshold.at(valid)
                mean, std = block["mean"][:, i], block["std"][:, i]
                p = block["p_event"][:, i] if "p_event" in block else probability(mean, std, limit)
                reference = None
                if other is not None:
                    reference = {"crps": crps_gaussian(other["mean"][:, i], other["std"][:, i], truth)}
                common: dict[str, Any] = {
                    "mean": mean,
                    "std": std,
                    "climatology": season.at(valid),
                    "p": p,
                    "event": np.where(np.isfinite(truth), truth > limit, np.nan),
                    "reference": reference,
                }
                part, layout = sums(truth, weights=weights, **common)
                if total is None:
                    total = np.zeros((len(starts), len(leads), part.shape[2]))
                    index = np.zeros_like(total)
                total[begin : begin + size, i] += part[:, 0] / len(many)
                if box is not None:
                    inside, _ = sums(truth, weights=weights * box, **common)
                    index[begin : begin + size, i] += inside[:, 0] / len(many)

    def finished(added: np.ndarray) -> dict[str, np.ndarray]:
        return finish(added, layout, rate=rate, unbiased=True)

    parts = [(total, finished)]
    if box is not None:
        with_index(index, layout)
        parts.append((index, lambda added: {"nino34_corr": finish(added, layout)["index_corr"]}))
    out: dict[str, np.ndarray] = {}
    for per_time, scores in parts:
        out |= scores(per_time.sum(axis=0))
        if counts is not None and level is not None:
            for name, (low, high) in interval(per_time, scores, counts, level=level).items():
                out[f"{name}_low"], out[f"{name}_high"] = low, high
    return out


def _nino34(layout: Layout) -> np.ndarray | None:
    """Cells of Nino3.4 (5S-5N, 170W-120W), or None where the grid does not span it."""
    names = {str(k).lower(): c for k, c in layout.coords.items()}
    lat = next((names[n] for n in ("lat", "latitude") if n in names), None)
    lon = next((names[n] for n in ("lon", "longitude") if n in names), None)
    if lat is None or lon is None or len(layout.shape) != 2 or lat.ndim != 1 or lon.ndim != 1:
        return None
    y, x = lat.values.astype(float), lon.values.astype(float) % 360
    if y.min() > -4 or y.max() < 4 or x.min() > 195 or x.max() < 235:
        return None
    north, east = xr.DataArray(y, dims=lat.dims), xr.DataArray(x, dims=lon.dims)
    wide: xr.DataArray = (abs(north) <= 5) & (east >= 190) & (east <= 240)
    box = np.asarray(wide.transpose(*layout.dims).values).reshape(-1)[layout.sea]
    return box if box.any() else None


def _dataset(
    tables: dict[str, dict[str, np.ndarray]],
    leads: tuple[int, ...],
    kept: np.ndarray,
    starts: np.ndarray,
    record: Record,
    seeds: int,
    event_threshold: float | None,
    event_percentile: float,
) -> xr.Dataset:
    axis, layout = record.axis, record.layout
    units = {"units": layout.attrs["units"]} if "units" in layout.attrs else {}
    out = xr.Dataset(
        coords={
            "model": list(tables),
            "lead": (
                "lead",
                list(leads),
                {"long_name": f"lead in steps of {axis.step.label}", "units": axis.step.units},
            ),
        }
    )
    for name, words in {
        **_SCORES,
        "base_rate": "observed rate of the event",
        "spread_skill": "spread over error",
    }.items():
        for ending in ("", "_low", "_high"):
            if any(name + ending in table for table in tables.values()):
                none = np.full(len(leads), np.nan)
                values = np.stack([table.get(name + ending, none) for table in tables.values()])
                attrs = {"long_name": words + {"": "", "_low": ", low end", "_high": ", high end"}[ending]}
                out[name + ending] = (("model", "lead"), values, attrs | (units if name in ("rmse", "crps") else {}))
    if "forecaster" in tables:
        for ending in ("", "_low", "_high"):
            if "crps_gain" + ending in tables["forecaster"]:
                out["crps_gain" + ending] = (
                    "lead",
                    tables["forecaster"]["crps_gain" + ending],
                    {"long_name": "CRPS that the network saves", **units},
                )
    if np.isfinite(kept).all():
        out["kept_mean"] = ("lead", kept[:, 0], {"long_name": "share kept of the network's correction of the mean"})
        out["kept_spread"] = ("lead", kept[:, 1], {"long_name": "share kept of the network's correction of the spread"})
    event = (
        f"above {event_threshold:g}"
        if event_threshold is not None
        else f"above the {event_percentile:g}th percentile of the training"
    )
    out.attrs = {
        "event": event,
        "starts": len(starts),
        "first_start": text(axis.times[starts[0]]),
        "last_start": text(axis.times[starts[-1]]),
        "seeds": seeds,
        "step": axis.step.label,
    }
    return out
