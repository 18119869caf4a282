"""kill -9 at any moment of a long write: the product is absent or complete, and the same call finishes it with the same data."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import netCDF4
import pytest

from oceankit.fields.store import check_integrity

ROOT = Path(__file__).parents[2]

# Children are killed at their k-th touch of the disk, and others finish. Modules are loaded once.
SCRIPT = """
import os, random, shutil, signal, sys
from pathlib import Path
import dask, dask.array, numpy as np, xarray as xr
import netCDF4, xarray.backends.netCDF4_, xarray.backends.zarr, zarr.codecs
from oceankit.fields.store import write

root, suffix = Path(sys.argv[1]), sys.argv[2]
xr.backends.list_engines()
TOUCHES = {"open", "os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.utime", "os.link", "os.truncate"}

def block(block_info=None):
    return np.random.default_rng(block_info[None]["chunk-location"]).random((1, 4, 5))

def product():
    data = dask.array.map_blocks(block, chunks=((1,) * 3, (4,), (5,) * 2), dtype=float, meta=np.empty((0, 0, 0)))
    times = np.datetime64("2001-01-01", "us") + (data[:, 0, 0] * 1e6).astype("m8[us]")
    ds = {"v": (("time", "y", "x"), data), "peak": ("time", times), "ok": ("time", data[:, 0, 0] > 0.5)}
    return xr.Dataset(ds | {"total": ((), data.sum()), "known": 3.0}, coords={"x": np.arange(10.0)})

def child(folder, fatal):
    pid = os.fork()
    if pid:
        return os.waitpid(pid, 0)[1]
    count = 0
    def hook(event, words):
        nonlocal count
        if event in TOUCHES and words and str(folder) in str(words[0]):
            count += 1
            if count == fatal:
                os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(hook)
    with dask.config.set(scheduler="synchronous"):
        write(product(), folder / f"p{suffix}", resume=True)
    if fatal is None:
        (root / "count").write_text(str(count))
    os._exit(0)

def folder_of(name):
    (root / name).mkdir()
    return root / name

assert child(folder_of("whole"), None) == 0
count = int((root / "count").read_text())
early, late = range(1, count * 2 // 3), range(count * 2 // 3, count - 1)
chosen = [*random.Random(0).sample(early, 3), *random.Random(1).sample(late, 3), count - 1]
for fatal in chosen:
    folder = folder_of(str(fatal))
    status = child(folder, fatal)
    # Names of temporaries are random, not the number of touches: but for the very last ones each is reached.
    assert status == signal.SIGKILL or fatal > count - 3, (fatal, count, status)
    path = folder / f"p{suffix}"
    if path.exists():
        shutil.copytree(path, folder / "seen.zarr") if path.is_dir() else shutil.copy(path, folder / "seen.nc")
    assert child(folder, -1) == 0, fatal
"""


def data_of(path):
    """The data of a product, byte for byte."""
    if path.is_dir():
        files = [p for p in sorted(path.rglob("c/**/*")) + sorted(path.rglob("c")) if p.is_file()]
        return {str(p.relative_to(path)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}
    with netCDF4.Dataset(path) as file:
        file.set_auto_maskandscale(False)
        return {name: (str(v.dtype), v[...].tobytes()) for name, v in file.variables.items()}


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
@pytest.mark.parametrize("suffix", [pytest.param(".nc", marks=pytest.mark.extra), ".zarr"])
def test_killed_at_any_moment(tmp_path, suffix):
    words = [sys.executable, "-c", SCRIPT, str(tmp_path), suffix]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    whole = data_of(tmp_path / "whole" / f"p{suffix}")
    folders = [p for p in tmp_path.iterdir() if p.name.isdigit()]
    assert len(folders) == 7
    for folder in folders:
        seen = folder / f"seen{suffix}"
        if seen.exists():
            assert data_of(seen) == whole
            assert check_integrity(seen).ok
        path = folder / f"p{suffix}"
        assert data_of(path) == whole, folder.name
        assert check_integrity(path).ok
        assert set(folder.iterdir()) <= {path, seen}, "something unfinished was left"
