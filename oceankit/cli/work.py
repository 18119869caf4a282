"""The stages that compute: each takes the work of a step so far and adds to it, lazily."""

import re
import unicodedata
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from oceankit.anomaly import anomalies, climatology, spells
from oceankit.cli import experiment as experiments
from oceankit.cli._choices import FILTERS
from oceankit.cli.gridding import kept, on_levels, options_of
from oceankit.cli.inputs import Input, grid_of, opened, target_grid
from oceankit.cli.places import found
from oceankit.cli.words import label_of
from oceankit.fields import Grid, coordinates
from oceankit.regridding import Regridder

if TYPE_CHECKING:
    from oceankit.cluster.planning import PlanStep

__all__ = [
    "Corrected",
    "Departure",
    "Forecasts",
    "Heatwaves",
    "Spells",
    "Work",
    "depart",
    "find_events",
    "in_one_piece",
    "normal_of",
    "open_input",
    "regrid",
    "relevel",
]


@dataclass
class Corrected:
    """What an assimilation brought; of an ensemble its mean."""

    background: xr.DataArray
    increments: xr.DataArray
    error_std: xr.DataArray | None
    """None of methods that state none; of an ensemble the spread."""
    maps: dict[str, xr.DataArray]
    """What is said of each place, and of the bounds."""
    observations: xr.Dataset = field(init=False)
    """Those offered to the analysis, with innovation, residual and status; its attributes are the statistics."""
    table: xr.Dataset = field(init=False)
    """The same as the library returns it, for its diagnostics."""
    experiment: experiments.Experiment | None = None
    members: int | None = None

    @property
    def n_bounded(self) -> int | None:
        """Values that were set to a bound, where there are bounds."""
        return int(self.maps["n_bounded"].sum()) if "n_bounded" in self.maps else None


@dataclass
class Departure:
    """A field whose anomalies are the result, and its climatology."""

    whole: xr.DataArray
    clim: xr.Dataset


@dataclass
class Heatwaves:
    """The events of the cells, and the category of each day."""

    events: xr.Dataset
    days: xr.DataArray


@dataclass
class Forecasts:
    """A fitted model, what it says of the future, and of the past with its scores where that is asked for."""

    model: Any
    forecast: xr.Dataset
    hindcast: xr.Dataset | None = None
    scores: xr.Dataset | None = None


@dataclass
class Spells:
    """The mean over a box and its events."""

    series: xr.DataArray
    events: xr.Dataset


@dataclass
class Work:
    """A step on its way: the result so far and what was found while making it."""

    step: dict[str, Any]
    folder: Path
    """Of the run file."""
    data: Input = field(init=False)
    result: xr.DataArray = field(init=False)
    regridder: Regridder | None = None
    corrected: Corrected | None = None
    departure: Departure | None = None
    heatwaves: Heatwaves | None = None
    spells: Spells | None = None
    forecasts: Forecasts | None = None
    sources: list[str] = field(default_factory=list)
    figures: list[tuple[Path, str]] = field(default_factory=list)
    keep: Callable[[xr.Dataset], xr.Dataset] | None = None
    """Writes the members of an analysis and reads them back, where that is asked for."""
    plan: "Mapping[str, PlanStep]" = field(default_factory=dict)
    """What was planned for this step, by kind of work in order (`Plan.of`); empty where nothing was."""

    @property
    def title(self) -> str:
        """What the step is called in print."""
        return str(self.step["title"] or self.step["name"])

    @property
    def note(self) -> str | None:
        """What the input is and where it comes from."""
        note: str | None = self.step["input"]["provenance_note"]
        return note

    @property
    def experiment(self) -> experiments.Experiment | None:
        """The observing-system experiment, if this is one."""
        return None if self.corrected is None else self.corrected.experiment

    @property
    def status(self) -> str:
        """What is real, in words; empty where the run file does not say."""
        base = {True: "real", False: "SYNTHETIC", None: ""}[self.step["input"]["real"]]
        if self.experiment is None:
            return base
        return f"{base} fields, {experiments.STAMP}" if base else experiments.STAMP

    @property
    def stamp(self) -> str | None:
        """The warning on figures and bulletins."""
        if self.step["input"]["real"] is False:
            return "SYNTHETIC DATA"
        return experiments.STAMP if self.experiment is not None else None

    def shown(self, name: str | None) -> Any:
        """A field by the name that figures use; None is the result of the last stage."""
        found = {None: self.result, "anomaly": self.result}
        found["field"] = self.result if self.departure is None else self.departure.whole
        if self.corrected is not None:
            found |= {n: getattr(self.corrected, n) for n in ("background", "increments", "error_std")}
        if self.heatwaves is not None:
            found["category"] = self.heatwaves.days
        return found[name]


# ---- the stages -------------------------------------------------------------------------------------------------------


def open_input(work: Work) -> str:
    """Open the field."""
    spec = work.step["assimilate"]
    tiles = spec is not None and spec["method"] in FILTERS and work.step["regrid"] is None
    planned = next(iter(work.plan.values()), None)
    chunks = None if planned is None else planned.chunks
    work.data = opened(work.step["input"], work.folder, tiles=tiles, chunks=chunks)
    work.sources += work.data.sources
    work.result = work.data.field
    files = len(work.data.sources)
    units = f", {work.result.attrs['units']}" if "units" in work.result.attrs else ""
    return f"{work.result.name} ({_sizes(work.result)}{units}) from {files} file{'s' * (files != 1)}"


def relevel(work: Work) -> str:
    """Put the field on other depths."""
    spec = work.step["levels"]
    work.data = on_levels(work.data, spec)
    work.result = work.data.field
    depths = spec["depths"] or spec["edges"]
    number = len(depths) - (spec["depths"] is None)
    return f"{spec['method']}, {number} from {min(depths):g} to {max(depths):g} m"


def regrid(work: Work) -> str:
    """Put the field on the target grid."""
    spec = work.step["regrid"]
    target = target_grid(spec["to"], work.folder)
    if spec["to"]["like"] is not None:
        work.sources += found(spec["to"]["like"], work.folder)
    path = None if spec["weights"] is None else work.folder / spec["weights"]
    work.regridder, weights = kept(path, grid_of(work.data), target, spec["method"], options_of(spec))
    work.result = _restful(work.regridder(work.result))
    source = work.regridder.source
    told = f"{spec['method']}, {source.kind} {_shape(source)} to {target.kind} {_shape(target)}"
    return f"{told}; {weights}" if weights else told


def _restful(regridded: xr.DataArray) -> xr.DataArray:
    """Without the scalar and auxiliary coordinates of the old cells; each is lazy no longer."""
    return regridded.assign_coords({n: c.load() for n, c in regridded.coords.items() if c.chunks is not None})


def depart(work: Work) -> str:
    """Anomalies of the field from its own climatology."""
    spec = work.step["anomalies"]
    chunks = work.plan["climatology"].chunks if "climatology" in work.plan else None
    whole = in_one_piece(work.result, chunks)
    clim = normal_of(whole, spec, chunks)
    # A DataArray comes back for a DataArray.
    work.result = anomalies(whole, clim)  # type: ignore[assignment]
    work.departure = Departure(whole, clim)
    return f"from the field's own mean by {spec['by']}, {clim.attrs['period'].replace('/', ' to ')}"


def normal_of(whole: xr.DataArray, spec: dict[str, Any], chunks: Mapping[Hashable, int] | None = None) -> xr.Dataset:
    """The climatology that `anomalies` describes, of the field itself; ``chunks`` are those of a plan."""
    options = {k: spec[k] for k in ("half_window", "smooth") if spec[k] is not None}
    return climatology(
        in_one_piece(whole, chunks), period=tuple(spec["period"]), by=spec["by"], percentile=spec["percentile"],
        convention=spec["convention"], **options,
    )  # fmt: skip


def in_one_piece(whole: xr.DataArray, chunks: Mapping[Hashable, int] | None = None) -> xr.DataArray:
    """Time in one chunk, cells in several, as climatologies need them: those of a plan, or as Dask suggests."""
    if whole.chunks is None:
        return whole
    time = coordinates.find(whole, "time").dims[0]
    if chunks is None:
        return whole.chunk({time: -1, **{d: "auto" for d in whole.dims if d != time}})
    if len(whole.chunksizes[time]) == 1:
        return whole  # it was opened so; new cells are cut where the old ones were
    return whole.chunk({time: -1, **{d: chunks[d] for d in whole.dims if d != time and d in chunks}})


def find_events(work: Work) -> str:
    """Warm and cold spells of the mean over a box."""
    spec = work.step["events"]
    series = box_mean(work.result, spec["box"]).load()
    parts = []
    for limit, cold in ((spec["above"], False), (spec["below"], True)):
        if limit is None:
            continue
        condition = (series < limit) if cold else (series > limit)
        part = spells(condition, min_duration=spec["min_duration"], max_gap=spec["max_gap"], values=series, cold=cold)
        kind = xr.DataArray(np.full(part.sizes["event"], -1 if cold else 1, np.int8), dims="event")
        kind.attrs = {
            "long_name": "kind of event", "flag_values": np.array([-1, 1], np.int8), "flag_meanings": "cold warm",
        }  # fmt: skip
        keep = ["start", "end", "duration", "peak", "intensity_max", "intensity_mean", "intensity_cumulative"]
        parts.append(part.reset_coords(drop=True)[keep].assign(kind=kind))
    events = xr.concat(parts, "event").sortby("start")
    events["duration"].attrs["units"] = {"days": "days", "months": "months"}.get(work.data.cadence, "1")
    work.spells = Spells(series, events)
    warm = int((events["kind"] > 0).sum())
    return f"{warm} warm and {events.sizes['event'] - warm} cold in {spec['box']['name']}"


def box_mean(whole: xr.DataArray, box: dict[str, Any]) -> xr.DataArray:
    """The area-weighted mean over the cells whose centres lie in a box; missing cells are left out."""
    grid = Grid.from_dataset(whole)
    offset = np.mod(grid.lon - box["lon"][0], 360.0)
    width = box["lon"][1] - box["lon"][0]
    inside = (offset <= (width if width == 360.0 else np.mod(width, 360.0))) & (grid.lat >= box["lat"][0])
    inside = inside & (grid.lat <= box["lat"][1])
    if not bool(inside.any()):
        raise ValueError(
            f"no cell of {whole.name!r} has its centre in lon {box['lon']}, lat {box['lat']}; widen the box"
        )
    # Latitude circles: the share of a regular cell in the box's area.
    area = grid.area() if grid.kind != "rectilinear" else grid.area(edges="latitude")
    mean = whole.weighted(area.where(inside, 0.0).fillna(0.0)).mean(grid.dims, keep_attrs=True)
    mean.attrs["long_name"] = f"{label_of(whole)}, area-weighted mean of {box['name']}"
    # CF names are of plain letters: Niño 3.4 is nino_34.
    plain = (
        unicodedata.normalize("NFKD", box["name"]).encode("ascii", "ignore").decode().strip().lower().replace(" ", "_")
    )
    return mean.rename(f"{whole.name}_{re.sub('[^a-z0-9_]', '', plain) or 'box'}")


def _sizes(whole: xr.DataArray) -> str:
    return " x ".join(f"{n} {d}" for d, n in whole.sizes.items())


def _shape(grid: Grid) -> str:
    return " x ".join(map(str, grid.shape))
