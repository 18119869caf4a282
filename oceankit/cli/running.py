"""Run the steps of a checked run file, saying on the terminal what is done and how long it takes."""

import sys
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import xarray as xr

from oceankit._version import __version__
from oceankit.cli import places, storing
from oceankit.cli._choices import FILTERS
from oceankit.cli._forecast_checks import SAVED
from oceankit.cli.assimilating import assimilate, completed
from oceankit.cli.forecasting import make_forecast
from oceankit.cli.heatwaves import find_heatwaves
from oceankit.cli.ledger import Ledger
from oceankit.cli.progress import progress
from oceankit.cli.reading import RunFile
from oceankit.cli.replaying import live_through
from oceankit.cli.work import Work, depart, find_events, open_input, regrid, relevel

if TYPE_CHECKING:
    from oceankit.cluster.planning import Plan

__all__ = ["Account", "StageError", "run_steps"]


COMPUTING: dict[str, Callable[[Work], str]] = {
    "input": open_input,
    "levels": relevel,
    "regrid": regrid,
    "assimilate": assimilate,
    "anomalies": depart,
    "heatwaves": find_heatwaves,
    "events": find_events,
    "forecast": make_forecast,
}


class StageError(click.ClickException):
    """A stage failed; the message names the step, the stage and the reason in one line."""

    def __init__(self, step: str, stage: str, error: BaseException) -> None:
        words = " ".join(str(error).split())
        if not isinstance(error, ValueError):
            # Not one of our refusals: say what kind of accident it is.
            words = f"{type(error).__name__}: {words}"
        super().__init__(f"step {step!r}, stage {stage!r}: {words}")


@dataclass
class Account:
    """What a run has done."""

    written: list[tuple[str, Path]] = field(default_factory=list)
    """Step and file."""
    stages: list[tuple[str, str, float, str]] = field(default_factory=list)
    """Step, stage, seconds and what it says of itself."""


def run_steps(
    run: RunFile,
    output: Path,
    *,
    only: Sequence[str] = (),
    debug: bool = False,
    ledger: Ledger | None = None,
    plan: "Plan | None" = None,
) -> Account:
    """Run the steps that an earlier run has not finished; returns what each has written and how long its stages took.

    Raises
    ------
    StageError
        At the first stage that fails (with ``debug`` its own exception instead); what was written before stays.
    """
    steps = [step for _, step in run.steps if not only or step["name"] in only]
    begin = time.perf_counter()
    ledger = ledger or Ledger(run, output)
    click.echo(f"oceankit {__version__}: {run.path}, {len(steps)} step{'s' * (len(steps) != 1)}, into {output}/")
    account = Account()
    try:
        for step in steps:
            work = Work(step, run.folder, plan={} if plan is None else plan.of(step["name"]))
            _Runner(run, work, output, account, debug, ledger).go()
    except Exception:
        ledger.failed()
        raise
    ledger.close()
    _table(account.written, output, time.perf_counter() - begin)
    return account


class _Runner:
    """One step on its way through the stages."""

    def __init__(self, run: RunFile, work: Work, output: Path, account: Account, debug: bool, ledger: Ledger) -> None:
        self.run, self.work, self.output, self.account, self.debug = run, work, output, account, debug
        self.ledger = ledger

    def go(self) -> None:
        step = self.work.step
        click.echo(f"\n{click.style(step['name'], bold=True)}  {step['title'] or ''}".rstrip())
        there = self.ledger.complete(step)
        if there is not None:
            click.echo("  finished by an earlier run")
            self.account.written += [(step["name"], path) for path in there]
            return
        members = (step["assimilate"] or {}).get("save_ensemble")
        if members:
            self.work.keep = partial(self._members, members)
        for stage, compute in COMPUTING.items():
            if step[stage] is not None:
                self._stage(stage, partial(compute, self.work))
        metadata = storing.metadata_of(self.work, self.run.values["metadata"] or {})
        if step["product"] is not None:
            self._stage("product", lambda: self._product(metadata))
        observations = (step["assimilate"] or {}).get("observations") or {}
        if observations.get("save"):
            self._stage("observations", lambda: self._observations(observations["save"], metadata))
        heatwaves = step["heatwaves"] or {}
        if heatwaves.get("save"):
            self._stage("save", lambda: self._events(heatwaves["save"], metadata))
        if heatwaves.get("save_days"):
            self._stage("save_days", lambda: self._days(heatwaves["save_days"], metadata))
        for key in SAVED:
            if (step["forecast"] or {}).get(key):
                self._stage(key.removeprefix("save_"), partial(self._forecast, key, step["forecast"][key], metadata))
        if step["replay"] is not None:
            self._stage("replay", self._replay)
        if step["regrid"] is not None and step["regrid"]["report"] is not None:
            self._stage("report", self._report)
        for figure in step["figure"] or ():
            self._stage("figure", partial(self._figure, figure))
        if step["bulletin"] is not None:
            self._stage("bulletin", self._bulletin)
        self.ledger.finished(step)

    def _product(self, metadata: dict[str, Any]) -> str:
        write = partial(storing.write_product, self.work, metadata=metadata)
        told = self._file(self.work.step["product"]["file"], write, partial(write, there=True))
        corrected = self.work.corrected
        if corrected is None or corrected.n_bounded is None:
            return told
        method = self.work.step["assimilate"]["method"]
        return f"{told}; {corrected.n_bounded} values{' of members' * (method in FILTERS)} set to a bound"

    def _members(self, name: str, members: xr.Dataset) -> xr.Dataset:
        common = self.run.values["metadata"] or {}
        stored: list[xr.Dataset] = []

        def write(path: Path, there: bool = False) -> None:
            stored.append(storing.write_members(self.work, members, path, common, there=there))

        self._file(name, write, partial(write, there=True))
        return stored[0]

    def _observations(self, name: str, metadata: dict[str, Any]) -> str:
        return self._file(
            name, lambda path: storing.write_observations(self.work, completed(self.work), path, metadata)
        )

    def _events(self, name: str, metadata: dict[str, Any]) -> str:
        return self._file(name, partial(storing.write_heatwaves, self.work, metadata=metadata))

    def _days(self, name: str, metadata: dict[str, Any]) -> str:
        write = partial(storing.write_days, self.work, metadata=metadata)
        return self._file(name, write, partial(write, there=True))

    def _forecast(self, key: str, name: str, metadata: dict[str, Any]) -> str:
        return self._file(name, partial(storing.write_forecast, self.work, key, metadata=metadata))

    def _replay(self) -> str:
        make = partial(live_through, self.work, centre=self.run.values["centre"] or "")
        return self._file(self.work.step["replay"]["save"], make)

    def _report(self) -> str:
        from oceankit.cli.figures import draw_regridding

        return self._file(self.work.step["regrid"]["report"], partial(draw_regridding, self.work))

    def _figure(self, spec: dict[str, Any]) -> str:
        # Figures cost an import of matplotlib: only where one is asked for.
        from oceankit.cli.figures import draw

        def make(path: Path) -> None:
            self.work.figures.append((path, draw(self.work, spec, path)))

        # Also where it is there: the caption that a bulletin prints is found while it is drawn.
        return self._file(spec["file"], make, make)

    def _bulletin(self) -> str:
        from oceankit.cli.telling import tell

        spec = self.work.step["bulletin"]
        return self._file(spec["file"], lambda path: tell(self.work, spec, path, self.run.values["centre"]))

    def _file(self, name: str, make: Callable[[Path], None], take: Callable[[Path], None] | None = None) -> str:
        """Make a file, or ``take`` what an earlier run has made, where anything is to be taken from it."""
        step = self.work.step
        path = self.output / name
        there = self.ledger.has(step, path)
        path.parent.mkdir(parents=True, exist_ok=True)
        if not there:
            make(path)
        elif take is not None:
            take(path)
        self.ledger.wrote(step, path, self.work.sources)
        self.account.written.append((step["name"], path))
        told = f"{path.relative_to(self.output)}, {places.size_text(path)}"
        return f"{told}, of an earlier run" if there else told

    def _stage(self, name: str, work: Callable[[], str]) -> None:
        begin = time.perf_counter()
        live = sys.stdout.isatty()
        if live:
            click.echo(f"  {name:<13}...", nl=False)
        try:
            with progress() if live else nullcontext():
                told = work()
        except Exception as error:
            if live:
                click.echo("\r\x1b[2K", nl=False)
            if self.debug:
                raise
            raise StageError(self.work.step["name"], name, error) from error
        seconds = time.perf_counter() - begin
        self.account.stages.append((self.work.step["name"], name, seconds, told))
        click.echo(f"{chr(13) + chr(27) + '[2K' if live else ''}  {name:<13}{told}  [{seconds:.1f} s]")


def _table(written: list[tuple[str, Path]], output: Path, seconds: float) -> None:
    click.echo(f"\nWritten to {output}/ in {seconds:.0f} s:")
    rows = [(name, str(path.relative_to(output)), places.size_text(path)) for name, path in written]
    widths = [max(len(row[k]) for row in rows) for k in range(3)]
    for name, file, size in rows:
        click.echo(f"  {file:<{widths[1]}}  {size:>{widths[2]}}  {name}")
