"""Areas of overlap of polygons with boxes between two parallels and two meridians.

Edges of polygons are great circles. A meridian is one too, so a polygon is cut there as everywhere; a parallel
is not, so what is cut there gets an edge that is marked as part of it, and the area between the two kinds of edge is added.
"""

import math

import numpy as np

from oceankit.numerics import threads
from oceankit.numerics.cells import Cells
from oceankit.numerics.compiling import kernel
from oceankit.numerics.sphere import gather, polygon_area

__all__ = ["Boxes", "box_overlaps"]

# Slivers below this share of a box are the noise of cutting.
_SLIVER = 1e-14
_ON_EDGE = 1e-15


class Boxes:
    """Boxes between the bounds of two axes: degrees east (n, 2) and degrees north (m, 2), in any order.

    Attributes
    ----------
    lon, z : float64 (n, 2), (m, 2)
        Rising bounds in the order of the western and southern ones: radians, and sines of latitude.
    columns, rows : int64
        Where these stand in the axes as given.
    areas : float64 (m, n)
        Steradians, in the order given.
    """

    def __init__(self, lon: np.ndarray, lat: np.ndarray):
        west_east, south_north = np.sort(np.radians(lon), axis=1), np.sort(np.sin(np.radians(lat)), axis=1)
        turns = 2 * np.pi * np.floor(west_east[:, :1] / (2 * np.pi))
        west_east = west_east - turns
        self.areas = np.diff(south_north, axis=1) * np.diff(west_east, axis=1)[:, 0]
        self.columns, self.rows = (
            np.argsort(west_east[:, 0], kind="stable"),
            np.argsort(south_north[:, 0], kind="stable"),
        )
        self.lon = np.ascontiguousarray(west_east[self.columns])
        self.z = np.ascontiguousarray(south_north[self.rows])


def box_overlaps(boxes: Boxes, cells: Cells, *, block: int = 4096) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Overlaps of boxes (narrower than 180 degrees) with cells.

    Returns
    -------
    box, cell : int64
        Flat place of the box, and number of the cell, of each overlap; cells in ascending order.
    area : float64
        Steradians.
    """

    def work(begin: int, end: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        room = 16 * (end - begin)
        found = []
        while begin < end:
            place, number, area = np.empty((room, 2), np.int64), np.empty(room, np.int64), np.empty(room)
            used, after = _overlaps(cells.nodes, cells.faces, boxes.lon, boxes.z, begin, end, place, number, area)
            found.append((place[:used].copy(), number[:used].copy(), area[:used].copy()))
            room = 4 * room if after == begin else room
            begin = after
        return tuple(np.concatenate(part) for part in zip(*found, strict=True))  # type: ignore[return-value]

    parts = threads.over_blocks(work, cells.faces.shape[0], block=block)
    place, number, area = (np.concatenate(part) for part in zip(*parts, strict=True))
    return boxes.rows[place[:, 0]] * boxes.columns.size + boxes.columns[place[:, 1]], number, area


@kernel
def _overlaps(nodes, faces, lon, z, begin, end, place, number, area):
    """Overlaps of cells begin..end as long as there is room; returns how many, and the next cell."""
    most = faces.shape[1]
    room = 3 * most + 16
    corners = np.empty((room, 3))
    one, two = np.empty((room, 3)), np.empty((room, 3))
    strip, marks, others = np.empty((room, 3)), np.zeros(room, np.bool_), np.zeros(room, np.bool_)
    used = 0
    for s in range(begin, end):
        before = used
        n = gather(nodes, faces, s, corners)
        if n < 3:
            continue
        west, east, low, high = _extent(corners, n)
        for turn in range(-1, 3):
            shift = 2.0 * math.pi * turn
            for i in range(np.searchsorted(lon[:, 1], west + shift), lon.shape[0]):
                if lon[i, 0] > east + shift:
                    break
                # A ring of 360 degrees meets each meridian once only.
                if east - west > 6.28 and turn != 0:
                    break
                m = _cut_meridian(corners, n, lon[i, 0], 1.0, one)
                m = _cut_meridian(one, m, lon[i, 1], -1.0, strip)
                if m < 3:
                    continue
                for j in range(np.searchsorted(z[:, 1], low), z.shape[0]):
                    if z[j, 0] > high:
                        break
                    marks[:m] = False
                    k = (
                        _cut_parallel(strip, marks, m, z[j, 0], 1.0, one, others)
                        if z[j, 0] > -1.0
                        else _copy(strip, marks, m, one, others)
                    )
                    k = (
                        _cut_parallel(one, others, k, z[j, 1], -1.0, two, marks)
                        if z[j, 1] < 1.0
                        else _copy(one, others, k, two, marks)
                    )
                    if k < 2:
                        continue
                    common = _area(two, marks, k)
                    if common > _SLIVER * (z[j, 1] - z[j, 0]) * (lon[i, 1] - lon[i, 0]):
                        if used == area.size:
                            return before, s
                        place[used, 0], place[used, 1], number[used], area[used] = j, i, s, common
                        used += 1
    return used, end


@kernel
def _extent(p, n):
    """Western and eastern longitude (radians, unwrapped from 0..2 pi), lowest and highest z of a polygon."""
    low, high = math.inf, -math.inf
    west = east = here = turned = middle = 0.0
    started = False
    for k in range(n + 1):
        a, b = p[k % n], p[(k + 1) % n]
        if k < n:
            low, high = min(low, a[2]), max(high, a[2])
            middle += a[2]
            nx, ny, nz = a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]
            at_a, at_b = nx * a[1] - ny * a[0], nx * b[1] - ny * b[0]
            if at_a * at_b < 0.0:
                apex = math.sqrt((nx * nx + ny * ny) / (nx * nx + ny * ny + nz * nz))
                low, high = (low, max(high, apex)) if at_a > 0.0 else (min(low, -apex), high)
        if a[0] * a[0] + a[1] * a[1] < 1e-30:
            continue
        here_now = math.atan2(a[1], a[0])
        if not started:
            started, west, east, here = True, here_now, here_now, here_now
            continue
        step = here_now - here
        step -= 2.0 * math.pi * math.floor(step / (2.0 * math.pi) + 0.5)
        here, turned = here + step, turned + step
        if k < n:
            west, east = min(west, here), max(east, here)
    if abs(turned) > 3.0:
        low, high = (low, 1.0) if middle > 0.0 else (-1.0, high)
        west, east = 0.0, 2.0 * math.pi
    # A hair wider, so that nothing beside a box is missed by rounding.
    return west - 1e-12, east + 1e-12, low - 1e-14, high + 1e-14


@kernel
def _copy(p, marks, n, q, others):
    for k in range(n):
        q[k, 0], q[k, 1], q[k, 2], others[k] = p[k, 0], p[k, 1], p[k, 2], marks[k]
    return n


@kernel
def _cut_meridian(p, n, lon, sign, q):
    """Keep what lies east (``sign`` 1) or west (-1) of a meridian, by the plane through it and the axis."""
    a, b = -math.sin(lon) * sign, math.cos(lon) * sign
    out = 0
    for k in range(n):
        m = (k + 1) % n
        here, there = a * p[k, 0] + b * p[k, 1], a * p[m, 0] + b * p[m, 1]
        here = 0.0 if abs(here) < _ON_EDGE else here
        there = 0.0 if abs(there) < _ON_EDGE else there
        if here >= 0.0:
            q[out, 0], q[out, 1], q[out, 2] = p[k, 0], p[k, 1], p[k, 2]
            out += 1
        if here * there < 0.0:
            _between(p[k], p[m], here / (here - there), q[out])
            out += 1
    return out


@kernel
def _between(a, b, t, q):
    """The point of the great circle at share t of the chord."""
    x, y, z = a[0] + t * (b[0] - a[0]), a[1] + t * (b[1] - a[1]), a[2] + t * (b[2] - a[2])
    size = math.sqrt(x * x + y * y + z * z)
    q[0], q[1], q[2] = x / size, y / size, z / size


@kernel
def _roots(a, b, z):
    """Shares of the chord from a to b where its great circle meets the parallel of sine z, the lower first.

    On the chord, (za + t dz)^2 = z^2 |a + t d|^2. Squaring adds the parallel of the other hemisphere; shares outside 0..1
    and those are given as 2.
    """
    if z == 0.0:
        return (a[2] / (a[2] - b[2]) if a[2] * b[2] < 0.0 else 2.0), 2.0
    dx, dy, dz = b[0] - a[0], b[1] - a[1], b[2] - a[2]
    dd, ad = dx * dx + dy * dy + dz * dz, a[0] * dx + a[1] * dy + a[2] * dz
    qa, qb, qc = dz * dz - z * z * dd, 2.0 * (a[2] * dz - z * z * ad), (a[2] - z) * (a[2] + z)
    root = qb * qb - 4.0 * qa * qc
    if root < 0.0:
        return 2.0, 2.0
    r = -0.5 * (qb + math.copysign(math.sqrt(root), qb))
    first, second = r / qa if qa != 0.0 else 2.0, qc / r if r != 0.0 else 2.0
    first = first if 0.0 < first < 1.0 and (a[2] + first * dz) * z > 0.0 else 2.0
    second = second if 0.0 < second < 1.0 and (a[2] + second * dz) * z > 0.0 else 2.0
    return min(first, second), max(first, second)


@kernel
def _cut_parallel(p, marks, n, z, sign, q, others):
    """Keep what lies north (``sign`` 1) or south (-1) of a parallel; edges along it are marked in ``others``."""
    out = 0
    for k in range(n):
        a, b = p[k], p[(k + 1) % n]
        here, there = sign * (a[2] - z), sign * (b[2] - z)
        at_a, at_b = abs(here) <= _ON_EDGE, abs(there) <= _ON_EDGE
        # Whether the edge is inside where it begins and where it ends; from the parallel, by the way it goes.
        along = a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
        begins = here > 0.0 if not at_a else sign * (b[2] - along * a[2]) > 0.0
        ends = there > 0.0 if not at_b else sign * (a[2] - along * b[2]) > 0.0
        if here > 0.0 or at_a:
            q[out, 0], q[out, 1], q[out, 2] = a[0], a[1], a[2]
            others[out] = marks[k] or not begins
            out += 1
        if marks[k]:
            continue
        first, second = 2.0, 2.0
        if begins != ends:
            first, second = _roots(a, b, z)
            # Of two, one is the end that lies on the parallel, or rounding: the other is the crossing.
            if second < 1.0:
                first = second if at_a or (not at_b and abs(second - 0.5) < abs(first - 0.5)) else first
            first = first if first < 1.0 else (0.0 if at_a or abs(here) < abs(there) else 1.0 - 1e-16)
            second = 2.0
        elif not at_a and not at_b:
            first, second = _roots(a, b, z)
            if second > 1.0:
                continue
        inside = begins
        for t in (first, second):
            if t < 1.0:
                _between(a, b, t, q[out])
                # Leaving, the way on is along the parallel; coming back, it is the edge again.
                others[out] = inside
                inside = not inside
                out += 1
    return out


@kernel
def _area(p, marks, n):
    """Area of a polygon of which some edges follow their parallel."""
    total = polygon_area(p, n, False) if n > 2 else 0.0
    for k in range(n):
        if marks[k]:
            a, b = p[k], p[(k + 1) % n]
            z = 0.5 * (a[2] + b[2])
            turn = math.atan2(a[0] * b[1] - a[1] * b[0], a[0] * b[0] + a[1] * b[1])
            # Between the equator and the edge, eastwards: turn * z under a parallel, and under a great circle the second.
            total -= turn * z - 2.0 * math.atan2(z * math.sin(0.5 * turn), math.cos(0.5 * turn))
    return total
