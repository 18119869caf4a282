"""Vertical profiles: a field on any levels, at the depths of the observations."""

from __future__ import annotations

from collections.abc import Hashable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from oceankit.fields import blocks
from oceankit.fields.coordinates import describe
from oceankit.fields.depths import as_dataset
from oceankit.fields.grid import Grid
from oceankit.fields.layers import Thicknesses
from oceankit.fields.parametric import Parametric
from oceankit.fields.verticals import EDGES, without
from oceankit.numerics import threads
from oceankit.observations import _profile_kernels as kernels
from oceankit.observations._axes import bracket, place_of
from oceankit.observations._means import as_floats
from oceankit.observations.interpolation import places_of
from oceankit.observations.table import ObservationError, validate
from oceankit.regridding import NoOverlapError, Regridder
from oceankit.regridding._sources import Source, as_source

__all__ = ["Profile"]

_METHODS = {"linear": kernels.LINEAR, "layer_mean": kernels.LAYER_MEAN}
_COLUMN, _PART, _LEVEL = "_column", "_part", "_level"
_BLOCK = 1024


class Profile:
    """The field at the depths of profiles, where each of its columns has depths of its own.

    Terrain-following levels (ROMS, FVCOM), partial bottom cells, layers that move in time, or one axis of depths for all: the
    values and the depths of the columns around an observation are interpolated with the same weights, at each level those of
    the columns that are wet there, and in time linearly. This column is then seen at the observation's depth.

    Parameters
    ----------
    depth
        Where the levels of the field are: the Dataset that it is from, with formula terms, thicknesses of layers or a field
        of depths (see :func:`oceankit.fields.depths` for what is understood); a DataArray in metres (depths of levels, edges
        of layers or bounds, with any further dimensions of the field); or the name of a coordinate. Found from the field's own
        coordinates where None. Only where a Dataset or edges are given is the sea floor known.
    method
        ``"linear"``: between the two nearest levels. Above the first level its value holds up to the edge of its layer or half
        a step (all the way where layers are stacked from the sea surface); below the last level down to the edge of its layer,
        which is the sea floor where edges are known, and nowhere below. Beside a level that is missing between others there
        is no value.
        ``"layer_mean"``: the observation is itself the mean over ``thickness`` metres around its depth, as in binned casts:
        the mean over the field's layers that it overlaps, each constant in the vertical. Nothing is observed above the surface.
    thickness
        Of the layers observed, for ``"layer_mean"``: metres, or the name of a column of the observations.
    horizontal
        ``"bilinear"`` or ``"nearest"``, as for :class:`Interp`.
    min_coverage
        A level needs this share of the weights on columns that are wet there, and a layer observed this share of its thickness
        on layers that have a value.
    time, dim
        Names of the time and of the vertical dimension, where they are not found.

    Notes
    -----
    Depths count from the datum that the field's depths count from; where the surface moves, observations above the first level
    are taken to be in it.

    Examples
    --------
    >>> from oceankit.observations import table
    >>> z = xr.DataArray([[30.0, 60.0], [10.0, 20.0]], dims=("s_rho", "lon"), attrs={"units": "m", "positive": "down"})
    >>> temp = (20.0 - 0.1 * z.expand_dims(lat=2, axis=1)).assign_coords(lon=[120.0, 121.0], lat=[35.0, 36.0], depth=z)
    >>> obs = table(value=[0.0, 0.0], error_std=0.1, lon=120.5, lat=35.5, depth=[30.0, 70.0])
    >>> Profile()(temp, obs).values.round(6).tolist()
    [17.0, nan]
    """

    def __init__(
        self,
        depth: xr.Dataset | xr.DataArray | Hashable | None = None,
        method: str = "linear",
        *,
        thickness: float | str | None = None,
        horizontal: str = "bilinear",
        min_coverage: float = 0.5,
        time: str | None = None,
        dim: Hashable | None = None,
    ) -> None:
        if method not in _METHODS:
            raise ObservationError(f"method={method!r} is not known; choose 'linear' or 'layer_mean'")
        if horizontal not in ("bilinear", "nearest"):
            raise ObservationError(f"horizontal={horizontal!r} is not known; choose 'bilinear' or 'nearest'")
        if (method == "layer_mean") != (thickness is not None):
            raise ObservationError(
                "method='layer_mean' needs thickness=, the metres that each observation is a mean over, or their column"
                if thickness is None
                else f"thickness={thickness!r} belongs to method='layer_mean', and the method is {method!r}"
            )
        self.depth, self.method, self.thickness, self.horizontal = depth, method, thickness, horizontal
        self.min_coverage, self.time, self.dim = min_coverage, time, dim

    def __call__(self, field: xr.DataArray, observations: xr.Dataset, *, grid: Grid | None = None) -> xr.DataArray:
        """Values of ``field`` along ``obs`` and its other dimensions, missing outside it; lazy in, lazy out.

        Raises
        ------
        ObservationError
            If the observations have no depth, the field no vertical dimension, or its depths turn back in a column (lazy
            fields: when they are computed).
        CoordinateError
            If the depths of the levels cannot be found, or are no lengths.
        """
        obs = validate(observations)
        field = as_floats(field)
        if "depth" not in obs.variables:
            raise ObservationError(
                "profiles are compared at depths, and the observations have none; give table(depth=...)"
            )
        if isinstance(self.depth, xr.Dataset):
            source = as_source(self.depth, field, None, self.dim)
        else:
            source = as_source(as_dataset(field), field, self.depth, self.dim)
        if source is None or field.sizes[source.dim] < 2:
            raise ObservationError(
                f"{describe(field)} with the sizes {dict(field.sizes)} has no vertical dimension of at least two levels; use "
                "Interp for a field of one level, or name the dimension with dim="
            )
        found = self._columns(field, obs, Grid.from_dataset(field) if grid is None else grid)
        columns = [_at(part, found.at).rename(field.name) for part in _levels(field, source)]
        order = [d for d in columns[0].dims if d not in (_LEVEL, _COLUMN)]
        stencil = self._stencil(found, obs, isinstance(source.levels, Parametric | Thicknesses))
        work = partial(_work, method=_METHODS[self.method], name=describe(field))
        return _apply(work, columns, order, stencil, field)

    def _columns(self, field: xr.DataArray, obs: xr.Dataset, grid: Grid) -> _Columns:
        """The columns of the field that the observations need, each once."""
        start, cells, weight = _weights(grid, places_of(obs), self.horizontal)
        n = obs.sizes["obs"]
        axis = place_of(field, "time", self.time)
        moments, share = np.zeros((2, n), np.int64), np.zeros(n)
        if axis is not None and axis.size > 1:
            around = bracket(axis, obs, "time")
            moments, share = np.stack([around.lower, around.upper]), around.share
        # Both sides of an observation outside are its lower one: nothing more is loaded for it.
        moments[1] = np.where(share > 0.0, moments[1], moments[0])
        number = np.repeat(np.arange(n), np.diff(start))
        wanted, place = np.unique(moments[:, number] * grid.size + cells, return_inverse=True)
        earlier, later = place.reshape(2, -1)
        at_time, at_cell = np.divmod(wanted, grid.size)
        if not wanted.size:
            # Every observation is outside.
            at_time = at_cell = np.zeros(1, np.int64)
        index = dict(zip(grid.dims, np.unravel_index(at_cell, grid.shape), strict=True))
        if axis is not None and axis.ndim == 1:
            index[axis.dims[0]] = at_time
        return _Columns(index, start, earlier, later, weight, share)

    def _stencil(self, found: _Columns, obs: xr.Dataset, from_surface: bool) -> kernels.Stencil:
        half = np.zeros(obs.sizes["obs"])
        if self.thickness is not None:
            half = 0.5 * _thickness(obs, self.thickness)
        return kernels.Stencil(
            found.start, found.earlier, found.later, found.weight, found.share,
            obs["depth"].values.astype(np.float64), half, self.min_coverage - 1e-9, from_surface,
        )  # fmt: skip


class _Columns(NamedTuple):
    """Where the columns are in the field, and which of them each observation needs."""

    at: dict[Hashable, np.ndarray]
    """places along each dimension of the field"""
    start: np.ndarray
    earlier: np.ndarray
    later: np.ndarray
    weight: np.ndarray
    share: np.ndarray


def _weights(grid: Grid, where: Grid, method: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sparse rows of the horizontal weights: starts, cells and weights."""
    try:
        # Linear in degrees on regular grids, as Interp is.
        weights = Regridder(grid, where, method, edges="latitude").weights
    except NoOverlapError:
        return np.zeros(where.size + 1, np.int64), np.empty(0, np.int64), np.empty(0)
    counts = np.bincount(weights["row"].values - 1, minlength=where.size)
    start = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    return start, weights["col"].values.astype(np.int64) - 1, weights["S"].values.astype(np.float64)


def _levels(field: xr.DataArray, source: Source) -> list[xr.DataArray]:
    """The field, the depths of its levels and of the edges above and below each, all along the same dimension."""
    dim, edges = source.dim, EDGES.format(source.dim)
    around = without(source.levels.edges(), edges)
    parts = [
        field.rename({dim: _LEVEL}),
        source.levels.centres().rename({dim: _LEVEL}),
        *(around.isel({edges: s}).rename({edges: _LEVEL}) for s in (slice(None, -1), slice(1, None))),
    ]
    for part in parts[1:]:
        _same_places(part, parts[0], describe(field))
    return [part.drop_vars(part.coords) for part in parts]


def _same_places(part: xr.DataArray, field: xr.DataArray, name: str) -> None:
    """Refuse depths of other columns than the field's."""
    for d in part.dims:
        if d not in field.dims:
            raise ObservationError(f"the depths of the levels vary along {d!r}, which {name} lacks; select one of them")
        known = d in part.indexes and d in field.indexes
        if part.sizes[d] != field.sizes[d] or (known and not part.indexes[d].equals(field.indexes[d])):
            raise ObservationError(
                f"the depths of the levels are those of other places than {name}: {d!r} has {part.sizes[d]} and "
                f"{field.sizes[d]} values, or others; select the same part of both"
            )


def _at(part: xr.DataArray, index: dict[Hashable, np.ndarray]) -> xr.DataArray:
    """Columns of what depends on the place or the time."""
    return part.isel({d: xr.DataArray(i, dims=_COLUMN) for d, i in index.items() if d in part.dims})


def _thickness(obs: xr.Dataset, given: float | str) -> np.ndarray:
    if isinstance(given, str):
        if given not in obs.variables:
            raise ObservationError(
                f"thickness={given!r} is no column of the observations; they have {list(obs.variables)}"
            )
        values = np.asarray(obs[given].values, np.float64)
    else:
        values = np.full(obs.sizes["obs"], given, np.float64)
    bad = ~(np.isfinite(values) & (values > 0.0))
    if bad.any():
        raise ObservationError(
            f"thickness is {values[bad][0]:g} at obs {int(np.argmax(bad))}; a layer observed is thicker than 0 m"
        )
    return values


def _apply(
    work: Any, columns: list[xr.DataArray], order: list[Hashable], stencil: kernels.Stencil, field: xr.DataArray
) -> xr.DataArray:
    values, levels = columns[0], columns[1:]
    if any(blocks.is_lazy(a) or set(a.dims) & set(order) for a in levels):
        # Depths that differ between members go with them.
        parts = xr.concat([a.broadcast_like(values).transpose(*values.dims) for a in columns], dim=_PART)
        constants, dims = {"stencil": blocks.Shared(stencil)}, [_PART, _LEVEL, _COLUMN]
        values = parts
    else:
        like = values.isel(dict.fromkeys(order, 0)).transpose(_LEVEL, _COLUMN)
        fixed = [np.ascontiguousarray(a.broadcast_like(like).transpose(*like.dims).values, np.float64) for a in levels]
        constants, dims = {"stencil": blocks.Shared(stencil), "levels": blocks.Shared(fixed)}, [_LEVEL, _COLUMN]
    output = blocks.Output(("obs",), (stencil.depth.size,), values.dtype)
    (out,) = blocks.along(work, values, dims, [output], constants=constants, rechunk=True, threaded=True)
    coords = {d: field.coords[d] for d in order if d in field.coords}
    return out.astype(field.dtype, copy=False).assign_coords(coords)


def _work(
    rows: np.ndarray, *, stencil: kernels.Stencil, method: int, name: str, levels: list[np.ndarray] | None = None
) -> np.ndarray:
    """Rows of values (n, levels, columns), or of values, depths and edges (n, 4, levels, columns), to (n, obs)."""
    n, n_obs = rows.shape[0], stencil.depth.size
    out = np.empty((n, n_obs), rows.dtype)
    bad = np.zeros(1, np.int64)

    def work(begin: int, end: int) -> None:
        for unit in range(begin, end):
            row, block = divmod(unit, n_blocks)
            parts = rows[row] if levels is None else (rows[row], *levels)
            first = block * _BLOCK
            kernels.at_depths(*parts, stencil, method, first, min(first + _BLOCK, n_obs), out[row], bad)

    n_blocks = -(-n_obs // _BLOCK)
    threads.over_blocks(work, n * n_blocks, block=1)
    if bad[0]:
        raise ObservationError(
            f"{name}: the depths of the levels turn back in the columns of {int(bad[0])} observations; depths must rise or fall "
            "all the way. Check the vertical coordinate (hc against the shallowest h, the sign of zeta), or mask such columns"
        )
    return out
