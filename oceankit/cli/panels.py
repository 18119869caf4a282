"""The figure of an assimilation: four maps under one heading."""

import textwrap
from typing import Any, NamedTuple

import xarray as xr

from oceankit import products
from oceankit.cli.experiment import Experiment
from oceankit.cli.selecting import at_time
from oceankit.cli.words import MINUS, label_of, unit_of, when_text
from oceankit.cli.work import Corrected, Work

__all__ = ["assimilation", "source_line"]

WIDTH = 7.0  # inches: the text width of an A4 page
_LABELS = 0.42  # inches for degrees beside a panel
_TALLEST = 3.8  # inches: two of them and their heading are a page
_RED = "#b3261e"


class _Panel(NamedTuple):
    field: xr.DataArray
    title: str
    look: dict[str, Any]
    observations: xr.Dataset | None = None


class _Line(NamedTuple):
    text: str
    look: dict[str, Any]
    height: float  # inches


def assimilation(work: Work, corrected: Corrected, spec: dict[str, Any]) -> tuple[Any, str]:
    """The figure and its caption: what the observations did to the field, and how sure the analysis is of itself."""
    names = ["background", "increments", "field"] + ["error_std"] * (corrected.error_std is not None)
    fields = {n: at_time(work.shown(n), spec["time"]).load() for n in names}
    if spec["units"] is not None:
        fields = {n: products.in_units(f, spec["units"]) for n, f in fields.items()}
    fields["increments"] = fields["increments"].assign_attrs(long_name="Increment")
    ensemble = corrected.members is not None
    stated = "the spread of its members" if ensemble else "the error that the analysis states of itself"
    label = label_of(work.data.field)
    for name in ("background", "field"):
        fields[name] = fields[name].assign_attrs(long_name=label)
    if corrected.experiment is not None:
        panels = _against_truth(fields, corrected, corrected.experiment, spec)
        caption = (
            f"{label}: background and analysis against the known truth, the increments with the synthetic observations "
        )
        caption += f"used (dots; the withheld ones are not shown){', and ' + stated if 'error_std' in fields else ''}."
    else:
        panels = _before_and_after(fields, corrected, spec)
        stated = stated if ensemble else "the error it states"
        caption = f"{label}: background, increments with the observations used (dots), analysis"
        caption += f", and {stated}." if "error_std" in fields else "."
    if "error_std" in fields:
        name = "Spread of members" if ensemble else "Error standard deviation"
        title = "Spread of the analysis" if ensemble else "Stated error of the analysis"
        panels.append(_Panel(fields["error_std"].assign_attrs(long_name=name), title, {"vmin": 0.0}))
    return _four_maps(work, corrected, spec, panels), caption


def _against_truth(
    fields: dict[str, xr.DataArray], corrected: Corrected, experiment: Experiment, spec: dict[str, Any]
) -> list[_Panel]:
    """Errors before and after and what lies between them, on one scale."""
    truth = experiment.truth if spec["units"] is None else products.in_units(experiment.truth, spec["units"])
    before, after = (_difference(fields[n], truth) for n in ("background", "field"))
    if spec["limits"] is None:
        chosen = [products.colours_for(f.assign_attrs(long_name="difference")) for f in (before, fields["increments"])]
        limit = max(float(c.norm.vmax or 1.0) for c in chosen)
    else:
        limit = max(map(abs, spec["limits"]))
    look = {"vmin": -limit, "vmax": limit, "cmap": spec["cmap"] or "balance"}
    return [
        _Panel(before, f"Before: background {MINUS} truth", look),
        _Panel(fields["increments"], _counted(corrected), look, _used(corrected)),
        _Panel(after, f"After: analysis {MINUS} truth", look),
    ]


def _before_and_after(fields: dict[str, xr.DataArray], corrected: Corrected, spec: dict[str, Any]) -> list[_Panel]:
    """Background and analysis on one scale, and the increments between them."""
    both = [f.drop_vars(set(f.coords) - set(f.dims)) for f in (fields["background"], fields["field"])]
    scale = products.colours_for(xr.concat(both, "panel").assign_attrs(fields["background"].attrs)).norm
    low, high = spec["limits"] or (scale.vmin, scale.vmax)
    look = {"vmin": low, "vmax": high, "cmap": spec["cmap"]}
    return [
        _Panel(fields["background"], "Background", look),
        _Panel(fields["increments"], _counted(corrected), {}, _used(corrected)),
        _Panel(fields["field"], "Analysis", look),
    ]


def _used(corrected: Corrected) -> xr.Dataset:
    """The observations that took part; flagged ones and those outside are not drawn."""
    obs = corrected.observations
    return obs.isel(obs=obs["status"].values == 0)


def _counted(corrected: Corrected) -> str:
    number = f"{corrected.observations.attrs['n_used']:,}".replace(",", " ")
    return f"Increments and the {number} observations"


def _difference(field: xr.DataArray, truth: xr.DataArray) -> xr.DataArray:
    out = field.squeeze(drop=True) - truth
    out.attrs = {"long_name": "difference", **{k: v for k, v in field.attrs.items() if k == "units"}}
    return out.rename("difference")


def _four_maps(work: Work, corrected: Corrected, spec: dict[str, Any], panels: list[_Panel]) -> Any:
    """Two by two, each as large as the page allows."""
    options = {"extent": spec["extent"], "title": "", "subtitle": "", "levels": spec["levels"]}
    axes = products.plot_map(panels[0].field, observations=panels[0].observations, **options, **panels[0].look)
    figure: Any = axes.figure
    box = axes.get_window_extent()
    shape = box.height / box.width
    wide = shape < 0.77  # then the colour bars lie under the maps
    beside, under = (0.0, 1.02) if wide else (0.78, 0.55)  # inches for bars, ticks and the next title
    width = (WIDTH - 2 * (_LABELS + beside) - 0.1) / 2
    width = min(width, _TALLEST / shape)
    height = width * shape
    lines = _heading(work, corrected, spec)
    top = 0.36 + sum(line.height for line in lines)
    total = top + 2 * (height + under) + 0.08
    figure.set_size_inches(WIDTH, total)
    places = [
        (x / WIDTH, 1 - (top + row * (height + under) + height) / total, width / WIDTH, height / total)
        for row in (0, 1)
        for x in (_LABELS, WIDTH - 0.08 - width - beside)
    ]
    axes.set_position(places[0])
    drawn = [axes]
    for place, panel in zip(places[1:], panels[1:], strict=False):  # a method that states no error has three
        # Projected like the first, or plain like it.
        other = figure.add_axes(place, projection=getattr(axes, "projection", None))
        products.plot_map(panel.field, ax=other, observations=panel.observations, **options, **panel.look)
        drawn.append(other)
    for one, panel in zip(drawn, panels, strict=True):
        _small(one, panel.title)
    _write(figure, lines, total)
    source_line(figure, work, total)
    return figure


def _small(axes: Any, title: str) -> None:
    """Type and dots of a panel half a page wide."""
    axes.set_title(title, loc="left", fontsize=9, fontweight="bold", color="#222222", pad=5)
    axes.tick_params(labelsize=7, width=0.6)
    if axes.get_legend() is not None:
        axes.get_legend().remove()  # the title counts the observations
    for dots in axes.collections:
        if dots.get_gid() == "observations":
            # A handful of buoys must be seen, thousands along tracks must not hide the map.
            dots.set_sizes([float(min(max(300.0 / max(len(dots.get_offsets()), 1), 1.0), 12.0))])
            dots.set_linewidths([0.0])
    for text in list(axes.texts):
        text.set_fontsize(6.5)
        if text.get_text().startswith("120°"):
            text.remove()  # there is no room between its neighbours
    for bar in axes.child_axes:
        bar.tick_params(labelsize=7)
        bar.xaxis.label.set_size(8)
        bar.yaxis.label.set_size(8)


def _heading(work: Work, corrected: Corrected, spec: dict[str, Any]) -> list[_Line]:
    """Title, scene and stamp over all panels."""
    bold = {"fontsize": 12, "fontweight": "bold"}
    lines = [_Line(text, bold, 0.2) for text in textwrap.wrap(spec["title"] or work.title, 62)]
    lines += [_Line(text, {"fontsize": 8}, 0.17) for text in textwrap.wrap(_scene(work, corrected), 112)]
    if work.stamp:
        box = {"facecolor": "white", "edgecolor": _RED, "linewidth": 1.2, "boxstyle": "square,pad=0.35"}
        lines.append(_Line(work.stamp, {"fontsize": 10, "fontweight": "bold", "color": _RED, "bbox": box}, 0.36))
    return lines


def _scene(work: Work, corrected: Corrected) -> str:
    when = when_text(corrected.background, work.data.cadence)
    if corrected.experiment is None:
        return when
    numbers, unit = corrected.experiment.numbers, unit_of(corrected.background)
    return (
        f"Background {when}, truth {corrected.experiment.when}. RMSE at {numbers['n_withheld']} withheld positions: "
        f"{numbers['rmse_background']:.2f}{unit} before, {numbers['rmse_analysis']:.2f}{unit} after."
    )


def _write(figure: Any, lines: list[_Line], total: float) -> None:
    down = 0.1
    for line in lines:
        if "bbox" in line.look:
            figure.text(0.5, 1 - (down + 0.1) / total, line.text, ha="center", va="top", **line.look)
        else:
            figure.text(_LABELS / WIDTH, 1 - down / total, line.text, va="top", **line.look)
        down += line.height


def source_line(figure: Any, work: Work, total: float) -> None:
    """Where the data come from, under everything, on a figure ``total`` inches high."""
    if work.note:
        figure.text(1 - 0.08 / WIDTH, 0.05 / total, work.note, ha="right", va="bottom", fontsize=6.5, color="#606060")
