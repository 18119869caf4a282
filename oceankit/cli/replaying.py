"""The command `oceankit replay` and the stage of run files: an archive of daily files lived day by day."""

import os
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np

from oceankit._version import __version__
from oceankit.cli.detecting import chosen
from oceankit.cli.places import found
from oceankit.cli.regridding import RefusedError
from oceankit.cli.work import Work
from oceankit.fields import open_fields
from oceankit.fields.resuming import unfinished

if TYPE_CHECKING:
    from oceankit.replay import Settings

__all__ = ["live_through", "replay_files", "settings_of"]


def replay_files(given: dict[str, Any]) -> None:
    """Replay daily files, telling on the terminal what is done.

    Parameters
    ----------
    given
        Options of the command.

    Raises
    ------
    RefusedError, ReplayError
        If something does not fit.
    """
    from oceankit.replay import replay

    begin = time.perf_counter()
    sources: Sequence[str] = [name for path in given["sources"] for name in found(path, Path.cwd())]
    place = given["place"]
    names = {"zh": given["place_zh"] or place, "en": place} if place else None
    settings = settings_of({**given, "place": names}, given["centre"] or "")
    with open_fields(sources, chunks={} if len(sources) > 1 else None) as ds:
        field = ds[chosen(ds, given["variable"])]
        units = field.attrs.get("units") or given["units"]
        if not units:
            raise RefusedError(f"{field.name!r} has no units; say them with --units, such as --units degC")
        field = field.assign_attrs(units=units)
        sizes = " x ".join(f"{n} {d}" for d, n in field.sizes.items())
        click.echo(f"oceankit {__version__}: {field.name} ({sizes}, {units}) from {len(sources)} files")
        click.echo(f"  {settings.first} to {settings.last}; nothing is learnt from later than {settings.learnt}")
        report = replay(field, given["out"], settings, progress=_monthly(settings))
    click.echo(f"  {report}  [{time.perf_counter() - begin:.0f} s]")


def live_through(work: Work, path: Path, centre: str) -> None:
    """The stage of a run file: replay the field of a step into a folder, which is there when its report is.

    Raises
    ------
    ReplayError
        If the settings do not fit the field, or an earlier run that was cut off had others.
    """
    from oceankit.replay import replay

    settings = settings_of(work.step["replay"], centre)
    place = unfinished(path)
    replay(work.shown("field"), place, settings, progress=_monthly(settings))
    if path.exists():
        shutil.rmtree(path)
    os.replace(place, path)


def settings_of(given: Mapping[str, Any], centre: str) -> "Settings":
    """The settings that the options of the command, or the keys of a run file, describe.

    Raises
    ------
    ReplayError
        If they do not fit each other.
    """
    from oceankit.replay import Settings

    same = ("base", "days", "share", "confidence", "hold", "late", "again", "corrected", "seed", "maps")
    return Settings(
        **{name: given[name] for name in same}, train=given["train"] or given["base"],
        leads=tuple(range(1, given["leads"] + 1)), centre=centre, **({"place": given["place"]} if given["place"] else {}),
    )  # fmt: skip


def _monthly(settings: "Settings") -> Callable[[np.datetime64, float], None]:
    """What tells of the first of each month, and of the last day."""

    def told(day: np.datetime64, seconds: float) -> None:
        if day == settings.last or day.astype("M8[D]").item().day == 1:
            click.echo(f"  {day} done  [{seconds:.1f} s a day]")

    return told
