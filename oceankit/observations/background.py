"""The background check: observations that are farther from the background than the errors of both can explain."""

from collections.abc import Callable, Hashable, Mapping
from typing import Any

import numpy as np
import xarray as xr

from oceankit.fields.grid import Grid
from oceankit.observations.flags import BAD, flagged, usable
from oceankit.observations.interpolation import Interp
from oceankit.observations.matching import by_variable, same_units
from oceankit.observations.table import ObservationError, validate

__all__ = ["background_check"]

_DEFAULTS = {"reject": 3.0, "k_factor": 2.0}


def background_check(
    obs: xr.Dataset,
    background: xr.DataArray | xr.Dataset,
    *,
    threshold: float | None = None,
    background_error_std: Any = None,
    hx: Callable[[xr.DataArray, xr.Dataset], xr.DataArray] | xr.DataArray | None = None,
    method: str = "reject",
) -> xr.Dataset:
    """Hold observations against the background, and reject or mistrust those that lie too far from it.

    With d the innovation (observation minus background, or minus the ensemble's mean), sb and so the standard deviations of the
    errors of background and observation:

    Parameters
    ----------
    obs
        A table of observations. Those flagged 3, 4 or 9 stay as they are.
    background
        A field; or a Dataset of fields, and then each observation's ``variable`` says which it belongs to. It may be an
        ensemble, with a dimension ``member``.
    threshold
        ``"reject"``: in standard deviations of the innovation, 3 where None. ``"k_factor"``: K, 2 where None.
    background_error_std
        sb, in the field's units: a number, a field on the background's grid, or a DataArray along ``obs``; a mapping from field
        to any of these. None: the spread of the ensemble.
    hx
        What the background would have measured: a callable ``hx(field, observations)``, or a DataArray along ``obs`` (and
        ``member``). None: :class:`~oceankit.observations.operators.Interp`.
    method
        ``"reject"``: flag 4 where ``|d| > threshold * sqrt(sb^2 + so^2)``.
        ``"k_factor"``: nothing is rejected; the error variance of the observation becomes
        ``sqrt((sb^2 + so^2)^2 + (sb d / K)^2) - sb^2``, so that by itself no observation moves the background by more than
        K sb (Sakov and Sandery 2017).

    Returns
    -------
    Dataset
        The table. ``"reject"``: with ``flag``, and ``flag_reason`` "background check"; the attribute ``n_rejected`` counts them.
        ``"k_factor"``: with ``error_std`` changed and the given one as ``error_std_given`` (which it starts from where
        the table has it already, so that a second check does not add to the first); ``n_error_doubled`` counts those whose
        error at least doubled. ``n_not_checked`` counts usable observations outside the background: they stay as they are.

    Raises
    ------
    ObservationError
        If an option is none, units differ, or the error of the background is neither given nor in its members.

    References
    ----------
    Sakov, P. and Sandery, P. (2017), Tellus A 69, 1318031, doi:10.1080/16000870.2017.1318031.

    Examples
    --------
    >>> from oceankit.observations import table
    >>> sst = xr.DataArray(np.full((2, 2), 15.0), dims=("lat", "lon"), coords={"lat": [35.0, 36.0], "lon": [120.0, 121.0]})
    >>> obs = table(value=[15.5, 22.0], error_std=0.3, lon=120.5, lat=35.5)
    >>> background_check(obs, sst, background_error_std=0.4).flag.values.tolist()
    [2, 4]
    >>> background_check(obs, sst, background_error_std=0.4, method="k_factor").error_std.values.round(2).tolist()
    [0.33, 1.12]
    """
    obs = validate(obs)
    if method not in _DEFAULTS:
        raise ObservationError(f"method={method!r} is not known; choose 'reject' or 'k_factor'")
    limit = _DEFAULTS[method] if threshold is None else threshold
    if not isinstance(limit, int | float | np.number) or not (np.isfinite(limit) and limit > 0):
        raise ObservationError(f"threshold={threshold!r}; it is a number above zero")
    modelled, spread = _seen(background, obs, hx, background_error_std)
    given = "error_std_given" if method == "k_factor" and "error_std_given" in obs.variables else "error_std"
    error = obs[given].values.astype(np.float64)
    innovation = obs["value"].values - modelled
    good = usable(obs)
    checked = good & np.isfinite(innovation) & np.isfinite(spread)
    attrs = {"n_not_checked": int((good & ~checked).sum())}
    if method == "reject":
        beyond = checked & (np.abs(np.where(checked, innovation, 0.0)) > limit * np.hypot(spread, error))
        return flagged(obs, beyond, BAD, "background check").assign_attrs(attrs, n_rejected=int(beyond.sum()))
    new = np.where(checked, _moderated(innovation, spread, error, float(limit)), error)
    said = {**obs["error_std"].attrs, "long_name": "standard deviation of the observation error, as given"}
    attrs["n_error_doubled"] = int((checked & (new >= 2.0 * error)).sum())
    return obs.assign(
        error_std=("obs", new, dict(obs["error_std"].attrs)), error_std_given=("obs", error, said)
    ).assign_attrs(attrs)


def _moderated(innovation: np.ndarray, spread: np.ndarray, error: np.ndarray, k: float) -> np.ndarray:
    """Standard deviations of observation errors after Sakov and Sandery (2017), their equation for K-factor QC."""
    total, beyond = spread**2 + error**2, spread * innovation / k
    # As sqrt(total^2 + beyond^2) - spread^2, without the difference of large numbers.
    return np.sqrt(error**2 + beyond**2 / (np.hypot(total, beyond) + total))


def _seen(background: Any, obs: xr.Dataset, hx: Any, given: Any) -> tuple[np.ndarray, np.ndarray]:
    """The background at the observations, and the standard deviation of its error there; NaN outside."""
    if isinstance(background, xr.DataArray):
        grid = None
        fields: dict[Hashable, xr.DataArray] = {background.name: background}
    elif isinstance(background, xr.Dataset):
        grid = Grid.from_dataset(background)
        fields = {
            n: v
            for n, v in background.data_vars.items()
            if set(grid.dims) <= set(v.dims) and v.dtype.kind in "fiu" and n not in grid.described_by
        }
    else:
        raise ObservationError(f"the background is a DataArray or Dataset, not a {type(background).__name__}")
    n = obs.sizes["obs"]
    modelled, spread = np.full(n, np.nan), np.full(n, np.nan)
    # Each by itself: a DataArray along obs is cut like the table.
    numbered = obs.assign(_number=("obs", np.arange(n)))
    for name, mine in by_variable(fields, numbered).items():
        at, mine = mine["_number"].values, mine.drop_vars("_number")
        same_units(fields[name], mine)
        there = _modelled(fields[name], mine, at, hx, grid, n)
        own = _own(given, name)
        modelled[at], spread[at] = _mean_and_error(there, own, name, mine, at, grid)
    return modelled, spread


def _modelled(field: xr.DataArray, obs: xr.Dataset, at: np.ndarray, hx: Any, grid: Grid | None, n: int) -> xr.DataArray:
    there = Interp()(field, obs, grid=grid) if hx is None else hx(field, obs) if callable(hx) else hx
    if not isinstance(there, xr.DataArray) or "obs" not in there.dims or set(there.dims) - {"obs", "member"}:
        what = f"the dimensions {there.dims}" if isinstance(there, xr.DataArray) else f"the type {type(there).__name__}"
        raise ObservationError(
            f"what {field.name!r} would have measured has {what}; a DataArray along 'obs' (and 'member') is needed: give hx=, "
            "or a depth or time to the field and the observations where one of them is left over"
        )
    if hx is not None and not callable(hx):
        if there.sizes["obs"] != n:
            raise ObservationError(f"hx has {there.sizes['obs']} values along 'obs', and there are {n} observations")
        there = there.isel(obs=at)
    return there


def _own(given: Any, name: Hashable) -> Any:
    """What is given of one field."""
    if not isinstance(given, Mapping):
        return given
    if name not in given:
        raise ObservationError(f"background_error_std has no entry for {name!r}; it has {list(given)}")
    return given[name]


def _mean_and_error(
    there: xr.DataArray, given: Any, name: Hashable, obs: xr.Dataset, at: np.ndarray, grid: Grid | None
) -> tuple[np.ndarray, np.ndarray]:
    ensemble = "member" in there.dims and there.sizes["member"] > 1
    values = there.transpose("obs", ...).values.astype(np.float64)
    mean = values.mean(axis=1) if values.ndim > 1 else values
    if given is None:
        if not ensemble:
            raise ObservationError(
                f"the error of the background {name!r} is not known: give background_error_std=, or an ensemble with 'member'"
            )
        return mean, values.std(axis=1, ddof=1)
    if isinstance(given, xr.DataArray) and given.ndim:
        error = given.isel(obs=at) if "obs" in given.dims else Interp()(given, obs, grid=grid)
        if error.dims != ("obs",):
            raise ObservationError(
                f"background_error_std has the dimensions {given.dims}; give it along 'obs', or on the background's grid"
            )
        std = error.values.astype(np.float64)
    elif isinstance(given, int | float | np.number | xr.DataArray):
        std = np.full(mean.size, float(given))
    else:
        raise ObservationError(f"background_error_std is a {type(given).__name__}; give a number or a DataArray")
    if (std <= 0).any() or np.isinf(std).any():
        raise ObservationError(
            f"background_error_std of {name!r} is {std[(std <= 0) | np.isinf(std)][0]:g}; a standard deviation is above zero"
        )
    return mean, std
