"""The vertical kernels as functions of arrays with any dimensions before and after the vertical one."""

from collections.abc import Callable

import numpy as np

from oceankit.numerics import threads
from oceankit.regridding import _vertical_kernels as kernels

__all__ = ["MODES", "OUTSIDE", "conservative", "linear"]

OUTSIDE = {None: kernels.MISSING, "nearest": kernels.NEAREST, "linear": kernels.LINEAR, "layer": kernels.LAYER}
MODES = {"value": 0, "strict": 1, "coverage": 2}

# Neighbours that are worked on together: columns of their own stay in the first cache, rows of all in the second.
_TILE, _SHARED_TILE = 64, 1024
# Fewer neighbours are not worth a row of their own: each column goes by itself, to the same numbers.
_FEW = 16
# Values of a block of tiles: enough to feed a thread, little enough to share the work out.
_BLOCK = 2**19


def linear(
    values: np.ndarray,
    depth: np.ndarray,
    target: np.ndarray,
    edges: np.ndarray | None = None,
    *,
    axis: int,
    shared: bool,
    bridge: bool,
    outside: tuple[int, int],
    name: str,
) -> np.ndarray:
    """Values at depths.

    Parameters
    ----------
    values
        With levels along ``axis``.
    depth, target, edges
        Like ``values`` with length 1 along dimensions that they do not depend on; metres, positive down.
    shared
        Whether depth and target are the same for all columns.
    bridge, outside
        As ``bridge`` and ``top``, ``bottom`` of the kernel.
    name
        What messages call the field.
    """
    out = np.empty((*values.shape[:axis], target.shape[axis], *values.shape[axis + 1 :]), values.dtype)
    values = np.ascontiguousarray(values)
    cube, made = _cube(values, axis), _cube(out, axis)
    if shared and cube.shape[2] >= _FEW and not bridge and outside == (kernels.MISSING, kernels.MISSING):
        first, second, weight = _between(depth.ravel(), target.ravel())

        def share(start: int, stop: int, tile: int) -> None:
            kernels.linear_shared(cube, first, second, weight, start, stop, tile, made)

        _over_tiles(share, cube.shape[0], cube.shape[2], cube.shape[1], _SHARED_TILE)
    else:
        parts = [
            _columns(part, values, axis) for part in (values, depth, target, depth if edges is None else edges, out)
        ]
        bad = np.zeros(2, np.int64)

        def work(start: int, stop: int, tile: int) -> None:
            kernels.linear_columns(*parts[:4], bridge, *outside, start, stop, tile, parts[4], bad)

        _over_tiles(work, parts[0].outer.size, parts[0].inner.size, cube.shape[1], _TILE)
        _refuse(bad, parts[1], name, "levels")
    return out


def conservative(
    values: np.ndarray,
    edges: np.ndarray,
    target: np.ndarray,
    *,
    axis: int,
    shared: bool,
    least: float,
    mode: int,
    name: str,
) -> np.ndarray:
    """Means over layers between edges; parameters as of :func:`linear` and of the kernel."""
    dtype = np.float64 if mode == MODES["coverage"] else values.dtype
    out = np.empty((*values.shape[:axis], target.shape[axis] - 1, *values.shape[axis + 1 :]), dtype)
    values = np.ascontiguousarray(values)
    cube, made = _cube(values, axis), _cube(out, axis)
    if shared and cube.shape[2] >= _FEW:
        met = _met(edges.ravel(), target.ravel())

        def share(start: int, stop: int, tile: int) -> None:
            kernels.conservative_shared(cube, *met, least, mode, start, stop, tile, made)

        _over_tiles(share, cube.shape[0], cube.shape[2], cube.shape[1], _SHARED_TILE)
    else:
        parts = [_columns(part, values, axis) for part in (values, edges, target, out)]
        bad = np.zeros(4, np.int64)

        def work(start: int, stop: int, tile: int) -> None:
            kernels.conservative_columns(*parts[:3], least, mode, start, stop, tile, parts[3], bad)

        _over_tiles(work, parts[0].outer.size, parts[0].inner.size, cube.shape[1], _TILE)
        _refuse(bad[:2], parts[1], name, "edges of layers")
        _refuse(bad[2:], parts[2], name, "edges of target layers")
    return out


def _cube(values: np.ndarray, axis: int) -> np.ndarray:
    """Values as (outer, levels, inner)."""
    outer = int(np.prod(values.shape[:axis], dtype=np.int64))
    return values.reshape(outer, values.shape[axis], int(np.prod(values.shape[axis + 1 :], dtype=np.int64)))


def _columns(part: np.ndarray, values: np.ndarray, axis: int) -> kernels.Columns:
    """The columns of ``part`` that belong to those of ``values``, of which it may have fewer dimensions."""
    part = np.ascontiguousarray(part) if part.ndim else part
    levels, tail = part.shape[axis], part.shape[axis + 1 :]
    stride = int(np.prod(tail, dtype=np.int64))

    def starts(own: tuple[int, ...], all_of: tuple[int, ...], step: int) -> np.ndarray:
        numbers = np.arange(int(np.prod(own, dtype=np.int64))).reshape(own) * step
        return np.ascontiguousarray(np.broadcast_to(numbers, all_of)).ravel()

    outer = starts(part.shape[:axis], values.shape[:axis], levels * stride)
    inner = starts(tail, values.shape[axis + 1 :], 1)
    if inner.size < _FEW:
        # Few columns lie beside each other: take all of them as one row.
        outer, inner = np.zeros(1, np.int64), np.add.outer(outer, inner).ravel()
    return kernels.Columns(part.reshape(-1), stride, levels, outer, inner)


def _over_tiles(work: Callable[[int, int, int], None], outer: int, inner: int, levels: int, tile: int) -> None:
    tile = max(1, min(tile, inner))
    units = outer * (-(-inner // tile))
    threads.over_blocks(lambda start, stop: work(start, stop, tile), units, block=max(1, _BLOCK // (tile * levels)))


def _between(depth: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each target the two levels around it and the weight of the second."""
    order = np.arange(depth.size) if depth[0] <= depth[-1] else np.arange(depth.size)[::-1]
    z = depth[order]
    below = np.searchsorted(z, target, "left")
    inside = (target >= z[0]) & (target <= z[-1])
    below = np.clip(below, 0, z.size - 1)
    exact = inside & (z[below] == target)
    above = np.where(exact, below, np.maximum(below - 1, 0))
    gap = np.where(z[below] > z[above], z[below] - z[above], 1.0)
    weight = np.where(exact, 0.0, (target - z[above]) / gap)
    return np.where(inside, order[above], -1), np.where(inside, order[below], -1), weight


def _met(edges: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, ...]:
    """Rows of overlaps of target layers with source layers, from the surface down, and the targets' thicknesses."""
    upper, lower = np.minimum(edges[:-1], edges[1:]), np.maximum(edges[:-1], edges[1:])
    top, bottom = np.minimum(target[:-1], target[1:]), np.maximum(target[:-1], target[1:])
    order = np.argsort(upper, kind="stable")
    overlap = np.minimum(bottom[:, None], lower[order]) - np.maximum(top[:, None], upper[order])
    met = overlap > 0.0
    starts = np.concatenate([[0], np.cumsum(met.sum(axis=1))])
    return starts, order[np.nonzero(met)[1]], overlap[met], bottom - top


def _refuse(bad: np.ndarray, part: kernels.Columns, name: str, what: str) -> None:
    if bad[0] == 0:
        return
    o, j = divmod(int(bad[1]), part.inner.size)
    column = part.flat[part.outer[o] + part.inner[j] + part.stride * np.arange(part.levels)]
    column = column[np.isfinite(column)]
    steps = np.diff(column) * (1.0 if column[-1] >= column[0] else -1.0)
    i = int(np.argmin(steps))
    raise ValueError(
        f"{name}: the {what} turn back in a column, from {column[i]:g} m to {column[i + 1]:g} m; depths must rise or fall "
        "all the way. Check the vertical coordinate (hc against the shallowest h, the sign of zeta), or mask such columns"
    )
