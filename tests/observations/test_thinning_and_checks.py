"""Thinning against a loop over all pairs; repeated observations and windows of time. Nothing leaves the table."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oceankit.numerics.sphere import great_circle_distance
from oceankit.observations import ObservationError, _thinning_kernels, duplicates, table, thin, within_window
from oceankit.observations.thinning import _periods


def many(n=200, seed=0, planar=False, **more):
    rng = np.random.default_rng(seed)
    places = (
        {"x": rng.uniform(0, 10, n), "y": rng.uniform(0, 10, n)}
        if planar
        else {"lon": rng.uniform(170, 190, n), "lat": rng.uniform(70, 90, n)}
    )
    columns = {
        "value": rng.normal(size=n), "error_std": rng.choice([0.1, 0.2, 0.5], n), "depth": rng.uniform(0, 100, n),
        "time": np.datetime64("2015-01-01", "ns") + rng.integers(0, 48, n) * np.timedelta64(1, "h"),
        "variable": rng.choice(["sst", "ssh"], n), "flag": rng.choice([1, 2, 3, 4, 9], n, p=[0.6, 0.2, 0.1, 0.05, 0.05]),
    }  # fmt: skip
    return table(**(places | columns | more))


def by_hand(obs, spacing, order, hours=np.inf, metres=np.inf):
    """Every pair is looked at."""
    good = np.isin(obs.flag.values, (1, 2))
    kept = []
    for i in order:
        if not good[i]:
            continue
        near = False
        for j in kept:
            if obs["variable"].values[i] != obs["variable"].values[j]:
                continue
            if "lon" in obs.variables:
                apart = float(great_circle_distance(*(float(obs[n].values[k]) for k in (i, j) for n in ("lon", "lat"))))
            else:
                apart = float(np.hypot(*(obs[n].values[i] - obs[n].values[j] for n in ("x", "y"))))
            late = abs((obs.time.values[i] - obs.time.values[j]) / np.timedelta64(1, "h"))
            deep = abs(obs.depth.values[i] - obs.depth.values[j])
            near |= apart < spacing and late < hours and deep < metres
        if not near:
            kept.append(i)
    out = np.zeros(good.size, bool)
    out[kept] = True
    return out, good


@pytest.mark.parametrize("planar", [False, True])
@pytest.mark.parametrize("extra", [{}, {"time": "6h"}, {"depth": 20.0}, {"time": "12h", "depth": 30.0}])
def test_thinned_as_by_hand(planar, extra):
    obs = many(planar=planar)
    spacing = 1.5 if planar else 250.0
    order = np.lexsort((np.arange(200), obs.error_std.values))
    hours = float(extra["time"][:-1]) if "time" in extra else np.inf
    kept, good = by_hand(obs, spacing, order, hours, extra.get("depth", np.inf))
    out = thin(obs, spacing, **extra)
    assert out.sizes == obs.sizes
    np.testing.assert_array_equal(np.isin(out.flag.values, (1, 2)), kept)
    thinned = good & ~kept
    assert out.attrs["n_thinned"] == thinned.sum() > 10
    np.testing.assert_array_equal(out.flag_reason.values == "thinned", thinned)
    np.testing.assert_array_equal(out.flag.values[~thinned], obs.flag.values[~thinned])
    assert out.flag.dtype == obs.flag.dtype
    np.testing.assert_array_equal(out.value.values, obs.value.values)


def test_by_order_and_at_random():
    obs = many()
    np.testing.assert_array_equal(
        np.isin(thin(obs, 300.0, by="order").flag.values, (1, 2)), by_hand(obs, 300.0, range(200))[0]
    )
    one, two = (thin(obs, 300.0, by="random", rng=s).flag.values for s in (1, 2))
    assert (one != two).any()
    np.testing.assert_array_equal(one, thin(obs, 300.0, by="random", rng=np.random.default_rng(1)).flag.values)
    order = np.argsort(np.random.default_rng(1).permutation(200), kind="stable")
    np.testing.assert_array_equal(np.isin(one, (1, 2)), by_hand(obs, 300.0, order)[0])


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 60), st.integers(0, 2**32 - 1), st.floats(0.01, 5.0))
def test_none_kept_are_near_and_all_others_are(n, seed, spacing):
    rng = np.random.default_rng(seed)
    obs = table(
        value=np.zeros(n), error_std=rng.choice([1.0, 2.0], n), x=rng.integers(0, 8, n) / 2, y=rng.integers(0, 8, n) / 2
    )
    kept = thin(obs, spacing).flag.values == 2
    apart = np.hypot(obs.x.values[:, None] - obs.x.values, obs.y.values[:, None] - obs.y.values)
    between = apart[kept][:, kept] + np.where(np.eye(kept.sum()) > 0, np.inf, 0)
    assert (between >= spacing * (1 - 1e-8)).all()
    better = obs.error_std.values[:, None] >= obs.error_std.values[None, kept]
    assert ((apart[:, kept] < spacing) & better)[~kept].any(axis=1).all()


def test_at_the_spacing_is_not_nearer():
    obs = table(value=np.zeros(11), error_std=1.0, x=np.arange(11) * 0.1, y=0.0)
    assert thin(obs, 0.1).attrs["n_thinned"] == 0
    assert thin(obs, 0.2).attrs["n_thinned"] == 5
    assert thin(obs, 1e6).attrs["n_thinned"] == 10


def test_a_second_thinning_changes_nothing_and_reasons_stay():
    once = thin(many(), 250.0)
    twice = thin(once, 250.0)
    assert twice.attrs["n_thinned"] == 0
    np.testing.assert_array_equal(once.flag_reason.values, twice.flag_reason.values)
    later = within_window(once, "2015-01-01", "2015-01-02")
    np.testing.assert_array_equal(later.flag_reason.values == "thinned", once.flag_reason.values == "thinned")


def test_the_kernel_as_written():
    """The Python of the kernel and what Numba makes of it; more neighbours than there is room for at first."""
    rng = np.random.default_rng(0)
    points = rng.normal(size=(600, 2))
    ranked, zeros = rng.permutation(600), np.zeros(600)
    kept = []
    for greedy in (_thinning_kernels.greedy, _thinning_kernels.greedy.py_func):
        kept.append(np.zeros(600, bool))
        greedy(ranked, points, _periods(points, 2.0, zeros, np.inf), 4.0, zeros, np.inf, zeros, np.inf, kept[-1])
    np.testing.assert_array_equal(*kept)


def test_a_long_series_at_one_place():
    """A hundred thousand hours are thinned by their own neighbours in time alone."""
    hours = np.arange(100_000)
    obs = table(value=hours * 0.0, error_std=1.0, lon=1.0, lat=2.0,
                time=np.datetime64("2015-01-01", "ns") + hours * np.timedelta64(1, "h"))  # fmt: skip
    np.testing.assert_array_equal(thin(obs, 1.0, time="6h").flag.values == 2, hours % 6 == 0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"spacing": -1.0}, "spacing=-1.0"),
        ({"time": 6.0}, "time=6.0"),
        ({"depth": 0.0}, "depth=0.0"),
        ({"by": "age"}, "by='age'"),
        ({"by": "random"}, "give rng="),
        ({"rng": 3}, "belongs to by='random'"),
    ],
)
def test_what_is_refused(arguments, message):
    with pytest.raises(ObservationError, match=message):
        thin(many(20), **({"spacing": 10.0} | arguments))


def test_time_that_is_asked_for_must_be_there():
    with pytest.raises(ObservationError, match="no time"):
        thin(table(value=[0.0], error_std=1.0, lon=[0.0], lat=[0.0]), 10.0, time="1D")


# ---- repeated observations, windows --------------------------------------------------------------------------------------


def test_repeated_observations():
    obs = table(
        value=[1.0, 2.0, 1.0, 1.0, 1.0, 1.0, 1.0], error_std=0.1, lon=[-10.1, 349.9, 349.9, 349.9, 349.9, 349.9, 349.9],
        lat=40.0, depth=[5.0, 5.0, 6.0, 5.0, 5.0, 5.0, 5.0],
        time=["2015-01-01"] * 3 + ["2015-01-02"] + ["2015-01-01"] * 3, variable=["t"] * 4 + ["s"] + ["t"] * 2,
        platform=["a"] * 5 + ["b", "a"], flag=[1, 1, 1, 1, 1, 1, 4],
    )  # fmt: skip
    out = duplicates(obs)
    assert out.flag.values.tolist() == [1, 3, 1, 1, 1, 1, 4]
    assert out.flag_reason.values.tolist() == ["", "duplicate", "", "", "", "", ""]
    assert out.attrs["n_duplicates"] == 1
    assert duplicates(obs, by=()).flag.values.tolist() == [1, 3, 1, 1, 1, 3, 4]
    assert duplicates(out).attrs["n_duplicates"] == 0
    with pytest.raises(ObservationError, match="by='ship'"):
        duplicates(obs, by="ship")


def test_the_first_that_may_be_used_is_kept():
    obs = table(value=[1.0, 1.0, 1.0], error_std=0.1, x=1.0, y=[2.0, 2.0, 2.0], flag=[4, 1, 2])
    assert duplicates(obs).flag.values.tolist() == [4, 1, 3]


def test_windows_that_follow_one_another_share_nothing():
    obs = many(100).drop_vars("flag")
    days = [within_window(obs, f"2015-01-0{d}", f"2015-01-0{d + 1}") for d in (1, 2)]
    inside = [out.flag.values == 2 for out in days]
    assert not (inside[0] & inside[1]).any()
    assert (inside[0] | inside[1]).all()
    assert days[0].attrs["n_outside_window"] == (~inside[0]).sum()
    assert set(days[0].flag_reason.values) == {"", "outside the time window"}
    zoned = within_window(obs, "2015-01-01T08:00+08:00", "2015-01-02T08:00+08:00")
    np.testing.assert_array_equal(zoned.flag.values, days[0].flag.values)
    with pytest.raises(ObservationError, match="no length"):
        within_window(obs, "2015-01-02", "2015-01-01")
    with pytest.raises(ObservationError, match="no times"):
        within_window(obs, "soon", "later")
    with pytest.raises(ObservationError, match="no time"):
        within_window(obs.drop_vars("time"), "2015-01-01", "2015-01-02")
