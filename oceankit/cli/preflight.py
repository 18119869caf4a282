"""What can be wrong with a run file beyond its text: the files, and what the stages ask of them. Nothing is computed."""

import importlib.util
import os
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from oceankit.cli._assimilation_checks import check_assimilate
from oceankit.cli._checking import Step
from oceankit.cli._forecast_checks import SAVED, check_forecast
from oceankit.cli._grid_checks import check_levels, check_regrid
from oceankit.cli._heatwave_checks import check_category, check_heatwaves
from oceankit.cli._input_checks import check_input
from oceankit.cli._nodes import Place
from oceankit.cli._replay_checks import check_replay
from oceankit.cli.inputs import Input, grid_of
from oceankit.cli.reading import RunFile
from oceankit.cli.selecting import at_time, time_dim
from oceankit.cli.work import normal_of
from oceankit.fields import Grid, coordinates

__all__ = ["check"]

_DRAWING = {"matplotlib": "matplotlib", "cmocean": "cmocean", "cartopy": "cartopy", "mpl_toolkits": "basemap-data"}


def check(run: RunFile, output: Path) -> None:
    """Add to ``run.reading`` every mistake that the files and the stages show; ``output`` is the output folder."""
    claimed = {os.path.realpath(output / name): place for name, place in _outputs(run).items()}
    for number, step in run.steps:
        _Step(run, ("steps", number), step, claimed).check()


class _Step(Step):
    """The checks of one step; each looks only at what the text left in order."""

    def check(self) -> None:
        data = check_input(self, ("input",), self.step["input"])
        self._stages()
        data = check_levels(self, data)
        target = check_regrid(self, data)
        check_assimilate(self, data, target)
        self._one_field(data)
        self._anomalies(data)
        check_heatwaves(self, data)
        self._events(data, target)
        check_forecast(self, data)
        check_replay(self, data)
        self._figures(data)

    def _one_field(self, data: Input | None) -> None:
        """Stages that want one field, where there are members and no analysis that has their mean."""
        spec = self.step["assimilate"]
        if data is None or spec is not None or data.field.sizes.get("member", 1) == 1:
            return
        for stage in ("anomalies", "events", "forecast", "replay", "figure", "bulletin"):
            if self.step[stage] is not None:
                many = data.field.sizes["member"]
                self.wrong(
                    (stage,), f"wants one field, and {data.variable!r} has {many} members; choose one with 'select'"
                )

    def _stages(self) -> None:
        """Stages that need each other."""
        step = self.step
        results = [s for s in ("product", "figure", "bulletin") if step[s] is not None]
        saved = [k for k in ("save", "save_days") if (step["heatwaves"] or {}).get(k) is not None]
        if not results and not saved and step["forecast"] is None and step["replay"] is None and self.clean():
            self.wrong((), "writes nothing; give it a product, a figure or a bulletin")
        limits = [(step["events"] or {}).get(k) for k in ("above", "below")]
        if step["events"] and limits == [None, None] and self.clean("events"):
            self.wrong(("events",), "has neither 'above' nor 'below'; give at least one limit")
        for number, figure in enumerate(step["figure"] or ()):
            keys: Place = ("figure", number)
            kind, shown = figure["kind"], figure["show"]
            if kind in ("assimilation", "diagnostics") and step["assimilate"] is None:
                self.wrong((*keys, "kind"), f"{kind!r} shows an assimilation; the step has no 'assimilate'")
            for key in ("show", "time", "units", "cmap", "limits", "levels"):
                if kind == "diagnostics" and self.given(*keys, key):
                    self.wrong((*keys, key), "is not for 'diagnostics', which shows observations; leave it out")
            if kind == "series" and step["events"] is None:
                self.wrong(
                    (*keys, "kind"), "'series' shows the mean over the box of 'events'; the step has no 'events'"
                )
            needed = {
                "background": "assimilate",
                "increments": "assimilate",
                "error_std": "assimilate",
                "anomaly": "anomalies",
                "category": "heatwaves",
            }
            if shown in needed and step[needed[shown]] is None:
                self.wrong((*keys, "show"), f"{shown!r} comes from {needed[shown]!r}, which the step does not have")
            if shown == "category":
                check_category(self, keys, kind)
            method = (step["assimilate"] or {}).get("method")
            if shown == "error_std" and method in ("three_d_var", "ensemble_oi"):
                self.wrong((*keys, "show"), f"{method!r} states no error of the analysis; show another field")

    def _anomalies(self, data: Input | None) -> None:
        spec = self.step["anomalies"]
        if spec is None or data is None or not self.clean("anomalies"):
            return
        if spec["by"] == "month" and self.given("anomalies", "convention"):
            self.wrong(("anomalies", "convention"), "is for 'by: dayofyear'; leave it out")
        try:
            coordinates.find(data.field, "time")
        except ValueError as error:
            self.wrong(("anomalies",), str(error))
            return
        try:
            normal_of(data.field, spec)
        except ValueError as error:
            # The library names its argument first.
            key = next(
                (k for k in ("half_window", "smooth", "percentile", "period") if k in str(error).split(":")[0]), None
            )
            self.wrong(("anomalies", key) if key else ("anomalies",), str(error))

    def _events(self, data: Input | None, target: Grid | None) -> None:
        spec = self.step["events"]
        if spec is None or data is None or not self.clean("events"):
            return
        time = time_dim(data.field)
        if time is None or data.field.sizes[time] < 2:
            self.wrong(("events",), f"needs a field along time; {data.variable!r} has {dict(data.field.sizes)}")
        if self.step["regrid"] is not None and target is None:
            return
        grid: Grid | None = target or self.attempt(("input", "variable"), lambda: grid_of(data))
        if grid is None:
            return
        box = spec["box"]
        offset = np.mod(grid.lon.values - box["lon"][0], 360.0)
        inside_lon = offset <= (np.mod(box["lon"][1] - box["lon"][0], 360.0) or 360.0)
        inside_lat = (grid.lat.values >= box["lat"][0]) & (grid.lat.values <= box["lat"][1])
        inside = (
            inside_lon.any() and inside_lat.any() if grid.kind == "rectilinear" else (inside_lon & inside_lat).any()
        )
        if not inside:
            self.wrong(
                ("events", "box"),
                f"holds no cell centre of {grid!r}; widen it, or look at its longitudes and latitudes",
            )

    def _figures(self, data: Input | None) -> None:
        figures = self.step["figure"]
        report = (self.step["regrid"] or {}).get("report")
        missing = [package for module, package in _DRAWING.items() if importlib.util.find_spec(module) is None]
        if missing and (figures or report):
            self.wrong(
                ("figure",) if figures else ("regrid", "report"),
                f"needs {', '.join(missing)}; install with: pip install 'oceankit[plot]'",
            )
        if not figures or data is None or not self.clean("figure"):
            return
        time = time_dim(data.field)
        for number, figure in enumerate(figures):
            if figure["kind"] in ("hovmoller", "series"):
                if time is None or data.field.sizes[time] < 2:
                    self.wrong(("figure", number, "kind"), f"{figure['kind']!r} needs a field along time")
            elif figure["kind"] != "diagnostics" and (figure["time"] or figure["show"] != "category"):
                keys: Place = ("figure", number, "time") if figure["time"] else ("figure", number)
                self.attempt(keys, partial(at_time, data.field, figure["time"]))


def _outputs(run: RunFile) -> dict[str, Place]:
    """The files that are written, none of them twice."""
    claimed: dict[str, Place] = {}
    for number, step in run.steps:
        for keys, name in _named(step):
            place = ("steps", number, *keys)
            if name in claimed:
                other = run.reading.line(claimed[name])
                run.reading.wrong(place, f"{name!r} is written twice, first on line {other}; give another name")
            claimed.setdefault(name, place)
    return claimed


def _named(step: dict[str, Any]) -> list[tuple[Place, str]]:
    """The outputs of a step and their keys."""
    out: list[tuple[Place, str]] = []
    for key in ("product", "bulletin"):
        if step[key] and step[key]["file"]:
            out.append(((key, "file"), step[key]["file"]))
    if (step["regrid"] or {}).get("report"):
        out.append((("regrid", "report"), step["regrid"]["report"]))
    out += [(("figure", n, "file"), f["file"]) for n, f in enumerate(step["figure"] or ()) if f["file"]]
    for key in ("save", "save_days"):
        if (step["heatwaves"] or {}).get(key):
            out.append((("heatwaves", key), step["heatwaves"][key]))
    for key in SAVED:
        if (step["forecast"] or {}).get(key):
            out.append((("forecast", key), step["forecast"][key]))
    if (step["replay"] or {}).get("save"):
        out.append((("replay", "save"), step["replay"]["save"]))
    observations = (step["assimilate"] or {}).get("observations") or {}
    if observations.get("save"):
        out.append((("assimilate", "observations", "save"), observations["save"]))
    if (step["assimilate"] or {}).get("save_ensemble"):
        out.append((("assimilate", "save_ensemble"), step["assimilate"]["save_ensemble"]))
    return out
