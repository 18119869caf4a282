"""The demo's analysis on real fields: OSTIA's equatorial strip, 2006 to 2010."""

import numpy as np
import pytest
import xarray as xr

from oceankit.anomaly import anomalies, climatology, spells

PERIOD = ("2006-04", "2010-09")


def test_monthly_anomalies_average_to_nothing(ostia):
    clim = climatology(ostia, period=PERIOD, by="month")
    assert dict(clim["mean"].sizes) == {"month": 12, "latitude": 18, "longitude": 432}
    sst = ostia["surface_temperature"]
    found = anomalies(sst, clim)
    assert found.dtype == np.float32
    assert found.attrs["standard_name"] == "surface_temperature_anomaly"
    assert found.isnull().equals(sst.isnull())
    assert found.isnull().any()
    exact = anomalies(sst.astype("float64"), clim)
    assert float(abs(exact.groupby("time.month").mean()).max()) < 1e-12
    assert float(abs(found.astype(float) - exact).max()) < 1e-6
    assert float(abs(exact).max()) > 2
    xr.testing.assert_identical(anomalies(ostia.chunk(time=10), clim)["surface_temperature_anomaly"].compute(), found)


def test_el_nino_and_la_nina(ostia):
    """The strong events of NOAA's oceanic Nino index in these years, in the Nino 3.4 box as far as the strip covers it.

    El Nino 2006-07 and 2009-10, La Nina 2007-08; the base period is the record itself, so dates differ by some months.
    """
    found = anomalies(ostia, climatology(ostia, period=PERIOD, by="month"))["surface_temperature_anomaly"]
    area = np.cos(np.deg2rad(found["latitude"]))
    box = found.sel(longitude=slice(190, 240)).weighted(area).mean(["latitude", "longitude"])
    warm = spells(box > 0.5, min_duration=5, values=box)
    assert warm["start"].dt.strftime("%Y-%m").values.tolist() == ["2006-09", "2009-06"]
    el_nino = warm.isel(event=1)
    assert str(el_nino["end"].values)[:7] == "2010-04"
    assert el_nino["duration"] == 11
    assert str(el_nino["peak"].values)[:7] == "2010-01"
    assert el_nino["intensity_max"].item() == pytest.approx(1.7, abs=0.1)
    cold = spells(box < -0.5, min_duration=5, values=box, cold=True)
    assert cold["start"].dt.strftime("%Y-%m").values.tolist() == ["2007-09"]
    assert str(cold["end"].values[0])[:7] == "2008-04"


def test_its_period_must_be_its_own(ostia):
    with pytest.raises(ValueError, match=r"2006-01-01/2010-12-31 is not covered.*2006-04-16 to 2010-09-16"):
        climatology(ostia, period=(2006, 2010), by="month")
    with pytest.raises(ValueError, match="by='month'"):
        climatology(ostia, period=PERIOD)
