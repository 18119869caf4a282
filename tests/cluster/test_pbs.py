"""Workers that PBS starts; of PBS itself there are stand-ins for the commands, as no package of Debian brings it."""

import os
import signal
import subprocess
from pathlib import Path

import dask.array
import pytest
from cluster import slurm as real

from oceankit.cluster import ClusterError, launch, watch

# Jobs are processes of this machine, each a group of its own; their numbers are those of the groups.
QSUB = """#!/usr/bin/env bash
script=$(mktemp "{folder}/script-XXXX.sh") && cp "$1" "$script"
setsid bash "$script" > "$script.out" 2>&1 < /dev/null &
echo "$!" >> "{folder}/jobs"
echo "$!.pbs"
"""
QSELECT = """#!/usr/bin/env bash
for job in $(cat "{folder}/jobs"); do kill -0 -- "-$job" 2> /dev/null && echo "$job.pbs"; done
true
"""
QDEL = """#!/usr/bin/env bash
for job in "$@"; do kill -- -"${{job%%.*}}" 2> /dev/null; done
echo "$@" >> "{folder}/deleted"
"""


@pytest.fixture
def pbs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, surroundings: pytest.MonkeyPatch) -> Path:
    for name, text in (("qsub", QSUB), ("qdel", QDEL), ("qselect", QSELECT)):
        path = tmp_path / name
        path.write_text(text.format(folder=tmp_path))
        path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    return tmp_path


OPTIONS = {"memory": "700MiB", "walltime": "00:10:00", "interface": "lo"}


@pytest.mark.slow
def test_jobs_that_never_come_to_anything_end_the_wait(pbs: Path):
    options = {**OPTIONS, "shared": str(pbs), "scratch": str(pbs), "setup": ["exit 3"]}
    with (
        pytest.raises(ClusterError, match="3 jobs of workers in a row came to nothing"),
        launch("pbs", workers=1, **options) as client,
    ):
        client.submit(sum, [1, 2]).result(timeout=60)
    assert len(list(pbs.glob("script-*.sh"))) == 3


@pytest.mark.skipif(os.name != "posix", reason="groups of processes")
@pytest.mark.slow
def test_workers_are_jobs_and_one_that_dies_is_submitted_again(pbs: Path):
    options = {**OPTIONS, "shared": str(pbs), "scratch": str(pbs)}
    with launch("pbs", workers=1, queue="marine", threads=2, **options) as client, watch(client) as seen:
        client.wait_for_workers(1, timeout=60)
        (pid,) = client.run(os.getppid).values()
        assert float(dask.array.ones(10, chunks=5).sum().compute()) == 10.0
        os.killpg(os.getpgid(pid), signal.SIGKILL)
        real.until(lambda: len(list(pbs.glob("script-*.sh"))) == 2, 60)
        client.wait_for_workers(1, timeout=60)
        assert float(dask.array.ones(10, chunks=5).sum().compute()) == 10.0
    assert seen.lost == 1
    script = next(pbs.glob("script-*.sh")).read_text()
    assert "#PBS -l select=1:ncpus=2:mem=700mb" in script
    assert "#PBS -q marine" in script
    assert "#PBS -l walltime=00:10:00" in script
    assert "--nthreads 2" in script
    assert "OMP_NUM_THREADS=1" in script
    assert subprocess.run(["bash", "-n"], input=script, text=True, check=False).returncode == 0
    assert (pbs / "deleted").exists()
