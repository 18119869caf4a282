"""Observation operators: what a field would look like to the instruments, H(x)."""

from typing import Any, Literal

import numpy as np
import xarray as xr

from oceankit.fields import coordinates
from oceankit.fields.grid import Grid
from oceankit.observations.table import ObservationError, validate
from oceankit.regridding import NoOverlapError, Regridder

__all__ = ["Interp", "elapsed", "place_of"]


class Interp:
    """The field at the observations: in the horizontal by ``method``, linear in depth and time.

    Half a step beyond the first and last depth or time the end value holds; farther out the observation is outside.
    A field of one time is taken for observations of any time.

    Parameters
    ----------
    method
        ``"bilinear"`` or ``"nearest"``.
    min_coverage
        An observation near a coast gets a value where at least this share of its weights lies on valid cells.
    depth, time
        Names of the field's coordinates, where they are not found or not the ones wanted.

    Examples
    --------
    >>> from oceankit.observations import table
    >>> field = xr.DataArray([[0.0, 1.0], [2.0, 3.0]], dims=("lat", "lon"), coords={"lat": [0.0, 1.0], "lon": [0.0, 1.0]})
    >>> Interp()(field, table(value=[0.0], error_std=1.0, lon=[0.5], lat=[0.5])).values.tolist()
    [1.5]
    """

    def __init__(
        self, method: str = "bilinear", *, min_coverage: float = 0.5, depth: str | None = None, time: str | None = None
    ) -> None:
        if method not in ("bilinear", "nearest"):
            raise ValueError(f"method={method!r} is not known; choose 'bilinear' or 'nearest'")
        self.method, self.min_coverage, self.depth, self.time = method, min_coverage, depth, time

    def __call__(self, field: xr.DataArray, observations: xr.Dataset, *, grid: Grid | None = None) -> xr.DataArray:
        """Values of ``field`` along ``obs`` (and its other dimensions, such as ``member``), missing outside it.

        ``grid`` is the field's, where it is known already or the field has left the description of it in its Dataset.

        Raises
        ------
        ObservationError
            If the field has several depths or times and the observations have none, or the units of depth differ.
        """
        obs = validate(observations)
        planar = "lon" not in obs.variables
        where = (
            Grid.points(x=obs["x"].values, y=obs["y"].values, dim="obs")
            if planar
            else Grid.points(obs["lon"].values, obs["lat"].values, dim="obs")
        )
        grid = Grid.from_dataset(field) if grid is None else grid
        try:
            # Linear in degrees on regular grids, as observation operators are.
            there = Regridder(grid, where, self.method, min_coverage=self.min_coverage, edges="latitude")(field)
        except NoOverlapError:
            # Every observation is outside: what becomes of it is for the caller to say.
            sample = field.isel(dict.fromkeys(grid.dims, 0), drop=True)
            there = xr.full_like(sample.expand_dims(obs=obs.sizes["obs"], axis=-1), np.nan, dtype=np.float64)
        there = _along_axis(there, field, obs, "time", self.time)
        there = _along_axis(there, field, obs, "depth", self.depth)
        return there.drop_vars([c for c in there.coords if c not in there.dims]).rename(field.name)


def place_of(field: xr.DataArray, kind: Literal["depth", "time"], name: str | None = None) -> xr.DataArray | None:
    """The depth (metres, positive down) or time (days) of a field: 1-D along a dimension, a number, or None.

    Raises
    ------
    ObservationError
        If depth is in units that are no length, or times were not decoded.
    """
    which: Literal["vertical", "time"] = "vertical" if kind == "depth" else "time"
    if name is None and not coordinates.candidates(field, which):
        return None
    found = coordinates.find(field, which, name=name)
    if found.ndim > 1:
        if name is not None:
            raise ObservationError(f"{found.name!r} depends on {found.dims}; a {kind} along one dimension is needed")
        return None
    values = elapsed(found.values) if kind == "time" else _metres(found)
    return xr.DataArray(values, dims=found.dims, name=found.name)


def _metres(depth: xr.DataArray) -> np.ndarray:
    """Depth in metres, positive down."""
    values = np.asarray(depth.values, np.float64)
    units = str(depth.attrs.get("units", "")).strip().lower()
    scale = {"m": 1.0, "meter": 1.0, "meters": 1.0, "metre": 1.0, "metres": 1.0, "cm": 0.01, "centimeters": 0.01,
             "centimeter": 0.01, "km": 1000.0, "kilometers": 1000.0}.get(units)  # fmt: skip
    if scale is None and units == "":
        says_depth = depth.attrs.get("standard_name") in ("depth", "height", "altitude") or "positive" in depth.attrs
        scale = 1.0 if says_depth or str(depth.name).lower().startswith(("depth", "z")) else None
    if scale is None:
        given = f"has units {units!r}" if units else "has no units"
        raise ObservationError(
            f"{depth.name!r} is taken for the depth, but {given}; give it in metres (set its units attribute to 'm' if it is), "
            "interpolate the field to depths first, or drop the coordinate"
        )
    # Heights: depth is positive down.
    upwards = depth.attrs.get("positive") == "up" or (values.size > 0 and values.max() <= 0 and values.min() < 0)
    return values * scale * (-1.0 if upwards else 1.0)


def elapsed(times: Any) -> np.ndarray:
    """Days since 1970 as float64, of datetime64 or cftime dates."""
    values = np.asarray(times)
    if values.dtype.kind == "M":
        return (values - np.datetime64("1970-01-01", "ns")) / np.timedelta64(1, "D")
    if values.dtype.kind == "O":
        # cftime: the date as written, on the proleptic Gregorian calendar (a 30 February has no place there).
        try:
            stamps = [np.datetime64(v.strftime("%Y-%m-%dT%H:%M:%S"), "ns") for v in values.ravel()]
        except ValueError as error:
            raise ObservationError(
                f"the field's dates cannot be compared with those of the observations: {error}"
            ) from None
        return elapsed(np.array(stamps).reshape(values.shape))
    raise ObservationError(f"times of dtype {values.dtype} were not decoded; open the file with decoded times")


def _along_axis(
    there: xr.DataArray, field: xr.DataArray, obs: xr.Dataset, kind: Literal["depth", "time"], name: str | None
) -> xr.DataArray:
    axis = place_of(field, kind, name)
    if axis is None or axis.ndim == 0:
        return there
    dim = axis.dims[0]
    if axis.size == 1:
        return there.isel({dim: 0}, drop=True)
    if kind not in obs.variables:
        raise ObservationError(
            f"the field has {axis.size} values of {axis.name!r}, but the observations have no {kind}; give table(..., {kind}=...)"
        )
    at = elapsed(obs["time"].values) if kind == "time" else obs["depth"].values
    order = np.argsort(axis.values, kind="stable")
    places = axis.values[order]
    if (np.diff(places) == 0).any():
        twice = places[:-1][np.diff(places) == 0][0]
        raise ObservationError(f"{axis.name!r} of the field holds a value twice ({twice:g}); drop one of them")
    upper = np.clip(np.searchsorted(places, at, side="right"), 1, places.size - 1)
    share = (at - places[upper - 1]) / (places[upper] - places[upper - 1])
    # A daily mean or a layer reaches half a step beyond the last one; farther out is outside.
    share = np.where((share < -0.5) | (share > 1.5), np.nan, np.clip(share, 0.0, 1.0))
    low = there.isel({dim: xr.DataArray(order[upper - 1], dims="obs")}).drop_vars([axis.name], errors="ignore")
    high = there.isel({dim: xr.DataArray(order[upper], dims="obs")}).drop_vars([axis.name], errors="ignore")
    weight = xr.DataArray(share, dims="obs")
    mixed = low * (1 - weight) + high * weight
    # A missing neighbour with no weight is no loss.
    return xr.where(weight == 0, low, xr.where(weight == 1, high, mixed)).astype(there.dtype)
