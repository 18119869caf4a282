"""What a regridding does to each cell, on maps: which targets get a value and why others do not, and what is covered."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import xarray as xr

from oceankit._extras import require
from oceankit.products import _style
from oceankit.products._cells import cells_of, cut
from oceankit.products.coastlines import Resolution, add_land
from oceankit.products.maps import plot_map

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["plot_regridding"]

# By the words of the report; reasons that a later version adds are grey.
_COLOURS = {
    "mapped": "#8fbcdb",
    "masked in the target": "#b9b9b9",
    "target has no position": "#7b3294",
    "target cell is degenerate": "#c51b2b",
    "covered too little": "#f2a03d",
    "only masked source there": "#ddd3bf",
    "outside the source": "#efefef",
}
_OTHERS = ("#6d6d6d", "#3c6e47", "#4b4b8f")
_LEFT, _GAP, _UNDER, _TALLEST = 0.5, 0.55, 0.68, 4.0  # inches: degrees beside, between panels, bars below, a panel
_STEPS = [k / 10 for k in range(11)]


class _Panel(NamedTuple):
    field: xr.DataArray
    title: str
    extent: Sequence[float] | None


def plot_regridding(
    report: xr.Dataset,
    *,
    title: str | None = None,
    subtitle: str | None = None,
    extent: Sequence[float] | None = None,
    projection: Any = None,
    stamp: str | None = None,
    attribution: str | None = None,
    resolution: Resolution | None = None,
) -> "Figure":
    """Draw the report of a regridding: what became of each target cell, how much of it is covered, what the source gave.

    Parameters
    ----------
    report
        From :meth:`oceankit.Regridder.report`. The target, and the source for its panel, must be grids of rows and
        columns.
    title, subtitle
        By default the method and the numbers of cells and weights; ``""`` leaves them out.
    extent, projection
        Of the maps, as for :func:`oceankit.products.plot_map`.
    stamp, attribution
        A warning in the first map, and small print under the figure.
    resolution
        Of the coast, see :func:`oceankit.products.coast`.

    Returns
    -------
    matplotlib.figure.Figure
        As wide as the text of an A4 page; close it with ``plt.close(figure)``. Its axes are ``reason``, ``legend``,
        ``coverage`` and, for weights that are shares of areas, ``source_share``, by their labels. Cells with a coverage
        of 0, and source cells that take no part, are hatched.

    Raises
    ------
    ValueError
        If ``report`` is no such report, or the target cannot be drawn as cells. The message says what to do.
    MissingExtraError
        If matplotlib, cmocean, cartopy or the coastlines are not installed (``pip install 'oceankit[plot]'``).
    """
    reason, shown, present = _categories(report)
    with _style.drawing():
        colors = require("matplotlib.colors", extra="plot", purpose="maps")
        look: dict[str, Any] = {
            "cmap": colors.ListedColormap([c for _, c, _ in present]),
            "levels": np.arange(len(present) + 1) - 0.5,
        }
        plain: dict[str, Any] = {"title": "", "subtitle": "", "land": False}
        first = plot_map(
            shown, projection=projection, extent=extent, colorbar=False, stamp=stamp, **look, **plain
        )  # fmt: skip
        panels = _shares(report, reason, extent)
        figure: Any = first.figure
        heading = _heading(report, title, subtitle)
        places, total = _places(first, len(panels), len(heading), bool(attribution))
        figure.set_size_inches(_style.PAGE_WIDTH, total)
        first.set_position(places["reason"])
        axes = [(first, "What becomes of each target cell", "reason")]
        for panel, place in zip(panels, ("left", "right"), strict=False):
            ax = figure.add_axes(places[place], projection=getattr(first, "projection", None))
            # Pale where all is well, so that coasts and holes are what is seen.
            plot_map(panel.field, ax=ax, extent=panel.extent, levels=_STEPS, cmap="YlOrRd_r", **plain)
            axes.append((ax, panel.title, str(panel.field.name)))
        for ax, words, name in axes:
            _small(ax, words, name, resolution)
        _legend(figure, places["legend"], present, reason.size)
        for text, at, more in heading:
            figure.text(_LEFT / _style.PAGE_WIDTH, 1 - at / total, text, va="top", **more)
        if attribution:
            figure.text(0.99, 0.06 / total, attribution, ha="right", va="bottom", fontsize=6.5, color="#606060")
    return figure


def _categories(report: xr.Dataset) -> tuple[xr.DataArray, xr.DataArray, list[tuple[str, str, int]]]:
    """The reasons as flags and as 0, 1, 2 ... of those that occur, and of each its words, colour and number of cells."""
    if not isinstance(report, xr.Dataset) or not {"reason", "coverage", "source_share"} <= set(report.data_vars):
        raise ValueError("plot_regridding draws the Dataset of Regridder.report(); give that, as it comes")
    reason = report["reason"]
    words = [w.replace("_", " ") for w in str(reason.attrs["flag_meanings"]).split()]
    spare = iter(_OTHERS * len(words))
    present: list[tuple[str, str, int]] = []
    shown = np.zeros(reason.shape)
    for value, meaning in zip(np.atleast_1d(reason.attrs["flag_values"]), words, strict=True):
        here = reason.values == value
        colour = _COLOURS.get(meaning) or next(spare)
        if here.any():
            shown[here] = len(present)
            present.append((meaning, colour, int(here.sum())))
    return reason, reason.copy(data=shown), present


def _shares(report: xr.Dataset, reason: xr.DataArray, extent: Sequence[float] | None) -> list[_Panel]:
    """Coverage, and what the source gave where that is a share of its cells and these can be drawn."""
    coverage = _whole(report["coverage"])
    panels = [_Panel(coverage.where(coverage > 0), "Share of the target that is covered", extent)]
    share = report["source_share"]
    if not report.attrs.get("method", "").startswith("conservative") or not (coverage > 0).any():
        return panels if (coverage > 0).any() else []
    try:
        lon, lat, _ = cells_of(share)
    except ValueError:
        return panels  # a mesh has no rows and columns
    share = _whole(share).where(lon.notnull() & lat.notnull())
    if not share.notnull().any():
        return panels
    return [*panels, _Panel(share, "Share of the source that is used", extent or _nearby(reason, share, lon, lat))]


def _whole(share: xr.DataArray) -> xr.DataArray:
    """Shares without what rounding puts above 1."""
    return share.where(np.abs(share - 1.0) > 1e-6, 1.0).where(share.notnull())


def _nearby(reason: xr.DataArray, share: xr.DataArray, lon: xr.DataArray, lat: xr.DataArray) -> Sequence[float] | None:
    """The part of the source that is shown: around a smaller target, else all of it."""
    x, y, dims = cells_of(reason)
    west, east, south, north = cut(reason.transpose(*dims), x, y).box
    rows = share.transpose(*cells_of(share)[2])
    own = cut(rows, lon, lat).box
    if (east - west) * (north - south) > 0.8 * (own[1] - own[0]) * (own[3] - own[2]):
        return None
    wide, tall = 0.06 * (east - west), 0.06 * (north - south)
    return west - wide, min(east + wide, west - wide + 360.0), max(south - tall, -90.0), min(north + tall, 90.0)


def _places(first: Any, more: int, lines: int, small_print: bool) -> tuple[dict[str, Any], float]:
    """Where the axes go, in shares of the figure, and its height in inches: the first map with its legend beside it,
    the others under it.
    """
    box = first.get_window_extent()
    shape = box.height / box.width
    page = _style.PAGE_WIDTH
    large = min(4.4, _TALLEST / shape)
    small = min((page - 2 * _LEFT - _GAP) / 2 + 0.1, _TALLEST / shape)
    beside = 0.0 if shape < 0.77 else 0.6  # bars stand beside tall maps
    small -= beside
    under = _UNDER if beside == 0 else 0.4
    top = 0.1 + 0.2 * lines + 0.28
    second = top + large * shape + 0.58
    total = (second + small * shape + under if more else top + large * shape + 0.4) + (0.15 if small_print else 0.0)

    def place(x: float, down: float, width: float, height: float) -> tuple[float, float, float, float]:
        return x / page, 1 - (down + height) / total, width / page, height / total

    return {
        "reason": place(_LEFT, top, large, large * shape),
        "legend": place(_LEFT + large + 0.15, top, page - _LEFT - large - 0.2, large * shape),
        "left": place(_LEFT, second, small, small * shape),
        "right": place(page - 0.1 - beside - small, second, small, small * shape),
    }, total


def _small(ax: Any, title: str, name: str, resolution: Resolution | None) -> None:
    ax.set_label(name)
    add_land(ax, resolution=resolution, facecolor="none", lakecolor="none", edgecolor="#707070", linewidth=0.25)
    ax.set_title(title, loc="left", fontsize=9, fontweight="bold", color=_style.TEXT, pad=5)
    ax.tick_params(labelsize=7)
    for text in list(ax.texts):
        if text.get_gid() != "stamp":
            text.set_fontsize(7)
        if name != "reason" and text.get_text().startswith("120°"):
            text.remove()  # there is no room between its neighbours
    for bar in ax.child_axes:
        bar.tick_params(labelsize=7)
        bar.set(xlabel="", ylabel="")  # the title has it


def _legend(figure: Any, place: Any, present: list[tuple[str, str, int]], size: int) -> None:
    patches = require("matplotlib.patches", extra="plot", purpose="maps")
    ax = figure.add_axes(place, label="legend")
    ax.set_axis_off()
    handles = [
        patches.Patch(facecolor=colour, edgecolor=_style.GRID, linewidth=0.4, label=f"{words}\n{_counted(n, size)}")
        for words, colour, n in present
    ]
    ax.legend(
        handles=handles, loc="center left", bbox_to_anchor=(0, 0.5), frameon=False, fontsize=7.5, labelspacing=0.9
    )


def _counted(number: int, size: int) -> str:
    share = 100.0 * number / size
    return f"{_thousands(number)} cells, {share:.0f} %" if share >= 1 else f"{_thousands(number)} cells"


def _thousands(number: int) -> str:
    return f"{number:,}".replace(",", "\N{NO-BREAK SPACE}")


def _heading(report: xr.Dataset, title: str | None, subtitle: str | None) -> list[tuple[str, float, dict[str, Any]]]:
    """Lines over the maps: text, inches from the top, look."""
    a = report.attrs
    if title is None:
        title = f"Regridding report: {a.get('method', '')}"
    if subtitle is None:
        parts = [
            f"{_thousands(int(a[key]))} {words}"
            for key, words in (
                ("n_source_cells", "source cells"),
                ("n_targets", "target cells"),
                ("n_weights", "weights"),
            )
            if key in a
        ]
        subtitle = ", ".join(parts)
    lines: list[tuple[str, float, dict[str, Any]]] = []
    for text, look in ((title, {"fontsize": 11, "fontweight": "bold"}), (subtitle, {"fontsize": 8.5})):
        if text:
            lines.append((text, 0.1 + 0.2 * len(lines), look))
    return lines
