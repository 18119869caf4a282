"""A fitted forecaster as arrays and JSON, and back."""

import os
from typing import Any

import numpy as np
import torch
import xarray as xr

from oceankit._version import __version__
from oceankit.forecast._arrays import read_arrays, write_arrays
from oceankit.forecast._events import Threshold
from oceankit.forecast._forcings import Forcings
from oceankit.forecast._linear import Eofs
from oceankit.forecast._record import Layout
from oceankit.forecast._season import Season
from oceankit.forecast._spread import Spread
from oceankit.forecast._steps import Axis, Step
from oceankit.forecast.forecaster import Forecaster
from oceankit.forecast.network import Corrector
from oceankit.forecast.training import Settings

__all__ = ["load", "save"]


def save(model: Forecaster, path: str | os.PathLike[str], *, card: dict[str, Any] | None = None) -> None:
    """Write ``model`` to ``path``; ``card`` is kept in the header."""
    layout, axis = model._layout, model._axis
    assert layout is not None
    assert axis is not None
    arrays: dict[str, np.ndarray] = {
        "season": model._season.table,
        "memory": model._memory,
        "scale": model._scale,
        "threshold": model._threshold.table,
        "shares": model._shares,
        "calibration": model._calibration,
        "inputs.middle": model._inputs.middle,
        "inputs.width": model._inputs.width,
    }
    chain = model._chain
    for lead in model.leads:
        arrays[f"spread.{lead}"], arrays[f"wide.{lead}"] = model._spreads[lead].table, model._wide[lead].table
        arrays[f"chain.factors.{lead}"] = chain.factors[lead]
        if not chain.local:
            arrays[f"chain.slopes.{lead}"] = chain.slopes[lead]
    if not chain.local:
        arrays |= {"chain.patterns": chain.eofs.patterns, "chain.scale": chain.eofs.scale}
        arrays |= {"chain.root": chain.eofs.root, "chain.step": chain._step}
    for k, net in enumerate(model._nets):
        arrays |= {f"net.{k}.{name}": value.detach().numpy() for name, value in net.state_dict().items()}
    header: dict[str, Any] = {
        "oceankit": __version__,
        "model": model._settings(),
        "layout": _layout_out(layout, "layout", arrays),
        "step": [axis.step.unit, axis.step.count],
        "calendar": axis.calendar,
        "share": [float(chain.share.get(lead, 0.0)) for lead in model.leads],
        "penalty": [list(chain.penalty.get(lead, ())) for lead in model.leads],
        "nets": len(model._nets),
        "inputs": len(model._inputs.middle),
        "local": model._inputs.local,
        "forcings": None,
        "card": card or {},
    }
    if model._forcings is not None:
        header["forcings"] = _forcings_out(model._forcings, arrays)
    write_arrays(path, arrays, header)


def load(path: str | os.PathLike[str]) -> Forecaster:
    """Read what :func:`save` wrote."""
    arrays, header = read_arrays(path)
    try:
        return _build(arrays, header)
    except (KeyError, TypeError, RuntimeError) as error:
        raise ValueError(
            f"{path} lacks a part of a forecaster ({error}); it was not written by Forecaster.save"
        ) from error


def _build(arrays: dict[str, np.ndarray], header: dict[str, Any]) -> Forecaster:
    said = dict(header["model"])
    settings = Settings(**{**said.pop("settings"), "device": "cpu"})
    model = Forecaster(**said, seed=settings.seed, epochs=settings.epochs, width=settings.width)
    model.settings = settings
    model.card = header["card"]
    step = Step(*header["step"])
    layout = _layout_in(header["layout"], "layout", arrays)
    axis = Axis(np.empty(0, dtype="datetime64[ns]"), np.empty(0, dtype=np.int64), step, header["calendar"])
    model._start(layout, axis)
    model._season, model._memory, model._scale = Season(arrays["season"], step), arrays["memory"], arrays["scale"]
    model._threshold = Threshold(arrays["threshold"], step)
    model._shares, model._calibration = arrays["shares"], arrays["calibration"]
    model._inputs.middle, model._inputs.width = arrays["inputs.middle"], arrays["inputs.width"]
    model._spreads = {lead: Spread(arrays[f"spread.{lead}"], step) for lead in model.leads}
    model._wide = {lead: Spread(arrays[f"wide.{lead}"], step) for lead in model.leads}
    chain = model._chain
    chain.factors = {lead: arrays[f"chain.factors.{lead}"] for lead in model.leads}
    chain.share = dict(zip(model.leads, header["share"], strict=True))
    chain.penalty = {lead: tuple(p) for lead, p in zip(model.leads, header["penalty"], strict=True)}
    if not chain.local:
        chain.eofs = Eofs(arrays["chain.patterns"], arrays["chain.scale"], arrays["chain.root"])
        chain._step = arrays["chain.step"]
        chain.slopes = {lead: arrays[f"chain.slopes.{lead}"] for lead in model.leads}
    model._forcings = None if header["forcings"] is None else _forcings_in(header["forcings"], arrays, step)
    if model._forcings is not None:
        model._inputs.forcings = model._forcings.names
    model._nets = []
    for k in range(header["nets"]):
        net = Corrector(header["inputs"], len(model.leads), width=settings.width, dropout=settings.dropout)
        prefix = f"net.{k}."
        net.load_state_dict(
            {n.removeprefix(prefix): torch.from_numpy(np.array(a)) for n, a in arrays.items() if n.startswith(prefix)}
        )
        model._nets.append(net.eval())
    return model


def _layout_out(layout: Layout, name: str, arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    arrays[f"{name}.sea"], arrays[f"{name}.weights"] = layout.sea, layout.weights
    coords: dict[str, Any] = {}
    for key, coord in layout.coords.items():
        entry: dict[str, Any] = {"dims": [str(d) for d in coord.dims], "attrs": _plain(coord.attrs)}
        if coord.dtype.kind in "fiub":
            arrays[f"{name}.coord.{key}"] = coord.values
        else:
            entry["values"] = np.asarray(coord.values).astype(str).tolist()
        coords[str(key)] = entry
    return {
        "name": layout.name,
        "dims": [str(d) for d in layout.dims],
        "shape": list(layout.shape),
        "attrs": _plain(layout.attrs),
        "time": layout.time,
        "coords": coords,
    }


def _layout_in(said: dict[str, Any], name: str, arrays: dict[str, np.ndarray]) -> Layout:
    coords = {}
    for key, entry in said["coords"].items():
        values = np.asarray(entry["values"]) if "values" in entry else arrays[f"{name}.coord.{key}"]
        dims = tuple(entry["dims"])
        coords[key] = xr.DataArray(values, dims=dims, attrs=entry["attrs"], name=key)
        if dims == (key,):
            coords[key] = coords[key].assign_coords({key: coords[key]})
    return Layout(
        said["name"],
        tuple(said["dims"]),
        tuple(said["shape"]),
        coords,
        arrays[f"{name}.sea"],
        arrays[f"{name}.weights"],
        said["attrs"],
        said["time"],
    )


def _forcings_out(forcings: Forcings, arrays: dict[str, np.ndarray]) -> list[dict[str, Any]]:
    out = []
    for i, name in enumerate(forcings.names):
        arrays[f"forcing.{i}.season"] = forcings.seasons[i].table
        arrays[f"forcing.{i}.scale"] = forcings.scales[i]
        arrays[f"forcing.{i}.memory"] = forcings.memories[i]
        out.append({"name": name, "layout": _layout_out(forcings.layouts[i], f"forcing.{i}", arrays)})
    return out


def _forcings_in(said: list[dict[str, Any]], arrays: dict[str, np.ndarray], step: Step) -> Forcings:
    many = range(len(said))
    return Forcings(
        tuple(entry["name"] for entry in said),
        tuple(Season(arrays[f"forcing.{i}.season"], step) for i in many),
        tuple(arrays[f"forcing.{i}.scale"] for i in many),
        tuple(arrays[f"forcing.{i}.memory"] for i in many),
        tuple(_layout_in(said[i]["layout"], f"forcing.{i}", arrays) for i in many),
    )


def _plain(attrs: dict[str, Any]) -> dict[str, Any]:
    return {str(k): v if isinstance(v, str | int | float | bool) else str(v) for k, v in attrs.items()}
