"""Anybody's forecast held against the truth: scores by lead, region, depth and season, each with an interval."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import xarray as xr

from oceankit.fields import Grid
from oceankit.fields.coordinates import candidates
from oceankit.forecast import _observed, _pairing, _scores
from oceankit.forecast._by import groups_of
from oceankit.forecast._pairing import Given, Pairs
from oceankit.forecast._score_table import score_table

__all__ = ["verify"]


def verify(
    forecast: xr.Dataset | xr.DataArray,
    truth_or_observations: xr.Dataset | xr.DataArray,
    *,
    reference: xr.Dataset | xr.DataArray | None = None,
    by: Any = ("lead_time",),
    climatology: xr.Dataset | xr.DataArray | float | None = None,
    event: xr.DataArray | float | None = None,
    side: str = "above",
    rate: float | None = None,
    decision: float | str = 0.5,
    fair: bool = True,
    weights: xr.DataArray | float | None = None,
    tolerance: Any = None,
    block: int | None = None,
    intervals: float | None = 0.95,
    n_boot: int = 1000,
    rng: Any = 0,
) -> xr.Dataset:
    """Score a forecast, gridded or at stations, against a field or against observations.

    Parameters
    ----------
    forecast
        Along ``lead_time``, cells, and ``init_time`` where there is more than one start. A DataArray is a
        deterministic forecast or, along ``member``, an ensemble (``p_event``: a probability); a Dataset has ``mean`` and
        perhaps ``std`` (a normal distribution), or one variable of its own, and perhaps ``p_event`` (0..1).
        When it is valid says the coordinate ``valid_time``, else ``init_time`` and a ``lead_time`` that is a timedelta or
        counts "months", "days" or "hours" (its units). In memory or lazy: starts are read a few at a time.
    truth_or_observations
        A field along time on the same cells, or a table of :mod:`oceankit.observations`. To a table the forecast is
        interpolated in space (bilinear, linear in depth); each observation belongs to the lead whose valid time is
        nearest, at most half a step away. For a probability without ``event``: a field of 0 and 1.
    reference
        Another forecast of the same starts, leads and cells, to gain upon. Pairs that it lacks are left out.
    by
        A name, several, or a mapping from names to what they are made of: ``lead_time``, ``season``, ``month`` (of the
        valid time), ``depth`` or any coordinate of the cells or column of the table (each value is a group, or edges of
        bins: ``{"depth": [0, 100, 500]}``), and regions: ``{"region": {"nino34": (190, 240, -5, 5)}}`` of boxes (west, east,
        south, north), polygons [(lon, lat), ...] and masks, which may overlap, or a DataArray of labels.
    climatology
        What is normal, for ``acc``: a field of the cells, perhaps along ``month``, ``dayofyear`` or ``time``; a Dataset of
        :func:`oceankit.climatology`; or 0 for anomalies. Pairs without it are left out.
    event
        The event is a value beyond this: a number, or a field like ``climatology``. A DataArray of booleans along time:
        where and when it happened.
    side
        ``"above"`` or ``"below"``, strictly.
    rate
        Nominal rate of the event, such as 0.1 above a 90th percentile, for ``bss``.
    decision
        The event counts as forecast where its probability reaches this, for ``sedi``, ``ets`` and the rates;
        ``"unbiased"``: the threshold at which it is forecast as often as it happens, as Ferro and Stephenson (2011) want
        forecasts of rare events compared. A yes or no needs 0.5.
    fair
        Score an ensemble as the distribution that its members are from; see the note.
    weights
        Of the cells. By default the areas of a grid's cells and 1 at stations and observations.
    tolerance
        How far an observation may be from the valid time at most, such as ``"3h"``.
    block
        Start times in a block of the bootstrap; by default the longest lead, or the cube root of their number.
    intervals
        Share of resamples within ``*_low`` and ``*_high``; None for no intervals.
    n_boot, rng
        Number of resamples; seed or Generator.

    Returns
    -------
    xarray.Dataset
        Scores along ``by``, each with ``*_low`` and ``*_high`` from a moving block bootstrap over start times (all cells
        of a start stay together; NaN with fewer than 8 starts); ``n`` pairs; ``n_missing_truth`` and
        ``n_missing_forecast``, where one was there without the other. For events also the reliability table along
        ``probability_bin`` and the ROC curve along ``roc_point``.

    Raises
    ------
    ValueError
        For other units, another grid or other dates than the truth's, a forecast that does not say when it is valid,
        probabilities outside 0..1, a negative spread, and an event that the forecast says nothing about.

    Notes
    -----
    All means are weighted and taken over the pairs of a group, in time and space at once. The CRPS of an ensemble is the
    fair one (Ferro 2014), that of ``std`` the closed form of the normal distribution. ``spread_skill`` of m members has
    the factor sqrt((m + 1) / m) of Fortin et al. (2014). Gains are paired: the same resamples for both.

    Examples
    --------
    >>> time = xr.date_range("2000-01-01", periods=40, freq="MS")
    >>> truth = xr.DataArray(np.sin(np.arange(40.0)), dims="time", coords={"time": time})
    >>> forecast = xr.DataArray(
    ...     truth.values[:38, None] + [0.1, 0.2], dims=("init_time", "lead_time"),
    ...     coords={"init_time": time[:38], "lead_time": ("lead_time", [1, 2], {"units": "months"})},
    ... )
    >>> found = verify(forecast, truth, event=0.5)
    >>> found["n"].values.tolist(), bool((found["rmse_low"] <= found["rmse"]).all())
    ([38, 38], True)
    """
    given = _pairing.read_forecast(forecast)
    other = None if reference is None else _pairing.read_forecast(reference, "reference")
    if other is not None:
        _pairing.beside(given, other)
    if side not in ("above", "below"):
        raise ValueError(f"side={side!r} is not known; choose 'above' or 'below'")
    limit = _decision(decision)
    if rate is not None and not 0 < rate < 1:
        raise ValueError(f"rate={rate!r}; the nominal rate of an event lies between 0 and 1, such as 0.1")
    pairs, obs, flagged = _pairs(given, other, truth_or_observations, climatology, event, tolerance)
    groups = groups_of(by, given, obs)
    area, named = _weights(weights, given, obs)
    layout, per_time = None, None
    for some in pairs:
        values = _scored(some.values, side, fair)
        for number in groups.numbers(some):
            part, layout = _scores.sums(
                **values, decision=limit, weights=area[some.place], time=some.time, times=len(given.init),
                group=number, groups=groups.size,
            )  # fmt: skip
            per_time = part if per_time is None else per_time + part
    if layout is None or per_time is None or not layout.get(per_time, "n").any():
        raise ValueError(
            "no pair of forecast and truth is left: check dates, missing values"
            + (", and whether the observations lie within the grid and near a valid time" if obs is not None else "")
        )
    _scores.with_index(per_time, layout)
    members = given.fields["members"].sizes["member"] if "members" in given.fields else 0
    options: dict[str, Any] = {
        "rate": rate,
        "unbiased": decision == "unbiased",
        "inflate": np.sqrt((members + 1) / members) if members > 1 else 1.0,
    }
    found = score_table(
        per_time, layout, groups, given, options=options, block=block, level=intervals, n_boot=n_boot, rng=rng
    )
    told = {"event": _told(event, side), "decision": str(decision)} if layout.event else {}
    return found.assign_attrs(
        title="scores of a forecast",
        weights=named,
        flagged_observations_left_out=flagged,
        **told,
        **({} if rate is None else {"nominal_rate": rate}),
    )


def _pairs(
    given: Given, other: Given | None, truth: Any, climatology: Any, event: Any, tolerance: Any
) -> tuple[Iterator[Pairs], xr.Dataset | None, int]:
    """What is compared: pairs start by start, the observations used, and how many flagged ones were not."""
    happened = isinstance(event, xr.DataArray) and event.dtype.kind == "b"
    if _observed.is_table(truth):
        if happened:
            raise ValueError(
                "event is a field of booleans, but the truth is a table of observations: give the threshold, or a "
                "forecast of p_event alone with values 0 and 1 in the table"
            )
        obs, flagged = _observed.read_table(truth, given)
        asked = {"climatology": climatology, "threshold": event}
        table = {k: _observed.at_observations(v, obs, given) for k, v in asked.items() if v is not None}
        return _observed.observed(given, obs, table, other, tolerance), obs, flagged
    if tolerance is not None:
        raise ValueError("tolerance= is for observations; a field is compared at the same dates")
    field, places = _pairing.read_truth(truth, given)
    extra: dict[str, Callable[[np.ndarray], np.ndarray]] = {}
    if climatology is not None:
        extra["climatology"] = _pairing.seasonal(climatology, "the climatology", given)
    if event is not None:
        extra["event" if happened else "threshold"] = _pairing.seasonal(
            event.astype(np.float64) if happened else event, "the event", given
        )
    return _pairing.slabs(given, field, places, extra, other), None, 0


def _scored(values: dict[str, np.ndarray], side: str, fair: bool) -> dict[str, Any]:
    """What :func:`_scores.sums` takes, of one slab of pairs."""
    obs = values["obs"]
    out: dict[str, Any] = {"obs": obs, "climatology": values.get("climatology")}
    happened = values.get("event")
    if "threshold" in values:
        beyond = obs > values["threshold"] if side == "above" else obs < values["threshold"]
        happened = np.where(np.isfinite(obs) & np.isfinite(values["threshold"]), beyond, np.nan)
    own = _one(values, "", side, fair)
    alone = "mean" not in own
    if alone and happened is None:
        happened = obs
        known = obs[np.isfinite(obs)]
        if ((known != 0) & (known != 1)).any():
            strange = known[(known != 0) & (known != 1)][0]
            raise ValueError(f"the forecast is a probability, but the truth holds {strange:g}; give event=, or 0 and 1")
    if happened is not None and "p" not in own:
        raise ValueError("event= says when it happened, but the forecast has no 'p_event'; give a threshold instead")
    if happened is not None:
        out |= {"p": own.pop("p"), "event": happened}
    out |= {k: v for k, v in own.items() if k != "p"}
    if any(k.startswith("ref_") for k in values):
        ref = _one(values, "ref_", side, fair)
        if "mean" in ref and "crps" not in ref:
            ref["crps"] = (
                _scores.crps_gaussian(ref["mean"], ref["std"], obs) if "std" in ref else np.abs(ref["mean"] - obs)
            )
        if happened is not None and "p" not in ref:
            raise ValueError("the reference says nothing about the event: it has no 'p_event' and no distribution")
        keep = ([] if alone else ["mean", "crps"]) + (["p"] if happened is not None else [])
        out["reference"] = {k: ref[k] for k in keep if k in ref}
    return out


def _one(values: dict[str, np.ndarray], prefix: str, side: str, fair: bool) -> dict[str, np.ndarray]:
    """Mean, std, CRPS and probability of one forecast, what of them it has."""
    own = {k.removeprefix(prefix): v for k, v in values.items() if k.startswith("ref_") == (prefix == "ref_")}
    what = "reference" if prefix else "forecast"
    out: dict[str, np.ndarray] = {k: own[k] for k in ("mean", "std", "p") if k in own}
    threshold = values.get("threshold")
    if "members" in own:
        members = own["members"]
        out["mean"], out["crps"] = members.mean(axis=-1), _scores.crps_ensemble(members, values["obs"], fair=fair)
        if members.shape[-1] > 1:
            out["std"] = members.std(axis=-1, ddof=1)
    if "std" in out and (out["std"] < 0).any():
        raise ValueError(f"the {what} has a std of {np.nanmin(out['std']):g}; a spread is not below zero")
    if "p" in out and ((out["p"] < 0) | (out["p"] > 1)).any():
        strange = out["p"][(out["p"] < 0) | (out["p"] > 1)][0]
        raise ValueError(
            f"p_event of the {what} is {strange:g}; probabilities lie between 0 and 1 (percent: divide by 100)"
        )
    if "p" not in out and threshold is not None and "mean" in out:
        if "members" in own:
            limit = threshold[..., None]
            p = (own["members"] > limit if side == "above" else own["members"] < limit).mean(axis=-1)
        elif side == "above":
            p = _scores.probability_above(threshold, out["mean"], out.get("std", 0.0))
        else:
            p = _scores.probability_above(-threshold, -out["mean"], out.get("std", 0.0))
        out["p"] = np.where(np.isfinite(out["mean"]), p, np.nan)
    return out


def _decision(decision: Any) -> float:
    if decision == "unbiased":
        return 0.5
    if isinstance(decision, bool | str) or not 0 < decision <= 1:
        raise ValueError(f"decision={decision!r}; give a probability above 0, or 'unbiased'")
    return float(decision)


def _weights(weights: Any, given: Given, obs: xr.Dataset | None) -> tuple[np.ndarray, str]:
    """A weight for each place, and how they are called."""
    cells = given.cells
    many = obs.sizes["obs"] if obs is not None else int(np.prod(cells.shape, dtype=np.int64))
    if isinstance(weights, xr.DataArray):
        if obs is not None:
            if weights.dims != ("obs",) or weights.size != many:
                raise ValueError(f"weights lie along {weights.dims}, but there are {many} observations along 'obs'")
            values = weights.values
        else:
            values = _pairing.on_grid(_pairing.expanded(weights, cells), cells, "the weights", given.space).values
        values = np.asarray(values, np.float64).ravel()
        if not np.isfinite(values).all() or (values < 0).any() or not values.any():
            raise ValueError("weights are missing or below zero, or all zero; give numbers from 0, for land too")
        return values, "as given"
    if weights is not None or obs is not None:
        return np.ones(many), "equal"
    if not candidates(cells, "latitude") or not candidates(cells, "longitude"):
        return np.ones(many), "equal: the cells have no longitude and latitude"
    plain = xr.zeros_like(cells, dtype=np.float64).drop_vars(list(cells.coords))
    try:
        grid = Grid.from_dataset(cells)
        if grid.kind == "points" or set(grid.dims) - set(cells.dims) or len(grid.dims) < 2:
            return np.ones(many), "equal"
        area = grid.area(edges="latitude") if grid.kind == "rectilinear" else grid.area()
        full = plain + xr.DataArray(area.values, dims=grid.dims)
        name = "area"
    except ValueError:
        lat = cells[candidates(cells, "latitude")[0]]
        if len([d for d in cells.dims if d in cells[candidates(cells, "longitude")[0]].dims or d in lat.dims]) < 2:
            return np.ones(many), "equal"
        full = plain + xr.DataArray(np.cos(np.radians(lat.values)), dims=lat.dims)
        name = "cosine of latitude"
    values = np.nan_to_num(full.transpose(*given.space).values).ravel()
    return values / values.mean(), name


def _told(event: Any, side: str) -> str:
    if event is None:
        return "as the truth says"
    if isinstance(event, xr.DataArray | xr.Dataset):
        boolean = isinstance(event, xr.DataArray) and event.dtype.kind == "b"
        return "as given" if boolean else f"{side} a field"
    return f"{side} {event:g}"
