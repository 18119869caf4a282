"""Eigenvalues and vectors of small symmetric matrices, several times faster than a call to LAPACK for each.

Householder's reduction to three diagonals, then QL steps with implicit shifts (Wilkinson and Reinsch 1971; Parlett 1998,
chapters 7 and 8). Every inner loop runs along rows, in whole vectors.
"""

import math

from oceankit.numerics.compiling import kernel
from oceankit.numerics.lanes import row_add, row_add_two, rows_turn
from oceankit.numerics.vectors import EIGHT

__all__ = ["symmetric", "width_of"]

_EPS = 2.0**-52


@kernel
def _tridiagonal(a, d, e, v, scale, w):
    """Three diagonals of ``a``, which is spent; reflections in the rows of ``v`` and ``scale``. Row w of v is scratch."""
    n = d.size
    for k in range(n - 2):
        # Whole vectors: what lies in front of the columns that are left is neither right nor used any more.
        first = (k + 1) // EIGHT * EIGHT
        for j in range(v.shape[1]):
            v[k, j] = v[w, j] = 0.0
        square = 0.0
        for j in range(k + 1, n):
            v[k, j] = a[k, j]
            square += a[k, j] * a[k, j]
        d[k], e[k], scale[k] = a[k, k], a[k, k + 1], 0.0
        beyond = square - a[k, k + 1] * a[k, k + 1]
        if not beyond > 0.0:
            continue
        size = math.sqrt(square)
        e[k] = -size if a[k, k + 1] > 0.0 else size
        v[k, k + 1] -= e[k]
        scale[k] = 2.0 / (beyond + v[k, k + 1] * v[k, k + 1])
        for i in range(k + 1, n):
            row_add(v, w, scale[k] * v[k, i], a, i, first)
        along = 0.0
        for j in range(k + 1, n):
            along += v[w, j] * v[k, j]
        row_add(v, w, -0.5 * scale[k] * along, v, k, first)
        for i in range(k + 1, n):
            row_add_two(a, i, -v[k, i], v, w, -v[w, i], v, k, first)
    if n > 1:
        d[n - 2], e[n - 2] = a[n - 2, n - 2], a[n - 2, n - 1]
    d[n - 1], e[n - 1] = a[n - 1, n - 1], 0.0


@kernel
def _accumulated(v, scale, a, w, rows):
    """The product of the reflections in ``a``, and its columns as ``rows``."""
    n = rows.shape[0]
    for i in range(n):
        for j in range(a.shape[1]):
            a[i, j] = 1.0 if i == j else 0.0
            rows[i, j] = 0.0
    for k in range(n - 3, -1, -1):
        if scale[k] == 0.0:
            continue
        first = (k + 1) // EIGHT * EIGHT
        for j in range(v.shape[1]):
            v[w, j] = 0.0
        for i in range(k + 1, n):
            row_add(v, w, v[k, i], a, i, first)
        for i in range(k + 1, n):
            row_add(a, i, -scale[k] * v[k, i], v, w, first)
    for i in range(n):
        for j in range(n):
            rows[j, i] = a[i, j]


@kernel
def _iterated(d, e, rows):
    """Make the three diagonals one, turning the rows along; False where that takes too long."""
    n = d.size
    for low in range(n):
        for trial in range(60):
            high = low
            while high < n - 1 and abs(e[high]) > _EPS * (abs(d[high]) + abs(d[high + 1])):
                high += 1
            if high == low:
                break
            if trial == 59:
                return False
            g = (d[low + 1] - d[low]) / (2.0 * e[low])
            r = math.sqrt(g * g + 1.0)
            g = d[high] - d[low] + e[low] / (g + (r if g >= 0.0 else -r))
            s, c, p = 1.0, 1.0, 0.0
            split = False
            for i in range(high - 1, low - 1, -1):
                f, b = s * e[i], c * e[i]
                r = math.sqrt(f * f + g * g)
                e[i + 1] = r
                if r == 0.0:
                    d[i + 1] -= p
                    e[high] = 0.0
                    split = True
                    break
                s, c = f / r, g / r
                g = d[i + 1] - p
                r = (d[i] - g) * s + 2.0 * c * b
                p = s * r
                d[i + 1] = g + p
                g = c * r - b
                rows_turn(rows, i, i + 1, c, s)
            if not split:
                d[low] -= p
                e[low] = g
                e[high] = 0.0
    return True


@kernel
def width_of(n):
    """Columns of the arrays for n by n numbers: whole vectors."""
    return (n + EIGHT - 1) // EIGHT * EIGHT


@kernel
def symmetric(a, values, rows, work):
    """Eigenvalues of ``a`` (n, n), in no order, and its eigenvectors as ``rows``; ``a`` is spent.

    The arrays have ``width_of(n)`` columns, those of ``a`` behind the n-th zero; ``work`` has n + 3 rows. Returns False where
    there is no convergence.
    """
    n = values.size
    e, scale = work[n + 1], work[n + 2]
    for j in range(n):
        scale[j] = 0.0
    _tridiagonal(a, values, e, work, scale, n)
    _accumulated(work, scale, a, n, rows)
    return _iterated(values, e, rows)
