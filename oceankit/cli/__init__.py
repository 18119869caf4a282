"""The `oceankit` command: run files, whole files at once, and what the machine has.

What costs time to import (xarray, Dask, Numba, matplotlib) is imported by the command that needs it, so that
``oceankit --help`` answers at once.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from oceankit._version import __version__
from oceankit.cli._choices import CONVENTIONS, EXTRAPOLATE, LEVELS_METHODS, LEVELS_OUTSIDE, LIMITERS, REGRID_METHODS

if TYPE_CHECKING:
    from oceankit.cli._nodes import Mistake

__all__ = ["main"]


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="oceankit")
def main() -> None:
    """Regridding, assimilation and anomaly detection for big ocean data."""


@main.command()
@click.argument("runfile", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--output", "-o", type=click.Path(file_okay=False, path_type=Path), help="Output folder.")
@click.option("--check", is_flag=True, help="Only check the run file; list every mistake with its line.")
@click.option("--only", multiple=True, metavar="STEP", help="Run this step alone; may be given several times.")
@click.option("--debug", is_flag=True, help="Show the full traceback where a stage fails.")
def run(runfile: Path, output: Path | None, check: bool, only: tuple[str, ...], debug: bool) -> None:
    """Run the steps of RUNFILE (YAML): regrid, assimilate, find anomalies; write products, figures and bulletins.

    'oceankit schema' says what a run file may hold.
    """
    # A figure is drawn to a file, on machines with and without a screen.
    os.environ.setdefault("MPLBACKEND", "Agg")
    from oceankit.cli import preflight, reading

    checked = reading.read(runfile)
    folder = output or checked.folder / str(checked.values.get("output") or "output")
    preflight.check(checked, folder)
    if checked.mistakes:
        _refuse(runfile, checked.mistakes)
    names = [step["name"] for _, step in checked.steps]
    unknown = [name for name in only if name not in names]
    if unknown:
        raise click.ClickException(f"--only {unknown[0]}: {runfile} has no such step; it has {', '.join(names)}")
    if check:
        click.echo(f"{runfile}: no mistakes; {len(names)} step{'s' * (len(names) != 1)}: {', '.join(names)}")
        return
    from oceankit.cli.running import run_steps

    run_steps(checked, folder, only=only, debug=debug)


def _refuse(runfile: Path, mistakes: "list[Mistake]") -> NoReturn:
    for mistake in mistakes:
        click.echo(f"{runfile}:{mistake.line}: {mistake}", err=True)
    count = len(mistakes)
    click.echo(f"{runfile}: {count} mistake{'s' * (count != 1)}; nothing was run", err=True)
    sys.exit(1)


def _listed(_: click.Context, option: click.Parameter, value: str | None) -> list[str]:
    """Words between commas."""
    words = [] if value is None else [w.strip() for w in value.split(",")]
    if "" in words:
        raise click.BadParameter(f"{value!r} has nothing between two commas", param=option)
    return words


def _numbers(context: click.Context, option: click.Parameter, value: str | None) -> list[float] | None:
    try:
        return [float(w) for w in _listed(context, option, value)] or None
    except ValueError:
        raise click.BadParameter(f"{value!r} must be numbers between commas, such as 0,10,50", param=option) from None


def _pairs(context: click.Context, option: click.Parameter, values: tuple[str, ...]) -> list[tuple[str, str]]:
    pairs = [_listed(context, option, value) for value in values]
    if any(len(p) != 2 for p in pairs):
        raise click.BadParameter(f"{values[0]!r} must be two variables with a comma, such as uo,vo", param=option)
    return [(u, v) for u, v in pairs]


@main.command()
@click.argument("sources", nargs=-1, required=True, metavar="SOURCE...")
@click.argument("out", type=click.Path(path_type=Path), metavar="TARGET_FILE")
@click.option(
    "--to",
    required=True,
    metavar="GRID",
    help="A step in degrees (0.25), r360x180 as in CDO, west,east,step/south,north,step, or a file that has the grid.",
)
@click.option("--method", type=click.Choice(REGRID_METHODS), help="How; bilinear by default.")
@click.option("--variables", callback=_listed, metavar="A,B", help="Only these; by default all that lie on a grid.")
@click.option(
    "--vectors",
    callback=_pairs,
    multiple=True,
    metavar="U,V",
    help="Two components of a vector; may be given several times.",
)
@click.option(
    "--angle",
    metavar="grid|NAME|COS,SIN|0",
    help="Of components along the axes of the grid: derived from it, or in a variable; 0 says they are eastward and northward.",
)
@click.option("--levels", callback=_numbers, metavar="M,M", help="Depths in metres to go to first, in each column.")
@click.option("--levels-method", type=click.Choice(LEVELS_METHODS), default="linear", show_default=True)
@click.option(
    "--levels-extrapolate", type=click.Choice(LEVELS_OUTSIDE), help="Above the first and below the last level."
)
@click.option(
    "--neighbours", type=click.IntRange(1), default=8, show_default=True, help="For idw and inverse_distance."
)
@click.option("--power", type=click.FloatRange(0, min_open=True), default=2.0, show_default=True, help="For the same.")
@click.option("--extrapolate", type=click.Choice(EXTRAPOLATE), help="What fills cells without a value.")
@click.option("--min-coverage", type=click.FloatRange(0, 1), default=0.5, show_default=True)
@click.option("--keep-missing", is_flag=True, help="One missing source cell makes the target missing.")
@click.option("--limiter", type=click.Choice(LIMITERS), help="For conservative2: no new extremes.")
@click.option(
    "--weights",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE.nc",
    help="Where weights are kept: read if it is there (also weights of ESMF or CDO, without --method), else written.",
)
@click.option("--report", is_flag=True, help="Print what becomes of the cells.")
@click.option("--report-map", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE.png", help="Draw it.")
@click.option("--force", is_flag=True, help="Replace files that are there.")
@click.option("--debug", is_flag=True, help="Show the full traceback where something fails.")
def regrid(**given: Any) -> None:
    """Regrid whole files: every variable of SOURCE... that lies on a grid, into TARGET_FILE (.nc or .zarr).

    Other dimensions, attributes and variables without places are kept; the work is done chunk by chunk. For example,
    'oceankit regrid in.nc out.nc --to r360x180 --method conservative' is 'cdo remapcon,r360x180 in.nc out.nc'.
    """
    os.environ.setdefault("MPLBACKEND", "Agg")
    from oceankit.cli.regridding import order_of, regrid_files

    with _told_in_one_line(given.pop("debug")):
        regrid_files(order_of(given))


@main.command()
@click.argument("sources", nargs=-1, required=True, metavar="SOURCE...")
@click.argument("out", type=click.Path(path_type=Path), metavar="TARGET_FOLDER")
@click.option(
    "--period",
    nargs=2,
    required=True,
    metavar="FIRST LAST",
    help="Base period of the climatology, both included: years (1983 2012), months or days.",
)
@click.option("--variable", metavar="NAME", help="By default the only field along time.")
@click.option("--memory", default="1GiB", show_default=True, help="What the parts worked on may take.")
@click.option(
    "--half-window", type=click.IntRange(0, 182), default=5, show_default=True, help="Days pooled either side."
)
@click.option("--smooth", type=click.IntRange(1, 359), default=31, show_default=True, help="Days, odd; 1 for none.")
@click.option(
    "--percentile",
    type=click.FloatRange(0, 100, min_open=True, max_open=True),
    default=90.0,
    show_default=True,
    help="Of the threshold; below 50 cold spells are found.",
)
@click.option(
    "--convention",
    type=click.Choice(CONVENTIONS),
    default="oliver",
    show_default=True,
    help="The program whose choices hold.",
)
@click.option("--min-duration", type=click.IntRange(1), default=5, show_default=True, help="Days that an event needs.")
@click.option("--max-gap", type=click.IntRange(0), default=2, show_default=True, help="Days between two that are one.")
@click.option(
    "--max-missing",
    type=click.IntRange(0),
    help="Days in a row without a value that do not end an event; --min-duration by default.",
)
@click.option(
    "--no-climatology", is_flag=True, help="Do not write the climatology, without which nothing can be updated."
)
@click.option("--debug", is_flag=True, help="Show the full traceback where something fails.")
def detect(**given: Any) -> None:
    """Find the marine heatwaves of each cell of SOURCE..., daily files, however large, and write them to TARGET_FOLDER.

    It gets events.zarr, days.zarr (the category of each day) and climatology.zarr. Packed integers of 16 bits are worked
    on as they are. For example, 'oceankit detect "sst_*.nc" found --period 1983 2012 --memory 4GiB'.
    """
    from oceankit.cli.detecting import detect_files, search_of

    with _told_in_one_line(given.pop("debug")):
        detect_files(search_of(given))


@contextmanager
def _told_in_one_line(debug: bool) -> Iterator[None]:
    """What goes wrong as one line that says what to do; with ``debug`` as it is."""
    try:
        yield
    except Exception as error:
        if debug:
            raise
        words = " ".join(str(error).split())
        raise click.ClickException(
            words if isinstance(error, ValueError) else f"{type(error).__name__}: {words}"
        ) from error


@main.command()
def doctor() -> None:
    """Print versions, threads, memory and back ends, and what is missing."""
    from oceankit.cli.doctor import report

    click.echo(report())


@main.command()
def schema() -> None:
    """Print the reference of the run file, in Markdown."""
    from oceankit.cli.reference import text

    click.echo(text(), nl=False)
