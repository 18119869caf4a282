"""Workers that are jobs of a batch system, each of its own; those that die are submitted again."""

import asyncio
import getpass
import logging
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dask
from dask.utils import parse_timedelta

from oceankit._extras import require
from oceankit.cluster.sites import PINNED, ClusterError, Site
from oceankit.cluster.surroundings import (
    address,
    credentials_of,
    interrupts_kept,
    settings,
    shared_folder,
    told_to_workers,
)

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["jobs", "prologue"]

log = logging.getLogger(__name__)

_CHECK = "5s"
"""How often it is looked whether all workers that were asked for are still there."""

_TRIES = 3
"""Jobs in a row, or as many as there are to be workers, that may come to nothing."""


@contextmanager
def jobs(site: Site) -> "Iterator[Client]":
    from distributed import Client, Status

    with interrupts_kept():
        jobqueue = require("dask_jobqueue", extra="cluster", purpose=f"launch({site.kind!r})")
    family = {"slurm": jobqueue.SLURMCluster, "pbs": jobqueue.PBSCluster}[site.kind]
    with (
        _certificates(site) as security,
        dask.config.set(settings(site)),
        family(**_job_options(site, security)) as cluster,
    ):
        assert site.workers is not None
        try:
            # Now rather than in the background, where a refusal would only be logged.
            cluster.sync(_submitted, cluster, site.workers)
        except (RuntimeError, OSError) as error:
            # Dask refuses to close what never began; jobs that were accepted are cancelled all the same.
            for job in cluster._created:
                job.status = Status.failed
            words = " ".join(str(error).split())
            raise ClusterError(f"{site.kind} refused the job of a worker: {words}") from error
        # Workers that go are replaced; Dask does not notice those that never came.
        cluster.adapt(minimum_jobs=site.workers, maximum_jobs=site.workers, interval=_CHECK)
        with Client(cluster, security=security) as client:
            stillborn = _Stillborn(site, cluster, client)
            cluster.loop.add_callback(stillborn.begin)
            try:
                yield client
            except Exception as error:
                if stillborn.given_up:
                    raise ClusterError(stillborn.given_up) from error
                raise
            finally:
                cluster.loop.add_callback(stillborn.end)


@contextmanager
def _certificates(site: Site) -> "Iterator[Any]":
    """Credentials in files that the jobs can read, as long as the run lasts; None without TLS."""
    security = credentials_of(site)
    if security is None:
        yield None
        return
    from oceankit.cluster import credentials

    with tempfile.TemporaryDirectory(prefix="certificates-", dir=shared_folder(site)) as folder:
        yield credentials.in_files(security, Path(folder))


class _Stillborn:
    """Looks for jobs that ended before their worker had come, and has them replaced, as long as there is hope."""

    def __init__(self, site: Site, cluster: Any, client: Any) -> None:
        from tornado.ioloop import PeriodicCallback

        self.site, self.cluster, self.client = site, cluster, client
        self.came: set[Any] = set()
        self.in_a_row = 0
        self.silent = False
        self.given_up = ""
        self._look = PeriodicCallback(self.look, parse_timedelta(_CHECK) * 1000)

    def begin(self) -> None:
        self._look.start()

    def end(self) -> None:
        self._look.stop()

    async def look(self) -> None:
        new = self.cluster.observed - self.came
        self.came |= new
        if new:
            self.in_a_row = 0
        waiting = {
            name: job
            for name, job in self.cluster.workers.items()
            if name not in self.came and job.job_id is not None and name in self.cluster.worker_spec
        }
        if not waiting or self.given_up:
            return
        try:
            queued = await asyncio.to_thread(_in_the_queue, self.site.kind)
        except (OSError, subprocess.SubprocessError) as error:
            if not self.silent:
                log.warning(
                    "the batch system does not say which jobs there are (%s): dead ones may not be noticed", error
                )
            self.silent = True
            return
        self.silent = False
        # One may have come since.
        gone = {n: j.job_id for n, j in waiting.items() if str(j.job_id) not in queued}
        for name, job in gone.items():
            if name in self.cluster.observed:
                continue
            self.in_a_row += 1
            told = f"job {job} ended before its worker had begun{self._log_of(job)}"
            if self.in_a_row >= max(_TRIES, len(self.cluster.worker_spec)):
                self._give_up(told)
                return
            log.warning("%s; another takes its place", told)
            del self.cluster.worker_spec[name]
        if gone:
            await self.cluster

    def _give_up(self, told: str) -> None:
        words = f"{self.in_a_row} jobs of workers in a row came to nothing; {told}"
        if self.cluster.observed:
            self.end()
            log.warning("%s; the run goes on with %d workers", words, len(self.cluster.observed))
            return
        self.given_up = f"{words}; what 'setup' does there, and whether the nodes see {sys.executable}, decides"
        log.error(self.given_up)
        # Whoever waits for a result gets an error now.
        self.cluster.loop.add_callback(self.client._close)

    def _log_of(self, job: Any) -> str:
        """The last words of its log."""
        lines = [
            line
            for path in sorted((shared_folder(self.site) / "logs").glob(f"*{job}*"))
            for line in path.read_text(errors="replace").splitlines()
            if line.strip()
        ]
        return f" ({' / '.join(lines[-3:])[:300]})" if lines else ""


def _in_the_queue(kind: str) -> set[str]:
    """Numbers of this user's jobs that wait or run.

    Raises
    ------
    OSError, subprocess.SubprocessError
        If the batch system does not say.
    """
    user = getpass.getuser()
    command = {"slurm": ["squeue", "-h", "-o", "%i", "-u", user], "pbs": ["qselect", "-u", user]}[kind]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    return {line.split(".")[0] for line in done.stdout.split()}


async def _submitted(cluster: Any, workers: int) -> None:
    while len(cluster.worker_spec) < workers:
        cluster.worker_spec.update(cluster.new_worker_spec())
    await cluster._correct_state()


def _job_options(site: Site, security: Any) -> dict[str, Any]:
    """What dask-jobqueue is told; worker jobs are pinned and their folders private."""
    options: dict[str, Any] = {
        "cores": site.threads, "processes": 1, "memory": f"{site.limit}B", "walltime": site.walltime, "queue": site.queue,
        "account": site.account, "interface": site.interface, "local_directory": '"$OCEANKIT_SCRATCH"',
        "log_directory": str(shared_folder(site) / "logs"),
        "python": sys.executable, "job_name": "oceankit-worker", "nanny": True, "security": security,
        "job_script_prologue": [*site.setup, *prologue(site), *told_to_workers(site), _own_address(site)],
        "job_extra_directives": list(site.directives),
        "worker_extra_args": ["--no-dashboard", "--dashboard-address", '"$OCEANKIT_ADDRESS:0"'],
        "scheduler_options": {"dashboard": site.dashboard, "dashboard_address": f"{address(site)}:0"},
    }  # fmt: skip
    if site.interface is None:
        options["scheduler_options"]["host"] = address(site)
        options["worker_extra_args"] += ["--host", '"$OCEANKIT_ADDRESS"']
    if site.kind == "slurm":
        options["job_mem"] = site.memory_text
    else:
        options["resource_spec"] = f"select=1:ncpus={site.threads}:mem={site.memory_text.lower()}b"
    if site.seconds is not None:
        # A worker hands over what it holds before its time is over, and another takes its place.
        options["worker_extra_args"] += ["--lifetime", f"{site.stop_after}s"]
    return options


def prologue(site: Site) -> list[str]:
    """Shell lines by which a job gets its private folder, and one thread for each library."""
    base = site.scratch or "${TMPDIR:-/tmp}"
    return [
        # A job that was submitted from a job has the folders of that one in its environment.
        '[ "${NUMBA_CACHE_DIR-}" = "${OCEANKIT_SCRATCH-none}/numba" ] && unset NUMBA_CACHE_DIR',
        f'export OCEANKIT_SCRATCH="{base}/oceankit-$(id -u)"',
        'mkdir -p -m 700 "$OCEANKIT_SCRATCH" && [ -O "$OCEANKIT_SCRATCH" ] && chmod 700 "$OCEANKIT_SCRATCH" ||'
        ' { echo "oceankit: the scratch folder $OCEANKIT_SCRATCH cannot be used; name another" >&2; exit 1; }',
        'export NUMBA_CACHE_DIR="${NUMBA_CACHE_DIR-$OCEANKIT_SCRATCH/numba}"',
        "export " + " ".join(f"{name}={value}" for name, value in PINNED.items()),
    ]


def _own_address(site: Site) -> str:
    """A shell line that finds the one address a worker listens on; Dask's own command would let its page listen on all."""
    call = f"get_ip_interface('{site.interface}')" if site.interface else "get_ip()"
    return (
        f'export OCEANKIT_ADDRESS="$({sys.executable} -c "import distributed.utils as u; print(u.{call})" | tail -n 1)"'
    )
