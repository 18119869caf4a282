"""From grid to grid: weights by Numba kernels, applied lazily over any other dimensions."""

from oceankit.regridding.regridder import METHODS, NoOverlapError, Regridder, regrid

__all__ = ["METHODS", "NoOverlapError", "Regridder", "regrid"]
