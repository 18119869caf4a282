"""Depths, grids, kept weights and reports in run files."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from click.testing import Result

from oceankit.fields import Grid
from oceankit.regridding import Regridder

Call = Callable[..., Result]

STEP = """\
oceankit: 1
steps:
  - name: one
    input: {{paths: {paths}, variable: {variable}}}
    {stages}
    product: out.nc
"""


def ran(result: Result) -> Result:
    assert result.exit_code == 0, result.stderr
    return result


def call(oceankit: Call, folder: Path, stages: str, paths: str = "sst.nc", variable: str = "sst") -> Result:
    text = STEP.format(paths=paths, variable=variable, stages=stages)
    return oceankit(text, "--output", str(folder / "out"))


def test_terrain_following_levels_go_to_depths_before_the_grid(oceankit: Call, folder: Path, terrain_file: Path):
    stages = (
        "levels: {depths: [5, 50, 150], extrapolate: layer}\n    regrid: {to: {lon: [118, 126, 2], lat: [32, 38, 2]}}"
    )
    result = ran(call(oceankit, folder, stages, "terrain.nc", "thetao"))
    assert "linear, 3 from 5 to 150 m" in result.stdout
    ds = xr.load_dataset(folder / "out" / "out.nc")
    assert ds.thetao.dims == ("time", "depth", "lat", "lon")
    assert ds.depth.values.tolist() == [5, 50, 150]
    # Linear in depth, the same everywhere: wherever there is water it is found exactly.
    deep = ds.thetao.sel(lon=125)
    np.testing.assert_allclose(deep.isel(time=0), (20 - ds.depth / 100).broadcast_like(deep.isel(time=0)), atol=2e-6)
    assert ds.thetao.sel(lon=119, depth=150).isnull().all()  # the floor lies at 60 and 128 m beside it
    assert "s" not in ds.variables
    assert json.loads(ds.attrs["provenance"])["options"]["levels"]["depths"] == [5, 50, 150]


def test_layers_keep_the_mean_of_a_column_and_have_bounds(oceankit: Call, folder: Path, terrain_file: Path):
    ran(call(oceankit, folder, "levels: {edges: [0, 20, 60], method: conservative}", "terrain.nc", "thetao"))
    ds = xr.load_dataset(folder / "out" / "out.nc")
    assert ds.depth.attrs["bounds"] == "depth_bnds"
    assert ds.depth_bnds.values.tolist() == [[0, 20], [20, 60]]
    assert ds.thetao.notnull().all()


def test_an_experiment_brings_its_truth_to_the_same_levels(oceankit: Call, folder: Path, terrain_file: Path):
    text = """\
oceankit: 1
steps:
  - name: one
    input: {paths: terrain.nc, variable: thetao, select: {time: 2015-01}}
    levels: {depths: [40]}
    assimilate:
      background_error_std: 1
      length_scale: 200
      observations: {synthetic: {truth: {select: {time: 2015-02}}, points: 30000, error_std: 0.1}}
    product: out.nc
"""
    ran(oceankit(text, "--output", str(folder / "out")))
    ds = xr.load_dataset(folder / "out" / "out.nc")
    np.testing.assert_allclose(ds.thetao_truth - 1, ds.thetao_background.squeeze(drop=True), atol=1e-5)


def test_every_method_and_option_reaches_the_regridder(oceankit: Call, folder: Path):
    source = xr.open_dataset(folder / "sst.nc")
    for stages, method, options in (
        ("method: idw, neighbours: 3, power: 1", "idw", {"neighbours": 3, "power": 1.0}),
        ("method: conservative2, limiter: barth_jespersen", "conservative2", {"limiter": "barth_jespersen"}),
        ("method: bicubic, pole: none, periodic: false", "bicubic", {"pole": None, "periodic": False}),
        ("extrapolate: creep, creep_levels: 1", "bilinear", {"extrapolate": "creep", "creep_levels": 1}),
        ("method: count", "count", {}),
    ):
        ran(call(oceankit, folder, f"regrid: {{to: {{step: 15}}, {stages}}}"))
        expected = Regridder(source, 15.0, method, **options)(source.sst)
        with xr.open_dataset(folder / "out" / "out.nc") as ds:
            np.testing.assert_array_equal(ds.sst.values, expected.values)


def test_weights_are_saved_by_the_first_run_and_read_by_the_next(
    oceankit: Call, folder: Path, monkeypatch: pytest.MonkeyPatch
):
    stages = "regrid: {to: {step: 15}, method: conservative, weights: kept/w.nc}"
    first = ran(call(oceankit, folder, stages))
    assert "weights saved in w.nc" in first.stdout
    before = xr.load_dataset(folder / "out" / "out.nc")
    stamp = os.stat(folder / "kept" / "w.nc").st_mtime_ns

    def never(*_: object) -> None:
        raise AssertionError("weights were computed")

    monkeypatch.setattr("oceankit.regridding.regridder.operator", never)
    second = ran(call(oceankit, folder, stages))
    assert "weights of w.nc" in second.stdout
    assert os.stat(folder / "kept" / "w.nc").st_mtime_ns == stamp
    after = xr.load_dataset(folder / "out" / "out.nc")
    np.testing.assert_array_equal(before.sst, after.sst)
    # What is applied after the weights may change.
    ran(call(oceankit, folder, stages.replace("weights", "min_coverage: 1, weights")))
    with xr.open_dataset(folder / "out" / "out.nc") as fewer:
        assert int(fewer.sst.count()) < int(before.sst.count())


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            "{step: 10}, method: conservative",
            "were made for another target: <oceankit.Grid rectilinear (lat: 12, lon: 24)",
        ),
        ("{step: 15}, method: bilinear", "were made with method='conservative', and method='bilinear' is asked for"),
        (
            "{step: 15}, method: conservative, edges: latitude",
            "were made with edges='great_circle', and edges='latitude'",
        ),
        ("{lon: [1, 361, 15], lat: [-90, 90, 15]}, method: conservative", "'lon' differs by up to 1"),
    ],
)
def test_weights_for_something_else_are_refused_before_the_work(oceankit: Call, folder: Path, change: str, said: str):
    Regridder(xr.open_dataset(folder / "sst.nc"), 15.0, "conservative").save(folder / "w.nc")
    result = call(oceankit, folder, f"regrid: {{to: {change}, weights: w.nc}}")
    assert result.exit_code == 1
    assert "steps.one.regrid.weights: the weights in" in result.stderr
    assert said in result.stderr
    assert "nothing was run" in result.stderr


def test_weights_of_another_source_or_tool_are_refused(oceankit: Call, folder: Path):
    source = Grid.from_dataset(xr.open_dataset(folder / "sst.nc"))
    other = Regridder(Grid.regular(lon=(0, 360, 10), lat=(-80, 80, 5)), 15.0)
    other.save(folder / "w.nc")
    result = call(oceankit, folder, "regrid: {to: {step: 15}, weights: w.nc}")
    assert "were made for another source" in result.stderr
    Regridder(source, 15.0).to_esmf(folder / "w.nc")
    result = call(oceankit, folder, "regrid: {to: {step: 15}, weights: w.nc}")
    assert "holds weights of another tool" in result.stderr


def test_the_report_is_drawn(oceankit: Call, folder: Path):
    pytest.importorskip("matplotlib", reason="needs the extra 'plot'")
    result = ran(call(oceankit, folder, "regrid: {to: {step: 15}, method: conservative, report: maps/report.png}"))
    assert "  report       maps/report.png" in result.stdout
    assert (folder / "out" / "maps" / "report.png").read_bytes()[:4] == b"\x89PNG"
    assert "report.png" in result.stdout.split("Written to")[1]
