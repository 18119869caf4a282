"""One call that puts a Dask scheduler in force, wherever the work is to run."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import dask

from oceankit._extras import require
from oceankit.cluster.jobs import jobs
from oceankit.cluster.ranks import allocation, mpi
from oceankit.cluster.sites import PINNED, Site, private, site_of
from oceankit.cluster.surroundings import address, credentials_of, settings

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["launch", "launch_at"]


@contextmanager
def launch(kind: str, **site: Any) -> "Iterator[Client]":
    """Start Dask workers and put them in force for everything lazy inside the ``with`` block.

    A worker that dies is replaced where the kind allows it, and what it held is made again. The scheduler, the workers and
    their diagnostics listen on one network address each and on ports that are free, so that several runs share a machine.
    Each worker has ``threads`` threads of its own, and every library in them one. Compiled kernels of jobs, and what does not fit
    in memory, go to a folder on the worker's own disk that only its user can read.

    Parameters
    ----------
    kind
        ``"local"``: processes of this machine.
        ``"slurm"`` and ``"pbs"``: each worker is a job of its own, submitted from here (dask-jobqueue).
        ``"slurm-allocation"``: the tasks of this very job, started by ``srun``: the first is the scheduler, the second goes on
        behind ``with``, the others are workers and end with it. At least three.
        ``"mpi"``: the same for processes started by ``mpirun`` (dask-mpi).
    workers
        How many; by default as many as there are cores for, of the tasks of a job all but two.
    threads
        Of each worker; 1 by default, in a Slurm job its cores per task.
    memory
        Of one worker, such as ``"16GiB"`` or a number of bytes. In jobs it is asked of the scheduler, and 96 MiB of it are the
        share of the process that watches the worker. By default a share of the machine's, or what the job was given.
    walltime, queue, account
        Of the jobs: ``"HH:MM:SS"`` and names.
    interface
        Network interface, such as ``"ib0"``; by default the address of the host name (``"local"``: the loopback).
    scratch
        Folder on the worker's own disk; by default ``$TMPDIR``, or ``/tmp``. A private one is made in it.
    shared
        Folder that all nodes see, for addresses, logs and certificates; by default the current one. A private one is made in it.
    setup
        Shell lines before a worker starts, such as ``["module load python"]``.
    directives
        More lines for the batch system, such as ``["--constraint=haswell"]``.
    tls
        Whether scheduler, client and workers encrypt what they say and refuse everybody else. Without it whoever reaches the
        scheduler's port can run code as its user.
    client_memory, margin
        For jobs that ``oceankit submit`` writes: memory of the one that holds scheduler and client (4 GiB), and seconds before
        the wall time is over at which it stops (120, at least 90).
    dashboard
        Whether the scheduler serves its web page (on the same address); ``client.dashboard_link`` says where.

    What is left out is taken from the section ``jobqueue.slurm`` or ``jobqueue.pbs`` of the user's ``jobqueue.yaml``.

    Yields
    ------
    distributed.Client

    Raises
    ------
    ClusterError
        If an option does not fit, the batch system refuses a job, or there are too few tasks.

    Examples
    --------
    >>> import dask.array
    >>> with launch("local", workers=1) as client:
    ...     float(dask.array.ones(10, chunks=5).sum().compute())
    10.0
    """
    with launch_at(site_of(kind, **site)) as client:
        yield client


@contextmanager
def launch_at(site: Site) -> "Iterator[Client]":
    """The same for a site whose options were checked."""
    require("distributed", extra="cluster", purpose="oceankit.cluster.launch")
    start = {"local": _local, "slurm": jobs, "pbs": jobs, "slurm-allocation": allocation, "mpi": mpi}[site.kind]
    # A client that was closed by its own loop leaves dask asking for one; dask is left as it was found.
    with dask.config.set(scheduler=dask.config.get("scheduler", None)), start(site) as client:
        yield client


@contextmanager
def _local(site: Site) -> "Iterator[Client]":
    from distributed import Client, LocalCluster

    scratch = private(site.scratch)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    here = address(site) if site.interface else "127.0.0.1"
    security = credentials_of(site)
    # Compiled kernels stay beside the package, which this machine's other processes use too.
    with (
        dask.config.set({**settings(site), "distributed.nanny.pre-spawn-environ": PINNED}),
        LocalCluster(
            n_workers=site.workers or max(1, cores // site.threads), threads_per_worker=site.threads, processes=True,
            memory_limit=site.memory or "auto", host=here, dashboard_address=f"{here}:0", security=security,
            protocol="tls" if site.tls else "tcp", local_directory=str(scratch),
        ) as cluster,
        Client(cluster, security=security) as client,
    ):  # fmt: skip
        yield client
