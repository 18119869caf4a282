"""Weights for scattered places: by inverse distance, and from each source to its nearest target."""

from __future__ import annotations

import numpy as np
import scipy.sparse

from oceankit.fields.adjacency import originals
from oceankit.fields.grid import Grid
from oceankit.numerics import neighbours, sparse
from oceankit.numerics.sparse import Rows
from oceankit.regridding.operators import Matrix, from_scipy

__all__ = ["check_inverse_distance", "idw", "inverse_distance", "nearest_inside", "nearest_target", "nothing"]

# Places closer than this (in radii of the sphere, some micrometres) are one.
_SAME = 1e-12


def idw(source: Grid, target: Grid, number: int, power: float) -> Matrix:
    """Means of the ``number`` nearest source centres, weighted by one over distance to the ``power`` (Shepard 1968).

    A target on a source has that source's value. Outside the source's cells there is nothing, as for ``"nearest"``.
    """
    used = np.flatnonzero(source.used() & (originals(source) == np.arange(source.size)))
    if not used.size:
        return nothing(source, target)
    wanted = target.centres()
    found, distance = nearest_inside(source, wanted, used, number)
    values = inverse_distance(distance, power, planar=source.planar)
    values /= np.maximum(values.sum(axis=1, keepdims=True), 1e-300)
    columns = np.where(found >= 0, used[found], -1)
    order = np.argsort(columns, axis=1)
    columns, values = np.take_along_axis(columns, order, axis=1), np.take_along_axis(values, order, axis=1)
    return Matrix(sparse.from_fixed(columns, values, source.size), source.size)


def inverse_distance(distance: np.ndarray, power: float, *, planar: bool) -> np.ndarray:
    """Weights (targets, k) from straight distances (targets, k), nearest first, inf where there is none.

    The nearest weighs one and the others less, along great circles on the sphere; those in the very place of the target,
    if there are any, weigh one each and all others nothing.
    """
    if not planar:
        distance = np.where(np.isfinite(distance), 2.0 * np.arcsin(np.minimum(distance / 2.0, 1.0)), np.inf)
    closest = distance[:, :1]
    here = closest <= _SAME
    with np.errstate(invalid="ignore", divide="ignore"):
        values = np.where(here, distance <= _SAME, (closest / distance) ** power)
    return np.where(np.isfinite(distance), values, 0.0)


def nearest_target(source: Grid, target: Grid) -> Matrix:
    """Each source cell to the nearest target that is not masked; a target has the mean of what it is given.

    Source cells beyond the reach of all target cells, and copies in halos, are not carried.
    """
    places = source.centres()
    carried = np.flatnonzero(source.used() & (originals(source) == np.arange(source.size)))
    used = np.flatnonzero(target.used())
    if not used.size or not carried.size:
        return nothing(source, target)
    found = nearest_inside(target, places[carried], used)[0][:, 0]
    kept = found >= 0
    rows, columns = used[found[kept]], carried[kept]
    values = 1.0 / np.bincount(rows, minlength=target.size)[rows]
    triplet = values, (rows, columns)
    return Matrix(from_scipy(scipy.sparse.csr_array(triplet, shape=(target.size, source.size))), source.size)


def nearest_inside(grid: Grid, wanted: np.ndarray, used: np.ndarray, number: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """The nearest of the cells ``used`` to each place (m, 3) that lies inside a grid's cells.

    A place is outside where it is farther from the nearest centre of all than the corners of that cell; a masked cell reaches
    as far as any other. A list of points has no outside.

    Returns
    -------
    found : int64 (m, number)
        Places in ``used``; -1 outside, or where there are fewer.
    distance : float64 (m, number)
        Straight distances, inf where there is none.
    """
    centres, reach = grid.centres(), grid.reach()
    there = np.flatnonzero(np.isfinite(centres).all(axis=1))
    # A search from far away looks at everything, so what is outside is found by a search that stops. A tenth more,
    # because corners derived from centres cut a little short.
    farthest = 1.1 * float(np.max(reach, initial=0.0))
    found, distance = neighbours.nearest(neighbours.build(centres[there]), wanted, within=farthest)
    outside = (found[:, 0] < 0) | (distance[:, 0] > 1.1 * reach[there[found[:, 0]]])
    if number > 1 or there.size > used.size:
        inside = np.where(outside[:, None], np.nan, wanted)
        return neighbours.nearest(neighbours.build(centres[used]), inside, k=number)
    found[outside], distance[outside] = -1, np.inf
    return found, distance


def check_inverse_distance(number: object, power: object) -> None:
    """Refuse what is no number of neighbours or no power."""
    if not isinstance(number, int | np.integer) or isinstance(number, bool) or number < 1:
        raise ValueError(f"neighbours={number!r}; give a whole number of at least 1")
    if not isinstance(power, int | float | np.number) or isinstance(power, bool) or not 0.0 < float(power) < np.inf:
        raise ValueError(f"power={power!r}; give a number above 0, such as 2.0 for one over the distance squared")


def nothing(source: Grid, target: Grid) -> Matrix:
    """Weights that reach no target."""
    rows = Rows(np.zeros(target.size + 1, np.int64), np.empty(0, np.uint32), np.empty(0), source.size)
    return Matrix(rows, source.size)
