"""What can be wrong with `levels` and `regrid` before anything is computed."""

from functools import partial
from typing import Any

from oceankit.cli._checking import Step
from oceankit.cli._choices import BINNING
from oceankit.cli.gridding import check_kept, on_levels, options_of
from oceankit.cli.inputs import Input, grid_of, target_grid
from oceankit.fields import Grid

__all__ = ["check_levels", "check_regrid"]

_CONSERVATIVE = ("conservative", "conservative2")


def check_levels(step: Step, data: Input | None) -> Input | None:
    """The input on its new depths, lazily; as it is where nothing is asked for, None where something is wrong."""
    spec = step.step["levels"]
    if spec is None or data is None:
        return data
    if not step.clean("levels"):
        return None
    if spec["method"] == "linear":
        if spec["edges"] is not None:
            step.wrong(
                ("levels", "edges"), "are those of layers, for method 'conservative'; give 'depths' for 'linear'"
            )
            return None
    elif spec["extrapolate"] is not None:
        step.wrong(("levels", "extrapolate"), "is for method 'linear'; layers are ruled by 'min_coverage'")
        return None
    found: Input | None = step.attempt(("levels",), lambda: on_levels(data, spec))
    return found


def check_regrid(step: Step, data: Input | None) -> Grid | None:
    """The target, if it could be read."""
    spec = step.step["regrid"]
    target: Grid | None = None
    if spec is not None and spec["to"] is not None and step.clean("regrid", "to"):
        target = _target(step, spec["to"])
    if spec is None or not step.clean("regrid"):
        return target
    _options(step, spec)
    if data is None:
        return target
    source: Grid | None = step.attempt(("input", "variable"), lambda: grid_of(data))
    if source is None:
        return target
    _method(step, spec, source, target)
    if spec["weights"] is not None and target is not None and step.clean("regrid"):
        path = step.run.folder / spec["weights"]
        step.attempt(("regrid", "weights"), lambda: check_kept(path, source, target, spec["method"], options_of(spec)))
    return target


def _target(step: Step, spec: dict[str, Any]) -> Grid | None:
    if spec["lon"] is not None and spec["lat"] is not None:
        # Both axes, so that a mistake in one does not hide one in the other.
        good = {"lon": [0.0, 360.0, 1.0], "lat": [-90.0, 90.0, 1.0]}
        axes = [
            step.attempt(("regrid", "to"), partial(target_grid, {**spec, **good, key: spec[key]}, step.run.folder))
            for key in good
        ]
        if any(a is None for a in axes):
            return None
    grid: Grid | None = step.attempt(("regrid", "to"), lambda: target_grid(spec, step.run.folder))
    return grid


def _options(step: Step, spec: dict[str, Any]) -> None:
    """Options that contradict each other, or that the method would not look at."""
    method, extrapolate = spec["method"], spec["extrapolate"]
    if spec["limiter"] is not None and method != "conservative2":
        step.wrong(("regrid", "limiter"), f"is for method 'conservative2', not {method!r}; leave it out")
    if spec["creep_levels"] is not None and extrapolate != "creep":
        step.wrong(("regrid", "creep_levels"), "is for 'extrapolate: creep'; leave it out")
    if extrapolate is not None and not spec["skipna"]:
        step.wrong(
            ("regrid", "extrapolate"), "fills what is missing, and 'skipna: false' asks for it to stay so; choose one"
        )
    if extrapolate is not None and method == "count":
        step.wrong(("regrid", "extrapolate"), "has nothing to fill: a count is 0 where there is nothing; leave it out")
    if spec["edges"] == "latitude" and method != "conservative":
        step.wrong(("regrid", "edges"), f"'latitude' is for method 'conservative', not {method!r}; leave it out")
    if extrapolate != "inverse_distance" and method != "idw":
        for name, default in (("neighbours", 8), ("power", 2.0)):
            if spec[name] != default:
                step.wrong(
                    ("regrid", name), "is for method 'idw' and for 'extrapolate: inverse_distance'; leave it out"
                )


def _method(step: Step, spec: dict[str, Any], source: Grid, target: Grid | None) -> None:
    """What the method asks of the grids."""
    method = spec["method"]
    if method in _CONSERVATIVE:
        _cells(step, source, ("regrid", "method"), method, "the input")
    if method in (*_CONSERVATIVE, *BINNING) and target is not None:
        _cells(step, target, ("regrid", "to"), method, "the target")
    if method == "bicubic" and source.kind not in ("rectilinear", "curvilinear"):
        step.wrong(
            ("regrid", "method"), f"'bicubic' needs rows and columns, and the input is {source!r}; use 'bilinear'"
        )
    straight = {"rectilinear"} >= {source.kind, *([target.kind] if target else [])}
    if method == "conservative" and spec["edges"] == "latitude" and not straight:
        step.wrong(("regrid", "edges"), "'latitude' needs two rectilinear grids; use 'great_circle'")
    if spec["extrapolate"] == "creep" and target is not None and target.kind == "points":
        step.wrong(
            ("regrid", "extrapolate"),
            "'creep' goes from cell to cell, and the target is a list of points; use 'nearest'",
        )


def _cells(step: Step, grid: Grid, keys: tuple[str, ...], method: str, whose: str) -> None:
    try:
        missing = "it is a list of points" if not grid.has_cells else ""
        _ = grid.corners if not missing and grid.kind != "mesh" else None
    except ValueError as error:
        missing = str(error)
    if missing:
        step.wrong(keys, f"{method!r} needs the cells of {whose}: {missing}")
