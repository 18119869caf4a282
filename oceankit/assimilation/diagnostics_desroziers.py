"""Errors as innovations and residuals show them (Desroziers et al. 2005)."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from oceankit.assimilation.diagnostics_table import By, Groups, groups_of, units_of, used

__all__ = ["ERRORS", "desroziers"]

ERRORS = ("observation", "background", "analysis")


def desroziers(
    diagnostics: xr.Dataset,
    *,
    by: By = None,
    remove_mean: bool = False,
    bootstrap: int | None = None,
    block: str | None = None,
    level: float = 0.9,
    rng: np.random.Generator | int | None = None,
) -> xr.Dataset:
    """Errors as innovations and residuals show them, beside the errors stated.

    After Desroziers, Berre, Chapnik and Poli (2005, section 2), with d_b the innovation and d_a the residual: the
    variance of observation errors is E[d_a d_b], of background errors E[(d_b - d_a) d_b], of analysis errors
    E[(d_b - d_a) d_a], all at the observations.

    Parameters
    ----------
    diagnostics
        With ``residual``, see :func:`residuals`. Several cycles: :func:`join`.
    by
        Groups, as for :func:`innovations`.
    remove_mean
        The relations hold for errors without bias. True takes covariances about the means of each group instead.
    bootstrap
        Number of resamples for an interval (1000 is usual); None: none is made.
    block
        Column whose values are resampled as a whole, such as ``"cycle"`` or ``"platform"``: observations that lie close
        together share their errors, and one by one they would make the interval too narrow.
    level
        Share of the resamples within the interval.
    rng
        Seed or Generator, needed for ``bootstrap``.

    Returns
    -------
    Dataset
        Along ``error`` ("observation", "background", "analysis") and the names of ``by``: ``variance``; ``estimated``, its
        root; ``stated``, the root mean square of ``error_std``, ``spread`` and ``analysis_spread`` (NaN where the diagnostics
        lack one); ``ratio``, estimated over stated; ``negative``, 1 where the variance is below zero and ``estimated``
        therefore NaN: too few observations, or errors far from those stated; with ``bootstrap`` the ends ``low`` and
        ``high`` of the interval of ``estimated``, NaN where the variance there is negative. ``n`` counts observations.

    Raises
    ------
    ValueError
        If ``residual`` or another column is missing, or an option makes no sense.

    Notes
    -----
    Variances of observation and background errors add up to the mean square innovation whatever was stated; how they share it
    is right where the analysis used the true errors, or errors wrong by one factor throughout. Else the shares lean on what
    was stated. Adjusting, assimilating again and repeating (section 4 there) leads to the truth only as far as the two
    kinds of errors differ in scale. Observations of one analysis are no independent sample.

    Examples
    --------
    >>> found = xr.Dataset({n: ("obs", v) for n, v in {"value": [1.0, 2.0], "error_std": [1.0, 1.0],
    ...     "innovation": [2.0, -2.0], "residual": [0.5, -0.5], "status": [0, 0]}.items()})
    >>> desroziers(found).variance.values.tolist()
    [1.0, 3.0, 0.75]
    """
    mine = used(diagnostics, "residual", purpose="desroziers")
    groups = groups_of(mine, by)
    moments = _moments(mine)
    n = groups.counts()
    variance = _variances(np.stack(groups.sums(*moments)), n, remove_mean)
    stated = _stated(mine, groups, n)
    with np.errstate(invalid="ignore", divide="ignore"):
        estimated = np.sqrt(np.where(variance < 0, np.nan, variance))
        ratio = estimated / stated
    units = units_of(mine)
    squared = {k: f"({v})2" for k, v in units.items()}
    found: dict[str, tuple[np.ndarray, dict[str, Any]]] = {
        "variance": (variance, {"long_name": "error variance from innovations and residuals", **squared}),
        "estimated": (estimated, {"long_name": "error standard deviation from innovations and residuals", **units}),
        "stated": (stated, {"long_name": "error standard deviation that was stated", **units}),
        "ratio": (ratio, {"long_name": "error estimated over error stated", "units": "1"}),
        "negative": (
            (variance < 0).astype(np.int8),
            {"long_name": "the variance is below zero: nothing can be estimated", "flag_values": np.array([0, 1], np.int8),
             "flag_meanings": "usable negative"},
        ),
    }  # fmt: skip
    if bootstrap is not None:
        ends = _bootstrap(mine, groups, moments, remove_mean, bootstrap, block, level, rng)
        for name, end in zip(("low", "high"), ends, strict=True):
            said = {"long_name": f"{name} end of the interval of the estimate", "level": level, **units}
            found[name] = (np.sqrt(np.where(end < 0, np.nan, end)), said)
    elif block is not None:
        raise ValueError(f"block={block!r} says how to resample, but bootstrap= is not given; give bootstrap=1000")
    out = {
        name: (("error", *groups.dims), values.reshape(len(ERRORS), *groups.shape), attrs)
        for name, (values, attrs) in found.items()
    }
    count = groups.laid(n, long_name="number of observations", units="1")
    return xr.Dataset({"n": count, **out, **groups.outside()}, {"error": list(ERRORS), **groups.coords})


def _moments(mine: xr.Dataset) -> list[np.ndarray]:
    """Products whose means are the variances, then residual and innovation."""
    r, d = (mine[k].values.astype(np.float64) for k in ("residual", "innovation"))
    return [r * d, (d - r) * d, (d - r) * r, r, d]


def _variances(sums: np.ndarray, n: np.ndarray, remove_mean: bool) -> np.ndarray:
    """float64 (3, ...): of observation, background and analysis errors, from sums of the moments."""
    with np.errstate(invalid="ignore", divide="ignore"):
        means = sums / n
    if not remove_mean:
        return means[:3]
    r, d = means[3], means[4]
    return means[:3] - np.stack([r * d, (d - r) * d, (d - r) * r])


def _stated(mine: xr.Dataset, groups: Groups, n: np.ndarray) -> np.ndarray:
    rows = []
    for name in ("error_std", "spread", "analysis_spread"):
        there = mine[name].values.astype(np.float64) if name in mine.variables else np.full(mine.sizes["obs"], np.nan)
        with np.errstate(invalid="ignore", divide="ignore"):
            rows.append(np.sqrt(groups.sums(there**2)[0] / n))
    return np.stack(rows)


def _bootstrap(
    mine: xr.Dataset, groups: Groups, moments: list[np.ndarray], remove_mean: bool,
    number: int, block: str | None, level: float, rng: Any,
) -> np.ndarray:  # fmt: skip
    """float64 (2, 3, groups): ends of the interval of the variances, by resampling blocks (Efron and Tibshirani 1993)."""
    if rng is None:
        raise ValueError("bootstrap= draws resamples: give rng= a seed or a numpy Generator")
    if not (isinstance(number, int | np.integer) and number >= 2) or not 0 < level < 1:
        raise ValueError(
            f"bootstrap={number!r}, level={level!r}: resamples are 2 or more, the level lies between 0 and 1"
        )
    blocks = groups_of(mine, block).number if block is not None else np.arange(mine.sizes["obs"])
    many = int(blocks.max()) + 1
    if many < 2:
        raise ValueError(f"block={block!r} has one value only; an interval needs several blocks: join several cycles")
    generator = np.random.default_rng(rng)
    inside = groups.number >= 0
    cell = groups.number[inside] * many + blocks[inside]
    # Sums of each block in each group, of those that occur: a resample is a weighted sum of them.
    cells, cell = np.unique(cell, return_inverse=True)
    sums = np.stack([np.bincount(cell, m[inside], cells.size) for m in [*moments, np.ones(inside.size)]])
    group, owner = np.divmod(cells, many)
    drawn = np.empty((number, len(ERRORS), groups.size))
    for k in range(number):
        weights = np.bincount(generator.integers(many, size=many), minlength=many)[owner]
        totals = np.stack([np.bincount(group, s * weights, groups.size) for s in sums])
        drawn[k] = _variances(totals[:-1], totals[-1], remove_mean)
    empty = ~np.isfinite(drawn).any(axis=0)
    drawn[:, empty] = 0.0
    ends = np.nanquantile(drawn, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return np.where(empty, np.nan, ends)
