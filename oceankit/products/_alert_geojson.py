"""Alerted places as GeoJSON (RFC 7946): longitude before latitude, -180 to 180, shells counter-clockwise, WGS 84 alone."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import xarray as xr

from oceankit._extras import require
from oceankit.products import _cells
from oceankit.products._alert_summary import degrees, grid_of, places
from oceankit.products._alert_text import Issue, level_entry, level_name

__all__ = ["collection", "outlines"]

Ring = list[list[float]]
_DIGITS = 6  # a tenth of a metre
_NAMES = (("level_name", "en"), ("level_name_zh", "zh"))


def collection(issue: Issue, *, least: int = 1) -> dict[str, Any]:
    """A FeatureCollection of the cells, stations or the one place of an assessment.

    Cells below the level ``least`` are left out; stations and single places are always there, also without a level. Cells and
    polygons across the date line are cut there. Times are in UTC.
    """
    per_place = places(issue.assessment)
    grid = grid_of(per_place)
    if grid is None:
        s = issue.summary
        point = None if s.lon is None or s.lat is None else {"type": "Point", "coordinates": _point(s.lon, s.lat)}
        features = [_feature(issue, point, _columns(per_place), (), issue.place["en"])]
    elif _listed(grid):
        lon, lat = degrees(*grid)
        columns = _columns(per_place)
        names = per_place["station"].values if "station" in per_place.coords else [""] * lon.size
        features = [
            _feature(issue, {"type": "Point", "coordinates": _point(lon[k], lat[k])}, columns, (k,), str(names[k]))
            for k in range(lon.size)
        ]
    else:
        per_place = per_place.transpose(*_rows(grid))
        columns = _columns(per_place)
        features = [
            _feature(issue, geometry, columns, at, "")
            for at, geometry in _cell_polygons(per_place["level"], grid, per_place["level"].values >= least)
        ]
    return {"type": "FeatureCollection", "features": features}


def _listed(grid: tuple[xr.DataArray, xr.DataArray]) -> bool:
    """Whether the places are a list, not cells."""
    return grid[0].dims == grid[1].dims and grid[0].ndim == 1


def _rows(grid: tuple[xr.DataArray, xr.DataArray]) -> tuple[Any, Any]:
    return (grid[0].dims[0], grid[0].dims[1]) if grid[0].ndim == 2 else (grid[1].dims[0], grid[0].dims[0])


def _columns(per_place: xr.Dataset) -> dict[str, np.ndarray]:
    # Plain arrays: a selection by xarray for each of many cells would take minutes.
    return {str(n): v.transpose(*per_place["level"].dims).values for n, v in per_place.data_vars.items()}


def _feature(
    issue: Issue, geometry: Any, columns: dict[str, np.ndarray], at: tuple[int, ...], name: str
) -> dict[str, Any]:
    level = int(columns["level"][at])
    book = issue.picked.book
    said: dict[str, Any] = {"name": name} if name else {}
    said |= {"hazard": issue.picked.hazard, "level": level}
    said |= {key: level_name(issue.picked, level, lang) if level >= 0 else None for key, lang in _NAMES}
    said["colour"] = (
        level_entry(issue.picked, level)[1]["colour"] if level > 0 else None if level else book["no_alert"]["colour"]
    )
    for key in ("value", "probability"):
        if key in columns:
            number = float(columns[key][at])
            said[key] = None if np.isnan(number) else number
    if "value" in columns:
        said["units"] = issue.summary.units
    for key in ("first_time", "last_time", "peak_time"):
        if key in columns and level > 0:
            date = columns[key][at]
            said[key] = None if np.isnat(date) else f"{np.datetime_as_string(date, unit='s')}Z"
    if "vertical_datum" in issue.assessment.attrs:
        said["vertical_datum"] = issue.assessment.attrs["vertical_datum"]
    return {"type": "Feature", "geometry": geometry, "properties": said}


def _cell_polygons(
    level: xr.DataArray, grid: tuple[xr.DataArray, xr.DataArray], wanted: np.ndarray
) -> Iterator[tuple[tuple[int, int], dict[str, Any]]]:
    cells = _cells.cut(level, *grid)
    for j, i in np.argwhere(wanted):
        rows, columns = [j, j, j + 1, j + 1], [i, i + 1, i + 1, i]
        ring = np.stack([cells.corner_lon[rows, columns], cells.corner_lat[rows, columns]], axis=1)
        yield (int(j), int(i)), _polygon(ring, float(cells.lon[j, i]))


def _polygon(ring: np.ndarray, centre: float) -> dict[str, Any]:
    """A GeoJSON polygon of one open ring; cut at the date line where it crosses that."""
    ring = np.array(ring, dtype=np.float64)
    middle = (centre + 180.0) % 360.0 - 180.0
    ring[:, 0] = middle + (ring[:, 0] - middle + 180.0) % 360.0 - 180.0
    if np.abs(ring[:, 0]).max() <= 180.0:
        return {"type": "Polygon", "coordinates": [_closed(ring)]}
    parts = []
    for turn in (-360.0, 0.0, 360.0):
        part = ring + np.array([turn, 0.0])
        for bound, keep in ((-180.0, 1), (180.0, -1)):
            part = _clip(part, bound, keep)
        if len(part) >= 3 and abs(_area(part)) > 0:
            parts.append([_closed(part)])
    if len(parts) == 1:
        return {"type": "Polygon", "coordinates": parts[0]}
    return {"type": "MultiPolygon", "coordinates": parts}


def _clip(ring: np.ndarray, bound: float, keep: int) -> np.ndarray:
    """The part of a ring with ``keep * lon >= keep * bound`` (Sutherland and Hodgman, 1974)."""
    out: list[np.ndarray] = []
    for a, b in zip(ring, np.roll(ring, -1, axis=0), strict=True):
        inside_a, inside_b = keep * (a[0] - bound) >= 0, keep * (b[0] - bound) >= 0
        if inside_a:
            out.append(a)
        if inside_a != inside_b:
            out.append(np.array([bound, a[1] + (b[1] - a[1]) * (bound - a[0]) / (b[0] - a[0])]))
    return np.array(out).reshape(-1, 2)


def _area(ring: np.ndarray) -> float:
    x, y = ring[:, 0], ring[:, 1]
    return float(np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y)) / 2


def _closed(ring: np.ndarray) -> Ring:
    ring = ring if _area(ring) > 0 else ring[::-1]
    points = [_point(lon, lat) for lon, lat in ring]
    points = [p for p, q in zip(points, points[-1:] + points[:-1], strict=True) if p != q]
    return [*points, points[0]]


def _point(lon: float, lat: float) -> list[float]:
    lon = float(lon) if -180.0 <= lon <= 180.0 else (float(lon) + 180.0) % 360.0 - 180.0
    return [round(lon, _DIGITS), round(float(lat), _DIGITS)]


def outlines(issue: Issue, level: int) -> list[Ring]:
    """Closed outlines of the cells whose highest level is this, for CAP: holes are filled, the date line cuts.

    Raises
    ------
    MissingExtraError
        If shapely is not installed (``pip install 'oceankit[plot]'``).
    """
    shapely = require("shapely", extra="plot", purpose="outlines of alert areas")
    per_place = places(issue.assessment)
    grid = grid_of(per_place)
    if grid is None or _listed(grid):
        return []
    levels = per_place["level"].transpose(*_rows(grid))
    pieces = []
    for _, geometry in _cell_polygons(levels, grid, levels.values == level):
        parts = [geometry["coordinates"]] if geometry["type"] == "Polygon" else geometry["coordinates"]
        pieces += [shapely.Polygon(part[0]) for part in parts]
    union = shapely.union_all(pieces)
    shapes = list(union.geoms) if hasattr(union, "geoms") else [union]
    rings = [np.array(shapely.simplify(shape, 0).exterior.coords)[:-1] for shape in shapes if shape.area > 0]
    return [_closed(ring) for ring in rings]
