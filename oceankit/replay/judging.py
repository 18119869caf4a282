"""How good a replay was: forecasts and alerts held against what happened, which by now is known."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from scipy.special import ndtr

import oceankit
from oceankit.fields.files import write_whole
from oceankit.forecast import verify
from oceankit.products import alerts
from oceankit.replay import regions
from oceankit.replay.living import read
from oceankit.replay.normals import normal_on
from oceankit.replay.preparing import Prepared
from oceankit.replay.settings import Settings

__all__ = ["Judgement", "judged"]

_GAP = 2
"""Days between two spells that are one, as for heatwaves"""


@dataclass(frozen=True)
class Judgement:
    """What :func:`judged` found."""

    scores: xr.Dataset
    """Of :func:`oceankit.forecast.verify`, along ``lead_time``, against damped persistence"""
    days: xr.Dataset
    """Along ``time``: ``alert`` in force after the day, ``observed`` level, ``severity`` (mean of the area), ``area_mean``,
    ``normal``, ``threshold``, ``share`` of the area in each category"""
    alerts: list[dict[str, Any]]
    """For each level: days, hits, misses, false alarms, and the onsets with the days by which they were warned of"""
    peak: np.datetime64
    """Day of the largest mean severity"""
    delivered: dict[str, int]
    """Deliveries of each kind, and cells that the check set aside"""


def judged(field: xr.DataArray, folder: str | os.PathLike[str], settings: Settings, ready: Prepared) -> Judgement:
    """Hold everything that was said against the archive, and write ``judgement.json``, ``scores.nc`` and ``timeline.nc``.

    Parameters
    ----------
    field, folder, settings
        As of the replay.
    ready
        What it had learnt.
    """
    days = Path(folder) / "days"
    last = settings.last + max(settings.leads)
    truth = field.sel(time=slice(settings.first, last)).load()
    series = _series(truth, days, settings, ready)
    peak = series["time"].values[int(np.nanargmax(series["severity"].values))].astype("M8[D]")
    told = [read(days, day, "day.json") for day in settings.lived]
    arrived = [a for one in told for a in one["arrived"]]
    delivered = {kind: sum(a["kind"] == kind for a in arrived) for kind in dict.fromkeys(a["kind"] for a in arrived)}
    delivered["cells set aside"] = sum(a["rejected_cells"] for a in arrived)
    found = Judgement(
        _scored(truth, days, settings, ready), series.sel(time=slice(None, settings.last)),
        [_of_level(series, k, settings, peak) for k in range(1, 5)], peak, delivered,
    )  # fmt: skip
    text = json.dumps({"peak": str(peak), "alerts": found.alerts, "delivered": delivered}, indent=1) + "\n"
    write_whole(Path(folder) / "judgement.json", text.encode())
    oceankit.write(found.scores, Path(folder) / "scores.nc", inputs=[])
    oceankit.write(found.days, Path(folder) / "timeline.nc", inputs=[])
    return found


def _scored(truth: xr.DataArray, days: Path, settings: Settings, ready: Prepared) -> xr.Dataset:
    """Scores of all forecasts by lead, with intervals from blocks of days as long as the longest lead."""
    wanted = ["mean", "std", "damped_mean", "damped_std", "threshold"]
    every = [read(days, day, "forecast.nc")[wanted].isel(lead_time=slice(1, None)) for day in settings.lived]
    said = xr.concat(every, dim="init_time", coords="minimal", compat="override", join="override")
    said = said.assign_coords(valid_time=said["init_time"] + said["lead_time"] * np.timedelta64(1, "D"))
    forecasts = []
    for prefix in ("", "damped_"):
        mean, std = said[f"{prefix}mean"], said[f"{prefix}std"]
        chance = mean.copy(data=ndtr((mean.values - said["threshold"].values) / std.values)).drop_attrs()
        forecasts.append(xr.Dataset({"mean": mean, "std": std, "p_event": chance}))
    threshold = normal_on(ready.clim, truth)[1]
    return verify(
        forecasts[0],
        truth,
        reference=forecasts[1],
        event=threshold,
        rate=0.1,
        block=min(max(settings.leads), len(settings.lived)),
        n_boot=500,
    )


def _series(truth: xr.DataArray, days: Path, settings: Settings, ready: Prepared) -> xr.Dataset:
    mean, threshold = normal_on(ready.clim, truth)
    weight = ready.area
    flat = lambda a: np.asarray(a.values, float).reshape(a.shape[0], -1)  # noqa: E731
    severity = flat(regions.severity(truth, mean, threshold))
    known = np.isfinite(severity)

    def over_area(values: np.ndarray) -> np.ndarray:
        area = np.where(known, weight, 0.0)
        with np.errstate(invalid="ignore"):
            return np.asarray((np.where(known, values, 0.0) * area).sum(axis=1) / area.sum(axis=1))

    reached = regions.reached_by(severity, weight, settings.share)
    category = np.clip(np.floor(severity), 0, 4)
    status = {np.datetime64(d): int(read(days, d, "day.json")["alert"]) for d in settings.lived}
    dates = truth["time"].values.astype("M8[D]")
    units = {"units": truth.attrs.get("units", "")}
    names = ["no_data", "none", *alerts.rules()["levels"]]
    levels = {"flag_values": np.arange(-1, 5, dtype=np.int8), "flag_meanings": " ".join(names)}
    return xr.Dataset(
        {
            "alert": (
                "time",
                np.array([status.get(d, -1) for d in dates], np.int8),
                levels | {"long_name": "alert in force from the evening of the day on"},
            ),
            "observed": (
                "time",
                np.where(np.isnan(reached), -1, np.clip(np.floor(reached), 0, 4)).astype(np.int8),
                levels | {"long_name": "level that was observed"},
            ),
            "severity": ("time", over_area(severity), {"units": "1", "long_name": "severity, mean of the area"}),
            "area_mean": ("time", over_area(flat(truth)), units | {"long_name": "mean of the area"}),
            "normal": ("time", over_area(flat(mean)), units | {"long_name": "climatological mean of the area"}),
            "threshold": ("time", over_area(flat(threshold)), units | {"long_name": "threshold, mean of the area"}),
            "share": (
                ("category", "time"),
                np.stack([over_area(category == k) for k in range(5)]),
                {"units": "1", "long_name": "part of the area in the category"},
            ),
        },
        coords={"time": truth["time"].values, "category": np.arange(5, dtype=np.int8)},
    )


def _of_level(series: xr.Dataset, level: int, settings: Settings, peak: np.datetime64) -> dict[str, Any]:
    """Days of a level, whether they were warned of, and alerts that nothing followed."""
    lived = len(settings.lived)
    alert = series["alert"].values[:lived] >= level
    observed = series["observed"].values >= level
    known = series["observed"].values >= 0
    # The alert in force on a day is that of the day before.
    before = np.concatenate([[False], alert[: lived - 1]])
    happened = observed[:lived]
    judged_days = np.arange(lived) > 0
    horizon = max(settings.leads)
    later = np.array([observed[d + 1 : d + 1 + horizon].any() for d in range(lived)])
    whole = np.array([known[d + 1 : d + 1 + horizon].sum() == horizon for d in range(lived)])
    issued = alert & (whole | later)
    dates = series["time"].values.astype("M8[D]")
    return {
        "level": regions.LEVELS[level - 1],
        "days_observed": int((happened & judged_days).sum()),
        "hits": int((happened & before & judged_days).sum()),
        "misses": int((happened & ~before & judged_days).sum()),
        "days_alerted": int(alert.sum()),
        "false_alarms": int((issued & ~later).sum()),
        "days_not_judged": int((alert & ~(whole | later)).sum()),
        "first_alert": str(dates[int(alert.argmax())]) if alert.any() else None,
        "onsets": _onsets(dates, alert, happened),
        "in_force_at_the_peak_since": _since(dates, alert, peak),
    }


def _spells(happened: np.ndarray) -> list[tuple[int, int]]:
    """First and last day of stretches, across short gaps."""
    at = np.flatnonzero(happened)
    if not at.size:
        return []
    cut = np.flatnonzero(np.diff(at) > _GAP + 1)
    return list(zip(at[np.r_[0, cut + 1]].tolist(), at[np.r_[cut, at.size - 1]].tolist(), strict=True))


def _onsets(dates: np.ndarray, alert: np.ndarray, happened: np.ndarray) -> list[dict[str, Any]]:
    """Of each spell, how many days before it an alert was issued that lasted until then.

    An alert of the spell before does not count: it warns of the next one from the day after that. Negative where the alert came
    after the onset, None where it never came.
    """
    found, over = [], 0
    for begin, end in _spells(happened):
        first = begin
        while first > over and alert[first - 1]:
            first -= 1
        later = np.flatnonzero(alert[begin : end + 1])
        lead = begin - first if first < begin else -int(later[0]) if later.size else None
        found.append(
            {"begin": str(dates[begin]), "end": str(dates[end]), "lead_days": lead, "since_the_start": begin == 0}
        )
        over = end + 1
    return found


def _since(dates: np.ndarray, alert: np.ndarray, peak: np.datetime64) -> str | None:
    """The day on which the alert was issued that was in force at the peak."""
    at = int((peak - dates[0]).astype(int))
    first = min(at, alert.size)
    while first > 0 and alert[first - 1]:
        first -= 1
    return str(dates[first]) if first < min(at, alert.size) else None
