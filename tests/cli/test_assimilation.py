"""The methods of `assimilate` from run files: what they write, what they say, and what is refused at the door."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from click.testing import Result

from oceankit import assimilation
from oceankit.cli import _choices, members, methods
from oceankit.cli.experiment import observed
from oceankit.cli.inputs import opened
from oceankit.observations import background_check, duplicates, superob, thin

Call = Callable[..., Result]

ENSEMBLE = "paths: ensemble.nc, variable: sst, members: number"
CONTROL = "paths: control.nc, variable: sst"
TABLE = "observations: {paths: obs.csv, units: degC, save: obs.nc}"
LOCAL = "localization: {radius: 400}"


def ran(result: Result) -> Result:
    assert result.exit_code == 0, result.output
    return result


# ---- each method does what the library does ---------------------------------------------------------------------------


@pytest.mark.parametrize("method", _choices.FILTERS)
def test_filters_give_the_mean_and_the_spread_of_the_librarys_analysis(assimilate: Call, folder: Path, method: str):
    ran(assimilate(ENSEMBLE, f"method: {method}\n{LOCAL}\n{TABLE}", "--check"))
    assert not (folder / "out").exists()
    result = ran(assimilate(ENSEMBLE, f"method: {method}\n{LOCAL}\n{TABLE}"))
    assert "41 of 43 observations; 1 flagged in the table; 1 outside the field" in result.stdout
    ensemble = xr.load_dataset(folder / "ensemble.nc").sst.rename(number="member")
    obs = observed([str(folder / "obs.csv")], "degC", ensemble)
    own = methods.ENSEMBLE_METHODS[method](localization=assimilation.GaspariCohn(400.0), rng=1)
    expected, found = own.assimilate(ensemble, obs)
    ds, table = xr.load_dataset(folder / "out" / "out.nc"), xr.load_dataset(folder / "out" / "obs.nc")
    np.testing.assert_allclose(ds.sst, expected.mean("member"), atol=1e-5)
    np.testing.assert_allclose(ds.sst_analysis_error_std, expected.std("member", ddof=1), atol=1e-5)
    np.testing.assert_allclose(ds.sst_background, ensemble.mean("member"), atol=1e-5)
    np.testing.assert_allclose(ds.sst - ds.sst_background, ds.sst_increments, atol=1e-5)
    np.testing.assert_array_equal(ds.sst_n_local, found.n_local)
    assert ds.attrs["assimilation_n_used"] == 41
    np.testing.assert_allclose(table.hx, found.hx.transpose("obs", "member"))
    np.testing.assert_allclose(table.spread, found.spread)
    after = assimilation.diagnostics.residuals(found, expected.mean("member"))
    np.testing.assert_allclose(table.residual, after.residual, atol=1e-4)
    assert table.attrs["residual_rms"] < table.attrs["innovation_rms"]


def test_all_options_of_a_filter_and_the_members_written(assimilate: Call, folder: Path):
    text = f"""
method: etkf
localization: {{kind: boxcar, radius: 500}}
inflation: {{kind: rtps, value: 0.4}}
weight_grid: 2
rotate: true
seed: 5
bounds: [none, 15.2]
save_ensemble: members.nc
{TABLE}
"""
    more = """\
    figure:
      - {kind: assimilation, file: a.png, dpi: 60}
      - {kind: diagnostics, file: d.png, dpi: 60}
      - {kind: map, show: error_std, file: m.png, dpi: 60}
    bulletin: out.html
"""
    result = ran(assimilate("paths: 'member_*.nc', variable: sst, members: files", text, more=more))
    out = folder / "out"
    stored, ds = xr.load_dataset(out / "members.nc"), xr.load_dataset(out / "out.nc")
    ensemble = opened({"paths": ["member_*.nc"], "variable": "sst", "members": "files"}, folder).field.load()
    own = assimilation.ETKF(
        localization=assimilation.Boxcar(500.0), inflation=assimilation.RTPS(0.4), weight_grid=assimilation.WeightGrid(2),
        rotate=True, rng=5, bounds=(None, 15.2),
    )  # fmt: skip
    expected, found = own.assimilate(ensemble, observed([str(folder / "obs.csv")], "degC", ensemble))
    np.testing.assert_array_equal(stored.sst, expected)
    np.testing.assert_allclose(ds.sst, stored.sst.mean("member"), atol=1e-5)
    assert stored.member.values.tolist() == list(range(8))
    number = int(found.n_bounded.sum())
    assert number > 0
    assert f"{number} values of members set to a bound" in result.stdout
    assert int(ds.sst_n_bounded.sum()) == number
    assert float(stored.sst.max()) <= 15.2 + 1e-5
    assert json.loads(stored.attrs["provenance"])["options"]["assimilate"]["seed"] == 5
    for name in ("a.png", "d.png", "m.png"):
        assert (out / name).stat().st_size > 5000
    page = (out / "out.html").read_text(encoding="utf-8")
    for words in ("ETKF with 8 members", "500 km (boxcar)", "relaxation to prior spread 0.4", "at or below 15.2"):
        assert words in page
    assert page.count("data:image/png;base64") == 3


def test_three_d_var_and_its_bounds(assimilate: Call, folder: Path):
    errors = "background_error_std: 1\nlength_scale: 150\nsteps: 6\nbounds: [15.1, none]"
    more = "    figure: [{kind: assimilation, file: a.png, dpi: 60}, {kind: diagnostics, file: d.png, dpi: 60}]\n"
    result = ran(assimilate(CONTROL, f"method: three_d_var\n{errors}\n{TABLE}", more=more + "    bulletin: out.html\n"))
    control = xr.load_dataset(folder / "control.nc").sst
    own = assimilation.ThreeDVar(background_error_std=1.0, length_scale=150.0, steps=6, bounds=(15.1, None))
    expected, found = own.assimilate(control, observed([str(folder / "obs.csv")], "degC", control))
    ds = xr.load_dataset(folder / "out" / "out.nc")
    np.testing.assert_allclose(ds.sst, expected, atol=1e-6)
    assert "sst_analysis_error_std" not in ds
    assert int(ds.sst_n_bounded) == int(found.n_bounded) > 0
    assert re.search(r"the minimum after \d+ iterations", result.stdout)
    assert f"{int(found.n_bounded)} values set to a bound" in result.stdout
    assert "Three-dimensional variational" in (folder / "out" / "out.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("ensemble", "years"),
    [
        ("{paths: years.nc, members: time, select: {time: [1992, 1999]}}", slice(2, 10)),
        ("{paths: 'year_*.nc', members: files}", slice(0, 4)),
    ],
)
def test_ensemble_oi_by_years_of_a_model_run(assimilate: Call, folder: Path, ensemble: str, years: slice):
    text = f"method: ensemble_oi\nensemble: {ensemble}\nscale: 0.5\n{LOCAL}\n{TABLE}"
    ran(
        assimilate(
            CONTROL, text, more="    figure: {kind: assimilation, file: a.png, dpi: 60}\n    bulletin: out.html\n"
        )
    )
    control = xr.load_dataset(folder / "control.nc").sst
    static = xr.load_dataset(folder / "years.nc").sst.isel(time=years).rename(time="member").drop_vars("member")
    own = assimilation.EnsembleOI(static, scale=0.5, localization=assimilation.GaspariCohn(400.0))
    expected, _ = own.assimilate(control, observed([str(folder / "obs.csv")], "degC", control))
    ds = xr.load_dataset(folder / "out" / "out.nc")
    np.testing.assert_allclose(ds.sst, expected, atol=1e-5)
    sources = [entry["path"] for entry in json.loads(ds.attrs["provenance"])["inputs"]]
    assert any("year" in s for s in sources)
    assert f"a static ensemble of {static.sizes['member']} members" in (folder / "out" / "out.html").read_text()


def test_an_experiment_with_members_on_another_grid_is_scored(assimilate: Call, folder: Path):
    text = """
method: denkf
observations:
  save: obs.nc
  superob: 150
  synthetic: {truth: {paths: truth.nc}, points: 150000, error_std: 0.1}
"""
    more = "    regrid: {to: {lon: [120, 130, 2], lat: [30, 38, 2]}}\n    bulletin: out.html\n"
    ran(assimilate("paths: 'member_*.nc', variable: sst, members: files", text, more=more))
    ds, table = xr.load_dataset(folder / "out" / "out.nc"), xr.load_dataset(folder / "out" / "obs.nc")
    assert ds.attrs["experiment_rmse_analysis"] < ds.attrs["experiment_rmse_background"]
    assert ds.attrs["experiment_stated_analysis_error_std"] > 0
    assert ds.sst.sizes == {"time": 1, "lat": 4, "lon": 5}
    assert ds.attrs["assimilation_n_superobs"] == int((table.withheld == 0).sum())
    withheld = table.isel(obs=table.withheld.values == 1)
    assert withheld.hx.isnull().all()
    assert withheld.truth.notnull().all()


# ---- observations before the analysis ---------------------------------------------------------------------------------


def test_screening_is_the_librarys_and_is_counted(assimilate: Call, folder: Path):
    asked = "duplicates: true, background_check: {threshold: 4}, thin: {spacing: 30}, superob: 90"
    text = f"background_error_std: 1\nlength_scale: 150\nobservations: {{paths: obs.csv, units: degC, save: obs.nc, {asked}}}"
    result = ran(assimilate(CONTROL, text, more="    bulletin: out.html\n"))
    control = xr.load_dataset(folder / "control.nc").sst
    obs = duplicates(observed([str(folder / "obs.csv")], "degC", control))
    assert obs.attrs["n_duplicates"] == 1
    obs = background_check(obs, control, threshold=4.0, background_error_std=1.0)
    assert obs.attrs["n_rejected"] == 1
    obs = thin(obs, 30.0)
    thinned = obs.attrs["n_thinned"]
    assert thinned > 0
    mean = superob(obs, 90.0)
    table, ds = xr.load_dataset(folder / "out" / "obs.nc"), xr.load_dataset(folder / "out" / "out.nc")
    np.testing.assert_allclose(table.value, mean.value)
    told = f"1 flagged in the table; 1 repeated; 1 rejected by the background check; {thinned} thinned out; "
    assert told + f"{mean.attrs['n_averaged']} averaged into {mean.sizes['obs']}" in result.stdout
    assert ds.attrs["assimilation_n_thinned"] == thinned
    assert ds.attrs["assimilation_n_offered"] == 43
    assert ds.attrs["assimilation_n_flagged"] == 3 + thinned
    assert "averaged in cells of 90 km" in (folder / "out" / "out.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("given", "method"),
    [
        (ENSEMBLE, f"method: lestkf\n{LOCAL}"),
        (CONTROL, "method: ensemble_oi\nensemble: {paths: years.nc, members: time}"),
    ],
)
def test_the_check_knows_the_spread_of_an_ensemble(assimilate: Call, folder: Path, given: str, method: str):
    check = "background_check: {method: k_factor}"
    ran(assimilate(given, f"{method}\nobservations: {{paths: obs.csv, units: degC, save: obs.nc, {check}}}"))
    table = xr.load_dataset(folder / "out" / "obs.nc")
    assert (table.error_std >= table.error_std_given - 1e-9).all()
    assert table.error_std[0] > 2 * table.error_std_given[0]
    if "ensemble" not in method:
        # The spread that the analysis met is the one that the check took.
        s, e, d = table.spread, table.error_std_given, table.innovation
        expected = np.sqrt(np.sqrt((s**2 + e**2) ** 2 + (s * d / 2) ** 2) - s**2)
        near = table.status.values == 0
        np.testing.assert_allclose(table.error_std[near], expected[near], rtol=1e-6)


# ---- members ----------------------------------------------------------------------------------------------------------


def test_one_member_is_a_field_and_some_are_an_ensemble(folder: Path, ensemble_files: Path):
    spec = {"paths": [str(ensemble_files / "ensemble.nc")], "variable": "sst", "members": "number"}
    whole = opened(spec, folder).field
    assert whole.dims == ("member", "lat", "lon")
    assert whole.member.values.tolist() == list(range(1, 9))
    one = opened(spec | {"select": {"member": 3.0}}, folder).field
    assert one.dims == ("lat", "lon")
    np.testing.assert_array_equal(one, whole[2])
    assert opened(spec | {"select": {"member": [2.0, 4.0]}}, folder).field.sizes["member"] == 3


def test_members_are_opened_in_tiles_of_the_grid_and_analysed_lazily(
    folder: Path, ensemble_files: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(members, "_BYTES", 8 * 4 * 20)  # two rows of eight members
    spec = {"paths": [str(ensemble_files / "ensemble.nc")], "variable": "sst", "members": "number"}
    tiles = opened(spec, folder, tiles=True).field
    assert tiles.chunks == ((8,), (2, 2, 2, 2), (10,))
    assert members.tiled(tiles) is tiles
    whole = opened(spec, folder).field
    assert members.tiled(whole).chunks == tiles.chunks
    names = [str(ensemble_files / f"member_{k}.nc") for k in range(8)]
    apart = opened({"paths": names, "variable": "sst", "members": "files"}, folder, tiles=True).field
    assert apart.chunks == ((1,) * 8, (1,), (2, 2, 2, 2), (10,))
    obs = observed([str(ensemble_files / "obs.csv")], "degC", tiles)
    method = assimilation.LETKF(localization=assimilation.GaspariCohn(400.0))
    lazy, eager = method.assimilate(tiles, obs)[0], method.assimilate(whole.load(), obs)[0]
    assert lazy.chunks is not None
    np.testing.assert_array_equal(lazy, eager)


def test_tiles_are_whole_chunks_of_the_file_where_these_are_small(monkeypatch: pytest.MonkeyPatch):
    values = xr.DataArray(np.zeros((8, 100, 100), np.float32), dims=("member", "lat", "lon"))
    dims = ["lat", "lon"]
    monkeypatch.setattr(members, "_BYTES", 8 * 4 * 2500)
    assert members._tile(values, dims, 8, {}) == {"lat": 25, "lon": 100}
    assert members._tile(values, dims, 8, {"lat": 10, "lon": 10}) == {"lat": 20, "lon": 100}
    assert members._tile(values, dims, 8, {"lat": 50, "lon": 10}) == {"lat": 50, "lon": 50}
    assert members._tile(values, dims, 8, {"lat": 100, "lon": 100}) == {"lat": 25, "lon": 100}
    assert members._tile(values, dims, 1, {}) == {}


def test_the_words_of_the_run_file_are_those_of_the_library():
    assert set(_choices.FILTERS) == set(methods.ENSEMBLE_METHODS)
    assert set(_choices.INFLATIONS) == set(methods.INFLATION_KINDS)
    for name, kind in methods.ENSEMBLE_METHODS.items():
        assert kind.__name__.lower() == name
        assert kind._local == (name in _choices.NEEDED_BY_METHODS["localization"])
    from oceankit.cli._assimilation_schema import ASSIMILATE
    from oceankit.observations.background import _DEFAULTS

    assert set(_choices.CHECKS) == set(_DEFAULTS)
    assert set(_choices.KEYS_OF_METHODS) | {"method", "bounds", "observations"} == set(ASSIMILATE.keys)
