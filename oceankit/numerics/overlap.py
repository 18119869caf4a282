"""Areas of overlap of two sets of cells, and where in the source cells the overlaps lie.

The larger cells are windows that clip the smaller ones, of which buckets bring those near. A cell inside a window has
its own area, one outside an edge none: only cells that an edge crosses are clipped, by the edges that cross them.
"""

from collections.abc import Callable, Iterator
from typing import Literal, overload

import numpy as np

from oceankit.numerics import threads
from oceankit.numerics.cells import Cells, bucket_cells, column_span, face_box, row_span
from oceankit.numerics.clipping import CROSSED, OUTSIDE, clip, common, measure, planes_of, room_for, sides
from oceankit.numerics.compiling import kernel
from oceankit.numerics.moments import areas, centroids, first_moment, set_frame
from oceankit.numerics.sparse import Rows
from oceankit.numerics.sphere import gather

__all__ = ["overlaps"]

# Overlaps below this share of the target cell are the noise of the clipping itself.
_SLIVER = 1e-14


@kernel
def _grown(array, room):
    larger = np.empty((room, array.shape[1]), array.dtype)
    for k in range(array.shape[0]):
        for d in range(array.shape[1]):
            larger[k, d] = array[k, d]
    return larger


@kernel
def _sort(columns, values, begin, end, held):
    """Entries begin..end by column (rows are short: insertion); ``held`` is scratch."""
    for k in range(begin + 1, end):
        column = columns[k, 0]
        for d in range(held.size):
            held[d] = values[k, d]
        j = k
        while j > begin and columns[j - 1, 0] > column:
            columns[j, 0] = columns[j - 1, 0]
            for d in range(held.size):
                values[j, d] = values[j - 1, d]
            j -= 1
        columns[j, 0] = column
        for d in range(held.size):
            values[j, d] = held[d]


@kernel
def _place_window(nodes, faces, t, corners, work, c, planes):
    """Corners of a window, its point of reference and its planes; returns how many."""
    m = gather(nodes, faces, t, corners)
    for d in range(3):
        c[d] = corners[0, d]
        for k in range(m):
            work[0, k, d] = corners[k, d] - c[d]
    window = np.int64(0)
    planes_of(work, window, m, c, planes)
    return m


@kernel
def _place_subject(nodes, faces, s, work, c):
    """Corners of a subject, repeated ones included; returns how many."""
    n = 0
    while n < faces.shape[1] and faces[s, n] >= 0:
        j = faces[s, n]
        work[1, n, 0], work[1, n, 1], work[1, n, 2] = nodes[j, 0] - c[0], nodes[j, 1] - c[1], nodes[j, 2] - c[2]
        n += 1
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
    rows = first.size - 1
    lowest, per_row, westernmost, width = origin[0], origin[1], origin[2], origin[3]
    most = max(max(w_faces.shape[1], s_faces.shape[1]), 3)
    work, seen = np.empty((5, room_for(most), 3)), np.empty((room_for(most), 3))
    corners, planes, crossed = np.empty((most, 3)), np.empty((most, 5)), np.empty(most, np.bool_)
    c, frame, held = np.empty(3), np.empty((3, 3)), np.empty(3 if moments else 1)
    counts = np.zeros(end - begin, np.int64)
    room = 4 * (end - begin) + 64
    columns, values = np.empty((room, 1), np.uint32), np.empty((room, 3 if moments else 1))
    used = 0
    subject = np.int64(1)
    for t in range(begin, end):
        if w_faces[t, 0] < 0:
            continue
        m = _place_window(w_nodes, w_faces, t, corners, work, c, planes)
        low, high, west, east = face_box(corners, m, planar)
        if moments and not straight:
            set_frame(frame, centres[t, 0], centres[t, 1], centres[t, 2], planar)
        r0, r1 = row_span(low, high, lowest, per_row, rows)
        here = used
        for r in range(r0, r1 + 1):
            n_columns = first[r + 1] - first[r]
            c0, span = column_span(west, east, westernmost, width, n_columns, not planar, wraps)
            for column in range(c0, c0 + span):
                bucket = first[r] + (column if column < n_columns else column - n_columns)
                for k in range(start[bucket], start[bucket + 1]):
                    s = items[k]
                    if stamp[s] == t:
                        continue
                    stamp[s] = t
                    n = _place_subject(s_nodes, s_faces, s, work, c)
                    side = sides(work, n, planes, m, crossed) if w_convex[t] else CROSSED
                    if side == OUTSIDE:
                        continue
                    if moments and straight:
                        set_frame(frame, centres[s, 0], centres[s, 1], centres[s, 2], planar)
                    area, x, y = s_areas[s], 0.0, 0.0
                    if not w_convex[t]:
                        area, x, y = common(work, n, s_convex[s], m, c, planes, crossed, frame, planar, moments, seen)
                    elif side == CROSSED:
                        left, p = clip(work, subject, n, planes, m, crossed)
                        area, x, y = measure(work, p, left, c, frame, planar, moments, seen)
                    elif moments and not straight:
                        x, y, _ = first_moment(work, subject, n, c, frame, planar, seen)
                    if area <= _SLIVER * (w_areas[t] if straight else s_areas[s]):
                        continue
                    if used == room:
                        room = 2 * room
                        columns, values = _grown(columns, room), _grown(values, room)
                    columns[used, 0], values[used, 0] = s, area
                    if moments:
                        values[used, 1], values[used, 2] = x, y
                    used += 1
        if straight:
            # So that the order does not depend on the buckets.
            _sort(columns, values, here, used, held)
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
