"""Which observations belong to which field, and whether both speak of the same units."""

from collections.abc import Hashable, Mapping

import numpy as np
import xarray as xr

from oceankit.observations.table import ObservationError

__all__ = ["agree", "by_variable", "same_units"]


def same_units(background: xr.DataArray, obs: xr.Dataset) -> None:
    """Refuse observations in other units than the background's, where both say theirs."""
    theirs, ours = obs["value"].attrs.get("units"), background.attrs.get("units")
    if theirs is not None and ours is not None and _unit(theirs) != _unit(ours):
        raise ObservationError(
            f"the observations are in {theirs!r} and the background {background.name!r} in {ours!r}; convert one of them"
        )


def agree(field: xr.DataArray, other: xr.DataArray) -> None:
    """Refuse two fields in different units, where both say theirs."""
    ours, theirs = field.attrs.get("units"), other.attrs.get("units")
    if ours is not None and theirs is not None and _unit(ours) != _unit(theirs):
        raise ObservationError(f"{field.name!r} is in {ours!r} and {other.name!r} in {theirs!r}; convert one of them")


def _unit(name: str) -> str:
    celsius = ("degc", "degreec", "degreesc", "celsius", "degreecelsius", "degreescelsius", "°c", "c")
    plain = str(name).strip().lower().replace("_", "").replace(" ", "")
    metres = ("m", "meter", "meters", "metre", "metres")
    families = {
        "degc": celsius,
        "k": ("k", "kelvin"),
        "m": metres,
        "1": ("1", "", "psu", "pss78", "0.001", "1e3", "g/kg", "gkg1"),
    }
    return next((family for family, names in families.items() if plain in names), str(name).strip())


def by_variable(fields: Mapping[Hashable, xr.DataArray], obs: xr.Dataset) -> dict[Hashable, xr.Dataset]:
    """The observations of each field, by its name or its standard name."""
    names = list(fields)
    if "variable" not in obs.variables:
        if len(names) == 1:
            return {names[0]: obs}
        raise ObservationError(
            f"the background has the fields {names}, so each observation must say which it belongs to: table(..., variable=...)"
        )
    kinds = obs["variable"].values.astype(str)
    out: dict[Hashable, xr.Dataset] = {}
    known = np.zeros(kinds.size, bool)
    for name in names:
        mine = np.isin(kinds, [str(name), str(fields[name].attrs.get("standard_name", name))])
        known |= mine
        if mine.any():
            out[name] = obs.isel(obs=np.flatnonzero(mine))
    if not known.all():
        raise ObservationError(
            f"observations of {sorted(set(kinds[~known].tolist()))} have no field in the background, which has {names}; "
            "drop them or rename their variable"
        )
    return out
