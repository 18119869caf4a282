"""From corners to cells as the kernels know them: shared nodes, and faces of indices into them."""

import itertools

import numpy as np

from oceankit.fields._adjacency_kernels import shared_corners
from oceankit.fields.corners import GridError, lattice_to_cells
from oceankit.fields.meshes import Mesh
from oceankit.numerics import sphere, threads

__all__ = [
    "crossed",
    "face_centres",
    "farthest_corners",
    "first_of_equals",
    "longest_edges",
    "lattice_or_loose",
    "oriented",
    "rectilinear_cells",
    "vectors",
]


def vectors(x: np.ndarray, y: np.ndarray, planar: bool) -> np.ndarray:
    """Unit vectors of degrees, or (x, y, 1) on a plane."""
    return np.stack([x, y, np.ones_like(x)], axis=-1) if planar else sphere.unit_vectors(x, y)


def crossed(x: np.ndarray, y: np.ndarray, planar: bool) -> np.ndarray:
    """What :func:`vectors` makes of each pair of two axes, (y, x, 3), to the last bit, from as many sines as they have."""
    out = np.empty((y.size, x.size, 3))
    around, up = vectors(x, np.zeros_like(x), planar), vectors(np.zeros_like(y), y, planar)

    def work(begin: int, end: int) -> None:
        rows = out[begin:end]
        if planar:
            rows[..., 0], rows[..., 1], rows[..., 2] = x, y[begin:end, None], 1.0
            return
        for d in range(2):
            np.multiply(up[begin:end, None, 0], around[:, d], out=rows[..., d])
        # Of x as well: where it is missing, so is the point.
        np.add(up[begin:end, None, 2], around[:, 2], out=rows[..., 2])

    threads.over_blocks(work, y.size, block=64)
    return out


def rectilinear_cells(a: np.ndarray, b: np.ndarray, planar: bool, name: object) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and faces of the cells between bounds (n, 2) of two axes; ``name`` is that of the first, for errors."""
    if not planar and np.abs(a[:, 1] - a[:, 0]).max() >= 180.0:
        raise GridError(
            f"a cell of {name!r} is {np.abs(a[:, 1] - a[:, 0]).max():g} degrees wide; cells with great-circle edges "
            "must be narrower than 180: use a finer grid or edges='latitude'"
        )
    x_edges, x_at = np.unique(a, return_inverse=True)
    y_edges, y_at = np.unique(b, return_inverse=True)
    x_at, y_at = x_at.reshape(a.shape), y_at.reshape(b.shape)
    n = x_edges.size
    faces = np.empty((b.shape[0], a.shape[0], 4), np.int32)
    south, north = np.sort(y_at, axis=1).T.astype(np.int32)[:, :, None] * np.int32(n)
    west, east = np.sort(x_at, axis=1).T.astype(np.int32)

    def place_faces(begin: int, end: int) -> None:
        for k, (j, i) in enumerate(((south, west), (south, east), (north, east), (north, west))):
            np.add(j[begin:end], i, out=faces[begin:end, :, k])

    threads.over_blocks(place_faces, faces.shape[0], block=64)
    return crossed(x_edges, y_edges, planar).reshape(-1, 3), faces.reshape(-1, 4)


def oriented(nodes: np.ndarray, faces: np.ndarray, planar: bool) -> tuple[np.ndarray, np.ndarray]:
    """:func:`oceankit.numerics.sphere.orient` on as many threads as there are: status and convexity of each face."""
    status, convex = np.empty(faces.shape[0], np.int8), np.empty(faces.shape[0], bool)

    def work(begin: int, end: int) -> None:
        status[begin:end], convex[begin:end] = sphere.orient(nodes, faces[begin:end], planar)

    threads.over_blocks(work, faces.shape[0], block=16_384)
    return status, convex


def lattice_or_loose(x: np.ndarray, y: np.ndarray, planar: bool) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and faces of corners (ny, nx, n): shared where neighbours agree to the last digit, else each cell its own."""
    ny, nx = x.shape[:2]
    if x.shape[2] == 4 and all(shared_corners(v) for v in (x, y)):
        lattice = []
        for v in (x, y):
            rows = np.concatenate([v[:, :, 0], v[:, -1:, 1]], axis=1)
            last = np.concatenate([v[-1:, :, 3], v[-1:, -1:, 2]], axis=1)
            lattice.append(np.concatenate([rows, last], axis=0))
        nodes = vectors(lattice[0], lattice[1], planar).reshape(-1, 3)
        number = np.arange((ny + 1) * (nx + 1), dtype=np.int32).reshape(ny + 1, nx + 1)
        return nodes, np.ascontiguousarray(lattice_to_cells(number).reshape(-1, 4))
    nodes = vectors(x, y, planar).reshape(-1, 3)
    return nodes, np.arange(nodes.shape[0], dtype=np.int32).reshape(-1, x.shape[2])


def first_of_equals(points: np.ndarray) -> np.ndarray:
    """int32 (n,): the first of the points (n, 3) that stand where each one stands; the same to a few millimetres."""
    scale = max(float(np.nanmax(np.abs(points[:, :2]), initial=0.0)), 1e-300)
    there = np.isfinite(points).all(axis=1)
    keys = np.round(np.where(there[:, None], points, 0.0) / scale * 2.0**30).astype(np.int64)
    code = (keys[:, 0] * 1_000_003 + keys[:, 1]) * 1_000_003 + keys[:, 2]
    code = np.where(there, code, np.iinfo(np.int64).min + np.arange(code.size))
    _, first, group = np.unique(code, return_index=True, return_inverse=True)
    return first[group.ravel()].astype(np.int32)


def face_centres(mesh: Mesh) -> tuple[np.ndarray, np.ndarray]:
    """Mean of the corners of each face."""
    points = vectors(mesh.node_x, mesh.node_y, mesh.planar)
    there = (mesh.faces >= 0)[..., None]
    mean = np.where(there, points[mesh.faces], 0.0).sum(axis=1) / there.sum(axis=1)
    return (mean[:, 0], mean[:, 1]) if mesh.planar else sphere.lonlat(mean)


def farthest_corners(centres: np.ndarray, nodes: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Straight distance from each centre to the farthest corner of its cell; the usual one where there is no cell."""
    apart = np.linalg.norm(nodes[faces] - centres[:, None, :], axis=-1)
    out = np.where(faces >= 0, apart, 0.0).max(axis=1)
    good = np.isfinite(out) & (out > 0)
    out[~good] = np.median(out[good]) if good.any() else np.inf
    return out


def longest_edges(nodes: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Longest straight distance from each node to another of its faces.

    Half of it would do inside a mesh; the whole is on the safe side at the rim.
    """
    out = np.zeros(nodes.shape[0])
    for a, b in itertools.combinations(range(faces.shape[1]), 2):
        there = (faces[:, a] >= 0) & (faces[:, b] >= 0)
        i, j = faces[there, a], faces[there, b]
        apart = np.linalg.norm(nodes[i] - nodes[j], axis=1)
        np.maximum.at(out, i, apart)
        np.maximum.at(out, j, apart)
    return out
