"""Meshes made of points: as UGRID datasets, so that a test reads them as a user would."""

import numpy as np
import xarray as xr
from scipy.spatial import ConvexHull, Delaunay

from oceankit.numerics import sphere


def ugrid(x: np.ndarray, y: np.ndarray, faces: np.ndarray, *, planar: bool = False) -> xr.Dataset:
    """A UGRID-1.0 dataset of nodes (degrees, or x and y on a plane) and faces (n, corners), padded with -1."""
    names = ("projection_x_coordinate", "projection_y_coordinate") if planar else ("longitude", "latitude")
    units = ("m", "m") if planar else ("degrees_east", "degrees_north")
    topology = {
        "cf_role": "mesh_topology", "topology_dimension": 2, "node_coordinates": "node_x node_y",
        "face_node_connectivity": "face_nodes", "face_dimension": "face",
    }  # fmt: skip
    return xr.Dataset(
        {
            "mesh": ((), 0, topology),
            "face_nodes": (("face", "corner"), np.asarray(faces, np.int32),
                           {"cf_role": "face_node_connectivity", "start_index": 0, "_FillValue": -1}),
        },
        coords={
            "node_x": ("node", x, {"standard_name": names[0], "units": units[0]}),
            "node_y": ("node", y, {"standard_name": names[1], "units": units[1]}),
        },
    )  # fmt: skip


def spiral(n: int) -> np.ndarray:
    """Unit vectors (n, 3), evenly spread (Gonzalez 2010)."""
    i = np.arange(n) + 0.5
    z, turn = 1 - 2 * i / n, np.pi * (1 + 5**0.5) * i
    return np.stack([np.sqrt(1 - z * z) * np.cos(turn), np.sqrt(1 - z * z) * np.sin(turn), z], axis=1)


def on_sphere(n: int, *, jitter: float = 0.3, seed: int = 0) -> xr.Dataset:
    """The Delaunay triangulation of ``n`` points all over the sphere, moved by ``jitter`` of their spacing."""
    points = spiral(n) + np.random.default_rng(seed).normal(size=(n, 3)) * jitter / np.sqrt(n)
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    return ugrid(*sphere.lonlat(points), ConvexHull(points).simplices)


def icosahedral(level: int) -> xr.Dataset:
    """The icosahedron, its triangles cut in four ``level`` times."""
    points = np.array([[0, 1, g] for g in (1.618033988749895, -1.618033988749895)])
    points = np.concatenate([points, -points])
    points = np.concatenate([np.roll(points, k, axis=1) for k in range(3)])
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    faces = ConvexHull(points).simplices
    for _ in range(level):
        edges, at = np.unique(
            np.sort(faces[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), axis=1), axis=0, return_inverse=True
        )
        middles = points[edges].sum(axis=1)
        a, b, c = (at.reshape(-1, 3) + len(points)).T
        points = np.concatenate([points, middles / np.linalg.norm(middles, axis=1, keepdims=True)])
        p, q, r = faces.T
        faces = np.concatenate([np.stack(t, axis=1) for t in ((p, a, c), (a, q, b), (c, b, r), (a, b, c))])
    return ugrid(*sphere.lonlat(points), faces)


def on_plane(n: int, *, holes: int = 0, seed: int = 0) -> xr.Dataset:
    """The Delaunay triangulation of ``n`` points within the unit square, less ``holes`` of its faces."""
    rng = np.random.default_rng(seed)
    edge = np.linspace(0, 1, max(int(np.sqrt(n)), 3))
    rim = [
        np.stack(p, axis=1) for p in ((edge, 0 * edge), (edge, 0 * edge + 1), (0 * edge, edge), (0 * edge + 1, edge))
    ]
    points = np.unique(np.concatenate([*rim, rng.uniform(0.02, 0.98, (n, 2))]), axis=0)
    faces = Delaunay(points).simplices
    faces = np.delete(faces, rng.choice(len(faces), holes, replace=False), axis=0)
    # In no order, and half of them clockwise.
    faces = rng.permuted(faces, axis=1)
    return ugrid(points[:, 0], points[:, 1], faces, planar=True)


def quads(nx: int, ny: int) -> xr.Dataset:
    """Sheared quadrangles on a plane, every third cut into two triangles."""
    j, i = np.mgrid[: ny + 1, : nx + 1].astype(float)
    number = np.arange((nx + 1) * (ny + 1)).reshape(ny + 1, nx + 1)
    rows = []
    for k, (a, b, c, d) in enumerate(
        zip(
            number[:-1, :-1].ravel(),
            number[:-1, 1:].ravel(),
            number[1:, 1:].ravel(),
            number[1:, :-1].ravel(),
            strict=True,
        )
    ):
        rows += [(a, b, c, -1), (a, c, d, -1)] if k % 3 == 0 else [(a, b, c, d)]
    return ugrid((i + 0.3 * j + 0.2 * np.sin(j)).ravel(), (j + 0.1 * np.cos(i)).ravel(), np.array(rows), planar=True)
