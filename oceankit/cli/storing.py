"""From the work of a step to its product on disk, described so that others can use it."""

from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from oceankit import fields
from oceankit.cli.work import Work
from oceankit.fields import Grid, open_fields

__all__ = ["metadata_of", "write_observations", "write_product"]


def write_product(work: Work, path: Path, metadata: dict[str, Any]) -> None:
    """Write the result of a step, and go on with what is on disk, so that figures compute nothing twice."""
    ds, names = _assembled(work)
    ds.attrs.update(_scores(work))
    if work.status:
        ds.attrs["data_status"] = work.status
    options = {k: v for k, v in work.step.items() if k not in ("metadata", "figure", "bulletin") and v is not None}
    fields.write(ds, path, metadata=metadata, inputs=work.sources, options=options)
    stored = open_fields(path)
    for attribute, name in names.items():
        setattr(work, attribute, stored[name])


def write_observations(work: Work, path: Path, metadata: dict[str, Any]) -> None:
    """Write the observations with what became of them; of an experiment also those withheld."""
    assert work.observations is not None
    obs = work.observations
    if work.experiment is not None:
        marked = [
            part.assign(withheld=("obs", np.full(part.sizes["obs"], flag, np.int8)))
            for part, flag in ((obs, 0), (work.experiment.withheld, 1))
        ]
        status = xr.full_like(marked[1]["withheld"], -1).assign_attrs(obs["status"].attrs)
        marked[1] = marked[1].assign(
            innovation=xr.full_like(marked[1]["value"], np.nan), residual=xr.full_like(marked[1]["value"], np.nan),
            status=status,
        )  # fmt: skip
        obs = xr.concat(marked, "obs", combine_attrs="override")
        obs["withheld"].attrs = {
            "long_name": "whether the observation was kept from the analysis",
            "flag_values": np.array([0, 1], np.int8), "flag_meanings": "assimilated withheld",
        }  # fmt: skip
        obs["truth"].attrs = obs["value"].attrs | {"long_name": "value without error"}
        if work.status:
            obs.attrs["data_status"] = work.status
    obs["status"].attrs |= {"flag_values": np.array([-1, 0, 1, 2], np.int8),
                            "flag_meanings": "not_offered used outside_the_background rejected_by_quality_flag"}  # fmt: skip
    title = f"{metadata['title']}: observations"
    fields.write(obs, path, metadata={**metadata, "title": title}, inputs=work.sources)


def metadata_of(work: Work, common: dict[str, Any]) -> dict[str, Any]:
    """ACDD attributes: the step's before the run file's, and what can be told without asking."""
    found = {"title": work.title, "summary": _summary(work)}
    if work.data is not None and work.data.cadence == "months":
        found["time_coverage_resolution"] = "P1M"  # which a single time does not show
    for given in (common, work.step["metadata"]):
        found |= {k: v for k, v in (given or {}).items() if v is not None}
    return found


def _summary(work: Work) -> str:
    sentences = [f"{work.title}."]
    note = work.step["input"]["provenance_note"]
    if note:
        sentences.append(f"Input: {note.rstrip('.')}.")
    if work.status:
        sentences.append(f"Data: {work.status}.")
    return " ".join(sentences)


def _assembled(work: Work) -> tuple[xr.Dataset, dict[str, str]]:
    """The dataset, and which of its variables serves which attribute of the work."""
    assert work.result is not None and work.data is not None
    found = {"result": work.result}
    if work.increments is not None and work.error_std is not None and work.background is not None:
        main = str(work.background.name)
        analysis = work.result if work.whole is None else work.whole
        found |= {
            "result" if work.whole is None else "whole": _renamed(analysis, main, "analysis of "),
            "background": _renamed(work.background, f"{main}_background", "background of "),
            "increments": work.increments.rename(f"{main}_increments"),
            "error_std": work.error_std.rename(f"{main}_analysis_error_std"),
        }
    elif work.whole is not None:
        found["whole"] = work.whole
    if work.series is not None:
        found["series"] = work.series
    ds = xr.Dataset({str(f.name): f for f in found.values()})
    if work.experiment is not None:
        truth = _renamed(work.experiment.truth, f"{work.data.variable}_truth", "truth of the experiment: ")
        truth.attrs |= {"comment": work.experiment.when}
        truth.attrs.pop("cell_methods", None)  # it has no time of its own
        ds = ds.assign({str(truth.name): truth})
    if work.clim is not None:
        ds = ds.assign({f"{work.data.variable}_climatology": work.clim["mean"]})
    if work.events is not None:
        ds = ds.assign({f"event_{n}": v for n, v in work.events.data_vars.items()})
    ds = _with_bounds(ds, work)
    ds.attrs = {}
    return ds, {k: str(v.name) for k, v in found.items()}


def _renamed(field: xr.DataArray, name: str, words: str) -> xr.DataArray:
    label = str(field.attrs.get("long_name", field.attrs.get("standard_name", field.name))).replace("_", " ")
    return field.rename(name).assign_attrs(long_name=f"{words}{label}")


def _with_bounds(ds: xr.Dataset, work: Work) -> xr.Dataset:
    """With the bounds of the times that are still there, and of new cells."""
    assert work.data is not None
    for name in list(ds.coords):
        bounds = str(ds[name].attrs.get("bounds", ds[name].encoding.get("bounds", "")))
        there = work.data.ds.variables.get(bounds)
        if there is not None and bounds not in ds and there.ndim == ds[name].ndim + 1:
            if all(ds.sizes.get(d, n) == n for d, n in there.sizes.items()):
                ds = ds.assign({bounds: there.load()})
    grid = None if work.regridder is None else work.regridder.target
    if grid is not None and grid.kind == "rectilinear" and not grid.planar:
        ds = _with_cell_bounds(ds, grid)
    return ds


def _with_cell_bounds(ds: xr.Dataset, grid: Grid) -> xr.Dataset:
    corners = grid.corners
    for axis, bounds in ((grid.lon, "lon_bnds"), (grid.lat, "lat_bnds")):
        ds = ds.assign({bounds: corners[bounds].variable})
        ds[axis.name].attrs["bounds"] = bounds
    return ds


def _scores(work: Work) -> dict[str, Any]:
    """What a product says of the assimilation it comes from."""
    found: dict[str, Any] = {}
    if work.observations is not None:
        found |= {f"assimilation_{k}": v for k, v in work.observations.attrs.items() if k.startswith(("n_", "innov", "resid"))}
    if work.experiment is not None:
        found |= {f"experiment_{k}": v for k, v in work.experiment.numbers.items()}
    return found

