"""Columns onto depths: nanoseconds a column, as ratios against numpy.interp per column, xgcm where it is installed, and a copy.

Run: python benchmarks/vertical.py        (xgcm: pip install xgcm)
"""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import xarray as xr

from oceankit.fields import depth_edges, depths, s_coordinate
from oceankit.numerics import threads
from oceankit.regridding import regrid_vertical

LEVELS = np.array(
    [0, 5, 10, 20, 30, 50, 75, 100, 125, 150, 200, 250, 300, 400, 500, 600, 700, 800, 1000, 1200, 1500, 2000, 2500.0]
)


def best(work: Callable[[], Any], repeat: int = 5) -> float:
    """Shortest of ``repeat`` wall times, after a run that compiles."""
    work()
    found = []
    for _ in range(repeat):
        start = time.perf_counter()
        work()
        found.append(time.perf_counter() - start)
    return min(found)


def ocean(times: int, layers: int, rows: int, columns: int) -> xr.Dataset:
    """A made ROMS field over a rough sloping bed, float32 as from a file."""
    rng = np.random.default_rng(0)
    slope = np.linspace(60, 4500, columns) * (1 + 0.1 * rng.normal(size=(rows, columns)))
    ds = s_coordinate(layers, theta_s=7.0, theta_b=2.0, hc=50.0)
    ds["h"] = ("eta_rho", "xi_rho"), slope.clip(55)
    ds["zeta"] = ("ocean_time", "eta_rho", "xi_rho"), 0.3 * rng.normal(size=(times, rows, columns))
    dims = ("ocean_time", "s_rho", "eta_rho", "xi_rho")
    ds["temp"] = dims, rng.normal(10, 3, size=(times, layers, rows, columns)).astype(np.float32)
    return ds


def interp_seconds(depth: np.ndarray, values: np.ndarray) -> float:
    """numpy.interp, column by column, a sample of them."""
    z, x = (np.moveaxis(a, -3, -1).reshape(-1, a.shape[-3])[:20_000, ::-1].copy() for a in (depth, values))

    def work() -> None:
        for k in range(z.shape[0]):
            np.interp(LEVELS, z[k], x[k], left=np.nan, right=np.nan)

    return best(work, 3) / z.shape[0]


def xgcm_seconds(ds: xr.Dataset, depth: xr.DataArray, edges: xr.DataArray, method: str) -> float | None:
    try:
        import xgcm
    except ImportError:
        return None
    coords = {"Z": {"center": "s_rho", "outer": "s_w"}}
    data = ds.assign_coords(z=depth, zw=edges.rename(s_rho_edges="s_w"))
    grid = xgcm.Grid(data, coords=coords, padding="fill", autoparse_metadata=False)
    if method == "linear":
        # From the surface down, which is what it wants.
        down = data.isel(s_rho=slice(None, None, -1))
        return best(lambda: grid.transform(down["temp"], "Z", LEVELS, target_data=down["z"], method="linear").load(), 3)
    down = data.isel(s_rho=slice(None, None, -1), s_w=slice(None, None, -1))
    # Its conservative method wants sums over layers and returns sums.
    amount = down["temp"] * np.abs(down["zw"].diff("s_w")).rename(s_w="s_rho").assign_coords(s_rho=down["s_rho"])
    try:
        return best(
            lambda: grid.transform(amount, "Z", LEVELS, target_data=down["zw"], method="conservative").load(), 3
        )
    except Exception as error:
        print(f"    xgcm conservative: {type(error).__name__}: {error}")
        return None


def main() -> None:
    ds = ocean(4, 40, 200, 400)
    columns = ds["temp"].size // ds.sizes["s_rho"]
    depth, edges = depths(ds, "temp"), depth_edges(ds, "temp")
    values = ds["temp"].values
    copy = best(lambda: values.copy())
    loop = interp_seconds(depth.values, values)
    axis = xr.DataArray(np.linspace(5, 2600, 40), dims="s_rho", attrs={"units": "m", "positive": "down"})
    axis_edges = xr.DataArray(np.linspace(0, 2665, 41), dims="edge", attrs={"units": "m", "positive": "down"})
    print(
        f"{columns} columns of 40 levels onto {LEVELS.size}; a copy of the field takes {1e9 * copy / columns:.0f} ns a column"
    )
    cases = {
        ("linear", "depths of each column"): {"depth": depth},
        ("linear", "one axis of depths"): {"depth": axis},
        ("conservative", "depths of each column"): {"depth": edges, "edges": LEVELS},
        ("conservative", "one axis of depths"): {"depth": axis_edges, "edges": LEVELS},
    }
    for (method, where), options in cases.items():
        row = []
        for number in (1, 2):
            with threads.limit(number):
                levels = None if "edges" in options else LEVELS
                row.append(
                    best(
                        lambda m=method, o=options, v=levels: regrid_vertical(ds["temp"], v, method=m, dim="s_rho", **o)
                    )
                )
        line = (
            f"  {method:13s} {where:22s} {1e9 * row[0] / columns:5.0f} ns, two threads {1e9 * row[1] / columns:5.0f}; "
        )
        line += f"{copy / row[0]:.2f} of the speed of a copy"
        if method == "linear":
            line += f"; numpy.interp/ours {loop * columns / row[0]:.1f}"
        if where.startswith("depths"):
            theirs = xgcm_seconds(ds, depth, edges, method)
            line += "; xgcm not measured" if theirs is None else f"; xgcm/ours {theirs / row[0]:.1f} (one thread each)"
        print(line)


if __name__ == "__main__":
    main()
