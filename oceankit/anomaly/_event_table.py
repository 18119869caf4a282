"""Events as a Dataset: one entry per event, with the coordinates of its cell."""

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
import xarray as xr

from oceankit.anomaly._metrics import CATEGORIES, METRICS
from oceankit.anomaly._packing import ATTRIBUTES
from oceankit.fields.coordinates import describe

__all__ = ["cell_coordinates", "event_variables", "over"]

_OF = {"": "above the mean", "_relThresh": "above the threshold", "_abs": "itself"}
_WHAT = {
    "max": "greatest value {}",
    "mean": "mean value {}",
    "var": "standard deviation of the value {}",
    "cumulative": "sum over the event of the value {}",
}


def event_variables(
    metrics: Sequence[np.ndarray],
    cells: np.ndarray,
    times: np.ndarray,
    sign: float,
    units: str,
    step: str,
) -> dict[str, Any]:
    """Variables along ``event``, as xarray takes them.

    Parameters
    ----------
    metrics, sign
        As of :func:`oceankit.anomaly._metrics.metrics_of`.
    cells : (events,)
    times : (steps,)
        What the indices of the events count.
    units, step : str
        Units of the values, and what a step is called.
    """
    found = dict(zip(METRICS, metrics, strict=True))
    side = "above" if sign > 0 else "below"
    per = "day" if step == "days" else "step"
    meanings = {
        "start": f"first step {side} the threshold",
        "end": f"last step {side} the threshold",
        "peak": "step of the greatest departure from the mean",
    }
    out: dict[str, Any] = {name: (times[found[f"index_{name}"]], {"long_name": m}) for name, m in meanings.items()}

    def add(name: str, meaning: str, unit: str) -> None:
        out[name] = (found[name], {"long_name": meaning} | ({"units": unit.strip()} if unit.strip() else {}))

    add("duration", "from the first to the last step, both included", step)
    for n, name in enumerate(CATEGORIES, start=1):
        add(f"duration_{name}", f"steps of category {n} ({name})", step)
    add("days_missing", "steps without a value within the event", step)
    for kind, of in _OF.items():
        for what, meaning in _WHAT.items():
            unit = f"{units} {per}" if what == "cumulative" and units else units
            add(f"intensity_{what}{kind}", meaning.format(of.replace("above", side)), unit)
    add("rate_onset", "rate of the rise to the peak", f"{units} {per}-1" if units else "")
    add("rate_decline", "rate of the fall from the peak", f"{units} {per}-1" if units else "")
    add("category", "category of Hobday et al. (2018)", "1")
    out["category"][1].update({"flag_values": np.arange(1, 5), "flag_meanings": " ".join(CATEGORIES)})
    for name in meanings:
        add(f"index_{name}", f"position of the {name} along time", "1")
    out["cell"] = (cells, {"units": "1"})
    return {name: ("event", *parts) for name, parts in out.items()}


def over(dims: tuple[Hashable, ...]) -> str:
    """What a flat index counts over, for a description."""
    return f" over {', '.join(map(str, dims))}" if dims else ""


def cell_coordinates(field: xr.DataArray, dim: Hashable, cell: np.ndarray, taken: set[str]) -> dict[Hashable, Any]:
    """Coordinates of the cells along ``event``; a dimension without coordinate gives its positions."""
    dims = field.dims[:-1]
    at = dict(zip(dims, np.unravel_index(cell, field.shape[:-1]) if dims else (), strict=True))
    found: dict[Hashable, Any] = {d: ("event", at[d]) for d in dims if d not in field.coords}
    for name, coordinate in field.coords.items():
        if dim in coordinate.dims:
            continue
        picked = coordinate.values[tuple(at[d] for d in coordinate.dims)]
        attrs = {key: value for key, value in coordinate.attrs.items() if key not in ATTRIBUTES}
        found[name] = ("event" if coordinate.dims else (), picked, attrs)
    clashes = sorted(str(n) for n in found if n in taken)
    if clashes:
        raise ValueError(f"{describe(field)} has coordinates named {clashes}, which the events need: rename them")
    return found
