"""Figures of a replay: the event with its alerts, maps of it, and the skill of its forecasts."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from oceankit._extras import require
from oceankit.fields.files import write_whole
from oceankit.products import _style
from oceankit.products._alert_rules import rules
from oceankit.products.coastlines import add_land
from oceankit.products.maps import plot_map

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["plot_alert_map", "plot_replay", "plot_replay_maps", "plot_replay_skill", "png"]

CATEGORY_COLOURS = ("#eef1f2", "#ffc866", "#ff6900", "#9e0000", "#2d0000")
_CATEGORIES = ("below\nthreshold", "moderate", "strong", "severe", "extreme")
_UNKNOWN = "#ffffff"


def plot_replay(days: xr.Dataset, *, title: str = "") -> "Figure":
    """Draw an event day by day: the temperature, the area in each category, and the alerts beside what was observed.

    Parameters
    ----------
    days
        Along ``time``: ``area_mean``, ``normal``, ``threshold``, ``share`` along ``category``, ``alert`` and ``observed``
        (0 to 4, -1 unknown), as in ``timeline.nc`` of a replay.
    title
        Of the figure.
    """
    plt = _style.plt()
    with _style.drawing():
        figure, (upper, middle, lower) = plt.subplots(
            3, 1, figsize=(_style.PAGE_WIDTH, 5.6), sharex=True, height_ratios=[3.2, 2, 1.1], layout="constrained"
        )
        when = days["time"].values
        value, normal, limit = (days[n].values for n in ("area_mean", "normal", "threshold"))
        upper.fill_between(when, limit, value, where=value > limit, color=CATEGORY_COLOURS[2], alpha=0.55, linewidth=0)
        upper.plot(when, value, color="#222222", linewidth=1.1, label="observed")
        upper.plot(when, normal, color="#4477aa", linewidth=0.9, label="normal")
        upper.plot(
            when, limit, color="#4477aa", linewidth=0.9, linestyle=(0, (4, 2)), label="threshold (90th percentile)"
        )
        units = _style.pretty_units(days["area_mean"].attrs.get("units"))
        upper.set_ylabel(f"Mean of the area ({units})" if units else "Mean of the area")
        upper.legend(frameon=False, ncols=3, loc="upper left")
        low, high = upper.get_ylim()
        upper.set_ylim(low, high + 0.15 * (high - low))
        share = 100 * days["share"].values[1:]
        middle.stackplot(when, share, colors=CATEGORY_COLOURS[1:], labels=_CATEGORIES[1:], linewidth=0)
        middle.set(ylim=(0, 100), ylabel="Area (%)")
        middle.legend(frameon=False, ncols=4, loc="lower left", bbox_to_anchor=(0, 1.0), borderaxespad=0)
        _strips(lower, days, _levels())
        for ax in (upper, middle, lower):
            ax.spines[["top", "right"]].set_visible(False)
        if title:
            upper.set_title(title, loc="left", fontsize=11, fontweight="bold")
    return figure


def _strips(ax: Any, days: xr.Dataset, levels: Sequence[tuple[str, str]]) -> None:
    """Two rows of squares: the alert in force on a day, which was issued the day before, and what was observed."""
    dates = require("matplotlib.dates", extra="plot", purpose="figures")
    patches = require("matplotlib.patches", extra="plot", purpose="figures")
    at = dates.date2num(days["time"].values)
    in_force = np.concatenate([[-1], days["alert"].values[:-1]])
    for y, values in ((1.0, in_force), (0.0, days["observed"].values)):
        edges = np.flatnonzero(np.diff(values, prepend=np.inf))
        for a, b in zip(edges, [*edges[1:], values.size], strict=True):
            colour = levels[values[a]][1] if values[a] >= 0 else _UNKNOWN
            ax.broken_barh([(at[a] - 0.5, float(b - a))], (y + 0.08, 0.84), color=colour, linewidth=0)
    ax.set(ylim=(0, 2), yticks=[0.5, 1.5], yticklabels=["observed", "alert in force"])
    ax.tick_params(axis="y", length=0)
    locator = dates.AutoDateLocator()
    ax.xaxis.set_major_locator(locator)
    ax.xaxis.set_major_formatter(dates.ConciseDateFormatter(locator))
    ax.legend(
        handles=[patches.Patch(facecolor=c, edgecolor="#b0b0b0", linewidth=0.4, label=n) for n, c in levels],
        frameon=False, ncols=5, loc="upper center", bbox_to_anchor=(0.5, -0.45),
    )  # fmt: skip


def _levels() -> list[tuple[str, str]]:
    """Name and colour of no alert, and of each level."""
    book = rules()
    return [("none", book["no_alert"]["colour"]), *((n, v["colour"]) for n, v in book["levels"].items())]


def plot_alert_map(level: xr.DataArray, title: str, path: Path) -> None:
    """Draw the alert level of each cell, and write it as PNG.

    Parameters
    ----------
    level
        0 to 4 over a grid, NaN on land.
    title, path
        Of the map.
    """
    colors = require("matplotlib.colors", extra="plot", purpose="maps")
    entries = _levels()
    flags = {"flag_values": np.arange(len(entries), dtype=np.int8), "flag_meanings": " ".join(n for n, _ in entries)}
    field = level.astype(np.float32).assign_attrs(long_name="alert level", **flags)
    field = field.drop_vars([n for n in field.coords if n not in level.dims and field[n].ndim == 0])
    ax = plot_map(field, cmap=colors.ListedColormap([c for _, c in entries]), title=title)
    write_whole(path, png(ax.figure, dpi=110))


def png(figure: Any, *, dpi: int = 150) -> bytes:
    """A figure as PNG; it is closed."""
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=dpi)
    _style.plt().close(figure)
    return file.getvalue()


def plot_replay_maps(category: xr.DataArray, *, columns: int = 4) -> "Figure":
    """Draw the category of some days as a series of small maps.

    Parameters
    ----------
    category
        0 to 4 over (time, lat, lon), NaN on land.
    columns
        Maps beside each other.
    """
    plt = _style.plt()
    colors = require("matplotlib.colors", extra="plot", purpose="figures")
    lon, lat = category["lon"].values, category["lat"].values
    number = category.sizes["time"]
    rows = -(-number // columns)
    box = float(lon.min()), float(lon.max()), float(lat.min()), float(lat.max())
    tall = (box[3] - box[2]) / max((box[1] - box[0]) * np.cos(np.radians((box[2] + box[3]) / 2)), 1e-6)
    width = _style.PAGE_WIDTH / columns
    with _style.drawing():
        figure, axes = plt.subplots(
            rows, columns, figsize=(_style.PAGE_WIDTH, rows * (width * min(tall, 2.0) + 0.28) + 0.4), squeeze=False,
            layout="constrained",
        )  # fmt: skip
        cmap = colors.ListedColormap(CATEGORY_COLOURS)
        for k, ax in enumerate(axes.ravel()):
            if k >= number:
                ax.set_axis_off()
                continue
            drawn = ax.pcolormesh(
                lon, lat, category.isel(time=k).values, cmap=cmap, vmin=-0.5, vmax=4.5, rasterized=True
            )
            ax.set(xlim=box[:2], ylim=box[2:], aspect=1 / np.cos(np.radians((box[2] + box[3]) / 2)))
            add_land(ax)
            ax.set(xticks=[], yticks=[], xlim=box[:2], ylim=box[2:])
            ax.set_title(_style.date_text(category["time"].values[k]), fontsize=8, loc="left", pad=2)
        bar = figure.colorbar(drawn, ax=axes, orientation="horizontal", shrink=0.6, aspect=40, ticks=range(5))
        bar.ax.set_xticklabels(_CATEGORIES)
        bar.outline.set_visible(False)
        bar.ax.tick_params(length=0)
    return figure


def plot_replay_skill(scores: xr.Dataset) -> "Figure":
    """Draw skill by lead, with intervals: against damped persistence, and against climatology.

    Parameters
    ----------
    scores
        Of :func:`oceankit.forecast.verify` along ``lead_time``, with a reference and an event.
    """
    plt = _style.plt()
    kinds = (
        ("bss_vs_reference", "Brier skill against\ndamped persistence"),
        ("bss_vs_observed_rate", "Brier skill against\nthe rate that came to pass"),
        ("rmse_skill", "Skill of the mean (RMSE)\nagainst damped persistence"),
    )
    lead = scores["lead_time"].values
    with _style.drawing():
        figure, axes = plt.subplots(1, 3, figsize=(_style.PAGE_WIDTH, 2.5), layout="constrained")
        for ax, (name, title) in zip(axes, kinds, strict=True):
            low, high = (100 * scores[f"{name}_{end}"].values for end in ("low", "high"))
            ax.axhline(0, color=_style.GRID, linewidth=0.8)
            ax.fill_between(lead, low, high, color="#8fb8de", alpha=0.6, linewidth=0)
            ax.plot(lead, 100 * scores[name].values, "o-", color="#1f4e79", markersize=3, linewidth=1.1)
            ax.set(xlabel="Days ahead", xlim=(lead.min() - 0.5, lead.max() + 0.5))
            ax.set_title(title, fontsize=9, loc="left")
            ax.spines[["top", "right"]].set_visible(False)
        axes[0].set_ylabel("%")
    return figure
