"""Opening: one file and many, real archives whose times do not decode, refusals."""

import logging
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from oceankit._extras import MissingExtraError
from oceankit.fields.opening import sources_of
from oceankit.fields.store import StoreError, open_fields, write

SHARED = Path(__file__).parents[2].parent / "shared" / "data"
needs_shared = pytest.mark.skipif(not SHARED.exists(), reason=f"the real archives are not at {SHARED}")


def day(number, **attrs):
    sst = np.full((1, 2, 3), 10.0 + number, "f4")
    return xr.Dataset(
        {"sst": (("time", "lat", "lon"), sst, {"units": "degC"} | attrs), "area": (("lat", "lon"), np.ones((2, 3)))},
        coords={
            "time": [pd.Timestamp("2020-01-01") + pd.Timedelta(number, "D")],
            "lat": [1.0, 2.0],
            "lon": [5.0, 6.0, 7.0],
        },
        attrs={"title": "days", "number": number},
    )


@pytest.fixture
def days(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for n in range(3):
        day(n).to_netcdf(f"day{n}.nc")
    return tmp_path


def test_many_files_combine_in_the_order_of_their_coordinates(days):
    whole = open_fields("day*.nc")
    np.testing.assert_array_equal(whole.sst[:, 0, 0], [10, 11, 12])
    assert whole.sst.chunks is not None
    assert whole.area.dims == ("lat", "lon")
    assert whole.attrs == {"title": "days"}  # what differs between files is said of none
    assert sources_of(whole) == ("day0.nc", "day1.nc", "day2.nc")
    assert whole.sst.encoding["sources"] == sources_of(whole)
    xr.testing.assert_identical(open_fields(["day2.nc", days / "day0.nc", "day1.nc"]).load(), whole.load())


def test_different_variables_in_different_files_are_merged(days):
    day(0)[["sst"]].rename(sst="salt").to_netcdf("salt.nc")
    both = open_fields(["day0.nc", "salt.nc"])
    assert {"sst", "salt"} <= set(both.data_vars)
    assert both.sst.shape == both.salt.shape


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (lambda: day(1, units="K"), ["'K'", "'degC'", "'sst'"]),
        (lambda: day(1).isel(lat=[0]), ["1 along 'lat'", "has 2"]),
        (lambda: day(1).assign_coords(lon=[5.0, 6.0, 7.001]), ["the values of 'lon'"]),
        (lambda: day(1).assign(area=2 * day(1).area), ["the values of 'area'"]),
        (lambda: day(1).transpose("time", "lon", "lat"), ["'lon', 'lat'", "'lat', 'lon'"]),
        (lambda: day(1).drop_vars("area"), ["lacks 'area'"]),
        (lambda: day(0).assign(sst=day(0).sst + 1), ["the same 'time'"]),
    ],
    ids=["units", "size", "grid", "static", "order", "variable", "overlap"],
)
def test_files_that_do_not_combine_are_named(days, other, words):
    odd = other()
    odd["sst"].attrs.setdefault("units", "degC")
    odd.to_netcdf("odd.nc")
    with pytest.raises(StoreError) as caught:
        open_fields(["day0.nc", "odd.nc"])
    assert all(word in str(caught.value) for word in [*words, "do not combine"]), caught.value
    assert "odd.nc" in str(caught.value) or "several files" in str(caught.value)


@pytest.mark.parametrize(
    ("paths", "words"),
    [
        ("nothing*.nc", ["no file matches", "nothing*.nc"]),
        ("absent.nc", ["no file 'absent.nc'"]),
        ([], ["empty"]),
        (["day0.nc", "day0.nc"], ["listed 2 times"]),
        ("text.nc", ["text.nc", "engine="]),
        ("folder", ["'folder' is a folder", "folder/*.nc"]),
    ],
)
def test_refusals(days, paths, words):
    (days / "text.nc").write_text("not a product")
    (days / "folder").mkdir()
    with pytest.raises(StoreError) as caught:
        open_fields(paths)
    assert all(word in str(caught.value) for word in words), caught.value


@pytest.mark.parametrize(("name", "extra"), [("a.grib2", "grib"), ("b.tif", "geotiff")])
def test_a_missing_engine_names_its_extra(tmp_path, monkeypatch, name, extra):
    (tmp_path / name).write_bytes(b"")

    def absent(module):
        raise ImportError(f"No module named {module!r}")

    monkeypatch.setattr("oceankit._extras.importlib.import_module", absent)
    with pytest.raises(MissingExtraError, match=rf"oceankit\[{extra}\]"):
        open_fields(tmp_path / name)


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("consolidated", [True, False])
@pytest.mark.filterwarnings("error", "ignore:Consolidated metadata")
def test_zarr_of_both_versions(tmp_path, version, consolidated):
    day(0).to_zarr(tmp_path / "d.zarr", zarr_format=version, consolidated=consolidated)
    opened = open_fields(tmp_path / "d.zarr")
    assert opened.sst.chunks is not None
    xr.testing.assert_identical(opened.load(), day(0))


def test_chunks(tmp_path):
    big = xr.Dataset({"v": (("t", "y", "x"), np.zeros((100, 4, 5), "f4")), "name": ("t", ["a"] * 100)})
    big.to_netcdf(tmp_path / "v.nc", encoding={"v": {"chunksizes": (1, 4, 5)}})
    assert open_fields(tmp_path / "v.nc").v.data.npartitions == 1  # tiny chunks of the file are merged
    assert open_fields(tmp_path / "v.nc", chunks={}).v.data.npartitions == 100
    assert open_fields(tmp_path / "v.nc", chunks=None).v.chunks is None
    assert list(open_fields(tmp_path / "v.nc", drop_variables="v").variables) == ["name"]
    xr.testing.assert_identical(open_fields(tmp_path / "v.nc").load(), big)


def test_a_time_dimension_without_units_takes_the_one_time_along_it(days, caplog):
    caplog.set_level(logging.INFO, "oceankit")
    for n in range(2):
        ds = day(n).rename(time="time_counter")
        ds["time_centered"] = ("time_counter", ds.time_counter.values)
        ds["time_counter"] = ("time_counter", [0.0], {"axis": "T"})
        ds.to_netcdf(f"nemo{n}.nc")
    np.testing.assert_array_equal(
        open_fields("nemo*.nc").time_counter, day(0).time.values + np.array([0, 86400 * 10**9], "m8[ns]")
    )
    assert "'time_centered' are taken" in caplog.text
    # Two candidates are one too many: nothing is guessed.
    ds["time_instant"] = ds.time_centered
    ds.to_netcdf("nemo.nc")
    assert open_fields("nemo.nc").time_counter.dtype == np.float64


def test_undecodable_times_and_their_bounds_stay_numbers(tmp_path, caplog):
    ds = xr.Dataset(
        {"v": ("time", [1.0, 2.0]), "time_bnds": (("time", "nv"), [[0.0, 1.0], [1.0, 2.0]])},
        coords={
            "time": ("time", [0.5, 1.5], {"units": "months since 0000-01-01", "bounds": "time_bnds"}),
            "issued": ((), 3, {"units": "days since 2000-01-01"}),
        },
    )
    ds.to_netcdf(tmp_path / "m.nc")
    opened = open_fields(tmp_path / "m.nc")
    np.testing.assert_array_equal(opened.time, [0.5, 1.5])
    assert opened.time_bnds.dtype == np.float64
    assert opened.issued.values == np.datetime64("2000-01-04")
    assert "'time'" in caplog.text
    assert "stay numbers" in caplog.text
    write(opened, tmp_path / "again.nc")
    assert open_fields(tmp_path / "again.nc").time.attrs["units"] == "months since 0000-01-01"


@needs_shared
@pytest.mark.parametrize(
    ("name", "time"),
    [
        ("climatology/coads_climatology.cdf", "TIME"),
        ("climatology/ocean_atlas_subset.nc", "TIME"),
        ("nemo_orca025_northsea/coordinates.nc", "time"),
    ],
)
def test_real_files_with_year_zero(caplog, name, time):
    opened = open_fields(SHARED / name)
    assert opened[time].dtype.kind == "f"
    assert f"'{time}'" in caplog.text
    assert "0000-01-01" in caplog.text


def test_three_months_of_nemo_combine(tmp_path):
    folder = Path(pytest.importorskip("iris_sample_data").path) / "NEMO"
    nemo = open_fields(folder / "nemo_1m_*.nc")
    assert nemo.tos.shape == (3, 330, 360)
    assert [d.isoformat() for d in nemo.time_counter.values] == [f"2015-0{m}-16T00:00:00" for m in (1, 2, 3)]
    assert nemo.time_counter.dt.calendar == "360_day"
    assert nemo.nav_lon.dims == nemo.bounds_lon.dims[:2] == ("y", "x")
    assert [Path(s).name[:16] for s in sources_of(nemo)] == [f"nemo_1m_20150{m}01" for m in (1, 2, 3)]
    write(nemo, tmp_path / "nemo.zarr")
    xr.testing.assert_equal(open_fields(tmp_path / "nemo.zarr").load(), nemo.load())
