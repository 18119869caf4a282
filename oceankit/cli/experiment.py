"""Observations for a step: the user's tables, or an observing-system experiment with a known truth."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from oceankit.cli._nodes import did_you_mean
from oceankit.fields import open_fields
from oceankit.observations import ObservationError, operators, sampling, table, validate
from oceankit.observations.matching import same_units

__all__ = ["STAMP", "Experiment", "ensemble_spec", "observed", "sampled", "scores", "truth_spec"]

STAMP = "SYNTHETIC OBSERVATIONS"
_COLUMNS = ("value", "error_std", "lon", "lat", "time", "depth", "variable", "flag")


@dataclass
class Experiment:
    """Synthetic observations and the field they were drawn from."""

    truth: xr.DataArray
    when: str
    """The date of the truth, in words."""
    used: xr.Dataset
    withheld: xr.Dataset
    numbers: dict[str, float]
    """The scores, once there is an analysis."""


def truth_spec(step: Mapping[str, Any]) -> dict[str, Any]:
    """The truth of an experiment as an `input`: what it does not say is that of the step's, but for the part wanted."""
    truth = step["assimilate"]["observations"]["synthetic"]["truth"]
    given = {k: v for k, v in truth.items() if v is not None}
    # Files of its own are no members.
    own = {"members": None} if "paths" in given else {}
    return {**step["input"], "select": None, **own, **given}


def ensemble_spec(step: Mapping[str, Any]) -> dict[str, Any]:
    """The static ensemble as an `input`: its variable is that of the step's where it does not say, its part never is."""
    own = step["assimilate"]["ensemble"]
    return {**step["input"], **{k: v for k, v in own.items() if v is not None or k in ("select", "members")}}


def observed(paths: Sequence[str], units: str | None, field: xr.DataArray) -> xr.Dataset:
    """The user's tables, joined, in the units of ``field``.

    Raises
    ------
    ObservationError
        If a file is no table of observations; the message names the file.
    """
    tables = []
    for path in paths:
        try:
            tables.append(_csv(path) if path.lower().endswith(".csv") else _stored(path))
        except (ValueError, OSError) as error:
            raise ObservationError(f"{path!r}: {error}") from error
    names: list[set[Any]] = [{str(n) for n in t.variables} for t in tables]
    if any(n != names[0] for n in names):
        differing = sorted(set.union(*names) - set.intersection(*names))
        raise ObservationError(f"the tables differ in the columns {differing}; give all of them, or one table alone")
    obs = xr.concat(tables, "obs") if len(tables) > 1 else tables[0]
    if units is not None:
        stated = obs["value"].attrs.get("units")
        if stated is not None and stated != units:
            raise ObservationError(f"units are {units!r} in the run file, but {stated!r} in the table; leave them out")
        for name in ("value", "error_std"):
            obs[name].attrs["units"] = units
    theirs = field.attrs.get("units")
    if theirs is not None and "units" not in obs["value"].attrs:
        raise ObservationError(
            f"the observations do not say their units, and {field.name!r} is in {theirs!r}; "
            f"write 'units: {theirs}' beside 'paths' if they are in that"
        )
    same_units(field, obs)
    return validate(obs)


def _csv(path: str) -> xr.Dataset:
    # Only the columns that are known: a table may have remarks.
    frame = pd.read_csv(path, comment="#", skipinitialspace=True)
    for name in ("value", "error_std", "lon", "lat"):
        if name not in frame:
            hint = did_you_mean(name, [str(c) for c in frame.columns])
            raise ObservationError(f"the header has no column {name!r}; {hint}")
    columns: dict[str, Any] = {name: frame[name].to_numpy() for name in _COLUMNS if name in frame}
    if "time" in columns:
        times = pd.to_datetime(frame["time"].astype(str), utc=True, errors="coerce", format="ISO8601")
        if times.isna().any():
            row = int(times.isna().to_numpy().argmax())
            raise ObservationError(
                f"the time {frame['time'][row]!r} in row {row + 1} is no date; write 2015-01-16T12:00"
            )
        columns["time"] = times.dt.tz_localize(None).to_numpy()
    return table(**columns)


def _stored(path: str) -> xr.Dataset:
    with open_fields(path, chunks=None) as ds:
        return validate(ds.load())


def sampled(truth: xr.DataArray, when: str, spec: Mapping[str, Any]) -> Experiment:
    """Observations of ``truth`` along tracks and at points, a share of whole tracks and of points withheld.

    Raises
    ------
    ValueError
        If nothing lies at sea, or nothing is left to assimilate or to score with.
    """
    layout, error, choice = (np.random.default_rng(s) for s in np.random.SeedSequence(spec["seed"]).spawn(3))
    lon, lat, track = (np.empty(0), np.empty(0), np.empty(0, np.int64))
    if spec["tracks"]:
        tracks = spec["tracks"]
        lon, lat, track = sampling.satellite_tracks(
            n_tracks=tracks["number"], spacing=tracks["spacing"], inclination=tracks["inclination"], rng=layout
        )
    if spec["points"]:
        more_lon, more_lat = sampling.random_points(spec["points"], rng=layout)
        lon, lat = np.concatenate([lon, more_lon]), np.concatenate([lat, more_lat])
        track = np.concatenate([track, np.full(more_lon.size, -1)])
    # Without its own time, which is not that of the background, and other labels of no use to a position.
    bare = truth.squeeze([d for d, n in truth.sizes.items() if n == 1], drop=True)
    obs = sampling.synthetic(bare, lon, lat, error_std=spec["error_std"], rng=error, track=track)
    track = obs["track"].values
    numbers = np.unique(track[track >= 0])
    kept_out = choice.permutation(numbers)[: round(spec["withhold"] * numbers.size)]
    points = np.flatnonzero(track < 0)
    withheld = np.isin(track, kept_out)
    withheld[choice.permutation(points)[: round(spec["withhold"] * points.size)]] = True
    if not withheld.any() or withheld.all():
        raise ValueError(
            f"withhold={spec['withhold']:g} leaves {int((~withheld).sum())} of {withheld.size} observations to assimilate; "
            "ask for more tracks or points"
        )
    obs["track"].attrs = {"long_name": "number of the track, -1 for a single point", "units": "1"}
    return Experiment(bare, when, obs.isel(obs=~withheld), obs.isel(obs=withheld), {})


def scores(
    experiment: Experiment, background: xr.DataArray, analysis: xr.DataArray, error_std: xr.DataArray | None
) -> dict[str, float]:
    """How far background and analysis are from the truth at the withheld positions, in the field's units."""
    obs = experiment.withheld
    truth = obs["truth"].values
    at = operators.Interp()

    def there_of(field: xr.DataArray) -> np.ndarray:
        return np.asarray(at(field, obs).squeeze(drop=True).values, np.float64)

    before, after = there_of(background), there_of(analysis)
    there = np.isfinite(before) & np.isfinite(after)
    if not there.any():
        raise ValueError(f"none of the {truth.size} withheld positions lies on the background; look at the two grids")

    def rms(values: np.ndarray) -> float:
        return float(np.sqrt(np.mean(values[there] ** 2)))

    numbers = {
        "n_withheld": int(there.sum()),
        "rmse_background": rms(before - truth),
        "rmse_analysis": rms(after - truth),
        "bias_background": float(np.mean((before - truth)[there])),
        "bias_analysis": float(np.mean((after - truth)[there])),
    }
    return numbers if error_std is None else numbers | {"stated_analysis_error_std": rms(there_of(error_std))}
