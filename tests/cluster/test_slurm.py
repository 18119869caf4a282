"""Workers that are jobs on two nodes of a real Slurm: the same numbers, whoever dies."""

import importlib.util
import os
import signal
import threading

import dask
import pytest
from cluster import seas
from cluster.conftest import options
from cluster.slurm import command, queue, state, until

pytest.importorskip("distributed", reason="needs the extra 'cluster'")
from oceankit.cluster import ClusterError, launch, watch

MIB = 2**20


# ---- workers that are jobs of their own -----------------------------------------------------------------------------


def where():
    return os.environ["SLURMD_NODENAME"], os.environ["SLURM_JOB_ID"], os.getpid()


@pytest.fixture(scope="module")
def client(slurm, tmp_path_factory):
    """Two jobs, on a node each."""
    # Those that are lost are given up sooner than Dask does.
    with (
        dask.config.set({"distributed.deploy.lost-worker-timeout": "1s"}),
        launch("slurm", threads=2, **options(tmp_path_factory.mktemp("jobs"))) as client,
    ):
        client.wait_for_workers(2, timeout=60)
        yield client


@pytest.mark.slow
def test_jobs_on_two_nodes_find_what_one_process_finds(client, same):
    assert {node for node, *_ in client.run(where).values()} == {"n1", "n2"}
    with watch(client) as seen:
        found = seas.results(seas.inputs())
    same(found)
    assert len(seen.workers) == 2
    assert all(worker["tasks"] >= 10 for worker in seen.workers)
    assert (seen.repeated, seen.lost) == (0, 0)


def pools():
    import numba
    import numpy as np
    import threadpoolctl

    from oceankit.numerics import threads

    np.ones((10, 10)) @ np.ones((10, 10))
    return {p["num_threads"] for p in threadpoolctl.threadpool_info()}, numba.get_num_threads(), threads.count()


def test_workers_have_the_threads_and_the_memory_that_were_asked_for(client):
    workers = client.scheduler_info(n_workers=-1)["workers"].values()
    assert [w["nthreads"] for w in workers] == [2, 2]
    # The process that watches the worker needs the rest; dask-jobqueue rounds.
    assert [w["memory_limit"] for w in workers] == pytest.approx([(1024 - 96) * MIB] * 2, rel=0.01)
    for _, job, _ in client.run(where).values():
        assert state(job)["MinMemoryNode"] == "1G"
        assert state(job)["CPUs/Task"] == "2"
    assert {w["local_directory"].split("/")[-3] for w in workers} == {f"oceankit-{os.getuid()}"}


def test_every_library_in_a_worker_has_one_thread(client):
    for found, numba_threads, own in client.run(pools).values():
        assert (found, numba_threads, own) == ({1}, 1, 1)
    futures = [client.submit(pools, workers=[w], pure=False) for w in client.run(where)]
    assert client.gather(futures) == [({1}, 1, 1)] * 2


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="needs the extra 'forecast'")
def test_torch_in_a_worker_has_one_thread(client):
    def count():
        import torch

        return torch.get_num_threads()

    assert client.submit(count).result(timeout=60) == 1


def reads(log, who=""):
    """How often each piece of work has read its blocks."""
    return {p.name: sum(m.startswith(who) for ms in seas.makers(p).values() for m in ms) for p in log.iterdir()}


@pytest.fixture(scope="module")
def undisturbed(client, tmp_path_factory):
    log = tmp_path_factory.mktemp("undisturbed")
    seas.results(seas.inputs(log))
    return reads(log)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("end", "during", "after"),
    # Days are read for the climatology first, three or so by each worker.
    [("kill", "maps", 2), ("scancel", "maps", 2), ("kill", "members", 2), ("kill", "days", 5)],
)
def test_what_a_lost_worker_held_is_made_again_and_nothing_else(
    client, same, undisturbed, tmp_path, end, during, after
):
    client.wait_for_workers(2, timeout=60)
    _, job, pid = next(iter(client.run(where).values()))
    log, victim = tmp_path / "log", f"{job}-{pid}"
    fields = seas.inputs(log, pause=0.4)

    def kill():
        until(lambda: reads(log, victim)[during] >= after, 60)
        if end == "kill":
            os.kill(pid, signal.SIGKILL)
        else:
            command("scancel", job)

    killer = threading.Thread(target=kill)
    with watch(client) as seen:
        killer.start()
        found = seas.results(fields)
    killer.join()
    same(found)
    assert seen.lost == 1
    made, by_victim = reads(log), reads(log, victim)
    # Heatwaves read each block for the climatology and for its days: both of a block that is lost are read again.
    assert 1 <= made[during] - undisturbed[during] <= (2 if during == "days" else 1) * by_victim[during]
    assert {n: k for n, k in made.items() if n != during} == {n: k for n, k in undisturbed.items() if n != during}
    assert seen.repeated >= 1
    client.wait_for_workers(2, timeout=60)
    until(lambda: {node for node, *_ in client.run(where).values()} == {"n1", "n2"}, 60)


# ---- refusals -------------------------------------------------------------------------------------------------------


def test_what_slurm_refuses_is_said_at_once(slurm, nodes):
    before = queue()
    with (
        pytest.raises(ClusterError, match="slurm refused the job of a worker: .*invalid partition"),
        launch("slurm", **nodes, queue="nowhere"),
    ):
        pytest.fail("it went on")
    assert {job for job, *_ in queue()} <= {job for job, *_ in before}


def test_what_memory_no_node_has_is_refused_at_once(slurm, nodes):
    with pytest.raises(ClusterError, match="slurm refused"), launch("slurm", **{**nodes, "memory": "40GiB"}):
        pytest.fail("it went on")
