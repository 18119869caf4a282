"""Day by day equals all at once, to the bit, at any split; and what is refused."""

from itertools import pairwise

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

import oceankit
from oceankit.anomaly import climatology, heatwave_days, heatwaves, ongoing, update, updated_events

PERIOD = (2002, 2007)


def followed(field: xr.DataArray, clim: xr.Dataset, cuts, **options) -> xr.Dataset:
    state = clim
    edges = [0, *sorted({int(c) for c in cuts if 0 < c < field.sizes["time"]}), field.sizes["time"]]
    for n, (first, last) in enumerate(pairwise(edges)):
        state = update(state, field.isel(time=slice(first, last)), **(options if n == 0 else {}))
    return state


@pytest.fixture(scope="module")
def small():
    """Three years of a series with gaps, and a threshold that is crossed often."""
    rng = np.random.default_rng(4)
    noise = rng.normal(size=(1096, 2, 3))
    for t in range(1, 1096):
        noise[t] += 0.7 * noise[t - 1]
    noise[rng.random(noise.shape) < 0.06] = np.nan
    noise[300:330, 1] = np.nan
    noise[:, 0, 2] = np.nan
    time = xr.date_range("2001-01-01", periods=1096)
    coords = {"time": time, "lat": [10.0, 11.0], "lon": [100.0, 101.0, 102.0]}
    field = xr.DataArray(noise, dims=("time", "lat", "lon"), coords=coords, name="sst", attrs={"units": "K"})
    return field, xr.Dataset({"mean": 0.0, "threshold": 0.6})


@settings(deadline=None, max_examples=15)
@given(
    cuts=st.lists(st.integers(1, 1095), max_size=8),
    duration=st.integers(1, 6),
    gap=st.integers(0, 4),
    missing=st.integers(0, 4),
    cold=st.booleans(),
)
def test_any_split_gives_the_same_bits(small, cuts, duration, gap, missing, cold):
    field, clim = small
    clim = clim * (-1 if cold else 1)
    options = {"min_duration": duration, "max_gap": gap, "max_missing": missing, "cold": cold}
    expected = heatwaves(field, clim, **options)
    state = followed(field, clim, cuts, **options)
    xr.testing.assert_equal(updated_events(state).drop_vars("open"), expected)
    last = heatwave_days(field, clim, **options)[-1]
    np.testing.assert_array_equal(ongoing(state)["category"], last)
    np.testing.assert_array_equal(ongoing(state)["anomaly"], field[-1] - clim["mean"])


@pytest.mark.parametrize("dtype", ["float32", "int16"])
def test_single_days_with_a_climatology_through_zarr(cube, tmp_path, dtype):
    if dtype == "int16":
        stored = np.where(cube.isnull(), -999, np.rint(cube * 100)).astype("int16")
        cube = cube.copy(data=stored).assign_attrs(
            scale_factor=0.01, add_offset=0.0, _FillValue=np.int16(-999), units="degree_C"
        )
    clim = climatology(cube, period=PERIOD)
    field = cube.isel(time=slice(400, 700))
    state = update(clim, field[:100])
    for day in range(100, 300):
        if day % 60 == 0:
            oceankit.write(state, tmp_path / "state.zarr")
            with xr.open_zarr(tmp_path / "state.zarr", consolidated=False) as stored_state:
                state = stored_state
                assert state["threshold"].chunks
                state = update(state, field[day]).load()
            continue
        state = update(state, field[day])  # a single day, without a dimension of time
    expected = heatwaves(field, clim)
    assert expected.sizes["event"] > 5
    xr.testing.assert_equal(updated_events(state).drop_vars("open"), expected)
    xr.testing.assert_equal(state["threshold"], clim["threshold"])
    assert state.nbytes - clim.nbytes < 60_000


def test_open_events_and_what_they_become(small):
    field, clim = small
    field = field[:20, :1, :1].copy(data=np.zeros((20, 1, 1)))
    field[5:12] = 2.0
    clim = clim.assign(threshold=1.0)
    seen = []
    state = clim
    for day in range(20):
        state = update(state, field[day], cold=False if day == 0 else None)
        now = ongoing(state)
        events = updated_events(state)
        open_ones = int(events["open"].sum())
        seen.append(
            (*(now[n].item() for n in ("category", "exceedance", "duration")), events.sizes["event"], open_ones)
        )
    assert seen[8] == (0, 2, 0, 0, 0)  # four days beyond the threshold are no event yet
    assert seen[9] == (2, 2, 5, 1, 1)
    assert seen[11] == (2, 2, 7, 1, 1)
    assert seen[12] == (0, 0, 0, 1, 1)  # over, unless a gap of at most two days is bridged
    assert seen[14] == (0, 0, 0, 1, 0)
    assert updated_events(state)["duration"].values.tolist() == [7]


def test_refusals(small):
    field, clim = small
    state = update(clim, field[:50], cold=False, min_duration=4)
    later = field[50:60]
    cases = [
        (state, field[49:60], {}, "begin with 2001-02-19.*has seen all days to 2001-02-19"),
        (state, field[51:60], {}, "jumps from 2001-02-19.* to 2001-02-21.*asfreq"),
        (state, later, {"min_duration": 5}, "min_duration=5 was given, but the state was begun with min_duration=4"),
        (state, later, {"cold": True}, "cold=True was given"),
        (state, later[:, :, :2], {}, "the same cells"),
        (state, later.rename("salt"), {}, "variable 'sst', the field from 'salt'"),
        (clim, later, {}, "tell warm from cold"),
        (clim.drop_vars("mean"), later, {"cold": False}, "no variable 'mean'"),
        (state, later[::-1], {}, "not sorted"),
        (state, later[:0], {}, "is empty"),
        (state, (later + 273.15).assign_attrs(later.attrs), {}, "is 27.* from its mean.*units seem to have changed"),
        (state, later.convert_calendar("noleap", use_cftime=True), {}, "calendar"),
    ]
    for given_state, days, options, words in cases:
        with pytest.raises(ValueError, match=words):
            update(given_state, days, **options)
    for tell in (ongoing, updated_events):
        with pytest.raises(ValueError, match="no state: it has no variable 'open_cell'"):
            tell(clim)


def test_the_state_given_is_not_changed(small):
    field, clim = small
    state = update(clim, field[:100], cold=False)
    kept = state.copy(deep=True)
    update(state, field[100:150])
    xr.testing.assert_identical(state, kept)
