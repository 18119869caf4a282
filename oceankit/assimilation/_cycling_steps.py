"""The steps of a cycling run: forecast and analysis, each from file to file."""

from __future__ import annotations

import copy
import logging
import re
import shutil
import time as clock
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from oceankit.assimilation import _cycling_checks as checks
from oceankit.assimilation import _cycling_ledger as ledgers
from oceankit.assimilation._cycling_ledger import LedgerError
from oceankit.assimilation._status import NoneUsableError
from oceankit.fields import write

__all__ = ["STATISTICS", "Model", "Plan", "name_of", "work"]

log = logging.getLogger(__name__)

Model = Callable[[xr.Dataset, np.datetime64, np.datetime64], xr.Dataset]

ANALYSED, NOTHING_SEEN, NOTHING_USABLE = "analysed", "no observations", "no usable observations"
COUNTED = ("n_used", "n_outside", "n_flagged", "n_duplicate")
STATISTICS = {
    "innovation_mean": "mean of observation minus background",
    "innovation_rms": "root mean square of observation minus background",
    "innovation_chi2": "mean square of the innovation over what spread and errors expect",
    "seconds_forecast": "time that the forecast took",
    "seconds_analysis": "time that the analysis took",
}


class Plan(NamedTuple):
    """What is done in each cycle."""

    method: Any
    model: Model
    observations: Any
    hx: Any
    seed: int
    begin: np.datetime64
    """When the first ensemble is valid"""
    times: np.ndarray
    windows: np.ndarray
    folder: Path
    suffix: str
    keep: str

    def file(self, cycle: int, kind: str) -> Path:
        return self.folder / f"cycle_{cycle:05d}_{kind}{self.suffix}"


def name_of(thing: Any) -> str | None:
    """What a method, model or function is called, the same in each process."""
    if thing is None:
        return None
    if hasattr(thing, "__qualname__"):
        return f"{thing.__module__}.{thing.__qualname__}"
    return re.sub(r" at 0x[0-9a-fA-F]+", "", repr(thing))


# ---- one cycle after the other ------------------------------------------------------------------------------------------


def work(plan: Plan, ledger: dict[str, Any], first: xr.Dataset) -> None:
    """Do what the ledger does not say is done."""
    entries = ledger["cycles"]
    done = sum("outcome" in e for e in entries)
    _check_files(plan, done)
    now = first if done == 0 else _read(plan, done - 1, "analysis", first, entries[done - 1])
    _tidy(plan, done - 1)
    for cycle in range(done, plan.times.size):
        background = _forecast(plan, ledger, cycle, now)
        now = _analysis(plan, ledger, cycle, background)
        _tidy(plan, cycle)
        log.info("cycle %d of %d, %s: %s", cycle + 1, plan.times.size, plan.times[cycle], entries[cycle]["outcome"])


def _forecast(plan: Plan, ledger: dict[str, Any], cycle: int, now: xr.Dataset) -> xr.Dataset:
    """The background of a cycle, as it is on the disk."""
    entries = ledger["cycles"]
    if len(entries) > cycle:
        try:
            # It was made before the interruption: forecasts are what takes long.
            return _read(plan, cycle, "background", now, entries[cycle])
        except LedgerError as error:
            log.warning("%s: the forecast is made again", error)
            del entries[cycle:]
    since, until = plan.times[cycle - 1] if cycle else plan.begin, plan.times[cycle]
    began = clock.perf_counter()
    background = now
    if until > since:
        # A model may do with what it is given as it likes; a time in it would come back as it was from many.
        found = plan.model(now.drop_vars("time").copy(deep=True), since, until)
        background = checks.like_before(found, now, until, f"the model {name_of(plan.model)} from {since} to {until}")
    seconds = clock.perf_counter() - began
    entry = {"time": str(until), "seconds_forecast": seconds, "spread_f": _spread(background)}
    entry["background_sha256"] = _write(plan, cycle, "background", background)
    entries.append(entry)
    ledgers.save(plan.folder, ledger)
    return _read(plan, cycle, "background", now, entry)


def _analysis(plan: Plan, ledger: dict[str, Any], cycle: int, background: xr.Dataset) -> xr.Dataset:
    """The analysis of a cycle, as it is on the disk."""
    entry = ledger["cycles"][cycle]
    began = clock.perf_counter()
    seen = checks.in_window(plan.observations, plan.windows[cycle])
    analysis, said = _corrected(plan, cycle, background, seen)
    entry |= said | {"seconds_analysis": clock.perf_counter() - began, "spread_a": _spread(analysis)}
    entry["observations_sha256"] = None if seen is None else ledgers.fingerprint(seen)
    outcome = entry.pop("outcome")
    entry["analysis_sha256"] = _write(plan, cycle, "analysis", analysis)
    entry["outcome"] = outcome  # which says that the cycle is finished
    ledgers.save(plan.folder, ledger)
    return _read(plan, cycle, "analysis", background, entry)


def _corrected(
    plan: Plan, cycle: int, background: xr.Dataset, seen: xr.Dataset | None
) -> tuple[xr.Dataset, dict[str, Any]]:
    """The analysis, and what is to be said of it; the background where nothing can be assimilated."""
    count = 0 if seen is None else seen.sizes["obs"]
    said: dict[str, Any] = {"n_observations": count, **dict.fromkeys(COUNTED, 0)}
    if seen is None:
        return background, said | {"outcome": NOTHING_SEEN}
    method = copy.copy(plan.method)
    if hasattr(method, "rng"):
        method.rng = np.random.default_rng([plan.seed, cycle])
    try:
        found, diagnostics = method.assimilate(background, seen, hx=plan.hx)
    except NoneUsableError:
        flagged = int(np.isin(seen["flag"].values, (3, 4, 9)).sum()) if "flag" in seen.variables else 0
        said |= {"n_flagged": flagged, "n_outside": count - flagged, "outcome": NOTHING_USABLE}
        return background, said
    analysis = checks.like_before(found, background, plan.times[cycle], f"the analysis by {name_of(plan.method)}")
    said |= {name: int(diagnostics[name]) for name in COUNTED if name in diagnostics}
    said |= {n: float(diagnostics[n]) for n in STATISTICS if n in diagnostics}
    return analysis, said | {"outcome": ANALYSED}


def _spread(ds: xr.Dataset) -> dict[str, float]:
    """The root of the mean variance of each field."""
    if "member" not in ds.dims or ds.sizes["member"] < 2:
        return {}
    out = {}
    for name in checks.moving(ds):
        variance = ds[name].astype(np.float64).var("member", ddof=1)
        out[str(name)] = float(np.sqrt(variance.mean()))
    return out


# ---- files --------------------------------------------------------------------------------------------------------------


def _write(plan: Plan, cycle: int, kind: str, ds: xr.Dataset) -> str:
    """Write a file of a cycle; the hash of what it holds."""
    options = {"cycle": cycle, "method": name_of(plan.method), "model": name_of(plan.model), "seed": plan.seed}
    write(ds, plan.file(cycle, kind), inputs=[], options=options)
    return ledgers.fingerprint(ds[checks.moving(ds)])


def _read(plan: Plan, cycle: int, kind: str, like: xr.Dataset, entry: dict[str, Any]) -> xr.Dataset:
    """A file of a cycle; every run goes on from what is on the disk, so that interrupted ones have nothing else."""
    path = plan.file(cycle, kind)
    try:
        engine: dict[str, Any] = (
            {"engine": "zarr", "consolidated": False} if path.suffix == ".zarr" else {"engine": "netcdf4"}
        )
        with xr.open_dataset(path, decode_times=False, **engine) as ds:
            out = like.copy()
            for name in checks.moving(like):
                values = ds[name].transpose(*like[name].dims).values
                out[name] = like[name].copy(data=values)
    except (OSError, RuntimeError, KeyError, ValueError) as error:
        raise LedgerError(
            f"{str(path)!r} cannot be read: {error}; put it back, or start in another directory"
        ) from error
    out = out.assign_coords(time=plan.times[cycle])
    if ledgers.fingerprint(out[checks.moving(out)]) != entry[f"{kind}_sha256"]:
        raise LedgerError(f"{str(path)!r} is not as it was written; put it back, or start in another directory")
    return out


def _check_files(plan: Plan, done: int) -> None:
    """Whether what finished cycles wrote is there."""
    for cycle in range(done) if plan.keep == "all" else range(max(done - 1, 0), done):
        for kind in ("background", "analysis"):
            path = plan.file(cycle, kind)
            if not path.exists():
                raise LedgerError(
                    f"{str(path)!r} is gone, though the run has gone on from it; put it back, or start anew"
                )


def _tidy(plan: Plan, cycle: int) -> None:
    """Remove the files of cycles before, where only the last are kept."""
    if plan.keep == "all":
        return
    for earlier in range(cycle - 1, -1, -1):
        paths = [plan.file(earlier, kind) for kind in ("background", "analysis")]
        if not any(p.exists() for p in paths):
            return
        for path in paths:
            _remove(path)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
