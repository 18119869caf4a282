"""A write that is killed goes on where it was, and the product is the same."""

import os
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import dask
import dask.array
import netCDF4
import numpy as np
import pytest
import xarray as xr

from oceankit.fields.store import StoreError, check_integrity, open_fields, write

ROOT = Path(__file__).parents[2]

# Each tile notes that it was computed; the process is killed in the one that is named.
SCRIPT = """
import os, signal, sys
import dask, dask.array, numpy as np, xarray as xr
from oceankit.fields.store import write

path, log, fatal = sys.argv[1:]

def block(block_info=None):
    at = block_info[None]["chunk-location"]
    with open(log, "a") as file:
        file.write(f"{at}\\n")
    if fatal == str(at[1] * 3 + at[2]):
        os.kill(os.getpid(), signal.SIGKILL)
    return np.random.default_rng(at).random((2, 4, 5))

data = dask.array.map_blocks(block, chunks=((2,), (4, 4), (5,) * 3), dtype=float, meta=np.empty((0, 0, 0)))
ds = xr.Dataset(
    {"v": (("member", "y", "x"), data), "n": (("y", "x"), data[0] * 10), "known": 3.0,
     "total": ((), data.sum())},
    coords={"y": np.arange(8.0), "x": np.arange(15.0)},
)
with dask.config.set(scheduler="synchronous"):
    write(ds, path, resume=True, options={"seed": 1})
"""


def run(path, log, fatal):
    return subprocess.run(
        [sys.executable, "-c", SCRIPT, str(path), str(log), str(fatal)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
@pytest.mark.parametrize(
    "fatal", [pytest.param(0, marks=pytest.mark.extra), 2, pytest.param(5, marks=pytest.mark.extra)]
)
def test_what_was_killed_is_finished_and_nothing_is_made_twice(tmp_path, fatal):
    whole, path, log = tmp_path / "whole.zarr", tmp_path / "product.zarr", tmp_path / "log"
    assert run(whole, tmp_path / "other", -1).returncode == 0
    assert run(path, log, fatal).returncode == -9
    assert not path.exists()
    finished = {p.name for p in (tmp_path / ".product.zarr.unfinished" / "tiles").glob("*")}
    begun = log.read_text().splitlines()
    again = run(path, log, -1)
    assert again.returncode == 0, again.stderr
    made = log.read_text().splitlines()[len(begun) :]
    every = [f"(0, {y}, {x})" for y in range(2) for x in range(3)]
    missing = [t for t in every if t[4:-1].replace(", ", "-") not in finished]
    # The total needs all of them once more.
    assert sorted(made) == sorted(missing + every)
    assert finished or fatal < 5
    with open_fields(whole) as expected, open_fields(path) as found:
        xr.testing.assert_equal(expected.load(), found.load())
    assert check_integrity(path).ok
    assert not list(tmp_path.glob(".*"))
    files = [sorted(p.relative_to(root) for p in root.rglob("c/**/*") if p.is_file()) for root in (whole, path)]
    assert files[0] == files[1]
    assert all((whole / f).read_bytes() == (path / f).read_bytes() for f in files[0])


def lazy(value=1.0, chunk=2):
    array = dask.array.full((4, 6), value, chunks=(chunk, 6))
    return xr.DataArray(array, dims=("y", "x"), coords={"y": np.arange(4.0), "x": np.arange(6.0)}, name="v")


def stopped(path, **options):
    """A write of which one tile fails."""

    def refuse(block, block_info=None):
        if block_info[0]["chunk-location"][0] == 1:
            raise RuntimeError("the second tile fails")
        return block

    field = lazy().copy(data=dask.array.map_blocks(refuse, lazy().data, dtype=float, meta=np.empty((0, 0))))
    with pytest.raises(RuntimeError, match="second tile"), dask.config.set(scheduler="synchronous"):
        write(field, path, resume=True, **options)


def test_another_product_is_not_mixed_in(tmp_path):
    path = tmp_path / "v.zarr"
    stopped(path, options={"radius": 100})
    with pytest.raises(StoreError, match="options differ"):
        write(lazy(), path, resume=True, options={"radius": 200})
    with pytest.raises(StoreError, match="variables differ"):
        write(lazy(chunk=1), path, resume=True, options={"radius": 100})
    with pytest.raises(StoreError, match="coordinates differ"):
        write(lazy().assign_coords(y=np.arange(4.0) + 1), path, resume=True, options={"radius": 100})
    write(lazy(), path, resume=True, options={"radius": 100})
    assert check_integrity(path).ok


def test_an_earlier_product_stays_until_the_new_one_is_complete(tmp_path):
    path = tmp_path / "v.zarr"
    write(lazy(7.0), path)
    stopped(path)
    with open_fields(path) as there:
        assert float(there.v.max()) == 7.0
    write(lazy(), path, resume=True)
    with open_fields(path) as there:
        assert float(there.v.max()) == 1.0


def test_variables_that_are_cut_at_different_places_are_refused(tmp_path):
    with pytest.raises(StoreError, match="unify_chunks"):
        write(xr.Dataset({"a": lazy(), "b": lazy(chunk=1)}), tmp_path / "v.zarr", resume=True)
    assert not (tmp_path / "v.zarr").exists()


def everything():
    """All kinds of variables that products have, the large ones lazy."""
    days = xr.date_range("2001-01-01", periods=6)
    rng = np.random.default_rng(0)

    def cut(values):
        return dask.array.from_array(values, chunks=(2, *values.shape[1:]))

    return xr.Dataset(
        {
            "single": (("time", "x"), cut(rng.random((6, 3)).astype("f4")), {"units": "K"}),
            "double": (("time", "x"), cut(np.where(rng.random((6, 3)) < 0.3, np.nan, 1 / 3))),
            "small": (("time",), cut(np.arange(6, dtype="i1"))),
            "mask": (("time", "x"), cut(rng.random((6, 3)) < 0.5)),
            "peak": (("time",), cut(days.values)),
            "lasting": (("time",), cut((days - days[0]).values)),
            "name": (("x",), np.array(["a", "bc", ""])),
            "total": ((), dask.array.from_array(np.float64(2.5))),
            "known": ((), 7),
        },
        coords={"time": days, "x": [1.0, 2.0, 3.0]},
    )


def raw(path):
    """What a NetCDF file holds, but for dates and histories."""
    with netCDF4.Dataset(path) as file:
        file.set_auto_maskandscale(False)
        found = {}
        for name, v in file.variables.items():
            values = v[...]
            stored = values.tobytes() if values.dtype != object else repr(values.tolist())
            attrs = {key: repr(v.getncattr(key)) for key in v.ncattrs()}
            found[name] = (v.dimensions, str(v.dtype), stored, attrs)
        return found, set(file.ncattrs())


@pytest.mark.parametrize("scheduler", ["synchronous", "threads"])
def test_a_netcdf_file_of_tiles_is_that_of_a_plain_write(tmp_path, scheduler):
    write(everything(), tmp_path / "plain.nc", options={"a": 1})
    with dask.config.set(scheduler=scheduler):
        write(everything(), tmp_path / "tiles.nc", options={"a": 1}, resume=True)
    assert raw(tmp_path / "plain.nc") == raw(tmp_path / "tiles.nc")
    assert check_integrity(tmp_path / "tiles.nc").ok
    assert not list(tmp_path.glob(".*"))


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_a_netcdf_file_whose_write_was_killed_is_finished(tmp_path):
    whole, path, log = tmp_path / "whole.nc", tmp_path / "product.nc", tmp_path / "log"
    assert run(whole, tmp_path / "other", -1).returncode == 0
    assert run(path, log, 4).returncode == -9
    assert not path.exists()
    begun = len(log.read_text().splitlines())
    assert run(path, log, -1).returncode == 0
    assert len(log.read_text().splitlines()) - begun < 6 + 6
    assert raw(whole) == raw(path)


def test_workers_in_other_processes_write_the_same(tmp_path):
    distributed = pytest.importorskip("distributed")
    write(everything(), tmp_path / "plain.nc")
    write(everything(), tmp_path / "plain.zarr")
    with (
        distributed.LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            processes=True,
            dashboard_address=None,
            local_directory=str(tmp_path / "dask"),
        ) as cluster,
        distributed.Client(cluster),
    ):
        for resume in (False, True):
            write(everything(), tmp_path / f"{resume}.nc", resume=resume)
            write(everything(), tmp_path / f"{resume}.zarr", resume=resume)
    for resume in (False, True):
        assert raw(tmp_path / "plain.nc") == raw(tmp_path / f"{resume}.nc")
        with open_fields(tmp_path / "plain.zarr") as plain, open_fields(tmp_path / f"{resume}.zarr") as found:
            xr.testing.assert_equal(plain.load(), found.load())
        assert check_integrity(tmp_path / f"{resume}.zarr").ok
    assert not list(tmp_path.glob(".*"))


def test_a_product_in_one_chunk_is_written_by_workers_too(tmp_path):
    """Its variables refer to each other, and no dimension cuts it."""
    distributed = pytest.importorskip("distributed")
    field = xr.DataArray(dask.array.ones((6, 4), chunks=-1), dims=("y", "x"), name="field")
    mean = field.mean("y")
    ds = xr.Dataset({"departure": field - mean, "field": field, "mean": mean})
    with distributed.Client(processes=False, n_workers=1, threads_per_worker=1, dashboard_address=None):
        write(ds, tmp_path / "v.zarr", resume=True)
    assert check_integrity(tmp_path / "v.zarr").ok


def test_what_tiles_have_in_common_is_computed_once(tmp_path):
    made = []

    def constant():
        made.append(1)
        return np.ones(3)

    common = dask.array.from_delayed(dask.delayed(constant)(), (3,), float)
    field = xr.DataArray(dask.array.ones((8, 3), chunks=(1, 3)) * common, dims=("y", "x"), name="v")
    with dask.config.set(scheduler="synchronous"):
        write(xr.Dataset({"v": field, "w": field * 2}), tmp_path / "v.zarr", resume=True)
    assert len(made) == 1


def large(megabytes):
    rng = dask.array.random.default_rng(1)
    data = rng.random((megabytes * 8, 16384), chunks=(4, 16384))
    return xr.DataArray(data, dims=("y", "x"), name="v")


@pytest.mark.parametrize("resume", [False, True])
@pytest.mark.parametrize("suffix", [".nc", ".zarr"])
@pytest.mark.parametrize("workers", [False, True])
def test_a_full_disk_is_told_and_what_was_there_stays(small_disk, suffix, resume, workers):
    path = small_disk / f"v{suffix}"
    write(lazy(7.0), path)
    with ExitStack() as stack:
        if workers:
            distributed = pytest.importorskip("distributed")
            stack.enter_context(
                distributed.Client(processes=False, n_workers=1, threads_per_worker=1, dashboard_address=None)
            )
        with pytest.raises(StoreError, match=r"v\.(nc|zarr)' could not be written .*(No space|HDF)"):
            write(large(16), path, resume=resume)
    assert check_integrity(path).ok
    with open_fields(path) as there:
        assert float(there.v.max()) == 7.0
    if resume:
        # More space, and the same call goes on.
        subprocess.run(["mount", "-o", "remount,size=80m", small_disk], check=True)
        kept = len(list((small_disk / f".v{suffix}.unfinished" / "tiles").iterdir()))
        write(large(16), path, resume=True)
        assert check_integrity(path).ok
        assert kept > 0


@pytest.mark.parametrize("suffix", [".nc", ".zarr"])
def test_a_read_only_folder_is_told_and_what_was_there_stays(small_disk, suffix):
    path = small_disk / f"v{suffix}"
    write(lazy(7.0), path)
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    for resume in (False, True):
        with pytest.raises(StoreError, match="could not be written .*Read-only"):
            write(lazy(), path, resume=resume)
    assert check_integrity(path).ok


def test_data_in_memory_are_just_written(tmp_path):
    write(lazy().compute(), tmp_path / "v.zarr", resume=True)
    assert check_integrity(tmp_path / "v.zarr").ok
