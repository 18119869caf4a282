"""Flags of observations: which may be used, and setting them with the reason on record."""

import numpy as np
import xarray as xr

from oceankit.observations.table import ATTRS

__all__ = ["SUSPECT", "BAD", "flagged", "flags_of", "usable"]

SUSPECT, BAD = 3, 4
_UNUSED = (3, 4, 9)


def flags_of(obs: xr.Dataset) -> np.ndarray:
    """QARTOD flags; 2 (not evaluated) where the table has none."""
    return obs["flag"].values if "flag" in obs.variables else np.full(obs.sizes["obs"], 2, np.int8)


def usable(obs: xr.Dataset) -> np.ndarray:
    """bool (obs,): observations that are not flagged 3, 4 or 9."""
    return ~np.isin(flags_of(obs), _UNUSED)


def flagged(obs: xr.Dataset, which: np.ndarray, flag: int, reason: str) -> xr.Dataset:
    """The table with ``flag`` and ``flag_reason`` set where ``which``; all observations stay in it."""
    before = obs["flag_reason"].values.astype(str) if "flag_reason" in obs.variables else np.full(obs.sizes["obs"], "")
    flags = flags_of(obs)
    attrs = dict(obs["flag"].attrs) if "flag" in obs.variables else dict(ATTRS["flag"])
    said = {"long_name": "why the observation was flagged"}
    return obs.assign(
        flag=("obs", np.where(which, flag, flags).astype(flags.dtype), attrs),
        flag_reason=("obs", np.where(which, reason, before), said),
    )
