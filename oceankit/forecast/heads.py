"""From a forecast to the probability of a hazard: marine heatwave, storm surge, high waves, red tide.

A head takes any forecast with ``mean`` and ``std`` (or ``member``), not only ours, and gives the probability that each
level is exceeded. Probabilities are calibrated with :func:`calibrate` on hindcasts of a validation period, and with the
same call for every head. Levels in what the head returns can go to ``oceankit.products.alerts``.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr
from scipy.special import ndtr

from oceankit.forecast import _events

__all__ = [
    "calibrate",
    "high_waves",
    "marine_heatwave",
    "marine_heatwave_levels",
    "probabilities",
    "red_tide",
    "storm_surge",
]

_PARTS = 20  # stretches of time that a calibration is judged by
_CATEGORIES = ("moderate", "strong", "severe", "extreme")


def probabilities(
    forecast: xr.Dataset | xr.DataArray,
    levels: Mapping[str, float | xr.DataArray],
    *,
    calibration: xr.Dataset | None = None,
) -> xr.DataArray:
    """Probability that each of ``levels`` is exceeded.

    Parameters
    ----------
    forecast
        Dataset with ``mean`` and ``std``, taken as Gaussian, or DataArray with ``member``.
    levels
        Name and value of each, in the units of the forecast; a DataArray where it depends on place or time.
    calibration
        From :func:`calibrate`, with the same names.

    Returns
    -------
    DataArray
        Along ``level`` and the dimensions of the forecast, NaN where the forecast or the level is missing. Higher
        levels are never likelier than lower ones where levels increase.

    Raises
    ------
    ValueError
        For a forecast without spread, no levels, levels missing in the calibration.

    Examples
    --------
    >>> import xarray as xr
    >>> forecast = xr.Dataset({"mean": ("lead_time", [2.0, 3.0]), "std": ("lead_time", [0.5, 0.5])})
    >>> probabilities(forecast, {"high": 2.0}).sel(level="high").round(3).values.tolist()
    [0.5, 0.977]
    """
    if not levels:
        raise ValueError("levels is empty; give the name and value of one level at least, as {'high': 2.5}")
    parts = []
    for name, value in levels.items():
        excess = _excess(forecast, value)
        if calibration is not None:
            if name not in calibration["level"].values:
                raise ValueError(
                    f"the calibration has no level {name!r}; it has {calibration['level'].values.tolist()}"
                )
            own = calibration.sel(level=name, drop=True)
            excess = (own["shift"] + own["slope"] * excess).transpose(*excess.dims)
        parts.append(xr.apply_ufunc(ndtr, excess, dask="parallelized", output_dtypes=[float]))
    out = xr.concat(
        parts, dim=xr.DataArray(list(levels), dims="level", name="level"), coords="minimal", compat="override"
    )
    out.attrs = {"units": "1", "long_name": "probability that the level is exceeded"}
    return out.rename("probability")


def calibrate(
    hindcast: xr.Dataset | xr.DataArray,
    truth: xr.DataArray,
    levels: Mapping[str, float | xr.DataArray],
    *,
    pooled: bool = False,
) -> xr.Dataset:
    """Fit shift and slope of each level's probability, for each lead, to what happened in a validation period.

    Parameters
    ----------
    hindcast
        Forecasts along ``init_time`` and ``lead_time`` with ``valid_time``, of a period that is neither trained nor
        tested on.
    truth
        The field along ``time``.
    levels
        As in :func:`probabilities`.
    pooled
        One calibration for all leads, where events are few.

    Returns
    -------
    Dataset
        ``shift`` and ``slope`` on the normal scale, and the number of ``events``, over ``level`` and ``lead_time``.

    Raises
    ------
    ValueError
        For truth that holds none of the valid times.
    """
    time = "time" if "time" in truth.dims else str(truth.dims[0])
    known = np.isin(hindcast["valid_time"].values, truth[time].values)
    if not known.any():
        raise ValueError(
            f"truth has none of the times that are forecast ({hindcast['valid_time'].values.ravel()[0]} ...)"
        )
    dates = np.unique(hindcast["valid_time"].values)
    actual = truth.reindex({time: dates}).sel({time: hindcast["valid_time"]}).drop_vars(time, errors="ignore")
    tables = []
    for value in levels.values():
        excess, happened = xr.broadcast(_excess(hindcast, value), (actual > value).where(actual.notnull()))
        rows = []
        for lead in range(hindcast.sizes["lead_time"]):
            at = slice(None) if pooled else slice(lead, lead + 1)
            own = excess.isel(lead_time=at)
            order = xr.DataArray(np.arange(own.sizes["init_time"]) * _PARTS // own.sizes["init_time"], dims="init_time")
            x, y, part = (
                a.transpose(*own.dims).values.ravel()
                for a in (own, happened.isel(lead_time=at), order.broadcast_like(own))
            )
            fine = np.isfinite(x) & np.isfinite(y)
            fit = _events.calibrate(x[fine], None, y[fine], np.ones(fine.sum()), part[fine])
            rows.append([*fit[:2], y[fine].sum()])
        tables.append(rows)
    table = np.asarray(tables, dtype=float)
    names = ("shift", "slope", "events")
    return xr.Dataset(
        {name: (("level", "lead_time"), table[:, :, i]) for i, name in enumerate(names)},
        coords={"level": list(levels), "lead_time": hindcast["lead_time"]},
    )


def marine_heatwave(
    forecast: xr.Dataset | xr.DataArray, climatology: xr.Dataset, *, calibration: xr.Dataset | None = None
) -> xr.Dataset:
    """Probability of each category of marine heatwave (Hobday et al. 2018) on each day or month that is forecast.

    Parameters
    ----------
    forecast
        Sea surface temperature, with ``valid_time``.
    climatology
        From ``oceankit.anomaly.climatology``: ``mean`` and ``threshold`` of the training period.
    calibration
        From :func:`calibrate` with ``levels=marine_heatwave_levels(...)``, or none.

    Returns
    -------
    Dataset
        ``probability`` along ``level`` (moderate, strong, severe, extreme) and ``category``, the highest one that is
        likelier than not (0 to 4).
    """
    levels = marine_heatwave_levels(forecast, climatology)
    chance = probabilities(forecast, levels, calibration=calibration)
    return _with_category(chance)


def marine_heatwave_levels(forecast: xr.Dataset | xr.DataArray, climatology: xr.Dataset) -> dict[str, xr.DataArray]:
    """Temperatures at which the categories begin, for the times that are forecast."""
    for name in ("mean", "threshold"):
        if name not in climatology:
            raise ValueError(
                f"climatology has no {name!r}; make it with oceankit.climatology(field, period=..., by=...)"
            )
    by = "month" if "month" in climatology.dims else "dayofyear"
    valid = forecast["valid_time"]
    place = _month_or_day(valid, by)
    mean = climatology["mean"].sel({by: place}).drop_vars(by)
    step = climatology["threshold"].sel({by: place}).drop_vars(by) - mean
    return {name: mean + (k + 1) * step for k, name in enumerate(_CATEGORIES)}


def storm_surge(
    residual: xr.Dataset | xr.DataArray,
    tide: xr.DataArray,
    levels: Mapping[str, float],
    *,
    datum: str,
    calibration: xr.Dataset | None = None,
) -> xr.Dataset:
    """Probability that tide and surge together reach each warning level of a station.

    Parameters
    ----------
    residual
        Forecast of the surge residual (m), with ``valid_time``.
    tide
        Predicted tide (m) along ``time``, with the attribute ``vertical_datum``; it must cover the valid times.
    levels
        Warning levels (m) of the station, above ``datum``.
    datum
        Name of the levels' vertical datum; it must be that of the tide.

    Returns
    -------
    Dataset
        ``probability`` along ``level``, ``mean`` and ``std`` of the water level with its datum.

    Raises
    ------
    ValueError
        For a tide without a datum or of another one, or one that does not cover the valid times.
    """
    own = tide.attrs.get("vertical_datum")
    if own is None or own != datum:
        raise ValueError(
            f"the tide refers to {own!r} and the warning levels to {datum!r}; heights are compared in the same, named "
            "vertical datum only: set tide.attrs['vertical_datum'], or convert the levels"
        )
    dates = np.unique(residual["valid_time"].values)
    lacking = dates[~np.isin(dates, tide["time"].values)]
    if len(lacking):
        raise ValueError(f"the tide has no value at {lacking[0]}; predict it for every time that is forecast")
    at_times = tide.sel(time=residual["valid_time"]).drop_vars("time")
    if isinstance(residual, xr.DataArray):
        water: Any = residual + at_times
        mean, std = water.mean("member"), water.std("member")
    else:
        mean, std = residual["mean"] + at_times, residual["std"]
        water = residual.assign(mean=mean)
    out = probabilities(water, levels, calibration=calibration).to_dataset()
    out["mean"], out["std"] = mean, std
    out["mean"].attrs = {"units": "m", "long_name": "water level", "vertical_datum": datum}
    out["std"].attrs = {"units": "m", "long_name": "standard deviation of the water level"}
    return out


def high_waves(
    forecast: xr.Dataset | xr.DataArray,
    levels: Mapping[str, float] | None = None,
    *,
    calibration: xr.Dataset | None = None,
) -> xr.DataArray:
    """Probability that significant wave height (m) exceeds each level; by default 2.5, 4 and 6 m."""
    levels = {"2.5 m": 2.5, "4 m": 4.0, "6 m": 6.0} if levels is None else levels
    _metres(forecast)
    return probabilities(forecast, levels, calibration=calibration)


def red_tide(
    forecast: xr.Dataset | xr.DataArray,
    levels: Mapping[str, float | xr.DataArray],
    *,
    calibration: xr.Dataset | None = None,
) -> xr.DataArray:
    """Probability that chlorophyll or cell density exceeds each level.

    There is no default: thresholds differ between species and waters. Concentrations are skewed; forecast their
    logarithm, and give the logarithms of the levels.
    """
    return probabilities(forecast, levels, calibration=calibration)


def _excess(forecast: xr.Dataset | xr.DataArray, level: Any) -> xr.DataArray:
    if isinstance(forecast, xr.DataArray):
        if "member" not in forecast.dims or forecast.sizes["member"] < 2:
            raise ValueError(
                "forecast is a DataArray without members; pass a Dataset with mean and std, or an ensemble"
            )
        mean, std = forecast.mean("member"), forecast.std("member", ddof=1)
    else:
        lacking = [n for n in ("mean", "std") if n not in forecast]
        if lacking:
            raise ValueError(f"forecast lacks {lacking}; a probability needs mean and std")
        mean, std = forecast["mean"], forecast["std"]
    return (mean - level) / std


def _month_or_day(valid: xr.DataArray, by: str) -> xr.DataArray:
    if by == "month":
        return valid.dt.month
    day = valid.dt.dayofyear
    # Day 60 of a climatology is 29 February in every year.
    return day + (~valid.dt.is_leap_year & (day >= 60)).astype(int)


def _with_category(chance: xr.DataArray) -> xr.Dataset:
    category = (chance > 0.5).sum("level").where(chance.isel(level=0).notnull())
    out = chance.to_dataset()
    out["category"] = category.rename("category")
    out["category"].attrs = {
        "long_name": "marine heatwave category that is likelier than not",
        "units": "1",
        "flag_values": [0, 1, 2, 3, 4],
        "flag_meanings": "none moderate strong severe extreme",
    }
    return out


def _metres(forecast: xr.Dataset | xr.DataArray) -> None:
    units = (forecast["mean"] if isinstance(forecast, xr.Dataset) else forecast).attrs.get("units")
    if units not in (None, "m", "metre", "meter", "metres", "meters"):
        raise ValueError(f"wave heights are in {units!r}; convert them to m")
