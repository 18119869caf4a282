"""Kernels of labelling: connected cells of a mask, step by step or through time, by rows and columns or by any neighbours."""

import numpy as np

from oceankit.numerics.compiling import kernel

__all__ = ["label_cells", "label_rows", "relabel", "seam_cells", "seam_rows", "unite"]

_OUTSIDE = np.uint64(0)
_INSIDE = np.uint64(0x0101010101010101)


@kernel
def _root(parent: np.ndarray, a: int) -> int:
    """The first member of the component of ``a``; the way to it is halved."""
    while parent[a] != a:
        parent[a] = parent[parent[a]]
        a = parent[a]
    return a


@kernel
def unite(parent: np.ndarray, a: int, b: int) -> None:
    """Make the components of two members one; ``parent`` (members,) leads each to an earlier one, and the first to itself."""
    a, b = _root(parent, a), _root(parent, b)
    if a < b:
        parent[b] = a
    elif b < a:
        parent[a] = b


# ---- rows and columns -----------------------------------------------------------------------------------------------


@kernel
def _find_edges(flat: np.ndarray, words: np.ndarray, begin: int, nx: int, edges: np.ndarray, n: int) -> int:
    """Write where runs of the row ``flat[begin : begin + nx]`` begin and end, alternating, from ``edges[n]`` on.

    Words of eight bytes that go on as before (most of a mask) are passed over, the others written without a branch.
    """
    stop = begin + nx
    last = np.uint8(0)
    i = begin
    while i < stop:
        if i & 7 == 0 and i + 8 <= stop:
            if words[i >> 3] == (_INSIDE if last == 1 else _OUTSIDE):
                i += 8
                continue
            for k in range(i, i + 8):
                edges[n] = k - begin
                n += flat[k] ^ last
                last = flat[k]
            i += 8
        else:
            edges[n] = i - begin
            n += flat[i] ^ last
            last = flat[i]
            i += 1
    if last == 1:
        edges[n] = nx
        n += 1
    return n


@kernel
def _join_rows(
    edges: np.ndarray, parent: np.ndarray, a: int, a_end: int, b: int, b_end: int, reach: int, around: int
) -> None:  # fmt: skip
    """Unite runs ``a`` to ``a_end`` of a row with runs ``b`` to ``b_end`` of an earlier one that they touch.

    ``reach`` is 1 where corners count; ``around`` is the length of a row that closes on itself, otherwise 0.
    """
    if a == a_end or b == b_end:
        return
    if around > 0 and reach > 0:
        # Corners across the seam.
        if edges[2 * a] == 0 and edges[2 * b_end - 1] == around:
            unite(parent, a, b_end - 1)
        if edges[2 * a_end - 1] == around and edges[2 * b] == 0:
            unite(parent, a_end - 1, b)
    while a < a_end and b < b_end:
        end_a, end_b = edges[2 * a + 1], edges[2 * b + 1]
        if edges[2 * b] < end_a + reach and edges[2 * a] < end_b + reach and parent[a] != parent[b]:
            unite(parent, a, b)
        if end_a < end_b:
            a += 1
        else:
            b += 1


@kernel
def _write_runs(line: np.ndarray, edges: np.ndarray, label: np.ndarray, run: int, run_end: int) -> None:
    for r in range(run, run_end):
        begin, end = edges[2 * r], edges[2 * r + 1]
        if end + 4 <= line.size:
            # Most runs of a ragged mask are short: four labels and four zeros at once; the next run lies behind.
            for x in range(begin, begin + 4):
                line[x] = label[r]
            for x in range(begin + 4, end):
                line[x] = label[r]
            for x in range(end, end + 4):
                line[x] = 0
        else:
            for x in range(begin, end):
                line[x] = label[r]


@kernel
def label_rows(
    mask: np.ndarray, words: np.ndarray, out: np.ndarray, beside: int, before: int, before_beside: int, closed: bool
) -> int:
    """Components of a mask over steps, rows and columns, numbered from 1 as they first appear; returns how many.

    Runs of cells along each row are united with those that they touch in the row before and in the step before.

    Parameters
    ----------
    mask : uint8 (steps, ny, nx)
        0 and 1, C-contiguous.
    words : uint64 (mask.size // 8,)
        The same memory.
    out : int32 (steps, ny, nx) or (2, ny, nx)
        Zeros, where labels are written: all of them, or those of the first and the last step.
    beside, before, before_beside : int
        Whether cells touch those of the next row in the same step, of the same row one step earlier, and of the row
        beside that one: -1 not at all, 0 in the same column, 1 also in the columns next to it.
    closed : bool
        Whether the last column is beside the first.
    """
    steps, ny, nx = mask.shape
    flat = mask.reshape(-1)
    edges = np.empty(steps * ny * (nx + 1) + 1, np.int32)
    first = np.empty(steps * ny + 1, np.int32)
    parent = np.empty(steps * ny * ((nx + 1) // 2), np.int32)
    around = nx if closed else 0
    n = 0
    for row in range(steps * ny):
        a = n
        first[row] = a
        n = _find_edges(flat, words, row * nx, nx, edges, 2 * a) // 2
        first[row + 1] = n
        for run in range(a, n):
            parent[run] = run
        if a == n:
            continue
        if closed and edges[2 * a] == 0 and edges[2 * n - 1] == nx:
            unite(parent, a, n - 1)
        y = row % ny
        if beside >= 0 and y > 0:
            _join_rows(edges, parent, a, n, first[row - 1], a, beside, around)
        if before >= 0 and row >= ny:
            b = row - ny
            _join_rows(edges, parent, a, n, first[b], first[b + 1], before, around)
            if before_beside >= 0 and y > 0:
                _join_rows(edges, parent, a, n, first[b - 1], first[b], before_beside, around)
            if before_beside >= 0 and y + 1 < ny:
                _join_rows(edges, parent, a, n, first[b + 1], first[b + 2], before_beside, around)
    count = 0
    for run in range(n):
        # The root of a component is the first of its runs: those after it find its label there.
        if parent[run] == run:
            count += 1
            parent[run] = count
        else:
            parent[run] = parent[parent[run]]
    whole = out.shape[0] == steps
    for step in range(steps):
        if whole or step == 0 or step == steps - 1:
            at = step if whole else min(step, 1)
            for y in range(ny):
                row = step * ny + y
                _write_runs(out[at, y], edges, parent, first[row], first[row + 1])
    return count


@kernel
def seam_rows(
    mask: np.ndarray, words: np.ndarray, last: np.ndarray, first: np.ndarray, before: int, before_beside: int, closed: bool
) -> np.ndarray:  # fmt: skip
    """Labels (n, 2) that touch of two consecutive steps ``last`` and ``first`` (ny, nx); a pair may come several times.

    ``mask`` (2, ny, nx) says where they are, the rest is as in :func:`label_rows`.
    """
    ny, nx = first.shape
    flat = mask.reshape(-1)
    edges = np.empty(2 * ny * (nx + 1) + 1, np.int32)
    row_first = np.zeros(2 * ny + 1, np.int64)
    for row in range(2 * ny):
        row_first[row + 1] = _find_edges(flat, words, row * nx, nx, edges, 2 * row_first[row]) // 2
    # Each step along two rows adds one pair at most, the seam two.
    pairs = np.empty((3 * row_first[2 * ny] + 6 * ny, 2), np.int32)
    n = 0
    for y in range(ny):
        for dy in range(-1, 2):
            reach = before if dy == 0 else before_beside
            if reach >= 0 and 0 <= y + dy < ny:
                a, a_end, b, b_end = row_first[ny + y], row_first[ny + y + 1], row_first[y + dy], row_first[y + dy + 1]
                n = _pair_rows(edges, first[y], last[y + dy], a, a_end, b, b_end, reach, nx if closed else 0, pairs, n)
    return pairs[:n]


@kernel
def _pair_rows(
    edges: np.ndarray, new: np.ndarray, old: np.ndarray, a: int, a_end: int, b: int, b_end: int, reach: int, around: int,
    pairs: np.ndarray, n: int,
) -> int:  # fmt: skip
    """The walk of :func:`_join_rows`, writing pairs of labels from ``pairs[n]`` on."""
    if a == a_end or b == b_end:
        return n
    if around > 0 and reach > 0:
        if edges[2 * a] == 0 and edges[2 * b_end - 1] == around:
            pairs[n, 0], pairs[n, 1] = old[around - 1], new[0]
            n += 1
        if edges[2 * a_end - 1] == around and edges[2 * b] == 0:
            pairs[n, 0], pairs[n, 1] = old[0], new[around - 1]
            n += 1
    while a < a_end and b < b_end:
        end_a, end_b = edges[2 * a + 1], edges[2 * b + 1]
        if edges[2 * b] < end_a + reach and edges[2 * a] < end_b + reach:
            pairs[n, 0], pairs[n, 1] = old[end_b - 1], new[end_a - 1]
            n += 1
        if end_a < end_b:
            a += 1
        else:
            b += 1
    return n


# ---- any neighbours -------------------------------------------------------------------------------------------------


@kernel
def label_cells(
    mask: np.ndarray, out: np.ndarray, start: np.ndarray, columns: np.ndarray,
    before_start: np.ndarray, before_columns: np.ndarray, through_time: bool,
) -> int:  # fmt: skip
    """Components of a mask over steps and cells, numbered from 1 as they first appear; returns how many.

    Parameters
    ----------
    mask : uint8 (steps, cells)
    out : int32 (steps, cells)
        Zeros, where labels are written.
    start, columns : int64 (cells + 1,), int32
        Cells that each touches in the same step, those of cell i from ``columns[start[i]]`` on.
    before_start, before_columns
        Cells that each touches one step earlier, besides itself.
    through_time : bool
        Whether a cell touches itself one step earlier.
    """
    steps, cells = mask.shape
    # While components grow, ``out`` holds for each cell the place of an earlier member, plus 1.
    flat = out.reshape(-1)
    for step in range(steps):
        here = step * cells
        for cell in range(cells):
            if mask[step, cell] == 0:
                continue
            flat[here + cell] = here + cell + 1
            for k in range(start[cell], start[cell + 1]):
                if columns[k] < cell and flat[here + columns[k]] > 0:
                    _unite_cells(flat, here + cell, here + columns[k])
            if not through_time or step == 0:
                continue
            if flat[here - cells + cell] > 0:
                _unite_cells(flat, here + cell, here - cells + cell)
            for k in range(before_start[cell], before_start[cell + 1]):
                if flat[here - cells + before_columns[k]] > 0:
                    _unite_cells(flat, here + cell, here - cells + before_columns[k])
    count = 0
    for i in range(flat.size):
        if flat[i] == i + 1:
            count += 1
            # Labels are negative for now, not to be taken for places.
            flat[i] = -count
        elif flat[i] > 0:
            flat[i] = flat[flat[i] - 1]
    for i in range(flat.size):
        flat[i] = -flat[i]
    return count


@kernel
def _unite_cells(flat: np.ndarray, a: int, b: int) -> None:
    while flat[a] != a + 1:
        flat[a] = flat[flat[a] - 1]
        a = flat[a] - 1
    while flat[b] != b + 1:
        flat[b] = flat[flat[b] - 1]
        b = flat[b] - 1
    if a < b:
        flat[b] = a + 1
    elif b < a:
        flat[a] = b + 1


@kernel
def seam_cells(last: np.ndarray, first: np.ndarray, before_start: np.ndarray, before_columns: np.ndarray) -> np.ndarray:
    """As :func:`seam_rows`, of two steps (cells,) and the neighbours of :func:`label_cells`."""
    pairs = np.empty((first.size + before_columns.size, 2), np.int32)
    n = 0
    for cell in range(first.size):
        if first[cell] == 0:
            continue
        old = 0
        for k in range(before_start[cell] - 1, before_start[cell + 1]):
            # One more than there are: a cell also touches itself.
            at = cell if k < before_start[cell] else before_columns[k]
            if last[at] != 0 and last[at] != old:
                old = last[at]
                pairs[n, 0], pairs[n, 1] = old, first[cell]
                n += 1
    return pairs[:n]


# ---- both -----------------------------------------------------------------------------------------------------------


@kernel
def relabel(labels: np.ndarray, words: np.ndarray, table: np.ndarray) -> None:
    """Replace each of the (n,) labels by its entry in ``table``, in place; ``table[0]`` is 0.

    ``words`` (n // 8,) are those of the mask: where they are 0 the labels are not even read.
    """
    for w in range(words.size):
        if words[w] != 0:
            for i in range(8 * w, 8 * w + 8):
                labels[i] = table[labels[i]]
    for i in range(8 * words.size, labels.size):
        labels[i] = table[labels[i]]
