"""The stages that compute: each takes the work of a step so far and adds to it, lazily."""

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from oceankit.anomaly import anomalies, climatology, spells
from oceankit.assimilation import OptimalInterpolation
from oceankit.cli import experiment as experiments
from oceankit.cli.inputs import Input, grid_of, opened, target_grid
from oceankit.cli.places import found
from oceankit.cli.words import label_of, when_text
from oceankit.fields import Grid, coordinates
from oceankit.regridding import Regridder

__all__ = ["COMPUTING", "Work", "interpolation", "normal_of"]


@dataclass
class Work:
    """A step on its way: the result so far and what was found while making it."""

    step: dict[str, Any]
    folder: Path
    """Of the run file."""
    data: Input | None = None
    result: xr.DataArray | None = None
    regridder: Regridder | None = None
    background: xr.DataArray | None = None
    increments: xr.DataArray | None = None
    error_std: xr.DataArray | None = None
    observations: xr.Dataset | None = None
    """Those assimilated, with innovation and residual."""
    experiment: experiments.Experiment | None = None
    clim: xr.Dataset | None = None
    whole: xr.DataArray | None = None
    """The field whose anomalies are the result."""
    series: xr.DataArray | None = None
    events: xr.Dataset | None = None
    sources: list[str] = field(default_factory=list)
    figures: list[tuple[Path, str]] = field(default_factory=list)

    @property
    def title(self) -> str:
        """What the step is called in print."""
        return str(self.step["title"] or self.step["name"])

    @property
    def status(self) -> str:
        """What is real, in words; empty where the run file does not say."""
        real = self.step["input"]["real"]
        base = {True: "real", False: "SYNTHETIC", None: ""}[real]
        if self.experiment is None:
            return base
        return ", ".join(w for w in (f"{base} fields" if base else "", experiments.STAMP) if w)

    @property
    def stamp(self) -> str | None:
        """The warning on figures and bulletins."""
        if self.step["input"]["real"] is False:
            return "SYNTHETIC DATA"
        return experiments.STAMP if self.experiment is not None else None

    def shown(self, name: str | None) -> xr.DataArray:
        """A field by the name that figures use."""
        named = {
            None: self.result,
            "field": self.result if self.clim is None else self.whole,
            "background": self.background,
            "increments": self.increments,
            "error_std": self.error_std,
            "anomaly": self.result if self.clim is not None else None,
        }[name]
        assert named is not None  # the run file was checked
        return named


# ---- the stages -------------------------------------------------------------------------------------------------------


def open_input(work: Work) -> str:
    """Open the field."""
    work.data = opened(work.step["input"], work.folder)
    work.sources += work.data.sources
    work.result = work.data.field
    files = len(work.data.sources)
    units = f", {work.result.attrs['units']}" if "units" in work.result.attrs else ""
    return f"{work.result.name} ({_sizes(work.result)}{units}) from {files} file{'s' * (files != 1)}"


def regrid(work: Work) -> str:
    """Put the field on the target grid."""
    spec = work.step["regrid"]
    assert work.data is not None and work.result is not None
    target = target_grid(spec["to"], work.folder)
    if spec["to"]["like"] is not None:
        work.sources += found(spec["to"]["like"], work.folder)
    work.regridder = _regridder(work.data, target, spec)
    work.result = _restful(work.regridder(work.result))
    source = work.regridder.source
    return f"{spec['method']}, {source.kind} {_shape(source)} to {target.kind} {_shape(target)}"


def _regridder(data: Input, target: Grid, spec: dict[str, Any]) -> Regridder:
    options = {"skipna": spec["skipna"], "min_coverage": spec["min_coverage"], "edges": spec["edges"]}
    return Regridder(grid_of(data), target, spec["method"], **options)


def _restful(regridded: xr.DataArray) -> xr.DataArray:
    """Without the scalar and auxiliary coordinates of the old cells; each is lazy no longer."""
    return regridded.assign_coords({n: c.load() for n, c in regridded.coords.items() if c.chunks is not None})


def assimilate(work: Work) -> str:
    """Correct the field by observations."""
    spec = work.step["assimilate"]
    assert work.result is not None
    work.background = work.result
    if spec["observations"]["synthetic"] is not None:
        work.experiment = experiments.sampled(*_truth(work), spec["observations"]["synthetic"])
        observations = work.experiment.used
    else:
        paths = [name for path in spec["observations"]["paths"] for name in found(path, work.folder)]
        work.sources += paths
        observations = experiments.observed(paths, spec["observations"]["units"])
    method = interpolation(spec)
    analysis, diagnostics = method.assimilate(work.background, observations)
    work.increments = diagnostics["increments"]
    variance = diagnostics["analysis_error_variance"]
    # Rounding may leave a variance of nothing a hair below zero.
    work.error_std = np.sqrt(variance.clip(min=0)).astype(analysis.dtype)
    work.error_std.attrs = {
        "long_name": f"analysis error standard deviation of {label_of(work.background)}",
        **{k: v for k, v in work.background.attrs.items() if k == "units"},
    }
    if "standard_name" in work.background.attrs:
        work.error_std.attrs["standard_name"] = f"{work.background.attrs['standard_name']} standard_error"
    work.result = analysis
    columns = {n: ("obs", diagnostics[n].values, diagnostics[n].attrs) for n in ("innovation", "residual", "status")}
    work.observations = observations.assign(columns)
    work.observations.attrs |= {
        k: diagnostics[k].item() for k in diagnostics.data_vars if diagnostics[k].ndim == 0 and k != "status"
    }
    if work.experiment is not None:
        return _score(work)
    return f"{work.observations.attrs['n_used']} of {observations.sizes['obs']} observations"


def interpolation(spec: dict[str, Any]) -> OptimalInterpolation:
    """The method that `assimilate` describes."""
    options = ("background_error_std", "length_scale", "depth_scale", "time_scale", "covariance", "n_nearest")
    return OptimalInterpolation(**{k: spec[k] for k in options})


def _truth(work: Work) -> tuple[xr.DataArray, str]:
    """The field that stands for the ocean, on the grid of the background, and its date in words."""
    truth_spec = work.step["assimilate"]["observations"]["synthetic"]["truth"]
    spec = work.step["input"] | {k: v for k, v in truth_spec.items() if k != "select" and v is not None}
    data = opened(spec | {"select": truth_spec["select"]}, work.folder)
    work.sources += [s for s in data.sources if s not in work.sources]
    many = {str(d): n for d, n in data.field.sizes.items() if n > 1 and d not in grid_of(data).dims}
    if many:
        raise ValueError(f"the truth has {many}; observations are drawn from one field: choose one in truth.select")
    when = when_text(data.field, data.cadence) or label_of(data.field)
    if work.regridder is None:
        return data.field, when
    same = grid_of(data)
    source = work.regridder.source
    if same.dims == source.dims and same.lon.equals(source.lon) and same.lat.equals(source.lat):
        return work.regridder(data.field), when
    return _regridder(data, work.regridder.target, work.step["regrid"])(data.field), when


def _score(work: Work) -> str:
    """Hold the analysis against the truth; it is kept in memory, as the product needs it next."""
    assert work.experiment is not None and work.background is not None and work.result is not None
    assert work.increments is not None and work.error_std is not None
    parts = xr.Dataset({"a": work.result, "i": work.increments, "e": work.error_std, "b": work.background}).load()
    for name, key in (("result", "a"), ("increments", "i"), ("error_std", "e"), ("background", "b")):
        setattr(work, name, parts[key].rename(getattr(work, name).name))
    work.experiment.truth = work.experiment.truth.load()
    numbers = experiments.scores(work.experiment, work.background, work.result, work.error_std)
    work.experiment.numbers = numbers
    return (
        f"{work.experiment.used.sizes['obs']} synthetic observations; rmse at {numbers['n_withheld']} withheld positions: "
        f"background {numbers['rmse_background']:.3f}, analysis {numbers['rmse_analysis']:.3f}"
    )


def depart(work: Work) -> str:
    """Anomalies of the field from its own climatology."""
    spec = work.step["anomalies"]
    assert work.result is not None
    work.whole = _in_one_piece(work.result)
    work.clim = normal_of(work.whole, spec)
    departure = anomalies(work.whole, work.clim)
    assert isinstance(departure, xr.DataArray)
    work.result = departure
    return f"from the field's own mean by {spec['by']}, {work.clim.attrs['period'].replace('/', ' to ')}"


def normal_of(whole: xr.DataArray, spec: dict[str, Any]) -> xr.Dataset:
    """The climatology that `anomalies` describes, of the field itself."""
    options = {k: spec[k] for k in ("half_window", "smooth") if spec[k] is not None}
    return climatology(
        _in_one_piece(whole), period=tuple(spec["period"]), by=spec["by"], percentile=spec["percentile"], **options
    )


def _in_one_piece(whole: xr.DataArray) -> xr.DataArray:
    """Time in one chunk, cells in several, as climatologies need them."""
    if whole.chunks is None:
        return whole
    time = coordinates.find(whole, "time").dims[0]
    return whole.chunk({time: -1, **{d: "auto" for d in whole.dims if d != time}})


def find_events(work: Work) -> str:
    """Warm and cold spells of the mean over a box."""
    spec = work.step["events"]
    assert work.result is not None
    work.series = box_mean(work.result, spec["box"]).load()
    parts = []
    for limit, cold in ((spec["above"], False), (spec["below"], True)):
        if limit is None:
            continue
        condition = (work.series < limit) if cold else (work.series > limit)
        part = spells(
            condition, min_duration=spec["min_duration"], max_gap=spec["max_gap"], values=work.series, cold=cold
        )
        kind = xr.DataArray(np.full(part.sizes["event"], -1 if cold else 1, np.int8), dims="event")
        kind.attrs = {
            "long_name": "kind of event", "flag_values": np.array([-1, 1], np.int8), "flag_meanings": "cold warm",
        }  # fmt: skip
        keep = ["start", "end", "duration", "peak", "intensity_max", "intensity_mean", "intensity_cumulative"]
        parts.append(part.reset_coords(drop=True)[keep].assign(kind=kind))
    work.events = xr.concat(parts, "event").sortby("start")
    assert work.data is not None
    work.events["duration"].attrs["units"] = {"days": "days", "months": "months"}.get(work.data.cadence, "1")
    warm = int((work.events["kind"] > 0).sum())
    return f"{warm} warm and {work.events.sizes['event'] - warm} cold in {spec['box']['name']}"


def box_mean(whole: xr.DataArray, box: dict[str, Any]) -> xr.DataArray:
    """The area-weighted mean over the cells whose centres lie in a box; missing cells are left out."""
    grid = Grid.from_dataset(whole)
    offset = np.mod(grid.lon - box["lon"][0], 360.0)
    width = box["lon"][1] - box["lon"][0]
    inside = (offset <= (width if width == 360.0 else np.mod(width, 360.0))) & (grid.lat >= box["lat"][0])
    inside = inside & (grid.lat <= box["lat"][1])
    if not bool(inside.any()):
        raise ValueError(f"no cell of {whole.name!r} has its centre in lon {box['lon']}, lat {box['lat']}; widen the box")
    # Latitude circles: the share of a regular cell in the box's area.
    area = grid.area() if grid.kind != "rectilinear" else grid.area(edges="latitude")
    mean = whole.weighted(area.where(inside, 0.0).fillna(0.0)).mean(grid.dims, keep_attrs=True)
    mean.attrs["long_name"] = f"{label_of(whole)}, area-weighted mean of {box['name']}"
    # CF names are of plain letters: Niño 3.4 is nino_34.
    plain = unicodedata.normalize("NFKD", box["name"]).encode("ascii", "ignore").decode().strip().lower().replace(" ", "_")
    return mean.rename(f"{whole.name}_{re.sub('[^a-z0-9_]', '', plain) or 'box'}")


COMPUTING: dict[str, Callable[[Work], str]] = {
    "input": open_input,
    "regrid": regrid,
    "assimilate": assimilate,
    "anomalies": depart,
    "events": find_events,
}


def _sizes(whole: xr.DataArray) -> str:
    return " x ".join(f"{n} {d}" for d, n in whole.sizes.items())


def _shape(grid: Grid) -> str:
    return " x ".join(map(str, grid.shape))
