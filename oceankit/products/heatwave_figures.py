"""Heatwaves and cold spells as Hobday et al. (2018) draw them: one event day by day, and all events through time."""

from collections.abc import Hashable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import xarray as xr

from oceankit.anomaly import heatwaves
from oceankit.fields.coordinates import describe
from oceankit.products import _dates, _frame, _style
from oceankit.products._heatwave_parts import KINDS, NAMES, kind_of, legend, require_columns, subtitle_of, write
from oceankit.products.colours import CATEGORY_COLOURS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["plot_heatwave", "plot_heatwave_events"]

_LINE, _MEAN, _LEVEL = "#1f2933", "#6d6d6d", "#2f7d5b"
_DASHES = (0, (4, 2.5))


class _Lines(NamedTuple):
    """Numbers of days since 1970, and what is drawn at them."""

    t: np.ndarray
    values: np.ndarray
    mean: np.ndarray
    levels: np.ndarray
    """(4, steps): the mean and 1, 2, 3 and 4 times the distance from it to the threshold."""

    def within(self, window: tuple[float, float]) -> "_Lines":
        inside = (self.t >= window[0]) & (self.t <= window[1])
        return _Lines(self.t[inside], self.values[inside], self.mean[inside], self.levels[:, inside])


def plot_heatwave(
    series: xr.DataArray,
    clim: xr.Dataset,
    events: xr.Dataset | None = None,
    *,
    ax: "Axes | None" = None,
    around: int | tuple[Any, Any] | None = None,
    margin: float = 45.0,
    cold: bool | None = None,
    time: Hashable | None = None,
    label: str | None = None,
    title: str | None = None,
    subtitle: str | None = None,
    stamp: str | None = None,
    attribution: str | None = None,
) -> "Axes":
    """Draw an event day by day: values, mean, threshold and its multiples, what lies beyond them in the colour of its category.

    Parameters
    ----------
    series
        Along time; further dimensions must have size 1.
    clim
        Its climatology, of the same cell, with ``mean`` and ``threshold``.
    events
        From :func:`oceankit.heatwaves`, of this series; by default found here with its default options. Of the days beyond the
        threshold only those of events are coloured.
    ax
        Where to draw; by default a new figure as wide as the text of an A4 page.
    around
        What is shown: the position of an event along ``event``, or first and last date, both included. By default the event
        of the greatest intensity. That event is named at its peak, between dates the strongest one.
    margin
        Days before and after the event.
    cold
        As in :func:`oceankit.heatwaves`, for finding the events here.
    time
        Name of the time coordinate, where finding it is not wanted.
    label
        What the legend calls the series; by default its quantity.
    title, subtitle, stamp, attribution
        As in :func:`oceankit.products.plot_map`; by default the dates of the event, and the quantity, place and climatology.

    Returns
    -------
    matplotlib.axes.Axes
        Its artists have a gid: ``series``, ``mean``, ``threshold``, ``level-2`` to ``level-4`` where they are reached,
        ``category-1`` to ``category-4``, ``peak``.

    Raises
    ------
    ValueError
        If the series has more dimensions or no dates, climatology or events are not those of this series, there is no event,
        or ``around`` is none of them.

    References
    ----------
    Hobday, A. J., et al. (2018). Categorizing and naming marine heatwaves. Oceanography 31(2), 162-173, figure 2.
    """
    _style.check(series, "plot_heatwave")
    when = _dates.time_of(series, time)
    series = _style.flat(series, when.dims, "plot_heatwave").compute()
    if events is None:
        events = heatwaves(series, clim, cold=cold, time=time)
    kind = kind_of(events)
    mean, threshold = (_on_days(clim, name, when, series) for name in ("mean", "threshold"))
    levels = mean + np.arange(1, 5)[:, None] * (threshold - mean)
    lines = _Lines(_dates.numbers(when.values, when), np.asarray(series.values, np.float64), mean, levels)
    spans = [_dates.numbers(events[name].values, when) for name in ("start", "end")]
    window = _window(around, margin, events, spans, when)
    seen = lines.within(window)
    if not np.isfinite(seen.values).any():
        raise ValueError(
            f"{describe(series)} has no value from {_day(window[0])} to {_day(window[1])}: take another around="
        )
    shown = np.flatnonzero((spans[1] >= window[0]) & (spans[0] <= window[1]))
    with _style.drawing():
        own = ax is None
        if ax is None:
            ax = _style.plt().figure(figsize=(_style.PAGE_WIDTH, 3.8)).add_subplot()
        ax.set_xlim(seen.t[0], seen.t[-1])
        _colour(ax, lines, [(spans[0][i], spans[1][i]) for i in shown], kind)
        reached = _draw_lines(ax, seen, label or _style.quantity(series))
        named = None
        if shown.size:
            strength = np.abs(events["intensity_max"].values[shown])
            named = around if isinstance(around, int | np.integer) else int(shown[np.argmax(strength)])
            _name_peak(ax, events.isel(event=named), when, lines, kind, _style.pretty_units(series.attrs.get("units")))
        _fit_height(ax, seen, kind, reached)
        ax.set_ylabel(_style.label(series))
        _dates.dress(ax.xaxis, when)
        ax.spines[["top", "right"]].set_visible(False)
        legend(ax, kind)
        if title is None:
            title = _title(
                events, None if isinstance(around, tuple | list) and shown.size > 1 else named, shown.size, kind
            )
        if subtitle is None:
            subtitle = subtitle_of(series, events, quantity=label is not None)
        _style.finish(ax, title, subtitle, stamp, attribution, drop=40)
        if own:
            _frame.fit(ax, 6.1, 2.6)
    return ax


def plot_heatwave_events(
    events: xr.Dataset,
    *,
    by: str = "intensity_max",
    ax: "Axes | None" = None,
    name: int = 1,
    title: str | None = None,
    subtitle: str | None = None,
    stamp: str | None = None,
    attribution: str | None = None,
) -> "Axes":
    """Draw the events of one place through time, a stick for each, in the colour of its category.

    Parameters
    ----------
    events
        From :func:`oceankit.heatwaves`, of one cell.
    by
        What the sticks show: ``"intensity_max"``, ``"duration"``, ``"intensity_cumulative"`` or any other column of numbers.
    ax
        Where to draw; by default a new figure as wide as the text of an A4 page.
    name
        How many of the greatest are named with their dates.
    title, subtitle, stamp, attribution
        As in :func:`oceankit.products.plot_map`.

    Returns
    -------
    matplotlib.axes.Axes
        Its artists have a gid: ``sticks``, ``heads``.

    Raises
    ------
    ValueError
        If there is no event, a column is missing or holds no numbers, or the events are of several cells.
    """
    require_columns(events, "peak", "category", by)
    cells = np.unique(events["cell"].values) if "cell" in events else np.zeros(1)
    if cells.size > 1:
        pick = f"events.isel(event=(events.cell == {cells[0]}).values)"
        raise ValueError(f"the events are of {cells.size} cells; take those of one: {pick}")
    kind = kind_of(events)
    column, when = events[by], events["peak"]
    if column.dtype.kind not in "fiu":
        raise ValueError(f"by={by!r} holds {column.dtype} values; name a column of numbers, such as 'duration'")
    t, values = _dates.numbers(when.values, when), column.values.astype(np.float64)
    order = np.argsort(np.abs(np.nan_to_num(values)), kind="stable")  # the greatest in front
    colours = np.array(CATEGORY_COLOURS[kind])[events["category"].values.astype(int) - 1]
    with _style.drawing():
        own = ax is None
        if ax is None:
            ax = _style.plt().figure(figsize=(_style.PAGE_WIDTH, 3.4)).add_subplot()
        # Grey around them, as the palest colours are hardly seen on white.
        ax.vlines(t[order], 0, values[order], colors="#8c979e", linewidth=2.0, zorder=2)
        ax.vlines(t[order], 0, values[order], colors=colours[order], linewidth=1.3, zorder=2.1, gid="sticks")
        ax.scatter(
            t[order], values[order], s=22, c=colours[order], edgecolors=_LINE, linewidths=0.4, zorder=3, gid="heads"
        )  # fmt: skip
        ax.axhline(0, color=_style.TEXT, linewidth=0.6, zorder=1)
        ax.margins(x=0.03, y=0.16)
        if np.nanmax(values) <= 0:
            ax.set_ylim(top=0)
        elif np.nanmin(values) >= 0:
            ax.set_ylim(bottom=0)
        for i in order[::-1][: max(name, 0)]:
            write(ax, t[i], values[i], _style.date_text(when.values[i]), above=values[i] >= 0)
        _dates.dress(ax.xaxis, when.sortby(when))
        ax.set_ylabel(_style.label(_short(column)))
        ax.grid(axis="y", color=_style.GRID, linewidth=0.3, alpha=0.6)
        ax.spines[["top", "right"]].set_visible(False)
        legend(ax, kind)
        n = events.sizes["event"]
        if title is None:
            title = f"{n} {kind if n > 1 else KINDS[kind].lower()}: {_short(column).attrs['long_name'].lower()}"
        _style.finish(
            ax, title, subtitle_of(None, events) if subtitle is None else subtitle, stamp, attribution, drop=40
        )
        if own:
            _frame.fit(ax, 6.1, 2.2)
    return ax


def _on_days(clim: xr.Dataset, name: str, when: xr.DataArray, series: xr.DataArray) -> np.ndarray:
    """A variable of the climatology at the times of the series."""
    if name not in clim:
        raise ValueError(f"the climatology has no variable {name!r} but {list(clim.data_vars)}")
    values = clim[name].squeeze([d for d, n in clim[name].sizes.items() if n == 1], drop=True)
    if values.dims == ("dayofyear",):
        values = values.sel(dayofyear=_dates.day_of_year(when, values.size))
    elif values.dims == ("month",):
        values = values.sel(month=when.dt.month.values)
    elif values.dims:
        raise ValueError(
            f"the climatology has dimensions {dict(values.sizes)}: select the cell of {describe(series)} first"
        )
    have, want = (_style.pretty_units(v.attrs.get("units")) for v in (clim[name], series))
    if "units" in clim[name].attrs and have != want:
        raise ValueError(
            f"the climatology is in {have!r}, but {describe(series)} in {want!r}; convert one of them first"
        )
    return np.broadcast_to(np.asarray(values.values, np.float64), when.shape)


def _window(
    around: Any, margin: float, events: xr.Dataset, spans: list[np.ndarray], when: xr.DataArray
) -> tuple[float, float]:
    """First and last number of days that are shown."""
    n = events.sizes["event"]
    if around is None:
        around = int(np.argmax(np.abs(events["intensity_max"].values)))
    if isinstance(around, int | np.integer) and not isinstance(around, bool):
        if not -n <= around < n:
            raise ValueError(f"around={around} is no position of an event; there are {n}")
        return spans[0][around] - margin, spans[1][around] + margin
    if isinstance(around, str) or np.shape(around) != (2,):
        raise ValueError(
            f"around={around!r} must be the position of an event, or first and last date: ('2015-09', '2016-06')"
        )
    index = xr.DataArray(np.arange(when.size), dims="t", coords={"t": when.values}).sel(t=slice(*around))
    if index.size == 0:
        raise ValueError(f"around={around!r} holds no time of the series, {when.values[0]} to {when.values[-1]}")
    first, last = _dates.numbers(when.values[index.values[[0, -1]]], when)
    return float(first), float(last)


def _colour(ax: Any, lines: _Lines, spans: list[tuple[float, float]], kind: str) -> None:
    """What lies beyond each level on the days of events, the higher ones in front."""
    inside = np.zeros(lines.t.size, bool)
    for first, last in spans:
        inside |= (lines.t >= first) & (lines.t <= last)
    sign = -1.0 if kind == "cold spells" else 1.0
    for n, colour in enumerate(CATEGORY_COLOURS[kind], start=1):
        level = lines.levels[n - 1]
        beyond = inside & (sign * (lines.values - level) > 0)
        if beyond.any():
            ax.fill_between(
                lines.t, lines.values, level, where=beyond, interpolate=True, color=colour, linewidth=0, zorder=1 + 0.1 * n,
                gid=f"category-{n}",
            )  # fmt: skip


def _draw_lines(ax: Any, seen: _Lines, label: str) -> int:
    """Series, mean, threshold and those of its multiples that the series comes near; the highest of them is returned."""
    ax.plot(seen.t, seen.mean, color=_MEAN, linewidth=1.1, zorder=3, label="Mean", gid="mean")
    with np.errstate(invalid="ignore", divide="ignore"):
        most = np.nanmax((seen.values - seen.mean) / (seen.levels[0] - seen.mean), initial=1.0)
    reached = int(np.clip(np.ceil(most), 1, 4)) if np.isfinite(most) else 1
    look: dict[str, Any] = {"color": _LEVEL, "zorder": 3}
    ax.plot(seen.t, seen.levels[0], linewidth=1.1, label="Threshold", gid="threshold", **look)
    for n in range(2, reached + 1):
        ax.plot(
            seen.t,
            seen.levels[n - 1],
            linewidth=0.8,
            linestyle=_DASHES,
            label="Its multiples" if n == 2 else "",
            gid=f"level-{n}",
            **look,
        )
        ax.annotate(
            f"{n}\N{MULTIPLICATION SIGN}", (seen.t[-1], seen.levels[n - 1][-1]), (3, 0), textcoords="offset points",
            va="center", fontsize=7.5, color=_LEVEL, annotation_clip=False,
        )  # fmt: skip
    ax.plot(seen.t, seen.values, color=_LINE, linewidth=1.2, zorder=4, label=label, gid="series")
    return reached


def _fit_height(ax: Any, seen: _Lines, kind: str, reached: int) -> None:
    """Room for all lines, and for what is written at the peak."""
    drawn = np.concatenate([seen.values, seen.mean, seen.levels[:reached].ravel()])
    low, high = np.nanmin(drawn), np.nanmax(drawn)
    room = (high - low) or 1.0
    above = kind == "heatwaves"
    ax.set_ylim(low - room * (0.05 if above else 0.2), high + room * (0.2 if above else 0.05))


def _name_peak(ax: Any, event: xr.Dataset, when: xr.DataArray, lines: _Lines, kind: str, units: str) -> None:
    at = float(_dates.numbers(event["peak"].values, when)[0])
    value = float(lines.values[int(np.argmin(np.abs(lines.t - at)))])
    ax.plot(at, value, "o", color=_LINE, markersize=4, zorder=5, gid="peak")
    size = f"{float(event['intensity_max']):+.1f} {units}".strip().replace("-", "\N{MINUS SIGN}")
    days, category = int(event["duration"]), NAMES[int(event["category"]) - 1].lower()
    # An event may be severe on its most anomalous day and extreme on another, where the threshold is nearer to the mean.
    of_category = int(event.get(f"duration_{category}", days))
    share = category if of_category == days else f"{of_category} of them {category}"
    text = f"{_style.date_text(event['peak'].values[()])}: {size}\n{days} days, {share}"
    write(ax, at, value, text, above=kind == "heatwaves")


def _title(events: xr.Dataset, named: int | None, shown: int, kind: str) -> str:
    if named is None:
        return f"{shown} {kind}"
    start, end = (_style.date_text(events[n].values[named]) for n in ("start", "end"))
    return f"{KINDS[kind]} of {start} to {end}"


def _short(column: xr.DataArray) -> xr.DataArray:
    """The column with a name for people: what ``by`` said."""
    words = {
        "intensity_max": "Maximum intensity", "intensity_mean": "Mean intensity", "duration": "Duration",
        "intensity_cumulative": "Cumulative intensity", "rate_onset": "Rate of onset", "rate_decline": "Rate of decline",
    }  # fmt: skip
    name = words.get(str(column.name), str(column.name).replace("_", " ").capitalize())
    units = " ".join(_style.pretty_units(part) for part in str(column.attrs.get("units", "")).split())
    return column.assign_attrs(long_name=name, units=units)


def _day(number: float) -> str:
    return str(np.datetime64("1970-01-01") + np.timedelta64(int(number), "D"))
