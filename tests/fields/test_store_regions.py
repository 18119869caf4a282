"""Stores that are laid out first and filled by region."""

import subprocess
import sys

import dask
import dask.array
import numpy as np
import pandas as pd
import pytest
import xarray as xr

from oceankit.fields.store import StoreError, check_integrity, open_fields, seal, template, write


def field(n=10):
    rng = np.random.default_rng(3)
    return xr.Dataset(
        {
            "sst": (("time", "lat", "lon"), rng.normal(size=(n, 4, 6)).astype("f4"), {"units": "degC"}),
            "count": (("time",), np.arange(n)),
            "mask": (("lat", "lon"), np.ones((4, 6), bool)),
        },
        coords={"time": pd.date_range("2020-01-01", periods=n), "lat": np.arange(4.0), "lon": np.arange(6.0)},
    )


def laid_out(path, chunks=None):
    """The field's layout, with only ``mask`` written."""
    whole = field()
    lazy = whole.drop_vars("mask").chunk(chunks or {"time": 4, "lon": 3})
    template(lazy.assign(mask=whole.mask), path, options={"step": "test"}, metadata={"institution": "here"})
    return whole


def test_regions_equal_the_whole(tmp_path):
    whole = laid_out(tmp_path / "r.zarr")
    assert np.isnan(open_fields(tmp_path / "r.zarr").sst.values).all()
    write(whole.isel(time=slice(8, 10)), tmp_path / "r.zarr", region="auto")
    write(whole.isel(time=slice(0, 4)).chunk(time=1), tmp_path / "r.zarr", region={"time": slice(0, 4)})
    write(whole[["sst"]].isel(time=slice(4, 8), lon=slice(0, 3)), tmp_path / "r.zarr", region="auto")
    write(
        whole.isel(time=slice(4, 8), lon=slice(3, 6)),
        tmp_path / "r.zarr",
        region={"time": slice(4, 8), "lon": slice(3, 6)},
    )
    seal(tmp_path / "r.zarr")
    write(whole, tmp_path / "w.zarr")
    xr.testing.assert_equal(open_fields(tmp_path / "r.zarr").load(), open_fields(tmp_path / "w.zarr").load())
    report = check_integrity(tmp_path / "r.zarr")
    assert report.ok
    assert not report.unverifiable
    assert "filled by region" in open_fields(tmp_path / "r.zarr").attrs["history"]
    assert open_fields(tmp_path / "r.zarr").attrs["institution"] == "here"


def test_nothing_is_computed_for_the_layout(tmp_path):
    def never(block):
        raise AssertionError("computed")

    data = dask.array.map_blocks(never, dask.array.zeros((4, 2), chunks=(2, 2)), meta=np.empty((0, 0)), dtype=float)
    template(xr.DataArray(data, dims=("time", "x"), name="v"), tmp_path / "l.zarr")
    assert open_fields(tmp_path / "l.zarr").v.shape == (4, 2)


def test_the_seal_wants_every_chunk(tmp_path):
    whole = laid_out(tmp_path / "r.zarr")
    # Missing values that were written are complete; those that never were are not.
    missing = whole.assign(sst=whole.sst * np.nan)
    write(missing.isel(time=slice(0, 8)), tmp_path / "r.zarr", region="auto")
    with pytest.raises(StoreError, match="not complete: 'count' has 2 of 3 chunks"):
        seal(tmp_path / "r.zarr")
    assert "call oceankit.fields.seal" in str(check_integrity(tmp_path / "r.zarr"))
    write(missing.isel(time=slice(8, 10)), tmp_path / "r.zarr", region="auto")
    seal(tmp_path / "r.zarr")
    assert check_integrity(tmp_path / "r.zarr").unverifiable == []


def test_a_later_region_breaks_the_seal_until_it_is_renewed(tmp_path):
    whole = field().chunk(time=4)
    write(whole, tmp_path / "w.zarr")
    assert check_integrity(tmp_path / "w.zarr").unverifiable == []
    write((whole[["sst"]] + 1).isel(time=slice(4, 8)), tmp_path / "w.zarr", region="auto")
    assert "not sealed" in check_integrity(tmp_path / "w.zarr").unverifiable[0]
    seal(tmp_path / "w.zarr")
    report = check_integrity(tmp_path / "w.zarr")
    assert report.ok
    assert report.unverifiable == []
    np.testing.assert_array_equal(open_fields(tmp_path / "w.zarr").sst[4:8], whole.sst[4:8] + 1)


def test_processes_fill_a_store_together(tmp_path):
    whole = laid_out(tmp_path / "r.zarr")
    script = """
import sys
sys.path.insert(0, sys.argv[3])
import test_store_regions as t
start = int(sys.argv[1])
t.write(t.field().isel(time=slice(start, start + 4)), sys.argv[2], region="auto")
"""
    folder = str(__file__).rpartition("/")[0]
    jobs = [
        subprocess.Popen([sys.executable, "-c", script, str(start), str(tmp_path / "r.zarr"), folder])
        for start in (0, 4, 8)
    ]
    assert [job.wait(120) for job in jobs] == [0, 0, 0]
    seal(tmp_path / "r.zarr")
    xr.testing.assert_equal(open_fields(tmp_path / "r.zarr").load(), whole)


@pytest.mark.parametrize(
    ("part", "region", "words"),
    [
        (lambda w: w.isel(time=slice(2, 6)), "auto", ["time=2:6", "4 long", "0:8"]),
        (lambda w: w.isel(time=slice(0, 4)), {"time": slice(4, 8)}, ["'time' differs"]),
        (lambda w: w.isel(time=slice(0, 3)), {"time": slice(0, 4)}, ["3 along 'time'", "0:4"]),
        (lambda w: w.isel(time=slice(0, 4)), {"tim": slice(0, 4)}, ["'tim'"]),
        (lambda w: w.isel(time=slice(0, 4)), {"time": slice(0, 8, 2)}, ["step 1"]),
        (lambda w: w.isel(time=slice(0, 4)), "all", ["'all'", "'auto'"]),
        (lambda w: w.isel(time=[0, 2, 1, 3]), "auto", ["do not follow"]),
        (lambda w: w.isel(time=[0]).assign_coords(time=[pd.Timestamp("1999-01-01")]), "auto", ["1999", "is not in"]),
        (lambda w: w.isel(time=slice(0, 4)).assign_coords(lat=w.lat + 1), {"time": slice(0, 4)}, ["'lat' differs"]),
        (lambda w: w.isel(time=slice(0, 4)).assign(mask=~w.mask), "auto", ["'mask' differs"]),
        (lambda w: w.isel(time=slice(0, 4)).rename(sst="tos"), "auto", ["no variable 'tos'"]),
        (lambda w: w.isel(time=slice(0, 4)).astype("f8"), "auto", ["'sst'", "float64", "float32", ".astype"]),
        (lambda w: w.isel(time=slice(0, 4)).transpose("time", "lon", "lat"), "auto", ["transpose"]),
        (lambda w: w[["mask"]].isel(lat=slice(0, 4)).expand_dims(member=2), "auto", ["'member'"]),
    ],
)
def test_misaligned_regions_are_refused(tmp_path, part, region, words):
    whole = laid_out(tmp_path / "r.zarr")
    with pytest.raises(StoreError) as caught:
        write(part(whole), tmp_path / "r.zarr", region=region)
    assert all(word in str(caught.value) for word in words), caught.value
    assert np.isnan(open_fields(tmp_path / "r.zarr").sst.values).all()


def test_regions_are_for_zarr(tmp_path):
    write(field(), tmp_path / "w.nc")
    for refused in (
        lambda: write(field(), tmp_path / "w.nc", region={"time": slice(0, 10)}),
        lambda: template(field(), tmp_path / "w.nc"),
        lambda: seal(tmp_path / "w.nc"),
        lambda: write(field(), tmp_path / "absent.zarr", region="auto"),
        lambda: write(field(), tmp_path / "w.zarr", region="auto", metadata={"title": "x"}),
    ):
        with pytest.raises(StoreError, match=r"\.zarr|template"):
            refused()
    assert check_integrity(tmp_path / "w.nc").ok


def test_the_same_whatever_the_scheduler(tmp_path):
    for scheduler in ("synchronous", "threads"):
        whole = laid_out(tmp_path / "r.zarr", {"time": 5})
        with dask.config.set(scheduler=scheduler):
            for start in (0, 5):
                write(whole.isel(time=slice(start, start + 5)).chunk(lat=1, time=2), tmp_path / "r.zarr", region="auto")
        xr.testing.assert_equal(open_fields(tmp_path / "r.zarr").load(), whole)


def test_what_has_part_of_the_regions_dimensions(tmp_path):
    # Zeros, as in a store that was never written: they count as written all the same.
    whole = field().assign(count=("time", np.zeros(10, int))).chunk(time=5, lon=3)
    template(whole, tmp_path / "r.zarr")
    for time in (slice(0, 5), slice(5, 10)):
        for lon in (slice(0, 3), slice(3, 6)):
            write(whole.drop_vars("mask").isel(time=time, lon=lon), tmp_path / "r.zarr", region="auto")
    with pytest.raises(StoreError, match="'mask' has 0 of 2 chunks"):
        seal(tmp_path / "r.zarr")
    write(whole[["mask"]], tmp_path / "r.zarr", region="auto")
    seal(tmp_path / "r.zarr")
    xr.testing.assert_equal(open_fields(tmp_path / "r.zarr").load(), whole.compute())
