"""What stands around a map: its axes, its view, its grid of degrees, its colour bar."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from oceankit._extras import require
from oceankit.products import _geo, _style

__all__ = [
    "axes", "checked", "colorbar", "degree_ticks", "degrees_text", "fit", "grid", "map_size", "set_view", "small_print",
]  # fmt: skip

Box = tuple[float, float, float, float]
_TALLEST = 7.0  # inches
_BAR_BELOW, _BAR_THICK = 24.0, 8.0  # points


def checked(extent: Sequence[float]) -> Box:
    """West, east, south, north with ``west < east``, or a ValueError."""
    if len(extent) != 4 or not np.isfinite(np.asarray(extent, dtype=np.float64)).all():
        raise ValueError(f"extent={tuple(extent)} must be four numbers: west, east, south, north in degrees")
    west, east, south, north = (float(v) for v in extent)
    east = east if east > west else east + 360.0
    if not (west < east <= west + 360.0 and -90 <= south < north <= 90):
        raise ValueError(
            f"extent={tuple(extent)} is no region; needed: west, east (at most 360 degrees on), "
            "south < north within -90 to 90"
        )
    return west, east, south, north


def axes(box: Box, projection: Any) -> Any:
    """Axes of a new figure, to be fitted to what is drawn by :func:`fit`."""
    if isinstance(projection, str) and projection != "plain":
        raise ValueError(f"projection={projection!r} must be a cartopy.crs projection or 'plain'")
    if projection is None and box[1] - box[0] > 300.0 and box[3] - box[2] > 100.0:
        projection = require("cartopy.crs", extra="plot", purpose="global maps").Robinson(_geo.CENTRE)
    projection = None if isinstance(projection, str) else projection
    return _style.plt().figure(figsize=(_style.PAGE_WIDTH, _style.PAGE_WIDTH)).add_subplot(projection=projection)


def map_size(ax: Any) -> tuple[float, float]:
    """Width and height in inches that leave room for the labels beside the map."""
    width = min(_style.PAGE_WIDTH - (0.5 if _is_wide(ax) else 1.3), _TALLEST / _shape(ax))
    return width, width * _shape(ax)


def fit(ax: Any, width: float, height: float) -> None:
    """Give the axes this size in inches and the figure the size of all that is drawn, at most a page wide.

    Layout engines see axes before their aspect is applied, and leave gaps or crop titles.
    """
    figure, pad = ax.figure, 0.06
    for _ in range(2):
        size = figure.get_size_inches()
        ax.set_position([0.5 / size[0], 0.5 / size[1], width / size[0], height / size[1]])
        figure.draw_without_rendering()
        drawn = figure.get_tightbbox()
        over = drawn.width + 2 * pad - _style.PAGE_WIDTH
        if over <= 0.01:
            break
        width, height = width - over, height * (width - over) / width
    total = np.array([drawn.width, drawn.height]) + 2 * pad
    figure.set_size_inches(*total)
    ax.set_position(
        [(0.5 - drawn.x0 + pad) / total[0], (0.5 - drawn.y0 + pad) / total[1], width / total[0], height / total[1]]
    )


def _squeeze(box: Box) -> float:
    """Length of a degree of longitude over one of latitude in the middle of the map."""
    return float(max(np.cos(np.radians((box[2] + box[3]) / 2)), 0.1))


def _shape(ax: Any) -> float:
    """Height of the map over its width."""
    shape = abs(np.ptp(ax.get_ylim()) / np.ptp(ax.get_xlim()))
    return float(shape if _geo.is_geo(ax) else shape / _squeeze(_geo.view(ax).box))


def _is_wide(ax: Any) -> bool:
    return _shape(ax) < 0.77


def set_view(ax: Any, box: Box) -> None:
    """Show the box: on a plain axes with the right aspect, on a GeoAxes all that the box reaches."""
    west, east, south, north = box
    if not _geo.is_geo(ax):
        ax.set(xlim=(west, east), ylim=(south, north))
        ax.set_aspect(1.0 / _squeeze(box))
        return
    if east - west >= 359.0 and north - south >= 150.0:
        ax.set_global()
        return
    seam = _geo.seam_of(ax.projection)
    lon, lat = np.meshgrid(np.linspace(west, east, 121), np.linspace(south, north, 121))
    # Turned as a whole, so that what little lies beyond the seam is cut there.
    lon = lon + 360.0 * np.round((seam + 180.0 - (west + east) / 2) / 360.0)
    points = _geo.View(box, seam, ax.projection, False).project(lon, lat).reshape(-1, 2)
    points = points[np.isfinite(points).all(axis=1)]
    if len(points) == 0:
        raise ValueError(f"projection {type(ax.projection).__name__} shows nothing of the region {box}; take another")
    low, high = points.min(axis=0), points.max(axis=0)
    ax.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]))


def grid(ax: Any) -> None:
    """Thin lines with degrees at the left and at the bottom."""
    look = {"color": _style.GRID, "linewidth": 0.35, "alpha": 0.7, "zorder": 2.5}
    on = _geo.view(ax)
    if on.crs is None:
        degree_ticks(ax.xaxis, "EW")
        # A low map has no room for seven labels.
        degree_ticks(ax.yaxis, "NS", most=int(np.clip(_shape(ax) * 30.0, 1, 7)))
        ax.grid(visible=True, **look)
        return
    ax.spines["geo"].set_linewidth(0.6)
    if on.straight and on.box[1] - on.box[0] >= 359.9:
        _global_grid(ax, on, look)
        return
    lines = ax.gridlines(draw_labels=True, x_inline=False, y_inline=False, rotate_labels=False, **look)
    lines.top_labels = lines.right_labels = False
    lines.xlabel_style = lines.ylabel_style = {"size": 7.5}


def degree_ticks(axis: Any, letters: str, *, most: int = 7) -> None:
    """At most so many ticks at round degrees of longitude (letters ``"EW"``) or latitude (``"NS"``)."""
    ticker = require("matplotlib.ticker", extra="plot", purpose="maps")
    axis.set_major_locator(ticker.MaxNLocator(nbins=most, steps=[1, 2, 3, 5, 6, 10]))
    axis.set_major_formatter(ticker.FuncFormatter(lambda value, _: degrees_text(value, letters)))
    axis.set_label_text("")


def _global_grid(ax: Any, on: _geo.View, look: dict[str, Any]) -> None:
    """Parallels and meridians along the curved edge, where cartopy leaves out most labels."""
    bottom = max(on.box[2], -90.0)
    lons = [v for v in np.arange(-180.0, 541.0, 60.0) if on.seam + 10 < v < on.seam + 350]
    lats = [v for v in np.arange(-60.0, 61.0, 30.0) if on.box[2] < v < on.box[3]]
    along = np.linspace(on.seam, on.seam + 360.0, 181)
    up = np.linspace(bottom, on.box[3], 91)
    for lon in lons:
        xy = on.project(np.full_like(up, lon), up)
        ax.plot(*xy.T, **look)
        _label(ax, degrees_text(lon, "EW"), xy[0], (0, -4), "center", "top")
    for lat in lats:
        xy = on.project(along, np.full_like(along, lat))
        ax.plot(*xy.T, **look)
        _label(ax, degrees_text(lat, "NS"), xy[0], (-4, 0), "right", "center")


def _label(ax: Any, text: str, xy: np.ndarray, offset: tuple[float, float], ha: str, va: str) -> None:
    ax.annotate(text, tuple(xy), offset, textcoords="offset points", ha=ha, va=va, fontsize=7.5)


def degrees_text(value: float, letters: str) -> str:
    """A longitude (letters ``"EW"``) or latitude (``"NS"``) as a map says it.

    Examples
    --------
    >>> degrees_text(237.5, "EW"), degrees_text(-10.0, "NS"), degrees_text(180.0, "EW")
    ('122.5°W', '10°S', '180°')
    """
    if letters == "EW":
        value = (value + 180.0) % 360.0 - 180.0
    value = round(value, 6)
    letter = "" if value in (0.0, -180.0) else letters[int(value < 0)]
    return f"{abs(value):g}°{letter}"


def colorbar(ax: Any, artist: Any, label: str, extend: str, names: Sequence[str] = ()) -> Any:
    """A colour bar at a fixed distance from the axes and as long as they are, whatever figure they stand in.

    With ``names`` each colour has its name in place of numbers at the edges.
    """
    transforms = require("matplotlib.transforms", extra="plot", purpose="maps")
    wide = _is_wide(ax) if ax.get_aspect() != "auto" else False

    def place(_: Any, __: Any) -> Any:
        figure = ax.figure
        point = figure.dpi / 72.0
        at = transforms.TransformedBbox(transforms.Bbox.unit(), ax.transAxes)
        if wide:
            low = at.y0 - (_BAR_BELOW + _BAR_THICK) * point
            box = transforms.Bbox.from_bounds(at.x0 + 0.1 * at.width, low, 0.8 * at.width, _BAR_THICK * point)
        else:
            box = transforms.Bbox.from_bounds(at.x1 + 9.0 * point, at.y0, _BAR_THICK * point, at.height)
        return transforms.TransformedBbox(box, figure.transSubfigure.inverted())

    cax = ax.inset_axes([0, 0, 0.1, 0.1])
    cax.set_axes_locator(place)
    ticks: dict[str, Any] = {}
    if type(artist.norm).__name__ == "LogNorm":
        ticker = require("matplotlib.ticker", extra="plot", purpose="maps")
        ticks = {
            "ticks": ticker.LogLocator(subs=(1, 2, 5)),
            "format": ticker.FuncFormatter(lambda value, _: f"{value:g}"),
        }
    bar = ax.figure.colorbar(
        artist, cax=cax, orientation="horizontal" if wide else "vertical", extend=extend, extendfrac=0.03, **ticks
    )
    bar.minorticks_off()
    bar.set_label(label)
    bar.outline.set_linewidth(0.5)
    bar.ax.tick_params(width=0.5, length=3)
    if names:
        edges = np.asarray(artist.norm.boundaries)
        bar.set_ticks((edges[1:] + edges[:-1]) / 2, labels=[name.capitalize() for name in names])
        bar.ax.tick_params(length=0)
    return bar


def small_print(ax: Any, text: str, *, below_bar: bool) -> None:
    """Where the data come from, under everything at the right."""
    down = _BAR_BELOW + _BAR_THICK + 36.0 if below_bar and _is_wide(ax) else 18.0
    ax.annotate(
        text, (1, 0), (0, -down), xycoords="axes fraction", textcoords="offset points", ha="right", va="top",
        fontsize=6.5, color="#606060",
    )  # fmt: skip
