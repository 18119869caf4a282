"""Time axes of any calendar become whole steps; fields become times and cells; what does not fit is refused by name."""

import cftime
import numpy as np
import pytest
import xarray as xr

from oceankit.forecast._record import as_period, read
from oceankit.forecast._steps import axis_of, months_of, phase_of, shifted


def times(start="2000-01-01", n=40, freq="MS", calendar="standard") -> xr.DataArray:
    values = xr.date_range(start, periods=n, freq=freq, calendar=calendar, use_cftime=calendar != "standard" or None)
    return xr.DataArray(values, dims="time", coords={"time": values})["time"]


# ---- steps ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("start", "freq", "calendar", "label", "cadence"),
    [
        ("2000-01-01", "MS", "standard", "1 months", "monthly"),
        ("2000-01-31", "ME", "standard", "1 months", "monthly"),
        ("2000-01-16", "30D", "360_day", "1 months", "monthly"),
        ("2000-01-01", "MS", "noleap", "1 months", "monthly"),
        ("2000-01-01", "QS", "standard", "3 months", "monthly"),
        ("2000-01-01", "YS", "standard", "12 months", "monthly"),
        ("2000-01-01", "D", "standard", "1 days", "daily"),
        ("2000-01-01 12:00", "D", "standard", "1 days", "daily"),
        ("2000-01-01 12:00", "D", "noleap", "1 days", "daily"),
        ("2000-01-01 12:00", "D", "360_day", "1 days", "daily"),
        ("2000-01-03 12:00", "5D", "standard", "5 days", "daily"),
        ("2000-01-01 03:00", "6h", "standard", "6 hours", "hourly"),
        ("2000-01-01 00:30", "h", "standard", "1 hours", "hourly"),
    ],
)
def test_the_step_is_read_from_the_times_whatever_the_calendar_and_the_hour_of_the_stamp(
    start, freq, calendar, label, cadence
):
    axis = axis_of(times(start, freq=freq, calendar=calendar))
    assert (axis.step.label, axis.step.cadence) == (label, cadence)
    assert (np.diff(axis.numbers) == 1).all()


def test_steps_of_an_earlier_and_a_later_record_are_counted_from_the_same_origin():
    for stamp in ("2000-01-01", "2000-01-01 11:00", "2000-01-01 12:00", "2000-01-01 23:00"):
        whole = times(stamp, n=60, freq="D")
        axis = axis_of(whole)
        for first in (1, 2, 31):
            later = axis_of(whole[first:], like=axis)
            np.testing.assert_array_equal(later.numbers, axis.numbers[first:])


def test_times_that_are_a_few_milliseconds_off_are_the_same_steps():
    exact = times("2000-01-01 12:00", n=50, freq="D")
    jitter = np.random.default_rng(0).integers(-2, 3, 50) * np.timedelta64(1, "ms")
    off = xr.DataArray(exact.values + jitter, dims="time")
    np.testing.assert_array_equal(axis_of(off).numbers, axis_of(exact).numbers)


def test_a_single_time_takes_the_step_of_the_axis_it_is_compared_with_and_is_refused_without():
    axis = axis_of(times(freq="D"))
    assert axis_of(times(n=1, freq="D"), like=axis).step == axis.step
    with pytest.raises(ValueError, match="one value only"):
        axis_of(times(n=1, freq="D"))


def test_valid_times_go_on_beyond_the_end_and_stay_in_their_month():
    axis = axis_of(times("2000-01-31", n=13, freq="ME"))
    last = np.array([0, 12])
    shown = axis.valid(last, 1).astype("datetime64[D]").astype(str).tolist()
    assert shown == ["2000-02-29", "2001-02-28"]
    noleap = np.array([cftime.DatetimeNoLeap(2000, 1, 31)], dtype=object)
    step = axis_of(times("2000-01-31", freq="MS", calendar="noleap")).step
    assert shifted(noleap, 1, step)[0] == cftime.DatetimeNoLeap(2000, 2, 28)
    assert shifted(noleap, 14, step)[0] == cftime.DatetimeNoLeap(2001, 3, 31)
    days = axis_of(times("1999-12-30", n=3, freq="D", calendar="360_day"))
    assert days.valid(np.array([2]), 30)[0] == cftime.Datetime360Day(2000, 2, 2)


def test_the_phase_of_the_year_runs_from_0_to_1_in_every_calendar():
    for calendar, length in (("standard", 366), ("noleap", 365), ("360_day", 360)):
        t = times("2000-01-01", n=length, freq="D", calendar=calendar)
        phase = phase_of(t.values, axis_of(t).step)
        np.testing.assert_allclose(phase, np.arange(length) / length)
    monthly = times("2000-01-01", n=12)
    np.testing.assert_allclose(phase_of(monthly.values, axis_of(monthly).step), (np.arange(12) + 0.5) / 12)
    np.testing.assert_array_equal(months_of(monthly.values), np.arange(12))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t[[0, 1, 2, 4, 5, 6]], r"hole: 2000-05-01 follows 2000-03-01.*NaN.*reindex\(time="),
        (lambda t: t[[0, 1, 3, 2, 4, 5]], r"must increase: 2000-03-01 follows 2000-04-01; sort by it"),
        (lambda t: t[[0, 1, 1, 2, 3, 4]], r"must increase: 2000-02-01 follows 2000-02-01; .*drop what repeats"),
        (lambda t: t.copy(data=np.where(np.arange(40) == 3, np.datetime64("NaT"), t.values)), "NaT"),
    ],
    ids=["hole", "unsorted", "repeated", "missing"],
)
def test_times_that_are_no_regular_axis_are_refused_with_the_place_and_the_remedy(change, message):
    with pytest.raises(ValueError, match=message):
        axis_of(change(times()))


def test_steps_of_odd_lengths_are_refused():
    seconds = np.datetime64("2000-01-01", "ns") + np.arange(20) * np.timedelta64(700, "s")
    with pytest.raises(ValueError, match="700 seconds.*whole hours"):
        axis_of(xr.DataArray(seconds, dims="time"))
    with pytest.raises(ValueError, match="one-dimensional"):
        axis_of(xr.DataArray(times().values.reshape(2, 20), dims=("a", "b")))


def test_another_step_and_another_calendar_than_in_training_are_refused():
    axis = axis_of(times(freq="D"))
    with pytest.raises(ValueError, match="steps of 6 hours.*fitted on steps of 1 days"):
        axis_of(times(freq="6h"), like=axis)
    with pytest.raises(
        ValueError, match="noleap calendar, the forecast was fitted on steps of 1 days in the proleptic_gregorian"
    ):
        axis_of(times(freq="D", calendar="noleap"), like=axis)
    same = xr.date_range("2000-03-01", periods=40, freq="D", calendar="standard", use_cftime=True)
    assert axis_of(xr.DataArray(same, dims="time"), like=axis).step == axis.step


# ---- fields -----------------------------------------------------------------------------------------------------------


def test_cells_without_any_value_are_land_and_weights_are_areas(make_field):
    field = make_field(24, (3, 4))
    field[:, 1, 1] = np.nan
    field[:5, 0, 0] = np.nan
    record = read(field)
    assert record.layout.cells == 11
    assert record.values.shape == (24, 11)
    assert record.values.dtype == np.float64
    whole = record.layout.spread(record.layout.weights)
    assert np.isnan(whole[1, 1])
    wide = np.sin(np.deg2rad(field.lat.values + 1)) - np.sin(np.deg2rad(field.lat.values - 1))
    np.testing.assert_allclose(whole[:, 0] / whole[0, 0], wide / wide[0], rtol=1e-4)
    np.testing.assert_array_equal(record.layout.spread(record.values)[:, 0, 2], field.values[:, 0, 2])


def test_stations_weigh_the_same_and_are_no_lattice(make_field):
    layout = read(make_field(24, (5,))).layout
    np.testing.assert_array_equal(layout.weights, 1)
    assert layout.lattice() is None
    assert read(make_field(24, (3, 4))).layout.lattice() == (3, 4)


def test_dimensions_in_any_order_and_lazy_input_give_the_same_record(make_field):
    field = make_field(24, (3, 4))
    first = read(field)
    for other in (
        field.transpose("lon", "lat", "time"),
        field.chunk({"time": 7, "lat": 2}),
        field.to_dataset(),
        field.assign_coords(time_bnds=("time", np.zeros(24))),
    ):
        again = read(other, like=first.layout, axis=first.axis)
        np.testing.assert_array_equal(again.values, first.values)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: f.where(f.lon < 0), "train: 'sst' has no value at all"),
        (lambda f: f.copy(data=np.where(f.values == f.values.max(), np.inf, f.values)), "'sst' has infinite values"),
        (lambda f: xr.Dataset({"sst": f, "chl": f}), r"variables \['sst', 'chl'\].*ds\['sst'\]"),
        (lambda f: f.values, "must be an xarray DataArray or Dataset, got ndarray"),
        (lambda f: f.isel(time=[0, 1, 2, 5]), "train: time has a hole"),
    ],
    ids=["empty", "infinite", "two variables", "array", "hole"],
)
def test_fields_that_cannot_be_forecast_are_refused_by_name(make_field, change, message):
    with pytest.raises(ValueError, match=message):
        read(change(make_field(24)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: f.isel(lon=slice(0, 2)), "init has 2 cells along 'lon', the forecast was fitted on 3.*regrid"),
        (lambda f: f.assign_coords(lon=f.lon + 1), "coordinate 'lon' differs.*151.0, then 150.0"),
        (lambda f: f.isel(lat=slice(None, None, -1)), "coordinate 'lat' differs.*reorder"),
        (lambda f: f.assign_attrs(units="K"), "init is in 'K', the forecast was fitted in 'degC'; convert"),
        (lambda f: f.isel(lat=0), "init has the dimensions"),
        (lambda f: f.expand_dims(depth=[0.0]), "init has the dimensions"),
        (lambda f: f.isel(time=slice(0, 24, 2)), "init: time"),
    ],
    ids=["smaller", "moved", "flipped", "units", "a dimension less", "a dimension more", "step"],
)
def test_another_grid_unit_or_step_than_in_training_is_refused_with_both_named(make_field, change, message):
    field = make_field(24)
    fitted = read(field)
    with pytest.raises(ValueError, match=message):
        read(change(field), like=fitted.layout, axis=fitted.axis, what="init")


def test_other_station_names_are_refused(make_field):
    field = make_field(24, (3,))
    fitted = read(field)
    with pytest.raises(ValueError, match="'station' differs"):
        read(field.assign_coords(station=["a", "b", "c"]), like=fitted.layout, axis=fitted.axis, what="init")


def test_a_period_is_a_pair_of_dates_or_years_with_both_ends(make_field):
    axis = read(make_field(48)).axis
    np.testing.assert_array_equal(as_period(("1981", "1982"), axis, what="train"), np.arange(12, 36))
    np.testing.assert_array_equal(as_period((1981, 1982), axis, what="train"), np.arange(12, 36))
    np.testing.assert_array_equal(as_period(slice(None, "1980-03-01"), axis, what="train"), np.arange(3))
    np.testing.assert_array_equal(as_period((axis.times[3], axis.times[5]), axis, what="train"), [3, 4, 5])
    noleap = read(make_field(48, calendar="noleap")).axis
    np.testing.assert_array_equal(as_period((noleap.times[3], noleap.times[5]), noleap, what="train"), [3, 4, 5])


@pytest.mark.parametrize(
    ("period", "message"),
    [
        (("2010", "2011"), r"train=\('2010', '2011'\) has no data: the record runs from 1980-01-01 to 1983-12-01"),
        (("soon", "later"), "cannot be read as dates"),
        ("1980", "pair of dates"),
        (1980, "pair of dates"),
    ],
)
def test_a_period_without_data_or_without_dates_is_refused(make_field, period, message):
    with pytest.raises(ValueError, match=message):
        as_period(period, read(make_field(48)).axis, what="train")
