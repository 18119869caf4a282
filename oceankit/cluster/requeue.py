"""Stopping before the wall time is over, in good order, and being queued again."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from oceankit.cluster.sites import ClusterError

__all__ = ["STOP_BY", "OutOfTime", "Terminated", "queue_again", "stopping_in_time"]

STOP_BY = "OCEANKIT_STOP_BY"
"""The variable by which a job script says when to stop, in seconds since 1970."""


class OutOfTime(BaseException):
    """The wall time is nearly over; no error of a stage, so that nothing takes it for one."""


class Terminated(BaseException):
    """The batch system (or somebody) has asked this process to end."""


@contextmanager
def stopping_in_time() -> Iterator[None]:
    """Raise :class:`OutOfTime` inside the block when it is time to stop, and :class:`Terminated` at a SIGTERM.

    What is being written then is not lost: products are written tile by tile beside their place.

    Raises
    ------
    ClusterError
        If the environment names a time that is none.
    """
    limit = os.environ.get(STOP_BY, "")
    if limit and not limit.isdigit():
        raise ClusterError(f"{STOP_BY} is {limit!r}; it is a time in seconds since 1970, as 'date +%s' prints it")
    left = int(limit) - time.time() if limit else None

    def over(*_: Any) -> None:
        raise OutOfTime

    def ended(*_: Any) -> None:
        raise Terminated

    before = [(s, signal.signal(s, handler)) for s, handler in ((signal.SIGALRM, over), (signal.SIGTERM, ended))]
    try:
        if left is not None:
            signal.setitimer(signal.ITIMER_REAL, max(left, 0.1))
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in before:
            signal.signal(number, handler)


def queue_again(script: str | None, environ: Mapping[str, str] = os.environ) -> str:
    """Put the job of this process in the queue again; returns in words what was done.

    In Slurm it keeps its number; elsewhere its script is submitted once more.

    Raises
    ------
    ClusterError
        If neither can be done; the message says how to go on by hand.
    """
    job = environ.get("SLURM_JOB_ID")
    commands = []
    if job and shutil.which("scontrol"):
        commands.append((["scontrol", "requeue", job], f"job {job} is queued again"))
    if script:
        batch = "sbatch" if job else "qsub"
        commands.append(([batch, script], f"submitted {script} again"))
    reasons = []
    for command, words in commands:
        if shutil.which(command[0]) is None:
            reasons.append(f"there is no {command[0]} here")
            continue
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if not done.returncode:
            return words
        reasons.append(" ".join((done.stderr or done.stdout).split()))
    told = "; ".join(reasons) or "this is no job of a batch system"
    raise ClusterError(f"the run could not be queued again ({told}): go on with 'oceankit resume'")
