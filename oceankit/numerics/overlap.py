"""Areas of overlap of two sets of cells, and where in the source cells the overlaps lie.

The larger cells are windows that clip the smaller ones, of which buckets bring those near. A cell inside a window has
its own area, one outside an edge none: only cells that an edge crosses are clipped, by the edges that cross them.
"""

from collections.abc import Iterator
from typing import Literal, NamedTuple, overload

import numpy as np

from oceankit.numerics import threads
from oceankit.numerics.cells import Cells, bucket_cells, columns_of, face_box, rows_of, shares_of
from oceankit.numerics.clipping import ALL, MOST_PLANES, clip, common, planes_of, room_for, sides_of
from oceankit.numerics.compiling import kernel
from oceankit.numerics.moments import area_of, areas, first_moment, frame_of
from oceankit.numerics.sparse import Rows
from oceankit.numerics.sphere import gather, polygon_area

__all__ = ["overlaps"]

# Overlaps below this share of the target cell are the noise of the clipping itself.
_SLIVER = 1e-14
# Corners whose sides are kept for the subjects that share them: a power of 2.
_KEPT = 1024


@kernel
def _near(box, planar, t, origin, first, start, items, wraps, stamp, near):
    """Write the cells in the buckets that a box touches, each once; with ``near`` empty, at most how many they are."""
    r0, r1 = rows_of(box[0], box[1], origin[0], origin[1], first.size - 1)
    begin, end = shares_of(box[2], box[3], origin[2], origin[3], not planar, wraps)
    n = 0
    for r in range(r0, r1 + 1):
        columns = first[r + 1] - first[r]
        c0, c1 = columns_of(begin, end, columns, wraps)
        for c in range(c0, c1 + 1):
            bucket = first[r] + (c if c < columns else c - columns)
            if near.size == 0:
                n += start[bucket + 1] - start[bucket]
            else:
                for k in range(start[bucket], start[bucket + 1]):
                    s = items[k]
                    if stamp[s] != t:
                        stamp[s] = t
                        near[n] = s
                        n += 1
    return n


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
        gap = gap // 3


@kernel
def _shift(corners, n, c, work, p):
    for k in range(n):
        work[p, k, 0], work[p, k, 1], work[p, k, 2] = corners[k, 0] - c[0], corners[k, 1] - c[1], corners[k, 2] - c[2]


@kernel
def _overlaps(
    w_nodes, w_faces, w_convex, s_nodes, s_faces, s_convex, planar, straight, moments,
    origin, first, start, items, wraps, stamp, begin, end, counts, columns, values,
):  # fmt: skip
    """Overlaps of the windows begin..end with all subjects, as long as there is room in ``columns``.

    ``straight`` where windows are targets and not sources. Each entry is a subject, the area of its overlap and, unless
    ``moments`` is None, its first moment: what is for moments only is not compiled before it is asked for. Returns
    (number of entries, next window, room that it needs).
    """
    most = max(max(w_faces.shape[1], s_faces.shape[1]), 3)
    work, seen = np.empty((5, room_for(most), 3)), np.empty((room_for(most), 3))
    w_corners, s_corners, planes = np.empty((most, 3)), np.empty((most, 3)), np.empty((most, 5))
    c, centre, frame = np.empty(3), np.empty(3), np.empty((3, 3))
    whose, codes = np.empty(_KEPT, np.int64), np.empty(_KEPT, np.int64)
    for k in range(_KEPT):
        whose[k] = -1
    near, none = np.empty(256, np.int64), np.empty(0, np.int64)
    window, subject, scratch = np.int64(0), np.int64(1), np.int64(4)
    used = 0
    for t in range(begin, end):
        counts[t - begin] = 0
        m = gather(w_nodes, w_faces, t, w_corners)
        if m < 3:
            continue
        box = face_box(w_corners, m, planar)
        n_near = _near(box, planar, t, origin, first, start, items, wraps, stamp, none)
        if n_near == 0:
            continue
        if used + n_near > columns.size:
            return used, t, n_near
        if n_near > near.size:
            near = np.empty(2 * n_near, np.int64)
        n_near = _near(box, planar, t, origin, first, start, items, wraps, stamp, near)
        c[0], c[1], c[2] = w_corners[0, 0], w_corners[0, 1], w_corners[0, 2]
        _shift(w_corners, m, c, work, window)
        planes_of(work, window, m, c, planes)
        w_area = polygon_area(w_corners, m, planar)
        if moments is not None:
            if not straight:
                frame_of(w_nodes, w_faces, t, planar, s_corners, work, scratch, seen, centre, frame)
        n_kept = 0
        for k in range(n_near):
            every, some = 0, ALL << 32
            if w_convex[t] and m <= MOST_PLANES:
                every, some = sides_of(s_nodes, s_faces, near[k], t, c, planes, m, whose, codes)
            if every & ALL == 0:
                # The planes that it crosses travel with its number.
                near[n_kept] = near[k] << 32 | (some >> 32 & ALL)
                n_kept += 1
        if straight:
            # So that the order does not depend on the buckets; turned round, it comes of itself.
            _sort(near, n_kept)
        before = used
        for k in range(n_kept):
            s, crossed = near[k] >> 32, near[k] & ALL
            if moments is not None:
                if crossed and straight:
                    frame_of(s_nodes, s_faces, s, planar, s_corners, work, scratch, seen, centre, frame)
            n = gather(s_nodes, s_faces, s, s_corners)
            if n < 3:
                continue
            # The subject's own area, where it is all inside or is the target.
            area = polygon_area(s_corners, n, planar) if not (crossed and straight) else 0.0
            least, x, y = _SLIVER * (w_area if straight else area), 0.0, 0.0
            if crossed or moments is not None:
                _shift(s_corners, n, c, work, subject)
            if not w_convex[t]:
                area, x, y = common(work, n, s_convex[s], m, c, planes, frame, planar, moments, seen)
            else:
                p = subject
                if crossed:
                    n, p = clip(work, subject, n, planes, m, crossed)
                    area = area_of(work, p, n, c, planar) if n > 0 else 0.0
                # A whole source cell has no moment about its own centre.
                if moments is not None:
                    if n > 0 and (crossed or not straight):
                        x, y, _ = first_moment(work, p, n, c, frame, planar, seen)
            if area > least:
                columns[used], values[used, 0] = s, area
                if moments is not None:
                    values[used, 1], values[used, 2] = x, y
                used += 1
        counts[t - begin] = used - before
    return used, end, 0


@overload
def overlaps(target: Cells, source: Cells, *, moments: Literal[False] = False, block: int = 1024) -> Rows: ...
@overload
def overlaps(target: Cells, source: Cells, *, moments: Literal[True], block: int = 1024) -> tuple[Rows, np.ndarray]: ...
def overlaps(
    target: Cells, source: Cells, *, moments: bool = False, block: int = 1024
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
    # The larger cells are the windows: most of the smaller ones are inside them, where there is nothing to clip.
    straight = _usual_area(target) >= _usual_area(source)
    windows, subjects = (target, source) if straight else (source, target)
    chunks = _chunks(windows, subjects, straight, moments, block)
    rows, offsets = (_joined if straight else _turned)(chunks, target.faces.shape[0], source.faces.shape[0], moments)
    return (rows, offsets) if moments else rows


def _usual_area(cells: Cells) -> float:
    """Mean area of some of the cells."""
    used = np.flatnonzero(cells.faces[:, 0] >= 0)
    some = used[:: max(1, used.size // 1000)]
    return float(areas(cells._replace(faces=cells.faces[some])).mean()) if used.size else 0.0


class _Chunk(NamedTuple):
    """Overlaps of consecutive windows: how many each has, with which subjects, areas and moments (entries, 1 or 3)."""

    counts: np.ndarray
    columns: np.ndarray
    values: np.ndarray


def _chunks(windows: Cells, subjects: Cells, straight: bool, moments: bool, block: int) -> list[_Chunk]:
    buckets = bucket_cells(subjects)
    room = block * (4 + 2 * subjects.faces.shape[0] // max(1, windows.faces.shape[0]))
    # For each thread which window saw each subject last, and room for entries; back here when its block is done.
    spare: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []

    def places(room: int) -> tuple[np.ndarray, np.ndarray]:
        return np.empty(room, np.uint32), np.empty((room, 3 if moments else 1))

    def work(begin: int, end: int) -> list[_Chunk]:
        stamp, columns, values = spare.pop() if spare else (np.full(len(subjects.faces), -1, np.int32), *places(room))
        chunks = []
        while begin < end:
            counts = np.empty(end - begin, np.int64)
            used, after, needed = _overlaps(
                *windows[:3], *subjects[:3], windows.planar, straight, moments or None,
                *buckets, stamp, begin, end, counts, columns, values,
            )  # fmt: skip
            chunks.append(_Chunk(counts[: after - begin].copy(), columns[:used].copy(), values[:used].copy()))
            begin = after
            if needed > columns.size:
                columns, values = places(2 * needed)
        spare.append((stamp, columns, values))
        return chunks

    found = threads.over_blocks(work, windows.faces.shape[0], block=block)
    return [chunk for chunks in found for chunk in chunks]


def _joined(chunks: list[_Chunk], n_rows: int, n_columns: int, moments: bool) -> tuple[Rows, np.ndarray]:
    """Rows of consecutive windows as one."""
    start = np.zeros(n_rows + 1, np.int64)
    np.cumsum(np.concatenate([start[:0], *(c.counts for c in chunks)]), out=start[1:])
    columns, values, offsets = _places(start[-1], moments)
    at = 0
    for chunk in _used_up(chunks):
        span = slice(at, at := at + chunk.columns.size)
        columns[span], values[span], offsets[span] = chunk.columns, chunk.values[:, 0], chunk.values[:, 1:]
    return Rows(start, columns, values, n_columns), offsets


def _turned(chunks: list[_Chunk], n_rows: int, n_columns: int, moments: bool) -> tuple[Rows, np.ndarray]:
    """Rows of which consecutive windows are the columns: in ascending order, as those are."""
    start = np.zeros(n_rows + 2, np.int64)
    for chunk in chunks:
        _count(chunk.columns, start[2:])
    np.cumsum(start, out=start)
    columns, values, offsets = _places(start[-1], moments)
    row = 0
    for chunk in _used_up(chunks):
        _turn(*chunk, row, start[1:], columns, values, offsets)
        row += chunk.counts.size
    return Rows(start[:-1], columns, values, n_columns), offsets


def _places(number: int, moments: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return np.empty(number, np.uint32), np.empty(number), np.empty((number, 2 if moments else 0))


def _used_up(chunks: list[_Chunk]) -> Iterator[_Chunk]:
    """Each chunk in turn, let go of when the next is asked for."""
    chunks.reverse()
    while chunks:
        yield chunks.pop()


@kernel
def _count(columns, counts):
    for k in range(columns.size):
        counts[columns[k]] += 1


@kernel
def _turn(counts, columns, values, first_row, start, out_columns, out_values, out_moments):
    """Write entries (row, column, values) by column; ``start`` is where each column goes on."""
    k = 0
    for i in range(counts.size):
        for _ in range(counts[i]):
            at = start[columns[k]]
            start[columns[k]] += 1
            out_columns[at], out_values[at] = first_row + i, values[k, 0]
            for d in range(out_moments.shape[1]):
                out_moments[at, d] = values[k, 1 + d]
            k += 1
