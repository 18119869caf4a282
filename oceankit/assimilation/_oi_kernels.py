"""Kernels of optimal interpolation: covariances between positions, and the local solution at each point.

Positions are rows of scaled coordinates: on the sphere the unit vector times radius / length, on a plane x and y over
length; then depth and time over their scales. ``radius`` is the sphere's radius in lengths, 0 on a plane.
"""

import math

import numpy as np

from oceankit.numerics.compiling import kernel
from oceankit.numerics.covariance import correlation
from oceankit.numerics.neighbours import search


@kernel
def correlation_at(squared, radius, function):
    """Correlation at a squared straight-line distance, taken as a great circle on the sphere."""
    chord = math.sqrt(squared)
    if radius == 0.0:
        return correlation(function, chord)
    x = chord / (2.0 * radius)
    if x < 0.15:
        # arcsin by its series, to rounding: most of the time of a local analysis was spent in the library's.
        y = x * x
        series = 35.0 / 1152.0 + y * (
            63.0 / 2816.0 + y * (231.0 / 13312.0 + y * (143.0 / 10240.0 + y * 6435.0 / 557056.0))
        )
        series = 1.0 + y * (1.0 / 6.0 + y * (3.0 / 40.0 + y * (5.0 / 112.0 + y * series)))
        return correlation(function, chord * series)
    return correlation(function, 2.0 * radius * math.asin(min(1.0, x)))


@kernel
def correlation_between(a, b, n_horizontal, radius, function):
    """Correlation of two positions: of the great-circle distance, times those of depth and of time."""
    squared = 0.0
    for d in range(n_horizontal):
        step = a[d] - b[d]
        squared += step * step
    out = correlation_at(squared, radius, function)
    for d in range(n_horizontal, a.size):
        if out == 0.0:
            return 0.0
        out *= correlation(function, abs(a[d] - b[d]))
    return out


@kernel
def correlation_matrix(rows, columns, n_horizontal, radius, function, out):
    """Correlations of all rows with all columns, in ``out`` (rows, columns)."""
    for i in range(rows.shape[0]):
        for j in range(columns.shape[0]):
            out[i, j] = correlation_between(rows[i], columns[j], n_horizontal, radius, function)


@kernel
def weighted_sums(rows, columns, weights, n_horizontal, radius, function, out):
    """Sum over columns of correlation times weight, for each row: an analysis increment over its background error."""
    for i in range(rows.shape[0]):
        total = 0.0
        for j in range(columns.shape[0]):
            total += weights[j] * correlation_between(rows[i], columns[j], n_horizontal, radius, function)
        out[i] = total


@kernel
def _eliminate(matrix, n):
    """Cholesky of the upper triangle of the first n rows and columns, in place, and with it forward substitution of the
    right-hand sides in the columns behind; False if not positive definite.

    Row by row, so that the inner loop runs along memory and vectorises.
    """
    width = matrix.shape[1]
    for j in range(n):
        diagonal = matrix[j, j]
        if not diagonal > 0.0:
            return False
        scale = 1.0 / math.sqrt(diagonal)
        for k in range(j, width):
            matrix[j, k] *= scale
        for i in range(j + 1, n):
            factor = matrix[j, i]
            for k in range(i, width):
                matrix[i, k] -= factor * matrix[j, k]
    return True


@kernel
def _correlations(at, positions, begin, n, n_horizontal, radius, function, out):
    """Correlations of one position with columns begin..n of ``positions`` (dimensions, n), in ``out``."""
    for j in range(begin, n):
        out[j] = 0.0
    for d in range(n_horizontal):
        here = at[d]
        for j in range(begin, n):
            step = positions[d, j] - here
            out[j] += step * step
    for j in range(begin, n):
        out[j] = correlation_at(out[j], radius, function)
    for d in range(n_horizontal, at.size):
        for j in range(begin, n):
            out[j] *= correlation(function, abs(positions[d, j] - at[d]))


@kernel
def local_analysis(
    wanted, at, std, obs, obs_std, innovation, error_variance, points, order, axis, box, k, n_horizontal, radius,
    function, out,
):  # fmt: skip
    """Increment and analysis-error variance at each position, from the k nearest observations.

    ``points, order, axis, box`` is the tree of the observations' positions; ``out`` (n, 2).
    Returns the number of the first position where the covariance was not positive definite, or -1.
    """
    found, distances = np.empty(k, np.int64), np.empty(k)
    stack, gaps = np.empty((128, 2), np.int64), np.empty((128, 1 + at.shape[1]))
    # The two columns behind the matrix are the right-hand sides: covariance with the point, and innovations.
    matrix = np.empty((k, k + 2))
    near, near_std = np.empty((at.shape[1], k)), np.empty(k)
    rho = np.empty(k)
    one = np.empty(at.shape[1])
    for i in range(at.shape[0]):
        if not wanted[i]:
            out[i, 0] = out[i, 1] = np.nan
            continue
        n = search(at[i], points, order, axis, box, k, np.inf, found, distances, stack, gaps)
        for j in range(n):
            near_std[j] = obs_std[found[j]]
            for d in range(at.shape[1]):
                near[d, j] = obs[found[j], d]
        _correlations(at[i], near, 0, n, n_horizontal, radius, function, rho)
        reached = False
        for j in range(n):
            reached = reached or rho[j] != 0.0
            matrix[j, k], matrix[j, k + 1] = std[i] * near_std[j] * rho[j], innovation[found[j]]
        if not reached:
            out[i, 0], out[i, 1] = 0.0, std[i] * std[i]
            continue
        for a in range(n):
            for d in range(at.shape[1]):
                one[d] = near[d, a]
            _correlations(one, near, a, n, n_horizontal, radius, function, rho)
            for b in range(a, n):
                matrix[a, b] = near_std[a] * near_std[b] * rho[b]
            matrix[a, a] += error_variance[found[a]]
        if not _eliminate(matrix, n):
            return i
        increment = reduction = 0.0
        for j in range(n):
            increment += matrix[j, k] * matrix[j, k + 1]
            reduction += matrix[j, k] * matrix[j, k]
        out[i, 0], out[i, 1] = increment, std[i] * std[i] - reduction
    return -1
