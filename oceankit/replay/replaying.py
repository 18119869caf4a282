"""The run: prepare, live each day, judge; what is finished stays, whatever happens."""

import csv
import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import xarray as xr

from oceankit.replay.judging import judged
from oceankit.replay.living import live
from oceankit.replay.preparing import prepared
from oceankit.replay.records import Record
from oceankit.replay.reporting import report
from oceankit.replay.settings import ReplayError, Settings

__all__ = ["replay"]

_KEPT = 10
"""Days whose state stays: none comes later than that, and if it did the state would be made anew from the record"""


def replay(
    field: xr.DataArray,
    folder: str | os.PathLike[str],
    settings: Settings,
    *,
    progress: Callable[[np.datetime64, float], None] | None = None,
) -> Path:
    """Live through the days of an archive, and write what was made on each of them.

    Parameters
    ----------
    field
        Daily values along ``time`` and a grid, or along ``time`` alone; sea surface temperature in degC. It may be lazy: only
        the training period and the days that arrive are read.
    folder
        Where to: ``prepared/`` what was learnt before, ``days/YYYY-MM-DD/`` the products of each day. A run that was cut off
        goes on with the same call; a day's folder is there whole or not at all.
    settings
        See :class:`Settings`.
    progress
        Called after each day with the day and its seconds.

    Returns
    -------
    Path
        The report, ``report.html``.

    Raises
    ------
    ReplayError
        If the settings do not fit the field, or the folder holds a replay with others.
    """
    settings.checked(field)
    place = Path(folder)
    _claimed(place, settings)
    ready = prepared(field, settings, place / "prepared")
    record = Record(field, ready.mean, ready.checks, settings)
    days, costs = place / "days", place / "seconds.csv"
    days.mkdir(exist_ok=True)
    for left in days.glob(".*.part"):
        shutil.rmtree(left)
    for day in settings.lived:
        begin = time.perf_counter()
        arrivals = record.receive(day)
        (days / str(day - _KEPT) / "state.nc").unlink(missing_ok=True)
        if (days / str(day)).is_dir():
            continue
        part = days / f".{day}.part"
        part.mkdir()
        spent = live(day, record, arrivals, ready, settings, days, part)
        os.replace(part, days / str(day))
        seconds = time.perf_counter() - begin
        _note(costs, {"day": str(day), "seconds": f"{seconds:.3f}", **{n: f"{s:.3f}" for n, s in spent.items()}})
        if progress is not None:
            progress(day, seconds)
    return report(field, place, settings, ready, judged(field, place, settings, ready))


def _note(path: Path, row: dict[str, str]) -> None:
    """Add a line to a table, which gets its head with the first."""
    there = path.exists()
    with open(path, "a", encoding="ascii", newline="") as file:
        table = csv.DictWriter(file, list(row), lineterminator="\n")
        if not there:
            table.writeheader()
        table.writerow(row)


def _claimed(place: Path, settings: Settings) -> None:
    place.mkdir(parents=True, exist_ok=True)
    path, wanted = place / "settings.json", settings.as_json()
    if not path.exists():
        if any(place.iterdir()):
            raise ReplayError(
                f"{str(place)!r} holds other files; give an empty folder, or that of the replay to go on with"
            )
        part = path.with_suffix(".part")
        part.write_text(wanted, encoding="utf-8")
        os.replace(part, path)
        return
    there = json.loads(path.read_text(encoding="utf-8"))
    for name, value in json.loads(wanted).items():
        if there.get(name) != value:
            raise ReplayError(
                f"{str(place)!r} holds a replay with {name}={there.get(name)!r}, and now it is {value!r}; give the same, or "
                "another folder"
            )
