"""CF and ACDD attributes, judged by the compliance checker where it is installed."""

import warnings

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from oceankit.fields.store import open_fields, write

# What ACDD asks for and no file can know by itself.
ONLY_PEOPLE_KNOW = {
    "acknowledgment/acknowledgement": "the sea",
    "comment": "none",
    "contributor_name": "A. Mate",
    "contributor_role": "mate",
    "creator_email": "captain@example.org",
    "creator_institution": "An Institute",
    "creator_name": "A. Captain",
    "creator_type": "person",
    "creator_url": "https://example.org",
    "date_issued": "2026-01-01T00:00:00Z",
    "geospatial_bounds_vertical_crs": "EPSG:5831",
    "institution": "An Institute",
    "instrument": "none",
    "instrument_vocabulary": "none",
    "license": "CC-BY-4.0",
    "metadata_link": "https://example.org/about",
    "naming_authority": "org.example",
    "platform": "model",
    "platform_vocabulary": "none",
    "processing_level": "L4",
    "product_version": "1.0",
    "program": "none",
    "project": "a test",
    "publisher_email": "desk@example.org",
    "publisher_institution": "An Institute",
    "publisher_name": "A Desk",
    "publisher_type": "group",
    "publisher_url": "https://example.org",
    "references": "none",
    "coverage_content_type": "modelResult",
}
# What a product at the surface, without a vertical coordinate, has no say about.
OF_DEPTH = {f"geospatial_vertical_{k}" for k in ("min", "max", "units", "resolution", "positive")}
METADATA = {k.partition("/")[0]: v for k, v in ONLY_PEOPLE_KNOW.items()}


def regular():
    time = pd.date_range("2020-01-01", periods=5)
    ds = xr.Dataset(
        {
            "sst": (
                ("time", "lat", "lon"),
                np.random.default_rng(0).normal(15, 3, (5, 4, 6)).astype("f4"),
                {"standard_name": "sea_surface_temperature", "units": "degree_C"},
            ),
            "lat_bnds": (("lat", "nv"), np.stack([np.arange(10, 14) - 0.5, np.arange(10, 14) + 0.5], -1)),
            "time_bnds": (("time", "nv"), np.stack([time, time + pd.Timedelta("1D")], -1)),
        },
        coords={"time": time, "lat": np.arange(10.0, 14.0), "lon": np.arange(6.0)},
    )
    ds.lat.attrs["bounds"] = "lat_bnds"
    ds.time.attrs["bounds"] = "time_bnds"
    ds.lat_bnds.attrs["units"] = "degrees_north"
    return ds


def deep():
    ds = regular().drop_vars(["lat_bnds", "time_bnds"])
    ds = ds.expand_dims(depth=[0.0, 10.0, 20.0]).transpose("time", "depth", "lat", "lon")
    ds.depth.attrs["units"] = "m"
    return ds


def curvilinear():
    y, x = np.mgrid[0:4, 0:5]
    coords = {
        "nav_lon": (("y", "x"), 10 + x + 0.1 * y, {"standard_name": "longitude", "units": "degrees_east"}),
        "nav_lat": (("y", "x"), 50 + y - 0.1 * x, {"units": "degrees_north"}),
        "time": xr.date_range("2015-01-16", periods=3, freq="30D", calendar="360_day", use_cftime=True),
    }
    values = np.random.default_rng(1).normal(35, 1, (3, 4, 5)).astype("f4")
    attrs = {"standard_name": "sea_surface_salinity", "units": "1e-3"}
    return xr.Dataset({"sos": (("time", "y", "x"), values, attrs)}, coords=coords)


@pytest.fixture(scope="module")
def judge():
    suite = pytest.importorskip("compliance_checker.suite").CheckSuite
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        suite.load_all_available_checkers()

    def verdict(path, name):
        checker = suite()
        dataset = checker.load_dataset(str(path))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            results, errors = checker.run_all(dataset, [name])[name]
        dataset.close()
        assert not errors
        assert len(results) > 10
        failed = []
        for result in results:
            got, most = result.value if isinstance(result.value, tuple) else (int(bool(result.value)), 1)
            if got < most:
                failed += [(result.weight, message) for message in result.msgs or [result.name]]
        return failed

    return verdict


@pytest.mark.parametrize("make", [regular, deep])
def test_a_regular_product_has_nothing_against_cf(tmp_path, judge, make):
    write(make(), tmp_path / "p.nc")
    assert judge(tmp_path / "p.nc", "cf:1.11") == []


def test_a_curvilinear_product_has_no_cf_errors(tmp_path, judge):
    write(curvilinear(), tmp_path / "p.nc")
    failed = judge(tmp_path / "p.nc", "cf:1.11")
    # A recommendation: the checker cannot see that dimensions without coordinate variables are Y and X.
    assert [weight for weight, _ in failed] == [2]
    assert "recommended order T, Z, Y, X" in failed[0][1]


@pytest.mark.parametrize("make", [regular, deep, curvilinear])
def test_acdd_lacks_only_what_people_know(tmp_path, judge, make):
    write(make(), tmp_path / "p.nc")
    failed = judge(tmp_path / "p.nc", "acdd:1.3")
    lacking = {message.removeprefix("Attr ").removesuffix(" not present").removesuffix(" is") for _, message in failed}
    assert lacking == set(ONLY_PEOPLE_KNOW) | (set() if make is deep else OF_DEPTH)


@pytest.mark.parametrize("make", [regular, deep, curvilinear])
def test_acdd_is_complete_with_what_people_know(tmp_path, judge, make):
    write(make(), tmp_path / "p.nc", metadata=METADATA)
    lacking = {message.removesuffix(" not present") for _, message in judge(tmp_path / "p.nc", "acdd:1.3")}
    assert lacking == (set() if make is deep else OF_DEPTH)


def test_three_months_of_nemo(tmp_path, judge):
    folder = pytest.importorskip("iris_sample_data").path
    write(open_fields(f"{folder}/NEMO/*.nc"), tmp_path / "p.nc", metadata=METADATA)
    failed = judge(tmp_path / "p.nc", "cf:1.11")
    # The second is NEMO's own: cells whose centre is not within their corners.
    assert [weight for weight, _ in failed] == [2, 2], failed
    assert "recommended order" in failed[0][1]
    assert "bounds_lon" in failed[1][1]


def test_what_is_derived(tmp_path):
    write(deep(), tmp_path / "deep.nc")
    found = open_fields(tmp_path / "deep.nc").attrs
    expected = {
        "Conventions": "CF-1.11, ACDD-1.3",
        "id": "deep",
        "title": "sea surface temperature",
        "keywords": "sea_surface_temperature",
        "geospatial_lon_min": 0.0,
        "geospatial_lon_max": 5.0,
        "geospatial_lat_max": 13.0,
        "geospatial_lat_resolution": "1 degree",
        "geospatial_bounds": "POLYGON ((10.0 0.0, 13.0 0.0, 13.0 5.0, 10.0 5.0, 10.0 0.0))",
        "geospatial_vertical_max": 20.0,
        "geospatial_vertical_positive": "down",
        "geospatial_vertical_resolution": "10 m",
        "time_coverage_start": "2020-01-01T00:00:00Z",
        "time_coverage_end": "2020-01-05T00:00:00Z",
        "time_coverage_duration": "P4D",
        "time_coverage_resolution": "P1D",
    }
    assert {k: found[k] for k in expected} == expected


@pytest.mark.parametrize(
    ("times", "resolution"),
    [
        (pd.date_range("2020-01-01", periods=14, freq="MS"), "P1M"),
        (pd.date_range("2020-01-01", periods=5, freq="YS"), "P1Y"),
        (pd.date_range("2020-01-01", periods=5, freq="90min"), "PT1H30M"),
        (pd.date_range("2020-01-01", periods=1), None),
    ],
)
def test_the_cadence_of_time(tmp_path, times, resolution):
    write(xr.DataArray(np.zeros(len(times)), coords={"time": times}, dims="time", name="v"), tmp_path / "t.nc")
    assert open_fields(tmp_path / "t.nc").attrs.get("time_coverage_resolution") == resolution


def test_the_order_of_precedence(tmp_path):
    ds = regular().assign_attrs(
        title="from the data",
        summary="from the data",
        id="another product",
        time_coverage_end="1066",
        date_issued="1066",
    )
    write(ds, tmp_path / "p.zarr", metadata={"title": "from the user", "geospatial_vertical_min": 0.0})
    found = open_fields(tmp_path / "p.zarr").attrs
    assert (found["title"], found["summary"], found["id"]) == ("from the user", "from the data", "p")
    assert found["time_coverage_end"] == "2020-01-05T00:00:00Z"
    assert "date_issued" not in found
    assert found["geospatial_vertical_min"] == 0.0


def test_attributes_of_variables(tmp_path):
    ds = regular().rename(lat="y_deg", lon="x_deg")
    ds["warming"] = ds.sst.assign_attrs(standard_name="sea_surface_temperature_anomaly", units="K", actual_range=[0, 1])
    ds["flag"] = ("time", np.zeros(5, "i1"), {"flag_values": np.array([0, 1], "i1"), "flag_meanings": "good bad"})
    ds.x_deg.attrs["standard_name"] = "longitude"
    ds.y_deg.attrs.update(standard_name="latitude", units="degrees")
    ds.sst.attrs["valid_min"] = -2.0
    write(ds, tmp_path / "p.nc", metadata={"coverage_content_type": "physicalMeasurement"})
    back = open_fields(tmp_path / "p.nc")
    assert back.x_deg.attrs["units"] == "degrees_east"
    assert back.y_deg.attrs["units"] == "degrees_north"
    assert (back.x_deg.attrs["axis"], back.y_deg.attrs["axis"], back.time.attrs["axis"]) == ("X", "Y", "T")
    assert back.x_deg.attrs["coverage_content_type"] == "coordinate"
    assert back.sst.attrs["units_metadata"] == "temperature: unknown"
    assert back.warming.attrs["units_metadata"] == "temperature: difference"
    assert back.sst.attrs["coverage_content_type"] == "physicalMeasurement"
    assert "coverage_content_type" not in back.flag.attrs
    assert "actual_range" not in back.warming.attrs
    assert back.sst.attrs["valid_min"].dtype == np.float32
    assert "units" not in back.lat_bnds.attrs
    raw = xr.open_dataset(tmp_path / "p.nc", mask_and_scale=False, decode_cf=False)
    assert "_FillValue" in raw.sst.attrs
    assert not any("_FillValue" in raw[n].attrs for n in ("time", "x_deg", "y_deg", "lat_bnds", "time_bnds"))


def test_no_coordinates_no_claims(tmp_path):
    write(xr.DataArray([1.0, 2.0], dims="x", name="v"), tmp_path / "p.nc")
    found = open_fields(tmp_path / "p.nc").attrs
    assert not any(k.startswith(("geospatial", "time_coverage")) for k in found)
