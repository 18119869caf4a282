"""The part of the run file that says where it runs."""

from typing import Any

from oceankit.cli._types import Choice, Flag, Key, Number, Path, Section, Several, Text
from oceankit.cluster.sites import KINDS, ClusterError, site_of

__all__ = ["CLUSTER", "fits"]

_size = Text("a size such as 16GiB")


def fits(values: Any) -> str | None:
    """What is wrong with the options, but for those that only a submitted job needs."""
    given = {k: v for k, v in values.items() if k != "kind" and v is not None}
    try:
        site_of("local", **{k: v for k, v in given.items() if k != "interface"})
    except ClusterError as error:
        return str(error)
    return None


CLUSTER = Section(
    "cluster",
    "Where the run's work is done; [the guide](hpc.md) tells how. What is left out comes from the sections `jobqueue.slurm` and "
    "`jobqueue.pbs` of Dask's `jobqueue.yaml`.",
    {
        "kind": Key(
            Choice(KINDS),
            "`local`: processes of this machine; `slurm` and `pbs`: each worker is a job; `slurm-allocation` and `mpi`: the "
            "tasks of one job are scheduler, client and workers. `--cluster` goes before it",
        ),
        "workers": Key(Number(least=1, whole=True), "how many"),
        "threads": Key(Number(least=1, whole=True), "of each worker; 1 if left out"),
        "memory": Key(_size, "of each worker"),
        "walltime": Key(Text("HH:MM:SS"), "of the jobs"),
        "queue": Key(Text(), "or partition"),
        "account": Key(Text(), "that pays"),
        "interface": Key(Text(), "network interface between the nodes, such as `ib0`"),
        "scratch": Key(Path(), "folder on the nodes' own disks; `$TMPDIR` if left out"),
        "setup": Key(Several(Text(), alone=True), "shell lines before the work starts, such as `module load python`"),
        "directives": Key(
            Several(Text(), alone=True), "more lines for the batch system, such as `--constraint=haswell`"
        ),
        "tls": Key(
            Flag(), "whether scheduler, client and workers encrypt what they say and refuse others", default=False
        ),
        "dashboard": Key(Flag(), "whether Dask's web page is served, to the same network", default=False),
        "client_memory": Key(
            _size, "of the job that holds scheduler and client, for `slurm` and `pbs`; 4GiB if left out"
        ),
        "margin": Key(
            Number(least=90, whole=True), "seconds before the wall time is over at which a run stops; 120 if left out"
        ),
    },
)
