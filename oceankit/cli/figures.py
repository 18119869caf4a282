"""Which plots a figure is made of; drawing itself is `oceankit.products`'."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from oceankit import products
from oceankit._extras import require
from oceankit.cli.assimilating import completed
from oceankit.cli.panels import WIDTH, assimilation, source_line
from oceankit.cli.places import replaced
from oceankit.cli.selecting import at_time
from oceankit.cli.words import degrees, label_of, when_text
from oceankit.cli.work import Spells, Work
from oceankit.fields import Grid, coordinates

__all__ = ["draw", "draw_regridding"]


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


def draw_regridding(work: Work, path: Path) -> None:
    """Draw what the regridding made of each cell, for the first of the fields."""
    assert work.regridder is not None  # the key lies under 'regrid'
    field, dims = work.data.field, work.regridder.source.dims
    report = work.regridder.report(field.isel({d: 0 for d in field.dims if d not in dims}))
    figure = products.plot_regridding(
        report, title=f"{work.title}: {work.step['regrid']['method']}", stamp=work.stamp, attribution=work.note
    )
    try:
        with replaced(path) as part:
            figure.savefig(part, dpi=150, format="png")
    finally:
        require("matplotlib.pyplot", extra="plot", purpose="figures").close(figure)


def _map(work: Work, spec: dict[str, Any]) -> tuple[Any, str]:
    whole = work.shown(spec["show"])
    if spec["show"] == "category" and spec["time"] is None:
        whole = whole.isel({coordinates.find(whole, "time").dims[0]: slice(-1, None)})
    field = at_time(whole, spec["time"]).load()
    when = when_text(field, work.data.cadence)
    axes = products.plot_map(
        field,
        title=spec["title"] or work.title,
        subtitle=when,
        stamp=work.stamp,
        # One line lower, clear of the label of the colour bar.
        attribution=work.note or None,
        **_look(spec),
    )
    status = f" ({work.status})" if work.status else ""
    return axes.figure, f"{label_of(field)}{', ' + when if when else ''}{status}."


def _assimilation(work: Work, spec: dict[str, Any]) -> tuple[Any, str]:
    assert work.corrected is not None  # the run file was checked
    return assimilation(work, work.corrected, spec)


def _diagnostics(work: Work, spec: dict[str, Any]) -> tuple[Any, str]:
    corrected = completed(work)
    figure = products.plot_assimilation(
        corrected.table,
        title=spec["title"] or work.title,
        extent=spec["extent"],
        stamp=work.stamp,
        attribution=work.note,
    )
    number = f"{corrected.observations.attrs['n_used']:,}".replace(",", " ")
    synthetic = "synthetic " if corrected.experiment is not None else ""
    return figure, f"{label_of(work.data.field)}: {number} {synthetic}observations against background and analysis."


def _hovmoller(work: Work, spec: dict[str, Any]) -> tuple[Any, str]:
    field = work.shown(spec["show"])
    box = None if work.step["events"] is None else work.step["events"]["box"]
    lat = coordinates.horizontal(field)[1]
    if box is not None:
        field = field.isel({lat.dims[0]: np.flatnonzero((lat >= box["lat"][0]) & (lat <= box["lat"][1]))})
    area = Grid.from_dataset(field).area(edges="latitude")
    mean = field.weighted(area.fillna(0.0)).mean([lat.dims[0]], keep_attrs=True).load()
    south, north = (degrees(float(f(field[lat.name])), "NS") for f in (np.min, np.max))
    axes = products.plot_hovmoller(
        mean,
        title=spec["title"] or work.title,
        subtitle=f"Mean of {south} to {north}",
        stamp=work.stamp,
        attribution=work.note if work.spells is None else None,
        **_look(spec, extent=False),
    )
    caption = f"{label_of(field)} by longitude and time, mean of {south} to {north}"
    if work.spells is None or box is None:
        return axes.figure, f"{caption}."
    for edge in box["lon"]:
        _mark(axes, edge)
    figure = _with_series(work, work.spells, spec, axes)
    return figure, f"{caption} (above; dotted: {box['name']}), and the mean over {box['name']} with its events (below)."


def _mark(axes: Any, lon: float) -> None:
    low, high = axes.get_xlim()
    at = low + (lon - low) % 360.0
    if at <= high:
        axes.axvline(at, color="black", linewidth=0.9, linestyle=(0, (1, 2)), gid="box")


def _with_series(work: Work, spells: Spells, spec: dict[str, Any], upper: Any) -> Any:
    """The series under the diagram, on one page-wide figure."""
    figure = upper.figure
    top, diagram, between, series, bottom = 0.52, 4.2, 0.72, 1.7, 0.72
    total = top + diagram + between + series + bottom
    figure.set_size_inches(WIDTH, total)
    left, width = 0.62 / WIDTH, (WIDTH - 0.62 - 0.86) / WIDTH
    upper.set_position([left, 1 - (top + diagram) / total, width, diagram / total])
    lower = figure.add_axes([left, bottom / total, width, series / total])
    name = work.step["events"]["box"]["name"]
    _series_on(work, spells, spec, ax=lower, title=f"Mean over {name} ({_box_text(work)})")
    # Made here, it has matplotlib's looks where the plots bring their own.
    lower.tick_params(labelsize=8, width=0.6)
    lower.yaxis.label.set_size(9)
    for spine in lower.spines.values():
        spine.set_linewidth(0.6)
    source_line(figure, work, total)
    return figure


def _series(work: Work, spec: dict[str, Any]) -> tuple[Any, str]:
    assert work.spells is not None  # the run file was checked
    name = work.step["events"]["box"]["name"]
    place = f"Mean over {name} ({_box_text(work)})"
    title = spec["title"] or work.title
    axes = _series_on(work, work.spells, spec, title=title, subtitle=place, stamp=work.stamp, attribution=work.note)
    when = when_text(work.spells.series, work.data.cadence)
    return axes.figure, f"{label_of(work.spells.series)}, with its warm and cold events, {when}."


def _series_on(work: Work, spells: Spells, spec: dict[str, Any], **options: Any) -> Any:
    """The series with its events and the limits that make them."""
    series = spells.series.load()
    units = spec["units"]
    short = series.assign_attrs(long_name=label_of(work.result) if work.departure is None else "Anomaly")
    label = {"months": "Monthly mean", "days": "Daily mean"}.get(work.data.cadence, "Mean")
    axes = products.plot_series(short, events=spells.events, label=label, units=units, **options)
    first = short.isel({short.dims[0]: 0})
    for limit in (work.step["events"]["above"], work.step["events"]["below"]):
        if limit is not None:
            # As a field, so that it is converted like the series.
            shown = first.copy(data=limit) if units is None else products.in_units(first.copy(data=limit), units)
            axes.axhline(float(shown), color="#6d6d6d", linewidth=0.7, linestyle=(0, (4, 2)), zorder=2, gid="limit")
    if work.departure is not None:
        axes.axhline(0.0, color="#222222", linewidth=0.5, zorder=2)
    return axes


def _box_text(work: Work) -> str:
    """West, east, south and north of the box of events, cut at the edge of the data."""
    box = work.step["events"]["box"]
    lat = np.sort(np.unique(Grid.from_dataset(work.result).lat.values))
    half = float(np.diff(lat).min()) / 2 if lat.size > 1 else 0.0
    south = box["lat"][0] if lat[0] - half <= box["lat"][0] + 1e-6 else float(lat[0])
    north = box["lat"][1] if lat[-1] + half >= box["lat"][1] - 1e-6 else float(lat[-1])
    west, east = (degrees(v, "EW") for v in box["lon"])
    return f"{west} to {east}, {degrees(south, 'NS')} to {degrees(north, 'NS')}"


_KINDS: dict[str, Callable[[Work, dict[str, Any]], tuple[Any, str]]] = {
    "map": _map,
    "assimilation": _assimilation,
    "diagnostics": _diagnostics,
    "hovmoller": _hovmoller,
    "series": _series,
}


def _look(spec: dict[str, Any], *, extent: bool = True) -> dict[str, Any]:
    """The keywords of a plot."""
    low, high = spec["limits"] or (None, None)
    look = {"cmap": spec["cmap"], "vmin": low, "vmax": high, "levels": spec["levels"], "units": spec["units"]}
    if extent:
        look["extent"] = spec["extent"]
    return {k: v for k, v in look.items() if v is not None}
