"""Kernels of optimal interpolation: covariances between positions, and the local solution at each point.

Positions are rows of scaled coordinates: on the sphere the unit vector times radius / length, on a plane x and y over
length; then depth and time over their scales. ``radius`` is the sphere's radius in lengths, 0 on a plane.
"""

import math

import numpy as np

from oceankit.numerics.compiling import dividing, kernel
from oceankit.numerics.covariance import correlation
from oceankit.numerics.lanes import row_less_products
from oceankit.numerics.neighbours import search
from oceankit.numerics.vectors import EIGHT


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
def _eliminate(matrix, n):
    """Cholesky of the upper triangle of the first n rows and columns, in place, and with it forward substitution of the
    right-hand sides in the columns behind; False if not positive definite.

    The matrix is a multiple of eight wide; what lies before the diagonal is not used.
    """
    for i in range(n):
        row_less_products(matrix, i, i // EIGHT * EIGHT)
        diagonal = matrix[i, i]
        if not diagonal > 0.0:
            return False
        scale = 1.0 / math.sqrt(diagonal)
        row = matrix[i]
        for k in range(row.size):
            row[k] *= scale
    return True


@dividing
def _great_circles(squared, radius, out):
    """Great circles (plane: straight lines) of squared straight ones; loops without branches, which become vectors."""
    largest = 0.0
    for j in range(squared.size):
        largest = max(largest, squared[j])
    if radius > 0.0 and largest > 0.09 * radius * radius:
        for j in range(squared.size):
            out[j] = 2.0 * radius * math.asin(min(1.0, math.sqrt(squared[j]) / (2.0 * radius)))
        return
    # arcsin by its series, to rounding: x is at most 0.15.
    over = 0.25 / (radius * radius) if radius > 0.0 else 0.0
    for j in range(squared.size):
        y = squared[j] * over
        series = 35.0 / 1152.0 + y * (
            63.0 / 2816.0 + y * (231.0 / 13312.0 + y * (143.0 / 10240.0 + y * 6435.0 / 557056.0))
        )
        series = 1.0 + y * (1.0 / 6.0 + y * (3.0 / 40.0 + y * (5.0 / 112.0 + y * series)))
        out[j] = math.sqrt(squared[j]) * series


@dividing
def _correlated(function, distance, out):
    """``out`` times the correlation at each distance."""
    if function != 0:
        for j in range(out.size):
            out[j] *= correlation(function, distance[j])
        return
    for j in range(out.size):
        # Both parts of Gaspari and Cohn's function, of which one is taken.
        r = distance[j] * 0.5477225575051661
        near = (((-0.25 * r + 0.5) * r + 0.625) * r - 5.0 / 3.0) * r * r + 1.0
        far = ((((r * (1.0 / 12.0) - 0.5) * r + 0.625) * r + 5.0 / 3.0) * r - 5.0) * r + 4.0 - (2.0 / 3.0) / r
        far = far if far > 0.0 else 0.0
        far = far if r < 2.0 else 0.0
        out[j] *= near if r < 1.0 else far


@dividing
def _apart(positions, n, n_horizontal, work):
    """Squared straight distances of all pairs of n columns of ``positions``, row after row; returns how many there are.

    Rows begin at whole vectors before the diagonal and end at one behind the n-th column.
    """
    end = (n + EIGHT - 1) // EIGHT * EIGHT
    place = 0
    for a in range(n):
        begin = a // EIGHT * EIGHT
        row = work[place : place + end - begin]
        x, y = positions[0, begin:end], positions[1, begin:end]
        here, there = positions[0, a], positions[1, a]
        for b in range(row.size):
            row[b] = (x[b] - here) * (x[b] - here) + (y[b] - there) * (y[b] - there)
        if n_horizontal == 3:
            z, up = positions[2, begin:end], positions[2, a]
            for b in range(row.size):
                row[b] += (z[b] - up) * (z[b] - up)
        place += end - begin
    return place


@dividing
def _apart_along(positions, n, d, work):
    """The same along one more dimension, not squared."""
    end = (n + EIGHT - 1) // EIGHT * EIGHT
    place = 0
    for a in range(n):
        begin = a // EIGHT * EIGHT
        row, z = work[place : place + end - begin], positions[d, begin:end]
        for b in range(row.size):
            row[b] = abs(z[b] - positions[d, a])
        place += end - begin


@dividing
def _covariances(positions, stds, n, n_horizontal, radius, function, squared, distance, rho, matrix):
    """Covariances of all pairs of n columns of ``positions``, in the upper triangle of ``matrix``."""
    place = _apart(positions, n, n_horizontal, squared)
    rho[:place] = 1.0
    _great_circles(squared[:place], radius, distance)
    _correlated(function, distance[:place], rho[:place])
    for d in range(n_horizontal, positions.shape[0]):
        _apart_along(positions, n, d, distance)
        _correlated(function, distance[:place], rho[:place])
    end = (n + EIGHT - 1) // EIGHT * EIGHT
    place = 0
    for a in range(n):
        begin = a // EIGHT * EIGHT
        row, known, std = matrix[a, begin:n], rho[place : place + n - begin], stds[begin:n]
        for b in range(row.size):
            row[b] = stds[a] * std[b] * known[b]
        place += end - begin


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
    width = (k + 2 + EIGHT - 1) // EIGHT * EIGHT
    matrix = np.zeros((k, width))
    near, near_std = np.zeros((at.shape[1], width)), np.empty(k)
    squared, distance, rho = np.empty(k * width), np.empty(k * width), np.empty(k * width)
    for i in range(at.shape[0]):
        if not wanted[i]:
            out[i, 0] = out[i, 1] = np.nan
            continue
        n = search(at[i], points, order, axis, box, k, np.inf, found, distances, stack, gaps)
        for j in range(n):
            near_std[j] = obs_std[found[j]]
            for d in range(at.shape[1]):
                near[d, j] = obs[found[j], d]
        # To whole vectors, by what is not far away.
        near[:, n:] = near[:, :1]
        for j in range(n):
            squared[j], rho[j] = 0.0, 1.0
        for d in range(n_horizontal):
            for j in range(n):
                squared[j] += (near[d, j] - at[i, d]) ** 2
        _great_circles(squared[:n], radius, distance)
        _correlated(function, distance[:n], rho[:n])
        for d in range(n_horizontal, at.shape[1]):
            for j in range(n):
                distance[j] = abs(near[d, j] - at[i, d])
            _correlated(function, distance[:n], rho[:n])
        reached = False
        for j in range(n):
            reached = reached or rho[j] != 0.0
            matrix[j, k], matrix[j, k + 1] = std[i] * near_std[j] * rho[j], innovation[found[j]]
        if not reached:
            out[i, 0], out[i, 1] = 0.0, std[i] * std[i]
            continue
        _covariances(near, near_std, n, n_horizontal, radius, function, squared, distance, rho, matrix)
        for j in range(n):
            matrix[j, j] += error_variance[found[j]]
        if not _eliminate(matrix, n):
            return i
        increment = reduction = 0.0
        for j in range(n):
            increment += matrix[j, k] * matrix[j, k + 1]
            reduction += matrix[j, k] * matrix[j, k]
        out[i, 0], out[i, 1] = increment, std[i] * std[i] - reduction
    return -1
