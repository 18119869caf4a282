"""Jobs of workers that die before their worker has come, on a real Slurm."""

import dask
import pytest
from cluster.slurm import queue

pytest.importorskip("distributed", reason="needs the extra 'cluster'")
from oceankit.cluster import ClusterError, launch


@pytest.mark.slow
def test_jobs_that_end_before_their_worker_has_come_are_replaced(slurm, nodes, tmp_path, caplog):
    once = f"mkdir {tmp_path}/first 2>/dev/null && {{ echo no such module >&2; exit 3; }}"
    with launch("slurm", **{**nodes, "setup": [once]}) as client:
        assert client.submit(sum, [1, 2]).result(timeout=60) == 3
        client.wait_for_workers(2, timeout=60)
    assert "ended before its worker had begun" in caplog.text
    assert "no such module" in caplog.text


@pytest.mark.slow
def test_jobs_that_never_come_to_anything_end_the_wait(slurm, nodes):
    before = queue()
    scheduler = dask.config.get("scheduler", None)
    with (
        pytest.raises(ClusterError, match="jobs of workers in a row came to nothing; .*no such module"),
        launch("slurm", **{**nodes, "setup": ["echo no such module >&2", "exit 3"]}) as client,
    ):
        client.submit(sum, [1, 2]).result(timeout=120)
    assert {job for job, *_ in queue()} <= {job for job, *_ in before}
    # What follows in this process is computed as before.
    assert dask.config.get("scheduler", None) == scheduler
    assert dask.delayed(sum)([1, 2]).compute() == 3
