"""Heatwaves as they are drawn: what lies where, in which colour, in any calendar; flags on maps."""

import numpy as np
import pytest
import xarray as xr

from oceankit.anomaly import heatwave_days, heatwaves
from oceankit.products import colours_for, plot_heatwave, plot_heatwave_events, plot_hovmoller, plot_map

colors = pytest.importorskip("matplotlib.colors", reason="needs the extra 'plot'")

WARM = ("#ffc866", "#ff6900", "#9e0000", "#2d0000")
COLD = ("#c7ecf2", "#85b7cc", "#4a6a94", "#111433")
LEVELS = xr.Dataset({"mean": 15.0, "threshold": 16.0})


def series(*, calendar: str = "standard", sign: float = 1.0) -> xr.DataArray:
    """A quiet year but for an event that passes all levels, one of 6 days and one day that is no event."""
    time = xr.date_range("2015-01-01", periods=360, calendar=calendar, use_cftime=calendar != "standard")
    excess = np.zeros(360)
    excess[100:120] = 5.2 - 0.5 * np.abs(np.arange(20) - 10)
    excess[200:206], excess[300] = 1.5, 3.5
    return xr.DataArray(
        15 + sign * excess, dims="time", coords={"time": time, "lat": -43.125, "lon": 150.125}, name="sst",
        attrs={"long_name": "Sea surface temperature", "units": "degree_C"},
    )  # fmt: skip


def found(sst: xr.DataArray, *, cold: bool = False) -> xr.Dataset:
    return heatwaves(sst, levels(cold=cold), cold=cold)


def levels(*, cold: bool = False) -> xr.Dataset:
    return LEVELS.assign(threshold=14.0) if cold else LEVELS


def gids(ax) -> set[str]:
    return {a.get_gid() for a in ax.get_children() if a.get_gid()}


@pytest.mark.parametrize(("cold", "palette"), [(False, WARM), (True, COLD)])
def test_each_category_has_its_colour(cold, palette, artist, pixel):
    sst = series(sign=-1 if cold else 1)
    ax = plot_heatwave(sst, levels(cold=cold), cold=cold)
    sign = -1 if cold else 1
    day = np.datetime64("2015-01-01") + 110
    at = day.astype(int) + 0.3
    for n, colour in enumerate(palette, start=1):
        assert colors.to_hex(artist(ax, f"category-{n}").get_facecolor()[0]) == colour
        wanted = np.array(colors.to_rgb(colour)) * 255
        assert np.abs(np.subtract(pixel(ax, at, 15 + sign * (n + 0.5 if n < 4 else 4.4)), wanted)).max() <= 3
    x, y = artist(ax, "peak").get_data()
    assert (x[0], y[0]) == (day.astype(int), 15 + sign * 5.2)
    texts = " ".join(t.get_text() for t in ax.texts)
    assert ("\N{MINUS SIGN}5.2 °C" if cold else "+5.2 °C") in texts
    assert "21 April 2015" in texts
    assert "extreme" in texts
    assert {"level-2", "level-3", "level-4", "mean", "threshold", "series"} <= gids(ax)
    assert ax.get_title(loc="left").startswith("Cold spell of" if cold else "Heatwave of")


def test_only_days_of_events_are_coloured(pixel, artist):
    sst = series()
    ax = plot_heatwave(sst, LEVELS, found(sst), around=("2015-06", "2015-12"))
    assert "category-1" in gids(ax)
    fills = artist(ax, "category-1").get_paths()
    # Both events, one of them out of sight, and not the lone day of 28 October.
    assert len(fills) == 1
    assert ax.get_title(loc="left") == "Heatwave of 20 July 2015 to 25 July 2015"
    lone = np.datetime64("2015-01-01").astype(int) + 300
    assert pixel(ax, lone + 0.2, 16.5) == (255, 255, 255)
    assert "category-4" not in gids(ax)


def test_which_event_is_shown():
    sst = series()
    events = found(sst)
    assert events.sizes["event"] == 2
    strongest = plot_heatwave(sst, LEVELS, events, margin=20)
    assert strongest.get_xlim() == (np.datetime64("2015-03-24").astype(int), np.datetime64("2015-05-19").astype(int))
    second = plot_heatwave(sst, LEVELS, events, around=-1, margin=20)
    assert "6 days, moderate" in " ".join(t.get_text() for t in second.texts)
    dates = plot_heatwave(sst, LEVELS, events, around=("2015-02-10", "2015-11"))
    assert dates.get_title(loc="left") == "2 heatwaves"
    assert "43.125°S 150.125°E" in " ".join(t.get_text() for t in dates.texts)


@pytest.mark.parametrize("calendar", ["noleap", "360_day"])
def test_other_calendars(calendar):
    sst = series(calendar=calendar)
    ax = plot_heatwave(sst, LEVELS, found(sst), around=("2015-03", "2015-06"))
    assert calendar in ax.get_xlabel()
    plot_heatwave_events(found(sst))


def test_climatology_by_day_of_the_year(artist):
    sst = series()
    year = xr.DataArray(np.linspace(14, 15, 366), dims="dayofyear", coords={"dayofyear": np.arange(1, 367)})
    clim = xr.Dataset({"mean": year, "threshold": year + 1})
    ax = plot_heatwave(sst, clim, heatwaves(sst, clim, cold=False), margin=30)
    x, y = artist(ax, "mean").get_data()
    first = int(x[0] - np.datetime64("2015-01-01").astype(int))
    assert first > 59
    assert y == pytest.approx(year.values[first + 1 : first + 1 + y.size])  # after February of a common year


def test_sticks(artist):
    sst = series(sign=-1)
    events = found(sst, cold=True)
    ax = plot_heatwave_events(events, name=2)
    heads = artist(ax, "heads")
    assert sorted(heads.get_offsets()[:, 1]) == pytest.approx([-5.2, -1.5])
    assert {colors.to_hex(c) for c in heads.get_facecolors()} == {COLD[0], COLD[3]}
    assert {t.get_text() for t in ax.texts} >= {"21 April 2015", "20 July 2015"}
    assert ax.get_ylim()[1] == 0
    longer = plot_heatwave_events(events, by="duration", name=0)
    assert longer.get_ylabel() == "Duration (days)"
    assert longer.get_ylim()[0] == 0
    assert "21 April 2015" not in {t.get_text() for t in longer.texts}


def test_given_axes():
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(2, 1, figsize=(5, 6))
    sst = series()
    assert plot_heatwave(sst, LEVELS, found(sst), ax=axes[0], title="a", subtitle="b", stamp="SYNTHETIC") is axes[0]
    assert plot_heatwave_events(found(sst), ax=axes[1], attribution="x") is axes[1]
    assert tuple(figure.get_size_inches()) == (5, 6)


def test_refusals():
    sst = series()
    events = found(sst)
    with pytest.raises(ValueError, match="threshold is never passed"):
        plot_heatwave(sst, LEVELS, events.isel(event=slice(0)))
    with pytest.raises(ValueError, match="pass cold=False"):
        plot_heatwave(sst, LEVELS)
    with pytest.raises(ValueError, match="no position of an event; there are 2"):
        plot_heatwave(sst, LEVELS, events, around=2)
    for wrong in ("2015", ("2015",), True):
        with pytest.raises(ValueError, match="must be the position of an event"):
            plot_heatwave(sst, LEVELS, events, around=wrong)
    with pytest.raises(ValueError, match="holds no time"):
        plot_heatwave(sst, LEVELS, events, around=("1999", "2000"))
    with pytest.raises(ValueError, match="has no value from"):
        plot_heatwave(sst.where(sst.time.dt.month != 2), LEVELS, events, around=("2015-02-02", "2015-02-20"))
    with pytest.raises(ValueError, match=r"\.isel\(x=0\)"):
        plot_heatwave(sst.expand_dims(x=2), LEVELS, events)
    with pytest.raises(ValueError, match="select the cell"):
        plot_heatwave(sst, LEVELS.expand_dims(x=2), events)
    with pytest.raises(ValueError, match="no variable 'threshold'"):
        plot_heatwave(sst, LEVELS.drop_vars("threshold"), events)
    kelvin = LEVELS.assign(mean=LEVELS["mean"].assign_attrs(units="K"))
    with pytest.raises(ValueError, match="climatology is in 'K', but .* in '°C'"):
        plot_heatwave(sst, kelvin, events)
    with pytest.raises(ValueError, match="lack 'category'"):
        plot_heatwave(sst, LEVELS, events.drop_vars("category"))
    with pytest.raises(ValueError, match="lack 'strength'"):
        plot_heatwave_events(events, by="strength")
    with pytest.raises(ValueError, match="by='start' holds datetime64"):
        plot_heatwave_events(events, by="start")
    several = events.assign(cell=("event", [0, 3]))
    with pytest.raises(ValueError, match=r"of 2 cells; take those of one: events.isel\(event=\(events.cell == 0\)"):
        plot_heatwave_events(several)


def categories(sign: float = 1.0) -> xr.DataArray:
    """Category of the days on 2 x 3 cells."""
    strength = xr.DataArray(
        [[0.0, 0.3, 0.5], [0.7, 1.0, 1.0]], dims=("lat", "lon"), coords={"lat": [0, 1], "lon": [0, 1, 2]}
    )
    sst = 15 + (series(sign=sign).drop_vars(["lat", "lon"]) - 15) * strength
    return heatwave_days(sst, levels(cold=sign < 0), cold=sign < 0)


@pytest.mark.parametrize(("sign", "palette"), [(1.0, WARM), (-1.0, COLD)])
def test_map_of_categories(sign, palette, artist):
    day = categories(sign).isel(time=110)
    assert day.values.tolist() == [[0, 1, 2], [3, 4, 4]]
    ax = plot_map(day, land=False)
    mesh = artist(ax, "field")
    drawn = [colors.to_hex(c) for c in mesh.cmap(mesh.norm(np.arange(5)))]
    assert drawn[1:] == list(palette)
    assert drawn[0] not in palette
    (bar,) = ax.child_axes
    labels = [t.get_text() for t in (bar.get_xticklabels() or bar.get_yticklabels())]
    assert labels == ["None", "Moderate", "Strong", "Severe", "Extreme"]
    over_time = categories(sign)[:, 0].isel(time=slice(95, 125))
    assert plot_hovmoller(over_time).child_axes


def test_flags_of_any_kind():
    attrs = {"flag_values": np.array([4, 1, 9], np.int8), "flag_meanings": "bad good missing_data"}
    colours = colours_for(xr.DataArray([1, 4, 9, 9], dims="x", attrs=attrs))
    assert colours.names == ("good", "bad", "missing data")
    assert len({colours.norm(v) for v in (1, 4, 9)}) == 3
    assert colours.cmap.N == 3
    many = {"flag_values": np.arange(12), "flag_meanings": " ".join("abcdefghijkl")}
    assert colours_for(xr.DataArray(np.arange(12.0), dims="x", attrs=many)).cmap.N == 12
    assert colours_for(xr.DataArray([1, 4], dims="x", attrs=attrs), cmap="viridis").names == colours.names
    one = colours_for(xr.DataArray([3], dims="x", attrs={"flag_values": 3, "flag_meanings": "only"}))
    assert one.names == ("only",)
    # Means of flags are numbers, and so are flags with limits.
    assert colours_for(xr.DataArray([1.5, 4], dims="x", attrs=attrs)).names == ()
    assert colours_for(xr.DataArray([1, 4], dims="x", attrs=attrs), vmin=0, vmax=5).names == ()
