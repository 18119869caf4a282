"""Synthetic observations of a known field, for observing-system experiments."""

from typing import Any

import numpy as np
import xarray as xr

from oceankit.fields.grid import Grid
from oceankit.numerics.sphere import lonlat, unit_vectors
from oceankit.observations.interpolation import Interp
from oceankit.observations.table import ObservationError, table

__all__ = ["random_points", "satellite_tracks", "synthetic"]


def satellite_tracks(
    *, n_tracks: int, spacing: float, inclination: float = 66.0, rng: int | np.random.Generator | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Positions along ground tracks of great circles, ascending and descending, as an altimeter flies them.

    Parameters
    ----------
    n_tracks
        Number of half orbits, spread evenly in longitude from a random start.
    spacing
        Distance between observations along a track, km.
    inclination
        Highest latitude reached, degrees.

    Returns
    -------
    lon, lat : float64 (n,)
        Degrees.
    track : int64 (n,)
        Number of the track.

    Examples
    --------
    >>> lon, lat, track = satellite_tracks(n_tracks=4, spacing=100, rng=0)
    >>> bool(abs(lat).max() <= 66), len(set(track))
    (True, 4)
    """
    if n_tracks < 1 or not spacing > 0 or not 0 < inclination <= 90:
        raise ValueError(
            f"n_tracks={n_tracks}, spacing={spacing}, inclination={inclination}: tracks are at least 1, "
            "the spacing is above 0 km "
            "and the inclination between 0 and 90 degrees"
        )
    start = np.random.default_rng(rng).uniform(0, 360)
    along = np.arange(-90.0, 90.0, spacing / 111.195)
    tilt = np.radians(inclination)
    phase = np.radians(along)
    lons, lats, tracks = [], [], []
    for number in range(n_tracks):
        node = np.radians(start + 360.0 * number / n_tracks)
        direction = 1.0 if number % 2 == 0 else -1.0
        # A circle through the node, tilted by the inclination, walked from its southernmost to its northernmost point.
        x, y, z = np.cos(phase), direction * np.sin(phase) * np.cos(tilt), np.sin(phase) * np.sin(tilt)
        turned = np.stack([x * np.cos(node) - y * np.sin(node), x * np.sin(node) + y * np.cos(node), z], axis=-1)
        lon, lat = lonlat(turned)
        lons.append(lon)
        lats.append(lat)
        tracks.append(np.full(lon.size, number))
    return np.concatenate(lons), np.concatenate(lats), np.concatenate(tracks)


def random_points(n: int, *, rng: int | np.random.Generator | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Longitudes and latitudes of ``n`` points spread evenly over the sphere, degrees."""
    if n < 1:
        raise ValueError(f"n={n}; ask for at least one point")
    generator = np.random.default_rng(rng)
    return lonlat(unit_vectors(generator.uniform(-180, 180, n), np.degrees(np.arcsin(generator.uniform(-1, 1, n)))))


def synthetic(
    truth: xr.DataArray,
    lon: Any,
    lat: Any,
    *,
    error_std: Any,
    rng: int | np.random.Generator | None = None,
    **more: Any,
) -> xr.Dataset:
    """Observations of ``truth`` at given positions with random errors; positions outside its valid cells are left out.

    Parameters
    ----------
    truth
        The field that stands for the ocean.
    lon, lat
        Positions in degrees, 1-D.
    error_std
        Standard deviation of the errors drawn, in the field's units: one number or one each.
    **more
        Further columns of the table.

    Returns
    -------
    Dataset
        A table with the error-free ``truth`` beside each value and the attribute ``synthetic``.
    """
    lon, lat = np.asarray(lon, float), np.asarray(lat, float)
    columns = {k: np.broadcast_to(np.asarray(v), lon.shape) for k, v in {"error_std": error_std, **more}.items()}
    there = table(value=np.zeros(lon.size), error_std=columns["error_std"], lon=lon, lat=lat)
    true = np.asarray(Interp(min_coverage=1.0)(truth, there).values, np.float64)
    keep = np.isfinite(true)
    if not keep.any():
        raise ObservationError(f"none of the {lon.size} positions lies on a valid cell of {Grid.from_dataset(truth)!r}")
    kept = {k: v[keep] for k, v in columns.items()}
    error = np.random.default_rng(rng).normal(size=int(keep.sum())) * kept["error_std"]
    obs = table(
        value=true[keep] + error, lon=lon[keep], lat=lat[keep], units=truth.attrs.get("units"), truth=true[keep], **kept
    )
    obs.attrs["synthetic"] = f"values of {truth.name!r} with random errors, not measurements"
    return obs
