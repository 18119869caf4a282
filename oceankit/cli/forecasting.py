"""The stage `forecast`: a model that is fitted or trained before, its forecast, and how well it did in the past."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import xarray as xr

from oceankit._extras import require
from oceankit.cli._choices import PRETRAINED
from oceankit.cli.places import PlaceError, found
from oceankit.cli.selecting import at_time, time_dim
from oceankit.cli.words import date_of, unit_of
from oceankit.cli.work import Forecasts, Work
from oceankit.forecast import baselines, verify

__all__ = ["loaded", "make_forecast", "model_of", "needs_torch", "stored_at"]

_OPTIONS = ("local", "event_percentile", "event_threshold", "seed", "epochs")
_BASELINES = {
    kind.name: kind
    for kind in (
        baselines.Climatology, baselines.Persistence, baselines.DampedPersistence, baselines.LIM, baselines.SeasonalRidge,
        baselines.Blend,
    )
}  # fmt: skip


def needs_torch(spec: Mapping[str, Any]) -> bool:
    """Whether the model that `forecast` describes is a network."""
    return spec["model"] is not None or spec["method"] in (None, "forecaster")


def model_of(spec: Mapping[str, Any]) -> Any:
    """The forecaster to be fitted.

    Raises
    ------
    MissingExtraError
        For the method `forecaster` without torch.
    """
    common = {"leads": spec["leads"], "climatology": spec["climatology"]}
    if not needs_torch(spec):
        return _BASELINES[spec["method"]](**common)
    require("torch", extra="forecast", purpose="the method 'forecaster'")
    from oceankit.forecast import Forecaster

    return Forecaster(**common, **{k: spec[k] for k in _OPTIONS if spec[k] is not None})


def stored_at(name: str, folder: Path) -> str | None:
    """The file of a trained model; None for one that comes with the package.

    Raises
    ------
    PlaceError
        If it is neither.
    """
    if name in PRETRAINED:
        return None
    try:
        return found(name, folder)[0]
    except PlaceError as error:
        raise PlaceError(f"{error}, or name one that comes with oceankit: {', '.join(PRETRAINED)}") from error


def loaded(name: str, folder: Path) -> Any:
    """A trained forecaster.

    Raises
    ------
    ValueError
        If there is none, or the file is no model or was changed; MissingExtraError without torch.
    """
    path = stored_at(name, folder)
    require("torch", extra="forecast", purpose=f"the model {name!r}")
    from oceankit.forecast import Forecaster, pretrained

    return pretrained(name) if path is None else Forecaster.load(path)


def make_forecast(work: Work) -> str:
    """Fit or load the model, forecast from the last time or `start`, and score the past where that is asked for."""
    spec = work.step["forecast"]
    field = work.shown("field").compute()  # every model reads it whole
    time = time_dim(field)
    assert time is not None  # the run file was checked
    learnt = spec["train"] or spec["history"]
    base = None if learnt is None else field.sel({time: slice(*learnt)})
    if spec["model"] is None:
        model = model_of(spec).fit(base)
    else:
        model = loaded(spec["model"], work.folder)
        path = stored_at(spec["model"], work.folder)
        work.sources += [] if path is None else [path]
        model = model if base is None else model.localise(base)
    known = field
    if spec["start"] is not None:
        known = field.sel({time: slice(None, at_time(field, spec["start"])[time].values)})
    work.forecasts = Forecasts(model, model.predict(known))
    if spec["hindcast"] is not None:
        past = model.hindcast(field, period=tuple(spec["hindcast"]))
        work.forecasts.hindcast, work.forecasts.scores = past, _scores(model, past, field, base, spec)
    return _told(work, work.forecasts, spec)


def _scores(
    model: Any, past: xr.Dataset, field: xr.DataArray, base: xr.DataArray | None, spec: Mapping[str, Any]
) -> Any:
    """Scores by lead; anomalies and gains are told where there is a period to learn climatology and persistence from."""
    name = str(time_dim(field))
    options: dict[str, Any] = {}
    if base is not None:
        common = {"leads": model.leads, "climatology": spec["climatology"]}
        period = tuple(spec["hindcast"])
        normal = baselines.Climatology(**common).fit(base).hindcast(field, period=period)
        options["climatology"] = _by_time(normal["mean"], name)
        options["reference"] = baselines.DampedPersistence(**common).fit(base).hindcast(field, period=period)
    if "threshold" in past:
        options["event"] = _by_time(past["threshold"], name)
        options["rate"] = None if model.event_threshold is not None else 1 - model.event_percentile / 100
    scores = verify(past, field, **options)
    if base is not None:
        scores.attrs["reference"] = baselines.DampedPersistence.name
    return scores


def _by_time(values: xr.DataArray, name: str) -> xr.DataArray:
    """What each start and lead say of a time, which is the same for all of them, along time."""
    flat = values.stack({name: ("init_time", "lead_time")}, create_index=False)
    dated = flat.assign_coords({name: flat["valid_time"].variable}).drop_vars(["init_time", "lead_time", "valid_time"])
    return dated.drop_duplicates(name).sortby(name)


def _told(work: Work, made: Forecasts, spec: Mapping[str, Any]) -> str:
    first = made.forecast
    pace = {"1 months": "months", "1 days": "days", "1 hours": "hours"}.get(first["lead_time"].attrs["step"], "steps")
    leads = ", ".join(map(str, first["lead_time"].values))
    name = spec["model"] or first.attrs["forecaster"]
    text = f"{name}, {leads} {pace} from {date_of(first['init_time'].values[()], work.data.cadence)}"
    if made.scores is None or made.hindcast is None:
        return text
    errors = ", ".join(f"{v:.3g}" for v in made.scores["rmse"].values)
    return f"{text}; {made.hindcast.sizes['init_time']} hindcasts: rmse {errors}{unit_of(first['mean'])}"
