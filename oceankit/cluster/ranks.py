"""Scheduler, client and workers that are the tasks of one job: of ``srun`` or of ``mpirun``."""

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dask

from oceankit._extras import require
from oceankit.cluster.sites import PINNED, ClusterError, Site, in_task, private
from oceankit.cluster.surroundings import address, settings, shared_folder

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["allocation", "mpi"]


@contextmanager
def allocation(site: Site) -> "Iterator[Client]":
    from distributed import Client

    from oceankit.cluster.watching import Deserted

    environ = os.environ
    if not {"SLURM_PROCID", "SLURM_NTASKS", "SLURM_JOB_ID"} <= set(environ):
        raise ClusterError(
            "'slurm-allocation' runs inside of a Slurm job, started by 'srun -n N'; this process was not"
        )
    _enough(int(environ["SLURM_NTASKS"]), "srun -n")
    slurm = require("dask_jobqueue.slurm", extra="cluster", purpose="launch('slurm-allocation')")

    class Runner(slurm.SLURMRunner):  # type: ignore[name-defined]
        async def on_scheduler_start(self, scheduler: Any) -> None:
            scheduler.add_plugin(Deserted(scheduler), name="oceankit-deserted")

    site = in_task(site, environ)
    # A job that was requeued has its old number, and files of its earlier life.
    run = "-".join(environ.get(n, "0") for n in ("SLURM_JOB_ID", "SLURM_STEP_ID", "SLURM_RESTART_COUNT"))
    shared = shared_folder(site)
    addresses, certificates = shared / f"scheduler-{run}.json", shared / f"certificates-{run}.json"
    _in_every_rank(site)
    if site.tls:
        _samecredentials_of(environ["SLURM_PROCID"] == "0", certificates)
    with dask.config.set(settings(site)):
        protocol = "tls" if site.tls else "tcp"
        here = {"interface": site.interface} if site.interface else {"host": address(site)}
        runner = Runner(
            scheduler_file=str(addresses),
            scheduler_options={
                **here, "protocol": protocol, "dashboard": site.dashboard, "dashboard_address": f"{address(site)}:0",
            },
            worker_options={
                **here, "protocol": protocol, "nthreads": site.threads, "memory_limit": site.memory or "auto",
                "local_directory": str(private(site.scratch)),
            },
        )  # fmt: skip
        # Only the client's task comes here.
        try:
            with runner, Client(runner.scheduler_address) as client:
                # It would end the scheduler by a connection that knows no certificates.
                runner.scheduler_comm = None
                try:
                    yield client
                finally:
                    client.shutdown()
        finally:
            for path in (addresses, certificates):
                path.unlink(missing_ok=True)


@contextmanager
def mpi(site: Site) -> "Iterator[Client]":
    from distributed import Client

    comm = require("mpi4py.MPI", extra="mpi", purpose="launch('mpi')").COMM_WORLD
    dask_mpi = require("dask_mpi", extra="mpi", purpose="launch('mpi')")
    _enough(comm.Get_size(), "mpirun -n")
    _in_every_rank(site)
    if site.tls:
        _same_credentials_by(comm)
    here = address(site)
    with dask.config.set(settings(site)):
        going_on = dask_mpi.initialize(
            interface=site.interface, nthreads=site.threads, local_directory=str(private(site.scratch)),
            memory_limit=site.memory or "auto", dashboard=site.dashboard, dashboard_address=f"{here}:0",
            protocol="tls" if site.tls else "tcp", exit=False,
            worker_options={} if site.interface else {"host": here},
        )  # fmt: skip
        if not going_on:
            sys.exit()
        with Client() as client:
            try:
                yield client
            finally:
                client.shutdown()


def _enough(tasks: int, command: str) -> None:
    if tasks < 3:
        raise ClusterError(
            f"there are {tasks} tasks, but a scheduler, a client and at least one worker are needed: {command} 3 or more"
        )


def _in_every_rank(site: Site) -> None:
    """What the environment of a job would have done, for libraries that are not loaded yet; the others are told."""
    os.environ.update(PINNED)
    # What is told at each start and end of a worker would drown what the client has to say.
    logging.getLogger("distributed").setLevel(logging.WARNING)
    os.environ.setdefault("NUMBA_CACHE_DIR", str(private(site.scratch) / "numba"))
    require("threadpoolctl", extra="cluster", purpose="pinning threads").threadpool_limits(1)
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(1)


def _samecredentials_of(first: bool, path: Path) -> None:
    from oceankit.cluster import credentials

    if first:
        credentials.hand_over(credentials.fresh(), path)
    credentials.adopt(credentials.handed_over(path))


def _same_credentials_by(comm: Any) -> None:
    from oceankit.cluster import credentials

    security = credentials.fresh() if comm.Get_rank() == 0 else None
    roles = None if security is None else {
        role: security.get_tls_config_for_role(role) for role in ("client", "scheduler", "worker")
    }  # fmt: skip
    credentials.adopt(comm.bcast(roles, root=0))
