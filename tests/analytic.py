"""Fields that are easy to check: the functions of Valcke et al. 2022 (Math. Comput. Appl. 27, 31), angles in radians."""

from collections.abc import Callable

import numpy as np
import xarray as xr

from oceankit.fields import Grid


def smooth(lon: np.ndarray, lat: np.ndarray) -> np.ndarray:
    """2 + cos(lon) cos2(lat): Jones 1999."""
    return 2 + np.cos(lon) * np.cos(lat) ** 2


def sinusoid(lon: np.ndarray, lat: np.ndarray) -> np.ndarray:
    return 2 - np.cos(np.pi * np.arccos(np.cos(lon) * np.cos(lat)) / (1.2 * np.pi))


def harmonic(lon: np.ndarray, lat: np.ndarray) -> np.ndarray:
    """Like the spherical harmonic Y32,16."""
    return 2 + np.sin(2 * lat) ** 16 * np.cos(16 * lon)


def vortex(lon: np.ndarray, lat: np.ndarray) -> np.ndarray:
    """Two vortices across a tilted pole."""
    lon0, lat0 = 5.5, 0.2
    lat_r = np.arcsin(np.sin(lat0) * np.sin(lat) + np.cos(lat0) * np.cos(lat) * np.cos(lon - lon0))
    lon_r = np.arctan2(
        np.cos(lat) * np.sin(lon - lon0),
        np.cos(lat) * np.sin(lat0) * np.cos(lon - lon0) - np.cos(lat0) * np.sin(lat),
    )
    rho = 3 * np.cos(lat_r)
    speed = 1.5 * np.sqrt(3) / np.cosh(rho) ** 2 * np.tanh(rho)
    omega = np.divide(speed, rho, out=np.zeros_like(rho), where=rho != 0)
    return 2 * (1 + np.tanh(rho / 5 * np.sin(lon_r - omega * 6)))


def on_grid(grid: Grid, function: Callable[..., np.ndarray], name: str = "field") -> xr.DataArray:
    """``function(lon, lat)`` at the centres of a grid."""
    lon, lat = (np.radians(a.values) for a in (grid.lon, grid.lat))
    if grid.kind == "rectilinear":
        lon, lat = np.meshgrid(lon, lat)
    return xr.DataArray(function(lon, lat), dims=grid.dims, coords=grid.coords(), name=name)


def rotated_grid(ny: int, nx: int, *, lon=(-30.0, 30.0), lat=(-20.0, 20.0), pole=(40.0, 160.0)) -> Grid:
    """A curvilinear grid with corners: a regular one around a tilted pole."""
    from oceankit.fields.rotated import Pole, to_geographic

    tilt = Pole(pole[0], pole[1], 0.0, "x", "y")
    x, y = np.linspace(*lon, nx + 1), np.linspace(*lat, ny + 1)
    cx, cy = (x[:-1] + x[1:]) / 2, (y[:-1] + y[1:]) / 2
    centres = to_geographic(cx[None], cy[:, None], tilt)
    corners = to_geographic(x[None], y[:, None], tilt)
    ds = xr.Dataset(
        coords={
            "lon": (("y", "x"), centres[0], {"units": "degrees_east"}),
            "lat": (("y", "x"), centres[1], {"units": "degrees_north"}),
            "lon_b": (("y_b", "x_b"), corners[0]),
            "lat_b": (("y_b", "x_b"), corners[1]),
        }
    )
    return Grid.from_dataset(ds, lon="lon", lat="lat", bounds=("lon_b", "lat_b"))
