"""From a checked run file to the work of its steps, as a plan needs it: fields opened lazily, sizes, and no computation."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import xarray as xr

from oceankit.cli import experiment
from oceankit.cli._choices import FILTERS
from oceankit.cli.inputs import ProblemError, opened, target_grid
from oceankit.cli.reading import RunFile, read
from oceankit.cluster._plan_costs import Stage

__all__ = ["UnplannableError", "work_of"]

Planned = tuple[str, xr.DataArray, int, list[Stage]]


class UnplannableError(ValueError):
    """There is no such run file, it has mistakes, or an input or target cannot be opened; the message names it."""


def work_of(given: RunFile | str | os.PathLike[str]) -> list[Planned]:
    """Each step of a run file: its name, the field, the number of its files, and the stages that take memory.

    Raises
    ------
    UnplannableError
        If it is none, has mistakes, or an input cannot be opened.
    """
    run = _read(given)
    found: list[Planned] = []
    for _, step in run.steps:
        try:
            data = opened(step["input"], run.folder)
            found.append((step["name"], data.field, len(data.sources), _stages(step, run)))
            spec = step["assimilate"]
            if spec is not None and spec["method"] == "ensemble_oi":
                other = opened(experiment.ensemble_spec(step), run.folder, static=True)
                name = f"{step['name']}: ensemble"
                found.append((name, other.field, len(other.sources), [Stage("assimilate")]))
        except (ProblemError, OSError, ValueError) as error:
            raise UnplannableError(f"step {step['name']!r} cannot be planned: {error}") from error
    return found


def _read(given: Any) -> RunFile:
    if isinstance(given, RunFile):
        run = given
    elif isinstance(given, str | os.PathLike):
        path = Path(given)
        if path.suffix.lower() not in (".yaml", ".yml"):
            raise UnplannableError(
                f"{str(path)!r} is no run file, whose names end in .yaml; open fields with open_fields"
            )
        if not path.is_file():
            raise UnplannableError(f"there is no run file {str(path)!r}; correct the path")
        run = read(path)
    else:
        raise UnplannableError(f"a plan is of a field or a run file, not of a {type(given).__name__}")
    if run.mistakes:
        first, many = run.mistakes[0], len(run.mistakes)
        raise UnplannableError(
            f"{run.path}: {many} mistake{'s' * (many != 1)}, the first on line {first.line}: {first}; "
            "see 'oceankit run --check'"
        )
    return run


def _stages(step: Mapping[str, Any], run: RunFile) -> list[Stage]:
    out: list[Stage] = []
    if step["levels"] is not None:
        depths, edges = step["levels"]["depths"], step["levels"]["edges"]
        out.append(Stage("levels", {"number": len(depths) if depths else len(edges) - 1}))
    if step["regrid"] is not None:
        spec = step["regrid"]
        target = target_grid(spec["to"], run.folder)
        sizes = dict(zip(target.dims, target.shape, strict=True))
        kinds = {"target": sizes, "method": spec["method"], "extrapolate": spec.get("extrapolate")}
        out.append(Stage("regrid", kinds))
    if step["assimilate"] is not None:
        out.append(Stage("assimilate" if step["assimilate"]["method"] in FILTERS else "analysis"))
    if step["anomalies"] is not None:
        spec = step["anomalies"]
        entries = 12 if spec["by"] == "month" else 366
        events = step["heatwaves"] is not None
        # The product; the events; the days, which are written by themselves.
        passes = 1 + events + bool(events and step["heatwaves"].get("save_days"))
        out.append(Stage("climatology", {"entries": entries, "passes": passes, "heatwaves": events}))
    if step["forecast"] is not None or step["replay"] is not None:
        out.append(Stage("forecast"))
    if not out or (out[-1].kind in ("levels", "regrid") and step["product"] is not None):
        out.append(Stage("write"))
    return out
