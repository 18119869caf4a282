"""Bilinear and bicubic weights in space, between the centres of curvilinear grids and the nodes or faces of meshes."""

import math

import numpy as np

from oceankit.fields.corners import GridError
from oceankit.fields.dual import patches_of_centres, patches_of_nodes
from oceankit.fields.grid import Grid
from oceankit.numerics import sparse, threads
from oceankit.numerics.cells import Cells
from oceankit.numerics.compiling import kernel
from oceankit.numerics.locate import bilinear_weights, tangents
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
    there = np.isfinite(nodes).all(axis=1)
    faces = np.where((there[faces] | (faces < 0)).all(axis=1, keepdims=True), faces, -1)
    return Cells(nodes, np.ascontiguousarray(faces, np.int32), np.ones(faces.shape[0], bool), source.planar), rings


def _lattice_cells(
    source: Grid, periodic: bool, pole: str | None
) -> tuple[np.ndarray, np.ndarray, tuple[np.ndarray, ...]]:
    top = source.topology
    number = top.canonical(np.arange(source.size).reshape(source.shape))
    ny, nx = number.shape
    nodes = source.centres()
    wraps = periodic and nx > 2
    beside = np.concatenate([number[:, 1:], number[:, :1]], axis=1) if wraps else number[:, 1:]
    here = number if wraps else number[:, :-1]
    faces = [np.stack([here[:-1], beside[:-1], beside[1:], here[1:]], axis=-1).reshape(-1, 4)]
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
    return nodes, np.concatenate(faces), tuple(rings)


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
        _cubic_weights(
            centres[a:b], columns[a:b], values[a:b], place, nodes, number, fold, wraps, source.planar,
            out[0][a:b], out[1][a:b], done[a:b],
        )  # fmt: skip

    threads.over_blocks(work, columns.shape[0], block=8192)
    return *out, done


@kernel
def _convolution(t, w, dw):
    """Weights of four equally spaced nodes at t between the middle two, and their derivatives (Keys 1981)."""
    w[0] = ((-0.5 * t + 1.0) * t - 0.5) * t
    w[1] = (1.5 * t - 2.5) * t * t + 1.0
    w[2] = ((-1.5 * t + 2.0) * t + 0.5) * t
    w[3] = (0.5 * t - 0.5) * t * t
    dw[0] = (-1.5 * t + 2.0) * t - 0.5
    dw[1] = (4.5 * t - 5.0) * t
    dw[2] = (-4.5 * t + 4.0) * t + 0.5
    dw[3] = (1.5 * t - 1.0) * t


@kernel
def _inward(k, n, closed, at, share):
    """The up to three rows (or columns) that stand for number k, and their shares: itself, or a parabola beyond an edge."""
    if closed or 0 <= k < n:
        at[0], share[0] = k, 1.0
        return 1
    edge, step = (0, 1) if k < 0 else (n - 1, -1)
    for m in range(3):
        at[m] = edge + m * step
    share[0], share[1], share[2] = 3.0, -3.0, 1.0
    return 3


@kernel
def _gather(j, i, ny, nx, number, fold, wraps, cells, shares):
    """Source cells and shares (16, up to 9 each) of the stencil around the cell whose lower left centre is (j, i)."""
    row, row_share = np.empty(3, np.int64), np.empty(3)
    column, column_share = np.empty(3, np.int64), np.empty(3)
    cells[:, :] = -1
    for b in range(4):
        n_rows = _inward(j - 1 + b, ny, fold.size > 0 and j - 1 + b >= ny, row, row_share)
        for a in range(4):
            n_columns = _inward(i - 1 + a, nx, wraps, column, column_share)
            for m in range(n_rows):
                for k in range(n_columns):
                    r, c = row[m], column[k] % nx
                    if r >= ny:
                        r, c = 2 * ny - 1 - r, fold[c]
                    cells[4 * b + a, 3 * m + k] = number[r, c]
                    shares[4 * b + a, 3 * m + k] = row_share[m] * column_share[k]


@kernel
def _cubic_weights(points, columns, values, place, nodes, number, fold, wraps, planar, out_columns, out_values, done):
    ny, nx = number.shape
    cells, shares = np.empty((16, 9), np.int64), np.empty((16, 9))
    where = np.empty((16, 2))
    ws, wt, ds, dt = np.empty(4), np.empty(4), np.empty(4), np.empty(4)
    for p in range(points.shape[0]):
        out_columns[p, :] = -1
        if columns[p, 0] < 0 or columns[p, 3] < 0 or place[columns[p, 0]] < 0 or ny < 3 or nx < 3:
            continue
        j, i = divmod(place[columns[p, 0]], nx)
        s, t = values[p, 1] + values[p, 2], values[p, 2] + values[p, 3]
        _gather(j, i, ny, nx, number, fold, wraps, cells, shares)
        x1, y1, z1, x2, y2, z2 = tangents(points[p], planar)
        usable = True
        for q in range(16):
            where[q, :] = 0.0
            for m in range(9):
                if cells[q, m] >= 0:
                    x, y, z = nodes[cells[q, m], 0], nodes[cells[q, m], 1], nodes[cells[q, m], 2]
                    usable = usable and x == x
                    dx, dy, dz = x - points[p, 0], y - points[p, 1], z - points[p, 2]
                    where[q, 0] += shares[q, m] * (dx * x1 + dy * y1 + dz * z1)
                    where[q, 1] += shares[q, m] * (dx * x2 + dy * y2 + dz * z2)
        if not usable:
            continue
        converged = False
        for _ in range(20):
            _convolution(s, ws, ds)
            _convolution(t, wt, dt)
            f = g = fs = gs = ft = gt = 0.0
            for b in range(4):
                for a in range(4):
                    u, v = where[4 * b + a, 0], where[4 * b + a, 1]
                    f, g = f + wt[b] * ws[a] * u, g + wt[b] * ws[a] * v
                    fs, gs = fs + wt[b] * ds[a] * u, gs + wt[b] * ds[a] * v
                    ft, gt = ft + dt[b] * ws[a] * u, gt + dt[b] * ws[a] * v
            det = fs * gt - ft * gs
            if det == 0.0 or not math.isfinite(det):
                break
            a, b = (f * gt - g * ft) / det, (g * fs - f * gs) / det
            s, t = s - a, t - b
            if abs(a) + abs(b) < 1e-13:
                converged = True
                break
        # Far outside the bilinear cell the surface is folded: such a place keeps its bilinear weights.
        if not converged or max(abs(s - 0.5), abs(t - 0.5)) > 0.75:
            continue
        # On a line between centres those off it have no weight, and must not be missed where they are missing.
        s = s if abs(s - round(s)) > 1e-10 else float(round(s))
        t = t if abs(t - round(t)) > 1e-10 else float(round(t))
        _convolution(s, ws, ds)
        _convolution(t, wt, dt)
        done[p] = _collect(cells, shares, ws, wt, out_columns[p], out_values[p])


@kernel
def _collect(cells, shares, ws, wt, columns, values):
    """Weights of the sixteen, those of the same cell added up; false where there is no room."""
    n = 0
    for q in range(16):
        w = wt[q // 4] * ws[q % 4]
        for m in range(9):
            if cells[q, m] < 0 or w == 0.0:
                continue
            at = 0
            while at < n and columns[at] != cells[q, m]:
                at += 1
            if at == columns.size:
                return False
            if at == n:
                columns[n], values[n] = cells[q, m], 0.0
                n += 1
            values[at] += w * shares[q, m]
    return True
