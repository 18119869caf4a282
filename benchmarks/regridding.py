"""Weights and their application: seconds, and as a ratio against scipy.sparse and, where it is installed, CDO.

Run: python benchmarks/regridding.py        (CDO: apt-get install cdo)
"""

import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse
import xarray as xr

from oceankit.fields import Grid
from oceankit.numerics import threads
from oceankit.regridding import Regridder


def best(work: Callable[[], Any], repeat: int = 3) -> tuple[float, Any]:
    """Shortest of ``repeat`` wall times."""
    found, result = [], None
    for _ in range(repeat):
        start = time.perf_counter()
        result = work()
        found.append(time.perf_counter() - start)
    return min(found), result


def cdo_seconds(operator: str, source: float, target: float) -> float | None:
    """CDO's whole process, one thread, generating weights between global grids."""
    if not shutil.which("cdo"):
        return None
    with tempfile.TemporaryDirectory() as folder:
        field = Path(folder) / "field.nc"
        grid = f"r{round(360 / source)}x{round(180 / source)}"
        subprocess.run(["cdo", "-s", "-f", "nc", "-topo," + grid, str(field)], check=True, capture_output=True)
        goal = f"global_{target:g}"
        command = ["cdo", "-s", "-P", "1", f"{operator},{goal}", str(field), str(Path(folder) / "w.nc")]
        return best(lambda: subprocess.run(command, check=True, capture_output=True), 3)[0]


def main() -> None:
    Regridder(Grid.global_regular(30), 45.0, "conservative")
    Regridder(Grid.global_regular(30), 45.0, "bilinear")
    print("weights, seconds (one thread; two threads; CDO's whole process where installed)")
    for source, target in ((0.25, 1.0), (1.0, 0.25)):
        for method, operator in (("conservative", "gencon"), ("bilinear", "genbil")):
            row = []
            for number in (1, 2):
                with threads.limit(number):
                    row.append(best(lambda s=source, t=target, m=method: Regridder(Grid.global_regular(s), t, m), 2)[0])
            theirs = cdo_seconds(operator, source, target)
            peer = "CDO not installed" if theirs is None else f"CDO {theirs:.2f}, ratio CDO/ours {theirs / row[0]:.2f}"
            print(f"  {source:g} to {target:g} {method:13s} {row[0]:.2f}  {row[1]:.2f}  {peer}")
    print("application to float32, one thread, against scipy.sparse (which cannot leave out missing values)")
    for source, target, method in ((0.25, 1.0, "conservative"), (1.0, 0.25, "bilinear")):
        regridder = Regridder(Grid.global_regular(source), target, method)
        weights = regridder.weights
        shape = (regridder.target.size, regridder.source.size)
        entries = (weights["S"].values.astype(np.float32), (weights["row"].values - 1, weights["col"].values - 1))
        matrix = scipy.sparse.csr_array(entries, shape=shape)
        for levels in (1, 50):
            values = np.random.default_rng(0).normal(size=(levels, *regridder.source.shape)).astype(np.float32)
            field = xr.DataArray(values, dims=("depth", *regridder.source.dims))
            flat = np.ascontiguousarray(values.reshape(levels, -1).T)
            with threads.limit(1):
                regridder(field)
                ours = best(lambda f=field, r=regridder: r(f))[0]
            theirs = best(lambda m=matrix, v=flat: m @ v)[0]
            print(
                f"  {source:g} to {target:g} {method:13s} {levels:3d} levels: {ours:.4f} s, scipy/ours {theirs / ours:.2f}"
            )


if __name__ == "__main__":
    main()
