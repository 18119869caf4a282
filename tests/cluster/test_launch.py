"""What is asked of a place where work runs, and what is refused; nothing here needs a batch system."""

import os
import urllib.request

import dask
import dask.array
import psutil
import pytest

from oceankit.cluster import ClusterError, launch
from oceankit.cluster.jobs import prologue
from oceankit.cluster.sites import PINNED, in_task, private, site_of

pytest.importorskip("distributed", reason="needs the extra 'cluster'")

JOBS = {"workers": 2, "memory": "16GiB", "walltime": "02:00:00"}


@pytest.fixture
def configured(tmp_path):
    """Write the user's jobqueue.yaml."""
    before = list(dask.config.paths)
    dask.config.paths[:] = [str(tmp_path)]
    yield (tmp_path / "jobqueue.yaml").write_text
    dask.config.paths[:] = before
    dask.config.refresh()


@pytest.fixture(autouse=True)
def _nothing_configured(configured):
    dask.config.refresh()


@pytest.mark.parametrize(
    ("kind", "given", "message"),
    [
        ("lsf", {}, "kind is 'lsf'; choose one of local, slurm, pbs, slurm-allocation, mpi"),
        ("slurm", {"wokers": 2}, "'slurm' has no option 'wokers'; it has account"),
        ("slurm", {"workers": 2, "walltime": "01:00:00"}, "'slurm' needs memory, for example memory='16GiB'"),
        ("slurm", {"workers": 2, "memory": "1GiB"}, "'slurm' needs walltime, .* jobqueue.slurm of jobqueue.yaml"),
        ("pbs", {"memory": "1GiB", "walltime": "01:00:00"}, "'pbs' needs workers, for example workers=8; give it"),
        ("slurm", JOBS | {"walltime": "two hours"}, "walltime is 'two hours'; give hours, minutes and seconds"),
        ("slurm", JOBS | {"walltime": "01:77:00"}, "walltime is '01:77:00'"),
        ("slurm", JOBS | {"walltime": "00:02:00"}, "walltime is 00:02:00, no more than the margin of 120 s"),
        ("slurm", JOBS | {"margin": 10}, "margin is 10 s; leave at least 90 s"),
        ("slurm", JOBS | {"memory": "much"}, "memory is 'much'; give a size such as '16GiB'"),
        ("slurm", JOBS | {"memory": "100MiB"}, "memory is 100.00 MiB, less than a worker takes"),
        ("slurm", JOBS | {"workers": 0}, "workers is 0; give a whole number of at least 1"),
        ("slurm", JOBS | {"threads": 1.5}, "threads is 1.5; give a whole number"),
        ("slurm", JOBS | {"directives": ["#SBATCH -C x"]}, "leave out '#SBATCH' or '#PBS'"),
        ("local", {"interface": "none0"}, "this machine has no network interface 'none0'; it has .*lo"),
    ],
)
def test_what_does_not_fit_is_refused_with_its_name(kind, given, message):
    with pytest.raises(ClusterError, match=message), launch(kind, **given):
        pytest.fail("it began")


def test_yaml_reads_a_wall_time_as_seconds():
    assert site_of("slurm", **JOBS | {"walltime": 7200}).walltime == "02:00:00"
    assert site_of("slurm", **JOBS | {"walltime": "1-00:00:10"}).seconds == 86410


@pytest.mark.parametrize(("kind", "section"), [("slurm", "slurm"), ("pbs", "pbs"), ("slurm-allocation", "slurm")])
def test_what_is_left_out_comes_from_the_users_file(configured, kind, section):
    lines = [
        "queue: long", "account: sea", "walltime: '03:00:00'", "memory: 8GiB", "cores: 4", "interface: lo",
        "local-directory: /local", "job-script-prologue: [module load python]",
        "job-extra-directives: ['--constraint=haswell']",
    ]  # fmt: skip
    configured("\n    ".join(["jobqueue:\n  " + section + ":", *lines]))
    site = site_of(kind, workers=2)
    assert (site.queue, site.account, site.walltime, site.threads) == ("long", "sea", "03:00:00", 4)
    assert (site.memory, site.interface, site.scratch) == (8 * 2**30, "lo", "/local")
    assert (site.setup, site.directives) == (("module load python",), ("--constraint=haswell",))
    # What is said here goes first.
    site = site_of(kind, workers=2, queue="short", memory="2GiB", setup=[])
    assert (site.queue, site.account, site.memory, site.setup) == ("short", "sea", 2 * 2**30, ())


@pytest.mark.parametrize(
    ("environ", "threads", "memory"),
    [
        ({}, 1, None),
        ({"SLURM_MEM_PER_CPU": "800"}, 1, 800),
        ({"SLURM_MEM_PER_CPU": "800", "SLURM_CPUS_PER_TASK": "4"}, 4, 3200),
        ({"SLURM_MEM_PER_NODE": "8000", "SLURM_TASKS_PER_NODE": "4(x2),3"}, 1, 2000),
        ({"SLURM_MEM_PER_NODE": "8000", "SLURM_TASKS_PER_NODE": "2"}, 1, 4000),
        # The whole memory of a node that nobody has said.
        ({"SLURM_MEM_PER_NODE": "0", "SLURM_TASKS_PER_NODE": "2"}, 1, None),
    ],
)
def test_a_task_has_its_share_of_what_the_job_was_given(environ, threads, memory):
    site = in_task(site_of("slurm-allocation"), environ)
    assert (site.threads, site.memory) == (threads, None if memory is None else memory * 2**20)


def test_what_is_said_goes_before_what_the_job_was_given():
    site = in_task(site_of("slurm-allocation", threads=2, memory="1GiB"), {"SLURM_MEM_PER_CPU": "800"})
    assert (site.threads, site.memory) == (2, 2**30)


def test_an_allocation_outside_of_a_job_is_refused(monkeypatch):
    monkeypatch.delenv("SLURM_PROCID", raising=False)
    with (
        pytest.raises(ClusterError, match="'slurm-allocation' runs inside of a Slurm job, started by 'srun -n N'"),
        launch("slurm-allocation"),
    ):
        pytest.fail("it began")


def test_kernels_and_spilled_data_of_jobs_are_on_the_nodes_own_disk():
    lines = "\n".join(prologue(site_of("slurm", **JOBS)))
    assert 'export OCEANKIT_SCRATCH="${TMPDIR:-/tmp}/oceankit-$(id -u)"' in lines
    assert 'export NUMBA_CACHE_DIR="${NUMBA_CACHE_DIR-$OCEANKIT_SCRATCH/numba}"' in lines
    assert all(f"{name}={value}" in lines for name, value in PINNED.items())


def test_private_folders_are_closed_to_others(tmp_path):
    place = private(tmp_path)
    assert place == tmp_path / f"oceankit-{os.getuid()}"
    assert place.stat().st_mode & 0o777 == 0o700
    place.chmod(0o755)
    assert private(tmp_path).stat().st_mode & 0o777 == 0o700


@pytest.mark.skipif(os.name != "posix" or os.getuid() != 0, reason="only root gives folders away")
def test_a_folder_of_somebody_else_is_refused(tmp_path):
    os.chown(private(tmp_path), 65534, 65534)
    with pytest.raises(ClusterError, match="belongs to another user; name another folder with scratch"):
        private(tmp_path)


def test_a_link_in_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / f"oceankit-{os.getuid()}").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ClusterError, match="belongs to another user|cannot be written"):
        private(tmp_path)


def test_a_scratch_that_cannot_be_written_is_refused():
    with pytest.raises(ClusterError, match="the scratch folder '/proc/oceankit-.*' cannot be written"):
        private("/proc")


# ---- processes of this machine --------------------------------------------------------------------------------------


def listening(pid):
    """Addresses at which a process can be reached."""
    found = psutil.Process(pid).net_connections(kind="inet")
    return {c.laddr.ip for c in found if c.status == psutil.CONN_LISTEN}


def port_and_process(dask_scheduler=None, dask_worker=None):
    return (dask_scheduler or dask_worker).http_server.port, os.getpid()


@pytest.mark.slow
def test_a_dashboard_that_is_asked_for_is_on_the_same_address(tmp_path):
    site = {"workers": 1, "interface": "lo", "scratch": tmp_path, "memory": "1GiB"}
    with launch("local", dashboard=True, tls=True, **site) as client:
        assert client.scheduler.address.startswith("tls://127.0.0.1:")
        assert client.dashboard_link.startswith("http://127.0.0.1:")
        port, _ = client.run_on_scheduler(port_and_process)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/info/main/workers.html", timeout=10) as said:
            assert said.status == 200
        assert listening(os.getpid()) == {"127.0.0.1"}
        ((_, pid),) = client.run(port_and_process).values()
        assert listening(pid) == {"127.0.0.1"}
        assert float(dask.array.ones(10, chunks=5).sum().compute()) == 10
    assert not list(tmp_path.rglob("*.pem"))
