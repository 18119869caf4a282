"""Cells on the sphere or a plane, and buckets that find them.

A cell is a row of ``faces``: indices into ``nodes`` (unit vectors, or (x, y, 1) on a plane), counter-clockwise,
padded with -1. Buckets cut the sphere into rows of latitude and each row into as many columns as its circumference
asks for, so a bucket is about as wide as it is high everywhere, poles included; longitudes wrap.
Cells that hold a pole or cross the seam are no special case for whoever asks.
"""

import math
from typing import NamedTuple

import numpy as np

from oceankit.numerics.compiling import kernel
from oceankit.numerics.sphere import gather

__all__ = ["Buckets", "Cells", "bucket_cells"]


class Cells(NamedTuple):
    """Polygons as the kernels know them."""

    nodes: np.ndarray
    """float64 (n_nodes, 3)"""
    faces: np.ndarray
    """int32 (n_cells, most corners), -1 pads; a row that starts with -1 is no cell"""
    convex: np.ndarray
    """bool (n_cells,)"""
    planar: bool


class Buckets(NamedTuple):
    """Which cells touch which bucket: bucket b holds ``items[start[b]:start[b + 1]]``."""

    origin: np.ndarray
    """float64 (4,): first row coordinate, row height, first column coordinate, width of all columns"""
    first: np.ndarray
    """int64 (rows + 1,): number of the first bucket of each row"""
    start: np.ndarray
    items: np.ndarray
    wraps: bool


_HALF_PI = math.pi / 2


@kernel
def face_box(polygon, n, planar, box):
    """Bounding box of a polygon: row coordinate low and high, column coordinate low and high (unwrapped), in ``box``.

    On the sphere rows are latitude and columns longitude in radians; edges are great circles, whose bulge counts.
    """
    if planar:
        box[0], box[1], box[2], box[3] = math.inf, -math.inf, math.inf, -math.inf
        for k in range(n):
            box[0], box[1] = min(box[0], polygon[k, 1]), max(box[1], polygon[k, 1])
            box[2], box[3] = min(box[2], polygon[k, 0]), max(box[3], polygon[k, 0])
        return
    low, high = 2.0, -2.0
    west = east = here = 0.0
    started = False
    turned = 0.0
    for k in range(n + 1):
        a = polygon[k % n]
        if k < n:
            b = polygon[(k + 1) % n]
            low, high = min(low, a[2]), max(high, a[2])
            nx, ny, nz = a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]
            # Rate of change of z along the edge at both ends; a change of sign is the edge's highest or lowest point.
            at_a, at_b = nx * a[1] - ny * a[0], nx * b[1] - ny * b[0]
            if at_a * at_b < 0.0:
                apex = math.sqrt((nx * nx + ny * ny) / (nx * nx + ny * ny + nz * nz))
                if at_a > 0.0:
                    high = max(high, apex)
                else:
                    low = min(low, -apex)
        if a[0] * a[0] + a[1] * a[1] < 1e-30:
            continue
        lon = math.atan2(a[1], a[0])
        if not started:
            west = east = here = lon
            started = True
            continue
        step = lon - here
        step -= 2.0 * math.pi * math.floor(step / (2.0 * math.pi) + 0.5)
        here += step
        turned += step
        if k < n:
            west, east = min(west, here), max(east, here)
    box[0], box[1] = math.asin(max(low, -1.0)), math.asin(min(high, 1.0))
    box[2], box[3] = west, east
    if abs(turned) > 3.0:
        # Once around the axis: the polygon holds a pole, the one it is turned towards.
        z = 0.0
        for k in range(n):
            z += polygon[k, 2]
        if z > 0.0:
            box[1] = _HALF_PI
        else:
            box[0] = -_HALF_PI
        box[2], box[3] = -math.pi, math.pi


@kernel
def row_of(value, origin, rows):
    return min(max(int(math.floor((value - origin[0]) / origin[1])), 0), rows - 1)


@kernel
def column_of(value, origin, columns):
    """Column of a coordinate, not yet wrapped or clipped."""
    return int(math.floor((value - origin[2]) / origin[3] * columns))


@kernel
def column_span(west, east, origin, columns, wraps):
    """First column and number of columns that a range touches."""
    c0, c1 = column_of(west, origin, columns), column_of(east, origin, columns)
    if wraps:
        return c0 % columns, min(c1 - c0 + 1, columns)
    c0, c1 = min(max(c0, 0), columns - 1), min(max(c1, 0), columns - 1)
    return c0, c1 - c0 + 1


# Boxes are widened by this, so that a point on an edge is found from both sides.
_SLACK = 1e-9


@kernel
def _fill(nodes, faces, planar, origin, first, wraps, start, items):
    """Count the cells of each bucket (``items`` empty) or write them in order of cell number."""
    rows = first.size - 1
    writing = items.size > 0
    corners = np.empty((faces.shape[1], 3))
    box = np.empty(4)
    for i in range(faces.shape[0]):
        if faces[i, 0] < 0:
            continue
        face_box(corners, gather(nodes, faces[i], corners), planar, box)
        slack = _SLACK * (origin[1] if planar else 1.0)
        for r in range(row_of(box[0] - slack, origin, rows), row_of(box[1] + slack, origin, rows) + 1):
            columns = first[r + 1] - first[r]
            c0, span = column_span(box[2] - slack, box[3] + slack, origin, columns, wraps)
            for c in range(span):
                b = first[r] + (c0 + c) % columns
                if writing:
                    items[start[b]] = i
                    start[b] += 1
                else:
                    start[b + 1] += 1


def bucket_cells(cells: Cells, *, per_bucket: float = 1.5) -> Buckets:
    """Put cells into buckets, about ``per_bucket`` of their number each."""
    used = cells.faces[:, 0] >= 0
    number = max(1.0, used.sum() / per_bucket)
    if cells.planar:
        seen = cells.nodes[np.unique(cells.faces[used])] if used.any() else np.zeros((1, 3))
        seen = seen[seen[:, -1] >= 0]
        x0, y0 = seen[:, :2].min(axis=0)
        width, height = np.maximum(np.ptp(seen[:, :2], axis=0), 1e-300)
        rows = int(np.clip(np.sqrt(number * height / width), 1, number))
        columns = np.full(rows, max(1, int(number / rows)))
        origin = np.array([y0, height / rows, x0, width])
    else:
        rows = int(np.clip(np.sqrt(number * math.pi / 4), 1, 20_000))
        # A regional grid fills a small part of the sphere: rows follow the size of its cells, not their number.
        rows = max(rows, _rows_of_typical_cell(cells, used))
        middle = (np.arange(rows) + 0.5) / rows * math.pi - _HALF_PI
        columns = np.maximum(1, np.round(2 * rows * np.cos(middle))).astype(np.int64)
        origin = np.array([-_HALF_PI, math.pi / rows, -math.pi, 2 * math.pi])
    first = np.concatenate([[0], np.cumsum(columns)]).astype(np.int64)
    start = np.zeros(first[-1] + 1, np.int64)
    none = np.empty(0, np.int32)
    wraps = not cells.planar
    _fill(cells.nodes, cells.faces, cells.planar, origin, first, wraps, start, none)
    start = np.cumsum(start)
    items = np.empty(start[-1], np.int32)
    if items.size:
        _fill(cells.nodes, cells.faces, cells.planar, origin, first, wraps, start[:-1].copy(), items)
    return Buckets(origin, first, start, items, wraps)


def _rows_of_typical_cell(cells: Cells, used: np.ndarray) -> int:
    """Rows as high as a typical cell, held to a number of buckets that fits in memory."""
    sample = cells.faces[used][:: max(1, int(used.sum()) // 1000)]
    if not sample.size:
        return 1
    a, b = cells.nodes[sample[:, 0]], cells.nodes[sample[:, 2]]
    size = float(np.median(np.linalg.norm(a - b, axis=1)))
    return int(np.clip(math.pi / max(size, 1e-6), 1, 4_000))
