"""Regridding against its peers in the same run: weights, application, one field, memory, cold start.

Run: python benchmarks/regridding.py [--only weights|apply|memory|cold|peers]

Peers, each left out with a line saying so where it is not installed: CDO (apt-get install cdo), scipy.sparse,
pydata's sparse, xarray-regrid, xugrid, pyresample (pip). Figures of ESMF and xESMF, which no package index has, are
those that were measured once on a machine of this class, and are printed as such.
"""

import argparse
import importlib.util
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
import scipy.sparse
import xarray as xr
from _grids import tilted

from oceankit.fields import Grid
from oceankit.numerics import threads
from oceankit.regridding import Regridder
from oceankit.regridding.operators import Matrix

CASES = ((0.25, 1.0), (1.0, 0.25))
# Seconds of ESMF 9 for weights, and of xESMF for 100 levels of float32; one thread.
ESMF = {(0.25, 1.0): {"conservative": 23.5, "bilinear": 12.7}, (1.0, 0.25): {"conservative": 21.0, "bilinear": 16.2}}
XESMF = {(0.25, 1.0): {"conservative": 0.225, "bilinear": 0.059}, (1.0, 0.25): {"conservative": 1.72, "bilinear": 1.71}}
LEVELS = 100
PEER_LEVELS, PEER_BYTES = 10, 12 * 2**30


def best(work: Callable[[], Any], repeat: int = 3) -> float:
    """Shortest of ``repeat`` wall times."""
    found = []
    for _ in range(repeat):
        start = time.perf_counter()
        work()
        found.append(time.perf_counter() - start)
    return min(found)


# ---- weights --------------------------------------------------------------------------------------------------------


def cdo_seconds(operator: str, source: float | xr.Dataset, target: float, n_threads: int) -> float | None:
    """CDO's whole process generating weights."""
    if not shutil.which("cdo"):
        return None
    with tempfile.TemporaryDirectory() as folder:
        field = Path(folder) / "field.nc"
        if isinstance(source, xr.Dataset):
            source.to_netcdf(field)
        else:
            grid = Grid.global_regular(source)
            attrs = {"lon": {"units": "degrees_east"}, "lat": {"units": "degrees_north"}}
            coords = {n: (n, getattr(grid, n).values, attrs[n]) for n in ("lon", "lat")}
            xr.Dataset({"field": (("lat", "lon"), np.ones(grid.shape, np.float32))}, coords=coords).to_netcdf(field)
        command = [
            "cdo",
            "-s",
            "-P",
            str(n_threads),
            f"{operator},global_{target:g}",
            str(field),
            str(Path(folder) / "w.nc"),
        ]
        return best(lambda: subprocess.run(command, check=True, capture_output=True))


def weights() -> None:
    print("weights, seconds of the whole Regridder from its grids (1 thread, 2 threads); peers in the same run")
    curved = tilted()
    todo: list[tuple[Any, float, str, str, str | None]] = []
    for source, target in CASES:
        todo += [
            (source, target, "conservative", "great_circle", "gencon"),
            (source, target, "conservative", "latitude", "gencon"),
            (source, target, "bilinear", "great_circle", "genbil"),
            (source, target, "bicubic", "great_circle", "genbic"),
            (source, target, "conservative2", "great_circle", "gencon2"),
        ]
    todo += [(curved, 1.0, m, "great_circle", o) for m, o in (("conservative", "gencon"), ("bilinear", "genbil"))]
    for source, target, method, edges, operator in todo:
        name = "tilted 400x600" if isinstance(source, xr.Dataset) else f"{source:g}"
        row = []
        for number in (1, 2):
            with threads.limit(number):
                row.append(
                    best(
                        lambda s=source, t=target, m=method, e=edges: Regridder(
                            s if isinstance(s, xr.Dataset) else Grid.global_regular(s), t, m, edges=e
                        )
                    )
                )
        line = (
            f"  {name:>14s} to {target:<5g} {method:13s} {edges:12s} {row[0]:.4f} {row[1]:.4f} ({row[0] / row[1]:.2f}x)"
        )
        for number in (1, 2):
            theirs = cdo_seconds(operator, source, target, number) if operator else None
            line += (
                "  CDO not installed"
                if theirs is None
                else f"  CDO -P {number} {theirs:.2f}, ratio {theirs / row[number - 1]:.1f}"
            )
        recorded = ESMF.get((source, target), {}).get(method) if not isinstance(source, xr.Dataset) else None
        print(line + (f"  ESMF (recorded) {recorded:g}" if recorded else ""))


# ---- application ----------------------------------------------------------------------------------------------------


def in_turn(*works: Callable[[], Any], repeat: int = 5) -> list[float]:
    """Shortest wall time of each, run in turn: what else the machine does falls on all of them."""
    found = [[best(w, 1) for w in works] for _ in range(repeat)]
    return [min(times) for times in zip(*found, strict=True)]


def stream(values: np.ndarray, targets: int) -> None:
    """Read every field once and write a new result of as many: what no application can do without."""
    out = np.empty((len(values), targets), values.dtype)
    bits = values.reshape(len(values), -1).view(np.int32)

    def work(begin: int, end: int) -> None:
        bits[begin:end].max(axis=1)
        out[begin:end].fill(1.0)

    threads.over_blocks(work, len(values), block=5)


def land(shape: tuple[int, ...]) -> np.ndarray:
    """About a third of the globe in continents, deeper levels more: NaN there."""
    lat, lon = np.meshgrid(np.linspace(-1.5, 1.5, shape[0]), np.linspace(0, 2 * np.pi, shape[1]), indexing="ij")
    return np.sin(2 * lon + 1) * np.cos(lat) + 0.6 * np.sin(3 * lon) * np.sin(2 * lat) + 0.4 * np.sin(lat)


def application() -> None:
    print(f"\napplication to {LEVELS} levels of float32, seconds on all threads, the whole call from xarray to xarray")
    rng = np.random.default_rng(0)
    for source, target in CASES:
        grid = Grid.global_regular(source)
        values = rng.normal(size=(LEVELS, *grid.shape)).astype(np.float32)
        field = xr.DataArray(values, dims=("depth", *grid.dims), coords=grid.coords())
        depth = np.linspace(0.65, 0.2, LEVELS)[:, None, None]
        gaps = field.where(land(grid.shape)[None] < depth)
        print(f"  {source:g} to {target:g}, {float(gaps.isnull().mean()):.0%} missing in the fields with gaps")
        for method, edges in (
            ("conservative", "latitude"), ("bilinear", "great_circle"), ("bicubic", "great_circle"),
            ("conservative", "great_circle"), ("conservative2", "great_circle"),
        ):  # fmt: skip
            regridder = Regridder(grid, target, method, edges=edges)
            regridder(field)
            clean, holes, limit = in_turn(
                lambda r=regridder, f=field: r(f),
                lambda r=regridder, f=gaps: r(f),
                lambda v=values, n=regridder.target.size: stream(v, n),
            )
            kind = type(regridder._operator).__name__
            line = (
                f"    {method:13s} {edges:12s} {kind:11s} {clean:.4f}, with gaps {holes:.4f} ({holes / clean:.2f}x); "
                f"reading and writing alone {limit:.4f}, {limit / clean:.0%} of it reached"
            )
            recorded = XESMF[source, target].get(method) if edges == "great_circle" else None
            print(line + (f"; xESMF (recorded) {recorded:g}, ratio {recorded / clean:.1f}" if recorded else ""))
        sparse_only(grid, target, field)
        peers(grid, target, field)


def sparse_only(grid: Grid, target: float, field: xr.DataArray) -> None:
    """The same weights as sparse rows, and one field against scipy."""
    for method in ("conservative", "bilinear"):
        regridder = Regridder(grid, target, method)
        rows = regridder._operator.matrix()
        shape = (rows.shape[0], rows.n_columns)
        matrix = scipy.sparse.csr_array(
            (rows.values, rows.columns.astype(np.int32), rows.start.astype(np.int32)), shape=shape
        )
        own = regridder._operator
        ours = own if isinstance(own, Matrix) else own.as_matrix()
        flat = np.ascontiguousarray(field.values.reshape(LEVELS, -1))
        ours.apply(flat, 0.5, False)
        vector = flat[0].astype(np.float64)
        many, limit = in_turn(lambda o=ours, f=flat: o.apply(f, 0.5, False), lambda f=flat, n=shape[0]: stream(f, n))
        with threads.limit(1):
            single, theirs = in_turn(
                lambda o=ours, f=flat[:1]: o.apply(f, 0.5, False), lambda m=matrix, v=vector: m @ v, repeat=20
            )
        both, whole = in_turn(
            lambda o=ours, f=flat[:1]: o.apply(f, 0.5, False), lambda r=regridder, f=field[0]: r(f), repeat=20
        )
        recorded = XESMF[float(360 / grid.shape[1]), target][method]
        print(
            f"    as sparse rows, {method}: {LEVELS} levels {many:.4f} (xESMF recorded {recorded:g}, ratio "
            f"{recorded / many:.1f}; {coo(matrix, flat, many)}; reading and writing alone {limit:.4f}); one field, one "
            f"thread {single:.5f}, all threads {both:.5f}, scipy's float64 product {theirs:.5f}; as the regridder does it, "
            f"xarray to xarray, {whole:.5f}"
        )


def coo(matrix: scipy.sparse.csr_array, flat: np.ndarray, ours: float) -> str:
    """The product of pydata's sparse, with which xESMF applies its weights."""
    if importlib.util.find_spec("sparse") is None:
        return "pydata's sparse, which xESMF applies, is not installed"
    import sparse as pydata

    theirs = pydata.COO.from_scipy_sparse(matrix.astype(np.float32))
    theirs.dot(flat.T)
    seconds = best(lambda: theirs.dot(flat.T))
    return f"pydata's sparse, which xESMF applies, in this run {seconds:.3f}, ratio {seconds / ours:.1f}"


def peers(grid: Grid, target: float, field: xr.DataArray) -> None:
    if importlib.util.find_spec("xarray_regrid") is None:
        print("  xarray-regrid is not installed")
        return
    import xarray_regrid  # noqa: F401

    field = field[:PEER_LEVELS]
    goal = Grid.global_regular(target)
    like = xr.Dataset(coords={n: v.values for n, v in goal.coords().items()})
    plain = xr.DataArray(field.values, dims=field.dims, coords={n: field[n].values for n in ("lat", "lon")})
    for method, mine, edges in (("conservative", "conservative", "latitude"), ("linear", "bilinear", "great_circle")):
        regridder = Regridder(grid, target, mine, edges=edges)
        ours = best(lambda r=regridder: r(field))
        run = getattr(plain.regrid, method)
        options = {"latitude_coord": "lat"} if method == "conservative" else {}
        # With pydata's sparse beside it, its newest version may ask for more than a machine has.
        before = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (PEER_BYTES, before[1]))
        try:
            theirs = best(lambda f=run, o=options: f(like, **o).compute(), 1)
        except MemoryError:
            print(f"  xarray-regrid {method}, {PEER_LEVELS} levels: more than {PEER_BYTES / 2**30:.0f} GiB")
            continue
        finally:
            resource.setrlimit(resource.RLIMIT_AS, before)
        print(f"  xarray-regrid {method}, {field.shape[0]} levels: {theirs:.2f} s, ratio {theirs / ours:.0f}")


def other_peers() -> None:
    """Weights and application of one curvilinear case by xugrid and pyresample."""
    print("\ntilted 400x600 to 1 degree, one field, weights and application together, seconds")
    ds = tilted()
    lat, lon = ds["lat"].values, ds["lon"].values
    goal = Grid.global_regular(1.0)
    for method in ("conservative", "bilinear", "nearest"):
        print(f"  oceankit {method}: {best(lambda m=method: Regridder(ds, goal, m)(ds['field'])):.3f}")
    if importlib.util.find_spec("xugrid") is None:
        print("  xugrid is not installed")
    else:
        import xugrid

        x, y = ds["lon_bnds"].values.reshape(-1, 4), ds["lat_bnds"].values.reshape(-1, 4)
        nodes, inverse = np.unique(np.round(np.stack([x.ravel(), y.ravel()], 1), 9), axis=0, return_inverse=True)
        source = xugrid.Ugrid2d(nodes[:, 0], nodes[:, 1], -1, inverse.reshape(-1, 4))
        data = xugrid.UgridDataArray(xr.DataArray(np.ones(source.n_face), dims=[source.face_dimension]), source)
        target = xr.DataArray(
            np.ones((180, 360)), dims=("y", "x"), coords={"y": goal.lat.values, "x": goal.lon.values - 180}
        )
        print(
            f"  xugrid OverlapRegridder (flat degrees): {best(lambda: xugrid.OverlapRegridder(data, target).regrid(data), 1):.3f}"
        )
    if importlib.util.find_spec("pyresample") is None:
        print("  pyresample is not installed")
        return
    from pyresample import geometry, kd_tree

    swath = geometry.SwathDefinition(lons=lon, lats=lat)
    there = geometry.SwathDefinition(*np.meshgrid((goal.lon.values + 180) % 360 - 180, goal.lat.values))
    seconds = best(lambda: kd_tree.resample_nearest(swath, ds["field"].values, there, radius_of_influence=60_000), 1)
    print(f"  pyresample nearest: {seconds:.3f}")


# ---- memory and cold start ------------------------------------------------------------------------------------------


def _child(code: str, **env: str) -> tuple[float, str]:
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, env={**os.environ, **env}
    )  # fmt: skip
    return time.perf_counter() - start, done.stdout.strip()


_GENERATE = """
import resource, numpy as np
from oceankit.fields import Grid
from oceankit.regridding import Regridder
Regridder(Grid.global_regular(30), 45.0, "{method}")
grids = [Grid.global_regular({source}), Grid.global_regular({target})]
if "{method}".startswith("conservative"):
    [g.cells() for g in grids]
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
r = Regridder(*grids, "{method}")
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
size = sum(a.nbytes for a in r._operator.arrays().values())
print((after - before) / 1024, size / 2**20)
"""


def memory() -> None:
    print("\npeak memory of making weights beyond the grids, MiB (and size of the result)")
    for source, target in CASES:
        for method in ("conservative", "conservative2"):
            _, said = _child(_GENERATE.format(method=method, source=source, target=target))
            peak, size = map(float, said.split())
            print(f"  {source:g} to {target:g} {method:13s} {peak:6.0f} ({size:.0f}), ratio {peak / size:.1f}")


def cold() -> None:
    print("\ncold start: python, imports and a first regrid of a 1-degree field, seconds")
    code = """
import numpy as np, xarray as xr, time
from oceankit.fields import Grid
from oceankit.regridding import Regridder
g = Grid.global_regular(1.0)
f = xr.DataArray(np.ones((20, *g.shape), "f4"), dims=("depth", *g.dims), coords=g.coords())
start = time.perf_counter()
Regridder(g, 2.0, "{method}")(f)
print(time.perf_counter() - start)
"""
    for method in ("conservative", "bilinear", "conservative2"):
        with tempfile.TemporaryDirectory() as folder:
            whole, first = _child(code.format(method=method), NUMBA_CACHE_DIR=folder)
            again, second = _child(code.format(method=method), NUMBA_CACHE_DIR=folder)
        print(
            f"  {method:13s} nothing compiled yet: {float(first):.1f} ({whole:.1f} with imports); from the cache: "
            f"{float(second):.2f} ({again:.1f} with imports)"
        )


PARTS = {"weights": weights, "apply": application, "peers": other_peers, "memory": memory, "cold": cold}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=PARTS, help="one part of it")
    chosen = parser.parse_args().only
    for method in ("conservative", "bilinear", "bicubic", "conservative2"):
        Regridder(Grid.global_regular(30), 45.0, method)
    for name, part in PARTS.items():
        if chosen in (None, name):
            part()
    print(f"\npeak memory of this run {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.1f} GiB")


if __name__ == "__main__":
    main()
