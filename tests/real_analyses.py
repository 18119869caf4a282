"""Two real cases of optimal interpolation, for tests and benchmarks: California Current 2004 and Yellow Sea 1968.

What is withheld takes no part in anything: means, correlation lengths and errors come from the observations that are used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import xarray as xr
from scipy import optimize

from oceankit.assimilation import OptimalInterpolation
from oceankit.assimilation.diagnostics import residuals
from oceankit.numerics import covariance
from oceankit.numerics.compiling import kernel
from oceankit.numerics.sphere import great_circle_distance
from oceankit.observations import table
from oceankit.observations.operators import Interp

BOX = 2.0
"""Degrees: width of the boxes that are withheld as a whole and drawn by the bootstrap (222 km by 150 to 190 km)."""

FOLDS = 5


# ---- statistics from the observations that are used -------------------------------------------------------------------


class Statistics(NamedTuple):
    """What an analysis is told of the errors, and of the background's bias."""

    covariance: str
    mean: float
    background_error_std: float
    length_scale: float
    time_scale: float | None
    error_factor: float
    """What the delivered standard deviations of the observation errors are multiplied by."""

    def method(self, depth_scale: float | None = None) -> OptimalInterpolation:
        return OptimalInterpolation(
            background_error_std=self.background_error_std,
            length_scale=self.length_scale,
            depth_scale=depth_scale,
            time_scale=self.time_scale,
            covariance=self.covariance,  # type: ignore[arg-type]
        )

    def __str__(self) -> str:
        days = "" if self.time_scale is None else f", {self.time_scale:.1f} days"
        return (
            f"{self.covariance}, mean {self.mean:.3g}, background error {self.background_error_std:.3g}, "
            f"L {self.length_scale:.0f} km{days}, observation errors x {self.error_factor:.3g}"
        )


def estimate(obs: xr.Dataset, *, part: float, days: bool = False) -> Statistics:
    """The statistics that make a table of innovations likeliest.

    The likelihoods of boxes ``part`` degrees wide are multiplied (composite likelihood: Caragea and Smith 2007, J. Multivariate
    Anal. 98, 1417-1440), as the whole matrix at every step takes too long. With ``days`` the time scale is estimated as well.
    """
    mean = float(obs["value"].mean())
    parts = list(_parts(obs, mean, part, days))
    # To begin with: a length as wide as the sea's eddies, a tenth of the variance noise.
    start = np.log([60.0, 0.1, 5.0][: 3 if days else 2])
    found = {name: _likeliest(name, parts, start, 20) for name in covariance.FUNCTIONS}
    name = min(found, key=lambda n: found[n][0])
    _, at = _likeliest(name, parts, found[name][1], 40)
    variance = _minus_log_likelihood(at, name, parts)[1]
    length, noise, *time = (float(v) for v in np.exp(at))
    factor = np.sqrt(noise * variance / float((obs["error_std"] ** 2).mean()))
    return Statistics(name, mean, float(np.sqrt(variance)), length, time[0] if time else None, float(factor))


def _likeliest(name: str, parts: list, start: np.ndarray, steps: int) -> tuple[float, np.ndarray]:
    found = optimize.minimize(
        lambda p: _minus_log_likelihood(p, name, parts)[0], start, method="Nelder-Mead",
        options={
            "xatol": 0.03, "fatol": 0.3, "maxfev": steps,
            "initial_simplex": np.vstack([start, start - 0.5 * np.eye(start.size)]),
        },
    )  # fmt: skip
    return float(found.fun), found.x


def _parts(obs: xr.Dataset, mean: float, width: float, days: bool) -> Iterator[tuple]:
    """Of each box: innovations, relative error variances, distances in km and in days."""
    lon, lat, value = obs["lon"].values, obs["lat"].values, obs["value"].values
    relative = obs["error_std"].values ** 2 / float((obs["error_std"] ** 2).mean())
    when = (obs["time"].values - obs["time"].values[0]) / np.timedelta64(1, "D") if days else np.zeros(value.size)
    box = box_of(obs, width)
    for number in np.unique(box):
        i = np.flatnonzero(box == number)
        apart = great_circle_distance(lon[i][:, None], lat[i][:, None], lon[i], lat[i])
        # A few days only: correlations in time are computed once for each difference there is.
        differences, which = np.unique(np.abs(when[i][:, None] - when[i]), return_inverse=True)
        yield value[i] - mean, relative[i], apart, (differences, which.reshape(i.size, i.size))


def _minus_log_likelihood(p: np.ndarray, name: str, parts: list) -> tuple[float, float]:
    """But for a constant, and the background error variance that is likeliest with the rest."""
    length, noise, *time = np.exp(p)
    squares, logs, n = 0.0, 0.0, 0
    for d, relative, apart, days in parts:
        matrix = covariance.evaluate(name, apart, length)
        if time:
            apart_in_days, which = days
            matrix *= covariance.evaluate(name, apart_in_days, time[0])[which]
        matrix[np.diag_indices(d.size)] += noise * relative
        square, log = _square_and_log(matrix, d.copy())
        if not np.isfinite(log):
            return 1e12, np.nan
        squares, logs, n = squares + square, logs + log, n + d.size
    return 0.5 * (n * np.log(squares / n) + logs), squares / n


@kernel
def _square_and_log(matrix, d):
    """d^T matrix^-1 d and the logarithm of the determinant; both arguments are overwritten.

    By elimination here, as the threads of a BLAS wait for each other longer than matrices as small as these take.
    """
    n = d.size
    square, log = 0.0, 0.0
    for k in range(n):
        pivot = matrix[k, k]
        if pivot <= 0.0:
            return np.nan, np.nan
        log += np.log(pivot)
        square += d[k] * d[k] / pivot
        for i in range(k + 1, n):
            factor = matrix[k, i] / pivot
            d[i] -= factor * d[k]
            for j in range(i, n):
                matrix[i, j] -= factor * matrix[k, j]
    return square, log


def box_of(obs: xr.Dataset, width: float = BOX) -> np.ndarray:
    """int (obs,): the number of the box that each lies in."""
    row, column = (np.floor(obs[n].values / width).astype(int) for n in ("lat", "lon"))
    return row * 1000 + column


def fold_of(obs: xr.Dataset) -> np.ndarray:
    """int (obs,): boxes in five sets, no two of a set side by side: those that are withheld are surrounded by those used."""
    row, column = (np.floor(obs[n].values / BOX).astype(int) for n in ("lat", "lon"))
    return (column + 2 * row) % FOLDS


# ---- withholding ------------------------------------------------------------------------------------------------------


class Withheld(NamedTuple):
    """One analysis, and what it and the background say at the observations that it did not see."""

    name: str
    statistics: Statistics
    counts: dict[str, int]
    chi2: float
    """d^T (S + R)^-1 d / n of the observations that were used."""
    fit: tuple[float, float]
    """Root mean square of the used observations about their mean, and of their residuals."""
    background: np.ndarray
    mean: np.ndarray
    """Misfit of the background with the mean of the used innovations added."""
    analysis: np.ndarray
    expected: np.ndarray
    """Variance expected of ``analysis``: that of the analysis and of the observation."""
    block: np.ndarray


def withhold(
    name: str,
    grid: xr.DataArray,
    obs: xr.Dataset,
    held: np.ndarray,
    told: Statistics,
    block: np.ndarray,
    depth_scale: float | None = None,
) -> Withheld:
    """Analyse the innovations without those ``held``, on a grid of zeros with land missing."""
    given = obs.assign(
        flag=("obs", np.where(held, 4, 1)), error_std=obs["error_std"] * told.error_factor, block=("obs", block)
    )
    analysis, diagnostics = told.method(depth_scale).assimilate(grid + told.mean, given)
    at = residuals(diagnostics, analysis)
    variance = Interp()(diagnostics["analysis_error_variance"], given).values
    # What lies beyond the sea of the grid has no analysis to compare with.
    there = held & np.isfinite(at["residual"].values)
    counts = {n: int(diagnostics[n]) for n in ("n_used", "n_outside", "n_flagged", "n_duplicate")}
    value = obs["value"].values[there]
    return Withheld(
        name, told, {**counts, "n_held": int(held.sum()), "n_compared": int(there.sum())},
        float(diagnostics["reduced_chi2"]),
        (float(diagnostics["innovation_rms"]), float(diagnostics["residual_rms"])),
        value, value - told.mean, at["residual"].values[there],
        variance[there] + given["error_std"].values[there] ** 2, block[there],
    )  # fmt: skip


class Score(NamedTuple):
    """Several analyses together."""

    n: int
    blocks: int
    background: float
    mean: float
    analysis: float
    less_than_background: tuple[float, float]
    """Ends of the 95 % interval of RMS(analysis) - RMS(background), whole blocks drawn."""
    less_than_mean: tuple[float, float]
    predicted_chi2: float


def score(cases: list[Withheld], draws: int = 5000) -> Score:
    arrays = {n: np.concatenate([getattr(c, n) for c in cases]) for n in ("background", "mean", "analysis", "expected")}
    _, block = np.unique(np.concatenate([c.block for c in cases]), return_inverse=True)
    sums = {n: np.bincount(block, arrays[n] ** 2) for n in ("background", "mean", "analysis")}
    n = np.bincount(block)
    drawn = np.random.default_rng(0).integers(0, n.size, (draws, n.size))
    rms = {k: np.sqrt(s[drawn].sum(axis=1) / n[drawn].sum(axis=1)) for k, s in sums.items()}

    def interval(of: str) -> tuple[float, float]:
        low, high = np.quantile(rms["analysis"] - rms[of], [0.025, 0.975])
        return float(low), float(high)

    return Score(
        int(n.sum()), n.size, *(float(np.sqrt(sums[k].sum() / n.sum())) for k in sums), interval("background"),
        interval("mean"), float((arrays["analysis"] ** 2 / arrays["expected"]).mean()),
    )  # fmt: skip


# ---- the California Current -------------------------------------------------------------------------------------------


class Wc13(NamedTuple):
    """ROMS test case WC13 of the California Current, 3 to 7 January 2004; values are innovations, y - H(xb)."""

    grid: xr.DataArray
    sla: xr.Dataset
    sst: xr.Dataset
    temperature: xr.Dataset
    salinity: xr.Dataset


def wc13(data: Path) -> Wc13:
    with xr.open_dataset(data / "wc13_4dvar" / "wc13_grd.nc", decode_times=False) as ds:
        names = ["lon_rho", "lat_rho"]
        sea = xr.zeros_like(ds["mask_rho"]).where(ds["mask_rho"] == 1).load()
        grid = sea.assign_coords({n: ds[n].load() for n in names}).rename("innovation").drop_attrs(deep=False)
    with xr.open_dataset(data / "wc13_4dvar" / "wc13_depths.nc", decode_times=False) as ds:
        heights = ds["z_rho"].load()
    with xr.open_dataset(data / "wc13_4dvar" / "wc13_background_obs_space.nc", decode_times=False) as ds:
        at = ds.load()
    # ROMS means levels, 1 to 30 from the bottom, where obs_depth is above zero; fractions lie between two.
    place = {
        "s_rho": at["obs_depth"] - 1,
        "eta_rho": ("datum", np.interp(at["obs_lat"], grid.lat_rho[:, 0], np.arange(grid.sizes["eta_rho"]))),
        "xi_rho": ("datum", np.interp(at["obs_lon"], grid.lon_rho[0], np.arange(grid.sizes["xi_rho"]))),
    }
    depth = -heights.drop_vars("s_rho").interp(place).values
    parts = {"sla": [1], "sst": [2], "temperature": [3, 4, 6, 8, 10], "salinity": [5, 7, 9, 11]}
    origin = np.datetime64("1968-05-23", "ns")
    times = origin + np.round(at["obs_time"].values * 86_400).astype("timedelta64[s]")
    tables = {}
    for name, numbers in parts.items():
        i = np.flatnonzero(np.isin(at["obs_provenance"].values, numbers))
        below = {} if name in ("sla", "sst") else {"depth": depth[i]}
        tables[name] = table(
            value=(at["obs_value"] - at["NLmodel_initial"]).values[i],
            error_std=np.sqrt(at["obs_error"].values[i]),
            lon=at["obs_lon"].values[i],
            lat=at["obs_lat"].values[i],
            time=times[i],
            **below,
        )
    return Wc13(grid, **tables)


def estimated(obs: xr.Dataset, used: np.ndarray, days: bool) -> Statistics:
    """From the used observations, in boxes of about a hundred."""
    return estimate(_once(obs.isel(obs=np.flatnonzero(used))), part=2.0 if days else 4.0, days=days)


def as_delivered(case: Withheld) -> Statistics:
    """The same, but with the observation errors as delivered, each by itself."""
    return case.statistics._replace(error_factor=1.0)


def _once(obs: xr.Dataset) -> xr.Dataset:
    """Without repetitions, which tell nothing new."""
    return obs.isel(obs=np.flatnonzero(~obs.to_dataframe().reset_index(drop=True).duplicated().values))


def innovation_map(case: Wc13, name: str) -> tuple[xr.DataArray, xr.Dataset]:
    """What all observations of sea level ("sla"), or of surface temperature ("sst") on 5 January, say of the background."""
    obs, days = (case.sla, False) if name == "sla" else (case.sst, True)
    told = estimated(obs, np.ones(obs.sizes["obs"], bool), days)
    grid = case.grid.assign_coords(time=np.datetime64("2004-01-05T12", "ns")) if days else case.grid
    return told.method().assimilate(grid + told.mean, obs.assign(error_std=obs["error_std"] * told.error_factor))


def sea_level_boxes(case: Wc13) -> list[Withheld]:
    """Sea level anomalies; a fifth of the boxes is withheld in turn."""
    fold = fold_of(case.sla)
    return [
        withhold(
            f"boxes {k + 1}",
            case.grid,
            case.sla,
            fold == k,
            estimated(case.sla, fold != k, days=False),
            box_of(case.sla),
        )
        for k in range(FOLDS)
    ]


def sst_days(case: Wc13) -> list[Withheld]:
    """Sea surface temperature; each day is withheld in turn. The bootstrap draws boxes with all their days."""
    day = case.sst["time"].dt.floor("D").values
    out = []
    for k in np.unique(day):
        # One time: that of the day withheld. Time differences to the others are what time_scale weighs.
        grid = case.grid.assign_coords(time=case.sst["time"].values[day == k][0])
        told = estimated(case.sst, day != k, days=True)
        out.append(withhold(str(k)[:10], grid, case.sst, day == k, told, box_of(case.sst)))
    return out


def sst_boxes(case: Wc13, folds: int = FOLDS) -> list[Withheld]:
    """Sea surface temperature; a fifth of the boxes is withheld in turn, on all days; so many fifths."""
    fold = fold_of(case.sst)
    times = np.unique(case.sst["time"].values)
    grid = case.grid.expand_dims(time=times)
    return [
        withhold(
            f"boxes {k + 1}", grid, case.sst, fold == k, estimated(case.sst, fold != k, days=True), box_of(case.sst)
        )
        for k in range(folds)
    ]


LEVELS = np.array([0, 10, 20, 30, 50, 75, 100, 150, 200, 300, 500, 750, 1000, 1500, 2000, 2500], float)


def casts(case: Wc13, variable: str) -> list[Withheld]:
    """Temperature or salinity of the profiles; each cast is withheld in turn.

    Thirteen casts are too few to estimate anything but a standard deviation: 50 km, 100 m and the errors delivered are given.
    """
    obs = case.temperature if variable == "temperature" else case.salinity
    cast = obs.to_dataframe().groupby(["time", "lon", "lat"], sort=False).ngroup().values
    depth = xr.DataArray(LEVELS, dims="depth", attrs={"units": "m", "positive": "down"})
    grid = case.grid.expand_dims(depth=depth)
    out = []
    for k in np.unique(cast):
        used = obs["value"].values[cast != k]
        told = Statistics("gaspari_cohn", float(used.mean()), float(used.std()), 50.0, None, 1.0)
        out.append(withhold(f"cast {k + 1}", grid, obs, cast == k, told, cast, depth_scale=100.0))
    return out


# ---- the Yellow Sea ---------------------------------------------------------------------------------------------------


class YellowSea(NamedTuple):
    """The serial observations of KODC in the Yellow Sea, 4 to 13 August 1968, at 50 m."""

    grid: xr.DataArray
    deep: xr.DataArray
    """Where the sea is deeper than 50 m, on the grid."""
    obs: xr.Dataset
    counts: dict[str, int]


def yellow_sea(data: Path, depth: float = 50.0) -> YellowSea:
    """Good temperatures, linear in depth between the two bottles about 50 m; stations that do not reach it have none."""
    rows = pd.read_csv(data / "kodc_1968" / "kodc_nso_1968_jan_aug.tsv", sep="\t", encoding="utf-8-sig").rename(
        columns={
            "Date(YYYY-MM-DD)": "time", "Depth(m)": "depth", "Water Temperature(\u2103)": "temperature", "T QC flag": "flag",
        }
    )  # fmt: skip
    rows["time"] = pd.to_datetime(rows["time"])
    rows = rows[(rows["Area"] == "West Sea") & (rows["time"].dt.strftime("%Y-%m") == "1968-08")]
    good = rows[(rows["flag"] == 1) & rows["temperature"].notna()]
    stations = []
    for (line, _, _), cast in good.sort_values("depth").groupby(["Line", "Station", "time"]):
        if cast["depth"].iloc[0] <= depth <= cast["depth"].iloc[-1]:
            value = np.interp(depth, cast["depth"], cast["temperature"])
            stations.append((value, *cast[["Longitude", "Latitude", "time"]].iloc[0], line))
    value, lon, lat, time, line = (np.array(column) for column in zip(*stations, strict=True))
    # Internal tides in the thermocline, and the line drawn between two bottles: stated beforehand, 1 degree.
    obs = table(
        value=value, error_std=1.0, lon=lon, lat=lat, time=time.astype("datetime64[ns]"), units="degC", line=line
    )
    step = 0.05
    axes = {"lat": np.arange(33.5, 37.76, step).round(3), "lon": np.arange(124.0, 127.01, step).round(3)}
    grid = xr.DataArray(
        np.zeros((axes["lat"].size, axes["lon"].size)), dims=("lat", "lon"), coords=axes, name="temperature",
        attrs={"units": "degC", "standard_name": "sea_water_temperature", "long_name": "temperature at 50 m"},
    )  # fmt: skip
    with xr.open_dataset(data / "bathymetry" / "etopo5_east_asia.nc") as ds:
        deep = ds["elevation"].interp(lat=grid["lat"], lon=grid["lon"]).load() < -depth
    counts = {
        "stations": int(rows.groupby(["Line", "Station", "time"]).ngroups),
        "reach 50 m": len(stations),
        "lines": int(np.unique(line).size),
        "flagged bottles": int((rows["flag"] != 1).sum()),
    }
    return YellowSea(grid, deep, obs, counts)


def stated(obs: xr.Dataset) -> Statistics:
    """Before anything is looked at: a length of 100 km, errors of 1 degree, the spread of the stations that are used."""
    value = obs["value"].values
    return Statistics("gaspari_cohn", float(value.mean()), float(value.std()), 100.0, None, 1.0)


def lines(case: YellowSea, statistics: Callable[[xr.Dataset], Statistics] = stated) -> list[Withheld]:
    """Each line of stations is withheld in turn; the background is the mean of the rest."""
    line = case.obs["line"].values
    out = []
    for k in np.unique(line):
        used = case.obs.isel(obs=np.flatnonzero(line != k))
        out.append(withhold(f"line {k}", case.grid, case.obs, line == k, statistics(used), line))
    return out


def likeliest(obs: xr.Dataset) -> Statistics:
    """From all stations that are used at once."""
    return estimate(obs, part=90.0)


def cold_water(case: YellowSea) -> xr.Dataset:
    """The map of all stations: temperature at 50 m and the standard deviation of its error, where the sea is that deep.

    With the likeliest statistics: those stated beforehand are for the test by lines, and promise smaller errors than there are.
    """
    told = likeliest(case.obs)
    given = case.obs.assign(error_std=case.obs["error_std"] * told.error_factor)
    analysis, diagnostics = told.method().assimilate(case.grid + told.mean, given)
    error = np.sqrt(diagnostics["analysis_error_variance"]).rename("error")
    error.attrs = {"units": "degC", "long_name": "standard deviation of the analysis error"}
    return xr.Dataset({"temperature": analysis.where(case.deep), "error": error.where(case.deep)}).assign(
        {
            n: diagnostics[n]
            for n in ("n_used", "n_outside", "n_duplicate", "reduced_chi2", "innovation_rms", "residual_rms")
        }
    )
