"""Areas of overlap of two sets of cells, and where in the source cells the overlaps lie.

The larger cells are windows that clip the smaller ones, of which buckets bring those near. A cell inside a window has
its own area, one outside an edge none: only cells that an edge crosses are clipped, by the edges that cross them.
"""

from collections.abc import Callable, Iterator
from typing import Literal, overload

import numpy as np

from oceankit.numerics import threads
from oceankit.numerics.cells import Cells, bucket_cells, column_span, face_box, row_span
from oceankit.numerics.clipping import ALL, MOST_PLANES, clip, common, planes_of, room_for, sides_of
from oceankit.numerics.compiling import kernel
from oceankit.numerics.moments import area_of, areas, centroids, first_moment, set_frame
from oceankit.numerics.sparse import Rows
from oceankit.numerics.sphere import gather

__all__ = ["overlaps"]

# Overlaps below this share of the target cell are the noise of the clipping itself.
_SLIVER = 1e-14
# Corners whose sides are kept, from one subject to its neighbours.
_KEPT = 1024


@kernel
def _grown(array, room):
    larger = np.empty((room, array.shape[1]), array.dtype)
    for k in range(array.shape[0]):
        for d in range(array.shape[1]):
            larger[k, d] = array[k, d]
    return larger


@kernel
def _sort(numbers, n):
    """Sort the first ``n`` numbers (Shell 1959: they are few, and in order within a bucket)."""
    gap = 1
    while 3 * gap + 1 < n:
        gap = 3 * gap + 1
    while gap > 0:
        for k in range(gap, n):
            held, j = numbers[k], k
            while j >= gap and numbers[j - gap] > held:
                numbers[j] = numbers[j - gap]
                j -= gap
            numbers[j] = held
        gap //= 3


@kernel
def _shift(nodes, faces, s, c, work, p):
    """Corners of a face, repeated ones included, as differences from ``c``; returns how many."""
    n = 0
    while n < faces.shape[1] and faces[s, n] >= 0:
        j = faces[s, n]
        work[p, n, 0], work[p, n, 1], work[p, n, 2] = nodes[j, 0] - c[0], nodes[j, 1] - c[1], nodes[j, 2] - c[2]
        n += 1
    return n


@kernel
def _near(box, planar, t, origin, first, start, items, wraps, stamp, near, writing):
    """Cells in the buckets that a box touches: at most how many there are, or the cells themselves, to ``near``."""
    rows = first.size - 1
    r0, r1 = row_span(box[0], box[1], origin[0], origin[1], rows)
    n = 0
    for r in range(r0, r1 + 1):
        columns = first[r + 1] - first[r]
        c0, span = column_span(box[2], box[3], origin[2], origin[3], columns, not planar, wraps)
        for c in range(c0, c0 + span):
            bucket = first[r] + (c if c < columns else c - columns)
            if writing:
                for k in range(start[bucket], start[bucket + 1]):
                    s = items[k]
                    if stamp[s] != t:
                        stamp[s] = t
                        near[n] = s
                        n += 1
            else:
                n += start[bucket + 1] - start[bucket]
    return n


@kernel
def _overlaps(
    w_nodes, w_faces, w_convex, w_areas, s_nodes, s_faces, s_convex, s_areas, planar, straight, centres,
    origin, first, start, items, wraps, stamp, begin, end,
):  # fmt: skip
    """Overlaps of the windows begin..end with all subjects.

    ``straight`` where windows are targets and not sources; ``centres`` of the source cells, none for areas alone.
    Returns the number of entries, how many each window has, and subject and (area, moments) of each.
    """
    moments = centres.shape[0] > 0
    most = max(max(w_faces.shape[1], s_faces.shape[1]), 3)
    work, seen = np.empty((5, room_for(most), 3)), np.empty((room_for(most), 3))
    corners, planes, c, frame = np.empty((most, 3)), np.empty((most, 5)), np.empty(3), np.empty((3, 3))
    whose, when, codes = np.full(_KEPT, -1, np.int32), np.full(_KEPT, -1, np.int32), np.empty(_KEPT, np.int64)
    counts = np.zeros(end - begin, np.int64)
    room = 4 * (end - begin) + 64
    columns, values = np.empty((room, 1), np.uint32), np.empty((room, 3 if moments else 1))
    near = np.empty(256, np.int32)
    used = 0
    window, subject = np.int64(0), np.int64(1)
    for t in range(begin, end):
        m = gather(w_nodes, w_faces, t, corners)
        if m < 3:
            continue
        box = face_box(corners, m, planar)
        n_near = _near(box, planar, t, origin, first, start, items, wraps, stamp, near, False)
        if n_near == 0:
            continue
        if n_near > near.size:
            near = np.empty(2 * n_near, np.int32)
        if used + n_near > room:
            room = 2 * (room + n_near)
            columns, values = _grown(columns, room), _grown(values, room)
        n_near = _near(box, planar, t, origin, first, start, items, wraps, stamp, near, True)
        if straight:
            # So that the order does not depend on the buckets; turned round, it comes of itself.
            _sort(near, n_near)
        c[0], c[1], c[2] = corners[0, 0], corners[0, 1], corners[0, 2]
        for k in range(m):
            for d in range(3):
                work[0, k, d] = corners[k, d] - c[d]
        planes_of(work, window, m, c, planes)
        if moments and not straight:
            set_frame(frame, centres[t, 0], centres[t, 1], centres[t, 2], planar)
        here = used
        for k in range(n_near):
            s = near[k]
            every, some = 0, ALL
            if w_convex[t] and m <= MOST_PLANES:
                every, some = sides_of(s_nodes, s_faces, s, t, c, planes, m, whose, when, codes)
            if every & 0x7FFFFFFF:
                continue
            crossed = some >> 32
            area, x, y = s_areas[s], 0.0, 0.0
            if crossed or moments:
                n = _shift(s_nodes, s_faces, s, c, work, subject)
            if crossed and moments and straight:
                set_frame(frame, centres[s, 0], centres[s, 1], centres[s, 2], planar)
            if not w_convex[t]:
                area, x, y = common(work, n, s_convex[s], m, c, planes, frame, planar, moments, seen)
            else:
                p = subject
                if crossed:
                    n, p = clip(work, subject, n, planes, m, crossed)
                    area = area_of(work, p, n, c, planar) if n > 0 else 0.0
                # A whole source cell has no moment about its own centre.
                if moments and n > 0 and (crossed or not straight):
                    x, y, _ = first_moment(work, p, n, c, frame, planar, seen)
            if area > _SLIVER * (w_areas[t] if straight else s_areas[s]):
                columns[used, 0], values[used, 0] = s, area
                if moments:
                    values[used, 1], values[used, 2] = x, y
                used += 1
        counts[t - begin] = used - here
    return used, counts, columns, values


@kernel
def _count(columns, counts):
    for k in range(columns.shape[0]):
        counts[columns[k, 0]] += 1


@kernel
def _turn(counts, columns, values, first_row, start, out_columns, out_values, out_moments):
    """Write entries (row, column, values) by column; ``start`` is where each column goes on."""
    k = 0
    for i in range(counts.size):
        for _ in range(counts[i]):
            at = start[columns[k, 0]]
            start[columns[k, 0]] += 1
            out_columns[at], out_values[at] = first_row + i, values[k, 0]
            for d in range(out_moments.shape[1]):
                out_moments[at, d] = values[k, 1 + d]
            k += 1


@overload
def overlaps(target: Cells, source: Cells, *, moments: Literal[False] = False, block: int = 4096) -> Rows: ...
@overload
def overlaps(
    target: Cells, source: Cells, *, moments: Literal[True], block: int = 4096
) -> tuple[Rows, np.ndarray]: ...
def overlaps(
    target: Cells, source: Cells, *, moments: bool = False, block: int = 4096
) -> Rows | tuple[Rows, np.ndarray]:
    """Area of overlap (steradians; squared units on a plane) of each target cell with each source cell.

    Parameters
    ----------
    moments
        Whether to return first moments too.

    Returns
    -------
    rows : Rows
        One row per target cell, columns are source cells in ascending order. Slivers below 1e-14 of the target
        cell, which is the noise of the clipping itself, are left out.
    moments : float64 (entries, 2), if asked for
        Integral over each overlap of the position, from the centre of mass of the source cell (``centroids(source)``)
        and along the directions of ``tangent_frames`` there (x and y on a plane). Over the whole of a source cell
        they add up to nothing, so that areas * value + moments @ gradient conserves what the source holds.
    """
    if target.planar != source.planar:
        raise ValueError("one grid lies on the sphere and the other on a plane; give both lon and lat, or both x and y")
    sized = [(cells, areas(cells)) for cells in (target, source)]
    means = [a.sum() / max(1, np.count_nonzero(a)) for _, a in sized]
    # The larger cells are the windows: most of the smaller ones are inside them, where there is nothing to clip.
    straight = bool(means[0] >= means[1])
    centres = centroids(source) if moments else np.empty((0, 3))
    windows, subjects = sized if straight else sized[::-1]
    parts = threads.over_blocks(_worker(windows, subjects, straight, centres), windows[0].faces.shape[0], block=block)
    assemble = _joined if straight else _turned
    rows, offsets = assemble(parts, target.faces.shape[0], source.faces.shape[0], 2 if moments else 0)
    return (rows, offsets) if moments else rows


Part = tuple[np.ndarray, np.ndarray, np.ndarray]


def _worker(
    windows: tuple[Cells, np.ndarray], subjects: tuple[Cells, np.ndarray], straight: bool, centres: np.ndarray
) -> Callable[[int, int], Part]:
    (w, w_areas), (s, s_areas) = windows, subjects
    buckets = bucket_cells(s)
    # Which window saw each subject last: one for each thread, and back here when its block is done.
    stamps: list[np.ndarray] = []

    def work(begin: int, end: int) -> Part:
        stamp = stamps.pop() if stamps else np.full(s.faces.shape[0], -1, np.int32)
        used, counts, columns, values = _overlaps(
            w.nodes, w.faces, w.convex, w_areas, s.nodes, s.faces, s.convex, s_areas, w.planar, straight, centres,
            *buckets, stamp, begin, end,
        )  # fmt: skip
        stamps.append(stamp)
        return counts, columns[:used].copy(), values[:used].copy()

    return work


def _joined(parts: list[Part], n_rows: int, n_columns: int, n_moments: int) -> tuple[Rows, np.ndarray]:
    """Rows of consecutive blocks as one."""
    start = np.zeros(n_rows + 1, np.int64)
    if parts:
        np.cumsum(np.concatenate([p[0] for p in parts]), out=start[1:])
    columns, values, offsets = np.empty(start[-1], np.uint32), np.empty(start[-1]), np.empty((start[-1], n_moments))
    at = 0
    for _, some, measures in _used_up(parts):
        span = slice(at, at := at + some.shape[0])
        columns[span], values[span], offsets[span] = some[:, 0], measures[:, 0], measures[:, 1:]
    return Rows(start, columns, values, n_columns), offsets


def _turned(parts: list[Part], n_rows: int, n_columns: int, n_moments: int) -> tuple[Rows, np.ndarray]:
    """Rows of which consecutive blocks hold the columns: in ascending order, as the blocks are."""
    start = np.zeros(n_rows + 2, np.int64)
    for _, some, _ in parts:
        _count(some, start[2:])
    np.cumsum(start, out=start)
    columns, values, offsets = np.empty(start[-1], np.uint32), np.empty(start[-1]), np.empty((start[-1], n_moments))
    row = 0
    for counts, some, measures in _used_up(parts):
        _turn(counts, some, measures, row, start[1:], columns, values, offsets)
        row += counts.size
    return Rows(start[:-1], columns, values, n_columns), offsets


def _used_up(parts: list[Part]) -> Iterator[Part]:
    """Each part in turn, let go of when the next is asked for."""
    parts.reverse()
    while parts:
        yield parts.pop()
