"""Objects of a mask: where they may be, which of them overlap, and which event goes on in which."""

from collections.abc import Hashable, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import xarray as xr

from oceankit.anomaly import _track_kernels as kernels
from oceankit.fields.adjacency import originals
from oceankit.fields.grid import Grid

__all__ = ["NO_LINKS", "Links", "Objects", "Places", "Record", "places_of", "record_of", "summed", "tables"]

Links = tuple[np.ndarray, np.ndarray, np.ndarray]
NO_LINKS: Links = (np.empty(0, np.int32), np.empty(0, np.int32), np.empty(0, np.int64))

# Areas are whole numbers of such a part of the grid's, so that sums are exact and of one step below 2**63.
_BITS = 62


class Objects(NamedTuple):
    """Objects of a block of steps, from number 1; links are between those of one step and the next in it."""

    kept: np.ndarray
    """int32: number of each label of the block, 0 for those that are too small"""
    step: np.ndarray
    size: np.ndarray
    """int64: area in quanta"""
    vector: np.ndarray
    """float64 (n, 3): sum of area times centre"""
    total: np.ndarray
    weight: np.ndarray
    extreme: np.ndarray
    old: np.ndarray
    new: np.ndarray
    shared: np.ndarray


# ---- places and areas -----------------------------------------------------------------------------------------------


class Places(NamedTuple):
    """Where the cells are and how large, in the order in which blocks have them."""

    area: np.ndarray
    """int64 (cells,), in quanta; 0 where there is no cell, or a copy of one"""
    quantum: float
    units: str
    counted: bool
    """Whether areas are numbers of cells."""
    centres: np.ndarray
    """float64 (cells, 3): unit vectors, (x, y, 1) on a plane, NaN where nothing is known"""
    kind: str
    """"sphere", "plane" or "none" """
    east: bool
    """Whether longitudes are 0 to 360."""
    nowhere: np.ndarray
    """Flat places without an area."""


def places_of(mask: xr.DataArray, grid: Grid | None, area: xr.DataArray | None, space: tuple[Hashable, ...]) -> Places:
    """Areas and centres of the cells of ``mask``, whose horizontal dimensions ``space`` are its last."""
    shape = tuple(mask.sizes[d] for d in space)
    copies = np.zeros(shape, bool)
    if area is not None:
        if set(area.dims) != set(space) or any(area.sizes[d] != mask.sizes[d] for d in space):
            raise ValueError(
                f"area has the sizes {dict(area.sizes)}; give the areas of the cells along {space}, of the sizes {shape}"
            )
        cells, units = np.asarray(area.transpose(*space).values, np.float64), str(area.attrs.get("units", ""))
        if (cells < 0).any():
            raise ValueError(f"area holds the value {cells.min():g}; areas are at least 0")
    elif grid is not None:
        found = grid.area()
        cells, units = found.transpose(*space).values, str(found.attrs["units"])
    else:
        cells, units = np.ones(shape), "1"
    centres, kind, east = np.full((*shape, 3), np.nan), "none", False
    if grid is not None:
        order = [grid.dims.index(d) for d in space]
        centres = np.transpose(grid.centres().reshape(*grid.shape, 3), (*order, len(order)))
        kind = "plane" if grid.planar else "sphere"
        east = bool(np.nanmin(grid.lon.values) >= 0)
        copies = np.transpose((originals(grid) != np.arange(grid.size)).reshape(grid.shape), order)
    nowhere = np.flatnonzero(~(cells > 0) & ~copies)
    cells = np.where((cells > 0) & ~copies, cells, 0.0).ravel()
    quantum = 2.0 ** (np.ceil(np.log2(max(cells.sum(), 1e-300))) - _BITS)
    whole = np.rint(cells / quantum).astype(np.int64)
    counted = area is None and grid is None
    return Places(
        whole, float(quantum), units, counted, np.ascontiguousarray(centres).reshape(-1, 3), kind, east, nowhere
    )


# ---- links ----------------------------------------------------------------------------------------------------------


def summed(old: np.ndarray, new: np.ndarray, shared: np.ndarray) -> Links:
    """Each pair once, with the whole area that it shares, by the later object and then by the earlier."""
    keys, group = np.unique(new.astype(np.int64) << 32 | old, return_inverse=True)
    total = np.zeros(keys.size, np.int64)
    np.add.at(total, group, shared)
    return (keys & 0xFFFFFFFF).astype(np.int32), (keys >> 32).astype(np.int32), total


def tables(objects: Sequence[Objects], number: np.ndarray) -> list[np.ndarray]:
    """For each block, the ``number`` of the event of each label, 0 where there is none."""
    offset = np.concatenate([[0], np.cumsum([o.step.size for o in objects])])
    return [
        np.concatenate([[0], number[a:b]]).astype(np.int32)[o.kept]
        for o, (a, b) in zip(objects, pairwise(offset), strict=True)
    ]


class Record(NamedTuple):
    """All objects by step, the event of each, and the links between them."""

    step: np.ndarray
    area: np.ndarray
    centre: np.ndarray
    """float64 (n, 3): unit vectors, or (x, y, 1)"""
    mean: np.ndarray
    """Of the values, by area; their sum times area and the area that has any follow."""
    total: np.ndarray
    weight: np.ndarray
    extreme: np.ndarray
    event: np.ndarray
    """From 0 as they begin, short ones too."""
    old: np.ndarray
    new: np.ndarray
    shared: np.ndarray
    kind: np.ndarray


def record_of(
    objects: Sequence[Objects], starts: np.ndarray, seams: Sequence[Links], places: Places, min_overlap: float
) -> Record:
    """Put the objects of all blocks together and follow them.

    ``starts`` are the first steps of the blocks, ``seams`` the overlaps of the last step of each with the first of the next.
    """
    offset = np.concatenate([[0], np.cumsum([o.step.size for o in objects])])
    step = np.concatenate([o.step + start for o, start in zip(objects, starts, strict=True)])
    size, vector, total, weight, extreme = (
        np.concatenate([getattr(o, name) for o in objects]) for name in ("size", "vector", "total", "weight", "extreme")
    )
    # Numbers from 1 in each block become places in the record.
    within = [(o.old + a - 1, o.new + a - 1, o.shared) for o, a in zip(objects, offset[:-1], strict=True)]
    across = [(s[0] + a - 1, s[1] + b - 1, s[2]) for s, (a, b) in zip(seams, pairwise(offset[:-1]), strict=True)]
    old, new, shared = (np.concatenate(c) for c in zip(*within, *across, strict=True))
    linked = (shared > 0) & (shared >= min_overlap * np.minimum(size[old], size[new]))
    old, new, shared = old[linked], new[linked], shared[linked]
    order = np.lexsort((new, old, -size[old], -size[new], -shared))
    old, new, shared = old[order], new[order], shared[order]
    event, kind = kernels.follow(old, new, step.size)
    length = np.linalg.norm(vector, axis=1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        # On a plane the third component is the sum of the areas.
        centre = vector / (vector[:, 2:] if places.kind == "plane" else length)
        mean = total / weight
    scale = places.quantum
    return Record(step, size * scale, centre, mean, total, weight, extreme, event, old, new, shared * scale, kind)
