"""What a step found, in words: dates, key numbers, the headline and the method."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from oceankit import products
from oceankit.cli.words import date_of, label_of, unit_of, when_text
from oceankit.cli.work import Work
from oceankit.fields import Grid, coordinates
from oceankit.fields.hashing import path_sha256

__all__ = ["period_text", "tell"]


def tell(work: Work, spec: Mapping[str, Any], path: Path, centre: str | None) -> None:
    """Write the bulletin of a step."""
    headline, facts = _found(work)
    if work.status:
        facts = {"Data": work.status, **facts}
    products.bulletin(
        path,
        title=spec["title"] or work.title,
        headline=spec["headline"] or headline,
        figures=work.figures,
        facts=facts,
        events=_printed(work),
        method=spec["method"] or _method(work),
        sources=_sources(work),
        stamp=work.stamp,
        centre=centre,
        valid=None if work.experiment is not None else period_text(work) or None,
        inputs=[f"{Path(name).name} (sha256 {path_sha256(Path(name))[:8]})" if "://" not in name else name
                for name in work.sources],
    )  # fmt: skip


def period_text(work: Work) -> str:
    """The times that the result speaks of."""
    assert work.data is not None and work.result is not None
    return when_text(work.result, work.data.cadence)


# ---- what was found ---------------------------------------------------------------------------------------------------


def _found(work: Work) -> tuple[str, dict[str, str]]:
    if work.events is not None:
        return _of_events(work)
    if work.experiment is not None:
        return _of_experiment(work)
    if work.observations is not None:
        return _of_observations(work)
    return _of_field(work)


def _of_field(work: Work) -> tuple[str, dict[str, str]]:
    """Numbers of the field that the figure shows, or of its first time."""
    assert work.result is not None and work.data is not None
    field = _one(work, work.result)
    when = when_text(field, work.data.cadence)
    unit = unit_of(field)
    grid = Grid.from_dataset(field)
    low, high = _extreme(field, grid, "min"), _extreme(field, grid, "max")
    facts = {"Time": when} if when else {}
    mean = ""
    if grid.has_cells:
        average = _mean(field, grid)
        mean = f"area-weighted mean {_number(average)}{unit}, "
        facts["Area-weighted mean"] = f"{average:.3f}{unit}"
        if work.regridder is not None and work.clim is None and work.regridder.source.has_cells:
            before = _mean(_one(work, work.data.field), work.regridder.source)
            facts["The same before regridding"] = f"{before:.3f}{unit}"
    facts |= {"Lowest": f"{_number(low[0])}{unit} at {low[1]}", "Highest": f"{_number(high[0])}{unit} at {high[1]}"}
    if work.regridder is not None:
        source, target = work.regridder.source, work.regridder.target
        facts["Grid of the input"] = f"{source.kind}, {' × '.join(map(str, source.shape))}"
        facts["Grid of the product"] = f"{target.kind}, {' × '.join(map(str, target.shape))}"
    facts["Cells with data"] = f"{int(field.notnull().sum()):,}".replace(",", " ")
    headline = f"{label_of(field)}{', ' + when if when else ''}: {mean}from {_number(low[0])} to {_number(high[0])}{unit}."
    return headline, facts


def _one(work: Work, field: xr.DataArray) -> xr.DataArray:
    """The time that the figure shows, else the first."""
    names = [n for n in coordinates.candidates(field, "time") if n in field.dims]
    dates = [f["time"] for f in work.step["figure"] or () if f["kind"] == "map" and f["time"]]
    for name in names[:1]:
        field = field.sel({name: slice(dates[0], dates[0])}) if dates else field
        field = field.isel({name: 0})
    return field.load()


def _mean(field: xr.DataArray, grid: Grid) -> float:
    return float(field.astype(np.float64).weighted(grid.area().fillna(0.0)).mean())


def _extreme(field: xr.DataArray, grid: Grid, which: str) -> tuple[float, str]:
    """The lowest or highest value and its place."""
    values = field.transpose(..., *grid.dims).values.reshape(-1, grid.size)
    k = int((np.nanargmin if which == "min" else np.nanargmax)(values)) % grid.size
    lon, lat = (
        np.broadcast_to(a, grid.shape).ravel()[k]
        for a in ((grid.lon.values[None, :], grid.lat.values[:, None]) if grid.kind == "rectilinear"
                  else (grid.lon.values, grid.lat.values))
    )  # fmt: skip
    east = (float(lon) + 180.0) % 360.0 - 180.0
    place = f"{abs(lat):.1f}°{'S' if lat < 0 else 'N'} {abs(east):.1f}°{'W' if east < 0 else 'E'}"
    return float(np.nanmin(values) if which == "min" else np.nanmax(values)), place


def _number(value: float) -> str:
    text = f"{value:.3g}" if abs(value) < 100 else f"{value:.1f}"
    return text.replace("-", "−")


def _of_experiment(work: Work) -> tuple[str, dict[str, str]]:
    assert work.experiment is not None and work.background is not None and work.data is not None
    n, obs, unit = work.experiment.numbers, work.observations, unit_of(work.background)
    assert obs is not None
    change = 100 * (1 - n["rmse_analysis"] / n["rmse_background"])
    spec = work.step["assimilate"]
    verb = "lowers" if change >= 0 else "RAISES"
    headline = (
        f"Assimilating {obs.attrs['n_used']:,} synthetic observations {verb} the error at {n['n_withheld']} withheld "
        f"positions from {n['rmse_background']:.2f} to {n['rmse_analysis']:.2f}{unit} ({-change:+.0f} %)."
    ).replace(",", " ").replace("(-", "(−")
    facts = {
        "Background": when_text(work.background, work.data.cadence),
        "Truth": work.experiment.when,
        "Observations used": f"{obs.attrs['n_used']}, error {spec['observations']['synthetic']['error_std']:g}{unit}",
        "Withheld positions": f"{n['n_withheld']} (whole tracks, and points)",
        "RMSE of the background there": f"{n['rmse_background']:.3f}{unit}",
        "RMSE of the analysis there": f"{n['rmse_analysis']:.3f}{unit}",
        "Error the analysis states there": f"{n['stated_analysis_error_std']:.3f}{unit}",
        "Bias before, after": f"{n['bias_background']:+.3f}, {n['bias_analysis']:+.3f}{unit}".replace("-", "−"),
    }
    return headline, facts


def _of_observations(work: Work) -> tuple[str, dict[str, str]]:
    assert work.observations is not None and work.background is not None and work.data is not None
    a, unit = work.observations.attrs, unit_of(work.background)
    headline = (
        f"{a['n_used']} observations corrected {label_of(work.background).lower()}: they were "
        f"{a['innovation_rms']:.2f}{unit} from the background and are {a['residual_rms']:.2f}{unit} from the analysis."
    )
    facts = {
        "Background": when_text(work.background, work.data.cadence) or "no date",
        "Observations used": str(a["n_used"]),
        "Outside, or flagged": f"{a['n_outside']}, {a['n_flagged']}",
        "Mean observation − background": f"{a['innovation_mean']:+.3f}{unit}".replace("-", "−"),
        "RMS observation − background": f"{a['innovation_rms']:.3f}{unit}",
        "RMS observation − analysis": f"{a['residual_rms']:.3f}{unit}",
    }
    return headline, facts


def _of_events(work: Work) -> tuple[str, dict[str, str]]:
    assert work.events is not None and work.series is not None and work.data is not None
    box, spec = work.step["events"]["box"], work.step["events"]
    events, unit, pace = work.events, unit_of(work.series), work.data.cadence
    warm, cold = (int((events["kind"] == k).sum()) for k in (1, -1))
    asked = [("warm", warm, spec["above"]), ("cold", cold, spec["below"])]
    counted = " and ".join(_count(number, kind) for kind, number, limit in asked if limit is not None)
    headline = f"{counted[:1].upper()}{counted[1:]} in {box['name']}, {period_text(work)}."
    strongest = [_strongest(work, kind) for kind, number, _ in asked if number]
    if strongest:
        headline += f" {'; '.join(strongest)[:1].upper()}{'; '.join(strongest)[1:]}."
    last = work.series.isel({work.series.dims[0]: -1})
    facts = {
        "Warm above, cold below": " and ".join(f"{v:+g}{unit}" for v in (spec["above"], spec["below"]) if v is not None),
        "For at least": f"{spec['min_duration']} {pace}" + (f", gaps up to {spec['max_gap']}" if spec["max_gap"] else ""),
        f"Latest, {when_text(last, pace)}": f"{float(last):+.2f}{unit}{_since(work)}",
        "Highest, lowest": f"{float(work.series.max()):+.2f}, {float(work.series.min()):+.2f}{unit}",
    }
    if work.clim is not None:
        facts["Base period"] = _base(work)
    return headline, {k: v.replace("-", "−") for k, v in facts.items()}


def _count(number: int, kind: str) -> str:
    words = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
    return f"{words[number] if number < len(words) else number} {kind} event{'s' * (number != 1)}"


def _strongest(work: Work, kind: str) -> str:
    """The strongest event of a kind in words."""
    assert work.events is not None and work.series is not None and work.data is not None
    mine = work.events.isel(event=np.flatnonzero(work.events["kind"].values == (1 if kind == "warm" else -1)))
    values = mine["intensity_max"].values
    one = mine.isel(event=int(values.argmax() if kind == "warm" else values.argmin()))
    start, end, peak = (date_of(one[n].values, work.data.cadence) for n in ("start", "end", "peak"))
    top = f"{float(one['intensity_max']):+.1f}".replace("-", "−")
    return f"{'' if values.size == 1 else 'strongest '}{kind}: {start} to {end}, {top}{unit_of(work.series)} in {peak}"


def _since(work: Work) -> str:
    """Since when the last step has been beyond a limit, event or not yet."""
    assert work.series is not None and work.data is not None
    spec, values = work.step["events"], work.series.values
    for limit, beyond in ((spec["above"], np.greater), (spec["below"], np.less)):
        if limit is not None and beyond(values[-1], limit):
            inside = np.flatnonzero(~beyond(values, limit))
            first = int(inside[-1]) + 1 if inside.size else 0
            time = coordinates.find(work.series, "time")
            return f", beyond the limit since {date_of(time.values[first], work.data.cadence)}"
    return ""


def _base(work: Work) -> str:
    assert work.clim is not None and work.data is not None
    first, last = (np.datetime64(d) for d in work.clim.attrs["period"].split("/"))
    return f"{date_of(first, work.data.cadence)} to {date_of(last, work.data.cadence)}"


def _printed(work: Work) -> xr.Dataset | None:
    """Events as the table has them: of monthly means the first and the last day of what they cover."""
    if work.events is None or work.events.sizes["event"] == 0:
        return None
    assert work.data is not None
    events = work.events
    if work.data.cadence == "months" and events["start"].dtype.kind == "M":
        start = events["start"].values.astype("M8[M]").astype("M8[D]")
        end = (events["end"].values.astype("M8[M]") + 1).astype("M8[D]") - 1
        events = events.assign(start=("event", start.astype("M8[s]")), end=("event", end.astype("M8[s]")))
    words = np.where(events["kind"].values > 0, "warm", "cold")
    return events.assign(category=("event", words))


# ---- how, and from what -----------------------------------------------------------------------------------------------


def _method(work: Work) -> str:
    parts = []
    step = work.step
    if step["regrid"] and work.regridder is not None:
        least = step["regrid"]["min_coverage"]
        parts.append(
            f"Regridded ({step['regrid']['method']}) to {' × '.join(map(str, work.regridder.target.shape))} cells; a cell needs "
            f"{100 * least:.0f} % of it covered by data."
        )
    if step["assimilate"] and work.background is not None:
        parts.append(_assimilation_method(step["assimilate"], unit_of(work.background)))
    if work.clim is not None:
        parts.append(
            f"Anomalies from the data's own mean by {'calendar month' if step['anomalies']['by'] == 'month' else 'day of the year'} "
            f"over {_base(work)}, never from another source's climatology."
        )
    if step["events"]:
        parts.append("Events are runs of the area-weighted mean over the box beyond the limits.")
    return " ".join(parts)


def _assimilation_method(spec: dict[str, Any], unit: str) -> str:
    near = "all observations at once" if spec["n_nearest"] is None else f"the {spec['n_nearest']} nearest observations"
    shape = {"gaspari_cohn": "Gaspari-Cohn", "gaussian": "Gaussian", "matern": "Matérn"}[spec["covariance"]]
    text = (
        f"Optimal interpolation with {near}; background error {spec['background_error_std']:g}{unit}, correlation length "
        f"{spec['length_scale']:g} km ({shape}), both stated in the run file beforehand and not fitted."
    )
    synthetic = spec["observations"]["synthetic"]
    if synthetic:
        text += (
            f" {100 * synthetic['withhold']:.0f} % of whole tracks and of points (seed {synthetic['seed']}) were withheld for "
            "the scores, which compare with the truth without error."
        )
    return text


def _sources(work: Work) -> list[str]:
    step = work.step
    found = []
    note = step["input"]["provenance_note"]
    if note:
        found.append(note)
    if work.experiment is not None:
        found.append(
            f"the observations are SYNTHETIC: drawn from the field of {work.experiment.when} with random errors, not measured"
        )
    elif step["assimilate"] and step["assimilate"]["observations"]["provenance_note"]:
        found.append(step["assimilate"]["observations"]["provenance_note"])
    return found
