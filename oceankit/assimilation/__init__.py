"""From background and observations to analysis: one interface, ``method.assimilate(background, observations)``."""

from oceankit.assimilation import cycling, diagnostics, twin
from oceankit.assimilation.ensemble import EAKF, ESTKF, ETKF, LESTKF, LETKF, DEnKF, EnKF
from oceankit.assimilation.ensemble_oi import EnsembleOI
from oceankit.assimilation.inflation import RTPP, RTPS, Forgetting, Multiplicative
from oceankit.assimilation.localization import Boxcar, GaspariCohn, WeightGrid
from oceankit.assimilation.optimal_interpolation import OptimalInterpolation
from oceankit.assimilation.three_d_var import ThreeDVar

__all__ = [
    "EAKF",
    "ESTKF",
    "ETKF",
    "LESTKF",
    "LETKF",
    "RTPP",
    "RTPS",
    "Boxcar",
    "DEnKF",
    "EnKF",
    "EnsembleOI",
    "Forgetting",
    "GaspariCohn",
    "Multiplicative",
    "OptimalInterpolation",
    "ThreeDVar",
    "WeightGrid",
    "cycling",
    "diagnostics",
    "twin",
]
