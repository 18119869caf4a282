"""What a sea as a whole has reached: the level that a part of its area has, and the probability of that."""

import numpy as np
import xarray as xr

from oceankit.products import alerts

__all__ = ["HAZARD", "LEVELS", "assessed", "of_region", "reached_by", "severity"]

HAZARD = "marine_heatwave"
LEVELS = ("blue", "yellow", "orange", "red")
"""Reached at categories 1 to 4"""
_CERTAIN = 1e-6
"""Spread of what was observed, in categories"""


def reached_by(values: np.ndarray, area: np.ndarray, share: float) -> np.ndarray:
    """What the part ``share`` of the area reaches, of values along the last axis; NaN where less than half is known."""
    known = np.isfinite(values)
    order = np.argsort(np.where(known, -values, np.inf), axis=-1, kind="stable")
    ranked = np.take_along_axis(values, order, axis=-1)
    known_area = np.where(known, area, 0.0)
    covered = np.take_along_axis(known_area, order, axis=-1).cumsum(axis=-1)
    whole = known_area.sum(axis=-1)
    at = (covered >= share * whole[..., None] * (1 - 1e-12)).argmax(axis=-1)
    found = np.take_along_axis(ranked, at[..., None], axis=-1)[..., 0]
    return np.where(whole >= 0.5 * area.sum(), found, np.nan)


def severity(values: xr.DataArray, mean: xr.DataArray, threshold: xr.DataArray) -> xr.DataArray:
    """Departure from the mean in units of threshold less mean: category k of Hobday et al. (2018) begins at k."""
    return ((values - mean) / (threshold - mean)).assign_attrs(units="1", long_name="severity")


def assessed(mean: xr.DataArray, std: xr.DataArray, confidence: float) -> xr.Dataset:
    """Alert level of each cell and lead, of a severity that is forecast; lead 0 is observed."""
    spread = xr.where(std["lead_time"] == 0, _CERTAIN, std).transpose(*mean.dims).assign_attrs(units="1")
    forecast = xr.Dataset({"mean": mean, "std": spread})
    found = alerts.assess(HAZARD, forecast, confidence=confidence)
    return found.drop_vars([n for n in found if str(n).startswith(("state_", "status", "action"))])


def of_region(cells: xr.Dataset, area: np.ndarray, share: float, confidence: float) -> xr.Dataset:
    """The same of the sea as a whole: what the part ``share`` of its area reaches."""
    dims = [d for d in cells["value"].dims if d != "lead_time"]
    if not dims:
        return cells
    lead = cells["value"].transpose("lead_time", *dims)
    value = reached_by(lead.values.reshape(lead.shape[0], -1), area, share)
    chances = cells["probability"].transpose("alert_level", "lead_time", *dims)
    chance = reached_by(chances.values.reshape(*chances.shape[:2], -1), area, share)
    reached = (chance >= confidence).cumprod(axis=0).sum(axis=0)
    level = np.where(np.isnan(chance).any(axis=0), -1, reached).astype(np.int8)
    out = cells.drop_vars(["value", "probability", "level", *dims], errors="ignore")
    out["level"] = ("lead_time", level, cells["level"].attrs)
    out["probability"] = (("alert_level", "lead_time"), chance, cells["probability"].attrs)
    out["value"] = ("lead_time", value, cells["value"].attrs)
    return out.drop_dims([d for d in dims if d in out.dims])
