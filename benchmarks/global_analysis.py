"""A global quarter-degree ensemble analysis from disk to disk: CPU seconds of the kernels, of all, and memory.

Run: python benchmarks/global_analysis.py [--step 0.25] [--members 40] [--fields 40] [--observations 500000] [--folder FOLDER]

The ensemble is written to a Zarr store first (6.6 GB with the default numbers, 3 GB compressed), analysed chunk by chunk in
a process of its own, and the analysis written to another.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dask
import dask.array
import numpy as np
import xarray as xr

from oceankit.assimilation import LETKF, GaspariCohn, WeightGrid, _ensemble_core
from oceankit.fields import Grid, open_fields, write
from oceankit.numerics import threads
from oceankit.observations import table
from oceankit.observations.operators import Interp

CHUNK = 90


def made(folder: Path, step: float, members: int, fields: int) -> None:
    """An ensemble of waves with random phases, so that nothing has to be held."""
    grid = Grid.global_regular(step)
    lat, lon = np.radians(grid.lat.values), np.radians(grid.lon.values)
    rng = np.random.default_rng(0)
    waves = 12
    numbers = rng.integers(1, 60, (2, waves))
    phases = rng.uniform(0, 2 * np.pi, (members, fields, waves))

    def block(block_info: dict) -> np.ndarray:
        (_, _), (_, _), rows, columns = block_info[None]["array-location"]
        y, x = lat[slice(*rows)], lon[slice(*columns)]
        # Sums of cos(shape + phase) for all members and fields at once: shapes times what the phases make of them.
        shapes = numbers[0, :, None, None] * y[:, None] + numbers[1, :, None, None] * x
        basis = np.concatenate([np.cos(shapes), -np.sin(shapes)]).astype(np.float32).reshape(2 * waves, -1)
        weights = np.concatenate([np.cos(phases), np.sin(phases)], axis=-1).astype(np.float32)
        return (weights.reshape(-1, 2 * waves) @ basis).reshape(members, fields, y.size, x.size)

    ny, nx = grid.shape
    chunks = (
        (members,),
        (fields,),
        dask.array.core.normalize_chunks(CHUNK, (ny,))[0],
        dask.array.core.normalize_chunks(CHUNK, (nx,))[0],
    )
    data = dask.array.map_blocks(block, chunks=chunks, dtype=np.float32, meta=np.empty((0,) * 4, np.float32))
    coords = dict(grid.coords())
    field = xr.DataArray(data, dims=("member", "level", *grid.dims), coords=coords, name="temp")
    write(field, folder / "ensemble.zarr", resume=True)


def analysed(folder: Path, observations: int, stride: int) -> None:
    """One analysis; prints what it took as JSON."""
    spent, lock = [0.0], threading.Lock()

    def timed(solve: Callable[..., Any]) -> Callable[..., Any]:
        def work(*args: Any) -> Any:
            start = time.thread_time()
            found = solve(*args)
            with lock:
                spent[0] += time.thread_time() - start
            return found

        return work

    # Place by place, and between anchors.
    for name in ("solve", "solve_between"):
        setattr(_ensemble_core, name, timed(getattr(_ensemble_core, name)))
    rng = np.random.default_rng(1)
    lon, lat = rng.uniform(0, 360, observations), np.degrees(np.arcsin(rng.uniform(-1, 1, observations)))
    obs = table(value=rng.normal(size=observations), error_std=1.0, lon=lon, lat=lat)
    with open_fields(folder / "ensemble.zarr") as store:
        field = store["temp"]
        method = LETKF(localization=GaspariCohn(200.0), weight_grid=WeightGrid(stride) if stride > 1 else None)
        tiny = field.isel(lat=slice(4), lon=slice(4), level=slice(2)).load()
        method.assimilate(tiny, obs.isel(obs=slice(3)), hx=tiny.values[:, 0, 0, :3])
        spent[0] = 0.0
        before, start = time.process_time(), time.perf_counter()
        analysis, said = method.assimilate(field, obs, hx=lambda f, o: Interp()(f.isel(level=0), o))
        seen = time.process_time() - before
        write(xr.Dataset({"temp": analysis, "n_local": said.n_local}), folder / f"analysis{stride}.zarr", resume=True)
    print(
        json.dumps(
            {
                "kernel": spent[0],
                "observed": seen,
                "cpu": time.process_time() - before,
                "wall": time.perf_counter() - start,
                "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
            }
        )
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--step", type=float, default=0.25)
    parser.add_argument("--members", type=int, default=40)
    parser.add_argument("--fields", type=int, default=40)
    parser.add_argument("--observations", type=int, default=500_000)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--stride", type=int)
    given = parser.parse_args()
    if given.stride:
        analysed(given.folder, given.observations, given.stride)
        return
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        made(Path(folder), given.step, given.members, given.fields)
        size = sum(f.stat().st_size for f in Path(folder).rglob("*") if f.is_file()) / 2**30
        print(
            f"{given.step} degrees, {given.members} members, {given.fields} fields ({size:.1f} GiB on disk), "
            f"{given.observations} observations, zero at 200 km, {threads.count()} threads"
        )
        for stride in (3, 1):
            args = [sys.executable, __file__, "--folder", folder, "--stride", str(stride)]
            args += ["--observations", str(given.observations)]
            found = json.loads(subprocess.run(args, check=True, capture_output=True, text=True).stdout)
            name = "exact" if stride == 1 else f"weight grid of stride {stride}"
            print(
                f"  {name}: {found['kernel']:.0f} CPU seconds in the kernels, {found['observed']:.0f} to observe, "
                f"{found['cpu']:.0f} in all with disk and codecs; {found['wall']:.0f} s; at most {found['memory']:.2f} GiB"
            )


if __name__ == "__main__":
    main()
