"""What can be wrong with `assimilate` before anything is computed: its keys, its ensemble, its observations."""

from typing import Any

import numpy as np
import xarray as xr

from oceankit.cli import experiment
from oceankit.cli._assimilation_schema import ASSIMILATE
from oceankit.cli._checking import Step
from oceankit.cli._choices import FILTERS, KEYS_OF_METHODS, NEEDED_BY_METHODS
from oceankit.cli._grid_checks import check_levels
from oceankit.cli._input_checks import check_input, missing
from oceankit.cli._nodes import Place
from oceankit.cli.inputs import Input, grid_of
from oceankit.cli.methods import method_of
from oceankit.cli.places import found
from oceankit.fields import Grid, coordinates

__all__ = ["check_assimilate"]

_KEYS: Place = ("assimilate",)
_OBSERVATIONS: Place = ("assimilate", "observations")


def check_assimilate(step: Step, data: Input | None, target: Grid | None) -> None:
    """All of it; ``data`` is the input on its levels, ``target`` the grid that it goes to, if it does."""
    spec = step.step["assimilate"]
    if spec is None:
        return
    known = step.clean(*_KEYS, "method")
    if known:
        _check_keys(step, spec)
        _check_members(step, spec, data)
    ensemble = _check_ensemble(step, spec, data) if known and spec["method"] == "ensemble_oi" else None
    if step.clean(*_KEYS) and (spec["method"] != "ensemble_oi" or ensemble is not None):
        step.attempt(_KEYS, lambda: method_of(spec, None if ensemble is None else ensemble.field))
    if data is not None and known:
        _check_axes(step, spec, data, target)
    observations = spec["observations"]
    if observations is None or not step.clean(*_OBSERVATIONS):
        return
    if observations["synthetic"] is None:
        columns = _check_tables(step, observations, data)
    else:
        _check_synthetic(step, observations["synthetic"], data)
        columns = {"lon", "lat"}
    if columns is not None and known:
        _check_columns(step, spec, columns)


def _check_keys(step: Step, spec: dict[str, Any]) -> None:
    """Keys of other methods, and those that this one needs."""
    method = spec["method"]
    for key, methods in KEYS_OF_METHODS.items():
        if step.given(*_KEYS, key) and method not in methods:
            step.wrong((*_KEYS, key), f"is for {_listed(methods)}, not for {method!r}; leave it out")
    for key, methods in NEEDED_BY_METHODS.items():
        if method in methods and not step.given(*_KEYS, key):
            step.wrong(_KEYS, f"{key!r} is missing, which {method!r} needs: {ASSIMILATE.keys[key].doc}")
    localization = spec["localization"]
    if method in KEYS_OF_METHODS["weight_grid"] and spec["weight_grid"] is not None and localization is None:
        step.wrong((*_KEYS, "weight_grid"), "needs a 'localization'; without one there is one transform for all places")
    if localization is not None and localization["kind"] == "boxcar" and step.given(*_KEYS, "localization", "taper_on"):
        step.wrong((*_KEYS, "localization", "taper_on"), "is for kind 'gaspari_cohn'; 'boxcar' tapers nothing")
    draws = method == "enkf" or spec["rotate"]
    if method in FILTERS and step.given(*_KEYS, "seed") and not draws:
        step.wrong((*_KEYS, "seed"), f"has nothing to draw: {method!r} draws with 'rotate: true' alone; leave it out")


def _listed(methods: tuple[str, ...]) -> str:
    return "the ensemble methods" if len(methods) > 3 else " and ".join(map(repr, methods))


def _check_members(step: Step, spec: dict[str, Any], data: Input | None) -> None:
    """Whether the input has members where they are wanted, and none where not."""
    if data is None:
        return
    method, field = spec["method"], data.field
    many = field.sizes.get("member", 0)
    if method in FILTERS:
        _check_many(step, ("input",), f"{method!r}", field)
        if many and field.dtype.kind != "f":
            step.wrong(("input", "variable"), f"holds {field.dtype} values; an analysis of members needs floats")
    elif many:
        step.wrong(
            (*_KEYS, "method"),
            f"{method!r} corrects one field, and {data.variable!r} has {many} members; choose one with 'select: {{member: 0}}', "
            f"or a method of {', '.join(FILTERS)}",
        )


def _check_many(step: Step, keys: Place, who: str, field: xr.DataArray) -> bool:
    many = field.sizes.get("member", 0)
    if not many:
        step.wrong(
            keys,
            f"{who} needs members, and {field.name!r} has the dimensions {', '.join(map(str, field.dims))}; say with 'members' "
            "along which they lie, or 'members: files'",
        )
    elif many < 2:
        step.wrong(keys, f"{who} needs at least two members, and {field.name!r} has {many}")
    return many >= 2


def _check_ensemble(step: Step, spec: dict[str, Any], data: Input | None) -> Input | None:
    """The static ensemble, if it fits the input."""
    keys: Place = (*_KEYS, "ensemble")
    if spec["ensemble"] is None or step.step["input"] is None or not step.clean(*keys):
        return None
    found = check_input(step, keys, experiment.ensemble_spec(step.step), static=True)
    ensemble = check_levels(step, found)
    if ensemble is None or not _check_many(step, keys, "a static ensemble", ensemble.field) or data is None:
        return None
    theirs, ours = ensemble.field.attrs.get("units"), data.field.attrs.get("units")
    if theirs != ours:
        step.wrong(keys, f"is in {theirs!r} and the input in {ours!r}; convert one of them")
        return None
    regridded: set[Any] = set()
    if step.step["regrid"] is not None:
        grid: Grid | None = step.attempt(keys, lambda: grid_of(ensemble))
        regridded = set() if grid is None else set(grid.dims)
    for dim in ensemble.field.dims:
        if dim == "member" or dim in regridded:
            continue
        many, wanted = ensemble.field.sizes[dim], data.field.sizes.get(dim)
        if many != wanted or not _same(ensemble.field, data.field, dim):
            has = f"{many} values of {dim!r}, and the input {'none' if wanted is None else wanted}"
            other = f"other values of {dim!r} than the input"
            step.wrong(keys, f"has {has if many != wanted else other}; use 'select', 'members' or 'regrid'")
            return None
    return ensemble


def _same(one: xr.DataArray, other: xr.DataArray, dim: Any) -> bool:
    if dim not in one.indexes or dim not in other.indexes or one[dim].dtype.kind not in "fiu":
        return True
    return bool(np.allclose(one[dim], other[dim], atol=1e-6))


def _check_axes(step: Step, spec: dict[str, Any], data: Input, target: Grid | None) -> None:
    """Depths and times that the field has or lacks, and the kind of grid."""
    depths = [n for n in coordinates.candidates(data.field, "vertical") if n in data.field.dims]
    if spec["method"] in NEEDED_BY_METHODS["length_scale"] and depths and spec["depth_scale"] is None:
        many = data.field.sizes[depths[0]]
        if many > 1:
            step.wrong(_KEYS, f"'depth_scale' is missing, and {depths[0]!r} has {many} values")
    kinds = {"depth": "vertical", "time": "time"}
    for place, name in _weighed(spec):
        if not coordinates.candidates(data.field, kinds[name]):  # type: ignore[arg-type]
            step.wrong(place, f"weighs by {name}, and {data.variable!r} has none; leave it out")
    if spec["weight_grid"] is not None and (step.step["regrid"] is None or target is not None):
        grid: Grid | None = target or step.attempt(("input", "variable"), lambda: grid_of(data))
        if grid is not None and grid.kind not in ("rectilinear", "curvilinear"):
            step.wrong((*_KEYS, "weight_grid"), f"needs a grid of rows and columns, and this is {grid!r}; leave it out")


def _weighed(spec: dict[str, Any]) -> list[tuple[Place, str]]:
    """Keys by which depths and times count, both of the field and of the observations."""
    places: list[tuple[Place, str]] = []
    if spec["method"] == "optimal_interpolation":
        places += [((*_KEYS, f"{n}_scale"), n) for n in ("depth", "time") if spec[f"{n}_scale"] is not None]
    elif spec["method"] != "three_d_var" and spec["localization"] is not None:
        places += [((*_KEYS, "localization", n), n) for n in ("depth", "time") if spec["localization"][n] is not None]
    return places


# ---- the observations -------------------------------------------------------------------------------------------------


def _check_tables(step: Step, spec: dict[str, Any], data: Input | None) -> set[str] | None:
    """The columns of the tables, if they can be read."""
    keys: Place = (*_OBSERVATIONS, "paths")
    gone = [missing(step, (*keys, n), path) for n, path in enumerate(spec["paths"])]
    if any(gone):
        return None
    names = [name for path in spec["paths"] for name in found(path, step.run.folder)]
    field = xr.DataArray(0.0) if data is None else data.field
    obs: xr.Dataset | None = step.attempt(keys, lambda: experiment.observed(names, spec["units"], field))
    return None if obs is None else {str(n) for n in obs.variables}


def _check_columns(step: Step, spec: dict[str, Any], columns: set[str]) -> None:
    """Times and depths that the observations are asked for."""
    asked = _weighed(spec)
    for key in ("thin", "superob"):
        given = spec["observations"][key]
        asked += [
            ((*_OBSERVATIONS, key, n), n) for n in ("depth", "time") if given is not None and given[n] is not None
        ]
    for place, name in asked:
        if name not in columns and step.clean(*place):
            step.wrong(place, f"asks for the {name} of the observations, which they do not have; leave it out")


def _check_synthetic(step: Step, spec: dict[str, Any], data: Input | None) -> None:
    keys: Place = (*_OBSERVATIONS, "synthetic")
    if spec["tracks"] is None and spec["points"] is None:
        step.wrong(keys, "has neither 'tracks' nor 'points'; give at least one of them")
    if data is None:
        return
    keys = (*keys, "truth")
    truth = check_levels(step, check_input(step, keys, experiment.truth_spec(step.step)))
    grid: Grid | None = None if truth is None else step.attempt(keys, lambda: grid_of(truth))
    if truth is None or grid is None:
        return
    many = {str(d): n for d, n in truth.field.sizes.items() if n > 1 and d not in grid.dims}
    if many:
        step.wrong(keys, f"has {many}; observations are drawn from one field: choose one with 'select'")
    theirs, ours = truth.field.attrs.get("units"), data.field.attrs.get("units")
    if theirs != ours:
        step.wrong(keys, f"is in {theirs!r} and the input in {ours!r}; convert one of them")
