"""Conservative weights: seconds, peak memory and how well they close, beside CDO where it is installed.

Run: python benchmarks/conservative_weights.py [case ...]      (CDO: apt-get install cdo)
Each case runs in a process of its own, so that its peak memory is its own.
"""

import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from oceankit.fields import Grid
from oceankit.fields.rotated import Pole, to_geographic
from oceankit.numerics import sparse, threads
from oceankit.numerics.moments import areas
from oceankit.numerics.overlap import overlaps
from oceankit.regridding import Regridder

DEGREES = {"units": "degrees_east"}, {"units": "degrees_north"}


# ---- grids ----------------------------------------------------------------------------------------------------------


def curvilinear(lon: np.ndarray, lat: np.ndarray) -> xr.Dataset:
    """A field with CF bounds from positions (2 ny + 1, 2 nx + 1) on corners, edges and centres."""
    ds = xr.Dataset({"v": (("y", "x"), np.ones(lon[1::2, 1::2].shape, np.float32), {"coordinates": "lon lat"})})
    for name, v, attrs in (("lon", lon, DEGREES[0]), ("lat", lat, DEGREES[1])):
        corners = v[::2, ::2]
        cells = np.stack([corners[:-1, :-1], corners[:-1, 1:], corners[1:, 1:], corners[1:, :-1]], axis=-1)
        ds[f"{name}_bnds"] = (("y", "x", "corner"), cells)
        ds = ds.assign_coords({name: (("y", "x"), v[1::2, 1::2], {**attrs, "bounds": f"{name}_bnds"})})
    return ds


def tilted(ny: int = 400, nx: int = 600) -> xr.Dataset:
    """A regular grid of 60 by 40 degrees around a tilted pole."""
    x, y = np.linspace(-30, 30, 2 * nx + 1), np.linspace(-20, 20, 2 * ny + 1)
    return curvilinear(*to_geographic(x[None], y[:, None], Pole(40.0, 160.0, 0.0, "x", "y")))


def tripolar(nx: int = 3600, south: float = -80.0, join: float = 65.0) -> xr.Dataset:
    """A tripolar grid: regular up to ``join``, beyond it bipolar (Murray 1996), with a fold beyond the last row.

    Seen in a stereographic projection from the south pole, the cap is a disc with the two northern poles on its rim;
    log((1 + w) / (1 - w)) makes it a strip, of which rows and columns of the grid are the straight lines.
    """
    step = 180.0 / nx
    below = np.arange(round(south / step), round(join / step) + 1) * step
    rows = round((90.0 - join) / step)
    distance = np.radians((90.0 - join) * (1.0 - np.arange(1, rows + 1) / rows))
    rim = np.tan(np.radians(90.0 - join) / 2)
    lon = np.arange(2 * nx + 1) * step
    with np.errstate(divide="ignore"):
        along = np.clip(-np.log(np.abs(np.tan(np.radians(lon) / 2))), -45.0, 45.0)
    side = np.where(lon < 180.0, 1.0, -1.0)
    across = 2.0 * np.arctan(np.tan(distance / 2) / rim)
    w = rim * np.tanh((along[None] + 1j * across[:, None] * side) / 2)
    cap = np.degrees(np.angle(w)) % 360.0, 90.0 - 2 * np.degrees(np.arctan(np.abs(w)))
    plain = np.broadcast_to(lon, (below.size, lon.size)), np.broadcast_to(below[:, None], (below.size, lon.size))
    return curvilinear(*(np.concatenate([a, b]) for a, b in zip(plain, cap, strict=True)))


CASES: dict[str, tuple[Callable[[], Any], float]] = {
    "0.25 to 1": (lambda: Grid.global_regular(0.25), 1.0),
    "1 to 0.25": (lambda: Grid.global_regular(1.0), 0.25),
    "tilted 400x600 to 1": (tilted, 1.0),
    "tripolar 0.25 to 0.25": (lambda: tripolar(1440), 0.25),
    "tripolar 0.1 to 0.1": (tripolar, 0.1),
}


# ---- ours -----------------------------------------------------------------------------------------------------------


def peak() -> float:
    """Most memory this process has had, MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def run(case: str, number: int, repeat: int) -> dict[str, float | None]:
    """Best seconds (wall and of the processor) of grid and regridder and of CDO in turn, and megabytes."""
    make, target = CASES[case]
    for other in (15.0, 45.0):
        Regridder(Grid.global_regular(30.0), other, "conservative")
    ours, theirs = [], []
    with threads.limit(number), tempfile.TemporaryDirectory() as folder:
        command = cdo(case, folder) if number == 1 else None
        for _ in range(repeat):
            source = make()
            before = peak()
            ours.append(timed(lambda source=source: Regridder(source, target, "conservative")))  # type: ignore[misc]
            if command:
                theirs.append(timed(lambda: subprocess.run(command, check=True, capture_output=True)))
    best = [min(t) for v in (ours, theirs) if v for t in zip(*v, strict=True)]
    return {"before": before, "peak": peak(), **dict(zip(("wall", "cpu", "cdo_wall", "cdo_cpu"), best, strict=False))}


def timed(work: Callable[[], Any]) -> tuple[float, float]:
    """Seconds on the wall, and of the processor, processes it started included."""

    def used() -> float:
        return sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))

    start = time.perf_counter(), used()
    work()
    return time.perf_counter() - start[0], used() - start[1]


def memory(case: str, moments: bool) -> dict[str, float]:
    """Megabytes that ``overlaps`` takes at most beyond the grids, as a multiple of what it returns."""
    make, target = CASES[case]
    for step in (15.0, 45.0):
        overlaps(Grid.global_regular(step).cells(), Grid.global_regular(30.0).cells(), moments=moments)  # type: ignore[call-overload]
    made = make()
    source, goal = made if isinstance(made, Grid) else Grid.from_dataset(made), Grid.global_regular(target)
    cells = goal.cells(), source.cells()
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")
    before = _status("VmRSS")
    start = time.perf_counter()
    result = overlaps(*cells, moments=moments)  # type: ignore[call-overload]
    seconds = time.perf_counter() - start
    rows, extra = result if moments else (result, np.empty(0))
    held = (sum(a.nbytes for a in rows[:3]) + extra.nbytes) / 2**20
    return {"seconds": seconds, "beyond": _status("VmHWM") - before, "held": held, **closure(rows, *cells)}


def _status(name: str) -> float:
    with open("/proc/self/status") as file:
        return next(float(line.split()[1]) / 1024 for line in file if line.startswith(name))


def closure(rows: sparse.Rows, target: Any, source: Any) -> dict[str, float]:
    """Largest error of covering a target or using a source, among those that are covered or used by half."""
    sums = np.add.reduceat(np.append(rows.values, 0.0), rows.start[:-1]) * (np.diff(rows.start) > 0)
    used = np.bincount(rows.columns, weights=rows.values, minlength=rows.n_columns)
    out = {}
    for name, found, cells in (("rows", sums, target), ("columns", used, source)):
        area = areas(cells)
        whole = found > (1 - 1e-6) * area
        out[name] = float(np.abs(found / area - 1, where=whole & (area > 0), out=np.zeros(area.size)).max())
    return out


# ---- CDO ------------------------------------------------------------------------------------------------------------


def cdo(case: str, folder: str) -> list[str] | None:
    """Command of the same by CDO with one thread, its input made in ``folder``."""
    if not shutil.which("cdo") or case.startswith("tripolar"):
        return None
    source, target = CASES[case]
    field, made = str(Path(folder) / "field.nc"), source()
    if isinstance(made, Grid):
        grid = f"r{made.shape[1]}x{made.shape[0]}"
        subprocess.run(["cdo", "-s", "-f", "nc", "-topo," + grid, field], check=True, capture_output=True)
    else:
        made.to_netcdf(field)
    return ["cdo", "-s", "-P", "1", f"gencon,global_{target:g}", field, str(Path(folder) / "w.nc")]


def alone(*arguments: str) -> dict[str, float]:
    done = subprocess.run([sys.executable, __file__, "--inner", *arguments], check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def main(cases: list[str]) -> None:
    cores = min(2, len(os.sched_getaffinity(0)))
    print("grid and Regridder, seconds on the wall (and of the processor)")
    for case in cases:
        one, two = (alone("run", case, str(n), "1" if case.startswith("tripolar") else "7") for n in (1, cores))
        print(
            f"  {case:22s} {one['wall']:.2f} ({one['cpu']:.2f}), {cores} threads {two['wall']:.2f} ({two['cpu']:.2f})"
        )
        if "cdo_wall" in one:
            ratios = [one[f"cdo_{t}"] / one[t] for t in ("wall", "cpu")]
            print(
                f"  {'':22s} CDO {one['cdo_wall']:.2f} ({one['cdo_cpu']:.2f}), ours x {ratios[0]:.1f} ({ratios[1]:.1f})"
            )
        print(f"  {'':22s} peak {two['peak']:.0f} MB, {two['before']:.0f} before")
    print("overlaps alone, all cores: seconds, peak beyond the grids as a multiple of what is returned, closure")
    for case in cases:
        for moments in ("", "moments"):
            m = alone("memory", case, moments)
            print(
                f"  {case:22s} {moments:8s} {m['seconds']:.2f} s, {m['beyond']:.0f} MB = {m['beyond'] / m['held']:.1f} x "
                f"{m['held']:.0f} MB, rows {m['rows']:.1e}, columns {m['columns']:.1e}"
            )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--inner"]:
        what, case, *rest = sys.argv[2:]
        found = run(case, int(rest[0]), int(rest[1])) if what == "run" else memory(case, bool(rest[0]))
        print(json.dumps(found))
    else:
        main(sys.argv[1:] or list(CASES))
