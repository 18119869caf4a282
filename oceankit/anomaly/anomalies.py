"""Departures of a field from its own climatology."""

from collections.abc import Hashable

import numpy as np
import xarray as xr

from oceankit.anomaly import _calendar
from oceankit.anomaly._agreement import axis_of, places_of, require_agreement
from oceankit.anomaly._baselines import detrended, tabulated
from oceankit.anomaly._packing import unpacked
from oceankit.anomaly._units import is_temperature
from oceankit.anomaly.climatology import one_variable
from oceankit.fields import blocks

__all__ = ["anomalies"]

# The standard names with which CF has an anomaly (standard name table 93).
_WITH_ANOMALY = {
    "air_pressure", "air_temperature", "brightness_temperature", "geopotential_height", "sea_water_temperature",
    "surface_temperature",
}  # fmt: skip
_OF_THE_VALUES = ("standard_name", "actual_range", "valid_min", "valid_max", "valid_range")


def anomalies(
    field: xr.DataArray | xr.Dataset,
    clim: xr.Dataset,
    *,
    time: Hashable | None = None,
    allow_other_source: bool = False,
) -> xr.DataArray | xr.Dataset:
    """Difference of a field from the climatological mean of its day of the year or month.

    Parameters
    ----------
    field
        Any dimensions besides time, lazy with any chunks or not. Dimensions that the climatology lacks (``member``)
        are allowed. In a Dataset, its one floating-point variable along time is replaced by its anomaly.
    clim
        From :func:`oceankit.climatology`, of the same variable, units and cells.
    time
        Name of the time coordinate, where it is not found by itself.
    allow_other_source
        An anomaly against the climatology of another source shows the difference of the sources, so a climatology
        is refused when the variable's name, or the name of the file it was read from (dates in it disregarded),
        contradicts the field's. True waives these two checks; those of units, cells and calendar cannot be waived.

    Returns
    -------
    DataArray or Dataset
        Named ``<name>_anomaly``, with the dimensions, chunks, coordinates and units of the field; float32 stays
        float32 (subtracted in float64), integers become float64. Missing where field or climatology is. The CF
        standard name becomes that of the anomaly where CF has one and is dropped where it has none.

    Raises
    ------
    ValueError
        If ``clim`` is no climatology, or contradicts the field; the message names both values.

    Examples
    --------
    >>> import numpy as np, xarray as xr
    >>> from oceankit.anomaly import climatology
    >>> days = xr.date_range("2001-01-01", "2004-12-31")
    >>> sst = xr.DataArray(np.full(days.size, 15.0), dims="time", coords={"time": days}, name="sst")
    >>> warmer = anomalies(sst + 2, climatology(sst, period=(2001, 2004), by="month"))
    >>> warmer.name, float(warmer.min()), float(warmer.max())
    ('sst_anomaly', 2.0, 2.0)
    """
    variable = one_variable(field, time)
    by = axis_of(clim, "mean")
    if by is None:
        raise ValueError(f"clim['mean'] has dimensions {clim['mean'].dims}; one of them must be 'dayofyear' or 'month'")
    axis, days = _calendar.read(variable, time)
    require_agreement(field, variable, clim, "mean", by, days, axis.dims[0], allow_other_source=allow_other_source)
    mean, place = tabulated(clim, "mean", by, days, places_of(days, by))
    kept = variable.dtype
    variable = unpacked(detrended(variable, clim, days, axis.dims[0]))
    if variable.dtype != kept and kept == np.float32:
        variable = variable.astype(kept)
    result = _subtract(variable, mean, place, axis.dims[0], by)
    result = _described(result, clim, by)
    if isinstance(field, xr.DataArray):
        return result
    return field.drop_vars(str(variable.name)).assign({str(result.name): result})


def _subtract(field: xr.DataArray, mean: xr.DataArray, place: np.ndarray, dim: Hashable, by: str) -> xr.DataArray:
    """``field - mean`` at ``place`` along ``dim``; the climatology is never spread over time as a whole."""
    kind = np.result_type(field.dtype, np.float32) if field.dtype.kind == "f" else np.dtype(np.float64)
    ordered = field.variable.transpose(dim, ...)
    index = xr.Variable((dim,), place)
    table = mean.variable
    if blocks.is_lazy(field) or blocks.is_lazy(mean):
        ordered = ordered if ordered.chunks else ordered.chunk()
        index = index.chunk({dim: ordered.chunksizes[dim]})
        cells = {d: ordered.chunksizes[d] for d in table.dims if d != by}
        table = table.chunk({by: -1, **cells})

    def difference(block: np.ndarray, at: np.ndarray, normal: np.ndarray) -> np.ndarray:
        normal = np.ascontiguousarray(np.moveaxis(normal, -1, 0))
        # One step at a time: no float64 copy of the block.
        out = np.empty(block.shape, kind)
        for step, day in enumerate(at.ravel()):
            out[step] = block[step] - normal[day]
        return out

    result = xr.apply_ufunc(
        difference, ordered, index, table, input_core_dims=[[], [], [by]], dask="parallelized", output_dtypes=[kind]
    )
    return field.copy(data=result.transpose(*field.dims).data)


def _described(result: xr.DataArray, clim: xr.Dataset, by: str) -> xr.DataArray:
    attrs = {k: v for k, v in result.attrs.items() if k not in _OF_THE_VALUES}
    standard = result.attrs.get("standard_name")
    if standard in _WITH_ANOMALY:
        attrs["standard_name"] = f"{standard}_anomaly"
    label = result.attrs.get("long_name", result.name or "value")
    attrs["long_name"] = f"{label} anomaly"
    attrs["reference_climatology"] = f"mean by {by} over {clim.attrs.get('period', 'an unrecorded period')}"
    if is_temperature(attrs.get("units", "")):
        attrs["units_metadata"] = "temperature: difference"  # CF-1.11, section 3.1.2
    result = result.rename(f"{result.name}_anomaly" if result.name is not None else None)
    result.attrs = attrs
    # Packing and file of the field do not hold for its anomaly.
    result.encoding = {}
    return result
