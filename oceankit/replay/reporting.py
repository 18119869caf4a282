"""The report of a replay: one HTML page that needs nothing else, for readers who do not know the project."""

import base64
import csv
import html
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from oceankit.fields import clock
from oceankit.fields.files import write_whole
from oceankit.replay.deciding import Decision
from oceankit.replay.judging import Judgement
from oceankit.replay.living import read
from oceankit.replay.normals import normal_on
from oceankit.replay.preparing import Prepared
from oceankit.replay.regions import severity
from oceankit.replay.settings import Settings

__all__ = ["report"]

_CSS = """
body { font: 15px/1.5 system-ui, "Noto Sans CJK SC", sans-serif; color: #1c2a33; max-width: 58rem; margin: 2rem auto;
  padding: 0 1rem }
h1 { font-size: 1.6rem; margin: 0 } h2 { font-size: 1.15rem; margin: 2rem 0 .4rem } p { margin: .4rem 0 }
.lead { background: #eef4f8; border-left: 4px solid #2a7f9e; padding: .6rem 1rem; margin: 1rem 0 }
.lead.bad { background: #fbeeea; border-color: #c4541a }
table { border-collapse: collapse; margin: .5rem 0 } th { text-align: left; border-bottom: 1px solid #7d95a3 }
th, td { padding: .2rem .9rem .2rem 0; vertical-align: top; font-size: .87rem } td { border-bottom: 1px solid #e3eaee }
td.n, th.n { text-align: right } td { white-space: nowrap } img { max-width: 100% } .small { color: #52646f; font-size: .87rem }
"""
_MAPS = 12


def report(field: xr.DataArray, folder: Path, settings: Settings, ready: Prepared, found: Judgement) -> Path:
    """Write ``report.html`` into the folder of a replay.

    Parameters
    ----------
    field, folder, settings, ready
        As of the replay.
    found
        From :func:`oceankit.replay.judged`.
    """
    words, good = _first_lines(settings, found)
    place = html.escape(settings.place["en"])
    parts = [
        f"<h1>{place}, {settings.days[0]} to {settings.days[1]}: a marine heatwave day by day</h1>",
        f"<p>Each day was worked through with the data that existed on that day. Climatology "
        f"({'-'.join(settings.base)}) and forecast "
        f"model ({settings.train[0]} to {settings.train[1]}) know nothing later than {settings.learnt}.</p>",
        f'<div class="lead{"" if good else " bad"}">{"".join(f"<p>{w}</p>" for w in words)}</div>',
        "<h2>What happened, and what was warned of</h2>",
        *_figures_of_event(field, settings, ready, found),
        "<h2>Alerts against what happened</h2>", _alert_table(found), _onset_table(found), _history(folder, settings),
        "<h2>How good the forecasts were</h2>", *_figures_of_skill(found.scores), _skill_table(found.scores),
        "<h2>How the days came</h2>", _deliveries(found),
        "<h2>What a day took</h2>", _seconds(folder),
        "<h2>What the words mean</h2>", _meanings(settings, ready.decision),
    ]  # fmt: skip
    body = "\n".join(parts)
    text = (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{place}: replay</title><style>{_CSS}</style>'
        f"<body>{body}\n<p class='small'>Made by oceankit. Alert levels are a proposal of oceankit, no "
        f"official rule.</p></body></html>\n"
    )
    path = folder / "report.html"
    write_whole(path, text.encode())
    return path


# ---- the first lines -------------------------------------------------------------------------------------------------


def _first_lines(settings: Settings, found: Judgement) -> tuple[list[str], bool]:
    """What matters most, and whether the forecasts beat damped persistence at every lead."""
    orange = found.alerts[2]
    words = [_skill_words(found.scores), _calibration_words(found.scores)]
    if orange["first_alert"] is None:
        words.append("No orange alert was issued.")
    else:
        words.append(
            f"The first <b>orange</b> alert was issued at the end of {orange['first_alert']}, "
            f"<b>{_before(found.peak, orange['first_alert'])}</b> the peak of the event ({found.peak}, the day with the highest "
            f"severity over the area). {_at_the_peak(found)}"
        )
    for one in found.alerts:
        if one["days_observed"] or one["days_alerted"]:
            words.append(
                f"Level {one['level']}: of {one['days_observed']} days on which it was reached, {one['hits']} "
                f"had been warned of "
                f"the day before at the latest, {one['misses']} had not; {one['false_alarms']} days of alert "
                f"were followed by nothing "
                f"of the kind within {max(settings.leads)} days."
            )
    low = found.scores["bss_vs_reference_low"].values
    return words, bool((low > 0).all())


def _before(peak: np.datetime64, day: str) -> str:
    days = int((peak - np.datetime64(day)).astype(int))
    return (
        f"{days} day{'s' * (days != 1)} before" if days > 0 else "on the day of" if days == 0 else f"{-days} days after"
    )


def _at_the_peak(found: Judgement) -> str:
    since = found.alerts[2]["in_force_at_the_peak_since"]
    if since is None:
        return "At the peak no orange alert was in force."
    return (
        f"The orange alert that was in force at the peak had been issued {_before(found.peak, since)} it, on {since}."
    )


def _skill_words(scores: xr.Dataset) -> str:
    leads = scores["lead_time"].values
    skill, low, high = (100 * scores[f"bss_vs_reference{end}"].values for end in ("", "_low", "_high"))
    better, worse = leads[low > 0], leads[high < 0]
    unclear = leads[(low <= 0) & (high >= 0)]
    k = _middle(scores)
    told = f"{skill[k]:+.1f} % at {leads[k]} days, 95 % interval {low[k]:+.1f} to {high[k]:+.1f} %"
    if better.size == leads.size:
        return f"The forecasts of a heatwave day were <b>better than damped persistence at all leads</b> (Brier skill {told})."
    said = [
        f"{word} at {_listed(some)} days ahead"
        for word, some in (("better", better), ("not distinguishable", unclear), ("<b>worse</b>", worse))
        if some.size
    ]
    return f"Against damped persistence the forecasts of a heatwave day were {', '.join(said)} (Brier skill {told})."


def _calibration_words(scores: xr.Dataset) -> str:
    """Whether probabilities can be taken at their word."""
    one = scores.isel(lead_time=_middle(scores))
    share = one["reliability_share"].fillna(0)
    said = 100 * float((share * one["reliability_probability"].fillna(0)).sum() / share.sum())
    came, error = 100 * float(one["base_rate"]), 100 * float(one["ece"])
    ahead = f"At {int(one['lead_time'])} days ahead"
    if round(error) <= 1:
        return f"{ahead} probabilities can be taken at their word, to {error:.0f} points."
    return (
        f"{ahead} a heatwave day was given a probability of {said:.0f} % on average, and {came:.0f} % of the days were one: "
        f"probabilities were too {'low' if said < came else 'high'}, by {error:.0f} points in the mean of their classes."
    )


def _middle(scores: xr.Dataset) -> int:
    """Where the lead nearest to a week is."""
    return int(np.argmin(np.abs(scores["lead_time"].values - 7)))


def _listed(leads: np.ndarray) -> str:
    """Numbers with stretches written as ranges."""
    cut = np.flatnonzero(np.diff(leads) > 1)
    ends = zip(leads[np.r_[0, cut + 1]], leads[np.r_[cut, leads.size - 1]], strict=True)
    return ", ".join(f"{a}" if a == b else f"{a}-{b}" for a, b in ends)


# ---- figures ---------------------------------------------------------------------------------------------------------


def _figures_of_event(field: xr.DataArray, settings: Settings, ready: Prepared, found: Judgement) -> list[str]:
    from oceankit.products.replay_figures import plot_replay, plot_replay_maps

    drawn = [
        _image(
            plot_replay(found.days),
            "Above: temperature of the area against what is normal for the day. Middle: how much of the "
            "area is in which category. "
            "Below: the alert in force, as issued the evening before, and the level that was observed.",
        )
    ]
    if field.ndim == 3:
        lived = settings.lived
        some = np.unique(np.linspace(0, lived.size - 1, min(_MAPS, lived.size)).round().astype(int))
        shown = field.sel(time=lived[some].astype("M8[ns]")).load()
        severe = severity(shown, *normal_on(ready.clim, shown))
        category = severe.copy(data=np.clip(np.floor(severe.values), 0, 4))
        drawn.append(
            _image(plot_replay_maps(category), "The category of the day at each place, from the beginning to the end.")
        )
    return drawn


def _figures_of_skill(scores: xr.Dataset) -> list[str]:
    from oceankit.products import plot_reliability
    from oceankit.products.replay_figures import plot_replay_skill

    leads = [k for k in (1, 3, 7, 14) if k in scores["lead_time"].values] or [int(scores["lead_time"].values[0])]
    curves = {f"{k} day{'s' * (k != 1)} ahead": scores.sel(lead_time=k) for k in leads}
    return [
        _image(
            plot_replay_skill(scores), "Above zero the forecast is better. Bands: 95 % intervals from blocks of days."
        ),
        _image(
            plot_reliability(curves, subtitle="").figure,
            "When a heatwave day was called x % probable, how often did it come? On the diagonal "
            "probabilities can be taken at their word.",
        ),
    ]


def _image(figure: Any, caption: str) -> str:
    from oceankit.products.replay_figures import png

    data = base64.b64encode(png(figure)).decode("ascii")
    return f'<p><img alt="{html.escape(caption)}" src="data:image/png;base64,{data}"></p><p class="small">{caption}</p>'


# ---- tables ----------------------------------------------------------------------------------------------------------


def _table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    def cells(row: Sequence[Any], tag: str) -> str:
        return "".join(f"<{tag}{' class=n' if k else ''}>{v}</{tag}>" for k, v in enumerate(row))

    lines = "".join(f"<tr>{cells(r, 'td')}</tr>" for r in rows)
    return f"<table><tr>{cells(head, 'th')}</tr>{lines}</table>"


def _alert_table(found: Judgement) -> str:
    head = (
        "level or higher",
        "days it was reached",
        "warned of (hits)",
        "missed",
        "days of alert",
        "false alarms",
        "not judged",
    )
    rows = [
        (
            a["level"],
            a["days_observed"],
            a["hits"],
            a["misses"],
            a["days_alerted"],
            a["false_alarms"],
            a["days_not_judged"],
        )
        for a in found.alerts
    ]
    return _table(head, rows)


def _onset_table(found: Judgement) -> str:
    rows = [
        (
            a["level"],
            o["begin"],
            o["end"],
            "from the first day on" if o["since_the_start"] else _lead_words(o["lead_days"]),
        )
        for a in found.alerts
        for o in a["onsets"]
    ]
    if not rows:
        return "<p>No level was reached.</p>"
    return "<p>Lead time gained: when an alert that lasted until then had been issued.</p>" + _table(
        ("level or higher", "reached on", "until", "the alert came"), rows
    )


def _lead_words(lead: int | None) -> str:
    if lead is None:
        return "never"
    if lead == 0:
        return "on the same day"
    return f"{abs(lead)} day{'s' * (abs(lead) != 1)} {'before' if lead > 0 else 'after'}"


def _history(folder: Path, settings: Settings) -> str:
    rows = []
    for day in settings.lived:
        told = read(folder / "days", day, "day.json")
        if told["action"] != "keep":
            link = f'<a href="days/{day}/bulletin.en.txt">English</a>, <a href="days/{day}/bulletin.zh.txt">中文</a>'
            rows.append(
                (str(day), told["action"], ("none", "blue", "yellow", "orange", "red")[max(told["alert"], 0)], link)
            )
    return "<p>What was issued, evening by evening:</p>" + _table(("day", "what was done", "level", "bulletin"), rows)


def _skill_table(scores: xr.Dataset) -> str:
    def cell(one: xr.Dataset, name: str, scale: float, digits: int) -> str:
        value, low, high = (scale * float(one[f"{name}{end}"]) for end in ("", "_low", "_high"))
        return f"{value:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"

    rows = []
    for k in scores["lead_time"].values:
        one = scores.sel(lead_time=k)
        percent = [
            cell(one, name, 100, 1) for name in ("rmse_skill", "bss_vs_reference", "bss", "bss_vs_observed_rate", "ece")
        ]
        rows.append((k, cell(one, "rmse", 1, 2), *percent))
    head = (
        "days ahead", "RMSE", "RMSE skill, % (damped persistence)", "Brier skill, % (damped persistence)",
        "Brier skill, % (climatological 10 %)", "Brier skill, % (rate that came to pass)", "calibration error, %",
    )  # fmt: skip
    return _table(head, rows)


def _deliveries(found: Judgement) -> str:
    counts = ", ".join(f"{n} {kind}" for kind, n in found.delivered.items() if kind != "cells set aside")
    return (
        f"<p>Deliveries: {counts}. The check set {found.delivered['cells set aside']} cell values aside. "
        f"Days that came late, twice or "
        "again in a corrected version went to their place in the record; heatwaves were followed anew from there.</p>"
    )


def _seconds(folder: Path) -> str:
    with open(folder / "seconds.csv", encoding="ascii") as file:
        rows = list(csv.DictReader(file))
    seconds = np.array([float(row["seconds"]) for row in rows])
    parts = [n for n in rows[0] if n not in ("day", "seconds")]
    medians = [(n, f"{np.median([float(row[n]) for row in rows]):.2f}") for n in parts]
    return (
        f"<p>{np.median(seconds):.2f} s in the median, {seconds.max():.2f} s at most, "
        f"{seconds.sum() / 60:.1f} minutes in all for "
        f"{seconds.size} days. Written {clock.now():%Y-%m-%d %H:%M} UTC.</p>"
    ) + _table(("what a day does", "seconds in the median"), medians)


def _meanings(settings: Settings, decision: Decision) -> str:
    words = {
        "threshold": "the 90th percentile of the base period for the time of the year (Hobday et al. 2016).",
        "severity, category": "the departure from normal in units of the distance from normal to threshold: from 1 on "
        "moderate, 2 strong, 3 severe, 4 extreme (Hobday et al. 2018); here of each single day.",
        "level": "blue, yellow, orange and red stand for categories 1 to 4, reached by at least "
        f"{100 * settings.share:g} % of the area.",
        "alert": "the highest level that is observed today or forecast for the next "
        f"{max(settings.leads)} days with a probability of {100 * decision.confidence:g} % or more. {_chosen(decision)} "
        f"The alert rises at once, and falls when it was not reached for {settings.hold} days.",
        "hit, miss": "a day on which the level was reached, with or without an alert of that level "
        "issued the day before.",
        "false alarm": f"a day of alert after which the level was not reached within {max(settings.leads)} days.",
        "damped persistence": "today's departure from normal, fading as it did in the training years: "
        "what any forecast has to beat.",
        "Brier skill": "how much smaller the mean squared error of the probability is than the "
        "reference's; 100 % is perfect, 0 no gain.",
    }
    return "<dl>" + "".join(f"<dt><b>{k}</b></dt><dd>{v}</dd>" for k, v in words.items()) + "</dl>"


def _chosen(decision: Decision) -> str:
    """Where the probability from which on there is an alert comes from."""
    if decision.given:
        return "That probability was given."
    assert decision.starts is not None  # it was chosen by forecasts
    words = (
        f"That probability was chosen by forecasts from {decision.starts[0]} to {decision.starts[1]}, of a model that knew "
        f"nothing later than {decision.learnt_until}"
    )
    if decision.index is None:
        return f"{words}: none of them told of a level that came, so it is a guess."
    hits, misses, false = (decision.scores or {})[f"{decision.confidence:g}"]
    return (
        f"{words}: of {hits + misses} forecasts before a level was reached {hits} warned of it, and {false} warned of one that "
        "did not come. Of the probabilities that did about as well it is the highest."
    )
