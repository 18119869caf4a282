"""A small sea with a heatwave, and settings that live through two weeks of it with many deliveries out of order."""

import hashlib
from pathlib import Path

import numpy as np
import xarray as xr

from oceankit.replay import Settings

PLAIN = {"late": 0.0, "again": 0.0, "corrected": 0.0}
ROUGH = {"late": 0.2, "again": 0.15, "corrected": 0.2, "seed": 5}


def sea(shape: tuple[int, ...] = (3, 4)) -> xr.DataArray:
    """Seven years of red noise on a season, with a warm spell in the days that are lived, and a cell of land."""
    days = xr.date_range("2001-01-01", "2007-12-31")
    rng = np.random.default_rng(1)
    noise = np.zeros((days.size, *shape))
    for k in range(1, days.size):
        noise[k] = 0.9 * noise[k - 1] + 0.4 * rng.normal(size=shape)
    season = 3 * np.cos(2 * np.pi * np.arange(days.size) / 365.25)
    values = 15 + season.reshape(-1, *[1] * len(shape)) + noise
    begun = (days - days[0]).days.values - (np.datetime64("2006-07-06") - np.datetime64("2001-01-01")).astype(int)
    values += np.interp(begun, [0, 5, 24, 30], [0, 3, 3, 0]).reshape(-1, *[1] * len(shape))
    if len(shape) == 2:
        values[:, 0, 0] = np.nan
    coords = {
        "time": days,
        "lat": ("lat", 35.125 + 0.25 * np.arange(3), {"units": "degrees_north"}),
        "lon": ("lon", 120.125 + 0.25 * np.arange(4), {"units": "degrees_east"}),
    }
    dims = ("time", "lat", "lon")[: 1 + len(shape)]
    attrs = {"units": "degC", "standard_name": "sea_surface_temperature"}
    return xr.DataArray(values.astype("f4"), {d: coords[d] for d in dims}, dims, "sst", attrs)


def settings(last: str = "2006-07-14", **more: object) -> Settings:
    days = {"base": ("2001", "2005"), "train": ("2001", "2005"), "days": ("2006-07-01", last), "leads": range(1, 8)}
    return Settings(**{**days, "maps": 7, "confidence": 0.5, **ROUGH, **more})  # type: ignore[arg-type]


def products(folder: Path, until: str = "9") -> dict[str, str]:
    """Hashes of all files of the days."""
    return {
        str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted((folder / "days").rglob("*"))
        if p.is_file() and p.relative_to(folder / "days").parts[0] <= until
    }
