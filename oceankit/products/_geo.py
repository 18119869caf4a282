"""Longitude and latitude on an axes, plain or cartopy's: what it shows and where a point lies on it.

The one idea: a map is cut along one meridian, the seam, opposite its centre. Longitudes are turned to lie between the
seam and 360 degrees east of it, and whatever crosses the seam is cut there before it is projected.
"""

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from oceankit._extras import require

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["CENTRE", "View", "arc", "is_geo", "outline", "polylines", "seam_of", "turned", "view"]

# The middle of global maps: cut at 20 E, through Africa, they cut no ocean.
CENTRE = 200.0
# Projections on which each side of the seam is one edge of the map: polygons cut there need no further cutting.
_STRAIGHT = (
    "PlateCarree", "Mercator", "Miller", "LambertCylindrical", "Robinson", "Mollweide", "EqualEarth", "Sinusoidal",
    "EckertI", "EckertII", "EckertIII", "EckertIV", "EckertV", "EckertVI",
)  # fmt: skip
# Points on the seam itself would be projected to either edge of the map.
_NUDGE = 1e-6


class View(NamedTuple):
    """What an axes shows: ``box`` (west, east, south, north), ``seam``, its projection (None: plain degrees)."""

    box: tuple[float, float, float, float]
    seam: float
    crs: Any
    straight: bool

    def project(self, lon: np.ndarray, lat: np.ndarray) -> np.ndarray:
        """Axes coordinates, shape ``(*lon.shape, 2)``; longitudes between the seam and 360 degrees east of it."""
        if self.crs is None:
            return np.stack([lon, lat], axis=-1)
        crs = require("cartopy.crs", extra="plot", purpose="map projections")
        inside = np.clip(lon, self.seam + _NUDGE, self.seam + 360 - _NUDGE)
        points = self.crs.transform_points(crs.PlateCarree(), inside.ravel(), np.asarray(lat, dtype=np.float64).ravel())
        return points[:, :2].reshape(*lon.shape, 2)


def is_geo(ax: "Axes") -> bool:
    """Whether the axes is a cartopy GeoAxes."""
    return hasattr(ax, "projection") and hasattr(ax, "set_global")


def turned(lon: np.ndarray, seam: float) -> np.ndarray:
    """Longitudes turned by whole circles to lie in ``[seam, seam + 360)``."""
    return seam + np.mod(lon - seam, 360.0)


def arc(lon: np.ndarray) -> tuple[float, float]:
    """West and east end of the shortest arc that holds all longitudes; ``west`` lies in -180..180.

    Examples
    --------
    >>> arc(np.array([170.0, 175.0, -178.0]))
    (170.0, 182.0)
    """
    ordered = np.unique(np.mod(lon[np.isfinite(lon)], 360.0))
    gaps = np.diff(ordered, append=ordered[0] + 360.0)
    west = float(ordered[(np.argmax(gaps) + 1) % ordered.size])
    west = west - 360.0 if west >= 180.0 else west
    return west, west + 360.0 - float(gaps.max())


def seam_of(projection: Any) -> float:
    """The longitude opposite the centre of a cartopy projection."""
    # PlateCarree moves the prime meridian instead of the centre.
    parameters = projection.proj4_params
    return float(parameters.get("lon_0", 0.0)) + float(parameters.get("pm", 0.0)) - 180.0


def view(ax: "Axes") -> View:
    """What the axes shows now."""
    x, y = np.sort(ax.get_xlim()), np.sort(ax.get_ylim())
    if not is_geo(ax):
        west, east = float(x[0]), float(min(x[1], x[0] + 360.0))
        south, north = (float(v) for v in np.clip(y, -90.0, 90.0))
        if not south < north:
            raise ValueError(
                f"the y axis runs from {y[0]:g} to {y[1]:g}, which are no latitudes; "
                "a plain axes must have longitude and latitude in degrees as x and y"
            )
        return View((west, east, south, north), (west + east) / 2 - 180.0, None, True)
    crs = require("cartopy.crs", extra="plot", purpose="map projections")
    projection = ax.projection  # type: ignore[attr-defined]
    seam = seam_of(projection)
    grid = np.meshgrid(np.linspace(x[0], x[1], 61), np.linspace(y[0], y[1], 61))
    found = crs.PlateCarree().transform_points(projection, grid[0].ravel(), grid[1].ravel())
    inside = np.isfinite(found[:, :2]).all(axis=1) & (np.abs(found[:, 1]) <= 90)
    lon, lat = turned(found[inside, 0], seam), found[inside, 1]
    margin = 0.05
    wide, tall = np.ptp(lon) * margin, np.ptp(lat) * margin
    west, east = max(lon.min() - wide, seam), min(lon.max() + wide, seam + 360.0)
    if east - west > 300:
        west, east = seam, seam + 360.0
    south, north = max(lat.min() - tall, -90.0), min(lat.max() + tall, 90.0)
    straight = type(projection).__name__ in _STRAIGHT
    return View((float(west), float(east), float(south), float(north)), seam, projection, straight)


def outline(shape: Any, on: View) -> Any:
    """Polygons with holes as one matplotlib Path on the axes.

    One path for all: polygons that meet along a cut then show no hairline between them.
    """
    shapely = require("shapely", extra="plot", purpose="coastlines")
    path = require("matplotlib.path", extra="plot", purpose="maps")
    polygons = shapely.orient_polygons(shapely.get_parts(shape))
    # Only cuts have long sides, and a side along the curved edge of a map must bend with it.
    rings = shapely.get_rings(polygons if on.crs is None else shapely.segmentize(polygons, 1.0))
    xy, owner = shapely.get_coordinates(rings, return_index=True)
    codes = np.full(owner.size, path.Path.LINETO, dtype=np.uint8)
    first = np.flatnonzero(np.diff(owner, prepend=-1))
    codes[first] = path.Path.MOVETO
    codes[np.append(first[1:], owner.size) - 1] = path.Path.CLOSEPOLY
    return path.Path(on.project(xy[:, 0], xy[:, 1]), codes)


def polylines(shape: Any, on: View) -> list[np.ndarray]:
    """Lines on the axes, broken where the projection shows no point."""
    shapely = require("shapely", extra="plot", purpose="coastlines")
    xy, owner = shapely.get_coordinates(shape if not shape.is_empty else [], return_index=True)
    if len(xy) == 0:
        return []
    parts = shapely.get_parts(shape)
    xy, owner = shapely.get_coordinates(parts, return_index=True)
    points = on.project(xy[:, 0], xy[:, 1])
    good = np.isfinite(points).all(axis=1)
    breaks = np.flatnonzero((np.diff(owner) != 0) | (good[1:] != good[:-1])) + 1
    pieces = np.split(points, breaks)
    return [piece for piece, fine in zip(pieces, np.split(good, breaks), strict=True) if fine[0] and len(piece) > 1]
