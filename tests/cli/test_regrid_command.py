"""The command `oceankit regrid`: whole files to another grid, and refusals before any work."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from click.testing import CliRunner, Result

from oceankit.cli import main
from oceankit.fields import Grid, check_integrity, open_fields
from oceankit.regridding import Regridder, regrid, regrid_vectors, regrid_vertical

Call = Callable[..., Result]


@pytest.fixture
def command(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Call:
    """The command, called in the folder."""
    monkeypatch.chdir(folder)

    def call(*arguments: str) -> Result:
        return CliRunner().invoke(main, ["regrid", *arguments])

    return call


def ran(result: Result) -> Result:
    assert result.exit_code == 0, result.output
    return result


def refused(result: Result) -> str:
    assert result.exit_code == 1
    (line,) = result.stderr.splitlines()
    return line


def scraps(folder: Path) -> list[Path]:
    return [p for p in folder.iterdir() if p.name.startswith(".")]


@pytest.mark.parametrize("out", ["out.nc", "out.zarr"])
def test_a_file_is_regridded_whole_with_its_provenance(command: Call, folder: Path, out: str):
    result = ran(command("sst.nc", out, "--to", "15", "--method", "conservative"))
    assert "sst: conservative, from <oceankit.Grid rectilinear" in result.stdout
    ds = open_fields(folder / out)
    expected = regrid(xr.open_dataset(folder / "sst.nc").sst, 15.0, "conservative")
    np.testing.assert_array_equal(ds.sst.values, expected.values)
    assert ds.sst.attrs["standard_name"] == "sea_surface_temperature"
    assert ds.lat.attrs["bounds"] == "lat_bnds"
    said = json.loads(ds.attrs["provenance"])
    assert said["options"]["method"] == "conservative"
    assert [Path(entry["path"]).name for entry in said["inputs"]] == ["sst.nc"]
    assert check_integrity(folder / out).ok
    assert not scraps(folder)


@pytest.mark.parametrize(
    ("to", "grid"),
    [
        ("20", Grid.global_regular(20.0)),
        ("r36x18", Grid.regular(lon=(-5, 355, 10), lat=(-90, 90, 10))),
        ("117,127,0.5/31,41,0.5", Grid.regular(lon=(117, 127, 0.5), lat=(31, 41, 0.5))),
        ("-180,-170,1/-10,0,1", Grid.regular(lon=(-180, -170, 1), lat=(-10, 0, 1))),
        ("terrain.nc", Grid.regular(lon=(116, 128, 2), lat=(30, 40, 2))),
    ],
)
def test_grids_to_go_to(command: Call, folder: Path, terrain_file: Path, to: str, grid: Grid):
    ran(command("sst.nc", "out.nc", "--to", to))
    ds = xr.load_dataset(folder / "out.nc")
    np.testing.assert_allclose(ds.lon, grid.lon)
    np.testing.assert_allclose(ds.lat, grid.lat)


def test_centres_of_r360x180_are_those_of_cdo(command: Call, folder: Path):
    ran(command("sst.nc", "out.nc", "--to", "r360x180"))
    ds = xr.load_dataset(folder / "out.nc")
    assert (ds.lon.values[0], ds.lat.values[0]) == (0.0, -89.5)


def test_variables_on_other_grids_are_regridded_from_theirs_and_the_rest_is_kept_or_named(command: Call, folder: Path):
    lon, lat = np.arange(2.0, 360, 4), np.arange(-88.0, 90, 4)
    east = {"lon_u": ("lon_u", lon + 2, {"units": "degrees_east"}), "lat_u": ("lat_u", lat, {"units": "degrees_north"})}
    ds = xr.Dataset(
        {"a": (("lat", "lon"), np.cos(np.radians(lat))[:, None] + 0 * lon),
         "u": (("lat_u", "lon_u"), np.sin(np.radians(lon + 2))[None, :] + 0 * lat[:, None]),
         "name": ("lat", np.array(["x"] * lat.size)), "alone": ("n", [1.0, 2.0])},
        coords={"lon": ("lon", lon, {"units": "degrees_east"}), "lat": ("lat", lat, {"units": "degrees_north"}), **east},
    )  # fmt: skip
    ds.to_netcdf(folder / "two.nc")
    result = ran(command("two.nc", "out.nc", "--to", "10"))
    assert "left behind: name" in result.stdout
    out = xr.load_dataset(folder / "out.nc")
    assert set(out.data_vars) - {"lat_bnds", "lon_bnds"} == {"a", "u", "alone"}
    assert out.u.dims == ("lat", "lon")
    # From its own places: two degrees off otherwise.
    np.testing.assert_allclose(out.u.sel(lat=5), np.sin(np.radians(out.lon)), atol=2e-3)
    assert "lie on 2 grids (a; u)" in refused(command("two.nc", "x.nc", "--to", "10", "--weights", "w.nc"))
    ran(command("two.nc", "only.nc", "--to", "10", "--variables", "a"))
    assert "u" not in xr.load_dataset(folder / "only.nc")


def test_levels_come_first(command: Call, folder: Path, terrain_file: Path):
    ran(command("terrain.nc", "out.nc", "--to", "118,126,2/32,38,2", "--levels", "10,30"))
    out, ds = xr.load_dataset(folder / "out.nc"), xr.open_dataset(terrain_file)
    target = Grid.regular(lon=(118, 126, 2), lat=(32, 38, 2))
    expected = regrid(regrid_vertical(ds, [10, 30])["thetao"], target)
    np.testing.assert_allclose(out.thetao, expected, atol=1e-6)
    assert out.note.values.tolist() == [1, 2]
    message = refused(command("sst.nc", "x.nc", "--to", "15", "--levels", "10"))
    assert "none of sst has a vertical dimension" in message


def test_vectors_are_turned(command: Call, folder: Path):
    source = Grid.global_regular(6.0)
    lat = np.radians(source.lat.values)[:, None]
    attrs = {"units": "m s-1"}
    u = xr.DataArray(
        np.cos(lat) + 0 * source.lon.values, dims=source.dims, coords=source.coords(), name="u", attrs=attrs
    )
    ds = xr.Dataset({"u": u, "v": (0 * u).assign_attrs(attrs), "t": (u + 1).assign_attrs(units="K")})
    ds.to_netcdf(folder / "uv.nc")
    result = ran(command("uv.nc", "out.nc", "--to", "0,360,30/80,90,2", "--vectors", "u,v"))
    assert "u, v as vectors: bilinear" in result.stdout
    out = xr.load_dataset(folder / "out.nc")
    expected = regrid_vectors(ds.u, ds.v, Grid.regular(lon=(0, 360, 30), lat=(80, 90, 2)))
    np.testing.assert_allclose(out.u, expected[0], atol=1e-12)
    np.testing.assert_allclose(out.u, np.cos(np.radians(out.lat)).broadcast_like(out.u), atol=1e-12)
    assert "t" in out
    assert "'w'" in refused(command("uv.nc", "x.nc", "--to", "10", "--vectors", "u,w"))


def test_weights_are_kept_and_those_of_other_tools_are_taken(command: Call, folder: Path):
    arguments = ("--to", "15", "--weights", "w.nc")
    assert "weights saved in w.nc" in ran(command("sst.nc", "a.nc", *arguments, "--method", "conservative")).stdout
    assert "weights of w.nc" in ran(command("sst.nc", "b.nc", *arguments, "--method", "conservative")).stdout
    assert "method='bilinear' is asked for" in refused(command("sst.nc", "c.nc", *arguments))
    Regridder(xr.open_dataset(folder / "sst.nc"), 15.0, "conservative").to_scrip(folder / "w.nc")
    assert "which another tool wrote" in ran(command("sst.nc", "c.nc", *arguments)).stdout
    a, b, c = (xr.load_dataset(folder / f"{n}.nc").sst for n in "abc")
    np.testing.assert_array_equal(a, b)
    np.testing.assert_allclose(a, c, atol=1e-5)
    assert "of another tool" in refused(command("sst.nc", "d.nc", *arguments, "--method", "bilinear"))


def test_the_report_is_printed_and_drawn(command: Call, folder: Path):
    pytest.importorskip("matplotlib", reason="needs the extra 'plot'")
    result = ran(
        command("sst.nc", "a.nc", "--to", "15", "--method", "conservative", "--report", "--report-map", "a.png")
    )
    source = xr.open_dataset(folder / "sst.nc")
    report = Regridder(source, 15.0, "conservative").report(source.sst.isel(time=0)).attrs
    lines = [" ".join(line.split()) for line in result.stdout.splitlines()]
    assert f"mapped {report['n_mapped']} target cells" in lines
    assert f"only masked source there {report['n_only_masked_source_there']} target cells" in lines
    assert (folder / "a.png").read_bytes()[:4] == b"\x89PNG"


def test_nothing_is_overwritten_without_force(command: Call, folder: Path):
    (folder / "out.nc").write_text("mine")
    assert "'out.nc' is there already; name another file, or replace it with --force" in refused(
        command("sst.nc", "out.nc", "--to", "15")
    )
    assert (folder / "out.nc").read_text() == "mine"
    ran(command("sst.nc", "out.nc", "--to", "15", "--force"))
    assert "sst" in xr.load_dataset(folder / "out.nc")
    before = (folder / "sst.nc").read_bytes()
    assert "is one of the sources" in refused(command("sst.nc", "sst.nc", "--to", "15", "--force"))
    assert (folder / "sst.nc").read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("gone.nc", "out.nc", "--to", "1"), "there is no file 'gone.nc'"),
        (("sst.nc", "out.grb", "--to", "1"), "'out.grb' names no format that is written here; use .nc or .zarr"),
        (("sst.nc", "no/out.nc", "--to", "1"), "the folder of 'no/out.nc' does not exist"),
        (("sst.nc", "out.nc", "--to", "0.7"), "a step of 0.7 does not divide 360"),
        (("sst.nc", "out.nc", "--to", "one"), "--to 'one' is no grid and no file; give a step in degrees"),
        (("sst.nc", "out.nc", "--to", "0,10,1/40,30,1"), "lat"),
        (("sst.nc", "out.nc", "--to", "10", "--variables", "sts"), "no variable 'sts'; did you mean 'sst'?"),
        (
            ("sst.nc", "out.nc", "--to", "10", "--variables", "sst", "--angle", "x", "--vectors", "sst,sst"),
            "--angle 'x'",
        ),
        (("sst.nc", "out.nc", "--to", "10", "--limiter", "barth_jespersen"), "--limiter is for --method conservative2"),
        (("sst.nc", "out.nc", "--to", "10", "--extrapolate", "nearest", "--keep-missing"), "choose one"),
    ],
)
def test_mistakes_are_told_in_one_line(command: Call, folder: Path, arguments: tuple[str, ...], said: str):
    assert said in refused(command(*arguments))
    assert not (folder / "out.nc").exists()
    assert not scraps(folder)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--method", "remapbil"), "'remapbil' is not one of"),
        (("--levels", "0,x"), "'0,x' must be numbers between commas"),
        (("--vectors", "u"), "'u' must be two variables with a comma"),
        (("--variables", "a,,b"), "nothing between two commas"),
    ],
)
def test_options_that_cannot_be_read(command: Call, arguments: tuple[str, ...], said: str):
    result = command("sst.nc", "out.nc", "--to", "1", *arguments)
    assert result.exit_code == 2
    assert said in result.stderr


def test_debug_shows_the_exception(command: Call):
    result = command("gone.nc", "out.nc", "--to", "1", "--debug")
    assert type(result.exception).__name__ == "PlaceError"
