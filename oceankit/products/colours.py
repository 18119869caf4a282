"""Which colours, limits and label a field gets: perceptually uniform, chosen by what the field is."""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import xarray as xr

from oceankit._extras import require
from oceankit.fields.coordinates import describe
from oceankit.products._style import label, pretty_units

if TYPE_CHECKING:
    from matplotlib.colors import Colormap, Normalize

__all__ = ["CALM", "CATEGORY_COLOURS", "Colours", "colours_for", "in_units"]

# Moderate, strong, severe, extreme: heatwaves as in Hobday et al. (2018), cold spells as in Schlegel et al. (2021).
CATEGORY_COLOURS = {
    "heatwaves": ("#ffc866", "#ff6900", "#9e0000", "#2d0000"),
    "cold spells": ("#c7ecf2", "#85b7cc", "#4a6a94", "#111433"),
}
CALM = "#edf2f5"  # no event
_CATEGORIES = ("moderate", "strong", "severe", "extreme")
# Flags of any other kind: the bright scheme of Paul Tol, for all kinds of colour vision.
_FLAGS = ("#4477aa", "#ccbb44", "#228833", "#ee6677", "#66ccee", "#aa3377", "#bbbbbb")


class Colours(NamedTuple):
    """How a field is coloured.

    ``cmap`` and ``norm`` are matplotlib's; ``label`` is the quantity with its units, ``units`` the units alone as
    printed; ``extend`` says on which sides values lie beyond the limits. ``names`` are what the colours stand for, in
    order, where the field holds flags.
    """

    cmap: "Colormap"
    norm: "Normalize"
    label: str
    units: str
    extend: str
    names: tuple[str, ...] = ()


_COMPONENTS = "eastward|northward|zonal|meridional|upward|downward|[xyuvw]"
# (what the names say, colour map, scale); the first that matches counts. Colour maps: cmocean (Thyng et al., 2016).
# from_zero falls back to balance where values are negative: an error may be a deviation or a signed difference.
_RULES = tuple(
    (re.compile(pattern), cmap, scale)
    for pattern, cmap, scale in (
        (r"standard deviation|\bstd(dev|ev)?\b|spread|uncertaint|varianc|\brms|\berrors?\b", "amp", "from_zero"),
        (r"anomal|increment|differenc|\bbias\b|innovation|departure|misfit|residual", "balance", "symmetric"),
        (r"tendency|trend|vorticity", "balance", "symmetric"),
        (r"chlorophyll|\bchl", "algae", "log"),
        (r"probabilit|^p event", "amp", "from_zero"),
        (r"^depth|isotherm|mixed layer|floor depth|bathymetr|layer thickness", "deep", "range"),
        (r"temperature|\bsst\b|\btos\b|\bthetao\b", "thermal", "range"),
        (r"salinity|\bsss\b|\bso\b", "haline", "range"),
        (rf"\b({_COMPONENTS})\b.* (velocity|wind|current|stress)", "balance", "symmetric"),
        (r"\bspeed\b", "speed", "from_zero"),
        (r"wave.*period", "tempo", "from_zero"),
        (r"wave.*height|\bswh\b|\bhs\b", "amp", "from_zero"),
        (r"sea ice|ice concentration|ice fraction", "ice", "from_zero"),
        (r"sea level|\bsla\b|sea surface height|\bssh\b|\badt\b|\bzos\b", "balance", "symmetric"),
        (r"density", "dense", "range"),
        (r"turbidity|suspended", "turbid", "from_zero"),
        (r"from direction|to direction|\bphase\b", "phase", "cyclic"),
    )
)
_BY_UNITS = {"°C": ("thermal", "range"), "K": ("thermal", "range"), "m s⁻¹": ("speed", "from_zero")}
_NICE = (1, 2, 2.5, 5, 10)


def colours_for(
    field: xr.DataArray,
    *,
    cmap: "str | Colormap | None" = None,
    vmin: float | None = None,
    vmax: float | None = None,
    levels: int | Sequence[float] | None = None,
    robust: float = 2.0,
) -> Colours:
    """Colour map, limits and label of a field, by its CF standard name, long name, name and units.

    Temperature is ``thermal``, salinity ``haline``, anomalies, increments and velocity components ``balance`` and
    symmetric about 0, errors and standard deviations ``amp`` from 0, speeds ``speed`` from 0, chlorophyll ``algae`` on
    a logarithmic scale, depths ``deep``; an unknown quantity is ``viridis``. Flags (``flag_values`` and ``flag_meanings``)
    have one colour each, the categories of heatwaves those of Hobday et al. (2018); where a value is none of the flags, or
    limits or levels are given, they are numbers like others.

    Parameters
    ----------
    field
        Numbers of any shape.
    cmap
        Name of a matplotlib or cmocean colour map, or a colour map, instead of the chosen one.
    vmin, vmax
        Limits instead of the chosen ones, in the units of the field.
    levels
        Number of colour steps, or their increasing edges, for discrete colours.
    robust
        Percentage of the values left out at each end when limits are chosen; limits are then rounded outwards.

    Returns
    -------
    Colours

    Raises
    ------
    ValueError
        If the field has no finite value, the limits or levels do not increase, a logarithmic limit is not positive,
        or the colour map is unknown.

    Examples
    --------
    >>> field = xr.DataArray([-1.2, 0.0, 0.7], name="sst", attrs={"long_name": "SST anomaly", "units": "K"})
    >>> colours = colours_for(field)
    >>> colours.label, float(colours.norm.vmin), float(colours.norm.vmax)
    ('SST anomaly (K)', -1.2, 1.2)
    """
    values = np.asarray(field.values, dtype=np.float64).ravel()
    values = values[np.isfinite(values)]
    if values.size == 0:
        raise ValueError(f"{describe(field)} has no finite value to show; check the selection or the fill value")
    if not 0 <= robust < 50:
        raise ValueError(f"robust is {robust}, but is the percentage left out at each end: 0 <= robust < 50")
    flags = _flags(field, values) if vmin is None and vmax is None and levels is None else None
    if flags is not None:
        return _of_flags(field, *flags, cmap)
    name, scale = _choice(field, values)
    colourmap = _colourmap(cmap if cmap is not None else name)
    low, high = _limits(values, scale, robust)
    if scale == "symmetric" and (vmin is None) != (vmax is None):
        vmin, vmax = (-vmax, vmax) if vmax is not None else (vmin, -vmin)  # type: ignore[operator]
    low, high = (low if vmin is None else float(vmin)), (high if vmax is None else float(vmax))
    if not low < high or (scale == "log" and low <= 0):
        raise ValueError(
            f"the colour limits of {describe(field)} would be {low:g} to {high:g}; give vmin < vmax"
            + (" and vmin > 0 for a logarithmic scale" if scale == "log" else "")
        )
    norm, extend = _norm(values, scale, low, high, levels, colourmap, describe(field))
    return Colours(colourmap, norm, label(field), pretty_units(field.attrs.get("units")), extend)


def _flags(field: xr.DataArray, values: np.ndarray) -> tuple[np.ndarray, tuple[str, ...]] | None:
    """Flags and their meanings in the order of the flags, where all values are flags."""
    flags = np.atleast_1d(np.asarray(field.attrs.get("flag_values", [])))
    names = str(field.attrs.get("flag_meanings", "")).split()
    if flags.size == 0 or flags.size != len(names) or flags.dtype.kind not in "iuf" or not np.isin(values, flags).all():
        return None
    order = np.argsort(flags, kind="stable")
    return flags[order].astype(np.float64), tuple(names[i].replace("_", " ") for i in order)


def _of_flags(field: xr.DataArray, flags: np.ndarray, names: tuple[str, ...], cmap: Any) -> Colours:
    colors = require("matplotlib.colors", extra="plot", purpose="colour maps")
    n = len(names)
    if cmap is not None:
        chosen = list(_colourmap(cmap)(np.linspace(0, 1, n)))
    elif names[-4:] == _CATEGORIES and n <= 5:
        texts = f"{field.attrs.get('long_name', '')} {field.name}".replace("_", " ")
        chosen = [CALM] * (n - 4) + list(CATEGORY_COLOURS["cold spells" if "cold" in texts else "heatwaves"])
    elif n <= len(_FLAGS):
        chosen = list(_FLAGS[:n])
    else:
        chosen = list(_colourmap("turbo")(np.linspace(0, 1, n)))
    middle = (flags[1:] + flags[:-1]) / 2
    half = middle[0] - flags[0] if n > 1 else 0.5
    edges = np.concatenate([[flags[0] - half], middle, [flags[-1] + (flags[-1] - middle[-1] if n > 1 else 0.5)]])
    norm = colors.BoundaryNorm(edges, n)
    return Colours(
        colors.ListedColormap(chosen), norm, label(field), pretty_units(field.attrs.get("units")), "neither", names
    )


def _choice(field: xr.DataArray, values: np.ndarray) -> tuple[str, str]:
    names = (field.attrs.get("standard_name"), field.attrs.get("long_name"), field.name)
    text = " | ".join(str(n).lower().replace("_", " ") for n in names if n)
    found = next(((cmap, scale) for pattern, cmap, scale in _RULES if pattern.search(text)), None)
    found = found or _BY_UNITS.get(pretty_units(field.attrs.get("units")), ("viridis", "range"))
    return ("balance", "symmetric") if found[1] == "from_zero" and values.min() < 0 else found


def _colourmap(cmap: Any) -> Any:
    matplotlib = require("matplotlib", extra="plot", purpose="colour maps")
    if not isinstance(cmap, str):
        return cmap
    if cmap in matplotlib.colormaps:
        return matplotlib.colormaps[cmap]
    cmocean = require("cmocean", extra="plot", purpose="colour maps")
    if cmap not in cmocean.cm.cmap_d:
        raise ValueError(f"cmap={cmap!r} is no colour map of matplotlib or cmocean; 'thermal' and 'balance' are")
    return cmocean.cm.cmap_d[cmap]


def _limits(values: np.ndarray, scale: str, robust: float) -> tuple[float, float]:
    if scale == "cyclic":
        return 0.0, 360.0 if np.abs(values).max() > 7 else 2 * np.pi
    if scale == "symmetric":
        most = float(np.percentile(np.abs(values), 100 - robust)) or float(np.abs(values).max()) or 1.0
        most = _nice(0.0, most)[1]
        return -most, most
    if scale == "log":
        values = values[values > 0]
        if values.size == 0:
            return 0.0, 0.0
        low, high = np.percentile(values, [robust, 100 - robust])
        low, high = _decade(low, down=True), _decade(high, down=False)
        return low, high if high > low else 10 * low
    low, high = (float(v) for v in np.percentile(values, [robust, 100 - robust]))
    if scale == "from_zero":
        low = 0.0
    if low == high:
        half = abs(low) * 0.05 or 0.5
        low, high = (0.0, 1.0) if scale == "from_zero" else (low - half, high + half)
    return _nice(low, high)


def _nice(low: float, high: float) -> tuple[float, float]:
    """The limits rounded outwards to about a twentieth of the range."""
    ticker = require("matplotlib.ticker", extra="plot", purpose="colour maps")
    ticks = ticker.MaxNLocator(nbins=20, steps=_NICE).tick_values(low, high)
    ends = ticks[ticks <= low + 1e-12 * abs(low)].max(), ticks[ticks >= high - 1e-12 * abs(high)].min()
    # Multiples of the step carry its rounding: 1.2000000000000002.
    return float(f"{ends[0]:.12g}"), float(f"{ends[1]:.12g}")


def _decade(value: float, *, down: bool) -> float:
    """The next 1, 2 or 5 times a power of ten."""
    power = 10.0 ** np.floor(np.log10(value))
    steps = np.array([1.0, 2.0, 5.0, 10.0]) * power
    near = 1e-9 * value
    return float(steps[steps <= value + near].max() if down else steps[steps >= value - near].min())


def _norm(
    values: np.ndarray, scale: str, low: float, high: float, levels: Any, cmap: Any, name: str
) -> tuple[Any, str]:
    colors = require("matplotlib.colors", extra="plot", purpose="colour maps")
    ticker = require("matplotlib.ticker", extra="plot", purpose="colour maps")
    edges = None
    if levels is not None:
        if np.ndim(levels) == 0 and scale == "log":
            edges = np.geomspace(low, high, int(levels) + 1)
        elif np.ndim(levels) == 0:
            edges = ticker.MaxNLocator(nbins=int(levels), steps=_NICE).tick_values(low, high)
        else:
            edges = np.asarray(levels, dtype=np.float64)
        if edges.ndim != 1 or edges.size < 2 or not (np.diff(edges) > 0).all():
            raise ValueError(f"levels={levels!r} of {name} must be a number of steps or at least two increasing edges")
        low, high = edges[0], edges[-1]
    below, above = bool(values.min() < low), bool(values.max() > high)
    extend = {(False, False): "neither", (True, False): "min", (False, True): "max", (True, True): "both"}[below, above]
    if edges is not None:
        return colors.BoundaryNorm(edges, cmap.N, extend=extend), extend
    return (colors.LogNorm if scale == "log" else colors.Normalize)(low, high), extend


def in_units(field: xr.DataArray, units: str) -> xr.DataArray:
    """The field in other units, for display: K and °C, m and cm, m s-1 and cm s-1 and knots, 1 and %.

    A temperature difference (anomaly, increment, standard deviation ...) in K is the same number in °C.

    Raises
    ------
    ValueError
        If the field states no units or the conversion is not known.

    Examples
    --------
    >>> sst = xr.DataArray([293.15], name="sst", attrs={"standard_name": "sea_surface_temperature", "units": "K"})
    >>> in_units(sst, "degC").values
    array([20.])
    """
    have, want = pretty_units(field.attrs.get("units")), pretty_units(units)
    if "units" not in field.attrs:
        raise ValueError(f"{describe(field)} has no units, so it cannot be shown in {units!r}; set .attrs['units']")
    if have == want:
        return field
    if {have, want} == {"K", "°C"}:
        _, scale = _choice(field, np.zeros(1))
        offset = 0.0 if scale in ("symmetric", "from_zero") else 273.15 if want == "K" else -273.15
        converted = field + field.dtype.type(offset) if field.dtype.kind == "f" else field + offset
    elif (have, want) in _FACTORS:
        converted = field * _FACTORS[have, want]
    elif (want, have) in _FACTORS:
        converted = field / _FACTORS[want, have]
    else:
        given = field.attrs["units"]
        raise ValueError(f"{describe(field)} is in {given!r}, which cannot be shown in {units!r}; convert it first")
    return converted.assign_attrs({**field.attrs, "units": units}).rename(field.name)


_FACTORS = {("m", "cm"): 100.0, ("m s⁻¹", "cm s⁻¹"): 100.0, ("m s⁻¹", "knots"): 3600 / 1852, ("", "%"): 100.0}
