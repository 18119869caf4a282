"""Windows against slices by hand; shuffling, resuming, splits without leakage, memory, refusals."""

import contextlib
import json
import subprocess
import sys

import dask
import numpy as np
import pytest
import xarray as xr
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from oceankit.forecast import _window_stream
from oceankit.forecast.windows import Windows


def record(steps: int = 120, shape: tuple[int, int] = (5, 6), freq: str = "D", dtype: str = "float32") -> xr.Dataset:
    """Sea surface temperature with land, wind on the same cells, an index along time alone."""
    rng = np.random.default_rng(0)
    sst = (rng.normal(size=(steps, *shape)).cumsum(axis=0) * 0.1 + 290).astype(dtype)
    sst[:, 0, 0] = np.nan
    coords = {"time": xr.date_range("2000-01-01", periods=steps, freq=freq), "lat": np.arange(shape[0]) * 1.0}
    return xr.Dataset(
        {
            "sst": (("time", "lat", "lon"), sst, {"units": "K"}),
            "wind": (("lat", "time", "lon"), rng.normal(size=(shape[0], steps, shape[1])).astype("float32")),
            "nao": ("time", rng.normal(size=steps)),
        },
        coords | {"lon": np.arange(shape[1]) * 1.0},
    )


def arrays(batch) -> dict[str, np.ndarray]:
    return batch.inputs | {"targets": batch.targets, "start": batch.start, "mask": batch.mask} | (
        {} if batch.corner is None else {"corner": batch.corner}
    )  # fmt: skip


def digest(batches) -> list[tuple]:
    return [tuple((n, a.shape, a.tobytes()) for n, a in arrays(b).items()) for b in batches]


def slices(ds: xr.Dataset, start: int, history: int, leads, name: str, mean=0.0, std=1.0) -> tuple:
    """History and targets of one window by plain xarray slicing."""
    scaled = ((ds[name].astype("float64") - mean) / std).transpose("time", ...)
    return scaled.isel(time=slice(start - history + 1, start + 1)).values, scaled.isel(
        time=[start + k for k in leads]
    ).values


# ---- values -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize("memory", ["1 GiB", "20 kB"])
def test_every_window_is_what_slicing_gives(lazy, memory):
    ds = record()
    leads, history = (1, 2, 5), 4
    mean, std = ds.mean("time", dtype="f8"), ds.std("time", dtype="f8")
    windows = Windows(
        ds.chunk(time=7, lat=2) if lazy else ds,
        targets="sst",
        leads=leads,
        history=history,
        forcings=["wind", "nao"],
        future_forcings=["wind", "nao"],
        batch=16,
        memory=memory,
    )
    assert windows.report()["resident"] == (memory == "1 GiB")
    starts = []
    for batch in windows:
        assert batch.history.flags.c_contiguous
        assert batch.targets.flags.c_contiguous
        for i, start in enumerate(batch.start):
            past, later = slices(ds, start, history, leads, "sst", mean.sst, std.sst.where(std.sst > 0, 1))
            np.testing.assert_allclose(batch.history[i, :, 0], past, rtol=1e-5, atol=1e-5)
            np.testing.assert_allclose(batch.targets[i, :, 0], later, rtol=1e-5, atol=1e-5)
            past, later = slices(ds, start, history, range(1, 6), "wind", mean.wind, std.wind)
            np.testing.assert_allclose(batch.history[i, :, 1], past, rtol=1e-5, atol=1e-5)
            np.testing.assert_allclose(batch.future[i, :, 0], later, rtol=1e-5, atol=1e-5)
            past, later = slices(ds, start, history, range(1, 6), "nao", mean.nao, std.nao)
            np.testing.assert_allclose(batch.series[i, :, 0], past, rtol=1e-5, atol=1e-5)
            np.testing.assert_allclose(batch.future_series[i, :, 0], later, rtol=1e-5, atol=1e-5)
            phase = 2 * np.pi * (ds.time.dt.dayofyear.values - 1) / 366
            np.testing.assert_allclose(batch.series[i, :, 1], np.sin(phase)[start - 3 : start + 1], atol=1e-6)
            np.testing.assert_allclose(batch.future_series[i, :, 2], np.cos(phase)[start + 1 : start + 6], atol=1e-6)
            assert batch.init_time[i] == ds.time.values[start]
        starts += batch.start.tolist()
    assert sorted(starts) == list(range(3, 115))
    assert starts != sorted(starts)
    assert windows.channels["future_series"] == ["nao", "year_sin", "year_cos"]
    np.testing.assert_array_equal(batch.mask, np.isfinite(ds.sst.values[0]))


@settings(max_examples=25, deadline=None)
@given(
    steps=st.integers(12, 60),
    history=st.integers(1, 5),
    leads=st.sets(st.integers(1, 6), min_size=1, max_size=4).map(sorted),
    batch=st.integers(1, 9),
    rows=st.integers(24, 80),
    chunk=st.integers(1, 40),
)
def test_any_shape_covers_all_windows_once(steps, history, leads, batch, rows, chunk):
    ds = record(steps, (2, 3))[["sst"]]
    windows = None
    with contextlib.suppress(ValueError):  # too small a memory is refused
        windows = Windows(
            ds.chunk(time=chunk), targets="sst", leads=leads, history=history, batch=batch, scaling=None,
            memory=rows * 2 * 3 * 4 * 8 // 7, calendar=False,
        )  # fmt: skip
    assume(windows is not None)
    seen = []
    for one in windows:
        for i, start in enumerate(one.start):
            past, later = slices(ds, start, history, leads, "sst")
            np.testing.assert_array_equal(one.history[i, :, 0], past.astype("f4"))
            np.testing.assert_array_equal(one.targets[i, :, 0], later.astype("f4"))
        seen += one.start.tolist()
    assert sorted(seen) == list(range(history - 1, steps - leads[-1]))
    assert len(windows) == -(-len(seen) // batch)


def test_patches_cover_the_plane_and_are_cut_where_they_say():
    ds = record(40, (7, 9))
    ds["sst"][:, 4:, 6:] = np.nan
    windows = Windows(
        ds,
        targets="sst",
        leads=[1, 3],
        history=3,
        forcings="wind",
        patches=(3, 3),
        stride=(2, 3),
        scaling=None,
        batch=10,
    )
    assert windows.report()["left_out_patches_land"] == 1  # rows 4 to 6, columns 6 to 8
    assert windows.samples == (40 - 5) * (9 - 1)
    seen, covered = set(), np.zeros((7, 9), bool)
    for batch in windows:
        assert batch.history.shape[1:] == (3, 2, 3, 3)
        for i, (start, (y, x)) in enumerate(zip(batch.start, batch.corner, strict=True)):
            cut = ds.isel(lat=slice(y, y + 3), lon=slice(x, x + 3))
            past, later = slices(cut, start, 3, [1, 3], "sst")
            np.testing.assert_array_equal(batch.history[i, :, 0], past.astype("f4"))
            np.testing.assert_array_equal(batch.targets[i, :, 0], later.astype("f4"))
            np.testing.assert_array_equal(batch.history[i, :, 1], slices(cut, start, 3, [1], "wind")[0].astype("f4"))
            np.testing.assert_array_equal(batch.mask[i], np.isfinite(cut.sst.values[0]))
            seen.add((start, y, x))
            covered[y : y + 3, x : x + 3] = True
    assert len(seen) == windows.samples
    assert covered[np.isfinite(ds.sst.values[0])].all()


def test_levels_stations_and_single_series():
    rng = np.random.default_rng(1)
    time = xr.date_range("2000-01-01", periods=50, freq="h")
    deep = xr.DataArray(
        rng.normal(size=(2, 50, 4, 5)), dims=("depth", "time", "y", "x"), coords={"time": time}, name="t"
    )
    batch = next(iter(Windows(deep, targets="t", leads=[1], history=2, patches=(2, 2), scaling=None)))
    y, x = batch.corner[0]
    wanted = deep.transpose("time", ...).values[batch.start[0] - 1 : batch.start[0] + 1, :, y : y + 2, x : x + 2]
    np.testing.assert_array_equal(batch.history[0, :, 0], wanted.astype("f4"))
    series = deep[0, :, 0, 0].rename("level")
    batch = next(iter(Windows(series, targets="level", leads=[1, 24], history=6, scaling=None)))
    np.testing.assert_array_equal(batch.targets[:, 1, 0], series.values[batch.start + 24].astype("f4"))
    assert batch.series.shape[2] == 4  # hourly: the day as well
    np.testing.assert_allclose(batch.series[:, -1, 2], np.sin(2 * np.pi * (batch.start % 24) / 24), atol=1e-6)
    stations = (
        deep[0, :, 0].rename("level", x="station").transpose("station", "time")
        if False
        else deep[0, :, 0].rename("level")
    )
    batch = next(iter(Windows(stations, targets="level", leads=[2], history=3, scaling=None)))
    np.testing.assert_array_equal(
        batch.targets[:, 0, 0], stations.transpose("time", "x").values[batch.start + 2].astype("f4")
    )


def test_missing_inputs_are_filled_only_on_demand_and_targets_never():
    ds = record()
    ds["sst"][::3, 2, 2] = np.nan
    options = {"targets": "sst", "leads": [1, 2], "history": 3, "forcings": "wind", "shuffle": False, "batch": 200}
    plain, filled = (next(iter(Windows(ds, fill=f, **options))) for f in (None, 0.0))
    assert np.isnan(plain.history).any()
    np.testing.assert_array_equal(filled.history, np.nan_to_num(plain.history, nan=0.0))
    np.testing.assert_array_equal(filled.targets, plain.targets)


@pytest.mark.parametrize("freq", ["D", "MS"])
def test_season_is_removed_and_restored(freq):
    ds = record(1200 if freq == "D" else 120, (3, 4), freq)
    wave = np.sin(2 * np.pi * ds.time.dt.dayofyear / 365.25) * 5
    ds["sst"] = (ds.sst + wave).astype("float32").transpose("time", ...).assign_attrs(units="K")
    windows = Windows(ds, targets="sst", leads=[1, 3], history=3, season=True, batch=50, patches=(2, 2))
    batch = next(iter(windows))
    back = windows.restore(batch.targets, batch)
    for i, (start, (y, x)) in enumerate(zip(batch.start, batch.corner, strict=True)):
        wanted = ds.sst.values[[start + 1, start + 3], y : y + 2, x : x + 2]
        np.testing.assert_allclose(back[i, :, 0], wanted, rtol=1e-6)
    plain = Windows(ds, targets="sst", leads=[1, 3], history=3)
    assert (windows.scaling.width["sst"] < 0.5 * plain.scaling.width["sst"])[np.isfinite(ds.sst.values[0])].all()
    if freq == "MS":
        normal = ds.sst.astype("f8").groupby("time.month").mean()
        np.testing.assert_allclose(windows.scaling.season["sst"].table.reshape(12, 3, 4)[:, 1, 1], normal[:, 1, 1])


def test_pooled_statistics_are_those_of_all_cells_together():
    ds = record()
    windows = Windows(ds, targets="sst", leads=[1], history=3, scaling="pooled")
    assert windows.scaling.mean["sst"] == pytest.approx(np.nanmean(ds.sst.values.astype("f8")), rel=1e-12)
    assert windows.scaling.width["sst"] == pytest.approx(np.nanstd(ds.sst.values.astype("f8")), rel=1e-9)


# ---- order ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("memory", ["1 GiB", "40 kB"])
@pytest.mark.parametrize("patches", [None, (2, 3)])
def test_resume_is_exact_everywhere(memory, patches):
    options = {
        "targets": "sst", "leads": [1, 2], "history": 3, "forcings": ["wind", "nao"], "batch": 13, "memory": memory,
        "patches": patches, "season": True, "fill": 0.0,
    }  # fmt: skip
    ds = record().chunk(time=11)
    windows = Windows(ds, **options)
    everything, states = [], [windows.state()]
    for _ in range(2):
        for batch in windows:
            everything += digest([batch])
            states.append(windows.state())
    assert everything[: len(windows)] != everything[len(windows) :]
    assert windows.epoch == 2
    for k in sorted({0, 1, 3, len(windows) - 1, len(windows), len(windows) + 4}):
        other = Windows(ds, **options).resume(json.loads(json.dumps(states[k])))
        rest = []
        while other.epoch < 2:
            rest += digest(other)
        assert rest == everything[k:]


def test_a_loop_left_early_goes_on_and_restart_begins_anew():
    windows = Windows(record(), targets="sst", leads=[1], history=3, batch=10)
    first = digest(windows)
    windows.restart()
    part = []
    for batch in windows:
        part += digest([batch])
        if len(part) == 4:
            break
    assert part + digest(windows) == first
    loop = iter(windows)
    next(loop)
    next(iter(windows))
    with pytest.raises(RuntimeError, match="another loop"):
        next(loop)


def test_batches_depend_on_no_chunks_no_threads_and_no_prefetch(tmp_path):
    ds = record(200)
    options = {
        "targets": "sst", "leads": [1, 2], "history": 3, "forcings": ["wind", "nao"], "batch": 13, "memory": "60 kB",
        "season": True, "patches": (3, 3), "min_known": 0.9,
    }  # fmt: skip
    wanted = digest(Windows(ds, **options))
    for chunks in ({"time": 1}, {"time": 37, "lon": 2}, {"time": 50}):
        assert digest(Windows(ds.chunk(chunks), **options)) == wanted
    with dask.config.set(scheduler="synchronous"):
        assert digest(Windows(ds.chunk(time=10), **options)) == wanted
    for depth in (1, 3):
        assert digest(Windows(ds.chunk(time=10), prefetch=depth, **options)) == wanted
    ds.chunk(time=25).to_zarr(tmp_path / "store.zarr")
    assert digest(Windows(tmp_path / "store.zarr", **options)) == wanted
    with xr.open_zarr(tmp_path / "store.zarr", chunks=None) as plain:
        assert digest(Windows(plain, **options)) == wanted
    assert Windows(ds, **options, seed=1).seed == 1
    assert digest(Windows(ds, **options, seed=1)) != wanted


def test_prefetch_resumes_after_the_last_batch_handed_out_and_hands_on_errors(monkeypatch):
    ds = record(200).chunk(time=20)
    options = {"targets": "sst", "leads": [1], "history": 3, "batch": 7, "memory": "20 kB", "prefetch": 3}
    windows = Windows(ds, **options)
    everything = digest(windows)
    windows.restart()
    for k, _ in enumerate(windows):
        if k == 4:
            break
    assert digest(Windows(ds, **options).resume(windows.state())) == everything[5:]

    def broken(self, group):
        raise OSError("disk gone")

    monkeypatch.setattr(_window_stream.Stream, "load", broken)
    with pytest.raises(OSError, match="disk gone"):
        list(Windows(ds, **options))


def test_chunk_aligned_pieces_read_each_chunk_seldom():
    reads = []

    def load(block, block_info=None):
        if block_info:
            reads.append(block_info[0]["chunk-location"][0])
        return block

    ds = record(400)[["sst"]].chunk(time=40)
    ds["sst"] = ds.sst.copy(data=ds.sst.data.map_blocks(load, dtype="f4", meta=np.empty((0, 0, 0), "f4")))
    mask = np.isfinite(record(1).sst[0])
    windows = Windows(
        ds, targets="sst", leads=[1], history=2, memory="24 kB", stretch="chunks", mask=mask, scaling=None
    )
    reads.clear()
    assert sum(len(b) for b in windows) == 398
    assert len(reads) <= 2 * 10


# ---- memory -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("prefetch", [0, 2])
def test_buffers_stay_within_memory(prefetch, monkeypatch):
    ds = record(600, (20, 20))[["sst", "wind"]].chunk(time=3)
    whole = 600 * 400 * 2 * 4
    memory = whole // 6
    windows = Windows(
        ds,
        targets="sst",
        leads=range(1, 4),
        history=4,
        forcings="wind",
        batch=5,
        memory=memory,
        prefetch=prefetch,
        fill=0,
    )
    alive = []
    load = _window_stream.Stream.load

    def counted(self, group):
        held = load(self, group)
        alive.append(held.values.nbytes + held.truth.nbytes)
        return held

    monkeypatch.setattr(_window_stream.Stream, "load", counted)
    assert sum(len(b) for b in windows) == 594
    assert len(alive) > 4
    assert 2 * max(alive) <= memory
    assert 0 < windows.report()["peak_bytes"] <= memory
    assert windows._stream.held_bytes == 0


def test_values_in_memory_are_not_copied_without_need():
    ds = record()
    windows = Windows(ds[["sst"]], targets="sst", leads=[1], history=3, scaling=None)
    assert len(list(windows)) == 4
    assert windows.report()["peak_bytes"] == 0


# ---- splits -----------------------------------------------------------------------------------------------------------

SPLIT = {
    "train": ("2000-01-01", "2000-05-31"),
    "validation": ("2000-06-01", "2000-07-31"),
    "test": ("2000-08-01", "2000-10-31"),
}


@pytest.mark.parametrize("gap", [None, 0, 10])
def test_windows_never_cross_a_border(gap):
    ds = record(305)
    options = {"targets": "sst", "leads": [1, 7], "history": 5, "batch": 30}
    splits = Windows.split(ds, **SPLIT, gap=gap, **options)
    width = 12 if gap is None else gap
    for k, (name, windows) in enumerate(splits._asdict().items()):
        rows = [int(np.flatnonzero(ds.time.values == np.datetime64(t))[0]) for t in SPLIT[name]]
        starts = np.concatenate([b.start for b in windows])
        left_out = width if k else 0
        assert starts.min() - 4 == rows[0] + left_out
        assert starts.max() + 7 == rows[1]
        assert windows.report()["left_out_steps_gap"] == left_out
    assert (np.diff(np.concatenate([b.start for b in splits.test])) == 1).all()
    assert splits.validation.scaling is splits.train.scaling


@pytest.mark.parametrize("scaling", ["cell", "pooled", None])
def test_nothing_after_the_split_reaches_training(scaling):
    ds = record(305)
    options = {
        "targets": "sst", "leads": [1, 7], "history": 5, "forcings": ["wind", "nao"], "future_forcings": ["wind"],
        "scaling": scaling, "season": scaling is not None, "min_known": 0.5, "patches": (2, 3),
    }  # fmt: skip
    spoiled = ds.copy(deep=True)
    for name in spoiled:
        after = spoiled[name].sel(time=slice("2000-06-01", None))
        after[:] = np.random.default_rng(9).normal(size=after.shape) * 1e6
    spoiled["sst"][-30:, 2:] = np.nan
    one, other = (Windows.split(d, **SPLIT, **options) for d in (ds, spoiled))
    assert digest(one.train) == digest(other.train)
    assert one.train.report() == other.train.report()
    for a, b in zip((one.train.scaling,), (other.validation.scaling,), strict=True):
        assert a.mean.keys() == b.mean.keys()
        for name in a.mean:
            assert a.mean[name].tobytes() == b.mean[name].tobytes()
            assert a.width[name].tobytes() == b.width[name].tobytes()
        for name in a.season:
            assert a.season[name].table.tobytes() == b.season[name].table.tobytes()
        assert a.sea.tobytes() == b.sea.tobytes()
    assert digest(one.test) != digest(other.test)


def test_windows_with_few_known_targets_are_left_out_and_counted():
    ds = record(60)[["sst"]]
    ds["sst"][20:30, :3] = np.nan  # 17 of 29 cells of sea
    ds["sst"][40] = np.nan
    options = {"targets": "sst", "leads": [1, 2], "history": 3, "batch": 7}
    starts = sorted(s for b in Windows(ds, min_known=0.8, **options) for s in b.start)
    known = np.isfinite(ds.sst.values).reshape(60, -1).sum(axis=1) / 29
    wanted = [s for s in range(2, 58) if (known[s + 1] + known[s + 2]) / 2 >= 0.8]
    assert starts == wanted
    assert Windows(ds, min_known=0.8, **options).report()["left_out_windows_min_known"] == 56 - len(wanted)
    assert Windows(ds, **options).samples == 56
    with pytest.raises(ValueError, match=r"no window has min_known=1"):
        Windows(ds.isel(time=slice(18, 30)), min_known=1.0, **options)


# ---- torch ------------------------------------------------------------------------------------------------------------


def test_windows_need_no_torch():
    code = "import sys, oceankit.forecast.windows; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_tensors_share_the_values():
    torch = pytest.importorskip("torch")
    ds = record()
    plain = list(Windows(ds, targets="sst", leads=[1], history=3))
    for one, other in zip(plain, Windows(ds, targets="sst", leads=[1], history=3, as_tensors=True), strict=True):
        assert isinstance(other.history, torch.Tensor)
        assert other.mask.dtype == torch.bool
        np.testing.assert_array_equal(one.history, other.history.numpy())
        np.testing.assert_array_equal(one.targets, other.targets.numpy())


# ---- refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        (None, {"targets": "sss"}, r"data lack \['sss'\]; they have"),
        (None, {"forcings": "sst"}, r"\['sst'\] stand twice"),
        (None, {"targets": []}, "targets is empty"),
        (lambda d: d.drop_isel(time=50), {}, "time has a hole"),
        (None, {"history": 100, "leads": [30]}, "span 130 steps, longer than the 120 steps"),
        (None, {"leads": [2, 1]}, r"leads=\[2, 1\] must increase"),
        (None, {"leads": [0]}, "leads=0 must be a whole number of at least 1"),
        (None, {"history": 2.5}, "history=2.5"),
        (None, {"period": ("2010-01-01", "2011-01-01")}, "has no data: the record runs from 2000-01-01"),
        (lambda d: d.assign(wind=d.wind * np.nan), {"forcings": "wind"}, "'wind' has no value from 2000-01-01"),
        (lambda d: d.assign(wind=d.wind + np.inf), {"forcings": "wind"}, "'wind' has infinite values"),
        (lambda d: d.assign(wind=d.wind.isel(time=0)), {"forcings": "wind"}, "'wind' does not vary along 'time'"),
        (lambda d: d.assign(wind=d.wind.isel(lat=0)), {"forcings": "wind"}, "'wind' has the dimensions"),
        (lambda d: d.assign(wind=d.wind.astype(str)), {"forcings": "wind"}, "not numbers"),
        (None, {"memory": "1 kB"}, "two of them must fit: allow"),
        (None, {"memory": "lots"}, "memory is 'lots'"),
        (lambda d: d.chunk(time=-1), {"memory": "6 kB"}, "would be read"),
        (None, {"patches": (50, 2)}, "larger than the plane"),
        (None, {"patches": 3}, "patches=3 must be two numbers"),
        (None, {"scaling": "minmax"}, "scaling='minmax' must be"),
        (None, {"scaling": None, "season": True}, "season is subtracted by the scaling"),
        (None, {"season": ["u"]}, r"season names \['u'\]"),
        (None, {"min_known": 2}, "min_known=2 must lie"),
        (None, {"stretch": 100, "memory": "10 kB"}, "stretch=100 reads up to 103 steps at once"),
        (None, {"mask": xr.DataArray(np.zeros((5, 6)), dims=("lat", "lon"))}, "mask has no sea"),
        (None, {"mask": xr.DataArray(np.ones(6), dims="x")}, "mask has"),
    ],
)
def test_refusals(change, options, message):
    ds = record() if change is None else change(record())
    with pytest.raises(ValueError, match=message):
        Windows(ds, **({"targets": "sst", "leads": [1], "history": 3} | options))


def test_scaling_is_not_used_where_it_does_not_belong():
    ds, options = record(), {"targets": "sst", "leads": [1], "history": 3}
    scaling = Windows(ds, **options).scaling
    celsius = ds.assign(sst=(ds.sst - 273.15).assign_attrs(units="degC"))
    with pytest.raises(ValueError, match=r"'sst' is in 'degC', its scaling was learnt in 'K'"):
        Windows(celsius, scaling=scaling, **options)
    with pytest.raises(ValueError, match="other cells"):
        Windows(ds.isel(lat=slice(0, 3)), scaling=scaling, **options)
    with pytest.raises(ValueError, match="other cells"):
        Windows(ds.assign_coords(lat=ds.lat + 10), scaling=scaling, **options)
    with pytest.raises(ValueError, match="the scaling has no 'wind'"):
        Windows(ds, scaling=scaling, forcings="wind", **options)
    pooled = Windows(ds, scaling="pooled", **options).scaling
    part = ds.isel(lat=slice(1, 3))
    with pytest.raises(ValueError, match="say which are sea: mask="):
        Windows(part, scaling=pooled, **options)
    elsewhere = Windows(part, scaling=pooled, mask=xr.ones_like(part.sst[0], bool), **options)
    assert elsewhere.mask.all()


def test_states_of_other_windows_and_wrong_splits_are_refused():
    ds, options = record(305), {"targets": "sst", "leads": [1], "history": 3}
    state = Windows(ds, **options).state()
    with pytest.raises(ValueError, match=r"batch=8 \(the state has 32\)"):
        Windows(ds, batch=8, **options).resume(state)
    with pytest.raises(ValueError, match="not a state of Windows"):
        Windows(ds, **options).resume({"epoch": 1})
    with pytest.raises(ValueError, match="it is damaged"):
        Windows(ds, **options).resume(state | {"position": 10**6})
    with pytest.raises(ValueError, match=r"validation begins at 2000-05-01, before train ends at 2000-05-31"):
        Windows.split(ds, train=SPLIT["train"], validation=("2000-05-01", "2000-07-01"), **options)
    with pytest.raises(ValueError, match="nothing is left of test after a gap of 100 steps"):
        Windows.split(ds, train=SPLIT["train"], test=("2000-06-01", "2000-07-01"), gap=100, **options)


@pytest.mark.parametrize(("plane", "leads"), [((96, 96), range(1, 3)), ((96, 96), (1, 4)), ((95, 97), range(1, 3))])
@pytest.mark.parametrize("forcings", [(), ("wind",)])
def test_long_windows_are_copied_alike_by_each_way(plane, leads, forcings):
    """Past the cache where lines of it fit, else run by run; in parts where channels or leads are picked."""
    ds = record(30, plane)
    windows = Windows(ds, targets="sst", leads=leads, history=3, forcings=forcings, scaling=None, batch=7)
    for batch in windows:
        for i, start in enumerate(batch.start):
            past, later = slices(ds, start, 3, leads, "sst")
            np.testing.assert_array_equal(batch.history[i, :, 0], past.astype("f4"))
            np.testing.assert_array_equal(batch.targets[i, :, 0], later.astype("f4"))
            if forcings:
                np.testing.assert_array_equal(
                    batch.history[i, :, 1], slices(ds, start, 3, leads, "wind")[0].astype("f4")
                )
