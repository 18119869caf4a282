"""From background and observations to analysis: one interface, ``method.assimilate(background, observations)``."""

from oceankit.assimilation.optimal_interpolation import OptimalInterpolation

__all__ = ["OptimalInterpolation"]
