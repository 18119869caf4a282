"""From grid to grid and from levels to levels: weights by Numba kernels, applied lazily over any other dimensions."""

from oceankit.regridding._components import VectorError
from oceankit.regridding.angles import grid_angle, rotate
from oceankit.regridding.regridder import METHODS, NoOverlapError, Regridder, regrid
from oceankit.regridding.staggered import to_centres
from oceankit.regridding.vectors import VectorRegridder, regrid_vectors
from oceankit.regridding.vertical import VERTICAL_METHODS, regrid_vertical, vertical_coverage

__all__ = [
    "METHODS",
    "NoOverlapError",
    "Regridder",
    "VERTICAL_METHODS",
    "VectorError",
    "VectorRegridder",
    "grid_angle",
    "regrid",
    "regrid_vectors",
    "regrid_vertical",
    "rotate",
    "to_centres",
    "vertical_coverage",
]
