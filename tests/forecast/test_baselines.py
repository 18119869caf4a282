"""The simple forecasts find what is known of made processes, and give the published scores of Kaplan's Pacific."""

import csv

import numpy as np
import pytest
import xarray as xr

from oceankit.forecast import (
    LIM,
    Blend,
    Climatology,
    DampedPersistence,
    Persistence,
    SeasonalRidge,
    hindcast,
)
from oceankit.forecast._model import NotFittedError

ALL = [Climatology, Persistence, DampedPersistence, LIM, SeasonalRidge, Blend]
KAPLAN = {"damped_persistence": DampedPersistence, "LIM30": LIM, "ridge_direct": SeasonalRidge, "blend3": Blend}
LEADS = (1, 3, 6, 12)


# ---- published scores -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def kaplan(shared) -> xr.DataArray:
    with xr.open_dataset(shared / "data" / "forecast" / "kaplan_sst_anom_tropPac_5deg_1856_2014.nc") as ds:
        return ds[next(n for n in ds.data_vars if ds[n].ndim == 3)].load()


@pytest.fixture(scope="module")
def published(shared) -> dict[tuple[str, int], dict[str, float]]:
    with (shared / "reference" / "forecast" / "kaplan_scores.csv").open() as file:
        rows = list(csv.DictReader(file))
    number = ("rmse", "nino34_corr")
    return {(r["model"], int(r["lead"])): {k: float(r[k]) for k in number} for r in rows if r["dataset"] == "kaplan"}


@pytest.mark.parametrize("name", KAPLAN)
def test_kaplan_scores_are_those_published(name, kaplan, published):
    model = KAPLAN[name](leads=LEADS, climatology=("1970", "1999")).fit(kaplan.sel(time=slice("1900", "1999")))
    forecast = model.hindcast(kaplan, period=("2000-12", "2013-10"))
    season = kaplan.sel(time=slice("1970", "1999")).groupby("time.month").mean()
    lat, lon = (next(d for d in kaplan.dims if str(d).lower().startswith(n)) for n in ("lat", "lon"))
    weights = np.cos(np.deg2rad(kaplan[lat]))
    box = (abs(kaplan[lat]) <= 5) & (kaplan[lon] % 360 >= 190) & (kaplan[lon] % 360 <= 240)
    for lead in LEADS:
        one = forecast.sel(lead_time=lead)
        truth = kaplan.sel(time=one["valid_time"])
        error = (one["mean"] - truth) ** 2
        found = float(np.sqrt(error.weighted(weights).mean()))
        assert found == pytest.approx(published[name, lead]["rmse"], abs=5e-4), lead
        clim = season.sel(month=one["valid_time"].dt.month)
        index = [(a - clim).where(box).weighted(weights).mean((lat, lon)).values for a in (one["mean"], truth)]
        assert np.corrcoef(*index)[0, 1] == pytest.approx(published[name, lead]["nino34_corr"], abs=5e-3), lead


# ---- made processes ---------------------------------------------------------------------------------------------------


def response(model, field: xr.DataArray, cell: int) -> np.ndarray:
    """What a unit anomaly in one cell makes of all the others, (leads, cells)."""
    calm = xr.zeros_like(field.isel(time=slice(-1, None)))
    struck = calm.copy()
    struck[0, cell] = 1.0
    return (model.predict(struck)["mean"] - model.predict(calm)["mean"]).values


def test_lim_recovers_the_propagator_of_a_vector_process():
    propagator = np.array([[0.9, 0.2, 0.0], [-0.2, 0.8, 0.1], [0.0, 0.0, 0.5]])
    rng = np.random.default_rng(0)
    x = np.zeros((20000, 3))
    for i in range(1, len(x)):
        x[i] = propagator @ x[i - 1] + rng.standard_normal(3)
    time = xr.date_range("1950-01-01", periods=len(x), freq="D")
    field = xr.DataArray(x, dims=("time", "station"), coords={"time": time}, name="x")
    model = LIM(leads=(1, 2, 5)).fit(field)
    for cell in range(3):
        found = response(model, field, cell)
        for i, lead in enumerate((1, 2, 5)):
            np.testing.assert_allclose(found[i], np.linalg.matrix_power(propagator, lead)[:, cell], atol=0.03)


def test_damped_persistence_recovers_the_powers_of_the_autocorrelation_and_the_growth_of_the_spread(make_field):
    field = make_field(20000, (3,), freq="D", start="1950-01-01")
    model = DampedPersistence(leads=(1, 2, 5)).fit(field)
    found = response(model, field, 1)
    np.testing.assert_allclose(found[:, 1], 0.8 ** np.array([1, 2, 5]), atol=0.03)
    np.testing.assert_array_equal(found[:, [0, 2]], 0)
    std = model.predict(field)["std"]
    expected = 0.6 / np.sqrt(1 - 0.8**2) * np.sqrt(1 - 0.8 ** (2 * np.array([1, 2, 5])))
    np.testing.assert_allclose(std.values, np.broadcast_to(expected[:, None], (3, 3)), rtol=0.06)


def test_the_ridge_sees_a_neighbour_that_comes_first(make_field):
    first = make_field(600, (1,), process="white", season=0.0)
    noise = make_field(600, (1,), process="white", season=0.0, seed=1)
    second = first.shift(time=3, fill_value=15.0) + 0.1 * (noise - 15)
    field = xr.concat([first, second.assign_coords(station=["s1"])], dim="station").transpose("time", "station")
    errors = {}
    for kind in (DampedPersistence, SeasonalRidge):
        model = kind(leads=(3,)).fit(field.isel(time=slice(0, 480)))
        late = model.hindcast(field.isel(time=slice(480, 597)))["mean"].isel(station=1, lead_time=0)
        actual = field.isel(station=1, time=slice(483, 600)).values
        errors[kind] = np.sqrt(((late.values - actual) ** 2).mean())
    assert errors[SeasonalRidge] < 0.5 < errors[DampedPersistence]


def test_climatology_is_the_season_and_persistence_adds_todays_anomaly(make_field):
    field = make_field(240)
    season = field.groupby("time.month").mean()
    start = field.isel(time=slice(0, 200))
    clim = Climatology(leads=(1, 7)).fit(field).predict(start)
    for lead in (1, 7):
        target = season.sel(month=int(field["time"][199 + lead].dt.month))
        now = field[199] - season.sel(month=int(field["time"][199].dt.month))
        np.testing.assert_allclose(clim["mean"].sel(lead_time=lead), target)
        same = Persistence(leads=(1, 7)).fit(field).predict(start)["mean"].sel(lead_time=lead)
        np.testing.assert_allclose(same, target + now)


def test_the_climatology_comes_from_the_years_asked_for(make_field):
    field = make_field(240)
    field[120:] += 2.0
    early = Climatology(leads=(1,), climatology=("1980", "1989")).fit(field).predict(field)["mean"]
    both = Climatology(leads=(1,)).fit(field).predict(field)["mean"]
    np.testing.assert_allclose((both - early).mean(), 1.0, atol=0.4)
    np.testing.assert_allclose(early, field[:120].groupby("time.month").mean().sel(month=1).values[None])


def test_the_blend_is_the_mean_of_its_members(make_field):
    field = make_field(240)
    parts = [kind(leads=(1, 3)).fit(field).predict(field)["mean"] for kind in (DampedPersistence, LIM, SeasonalRidge)]
    blend = Blend(leads=(1, 3)).fit(field).predict(field)["mean"]
    np.testing.assert_allclose(blend, sum(parts) / 3, rtol=1e-12)
    own = Blend(leads=(1, 3), members=[Persistence(leads=(1, 3)), LIM(leads=(1, 3), modes=2)]).fit(field)
    pair = [m.fit(field).predict(field)["mean"] for m in (Persistence(leads=(1, 3)), LIM(leads=(1, 3), modes=2))]
    np.testing.assert_allclose(own.predict(field)["mean"], sum(pair) / 2, rtol=1e-12)


# ---- missing values ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ALL)
def test_hourly_series_with_gaps_are_forecast_from_every_start(kind, make_field):
    field = make_field(4000, (3,), freq="h", season=0.0)
    holed = field.where(np.random.default_rng(1).random(field.shape) > 0.1)
    holed[2000:2100, 1] = np.nan
    holed[0] = field[0]
    forecast = kind(leads=(1, 3, 6)).fit(holed).hindcast(holed)
    assert np.isfinite(forecast["mean"]).all()
    assert (forecast["std"] > 0).all()
    whole = kind(leads=(1, 3, 6)).fit(field).hindcast(holed)
    assert float(abs(forecast["mean"] - whole["mean"]).mean()) < 0.15
    assert forecast["lead_time"].attrs["step"] == "1 hours"


def test_gaps_do_not_bend_damped_persistence(make_field):
    field = make_field(20000, (2,), freq="h", season=0.0)
    holed = field.where(np.random.default_rng(1).random(field.shape) > 0.3)
    found = response(DampedPersistence(leads=(1, 4)).fit(holed), field, 0)[:, 0]
    np.testing.assert_allclose(found, [0.8, 0.8**4], atol=0.04)


def test_what_is_missing_at_the_start_is_the_last_value_fading_and_never_a_later_one(make_field):
    field = make_field(240, (2,))
    model = Persistence(leads=(1,)).fit(field)
    holed = field.copy()
    holed[198:200, 0] = np.nan
    season = field.groupby("time.month").mean()
    start = model.predict(holed.isel(time=slice(0, 200)))["mean"][0, 0]
    anomaly = float(start - season.sel(month=int(field["time"][200].dt.month))[0])
    last = float((field[197] - season.sel(month=int(field["time"][197].dt.month)))[0])
    assert 0 < anomaly / last < 1
    inside = model.hindcast(holed).isel(init_time=199, lead_time=0)["mean"][0]
    assert float(inside) == float(start)


# ---- one interface ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ALL)
def test_predict_is_the_hindcast_from_the_last_time(kind, lively):
    model = kind(leads=(1, 4)).fit(lively.isel(time=slice(0, 400)))
    many = model.hindcast(lively, period=("2014-01", "2016-12"))
    assert many.sizes == {"init_time": 36, "lead_time": 2, "lat": 2, "lon": 4}
    for i in (0, 20):
        one = model.predict(lively.sel(time=slice(None, many["init_time"][i])))
        xr.testing.assert_allclose(one, many.isel(init_time=i), rtol=1e-10)
        assert one["mean"].attrs["units"] == "degC"
        assert np.isnan(one["mean"][:, 1, 2]).all()


@pytest.mark.parametrize("kind", ALL)
def test_forcings_are_refused_and_so_is_a_forecast_before_the_fit(kind, make_field):
    field = make_field(120)
    with pytest.raises(NotFittedError, match=r"not fitted; call .fit\(train\) first"):
        kind(leads=(1,)).predict(field)
    with pytest.raises(ValueError, match="takes no forcings; Forecaster does"):
        kind(leads=(1,)).fit(field, forcings=field)


@pytest.mark.parametrize("kind", ALL)
def test_a_horizon_longer_than_the_record_is_refused(kind, make_field):
    with pytest.raises(ValueError, match=r"training period has 24 steps.*too few for a lead of 60.*train on more"):
        kind(leads=(1, 60)).fit(make_field(24))


@pytest.mark.parametrize("leads", [(), (0, 1), (3, 1), (1, 1), (1.5,), "12", None, -1])
def test_leads_are_increasing_whole_numbers(leads):
    with pytest.raises(ValueError, match=r"leads must be increasing whole numbers.*as \(1, 3, 6\)"):
        Persistence(leads=leads)


def test_a_blend_of_other_leads_or_of_nothing_is_refused():
    with pytest.raises(ValueError, match=r"member 'lim' forecasts leads \(1, 2\), the blend \(1, 3\)"):
        Blend(leads=(1, 3), members=[LIM(leads=(1, 2))])
    with pytest.raises(ValueError, match="members is empty"):
        Blend(leads=(1,), members=[])


def test_too_little_history_before_the_start_is_refused(make_field):
    field = make_field(240)
    with pytest.raises(ValueError, match="init has 5 steps, this SeasonalRidge looks at 12: pass the steps before"):
        SeasonalRidge(leads=(1,)).fit(field).predict(field.isel(time=slice(-5, None)))


def test_a_month_that_never_has_a_value_is_refused_with_its_number(make_field):
    field = make_field(240)
    field[2::12, 0, 1] = np.nan
    with pytest.raises(ValueError, match="no value for month 3 in 1 of 6 cells.*longer period, or mask"):
        DampedPersistence(leads=(1,)).fit(field)


def test_a_cell_has_no_forecast_before_its_first_value(make_field):
    field = make_field(240)
    model = DampedPersistence(leads=(1,)).fit(field)
    late = field.copy()
    late[:150, 0, 0] = np.nan
    mean = model.hindcast(late)["mean"][:, 0, 0, 0]
    assert np.isnan(mean[:150]).all()
    assert np.isfinite(mean[150:]).all()


# ---- rolling origin ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("calendar", "name"), [("standard", "time"), ("standard", "T"), ("noleap", "time")])
def test_a_rolling_hindcast_is_fitted_to_what_came_before_each_date(make_field, calendar, name):
    field = make_field(300, calendar=calendar).rename(time=name)
    rolled = hindcast(
        DampedPersistence(leads=(1, 3)), field, period=("2000", "2003"), refit=["2000-01-01", "2002-01-01"]
    )
    assert rolled.sizes["init_time"] == 48
    for first, last, until in (("2000", "2001", 240), ("2002", "2003", 264)):
        own = DampedPersistence(leads=(1, 3)).fit(field.isel({name: slice(0, until)}))
        expected = own.hindcast(field, period=(first, last))
        xr.testing.assert_allclose(rolled.sel(init_time=slice(first, last)), expected, rtol=1e-10)


def test_a_rolling_hindcast_before_its_first_fit_is_refused(make_field):
    field = make_field(240)
    with pytest.raises(ValueError, match="lies before the first refit"):
        hindcast(Persistence(leads=(1,)), field, period=("1995", "1999"), refit=["1996-01-01"])
    with pytest.raises(ValueError, match="refit must be increasing dates"):
        hindcast(Persistence(leads=(1,)), field, refit=["1996-01-01", "1995-01-01"])
    fitted = Persistence(leads=(1,)).fit(field)
    xr.testing.assert_identical(
        hindcast(fitted, field, period=("1990", "1991")), fitted.hindcast(field, period=("1990", "1991"))
    )
