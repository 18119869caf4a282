"""Three-dimensional variational analysis: the minimum of a cost, with a background covariance that knows the coast."""

from __future__ import annotations

import hashlib
from typing import Any, Protocol

import numpy as np
import scipy.sparse
import xarray as xr

from oceankit.assimilation import _ensemble_core as core
from oceankit.assimilation._background import BackgroundMethod, Std, modelled_at, statistics
from oceankit.assimilation._bounds import Bounds, checked_bounds
from oceankit.assimilation._diffusion import Diffusion
from oceankit.assimilation._scales import above_zero
from oceankit.assimilation._status import USED, status_of
from oceankit.assimilation._var_state import State
from oceankit.fields.grid import Grid
from oceankit.observations.matching import same_units

__all__ = ["ThreeDVar"]


class Root(Protocol):
    """A square root of a covariance: ``B = U U^T``."""

    def root(self, v: np.ndarray) -> np.ndarray:
        """U v"""

    def root_transposed(self, x: np.ndarray) -> np.ndarray:
        """U^T x"""


class ThreeDVar(BackgroundMethod):
    """Three-dimensional variational analysis (Lorenc 1986; Weaver and Courtier 2001).

    It minimises ``v^T v / 2 + (d - H U v)^T R^-1 (d - H U v) / 2`` over the control vector v by conjugate gradients; the
    increment is ``U v``, with ``U U^T = B``. At the minimum it is optimal interpolation with the same B. B is diffusion
    between the valid cells of the grid: what is learnt in a bay does not cross the land to the next.

    Parameters
    ----------
    background_error_std
        Standard deviation of the background error, in the field's units: a number, a field on the background's grid, or for
        a Dataset a mapping from variable to either.
    length_scale
        Daley's correlation length L, km on the sphere and coordinate units on a plane, as in
        :class:`OptimalInterpolation`: a number, or a field on the grid. Distances are those through the water.
    depth_scale
        The same for depth, in metres. Needed where the background has more than one depth.
    steps
        Implicit diffusion steps, even, at least 4: the correlation is Matern of smoothness ``steps - 1``, near a Gaussian
        from 10 on.
    background_covariance
        Instead of all these B itself, float64 (n, n) between the values of one field as they lie in memory.
    normalization_samples
        B's diagonal is exact for up to 4 000 valid cells; beyond, it is estimated from so many random vectors, with a
        relative error of ``sqrt(2 / normalization_samples)``.
    tolerance
        The minimum is reached where the gradient is so much smaller than at the start.
    max_iterations
        Refuse what is not there by then.
    bounds
        (lowest, highest) that the analysis keeps, None where there is none; for a Dataset a mapping from variable to such a
        pair. What was set to a bound is counted.

    Examples
    --------
    >>> from oceankit.observations import table
    >>> background = xr.DataArray(np.zeros((20, 20)), dims=("y", "x"), name="sla",
    ...                           coords={"y": np.arange(20.0), "x": np.arange(20.0)})
    >>> var = ThreeDVar(background_error_std=1.0, length_scale=3.0)
    >>> analysis, said = var.assimilate(background, table(value=[1.0], error_std=1.0, x=[9.0], y=[9.0]))
    >>> round(float(analysis[9, 9]), 6)
    0.5
    """

    def __init__(
        self,
        *,
        background_error_std: Std | None = None,
        length_scale: float | xr.DataArray | None = None,
        depth_scale: float | None = None,
        steps: int = 10,
        background_covariance: Any = None,
        normalization_samples: int = 2000,
        tolerance: float = 1e-8,
        max_iterations: int = 500,
        bounds: Bounds = None,
    ) -> None:
        stated = background_error_std is not None and length_scale is not None
        if stated == (background_covariance is not None):
            raise ValueError(
                "ThreeDVar needs either background_error_std= and length_scale=, or background_covariance=, and not both"
            )
        self.background_error_std = 1.0 if background_error_std is None else background_error_std
        self.length_scale = length_scale
        if length_scale is not None and not isinstance(length_scale, xr.DataArray):
            self.length_scale = above_zero(length_scale, "length_scale")
        self.depth_scale = None if depth_scale is None else above_zero(depth_scale, "depth_scale")
        if isinstance(steps, bool) or not isinstance(steps, int | np.integer) or steps < 4 or steps % 2:
            raise ValueError(f"steps={steps!r}; give an even whole number of at least 4")
        for name, number in (("normalization_samples", normalization_samples), ("max_iterations", max_iterations)):
            if not isinstance(number, int | np.integer) or number < 1:
                raise ValueError(f"{name}={number!r}; give a whole number of at least 1")
        self.steps, self.samples, self.most = int(steps), int(normalization_samples), int(max_iterations)
        self.tolerance = above_zero(tolerance, "tolerance")
        self.bounds = checked_bounds(bounds)
        self._given = None if background_covariance is None else _Given(background_covariance)
        self.rng = None
        self._kept: tuple[bytes, Diffusion] | None = None

    def __repr__(self) -> str:
        if self._given is not None:
            said = {"background_covariance": self._given.u.shape}
        else:
            known = {n: getattr(self, n) for n in ("background_error_std", "length_scale")}
            said = {n: v if isinstance(v, float | int) else "..." for n, v in known.items()} | {"steps": self.steps}
        more = {n: v for n in ("depth_scale", "bounds") if (v := getattr(self, n)) is not None}
        return f"ThreeDVar({', '.join(f'{n}={v!r}' for n, v in {**said, **more}.items())})"

    def covariance(self, background: xr.DataArray) -> Any:
        """B between the valid cells of a background, as a ``scipy.sparse.linalg.LinearOperator`` (n, n).

        Cells are in the order of depths, then of the grid's rows.
        """
        grid = Grid.from_dataset(background)
        state = State(background, grid, self.depth_scale, self._given is not None)
        root = self._root(background, grid, state)
        n = state.size

        def product(x: np.ndarray) -> np.ndarray:
            return root.root(root.root_transposed(np.asarray(x, np.float64).ravel()))

        return scipy.sparse.linalg.LinearOperator((n, n), matvec=product, rmatvec=product, dtype=np.float64)

    def analyse(
        self,
        state: np.ndarray,
        missing: np.ndarray,
        places: core.Places,  # noqa: ARG002
        seen: core.Modelled,
        rng: np.random.Generator | None = None,  # noqa: ARG002
    ) -> None:
        """The analysis of plain arrays, in place: a state (1, fields, places), of which ``seen.observed`` was observed."""
        if self._given is None or seen.observed is None or state.shape[0] != 1:
            raise ValueError(
                "ThreeDVar corrects one state of a model by observations of its variables, with a background_covariance= between "
                f"these; there are {state.shape[0]} members"
            )
        wanted = np.flatnonzero(~missing.ravel())
        number = np.cumsum(~missing.ravel()) - 1
        h = _picked(number[seen.observed], wanted.size)
        x, _ = self._minimised(self._given.part(wanted), h, seen.value - seen.hx[:, 0], seen.error_std)
        state[0][~missing] += x

    def _one(self, background: xr.DataArray, grid: Grid, obs: xr.Dataset, hx: Any) -> tuple[xr.DataArray, xr.Dataset]:
        same_units(background, obs)
        state = State(background, grid, self.depth_scale, self._given is not None)
        modelled = modelled_at(background, grid, obs, hx)
        h = state.operator(background, grid, obs)
        covered = np.asarray(abs(h).sum(axis=1)).ravel() > 0
        root = self._root(background, grid, state)
        std = self._std_at(background, grid, obs, root, h)
        status = status_of(np.isfinite(modelled) & np.isfinite(std) & covered, obs, grid)
        used = status == USED
        innovation = obs["value"].values - modelled
        mine = np.flatnonzero(used)
        x, said = self._minimised(root, h[mine], innovation[mine], obs["error_std"].values[mine])
        residual = np.where(used, innovation - h @ x, np.nan)
        analysis, found = self._analysis(background, state.field(x, background))
        chi2 = 2.0 * float(said["cost"][-1]) / used.sum()
        return analysis, found.merge(said).merge(statistics(obs, status, innovation, residual, std, chi2))

    def _minimised(self, root: Root, h: Any, d: np.ndarray, error_std: np.ndarray) -> tuple[np.ndarray, xr.Dataset]:
        """The increment at the minimum, and how it was reached."""
        scaled = scipy.sparse.diags(1.0 / error_std) @ h
        target = d / error_std

        def hessian(v: np.ndarray) -> np.ndarray:
            return v + root.root_transposed(scaled.T @ (scaled @ root.root(v)))

        first = root.root_transposed(scaled.T @ target)
        v, slopes = np.zeros_like(first), -first
        start = float(np.sqrt(first @ first))
        costs, gradients = [0.5 * float(target @ target)], [start]
        along = first.copy()
        while gradients[-1] > self.tolerance * start:
            if len(gradients) > self.most:
                raise ValueError(
                    f"the minimum is not reached after {self.most} iterations: the gradient is {gradients[-1] / start:.1e} of "
                    f"that at the start, and tolerance={self.tolerance:g}; give more max_iterations=, or larger errors"
                )
            curved = hessian(along)
            size = (slopes @ slopes) / (along @ curved)
            v = v + size * along
            before, slopes = slopes @ slopes, slopes + size * curved
            along = -slopes + (slopes @ slopes) / before * along
            # J is quadratic: its value follows from the gradient, with no further use of B.
            costs.append(costs[0] + 0.5 * float(v @ (slopes - first)))
            gradients.append(float(np.sqrt(slopes @ slopes)))
        said = xr.Dataset(
            {
                "cost": ("iteration", np.array(costs), {"long_name": "background and observation terms of the cost"}),
                "gradient": ("iteration", np.array(gradients), {"long_name": "length of the cost's gradient"}),
            }
        )
        return root.root(v), said

    def _root(self, background: xr.DataArray, grid: Grid, state: State) -> Root:
        if self._given is not None:
            return self._given.part(state.numbers())
        diffusion = self._diffusion(grid, state)
        std, _ = self._background_std(background, grid, None)
        sigma = state.values(std.broadcast_like(state.sample(background)) if std.ndim else std)
        if not np.isfinite(sigma).all():
            raise ValueError(
                f"background_error_std is missing at {int((~np.isfinite(sigma)).sum())} valid cells of the background; fill it "
                "there"
            )
        return _Scaled(diffusion, sigma)

    def _diffusion(self, grid: Grid, state: State) -> Diffusion:
        """The correlation; that of the last call where grid, coast and lengths are the same, as they are in cycling."""
        length = self._length(grid)
        parts = (
            grid.lon.values,
            grid.lat.values,
            state.valid,
            length,
            *(() if state.depths is None else (state.depths,)),
        )
        key = hashlib.sha256(
            b"".join(repr(a.shape).encode() + np.ascontiguousarray(a).tobytes() for a in parts)
        ).digest()
        if self._kept is None or self._kept[0] != key:
            diffusion = Diffusion(
                grid, state.valid, length, depths=state.depths, depth_length=self.depth_scale, steps=self.steps,
                samples=self.samples,
            )  # fmt: skip
            self._kept = key, diffusion
        return self._kept[1]

    def _length(self, grid: Grid) -> np.ndarray:
        given = self.length_scale
        if not isinstance(given, xr.DataArray):
            return np.full(grid.size, float(given or 1.0))
        if set(given.dims) != set(grid.dims) or any(
            given.sizes[d] != n for d, n in zip(grid.dims, grid.shape, strict=True)
        ):
            raise ValueError(
                f"length_scale has dimensions {dict(given.sizes)}, the grid {dict(zip(grid.dims, grid.shape, strict=True))}; "
                "give it on the background's grid"
            )
        values = given.transpose(*grid.dims).values.astype(np.float64).ravel()
        if not (values > 0).all():
            raise ValueError("length_scale is not above zero (or missing) at some cells; fill it, also on land")
        return values

    def _std_at(self, background: xr.DataArray, grid: Grid, obs: xr.Dataset, root: Root, h: Any) -> np.ndarray:
        """Standard deviation of the background error at each observation."""
        if self._given is None:
            return self._background_std(background, grid, obs)[1]
        assert isinstance(root, _Given)
        return np.sqrt(np.asarray((h @ root.u) ** 2).sum(axis=1))


class _Scaled:
    """Correlations times standard deviations."""

    def __init__(self, correlation: Diffusion, sigma: np.ndarray) -> None:
        self._correlation, self._sigma = correlation, sigma

    def root(self, v: np.ndarray) -> np.ndarray:
        return self._sigma * self._correlation.root(v)

    def root_transposed(self, x: np.ndarray) -> np.ndarray:
        return self._correlation.root_transposed(self._sigma * x)


class _Given:
    """A covariance that the user gives, by its square root."""

    def __init__(self, given: Any) -> None:
        b = np.asarray(given, np.float64)
        if b.ndim != 2 or b.shape[0] != b.shape[1] or not np.isfinite(b).all():
            raise ValueError(f"background_covariance has shape {b.shape}; give a square matrix of finite numbers")
        if not np.allclose(b, b.T, rtol=1e-8, atol=1e-12 * np.abs(b).max()):
            raise ValueError("background_covariance is not symmetric; give (B + B.T) / 2 if it should be")
        values, vectors = np.linalg.eigh(0.5 * (b + b.T))
        if values[0] < -1e-10 * values[-1] or not values[-1] > 0:
            raise ValueError(
                f"background_covariance is not positive definite: its lowest eigenvalue is {values[0]:.3g}; it is no covariance"
            )
        self.u = vectors * np.sqrt(np.maximum(values, 0.0))

    def part(self, wanted: np.ndarray) -> _Given:
        """Between some of the values."""
        if wanted.size and wanted[-1] >= len(self.u):
            raise ValueError(
                f"background_covariance is {len(self.u)} x {len(self.u)}, but the background has more values; give B between all "
                "of them, land included"
            )
        out = object.__new__(_Given)
        out.u = self.u[wanted]
        return out

    def root(self, v: np.ndarray) -> np.ndarray:
        return self.u @ v

    def root_transposed(self, x: np.ndarray) -> np.ndarray:
        return self.u.T @ x


def _picked(index: np.ndarray, n: int) -> Any:
    """The operator that picks values by number."""
    return scipy.sparse.csr_matrix((np.ones(index.size), (np.arange(index.size), index)), (index.size, n))
