"""From the work of a step to its product on disk, described so that others can use it."""

from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from oceankit import fields
from oceankit.cli.words import label_of
from oceankit.cli.work import Corrected, Work
from oceankit.fields import Grid, open_fields

__all__ = ["metadata_of", "with_cell_bounds", "write_observations", "write_product"]


def write_product(work: Work, path: Path, metadata: dict[str, Any]) -> None:
    """Write the result of a step, and go on with what is on disk, so that figures compute nothing twice."""
    ds, names = _assembled(work)
    ds.attrs.update(_scores(work))
    if work.status:
        ds.attrs["data_status"] = work.status
    options = {k: v for k, v in work.step.items() if k not in ("metadata", "figure", "bulletin") and v is not None}
    fields.write(ds, path, metadata=metadata, inputs=work.sources, options=options)
    stored = open_fields(path)
    for (owner, attribute), name in names.items():
        setattr(getattr(work, owner) if owner else work, attribute, stored[name])


def write_observations(work: Work, corrected: Corrected, path: Path, metadata: dict[str, Any]) -> None:
    """Write the observations with what became of them; of an experiment also those withheld."""
    obs = corrected.observations
    if corrected.experiment is not None:
        obs = _with_withheld(obs, corrected.experiment.withheld)
    if work.status:
        obs.attrs["data_status"] = work.status
    fields.write(obs, path, metadata={**metadata, "title": f"{metadata['title']}: observations"}, inputs=work.sources)


def _with_withheld(used: xr.Dataset, withheld: xr.Dataset) -> xr.Dataset:
    """Both in one table, told apart."""
    nothing = xr.full_like(withheld["value"], np.nan)
    others = withheld.assign(
        innovation=nothing, residual=nothing, status=("obs", np.full(withheld.sizes["obs"], -1, np.int8))
    )
    obs = xr.concat(
        [p.assign(withheld=("obs", np.full(p.sizes["obs"], k, np.int8))) for k, p in enumerate((used, others))],
        "obs",
        combine_attrs="override",
    )
    obs["withheld"].attrs = {
        "long_name": "whether the observation was kept from the analysis",
        "flag_values": np.array([0, 1], np.int8), "flag_meanings": "assimilated withheld",
    }  # fmt: skip
    obs["status"].attrs |= {
        "flag_values": np.array([-1, 0, 1, 2], np.int8),
        "flag_meanings": "not_offered used outside_the_background rejected_by_quality_flag",
    }
    obs["truth"].attrs = obs["value"].attrs | {"long_name": "value without error"}
    return obs


def metadata_of(work: Work, common: dict[str, Any]) -> dict[str, Any]:
    """ACDD attributes: the step's before the run file's, and what can be told without asking."""
    found = {"title": work.title, "summary": _summary(work)}
    if work.data.cadence == "months":
        found["time_coverage_resolution"] = "P1M"  # which a single time does not show
    for given in (common, work.step["metadata"]):
        found |= {k: v for k, v in (given or {}).items() if v is not None}
    return found


def _summary(work: Work) -> str:
    sentences = [f"{work.title}."]
    if work.note:
        sentences.append(f"Input: {work.note.rstrip('.')}.")
    if work.status:
        sentences.append(f"Data: {work.status}.")
    return " ".join(sentences)


def _assembled(work: Work) -> tuple[xr.Dataset, dict[tuple[str, str], str]]:
    """The dataset, and which of its variables serves which attribute of the work or of its parts."""
    found: dict[tuple[str, str], xr.DataArray] = {("", "result"): work.result}
    more: dict[str, xr.DataArray] = {}
    variable = work.data.variable
    if work.departure is not None:
        found["departure", "whole"] = work.departure.whole
        more[f"{variable}_climatology"] = work.departure.clim["mean"]
    if work.corrected is not None:
        owner = ("", "result") if work.departure is None else ("departure", "whole")
        found[owner] = _renamed(found[owner], variable, "analysis of ")
        found["corrected", "background"] = _renamed(
            work.corrected.background, f"{variable}_background", "background of "
        )
        found["corrected", "increments"] = work.corrected.increments.rename(f"{variable}_increments")
        found["corrected", "error_std"] = work.corrected.error_std.rename(f"{variable}_analysis_error_std")
    if work.experiment is not None:
        truth = _renamed(work.experiment.truth, f"{variable}_truth", "truth of the experiment: ")
        truth.attrs.pop("cell_methods", None)  # it has no time of its own
        more[str(truth.name)] = truth.assign_attrs(comment=work.experiment.when)
    if work.spells is not None:
        found["spells", "series"] = work.spells.series
        more |= {f"event_{n}": v for n, v in work.spells.events.data_vars.items()}
    ds = _with_bounds(xr.Dataset({str(f.name): f for f in found.values()} | more), work)
    ds.attrs = {}
    return ds, {owner: str(v.name) for owner, v in found.items()}


def _renamed(field: xr.DataArray, name: str, words: str) -> xr.DataArray:
    return field.rename(name).assign_attrs(long_name=f"{words}{label_of(field).lower()}")


def _with_bounds(ds: xr.Dataset, work: Work) -> xr.Dataset:
    """With the bounds of the times that are still there, and of new cells."""
    for name in list(ds.coords):
        bounds = str(ds[name].attrs.get("bounds", ds[name].encoding.get("bounds", "")))
        there = work.data.ds.variables.get(bounds)
        if there is None or bounds in ds or there.ndim != ds[name].ndim + 1:
            continue
        if all(ds.sizes.get(d, n) == n for d, n in there.sizes.items()):
            ds = ds.assign({bounds: there.load()})
    grid = None if work.regridder is None else work.regridder.target
    if grid is not None and grid.kind == "rectilinear" and not grid.planar:
        ds = with_cell_bounds(ds, grid)
    return ds


def with_cell_bounds(ds: xr.Dataset, grid: Grid) -> xr.Dataset:
    corners = grid.corners
    for axis, bounds in ((grid.lon, "lon_bnds"), (grid.lat, "lat_bnds")):
        ds = ds.assign({bounds: corners[bounds].variable})
        ds[axis.name].attrs["bounds"] = bounds
    return ds


def _scores(work: Work) -> dict[str, Any]:
    """What a product says of the assimilation it comes from."""
    if work.corrected is None:
        return {}
    numbers = work.corrected.observations.attrs
    found = {f"assimilation_{k}": v for k, v in numbers.items() if k.startswith(("n_", "innov", "resid", "reduced"))}
    if work.experiment is not None:
        found |= {f"experiment_{k}": v for k, v in work.experiment.numbers.items()}
    return found
