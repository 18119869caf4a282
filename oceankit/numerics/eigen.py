"""Eigenvalues and vectors of small symmetric matrices, several times faster than a call to LAPACK for each.

Householder's reduction to three diagonals, then QL steps with implicit shifts (Wilkinson and Reinsch 1971; Parlett 1998,
chapters 7 and 8). Every inner loop runs along rows, so that the compiler makes vectors of them.
"""

import math

from oceankit.numerics.compiling import kernel

__all__ = ["symmetric"]

_EPS = 2.0**-52


# Rows by number, not as views: Numba counts references of each view that is made.


@kernel
def _gather(w, factor, a, i, begin):
    """Add a multiple of row i."""
    for j in range(begin, w.size):
        w[j] += factor * a[i, j]


@kernel
def _spread(a, i, factor, w, begin):
    """Add a multiple of ``w`` to row i."""
    for j in range(begin, w.size):
        a[i, j] += factor * w[j]


@kernel
def _update(a, i, factor, w, second, v, k, begin):
    for j in range(begin, w.size):
        a[i, j] -= factor * w[j] + second * v[k, j]


@kernel
def _rotate(rows, i, c, s):
    """Turn rows i and i + 1."""
    for j in range(rows.shape[1]):
        f, g = rows[i, j], rows[i + 1, j]
        rows[i + 1, j] = s * f + c * g
        rows[i, j] = c * f - s * g


@kernel
def _tridiagonal(a, d, e, v, scale, w):
    """Three diagonals of ``a``, which is spent; reflections in the rows of ``v`` and ``scale``."""
    n = d.size
    for k in range(n - 2):
        for j in range(n):
            v[k, j] = 0.0
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
        for j in range(n):
            w[j] = 0.0
        for i in range(k + 1, n):
            _gather(w, scale[k] * v[k, i], a, i, k + 1)
        along = 0.0
        for j in range(k + 1, n):
            along += w[j] * v[k, j]
        _gather(w, -0.5 * scale[k] * along, v, k, k + 1)
        for i in range(k + 1, n):
            _update(a, i, v[k, i], w, w[i], v, k, k + 1)
    if n > 1:
        d[n - 2], e[n - 2] = a[n - 2, n - 2], a[n - 2, n - 1]
    d[n - 1], e[n - 1] = a[n - 1, n - 1], 0.0


@kernel
def _accumulated(v, scale, a, w, rows):
    """The product of the reflections in ``a``, and its columns as ``rows``."""
    n = rows.shape[0]
    for i in range(n):
        for j in range(n):
            a[i, j] = 1.0 if i == j else 0.0
    for k in range(n - 3, -1, -1):
        if scale[k] == 0.0:
            continue
        for j in range(n):
            w[j] = 0.0
        for i in range(k + 1, n):
            _gather(w, v[k, i], a, i, k + 1)
        for i in range(k + 1, n):
            _spread(a, i, -scale[k] * v[k, i], w, k + 1)
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
                _rotate(rows, i, c, s)
            if not split:
                d[low] -= p
                e[low] = g
                e[high] = 0.0
    return True


@kernel
def symmetric(a, values, rows, work):
    """Eigenvalues of ``a`` (n, n), in no order, and its eigenvectors as ``rows``; ``a`` is spent.

    ``work`` is float64 (n + 4, n). Returns False where there is no convergence.
    """
    n = values.size
    e, scale, w = work[n], work[n + 1], work[n + 2]
    for j in range(n):
        scale[j] = 0.0
    _tridiagonal(a, values, e, work, scale, w)
    _accumulated(work, scale, a, w, rows)
    return _iterated(values, e, rows)
