"""Around each node of a mesh: the faces in order, the cell that they cut out for it, triangles between their centres."""

import math

import numpy as np

from oceankit.numerics.compiling import kernel

__all__ = ["between_centres", "cells_of_nodes", "within_faces", "without_repeats"]

# Corners that turn by less than this share of a right angle leave four centres no bilinear patch.
_FLAT = 1e-3


@kernel
def without_repeats(faces: np.ndarray) -> None:
    """Leave out, in place, corners that repeat the one before; faces with fewer than three others become none."""
    width = faces.shape[1]
    for f in range(faces.shape[0]):
        n = 0
        for k in range(width):
            if faces[f, k] >= 0 and (n == 0 or faces[f, k] != faces[f, n - 1]):
                faces[f, n] = faces[f, k]
                n += 1
        while n > 1 and faces[f, n - 1] == faces[f, 0]:
            n -= 1
        for k in range(n if n > 2 else 0, width):
            faces[f, k] = -1


@kernel
def _most(start: np.ndarray, begin: int, end: int) -> int:
    most = 0
    for node in range(begin, end):
        most = max(most, start[node + 1] - start[node])
    return most


@kernel
def _at_node(node: int, faces: np.ndarray, items: np.ndarray, first: int, n: int, at: np.ndarray) -> None:
    """Of each of the ``n`` faces at a node: its place in the face, the corner before it, the nodes after and before."""
    for i in range(n):
        f = items[first + i]
        corners, here = 0, 0
        while corners < faces.shape[1] and faces[f, corners] >= 0:
            if faces[f, corners] == node:
                here = corners
            corners += 1
        last = here - 1 if here > 0 else corners - 1
        at[i, 0], at[i, 1] = here, last
        at[i, 2], at[i, 3] = faces[f, here + 1 if here + 1 < corners else 0], faces[f, last]


@kernel
def _fans(n: int, at: np.ndarray, order: np.ndarray, ends: np.ndarray, closed: np.ndarray, taken: np.ndarray) -> int:
    """Faces at a node counter-clockwise, those that share edges one after the other; returns how many fans there are.

    Fan p is ``order[ends[p - 1]:ends[p]]``; it is closed where its last face shares an edge with its first.
    """
    for i in range(n):
        taken[i] = False
    done = parts = 0
    # Open fans begin with a face that has no other before it; what is left goes all around.
    for sweep in range(2):
        for i in range(n):
            begins = not taken[i]
            if sweep == 0:
                for j in range(n):
                    begins = begins and at[j, 3] != at[i, 2]
            here = i if begins else -1
            while here >= 0:
                taken[here] = True
                order[done] = here
                done += 1
                follows = -1
                for j in range(n):
                    if follows < 0 and not taken[j] and at[j, 2] == at[here, 3]:
                        follows = j
                if follows < 0:
                    closed[parts] = at[here, 3] == at[i, 2]
                    ends[parts] = done
                    parts += 1
                here = follows
    return parts


@kernel
def cells_of_nodes(
    begin: int, end: int, faces: np.ndarray, start: np.ndarray, items: np.ndarray, cells: np.ndarray, widths: np.ndarray
) -> None:
    """Count the corners of the cell of each node begin..end in ``widths`` (``cells`` empty), or write them.

    A corner is a node; a middle of an edge: nodes + corner of the face that the edge begins at; or a centre of a face:
    nodes + corners + face.
    """
    n_nodes, width = start.size - 1, faces.shape[1]
    most = _most(start, begin, end) + 1
    at, order, ends = np.empty((most, 4), np.int64), np.empty(most, np.int64), np.empty(most, np.int64)
    closed, taken = np.empty(most, np.bool_), np.empty(most, np.bool_)
    writing = cells.size > 0
    for node in range(begin, end):
        first, n = start[node], start[node + 1] - start[node]
        _at_node(node, faces, items, first, n, at)
        parts = _fans(n, at, order, ends, closed, taken)
        # One fan all around goes without the node; where the rim runs through it, each fan begins and ends there.
        around = parts == 1 and closed[0]
        if not writing:
            widths[node] = 2 * n if around else 2 * n + 2 * parts
            continue
        to = q = 0
        for part in range(parts):
            if not around:
                cells[node, to] = node
                to += 1
            while q < ends[part]:
                i = order[q]
                f = items[first + i]
                cells[node, to] = n_nodes + f * width + at[i, 0]
                cells[node, to + 1] = n_nodes + faces.size + f
                to += 2
                q += 1
                if q == ends[part] and not around:
                    cells[node, to] = n_nodes + f * width + at[i, 1]
                    to += 1
        while to < cells.shape[1]:
            cells[node, to] = -1
            to += 1


@kernel
def between_centres(
    begin: int, end: int, faces: np.ndarray, start: np.ndarray, items: np.ndarray, nodes: np.ndarray, centres: np.ndarray,
    planar: bool, offsets: np.ndarray, out: np.ndarray,
) -> None:  # fmt: skip
    """Patches of three or four centres around each node begin..end, from row ``offsets[node]`` of ``out`` (m, 4) on."""
    most = _most(start, begin, end) + 1
    at, order, ends = np.empty((most, 4), np.int64), np.empty(most, np.int64), np.empty(most, np.int64)
    closed, taken = np.empty(most, np.bool_), np.empty(most, np.bool_)
    p, ids = np.empty((most, 2)), np.empty(most, np.int64)
    for node in range(begin, end):
        first, n = start[node], start[node + 1] - start[node]
        _at_node(node, faces, items, first, n, at)
        parts = _fans(n, at, order, ends, closed, taken)
        row, q = offsets[node], 0
        for part in range(parts):
            m = 0
            while q < ends[part]:
                ids[m] = items[first + order[q]]
                q += 1
                m += 1
            if not closed[part]:
                # At the rim the node stands in the polygon, so that no triangle reaches beyond it.
                ids[m] = -1
                m += 1
            if _flattened(ids, m, nodes[node], centres, planar, p):
                row = _patches(p, ids, m, out, row)


@kernel
def within_faces(
    begin: int, end: int, faces: np.ndarray, nodes: np.ndarray, centres: np.ndarray, planar: bool, offsets: np.ndarray,
    out: np.ndarray,
) -> None:  # fmt: skip
    """Patches of three or four corners of each face begin..end, from row ``offsets[face]`` of ``out`` (m, 4) on."""
    p, ids = np.empty((faces.shape[1], 2)), np.empty(faces.shape[1], np.int64)
    for f in range(begin, end):
        m = 0
        while m < faces.shape[1] and faces[f, m] >= 0:
            ids[m] = faces[f, m]
            m += 1
        if m > 2 and _flattened(ids, m, centres[f], nodes, planar, p):
            _patches(p, ids, m, out, offsets[f])


@kernel
def _flattened(ids: np.ndarray, m: int, node: np.ndarray, centres: np.ndarray, planar: bool, p: np.ndarray) -> bool:
    """Centres (the node itself for -1) seen from the node, on the plane across it; false where one cannot be seen."""
    usable = True
    ex, ey, ez, fx, fy, fz = 1.0, 0.0, 0.0, 0.0, 1.0, 0.0
    if not planar:
        x, y, z = (-node[1], node[0], 0.0) if abs(node[2]) < 0.9 else (0.0, -node[2], node[1])
        size = math.sqrt(x * x + y * y + z * z)
        ex, ey, ez = x / size, y / size, z / size
        fx, fy, fz = node[1] * ez - node[2] * ey, node[2] * ex - node[0] * ez, node[0] * ey - node[1] * ex
    for k in range(m):
        p[k, 0] = p[k, 1] = 0.0
        if ids[k] < 0:
            continue
        c = centres[ids[k]]
        dx, dy, dz = c[0] - node[0], c[1] - node[1], c[2] - node[2]
        up = 1.0 if planar else c[0] * node[0] + c[1] * node[1] + c[2] * node[2]
        # Great circles are straight where the sphere is seen from its centre, as far as that reaches.
        usable = usable and up > 0.1
        p[k, 0] = (dx * ex + dy * ey + dz * ez) / up
        p[k, 1] = (dx * fx + dy * fy + dz * fz) / up
    return usable


@kernel
def _turn(p: np.ndarray, a: int, b: int, c: int) -> float:
    """Twice the area of a triangle, positive where it is counter-clockwise."""
    return (p[b, 0] - p[a, 0]) * (p[c, 1] - p[a, 1]) - (p[c, 0] - p[a, 0]) * (p[b, 1] - p[a, 1])


@kernel
def _squared(p: np.ndarray, a: int, b: int) -> float:
    return (p[b, 0] - p[a, 0]) ** 2 + (p[b, 1] - p[a, 1]) ** 2


@kernel
def _patches(p: np.ndarray, ids: np.ndarray, m: int, out: np.ndarray, row: int) -> int:
    """Write a polygon as one patch where it is one, else as triangles; returns the next free row."""
    if _is_patch(p, ids, m):
        for k in range(4):
            out[row, k] = ids[k]
        row += 1
    else:
        row = _ears(p, ids, m, out, row)
    return row


@kernel
def _is_patch(p: np.ndarray, ids: np.ndarray, m: int) -> bool:
    """Whether four points are convex enough for a bilinear patch."""
    convex = m == 4 and min(min(ids[0], ids[1]), min(ids[2], ids[3])) >= 0
    for b in range(4 if convex else 0):
        a, c = (b + 3) % 4, (b + 1) % 4
        convex = convex and _turn(p, a, b, c) > _FLAT * math.sqrt(_squared(p, a, b) * _squared(p, b, c))
    return convex


@kernel
def _quality(p: np.ndarray, ids: np.ndarray, m: int, b: int) -> float:
    """How good a triangle polygon corner b makes with those beside it: up to 1, where not allowed below 0."""
    a, c = (b - 1 if b > 0 else m - 1), (b + 1 if b + 1 < m else 0)
    if ids[a] < 0 or ids[b] < 0 or ids[c] < 0:
        return -1.0
    area, sides = _turn(p, a, b, c), _squared(p, a, b) + _squared(p, b, c) + _squared(p, c, a)
    allowed = area > 1e-9 * sides
    for k in range(m):
        if k != a and k != b and k != c:
            least = min(_turn(p, a, b, k), min(_turn(p, b, c, k), _turn(p, c, a, k)))
            allowed = allowed and least < 1e-12 * sides
    return 2.0 * math.sqrt(3.0) * area / sides if allowed else -1.0


@kernel
def _ears(p: np.ndarray, ids: np.ndarray, m: int, out: np.ndarray, row: int) -> int:
    """Cut a polygon into triangles, the best one that holds no other corner first; returns the next free row."""
    best = 0
    while m > 2 and best >= 0:
        best, quality = -1, 0.0
        for b in range(m):
            q = _quality(p, ids, m, b)
            if q > quality:
                best, quality = b, q
        if best >= 0:
            out[row, 0], out[row, 1] = ids[best - 1 if best > 0 else m - 1], ids[best]
            out[row, 2], out[row, 3] = ids[best + 1 if best + 1 < m else 0], -1
            row += 1
            m -= 1
            for k in range(best, m):
                ids[k], p[k, 0], p[k, 1] = ids[k + 1], p[k + 1, 0], p[k + 1, 1]
    return row
