"""Climatology and threshold against the published numbers of other people's programs."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from oceankit.anomaly import _calendar, climatology
from oceankit.numerics import threads


def on_days(clim: xr.Dataset, field: xr.DataArray) -> xr.Dataset:
    place = _calendar.day_of_year(_calendar.read(field, None)[1]) - 1
    return clim.isel(dayofyear=xr.DataArray(place, dims="time"))


@pytest.fixture
def west_australia(shared):
    return xr.load_dataset(shared / "data" / "sst_points" / "oisst_daily_WA_1982_2022.nc")["sst"]


@pytest.mark.parametrize(
    ("table", "options"),
    [("default", {}), ("nosmooth", {"smooth": None}), ("cold", {"percentile": 10})],
)
@pytest.mark.parametrize("dtype", ["float32", "float64", ">f4"])
def test_marine_heat_waves_py(shared, west_australia, table, options, dtype):
    reference = pd.read_csv(shared / "reference" / "anomaly" / f"sst_WA__{table}_1983-2012__series.csv")
    clim = climatology(west_australia.astype(dtype), period=(1983, 2012), **options)
    ours = on_days(clim, west_australia)
    assert ours.sizes["time"] == len(reference) == 14_975
    np.testing.assert_allclose(ours["mean"].values, reference["seas"], rtol=0, atol=1e-12)
    np.testing.assert_allclose(ours["threshold"].values, reference["thresh"], rtol=0, atol=1e-12)


def test_other_base_period_gives_the_published_intensities(shared, west_australia):
    """The events table of 1982-2011 has no series; its intensities fix the climatology and the threshold."""
    events = pd.read_csv(shared / "reference" / "anomaly" / "sst_WA__1982-2011__events.csv")
    ours = on_days(climatology(west_australia, period=("1982-01-01", "2011-12-31")), west_australia)
    warmer = west_australia.values.astype(float) - ours["mean"].values
    above = west_australia.values.astype(float) - ours["threshold"].values
    assert len(events) == 90
    for event in events.itertuples():
        inside = slice(event.index_start, event.index_end + 1)
        assert warmer[inside].sum() == pytest.approx(event.intensity_cumulative, rel=0, abs=1e-10)
        assert above[inside].sum() == pytest.approx(event.intensity_cumulative_relThresh, rel=0, abs=1e-10)
        assert (above[inside] > 0).sum() >= 5


def test_published_pair(shared):
    """sst_1_2.csv and its threshold and climatology of 1982-2005, published with m_mhw1.0."""
    folder = shared / "reference" / "anomaly"
    values = np.loadtxt(folder / "sst_1_2.csv", skiprows=1)
    reference = xr.load_dataset(folder / "threshold_climatology", engine="netcdf4")
    days = xr.date_range("1982-01-01", periods=values.size)
    sst = xr.DataArray(values, dims="time", coords={"time": days}, name="sst")
    ours = on_days(climatology(sst, period=(1982, 2005)), sst)
    np.testing.assert_allclose(ours["mean"].values, reference["climatology"], rtol=0, atol=1e-12)
    np.testing.assert_allclose(ours["threshold"].values, reference["threshold"], rtol=0, atol=1e-12)


def test_the_options_matter(west_australia):
    """A guard of the tests above: each option moves the threshold by far more than their tolerance."""
    usual = climatology(west_australia, period=(1983, 2012))["threshold"]
    for options in ({"smooth": None}, {"half_window": 6}, {"percentile": 89}, {"period": (1982, 2011)}):
        other = climatology(west_australia, **{"period": (1983, 2012), **options})["threshold"]
        assert abs(usual - other).max() > 1e-3


def test_real_cube_equals_its_pixels(shared):
    path = shared / "data" / "oisst_tasmania" / "oisst_tasmania_1982_2016.nc"
    with xr.open_dataset(path) as dataset:
        sst = dataset["sst"].isel(lat=slice(12, 16), lon=slice(0, 6)).load().astype("float32")
    with threads.limit(2):
        whole = climatology(sst, period=(1983, 2012))
    assert whole["mean"].isnull().any()
    assert whole["mean"].notnull().any()
    for i, j in np.ndindex(4, 6):
        xr.testing.assert_identical(
            climatology(sst[:, i, j], period=(1983, 2012)).drop_attrs(deep=False),
            whole.isel(lat=i, lon=j).drop_attrs(deep=False),
        )
