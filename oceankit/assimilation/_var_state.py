"""The state of a variational analysis: a field as a vector of its valid cells, and what observations see of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse
import xarray as xr

from oceankit.fields.adjacency import originals
from oceankit.fields.grid import Grid
from oceankit.observations.operators import bracket, place_of, places_of
from oceankit.regridding import NoOverlapError, Regridder

__all__ = ["State"]


class State:
    """The valid cells of a background that are corrected: those of all its depths, the same at all its times."""

    def __init__(self, background: xr.DataArray, grid: Grid, depth_scale: float | None, given: bool) -> None:
        depth, time = place_of(background, "depth"), place_of(background, "time")
        self._depth = depth.dims[0] if depth is not None and depth.ndim else None
        self._time = time.dims[0] if time is not None and time.ndim else None
        if depth is not None and depth.size > 1 and depth_scale is None and not given:
            raise ValueError(
                f"the background has {depth.size} values of {depth.name!r}: give ThreeDVar a depth_scale= in metres, or select "
                "one depth"
            )
        known = {*grid.dims, self._depth, self._time}
        beyond = [d for d in background.dims if d not in known]
        if beyond:
            raise ValueError(
                f"the background also has the dimension {beyond[0]!r}, which is neither of its grid {grid.dims} nor depth nor "
                "time; assimilate one position of it at a time"
            )
        self._grid = grid
        there = background.notnull()
        there = there if self._time is None else there.all([self._time])
        self._original = originals(grid)
        own = self._original == np.arange(grid.size)
        self.valid = self._levels(there.compute()) & own & grid.used()
        self.size = int(self.valid.sum())
        if not self.size:
            raise ValueError(f"the background {background.name!r} has no valid cell")
        self.depths = None if depth is None or depth.ndim == 0 else np.asarray(depth.values, np.float64)

    def sample(self, background: xr.DataArray) -> xr.DataArray:
        """A background of one time."""
        return background if self._time is None else background.isel({self._time: 0}, drop=True)

    def _levels(self, field: xr.DataArray) -> np.ndarray:
        dims = (*((self._depth,) if self._depth in field.dims else ()), *self._grid.dims)
        return np.asarray(field.transpose(*dims).values).reshape(-1, self._grid.size)

    def values(self, field: xr.DataArray) -> np.ndarray:
        """A field at the valid cells."""
        if not field.ndim:
            return np.full(self.size, float(field))
        return np.broadcast_to(self._levels(field), self.valid.shape)[self.valid].astype(np.float64)

    def numbers(self) -> np.ndarray:
        """Of the valid cells among all."""
        return np.flatnonzero(self.valid)

    def field(self, x: np.ndarray, background: xr.DataArray) -> xr.DataArray:
        """Values at the valid cells as a field like the background at one time; missing where it is."""
        levels = np.full(self.valid.shape, np.nan)
        levels[self.valid] = x
        # Halos repeat the cells that they are copies of.
        levels = levels[:, self._original]
        sample = self.sample(background)
        dims = (*((self._depth,) if self._depth is not None else ()), *self._grid.dims)
        shape = tuple(sample.sizes[d] for d in dims)
        out = xr.DataArray(levels.reshape(shape), dims=dims).transpose(*sample.dims)
        return sample.copy(data=out.values)

    def operator(self, background: xr.DataArray, grid: Grid, obs: xr.Dataset) -> Any:
        """Sparse (obs, n): the increment at the observations, linear in depth; rows of those outside are empty."""
        where = places_of(obs)
        try:
            weights = Regridder(grid, where, "bilinear", edges="latitude").weights
        except NoOverlapError:
            return scipy.sparse.csr_matrix((obs.sizes["obs"], self.size))
        shape = (obs.sizes["obs"], grid.size)
        col = self._original[weights["col"].values.astype(np.int64) - 1]
        flat = scipy.sparse.csr_matrix((weights["S"].values, (weights["row"].values.astype(np.int64) - 1, col)), shape)
        place = place_of(background, "depth")
        levels: list[Any]
        if place is None or place.size == 1:
            levels = [flat]
        else:
            around = bracket(place, obs, "depth")
            share, levels = np.nan_to_num(around.share), []
            inside = np.isfinite(around.share)
            for k in range(place.size):
                weight = np.where(around.lower == k, 1.0 - share, 0.0) + np.where(around.upper == k, share, 0.0)
                levels.append(scipy.sparse.diags(weight * inside) @ flat)
        # Missing cells give their weight to the others, as in the operator on the background.
        parts = [part[:, wet] for part, wet in zip(levels, self.valid, strict=True)]
        kept = [np.asarray(part.sum(axis=1)).ravel() for part in parts]
        whole = [np.asarray(part.sum(axis=1)).ravel() for part in levels]
        scale = [np.divide(w, k, out=np.zeros_like(w), where=k > 1e-9) for w, k in zip(whole, kept, strict=True)]
        return scipy.sparse.hstack([scipy.sparse.diags(s) @ p for s, p in zip(scale, parts, strict=True)], format="csr")
