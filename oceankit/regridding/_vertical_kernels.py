"""Columns onto columns: linear interpolation and means over overlapping layers, with dimensions left where they are.

Arrays are seen as (outer, levels, inner): ``outer`` are the dimensions before the vertical one, ``inner`` those after it. Work is
counted in tiles, ``tile`` neighbours along ``inner``: rows of a tile are read and written one after another.

The kernels for columns that share their levels and those for columns with levels of their own give the same numbers to the bit.
"""

from typing import NamedTuple

import numpy as np

from oceankit.numerics.compiling import kernel

__all__ = [
    "MISSING", "NEAREST", "LINEAR", "LAYER", "Columns",
    "conservative_columns", "conservative_shared", "linear_columns", "linear_shared",
]  # fmt: skip

# What holds outside the outermost valid levels.
MISSING, NEAREST, LINEAR, LAYER = 0, 1, 2, 3
# What the conservative kernels return.
_STRICT, _COVERAGE = 1, 2


class Columns(NamedTuple):
    """An array as columns (o, j): level i of one is ``flat[outer[o] + inner[j] + i * stride]``, whatever lies beside what."""

    flat: np.ndarray
    stride: int
    levels: int
    outer: np.ndarray
    """int64; two columns may be the same"""
    inner: np.ndarray


@kernel
def linear_shared(
    values: np.ndarray,
    first: np.ndarray,
    second: np.ndarray,
    weight: np.ndarray,
    start: int,
    stop: int,
    tile: int,
    out: np.ndarray,
) -> None:
    """All columns on one axis: between two levels each, missing where one with a weight is missing.

    ``first`` (targets) is negative outside the axis; ``weight`` is that of ``second``, 0 where the target is a level.
    """
    inner = values.shape[2]
    tiles = (inner + tile - 1) // tile
    for unit in range(start, stop):
        o = unit // tiles
        begin = (unit - o * tiles) * tile
        end = min(begin + tile, inner)
        for k in range(first.size):
            i, below, w = first[k], second[k], weight[k]
            if i < 0:
                for j in range(begin, end):
                    out[o, k, j] = np.nan
            elif w == 0.0:
                for j in range(begin, end):
                    out[o, k, j] = values[o, i, j]
            else:
                for j in range(begin, end):
                    x = np.float64(values[o, i, j])
                    out[o, k, j] = x + w * (np.float64(values[o, below, j]) - x)


@kernel
def linear_columns(
    values: Columns,
    depth: Columns,
    target: Columns,
    edges: Columns,
    bridge: bool,
    top: int,
    bottom: int,
    start: int,
    stop: int,
    tile: int,
    out: Columns,
    bad: np.ndarray,
) -> None:
    """Each column on depths of its own.

    Parameters
    ----------
    values, depth, target, edges, out
        :class:`Columns`; edges serve LAYER alone.
    bridge
        Whether to interpolate across missing levels.
    top, bottom
        MISSING, NEAREST, LINEAR or LAYER.
    bad
        int64 (2,): counts columns whose depths turn back, and keeps the last one (o * inner.size + j).
    """
    inner = values.inner.size
    tiles = (inner + tile - 1) // tile
    z, x = np.empty((tile, values.levels)), np.empty((tile, values.levels))
    goal, found = np.empty((tile, target.levels)), np.empty((tile, target.levels))
    at, guess = np.empty(values.levels, np.int64), np.zeros(target.levels, np.uint64)
    limits = np.empty(2)
    limits[0], limits[1] = -np.inf, np.inf
    for unit in range(start, stop):
        o = unit // tiles
        begin = (unit - o * tiles) * tile
        width = min(begin + tile, inner) - begin
        # Most columns of a file run the same way: those that run upwards are turned while they are read.
        corner = depth.outer[o] + depth.inner[begin]
        up = depth.flat[corner] > depth.flat[corner + (depth.levels - 1) * depth.stride]
        _gather(depth, o, begin, width, up, z)
        _gather(values, o, begin, width, up, x)
        _gather(target, o, begin, width, False, goal)
        for c in range(width):
            n, turns = _valid_levels(z, x, c, up, at)
            if turns:
                bad[0] += 1
                bad[1] = o * inner + begin + c
            if n > 0 and (top == LAYER or bottom == LAYER):
                base = edges.outer[o] + edges.inner[begin + c]
                first, last = base + at[0] * edges.stride, base + at[n - 1] * edges.stride
                limits[0] = min(edges.flat[first], edges.flat[first + edges.stride])
                limits[1] = max(edges.flat[last], edges.flat[last + edges.stride])
            _interpolate(z, x, c, at, n, goal, guess, bridge, top, bottom, limits, found)
        _scatter(found, o, begin, width, out)


@kernel
def _gather(part: Columns, o: int, begin: int, width: int, up: bool, into: np.ndarray) -> None:
    """Columns of a tile one after another, the last level first where ``up``."""
    base, first = part.outer[o], part.inner[begin]
    across = part.inner[begin + width - 1] - first
    last, step = part.levels - 1, part.stride
    if up:
        base, step = base + last * step, -step
    if across == width - 1 and width > 1:
        for i in range(part.levels):
            row = base + first + i * step
            for c in range(width):
                into[c, i] = part.flat[row + c]
    else:
        for c in range(width):
            if across == 0 and c > 0:
                for i in range(part.levels):
                    into[c, i] = into[0, i]
            else:
                column = base + part.inner[begin + c]
                for i in range(part.levels):
                    into[c, i] = part.flat[column + i * step]


@kernel
def _scatter(found: np.ndarray, o: int, begin: int, width: int, out: Columns) -> None:
    base, first = out.outer[o], out.inner[begin]
    if out.inner[begin + width - 1] - first == width - 1:
        for k in range(out.levels):
            row = base + first + k * out.stride
            for c in range(width):
                out.flat[row + c] = found[c, k]
    else:
        for c in range(width):
            column = base + out.inner[begin + c]
            for k in range(out.levels):
                out.flat[column + k * out.stride] = found[c, k]


@kernel
def _valid_levels(z: np.ndarray, x: np.ndarray, c: int, up: bool, at: np.ndarray) -> tuple[int, bool]:
    """Keep the levels of column c that have a value and a depth, from the surface down.

    Returns their number and whether depths turn back; ``at`` is where they were before they were turned (``up``).
    """
    levels = z.shape[1]
    head, tail = 0, levels - 1
    while head < levels and not (z[c, head] == z[c, head] and x[c, head] == x[c, head]):
        head += 1
    if head == levels:
        return 0, False
    while tail > head and not (z[c, tail] == z[c, tail] and x[c, tail] == x[c, tail]):
        tail -= 1
    falls = z[c, head] > z[c, tail]
    if falls:
        for i in range(levels // 2):
            other = levels - 1 - i
            z[c, i], z[c, other] = z[c, other], z[c, i]
            x[c, i], x[c, other] = x[c, other], x[c, i]
    whole = True
    for i in range(levels - 1):
        whole &= (z[c, i] <= z[c, i + 1]) & (x[c, i] == x[c, i])
    if whole and x[c, levels - 1] == x[c, levels - 1]:
        for i in range(levels):
            at[i] = levels - 1 - i if falls != up else i
        return levels, False
    n = 0
    turns = False
    last = -np.inf
    for i in range(levels):
        zi, xi = z[c, i], x[c, i]
        if zi == zi and xi == xi:
            turns |= zi < last
            last = zi
            z[c, n], x[c, n], at[n] = zi, xi, levels - 1 - i if falls != up else i
            n += 1
    return n, turns


@kernel
def _interpolate(
    z: np.ndarray,
    x: np.ndarray,
    c: int,
    at: np.ndarray,
    n: int,
    goal: np.ndarray,
    guess: np.ndarray,
    bridge: bool,
    top: int,
    bottom: int,
    limits: np.ndarray,
    found: np.ndarray,
) -> None:
    """Values at the depths ``goal[c]``, into ``found[c]``; the search begins where it ended in the column before (``guess``)."""
    targets = goal.shape[1]
    if n == 0:
        for k in range(targets):
            found[c, k] = np.nan
        return
    joined = bridge or n == z.shape[1]
    first, last, end = z[c, 0], z[c, n - 1], np.uint64(n - 1)
    one, none = np.uint64(1), np.uint64(0)
    for k in range(targets):
        g = goal[c, k]
        if first <= g <= last:
            i = min(guess[k], end)
            while z[c, i] < g:
                i += one
            while i > none and z[c, i - one] >= g:
                i -= one
            # i is the first level at or below the goal
            guess[k] = i
            if z[c, i] == g:
                found[c, k] = x[c, i]
            elif joined or abs(at[i] - at[i - one]) == 1:
                z0, x0 = z[c, i - one], x[c, i - one]
                found[c, k] = x0 + (g - z0) / (z[c, i] - z0) * (x[c, i] - x0)
            else:
                found[c, k] = np.nan
        else:
            how = top if g < first else bottom
            found[c, k] = np.nan if how == MISSING else _outside(z, x, c, n, g, how, limits)


@kernel
def _outside(z: np.ndarray, x: np.ndarray, c: int, n: int, g: float, how: int, limits: np.ndarray) -> float:
    """The value above the first or below the last valid level."""
    if not g == g:
        return np.nan
    above = g < z[c, 0]
    end, inner = (0, min(1, n - 1)) if above else (n - 1, max(n - 2, 0))
    within = g >= limits[0] if above else g <= limits[1]
    if how == NEAREST or (how == LAYER and within):
        return x[c, end]
    if how == LINEAR and z[c, end] != z[c, inner]:
        return x[c, end] + (g - z[c, end]) / (z[c, inner] - z[c, end]) * (x[c, inner] - x[c, end])
    return np.nan


@kernel
def conservative_shared(
    values: np.ndarray,
    starts: np.ndarray,
    rows: np.ndarray,
    overlap: np.ndarray,
    thickness: np.ndarray,
    least: float,
    mode: int,
    start: int,
    stop: int,
    tile: int,
    out: np.ndarray,
) -> None:
    """All columns in the same layers: target k meets ``rows[starts[k]:starts[k + 1]]`` over ``overlap`` metres."""
    inner = values.shape[2]
    tiles = (inner + tile - 1) // tile
    total, water, lost = np.empty(tile), np.empty(tile), np.empty(tile)
    for unit in range(start, stop):
        o = unit // tiles
        begin = (unit - o * tiles) * tile
        width = min(begin + tile, inner) - begin
        for k in range(thickness.size):
            for c in range(width):
                total[c] = 0.0
                water[c] = 0.0
                lost[c] = 0.0
            for e in range(starts[k], starts[k + 1]):
                i, w = rows[e], overlap[e]
                for c in range(width):
                    x = np.float64(values[o, i, begin + c])
                    there = x == x
                    total[c] += w * x if there else 0.0
                    water[c] += w if there else 0.0
                    lost[c] += 0.0 if there else w
            for c in range(width):
                out[o, k, begin + c] = _mean(total[c], water[c], lost[c], thickness[k], least, mode)


@kernel
def _mean(total: float, water: float, lost: float, thickness: float, least: float, mode: int) -> float:
    if mode == _COVERAGE:
        return water / thickness if thickness > 0.0 else 0.0
    if water > 0.0 and water >= least * thickness and not (mode == _STRICT and lost > 0.0):
        return total / water
    return np.nan


@kernel
def conservative_columns(
    values: Columns,
    edges: Columns,
    target: Columns,
    least: float,
    mode: int,
    start: int,
    stop: int,
    tile: int,
    out: Columns,
    bad: np.ndarray,
) -> None:
    """Each column in layers of its own; parameters as in :func:`linear_columns`, ``edges`` and ``target`` are edges of layers.

    ``bad`` has four entries: two for columns of the source, two for those of the target.
    """
    inner = values.inner.size
    tiles = (inner + tile - 1) // tile
    e, x = np.empty((tile, edges.levels)), np.empty((tile, values.levels))
    goal, found = np.empty((tile, target.levels)), np.empty((tile, out.levels))
    upper, lower, kept = np.empty(values.levels), np.empty(values.levels), np.empty(values.levels)
    for unit in range(start, stop):
        o = unit // tiles
        begin = (unit - o * tiles) * tile
        width = min(begin + tile, inner) - begin
        _gather(edges, o, begin, width, False, e)
        _gather(target, o, begin, width, False, goal)
        _gather(values, o, begin, width, False, x)
        for c in range(width):
            n, turns = _layers(e, x, c, upper, lower, kept, mode)
            turned = _overlaps(upper, lower, kept, n, goal, c, least, mode, found)
            if turns:
                bad[0] += 1
                bad[1] = o * inner + begin + c
            if turned:
                bad[2] += 1
                bad[3] = o * inner + begin + c
        _scatter(found, o, begin, width, out)


@kernel
def _falls(edges: np.ndarray, c: int) -> bool:
    """Whether the edges of column c run from the bottom up."""
    size = edges.shape[1]
    head, tail = 0, size - 1
    while head < size and not edges[c, head] == edges[c, head]:
        head += 1
    while tail > head and not edges[c, tail] == edges[c, tail]:
        tail -= 1
    return head < size and edges[c, head] > edges[c, tail]


@kernel
def _layers(
    edges: np.ndarray, x: np.ndarray, c: int, upper: np.ndarray, lower: np.ndarray, kept: np.ndarray, mode: int
) -> tuple[int, bool]:
    """Layers of column c with a thickness from the surface down: their number, and whether they turn back.

    Layers without a value matter only where one of them makes a target missing.
    """
    levels = x.shape[1]
    falls = _falls(edges, c)
    n = 0
    turns = False
    deepest = -np.inf
    for count in range(levels):
        i = levels - 1 - count if falls else count
        a, b = (edges[c, i + 1], edges[c, i]) if falls else (edges[c, i], edges[c, i + 1])
        if not (a == a and b == b) or (mode != _STRICT and not x[c, i] == x[c, i]):
            continue
        turns |= b < a or a < deepest
        deepest = b
        if b > a:
            upper[n], lower[n], kept[n] = a, b, x[c, i]
            n += 1
    return n, turns


@kernel
def _overlaps(
    upper: np.ndarray,
    lower: np.ndarray,
    x: np.ndarray,
    n: int,
    goal: np.ndarray,
    c: int,
    least: float,
    mode: int,
    found: np.ndarray,
) -> bool:
    """Means over the layers between the edges ``goal[c]``, into ``found[c]``; returns whether these turn back."""
    targets = found.shape[1]
    falls = _falls(goal, c)
    turned = False
    size = np.uint64(n)
    p = np.uint64(0)
    for count in range(targets):
        k = targets - 1 - count if falls else count
        a, b = (goal[c, k + 1], goal[c, k]) if falls else (goal[c, k], goal[c, k + 1])
        if not (a == a and b == b):
            found[c, k] = 0.0 if mode == _COVERAGE else np.nan
            continue
        turned |= b < a
        while p < size and lower[p] <= a:
            p += np.uint64(1)
        total, water, lost = 0.0, 0.0, 0.0
        q = p
        while q < size and upper[q] < b:
            w = min(b, lower[q]) - max(a, upper[q])
            if x[q] == x[q]:
                total += w * x[q]
                water += w
            else:
                lost += w
            q += np.uint64(1)
        found[c, k] = _mean(total, water, lost, b - a, least, mode)
    return turned
