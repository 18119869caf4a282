"""Correlations by diffusion: what a cell knows of another spreads through the water between them, never across land.

Implicit steps of a diffusion equation, written with finite volumes on any grid of cells (Weaver and Courtier 2001; Mirouze
and Weaver 2010; Guillet et al. 2019). ``steps`` of them on the sphere or a plane make a Matern correlation of smoothness
``steps - 1``, whose Daley length L is ``sqrt(2 steps - 4)`` times the scale of one step.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import scipy.sparse
import scipy.sparse.linalg

from oceankit.fields.adjacency import adjacency
from oceankit.fields.grid import Grid
from oceankit.numerics.sphere import EARTH_RADIUS

__all__ = ["Diffusion"]

_KM = EARTH_RADIUS / 1e3
_BATCH = 64


class Diffusion:
    """A correlation operator ``C = V V^T`` with ones on its diagonal, between the valid cells of all levels.

    Parameters
    ----------
    grid
        Cells and which of them are neighbours.
    valid
        bool (levels, cells): where there is water.
    length
        float64 (cells,): Daley's length, km on the sphere and coordinate units on a plane.
    depths, depth_length
        float64 (levels,) in metres and the Daley length along them; None where there is one level.
    steps
        Implicit steps, an even number of at least 4; the more, the nearer to a Gaussian.
    exact_up_to, samples
        The diagonal is found exactly where there are at most so many valid cells, by random vectors beyond: its relative
        error is then ``sqrt(2 / samples)``.
    """

    def __init__(
        self, grid: Grid, valid: np.ndarray, length: np.ndarray, *, depths: np.ndarray | None = None,
        depth_length: float | None = None, steps: int = 10, exact_up_to: int = 4000, samples: int = 2000, seed: int = 0,
    ) -> None:  # fmt: skip
        self.valid, self.half = valid, steps // 2
        self.size = int(valid.sum())
        cells, area, share = _volumes(grid)
        thickness = np.ones(len(valid)) if depths is None else _thickness(depths)
        weight = (thickness[:, None] * area)[valid]
        self._root = np.sqrt(weight)
        scale = length / math.sqrt(2.0 * steps - 4.0)
        self._levels: list[tuple[slice, Any, np.ndarray]] = []
        place = 0
        known: dict[bytes, tuple[Any, np.ndarray]] = {}
        for wet in valid:
            key = wet.tobytes()
            if key not in known:
                known[key] = _factor(cells, share, area, scale, wet)
            self._levels.append((slice(place, place + int(wet.sum())), *known[key]))
            place += int(wet.sum())
        self._columns: tuple[Any, np.ndarray] | None = None
        if depths is not None and depth_length is not None and len(depths) > 1:
            self._columns = _along_columns(valid, depths, thickness, depth_length / math.sqrt(2.0 * steps - 3.0))
        self.scale = np.ones(self.size)
        self.scale = 1.0 / np.sqrt(self._diagonal(exact_up_to, samples, seed))

    def root(self, v: np.ndarray) -> np.ndarray:
        """``V v``: a control vector, or columns of them, as a field at the valid cells."""
        out = (v.T / self._root).T
        for _ in range(self.half):
            out = self._step(out)
        return (out.T * self.scale).T

    def root_transposed(self, x: np.ndarray) -> np.ndarray:
        """``V^T x``."""
        out = (x.T * self.scale).T
        for _ in range(self.half):
            out = self._step_transposed(out)
        return (out.T / self._root).T

    def _step(self, x: np.ndarray) -> np.ndarray:
        """One implicit step along the columns, then in each level: (W + K)^-1 W."""
        out = x
        if self._columns is not None:
            factor, weight = self._columns
            out = factor.solve((out.T * weight).T)
        result = np.empty_like(out)
        for part, factor, weight in self._levels:
            result[part] = factor.solve((out[part].T * weight).T) if part.stop > part.start else 0.0
        return result

    def _step_transposed(self, x: np.ndarray) -> np.ndarray:
        out = np.empty_like(x)
        for part, factor, weight in self._levels:
            out[part] = (factor.solve(x[part]).T * weight).T if part.stop > part.start else 0.0
        if self._columns is None:
            return out
        factor, weight = self._columns
        return (factor.solve(out).T * weight).T

    def _diagonal(self, exact_up_to: int, samples: int, seed: int) -> np.ndarray:
        """Of ``V V^T`` before it is scaled: the squared lengths of the rows of V."""
        exact = self.size <= exact_up_to
        rng = np.random.default_rng(seed)
        total, number = np.zeros(self.size), self.size if exact else samples
        for first in range(0, number, _BATCH):
            many = min(_BATCH, number - first)
            if exact:
                v = np.zeros((self.size, many))
                v[np.arange(first, first + many), np.arange(many)] = 1.0
            else:
                v = rng.choice([-1.0, 1.0], (self.size, many))
            total += (self.root(v) ** 2).sum(axis=1)
        return total if exact else total / number


def _volumes(grid: Grid) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pairs of neighbours (pairs, 2), the area of each cell, and of each pair the length of the edge over the distance."""
    scale = 1.0 if grid.planar else _KM
    beside = adjacency(grid)
    first = np.repeat(np.arange(grid.size), np.diff(beside.start))
    pairs = np.column_stack([first, beside.columns])
    known = grid.cells()
    corners = np.where(known.faces[..., None] < 0, np.nan, known.nodes[known.faces]) * scale
    if grid.planar:
        corners = corners[..., :2]
    # A face with fewer corners than most goes back to its first one, where its edges have no length.
    corners = np.where(np.isnan(corners), corners[:, :1], corners)
    following = np.roll(corners, -1, axis=1)
    middle, edge = 0.5 * (corners + following), np.linalg.norm(following - corners, axis=-1)
    fan = _area_of(corners[:, 1:-1] - corners[:, :1], corners[:, 2:] - corners[:, :1])
    area = fan.sum(axis=1)
    centre = grid.centres()[:, : corners.shape[2]] * scale
    # Across a fold the neighbour counts each cell too: each pair once.
    pairs = pairs[pairs[:, 0] < pairs[:, 1]]
    half = 0.5 * (centre[pairs[:, 0]] + centre[pairs[:, 1]])
    away = np.linalg.norm(middle[pairs[:, 0]] - half[:, None], axis=-1)
    shared = edge[pairs[:, 0], np.nanargmin(np.where(edge[pairs[:, 0]] > 0, away, np.inf), axis=1)]
    apart = np.linalg.norm(centre[pairs[:, 0]] - centre[pairs[:, 1]], axis=-1)
    return pairs, area, np.divide(shared, apart, out=np.zeros_like(shared), where=apart > 0)


def _area_of(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Of triangles with sides ``a`` and ``b``."""
    if a.shape[-1] == 2:
        return 0.5 * np.abs(a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0])
    return 0.5 * np.linalg.norm(np.cross(a, b), axis=-1)


def _factor(
    pairs: np.ndarray, share: np.ndarray, area: np.ndarray, scale: np.ndarray, wet: np.ndarray
) -> tuple[Any, np.ndarray]:
    """Of W + K in one level, and the diagonal of W; nothing flows through the coast."""
    number = np.cumsum(wet) - 1
    open_pairs = wet[pairs].all(axis=1)
    i, j = number[pairs[open_pairs]].T
    flow = share[open_pairs] * (0.5 * (scale[pairs[open_pairs, 0]] + scale[pairs[open_pairs, 1]])) ** 2
    return _implicit(i, j, flow, area[wet]), area[wet]


def _implicit(i: np.ndarray, j: np.ndarray, flow: np.ndarray, weight: np.ndarray) -> Any:
    """Of W + K; None where there is nothing."""
    n = weight.size
    if n == 0:
        return None
    matrix = scipy.sparse.coo_matrix((-np.tile(flow, 2), (np.append(i, j), np.append(j, i))), (n, n)).tocsc()
    matrix = matrix + scipy.sparse.diags(weight - np.asarray(matrix.sum(axis=0)).ravel(), format="csc")
    return scipy.sparse.linalg.splu(
        matrix, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True}
    )


def _thickness(depths: np.ndarray) -> np.ndarray:
    """Of layers whose edges lie half way between levels."""
    if len(depths) == 1:
        return np.ones(1)
    return np.abs(np.gradient(depths))


def _along_columns(
    valid: np.ndarray, depths: np.ndarray, thickness: np.ndarray, scale: float
) -> tuple[Any, np.ndarray]:
    """Implicit steps along the columns; levels that are not valid cut a column."""
    number = np.cumsum(valid.ravel()).reshape(valid.shape) - 1
    both = valid[:-1] & valid[1:]
    level = np.broadcast_to(np.arange(len(depths) - 1)[:, None], both.shape)[both]
    flow = scale**2 / np.abs(np.diff(depths))[level]
    weight = np.broadcast_to(thickness[:, None], valid.shape)[valid]
    return _implicit(number[:-1][both], number[1:][both], flow, weight), weight
