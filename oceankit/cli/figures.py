"""Which plots a figure is made of; drawing itself is `oceankit.products`'."""

import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from oceankit import products
from oceankit._extras import require
from oceankit.cli.places import replaced
from oceankit.cli.telling import period_text
from oceankit.cli.words import label_of, unit_of, when_text
from oceankit.cli.work import Work
from oceankit.fields import Grid, coordinates

__all__ = ["draw"]

_WIDTH = 7.0  # inches: the text width of an A4 page
_LABELS = 0.42  # inches for degrees beside a panel


def draw(work: Work, spec: dict[str, Any], path: Path) -> str:
    """Draw one figure of a step and write it whole; returns its caption."""
    figure, caption = _KINDS[spec["kind"]](work, spec)
    try:
        with replaced(path) as part:
            figure.savefig(part, dpi=spec["dpi"], format="png")
    finally:
        # pyplot keeps every figure it has made until told otherwise.
        require("matplotlib.pyplot", extra="plot", purpose="figures").close(figure)
    return spec["caption"] or caption


def _map(work: Work, spec: dict[str, Any]) -> tuple[Any, str]:
    field = at_time(work.shown(spec["show"]), spec["time"]).load()
    assert work.data is not None
    when = when_text(field, work.data.cadence)
    axes = products.plot_map(
        field,
        title=spec["title"] or work.title,
        subtitle=when,
        stamp=work.stamp,
        # One line lower, clear of the label of the colour bar.
        attribution=f"\n{note}" if (note := work.step["input"]["provenance_note"]) else None,
        **_look(spec),
    )
    status = f" ({work.status})" if work.status else ""
    return axes.figure, f"{label_of(field)}{', ' + when if when else ''}{status}."


def _assimilation(work: Work, spec: dict[str, Any]) -> tuple[Any, str]:
    """Four maps; what they have in common they show on one scale."""
    names = ("background", "increments", "error_std", "field")
    background, increments, error, analysis = (at_time(work.shown(n), spec["time"]).load() for n in names)
    observations = work.observations
    assert observations is not None and work.data is not None
    increments = increments.assign_attrs(long_name="Increment")
    error = error.assign_attrs(long_name="Error standard deviation")
    used = f"Increments, and the {observations.attrs['n_used']:,} observations".replace(",", " ")
    last = (error, "Stated error of the analysis", {"vmin": 0.0}, None)
    if work.experiment is not None:
        before, after = (_difference(f, work.experiment.truth) for f in (background, analysis))
        limit = max(_limit(before), _limit(increments)) if spec["limits"] is None else max(map(abs, spec["limits"]))
        shared = {"vmin": -limit, "vmax": limit, "cmap": spec["cmap"] or "balance"}
        panels = [
            (before, "Before: background − truth", shared, None),
            (increments, used, shared, observations),
            (after, "After: analysis − truth", shared, None),
            last,
        ]
    else:
        look = {k: v for k, v in _look(spec).items() if k in ("vmin", "vmax", "cmap")}
        both = xr.concat([f.drop_vars(set(f.coords) - set(f.dims)) for f in (background, analysis)], "panel")
        scale = products.colours_for(both.assign_attrs(background.attrs)).norm
        look = {"vmin": scale.vmin, "vmax": scale.vmax, **look}
        panels = [
            (background, "Background", look, None),
            (increments, used, {}, observations),
            (analysis, "Analysis", look, None),
            last,
        ]
    if spec["units"] is not None:
        panels = [(products.in_units(field, spec["units"]), *rest) for field, *rest in panels]
    figure = _four_maps(work, spec, panels)
    return figure, _assimilation_caption(work)


def _assimilation_caption(work: Work) -> str:
    assert work.data is not None
    label = label_of(work.data.field)
    if work.experiment is None:
        return f"{label}: background, increments with the observations used (dots), analysis, and the error it states."
    return (
        f"{label}: background and analysis against the known truth, the increments with the synthetic observations used "
        "(dots; the withheld ones are not shown), and the error that the analysis states of itself."
    )


def _four_maps(work: Work, spec: dict[str, Any], panels: list[tuple[Any, ...]]) -> Any:
    """Two by two maps under one heading."""
    options = {"extent": spec["extent"], "title": "", "subtitle": "", "levels": spec["levels"]}
    first, *rest = panels
    axes = products.plot_map(first[0], observations=first[3], **options, **first[2])
    figure = axes.figure
    box = axes.get_window_extent()
    shape = box.height / box.width
    wide = shape < 0.77  # then the colour bars lie under the maps
    width = (_WIDTH - 2 * _LABELS - (0.1 if wide else 1.3)) / 2
    height, bar = width * shape, 0.92 if wide else 0.5
    lines = _heading(work, spec)
    top = 0.34 + sum(size for *_, size in lines)
    total = top + 2 * (height + bar) + 0.12
    figure.set_size_inches(_WIDTH, total)
    right = _WIDTH - 0.08 - width - (0.0 if wide else 0.6)
    places = [
        (x / _WIDTH, 1 - (top + row * (height + bar) + height) / total, width / _WIDTH, height / total)
        for row in (0, 1)
        for x in (_LABELS, right)
    ]
    axes.set_position(places[0])
    all_axes = [axes]
    for place, (field, _, look, observations) in zip(places[1:], rest, strict=True):
        panel = figure.add_axes(place, projection=getattr(axes, "projection", None))
        all_axes.append(products.plot_map(field, ax=panel, observations=observations, **options, **look))
    for panel, (_, title, _, _) in zip(all_axes, panels, strict=True):
        _small(panel, title)
    _write_heading(figure, lines, total)
    return figure


def _small(axes: Any, title: str) -> None:
    """Type and dots of a panel half a page wide."""
    axes.set_title(title, loc="left", fontsize=9, fontweight="bold", color="#222222", pad=5)
    if axes.get_legend() is not None:
        axes.get_legend().remove()  # the title counts the observations
    for dots in axes.collections:
        if dots.get_gid() == "observations":
            dots.set_sizes([1.0])
            dots.set_linewidths([0.0])
    for text in list(axes.texts):
        text.set_fontsize(6.5)
        if text.get_text().startswith("120°"):
            text.remove()  # there is no room between its neighbours
    for bar in axes.child_axes:
        bar.tick_params(labelsize=7)
        bar.xaxis.label.set_size(8)
        bar.yaxis.label.set_size(8)


def _heading(work: Work, spec: dict[str, Any]) -> list[tuple[str, dict[str, Any], float]]:
    """Lines over all panels: text, look, and height in inches."""
    title = textwrap.wrap(spec["title"] or work.title, 62)
    lines = [(line, {"fontsize": 12, "fontweight": "bold"}, 0.2) for line in title]
    lines.append((_scene(work), {"fontsize": 9}, 0.17))
    if work.stamp:
        box = {"facecolor": "white", "edgecolor": "#b3261e", "linewidth": 1.2, "boxstyle": "square,pad=0.35"}
        lines.append((work.stamp, {"fontsize": 10, "fontweight": "bold", "color": "#b3261e", "bbox": box}, 0.36))
    note = work.step["input"]["provenance_note"]
    if note:
        lines.append((note, {"fontsize": 6.5, "color": "#606060"}, 0.0))
    return lines


def _write_heading(figure: Any, lines: list[tuple[str, dict[str, Any], float]], total: float) -> None:
    down = 0.1
    for text, look, size in lines:
        if not size:  # the source, under everything
            figure.text(1 - 0.08 / _WIDTH, 0.05 / total, text, ha="right", va="bottom", **look)
        elif "bbox" in look:
            figure.text(0.5, 1 - (down + 0.1) / total, text, ha="center", va="top", **look)
        else:
            figure.text(_LABELS / _WIDTH, 1 - down / total, text, va="top", **look)
        down += size


def _scene(work: Work) -> str:
    assert work.data is not None and work.background is not None
    when = when_text(work.background, work.data.cadence)
    if work.experiment is None:
        return when
    numbers, unit = work.experiment.numbers, unit_of(work.background)
    return (
        f"Background {when}, truth {work.experiment.when}. RMSE at {numbers['n_withheld']} withheld positions: "
        f"{numbers['rmse_background']:.2f} before, {numbers['rmse_analysis']:.2f}{unit} after"
    )


def _hovmoller(work: Work, spec: dict[str, Any]) -> tuple[Any, str]:
    field = work.shown(spec["show"])
    box = None if work.step["events"] is None else work.step["events"]["box"]
    lat = coordinates.horizontal(field)[1]
    strip = field
    if box is not None:
        strip = field.isel({lat.dims[0]: np.flatnonzero((lat >= box["lat"][0]) & (lat <= box["lat"][1]))})
    area = Grid.from_dataset(strip).area(edges="latitude")
    mean = strip.weighted(area.fillna(0.0)).mean(lat.dims[0], keep_attrs=True).load()
    south, north = (float(f(strip[lat.name])) for f in (np.min, np.max))
    band = f"{degrees(south, 'NS')} to {degrees(north, 'NS')}"
    axes = products.plot_hovmoller(
        mean, title=spec["title"] or work.title, subtitle=f"Mean of {band}", stamp=work.stamp, **_look(spec, extent=False)
    )
    caption = f"{label_of(field)} by longitude and time, mean of {band}"
    if work.series is None or box is None:
        return axes.figure, caption + "."
    for edge in box["lon"]:
        _mark(axes, edge)
    figure = _with_series(work, spec, axes, box)
    return figure, f"{caption} (above; dotted: {box['name']}), and the mean over {box['name']} with its events (below)."


def _mark(axes: Any, lon: float) -> None:
    low, high = axes.get_xlim()
    at = low + (lon - low) % 360.0
    if at <= high:
        axes.axvline(at, color="black", linewidth=0.9, linestyle=(0, (1, 2)), gid="box")


def _with_series(work: Work, spec: dict[str, Any], upper: Any, box: dict[str, Any]) -> Any:
    """The series under the diagram, on one page-wide figure."""
    figure = upper.figure
    top, diagram, between, series, bottom = 0.52, 4.2, 0.72, 1.7, 0.62
    total = top + diagram + between + series + bottom
    figure.set_size_inches(_WIDTH, total)
    left, width = 0.62 / _WIDTH, (_WIDTH - 0.62 - 0.86) / _WIDTH
    upper.set_position([left, 1 - (top + diagram) / total, width, diagram / total])
    lower = figure.add_axes([left, bottom / total, width, series / total])
    _series_on(work, lower, spec, box)
    # Made here, it has matplotlib's looks where the plots bring their own.
    lower.tick_params(labelsize=8, width=0.6)
    lower.yaxis.label.set_size(9)
    for spine in lower.spines.values():
        spine.set_linewidth(0.6)
    note = work.step["input"]["provenance_note"]
    if note:
        figure.text(1 - 0.08 / _WIDTH, 0.05 / total, note, ha="right", va="bottom", fontsize=6.5, color="#606060")
    return figure


def _series_on(work: Work, axes: Any, spec: dict[str, Any], box: dict[str, Any]) -> Any:
    assert work.series is not None and work.data is not None
    series = work.series.load()
    limits = [v for v in (work.step["events"]["above"], work.step["events"]["below"]) if v is not None]
    short = series.assign_attrs(long_name="Anomaly" if work.clim is not None else label_of(work.shown(None)))
    axes = products.plot_series(
        short,
        ax=axes,
        events=work.events,
        title=f"Mean over {box['name']} ({box_text(work, box)})" if axes is not None else spec["title"] or work.title,
        subtitle=None if axes is not None else f"Mean over {box['name']} ({box_text(work, box)})",
        stamp=work.stamp if axes is None else None,
        attribution=work.step["input"]["provenance_note"] if axes is None else None,
        label={"months": "Monthly mean", "days": "Daily value"}.get(work.data.cadence, "Mean"),
        units=spec["units"],
    )
    for limit in limits:
        if spec["units"] is not None:
            limit = float(products.in_units(short.isel({short.dims[0]: 0}).copy(data=limit), spec["units"]))
        axes.axhline(limit, color="#6d6d6d", linewidth=0.7, linestyle=(0, (4, 2)), zorder=2, gid="limit")
    if work.clim is not None:
        axes.axhline(0.0, color="#222222", linewidth=0.5, zorder=2)
    return axes


def box_text(work: Work, box: dict[str, Any]) -> str:
    """West, east, south and north of a box, cut at the edge of the data."""
    grid = Grid.from_dataset(work.shown(None))
    lat = np.sort(np.unique(grid.lat.values))
    half = float(np.diff(lat).min()) / 2 if lat.size > 1 else 0.0
    south = box["lat"][0] if lat[0] - half <= box["lat"][0] + 1e-6 else float(lat[0])
    north = box["lat"][1] if lat[-1] + half >= box["lat"][1] - 1e-6 else float(lat[-1])
    west, east = (degrees(v, "EW") for v in box["lon"])
    return f"{west} to {east}, {degrees(south, 'NS')} to {degrees(north, 'NS')}"


def _series(work: Work, spec: dict[str, Any]) -> tuple[Any, str]:
    assert work.series is not None
    box = work.step["events"]["box"]
    axes = _series_on(work, None, spec, box)
    return axes.figure, f"{label_of(work.series)}, with its warm and cold events, {period_text(work)}."


_KINDS = {"map": _map, "assimilation": _assimilation, "hovmoller": _hovmoller, "series": _series}


def at_time(field: xr.DataArray, date: str | None) -> xr.DataArray:
    """The field at one time."""
    names = [n for n in coordinates.candidates(field, "time") if n in field.dims]
    if not names:
        return field
    name = names[0]
    if date is not None:
        field = field.sel({name: slice(date, date)})
    if field.sizes[name] != 1:
        what = "no time" if field.sizes[name] == 0 else f"{field.sizes[name]} times"
        raise ValueError(f"{field.name!r} has {what}{' in ' + date if date else ''}; choose one with time:")
    return field.isel({name: 0})


def degrees(value: float, letters: str) -> str:
    """A longitude (letters "EW") or latitude ("NS") for print.

    Examples
    --------
    >>> degrees(190.0, "EW"), degrees(-5.0, "NS"), degrees(0.0, "NS")
    ('170°W', '5°S', '0°')
    """
    if letters == "EW":
        value = (value + 180.0) % 360.0 - 180.0
    value = round(value, 1)
    return f"{abs(value):g}°{'' if value == 0 or abs(value) == 180 else letters[int(value < 0)]}"


def _look(spec: dict[str, Any], *, extent: bool = True) -> dict[str, Any]:
    """The keywords of a plot."""
    low, high = spec["limits"] or (None, None)
    look = {"cmap": spec["cmap"], "vmin": low, "vmax": high, "levels": spec["levels"], "units": spec["units"]}
    if extent:
        look["extent"] = spec["extent"]
    return {k: v for k, v in look.items() if v is not None}


def _difference(field: xr.DataArray, truth: xr.DataArray) -> xr.DataArray:
    out = field.squeeze(drop=True) - truth
    out.attrs = {"long_name": "difference", **{k: v for k, v in field.attrs.items() if k == "units"}}
    return out.rename("difference")


def _limit(field: xr.DataArray) -> float:
    """The limit of a scale about zero that fits the field."""
    chosen = products.colours_for(field.rename("difference").assign_attrs(long_name="difference"))
    return float(chosen.norm.vmax or 1.0)
