"""What the scaling benchmark has the workers do: fields that are made where they are used, and kernels on them."""

import time
from collections.abc import Callable
from functools import cache, partial
from typing import Any, NamedTuple

import dask
import dask.array
import numpy as np
import xarray as xr
from _grids import tilted

from oceankit.anomaly import climatology, heatwave_days, heatwaves
from oceankit.assimilation import LETKF, GaspariCohn
from oceankit.fields import Grid, blocks
from oceankit.numerics.compiling import kernel
from oceankit.observations import table
from oceankit.regridding import Regridder

MAPS, MANY_MAPS, CELLS, COLUMNS, MEMBERS = 64, 48, 20, 48, 40
"""In a chunk: maps that are regridded (conservatively, bilinearly); cells and columns along each side; members."""
STEP = 0.25
"""Degrees, of the LETKF's columns."""
TURNS = 60_000_000
"""Of the control, in a chunk."""


class Kernel(NamedTuple):
    """A piece of work that is as long as its number of chunks."""

    lazy: Callable[[int], Any]
    """Of a number of chunks: a Dask array of which a sum is asked for."""
    moved: int
    """Bytes of a chunk of input and of its result, as a file system would see them."""
    bound: str


def _piece(base: Callable[[], np.ndarray], axis: int, scale: float, *, block_info: Any = None) -> np.ndarray:
    """A block: what all have in common, and a number of its own."""
    number = block_info[None]["chunk-location"][axis]
    return base() + np.float32(scale * (number % 17))


def _made(base: Callable[[], np.ndarray], shape: tuple[int, ...], chunks: int, axis: int, scale: float) -> Any:
    cut = tuple((n,) * chunks if k == axis else (n,) for k, n in enumerate(shape))
    meta = np.empty((0,) * len(shape), np.float32)
    return dask.array.map_blocks(partial(_piece, base, axis, scale), chunks=cut, dtype=np.float32, meta=meta)


# ---- the control ------------------------------------------------------------------------------------------------------


@kernel
def _turns(rows, number):
    out = np.empty(rows.shape[0])
    for k in range(rows.shape[0]):
        state = np.uint64(k + 88172645463325252)
        for _ in range(number):
            state ^= state << np.uint64(13)
            state ^= state >> np.uint64(7)
            state ^= state << np.uint64(17)
        out[k] = float(state >> np.uint64(40))
    return out


def _spin(rows: np.ndarray) -> np.ndarray:
    return _turns(rows, TURNS)


def spin(chunks: int) -> Any:
    """Arithmetic in registers: what the machine and Dask allow a kernel that needs nothing else."""
    return along(_spin, chunks)


def _nothing(rows: np.ndarray) -> np.ndarray:
    return rows[:, 0].astype(np.float64)


def nothing(chunks: int) -> Any:
    return along(_nothing, chunks)


def along(function: Callable[[np.ndarray], np.ndarray], chunks: int) -> Any:
    """A kernel on rows of eight numbers, one a chunk, by the way that all kernels of the library go."""
    field = xr.DataArray(dask.array.zeros((chunks, 8), chunks=(1, 8)), dims=("row", "x"))
    return blocks.along(function, field, ["x"], [blocks.Output((), (), np.float64)])[0].data


# ---- regridding -------------------------------------------------------------------------------------------------------


@cache
def source() -> Grid:
    """A curvilinear grid around a tilted pole."""
    return Grid.from_dataset(tilted())


@cache
def _weights(method: str) -> Regridder:
    """Made once by the client; workers get them with the graph."""
    if method == "conservative":
        return Regridder(source(), 1.0, method)
    return Regridder(Grid.global_regular(0.25), 1.0, method, edges="latitude")


@cache
def _maps(number: int, shape: tuple[int, int], land: bool) -> np.ndarray:
    values = np.random.default_rng(0).normal(size=(number, *shape)).astype(np.float32)
    y, x = np.ogrid[: shape[0], : shape[1]]
    values[:, land & ((y // 40 + x // 50) % 3 == 0)] = np.nan
    return values


def regridded(method: str, maps: int, chunks: int) -> Any:
    regridder = _weights(method)
    grid, shape = regridder.source, (maps, *regridder.source.shape)
    base = partial(_maps, maps, grid.shape, method == "conservative")
    field = xr.DataArray(
        _made(base, shape, chunks, 0, 0.1), dims=("time", *grid.dims), coords=grid.coords(), name="sst"
    )
    return regridder(field).data


# ---- assimilation -----------------------------------------------------------------------------------------------------


@cache
def _members() -> np.ndarray:
    return np.random.default_rng(1).normal(size=(MEMBERS, COLUMNS, COLUMNS)).astype(np.float32)


@cache
def seen(chunks: int, each: int = 1600) -> tuple[xr.Dataset, xr.DataArray]:
    """Observations, ``each`` in a chunk, and what the members would have measured."""
    rng, count = np.random.default_rng(2), chunks * each
    width, height = chunks * COLUMNS * STEP / _rows(chunks), COLUMNS * STEP * _rows(chunks)
    lon, lat = rng.uniform(0, width, count), rng.uniform(0, height, count)
    found = table(value=rng.normal(size=count), error_std=0.5, lon=lon, lat=lat - 45.0)
    return found, xr.DataArray(rng.normal(size=(MEMBERS, count)), dims=("member", "obs"))


def _rows(chunks: int) -> int:
    """Chunks one above the other."""
    return next(n for n in (8, 4, 2, 1) if chunks % n == 0)


def analysed(chunks: int, each: int = 1600) -> Any:
    """Chunks beside and above each other, so that more of them are a larger sea with the same observations in reach."""
    rows = _rows(chunks)
    across = chunks // rows
    strips = [_made(_members, (MEMBERS, COLUMNS, COLUMNS), across, 2, 0.01) for _ in range(rows)]
    coords = {
        "lat": ("lat", np.arange(rows * COLUMNS) * STEP - 45.0, {"units": "degrees_north"}),
        "lon": ("lon", np.arange(across * COLUMNS) * STEP, {"units": "degrees_east"}),
    }
    ensemble = xr.DataArray(
        dask.array.concatenate(strips, axis=1), dims=("member", "lat", "lon"), coords=coords, name="sst"
    )
    observations, hx = seen(chunks, each)
    analysis, _ = LETKF(localization=GaspariCohn(150.0)).assimilate(ensemble, observations, hx=hx)
    return analysis.data


# ---- heatwaves --------------------------------------------------------------------------------------------------------

YEARS, PERIOD = ("1982-01-01", "2021-12-31"), (1983, 2012)


@cache
def _days() -> np.ndarray:
    """Forty years of red noise on a season."""
    rng, number = np.random.default_rng(3), xr.date_range(*YEARS).size
    out, noise = np.empty((number, CELLS, CELLS), np.float32), np.zeros((CELLS, CELLS), np.float32)
    for day in range(number):
        noise = np.float32(0.93) * noise + np.float32(0.35) * rng.standard_normal((CELLS, CELLS), np.float32)
        out[day] = 15 + 4 * np.sin(2 * np.pi * day / 365.25) + noise
    return out


def daily(chunks: int) -> xr.DataArray:
    dates = xr.date_range(*YEARS)
    data = _made(_days, (dates.size, CELLS, CELLS), chunks, 2, 0.01)
    coords = {"time": dates, "lat": np.arange(CELLS) * 0.25, "lon": np.arange(chunks * CELLS) * 0.25 % 360}
    return xr.DataArray(data, dims=("time", "lat", "lon"), coords=coords, name="sst", attrs={"units": "degree_C"})


def warm_days(chunks: int) -> Any:
    """Climatology, events and categories of their days, in one graph."""
    field = daily(chunks)
    return heatwave_days(field, climatology(field, period=PERIOD)).data


def events(chunks: int) -> Any:
    """Climatology and the table of events, which the client gets."""
    field = daily(chunks)
    return heatwaves(field, climatology(field, period=PERIOD))["intensity_cumulative"].values


# ---- all of them ------------------------------------------------------------------------------------------------------

_OUT = 180 * 360
KERNELS = {
    "control": Kernel(spin, 0, "CPU, nothing else"),
    "regridding": Kernel(partial(regridded, "conservative", MAPS), 4 * MAPS * (400 * 600 + _OUT), "compute"),
    "letkf": Kernel(analysed, 2 * 4 * MEMBERS * COLUMNS**2, "compute"),
    "heatwaves": Kernel(warm_days, (4 + 1) * 14_610 * CELLS**2, "compute"),
    "events": Kernel(events, 4 * 14_610 * CELLS**2, "compute; events go to the client"),
    "bilinear": Kernel(partial(regridded, "bilinear", MANY_MAPS), 4 * MANY_MAPS * (720 * 1440 + _OUT), "memory"),
}


def total(name: str, chunks: int) -> float:
    """The work itself, on the scheduler in force; its result is one number."""
    lazy = KERNELS[name].lazy(chunks)
    return float(dask.array.nansum(lazy).compute() if dask.is_dask_collection(lazy) else lazy.sum())


def warm(name: str) -> float:
    """Seconds by which the first call in a worker is longer than the second: compiled code comes from the disk."""
    KERNELS[name].lazy(1) if name != "events" else daily(1)
    for made in (
        partial(_maps, MAPS, (400, 600), True),
        partial(_maps, MANY_MAPS, (720, 1440), False),
        _members,
        _days,
    ):
        made()
    seconds = []
    with dask.config.set(scheduler="synchronous"):
        for _ in range(2):
            begin = time.perf_counter()
            total(name, 1)
            seconds.append(time.perf_counter() - begin)
    return seconds[0] - seconds[1]


def cpu_seconds() -> float:
    return time.process_time()


# ---- bandwidth --------------------------------------------------------------------------------------------------------


@kernel
def _triad(a, b, c, factor):
    for k in range(a.size):
        a[k] = b[k] + factor * c[k]


def triad(seconds: float = 1.0, size: int = 2**24) -> float:
    """Bytes a second of a = b + factor * c, in arrays of 128 MiB, as STREAM counts them: two read, one written."""
    a, b, c = np.zeros(size), np.ones(size), np.ones(size)
    _triad(a, b, c, 2.0)
    begin, turns = time.perf_counter(), 0
    while time.perf_counter() - begin < seconds:
        _triad(a, b, c, 2.0)
        turns += 1
    return 24.0 * size * turns / (time.perf_counter() - begin)
