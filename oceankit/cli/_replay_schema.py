"""The section of the run file that replays."""

from oceankit.cli._types import Date, Key, Number, Path, Section, Several, Text

__all__ = ["REPLAY"]

_period = Several(Date(), (2, 2))
_part = Number(least=0, most=1)

_PLACE = Section(
    "replay place",
    "What the sea is called on bulletins and in the report.",
    {
        "zh": Key(Text(), "in Chinese", required=True),
        "en": Key(Text(), "in English", required=True),
    },
)

REPLAY = Section(
    "replay",
    "Days of the past lived one by one, with what existed on each of them: daily sea surface temperature is checked, heatwaves "
    "are updated and followed, the next days forecast, alerts issued and verified. It looks at the field before `anomalies`. "
    "See [the guide](replay.md).",
    {
        "base": Key(_period, "first and last year of the base period of climatology and thresholds", required=True),
        "train": Key(_period, "first and last date that the forecasts learn from; by default `base`"),
        "days": Key(_period, "first and last day that is lived, after `base` and `train`", required=True),
        "leads": Key(Number(least=1, whole=True), "days ahead", default=14),
        "share": Key(Number(above=0, most=1), "part of the area that has to reach a level", default=0.1),
        "confidence": Key(
            Number(above=0, most=1),
            "probability with which it has to; if left out, what served best in forecasts of the last quarter of `train` by a "
            "model of the time before",
        ),
        "hold": Key(Number(least=0, whole=True), "days without a level before an alert falls", default=3),
        "late": Key(_part, "share of the days that come late", default=0.05),
        "again": Key(_part, "share of the days that come twice", default=0.03),
        "corrected": Key(_part, "share of the days that come wrong first", default=0.05),
        "seed": Key(Number(least=0, whole=True), "of the deliveries and of the training", default=0),
        "maps": Key(Number(least=0, whole=True), "every how many days a map is drawn; 0: never", default=1),
        "place": Key(_PLACE, "what the sea is called"),
        "save": Key(
            Path(output=True),
            "the folder of its days and of `report.html`, in the output folder; a run that was cut off keeps its days",
            required=True,
        ),
    },
)
