"""Integrals over cells and parts of cells: area, first moment, centroid.

A polygon is the first ``n`` rows of ``work[p]``: differences from a point ``c``, so that small polygons keep their
digits, along rays of any length on the sphere.
"""

import math

import numpy as np

from oceankit.numerics import threads
from oceankit.numerics.cells import Cells
from oceankit.numerics.compiling import kernel
from oceankit.numerics.sphere import excess, gather, polygon_areas, tangent_frame

__all__ = ["area_of", "areas", "centroids", "first_moment", "frame_of"]


@kernel
def area_of(work, p, n, c, planar):
    """Signed area of a polygon: a fan from its first corner."""
    total = 0.0
    ox, oy, oz = work[p, 0, 0], work[p, 0, 1], work[p, 0, 2]
    ux, uy, uz = work[p, 1, 0] - ox, work[p, 1, 1] - oy, work[p, 1, 2] - oz
    ax, ay, az = c[0] + ox, c[1] + oy, c[2] + oz
    bx, by, bz = ax + ux, ay + uy, az + uz
    aa, bb = math.sqrt(ax * ax + ay * ay + az * az), math.sqrt(bx * bx + by * by + bz * bz)
    ab = ax * bx + ay * by + az * bz
    for k in range(2, n):
        vx, vy, vz = work[p, k, 0] - ox, work[p, k, 1] - oy, work[p, k, 2] - oz
        if planar:
            total += 0.5 * (ux * vy - uy * vx)
        else:
            x, y, z = ax + vx, ay + vy, az + vz
            cc = math.sqrt(x * x + y * y + z * z)
            bc, ca = bx * x + by * y + bz * z, ax * x + ay * y + az * z
            triple = ax * (uy * vz - uz * vy) + ay * (uz * vx - ux * vz) + az * (ux * vy - uy * vx)
            total += excess(triple, aa * bb * cc + ab * cc + bc * aa + ca * bb)
            bx, by, bz, bb, ab = x, y, z, cc, ca
        ux, uy, uz = vx, vy, vz
    return total


@kernel
def _set_frame(frame, x, y, z, planar):
    """East, north (x and y on a plane) and the point itself, as the rows of ``frame``."""
    ex, ey, nx, ny, nz = 1.0, 0.0, 0.0, 1.0, 0.0
    if not planar:
        ex, ey, nx, ny, nz = tangent_frame(x, y, z)
    frame[0, 0], frame[0, 1], frame[0, 2] = ex, ey, 0.0
    frame[1, 0], frame[1, 1], frame[1, 2] = nx, ny, nz
    frame[2, 0], frame[2, 1], frame[2, 2] = x, y, z


@kernel
def first_moment(work, p, n, c, frame, planar, seen):
    """Integral of the position over a polygon, from the point of ``frame`` and along its axes; ``seen`` is scratch.

    On the sphere it is half the sum over the edges of their angle times the unit normal of their plane. Seen from the
    centre of the sphere on the plane that touches it at the frame's point, that is a sum of products of an edge's
    step and angle / |normal|; steps around a polygon add up to nothing, so 1 is taken from the latter before
    it costs digits, and what is left is as small as the moment itself.
    """
    nearest = math.inf
    for k in range(n):
        x, y, z = (
            c[0] - frame[2, 0] + work[p, k, 0],
            c[1] - frame[2, 1] + work[p, k, 1],
            c[2] - frame[2, 2] + work[p, k, 2],
        )
        seen[k, 0] = x * frame[0, 0] + y * frame[0, 1] + z * frame[0, 2]
        seen[k, 1] = x * frame[1, 0] + y * frame[1, 1] + z * frame[1, 2]
        seen[k, 2] = 1.0 if planar else 1.0 + x * frame[2, 0] + y * frame[2, 1] + z * frame[2, 2]
        nearest = min(nearest, seen[k, 2])
    east = north = up = 0.0
    # A cell that reaches over 80 degrees from its centre cannot be seen so, and has digits to spare.
    vast = nearest < 0.17
    if not vast:
        for k in range(n):
            seen[k, 0], seen[k, 1], seen[k, 2] = seen[k, 0] / seen[k, 2], seen[k, 1] / seen[k, 2], 1.0
    px, py, pz = seen[n - 1, 0], seen[n - 1, 1], seen[n - 1, 2]
    for k in range(n):
        x, y, z = seen[k, 0], seen[k, 1], seen[k, 2]
        nx, ny, nz = py * z - pz * y, pz * x - px * z, px * y - py * x
        if planar:
            east, north, up = east + nz * (px + x) / 3.0, north + nz * (py + y) / 3.0, up + nz
        else:
            less = _angle_over_sine(nx * nx + ny * ny + nz * nz, px * x + py * y, pz * z, vast)
            east, north = east + nx * less, north + ny * less
            up += nz * less if vast else nz + nz * less
        px, py, pz = x, y, z
    return 0.5 * east, 0.5 * north, 0.5 * up


@kernel
def _angle_over_sine(square, flat, upright, whole):
    """Angle between two vectors over the length of their cross product, less 1 unless ``whole``.

    ``square`` is that of their cross product, ``flat + upright`` their scalar product and ``upright`` 1 unless whole.
    """
    along = upright + flat
    t = square / (along * along) if along > 0.0 else 1.0
    if t < 0.01 and along > 0.0 and not whole:
        series = 1.0 / 7.0 - t * (1.0 / 9.0 - t * (1.0 / 11.0 - t * (1.0 / 13.0 - t * (1.0 / 15.0))))
        return -(flat + t * (1.0 / 3.0 - t * (0.2 - t * series))) / along
    size = math.sqrt(square)
    ratio = math.atan2(size, along) / size if size != 0.0 else 1.0
    return ratio if whole else ratio - 1.0


@kernel
def frame_of(nodes, faces, i, planar, corners, work, p, seen, c, frame):
    """Set ``frame`` at the centre of mass of a cell; the other arrays are scratch."""
    n = gather(nodes, faces, i, corners)
    c[0] = c[1] = c[2] = 0.0
    for k in range(n):
        c[0], c[1], c[2] = c[0] + corners[k, 0], c[1] + corners[k, 1], c[2] + corners[k, 2]
    size = float(n) if planar else math.sqrt(c[0] * c[0] + c[1] * c[1] + c[2] * c[2])
    size = 1.0 / size if size != 0.0 else 1.0
    c[0], c[1], c[2] = c[0] * size, c[1] * size, c[2] * size
    for k in range(n):
        work[p, k, 0], work[p, k, 1], work[p, k, 2] = corners[k, 0] - c[0], corners[k, 1] - c[1], corners[k, 2] - c[2]
    _set_frame(frame, c[0], c[1], c[2], planar)
    x, y, up = first_moment(work, p, n, c, frame, planar, seen)
    # On the sphere the mean position lies below it: its direction is the centre.
    x, y = (x / up, y / up) if up != 0.0 else (0.0, 0.0)
    size = 1.0 if planar else 1.0 / math.sqrt(1.0 + x * x + y * y)
    for d in range(3):
        c[d] = (frame[2, d] + x * frame[0, d] + y * frame[1, d]) * size
    _set_frame(frame, c[0], c[1], c[2], planar)


@kernel
def _centroids(nodes, faces, planar, out):
    width = faces.shape[1]
    corners, work, seen = np.empty((width, 3)), np.empty((1, width, 3)), np.empty((width, 3))
    c, frame = np.empty(3), np.empty((3, 3))
    p = np.int64(0)
    for i in range(faces.shape[0]):
        out[i, 0] = out[i, 1] = out[i, 2] = np.nan
        if faces[i, 0] >= 0:
            frame_of(nodes, faces, i, planar, corners, work, p, seen, c, frame)
            out[i, 0], out[i, 1], out[i, 2] = frame[2, 0], frame[2, 1], frame[2, 2]


def areas(cells: Cells, *, block: int = 8192) -> np.ndarray:
    """Area of each cell (n,): steradians, or squared units on a plane; 0 where there is no cell."""
    out = np.empty(cells.faces.shape[0])

    def work(begin: int, end: int) -> None:
        out[begin:end] = polygon_areas(cells.nodes, cells.faces[begin:end], cells.planar)

    threads.over_blocks(work, out.size, block=block)
    return out


def centroids(cells: Cells, *, block: int = 8192) -> np.ndarray:
    """Centre of mass of each cell (n, 3), put on the sphere; (x, y, 1) on a plane. NaN where there is no cell."""
    out = np.empty((cells.faces.shape[0], 3))

    def work(begin: int, end: int) -> None:
        _centroids(cells.nodes, cells.faces[begin:end], cells.planar, out[begin:end])

    threads.over_blocks(work, len(out), block=block)
    return out
