"""Bilinear and bicubic weights in space, between the centres of curvilinear grids and the nodes or faces of meshes."""

import numpy as np

from oceankit.fields.corners import GridError
from oceankit.fields.dual import patches_of_centres, patches_of_nodes
from oceankit.fields.grid import Grid
from oceankit.numerics import sparse, threads
from oceankit.numerics.cells import Cells
from oceankit.numerics.locate import bilinear_weights
from oceankit.regridding._lattice_kernels import cubic_weights
from oceankit.regridding.operators import Matrix
from oceankit.regridding.weights import OF_A_MESH

__all__ = ["bicubic", "bilinear"]


def bilinear(source: Grid, target: Grid, *, periodic: bool, pole: str | None) -> Matrix:
    """On the patch through four centres in space, met by the ray through the target; barycentric in triangles.

    ``pole="mean"`` closes a polar cap with a virtual point at the pole that has the mean of the last row.
    """
    cells, rings = _cells_of_centres(source, periodic, pole)
    columns, values = bilinear_weights(target.centres(), cells)
    return Matrix(sparse.from_fixed(columns, values, source.size + len(rings)), source.size, rings)


def bicubic(source: Grid, target: Grid, *, periodic: bool, pole: str | None) -> Matrix:
    """Cubic convolution of sixteen centres, in positions as in values.

    The place of a target among the centres is where the cubic surface through *their positions* meets the ray through it,
    so that distorted grids keep their order. Rows and columns go on across the seam and the fold; at open edges the
    parabola through the last three does. Where one of the sixteen is missing, the bilinear weights serve.
    """
    if source.kind != "curvilinear":
        what = "a bare list of points" if source.kind == "points" else "a mesh"
        raise GridError(f"bicubic needs rows and columns, and {what} has none; use method='bilinear' or 'idw'")
    cells, rings = _cells_of_centres(source, periodic, pole)
    centres = target.centres()
    columns, values = bilinear_weights(centres, cells)
    plain = sparse.from_fixed(columns, values, source.size + len(rings))
    number = source.topology.canonical(np.arange(source.size).reshape(source.shape))
    wraps = periodic and number.shape[1] > 2
    stencil_columns, stencil_values, done = _stencils(centres, columns, values, cells.nodes, number, source, wraps)
    # Caps and places whose sixteen centres are not all there keep the weights they have.
    width = stencil_columns.shape[1]
    fallback = np.full((columns.shape[0], width), -1), np.zeros((columns.shape[0], width))
    fallback[0][:, :4], fallback[1][:, :4] = columns, values
    smooth = sparse.from_fixed(
        np.where(done[:, None], stencil_columns, fallback[0]),
        np.where(done[:, None], stencil_values, fallback[1]),
        source.size + len(rings),
    )
    return Matrix(smooth, source.size, rings, plain)


# ---- cells between centres --------------------------------------------------------------------------------------------


def _cells_of_centres(source: Grid, periodic: bool, pole: str | None) -> tuple[Cells, tuple[np.ndarray, ...]]:
    """Cells whose corners are the source's centres, across the seam, the fold and the pole."""
    rings: tuple[np.ndarray, ...] = ()
    if source.kind == "mesh" and source._mesh is not None:
        nodes, mesh = source.centres(), source._mesh
        faces = patches_of_nodes(mesh) if source.location == "node" else patches_of_centres(mesh, nodes)
    elif source.kind == "curvilinear":
        nodes, faces, rings = _lattice_cells(source, periodic, pole)
    else:
        raise GridError(
            "bilinear needs neighbours to interpolate between, and a bare list of points has none; use method='idw' or "
            f"'nearest'{OF_A_MESH}"
        )
    there = np.isfinite(nodes[:, 0] + nodes[:, 1] + nodes[:, 2])
    if not there.all():
        faces = np.where((there[faces] | (faces < 0)).all(axis=1, keepdims=True), faces, -1)
    return Cells(nodes, np.ascontiguousarray(faces, np.int32), np.ones(faces.shape[0], bool), source.planar), rings


def _lattice_cells(
    source: Grid, periodic: bool, pole: str | None
) -> tuple[np.ndarray, np.ndarray, tuple[np.ndarray, ...]]:
    top = source.topology
    number = top.canonical(np.arange(source.size, dtype=np.int32).reshape(source.shape))
    ny, nx = number.shape
    nodes = source.centres()
    wraps = periodic and nx > 2
    beside = np.concatenate([number[:, 1:], number[:, :1]], axis=1) if wraps else number[:, 1:]
    here = number if wraps else number[:, :-1]
    between = np.empty((ny - 1, here.shape[1], 4), np.int32)
    for k, corner in enumerate((here[:-1], beside[:-1], beside[1:], here[1:])):
        between[..., k] = corner
    faces = [between.reshape(-1, 4)]
    rings: list[np.ndarray] = []
    if wraps and top.fold is not None:
        last, over = number[-1], number[-1][top.fold]
        faces.append(np.stack([last, np.roll(last, -1), np.roll(over, -1), over], axis=-1))
    for row in (0, ny - 1):
        ring = nodes[number[row]]
        if not (pole and wraps and np.isfinite(ring).all()) or (row == ny - 1 and top.fold is not None):
            continue
        if _circles_pole(ring, nodes[number[1 if row == 0 else ny - 2]]):
            apex = np.array([0.0, 0.0, np.sign(ring[:, 2].mean())])
            row_and_apex = [number[row], np.roll(number[row], -1), np.full(nx, nodes.shape[0]), np.full(nx, -1)]
            faces.append(np.stack(row_and_apex, axis=-1))
            rings.append(number[row])
            nodes = np.concatenate([nodes, apex[None]])
    return nodes, np.concatenate(faces) if len(faces) > 1 else faces[0], tuple(rings)


def _circles_pole(ring: np.ndarray, inner: np.ndarray) -> bool:
    """Whether a closed row of centres goes once around a pole, no farther from it than its own spacing of rows."""
    lon = np.arctan2(ring[:, 1], ring[:, 0])
    steps = np.diff(np.append(lon, lon[0]))
    turned = (steps - 2 * np.pi * np.round(steps / (2 * np.pi))).sum()
    distance = np.hypot(ring[:, 0], ring[:, 1])
    spacing = np.linalg.norm(ring - inner, axis=1)
    return bool(abs(abs(turned) - 2 * np.pi) < 1e-6 and 0.0 < distance.max() <= 1.01 * spacing.max())


# ---- bicubic ----------------------------------------------------------------------------------------------------------

_MOST = 36


def _stencils(
    centres: np.ndarray, columns: np.ndarray, values: np.ndarray, nodes: np.ndarray, number: np.ndarray, source: Grid, wraps: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:  # fmt: skip
    """Columns and values (targets, 36) of the cubic weights, and whether there are any."""
    place = np.full(nodes.shape[0], -1, np.int64)
    place[number.ravel()] = np.arange(number.size)
    fold = source.topology.fold
    fold = np.full(0, -1) if fold is None or not wraps else fold
    out = np.empty((columns.shape[0], _MOST), np.int64), np.empty((columns.shape[0], _MOST))
    done = np.zeros(columns.shape[0], np.bool_)

    def work(a: int, b: int) -> None:
        cubic_weights(
            centres[a:b], columns[a:b], values[a:b], place, nodes, number, fold, wraps, source.planar,
            out[0][a:b], out[1][a:b], done[a:b],
        )  # fmt: skip

    threads.over_blocks(work, columns.shape[0], block=8192)
    return *out, done
