"""Milliseconds per pixel of climatology, anomalies and spells on the daily OISST cube off Tasmania.

Run: python benchmarks/anomaly_climatology.py [PATH of oisst_tasmania_1982_2016.nc]
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import xarray as xr

from oceankit.anomaly import anomalies, climatology, spells
from oceankit.numerics import threads

CUBE = Path(__file__).resolve().parents[1].parent / "shared/data/oisst_tasmania/oisst_tasmania_1982_2016.nc"


def best(work: Callable[[], Any], repeat: int = 3) -> tuple[float, Any]:
    """Shortest of ``repeat`` wall times, after a run that compiles."""
    result, seconds = work(), []
    for _ in range(repeat):
        start = time.perf_counter()
        result = work()
        seconds.append(time.perf_counter() - start)
    return min(seconds), result


def main(path: str) -> None:
    with xr.open_dataset(path) as dataset:
        sst = dataset["sst"].load()
    pixels = sst[0].size
    print(f"{path}: {sst.sizes['time']} days, {pixels} pixels, base period 1983-2012")
    for dtype in ("float32", "float64"):
        field = sst.astype(dtype)
        for number in (1, 2):
            with threads.limit(number):
                t_clim, clim = best(lambda f=field: climatology(f, period=(1983, 2012)))  # type: ignore[misc]
                t_anom, warmer = best(lambda f=field, c=clim: anomalies(f, c))  # type: ignore[misc]
                t_spell, _ = best(lambda w=warmer: spells(w > 1, min_duration=5, max_gap=2, values=w))  # type: ignore[misc]
            figures = [f"{1e3 * t / pixels:.3f}" for t in (t_clim, t_anom, t_spell)]
            print(f"{dtype}, {number} threads: climatology {figures[0]}, anomalies {figures[1]}, spells {figures[2]} ms/pixel")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else str(CUBE))
