"""Tracks against a naive follower, their areas and ledger in balance, across chunks, seams, grids, and their refusals."""

from itertools import pairwise

import dask
import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from made_meshes import ugrid
from scipy import ndimage

from oceankit import Grid, open_fields, write
from oceankit.anomaly import _track_kernels as kernels
from oceankit.anomaly import label, track
from oceankit.numerics import sphere, threads

MASKS = hnp.arrays(bool, st.tuples(st.integers(1, 7), st.integers(1, 6), st.integers(2, 9)))


def stack(mask) -> xr.DataArray:
    days = xr.date_range("2001-01-01", periods=len(mask))
    return xr.DataArray(np.asarray(mask, bool), dims=("time", "y", "x"), coords={"time": days}, name="warm")


def blobs(steps: int = 40, step: float = 10.0, seed: int = 5, cover: float = 0.2) -> xr.DataArray:
    """Anomalies that move and change, periodic in longitude."""
    grid = Grid.global_regular(step)
    noise = np.random.default_rng(seed).normal(size=(steps, *grid.shape))
    smooth = ndimage.gaussian_filter(noise, (1.5, 1.2, 1.2), mode=("nearest", "nearest", "wrap"))
    smooth = np.stack([np.roll(s, t // 3, axis=1) for t, s in enumerate(smooth)])
    coords = {"time": xr.date_range("2001-01-01", periods=steps), **grid.coords()}
    field = xr.DataArray(smooth / smooth.std(), dims=("time", "lat", "lon"), coords=coords, name="sst_anomaly")
    field.attrs = {"units": "K", "long_name": "warmth"}
    return field


@pytest.fixture(scope="module")
def warmth() -> xr.DataArray:
    return blobs()


@pytest.fixture(scope="module")
def warm(warmth) -> xr.DataArray:
    return (warmth > 0.9).rename("warm")


def check_balance(events: xr.Dataset) -> None:
    """The ledger explains every change in the number of objects, and agrees with the events."""
    n, formed, split, merged, gone = (
        events[f"n_{k}"].values for k in ("objects", "formed", "split", "merged", "dissipated")
    )
    np.testing.assert_array_equal(n, np.append(0, n[:-1]) + formed + split - merged - gone)
    kinds = events["link_kind"].values
    began, ended = events["began"].values, events["ended"].values
    number, earlier, later = events["event"].values, events["link_from"].values, events["link_to"].values
    assert sorted(later[(kinds == "split") & (later > 0)]) == number[began == "split"].tolist()
    assert sorted(earlier[(kinds == "merge") & (earlier > 0)]) == number[ended == "merged"].tolist()
    assert (split.sum(), merged.sum()) == ((began == "split").sum(), (ended == "merged").sum())
    assert n.sum() == events.sizes["point"] == events["duration"].sum()
    for name, kind, ours, theirs in (("parent", "split", later, earlier), ("merged_into", "merge", earlier, later)):
        told = {int(a): int(b) for a, b, k in zip(ours, theirs, kinds, strict=True) if k == kind and a > 0}
        wanted = events[name].values[np.isin(number, list(told))].tolist()
        assert wanted == [told[k] for k in sorted(told)]
    assert (ended == "open").sum() == (n[-1] if n.size else 0)


def check_areas(
    events: xr.Dataset, labels: xr.DataArray, mask: xr.DataArray, area: np.ndarray, min_area: float, **options
) -> None:
    """Labels cover the large objects of each step and nothing else, one event each; their areas are those of the cells."""
    objects = label(mask, **options).values.reshape(len(mask), -1)
    values, flat = labels.values.reshape(len(mask), -1), np.broadcast_to(area, mask.shape[1:]).ravel()
    total = np.zeros(len(mask))
    for t, (those, here) in enumerate(zip(objects, values, strict=True)):
        for k in np.unique(those[those > 0]):
            size = flat[those == k].sum()
            found = np.unique(here[those == k])
            assert found.size == 1
            assert (found[0] > 0) == (size >= min_area)
            total[t] += size if found[0] > 0 else 0.0
        assert (here[those == 0] == 0).all()
    np.testing.assert_allclose(events["area_total"], total, rtol=1e-12)
    point = events["point_time"].values
    summed = [events["point_area"].values[point == day].sum() for day in mask["time"].values]
    np.testing.assert_allclose(summed, total, rtol=1e-12)
    for number, first, last in zip(events["event"].values, events["start"].values, events["end"].values, strict=True):
        there = mask["time"].values[(values == number).any(axis=1)]
        assert (there[0], there[-1]) == (first, last)


def naive(labels: list[np.ndarray], min_overlap: float) -> tuple[list[dict[int, int]], list[tuple]]:
    """Events of the objects of each step (cells count), and the ledger, object by object."""
    events: list[dict[int, int]] = [{k: n for n, k in enumerate(np.unique(labels[0][labels[0] > 0]), 1)}]
    n_events, ledger = len(events[0]), []
    for t, (a, b) in enumerate(pairwise(labels), 1):
        links = []
        for p in np.unique(a[a > 0]):
            for c in np.unique(b[b > 0]):
                shared, large = ((a == p) & (b == c)).sum(), ((a == p).sum(), (b == c).sum())
                if shared and shared >= min_overlap * min(large):
                    links.append((-shared, -large[1], -large[0], p, c))
        links.sort()
        after, before = {}, {}
        for *_, p, c in links:
            if p not in after and c not in before:
                after[p], before[c] = c, p
        now = {}
        for c in np.unique(b[b > 0]):
            if c not in before:
                n_events += 1
            now[c] = events[-1][before[c]] if c in before else n_events
        ended, begun = set(), set()
        for shared, *_, p, c in links:
            if after.get(p) == c:
                continue
            kind = "exchange"
            if p not in after and p not in ended:
                kind = "merge"
                ended.add(p)
            elif c not in before and c not in begun:
                kind = "split"
                begun.add(c)
            ledger.append((t, kind, events[-1][p], now[c], -shared))
        events.append(now)
    return events, ledger


@settings(deadline=None, max_examples=120)
@given(MASKS, st.sampled_from([4, 8]), st.booleans(), st.sampled_from([0.01, 0.25, 0.5, 0.75, 1.0]))
def test_against_the_naive_follower(mask, connectivity, periodic, min_overlap):
    field = stack(mask)
    events, labels = track(field, connectivity=connectivity, periodic=periodic, min_overlap=min_overlap)
    objects = label(field, connectivity=connectivity, periodic=periodic).values
    followed, ledger = naive(list(objects), min_overlap)
    for t, those in enumerate(followed):
        wanted = np.zeros(mask.shape[1:], int)
        for k, event in those.items():
            wanted[objects[t] == k] = event
        np.testing.assert_array_equal(labels[t], wanted)
    days = {day: t for t, day in enumerate(field["time"].values)}
    columns = (events[f"link_{n}"].values for n in ("time", "kind", "from", "to", "area"))
    found = [(days[day], str(kind), int(a), int(b), area) for day, kind, a, b, area in zip(*columns, strict=True)]
    assert sorted(found) == sorted(ledger)
    check_balance(events)
    check_areas(events, labels, field, np.ones(1), 0.0, connectivity=connectivity, periodic=periodic)
    assert events.attrs["areas"] == "1 (cells are counted)"


@settings(deadline=None, max_examples=50)
@given(mask=MASKS, min_area=st.integers(0, 4), min_duration=st.integers(1, 4), chunk=st.integers(1, 4))
def test_small_objects_and_short_events(mask, min_area, min_duration, chunk):
    field = stack(mask)
    options = {"min_area": min_area, "min_overlap": 0.3, "periodic": True}
    every, all_labels = track(field, **options)
    check_areas(every, all_labels, field, np.ones(1), min_area, connectivity=8, periodic=True)
    events, labels = track(field, min_duration=min_duration, **options)
    check_balance(events)
    kept = every["event"].values[every["duration"].values >= min_duration]
    table = np.zeros(every.sizes["event"] + 1, int)
    table[kept] = np.arange(1, kept.size + 1)
    np.testing.assert_array_equal(labels, table[all_labels.values])
    short = every.isel(event=kept - 1)
    for name in ("start", "end", "duration", "began", "ended", "area_max", "area_cumulative"):
        np.testing.assert_array_equal(events[name], short[name])
    both = ((table[every["link_from"].values] > 0) | (table[every["link_to"].values] > 0)).sum()
    assert events.sizes["link"] == both
    lazy, lazy_labels = track(field.chunk(time=chunk), min_duration=min_duration, **options)
    xr.testing.assert_identical(lazy, events)
    xr.testing.assert_identical(lazy_labels.compute(), labels)


def test_on_the_sphere(warm, warmth):
    area = Grid.from_dataset(warm).area().values
    events, labels = track(warm, values=warmth, min_area=2e12)
    assert events.sizes["event"] > 20
    assert {"split", "merge"} <= set(events["link_kind"].values)
    check_balance(events)
    check_areas(events, labels, warm, area, 2e12, connectivity=8)
    assert events.attrs["areas"] == "m2"
    assert events["area_max"].attrs["units"] == "m2"
    flat, where = labels.values.reshape(len(warm), -1), Grid.from_dataset(warm).centres()
    weights, values = area.ravel(), warmth.values.reshape(len(warm), -1)
    at = 0
    for event in range(events.sizes["event"]):
        one = events.isel(event=event)
        inside = flat == int(one["event"])
        steps = np.flatnonzero(inside.any(axis=1))
        assert int(one["duration"]) == steps.size == np.ptp(steps) + 1
        rows = slice(at, at := at + steps.size)
        assert (events["point_event"][rows] == int(one["event"])).all()
        np.testing.assert_array_equal(events["point_time"][rows], warm["time"][steps])
        sizes = np.array([weights[inside[t]].sum() for t in steps])
        np.testing.assert_allclose(events["point_area"][rows], sizes, rtol=1e-12)
        np.testing.assert_allclose(
            [one["area_max"], one["area_mean"], one["area_cumulative"]], [sizes.max(), sizes.mean(), sizes.sum()]
        )
        assert one["peak"] == warm["time"][steps[sizes.argmax()]]
        centres = np.stack([(weights[inside[t], None] * where[inside[t]]).sum(axis=0) for t in steps])
        lon, lat = sphere.lonlat(centres)
        np.testing.assert_allclose(events["point_lon"][rows], lon % 360, atol=1e-9)
        np.testing.assert_allclose(events["point_lat"][rows], lat, atol=1e-9)
        assert one["lon_start"] == events["point_lon"][rows][0]
        assert one["lat_end"] == events["point_lat"][rows][-1]
        way = sphere.great_circle_distance(lon[:-1], lat[:-1], lon[1:], lat[1:]).sum()
        np.testing.assert_allclose(one["path_length"], way, atol=1e-6)
        means = np.array([np.average(values[t, inside[t]], weights=weights[inside[t]]) for t in steps])
        np.testing.assert_allclose(events["point_intensity_mean"][rows], means, rtol=1e-12)
        highest = np.array([values[t, inside[t]].max() for t in steps])
        np.testing.assert_array_equal(events["point_intensity_max"][rows], highest)
        assert one["intensity_max"] == highest.max()
        assert one["intensity_peak"] == warm["time"][steps[highest.argmax()]]
        np.testing.assert_allclose(one["intensity_mean"], (means * sizes).sum() / sizes.sum())
        np.testing.assert_allclose(one["intensity_cumulative"], means.sum())
    assert at == events.sizes["point"]


@pytest.mark.parametrize("chunks", [1, 3, 40])
def test_chunks_and_threads_change_no_bit(warm, warmth, chunks, monkeypatch):
    options = {"min_area": 1e12, "min_duration": 2}
    wanted, labels = track(warm, values=warmth, **options)
    with dask.config.set(scheduler="threads", num_workers=2):
        lazy = warm.chunk(time=chunks, lon=7), warmth.chunk(time=5, lat=4)
        for mask, values in (lazy, (warm, lazy[1]), (lazy[0], warmth)):
            events, again = track(mask, values=values, **options)
            xr.testing.assert_identical(events, wanted)
            assert again.chunks is not None
            xr.testing.assert_identical(again.compute(), labels)
            xr.testing.assert_identical(again[4:6].compute(), labels[4:6])
    monkeypatch.setattr("oceankit.anomaly.tracking._BLOCK_VALUES", chunks * 18 * 36)
    with threads.limit(2):
        events, again = track(warm, values=warmth, **options)
        xr.testing.assert_identical(events, wanted)
        xr.testing.assert_identical(again, labels)


@pytest.mark.parametrize("shift", [1, 17, 30])
def test_turning_the_globe_turns_the_tracks(warm, warmth, shift):
    """The seam is no place: rolled columns, other longitudes, latitudes and dimensions the other way round."""
    events, labels = track(warm, values=warmth, min_area=1e12)

    def turn(field):
        return field.roll(lon=shift, roll_coords=True).isel(lat=slice(None, None, -1)).transpose("lon", "time", "lat")

    others, again = track(turn(warm), values=turn(warmth), min_area=1e12)
    again = again.transpose(*labels.dims).isel(lat=slice(None, None, -1)).roll(lon=-shift, roll_coords=True)
    pairs = np.unique(np.stack([labels.values.ravel(), again.values.ravel()]), axis=1)
    assert pairs.shape[1] == events.sizes["event"] + 1 == others.sizes["event"] + 1
    match = dict(pairs.T.tolist())
    there = others.sel(event=[match[int(k)] for k in events["event"]])
    for name in ("start", "end", "peak", "duration", "began", "ended", "area_max", "area_cumulative", "intensity_max"):
        np.testing.assert_array_equal(there[name], events[name])
    for name in ("lat_start", "lat_peak", "lon_end", "path_length", "intensity_mean"):
        np.testing.assert_allclose(there[name], events[name], rtol=1e-9, atol=1e-6)
    assert sorted(others["link_kind"].values) == sorted(events["link_kind"].values)


def squares(*steps) -> xr.DataArray:
    """Squares given as (row, first column, last column) in each step."""
    mask = np.zeros((len(steps), 6, 20), bool)
    for t, those in enumerate(steps):
        for row, first, last in those:
            mask[t, row, first : last + 1] = True
    return stack(mask)


def test_a_merge_and_a_split():
    field = squares(
        [(1, 0, 5), (3, 0, 3)],
        [(1, 0, 5), (2, 0, 0), (3, 0, 3)],  # one, as long as they touch
        [(1, 0, 4), (3, 0, 3)],
        [(1, 0, 4)],
    )
    events, labels = track(field, min_overlap=0.5)
    assert events["duration"].values.tolist() == [4, 1, 1]
    assert events["began"].values.tolist() == ["formed", "formed", "split"]
    assert events["ended"].values.tolist() == ["open", "merged", "dissipated"]
    assert events["merged_into"].values.tolist() == [0, 1, 0]
    assert events["parent"].values.tolist() == [0, 0, 1]
    assert events["link_kind"].values.tolist() == ["merge", "split"]
    assert events["link_from"].values.tolist() == [2, 1]
    assert events["link_to"].values.tolist() == [1, 3]
    assert events["link_area"].values.tolist() == [4.0, 4.0]
    assert events["link_time"].dt.day.values.tolist() == [2, 3]
    assert events["n_objects"].values.tolist() == [2, 1, 2, 1]
    assert events["n_dissipated"].values.tolist() == [0, 0, 0, 1]
    assert labels.values[1].max() == 1
    long, long_labels = track(field, min_overlap=0.5, min_duration=2)
    assert long["link_from"].values.tolist() == [0, 1]
    assert long["link_to"].values.tolist() == [1, 0]
    assert (long_labels.values == np.where(labels.values == 1, 1, 0)).all()


def test_exchanges_between_events_that_go_on():
    field = squares([(1, 0, 5), (1, 7, 13)], [(1, 0, 8), (1, 10, 13)])
    events, _ = track(field, min_overlap=0.2)
    assert events["link_kind"].values.tolist() == ["exchange"]
    assert events["link_from"].values.tolist() == [2]
    assert events["link_to"].values.tolist() == [1]
    assert events["duration"].values.tolist() == [2, 2]
    assert track(field, min_overlap=0.5)[0].sizes["link"] == 0


def test_too_little_overlap_is_another_event():
    field = squares([(1, 0, 9)], [(1, 8, 17)])
    assert track(field, min_overlap=0.2).events["duration"].values.tolist() == [2]
    apart = track(field, min_overlap=0.21).events
    assert apart["ended"].values.tolist() == ["dissipated", "open"]


def test_without_a_place_there_are_areas_in_cells_and_no_paths(warm):
    bare = warm.drop_vars(["lon", "lat"])
    events, _ = track(bare, periodic=True)
    assert "point_lon" not in events
    assert "path_length" not in events
    assert events["area_total"].values.tolist() == warm.sum(["lat", "lon"]).values.tolist()
    given = xr.DataArray(np.full((36, 18), 2.5), dims=("lon", "lat"), attrs={"units": "km2"})
    weighed, _ = track(bare, periodic=True, area=given)
    assert weighed["area_max"].attrs["units"] == "km2"
    np.testing.assert_allclose(weighed["area_total"], 2.5 * events["area_total"], rtol=1e-12)


def test_on_a_plane():
    field = squares([(2, 3, 4)], [(2, 4, 5)], [(3, 5, 6)]).assign_coords(x=np.arange(20.0) * 10, y=np.arange(6.0) * 10)
    events, _ = track(field, min_overlap=0.5)
    assert events["x_start"].values.tolist() == [35.0, 55.0]
    assert events["y_end"].values.tolist() == [20.0, 30.0]
    assert events["path_length"].values.tolist() == [10.0, 0.0]
    assert events["area_max"].values.tolist() == [200.0, 200.0]


def test_on_a_mesh():
    x, y = np.meshgrid(np.arange(13.0), np.arange(9.0))
    corner = np.arange(13 * 9).reshape(9, 13)
    a, b, c, d = (v.ravel() for v in (corner[:-1, :-1], corner[:-1, 1:], corner[1:, 1:], corner[1:, :-1]))
    grid = Grid.from_dataset(
        ugrid(x.ravel(), y.ravel(), np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)])), location="face"
    )
    lat = grid.lat.values
    mask = np.stack([np.abs(grid.lon.values - 3 - t) + np.abs(lat - 4) < 2 for t in range(5)])
    days = xr.date_range("2001-01-01", periods=5)
    field = xr.DataArray(mask, dims=("time", *grid.dims), coords={"time": days})
    events, labels = track(field, grid=grid)
    assert events["duration"].values.tolist() == [5]
    np.testing.assert_allclose(events["area_total"], (grid.area().values * mask).sum(axis=1))
    np.testing.assert_allclose(events["point_lon"], 3 + np.arange(5), atol=0.2)
    np.testing.assert_allclose(events["path_length"], 4 * 111.2 * np.cos(np.radians(4)), rtol=0.02)
    assert ((labels > 0).values == mask).all()
    xr.testing.assert_identical(track(field.chunk(time=2), grid=grid).events, events)


def test_copies_in_a_halo_count_once():
    lon, lat = np.meshgrid(np.arange(-1, 25) * 15.0, np.linspace(-70, 70, 9))
    grid = Grid.from_dataset(xr.Dataset(coords={"nav_lon": (("y", "x"), lon), "nav_lat": (("y", "x"), lat)}))
    assert grid.topology.halo.sum() == 18
    mask = np.zeros((3, 9, 26), bool)
    for t in range(3):
        mask[t, 4, [1 + (22 + t + k) % 24 for k in range(3)]] = True
    mask[:, :, 0], mask[:, :, 25] = mask[:, :, 24], mask[:, :, 1]
    events, labels = track(stack(mask), grid=grid)
    assert events["duration"].values.tolist() == [3]
    np.testing.assert_allclose(events["area_total"], 3 * grid.area().values[4, 5], rtol=1e-6)
    assert ((labels > 0).values == mask).all()
    np.testing.assert_allclose(events["point_lon"].values % 360, [345, 0, 15], atol=1e-6)


def test_cold_and_missing_values(warm, warmth):
    cold, _ = track(warm, values=-warmth, cold=True)
    events, _ = track(warm, values=warmth)
    np.testing.assert_array_equal(cold["intensity_max"], -events["intensity_max"])
    np.testing.assert_array_equal(cold["intensity_peak"], events["intensity_peak"])
    assert "lowest" in cold["intensity_max"].attrs["long_name"]
    assert events["intensity_mean"].attrs["units"] == "K"
    holes = warmth.where(warmth < 1.5)
    some, _ = track(warm, values=holes)
    assert (some["intensity_max"].dropna("event") < 1.5).all()
    nothing, _ = track(warm, values=warmth.where(False))
    assert nothing["intensity_max"].isnull().all()
    assert nothing["intensity_cumulative"].isnull().all()
    np.testing.assert_array_equal(nothing["area_max"], events["area_max"])


@pytest.mark.parametrize("suffix", ["nc", "zarr"])
def test_it_can_be_written(warm, warmth, tmp_path, suffix):
    for number, mask in enumerate((warm, warm & False)):
        events, labels = track(mask.chunk(time=10), values=warmth)
        for name, product in (("events", events), ("labels", labels)):
            write(product, tmp_path / f"{name}{number}.{suffix}")
        back = open_fields(tmp_path / f"events{number}.{suffix}").load()
        for name in ("start", "began", "point_lon", "link_kind", "link_area", "n_objects", "duration"):
            np.testing.assert_array_equal(back[name], events[name])


def test_nothing_and_a_single_step(warm):
    for none in (warm & False, (warm & False).chunk(time=7), warm.chunk(time=7).isel(time=slice(0, 1)) & False):
        events, labels = track(none)
        assert events.sizes["event"] == events.sizes["point"] == events.sizes["link"] == 0
        assert events["start"].dtype.kind == "M"
        assert (labels == 0).all()
    events, _ = track(warm[:1])
    assert set(events["ended"].values) == {"open"}
    assert (events["duration"] == 1).all()


def test_cftime():
    months = xr.date_range("2001-01-01", periods=4, freq="MS", calendar="noleap", use_cftime=True)
    field = squares([(1, 0, 5)], [(1, 0, 5)], [], [(2, 2, 3)]).assign_coords(time=months)
    events, _ = track(field)
    assert [str(d)[:7] for d in events["start"].values] == ["2001-01", "2001-04"]
    check_balance(events)


def test_kernels_in_plain_python(warm, warmth):
    labels = label(warm, connectivity=8).values.reshape(len(warm), -1)[:6]
    labels = np.where(labels > 0, labels, 0).astype(np.int32)
    count, area = int(labels.max()), np.arange(1, labels.shape[1] + 1)
    centres = Grid.from_dataset(warm).centres()
    arguments = (labels, count, area, 0.5, centres, warmth.values.reshape(len(warm), -1)[:6], 1.0)
    found = kernels.measure.py_func(*arguments)
    for ours, compiled in zip(found, kernels.measure(*arguments), strict=True):
        np.testing.assert_allclose(ours, compiled, rtol=1e-14)
    step, size, *_ = found
    for k in range(count):
        cells = labels[step[k]] == k + 1
        assert size[k] == area[cells].sum()
    kept = np.arange(count + 1, dtype=np.int32)
    kept[::3] = 0
    pair = (labels[2], labels[3], kept, kept, area)
    triples = kernels.overlaps.py_func(*pair)
    for ours, compiled in zip(triples, kernels.overlaps(*pair), strict=True):
        np.testing.assert_array_equal(ours, compiled)
    both = (kept[labels[2]] > 0) & (kept[labels[3]] > 0)
    assert triples[2].sum() == area[both].sum()
    rng = np.random.default_rng(0)
    old, new = rng.integers(0, 20, 60), rng.integers(20, 40, 60)
    for ours, compiled in zip(kernels.follow.py_func(old, new, 40), kernels.follow(old, new, 40), strict=True):
        np.testing.assert_array_equal(ours, compiled)


# ---- refusals -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"connectivity": 26}, "connectivity is 26, which is for label.*choose 4 or 8"),
        ({"connectivity": 5}, "connectivity is 5; choose one of 4, 8"),
        ({"periodic": 1.5}, "periodic is 1.5"),
        ({"min_overlap": 0.0}, "min_overlap is 0.0"),
        ({"min_overlap": 1.1}, "min_overlap is 1.1"),
        ({"min_overlap": True}, "min_overlap is True"),
        ({"min_area": -1.0}, "min_area is -1.0"),
        ({"min_area": np.nan}, "min_area is nan"),
        ({"min_duration": 0}, "min_duration is 0"),
        ({"min_duration": 2.0}, "min_duration is 2.0"),
        ({"time": "when"}, "no variable 'when'"),
        ({"area": xr.DataArray(np.ones((3, 36)), dims=("lat", "lon"))}, "area has the sizes"),
        ({"area": xr.DataArray(-np.ones((18, 36)), dims=("lat", "lon"))}, "area holds the value -1"),
        ({"area": xr.DataArray(np.zeros((18, 36)), dims=("lat", "lon"))}, "'warm' is true in cells that have no area"),
    ],
)
def test_refused_options(warm, options, words):
    with pytest.raises(ValueError, match=words):
        track(warm, **options)


def test_refused_fields(warm, warmth):
    cases = [
        (warm.values, {}, "the mask is a ndarray"),
        (warmth, {}, "holds the value .*true or false"),
        (warm.drop_vars("time"), {}, "no time coordinate"),
        (warm[::-1], {}, "not sorted"),
        (warm.isel(time=[0, 1, 2, 9]), {}, "jumps from"),
        (warm.expand_dims(member=2), {}, "further dimension 'member'"),
        (warm, {"values": warmth[:, :3]}, "values have the sizes .*select the same part"),
        (warm, {"values": warmth.assign_coords(lon=warmth["lon"] - 360)}, "differ in the coordinate 'lon'"),
        (warm, {"values": warm}, "values hold bool"),
    ]
    for mask, options, words in cases:
        with pytest.raises(ValueError, match=words):
            track(mask, **options)
