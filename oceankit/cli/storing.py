"""From the work of a step to its product on disk, described so that others can use it."""

from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from oceankit import fields
from oceankit.cli.words import label_of
from oceankit.cli.work import Corrected, Work
from oceankit.fields import Grid, open_fields

__all__ = [
    "metadata_of",
    "with_cell_bounds",
    "write_days",
    "write_forecast",
    "write_heatwaves",
    "write_members",
    "write_observations",
    "write_product",
]


def write_product(work: Work, path: Path, metadata: dict[str, Any], *, there: bool = False) -> None:
    """Write the result of a step, unless it is ``there`` already, and go on with what is on disk: figures compute nothing
    twice.
    """
    ds, names = _assembled(work)
    if not there:
        ds.attrs.update(_scores(work))
        if work.status:
            ds.attrs["data_status"] = work.status
        _write(ds, path, metadata=metadata, inputs=work.sources, options=_options(work))
    stored = open_fields(path)
    for (owner, attribute), name in names.items():
        if owner == "maps":
            assert work.corrected is not None  # they are its
            work.corrected.maps[attribute] = stored[name]
        else:
            setattr(getattr(work, owner) if owner else work, attribute, stored[name])


def _write(ds: xr.Dataset, path: Path, **how: Any) -> None:
    """Write; what is lazy tile by tile, so that a run that is cut off goes on with the tiles that are missing."""
    lazy = any(v.chunks is not None for v in ds.data_vars.values())
    fields.write(ds.unify_chunks() if lazy else ds, path, resume=lazy, **how)


def write_members(
    work: Work, members: xr.Dataset, path: Path, common: dict[str, Any], *, there: bool = False
) -> xr.Dataset:
    """Write the members of an analysis with what is said of each place, unless they are ``there``; returns what is on disk,
    lazily.
    """
    field = members[work.data.variable]
    described = field.assign_attrs(long_name=f"members of the analysis of {label_of(field).lower()}")
    ds = _with_bounds(members.assign({work.data.variable: described}), work)
    ds.attrs = {"data_status": work.status} if work.status else {}
    metadata = metadata_of(work, common)
    metadata["title"] = f"{metadata['title']}: members of the analysis"
    if not there:
        _write(ds, path, metadata=metadata, inputs=work.sources, options=_options(work))
    stored = open_fields(path)
    # On the grid's own chunks, whatever those of the file are.
    stored[work.data.variable].attrs["long_name"] = label_of(field)
    return stored


def _options(work: Work) -> dict[str, Any]:
    """How it was made."""
    return {k: v for k, v in work.step.items() if k not in ("metadata", "figure", "bulletin") and v is not None}


def write_observations(work: Work, corrected: Corrected, path: Path, metadata: dict[str, Any]) -> None:
    """Write the observations with what became of them; of an experiment also those withheld."""
    obs = corrected.observations
    if corrected.experiment is not None:
        obs = _with_withheld(obs, corrected.experiment.withheld)
    if work.status:
        obs.attrs["data_status"] = work.status
    fields.write(obs, path, metadata={**metadata, "title": f"{metadata['title']}: observations"}, inputs=work.sources)


def write_heatwaves(work: Work, path: Path, metadata: dict[str, Any]) -> None:
    """Write the heatwaves of a step, one entry each."""
    assert work.heatwaves is not None  # the key lies under 'heatwaves'
    events = work.heatwaves.events.copy()
    kind = str(events.attrs["kind"])
    if work.status:
        events.attrs["data_status"] = work.status
    said = {**metadata, "title": f"{metadata['title']}: {kind}"}
    fields.write(events, path, metadata=said, inputs=work.sources, options=_options(work))


def write_forecast(work: Work, key: str, path: Path, metadata: dict[str, Any]) -> None:
    """Write what ``key`` of `forecast` asks for: the forecast, those of the past, their scores, or the model."""
    made = work.forecasts
    assert made is not None  # the key lies under 'forecast'
    if key == "save_model":
        made.model.save(path)
        return
    what = {"save": "forecast", "save_hindcast": "hindcast", "save_scores": "scores"}[key]
    ds: xr.Dataset = _with_bounds(getattr(made, what).copy(), work)
    if work.status:
        ds.attrs["data_status"] = work.status
    said = {**metadata, "title": f"{metadata['title']}: {what}"}
    if what == "scores":  # which lie along leads, not along time
        said.pop("time_coverage_resolution", None)
    fields.write(ds, path, metadata=said, inputs=work.sources, options=_options(work))


def write_days(work: Work, path: Path, metadata: dict[str, Any], *, there: bool = False) -> None:
    """Write the category of each day, unless it is ``there``, and go on with what is on disk."""
    assert work.heatwaves is not None  # the key lies under 'heatwaves'
    days = work.heatwaves.days
    ds = _with_bounds(days.to_dataset(), work)
    ds.attrs = {"data_status": work.status} if work.status else {}
    said = {**metadata, "title": f"{metadata['title']}: {days.attrs['long_name']}"}
    if not there:
        _write(ds, path, metadata=said, inputs=work.sources, options=_options(work))
    work.heatwaves.days = open_fields(path)[str(days.name)]


def _with_withheld(used: xr.Dataset, withheld: xr.Dataset) -> xr.Dataset:
    """Both in one table, told apart."""
    others = withheld.assign(status=("obs", np.full(withheld.sizes["obs"], -1, np.int8)))
    both = (_with_columns(used, others), _with_columns(others, used))
    obs = xr.concat(
        [p.assign(withheld=("obs", np.full(p.sizes["obs"], k, np.int8))) for k, p in enumerate(both)],
        "obs",
        combine_attrs="override",
    )
    obs["withheld"].attrs = {
        "long_name": "whether the observation was kept from the analysis",
        "flag_values": np.array([0, 1], np.int8), "flag_meanings": "assimilated withheld",
    }  # fmt: skip
    obs["status"].attrs |= {
        "flag_values": np.array([-1, 0, 1, 2, 3], np.int8),
        "flag_meanings": "not_offered used outside_the_background rejected_by_quality_flag same_as_an_earlier_one",
    }
    obs["truth"].attrs = obs["value"].attrs | {"long_name": "value without error"}
    return obs


def _with_columns(table: xr.Dataset, other: xr.Dataset) -> xr.Dataset:
    """With the columns that another table has and this one lacks, empty."""
    empty: dict[str, tuple[Any, Any, dict[Any, Any]]] = {}
    for name, column in other.data_vars.items():
        if name not in table:
            shape = tuple(table.sizes["obs"] if d == "obs" else n for d, n in column.sizes.items())
            nothing = {"f": np.nan, "i": -1, "u": 0}.get(column.dtype.kind, "")
            empty[str(name)] = (column.dims, np.full(shape, nothing, column.dtype), dict(column.attrs))
    return table.assign(empty)


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
        if work.heatwaves is not None:
            more[f"{variable}_threshold"] = work.departure.clim["threshold"]
    if work.corrected is not None:
        owner = ("", "result") if work.departure is None else ("departure", "whole")
        found[owner] = _renamed(found[owner], variable, "analysis of ")
        found["corrected", "background"] = _renamed(
            work.corrected.background, f"{variable}_background", "background of "
        )
        found["corrected", "increments"] = work.corrected.increments.rename(f"{variable}_increments")
        if work.corrected.error_std is not None:
            found["corrected", "error_std"] = work.corrected.error_std.rename(f"{variable}_analysis_error_std")
        found |= {("maps", n): v.rename(f"{variable}_{n}") for n, v in work.corrected.maps.items()}
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
