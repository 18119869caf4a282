"""What counts as an event: runs, gaps, missing days, thresholds of one's own; chunks and threads; refusals."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from oceankit.anomaly import climatology, heatwave_days, heatwaves
from oceankit.numerics import threads

PERIOD = (2002, 2007)
LEVELS = xr.Dataset({"mean": 0.0, "threshold": 1.0})


def series(values) -> xr.DataArray:
    values = np.asarray(values, float)
    return xr.DataArray(
        values, dims="time", coords={"time": xr.date_range("2001-02-20", periods=values.size)}, name="x"
    )


def spans(values, **options) -> list[tuple[int, int]]:
    events = heatwaves(series(values), LEVELS, **{"cold": False, **options})
    return list(zip(events["index_start"].values.tolist(), events["index_end"].values.tolist(), strict=True))


def naive(values, min_duration, max_gap, max_missing) -> list[tuple[int, int]]:
    """By the words of the definition: holes first, then runs, then gaps."""
    days = ["?" if np.isnan(v) else "w" if v > 1.0 else "c" for v in values]
    at = 0
    while at < len(days):
        end = at
        while end < len(days) and days[end] == "?":
            end += 1
        if end - at > max_missing:
            days[at:end] = ["c"] * (end - at)
        at = max(end, at + 1)
    known = [(k, d) for k, d in enumerate(days) if d != "?"]
    runs: list[list[int]] = []  # positions among known days
    for n, (_, d) in enumerate(known):
        if d == "w" and n > 0 and known[n - 1][1] == "w":
            runs[-1][1] = n
        elif d == "w":
            runs.append([n, n])
    joined: list[list[int]] = []
    for first, last in (r for r in runs if r[1] - r[0] + 1 >= min_duration):
        if joined and first - joined[-1][1] - 1 <= max_gap:
            joined[-1][1] = last
        else:
            joined.append([first, last])
    return [(known[a][0], known[b][0]) for a, b in joined]


@settings(deadline=None, max_examples=300)
@given(
    days=st.lists(st.sampled_from([0.0, 2.0, 2.0, np.nan]), min_size=1, max_size=60),
    duration=st.integers(1, 5),
    gap=st.integers(0, 4),
    missing=st.integers(0, 4),
)
def test_against_the_words_of_the_definition(days, duration, gap, missing):
    options = {"min_duration": duration, "max_gap": gap, "max_missing": missing}
    assert spans(days, **options) == naive(days, duration, gap, missing)


def test_missing_days_neither_split_nor_make_an_event():
    x = np.nan
    assert spans([0, 2, 2, 2, 2, x, 2, 2, 2, 2, 0]) == [(1, 9)]
    assert spans([0, 2, 2, x, 2, 2, 0]) == []  # four days are known to be warm
    assert spans([2, 2, 2, 2, 2, x, x, x, 2, 2, 2, 2, 2]) == [(0, 12)]
    assert spans([2, 2, 2, 2, 2, x, x, x, 2, 2, 2, 2, 2], max_missing=0) == [(0, 4), (8, 12)]
    assert spans([2] * 6 + [x] * 30 + [2] * 6) == [(0, 5), (36, 41)]  # half a year of ice is no heatwave
    event = heatwaves(series([0, 2, 3, x, 4, 2, 2, 0]), LEVELS, cold=False)
    assert event["duration"].item() == 6
    assert event["days_missing"].item() == 1
    assert event["intensity_mean"].item() == pytest.approx(13 / 5)
    assert spans([x] * 20) == []


def test_strictly_beyond():
    assert spans([1.0] * 10) == []
    assert spans([np.nextafter(1.0, 2)] * 10) == [(0, 9)]


def test_metrics_by_hand():
    event = heatwaves(series([0, 1.5, 2.5, 4.5, 1.2, 1.5, 0.5]), LEVELS, cold=False).isel(event=0)
    values = np.array([1.5, 2.5, 4.5, 1.2, 1.5])
    assert event["intensity_max"] == 4.5
    assert event["intensity_max_relThresh"] == 3.5
    assert event["intensity_cumulative"].item() == pytest.approx(values.sum())
    assert event["intensity_var_abs"].item() == pytest.approx(values.std())
    assert [event[f"duration_{c}"].item() for c in ("moderate", "strong", "severe", "extreme")] == [3, 1, 0, 1]
    assert event["category"] == 4
    assert event["rate_onset"].item() == pytest.approx((4.5 - 0.5 * 1.5) / 2.5)
    assert event["rate_decline"].item() == pytest.approx((4.5 - 0.5 * (1.5 + 0.5)) / 2.5)


def test_fixed_thresholds_of_other_variables():
    """Hypoxia below 2 mg/l, whatever the season; and waves above 4 m, of which no climatology is known."""
    days = xr.date_range("2001-01-01", "2006-12-31")
    oxygen = 6 + 3 * np.cos(2 * np.pi * np.arange(days.size) / 365.25)
    field = xr.DataArray(oxygen, dims="time", coords={"time": days}, name="o2", attrs={"units": "mg l-1"})
    field[500:520] = 1.5
    clim = climatology(field, period=(2001, 2006), percentile=10).assign(threshold=2.0)
    event = heatwaves(field, clim, cold=True)
    assert (event["index_start"].item(), event["duration"].item()) == (500, 20)
    assert event["intensity_max_relThresh"].item() == -0.5
    assert event.attrs["reference_climatology"] == "a threshold of the user's own"
    with pytest.raises(ValueError, match="pass cold=False .* or cold=True"):
        heatwaves(field, clim)


def test_monthly_fields_with_a_monthly_climatology(make_daily):
    months = make_daily("2001-01-01", "2008-12-31", (2,)).resample(time="MS").mean()
    clim = climatology(months, period=PERIOD, by="month", percentile=75)
    events = heatwaves(months, clim, min_duration=1, max_gap=0)
    above = months.groupby("time.month") > clim["threshold"]
    assert events["duration"].sum() == above.sum()
    assert events["duration"].attrs["units"] == "time steps"


@pytest.mark.parametrize("chunks", [{"lat": 1}, {"lat": 2, "lon": 3}, {"lat": -1, "lon": -1}])
def test_chunks_and_threads_change_no_bit(cube, chunks):
    clim = climatology(cube, period=PERIOD)
    events, days = heatwaves(cube, clim), heatwave_days(cube, clim)
    assert events.sizes["event"] > 30
    for workers in (1, 2):
        with threads.limit(workers):
            xr.testing.assert_identical(heatwaves(cube, clim), events)
            xr.testing.assert_identical(heatwave_days(cube, clim), days)
    lazy = cube.chunk(chunks)
    lazy_clim = climatology(lazy, period=PERIOD)
    xr.testing.assert_identical(heatwaves(lazy, lazy_clim), events)
    xr.testing.assert_identical(heatwaves(lazy, clim), events)
    found = heatwave_days(lazy, lazy_clim)
    assert found.chunks == lazy.chunks
    xr.testing.assert_identical(found.compute(), days)


def test_members_share_a_climatology(cube):
    clim = climatology(cube, period=PERIOD)
    members = xr.concat([cube, cube + 0.5], "member").transpose("time", "member", "lat", "lon").rename("sst")
    members.attrs = cube.attrs
    events = heatwaves(members, clim)
    first = events.isel(event=events["member"].values == 0).drop_vars(["member", "cell"])
    xr.testing.assert_equal(first, heatwaves(cube, clim).drop_vars("cell"))
    np.testing.assert_array_equal(heatwave_days(members, clim)[:, 0], heatwave_days(cube, clim))


@pytest.mark.parametrize("calendar", ["noleap", "360_day", "standard"])
def test_calendars(make_daily, calendar):
    end = "2008-12-30" if calendar == "360_day" else "2008-12-31"
    sst = make_daily("2001-01-01", end, calendar=calendar)
    events = heatwaves(sst, climatology(sst, period=("2002-01-01", "2007-12-30")))
    assert events.sizes["event"] > 3
    assert type(events["start"].values[0]) is type(sst["time"].values[0])


def test_refusals(cube, make_daily):
    clim = climatology(cube, period=PERIOD)
    cold = climatology(cube, period=PERIOD, percentile=10)
    cases = [
        (cube, clim, {"cold": True}, "cold=True contradicts .* percentile 90: make one with percentile=10"),
        (cube, cold, {"cold": False}, "cold=False contradicts"),
        (cube, climatology(cube, period=PERIOD, percentile=50), {}, "pass cold=False"),
        (cube, clim, {"min_duration": 0}, "min_duration is 0"),
        (cube, clim, {"max_gap": 1.5}, "max_gap is 1.5"),
        (cube, clim, {"max_missing": -1}, "max_missing is -1"),
        (cube.chunk(time=500), clim, {}, "'time' in 6 chunks.*chunk"),
        (cube.isel(time=[0, 1, 5]), clim, {}, "jumps from .*asfreq"),
        (cube[::-1], clim, {}, "not sorted"),
        (cube.isel(lon=slice(2)), clim, {}, "2 cells along 'lon', its climatology 4"),
        (cube.assign_attrs(units="K"), clim, {}, "'K', its climatology 'degree_C'"),
        (cube.rename("salt"), clim, {}, "variable 'sst', the field from 'salt'"),
        (cube, clim["mean"], {}, "not a climatology|no variable"),
        (cube.rename(lat="start"), clim.rename(lat="start"), {}, "coordinates named \\['start'\\]"),
    ]
    for field, other, options, words in cases:
        for function in (heatwaves, heatwave_days):
            if "named" in words and function is heatwave_days:
                continue
            with pytest.raises(ValueError, match=words):
                function(field, other, **options)
