"""Local ensemble analyses: columns a second on one core, beside DAPPER and NEDAS in the same run where they are installed.

Run: OPENBLAS_NUM_THREADS=1 python benchmarks/ensemble.py        (peers: pip install dapper nedas)

The state is 300 x 200 columns of ten fields with 40 members, the taper zero at ten cells, 5 000 and 50 000 observations.
"""

import importlib.util
import time
from types import SimpleNamespace

import numpy as np
import xarray as xr
from scipy.ndimage import gaussian_filter

from oceankit.assimilation import EAKF, LETKF, DEnKF, GaspariCohn, WeightGrid
from oceankit.numerics import threads
from oceankit.numerics.covariance import gaspari_cohn
from oceankit.observations import table

NX, NY, LEVELS, MEMBERS, RADIUS, ERROR = 300, 200, 10, 40, 10.0, 0.5
ROUNDS = 5


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


def nedas_columns(ensemble: xr.DataArray, observations: xr.Dataset, hx: xr.DataArray, sample: int) -> float:
    """Columns a second of NEDAS's local ETKF, on a sample of them; its own loop over partitions and columns is what runs."""
    from NEDAS.assim_tools.assimilators.batch import BatchAssimilator
    from NEDAS.assim_tools.assimilators.ETKF.core import ETKFAssimilator
    from NEDAS.assim_tools.localization.distance_based import gaspari_cohn_func, step_func

    x, y = np.meshgrid(np.arange(float(NX)), np.arange(float(NY)))

    def distance(ref_x: float, x: np.ndarray, ref_y: float, y: np.ndarray, p: int = 2) -> np.ndarray:
        dx, dy = np.abs(x - ref_x), np.abs(y - ref_y)
        return dx + dy if p == 1 else np.hypot(dx, dy)

    grid = SimpleNamespace(x=x, y=y, mask=np.zeros((NY, NX), bool), distance=distance)
    config = SimpleNamespace(nproc_mem=1)
    method = object.__new__(ETKFAssimilator)
    method.transform_solver, method.rotation_matrix, method._warned_eigen_fallback = "auto", np.eye(MEMBERS), False
    partitions = BatchAssimilator.init_partitions(method, SimpleNamespace(grid=grid, config=config))
    rng, values = np.random.default_rng(1), ensemble.values.astype(np.float64)
    at, seen = (observations[n].values for n in "xy"), hx.values.astype(np.float64)
    ox, oy = at

    def state_of(c: SimpleNamespace, par: int, *_: object) -> dict[str, np.ndarray]:
        left, right, _, low, high, _ = partitions[par]
        i, j = rng.integers(left, right, c.sample), rng.integers(low, high, c.sample)
        return {
            "state_prior": np.ascontiguousarray(values[:, :, j, i]), "x": x[j, i], "y": y[j, i],
            "z": np.zeros((LEVELS, c.sample)), "t": np.zeros(LEVELS), "var_id": np.zeros(LEVELS, int),
        }  # fmt: skip

    def obs_of(_: object, par: int, *__: object) -> dict[str, np.ndarray]:
        left, right, _, low, high, _ = partitions[par]
        near = np.flatnonzero(
            (ox >= left - RADIUS) & (ox < right + RADIUS) & (oy >= low - RADIUS) & (oy < high + RADIUS)
        )
        n = near.size
        return {
            "obs": observations["value"].values[near], "err_std": np.full(n, ERROR), "x": ox[near], "y": oy[near],
            "z": np.zeros(n), "t": np.zeros(n), "obs_rec_id": np.zeros(n, int), "hroi": np.array([RADIUS]),
            "vroi": np.array([1e9]), "troi": np.array([1e9]), "impact_on_variable": np.ones((1, 1)),
            "obs_prior": np.ascontiguousarray(seen[:, near]),
        }  # fmt: skip

    inside = {0: {k: np.arange(1) for k in range(len(partitions))}}
    c = SimpleNamespace(
        grid=grid, nens=MEMBERS, pid_mem=0, message="", debug_message="",
        localization_funcs={"horizontal": gaspari_cohn_func, "vertical": step_func, "temporal": step_func},
        state=SimpleNamespace(
            state_prior=None, state_z=None, par_list={0: range(len(partitions))}, partitions=partitions,
            pack_local_state_data=state_of, unpack_local_state_data=lambda *_: None,
        ),
        obs=SimpleNamespace(
            obs_inds=inside, info=SimpleNamespace(records={0: None}), lobs=None, lobs_prior=None,
            pack_local_obs_data=obs_of,
        ),
    )  # fmt: skip
    # Two columns and more: Numba compiles anew for other strides.
    c.sample = 2
    BatchAssimilator.assimilation_algorithm(method, c)
    c.sample = sample // len(partitions)
    start = time.perf_counter()
    BatchAssimilator.assimilation_algorithm(method, c)
    return c.sample * len(partitions) / (time.perf_counter() - start)


def seconds(method: LETKF | DEnKF | EAKF, given: tuple[xr.DataArray, xr.Dataset, xr.DataArray]) -> float:
    """The faster of two analyses in a row: before the first, a virtual machine may have given its free memory back."""
    taken = []
    with threads.limit(1):
        for _ in range(2):
            start = time.perf_counter()
            method.assimilate(given[0], given[1], hx=given[2])
            taken.append(time.perf_counter() - start)
    return min(taken)


def main() -> None:
    print(f"columns a second on one core: {NX} x {NY} columns of {LEVELS} fields, {MEMBERS} members")
    localization = GaspariCohn(RADIUS)
    for n in (5_000, 50_000):
        given = problem(n)
        ensemble, observations, hx = given
        exact, coarse, *others = (
            LETKF(localization=localization),
            LETKF(localization=localization, weight_grid=WeightGrid(3)),
            DEnKF(localization=localization),
            EAKF(localization=localization),
        )
        _, said = exact.assimilate(ensemble, observations, hx=hx)
        for method in (coarse, *others):
            method.assimilate(ensemble.isel(x=slice(10)), observations, hx=hx)
        # In turns, so that what else the machine does meets both.
        pairs = np.array([[seconds(exact, given), seconds(coarse, given)] for _ in range(ROUNDS)])
        rate, fast = NX * NY / pairs.min(axis=0)
        ratios = pairs[:, 0] / pairs[:, 1]
        near = f"{n} observations, {float(said.n_local.mean()):.0f} at a column"
        print(f"  {near}: LETKF {rate:.0f}")
        print(
            f"  {near}: LETKF, stride 3 {fast:.0f} ({np.median(ratios):.1f} times the exact one, "
            f"{ratios.min():.1f} to {ratios.max():.1f} in {ROUNDS} rounds)"
        )
        for method in others:
            print(f"  {near}: {type(method).__name__} {NX * NY / seconds(method, given):.0f}")
        for name, columns in (("dapper", dapper_columns), ("NEDAS", nedas_columns)):
            if importlib.util.find_spec(name) is None:
                print(f"  {name} is not installed")
            elif n < 10_000 or name == "NEDAS":
                # Beyond, DAPPER's covariance of all observations does not fit in memory.
                theirs = columns(*given, 2000)
                print(f"  {n} observations: {name} {theirs:.0f}; the exact LETKF is {rate / theirs:.1f} times as fast")
    stride_error()


def stride_error() -> None:
    """What a weight grid costs in error: truths of the same kind as the members, seen at 5 000 places."""
    for length in (4.0, 8.0):
        errors = np.array([_errors(length, seed) for seed in range(3)]).mean(axis=0)
        print(
            f"error of the mean, correlation length {length:g} cells: {errors[0]:.4f} exact, {errors[1]:.4f} with stride 3 "
            f"({errors[1] / errors[0] - 1:+.1%})"
        )


def _errors(length: float, seed: int) -> list[float]:
    """Of the exact analysis and of one with a weight grid."""
    rng = np.random.default_rng(seed)
    noise = rng.normal(size=(MEMBERS + 1, NY, NX)).astype(np.float32)
    fields = gaussian_filter(noise, (0, length / np.sqrt(2), length / np.sqrt(2)), mode="wrap")
    fields /= fields.std()
    coords = {"y": np.arange(float(NY)), "x": np.arange(float(NX))}
    members = xr.DataArray(fields[1:], dims=("member", "y", "x"), coords=coords, name="temp")
    x, y = rng.integers(0, NX, 5_000), rng.integers(0, NY, 5_000)
    value = fields[0, y, x] + ERROR * rng.normal(size=x.size)
    seen = table(value=value, error_std=ERROR, x=x.astype(float), y=y.astype(float))
    hx = xr.DataArray(fields[1:, y, x], dims=("member", "obs"))
    out = []
    for weight_grid in (None, WeightGrid(3)):
        method = LETKF(localization=GaspariCohn(RADIUS), weight_grid=weight_grid)
        analysis, _ = method.assimilate(members, seen, hx=hx)
        out.append(float(np.sqrt(((analysis.mean("member") - fields[0]) ** 2).mean())))
    return out


if __name__ == "__main__":
    main()
