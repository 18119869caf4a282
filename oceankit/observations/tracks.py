"""Sea level anomalies along the tracks of altimeters."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import xarray as xr

from oceankit.fields.grid import Grid
from oceankit.observations._means import rows_of_groups, weighted_means
from oceankit.observations.flags import usable
from oceankit.observations.interpolation import Interp
from oceankit.observations.matching import agree
from oceankit.observations.table import ObservationError, validate

__all__ = ["AlongTrackSSH"]


class AlongTrackSSH:
    """Sea level anomalies as an altimeter would see them in a field of sea surface height.

    ``H(x) = operator(ssh) - operator(mean dynamic topography)``. What is left of errors in the orbit, of the geoid, and of the
    two reference levels is much the same along a track: with ``remove_bias`` the mean misfit of each track is added,

        H'(x) = H(x) + mean over the track of (y - H(x)),

    weighted by 1 / error_std^2, for each member by itself. This takes the track's mean out of the innovation and out of the
    ensemble's spread there, so that the observations say nothing of it.

    Parameters
    ----------
    mean_dynamic_topography
        On any grid, in the units of the field; None where the field is an anomaly already.
    track
        Column that tells tracks apart: numbers or names, one for each pass of each satellite.
    remove_bias
        Whether to take the means out. Observations that are flagged 3, 4 or 9, missing, or outside the field do not count
        in them.
    operator
        What gives a field at the observations, ``operator(field, observations)``: :class:`Interp`, or :class:`SuperOb` where the
        table holds super-observations of each track (``superob(..., by="track")``).

    Notes
    -----
    After the means are out, the errors of a track are no longer independent, by one part in the number of its observations;
    assimilation with a diagonal R neglects that.

    Examples
    --------
    >>> from oceankit.observations import table
    >>> ssh = xr.DataArray([[0.0, 0.1], [0.0, 0.1]], dims=("lat", "lon"), coords={"lat": [30.0, 31.0], "lon": [120.0, 121.0]})
    >>> obs = table(value=[0.50, 0.60], error_std=0.03, lon=[120.0, 121.0], lat=30.5, track=[7, 7])
    >>> AlongTrackSSH()(ssh, obs).values.round(6).tolist()
    [0.5, 0.6]
    >>> AlongTrackSSH(remove_bias=False)(ssh, obs).values.round(6).tolist()
    [0.0, 0.1]
    """

    def __init__(
        self,
        mean_dynamic_topography: xr.DataArray | None = None,
        track: str = "track",
        remove_bias: bool = True,
        operator: Callable[..., xr.DataArray] | None = None,
    ) -> None:
        if mean_dynamic_topography is not None and not isinstance(mean_dynamic_topography, xr.DataArray):
            raise ObservationError(
                f"mean_dynamic_topography is a {type(mean_dynamic_topography).__name__}; give a DataArray, for example ds['mdt']"
            )
        if operator is not None and not callable(operator):
            raise ObservationError(f"operator={operator!r}; give what is called as operator(field, observations)")
        self.mean_dynamic_topography, self.track, self.remove_bias = mean_dynamic_topography, track, remove_bias
        self.operator = Interp() if operator is None else operator

    def __call__(self, field: xr.DataArray, observations: xr.Dataset, *, grid: Grid | None = None) -> xr.DataArray:
        """Values along ``obs`` and the other dimensions of ``field``, missing outside it; lazy in, lazy out.

        Raises
        ------
        ObservationError
            If the observations have no column of tracks, or field and mean dynamic topography are in other units.
        """
        obs = validate(observations)
        if self.remove_bias and self.track not in obs.variables:
            raise ObservationError(
                f"the observations have no column {self.track!r} that tells tracks apart; they have {list(obs.variables)}. Give "
                f"table(..., {self.track}=...), name the column with track=, or leave the means in with remove_bias=False"
            )
        there = self.operator(field, obs) if grid is None else self.operator(field, obs, grid=grid)
        if self.mean_dynamic_topography is not None:
            agree(field, self.mean_dynamic_topography)
            there = there - self.operator(self.mean_dynamic_topography, obs)
        return (there if not self.remove_bias else self._without_bias(there, obs)).rename(field.name)

    def _without_bias(self, there: xr.DataArray, obs: xr.Dataset) -> xr.DataArray:
        codes, names = pd.factorize(obs[self.track].values)
        if (codes < 0).any():
            raise ObservationError(
                f"{self.track!r} is missing at obs {int(np.argmax(codes < 0))}; every observation is on a track"
            )
        good = usable(obs) & np.isfinite(obs["value"].values)
        precision = np.where(good, obs["error_std"].values, 1.0) ** -2.0
        rows = rows_of_groups(np.where(good, codes, -1), precision, len(names))
        misfit = xr.DataArray(obs["value"].values, dims="obs") - there
        means = weighted_means(misfit, ["obs"], rows, "_track", least=0.0)
        return there + means.isel(_track=xr.DataArray(codes, dims="obs")).transpose(*there.dims)
