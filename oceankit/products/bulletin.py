"""One page that a duty officer can print and pin up: a self-contained HTML file, or plain text for a terminal."""

import os
import textwrap
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from oceankit._version import __version__
from oceankit.fields import clock
from oceankit.fields.coordinates import candidates
from oceankit.fields.files import write_whole
from oceankit.products import _page
from oceankit.products._frame import degrees_text
from oceankit.products._style import date_text, pretty_units

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["bulletin", "bulletin_text"]

_MOST_EVENTS = 8
# variable, heading; in this order, those that are there
_COLUMNS = (
    ("start", "Start"),
    ("end", "End"),
    ("duration", "Duration"),
    ("intensity_max", "Max. intensity"),
    ("intensity_mean", "Mean intensity"),
    ("category", "Category"),
)


def bulletin(
    path: str | os.PathLike[str],
    *,
    title: str,
    headline: str,
    figures: "Sequence[tuple[Figure | str | os.PathLike[str], str]]" = (),
    facts: Mapping[str, object] | None = None,
    events: xr.Dataset | None = None,
    method: str | None = None,
    sources: Sequence[str] = (),
    stamp: str | None = None,
    centre: str | None = None,
    issued: datetime | np.datetime64 | str | None = None,
    valid: str | None = None,
    inputs: Sequence[str] = (),
) -> Path:
    """Write a bulletin: one A4 page of HTML with everything in it, replaced whole or not at all.

    Parameters
    ----------
    path
        The HTML file; its folder must exist.
    title, headline
        What it is about, and the one sentence that matters.
    figures
        Pairs of a matplotlib figure, or a PNG file, and its caption. They share the room that the text
        leaves, side by side or one under the other, whichever shows them larger.
    facts
        Key numbers: name and value, printed as given.
    events
        Dataset along ``event``: ``start``, ``end`` and, where they are there, ``duration``, ``intensity_max``,
        ``intensity_mean``, ``category`` and the longitude and latitude of each. The eight strongest (longest, where
        there is no intensity) are listed, in order of start, and the others counted.
    method, sources
        How it was made, and from which data.
    stamp
        A warning in a red band, for example ``"SYNTHETIC OBSERVATIONS"``.
    centre, issued, valid
        Issuing centre, time of issue (default: now, UTC) and the period the bulletin speaks of.
    inputs
        Provenance for the footer: files, hashes.

    Returns
    -------
    Path
        The file written. All texts are escaped: markup in them is shown, not obeyed.

    Raises
    ------
    ValueError
        If title or headline is empty, a figure file is no PNG, events lack dates, or the texts leave less than
        60 mm of the page to the figures; the message says how much each part takes.
    FileNotFoundError
        If the folder or a figure file does not exist.
    """
    parts = _parts(title, headline, facts, events, method, sources, stamp, centre, issued, valid, inputs)
    images = [_page.image(figure, str(caption)) for figure, caption in figures]
    room = _page.check_room(parts, [caption for *_, caption in images])
    path = Path(path)
    write_whole(path, _page.page(parts, images, room).encode("utf-8"))
    return path


def bulletin_text(
    *,
    title: str,
    headline: str,
    facts: Mapping[str, object] | None = None,
    events: xr.Dataset | None = None,
    method: str | None = None,
    sources: Sequence[str] = (),
    stamp: str | None = None,
    centre: str | None = None,
    issued: datetime | np.datetime64 | str | None = None,
    valid: str | None = None,
    inputs: Sequence[str] = (),
    width: int = 80,
) -> str:
    """The bulletin as plain text of ``width`` columns; parameters and errors as in :func:`bulletin`.

    Examples
    --------
    >>> print(bulletin_text(title="Sea surface", headline="Warm.", facts={"Mean": "20 °C"}, issued="1 May 2025"))
    Sea surface
    ===========
    Issued 1 May 2025
    <BLANKLINE>
    Warm.
    <BLANKLINE>
    Mean  20 °C
    <BLANKLINE>
    oceankit 0.1.0
    """
    parts = _parts(title, headline, facts, events, method, sources, stamp, centre, issued, valid, inputs)
    out = [parts["title"], "=" * min(_page.columns(parts["title"]), width), *_fold(parts["dates"], width), ""]
    if parts["stamp"]:
        out += [f"*** {parts['stamp']} ***", ""]
    out += [*_fold(parts["headline"], width), ""]
    rows = parts["facts"]
    if rows:
        widest = max(_page.columns(name) for name, _ in rows)
        out += [f"{name}{' ' * (widest - _page.columns(name))}  {value}" for name, value in rows] + [""]
    if parts["events"]:
        head, body, more = parts["events"]
        sizes = [max(_page.columns(row[k]) for row in [head, *body]) for k in range(len(head))]
        lines = [
            "  ".join(cell + " " * (size - _page.columns(cell)) for cell, size in zip(row, sizes, strict=True)).rstrip()
            for row in [head, *body]
        ]
        out += [*lines, *([more] if more else []), ""]
    for name in ("method", "sources"):
        if parts[name]:
            out += [*_fold(f"{name.capitalize()}: {parts[name]}", width), ""]
    return "\n".join([*out, *_fold(parts["footer"], width)])


def _parts(
    title: str, headline: str, facts: Any, events: Any, method: Any, sources: Any, stamp: Any, centre: Any,
    issued: Any, valid: Any, inputs: Any,
) -> dict[str, Any]:  # fmt: skip
    """All texts of a bulletin, for either form."""
    for name, text in (("title", title), ("headline", headline)):
        if not str(text).strip():
            raise ValueError(f"{name}={text!r} is empty; a bulletin needs one")
    for name, given in (("sources", sources), ("inputs", inputs)):
        if isinstance(given, str):
            raise ValueError(f"{name}={given!r} is one text; give a list of them")
    if issued is None:
        issued = clock.now()
    if isinstance(issued, datetime):
        issued = date_text(issued.astimezone(UTC) if issued.tzinfo else issued)
    elif isinstance(issued, np.datetime64):
        issued = date_text(issued)
    dates = [str(centre)] * bool(centre) + [f"Issued {issued}"] + [f"Valid {valid}"] * bool(valid)
    footer = "; ".join(str(i) for i in inputs)
    return {
        "title": str(title),
        "headline": str(headline),
        "facts": [(str(name), str(value)) for name, value in (facts or {}).items()],
        "events": _table(events) if events is not None and events["start"].size else None,
        "method": str(method or ""),
        "sources": "; ".join(str(s) for s in sources),
        "stamp": str(stamp or ""),
        "dates": " · ".join(dates),
        "footer": f"oceankit {__version__}" + (f" · inputs: {footer}" if footer else ""),
    }


def _table(events: xr.Dataset) -> tuple[list[str], list[list[str]], str]:
    missing = [name for name in ("start", "end") if name not in events]
    if missing:
        raise ValueError(f"events lack {', '.join(missing)}; they have {list(events.variables)}")
    size = events["start"].size
    rank = next((n for n in ("intensity_max", "duration") if n in events), None)
    strength = np.abs(np.asarray(events[rank].values, dtype=np.float64)) if rank else np.zeros(size)
    strongest = np.argsort(-strength, kind="stable")[:_MOST_EVENTS]
    shown = strongest[np.argsort(events["start"].values[strongest], kind="stable")]
    columns = [(name, heading) for name, heading in _COLUMNS if name in events]
    head = [heading + _unit(events[name]) for name, heading in columns]
    body = [[_cell(events[name].values[k], name) for name, _ in columns] for k in shown]
    places = [(name, "NS") for name in candidates(events, "latitude")[:1]]
    places += [(name, "EW") for name in candidates(events, "longitude")[:1]]
    if places:
        head.append("Place")
        for row, k in zip(body, shown, strict=True):
            row.append(" ".join(degrees_text(round(float(events[n].values[k]), 2), letters) for n, letters in places))
    left = size - len(shown)
    chosen = {"intensity_max": "strongest", "duration": "longest", None: "first"}[rank]
    return head, body, f"The {len(shown)} {chosen} of {size} events; {left} more are not listed." if left else ""


def _unit(variable: xr.DataArray) -> str:
    unit = pretty_units(variable.attrs.get("units"))
    if variable.name == "duration":
        # oceankit.anomaly counts time steps, with units "1": months where the data are monthly.
        unit = "days" if variable.dtype.kind == "m" else "steps" if variable.attrs.get("units") == "1" else unit
    return f" ({unit})" if unit and variable.name not in ("start", "end", "category") else ""


def _cell(value: Any, name: str) -> str:
    if name in ("start", "end"):
        return date_text(value)
    if isinstance(value, np.timedelta64):
        return f"{value / np.timedelta64(1, 'D'):g}"
    if name.startswith("intensity"):
        return f"{value:.2f}"
    return f"{value:g}" if isinstance(value, int | float | np.number) else str(value)


def _fold(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, width) or [""]
