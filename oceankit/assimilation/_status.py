"""What became of an observation, in all methods alike."""

from typing import Any

import numpy as np
import xarray as xr

from oceankit.fields.grid import Grid
from oceankit.observations.table import ObservationError

__all__ = ["FLAGGED", "OUTSIDE", "STATUS", "USED", "status_of"]

USED, OUTSIDE, FLAGGED = 0, 1, 2
STATUS: dict[str, Any] = {
    "flag_values": np.array([0, 1, 2], np.int8),
    "flag_meanings": "used outside_the_background rejected_by_quality_flag",
    "long_name": "what became of the observation",
}


def status_of(reached: np.ndarray, obs: xr.Dataset, grid: Grid) -> np.ndarray:
    """int (obs,): the status of each, from whether the background has a value there; some must be usable."""
    status = np.where(reached, USED, OUTSIDE)
    if "flag" in obs.variables:
        status = np.where(np.isin(obs["flag"].values, (3, 4, 9)), FLAGGED, status)
    if not (status == USED).any():
        raise ObservationError(
            f"none of the {status.size} observations can be used: {int((status == OUTSIDE).sum())} lie outside the "
            f"background {grid!r} (or its valid cells, depths and times), {int((status == FLAGGED).sum())} are flagged"
        )
    return status
