"""Figures of forecasts and their scores: reliability, ROC, scores by lead, and the plume of one place."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from oceankit._extras import require
from oceankit.products import _dates, _frame, _style
from oceankit.products._forecast_parts import (
    WARM,
    axes_or_new,
    band,
    curves_of,
    draw_chances,
    draw_observed,
    key,
    leads_of,
    limit_at,
    models_of,
    numbers_of,
    one_place,
    plain,
)
from oceankit.products.assimilation_panels import titles

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["plot_forecast", "plot_reliability", "plot_roc", "plot_scoreboard"]

# Apart for colour-blind readers, too (Okabe and Ito 2008), the first one darkest.
_COLOURS = (
    "#1f3b57",
    "#c0562b",
    "#009e73",
    "#56b4e9",
    "#cc79a7",
    "#b8860b",
    "#7f7f7f",
    "#6a3d9a",
    "#a6611a",
    "#80cdc1",
)
_LINE, _BAND = "#1f3b57", "#b4c8d8"
_DASHES = (0, (4, 2))
_RARE = 0.001  # a bin with fewer of the pairs says little: its point is hollow


def plot_reliability(
    scores: xr.Dataset | Mapping[str, xr.Dataset],
    *,
    ax: "Axes | None" = None,
    title: str | None = None,
    subtitle: str | None = None,
) -> "Axes":
    """Draw a reliability diagram: how often the event happened against how probable it was said to be.

    Parameters
    ----------
    scores
        From :func:`oceankit.forecast.verify` with an event: of one group, of a few along one dimension, or several by name.
    ax
        Where to draw; by default a new figure of half a page's width. How often each probability was forecast is drawn
        below, in room taken from the axes.
    title, subtitle
        By default what it is, and its numbers; ``""`` leaves them out.

    Returns
    -------
    matplotlib.axes.Axes
        Bars are the intervals of the scores; hollow points have fewer than one pair in a thousand. Of one forecast, grey
        is where it does better than the observed rate (Hsu and Murphy 1986), and the dotted lines are that rate.

    Raises
    ------
    ValueError
        If the scores have no reliability table, or too many curves.
    """
    curves = curves_of(scores, "reliability_frequency", "plot_reliability")
    single = next(iter(curves.values())) if len(curves) == 1 else None
    with _style.drawing():
        ax, own = axes_or_new(ax, (4.0, 4.4))
        beside = require("mpl_toolkits.axes_grid1", extra="plot", purpose="figures").make_axes_locatable(ax)
        below = beside.append_axes("bottom", size="20%", pad=0.12, sharex=ax)
        below.set_label("sharpness")
        ax.plot([0, 1], [0, 1], color=_style.GRID, linewidth=0.8, linestyle=_DASHES, zorder=1, gid="perfect")
        if single is not None:
            _skill(ax, float(single["base_rate"]))
        for (name, one), colour in zip(curves.items(), _COLOURS, strict=False):
            x, y, share = (one[f"reliability_{k}"].values for k in ("probability", "frequency", "share"))
            there = np.isfinite(x) & np.isfinite(y)
            look: dict[str, Any] = {"color": colour, "clip_on": False, "zorder": 4}
            ax.plot(x[there], y[there], "o-", markersize=3.8, linewidth=1.1, label=name, gid="curve", **look)
            rare = there & (share < _RARE)
            ax.plot(x[rare], y[rare], "o", markersize=3.8, markerfacecolor="white", gid="rare", **look)
            if "reliability_frequency_low" in one:
                low, high = (one[f"reliability_frequency_{k}"].values for k in ("low", "high"))
                ax.vlines(x[there], low[there], high[there], color=colour, linewidth=0.9, zorder=3, gid="interval")
            edges = np.linspace(0, 1, share.size + 1)
            filled = single is not None
            below.stairs(
                100 * np.nan_to_num(share), edges, fill=filled, color=_BAND if filled else colour, linewidth=1.0,
                gid="sharpness",
            )  # fmt: skip
        ax.set(xlim=(0, 1), ylim=(0, 1), aspect="equal", ylabel="Observed frequency")
        ax.tick_params(labelbottom=False)
        below.set_xlabel("Forecast probability")
        # Most probabilities of a rare event are small: on a plain scale the others would not show.
        below.set(yscale="log", ylim=(0.1, 130), yticks=[0.1, 1, 10, 100])
        below.set_yticklabels(["0.1", "1", "10", "100"])
        below.minorticks_off()
        below.set_ylabel("% of\nforecasts")
        for each in (ax, below):
            plain(each)
        if single is None:
            # On the side of the diagonal that the curves leave free.
            above = [one["reliability_frequency"] - one["reliability_probability"] for one in curves.values()]
            key(ax, "lower right" if np.nanmean([float(a.mean()) for a in above]) > 0 else "upper left")
        told = "" if single is None else numbers_of(single, ("ece", "bss", "base_rate"))
        titles(ax, "Reliability" if title is None else title, (told or " ") if subtitle is None else subtitle)
        if own:
            _frame.fit(ax, 3.1, 3.8)
    return ax


def _skill(ax: Any, base: float) -> None:
    """Where a point makes the Brier score better than that of the observed rate."""
    x = np.array([0.0, base, base, 1.0])
    half = (x + base) / 2
    ax.fill_between(x[:2], 0, half[:2], color="#eeece7", linewidth=0, zorder=0, gid="skill")
    ax.fill_between(x[2:], half[2:], 1, color="#eeece7", linewidth=0, zorder=0)
    for draw in (ax.axhline, ax.axvline):
        draw(base, color=_style.GRID, linewidth=0.7, linestyle=":", zorder=1)


def plot_roc(
    scores: xr.Dataset | Mapping[str, xr.Dataset],
    *,
    ax: "Axes | None" = None,
    title: str | None = None,
    subtitle: str | None = None,
) -> "Axes":
    """Draw the relative operating characteristic: events caught against false alarms, for each threshold of probability.

    Parameters
    ----------
    scores, ax, title, subtitle
        As for :func:`plot_reliability`.

    Returns
    -------
    matplotlib.axes.Axes
        The dot is the decision threshold of the scores.

    Raises
    ------
    ValueError
        If the scores have no ROC curve, or too many.
    """
    curves = curves_of(scores, "roc_hit_rate", "plot_roc")
    with _style.drawing():
        ax, own = axes_or_new(ax, (4.0, 4.0))
        ax.plot([0, 1], [0, 1], color=_style.GRID, linewidth=0.8, linestyle=_DASHES, zorder=1, gid="chance")
        for (name, one), colour in zip(curves.items(), _COLOURS, strict=False):
            area = float(one["auc"])
            label = f"{name}: {area:.3f}" if name else f"{area:.3f}"
            x, y = one["roc_false_alarm_rate"].values, one["roc_hit_rate"].values
            ax.plot(x, y, color=colour, linewidth=1.2, label=label, zorder=3, gid="curve")
            ax.plot(one["false_alarm_rate"], one["hit_rate"], "o", color=colour, markersize=4, zorder=4, gid="decision")
        ax.set(xlim=(0, 1), ylim=(0, 1.003), aspect="equal", xlabel="False alarm rate", ylabel="Hit rate")
        plain(ax)
        single = next(iter(curves.values())) if len(curves) == 1 else None
        told = "" if single is None else numbers_of(single, ("auc", "sedi", "ets"))
        if single is None:
            key(ax, "lower right", title="area under the curve")
        titles(
            ax,
            "Events caught and false alarms" if title is None else title,
            (told or " ") if subtitle is None else subtitle,
        )
        if own:
            _frame.fit(ax, 3.1, 3.1)
    return ax


def plot_scoreboard(
    scores: xr.Dataset | Mapping[str, xr.Dataset],
    *,
    score: str = "rmse",
    ax: "Axes | None" = None,
    highlight: str | None = None,
    title: str | None = None,
    subtitle: str | None = None,
) -> "Axes":
    """Draw a score against lead for several models, with intervals.

    Parameters
    ----------
    scores
        Along ``model`` and ``lead`` or ``lead_time``, or Datasets of :func:`oceankit.forecast.verify` by name of the model.
    score
        Which one; ``<score>_low`` and ``<score>_high`` are drawn where they are there.
    ax
        Where to draw; by default a new figure as wide as the text of an A4 page.
    highlight
        The model that is drawn thick and last.
    title, subtitle
        By default what the score is; ``""`` leaves them out.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError
        If the score is not there, or lies along anything but models and leads.
    """
    rows = models_of(scores, score)
    if highlight is not None and highlight not in rows:
        raise ValueError(f"highlight={highlight!r} is none of the models {list(rows)}")
    first = next(iter(rows.values()))
    lead = first[score].dims[0]
    x = leads_of(first[lead])
    apart = float(np.diff(x).min()) if x.size > 1 else 1.0
    with _style.drawing():
        ax, own = axes_or_new(ax, (_style.PAGE_WIDTH, 3.6))
        for k, (name, one) in enumerate(rows.items()):
            mine = name == highlight
            colour = _COLOURS[k % len(_COLOURS)]
            # Beside each other, so that intervals do not hide each other.
            place = x + apart * 0.5 * ((k + 0.5) / len(rows) - 0.5)
            look: dict[str, Any] = {"color": colour, "zorder": 5 if mine else 3}
            ax.plot(place, one[score].values, "o-", markersize=4 if mine else 2.8, linewidth=2.0 if mine else 1.0,
                    label=name.replace("_", " "), gid="model", **look)  # fmt: skip
            if f"{score}_low" in one:
                ends = one[f"{score}_low"].values, one[f"{score}_high"].values
                ax.vlines(place, *ends, linewidth=1.2 if mine else 0.7, alpha=0.8, gid="interval", **look)
        if ax.get_ylim()[0] < 0 < ax.get_ylim()[1]:
            ax.axhline(0, color=_style.GRID, linewidth=0.7, zorder=1)
        units = _style.pretty_units(first[score].attrs.get("units"))
        short = score.upper() if len(score) <= 4 else score.replace("_", " ")
        ax.set_ylabel(f"{short} ({units})" if units else short)
        step = first[lead].attrs.get("units")
        step = "days" if first[lead].dtype.kind == "m" else step
        ax.set_xlabel(f"Lead ({step})" if step else "Lead")
        ticker = require("matplotlib.ticker", extra="plot", purpose="figures")
        few = x.size <= 14
        ax.xaxis.set_major_locator(ticker.FixedLocator(x) if few else ticker.MaxNLocator(12, integer=True))
        plain(ax)
        ax.grid(axis="y", color=_style.GRID, linewidth=0.3, alpha=0.6)
        ax.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0), frameon=False, borderaxespad=0, handlelength=1.6)
        words = str(first[score].attrs.get("long_name", short))
        interval = first.attrs.get("interval")
        told = f"Bars hold {interval}" if interval and f"{score}_low" in first else " "
        titles(ax, words[:1].upper() + words[1:] if title is None else title, told if subtitle is None else subtitle)
        if own:
            _frame.fit(ax, 5.0, 2.6)
    return ax


def plot_forecast(
    forecast: xr.Dataset | xr.DataArray,
    *,
    ax: "Axes | None" = None,
    truth: xr.DataArray | None = None,
    threshold: xr.DataArray | float | None = None,
    title: str | None = None,
    subtitle: str | None = None,
    stamp: str | None = None,
    attribution: str | None = None,
) -> "Axes":
    """Draw one forecast of one place: the mean with bands that hold the truth in 50 and 90 of 100 cases.

    Parameters
    ----------
    forecast
        As for :func:`oceankit.forecast.verify`, with one start and one cell selected: ``mean`` and ``std``, an ensemble along
        ``member`` (its quantiles are the bands), or a single line. ``p_event`` is drawn below, in room taken from the axes.
    ax
        Where to draw; by default a new figure as wide as the text of an A4 page.
    truth
        What was observed, along time: dots from as long before the start as the forecast reaches.
    threshold
        Of the event: a number, or values along ``lead_time`` or ``month``.
    title, subtitle, stamp, attribution
        As in :func:`oceankit.products.plot_map`.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError
        If more than one start or cell is left, nothing says when the forecast is valid, or units differ.
    """
    # Not at the top: figures of other things need no forecasts.
    from oceankit.forecast._pairing import read_forecast

    given = read_forecast(forecast)
    fields = {name: one_place(field) for name, field in given.fields.items()}
    if list(fields) == ["p"]:
        raise ValueError("plot_forecast draws a forecast with values, but there is p_event alone; add the 'mean'")
    when = xr.DataArray(given.valid[0], dims="lead_time", name="valid_time")
    t = _dates.numbers(when.values, when)
    shown = fields["members"].mean("member") if "members" in fields else fields["mean"]
    shown.attrs = dict(given.one.attrs)
    with _style.drawing():
        ax, own = axes_or_new(ax, (_style.PAGE_WIDTH, 3.6))
        bottom = draw_chances(ax, t, fields["p"].values) if "p" in fields else ax
        for share, colour in ((90, "#dbe5ec"), (50, _BAND)):
            ends = band(fields, share / 100)
            if ends is not None:
                ax.fill_between(
                    t, *ends, color=colour, linewidth=0, zorder=1, label=f"{share} % of cases", gid=f"band{share}"
                )
        ax.plot(
            t,
            shown.values,
            "o-",
            color=_LINE,
            markersize=2.6,
            linewidth=1.3,
            zorder=4,
            label="Forecast",
            gid="forecast",
        )
        if threshold is not None:
            limit = limit_at(threshold, when, shown)
            ax.plot(
                t, limit, color=WARM, linewidth=1.0, linestyle=_DASHES, zorder=3, label="Threshold", gid="threshold"
            )
        if truth is not None:
            draw_observed(ax, truth, shown, when, t)
        ax.set_ylabel(_style.label(shown.rename(None) if shown.name == "mean" and shown.attrs else shown))
        ax.margins(x=0.02)
        _dates.dress(bottom.xaxis, when)
        plain(ax)
        ax.grid(axis="y", color=_style.GRID, linewidth=0.3, alpha=0.6)
        ax.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0), frameon=False, borderaxespad=0, handlelength=1.6)
        start = "" if "init_time" not in given.one.coords else f"Forecast from {_style.date_text(given.init[0])}"
        if start:
            ax.axvline(
                _dates.numbers(given.init, when)[0],
                color=_style.GRID,
                linewidth=0.8,
                linestyle=":",
                zorder=1,
                gid="start",
            )
        heading = _style.quantity(shown) if title is None else title
        _style.finish(ax, heading, start if subtitle is None else subtitle, stamp, attribution)
        if own:
            _frame.fit(ax, 5.2, 3.0 if "p" in fields else 2.3)
    return ax
