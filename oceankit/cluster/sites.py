"""What is known of a place where work runs: options checked, defaults from jobqueue.yaml, private folders, pinned threads."""

import os
import re
import stat
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import dask
from dask.utils import format_bytes, parse_bytes

__all__ = ["BATCH", "KINDS", "PINNED", "RANKED", "ClusterError", "Site", "in_task", "private", "site_of"]

KINDS = ("local", "slurm", "pbs", "slurm-allocation", "mpi")
BATCH = ("slurm", "pbs")
"""Kinds whose workers are jobs of their own."""
RANKED = ("slurm-allocation", "mpi")
"""Kinds whose scheduler, client and workers are the tasks of one job, in this order."""

PINNED = {
    "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "BLIS_NUM_THREADS": "1",
    "VECLIB_MAXIMUM_THREADS": "1", "NUMEXPR_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1", "OCEANKIT_NUM_THREADS": "1",
    "MALLOC_TRIM_THRESHOLD_": "65536",
}  # fmt: skip
"""One thread of a library in each worker thread; memory that is freed goes back to the system."""

_CONFIGURED = {"queue": "queue", "account": "account", "walltime": "walltime", "interface": "interface",
               "threads": "cores", "memory": "memory", "scratch": "local-directory"}  # fmt: skip
_NANNY = 96 * 2**20
"""Bytes: what the process that watches over a worker takes of its job (60 MiB measured)."""


_LEAST_MARGIN = 90  # seconds


class ClusterError(ValueError):
    """The work cannot run there; the message names the option, its value and the remedy."""


@dataclass(frozen=True)
class Site:
    """Where work runs, and with what; :func:`site_of` makes one from what is given and what is configured."""

    kind: str
    workers: int | None = None
    threads: int = 1
    memory: int | None = None
    """Bytes of one worker with the process that watches it."""
    walltime: str | None = None
    queue: str | None = None
    account: str | None = None
    interface: str | None = None
    scratch: str | None = None
    shared: str | None = None
    setup: tuple[str, ...] = ()
    directives: tuple[str, ...] = ()
    tls: bool = False
    dashboard: bool = False
    client_memory: int = 4 * 2**30
    """Bytes of a submitted job that holds the scheduler and the client, where workers are jobs of their own."""
    margin: int = 120
    """Seconds before the wall time is over, for stopping in good order."""

    @property
    def stop_after(self) -> int:
        """Seconds after its start that a job stops."""
        assert self.seconds is not None
        return self.seconds - self.margin

    @property
    def limit(self) -> int | None:
        """Bytes that a worker itself may take."""
        return None if self.memory is None else max(self.memory - _NANNY, self.memory // 2)

    @property
    def memory_text(self) -> str:
        """The memory in whole MiB, as schedulers want it."""
        assert self.memory is not None
        return f"{-(-self.memory // 2**20)}M"

    @property
    def seconds(self) -> int | None:
        """The wall time."""
        return None if self.walltime is None else _seconds(self.walltime)


def site_of(kind: str, **given: Any) -> Site:
    """The site that the options describe; what is left out comes from ``jobqueue.yaml`` (``jobqueue.slurm.queue`` ...).

    Raises
    ------
    ClusterError
        If an option is unknown, missing or makes no sense.
    """
    if kind not in KINDS:
        raise ClusterError(f"kind is {kind!r}; choose one of {', '.join(KINDS)}")
    known = {f.name for f in fields(Site)} - {"kind"}
    for name in given:
        if name not in known:
            raise ClusterError(f"{kind!r} has no option {name!r}; it has {', '.join(sorted(known))}")
    values = {k: v for k, v in given.items() if v is not None}
    for name, value in _configured(kind).items():
        values.setdefault(name, value)
    for name in ("setup", "directives"):
        value = values.get(name, ())
        values[name] = (value,) if isinstance(value, str) else tuple(map(str, value))
    for name in ("workers", "threads", "margin"):
        if name in values:
            values[name] = _whole(name, values[name])
    for name in ("memory", "client_memory"):
        if name in values:
            values[name] = _bytes(values[name], name)
    if "walltime" in values:
        values["walltime"] = _walltime(values["walltime"])
    for name in ("scratch", "shared"):
        if name in values:
            values[name] = os.fspath(values[name])
    site = Site(kind, **values)
    _require(site)
    return site


def _configured(kind: str) -> dict[str, Any]:
    """What the user's jobqueue.yaml says; a job that holds everything is described as the jobs of workers are."""
    section = {"slurm-allocation": "slurm", "mpi": "pbs"}.get(kind, kind)
    if section not in BATCH:
        return {}
    # The files alone: dask_jobqueue adds defaults (30 minutes) that nobody here has chosen as soon as it is imported.
    users = dask.config.collect()

    def said(key: str) -> Any:
        return dask.config.get(f"jobqueue.{section}.{key}", None, config=users)

    found = {n: said(key) for n, key in _CONFIGURED.items()}
    found["setup"] = said("job-script-prologue") or None
    found["directives"] = said("job-extra-directives") or None
    return {n: v for n, v in found.items() if v is not None}


def _require(site: Site) -> None:
    if site.kind in BATCH:
        for name, example in (("workers", "8"), ("memory", "'16GiB'"), ("walltime", "'02:00:00'")):
            if getattr(site, name) is None:
                where = "" if name == "workers" else f" or in jobqueue.{site.kind} of jobqueue.yaml"
                raise ClusterError(f"{site.kind!r} needs {name}, for example {name}={example}; give it{where}")
    if site.memory is not None and site.memory < 2**28:
        raise ClusterError(
            f"memory is {format_bytes(site.memory)}, less than a worker takes with its libraries alone; give 256 MiB or more"
        )
    if site.margin < _LEAST_MARGIN:
        raise ClusterError(f"margin is {site.margin} s; leave at least {_LEAST_MARGIN} s before the wall time is over")
    if site.seconds is not None and site.seconds <= site.margin:
        raise ClusterError(
            f"walltime is {site.walltime}, no more than the margin of {site.margin} s; ask for more time"
        )
    for line in site.directives:
        if line.lstrip().startswith("#"):
            raise ClusterError(f"directives has {line!r}; leave out '#SBATCH' or '#PBS', as in '--constraint=haswell'")
    if site.interface is not None:
        import psutil

        # Nodes of a cluster may have interfaces that this machine lacks, but the scheduler runs here.
        there = sorted(psutil.net_if_addrs())
        if site.interface not in there:
            raise ClusterError(f"this machine has no network interface {site.interface!r}; it has {', '.join(there)}")


def _whole(name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ClusterError(f"{name} is {value!r}; give a whole number of at least 1")
    return value


def _bytes(memory: Any, name: str) -> int:
    try:
        return int(parse_bytes(memory))
    except (ValueError, TypeError, AttributeError):
        raise ClusterError(f"{name} is {memory!r}; give a size such as '16GiB', or a number of bytes") from None


def _walltime(value: Any) -> str:
    # YAML reads 02:00:00 as the number 7200.
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        return f"{value // 3600:02d}:{value // 60 % 60:02d}:{value % 60:02d}"
    if not re.fullmatch(r"(\d+-)?\d{1,3}:[0-5]\d:[0-5]\d", str(value)):
        raise ClusterError(f"walltime is {value!r}; give hours, minutes and seconds, as in '02:00:00'")
    return str(value)


def _seconds(walltime: str) -> int:
    days, _, clock = walltime.rpartition("-")
    hours, minutes, seconds = map(int, clock.split(":"))
    return int(days or 0) * 86400 + hours * 3600 + minutes * 60 + seconds


def private(folder: str | os.PathLike[str] | None) -> Path:
    """This user's own folder in ``folder`` (by default where temporary files go), which nobody else can look into.

    Raises
    ------
    ClusterError
        If it cannot be made, or belongs to somebody else.
    """
    base = Path(os.path.expandvars(folder or tempfile.gettempdir())).expanduser()
    place = base / f"oceankit-{os.getuid()}"
    try:
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = place.lstat()
        # In a folder that all may write to, somebody else may have been first.
        if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid():
            raise ClusterError(f"{str(place)!r} belongs to another user; name another folder with scratch")
        place.chmod(0o700)
        with tempfile.TemporaryFile(dir=place):
            pass
    except OSError as error:
        raise ClusterError(
            f"the scratch folder {str(place)!r} cannot be written ({error}); name one that can with scratch"
        ) from error
    return place


def in_task(site: Site, environ: Mapping[str, str]) -> Site:
    """The site with what Slurm gives each task of a job, where nothing else was said."""
    threads = environ.get("SLURM_CPUS_PER_TASK", "")
    if threads.isdigit() and site.threads == 1:
        site = replace(site, threads=int(threads))
    if site.memory is None:
        memory = _slurm_memory(environ, site.threads)
        site = replace(site, memory=memory)
    return site


def _slurm_memory(environ: Mapping[str, str], threads: int) -> int | None:
    """Bytes of one task: per core, or its share of the node."""
    per_core, per_node = environ.get("SLURM_MEM_PER_CPU", ""), environ.get("SLURM_MEM_PER_NODE", "")
    if per_core.isdigit():
        return int(per_core) * 2**20 * threads
    # As in 4(x2),3: tasks of each node.
    tasks = [int(n) for n in re.findall(r"(\d+)(?:\(x\d+\))?", environ.get("SLURM_TASKS_PER_NODE", ""))]
    if per_node.isdigit() and int(per_node) and tasks:
        return int(per_node) * 2**20 // max(tasks)
    return None
