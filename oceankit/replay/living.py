"""One day: what arrived is taken in, and everything that a duty officer makes of it is written into the day's folder."""

import csv
import io
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import xarray as xr
from scipy.special import ndtr

import oceankit
from oceankit.anomaly import ongoing, track, update
from oceankit.fields import clock
from oceankit.fields.files import write_whole
from oceankit.products import alerts
from oceankit.products.replay_figures import plot_alert_map
from oceankit.replay import regions
from oceankit.replay.checking import FLAGS
from oceankit.replay.forecasting import forecast, start_of
from oceankit.replay.normals import normal_on
from oceankit.replay.preparing import Prepared, begun
from oceankit.replay.records import Arrival, Record
from oceankit.replay.settings import Settings

__all__ = ["SCORES", "live", "read"]

SCORES = ("lead", "n", "bias", "rmse", "rmse_damped", "brier", "brier_damped", "observed_share")
_HISTORY = 60
"""Days before a start that are shown to the model at least"""
_ALERT = "alert_"


def live(
    day: np.datetime64,
    record: Record,
    arrivals: list[Arrival],
    ready: Prepared,
    settings: Settings,
    days: Path,
    part: Path,
) -> dict[str, float]:
    """Write the products of ``day`` into the folder ``part``; those of the days before lie in ``days``.

    Parameters
    ----------
    record
        Everything that has come, this day's deliveries included.
    arrivals
        These deliveries.

    Returns
    -------
    dict
        Seconds by what was done.
    """
    spent = _Laps()
    # A day's field is there the morning after.
    with clock.moment(day + 1):
        state = _state(record, ready, days)
        sea, objects = _sea(record, state)
        spent.until("detection")
        _write(state.drop_vars([n for n in ready.clim.data_vars if n in state]), part / "state.nc")
        _write(sea, part / "sea.nc")
        if objects is not None:
            _write(objects, part / "objects.nc")
        spent.until("files of the sea")
        start, guessed = start_of(record, ready, max(ready.model.reach + 1, _HISTORY))
        ahead = forecast(start, ready, settings)
        spent.until("forecast")
        cells = regions.assessed(ahead["severity"], ahead["severity_std"], ready.decision.confidence)
        region = regions.of_region(cells, ready.area, settings.share, ready.decision.confidence)
        alert, alert_state = _alert(day, region, settings, days)
        spent.until("alert")
        _write(_with_levels(ahead, cells, region, alert_state), part / "forecast.nc")
        spent.until("file of the forecast")
        _bulletin(day, cells, region, settings, days, part)
        spent.until("bulletin")
        _map(day, cells, ready, settings, part)
        spent.until("map")
        scores = _scores(day, record, ready, settings, days)
        write_whole(part / "scores.csv", scores.encode())
        told = _told(day, record, arrivals, ready, sea, objects, region, alert, guessed)
        write_whole(part / "day.json", (json.dumps(told, ensure_ascii=False, indent=1) + "\n").encode())
        spent.until("scores")
    return spent.seconds


class _Laps:
    """Seconds from one moment to the next."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._before = time.perf_counter()

    def until(self, name: str) -> None:
        now = time.perf_counter()
        self.seconds[name], self._before = now - self._before, now


def read(days: Path, day: np.datetime64, name: str) -> Any:
    """A product of an earlier day, in memory; None where there is none."""
    path = days / str(day) / name
    if not path.exists():
        return None
    if path.suffix == ".json":
        return json.loads(path.read_text())
    if path.suffix == ".csv":
        return list(csv.DictReader(io.StringIO(path.read_text())))
    with xr.open_dataset(path) as ds:
        return ds.load()


# ---- detection -------------------------------------------------------------------------------------------------------


def _state(record: Record, ready: Prepared, days: Path) -> xr.Dataset:
    """The state after the last day of the record: from the latest one that has seen the days as they are known now."""
    first = len(record.days) - 2
    while first >= 0 and record.days[first] >= record.settings.first:
        told = read(days, record.days[first], "day.json")
        if told is not None and told["record"] == record.digests[first].hex():
            kept = read(days, record.days[first], "state.nc")
            if kept is not None:
                return update(kept.assign(dict(ready.clim.data_vars)), record.field(first + 1))
        first -= 1
    after = int(np.searchsorted(record.days, record.settings.learnt + 1))
    return begun(record.field(after), ready)


def _sea(record: Record, state: xr.Dataset) -> tuple[xr.Dataset, xr.Dataset | None]:
    """Today's maps, and the events of the season until today, followed in space and time."""
    today = record.field(-1).isel(time=0)
    now = ongoing(state)
    sea = xr.Dataset({str(today.name): today, "flag": today.copy(data=record.flags[-1].reshape(today.shape))})
    sea["flag"].attrs = {**FLAGS, "long_name": "what the check said"}
    sea = sea.assign({n: now[n].drop_vars("time") for n in ("category", "exceedance", "anomaly", "duration")})
    if today.ndim < 2:
        return sea, None
    begin = int((record.settings.first - record.days[0]).astype(int))
    season = record.field(begin)
    mean, threshold = normal_on(state, season)
    found = track(season > threshold, values=season - mean)
    sea["object"] = found.labels.isel(time=-1, drop=True).assign_attrs(
        long_name="number of the event, 0 where there is none"
    )
    return sea, found.events


# ---- alert -----------------------------------------------------------------------------------------------------------


def _alert(day: np.datetime64, region: xr.Dataset, settings: Settings, days: Path) -> tuple[xr.Dataset, xr.Dataset]:
    """The alert in force from today on: the highest level of today and of all leads, which falls after the hold."""
    level = xr.DataArray(
        [int(region["level"].max())], dims="init_time", coords={"init_time": [day.astype("M8[ns]")]}, name="level"
    )
    before = read(days, day - 1, "forecast.nc")
    if before is not None:
        before = before[[n for n in before.data_vars if str(n).startswith(_ALERT)]]
        before = before.rename({n: str(n).removeprefix(_ALERT) for n in before.data_vars}).reset_coords(drop=True)
    return alerts.follow(level, hold=24.0 * settings.hold, state=before)


def _bulletin(
    day: np.datetime64,
    cells: xr.Dataset,
    region: xr.Dataset,
    settings: Settings,
    days: Path,
    part: Path,
) -> None:
    issued = day + 1
    previous = days / str(day - 1) / "bulletin.cap.xml"
    area = _outline(cells)
    name = settings.place["en"].replace(" ", ".").replace(",", "")
    told = alerts.bulletin(
        region, issued=str(issued), centre=settings.centre, place=settings.place, area=area,
        previous=previous if previous.exists() else None, identifier=f"replay.{name}.{day}",
    )  # fmt: skip
    products = ["zh", "en", "geojson"] + ["cap"] * (told.cap is not None)
    told.save(part, name="bulletin", products=products)


def _map(day: np.datetime64, cells: xr.Dataset, ready: Prepared, settings: Settings, part: Path) -> None:
    lived = int((day - settings.first).astype(int))
    if cells["level"].ndim > 1 and settings.maps and lived % settings.maps == 0:
        levels = cells["level"].max("lead_time").where(ready.area.reshape(cells["level"].shape[1:]) > 0)
        plot_alert_map(
            levels,
            f"{settings.place['en']}: highest level from {day} to {max(settings.leads)} days ahead",
            part / "map.png",
        )


def _outline(cells: xr.Dataset) -> Mapping[str, Any] | None:
    """The box around a grid; None of a single place."""
    dims = [d for d in cells["level"].dims if d != "lead_time"]
    if not dims:
        return None
    lon, lat = cells["lon"].values, cells["lat"].values
    west, east, south, north = (float(v) for v in (lon.min(), lon.max(), lat.min(), lat.max()))
    return {"polygons": [[(west, south), (east, south), (east, north), (west, north), (west, south)]]}


# ---- verification and account ----------------------------------------------------------------------------------------


def _scores(day: np.datetime64, record: Record, ready: Prepared, settings: Settings, days: Path) -> str:
    """The forecasts of earlier days that were for today, as far as today is known."""
    today = record.values[-1]
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(SCORES)
    for lead in settings.leads:
        path = days / str(day - lead) / "forecast.nc"
        if not path.exists():
            continue
        said = _said(path, lead)
        limit = said["threshold"]
        known = np.isfinite(today) & np.isfinite(limit) & (ready.area > 0)
        if not known.any():
            continue
        area = ready.area[known] / ready.area[known].sum()
        happened = (today > limit)[known].astype(float)
        row: dict[str, float] = {"observed_share": float((area * happened).sum())}
        for suffix, prefix in (("", ""), ("_damped", "damped_")):
            mean, std = (said[f"{prefix}{n}"][known] for n in ("mean", "std"))
            error = mean - today[known]
            chance = ndtr((mean - limit[known]) / std)
            row[f"rmse{suffix}"] = float(np.sqrt((area * error**2).sum()))
            row[f"brier{suffix}"] = float((area * (chance - happened) ** 2).sum())
            if not suffix:
                row["bias"] = float((area * error).sum())
        table.writerow([lead, int(known.sum()), *(f"{row[n]:.6g}" for n in SCORES[2:])])
    return text.getvalue()


def _said(path: Path, lead: int) -> dict[str, np.ndarray]:
    """Of a forecast what it said for one lead (cells); as a file of many variables is opened for each lead, the quick way."""
    with netCDF4.Dataset(path) as file:
        at = int(np.flatnonzero(np.asarray(file["lead_time"][:]) == lead)[0])
        names = ("mean", "std", "damped_mean", "damped_std", "threshold")
        return {n: np.ma.filled(file[n][at].astype(float), np.nan).reshape(-1) for n in names}


def _told(
    day: np.datetime64, record: Record, arrivals: list[Arrival], ready: Prepared, sea: xr.Dataset, objects: xr.Dataset | None,
    region: xr.Dataset, alert: xr.Dataset, guessed: int,
) -> dict[str, Any]:  # fmt: skip
    area = ready.area
    exceedance = sea["exceedance"].values.reshape(-1)
    today = record.values[-1]
    known = np.isfinite(today) & (area > 0)
    nothing = (record.days >= record.settings.first) & np.isnan(record.values[:, area > 0]).all(axis=1)
    told: dict[str, Any] = {
        "day": str(day),
        "record": record.digests[-1].hex(),
        "arrived": [
            {"day": str(a.delivery.day), "kind": a.delivery.kind, "rejected_cells": a.rejected, "changed": a.changed}
            for a in arrivals
        ],
        "missing_days": [str(d) for d in record.days[nothing]],
        "cells_guessed_for_the_start": guessed,
        "area_mean": float((today[known] * area[known]).sum() / area[known].sum()) if known.any() else None,
        "area_by_category": [float(area[exceedance == k].sum()) for k in range(5)],
        "level_by_lead": {int(k): int(v) for k, v in zip(region["lead_time"].values, region["level"].values, strict=True)},
        "alert": int(alert["status"][-1]),
        "action": str(alerts.words(alert["action"]).values[-1]),
    }  # fmt: skip
    if objects is not None:
        told["events_open"] = int((objects["ended"] == "open").sum()) if "ended" in objects else 0
    return told


def _with_levels(ahead: xr.Dataset, cells: xr.Dataset, region: xr.Dataset, alert: xr.Dataset) -> xr.Dataset:
    """The forecast with its levels, those of the area, and the alert in force with what it goes on from tomorrow."""
    found = ahead.assign(level=cells["level"], probability=cells["probability"])
    found = found.assign({f"{_ALERT}{n}": alert[n] for n in alert.data_vars})
    if region is cells:
        return found
    return found.assign({f"region_{n}": region[n] for n in ("level", "probability", "value")})


def _write(ds: xr.Dataset, path: Path) -> None:
    # What made it is the run; naming the archive would tell of days that had not come.
    oceankit.write(ds, path, inputs=[])
