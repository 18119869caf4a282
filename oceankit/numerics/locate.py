"""Which cell holds a point, and the bilinear (or barycentric) weights of the cell's corners there."""

import math

import numpy as np

from oceankit.numerics import threads
from oceankit.numerics.cells import Cells, bucket_cells, bucket_of
from oceankit.numerics.compiling import kernel

__all__ = ["bilinear_weights", "cells_of", "tangents"]

# A point outside a cell by this share of the cell's size is still on its edge.
_ON_EDGE = 1e-10


@kernel
def _inverse_bilinear(u, v):
    """Where in the unit square the bilinear map of four corners (u, v) in the plane is zero: Newton from the centre.

    Returns (s, t, converged).
    """
    s = t = 0.5
    for _ in range(50):
        f = (1 - s) * (1 - t) * u[0] + s * (1 - t) * u[1] + s * t * u[2] + (1 - s) * t * u[3]
        g = (1 - s) * (1 - t) * v[0] + s * (1 - t) * v[1] + s * t * v[2] + (1 - s) * t * v[3]
        fs, ft = (1 - t) * (u[1] - u[0]) + t * (u[2] - u[3]), (1 - s) * (u[3] - u[0]) + s * (u[2] - u[1])
        gs, gt = (1 - t) * (v[1] - v[0]) + t * (v[2] - v[3]), (1 - s) * (v[3] - v[0]) + s * (v[2] - v[1])
        det = fs * gt - ft * gs
        if det == 0.0:
            return s, t, False
        ds, dt = (f * gt - g * ft) / det, (g * fs - f * gs) / det
        s, t = s - ds, t - dt
        if abs(ds) + abs(dt) < 1e-14:
            return s, t, True
        if abs(s) + abs(t) > 1e3:
            return s, t, False
    return s, t, abs(ds) + abs(dt) < 1e-10


@kernel
def tangents(p, planar):
    """Two directions across p, at right angles to each other, from the axis that p is least along."""
    if planar:
        return 1.0, 0.0, 0.0, 0.0, 1.0, 0.0
    if abs(p[2]) < 0.9:
        x, y, z = -p[1], p[0], 0.0
    else:
        x, y, z = 0.0, -p[2], p[1]
    size = math.sqrt(x * x + y * y + z * z)
    x, y, z = x / size, y / size, z / size
    return x, y, z, p[1] * z - p[2] * y, p[2] * x - p[0] * z, p[0] * y - p[1] * x


@kernel
def _snapped(share):
    """Within 0..1, and exactly 0 or 1 where rounding left it beside: a point on an edge has no weight off the edge."""
    if share < 1e-12:
        return 0.0
    return 1.0 if share > 1.0 - 1e-12 else share


@kernel
def _beyond_an_edge(u, v):
    """Whether the origin is clearly outside a quadrilateral that is clearly convex: what needs no iteration."""
    area = (u[2] - u[0]) * (v[3] - v[1]) - (u[3] - u[1]) * (v[2] - v[0])
    side = 1.0 if area > 0.0 else -1.0
    least = -1e-6 * abs(area)
    outside, convex = False, True
    for k in range(4):
        a, b, c = k, (k + 1) & 3, (k + 2) & 3
        du, dv = u[b] - u[a], v[b] - v[a]
        outside = outside or side * (u[a] * dv - v[a] * du) < least
        convex = convex and side * (du * (v[c] - v[b]) - dv * (u[c] - u[b])) > -least
    return outside and convex


@kernel
def _project(nodes, faces, f, p, frame, planar, u, v):
    """Corners of face ``f`` on the plane across p; returns how many, 0 where one is too far around the sphere."""
    n, far = 0, False
    while n < faces.shape[1] and faces[f, n] >= 0:
        j = faces[f, n]
        dx, dy, dz = nodes[j, 0] - p[0], nodes[j, 1] - p[1], nodes[j, 2] - p[2]
        far = far or (not planar and dx * dx + dy * dy + dz * dz > 2.0)
        if n < 4:
            u[n], v[n] = dx * frame[0] + dy * frame[1] + dz * frame[2], dx * frame[3] + dy * frame[4] + dz * frame[5]
        n += 1
    return 0 if far else n


@kernel
def _weights_in(u, v, n, weights):
    """Weights of the corners at the origin of their plane; returns how far outside it lies (0 within), inf if undefined.

    A ray through the point and the centre of the sphere meets the bilinear patch of four corners where their projection
    is zero. Three corners give barycentric weights.
    """
    if n == 3:
        total = (u[1] - u[0]) * (v[2] - v[0]) - (u[2] - u[0]) * (v[1] - v[0])
        if total == 0.0:
            return math.inf
        weights[0] = (u[1] * v[2] - u[2] * v[1]) / total
        weights[1] = (u[2] * v[0] - u[0] * v[2]) / total
        weights[2] = 1.0 - weights[0] - weights[1]
        outside = max(0.0, -min(weights[0], min(weights[1], weights[2])))
        weights[0], weights[1], weights[2] = _snapped(weights[0]), _snapped(weights[1]), _snapped(weights[2])
        return outside
    if n != 4 or _beyond_an_edge(u, v):
        return math.inf
    s, t, converged = _inverse_bilinear(u, v)
    if not converged:
        return math.inf
    outside = max(0.0, max(max(-s, s - 1.0), max(-t, t - 1.0)))
    s, t = _snapped(s), _snapped(t)
    weights[0], weights[1], weights[2], weights[3] = (1 - s) * (1 - t), s * (1 - t), s * t, (1 - s) * t
    return outside


@kernel
def _bilinear(points, nodes, faces, planar, origin, first, start, items, wraps, out_nodes, out_weights):
    u, v, weights = np.empty(4), np.empty(4), np.empty(4)
    for i in range(points.shape[0]):
        p = points[i]
        bucket = bucket_of(p[0], p[1], p[2], planar, origin, first, wraps) if p[0] == p[0] else -1
        if bucket < 0:
            continue
        frame = tangents(p, planar)
        best = _ON_EDGE
        found = False
        for k in range(start[bucket], start[bucket + 1]):
            n = _project(nodes, faces, items[k], p, frame, planar, u, v)
            outside = _weights_in(u, v, n, weights)
            # The first of the cells that hold the point (lowest number), or the least bad within rounding.
            if outside < best or (outside == best and not found):
                best, found = outside, True
                total = 0.0
                for j in range(4):
                    if j < n:
                        w = max(weights[j], 0.0)
                        out_nodes[i, j], out_weights[i, j] = faces[items[k], j], w
                        total += w
                    else:
                        out_nodes[i, j], out_weights[i, j] = -1, 0.0
                for j in range(4):
                    out_weights[i, j] /= total
            if found and best == 0.0:
                break


def bilinear_weights(points: np.ndarray, cells: Cells, *, block: int = 4096) -> tuple[np.ndarray, np.ndarray]:
    """Corners and weights, both (n, 4), of the cell that holds each point; -1 and 0 where none does.

    Cells of four corners are bilinear patches through their corners in space, met by the ray through the point;
    cells of three corners are barycentric; others hold no point. Weights are in [0, 1] and add up to one.
    """
    buckets = bucket_cells(cells)
    nodes, weights = np.full((points.shape[0], 4), -1, np.int64), np.zeros((points.shape[0], 4))

    def work(begin: int, end: int) -> None:
        _bilinear(
            points[begin:end], cells.nodes, cells.faces, cells.planar, *buckets, nodes[begin:end], weights[begin:end]
        )

    threads.over_blocks(work, points.shape[0], block=block)
    return nodes, weights


# ---- points in polygons ---------------------------------------------------------------------------------------------


@kernel
def _winds_around(nodes, faces, f, p, frame):
    """How often the edges of face ``f`` go around ``p``: the winding number, from the edges that cross the way out from p.

    Corners are projected straight down on the plane across p, where the direction to a great circle turns as on the
    sphere. What an edge adds is taken away to the last bit by the face on its other side, so of the faces of a mesh one,
    and one only, holds a point on their common edge or corner.
    """
    n = 0
    while n < faces.shape[1] and faces[f, n] >= 0:
        n += 1
    turns = 0
    ua = va = 0.0
    for k in range(-1, n):
        j = faces[f, k if k >= 0 else n - 1]
        dx, dy, dz = nodes[j, 0] - p[0], nodes[j, 1] - p[1], nodes[j, 2] - p[2]
        ub, vb = dx * frame[0] + dy * frame[1] + dz * frame[2], dx * frame[3] + dy * frame[4] + dz * frame[5]
        if k >= 0:
            left = ua * vb - ub * va
            if va <= 0.0 < vb and left > 0.0:
                turns += 1
            elif vb <= 0.0 < va and left < 0.0:
                turns -= 1
        ua, va = ub, vb
    return turns


@kernel
def _cells_of(points, nodes, faces, planar, origin, first, start, items, wraps, out):
    for i in range(points.shape[0]):
        p = points[i]
        out[i] = -1
        bucket = bucket_of(p[0], p[1], p[2], planar, origin, first, wraps) if p[0] == p[0] else -1
        if bucket < 0:
            continue
        frame = tangents(p, planar)
        for k in range(start[bucket], start[bucket + 1]):
            if _winds_around(nodes, faces, items[k], p, frame) != 0:
                out[i] = items[k]
                break


def cells_of(points: np.ndarray, cells: Cells, *, block: int = 4096) -> np.ndarray:
    """The cell that holds each point, int64 (n,); -1 where none does, or the point is NaN.

    Cells may have any shape. Where cells overlap the first of them has the point; a point on an edge or a corner that
    cells have in common is in exactly one of them.
    """
    buckets = bucket_cells(cells)
    out = np.empty(points.shape[0], np.int64)

    def work(begin: int, end: int) -> None:
        _cells_of(points[begin:end], cells.nodes, cells.faces, cells.planar, *buckets, out[begin:end])

    threads.over_blocks(work, points.shape[0], block=block)
    return out
