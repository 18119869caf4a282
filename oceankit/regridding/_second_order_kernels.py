"""Kernels of second-order conservative remapping: gradients, and their application."""

import numpy as np

from oceankit.numerics.compiling import kernel

__all__ = ["THIN", "apply", "gradients"]

# Neighbours nearly in one line give the slope along that line only.
THIN = 1e-4


@kernel
def gradients(fields, begin, end, start, neighbours, ways, pull, reach, out):
    for f in range(fields.shape[0]):
        field = fields[f]
        for s in range(begin, end):
            here = np.float64(field[s])
            gx = gy = 0.0
            for k in range(start[s], start[s + 1]):
                d = field[neighbours[k]] - here
                gx, gy = gx + pull[k, 0] * d, gy + pull[k, 1] * d
            if gx != gx:
                gx, gy = _from_what_is_there(field, s, start, neighbours, ways)
            if reach.shape[1] > 0:
                limit = _limit(field, s, start, neighbours, reach, gx, gy)
                gx, gy = limit * gx, limit * gy
            out[f, s, 0], out[f, s, 1] = gx, gy


@kernel
def _from_what_is_there(field, s, start, neighbours, ways):
    """Least squares over the neighbours that are not missing."""
    here = np.float64(field[s])
    a = b = c = p = q = 0.0
    for k in range(start[s], start[s + 1]):
        d = field[neighbours[k]] - here
        if d == d:
            x, y = ways[k, 0], ways[k, 1]
            w = 1.0 / (x * x + y * y)
            a, b, c = a + w * x * x, b + w * x * y, c + w * y * y
            p, q = p + w * x * d, q + w * y * d
    det, trace = a * c - b * b, a + c
    if det > THIN * trace * trace:
        return (c * p - b * q) / det, (a * q - b * p) / det
    return (p / trace, q / trace) if trace > 0.0 else (0.0, 0.0)


@kernel
def _limit(field, s, start, neighbours, reach, gx, gy):
    """By how much a slope may stay so that no corner lies beyond what the neighbours have (Barth and Jespersen 1989)."""
    here = np.float64(field[s])
    low = high = 0.0
    for k in range(start[s], start[s + 1]):
        d = field[neighbours[k]] - here
        if d == d:
            low, high = min(low, d), max(high, d)
    limit = 1.0
    for k in range(reach.shape[1]):
        d = gx * reach[s, k, 0] + gy * reach[s, k, 1]
        if d > high:
            limit = min(limit, high / d)
        elif d < low:
            limit = min(limit, low / d)
    return limit


@kernel
def apply(fields, gradients, start, columns, values, moments, least, strict, out):
    for f in range(fields.shape[0]):
        field, slopes = fields[f], gradients[f]
        for i in range(start.size - 1):
            total = weight = 0.0
            for k in range(start[i], start[i + 1]):
                s = columns[k]
                value = field[s]
                if value == value:
                    total += values[k] * value + moments[k, 0] * slopes[s, 0] + moments[k, 1] * slopes[s, 1]
                    weight += values[k]
                elif strict:
                    total = np.nan
            out[f, i] = total / weight if weight > 0.0 and weight >= least else np.nan
