"""Series keep their gaps, their calendar and their events; Hovmöller diagrams their orientation."""

import numpy as np
import pytest
import xarray as xr

from oceankit.products import plot_hovmoller, plot_series

dates = pytest.importorskip("matplotlib.dates", reason="needs the extra 'plot'")


@pytest.fixture
def sst() -> xr.DataArray:
    days = np.arange("2015-01-01", "2017-01-01", dtype="datetime64[D]").astype("datetime64[ns]")
    values = 15 + 3 * np.cos(2 * np.pi * np.arange(days.size) / 365.25)
    return xr.DataArray(values, dims="time", coords={"time": days}, name="sst",
                        attrs={"long_name": "Sea surface temperature", "units": "degC"})  # fmt: skip


def line(ax, gid):
    (found,) = [a for a in ax.lines if a.get_gid() == gid]
    return np.asarray(found.get_xdata()), np.asarray(found.get_ydata())


def test_values_at_their_dates(sst):
    x, y = line(plot_series(sst), "series")
    assert x == pytest.approx(dates.date2num(sst["time"].values))
    assert y == pytest.approx(sst.values)


def test_gaps_stay_gaps(sst):
    holes = sst.where(sst["time.month"] != 3).isel(time=slice(0, 200))
    skipped = holes.dropna("time")
    for series in (holes, skipped):
        x, y = line(plot_series(series), "series")
        march = (x >= dates.date2num(np.datetime64("2015-03-01"))) & (x <= dates.date2num(np.datetime64("2015-03-31")))
        assert np.isnan(y[march]).all()
        assert march.any()
        assert np.isfinite(y).sum() == 169


def test_months_are_no_gaps():
    months = xr.date_range("2006-04-16", periods=24, freq="MS", use_cftime=False)
    series = xr.DataArray(np.arange(24.0), dims="time", coords={"time": months}, name="x")
    _, y = line(plot_series(series), "series")
    assert np.isfinite(y).all()
    _, y = line(plot_series(series.drop_isel(time=[5])), "series")
    assert np.isnan(y).any()


def test_lone_values_are_dots(sst):
    lone = sst.where(np.arange(sst.size) % 10 == 0).isel(time=slice(0, 50))
    ax = plot_series(lone)
    (dots,) = [a for a in ax.lines if a.get_marker() == "."]
    assert len(dots.get_xdata()) == 5


def test_climatology_by_day_of_a_leap_year(sst):
    clim = xr.DataArray(np.arange(1.0, 367), dims="dayofyear", coords={"dayofyear": np.arange(1, 367)})
    _, y = line(plot_series(sst, climatology=clim), "climatology")
    at = dict(zip(np.datetime_as_string(sst["time"].values, unit="D"), y, strict=True))
    assert at["2015-02-28"] == 59
    assert at["2016-02-29"] == 60
    assert at["2015-03-01"] == at["2016-03-01"] == 61
    assert at["2015-12-31"] == 366


def test_climatology_dataset_by_month_and_number(sst):
    clim = xr.Dataset({"mean": ("month", np.arange(1.0, 13)), "threshold": ("month", np.arange(2.0, 14))},
                      coords={"month": np.arange(1, 13)})  # fmt: skip
    ax = plot_series(sst, climatology=clim)
    assert line(ax, "climatology")[1][[0, 31, -1]].tolist() == [1, 2, 12]
    assert line(ax, "threshold")[1][[0, 31, -1]].tolist() == [2, 3, 13]
    assert set(line(plot_series(sst, threshold=17.5), "threshold")[1]) == {17.5}


def test_agrees_with_the_room_anomaly(sst):
    anomaly = pytest.importorskip("oceankit.anomaly")
    clim = anomaly.climatology(xr.concat([sst, sst.assign_coords(time=sst.time + np.timedelta64(731, "D"))], "time"),
                               period=("2015-01-01", "2018-12-31"))  # fmt: skip
    _, y = line(plot_series(sst, climatology=clim), "climatology")
    assert sst.values - y == pytest.approx(anomaly.anomalies(sst, clim).values, abs=1e-12)


def test_units_convert_every_line(sst):
    ax = plot_series(sst, threshold=17.0, climatology=sst.mean().item(), units="K")
    assert line(ax, "series")[1] == pytest.approx(sst.values + 273.15)
    assert line(ax, "threshold")[1][0] == pytest.approx(290.15)
    assert ax.get_ylabel() == "Sea surface temperature (K)"


def test_events_are_shaded_whole_days(sst):
    day = np.datetime64
    events = xr.Dataset({"start": ("event", [day("2015-01-10", "ns"), day("2016-07-01", "ns")]),
                         "end": ("event", [day("2015-01-20", "ns"), day("2016-07-05", "ns")]),
                         "intensity_max": ("event", [2.0, -1.5])})  # fmt: skip
    ax = plot_series(sst, events=events, threshold=16.0)
    spans = [p for p in ax.patches if p.get_gid() == "event"]
    assert [(s.get_x(), s.get_width()) for s in spans] == [
        (dates.date2num(day("2015-01-10")) - 0.5, 11.0),
        (dates.date2num(day("2016-07-01")) - 0.5, 5.0),
    ]
    assert {t.get_text() for t in ax.get_legend().get_texts()} >= {"Warm event", "Cold event", "Threshold"}
    assert spans[0].get_facecolor()[:3] != spans[1].get_facecolor()[:3]
    none = plot_series(sst, events=events.isel(event=slice(0, 0)))
    assert not none.patches


def test_calendar_of_360_days_is_shown_as_it_is():
    days = xr.date_range("2001-01-01", periods=720, calendar="360_day", use_cftime=True)
    series = xr.DataArray(np.arange(720.0), dims="time", coords={"time": days}, name="x")
    ax = plot_series(series)
    x, y = line(ax, "series")
    assert np.diff(x) == pytest.approx(1.0)
    assert "360_day" in ax.get_xlabel()
    labels = {t.get_text(): t.get_position()[0] for t in ax.get_xticklabels()}
    assert np.interp(labels["2002-01"], x, y) == 360
    with pytest.raises(ValueError, match="366 days does not fit the calendar 'noleap'|calendar '360_day'"):
        plot_series(series, events=xr.Dataset({"start": ("event", [np.datetime64("2001-01-01")]),
                                               "end": ("event", [np.datetime64("2001-01-02")])}))  # fmt: skip


def test_cftime_of_our_calendar_is_the_date_axis(sst):
    days = xr.date_range("2015-01-01", periods=sst.size, calendar="standard", use_cftime=True)
    x, _ = line(plot_series(sst.assign_coords(time=days)), "series")
    assert x == pytest.approx(dates.date2num(sst["time"].values))


def test_given_axes(sst):
    import matplotlib.pyplot as plt

    figure, ax = plt.subplots(figsize=(5, 2))
    assert plot_series(sst, ax=ax) is ax
    assert tuple(figure.get_size_inches()) == (5, 2)


def test_refusals(sst):
    with pytest.raises(ValueError, match=r"\.isel\(lat=0\)"):
        plot_series(sst.expand_dims(lat=3))
    with pytest.raises(ValueError, match="no time coordinate"):
        plot_series(sst.rename(time="step").drop_vars("step"))
    with pytest.raises(ValueError, match="xr.decode_cf"):
        plot_series(sst.assign_coords(time=np.arange(sst.size)))
    with pytest.raises(ValueError, match=r"\.sortby\('time'\)"):
        plot_series(sst[::-1])
    with pytest.raises(ValueError, match="no finite value"):
        plot_series(sst.where(False))
    with pytest.raises(ValueError, match="very times"):
        plot_series(sst, threshold=sst[:100])
    with pytest.raises(ValueError, match="very times"):
        plot_series(sst, threshold=sst.assign_coords(time=sst.time + np.timedelta64(1, "D")))
    with pytest.raises(ValueError, match="threshold is in 'K', but .* in '°C'"):
        plot_series(sst, threshold=sst.assign_attrs(units="K"))
    with pytest.raises(ValueError, match="365 days does not fit"):
        plot_series(sst, climatology=xr.DataArray(np.zeros(365), dims="dayofyear", coords={"dayofyear": range(1, 366)}))
    with pytest.raises(ValueError, match="events lack end"):
        plot_series(sst, events=xr.Dataset({"start": ("event", sst.time.values[:1])}))
    with pytest.raises(ValueError, match="no variable 'mean'"):
        plot_series(sst, climatology=xr.Dataset({"normal": 1.0}))
    with pytest.raises(ValueError, match="nan is not finite"):
        plot_series(sst, threshold=np.nan)


@pytest.fixture
def waves() -> xr.DataArray:
    months = xr.date_range("2006-04-01", periods=54, freq="MS", use_cftime=False)
    lon = np.arange(0.0, 360, 2)
    values = np.sin(np.radians(lon)[None] - np.arange(54)[:, None] / 6)
    coords = {"time": months, "lon": ("lon", lon, {"units": "degrees_east"})}
    attrs = {"long_name": "SST anomaly", "units": "K"}
    return xr.DataArray(values, dims=("time", "lon"), coords=coords, name="sst", attrs=attrs)


@pytest.mark.parametrize("order", [("time", "lon"), ("lon", "time")])
def test_hovmoller_time_runs_down_and_colours_diverge(waves, order, pixel):
    ax = plot_hovmoller(waves.transpose(*order), vmax=1)
    low, high = ax.get_ylim()
    assert low > high
    (mesh,) = [a for a in ax.get_children() if a.get_gid() == "field"]
    assert (mesh.norm.vmin, mesh.norm.vmax) == (-1, 1)
    assert mesh.cmap.name.endswith("balance")
    for lon, k in ((100.0, 3), (300.0, 40)):
        wanted = np.array(mesh.cmap(mesh.norm(float(waves.sel(lon=lon)[k])), bytes=True)[:3], int)
        found = pixel(ax, lon + 0.3, dates.date2num(waves.time.values[k]) + 3)
        assert np.abs(np.subtract(found, wanted)).max() <= 8
    assert "120°E" in [t.get_text() for t in ax.get_xticklabels()]


def test_hovmoller_skipped_months_stay_empty(waves):
    ax = plot_hovmoller(waves.drop_isel(time=[20, 21, 22]))
    (mesh,) = [a for a in ax.get_children() if a.get_gid() == "field"]
    rows = np.ma.getmaskarray(mesh.get_array()).all(axis=1)
    assert rows.sum() == 2
    edges = mesh.get_coordinates()[:, 0, 1]
    empty = np.flatnonzero(rows)
    # From half a month after the last month before the gap to half a month before the next.
    assert edges[empty[0]] == pytest.approx(dates.date2num(waves.time.values[19]) + 15.5, abs=1.0)
    assert edges[empty[-1] + 1] == pytest.approx(dates.date2num(waves.time.values[23]) - 15.5, abs=1.0)


def test_hovmoller_refusals(waves):
    with pytest.raises(ValueError, match=r"\.isel\(lat=0\)"):
        plot_hovmoller(waves.expand_dims(lat=3))
    with pytest.raises(ValueError, match="no 1-D longitude or latitude"):
        plot_hovmoller(waves.rename(lon="column").assign_coords(column=range(180)))
    with pytest.raises(ValueError, match="x='nothing' is no 1-D coordinate"):
        plot_hovmoller(waves, x="nothing")
    with pytest.raises(ValueError, match="needs 2 times and 2 columns or more"):
        plot_hovmoller(waves[:1])
    with pytest.raises(ValueError, match=r"\.sortby\('lon'\)"):
        plot_hovmoller(waves.isel(lon=[0, 5, 2]))
    renamed = plot_hovmoller(waves.rename(lon="column").assign_coords(column=range(180)), x="column")
    assert renamed.get_xlabel() == "column"
