"""Labelling of masks where corners connect, by bundles of rows.

Two rows that lie beside each other, in one step or in two consecutive ones as well, are a bundle: cells of it in the same or in
neighbouring columns touch. A run of columns in which it has cells is therefore connected, however ragged its rows are, and
there are few such runs even in noise. Rows are held as bits.
"""

import numpy as np

from oceankit.numerics.bits import any_between, lowest, ones_between, pack_ones, words_for
from oceankit.numerics.compiling import helper, kernel

__all__ = ["label_bundles"]

_ONE, _U63 = np.uint64(1), np.uint64(63)
# Cells that are written at once: most runs of a ragged mask are shorter.
_AT_ONCE = 8


@helper
def _root(parent, a):
    """The first member of the component of ``a``; the way to it is halved."""
    while parent[a] != a:
        parent[a] = parent[parent[a]]
        a = parent[a]
    return a


@helper
def _unite(parent, a, b):
    a, b = _root(parent, a), _root(parent, b)
    if a < b:
        parent[b] = a
    elif b < a:
        parent[a] = b


@kernel
def _find_runs(bits, rows, nx, edges, n):
    """Write where runs of columns of a bundle begin and end, alternating, from ``edges[n]`` on; returns what follows."""
    one, two, three, four = rows
    before = np.uint64(0)
    for m in range(bits.shape[1]):
        word = bits[one, m] | bits[two, m] | bits[three, m] | bits[four, m]
        turns = word ^ ((word << _ONE) | before)
        before = word >> _U63
        while turns != 0:
            edges[n] = 64 * m + np.int64(lowest(turns))
            n += 1
            turns &= turns - _ONE
    if before != 0:
        edges[n] = nx
        n += 1
    return n


@helper
def _word(bits, pair, m, start, stop):
    """Word ``m`` of two rows together, what lies outside ``start`` to ``stop`` left out."""
    return (bits[pair[0], m] | bits[pair[1], m]) & ones_between(m, start, stop)


@kernel
def _touch(bits, of_a, of_b, begin_a, end_a, begin_b, end_b):
    """Whether cells of two rows within one run touch cells of two others within another, in the same or the next columns."""
    first, last = begin_a >> 6, (end_a - 1) >> 6
    for m in range(max(begin_a - 1, begin_b) >> 6, (min(end_a + 1, end_b) - 1 >> 6) + 1):
        here = _word(bits, of_a, m, begin_a, end_a)
        reached = here | (here << _ONE) | (here >> _ONE)
        if m > first:
            reached |= _word(bits, of_a, m - 1, begin_a, end_a) >> _U63
        if m < last:
            reached |= _word(bits, of_a, m + 1, begin_a, end_a) << _U63
        if reached & _word(bits, of_b, m, begin_b, end_b) != 0:
            return True
    return False


@helper
def _cell(bits, pair, x):
    return (bits[pair[0], x >> 6] | bits[pair[1], x >> 6]) >> np.uint64(x & 63) & _ONE != 0


@kernel
def _join(bits, edges, parent, b, b_end, of_b, a, a_end, of_a, around):
    """Unite runs ``b`` to ``b_end`` of a bundle with runs ``a`` to ``a_end`` of an earlier one.

    ``of_b`` and ``of_a`` are those rows of the bundles, two each, that are beside each other; ``around`` is the number of
    columns where the last is beside the first, otherwise 0.
    """
    if a == a_end or b == b_end:
        return
    if around > 0:
        if _cell(bits, of_b, 0) and _cell(bits, of_a, around - 1):
            _unite(parent, b, a_end - 1)
        if _cell(bits, of_b, around - 1) and _cell(bits, of_a, 0):
            _unite(parent, b_end - 1, a)
    while a < a_end and b < b_end:
        begin_a, end_a, begin_b, end_b = edges[2 * a], edges[2 * a + 1], edges[2 * b], edges[2 * b + 1]
        if (
            begin_a <= end_b
            and begin_b <= end_a
            and parent[a] != parent[b]
            and _touch(bits, of_a, of_b, begin_a, end_a, begin_b, end_b)
        ):
            _unite(parent, a, b)
        if end_a < end_b:
            a += 1
        else:
            b += 1


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
    flags, flat = np.zeros(64 * words_for(nx), np.uint8), mask.reshape(-1)
    for row in range(n_rows):
        flags[:nx] = flat[row * nx : (row + 1) * nx]
        pack_ones(flags, bits[row])
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
        b_end = _find_runs(bits, (near, far, near_later, far_later), nx, edges, 2 * b) // 2
        first[at + 1] = b_end
        for run in range(b, b_end):
            parent[run] = run
        if b == b_end:
            continue
        if closed and edges[2 * b] == 0 and edges[2 * b_end - 1] == nx:
            _unite(parent, b, b_end - 1)
        if bundle > 0:
            beside = near - 1, near_later - 1 if later else n_rows
            _join(bits, edges, parent, b, b_end, (near, near_later), first[at - 1], b, beside, around)
        if depth == 2 and layer > 0:
            before = at - n_bundles
            both = near - ny, far - ny if far < n_rows else n_rows
            _join(bits, edges, parent, b, b_end, (near, far), first[before], first[before + 1], both, around)
            if bundle > 0:
                corner = near - ny - 1
                _join(
                    bits, edges, parent, b, b_end, (near, near), first[before - 1], first[before], (corner, corner), around,
                )  # fmt: skip
            if bundle + 1 < n_bundles:
                corner = far - ny + 1
                _join(
                    bits, edges, parent, b, b_end, (far, far), first[before + 1], first[before + 2], (corner, corner), around,
                )  # fmt: skip
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
