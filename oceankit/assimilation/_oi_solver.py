"""The algebra of optimal interpolation: the observations' side solved once, then increments and errors at points."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import scipy.linalg
import xarray as xr

from oceankit.assimilation import _oi_kernels as kernels
from oceankit.numerics import threads
from oceankit.numerics.neighbours import Tree
from oceankit.numerics.sphere import unit_vectors

__all__ = ["Setting", "System", "analyse", "local", "solve_all"]

# Beyond this the dense factorisation of all observations at once would need more than 3 GB.
_MOST_AT_ONCE = 20_000


class Setting(NamedTuple):
    """What does not depend on the observations."""

    positions: list[xr.DataArray]
    extra: tuple[str, ...]
    extra_scales: tuple[float, ...]
    radius: float
    length: float
    function: int
    n_nearest: int | None

    def bare(self) -> Setting:
        """Without the positions, which reach each task by themselves."""
        return self._replace(positions=[])

    def scaled(self, a: np.ndarray, b: np.ndarray, *rest: np.ndarray) -> np.ndarray:
        """Positions as rows of scaled coordinates (see the kernels)."""
        if self.radius > 0:
            columns = list((unit_vectors(a, b) * self.radius).T)
        else:
            columns = [a / self.length, b / self.length]
        columns += [r / scale for r, scale in zip(rest, self.extra_scales, strict=True)]
        return np.ascontiguousarray(np.stack(columns, axis=-1), np.float64)

    @property
    def n_horizontal(self) -> int:
        return 3 if self.radius > 0 else 2


class System(NamedTuple):
    """The observations' side of the problem, solved as far as it can be once."""

    at: np.ndarray
    std: np.ndarray
    innovation: np.ndarray
    error_variance: np.ndarray
    tree: Tree | None
    factor: np.ndarray | None
    weights: np.ndarray | None
    at_observations: np.ndarray
    """The increment at each observation."""
    chi2: float


def solve_all(
    setting: Setting, at: np.ndarray, innovation: np.ndarray, std: np.ndarray, variance: np.ndarray
) -> System:
    n = at.shape[0]
    if n > _MOST_AT_ONCE:
        raise ValueError(
            f"{n} observations at once need a matrix of {8e-9 * n * n:.0f} GB; give n_nearest= (50 is usual), "
            "or thin the observations"
        )
    matrix = np.empty((n, n))

    def fill(start: int, stop: int) -> None:
        kernels.correlation_matrix(
            at[start:stop], at, setting.n_horizontal, setting.radius, setting.function, matrix[start:stop]
        )

    threads.over_blocks(fill, n, block=256)
    matrix *= std[:, None] * std[None, :]
    matrix[np.diag_indices(n)] += variance
    try:
        factor = scipy.linalg.cholesky(matrix, lower=True, overwrite_a=True, check_finite=False)
    except scipy.linalg.LinAlgError as error:
        raise ValueError(
            f"the covariance of the {n} observations is not positive definite ({error}); a shorter length_scale, larger "
            "observation errors or covariance='matern' will make it so"
        ) from error
    half = scipy.linalg.solve_triangular(factor, innovation, lower=True, check_finite=False)
    weights = scipy.linalg.solve_triangular(factor, half, lower=True, trans="T", check_finite=False)
    # The increment at the observations, S w, is d - R w: no second matrix is needed.
    there = innovation - variance * weights
    return System(at, std, innovation, variance, None, factor, weights, there, float(half @ half) / n)


def analyse(values: np.ndarray, *arguments: np.ndarray, setting: Setting, system: System) -> np.ndarray:
    """Increment and analysis-error variance at points; missing where the background is."""
    *positions, std = arguments
    wanted = np.isfinite(values)
    if not np.isfinite(std[wanted]).all():
        raise ValueError(
            f"background_error_std is missing at {int((~np.isfinite(std[wanted])).sum())} valid cells of the background; "
            "fill it there"
        )
    at = setting.scaled(*positions)
    std = np.ascontiguousarray(std, np.float64)
    if setting.n_nearest is not None:
        return local(setting, system, wanted, at, std)
    out = np.full((values.size, 2), np.nan)
    places = np.flatnonzero(wanted)
    at, std = at[places], std[places]
    assert system.weights is not None
    assert system.factor is not None
    near = np.empty((at.shape[0], system.at.shape[0]))
    kernels.correlation_matrix(at, system.at, setting.n_horizontal, setting.radius, setting.function, near)
    near *= system.std
    out[places, 0] = std * (near @ system.weights)
    half = scipy.linalg.solve_triangular(system.factor, near.T, lower=True, overwrite_b=True, check_finite=False)
    out[places, 1] = std**2 * (1.0 - np.einsum("ij,ij->j", half, half))
    return out


def local(setting: Setting, system: System, wanted: np.ndarray, at: np.ndarray, std: np.ndarray) -> np.ndarray:
    out = np.empty((at.shape[0], 2))
    assert setting.n_nearest is not None
    assert system.tree is not None
    k = min(setting.n_nearest, system.at.shape[0])
    failed = kernels.local_analysis(
        wanted, at, std, system.at, system.std, system.innovation, system.error_variance, *system.tree, k,
        setting.n_horizontal, setting.radius, setting.function, out,
    )  # fmt: skip
    if failed >= 0:
        raise ValueError(
            f"the covariance of the {k} observations nearest to a point is not positive definite; a shorter length_scale, "
            "larger observation errors or covariance='matern' will make it so"
        )
    return out
