"""Heatwaves and cold spells of the West Australia series against the tables of four programs."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from oceankit.anomaly import climatology, heatwave_days, heatwaves

NAMES = {"Moderate": 1, "Strong": 2, "Severe": 3, "Extreme": 4}


@pytest.fixture
def sst(shared):
    return xr.load_dataset(shared / "data" / "sst_points" / "oisst_daily_WA_1982_2022.nc")["sst"]


def column(table: pd.DataFrame, *names: str) -> np.ndarray:
    found = next(n for n in names if n in table and not pd.api.types.is_numeric_dtype(table[n]))
    return table[found].str[:10].to_numpy()


TABLES = [
    ("sst_WA__default_1983-2012", {}, {}, 75),
    ("sst_WA__1982-2011", {"period": (1982, 2011)}, {}, 90),
    ("sst_WA__cold_1983-2012", {"percentile": 10}, {}, 94),
    ("sst_WA__nojoin_1983-2012", {}, {"max_gap": 0}, 83),
    ("sst_WA__nosmooth_1983-2012", {"smooth": None}, {}, 70),
    ("heatwaveR_sst_WA__1983-2012", {"convention": "heatwaveR"}, {}, 76),
    ("heatwave3_sst_WA__1983-2012", {"convention": "heatwave3"}, {}, 76),
    ("xmhw_sst_WA__1983-2012", {"convention": "xmhw"}, {}, 75),
]


@pytest.mark.parametrize(("table", "of_climatology", "of_events", "number"), TABLES, ids=[t[0] for t in TABLES])
def test_events(shared, sst, table, of_climatology, of_events, number):
    expected = pd.read_csv(shared / "reference" / "anomaly" / f"{table}__events.csv")
    found = heatwaves(sst, climatology(sst, **{"period": (1983, 2012), **of_climatology}), **of_events)
    assert found.sizes["event"] == len(expected) == number
    for ours, theirs in {"start": "start", "end": "end", "peak": "peak"}.items():
        dates = column(expected, f"date_{theirs}", f"time_{theirs}")
        np.testing.assert_array_equal(found[ours].dt.strftime("%Y-%m-%d"), dates)
    compared = [c for c in expected if c in found and pd.api.types.is_numeric_dtype(expected[c]) and "index" not in c]
    compared = [c for c in compared if c not in ("start", "end", "category")]
    assert len(compared) >= 15
    for name in compared:
        assert found[name].dtype.kind == ("i" if name.startswith("duration") else "f")
        np.testing.assert_allclose(found[name], expected[name], rtol=0, atol=1e-9, err_msg=name)
    if "category" in expected:
        of = expected["category"]
        numbers = of if pd.api.types.is_numeric_dtype(of) else [NAMES[c.split()[-1]] for c in of]
        np.testing.assert_array_equal(found["category"], numbers)


def test_categories_of_heatwaver(shared, sst):
    table = pd.read_csv(shared / "reference" / "anomaly" / "heatwaveR_sst_WA__1983-2012__category.csv")
    table = table.sort_values("event_no")
    found = heatwaves(sst, climatology(sst, period=(1983, 2012), convention="heatwaveR"))
    np.testing.assert_array_equal(found["category"], [NAMES[c.split()[-1]] for c in table["category"]])
    for n, name in enumerate(["moderate", "strong", "severe", "extreme"]):
        share = np.rint(100 * found[f"duration_{name}"] / found["duration"])
        np.testing.assert_array_equal(share, table[f"p_{name}"], err_msg=str(n))


def test_days_add_up_to_the_days_of_the_events(sst):
    clim = climatology(sst, period=(1983, 2012))
    days, events = heatwave_days(sst, clim), heatwaves(sst, clim)
    assert days.dtype == np.int8
    for n, name in enumerate(["moderate", "strong", "severe", "extreme"], start=1):
        assert (days == n).sum() == events[f"duration_{name}"].sum()
    inside = np.zeros(sst.size, bool)
    for first, last in zip(events["index_start"].values, events["index_end"].values, strict=True):
        inside[first : last + 1] = True
    assert not days.values[~inside].any()
    gap = inside & (days.values == 0)
    place = xr.DataArray(_place(sst), dims="time")
    assert (sst.values[gap] <= clim["threshold"].values[place.values[gap]]).all()


def _place(sst: xr.DataArray) -> np.ndarray:
    day = sst["time"].dt.dayofyear.values
    return np.where(sst["time"].dt.is_leap_year | (day < 60), day, day + 1) - 1


def test_west_australia_2011(sst):
    """Pearce and Feng (2013): the event that gave marine heatwaves their name."""
    event = heatwaves(sst, climatology(sst, period=(1983, 2012)))
    event = event.isel(event=int(np.argmax(event["intensity_max"].values)))
    assert str(event["start"].values)[:10] == "2011-02-06"
    assert str(event["end"].values)[:10] == "2011-04-06"
    assert event["duration"] == 60
    assert event["category"] == 4
    assert event["intensity_max"].item() == pytest.approx(6.5065, abs=5e-5)
    assert event["intensity_cumulative"].item() == pytest.approx(192.73, abs=5e-3)


def test_the_cube_off_tasmania_equals_pixel_by_pixel(shared):
    """Packed integers as they are, floats, and every pixel on its own."""
    path = shared / "data" / "oisst_tasmania" / "oisst_tasmania_1982_2016.nc"
    with xr.open_dataset(path, mask_and_scale=False) as dataset:
        cube = dataset["sst"].isel(lat=slice(None, None, 6), lon=slice(2, None, 9)).load()
    clim = climatology(cube, period=(1983, 2012))
    events, days = heatwaves(cube, clim), heatwave_days(cube, clim)
    values = np.where(cube.values == -32768, np.nan, cube.values * 0.01 + 0.0)
    floats = cube.copy(data=values).drop_attrs().assign_attrs(units=cube.attrs["units"])
    same = climatology(floats, period=(1983, 2012))
    np.testing.assert_array_equal(same["threshold"], clim["threshold"])
    np.testing.assert_allclose(same["mean"], clim["mean"], rtol=1e-14)
    xr.testing.assert_equal(heatwave_days(floats, same), days)
    assert events.sizes["event"] > 500
    for n, (i, j) in enumerate(np.ndindex(cube.shape[1:])):
        pixel = cube[:, i, j]
        one = climatology(pixel, period=(1983, 2012))
        xr.testing.assert_equal(one, clim.isel(lat=i, lon=j))
        alone = heatwaves(pixel, one).drop_vars("cell")
        here = events.isel(event=events["cell"].values == n).drop_vars("cell")
        xr.testing.assert_equal(alone.drop_vars(["lat", "lon"]), here.drop_vars(["lat", "lon"]))
        np.testing.assert_array_equal(heatwave_days(pixel, one), days[:, i, j])
