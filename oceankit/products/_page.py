"""The A4 page of a bulletin: what fits on it, how figures share it, its HTML and CSS."""

import base64
import html
import io
import unicodedata
from pathlib import Path
from typing import Any

__all__ = ["Image", "check_room", "columns", "image", "page"]

Image = tuple[str, float, str]  # data URI, height over width, caption
_PAGE = 271.0  # mm, inside the margins of A4
_WIDTH = 178.0  # mm
_FIGURES = 60.0  # mm, the least that figures are given
_PNG = b"\x89PNG\r\n\x1a\n"


def image(figure: Any, caption: str) -> Image:
    """Data URI, height over width, caption."""
    if hasattr(figure, "savefig"):
        file = io.BytesIO()
        figure.savefig(file, format="png", dpi=200)
        wide, high = figure.get_size_inches()
        return _uri(file.getvalue()), float(high / wide), caption
    path = Path(figure)
    if path.suffix.lower() != ".png":
        raise ValueError(f"figure {str(path)!r} is no PNG; give one, or a matplotlib Figure")
    data = path.read_bytes()
    if not data.startswith(_PNG):
        raise ValueError(f"figure {str(path)!r} is called PNG but is none; write it again")
    wide, high = (int.from_bytes(data[k : k + 4], "big") for k in (16, 20))
    return _uri(data), high / wide, caption


def _uri(data: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(data).decode('ascii')}"


def columns(text: str) -> int:
    """Columns of a terminal that a text takes: two for a Chinese character."""
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def _lines(text: str, per_line: int) -> int:
    return max(1, -(-columns(text) // per_line)) if text else 0


def check_room(parts: dict[str, Any], captions: list[str]) -> float:
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
            f"the bulletin does not fit one A4 page: its texts take {total:.0f} mm and {room:.0f} mm are left beside "
            f"the figures ({listing}); shorten the longest"
        )
    return _PAGE - total


def _arranged(shapes: list[float], room: float) -> str:
    """CSS classes of figures (height over width): side by side where that is larger, loose where room is left."""
    across = _WIDTH / len(shapes) - 4.0
    beside = len(shapes) > 1 and min(across, room / max(shapes)) > min(_WIDTH, room / sum(shapes))
    high = across * max(shapes) if beside else _WIDTH * sum(shapes) + 4.0 * len(shapes)
    return "figures" + " beside" * beside + " loose" * (high < 0.95 * room)


_CSS = """
@page { size: A4; margin: 0 }
* { box-sizing: border-box }
body { margin: 0; background: #e4e4e4; color: #1c1c1c; font: 9.5pt/1.35 "Helvetica Neue", Arial, "Liberation Sans",
  "Noto Sans", "Noto Sans CJK SC", "Microsoft YaHei", sans-serif; -webkit-print-color-adjust: exact;
  print-color-adjust: exact }
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
.facts div { display: flex; justify-content: space-between; gap: 3mm; border-bottom: 0.2mm solid #cfcfcf;
  padding: 0.5mm 0 }
.facts dt { color: #4a4a4a; max-width: 50% }
.facts dd { margin: 0; font-weight: 600; text-align: right; max-width: 50% }
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
@media screen and (max-width: 215mm) { main { width: auto; height: auto; margin: 0; padding: 5mm }
  .facts { display: block } }
"""


def page(parts: dict[str, Any], images: list[Image], room: float) -> str:
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
    told = [name for name in ("method", "sources") if parts[name]]
    notes = "".join(f"<p><b>{name.capitalize()}.</b> {e(parts[name])}</p>" for name in told)
    if notes:
        body.append(f'<section class="notes">{notes}</section>')
    body.append(f"<footer>{e(parts['footer'])}</footer>")
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n<title>{e(parts["title"])}</title>\n'
        f"<style>{_CSS}</style>\n</head>\n<body>\n<main>\n" + "\n".join(body) + "\n</main>\n</body>\n</html>\n"
    )
