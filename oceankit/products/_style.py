"""What all figures share: type, greys, names, units and dates as a reader wants them."""

import re
import textwrap
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from oceankit._extras import require
from oceankit.fields.coordinates import candidates, describe

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = [
    "RC", "check", "date_text", "drawing", "finish", "flat", "label", "plt", "pretty_units", "put_stamp", "put_titles",
    "quantity", "time_text",
]  # fmt: skip

PAGE_WIDTH = 7.0  # inches: the text width of an A4 page
COAST, LAND, MISSING, HATCH, GRID, TEXT = "#404040", "#d6d3cd", "#f6f6f6", "#c4c4c4", "#7f7f7f", "#222222"
RED = "#b3261e"
RC: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.labelsize": 9,
    "axes.linewidth": 0.6,
    "axes.edgecolor": TEXT,
    "axes.labelcolor": TEXT,
    "text.color": TEXT,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "xtick.color": TEXT,
    "ytick.color": TEXT,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "legend.fontsize": 8,
    "hatch.linewidth": 0.4,
    "figure.dpi": 200,
    "savefig.dpi": 200,
}
_MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
)  # fmt: skip
_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_UNITS = {
    **dict.fromkeys(["degc", "celsius", "degree_celsius", "degrees_celsius", "degree_c", "degrees_c", "deg_c"], "°C"),
    **dict.fromkeys(["k", "kelvin", "degk", "degree_kelvin", "degrees_kelvin"], "K"),
    **dict.fromkeys(["", "1", "none", "-", "dimensionless", "no unit", "unitless"], ""),
    **dict.fromkeys(["degree", "degrees"], "°"),
    **dict.fromkeys(["percent", "%"], "%"),
}


def plt() -> Any:
    """matplotlib.pyplot, loaded when a figure is first asked for."""
    return require("matplotlib.pyplot", extra="plot", purpose="figures")


@contextmanager
def drawing() -> Iterator[None]:
    """Our type and sizes for what is drawn inside; a figure that fails is closed, not left to the user."""
    pyplot = plt()
    before = set(pyplot.get_fignums())
    with pyplot.rc_context(RC):
        try:
            yield
        except BaseException:
            for number in set(pyplot.get_fignums()) - before:
                pyplot.close(number)
            raise


def pretty_units(units: object) -> str:
    """Units for a label: ``"kg m-3"`` becomes ``"kg m⁻³"`` and ``"degree_C"`` becomes ``"°C"``.

    Examples
    --------
    >>> pretty_units("m s-1"), pretty_units("degree_Celsius"), pretty_units("1")
    ('m s⁻¹', '°C', '')
    """
    text = str(units if units is not None else "").strip()
    if text.lower() in _UNITS:
        return _UNITS[text.lower()]
    text = re.sub(r"(?:\*\*|\^)(-?\d+)", r"\1", text)
    return re.sub(r"(?<=[A-Za-z])(-?\d+)\b", lambda found: found[0].translate(_SUPERSCRIPT), text)


def quantity(field: xr.DataArray) -> str:
    """What the field is, for a title: its long name, standard name or name."""
    text = field.attrs.get("long_name") or field.attrs.get("standard_name")
    if not text:
        return str(field.name or "Value")
    text = " ".join(str(text).replace("_", " ").split())
    return text[:1].upper() + text[1:]


def label(field: xr.DataArray) -> str:
    """The quantity with its units in brackets."""
    units = pretty_units(field.attrs.get("units"))
    return f"{quantity(field)} ({units})" if units else quantity(field)


def date_text(value: Any) -> str:
    """A date as people write it: ``16 January 2015``, with the hour where there is one.

    Examples
    --------
    >>> date_text(np.datetime64("2015-01-16T12:00"))
    '16 January 2015 12:00 UTC'
    """
    if isinstance(value, np.datetime64):
        if np.isnat(value):
            return "no date"
        value = value.astype("datetime64[us]").item()
    if not hasattr(value, "day"):
        return f"{value:g}"  # a time that was not decoded
    day = f"{value.day} {_MONTHS[value.month - 1]} {value.year}"
    return f"{day} {value.hour:02d}:{value.minute:02d} UTC" if value.hour or value.minute else day


def time_text(field: xr.DataArray) -> str:
    """The one date of a field, or ``""`` where it has none."""
    for name in candidates(field, "time"):
        time = field[name]
        if time.size != 1 or not _is_date(time):
            continue
        mean = re.search(r"(^|\s)time: mean", str(field.attrs.get("cell_methods", "")))
        return ("Mean centred on " if mean else "") + date_text(time.values.ravel()[0])
    return ""


def _is_date(values: xr.DataArray) -> bool:
    return values.dtype.kind == "M" or (values.dtype == object and hasattr(values.values.ravel()[0], "month"))


def check(field: xr.DataArray, purpose: str) -> None:
    """Refuse what is no DataArray of numbers."""
    if isinstance(field, xr.Dataset):
        raise ValueError(f"{purpose} shows one field, but got a Dataset of {list(field.data_vars)}; pick one: ds[name]")
    if not isinstance(field, xr.DataArray):
        kind = type(field).__name__
        raise ValueError(f"{purpose} shows an xarray.DataArray, but got {kind}; wrap it with its coordinates")
    if field.dtype.kind not in "fiub":
        raise ValueError(f"{describe(field)} has dtype {field.dtype}, which has no colour; convert it to numbers")


def flat(field: xr.DataArray, dims: tuple[Hashable, ...], purpose: str) -> xr.DataArray:
    """The field with only ``dims`` left, in that order; other dimensions must have size 1."""
    extra = {d: n for d, n in field.sizes.items() if d not in dims and n != 1}
    if extra:
        pick = ", ".join(f"{d}=0" for d in extra)
        raise ValueError(
            f"{describe(field)} has dimensions {dict(field.sizes)}, but {purpose} shows only {dims}; "
            f"select one entry of the others first, for example with .isel({pick})"
        )
    return field.squeeze([d for d in field.dims if d not in dims]).transpose(*dims)


def put_titles(ax: "Axes", title: str, subtitle: str, *, share: float = 1.0) -> None:
    """A bold title over a plain subtitle, both at the left edge of the axes, folded to a share of its width."""
    points = share * ax.get_position().width * ax.figure.get_size_inches()[0] * 72  # type: ignore[union-attr]
    subtitle = textwrap.fill(subtitle, max(int(points / 4.6), 20))
    title = textwrap.fill(title, max(int(points / 6.6), 20))
    if subtitle:
        ax.annotate(
            subtitle, (0, 1), (0, 5), xycoords="axes fraction", textcoords="offset points", ha="left", va="bottom",
            fontsize=9,
        )  # fmt: skip
    if title:
        lines = subtitle.count("\n") + 1 if subtitle else 0
        ax.set_title(title, loc="left", fontsize=11, fontweight="bold", y=1.0, pad=6.0 + 12.0 * lines)


def put_stamp(ax: "Axes", text: str, *, above: bool = False) -> None:
    """A red bordered warning that no reader misses: inside the axes at the lower left, or above at the right."""
    ax.annotate(
        text,
        (1, 1) if above else (0, 0),
        (-2, 9) if above else (6, 6),
        xycoords="axes fraction",
        textcoords="offset points",
        ha="right" if above else "left",
        va="bottom",
        fontsize=10,
        fontweight="bold",
        color=RED,
        zorder=20,
        bbox={"facecolor": "white", "edgecolor": RED, "linewidth": 1.2, "boxstyle": "square,pad=0.35"},
    ).set_gid("stamp")


def finish(ax: Any, title: str, subtitle: str, stamp: str | None, attribution: str | None, *, drop: float = 26) -> None:
    """Titles, stamp, and who is to be named: ``drop`` points below the axes."""
    put_titles(ax, title, subtitle, share=0.6 if stamp else 1.0)
    if stamp:
        put_stamp(ax, stamp, above=True)
    if attribution:
        ax.annotate(
            attribution, (1, 0), (0, -drop), xycoords="axes fraction", textcoords="offset points", ha="right", va="top",
            fontsize=6.5, color="#606060",
        )  # fmt: skip
