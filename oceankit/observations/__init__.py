"""Scattered data with errors: the observations table, and operators that match a field to it."""

from oceankit.observations import operators, sampling
from oceankit.observations.table import ObservationError, table, validate

__all__ = ["ObservationError", "operators", "sampling", "table", "validate"]
