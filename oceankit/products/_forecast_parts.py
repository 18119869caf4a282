"""What figures of forecasts and scores are made of: curves by name, models by name, the parts of a plume."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from scipy.special import ndtri

from oceankit._extras import require
from oceankit.products import _dates, _style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = [
    "WARM", "axes_or_new", "band", "curves_of", "draw_chances", "draw_observed", "key", "leads_of", "limit_at", "models_of",
    "numbers_of", "one_place", "plain",
]  # fmt: skip

WARM = "#c0562b"
_MOST = 6  # more curves than this nobody tells apart


def one_place(field: xr.DataArray) -> xr.DataArray:
    field = field.squeeze([d for d, n in field.sizes.items() if d not in ("lead_time", "member") and n == 1])
    left = {d: n for d, n in field.sizes.items() if d not in ("lead_time", "member")}
    if left:
        raise ValueError(f"plot_forecast shows one start and one cell, but {left} are left; select one with .isel")
    return field


def band(fields: Mapping[str, xr.DataArray], share: float) -> tuple[np.ndarray, np.ndarray] | None:
    """Ends of what holds a share of cases."""
    low, high = (1 - share) / 2, (1 + share) / 2
    if "members" in fields:
        ends = fields["members"].quantile([low, high], "member").transpose("quantile", ...).values
        return ends[0], ends[1]
    if "std" not in fields:
        return None
    mean, std = fields["mean"].values, fields["std"].values
    return mean + ndtri(low) * std, mean + ndtri(high) * std


def draw_chances(ax: Any, t: np.ndarray, p: np.ndarray) -> Any:
    """The probability of the event as bars below."""
    beside = require("mpl_toolkits.axes_grid1", extra="plot", purpose="figures").make_axes_locatable(ax)
    below = beside.append_axes("bottom", size="28%", pad=0.14, sharex=ax)
    below.set_label("probability")
    width = 0.7 * (float(np.diff(t).min()) if t.size > 1 else 1.0)
    below.bar(t, 100 * p, width=width, color=WARM, alpha=0.75, gid="probability")
    below.set(ylim=(0, 100), yticks=[0, 50, 100], ylabel="Event (%)")
    plain(below)
    ax.tick_params(labelbottom=False)
    ax.xaxis.get_offset_text().set_visible(False)
    return below


def limit_at(threshold: Any, when: xr.DataArray, shown: xr.DataArray) -> np.ndarray:
    if not isinstance(threshold, xr.DataArray):
        return np.full(when.size, float(threshold))
    same_units(threshold, shown, "the threshold")
    found = threshold.squeeze([d for d, n in threshold.sizes.items() if n == 1 and d != "lead_time"])
    if found.dims == ("month",):
        found = found.sel(month=when.dt.month.values)
    if found.size != 1 and found.shape != when.shape:
        raise ValueError(
            f"the threshold has the dimensions {dict(threshold.sizes)}; give a number, or values along 'month' or the "
            f"{when.size} leads"
        )
    return np.broadcast_to(np.asarray(found.values, np.float64), when.shape)


def draw_observed(ax: Any, truth: xr.DataArray, shown: xr.DataArray, when: xr.DataArray, t: np.ndarray) -> None:
    same_units(truth, shown, "the truth")
    time = _dates.time_of(truth, None)
    flat = _style.flat(truth, time.dims, "plot_forecast")
    at = _dates.numbers(time.values, when)
    # As long before the start as the forecast reaches: enough to see where it comes from.
    seen = (at >= t[0] - (t[-1] - t[0] if t.size > 1 else 10.0)) & (at <= t[-1])
    ax.plot(at[seen], flat.values[seen], "o", color="black", markersize=2.8, zorder=5, label="Observed", gid="truth")


def same_units(other: xr.DataArray, shown: xr.DataArray, what: str) -> None:
    have, want = (v.attrs.get("units") for v in (other, shown))
    if have is not None and want is not None and _style.pretty_units(have) != _style.pretty_units(want):
        raise ValueError(f"{what} is in {have!r}, but the forecast in {want!r}; convert one of them first")


def curves_of(scores: Any, needed: str, purpose: str) -> dict[str, xr.Dataset]:
    """Scores of single groups by name."""
    out: dict[str, xr.Dataset] = {}
    for name, one in scores.items() if not isinstance(scores, xr.Dataset) else [("", scores)]:
        if not isinstance(one, xr.Dataset) or needed not in one:
            raise ValueError(
                f"{purpose} draws scores of oceankit.forecast.verify(..., event=...); {needed!r} is missing"
            )
        one = one.squeeze()
        dims = [d for d in one["base_rate"].dims if d in one.dims]
        if len(dims) > 1:
            raise ValueError(
                f"{purpose} draws curves along one dimension, but the scores lie along {dict(one['base_rate'].sizes)}; "
                f"select, for example with .isel({dims[0]}=0)"
            )
        if not dims:
            out[name] = one
            continue
        for k, value in enumerate(_labels(one, dims[0])):
            out[f"{name}, {value}" if name else value] = one.isel({dims[0]: k})
    if not 0 < len(out) <= _MOST:
        raise ValueError(f"{purpose} would draw {len(out)} curves; select at most {_MOST} of them")
    return out


def _labels(one: xr.Dataset, dim: Any) -> list[str]:
    values = one[dim].values
    if dim in ("lead_time", "lead"):
        units = "days" if values.dtype.kind == "m" else str(one[dim].attrs.get("units", ""))
        return [f"{v:g} {units[:-1] if v == 1 else units}".strip() for v in leads_of(one[dim])]
    return [str(v) for v in values]


def leads_of(lead: xr.DataArray) -> np.ndarray:
    values = np.atleast_1d(lead.values)
    return values / np.timedelta64(1, "D") if values.dtype.kind == "m" else values.astype(np.float64)


def models_of(scores: Any, score: str) -> dict[str, xr.Dataset]:
    """Scores along lead by name of the model."""
    if isinstance(scores, xr.Dataset):
        if "model" in scores.dims:
            rows = {str(m): scores.isel(model=k) for k, m in enumerate(scores["model"].values)}
        else:
            rows = {"forecast": scores}
    else:
        rows = dict(scores)
    for name, one in rows.items():
        if not isinstance(one, xr.Dataset) or score not in one:
            have = (
                [str(v) for v in one.data_vars if not str(v).endswith(("_low", "_high"))]
                if isinstance(one, xr.Dataset)
                else one
            )
            raise ValueError(f"the scores of {name!r} have no {score!r}; they have {have}")
        if len(one[score].dims) != 1:
            raise ValueError(
                f"{score!r} of {name!r} lies along {one[score].dims}; plot_scoreboard wants it along the lead alone: select"
            )
    return rows


def numbers_of(one: xr.Dataset, names: tuple[str, ...]) -> str:
    words = {"ece": "ECE", "bss": "BSS", "base_rate": "observed rate",
             "auc": "area under the curve", "sedi": "SEDI", "ets": "ETS"}  # fmt: skip
    told = [f"{words[n]} {float(one[n]):.3f}" for n in names if n in one and np.isfinite(float(one[n]))]
    return ", ".join(told)


def axes_or_new(ax: "Axes | None", size: tuple[float, float]) -> tuple[Any, bool]:
    if ax is not None:
        return ax, False
    return _style.plt().figure(figsize=size).add_subplot(), True


def plain(ax: Any) -> None:
    ax.spines[["top", "right"]].set_visible(False)
    ax.tick_params(labelsize=7.5)
    ax.xaxis.label.set_size(8)
    ax.yaxis.label.set_size(8)


def key(ax: Any, place: str, title: str | None = None) -> None:
    ax.legend(loc=place, frameon=False, fontsize=7.5, title=title, title_fontsize=7.5, handlelength=1.5)
