"""Real observations that an analysis has not seen: it is nearer to them than the background, and its errors are what it says."""

from pathlib import Path

import numpy as np
import pytest
import real_analyses as real
import xarray as xr

# The narrowest side of a box of 2 degrees, at 47 degrees north.
NARROWEST = 150.0


@pytest.fixture(scope="module")
def california(shared: Path) -> real.Wc13:
    return real.wc13(_data(shared, "wc13_4dvar"))


@pytest.fixture(scope="module")
def yellow_sea(shared: Path) -> real.YellowSea:
    return real.yellow_sea(_data(shared, "kodc_1968", "bathymetry"))


def _data(shared: Path, *names: str) -> Path:
    for name in names:
        if not (shared / "data" / name).is_dir():
            pytest.skip(f"no {name}/ among the reference data")
    return shared / "data"


def passes(cases: list[real.Withheld]) -> real.Score:
    """The bars of the California Current."""
    found = real.score(cases)
    assert found.less_than_background[1] < 0, found
    # More than the bias is known.
    assert found.less_than_mean[1] < 0, found
    # No bar, and nothing was tuned for it: errors promised where nothing was seen are of the right size.
    assert 0.5 < found.predicted_chi2 < 2, found
    for case in cases:
        assert 0.8 < case.chi2 < 1.2, case
        assert case.statistics.length_scale < NARROWEST / 2, case.statistics
        assert case.counts["n_flagged"] == case.counts["n_held"] == case.counts["n_compared"]
    return found


def test_all_observations_are_there(california):
    tables = [california.sla, california.sst, california.temperature, california.salinity]
    assert [t.sizes["obs"] for t in tables] == [1570, 4952, 168, 125]
    assert 0 < california.temperature["depth"].min() < 20
    assert 1900 < california.temperature["depth"].max() < 2100


def test_a_map_of_all_innovations_on_the_grid(california):
    analysis, found = real.innovation_map(california, "sla")
    assert (int(found["n_used"]), int(found["n_duplicate"]), int(found["n_outside"])) == (1570, 0, 0)
    assert np.isfinite(analysis.values).sum() == np.isfinite(found["analysis_error_variance"].values).sum() == 2033
    assert 0.8 < float(found["reduced_chi2"]) < 1.2


def test_sea_level_in_boxes_that_are_withheld(california):
    cases = real.sea_level_boxes(california)
    found = passes(cases)
    assert found.n == 1570
    assert all(c.counts["n_used"] + c.counts["n_held"] == 1570 for c in cases)


@pytest.mark.extra
def test_surface_temperature_of_days_that_are_withheld(california):
    cases = real.sst_days(california)
    found = passes(cases)
    assert found.n == 4952
    # One was delivered twice, on the sixth: counted once where it is used.
    assert [c.counts["n_duplicate"] for c in cases] == [1, 1, 1, 0]
    assert [c.counts["n_used"] + c.counts["n_held"] + c.counts["n_duplicate"] for c in cases] == [4952] * 4
    for case in cases:
        assert real.score([case]).less_than_background[1] < 0


@pytest.mark.extra
def test_surface_temperature_in_boxes_that_are_withheld_on_all_days(california):
    # One fifth, for time; the benchmark has all.
    assert passes(real.sst_boxes(california, folds=1)).n == 1043


def test_errors_as_delivered_are_not_independent(california):
    """Why they are scaled: taken for noise, they leave innovations that are too smooth. The map still beats the background."""
    fold = real.fold_of(california.sla)
    told = real.estimated(california.sla, fold != 0, days=False)
    block = real.box_of(california.sla)
    case = real.withhold("", california.grid, california.sla, fold == 0, told._replace(error_factor=1.0), block)
    assert case.chi2 < 0.5
    assert real.score([case]).less_than_background[1] < 0


def test_nothing_is_learnt_from_what_is_withheld(california, yellow_sea):
    def spoilt(obs: xr.Dataset, held: np.ndarray) -> xr.Dataset:
        return obs.assign(value=obs["value"] + 100.0 * held)

    held = real.fold_of(california.sla) == 2
    first, second = (real.estimated(obs, ~held, days=False) for obs in (california.sla, spoilt(california.sla, held)))
    assert first == second
    held = yellow_sea.obs["line"].values == 309
    worse = yellow_sea._replace(obs=spoilt(yellow_sea.obs, held))
    right, wrong = (
        next(c for c in real.lines(case, real.likeliest) if c.name == "line 309") for case in (yellow_sea, worse)
    )
    assert right.statistics == wrong.statistics
    np.testing.assert_array_equal(right.expected, wrong.expected)
    np.testing.assert_allclose(wrong.analysis - right.analysis, 100.0, rtol=1e-12)


@pytest.mark.parametrize("statistics", [real.stated, real.likeliest])
def test_lines_of_the_yellow_sea_that_are_withheld(yellow_sea, statistics):
    assert yellow_sea.counts == {"stations": 60, "reach 50 m": 44, "lines": 7, "flagged bottles": 6}
    cases = real.lines(yellow_sea, statistics)
    found = real.score(cases)
    assert (found.n, found.blocks) == (44, 7)
    assert found.analysis < 0.75 * found.mean
    assert found.less_than_mean[1] < 0
    assert all(c.counts["n_used"] + c.counts["n_held"] == 44 for c in cases)
    # With statistics of these very stations the chi2 of the used is 1 by construction; that of the withheld is not.
    if statistics is real.likeliest:
        assert 0.5 < found.predicted_chi2 < 2


def test_the_cold_water_of_the_yellow_sea(yellow_sea):
    found = real.cold_water(yellow_sea)
    assert int(found["n_used"]) == 44
    temperature, error = found["temperature"], found["error"]
    np.testing.assert_array_equal(np.isfinite(temperature.values), yellow_sea.deep.values)
    # The Bottom Cold Water: below 7 degrees in the middle of the sea, and warm along Korea.
    middle = temperature.sel(lat=slice(35.2, 37.0), lon=slice(124.3, 124.7))
    coast = temperature.sel(lat=slice(35.2, 37.0), lon=slice(125.4, 126.0))
    assert float(middle.mean()) < 7 < 10.5 < float(coast.mean())
    coldest = temperature.where(temperature == temperature.min(), drop=True)
    assert 35.5 < float(coldest.lat[0]) < 36.7
    assert 124.2 < float(coldest.lon[0]) < 124.8
    # Errors are small at stations, and grow to what is known without any.
    assert float(error.sel(lat=35.85, lon=124.8)) < 0.8
    assert float(error.max()) > 3.0
