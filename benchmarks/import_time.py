"""What ``import oceankit`` adds to ``import xarray, numba``, and that it loads nothing heavy.

Run: python benchmarks/import_time.py
"""

import statistics
import subprocess
import sys
import time

HEAVY = ("torch", "matplotlib", "cartopy", "distributed", "dask_jobqueue")
PAIRS = 9


def seconds(code: str) -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True)
    return time.perf_counter() - start


def main() -> None:
    base, ours = "import xarray, numba", "import xarray, numba, oceankit"
    touched = (
        ours + "; oceankit.Grid, oceankit.regrid, oceankit.OptimalInterpolation, oceankit.climatology, oceankit.write"
    )
    for code in (base, ours, touched):
        seconds(code)
    # In turn, so that a machine that slows down slows all three.
    rounds = [(seconds(base), seconds(ours), seconds(touched)) for _ in range(PAIRS)]
    print(f"import xarray, numba            {statistics.median(r[0] for r in rounds):.2f} s (median of {PAIRS})")
    for name, column in (("with oceankit", 1), ("and its main names touched", 2)):
        ratios = sorted(r[column] / r[0] for r in rounds)
        print(f"{name:31s} {statistics.median(ratios):.3f} times that (from {ratios[0]:.3f} to {ratios[-1]:.3f})")
    found = subprocess.run(
        [sys.executable, "-c", f"import sys, oceankit; print([m for m in {HEAVY} if m in sys.modules])"],
        check=True, capture_output=True, text=True,
    ).stdout.strip()  # fmt: skip
    print(f"heavy packages loaded by import oceankit: {found}")


if __name__ == "__main__":
    main()
