"""The steps of a time axis: without holes, and what they are called."""

import numpy as np
import xarray as xr

from oceankit.anomaly._calendar import Days

__all__ = ["hole_in", "require_no_holes", "step_name"]

# A step this much longer than the usual one is a hole in the axis; months differ by less.
_LONGEST_STEP = 1.5
_DAY = 86_400e6


def hole_in(days: Days) -> int | None:
    """Position of the step before the longest hole of an axis; None where it has none."""
    steps = np.diff(days.stamp)
    return int(steps.argmax()) if steps.size > 1 and steps.max() > _LONGEST_STEP * np.median(steps) else None


def require_no_holes(time: xr.DataArray, days: Days) -> None:
    """Refuse an axis with absent steps: an event cannot be counted across them.

    Raises
    ------
    ValueError
        Naming the first hole.
    """
    at = hole_in(days)
    if at is not None:
        raise ValueError(
            f"the time coordinate {time.name!r} jumps from {time.values[at]} to {time.values[at + 1]}, and a spell "
            f"cannot be counted across the hole: reindex to every step, for example with "
            f".resample({time.name}='D').asfreq(), which makes the absent ones missing"
        )


def step_name(days: Days) -> str:
    """``"days"`` where steps are a day, otherwise ``"time steps"``."""
    steps = np.diff(days.stamp)
    return "days" if not steps.size or np.median(steps) == _DAY else "time steps"
