"""What can be wrong with a run file beyond its text: the files, and what the stages ask of them. Nothing is computed."""

import importlib.util
import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from oceankit.cli import experiment
from oceankit.cli._checking import Step
from oceankit.cli._grid_checks import check_levels, check_regrid
from oceankit.cli._nodes import Place
from oceankit.cli.inputs import Input, grid_of, narrowed, opened
from oceankit.cli.places import PlaceError, found
from oceankit.cli.reading import RunFile
from oceankit.cli.selecting import at_time, time_dim
from oceankit.cli.work import interpolation, normal_of
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

    def __init__(self, run: RunFile, place: Place, step: dict[str, Any], claimed: Mapping[str, Place]) -> None:
        super().__init__(run, place, step)
        self.claimed = claimed

    def check(self) -> None:
        data = self._input(("input",), self.step["input"])
        self._stages()
        data = check_levels(self, data)
        target = check_regrid(self, data)
        self._assimilate(data)
        self._anomalies(data)
        self._events(data, target)
        self._figures(data)

    def _input(self, keys: Place, spec: Any) -> Input | None:
        """The input, if all of it is in order; each part is looked at, whatever is wrong with the others."""
        if spec is None:
            return None
        clean = {
            k: self.reading.clean((*self.place, *keys, k)) for k in ("paths", "variable", "select", "engine", "attrs")
        }
        missing = [self._missing((*keys, "paths", n), path) for n, path in enumerate(spec["paths"] or ())]
        if any(missing) or spec["paths"] is None or spec["variable"] is None:
            return None
        data: Input | None = self.attempt(keys, lambda: opened(spec | {"select": None}, self.run.folder))
        if data is None:
            return None
        for source in data.sources:
            if os.path.realpath(source) in self.claimed:
                place = self.claimed[os.path.realpath(source)]
                self.reading.wrong(
                    place, f"would take the place of the input {source!r}; choose another name or folder"
                )
        selected = [self._narrowed(data, keys, name, wanted) for name, wanted in (spec["select"] or {}).items()]
        if None in selected or not all(clean.values()):
            return None
        whole: Input | None = self.attempt(keys, lambda: opened(spec, self.run.folder))
        return whole

    def _missing(self, keys: Place, path: str) -> bool:
        try:
            found(path, self.run.folder)
        except PlaceError as error:
            self.wrong(keys, str(error))
            return True
        return False

    def _narrowed(self, data: Input, keys: Place, name: str, wanted: Any) -> Input | None:
        if wanted is None:  # already refused
            return None
        part: Input | None = self.attempt(keys, lambda: narrowed(data, name, wanted))
        return part

    def _stages(self) -> None:
        """Stages that need each other."""
        step = self.step
        results = [s for s in ("product", "figure", "bulletin") if step[s] is not None]
        if not results and self.clean():
            self.wrong((), "writes nothing; give it a product, a figure or a bulletin")
        limits = [(step["events"] or {}).get(k) for k in ("above", "below")]
        if step["events"] and limits == [None, None] and self.clean("events"):
            self.wrong(("events",), "has neither 'above' nor 'below'; give at least one limit")
        for number, figure in enumerate(step["figure"] or ()):
            keys: Place = ("figure", number)
            kind, shown = figure["kind"], figure["show"]
            if kind == "assimilation" and step["assimilate"] is None:
                self.wrong((*keys, "kind"), "'assimilation' shows an assimilation; the step has no 'assimilate'")
            if kind == "series" and step["events"] is None:
                self.wrong(
                    (*keys, "kind"), "'series' shows the mean over the box of 'events'; the step has no 'events'"
                )
            needed = {
                "background": "assimilate",
                "increments": "assimilate",
                "error_std": "assimilate",
                "anomaly": "anomalies",
            }
            if shown in needed and step[needed[shown]] is None:
                self.wrong((*keys, "show"), f"{shown!r} comes from {needed[shown]!r}, which the step does not have")

    def _assimilate(self, data: Input | None) -> None:
        spec = self.step["assimilate"]
        if spec is None:
            return
        if self.clean("assimilate"):
            self.attempt(("assimilate",), lambda: interpolation(spec))
        depths = (
            [] if data is None else [n for n in coordinates.candidates(data.field, "vertical") if n in data.field.dims]
        )
        if data is not None and depths and data.field.sizes[depths[0]] > 1 and spec["depth_scale"] is None:
            many = data.field.sizes[depths[0]]
            self.wrong(("assimilate",), f"'depth_scale' is missing, and {depths[0]!r} has {many} values")
        observations = spec["observations"]
        keys: Place = ("assimilate", "observations")
        if observations is None or not self.clean(*keys):
            return
        if observations["synthetic"] is None:
            self._tables((*keys, "paths"), observations, data)
        else:
            self._synthetic((*keys, "synthetic"), observations["synthetic"], data)

    def _synthetic(self, keys: Place, spec: dict[str, Any], data: Input | None) -> None:
        if spec["tracks"] is None and spec["points"] is None:
            self.wrong(keys, "has neither 'tracks' nor 'points'; give at least one of them")
        if data is None:
            return
        keys = (*keys, "truth")
        given = {k: v for k, v in spec["truth"].items() if v is not None}
        truth = check_levels(self, self._input(keys, self.step["input"] | {"select": None} | given))
        grid: Grid | None = None if truth is None else self.attempt(keys, lambda: grid_of(truth))
        if truth is None or grid is None:
            return
        many = {str(d): n for d, n in truth.field.sizes.items() if n > 1 and d not in grid.dims}
        if many:
            self.wrong(keys, f"has {many}; observations are drawn from one field: choose one with 'select'")
        theirs, ours = truth.field.attrs.get("units"), data.field.attrs.get("units")
        if theirs != ours:
            self.wrong(keys, f"is in {theirs!r} and the input in {ours!r}; convert one of them")

    def _tables(self, keys: Place, spec: dict[str, Any], data: Input | None) -> None:
        missing = [self._missing((*keys, n), path) for n, path in enumerate(spec["paths"])]
        if not any(missing):
            names = [name for path in spec["paths"] for name in found(path, self.run.folder)]
            field = xr.DataArray(0.0) if data is None else data.field
            self.attempt(keys, lambda: experiment.observed(names, spec["units"], field))

    def _anomalies(self, data: Input | None) -> None:
        spec = self.step["anomalies"]
        if spec is None or data is None or not self.clean("anomalies"):
            return
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
            else:
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
    observations = (step["assimilate"] or {}).get("observations") or {}
    if observations.get("save"):
        out.append((("assimilate", "observations", "save"), observations["save"]))
    return out
