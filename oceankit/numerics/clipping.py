"""What polygons have in common: Sutherland-Hodgman clipping on the planes through the edges of a window.

Polygons are rows of ``work``: ``work[0]`` is the window, ``work[1]`` the subject, the others are scratch. Corners are
differences from a point ``c`` of the window, so that small cells keep their digits wherever they lie; a plane is
treated as the tangent plane z = 1, which the same half-spaces serve.
"""

import numpy as np

from oceankit.numerics.compiling import kernel
from oceankit.numerics.moments import area_of, first_moment

__all__ = ["ALL", "MOST_PLANES", "clip", "common", "planes_of", "room_for", "sides_of"]

MOST_PLANES = 31
"""Windows of more corners than this are clipped against in full."""
ALL = 0x7FFFFFFF
"""Bits of all planes; the last stands for those beyond it too."""

# A corner is on a plane where it is as near as rounding of the corners' coordinates puts it (some ulp).
_ON_PLANE = 1e-15


@kernel
def room_for(most):
    """Rows of ``work[p]`` for polygons of at most ``most`` corners: each edge can leave and enter once at each plane."""
    return most * (2 * most + 1) + 8


@kernel
def planes_of(work, p, m, c, planes):
    """For each edge of polygon ``work[p]`` its plane through the origin, positive on the inside.

    A row of ``planes`` is the normal, what it gives at the edge, and how close to that counts as on the plane.
    """
    for k in range(m):
        j = k + 1 if k + 1 < m else 0
        x, y, z = work[p, k, 0], work[p, k, 1], work[p, k, 2]
        ax, ay, az = c[0] + x, c[1] + y, c[2] + z
        ux, uy, uz = work[p, j, 0] - x, work[p, j, 1] - y, work[p, j, 2] - z
        # a x (b - a): the plane through both corners and the origin, with the digits of the difference.
        nx, ny, nz = ay * uz - az * uy, az * ux - ax * uz, ax * uy - ay * ux
        planes[k, 0], planes[k, 1], planes[k, 2] = nx, ny, nz
        planes[k, 3] = nx * x + ny * y + nz * z
        planes[k, 4] = _ON_PLANE * (
            abs(nx) * max(abs(ax), abs(ax + ux))
            + abs(ny) * max(abs(ay), abs(ay + uy))
            + abs(nz) * max(abs(az), abs(az + uz))
        )


@kernel
def sides_of(nodes, faces, s, t, c, planes, m, whose, codes):
    """On which sides of the planes of window ``t`` cell ``s`` lies: bits that all its corners have, and that any has.

    Bit k of a corner says that it is not inside plane k, bit 32 + k that it is outside (Cohen and Sutherland's outcodes
    with edges apart). Cells that are neighbours share corners: the codes of those seen last are kept.
    """
    every, some = -1, 0
    i = 0
    while i < faces.shape[1] and faces[s, i] >= 0:
        j = faces[s, i]
        at = j & (codes.size - 1)
        if whose[at] != (t << 32 | j):
            x, y, z = nodes[j, 0] - c[0], nodes[j, 1] - c[1], nodes[j, 2] - c[2]
            code = 0
            for k in range(m):
                d = planes[k, 0] * x + planes[k, 1] * y + planes[k, 2] * z - planes[k, 3]
                code |= (int(d <= planes[k, 4]) | int(d < -planes[k, 4]) << 32) << k
            whose[at], codes[at] = t << 32 | j, code
        every, some = every & codes[at], some | codes[at]
        i += 1
    return every, some


@kernel
def _cut(work, p, n, planes, k, q):
    """What of polygon ``work[p]`` is on the inner side of plane ``k``, to ``work[q]``; returns how many corners that has."""
    nx, ny, nz, offset, tolerance = planes[k, 0], planes[k, 1], planes[k, 2], planes[k, 3], planes[k, 4]
    px, py, pz = work[p, n - 1, 0], work[p, n - 1, 1], work[p, n - 1, 2]
    before = nx * px + ny * py + nz * pz - offset
    if abs(before) <= tolerance:
        before = 0.0
    out = 0
    for i in range(n):
        x, y, z = work[p, i, 0], work[p, i, 1], work[p, i, 2]
        here = nx * x + ny * y + nz * z - offset
        if abs(here) <= tolerance:
            here = 0.0
        gap = before - here
        if before * here < 0.0 and gap != 0.0:
            # On the chord: which point of its ray it is makes no difference to planes through the origin.
            t = before / gap
            work[q, out, 0], work[q, out, 1], work[q, out, 2] = px + t * (x - px), py + t * (y - py), pz + t * (z - pz)
            out += 1
        if here >= 0.0:
            work[q, out, 0], work[q, out, 1], work[q, out, 2] = x, y, z
            out += 1
        px, py, pz, before = x, y, z, here
    return out if out > 2 else 0


@kernel
def clip(work, p, n, planes, m, crossed):
    """Clip polygon ``work[p]`` by the planes of which ``crossed`` has the bit; returns (corners left, where they are).

    A polygon that is not convex keeps its area, joined by edges of no width.
    """
    q = p
    k = np.int64(0)
    while k < m and n > 0:
        if (crossed >> min(k, MOST_PLANES - 1)) & 1:
            to = np.int64(2 if q != 2 else 3)
            n = _cut(work, q, n, planes, k, to)
            q = to
        k += 1
    return n, q


@kernel
def _measure(work, p, n, c, frame, planar, moments, seen):
    """Area of polygon ``work[p]`` and, where asked for, its first moment along the axes of ``frame``."""
    area = east = north = 0.0
    if n > 0:
        area = area_of(work, p, n, c, planar)
        if moments is not None:
            east, north, _ = first_moment(work, p, n, c, frame, planar, seen)
    return area, east, north


@kernel
def common(work, n, subject_convex, m, c, planes, frame, planar, moments, seen):
    """What the subject and a window that is not convex have in common: area and first moment."""
    # Plain numbers as arguments would be types to Numba, and the helpers compiled for each of them.
    window, subject, part, every = np.int64(0), np.int64(1), np.int64(4), np.int64(ALL)
    area = east = north = 0.0
    if subject_convex:
        planes_of(work, subject, n, c, planes)
        left, p = clip(work, window, m, planes, n, every)
        area, east, north = _measure(work, p, left, c, frame, planar, moments, seen)
    else:
        # The signed sum of the window's fan of triangles.
        corners = np.int64(3)
        for k in range(1, m - 1):
            for d in range(3):
                work[part, 0, d], work[part, 1, d], work[part, 2, d] = work[0, 0, d], work[0, k, d], work[0, k + 1, d]
            sign = 1.0
            if area_of(work, part, corners, c, planar) < 0.0:
                sign = -1.0
                for d in range(3):
                    work[part, 1, d], work[part, 2, d] = work[part, 2, d], work[part, 1, d]
            planes_of(work, part, corners, c, planes)
            left, p = clip(work, subject, n, planes, corners, every)
            a, e, v = _measure(work, p, left, c, frame, planar, moments, seen)
            area, east, north = area + sign * a, east + sign * e, north + sign * v
    return area, east, north
