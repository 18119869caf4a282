"""Tiny fields and run files that take a second or two."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from click.testing import CliRunner, Result

from oceankit.cli import main

WARM = slice("2003-03", "2003-08")


def monthly_sst() -> xr.DataArray:
    """48 months on a coarse global grid: a mean field, a seasonal cycle, and a warm spell of six months in the box."""
    time = np.arange("2001-01", "2005-01", dtype="M8[M]").astype("M8[D]") + 14
    lat, lon = np.arange(-75.0, 80, 10), np.arange(5.0, 360, 10)
    month = (time.astype("M8[M]").astype(int) % 12)[:, None, None]
    values = 28 * np.cos(np.radians(lat))[None, :, None] ** 2 + np.cos(np.radians(lon))[None, None, :]
    values = values + 2 * np.cos(2 * np.pi * month / 12) * np.sin(np.radians(lat))[None, :, None]
    sst = xr.DataArray(
        values.astype(np.float32), dims=("time", "lat", "lon"), name="sst",
        coords={"time": time.astype("M8[ns]"), "lat": lat, "lon": lon},
        attrs={"standard_name": "sea_surface_temperature", "long_name": "sea surface temperature", "units": "degree_C",
               "cell_methods": "time: mean"},
    )  # fmt: skip
    sst["lat"].attrs["units"], sst["lon"].attrs["units"] = "degrees_north", "degrees_east"
    sst.loc[{"time": WARM, "lat": slice(-10, 10), "lon": slice(190, 240)}] += 2.0
    sst.loc[{"lat": slice(20, 60), "lon": slice(20, 100)}] = np.nan  # land
    return sst


@pytest.fixture(scope="session")
def sst_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("fields") / "sst.nc"
    monthly_sst().to_netcdf(path)
    return path


@pytest.fixture
def folder(tmp_path: Path, sst_file: Path) -> Path:
    """A folder with the fields, for a run file to lie beside."""
    (tmp_path / "sst.nc").write_bytes(sst_file.read_bytes())
    return tmp_path


@pytest.fixture
def oceankit(folder: Path) -> Callable[..., Result]:
    """Run the command in the folder, with ``text`` as its run file."""

    def call(text: str, *arguments: str) -> Result:
        path = folder / "run.yaml"
        path.write_text(text, encoding="utf-8")
        return CliRunner().invoke(main, ["run", str(path), *arguments])

    return call


def terrain() -> xr.Dataset:
    """Temperature that falls with depth, 20 - depth / 100, on sigma levels over a sloping floor; two times."""
    lat, lon = np.arange(31.0, 40, 2), np.arange(117.0, 128, 2)
    sigma = np.array([-1.0, -0.8, -0.55, -0.3, -0.1, 0.0])
    floor = np.broadcast_to(np.linspace(60.0, 400.0, lon.size), (lat.size, lon.size))
    depth = -sigma[:, None, None] * floor
    temperature = np.stack([20.0 - depth / 100, 21.0 - depth / 100]).astype(np.float32)
    return xr.Dataset(
        {"thetao": (("time", "s", "lat", "lon"), temperature, {"standard_name": "sea_water_potential_temperature",
                                                                "units": "degC"}),
         "zos": (("time", "lat", "lon"), np.zeros((2, lat.size, lon.size), np.float32), {"units": "m"}),
         "deptho": (("lat", "lon"), floor, {"units": "m"}),
         "note": ("time", [1, 2])},
        coords={"time": np.array(["2015-01-16", "2015-02-16"], "M8[ns]"),
                "s": ("s", sigma, {"standard_name": "ocean_sigma_coordinate", "positive": "up",
                                   "formula_terms": "sigma: s eta: zos depth: deptho"}),
                "lat": ("lat", lat, {"units": "degrees_north"}), "lon": ("lon", lon, {"units": "degrees_east"})},
    )  # fmt: skip


@pytest.fixture
def terrain_file(folder: Path) -> Path:
    path = folder / "terrain.nc"
    terrain().to_netcdf(path)
    return path


def daily_sst() -> xr.DataArray:
    """Five years of days in 2 x 3 cells, one of them land, in steps of a thousandth; a hot June of one cell in 2003."""
    time = np.arange("2001-01-01", "2006-01-01", dtype="M8[D]")
    day = (time - time.astype("M8[Y]")).astype(int)
    noise = np.random.default_rng(5).normal(0, 0.4, (time.size, 2, 3))
    values = 15 + 3 * np.cos(2 * np.pi * (day - 30) / 365.25)[:, None, None] + noise
    sst = xr.DataArray(
        values.round(3), dims=("time", "lat", "lon"), name="sst",
        coords={"time": time.astype("M8[ns]"), "lat": ("lat", [-1.0, 1.0], {"units": "degrees_north"}),
                "lon": ("lon", [181.0, 183.0, 185.0], {"units": "degrees_east"})},
        attrs={"standard_name": "sea_surface_temperature", "long_name": "sea surface temperature", "units": "degree_C"},
    )  # fmt: skip
    sst.loc[{"time": slice("2003-06-01", "2003-06-20"), "lat": 1, "lon": 185}] += 5
    sst.loc[{"time": slice("2005-12-25", None), "lat": 1}] += 1
    sst[:, 0, 0] = np.nan
    return sst


@pytest.fixture
def daily_file(folder: Path) -> Path:
    path = folder / "daily.nc"
    daily_sst().to_netcdf(path)
    return path


LAT, LON = np.arange(30.5, 38), np.arange(120.5, 130)
MEMBERS = 8


def member_field(values: np.ndarray, time: str = "2020-06-01") -> xr.DataArray:
    out = xr.DataArray(
        values[None].astype(np.float32), dims=("time", "lat", "lon"), name="sst",
        coords={"time": np.array([time], "M8[ns]"), "lat": ("lat", LAT, {"units": "degrees_north"}),
                "lon": ("lon", LON, {"units": "degrees_east"})},
        attrs={"units": "degC", "standard_name": "sea_surface_temperature", "long_name": "sea surface temperature"},
    )  # fmt: skip
    out[:, :2, :2] = np.nan  # land
    return out


def smooth(rng: np.random.Generator) -> np.ndarray:
    a, b, c = rng.normal(size=3)
    return a + b * np.sin(LAT / 3)[:, None] + c * np.cos(LON / 4)[None, :]


@pytest.fixture(scope="session")
def ensemble_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Members in one file and in a file each, years of a model run, one background and observations."""
    folder, rng = tmp_path_factory.mktemp("ensemble"), np.random.default_rng(3)
    whole = [member_field(15 + smooth(rng)) for _ in range(MEMBERS)]
    for k, member in enumerate(whole):
        member.to_netcdf(folder / f"member_{k}.nc")
    joined = xr.concat([m.isel(time=0) for m in whole], "number").assign_coords(number=np.arange(1, MEMBERS + 1))
    joined.to_netcdf(folder / "ensemble.nc")
    years = xr.concat([member_field(15 + smooth(rng), f"{y}-06-01") for y in range(1990, 2002)], "time")
    years.to_netcdf(folder / "years.nc")
    for year in range(1990, 1994):
        years.sel(time=str(year)).to_netcdf(folder / f"year_{year}.nc")
    member_field(np.full((LAT.size, LON.size), 15.0)).to_netcdf(folder / "control.nc")
    (whole[0] + 0.5).assign_attrs(whole[0].attrs).to_netcdf(folder / "truth.nc")
    lon, lat = rng.uniform(123, 128.5, 40), rng.uniform(33, 37, 40)
    value = 15.5 + 0.3 * rng.normal(size=40)
    value[0] = 40.0  # nonsense
    rows = [f"{v:.3f},0.3,{x:.3f},{y:.3f},1" for v, x, y in zip(value, lon, lat, strict=True)]
    rows += [rows[5].replace("15.", "14.", 1), "15,0.3,125,35,4", "15,0.3,140,35,1"]
    (folder / "obs.csv").write_text("value,error_std,lon,lat,flag\n" + "\n".join(rows) + "\n")
    return folder


@pytest.fixture
def assimilate(oceankit: Callable[..., Result], folder: Path, ensemble_files: Path) -> Callable[..., Result]:
    """Run one step: its input and the text of its `assimilate`, beside the files."""
    for path in ensemble_files.iterdir():
        (folder / path.name).symlink_to(path)

    def call(given: str, spec: str, *arguments: str, more: str = "") -> Result:
        stages = "\n".join(f"      {line}" for line in spec.strip().splitlines())
        text = f"oceankit: 1\nsteps:\n  - name: one\n    input: {{{given}}}\n    assimilate:\n{stages}\n"
        return oceankit(f"{text}    product: out.nc\n{more}", "--output", str(folder / "out"), *arguments)

    return call
