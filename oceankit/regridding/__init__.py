"""From grid to grid: weights by Numba kernels, applied lazily over any other dimensions."""

from oceankit.regridding.regridder import METHODS, Regridder, regrid

__all__ = ["METHODS", "Regridder", "regrid"]
