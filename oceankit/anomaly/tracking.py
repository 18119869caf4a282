"""Events followed in space and time: the objects of each step, linked where they overlap, with their merges and splits."""

from collections.abc import Callable, Hashable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import dask
import dask.array
import numpy as np
import xarray as xr

from oceankit.anomaly import _label_kernels, _track_events, _tracks
from oceankit.anomaly import _track_kernels as kernels
from oceankit.anomaly._connected import (
    Neighbours,
    as_flags,
    check_options,
    find_grid,
    neighbours_of,
    time_of,
    words_of,
)  # fmt: skip
from oceankit.anomaly._tracks import Links, Objects, Places
from oceankit.fields import blocks
from oceankit.fields.coordinates import describe
from oceankit.fields.grid import Grid
from oceankit.numerics import threads

__all__ = ["Tracks", "track"]

_BLOCK_VALUES = 2**22


class Tracks(NamedTuple):
    """What :func:`track` returns."""

    events: xr.Dataset
    """Along ``event``, with the paths along ``point`` and the ledger along ``link``."""
    labels: xr.DataArray
    """int32: the event in each cell at each step, 0 where there is none."""


def track(
    mask: xr.DataArray,
    *,
    connectivity: int = 8,
    periodic: bool | None = None,
    min_overlap: float = 0.5,
    min_area: float = 0.0,
    min_duration: int = 1,
    values: xr.DataArray | None = None,
    cold: bool = False,
    grid: Grid | None = None,
    area: xr.DataArray | None = None,
    time: Hashable | None = None,
) -> Tracks:
    """Follow the connected objects of a mask from step to step, through merges and splits.

    The objects of each step are linked to those of the step before that they overlap. Links are taken from the largest
    overlap down, and one continues an event where neither of its objects is taken: so a merged object goes on with the event
    it overlaps most, and where an object splits the part that overlaps it most goes on. The others end as merged, or begin
    as split, and the ledger says with whom.

    Parameters
    ----------
    mask
        Boolean, or 0 and 1 with NaN for false, along time and on a grid, dimensions in any order: as for :func:`label`.
    connectivity
        Within a step: 4 by edges, 8 by edges and corners.
    periodic, grid
        As for :func:`label`.
    min_overlap
        Objects are linked when the area they share is at least this part of the smaller one, above 0 and at most 1; 0.5
        as in Sun et al. (2023) and in marEx.
    min_area
        Smaller objects are left out before anything is linked; in m2, or in the units of the areas.
    min_duration
        Events of fewer steps are left out at the end. Merges and splits stay as they were found with them; in the ledger
        such an event is number 0.
    values
        What is measured in the objects, of the dimensions of ``mask``: an anomaly, for example. NaN is skipped.
    cold
        The extreme is the lowest value instead of the highest.
    area
        Areas of the cells over the horizontal dimensions, where not those of the grid (``grid.area()``, m2). Without them and
        without a grid or coordinates, cells are counted.
    time
        Name of the time coordinate, where it is not found by itself.

    Returns
    -------
    events : xarray.Dataset
        In memory. Along ``event``, 1 to n by beginning: ``start``, ``end`` and ``peak`` (date of the largest area),
        ``duration`` (steps), ``area_max``, ``area_mean``, ``area_cumulative`` (sum over the steps), the centroid at
        ``start``, ``end`` and ``peak`` (``lon_start``, ``lat_start`` ...), ``path_length`` (km, along the centroids),
        ``began`` ("formed", "split") and ``parent``, ``ended`` ("dissipated", "merged", "open" at the last step) and
        ``merged_into``. With ``values`` also ``intensity_max``, ``intensity_peak`` (its date), ``intensity_mean`` (by area
        and step) and ``intensity_cumulative`` (sum over the steps of the mean by area).

        Along ``point``, event by event and step by step (a contiguous ragged array, ``duration`` points each):
        ``point_event``, ``point_time``, ``point_area``, ``point_lon``, ``point_lat``, ``point_intensity_mean``,
        ``point_intensity_max``.

        Along ``link``, the ledger: ``link_time`` (of the later step), ``link_kind`` ("split", "merge", "exchange" between
        events that both go on), ``link_from``, ``link_to`` and ``link_area`` shared.

        Along time, its balance: ``n_objects``, which is that of the step before plus ``n_formed`` plus ``n_split`` minus
        ``n_merged`` minus ``n_dissipated``, and ``area_total``.
    labels : xarray.DataArray
        int32 like ``mask``: the event of each cell, 0 where there is none. Lazy for a lazy mask, which is read once to
        find the events, chunk by chunk of steps, and once more for the labels that are asked for.

    Raises
    ------
    ValueError
        If the mask is none, an option is out of range, time is absent, not sorted or has holes, the grid, areas or values
        do not fit the mask, or the mask is true where a cell has no area.

    Notes
    -----
    Areas are added as whole numbers (2**-62 of the grid's), so that they do not depend on order or chunks. Equal overlaps
    are taken by the larger area of the new object, then of the old one, then by number.

    References
    ----------
    Sun, D., Jing, Z., Li, F., & Wu, L. (2023). Characterizing global marine heatwaves under a spatio-temporal framework.
    Progress in Oceanography 211, 102947.

    Examples
    --------
    >>> import numpy as np, xarray as xr
    >>> from oceankit import Grid
    >>> warm = xr.DataArray(np.zeros((3, 18, 36), bool), dims=("time", "lat", "lon"))
    >>> warm = warm.assign_coords(**Grid.global_regular(10.0).coords(), time=xr.date_range("2020-01-01", periods=3))
    >>> warm[0, 9, [34, 35]] = warm[1, 9, [35, 0]] = warm[2, 9, [0, 1]] = True
    >>> events, labels = track(warm, min_overlap=0.5)
    >>> events["duration"].values, events["point_lon"].values.round(3), int(labels.max())
    (array([3]), array([350.,   0.,  10.]), 1)
    """
    _check(mask, connectivity, periodic, min_overlap, min_area, min_duration)
    axis = time_of(mask, time)
    dim = axis.dims[0]
    grid = find_grid(mask, grid)
    neighbours, space = neighbours_of(mask, grid, dim, connectivity, periodic)
    others = [d for d in mask.dims if d != dim and d not in space]
    if others:
        raise ValueError(
            f"{describe(mask)} has the further dimension {others[0]!r}: select one of it, and track each by itself"
        )
    ordered = mask.transpose(dim, *space)
    measured = None if values is None else _aligned(values, ordered)
    places = _tracks.places_of(ordered, grid, area, space)
    setting = _Setting(neighbours, places, float(min_area), -1.0 if cold else 1.0, mask.name)
    lazy = blocks.is_lazy(mask) or (measured is not None and blocks.is_lazy(measured))
    pieces = (_lazy if lazy else _eager)(ordered, measured, setting)
    options = {
        "connectivity": int(connectivity), "min_overlap": float(min_overlap), "min_area": float(min_area),
        "min_duration": int(min_duration), "source_variable": str(mask.name or ""),
    }  # fmt: skip
    starts = np.concatenate([[0], np.cumsum(pieces.lengths)[:-1]])
    record = _tracks.record_of(pieces.objects, starts, pieces.links, places, min_overlap)
    events, number = _track_events.events_of(record, axis, places, values, cold, options)
    labels = ordered.copy(data=pieces.labels(number)).transpose(*mask.dims)
    labels.name, labels.encoding = "event_number", {}
    labels.attrs = {
        "long_name": "number of the event, 0 where there is none",
        "n_events": events.sizes["event"],
        **options,
    }
    return Tracks(events, labels)


def _check(
    mask: xr.DataArray, connectivity: int, periodic: bool | None, min_overlap: float, min_area: float, min_duration: int
) -> None:
    if connectivity in (6, 18, 26):
        raise ValueError(
            f"connectivity is {connectivity}, which is for label(); objects are found in each step by itself, and followed "
            "by their overlap: choose 4 or 8"
        )
    check_options(mask, connectivity, (4, 8), periodic)
    if isinstance(min_overlap, bool) or not 0 < min_overlap <= 1:
        raise ValueError(f"min_overlap is {min_overlap!r}; give a part of the smaller object, above 0 and at most 1")
    if isinstance(min_area, bool) or not 0 <= min_area < np.inf:
        raise ValueError(f"min_area is {min_area!r}; give an area of at least 0, in m2 on a grid")
    if isinstance(min_duration, bool) or not isinstance(min_duration, int | np.integer) or min_duration < 1:
        raise ValueError(f"min_duration is {min_duration!r}; give a whole number of time steps, at least 1")


def _aligned(values: xr.DataArray, mask: xr.DataArray) -> xr.DataArray:
    if set(values.dims) != set(mask.dims) or any(values.sizes[d] != n for d, n in mask.sizes.items()):
        raise ValueError(
            f"values have the sizes {dict(values.sizes)}, the mask {dict(mask.sizes)}: select the same part of both"
        )
    if values.dtype.kind not in "fiu":
        raise ValueError(f"values hold {values.dtype}, not real numbers: use astype(float)")
    for d in mask.dims:
        if d in values.coords and d in mask.coords and not values[d].variable.equals(mask[d].variable):
            raise ValueError(f"values and mask differ in the coordinate {d!r}: select the same part of both")
    return values.transpose(*mask.dims)


# ---- block by block of steps ----------------------------------------------------------------------------------------


class _Setting(NamedTuple):
    """What every block needs."""

    neighbours: Neighbours
    places: Places
    min_area: float
    sign: float
    name: Hashable


class _Pieces(NamedTuple):
    """Steps and objects of each block, the overlaps from each block to the next, and a way to labels."""

    lengths: Sequence[int]
    objects: list[Objects]
    links: list[Links]
    labels: Callable[[np.ndarray], Any]
    """Of the event of each object of all blocks."""


def _measure(flags: np.ndarray, out: np.ndarray, values: np.ndarray | None, setting: _Setting) -> Objects:
    """Label a block of steps, measure its objects, drop the small ones, and see which overlap from step to step."""
    places = setting.places
    if places.nowhere.size and flags.reshape(flags.shape[0], -1)[:, places.nowhere].any():
        raise ValueError(f"the mask {setting.name!r} is true in cells that have no area: make it false there")
    count = setting.neighbours.write(flags, out)
    labels = out.reshape(out.shape[0], -1)
    measured = np.empty((0, labels.shape[1])) if values is None else values.reshape(labels.shape)
    step, size, vector, total, weight, extreme = kernels.measure(
        labels, count, places.area, places.quantum, places.centres, measured, setting.sign
    )
    large = size * places.quantum >= setting.min_area
    kept = np.zeros(count + 1, np.int32)
    kept[1:][large] = np.arange(1, large.sum() + 1)
    found = [kernels.overlaps(a, b, kept, kept, places.area) for a, b in pairwise(labels)]
    links = tuple(np.concatenate(c) for c in zip(*found, strict=True)) if found else _tracks.NO_LINKS
    columns = (column[large] for column in (step, size, vector, total, weight, extreme))
    return Objects._make((kept, *columns, *_tracks.summed(*links)))


def _native(block: Any) -> np.ndarray:
    """A block in a dtype that kernels know: NetCDF-3 files are big-endian."""
    block = np.asarray(block)
    kept = block.dtype.kind == "f" and block.dtype.itemsize == 4
    return np.ascontiguousarray(block, np.float32 if kept else np.float64)


def _eager(mask: xr.DataArray, values: xr.DataArray | None, setting: _Setting) -> _Pieces:
    data = np.asarray(mask.data)
    out = np.zeros(data.shape, np.int32)
    length = max(1, _BLOCK_VALUES // max(1, int(np.prod(data.shape[1:]))))
    spans = [slice(s, s + length) for s in range(0, data.shape[0], length)]

    def work(b: int, _: int) -> Objects:
        measured = None if values is None else _native(values.data[spans[b]])
        return _measure(as_flags(data[spans[b]], setting.name), out[spans[b]], measured, setting)

    def seam(b: int, _: int) -> Links:
        last, first = out[spans[b].stop - 1].reshape(-1), out[spans[b + 1].start].reshape(-1)
        kept = objects[b].kept, objects[b + 1].kept
        return _tracks.summed(*kernels.overlaps(last, first, *kept, setting.places.area))

    objects = threads.over_blocks(work, len(spans), block=1)

    def labels(number: np.ndarray) -> np.ndarray:
        tables = _tracks.tables(objects, number)

        def write(b: int, _: int) -> None:
            flags = as_flags(data[spans[b]], setting.name)
            _label_kernels.relabel(out[spans[b]].reshape(-1), words_of(flags), tables[b])

        threads.over_blocks(write, len(spans), block=1)
        return out

    lengths = [len(out[span]) for span in spans]
    return _Pieces(lengths, objects, threads.over_blocks(seam, len(spans) - 1, block=1), labels)


def _lazy(mask: xr.DataArray, values: xr.DataArray | None, setting: _Setting) -> _Pieces:
    """The same chunk by chunk of steps: what is measured is computed now, the labels when they are asked for."""
    whole = dict.fromkeys(mask.dims[1:], -1)
    steps = (mask if blocks.is_lazy(mask) else values).chunksizes[mask.dims[0]]  # type: ignore[union-attr]
    data = mask.chunk({mask.dims[0]: steps, **whole}).data
    pieces = data.to_delayed().ravel()
    beside: list[Any] = [None] * len(pieces)
    if values is not None:
        beside = list(values.chunk({mask.dims[0]: steps, **whole}).data.to_delayed().ravel())
    shared = dask.delayed(setting, traverse=False)
    ends = [dask.delayed(_ends, nout=3)(p, v, shared) for p, v in zip(pieces, beside, strict=True)]
    seams = [dask.delayed(_seam)(a[2], b[1], shared) for a, b in pairwise(ends)]
    objects, links = dask.compute([e[0] for e in ends], seams)

    def labels(number: np.ndarray) -> Any:
        tables = _tracks.tables(objects, number)
        return dask.array.concatenate([
            dask.array.from_delayed(dask.delayed(_labels)(p, shared, table), (n, *data.shape[1:]), np.int32)
            for p, table, n in zip(pieces, tables, steps, strict=True)
        ])  # fmt: skip

    return _Pieces(steps, objects, links, labels)


def _ends(piece: np.ndarray, values: np.ndarray | None, setting: _Setting) -> tuple[Objects, np.ndarray, np.ndarray]:
    """The objects of a chunk, and their numbers in its first and last step."""
    out = np.zeros(piece.shape, np.int32)
    flags = as_flags(np.asarray(piece), setting.name)
    objects = _measure(flags, out, None if values is None else _native(values), setting)
    return objects, objects.kept[out[0]].reshape(-1), objects.kept[out[-1]].reshape(-1)


def _seam(last: np.ndarray, first: np.ndarray, setting: _Setting) -> Links:
    same = np.arange(1 + max(last.max(initial=0), first.max(initial=0)), dtype=np.int32)
    return _tracks.summed(*kernels.overlaps(last, first, same, same, setting.places.area))


def _labels(piece: np.ndarray, setting: _Setting, table: np.ndarray) -> np.ndarray:
    flags = as_flags(np.asarray(piece), setting.name)
    labels, _ = setting.neighbours.label(flags)
    _label_kernels.relabel(labels.reshape(-1), words_of(flags), table)
    return labels
