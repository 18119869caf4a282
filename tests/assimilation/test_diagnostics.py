"""Diagnostics of an analysis find the errors that synthetic problems were made with."""

import numpy as np
import pytest
import xarray as xr

from oceankit import OptimalInterpolation
from oceankit.assimilation import ETKF, LETKF, GaspariCohn, diagnostics
from oceankit.fields import Grid
from oceankit.observations import ObservationError, table
from oceankit.observations.operators import Interp

N_CYCLES, N_OBS = 400, 40


def columns(**given) -> xr.Dataset:
    """Diagnostics as a method returns them, from their columns."""
    n = np.size(given["innovation"])
    base = {"value": np.zeros(n), "error_std": np.ones(n), "status": np.zeros(n, np.int8), **given}
    return xr.Dataset({k: (("obs", "member") if np.ndim(v) == 2 else "obs", v) for k, v in base.items()})


def calibrated(rng, n: int, members: int, *, spread=1.0, error=0.5, bias=0.0) -> xr.Dataset:
    """Truth and members from one distribution of its own at each observation; ``spread`` 1 is right."""
    centre, width = rng.normal(size=(n, 1)) * 5, rng.uniform(0.3, 3.0, size=(n, 1))
    hx = centre + spread * width * rng.normal(size=(n, members))
    value = (centre + width * rng.normal(size=(n, 1)))[:, 0] + error * rng.normal(size=n) + bias
    return columns(
        value=value, error_std=np.full(n, error), innovation=value - hx.mean(1), spread=hx.std(1, ddof=1), hx=hx
    )


@pytest.fixture(scope="module")
def optimal() -> xr.Dataset:
    """Innovations and residuals of an optimal analysis, many cycles, correlated background errors."""
    rng = np.random.default_rng(3)
    at = np.linspace(0, 10, N_OBS)
    background = 1.5**2 * np.exp(-((at[:, None] - at) ** 2) / 2)
    error = np.full(N_OBS, 0.7)
    total = background + np.diag(error**2)
    d = rng.multivariate_normal(np.zeros(N_OBS), total, size=N_CYCLES)
    residual = d @ np.linalg.solve(total, np.diag(error**2))
    after = background - background @ np.linalg.solve(total, background)
    return columns(
        innovation=d.ravel(), residual=residual.ravel(), error_std=np.tile(error, N_CYCLES),
        spread=np.full(d.size, 1.5), analysis_spread=np.tile(np.sqrt(np.diag(after)), N_CYCLES),
        cycle=np.repeat(np.arange(N_CYCLES), N_OBS), depth=np.tile(at, N_CYCLES),
    )  # fmt: skip


# ---- Desroziers ---------------------------------------------------------------------------------------------------------


def test_desroziers_finds_the_true_errors(optimal):
    found = diagnostics.desroziers(optimal, bootstrap=200, block="cycle", rng=1)
    assert found["error"].values.tolist() == ["observation", "background", "analysis"]
    np.testing.assert_allclose(found.estimated[:2], [0.7, 1.5], rtol=0.03)
    np.testing.assert_allclose(found.ratio, 1.0, atol=0.03)
    np.testing.assert_allclose(found.stated[:2], [0.7, 1.5])
    assert ((found.low < found.stated) & (found.stated < found.high)).all()
    assert not found.negative.any()
    assert int(found.n) == N_CYCLES * N_OBS


def test_desroziers_in_groups_and_bins(optimal):
    found = diagnostics.desroziers(optimal, by={"depth": [0, 2, 8]})
    assert found.estimated.dims == ("error", "depth")
    assert found.depth_bounds.values.tolist() == [[0, 2], [2, 8]]
    np.testing.assert_allclose(found.estimated.sel(error="observation"), 0.7, rtol=0.05)
    inside = optimal.isel(obs=(optimal.depth < 2).values)
    alone = diagnostics.desroziers(inside)
    np.testing.assert_allclose(found.variance[:, 0], alone.variance, rtol=1e-12)
    assert int(found.n.sum()) + int(found.n_in_no_bin) == optimal.sizes["obs"]
    assert int(found.n_in_no_bin) == int((optimal.depth > 8).sum())


def test_desroziers_of_wrong_errors_is_what_theory_says():
    """With one observation at a time R is estimated as r (B + R) / (b + r), and the variances always add up."""
    rng = np.random.default_rng(0)
    b, r, true = 4.0, 1.0, 1.0 + 2.0
    d = rng.normal(size=100_000) * np.sqrt(true)
    found = diagnostics.desroziers(
        columns(innovation=d, residual=d * r / (b + r), error_std=np.full(d.size, np.sqrt(r)))
    )
    np.testing.assert_allclose(found.variance[:2], [true * r / (b + r), true * b / (b + r)], rtol=0.02)
    np.testing.assert_allclose(found.variance[:2].sum(), (d**2).mean(), rtol=1e-12)
    assert np.isnan(found.stated.sel(error="background"))


def test_desroziers_says_where_nothing_can_be_estimated():
    found = diagnostics.desroziers(columns(innovation=[1.0, -1.0], residual=[-0.5, 0.5]), bootstrap=20, rng=0)
    assert found.negative.values.tolist() == [1, 0, 1]
    assert np.isnan(found.estimated.values).tolist() == [True, False, True]
    np.testing.assert_allclose(found.variance, [-0.5, 1.5, -0.75])
    assert np.isnan(found.low.values).tolist() == [True, False, True]


def test_desroziers_without_the_mean(optimal):
    shifted = optimal.assign(innovation=optimal.innovation + 3.0, residual=optimal.residual + 2.0)
    raw = diagnostics.desroziers(shifted)
    centred = diagnostics.desroziers(shifted, remove_mean=True)
    assert float(raw.estimated[0]) > 2.0
    np.testing.assert_allclose(centred.variance, diagnostics.desroziers(optimal, remove_mean=True).variance, rtol=1e-10)


def test_bootstrap_of_blocks_knows_that_copies_tell_nothing_new(optimal):
    copies = optimal.isel(obs=np.repeat(np.arange(300), 16)).assign(copy=("obs", np.repeat(np.arange(300), 16)))
    alone, blocks = (diagnostics.desroziers(copies, bootstrap=400, rng=2, **more) for more in ({}, {"block": "copy"}))
    width = [float((v.high - v.low).sel(error="background")) for v in (alone, blocks)]
    assert 3.2 < width[1] / width[0] < 4.8
    again = diagnostics.desroziers(copies, bootstrap=400, rng=2, block="copy")
    xr.testing.assert_identical(again, blocks)


def test_bootstrap_of_every_group(optimal):
    found = diagnostics.desroziers(optimal, by={"depth": [0, 5, 10.5, 20]}, bootstrap=100, block="cycle", rng=0)
    assert found.low.dims == ("error", "depth")
    assert np.isfinite(found.low[:, :2]).all()
    assert np.isnan(found.low[:, 2]).all(), "no observation lies there"
    assert np.isnan(found.estimated[:, 2]).all()
    assert ((found.low <= found.estimated) & (found.estimated <= found.high))[:, :2].all()


# ---- innovations --------------------------------------------------------------------------------------------------------


def test_innovations_by_column_and_bins():
    rng = np.random.default_rng(0)
    n = 1000
    found = columns(innovation=rng.normal(size=n) + 0.3, spread=rng.uniform(1, 2, n), error_std=rng.uniform(1, 2, n))
    found = found.assign(
        platform=("obs", rng.choice(["argo", "buoy"], n)), obs_depth=("obs", rng.uniform(0, 100, n)),
        status=("obs", rng.choice([0, 0, 1, 2], n)),
    )  # fmt: skip
    by = diagnostics.innovations(found, by={"platform": None, "depth": [0, 10, 100]})
    assert by["n"].dims == ("platform", "depth")
    assert int(by.n.sum()) == int((found.status == 0).sum())
    own = found.isel(obs=((found.platform == "buoy") & (found.obs_depth >= 10) & (found.status == 0)).values)
    there = by.sel(platform="buoy").isel(depth=1)
    d = own.innovation.values
    variance = (own.spread**2 + own.error_std**2).values
    for name, value in {"mean": d.mean(), "rms": np.sqrt((d**2).mean()), "std": d.std(),
                        "expected_std": np.sqrt(variance.mean()), "chi2": (d**2 / variance).mean()}.items():  # fmt: skip
        assert float(there[name]) == pytest.approx(value, rel=1e-12)
    whole = diagnostics.innovations(found)
    assert whole["n"].dims == ()
    assert float(whole.rms) ** 2 == pytest.approx(float(whole["mean"]) ** 2 + float(whole["std"]) ** 2)


def test_innovations_in_bins_of_time_and_without_spread():
    found = columns(innovation=[1.0, 2.0, 3.0]).assign_coords(
        obs_time=("obs", np.array(["2015-01-01", "2015-01-05", "2015-02-01"], "datetime64[ns]"))
    )
    by = diagnostics.innovations(found, by={"time": ["2015-01-01", "2015-01-31"]})
    assert (int(by.n[0]), int(by.n_in_no_bin), "chi2" in by) == (2, 1, False)
    open_ended = diagnostics.innovations(found, by={"innovation": [1.5, np.inf]})
    assert (float(open_ended.innovation[0]), int(open_ended.n[0])) == (1.5, 2)


def test_innovation_chi2_is_that_of_the_method():
    ensemble, obs = problem(np.random.default_rng(5))
    _, found = ETKF().assimilate(ensemble, obs)
    whole = diagnostics.innovations(found)
    for ours, theirs in (("chi2", "innovation_chi2"), ("rms", "innovation_rms"), ("mean", "innovation_mean")):
        assert float(whole[ours]) == pytest.approx(float(found[theirs]), rel=1e-12)


# ---- the whole covariance -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "members"), [(30, 8), (8, 30), (1, 2), (200, 5)])
def test_reduced_chi2_is_the_dense_formula(n, members):
    rng = np.random.default_rng(n)
    found = calibrated(rng, n, members, error=0.05)
    hx = found.hx.values
    total = np.atleast_2d(np.cov(hx)) + np.diag(found.error_std.values**2)
    wanted = found.innovation.values @ np.linalg.solve(total, found.innovation.values) / n
    assert float(diagnostics.reduced_chi2(found).reduced_chi2) == pytest.approx(wanted, rel=1e-10)


def test_reduced_chi2_of_cycles_and_of_optimal_interpolation(optimal):
    rng = np.random.default_rng(0)
    parts = [calibrated(rng, 20, 6) for _ in range(3)]
    joined = diagnostics.join(parts)
    by = diagnostics.reduced_chi2(joined, by="cycle")
    np.testing.assert_allclose(
        by.reduced_chi2, [float(diagnostics.reduced_chi2(p).reduced_chi2) for p in parts], rtol=1e-12
    )
    np.testing.assert_allclose(by.chi2, by.reduced_chi2 * 20)


def test_reduced_chi2_is_one_where_errors_are_right():
    rng = np.random.default_rng(8)
    tests = [float(diagnostics.reduced_chi2(calibrated(rng, 5, 500)).reduced_chi2) for _ in range(400)]
    assert np.mean(tests) == pytest.approx(1.0, abs=0.05)


# ---- ranks --------------------------------------------------------------------------------------------------------------


def test_ranks_of_a_calibrated_ensemble_are_flat():
    found = diagnostics.rank_histogram(calibrated(np.random.default_rng(1), 20_000, 9), rng=2)
    assert int(found["count"].sum()) == int(found.n) == 20_000
    assert found.sizes["rank"] == 10
    assert float(found.p_value) > 0.01
    assert abs(float(found.slope)) < 3
    assert abs(float(found.convexity)) < 3
    assert float(found.reliability_index) < 0.03


@pytest.mark.parametrize(("options", "score", "sign"), [
    ({"spread": 0.5}, "convexity", 1), ({"spread": 2.0}, "convexity", -1),
    ({"bias": 1.0}, "slope", 1), ({"bias": -1.0}, "slope", -1),
])  # fmt: skip
def test_ranks_show_what_is_wrong(options, score, sign):
    found = diagnostics.rank_histogram(calibrated(np.random.default_rng(1), 5_000, 9, **options), rng=2)
    assert sign * float(found[score]) > 8
    assert float(found.p_value) < 1e-6
    counts = found["count"].values
    if "spread" in options:
        assert sign * (counts[0] + counts[-1] - 2 * found.expected) > 0


def test_ranks_without_the_observations_error_look_too_narrow():
    found = calibrated(np.random.default_rng(1), 5_000, 9, error=2.0)
    plain = diagnostics.rank_histogram(found.hx, values=found.value, rng=0)
    with_error = diagnostics.rank_histogram(found.hx, values=found.value, error_std=2.0, rng=0)
    assert float(plain.convexity) > 8
    assert float(with_error.p_value) > 0.01
    whole = diagnostics.rank_histogram(found, rng=0)
    np.testing.assert_array_equal(whole["count"], with_error["count"])


def test_rank_statistics_are_their_definitions():
    """Pearson's and Jolliffe and Primo's as the R package SpecsVerification defines them."""
    found = diagnostics.rank_histogram(calibrated(np.random.default_rng(1), 100, 3, bias=1.0), rng=0)
    count = found["count"].values
    assert float(found.chi2) == pytest.approx((((count - 25) ** 2) / 25).sum())
    slope = ((count - 25) / 5 * np.array([-3, -1, 1, 3]) / np.sqrt(20)).sum()
    bend = ((count - 25) / 5 * np.array([1, -1, -1, 1]) / 2).sum()
    assert (float(found.slope), float(found.convexity)) == pytest.approx((slope, bend))
    assert float(found.reliability_index) == pytest.approx(np.abs(count / 100 - 0.25).sum())


def test_ties_are_broken_evenly():
    members = xr.DataArray(np.zeros((4000, 3)), dims=("obs", "member"))
    found = diagnostics.rank_histogram(members, values=np.zeros(4000), rng=0)
    assert float(found.p_value) > 0.01


# ---- spread and skill ---------------------------------------------------------------------------------------------------


def test_spread_and_skill_agree_for_a_calibrated_ensemble():
    found = calibrated(np.random.default_rng(4), 40_000, 5)
    result = diagnostics.spread_skill(found, bins=8)
    assert result["n"].values.tolist() == [5000] * 8
    assert float(result.ratio) == pytest.approx(1.0, abs=0.02)
    assert float(result.factor) == pytest.approx(np.sqrt(6 / 5))
    assert (np.diff(result.predicted) > 0).all()
    plain = diagnostics.spread_skill(found, members=np.inf)
    assert float(plain.ratio) > 1.05, "the mean of five members errs itself"
    # Bins of an estimated spread lean inwards: the smallest spreads are too small by chance.
    many = diagnostics.spread_skill(calibrated(np.random.default_rng(4), 20_000, 100), bins=5)
    np.testing.assert_allclose(many.found, many.predicted, rtol=0.05)


def test_spread_skill_likely_range_holds_nine_of_ten():
    rng = np.random.default_rng(0)
    inside = []
    for _ in range(60):
        n = 500
        spread = rng.uniform(0.5, 2.0, n)
        found = columns(innovation=rng.normal(size=n) * np.sqrt(spread**2 + 1), spread=spread)
        result = diagnostics.spread_skill(found, bins=10, members=np.inf)
        inside.append(((result.low < result.found) & (result.found < result.high)).values)
    assert np.mean(inside) == pytest.approx(0.9, abs=0.04)


def test_spread_skill_needs_the_number_of_members():
    found = columns(innovation=np.ones(4), spread=np.ones(4))
    with pytest.raises(ValueError, match="members="):
        diagnostics.spread_skill(found, bins=2)
    with pytest.raises(ValueError, match="bins=9"):
        diagnostics.spread_skill(found, bins=9, members=5)


# ---- CRPS ---------------------------------------------------------------------------------------------------------------


def test_crps_is_the_double_sum():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(50, 7)) + 300, rng.normal(size=50) + 300
    members = xr.DataArray(x, dims=("obs", "member"))
    first = np.abs(x - y[:, None]).mean(1)
    pairs = np.abs(x[:, :, None] - x[:, None, :]).sum((1, 2))
    for fair, size in ((True, 42), (False, 49)):
        found = diagnostics.crps(members.T, values=y, fair=fair)
        np.testing.assert_allclose(found.crps, first - pairs / size / 2, rtol=1e-10)
        assert float(found.crps_mean) == pytest.approx(float(found.crps.mean()))


def test_crps_as_scoringrules_and_properscoring_have_it():
    """scoringrules 0.10 (estimators fair and nrg) and properscoring 0.1 for these numbers."""
    x = [[0.0, 0.3, -0.27, -0.89, -0.45, -0.99], [0.06, 1.34, -0.49, -0.62, 0.49, 0.36],
         [0.11, -0.93, -0.03, 0.7, -1.34, -0.46], [-1.9, -1.29, -1.84, -0.24, -1.27, 0.27]]  # fmt: skip
    members, y = xr.DataArray(x, dims=("obs", "member")), [0.3, -2.0, 5.0, 0.0]
    fair = [0.37333333333333324, 1.7553333333333332, 4.866666666666667, 0.6126666666666667]
    plain = [0.4249999999999999, 1.8277777777777777, 4.9430555555555555, 0.6997222222222222]
    np.testing.assert_allclose(diagnostics.crps(members, values=y).crps, fair, rtol=1e-14)
    np.testing.assert_allclose(diagnostics.crps(members, values=y, fair=False).crps, plain, rtol=1e-14)


def gaussian_crps(mean, std, y):
    from scipy.stats import norm

    z = (y - mean) / std
    return std * (z * (2 * norm.cdf(z) - 1) + 2 * norm.pdf(z) - 1 / np.sqrt(np.pi))


def test_crps_of_many_members_is_that_of_the_distribution_and_fair_of_few_in_the_mean():
    rng = np.random.default_rng(1)
    y = np.array([-1.0, 0.2, 3.0])
    many = xr.DataArray(2 + 0.5 * rng.normal(size=(3, 200_000)), dims=("obs", "member"))
    np.testing.assert_allclose(diagnostics.crps(many, values=y).crps, gaussian_crps(2, 0.5, y), rtol=0.01)
    few = xr.DataArray(rng.normal(size=(100_000, 3)), dims=("obs", "member"))
    for fair, equal in ((True, True), (False, False)):
        mean = float(diagnostics.crps(few, values=np.full(100_000, 0.7), fair=fair).crps_mean)
        assert (abs(mean - gaussian_crps(0, 1, 0.7)) < 0.01) == equal


def test_crps_with_the_observations_error_is_that_of_the_wider_distribution():
    rng = np.random.default_rng(1)
    found = columns(
        value=np.full(3, 0.4), innovation=np.zeros(3), error_std=np.full(3, 2.0), hx=rng.normal(size=(3, 200_000))
    )
    score = diagnostics.crps(found, perturbed=True, rng=0)
    np.testing.assert_allclose(score.crps, gaussian_crps(0, np.sqrt(5), 0.4), rtol=0.01)
    with pytest.raises(ValueError, match="rng="):
        diagnostics.crps(found, perturbed=True)
    with pytest.raises(ValueError, match="error_std="):
        diagnostics.crps(found.hx, values=found.value, perturbed=True, rng=0)


# ---- with real methods --------------------------------------------------------------------------------------------------


def problem(rng, members=12, nlat=6, nlon=7) -> tuple[xr.Dataset, xr.Dataset]:
    """Two fields of an ensemble, observed both, some observations outside and some flagged."""
    coords = {"lat": np.arange(30.0, 30 + nlat), "lon": np.arange(120.0, 120 + nlon)}
    dims = ("member", "lat", "lon")
    shape = (members, nlat, nlon)
    ensemble = xr.Dataset(
        {"sst": (dims, rng.normal(size=shape) + 15, {"units": "degC"}), "sla": (dims, rng.normal(size=shape))}, coords
    )
    n = 20
    obs = table(
        value=rng.normal(size=n), error_std=rng.uniform(0.5, 1.5, n), lon=rng.uniform(120, 127.5, n),
        lat=rng.uniform(30, 35, n), variable=np.where(np.arange(n) % 2 == 0, "sla", "sst"),
        flag=np.where(np.arange(n) == 3, 4, 1),
    )  # fmt: skip
    obs["value"] = obs["value"] + 15 * (obs["variable"] == "sst")
    return ensemble, obs


def test_residuals_are_those_of_the_operator_on_the_analysis():
    ensemble, obs = problem(np.random.default_rng(2))
    method = LETKF(localization=GaspariCohn(800.0))
    analysis, found = method.assimilate(ensemble, obs)
    full = diagnostics.residuals(found, analysis)
    for name in ("sla", "sst"):
        mine = (obs["variable"] == name).values
        there = Interp()(analysis[name], obs.isel(obs=mine)).transpose("obs", "member").values
        np.testing.assert_array_equal(full.hx_analysis.values[mine], there)
        np.testing.assert_allclose(full.residual.values[mine], obs["value"].values[mine] - there.mean(1))
        np.testing.assert_allclose(full.analysis_spread.values[mine], there.std(1, ddof=1))
    assert np.isfinite(full.residual.values[3]), "a flagged observation is not used, but can be compared"
    assert np.isnan(full.residual.values[(found.status == 1).values]).all()
    assert float((full.residual**2).mean()) < float((full.innovation**2).mean())
    by = diagnostics.desroziers(full, by="variable")
    assert by["n"].sum() == int((found.status == 0).sum())
    assert int(diagnostics.rank_histogram(full, rng=0).n) == int(found.n_used)
    assert diagnostics.crps(full).sizes["obs"] == int(found.n_used)
    assert "obs_lon" in diagnostics.crps(full).coords
    assert 0.3 < float(diagnostics.reduced_chi2(full).reduced_chi2) < 3


def test_residuals_by_a_function_and_an_array():
    ensemble, obs = problem(np.random.default_rng(2))
    field, mine = ensemble["sla"], obs.isel(obs=(obs["variable"] == "sla").values)
    nearest = Interp("nearest")
    analysis, found = ETKF().assimilate(field, mine, hx=nearest)
    by_function = diagnostics.residuals(found, analysis, hx=nearest)
    by_array = diagnostics.residuals(found, analysis, hx=nearest(analysis, mine))
    xr.testing.assert_identical(by_function, by_array)
    assert float(np.abs(by_function.residual - diagnostics.residuals(found, analysis).residual).max()) > 1e-3
    with pytest.raises(ValueError, match="along obs"):
        diagnostics.residuals(found, analysis, hx=lambda field, obs: field)


def test_residuals_with_depth_and_time():
    rng = np.random.default_rng(0)
    times = np.array(["2015-01-01", "2015-01-03"], "datetime64[ns]")
    field = xr.DataArray(
        rng.normal(size=(5, 2, 3, 4, 4)), dims=("member", "time", "depth", "lat", "lon"), name="t",
        coords={"time": times, "depth": ("depth", [0.0, 10.0, 50.0], {"units": "m", "positive": "down"}),
                "lat": np.arange(4.0), "lon": np.arange(4.0)},
    )  # fmt: skip
    obs = table(value=[0.3, 0.1], error_std=0.5, lon=[1.2, 2.0], lat=[1.5, 2.0], depth=[5.0, 30.0],
                time=["2015-01-02", "2015-01-03"])  # fmt: skip
    analysis, found = ETKF().assimilate(field, obs)
    there = Interp()(analysis, obs).mean("member")
    np.testing.assert_allclose(diagnostics.residuals(found, analysis).residual, obs["value"].values - there.values)


def test_residuals_of_optimal_interpolation_are_its_own_and_its_errors_are_found():
    """Fields drawn from the covariance that is stated, observed on grid points."""
    rng = np.random.default_rng(1)
    y, x = np.meshgrid(np.arange(7.0), np.arange(7.0), indexing="ij")
    away = (x.ravel()[:, None] - x.ravel()) ** 2 + (y.ravel()[:, None] - y.ravel()) ** 2
    root = np.linalg.cholesky(0.8**2 * np.exp(-away / 2 / 1.5**2) + 1e-9 * np.eye(49))
    oi = OptimalInterpolation(background_error_std=0.8, length_scale=1.5, covariance="gaussian")
    background = xr.DataArray(
        np.zeros((7, 7)), dims=("y", "x"), coords={"y": np.arange(7.0), "x": np.arange(7.0)}, name="h"
    )
    cycles = []
    for _ in range(80):
        truth = (root @ rng.normal(size=49)).reshape(7, 7)
        j, i = rng.integers(0, 7, size=(2, 30))
        obs = table(value=truth[j, i] + 0.4 * rng.normal(size=30), error_std=0.4, x=i.astype(float), y=j.astype(float))
        analysis, found = oi.assimilate(background, obs)
        np.testing.assert_allclose(diagnostics.residuals(found, analysis).residual, found.residual, atol=1e-12)
        cycles.append(found.assign(spread=("obs", np.full(30, 0.8))))
    joined = diagnostics.join(cycles)
    assert joined.sizes["obs"] == 2400
    assert "increments" not in joined
    found = diagnostics.desroziers(joined, bootstrap=200, block="cycle", rng=0)
    np.testing.assert_allclose(found.estimated[:2], [0.4, 0.8], rtol=0.05)
    assert ((found.low < found.stated) & (found.stated < found.high))[:2].all()


def test_fields_that_were_analysed_one_by_one_are_taken_one_by_one():
    ensemble, obs = problem(np.random.default_rng(2))
    background = ensemble.isel(member=0, drop=True)
    oi = OptimalInterpolation(background_error_std=1.0, length_scale=200.0)
    analysis, found = oi.assimilate(background, obs)
    with pytest.raises(ValueError, match=r"of_variable\(found, 'sla'\)"):
        diagnostics.innovations(found)
    sla = diagnostics.of_variable(found, "sla")
    _, alone = oi.assimilate(background["sla"], obs.isel(obs=(obs["variable"] == "sla").values))
    np.testing.assert_allclose(sla.innovation, alone.innovation)
    assert "obs_lon" in sla.variables
    full = diagnostics.residuals(sla, analysis["sla"])
    assert full.residual.dims == ("obs",)
    assert "hx_analysis" not in full
    with pytest.raises(ValueError, match="'salt'"):
        diagnostics.of_variable(found, "salt")


# ---- on the grid --------------------------------------------------------------------------------------------------------


def test_spread_reduction_and_its_mean():
    rng = np.random.default_rng(0)
    coords = {"lat": [0.0, 30.0, 60.0], "lon": np.arange(0.0, 360, 60)}
    before = xr.Dataset({"sla": (("member", "lat", "lon"), rng.normal(size=(6, 3, 6)))}, coords)
    before["sla"][:, 2, 0] = np.nan
    before["sla"][:, 1, 1] = 4.0
    factor = np.linspace(0.2, 1.0, 18).reshape(3, 6)
    mean = before.mean("member")
    after = mean + (before - mean) * xr.DataArray(factor, dims=("lat", "lon"))
    found = diagnostics.spread_reduction(before, after)
    there = np.ones((3, 6), bool)
    there[2, 0] = there[1, 1] = False
    np.testing.assert_allclose(found.sla.values[there], factor[there])
    assert np.isnan(found.sla.values[~there]).all()
    area = Grid.from_dataset(before).area().values
    assert float(found.sla_mean) == pytest.approx((factor * area)[there].sum() / area[there].sum())
    lazy = diagnostics.spread_reduction(before.chunk(lat=1), after.chunk(lat=1))
    assert lazy.sla.chunks is not None
    xr.testing.assert_allclose(lazy.compute(), found)
    shuffled = after.isel(lat=[2, 0, 1])
    np.testing.assert_allclose(diagnostics.spread_reduction(before, shuffled).sla, found.sla)


def test_spread_reduction_refuses_what_is_no_pair_of_ensembles():
    ensemble, _ = problem(np.random.default_rng(2))
    with pytest.raises(ValueError, match="dimension 'member'"):
        diagnostics.spread_reduction(ensemble.mean("member"), ensemble)
    with pytest.raises(ValueError, match="no ensemble field in common"):
        diagnostics.spread_reduction(ensemble["sla"], ensemble["sst"])
    with pytest.raises(ValueError, match="sizes"):
        diagnostics.spread_reduction(ensemble, ensemble.isel(lat=slice(3)))


# ---- refusals -----------------------------------------------------------------------------------------------------------

FOUND = columns(innovation=np.ones(4))


@pytest.mark.parametrize(("call", "words"), [
    (lambda: diagnostics.desroziers(FOUND), r"'residual'.*call diagnostics\.residuals"),
    (lambda: diagnostics.rank_histogram(FOUND, rng=0), "'hx'.*ensemble methods return it"),
    (lambda: diagnostics.crps(FOUND), "'hx'"),
    (lambda: diagnostics.reduced_chi2(FOUND), "'hx'"),
    (lambda: diagnostics.spread_skill(FOUND), "'spread'.*assign"),
    (lambda: diagnostics.innovations(FOUND, by="ship"), "'ship' is no column"),
    (lambda: diagnostics.innovations(FOUND, by={"value": [1, 0]}), "increase"),
    (lambda: diagnostics.innovations(FOUND.assign(kind=("obs", list("aabb"))), by={"kind": [0, 1]}), "no bins"),
    (lambda: diagnostics.innovations(FOUND.assign(status=FOUND.status + 1)), "none of the 4 observations"),
    (lambda: diagnostics.innovations(FOUND.drop_vars("innovation")), "'innovation'"),
    (lambda: diagnostics.innovations((FOUND, FOUND)), "not a tuple"),
    (lambda: diagnostics.innovations(xr.Dataset()), "second of what assimilate returns"),
    (lambda: diagnostics.innovations(FOUND.assign(innovation=FOUND.innovation * np.nan)), "missing at 4 of 4"),
    (lambda: diagnostics.desroziers(FOUND.assign(residual=FOUND.innovation), block="value"), "bootstrap=1000"),
    (lambda: diagnostics.desroziers(FOUND.assign(residual=FOUND.innovation), bootstrap=10), "rng="),
    (lambda: diagnostics.desroziers(FOUND.assign(residual=FOUND.innovation), bootstrap=10, rng=0, block="value"), "one value"),
    (lambda: diagnostics.desroziers(FOUND.assign(residual=FOUND.innovation), bootstrap=10, rng=0, level=90), "level=90"),
    (lambda: diagnostics.rank_histogram(xr.DataArray(np.ones((2, 2)), dims=("obs", "member")), rng=0), "values="),
    (lambda: diagnostics.rank_histogram(FOUND.assign(hx=(("obs", "member"), np.ones((4, 2)))), rng=None), "rng="),
    (lambda: diagnostics.crps(FOUND, values=[1.0]), "leave values= and error_std= out"),
    (lambda: diagnostics.join([]), "no diagnostics at all"),
])  # fmt: skip
def test_refusals_name_what_is_wrong_and_the_remedy(call, words):
    with pytest.raises(ValueError, match=words):
        call()


def test_join_refuses_ensembles_of_different_size_and_residuals_other_units():
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match=r"\[5, 6\] members"):
        diagnostics.join([calibrated(rng, 3, 5), calibrated(rng, 3, 6)])
    ensemble, obs = problem(rng)
    mine = obs.isel(obs=(obs["variable"] == "sst").values)
    mine["value"].attrs["units"] = "degC"
    analysis, found = ETKF().assimilate(ensemble["sst"], mine)
    assert diagnostics.residuals(found, analysis).residual.attrs["units"] == "degC"
    analysis.attrs["units"] = "K"
    with pytest.raises(ObservationError, match="convert one of them"):
        diagnostics.residuals(found, analysis)
