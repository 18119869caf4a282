"""Provenance and its check."""

import json

import netCDF4
import numpy as np
import pytest
import xarray as xr
import zarr

from oceankit.fields.hashing import stored
from oceankit.fields.store import StoreError, check_integrity, open_fields, write

FORMATS = ("nc", "zarr")


def field():
    return xr.Dataset(
        {"tos": (("lat", "lon"), np.arange(6.0).reshape(2, 3)), "sal": (("lat", "lon"), np.ones((2, 3)))},
        coords={"lat": [1.0, 2.0], "lon": [3.0, 4.0, 5.0]},
        attrs={"title": "a field", "history": "2020: made"},
    )


def provenance(path):
    with stored(path) as product:
        return json.loads(product.attrs["provenance"])


def change(path, name, **attrs):
    """Flip one value of ``name``, or change attributes of it (of the root where ``name`` is None)."""
    if path.suffix == ".nc":
        with netCDF4.Dataset(path, "a") as file:
            if attrs:
                (file if name is None else file[name]).setncatts(attrs)
            else:
                file[name][0, 1] = np.nextafter(file[name][0, 1], 99)
    else:
        group = zarr.open_group(path, mode="r+")
        if attrs:
            (group if name is None else group[name]).attrs.update(attrs)
        else:
            group[name][0, 1] = np.nextafter(group[name][0, 1], 99)


@pytest.fixture(params=FORMATS)
def path(request, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    field().to_netcdf("a.nc")
    field().to_zarr("b.zarr", consolidated=False)
    target = tmp_path / f"p.{request.param}"
    write(open_fields("a.nc"), target, inputs=["a.nc", "b.zarr"], options={"step": "mean", "window": [1, 2]})
    return target


def test_what_is_recorded(path):
    found = provenance(path)
    assert [(i["path"], len(i["sha256"])) for i in found["inputs"]] == [("a.nc", 64), ("b.zarr", 64)]
    assert found["inputs"][0]["size"] == (path.parent / "a.nc").stat().st_size
    assert found["options"] == {"step": "mean", "window": [1, 2]}
    assert set(found["versions"]) == {"oceankit", "python", "numpy", "xarray", "dask", "numba", "netCDF4", "zarr"}
    assert set(found["variables"]) == {"tos", "sal", "lat", "lon"}
    history = open_fields(path).attrs["history"].split("\n")
    assert history[0] == "2020: made"
    assert history[1].endswith(f"wrote {path.name}")
    assert len(history) == 2


def test_inputs_are_remembered_as_they_were_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    for n in range(2):
        field().expand_dims(time=[n]).to_netcdf(f"in/{n}.nc")
    write(open_fields("in/*.nc"), "p.nc")
    assert [i["path"] for i in provenance("p.nc")["inputs"]] == ["in/0.nc", "in/1.nc"]
    write(open_fields("in/*.nc").tos, "t.nc")
    assert [i["path"] for i in provenance("t.nc")["inputs"]] == ["in/0.nc", "in/1.nc"]
    assert str(tmp_path) not in json.dumps(provenance("p.nc"))
    # The provenance of an input is not the product's own: its hash is.
    write(open_fields("p.nc"), "q.nc")
    assert [i["path"] for i in provenance("q.nc")["inputs"]] == ["p.nc"]


def test_an_untouched_product_is_as_recorded(path):
    report = check_integrity(path)
    assert report.ok
    assert not (report.changed)
    assert not (report.missing)
    assert not (report.unverifiable)
    assert str(report).startswith(f"{path}: as recorded, {report.verified} hashes")
    assert report.verified > 10


def test_one_flipped_value_is_found(path):
    change(path, "tos")
    report = check_integrity(path)
    assert not report.ok
    assert report.changed == ["variable 'tos' of the product differs from what was written"]
    assert "NOT as recorded" in str(report)
    assert "'tos'" in str(report)


def test_changed_attributes_are_named(path):
    change(path, None, title="another", extra="new")
    change(path, "sal", units="1")
    assert check_integrity(path).changed == [
        "the global attribute 'extra' was added",
        "the global attribute 'title' differs from what was written",
        "the attributes of variable 'sal' differ from what was written",
    ]


def test_variables_that_came_and_went(path):
    if path.suffix == ".nc":
        with netCDF4.Dataset(path, "a") as file:
            file.renameVariable("sal", "salt")
    else:
        (path / "sal").rename(path / "salt")
    report = check_integrity(path)
    assert report.changed == ["variable 'salt' was added to the product"]
    assert report.missing == ["variable 'sal' of the product"]
    assert not report.ok


def test_inputs_that_changed_or_went(path):
    change(path.parent / "b.zarr", "tos")
    (path.parent / "a.nc").unlink()
    report = check_integrity(path)
    assert report.changed == ["input 'b.zarr': sha256 differs from the file that was read"]
    assert len(report.unverifiable) == 1
    assert "'a.nc': not reachable" in report.unverifiable[0]


def test_an_input_altered_under_the_same_time_and_size_is_found(path):
    import os

    victim = path.parent / "a.nc"
    status, content = victim.stat(), bytearray(victim.read_bytes())
    content[-1] ^= 1
    with open(victim, "r+b") as file:
        file.write(content)
    os.utime(victim, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert check_integrity(path).changed == ["input 'a.nc': sha256 differs from the file that was read"]


def test_a_product_in_the_place_of_its_input(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    field().to_netcdf("a.nc")
    write(open_fields("a.nc") + 0, "a.nc", inputs=["a.nc"])
    report = check_integrity("a.nc")
    assert report.ok
    assert "taken its place" in report.unverifiable[0]


def test_damaged_chunks_are_reported(tmp_path):
    rng = np.random.default_rng(0)
    ds = xr.Dataset({"v": (("y", "x"), rng.integers(0, 9, (200, 300)).astype("f8"))})
    for suffix in FORMATS:
        path = tmp_path / f"v.{suffix}"
        write(ds, path)
        victim = (
            path if suffix == "nc" else next(p for p in (path / "v").rglob("*") if p.is_file() and p.parent.name != "v")
        )
        content = bytearray(victim.read_bytes())
        middle = len(content) // 2
        content[middle : middle + 64] = bytes(64)
        victim.write_bytes(content)
        report = check_integrity(path)
        assert [c[:12] for c in report.changed] == ["variable 'v'"], report


def test_what_cannot_be_checked(tmp_path):
    field().to_netcdf(tmp_path / "plain.nc")
    (tmp_path / "text.nc").write_text("text")
    write(field(), tmp_path / "odd.nc")
    change(tmp_path / "odd.nc", None, provenance="Mr Smith's estate")
    for name, words in (
        ("plain.nc", "no provenance"),
        ("text.nc", "could not be read"),
        ("absent.nc", "no product"),
        ("odd.nc", "altered"),
    ):
        with pytest.raises(StoreError, match=words):
            check_integrity(tmp_path / name)


def test_addresses_and_vanished_inputs_are_unverifiable(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    field().to_netcdf("a.nc")
    ds = open_fields("a.nc").load()
    (tmp_path / "a.nc").unlink()
    write(ds, "p.nc")
    write(ds, "q.nc", inputs=["s3://bucket/a.zarr"])
    assert "gone when the product was written" in check_integrity("p.nc").unverifiable[0]
    assert "an address" in check_integrity("q.nc").unverifiable[0]


def test_many_inputs_make_a_long_record(tmp_path):
    # More than the 64 KiB that an attribute of older HDF5 files may have.
    write(field(), tmp_path / "p.nc", options={"stations": [f"station {n}" for n in range(20000)]})
    assert len(provenance(tmp_path / "p.nc")["options"]["stations"]) == 20000
    assert check_integrity(tmp_path / "p.nc").ok
