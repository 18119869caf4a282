"""Kernels of bicubic weights on lattices: arrays in, arrays out."""

import math

import numpy as np

from oceankit.numerics.compiling import kernel
from oceankit.numerics.locate import tangents

__all__ = ["cubic_weights"]


@kernel
def _convolution(t, w, dw):
    """Weights of four equally spaced nodes at t between the middle two, and their derivatives (Keys 1981)."""
    w[0] = ((-0.5 * t + 1.0) * t - 0.5) * t
    w[1] = (1.5 * t - 2.5) * t * t + 1.0
    w[2] = ((-1.5 * t + 2.0) * t + 0.5) * t
    w[3] = (0.5 * t - 0.5) * t * t
    dw[0] = (-1.5 * t + 2.0) * t - 0.5
    dw[1] = (4.5 * t - 5.0) * t
    dw[2] = (-4.5 * t + 4.0) * t + 0.5
    dw[3] = (1.5 * t - 1.0) * t


@kernel
def _inward(k, n, closed, at, share):
    """The up to three rows (or columns) that stand for number k, and their shares: itself, or a parabola beyond an edge."""
    if closed or 0 <= k < n:
        at[0], share[0] = k, 1.0
        return 1
    edge, step = (0, 1) if k < 0 else (n - 1, -1)
    for m in range(3):
        at[m] = edge + m * step
    share[0], share[1], share[2] = 3.0, -3.0, 1.0
    return 3


@kernel
def _gather(j, i, ny, nx, number, fold, wraps, cells, shares):
    """Source cells and shares (16, up to 9 each) of the stencil around the cell whose lower left centre is (j, i)."""
    row, row_share = np.empty(3, np.int64), np.empty(3)
    column, column_share = np.empty(3, np.int64), np.empty(3)
    cells[:, :] = -1
    for b in range(4):
        n_rows = _inward(j - 1 + b, ny, fold.size > 0 and j - 1 + b >= ny, row, row_share)
        for a in range(4):
            n_columns = _inward(i - 1 + a, nx, wraps, column, column_share)
            for m in range(n_rows):
                for k in range(n_columns):
                    r, c = row[m], column[k] % nx
                    if r >= ny:
                        r, c = 2 * ny - 1 - r, fold[c]
                    cells[4 * b + a, 3 * m + k] = number[r, c]
                    shares[4 * b + a, 3 * m + k] = row_share[m] * column_share[k]


@kernel
def cubic_weights(points, columns, values, place, nodes, number, fold, wraps, planar, out_columns, out_values, done):
    ny, nx = number.shape
    cells, shares = np.empty((16, 9), np.int64), np.empty((16, 9))
    where = np.empty((16, 2))
    ws, wt, ds, dt = np.empty(4), np.empty(4), np.empty(4), np.empty(4)
    for p in range(points.shape[0]):
        out_columns[p, :] = -1
        if columns[p, 0] < 0 or columns[p, 3] < 0 or place[columns[p, 0]] < 0 or ny < 3 or nx < 3:
            continue
        j, i = divmod(place[columns[p, 0]], nx)
        s, t = values[p, 1] + values[p, 2], values[p, 2] + values[p, 3]
        _gather(j, i, ny, nx, number, fold, wraps, cells, shares)
        x1, y1, z1, x2, y2, z2 = tangents(points[p], planar)
        usable = True
        for q in range(16):
            where[q, :] = 0.0
            for m in range(9):
                if cells[q, m] >= 0:
                    x, y, z = nodes[cells[q, m], 0], nodes[cells[q, m], 1], nodes[cells[q, m], 2]
                    usable = usable and x == x
                    dx, dy, dz = x - points[p, 0], y - points[p, 1], z - points[p, 2]
                    where[q, 0] += shares[q, m] * (dx * x1 + dy * y1 + dz * z1)
                    where[q, 1] += shares[q, m] * (dx * x2 + dy * y2 + dz * z2)
        if not usable:
            continue
        converged = False
        for _ in range(20):
            _convolution(s, ws, ds)
            _convolution(t, wt, dt)
            f, g, fs, gs, ft, gt = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
            for b in range(4):
                for a in range(4):
                    u, v = where[4 * b + a, 0], where[4 * b + a, 1]
                    f, g = f + wt[b] * ws[a] * u, g + wt[b] * ws[a] * v
                    fs, gs = fs + wt[b] * ds[a] * u, gs + wt[b] * ds[a] * v
                    ft, gt = ft + dt[b] * ws[a] * u, gt + dt[b] * ws[a] * v
            det = fs * gt - ft * gs
            if det == 0.0 or not math.isfinite(det):
                break
            step_s, step_t = (f * gt - g * ft) / det, (g * fs - f * gs) / det
            s, t = s - step_s, t - step_t
            if abs(step_s) + abs(step_t) < 1e-13:
                converged = True
                break
        # Far outside the bilinear cell the surface is folded: such a place keeps its bilinear weights.
        if not converged or max(abs(s - 0.5), abs(t - 0.5)) > 0.75:
            continue
        # On a line between centres those off it have no weight, and must not be missed where they are missing.
        s = s if abs(s - round(s)) > 1e-10 else float(round(s))
        t = t if abs(t - round(t)) > 1e-10 else float(round(t))
        _convolution(s, ws, ds)
        _convolution(t, wt, dt)
        done[p] = _collect(cells, shares, ws, wt, out_columns[p], out_values[p])


@kernel
def _collect(cells, shares, ws, wt, columns, values):
    """Weights of the sixteen, those of the same cell added up; false where there is no room."""
    n = 0
    for q in range(16):
        w = wt[q // 4] * ws[q % 4]
        for m in range(9):
            if cells[q, m] < 0 or w == 0.0:
                continue
            at = 0
            while at < n and columns[at] != cells[q, m]:
                at += 1
            if at == columns.size:
                return False
            if at == n:
                columns[n], values[n] = cells[q, m], 0.0
                n += 1
            values[at] += w * shares[q, m]
    return True
