"""The map of an assessment: cells or stations in the colours of their levels."""

from typing import TYPE_CHECKING, Any

import numpy as np

from oceankit._extras import require
from oceankit.products import _frame, _style
from oceankit.products._alert_summary import degrees, grid_of, places
from oceankit.products._alert_text import Issue, event
from oceankit.products.coastlines import add_land
from oceankit.products.maps import plot_map

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw"]

_AROUND = 2.5  # degrees of latitude beside a single place


def draw(issue: Issue, **options: Any) -> "Axes":
    """The highest level of each place; options are those of :func:`oceankit.products.plot_map`."""
    per_place = places(issue.assessment)
    grid = grid_of(per_place)
    utc = f"Issued {_style.date_text(np.datetime64(issue.issued.replace(tzinfo=None), 's'))}"
    utc += "" if "UTC" in utc else " 00:00 UTC"
    options = {"title": event(issue, "en"), "subtitle": utc, **options}
    if grid is not None and (grid[0].dims != grid[1].dims or grid[0].ndim == 2):
        field, colours = _flagged(issue, per_place)
        matplotlib = require("matplotlib.colors", extra="plot", purpose="maps")
        return plot_map(field, cmap=matplotlib.ListedColormap(colours), **options)
    return _stations(issue, per_place, grid, options)


def _flagged(issue: Issue, per_place: Any) -> tuple[Any, list[str]]:
    """Levels as flags from none up, with their colours; missing ones as missing."""
    levels, entries = per_place["level"], issue.picked.book["levels"]
    names = [issue.picked.book["no_alert"]["names"]["en"], *(v["names"]["en"] for v in entries.values())]
    attrs = {"long_name": "alert level", "flag_values": np.arange(len(names), dtype=np.int8)}
    attrs["flag_meanings"] = " ".join(n.replace(" ", "_") for n in names)
    colours = [issue.picked.book["no_alert"]["colour"], *(v["colour"] for v in entries.values())]
    field = levels.where(levels >= 0).astype(np.float32).assign_attrs(attrs)
    return field.drop_vars([n for n in field.coords if n not in field.dims and field[n].ndim == 0]), colours


def _stations(issue: Issue, per_place: Any, grid: Any, options: dict[str, Any]) -> "Axes":
    s = issue.summary
    if grid is not None:
        lon, lat = degrees(*grid)
        names = per_place["station"].values.tolist() if "station" in per_place.coords else [""] * lon.size
    elif s.lon is not None and s.lat is not None:
        lon, lat = np.array([s.lon]), np.array([s.lat])
        names = [issue.place["en"]]
    else:
        raise ValueError(
            "the assessment has no position to draw; give the station lon and lat in the rules, or coordinates"
        )
    field, colours = _flagged(issue, per_place)
    known = {"title", "subtitle", "extent", "stamp", "attribution", "resolution", "projection", "ax", "land"}
    if set(options) - known:
        raise ValueError(f"{sorted(set(options) - known)} mean nothing on a map of stations; it takes {sorted(known)}")
    # Across the date line, longitudes are counted on.
    lon = np.degrees(np.unwrap(np.radians(lon)))
    wide = _AROUND / max(np.cos(np.radians(lat.mean())), 0.1)
    around = [lon.min() - wide, lon.max() + wide, max(lat.min() - _AROUND, -90), min(lat.max() + _AROUND, 90)]
    box = _frame.checked(options.get("extent") or around)
    with _style.drawing():
        own = options.get("ax") is None
        ax = _frame.axes(box, options.get("projection") or "plain") if own else options["ax"]
        _frame.set_view(ax, box)
        if options.get("land", True):
            add_land(ax, resolution=options.get("resolution"))
        _frame.grid(ax)
        levels = np.atleast_1d(field.values)
        labels = [n.replace("_", " ") for n in field.attrs["flag_meanings"].split()]
        for code in [*range(len(labels)), None]:
            here = np.isnan(levels) if code is None else levels == code
            if here.any() or code:
                colour = "white" if code is None else colours[code]
                label = ("no data" if code is None else labels[code]).capitalize()
                look = {"s": 70, "edgecolors": "black", "linewidths": 0.7, "zorder": 5, "gid": f"level-{code}"}
                ax.scatter(lon[here], lat[here], c=colour, label=label, **look)
        for x, y, name in zip(lon, lat, names, strict=True):
            pale = {"facecolor": "white", "edgecolor": "none", "alpha": 0.7, "pad": 0.8}
            ax.annotate(str(name), (x, y), (8, 4), textcoords="offset points", fontsize=8, zorder=4, bbox=pale)
        ax.legend(loc="lower right", framealpha=0.9, edgecolor=_style.GRID, fancybox=False).set_zorder(19)
        _style.put_titles(ax, options["title"], options["subtitle"])
        if options.get("stamp"):
            _style.put_stamp(ax, options["stamp"])
        if options.get("attribution"):
            _frame.small_print(ax, options["attribution"], below_bar=False)
        if own:
            _frame.fit(ax, *_frame.map_size(ax))
    return ax
