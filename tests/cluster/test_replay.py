"""A replay whose archive is read by jobs of a Slurm cluster, from a script and from a run file: the same files, byte for byte."""

import os
import subprocess
import sys

import pytest

pytest.importorskip("distributed", reason="needs the extra 'cluster'")
pytest.importorskip("torch", reason="needs the extra 'forecast'")
from replay.seas import products, sea, settings

from oceankit.cluster import launch, watch
from oceankit.fields import open_fields
from oceankit.replay import replay

LAST = "2006-07-04"
RUN = """\
oceankit: 1
cluster: {{kind: slurm, workers: 2, memory: 2GiB, walltime: "00:10:00", interface: lo, directives: --exclusive,
  scratch: {scratch}}}
steps:
  - name: summer
    input: {{paths: sst.nc, variable: sst}}
    replay: {{base: [2001, 2005], days: [2006-07-01, 2006-07-04], leads: 7, maps: 7, confidence: 0.5,
      late: 0.2, again: 0.15, corrected: 0.2, seed: 5, save: summer}}
"""


@pytest.mark.slow
def test_a_replay_on_jobs_writes_the_same_files(slurm, nodes, tmp_path):
    sea().to_netcdf(tmp_path / "sst.nc")
    with open_fields(tmp_path / "sst.nc") as ds:
        here = replay(ds["sst"].load(), tmp_path / "here", settings(LAST))
    assert here.exists()
    with (
        launch("slurm", **nodes) as client,
        open_fields(tmp_path / "sst.nc", chunks={"time": 400, "lat": 2}) as ds,
        watch(client) as seen,
    ):
        assert replay(ds["sst"], tmp_path / "there", settings(LAST)).exists()
    assert seen.repeated == 0
    assert sum(worker["tasks"] for worker in seen.workers) > 10
    assert products(tmp_path / "there") == products(tmp_path / "here")
    (tmp_path / "run.yaml").write_text(RUN.format(scratch=tmp_path))
    command = [sys.executable, "-m", "oceankit.cli", "run", str(tmp_path / "run.yaml")]
    done = subprocess.run(command, env=dict(os.environ), capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr + done.stdout
    assert products(tmp_path / "output" / "summer") == products(tmp_path / "here")
