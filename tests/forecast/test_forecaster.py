"""The forecaster adds to its linear base what is there to add and nothing where nothing is, on any field and calendar."""

import numpy as np
import pytest
import xarray as xr

torch = pytest.importorskip("torch", reason="needs the extra 'forecast'")

from oceankit.forecast import Forecaster, hindcast, verify  # noqa: E402
from oceankit.forecast._events import Threshold, calibrate, probability  # noqa: E402
from oceankit.forecast._model import NotFittedError  # noqa: E402
from oceankit.forecast._steps import axis_of  # noqa: E402
from oceankit.forecast.network import Corrector, crps_gaussian  # noqa: E402


def crps(forecast: xr.Dataset, truth: xr.DataArray) -> np.ndarray:
    return verify(forecast, truth, intervals=None)["crps"].values


def kept(model: Forecaster) -> np.ndarray:
    return np.concatenate([model.kept[n].values for n in ("mean", "spread")])


def corrected(model: Forecaster) -> Forecaster:
    """The same with all of its correction kept, so that even a poor one shows."""
    model._shares = np.ones_like(model._shares)
    return model


# ---- what the network adds --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("process", "part"), [("folding", "mean"), ("gusty", "spread")])
def test_the_network_gains_where_the_process_is_not_linear_or_its_noise_depends_on_the_state(make_field, process, part):
    field = make_field(1200, (12,), process=process, start="1900-01-01")
    model = Forecaster(leads=(1, 2)).fit(field.isel(time=slice(0, 1000)))
    assert model.kept[part].values[0] > 0
    ours, zero = (m.hindcast(field, period=("1984", "1999-10")) for m in (model, model.without_network()))
    gain = crps(zero, field) - crps(ours, field)
    assert gain[0] > 0.003
    assert (gain > -0.001).all()


@pytest.mark.parametrize("process", ["white", "red"])
def test_nothing_is_kept_where_a_linear_forecast_is_the_best(make_field, process):
    field = make_field(480, (4,), process=process)
    model = Forecaster(leads=(1, 2)).fit(field.isel(time=slice(0, 400)))
    assert kept(model).mean() <= 0.1
    zero = model.without_network()
    assert zero.name == "forecaster_zero"
    a, b = model.hindcast(field), zero.hindcast(field)
    np.testing.assert_allclose(crps(a, field), crps(b, field), rtol=2e-3)
    if not kept(model).any():
        np.testing.assert_array_equal(a["mean"], b["mean"])
        np.testing.assert_array_equal(a["std"], b["std"])


def test_shares_lie_between_0_and_1(fitted):
    assert fitted.kept.sizes == {"lead_time": 3}
    assert ((kept(fitted) >= 0) & (kept(fitted) <= 1)).all()
    assert kept(fitted).max() > 0


def test_corrections_are_exactly_zero_at_birth():
    net = Corrector(11, 3)
    shift, log_spread = net.eval()(torch.randn(50, 11))
    assert (shift == 0).all()
    assert (log_spread == 0).all()


def test_without_an_epoch_of_training_the_forecast_is_that_of_the_base(make_field):
    field = make_field(240, process="folding")
    model = corrected(Forecaster(leads=(1, 2), epochs=0).fit(field))
    a, b = model.predict(field), model.without_network().predict(field)
    np.testing.assert_array_equal(a["mean"], b["mean"])
    np.testing.assert_array_equal(a["std"], b["std"])


def test_the_loss_is_the_crps_of_a_gaussian():
    rng = np.random.default_rng(0)
    draws = 0.3 + np.exp(0.2) * rng.standard_normal((2, 400_000))
    for truth in (-1.0, 0.3, 2.5):
        by_hand = np.abs(draws[0] - truth).mean() - 0.5 * np.abs(draws[0] - draws[1]).mean()
        found = crps_gaussian(*(torch.tensor(v, dtype=torch.float64) for v in (0.3, 0.2, truth)))
        assert float(found) == pytest.approx(by_hand, abs=0.006)


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(make_field):
    field = make_field(200, (3,), process="folding")
    a, b, c = (Forecaster(leads=(1,), epochs=2, seed=s).fit(field) for s in (0, 0, 1))
    for one, same, other in zip(*(m._nets[0].parameters() for m in (a, b, c)), strict=True):
        assert torch.equal(one, same)
        assert not torch.equal(one, other)


def test_the_network_is_small_and_global_random_numbers_are_left_alone(make_field):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    model = Forecaster(leads=(1, 2), epochs=1).fit(make_field(200))
    assert torch.equal(torch.rand(3), expected)
    assert 0 < model.parameters < 1_000_000


def test_progress_is_told_after_each_epoch(make_field):
    seen = []
    Forecaster(leads=(1,), epochs=2).fit(make_field(200), progress=lambda *told: seen.append(told))
    assert [(epoch, epochs) for epoch, epochs, _ in seen] == [(1, 2), (2, 2)]
    assert all(np.isfinite(score) for *_, score in seen)


def test_a_validation_period_decides_instead_of_blocks_of_the_training(lively):
    train, later = lively.isel(time=slice(0, 300)), lively.isel(time=slice(300, 400))
    judged = Forecaster(leads=(1, 2)).fit(train, later)
    alone = Forecaster(leads=(1, 2)).fit(train)
    for name in ("_season", "_threshold"):
        np.testing.assert_array_equal(getattr(judged, name).table, getattr(alone, name).table)
    np.testing.assert_array_equal(judged._chain.slopes[1], alone._chain.slopes[1])
    assert judged.history["scores"] != alone.history["scores"]
    assert kept(judged).max() > 0
    with pytest.raises(ValueError, match="validation begins before train ends"):
        Forecaster(leads=(1,)).fit(train, lively.isel(time=slice(299, 400)))
    with pytest.raises(ValueError, match="validation has 5 steps.*make it longer"):
        Forecaster(leads=(1,)).fit(train, lively.isel(time=slice(300, 305)))
    with pytest.raises(ValueError, match="validation is in 'K'"):
        Forecaster(leads=(1,)).fit(train, later.assign_attrs(units="K"))


# ---- forecasts --------------------------------------------------------------------------------------------------------


def test_predict_is_the_slice_of_the_hindcast_and_names_everything(fitted, lively):
    many = fitted.hindcast(lively, period=("2014", "2016"))
    assert many.sizes == {"init_time": 36, "lead_time": 3, "lat": 2, "lon": 4}
    for i in (0, 17, 35):
        one = fitted.predict(lively.sel(time=slice(None, many["init_time"][i])))
        # float32 matrices of other shapes round differently
        xr.testing.assert_allclose(one, many.isel(init_time=i), rtol=1e-6, atol=1e-6)
    assert sorted(one.data_vars) == ["mean", "p_event", "std", "threshold"]
    assert one["mean"].attrs["units"] == one["std"].attrs["units"] == one["threshold"].attrs["units"] == "degC"
    assert one["p_event"].attrs["units"] == "1"
    assert one["lead_time"].attrs["step"] == "1 months"
    assert one["init_time"].values == lively["time"].values[443]
    np.testing.assert_array_equal(one["valid_time"], lively["time"].values[[444, 445, 447]])
    assert one.attrs["forecaster"] == "forecaster"
    np.testing.assert_array_equal(one["lat"], lively["lat"])


def test_land_stays_land_and_the_sea_is_forecast_everywhere(fitted, lively):
    forecast = fitted.hindcast(lively, period=("2014", "2016"))
    for name in ("mean", "std", "p_event", "threshold"):
        values = forecast[name].values
        assert np.isnan(values[:, :, 1, 2]).all()
        assert np.isfinite(np.delete(values.reshape(*values.shape[:2], -1), 6, axis=2)).all()
    assert (forecast["std"].values[:, :, 0] > 0).all()


def test_forecasts_do_not_depend_on_chunks_the_order_of_dimensions_or_packing(fitted, lively):
    expected = fitted.predict(lively)
    for other in (
        lively.chunk({"time": 50, "lat": 1, "lon": 3}),
        lively.transpose("lon", "time", "lat"),
        lively.to_dataset(),
        lively.chunk(time=-1).transpose("lon", "lat", "time"),
    ):
        xr.testing.assert_identical(fitted.predict(other), expected)


def test_fitting_does_not_depend_on_chunks_or_the_names_of_dimensions(make_field):
    field = make_field(240, process="folding")
    plain = corrected(Forecaster(leads=(1, 2), epochs=2).fit(field)).predict(field)
    lazy = field.chunk({"time": 37, "lat": 1})
    xr.testing.assert_identical(corrected(Forecaster(leads=(1, 2), epochs=2).fit(lazy)).predict(lazy), plain)
    renamed = field.rename(lat="latitude", lon="longitude", time="t")
    other = corrected(Forecaster(leads=(1, 2), epochs=2).fit(renamed)).predict(renamed)
    np.testing.assert_array_equal(other["mean"], plain["mean"])
    assert other["mean"].dims == ("lead_time", "latitude", "longitude")


@pytest.mark.parametrize(
    "change",
    [
        lambda f: f.isel(lat=slice(None, None, -1)),
        lambda f: f.transpose(..., "lon", "lat"),
        lambda f: f.assign_coords(lon=(f.lon + 180) % 360 - 180),
    ],
    ids=["north first", "lon before lat", "other longitudes"],
)
def test_fits_to_another_orientation_of_the_grid_forecast_the_same(make_field, change):
    field = make_field(300, (2, 3), process="folding")
    field["lon"] = field["lon"] + 30
    turned = change(field)
    fits = [Forecaster(leads=(1, 2), epochs=4).fit(f.isel(time=slice(0, 240))) for f in (field, turned)]
    a, b = (m.without_network().hindcast(f)["mean"] for m, f in zip(fits, (field, turned), strict=True))
    np.testing.assert_allclose(change(a).values, b.values, atol=1e-5)
    # The network sees its samples in another order; what it learns is nearly the same.
    a, b = (corrected(m).hindcast(f)["mean"] for m, f in zip(fits, (field, turned), strict=True))
    assert float(np.abs(change(a).values - b.values).mean()) < 0.05


@pytest.mark.parametrize(
    ("freq", "calendar", "start", "steps", "shape"),
    [
        ("D", "standard", "2000-01-01 12:00", 1300, (2,)),
        ("D", "noleap", "2000-01-01", 1300, (2,)),
        ("D", "360_day", "2000-01-01", 1300, (2,)),
        ("MS", "noleap", "1980-01-01", 240, (2, 2)),
        ("30D", "360_day", "1980-01-16", 240, (2, 2)),
        ("h", "standard", "2000-01-01", 1500, (3,)),
        ("6h", "standard", "2000-01-01 03:00", 1500, ()),
    ],
)
def test_any_calendar_and_step_and_any_layout_is_forecast(make_field, freq, calendar, start, steps, shape):
    field = make_field(steps, shape, freq=freq, calendar=calendar, start=start, process="folding")
    model = corrected(Forecaster(leads=(1, 3), epochs=2).fit(field.isel(time=slice(0, int(steps * 0.8)))))
    forecast = model.hindcast(field.isel(time=slice(-500, None)))
    assert np.isfinite(forecast["mean"]).all()
    assert forecast["mean"].dims == ("init_time", "lead_time", *field.dims[1:])
    last = model.predict(field)
    xr.testing.assert_allclose(last["mean"], forecast["mean"].isel(init_time=-1), rtol=1e-4)
    inside = forecast.isel(init_time=slice(-100, -3))
    np.testing.assert_array_equal(inside["valid_time"].isel(lead_time=1), field["time"].values[-97:])
    truth = field.sel(time=inside["valid_time"].isel(lead_time=0).values).values
    assert np.sqrt(((inside["mean"].isel(lead_time=0).values - truth) ** 2).mean()) < 1.0


def test_series_with_gaps_are_forecast(make_field):
    field = make_field(2000, (3,), freq="h", process="folding", season=0.0)
    holed = field.where(np.random.default_rng(0).random(field.shape) > 0.1)
    holed[1000:1060, 1] = np.nan
    holed[0] = field[0]
    model = corrected(Forecaster(leads=(1, 6), epochs=2).fit(holed.isel(time=slice(0, 1600))))
    forecast = model.hindcast(holed)
    assert np.isfinite(forecast["mean"]).all()
    whole = model.hindcast(field)
    assert float(abs(forecast["mean"] - whole["mean"]).mean()) < 0.2


# ---- other places -----------------------------------------------------------------------------------------------------


def test_a_local_forecaster_serves_places_it_never_saw(make_field):
    here, there = make_field(600, (6,), process="folding"), make_field(480, (2, 2), process="folding", seed=9)
    there = (there + 5).assign_attrs(units="degC")
    model = Forecaster(leads=(1, 2), local=True).fit(here)
    assert model.kept["mean"].values[0] > 0
    own = model.localise(there.isel(time=slice(0, 360)))
    np.testing.assert_array_equal(kept(own), kept(model))
    ours, zero = (m.hindcast(there, period=("2011", "2018")) for m in (own, own.without_network()))
    assert ours["mean"].dims == ("init_time", "lead_time", "lat", "lon")
    assert crps(ours, there)[0] < crps(zero, there)[0]
    assert abs(float(ours["mean"].mean()) - 20) < 1
    # the first one still serves its own place
    assert model.predict(here)["mean"].dims == ("lead_time", "station")


def test_a_local_forecast_of_a_cell_does_not_depend_on_the_others(make_field):
    field = make_field(300, (4,), process="folding")
    model = corrected(Forecaster(leads=(1, 2), local=True, epochs=2).fit(field))
    alone = model.localise(field.isel(station=[2])).predict(field.isel(station=[2]))
    together = model.localise(field).predict(field)
    xr.testing.assert_allclose(alone["mean"], together["mean"].isel(station=[2]), rtol=1e-6)
    xr.testing.assert_allclose(alone["std"], together["std"].isel(station=[2]), rtol=1e-6)


def test_only_local_forecasters_are_moved_and_only_to_the_same_steps_and_units(make_field, fitted):
    field = make_field(300, (3,))
    local = Forecaster(leads=(1,), local=True, epochs=1).fit(field)
    with pytest.raises(ValueError, match="only a forecaster with local=True"):
        fitted.localise(field)
    with pytest.raises(ValueError, match="history is in 'K', the forecaster was trained in 'degC'"):
        local.localise(field.assign_attrs(units="K"))
    with pytest.raises(ValueError, match="history has 24 steps; three years"):
        local.localise(field.isel(time=slice(0, 24)))
    with pytest.raises(ValueError, match="fitted on steps of 1 months"):
        local.localise(make_field(1500, (3,), freq="D"))


# ---- forcings ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def driven(make_field):
    """Surge that follows the wind of the same hour, which is white noise: only a forecast of the wind helps."""
    wind = make_field(3600, (), freq="h", process="white", season=0.0).rename("wind").drop_attrs()
    surge = make_field(3600, (12,), freq="h", process="white", season=0.0) * 0.1 + wind
    surge = surge.transpose("time", "station").rename("surge").assign_attrs(units="m")
    forcings = xr.Dataset({"wind": wind})
    model = Forecaster(leads=(1, 3), epochs=12).fit(surge.isel(time=slice(0, 3000)), forcings=forcings)
    return model, surge, forcings


def test_forcings_after_the_start_are_scored_as_perfect_or_as_known_at_the_start_and_labelled(driven):
    model, surge, forcings = driven
    assert model.kept["mean"].values.max() > 0
    starts = (surge["time"].values[3000], surge["time"].values[3590])
    perfect = model.hindcast(surge, period=starts, forcings=forcings, known="perfect")
    at_start = model.hindcast(surge, period=starts, forcings=forcings)
    assert perfect.attrs["forcings"] == "perfect: as they came"
    assert at_start.attrs["forcings"] == "as known at the start"
    assert (crps(perfect, surge) < 0.98 * crps(at_start, surge)).all()
    with pytest.raises(ValueError, match="known must be 'perfect' or 'start', got 'guess'"):
        model.hindcast(surge, forcings=forcings, known="guess")


def test_forcings_known_at_the_start_hide_what_came_after(driven):
    model, surge, forcings = driven
    t = 1400
    later = forcings.copy(deep=True)
    later["wind"][t + 1 :] = 99.0
    when = (surge["time"].values[t - 20], surge["time"].values[t])
    a, b = (model.hindcast(surge, period=when, forcings=f) for f in (forcings, later))
    xr.testing.assert_identical(a, b)
    c = model.hindcast(surge, period=when, forcings=later, known="perfect")
    assert (c["mean"].isel(init_time=-1) != a["mean"].isel(init_time=-1)).all()


def test_predict_takes_the_forecast_forcings_and_a_member_for_each(driven):
    model, surge, forcings = driven
    init = surge.isel(time=slice(0, 1400))
    window = forcings.isel(time=slice(1390, 1410))
    calm, windy = model.predict(init, forcings=window * 0 + 15), model.predict(init, forcings=window * 0 + 17)
    assert (windy["mean"] > calm["mean"]).all()
    both = xr.concat([window * 0 + 15, window * 0 + 17], dim=xr.DataArray([4, 7], dims="member", name="member"))
    forecast = model.predict(init, forcings=both)
    assert forecast.sizes == {"member": 2, "lead_time": 2, "station": 12}
    assert forecast["member"].values.tolist() == [4, 7]
    for member, one in ((4, calm), (7, windy)):
        xr.testing.assert_identical(forecast["mean"].sel(member=member, drop=True), one["mean"])
    hind = model.hindcast(surge, period=(surge["time"].values[1399],) * 2, forcings=forcings, known="perfect")
    one = model.predict(init, forcings=forcings)
    xr.testing.assert_allclose(one["mean"], hind["mean"].isel(init_time=0), rtol=1e-6)


@pytest.mark.parametrize(
    ("forcings", "message"),
    [
        (lambda f: None, "fitted with forcings; pass them here too: forcings="),
        (lambda f: f.rename(wind="gust"), r"forcings lack \['wind'\]; the forecaster was fitted with \['wind'\]"),
        (lambda f: f.isel(time=slice(0, 1402)), "forcing 'wind' has no value at 1980-02-28 10:00.*every time needed"),
        (lambda f: f.isel(time=slice(1403, None)), "forcing 'wind' has no value at 1980-02-28 07:00"),
        (lambda f: f.expand_dims(station=[f"s{i}" for i in range(12)]), "forcing 'wind' has the dimensions"),
        (lambda f: f.isel(time=slice(0, None, 2)), "forcing 'wind'.*steps"),
    ],
    ids=["none", "another name", "too short", "too late", "other dimensions", "another step"],
)
def test_forcings_that_are_missing_are_refused_by_name_and_time(driven, forcings, message):
    model, surge, every = driven
    with pytest.raises(ValueError, match=message):
        model.predict(surge.isel(time=slice(0, 1400)), forcings=forcings(every))


def test_forcings_for_a_forecaster_without_and_of_another_shape_are_refused(fitted, lively, make_field):
    with pytest.raises(ValueError, match="fitted without any; fit it with forcings="):
        fitted.predict(lively, forcings=lively)
    with pytest.raises(ValueError, match="fitted without any"):
        fitted.hindcast(lively, forcings=lively)
    field = make_field(240, (3,))
    with pytest.raises(ValueError, match=r"forcing 'sst' has the dimensions \('lat', 'lon'\)"):
        Forecaster(leads=(1,)).fit(field, forcings=make_field(240, (2, 3)))


def test_a_forcing_may_have_the_cells_of_the_field_and_a_rolling_hindcast_takes_it(make_field):
    field = make_field(400, (2, 2))
    field[:, 1, 1] = np.nan
    heat = make_field(400, (2, 2), process="white", seed=3).rename("heat")
    field = (field + heat.shift(time=1, fill_value=15.0)).rename("sst").assign_attrs(units="degC")
    rolled = hindcast(
        Forecaster(leads=(1,), epochs=1), field, period=("2008", "2009"), refit=["2008-01-01"], forcings=heat
    )
    assert rolled.sizes["init_time"] == 24
    assert np.isfinite(rolled["mean"].values[:, 0, 0, 0]).all()


# ---- events -----------------------------------------------------------------------------------------------------------


def test_probabilities_lie_between_0_and_1_and_fall_as_the_threshold_rises(make_field):
    field = make_field(360, (3,), process="folding", season=0.0)
    means = []
    for limit in (14.5, 15.0, 15.5, 16.0):
        model = Forecaster(leads=(1, 2), epochs=2, event_threshold=limit).fit(field.isel(time=slice(0, 300)))
        forecast = model.hindcast(field, period=("2005", "2008"))
        p = forecast["p_event"].values
        assert ((p >= 0) & (p <= 1)).all()
        assert (forecast["threshold"] == limit).all()
        means.append(float(p.mean()))
        happened = float((field.sel(time=slice("2005", "2008")) > limit).mean())
        assert means[-1] == pytest.approx(happened, abs=0.1)
    assert (np.diff(means) < 0).all()
    rare, common = (Forecaster(leads=(1,), epochs=1, event_percentile=q).fit(field).hindcast(field) for q in (95, 60))
    assert (rare["threshold"] > common["threshold"]).all()
    assert float(rare["p_event"].mean()) < float(common["p_event"].mean())


def test_a_probability_falls_with_the_threshold_whatever_its_calibration():
    limits = np.linspace(-3, 3, 50)
    for fit in (None, np.array([0.0, 1.3, 0.0]), np.array([0.1, 0.5, 0.4])):
        p = probability(np.zeros(50), np.ones(50), limits, fit, None if fit is None else -limits / 1.2)
        assert (np.diff(p) < 0).all()
        assert ((p > 0) & (p < 1)).all()


def test_calibration_narrows_overconfident_probabilities_and_leaves_good_ones_alone():
    rng = np.random.default_rng(0)
    excess = rng.normal(-1, 1, 60_000)
    part = np.arange(60_000) * 30 // 60_000
    good = (excess + rng.standard_normal(60_000) > 0).astype(float)
    np.testing.assert_array_equal(calibrate(excess, None, good, np.ones(60_000), part)[[0, 2]], 0)
    assert calibrate(excess, None, good, np.ones(60_000), part)[1] == pytest.approx(1, abs=0.05)
    fit = calibrate(2 * excess, None, good, np.ones(60_000), part)
    assert fit[1] == pytest.approx(0.5, abs=0.1)
    never = np.zeros(60_000)
    np.testing.assert_array_equal(calibrate(excess, None, never, np.ones(60_000), part), [0, 1, 0])


def test_thresholds_of_days_follow_the_day_of_the_year_in_leap_years_too(make_field):
    table = np.arange(366.0)[:, None]
    for calendar, last in (("standard", 365), ("noleap", 365), ("360_day", 359)):
        field = make_field(400, (), freq="D", calendar=calendar, start="2001-01-01")
        axis = axis_of(field["time"])
        days = Threshold(table, axis.step).at(axis.times)[:, 0]
        assert days[0] == 0
        year = {"standard": 365, "noleap": 365, "360_day": 360}[calendar]
        assert days[year - 1] == last
        # 1 March is day 61 of the table, in every year
        assert calendar == "360_day" or days[59] == 60


# ---- bad input --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"leads": (3, 1)}, "leads must be increasing whole numbers"),
        ({"leads": (1,), "event_percentile": 100}, "event_percentile must lie between 0 and 100, got 100"),
        ({"leads": (1,), "folds": 1}, "folds must be 2 or more, got 1"),
        ({"leads": (1,), "device": "tpu"}, "device='tpu' is not there; use 'cpu'"),
    ],
)
def test_settings_that_make_no_sense_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Forecaster(**options)


def test_a_forecast_before_the_fit_is_refused(make_field):
    for call in (lambda m: m.predict(make_field(100)), lambda m: m.kept, lambda m: m.save("nowhere")):
        with pytest.raises(NotFittedError, match=r"call .fit\(train\) first"):
            call(Forecaster(leads=(1,)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: f.isel(time=np.delete(np.arange(240), 7)), "time has a hole: 1980-09-01 follows 1980-07-01"),
        (lambda f: f.isel(time=slice(None, None, -1)), "must increase.*sort by it"),
        (lambda f: f.isel(time=[0, 0, *range(1, 239)]), "must increase.*drop what repeats"),
        (lambda f: f * np.nan, "no value at all"),
        (lambda f: f.where(f < 18, np.inf), "has infinite values; set them to NaN"),
        (lambda f: f.isel(time=slice(0, 60)), "train has 60 steps; leads to 3, 11 steps of history and 5 blocks need"),
        (lambda f: f.where(f["time"].dt.month != 2), "no value for month 2 in 6 of 6 cells"),
    ],
    ids=["missing month", "backwards", "repeated", "empty", "infinite", "short", "no February"],
)
def test_training_data_that_cannot_serve_are_refused_with_the_remedy(make_field, change, message):
    with pytest.raises(ValueError, match=message):
        Forecaster(leads=(1, 3)).fit(change(make_field(240).rename("sst")))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: f.isel(lon=slice(0, 2)), "init has 2 cells along 'lon', the forecast was fitted on 4"),
        (lambda f: f.assign_coords(lat=f.lat + 0.5), "coordinate 'lat' differs"),
        (lambda f: f.assign_attrs(units="K"), "init is in 'K', the forecast was fitted in 'degC'"),
        (lambda f: f.isel(time=slice(-8, None)), "init has 8 steps, this Forecaster looks at 12"),
        (lambda f: f.isel(time=slice(0, None, 3)), "steps of 3 months.*fitted on steps of 1 months"),
        (lambda f: f.isel(time=[*range(100), 120]), "init: time has a hole"),
        (lambda f: f.where(f < 18, -np.inf), "init: 'sst' has infinite values"),
    ],
    ids=["smaller", "moved", "units", "no history", "step", "hole", "infinite"],
)
def test_fields_unlike_the_training_data_are_refused_at_prediction(fitted, lively, change, message):
    with pytest.raises(ValueError, match=message):
        fitted.predict(change(lively))


def test_an_empty_field_has_no_forecast_and_an_empty_cell_leaves_the_others_alone(fitted, lively):
    assert np.isnan(fitted.predict(lively * np.nan)["mean"]).all()
    cell = lively.copy()
    cell[:, 0, 1] = np.nan
    forecast = fitted.predict(cell.assign_attrs(lively.attrs))
    assert np.isnan(forecast["mean"].values[:, 0, 1]).all()
    assert np.isfinite(forecast["mean"].values[:, 0, [0, 2, 3]]).all()


@pytest.mark.extra
def test_kaplan_is_trained_within_minutes_and_forecast_within_milliseconds(shared):
    import time as clock

    with xr.open_dataset(shared / "data" / "forecast" / "kaplan_sst_anom_tropPac_5deg_1856_2014.nc") as ds:
        sst = ds[next(n for n in ds.data_vars if ds[n].ndim == 3)].load()
    begin = clock.process_time()
    model = Forecaster(leads=range(1, 13), climatology=("1970", "1999")).fit(sst.sel(time=slice("1900", "1999")))
    assert clock.process_time() - begin < 300
    assert model.parameters < 1_000_000
    period = ("2000-12", "2013-10")
    zero, ours = model.without_network().hindcast(sst, period=period), model.hindcast(sst, period=period)
    a, b = (verify(f, sst, intervals=None)["rmse"].values for f in (ours, zero))
    assert (a < 1.01 * b).all()
    # the equal blend of the reference scores at 1, 3 and 6 months
    assert (a[[0, 2, 5]] < [0.2554, 0.4058, 0.4888]).all()
    window = sst.isel(time=slice(-14, None)).load()
    model.predict(window)
    walls = []
    for _ in range(5):
        begin = clock.perf_counter()
        model.predict(window)
        walls.append(clock.perf_counter() - begin)
    assert min(walls) < 0.1
