"""The report: every cell has a reason, and areas close."""

import numpy as np
import pytest
import xarray as xr
from analytic import on_grid, rotated_grid, smooth

from oceankit.fields import Grid
from oceankit.regridding import Regridder
from oceankit.regridding.report import REASONS


def counts(report: xr.Dataset) -> dict[str, int]:
    values = report["reason"].values
    found = {name: int((values == number).sum()) for number, name in enumerate(REASONS)}
    for name, number in found.items():
        assert report.attrs[f"n_{name.replace(' ', '_')}"] == number
    assert sum(found.values()) == values.size
    return found


def test_a_global_pair_closes():
    report = Regridder(Grid.global_regular(4.0), 6.0, "conservative").report()
    assert counts(report)["mapped"] == 1800
    assert report.attrs["closure_source_largest_error"] < 1e-13
    assert report.attrs["closure_target_largest_error"] < 1e-13
    assert report.attrs["area_mapped_m2"] == pytest.approx(4 * np.pi * 6_371_000**2, rel=1e-13)
    np.testing.assert_allclose(report["source_share"], 1.0, rtol=1e-13)


def test_every_reason():
    lon, lat = np.arange(2.0, 60, 4), np.arange(-28.0, 30, 4)
    field = xr.DataArray(np.ones((lat.size, lon.size)), dims=("lat", "lon"), coords={"lat": lat, "lon": lon})
    land = field.copy()
    land[:, :5] = 0
    source = Grid.from_dataset(field, mask=land)
    like = xr.DataArray(
        np.ones((18, 20)), dims=("lat", "lon"), coords={"lat": np.arange(-42.5, 45, 5), "lon": np.arange(-17.5, 80, 5)}
    )
    wet = like.copy()
    wet[9] = 0
    regridder = Regridder(source, Grid.from_dataset(like, mask=wet), "conservative", min_coverage=0.9)
    found = counts(regridder.report())
    assert found["masked in the target"] == 20
    assert found["only masked source there"] > 0
    assert found["covered too little"] > 0
    assert found["outside the source"] > 0
    out = regridder(field)
    np.testing.assert_array_equal(np.isfinite(out), regridder.report()["reason"] == REASONS.index("mapped"))


def test_cells_that_are_none_are_counted():
    """A bow-tie, a cell without area and one without corners in the target."""
    ds = rotated_grid(10, 12).corners.copy(deep=True)
    lon, lat = (v.values.copy() for v in ds.data_vars.values())
    lon[2, 3] = lon[2, 3][[0, 2, 1, 3]]
    lat[2, 3] = lat[2, 3][[0, 2, 1, 3]]
    lon[5, 5], lat[5, 5] = lon[5, 5, 0], lat[5, 5, 0]
    lon[7, 7, 1] = np.nan
    centres = rotated_grid(10, 12)
    bad = xr.Dataset(
        coords={
            "lon": (("y", "x"), centres.lon.values, {"units": "degrees_east"}),
            "lat": (("y", "x"), centres.lat.values, {"units": "degrees_north"}),
            "lon_bnds": (("y", "x", "c"), lon),
            "lat_bnds": (("y", "x", "c"), lat),
        }
    )
    target = Grid.from_dataset(bad, lon="lon", lat="lat", bounds=("lon_bnds", "lat_bnds"))
    report = Regridder(Grid.global_regular(3.0), target, "conservative").report()
    assert counts(report)["target cell is degenerate"] == 3
    assert report.attrs["target_bow_ties"] == 1
    assert report.attrs["target_zero_area"] == 1


@pytest.mark.parametrize("method", ["nearest", "bilinear", "bicubic", "conservative2"])
def test_weights_and_coverage(method):
    source = rotated_grid(20, 30)
    regridder = Regridder(source, 4.0, method)
    report = regridder.report()
    counts(report)
    weights = regridder.weights
    if method != "conservative2":
        assert report.attrs["weight_smallest"] == float(weights["S"].min())
        assert int(report["n_sources"].sum()) == weights.sizes["n_s"]
    field = on_grid(source, smooth)
    np.testing.assert_array_equal(np.isfinite(regridder(field)), report["reason"] == 0)
    assert report["source_share"].dims == ("source_y", "source_x")
