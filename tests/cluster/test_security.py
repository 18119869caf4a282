"""Who can reach a run, and what of it others can see."""

import os
import socket
import ssl
import urllib.error
import urllib.request
from pathlib import Path

import psutil
import pytest
from cluster.conftest import options

pytest.importorskip("distributed", reason="needs the extra 'cluster'")
from distributed import Client

from oceankit.cluster import credentials, launch


def family():
    return os.getpid(), os.getppid()


def listening(pid):
    """Addresses at which a process can be reached."""
    found = psutil.Process(pid).net_connections(kind="inet")
    return {c.laddr.ip for c in found if c.status == psutil.CONN_LISTEN}


def page(dask_scheduler):
    return dask_scheduler.http_server.port


def worker_page(dask_worker):
    return dask_worker.http_server.port


def answer(port, path):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/{path}", timeout=10) as said:
            return said.status
    except urllib.error.HTTPError as error:
        return error.code


@pytest.fixture(scope="module")
def client(slurm, tmp_path_factory):
    folder = tmp_path_factory.mktemp("jobs")
    with launch("slurm", tls=True, **options(folder)) as client:
        client.wait_for_workers(2, timeout=60)
        client.folder = folder
        yield client


def test_scheduler_workers_and_what_watches_them_listen_on_the_interface_only(client):
    workers = client.run(family)
    assert len(workers) == 2
    for pids in workers.values():
        for pid in pids:
            assert listening(pid) == {"127.0.0.1"}
    assert listening(os.getpid()) == {"127.0.0.1"}


def test_without_a_dashboard_only_their_health_is_told(client):
    ports = [client.run_on_scheduler(page), *client.run(worker_page).values()]
    for port in ports:
        assert answer(port, "health") == 200
        for path in ("status", "info/main/workers.html", "json/identity.json", "metrics", "sysinfo"):
            assert answer(port, path) == 404


def talk(host, port):
    """Say something without a certificate, and hear the answer."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection((host, int(port)), timeout=10) as plain, context.wrap_socket(plain) as nobody:
        nobody.sendall(b"hello")
        return nobody.recv(1)


def test_whoever_has_no_certificate_of_this_run_is_refused(client):
    address = client.scheduler.address
    assert address.startswith("tls://127.0.0.1:")
    assert all(worker.startswith("tls://127.0.0.1:") for worker in client.run(family))
    with pytest.raises(OSError), Client(address, security=credentials.fresh(), timeout="3s"):
        pytest.fail("it was let in")
    with pytest.raises(OSError), Client(address.replace("tls", "tcp"), timeout="3s"):
        pytest.fail("it was let in")
    for known in (address, *client.run(family)):
        with pytest.raises(OSError):
            talk(*known.removeprefix("tls://").split(":"))
    # They go on.
    assert client.submit(sum, [1, 2]).result(timeout=60) == 3


def keys(folder):
    """Lines that only a private key has."""
    found = [p.read_text() for p in folder.rglob("*.pem")]
    return {text.split("PRIVATE KEY-----")[1].split()[0] for text in found if "PRIVATE KEY" in text}


def test_keys_are_in_closed_files_and_nowhere_else(client):
    (place,) = client.folder.rglob("certificates-*")
    files = list(place.iterdir())
    assert len(files) == 7
    assert all(p.stat().st_mode & 0o777 == 0o600 for p in files)
    assert place.stat().st_mode & 0o777 == 0o700
    secrets = keys(client.folder)
    assert len(secrets) >= 1
    logs = [p.read_text() for p in client.folder.rglob("*.err")]
    assert len(logs) >= 2
    lines = []
    for process in psutil.process_iter():
        try:
            lines.append(" ".join(process.cmdline()))
        except psutil.Error:
            continue
    for text in (client.cluster.job_script(), *logs, *lines):
        assert not any(secret in text for secret in secrets)
        assert "PRIVATE KEY" not in text


def test_keys_are_gone_when_the_run_is_over(slurm, nodes, tmp_path):
    with launch("slurm", tls=True, **nodes):
        assert keys(tmp_path)
    assert not list(tmp_path.rglob("*.pem"))


def test_folders_of_workers_are_closed_to_others(client):
    for worker in client.scheduler_info(n_workers=-1)["workers"].values():
        place = Path(worker["local_directory"])
        private = next(p for p in place.parents if p.name == f"oceankit-{os.getuid()}")
        assert private.stat().st_mode & 0o777 == 0o700
        assert private.stat().st_uid == os.getuid()
