"""Scheduler, client and workers that are the tasks of one job on two nodes of a real Slurm."""

import json
import os
import pickle
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from cluster import seas
from cluster.conftest import options
from cluster.slurm import finished, submitted, until

pytest.importorskip("distributed", reason="needs the extra 'cluster'")

RANK = Path(__file__).parent / "rank.py"
MIB = 2**20


def in_one_job(folder, *srun, nodes=2, **given):
    """The number of a job whose tasks run ``rank.py``."""
    site = {"interface": "lo", "scratch": str(folder), "shared": str(folder)} | given.pop("site", {})
    words = ["srun", "--distribution=cyclic", *srun, sys.executable, str(RANK), "slurm-allocation", str(folder)]
    script = shlex.join([*words, json.dumps({"site": site, **given})])
    return submitted(script, f"--nodes={nodes}", "--ntasks=4", "--mem-per-cpu=800", "--time=10", folder=folder)


def read(folder, name):
    return pickle.loads((folder / f"{name}.pickle").read_bytes())


def said(folder):
    return (folder / "job.log").read_text()


@pytest.fixture(scope="module")
def allocation(slurm, tmp_path_factory):
    """The folder of a job of four tasks on two nodes that has come to its end."""
    folder = tmp_path_factory.mktemp("allocation")
    assert finished(in_one_job(folder, workers=2), 120)["JobState"] == "COMPLETED", said(folder)
    return folder


@pytest.mark.slow
def test_tasks_of_one_job_on_two_nodes_find_what_one_process_finds(allocation, same):
    started, seen = read(allocation, "started"), read(allocation, "seen")
    assert sorted(w["node"] for w in started["workers"]) == ["n1", "n2"]
    same(read(allocation, "results"))
    assert len(seen["workers"]) == 2
    assert all(worker["tasks"] >= 10 for worker in seen["workers"])
    assert (seen["repeated"], seen["lost"]) == (0, 0)


def test_tasks_have_what_the_job_was_given_and_one_thread_a_library(allocation):
    started = read(allocation, "started")
    assert started["nthreads"] == [1, 1]
    assert started["limits"] == [800 * MIB] * 2
    for process in (started["client"], started["scheduler"], *started["workers"]):
        assert process["threads"] == {1}
    assert len({p["pid"] for p in (started["client"], started["scheduler"], *started["workers"])}) == 4


def test_a_job_leaves_no_addresses_behind(allocation):
    assert not list((allocation / f"oceankit-{os.getuid()}").glob("*.json"))


@pytest.mark.slow
def test_a_job_goes_on_when_a_worker_task_is_killed(slurm, same, tmp_path):
    job = in_one_job(tmp_path, "--overcommit", "-n", "5", workers=3, pause=0.4)
    until(lambda: (tmp_path / "started.pickle").exists(), 90)
    pid = read(tmp_path, "started")["workers"][-1]["pid"]
    log = tmp_path / "log" / "maps"
    until(lambda: log.is_dir() and any(m[0].endswith(f"-{pid}") for m in seas.makers(log).values()), 60)
    os.kill(pid, signal.SIGKILL)
    finished(job, 120)
    same(read(tmp_path, "results"))
    seen = read(tmp_path, "seen")
    assert (len(seen["workers"]), seen["lost"]) == (3, 1)


@pytest.mark.slow
def test_a_job_whose_client_was_killed_ends_by_itself(slurm, tmp_path):
    job = in_one_job(tmp_path, workers=2, then="wait", patience=1.0)
    until(lambda: (tmp_path / "started.pickle").exists(), 90)
    os.kill(read(tmp_path, "started")["client"]["pid"], signal.SIGKILL)
    assert finished(job, 60)["JobState"] == "FAILED"


@pytest.mark.slow
def test_an_error_ends_the_job_at_once_and_it_has_failed(slurm, tmp_path):
    job = in_one_job(tmp_path, workers=2, then="fail")
    found = finished(job, 90)
    assert found["JobState"] == "FAILED"
    assert found["ExitCode"] != "0:0"
    assert "RuntimeError: the work cannot be done" in said(tmp_path)


@pytest.mark.slow
def test_tasks_encrypt_what_they_say_and_leave_no_keys_where_that_is_asked(slurm, tmp_path):
    job = in_one_job(tmp_path, workers=2, then="nothing", site={"tls": True})
    assert finished(job, 90)["JobState"] == "COMPLETED", said(tmp_path)
    assert read(tmp_path, "started")["address"].startswith("tls://127.0.0.1:")
    assert not [p for p in tmp_path.rglob("*") if p.is_file() and b"PRIVATE KEY" in p.read_bytes()]


def test_too_few_tasks_are_refused(slurm, tmp_path):
    job = in_one_job(tmp_path, "-n", "2", workers=1)
    assert finished(job, 60)["JobState"] == "FAILED"
    assert "there are 2 tasks, but a scheduler, a client and at least one worker are needed: srun -n 3" in said(
        tmp_path
    )


# ---- several runs ---------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_two_runs_of_one_user_go_beside_each_other(slurm, same, tmp_path):
    runs = []
    for name, tls in (("one", False), ("two", True)):
        (tmp_path / name).mkdir()
        site = options(tmp_path) | {"workers": 1, "tls": tls, "directives": []}
        words = [str(tmp_path / name), json.dumps({"site": site, "workers": 1})]
        with (tmp_path / name / "log").open("w") as log:
            runs.append(subprocess.Popen([sys.executable, RANK, "slurm", *words], stdout=log, stderr=log))
    try:
        until(lambda: all(run.poll() is not None for run in runs), 120)
    finally:
        for run in runs:
            run.kill()
            run.wait(timeout=10)
    for name, run in zip(("one", "two"), runs, strict=True):
        assert run.returncode == 0, (tmp_path / name / "log").read_text()
        same(pickle.loads((tmp_path / name / "results.pickle").read_bytes()))
