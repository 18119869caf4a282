"""ThreeDVar and EnsembleOI against the textbook's dense algebra, analytic correlations, and a published table."""

import numpy as np
import pytest
import scipy.special
import xarray as xr

from oceankit.assimilation import (
    EnsembleOI,
    GaspariCohn,
    OptimalInterpolation,
    ThreeDVar,
    WeightGrid,
    three_d_var,
    twin,
)
from oceankit.assimilation._diffusion import Diffusion
from oceankit.fields import Grid
from oceankit.numerics import covariance
from oceankit.numerics.sphere import EARTH_RADIUS, unit_vectors
from oceankit.observations import table
from oceankit.observations.operators import Interp


@pytest.fixture(scope="module")
def sea():
    """A background of three levels with an island and a sloping floor, and observations of it."""
    rng = np.random.default_rng(0)
    lat, lon = np.arange(30.0, 45), np.arange(118.0, 134)
    field = xr.DataArray(
        rng.normal(size=(3, lat.size, lon.size)),
        dims=("depth", "lat", "lon"),
        coords={"lat": lat, "lon": lon, "depth": ("depth", [0.0, 20, 60], {"units": "m", "positive": "down"})},
        name="temp",
        attrs={"units": "degC"},
    )
    field[:, 4:9, 6:8] = np.nan
    field[2, :4] = np.nan
    n = 60
    observations = table(
        value=rng.normal(size=n),
        error_std=rng.uniform(0.3, 0.6, n),
        lon=rng.uniform(119, 132, n),
        lat=rng.uniform(31, 43, n),
        depth=rng.uniform(0, 60, n),
    )
    std = xr.DataArray(rng.uniform(0.5, 1, (lat.size, lon.size)), dims=("lat", "lon"), coords={"lat": lat, "lon": lon})
    return field, observations, std


def dense(var, background):
    b = var.covariance(background)
    return b @ np.eye(b.shape[0])


def operator(background, observations):
    """H as a matrix between valid cells, column by column through the operator that users have."""
    cells = np.flatnonzero(np.isfinite(background.values))
    ones = np.full((cells.size, background.size), np.nan)
    ones[:, cells] = np.eye(cells.size)
    fields = background.expand_dims(cell=cells.size).copy(data=ones.reshape(cells.size, *background.shape))
    return Interp()(fields, observations).transpose("obs", "cell").values


def test_it_is_optimal_interpolation_with_the_same_covariance(sea):
    background, observations, std = sea
    var = ThreeDVar(background_error_std=std, length_scale=250.0, depth_scale=30.0)
    analysis, said = var.assimilate(background, observations)
    used = said.status.values == 0
    b, h = dense(var, background), operator(background, observations)[used]
    d, r = said.innovation.values[used], np.diag(observations.error_std.values[used] ** 2)
    wet = np.isfinite(background.values)
    np.testing.assert_allclose(d, observations.value.values[used] - h @ background.values[wet], atol=1e-12)
    s = h @ b @ h.T + r
    expected = b @ h.T @ np.linalg.solve(s, d)
    assert 40 < used.sum() < 60
    np.testing.assert_allclose(said.increments.values[wet], expected, atol=1e-6)
    np.testing.assert_allclose((analysis - background).values[wet], expected, atol=1e-6)
    np.testing.assert_allclose(said.residual.values[used], d - h @ expected, atol=1e-6)
    assert float(said.reduced_chi2) == pytest.approx(d @ np.linalg.solve(s, d) / used.sum(), rel=1e-8)
    assert np.isnan(analysis.values[~wet]).all()
    np.testing.assert_allclose(np.diag(b), np.tile(std.values.ravel(), 3)[wet.ravel()] ** 2, rtol=1e-10)
    assert np.linalg.eigvalsh(b)[0] > 0


@pytest.mark.parametrize("shape", ["gaussian", "gaspari_cohn", "matern"])
def test_with_a_given_covariance_it_is_the_optimal_interpolation_of_the_library(shape):
    rng = np.random.default_rng(1)
    lat, lon = np.arange(30.0, 38), np.arange(120.0, 130)
    background = xr.DataArray(np.zeros((8, 10)), dims=("lat", "lon"), coords={"lat": lat, "lon": lon}, name="sla")
    at = unit_vectors(*(a.ravel() for a in np.meshgrid(lon, lat))) * EARTH_RADIUS / 1e3
    chord = np.linalg.norm(at[:, None] - at, axis=-1)
    distance = 2 * EARTH_RADIUS / 1e3 * np.arcsin(np.minimum(1, chord * 1e3 / (2 * EARTH_RADIUS)))
    b = 0.7**2 * covariance.evaluate(shape, distance, 150.0)
    j, i = rng.integers(0, 8, 30), rng.integers(0, 10, 30)
    observations = table(value=rng.normal(size=30), error_std=0.3, lon=lon[i], lat=lat[j])
    oi = OptimalInterpolation(background_error_std=0.7, length_scale=150.0, covariance=shape)
    expected, theirs = oi.assimilate(background, observations)
    found, ours = ThreeDVar(background_covariance=b).assimilate(background, observations)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert float(ours.reduced_chi2) == pytest.approx(float(theirs.reduced_chi2), rel=1e-8)
    np.testing.assert_allclose(ours.spread, theirs.spread, rtol=1e-10)


def test_adjoint_and_gradient(sea):
    background, observations, _ = sea
    grid, rng = Grid.from_dataset(background), np.random.default_rng(2)
    valid = np.isfinite(background.values).reshape(3, -1)
    diffusion = Diffusion(
        grid, valid, np.full(grid.size, 250.0), depths=background.depth.values, depth_length=30.0, samples=10
    )
    v, x = rng.normal(size=diffusion.size), rng.normal(size=diffusion.size)
    assert diffusion.root(v) @ x == pytest.approx(v @ diffusion.root_transposed(x), rel=1e-12)
    h = operator(background, observations)
    used = np.isfinite(h).all(axis=1)
    h, d = h[used], rng.normal(size=used.sum())
    error = observations.error_std.values[used]

    def cost(v):
        return 0.5 * v @ v + 0.5 * (((d - h @ diffusion.root(v)) / error) ** 2).sum()

    gradient = v - diffusion.root_transposed(h.T @ ((d - h @ diffusion.root(v)) / error**2))
    along = rng.normal(size=v.size)
    slope = (cost(v + 1e-5 * along) - cost(v - 1e-5 * along)) / 2e-5
    assert slope == pytest.approx(gradient @ along, rel=1e-7)


def test_the_cost_falls_to_what_the_fields_say(sea):
    background, observations, std = sea
    var = ThreeDVar(background_error_std=std, length_scale=250.0, depth_scale=30.0)
    _, said = var.assimilate(background, observations)
    assert (np.diff(said.cost) <= 0).all()
    assert said.gradient[-1] <= 1e-8 * said.gradient[0]
    used, wet = said.status.values == 0, np.isfinite(background.values)
    x = said.increments.values[wet]
    of_background = 0.5 * x @ np.linalg.solve(dense(var, background), x)
    of_observations = 0.5 * ((said.residual / said.error_std) ** 2)[used].sum()
    assert float(said.cost[-1]) == pytest.approx(of_background + float(of_observations), rel=1e-5)


def test_far_from_land_the_correlation_is_matern_of_the_length_asked_for():
    n, length, steps = 81, 6.0, 10
    axis = np.arange(float(n))
    grid = Grid.from_dataset(xr.Dataset(coords={"y": axis, "x": axis}))
    diffusion = Diffusion(grid, np.ones((1, n * n), bool), np.full(n * n, length), steps=steps, samples=1)
    one = np.zeros(n * n)
    one[n // 2 * n + n // 2] = 1.0
    diffusion.scale = np.ones(n * n)
    found = diffusion.root(diffusion.root_transposed(one)).reshape(n, n)[n // 2, n // 2 :]
    nu = steps - 1
    r = np.arange(1.0, 25) / (length / np.sqrt(2 * steps - 4))
    expected = 2 ** (1 - nu) / scipy.special.gamma(nu) * r**nu * scipy.special.kv(nu, r)
    # Cells of a sixth of the length: second order in that.
    np.testing.assert_allclose(found[1:25] / found[0], expected, atol=0.01)


def test_what_is_learnt_does_not_cross_land_and_goes_round_the_globe():
    lat, lon = np.arange(-38.0, 40, 4), np.arange(0.0, 360, 4)
    background = xr.DataArray(np.zeros((20, 90)), dims=("lat", "lon"), coords={"lat": lat, "lon": lon}, name="sst")
    background[:, 10] = np.nan
    background[:, 60] = np.nan
    var = ThreeDVar(background_error_std=1.0, length_scale=600.0)
    near = table(value=[1.0], error_std=0.1, lon=[36.0], lat=[2.0])
    analysis, _ = var.assimilate(background, near)
    assert float(analysis.sel(lat=2, lon=36)) > 0.9
    # From 44 to 236 degrees lies behind both walls; 36 is next to 0 and 356.
    assert float(abs(analysis.sel(lon=slice(44, 236))).max()) == 0.0
    seam = table(value=[1.0], error_std=0.1, lon=[358.0], lat=[2.0])
    analysis, _ = var.assimilate(background, seam)
    across = analysis.sel(lat=2)
    assert float(across.sel(lon=0)) > 0.9
    assert float(across.sel(lon=0)) == pytest.approx(float(across.sel(lon=356)), rel=1e-3)
    assert float(across.sel(lon=4)) == pytest.approx(float(across.sel(lon=352)), rel=1e-2)


def test_the_estimated_diagonal_is_near_the_exact_one():
    grid = Grid.regular(lon=(120, 130, 0.5), lat=(30, 40, 0.5))
    valid = np.ones((1, grid.size), bool)
    length = np.full(grid.size, 150.0)
    exact = Diffusion(grid, valid, length)
    estimated = Diffusion(grid, valid, length, exact_up_to=0, samples=2000)
    ratio = (estimated.scale / exact.scale) ** 2
    assert abs(ratio.mean() - 1) < 0.01
    # sqrt(2 / 2000) is 0.032.
    assert 0.02 < ratio.std() < 0.045


def test_times_are_corrected_alike_by_observations_at_their_own(sea):
    background, observations, _ = sea
    times = np.array(["2020-01-01", "2020-01-03"], "datetime64[ns]")
    both = xr.concat([background, background + 1.0], xr.DataArray(times, dims="time", name="time"))
    at = observations.assign_coords(time=("obs", np.full(60, np.datetime64("2020-01-02", "ns"))))
    var = ThreeDVar(background_error_std=1.0, length_scale=250.0, depth_scale=30.0)
    analysis, said = var.assimilate(both, at)
    half, alone = var.assimilate(background + 0.5, observations)
    np.testing.assert_allclose(said.increments, alone.increments, atol=1e-6)
    np.testing.assert_allclose(analysis[1] - both[1], alone.increments, atol=1e-6)
    assert half.dims == background.dims


def test_the_cost_is_half_the_observations_where_statistics_are_right():
    rng = np.random.default_rng(3)
    axis = np.arange(12.0)
    background = xr.DataArray(np.zeros((12, 12)), dims=("y", "x"), coords={"y": axis, "x": axis}, name="sla")
    var = ThreeDVar(background_error_std=1.0, length_scale=3.0)
    root = np.linalg.cholesky(dense(var, background) + 1e-10 * np.eye(144))
    found = []
    for _ in range(40):
        truth = background.copy(data=(root @ rng.normal(size=144)).reshape(12, 12))
        x, y = rng.uniform(0, 11, (2, 50))
        exact = Interp()(truth, table(value=np.zeros(50), error_std=1.0, x=x, y=y)).values
        observations = table(value=exact + 0.5 * rng.normal(size=50), error_std=0.5, x=x, y=y)
        found.append(float(var.assimilate(background, observations)[1].reduced_chi2))
    # A mean of 2000 squares: its standard deviation is 0.03.
    assert np.mean(found) == pytest.approx(1.0, abs=0.1)


@pytest.mark.extra
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_lorenz_96_as_published(seed):
    b = 0.02 * twin.climatology("lorenz96", seed=10 + seed, samples=5000).covariance
    found = twin.run("lorenz96", ThreeDVar(background_covariance=b), cycles=10_000, seed=seed, members=1)
    assert float(found.rmse_a.mean()) == pytest.approx(0.41, abs=0.01)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "needs either"),
        ({"background_error_std": 1.0, "length_scale": 1.0, "background_covariance": np.eye(2)}, "not both"),
        ({"background_error_std": 1.0, "length_scale": -5.0}, "length_scale=-5"),
        ({"background_error_std": 1.0, "length_scale": 5.0, "steps": 5}, "steps=5"),
        ({"background_covariance": np.diag([1.0, -1.0])}, "not positive definite"),
        ({"background_covariance": np.arange(4.0).reshape(2, 2)}, "not symmetric"),
        ({"background_covariance": np.ones(3)}, "square"),
    ],
)
def test_refusals(options, words):
    with pytest.raises(ValueError, match=words):
        ThreeDVar(**options)


def test_the_covariance_is_kept_while_grid_and_coast_stay(sea, monkeypatch):
    background, observations, std = sea
    made = []
    real = three_d_var.Diffusion
    monkeypatch.setattr(three_d_var, "Diffusion", lambda *a, **k: made.append(1) or real(*a, **k))
    var = ThreeDVar(background_error_std=std, length_scale=250.0, depth_scale=30.0)
    first, _ = var.assimilate(background, observations)
    again, _ = var.assimilate(background, observations)
    xr.testing.assert_identical(first, again)
    var.assimilate(background + 1.0, observations)
    assert len(made) == 1
    drained = background.copy(deep=True)
    drained[:, 0, 0] = np.nan
    var.assimilate(drained, observations)
    assert len(made) == 2


def test_refuses_what_it_cannot_do(sea):
    background, observations, std = sea
    with pytest.raises(ValueError, match="depth_scale"):
        ThreeDVar(background_error_std=1.0, length_scale=100.0).assimilate(background, observations)
    var = ThreeDVar(background_error_std=1.0, length_scale=100.0, depth_scale=30.0)
    with pytest.raises(ValueError, match="member"):
        var.assimilate(background.expand_dims(member=2), observations)
    with pytest.raises(ValueError, match="minimum is not reached"):
        ThreeDVar(background_error_std=1.0, length_scale=100.0, depth_scale=30.0, max_iterations=2).assimilate(
            background, observations
        )
    with pytest.raises(ValueError, match="missing at"):
        ThreeDVar(background_error_std=std.where(std.lat > 32), length_scale=100.0, depth_scale=30.0).assimilate(
            background, observations
        )


# ---- a static ensemble ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def years():
    rng = np.random.default_rng(4)
    lat, lon = np.arange(30.0, 40), np.arange(120.0, 132)
    smooth = rng.normal(size=(20, 10, 12)).cumsum(1).cumsum(2) / 8
    sla = xr.DataArray(smooth, dims=("member", "lat", "lon"), coords={"lat": lat, "lon": lon})
    temp = (3 * sla + 0.2 * rng.normal(size=sla.shape)).where(sla.lat > 31)
    background = xr.Dataset({"sla": sla.mean("member") * 0 + 0.3, "temp": temp.mean("member") * 0 + 10.0})
    n = 25
    observations = table(
        value=rng.normal(size=n),
        error_std=rng.uniform(0.2, 0.5, n),
        lon=rng.uniform(121, 130, n),
        lat=rng.uniform(33, 38, n),
        variable="sla",
    )
    return xr.Dataset({"sla": sla, "temp": temp}), background, observations


@pytest.mark.extra
def test_a_static_ensemble_is_the_textbook_covariance(years):
    ensemble, background, observations = years
    analysis, said = EnsembleOI(ensemble, scale=0.6).assimilate(background, observations)
    anomalies = np.sqrt(0.6 / 19) * (ensemble - ensemble.mean("member"))
    h = operator(background.sla, observations)
    of = {n: anomalies[n].values.reshape(20, -1).T for n in ensemble}
    seen = h @ of["sla"]
    gain = seen.T @ np.linalg.inv(seen @ seen.T + np.diag(observations.error_std.values**2))
    d = observations.value.values - h @ background.sla.values.ravel()
    for name in ensemble:
        expected = background[name].values.ravel() + of[name] @ (gain @ d)
        np.testing.assert_allclose(analysis[name].values.ravel(), expected, atol=1e-10)
    np.testing.assert_allclose(said.innovation, d, atol=1e-12)


def test_a_static_ensemble_localizes_like_the_others_and_stays_within_bounds(years):
    ensemble, background, observations = years
    options = {"localization": GaspariCohn(400.0), "bounds": {"sla": (0.0, 0.5)}}
    analysis, said = EnsembleOI(ensemble, **options).assimilate(background, observations)
    assert float(analysis.sla.min()) == 0.0
    assert float(analysis.sla.max()) == 0.5
    assert int(said.n_bounded) > 10
    lazy, again = EnsembleOI(ensemble.chunk(lat=5, lon=4), **options).assimilate(background, observations)
    assert lazy.sla.chunks is not None
    xr.testing.assert_identical(lazy.compute(), analysis)
    assert int(again.n_bounded) == int(said.n_bounded)
    coarse, _ = EnsembleOI(ensemble, localization=GaspariCohn(900.0), weight_grid=WeightGrid(2)).assimilate(
        background, observations
    )
    exact, _ = EnsembleOI(ensemble, localization=GaspariCohn(900.0)).assimilate(background, observations)
    assert float(abs(coarse - exact).sla.max()) < 0.2 * float(abs(exact - background).sla.max())


def test_a_static_ensemble_that_does_not_fit_is_refused(years):
    ensemble, background, observations = years
    with pytest.raises(ValueError, match="member"):
        EnsembleOI(background)
    with pytest.raises(ValueError, match="one member"):
        EnsembleOI(ensemble.isel(member=[0]))
    with pytest.raises(ValueError, match="regrid"):
        EnsembleOI(ensemble.isel(lat=slice(5))).assimilate(background, observations)
    with pytest.raises(ValueError, match="regrid"):
        EnsembleOI(ensemble.assign_coords(lat=ensemble.lat + 1)).assimilate(background, observations)
    with pytest.raises(ValueError, match="corrects one field"):
        EnsembleOI(ensemble).assimilate(ensemble, observations)
    with pytest.raises(ValueError, match="nothing in common"):
        EnsembleOI(ensemble.rename(sla="a", temp="b")).assimilate(background, observations)
