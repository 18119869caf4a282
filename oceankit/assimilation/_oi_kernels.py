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
def correlation_between(a, b, n_horizontal, radius, function):
    """Correlation of two positions: of the great-circle distance, times those of depth and of time."""
    squared = 0.0
    for d in range(n_horizontal):
        step = a[d] - b[d]
        squared += step * step
    chord = math.sqrt(squared)
    distance = chord if radius == 0.0 else 2.0 * radius * math.asin(min(1.0, chord / (2.0 * radius)))
    out = correlation(function, distance)
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
def _solve(matrix, n, first, second):
    """Cholesky in the lower triangle, then forward substitution of two right-hand sides, in place; False if not definite."""
    for j in range(n):
        diagonal = matrix[j, j]
        for k in range(j):
            diagonal -= matrix[j, k] * matrix[j, k]
        if diagonal <= 0.0:
            return False
        root = math.sqrt(diagonal)
        matrix[j, j] = root
        for i in range(j + 1, n):
            value = matrix[i, j]
            for k in range(j):
                value -= matrix[i, k] * matrix[j, k]
            matrix[i, j] = value / root
        a, b = first[j], second[j]
        for k in range(j):
            a -= matrix[j, k] * first[k]
            b -= matrix[j, k] * second[k]
        first[j], second[j] = a / root, b / root
    return True


@kernel
def local_analysis(
    wanted, at, std, obs, obs_std, innovation, error_variance, points, order, axis, k, n_horizontal, radius,
    function, out,
):  # fmt: skip
    """Increment and analysis-error variance at each position, from the k nearest observations.

    ``points, order, axis`` is the tree of the observations' positions; ``out`` (n, 2).
    Returns the number of the first position where the covariance was not
    positive definite, or -1.
    """
    found, distances = np.empty(k, np.int64), np.empty(k)
    stack, gaps = np.empty((128, 2), np.int64), np.empty(128)
    matrix, c, d = np.empty((k, k)), np.empty(k), np.empty(k)
    for i in range(at.shape[0]):
        if not wanted[i]:
            out[i, 0] = out[i, 1] = np.nan
            continue
        n = search(at[i], points, order, axis, k, np.inf, found, distances, stack, gaps)
        reached = False
        for j in range(n):
            rho = correlation_between(at[i], obs[found[j]], n_horizontal, radius, function)
            reached = reached or rho != 0.0
            c[j], d[j] = std[i] * obs_std[found[j]] * rho, innovation[found[j]]
        if not reached:
            out[i, 0], out[i, 1] = 0.0, std[i] * std[i]
            continue
        for a in range(n):
            for b in range(a):
                rho = correlation_between(obs[found[a]], obs[found[b]], n_horizontal, radius, function)
                matrix[a, b] = obs_std[found[a]] * obs_std[found[b]] * rho
            matrix[a, a] = obs_std[found[a]] ** 2 + error_variance[found[a]]
        if not _solve(matrix, n, c, d):
            return i
        increment = reduction = 0.0
        for j in range(n):
            increment += c[j] * d[j]
            reduction += c[j] * c[j]
        out[i, 0], out[i, 1] = increment, std[i] * std[i] - reduction
    return -1
