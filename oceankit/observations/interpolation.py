"""The field at the observations: bilinear, nearest or the mean over a footprint, linear in depth and time."""

import numpy as np
import xarray as xr

from oceankit.fields.grid import Grid
from oceankit.observations._axes import along_axis
from oceankit.observations.footprints import cell_means
from oceankit.observations.table import ObservationError, validate
from oceankit.regridding import NoOverlapError, Regridder

__all__ = ["Interp", "places_of"]

_METHODS = ("bilinear", "nearest", "cell_mean")


class Interp:
    """The field at the observations: in the horizontal by ``method``, linear in depth and time.

    Half a step beyond the first and last depth or time the end value holds; farther out the observation is outside.
    A field of one time is taken for observations of any time.

    Parameters
    ----------
    method
        ``"bilinear"``; ``"nearest"``: the value of the cell that is nearest; ``"cell_mean"``: the mean, weighted by area, of
        the cells whose centres lie within half a ``footprint`` of the observation, for instruments whose pixels are wider
        than the cells. Where no centre does, the observation is outside.
    min_coverage
        An observation near a coast gets a value where at least this share of its weights lies on valid cells.
    depth, time
        Names of the field's coordinates, where they are not found or not the ones wanted.
    footprint
        Diameter of what the instrument sees, for ``"cell_mean"``: km on the sphere, coordinate units on a plane.

    Raises
    ------
    ObservationError
        If the footprint is no number above zero, or is given for another method.

    Examples
    --------
    >>> from oceankit.observations import table
    >>> field = xr.DataArray([[0.0, 1.0], [2.0, 3.0]], dims=("lat", "lon"), coords={"lat": [0.0, 1.0], "lon": [0.0, 1.0]})
    >>> obs = table(value=[0.0], error_std=1.0, lon=[0.5], lat=[0.5])
    >>> Interp()(field, obs).values.tolist()
    [1.5]
    >>> Interp("cell_mean", footprint=200.0)(field, obs).values.round(3).tolist()
    [1.5]
    """

    def __init__(
        self,
        method: str = "bilinear",
        *,
        min_coverage: float = 0.5,
        depth: str | None = None,
        time: str | None = None,
        footprint: float | None = None,
    ) -> None:
        if method not in _METHODS:
            raise ValueError(f"method={method!r} is not known; choose 'bilinear', 'nearest' or 'cell_mean'")
        if (method == "cell_mean") != (footprint is not None):
            raise ObservationError(
                "method='cell_mean' needs footprint=, the diameter in km that the instrument sees"
                if footprint is None
                else f"footprint={footprint!r} belongs to method='cell_mean', and the method is {method!r}"
            )
        if footprint is not None and not (
            isinstance(footprint, int | float | np.number) and np.isfinite(footprint) and footprint > 0
        ):
            raise ObservationError(f"footprint={footprint!r}; a diameter is a number above zero")
        self.method, self.min_coverage, self.depth, self.time = method, min_coverage, depth, time
        self.footprint = footprint

    def __call__(self, field: xr.DataArray, observations: xr.Dataset, *, grid: Grid | None = None) -> xr.DataArray:
        """Values of ``field`` along ``obs`` (and its other dimensions, such as ``member``), missing outside it.

        ``grid`` is the field's, where it is known already or the field has left the description of it in its Dataset.

        Raises
        ------
        ObservationError
            If the field has several depths or times and the observations have none, or the units of depth differ.
        """
        obs = validate(observations)
        where = places_of(obs)
        grid = Grid.from_dataset(field) if grid is None else grid
        there = self._horizontally(field, grid, where)
        there = along_axis(there, field, obs, "time", self.time)
        there = along_axis(there, field, obs, "depth", self.depth)
        return there.drop_vars([c for c in there.coords if c not in there.dims]).rename(field.name)

    def _horizontally(self, field: xr.DataArray, grid: Grid, where: Grid) -> xr.DataArray:
        if self.footprint is not None:
            return cell_means(field, grid, where, footprint=float(self.footprint), min_coverage=self.min_coverage)
        try:
            # Linear in degrees on regular grids, as observation operators are.
            return Regridder(grid, where, self.method, min_coverage=self.min_coverage, edges="latitude")(field)
        except NoOverlapError:
            # Every observation is outside: what becomes of it is for the caller to say.
            sample = field.isel(dict.fromkeys(grid.dims, 0), drop=True)
            return xr.full_like(sample.expand_dims(obs=where.size, axis=-1), np.nan, dtype=np.float64)


def places_of(obs: xr.Dataset) -> Grid:
    """The positions of observations as points along ``obs``."""
    if "lon" not in obs.variables:
        return Grid.points(x=obs["x"].values, y=obs["y"].values, dim="obs")
    return Grid.points(obs["lon"].values, obs["lat"].values, dim="obs")
