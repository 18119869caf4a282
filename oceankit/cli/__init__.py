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
from oceankit.cli._choices import (
    CONVENTIONS,
    EXTRAPOLATE,
    KINDS,
    LEVELS_METHODS,
    LEVELS_OUTSIDE,
    LIMITERS,
    REGRID_METHODS,
)

if TYPE_CHECKING:
    from oceankit.cli._nodes import Mistake
    from oceankit.cli.reading import RunFile

__all__ = ["main"]


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="oceankit")
def main() -> None:
    """Regridding, assimilation and anomaly detection for big ocean data."""


_OUTPUT = click.option(
    "--output",
    "-o",
    type=click.Path(file_okay=False, path_type=Path),
    help="Output folder; by default as the file says.",
)
_ONLY = click.option("--only", multiple=True, metavar="STEP", help="Run this step alone; may be given several times.")
_CLUSTER = click.option(
    "--cluster", type=click.Choice(KINDS), help="Where the work is done; options are under 'cluster' in the run file."
)
_DEBUG = click.option("--debug", is_flag=True, help="Show the full traceback where something fails.")


@main.command()
@click.argument("runfile", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@_OUTPUT
@click.option("--check", is_flag=True, help="Only check the run file; list every mistake with its line.")
@_ONLY
@_CLUSTER
@click.option("--fresh", is_flag=True, help="Begin anew, whatever an earlier run that was cut off has finished.")
@_DEBUG
def run(
    runfile: Path,
    output: Path | None,
    check: bool,
    only: tuple[str, ...],
    cluster: str | None,
    fresh: bool,
    debug: bool,
) -> None:
    """Run the steps of RUNFILE (YAML): regrid, assimilate, find anomalies; write products, figures and bulletins.

    A run that was cut off goes on where it was when the same command is given again. 'oceankit schema' says what a run file
    may hold.
    """
    checked, folder = _checked(runfile, output, only)
    if check:
        names = [step["name"] for _, step in checked.steps]
        click.echo(f"{runfile}: no mistakes; {len(names)} step{'s' * (len(names) != 1)}: {', '.join(names)}")
        return
    from oceankit.cli.clustering import run_on, site_for

    with _told_in_one_line(debug):
        run_on(site_for(checked, cluster, folder), checked, folder, only=only, debug=debug, fresh=fresh)


@main.command()
@click.argument("runfile", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@_OUTPUT
@_ONLY
@_CLUSTER
@click.option("--dry-run", is_flag=True, help="Print the job script, and write and submit nothing.")
@click.option("--force", is_flag=True, help="Replace a job script that was edited.")
@_DEBUG
def submit(
    runfile: Path,
    output: Path | None,
    only: tuple[str, ...],
    cluster: str | None,
    dry_run: bool,
    force: bool,
    debug: bool,
) -> None:
    """Write a job script that runs RUNFILE, into the output folder, and hand it to the batch system (sbatch or qsub)."""
    checked, folder = _checked(runfile, output, only)
    from oceankit.cli.clustering import site_for, submit_run

    with _told_in_one_line(debug):
        submit_run(site_for(checked, cluster, folder), checked, folder, only=only, dry=dry_run, force=force)


@main.command()
@click.argument("output", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--here", is_flag=True, help="Go on in this process, also where the run was a job.")
@_DEBUG
def resume(output: Path, here: bool, debug: bool) -> None:
    """Go on with the run into the folder OUTPUT that was cut off: its job is submitted again, or it runs here."""
    from oceankit.cli.clustering import resume_run

    with _told_in_one_line(debug):
        resume_run(output, here=here, check=_checked, debug=debug)


@main.command()
@click.argument("runfile", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--memory", help="Of one worker, such as 4GiB; by default as the run file says.")
@click.option("--workers", type=click.IntRange(1), help="Worker processes; by default as the run file says, or 1.")
@click.option("--threads", type=click.IntRange(1), help="Of each worker; by default as the run file says, or 1.")
@_DEBUG
def plan(runfile: Path, memory: str | None, workers: int | None, threads: int | None, debug: bool) -> None:
    """Say how the steps of RUNFILE are cut to fit the memory of the workers, and what they read, move and write."""
    checked, _ = _checked(runfile, None, ())
    from oceankit.cluster import plan as planned

    said = checked.values.get("cluster") or {}
    memory, workers, threads = (
        memory or said.get("memory"),
        workers or said.get("workers"),
        threads or said.get("threads"),
    )
    if memory is None:
        raise click.ClickException(f"{runfile} does not say how much memory a worker has; give --memory, such as 4GiB")
    with _told_in_one_line(debug):
        click.echo(str(planned(checked, memory=memory, workers=workers or 1, threads=threads or 1)))


def _checked(runfile: Path, output: Path | None, only: tuple[str, ...]) -> "tuple[RunFile, Path]":
    """The run file and the output folder; mistakes end the command."""
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
    return checked, folder


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


@main.command()
@click.argument("sources", nargs=-1, required=True, metavar="SOURCE...")
@click.argument("out", type=click.Path(path_type=Path), metavar="TARGET_FOLDER")
@click.option(
    "--base", nargs=2, required=True, metavar="FIRST LAST", help="Years of the base period of the climatology."
)
@click.option(
    "--train", nargs=2, metavar="FIRST LAST", help="What the forecasts learn from; by default the base period."
)
@click.option("--days", nargs=2, required=True, metavar="FIRST LAST", help="Days that are lived.")
@click.option("--variable", metavar="NAME", help="By default the only field along time.")
@click.option("--units", help="Where the files do not say them.")
@click.option("--leads", type=click.IntRange(1), default=14, show_default=True, help="Days ahead.")
@click.option("--share", type=float, default=0.1, show_default=True, help="Part of the area that has to reach a level.")
@click.option(
    "--confidence",
    type=float,
    help="Probability with which it has to; by default what served best in forecasts of the last training years.",
)
@click.option("--hold", type=int, default=3, show_default=True, help="Days without a level before an alert falls.")
@click.option("--late", type=float, default=0.05, show_default=True, help="Share of the days that come late.")
@click.option("--again", type=float, default=0.03, show_default=True, help="Share of the days that come twice.")
@click.option("--corrected", type=float, default=0.05, show_default=True, help="Share that comes wrong first.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the deliveries and of the training.")
@click.option("--maps", type=int, default=1, show_default=True, help="Every how many days a map is drawn; 0: never.")
@click.option("--place", help="Name of the sea.")
@click.option("--place-zh", help="Its Chinese name.")
@click.option("--centre", help="Who issues the bulletins.")
@click.option("--debug", is_flag=True, help="Show the full traceback where something fails.")
def replay(**given: Any) -> None:
    """Live through days of an archive, daily files SOURCE..., as a duty officer would have, with what existed on each day.

    TARGET_FOLDER gets a folder for each day and report.html. A replay that was cut off goes on with the same command. For
    example, 'oceankit replay sst_*.nc out --base 1983 2011 --days 2015-08-01 2016-06-30'.
    """
    from oceankit.cli.replaying import replay_files

    with _told_in_one_line(given.pop("debug")):
        replay_files(given)


@contextmanager
def _told_in_one_line(debug: bool) -> Iterator[None]:
    """What goes wrong as one line that says what to do; with ``debug`` as it is."""
    try:
        yield
    except click.ClickException:
        raise
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
