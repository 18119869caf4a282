"""One field on one map, fit to print."""

from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from oceankit._extras import require
from oceankit.fields.coordinates import describe, horizontal, in_degrees
from oceankit.products import _cells, _frame, _geo, _style
from oceankit.products.coastlines import Resolution, add_land
from oceankit.products.colours import Colours, colours_for, in_units

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap

__all__ = ["plot_map"]


def plot_map(
    field: xr.DataArray,
    *,
    ax: "Axes | None" = None,
    projection: Any = None,
    extent: Sequence[float] | None = None,
    lon: Hashable | None = None,
    lat: Hashable | None = None,
    title: str | None = None,
    subtitle: str | None = None,
    stamp: str | None = None,
    attribution: str | None = None,
    cmap: "str | Colormap | None" = None,
    vmin: float | None = None,
    vmax: float | None = None,
    levels: int | Sequence[float] | None = None,
    robust: float = 2.0,
    units: str | None = None,
    contours: xr.DataArray | None = None,
    contour_levels: int | Sequence[float] = 8,
    observations: xr.Dataset | None = None,
    colorbar: bool = True,
    land: bool = True,
    resolution: Resolution | None = None,
) -> "Axes":
    """Draw a field as a map: coloured cells, land, coast, labelled grid, colour bar, title and date.

    Parameters
    ----------
    field
        Two dimensions with longitude and latitude, 1-D (rectilinear) or 2-D (curvilinear, tripolar); longitudes on any
        turn of the globe; further dimensions must have size 1. NaN and infinite values are shown as missing: hatched.
    ax
        Where to draw: a cartopy GeoAxes, or a plain axes that then has degrees as x and y. By default a new figure,
        as wide as the text of an A4 page; close it with ``plt.close(ax.figure)``.
    projection
        A ``cartopy.crs`` projection, or ``"plain"`` for longitude and latitude in degrees without cartopy. By default
        global fields are drawn in the Robinson projection cut at 20 E, so that no ocean is cut, and regions plainly
        with the aspect ratio right at the middle latitude. Not together with ``ax``.
    extent
        West, east, south, north in degrees; east may be less than west across the date line. Default: the field's.
    lon, lat
        Names of the coordinates, where finding them by CF attributes and usual names is not wanted.
    title, subtitle
        By default the quantity and the date of the field; ``""`` leaves them out.
    stamp
        A warning printed in bold red in the map, for example ``"SYNTHETIC OBSERVATIONS"``.
    attribution
        Small print under the map: where the data come from.
    cmap, vmin, vmax, levels, robust
        See :func:`oceankit.products.colours_for`.
    units
        Units to show the field in, see :func:`oceankit.products.in_units`; nothing is converted unasked.
    contours, contour_levels
        A second field on a grid of its own, drawn as labelled lines; the number of levels, or the levels.
    observations
        Positions ``lon`` and ``lat`` along ``obs``, drawn as dots and counted in the legend.
    colorbar, land
        Whether to draw the colour bar, and land with its coast.
    resolution
        Of the coast, see :func:`oceankit.products.coast`.

    Returns
    -------
    matplotlib.axes.Axes
        A GeoAxes for a cartopy projection. Its artists have a gid: ``field``, ``field-seam``, ``land``, ``coast``,
        ``contours``, ``observations``, ``stamp``.

    Raises
    ------
    ValueError
        If the field has more dimensions, no usable coordinates or no finite value, if the extent is none or holds
        nothing of the field, or if ``ax`` and ``projection`` are both given. The message says what to do.
    MissingExtraError
        If matplotlib, cmocean, cartopy or the coastlines are not installed (``pip install 'oceankit[plot]'``).
    """
    if ax is not None and projection is not None:
        raise ValueError(f"both ax and projection={projection!r} are given; an axes has its projection: leave one out")
    field, x, y, date = _prepare(field, lon, lat, "plot_map")
    if units is not None:
        field = in_units(field, units)
    own = ax is None
    with _style.drawing():
        if extent is None:
            field = field.compute()
            cells = _cells.cut(field, x, y)
            box = cells.box
            ax = _frame.axes(box, projection) if ax is None else ax
            _frame.set_view(ax, box)
        else:
            box = _frame.checked(extent)
            ax = _frame.axes(box, projection) if ax is None else ax
            _frame.set_view(ax, box)
            # A projected map shows more than the box at its corners.
            field, x, y = _within(field, x, y, _geo.view(ax).box)
            field = field.compute()
            cells = _cells.cut(field, x, y)
        colours = colours_for(field, cmap=cmap, vmin=vmin, vmax=vmax, levels=levels, robust=robust)
        artist = _draw(ax, cells, colours)
        if contours is not None:
            _contours(ax, contours, contour_levels)
        if observations is not None:
            _dots(ax, observations)
        if land:
            add_land(ax, resolution=resolution)
        _frame.grid(ax)
        if colorbar:
            # The title may name the quantity already.
            _frame.colorbar(
                ax, artist, colours.units if title is None else colours.label, colours.extend, colours.names
            )
        title = _style.quantity(field) if title is None else title
        _style.put_titles(ax, title, date if subtitle is None else subtitle)
        if stamp:
            _style.put_stamp(ax, stamp)
        if attribution:
            _frame.small_print(ax, attribution, below_bar=colorbar)
        if own:
            _frame.fit(ax, *_frame.map_size(ax))
    return ax


def _prepare(
    field: xr.DataArray, lon: Hashable | None, lat: Hashable | None, purpose: str
) -> tuple[xr.DataArray, xr.DataArray, xr.DataArray, str]:
    """The flat field, its longitude and latitude in the same order of dimensions, and its date."""
    _style.check(field, purpose)
    x, y, dims = _cells.cells_of(field, lon=lon, lat=lat)
    date = _style.time_text(field)
    field = _style.flat(field, dims, purpose)
    return (field, x.transpose(*dims), y.transpose(*dims), date) if x.ndim == 2 else (field, x, y, date)


def _within(
    field: xr.DataArray, x: xr.DataArray, y: xr.DataArray, box: tuple[float, float, float, float]
) -> tuple[xr.DataArray, xr.DataArray, xr.DataArray]:
    """The rows and columns that the box touches, with one more on each side."""
    lon, lat = in_degrees(x, "longitude"), in_degrees(y, "latitude")
    west, east, south, north = box
    offset = np.mod(lon - (west + east) / 2 + 180.0, 360.0) - 180.0
    in_lon, in_lat = np.abs(offset) <= (east - west) / 2, (lat >= south) & (lat <= north)
    both = np.asarray(in_lat[:, None] & in_lon[None, :] if lon.ndim == 1 else in_lon & in_lat)
    seen = [np.asarray(both.any(axis=axis)) for axis in (1, 0)]
    if not both.any():
        raise ValueError(
            f"no cell centre of {describe(field)} lies in extent west={west:g}, east={east:g}, south={south:g}, "
            f"north={north:g}; its longitudes are {np.nanmin(lon):g} to {np.nanmax(lon):g}, "
            f"its latitudes {np.nanmin(lat):g} to {np.nanmax(lat):g}"
        )
    rows, columns = _with_neighbours(seen[0]), _with_neighbours(seen[1], around=lon.ndim == 1)
    pick = {field.dims[0]: rows, field.dims[1]: columns}
    return field.isel(pick), x.isel({d: pick[d] for d in x.dims}), y.isel({d: pick[d] for d in y.dims})


def _with_neighbours(wanted: np.ndarray, *, around: bool = False) -> np.ndarray:
    """Indices from the first to the last wanted and one more each side; across the end where that is shorter."""
    found = np.flatnonzero(wanted)
    gaps = np.diff(found)
    if around and gaps.size and gaps.max() > found[0] + wanted.size - found[-1]:
        split = int(np.argmax(gaps))
        return np.concatenate([np.arange(found[split + 1] - 1, wanted.size), np.arange(0, found[split] + 2)])
    return np.arange(max(found[0] - 1, 0), min(found[-1] + 2, wanted.size))


def _draw(ax: Any, cells: _cells.Cells, colours: Colours) -> Any:
    collections = require("matplotlib.collections", extra="plot", purpose="maps")
    # The hatch shows through where the field has no value.
    ax.patch.set(facecolor=_style.MISSING, edgecolor=_style.HATCH, hatch="//////", linewidth=0)
    drawn = _cells.mesh(cells, _geo.view(ax))
    values = cells.values
    if type(colours.norm).__name__ == "LogNorm":
        # A logarithm of nothing is no missing value: it belongs to the colour below the scale.
        values = np.where(values <= 0, np.nextafter(0, 1), values)
    xy = np.nan_to_num(drawn.xy, nan=0.0, posinf=0.0, neginf=0.0)
    look = {"cmap": colours.cmap, "norm": colours.norm, "rasterized": True, "zorder": 1.0}
    artist = collections.QuadMesh(
        xy, array=np.ma.masked_array(values, ~drawn.shown), antialiased=False, gid="field", **look
    )
    ax.add_collection(artist, autolim=False)
    if drawn.polygons:
        seam = collections.PolyCollection(
            drawn.polygons, array=values.ravel()[drawn.owner], linewidths=0, antialiased=False, gid="field-seam", **look
        )
        ax.add_collection(seam, autolim=False)
    return artist


def _contours(ax: Any, field: xr.DataArray, levels: int | Sequence[float]) -> None:
    """Lines found between rows and columns, then placed on the map: any grid, any projection."""
    contourpy = require("contourpy", extra="plot", purpose="contours")
    contour = require("matplotlib.contour", extra="plot", purpose="contours")
    ticker = require("matplotlib.ticker", extra="plot", purpose="contours")
    on = _geo.view(ax)
    field, x, y, _ = _prepare(field, None, None, "contours")
    cells = _cells.cut(*_within(field, x, y, on.box))
    values, unit = cells.values, _cells.unit(cells.lon, cells.lat)
    if cells.straight and cells.box[1] - cells.box[0] >= 359.9:
        values, unit = np.append(values, values[:, :1], axis=1), np.append(unit, unit[:, :1], axis=1)
    if np.ndim(levels) == 0:
        low, high = np.nanpercentile(values, [2, 98])
        wanted = ticker.MaxNLocator(nbins=int(levels)).tick_values(low, high)  # type: ignore[arg-type]
    else:
        wanted = np.asarray(levels, dtype=np.float64)
    generator = contourpy.contour_generator(z=np.ma.masked_invalid(values))
    segments = [[p for line in generator.lines(level) for p in _placed(line, unit, on)] for level in wanted]
    drawn = contour.ContourSet(ax, wanted, segments, colors="black", linewidths=0.5, zorder=1.5)
    drawn.set_gid("contours")
    ax.clabel(drawn, fontsize=6.5, inline_spacing=2)


def _placed(line: np.ndarray, unit: np.ndarray, on: _geo.View) -> list[np.ndarray]:
    """A line in index coordinates on the axes, broken at the seam."""
    i, j = line[:, 0], line[:, 1]
    i0, j0 = np.minimum(i.astype(int), unit.shape[1] - 2), np.minimum(j.astype(int), unit.shape[0] - 2)
    a, b = (i - i0)[:, None], (j - j0)[:, None]
    rows = [unit[j0 + k, i0] * (1 - a) + unit[j0 + k, i0 + 1] * a for k in (0, 1)]
    point = rows[0] * (1 - b) + rows[1] * b
    lon = _geo.turned(np.degrees(np.arctan2(point[:, 1], point[:, 0])), on.seam)
    lat = np.degrees(np.arctan2(point[:, 2], np.hypot(point[:, 0], point[:, 1])))
    xy = on.project(lon, lat)
    good = np.isfinite(xy).all(axis=1)
    breaks = np.flatnonzero((np.abs(np.diff(lon)) > 180) | (good[1:] != good[:-1])) + 1
    return [p for p, g in zip(np.split(xy, breaks), np.split(good, breaks), strict=True) if g[0] and len(p) > 1]


def _dots(ax: Any, observations: xr.Dataset) -> None:
    x, y = horizontal(observations)
    on = _geo.view(ax)
    lon, lat = _geo.turned(in_degrees(x, "longitude").ravel(), on.seam), in_degrees(y, "latitude").ravel()
    xy = on.project(lon, lat)
    (left, right), (bottom, top) = np.sort(ax.get_xlim()), np.sort(ax.get_ylim())
    seen = (xy[:, 0] >= left) & (xy[:, 0] <= right) & (xy[:, 1] >= bottom) & (xy[:, 1] <= top)
    size = float(np.clip(4000.0 / max(seen.sum(), 1), 1.0, 14.0))
    ax.scatter(
        *xy[seen].T, s=size, c="black", edgecolors="white", linewidths=0.25, zorder=3, gid="observations",
        label=f"{seen.sum():,} observations".replace(",", " "),
    )  # fmt: skip
    ax.legend(
        loc="lower right", framealpha=0.9, edgecolor=_style.GRID, fancybox=False, handletextpad=0.2, markerscale=1.0
    ).set_zorder(19)
