"""From background and observations to analysis: one interface, ``method.assimilate(background, observations)``."""

from oceankit.assimilation import twin
from oceankit.assimilation.ensemble import EAKF, ESTKF, ETKF, LESTKF, LETKF, DEnKF, EnKF
from oceankit.assimilation.inflation import RTPP, RTPS, Forgetting, Multiplicative
from oceankit.assimilation.localization import Boxcar, GaspariCohn
from oceankit.assimilation.optimal_interpolation import OptimalInterpolation

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
    "Forgetting",
    "GaspariCohn",
    "Multiplicative",
    "OptimalInterpolation",
    "twin",
]
