"""What became of an observation, in all methods alike."""

from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from oceankit.fields.grid import Grid
from oceankit.observations.table import ObservationError

__all__ = ["DUPLICATE", "FLAGGED", "OUTSIDE", "STATUS", "USED", "NoneUsableError", "status_of"]

USED, OUTSIDE, FLAGGED, DUPLICATE = 0, 1, 2, 3
STATUS: dict[str, Any] = {
    "flag_values": np.array([0, 1, 2, 3], np.int8),
    "flag_meanings": "used outside_the_background rejected_by_quality_flag same_as_an_earlier_one",
    "long_name": "what became of the observation",
}


class NoneUsableError(ObservationError):
    """All observations are outside the background, flagged or repeated."""


def status_of(reached: np.ndarray, obs: xr.Dataset, grid: Grid) -> np.ndarray:
    """int (obs,): the status of each, from whether the background has a value there; some must be usable.

    An observation that equals an earlier one in every column was delivered twice, and counts once.
    """
    status = np.where(reached, USED, OUTSIDE)
    if "flag" in obs.variables:
        status = np.where(np.isin(obs["flag"].values, (3, 4, 9)), FLAGGED, status)
    table = pd.DataFrame({n: v.values for n, v in obs.variables.items() if v.dims == ("obs",)})
    status = np.where((status == USED) & table.duplicated().values, DUPLICATE, status)
    if not (status == USED).any():
        raise NoneUsableError(
            f"none of the {status.size} observations can be used: {int((status == OUTSIDE).sum())} lie outside the "
            f"background {grid!r} (or its valid cells, depths and times), {int((status == FLAGGED).sum())} are flagged"
        )
    return status
