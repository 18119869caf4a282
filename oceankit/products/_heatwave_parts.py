"""What the figures of heatwaves share: their kind, legend, titles and where they are."""

import re
from typing import Any, Literal

import numpy as np
import xarray as xr

from oceankit._extras import require
from oceankit.fields.coordinates import candidates, in_degrees
from oceankit.products import _frame, _style
from oceankit.products.colours import CATEGORY_COLOURS

__all__ = ["KINDS", "NAMES", "kind_of", "legend", "require_columns", "subtitle_of", "write"]

NAMES = ("Moderate", "Strong", "Severe", "Extreme")
KINDS = {"heatwaves": "Heatwave", "cold spells": "Cold spell"}
_WHOLE_YEARS = re.compile(r"percentile (\S+) over (\d{4})-01-01/(\d{4})-12-31")


def require_columns(events: xr.Dataset, *names: str) -> None:
    if not isinstance(events, xr.Dataset) or "event" not in events.dims:
        raise ValueError(
            "events must be a Dataset along 'event', as heatwaves() returns it; this has no such dimension"
        )
    missing = [name for name in names if name not in events]
    if missing:
        raise ValueError(f"events lack {', '.join(map(repr, missing))}; they have {sorted(map(str, events.data_vars))}")
    if events.sizes["event"] == 0:
        raise ValueError("there is no event to draw: the threshold is never passed for long enough")


def kind_of(events: xr.Dataset) -> str:
    require_columns(events, "start", "end", "peak", "intensity_max", "category")
    kind = events.attrs.get("kind")
    if kind in KINDS:
        return str(kind)
    return "cold spells" if (events["intensity_max"].values < 0).all() else "heatwaves"


def write(ax: Any, x: float, y: float, text: str, *, above: bool) -> None:
    """At a point, towards the side of the axes that has more room."""
    left, right = ax.get_xlim()
    share = (x - left) / (right - left)
    side = "left" if share < 0.25 else "right" if share > 0.75 else "center"
    ax.annotate(
        text, (x, y), (0, 5 if above else -5), textcoords="offset points", ha=side, va="bottom" if above else "top",
        fontsize=8, linespacing=1.25, zorder=6, bbox={"facecolor": "white", "alpha": 0.75, "linewidth": 0, "pad": 0.8},
    )  # fmt: skip


def legend(ax: Any, kind: str) -> None:
    """Under the axes: the lines, and below them what the colours stand for."""
    patches = require("matplotlib.patches", extra="plot", purpose="figures")
    transforms = require("matplotlib.transforms", extra="plot", purpose="figures")
    lines = ax.get_legend_handles_labels()[0]
    lines = sorted(lines, key=lambda line: line.get_gid() != "series")
    colours = [
        patches.Patch(facecolor=c, edgecolor="#8c979e", linewidth=0.4, label=n)
        for c, n in zip(CATEGORY_COLOURS[kind], NAMES, strict=True)
    ]
    if lines:
        # Legends are filled column by column.
        nothing = patches.Patch(facecolor="none", edgecolor="none", label=" ")
        lines += [nothing] * (len(colours) - len(lines))
        colours = [handle for pair in zip(lines, colours, strict=True) for handle in pair]
    under = ax.transAxes + transforms.ScaledTranslation(0, -30 / 72, ax.figure.dpi_scale_trans)
    ax.legend(
        handles=colours, loc="upper left", bbox_to_anchor=(0, 0), bbox_transform=under, ncols=4, frameon=False,
        borderaxespad=0, borderpad=0, handlelength=1.8, columnspacing=1.8, labelspacing=0.4,
    )  # fmt: skip


def subtitle_of(series: xr.DataArray | None, events: xr.Dataset, *, quantity: bool = False) -> str:
    parts = [_style.quantity(series)] if series is not None and quantity else []
    place = _place(events if series is None else series)
    reference = str(events.attrs.get("reference_climatology", ""))
    if whole := _WHOLE_YEARS.fullmatch(reference):
        reference = "{}th percentile of {} to {}".format(*whole.groups())
    return ", ".join([*parts, *([place] if place else []), *([f"threshold: {reference}"] if reference else [])])


def _place(of: xr.DataArray | xr.Dataset) -> str:
    """Latitude and longitude of a series or of events, where there is one place."""
    found = []
    kinds: tuple[tuple[Literal["latitude", "longitude"], str], ...] = (("latitude", "NS"), ("longitude", "EW"))
    for kind, letters in kinds:
        names = [n for n in candidates(of, kind) if of[n].size and np.unique(of[n].values).size == 1]
        if len(names) != 1:
            return ""
        found.append(_frame.degrees_text(float(in_degrees(of[names[0]], kind).ravel()[0]), letters))
    return " ".join(found)
