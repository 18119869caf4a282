"""Storm surge: what is left of the sea level when the tide is taken away, and how high it comes in so many years."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr
from scipy.special import gamma

from oceankit.anomaly._tide_tables import metres, times_of
from oceankit.anomaly.tides import analyse, predict

__all__ = ["residual", "return_levels"]


def residual(
    sea_level: xr.DataArray,
    *,
    fit: slice | tuple[Any, Any] | None = None,
    tide: xr.DataArray | xr.Dataset | None = None,
    offset: slice | tuple[Any, Any] | None = None,
    lat: Any = None,
    time: str | None = None,
    **analysis: Any,
) -> xr.Dataset:
    """The surge residual: observed sea level minus the tide.

    Nothing is repaired: gaps stay NaN, and jumps of the gauge's zero and errors of its clock stay in the residual.

    Parameters
    ----------
    sea_level
        Along time (UTC), maybe along one more dimension of stations; in m, cm or mm.
    fit
        Period whose values the tide is analysed from, ``slice(start, end)`` with both ends included; there is no default, since a
        tide fitted on the period that is tested knows something of its surges.
    tide
        Instead of ``fit``: the tide itself along the same times, or constituents for :func:`~oceankit.anomaly.tides.predict`.
    offset
        With ``tide``: period from which the mean difference of sea level and tide is taken, as their zeros are
        not one. Without it both have to be above one vertical datum.
    lat, time, **analysis
        For :func:`~oceankit.anomaly.tides.analyse`.

    Returns
    -------
    Dataset
        ``residual`` and ``tide`` in m, shaped as the sea level; ``tide`` is above the datum of the sea level. With ``offset``
        that difference is the variable ``offset``.

    Raises
    ------
    ValueError
        If neither or both of ``fit`` and ``tide`` are given, a period holds no values, or the two are above different datums.

    Notes
    -----
    The reference for hourly gauges (tide from two years by ordinary least squares, all constituents, no trend) is reproduced
    to a tenth of a millimetre, see ``docs/surge.md``.

    Examples
    --------
    >>> hours = np.arange("2012-01-01", "2012-03-01", dtype="datetime64[h]").astype("datetime64[ns]")
    >>> from oceankit.anomaly import tides
    >>> level = tides.predict({"M2": (1.2, 40.0)}, hours, lat=30.0) + 0.4 * (hours == np.datetime64("2012-02-20T06"))
    >>> level.attrs["units"] = "m"
    >>> found = residual(level, fit=slice("2012-01-01", "2012-01-31"), lat=30.0)
    >>> found.residual.max().item() > 0.3
    True
    """
    level = metres(sea_level, "the sea level")
    clock = times_of(level, time)
    if (fit is None) == (tide is None):
        given = "neither fit nor tide is" if fit is None else "fit and tide are both"
        raise ValueError(
            f"{given} given; give fit=slice(start, end), the period to analyse, which should end before the one to be tested, "
            "or tide="
        )
    dim = clock.dims[0]
    if fit is not None:
        if offset is not None:
            raise ValueError(f"offset={offset!r} is for a given tide; one that is analysed has the mean of its period")
        part = _period(level, clock, fit, "fit")
        waves = analyse(part, lat=lat, time=time, **analysis)
        said = {"tide_source": "analysis", "tide_fit": f"{part[dim].values[0]}/{part[dim].values[-1]}"}
    else:
        if analysis:
            raise TypeError(f"residual() got {sorted(analysis)}, which are for an analysis, with a given tide")
        said = {"tide_source": "given"}
    if fit is not None:
        known = predict(waves, clock).rename(time=dim)
    elif isinstance(tide, xr.Dataset):
        known = predict(tide, clock, lat=lat).rename(time=dim)
    else:
        assert isinstance(tide, xr.DataArray)
        known = _along(metres(tide, "the tide"), clock, time)
    known, shift = _same_zero(level, known, clock, offset)
    known = known.transpose(*[d for d in level.dims if d in known.dims])
    out = xr.Dataset({"residual": level.astype(np.float64) - known, "tide": known})
    out["residual"].attrs = {"units": "m", "long_name": "sea level minus tide"}
    out["tide"].attrs = {"units": "m", "long_name": "tide", **{k: v for k, v in known.attrs.items() if k == "license"}}
    if "vertical_datum" in level.attrs:
        out["tide"].attrs["vertical_datum"] = level.attrs["vertical_datum"]
    if shift is not None:
        out["offset"] = shift.assign_attrs(units="m", long_name="zero of the tide above the zero of the sea level")
        said["tide_offset_period"] = _text(offset)
    out.attrs = {k: v for k, v in sea_level.attrs.items() if k not in ("units", "long_name", "standard_name")} | said
    return out


def _text(period: Any) -> str:
    start, end = _ends(period, "offset")
    return f"{start}/{end}"


def _ends(period: Any, what: str) -> tuple[Any, Any]:
    if isinstance(period, slice):
        if period.step is not None:
            raise ValueError(f"{what}={period!r} has a step; give slice(start, end)")
        return period.start, period.stop
    if isinstance(period, tuple) and len(period) == 2:
        return period
    raise ValueError(
        f"{what}={period!r} is no period; give slice(start, end), for example slice('2012-01-01', '2013-12-31')"
    )


def _period(data: xr.DataArray, clock: xr.DataArray, period: Any, what: str) -> xr.DataArray:
    start, end = _ends(period, what)
    dim = clock.dims[0]
    order = data.assign_coords({dim: clock.values}).sortby(dim)
    part = order.sel({dim: slice(start, end)})
    if part.sizes[dim] == 0 or not bool(part.notnull().any()):
        raise ValueError(
            f"{what}={period!r} holds no values of the sea level, which runs from {clock.values.min()} to {clock.values.max()}"
        )
    return part


def _along(tide: xr.DataArray, clock: xr.DataArray, name: str | None) -> xr.DataArray:
    """The tide at the times of the sea level; a time it does not have is refused."""
    mine = times_of(tide, name if name in tide.coords else None)
    dim = clock.dims[0]
    if mine.size == clock.size and np.array_equal(mine.values, clock.values):
        return tide.rename({mine.dims[0]: dim}) if mine.dims[0] != dim else tide
    missing = np.setdiff1d(clock.values, mine.values)
    if missing.size:
        raise ValueError(
            f"the tide has no value at {missing[0]} and {missing.size - 1} other times of the sea level; predict it there"
        )
    return tide.rename({mine.dims[0]: dim}).sel({dim: clock.values})


def _same_zero(
    level: xr.DataArray, tide: xr.DataArray, clock: xr.DataArray, offset: Any
) -> tuple[xr.DataArray, xr.DataArray | None]:
    if offset is not None:
        both = _period(level - tide, clock, offset, "offset")
        shift = both.mean(str(clock.dims[0]), skipna=True)
        return (tide + shift).assign_attrs(tide.attrs), shift
    mine, its = level.attrs.get("vertical_datum"), tide.attrs.get("vertical_datum")
    if mine is not None and its is not None and mine != its:
        raise ValueError(
            f"the sea level is above the datum {mine!r}, the tide above {its!r}; bring them to one datum, or give offset= with a "
            "quiet period from which the difference is taken"
        )
    return tide, None


def return_levels(
    series: xr.DataArray,
    *,
    periods: Sequence[float] = (2, 5, 10, 20, 50, 100),
    start_month: int = 1,
    least_coverage: float = 0.8,
    least_years: int = 10,
    confidence: float = 0.95,
    samples: int = 1000,
    rng: int | np.random.Generator | None = 0,
    time: str | None = None,
) -> xr.Dataset:
    """Levels that are exceeded once in so many years on average: the generalised extreme value distribution of annual maxima.

    Parameters
    ----------
    series
        A residual or a sea level along time; in m, cm or mm.
    periods
        Return periods in years, above 1.
    start_month
        Month in which a year begins; 7 keeps northern winters together. A year is named by its last day.
    least_coverage
        Years with a smaller share of the series' usual number of values are left out, and listed.
    least_years
        Fewer than this are refused.
    confidence, samples, rng
        Interval from that many parametric bootstrap samples.
    time
        Name of the time coordinate, instead of looking.

    Returns
    -------
    Dataset
        ``level``, ``level_low``, ``level_high`` (m) along ``return_period`` (years); ``maximum`` along ``year``; ``location``,
        ``scale`` (m) and ``shape`` (positive: bounded above).
        Beyond twice the length of the record a level is no more than a guess.

    Raises
    ------
    ValueError
        If too few years remain, a period or the confidence is out of range, or the series has more dimensions.

    Notes
    -----
    Probability-weighted moments: Hosking, Wallis & Wood (1985), Technometrics 27, 251.

    Examples
    --------
    >>> days = np.arange("1980-01-01", "2010-01-01", dtype="datetime64[D]").astype("datetime64[ns]")
    >>> rough = np.random.default_rng(0).gumbel(0, 0.1, days.size)
    >>> found = return_levels(xr.DataArray(rough, dims="time", coords={"time": days}, attrs={"units": "m"}))
    >>> found.level.sel(return_period=10).item() > found.level.sel(return_period=2).item()
    True
    """
    level = metres(series, "the series")
    clock = times_of(level, time)
    if level.ndim != 1:
        raise ValueError(f"the series has dimensions {level.dims}; take one station at a time")
    wanted = np.asarray(periods, dtype=np.float64)
    if not (wanted > 1).all():
        raise ValueError(f"periods={list(periods)!r} must be above 1 year")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence={confidence!r} is no share between 0 and 1")
    years, maxima, left = _annual(level, clock, start_month, least_coverage)
    if maxima.size < least_years:
        raise ValueError(
            f"{maxima.size} years have at least {least_coverage:.0%} of their values, least_years={least_years} are needed; "
            f"left out: {left}"
        )
    location, scale, shape = _gev(maxima)
    random = np.random.default_rng(rng)
    draws = _quantile(random.random((samples, maxima.size)), location, scale, shape)
    probability = 1 - 1 / wanted
    many = np.array([_quantile(probability, *_gev(one)) for one in draws])
    low, high = np.quantile(many, [(1 - confidence) / 2, (1 + confidence) / 2], axis=0)
    best = _quantile(probability, location, scale, shape)
    metre = {"units": "m"}
    out = xr.Dataset(
        {
            "level": ("return_period", best, metre),
            "level_low": ("return_period", low, metre),
            "level_high": ("return_period", high, metre),
            "maximum": ("year", maxima, metre),
            "location": ((), location, metre),
            "scale": ((), scale, metre),
            "shape": ((), shape, {"units": "1"}),
        },
        coords={"return_period": ("return_period", wanted, {"units": "year"}), "year": years},
        attrs={"confidence": confidence, "years_left_out": " ".join(map(str, left)), "distribution": "GEV"},
    )
    if "vertical_datum" in series.attrs:
        out.attrs["vertical_datum"] = series.attrs["vertical_datum"]
    return out


def _annual(
    level: xr.DataArray, clock: xr.DataArray, start_month: int, least: float
) -> tuple[np.ndarray, np.ndarray, list[int]]:
    """Years, their maxima, and the years with too few values: fewer than that share of what a year at the usual step has."""
    if not 1 <= start_month <= 12:
        raise ValueError(f"start_month={start_month!r} is no month")
    months = clock.values.astype("datetime64[M]").astype(int) + (13 - start_month) % 12
    of = 1970 + months // 12
    values = level.values.astype(np.float64)
    full = np.timedelta64(365, "D") / np.median(np.diff(np.sort(clock.values)))
    years, maxima, left = [], [], []
    for year in np.unique(of):
        mine = values[(of == year) & np.isfinite(values)]
        if mine.size < least * full:
            left.append(int(year))
            continue
        years.append(int(year))
        maxima.append(mine.max())
    return np.array(years, dtype=int), np.array(maxima), left


def _gev(maxima: np.ndarray) -> tuple[float, float, float]:
    """Location, scale and shape by probability-weighted moments."""
    x, n = np.sort(maxima), maxima.size
    j = np.arange(n)
    b0, b1, b2 = x.mean(), (j / (n - 1) * x).mean(), (j * (j - 1) / ((n - 1) * (n - 2)) * x).mean()
    c = (2 * b1 - b0) / (3 * b2 - b0) - np.log(2) / np.log(3)
    k = float(7.8590 * c + 2.9554 * c**2)
    k = k if abs(k) > 1e-6 else 1e-6
    scale = float((2 * b1 - b0) * k / (gamma(1 + k) * (1 - 2.0**-k)))
    return float(b0 + scale * (gamma(1 + k) - 1) / k), scale, k


def _quantile(probability: np.ndarray, location: float, scale: float, shape: float) -> np.ndarray:
    return location + scale / shape * (1 - (-np.log(probability)) ** shape)
