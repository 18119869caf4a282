"""Million voxels per second of labelling with 26-connectivity, on one core, against cc3d, scipy.ndimage and dask-image.

Run: python benchmarks/labelling.py [STEPS of 720 x 1440, 365]     (peers that are not installed are skipped)
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dask
import dask.array
import numpy as np
import xarray as xr
from scipy import ndimage

from oceankit.anomaly import label, track
from oceankit.numerics import threads

NY, NX = 720, 1440
# Peers need more memory, and dask-image takes minutes: they label so many steps.
PART, SLOW_PART = 120, 30


def blobs(steps: int, cover: float = 0.1, seed: int = 0) -> np.ndarray:
    """Smoothed noise that drifts and changes, with the highest ``cover`` of it set; periodic in longitude."""
    rng = np.random.default_rng(seed)

    def noise() -> np.ndarray:
        return ndimage.gaussian_filter(rng.normal(size=(NY, NX)).astype(np.float32), 8, mode=("nearest", "wrap"))

    field = noise()
    limit = None
    mask = np.empty((steps, NY, NX), bool)
    for step in range(steps):
        field = 0.9 * np.roll(field, 1, axis=1) + 0.436 * noise()
        limit = np.quantile(field, 1 - cover) if limit is None else limit
        mask[step] = field > limit
    return mask


def field_of(mask: Any) -> xr.DataArray:
    coords = {
        "time": xr.date_range("2000-01-01", periods=mask.shape[0]),
        "lat": np.arange(NY) * 180 / NY - 90 + 90 / NY,
        "lon": np.arange(NX) * 360 / NX,
    }
    return xr.DataArray(mask, dims=("time", "lat", "lon"), coords=coords)


def speed(work: Callable[[], Any], size: int, repeat: int = 3) -> float:
    """Best of ``repeat``, in million voxels per second."""
    seconds = []
    for _ in range(repeat):
        start = time.perf_counter()
        result = work()
        seconds.append(time.perf_counter() - start)
        del result
    return size / min(seconds) / 1e6


def beside(work: Callable[[], Any]) -> tuple[float, Any]:
    """MiB of memory that ``work`` needs for a while beside what it returns (NaN where the system does not say), and that."""
    status = Path("/proc/self/status")
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return np.nan, work()
    result = work()
    return (_kib(status, "VmHWM") - _kib(status, "VmRSS")) / 1024, result


def _kib(status: Path, name: str) -> int:
    return int(next(line for line in status.read_text().splitlines() if line.startswith(name)).split()[1])


def peers(mask: np.ndarray) -> dict[str, Callable[[], Any]]:
    """What else labels the same mask; none but dask-image knows a periodic axis."""
    corners = np.ones((3, 3, 3))
    found: dict[str, Callable[[], Any]] = {"scipy.ndimage": lambda: ndimage.label(mask, corners)}
    try:
        import cc3d
    except ImportError:
        print("cc3d: skipped, not installed (connected-components-3d)")
    else:
        found["cc3d"] = lambda: cc3d.connected_components(mask, connectivity=26)
    try:
        from dask_image.ndmeasure import label as dask_label
    except ImportError:
        print("dask-image: skipped, not installed")
    else:
        lazy = dask.array.from_array(mask[:SLOW_PART], chunks=(10, -1, -1))
        found["dask-image"] = lambda: dask_label(lazy, corners)[0].compute()
        found["dask-image, periodic"] = lambda: dask_label(lazy, corners, wrap_axes=(2,))[0].compute()
    return found


def compare(name: str, mask: np.ndarray) -> None:
    field, size = field_of(mask), mask.size
    label(field[:2])
    ours = speed(lambda: label(field), size, 5)
    flat = speed(lambda: label(field, periodic=False), size, 5)
    extra, labels = beside(lambda: label(field))
    print(f"{name}: {mask.mean():.0%} set, {labels.attrs['n_labels']} parts; Mvoxel/s on one core")
    print(f"    {'oceankit, periodic':24s}{ours:8.1f}   memory beside the labels: {extra:.0f} MiB")
    print(f"    {'oceankit':24s}{flat:8.1f}")
    del labels
    part = mask[:PART]
    for peer, work in peers(part).items():
        slow = peer.startswith("dask")
        there = speed(work, part[:SLOW_PART].size if slow else part.size, 1 if slow else 3)
        print(f"    {peer:24s}{there:8.1f}   oceankit, periodic, is {ours / there:.1f} times as fast")


def long_records(mask: np.ndarray) -> None:
    """A lazy record of any length: the same month again and again."""
    month = dask.array.from_array(mask[:30].copy(), chunks=-1)
    for months in (12, 48):
        field = field_of(dask.array.concatenate([month] * months))

        def work(field: xr.DataArray = field) -> int:
            return int(label(field).data.max().compute())

        start = time.perf_counter()
        extra, _ = beside(work)
        seconds = time.perf_counter() - start
        print(
            f"    lazy, {30 * months:5d} steps{field.size / seconds / 1e6:10.1f}   read twice, every label made; "
            f"memory in all: {extra:.0f} MiB"
        )


def main(steps: int) -> None:
    with threads.limit(1), dask.config.set(scheduler="synchronous"):
        mask = blobs(steps)
        compare(f"blobs {mask.shape}", mask)
        long_records(mask)
        field = field_of(mask[: min(steps, 120)])
        track(field[:2])
        print(
            f"    tracks                  {speed(lambda: track(field), field.size):8.1f}   objects, overlaps, events and labels"
        )
        del mask
        rng = np.random.default_rng(1)
        for share in (0.1, 0.5):
            compare("noise", rng.random((min(steps, 64), NY, NX), np.float32) < share)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 365)
