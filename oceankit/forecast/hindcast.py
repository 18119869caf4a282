"""Hindcasts: forecasts from many past starts, each from what was known then."""

from collections.abc import Iterable
from typing import Any

import xarray as xr

from oceankit.forecast._model import Model
from oceankit.forecast._record import as_period, read

__all__ = ["hindcast"]


def hindcast(
    model: Model,
    data: xr.DataArray | xr.Dataset,
    *,
    period: Any = None,
    refit: Iterable[Any] | None = None,
    **options: Any,
) -> xr.Dataset:
    """Forecasts of ``model`` from every start in ``period``, each from its own past alone.

    Parameters
    ----------
    model
        A fitted forecaster; or one to be fitted, where ``refit`` is given.
    data
        The field, from the history that the first start needs to the last start.
    period
        First and last start; by default every time of ``data``.
    refit
        Dates at which the model is fitted anew to everything before them (rolling origin): forecasts from a date on
        come from the fit of that date. The first one must not be later than the first start.
    options
        Handed on to the model's ``hindcast``, such as ``forcings`` and ``known``.

    Returns
    -------
    Dataset
        As of ``model.predict``, along ``init_time`` too.

    Raises
    ------
    ValueError
        For starts before the first refit, or a period without data.

    Examples
    --------
    >>> import numpy as np, pandas as pd, xarray as xr
    >>> from oceankit.forecast import Persistence, hindcast
    >>> time = pd.date_range("2000-01-01", periods=120, freq="MS")
    >>> sst = xr.DataArray(np.sin(np.arange(120.0)), dims="time", coords={"time": time}, name="sst")
    >>> out = hindcast(Persistence(leads=(1,)), sst, period=("2008", "2009"), refit=["2008-01-01", "2009-01-01"])
    >>> dict(out.sizes)
    {'init_time': 24, 'lead_time': 1}
    """
    if refit is None:
        return model.hindcast(data, period=period, **options)
    record = read(data, what="data")
    axis, name = record.axis, record.layout.time
    dates = xr.DataArray(axis.times, dims="time", coords={"time": axis.times}).indexes["time"]
    rows = range(len(axis)) if period is None else as_period(period, axis, what="period")
    borders = [int(dates.slice_indexer(str(date), None).start) for date in refit]
    if not borders or sorted(set(borders)) != borders:
        raise ValueError(f"refit must be increasing dates within the data, got {list(refit)!r}")
    if rows[0] < borders[0]:
        raise ValueError(
            f"the first start {axis.times[rows[0]]} lies before the first refit; begin to refit earlier, or start later"
        )
    parts = []
    for begin, end in zip(borders, [*borders[1:], len(axis)], strict=True):
        own = [r for r in rows if begin <= r < end]
        if not own:
            continue
        model.fit(data.isel({name: slice(0, begin)}), forcings=options.get("forcings"))
        starts = (axis.times[own[0]], axis.times[own[-1]])
        parts.append(model.hindcast(data.isel({name: slice(0, end)}), period=starts, **options))
    return xr.concat(parts, dim="init_time", data_vars="minimal", coords="minimal", compat="override", join="override")
