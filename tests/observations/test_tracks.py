"""Along-track sea level anomalies: the mean dynamic topography and the bias of each track are out."""

import numpy as np
import pytest
import xarray as xr

from oceankit.observations import ObservationError, superob, table
from oceankit.observations.operators import AlongTrackSSH, Interp, SuperOb

LAT, LON = np.arange(30.0, 36.0), np.arange(120.0, 130.0)


def ensemble(members=4, seed=0):
    rng = np.random.default_rng(seed)
    return xr.DataArray(
        rng.normal(size=(members, LAT.size, LON.size)), dims=("member", "lat", "lon"), name="ssh",
        coords={"lat": LAT, "lon": LON, "member": np.arange(members)}, attrs={"units": "m"},
    )  # fmt: skip


def along_tracks(n=40, seed=1, **more):
    rng = np.random.default_rng(seed)
    columns = {
        "value": rng.normal(size=n), "error_std": rng.uniform(0.02, 0.1, n), "lon": rng.uniform(120.1, 128.9, n),
        "lat": rng.uniform(30.1, 34.9, n), "track": rng.integers(0, 3, n) * 7,
    }  # fmt: skip
    return table(**(columns | more))


def test_the_mean_dynamic_topography_is_taken_off():
    ssh, obs = ensemble(), along_tracks()
    mdt = xr.DataArray(
        np.random.default_rng(5).normal(size=(12, 21)), dims=("lat", "lon"), name="mdt", attrs={"units": "metres"},
        coords={"lat": np.linspace(29, 37, 12), "lon": np.linspace(119, 131, 21)},
    )  # fmt: skip
    out = AlongTrackSSH(mdt, remove_bias=False)(ssh, obs)
    np.testing.assert_allclose(out.values, (Interp()(ssh, obs) - Interp()(mdt, obs)).values)
    # A constant in either makes no difference once the bias is out.
    without = AlongTrackSSH(mdt)(ssh, obs)
    np.testing.assert_allclose(AlongTrackSSH(mdt + 3.0)(ssh - 8.0, obs).values, without.values, atol=1e-12)
    with pytest.raises(ObservationError, match="'cm'"):
        AlongTrackSSH(mdt.assign_attrs(units="cm"))(ssh, obs)


def test_the_innovation_of_a_track_has_no_weighted_mean_for_any_member():
    ssh, obs = ensemble(), along_tracks()
    plain, out = Interp()(ssh, obs).values, AlongTrackSSH()(ssh, obs)
    assert out.dims == ("member", "obs")
    assert out.name == "ssh"
    weight = obs.error_std.values**-2.0
    for track in np.unique(obs.track):
        mine = obs.track.values == track
        for member in range(4):
            misfit = obs.value.values[mine] - out.values[member, mine]
            assert abs(np.average(misfit, weights=weight[mine])) < 1e-12
            shift = out.values[member, mine] - plain[member, mine]
            np.testing.assert_allclose(shift, shift[0], atol=1e-12)
            np.testing.assert_allclose(
                shift[0], np.average(obs.value.values[mine] - plain[member, mine], weights=weight[mine])
            )


def test_it_is_a_projection():
    """Of the anomalies of the ensemble: linear, and the same when done twice."""
    ssh, obs = ensemble(6), along_tracks()
    a, b = ssh.isel(member=0, drop=True), ssh.isel(member=1, drop=True)
    operator = AlongTrackSSH()
    mixed = operator(0.3 * a + 0.7 * b, obs)
    np.testing.assert_allclose(mixed.values, 0.3 * operator(a, obs).values + 0.7 * operator(b, obs).values)
    there = operator(ssh, obs)
    again = AlongTrackSSH(operator=lambda field, obs: there)(ssh, obs)
    np.testing.assert_allclose(again.values, there.values, atol=1e-13)


def test_only_good_finite_observations_inside_count():
    obs = along_tracks(value=[0.0, 1.0, 100.0, np.nan, 5.0], error_std=0.1, lon=[121.0, 122.0, 123.0, 124.0, 50.0],
                       lat=32.0, track=1, flag=[1, 2, 4, 9, 1], n=5)  # fmt: skip
    ssh = ensemble(1) * 0.0
    out = AlongTrackSSH()(ssh, obs).values[0]
    np.testing.assert_allclose(out, [0.5, 0.5, 0.5, 0.5, np.nan])


def test_tracks_have_names_and_the_column_too():
    obs = along_tracks().rename(track="pass")
    obs["pass"] = ("obs", np.array([f"j3_{t}" for t in obs["pass"].values]))
    named = AlongTrackSSH(track="pass")(ensemble(), obs)
    np.testing.assert_array_equal(named.values, AlongTrackSSH()(ensemble(), along_tracks()).values)
    with pytest.raises(ObservationError, match=r"no column 'track'.*remove_bias=False"):
        AlongTrackSSH()(ensemble(), obs)
    AlongTrackSSH(remove_bias=False)(ensemble(), obs)
    missing = obs.assign({"pass": ("obs", np.where(np.arange(40) == 3, np.nan, 1.0))})
    with pytest.raises(ObservationError, match="missing at obs 3"):
        AlongTrackSSH(track="pass")(ensemble(), missing)
    with pytest.raises(ObservationError, match="give a DataArray"):
        AlongTrackSSH("mdt.nc")


def test_lazy_in_lazy_out():
    ssh, obs = ensemble(), along_tracks()
    eager = AlongTrackSSH()(ssh, obs)
    for chunks in ({"member": 1}, {"lat": 3, "lon": 4}):
        lazy = AlongTrackSSH()(ssh.chunk(chunks), obs)
        assert lazy.chunks is not None
        np.testing.assert_allclose(lazy.values, eager.values, atol=1e-14)


def test_of_super_observations_and_super_observations_of_it():
    ssh, obs = ensemble(), along_tracks(200)
    mean, raw = superob(obs, 150.0, by="track", return_raw=True)
    assert set(mean.track.values) == {0, 7, 14}
    out = AlongTrackSSH(operator=SuperOb(raw))(ssh, mean)
    assert np.isfinite(out.values).all()
    for track in (0, 7, 14):
        mine = mean.track.values == track
        misfit = (mean.value - out).transpose("member", "obs").values[:, mine]
        np.testing.assert_allclose(
            np.average(misfit, axis=1, weights=mean.error_std.values[mine] ** -2.0), 0, atol=1e-12
        )
    # All of a track is in its super-observations, so both orders take out the same mean.
    other = SuperOb(raw, AlongTrackSSH())(ssh, mean)
    np.testing.assert_allclose(other.values, out.values, atol=1e-12)
