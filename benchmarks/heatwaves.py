"""Climatologies and heatwaves: milliseconds a pixel against other programs, a whole ocean from disk to disk, and one new day.

Run: python benchmarks/heatwaves.py [--only pixel|disk|day|peers] [--folder FOLDER] [--cells 360x180] [--years 40]

- ``pixel``: climatology and events of 14 610 days, packed int16 and float32, one thread, kernels with all that xarray costs.
- ``peers``: the same beside heatwave3 and marEx in the same run, where they are installed (pip install heatwave3 marEx).
- ``disk``: a cube of int16 in Zarr to climatology, events and categories of days in Zarr, on all cores: seconds and peak
  memory (in a process of its own), and from that what the ocean at 0.25 degree takes. ``--cells 720x144`` is a tenth of it.
- ``day``: one new day of the whole ocean at 0.25 degree: seconds of kernels, and of the whole update.
"""

import argparse
import multiprocessing
import os
import resource
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from oceankit.anomaly import climatology, detect, heatwaves, update
from oceankit.numerics import threads

OCEAN = 691_000
"""Ocean cells of a grid of 0.25 degree."""


def sst(days: int, cells: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """Red noise in time on a seasonal cycle, as int16 in hundredths of a degree; (days, *cells)."""
    rng = np.random.default_rng(seed)
    out = np.empty((days, *cells), np.int16)
    noise = np.zeros(cells, np.float32)
    base = rng.uniform(5, 25, cells).astype(np.float32)
    for day in range(days):
        noise = np.float32(0.93) * noise + np.float32(0.35) * rng.standard_normal(cells, np.float32)
        out[day] = np.rint(100 * (base + np.float32(4 * np.sin(2 * np.pi * day / 365.25)) + noise))
    return out


def field(values: np.ndarray, start: str = "1982-01-01") -> xr.DataArray:
    dims = ("time", "lat", "lon")[: values.ndim]
    attrs = {"scale_factor": 0.01, "add_offset": 0.0, "_FillValue": np.int16(-32768), "units": "degree_C"}
    return xr.DataArray(
        values, dims=dims, coords={"time": xr.date_range(start, periods=values.shape[0])}, name="sst", attrs=attrs
    )


def best(work: Callable[[], Any], repeat: int = 3) -> float:
    """Shortest of several wall times, after a run that compiles."""
    work()
    seconds = []
    for _ in range(repeat):
        begin = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - begin)
    return min(seconds)


def both(values: xr.DataArray) -> None:
    heatwaves(values, climatology(values, period=(1983, 2012)))


def unpacked(values: xr.DataArray) -> xr.DataArray:
    return (
        values.copy(data=(values.values * 0.01).astype(np.float32))
        .drop_attrs(deep=False)
        .assign_attrs(units="degree_C")
    )


def pixel() -> dict[str, float]:
    packed = field(sst(14_610, (32, 64)))
    floats = unpacked(packed)
    figures = {}
    for name, values in {"int16": packed, "float32": floats}.items():
        with threads.limit(1):
            clim = climatology(values, period=(1983, 2012))
            parts = {
                "climatology": best(lambda v=values: climatology(v, period=(1983, 2012))),
                "events": best(lambda v=values, c=clim: heatwaves(v, c)),
                "both": best(lambda v=values: both(v)),
            }
        n = values[0].size
        figures[name] = 1e3 * parts["both"] / n
        told = "  ".join(f"{k} {1e3 * v / n:.3f}" for k, v in parts.items())
        print(f"{name}, 14 610 days, {n} pixels, one thread, ms a pixel:  {told}")
    return figures


def peers(ours: dict[str, float] | None) -> None:
    ours = ours or pixel()
    for name, work in {"heatwave3": _heatwave3, "marEx": _marex}.items():
        try:
            each = work()
        except ImportError as error:
            print(f"{name}: skipped, {error}")
            continue
        ratios = ", ".join(f"{each / ms:.0f} times ours of {kind}" for kind, ms in ours.items())
        print(f"{name}: {each:.2f} ms a pixel, {ratios}")


def _heatwave3() -> float:
    """From the same packed int16 in a NetCDF file to its files of climatology and events, one thread."""
    import heatwave3

    values = field(sst(14_610, (16, 16))).assign_coords(lat=np.arange(16.0), lon=np.arange(16.0))
    period = ("1983-01-01", "2012-12-31")
    with tempfile.TemporaryDirectory() as folder:
        source = os.path.join(folder, "sst.nc")
        values.to_netcdf(source)

        def work() -> None:
            heatwave3.detect3(source, os.path.join(folder, "found"), period, var_name="sst", n_threads=1, quiet=True)

        return 1e3 * best(work, 2) / values[0].size


def _marex() -> float:
    """Exact percentiles over the same base period: days beyond the threshold, and no events."""
    import dask
    import marEx

    values = unpacked(field(sst(14_610, (8, 16)))).assign_coords(lat=np.arange(8.0), lon=np.arange(16.0))
    lazy = values.chunk(time=-1, lat=-1, lon=-1)

    def work() -> None:
        marEx.preprocess_data(
            lazy, method_anomaly="fixed_baseline", method_extreme="hobday_extreme", threshold_percentile=90,
            window_days_hobday=11, method_percentile="exact", reference_period=(1983, 2012), quiet=True,
            dask_chunks={"time": -1},
        )["extreme_events"].compute()  # fmt: skip

    with dask.config.set(scheduler="synchronous"):
        return 1e3 * best(work, 1) / values[0].size


# --- from disk to disk --------------------------------------------------------------------------------------------------


def _made(folder: Path, cells: tuple[int, int], years: int) -> Path:
    """A cube of int16 in Zarr, in chunks of four years and some cells; land is missing."""
    path = folder / f"sst_{cells[0]}x{cells[1]}_{years}.zarr"
    if path.exists():
        return path
    lat, lon = cells[1], cells[0]
    days = years * 365 + years // 4
    rng = np.random.default_rng(1)
    land = rng.random((lat // 12 + 1, lon // 12 + 1)) < 0.33
    land = np.kron(land, np.ones((12, 12), bool))[:lat, :lon]
    size = (min(60, lat), min(72, lon))
    begin = time.perf_counter()
    layout = field(np.empty((days, 0, 0), np.int16)).drop_vars("time")
    import zarr

    group = zarr.open_group(path, mode="w", zarr_format=3)
    array = group.create_array(
        "sst", shape=(days, lat, lon), chunks=(1461, *size), dtype="int16", dimension_names=["time", "lat", "lon"],
        attributes={k: v.item() if hasattr(v, "item") else v for k, v in layout.attrs.items()},
    )  # fmt: skip
    for name, values, attrs in (
        ("time", np.arange(days), {"units": "days since 1982-01-01", "calendar": "proleptic_gregorian"}),
        ("lat", np.linspace(-89, 89, lat), {"units": "degrees_north", "standard_name": "latitude"}),
        ("lon", np.linspace(0, 359, lon), {"units": "degrees_east", "standard_name": "longitude"}),
    ):
        group.create_array(name, data=values, dimension_names=[name], attributes=attrs)
    for k, y in enumerate(range(0, lat, size[0])):
        for m, x in enumerate(range(0, lon, size[1])):
            part = sst(days, (min(size[0], lat - y), min(size[1], lon - x)), seed=1000 * k + m)
            part[:, land[y : y + size[0], x : x + size[1]]] = -32768
            array[:, y : y + size[0], x : x + size[1]] = part
    print(f"made {path.name} in {time.perf_counter() - begin:.0f} s")
    return path


def _run(source: str, target: str, memory: str, pipe: Any) -> None:
    with xr.open_zarr(source, mask_and_scale=False, chunks=None, consolidated=False) as dataset:
        values = dataset["sst"]
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        begin = time.perf_counter()
        detect(values, target, period=(1983, 2012), memory=memory)
        seconds = time.perf_counter() - begin
    pipe.send((seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, before / 2**20))


def disk(folder: Path, cells: tuple[int, int], years: int, memory: str) -> None:
    source, target = _made(folder, cells, years), folder / "found"
    with xr.open_zarr(source, mask_and_scale=False, chunks=None, consolidated=False) as dataset:
        sea = int((dataset["sst"][0].values != -32768).sum())
    both(field(sst(14_610, (8, 8))))  # kernels are compiled and on disk
    shutil.rmtree(target, ignore_errors=True)
    # A process of its own, so that its peak is its own.
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_run, args=(str(source), str(target), memory, theirs))
    process.start()
    seconds, peak, before = ours.recv()
    process.join()
    with xr.open_zarr(target / "events.zarr", consolidated=False) as events:
        n = events.sizes["event"]
    written = sum(f.stat().st_size for f in target.rglob("*") if f.is_file())
    read = sum(f.stat().st_size for f in source.rglob("*") if f.is_file())
    print(
        f"{cells[0]}x{cells[1]} cells, {years} years, {sea} in the sea: {seconds:.1f} s on {threads.count()} threads, peak "
        f"{peak:.2f} GiB ({before:.2f} before); {read / 2**30:.2f} GiB read, {n} events, {written / 2**30:.2f} GiB written"
    )
    print(
        f"projected to {OCEAN} cells of the ocean at 0.25 degree: {seconds / sea * OCEAN / 60:.1f} minutes, the same memory"
    )
    shutil.rmtree(target)


# --- one new day --------------------------------------------------------------------------------------------------------


def day() -> None:
    """The 0.25 degree globe, a third of it land, a tenth of the sea beyond its threshold."""
    from oceankit.anomaly import _heatwave_kernels as kernels

    shape = (720, 1440)
    rng = np.random.default_rng(0)
    values = rng.integers(0, 2700, (40, *shape)).astype(np.int16)
    values[:, rng.random(shape) < 1 - OCEAN / (shape[0] * shape[1])] = -32768
    lasting = rng.random(shape) < 0.1
    values[-12:, lasting & (values[0] != -32768)] = 3300
    days = field(values, "2020-01-01")
    clim = xr.Dataset(
        {"mean": (("lat", "lon"), np.full(shape, 15.0)), "threshold": (("lat", "lon"), np.full(shape, 27.5))}
    )
    state = update(clim, days[:-1], cold=False)
    spent = 0.0

    def timed(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any) -> Any:
            nonlocal spent
            begin = time.perf_counter()
            found = function(*args)
            spent += time.perf_counter() - begin
            return found

        return call

    kept = kernels.glance, kernels.follow
    kernels.glance, kernels.follow = (timed(f) for f in kept)
    figures = []
    with threads.limit(1):
        update(state, days[-1:])
        for _ in range(3):
            spent, begin = 0.0, time.perf_counter()
            update(state, days[-1:])
            figures.append((spent, time.perf_counter() - begin))
    kernels.glance, kernels.follow = kept
    kernel, whole = min(figures)
    print(
        f"one new day of {OCEAN} cells in the sea, {state.sizes['open']} of them in the middle of something: kernels "
        f"{1e3 * kernel:.0f} ms, the whole update {1e3 * whole:.0f} ms, one thread"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=("pixel", "peers", "disk", "day"), nargs="+")
    parser.add_argument("--folder", type=Path, help="where the cube is made and kept; default: a temporary one")
    parser.add_argument("--cells", default="360x180")
    parser.add_argument("--years", type=int, default=40)
    parser.add_argument("--memory", default="1.25GiB")
    given = parser.parse_args()
    wanted = given.only or ("pixel", "peers", "day", "disk")
    ours = pixel() if "pixel" in wanted else None
    if "peers" in wanted:
        peers(ours)
    if "day" in wanted:
        day()
    if "disk" in wanted:
        nx, ny = (int(n) for n in given.cells.split("x"))
        with tempfile.TemporaryDirectory() as temporary:
            folder = given.folder or Path(temporary)
            folder.mkdir(parents=True, exist_ok=True)
            disk(folder, (nx, ny), given.years, given.memory)


if __name__ == "__main__":
    main()
