"""The background check: its thresholds, and the K-factor with its limits."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from oceankit.observations import ObservationError, background_check, superob, table
from oceankit.observations.background import _moderated
from oceankit.observations.operators import AlongTrackSSH, Interp, SuperOb

LAT, LON = np.arange(30.0, 36.0), np.arange(120.0, 128.0)


def ensemble(members=10, name="sst", seed=0):
    rng = np.random.default_rng(seed)
    return xr.DataArray(
        15 + rng.normal(size=(members, LAT.size, LON.size)), dims=("member", "lat", "lon"), name=name,
        coords={"lat": LAT, "lon": LON}, attrs={"units": "degC"},
    )  # fmt: skip


def many(n=100, seed=1, **more):
    rng = np.random.default_rng(seed)
    columns = {
        "value": 15 + 2 * rng.normal(size=n), "error_std": rng.uniform(0.1, 0.8, n), "lon": rng.uniform(119.0, 127.0, n),
        "lat": rng.uniform(30, 35, n), "flag": rng.choice([1, 2, 3, 9], n, p=[0.6, 0.3, 0.05, 0.05]),
    }  # fmt: skip
    return table(**(columns | more))


@pytest.mark.parametrize("threshold", [None, 1.0, 2.0])
def test_against_the_spread_of_the_members(threshold):
    sst, obs = ensemble(), many()
    out = background_check(obs, sst, threshold=threshold)
    there = Interp()(sst, obs)
    d, spread = obs.value - there.mean("member"), there.std("member", ddof=1)
    good = np.isin(obs.flag, (1, 2))
    with np.errstate(invalid="ignore"):
        beyond = (np.abs(d) > (threshold or 3.0) * np.sqrt(spread**2 + obs.error_std**2)).values & good
    assert beyond.any()
    np.testing.assert_array_equal(out.flag.values, np.where(beyond, 4, obs.flag))
    np.testing.assert_array_equal(out.flag_reason.values == "background check", beyond)
    assert out.attrs["n_rejected"] == beyond.sum()
    assert out.attrs["n_not_checked"] == (good & np.isnan(d.values)).sum() > 0
    assert "error_std_given" not in out


def test_the_k_factor():
    sst, obs = ensemble(), many()
    out = background_check(obs, sst, method="k_factor", threshold=1.5)
    there = Interp()(sst, obs)
    d, sf, so = (obs.value - there.mean("member")).values, there.std("member", ddof=1).values, obs.error_std.values
    formula = np.sqrt(np.sqrt((sf**2 + so**2) ** 2 + (sf * d / 1.5) ** 2) - sf**2)
    checked = np.isfinite(d) & np.isin(obs.flag, (1, 2))
    np.testing.assert_allclose(out.error_std.values, np.where(checked, formula, so), rtol=1e-9)
    np.testing.assert_array_equal(out.error_std_given.values, so)
    np.testing.assert_array_equal(out.flag.values, obs.flag.values)
    assert out.attrs["n_error_doubled"] == (checked & (formula >= 2 * so)).sum()
    # A second check starts from what was given.
    again = background_check(out, sst, method="k_factor", threshold=1.5)
    np.testing.assert_array_equal(again.error_std.values, out.error_std.values)


@given(st.floats(1e-4, 1e4), st.floats(1e-4, 1e4), st.floats(-1e6, 1e6), st.floats(0.5, 10.0))
def test_limits_of_the_k_factor(sf, so, d, k):
    """No increment beyond K background errors; no error below the one given; nothing changes without an innovation."""
    new = float(_moderated(np.array([d]), np.array([sf]), np.array([so]), k)[0])
    assert new >= so * (1 - 1e-12)
    assert abs(sf**2 * d / (sf**2 + new**2)) <= k * sf * (1 + 1e-9)
    assert float(_moderated(np.array([0.0]), np.array([sf]), np.array([so]), k)[0]) == pytest.approx(so, rel=1e-12)
    far = _moderated(np.array([1e12 * (sf + so)]), np.array([sf]), np.array([so]), k)[0]
    assert sf**2 * 1e12 * (sf + so) / (sf**2 + far**2) == pytest.approx(k * sf, rel=1e-3)


def test_errors_of_the_background_that_are_given():
    sst, obs = ensemble().isel(member=0, drop=True), many()
    number = background_check(obs, sst, background_error_std=0.7)
    field = background_check(obs, sst, background_error_std=xr.full_like(sst, 0.7))
    along = background_check(obs, sst, background_error_std=xr.DataArray(np.full(100, 0.7), dims="obs"))
    named = background_check(obs, sst, background_error_std={"sst": 0.7})
    lazy = background_check(obs, sst.chunk(lat=3), background_error_std=0.7)
    for other in (field, along, named, lazy):
        xr.testing.assert_identical(number, other)
    with pytest.raises(ObservationError, match="background_error_std=, or an ensemble"):
        background_check(obs, sst)
    with pytest.raises(ObservationError, match="no entry for 'sst'"):
        background_check(obs, sst, background_error_std={"ssh": 0.1})
    with pytest.raises(ObservationError, match="above zero"):
        background_check(obs, sst, background_error_std=-0.7)


def test_several_fields():
    ds = xr.Dataset({"sst": ensemble(), "ssh": ensemble(name="ssh", seed=3) / 100}).assign_attrs(title="x")
    ds["ssh"].attrs["units"] = "m"
    obs = many().drop_vars("flag")
    obs = obs.assign(variable=("obs", np.where(np.arange(100) % 2, "sst", "ssh")))
    obs["value"].values[::2] /= 100
    out = background_check(obs, ds, threshold=1.0)
    for k, name in enumerate(("ssh", "sst")):
        alone = background_check(obs.isel(obs=slice(k, None, 2)), ds[name], threshold=1.0)
        np.testing.assert_array_equal(out.flag.values[k::2], alone.flag.values)
    # An hx along obs is cut as the table is.
    hx = xr.concat([Interp()(ds[n], obs) for n in ("ssh", "sst")], "which")
    hx = hx.isel(which=xr.DataArray(np.arange(100) % 2, dims="obs")).drop_vars("which", errors="ignore")
    np.testing.assert_array_equal(background_check(obs, ds, threshold=1.0, hx=hx).flag.values, out.flag.values)


def test_operators_as_hx():
    ssh = ensemble(name="ssh").assign_attrs(units="m")
    obs = many(track=np.arange(100) % 3)
    out = background_check(obs, ssh, hx=AlongTrackSSH())
    # Biases of the tracks do not count.
    shifted = obs.assign(value=obs.value + 50.0 * (obs.track + 1))
    np.testing.assert_array_equal(background_check(shifted, ssh, hx=AlongTrackSSH()).flag.values, out.flag.values)
    assert background_check(shifted, ssh).attrs["n_rejected"] > out.attrs["n_rejected"]
    mean, raw = superob(obs, 200.0, return_raw=True)
    checked = background_check(mean, ssh, hx=SuperOb(raw), threshold=1.5)
    assert checked.attrs["n_rejected"] > 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"method": "drop"}, "method='drop'"),
        ({"threshold": -1.0}, "threshold=-1.0"),
        ({"hx": xr.DataArray(np.zeros(3), dims="obs")}, "3 values along 'obs'"),
        ({"hx": np.zeros(100)}, "a DataArray along 'obs'"),
        ({"background_error_std": "large"}, "background_error_std is a str"),
    ],
)
def test_what_is_refused(arguments, message):
    with pytest.raises(ObservationError, match=message):
        background_check(many(), ensemble(), **arguments)


def test_units_and_fields_left_over():
    with pytest.raises(ObservationError, match="'K'"):
        background_check(many(units="K"), ensemble())
    deep = ensemble().expand_dims(depth=[0.0, 10.0])
    with pytest.raises(ValueError, match="no depth"):
        background_check(many(), deep)
