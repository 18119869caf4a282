"""A field at observations in columns whose levels lie at depths of their own."""

from typing import NamedTuple

import numpy as np

from oceankit.numerics.compiling import kernel

__all__ = ["LAYER_MEAN", "LINEAR", "Stencil", "at_depths"]

LINEAR, LAYER_MEAN = 0, 1


class Stencil(NamedTuple):
    """The columns that each observation takes its own from: those at an earlier time and at a later one."""

    start: np.ndarray
    """int64 (obs + 1,)"""
    earlier: np.ndarray
    """int64 (entries,): numbers of columns"""
    later: np.ndarray
    weight: np.ndarray
    """float64 (entries,): in the horizontal"""
    share: np.ndarray
    """float64 (obs,): weight of the later ones; NaN where the observation is outside"""
    depth: np.ndarray
    """float64 (obs,)"""
    half: np.ndarray
    """float64 (obs,): half the thickness of what was observed, for LAYER_MEAN"""
    least: float
    """coverage that a level needs in the horizontal, and a layer in the vertical"""
    from_surface: bool
    """whether layers lie one below the other from the sea surface"""


@kernel
def at_depths(values, centres, upper, lower, stencil, method, first, last, out, bad):
    """Values (levels, columns) at observations first..last, into ``out``.

    Parameters
    ----------
    centres, upper, lower
        Depths of the levels and of the edges of their layers, like ``values``.
    bad
        int64 (1,): counts observations in columns whose depths turn back.
    """
    levels = values.shape[0]
    x, z, a, b = np.empty(levels), np.empty(levels), np.empty(levels), np.empty(levels)
    at = np.empty(levels, np.int64)
    n, known = 0, -1
    for i in range(first, last):
        out[i] = np.nan
        if stencil.share[i] != stencil.share[i]:
            continue
        # Observations of one cast follow one another, and have the same column.
        if known < 0 or not _same_column(stencil, i, known):
            n = _column(values, centres, upper, lower, stencil, i, x, z, a, b, at)
            known = i
        if n == 0:
            continue
        if _turns_back(z, n):
            bad[0] += 1
            continue
        # The level that is shallowest here is the uppermost of all, not the first below an ice shelf.
        top_is_surface = stencil.from_surface and n > 1 and at[0] == (0 if at[0] < at[n - 1] else levels - 1)
        if method == LINEAR:
            out[i] = _linear(x, z, a, b, at, n, stencil.depth[i], top_is_surface)
        else:
            shallow, deep = stencil.depth[i] - stencil.half[i], stencil.depth[i] + stencil.half[i]
            out[i] = _layer_mean(x, a, b, n, shallow, deep, stencil.least, top_is_surface)


@kernel
def _same_column(stencil, i, j):
    entries = stencil.start[i + 1] - stencil.start[i]
    same = entries == stencil.start[j + 1] - stencil.start[j] and stencil.share[i] == stencil.share[j]
    k = 0
    while same and k < entries:
        e, f = stencil.start[i] + k, stencil.start[j] + k
        same = (
            stencil.earlier[e] == stencil.earlier[f]
            and stencil.later[e] == stencil.later[f]
            and stencil.weight[e] == stencil.weight[f]
        )
        k += 1
    return same


@kernel
def _column(values, centres, upper, lower, stencil, i, x, z, a, b, at):
    """The levels of observation ``i`` that have a value, from the surface down: value, depth, edges and number of each."""
    levels = values.shape[0]
    n = 0
    for k in range(levels):
        xk = zk = ak = bk = 0.0
        there = True
        for side in range(2):
            share = stencil.share[i] if side == 1 else 1.0 - stencil.share[i]
            # A missing neighbour with no weight is no loss.
            if share == 0.0 or not there:
                continue
            columns = stencil.later if side == 1 else stencil.earlier
            total = xs = zs = low = high = 0.0
            for e in range(stencil.start[i], stencil.start[i + 1]):
                c, w = columns[e], stencil.weight[e]
                if values[k, c] == values[k, c] and centres[k, c] == centres[k, c]:
                    total += w
                    xs += w * values[k, c]
                    zs += w * centres[k, c]
                    low += w * upper[k, c]
                    high += w * lower[k, c]
            there = total > 0.0 and total >= stencil.least
            if there:
                xk, zk = xk + share * xs / total, zk + share * zs / total
                ak, bk = ak + share * low / total, bk + share * high / total
        if there:
            x[n], z[n], a[n], b[n], at[n] = xk, zk, min(ak, bk), max(ak, bk), k
            n += 1
    if n > 1 and z[0] > z[n - 1]:
        for part in (x, z, a, b):
            part[:n] = part[:n][::-1].copy()
        at[:n] = at[:n][::-1].copy()
    return n


@kernel
def _turns_back(z, n):
    turns = False
    for k in range(n - 1):
        turns |= z[k + 1] < z[k]
    return turns


@kernel
def _linear(x, z, a, b, at, n, goal, top_is_surface):
    if goal < z[0]:
        # Its layer or half a step, whichever reaches farther: the uppermost level may lie at the surface itself.
        half = 0.5 * (z[1] - z[0]) if n > 1 else 0.0
        return x[0] if top_is_surface or goal >= min(a[0], z[0] - half) else np.nan
    if goal > z[n - 1]:
        return x[n - 1] if goal <= b[n - 1] else np.nan
    k = 0
    while z[k] < goal:
        k += 1
    if z[k] == goal:
        return x[k]
    if abs(at[k] - at[k - 1]) != 1:
        return np.nan
    return x[k - 1] + (goal - z[k - 1]) / (z[k] - z[k - 1]) * (x[k] - x[k - 1])


@kernel
def _layer_mean(x, a, b, n, shallow, deep, least, top_is_surface):
    if top_is_surface:
        # Nothing is observed above the sea.
        shallow = max(shallow, a[0])
        if deep <= shallow:
            return x[0]
    total = water = 0.0
    for k in range(n):
        overlap = min(b[k], deep) - max(a[k], shallow)
        if overlap > 0.0:
            total += overlap * x[k]
            water += overlap
    return total / water if water > 0.0 and water >= least * (deep - shallow) else np.nan
