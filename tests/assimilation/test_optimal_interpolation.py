"""Optimal interpolation: the dense textbook solution, true error statistics, and one answer on every road."""

import dask
import numpy as np
import pytest
import xarray as xr
from analytic import on_grid, rotated_grid, vortex

from oceankit.assimilation import OptimalInterpolation, _oi_kernels
from oceankit.fields import Grid
from oceankit.numerics import covariance, threads
from oceankit.numerics.sphere import great_circle_distance
from oceankit.observations import ObservationError, operators, table

LENGTH = 150.0


@pytest.fixture
def case():
    rng = np.random.default_rng(0)
    lat, lon = np.arange(30.0, 42, 1), np.arange(117.0, 129, 1)
    background = xr.DataArray(
        rng.normal(15, 1, (lat.size, lon.size)), dims=("lat", "lon"), coords={"lat": lat, "lon": lon}, name="sst",
        attrs={"units": "degC", "long_name": "sea surface temperature"},
    )  # fmt: skip
    n = 45
    obs = table(
        value=rng.normal(15, 1, n),
        error_std=rng.uniform(0.2, 0.6, n),
        lon=rng.uniform(117, 128, n),
        lat=rng.uniform(30, 41, n),
    )
    return background, obs


def textbook(background, obs, function, std=0.8, std_obs=0.8):
    """xb + C (S + R)^-1 (y - H xb) and its error variance, with explicit inverses."""
    lon, lat = np.meshgrid(background.lon.values, background.lat.values)

    def correlation(a, b, c, d):
        distance = great_circle_distance(a[:, None], b[:, None], c[None], d[None])
        return covariance.evaluate(function, distance, LENGTH)

    innovation = obs["value"].values - operators.Interp()(background, obs).values
    between = correlation(obs.lon.values, obs.lat.values, obs.lon.values, obs.lat.values) * std_obs**2
    total = np.linalg.inv(between + np.diag(obs["error_std"].values ** 2))
    across = correlation(lon.ravel(), lat.ravel(), obs.lon.values, obs.lat.values) * std_obs * np.ravel(std)[:, None]
    analysis = background.values + (across @ total @ innovation).reshape(background.shape)
    variance = np.broadcast_to(std, lon.shape) ** 2 - np.einsum("ij,jk,ik->i", across, total, across).reshape(lon.shape)
    residual = innovation - between @ total @ innovation
    return analysis, variance, innovation, residual, innovation @ total @ innovation / innovation.size


@pytest.mark.parametrize("function", covariance.FUNCTIONS)
@pytest.mark.parametrize("nearest", [None, 45, 1000])
def test_the_textbook_solution(case, function, nearest):
    background, obs = case
    oi = OptimalInterpolation(background_error_std=0.8, length_scale=LENGTH, covariance=function, n_nearest=nearest)
    analysis, diagnostics = oi.assimilate(background, obs)
    expected, variance, innovation, residual, chi2 = textbook(background, obs, function)
    np.testing.assert_allclose(analysis.values, expected, atol=1e-10)
    np.testing.assert_allclose(diagnostics["analysis_error_variance"].values, variance, atol=1e-10)
    np.testing.assert_allclose(diagnostics["innovation"].values, innovation, atol=1e-12)
    np.testing.assert_allclose(diagnostics["residual"].values, residual, atol=1e-10)
    np.testing.assert_allclose(diagnostics["increments"].values, expected - background.values, atol=1e-10)
    if nearest is None:
        assert float(diagnostics["reduced_chi2"]) == pytest.approx(chi2, rel=1e-10)
    else:
        assert "reduced_chi2" not in diagnostics
    assert int(diagnostics["n_used"]) == 45
    assert float(diagnostics["innovation_rms"]) == pytest.approx(np.sqrt((innovation**2).mean()))
    assert analysis.attrs == background.attrs
    assert diagnostics["analysis_error_variance"].attrs["units"] == "(degC)2"


def test_background_errors_that_vary(case):
    background, obs = case
    std = 0.5 + 0.05 * (background.lat - 30) + 0.02 * (background.lon - 117)
    oi = OptimalInterpolation(background_error_std=std, length_scale=LENGTH, covariance="gaussian")
    analysis, diagnostics = oi.assimilate(background, obs)
    at_obs = 0.5 + 0.05 * (obs.lat.values - 30) + 0.02 * (obs.lon.values - 117)
    lon, lat = np.meshgrid(background.lon.values, background.lat.values)
    across = (
        covariance.evaluate(
            "gaussian",
            great_circle_distance(lon.ravel()[:, None], lat.ravel()[:, None], obs.lon.values, obs.lat.values),
            LENGTH,
        )
        * std.transpose("lat", "lon").values.ravel()[:, None]
        * at_obs
    )
    between = (
        covariance.evaluate(
            "gaussian",
            great_circle_distance(obs.lon.values[:, None], obs.lat.values[:, None], obs.lon.values, obs.lat.values),
            LENGTH,
        )
        * at_obs[:, None]
        * at_obs
    )
    gain = across @ np.linalg.inv(between + np.diag(obs.error_std.values**2))
    np.testing.assert_allclose(
        analysis.values.ravel(), background.values.ravel() + gain @ diagnostics["innovation"].values, atol=1e-10
    )


def test_fewer_neighbours_is_the_textbook_solution_of_those(case):
    background, obs = case
    oi = OptimalInterpolation(background_error_std=0.8, length_scale=LENGTH, covariance="matern", n_nearest=6)
    analysis, _ = oi.assimilate(background, obs)
    for j, i in ((0, 0), (5, 7), (11, 3)):
        lat, lon = float(background.lat[j]), float(background.lon[i])
        near = np.argsort(great_circle_distance(lon, lat, obs.lon.values, obs.lat.values))[:6]
        local = textbook(background, obs.isel(obs=near), "matern")[0]
        assert float(analysis[j, i]) == pytest.approx(local[j, i], abs=1e-10)


def test_the_error_variance_is_the_true_one():
    """Draw truths and observations from the stated statistics: the spread of analysis minus truth is what is said."""
    rng = np.random.default_rng(4)
    grid = Grid.regular(lon=(0, 6, 1), lat=(0, 6, 1))
    lon, lat = np.meshgrid(grid.lon.values, grid.lat.values)
    where = np.array([[1.4, 2.3], [3.7, 3.2], [4.1, 0.9], [2.6, 5.2]])
    points = np.concatenate([np.column_stack([lon.ravel(), lat.ravel()]), where])
    matrix = (
        covariance.evaluate(
            "matern",
            great_circle_distance(points[:, None, 0], points[:, None, 1], points[None, :, 0], points[None, :, 1]),
            250.0,
        )
        * 0.7**2
    )
    draws = rng.multivariate_normal(np.zeros(len(points)), matrix, size=4000, method="cholesky")
    error = np.empty((4000, grid.size))
    background = xr.DataArray(np.zeros(grid.shape), dims=grid.dims, coords=grid.coords())
    oi = OptimalInterpolation(background_error_std=0.7, length_scale=250.0, covariance="matern")
    obs = table(value=np.zeros(4), error_std=[0.2, 0.4, 0.1, 0.3], lon=where[:, 0], lat=where[:, 1])
    # Linear: one analysis for each unit observation gives the gain.
    gain = np.stack(
        [oi.assimilate(background, obs.assign(value=("obs", np.eye(4)[k])))[0].values.ravel() for k in range(4)], axis=1
    )
    noise = rng.normal(size=(4000, 4)) * obs["error_std"].values
    error = (draws[:, -4:] + noise) @ gain.T - draws[:, :-4]
    variance = oi.assimilate(background, obs)[1]["analysis_error_variance"].values.ravel()
    np.testing.assert_allclose(error.var(axis=0), variance, rtol=0.12)
    assert (error.var(axis=0) / variance).mean() == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("nearest", [None, 12])
@pytest.mark.parametrize("chunks", [{"lat": 3}, {"lat": 5, "lon": 4}, {"lon": 1}])
def test_chunks_and_threads_change_nothing(case, nearest, chunks):
    background, obs = case
    oi = OptimalInterpolation(background_error_std=0.8, length_scale=LENGTH, n_nearest=nearest)
    with threads.limit(1):
        analysis, diagnostics = oi.assimilate(background, obs)
    with threads.limit(2):
        lazy, lazier = oi.assimilate(background.chunk(chunks), obs)
        assert dask.is_dask_collection(lazy)
        assert dask.is_dask_collection(lazier["analysis_error_variance"])
        np.testing.assert_allclose(lazy.values, analysis.values, rtol=1e-12)
        np.testing.assert_allclose(
            lazier["analysis_error_variance"].values, diagnostics["analysis_error_variance"].values, atol=1e-12
        )
    if nearest:
        np.testing.assert_array_equal(lazy.values, analysis.values)


def test_on_a_tripolar_like_grid_across_the_seam_and_pole():
    """The same ocean described on two grids: the same analysis at the same places."""
    tilted = rotated_grid(12, 16, pole=(70.0, 170.0))
    background = on_grid(tilted, vortex, "ssh")
    rng = np.random.default_rng(2)
    pick = rng.choice(tilted.size, 30, replace=False)
    lon, lat = tilted.lon.values.ravel()[pick], tilted.lat.values.ravel()[pick]
    obs = table(value=rng.normal(2, 0.1, 30), error_std=0.1, lon=(lon + 360) % 360, lat=lat)
    oi = OptimalInterpolation(background_error_std=0.3, length_scale=400.0)
    analysis, diagnostics = oi.assimilate(background, obs)
    assert diagnostics["obs_lon"].dims == ("obs",)
    assert diagnostics["lon"].dims == ("y", "x")
    shifted = background.assign_coords(lon=(background.lon + 360) % 360)
    np.testing.assert_allclose(oi.assimilate(shifted, obs)[0].values, analysis.values, rtol=1e-9)


def test_depth_and_time():
    """Correlations multiply; an observation far away in depth or time changes nothing."""
    time = np.array(["2015-01-01", "2015-01-11"], "datetime64[ns]")
    background = xr.DataArray(
        np.zeros((2, 3, 2, 2)), dims=("time", "depth", "lat", "lon"), name="t",
        coords={
            "time": time, "depth": ("depth", [0.0, 50.0, 1000.0], {"units": "m", "axis": "Z"}),
            "lat": [0.0, 1.0], "lon": [0.0, 1.0],
        },
    )  # fmt: skip
    obs = table(value=[1.0], error_std=1.0, lon=[0.0], lat=[0.0], depth=[0.0], time=["2015-01-01"])
    oi = OptimalInterpolation(
        background_error_std=1.0, length_scale=100.0, depth_scale=50.0, time_scale="10D", covariance="gaussian"
    )
    analysis, diagnostics = oi.assimilate(background, obs)
    column = analysis.isel(lat=0, lon=0).values
    np.testing.assert_allclose(column[0, 0], 0.5)
    np.testing.assert_allclose(column[0, 1], 0.5 * np.exp(-0.5))
    np.testing.assert_allclose(column[1, 1], 0.5 * np.exp(-1.0))
    assert abs(column[:, 2]).max() < 1e-80
    np.testing.assert_allclose(
        diagnostics["analysis_error_variance"].isel(lat=0, lon=0).values[1, 1], 1 - 0.5 * np.exp(-2.0)
    )
    steady = OptimalInterpolation(background_error_std=1.0, length_scale=100.0, depth_scale=50.0)
    both = steady.assimilate(background, obs)[0].isel(lat=0, lon=0, depth=0).values
    np.testing.assert_allclose(both, 0.5)
    with pytest.raises(ValueError, match=r"3 value\(s\) of 'depth'.*depth_scale="):
        OptimalInterpolation(background_error_std=1.0, length_scale=100.0).assimilate(background, obs)


def test_on_a_plane():
    background = xr.DataArray(np.zeros((4, 5)), dims=("y", "x"), coords={"y": np.arange(4.0), "x": np.arange(5.0)})
    obs = table(value=[2.0], error_std=1.0, x=[1.0], y=[2.0])
    oi = OptimalInterpolation(background_error_std=1.0, length_scale=1.5, covariance="gaussian")
    analysis, _ = oi.assimilate(background, obs)
    distance = np.hypot(*(np.meshgrid(np.arange(5.0) - 1, np.arange(4.0) - 2)))
    np.testing.assert_allclose(analysis.values, np.exp(-0.5 * (distance / 1.5) ** 2), atol=1e-14)
    with pytest.raises(ObservationError, match="both have lon and lat"):
        oi.assimilate(background, table(value=[2.0], error_std=1.0, lon=[1.0], lat=[2.0]))


def test_land_stays_land_and_float32_stays_float32(case):
    background, obs = case
    background = background.where(background.lon > 119).astype(np.float32)
    analysis, diagnostics = OptimalInterpolation(background_error_std=0.8, length_scale=LENGTH).assimilate(
        background, obs
    )
    assert analysis.dtype == np.float32
    assert diagnostics["analysis_error_variance"].dtype == np.float64
    np.testing.assert_array_equal(np.isnan(analysis.values), np.isnan(background.values))
    outside = int((obs.lon.values < 119.5).sum())
    assert int(diagnostics["n_outside"]) >= outside - 2 > 0
    assert int(diagnostics["n_used"]) + int(diagnostics["n_outside"]) == 45
    np.testing.assert_array_equal(diagnostics["status"].values == 1, np.isnan(diagnostics["innovation"].values))


def test_flags_are_obeyed_and_counted(case):
    background, obs = case
    flags = np.full(45, 1)
    flags[:5] = [3, 4, 9, 4, 2]
    flagged = obs.assign(flag=("obs", flags))
    oi = OptimalInterpolation(background_error_std=0.8, length_scale=LENGTH)
    analysis, diagnostics = oi.assimilate(background, flagged)
    expected, _ = oi.assimilate(background, obs.isel(obs=slice(4, None)))
    np.testing.assert_array_equal(analysis.values, expected.values)
    assert int(diagnostics["n_flagged"]) == 4
    assert diagnostics.sizes["obs"] == 45


def test_several_fields(case):
    background, obs = case
    ds = xr.Dataset(
        {"sst": background, "sss": (background + 20).assign_attrs(standard_name="sea_surface_salinity", units="1")}
    )
    kinds = np.where(np.arange(45) % 2, "sea_surface_salinity", "sst")
    mixed = obs.assign(variable=("obs", kinds), value=obs["value"] + 20 * (np.arange(45) % 2))
    oi = OptimalInterpolation(background_error_std={"sst": 0.8, "sss": 0.3}, length_scale=LENGTH)
    analysis, diagnostics = oi.assimilate(ds, mixed)
    alone = OptimalInterpolation(background_error_std=0.3, length_scale=LENGTH).assimilate(
        ds["sss"], mixed.isel(obs=slice(1, None, 2))
    )[0]
    np.testing.assert_array_equal(analysis["sss"].values, alone.values)
    assert diagnostics["obs_lon_sst"].dims == ("obs_sst",)
    assert {"increments_sst", "analysis_error_variance_sss", "innovation_sst", "n_used_sss"} <= set(
        diagnostics.variables
    )
    with pytest.raises(ObservationError, match="which it belongs to"):
        oi.assimilate(ds, obs)
    with pytest.raises(ObservationError, match=r"\['oxygen'\] have no field"):
        oi.assimilate(ds, obs.assign(variable=("obs", np.full(45, "oxygen"))))


def test_hx_by_values_and_by_function(case):
    background, obs = case
    oi = OptimalInterpolation(background_error_std=0.8, length_scale=LENGTH)
    expected, _ = oi.assimilate(background, obs)
    values = operators.Interp()(background, obs)
    np.testing.assert_array_equal(oi.assimilate(background, obs, hx=values)[0].values, expected.values)
    np.testing.assert_array_equal(oi.assimilate(background, obs, hx=operators.Interp())[0].values, expected.values)
    with pytest.raises(ValueError, match=r"hx has shape \(3,\)"):
        oi.assimilate(background, obs, hx=np.zeros(3))


def test_kernels_agree_with_plain_python(case):
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(6, 4)), rng.normal(size=(5, 4))
    fast, slow = np.empty((6, 5)), np.empty((6, 5))
    _oi_kernels.correlation_matrix(a, b, 2, 0.0, 1, fast)
    _oi_kernels.correlation_matrix.py_func(a, b, 2, 0.0, 1, slow)
    np.testing.assert_allclose(fast, slow, rtol=1e-15)
    distance = np.linalg.norm(a[:, None, :2] - b[None, :, :2], axis=-1)
    rest = np.abs(a[:, None, 2:] - b[None, :, 2:])
    np.testing.assert_allclose(fast, np.exp(-0.5 * (distance**2 + (rest**2).sum(-1))), rtol=1e-14)
    matrix = b[:, :3] @ b[:, :3].T + np.eye(5)
    factor = np.linalg.cholesky(matrix)
    sides = np.column_stack([np.arange(5.0), np.ones(5), np.zeros(5)])
    work = np.column_stack([matrix, sides])
    assert _oi_kernels._eliminate(work, 5)
    np.testing.assert_allclose(np.triu(work[:, :5]), factor.T, rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(work[:, 5:], np.linalg.solve(factor, sides), rtol=1e-11)
    assert not _oi_kernels._eliminate(-np.eye(8), 8)


@pytest.mark.parametrize("n", [1, 2, 7, 8, 9, 40, 65, 130])
def test_elimination_of_any_size_is_that_of_numpy(n):
    rng = np.random.default_rng(n)
    half = rng.normal(size=(n, n))
    matrix, sides = half @ half.T + np.eye(n), rng.normal(size=(n, 2))
    work = np.zeros((n, -(-(n + 2) // 8) * 8))
    work[:, :n], work[:, n : n + 2] = np.triu(matrix), sides
    assert _oi_kernels._eliminate(work, n)
    factor = np.linalg.cholesky(matrix)
    np.testing.assert_allclose(np.triu(work[:, :n]), factor.T, rtol=1e-8, atol=1e-11)
    np.testing.assert_allclose(work[:, n : n + 2], np.linalg.solve(factor, sides), rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("function", [0, 1, 2])
@pytest.mark.parametrize("radius", [0.0, 40.0])
def test_covariances_of_many_are_those_of_pairs(function, radius):
    rng = np.random.default_rng(5)
    horizontal = 3 if radius else 2
    for n, wide in ((11, 0.5), (24, 9.0)):
        at = rng.normal(size=(n, 3))
        at = radius * (at * wide / 9 + [0, 0, 2.0]) if radius else at * wide
        at = radius * at / np.linalg.norm(at, axis=1, keepdims=True) if radius else at[:, :2]
        at = np.column_stack([at, rng.normal(size=(n, 2))])
        expected = np.empty((n, n))
        _oi_kernels.correlation_matrix(at, at, horizontal, radius, function, expected)
        std = rng.uniform(0.5, 2, n)
        expected *= std[:, None] * std
        columns = np.repeat(at[:1].T, -(-n // 8) * 8, axis=1)
        columns[:, :n] = at.T
        space, found = np.empty((3, n * columns.shape[1])), np.zeros((n, columns.shape[1]))
        for covariances in (_oi_kernels._covariances, _oi_kernels._covariances.py_func):
            covariances(columns, std, n, horizontal, radius, function, *space, found)
            np.testing.assert_allclose(np.triu(found[:, :n]), np.triu(expected), rtol=1e-12, atol=1e-13)


def test_great_circles_from_chords_to_rounding():
    for angle in (1e-6, 0.01, 0.1, 0.299, 0.301, 1.0, 3.0):
        squared = (2 * 40.0 * np.sin(angle / 2)) ** 2
        for at in (_oi_kernels.correlation_at, _oi_kernels.correlation_at.py_func):
            assert at(squared, 40.0, 2) == pytest.approx(covariance.correlation(2, 40.0 * angle), rel=1e-12)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"length_scale": 0.0}, "length_scale=0.0"),
        ({"covariance": "spherical"}, "covariance='spherical'"),
        ({"n_nearest": 0}, "n_nearest=0"),
        ({"time_scale": "soon"}, "time_scale='soon'"),
        ({"background_error_std": -1.0}, "background_error_std=-1"),
    ],
)
def test_options_that_are_none(case, options, message):
    with pytest.raises(ValueError, match=message):
        OptimalInterpolation(**({"background_error_std": 1.0, "length_scale": 100.0} | options)).assimilate(*case)


def test_nothing_to_assimilate(case):
    background, obs = case
    oi = OptimalInterpolation(background_error_std=0.8, length_scale=LENGTH)
    with pytest.raises(ObservationError, match=r"none of the 45.*45 lie outside"):
        oi.assimilate(background.assign_coords(lon=background.lon - 100), obs)
    with pytest.raises(ObservationError, match=r"'K'.*'sst' in 'degC'"):
        oi.assimilate(background, table(value=[280.0], error_std=1.0, lon=[120.0], lat=[35.0], units="K"))


def test_too_many_at_once_says_what_to_do():
    background = xr.DataArray(np.zeros((3, 3)), dims=("lat", "lon"), coords={"lat": [0.0, 1, 2], "lon": [0.0, 1, 2]})
    rng = np.random.default_rng(0)
    obs = table(value=np.zeros(20_001), error_std=1.0, lon=rng.uniform(0, 2, 20_001), lat=rng.uniform(0, 2, 20_001))
    with pytest.raises(ValueError, match=r"3 GB.*n_nearest="):
        OptimalInterpolation(background_error_std=1.0, length_scale=50.0).assimilate(background, obs)


# ---- what reviewers found ---------------------------------------------------------------------------------------------


@pytest.fixture
def flat() -> xr.DataArray:
    coords = {"lat": np.arange(30.0, 41), "lon": np.arange(117.0, 128)}
    return xr.DataArray(np.zeros((11, 11)), dims=("lat", "lon"), coords=coords, name="sst", attrs={"units": "degC"})


ONE = {"value": [5.0], "error_std": 0.1, "lon": [122.0], "lat": [35.0]}


@pytest.mark.parametrize("how", ["scalar", "size 1"])
def test_one_time_is_still_a_time(flat, how):
    oi = OptimalInterpolation(background_error_std=1.0, length_scale=300.0, time_scale="5D", covariance="gaussian")
    background = flat.assign_coords(time=np.datetime64("2015-01-15"))
    if how == "size 1":
        background = background.expand_dims("time")
    now, _ = oi.assimilate(background, table(**ONE, time="2015-01-15"))
    later, _ = oi.assimilate(background, table(**ONE, time="2015-01-20"))
    never, _ = oi.assimilate(background, table(**ONE, time="2013-01-15"))
    assert float(abs(now).max()) > 4
    assert float(abs(later).max()) == pytest.approx(float(abs(now).max()) * np.exp(-0.5), rel=1e-9)
    assert float(abs(never).max()) == 0.0
    with pytest.raises(ValueError, match="the background has no time"):
        oi.assimilate(flat, table(**ONE, time="2015-01-15"))
    with pytest.raises(ObservationError, match="the observations have no time"):
        oi.assimilate(background, table(**ONE))


def test_one_depth_is_still_a_depth(flat):
    background = flat.assign_coords(depth=((), 0.0, {"units": "m", "positive": "down"}))
    oi = OptimalInterpolation(background_error_std=1.0, length_scale=300.0, depth_scale=50.0)
    deep, _ = oi.assimilate(background, table(**ONE, depth=4000.0))
    assert float(abs(deep).max()) == 0.0
    with pytest.raises(ValueError, match="depth_scale="):
        OptimalInterpolation(background_error_std=1.0, length_scale=300.0).assimilate(
            background, table(**ONE, depth=4000.0)
        )


def test_depth_in_other_units():
    depth = ("depth", [0.0, 1000.0, 5000.0], {"units": "centimeters", "axis": "Z"})
    coords = {"depth": depth, "lat": [0.0, 1.0], "lon": [0.0, 1.0]}
    background = xr.DataArray(np.zeros((3, 2, 2)), dims=("depth", "lat", "lon"), coords=coords)
    obs = table(value=[1.0], error_std=1.0, lon=[0.0], lat=[0.0], depth=[10.0])
    oi = OptimalInterpolation(background_error_std=1.0, length_scale=100.0, depth_scale=5.0)
    analysis, _ = oi.assimilate(background, obs)
    assert float(analysis[1, 0, 0]) == pytest.approx(0.5)
    background["depth"].attrs["units"] = "hPa"
    with pytest.raises(ObservationError, match=r"'depth'.*'hpa'.*metres"):
        oi.assimilate(background, obs)


def test_a_field_takes_its_own_observations_alone(flat):
    oi = OptimalInterpolation(background_error_std=1.0, length_scale=300.0)
    with pytest.raises(ObservationError, match="salinity"):
        oi.assimilate(flat, table(**ONE, variable="salinity"))
    analysis, _ = oi.assimilate(flat, table(**ONE, variable="sst"))
    assert float(abs(analysis).max()) > 4


def test_background_errors_go_by_their_coordinates(flat):
    oi = {"length_scale": 300.0}
    std = (0.5 + 0.1 * (flat.lat - 30)).broadcast_like(flat)
    right, _ = OptimalInterpolation(background_error_std=std, **oi).assimilate(flat, table(**ONE))
    upside_down = std.isel(lat=slice(None, None, -1))
    same, _ = OptimalInterpolation(background_error_std=upside_down, **oi).assimilate(flat, table(**ONE))
    np.testing.assert_array_equal(same.values, right.values)
    with pytest.raises(ValueError, match="lies elsewhere along 'lat'"):
        OptimalInterpolation(background_error_std=std.assign_coords(lat=std.lat + 5), **oi).assimilate(
            flat, table(**ONE)
        )
    holed = std.copy()
    holed[0, 0] = np.nan
    with pytest.raises(ValueError, match="missing at 1 valid cells"):
        OptimalInterpolation(background_error_std=holed, **oi).assimilate(flat, table(**ONE))


def test_whole_numbers_can_be_corrected(flat):
    analysis, diagnostics = OptimalInterpolation(background_error_std=1.0, length_scale=300.0).assimilate(
        flat.astype(np.int16), table(**ONE)
    )
    assert analysis.dtype == np.float32
    assert 4 < float(diagnostics["increments"].max()) < 5


def test_a_dataset_with_corners_and_coordinates_among_its_variables(nemo):
    ds = nemo.squeeze(drop=True).reset_coords(["nav_lon", "nav_lat"])
    obs = table(value=[20.0], error_std=0.3, lon=[173.5], lat=[-20.0])
    analysis, diagnostics = OptimalInterpolation(background_error_std=1.0, length_scale=300.0).assimilate(ds, obs)
    assert int(diagnostics["n_used_tos"]) == 1
    np.testing.assert_array_equal(analysis["bounds_lon"].values, ds["bounds_lon"].values)


def test_points_have_no_neighbours_and_members_are_not_mixed(flat):
    oi = OptimalInterpolation(background_error_std=1.0, length_scale=300.0)
    stations = xr.DataArray(
        [0.0, 1.0], dims="station", coords={"lon": ("station", [120.0, 122.0]), "lat": ("station", [35.0, 35.0])}
    )
    with pytest.raises(ValueError, match=r"hx=operators.Interp\('nearest'\)"):
        oi.assimilate(stations, table(**ONE))
    analysis, _ = oi.assimilate(stations, table(**ONE), hx=operators.Interp("nearest"))
    assert float(analysis[1]) > 4
    with pytest.raises(ValueError, match="also has the dimension 'member'"):
        oi.assimilate(flat.expand_dims(member=3), table(**ONE))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"length_scale": "500 km"}, "length_scale='500 km'"),
        ({"background_error_std": None}, "background_error_std is a NoneType"),
    ],
)
def test_options_of_another_kind(flat, options, message):
    with pytest.raises(ValueError, match=message):
        OptimalInterpolation(**({"background_error_std": 1.0, "length_scale": 100.0} | options)).assimilate(
            flat, table(**ONE)
        )


def test_a_background_that_is_no_field(flat):
    with pytest.raises(ValueError, match="not a ndarray"):
        OptimalInterpolation(background_error_std=1.0, length_scale=100.0).assimilate(flat.values, table(**ONE))
