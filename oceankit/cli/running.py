"""Run the steps of a checked run file, saying on the terminal what is done and how long it takes."""

import io
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import click
import xarray as xr
from dask.diagnostics import ProgressBar

from oceankit._version import __version__
from oceankit.cli import places, storing
from oceankit.cli._choices import FILTERS
from oceankit.cli._forecast_checks import SAVED
from oceankit.cli.assimilating import assimilate, completed
from oceankit.cli.forecasting import make_forecast
from oceankit.cli.heatwaves import find_heatwaves
from oceankit.cli.reading import RunFile
from oceankit.cli.work import Work, depart, find_events, open_input, regrid, relevel

__all__ = ["StageError", "run_steps"]


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


def run_steps(run: RunFile, output: Path, *, only: Sequence[str] = (), debug: bool = False) -> list[tuple[str, Path]]:
    """Run the steps; returns what each has written.

    Raises
    ------
    StageError
        At the first stage that fails (with ``debug`` its own exception instead); what was written before stays.
    """
    steps = [step for _, step in run.steps if not only or step["name"] in only]
    begin = time.perf_counter()
    click.echo(f"oceankit {__version__}: {run.path}, {len(steps)} step{'s' * (len(steps) != 1)}, into {output}/")
    written: list[tuple[str, Path]] = []
    for step in steps:
        _Runner(run, Work(step, run.folder), output, written, debug).go()
    _table(written, output, time.perf_counter() - begin)
    return written


class _Runner:
    """One step on its way through the stages."""

    def __init__(self, run: RunFile, work: Work, output: Path, written: list[tuple[str, Path]], debug: bool) -> None:
        self.run, self.work, self.output, self.written, self.debug = run, work, output, written, debug

    def go(self) -> None:
        step = self.work.step
        click.echo(f"\n{click.style(step['name'], bold=True)}  {step['title'] or ''}".rstrip())
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
        if step["regrid"] is not None and step["regrid"]["report"] is not None:
            self._stage("report", self._report)
        for figure in step["figure"] or ():
            self._stage("figure", partial(self._figure, figure))
        if step["bulletin"] is not None:
            self._stage("bulletin", self._bulletin)

    def _product(self, metadata: dict[str, Any]) -> str:
        path = self._place(self.work.step["product"]["file"])
        storing.write_product(self.work, path, metadata)
        corrected = self.work.corrected
        if corrected is None or corrected.n_bounded is None:
            return self._done(path)
        method = self.work.step["assimilate"]["method"]
        return f"{self._done(path)}; {corrected.n_bounded} values{' of members' * (method in FILTERS)} set to a bound"

    def _members(self, name: str, members: xr.Dataset) -> xr.Dataset:
        path = self._place(name)
        stored = storing.write_members(self.work, members, path, self.run.values["metadata"] or {})
        self._done(path)
        return stored

    def _observations(self, name: str, metadata: dict[str, Any]) -> str:
        path = self._place(name)
        storing.write_observations(self.work, completed(self.work), path, metadata)
        return self._done(path)

    def _events(self, name: str, metadata: dict[str, Any]) -> str:
        path = self._place(name)
        storing.write_heatwaves(self.work, path, metadata)
        return self._done(path)

    def _days(self, name: str, metadata: dict[str, Any]) -> str:
        path = self._place(name)
        storing.write_days(self.work, path, metadata)
        return self._done(path)

    def _forecast(self, key: str, name: str, metadata: dict[str, Any]) -> str:
        path = self._place(name)
        storing.write_forecast(self.work, key, path, metadata)
        return self._done(path)

    def _report(self) -> str:
        from oceankit.cli.figures import draw_regridding

        path = self._place(self.work.step["regrid"]["report"])
        draw_regridding(self.work, path)
        return self._done(path)

    def _figure(self, spec: dict[str, Any]) -> str:
        # Figures cost an import of matplotlib: only where one is asked for.
        from oceankit.cli.figures import draw

        path = self._place(spec["file"])
        self.work.figures.append((path, draw(self.work, spec, path)))
        return self._done(path)

    def _bulletin(self) -> str:
        from oceankit.cli.telling import tell

        spec = self.work.step["bulletin"]
        path = self._place(spec["file"])
        tell(self.work, spec, path, self.run.values["centre"])
        return self._done(path)

    def _place(self, name: str) -> Path:
        path = self.output / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def _done(self, path: Path) -> str:
        self.written.append((self.work.step["name"], path))
        return f"{path.relative_to(self.output)}, {places.size_text(path)}"

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
        seconds = f"{time.perf_counter() - begin:.1f} s"
        click.echo(f"{chr(13) + chr(27) + '[2K' if live else ''}  {name:<13}{told}  [{seconds}]")


class _OneLine(io.TextIOBase):
    """Where Dask draws its bar: one line of the terminal, wiped when the bar is done."""

    def write(self, text: str) -> int:
        sys.stdout.write("\r\x1b[2K" if text == "\n" else text.replace("\r", "\r\x1b[2K  "))
        return len(text)

    def flush(self) -> None:
        sys.stdout.flush()


@contextmanager
def progress() -> Iterator[None]:
    """Dask's progress bar, for computations that take longer than half a second."""
    with ProgressBar(minimum=0.5, dt=0.2, out=_OneLine()):
        yield


def _table(written: list[tuple[str, Path]], output: Path, seconds: float) -> None:
    click.echo(f"\nWritten to {output}/ in {seconds:.0f} s:")
    rows = [(name, str(path.relative_to(output)), places.size_text(path)) for name, path in written]
    widths = [max(len(row[k]) for row in rows) for k in range(3)]
    for name, file, size in rows:
        click.echo(f"  {file:<{widths[1]}}  {size:>{widths[2]}}  {name}")
