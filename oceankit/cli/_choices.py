"""Words of the library that the run file and the commands offer.

As in the rooms of the library, whose import would cost seconds; tests hold them equal.
"""

__all__ = [
    "ASSIMILATION_METHODS", "BINNING", "CHECKS", "CONVENTIONS", "COVARIANCES", "EXTRAPOLATE", "FILTERS", "FORECASTERS",
    "INFLATIONS", "KEYS_OF_METHODS", "KINDS", "LEVELS_METHODS", "LEVELS_OUTSIDE", "LIMITERS", "LOCALIZATIONS",
    "NEEDED_BY_METHODS", "PRETRAINED", "REGRID_METHODS", "TAPERS",
]  # fmt: skip

BINNING = ("mean", "median", "min", "max", "count")
REGRID_METHODS = (
    "nearest", "nearest_target", "bilinear", "bicubic", "conservative", "conservative2", "idw", *BINNING,
)  # fmt: skip
EXTRAPOLATE = ("nearest", "inverse_distance", "creep")
LIMITERS = ("barth_jespersen",)
LEVELS_METHODS = ("linear", "conservative")
LEVELS_OUTSIDE = ("layer", "nearest", "linear")

COVARIANCES = ("gaspari_cohn", "gaussian", "matern")
LOCALIZATIONS = ("gaspari_cohn", "boxcar")
TAPERS = ("R", "anomalies")
INFLATIONS = ("multiplicative", "forgetting", "rtps", "rtpp")
CHECKS = ("reject", "k_factor")

CONVENTIONS = ("oliver", "heatwaveR", "heatwave3", "xmhw")

KINDS = ("local", "slurm", "pbs", "slurm-allocation", "mpi")

FORECASTERS = ("forecaster", "climatology", "persistence", "damped_persistence", "lim", "ridge", "blend")
PRETRAINED = ("sst_daily", "surge_hourly")

_OI, _VAR, _EOI = ("optimal_interpolation",), ("three_d_var",), ("ensemble_oi",)
FILTERS = ("enkf", "denkf", "etkf", "estkf", "eakf", "letkf", "lestkf")
ASSIMILATION_METHODS = (*_OI, *_VAR, *_EOI, *FILTERS)
KEYS_OF_METHODS = {
    "background_error_std": (*_OI, *_VAR),
    "length_scale": (*_OI, *_VAR),
    "depth_scale": (*_OI, *_VAR),
    "time_scale": _OI,
    "covariance": _OI,
    "n_nearest": _OI,
    "steps": _VAR,
    "ensemble": _EOI,
    "scale": _EOI,
    "localization": (*_EOI, *FILTERS),
    "weight_grid": (*_EOI, *(f for f in FILTERS if f != "eakf")),
    "inflation": FILTERS,
    "rotate": FILTERS,
    "seed": FILTERS,
    "save_ensemble": FILTERS,
}
"""The methods of `assimilate` that a key is for; what is not here is for all."""
NEEDED_BY_METHODS = {
    "background_error_std": (*_OI, *_VAR),
    "length_scale": (*_OI, *_VAR),
    "ensemble": _EOI,
    "localization": ("letkf", "lestkf"),
}
