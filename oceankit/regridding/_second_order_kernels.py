"""Kernels of second-order conservative remapping: gradients, and their application."""

import numpy as np

from oceankit.numerics.compiling import helper, kernel
from oceankit.numerics.sphere import tangent_frame

__all__ = ["apply", "corners", "gradients", "near", "pulls"]

# Neighbours nearly in one line give the slope along that line only.
_THIN = 1e-4


# ---- the stencil ------------------------------------------------------------------------------------------------------


@kernel
def _across(dx, dy, dz, p, planar):
    """A step in the tangent plane at p: east and north, or x and y."""
    if planar:
        return dx, dy
    ex, ey, nx, ny, nz = tangent_frame(p[0], p[1], p[2])
    return dx * ex + dy * ey, dx * nx + dy * ny + dz * nz


@kernel
def near(start, columns, used, places, middle, planar, begin, end, counts, neighbours, ways):
    """Neighbours of cells begin..end that take part: how many of each, or (``neighbours`` not empty) which, and the ways.

    A value stands at the centre that the grid gives, which in the wedges around a pole is not the centroid. Where centres
    all but meet, as those of a row at the pole do, only the centroids can tell the cells apart. ``counts`` of cell i is
    at i + 1, and where they are written it says where those of cell i begin.
    """
    writing = neighbours.size > 0
    for i in range(begin, end):
        at = counts[i] if writing else 0
        for k in range(start[i], start[i + 1] if used[i] else start[i]):
            j = columns[k]
            if not used[j]:
                continue
            dx, dy, dz = places[j, 0] - places[i, 0], places[j, 1] - places[i, 1], places[j, 2] - places[i, 2]
            mx, my, mz = middle[j, 0] - middle[i, 0], middle[j, 1] - middle[i, 1], middle[j, 2] - middle[i, 2]
            if dx * dx + dy * dy + dz * dz < 0.01 * (mx * mx + my * my + mz * mz):
                dx, dy, dz = mx, my, mz
            if dx * dx + dy * dy + dz * dz > 0.0:
                if writing:
                    neighbours[at] = j
                    ways[at, 0], ways[at, 1] = _across(dx, dy, dz, middle[i], planar)
                at += 1
        if not writing:
            counts[i + 1] = at


@kernel
def corners(nodes, faces, middle, planar, begin, end, out):
    """The way from the middle of each cell to each of its corners; zero where there is none."""
    for i in range(begin, end):
        for k in range(faces.shape[1]):
            j = faces[i, k]
            out[i, k, 0] = out[i, k, 1] = 0.0
            if j >= 0:
                dx, dy, dz = nodes[j, 0] - middle[i, 0], nodes[j, 1] - middle[i, 1], nodes[j, 2] - middle[i, 2]
                out[i, k, 0], out[i, k, 1] = _across(dx, dy, dz, middle[i], planar)


# ---- gradients --------------------------------------------------------------------------------------------------------


@helper
def _solved(a, b, c, p, q):
    """The x of [[a, b], [b, c]] x = (p, q); along the one line there is where neighbours have no second."""
    det, trace = a * c - b * b, a + c
    if det > _THIN * trace * trace:
        return (c * p - b * q) / det, (a * q - b * p) / det
    return (p / trace, q / trace) if trace > 0.0 else (0.0, 0.0)


@kernel
def pulls(start, ways, begin, end, out):
    """What the difference to each neighbour adds to the gradient where all are there."""
    for s in range(begin, end):
        a = b = c = 0.0
        for k in range(start[s], start[s + 1]):
            x, y = ways[k, 0], ways[k, 1]
            w = 1.0 / (x * x + y * y)
            a, b, c = a + w * x * x, b + w * x * y, c + w * y * y
        for k in range(start[s], start[s + 1]):
            x, y = ways[k, 0], ways[k, 1]
            w = 1.0 / (x * x + y * y)
            out[k, 0], out[k, 1] = _solved(a, b, c, w * x, w * y)


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
    return _solved(a, b, c, p, q)


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


# ---- application ------------------------------------------------------------------------------------------------------


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
