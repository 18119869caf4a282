"""Members against observations: where these rank among them, and the score of the members as a distribution."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from scipy import special

from oceankit.assimilation.diagnostics_table import units_of, used

__all__ = ["crps", "rank_histogram"]


def _members(
    given: xr.Dataset | xr.DataArray, values: Any, error_std: Any, purpose: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None, xr.Dataset]:
    """Members (obs, member), observations, their errors and the table they come from."""
    if isinstance(given, xr.DataArray):
        if set(given.dims) != {"obs", "member"} or values is None:
            raise ValueError(
                f"{purpose} of a DataArray needs its dimensions obs and member (it has {given.dims}) and values= along obs"
            )
        hx = given.transpose("obs", "member")
        columns = xr.Dataset({"value": ("obs", np.asarray(values, np.float64), dict(given.attrs))})
        columns = columns.assign_coords({n: c for n, c in hx.coords.items() if c.dims == ("obs",)})
        error = None if error_std is None else np.broadcast_to(np.asarray(error_std, np.float64), hx.shape[:1])
    else:
        if values is not None or error_std is not None:
            raise ValueError(
                f"{purpose} takes values and errors from the diagnostics; leave values= and error_std= out"
            )
        columns = used(given, "hx", purpose=purpose)
        hx = columns["hx"].transpose("obs", "member")
        error = columns["error_std"].values.astype(np.float64)
    members, value = np.asarray(hx.values, np.float64), columns["value"].values.astype(np.float64)
    if members.shape[1] < 2:
        raise ValueError(f"{purpose}: an ensemble has two members or more, this one has {members.shape[1]}")
    if not (np.isfinite(members).all() and np.isfinite(value).all()):
        raise ValueError(
            f"{purpose}: some members or observations are missing or infinite; leave those observations out"
        )
    if error is not None and not (error >= 0).all():
        raise ValueError(f"{purpose}: error_std is below zero or missing for {int((~(error >= 0)).sum())} observations")
    return members, value, error, columns


def _generator(rng: Any, purpose: str) -> np.random.Generator:
    if rng is None:
        raise ValueError(f"{purpose} draws random numbers: give rng= a seed or a numpy Generator")
    return np.random.default_rng(rng)


def rank_histogram(
    diagnostics: xr.Dataset | xr.DataArray,
    *,
    values: Any = None,
    error_std: Any = None,
    rng: np.random.Generator | int,
) -> xr.Dataset:
    """How often an observation has each rank among the members: evenly, where both are draws of one distribution.

    Each member is perturbed by a draw of the observation's error, without which even a perfect ensemble looks too narrow
    (Hamill 2001; Saetra et al. 2004). Ties are broken at random.

    Parameters
    ----------
    diagnostics
        With ``hx``, as ensemble methods return it; or any members as a DataArray (obs, member) with ``values``.
    values, error_std
        With a DataArray: observations along ``obs``, their errors (None: members are not perturbed).
    rng
        Seed or Generator.

    Returns
    -------
    Dataset
        Along ``rank`` (0: below all members) ``count``; the numbers ``expected``, ``n``, ``chi2``, sum of
        (count - expected)^2 / expected, with ``p_value`` for as many degrees of freedom as members; ``reliability_index``, the
        sum of abs(count / n - 1 / (members + 1)) (Delle Monache et al. 2006), 0 where flat; and the parts of chi2 that a
        tilt and a bend explain (Jolliffe and Primo 2008), as standard scores: ``slope``, above 0 where observations lie high
        among the members, ``convexity``, above 0 where the spread is too small and the histogram a U, below 0 for a dome.

    Raises
    ------
    ValueError
        If ``hx`` is missing or there are no random numbers.

    Notes
    -----
    The p-value holds for independent observations. Those of one analysis share the background's errors; take it for several
    cycles, thinned observations, and with a grain of salt. A flat histogram is necessary for reliability, not sufficient.

    Examples
    --------
    >>> members = xr.DataArray([[1.0, 2.0, 3.0], [1.0, 2.0, 3.0]], dims=("obs", "member"))
    >>> rank_histogram(members, values=[0.5, 2.5], rng=0)["count"].values.tolist()
    [1, 0, 1, 0]
    """
    members, value, error, _ = _members(diagnostics, values, error_std, "rank_histogram")
    generator = _generator(rng, "rank_histogram")
    if error is not None:
        members = members + generator.standard_normal(members.shape) * error[:, None]
    below = (members < value[:, None]).sum(axis=1)
    ties = (members == value[:, None]).sum(axis=1)
    count = np.bincount(below + generator.integers(ties + 1), minlength=members.shape[1] + 1)
    n, bins = value.size, count.size
    expected = n / bins
    scores = (count - expected) / np.sqrt(expected)
    chi2 = float((scores**2).sum())
    tilt = np.arange(bins) - (bins - 1) / 2
    bend = tilt**2 - (tilt**2).mean()
    numbers = {
        "expected": (expected, "count expected in each"),
        "n": (n, "number of observations"),
        "chi2": (chi2, "sum of squared deviations over the expected count"),
        "p_value": (
            float(special.chdtrc(bins - 1, chi2)),
            "chance of such a chi2 for flat ranks of independent observations",
        ),
        "reliability_index": (float(np.abs(count / n - 1 / bins).sum()), "sum of the deviations of frequencies"),
        "slope": (float(scores @ tilt / np.sqrt((tilt**2).sum())), "standard score of a tilt"),
        "convexity": (float(scores @ bend / np.sqrt((bend**2).sum())), "standard score of a U shape"),
    }
    return xr.Dataset(
        {
            "count": ("rank", count, {"long_name": "number of observations of the rank", "units": "1"}),
            **{k: ((), v, {"long_name": words, "units": "1"}) for k, (v, words) in numbers.items()},
        },
        {"rank": ("rank", np.arange(bins), {"long_name": "members below the observation", "units": "1"})},
    )


def crps(
    diagnostics: xr.Dataset | xr.DataArray,
    *,
    values: Any = None,
    error_std: Any = None,
    fair: bool = True,
    perturbed: bool = False,
    rng: np.random.Generator | int | None = None,
) -> xr.Dataset:
    """Continuous ranked probability score of the members at the observations, in the units of these; small is good.

    ``mean |x_i - y| - 1/2 mean |x_i - x_j|`` (Gneiting and Raftery 2007, eq. 21). With ``fair`` the second mean leaves out
    i = j, so that ensembles of any size compare and members drawn from the truth's distribution score best (Ferro 2014).

    Parameters
    ----------
    diagnostics
        With ``hx``, as ensemble methods return it; or any members as a DataArray (obs, member) with ``values``, for example
        ``hx_analysis`` of observations that were not used.
    values, error_std
        With a DataArray: observations along ``obs`` and, for ``perturbed``, their errors.
    fair
        False: the score of the members' empirical distribution itself.
    perturbed
        Add a draw of the observation's error to each member first. The score is then that of a forecast of the
        observation, not of the truth: without it, errors of observations count against the ensemble, the narrower the more.
    rng
        Seed or Generator, needed for ``perturbed``.

    Returns
    -------
    Dataset
        Along ``obs`` (those used) ``crps``, with their positions; the numbers ``crps_mean`` and ``n``.

    Raises
    ------
    ValueError
        If ``hx`` is missing, or errors or random numbers for ``perturbed`` are.

    Examples
    --------
    >>> members = xr.DataArray([[0.0, 2.0]], dims=("obs", "member"))
    >>> float(crps(members, values=[1.0]).crps_mean), float(crps(members, values=[1.0], fair=False).crps_mean)
    (0.0, 0.5)
    """
    members, value, error, columns = _members(diagnostics, values, error_std, "crps")
    if perturbed:
        if error is None:
            raise ValueError("crps(perturbed=True) of a DataArray needs error_std=, the errors of the observations")
        members = members + _generator(rng, "crps").standard_normal(members.shape) * error[:, None]
    size = members.shape[1]
    # In order, member i is above i others and below size - 1 - i. About the observation, large numbers do not cancel.
    away = np.sort(members - value[:, None], axis=1)
    between = away @ (2.0 * np.arange(size) - size + 1.0)
    score = np.abs(away).mean(axis=1) - between / (size * (size - 1 if fair else size))
    units = units_of(columns)
    out = xr.Dataset(
        {
            "crps": ("obs", score, {"long_name": "continuous ranked probability score", **units}),
            "crps_mean": ((), float(score.mean()), {"long_name": "mean continuous ranked probability score", **units}),
            "n": ((), score.size, {"long_name": "number of observations", "units": "1"}),
        }
    )
    return out.assign_coords({n: c.variable for n, c in columns.coords.items() if c.dims == ("obs",)})
