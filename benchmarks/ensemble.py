"""Local ensemble analyses: columns a second on one core, beside DAPPER in the same run where it is installed.

Run: python benchmarks/ensemble.py        (peer: pip install dapper)

The state is 300 x 200 columns of ten fields with 40 members, the taper zero at ten cells, 5 000 and 50 000 observations.
"""

import importlib.util
import time

import numpy as np
import xarray as xr

from oceankit.assimilation import EAKF, LETKF, DEnKF, GaspariCohn
from oceankit.numerics import threads
from oceankit.numerics.covariance import gaspari_cohn
from oceankit.observations import table

NX, NY, LEVELS, MEMBERS, RADIUS, ERROR = 300, 200, 10, 40, 10.0, 0.5


def problem(n: int) -> tuple[xr.DataArray, xr.Dataset, xr.DataArray]:
    """An ensemble of smooth fields on a plane, observations of its first level, and what the members would have measured."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=(MEMBERS, LEVELS, NY, NX)).cumsum(axis=2).cumsum(axis=3)
    values = (values / values.std()).astype(np.float32)
    coords = {"y": np.arange(float(NY)), "x": np.arange(float(NX))}
    ensemble = xr.DataArray(values, dims=("member", "level", "y", "x"), coords=coords, name="temp")
    x, y = rng.integers(0, NX, n), rng.integers(0, NY, n)
    hx = xr.DataArray(values[:, 0, y, x], dims=("member", "obs"))
    return ensemble, table(value=rng.normal(size=n), error_std=ERROR, x=x.astype(float), y=y.astype(float)), hx


def dapper_columns(ensemble: xr.DataArray, observations: xr.Dataset, hx: xr.DataArray, sample: int) -> float:
    """Columns a second of DAPPER's LETKF, on a sample of them."""
    from dapper.da_methods.ensemble import local_analyses
    from dapper.tools.matrices import CovMat

    state = ensemble.values.reshape(MEMBERS, -1).astype(np.float64)
    at = np.stack([observations["x"].values, observations["y"].values], axis=1)
    columns = np.random.default_rng(1).choice(NX * NY, 2 * sample, replace=False)
    batches = [c + NX * NY * np.arange(LEVELS) for c in columns]

    def taper(batch: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        c = int(batch[0])
        distance = np.hypot(at[:, 0] - c % NX, at[:, 1] - c // NX)
        near = np.flatnonzero(distance < RADIUS)
        return near, np.array([gaspari_cohn(2.0 * d / RADIUS) for d in distance[near]])

    covariance = CovMat(ERROR**2 * np.ones(len(at)))
    given = hx.values.astype(np.float64), covariance, observations["value"].values
    # What it does once for all columns, with a matrix of all observations, is left out.
    local_analyses(state, *given, batches[:1], taper)
    seconds = []
    for some in (batches[:1], batches):
        start = time.perf_counter()
        local_analyses(state, *given, some, taper)
        seconds.append(time.perf_counter() - start)
    return (len(batches) - 1) / (seconds[1] - seconds[0])


def main() -> None:
    print(f"columns a second on one core: {NX} x {NY} columns of {LEVELS} fields, {MEMBERS} members")
    localization = GaspariCohn(RADIUS)
    for n in (5_000, 50_000):
        given = problem(n)
        ensemble, observations, hx = given
        for method in (
            LETKF(localization=localization),
            DEnKF(localization=localization),
            EAKF(localization=localization),
        ):
            method.assimilate(ensemble.isel(x=slice(10)), observations, hx=hx)
            with threads.limit(1):
                start = time.perf_counter()
                _, said = method.assimilate(ensemble, observations, hx=hx)
                seconds = time.perf_counter() - start
            print(
                f"  {n} observations, {float(said.n_local.mean()):.0f} at a column: {type(method).__name__} "
                f"{NX * NY / seconds:.0f}"
            )
        if importlib.util.find_spec("dapper") is None:
            print("  DAPPER is not installed")
        elif n < 10_000:
            # Beyond, its covariance of all observations does not fit in memory.
            print(f"  {n} observations: DAPPER's LETKF {dapper_columns(*given, 2000):.0f}")


if __name__ == "__main__":
    main()
