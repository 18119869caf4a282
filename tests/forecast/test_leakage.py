"""Nothing that lies after the split reaches what is learnt, and nothing after a start reaches its forecast."""

import numpy as np
import pytest
import xarray as xr

torch = pytest.importorskip("torch", reason="needs the extra 'forecast'")

from oceankit.forecast import (  # noqa: E402
    LIM,
    Blend,
    Climatology,
    DampedPersistence,
    Forecaster,
    Persistence,
    SeasonalRidge,
    scoreboard,
)
from oceankit.forecast._arrays import read_arrays  # noqa: E402

BASELINES = [Climatology, Persistence, DampedPersistence, LIM, SeasonalRidge, Blend]


def corrupted(field: xr.DataArray, split: int, how: str) -> xr.DataArray:
    """Every value from row ``split`` on replaced."""
    rng = np.random.default_rng(7)
    out = field.copy(deep=True)
    later = out.values[split:]
    if how == "missing":
        later[...] = np.nan
    elif how == "huge":
        later[...] = 1e8 * rng.standard_normal(later.shape)
    else:
        later[...] = np.where(rng.random(later.shape) < 0.5, np.nan, -1e6)
    return out


def learnt(model: Forecaster, path) -> dict[str, bytes]:
    """Everything that a forecaster keeps, as bytes."""
    model.save(path)
    arrays, header = read_arrays(path)
    return {name: array.tobytes() for name, array in arrays.items()} | {"header": repr(header).encode()}


def same(found: dict[str, bytes], expected: dict[str, bytes]) -> None:
    assert found.keys() == expected.keys()
    assert [name for name in expected if found[name] != expected[name]] == []


def names(learned: dict[str, bytes]) -> set[str]:
    return {name.split(".")[0] for name in learned} | {".".join(name.split(".")[:2]) for name in learned}


def fields(make_field):
    months = make_field(360, (2, 3), process="folding")
    months[:, 0, 1] = np.nan
    days = make_field(1900, (2,), freq="D", process="folding", start="2000-01-01")
    return {"monthly": (months, 260), "daily": (days, 1500)}


@pytest.mark.parametrize("how", ["missing", "huge", pytest.param("mixed", marks=pytest.mark.extra)])
@pytest.mark.parametrize("cadence", ["monthly", "daily"])
def test_corrupting_every_value_after_the_split_changes_nothing_that_the_scoreboard_fits(
    make_field, tmp_path, how, cadence
):
    field, split = fields(make_field)[cadence]
    times = field["time"].dt.strftime("%Y-%m-%d").values
    learned = []
    for data in (field, corrupted(field, split, how)):
        model = Forecaster(leads=(1, 3), epochs=3)
        scoreboard(
            data, train=(times[0], times[split - 1]), test=(times[split], times[-1]), leads=(1, 3), models=[model],
            intervals=None,
        )  # fmt: skip
        learned.append(learnt(model, tmp_path / "m"))
    needed = {"season", "memory", "scale", "threshold", "chain.patterns", "chain.step", "chain.slopes", "chain.factors"}
    assert needed | {"spread.1", "wide.1", "net", "shares", "calibration", "inputs.middle"} <= names(learned[0])
    same(learned[1], learned[0])


def test_the_network_that_is_guarded_has_learnt_something(make_field):
    field, split = fields(make_field)["monthly"]
    model = Forecaster(leads=(1, 3), epochs=3)
    model.fit(field.isel(time=slice(0, split)))
    assert any(net.head.weight.abs().max() > 0 for net in model._nets)


@pytest.mark.parametrize("how", ["missing", "huge"])
def test_corrupting_the_training_does_change_what_is_fitted(make_field, tmp_path, how):
    """So that the test above would see a leak."""
    field, split = fields(make_field)["monthly"]
    a, b = (
        learnt(Forecaster(leads=(1, 3), epochs=3).fit(f.isel(time=slice(0, split))), tmp_path / "m")
        for f in (field, corrupted(field, split - 1, how).where(field.notnull().any("time")))
    )
    changed = {name.split(".")[0] for name in a if a[name] != b[name]}
    assert {"season", "scale", "spread", "chain", "net"} <= changed


def test_a_fit_to_the_training_alone_is_that_of_the_scoreboard_to_rounding(make_field, tmp_path):
    field, split = fields(make_field)["monthly"]
    times = field["time"].dt.strftime("%Y-%m-%d").values
    seen = Forecaster(leads=(1, 3), epochs=3)
    scoreboard(
        corrupted(field, split, "mixed"), train=(times[0], times[split - 1]), test=(times[split], times[-1]),
        leads=(1, 3), models=[seen], intervals=None,
    )  # fmt: skip
    alone = Forecaster(leads=(1, 3), epochs=3).fit(field.isel(time=slice(0, split)))
    learned = []
    for model in (seen, alone):
        model.save(tmp_path / "m")
        learned.append(read_arrays(tmp_path / "m")[0])
    for name, array in learned[0].items():
        np.testing.assert_allclose(array, learned[1][name], rtol=1e-4, atol=1e-4, err_msg=name)


@pytest.mark.parametrize("kind", BASELINES)
def test_corrupting_every_value_after_the_split_changes_no_baseline(make_field, kind):
    field, split = fields(make_field)["monthly"]
    times = field["time"].dt.strftime("%Y-%m-%d").values
    early = field.isel(time=slice(0, split))
    hindcasts = []
    for data in (field, corrupted(field, split, "mixed"), corrupted(field, split, "huge")):
        model = kind(leads=(1, 3))
        scoreboard(
            data, train=(times[0], times[split - 1]), test=(times[split], times[-1]), leads=(1, 3), models=[model],
            intervals=None,
        )  # fmt: skip
        hindcasts.append(model.hindcast(early))
    xr.testing.assert_identical(hindcasts[1], hindcasts[0])
    xr.testing.assert_identical(hindcasts[2], hindcasts[0])


def test_a_base_period_within_the_training_keeps_the_rest_of_the_season_out(make_field, tmp_path):
    field, split = fields(make_field)["monthly"]
    train = field.isel(time=slice(0, split))
    outside = train.copy(deep=True)
    outside.values[120:] += 3.0
    a, b = (Forecaster(leads=(1,), epochs=1, climatology=("1980", "1989")).fit(f) for f in (train, outside))
    np.testing.assert_array_equal(a._season.table, b._season.table)


def test_cells_that_have_data_only_in_the_test_period_stay_land(make_field):
    field, split = fields(make_field)["monthly"]
    times = field["time"].dt.strftime("%Y-%m-%d").values
    late = field.copy(deep=True)
    late.values[split:, 0, 1] = 1e6
    period = {"train": (times[0], times[split - 1]), "test": (times[split], times[-1])}
    boards = [
        scoreboard(f, **period, leads=(1,), models=["lim", "damped_persistence"], intervals=None) for f in (field, late)
    ]
    xr.testing.assert_identical(*boards)


@pytest.mark.parametrize("how", ["missing", "huge", "mixed"])
@pytest.mark.parametrize("kind", [*BASELINES, Forecaster])
def test_the_forecast_from_a_start_does_not_know_what_comes_after_it(make_field, kind, how):
    field, split = fields(make_field)["monthly"]
    holed = field.where(np.random.default_rng(0).random(field.shape) > 0.05)
    model = kind(leads=(1, 3), **({"epochs": 3} if kind is Forecaster else {})).fit(holed.isel(time=slice(0, split)))
    if kind is Forecaster:
        model._shares = np.ones_like(model._shares)
    t = split + 30
    when = (str(field["time"].values[t - 12]), str(field["time"].values[t]))
    expected = model.hindcast(holed, period=when)
    xr.testing.assert_identical(model.hindcast(corrupted(holed, t + 1, how), period=when), expected)
    one = model.predict(holed.isel(time=slice(0, t + 1)))
    xr.testing.assert_allclose(one, expected.isel(init_time=-1), rtol=1e-6, atol=1e-6)


def test_trailing_means_of_days_do_not_look_ahead(make_field):
    field, split = fields(make_field)["daily"]
    model = Forecaster(leads=(1, 5), local=True, epochs=2).fit(field.isel(time=slice(0, split)))
    model._shares = np.ones_like(model._shares)
    t = split + 100
    when = (str(field["time"].values[t - 5]), str(field["time"].values[t]))
    expected = model.hindcast(field, period=when)
    xr.testing.assert_identical(model.hindcast(corrupted(field, t + 1, "huge"), period=when), expected)


def test_statistics_do_not_come_from_the_validation_period(make_field, tmp_path):
    field, split = fields(make_field)["monthly"]
    train, later = field.isel(time=slice(0, split)), field.isel(time=slice(split, None))
    a, b = (
        learnt(Forecaster(leads=(1, 3), epochs=2).fit(train, v), tmp_path / "m")
        for v in (later, later + 0.5 * later.shift(time=1, fill_value=15.0).values - 7)
    )
    changed = {name for name in a if a[name] != b[name]}
    assert {name.split(".")[0] for name in changed} <= {"net", "shares", "calibration"}
