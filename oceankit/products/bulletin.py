"""One page that a duty officer can print and pin up: a self-contained HTML file, or plain text for a terminal."""

import base64
import html
import io
import os
import tempfile
import textwrap
import unicodedata
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from oceankit._version import __version__
from oceankit.fields.coordinates import candidates
from oceankit.products._frame import degrees_text
from oceankit.products._style import date_text, pretty_units

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["bulletin", "bulletin_text"]

_MOST_EVENTS = 8
_PAGE = 271.0  # mm, inside the margins of A4
_WIDTH = 178.0  # mm
_FIGURES = 60.0  # mm, the least that figures are given
_KINDS = {".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".svg": "image/svg+xml"}
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
        Pairs of a matplotlib figure, or a PNG, JPEG or SVG file, and its caption. They share the room that the text
        leaves, side by side or one under the other, whichever shows them larger.
    facts
        Key numbers: name and value, printed as given.
    events
        Dataset along ``event``: ``start``, ``end`` and, where they are there, ``duration``, ``intensity_max``,
        ``intensity_mean``, ``category`` and the longitude and latitude of each. The eight strongest (longest, where there is no intensity) are listed, in
        order of start, and the others counted.
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
        If title or headline is empty, a figure is of no known kind, events lack dates, or the texts leave less than
        60 mm of the page to the figures; the message says how much each part takes.
    FileNotFoundError
        If the folder or a figure file does not exist.
    """
    parts = _parts(title, headline, facts, events, method, sources, stamp, centre, issued, valid, inputs)
    images = [_image(figure, str(caption)) for figure, caption in figures]
    room = _check_room(parts, [caption for *_, caption in images])
    path = Path(path)
    _write(path, _page(parts, images, room))
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
    out = [parts["title"], "=" * min(_columns(parts["title"]), width), *_fold(parts["dates"], width), ""]
    if parts["stamp"]:
        out += [f"*** {parts['stamp']} ***", ""]
    out += [*_fold(parts["headline"], width), ""]
    rows = parts["facts"]
    if rows:
        widest = max(_columns(name) for name, _ in rows)
        out += [f"{name}{' ' * (widest - _columns(name))}  {value}" for name, value in rows] + [""]
    if parts["events"]:
        head, body, more = parts["events"]
        sizes = [max(_columns(row[k]) for row in [head, *body]) for k in range(len(head))]
        lines = [
            "  ".join(cell + " " * (size - _columns(cell)) for cell, size in zip(row, sizes, strict=True)).rstrip()
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
        issued = datetime.now(UTC)
    if isinstance(issued, datetime):
        issued = date_text(issued.astimezone(UTC) if issued.tzinfo else issued)
    elif isinstance(issued, np.datetime64):
        issued = date_text(issued)
    dates = [str(centre)] * bool(centre) + [f"Issued {issued}"] + [f"Valid {valid}"] * bool(valid)
    return {
        "title": str(title),
        "headline": str(headline),
        "facts": [(str(name), str(value)) for name, value in (facts or {}).items()],
        "events": _table(events) if events is not None and events["start"].size else None,
        "method": str(method or ""),
        "sources": "; ".join(str(s) for s in sources),
        "stamp": str(stamp or ""),
        "dates": " · ".join(dates),
        "footer": f"oceankit {__version__}" + (f" · inputs: {'; '.join(str(i) for i in inputs)}" if len(inputs) else ""),
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
    places = [(n, letters) for kind, letters in (("latitude", "NS"), ("longitude", "EW")) for n in candidates(events, kind)[:1]]
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
    return f"{value:.2f}" if name.startswith("intensity") else f"{value:g}" if isinstance(value, (int, float, np.number)) else str(value)


def _image(figure: Any, caption: str) -> tuple[str, float, str]:
    """Data URI, height over width, caption."""
    if hasattr(figure, "savefig"):
        file = io.BytesIO()
        figure.savefig(file, format="png", dpi=200)
        wide, high = figure.get_size_inches()
        return _uri("image/png", file.getvalue()), float(high / wide), caption
    path = Path(figure)
    kind = _KINDS.get(path.suffix.lower())
    if kind is None:
        raise ValueError(f"figure {str(path)!r} is none of {', '.join(_KINDS)}; give such a file or a matplotlib Figure")
    data = path.read_bytes()
    high_over_wide = 0.7
    if kind == "image/png":
        wide, high = (int.from_bytes(data[k : k + 4], "big") for k in (16, 20))
        high_over_wide = high / max(wide, 1)
    return _uri(kind, data), high_over_wide, caption


def _uri(kind: str, data: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode('ascii')}"


def _columns(text: str) -> int:
    """Columns of a terminal that a text takes: two for a Chinese character."""
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def _fold(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, width) or [""]


def _lines(text: str, per_line: int) -> int:
    return max(1, -(-_columns(text) // per_line)) if text else 0


def _check_room(parts: dict[str, Any], captions: list[str]) -> float:
    """Millimetres that the texts leave to the figures; what does not fit is refused, a page is never cut off."""
    rows = parts["events"][1] if parts["events"] else []
    need = {
        "title": 9.0 * _lines(parts["title"], 48) + 4.5 * _lines(parts["dates"], 105) + 4,
        "stamp": 8.5 * _lines(parts["stamp"], 60) + 3 if parts["stamp"] else 0.0,
        "headline": 6.0 * _lines(parts["headline"], 78) + 4,
        "facts": sum(
            max(4.8 * _lines(a, 24) , 4.8 * _lines(b, 24)) + 1.3 for a, b in parts["facts"]
        ) / 2 + 9 if parts["facts"] else 0.0,
        "events": 5.4 * (len(rows) + 1) + 9 if rows else 0.0,
        "captions": sum(4.2 * _lines(c, 105) for c in captions) + 3 * len(captions),
        "method and sources": 4.0 * (_lines(parts["method"], 118) + _lines(parts["sources"], 118)) + 5,
        "inputs": 3.5 * _lines(parts["footer"], 130) + 4,
    }  # fmt: skip
    room = _PAGE - (_FIGURES if captions else 0.0)
    total = sum(need.values())
    if total > room:
        listing = ", ".join(f"{name} {mm:.0f} mm" for name, mm in need.items() if mm)
        raise ValueError(
            f"the bulletin does not fit one A4 page: its texts take {total:.0f} mm and {room:.0f} mm are left beside the "
            f"figures ({listing}); shorten the longest"
        )
    return _PAGE - total


def _arranged(shapes: list[float], room: float) -> str:
    """CSS classes of figures (height over width): side by side where that shows them larger, loose where room is left."""
    across = _WIDTH / len(shapes) - 4.0
    beside = len(shapes) > 1 and min(across, room / max(shapes)) > min(_WIDTH, room / sum(shapes))
    high = across * max(shapes) if beside else _WIDTH * sum(shapes) + 4.0 * len(shapes)
    return "figures" + " beside" * beside + " loose" * (high < 0.95 * room)


_CSS = """
@page { size: A4; margin: 0 }
* { box-sizing: border-box }
body { margin: 0; background: #e4e4e4; color: #1c1c1c; font: 9.5pt/1.35 "Helvetica Neue", Arial, "Liberation Sans",
  "Noto Sans", "Noto Sans CJK SC", "Microsoft YaHei", sans-serif; -webkit-print-color-adjust: exact; print-color-adjust: exact }
main { width: 210mm; height: 296.5mm; margin: 6mm auto; padding: 12mm 16mm 11mm; background: white; display: flex;
  flex-direction: column; gap: 3mm; overflow: hidden; overflow-wrap: anywhere }
main > * { flex: none }
header { border-bottom: 0.6mm solid #1f3b57; padding-bottom: 2mm }
.dates { color: #4a4a4a }
h1 { font-size: 19pt; line-height: 1.2; margin: 0; color: #1f3b57 }
.stamp { border: 0.7mm solid #b3261e; color: #b3261e; background: #fdf1f0; font-weight: bold; font-size: 13pt;
  letter-spacing: 0.06em; text-align: center; padding: 1mm 3mm }
.headline { font-size: 12.5pt; line-height: 1.35; font-weight: 600; margin: 0 }
h2 { font-size: 9.5pt; text-transform: uppercase; letter-spacing: 0.05em; color: #1f3b57; margin: 0 0 0.8mm }
.facts { display: grid; grid-template-columns: 1fr 1fr; column-gap: 8mm; margin: 0 }
.facts div { display: flex; justify-content: space-between; gap: 3mm; border-bottom: 0.2mm solid #cfcfcf; padding: 0.5mm 0 }
.facts dt { color: #4a4a4a; max-width: 50% } .facts dd { margin: 0; font-weight: 600; text-align: right; max-width: 50% }
.figures { flex: 1 1 0; min-height: 0; display: flex; gap: 4mm; flex-direction: column }
.figures.beside { flex-direction: row }
.figures.loose { flex: none } .figures.loose img { width: 100%; height: auto }
.figures.loose:not(.beside) figure { flex: none !important }
figure { margin: 0; min-height: 0; min-width: 0; display: flex; flex-direction: column; align-items: center }
figure img { flex: 0 1 auto; min-height: 0; max-width: 100%; max-height: 100%; object-fit: contain }
figcaption { flex: none; align-self: stretch; text-align: center; font-size: 8.5pt; color: #333; padding-top: 1mm }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums }
th { text-align: left; font-weight: 600; color: #4a4a4a; border-bottom: 0.3mm solid #1f3b57 }
td { border-bottom: 0.2mm solid #dcdcdc } th, td { padding: 0.45mm 2mm 0.45mm 0; white-space: nowrap }
.more, .notes { font-size: 8.5pt } .notes p { margin: 0 0 1mm } .more { color: #4a4a4a; margin: 0.8mm 0 0 }
footer { border-top: 0.2mm solid #9a9a9a; padding-top: 1.2mm; font-size: 7.5pt; color: #555; margin-top: auto }
@media print { body { background: white } main { margin: 0 } }
@media screen and (max-width: 215mm) { main { width: auto; height: auto; margin: 0; padding: 5mm } .facts { display: block } }
"""


def _page(parts: dict[str, Any], images: list[tuple[str, float, str]], room: float) -> str:
    def e(text: str) -> str:
        return html.escape(text).replace(" °", "\u00a0°")

    body = [f'<header><h1>{e(parts["title"])}</h1><div class="dates">{e(parts["dates"])}</div></header>']
    if parts["stamp"]:
        body.append(f'<div class="stamp" role="alert">{e(parts["stamp"])}</div>')
    body.append(f'<p class="headline">{e(parts["headline"])}</p>')
    if parts["facts"]:
        rows = "".join(f"<div><dt>{e(name)}</dt><dd>{e(value)}</dd></div>" for name, value in parts["facts"])
        body.append(f'<section><h2>Key numbers</h2><dl class="facts">{rows}</dl></section>')
    if images:
        # One under the other they share the height by their shapes, side by side the width alike.
        arranged = _arranged([shape for _, shape, _ in images], room)
        shares = [1.0 if "beside" in arranged else shape / sum(i[1] for i in images) for _, shape, _ in images]
        cells = "".join(
            f'<figure style="flex: {share:.3f} 1 0"><img src="{uri}" alt="{e(caption)}">'
            f"<figcaption>{e(caption)}</figcaption></figure>"
            for (uri, _, caption), share in zip(images, shares, strict=True)
        )
        body.append(f'<section class="{arranged}">{cells}</section>')
    if parts["events"]:
        head, rows, more = parts["events"]
        lines = "".join(f"<tr>{''.join(f'<td>{e(cell)}</td>' for cell in row)}</tr>" for row in rows)
        headings = "".join(f"<th>{e(cell)}</th>" for cell in head)
        note = f'<p class="more">{e(more)}</p>' if more else ""
        body.append(f"<section><h2>Events</h2><table><tr>{headings}</tr>{lines}</table>{note}</section>")
    notes = "".join(f"<p><b>{name.capitalize()}.</b> {e(parts[name])}</p>" for name in ("method", "sources") if parts[name])
    if notes:
        body.append(f'<section class="notes">{notes}</section>')
    body.append(f"<footer>{e(parts['footer'])}</footer>")
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n<title>{e(parts["title"])}</title>\n'
        f"<style>{_CSS}</style>\n</head>\n<body>\n<main>\n" + "\n".join(body) + "\n</main>\n</body>\n</html>\n"
    )


def _write(path: Path, text: str) -> None:
    """Whole or not at all: a reader never meets half a bulletin."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        # mkstemp makes files private; a bulletin gets the mode that any new file has.
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(name, 0o666 & ~mask)
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise
