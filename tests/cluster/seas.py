"""Three pieces of work whose fields are made block by block, the same whatever the blocks; workers import this too."""

import os
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dask.array
import numpy as np
import xarray as xr
from analytic import rotated_grid

from oceankit.anomaly import climatology, heatwave_days, heatwaves
from oceankit.assimilation import LETKF, GaspariCohn
from oceankit.fields import Grid
from oceankit.observations import table
from oceankit.regridding import Regridder

YEARS = (2001, 2004)


def noise(*at: np.ndarray) -> np.ndarray:
    """Values in -1..1 that only depend on where they are."""
    mixed = np.zeros(np.broadcast_shapes(*(a.shape for a in at)), np.uint32)
    for k, a in enumerate(at):
        mixed = (mixed ^ (a.astype(np.uint32) + np.uint32(k * 7919))) * np.uint32(2654435761)
        mixed ^= mixed >> np.uint32(15)
    return (mixed % np.uint32(20001)).astype(np.float32) / np.float32(10000) - np.float32(1)


class Sea:
    """An array whose values are made when they are read, as from a file; that a block was is noted in a folder."""

    def __init__(
        self, value: Callable[..., np.ndarray], shape: tuple[int, ...], log: str | None = None, pause: float = 0.0
    ) -> None:
        self.value, self.shape, self.log, self.pause = value, shape, log, pause
        self.dtype, self.ndim = np.dtype(np.float32), len(shape)

    def __getitem__(self, where: tuple[slice, ...]) -> np.ndarray:
        spans = [s.indices(n)[:2] for s, n in zip(where, self.shape, strict=True)]
        if self.log is not None:
            with open(Path(self.log) / "_".join(str(first) for first, _ in spans), "a") as file:
                file.write(f"{os.environ.get('SLURM_JOB_ID', '')}-{os.getpid()}\n")
            time.sleep(self.pause)
        at = [np.arange(*s).reshape([-1 if k == j else 1 for j in range(self.ndim)]) for k, s in enumerate(spans)]
        return self.value(*at)


def lazy(value: Callable[..., np.ndarray], shape: tuple[int, ...], chunks: Any, **how: Any) -> dask.array.Array:
    """Reading such an array in blocks."""
    sea = Sea(value, shape, **how)
    return dask.array.from_array(
        sea, chunks=chunks, name=f"sea-{uuid.uuid4().hex}", meta=np.empty((0,) * len(shape), np.float32)
    )


def makers(log: Path) -> dict[str, list[str]]:
    """Of each block the processes that made it."""
    return {p.name: p.read_text().split() for p in log.iterdir()}


# ---- regridding ------------------------------------------------------------------------------------------------------


def water(t: np.ndarray, y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """With land."""
    found = noise(t, y, x) + (y + x).astype(np.float32) / 20
    return np.where((y + 2 * x) % 41 < 6, np.float32(np.nan), found)


def times(source: Grid, steps: int, chunk: int = 1, *, value: Any = water, **how: Any) -> xr.DataArray:
    """Maps on a curvilinear grid, ``chunk`` of them in a block."""
    data = lazy(value, (steps, *source.shape), (chunk, *source.shape), **how)
    coords = {"time": np.datetime64("2001-01-01", "ns") + np.arange(steps) * np.timedelta64(1, "D")}
    attrs = {"units": "degree_C", "standard_name": "sea_water_temperature"}
    return xr.DataArray(data, dims=("time", *source.dims), coords=source.coords() | coords, name="thetao", attrs=attrs)


def regridder(ny: int = 30, nx: int = 40, step: float = 2.0) -> Regridder:
    return Regridder(rotated_grid(ny, nx), step, "conservative")


# ---- assimilation ----------------------------------------------------------------------------------------------------


def members(m: np.ndarray, y: np.ndarray, x: np.ndarray) -> np.ndarray:
    found = noise(m, y // 4, x // 4) + noise(y, x) + np.float32(15)
    return np.where((y + x) % 37 < 4, np.float32(np.nan), found)


def ensemble(
    number: int, ny: int, nx: int, chunks: tuple[int, int], *, value: Any = members, **how: Any
) -> xr.DataArray:
    """Members of a quarter of the ocean."""
    data = lazy(value, (number, ny, nx), (number, *chunks), **how)
    lat, lon = np.linspace(-39.9, 39.9, ny), np.linspace(120.1, 239.9, nx)
    coords = {"lat": ("lat", lat, {"units": "degrees_north"}), "lon": ("lon", lon, {"units": "degrees_east"})}
    return xr.DataArray(data, dims=("member", "lat", "lon"), coords=coords, name="sst", attrs={"units": "degree_C"})


def observed(number: int) -> xr.Dataset:
    rng = np.random.default_rng(4)
    return table(
        value=15 + rng.normal(size=number), error_std=0.5, lon=rng.uniform(125, 235, number),
        lat=rng.uniform(-35, 35, number), units="degree_C",
    )  # fmt: skip


def filter_of(radius: float = 1500.0) -> LETKF:
    return LETKF(localization=GaspariCohn(radius))


# ---- heatwaves -------------------------------------------------------------------------------------------------------


def days(t: np.ndarray, y: np.ndarray, x: np.ndarray) -> np.ndarray:
    season = (3 * np.sin(2 * np.pi * t / 365.25)).astype(np.float32)
    # Weeks that are warmer or colder as a whole, so that there are events.
    found = 15 + season + noise(t, y, x) + 2 * noise(t // 9, y // 2, x // 2)
    return np.where((y + 3 * x) % 23 < 2, np.float32(np.nan), found.astype(np.float32))


def daily(
    ny: int, nx: int, chunks: tuple[int, int], years: tuple[int, int] = YEARS, *, value: Any = days, **how: Any
) -> xr.DataArray:
    first, last = (np.datetime64(f"{y}-01-01", "D") for y in (years[0], years[1] + 1))
    dates = np.arange(first, last).astype("M8[ns]")
    data = lazy(value, (dates.size, ny, nx), (dates.size, *chunks), **how)
    lat, lon = np.arange(ny) * 0.25, np.arange(nx) * 0.25
    coords = {
        "time": dates,
        "lat": ("lat", lat, {"units": "degrees_north"}),
        "lon": ("lon", lon, {"units": "degrees_east"}),
    }
    return xr.DataArray(data, dims=("time", "lat", "lon"), coords=coords, name="sst", attrs={"units": "degree_C"})


# ---- all three -------------------------------------------------------------------------------------------------------


def inputs(log: Path | None = None, pause: float = 0.0) -> dict[str, Any]:
    """Small fields of the three, in several blocks; that a block was made is noted in a folder of ``log``."""

    def how(name: str) -> dict[str, Any]:
        if log is None:
            return {}
        (log / name).mkdir(parents=True)
        return {"log": str(log / name), "pause": pause}

    return {
        "maps": times(rotated_grid(30, 40), 8, **how("maps")),
        "members": ensemble(8, 24, 36, (12, 12), **how("members")),
        "days": daily(8, 12, (4, 4), **how("days")),
    }


def results(fields: dict[str, Any]) -> dict[str, xr.Dataset]:
    """What is made of them, in memory."""
    maps = regridder()(fields["maps"]).to_dataset()
    analysis, said = filter_of().assimilate(fields["members"], observed(60))
    clim = climatology(fields["days"], period=YEARS)
    events = heatwaves(fields["days"], clim)
    return {
        "regridding": maps.compute(),
        "analysis": xr.merge([analysis.to_dataset(), said], compat="override").compute(),
        "climatology": clim.compute(),
        "heatwaves": events.compute(),
        "heatwave_days": heatwave_days(fields["days"], clim).compute(),
    }


def eager() -> dict[str, xr.Dataset]:
    """The same from fields in memory, without Dask."""
    return results({name: field.compute(scheduler="synchronous") for name, field in inputs().items()})


# ---- more than a worker can hold -------------------------------------------------------------------------------------


def plain(*at: np.ndarray) -> np.ndarray:
    """Cheap to make, and small when it is compressed."""
    whole = np.zeros([max(a.shape[k] for a in at) for k in range(len(at))], np.float32)
    for k, a in enumerate(at):
        whole += (a % (97 + k)).astype(np.float32)
    return whole


def islands(t: np.ndarray, y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Days of a sea of which one place in 64 is water: the others are as large, and are passed over."""
    found = np.full((t.size, y.size, x.size), np.nan, np.float32)
    wet_y, wet_x = (a.ravel() % 8 == 0 for a in (y, x))
    found[:, np.flatnonzero(wet_y)[:, None], np.flatnonzero(wet_x)] = days(t, y[:, wet_y], x[:, :, wet_x])
    return found
