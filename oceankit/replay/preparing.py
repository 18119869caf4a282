"""What a duty officer has before the first day: climatology, limits of the check, forecast model and its references."""

import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

import oceankit
from oceankit._extras import require
from oceankit.anomaly import climatology, update
from oceankit.fields import clock
from oceankit.fields.grid import Grid
from oceankit.replay.checking import Checks
from oceankit.replay.deciding import Decision, decided
from oceankit.replay.normals import normal_on, place_in_year
from oceankit.replay.settings import ReplayError, Settings

__all__ = ["Prepared", "prepared"]

_CELLS = 128
"""What the networks learn from, at most: cells spread over the sea; statistics are of all cells"""


@dataclass(frozen=True)
class Prepared:
    """All that was learnt before the first day."""

    clim: xr.Dataset
    """``mean`` and ``threshold`` along ``dayofyear``"""
    mean: np.ndarray
    """The mean (366, cells)"""
    checks: Checks
    model: Any
    damped: Any
    area: np.ndarray
    """Of the cells of the sea, 0 on land; their sum is 1"""
    decision: Decision
    """How likely a level must be for an alert"""


def prepared(field: xr.DataArray, settings: Settings, folder: Path) -> Prepared:
    """Learn it, or read what an earlier run has learnt; both are the same to the bit.

    Raises
    ------
    ReplayError
        If nothing is known in the base period.
    """
    require("torch", extra="forecast", purpose="the forecasts of a replay")
    from oceankit.forecast import DampedPersistence

    folder.mkdir(parents=True, exist_ok=True)
    train = field.sel(time=slice(*settings.train)).compute()
    clim_file = folder / "climatology.nc"
    if not clim_file.exists():
        base = tuple(int(year[:4]) for year in settings.base)
        # Cut, because windows around the last days of the period would reach beyond it.
        known = field.sel(time=slice(None, settings.learnt))
        if known.chunks is not None:
            known = known.chunk({d: -1 if d == "time" else "auto" for d in known.dims})
        with clock.moment(settings.first):
            oceankit.write(climatology(known, period=base), clim_file, inputs=[])
    with oceankit.open_fields(clim_file) as ds:
        clim = ds.load()
    cells = field.isel(time=0).size
    mean = clim["mean"].transpose("dayofyear", *[d for d in field.dims if d != "time"]).values.reshape(366, cells)
    if not np.isfinite(mean).any():
        raise ReplayError(f"{field.name!r} has no values in the base period {settings.base}; choose another")
    normal = mean[[place_in_year(d) for d in train["time"].values.astype("M8[D]")]]
    checks = Checks.learnt(np.asarray(train.values, np.float64).reshape(-1, cells) - normal)
    model = _model(train, settings, folder / "model.safetensors")
    damped = DampedPersistence(leads=settings.leads).fit(train)
    area = _area(field, np.isfinite(mean[0]))
    decision = decided(
        train, settings, partial(normal_on, clim), area,
        lambda part: _model(part, settings, folder / "earlier.safetensors"), folder / "decision.json",
    )  # fmt: skip
    (folder / "earlier.safetensors").unlink(missing_ok=True)
    return Prepared(clim, mean, checks, model, damped, area, decision)


def _model(train: xr.DataArray, settings: Settings, path: Path) -> Any:
    """A forecaster of all cells, trained on some of them, or read from where it is kept."""
    from oceankit.forecast import Forecaster

    if not path.exists():
        known = (
            train.stack(cell=[d for d in train.dims if d != "time"])
            if train.ndim > 1
            else train.expand_dims(cell=1, axis=1)
        )
        known = known.reset_index("cell") if "cell" in known.indexes else known
        sea = np.flatnonzero(np.isfinite(known.values).any(axis=0))
        some = known.isel(cell=sea[:: max(1, -(-sea.size // _CELLS))])
        some = xr.DataArray(some.values, {"time": some["time"]}, ("time", "cell"), train.name, train.attrs)
        model = Forecaster(leads=settings.leads, local=True, seed=settings.seed)
        model.fit(some, checkpoint=path.with_suffix(".half.safetensors"))
        part = path.with_suffix(".part")
        model.localise(train).save(part)
        os.replace(part, path)
        path.with_suffix(".half.safetensors").unlink(missing_ok=True)
    return Forecaster.load(path)


def begun(field: xr.DataArray, ready: Prepared) -> xr.Dataset:
    """The state of the detection on the day before the first one."""
    return update(ready.clim, field, min_duration=5, max_gap=2)


def _area(field: xr.DataArray, sea: np.ndarray) -> np.ndarray:
    if field.ndim == 1:
        return np.ones(1)
    area = Grid.from_dataset(field).area().values.reshape(-1)
    area = np.where(sea, area, 0.0)
    return np.asarray(area / area.sum())
