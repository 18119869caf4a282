"""The parametric typhoon: its formulas, what may be known at the start, and the surge it drives."""

import numpy as np
import pytest
import xarray as xr

from oceankit.forecast import typhoon

KNOT = 1852 / 3600


def make(lat, lon, vmax=40.0, mslp=np.nan, start="2000-01-01", **attrs) -> xr.Dataset:
    lat, lon = np.atleast_1d(lat).astype(float), np.atleast_1d(lon).astype(float)
    time = np.datetime64(start, "ns") + np.arange(lat.size) * np.timedelta64(6, "h")
    values = {"lat": lat, "lon": lon, "vmax": np.full(lat.size, vmax), "mslp": np.full(lat.size, mslp)}
    return xr.Dataset({k: ("time", v) for k, v in values.items()}, coords={"time": time}, attrs=attrs)


@pytest.fixture
def table(shared):
    return shared / "data/typhoon_jtwc/jtwc_wp_1945_2009.csv"


@pytest.mark.parametrize(("knots", "pressure"), [(30, 1000), (50, 987), (75, 967), (100, 943), (140, 898)])
def test_atkinson_and_holliday(knots, pressure):
    """The operational table of the JTWC, rounded there to 1 hPa."""
    assert typhoon.central_pressure(knots * KNOT) == pytest.approx(pressure, abs=3.5)


@pytest.mark.parametrize("model", typhoon.MODELS)
def test_still_vortex(model):
    """At rest: the highest wind at its radius, counter-clockwise and inwards, the pressure of Holland's equation 1."""
    track = make([20, 20], [130, 130], vmax=50, mslp=940)
    r = np.arange(5, 400, 1.0)
    air = typhoon.vortex(
        track, lat=20, lon=130 + r / (111.195 * np.cos(np.deg2rad(20))), time=track.time[:1], rmax=40, model=model
    )
    wind = np.hypot(air.u, air.v).values[0]
    assert r[wind.argmax()] == pytest.approx(40, abs=3)
    assert wind.max() == pytest.approx(50 * 0.93, rel=0.03)
    # East of the centre the wind blows north, and 20 degrees to the west of it.
    assert np.rad2deg(np.arctan2(-air.u.values[0], air.v.values[0]))[30] == pytest.approx(20, abs=1)
    at = int(np.flatnonzero(r == 40)[0])
    assert air.pressure.values[0, at] == pytest.approx(940 + 70 * np.exp(-1), abs=1)
    assert (np.diff(air.pressure.values[0]) > 0).all()


def test_southern_hemisphere():
    north, south = (
        typhoon.vortex(make([y, y], [130, 130]), lat=y, lon=[130.5], time=np.datetime64("2000-01-01T03", "ns"))
        for y in (15, -15)
    )
    assert north.v.item() > 10
    assert south.v.item() == pytest.approx(-north.v.item(), rel=1e-6)
    assert south.u.item() == pytest.approx(north.u.item(), rel=1e-6)


def test_stronger_on_the_right():
    track = make([20, 20], [130, 129])
    side = typhoon.vortex(track, lat=[20.4, 19.6], lon=129.5, time=track.time[:1] + np.timedelta64(3, "h"), rmax=45)
    right, left = np.hypot(side.u, side.v).values[0]
    assert right > left + 4
    # All along the circle the highest wind is that of the track.
    angle = np.deg2rad(np.arange(0, 360, 2))
    ring = typhoon.vortex(
        track,
        lat=20 + 0.4 * np.cos(angle),
        lon=129.5 + 0.426 * np.sin(angle),
        time=track.time[:1] + np.timedelta64(3, "h"),
        rmax=45,
    )
    assert np.hypot(ring.u, ring.v).max().item() == pytest.approx(40 * 0.93, rel=0.05)


def test_across_the_date_line():
    track = make([20, 20], [179, -179])
    air = typhoon.vortex(track, lat=20, lon=[180, -180], time=track.time[:1] + np.timedelta64(3, "h"))
    assert air.pressure.values == pytest.approx(float(typhoon.central_pressure(40.0)), abs=0.1)


def test_inverse_barometer():
    assert typhoon.inverse_barometer(960.0) == pytest.approx(0.497, abs=1e-3)
    assert typhoon.inverse_barometer(1000.0, ambient=1000.0) == 0


def test_winnie_is_read(table):
    track = typhoon.read_jtwc(table, storm=199714)
    assert track.sizes["time"] == 73
    assert float(track.vmax.max()) == pytest.approx(140 * KNOT)
    assert track.mslp.isnull().all()
    every = typhoon.read_jtwc(table)
    assert every.sizes["fix"] == 30051
    assert not (every.mslp <= 0).any()
    with pytest.raises(ValueError, match="storm=12"):
        typhoon.read_jtwc(table, storm=12)


def test_nothing_of_the_future_is_used(table):
    """Corrupt the track after the start, and every storm after it: the same forecast, bit for bit."""
    track, past = typhoon.read_jtwc(table, storm=199714), typhoon.read_jtwc(table)
    later = track.copy(deep=True)
    later["lat"][40:], later["vmax"][40:] = 0.0, 1.0
    issue = track.time.values[39]
    assert typhoon.persist(track, issue).identical(typhoon.persist(later, issue))
    wrong = past.copy(deep=True)
    wrong["lat"] = wrong.lat.where(wrong.time < track.time.values[0], -5.0)
    box = (115, 135, 15, 32)
    ours, theirs = (
        typhoon.ensemble(t, issue, p, box=box, members=20, rng=1) for t, p in ((track, past), (later, wrong))
    )
    assert ours.identical(theirs)
    assert ours.attrs["starts"] > 200
    spread = ours.lat.std("member").values
    assert spread[39] == 0
    assert (np.diff(spread[39:]) > 0).all()


def test_an_ensemble_of_itself():
    """Storms that all turned by the same way carry this turn into the forecast, whatever the heading."""
    storms = []
    for k in range(30):
        lat = np.r_[20 + 0.5 * np.arange(4), 21.5 + 0.5 * np.arange(1, 5)]
        lon = np.r_[np.full(4, 130.0), 130 + 0.3 * np.arange(1, 5)]
        one = make(lat, lon, start=f"19{60 + k}-01-01").drop_attrs()
        storms.append(
            one.rename(time="fix")
            .assign_coords(time=("fix", one.time.values), storm=("fix", [str(k)] * 8))
            .drop_vars("fix")
        )
    past = xr.concat(storms, "fix")
    track = make([20, 20, 20, 20], [130, 129.5, 129, 128.5], start="2000-01-01")
    found = typhoon.ensemble(track, "2000-01-01T18", past, box=(120, 140, 21.4, 21.6), members=3, hours=24, rng=0)
    # Heading west, to the right is north.
    assert found.lat.values[:, -1] == pytest.approx(20 + 1.2 * np.cos(np.deg2rad(21.5)), abs=0.01)
    with pytest.raises(ValueError, match="0 starts of earlier storms"):
        typhoon.ensemble(track, "2000-01-01T18", past, box=(0, 1, 0, 1))


def test_storm_tide_of_a_steady_onshore_wind(monkeypatch):
    """A wind that blows straight on a shelf of one depth: stress times width over depth (rho g h)."""

    def steady(track, *, lat, lon, time, **options):
        shape = (np.size(time), np.size(lat))
        values = {"u": np.full(shape, -20.0), "v": np.zeros(shape), "pressure": np.full(shape, 1000.0)}
        return xr.Dataset({k: (("time", "point"), v) for k, v in values.items()}, attrs={"ambient_pressure": 1010.0})

    monkeypatch.setattr(typhoon, "vortex", steady)
    track = make([0, 0, 0], [130, 130, 130])
    found = typhoon.storm_tide(
        track,
        lat=0.0,
        lon=120,
        time=track.time.values[:1] + np.arange(5) * np.timedelta64(1, "h"),
        seaward=90,
        depths=[(0, 50), (200, 50)],
    )
    stress = 1.15 * (4.9e-4 + 6.5e-5 * 20) * 400
    assert found.wind.values == pytest.approx(stress * 200e3 / (1025 * 9.81 * 50), rel=1e-6)
    assert found.inverse_barometer.values == pytest.approx(0.0994, abs=1e-3)
    assert (found.surge == found.wind + found.inverse_barometer).all()


def test_refusals():
    track = make([20, 20, 20], [130, 129, 128])
    with pytest.raises(ValueError, match="outside the track"):
        typhoon.vortex(track, lat=20, lon=130, time=np.datetime64("2001-01-01"))
    with pytest.raises(ValueError, match="model='rankine'"):
        typhoon.vortex(track, lat=20, lon=130, time=track.time, model="rankine")
    with pytest.raises(ValueError, match=r"no \['vmax'\]"):
        typhoon.vortex(track.drop_vars("vmax"), lat=20, lon=130, time=track.time)
    with pytest.raises(ValueError, match="hourly"):
        typhoon.storm_tide(track, lat=20, lon=120, time=track.time.values, seaward=90, depths=[(0, 5), (9, 9)])
    with pytest.raises(ValueError, match="depths"):
        typhoon.storm_tide(track, lat=20, lon=120, time=track.time.values[:1], seaward=90, depths=[(9, 5), (0, 9)])
    with pytest.raises(ValueError, match="no position at"):
        typhoon.persist(track, "2000-01-01T07")
    with pytest.raises(ValueError, match="no position at"):
        typhoon.persist(track, "2000-01-01T06")
