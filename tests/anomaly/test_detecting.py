"""From disk to disk, tile by tile, equals all at once; and what is refused."""

import numpy as np
import pytest
import xarray as xr
import zarr

import oceankit
from oceankit.anomaly import climatology, detect, detecting, heatwave_days, heatwaves
from oceankit.fields import encoding

PERIOD = (2002, 2007)


@pytest.fixture
def packed(make_daily):
    sst = make_daily("2001-01-01", "2008-12-31", (5, 7))
    values = np.rint(100 * sst.values).astype("int16")
    values[np.random.default_rng(2).random(values.shape) < 0.02] = -999
    values[:, 1, :3] = -999
    attrs = {"scale_factor": 0.01, "add_offset": 0.0, "_FillValue": np.int16(-999), "units": "degree_C"}
    return sst.copy(data=values).assign_attrs(attrs).assign_coords(depth=0.5)


def opened(folder, name: str) -> xr.Dataset:
    assert oceankit.check_integrity(folder / f"{name}.zarr").ok
    return xr.open_zarr(folder / f"{name}.zarr", consolidated=False).load()


@pytest.mark.parametrize(
    ("memory", "chunks"),
    [("1GiB", None), (800_000, None), ("4MiB", {"lat": 2, "lon": 3}), (800_000, {"time": 400, "lat": 2, "lon": 3})],
)
def test_equals_all_at_once(packed, tmp_path, memory, chunks):
    clim = climatology(packed, period=PERIOD)
    events, days = heatwaves(packed, clim), heatwave_days(packed, clim)
    detect(packed.chunk(chunks) if chunks else packed, tmp_path / "found", period=PERIOD, memory=memory)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["found"]
    xr.testing.assert_equal(opened(tmp_path / "found", "days")["heatwave_category"], days)
    found = opened(tmp_path / "found", "climatology")
    for name in ("mean", "threshold"):
        np.testing.assert_array_equal(found[name].transpose(*clim[name].dims), clim[name])
    assert found.attrs["period"] == clim.attrs["period"]
    table = opened(tmp_path / "found", "events")
    order = np.lexsort((table["index_start"].values, table["cell"].values))
    xr.testing.assert_equal(table.isel(event=order), events)
    assert table.attrs["convention"] == "oliver"


def test_a_series_and_cold_spells_without_climatology(make_daily, tmp_path):
    sst = make_daily("2001-01-01", "2008-12-31")
    detect(sst, tmp_path / "found", period=PERIOD, percentile=10, keep_climatology=False)
    assert sorted(p.name for p in (tmp_path / "found").iterdir()) == ["days.zarr", "events.zarr"]
    events = opened(tmp_path / "found", "events")
    xr.testing.assert_equal(events, heatwaves(sst, climatology(sst, period=PERIOD, percentile=10)))
    assert events.attrs["kind"] == "cold spells"


def test_chunks_of_events_go_across_tiles(packed, tmp_path, monkeypatch):
    monkeypatch.setattr(encoding, "_GROWTH", 10)
    detect(packed, tmp_path / "found", period=PERIOD, memory=800_000)
    stored = zarr.open_group(tmp_path / "found" / "events.zarr", mode="r")
    assert {stored[name].chunks for name in ("start", "cell", "rate_onset")} == {(10,)}
    table = opened(tmp_path / "found", "events")
    assert table.sizes["event"] > 100
    order = np.lexsort((table["index_start"].values, table["cell"].values))
    xr.testing.assert_equal(table.isel(event=order), heatwaves(packed, climatology(packed, period=PERIOD)))


def test_tiles_are_even_parts_of_chunks(packed):
    def tiled(**chunks):
        field = packed.pad(lat=(0, 7), lon=(0, 5), mode="edge").chunk(chunks)
        return {
            d: {t[d].stop - t[d].start for t in detecting._tiles(field, "time", 7 * each, 8)} for d in ("lat", "lon")
        }

    each = packed.sizes["time"] * (4 * 2 + 4) + 8 * detecting._EVENTS_A_YEAR + detecting._CLIMATOLOGY
    # Seven cells of a chunk of twelve would be two tiles that are not equal.
    assert tiled(lat=12, lon=1) == {"lat": {6}, "lon": {1}}
    assert tiled(lat=4, lon=1) == {"lat": {4}, "lon": {1}}
    assert tiled(lat=1, lon=3) == {"lat": {1}, "lon": {6}}


def test_no_events_at_all(packed, tmp_path):
    detect(packed.where(packed < -2000, np.int16(-999)), tmp_path / "found", period=PERIOD)
    assert opened(tmp_path / "found", "events").sizes["event"] == 0
    assert not opened(tmp_path / "found", "days")["heatwave_category"].any()


def test_refusals_leave_nothing(packed, tmp_path):
    maps = packed.chunk(time=1)
    cases = [
        (packed, {"memory": "lots"}, "memory is 'lots'"),
        (packed, {"memory": 1000}, "one cell .*MiB with all.*allow more"),
        (packed, {"period": (1990, 2000)}, "not covered"),
        (packed, {"min_duration": 0}, "min_duration is 0"),
        (maps, {"memory": 200_000}, "chunks of .*read [0-9]+ times: write it once in chunks of about"),
    ]
    for field, options, words in cases:
        with pytest.raises(ValueError, match=words):
            detect(field, tmp_path / "found", **{"period": PERIOD, **options})
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "found").mkdir()
    with pytest.raises(ValueError, match="exists: give another folder"):
        detect(packed, tmp_path / "found", period=PERIOD)
