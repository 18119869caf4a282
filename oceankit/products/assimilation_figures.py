"""An analysis against its observations, on one page: where they differ, by how much, and whether that was to be expected."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from oceankit.assimilation import diagnostics as measures
from oceankit.assimilation.diagnostics_table import table_of
from oceankit.products import _frame, _geo, _style
from oceankit.products.assimilation_panels import (
    draw_histogram,
    number,
    plot_desroziers,
    plot_rank_histogram,
    plot_spread_skill,
    thousands,
    titles,
)
from oceankit.products.coastlines import Resolution, add_land
from oceankit.products.colours import colours_for

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["plot_assimilation"]

# Inches: beside the map, small panels, what stands over and under each of them.
_LEFT, _MAP_WIDTH, _MAP_HEIGHT, _SMALL, _HIGH, _OVER, _UNDER = 0.55, 4.1, 3.3, 2.7, 1.85, 0.55, 0.47
_NUMBERS, _BAR = 2.15, 0.75  # inches: the height of the table of numbers, a colour bar beside the map
_REJECTED = {1: "outside the background", 2: "rejected by flag"}


def plot_assimilation(
    diagnostics: xr.Dataset,
    *,
    variable: str | None = None,
    title: str | None = None,
    subtitle: str | None = None,
    extent: Sequence[float] | None = None,
    projection: Any = None,
    bins: int = 10,
    stamp: str | None = None,
    attribution: str | None = None,
    resolution: Resolution | None = None,
    rng: np.random.Generator | int = 0,
) -> "Figure":
    """Draw one page about an analysis and its observations, from what ``assimilate`` returned.

    Parameters
    ----------
    diagnostics
        As ``assimilate`` returned it. With what :func:`oceankit.assimilation.diagnostics.residuals` adds, residuals and
        the errors after Desroziers et al. (2005) are shown too; with ``hx`` the ranks and the score of the members, with
        ``spread`` what was expected. Panels are drawn only for what is there.
    variable
        Which observations, where the table has those of several variables.
    title, subtitle
        By default what is compared, and when; ``""`` leaves them out.
    extent, projection
        Of the map, as for :func:`oceankit.products.plot_map`; by default around the observations. Observations on a plane
        are drawn on one.
    bins
        Of spread and skill; fewer where there would be less than ten observations in each.
    stamp, attribution
        A warning in the map, and small print under the figure.
    resolution
        Of the coast, see :func:`oceankit.products.coast`.
    rng
        Seed or Generator of the draws that ranks need.

    Returns
    -------
    matplotlib.figure.Figure
        As wide as the text of an A4 page; close it with ``plt.close(figure)``. Its axes are ``map``, ``numbers``,
        ``histogram``, ``ranks``, ``spread_skill``, ``desroziers``, as far as they are there, by their labels.

    Raises
    ------
    ValueError
        If these are no such diagnostics, no observation was used, or observations of several variables are mixed.
    MissingExtraError
        If matplotlib, cmocean, cartopy or the coastlines are not installed (``pip install 'oceankit[plot]'``).
    """
    columns = _of_one_variable(table_of(diagnostics, purpose="plot_assimilation"), variable)
    used = columns.isel(obs=np.flatnonzero(columns["status"].values == 0))
    if used.sizes["obs"] == 0:
        raise ValueError("plot_assimilation: none of the observations was used (status 0)")
    panels = _panels(used, bins, rng)
    heading = _heading(used, title, subtitle)
    with _style.drawing():
        ax, shape, beside = _map_axes(columns, extent, projection)
        figure: Any = ax.figure
        places, total = _places(shape, beside, len(panels), len(heading), bool(attribution))
        figure.set_size_inches(_style.PAGE_WIDTH, total)
        ax.set_position(places[0])
        _draw_map(ax, columns, used, stamp, resolution)
        _draw_numbers(figure.add_axes(places[1], label="numbers"), columns, used)
        for (name, draw), place in zip(panels, places[2:], strict=True):
            draw(figure.add_axes(place, label=name))
        for text, at, look in heading:
            figure.text(0.15 / _style.PAGE_WIDTH, 1 - at / total, text, va="top", **look)
        if attribution:
            figure.text(0.98, 0.06 / total, attribution, ha="right", va="bottom", fontsize=6.5, color="#606060")
    return figure


def _of_one_variable(columns: xr.Dataset, variable: str | None) -> xr.Dataset:
    """Observations of different quantities have no common scale."""
    kinds = columns["variable"].values.astype(str) if "variable" in columns.variables else None
    if variable is None and (kinds is None or len(set(kinds)) == 1):
        return columns
    known = [] if kinds is None else sorted(set(kinds.tolist()))
    if variable not in known:
        asked = "" if variable is None else f"; variable={variable!r} is none of them"
        raise ValueError(f"the observations are of {known}{asked}: choose one, variable={(known or [None])[0]!r}")
    return columns.isel(obs=np.flatnonzero(kinds == variable))


def _panels(used: xr.Dataset, bins: int, rng: Any) -> list[tuple[str, Callable[[Any], Any]]]:
    """Names of the small panels that can be drawn, and what draws them."""
    panels: list[tuple[str, Callable[[Any], Any]]] = [("histogram", lambda ax: draw_histogram(ax, used))]
    if "hx" in used.variables:
        ranks = measures.rank_histogram(used, rng=rng)
        panels.append(("ranks", lambda ax: plot_rank_histogram(ranks, ax=ax)))
    if "spread" in used.variables:
        members = None if "hx" in used.variables else np.inf
        skill = measures.spread_skill(used, bins=min(bins, max(used.sizes["obs"] // 10, 1)), members=members)
        # Where one number is stated for all, there is no skill of the spread to be seen.
        if float(skill["predicted"].max()) > 1.02 * float(skill["predicted"].min()):
            panels.append(("spread_skill", lambda ax: plot_spread_skill(skill, ax=ax)))
    if "residual" in used.variables:
        errors = measures.desroziers(used)
        # On the right, where its labels have room.
        panels.insert(1 if len(panels) == 2 else len(panels), ("desroziers", lambda ax: plot_desroziers(errors, ax=ax)))
    return panels


def _heading(used: xr.Dataset, title: str | None, subtitle: str | None) -> list[tuple[str, float, dict[str, Any]]]:
    """Lines over the page: text, inches from the top, look."""
    if title is None:
        title = f"Observations against background{' and analysis' if 'residual' in used.variables else ''}"
    if subtitle is None:
        parts = [str(used["variable"].values[0]).replace("_", " ")] if "variable" in used else []
        if "obs_time" in used.variables:
            days = used["obs_time"].values.astype("datetime64[D]")
            parts.append(" to ".join(dict.fromkeys(map(_style.date_text, (days.min(), days.max())))))
        subtitle = ", ".join(parts)
        subtitle = subtitle[:1].upper() + subtitle[1:]
    lines: list[tuple[str, float, dict[str, Any]]] = []
    for text, look in ((title, {"fontsize": 11, "fontweight": "bold"}), (subtitle, {"fontsize": 8.5})):
        if text:
            lines.append((text, 0.1 + 0.21 * len(lines), look))
    return lines


def _places(shape: float, beside: float, panels: int, lines: int, small_print: bool) -> tuple[list[Any], float]:
    """Where map, numbers and small panels go, in shares of the figure, and its height in inches; from the map's height over
    its width and the inches that its colour bar takes beside it.
    """
    page = _style.PAGE_WIDTH
    width = min(_MAP_WIDTH - beside, _MAP_HEIGHT / shape)
    top = 0.12 + 0.21 * lines + 0.42
    under = top + max(width * shape + (0.4 if beside else 0.78), _NUMBERS + 0.15)
    rows = -(-panels // 2)
    total = under + rows * (_OVER + _HIGH + _UNDER) + (0.2 if small_print else 0.02)

    def place(x: float, down: float, w: float, h: float) -> tuple[float, float, float, float]:
        return x / page, 1 - (down + h) / total, w / page, h / total

    right = page - _SMALL - 0.12
    small = [
        place(_LEFT if k % 2 == 0 else right, under + (k // 2) * (_OVER + _HIGH + _UNDER) + _OVER, _SMALL, _HIGH)
        for k in range(panels)
    ]
    numbers = (
        place(right, top, _SMALL, _NUMBERS)
        if width + _LEFT + beside < right - 0.05
        else place(width + _LEFT + beside + 0.25, top, page - width - _LEFT - beside - 0.4, _NUMBERS)
    )
    return [place(_LEFT, top, width, width * shape), numbers, *small], total


# ---- the map ----------------------------------------------------------------------------------------------------------


def _map_axes(columns: xr.Dataset, extent: Any, projection: Any) -> tuple[Any, float, float]:
    """Axes of a new figure that show where the observations are, their height over their width, and the inches that a
    colour bar takes beside them.
    """
    if "obs_lon" in columns.variables:
        lon, lat = columns["obs_lon"].values, columns["obs_lat"].values
        box = _around(lon, lat) if extent is None else _frame.checked(extent)
        ax = _frame.axes(box, projection)
        _frame.set_view(ax, box)
        wide, tall = _frame.map_size(ax)
        return ax, tall / wide, 0.0 if tall / wide < 0.77 else _BAR
    ax = _style.plt().figure(figsize=(_style.PAGE_WIDTH, _style.PAGE_WIDTH)).add_subplot()
    sizes = []
    for name, limits in (("obs_x", ax.set_xlim), ("obs_y", ax.set_ylim)):
        values = columns[name].values.astype(np.float64)
        margin = 0.05 * (float(np.ptp(values)) or 1.0)
        low, high = limits(values.min() - margin, values.max() + margin)
        sizes.append(high - low)
    # Coordinates of a plane may be anything: their scales are kept alike as far as a page allows.
    return ax, float(np.clip(sizes[1] / sizes[0], 0.45, 1.1)), _BAR


def _around(lon: np.ndarray, lat: np.ndarray) -> tuple[float, float, float, float]:
    west, east = _geo.arc(lon)
    margin = max(0.06 * max(east - west, np.ptp(lat)), 0.25)
    south, north = max(lat.min() - margin, -90.0), min(lat.max() + margin, 90.0)
    if east - west + 2 * margin > 300.0:
        return _geo.CENTRE - 180.0, _geo.CENTRE + 180.0, float(south), float(north)
    return west - margin, east + margin, float(south), float(north)


def _draw_map(ax: Any, columns: xr.Dataset, used: xr.Dataset, stamp: str | None, resolution: Any) -> None:
    ax.set_label("map")
    degrees = "obs_lon" in columns.variables
    innovation = used["innovation"].copy(deep=False)
    innovation.attrs = {"long_name": "innovation", "units": used["value"].attrs.get("units", "1")}
    try:
        colours = colours_for(innovation)
    except ValueError:
        colours = colours_for(innovation, vmin=-1.0, vmax=1.0)  # all of them zero
    xy = [_placed(ax, c) for c in (used, columns.isel(obs=np.flatnonzero(columns["status"].values != 0)))]
    size = float(np.clip(9000.0 / max(len(xy[0]), 1), 2.0, 22.0))
    dots = ax.scatter(
        *xy[0].T, c=innovation.values, cmap=colours.cmap, norm=colours.norm, s=size, zorder=4, gid="used",
        edgecolors="#555555" if size > 6 else "none", linewidths=0.25, rasterized=True,
    )  # fmt: skip
    if len(xy[1]):
        look = {"s": min(size, 10.0), "c": "#6d6d6d", "marker": "x", "linewidths": 0.5, "zorder": 3, "rasterized": True}
        ax.scatter(*xy[1].T, gid="unused", **look)
    if degrees:
        add_land(ax, resolution=resolution)
        _frame.grid(ax)
    else:
        ax.set(xlabel="x", ylabel="y")
        ax.tick_params(labelsize=7)
    _frame.colorbar(ax, dots, colours.units, colours.extend)
    titles(
        ax, "Innovations", "Observation minus background" + (", \N{MULTIPLICATION SIGN} not used" if len(xy[1]) else "")
    )
    if stamp:
        _style.put_stamp(ax, stamp)


def _placed(ax: Any, columns: xr.Dataset) -> np.ndarray:
    """(obs, 2) on the axes."""
    if "obs_lon" not in columns.variables:
        return np.column_stack([columns["obs_x"].values, columns["obs_y"].values])
    on = _geo.view(ax)
    return on.project(_geo.turned(columns["obs_lon"].values.astype(np.float64), on.seam), columns["obs_lat"].values)


# ---- the numbers ------------------------------------------------------------------------------------------------------


def _draw_numbers(ax: Any, columns: xr.Dataset, used: xr.Dataset) -> None:
    ax.set_axis_off()
    status = columns["status"].values
    units = _style.pretty_units(used["value"].attrs.get("units"))
    found = measures.innovations(used)
    rows = [
        ("Observations used", thousands(int((status == 0).sum()))),
        *((words, thousands(int((status == k).sum()))) for k, words in _refusals(columns["status"]).items()),
        ("", ""),
        ("Innovation, mean", number(found["mean"], units, signed=True)),
        ("root mean square", number(found["rms"], units)),
    ]
    if "expected_std" in found:
        rows += [("expected", number(found["expected_std"], units)), ("χ² per observation", number(found["chi2"]))]
    if "residual" in used.variables:
        r = used["residual"].values
        rows += [("", ""), ("Residual, mean", number(r.mean(), units, signed=True)),
                 ("root mean square", number(np.sqrt((r**2).mean()), units))]  # fmt: skip
    if "hx" in used.variables:
        score = measures.crps(used)
        rows += [("", ""), (f"CRPS of {used.sizes['member']} members", number(score["crps_mean"], units))]
    # One line is 0.16 inches, an empty one half of it.
    at = 0.0
    for words, value in rows:
        down = 1 - (at + 0.08) / _NUMBERS
        head = words[:1].isupper()
        ax.text(0.0 if head else 0.05, down, words, transform=ax.transAxes, fontsize=8, va="center",
                fontweight="bold" if head else "normal")  # fmt: skip
        ax.text(1.0, down, value, transform=ax.transAxes, fontsize=8, va="center", ha="right")
        at += 0.17 if words else 0.08


def _refusals(status: xr.DataArray) -> dict[int, str]:
    """What became of the observations that were not used, in words: the usual ones, and what else occurs."""
    meanings = str(status.attrs.get("flag_meanings", "")).split()
    known = dict(zip(np.atleast_1d(status.attrs.get("flag_values", [])).tolist(), meanings, strict=False))
    others = sorted(set(status.values.tolist()) - {0, *_REJECTED})
    return {**_REJECTED, **{k: str(known.get(k, f"status {k}")).replace("_", " ") for k in others}}
