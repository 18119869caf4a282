"""Areas of overlap of two sets of cells: Sutherland-Hodgman clipping on the planes through the cells' edges."""

import math
from collections.abc import Callable

import numpy as np

from oceankit.numerics import threads
from oceankit.numerics.cells import Buckets, Cells, bucket_cells, column_span, face_box, row_of
from oceankit.numerics.compiling import kernel
from oceankit.numerics.sparse import Rows, join
from oceankit.numerics.sphere import gather, polygon_area

__all__ = ["overlaps"]

# A corner this close to an edge's plane (times the edge's length) lies on it.
_ON_PLANE = 1e-15


@kernel
def _clip(subject, n, window, m, work, planar):
    """Clip ``subject`` (first n rows) by the convex polygon ``window`` (first m rows); result in ``subject``.

    Returns the number of corners left. A subject that is not convex keeps its area, joined by edges of no width.
    """
    for k in range(m):
        ax, ay, az = window[k, 0], window[k, 1], window[k, 2]
        j = k + 1 if k + 1 < m else 0
        ux, uy, uz = window[j, 0] - ax, window[j, 1] - ay, window[j, 2] - az
        # a x (b - a): the plane through both corners and the origin, with the digits of the difference.
        nx, ny, nz = ay * uz - az * uy, az * ux - ax * uz, ax * uy - ay * ux
        tolerance = _ON_PLANE * math.sqrt(nx * nx + ny * ny + nz * nz)
        px, py, pz = subject[n - 1, 0], subject[n - 1, 1], subject[n - 1, 2]
        before = nx * (px - ax) + ny * (py - ay) + nz * (pz - az)
        if abs(before) <= tolerance:
            before = 0.0
        out = 0
        for i in range(n):
            qx, qy, qz = subject[i, 0], subject[i, 1], subject[i, 2]
            here = nx * (qx - ax) + ny * (qy - ay) + nz * (qz - az)
            if abs(here) <= tolerance:
                here = 0.0
            if before * here < 0.0:
                t = before / (before - here)
                x, y, z = px + t * (qx - px), py + t * (qy - py), pz + t * (qz - pz)
                if not planar:
                    scale = 1.0 / math.sqrt(x * x + y * y + z * z)
                    x, y, z = x * scale, y * scale, z * scale
                work[out, 0], work[out, 1], work[out, 2] = x, y, z
                out += 1
            if here >= 0.0:
                work[out, 0], work[out, 1], work[out, 2] = qx, qy, qz
                out += 1
            px, py, pz, before = qx, qy, qz, here
        if out < 3:
            return 0
        n = out
        for i in range(n):
            subject[i, 0], subject[i, 1], subject[i, 2] = work[i, 0], work[i, 1], work[i, 2]
    return n


@kernel
def _overlap(subject, n, subject_convex, window, m, window_convex, planar, a, b, work):
    """Area common to two polygons. A window that is not convex is taken as the signed sum of its fan of triangles."""
    if not window_convex and subject_convex:
        subject, window, n, m, window_convex = window, subject, m, n, True
    if window_convex:
        for i in range(n):
            a[i, 0], a[i, 1], a[i, 2] = subject[i, 0], subject[i, 1], subject[i, 2]
        return polygon_area(a, _clip(a, n, window, m, work, planar), planar)
    total = 0.0
    for k in range(1, m - 1):
        for c in range(3):
            b[0, c], b[1, c], b[2, c] = window[0, c], window[k, c], window[k + 1, c]
        sign = 1.0
        if polygon_area(b, 3, planar) < 0.0:
            sign = -1.0
            for c in range(3):
                b[1, c], b[2, c] = b[2, c], b[1, c]
        for i in range(n):
            a[i, 0], a[i, 1], a[i, 2] = subject[i, 0], subject[i, 1], subject[i, 2]
        total += sign * polygon_area(a, _clip(a, n, b, 3, work, planar), planar)
    return total


@kernel
def _overlaps(
    t_nodes, t_faces, t_convex, s_nodes, s_faces, s_convex, planar,
    origin, first, start, items, wraps, stamp, begin, end, counts, columns, areas,
):  # fmt: skip
    """Overlaps of target cells begin..end with all source cells, up to the room in ``columns``.

    Returns (number of entries, next target cell): the caller makes more room and goes on where next < end.
    """
    rows = first.size - 1
    w_t, w_s = t_faces.shape[1], s_faces.shape[1]
    window, subject = np.empty((w_t, 3)), np.empty((w_s, 3))
    room = 2 * (w_t + w_s) + 8
    a, b, work = np.empty((room, 3)), np.empty((3, 3)), np.empty((room, 3))
    box = np.empty(4)
    used = 0
    for t in range(begin, end):
        counts[t - begin] = 0
        if t_faces[t, 0] < 0:
            continue
        m = gather(t_nodes, t_faces[t], window)
        face_box(window, m, planar, box)
        sliver = 1e-14 * abs(polygon_area(window, m, planar))
        here = used
        for r in range(row_of(box[0], origin, rows), row_of(box[1], origin, rows) + 1):
            n_columns = first[r + 1] - first[r]
            c0, span = column_span(box[2], box[3], origin, n_columns, wraps)
            for c in range(span):
                bucket = first[r] + (c0 + c) % n_columns
                for k in range(start[bucket], start[bucket + 1]):
                    s = items[k]
                    if stamp[s] == t + 1:
                        continue
                    stamp[s] = t + 1
                    n = gather(s_nodes, s_faces[s], subject)
                    area = _overlap(subject, n, s_convex[s], window, m, t_convex[t], planar, a, b, work)
                    if area <= sliver:
                        continue
                    if used == columns.size:
                        return here, t
                    columns[used], areas[used] = s, area
                    used += 1
        # By source cell, so that the order never depends on the buckets (rows are short: insertion).
        for k in range(here + 1, used):
            col, val, j = columns[k], areas[k], k
            while j > here and columns[j - 1] > col:
                columns[j], areas[j] = columns[j - 1], areas[j - 1]
                j -= 1
            columns[j], areas[j] = col, val
        counts[t - begin] = used - here
    return used, end


def overlaps(target: Cells, source: Cells, *, block: int = 4096) -> Rows:
    """Area of overlap (steradians; squared units on a plane) of each target cell with each source cell.

    Returns
    -------
    Rows
        One row per target cell, columns are source cells in ascending order. Slivers below 1e-14 of the target
        cell, which is the noise of the clipping itself, are left out.
    """
    if target.planar != source.planar:
        raise ValueError("one grid lies on the sphere and the other on a plane; give both lon and lat, or both x and y")
    buckets = bucket_cells(source)
    parts = threads.over_blocks(_worker(target, source, buckets), target.faces.shape[0], block=block)
    return join(parts, source.faces.shape[0])


def _worker(target: Cells, source: Cells, buckets: Buckets) -> Callable[[int, int], tuple[np.ndarray, ...]]:
    per_target = 2.0 + 2.0 * source.faces.shape[0] / max(1, target.faces.shape[0])

    def work(begin: int, end: int) -> tuple[np.ndarray, ...]:
        # Stamps are per block: target numbers differ between the blocks that run side by side.
        stamp = np.zeros(source.faces.shape[0], np.int32)
        room = int(4 * (end - begin) + min(per_target, 1e5) * (end - begin)) + 64
        counts, columns, areas = [], [], []
        at = begin
        while at < end:
            some = np.zeros(end - at, np.int64)
            cols, vals = np.empty(room, np.uint32), np.empty(room)
            used, after = _overlaps(
                target.nodes, target.faces, target.convex, source.nodes, source.faces, source.convex, target.planar,
                *buckets, stamp, at, end, some, cols, vals,
            )  # fmt: skip
            if after == at:
                room *= 4
            else:
                counts.append(some[: after - at])
                columns.append(cols[:used].copy())
                areas.append(vals[:used].copy())
                at = after
            stamp[:] = 0
        return np.concatenate(counts), np.concatenate(columns), np.concatenate(areas)

    return work
