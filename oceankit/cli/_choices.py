"""Words of the library that the run file and the commands offer.

As in oceankit.regridding, whose import would cost seconds; a test holds them equal.
"""

__all__ = ["BINNING", "EXTRAPOLATE", "LEVELS_METHODS", "LEVELS_OUTSIDE", "LIMITERS", "REGRID_METHODS"]

BINNING = ("mean", "median", "min", "max", "count")
REGRID_METHODS = (
    "nearest", "nearest_target", "bilinear", "bicubic", "conservative", "conservative2", "idw", *BINNING,
)  # fmt: skip
EXTRAPOLATE = ("nearest", "inverse_distance", "creep")
LIMITERS = ("barth_jespersen",)
LEVELS_METHODS = ("linear", "conservative")
LEVELS_OUTSIDE = ("layer", "nearest", "linear")
