"""A bulletin as a message of the OASIS Common Alerting Protocol, version 1.2 (2010-07-01), in Chinese and English."""

import os
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from oceankit.products import _alert_geojson
from oceankit.products._alert_schema import LANGUAGES
from oceankit.products._alert_summary import Summary, degrees, grid_of, moment, places, summarise
from oceankit.products._alert_text import BEIJING, Issue, advice, event, headline, level_entry, number, thresholds

__all__ = ["NAMESPACE", "message", "reference_of"]

NAMESPACE = "urn:oasis:names:tc:emergency:cap:1.2"
_STATUSES = ("Actual", "Exercise", "System", "Test", "Draft")
_SCOPES = ("Public", "Restricted", "Private")
_KINDS = {"issue": "Alert", "update": "Update", "cancel": "Cancel", "none": "Alert"}
_DATE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[-+]\d\d:\d\d")
_LONGEST_HEADLINE = 160  # characters that CAP recommends


def message(
    issue: Issue, *, sender: str, identifier: str | None, status: str, scope: str, reference: str | None,
    area: Mapping[str, Any] | None, expires: datetime | None, observed: bool,
) -> str:  # fmt: skip
    """The message as XML; one ``info`` in each language for each level that some place has as its highest.

    Raises
    ------
    ValueError
        If the sender, identifier, status or scope is none of CAP's, or the message would expire before it is sent.
    """
    for name, value, known in (("status", status, _STATUSES), ("scope", scope, _SCOPES)):
        if value not in known:
            raise ValueError(f"{name}={value!r} is none of CAP's; take one of {', '.join(known)}")
    if scope != "Public":
        raise ValueError(
            f"scope={scope!r} needs CAP's restriction or addresses, which are not written here; take Public"
        )
    identifier = _identifier(issue) if identifier is None else identifier
    _token("sender", sender)
    _token("identifier", identifier)
    ET.register_namespace("", NAMESPACE)
    alert = ET.Element(f"{{{NAMESPACE}}}alert")
    _put(
        alert,
        identifier=identifier,
        sender=sender,
        sent=_stamp(issue.issued),
        status=status,
        msgType=_KINDS[issue.kind],
    )
    _put(alert, source=str(issue.assessment.attrs["source"]), scope=scope, references=reference)
    for summary in _parts(issue):
        shapes = _shapes(issue, summary, area)
        for language in LANGUAGES:
            info = _info(alert, issue, summary, language, expires, observed)
            where = ET.SubElement(info, f"{{{NAMESPACE}}}area")
            names = (area or {}).get("names") or issue.place
            _put(where, areaDesc=str(names[language]), polygon=shapes[0], circle=shapes[1])
    ET.indent(alert)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ET.tostring(alert, encoding="unicode")}\n'


def _parts(issue: Issue) -> list[Summary]:
    """The circumstances of each level, highest first; one where there is no alert."""
    if issue.summary.level <= 0:
        return [issue.summary]
    found = places(issue.assessment)["level"].values
    return [summarise(issue.assessment, only=int(k)) for k in np.unique(found)[::-1] if k > 0]


def _info(
    alert: ET.Element, issue: Issue, s: Summary, language: str, expires: datetime | None, observed: bool
) -> ET.Element:
    info = ET.SubElement(alert, f"{{{NAMESPACE}}}info")
    entry = level_entry(issue.picked, s.level)[1] if s.level > 0 else None
    over = issue.kind == "cancel"
    onset = None if s.first_time is None or over else max(moment(s.first_time), issue.issued)
    ends = _expiry(issue, s, expires)
    _put(info, language=issue.words(language)["language"], category=issue.picked.entry["category"])
    _put(info, event=event(issue, language, s.level))
    _put(info, responseType=["AllClear"] if over else entry["response"] if entry else ["None"])
    _put(info, urgency="Past" if over else _urgency(issue, s), severity=entry["severity"] if entry else "Minor")
    _put(info, certainty=_certainty(issue, s, observed))
    _put(info, effective=_stamp(issue.issued), onset=None if onset is None else _stamp(onset), expires=_stamp(ends))
    _put(info, senderName=issue.centre or None, headline=headline(issue, language, s)[:_LONGEST_HEADLINE])
    words = issue.words(language)
    caution = issue.picked.rule.get("caution")
    sentences = [headline(issue, language, s), *([caution[language]] if caution else []), words["draft"]]
    _put(info, description="\n".join(sentences), instruction="\n".join(advice(issue, language, s)) or None)
    for name, value in _parameters(issue, s):
        _put(ET.SubElement(info, f"{{{NAMESPACE}}}parameter"), valueName=name, value=value)
    return info


def _expiry(issue: Issue, s: Summary, expires: datetime | None) -> datetime:
    hours = timedelta(hours=float(issue.picked.book["decision"]["valid_for"]["value"]))
    if expires is None:
        last = None if s.last_time is None or issue.kind == "cancel" else moment(s.last_time)
        return issue.issued + hours if last is None or last <= issue.issued else last
    if expires <= issue.issued:
        raise ValueError(
            f"expires={_stamp(expires)} is not after the issue at {_stamp(issue.issued)}; give a later time"
        )
    return expires


def _urgency(issue: Issue, s: Summary) -> str:
    if s.level <= 0 or s.first_time is None:
        return "Unknown"
    if s.last_time is not None and moment(s.last_time) < issue.issued:
        return "Past"
    lead = moment(s.first_time) - issue.issued
    for name, word in (("immediate_within", "Immediate"), ("expected_within", "Expected")):
        if lead <= timedelta(hours=float(issue.picked.book["cap"][name]["value"])):
            return word
    return "Future"


def _certainty(issue: Issue, s: Summary, observed: bool) -> str:
    if observed or issue.kind == "cancel":
        return "Observed" if observed else "Unknown"
    if s.probability is None:
        return "Unknown"
    cap = issue.picked.book["cap"]
    if s.probability > cap["likely_above"]["value"]:
        return "Likely"
    return "Unlikely" if s.probability < cap["unlikely_below"]["value"] else "Possible"


def _parameters(issue: Issue, s: Summary) -> Iterable[tuple[str, str]]:
    found = issue.assessment.attrs
    yield "hazard", issue.picked.hazard
    yield "rule", issue.picked.name
    yield "superseded", str(found["superseded"])
    if s.level > 0:
        name, entry = level_entry(issue.picked, s.level)
        yield "level", f"{entry['numeral']} {name}"
        yield "colour", str(entry["colour"])
    if s.value is not None:
        yield "peak", number(s.value, s.units)
    if s.peak_time is not None:
        yield "peak_time", _stamp(moment(s.peak_time))
    if s.probability is not None:
        yield "probability", f"{s.probability:.3f}"
    if "confidence" in found:
        yield "confidence", str(found["confidence"])
    if "vertical_datum" in found:
        yield "vertical_datum", str(found["vertical_datum"])
    for name, value, source, date in thresholds(issue):
        yield f"threshold_{name}", f"{value} ({source}; {date})".strip()


def _shapes(issue: Issue, s: Summary, area: Mapping[str, Any] | None) -> tuple[list[str], list[str]]:
    """Polygons and circles: the user's, else the cells or stations of this level, else the one place."""
    if area and ("polygons" in area or "circle" in area):
        circles = [_circle(*area["circle"])] if "circle" in area else []
        return [_ring(ring) for ring in area.get("polygons", [])], circles
    if s.level > 0 and grid_of(places(issue.assessment)) is not None:
        rings = [_ring(ring) for ring in _alert_geojson.outlines(issue, s.level)]
        return rings, [] if rings else _stations(issue, s.level)
    known = s.lon is not None and s.lat is not None
    return [], [_circle(float(s.lon), float(s.lat), 0.0)] if known else []  # type: ignore[arg-type]


def _stations(issue: Issue, level: int) -> list[str]:
    per_place = places(issue.assessment)
    grid = grid_of(per_place)
    if grid is None:
        return []
    lon, lat = degrees(*grid)
    wanted = per_place["level"].values == level
    return [_circle(x, y, 0.0) for x, y in zip(lon[wanted], lat[wanted], strict=True)]


def _ring(points: Any) -> str:
    """``lat,lon lat,lon ...``: CAP's order, closed."""
    xy = np.asarray(points, dtype=np.float64)
    if xy.ndim != 2 or xy.shape[1] != 2 or not np.isfinite(xy).all():
        raise ValueError(f"a polygon of the area has shape {xy.shape}; give a list of (longitude, latitude)")
    if not np.array_equal(xy[0], xy[-1]):
        xy = np.vstack([xy, xy[:1]])
    if len(xy) < 4:
        raise ValueError(f"a polygon of the area has {len(xy) - 1} corners; give at least three")
    return " ".join(_pair(lon, lat) for lon, lat in xy)


def _circle(lon: float, lat: float, radius: float) -> str:
    if not radius >= 0:
        raise ValueError(f"the radius {radius} of the area's circle is negative; give kilometres from 0 up")
    return f"{_pair(lon, lat)} {radius:g}"


def _pair(lon: float, lat: float) -> str:
    if not (-90 <= lat <= 90 and -180 <= lon <= 360):
        raise ValueError(
            f"longitude {lon}, latitude {lat} of the area is no position; give (longitude, latitude) in degrees"
        )
    lon = lon if lon <= 180 else lon - 360
    return f"{round(float(lat), 6):.10g},{round(float(lon), 6):.10g}"


def _stamp(time: datetime) -> str:
    """A date in Beijing time as CAP writes it: an offset, never ``Z``."""
    return time.astimezone(BEIJING).replace(microsecond=0).isoformat()


def _identifier(issue: Issue) -> str:
    where = re.sub(r"[^A-Za-z0-9]+", "-", str(issue.assessment.attrs.get("station") or issue.place["en"])).strip("-")
    parts = ("oceankit", issue.picked.hazard, where, issue.issued.strftime("%Y%m%dT%H%M%SZ"), issue.kind)
    return ".".join(p for p in parts if p)


def _token(name: str, text: str) -> None:
    if not text or re.search(r"[\s,<&]", text):
        raise ValueError(
            f"{name}={text!r} is empty or has a space, a comma, '<' or '&', which CAP forbids there; change it"
        )


def _put(parent: ET.Element, **children: Any) -> None:
    """Children in the order given; None and empty lists are left out."""
    for name, content in children.items():
        for one in content if isinstance(content, list) else [content]:
            if one is not None:
                # What XML cannot hold at all.
                text = re.sub(r"[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "\ufffd", str(one))
                ET.SubElement(parent, f"{{{NAMESPACE}}}{name}").text = text


def reference_of(previous: Any) -> str:
    """``sender,identifier,sent`` of an earlier message: of its XML, its file, its Bulletin, or the reference itself.

    Raises
    ------
    ValueError
        If it is none of these.
    """
    previous = getattr(previous, "cap", previous)
    if isinstance(previous, os.PathLike):
        previous = Path(previous).read_text(encoding="utf-8")
    if isinstance(previous, str) and not previous.lstrip().startswith("<"):
        parts = previous.split(",")
        if len(parts) == 3 and all(parts) and _DATE.fullmatch(parts[2]):
            return previous
    elif isinstance(previous, str):
        try:
            # Encoded: a str must not declare an encoding of its own.
            root = ET.fromstring(previous.encode("utf-8"))
        except ET.ParseError as error:
            raise ValueError(f"previous is no XML: {error}") from error
        found = [root.findtext(f"{{{NAMESPACE}}}{name}") for name in ("sender", "identifier", "sent")]
        if root.tag == f"{{{NAMESPACE}}}alert" and all(found):
            return ",".join(str(f) for f in found)
    raise ValueError(
        f"previous={str(previous)[:60]!r} is no CAP 1.2 message; give its Bulletin, the path or the text of its XML, or "
        "'sender,identifier,sent' with sent as 2024-08-01T06:00:00+08:00"
    )
