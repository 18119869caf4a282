"""The command `oceankit replay`: an archive of daily files lived day by day."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np

from oceankit._version import __version__
from oceankit.cli.detecting import chosen
from oceankit.cli.places import found
from oceankit.cli.regridding import RefusedError
from oceankit.fields import open_fields

__all__ = ["replay_files"]


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
    from oceankit.replay import Settings, replay

    begin = time.perf_counter()
    sources: Sequence[str] = [name for path in given["sources"] for name in found(path, Path.cwd())]
    place, leads = given["place"], given["leads"]
    settings = Settings(
        base=given["base"], train=given["train"] or given["base"], days=given["days"], leads=tuple(range(1, leads + 1)),
        share=given["share"], confidence=given["confidence"], hold=given["hold"], seed=given["seed"], late=given["late"],
        again=given["again"], corrected=given["corrected"], maps=given["maps"], centre=given["centre"] or "",
        **({"place": {"zh": given["place_zh"] or place, "en": place}} if place else {}),
    )  # fmt: skip
    with open_fields(sources, chunks={} if len(sources) > 1 else None) as ds:
        field = ds[chosen(ds, given["variable"])]
        units = field.attrs.get("units") or given["units"]
        if not units:
            raise RefusedError(f"{field.name!r} has no units; say them with --units, such as --units degC")
        field = field.assign_attrs(units=units)
        sizes = " x ".join(f"{n} {d}" for d, n in field.sizes.items())
        click.echo(f"oceankit {__version__}: {field.name} ({sizes}, {units}) from {len(sources)} files")
        click.echo(f"  {settings.first} to {settings.last}; nothing is learnt from later than {settings.learnt}")

        def told(day: np.datetime64, seconds: float) -> None:
            if day == settings.last or day.astype("M8[D]").item().day == 1:
                click.echo(f"  {day} done  [{seconds:.1f} s a day]")

        report = replay(field, given["out"], settings, progress=told)
    click.echo(f"  {report}  [{time.perf_counter() - begin:.0f} s]")
