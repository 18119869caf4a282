"""The table is checked at the door; operators see the field as an instrument would."""

import numpy as np
import pytest
import xarray as xr
from analytic import on_grid, rotated_grid, vortex

from oceankit.fields import Grid
from oceankit.observations import ObservationError, operators, sampling, table, validate


def some(**changes):
    return table(**({"value": [1.0, 2.0], "error_std": 0.1, "lon": [10.0, 11.0], "lat": [0.0, 1.0]} | changes))


def test_a_table():
    obs = some(time=["2015-01-01", "2015-01-02"], depth=5.0, variable="tos", platform=["a", "b"], units="degC")
    assert dict(obs.sizes) == {"obs": 2}
    assert set(obs.coords) == {"lon", "lat", "time", "depth"}
    assert obs["depth"].values.tolist() == [5.0, 5.0]
    assert obs["variable"].values.tolist() == ["tos", "tos"]
    assert obs["value"].attrs["units"] == "degC"
    assert obs["time"].dtype == "datetime64[ns]"
    assert obs.attrs["featureType"] == "point"
    assert validate(obs) is obs


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"value": [1.0, np.nan]}, r"value is missing.*1 of 2.*obs 1.*flag them 9"),
        ({"error_std": 0.0}, "error_std is 0 at obs 0"),
        ({"error_std": [0.1, -0.2]}, r"error_std is -0.2 at obs 1"),
        ({"error_std": [0.1, 0.1, 0.1]}, r"error_std has shape \(3,\).*2 values"),
        ({"lat": [0.0, 95.0]}, "lat is 95 at obs 1"),
        ({"lon": [0.0, 1e20]}, "lon is 1e"),
        ({"lon": [0.0, np.nan]}, "lon is missing"),
        ({"depth": [0.0, np.inf]}, "depth is missing or infinite"),
        ({"time": ["2015-01-01", "NaT"]}, "time is missing at obs 1"),
        ({"time": ["today", "tomorrow"]}, "datetime64"),
        ({"flag": [1, 7]}, "flag 7"),
        ({"lon": None}, "lon="),
        ({"value": [["a"]]}, "value"),
        ({"value": [], "lon": [], "lat": [], "error_std": []}, "no observation"),
    ],
)
def test_what_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        some(**changes)


def test_a_missing_value_may_be_on_record():
    obs = some(value=[1.0, np.nan], flag=[1, 9])
    assert np.isnan(obs["value"].values[1])


def test_another_dataset_is_refused():
    with pytest.raises(ObservationError, match="'obs'"):
        validate(xr.Dataset({"value": ("n", [1.0])}))
    with pytest.raises(ObservationError, match="no 'error_std'"):
        validate(xr.Dataset({"value": ("obs", [1.0])}))


def test_interp_in_space_depth_and_time():
    """Linear in every direction: exact."""
    lat, lon, depth = np.arange(0.0, 5), np.arange(100.0, 106), np.array([0.0, 10, 30])
    time = np.array(["2015-01-01", "2015-01-03", "2015-01-04"], "datetime64[ns]")
    days = xr.DataArray([0.0, 2.0, 3.0], dims="time", coords={"time": time})
    field = (
        xr.DataArray(lon, dims="lon", coords={"lon": lon}) + 10 * xr.DataArray(lat, dims="lat", coords={"lat": lat})
        + 100 * xr.DataArray(depth, dims="depth", coords={"depth": ("depth", depth, {"axis": "Z"})}) + 1000 * days
    ).rename("t")  # fmt: skip
    obs = table(
        value=[0.0, 0.0, 0.0, 0.0], error_std=1.0, lon=[100.5, 105.0, 103.25, 101.0], lat=[0.5, 4.0, 2.0, 1.0],
        depth=[5.0, 30.0, 0.0, 41.0], time=["2015-01-02", "2015-01-04", "2015-01-03T12:00", "2015-01-01"],
    )  # fmt: skip
    out = operators.Interp()(field, obs)
    np.testing.assert_allclose(out.values[:3], [100.5 + 5 + 500 + 1000, 105 + 40 + 3000 + 3000, 103.25 + 20 + 2500])
    assert np.isnan(out.values[3])
    lazy = operators.Interp()(field.chunk(time=1, depth=1), obs)
    np.testing.assert_array_equal(lazy.values, out.values)
    with pytest.raises(ObservationError, match=r"3 values of 'time'.*no time"):
        operators.Interp()(field, some(lon=[101.0, 102.0], depth=[0.0, 1.0]))


def test_interp_beside_land():
    field = xr.DataArray(
        [[1.0, np.nan], [3.0, np.nan]], dims=("lat", "lon"), coords={"lat": [0.0, 1.0], "lon": [0.0, 1.0]}
    )
    obs = some(lon=[0.25, 0.75], lat=[0.5, 0.5])
    assert operators.Interp()(field, obs).values.tolist()[0] == 2.0
    assert np.isnan(operators.Interp()(field, obs).values[1])
    assert np.isfinite(operators.Interp(min_coverage=0.0)(field, obs).values).all()


def test_tracks_and_points_of_a_synthetic_ocean():
    truth = on_grid(Grid.global_regular(3.0), vortex, "ssh").assign_attrs(units="m")
    lon, lat, track = sampling.satellite_tracks(n_tracks=6, spacing=50.0, rng=1)
    obs = sampling.synthetic(truth, lon, lat, error_std=0.05, rng=2, track=track)
    error = (obs["value"] - obs["truth"]).values
    assert error.std() == pytest.approx(0.05, rel=0.05)
    assert "not measurements" in obs.attrs["synthetic"]
    assert set(obs["track"].values) == set(range(6))
    steps = operators.Interp()(truth, obs).values - obs["truth"].values
    assert np.abs(steps).max() < 1e-12
    again = sampling.synthetic(truth, lon, lat, error_std=0.05, rng=2, track=track)
    xr.testing.assert_identical(obs, again)


def test_a_track_is_a_great_circle_at_the_spacing_asked_for():
    from oceankit.numerics.sphere import great_circle_distance

    lon, lat, track = sampling.satellite_tracks(n_tracks=2, spacing=100.0, inclination=66.0, rng=0)
    first = track == 0
    steps = great_circle_distance(lon[first][:-1], lat[first][:-1], lon[first][1:], lat[first][1:])
    np.testing.assert_allclose(steps, 100.0, rtol=1e-3)
    assert np.abs(lat).max() == pytest.approx(66.0, abs=0.01)


def test_points_cover_the_sphere_evenly():
    _, lat = sampling.random_points(20_000, rng=3)
    assert np.sin(np.radians(lat)).mean() == pytest.approx(0, abs=0.02)
    assert (np.abs(lat) < 30).mean() == pytest.approx(0.5, abs=0.02)


def test_positions_on_land_alone_are_refused():
    truth = on_grid(rotated_grid(5, 5), vortex) * np.nan
    with pytest.raises(ObservationError, match="none of the 2 positions"):
        sampling.synthetic(truth, [0.0, 1.0], [0.0, 1.0], error_std=1.0)


def test_masked_values_are_missing():
    with pytest.raises(ObservationError, match="value is missing"):
        some(value=np.ma.array([1.0, -9999.0], mask=[False, True]))
    assert some(value=np.ma.array([1.0, 2.0]))["value"].values.tolist() == [1.0, 2.0]


@pytest.mark.parametrize("time", [[20150115, 20150116], [2457037.5, 2457038.5], ["0001-01-01", "2015-01-01"]])
def test_times_that_do_not_say_when(time):
    with pytest.raises(ObservationError, match="time"):
        some(time=time)


def test_times_with_zones_are_universal():
    obs = some(time=["2015-01-15T08:00:00+08:00", "2015-01-15T00:00:00Z"])
    assert (obs["time"].values == np.datetime64("2015-01-15")).all()


def test_units_of_a_dataarray_are_kept():
    values = xr.DataArray([1.0, 2.0], dims="n", attrs={"units": "K"})
    assert some(value=values)["value"].attrs["units"] == "K"


def test_half_a_step_beyond_the_ends_is_inside():
    """A daily mean stands for its day: 18:00 belongs to a field of noon."""
    time = np.array(["2017-06-05T12", "2017-06-06T12"], "datetime64[ns]")
    coords = {"time": time, "lat": [0.0, 1.0], "lon": [10.0, 11.0]}
    field = xr.DataArray(
        np.stack([np.full((2, 2), 1.0), np.full((2, 2), 3.0)]), dims=("time", "lat", "lon"), coords=coords
    )
    times = ["2017-06-05T02:00", "2017-06-06T00:00", "2017-06-06T18:00", "2017-06-08"]
    obs = table(value=np.zeros(4), error_std=1.0, lon=[10.5] * 4, lat=[0.5] * 4, time=times)
    out = operators.Interp()(field, obs).values
    assert out[:3].tolist() == [1.0, 2.0, 3.0]
    assert np.isnan(out[3])
