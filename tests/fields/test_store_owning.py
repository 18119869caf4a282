"""Of two that write one product, the second is refused; a writer that is dead holds nobody up for long."""

import json
import os
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager

import dask.array
import numpy as np
import pytest
import xarray as xr

from oceankit.fields import owning
from oceankit.fields.store import StoreError, check_integrity, write


@pytest.fixture(autouse=True)
def soon(monkeypatch):
    monkeypatch.setattr(owning, "_PATIENCE", 2.0)
    monkeypatch.setattr(owning, "_BEAT", 0.2)
    monkeypatch.setattr(owning, "_LOOK", 0.1)


@pytest.fixture
def sign(tmp_path):
    (tmp_path / ".v.zarr.unfinished").mkdir()
    return tmp_path / ".v.zarr.unfinished" / "writer.json"


def lazy():
    return xr.DataArray(dask.array.ones((4, 6), chunks=(2, 6)), dims=("y", "x"), name="v")


def signed(sign, pid, host=None):
    sign.write_text(json.dumps({"host": host or socket.gethostname(), "pid": pid, "token": "another"}))


@contextmanager
def alive(sign):
    over = threading.Event()

    def live():
        while not over.wait(0.1):
            os.utime(sign)

    thread = threading.Thread(target=live)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@pytest.mark.parametrize("host", [None, "elsewhere"])
def test_a_writer_that_lives_is_not_disturbed(tmp_path, sign, host):
    signed(sign, os.getppid(), host)
    before = sign.read_text()
    with alive(sign), pytest.raises(StoreError, match=f"process {os.getppid()} on {host or socket.gethostname()}"):
        write(lazy(), tmp_path / "v.zarr", resume=True)
    assert sign.read_text() == before
    assert [p.name for p in sign.parent.iterdir()] == ["writer.json"]


@pytest.mark.parametrize("how", ["elsewhere", "number given anew", "my number", "unreadable"])
def test_a_writer_that_gives_no_sign_of_life_is_taken_for_dead(tmp_path, sign, how):
    if how == "unreadable":
        sign.touch()
    else:
        signed(sign, os.getpid() if how == "my number" else os.getppid(), "elsewhere" if how == "elsewhere" else None)
    write(lazy(), tmp_path / "v.zarr", resume=True)
    assert check_integrity(tmp_path / "v.zarr").ok
    assert [p.name for p in tmp_path.iterdir()] == ["v.zarr"]


def test_a_process_that_is_gone_is_not_waited_for(tmp_path, sign, monkeypatch):
    monkeypatch.setattr(owning, "_PATIENCE", 1e9)
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    signed(sign, gone.pid)
    write(lazy(), tmp_path / "v.zarr", resume=True)
    assert check_integrity(tmp_path / "v.zarr").ok


def test_of_many_that_begin_at_once_one_writes(tmp_path):
    place, inside, most, refused = tmp_path / "place", [], [], []
    ready = threading.Barrier(8)

    def enter():
        ready.wait()
        try:
            with owning.owned(place, "v.zarr"):
                inside.append(1)
                most.append(len(inside))
                threading.Event().wait(0.5)
                inside.pop()
        except StoreError as error:
            refused.append(str(error))

    threads = [threading.Thread(target=enter) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert max(most) == 1
    assert len(most) + len(refused) == 8
    assert all("is being written by process" in text for text in refused)
    assert not place.exists()


def test_a_writer_that_was_taken_for_dead_does_not_put_its_product_in_place(tmp_path):
    path = tmp_path / "v.zarr"

    def suspended(block):
        sign = tmp_path / ".v.zarr.unfinished" / "writer.json"
        sign.unlink(missing_ok=True)  # two threads do this
        signed(sign, 1, "elsewhere")
        return block

    field = lazy().copy(data=dask.array.map_blocks(suspended, lazy().data, meta=np.empty((0, 0))))
    with pytest.raises(StoreError, match="process 1 on elsewhere"):
        write(field, path, resume=True)
    assert not path.exists()
    assert (tmp_path / ".v.zarr.unfinished" / "writer.json").exists()
    write(lazy(), path, resume=True)
    assert check_integrity(path).ok
