"""Cells on the sphere or a plane, and buckets that find them.

A cell is a row of ``faces``: indices into ``nodes`` (unit vectors, or (x, y, 1) on a plane), counter-clockwise,
padded with -1. Buckets cut the sphere into rows of latitude and each row into as many columns as suits the cells in
it, so that a bucket is about as large as they are, poles included; longitudes wrap.
Cells that hold a pole or cross the seam are no special case for whoever asks.
"""

import math
from typing import NamedTuple

import numpy as np

from oceankit.numerics import threads
from oceankit.numerics.compiling import kernel
from oceankit.numerics.sphere import gather

__all__ = ["Buckets", "Cells", "bucket_cells", "bucket_of"]


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
    """Which cells touch which bucket: bucket b holds ``items[start[b]:start[b + 1]]``, in ascending order."""

    origin: np.ndarray
    """float64 (4,): first row coordinate, rows per unit of it, first column coordinate, width of all columns (see `place`)"""
    first: np.ndarray
    """int64 (rows + 1,): number of the first bucket of each row"""
    start: np.ndarray
    """int32 (buckets + 1,)"""
    items: np.ndarray
    """int32"""
    wraps: bool
    """Whether the columns go all around the sphere."""


_TURN = 4.0
# Buckets are this many times as high and wide as the cells in them: larger ones list fewer cells twice,
# smaller ones bring fewer cells that are not wanted.
_ROOMY = 1.6
# Boxes are widened by this share of the whole, so that a point on an edge is found from both sides and
# boxes may be kept in single precision.
_SLACK = 1e-6
# Parts of a turn in which cells are looked for, to leave out the part of the sphere where there are none.
_BINS = 1024
_BLOCK = 65_536


@kernel
def _up(z, across):
    """Rises with latitude from -1 to 1 at nearly its pace, from z and the distance to the axis, without trigonometry."""
    size = abs(z) + across
    return z / size if size != 0.0 else 0.0


@kernel
def _around(x, y):
    """Rises with longitude from -2 to 2 at nearly its pace, without trigonometry."""
    size = abs(x) + abs(y)
    share = y / size if size != 0.0 else 0.0
    if x >= 0.0:
        return share
    return 2.0 - share if y >= 0.0 else -2.0 - share


@kernel
def place(x, y, z, planar):
    """Row and column coordinate of a point: y and x on a plane, stand-ins for latitude and longitude on the sphere."""
    if planar:
        return y, x
    return _up(z, math.sqrt(x * x + y * y)), _around(x, y)


@kernel
def face_box(polygon, n, planar):
    """Box around a polygon: row coordinate low and high, column coordinate low and high (unwrapped)."""
    low, high, west, east = math.inf, -math.inf, math.inf, -math.inf
    here = start = before = middle = 0.0
    px, py, pz = polygon[n - 1, 0], polygon[n - 1, 1], polygon[n - 1, 2]
    for k in range(n):
        x, y, z = polygon[k, 0], polygon[k, 1], polygon[k, 2]
        if planar:
            low, high, west, east = min(low, y), max(high, y), min(west, x), max(east, x)
            continue
        low, high = min(low, z), max(high, z)
        middle += z
        # A great circle that climbs away from both its ends, or falls from both, bulges beyond them.
        along = px * x + py * y + pz * z
        from_here, from_there = pz - along * z, z - along * pz
        if from_here * from_there > 0.0:
            bulge = 1.0 + 0.5 * (1.0 - along) if along > 0.0 else 2.0
            if from_here > 0.0:
                high = max(high, bulge * max(z, pz))
            else:
                low = min(low, bulge * min(z, pz))
        px, py, pz = x, y, z
        if x * x + y * y >= 1e-30:
            column = _around(x, y)
            if west > east:
                west = east = here = start = column
            else:
                here += _shortest(column - before)
                west, east = min(west, here), max(east, here)
            before = column
    if not planar:
        if abs(here - start + _shortest(start - before)) > 0.5 * _TURN:
            # Once around the axis: the polygon holds a pole, the one it is turned towards.
            low, high = (low, 1.0) if middle > 0.0 else (-1.0, high)
            west, east = -0.5 * _TURN, 0.5 * _TURN
        low, high = max(low, -1.0), min(high, 1.0)
        low, high = _up(low, math.sqrt(1.0 - low * low)), _up(high, math.sqrt(1.0 - high * high))
    return low, high, west, east


@kernel
def _shortest(step):
    """The same step around the sphere within half a turn."""
    return step - _TURN * math.floor(step * (1.0 / _TURN) + 0.5)


@kernel
def rows_of(low, high, lowest, per_row, rows):
    """First and last row that a range touches, widened by a hair; first > last where it is beyond all rows."""
    slack = _SLACK * rows
    r0, r1 = (low - lowest) * per_row - slack, (high - lowest) * per_row + slack
    if r1 < 0.0 or r0 > rows:
        return 1, 0
    return min(int(max(r0, 0.0)), rows - 1), min(int(max(r1, 0.0)), rows - 1)


@kernel
def shares_of(west, east, westernmost, width, turns, wraps):
    """Where a range begins and ends as shares of the width of all columns, widened by a hair; 1, 0 where it is beyond.

    Where columns wrap, a range may end beyond 1.
    """
    begin, length = west - westernmost, east - west
    if turns:
        begin -= _TURN * math.floor(begin * (1.0 / _TURN))
        if not wraps and begin > (1.0 + _SLACK) * width:
            begin -= _TURN
        elif not wraps and begin + length >= _TURN:
            # Round the back to the other end.
            begin, length = 0.0, width
    scale = 1.0 / width if width != 0.0 else 0.0
    b, e = begin * scale - _SLACK, (begin + length) * scale + _SLACK
    if wraps:
        return (b, e) if b >= 0.0 else (b + 1.0, e + 1.0)
    return (1.0, 0.0) if e < 0.0 or b > 1.0 else (max(b, 0.0), min(e, 1.0))


@kernel
def columns_of(begin, end, columns, wraps):
    """First and last of the columns between two shares; those from ``columns`` on are the first once more."""
    c0 = min(int(begin * columns), columns - 1)
    return c0, min(int(end * columns), c0 + columns - 1 if wraps else columns - 1)


@kernel
def bucket_of(x, y, z, planar, origin, first, wraps):
    """Number of the bucket that holds a point, -1 where no cell is near."""
    row, column = place(x, y, z, planar)
    r0, r1 = rows_of(row, row, origin[0], origin[1], first.size - 1)
    begin, end = shares_of(column, column, origin[2], origin[3], not planar, wraps)
    # Between the two ends that were widened.
    r = min(max(int((row - origin[0]) * origin[1]), r0), max(r1, 0))
    columns = first[r + 1] - first[r]
    c = int(0.5 * (begin + end) * columns)
    bucket = first[r] + (c % columns if wraps else min(c, columns - 1))
    return bucket if r0 <= r1 and begin <= end else -1


@kernel
def _boxes(nodes, faces, planar, reference, boxes, taken):
    """Boxes of cells, less ``reference`` (low > high for those that are none), and the bins of a turn they take.

    Returns the lowest, highest, westernmost and easternmost coordinate, the sum of heights and the number of cells.
    """
    corners = np.empty((faces.shape[1], 3))
    lowest, highest, westernmost, easternmost = math.inf, -math.inf, math.inf, -math.inf
    heights = number = 0.0
    for i in range(faces.shape[0]):
        boxes[i, 0], boxes[i, 1] = 1.0, 0.0
        n = gather(nodes, faces, i, corners)
        if n == 0:
            continue
        low, high, west, east = face_box(corners, n, planar)
        low, high, west, east = low - reference[0], high - reference[0], west - reference[1], east - reference[1]
        boxes[i, 0], boxes[i, 1], boxes[i, 2], boxes[i, 3] = low, high, west, east
        lowest, highest, heights = min(lowest, low), max(highest, high), heights + high - low
        westernmost, easternmost, number = min(westernmost, west), max(easternmost, east), number + 1.0
        if not planar:
            b0, b1 = int(math.floor(west * (_BINS / _TURN))), int(math.floor(east * (_BINS / _TURN)))
            for b in range(b0, min(b1, b0 + _BINS - 1) + 1):
                # Written once: what threads write all the time slows them all.
                if not taken[b % _BINS]:
                    taken[b % _BINS] = True
    return lowest, highest, westernmost, easternmost, heights, number


@kernel
def _tally(boxes, origin, rows, turns, wraps, counts, widths):
    """Make of each box its rows and shares of the columns; number of cells that touch each row, sum of their widths."""
    lowest, per_row, westernmost, width = origin[0], origin[1], origin[2], origin[3]
    for i in range(boxes.shape[0]):
        if boxes[i, 0] <= boxes[i, 1]:
            r0, r1 = rows_of(np.float64(boxes[i, 0]), np.float64(boxes[i, 1]), lowest, per_row, rows)
            begin, end = shares_of(np.float64(boxes[i, 2]), np.float64(boxes[i, 3]), westernmost, width, turns, wraps)
            boxes[i, 0], boxes[i, 1], boxes[i, 2], boxes[i, 3] = r0, r1, begin, end
            for r in range(r0, r1 + 1):
                counts[r] += 1
                widths[r] += end - begin


@kernel
def _fill(boxes, first, wraps, start, items, low, high):
    """Count the cells of each bucket in rows low..high (``items`` empty) or write them in order of cell number.

    Bucket b is counted at ``start[b + 2]``; summed up, ``start[b + 1]`` is where it starts, and when all is written, ends.
    """
    writing = items.size > 0
    for i in range(boxes.shape[0]):
        begin, end = np.float64(boxes[i, 2]), np.float64(boxes[i, 3])
        for r in range(max(int(boxes[i, 0]), low), min(int(boxes[i, 1]) + 1, high)):
            columns = first[r + 1] - first[r]
            c0, c1 = columns_of(begin, end, columns, wraps)
            for c in range(c0, c1 + 1):
                b = first[r] + (c if c < columns else c - columns)
                if writing:
                    items[start[b + 1]] = i
                    start[b + 1] += 1
                else:
                    start[b + 2] += 1


def bucket_cells(cells: Cells) -> Buckets:
    """Put cells into buckets of about their own size: each is in two to three of them."""
    planar = cells.planar
    boxes, taken, extent, reference = _all_boxes(cells)
    low, high, west, east, heights, number = extent
    if number == 0:
        origin = np.array([0.0, 1.0, 0.0, 1.0])
        return Buckets(origin, np.arange(2), np.zeros(2, np.int32), np.empty(0, np.int32), False)
    west, width, wraps = (west, east - west, False) if planar else _stretch(taken)
    tall, width = max(high - low, 1e-300), max(width, 1e-300)
    rows = int(np.clip(tall / max(_ROOMY * heights / number, 1e-300), 1, number))
    origin = np.array([low, rows / tall, west, width])

    def tally(begin: int, end: int) -> tuple[np.ndarray, np.ndarray]:
        found = np.zeros(rows, np.int64), np.zeros(rows)
        _tally(boxes[begin:end], origin, rows, not planar, wraps, *found)
        return found

    counts, widths = (sum(found) for found in zip(*threads.over_blocks(tally, len(boxes), block=_BLOCK), strict=True))
    # Shares are wider than nothing, by the hair that is added to them.
    columns = counts / (_ROOMY * np.maximum(widths, _SLACK))
    first = np.concatenate([[0], np.cumsum(np.clip(columns, 1, np.maximum(1, counts)).astype(np.int64))])

    start, items = np.zeros(first[-1] + 2, np.int32), np.empty(0, np.int32)

    def fill(begin: int, end: int) -> None:
        _fill(boxes, first, wraps, start, items, begin, end)

    # Threads share the rows, so that each writes to buckets of its own and cells stay in order.
    block = -(-rows // threads.count())
    threads.over_blocks(fill, rows, block=block)
    np.cumsum(start, out=start)
    items = np.empty(start[-1], np.int32)
    threads.over_blocks(fill, rows, block=block)
    origin[[0, 2]] += reference
    return Buckets(origin, first, start[:-1], items, wraps)


def _all_boxes(cells: Cells) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Boxes in single precision, bins of a turn that are taken, extent of all, and what boxes are relative to."""
    number = cells.faces.shape[0]
    boxes, taken = np.empty((number, 4), np.float32), np.zeros(_BINS, bool)
    reference = np.zeros(2)
    known = np.isfinite(cells.nodes[:, 0])
    if cells.planar and known.any():
        reference = cells.nodes[np.argmax(known)][[1, 0]]

    def work(begin: int, end: int) -> tuple[float, ...]:
        return _boxes(cells.nodes, cells.faces[begin:end], cells.planar, reference, boxes[begin:end], taken)

    found = np.array(threads.over_blocks(work, number, block=_BLOCK)).reshape(-1, 6)
    low, _, west, *_ = found.min(axis=0, initial=np.inf)
    _, high, _, east, *_ = found.max(axis=0, initial=-np.inf)
    return boxes, taken, np.array([low, high, west, east, *found[:, 4:].sum(axis=0)]), reference


def _stretch(taken: np.ndarray) -> tuple[float, float, bool]:
    """Where the longest run of free bins of a turn ends, what is left of the turn, and whether that is all of it."""
    used = np.flatnonzero(taken)
    gaps = np.diff(np.append(used, used[0] + _BINS)) - 1
    widest = int(np.argmax(gaps))
    if gaps[widest] < _BINS // 8:
        return -0.5 * _TURN, _TURN, True
    west = used[(widest + 1) % used.size] * (_TURN / _BINS)
    return west, _TURN - gaps[widest] * (_TURN / _BINS), False
