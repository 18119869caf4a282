"""Run files on a cluster: run, submit, resume, and what the run took."""

import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from oceankit.cli.ledger import FOLDER, Ledger, read_ledger
from oceankit.cli.reading import RunFile
from oceankit.cli.running import Account, run_steps
from oceankit.cluster import requeue, scripts
from oceankit.cluster.sites import ClusterError, Site, in_task, site_of

if TYPE_CHECKING:
    from oceankit.cluster.planning import Plan

__all__ = ["plan_for", "resume_run", "run_on", "site_for", "submit_run"]

_STOPPED = 75  # EX_TEMPFAIL: not finished, but nothing is wrong


def site_for(run: RunFile, kind: str | None, output: Path) -> Site | None:
    """Where the run file, or ``kind`` before it, says that the work is done; None for this process alone.

    Raises
    ------
    ClusterError
        If an option is missing or does not fit.
    """
    given = {key: value for key, value in (run.values.get("cluster") or {}).items() if value not in (None, False)}
    kind = kind or given.get("kind")
    given.pop("kind", None)
    if kind is None:
        if given:
            raise ClusterError("the run file has 'cluster' without a 'kind'; add one, or give --cluster KIND")
        return None
    return site_of(kind, shared=str(output.absolute() / FOLDER), **given)


def run_on(
    site: Site | None, run: RunFile, output: Path, *, only: Sequence[str] = (), debug: bool = False, fresh: bool = False
) -> None:
    """Run the steps at a site, from where an earlier run was cut off; before the wall time is over, stop and queue again.

    Raises
    ------
    StageError, ClusterError
        If a stage fails, or the site cannot be used.
    """
    output.mkdir(parents=True, exist_ok=True)
    planned = plan_for(site, run)
    if fresh:
        for left in output.glob("**/.*.unfinished"):
            shutil.rmtree(left)
    stopped: BaseException | None = None
    ledger: Ledger | None = None
    try:
        with _placed(site) as seen, requeue.stopping_in_time():
            notes = {"only": list(only), "kind": None if site is None else site.kind}
            ledger = Ledger(run, output, fresh=fresh, notes=notes)
            if ledger.begun:
                click.echo("taking up an earlier run, which was cut off (--fresh begins anew)")
            with nullcontext() if site is None else _performance(output / "dask-report.html"):
                begin = time.perf_counter()
                account = run_steps(run, output, only=only, debug=debug, ledger=ledger, plan=planned)
            if site is not None:
                seen.look()
                _report(site, run, account, seen, output / "run-report.html", time.perf_counter() - begin)
    except (requeue.OutOfTime, requeue.Terminated) as error:
        stopped = error
    if stopped is not None and ledger is not None:
        _go_on_later(stopped, ledger, output)


def plan_for(site: Site | None, run: RunFile) -> "Plan | None":
    """How the work is cut to fit the workers; None where no memory of theirs is known, and chunks are as the files suggest.

    Raises
    ------
    PlanError
        If it does not fit.
    """
    from oceankit.cluster.planning import plan

    if site is not None and site.kind == "slurm-allocation":
        site = in_task(site, os.environ)
    if site is None or site.limit is None:
        return None
    return plan(run, memory=site.limit, workers=site.workers or 1, threads=site.threads)


@contextmanager
def _placed(site: Site | None) -> Iterator[Any]:
    """The site's workers, watched; of a job of several tasks only the client's goes on inside."""
    if site is None:
        yield None
        return
    from oceankit.cluster.launching import launch_at
    from oceankit.cluster.watching import watch

    with launch_at(site) as client, watch(client) as seen:
        yield seen


@contextmanager
def _performance(path: Path) -> Iterator[None]:
    """Dask's own report of what its workers did when."""
    from distributed import performance_report

    with performance_report(filename=str(path)):
        yield


def _report(site: Site, run: RunFile, account: Account, seen: Any, path: Path, seconds: float) -> None:
    from oceankit.cluster.reports import page

    rows = [(step, stage, spent, told) for step, stage, spent, told in account.stages]
    sizes = [(step, file.relative_to(path.parent).as_posix(), _size(file)) for step, file in account.written]
    text = page(str(run.values.get("title") or run.path.name), site, rows, sizes, seen, seconds)
    path.write_text(text, encoding="utf-8")
    click.echo(f"  run-report.html, dask-report.html: what the run took on {len(seen.workers)} workers")


def _size(path: Path) -> int:
    return sum(p.stat().st_size for p in path.rglob("*") if p.is_file()) if path.is_dir() else path.stat().st_size


def _go_on_later(stopped: BaseException, ledger: Ledger, output: Path) -> None:
    """Say what was stopped, and queue the job again where there is one and time is all it lacked."""
    what = "its time is nearly over" if isinstance(stopped, requeue.OutOfTime) else "it was asked to end"
    click.echo(
        f"\nstopped, as {what}; finished since it began: {ledger.progress} files and tiles. Nothing of them is lost",
        err=True,
    )
    if isinstance(stopped, requeue.Terminated):
        click.echo(f"go on with: oceankit resume {output}", err=True)
        sys.exit(128 + 15)
    if ledger.progress <= 0:
        raise ClusterError(
            "nothing was finished within the wall time, so the run is not queued again: ask for more time, or cut the product "
            "into smaller chunks"
        )
    click.echo(requeue.queue_again(os.environ.get(scripts.JOB_SCRIPT)), err=True)
    sys.exit(_STOPPED)


def submit_run(
    site: Site | None, run: RunFile, output: Path, *, only: Sequence[str] = (), dry: bool = False, force: bool = False
) -> None:
    """Write the script of a job that runs a run file, and submit it; with ``dry`` only print it.

    Raises
    ------
    ClusterError
        If the site cannot be used, the script was edited, or the batch system refuses it.
    """
    if site is None:
        raise ClusterError("say where to: --cluster slurm, or 'cluster: {kind: slurm}' in the run file")
    output = output.absolute()
    script, logs = output / f"submit-{site.kind}.sh", output / FOLDER / "logs"
    words = ["run", str(run.path.resolve()), "--output", str(output), "--cluster", site.kind]
    command = scripts.command_of(*words, *[w for name in only for w in ("--only", name)])
    batch = scripts.batch_of(site)
    name = f"oceankit-{run.path.stem}"
    text = scripts.job_script(site, command, name=name, script=script, log=logs / "run", folder=run.folder)
    if dry:
        click.echo(text, nl=False)
        return
    logs.mkdir(parents=True, exist_ok=True)
    (output / FOLDER).chmod(0o700)
    scripts.write_script(script, text, force=force)
    _submit(run, output, script, batch, site.kind)


def _submit(run: RunFile, output: Path, script: Path, batch: str, kind: str) -> None:
    number = scripts.submit(script, batch)
    Ledger(run, output, notes={"kind": kind, "script": str(script), "batch": batch, "job": number})
    look = f"squeue -j {number}" if batch == "slurm" else f"qstat {number}"
    click.echo(f"job {number}: {script}\n  {look}\n  tail -F {output / FOLDER / 'logs' / 'run'}*.log")


def resume_run(output: Path, *, here: bool, check: Callable[..., tuple[RunFile, Path]], debug: bool) -> None:
    """Go on with the run into ``output`` that was cut off: submit its job again, or run on ``here``.

    Raises
    ------
    ClusterError
        If nothing was cut off there, or the run file is gone.
    """
    left = read_ledger(output)
    if left is None:
        raise ClusterError(
            f"{str(output)!r} is no output folder of a run that was cut off: nothing is left to do there"
        )
    path, notes = Path(left["run_file"]), left["notes"]
    if not path.exists():
        raise ClusterError(f"the run file {str(path)!r} is gone; put it back, or run another with --output {output}")
    only = tuple(notes.get("only") or ())
    run, _ = check(path, output, only)
    script = notes.get("script")
    if script and not here:
        if not Path(script).exists():
            raise ClusterError(
                f"the job script {script!r} is gone; write it anew with 'oceankit submit', or use --here"
            )
        _submit(run, output.absolute(), Path(script), notes["batch"], notes["kind"])
        return
    kind = notes.get("kind") if not script else None
    run_on(site_for(run, kind, output) if kind else None, run, output, only=only, debug=debug)
