"""A write that is killed or refused leaves the earlier product, or nothing."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from oceankit.fields import files
from oceankit.fields.store import StoreError, check_integrity, open_fields, write

ROOT = Path(__file__).parents[2]
posix = pytest.mark.skipif(os.name != "posix", reason="signals and limits of POSIX")

# The third block of a lazy field kills the process, or the disk takes no more than 60 kB a file.
SCRIPT = """
import os, resource, signal, sys
import dask, dask.array, numpy as np, xarray as xr
from oceankit.fields.store import StoreError, write

def block(block_info=None):
    if sys.argv[2] == "kill" and block_info[None]["chunk-location"][0] == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return np.random.default_rng(0).random((1, 200, 200))

data = dask.array.map_blocks(block, chunks=((1,) * 4, (200,), (200,)), dtype=float, meta=np.empty((0, 0, 0)))
if sys.argv[2] == "full":
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))
with dask.config.set(scheduler="synchronous"):
    try:
        write(xr.DataArray(data, dims=("time", "y", "x"), name="v"), sys.argv[1])
    except StoreError as error:
        print(error)
        sys.exit(3)
"""


def in_a_process(path, how):
    return subprocess.run(
        [sys.executable, "-c", SCRIPT, str(path), how],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def product(value=1.0):
    return xr.DataArray(np.full((3, 4), value), dims=("y", "x"), name="v")


@posix
@pytest.mark.parametrize("suffix", ["nc", "zarr"])
@pytest.mark.parametrize("earlier", [True, False])
def test_a_killed_write(tmp_path, suffix, earlier):
    path = tmp_path / f"p.{suffix}"
    if earlier:
        write(product(), path)
    done = in_a_process(path, "kill")
    assert done.returncode == -9, done.stderr
    strays = [p for p in tmp_path.iterdir() if p != path]
    assert [p.name[: len(path.name) + 2] for p in strays] == [f".{path.name}."]
    assert strays[0].name.endswith(".part")
    if earlier:
        xr.testing.assert_equal(open_fields(path).v.load(), product())
        assert check_integrity(path).ok
    else:
        assert not path.exists()
        with pytest.raises(StoreError, match="no file"):
            open_fields(path)
    write(product(2.0), path)
    assert list(tmp_path.iterdir()) == [path], "the stray temporary was not cleared up"
    xr.testing.assert_equal(open_fields(path).v.load(), product(2.0))


@posix
@pytest.mark.parametrize("suffix", ["nc", "zarr"])
def test_a_full_disk(tmp_path, suffix):
    path = tmp_path / f"p.{suffix}"
    write(product(), path)
    done = in_a_process(path, "full")
    assert done.returncode == 3, done.stderr
    assert str(path) in done.stdout
    assert "could not be written" in done.stdout
    assert "untouched" in done.stdout
    assert list(tmp_path.iterdir()) == [path]
    xr.testing.assert_equal(open_fields(path).v.load(), product())


@pytest.mark.parametrize("suffix", ["nc", "zarr"])
def test_a_folder_without_rights(tmp_path, monkeypatch, suffix):
    path = tmp_path / f"p.{suffix}"
    write(product(), path)

    def refused(*paths):
        raise PermissionError(13, "Permission denied", str(paths[0]))

    for name in ("replace", "rename"):
        monkeypatch.setattr(files.os, name, refused)
    with pytest.raises(StoreError, match="Permission denied"):
        write(product(2.0), path)
    monkeypatch.undo()
    assert list(tmp_path.iterdir()) == [path]
    xr.testing.assert_equal(open_fields(path).v.load(), product())


def test_an_error_in_the_computation_is_passed_on(tmp_path):
    def broken(values):
        raise RuntimeError("no such season")

    write(product(), tmp_path / "p.nc")
    lazy = xr.apply_ufunc(broken, product().chunk(y=1), dask="parallelized", output_dtypes=[float]).rename("v")
    for suffix in ("nc", "zarr"):
        with pytest.raises(RuntimeError, match="no such season"):
            write(lazy, tmp_path / f"p.{suffix}")
    assert [p.name for p in tmp_path.iterdir()] == ["p.nc"]
    assert check_integrity(tmp_path / "p.nc").ok


def test_a_directory_set_aside_is_found_and_put_back(tmp_path, caplog):
    path, aside = tmp_path / "p.zarr", tmp_path / ".p.zarr.aside"
    write(product(), path)
    os.rename(path, aside)  # as a process killed between the two renames leaves it
    xr.testing.assert_equal(open_fields(path).v.load(), product())
    assert "interrupted" in caplog.text
    assert check_integrity(path).ok
    with pytest.raises(StoreError):
        write(product().rename("a/b"), path)
    with pytest.raises(ZeroDivisionError), files.replacing(path):
        raise ZeroDivisionError
    assert path.exists(), "a failed write must have put the earlier product back"
    assert not aside.exists()
    write(product(2.0), path)
    assert list(tmp_path.iterdir()) == [path]


def test_a_directory_that_cannot_be_put_in_place_gives_way_to_the_old_one(tmp_path, monkeypatch):
    path = tmp_path / "p.zarr"
    write(product(), path)
    rename = os.rename

    def failing(source, target):
        if str(source).endswith(".part"):
            raise OSError(5, "Input/output error")
        rename(source, target)

    monkeypatch.setattr(files.os, "rename", failing)
    with pytest.raises(StoreError, match="Input/output error"):
        write(product(2.0), path)
    assert list(tmp_path.iterdir()) == [path]
    xr.testing.assert_equal(open_fields(path).v.load(), product())


def test_only_abandoned_temporaries_are_cleared(tmp_path):
    path, host = tmp_path / "p.nc", socket.gethostname()
    alive = tmp_path / f".p.nc.{host}-{os.getppid()}-0.part"
    dead = tmp_path / f".p.nc.{host}-999999999-0.part"
    elsewhere = tmp_path / ".p.nc.another-machine-7-0.part"
    long_ago = tmp_path / ".p.nc.another-machine-8-0.part"
    other = tmp_path / f".q.nc.{host}-999999999-0.part"
    for part in (alive, dead, elsewhere, long_ago, other):
        part.write_text("half a product")
    os.utime(long_ago, (0, 0))
    write(product(), path)
    assert set(tmp_path.iterdir()) == {path, alive, elsewhere, other}


@posix
def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "p.nc").symlink_to(tmp_path / "disk" / "real.nc")
    write(product(), tmp_path / "p.nc")
    assert (tmp_path / "p.nc").is_symlink()
    assert (tmp_path / "disk" / "real.nc").is_file()
