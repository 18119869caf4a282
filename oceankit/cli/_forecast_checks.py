"""What can be wrong with `forecast` before anything is computed: its keys, its periods, its model."""

from typing import Any

import numpy as np
import xarray as xr

from oceankit.cli._checking import Step
from oceankit.cli.forecasting import loaded, model_of, needs_torch
from oceankit.cli.inputs import Input, ProblemError, narrowed
from oceankit.cli.selecting import at_time, time_dim
from oceankit.forecast import baselines

__all__ = ["SAVED", "check_forecast"]

SAVED = ("save", "save_hindcast", "save_scores", "save_model")
_OF_NETWORKS = ("local", "event_percentile", "event_threshold", "seed", "epochs", "save_model")
_OF_TRAINING = ("leads", "method", "climatology", "local", "event_percentile", "event_threshold", "seed", "epochs")


def check_forecast(step: Step, data: Input | None) -> None:
    """All of it; ``data`` is the input on its levels."""
    spec = step.step["forecast"]
    if spec is None or not step.clean("forecast"):
        return
    _check_keys(step, spec)
    times = None if data is None else _check_times(step, spec, data)
    if not step.clean("forecast"):
        return
    if spec["model"] is None:
        _check_fit(step, spec, None if times is None else times["train"])
        return
    model = step.attempt(("forecast", "model"), lambda: loaded(spec["model"], step.run.folder))
    if model is not None and times is not None and spec["history"] is not None:
        assert data is not None  # it has the times
        like = _one_cell(times["history"]).assign_attrs(data.field.attrs)
        step.attempt(("forecast", "history"), lambda: model.localise(like))


def _check_keys(step: Step, spec: dict[str, Any]) -> None:
    """Keys that do not go together, and those that others need."""
    if not any(spec[k] for k in SAVED):
        step.wrong(("forecast",), f"writes nothing; give it {', '.join(map(repr, SAVED[:-1]))} or {SAVED[-1]!r}")
    for key in ("save_hindcast", "save_scores"):
        if spec[key] is not None and spec["hindcast"] is None:
            step.wrong(("forecast", key), "needs 'hindcast', the first and last start of the forecasts to be scored")
    if spec["model"] is not None:
        for key in _OF_TRAINING:
            if step.given("forecast", key):
                step.wrong(("forecast", key), "is of the training, and a 'model' is trained; leave it out")
    else:
        if spec["leads"] is None:
            step.wrong(("forecast",), "'leads' is missing: steps ahead, for example [1, 3, 6]")
        if spec["history"] is not None:
            step.wrong(("forecast", "history"), "is for 'model'; 'train' is what is fitted to: leave it out")
        for key in _OF_NETWORKS:
            if step.given("forecast", key) and not needs_torch(spec):
                step.wrong(("forecast", key), f"is for 'forecaster', not for {spec['method']!r}; leave it out")
    if spec["event_percentile"] is not None and spec["event_threshold"] is not None:
        step.wrong(("forecast", "event_threshold"), "is given beside 'event_percentile'; leave one of them out")
    if step.step["assimilate"] is not None:
        step.wrong(("forecast",), "needs a record in time, and 'assimilate' makes one field; give it a step of its own")


def _check_times(step: Step, spec: dict[str, Any], data: Input) -> dict[str, xr.DataArray] | None:
    """The times of each period, if they are there and in order."""
    name = time_dim(data.field)
    if name is None or data.field.sizes[name] < 2:
        step.wrong(("forecast",), f"needs a field along time; {data.variable!r} has {dict(data.field.sizes)}")
        return None
    found: dict[str, xr.DataArray] = {}
    for key in ("train", "climatology", "history", "hindcast"):
        if spec[key] is not None:
            try:
                found[key] = narrowed(data, name, spec[key]).field[name]
            except ProblemError as problem:
                step.wrong(("forecast", key), str(problem))
    if spec["start"] is not None:
        begun = step.attempt(("forecast", "start"), lambda: at_time(data.field, spec["start"]))
        if begun is not None:
            found["start"] = begun[name].expand_dims(name)
    if not step.clean("forecast"):
        return None
    learnt = "train" if spec["model"] is None else "history"
    if learnt in found:
        _check_order(step, found, learnt)
    return found


def _check_order(step: Step, found: dict[str, xr.DataArray], learnt: str) -> None:
    """Nothing that is forecast may have been learnt from."""
    first, last = found[learnt].values[[0, -1]]
    if (
        "climatology" in found
        and not first <= found["climatology"].values[0] <= found["climatology"].values[-1] <= last
    ):
        step.wrong(("forecast", "climatology"), f"reaches beyond {learnt!r}; take a part of it")
    if "start" in found and found["start"].values[0] < last:
        step.wrong(
            ("forecast", "start"),
            f"lies before {learnt!r} ends ({str(last)[:10]}), which knows what came after; start later",
        )
    if "hindcast" in found and found["hindcast"].values[0] <= last:
        step.wrong(
            ("forecast", "hindcast"),
            f"begins before {learnt!r} ends ({str(last)[:10]}); what was learnt from scores nothing",
        )


def _check_fit(step: Step, spec: dict[str, Any], times: xr.DataArray | None) -> None:
    """Whether there is such a model, and the record is long and regular enough for its leads: with one made-up cell."""
    model = step.attempt(("forecast", "method"), lambda: model_of(spec))
    if model is None or times is None:
        return
    if needs_torch(spec):  # the linear part of it; training would take too long
        model = baselines.SeasonalRidge(leads=spec["leads"], climatology=spec["climatology"])
    step.attempt(("forecast", "train"), lambda: model.fit(_one_cell(times)))


def _one_cell(times: xr.DataArray) -> xr.DataArray:
    values = np.random.default_rng(0).standard_normal((times.size, 1))
    return xr.DataArray(
        values, dims=(*times.dims, "cell"), coords={times.name: times.reset_coords(drop=True)}, name="made_up"
    )
