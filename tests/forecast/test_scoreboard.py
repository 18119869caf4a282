"""The scoreboard sets all forecasters side by side on the same starts, with intervals, and hides nothing."""

import numpy as np
import pytest
import xarray as xr

from oceankit.forecast import LIM, DampedPersistence, Persistence, scoreboard

LINEAR = ("climatology", "persistence", "damped_persistence", "lim", "ridge", "blend")
SCORES = ("rmse", "acc", "crps", "bss", "bss_vs_observed_rate", "sedi", "auc", "ece")
PERIODS = {"train": ("1980", "2009"), "test": ("2010", "2019")}


@pytest.fixture(scope="module")
def field(make_field) -> xr.DataArray:
    out = make_field(480, (2, 3))
    out[:, 1, 1] = np.nan
    return out


@pytest.fixture(scope="module")
def board(field) -> xr.Dataset:
    """Every model on red noise, where the network has nothing to add."""
    pytest.importorskip("torch", reason="needs the extra 'forecast'")
    return scoreboard(field, **PERIODS, leads=(1, 3, 6), seeds=2, epochs=2, n_boot=200)


def test_every_model_and_score_is_there_under_its_name(board):
    assert board["model"].values.tolist() == [*LINEAR, "forecaster_zero", "forecaster"]
    assert board["lead"].values.tolist() == [1, 3, 6]
    for score in SCORES:
        for ending in ("", "_low", "_high"):
            assert board[score + ending].dims == ("model", "lead")
            assert board[score + ending].attrs["long_name"]
    assert "nino34_corr" not in board
    assert board["rmse"].attrs["units"] == board["crps"].attrs["units"] == "degC"
    assert board["crps_gain"].dims == board["kept_mean"].dims == board["kept_spread"].dims == ("lead",)
    assert board.attrs["event"] == "above the 90th percentile of the training"
    assert (board.attrs["seeds"], board.attrs["step"]) == (2, "1 months")


def test_intervals_bracket_the_scores(board):
    for score in ("rmse", "crps", "bss", "auc", "crps_gain"):
        low, high = board[f"{score}_low"], board[f"{score}_high"]
        known = np.isfinite(low) & np.isfinite(high)
        assert known.any()
        assert (low <= high).where(known, True).all()
        inside = ((low <= board[score] + 1e-12) & (board[score] <= high + 1e-12)).where(known, True)
        assert inside.all(), score
    assert (board["rmse_high"] > board["rmse_low"]).all()


def test_scores_are_those_of_the_process(board):
    """Red noise of memory 0.8: what is left after ``lead`` steps is known."""
    expected = np.sqrt(1 - 0.8 ** (2 * np.array([1, 3, 6])))
    np.testing.assert_allclose(board["rmse"].sel(model="damped_persistence"), expected, rtol=0.1)
    np.testing.assert_allclose(board["rmse"].sel(model="climatology"), 1.0, rtol=0.1)
    np.testing.assert_allclose(board["crps"].sel(model="damped_persistence"), expected / np.sqrt(np.pi), rtol=0.1)
    acc = board["acc"].sel(model="damped_persistence")
    np.testing.assert_allclose(acc, 0.8 ** np.array([1, 3, 6]), atol=0.12)
    assert (board["rmse"].sel(model="persistence") > board["rmse"].sel(model="damped_persistence")).all()
    assert (abs(board["bss"].sel(model="climatology")) < 0.1).all()
    assert (board["bss"].sel(model="damped_persistence")[0] > 0.2).all()
    assert (board["base_rate"] > 0.03).all()
    assert (board["base_rate"] < 0.25).all()


def test_the_forecaster_is_the_one_without_its_network_where_nothing_is_kept(board):
    assert ((board["kept_mean"] >= 0) & (board["kept_mean"] <= 1)).all()
    ours, zero = board.sel(model="forecaster"), board.sel(model="forecaster_zero")
    np.testing.assert_allclose(ours["rmse"], zero["rmse"], rtol=5e-3)
    nothing = (board["kept_mean"] == 0) & (board["kept_spread"] == 0)
    assert nothing.any()
    for score in ("rmse", "crps", "acc"):
        np.testing.assert_allclose(ours[score].where(nothing), zero[score].where(nothing), rtol=1e-12)
    np.testing.assert_allclose(board["crps_gain"].where(nothing, 0), 0, atol=1e-12)
    np.testing.assert_allclose(board["crps_gain"], zero["crps"] - ours["crps"], atol=1e-9)


def test_all_models_are_scored_on_the_same_starts_whose_history_and_targets_lie_in_the_test(board, field):
    assert (board.attrs["first_start"], board.attrs["last_start"]) == ("2010-12-01", "2019-06-01")
    assert board.attrs["starts"] == 103
    base = scoreboard(field, **PERIODS, leads=(1, 6), models=["climatology"], intervals=None)
    assert (base.attrs["first_start"], base.attrs["starts"]) == ("2010-01-01", 114)


def test_scores_are_those_counted_by_hand_from_hindcasts(field):
    found = scoreboard(field, **PERIODS, leads=(1, 3), models=["persistence", "damped_persistence"], intervals=None)
    weights = np.cos(np.deg2rad(field["lat"]))
    for name, kind in (("persistence", Persistence), ("damped_persistence", DampedPersistence)):
        forecast = kind(leads=(1, 3)).fit(field.sel(time=slice("1980", "2009")))
        forecast = forecast.hindcast(field, period=("2010-01", "2019-09"))
        for lead in (1, 3):
            one = forecast.sel(lead_time=lead)
            error = (one["mean"] - field.sel(time=one["valid_time"])) ** 2
            by_hand = float(np.sqrt(error.weighted(weights).mean()))
            assert float(found["rmse"].sel(model=name, lead=lead)) == pytest.approx(by_hand, rel=1e-4)


def test_models_may_be_names_or_forecasters_or_both(field):
    own = LIM(leads=(1, 3), modes=2)
    mixed = scoreboard(field, **PERIODS, leads=(1, 3), models=["ridge", own], intervals=None)
    assert mixed["model"].values.tolist() == ["ridge", "lim"]
    named = {"small": LIM(leads=(1, 3), modes=2), "large": LIM(leads=(1, 3), modes=5)}
    table = scoreboard(field, **PERIODS, leads=(1, 3), models=named, intervals=None)
    assert table["model"].values.tolist() == ["small", "large"]
    assert (table["rmse"].sel(model="small") != table["rmse"].sel(model="large")).all()
    assert "crps_gain" not in table
    assert "rmse_low" not in table
    alone = scoreboard(field, **PERIODS, leads=(1, 3), models="lim", intervals=None)
    np.testing.assert_allclose(alone["rmse"].sel(model="lim"), table["rmse"].sel(model="large"))


def test_a_forecaster_with_settings_of_ones_own_may_be_among_the_models(field):
    pytest.importorskip("torch", reason="needs the extra 'forecast'")
    from oceankit.forecast import Forecaster

    own = {"narrow": Forecaster(leads=(1, 3), epochs=1, width=8), "lim": "lim"}
    table = scoreboard(field, **PERIODS, leads=(1, 3), models=own, n_boot=50)
    assert table["model"].values.tolist() == ["narrow", "lim"]
    assert np.isfinite(table["rmse"]).all()
    alone = scoreboard(field, **PERIODS, leads=(1, 3), models=[Forecaster(leads=(1, 3), epochs=1)], intervals=None)
    assert alone["model"].values.tolist() == ["forecaster"]


def test_asking_for_the_forecaster_brings_the_one_without_its_network(make_field):
    pytest.importorskip("torch", reason="needs the extra 'forecast'")
    field = make_field(600, (8,), process="folding", start="1970-01-01")
    table = scoreboard(
        field, train=("1970", "2004"), test=("2005", "2019"), leads=(1, 2), models=["forecaster"], seeds=2, n_boot=200
    )
    assert sorted(table["model"].values) == ["forecaster", "forecaster_zero"]
    assert float(table["kept_mean"][0]) > 0
    gain = table["crps_gain"][0]
    assert float(gain) > 0
    assert float(table["crps_gain_low"][0]) <= float(gain) <= float(table["crps_gain_high"][0])


def test_a_fixed_threshold_and_another_percentile_define_the_event(field):
    fixed = scoreboard(
        field, **PERIODS, leads=(1,), models=["damped_persistence"], event_threshold=16.0, intervals=None
    )
    assert fixed.attrs["event"] == "above 16"
    valid = field.sel(time=slice("2010-02", "2019-12"))
    weights = np.cos(np.deg2rad(field["lat"]))
    happened = (valid > 16.0).where(np.isfinite(valid)).weighted(weights).mean()
    assert float(fixed["base_rate"].squeeze()) == pytest.approx(float(happened), abs=1e-3)
    common = scoreboard(field, **PERIODS, leads=(1,), models=["lim"], event_percentile=60, intervals=None)
    assert 0.25 < float(common["base_rate"].squeeze()) < 0.55
    assert common.attrs["event"] == "above the 60th percentile of the training"


def test_anomalies_may_refer_to_years_within_the_training(field):
    late = field + 0.05 * (field["time"].dt.year - 1980)
    late = late.rename("sst").assign_attrs(field.attrs)
    base, recent = (
        scoreboard(late, **PERIODS, leads=(1,), models=["climatology"], climatology=c, intervals=None)
        for c in (None, ("2000", "2009"))
    )
    assert float(recent["rmse"].squeeze()) < float(base["rmse"].squeeze())


def test_the_same_random_numbers_give_the_same_intervals(field):
    a, b, c = (
        scoreboard(field, **PERIODS, leads=(1,), models=["lim"], n_boot=50, rng=r)["rmse_low"].item() for r in (0, 0, 1)
    )
    assert a == b != c


def test_nino34_is_scored_where_the_field_covers_it(make_field):
    field = make_field(240, (5, 8)).assign_coords(
        lat=("lat", [-10.0, -5, 0, 5, 10]), lon=("lon", np.arange(180.0, 260, 10))
    )
    period = {"train": ("1980", "1994"), "test": ("1995", "1999")}
    table = scoreboard(field, **period, leads=(1, 3), models=["damped_persistence"], n_boot=50)
    assert table["nino34_corr"].dims == ("model", "lead")
    assert (table["nino34_corr_low"] <= table["nino34_corr"]).all()
    assert float(table["nino34_corr"][0, 0]) > 0.5
    west = field.assign_coords(lon=field["lon"] - 360)
    same = scoreboard(west, **period, leads=(1, 3), models=["damped_persistence"], n_boot=50)
    np.testing.assert_allclose(same["nino34_corr"], table["nino34_corr"])


def test_missing_truth_is_left_out_of_the_scores(field):
    holed = field.where(np.random.default_rng(0).random(field.shape) > 0.1)
    table = scoreboard(holed, **PERIODS, leads=(1, 3), models=["damped_persistence", "ridge"], n_boot=50)
    assert np.isfinite(table["rmse"]).all()
    whole = scoreboard(field, **PERIODS, leads=(1, 3), models=["damped_persistence", "ridge"], n_boot=50)
    np.testing.assert_allclose(table["rmse"], whole["rmse"], rtol=0.15)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"test": ("2005", "2019")}, "test begins at 2005-01-01, before train ends at 2009-12-01"),
        ({"test": ("2030", "2040")}, r"test=\('2030', '2040'\) has no data: the record runs from 1980-01-01"),
        ({"train": ("1900", "1910")}, r"train=\('1900', '1910'\) has no data"),
        ({"train": "1980"}, "train must be a pair of dates"),
        ({"climatology": ("1990", "2015")}, "climatology=.*reaches beyond train=.*know the test"),
        ({"models": ["lim", "prophet"]}, "models has 'prophet'; known are climatology, persistence"),
        ({"models": []}, "models is empty"),
        ({"models": ["lim", LIM(leads=(1, 3))]}, "models has 'lim' twice; pass a mapping"),
        ({"models": [LIM(leads=(1, 2))]}, r"model 'lim' forecasts leads \(1, 2\), the scoreboard \(1, 3\)"),
        ({"leads": (3, 1)}, "leads must be increasing whole numbers"),
        ({"leads": (1, 200)}, "test has 120 steps, too few for 0 steps of history and a lead of 200"),
        ({"seeds": 0}, "seeds must be a whole number from 1 on, got 0"),
        ({"event_percentile": 120}, "event_percentile must lie between 0 and 100, got 120"),
        ({"intervals": 95}, "intervals=95; give the share of resamples inside"),
        ({"n_boot": 1}, "n_boot=1; give 2 or more resamples"),
        ({"test": ("2010-01", "2010-03"), "models": ["ridge"]}, "test has 3 steps, too few for 11 steps of history"),
    ],
)
def test_questions_that_make_no_sense_are_refused_by_name(field, options, message):
    with pytest.raises(ValueError, match=message):
        scoreboard(field, **{**PERIODS, "leads": (1, 3), "models": ["persistence"], **options})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: f * np.nan, "has no value at all"),
        (
            lambda f: f.isel(time=[*range(100), *range(101, 480)]),
            "data: time has a hole: 1988-06-01 follows 1988-04-01",
        ),
        (lambda f: f.where(f < 18, np.inf), "'sst' has infinite values"),
        (lambda f: f.where(f["time"].dt.year > 2009), "has no value at all"),
    ],
    ids=["empty", "hole", "infinite", "empty training"],
)
def test_data_that_cannot_be_scored_are_refused(field, change, message):
    with pytest.raises(ValueError, match=message):
        scoreboard(change(field.rename("sst")), **PERIODS, leads=(1, 3), models=["persistence"])
