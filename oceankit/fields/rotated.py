"""Rotated-pole axes (CF grid mapping rotated_latitude_longitude) to geographic coordinates."""

from collections.abc import Hashable
from typing import NamedTuple

import numpy as np
import xarray as xr

__all__ = ["Pole", "read_pole", "to_geographic"]


class Pole(NamedTuple):
    """Where the north pole of the rotated axes lies, and their names."""

    lat: float
    lon: float
    grid_lon: float
    """Longitude, in the rotated system, of the true north pole."""
    x: Hashable
    y: Hashable


def read_pole(ds: xr.Dataset) -> Pole | None:
    """The rotated pole of a dataset with 1-D grid_longitude and grid_latitude, or None."""
    axes = {}
    for name, variable in ds.variables.items():
        standard = variable.attrs.get("standard_name")
        if standard in ("grid_longitude", "grid_latitude") and variable.ndim == 1:
            axes[standard] = name
    mapping = [
        v.attrs for v in ds.variables.values() if v.attrs.get("grid_mapping_name") == "rotated_latitude_longitude"
    ]
    if len(axes) < 2 or not mapping:
        return None
    return Pole(
        float(mapping[0]["grid_north_pole_latitude"]),
        float(mapping[0]["grid_north_pole_longitude"]),
        float(mapping[0].get("north_pole_grid_longitude", 0.0)),
        axes["grid_longitude"],
        axes["grid_latitude"],
    )


def to_geographic(x: np.ndarray, y: np.ndarray, pole: Pole) -> tuple[np.ndarray, np.ndarray]:
    """Longitude and latitude in degrees of rotated coordinates in degrees (broadcast together)."""
    x, y = np.broadcast_arrays(np.radians(np.asarray(x, float) - pole.grid_lon), np.radians(np.asarray(y, float)))
    tilt = np.radians(pole.lat)
    sin_lat = np.sin(y) * np.sin(tilt) + np.cos(y) * np.cos(tilt) * np.cos(x)
    east = np.cos(y) * np.sin(x)
    north = np.sin(y) * np.cos(tilt) - np.cos(y) * np.sin(tilt) * np.cos(x)
    # From the true pole, x counts from the meridian of the rotated pole's antipode.
    lon = pole.lon - np.degrees(np.arctan2(east, north))
    return (lon + 180.0) % 360.0 - 180.0, np.degrees(np.arcsin(np.clip(sin_lat, -1.0, 1.0)))
