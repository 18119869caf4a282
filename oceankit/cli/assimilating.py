"""The stage `assimilate`: from the field, or its members, and observations to the analysis."""

from typing import Any

import numpy as np
import xarray as xr

from oceankit.assimilation.diagnostics import residuals
from oceankit.cli import experiment as experiments
from oceankit.cli._choices import FILTERS
from oceankit.cli.gridding import on_levels, options_of
from oceankit.cli.inputs import Input, grid_of, opened
from oceankit.cli.members import mean_of, spread_of, tiled
from oceankit.cli.methods import method_of
from oceankit.cli.places import found
from oceankit.cli.screening import counted, screened
from oceankit.cli.words import label_of, when_text
from oceankit.cli.work import Corrected, Work
from oceankit.observations import operators
from oceankit.regridding import Regridder

__all__ = ["assimilate", "completed"]

# What is said of each place.
_MAPS = ("n_local", "dfs", "srf", "n_bounded")
_COLUMNS = ("innovation", "residual", "status")
_OF_MEMBERS = ("spread", "hx")


def assimilate(work: Work) -> str:
    """Correct the field by observations."""
    spec = work.step["assimilate"]
    background, static = work.result, None
    if spec["method"] in FILTERS:
        background = tiled(background)
    elif spec["method"] == "ensemble_oi":
        static = _static(work)
    offered, experiment = _offered(work, background)
    observations, counts = screened(offered, spec["observations"], background, _background_error(spec, static, offered))
    if experiment is not None:
        experiment.used = observations
    analysis, said = method_of(spec, static).assimilate(background, observations)
    table = said.drop_dims([d for d in said.dims if d not in ("obs", "member")])
    names = (*_COLUMNS, *_OF_MEMBERS) if "hx" in table else _COLUMNS
    columns = {n: (table[n].dims, table[n].values, table[n].attrs) for n in names if n in table}
    observations = observations.assign(columns)
    numbers = {str(n): v for n, v in said.data_vars.items() if v.ndim == 0 and n not in _MAPS}
    observations.attrs |= {n: v.item() for n, v in numbers.items()} | counts
    maps = {n: said[n] for n in _MAPS if n in said}
    work.corrected = _corrected(work, background, analysis, said, maps)
    work.corrected.observations, work.corrected.table = observations, table
    work.corrected.experiment = experiment
    if static is not None:
        work.corrected.members = static.sizes["member"]
    if experiment is not None:
        return "; ".join([_score(work, work.corrected, experiment), *counted(counts)])
    told = [
        f"{observations.attrs['n_used']} of {offered.sizes['obs']} observations",
        *_left(observations.attrs, counts),
    ]
    if "iteration" in said.dims:
        told.append(f"the minimum after {said.sizes['iteration'] - 1} iterations")
    return "; ".join(told)


def _left(numbers: dict[str, Any], counts: dict[str, int]) -> list[str]:
    """What became of the observations that were not used, in words."""
    flagged = {} if counts else {"n_flagged_before": numbers["n_flagged"]}
    left = {"n_outside": "outside the field", "n_duplicate": "the same as an earlier one"}
    return [*counted(counts or flagged), *(f"{numbers[n]} {text}" for n, text in left.items() if numbers[n])]


# ---- what goes in -----------------------------------------------------------------------------------------------------


def _offered(work: Work, background: xr.DataArray) -> tuple[xr.Dataset, experiments.Experiment | None]:
    """The observations, and the experiment they are from, if they are."""
    spec = work.step["assimilate"]["observations"]
    if spec["synthetic"] is not None:
        experiment = experiments.sampled(*_truth(work), spec["synthetic"])
        return experiment.used, experiment
    paths = [name for path in spec["paths"] for name in found(path, work.folder)]
    work.sources += paths
    return experiments.observed(paths, spec["units"], background), None


def _background_error(spec: dict[str, Any], static: xr.DataArray | None, obs: xr.Dataset) -> Any:
    """For the background check; None: the spread of the members."""
    if static is None or spec["observations"]["background_check"] is None:
        return spec["background_error_std"]
    there = operators.Interp()(static, obs)
    return there.astype(np.float64).std("member", skipna=False, ddof=1).compute() * np.sqrt(spec["scale"])


def _static(work: Work) -> xr.DataArray:
    """The static ensemble on the grid of the background."""
    spec = experiments.ensemble_spec(work.step)
    data = _added(work, opened(spec, work.folder, tiles=work.regridder is None, static=True))
    return tiled(_on_target(work, data)).rename(work.result.name)


def _truth(work: Work) -> tuple[xr.DataArray, str]:
    """The field that stands for the ocean, on the grid of the background, and its date in words."""
    data = _added(work, opened(experiments.truth_spec(work.step), work.folder))
    many = {str(d): n for d, n in data.field.sizes.items() if n > 1 and d not in grid_of(data).dims}
    if many:
        raise ValueError(f"the truth has {many}; observations are drawn from one field: choose one in truth.select")
    return _on_target(work, data), when_text(data.field, data.cadence) or label_of(data.field)


def _added(work: Work, data: Input) -> Input:
    """Another input, on the depths of the first and among the sources."""
    if work.step["levels"] is not None:
        data = on_levels(data, work.step["levels"])
    work.sources += [s for s in data.sources if s not in work.sources]
    return data


def _on_target(work: Work, data: Input) -> xr.DataArray:
    if work.regridder is None:
        return data.field
    same, source = grid_of(data), work.regridder.source
    if same.dims == source.dims and same.lon.equals(source.lon) and same.lat.equals(source.lat):
        return work.regridder(data.field)
    spec = work.step["regrid"]
    other = Regridder(same, work.regridder.target, spec["method"], **options_of(spec))
    return other(data.field)


# ---- what comes out ---------------------------------------------------------------------------------------------------


def _corrected(
    work: Work, background: xr.DataArray, analysis: xr.DataArray, said: xr.Dataset, maps: dict[str, xr.DataArray]
) -> Corrected:
    """The analysis as the result, and what goes with it."""
    name = work.step["assimilate"]["method"]
    if name in FILTERS:
        if work.keep is not None:
            # Once they are written they are read back, and nothing is analysed twice.
            stored = work.keep(xr.Dataset({str(analysis.name): analysis, **maps}))
            analysis, maps = stored[str(analysis.name)], {n: stored[n] for n in maps}
        before, work.result = mean_of(background), mean_of(analysis)
        error = _described(spread_of(analysis), background, "spread of the analysis of")
        out = Corrected(before, _increments(work.result, before), error, maps)
        out.members = background.sizes["member"]
        return out
    work.result = analysis
    increments = said["increments"] if "increments" in said else _increments(analysis, background)
    error_std = None
    if "analysis_error_variance" in said:
        # Rounding may leave a variance of nothing a hair below zero.
        error_std = (said["analysis_error_variance"].clip(min=0) ** 0.5).astype(background.dtype)
        error_std = _described(error_std, background, "standard deviation of the analysis error of")
    return Corrected(background, increments, error_std, maps)


def _increments(analysis: xr.DataArray, background: xr.DataArray) -> xr.DataArray:
    out = analysis - background
    out.attrs = {"long_name": f"analysis increment of {label_of(background).lower()}"}
    out.attrs |= {k: v for k, v in background.attrs.items() if k == "units"}
    return out.rename("increments")


def _described(error: xr.DataArray, background: xr.DataArray, words: str) -> xr.DataArray:
    error.attrs = {"long_name": f"{words} {label_of(background).lower()}"}
    error.attrs |= {k: v for k, v in background.attrs.items() if k == "units"}
    if "standard_name" in background.attrs:
        error.attrs["standard_name"] = f"{background.attrs['standard_name']} standard_error"
    return error


def _score(work: Work, corrected: Corrected, experiment: experiments.Experiment) -> str:
    """Hold the analysis against the truth; both are kept in memory, as the product needs them next."""
    names = [n for n in ("background", "increments", "error_std") if getattr(corrected, n) is not None]
    parts = {"result": work.result, **{n: getattr(corrected, n) for n in names}}
    loaded = xr.Dataset({**parts, **corrected.maps}).load()
    work.result = loaded["result"].rename(work.result.name)
    for name in names:
        setattr(corrected, name, loaded[name].rename(getattr(corrected, name).name))
    corrected.maps = {n: loaded[n] for n in corrected.maps}
    experiment.truth = experiment.truth.load()
    numbers = experiments.scores(experiment, corrected.background, work.result, corrected.error_std)
    experiment.numbers = numbers
    return (
        f"{experiment.used.sizes['obs']} synthetic observations; rmse at {numbers['n_withheld']:.0f} withheld positions: "
        f"background {numbers['rmse_background']:.3f}, analysis {numbers['rmse_analysis']:.3f}"
    )


def completed(work: Work) -> Corrected:
    """What the assimilation brought, with residuals: they ask for the analysis, which may have been written by now."""
    corrected = work.corrected
    assert corrected is not None  # the run file was checked
    if "residual" not in corrected.table.variables:
        table = residuals(corrected.table, work.shown("field"))
        column = table["residual"]
        used = column.values[table["status"].values == 0]
        corrected.table = table
        corrected.observations = corrected.observations.assign(residual=("obs", column.values, column.attrs))
        corrected.observations.attrs["residual_rms"] = float(np.sqrt((used**2).mean()))
    return corrected
