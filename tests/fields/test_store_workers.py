"""Products written by worker processes: some die, and some find the disk full."""

import os
import subprocess
from collections import Counter

import dask
import dask.array
import netCDF4
import numpy as np
import pytest
import xarray as xr

from oceankit.fields.store import StoreError, check_integrity, open_fields, write

distributed = pytest.importorskip("distributed")


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    place = str(tmp_path_factory.mktemp("dask"))
    options = {"n_workers": 2, "threads_per_worker": 1, "processes": True, "dashboard_address": None}
    with (
        distributed.LocalCluster(**options, local_directory=place) as cluster,
        distributed.Client(cluster) as found,
    ):
        yield found


def counted(folder, fatal=None, tiles=None):
    """A field that notes each block it makes; ``fatal`` kills its worker, the first time."""

    def block(block_info=None):
        import os
        import signal
        import time
        import uuid

        at = block_info[None]["chunk-location"][0]
        (folder / f"{at}.{uuid.uuid4().hex}").touch()
        if at == fatal and not (folder / "killed").exists():
            before = [p.name for p in tiles.iterdir()]
            time.sleep(1)  # what is finished is known to the scheduler
            (folder / "killed").write_text(" ".join(before))
            os.kill(os.getpid(), signal.SIGKILL)
        return np.random.default_rng(at).random((1, 50))

    data = dask.array.map_blocks(block, chunks=((1,) * 24, (50,)), dtype=float, meta=np.empty((0, 0)))
    return xr.Dataset({"v": (("y", "x"), data), "twice": (("y", "x"), data * 2)}, coords={"x": np.arange(50.0)})


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".nc", ".zarr"])
def test_a_worker_that_dies_takes_no_finished_tile_along(tmp_path, client, suffix):
    log, other = tmp_path / "log", tmp_path / "other"
    log.mkdir()
    other.mkdir()
    path = tmp_path / f"p{suffix}"
    write(counted(log, 14, tmp_path / f".p{suffix}.unfinished" / "tiles"), path, resume=True)
    made = Counter(p.name.split(".")[0] for p in log.iterdir())
    finished = (log / "killed").read_text().split()
    assert len(finished) > 2
    assert {made[tile.split("-")[0]] for tile in finished} == {1}
    assert made["14"] == 2
    write(counted(other).compute(scheduler="synchronous"), tmp_path / f"whole{suffix}")
    with open_fields(tmp_path / f"whole{suffix}") as whole, open_fields(path) as found:
        xr.testing.assert_identical(whole.load().drop_attrs(), found.load().drop_attrs())
    assert check_integrity(path).ok


def test_a_plain_file_needs_no_tiles_and_leaves_what_is_unfinished(tmp_path, client):
    """Two variables cut at different places; numbers that an attribute calls missing; uneven chunks."""
    numbers = dask.array.from_array(np.array([1, -9, 3, 4, 5, 6], "i2"), chunks=2)
    odd = dask.array.from_array(np.arange(6.0), chunks=((1, 3, 2),))
    missing = {"_FillValue": np.int16(-9)}
    ds = xr.Dataset({"a": ("y", numbers, missing), "b": ("y", odd)}, coords={"y": np.arange(6)})
    unfinished = tmp_path / ".p.nc.unfinished"
    unfinished.mkdir()
    write(ds, tmp_path / "p.nc")
    assert sorted(p.name for p in tmp_path.iterdir()) == [".p.nc.unfinished", "p.nc"]
    with netCDF4.Dataset(tmp_path / "p.nc") as file:
        file.set_auto_maskandscale(False)
        assert file["a"].dtype == np.int16
        assert file["a"][:].tolist() == [1, -9, 3, 4, 5, 6]
        assert file["b"][:].tolist() == list(range(6))
    assert check_integrity(tmp_path / "p.nc").ok


@pytest.mark.parametrize("suffix", [".nc", ".zarr"])
def test_numbers_called_missing_are_kept_in_tiles(tmp_path, suffix):
    numbers = dask.array.from_array(np.array([1, -9, 3, 4], "i2"), chunks=2)
    ds = xr.Dataset({"a": ("y", numbers, {"_FillValue": np.int16(-9)})})
    write(ds, tmp_path / f"plain{suffix}")
    write(ds, tmp_path / f"tiles{suffix}", resume=True)
    options = {"mask_and_scale": False}
    with (
        open_fields(tmp_path / f"plain{suffix}", **options) as one,
        open_fields(tmp_path / f"tiles{suffix}", **options) as two,
    ):
        xr.testing.assert_identical(one.a.load(), two.a.load())
        assert two.a.dtype == np.int16


@pytest.mark.parametrize("suffix", [".nc", ".zarr"])
def test_a_worker_finds_the_disk_full(small_disk, client, suffix):
    path = small_disk / f"v{suffix}"
    write(xr.DataArray([7.0], dims="y", name="v"), path)
    data = dask.array.random.default_rng(1).random((128, 16384), chunks=(4, 16384))
    field = xr.DataArray(data, dims=("y", "x"), name="v")
    for resume in (False, True):
        with pytest.raises(StoreError, match=rf"v\{suffix}' could not be written .*No space .*another place"):
            write(field, path, resume=resume)
        with open_fields(path) as there:
            assert there.v.values.tolist() == [7.0]
        assert check_integrity(path).ok
    done = {p.name: p.stat().st_mtime_ns for p in (small_disk / f".v{suffix}.unfinished" / "tiles").iterdir()}
    assert done
    subprocess.run(["mount", "-o", "remount,size=80m", small_disk], check=True)
    write(field, path, resume=True)
    assert check_integrity(path).ok
    with open_fields(path) as there:
        np.testing.assert_array_equal(there.v.values, data.compute(scheduler="synchronous"))
    assert [p.name for p in small_disk.iterdir()] == [path.name]


def test_an_input_that_cannot_be_read_is_not_told_as_a_full_disk(tmp_path, client):
    def lost(block):
        raise FileNotFoundError(2, "No such file", "input.nc")

    data = dask.array.map_blocks(lost, dask.array.ones((4, 3), chunks=(1, 3)), meta=np.empty((0, 0)))
    with pytest.raises(FileNotFoundError, match=r"input\.nc"):
        write(xr.DataArray(data, dims=("y", "x"), name="v"), tmp_path / "v.zarr", resume=True)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="permissions do not bind root")
@pytest.mark.parametrize("resume", [False, True])
@pytest.mark.parametrize("suffix", [".nc", ".zarr"])
def test_a_folder_that_is_not_mine(tmp_path, suffix, resume):
    path = tmp_path / f"v{suffix}"
    field = xr.DataArray(dask.array.ones((4, 3), chunks=(1, 3)), dims=("y", "x"), name="v")
    write(field, path)
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(StoreError, match="could not be written .*Permission denied"):
            write(field * 2, path, resume=resume)
        assert check_integrity(path).ok
    finally:
        tmp_path.chmod(0o700)
