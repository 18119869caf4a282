"""Linear trends of what is counted year by year, with their confidence."""

from typing import Any

import numpy as np
import xarray as xr
from scipy import stats

from oceankit.fields import blocks

__all__ = ["trends"]

# The error of a slope has two degrees of freedom less than there are years.
_LEAST_YEARS = 3


def trends(table: xr.Dataset, *, confidence: float = 0.95) -> xr.Dataset:
    """Linear trend of each variable of :func:`yearly`, with its confidence interval.

    Ordinary least squares on the years that have a value, cell by cell, with Student's t for residuals that are independent
    from year to year, as in Oliver's marineHeatWaves.py (meanTrend).

    Parameters
    ----------
    table
        From :func:`yearly`, or any Dataset along ``year``; lazy variables stay lazy.
    confidence
        Between 0 and 1, both excluded.

    Returns
    -------
    xarray.Dataset
        For each variable ``<name>_trend``, the slope per ten years, and ``<name>_halfwidth``: the slope lies within that of the
        stated one with this confidence. float64; missing where fewer than 3 years have a value.

    Raises
    ------
    ValueError
        If there is no dimension ``year`` with the years as whole numbers, or ``confidence`` is out of range.

    Notes
    -----
    A mean over the events of a year is missing in years without events; its trend says nothing of these. Numbers and totals
    are 0 there, and their trends do.

    Examples
    --------
    >>> import xarray as xr
    >>> table = xr.Dataset({"count": ("year", [0.0, 1.0, 1.0, 2.0])}, {"year": [2001, 2002, 2003, 2004]})
    >>> found = trends(table)
    >>> round(float(found["count_trend"]), 3), round(float(found["count_halfwidth"]), 3)
    (6.0, 6.085)
    """
    if not isinstance(confidence, int | float | np.number) or isinstance(confidence, bool) or not 0 < confidence < 1:
        raise ValueError(f"confidence is {confidence!r}; give a number above 0 and below 1, as 0.95")
    if not isinstance(table, xr.Dataset) or "year" not in table.dims or "year" not in table.coords:
        raise ValueError("trends needs a Dataset along 'year' with the years as its coordinate, as yearly() returns it")
    years = table["year"].values
    if years.dtype.kind not in "iu" or np.unique(years).size != years.size:
        raise ValueError(f"'year' holds {years.dtype} values {years[:3]} ...; it must hold different whole numbers")
    quantiles = stats.t.ppf(0.5 + confidence / 2, np.maximum(np.arange(years.size + 1) - 2, 1))
    out = xr.Dataset(attrs={**table.attrs, "confidence": float(confidence)})
    for name, variable in table.data_vars.items():
        if "year" not in variable.dims or variable.dtype.kind not in "fiub":
            continue
        found = xr.apply_ufunc(
            _fit, variable.chunk(year=-1) if blocks.is_lazy(variable) else variable, input_core_dims=[["year"]],
            output_core_dims=[[], []], kwargs={"years": years.astype(np.float64), "quantiles": quantiles},
            dask="parallelized", output_dtypes=[np.float64, np.float64],
        )  # fmt: skip
        label = variable.attrs.get("long_name", name)
        units = {"units": _per_decade(variable.attrs["units"])} if "units" in variable.attrs else {}
        whats = {
            "trend": "trend of",
            "halfwidth": f"half-width of the {confidence:g} confidence interval of the trend of",
        }
        for (kind, what), result in zip(whats.items(), found, strict=True):
            out[f"{name}_{kind}"] = result.assign_attrs({"long_name": f"{what} {label}", **units})
    return out


def _fit(values: np.ndarray, years: np.ndarray, quantiles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Slope per ten years and half-width of its interval, of (..., years) values."""
    y = values.astype(np.float64)
    known = np.isfinite(y)
    n = known.sum(-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        x = np.where(known, years - (np.where(known, years, 0.0).sum(-1) / n)[..., None], 0.0)
        y = np.where(known, y - (np.where(known, y, 0.0).sum(-1) / n)[..., None], 0.0)
        spread = (x * x).sum(-1)
        slope = (x * y).sum(-1) / spread
        residual = ((y - slope[..., None] * x) ** 2 * known).sum(-1)
        half = quantiles[n] * np.sqrt(residual / (n - 2) / spread)
    enough = n >= _LEAST_YEARS
    return np.where(enough, 10.0 * slope, np.nan), np.where(enough, 10.0 * half, np.nan)


def _per_decade(units: Any) -> str:
    text = str(units).strip()
    return "(10 years)-1" if text in ("", "1") else f"{text} (10 years)-1"
