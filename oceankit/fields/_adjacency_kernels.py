"""Which cells lie beside which: of a lattice, and of faces and nodes of a mesh."""

import numpy as np

from oceankit.numerics.compiling import kernel

__all__ = ["around_faces", "around_nodes", "faces_of_nodes", "of_lattice", "shared_corners"]


@kernel
def _add(some: np.ndarray, n: int, cell: int) -> int:
    """Put ``cell`` among the first ``n`` numbers of ``some``, ascending, each once; returns how many there are then."""
    at = n
    while at > 0 and some[at - 1] > cell:
        at -= 1
    # A single way out: Numba counts references of arrays at each call of a helper that has more.
    new = 0 if at > 0 and some[at - 1] == cell else 1
    if new == 1:
        for k in range(n, at, -1):
            some[k] = some[k - 1]
        some[at] = cell
    return n + new


@kernel
def of_lattice(
    begin: int, end: int, start: np.ndarray, columns: np.ndarray,
    number: np.ndarray, place: np.ndarray, twin: np.ndarray, same: np.ndarray, there: np.ndarray,
    joins_y: np.ndarray, joins_x: np.ndarray, fold: np.ndarray,
) -> None:  # fmt: skip
    """Count the neighbours of cells begin..end in ``start[cell + 1]`` (``columns`` empty), or write them from ``start[cell]``.

    Parameters
    ----------
    number : int32 (ny, nx)
        Cell at each place of the lattice.
    place, twin : int32 (cells,), int32 (cells,) or (0,)
        Flat place in the lattice of each cell, or of what it is a copy of, and where a copy stands; negative where none does.
    same : int32 (cells,)
        The cell that each is a copy of, or itself.
    there : bool (cells,)
        Whether it has a centre.
    joins_y, joins_x : bool (ny,), (nx,)
        Whether a row (column) joins the next; the last column may join the first, the last row only itself by ``fold``.
    fold : int64 (nx,) or (0,)
        Column of the last row that lies beyond each column of it.
    """
    ny, nx = number.shape
    some = np.empty(9, np.int32)
    for cell in range(begin, end):
        if place[cell] < 0 or not there[cell]:
            continue
        n = 0
        for stand in range(2 if twin.size > 0 else 1):
            at = place[cell] if stand == 0 else twin[cell]
            if at < 0:
                continue
            j = at // nx
            i = at - j * nx
            for side in range(4):
                row, column, joined = j, i, False
                if side == 0:
                    row = j - 1
                    joined = j > 0 and joins_y[row]
                elif side == 1:
                    column = i - 1 if i > 0 else nx - 1
                    joined = nx > 1 and joins_x[column]
                elif side == 2:
                    column = i + 1 if i + 1 < nx else 0
                    joined = nx > 1 and joins_x[i]
                elif j + 1 < ny:
                    row = j + 1
                    joined = joins_y[j]
                elif fold.size > 0 and same[number[j, i]] == number[j, i]:
                    # A row of copies already lies beyond the fold.
                    column = fold[i]
                    joined = True
                if joined:
                    other = same[number[row, column]]
                    if other != same[cell] and there[other]:
                        n = _add(some, n, other)
        if columns.size == 0:
            start[cell + 1] = n
        else:
            for k in range(n):
                columns[start[cell] + k] = some[k]


@kernel
def faces_of_nodes(faces: np.ndarray, start: np.ndarray, items: np.ndarray) -> None:
    """Count the faces at each node in ``start[node + 1]`` (``items`` empty), or write them, moving ``start[node]`` on."""
    for f in range(faces.shape[0]):
        for k in range(faces.shape[1]):
            node = faces[f, k]
            if node >= 0:
                if items.size == 0:
                    start[node + 1] += 1
                else:
                    items[start[node]] = f
                    start[node] += 1


@kernel
def _corners(faces: np.ndarray, f: int) -> int:
    n = 0
    while n < faces.shape[1] and faces[f, n] >= 0:
        n += 1
    return n


@kernel
def _has_edge(faces: np.ndarray, f: int, a: int, b: int) -> bool:
    n = _corners(faces, f)
    found = False
    for k in range(n):
        p, q = faces[f, k], faces[f, k + 1 if k + 1 < n else 0]
        found = found or (p == a and q == b) or (p == b and q == a)
    return found


@kernel
def around_faces(
    begin: int, end: int, start: np.ndarray, columns: np.ndarray,
    faces: np.ndarray, node_start: np.ndarray, items: np.ndarray,
) -> None:  # fmt: skip
    """Faces that share an edge with each face; counted or written as in :func:`of_lattice`."""
    some = np.empty(64, np.int32)
    for f in range(begin, end):
        corners = _corners(faces, f)
        n = 0
        for k in range(corners):
            a, b = faces[f, k], faces[f, k + 1 if k + 1 < corners else 0]
            if a == b:
                continue
            for m in range(node_start[a], node_start[a + 1]):
                other = items[m]
                if other != f and n < some.size - 1 and _has_edge(faces, other, a, b):
                    n = _add(some, n, other)
        if columns.size == 0:
            start[f + 1] = n
        else:
            for k in range(n):
                columns[start[f] + k] = some[k]


@kernel
def around_nodes(
    begin: int, end: int, start: np.ndarray, columns: np.ndarray,
    faces: np.ndarray, node_start: np.ndarray, items: np.ndarray,
) -> None:  # fmt: skip
    """Nodes at the other end of each node's edges; counted or written as in :func:`of_lattice`."""
    most = 0
    for node in range(begin, end):
        most = max(most, node_start[node + 1] - node_start[node])
    some = np.empty(2 * most + 1, np.int32)
    for node in range(begin, end):
        n = 0
        for m in range(node_start[node], node_start[node + 1]):
            f = items[m]
            corners = _corners(faces, f)
            for k in range(corners):
                if faces[f, k] == node:
                    before, after = faces[f, k - 1 if k > 0 else corners - 1], faces[f, k + 1 if k + 1 < corners else 0]
                    if before != node:
                        n = _add(some, n, before)
                    if after != node:
                        n = _add(some, n, after)
        if columns.size == 0:
            start[node + 1] = n
        else:
            for k in range(n):
                columns[start[node] + k] = some[k]


@kernel
def shared_corners(v: np.ndarray) -> bool:
    """Whether corners (ny, nx, 4) are those of the cells beside, counted around."""
    ny, nx = v.shape[:2]
    found = True
    for j in range(ny):
        for i in range(nx - 1):
            found &= v[j, i, 1] == v[j, i + 1, 0] and v[j, i, 2] == v[j, i + 1, 3]
        if j + 1 < ny:
            for i in range(nx):
                found &= v[j, i, 3] == v[j + 1, i, 0] and v[j, i, 2] == v[j + 1, i, 1]
        if not found:
            break
    return found
