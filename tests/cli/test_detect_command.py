"""The command `oceankit detect`: heatwaves of whole files from disk to disk, packed values as they are."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from click.testing import CliRunner, Result

from oceankit.anomaly import climatology, heatwave_days, heatwaves
from oceankit.cli import main
from oceankit.fields import check_integrity, open_fields

Call = Callable[..., Result]
PACKED = {"dtype": "int16", "scale_factor": 0.001, "add_offset": 10.0, "_FillValue": np.int16(-32768)}
PERIOD = ("--period", "2001", "2005")


@pytest.fixture
def command(folder: Path, daily_file: Path, monkeypatch: pytest.MonkeyPatch) -> Call:
    """The command, called in the folder."""
    monkeypatch.chdir(folder)

    def call(*arguments: str) -> Result:
        return CliRunner().invoke(main, ["detect", *arguments])

    return call


def ran(result: Result) -> Result:
    assert result.exit_code == 0, result.output
    return result


def refused(result: Result) -> str:
    assert result.exit_code == 1
    (line,) = result.stderr.splitlines()
    return line


def packed_years(folder: Path, **of_2003: object) -> None:
    sst = xr.load_dataset(folder / "daily.nc")
    for year in range(2001, 2006):
        options = {**PACKED, **(of_2003 if year == 2003 else {})}
        sst.sel(time=str(year)).to_netcdf(folder / f"year_{year}.nc", encoding={"sst": options})


def test_a_file_goes_to_a_folder_of_three_stores(command: Call, folder: Path):
    options = (
        "--convention",
        "xmhw",
        "--percentile",
        "85",
        "--min-duration",
        "4",
        "--max-gap",
        "1",
        "--max-missing",
        "2",
    )
    result = ran(command("daily.nc", "found", *PERIOD, *options, "--half-window", "3", "--smooth", "11"))
    sst = xr.open_dataset(folder / "daily.nc").sst
    clim = climatology(sst, period=(2001, 2005), convention="xmhw", percentile=85, half_window=3, smooth=11)
    given = {"min_duration": 4, "max_gap": 1, "max_missing": 2}
    expected = heatwaves(sst, clim, **given)
    found = {name: open_fields(folder / "found" / f"{name}.zarr") for name in ("events", "days", "climatology")}
    for name in ("start", "duration", "intensity_cumulative", "lat", "lon"):
        np.testing.assert_array_equal(found["events"][name], expected[name], err_msg=name)
    np.testing.assert_array_equal(found["days"].heatwave_category, heatwave_days(sst, clim, **given))
    np.testing.assert_array_equal(found["climatology"].threshold, clim.threshold)
    assert "sst (1826 time x 2 lat x 3 lon, degree_C) from 1 file\n" in result.stdout
    assert f"  {expected.sizes['event']} heatwaves; strongest: " in result.stdout
    assert "found/events.zarr, " in result.stdout
    assert all(check_integrity(path).ok for path in (folder / "found").iterdir())


def test_packed_values_stay_as_they_are_where_all_files_pack_them_alike(command: Call, folder: Path):
    packed_years(folder)
    result = ran(command("year_*.nc", "packed", *PERIOD, "--no-climatology"))
    assert "degree_C, packed values as they are) from 5 files" in result.stdout
    assert sorted(p.name for p in (folder / "packed").iterdir()) == ["days.zarr", "events.zarr"]
    ran(command("daily.nc", "plain", *PERIOD))
    packed, plain = (open_fields(folder / name / "events.zarr").load() for name in ("packed", "plain"))
    assert packed.sizes["event"] == plain.sizes["event"] > 3
    np.testing.assert_allclose(packed.intensity_max, plain.intensity_max, atol=1e-9)
    # 2003 with another offset: joined as integers it would be a year of nonsense.
    packed_years(folder, add_offset=11.0)
    result = ran(command("year_*.nc", "mixed", *PERIOD))
    assert "unpacked, as not all files are packed alike) from 5 files" in result.stdout
    mixed = open_fields(folder / "mixed" / "events.zarr").load()
    np.testing.assert_allclose(mixed.intensity_max, plain.intensity_max, atol=1e-4)


def test_cold_spells_and_none_at_all(command: Call, folder: Path):
    assert (
        " below the mean on "
        in ran(command("daily.nc", "cold", *PERIOD, "--percentile", "10", "--min-duration", "3")).stdout
    )
    assert "  no heatwaves\n" in ran(command("daily.nc", "none", *PERIOD, "--min-duration", "500")).stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("gone.nc", "out", *PERIOD), "there is no file 'gone.nc'"),
        (("daily.nc", "daily.nc", *PERIOD), "'daily.nc' is there already; name another folder, or remove it first"),
        (("daily.nc", "no/out", *PERIOD), "the folder of 'no/out' does not exist"),
        (("daily.nc", "out", "--period", "1983", "2012"), "the base period 1983-01-01/2012-12-31 is not covered"),
        (("daily.nc", "out", "--period", "soon", "2012"), "period has the bound 'soon'"),
        (("daily.nc", "out", *PERIOD, "--variable", "sts"), "the files have no variable 'sts'; did you mean 'sst'?"),
        (("daily.nc", "out", *PERIOD, "--smooth", "30"), "smooth is 30; give an odd number of days"),
        (("daily.nc", "out", *PERIOD, "--percentile", "50"), "no percentile above or below 50"),
        (("daily.nc", "out", *PERIOD, "--memory", "much"), "memory is 'much'; give a size such as '1GiB'"),
        (("daily.nc", "out", *PERIOD, "--memory", "1kB"), "allow more"),
        (
            ("two.nc", "out", *PERIOD),
            "the files have 2 fields along time (sst, ice); name the variable with --variable",
        ),
    ],
)
def test_mistakes_are_told_in_one_line(command: Call, folder: Path, arguments: tuple[str, ...], said: str):
    sst = xr.open_dataset(folder / "daily.nc").sst
    xr.Dataset({"sst": sst, "ice": sst * 0, "flag": (sst > 20).astype("i1")}).to_netcdf(folder / "two.nc")
    before = sorted(folder.rglob("*"))
    assert said in refused(command(*arguments))
    assert sorted(folder.rglob("*")) == before


def test_options_that_cannot_be_read(command: Call):
    for options, said in (
        (("--convention", "olivier"), "'olivier' is not one of"),
        (("--min-duration", "0"), "0 is not in the range"),
        (("--percentile", "100"), "100.0 is not in the range"),
    ):
        result = command("daily.nc", "out", *PERIOD, *options)
        assert result.exit_code == 2
        assert said in result.stderr
    assert "'--period'" in command("daily.nc", "out").stderr


def test_debug_shows_the_exception(command: Call):
    assert type(command("gone.nc", "out", *PERIOD, "--debug").exception).__name__ == "PlaceError"
