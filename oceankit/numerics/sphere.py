"""The sphere: unit vectors, distances, areas of polygons, and whether a polygon can be trusted.

Polygons are rows of indices into an array of nodes, counter-clockwise seen from outside, padded with -1.
A plane is treated as the tangent plane z = 1: the same half-space tests serve both, only areas differ.
"""

import math

import numpy as np
from numpy.typing import ArrayLike

from oceankit.numerics import threads
from oceankit.numerics.compiling import kernel

__all__ = [
    "BOW_TIE",
    "EARTH_RADIUS",
    "FLIPPED",
    "GOOD",
    "INCOMPLETE",
    "ZERO_AREA",
    "excess",
    "gather",
    "great_circle_distance",
    "lonlat",
    "orient",
    "parallel_edge_areas",
    "polygon_area",
    "polygon_areas",
    "tangent_frame",
    "tangent_frames",
    "unit_vectors",
]

EARTH_RADIUS = 6_371_000.0
"""Radius of the sphere in metres."""

GOOD, FLIPPED, BOW_TIE, ZERO_AREA, INCOMPLETE = 0, 1, 2, 3, 4
"""What :func:`orient` says of a polygon."""


def unit_vectors(lon: ArrayLike, lat: ArrayLike) -> np.ndarray:
    """Unit vectors, shape (..., 3), of longitudes and latitudes in degrees (broadcast together).

    Examples
    --------
    >>> unit_vectors(90.0, 0.0).round(12).tolist()
    [0.0, 1.0, 0.0]
    """
    lon, lat = np.broadcast_arrays(np.asarray(lon, np.float64), np.asarray(lat, np.float64))
    shape, lon, lat = lon.shape, lon.ravel(), lat.ravel()
    out = np.empty((lon.size, 3))

    def work(begin: int, end: int) -> None:
        _unit_vectors(lon[begin:end], lat[begin:end], out[begin:end])

    threads.over_blocks(work, lon.size, block=16_384)
    return out.reshape(*shape, 3)


@kernel
def _unit_vectors(lon, lat, out):
    for i in range(lon.size):
        # Exact where users expect exactness: a pole is one point, whatever its longitude.
        c = math.cos(math.radians(lat[i])) if abs(lat[i]) < 90.0 else 0.0
        # Reduced first, so that 360 and 0, or 181 and -179, are the same point to the last bit.
        a = lon[i] - 360.0 * math.floor(lon[i] / 360.0)
        out[i, 0] = c * math.cos(math.radians(a))
        out[i, 1] = c * math.sin(math.radians(a))
        out[i, 2] = math.sin(math.radians(lat[i]))


def lonlat(vectors: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Longitude (-180..180) and latitude in degrees of vectors of shape (..., 3)."""
    v = np.asarray(vectors, np.float64)
    return np.degrees(np.arctan2(v[..., 1], v[..., 0])), np.degrees(
        np.arctan2(v[..., 2], np.hypot(v[..., 0], v[..., 1]))
    )


def tangent_frames(points: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """East and north, unit vectors of shape (n, 3), at unit vectors (n, 3): two directions across each point.

    At a pole they are what they are there along the meridian of longitude 0.

    Examples
    --------
    >>> east, north = tangent_frames([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    >>> (east + 0.0).tolist(), (north + 0.0).tolist()
    ([[-1.0, 0.0, 0.0], [0.0, 1.0, 0.0]], [[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0]])
    """
    points = np.ascontiguousarray(points, np.float64)
    east, north = np.empty_like(points), np.empty_like(points)
    _tangent_frames(points, east, north)
    return east, north


@kernel
def tangent_frame(x, y, z):
    """East (two components, the third is 0) and north (three) at a unit vector."""
    across = math.sqrt(x * x + y * y)
    ex, ey = (-y / across, x / across) if across != 0.0 else (0.0, 1.0)
    # north = point x east
    return ex, ey, -z * ey, z * ex, x * ey - y * ex


@kernel
def _tangent_frames(points, east, north):
    for i in range(points.shape[0]):
        ex, ey, nx, ny, nz = tangent_frame(points[i, 0], points[i, 1], points[i, 2])
        east[i, 0], east[i, 1], east[i, 2] = ex, ey, 0.0
        north[i, 0], north[i, 1], north[i, 2] = nx, ny, nz


def great_circle_distance(lon1: ArrayLike, lat1: ArrayLike, lon2: ArrayLike, lat2: ArrayLike) -> np.ndarray:
    """Great-circle distance in km between points in degrees (broadcast together).

    Examples
    --------
    >>> round(float(great_circle_distance(0, 0, 0, 90)), 6) == round(6371 * 3.141592653589793 / 2, 6)
    True
    """
    chord = np.linalg.norm(unit_vectors(lon1, lat1) - unit_vectors(lon2, lat2), axis=-1)
    return 2e-3 * EARTH_RADIUS * np.arcsin(np.clip(chord / 2, 0.0, 1.0))


@kernel
def excess(triple, across):
    """Spherical excess 2 atan(triple / across) of a triangle, steradians.

    ``triple`` is a.(b x c) of its corners and ``across`` |a||b||c| + a.b|c| + b.c|a| + c.a|b| (Eriksson 1990).
    """
    if across != 0.0 and abs(triple) < 0.01 * across:
        # As good to the last bit as the arc tangent, and five times faster.
        t = triple / across
        s = t * t
        return 2.0 * t * (1.0 - s * (1.0 / 3.0 - s * (0.2 - s * (1.0 / 7.0 - s * (1.0 / 9.0)))))
    return 2.0 * math.atan2(triple, across)


@kernel
def polygon_area(polygon, n, planar):
    """Signed area of the polygon in the first ``n`` rows of ``polygon`` (m, 3): a fan from its first corner.

    Steradians on the unit sphere, or squared units on the plane z = 1. Triple products are taken of difference
    vectors, so small polygons keep their digits.
    """
    total = 0.0
    ax, ay, az = polygon[0, 0], polygon[0, 1], polygon[0, 2]
    bx, by, bz = polygon[1, 0], polygon[1, 1], polygon[1, 2]
    ux, uy, uz = bx - ax, by - ay, bz - az
    ab = ax * bx + ay * by + az * bz
    for k in range(2, n):
        cx, cy, cz = polygon[k, 0], polygon[k, 1], polygon[k, 2]
        vx, vy, vz = cx - ax, cy - ay, cz - az
        if planar:
            total += 0.5 * (ux * vy - uy * vx)
        else:
            bc, ca = bx * cx + by * cy + bz * cz, cx * ax + cy * ay + cz * az
            triple = ax * (uy * vz - uz * vy) + ay * (uz * vx - ux * vz) + az * (ux * vy - uy * vx)
            total += excess(triple, 1.0 + ab + bc + ca)
            ab = ca
        bx, by, bz, ux, uy, uz = cx, cy, cz, vx, vy, vz
    return total


@kernel
def _together(x, y, z, px, py, pz):
    apart = (x - px) * (x - px) + (y - py) * (y - py) + (z - pz) * (z - pz)
    return apart <= 1e-26 * (x * x + y * y + z * z)


@kernel
def gather(nodes, faces, i, out):
    """Copy the corners of face ``i`` to ``out``, leaving out repeated ones; returns how many there are.

    Corners a hair apart count as one: an edge of no length has no direction to clip by.
    """
    n = k = 0
    # No way out of the loop but its end: Numba counts references of arrays at each call of a helper that has one.
    while k < faces.shape[1] and faces[i, k] >= 0:
        j = faces[i, k]
        x, y, z = nodes[j, 0], nodes[j, 1], nodes[j, 2]
        if n == 0 or not _together(x, y, z, out[n - 1, 0], out[n - 1, 1], out[n - 1, 2]):
            out[n, 0], out[n, 1], out[n, 2] = x, y, z
            n += 1
        k += 1
    while n > 1 and _together(out[0, 0], out[0, 1], out[0, 2], out[n - 1, 0], out[n - 1, 1], out[n - 1, 2]):
        n -= 1
    return n


@kernel
def polygon_areas(nodes, faces, planar):
    """Signed areas of all faces."""
    out = np.zeros(faces.shape[0])
    corners = np.empty((faces.shape[1], 3))
    for i in range(faces.shape[0]):
        n = gather(nodes, faces, i, corners)
        if n > 2:
            out[i] = polygon_area(corners, n, planar)
    return out


@kernel
def _side(p, a, b, c):
    """On which side of the plane through the origin and corners a and b corner c lies: the triple product a.(b x c)."""
    ux, uy, uz = p[b, 0] - p[a, 0], p[b, 1] - p[a, 1], p[b, 2] - p[a, 2]
    vx, vy, vz = p[c, 0] - p[a, 0], p[c, 1] - p[a, 1], p[c, 2] - p[a, 2]
    return p[a, 0] * (uy * vz - uz * vy) + p[a, 1] * (uz * vx - ux * vz) + p[a, 2] * (ux * vy - uy * vx)


@kernel
def _crosses_itself(p, n):
    """Whether two edges of a polygon that share no corner cross."""
    found = False
    for a in range(n - 2):
        for c in range(a + 2, n if a > 0 else n - 1):
            b, d = a + 1, (c + 1) % n
            if _side(p, a, b, c) * _side(p, a, b, d) < 0.0 and _side(p, c, d, a) * _side(p, c, d, b) < 0.0:
                found = True
    return found


@kernel
def _turns_left(p, n, least):
    """Whether every corner of a polygon turns left by more than ``least``, or as good as straight on where negative."""
    a, b = n - 2, n - 1
    lowest = math.inf
    for c in range(n):
        lowest = min(lowest, _side(p, a, b, c))
        a, b = b, c
    return lowest > least


@kernel
def _reverse(faces, i):
    last = 0
    while last < faces.shape[1] and faces[i, last] >= 0:
        last += 1
    for k in range(last // 2):
        faces[i, k], faces[i, last - 1 - k] = faces[i, last - 1 - k], faces[i, k]


@kernel
def orient(nodes, faces, planar):
    """Make every face counter-clockwise, in place, and say what was found.

    Returns
    -------
    status : int8 array
        GOOD, FLIPPED (was clockwise, is mended), BOW_TIE (crosses itself), ZERO_AREA or INCOMPLETE (a missing corner).
    convex : bool array
    """
    n_faces, width = faces.shape
    status = np.zeros(n_faces, np.int8)
    convex = np.ones(n_faces, np.bool_)
    p = np.empty((width, 3))
    for i in range(n_faces):
        bad = faces[i, 0] < 0
        for k in range(width):
            j = faces[i, k]
            if j >= 0 and nodes[j, 0] != nodes[j, 0]:
                bad = True
        if bad:
            status[i] = INCOMPLETE
            continue
        n = gather(nodes, faces, i, p)
        extent = 0.0
        m = n - 1
        for k in range(n):
            extent += (p[k, 0] - p[m, 0]) ** 2 + (p[k, 1] - p[m, 1]) ** 2 + (p[k, 2] - p[m, 2]) ** 2
            m = k
        # Three or four corners that all turn left leave nothing to be found out.
        if 3 <= n <= 4 and _turns_left(p, n, 1e-11 * extent):
            continue
        if n > 3 and _crosses_itself(p, n):
            status[i] = BOW_TIE
            continue
        area = polygon_area(p, n, planar) if n > 2 else 0.0
        if abs(area) <= 1e-12 * extent or n < 3:
            status[i] = ZERO_AREA
            continue
        if area < 0.0:
            status[i] = FLIPPED
            _reverse(faces, i)
            n = gather(nodes, faces, i, p)
        convex[i] = _turns_left(p, n, -1e-13 * extent)
    return status, convex


@kernel
def parallel_edge_areas(nodes, faces):
    """What to add to great-circle areas (steradians) where edges along a parallel follow that parallel.

    An edge is taken to lie on a parallel when both ends have the same z to 1e-9.
    """
    out = np.zeros(faces.shape[0])
    for i in range(faces.shape[0]):
        n = 0
        while n < faces.shape[1] and faces[i, n] >= 0:
            n += 1
        for k in range(n):
            a, b = nodes[faces[i, k]], nodes[faces[i, (k + 1) % n]]
            if abs(a[2] - b[2]) > 1e-9:
                continue
            z = 0.5 * (a[2] + b[2])
            dlon = math.atan2(a[0] * b[1] - a[1] * b[0], a[0] * b[0] + a[1] * b[1])
            # Area between the equator and the edge, eastward positive: dlon sin(lat) under a parallel,
            # 2 atan(tan(dlon/2) sin(lat)) under a great circle.
            out[i] -= dlon * z - 2.0 * math.atan2(z * math.sin(0.5 * dlon), math.cos(0.5 * dlon))
    return out
