"""The dual of a mesh: cells around its nodes, and patches between the centres of its faces."""

import numpy as np

from oceankit.fields import _adjacency_kernels as beside
from oceankit.fields import _dual_kernels as kernels
from oceankit.fields import geometry
from oceankit.fields.meshes import Mesh
from oceankit.numerics import sphere, threads

__all__ = ["cells_of_nodes", "patches_of_centres", "patches_of_nodes"]

_BLOCK = 65_536


def cells_of_nodes(mesh: Mesh) -> tuple[np.ndarray, np.ndarray]:
    """Median-dual control volumes: the cell of a node goes through the centres of its faces and the middles of its edges.

    Those are the cells of nodes in FVCOM and FESOM (Chen et al. 2003; Danilov et al. 2017): of each triangle, a third belongs
    to each of its nodes. At the rim a cell is closed through the node itself. Where the rim passes a node more than
    once, as between two islands that touch, the parts hang together in the node, as one polygon that goes
    through it several times.

    Returns
    -------
    nodes : float64 (n, 3)
        Unit vectors, or (x, y, 1) on a plane.
    faces : int32 (nodes of the mesh, most corners)
        Counter-clockwise, padded with -1; none (-1 throughout) where a node is in no face. Faces without area, those
        that cross themselves and those that lack a corner count for nothing.
    """
    points = geometry.vectors(mesh.node_x, mesh.node_y, mesh.planar)
    faces, start, items = _around_nodes(points, mesh.faces, mesh.planar)
    middles = (points[faces] + points[_following(faces)]).reshape(-1, 3)
    nodes = np.concatenate([points, _projected(middles, mesh.planar), _centres(points, faces, mesh.planar)])
    size = mesh.node_x.size
    widths = np.zeros(size, np.int64)
    cells = np.empty((0, 0), np.int32)

    def work(begin: int, end: int) -> None:
        kernels.cells_of_nodes(begin, end, faces, start, items, cells, widths)

    threads.over_blocks(work, size, block=_BLOCK)
    cells = np.empty((size, max(int(widths.max()), 3)), np.int32)
    threads.over_blocks(work, size, block=_BLOCK)
    return nodes, cells


def patches_of_centres(mesh: Mesh, centres: np.ndarray) -> np.ndarray:
    """What lies between the centres of faces around each node, in triangles and convex quadrangles of centres.

    They cover what the outermost centres enclose, each place once. Around a node, the centres stand in the order of
    their faces; four in convex position are a patch of their own, more are cut into triangles, the best-shaped ones
    first.

    Parameters
    ----------
    centres : float64 (faces, 3)
        Unit vectors, or (x, y, 1) on a plane.

    Returns
    -------
    int32 (patches, 4)
        Numbers of faces, counter-clockwise, -1 last where there are three.
    """
    points = geometry.vectors(mesh.node_x, mesh.node_y, mesh.planar)
    # A mesh written cell by cell has each corner as often as there are cells at it.
    first = geometry.first_of_equals(points)
    joined = np.where(mesh.faces >= 0, first[mesh.faces], np.int32(-1))
    joined[~np.isfinite(centres).all(axis=1)] = -1
    faces, start, items = _around_nodes(points, joined, mesh.planar)
    most = np.maximum(np.diff(start) - 2, 0)
    offsets = np.cumsum(most) - most
    out = np.full((int(most.sum()), 4), -1, np.int32)

    def work(begin: int, end: int) -> None:
        kernels.between_centres(begin, end, faces, start, items, points, centres, mesh.planar, offsets, out)

    threads.over_blocks(work, points.shape[0], block=_BLOCK)
    return out[out[:, 0] >= 0]


def patches_of_nodes(mesh: Mesh) -> np.ndarray:
    """The faces of a mesh as triangles and convex quadrangles of nodes: those with more corners are cut into triangles.

    Returns
    -------
    int32 (patches, 4)
        Numbers of nodes, counter-clockwise, -1 last where there are three.
    """
    points = geometry.vectors(mesh.node_x, mesh.node_y, mesh.planar)
    faces = _good(points, mesh.faces, mesh.planar)
    centres = _centres(points, faces, mesh.planar)
    most = np.maximum((faces >= 0).sum(axis=1) - 2, 0)
    offsets = np.cumsum(most) - most
    out = np.full((int(most.sum()), 4), -1, np.int32)

    def work(begin: int, end: int) -> None:
        kernels.within_faces(begin, end, faces, points, centres, mesh.planar, offsets, out)

    threads.over_blocks(work, faces.shape[0], block=_BLOCK)
    return out[out[:, 0] >= 0]


def _good(points: np.ndarray, faces: np.ndarray, planar: bool) -> np.ndarray:
    """Faces without repeated corners, all counter-clockwise; -1 where one has no area, crosses itself or lacks a corner."""
    faces = np.array(faces, np.int32, order="C")
    kernels.without_repeats(faces)
    status, _ = geometry.oriented(points, faces, planar)
    faces[(status != sphere.GOOD) & (status != sphere.FLIPPED)] = -1
    return faces


def _around_nodes(points: np.ndarray, faces: np.ndarray, planar: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Good faces and those at each node: node i is in ``items[start[i]:start[i + 1]]``."""
    faces = _good(points, faces, planar)
    start = np.zeros(points.shape[0] + 1, np.int64)
    beside.faces_of_nodes(faces, start, np.empty(0, np.int32))
    np.cumsum(start, out=start)
    items = np.empty(start[-1], np.int32)
    if items.size:
        beside.faces_of_nodes(faces, start[:-1].copy(), items)
    return faces, start, items


def _following(faces: np.ndarray) -> np.ndarray:
    """The corner after each corner of a face, the first one after the last."""
    following = np.roll(faces, -1, axis=1)
    return np.where(following >= 0, following, faces[:, :1])


def _centres(points: np.ndarray, faces: np.ndarray, planar: bool) -> np.ndarray:
    """Mean of the corners of each face, on the sphere; NaN where there is no face."""
    return _projected(np.where((faces >= 0)[..., None], points[faces], 0.0).sum(axis=1), planar)


def _projected(sums: np.ndarray, planar: bool) -> np.ndarray:
    """Sums of points as their mean: on the sphere, or at height 1."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return sums / (sums[:, 2:] if planar else np.linalg.norm(sums, axis=1, keepdims=True))
