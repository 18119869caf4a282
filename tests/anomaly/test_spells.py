"""Spells against a naive search, across shapes, chunks and threads, and their refusals."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from oceankit.anomaly import spells
from oceankit.anomaly._spell_kernels import count_spells, fill_spells, measure_spells
from oceankit.numerics import threads


def naive(row, min_duration: int, max_gap: int) -> list[tuple[int, int]]:
    """First and last steps: list the runs, keep the long ones, join the near ones."""
    runs = []
    for t, inside in enumerate(row):
        if inside and t > 0 and row[t - 1]:
            runs[-1][1] = t
        elif inside:
            runs.append([t, t])
    joined: list[list[int]] = []
    for start, end in (r for r in runs if r[1] - r[0] + 1 >= min_duration):
        if joined and start - joined[-1][1] - 1 <= max_gap:
            joined[-1][1] = end
        else:
            joined.append([start, end])
    return [tuple(r) for r in joined]


def on_days(values, dims=("time",), **coords) -> xr.DataArray:
    values = np.asarray(values)
    days = xr.date_range("2001-02-25", periods=values.shape[dims.index("time")])
    return xr.DataArray(values, dims=dims, coords={"time": days, **coords}, name="warm")


ROWS = hnp.arrays(bool, st.tuples(st.integers(0, 4), st.integers(1, 40)))


@settings(deadline=None, max_examples=200)
@given(rows=ROWS, min_duration=st.integers(1, 6), max_gap=st.integers(0, 5))
def test_against_the_naive_search(rows, min_duration, max_gap):
    events = spells(on_days(rows, ("cell_of_mesh", "time")), min_duration=min_duration, max_gap=max_gap)
    expected = [(c, *run) for c, row in enumerate(rows.tolist()) for run in naive(row, min_duration, max_gap)]
    found = zip(*(events[n].values.tolist() for n in ("cell", "index_start", "index_end")), strict=True)
    assert list(found) == expected
    assert (events["duration"] == events["index_end"] - events["index_start"] + 1).all()
    assert (events["duration"] >= min_duration).all()
    assert (events["cell_of_mesh"] == events["cell"]).all()


@settings(deadline=None, max_examples=50)
@given(rows=ROWS, min_duration=st.integers(1, 6), max_gap=st.integers(0, 5))
def test_kernels_in_plain_python(rows, min_duration, max_gap):
    counts = count_spells.py_func(rows, min_duration, max_gap)
    expected = [(c, *run) for c, row in enumerate(rows.tolist()) for run in naive(row, min_duration, max_gap)]
    assert counts.tolist() == [len(naive(row, min_duration, max_gap)) for row in rows.tolist()]
    found = fill_spells.py_func(rows, min_duration, max_gap, counts)
    assert list(zip(*(c.tolist() for c in found), strict=True)) == expected
    for ours, compiled in zip(found, fill_spells(rows, min_duration, max_gap, counts), strict=True):
        np.testing.assert_array_equal(ours, compiled)


@pytest.mark.parametrize("function", [measure_spells, measure_spells.py_func])
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_measures(function, sign):
    values = np.random.default_rng(2).normal(size=(3, 30)).astype("float32")
    values[1, 4:9] = np.nan
    values[2, [3, 6]] = 9.0 * sign
    row, start, end = np.array([0, 1, 1, 2]), np.array([2, 3, 5, 0]), np.array([9, 20, 7, 29])
    extreme, peak, mean, total = function(values, row, start, end, sign)
    best = np.nanargmax if sign > 0 else np.nanargmin
    for event in (0, 1, 3):
        inside = values[row[event], start[event] : end[event] + 1].astype(float)
        assert peak[event] == start[event] + best(inside)
        assert extreme[event] == inside[best(inside)]
        assert mean[event] == pytest.approx(np.nanmean(inside), rel=1e-14)
        assert total[event] == pytest.approx(np.nansum(inside), rel=1e-14)
    assert peak[2] == -1
    assert np.isnan([extreme[2], mean[2], total[2]]).all()
    assert peak[3] == 3  # the first of equals


def test_what_is_in_the_result():
    lat = ("lat", [-1.0, 1.0], {"units": "degrees_north"})
    warm = on_days(
        [[[0, 3, 2, 0, 4], [0, 0, 0, 0, 9]], [[1, 1, 1, 1, 1], [0, 0, 5, 6, 7]]], ("lat", "lon", "time"), lat=lat,
        area=(("lat", "lon"), [[1.0, 2.0], [3.0, 4.0]]), depth=0.5,
    ).astype("float32")  # fmt: skip
    warm.attrs = {"units": "K", "long_name": "warmth"}
    events = spells(warm > 0, min_duration=2, max_gap=0, values=warm)
    assert dict(events.sizes) == {"event": 3}
    assert events["cell"].values.tolist() == [0, 2, 3]
    assert events["lat"].values.tolist() == [-1.0, 1.0, 1.0]
    assert events["lat"].attrs == lat[2]
    assert events["lon"].values.tolist() == [0, 0, 1]  # a dimension without coordinate: its positions
    assert events["area"].values.tolist() == [1.0, 3.0, 4.0]
    assert events["depth"] == 0.5
    assert events["start"].dt.strftime("%m-%d").values.tolist() == ["02-26", "02-25", "02-27"]
    assert events["end"].dt.strftime("%m-%d").values.tolist() == ["02-27", "03-01", "03-01"]
    assert events["peak"].dt.strftime("%m-%d").values.tolist() == ["02-26", "02-25", "03-01"]
    assert events["index_peak"].values.tolist() == [1, 0, 4]
    assert events["duration"].values.tolist() == [2, 5, 3]
    for name, values in {"max": [3, 1, 7], "mean": [2.5, 1, 6], "cumulative": [5, 5, 18]}.items():
        metric = events[f"intensity_{name}"]
        assert metric.values.tolist() == values
        assert metric.dtype == np.float64
        assert metric.attrs["units"] == "K"
    assert events.attrs == {"min_duration": 2, "max_gap": 0, "source_variable": "warm"}


def test_gaps():
    warm = on_days([1, 1, 0, 1, 1, 0, 0, 1, 1, 0, 1, 0, 0, 0, 1, 1]).astype(bool)

    def spans(**options):
        events = spells(warm, **options)
        return list(zip(events["index_start"].values.tolist(), events["index_end"].values.tolist(), strict=True))

    assert spans(min_duration=2) == [(0, 1), (3, 4), (7, 8), (14, 15)]
    assert spans(min_duration=2, max_gap=1) == [(0, 4), (7, 8), (14, 15)]
    assert spans(min_duration=2, max_gap=2) == [(0, 8), (14, 15)]
    # The run of one step in the last gap is too short to be an event, so it does not help to bridge it.
    assert spans(min_duration=2, max_gap=4) == [(0, 8), (14, 15)]
    assert spans(min_duration=2, max_gap=5) == [(0, 15)]


@pytest.mark.parametrize("dtype", ["float32", "float64", object, ">f4"])
def test_missing_steps_end_a_run_and_may_be_bridged(dtype):
    warm = on_days(np.array([1, 1, np.nan, 1, 1, 0, 1, np.nan]).astype(dtype))
    assert spells(warm, min_duration=2)["index_end"].values.tolist() == [1, 4]
    assert spells(warm, min_duration=2, max_gap=1)["index_end"].values.tolist() == [4]
    assert spells(warm.where(False), min_duration=1).sizes["event"] == 0


def test_cold_takes_the_lowest():
    cold = on_days([-0.6, -2.0, -1.0, 0.0])
    event = spells(cold < -0.5, min_duration=3, values=cold, cold=True)
    assert event["intensity_max"].values.tolist() == [-2.0]
    assert event["index_peak"].values.tolist() == [1]
    assert "lowest" in event["intensity_max"].attrs["long_name"]


def test_values_missing_inside_an_event_are_skipped():
    warm = on_days([1.0, 2.0, np.nan, 4.0, 3.0])
    event = spells(warm > 0, min_duration=2, max_gap=1, values=warm)
    assert event["duration"].item() == 5
    assert (event["intensity_mean"].item(), event["intensity_cumulative"].item()) == (2.5, 10.0)


@pytest.fixture(scope="module")
def field() -> xr.DataArray:
    rng = np.random.default_rng(8)
    steps = rng.normal(size=(400, 5, 7)).astype("float32")
    for t in range(1, 400):
        steps[t] += np.float32(0.7) * steps[t - 1]
    steps[rng.random(steps.shape) < 0.02] = np.nan
    lat, lon = np.arange(5) * 0.25, 180 + np.arange(7) * 0.25
    return on_days(steps, ("time", "lat", "lon"), lat=lat, lon=lon)


@pytest.mark.parametrize("chunks", [{"lat": 1}, {"lat": 2, "lon": 3}, {"lon": -1}])
@pytest.mark.parametrize("workers", [1, 2])
def test_chunks_and_threads_change_no_bit(field, chunks, workers):
    import dask

    options = {"min_duration": 3, "max_gap": 1}
    expected = spells(field > 0.5, values=field, **options)
    assert expected.sizes["event"] > 100
    with threads.limit(workers):
        xr.testing.assert_identical(spells(field > 0.5, values=field, **options), expected)
    with dask.config.set(scheduler="threads", num_workers=workers):
        lazy = field.chunk(chunks)
        xr.testing.assert_identical(spells(lazy > 0.5, values=lazy, **options), expected)
        xr.testing.assert_identical(spells(field > 0.5, values=field.chunk(lat=2), **options), expected)
        xr.testing.assert_identical(spells(lazy > 0.5, values=field, **options), expected)


def test_blocks_of_rows_do_not_show(monkeypatch, field):
    expected = spells(field > 0.5, min_duration=3, values=field)
    monkeypatch.setattr("oceankit.fields.blocks._BLOCK_VALUES", 1000)
    with threads.limit(2):
        xr.testing.assert_identical(spells(field > 0.5, min_duration=3, values=field), expected)


def test_gridded_equals_series_by_series(field):
    whole = spells(field > 0.5, min_duration=3, max_gap=2, values=field)
    for i, j in np.ndindex(5, 7):
        one = spells(field[:, i, j] > 0.5, min_duration=3, max_gap=2, values=field[:, i, j])
        here = whole.isel(event=whole["cell"].values == i * 7 + j)
        assert (here["lat"] == field["lat"][i]).all()
        assert (here["lon"] == field["lon"][j]).all()
        for name in ("start", "end", "peak", "intensity_max", "intensity_mean", "intensity_cumulative"):
            np.testing.assert_array_equal(one[name], here[name])
    turned = spells((field > 0.5).transpose("lon", "time", "lat"), min_duration=3, max_gap=2, values=field)

    def places(events):
        return [tuple(e) for e in np.stack([events[n] for n in ("lat", "lon", "index_start", "index_end")], 1)]

    assert sorted(places(turned)) == places(whole)


def test_lazy_series_and_empty_results(field):
    series = field[:, 2, 3]
    xr.testing.assert_identical(spells(series.chunk() > 0.5, min_duration=3), spells(series > 0.5, min_duration=3))
    for never in (field > 1e9, field.chunk(lat=2) > 1e9, (field > 0)[:, :0]):
        none = spells(never, min_duration=1)
        assert none.sizes["event"] == 0
        assert none["start"].dtype.kind == "M"
        assert none["lat"].dtype == np.float64


def test_cftime_months():
    months = xr.date_range("2001-01-01", periods=8, freq="MS", calendar="noleap", use_cftime=True)
    warm = xr.DataArray([0, 1, 1, 1, 0, 0, 1, 1], dims="t", coords={"time": ("t", months)}).astype(bool)
    events = spells(warm, min_duration=3)
    assert str(events["start"].item())[:7] == "2001-02"
    assert str(events["end"].item())[:7] == "2001-04"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"min_duration": 0}, "min_duration is 0"),
        ({"min_duration": 2.0}, "min_duration is 2.0"),
        ({"min_duration": True}, "min_duration is True"),
        ({"max_gap": -1}, "max_gap is -1"),
        ({"max_gap": None}, "max_gap is None"),
        ({"time": "when"}, "no variable 'when'"),
    ],
)
def test_refused_options(field, options, words):
    with pytest.raises(ValueError, match=words):
        spells(field > 0, **{"min_duration": 3, **options})


def test_min_duration_has_no_default(field):
    with pytest.raises(TypeError, match="min_duration"):
        spells(field > 0)


def test_refused_fields(field):
    warm = field > 0
    nothing = field.where(field["lat"] > 0.25)
    cases = [
        (field, {}, "holds the value -?[0-9.]+; it must be true or false.*anomaly > 0.5"),
        (field.chunk(lat=2), {}, "holds the value"),
        (field.astype("complex64"), {}, "complex64"),
        (warm.chunk(time=100), {}, "'time' in 4 chunks.*chunk"),
        (warm, {"values": field.chunk(time=100)}, "'time' in 4 chunks.*chunk"),
        (warm[::-1], {}, "not sorted"),
        (warm.isel(time=[0, 0, 1]), {}, "twice"),
        (warm.isel(time=[0, 1, 2, 5, 6]), {}, "jumps from 2001-02-27.* to 2001-03-02.*asfreq"),
        (warm.assign_coords(time=np.arange(400)), {}, "not dates"),
        (warm, {"values": field[:, :3]}, "the condition .*select the same part"),
        (warm, {"values": field.assign_coords(lon=field["lon"] - 360)}, "differ in the coordinate 'lon'"),
        (warm, {"values": warm}, "values hold bool"),
        (warm, {"values": nothing}, "missing throughout [0-9]+ events, the first of them from 2001.* in cell 0"),
        (warm.rename(lat="start"), {}, "coordinates named \\['start'\\].*rename"),
    ]
    for condition, options, words in cases:
        with pytest.raises(ValueError, match=words):
            spells(condition, **{"min_duration": 3, **options})
