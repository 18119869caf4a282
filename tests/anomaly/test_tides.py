"""The tide against UTide itself, and against records and constants of others."""

import json

import numpy as np
import pytest
import xarray as xr

pytest.importorskip("utide", reason="needs oceankit[forecast]")

from oceankit.anomaly import tides
from oceankit.anomaly._tide_constants import arguments, frequencies, meaning


def hourly(start: str, end: str) -> np.ndarray:
    return np.arange(start, end, dtype="datetime64[h]").astype("datetime64[ns]")


def series(values, time, **attrs) -> xr.DataArray:
    return xr.DataArray(values, dims="time", coords={"time": time}, attrs={"units": "m"} | attrs)


@pytest.fixture
def kanmen(shared):
    path = shared / "data/tide_gauge/kanmen_1997_08_hourly_KM9708.dat"
    values = [int(x) for line in path.read_text().splitlines()[5:] for x in line.split()]
    return series(np.array(values) / 1000.0, hourly("1997-08-01", "1997-09-01"), vertical_datum="Kanmen gauge zero")


@pytest.fixture
def hoek(shared):
    """Levels of Hoek van Holland above NAP 1976-1994 and constants of 2009-2012: from hatyan, both in UTC + 1 h."""
    text = (shared / "data/tide_gauge/HOEKVHLD_obs19.txt").read_text().split("[WRD]")[1]
    values = np.array([float(x.split("/")[0]) for x in text.replace("\n", "").split(":") if x]) / 100
    waves = {}
    for line in (shared / "data/tide_gauge/HOEKVHLD_ana.txt").read_text().splitlines():
        if line.startswith("COMP"):
            _, _, speed, amplitude, phase, name = line.split()
            waves[name] = (float(amplitude) / 100, float(phase), float(speed))
    return series(values, hourly("1976-01-01", "1995-01-01"), vertical_datum="NAP"), waves


def test_the_same_as_utide():
    import utide

    time = hourly("2001-01-01", "2001-07-01")
    rng = np.random.default_rng(0)
    values = tides.predict({"M2": (1.2, 10), "K1": (0.3, 80), "MS4": (0.1, 300)}, time, lat=-20).values
    values = values + 0.1 * rng.normal(size=time.size) + 2
    values[500:700] = np.nan
    known = np.isfinite(values)
    coef = utide.solve(time[known], values[known], lat=-20, trend=False, conf_int="none", verbose=False)
    found = tides.analyse(series(values, time), lat=-20)
    assert set(found.constituent.values) == set(coef.name)
    assert (np.diff(found.frequency) >= 0).all()
    later = hourly("2009-02-01", "2009-02-10")
    ours = tides.predict(found, later)
    assert np.abs(ours.values - utide.reconstruct(later, coef, verbose=False).h).max() < 1e-12


def test_several_stations_at_once():
    time = hourly("2001-01-01", "2001-03-01")
    one, two = (tides.predict({"M2": (a, 10), "O1": (0.2, g)}, time, lat=y) for a, g, y in ((1, 40, 20), (2, 90, -40)))
    both = xr.concat([one, two + 3], xr.Variable("station", ["a", "b"])).transpose("time", "station")
    both.attrs["units"] = "m"
    found = tides.analyse(both, lat=[20, -40])
    assert found.amplitude.dims == ("station", "constituent")
    assert found.amplitude.sel(constituent="M2").values == pytest.approx([1, 2], abs=1e-3)
    assert found.mean_level.values == pytest.approx([0, 3], abs=1e-3)
    back = tides.predict(found, time)
    assert back.dims == ("station", "time")
    assert np.abs(back - both).max() < 1e-9


@pytest.mark.parametrize(("units", "scale"), [("cm", 100), ("mm", 1000)])
def test_units_are_read(units, scale):
    time = hourly("2001-01-01", "2001-02-01")
    level = tides.predict({"M2": (1.0, 0)}, time, lat=10) * scale
    found = tides.analyse(level.assign_attrs(units=units), lat=10)
    assert found.amplitude.sel(constituent="M2").item() == pytest.approx(1, abs=1e-3)


def test_annual_tide_of_the_two_conventions():
    """Reckoned from the equinox or from perihelion: 283 degrees apart in 2000."""
    time = hourly("2000-03-20", "2000-03-21")
    ours, theirs = (arguments([meaning("SA", c)], time, 0.0, nodal=True)[0, 0] for c in ("iho", "utide"))
    assert np.rad2deg(np.angle(ours / theirs)) % 360 == pytest.approx(282.9, abs=0.2)


def test_nodal_corrections():
    """M2 is 3.7 % weaker when the moon's orbit is steepest on the equator (1987), as much stronger in 1997; O1 the other way."""
    factors = {}
    for year in ("1987-09", "1997-02"):
        basis = arguments(
            [meaning(n, "iho") for n in ("M2", "O1", "S2", "MA2")], hourly(year + "-01", year + "-02"), 30.0, nodal=True
        )
        factors[year] = np.abs(basis[0])
    assert factors["1987-09"] == pytest.approx([0.963, 1.18, 1.0, 0.963], abs=0.01)
    assert factors["1997-02"] == pytest.approx([1.037, 0.81, 1.0, 1.037], abs=0.02)
    still = arguments([meaning("M2", "iho")], hourly("1997-02-01", "1997-02-02"), 30.0, nodal=False)
    assert np.abs(still) == pytest.approx(1)


def test_on_the_equator():
    """UTide divides by zero there."""
    time = hourly("2001-01-01", "2001-02-01")
    near, there = (tides.predict({"Q1": (1, 0), "M2": (1, 0)}, time, lat=y) for y in (1.0, 0.0))
    assert np.isfinite(there).all()
    assert np.allclose(near, there)
    assert tides.analyse(there, lat=0).amplitude.sel(constituent="M2").item() == pytest.approx(1, abs=0.01)


def test_speeds_of_the_iho_list():
    expected = {"MA2": 28.943036, "MB2": 29.025173, "3N2": 27.350980, "MTM": 1.642408, "MSQM": 2.113929, "S3": 45.0,
                "OQ2": 27.341696, "LAMBDA2": 29.455625, "SGM": 12.927140, "3MKS2": 26.870175, "S1": 15.0}  # fmt: skip
    found = frequencies([meaning(n, "iho") for n in expected])
    assert found == pytest.approx(list(expected.values()), abs=2e-6)


def test_hoek_van_holland(hoek):
    """Constants that others found from 2009-2012 predict 1985 better than our own analysis of the following years does."""
    level, waves = hoek
    part = level.sel(time="1985")
    table = xr.Dataset(
        {
            "amplitude": ("constituent", [w[0] for w in waves.values()], {"units": "m"}),
            "phase": ("constituent", [w[1] for w in waves.values()]),
            "frequency": ("constituent", [w[2] for w in waves.values()]),
        },
        coords={"constituent": list(waves)},
    )
    with pytest.raises(ValueError, match=r"\['M1C'\] are not known"):
        tides.predict(table, part.time, lat=51.98)
    with pytest.raises(ValueError, match=r"'M7' has 101.449 degrees per hour"):
        tides.predict(table, part.time, lat=51.98, skip=["M1C"])
    left = ["M1C", "M7"]
    rms = float((part - tides.predict(table, part, lat=51.98, skip=left)).std())
    assert rms < 0.27
    own = tides.analyse(level.sel(time=slice("1986", "1989")), lat=51.98)
    assert rms < float((part - tides.predict(own, part)).std()) + 0.01
    mine = own.sel(constituent=["M2", "S2", "M4"])
    assert mine.amplitude.values == pytest.approx([waves[n][0] for n in ("M2", "S2", "M4")], rel=0.1)
    assert mine.phase.values == pytest.approx([waves[n][1] for n in ("M2", "S2", "M4")], abs=5)
    shift = (own.phase.sel(constituent="SA").item() - waves["SA"][1]) % 360
    assert shift == pytest.approx(77, abs=20)


def test_kanmen_from_ticon(kanmen, shared):
    waves = tides.read_ticon(shared / "data/ticon4_tides/ticon4_east_asia.json", "Kanmen")
    assert waves.sizes["constituent"] == 50
    assert "cc-by-4.0" in waves.license
    tide = tides.predict(waves, kanmen.time)
    assert tide.vertical_datum == "gauge zero of ticon/kanmen-632a-chn-uhslc_rq"
    left = kanmen - tide
    assert np.corrcoef(kanmen, tide)[0, 1] > 0.986
    assert float(left.std()) < 0.26
    # Before the storm there is little besides the tide, on a range of 5 m.
    assert float(left.sel(time=slice(None, "1997-08-14")).std()) < 0.11
    assert float(left.sel(time=slice("1997-08-18", "1997-08-18T23")).max()) > 1.2


def test_highest_tide_of_kanmen(shared):
    """The database's own highest and lowest astronomical tide, computed by others from the same constants."""
    waves = tides.read_ticon(shared / "data/ticon4_tides/ticon4_east_asia.json", "Kanmen")
    tide = tides.predict(waves, hourly("1993-01-01", "2012-01-01"))
    datum = waves.tidal_datum
    assert tide.max().item() == pytest.approx(datum.sel(datum="HAT").item(), abs=0.08)
    assert tide.min().item() == pytest.approx(datum.sel(datum="LAT").item(), abs=0.08)


def test_honolulu(shared):
    rows = np.loadtxt(shared / "data/tide_gauge/honolulu_2010_hourly_HNL2010.asc")
    time = hourly("2010-01-01", "2011-01-01")
    assert rows[:, 0] == pytest.approx(
        (time.astype("M8[h]") - np.datetime64("1700-01-01", "h")) / np.timedelta64(24, "h"), abs=1e-6
    )
    level = series(rows[:, 1] / 1000, time)
    found = tides.analyse(level.sel(time=slice("2010-01", "2010-06")), lat=21.3)
    rest = level.sel(time=slice("2010-07", "2010-12"))
    left = rest - tides.predict(found.drop_sel(constituent=["SSA", "MSM"], errors="ignore"), rest)
    assert float(left.std()) < 0.06
    assert found.amplitude.sel(constituent="M2").item() == pytest.approx(0.17, abs=0.02)


def test_refusals(tmp_path):
    time = hourly("2001-01-01", "2001-02-01")
    level = tides.predict({"M2": (1.0, 0)}, time, lat=10)
    with pytest.raises(ValueError, match="no latitude"):
        tides.analyse(level)
    with pytest.raises(ValueError, match="units of the sea level are 'K'"):
        tides.analyse(level.assign_attrs(units="K"), lat=10)
    with pytest.raises(ValueError, match="has 3 values"):
        tides.analyse(level[:3], lat=10)
    with pytest.raises(ValueError, match=r"lat has 100\.0"):
        tides.analyse(level, lat=100)
    with pytest.raises(ValueError, match="XYZ"):
        tides.analyse(level, lat=10, constituents=["XYZ"])
    with pytest.raises(ValueError, match="'mean' is none of"):
        tides.analyse(level, lat=10, method="mean")
    with pytest.raises(ValueError, match=r"\['FOO'\] are not known"):
        tides.predict({"FOO": (1, 0)}, time, lat=0)
    with pytest.raises(ValueError, match="convention='noaa'"):
        tides.predict({"M2": (1, 0)}, time, lat=0, convention="noaa")
    with pytest.raises(ValueError, match="no latitude"):
        tides.predict({"M2": (1, 0)}, time)
    with pytest.raises(ValueError, match="datetime64"):
        tides.predict({"M2": (1, 0)}, np.arange(3.0), lat=0)
    stations = [{"id": f"t/{k}", "name": "Naha", "latitude": 26, "longitude": 127, "constituents": []} for k in "ab"]
    path = tmp_path / "stations.json"
    path.write_text(json.dumps(stations))
    with pytest.raises(ValueError, match=r"several stations 'Naha'.*t/a"):
        tides.read_ticon(path, "Naha")
    with pytest.raises(ValueError, match="no station 'Xiamen'"):
        tides.read_ticon(path, "Xiamen")
