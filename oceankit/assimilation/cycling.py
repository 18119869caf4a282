"""Forecast, observe, analyse, repeat: with any model, and able to go on where it was interrupted."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import xarray as xr

from oceankit.assimilation import _cycling_checks as checks
from oceankit.assimilation import _cycling_ledger as ledgers
from oceankit.assimilation import _cycling_steps as steps
from oceankit.assimilation._cycling_command import Command, ModelError
from oceankit.assimilation._cycling_ledger import LedgerError
from oceankit.assimilation._cycling_steps import Model, Plan, name_of
from oceankit.observations.table import ObservationError, validate

__all__ = ["Command", "LedgerError", "ModelError", "run"]

_SUFFIX = {"netcdf": ".nc", "zarr": ".zarr"}
_COUNTS = {
    "n_observations": "observations in the window",
    "n_used": "observations that were assimilated",
    "n_outside": "observations outside the background",
    "n_flagged": "observations rejected by their quality flag",
    "n_duplicate": "observations that equal an earlier one",
}


def run(
    method: Any,
    ensemble: xr.Dataset,
    model: Model,
    observations: xr.Dataset | Callable[[np.datetime64, np.datetime64], xr.Dataset | None],
    *,
    times: Any,
    directory: str | os.PathLike[str],
    start: Any = None,
    window: Literal["trailing", "centred"] = "trailing",
    hx: Callable[..., Any] | None = None,
    seed: int = 0,
    keep: Literal["all", "last"] = "all",
    format: Literal["netcdf", "zarr"] = "netcdf",  # noqa: A002
    resume: bool = True,
) -> xr.Dataset:
    """Take an ensemble through many analyses, by a model in between.

    Each cycle writes its background and analysis into ``directory``, and then a ledger. Killed at any moment, the same call goes
    on at the first step that is not finished, and ends with the same values, to the bit, as if it had not been interrupted.

    Parameters
    ----------
    method
        What has ``assimilate(background, observations, hx=...)``. Random numbers are drawn anew in each cycle from ``seed`` and
        the number of the cycle; the method's own ``rng`` is neither used nor changed.
    ensemble
        A Dataset at one time, with a dimension ``member`` for ensemble methods.
    model
        ``model(ensemble, start, end)`` gives the same ensemble at ``end``, times being datetime64; or a :class:`Command`.
        What it is given has no coordinate ``time``; one that it gives must be ``end``. Variables that it adds are not kept.
    observations
        A table with ``time``; or a callable that gives the table of a window, or None.
    times
        Of the analyses, increasing. One at the ensemble's own time is analysed without a forecast.
    directory
        Where files and ledger are kept; made where its parent exists.
    start
        When the ensemble is valid; None: its coordinate ``time``.
    window
        Which observations an analysis takes: ``"trailing"``, those after the analysis before up to its own time (for the first
        after ``start``, or one cycle back where it is at ``start``); ``"centred"``, those from half way to the one before to half
        way to the next. An observation at an edge belongs to the window that ends there.
    hx
        A callable ``hx(field, observations)``, as in ``assimilate``.
    keep
        ``"all"`` files, or those of the ``"last"`` cycle.
    resume
        False refuses a directory that holds a run.

    Returns
    -------
    Dataset
        Along ``cycle`` with ``time``: ``n_observations``, ``n_used``, ``n_outside``, ``n_flagged`` and ``n_duplicate``;
        ``innovation_mean``, ``innovation_rms`` and ``innovation_chi2`` as of ``assimilate``; ``seconds_forecast`` and
        ``seconds_analysis``; the file names ``background`` and ``analysis``; and ``outcome``: ``"analysed"``, or
        ``"no observations"`` or ``"no usable observations"``, which are forecasts alone. Along ``cycle`` and ``field`` the root
        of the mean variance, ``spread_f`` and ``spread_a``. ``n_outside_windows`` counts observations of the table that no
        cycle takes.

    Raises
    ------
    LedgerError
        If the directory holds another run, a file of it has changed, or another process is at work in it.
    ModelError
        If a forecast fails, or is not the same members on the same grid, finite where they were. What was finished stays.
    ValueError
        If times, window, seed or ensemble cannot be used.

    Examples
    --------
    >>> import tempfile
    >>> from oceankit.assimilation import LETKF, GaspariCohn, RTPS, twin
    >>> basin = twin.shallow_water_basin(times=np.arange("2000-01-01", "2000-01-04", dtype="M8[D]"), members=10)
    >>> letkf = LETKF(localization=GaspariCohn(200.0), inflation=RTPS(0.5))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     found = run(letkf, basin.ensemble, basin.model, basin.observations, times=basin.truth.time[1:], directory=folder)
    >>> found.outcome.values.tolist(), bool((found.spread_a < found.spread_f).all())
    (['analysed', 'analysed'], True)
    """
    if keep not in ("all", "last") or format not in _SUFFIX:
        raise ValueError(f"keep={keep!r}, format={format!r}; choose 'all' or 'last', and 'netcdf' or 'zarr'")
    if not isinstance(seed, int | np.integer) or isinstance(seed, bool) or seed < 0:
        raise ValueError(f"seed={seed!r}; give a whole number of at least 0")
    if hx is not None and not callable(hx):
        raise ValueError(
            "hx= is an array, and each cycle has other observations; give a callable hx(field, observations)"
        )
    if not callable(model):
        raise ValueError(f"model={model!r} cannot be called; give model(ensemble, start, end) or Command([...])")
    first, begin = checks.ensemble_of(ensemble, start)
    when = checks.times_of(times, begin)
    windows = checks.windows_of(when, begin, window)
    if not callable(observations):
        validate(observations)
        if "time" not in observations.variables:
            raise ObservationError("the observations have no time; give table(..., time=...), or a callable")
    folder = Path(directory).expanduser()
    if not folder.parent.is_dir():
        raise ValueError(f"directory={os.fspath(directory)!r}: its folder does not exist; create it first")
    folder.mkdir(exist_ok=True)
    identity = {
        "method": name_of(method), "model": name_of(model), "hx": name_of(hx), "window": window, "seed": int(seed), "keep": keep,
        "format": format, "start": str(begin), "times": [str(t) for t in when],
        "grid and fields": ledgers.fingerprint(first, values=False), "first ensemble": ledgers.fingerprint(first),
        "observations": name_of(observations) if callable(observations) else ledgers.fingerprint(observations),
    }  # fmt: skip
    with ledgers.exclusive(folder):
        ledger = ledgers.opened(folder, identity, resume=resume)
        ledgers.save(folder, ledger)
        plan = Plan(method, model, observations, hx, int(seed), begin, when, windows, folder, _SUFFIX[format], keep)
        steps.work(plan, ledger, first.assign_coords(time=begin))
    return _result(plan, ledger, first)


# ---- what comes out -----------------------------------------------------------------------------------------------------


def _result(plan: Plan, ledger: dict[str, Any], first: xr.Dataset) -> xr.Dataset:
    entries = ledger["cycles"]
    out = xr.Dataset(coords={"cycle": np.arange(len(entries)), "time": ("cycle", plan.times)})
    for name, long_name in _COUNTS.items():
        out[name] = ("cycle", [e.get(name, 0) for e in entries], {"long_name": long_name, "units": "1"})
    for name, long_name in steps.STATISTICS.items():
        attrs = {"long_name": long_name} | ({"units": "s"} if name.startswith("seconds") else {})
        out[name] = ("cycle", [e.get(name, np.nan) for e in entries], attrs)
    fields = [str(n) for n in checks.moving(first)]
    out = out.assign_coords(field=fields)
    for name, what in (("spread_f", "background"), ("spread_a", "analysis")):
        values = [[e[name].get(f, np.nan) for f in fields] for e in entries]
        out[name] = (("cycle", "field"), values, {"long_name": f"spread of the {what}, in the units of the field"})
    outcomes = [e["outcome"] for e in entries]
    out["outcome"] = ("cycle", outcomes, {"long_name": "what became of the cycle"})
    for kind, when in (("background", "before"), ("analysis", "after")):
        paths = [plan.file(cycle, kind) for cycle in range(len(entries))]
        attrs = {"long_name": f"file of the ensemble {when} the analysis, empty where it is not kept"}
        out[kind] = ("cycle", [p.name if p.exists() else "" for p in paths], attrs)
    out["n_outside_windows"] = _outside(plan)
    out["n_outside_windows"].attrs = {"long_name": "observations of the table that no cycle takes", "units": "1"}
    return out.assign_attrs(
        method=name_of(plan.method), model=name_of(plan.model), seed=plan.seed, directory=str(plan.folder)
    )


def _outside(plan: Plan) -> int:
    """Observations of the table in no window; windows follow each other without gaps."""
    if callable(plan.observations):
        return 0
    when = plan.observations["time"].values
    return int(((when <= plan.windows[0, 0]) | (when > plan.windows[-1, 1])).sum())
