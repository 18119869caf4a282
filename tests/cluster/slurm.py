"""A real Slurm of two nodes on this machine: its own ports, key and folder; nothing of it is left behind."""

import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

NODES = ("n1", "n2")
MEMORY = 4000  # MB of each node
CPUS = 2

# No database, no cgroups: each job's processes are looked at every second, and one that takes too much memory is ended.
CONF = """
ClusterName=ci
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool/%n
TmpFS={folder}/tmp/%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.%n.pid
SlurmctldLogFile={folder}/log/slurmctld.log
SlurmdLogFile={folder}/log/slurmd.%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=1
JobAcctGatherParams=OverMemoryKill
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
DefMemPerCPU=1000
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_interval=2,sched_min_interval=0
MpiDefault=none
ReturnToService=2
KillWait=5
JobRequeue=1
MinJobAge=600
"""


def missing() -> str:
    """Why there can be no Slurm here; empty if there can be."""
    absent = [n for n in ("slurmctld", "slurmd", "munged", "sbatch", "srun") if shutil.which(n) is None]
    if absent:
        return f"no {', '.join(absent)} on this machine (Debian: apt-get install slurm-wlm munge)"
    if os.geteuid() != 0:
        return "Slurm's daemons need root"
    return ""


@contextmanager
def running() -> Iterator[Path]:
    """The folder of an instance, which holds its ``slurm.conf``; nothing runs any more when the block is left."""
    for attempt in range(3):
        # Not pytest's tmp_path, whose parents only root may pass: munge wants all of them open.
        folder = Path(tempfile.mkdtemp(prefix="slurm-", dir="/tmp"))
        folder.chmod(0o755)
        try:
            _start(folder)
            break
        except (subprocess.SubprocessError, RuntimeError):
            _stop(folder)
            if attempt == 2:
                raise
    try:
        yield folder
    finally:
        left = _stop(folder)
        assert not left, f"these outlived the tests: {left}"


def _start(folder: Path) -> None:
    for name in ("state", "log", "munge", *(f"{kind}/{n}" for kind in ("spool", "tmp") for n in NODES)):
        (folder / name).mkdir(parents=True)
        (folder / name).chmod(0o755)
    key = folder / "munge" / "key"
    key.write_bytes(os.urandom(128))
    key.chmod(0o600)
    host, (port, *ports) = socket.gethostname().split(".")[0], _free_ports(1 + len(NODES))
    lines = [CONF.format(host=host, port=port, folder=folder)]
    for name, own in zip(NODES, ports, strict=True):
        lines.append(
            f"NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={own} CPUs={CPUS} RealMemory={MEMORY}"
        )
    lines.append(f"PartitionName=ci Nodes={','.join(NODES)} Default=YES MaxTime=60 State=UP\n")
    (folder / "slurm.conf").write_text("\n".join(lines))
    env = os.environ | {"SLURM_CONF": str(folder / "slurm.conf")}
    at = folder / "munge"
    daemons = [
        ["munged", f"--socket={at}/socket", f"--key-file={key}", f"--pid-file={at}/pid", f"--log-file={at}/log",
         f"--seed-file={at}/seed"],
        ["slurmctld"],
        *(["slurmd", "-N", name] for name in NODES),
    ]  # fmt: skip
    for daemon in daemons:
        subprocess.run(daemon, env=env, check=True, timeout=30, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    for _ in range(300):
        found = subprocess.run(["sinfo", "-h", "-o", "%T"], env=env, capture_output=True, text=True, timeout=30)
        if set(found.stdout.split()) == {"idle"}:
            return
        time.sleep(0.1)
    raise RuntimeError("Slurm did not come up: " + (folder / "log" / "slurmctld.log").read_text()[-2000:])


def _free_ports(number: int) -> list[int]:
    """Neighbours below those that the system gives to outgoing connections."""
    for _ in range(200):
        first = random.SystemRandom().randrange(12000, 32000 - number)
        sockets = [socket.socket() for _ in range(number)]
        try:
            for k, one in enumerate(sockets):
                one.bind(("", first + k))
        except OSError:
            continue
        finally:
            for one in sockets:
                one.close()
        return [first + k for k in range(number)]
    raise RuntimeError("no free ports")


def _stop(folder: Path) -> list[str]:
    """End jobs and daemons; what had to be killed because it went on, said by its command line."""
    env = os.environ | {"SLURM_CONF": str(folder / "slurm.conf")}
    if (folder / "slurmctld.pid").exists():
        subprocess.run(["scancel", "--full", "--user=root"], env=env, check=False, timeout=30, capture_output=True)
        until(lambda: not queue(env), 15, hard=False)
    pids = [*(folder / f"slurmd.{n}.pid" for n in NODES), folder / "slurmctld.pid", folder / "munge" / "pid"]
    for path in pids:
        try:
            os.kill(int(path.read_text()), signal.SIGTERM)
        except (OSError, ValueError):
            continue
    until(lambda: not belonging_to(folder), 15, hard=False)
    left = belonging_to(folder)
    said = []
    for process in left:
        try:
            said.append(" ".join(process.cmdline()))
            process.kill()
        except psutil.NoSuchProcess:
            continue
    shutil.rmtree(folder, ignore_errors=True)
    return said


def belonging_to(folder: Path) -> list[psutil.Process]:
    """Processes that were started with this instance's settings: daemons, jobs, and what those started."""
    found = []
    for process in psutil.process_iter():
        try:
            mine = process.environ().get("SLURM_CONF") == str(folder / "slurm.conf")
            if (mine or str(folder) in " ".join(process.cmdline())) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.Error:
            continue
    return [p for p in found if p.pid != os.getpid()]


def queue(env: dict[str, str] | None = None) -> list[tuple[str, str, str]]:
    """Jobs that wait or run: number, state, nodes."""
    lines = command("squeue", "-h", "-o", "%i|%T|%N", env=env).splitlines()
    return [(a, b, c) for a, b, c in (line.split("|") for line in lines)]


def command(*words: str, env: dict[str, str] | None = None, check: bool = True) -> str:
    done = subprocess.run(list(words), env=env, capture_output=True, text=True, timeout=60, check=False)
    assert not check or done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
    return done.stdout


def state(job: str) -> dict[str, str]:
    """What ``scontrol show job`` says."""
    said = command("scontrol", "-o", "show", "job", job)
    return dict(word.partition("=")[::2] for word in said.split())


def finished(job: str, seconds: float) -> dict[str, str]:
    """The same when the job is over."""
    over = ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "OUT_OF_MEMORY", "NODE_FAIL")
    until(lambda: state(job)["JobState"] in over, seconds)
    return state(job)


def submitted(script: str, *options: str, folder: Path) -> str:
    """The number of a new job that runs these shell lines; what it says goes to ``job.log``."""
    path = folder / "job.sh"
    path.write_text(f"#!/bin/bash\n{script}\n")
    return command(
        "sbatch", "--parsable", f"--chdir={folder}", f"--output={folder}/job.log", *options, str(path)
    ).strip()


def until(true: Callable[[], Any], seconds: float, *, hard: bool = True) -> Any:
    """What ``true`` says, as soon as it is true."""
    end = time.monotonic() + seconds
    while not (said := true()):
        if time.monotonic() > end:
            assert not hard, f"it did not come within {seconds} s"
            return said
        time.sleep(0.1)
    return said
