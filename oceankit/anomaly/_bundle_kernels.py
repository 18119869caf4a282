"""Labelling of masks where corners connect, by bundles of rows.

Two rows that lie beside each other, in one step or in two consecutive ones as well, are a bundle: cells of it in the same or in
neighbouring columns touch. A run of columns in which it has cells is therefore connected, however ragged its rows are, and
there are few such runs even in noise. Rows are held as bits.
"""

import numpy as np

from oceankit.anomaly._label_kernels import unite
from oceankit.numerics.bits import any_between, how_many, lowest, pack_ones, words_for
from oceankit.numerics.compiling import helper, kernel

__all__ = ["label_bundles"]

_NONE, _ONE, _U6, _U63 = (np.uint64(n) for n in (0, 1, 6, 63))
_BACK = np.uint64(2**64 - 1)  # one to the left, round the numbers of 64 bits
# Cells that are written at once: most runs of a ragged mask are shorter.
_AT_ONCE = 8


@kernel
def _find_runs(bits, rows, nx, edges, starts, ranks, n):
    """Write where runs of columns of a bundle begin and end, alternating, from run ``n`` on; returns what follows.

    The same as bits: ``starts`` (words,), and how many runs begin before each word, ``ranks`` (words,).
    """
    one, two, three, four = rows
    before, edge = np.uint64(0), 2 * n
    for m in range(starts.size):
        word = bits[one, m] | bits[two, m] | bits[three, m] | bits[four, m]
        turns = word ^ ((word << _ONE) | before)
        starts[m] = turns & word
        ranks[m] = (edge + 1) >> 1
        before = word >> _U63
        while turns != 0:
            edges[edge] = 64 * m + np.int64(lowest(turns))
            edge += 1
            turns &= turns - _ONE
    if before != 0:
        edges[edge] = nx
        edge += 1
    return edge >> 1


@helper
def _run_at(starts, ranks, at, column):
    """The run of a bundle that a column lies in."""
    m = column >> _U6
    return ranks[at, m] + np.int64(how_many(starts[at, m] << (_U63 - (column & _U63)))) - 1


@kernel
def _unite_all(parent, starts, ranks, touching, m, at_a, to_the_right, at_b):
    """Unite runs of two bundles at each column of a word; ``to_the_right`` those so many columns further of the first."""
    while touching != 0:
        column = np.uint64(64 * m) + lowest(touching)
        touching &= touching - _ONE
        a, b = _run_at(starts, ranks, at_a, column + to_the_right), _run_at(starts, ranks, at_b, column)
        if parent[a] != parent[b]:
            unite(parent, a, b)


@kernel
def _join(bits, starts, ranks, parent, at_b, of_b, at_a, of_a, around):
    """Unite the runs of a bundle with those of an earlier one that they touch.

    ``of_b`` and ``of_a`` are those rows of the bundles, two each, that are beside each other; ``around`` is the number of
    columns where the last is beside the first, otherwise 0.
    """
    a_before, b_before = np.uint64(0), np.uint64(0)
    a_next, b_next = bits[of_a[0], 0] | bits[of_a[1], 0], bits[of_b[0], 0] | bits[of_b[1], 0]
    for m in range(starts.shape[1]):
        a, b = a_next, b_next
        a_next, b_next = np.uint64(0), np.uint64(0)
        if m + 1 < starts.shape[1]:
            a_next, b_next = bits[of_a[0], m + 1] | bits[of_a[1], m + 1], bits[of_b[0], m + 1] | bits[of_b[1], m + 1]
        if b != 0:
            # Cells one column to the left and to the right of each.
            a_left, b_left = (a << _ONE) | (a_before >> _U63), (b << _ONE) | (b_before >> _U63)
            a_right, b_right = (a >> _ONE) | (a_next << _U63), (b >> _ONE) | (b_next << _U63)
            # Of cells that touch side by side the first is enough, and corners where nothing else touches.
            here = a & b & ~(a_left & b_left)
            if here != 0:
                _unite_all(parent, starts, ranks, here, m, at_a, _NONE, at_b)
            here = a_left & b & ~(a | b_left)
            if here != 0:
                _unite_all(parent, starts, ranks, here, m, at_a, _BACK, at_b)
            here = a_right & b & ~(a | b_right)
            if here != 0:
                _unite_all(parent, starts, ranks, here, m, at_a, _ONE, at_b)
        a_before, b_before = a, b
    if around > 0:
        last = np.uint64(around - 1)
        for column_a, column_b in ((last, _NONE), (_NONE, last)):
            if _cell(bits, of_a, column_a) and _cell(bits, of_b, column_b):
                unite(parent, _run_at(starts, ranks, at_a, column_a), _run_at(starts, ranks, at_b, column_b))


@helper
def _cell(bits, pair, column):
    m = column >> _U6
    return ((bits[pair[0], m] | bits[pair[1], m]) >> (column & _U63)) & _ONE != 0


@kernel
def label_bundles(mask: np.ndarray, out: np.ndarray, through_time: bool, closed: bool) -> int:
    """Components of a mask over steps, rows and columns, numbered from 1 as they first appear; returns how many.

    Cells touch those around them in the same step, corners included, and with ``through_time`` those around them in the step
    before as well. Other arguments as in :func:`oceankit.anomaly._label_kernels.label_rows`.
    """
    steps, ny, nx = mask.shape
    depth = 2 if through_time else 1
    n_rows, n_bundles = steps * ny, (ny + 1) // 2
    layers = (steps + depth - 1) // depth
    # One more row, empty, stands for those that a bundle at the end lacks.
    bits = np.zeros((n_rows + 1, words_for(nx)), np.uint64)
    flat = mask.reshape(-1)
    for row in range(n_rows):
        pack_ones(flat[row * nx : (row + 1) * nx], bits[row])
    starts = np.empty((layers * n_bundles, words_for(nx)), np.uint64)
    ranks = np.empty((layers * n_bundles, words_for(nx)), np.int32)
    edges = np.empty(layers * n_bundles * (nx + 1) + 1, np.int32)
    first = np.zeros(layers * n_bundles + 1, np.int32)
    parent = np.empty(layers * n_bundles * ((nx + 1) // 2), np.int32)
    around = nx if closed else 0
    for at in range(layers * n_bundles):
        layer, bundle = at // n_bundles, at % n_bundles
        step, y = layer * depth, 2 * bundle
        # Rows of the bundle by step and place: two of them where they are there.
        near, far = step * ny + y, step * ny + y + 1 if y + 1 < ny else n_rows
        later = depth == 2 and step + 1 < steps
        near_later, far_later = near + ny if later else n_rows, far + ny if later and far < n_rows else n_rows
        b = first[at]
        b_end = _find_runs(bits, (near, far, near_later, far_later), nx, edges, starts[at], ranks[at], b)
        first[at + 1] = b_end
        for run in range(b, b_end):
            parent[run] = run
        if b == b_end:
            continue
        if closed and edges[2 * b] == 0 and edges[2 * b_end - 1] == nx:
            unite(parent, b, b_end - 1)
        if bundle > 0:
            beside = near - 1, near_later - 1 if later else n_rows
            _join(bits, starts, ranks, parent, at, (near, near_later), at - 1, beside, around)
        if depth == 2 and layer > 0:
            before = at - n_bundles
            both = near - ny, far - ny if far < n_rows else n_rows
            _join(bits, starts, ranks, parent, at, (near, far), before, both, around)
            if bundle > 0:
                corner = near - ny - 1
                _join(bits, starts, ranks, parent, at, (near, near), before - 1, (corner, corner), around)
            if bundle + 1 < n_bundles:
                corner = far - ny + 1
                _join(bits, starts, ranks, parent, at, (far, far), before + 1, (corner, corner), around)
    return _write(flat, bits, edges, first, parent, depth, n_bundles, out, steps, ny, nx)


@kernel
def _write(flat, bits, edges, first, parent, depth, n_bundles, out, steps, ny, nx):
    """Number the components, row by row, and write those numbers."""
    total = first[first.size - 1]
    for run in range(total):
        parent[run] = parent[parent[run]]
    numbers = np.zeros(total, np.int32)
    count = 0
    whole = out.shape[0] == steps
    for step in range(steps):
        wanted = whole or step == 0 or step == steps - 1
        for y in range(ny):
            row = step * ny + y
            at = step // depth * n_bundles + y // 2
            line = out[step if whole else min(step, 1), y]
            cells = flat[row * nx : (row + 1) * nx]
            for run in range(first[at], first[at + 1]):
                root = parent[run]
                begin, end = edges[2 * run], edges[2 * run + 1]
                if numbers[root] == 0 and any_between(bits[row], begin, end):
                    count += 1
                    numbers[root] = count
                if not wanted:
                    continue
                number = numbers[root]
                if begin + _AT_ONCE <= nx:
                    # Cells behind the run belong to later ones, which are written after it.
                    for x in range(begin, begin + _AT_ONCE):
                        line[x] = cells[x] * number
                    for x in range(begin + _AT_ONCE, end):
                        line[x] = cells[x] * number
                else:
                    for x in range(begin, end):
                        line[x] = cells[x] * number
    return count
