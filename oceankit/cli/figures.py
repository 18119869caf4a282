"""Which plots a figure is made of; drawing itself is `oceankit.products`'."""

from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from oceankit import products
from oceankit._extras import require
from oceankit.cli.places import replaced
from oceankit.cli.telling import label_of, period_text, when_text
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
        attribution=_source(work),
        **_look(spec),
    )
    status = f" ({work.status})" if work.status else ""
    return axes.figure, f"{label_of(field)}{', ' + when if when else ''}{status}."


def _assimilation(work: Work, spec: dict[str, Any]) -> tuple[Any, str]:
    fields = {n: at_time(work.shown(n), spec["time"]).load() for n in ("background", "increments", "error_std", None)}
    analysis, background = fields[None], fields["background"]
    increments, error = fields["increments"], fields["error_std"]
    unit = {} if spec["units"] is None else {"units": spec["units"]}
    observations = work.observations
    assert observations is not None
    if work.experiment is not None:
        truth = work.experiment.truth
        before, after = _difference(background, truth), _difference(analysis, truth)
        limit = max(_nice(before), _nice(increments)) if spec["limits"] is None else max(map(abs, spec["limits"]))
        shared = {"vmin": -limit, "vmax": limit, "cmap": spec["cmap"] or "balance"}
        panels = [
            (before, "Error before: background − truth", shared, None),
            (increments, "Increments, and the observations used", shared, observations),
            (after, "Error after: analysis − truth", shared, None),
            (error, "Stated standard deviation of the analysis error", {"vmin": 0.0}, None),
        ]
    else:
        look = {k: v for k, v in _look(spec).items() if k in ("vmin", "vmax", "cmap")}
        if not look:
            chosen = products.colours_for(xr.concat([background, analysis], "panel", coords="minimal", compat="override"))
            look = {"vmin": chosen.norm.vmin, "vmax": chosen.norm.vmax}
        panels = [
            (background, "Background", look | unit, None),
            (increments, "Increments, and the observations used", unit, observations),
            (analysis, "Analysis", look | unit, None),
            (error, "Stated standard deviation of the analysis error", {"vmin": 0.0, **unit}, None),
        ]
    figure = _grid_of_maps(work, spec, panels)
    return figure, _assimilation_caption(work, label_of(background))


def _assimilation_caption(work: Work, label: str) -> str:
    if work.experiment is None:
        return f"{label}: background, increments with the observations used, analysis, and the stated error of the analysis."
    return (
        f"{label}: error of the background and of the analysis against the known truth, the increments with the positions of "
        "the synthetic observations used, and the error that the analysis states of itself. Withheld positions are not shown."
    )


def _grid_of_maps(work: Work, spec: dict[str, Any], panels: list[tuple[Any, ...]]) -> Any:
    """Two by two maps under one title."""
    options = {"extent": spec["extent"], "subtitle": "", "levels": spec["levels"]}
    first, *rest = panels
    axes = products.plot_map(first[0], title=first[1], observations=first[3], **options, **first[2])
    figure = axes.figure
    shape = abs(float(np.ptp(axes.get_position().intervaly))) * figure.get_size_inches()[1] / (
        abs(float(np.ptp(axes.get_position().intervalx))) * figure.get_size_inches()[0]
    )
    wide = shape < 0.77  # then the colour bars lie under the maps
    width = (_WIDTH - 2 * _LABELS - (0.16 if wide else 1.3)) / 2
    height = width * shape
    step = height + (0.98 if wide else 0.62)
    top = 0.86
    total = top + 2 * step + 0.06
    figure.set_size_inches(_WIDTH, total)
    rights = [_LABELS, _WIDTH - 0.08 - width - (0 if wide else 0.6)]
    places = [
        (rights[n % 2] / _WIDTH, 1 - (top + (n // 2) * step + height) / total, width / _WIDTH, height / total)
        for n in range(4)
    ]
    axes.set_position(places[0])
    for place, (field, title, look, observations) in zip(places[1:], rest, strict=True):
        panel = figure.add_axes(place, projection=getattr(axes, "projection", None))
        products.plot_map(field, ax=panel, title=title, observations=observations, **options, **look)
    for panel in figure.axes:
        panel.title.set_fontsize(9)
        panel._left_title.set_fontsize(9)
    _headings(figure, work, spec, _LABELS / _WIDTH, total)
    return figure


def _headings(figure: Any, work: Work, spec: dict[str, Any], left: float, height: float) -> None:
    """Title, stamp and source above and below all panels."""
    figure.text(left, 1 - 0.12 / height, spec["title"] or work.title, fontsize=12, fontweight="bold", va="top")
    if work.stamp:
        figure.text(
            0.988, 1 - 0.14 / height, work.stamp, fontsize=10, fontweight="bold", color="#b3261e", va="top", ha="right",
            bbox={"facecolor": "white", "edgecolor": "#b3261e", "linewidth": 1.2, "boxstyle": "square,pad=0.35"},
        )  # fmt: skip
    figure.text(left, 1 - 0.37 / height, _scene(work), fontsize=9, va="top")


def _scene(work: Work) -> str:
    assert work.data is not None and work.background is not None
    when = when_text(work.background, work.data.cadence)
    if work.experiment is None:
        return when
    numbers = work.experiment.numbers
    return (
        f"Background: {when}. RMSE at {numbers['n_withheld']} withheld positions: "
        f"{numbers['rmse_background']:.2f} before, {numbers['rmse_analysis']:.2f} after"
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
    assert work.series is not None
    figure = upper.figure
    sizes = {"top": 0.66, "diagram": 4.1, "between": 1.22, "series": 1.75, "bottom": 0.62}
    total = sum(sizes.values())
    figure.set_size_inches(_WIDTH, total)
    left, right = 0.62, 0.86
    upper.set_position([left / _WIDTH, 1 - (sizes["top"] + sizes["diagram"]) / total, (_WIDTH - left - right) / _WIDTH,
                        sizes["diagram"] / total])  # fmt: skip
    lower = figure.add_axes(
        [left / _WIDTH, sizes["bottom"] / total, (_WIDTH - left - right) / _WIDTH, sizes["series"] / total]
    )
    _series_on(work, lower, spec, box)
    return figure


def _series_on(work: Work, axes: Any, spec: dict[str, Any], box: dict[str, Any]) -> Any:
    assert work.series is not None
    series = work.series.load()
    events = work.step["events"]
    span = f"{degrees(box['lon'][0], 'EW')} to {degrees(box['lon'][1], 'EW')}, " \
           f"{degrees(box['lat'][0], 'NS')} to {degrees(box['lat'][1], 'NS')}"  # fmt: skip
    title = f"Mean over {box['name']} ({span})"
    short = series.assign_attrs(long_name="Anomaly" if work.clim is not None else label_of(work.shown(None)))
    axes = products.plot_series(
        short, ax=axes, events=work.events, title=title, label="Monthly mean" if _monthly(work) else None,
        **({} if spec["units"] is None else {"units": spec["units"]}),
    )  # fmt: skip
    for limit in (events["above"], events["below"]):
        if limit is not None:
            axes.axhline(limit, color="#6d6d6d", linewidth=0.7, linestyle=(0, (4, 2)), zorder=2, gid="limit")
    if work.clim is not None:
        axes.axhline(0.0, color="#222222", linewidth=0.5, zorder=2)
    return axes


def _monthly(work: Work) -> bool:
    return work.data is not None and work.data.cadence == "months"


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


def _nice(field: xr.DataArray) -> float:
    return float(products.colours_for(field.rename("difference").assign_attrs(long_name="difference")).norm.vmax or 1.0)


def _source(work: Work) -> str | None:
    return work.step["input"]["provenance_note"]
