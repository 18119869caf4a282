"""Which cells of a grid lie beside which."""

from typing import Any, NamedTuple

import numpy as np

from oceankit.fields import _adjacency_kernels as kernels
from oceankit.fields.corners import GridError
from oceankit.fields.geometry import first_of_equals, vectors
from oceankit.fields.grid import Grid
from oceankit.fields.topology import circular_order
from oceankit.numerics import neighbours, threads

__all__ = ["Adjacency", "adjacency", "originals"]

_BLOCK = 65_536
# Centres this close together, in radii of the sphere, are the same (about 60 m).
_APART = 1e-5


class Adjacency(NamedTuple):
    """Neighbours of each cell: those of cell i are ``columns[start[i]:start[i + 1]]``, in ascending order."""

    start: np.ndarray
    """int64 (cells + 1,)"""
    columns: np.ndarray
    """int32: flat places in the grid"""


def adjacency(grid: Grid) -> Adjacency:
    """The cells that share an edge with each cell of a grid.

    Rows and columns go on across the seam and a tripolar fold, not across a pole, where cells meet in a corner only.
    Faces of a mesh are neighbours by a shared edge (corners in the same place are one), nodes of a mesh by an edge between
    them. Copies of cells (halos) have the neighbours of what they are copies of, and are nobody's neighbour. Cells without
    a centre have none; masks play no part.

    Raises
    ------
    GridError
        For a bare list of points, which has no neighbours.

    Examples
    --------
    >>> beside = adjacency(Grid.global_regular(45.0))
    >>> beside.columns[beside.start[9]:beside.start[10]].tolist()
    [1, 8, 10, 17]
    """
    if grid.kind == "rectilinear":
        return _of_axes(grid)
    if grid.kind == "curvilinear":
        return _of_lattice(grid)
    if grid.kind == "mesh" and grid._mesh is not None:
        return _of_mesh(grid)
    raise GridError("a bare list of points has no cells beside each other; give a grid of cells or a mesh")


def originals(grid: Grid) -> np.ndarray:
    """int32 (cells,): the cell that each is a copy of, in the halo of a curvilinear grid; its own number for all others."""
    if grid.kind != "curvilinear" or not grid.topology.halo.any():
        return np.arange(grid.size, dtype=np.int32)
    top = grid.topology
    number = top.canonical(np.arange(grid.size, dtype=np.int32).reshape(grid.shape))
    points, halo = grid.centres(), top.halo.ravel()
    original = np.arange(grid.size, dtype=np.int32)
    for lattice in (number, number[::-1]):
        _identify(lattice, halo[lattice], points, original)
    return original[np.ascontiguousarray(top.original(number)).ravel()]


# ---- rows and columns -----------------------------------------------------------------------------------------------


def _of_axes(grid: Grid) -> Adjacency:
    lon, lat = grid.lon.values, grid.lat.values
    x_order = np.argsort(lon, kind="stable") if grid.planar else circular_order(lon)[0]
    y_order = np.argsort(lat, kind="stable")
    joins_x, joins_y = np.ones(lon.size, bool), np.ones(lat.size, bool)
    if grid._bounds is not None:
        joins_x = _touch(grid._bounds[0][x_order], None if grid.planar else 360.0)
        joins_y = _touch(grid._bounds[1][y_order], None)
    joins_x[-1], joins_y[-1] = grid.periodic, False
    number = (y_order[:, None] * lon.size + x_order).astype(np.int32)
    same = np.arange(grid.size, dtype=np.int32)
    there = np.ones(grid.size, bool)
    return _walked(number, same, there, joins_y, joins_x, None)


def _touch(bounds: np.ndarray, period: float | None) -> np.ndarray:
    """Whether each of the cells (n, 2) along an axis ends where the next begins, but for a thousandth of its width."""
    low, high = np.sort(bounds, axis=1).T
    gap = np.roll(low, -1) - high
    if period is not None:
        gap = gap - period * np.round(gap / period)
    return gap <= 1e-3 * (high - low)


def _of_lattice(grid: Grid) -> Adjacency:
    top = grid.topology
    number = np.ascontiguousarray(top.canonical(np.arange(grid.size, dtype=np.int32).reshape(grid.shape)))
    there = np.isfinite(grid.lon.values.ravel()) & np.isfinite(grid.lat.values.ravel())
    joins_y, joins_x = np.ones(number.shape[0], bool), np.ones(number.shape[1], bool)
    joins_y[-1], joins_x[-1] = False, top.wraps
    return _walked(number, originals(grid), there, joins_y, joins_x, top.fold)


def _identify(number: np.ndarray, halo: np.ndarray, points: np.ndarray, original: np.ndarray) -> None:
    """Say in ``original`` which cells the last rows of a lattice repeat beyond its fold.

    A row beyond a fold is the mirror image of another, or of itself; where cells merely lie on top of each other, as at
    the poles of a tripolar grid, each has its own neighbours.
    """
    nx = number.shape[1]
    last = range(max(number.shape[0] - 3, 0), number.shape[0])
    others = number[last][~halo[last]]
    others = others[np.isfinite(points[others]).all(axis=1)]
    if not halo[last].any() or not others.size:
        return
    place = np.empty(original.size, np.int64)
    place[number.ravel()] = np.arange(number.size)
    tree = neighbours.build(points[others])
    columns = np.arange(nx)
    for j in last:
        i = np.flatnonzero(halo[j])
        found = neighbours.nearest(tree, points[number[j, i]], within=_APART)[0][:, 0]
        row, column = np.divmod(place[others[found]], nx)
        mirrors, counts = np.unique((row * nx + (column + i) % nx)[found >= 0], return_counts=True)
        if not counts.size or counts.max() < nx // 4:
            continue
        row, shift = divmod(int(mirrors[np.argmax(counts)]), nx)
        partner = (shift - columns) % nx
        is_copy = np.linalg.norm(points[number[row, partner]] - points[number[j]], axis=1) <= _APART
        is_copy &= (partner < columns) | (row < j)
        original[number[j, is_copy]] = number[row, partner[is_copy]]


def _walked(
    number: np.ndarray, same: np.ndarray, there: np.ndarray, joins_y: np.ndarray, joins_x: np.ndarray, fold: np.ndarray | None
) -> Adjacency:  # fmt: skip
    flat = number.ravel()
    place = np.full(same.size, -1, np.int32)
    place[flat] = np.arange(flat.size, dtype=np.int32)
    copies = flat[same[flat] != flat]
    twin = np.empty(0, np.int32)
    if copies.size:
        twin = np.full(same.size, -1, np.int32)
        twin[same[copies]] = place[copies]
        twin = twin[same]
    fold = np.empty(0, np.int64) if fold is None else fold
    return _filled(kernels.of_lattice, same.size, number, place[same], twin, same, there, joins_y, joins_x, fold)


def _filled(kernel: Any, size: int, *arguments: np.ndarray) -> Adjacency:
    """What a kernel counts when it is first called, and writes the second time."""
    start = np.zeros(size + 1, np.int64)
    columns = np.empty(0, np.int32)
    threads.over_blocks(lambda a, b: kernel(a, b, start, columns, *arguments), size, block=_BLOCK)
    np.cumsum(start, out=start)
    columns = np.empty(start[-1], np.int32)
    if columns.size:
        threads.over_blocks(lambda a, b: kernel(a, b, start, columns, *arguments), size, block=_BLOCK)
    return Adjacency(start, columns)


# ---- meshes ---------------------------------------------------------------------------------------------------------


def _of_mesh(grid: Grid) -> Adjacency:
    mesh = grid._mesh
    assert mesh is not None
    by_node = grid.location == "node"
    faces, n_nodes = mesh.faces, mesh.node_x.size
    if not by_node:
        # A mesh written cell by cell has each corner as often as there are cells at it.
        first = first_of_equals(vectors(mesh.node_x, mesh.node_y, mesh.planar))
        faces = np.where(faces >= 0, first[faces], np.int32(-1))
    node_start = np.zeros(n_nodes + 1, np.int64)
    kernels.faces_of_nodes(faces, node_start, np.empty(0, np.int32))
    np.cumsum(node_start, out=node_start)
    items = np.empty(node_start[-1], np.int32)
    kernels.faces_of_nodes(faces, node_start[:-1].copy(), items)
    around = kernels.around_nodes if by_node else kernels.around_faces
    return _filled(around, grid.size, np.ascontiguousarray(faces), node_start, items)
