"""Values along time: one series with its climatology, threshold and events; one time-longitude diagram."""

from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from oceankit._extras import require
from oceankit.fields.coordinates import candidates, describe, in_degrees
from oceankit.products import _dates, _frame, _style
from oceankit.products.colours import colours_for, in_units

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap

__all__ = ["plot_hovmoller", "plot_series"]

_LINE, _MEAN, _WARM, _COLD = "#1f3b57", "#6d6d6d", "#c0392b", "#2471a3"


def plot_series(
    series: xr.DataArray,
    *,
    ax: "Axes | None" = None,
    climatology: xr.DataArray | xr.Dataset | float | None = None,
    threshold: xr.DataArray | float | None = None,
    events: xr.Dataset | None = None,
    time: Hashable | None = None,
    label: str | None = None,
    title: str | None = None,
    subtitle: str | None = None,
    stamp: str | None = None,
    attribution: str | None = None,
    units: str | None = None,
) -> "Axes":
    """Draw a time series, with its climatology, threshold and events where they are given.

    Parameters
    ----------
    series
        Along time; further dimensions must have size 1. Missing values, and times that a regular series skips, stay
        gaps. Dates of any calendar: 360_day and its like get an axis of their own calendar, which is named.
    ax
        Where to draw; by default a new figure as wide as the text of an A4 page.
    climatology, threshold
        A number, values at the times of ``series``, or values along ``dayofyear`` (366 days: those of a leap year, as
        in ``oceankit.anomaly``) or ``month``. A climatology Dataset with ``mean`` and ``threshold`` gives both.
    events
        Dataset along ``event`` with ``start`` and ``end``, both days included; where ``intensity_max`` is negative the
        event is drawn as cold. With a threshold, the excess over it is filled.
    time
        Name of the time coordinate, where finding it is not wanted.
    label
        What the legend calls the series; by default its quantity.
    title, subtitle, stamp, attribution
        As in :func:`oceankit.products.plot_map`.
    units
        Units to show values in, see :func:`oceankit.products.in_units`; all lines are converted alike.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError
        If the series has more dimensions, no dates or no finite value, or if climatology, threshold or events do not
        fit its times or calendar.
    """
    when, series = _along_time(series, time, "plot_series")
    mean, threshold = _both(climatology, threshold) if isinstance(climatology, xr.Dataset) else (climatology, threshold)
    normal = None if mean is None else _at(mean, when, series, "climatology")
    limit = None if threshold is None else _at(threshold, when, series, "threshold")
    if units is not None:
        normal, limit = (v if v is None else in_units(v, units) for v in (normal, limit))
        series = in_units(series, units)
    looks: list[tuple[xr.DataArray | None, str, dict[str, Any]]] = [
        (normal, "Climatology", {"color": _MEAN, "linewidth": 1.0}),
        (limit, "Threshold", {"color": _WARM, "linewidth": 0.9, "linestyle": (0, (4, 2))}),
    ]
    t = _dates.numbers(when.values, when)
    with _style.drawing():
        own = ax is None
        if ax is None:
            ax = _style.plt().figure(figsize=(_style.PAGE_WIDTH, 3.6)).add_subplot()
        for other, name, look in looks:
            if other is not None:
                ax.plot(*_dates.with_gaps(t, other.values), label=name, gid=name.lower(), zorder=3, **look)
        _line(ax, t, series.values, label or _style.quantity(series))
        if events is not None:
            _events(ax, events, when, t, series.values, None if limit is None else limit.values)
        ax.set_ylabel(_style.label(series))
        ax.margins(x=0.01)
        _dates.dress(ax.xaxis, when)
        ax.grid(axis="y", color=_style.GRID, linewidth=0.3, alpha=0.6)
        ax.spines[["top", "right"]].set_visible(False)
        if len(ax.get_legend_handles_labels()[1]) > 1:
            _legend(ax)
        _style.finish(ax, _style.quantity(series) if title is None else title, subtitle or "", stamp, attribution)
        if own:
            _frame.fit(ax, 6.3, 2.3)
    return ax


def _along_time(field: xr.DataArray, name: Hashable | None, purpose: str) -> tuple[xr.DataArray, xr.DataArray]:
    _style.check(field, purpose)
    when = _dates.time_of(field, name)
    flat = _style.flat(field, when.dims, purpose)
    values = np.asarray(flat.values, dtype=np.float64)
    if not np.isfinite(values).any():
        raise ValueError(f"{describe(field)} has no finite value to show; check the selection or the fill value")
    return when, flat.copy(data=np.where(np.isfinite(values), values, np.nan))


def _both(climatology: xr.Dataset, threshold: Any) -> tuple[Any, Any]:
    if "mean" not in climatology:
        raise ValueError(
            f"climatology has no variable 'mean' but {list(climatology.data_vars)}; give the DataArray meant"
        )
    return climatology["mean"], climatology.get("threshold") if threshold is None else threshold


def _at(values: xr.DataArray | float, when: xr.DataArray, series: xr.DataArray, what: str) -> xr.DataArray:
    """A number, a climatology or values at the series' times, as an array along its time, with its attributes."""
    if not isinstance(values, xr.DataArray):
        if not np.isfinite(values):
            raise ValueError(f"{what}={values!r} is not finite")
        return series.copy(data=np.full(series.shape, float(values)))
    found = values.squeeze([d for d, n in values.sizes.items() if n == 1 and d not in when.dims])
    if found.dims == ("dayofyear",):
        found = found.sel(dayofyear=_dates.day_of_year(when, found.sizes["dayofyear"]))
    elif found.dims == ("month",):
        found = found.sel(month=when.dt.month.values)
    elif found.dims != when.dims or when.name not in found.coords or not np.array_equal(found[when.name], when):
        raise ValueError(
            f"{what} has dimensions {dict(values.sizes)} and must be a number, lie along 'dayofyear' or 'month', or at "
            f"the very times of {describe(series)}; select or reindex it first"
        )
    have, want = (_style.pretty_units(v.attrs.get("units")) for v in (values, series))
    if "units" in values.attrs and have != want:
        raise ValueError(f"{what} is in {have!r}, but {describe(series)} in {want!r}; convert one of them first")
    return series.copy(data=np.asarray(found.values, dtype=np.float64))


def _line(ax: Any, t: np.ndarray, values: np.ndarray, label: str) -> None:
    t, values = _dates.with_gaps(t, values)
    ax.plot(t, values, color=_LINE, linewidth=1.1, zorder=4, label=label, gid="series")
    there = np.concatenate([[False], np.isfinite(values), [False]])
    # A line through one point is nothing: values alone between gaps are dots.
    alone = there[1:-1] & ~there[:-2] & ~there[2:]
    ax.plot(t[alone], values[alone], ".", color=_LINE, markersize=3.5, zorder=4)


def _events(
    ax: Any, events: xr.Dataset, when: xr.DataArray, t: np.ndarray, values: np.ndarray, limit: np.ndarray | None
) -> None:
    missing = [name for name in ("start", "end") if name not in events]
    if missing:
        raise ValueError(f"events lack {', '.join(missing)}; needed: dates start and end along 'event'")
    if events["start"].size == 0:
        return
    start, end = (_dates.numbers(events[name].values.ravel(), when) for name in ("start", "end"))
    half = float(np.median(np.diff(t))) / 2 if t.size > 1 else 0.5
    peak = events["intensity_max"].values.ravel() if "intensity_max" in events else np.ones(start.size)
    named = set()
    for first, last, strength in zip(start, end, peak, strict=True):
        cold = strength < 0
        name, color = ("Cold event", _COLD) if cold else ("Warm event" if "intensity_max" in events else "Event", _WARM)
        label = "" if name in named else name
        named.add(name)
        ax.axvspan(first - half, last + half, color=color, alpha=0.16, linewidth=0, zorder=1, label=label, gid="event")
        if limit is not None:
            inside = (t >= first) & (t <= last)
            over = inside & ((values < limit) if cold else (values > limit))
            look = {"color": color, "alpha": 0.55, "linewidth": 0, "zorder": 2}
            ax.fill_between(t, values, limit, where=over, interpolate=True, **look)


def _legend(ax: Any) -> None:
    """Under the axes, where it hides no value."""
    transforms = require("matplotlib.transforms", extra="plot", purpose="figures")
    under = ax.transAxes + transforms.ScaledTranslation(0, -24 / 72, ax.figure.dpi_scale_trans)
    ax.legend(
        loc="upper left", bbox_to_anchor=(0, 0), bbox_transform=under, ncols=5, frameon=False, borderaxespad=0,
        borderpad=0, handlelength=1.8, columnspacing=1.6,
    )  # fmt: skip


def plot_hovmoller(
    field: xr.DataArray,
    *,
    ax: "Axes | None" = None,
    x: Hashable | None = None,
    time: Hashable | None = None,
    title: str | None = None,
    subtitle: str | None = None,
    stamp: str | None = None,
    attribution: str | None = None,
    cmap: "str | Colormap | None" = None,
    vmin: float | None = None,
    vmax: float | None = None,
    levels: int | Sequence[float] | None = None,
    robust: float = 2.0,
    units: str | None = None,
    colorbar: bool = True,
) -> "Axes":
    """Draw a time-longitude diagram (Hovmöller, 1949), time running downwards.

    Parameters
    ----------
    field
        Along time and one other dimension; further ones must have size 1. Times that a regular series skips stay empty.
    ax
        Where to draw; by default a new figure.
    x
        Name of the coordinate across: by default the 1-D longitude, else the 1-D latitude.
    time
        Name of the time coordinate, where finding it is not wanted.
    title, subtitle, stamp, attribution, cmap, vmin, vmax, levels, robust, units, colorbar
        As in :func:`oceankit.products.plot_map`: anomalies get a diverging colour map, symmetric about 0.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError
        If the field has other dimensions, no dates, an unordered coordinate or no finite value.
    """
    _style.check(field, "plot_hovmoller")
    when = _dates.time_of(field, time)
    across, letters = _across(field, x)
    field = _style.flat(field, (when.dims[0], across.dims[0]), "plot_hovmoller").compute()
    if min(field.shape) < 2:
        raise ValueError(
            f"{describe(field)} has shape {field.shape}; plot_hovmoller needs 2 times and 2 columns or more"
        )
    if units is not None:
        field = in_units(field, units)
    colours = colours_for(field, cmap=cmap, vmin=vmin, vmax=vmax, levels=levels, robust=robust)
    columns = np.asarray(across.values, dtype=np.float64)
    if letters:
        columns = in_degrees(across, "longitude" if letters == "EW" else "latitude")
        columns = np.unwrap(columns, period=360.0) if letters == "EW" else columns
    if not ((np.diff(columns) > 0).all() or (np.diff(columns) < 0).all()):
        raise ValueError(f"{across.name!r} is not in order; sort it first with .sortby({across.name!r})")
    t, values = _dates.with_gaps(_dates.numbers(when.values, when), np.asarray(field.values, dtype=np.float64))
    with _style.drawing():
        own = ax is None
        if ax is None:
            ax = _style.plt().figure(figsize=(_style.PAGE_WIDTH, 6.0)).add_subplot()
        ax.patch.set(facecolor=_style.MISSING, edgecolor=_style.HATCH, hatch="//////", linewidth=0)
        artist = ax.pcolormesh(
            _edges(columns), _edges(t), np.ma.masked_invalid(values), cmap=colours.cmap, norm=colours.norm,
            rasterized=True, gid="field",
        )  # fmt: skip
        ax.invert_yaxis()
        _dates.dress(ax.yaxis, when)
        if letters:
            _frame.degree_ticks(ax.xaxis, letters)
        else:
            ax.set_xlabel(_style.label(across))
        ax.grid(color=_style.GRID, linewidth=0.3, alpha=0.6)
        if colorbar:
            _frame.colorbar(
                ax, artist, colours.units if title is None else colours.label, colours.extend, colours.names
            )
        _style.finish(ax, _style.quantity(field) if title is None else title, subtitle or "", stamp, attribution)
        if own:
            _frame.fit(ax, 5.4, float(np.clip(0.06 * len(t), 3.0, 6.5)))
    return ax


def _across(field: xr.DataArray, name: Hashable | None) -> tuple[xr.DataArray, str]:
    """The coordinate across, and the letters of its degrees (none where it is no angle)."""
    found = {kind: [n for n in candidates(field, kind) if field[n].ndim == 1] for kind in ("longitude", "latitude")}
    if name is None:
        names = [n for kind in found.values() for n in kind if field[n].size > 1]
        if not names:
            raise ValueError(
                f"{describe(field)} has no 1-D longitude or latitude; name a coordinate to lay across with x="
            )
        name = names[0]
    if name not in field.coords or field[name].ndim != 1:
        raise ValueError(f"x={name!r} is no 1-D coordinate of {describe(field)}, which has {list(field.coords)}")
    return field[name], "EW" if name in found["longitude"] else "NS" if name in found["latitude"] else ""


def _edges(centres: np.ndarray) -> np.ndarray:
    middle = (centres[1:] + centres[:-1]) / 2
    return np.concatenate([[2 * centres[0] - middle[0]], middle, [2 * centres[-1] - middle[-1]]])
