"""Scattered data with errors: the observations table, operators that match a field to it, checks, thinning, averaging."""

from oceankit.observations import operators, sampling
from oceankit.observations.background import background_check
from oceankit.observations.checks import duplicates, within_window
from oceankit.observations.superobservations import superob
from oceankit.observations.table import ObservationError, table, validate
from oceankit.observations.thinning import thin

__all__ = [
    "ObservationError",
    "background_check",
    "duplicates",
    "operators",
    "sampling",
    "superob",
    "table",
    "thin",
    "validate",
    "within_window",
]
