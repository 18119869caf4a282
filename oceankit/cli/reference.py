"""The reference of the run file, written from its schema: ``python -m oceankit.cli.reference > docs/runfile.md``."""

from typing import Any

from oceankit.cli._types import Either, Free, Key, Section, Several
from oceankit.cli.schema import RUN_FILE, VERSION

__all__ = ["text"]

_EXAMPLE = """\
```yaml
oceankit: 1
title: Sea surface temperature of the Yellow Sea
metadata: {institution: My institute, creator_name: A. Person, license: CC-BY-4.0}
output: products
steps:
  - name: january
    input: {paths: "model/sst_2015*.nc", variable: tos, select: {time: 2015-01}}
    regrid: {to: {lon: [117, 127, 0.1], lat: [31, 41, 0.1]}, method: conservative}
    assimilate:
      background_error_std: 0.8      # degC, of the model
      length_scale: 60               # km
      observations: {paths: buoys.csv, units: degC}
    product: sst.nc
    figure: {kind: assimilation, file: sst.png}
    bulletin: sst.html
  - name: heatwaves
    input: {paths: "daily/sst_*.nc", variable: sst}
    anomalies: {period: [1983, 2012], percentile: 90, convention: oliver}
    heatwaves: {save: heatwaves.nc, save_days: categories.zarr}
    figure: {kind: map, show: category, time: 2012-07-15, file: categories.png}
  - name: next-months
    input: {paths: "monthly/sst_*.nc", variable: sst}
    forecast: {train: [1960, 2009], leads: [1, 2, 3, 6], hindcast: [2010, 2020], save: forecast.nc, save_scores: scores.nc}
```"""


def text() -> str:
    """The whole page, in Markdown."""
    parts = [
        "# The run file",
        "",
        f"Version {VERSION}. This page is made from the schema that `oceankit run --check` checks with: "
        "`oceankit schema > docs/runfile.md`.",
        "",
        _EXAMPLE,
        "",
        "`oceankit run FILE.yaml` checks the file, then runs its steps; `oceankit run --check FILE.yaml` only checks, and "
        "lists every mistake with its line. Keys marked with * must be there.",
    ]
    for section in _sections(RUN_FILE):
        parts += ["", *_page(section)]
    return "\n".join(parts) + "\n"


def _sections(section: Section) -> list[Section]:
    """A section and those under it, each once."""
    found = [section]
    for key in section.keys.values():
        inner = _inner(key.type)
        if inner is not None:
            found += [s for s in _sections(inner) if all(s.title != f.title for f in found)]
    unique: dict[str, Section] = {}
    for one in found:
        unique.setdefault(one.title, one)
    return list(unique.values())


def _inner(kind: Any) -> Section | None:
    if isinstance(kind, Section):
        return kind
    if isinstance(kind, Several | Free):
        return _inner(kind.item)
    return _inner(kind.first) or _inner(kind.second) if isinstance(kind, Either) else None


def _page(section: Section) -> list[str]:
    lines = [f"## {section.title}", "", section.doc, ""]
    if section.one_of:
        groups = ", or ".join(" and ".join(f"`{k}`" for k in group) for group in section.one_of)
        lines += [f"Give exactly one of: {groups}.", ""]
    lines += ["| key | value | default | meaning |", "| --- | --- | --- | --- |"]
    return lines + [_row(name, key) for name, key in section.keys.items()]


def _row(name: str, key: Key) -> str:
    default = "" if key.default is None else f"`{_shown(key.default)}`"
    cells = [f"`{name}`{' *' if key.required else ''}", key.type.describe(), default, key.doc]
    return "| " + " | ".join(c.replace("|", "\\|") for c in cells) + " |"


def _shown(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else f"{value:g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    print(text(), end="")
