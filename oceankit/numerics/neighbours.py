"""Nearest neighbours in any number of dimensions: a k-d tree that needs no parameters and copes with tracks and gaps.

The tree is implicit: points are ordered so that each half of a range lies on one side of the median of the range's
widest dimension, down to small leaves. Ties go to the point that came first, so results never depend on the order
of the search.
"""

import math
from typing import NamedTuple

import numpy as np

from oceankit.numerics import threads
from oceankit.numerics.compiling import kernel

__all__ = ["Tree", "build", "nearest", "search"]

_LEAF = 12
_DEPTH = 64


class Tree(NamedTuple):
    """Points in the order of the tree."""

    points: np.ndarray
    """float64 (n, dimensions), reordered"""
    order: np.ndarray
    """int64 (n,): place of each in the caller's array"""
    axis: np.ndarray
    """int8 (n,): at the middle of each range, the dimension that was cut there"""
    box: np.ndarray
    """float64 (2, dimensions): lowest and highest of each"""


@kernel
def _select(points, order, lo, hi, k, axis):
    """Quickselect: the k-th smallest of lo..hi (exclusive) along ``axis`` ends up at k, ties by original place."""
    hi -= 1
    while lo < hi:
        mid = (lo + hi) // 2
        pivot, rank = points[order[mid], axis], order[mid]
        i, j = lo, hi
        while i <= j:
            while points[order[i], axis] < pivot or (points[order[i], axis] == pivot and order[i] < rank):
                i += 1
            while points[order[j], axis] > pivot or (points[order[j], axis] == pivot and order[j] > rank):
                j -= 1
            if i <= j:
                order[i], order[j] = order[j], order[i]
                i += 1
                j -= 1
        if k <= j:
            hi = j
        elif k >= i:
            lo = i
        else:
            return


@kernel
def _build(points, order, axis):
    stack = np.empty((2 * _DEPTH, 2), np.int64)
    stack[0, 0], stack[0, 1] = 0, points.shape[0]
    top = 1
    while top > 0:
        top -= 1
        lo, hi = stack[top, 0], stack[top, 1]
        if hi - lo <= _LEAF:
            continue
        widest, best = 0, -1.0
        for d in range(points.shape[1]):
            low, high = math.inf, -math.inf
            for i in range(lo, hi):
                value = points[order[i], d]
                low, high = min(low, value), max(high, value)
            if high - low > best:
                widest, best = d, high - low
        mid = (lo + hi) // 2
        _select(points, order, lo, hi, mid, widest)
        axis[mid] = widest
        stack[top, 0], stack[top, 1] = lo, mid
        stack[top + 1, 0], stack[top + 1, 1] = mid + 1, hi
        top += 2


def build(points: np.ndarray) -> Tree:
    """A tree of points (n, dimensions); none may be NaN."""
    points = np.ascontiguousarray(points, np.float64)
    if not np.isfinite(points).all():
        raise ValueError("a point to search among is not finite; leave out points without coordinates first")
    order = np.arange(points.shape[0])
    axis = np.zeros(points.shape[0], np.int8)
    _build(points, order, axis)
    box = np.stack([points.min(axis=0), points.max(axis=0)]) if points.size else np.zeros((2, points.shape[1]))
    return Tree(points[order], order, axis, box)


@kernel
def _offer(distance, place, found, distances, n, k):
    """Insert a candidate in the list of the k best, ordered by distance, then place; returns the new length."""
    if n == k and (distance > distances[k - 1] or (distance == distances[k - 1] and place > found[k - 1])):
        return n
    i = n if n < k else k - 1
    while i > 0 and (distances[i - 1] > distance or (distances[i - 1] == distance and found[i - 1] > place)):
        distances[i], found[i] = distances[i - 1], found[i - 1]
        i -= 1
    distances[i], found[i] = distance, place
    return min(n + 1, k)


@kernel
def search(query, points, order, axis, box, k, limit, found, distances, stack, gaps):
    """The k nearest points within squared distance ``limit``: places and squared distances, nearest first.

    ``stack`` (128, 2) int64 and ``gaps`` (128, 1 + dimensions) are work space. Returns how many were found.
    """
    n = 0
    dims = points.shape[1]
    # Squared distance to the box of all points, in all and along each dimension: what a far query is refused by.
    stack[0, 0], stack[0, 1], gaps[0, 0] = 0, points.shape[0], 0.0
    for d in range(dims):
        beside = max(max(box[0, d] - query[d], query[d] - box[1, d]), 0.0)
        gaps[0, 1 + d] = beside * beside
        gaps[0, 0] += beside * beside
    top = 1
    here = np.empty(dims)
    while top > 0:
        top -= 1
        lo, hi, gap = stack[top, 0], stack[top, 1], gaps[top, 0]
        for d in range(dims):
            here[d] = gaps[top, 1 + d]
        # Equal distances are still looked at: a tie goes to the lower place. Rounding must not refuse them.
        while gap * (1.0 - 1e-12) <= (distances[k - 1] if n == k else limit):
            if hi - lo <= _LEAF:
                for i in range(lo, hi):
                    distance = 0.0
                    for d in range(dims):
                        step = points[i, d] - query[d]
                        distance += step * step
                    if distance <= limit:
                        n = _offer(distance, order[i], found, distances, n, k)
                break
            mid = (lo + hi) // 2
            distance = 0.0
            for d in range(dims):
                step = points[mid, d] - query[d]
                distance += step * step
            if distance <= limit:
                n = _offer(distance, order[mid], found, distances, n, k)
            cut = axis[mid]
            offset = query[cut] - points[mid, cut]
            # The nearer half next, the other one later if it may still hold something closer.
            if offset < 0.0:
                stack[top, 0], stack[top, 1] = mid + 1, hi
                hi = mid
            else:
                stack[top, 0], stack[top, 1] = lo, mid
                lo = mid + 1
            for d in range(dims):
                gaps[top, 1 + d] = here[d]
            gaps[top, 1 + cut] = max(here[cut], offset * offset)
            gaps[top, 0] = gap - here[cut] + gaps[top, 1 + cut]
            top += 1
    return n


@kernel
def _nearest(queries, points, order, axis, box, k, limit, found, distances):
    stack, gaps = np.empty((2 * _DEPTH, 2), np.int64), np.empty((2 * _DEPTH, 1 + points.shape[1]))
    for i in range(queries.shape[0]):
        n = 0
        if queries[i, 0] == queries[i, 0]:
            n = search(queries[i], points, order, axis, box, k, limit, found[i], distances[i], stack, gaps)
        found[i, n:] = -1
        distances[i, n:] = np.inf


def nearest(
    tree: Tree, queries: np.ndarray, *, k: int = 1, within: float = math.inf, block: int = 16_384
) -> tuple[np.ndarray, np.ndarray]:
    """The ``k`` nearest points of each query (m, dimensions), nearest first, not farther than ``within``.

    Returns
    -------
    places : int64 (m, k)
        Places in the array that the tree was built of; -1 where there are fewer, or the query is NaN.
    distances : float64 (m, k)
        inf where there is none.
    """
    queries = np.ascontiguousarray(queries, np.float64)
    found = np.empty((queries.shape[0], k), np.int64)
    distances = np.empty((queries.shape[0], k))

    def work(begin: int, end: int) -> None:
        _nearest(queries[begin:end], *tree, k, within * within, found[begin:end], distances[begin:end])

    threads.over_blocks(work, queries.shape[0], block=block)
    return found, np.sqrt(distances)
