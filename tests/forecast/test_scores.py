"""Scores from sums are those of scores, scoringrules, SciPy and plain loops; intervals cover what they say."""

import numpy as np
import pytest
import xarray as xr

from oceankit.forecast import _bootstrap, _scores

RATE = 0.2


@pytest.fixture(scope="module")
def case() -> dict:
    """60 starts of 50 cells: anomalies, forecasts of them with a spread, and an event that is rare."""
    rng = np.random.default_rng(0)
    signal = rng.normal(size=(60, 50))
    obs = signal + rng.normal(scale=0.6, size=signal.shape)
    mean, std = 0.8 * signal + 0.1, rng.uniform(0.5, 0.9, signal.shape)
    event = (obs > 1.2).astype(float)
    p = _scores.probability_above(1.2, mean, std)
    return {"obs": obs, "mean": mean, "std": std, "event": event, "p": p, "w": rng.uniform(0.2, 1, 50)}


def all_scores(case: dict, **options) -> dict:
    given = {k: case[k] for k in ("mean", "std", "p", "event")}
    sums, layout = _scores.sums(case["obs"], **given, weights=case["w"], climatology=0.0)
    _scores.with_index(sums, layout)
    return {k: v.item() for k, v in _scores.finish(sums.sum(axis=0), layout, **options).items()}


def test_crps_is_that_of_scoringrules():
    scoringrules = pytest.importorskip("scoringrules", reason="needs scoringrules")
    rng = np.random.default_rng(1)
    mean, std, obs = rng.normal(size=200), rng.uniform(0.01, 3, 200), rng.normal(size=200)
    np.testing.assert_allclose(
        _scores.crps_gaussian(mean, std, obs), scoringrules.crps_normal(obs, mean, std), atol=1e-12
    )
    members = rng.normal(size=(200, 11))
    for fair, name in ((True, "fair"), (False, "nrg")):
        theirs = scoringrules.crps_ensemble(obs, members, estimator=name)
        np.testing.assert_allclose(_scores.crps_ensemble(members, obs, fair=fair), theirs, atol=1e-12)


def test_continuous_scores_are_weighted_means_over_all_pairs(case):
    found = all_scores(case)
    w = np.broadcast_to(case["w"], case["obs"].shape)
    error = case["mean"] - case["obs"]

    def average(values):
        return np.average(values, weights=w)

    assert found["bias"] == pytest.approx(average(error))
    assert found["mae"] == pytest.approx(average(np.abs(error)))
    assert found["rmse"] == pytest.approx(np.sqrt(average(error**2)))
    assert found["crps"] == pytest.approx(average(_scores.crps_gaussian(case["mean"], case["std"], case["obs"])))
    assert found["spread"] == pytest.approx(np.sqrt(average(case["std"] ** 2)))
    assert found["spread_skill"] == pytest.approx(found["spread"] / found["rmse"])
    covariance = np.cov(case["mean"].ravel(), case["obs"].ravel(), aweights=w.ravel())
    assert found["corr"] == pytest.approx(covariance[0, 1] / np.sqrt(covariance[0, 0] * covariance[1, 1]))
    product, squares = average(case["mean"] * case["obs"]), average(case["mean"] ** 2) * average(case["obs"] ** 2)
    assert found["acc"] == pytest.approx(product / np.sqrt(squares))
    series = [np.average(case[k], weights=case["w"], axis=1) for k in ("mean", "obs")]
    assert found["index_corr"] == pytest.approx(np.corrcoef(series)[0, 1])


def test_brier_score_and_its_parts(case):
    found = all_scores(case, rate=RATE)
    w = np.broadcast_to(case["w"], case["p"].shape)
    brier, base = np.average((case["p"] - case["event"]) ** 2, weights=w), np.average(case["event"], weights=w)
    assert found["brier"] == pytest.approx(brier)
    assert found["base_rate"] == pytest.approx(base)
    assert found["bss"] == pytest.approx(1 - brier / np.average((RATE - case["event"]) ** 2, weights=w))
    assert found["bss_vs_observed_rate"] == pytest.approx(1 - brier / (base * (1 - base)))
    # Exact where all probabilities of a bin are alike.
    coarse = dict(case, p=np.clip(np.floor(case["p"] * 10) / 10 + 0.05, 0, 1))
    found = all_scores(coarse)
    parts = found["reliability"] - found["resolution"] + found["uncertainty"]
    assert found["brier"] == pytest.approx(parts, abs=1e-12)
    gaps = 0.0
    for k in range(10):
        mine = (coarse["p"] * 10).astype(int) == k
        if mine.any():
            share = w[mine].sum() / w.sum()
            gaps += share * abs(np.average((coarse["p"] - coarse["event"])[mine], weights=w[mine]))
    assert found["ece"] == pytest.approx(gaps)


def test_the_table_of_decisions_is_that_of_scores(case):
    categorical = pytest.importorskip("scores.categorical", reason="needs the package scores")
    case = dict(case, w=np.ones(50))
    for decision in (0.3, 0.5):
        sums, layout = _scores.sums(case["obs"], p=case["p"], event=case["event"], decision=decision)
        ours = _scores.finish(sums.sum(axis=0), layout)
        forecast, observed = (xr.DataArray(v, dims=("t", "c")) for v in (case["p"] >= decision, case["event"]))
        theirs = categorical.BinaryContingencyManager(forecast.astype(float), observed).transform()
        assert ours["sedi"].item() == pytest.approx(theirs.symmetric_extremal_dependence_index().item())
        assert ours["ets"].item() == pytest.approx(theirs.equitable_threat_score().item())
        assert ours["hit_rate"].item() == pytest.approx(theirs.hit_rate().item())
        assert ours["false_alarm_rate"].item() == pytest.approx(theirs.false_alarm_rate().item())
        assert ours["false_alarm_ratio"].item() == pytest.approx(theirs.false_alarm_ratio().item())
        assert ours["frequency_bias"].item() == pytest.approx(theirs.frequency_bias().item())


def test_the_area_under_the_curve_is_that_of_ranks(case):
    """Of all pairs of an event and a non-event, the weighted share in which the event had the higher probability."""
    found = all_scores(case)
    w = np.broadcast_to(case["w"], case["p"].shape)
    yes = case["event"] == 1
    higher = (case["p"][yes][:, None] > case["p"][~yes][None]) * w[yes][:, None] * w[~yes][None]
    assert found["auc"] == pytest.approx(higher.sum() / (w[yes].sum() * w[~yes].sum()), abs=5e-4)


def test_the_unbiased_threshold_forecasts_the_event_as_often_as_it_happens(case):
    found = all_scores(case, unbiased=True)
    assert found["frequency_bias"] == pytest.approx(1.0)
    threshold = np.quantile(case["p"], 1 - case["event"].mean())
    uniform = dict(case, w=np.ones(50))
    sums, layout = _scores.sums(case["obs"], p=case["p"], event=case["event"], decision=threshold)
    direct = _scores.finish(sums.sum(axis=0), layout)["sedi"].item()
    assert all_scores(uniform, unbiased=True)["sedi"] == pytest.approx(direct, abs=5e-3)


def test_a_perfect_and_a_useless_forecast():
    event = (np.random.default_rng(0).uniform(size=(40, 30)) < 0.3).astype(float)
    sums, layout = _scores.sums(event, p=event, event=event)
    perfect = {k: v.item() for k, v in _scores.finish(sums.sum(axis=0), layout).items()}
    assert perfect["brier"] == 0
    assert perfect["ece"] == 0
    assert perfect["auc"] == 1
    assert perfect["ets"] == pytest.approx(1)
    assert np.isnan(perfect["sedi"])  # not defined at a hit rate of 1
    sums, layout = _scores.sums(event, p=np.full(event.shape, event.mean()), event=event)
    useless = {k: v.item() for k, v in _scores.finish(sums.sum(axis=0), layout).items()}
    assert useless["auc"] == pytest.approx(0.5)
    assert useless["bss_vs_observed_rate"] == pytest.approx(0, abs=1e-12)


def test_missing_pairs_are_counted_and_do_not_touch_the_rest(case):
    obs, mean = case["obs"].copy(), case["mean"].copy()
    obs[3, :5], mean[4, :7], mean[5, 0], obs[5, 0] = np.nan, np.nan, np.nan, np.nan
    sums, layout = _scores.sums(obs, mean=mean, std=case["std"])
    total = sums.sum(axis=0)
    assert layout.get(total, "n").item() == 60 * 50 - 13
    assert layout.get(total, "n_truth").item() == 5
    assert layout.get(total, "n_forecast").item() == 7
    there = np.isfinite(obs) & np.isfinite(mean)
    found = _scores.finish(total, layout)
    assert found["rmse"].item() == pytest.approx(np.sqrt(((mean - obs)[there] ** 2).mean()))


def test_groups_are_scored_apart(case):
    group = np.where(np.arange(50) < 20, 0, np.where(np.arange(50) < 40, 1, -1))
    sums, layout = _scores.sums(case["obs"], mean=case["mean"], group=group, groups=2)
    found = _scores.finish(sums.sum(axis=0), layout)["rmse"]
    for k in range(2):
        error = (case["mean"] - case["obs"])[:, group == k]
        assert found[k] == pytest.approx(np.sqrt((error**2).mean()))


def test_a_reference_is_scored_on_the_same_pairs(case):
    other = {"mean": np.zeros_like(case["obs"]), "p": np.full(case["obs"].shape, 0.1)}
    other["mean"][0] = np.nan
    sums, layout = _scores.sums(case["obs"], mean=case["mean"], p=case["p"], event=case["event"], reference=other)
    total = sums.sum(axis=0)
    found = _scores.finish(total, layout)
    assert layout.get(total, "n").item() == 59 * 50
    theirs, ours = case["obs"][1:], (case["mean"] - case["obs"])[1:]
    assert found["rmse_gain"].item() == pytest.approx(np.sqrt((theirs**2).mean()) - np.sqrt((ours**2).mean()))
    assert found["crps_gain"].item() == pytest.approx(np.abs(theirs).mean() - np.abs(ours).mean())
    brier = [((p - case["event"][1:]) ** 2).mean() for p in (0.1, case["p"][1:])]
    assert found["bss_vs_reference"].item() == pytest.approx(1 - brier[1] / brier[0])


# ---- the bootstrap ----------------------------------------------------------------------------------------------------


def test_resampling_sums_is_resampling_data(case):
    sums, layout = _scores.sums(case["obs"], mean=case["mean"], std=case["std"], p=case["p"], event=case["event"])
    counts = _bootstrap.resamples(60, block=5, n_boot=20, rng=3)
    ends = _bootstrap.interval(sums, lambda t: _scores.finish(t, layout), counts, level=0.5)
    slow = []
    for row in counts.astype(int):
        rows = np.repeat(np.arange(60), row)
        part, _ = _scores.sums(
            *(case[k][rows] for k in ["obs"]), **{k: case[k][rows] for k in ("mean", "std", "p", "event")}
        )
        slow.append(_scores.finish(part.sum(axis=0), layout))
    for name in ("rmse", "crps", "corr", "ece", "auc", "bss_vs_observed_rate", "sedi"):
        expected = np.quantile([s[name].item() for s in slow], [0.25, 0.75])
        np.testing.assert_allclose([e.item() for e in ends[name]], expected, rtol=1e-9)


def test_blocks_keep_neighbours_together_and_every_time_counts_alike():
    counts = _bootstrap.resamples(50, block=10, n_boot=4000, rng=0)
    assert (counts.sum(axis=1) == 50).all()
    np.testing.assert_allclose(counts.mean(axis=0), 1.0, atol=0.08)
    neighbours = np.mean([np.corrcoef(counts[:, k], counts[:, k + 1])[0, 1] for k in range(49)])
    assert neighbours > 0.8


def test_intervals_of_correlated_errors_cover_what_they_say():
    """95 % intervals of the mean of an autoregressive series of 200: blocks cover, single times do not."""
    rng = np.random.default_rng(5)
    inside = {1: 0, 20: 0}
    for _ in range(200):
        series = np.empty(200)
        series[0] = rng.normal() / np.sqrt(1 - 0.7**2)
        for k in range(1, 200):
            series[k] = 0.7 * series[k - 1] + rng.normal()
        for block in inside:
            counts = _bootstrap.resamples(200, block=block, n_boot=200, rng=rng)
            low, high = _bootstrap.interval(series[:, None, None], lambda t: {"mean": t[..., 0]}, counts)["mean"]
            inside[block] += low.item() < 0 < high.item()
    assert inside[20] / 200 > 0.85
    assert inside[1] / 200 < 0.7


def test_undefined_resamples_are_left_out_of_the_quantiles():
    rng = np.random.default_rng(0)
    values = rng.normal(size=(101, 3))
    values[::7, 0], values[:60, 1] = np.nan, np.nan
    low, high = _bootstrap._ends(values, 0.9)
    known = values[np.isfinite(values[:, 0]), 0]
    np.testing.assert_allclose([low[0], high[0]], np.quantile(known, [0.05, 0.95]))
    assert np.isnan(low[1])
    np.testing.assert_allclose(low[2], np.quantile(values[:, 2], 0.05))


@pytest.mark.parametrize(("block", "n_boot"), [(0, 100), (61, 100), (2.5, 100), (True, 100), (5, 1)])
def test_blocks_that_make_no_sense_are_refused(block, n_boot):
    with pytest.raises(ValueError, match=r"block=|n_boot="):
        _bootstrap.resamples(60, block=block, n_boot=n_boot)
