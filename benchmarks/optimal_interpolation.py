"""Local optimal interpolation: points per second and core, against the same solution in SciPy and NumPy.

Run: python benchmarks/optimal_interpolation.py
"""

import time

import numpy as np
import xarray as xr
from scipy.spatial import cKDTree

from oceankit.assimilation import OptimalInterpolation
from oceankit.fields import Grid
from oceankit.numerics import covariance, threads
from oceankit.numerics.sphere import EARTH_RADIUS, unit_vectors
from oceankit.observations import table

LENGTH, STD, ERROR, NEAREST = 150.0, 0.8, 0.4, 50


def with_scipy(lon: np.ndarray, lat: np.ndarray, obs: xr.Dataset) -> np.ndarray:
    """The textbook, point by point: scipy's tree, numpy's solver."""
    places, at = unit_vectors(obs.lon.values, obs.lat.values), unit_vectors(lon, lat)
    tree = cKDTree(places)
    out = np.empty(at.shape[0])
    for i, point in enumerate(at):
        near = tree.query(point, k=NEAREST)[1]
        group = np.concatenate([places[near], point[None]])
        chord = np.linalg.norm(group[:, None] - group[None], axis=-1)
        distance = 2e-3 * EARTH_RADIUS * np.arcsin(np.clip(chord / 2, 0, 1))
        matrix = STD**2 * covariance.evaluate("gaspari_cohn", distance, LENGTH)
        out[i] = matrix[-1, :-1] @ np.linalg.solve(
            matrix[:-1, :-1] + ERROR**2 * np.eye(NEAREST), obs.value.values[near]
        )
    return out


def main() -> None:
    rng = np.random.default_rng(0)
    n = 200_000
    obs = table(
        value=rng.normal(size=n),
        error_std=ERROR,
        lon=rng.uniform(0, 360, n),
        lat=np.degrees(np.arcsin(rng.uniform(-1, 1, n))),
    )
    oi = OptimalInterpolation(background_error_std=STD, length_scale=LENGTH, n_nearest=NEAREST)
    # Points are as dense as on the whole globe at a quarter of a degree, and so are observations.
    grid = Grid.regular(lon=(0, 60, 0.25), lat=(-60, 60, 0.25))
    field = xr.DataArray(np.zeros(grid.shape), dims=grid.dims, coords=grid.coords())
    near = obs.isel(obs=np.flatnonzero((obs.lon.values < 75) & (np.abs(obs.lat.values) < 70)))
    oi.assimilate(field[:2, :2], near.isel(obs=slice(0, 200)), hx=np.zeros(200))
    zeros = np.zeros(near.sizes["obs"])
    with threads.limit(1):
        start = time.perf_counter()
        _, diagnostics = oi.assimilate(field, near, hx=zeros)
        ours = (field.size + near.sizes["obs"]) / (time.perf_counter() - start)
    lon, lat = np.meshgrid(grid.lon.values, grid.lat.values)
    pick = rng.choice(field.size, 400, replace=False)
    start = time.perf_counter()
    expected = with_scipy(lon.ravel()[pick], lat.ravel()[pick], near)
    theirs = pick.size / (time.perf_counter() - start)
    apart = np.abs(diagnostics["increments"].values.ravel()[pick] - expected).max()
    print(f"{near.sizes['obs']} observations, {NEAREST} nearest, {field.size} points and the observations, one thread")
    print(
        f"oceankit {ours:.0f} points/s (with error variance); SciPy and NumPy {theirs:.0f} (without); ratio {ours / theirs:.1f}"
    )
    print(f"largest difference {apart:.1e}")


if __name__ == "__main__":
    main()
