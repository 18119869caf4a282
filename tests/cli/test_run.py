"""Run files on tiny fields, end to end: products, figures, bulletins, scores, and what a failure leaves behind."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from click.testing import Result

from oceankit.cli import progress
from oceankit.fields import Grid, check_integrity, open_fields
from oceankit.observations import ObservationError, operators

Call = Callable[..., Result]

HEAD = """\
oceankit: 1
centre: A test centre
metadata: {institution: A house, creator_name: A. Person, license: CC0, coverage_content_type: modelResult}
steps:
"""
REGRID = """\
  - name: regrid
    title: Temperature on a coarser grid
    input: {paths: sst.nc, variable: sst, real: false, provenance_note: Made up for tests}
    regrid: {to: {step: 30}, method: conservative, edges: latitude}
    product: PRODUCT
    figure: {kind: map, file: maps/sst.png, time: 2003-01, dpi: 60}
    bulletin: sst.html
"""
EXPERIMENT = """\
  - name: experiment
    input: {paths: sst.nc, variable: sst, select: {time: 2003-01}, real: true}
    assimilate:
      background_error_std: 1
      length_scale: 1500
      observations:
        save: obs.nc
        synthetic:
          truth: {select: {time: 2003-05}}
          tracks: {number: 8, spacing: 800}
          points: 60
          error_std: 0.1
          withhold: 0.25
          seed: SEED
    product: experiment.nc
    bulletin: experiment.html
"""
EVENTS = """\
  - name: events
    input: {paths: sst.nc, variable: sst}
    anomalies: {period: [2001, 2004], by: month}
    events: {box: {name: the box, lon: [-170, -120], lat: [-10, 10]}, above: 0.6, below: -0.6, min_duration: 5}
    product: events.nc
"""


def ran(result: Result) -> Result:
    assert result.exit_code == 0, result.stderr
    return result


def scraps(folder: Path) -> list[Path]:
    return [p for p in folder.rglob("*") if p.name.startswith(".")]


@pytest.mark.parametrize("product", ["sst.nc", "sst.zarr"])
def test_regrid_product_figure_and_bulletin(oceankit: Call, folder: Path, product: str):
    result = ran(oceankit(HEAD + REGRID.replace("PRODUCT", product), "--output", str(folder / "out")))
    out = folder / "out"
    assert sorted(p.name for p in out.iterdir()) == ["maps", "sst.html", product]
    ds = open_fields(out / product)
    # Each new cell is made of three by three old ones: the mean weighted by their areas.
    sst = xr.open_dataset(folder / "sst.nc").sst
    area = Grid.from_dataset(sst).area(edges="latitude").broadcast_like(sst.isel(time=0))
    south = {"lat": slice(-60, -30), "lon": slice(180, 210)}
    block, weights = sst.isel(time=24).sel(south).astype(float), area.sel(south)
    expected = float((block * weights).sum() / weights.sum())
    assert float(ds.sst.isel(time=24).sel(lat=-45, lon=195)) == pytest.approx(expected, rel=1e-6)
    assert ds.sizes == {"time": 48, "lat": 6, "lon": 12, "bnds": 2}
    assert ds.attrs["title"] == "Temperature on a coarser grid"
    assert ds.attrs["creator_name"] == "A. Person"
    assert ds.attrs["data_status"] == "SYNTHETIC"
    provenance = json.loads(ds.attrs["provenance"])
    assert provenance["options"]["regrid"]["method"] == "conservative"
    assert [entry["path"] for entry in provenance["inputs"]] == [str(folder / "sst.nc")]
    assert check_integrity(out / product).ok
    assert (out / "maps" / "sst.png").read_bytes()[:4] == b"\x89PNG"
    page = (out / "sst.html").read_text(encoding="utf-8")
    for text in (
        "Temperature on a coarser grid",
        "A test centre",
        "SYNTHETIC DATA",
        "Made up for tests",
        "January 2003",
    ):
        assert text in page
    assert page.count("data:image/png;base64") == 1
    assert re.search(rf"{re.escape(product)} +[\d.]+ kB +regrid", result.stdout)
    for stage in ("input", "regrid", "product", "figure", "bulletin"):
        assert re.search(rf"  {stage} .*\[\d+\.\d s\]", result.stdout)
    assert "\x1b" not in result.stdout
    assert not scraps(out)


def test_output_lies_beside_the_run_file_and_only_runs_one_step(oceankit: Call, folder: Path):
    text = HEAD.replace("steps:", "output: made\nsteps:") + EVENTS + REGRID.replace("PRODUCT", "sst.nc")
    ran(oceankit(text, "--only", "events"))
    assert [p.name for p in (folder / "made").iterdir()] == ["events.nc"]
    result = oceankit(text, "--only", "event")
    assert result.exit_code == 1
    assert "--only event" in result.stderr
    assert "it has events, regrid" in result.stderr


def test_an_experiment_is_scored_where_nothing_was_assimilated(oceankit: Call, folder: Path):
    figure = "    figure: {kind: assimilation, file: experiment.png, dpi: 60}\n"
    ran(oceankit(HEAD + EXPERIMENT.replace("SEED", "1") + figure, "--output", str(folder)))
    ds, obs = xr.load_dataset(folder / "experiment.nc"), xr.load_dataset(folder / "obs.nc")
    used, withheld = (obs.isel(obs=obs.withheld.values == k) for k in (0, 1))
    assert not set(used.track.values[used.track.values >= 0]) & set(withheld.track.values)
    assert len(set(withheld.track.values) - {-1}) == 2  # a quarter of eight tracks
    points = int((obs.track == -1).sum())
    assert int((withheld.track == -1).sum()) == round(0.25 * points)
    # The scores again, from what is on disk.
    for name, field in (("background", ds.sst_background), ("analysis", ds.sst)):
        at = operators.Interp()(field.squeeze(drop=True), withheld)
        rmse = float(np.sqrt(((at.values - withheld.truth.values) ** 2).mean()))
        assert ds.attrs[f"experiment_rmse_{name}"] == pytest.approx(rmse, rel=1e-5)
    assert ds.attrs["experiment_rmse_analysis"] < ds.attrs["experiment_rmse_background"]
    assert ds.attrs["experiment_n_withheld"] == withheld.sizes["obs"]
    assert ds.attrs["assimilation_n_used"] == used.sizes["obs"]
    np.testing.assert_allclose(ds.sst - ds.sst_background, ds.sst_increments, atol=1e-5)
    errors = (obs.value - obs.truth).values
    assert 0.08 < errors.std() < 0.12
    assert ds.attrs["data_status"] == obs.attrs["data_status"] == "real fields, SYNTHETIC OBSERVATIONS"
    page = (folder / "experiment.html").read_text(encoding="utf-8")
    assert page.count("SYNTHETIC OBSERVATIONS") >= 2
    assert f"{ds.attrs['experiment_rmse_analysis']:.3f}" in page


def test_the_seed_decides_the_observations(oceankit: Call, folder: Path):
    tables = []
    for seed in ("1", "1", "2"):
        ran(oceankit(HEAD + EXPERIMENT.replace("SEED", seed), "--output", str(folder)))
        tables.append(xr.load_dataset(folder / "obs.nc"))
    assert tables[0].value.equals(tables[1].value)
    assert not tables[0].value.equals(tables[2].value)


def test_an_experiment_on_a_grid_of_its_own_samples_the_truth_there(oceankit: Call, folder: Path):
    text = EXPERIMENT.replace("SEED", "1").replace("    assimilate:", "    regrid: {to: {step: 15}}\n    assimilate:")
    ran(oceankit(HEAD + text, "--output", str(folder)))
    ds, obs = xr.load_dataset(folder / "experiment.nc"), xr.load_dataset(folder / "obs.nc")
    assert ds.sst_truth.shape == (12, 24)
    at = operators.Interp(min_coverage=1.0)(ds.sst_truth, obs)
    np.testing.assert_allclose(at.values, obs.truth.values, atol=1e-5)


def test_anomalies_and_events_of_a_box(oceankit: Call, folder: Path):
    figure = "    figure: {kind: hovmoller, file: events.png, dpi: 60}\n    bulletin: events.html\n"
    ran(oceankit(HEAD + EVENTS + figure, "--output", str(folder)))
    ds = xr.load_dataset(folder / "events.nc")
    # Two degrees on six months of one year of four: 1.5 above the mean of those months.
    assert ds.sizes["event"] == 1
    assert str(ds.event_start.values[0])[:7] == "2003-03"
    assert str(ds.event_end.values[0])[:7] == "2003-08"
    assert int(ds.event_duration[0]) == 6
    assert float(ds.event_intensity_max[0]) == pytest.approx(1.5, abs=1e-3)
    assert ds.event_kind.values.tolist() == [1]
    sst = xr.open_dataset(folder / "sst.nc").sst
    expected = sst.groupby("time.month") - sst.groupby("time.month").mean("time")
    np.testing.assert_allclose(ds.sst_anomaly, expected.transpose("time", "lat", "lon"), atol=1e-4)
    page = (folder / "events.html").read_text(encoding="utf-8")
    assert "One warm event and no cold events in the box, January 2001 to December 2004." in page
    assert "March 2003 to August 2003" in page
    assert "31 August 2003" in page
    assert (folder / "events.png").stat().st_size > 5000


@pytest.mark.parametrize("table", ["obs.csv", "obs.nc"])
def test_the_users_own_observations(oceankit: Call, folder: Path, table: str):
    rows = "value, error_std, lon, lat, flag, remark\n30, 0.5, 205, -5, 1, warm\n99, 0.5, 205, -15, 4, rejected\n"
    (folder / "obs.csv").write_text(f"# drifters\n{rows}")
    if table == "obs.nc":
        xr.Dataset(
            {"value": ("obs", [30.0, 99.0]), "error_std": ("obs", [0.5, 0.5]), "flag": ("obs", [1, 4])},
            coords={"lon": ("obs", [205.0, 205.0]), "lat": ("obs", [-5.0, -15.0])},
        ).to_netcdf(folder / "obs.nc")
    text = f"""\
  - name: mine
    input: {{paths: sst.nc, variable: sst, select: {{time: 2003-01}}}}
    assimilate:
      background_error_std: 1
      length_scale: 300
      observations: {{paths: {table}, units: degC, provenance_note: Two drifters, save: used.nc}}
    product: mine.nc
    figure: {{kind: assimilation, file: mine.png, extent: [150, 260, -40, 40], dpi: 60}}
    bulletin: mine.html
"""
    ran(oceankit(HEAD + text, "--output", str(folder)))
    ds = xr.load_dataset(folder / "mine.nc")
    here = {"lat": -5, "lon": 205}
    background = float(ds.sst_background.sel(here).squeeze())
    # One observation: the weight of its error, 1 / (1 + 0.25).
    assert float(ds.sst.sel(here).squeeze()) == pytest.approx(background + (30 - background) * 0.8, abs=1e-4)
    assert float(ds.sst_analysis_error_std.sel(here).squeeze()) == pytest.approx(np.sqrt(0.2), abs=1e-4)
    assert ds.sst_analysis_error_std.attrs["standard_name"] == "sea_surface_temperature standard_error"
    assert xr.load_dataset(folder / "used.nc").status.values.tolist() == [0, 2]
    inputs = [entry["path"] for entry in json.loads(ds.attrs["provenance"])["inputs"]]
    assert inputs == [str(folder / "sst.nc"), str(folder / table)]
    page = (folder / "mine.html").read_text(encoding="utf-8")
    assert "SYNTHETIC" not in page
    assert "Two drifters" in page


def test_a_stage_that_fails_is_named_and_leaves_the_earlier_outputs(oceankit: Call, folder: Path):
    (folder / "obs.csv").write_text("value,error_std,lon,lat\n3,1,60,40\n")  # on land
    text = (
        HEAD
        + """\
  - name: mine
    input: {paths: sst.nc, variable: sst, select: {time: 2003-01}}
    assimilate: {background_error_std: 1, length_scale: 300, observations: {paths: obs.csv, units: degC}}
    product: mine.nc
    bulletin: mine.html
"""
    )
    (folder / "mine.nc").write_text("an earlier product")
    result = oceankit(text, "--output", str(folder))
    assert result.exit_code == 1
    (line,) = result.stderr.splitlines()
    assert line.startswith("Error: step 'mine', stage 'assimilate': none of the 1 observations can be used")
    assert "Traceback" not in result.output
    assert (folder / "mine.nc").read_text() == "an earlier product"
    assert not (folder / "mine.html").exists()
    assert not scraps(folder)
    debug = oceankit(text, "--output", str(folder), "--debug")
    assert isinstance(debug.exception, ObservationError)


def test_observations_must_be_in_the_units_of_the_field(oceankit: Call, folder: Path):
    """Degrees Celsius taken for kelvin would make a sea of 48 K, and nobody would be told."""
    (folder / "obs.csv").write_text("value,error_std,lon,lat\n3,1,5,5\n")
    text = (
        HEAD
        + """\
  - name: mine
    input: {paths: sst.nc, variable: sst, select: {time: 2003-01}}
    assimilate: {background_error_std: 1, length_scale: 300, observations: {paths: obs.csvUNITS}}
"""
    )
    for units, said in (("", "do not say their units"), (", units: K", "convert one of them")):
        result = oceankit(text.replace("UNITS", units), "--check")
        assert result.exit_code == 1
        assert said in result.output


def test_dates_in_a_table_are_iso(folder: Path):
    from oceankit.cli.experiment import observed

    nowhere = xr.DataArray(0.0)
    (folder / "mixed.csv").write_text(
        "value,error_std,lon,lat,time\n1,1,5,5,2017-06-05T10:00\n2,1,5,5,2017-06-06T18:00:00Z\n3,1,5,5,2017-06-07\n"
    )
    assert observed([str(folder / "mixed.csv")], None, nowhere).sizes["obs"] == 3
    (folder / "american.csv").write_text("value,error_std,lon,lat,time\n1,1,5,5,05/06/2017\n")
    with pytest.raises(ValueError, match=r"'05/06/2017' in row 1 is no date"):
        observed([str(folder / "american.csv")], None, nowhere)


def test_a_write_that_fails_leaves_no_part(oceankit: Call, folder: Path, monkeypatch: pytest.MonkeyPatch):
    def full_disk(*_: object, **__: object) -> None:
        raise OSError("No space left on device")

    (folder / "maps").mkdir()
    (folder / "maps" / "sst.png").write_text("an earlier figure")
    monkeypatch.setattr("matplotlib.figure.Figure.savefig", full_disk)
    result = oceankit(HEAD + REGRID.replace("PRODUCT", "new.nc"), "--output", str(folder))
    assert result.exit_code == 1
    assert "step 'regrid', stage 'figure': OSError: No space left on device" in result.stderr
    assert (folder / "maps" / "sst.png").read_text() == "an earlier figure"
    assert check_integrity(folder / "new.nc").ok  # what was complete before stays
    assert not (folder / "sst.html").exists()
    assert [path.name for path in scraps(folder)] == [".oceankit"]  # by which the next run goes on


def test_a_bulletin_that_does_not_fit_its_page_is_refused(oceankit: Call, folder: Path):
    text = REGRID.replace("PRODUCT", "new.nc").replace(
        "bulletin: sst.html", f"bulletin: {{file: b.html, headline: '{'so ' * 2000}'}}"
    )
    result = oceankit(HEAD + text, "--output", str(folder))
    assert result.exit_code == 1
    assert "stage 'bulletin': the bulletin does not fit one A4 page" in result.stderr
    assert not (folder / "b.html").exists()


def test_selections_turn_around_the_globe_and_take_the_nearest(oceankit: Call, folder: Path):
    text = (
        HEAD
        + """\
  - name: part
    input: {paths: sst.nc, variable: sst, select: {time: [2003-01, 2003-03], lon: [-20, 20], lat: 4}}
    product: part.nc
"""
    )
    ran(oceankit(text, "--output", str(folder)))
    ds = xr.load_dataset(folder / "part.nc")
    assert ds.sst.sizes == {"time": 3, "lat": 1, "lon": 4}
    assert ds.lon.values.tolist() == [345.0, 355.0, 5.0, 15.0]
    assert ds.lat.values.tolist() == [5.0]


def test_the_choices_of_the_schema_are_those_of_the_library():
    from oceankit.anomaly import _conventions
    from oceankit.cli import _choices
    from oceankit.numerics.covariance import FUNCTIONS
    from oceankit.regridding import METHODS, VERTICAL_METHODS, _columns, methods

    assert tuple(METHODS) == _choices.REGRID_METHODS
    assert tuple(methods.BINNING) == _choices.BINNING
    assert {None, *_choices.EXTRAPOLATE} == set(methods.EXTRAPOLATE)
    assert {None, *_choices.LIMITERS} == set(methods.LIMITERS)
    assert tuple(VERTICAL_METHODS) == _choices.LEVELS_METHODS
    assert {None, *_choices.LEVELS_OUTSIDE} == set(_columns.OUTSIDE)
    assert set(FUNCTIONS) == set(_choices.COVARIANCES)
    assert tuple(_conventions.CONVENTIONS) == _choices.CONVENTIONS


def test_the_progress_bar_is_one_line_that_is_wiped(capsys: pytest.CaptureFixture[str]):
    line = progress._OneLine()
    line.write("\r[####    ] | 50% Completed | 1.0 s")
    line.write("\n")
    out = capsys.readouterr().out
    assert out == "\r\x1b[2K  [####    ] | 50% Completed | 1.0 s\r\x1b[2K"
