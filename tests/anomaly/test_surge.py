"""The surge residual: the reference protocol of eight gauges, no leakage, and refusals."""

import csv

import numpy as np
import pytest
import xarray as xr

pytest.importorskip("utide", reason="needs oceankit[forecast]")

from oceankit.anomaly import surge, tides

LATITUDES = {"Darwin": -12.47, "Broome": -18.0, "CapeFerguson": -19.28, "Thevenard": -32.15, "PortKembla": -34.47,
             "Portland": -38.34, "Esperance": -33.87, "Hillarys": -31.83}  # fmt: skip
INPUTS = (0, 1, 2, 3, 6, 12, 24, 36, 47)  # hours back that the reference's regression needs


@pytest.fixture
def gauges(shared):
    with xr.open_dataset(shared / "data/forecast/tide_gauges_australia_hourly_2012_2014.nc") as found:
        level = found.sea_level.load()
    return level.assign_coords(lat=("station", [LATITUDES[str(s)] for s in level.station.values]))


@pytest.fixture
def reference(shared):
    with open(shared / "reference/forecast/waves_surge_scores.csv") as file:
        return {(r["series"][6:], r["model"], int(r["lead_h"])): r for r in csv.DictReader(file)}


def pairs(left: xr.DataArray, lead: int) -> tuple[np.ndarray, np.ndarray]:
    """Residuals at start and target as the reference takes them: three hours of a gap filled, all inputs there, both in 2014."""
    filled = left.to_series().interpolate(limit=3).to_numpy()
    known = np.isfinite(filled)
    use = np.ones(known.size, dtype=bool)
    for back in INPUTS:
        use[back:] &= known[: known.size - back]
    start = np.flatnonzero(left.time.values >= np.datetime64("2014-01-01"))[:-lead]
    start = start[use[start] & known[start + lead]]
    return filled[start], filled[start + lead]


def check(level, reference, station):
    found = surge.residual(level.sel(station=station), fit=slice("2012-01-01", "2013-12-31"))
    assert found.attrs["tide_fit"].startswith("2012-01-01")
    for lead in (1, 6, 24, 72):
        start, target = pairs(found.residual, lead)
        climatology, persistence = reference[station, "climatology", lead], reference[station, "persistence", lead]
        assert start.size == int(persistence["n"])
        assert np.sqrt(np.mean((target - start) ** 2)) == pytest.approx(float(persistence["rmse"]), abs=2e-4)
        assert np.sqrt(np.mean(target**2)) == pytest.approx(float(climatology["rmse"]), abs=2e-4)


@pytest.mark.parametrize("station", ["PortKembla", "Broome"])
def test_reference(gauges, reference, station):
    check(gauges, reference, station)


@pytest.mark.slow
@pytest.mark.parametrize("station", sorted(set(LATITUDES) - {"PortKembla", "Broome"}))
def test_reference_of_the_others(gauges, reference, station):
    check(gauges, reference, station)


def record(days: int = 90) -> xr.DataArray:
    time = np.arange("2012-01-01", np.datetime64("2012-01-01") + days, dtype="datetime64[h]").astype("datetime64[ns]")
    level = tides.predict({"M2": (1.2, 40), "K1": (0.3, 200)}, time, lat=30).assign_coords(lat=30.0)
    level.values += 0.1 * np.random.default_rng(1).normal(size=time.size) + 2
    return level.assign_attrs(units="m", vertical_datum="zero of here", place="here")


def test_no_leakage():
    """What comes after the fit changes neither the tide nor the residual before it, by a single bit."""
    level = record()
    later = level.copy(deep=True)
    later[50 * 24 :] = 7.7
    ours, theirs = (surge.residual(x, fit=slice("2012-01-01", "2012-02-10")) for x in (level, later))
    assert ours.tide.identical(theirs.tide)
    assert ours.residual[: 50 * 24].identical(theirs.residual[: 50 * 24])


def test_gaps_jumps_and_attributes():
    level = record()
    level[100:110] = np.nan
    level[1500:] += 0.5
    found = surge.residual(level, fit=("2012-01-01", "2012-02-10"))
    assert found.residual[100:110].isnull().all()
    assert int(found.residual.isnull().sum()) == 10
    assert found.tide.notnull().all()
    assert float(found.residual[1500:].mean()) == pytest.approx(0.5, abs=0.1)
    assert found.attrs["place"] == "here"
    assert found.tide.vertical_datum == "zero of here"
    assert found.residual.dims == level.dims


def test_stations_in_any_order():
    level = record()
    both = xr.concat([level, 2 * level], xr.Variable("station", ["a", "b"])).assign_attrs(units="m")
    found = surge.residual(both.transpose("time", "station"), fit=slice("2012-01-01", "2012-02-10"))
    assert found.residual.dims == ("time", "station")
    assert np.allclose(found.residual.sel(station="b"), 2 * found.residual.sel(station="a"))


def test_given_tide_and_offset():
    level = record()
    waves = {"M2": (1.2, 40), "K1": (0.3, 200)}
    tide = tides.predict(waves, level, lat=30).assign_attrs(vertical_datum="another")
    with pytest.raises(ValueError, match="above the datum 'zero of here', the tide above 'another'"):
        surge.residual(level, tide=tide)
    found = surge.residual(level, tide=tide, offset=slice("2012-01-01", "2012-01-10"))
    assert float(found.offset) == pytest.approx(2, abs=0.02)
    assert float(found.residual.std()) == pytest.approx(0.1, abs=0.01)
    short = found.residual.sel(time=slice("2012-01-01", "2012-01-10"))
    assert float(short.mean()) == pytest.approx(0, abs=1e-12)
    one = surge.residual(level[24:], tide=tide, offset=slice("2012-01-02", "2012-01-10"))
    assert one.sizes["time"] == level.size - 24
    with pytest.raises(ValueError, match="no value at 2012-03"):
        surge.residual(level, tide=tide[:1600], offset=slice("2012-01-02", "2012-01-10"))


def test_refusals():
    level = record(30)
    with pytest.raises(ValueError, match="neither fit nor tide"):
        surge.residual(level)
    with pytest.raises(ValueError, match="both"):
        surge.residual(level, fit=slice("2012-01-01", None), tide=level)
    with pytest.raises(ValueError, match="holds no values"):
        surge.residual(level, fit=slice("2020-01-01", None))
    with pytest.raises(ValueError, match="is no period"):
        surge.residual(level, fit="2012")
    with pytest.raises(ValueError, match="units of the sea level are missing"):
        surge.residual(level.drop_attrs(), fit=slice("2012-01-01", None))
    with pytest.raises(ValueError, match="offset=.* for a given tide"):
        surge.residual(level, fit=slice("2012-01-01", None), offset=slice("2012-01-01", None))
    with pytest.raises(TypeError, match="nodal"):
        surge.residual(level, tide=level, nodal=False)


def maxima_of(values: np.ndarray, start: int = 1900) -> xr.DataArray:
    """Daily series whose highest value of each year is the given one."""
    days = np.arange(f"{start}-01-01", f"{start + values.size}-01-01", dtype="datetime64[D]").astype("datetime64[ns]")
    series = xr.DataArray(np.full(days.size, -1.0), dims="time", coords={"time": days}, attrs={"units": "m"})
    for k, value in enumerate(values):
        series[np.flatnonzero(days == np.datetime64(f"{start + k}-06-15"))] = value
    return series


def test_return_levels_of_a_known_distribution():
    stats = pytest.importorskip("scipy.stats")
    true = stats.genextreme(0.1, loc=1.0, scale=0.2)
    sample = true.rvs(300, random_state=1)
    found = surge.return_levels(maxima_of(sample), periods=(2, 10, 100))
    assert found.maximum.values == pytest.approx(sample)
    assert found.year.values[[0, -1]].tolist() == [1900, 2199]
    expected = true.ppf(1 - 1 / found.return_period.values)
    assert (found.level_low < expected).all()
    assert (expected < found.level_high).all()
    c, location, scale = stats.genextreme.fit(sample, 0.1, loc=1, scale=0.2)
    assert found.level.values == pytest.approx(
        stats.genextreme.ppf(1 - 1 / found.return_period.values, c, location, scale), rel=0.03
    )


def test_return_levels_of_hoek_van_holland(shared):
    text = (shared / "data/tide_gauge/HOEKVHLD_obs19.txt").read_text().split("[WRD]")[1]
    values = np.array([float(x.split("/")[0]) for x in text.replace("\n", "").split(":") if x])
    time = np.arange("1976-01-01", "1995-01-01", dtype="datetime64[h]").astype("datetime64[ns]")
    level = xr.DataArray(values, dims="time", coords={"time": time}, attrs={"units": "cm", "vertical_datum": "NAP"})
    found = surge.return_levels(level)
    assert found.sizes["year"] == 19
    assert found.vertical_datum == "NAP"
    assert float(found.maximum.max()) == values.max() / 100
    assert 2.0 < found.level.sel(return_period=2).item() < 2.5
    assert 2.5 < found.level.sel(return_period=20).item() < 3.3
    assert (np.diff(found.level) > 0).all()
    assert (np.diff(found.level_high - found.level_low) > 0).all()
    winters = surge.return_levels(level, start_month=7)
    assert winters.sizes["year"] == 18
    assert winters.attrs["years_left_out"] == "1976 1995"


def test_return_levels_refuse():
    series = maxima_of(np.linspace(1, 2, 12))
    with pytest.raises(ValueError, match="9 years have at least 80%"):
        surge.return_levels(series.where(series.time.dt.year > 1902))
    with pytest.raises(ValueError, match="above 1 year"):
        surge.return_levels(series, periods=[1])
    with pytest.raises(ValueError, match="units of the series are missing"):
        surge.return_levels(series.drop_attrs())
    with pytest.raises(ValueError, match="one station at a time"):
        surge.return_levels(series.expand_dims(station=2))
    with pytest.raises(ValueError, match="start_month=13"):
        surge.return_levels(series, start_month=13)
