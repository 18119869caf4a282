"""The demo as it is shipped, on the real fields of iris-sample-data."""

import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
OUTPUTS = {
    f"{name}.{suffix}" for name in ("sst", "experiment", "equatorial") for suffix in ("nc", "png", "html")
} | {"experiment_observations.nc"}  # fmt: skip


@pytest.fixture(scope="module")
def demo(samples: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo")
    command = [
        sys.executable,
        "-m",
        "oceankit.cli",
        "run",
        str(ROOT / "examples" / "demo.yaml"),
        "--output",
        str(folder),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    return folder


def test_everything_is_there_and_nothing_else(demo: Path):
    assert {p.name for p in demo.iterdir()} == OUTPUTS
    for path in demo.glob("*.png"):
        assert path.stat().st_size > 50_000


PRODUCTS = ("sst.nc", "experiment.nc", "experiment_observations.nc", "equatorial.nc")
# What a demonstration cannot have: addresses of people, a vertical extent of the surface, dates of observations that
# stand for no time, and standard names for what CF has none.
NOT_THERE = ("creator_url", "creator_email", "publisher_url", "publisher_email", "geospatial_vertical", "_vertical_crs",
             "standard_name")  # fmt: skip


@pytest.fixture(scope="module")
def complaints() -> Callable[[Path, str], list[str]]:
    suite = pytest.importorskip("compliance_checker.suite").CheckSuite
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        suite.load_all_available_checkers()

    def found(path: Path, standard: str, least: int = 1) -> list[str]:
        checker = suite()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            results, _ = checker.run_all(checker.load_dataset(str(path)), [standard])[standard]
        assert len(results) > 10
        out: list[str] = []
        for result in results:
            got, most = result.value if isinstance(result.value, tuple) else (int(bool(result.value)), 1)
            out += (result.msgs or [result.name]) if got < most and result.weight >= least else []
        return out

    return found


@pytest.mark.parametrize("name", PRODUCTS)
def test_nothing_is_said_against_the_products_by_cf(demo: Path, complaints: Callable[..., list[str]], name: str):
    assert complaints(demo / name, "cf:1.11") == []


@pytest.mark.parametrize("name", PRODUCTS)
def test_the_products_are_described_as_acdd_wants(demo: Path, complaints: Callable[..., list[str]], name: str):
    # Weight 3 is highly recommended, 2 recommended, 1 suggested.
    allowed = (*NOT_THERE, "time_coverage") if name == "experiment_observations.nc" else NOT_THERE
    assert [c for c in complaints(demo / name, "acdd:1.3", 2) if not any(a in c for a in allowed)] == []


def test_the_analysis_is_nearer_the_truth_where_nothing_was_observed(demo: Path):
    attrs = xr.open_dataset(demo / "experiment.nc").attrs
    assert attrs["experiment_n_withheld"] > 300
    assert attrs["experiment_rmse_analysis"] < 0.6 * attrs["experiment_rmse_background"]
    assert abs(attrs["experiment_bias_analysis"]) < 0.1


def test_what_is_real_is_said(demo: Path):
    status = {n: xr.open_dataset(demo / f"{n}.nc").attrs["data_status"] for n in ("sst", "experiment", "equatorial")}
    assert status == {"sst": "real", "experiment": "real fields, SYNTHETIC OBSERVATIONS", "equatorial": "real"}
    assert "SYNTHETIC OBSERVATIONS" in (demo / "experiment.html").read_text(encoding="utf-8")
    for name in ("sst", "equatorial"):
        assert "SYNTHETIC" not in (demo / f"{name}.html").read_text(encoding="utf-8")


def test_the_el_nino_of_2009_is_among_the_events(demo: Path):
    ds = xr.open_dataset(demo / "equatorial.nc")
    warm = ds.isel(event=np.flatnonzero(ds.event_kind.values == 1))
    start, end = warm.event_start.values.astype("M8[M]"), warm.event_end.values.astype("M8[M]")
    winter = np.datetime64("2009-12")
    assert ((start <= winter) & (winter <= end) & (warm.event_intensity_max.values > 1.0)).any()
    page = (demo / "equatorial.html").read_text(encoding="utf-8")
    assert "June 2009 to April 2010" in page
