"""The words of a bulletin, in Chinese and English, from the wording in the rules; Beijing time beside UTC."""

from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from oceankit.fields import clock
from oceankit.products._alert_rules import Picked
from oceankit.products._alert_summary import Summary, moment
from oceankit.products._frame import degrees_text

__all__ = [
    "BEIJING",
    "Issue",
    "advice",
    "event",
    "headline",
    "level_name",
    "text",
    "threshold_lines",
    "thresholds",
    "time_text",
]

BEIJING = timezone(timedelta(hours=8))


class Issue(NamedTuple):
    """All that the products of one bulletin share."""

    picked: Picked
    assessment: xr.Dataset
    summary: Summary
    issued: datetime  # UTC
    kind: str  # issue, update, cancel, none
    centre: str
    place: Mapping[str, str]

    def words(self, language: str) -> Mapping[str, Any]:
        """The wording of a language."""
        found: Mapping[str, Any] = self.picked.book["wording"][language]
        return found


def number(value: float, units: str = "") -> str:
    """At most two decimals, and the units.

    Examples
    --------
    >>> number(4.5, "m"), number(56679.0, "km2"), number(0.004)
    ('4.5 m', '56679 km2', '0.004')
    """
    text = f"{value:.2f}".rstrip("0").rstrip(".") if abs(value) >= 0.01 or value == 0 else f"{value:.2g}"
    return f"{text} {units}" if units and units != "1" else text


def time_text(time: Any, words: Mapping[str, Any]) -> str:
    """A date in Beijing time and UTC; to the nearest minute."""
    utc = moment(time)
    utc = (utc + timedelta(seconds=30)).replace(second=0, microsecond=0)
    at = utc.astimezone(BEIJING)
    parts = {"y": at.year, "m": at.month, "d": at.day, "H": at.hour, "M": at.minute}
    parts |= {"uy": utc.year, "um": utc.month, "ud": utc.day, "uH": utc.hour, "uM": utc.minute}
    return str(words["time"]).format(**parts)


def level_entry(picked: Picked, level: int) -> tuple[str, Mapping[str, Any]]:
    """Name and entry of a level from 1 up."""
    name = list(picked.book["levels"])[level - 1]
    return name, picked.book["levels"][name]


def level_name(picked: Picked, level: int, language: str) -> str:
    """Name of a level from 0 up."""
    names = level_entry(picked, level)[1]["names"] if level > 0 else picked.book["no_alert"]["names"]
    return str(names[language])


def _quantity(picked: Picked, language: str) -> str:
    return str(picked.entry.get("quantity", picked.entry)["names"][language])


def event(issue: Issue, language: str, level: int | None = None) -> str:
    """The title: hazard and level."""
    level = issue.summary.level if level is None else level
    words, hazard = issue.words(language), issue.picked.entry["names"][language]
    hazard = hazard[:1].upper() + hazard[1:]
    if level <= 0:
        return str(words["title_none"]).format(
            hazard=hazard, level=level_name(issue.picked, 0, language) if level == 0 else "?"
        )
    numeral = level_entry(issue.picked, level)[1]["numeral"]
    return str(words["title"]).format(hazard=hazard, level=level_name(issue.picked, level, language), numeral=numeral)


def headline(issue: Issue, language: str, summary: Summary | None = None) -> str:
    """The one sentence that matters."""
    s, words = summary or issue.summary, issue.words(language)
    parts = {"place": issue.place[language], "quantity": _quantity(issue.picked, language)}
    parts |= {"hazard": issue.picked.entry["names"][language]}
    if s.level <= 0:
        key = {0: "headline_none", -1: "headline_missing"}.get(s.level, "headline_unknown")
        key = "headline_cancel" if issue.kind == "cancel" else key
        return _sentence(words[key], **parts)
    parts["level"] = level_name(issue.picked, s.level, language)
    if s.first_time is None:
        return _sentence(words["headline_untimed"], **parts)
    if moment(s.first_time) <= issue.issued:
        return _sentence(words["headline_now"], **parts)
    return _sentence(words["headline"], first=time_text(s.first_time, words), **parts)


def _sentence(template: Any, **parts: str) -> str:
    filled = str(template).format(**parts)
    return filled[:1].upper() + filled[1:]


def advice(issue: Issue, language: str, summary: Summary | None = None) -> list[str]:
    """Who has to act by when."""
    s, words, book = summary or issue.summary, issue.words(language), issue.picked.book
    if s.level <= 0:
        return []
    name = level_entry(issue.picked, s.level)[0]
    items = book["actions"].get(issue.picked.hazard, {}).get(name) or book["actions"]["any"].get(name) or []
    out = []
    for item in items:
        parts = {"who": item["who"][language], "what": item["what"][language]}
        parts["who"] = parts["who"][:1].upper() + parts["who"][1:]
        due = (
            None
            if s.first_time is None
            else moment(s.first_time) - timedelta(hours=float(item["hours_before"]["value"]))
        )
        if due is None or due <= issue.issued:
            out.append(str(words["act_now"]).format(**parts))
        else:
            out.append(str(words["act"]).format(when=time_text(due, words), **parts))
    return out


def thresholds(issue: Issue) -> list[tuple[str, str, str, str]]:
    """Level, number with units (empty where several conditions decide), source and date."""
    found = issue.assessment
    texts = [found[f"threshold_{k}"].values.tolist() for k in ("source", "date")]
    names = found["alert_level"].values.tolist()
    if "threshold" not in found:
        return [(name, "", source, date) for name, source, date in zip(names, *texts, strict=True)]
    threshold = found["threshold"]
    if "station" in threshold.dims:
        threshold = threshold.sel(station=issue.summary.station)
    units = str(threshold.attrs.get("units", ""))
    return [(n, number(float(v), units), s, d) for n, v, s, d in zip(names, threshold.values, *texts, strict=True)]


def threshold_lines(issue: Issue, language: str) -> list[str]:
    """The levels with their numbers; those of one source and date together."""
    words, levels = issue.words(language), issue.picked.book["levels"]
    groups: dict[tuple[str, str], list[str]] = {}
    for name, value, source, date in thresholds(issue):
        groups.setdefault((source, date), []).append(f"{levels[name]['names'][language]} {value}".strip())
    comma = words["comma"]
    return [
        str(words["threshold"]).format(levels=comma.join(numbers), source=source, date=date)
        for (source, date), numbers in groups.items()
    ]


def facts(issue: Issue, language: str) -> list[tuple[str, str]]:
    """Names and values, in the order of the bulletin."""
    s, words, found = issue.summary, issue.words(language), issue.assessment
    names, units = words["names"], s.units
    place = issue.place[language]
    if s.lon is not None and s.lat is not None:
        place += f" ({degrees_text(round(s.lat, 2), 'NS')} {degrees_text(round(s.lon, 2), 'EW')})"
    rows = [(names["issued"], time_text(issue.issued, words))]
    rows += [(names["centre"], issue.centre)] if issue.centre else []
    rows += [(names["place"], place)]
    if s.level > 0 and s.first_time is not None:
        lead = (moment(s.first_time) - issue.issued) / timedelta(hours=1)
        rows += [(names["first"], time_text(s.first_time, words))]
        rows += [(names["lead"], str(words["hours"]).format(hours=number(lead)))] if lead > 0 else []
        rows += [(names["last"], time_text(s.last_time, words))] if s.last_time is not None else []
    if s.value is not None:
        rows += [(names["peak"], number(s.value, units))]
        rows += [(names["peak_time"], time_text(s.peak_time, words))] if s.peak_time is not None else []
    for name, entry in issue.picked.entry.get("inputs", {}).items():
        if name in found and found[name].ndim == 0:
            rows += [(entry["names"][language], _input_text(found[name], entry, language))]
    if s.probability is not None:
        rows += [(names["probability"], f"{100 * s.probability:.0f} %")]
    if "confidence" in found.attrs:
        rows += [(names["confidence"], f"{100 * float(found.attrs['confidence']):.0f} %")]
    if "vertical_datum" in found.attrs:
        rows += [(names["datum"], str(found.attrs["vertical_datum"]))]
    return rows


def _input_text(value: xr.DataArray, entry: Mapping[str, Any], language: str) -> str:
    if "choices" in entry:
        return str(entry["choices"].get(str(value.item()), {}).get(language, "?"))
    amount = float(value)
    return "?" if np.isnan(amount) else number(amount, entry["units"])


def text(issue: Issue, language: str) -> str:
    """The whole bulletin as plain text."""
    words = issue.words(language)
    names, colon = words["names"], words["separator"]
    head = event(issue, language)
    lines = [f"{head}  [{words['kinds'][issue.kind]}]", "", headline(issue, language), ""]
    if issue.summary.partly:
        lines += [words["partly"], ""]
    lines += [f"{name}{colon}{value}" for name, value in facts(issue, language)]
    todo = advice(issue, language)
    if todo:
        lines += ["", f"{names['actions']}{colon}".rstrip(), *(f"- {line}" for line in todo)]
    lines += ["", f"{names['thresholds']}{colon}".rstrip(), *(f"- {line}" for line in threshold_lines(issue, language))]
    caution = issue.picked.rule.get("caution")
    if caution:
        lines += ["", f"{names['caution']}{colon}{caution[language]}"]
    lines += ["", *([words["own_words"]] if todo else []), words["draft"], str(issue.assessment.attrs["source"])]
    return "\n".join(lines) + "\n"


def now() -> datetime:
    """The time of issue where none is given."""
    return clock.now()
