"""The stage `heatwaves`, and how many there are and which is the strongest in words."""

from collections.abc import Mapping
from typing import Any

import xarray as xr

from oceankit.anomaly import heatwave_days, heatwaves
from oceankit.cli.words import date_of, degrees, signed, unit_of
from oceankit.cli.work import Heatwaves, Work
from oceankit.fields import coordinates

__all__ = ["counted_text", "find_heatwaves", "keywords_of", "strongest", "strongest_text", "summed_up"]

_SINGULAR = {"heatwaves": "heatwave", "cold spells": "cold spell"}


def keywords_of(spec: Mapping[str, Any]) -> dict[str, Any]:
    """The options of the library that `heatwaves` describes."""
    return {name: spec[name] for name in ("min_duration", "max_gap", "max_missing", "cold")}


def find_heatwaves(work: Work) -> str:
    """Heatwaves of each cell beyond the threshold of the field's own climatology."""
    assert work.departure is not None  # the run file was checked
    whole, clim = work.departure.whole, work.departure.clim
    options = keywords_of(work.step["heatwaves"])
    work.heatwaves = Heatwaves(heatwaves(whole, clim, **options), heatwave_days(whole, clim, **options))
    return summed_up(work.heatwaves.events)


def summed_up(events: xr.Dataset) -> str:
    """How many events there are, and the strongest one."""
    one = strongest(events)
    return counted_text(events) if one is None else f"{counted_text(events)}; strongest: {strongest_text(one)}"


def counted_text(events: xr.Dataset) -> str:
    """How many events there are."""
    many, kind = events.sizes["event"], str(events.attrs["kind"])
    return f"{f'{many:,}'.replace(',', ' ') if many else 'no'} {_SINGULAR[kind] if many == 1 else kind}"


def strongest(events: xr.Dataset) -> xr.Dataset | None:
    """The event of the greatest intensity, the first of several, in memory; None where there is none."""
    if not events.sizes["event"]:
        return None
    return events.isel(event=int(abs(events["intensity_max"]).argmax("event"))).load()


def strongest_text(event: xr.Dataset) -> str:
    """One event in words: how strong, when and where, how long, and of which category."""
    name = str(event["category"].attrs["flag_meanings"]).split()[int(event["category"]) - 1]
    side = "below" if event.attrs["kind"] == "cold spells" else "above"
    height = f"{abs(float(event['intensity_max'])):.2f}{unit_of(event['intensity_max'])} {side} the mean"
    lasting = f"{int(event['duration'])} {event['duration'].attrs.get('units', 'steps')}"
    place = _place(event)
    return f"{height} on {date_of(event['peak'].values[()], 'days')}{place}, category {name}, {lasting}"


def _place(event: xr.Dataset) -> str:
    """Where an event is, as far as its coordinates tell."""
    kinds = (("latitude", "NS"), ("longitude", "EW"))
    parts = [degrees(float(event[n]), s) for kind, s in kinds for n in coordinates.candidates(event, kind)[:1]]  # type: ignore[arg-type]
    text = f" at {' '.join(parts)}" if parts else ""
    for name in coordinates.candidates(event, "vertical")[:1]:
        text += f", {name} {signed(f'{float(event[name]):g}')}{unit_of(event[name])}"
    return text
