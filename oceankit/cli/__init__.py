"""The `oceankit` command: run files, and what the machine has.

What costs time to import (xarray, Dask, Numba, matplotlib) is imported by the command that needs it, so that
``oceankit --help`` answers at once.
"""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from oceankit._version import __version__

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
