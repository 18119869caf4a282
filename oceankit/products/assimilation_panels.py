"""Small figures of assimilation diagnostics: differences, ranks, spread and skill, errors after Desroziers."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from scipy import special

from oceankit._extras import require
from oceankit.products import _frame, _style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = [
    "draw_histogram",
    "number",
    "plot_desroziers",
    "plot_rank_histogram",
    "plot_spread_skill",
    "thousands",
    "titles",
]

_DARK, _PALE, _WARM, _BAND, _LIKELY = "#1f3b57", "#b4c8d8", "#c0562b", "#e9e7e2", "#d9d6cf"
_TIMES = "\N{MULTIPLICATION SIGN}"
_TOUCHING = 40  # more bars than this have no gaps


def number(value: Any, units: str = "", *, signed: bool = False) -> str:
    """Three figures and the units."""
    text = f"{float(value):{'+' if signed else ''}.3g}".replace("-", "\N{MINUS SIGN}")
    return f"{text} {units}" if units else text


def thousands(count: int) -> str:
    """A count in groups of three."""
    return f"{count:,}".replace(",", "\N{NO-BREAK SPACE}")


def titles(ax: Any, title: str, line: str) -> None:
    """A bold title over a plain line, small enough for half a page."""
    ax.annotate(
        line, (0, 1), (0, 4), xycoords="axes fraction", textcoords="offset points", ha="left", va="bottom", fontsize=7.5,
        gid="line",
    )  # fmt: skip
    ax.set_title(title, loc="left", fontsize=9, fontweight="bold", color=_style.TEXT, y=1.0, pad=17.0 if line else 5.0)


def _plain(ax: Any) -> None:
    ax.spines[["top", "right"]].set_visible(False)
    ax.tick_params(labelsize=7.5)
    ax.xaxis.label.set_size(8)
    ax.yaxis.label.set_size(8)


def _own(ax: "Axes | None") -> tuple[Any, bool]:
    if ax is not None:
        return ax, False
    return _style.plt().figure(figsize=(4.0, 3.0)).add_subplot(), True


# ---- the panels -------------------------------------------------------------------------------------------------------


def draw_histogram(ax: Any, used: xr.Dataset) -> None:
    """Innovations and residuals as densities, and the density that innovations should have by the errors stated."""
    d = used["innovation"].values.astype(np.float64)
    residual = used["residual"].values.astype(np.float64) if "residual" in used.variables else None
    expected = None
    if "spread" in used.variables:
        expected = np.sqrt(used["spread"].values.astype(np.float64) ** 2 + used["error_std"].values ** 2)
    scale = float(np.sqrt((d**2).mean())) or 1.0
    reach = min(float(np.abs(d).max()) * 1.05, 5.0 * scale) or 1.0
    edges = np.linspace(-reach, reach, int(np.clip(2 * np.sqrt(d.size), 10, 60)) + 1)
    density = 1.0 / (d.size * np.diff(edges))
    ax.stairs(np.histogram(d, edges)[0] * density, edges, fill=True, color=_PALE, label="innovation", gid="innovation")
    if residual is not None:
        heights = np.histogram(residual, edges)[0] * density
        ax.stairs(heights, edges, color=_WARM, linewidth=1.1, label="residual", gid="residual")
    if expected is not None:
        # A mixture: each observation has its own error. Quantiles of these are as good as all.
        own = np.quantile(expected, (np.arange(200) + 0.5) / 200) if expected.size > 200 else expected
        x = np.linspace(-reach, reach, 301)
        normal = np.exp(-((x[:, None] / own) ** 2) / 2) / (own * np.sqrt(2 * np.pi))
        ax.plot(x, normal.mean(axis=1), color=_DARK, linewidth=1.1, linestyle=(0, (4, 2)), label="innovation expected",
                gid="expected")  # fmt: skip
    ax.axvline(0.0, color=_style.GRID, linewidth=0.5, zorder=0)
    ax.set(xlim=(-reach, reach), yticks=[])
    ax.set_ylim(0, ax.get_ylim()[1] * 1.03)
    beyond = int((np.abs(d) > reach).sum())
    units = _style.pretty_units(used["value"].attrs.get("units"))
    ax.set_xlabel(f"Difference ({units})" if units else "Difference")
    _plain(ax)
    ax.spines["left"].set_visible(False)
    titles(ax, "How large the differences are", " ")
    ax.legend(loc="lower left", bbox_to_anchor=(-0.02, 1.0), ncols=3, frameon=False, fontsize=7.5, borderaxespad=0.1,
              borderpad=0.1, handlelength=1.5, columnspacing=1.0, handletextpad=0.5)  # fmt: skip
    if beyond:
        ax.text(0.99, 0.97, f"{thousands(beyond)} beyond", transform=ax.transAxes, ha="right", va="top", fontsize=7)


def plot_rank_histogram(
    ranks: xr.Dataset, *, ax: "Axes | None" = None, title: str | None = None, subtitle: str | None = None
) -> "Axes":
    """Draw a rank histogram: counts over what is expected, with the range that chance explains.

    Parameters
    ----------
    ranks
        From :func:`oceankit.assimilation.diagnostics.rank_histogram`.
    ax
        Where to draw; by default a new figure of half a page's width.
    title, subtitle
        By default what it is, and what its statistics say; ``""`` leaves them out.

    Returns
    -------
    matplotlib.axes.Axes
        Grey behind the bars: 90 % of the counts of independent observations among members from their distribution.

    Raises
    ------
    ValueError
        If ``ranks`` is no such Dataset.
    """
    _needs(ranks, ("count", "expected", "n", "p_value", "slope", "convexity"), "rank_histogram")
    count, expected, n = ranks["count"].values, float(ranks["expected"]), int(ranks["n"])
    low, high = (np.ceil(np.nan_to_num(special.bdtrik(q, n, 1 / count.size))) / expected for q in (0.05, 0.95))
    with _style.drawing():
        ax, own = _own(ax)
        ax.axhspan(low, high, color=_BAND, linewidth=0, zorder=0, gid="chance")
        ax.bar(np.arange(count.size), count / expected, width=0.86 if count.size <= _TOUCHING else 1.0, color=_PALE,
               zorder=2, gid="counts")  # fmt: skip
        ax.axhline(1.0, color=_DARK, linewidth=0.9, linestyle=(0, (4, 2)), zorder=3)
        ax.set(xlim=(-0.6, count.size - 0.4), ylim=(0, max(1.15 * float((count / expected).max()), 1.6, high * 1.05)))
        ax.set(xlabel="Members below the observation", ylabel="Count over expected")
        ax.xaxis.set_major_locator(
            require("matplotlib.ticker", extra="plot", purpose="figures").MaxNLocator(5, integer=True)
        )
        _plain(ax)
        titles(
            ax, "Ranks among the members" if title is None else title, _verdict(ranks) if subtitle is None else subtitle
        )
        if own:
            _frame.fit(ax, 3.3, 2.2)
    return ax


def _verdict(ranks: xr.Dataset) -> str:
    """What the statistics say, in words."""
    p, slope, bend = (float(ranks[k]) for k in ("p_value", "slope", "convexity"))
    chance = "p < 0.001" if p < 0.001 else f"p = {p:.3f}" if p < 0.1 else f"p = {p:.2f}"
    if p >= 0.05:
        return f"Flat as far as can be told ({chance})"
    if abs(bend) > abs(slope):
        return f"Too {'little' if bend > 0 else 'much'} spread ({chance} if independent)"
    return f"Members lie too {'low' if slope > 0 else 'high'} ({chance} if independent)"


def plot_spread_skill(
    found: xr.Dataset, *, ax: "Axes | None" = None, title: str | None = None, subtitle: str | None = None
) -> "Axes":
    """Draw innovations found against those predicted, bin by bin.

    Parameters
    ----------
    found
        From :func:`oceankit.assimilation.diagnostics.spread_skill`.
    ax, title, subtitle
        As for :func:`plot_rank_histogram`.

    Returns
    -------
    matplotlib.axes.Axes
        Grey bars are where 90 % of the points would lie if all were right and innovations independent.

    Raises
    ------
    ValueError
        If ``found`` is no such Dataset.
    """
    _needs(found, ("predicted", "found", "low", "high", "ratio"), "spread_skill")
    x, y, low, high = (found[k].values for k in ("predicted", "found", "low", "high"))
    units = _style.pretty_units(found["predicted"].attrs.get("units"))
    ratio = float(found["ratio"])
    with _style.drawing():
        ax, own = _own(ax)
        least, most = min(x.min(), y.min(), low.min()), max(x.max(), y.max(), high.max())
        ends = (0.0 if least < 0.45 * most else least - 0.08 * (most - least), most + 0.06 * (most - least) + 1e-12)
        ax.plot(ends, ends, color=_DARK, linewidth=0.9, linestyle=(0, (4, 2)), zorder=2)
        ax.vlines(x, low, high, color=_LIKELY, linewidth=4.0, zorder=1, gid="likely")
        ax.plot(x, y, "o-", color=_WARM, markersize=3.6, linewidth=0.8, zorder=3, gid="bins")
        ax.set(xlim=ends, ylim=ends)
        ax.set_xlabel(f"Predicted ({units})" if units else "Predicted")
        ax.set_ylabel(f"Found ({units})" if units else "Found")
        ax.locator_params(nbins=6)
        _plain(ax)
        line = f"Root mean square innovation, {ratio:.2f} {_TIMES} predicted" if subtitle is None else subtitle
        titles(ax, "Spread and skill" if title is None else title, line)
        if own:
            _frame.fit(ax, 3.0, 2.6)
    return ax


def plot_desroziers(
    found: xr.Dataset, *, ax: "Axes | None" = None, title: str | None = None, subtitle: str | None = None
) -> "Axes":
    """Draw errors estimated beside errors stated.

    Parameters
    ----------
    found
        From :func:`oceankit.assimilation.diagnostics.desroziers`, without groups, or of one of them.
    ax, title, subtitle
        As for :func:`plot_rank_histogram`.

    Returns
    -------
    matplotlib.axes.Axes
        Whiskers are the interval of the bootstrap, where there is one.

    Raises
    ------
    ValueError
        If ``found`` is no such Dataset, or has several groups.
    """
    _needs(found, ("estimated", "stated", "ratio", "negative"), "desroziers")
    found = found.squeeze()
    if found["estimated"].dims != ("error",):
        others = [d for d in found["estimated"].dims if d != "error"]
        raise ValueError(f"the errors are of groups along {others}; choose one, for example with .isel({others[0]}=0)")
    units = _style.pretty_units(found["estimated"].attrs.get("units"))
    rows = np.arange(found.sizes["error"])[::-1].astype(np.float64)
    estimated, stated = found["estimated"].values, found["stated"].values
    with _style.drawing():
        ax, own = _own(ax)
        ax.barh(rows + 0.19, np.nan_to_num(stated), 0.34, color=_PALE, label="stated", gid="stated")
        ax.barh(rows - 0.19, np.nan_to_num(estimated), 0.34, color=_DARK, label="estimated", gid="estimated")
        ends = np.fmax(np.nan_to_num(estimated), np.nan_to_num(stated))
        if "low" in found:
            ax.hlines(rows - 0.19, found["low"], found["high"], color=_WARM, linewidth=1.2, gid="interval")
            ends = np.fmax(ends, found["high"].values)
        limit = 0.0
        for row, end, ratio, negative in zip(rows, ends, found["ratio"].values, found["negative"].values, strict=True):
            words = (
                "negative variance" if negative else f"{_TIMES} {ratio:.2f}" if np.isfinite(ratio) else "none stated"
            )
            # Room for the words, in shares of half a page.
            limit = max(limit, float(end) / (1 - min(0.05 + 0.025 * len(words), 0.6)))
            ax.annotate(words, (end, row), (4, 0), textcoords="offset points", ha="left", va="center", fontsize=8)
        ax.set(yticks=rows, xlim=(0, limit or 1.0), ylim=(-0.55, rows.max() + 0.55))
        ax.set_yticklabels([str(e) for e in found["error"].values])
        ax.set_xlabel(f"Standard deviation ({units})" if units else "Standard deviation")
        ax.locator_params(axis="x", nbins=6)
        _plain(ax)
        ax.tick_params(axis="y", length=0)
        titles(ax, "Errors, after Desroziers et al. (2005)" if title is None else title, subtitle or " ")
        if subtitle is None:
            ax.legend(loc="lower left", bbox_to_anchor=(-0.02, 1.0), ncols=2, frameon=False, fontsize=7.5,
                      borderaxespad=0.1, borderpad=0.1, handlelength=1.2, columnspacing=1.0, handletextpad=0.5)  # fmt: skip
        if own:
            _frame.fit(ax, 3.3, 2.0)
    return ax


def _needs(found: Any, names: Sequence[str], maker: str) -> None:
    if not isinstance(found, xr.Dataset) or not set(names) <= set(found.variables):
        raise ValueError(f"this draws the Dataset of oceankit.assimilation.diagnostics.{maker}; give that, as it comes")
