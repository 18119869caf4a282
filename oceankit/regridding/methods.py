"""The methods by name: which operator each makes of two grids."""

from __future__ import annotations

from typing import NamedTuple

from oceankit.fields.corners import GridError
from oceankit.fields.grid import Edges, Grid
from oceankit.regridding import axes, lattice, scattered, weights
from oceankit.regridding.binning import STATISTICS, Bins, binning
from oceankit.regridding.extrapolation import EXTRAPOLATE
from oceankit.regridding.operators import Operator, without
from oceankit.regridding.second_order import LIMITERS, SecondOrder, conservative2

__all__ = ["BINNING", "EXTRAPOLATE", "LIMITERS", "METHODS", "Options", "operator"]

BINNING = STATISTICS
METHODS = ("nearest", "nearest_target", "bilinear", "bicubic", "conservative", "conservative2", "idw", *BINNING)


class Options(NamedTuple):
    """Options of a regridder that change its weights."""

    method: str
    periodic: bool
    edges: Edges
    pole: str | None
    limiter: str | None = None
    neighbours: int = 8
    power: float = 2.0


def operator(source: Grid, target: Grid, options: Options) -> Operator:
    """Weights of ``options.method``, without masked source cells."""
    found = _by_method(source, target, options)
    # Second order leaves masked cells out of its gradients, and so when it is made; bins hold none from the start.
    if source.mask is not None and not source.mask.values.all() and not isinstance(found, SecondOrder | Bins):
        found = without(found, ~source.mask.values.ravel())
    return found


def _by_method(source: Grid, target: Grid, options: Options) -> Operator:
    if source.planar != target.planar:
        raise GridError("one grid lies on the sphere and the other on a plane; give both lon and lat, or both x and y")
    method = options.method
    if method == "nearest":
        return weights.nearest(source, target)
    if method == "nearest_target":
        return scattered.nearest_target(source, target)
    if method == "idw":
        return scattered.idw(source, target, options.neighbours, options.power)
    if method in BINNING:
        return binning(source, target, method)
    if method == "conservative":
        return weights.conservative(source, target, edges=options.edges)
    if method == "conservative2":
        if options.edges != "great_circle" and not source.planar:
            raise GridError("conservative2 is for edges='great_circle'; for cells between parallels use 'conservative'")
        return conservative2(source, target, options.limiter)
    wraps, pole = options.periodic, options.pole
    if method == "bicubic":
        return (axes if source.kind == "rectilinear" else lattice).bicubic(source, target, periodic=wraps, pole=pole)
    if source.kind == "rectilinear":
        return axes.bilinear(source, target, periodic=wraps, pole=pole, edges=options.edges)
    return lattice.bilinear(source, target, periodic=wraps, pole=pole)
