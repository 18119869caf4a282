"""Shared reference data and the fields that several test files use."""

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

SHARED = Path(__file__).resolve().parents[2].parent / "shared"


@pytest.fixture
def shared() -> Path:
    if not (SHARED / "reference" / "anomaly").is_dir():
        pytest.skip(f"the reference data of {SHARED} are not on this machine")
    return SHARED


@pytest.fixture
def ostia() -> xr.Dataset:
    """54 months of OSTIA SST of the equatorial strip, April 2006 to September 2010."""
    package = pytest.importorskip("iris_sample_data")
    with xr.open_dataset(Path(package.path) / "ostia_monthly.nc") as dataset:
        return dataset.load()


def daily(start: str, end: str, shape: tuple[int, ...] = (), *, calendar: str = "standard") -> xr.DataArray:
    """A red-noise seasonal field named ``sst``: time first, then lat and lon."""
    time = xr.date_range(start, end, freq="D", calendar=calendar, use_cftime=None if calendar == "standard" else True)
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(time.size, *shape))
    for t in range(1, time.size):
        noise[t] += 0.8 * noise[t - 1]
    season = 3 * np.sin(2 * np.pi * np.arange(time.size) / 365.25)
    dims = ("time", "lat", "lon")[: 1 + len(shape)]
    coords = {"time": time} | {d: np.arange(n) * 0.25 for d, n in zip(dims[1:], shape, strict=True)}
    values = 15 + season.reshape(-1, *(1,) * len(shape)) + noise
    return xr.DataArray(values, dims=dims, coords=coords, name="sst", attrs={"units": "degree_C"})


@pytest.fixture
def cube() -> xr.DataArray:
    """Eight years of float32 with gaps, a cell without any value and one with few."""
    field = daily("2001-01-01", "2008-12-31", (3, 4)).astype("float32")
    field.values[np.random.default_rng(1).random(field.shape) < 0.05] = np.nan
    field.values[:, 1, 2] = np.nan
    field.values[200:, 0, 1] = np.nan
    return field


@pytest.fixture
def make_daily():
    return daily
