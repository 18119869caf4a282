"""Milliseconds per pixel of climatology, anomalies and spells on the daily OISST cube off Tasmania.

Run: python benchmarks/anomaly_climatology.py [PATH of oisst_tasmania_1982_2016.nc]
"""

import sys
import time
from collections.abc import Callable
from functools import partial
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
    if not Path(path).exists():
        print("skipped: no daily cube beside the project; give the path of one")
        return
    with xr.open_dataset(path) as dataset:
        sst = dataset["sst"].load()
    pixels = sst[0].size
    print(f"{path}: {sst.sizes['time']} days, {pixels} pixels, base period 1983-2012")
    for dtype in ("float32", "float64"):
        field = sst.astype(dtype)
        for number in (1, 2):
            with threads.limit(number):
                t_clim, clim = best(partial(climatology, field, period=(1983, 2012)))
                t_anom, warmer = best(partial(anomalies, field, clim))
                t_spell, _ = best(partial(spells, warmer > 1, min_duration=5, max_gap=2, values=warmer))
            figures = [f"{1e3 * t / pixels:.3f}" for t in (t_clim, t_anom, t_spell)]
            names = ("climatology", "anomalies", "spells")
            print(f"{dtype}, {number} threads, ms/pixel:", *map(" ".join, zip(names, figures, strict=True)), sep="  ")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else str(CUBE))
