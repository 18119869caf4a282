"""Small synthetic seas: red noise that a linear forecast exhausts, and a map that folds and that it cannot follow."""

import importlib.util

import numpy as np
import pytest
import xarray as xr


@pytest.fixture(autouse=True, scope="session")
def _one_thread():
    """Small matrices: more threads only wait for each other, and the order of sums stays the same."""
    if importlib.util.find_spec("torch") is None:
        yield
        return
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def red(x: np.ndarray, noise: np.ndarray) -> np.ndarray:
    return 0.8 * x + 0.6 * noise


def white(x: np.ndarray, noise: np.ndarray) -> np.ndarray:
    return noise


def folding(x: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """A tent: a regression through the origin sees nothing of it."""
    return 1.2 - 1.5 * np.abs(np.clip(x, -1.5, 1.5)) + 0.2 * noise


def gusty(x: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """The mean is linear, the width of the noise depends on the state."""
    return 0.5 * x + np.exp(0.8 * np.tanh(x)) * noise


PROCESSES = {f.__name__: f for f in (red, white, folding, gusty)}


def field(
    steps: int,
    shape: tuple[int, ...] = (2, 3),
    *,
    process: str = "red",
    start: str = "1980-01-01",
    freq: str = "MS",
    calendar: str = "standard",
    season: float = 3.0,
    seed: int = 0,
) -> xr.DataArray:
    """``sst`` along time, and station or lat and lon: 15 degrees, a season, and a process in each cell by itself."""
    time = xr.date_range(start, periods=steps, freq=freq, calendar=calendar, use_cftime=calendar != "standard" or None)
    rng = np.random.default_rng(seed)
    state = np.zeros((steps, *shape))
    for i in range(1, steps):
        state[i] = PROCESSES[process](state[i - 1], rng.standard_normal(shape))
    dims = {0: (), 1: ("station",), 2: ("lat", "lon")}[len(shape)]
    places = {
        "station": ("station", [f"s{i}" for i in range(shape[0])] if len(shape) == 1 else []),
        "lat": ("lat", 2.0 * np.arange(shape[0] if shape else 0) - 20, {"units": "degrees_north"}),
        "lon": ("lon", 2.0 * np.arange(shape[-1] if shape else 0) + 150, {"units": "degrees_east"}),
    }
    out = xr.DataArray(
        state,
        dims=("time", *dims),
        coords={"time": time, **{d: places[d] for d in dims}},
        name="sst",
        attrs={"units": "degC", "long_name": "temperature of the sea"},
    )
    phase = 2 * np.pi * (out["time"].dt.dayofyear - 1) / 365.25
    return (15 + season * np.sin(phase) + out).transpose(*out.dims).assign_attrs(out.attrs).rename("sst")


@pytest.fixture(scope="session")
def make_field():
    return field


@pytest.fixture(scope="session")
def lively() -> xr.DataArray:
    """40 years of months on a grid with a cell of land; the network has something to add to any linear forecast."""
    out = field(480, (2, 4), process="folding")
    out[:, 1, 2] = np.nan
    return out


@pytest.fixture(scope="session")
def fitted(lively):
    """A forecaster fitted to the first 33 years of ``lively``."""
    pytest.importorskip("torch", reason="needs the extra 'forecast'")
    from oceankit.forecast import Forecaster

    return Forecaster(leads=(1, 2, 4)).fit(lively.isel(time=slice(0, 400)))
