"""Super-observations against plain sums, whatever the order; the operator averages what they average."""

import time as clock

import numpy as np
import pytest
import xarray as xr
from analytic import on_grid, rotated_grid, vortex
from hypothesis import given, settings
from hypothesis import strategies as st

from oceankit.assimilation import LETKF, GaspariCohn
from oceankit.fields import Grid
from oceankit.numerics.sphere import great_circle_distance
from oceankit.observations import ObservationError, superob, table
from oceankit.observations.operators import Interp, SuperOb
from oceankit.regridding.binning import holders


def many(n=500, seed=0, **more):
    rng = np.random.default_rng(seed)
    columns = {
        "value": rng.normal(size=n), "error_std": rng.uniform(0.1, 1.0, n), "lon": rng.uniform(-5, 5, n),
        "lat": rng.uniform(40, 50, n), "depth": rng.uniform(0, 100, n),
        "time": np.datetime64("2015-01-01", "ns") + rng.integers(0, 3 * 86400, n) * np.timedelta64(1, "s"),
        "variable": rng.choice(["sst", "ssh"], n), "flag": rng.choice([1, 2, 3, 4, 9], n, p=[0.5, 0.3, 0.1, 0.05, 0.05]),
        "units": "degC",
    }  # fmt: skip
    return table(**(columns | more))


def test_means_by_hand():
    obs, grid = many(), Grid.regular(lon=(-4, 5, 1.5), lat=(40, 50, 2))
    out, raw = superob(obs, grid, time="1D", depth=[0, 10, 50, 90], return_raw=True)
    cell = holders(Grid.points(obs.lon.values, obs.lat.values), grid)
    good = np.isin(obs.flag.values, (1, 2))
    day = obs.time.values.astype("datetime64[D]").astype(int)
    layer = np.digitize(obs.depth.values, [0, 10, 50, 90]) - 1
    inside = (cell >= 0) & (layer >= 0) & (layer < 3)
    keys = list(zip(obs["variable"].values, day, layer, cell, strict=True))
    wanted = sorted({k for k, keep in zip(keys, good & inside, strict=True) if keep})
    assert out.sizes["obs"] == len(wanted)
    for i, key in enumerate(wanted):
        mine = np.array([k == key for k in keys]) & good
        assert (np.flatnonzero(raw.superob.values == i) == np.flatnonzero(mine)).all()
        w = obs.error_std.values[mine] ** -2.0
        for name in ("value", "depth"):
            np.testing.assert_allclose(out[name].values[i], np.average(obs[name].values[mine], weights=w))
        np.testing.assert_allclose(out.error_std.values[i], w.sum() ** -0.5)
        seconds = (obs.time.values[mine] - obs.time.values[0]) / np.timedelta64(1, "s")
        apart = (out.time.values[i] - obs.time.values[0]) / np.timedelta64(1, "s")
        np.testing.assert_allclose(apart, np.average(seconds, weights=w), atol=1e-6)
        assert out.n_obs.values[i] == mine.sum()
        assert out["flag"].values[i] == obs.flag.values[mine].max()
        assert out["variable"].values[i] == key[0]
    assert out.attrs["n_averaged"] == (good & inside).sum() == (raw.superob.values >= 0).sum()
    assert out.attrs["n_flagged"] == (~good).sum()
    assert out.attrs["n_outside"] == (good & ~inside).sum()
    assert out["value"].attrs["units"] == "degC"


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([30.0, 200.0, 1500.0]))
def test_the_order_of_observations_plays_no_part(seed, spacing):
    obs = many(120)
    turned = obs.isel(obs=np.random.default_rng(seed).permutation(120))
    a, b = superob(obs, spacing, time="12h"), superob(turned, spacing, time="12h")
    assert a.sizes == b.sizes
    for name in ("value", "error_std", "lon", "lat", "depth"):
        np.testing.assert_allclose(a[name].values, b[name].values, rtol=1e-10, atol=1e-12)
    assert (a["n_obs"].values == b["n_obs"].values).all()
    assert np.abs((a.time.values - b.time.values).astype("i8")).max() < 1000


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.tuples(st.floats(-180, 540), st.floats(-90, 90)), min_size=2, max_size=40),
    st.floats(10.0, 4000.0),
)
def test_cells_of_a_spacing_are_about_that_wide(places, spacing):
    lon, lat = np.array(places).T
    _, raw = superob(table(value=lat * 0, error_std=1.0, lon=lon, lat=lat), spacing, return_raw=True)
    for number in np.unique(raw.superob):
        mine = raw.superob.values == number
        apart = great_circle_distance(lon[mine][:, None], lat[mine][:, None], lon[mine], lat[mine])
        # A diagonal, of cells that a band rounds up to at most one and a half; caps are all around their pole.
        assert apart.max() <= 2.4 * spacing


def test_positions_are_means_on_the_sphere_and_on_a_plane():
    across = table(value=[1.0, 1.0], error_std=1.0, lon=[179.0, -179.0], lat=[0.0, 0.0])
    out = superob(across, Grid.regular(lon=(170, 190, 20), lat=(-10, 10, 20)))
    assert abs(abs(float(out.lon[0])) - 180.0) < 1e-9
    # Longitudes are counted from 0 where those of the observations are.
    east = table(value=[1.0, 1.0], error_std=1.0, lon=[357.0, 359.0], lat=0.0)
    assert float(superob(east, 500.0).lon[0]) == pytest.approx(358.0)
    plane = table(value=[1.0, 2.0, 5.0], error_std=[1.0, 1.0, 1.0], x=[0.1, 0.3, -0.2], y=0.5)
    out = superob(plane, 1.0)
    assert out.x.values.tolist() == [-0.2, 0.2]
    assert out.value.values.tolist() == [5.0, 1.5]


def test_what_is_equal_stays_to_the_bit():
    n = 7
    obs = table(value=np.full(n, 0.1), error_std=np.linspace(0.1, 0.3, n), lon=10.0, lat=0.0, depth=0.7,
                time="2015-03-04T05:06:07.123456789")  # fmt: skip
    out = superob(obs, 50.0)
    assert float(out.value[0]) == 0.1
    assert float(out.depth[0]) == 0.7
    assert out.time.values[0] == obs.time.values[0]


def test_correlated_errors_and_scatter():
    rng = np.random.default_rng(2)
    e = rng.uniform(0.1, 0.5, 6)
    obs = table(value=rng.normal(size=6), error_std=e, lon=np.linspace(0.1, 0.6, 6), lat=0.1)
    w = e**-2.0 / (e**-2.0).sum()
    for r in (0.0, 0.3, 1.0):
        cov = np.outer(e, e) * (r + (1 - r) * np.eye(6))
        out = superob(obs, 500.0, correlation=r)
        assert float(out.error_std[0]) == pytest.approx(np.sqrt(w @ cov @ w), rel=1e-12)
    equal = table(value=np.zeros(5), error_std=0.4, lon=np.linspace(0.1, 0.5, 5), lat=0.1)
    assert float(superob(equal, 500.0, correlation=1.0).error_std[0]) == pytest.approx(0.4)
    chi2 = ((obs.value.values - np.average(obs.value.values, weights=w)) ** 2 / e**2).sum() / 5
    assert chi2 > 1
    out = superob(obs, 500.0, inflate_by_scatter=True)
    assert float(out.error_std[0]) == pytest.approx(np.sqrt(chi2 / (e**-2.0).sum()))
    # Where they agree, and where there is one alone, nothing grows.
    same = superob(equal, 500.0, inflate_by_scatter=True)
    assert float(same.error_std[0]) == pytest.approx(0.4 / np.sqrt(5))
    assert float(superob(obs.isel(obs=[0]), 500.0, inflate_by_scatter=True).error_std[0]) == pytest.approx(e[0])


def test_too_few_are_counted():
    obs = table(value=[1.0, 2.0, 3.0], error_std=1.0, lon=[0.1, 0.2, 5.0], lat=0.1)
    out, raw = superob(obs, 50.0, min_count=2, return_raw=True)
    assert raw.superob.values.tolist() == [0, 0, -1]
    assert out.attrs["n_too_few"] == 1
    with pytest.raises(ObservationError, match=r"none of the 3.*min_count=5"):
        superob(obs, 50.0, min_count=5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"spacing": 0.0}, "grid_or_spacing=0.0"),
        ({"spacing": "1 degree"}, "grid_or_spacing="),
        ({"spacing": Grid.points([0.0], [1.0])}, "cells"),
        ({"spacing": Grid.regular(x=(0, 1, 1), y=(0, 1, 1))}, "both have lon and lat"),
        ({"time": 6.0}, "time=6.0"),
        ({"time": ["2015-01-02", "2015-01-01"]}, "ascending"),
        ({"depth": -1.0}, "depth=-1.0"),
        ({"by": "track"}, "by='track'"),
        ({"correlation": 1.5}, "correlation=1.5"),
        ({"min_count": 0}, "min_count=0"),
    ],
)
def test_what_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        superob(many(50), **({"grid_or_spacing": arguments.pop("spacing", 50.0)} | arguments))


def test_a_million_take_a_second_or_so():
    rng = np.random.default_rng(0)
    n = 1_000_000
    obs = table(value=rng.normal(size=n), error_std=0.1, lon=rng.uniform(0, 360, n), lat=rng.uniform(-80, 80, n),
                time="2015-01-01", variable="sst")  # fmt: skip
    superob(obs.isel(obs=slice(0, 1000)), 25.0)
    begin = clock.perf_counter()
    out = superob(obs, 25.0, time="6h")
    assert clock.perf_counter() - begin < 10.0
    assert out.n_obs.values.sum() == n


# ---- the operator -------------------------------------------------------------------------------------------------------


def test_the_operator_averages_as_the_observations_were():
    """What lies on a field without error lies on it when averaged: whatever its curvature."""
    grid = rotated_grid(40, 50)
    truth = on_grid(grid, vortex, "ssh")
    rng = np.random.default_rng(4)
    lon, lat = (
        rng.uniform(*np.percentile(grid.lon, (20, 80)), 400),
        rng.uniform(*np.percentile(grid.lat, (20, 80)), 400),
    )
    obs = table(value=np.zeros(400), error_std=rng.uniform(0.1, 1, 400), lon=lon, lat=lat)
    seen = Interp()(truth, obs)
    obs = obs.isel(obs=np.flatnonzero(np.isfinite(seen.values))).assign(value=seen[np.isfinite(seen.values)])
    mean, raw = superob(obs, 1500.0, return_raw=True)
    np.testing.assert_allclose(SuperOb(raw)(truth, mean).values, mean.value.values, rtol=1e-12)
    assert np.abs(Interp()(truth, mean).values - mean.value.values).max() > 1e-3
    # Some of the table, in another order.
    some = mean.isel(obs=[5, 1, 3])
    np.testing.assert_allclose(SuperOb(raw)(truth, some).values, some.value.values, rtol=1e-12)


def test_members_chunks_and_coverage():
    rng = np.random.default_rng(1)
    field = xr.DataArray(rng.normal(size=(3, 10, 10)), dims=("member", "lat", "lon"), name="sst",
                         coords={"lat": np.arange(40.0, 50), "lon": np.arange(-5.0, 5), "member": [1, 2, 4]})  # fmt: skip
    obs = many(300, variable=None).drop_vars("flag")
    mean, raw = superob(obs, 200.0, depth=50.0, return_raw=True)
    eager = SuperOb(raw)(field, mean)
    assert eager.dims == ("member", "obs")
    assert eager.member.values.tolist() == [1, 2, 4]
    for chunks in ({"member": 1}, {"lat": 5}):
        lazy = SuperOb(raw)(field.chunk(chunks), mean)
        assert lazy.chunks is not None
        np.testing.assert_allclose(lazy.values, eager.values, rtol=1e-13)
    every, any_ = (SuperOb(raw, min_coverage=c)(field, mean).isel(member=0) for c in (1.0, 0.0))
    outside = np.isnan(Interp()(field, raw).isel(member=0).values)
    share = np.bincount(raw.superob.values, ~outside / raw.error_std.values**2) / np.bincount(
        raw.superob.values, raw.error_std.values**-2.0
    )
    assert (np.isfinite(every.values) == (share > 1 - 1e-9)).all()
    assert (np.isfinite(any_.values) == (share > 0)).all()
    assert (np.isfinite(eager.isel(member=0).values) == (share >= 0.5)).all()


def test_a_table_of_other_observations_is_refused():
    mean, raw = superob(many(50, seed=1), 200.0, return_raw=True)
    other, _ = superob(many(80, seed=2), 200.0, return_raw=True)
    field = xr.DataArray(np.ones((2, 2)), dims=("lat", "lon"), coords={"lat": [40.0, 50.0], "lon": [-5.0, 5.0]})
    with pytest.raises(ObservationError, match="one call of superob"):
        SuperOb(raw)(field, other)
    with pytest.raises(ObservationError, match="no column 'superob'"):
        SuperOb(many(50))
    with pytest.raises(ObservationError, match="no column 'n_obs'"):
        SuperOb(raw)(field, mean.drop_vars("n_obs"))


def test_as_hx_of_an_analysis():
    rng = np.random.default_rng(0)
    coords = {"lat": np.arange(40.0, 51), "lon": np.arange(-5.0, 6)}
    field = xr.DataArray(rng.normal(size=(8, 11, 11)), dims=("member", "lat", "lon"), coords=coords, name="sst")
    obs = many(200, variable="sst", depth=None, value=np.full(200, 0.7))
    mean, raw = superob(obs, 300.0, return_raw=True)
    _, said = LETKF(localization=GaspariCohn(500.0)).assimilate(field, mean, hx=SuperOb(raw))
    assert int(said.n_used) == mean.sizes["obs"]
