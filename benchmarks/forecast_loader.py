"""Samples per CPU-second of Windows against xbatcher, in memory and lazily, for the same windows, in one run.

Run: python benchmarks/forecast_loader.py [STEPS of 64 x 64 float32, 3650]     (without xbatcher its part is skipped)

A sample is 12 steps of history and 12 of targets. Both sides hand out contiguous NumPy arrays, inputs and targets of 32
samples, in shuffled order; CPU time is that of all threads. xbatcher is used in the ways its users batch samples, the
fastest counts.
"""

import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import xarray as xr

from oceankit.forecast.windows import Windows

HISTORY, LEADS, BATCH, SIDE = 12, 12, 32, 64
LAZY_CHUNK = 100
PEER_SAMPLES = 300  # of its lazy path, which is slow


def field(steps: int) -> xr.DataArray:
    rng = np.random.default_rng(0)
    values = rng.standard_normal((steps, SIDE, SIDE), dtype=np.float32) + 290
    coords = {"time": xr.date_range("2000-01-01", periods=steps)}
    return xr.DataArray(values, dims=("time", "lat", "lon"), coords=coords, name="sst", attrs={"units": "K"})


def speed(work: Callable[[], int], repeat: int = 5) -> float:
    """Best of ``repeat``, in samples per CPU-second."""
    found = []
    for _ in range(repeat):
        start = time.process_time()
        samples = work()
        found.append(samples / (time.process_time() - start))
    return max(found)


def ours(windows: Windows) -> int:
    return sum(len(batch) for batch in windows)


def peers(array: xr.DataArray, most: int | None = None) -> dict[str, Callable[[], int]]:
    """Ways to get batches from xbatcher; each samples one window at a time, as its generator does."""
    import xbatcher

    sizes = {"time": HISTORY + LEADS, "lat": SIDE, "lon": SIDE}
    dataset = array.to_dataset()

    def samples(data: xr.DataArray | xr.Dataset) -> Iterator[np.ndarray]:
        made = xbatcher.BatchGenerator(data, sizes, input_overlap={"time": HISTORY + LEADS - 1}, preload_batch=False)
        for k in np.random.default_rng(0).permutation(len(made))[:most]:
            one = made[int(k)]
            yield one.values if isinstance(one, xr.DataArray) else one["sst"].values

    def assigned() -> int:
        count = 0
        for one in samples(array):
            if count % BATCH == 0:
                inputs = np.empty((BATCH, HISTORY, SIDE, SIDE), np.float32)
                targets = np.empty((BATCH, LEADS, SIDE, SIDE), np.float32)
            inputs[count % BATCH], targets[count % BATCH] = one[:HISTORY], one[HISTORY:]
            count += 1
        return count

    def stacked(data: xr.DataArray | xr.Dataset) -> int:
        count, waiting = 0, []
        for one in samples(data):
            waiting.append(one)
            count += 1
            if len(waiting) == BATCH:
                np.stack([w[:HISTORY] for w in waiting])
                np.stack([w[HISTORY:] for w in waiting])
                waiting = []
        return count

    return {
        "DataArray, written into place": assigned,
        "DataArray, np.stack": lambda: stacked(array),
        "Dataset, np.stack": lambda: stacked(dataset),
    }


def compare(name: str, array: xr.DataArray, own: dict[str, float], bar: float, most: int | None, repeat: int) -> None:
    print(f"{name}: samples per CPU-second")
    for label, value in own.items():
        print(f"    oceankit, {label:42s}{value:10.0f}")
    try:
        there = {label: speed(work, repeat) for label, work in peers(array, most).items()}
    except ImportError:
        print("    xbatcher: skipped, not installed")
        return
    for label, value in there.items():
        print(f"    xbatcher, {label:42s}{value:10.0f}")
    best, first = max(there.values()), next(iter(own.values()))
    print(
        f"    oceankit is {first / best:.2f} times as fast as the fastest way, {first / min(there.values()):.2f} times as the "
        f"slowest (bar: {bar})"
    )


def small_windows() -> None:
    """Where windows are small, what is paid for each of them counts, not the memory's speed."""
    station = field(3650).isel(lat=0, lon=0, drop=True)
    options = {"targets": "sst", "leads": range(1, LEADS + 1), "history": HISTORY, "batch": 256}
    windows = Windows(station, scaling=None, calendar=False, **options)
    print(f"one station: oceankit {speed(lambda: ours(windows)):.0f} samples per CPU-second")
    patches = Windows(field(3650), scaling=None, calendar=False, patches=(8, 8), **options)
    print(f"patches of 8 x 8: oceankit {speed(lambda: ours(patches), 1):.0f} samples per CPU-second")


def peak() -> float:
    """MiB of memory the process has taken at most since it was last asked to forget, NaN where the system does not say."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return np.nan
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024


def bounded(steps: int) -> None:
    """A store four times as long, read with little memory."""
    options = {"targets": "sst", "leads": range(1, LEADS + 1), "history": HISTORY, "batch": BATCH, "calendar": False}
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "sst.zarr"
        part = field(steps)
        for k in range(4):
            own = part.assign_coords(time=xr.date_range("2000-01-01", periods=4 * steps)[k * steps : (k + 1) * steps])
            more = {"append_dim": "time"} if k else {"encoding": {"sst": {"chunks": (50, SIDE, SIDE)}}}
            own.drop_encoding().to_dataset().to_zarr(place, mode="a" if k else "w", consolidated=False, **more)
        del part, own
        for memory in ("64 MiB", "32 MiB"):
            try:
                Path("/proc/self/clear_refs").write_text("5")
            except OSError:
                print("    peaks are those of the whole run, the system does not let them be cleared")
            before = peak()
            windows = Windows(place, memory=memory, prefetch=1, **options)
            start = time.process_time()
            count = ours(windows)
            rate = count / (time.process_time() - start)
            report = windows.report()
            print(
                f"Zarr of {4 * steps * SIDE**2 * 4 / 2**20:.0f} MiB, memory={memory}: {rate:.0f} samples per CPU-second, "
                f"buffers {report['peak_bytes'] / 2**20:.0f} MiB, each step read {report['reads']:.2f} times; "
                f"peak RSS {peak():.0f} MiB, {peak() - before:.0f} more than before"
            )


def main(steps: int) -> None:
    array = field(steps)
    options = {"targets": "sst", "leads": range(1, LEADS + 1), "history": HISTORY, "batch": BATCH, "calendar": False}
    next(iter(Windows(array[:100], **options)))
    plain, scaled = Windows(array, scaling=None, **options), Windows(array, **options)
    compare(
        f"in memory, {steps} x {SIDE} x {SIDE}",
        array,
        {
            "values as they are": speed(lambda: ours(plain)),
            "standardised": speed(lambda: ours(scaled)),
            "values as they are, with construction": speed(lambda: ours(Windows(array, scaling=None, **options))),
            "standardised, with fit and construction": speed(lambda: ours(Windows(array, **options))),
        },
        2.5,
        None,
        3,
    )
    lazy = array.chunk(time=LAZY_CHUNK)
    streamed = Windows(lazy, scaling=None, memory="32 MiB", **options)
    compare(
        f"lazy, chunks of {LAZY_CHUNK} steps",
        lazy,
        {
            "streamed in 32 MiB": speed(lambda: ours(streamed), 3),
            "first epoch, all kept in memory": speed(lambda: ours(Windows(lazy, scaling=None, **options)), 3),
        },
        20,
        PEER_SAMPLES,
        1,
    )
    small_windows()
    bounded(steps)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3650)
