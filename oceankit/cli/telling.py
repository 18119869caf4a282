"""The bulletin of a step: the headline, the key numbers and the method, from what was found."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from oceankit import products
from oceankit.cli.assimilating import completed
from oceankit.cli.experiment import Experiment
from oceankit.cli.heatwaves import counted_text, strongest, strongest_text
from oceankit.cli.methods import told
from oceankit.cli.screening import counted
from oceankit.cli.selecting import at_time, time_dim
from oceankit.cli.words import by_times, date_of, label_of, signed, unit_of, when_text
from oceankit.cli.work import Corrected, Heatwaves, Spells, Work
from oceankit.fields import Grid, coordinates
from oceankit.fields.hashing import path_sha256

__all__ = ["tell"]

_COUNTS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
Facts = dict[str, str]


def tell(work: Work, spec: Mapping[str, Any], path: Path, centre: str | None) -> None:
    """Write the bulletin of a step."""
    headline, facts = _found(work)
    if work.status:
        facts = {"Data": work.status, **facts}
    # An experiment is about what might have been known, and valid for no time.
    valid = None if work.experiment is not None else when_text(work.result, work.data.cadence) or None
    products.bulletin(
        path,
        title=spec["title"] or work.title,
        headline=spec["headline"] or headline,
        figures=work.figures,
        facts=facts,
        events=_listed(work),
        method=spec["method"] or _method(work),
        sources=_sources(work),
        stamp=work.stamp,
        centre=centre,
        valid=valid,
        inputs=[_input(name) for name in work.sources],
    )


def _input(name: str) -> str:
    return name if "://" in name else f"{Path(name).name} (sha256 {path_sha256(Path(name))[:8]})"


def _found(work: Work) -> tuple[str, Facts]:
    """Headline and key numbers, of the last thing that the step did."""
    if work.spells is not None:
        return _of_events(work, work.spells)
    if work.heatwaves is not None:
        return _of_heatwaves(work, work.heatwaves)
    if work.corrected is None or work.departure is not None:
        return _of_field(work)
    if work.corrected.experiment is not None:
        return _of_experiment(work, work.corrected, work.corrected.experiment)
    return _of_observations(work, completed(work))


# ---- a field ----------------------------------------------------------------------------------------------------------


def _of_field(work: Work) -> tuple[str, Facts]:
    """Numbers of the time that the figure shows, else of the last one."""
    field = _one(work, work.result)
    when, unit = when_text(field, work.data.cadence), unit_of(field)
    grid = Grid.from_dataset(field)
    facts = {"Time": when} if when else {}
    mean = ""
    if grid.has_cells:
        average = _mean(field, grid)
        mean = f"area-weighted mean {_number(average)}{unit}, "
        facts["Area-weighted mean"] = signed(f"{average:.3f}{unit}")
        if work.regridder is not None and work.departure is None and work.regridder.source.has_cells:
            before = _mean(_one(work, work.data.field), work.regridder.source)
            facts["The same before regridding"] = signed(f"{before:.3f}{unit}")
    low, high = _extreme(field, grid, np.nanargmin), _extreme(field, grid, np.nanargmax)
    facts |= {"Lowest": f"{_number(low[0])}{unit} at {low[1]}", "Highest": f"{_number(high[0])}{unit} at {high[1]}"}
    if work.regridder is not None:
        source, target = work.regridder.source, work.regridder.target
        facts["Grid of the input"] = f"{source.kind}, {by_times(source.shape)}"
        facts["Grid of the product"] = f"{target.kind}, {by_times(target.shape)}"
    facts["Cells with data"] = f"{int(field.notnull().sum()):,}".replace(",", " ")
    name = f"{label_of(field)}, {when}" if when else label_of(field)
    return f"{name}: {mean}from {_number(low[0])} to {_number(high[0])}{unit}.", facts


def _one(work: Work, field: xr.DataArray) -> xr.DataArray:
    dates = [f["time"] for f in work.step["figure"] or () if f["kind"] == "map" and f["time"]]
    name = time_dim(field)
    if dates:
        field = at_time(field, dates[0])
    elif name is not None:
        field = field.isel({name: -1})
    many = {d: 0 for d in field.dims if d not in Grid.from_dataset(field).dims and field.sizes[d] > 1}
    return field.isel(many).load()  # the surface of a field with depth


def _mean(field: xr.DataArray, grid: Grid) -> float:
    return float(field.astype(np.float64).weighted(grid.area().fillna(0.0)).mean())


def _extreme(field: xr.DataArray, grid: Grid, which: Any) -> tuple[float, str]:
    """The lowest or highest value and its place."""
    values = field.squeeze().transpose(*grid.dims).values.ravel()
    k = int(which(values))
    lon, lat = grid.lon.values, grid.lat.values
    if grid.kind == "rectilinear":
        lon, lat = np.meshgrid(lon, lat)
    east, north = (float(lon.ravel()[k]) + 180.0) % 360.0 - 180.0, float(lat.ravel()[k])
    place = f"{abs(north):.1f}°{'S' if north < 0 else 'N'} {abs(east):.1f}°{'W' if east < 0 else 'E'}"
    return float(values[k]), place


def _number(value: float) -> str:
    return signed(f"{value:.3g}" if abs(value) < 100 else f"{value:.1f}")


# ---- an assimilation --------------------------------------------------------------------------------------------------


def _of_experiment(work: Work, corrected: Corrected, experiment: Experiment) -> tuple[str, Facts]:
    n, unit = experiment.numbers, unit_of(corrected.background)
    used = corrected.observations.attrs["n_used"]
    change = 100 * (n["rmse_analysis"] / n["rmse_background"] - 1)
    many = f"{used:,}".replace(",", " ")
    headline = (
        f"Assimilating {many} synthetic observations {'RAISES' if change > 0 else 'lowers'} the error at {n['n_withheld']} "
        f"withheld positions from {n['rmse_background']:.2f} to {n['rmse_analysis']:.2f}{unit} ({signed(f'{change:+.0f}')} %)."
    )
    error = work.step["assimilate"]["observations"]["synthetic"]["error_std"]
    facts = {
        "Background": when_text(corrected.background, work.data.cadence) or label_of(corrected.background),
        "Truth": experiment.when,
        "Observations used": f"{used}, error {error:g}{unit}",
        "Withheld for the scores": f"{n['n_withheld']} positions",
        "RMSE of the background": f"{n['rmse_background']:.3f}{unit}",
        "RMSE of the analysis": f"{n['rmse_analysis']:.3f}{unit}",
    }
    if corrected.error_std is not None:
        facts["Error the analysis states"] = f"{n['stated_analysis_error_std']:.3f}{unit}"
    facts["Bias before, after"] = signed(f"{n['bias_background']:+.3f}, {n['bias_analysis']:+.3f}{unit}")
    return headline, facts | _more(corrected, work.step["assimilate"]["method"])


def _of_observations(work: Work, corrected: Corrected) -> tuple[str, Facts]:
    a, unit = corrected.observations.attrs, unit_of(corrected.background)
    headline = (
        f"{a['n_used']} observations corrected {label_of(work.data.field).lower()}: they lie "
        f"{a['innovation_rms']:.2f}{unit} from the background and {a['residual_rms']:.2f}{unit} from the analysis (rms)."
    )
    facts = {
        "Background": when_text(corrected.background, work.data.cadence) or "no date",
        "Observations used": str(a["n_used"]),
        "Outside the field, flagged": f"{a['n_outside']}, {a['n_flagged']}",
        "Mean distance from background": signed(f"{a['innovation_mean']:+.3f}{unit}"),
        "RMS distance from background": f"{a['innovation_rms']:.3f}{unit}",
        "RMS distance from analysis": f"{a['residual_rms']:.3f}{unit}",
    }
    return headline, facts | _more(corrected, work.step["assimilate"]["method"])


def _more(corrected: Corrected, method: str) -> Facts:
    """Of the members, of what was done to the observations before, and of bounds."""
    static = " of the static ensemble" * (method == "ensemble_oi")
    facts = {} if corrected.members is None else {f"Members{static}": str(corrected.members)}
    parts = counted({k: v for k, v in corrected.observations.attrs.items() if k != "n_flagged_before"})
    if parts:
        facts["Observations offered"] = f"{corrected.observations.attrs['n_offered']}: {', '.join(parts)}"
    if corrected.n_bounded is not None:
        facts["Values set to a bound"] = str(corrected.n_bounded)
    return facts


# ---- events -----------------------------------------------------------------------------------------------------------


def _of_events(work: Work, spells: Spells) -> tuple[str, Facts]:
    spec, pace, unit = work.step["events"], work.data.cadence, unit_of(spells.series)
    asked = [(kind, sign) for kind, sign, key in (("warm", 1, "above"), ("cold", -1, "below")) if spec[key] is not None]
    groups = [
        (kind, spells.events.isel(event=np.flatnonzero(spells.events["kind"].values == sign))) for kind, sign in asked
    ]
    counted = " and ".join(_count(group.sizes["event"], kind) for kind, group in groups)
    headline = f"{_capital(counted)} in {spec['box']['name']}, {when_text(spells.series, pace)}."
    strongest = "; ".join(_strongest(work, group, kind) for kind, group in groups if group.sizes["event"])
    headline += f" {_capital(strongest)}." if strongest else ""
    last = spells.series.isel({spells.series.dims[0]: -1})
    sign = _sign(work)
    high, low = float(spells.series.max()), float(spells.series.min())
    facts = {
        "Warm above, cold below": ", ".join(
            f"{spec[k]:{sign}g}{unit}" for k in ("above", "below") if spec[k] is not None
        ),
        "For at least": f"{spec['min_duration']} {pace}"
        + (f", gaps up to {spec['max_gap']}" if spec["max_gap"] else ""),
        "Highest, lowest": f"{high:{sign}.2f}, {low:{sign}.2f}{unit}",
        f"{when_text(last, pace)}": f"{float(last):{sign}.2f}{unit}{_since(spells.series, spec, pace)}",
    }
    if work.departure is not None:
        facts["Base period"] = _base(work.departure.clim, pace)
    return headline, {k: signed(v) for k, v in facts.items()}


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _count(number: int, kind: str) -> str:
    return f"{_COUNTS[number] if number < len(_COUNTS) else number} {kind} event{'s' * (number != 1)}"


def _sign(work: Work) -> str:
    """How numbers are formatted: of anomalies the sign matters."""
    return "" if work.departure is None else "+"


def _strongest(work: Work, events: xr.Dataset, kind: str) -> str:
    """The strongest event of a kind in words."""
    values = events["intensity_max"].values
    one = events.isel(event=int(values.argmax() if kind == "warm" else values.argmin()))
    start, end, peak = (date_of(one[n].values[()], work.data.cadence) for n in ("start", "end", "peak"))
    top = signed(f"{float(one['intensity_max']):{_sign(work)}.1f}{unit_of(events['intensity_max'])}")
    return f"{'strongest ' * (values.size > 1)}{kind}: {start} to {end}, {top} in {peak}"


def _since(series: xr.DataArray, spec: Mapping[str, Any], pace: str) -> str:
    """Since when the last step has been beyond a limit, an event or not yet one."""
    values = series.values
    for limit, beyond in ((spec["above"], np.greater), (spec["below"], np.less)):
        if limit is not None and beyond(values[-1], limit):
            inside = np.flatnonzero(~beyond(values, limit))
            first = int(inside[-1]) + 1 if inside.size else 0
            time = coordinates.find(series, "time")
            return f", beyond since {date_of(time.values[first], pace)}"
    return ""


def _base(clim: xr.Dataset, pace: str) -> str:
    first, last = (np.datetime64(d) for d in clim.attrs["period"].split("/"))
    return f"{date_of(first, pace)} to {date_of(last, pace)}"


def _of_heatwaves(work: Work, found: Heatwaves) -> tuple[str, Facts]:
    """Counts, and the strongest event of all cells."""
    assert work.departure is not None  # whose climatology has the thresholds
    events, base, pace = found.events, work.step["anomalies"], work.data.cadence
    said = events.attrs
    headline = f"{_capital(counted_text(events))}, {when_text(work.result, pace)}."
    facts = {
        "Beyond the percentile": f"{base['percentile']:g} of {_base(work.departure.clim, pace)}",
        "For at least": f"{said['min_duration']} days, gaps up to {said['max_gap']}",
        "Convention": base["convention"],
        "Cells with events": f"{np.unique(events['cell'].values).size:,}".replace(",", " "),
    }
    one = strongest(events)
    if one is not None:
        headline += f" {'Strongest: ' * (events.sizes['event'] > 1)}{_capital(strongest_text(one))}."
        facts["Longest"] = f"{int(events['duration'].max())} days"
        worst = events["category"].values
        names = str(events["category"].attrs["flag_meanings"]).split()
        counts = [f"{name} {int((worst == n).sum())}" for n, name in enumerate(names, start=1)]
        facts["Events by category"] = ", ".join(counts)
    return headline, facts


def _listed(work: Work) -> xr.Dataset | None:
    """The events of the table: of the box, else of the cells."""
    if work.spells is not None:
        return _printed(work.spells.events, work.data.cadence)
    return None if work.heatwaves is None else work.heatwaves.events


def _printed(events: xr.Dataset, pace: str) -> xr.Dataset:
    """Events as the table has them: of monthly means the first and the last day of what they cover."""
    if pace == "months" and events["start"].dtype.kind == "M":
        start = events["start"].values.astype("M8[M]").astype("M8[D]")
        end = (events["end"].values.astype("M8[M]") + 1).astype("M8[D]") - 1
        events = events.assign(start=("event", start.astype("M8[s]")), end=("event", end.astype("M8[s]")))
    return events.assign(category=("event", np.where(events["kind"].values > 0, "warm", "cold")))


# ---- how, and from what -----------------------------------------------------------------------------------------------


def _method(work: Work) -> str:
    step, parts = work.step, []
    if step["levels"] is not None:
        depths = step["levels"]["depths"] or step["levels"]["edges"]
        parts.append(f"Brought to depths of {min(depths):g} to {max(depths):g} m ({step['levels']['method']}).")
    if work.regridder is not None:
        parts.append(
            f"Regridded ({step['regrid']['method']}) to {by_times(work.regridder.target.shape)} cells, of which at least "
            f"{100 * step['regrid']['min_coverage']:.0f} % must be covered by data."
        )
    if work.corrected is not None:
        parts.append(_assimilation_method(work, work.corrected))
    if work.departure is not None:
        by = "calendar month" if step["anomalies"]["by"] == "month" else "day of the year"
        base = _base(work.departure.clim, work.data.cadence)
        parts.append(
            f"Anomalies from the data's own mean by {by} over {base}; no other source's climatology is involved."
        )
    if work.heatwaves is not None:
        parts.append(_heatwave_method(work, work.heatwaves))
    if work.spells is not None:
        parts.append("Events are runs of the area-weighted mean over the box beyond the limits.")
    return " ".join(parts)


def _heatwave_method(work: Work, found: Heatwaves) -> str:
    said, base = found.events.attrs, work.step["anomalies"]
    side = "below" if said["kind"] == "cold spells" else "above"
    return (
        f"{_capital(said['kind'])} after Hobday et al. (2016) in the convention {base['convention']}: at least "
        f"{said['min_duration']} days {side} the percentile {base['percentile']:g} of the day of the year, gaps of up to "
        f"{said['max_gap']} days included; categories after Hobday et al. (2018)."
    )


def _assimilation_method(work: Work, corrected: Corrected) -> str:
    spec = work.step["assimilate"]
    text = told(spec, unit_of(corrected.background), corrected.members)
    synthetic = spec["observations"]["synthetic"]
    if synthetic:
        text += (
            f" {100 * synthetic['withhold']:.0f} % of whole tracks and of points (seed {synthetic['seed']}) were withheld; the "
            "scores compare with the truth without error there."
        )
    return text


def _sources(work: Work) -> list[str]:
    found = [work.note] if work.note else []
    if work.experiment is not None:
        return [*found, f"observations SYNTHETIC: the field of {work.experiment.when} with random errors, not measured"]
    note = work.step["assimilate"]["observations"]["provenance_note"] if work.corrected is not None else None
    return [*found, note] if note else found
