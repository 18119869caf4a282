"""The report of a field: cells that are missing in it count as masked."""

import numpy as np
import pytest
import xarray as xr

from oceankit.fields import Grid
from oceankit.regridding import Regridder
from oceankit.regridding.report import REASONS


def field_with_a_hole() -> xr.DataArray:
    source = Grid.global_regular(5.0)
    field = xr.DataArray(np.ones(source.shape), dims=source.dims, coords=source.coords(), name="sst")
    field[10:17, 20:31] = np.nan
    return field


@pytest.mark.parametrize("method", ["conservative", "bilinear", "nearest", "idw", "mean"])
def test_what_is_mapped_is_what_has_a_value(method):
    field = field_with_a_hole()
    regridder = Regridder(field, 4.0, method, min_coverage=0.3)
    report = regridder.report(field)
    np.testing.assert_array_equal(report["reason"] == REASONS.index("mapped"), regridder(field).notnull())
    if method != "mean":  # which needs one value alone
        np.testing.assert_allclose(report["coverage"], regridder.coverage(field), atol=1e-13)


def test_only_what_is_missing_is_called_masked():
    field = field_with_a_hole()
    # Great circles would leave slivers of the cells to the north and south.
    regridder = Regridder(field, 10.0, "conservative", edges="latitude")
    report = regridder.report(field)
    masked = REASONS.index("only masked source there")
    assert int((report["reason"] == masked).sum()) == 3 * 5
    assert regridder.report().attrs["n_only_masked_source_there"] == 0
    share = report["source_share"].values
    np.testing.assert_array_equal(np.isnan(share), field.isnull().values)
    np.testing.assert_allclose(share[np.isfinite(share)], 1.0)
    assert report.attrs["n_source_cells_unused"] == 0


def test_the_source_has_its_own_coordinates_beside_those_of_the_target(nemo):
    report = Regridder(nemo, 10.0, "conservative").report(nemo["tos"])
    assert report["source_share"].dims == ("source_y", "source_x")
    np.testing.assert_array_equal(report["source_nav_lon"].values, Grid.from_dataset(nemo).lon.values)
    assert report["source_nav_lat"].attrs["standard_name"] == "latitude"
    assert set(report["reason"].coords) == {"lat", "lon"}


def test_it_is_about_one_field_on_the_source():
    field = field_with_a_hole()
    regridder = Regridder(field, 10.0)
    with pytest.raises(ValueError, match=r"has \{'time': 2\} besides the grid; choose one with \.isel"):
        regridder.report(field.expand_dims(time=2))
    with pytest.raises(ValueError, match="make a Regridder for this field's own grid"):
        regridder.report(field.isel(lat=slice(5)))
    xr.testing.assert_identical(regridder.report(field.expand_dims(depth=1)), regridder.report(field))


def test_options_say_how_it_was_made(tmp_path):
    regridder = Regridder(field_with_a_hole(), 10.0, "idw", neighbours=3, power=1.0, min_coverage=0.2)
    assert regridder.options["neighbours"] == 3
    assert regridder.options["min_coverage"] == 0.2
    regridder.save(tmp_path / "w.nc")
    assert Regridder.load(tmp_path / "w.nc").options == regridder.options
    again = Regridder(regridder.source, 10.0, regridder.method, **regridder.options)
    xr.testing.assert_identical(again.weights, regridder.weights)
