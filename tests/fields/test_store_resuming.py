"""A write that is killed goes on where it was, and the product is the same."""

import os
import subprocess
import sys
from pathlib import Path

import dask
import dask.array
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
@pytest.mark.parametrize("fatal", [0, 2, 5])
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


def test_refusals(tmp_path):
    with pytest.raises(StoreError, match="ends in .zarr"):
        write(lazy(), tmp_path / "v.nc", resume=True)
    with pytest.raises(StoreError, match="unify_chunks"):
        write(xr.Dataset({"a": lazy(), "b": lazy(chunk=1)}), tmp_path / "v.zarr", resume=True)
    assert not (tmp_path / "v.zarr").exists()


def test_data_in_memory_are_just_written(tmp_path):
    write(lazy().compute(), tmp_path / "v.zarr", resume=True)
    assert check_integrity(tmp_path / "v.zarr").ok
