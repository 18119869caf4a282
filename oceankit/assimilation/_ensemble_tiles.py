"""Fields of an ensemble as tiles of places, for the kernels: eager ones in place, lazy ones chunk by chunk.

A place is a column of the grid, or one level of it where depth or time is localized. What a place becomes depends on its
own values and on the observations that reach it, so tiles and chunks change nothing, to the bit.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from functools import partial
from itertools import product
from typing import Any, NamedTuple
from uuid import uuid4

import dask
import dask.array
import numpy as np
import xarray as xr
from dask.highlevelgraph import HighLevelGraph, MaterializedLayer

from oceankit.assimilation import _ensemble_core as core
from oceankit.assimilation import _ensemble_kernels as kernels
from oceankit.assimilation import _layout_kernels as layout
from oceankit.assimilation._ensemble_core import Anchors, Places
from oceankit.assimilation._weight_grid_kernels import Between
from oceankit.fields import blocks
from oceankit.fields.grid import Grid
from oceankit.numerics import threads
from oceankit.numerics.lanes import lanes_of
from oceankit.numerics.sphere import EARTH_RADIUS, lonlat, unit_vectors
from oceankit.observations.operators import place_of

__all__ = ["SAID", "Geometry", "Group", "analysed", "groups_of", "places_at"]

_KM = EARTH_RADIUS / 1e3
_TILE = 32
"""Places in a row of a tile, at most"""
_ANCHORS = 4, 128
"""Anchors in a row of a tile, at least and at most; those on its edges are found for its neighbour too"""
_DEEP = 8
"""Rows of anchors in a tile, at least: each is kept for the next, so that only tiles for all threads cut them"""
_BETWEEN = 2**26
"""Bytes at most of what is kept from one row of anchors to the next, as long as the tile has enough anchors"""

SAID = {
    "n_local": "observations that reached the place",
    "dfs": "degrees of freedom for signal",
    "srf": "spread reduction factor: spread of the modelled observations before over after, less one",
    "n_bounded": "values of members that were set to a bound",
}
"""What is said of each place, in this order."""
_KINDS = (np.int64, np.float64, np.float64, np.int64)


class Geometry(NamedTuple):
    """Where the places of a box of the grid are."""

    at: np.ndarray
    """float64 (rows, columns, 2 or 3); one row where the grid has one dimension"""
    levels: np.ndarray
    """float64 (levels, extras): depths and times, where these are localized"""
    names: tuple[str, ...]
    sphere: float
    origin: tuple[int, int]
    """First row and column of the box in the grid"""
    anchors: tuple[np.ndarray, np.ndarray] | None
    """Rows and columns of the grid where transforms are found, those of the box and around it"""
    anchors_at: np.ndarray
    """float64 (anchor rows, anchor columns, 2 or 3)"""
    flat: bool
    """Whether the grid has one dimension"""
    lines: tuple[np.ndarray, np.ndarray] | None
    """Longitudes and latitudes of the box, or x and y, where the grid is made of such lines"""

    def places(self, rows: slice, columns: slice) -> Places:
        """Those of a tile of the box."""
        return self._levelled(self.at[rows, columns].reshape(-1, self.at.shape[2]))

    def reached(self) -> Places:
        """All for which transforms are found."""
        at = self.at if self.anchors is None else self.anchors_at
        return self._levelled(at.reshape(-1, at.shape[2]))

    def between(self, rows: slice, columns: slice) -> Anchors:
        """How a tile of the box lies between anchors."""
        if self.anchors is None:
            raise ValueError("there are no anchors")
        found = [
            _between(known, np.arange(part.start, part.stop) + first)
            for known, part, first in zip(self.anchors, (rows, columns), self.origin, strict=True)
        ]
        (j, below, row_shares), (i, left, column_shares) = found
        at = self.anchors_at[j][:, i]
        shape = (*at.shape[:2], len(self.levels))
        places = self._levelled(at.reshape(-1, at.shape[2]))
        places = places._replace(
            at=places.at.reshape(*shape, at.shape[2]), extra=places.extra.reshape(*shape, self.levels.shape[1])
        )
        return Anchors(places, below, row_shares, left, column_shares)

    def _levelled(self, at: np.ndarray) -> Places:
        extra = np.tile(self.levels, (len(at), 1))
        return Places(np.repeat(at, len(self.levels), axis=0), extra, self.names, self.sphere)

    def box(self, rows: slice, columns: slice) -> Geometry:
        """A part of the grid by itself."""
        lines = None if self.lines is None else (self.lines[0][columns], self.lines[1][rows])
        out = self._replace(at=self.at[rows, columns], origin=(rows.start, columns.start), lines=lines)
        if self.anchors is None:
            return out
        spans = [
            _between(known, np.arange(p.start, p.stop))[0]
            for known, p in zip(self.anchors, (rows, columns), strict=True)
        ]
        (j, i), (known_rows, known_columns) = spans, self.anchors
        return out._replace(
            anchors=(known_rows[j], known_columns[i]), anchors_at=np.ascontiguousarray(self.anchors_at[j][:, i])
        )

    def bare(self) -> Geometry:
        """Without what `filled` makes again: it is sent with each chunk."""
        return self if self.lines is None else self._replace(at=self.at[:0])

    def filled(self) -> Geometry:
        """With the positions of all places."""
        if self.lines is None:
            return self
        lon, lat = np.meshgrid(*self.lines)
        return self._replace(at=_positions(lon, lat, self.sphere == 0.0))


def _between(known: np.ndarray, at: np.ndarray) -> tuple[slice, np.ndarray, np.ndarray]:
    """The span of anchors that is needed, and in it for each place the anchor before it and how far it is to the next."""
    low = np.clip(np.searchsorted(known, at, side="right") - 1, 0, max(len(known) - 2, 0))
    high = np.minimum(low + 1, len(known) - 1)
    width = np.maximum(known[high] - known[low], 1)
    return slice(int(low[0]), int(high[-1]) + 1), low - low[0], (at - known[low]) / width


def places_at(a: np.ndarray, b: np.ndarray, extra: list[np.ndarray], names: tuple[str, ...], planar: bool) -> Places:
    """Places by longitude and latitude, or x and y, and by depth and time where these are localized."""
    at = np.column_stack([a, b]).astype(np.float64) if planar else unit_vectors(a, b) * _KM
    columns = np.column_stack([np.asarray(e, np.float64) for e in extra]) if extra else np.empty((len(at), 0))
    return Places(np.ascontiguousarray(at), np.ascontiguousarray(columns), names, 0.0 if planar else _KM)


class Group:
    """Fields whose values have the same depths and times, and where they are."""

    def __init__(
        self, fields: Mapping[Hashable, xr.DataArray], grid: Grid, own: list[xr.DataArray], geometry: Geometry
    ):
        along = tuple(d for a in own for d in a.dims)
        self.grid_dims = grid.dims
        self.names = list(fields)
        self._first = next(iter(fields.values()))
        self.dims = (*grid.dims, *along)
        self.rest = [tuple(d for d in f.dims if d not in self.dims and d != "member") for f in fields.values()]
        self.ordered = [
            f.transpose("member", *rest, *self.dims) for f, rest in zip(fields.values(), self.rest, strict=True)
        ]
        self.geometry = geometry
        self.shape = tuple(self.ordered[0].sizes[d] for d in self.dims)
        self.dtype = np.result_type(np.float32, *(f.dtype for f in self.ordered))
        if self.dtype not in (np.float32, np.float64):
            raise ValueError(f"{self.names} have the type {self.dtype}; give float32 or float64")

    def sample(self) -> xr.DataArray:
        """One layer of one member, in the user's order of dimensions."""
        return self._first.isel(dict.fromkeys(("member", *self.rest[0]), 0), drop=True)


def groups_of(
    fields: Mapping[Hashable, xr.DataArray], grid: Grid, names: tuple[str, ...], stride: int | None
) -> list[Group]:
    """Fields by the depths and times that they have, where these are localized."""
    for extra in names:
        if all(place_of(field, extra) is None for field in fields.values()):  # type: ignore[arg-type]
            raise ValueError(
                f"the localization has {extra}=, but no field has a {extra}; assign it, for example "
                f"background.assign_coords({extra}=...), or leave {extra}= out"
            )
    parts: dict[tuple[Any, ...], dict[Hashable, xr.DataArray]] = {}
    axes: dict[tuple[Any, ...], list[xr.DataArray]] = {}
    for name, field in fields.items():
        if not set(grid.dims) <= set(field.dims):
            raise ValueError(f"{name!r} has the dimensions {field.dims} and lies not on the grid {grid.dims}")
        own = [_axis(field, n) for n in names]
        key = tuple((a.dims, a.values.tobytes()) for a in own)
        parts.setdefault(key, {})[name] = field
        axes[key] = own
    whole = _geometry(grid, names, stride)
    out = []
    for key, part in parts.items():
        columns = np.meshgrid(*[x.values.ravel() for x in axes[key]], indexing="ij") if axes[key] else []
        levels = np.column_stack([c.ravel() for c in columns]) if columns else np.empty((1, 0))
        out.append(Group(part, grid, axes[key], whole._replace(levels=levels)))
    return out


def _axis(field: xr.DataArray, name: str) -> xr.DataArray:
    """Where a field's values are in depth or time; NaN where it has none: then observations of all reach it alike."""
    found = place_of(field, name)  # type: ignore[arg-type]
    return xr.DataArray(np.nan) if found is None else found


def _geometry(grid: Grid, names: tuple[str, ...], stride: int | None) -> Geometry:
    lon, lat = grid.lon.values, grid.lat.values
    a, b = np.meshgrid(lon, lat) if grid.kind == "rectilinear" else (lon, lat)
    at, sphere = _positions(a, b, grid.planar), 0.0 if grid.planar else _KM
    lines = (lon, lat) if grid.kind == "rectilinear" else None
    out = Geometry(at, np.empty((1, 0)), names, sphere, (0, 0), None, np.empty((0, 0, at.shape[2])), a.ndim == 1, lines)
    if stride is None:
        return out
    if a.ndim != 2:
        raise ValueError(
            f"WeightGrid({stride}) needs a grid of rows and columns, and this one is {grid.kind}; leave weight_grid= out"
        )
    if not np.isfinite(at).all():
        raise ValueError(
            f"WeightGrid({stride}) needs a position of every cell, and {int((~np.isfinite(at).all(axis=2)).sum())} have none; "
            "fill the coordinates on land, or leave weight_grid= out"
        )
    rows, columns = (np.unique(np.append(np.arange(0, n, stride), n - 1)) for n in a.shape)
    return out._replace(anchors=(rows, columns), anchors_at=np.ascontiguousarray(at[rows][:, columns]))


def _positions(a: np.ndarray, b: np.ndarray, planar: bool) -> np.ndarray:
    """Points (rows, columns, 2 or 3) of places by longitude and latitude, or x and y; those that have none are nowhere."""
    at = places_at(a.ravel(), b.ravel(), [], (), planar).at
    at = at.reshape(*(a.shape if a.ndim == 2 else (1, a.size)), at.shape[1])
    at[~np.isfinite(at).all(axis=2)] = np.inf
    return at


# ---- the work ---------------------------------------------------------------------------------------------------------


class Task(NamedTuple):
    """What a box of the grid is analysed with, besides its values and its observations."""

    inflate: kernels.Inflating
    names: list[Hashable]
    bounds: list[tuple[float, float]]
    layers: list[int]
    dtype: np.dtype
    tile: tuple[int, int]
    """Rows and columns at most; with anchors rows at least"""
    stride: int


def analysed(
    group: Group,
    system: core.System,
    inflate: kernels.Inflating,
    bounds: Sequence[tuple[float, float]],
    stride: int | None,
) -> tuple[list[xr.DataArray], list[Any]]:
    """The fields of a group after the analysis, and what is said of each place (``SAID``); lazy where a field is lazy."""
    layers = [
        int(np.prod([f.sizes[d] for d in rest], initial=1)) for f, rest in zip(group.ordered, group.rest, strict=True)
    ]
    tile = (1, _TILE * _TILE) if group.geometry.flat else (_TILE, _TILE)
    if stride is not None:
        each = _between_bytes(group, sum(layers), stride)
        tile = (_DEEP * stride, min(max(_BETWEEN // (each * stride), _ANCHORS[0]), _ANCHORS[1]) * stride)
    task = Task(inflate, group.names, list(bounds), layers, group.dtype, tile, stride or 1)
    if any(blocks.is_lazy(f) for f in group.ordered):
        results, said = _lazy(group, task, system)
    else:
        results, said = _box(task, group.geometry, system, group.shape, *(np.asarray(f.data) for f in group.ordered))
    return [f.copy(data=r) for f, r in zip(group.ordered, results, strict=True)], said


def _between_bytes(group: Group, layers: int, stride: int) -> int:
    """What a column of a tile takes between two rows of anchors: its transforms at both, and its values."""
    members, levels = group.ordered[0].sizes["member"], len(group.geometry.levels)
    return levels * members * (2 * members + layers * stride) * group.dtype.itemsize


def _box(
    task: Task, geometry: Geometry, system: core.System, shape: tuple[int, ...], *values: np.ndarray
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """A box of the grid: values of its fields (members, rest, grid, levels), and what is said of its places (``shape``)."""
    # In the order in which the values lie in memory, so that the result lies as they did.
    results = [np.empty_like(v) for v in values]
    said = [np.zeros(shape, kind) for kind in _KINDS]
    rows, columns = geometry.at.shape[:2]
    across, deep = _parts(columns, task.tile[1], task.stride), task.tile[0]
    if geometry.anchors is not None:
        # Two tiles for each thread, so that none waits long for another.
        cuts = 1 if threads.count() == 1 else -(-2 * threads.count() // len(across))
        deep = max(deep, -(-rows // cuts))
    tiles = list(product(_parts(rows, deep, task.stride), across))
    one = _tile if geometry.anchors is None else _tile_between

    def work(begin: int, end: int) -> None:
        for tile in tiles[begin:end]:
            one(task, geometry, system, tile, list(values), results, said)

    threads.over_blocks(work, len(tiles), block=1)
    return results, said


def _tile(
    task: Task, geometry: Geometry, system: core.System, tile: tuple[slice, slice], values: list[np.ndarray],
    results: list[np.ndarray], said: list[np.ndarray],
) -> None:  # fmt: skip
    """One tile, place by place."""
    places, where = geometry.places(*tile), _of(geometry, tile, said[0].ndim)
    members, number = values[0].shape[0], len(places.at)
    first, lanes = np.concatenate([[0], np.cumsum(task.layers)]), lanes_of(task.dtype)
    state = np.empty((number, first[-1], members), task.dtype)
    missing = np.tile(~np.isfinite(places.at).all(axis=1), (first[-1], 1))
    for k, name in enumerate(task.names):
        flat = np.ascontiguousarray(values[k][(..., *where)], task.dtype).reshape(members, task.layers[k], number)
        layer, place = layout.gaps(flat, missing[first[k] : first[k + 1]])
        if place >= 0:
            raise _some_missing(name, flat[:, layer, place], places.at[place], geometry)
        layout.transposed_fields(flat, state[:, first[k] : first[k + 1]], lanes)
    found = core.solve(system, task.inflate, state, np.ascontiguousarray(missing.T), places)
    bounded = np.zeros(number, np.int64)
    for k, result in enumerate(results):
        out = result[(..., *where)]
        flat = np.empty((members, task.layers[k], number), task.dtype)
        layout.transposed_fields(state[:, first[k] : first[k + 1]], flat, lanes)
        _bound(flat, task.bounds[k], bounded)
        out[...] = flat.reshape(out.shape)
    for whole, part in zip(said, (*found, bounded), strict=True):
        whole[where] = part.reshape(whole[where].shape)


def _tile_between(
    task: Task, geometry: Geometry, system: core.System, tile: tuple[slice, slice], values: list[np.ndarray],
    results: list[np.ndarray], said: list[np.ndarray],
) -> None:  # fmt: skip
    """One tile by transforms at anchors, all rows between two rows of anchors at a time."""
    rows, columns = tile
    anchors = geometry.between(*tile)
    wet = np.zeros((rows.stop - rows.start, columns.stop - columns.start, len(geometry.levels)), bool)
    for v in values:
        first = np.isfinite(v[(0, ..., *_of(geometry, tile, said[0].ndim))])
        wet |= first.reshape(-1, *wet.shape).any(axis=0)
    work = anchors.between(wet, values[0].shape[0], task.dtype)
    starts = np.flatnonzero(np.diff(anchors.rows, prepend=-1))
    for begin, end in zip(starts, [*starts[1:], len(anchors.rows)], strict=True):
        some = slice(int(begin), int(end))
        part = (slice(rows.start + some.start, rows.start + some.stop), columns)
        _rows_between(task, geometry, system, part, values, results, said, anchors, some, work)


def _rows_between(
    task: Task, geometry: Geometry, system: core.System, part: tuple[slice, slice], values: list[np.ndarray],
    results: list[np.ndarray], said: list[np.ndarray], anchors: Anchors, some: slice, work: Between,
) -> None:  # fmt: skip
    """Rows ``some`` of a tile, which are ``part`` of the box; their columns stay side by side."""
    where = _of(geometry, part, said[0].ndim)
    (rows, columns), levels, members = (p.stop - p.start for p in part), len(geometry.levels), values[0].shape[0]
    first = np.concatenate([[0], np.cumsum(task.layers)])
    state = np.empty((levels, rows, members, first[-1], columns), task.dtype)
    missing = np.zeros((levels, rows, first[-1], columns), bool)
    seen = state.transpose(2, 3, 1, 4, 0)
    # As users have them: members, layers, rows, columns, levels. Their shapes split some of these, so that all are views.
    parts = [
        seen[:, begin:end].reshape(v[(..., *where)].shape)
        for v, begin, end in zip(values, first, first[1:], strict=False)
    ]
    for own, v in zip(parts, values, strict=True):
        own[...] = v[(..., *where)]
    for level, row in np.ndindex(levels, rows):
        field, column = layout.gaps(state[level, row], missing[level, row])
        if column >= 0:
            name = task.names[int(np.searchsorted(first, field, side="right")) - 1]
            at = geometry.at[part[0].start + row, part[1].start + column]
            raise _some_missing(name, state[level, row, :, field, column], at, geometry)
    found = core.nothing_found((rows, columns, levels))
    core.solve_between(system, task.inflate, state, missing, anchors, some, work, found)
    bounded = np.zeros((rows, columns, levels), np.int64)
    for k, result in enumerate(results):
        for level, row in np.ndindex(levels, rows):
            _bound(state[level, row, :, first[k] : first[k + 1]], task.bounds[k], bounded[row, :, level])
        result[(..., *where)] = parts[k]
    for whole, told in zip(said, (*found, bounded), strict=True):
        whole[where] = told.reshape(whole[where].shape)


def _bound(values: np.ndarray, bounds: tuple[float, float], bounded: np.ndarray) -> None:
    if bounds != (-math.inf, math.inf):
        layout.bound(values, *bounds, bounded)


def _some_missing(name: Hashable, members: np.ndarray, at: np.ndarray, geometry: Geometry) -> ValueError:
    gone = int((~np.isfinite(members)).sum())
    return ValueError(
        f"{name!r} is missing in {gone} of {len(members)} members at {_where(at, geometry)}; fill it, or mask it in all of them"
    )


def _parts(number: int, most: int, stride: int) -> list[slice]:
    """Stretches of about the same length, whole strides each, so that no thread waits for the only large one."""
    many = -(-number // most)
    size = -(-number // (many * stride)) * stride
    return [slice(begin, min(begin + size, number)) for begin in range(0, number, size)]


def _of(geometry: Geometry, tile: tuple[slice, slice], ndim: int) -> Any:
    """The index of a tile in the last dimensions of a field, ``ndim`` of them."""
    where = tile[1:] if geometry.flat else tile
    return (*where, *(slice(None),) * (ndim - len(where)))


def _where(at: np.ndarray, geometry: Geometry) -> str:
    if geometry.sphere == 0.0:
        return f"x={at[0]:g}, y={at[1]:g}"
    lon, lat = lonlat(at / geometry.sphere)
    return f"lon={float(lon):.4g}, lat={float(lat):.4g}"


def _lazy(group: Group, task: Task, system: core.System) -> tuple[list[Any], list[Any]]:
    """Each chunk of the grid by itself, with the observations that reach it."""
    number = len(group.grid_dims)
    chunks, levels = _chunks(group), group.shape[len(group.grid_dims) :]
    lead = [f.shape[: f.ndim - len(group.shape)] for f in group.ordered]
    data = [
        _rechunked(f.data, [*[(n,) for n in before], *chunks, *[(n,) for n in levels]])
        for f, before in zip(group.ordered, lead, strict=True)
    ]
    # Prepared observations are in the graph once, and each chunk takes its own of them; where they are more than a chunk is,
    # it is given no others.
    once = system.everywhere or system.s.nbytes + system.perturbed.nbytes <= _largest(data)
    known = [blocks.Shared(task).delayed, *([blocks.Shared(system).delayed] if once else [])]
    token = uuid4().hex
    done, tasks = f"analysed-{token}", {}
    for at in np.ndindex(*(len(c) for c in chunks)):
        spans = tuple(slice(sum(c[:k]), sum(c[: k + 1])) for c, k in zip(chunks, at, strict=True))
        geometry = group.geometry.box(*(spans if number == 2 else (slice(0, 1), *spans)))
        mine = None if once else core.cut(system, geometry.reached())
        shape = (*(s.stop - s.start for s in spans), *levels)
        # What belongs to one chunk alone is a part of the function, which Dask does not look into.
        tasks[(done, *at)] = (
            partial(_chunk, geometry.bare(), mine, shape), [d.key for d in known],
            *((d.name, *_key(d.ndim, len(before), at)) for d, before in zip(data, lead, strict=True)),
        )  # fmt: skip
    graph = HighLevelGraph.from_collections(done, tasks, dependencies=[*data, *known])
    kinds = [*(d.dtype for d in data), *_KINDS]
    arrays = []
    for k, (before, kind) in enumerate(zip([*lead, *[()] * len(SAID)], kinds, strict=True)):
        name, sizes = f"analysis-{k}-{token}", (*((n,) for n in before), *chunks, *((n,) for n in levels))
        which = (0, k) if k < len(data) else (1, k - len(data))
        layer: dict[Any, Any] = {
            (name, *_key(len(sizes), len(before), at)): (_one_of, (done, *at), *which)
            for at in np.ndindex(*(len(c) for c in chunks))
        }
        layers = HighLevelGraph({**graph.layers, name: MaterializedLayer(layer)}, {**graph.dependencies, name: {done}})
        arrays.append(dask.array.Array(layers, name, sizes, meta=np.empty((0,) * len(sizes), kind)))
    return arrays[: len(data)], arrays[len(data) :]


def _key(ndim: int, first: int, at: tuple[int, ...]) -> tuple[int, ...]:
    """Number of a chunk of an array that is cut along the grid alone; the grid's dimensions begin at ``first``."""
    return (*[0] * first, *at, *[0] * (ndim - first - len(at)))


def _chunk(
    geometry: Geometry, mine: core.System | None, shape: tuple[int, ...], known: list[Any], *values: np.ndarray
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    geometry = geometry.filled()
    system = core.cut(known[1], geometry.reached()) if mine is None else mine
    return _box(known[0], geometry, system, shape, *values)


def _one_of(found: tuple[list[np.ndarray], ...], which: int, k: int) -> np.ndarray:
    return found[which][k]


def _largest(data: Sequence[Any]) -> int:
    """Bytes of the largest chunk, of all fields together."""
    return sum(int(np.prod([max(c) for c in d.chunks], dtype=np.int64)) * d.dtype.itemsize for d in data)


def _chunks(group: Group) -> list[tuple[int, ...]]:
    """Chunks of the grid's dimensions: those of the first lazy field."""
    first = next(f for f in group.ordered if blocks.is_lazy(f))
    start = first.ndim - len(group.shape)
    return list(first.data.chunks[start : start + len(group.grid_dims)])


def _rechunked(data: Any, chunks: Sequence[tuple[int, ...]]) -> Any:
    if dask.is_dask_collection(data):
        return data.rechunk(tuple(chunks))
    return dask.array.from_array(np.asarray(data), chunks=tuple(chunks))
