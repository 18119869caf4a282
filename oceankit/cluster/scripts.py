"""Job scripts that people can read and edit, and handing them to the batch system."""

import hashlib
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from oceankit.cluster.jobs import prologue
from oceankit.cluster.requeue import STOP_BY
from oceankit.cluster.sites import ClusterError, Site

__all__ = ["JOB_SCRIPT", "batch_of", "is_edited", "job_script", "submit"]

JOB_SCRIPT = "OCEANKIT_JOB_SCRIPT"
"""The variable by which a job knows its own script."""
_SUBMIT = {"slurm": "sbatch", "pbs": "qsub"}
_MARK = "# written by oceankit, unedited: "
_CLIENT_CORES = 2  # a scheduler and a client that share a job


def batch_of(site: Site) -> str:
    """Which batch system the job is for: ``"slurm"`` or ``"pbs"``.

    Raises
    ------
    ClusterError
        If work of this kind is not submitted.
    """
    if site.kind == "local":
        raise ClusterError("'local' runs on this machine and is not submitted: use 'oceankit run', or another kind")
    if site.kind == "mpi":
        return "slurm" if shutil.which("sbatch") else "pbs"
    return "pbs" if site.kind == "pbs" else "slurm"


def job_script(site: Site, command: Sequence[str], *, name: str, script: Path, log: Path, folder: Path) -> str:
    """The script of a job that runs ``command`` at a site.

    Of ``"slurm"`` and ``"pbs"`` the job holds scheduler and client, and submits the jobs of workers itself; of
    ``"slurm-allocation"`` and ``"mpi"`` it holds all of them.

    Parameters
    ----------
    site
        From :func:`oceankit.cluster.sites.site_of`.
    command
        Words of the command line.
    name
        Of the job.
    script, log
        Where the script will lie, and where the job writes what it says.
    folder
        Where it runs.

    Raises
    ------
    ClusterError
        If the site lacks what a job needs.
    """
    for key, example in (("walltime", "'02:00:00'"), ("workers", "8"), ("memory", "'16GiB'")):
        if getattr(site, key) is None:
            raise ClusterError(
                f"a job needs {key}, for example {key}: {example}; give it under 'cluster' of the run file"
            )
    batch = batch_of(site)
    header = (_slurm if batch == "slurm" else _pbs)(site, re.sub(r"[^\w.-]", "-", name), log)
    body = [
        *header,
        *[f"#{'SBATCH' if batch == 'slurm' else 'PBS'} {line}" for line in site.directives],
        "set -e",
        f"cd {shlex.quote(str(folder))}",
        *site.setup,
        "",
        "# A private folder on the node's own disk; one thread for each library in each worker thread.",
        *prologue(site),
        "",
        f"# {site.margin} s before the time is over, the run stops in good order and is queued again.",
        f'export {STOP_BY}="$(( $(date +%s) + {site.stop_after} ))"',
        f"export {JOB_SCRIPT}={shlex.quote(str(script))}",
        f"exec {_started(site, shlex.join(command))}",
        "",
    ]
    text = "\n".join(body)
    return f"#!/usr/bin/env bash\n{_MARK}{_digest(text)}\n{text}"


def is_edited(script: Path) -> bool:
    """Whether somebody has changed a script since it was written."""
    lines = script.read_text().split("\n", 2)
    return len(lines) < 3 or lines[1] != _MARK + _digest(lines[2])


def submit(script: Path, batch: str) -> str:
    """Hand a script to the batch system; returns the number of the job.

    Raises
    ------
    ClusterError
        If the command is missing or the batch system refuses the job.
    """
    command = _SUBMIT[batch]
    if shutil.which(command) is None:
        raise ClusterError(
            f"there is no {command} on this machine: submit {str(script)!r} from a login node, or run it there"
        )
    done = subprocess.run([command, str(script)], capture_output=True, text=True, check=False)
    if done.returncode:
        words = " ".join((done.stderr or done.stdout).split())
        raise ClusterError(f"{command} refused {str(script)!r}: {words}")
    number = re.search(r"\d[\w.\[\]-]*", done.stdout)
    return number[0] if number else done.stdout.strip()


def _slurm(site: Site, name: str, log: Path) -> list[str]:
    lines = [
        f"--job-name={name}",
        f"--output={log}-%j.log",
        "--open-mode=append",
        "--requeue",
        f"--time={site.walltime}",
    ]
    if site.queue:
        lines.append(f"--partition={site.queue}")
    if site.account:
        lines.append(f"--account={site.account}")
    if site.kind == "slurm":
        lines += ["--ntasks=1", f"--cpus-per-task={_CLIENT_CORES}", f"--mem={_mebibytes(site.client_memory)}M"]
    else:
        assert site.memory is not None
        lines += [f"--ntasks={_tasks(site)}", f"--cpus-per-task={site.threads}"]
        lines.append(f"--mem-per-cpu={_mebibytes(site.memory // site.threads)}M")
    return [f"#SBATCH {line}" for line in lines]


def _pbs(site: Site, name: str, log: Path) -> list[str]:
    # OpenPBS takes 15 letters of a name at most on some sites.
    lines = [f"-N {name[:15]}", f"-o {log}.log", "-j oe", "-r y", f"-l walltime={site.walltime}"]
    if site.queue:
        lines.append(f"-q {site.queue}")
    if site.account:
        lines.append(f"-A {site.account}")
    if site.kind == "pbs":
        lines.append(f"-l select=1:ncpus={_CLIENT_CORES}:mem={_mebibytes(site.client_memory)}mb")
    else:
        assert site.memory is not None
        lines.append(
            f"-l select={_tasks(site)}:ncpus={site.threads}:mpiprocs=1:ompthreads=1:mem={_mebibytes(site.memory)}mb"
        )
    return [f"#PBS {line}" for line in lines]


def _started(site: Site, command: str) -> str:
    if site.kind == "slurm-allocation":
        # One after another over the nodes, so that the two tasks that compute nothing share no node with each other.
        return f"srun --distribution=cyclic {command}"
    if site.kind == "mpi":
        return f"mpirun -n {_tasks(site)} {command}"
    return command


def _tasks(site: Site) -> int:
    assert site.workers is not None
    return site.workers + 2


def _mebibytes(size: int) -> int:
    return -(-size // 2**20)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def command_of(*words: str) -> list[str]:
    """The words of an `oceankit` command by the Python that runs now, whatever PATH is in the job."""
    return [sys.executable, "-m", "oceankit.cli", *words]


def write_script(script: Path, text: str, *, force: bool) -> None:
    """Write a job script that only its user can run.

    Raises
    ------
    ClusterError
        If there is one that somebody has edited, and ``force`` is false.
    """
    if script.exists() and not force and is_edited(script):
        raise ClusterError(
            f"{str(script)!r} was edited: submit it as it is by 'oceankit resume' or by hand, or give --force to write it anew"
        )
    part = script.with_name(f".{script.name}.part")
    part.write_text(text)
    part.chmod(0o700)
    os.replace(part, script)
