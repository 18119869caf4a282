"""The run file: every key there is, in one object from which files are checked and the reference is written."""

import re
from typing import Any

from oceankit.cli._assimilation_schema import ASSIMILATE
from oceankit.cli._choices import CONVENTIONS
from oceankit.cli._cluster_schema import CLUSTER, fits
from oceankit.cli._forecast_schema import FORECAST
from oceankit.cli._grid_schema import LEVELS, REGRID
from oceankit.cli._input_schema import INPUT
from oceankit.cli._replay_schema import REPLAY
from oceankit.cli._types import Choice, Date, Flag, Key, Number, Path, Section, Several, Text

__all__ = ["ACDD", "RUN_FILE", "STAGES", "VERSION"]

VERSION = 1
STAGES = (
    "input", "levels", "regrid", "assimilate", "anomalies", "heatwaves", "events", "forecast", "replay", "product",
    "figure", "bulletin",
)  # fmt: skip

_range = Several(Number(), (2, 2))
_latitudes = Several(Number(least=-90, most=90), (2, 2))


def _name(name: Any) -> str | None:
    if re.fullmatch(r"[A-Za-z0-9][\w.-]*", name):
        return None
    return f"is {name!r}; use letters, digits, '-', '_' and '.'"


def _version(number: Any) -> str | None:
    return None if number == VERSION else f"is {number}, but this oceankit reads version {VERSION}"


def _increasing(pair: Any) -> str | None:
    return None if pair[0] < pair[1] else f"is [{pair[0]:g}, {pair[1]:g}]; the first must be less than the second"


def _odd(number: Any) -> str | None:
    return None if number % 2 else f"is {number}, but a moving average needs an odd width"


ANOMALIES = Section(
    "anomalies",
    "Departures of the field from its own climatology. There is no way to give the climatology of another source.",
    {
        "period": Key(Several(Date(), (2, 2)), "first and last date of the base period, both included", required=True),
        "by": Key(Choice(("dayofyear", "month")), "what the climatology resolves", default="dayofyear"),
        "half_window": Key(
            Number(least=0, most=182, whole=True), "days on either side that are pooled (`dayofyear`; 5 if left out)"
        ),
        "smooth": Key(
            Number(least=1, most=359, whole=True),
            "days of the moving average (`dayofyear`; 31 if left out, 1 for none)",
            check=_odd,
        ),
        "percentile": Key(Number(above=0, most=99.999), "of the threshold in the climatology", default=90.0),
        "convention": Key(
            Choice(CONVENTIONS),
            "the program whose choices hold where Hobday et al. (2016) leave them open (`dayofyear`); see "
            "[the guide](heatwaves.md)",
            default="oliver",
        ),
    },
)
HEATWAVES = Section(
    "heatwaves",
    "Marine heatwaves or cold spells of each cell, after Hobday et al. (2016, 2018): days beyond the threshold of "
    "`anomalies` (`by: dayofyear`, of a daily field) that last. How many there are and which is the strongest is told in "
    "the output and the bulletin; `show: category` maps the categories of one day. A record that does not fit in memory "
    "is for the command `oceankit detect`.",
    {
        "min_duration": Key(Number(least=1, whole=True), "days that an event lasts at least", default=5),
        "max_gap": Key(Number(least=0, whole=True), "days between two events that are one", default=2),
        "max_missing": Key(
            Number(least=0, whole=True),
            "days without a value, one after another, that do not end an event; `min_duration` if left out",
        ),
        "cold": Key(
            Flag(),
            "whether events lie below the threshold; told by the `percentile` of `anomalies`, and needed where that is 50",
        ),
        "save": Key(
            Path((".nc", ".zarr"), output=True),
            "write the events with all of their metrics, one entry each, along `event`",
        ),
        "save_days": Key(
            Path((".nc", ".zarr"), output=True),
            "write the category of each day and cell: 0 none, 1 moderate, 2 strong, 3 severe, 4 extreme",
        ),
    },
)
BOX = Section(
    "box",
    "Cells whose centres lie inside; longitudes on any turn of the globe.",
    {
        "lon": Key(_range, "west and east", required=True),
        "lat": Key(_latitudes, "south and north", required=True, check=_increasing),
        "name": Key(Text("name"), "what the region is called", default="box"),
    },
)
EVENTS = Section(
    "events",
    "Warm and cold spells of the area-weighted mean over a box: of the anomaly, or of the field where there is no "
    "`anomalies`.",
    {
        "box": Key(BOX, "the region", required=True),
        "above": Key(Number(), "a step counts as warm strictly above this, in the field's units"),
        "below": Key(Number(), "a step counts as cold strictly below this"),
        "min_duration": Key(Number(least=1, whole=True), "steps that an event lasts at least", required=True),
        "max_gap": Key(Number(least=0, whole=True), "steps between two events that are one", default=0),
    },
)
PRODUCT = Section(
    "product",
    "The result as NetCDF or Zarr, with CF-1.11 and ACDD-1.3 attributes and provenance. An earlier one is replaced when "
    "the new one is complete.",
    {"file": Key(Path((".nc", ".zarr"), output=True), "its name in the output folder", required=True)},
    shorthand="file",
)
FIGURE = Section(
    "figure",
    "A PNG. `map` shows one field at one time; `assimilation` four maps: the error before, the increments with the "
    "observations, the error after, and its stated standard deviation or, of an ensemble, its spread (without a known truth: "
    "the analysis and the background in the place of the errors); `diagnostics` one page on its observations: where they "
    "differ from the background, by how much, and whether the errors stated let that be expected; `hovmoller` the mean over "
    "the box's latitudes by longitude and time, and the mean over the box with the events; `series` the latter alone.",
    {
        "kind": Key(
            Choice(("map", "assimilation", "diagnostics", "hovmoller", "series")), "what it shows", required=True
        ),
        "file": Key(Path((".png",), output=True), "its name in the output folder", required=True),
        "show": Key(
            Choice(("field", "background", "increments", "error_std", "anomaly", "category")),
            "which field, for `map`; by default the result of the last stage; `error_std` is the spread where there are "
            "members, `category` that of the heatwaves",
        ),
        "time": Key(
            Date(),
            "which time, for `map` and `assimilation`; needed where there are several, but for `category`, whose last day is "
            "shown",
        ),
        "title": Key(Text(), "by default the title of the step"),
        "caption": Key(Text(), "in the bulletin; by default what the figure shows"),
        "units": Key(Text("units"), "to show the field in, for example `degC`"),
        "cmap": Key(Text("name"), "a colour map of matplotlib or cmocean; by default the one for the quantity"),
        "limits": Key(_range, "least and greatest value of the colours", check=_increasing),
        "levels": Key(Number(least=2, most=64, whole=True), "number of colour steps; by default a continuous scale"),
        "extent": Key(Several(Number(), (4, 4)), "west, east, south, north of the map; by default all of the field"),
        "dpi": Key(Number(least=50, most=600, whole=True), "dots per inch", default=150),
    },
)
BULLETIN = Section(
    "bulletin",
    "One A4 page of HTML with the figures of the step, its key numbers and events, for print or screen.",
    {
        "file": Key(Path((".html",), output=True), "its name in the output folder", required=True),
        "headline": Key(Text(), "the one sentence that matters; by default made from the numbers found"),
        "title": Key(Text(), "by default the title of the step"),
        "method": Key(Text(), "how it was made; by default told from the stages"),
    },
    shorthand="file",
)

ACDD = {
    "summary": "a paragraph on the product; by default made from the step",
    "keywords": "comma-separated",
    "institution": "where the product is made",
    "creator_name": "who is responsible",
    "creator_email": "",
    "creator_url": "",
    "creator_type": "person, group, institution or position",
    "creator_institution": "",
    "publisher_name": "who hands it out",
    "publisher_email": "",
    "publisher_url": "",
    "publisher_type": "",
    "publisher_institution": "",
    "contributor_name": "",
    "contributor_role": "",
    "naming_authority": "who keeps the ids unique, for example a reversed domain name",
    "project": "",
    "program": "",
    "license": "what others may do with it",
    "acknowledgement": "whom to thank",
    "references": "papers",
    "processing_level": "",
    "product_version": "",
    "platform": "",
    "platform_vocabulary": "",
    "instrument": "",
    "instrument_vocabulary": "",
    "metadata_link": "",
    "comment": "",
}
CONTENT_TYPES = (
    "image", "thematicClassification", "physicalMeasurement", "auxiliaryInformation", "qualityInformation",
    "referenceInformation", "modelResult",
)  # fmt: skip
METADATA = Section(
    "metadata",
    "Attributes of the products that only people know (ACDD 1.3). A step's own `metadata` goes before the run file's.",
    {name: Key(Text(), doc or name.replace("_", " ")) for name, doc in ACDD.items()}
    | {"coverage_content_type": Key(Choice(CONTENT_TYPES), "ISO 19115-1 code of what the fields are")},
)
STEP = Section(
    "step",
    "One chain of stages, always in this order: " + " > ".join(STAGES) + ". Each but `input` may be left out.",
    {
        "name": Key(Text("name"), "a short one, unlike the others; `--only` takes it", required=True, check=_name),
        "title": Key(Text(), "of the product, figure and bulletin; by default the name"),
        "metadata": Key(METADATA, "attributes of this step's product"),
        "input": Key(INPUT, "the field to work on", required=True),
        "levels": Key(LEVELS, "put it on other depths"),
        "regrid": Key(REGRID, "put it on another grid"),
        "assimilate": Key(ASSIMILATE, "correct it by observations"),
        "anomalies": Key(ANOMALIES, "depart from its own climatology"),
        "heatwaves": Key(HEATWAVES, "find the heatwaves of each cell"),
        "events": Key(EVENTS, "find warm and cold spells of a box"),
        "forecast": Key(FORECAST, "say what it will do"),
        "replay": Key(REPLAY, "live days of the past"),
        "product": Key(PRODUCT, "write the result"),
        "figure": Key(Several(FIGURE, alone=True), "draw it"),
        "bulletin": Key(BULLETIN, "tell it on one page"),
    },
)
RUN_FILE = Section(
    "run file",
    "A YAML file. Keys that many steps share can be written once with YAML's anchors: `input: &nemo {...}` and "
    "`input: {<<: *nemo, select: {...}}`.",
    {
        "oceankit": Key(Number(whole=True), f"version of the run file: {VERSION}", required=True, check=_version),
        "title": Key(Text(), "what the run is about"),
        "centre": Key(Text(), "issuing centre on bulletins"),
        "metadata": Key(METADATA, "attributes of every product"),
        "cluster": Key(CLUSTER, "where the work is done; in this process if left out", check=fits),
        "output": Key(Path(), "output folder, relative to the run file; `--output` goes before it", default="output"),
        "steps": Key(Several(STEP), "what to do, in order", required=True),
    },
)
