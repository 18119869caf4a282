"""The section of the run file that forecasts."""

from typing import Any

from oceankit.cli._choices import FORECASTERS
from oceankit.cli._types import Choice, Date, Flag, Key, Number, Path, Section, Several

__all__ = ["FORECAST"]

_period = Several(Date(), (2, 2))


def _rising(leads: Any) -> str | None:
    return None if sorted(set(leads)) == leads else f"is {leads}; each must be greater than the one before"


FORECAST = Section(
    "forecast",
    "What the field will do, with its spread and, from a `forecaster`, the probability of an event: by a model that is "
    "fitted to a part of the record (`train`), or one that was trained before (`model`). It looks at the field before "
    "`anomalies`, and counts leads in steps of its time axis. See [the guide](forecast.md). What is asked for with `save` "
    "and its kin is written; `product` and the figures stay those of the field.",
    {
        "train": Key(_period, "first and last date to fit to"),
        "leads": Key(
            Several(Number(least=1, whole=True), alone=True),
            "steps ahead, for example `[1, 3, 6]`; needed with `train`, and a `model` has its own",
            check=_rising,
        ),
        "method": Key(
            Choice(FORECASTERS),
            "`forecaster` is the linear base with its network; the others are what it has to beat, and need no torch "
            "(`forecaster` if left out)",
        ),
        "climatology": Key(_period, "first and last date that the seasonal mean is taken from; by default `train`"),
        "local": Key(Flag(), "each cell for itself; such a model serves other places (`forecaster`; false if left out)"),
        "event_percentile": Key(
            Number(above=0, most=99.999),
            "the event lies above this percentile of `train` for the time of the year (`forecaster`; 90 if left out)",
        ),
        "event_threshold": Key(Number(), "the event lies above this instead, in the field's units (`forecaster`)"),
        "seed": Key(Number(least=0, whole=True), "of the training (`forecaster`; 0 if left out)"),
        "epochs": Key(Number(least=1, whole=True), "of the training, at most (`forecaster`; 12 if left out)"),
        "model": Key(
            Path(), "a file that `save_model` wrote, or the name of a forecaster that comes with oceankit: `sst_daily`, "
            "`surge_hourly`",
        ),
        "history": Key(
            _period,
            "first and last date, three years at least, that make a local `model` one of these cells; left out for a model "
            "that was trained on them",
        ),
        "start": Key(Date(), "the time it starts from; by default the last one. Nothing after it is looked at"),
        "hindcast": Key(
            _period,
            "first and last start of forecasts of the past, each from what was known then, to be scored; after `train` and "
            "`history`",
        ),
        "save": Key(
            Path((".nc", ".zarr"), output=True),
            "write the forecast from `start`: `mean`, `std` and, of a `forecaster`, `p_event` with its `threshold`",
        ),
        "save_hindcast": Key(Path((".nc", ".zarr"), output=True), "write the forecasts of `hindcast`"),
        "save_scores": Key(
            Path((".nc", ".zarr"), output=True),
            "write their scores by lead, with intervals; gains are over damped persistence where there is `train` or `history`",
        ),
        "save_model": Key(Path((".safetensors",), output=True), "write the model, for `model` (`forecaster`)"),
    },
    one_of=(("train",), ("model",)),
)  # fmt: skip
