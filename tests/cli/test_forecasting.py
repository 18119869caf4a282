"""The stage `forecast` of a run file: fit or load, predict, score the past, write, and what is refused."""

import importlib
import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from click.testing import Result

from oceankit.cli import _choices
from oceankit.cli._forecast_schema import FORECAST
from oceankit.fields import check_integrity, open_fields
from oceankit.forecast import baselines, verify

Call = Callable[..., Result]
HEAD = "oceankit: 1\nsteps:\n  - name: next\n    input: {paths: months.nc, variable: sst}\n    forecast:\n"


def months() -> xr.DataArray:
    """Sixteen years of months in 2 x 3 cells, one of them land: a season and noise that lasts."""
    time = np.arange("1990-01", "2006-01", dtype="M8[M]")
    noise = np.random.default_rng(2).normal(size=(time.size, 2, 3))
    for k in range(1, time.size):
        noise[k] += 0.8 * noise[k - 1]
    season = 3 * np.cos(2 * np.pi * np.arange(time.size) / 12)[:, None, None]
    sst = xr.DataArray(
        15 + season + noise, dims=("time", "lat", "lon"), name="sst",
        coords={"time": time.astype("M8[ns]"), "lat": ("lat", [30.0, 31.0], {"units": "degrees_north"}),
                "lon": ("lon", [122.0, 123.0, 124.0], {"units": "degrees_east"})},
        attrs={"standard_name": "sea_surface_temperature", "long_name": "sea surface temperature", "units": "degree_C"},
    )  # fmt: skip
    sst[:, 0, 0] = np.nan
    return sst


@pytest.fixture(autouse=True)
def _field(folder: Path) -> None:
    months().to_netcdf(folder / "months.nc")


@pytest.fixture
def forecast(oceankit: Call, folder: Path) -> Call:
    def call(keys: str, *arguments: str, more: str = "", file: str = "months.nc") -> Result:
        return oceankit(
            f"{HEAD.replace('months.nc', file)}      {{{keys}}}\n{more}", "--output", str(folder), *arguments
        )

    return call


def ran(result: Result) -> str:
    assert result.exit_code == 0, result.stderr
    return result.stdout


def same(path: Path, expected: xr.Dataset) -> xr.Dataset:
    found = open_fields(path).load()
    for name in expected.data_vars:
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-12, err_msg=str(name))
    assert check_integrity(path).ok
    return found


def test_a_baseline_from_a_start_is_that_of_the_library(forecast: Call, folder: Path):
    told = ran(
        forecast(
            "train: [1990, 2001], climatology: [1991, 2000], leads: [1, 3], method: ridge, start: 2004-06, save: f.nc, "
            "hindcast: [2002, 2005], save_hindcast: h.zarr, save_scores: s.nc"
        )
    )
    sst = months()
    common = {"leads": [1, 3], "climatology": ("1991", "2000")}
    train = sst.sel(time=slice("1990", "2001"))
    model = baselines.SeasonalRidge(**common).fit(train)
    found = same(folder / "f.nc", model.predict(sst.sel(time=slice(None, "2004-06"))))
    assert set(found.data_vars) == {"mean", "std"}
    assert str(found.init_time.values)[:7] == "2004-06"
    assert [str(v)[:7] for v in found.valid_time.values] == ["2004-07", "2004-09"]
    options = json.loads(found.attrs["provenance"])["options"]
    assert (options["forecast"]["method"], options["forecast"]["train"]) == ("ridge", ["1990", "2001"])
    assert found.attrs["title"] == "next: forecast"
    past = model.hindcast(sst, period=("2002", "2005"))
    same(folder / "h.zarr", past)
    scores = open_fields(folder / "s.nc").load()
    damped = baselines.DampedPersistence(**common).fit(train).hindcast(sst, period=("2002", "2005"))
    expected = verify(past, sst, reference=damped)
    for name in ("rmse", "rmse_low", "crps", "crps_gain", "rmse_skill", "n"):
        np.testing.assert_allclose(scores[name], expected[name], err_msg=name)
    assert scores.attrs["reference"] == "damped_persistence"
    normal = baselines.Climatology(**common).fit(train).hindcast(sst, period=("2002", "2005"))["mean"]
    truth = sst.reindex(time=past.valid_time.values.ravel()).values.reshape(normal.shape)
    said, came = (v[:, 0] - normal.values[:, 0] for v in (past["mean"].values, truth))
    weights = np.cos(np.radians(sst.lat.values))[:, None] * np.isfinite(came)
    products = [np.nansum(weights * a * b) for a, b in ((said, came), (said, said), (came, came))]
    np.testing.assert_allclose(scores["acc"][0], products[0] / np.sqrt(products[1] * products[2]), rtol=1e-3)
    rmse = ", ".join(f"{v:.3g}" for v in expected.rmse.values)
    assert f"ridge, 1, 3 months from June 2004; 48 hindcasts: rmse {rmse} °C" in told
    assert re.search(r"^  hindcast +h\.zarr, ", told, re.MULTILINE)


def test_nothing_after_the_start_is_looked_at(forecast: Call, folder: Path):
    keys = "train: [1990, 2001], leads: 2, method: blend, start: 2003-12, save: f.nc"
    ran(forecast(keys))
    before = xr.load_dataset(folder / "f.nc")
    sst = months()
    sst.loc[{"time": slice("2004", None)}] += 50
    sst.to_netcdf(folder / "later.nc")
    ran(forecast(keys, file="later.nc"))
    xr.testing.assert_equal(before, xr.load_dataset(folder / "f.nc"))


def test_anomalies_leave_the_forecast_that_of_the_field(forecast: Call, folder: Path):
    more = "    anomalies: {period: [1990, 2001], by: month}\n    product: out.nc\n"
    ran(forecast("train: [1990, 2001], leads: [1], method: persistence, save: f.nc", more=more))
    assert float(xr.load_dataset(folder / "f.nc")["mean"].mean()) > 10
    assert abs(float(xr.load_dataset(folder / "out.nc")["sst_anomaly"].mean())) < 1


def test_a_forecaster_is_fitted_scored_kept_and_used_again(forecast: Call, folder: Path):
    pytest.importorskip("torch", reason="needs the extra 'forecast'")
    from oceankit.forecast import Forecaster

    ran(
        forecast(
            "train: [1990, 2001], leads: [1, 2], epochs: 1, seed: 3, local: true, event_percentile: 80, save: f.nc, "
            "hindcast: [2002, 2005], save_scores: s.nc, save_model: m.safetensors"
        )
    )
    sst = months()
    model = Forecaster(leads=[1, 2], epochs=1, seed=3, local=True, event_percentile=80).fit(
        sst.sel(time=slice("1990", "2001"))
    )
    expected = model.predict(sst)
    same(folder / "f.nc", expected)
    scores = xr.load_dataset(folder / "s.nc")
    past = model.hindcast(sst, period=("2002", "2005"))
    truth = sst.reindex(time=past.valid_time.values.ravel()).values.reshape(past["mean"].shape)
    known = np.isfinite(truth)
    event = np.where(known, truth > past.threshold.values, np.nan)
    area = np.broadcast_to(np.cos(np.radians(sst.lat.values))[:, None], truth.shape)
    brier = (past.p_event.values - event) ** 2
    for i in range(2):
        at = known[:, i]
        np.testing.assert_allclose(scores.brier[i], np.average(brier[:, i][at], weights=area[:, i][at]), rtol=1e-3)
        np.testing.assert_allclose(
            scores.bss[i], 1 - scores.brier[i] / _nominal(event[:, i][at], area[:, i][at], 0.2), rtol=1e-3
        )
    # The model on another day, and made that of other cells by their history.
    ran(forecast("model: m.safetensors, start: 2004-06, save: g.nc"))
    same(folder / "g.nc", model.predict(sst.sel(time=slice(None, "2004-06"))))
    assert "m.safetensors" in xr.load_dataset(folder / "g.nc").attrs["source"]
    other = (sst.isel(lat=1, drop=True) + 2).assign_attrs(sst.attrs)
    other.to_netcdf(folder / "other.nc")
    ran(forecast("model: m.safetensors, history: [1992, 2001], save: l.nc, hindcast: [2002, 2004]", file="other.nc"))
    same(folder / "l.nc", model.localise(other.sel(time=slice("1992", "2001"))).predict(other))


def _nominal(event: np.ndarray, weights: np.ndarray, rate: float) -> float:
    return float(np.average((rate - event) ** 2, weights=weights))


def test_a_model_of_another_grid_is_refused_with_its_stage(forecast: Call, folder: Path):
    pytest.importorskip("torch", reason="needs the extra 'forecast'")
    ran(forecast("train: [1990, 2001], leads: [1], epochs: 1, save_model: m.safetensors"))
    months().isel(lon=slice(0, 2)).to_netcdf(folder / "part.nc")
    result = forecast("model: m.safetensors, save: f.nc", file="part.nc")
    assert result.exit_code == 1
    assert "step 'next', stage 'forecast': init has 2 cells along 'lon', the forecast was fitted on 3" in result.stderr


WRONG = [
    ("leads: [1], save: f.nc", "next.forecast: has none of them; give 'train', or 'model'"),
    ("train: [1990, 2001], model: sst_daily, save: f.nc", "next.forecast: has 'train' and 'model'; give 'train', or 'model'"),
    ("train: [1990, 2001], leads: [3, 1], save: f.nc", "forecast.leads: is [3, 1]; each must be greater than the one before"),
    ("train: [1990, 2001], leads: [0], save: f.nc", "forecast.leads[1]: is 0, but must be a whole number at least 1"),
    ("train: [1990, 2001], save: f.nc", "next.forecast: 'leads' is missing"),
    ("train: [1990, 2001], leads: [1], method: rigde, save: f.nc", "did you mean 'ridge'?"),
    ("train: [1990, 2001], leads: [1], method: ridge", "next.forecast: writes nothing; give it 'save', "),
    ("train: [1990, 2001], leads: [1], method: ridge, save: f.csv", "is 'f.csv', but must end in .nc or .zarr"),
    ("train: [1990, 2001], leads: [1], method: ridge, epochs: 3, save: f.nc",
     "forecast.epochs: is for 'forecaster', not for 'ridge'; leave it out"),
    ("train: [1990, 2001], leads: [1], method: ridge, save_model: m.safetensors",
     "forecast.save_model: is for 'forecaster', not for 'ridge'; leave it out"),
    ("train: [1990, 2001], leads: [1], method: ridge, save_scores: s.nc", "forecast.save_scores: needs 'hindcast'"),
    ("train: [1990, 2001], leads: [1], method: ridge, history: [1990, 2001], save: f.nc",
     "forecast.history: is for 'model'; 'train' is what is fitted to"),
    ("train: [1890, 1901], leads: [1], method: ridge, save: f.nc",
     "forecast.train: nothing of 'time' lies in ['1890', '1901']; the files have 1990-01-01T00:00 to 2005-12-01T00:00"),
    ("train: [1990, 1991], leads: [24], method: ridge, save: f.nc", "forecast.train: the training period has 24 steps"),
    ("train: [1990, 2001], climatology: [1990, 2003], leads: [1], method: ridge, save: f.nc",
     "forecast.climatology: reaches beyond 'train'; take a part of it"),
    ("train: [1990, 2001], leads: [1], method: ridge, start: 2007, save: f.nc", "forecast.start: there are no times in '2007'"),
    ("train: [1990, 2001], leads: [1], method: ridge, start: 1999-03, save: f.nc",
     "forecast.start: lies before 'train' ends (2001-12-01), which knows what came after; start later"),
    ("train: [1990, 2001], leads: [1], method: ridge, hindcast: [2001, 2004], save: f.nc",
     "forecast.hindcast: begins before 'train' ends (2001-12-01); what was learnt from scores nothing"),
    ("model: none.safetensors, save: f.nc", "or name one that comes with oceankit: sst_daily, surge_hourly"),
    ("model: months.nc, save: f.nc", "next.forecast.model: "),
    ("model: sst_daily, leads: [1], save: f.nc", "forecast.leads: is of the training, and a 'model' is trained; leave it out"),
    ("model: sst_daily, history: [1990, 2001], save: f.nc", "next.forecast.history: "),
]  # fmt: skip


@pytest.mark.parametrize(("keys", "expected"), WRONG, ids=[w[1][:45] for w in WRONG])
def test_what_is_wrong_is_said_before_anything_is_computed(forecast: Call, keys: str, expected: str):
    if "model: " in keys:
        pytest.importorskip("torch", reason="needs the extra 'forecast'")
    result = forecast(keys, "--check")
    assert result.exit_code == 1
    first, last = result.stderr.splitlines()
    assert last.endswith("1 mistake; nothing was run")
    assert re.match(r".*run\.yaml:[56]: steps\.next", first)
    assert expected in first


def test_a_hole_in_time_and_a_field_without_time_are_refused(forecast: Call, folder: Path):
    keys = "train: [1990, 2001], leads: [1], method: ridge, save: f.nc"
    months().drop_isel(time=[50]).to_netcdf(folder / "hole.nc")
    assert "forecast.train: train: " in forecast(keys, "--check", file="hole.nc").stderr
    months().isel(time=0, drop=True).to_netcdf(folder / "one.nc")
    message = forecast(keys, file="one.nc").stderr
    assert "steps.next.forecast: needs a field along time; 'sst' has {'lat': 2, 'lon': 3}" in message


def test_without_torch_the_extra_is_named(forecast: Call, folder: Path, monkeypatch: pytest.MonkeyPatch):
    real = importlib.import_module

    def without(name: str, package: str | None = None):
        if name == "torch":
            raise ImportError("No module named 'torch'")
        return real(name, package)

    monkeypatch.setattr(importlib, "import_module", without)
    remedy = "install it with: pip install 'oceankit[forecast]'"
    message = forecast("train: [1990, 2001], leads: [1], save: f.nc", "--check").stderr
    assert "forecast.method: the method 'forecaster' needs the package 'torch'" in message
    assert remedy in message
    message = forecast("model: sst_daily, save: f.nc", "--check").stderr
    assert "forecast.model: the model 'sst_daily' needs the package 'torch'" in message
    ran(forecast("train: [1990, 2001], leads: [1], method: lim, save: f.nc"))
    assert (folder / "f.nc").exists()


def test_the_choices_are_those_of_the_library():
    kinds = [getattr(baselines, n) for n in baselines.__all__]
    assert set(_choices.FORECASTERS) == {"forecaster", *(k.name for k in kinds)}
    named = FORECAST.keys["model"].doc
    assert all(f"`{name}`" in named for name in _choices.PRETRAINED)
    pytest.importorskip("torch", reason="needs the extra 'forecast'")
    from oceankit.forecast import pretrained

    assert tuple(pretrained.names()) == _choices.PRETRAINED
