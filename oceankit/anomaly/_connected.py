"""Which cells of a mask touch: found from its grid once, then asked block by block of steps."""

from collections.abc import Hashable
from typing import NamedTuple

import numpy as np
import xarray as xr
from scipy import sparse

from oceankit.anomaly import _calendar
from oceankit.anomaly import _label_kernels as kernels
from oceankit.anomaly._bundle_kernels import label_bundles
from oceankit.anomaly._steps import hole_in
from oceankit.fields import coordinates
from oceankit.fields.adjacency import Adjacency, adjacency, originals
from oceankit.fields.geometry import first_of_equals
from oceankit.fields.grid import Grid, GridError
from oceankit.fields.topology import circular_order

__all__ = [
    "CONNECTIVITIES",
    "Cells",
    "Neighbours",
    "Rows",
    "as_flags",
    "check_options",
    "find_grid",
    "neighbours_of",
    "time_of",
    "words_of",
]

# Whether a cell touches, and how far to the side: in the next row, one step earlier, and in the next row one step earlier.
CONNECTIVITIES = {4: (0, -1, -1), 8: (1, -1, -1), 6: (0, 0, -1), 18: (1, 1, 0), 26: (1, 1, 1)}


class Rows(NamedTuple):
    """Cells in rows and columns."""

    beside: int
    before: int
    before_beside: int
    closed: bool

    def label(self, flags: np.ndarray, *, ends: bool = False) -> tuple[np.ndarray, int]:
        """Labels int32 of a block (steps, ny, nx) and how many there are; with ``ends`` those of the first and last step."""
        out = np.zeros((2, *flags.shape[1:]) if ends else flags.shape, np.int32)
        count = self.write(flags, out)
        if ends and flags.shape[0] == 1:
            out[1] = out[0]
        return out, count

    def write(self, flags: np.ndarray, out: np.ndarray) -> int:
        """Write labels into zeros (all steps, or two for the first and the last); returns how many there are."""
        if self.beside == 1 and self.before == self.before_beside != 0:
            return label_bundles(flags, out, self.before == 1, self.closed)
        return kernels.label_rows(flags, words_of(flags), out, *self)

    def seam(self, last: np.ndarray, first: np.ndarray) -> np.ndarray:
        """Labels (n, 2) of the last step of one block and the first of the next that touch."""
        flags = np.stack([last != 0, first != 0]).view(np.uint8)
        return _once(kernels.seam_rows(flags, words_of(flags), last, first, *self[1:]))


class Cells(NamedTuple):
    """Cells of any kind, (start, columns) of those that touch in one step, and of those that touch one step earlier."""

    start: np.ndarray
    columns: np.ndarray
    before_start: np.ndarray
    before_columns: np.ndarray
    through_time: bool
    copies: np.ndarray
    """Flat places of cells that stand a second time (halos), and of what they are copies of: (n, 2)."""

    def label(self, flags: np.ndarray, *, ends: bool = False) -> tuple[np.ndarray, int]:
        """As of :class:`Rows`."""
        out = np.zeros(flags.shape, np.int32)
        count = self.write(flags, out)
        return out[[0, -1]] if ends else out, count

    def write(self, flags: np.ndarray, out: np.ndarray) -> int:
        """As of :class:`Rows`, all steps."""
        flags, flat = flags.reshape(flags.shape[0], -1), out.reshape(out.shape[0], -1)
        if not self.copies.size:
            return kernels.label_cells(flags, flat, *self[:5])
        copy, original = self.copies.T
        once = flags.copy()
        once[:, copy] = 0
        count = kernels.label_cells(once, flat, *self[:5])
        flat[:, copy] = flat[:, original] * flags[:, copy]
        return count

    def seam(self, last: np.ndarray, first: np.ndarray) -> np.ndarray:
        """As of :class:`Rows`."""
        a, b = last.reshape(-1), first.reshape(-1)
        return _once(kernels.seam_cells(a, b, self.before_start, self.before_columns))


Neighbours = Rows | Cells


def words_of(flags: np.ndarray) -> np.ndarray:
    """The memory of flags as words of eight bytes, as many as are whole."""
    return flags.reshape(-1)[: flags.size // 8 * 8].view(np.uint64)


def _once(pairs: np.ndarray) -> np.ndarray:
    """Pairs of labels, each once."""
    keys = np.sort(pairs[:, 0].astype(np.int64) << 32 | pairs[:, 1])
    keys = keys[np.diff(keys, prepend=-1) != 0]
    return np.stack([keys >> 32, keys & 0xFFFFFFFF], axis=1).astype(np.int32)


def as_flags(block: np.ndarray, name: Hashable) -> np.ndarray:
    """A block of the mask as uint8 0 and 1, C-contiguous and aligned for words of eight bytes; NaN is 0."""
    if block.dtype != bool:
        missing = np.isnan(block) if block.dtype.kind == "f" else np.False_
        strange = (block != 0) & (block != 1) & ~missing
        if strange.any():
            raise ValueError(
                f"the mask {name!r} holds the value {block[strange][0]:g}; it must be true or false (or missing): compare "
                "the field first, for example anomaly > 0.5"
            )
        block = block == 1
    flags = np.ascontiguousarray(block).view(np.uint8)
    return flags if flags.ctypes.data % 8 == 0 else flags.copy()


def check_options(mask: xr.DataArray, connectivity: int, known: tuple[int, ...], periodic: bool | None) -> None:
    """Refuse a mask that is none and options out of range."""
    if not isinstance(mask, xr.DataArray):
        raise ValueError(f"the mask is a {type(mask).__name__}; give a DataArray of true and false")
    if mask.dtype.kind not in "biuf":
        raise ValueError(
            f"the mask {mask.name!r} holds {mask.dtype} values; give true and false, or 0 and 1 with NaN for missing"
        )
    if isinstance(connectivity, bool) or connectivity not in known:
        raise ValueError(f"connectivity is {connectivity!r}; choose one of {', '.join(map(str, known))}")
    if periodic not in (None, True, False):
        raise ValueError(f"periodic is {periodic!r}; give True, False, or None to find it from the longitudes")


def time_of(mask: xr.DataArray, name: Hashable | None) -> xr.DataArray:
    """The time coordinate of the mask: increasing and without holes, across which nothing could be linked."""
    axis, days = _calendar.read(mask, name)
    _calendar.require_increasing(axis, days)
    at = hole_in(days)
    if at is not None:
        raise ValueError(
            f"the time coordinate {axis.name!r} jumps from {axis.values[at]} to {axis.values[at + 1]}, and nothing can be "
            f"followed across the hole: take each part by itself, or .reindex({axis.name}=..., fill_value=False) to every step"
        )
    return axis


# ---- from the grid --------------------------------------------------------------------------------------------------


def find_grid(mask: xr.DataArray, grid: Grid | None) -> Grid | None:
    """The grid that is given or that the mask's coordinates make; None where the mask has none."""
    if grid is None:
        placed = coordinates.candidates(mask, "longitude") or coordinates.plane(mask) is not None
        if not placed:
            return None
        grid = Grid.from_dataset(mask)
        if grid.kind == "points":
            raise ValueError(
                f"{coordinates.describe(mask)} lies on cells along {grid.dims}, and says not which are beside each other: "
                "give grid=, for example Grid.from_dataset of the dataset with the mesh"
            )
    for dim, size in zip(grid.dims, grid.shape, strict=True):
        if mask.sizes.get(dim) != size:
            raise ValueError(
                f"{coordinates.describe(mask)} has the sizes {dict(mask.sizes)}, the grid "
                f"{dict(zip(grid.dims, grid.shape, strict=True))}: give the grid that the mask lies on"
            )
    return grid


def neighbours_of(
    mask: xr.DataArray, grid: Grid | None, dim: Hashable | None, connectivity: int, periodic: bool | None
) -> tuple[Neighbours, tuple[Hashable, ...]]:
    """Who touches whom, and the horizontal dimensions of the mask as blocks must have them."""
    reach = CONNECTIVITIES[connectivity]
    if grid is None:
        space = tuple(d for d in mask.dims if d != dim)[-2:]
        if len(space) < 2:
            raise ValueError(
                f"{coordinates.describe(mask)} has the dimensions {mask.dims}: rows and columns are needed, or grid="
            )
        return Rows(*reach, bool(periodic)), space
    if grid.kind == "rectilinear" and _in_order(grid):
        return Rows(*reach, grid.periodic if periodic is None else periodic), grid.dims
    top = grid.topology
    if grid.kind == "curvilinear" and top.fold is None and not top.halo.any():
        space = grid.dims[::-1] if top.transposed else grid.dims
        return Rows(*reach, top.wraps if periodic is None else periodic), space
    if periodic is not None and periodic != grid.periodic:
        raise ValueError(
            f"periodic is {periodic}, but the cells of {grid!r} touch as the grid says, which is "
            f"{'closed' if grid.periodic else 'not closed'} in longitude: leave periodic out"
        )
    return _cells(grid, reach), grid.dims


def _in_order(grid: Grid) -> bool:
    """Whether cells that are beside each other in rows and columns are so on the sphere, all along."""
    ordered = True
    if not grid.planar:
        steps = np.diff(circular_order(grid.lon.values)[0]) % grid.lon.size
        ordered = bool((steps == 1).all() or (steps == grid.lon.size - 1).all())
    try:
        bounds = grid.corners.data_vars.values()
    except GridError:
        # A single row or column of which the edges are not known.
        return ordered
    return ordered and not any(_has_gap(b.values, grid.planar) for b in bounds)


def _has_gap(bounds: np.ndarray, planar: bool) -> bool:
    """Whether a cell of an axis (n, 2) begins, but for a thousandth of its width, elsewhere than the one before ends."""
    low, high = np.sort(bounds, axis=1).T
    apart = np.stack([low[1:] - high[:-1], low[:-1] - high[1:]])
    if not planar:
        apart -= 360.0 * np.round(apart / 360.0)
    return bool((np.abs(apart).min(axis=0) > 1e-3 * (high - low)[1:]).any())


def _cells(grid: Grid, reach: tuple[int, int, int]) -> Cells:
    edges = adjacency(grid)
    corners = _by_corners(grid, edges) if 1 in reach else edges
    nothing = Adjacency(np.zeros(grid.size + 1, np.int64), np.empty(0, np.int32))
    step = corners if reach[0] == 1 else edges
    # Of 18 the cells beside by an edge touch one step later, of 26 those by a corner too.
    before = {-1: nothing, 0: edges, 1: corners}[reach[2]]
    original = originals(grid)
    copies = np.flatnonzero(original != np.arange(grid.size))
    return Cells(*step, *before, reach[1] >= 0, np.column_stack([copies, original[copies]]))


def _by_corners(grid: Grid, edges: Adjacency) -> Adjacency:
    """Cells that share an edge or a corner with each."""
    n = grid.size
    by_edge = sparse.csr_array((np.ones(edges.columns.size, np.int32), edges.columns, edges.start), shape=(n, n))
    if grid.kind == "mesh":
        cells = grid.cells()
        corner = first_of_equals(cells.nodes)[cells.faces]
        row, which = np.nonzero(cells.faces >= 0)
        at = sparse.csr_array((np.ones(row.size, np.int32), (row, corner[row, which])), shape=(n, cells.nodes.shape[0]))
        beside = at @ at.T
    else:
        # On a lattice the cell across a corner shares two neighbours with this one.
        beside = by_edge @ by_edge
        beside.data[beside.data < 2] = 0
    beside = (beside + by_edge).tocoo()
    there = (beside.data > 0) & (beside.row != beside.col)
    beside = sparse.csr_array((beside.data[there], (beside.row[there], beside.col[there])), shape=(n, n))
    beside.sort_indices()
    return Adjacency(beside.indptr.astype(np.int64), beside.indices.astype(np.int32))
