from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy.stats import norm

from oceankit.forecast import DampedPersistence, pretrained


def sea(years=12, seed=0):
    """Daily temperatures of a place that is not in the training: a season and two red noises."""
    time = pd.date_range("1990-01-01", periods=365 * years, freq="D")
    rng = np.random.default_rng(seed)
    parts = []
    for memory, size in ((0.98, 0.6), (0.8, 0.4)):
        noise, x = size * np.sqrt(1 - memory**2) * rng.standard_normal(len(time)), np.zeros(len(time))
        for i in range(1, len(time)):
            x[i] = memory * x[i - 1] + noise[i]
        parts.append(x)
    values = 18 + 3 * np.cos(2 * np.pi * time.day_of_year / 365.25) + sum(parts)
    return xr.DataArray(values, dims="time", coords={"time": time}, name="sst", attrs={"units": "degC"})


@pytest.mark.parametrize("name", ["sst_daily", "surge_hourly"])
def test_each_model_has_a_card_with_scores_and_limits(name):
    card = pretrained.card(name)
    for heading in ("## Data", "## Method", "## Scores", "## What it must not be used for"):
        assert heading in card
    model = pretrained(name)
    assert name in pretrained.names()
    assert model.parameters < 1_000_000
    assert model.kept["mean"].min() >= 0
    assert model.kept["mean"].max() <= 1


def test_a_model_serves_a_place_that_it_never_saw_with_an_honest_spread():
    sst = sea()
    history, later = sst.isel(time=slice(0, 365 * 8)), ("1998-06-01", "2001-11-30")
    model = pretrained("sst_daily").localise(history)
    ours = model.hindcast(sst, period=later)
    damped = DampedPersistence(leads=model.leads).fit(history).hindcast(sst, period=later)
    truth = sst.sel(time=ours["valid_time"]).drop_vars("time")
    errors = [np.sqrt(((f["mean"] - truth) ** 2).mean("init_time")) for f in (ours, damped)]
    # Two red noises are no sea: the correction may cost a little there, but not much.
    assert (errors[0] < 1.06 * errors[1]).all()
    inside = (abs(ours["mean"] - truth) < 1.645 * ours["std"]).mean("init_time")
    assert ((inside > 0.72) & (inside < 0.97)).all()


def test_off_western_australia_it_beats_damped_persistence_at_every_lead():
    path = Path(__file__).resolve().parents[3] / "shared" / "data" / "sst_points" / "oisst_daily_WA_1982_2022.nc"
    if not path.is_file():
        pytest.skip(f"needs {path.name}, which is not beside the project")
    sst = xr.open_dataset(path)["sst"].load().astype(float).assign_attrs(units="degC")
    history, later = sst.sel(time=slice("1982", "2011")), ("2012-01-01", "2022-12-16")
    model = pretrained("sst_daily").localise(history)
    ours = model.hindcast(sst, period=later)
    damped = DampedPersistence(leads=model.leads).fit(history).hindcast(sst, period=later)
    truth = sst.sel(time=ours["valid_time"]).drop_vars("time")
    rmse, theirs = (np.sqrt(((f["mean"] - truth) ** 2).mean("init_time")) for f in (ours, damped))
    assert (rmse < theirs).all()
    brier, simple = (
        ((p - (truth > ours["threshold"])) ** 2).mean("init_time")
        for p in (ours["p_event"], norm.sf((ours["threshold"] - damped["mean"]) / damped["std"]) + 0 * damped["mean"])
    )
    assert (brier < simple).all()


def test_models_of_other_steps_units_or_short_histories_are_refused():
    model = pretrained("sst_daily")
    sst = sea(4)
    with pytest.raises(ValueError, match="steps of"):
        model.localise(sst.isel(time=slice(None, None, 7)))
    with pytest.raises(ValueError, match="'K'.*'degC'"):
        model.localise(sst.assign_attrs(units="K"))
    with pytest.raises(ValueError, match="three years"):
        model.localise(sst.isel(time=slice(0, 700)))
    with pytest.raises(ValueError, match=r"no trained forecaster 'tsunami'.*sst_daily"):
        pretrained("tsunami")
