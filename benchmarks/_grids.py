"""A grid that several benchmarks work on."""

import numpy as np
import xarray as xr

from oceankit.fields.rotated import Pole, to_geographic


def tilted(ny: int = 400, nx: int = 600) -> xr.Dataset:
    """A regular grid around a tilted pole, as a dataset with 2-D centres and corners."""
    pole = Pole(40.0, 160.0, 0.0, "x", "y")
    x, y = np.linspace(-60, 60, nx + 1), np.linspace(-40, 40, ny + 1)
    centres = to_geographic((x[None, :-1] + x[None, 1:]) / 2, (y[:-1, None] + y[1:, None]) / 2, pole)
    lon, lat = to_geographic(x[None], y[:, None], pole)
    corners = [np.stack([v[:-1, :-1], v[:-1, 1:], v[1:, 1:], v[1:, :-1]], axis=-1) for v in (lon, lat)]
    coords = {
        "lon": (("y", "x"), centres[0], {"units": "degrees_east", "standard_name": "longitude", "bounds": "lon_bnds"}),
        "lat": (("y", "x"), centres[1], {"units": "degrees_north", "standard_name": "latitude", "bounds": "lat_bnds"}),
        "lon_bnds": (("y", "x", "corner"), corners[0]),
        "lat_bnds": (("y", "x", "corner"), corners[1]),
    }
    return xr.Dataset({"field": (("y", "x"), np.ones((ny, nx)), {"coordinates": "lon lat"})}, coords=coords)
