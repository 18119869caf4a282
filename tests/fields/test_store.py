"""Whole products: round trips, encodings, refusals."""

import json
import warnings

import cftime
import dask.array
import netCDF4
import numpy as np
import pandas as pd
import pytest
import xarray as xr
import zarr

from oceankit.fields import hashing
from oceankit.fields.hashing import content_sha256, stored
from oceankit.fields.store import StoreError, check_integrity, open_fields, write

FORMATS = ("nc", "zarr")


def sea(times=None, seed=0):
    """A small field with bounds, a grid mapping, gaps, text and flags."""
    times = pd.date_range("2020-01-30", periods=6) if times is None else times
    rng = np.random.default_rng(seed)
    sst = rng.normal(15, 3, (len(times), 4, 5)).astype("f4")
    sst[0, 0, :2] = np.nan
    return xr.Dataset(
        {
            "sst": (
                ("time", "lat", "lon"),
                sst,
                {"standard_name": "sea_surface_temperature", "units": "degree_C", "grid_mapping": "crs"},
            ),
            "mask": (("lat", "lon"), rng.random((4, 5)) > 0.5),
            "count": ("time", np.arange(len(times), dtype="i2")),
            "lat_bnds": (("lat", "nv"), np.stack([np.arange(4) - 0.5, np.arange(4) + 0.5], -1)),
            "crs": ((), 0, {"grid_mapping_name": "latitude_longitude"}),
        },
        coords={
            "time": times,
            "lat": ("lat", np.arange(4.0), {"bounds": "lat_bnds"}),
            "lon": np.arange(120.0, 125.0),
            "station": ("lat", np.array(["a", "bcd", "", "é"])),
        },
    )


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("chunks", [None, {"time": 2}, {"time": 4, "lat": 3}])
def test_round_trip(tmp_path, suffix, chunks):
    ds = sea() if chunks is None else sea().chunk(chunks)
    path = tmp_path / f"sea.{suffix}"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        write(ds, path)
        back = open_fields(path)
    xr.testing.assert_equal(back.load(), sea())
    assert back.sst.dtype == np.float32
    assert back.sst.attrs["units"] == "degree_C"
    assert back.sst.attrs["grid_mapping"] == "crs"
    assert back.lat.attrs["bounds"] == "lat_bnds"
    assert set(back.coords) == set(ds.coords)
    assert check_integrity(path).ok


def test_content_hashes_do_not_depend_on_chunks_or_format(tmp_path):
    found = []
    for n, chunks in enumerate([None, {"time": 1}, {"time": 4, "lat": 3}, {"lat": (1, 2, 1), "lon": 2}]):
        for suffix in FORMATS:
            path = tmp_path / f"{n}.{suffix}"
            write(sea() if chunks is None else sea().chunk(chunks), path)
            with stored(path) as product:
                recorded = json.loads(product.attrs["provenance"])["variables"]
            found.append({name: entry["sha256"] for name, entry in recorded.items()})
    assert all(f == found[0] for f in found)
    assert found[0]["sst"] == content_sha256(sea().sst.values)
    other = sea()
    other.sst[3, 2, 1] = np.nextafter(other.sst[3, 2, 1], np.float32(99))
    assert content_sha256(other.sst.values) != found[0]["sst"]


@pytest.mark.parametrize("limit", [8, 40, 64, 1000])
def test_content_hash_does_not_depend_on_slabs(monkeypatch, limit):
    values = np.arange(210, dtype="f4").reshape(6, 5, 7)
    expected = content_sha256(values)
    monkeypatch.setattr("oceankit.fields.hashing._SLAB_BYTES", limit)
    assert content_sha256(values) == expected
    assert content_sha256(values, (4, 2, 7)) == expected
    assert content_sha256(values.reshape(5, 6, 7)) != expected


def test_a_hash_reads_no_chunk_over_and_over(monkeypatch):
    """Chunks that hold all members of a part of the grid would be read once for each member and level in C order."""
    monkeypatch.setattr(hashing, "_SLAB_BYTES", 400)
    values = np.random.default_rng(0).random((20, 6, 10, 10))
    read = []

    class Counted:
        shape, dtype = values.shape, values.dtype

        def __getitem__(self, index):
            read.append(values[index].size)
            return values[index]

    chunks = (20, 6, 5, 5)
    found = content_sha256(Counted(), chunks)
    assert read == [20 * 6 * 25] * 4
    assert found == content_sha256(values, chunks)
    changed = values.copy()
    changed[3, 2, 9, 9] += 1e-9
    assert content_sha256(changed, chunks) != found
    read.clear()
    assert content_sha256(Counted(), (1, 1, 10, 10)) == content_sha256(values)
    assert sum(read) == values.size


def test_lazy_values_are_computed_once(tmp_path):
    calls = []

    def block(block_info=None):
        calls.append(block_info[None]["chunk-location"])
        return np.ones((2, 3), "f4")

    data = dask.array.map_blocks(block, chunks=((2, 2), (3,)), dtype="f4", meta=np.empty((0, 0), "f4"))
    for suffix in FORMATS:
        calls.clear()
        write(xr.DataArray(data, dims=("y", "x"), name="v"), tmp_path / f"v.{suffix}")
        assert sorted(calls) == [(0, 0), (1, 0)]


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize(
    "dates",
    [
        pd.date_range("1850-03-01", periods=3, freq="6h"),
        pd.DatetimeIndex(["2000-01-01T00:00:00.25", "2000-01-02", "2000-01-03"]),
        pd.DatetimeIndex(["2000-01-01T00:00:00.000000001", "2000-01-02", "2000-01-03"]),
        xr.date_range("2015-02-28", periods=3, freq="D", calendar="360_day", use_cftime=True),
        xr.date_range("2015-02-27", periods=3, freq="D", calendar="noleap", use_cftime=True),
        [cftime.DatetimeProlepticGregorian(y, 1, 1) for y in (1, 2, 3)],
    ],
    ids=["datetime64", "quarter_second", "nanosecond", "360_day", "noleap", "year_1"],
)
def test_dates_survive(tmp_path, suffix, dates):
    path = tmp_path / f"t.{suffix}"
    ds = xr.Dataset({"v": ("time", [1.0, 2.0, 3.0])}, coords={"time": dates})
    ds["time_bnds"] = (("time", "nv"), np.stack([ds.time.values] * 2, -1))
    ds.time.attrs["bounds"] = "time_bnds"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", "Unable to decode time axis into full numpy.datetime64")  # year 1
        write(ds, path)
        back = open_fields(path)
    assert (back.time.values == ds.time.values).all()
    assert (back.time_bnds.values == ds.time_bnds.values).all()
    assert back.time.dt.calendar == ds.time.dt.calendar
    with stored(path) as product:
        assert product.arrays["time"].data.dtype == np.int64
        own, bounds = product.arrays["time"].attrs, product.arrays["time_bnds"].attrs
        # CF lets bounds be silent or say the same.
        assert {k: bounds[k] for k in bounds if k != "_FillValue"} == (
            {} if suffix == "nc" else {k: own[k] for k in ("units", "calendar")}
        )


@pytest.mark.parametrize("suffix", FORMATS)
def test_missing_dates_and_durations_survive(tmp_path, suffix):
    ds = xr.Dataset(
        {
            "end": ("event", np.array(["2020-01-01", "NaT"], "M8[ns]")),
            "late": ("event", np.array(["NaT", "2020-01-01T01:00"], "M8[ns]")),
            "duration": ("event", np.array([36, "NaT"], "m8[h]")),
            "period": ("event", [8.0, 9.5], {"units": "s"}),
        }
    )
    ds["late"] = ds.late.chunk(event=1)
    ds["begin"] = ("event", np.array(["2020-01-01", "NaT"], "M8[s]"), {"bounds": "begin_bnds"})
    ds["begin_bnds"] = (("event", "nv"), np.array([["2020-01-01T00:00:00.5", "NaT"]] * 2, "M8[ns]"))
    write(ds, tmp_path / f"e.{suffix}")
    back = open_fields(tmp_path / f"e.{suffix}").load()
    xr.testing.assert_equal(back, ds)
    assert back.period.dtype == np.float64  # not turned into a duration


@pytest.mark.parametrize("suffix", FORMATS)
def test_nothing_is_inherited_from_the_packing_of_the_input(tmp_path, suffix):
    source = tmp_path / "packed.nc"
    with netCDF4.Dataset(source, "w") as file:
        file.createDimension("time", None)
        file.createDimension("x", 3)
        file.createVariable("time", "f8", ("time",)).units = "days since 2000-01-01"
        file["time"][:] = [0, 1]
        sst = file.createVariable("sst", "i2", ("time", "x"), fill_value=-32768, chunksizes=(1, 2))
        sst.setncatts(
            {
                "scale_factor": 0.01,
                "add_offset": 20.0,
                "valid_range": np.array([-300, 4500], "i2"),
                "missing_value": -32768,
            }
        )
        sst.set_auto_maskandscale(False)
        sst[:] = [[1, 2, -32768], [4, 5, 6]]
    ds = open_fields(source)
    np.testing.assert_allclose(ds.sst.attrs["valid_range"], [17, 65])
    xr.testing.assert_equal(ds.sst.load(), xr.open_dataset(source).sst.load())
    path = tmp_path / f"out.{suffix}"
    write(ds, path)
    with stored(path) as product:
        array = product.arrays["sst"]
        assert array.data.dtype.kind == "f"
        assert not {"scale_factor", "add_offset", "missing_value"} & set(array.attrs)
        np.testing.assert_array_equal(array.data[:], ds.sst.values)
    if suffix == "nc":
        with netCDF4.Dataset(path) as file:
            assert not file.dimensions["time"].isunlimited()
    # What has lost its encoding on the way must not keep limits in packed numbers.
    bare = xr.DataArray([1.5], dims="x", name="sst", attrs={"valid_range": np.array([-300, 4500], "i2")})
    write(bare, path)
    assert "valid_range" not in open_fields(path).sst.attrs


def test_packed_integers_stay_as_they_are(tmp_path):
    raw = xr.DataArray(
        np.array([1, 2, -999], "i2"),
        dims="x",
        name="sst",
        attrs={"scale_factor": 0.01, "add_offset": 20.0, "_FillValue": np.int16(-999)},
    )
    for suffix in FORMATS:
        write(raw, tmp_path / f"raw.{suffix}")
        back = open_fields(tmp_path / f"raw.{suffix}", mask_and_scale=False).sst
        np.testing.assert_array_equal(back, raw)
        assert back.attrs["scale_factor"] == 0.01
        np.testing.assert_allclose(open_fields(tmp_path / f"raw.{suffix}").sst, [20.01, 20.02, np.nan], rtol=1e-6)


def test_a_large_netcdf_is_compressed_in_whole_maps(tmp_path):
    ds = xr.Dataset({"v": (("time", "lat", "lon"), np.zeros((40, 300, 400), "f4"))})
    write(ds.chunk(time=20), tmp_path / "v.nc")
    with netCDF4.Dataset(tmp_path / "v.nc") as file:
        assert file["v"].chunking() == [5, 300, 400]
        assert file["v"].filters()["zlib"]
        assert file["v"].filters()["shuffle"]
        assert file["v"].filters()["complevel"] == 4
        assert np.isnan(file["v"]._FillValue)


def test_attributes_that_clash_with_encodings(tmp_path):
    ds = xr.Dataset({"sst": (("y", "x"), np.ones((2, 2)))})
    ds["nav_lon"] = (("y", "x"), np.zeros((2, 2)), {"units": "degrees_east"})
    ds["nav_lat"] = (("y", "x"), np.zeros((2, 2)), {"units": "degrees_north", "bounds": "lost_bounds"})
    ds.sst.attrs.update(coordinates="nav_lon nav_lat gone", cell_measures="area: area", grid_mapping="nowhere")
    ds.sst.encoding.update(coordinates="nav_lon", dtype="int16", chunksizes=(9, 9), original_shape=(9, 9))
    ds.encoding["unlimited_dims"] = {"time", "y"}
    for suffix in FORMATS:
        write(ds, tmp_path / f"a.{suffix}")
        back = open_fields(tmp_path / f"a.{suffix}")
        assert set(back.coords) == {"nav_lon", "nav_lat"}
        assert back.attrs["external_variables"] == "area"
        assert "grid_mapping" not in back.sst.attrs
        assert "bounds" not in back.nav_lat.attrs
    assert zarr.open_group(tmp_path / "a.zarr", mode="r")["sst"].chunks == (2, 2)
    assert ds.sst.attrs["grid_mapping"] == "nowhere", "the caller's object was changed"
    assert "history" not in ds.attrs


def test_replaces_an_earlier_product(tmp_path):
    for suffix in FORMATS:
        path = tmp_path / f"x.{suffix}"
        write(sea(), path)
        write(sea(seed=1), path)
        xr.testing.assert_equal(open_fields(path).sst.load(), sea(seed=1).sst)
        # Reading a product lazily and writing it in its own place is one replacement, too.
        write(open_fields(path).assign(twice=lambda d: 2 * d.sst), path)
        xr.testing.assert_equal(open_fields(path).twice.load(), 2 * sea(seed=1).sst)
        assert check_integrity(path).ok
    assert sorted(p.name for p in tmp_path.iterdir()) == ["x.nc", "x.zarr"]


def test_text_of_many_kinds(tmp_path):
    ds = xr.Dataset(
        {
            "bytes": ("x", np.array([b"ab", b"c"])),
            "gaps": ("x", np.array(["ab", np.nan], object)),
            "gappy_bytes": ("x", np.array([b"ab", np.nan], object)),
            "lazy": ("x", dask.array.from_array(np.array(["ab", "c"]), chunks=1)),
        }
    )
    for suffix in FORMATS:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            write(ds, tmp_path / f"t.{suffix}")
            back = open_fields(tmp_path / f"t.{suffix}").load()
        for name, expected in (("bytes", ["ab", "c"]), ("gappy_bytes", ["ab", ""])):
            assert [str(v, "ascii") if isinstance(v, bytes) else v for v in back[name].values] == expected
        assert list(back.gaps.values) == ["ab", ""]
        assert list(back.lazy.values) == ["ab", "c"]
        assert check_integrity(tmp_path / f"t.{suffix}").ok
    with pytest.raises(StoreError, match="'bytes' holds bytes that are not UTF-8"):
        write(ds.assign(bytes=("x", np.array([b"\xe9", b"c"]))), tmp_path / "t.zarr")


def test_empty_and_scalar(tmp_path):
    ds = xr.Dataset({"value": ("obs", np.empty(0, "f4")), "total": ((), 3.0)}, coords={"lon": ("obs", np.empty(0))})
    ds["platform"] = ("obs", np.empty(0, "U3"))
    for suffix in FORMATS:
        write(ds, tmp_path / f"o.{suffix}")
        back = open_fields(tmp_path / f"o.{suffix}").load()
        assert back.value.dtype == np.float32
        assert back.sizes["obs"] == 0
        assert back.total == 3
        assert check_integrity(tmp_path / f"o.{suffix}").ok


def test_zarr_is_version_3(tmp_path):
    write(sea(), tmp_path / "x.zarr")
    group = zarr.open_group(tmp_path / "x.zarr", mode="r")
    assert group.metadata.zarr_format == 3
    assert group["sst"].metadata.dimension_names == ("time", "lat", "lon")


@pytest.mark.parametrize(
    ("data", "path", "options", "words"),
    [
        (sea(), "x.hdf", {}, ["'.hdf'", ".nc", ".zarr"]),
        (sea(), "nowhere/x.nc", {}, ["nowhere", "does not exist"]),
        (sea().sst.rename(None), "x.nc", {}, ["no name", ".rename"]),
        (sea().sst * 1j, "x.nc", {}, ["'sst'", "complex"]),
        (sea().sst.astype("f2"), "x.zarr", {}, ["'sst'", "float16", ".astype"]),
        (sea().rename(sst="a/b"), "x.nc", {}, ["'a/b'", "slash"]),
        (sea().assign_attrs(flag={"a": 1}), "x.nc", {}, ["'flag'", "text or a number"]),
        (xr.Dataset({"o": ("x", np.array([{}, 1], object))}), "x.nc", {}, ["'o'", "objects"]),
        (sea(), "x.nc", {"metadata": {"history": "mine"}}, ["'history'", "leave it out"]),
        (sea(), "x.nc", {"metadata": {"title": None}}, ["'title'", "None"]),
        (sea(), "x.nc", {"metadata": {"coverage_content_type": "model"}}, ["'model'", "modelResult"]),
        (sea(), "x.nc", {"inputs": ["gone.nc"]}, ["'gone.nc'", "does not exist"]),
        (sea(), "x.nc", {"options": {"grid": object()}}, ["options", "text, numbers"]),
    ],
)
def test_refusals_name_the_thing_and_leave_nothing(tmp_path, monkeypatch, data, path, options, words):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StoreError) as caught:
        write(data, path, **options)
    assert all(word in str(caught.value) for word in words), caught.value
    assert list(tmp_path.iterdir()) == []


def test_only_products_are_replaced(tmp_path):
    (tmp_path / "x.nc").mkdir()
    (tmp_path / "x.zarr").mkdir()
    (tmp_path / "x.zarr" / "thesis.txt").write_text("years of work")
    for name, words in (("x.nc", "is a folder"), ("x.zarr", "no Zarr store")):
        with pytest.raises(StoreError, match=words):
            write(sea(), tmp_path / name)
    assert (tmp_path / "x.zarr" / "thesis.txt").read_text() == "years of work"
