"""Land is where it is, whatever turn of the globe the map is on, and without a network."""

import numpy as np
import pytest

from oceankit._extras import MissingExtraError
from oceankit.products import coastlines
from oceankit.products.coastlines import add_land, coast

shapely = pytest.importorskip("shapely", reason="needs the extra 'plot'")

# name, longitude, latitude, land
PLACES = [
    ("Qingdao, inland", 120.0, 36.6, True),
    ("the Yellow Sea", 123.5, 35.5, False),
    ("Tasmania", 146.6, -42.2, True),
    ("Bass Strait", 146.0, -39.9, False),
    ("the Caspian Sea", 51.0, 41.5, False),
    ("the Black Sea", 34.0, 43.2, False),
    ("Chukotka, across 180", -179.0, 67.5, True),
    ("the Bering Sea", -178.0, 58.0, False),
    ("Antarctica at 0", 0.0, -80.0, True),
    ("Antarctica at 180", 180.0, -85.0, True),
    ("the South Pole", 40.0, -89.9, True),
    ("the North Pole", 0.0, 89.0, False),
    ("Greenwich", 0.0, 51.4, True),
    ("the Gulf of Guinea", 0.0, 2.0, False),
    ("Hawaii", -155.5, 19.6, True),
]


@pytest.mark.parametrize("west", [-180.0, 0.0, 20.0, -500.0])
@pytest.mark.parametrize(("name", "lon", "lat", "land"), PLACES)
def test_land_on_any_turn_of_the_globe(west, name, lon, lat, land):
    shapes = coast(west, west + 360, -90, 90)
    turned = west + (lon - west) % 360
    # A point on the very seam has the map's edge beside it.
    turned += 1e-3 if turned == west else 0
    found = bool(shapely.contains_xy(shapely.get_parts(shapes.land), turned, lat).any())
    assert found is land, name


@pytest.mark.parametrize("resolution", ["crude", "low", "intermediate"])
def test_resolutions_agree_on_large_things(resolution):
    shapes = coast(110, 150, -45, 45, resolution=resolution)
    parts = shapely.get_parts(shapes.land)
    for lon, lat, land in ((120.0, 36.6, True), (123.5, 35.5, False), (146.6, -42.2, True), (135.0, -25.0, True)):
        assert shapely.contains_xy(parts, lon, lat).any() == land


def test_finer_resolution_has_more_shore():
    length = [shapely.length(coast(117, 127, 33, 41, resolution=r).lines) for r in ("crude", "low", "intermediate")]
    assert length[0] < length[1] < length[2]


def test_area_of_land_is_known():
    shapes = coast(-180, 180, -90, 90)
    # Degrees weighted by the cosine of latitude: 29 % of the globe is land (with the ice shelves; Caspian as water).
    lon, lat = np.meshgrid(np.arange(-179.5, 180, 2), np.arange(-89.5, 90, 2))
    land = np.zeros(lon.shape, bool)
    for part in shapely.get_parts(shapes.land):
        west, south, east, north = part.bounds
        near = (lon > west) & (lon < east) & (lat > south) & (lat < north)
        shapely.prepare(part)
        land[near] |= shapely.contains_xy(part, lon[near], lat[near])
    weight = np.cos(np.radians(lat))
    assert (land * weight).sum() / weight.sum() == pytest.approx(0.292, abs=0.008)


@pytest.mark.parametrize("west", [-180.0, 20.0])
def test_no_line_runs_along_a_cut(west):
    xy, owner = shapely.get_coordinates(shapely.get_parts(coast(west, west + 360, -90, 90).lines), return_index=True)
    inside = owner[1:] == owner[:-1]
    a, b = xy[:-1][inside], xy[1:][inside]
    for meridian in (180.0, 0.0, west, west + 360, -180.0):
        along = (a[:, 0] == meridian) & (b[:, 0] == meridian) & (np.abs(a[:, 1] - b[:, 1]) > 0.5)
        assert not along.any(), meridian
    assert xy[:, 1].min() > -86


@pytest.mark.parametrize("kind", ["plain", "robinson", "mercator", "polar"])
def test_drawn_land_by_pixels(kind, monkeypatch):
    """What is printed at a place is land-coloured where there is land, on every kind of axes, with no network."""
    import cartopy.crs as ccrs
    import matplotlib.pyplot as plt

    monkeypatch.setattr("socket.socket", _refused)
    projection = {"plain": None, "robinson": ccrs.Robinson(200), "mercator": ccrs.Mercator(150),
                  "polar": ccrs.NorthPolarStereo(100)}[kind]  # fmt: skip
    figure = plt.figure(figsize=(8, 8), dpi=150)
    ax = figure.add_axes((0, 0, 1, 1), projection=projection)
    if projection is None:
        ax.set(xlim=(20, 380), ylim=(-90, 90))
    else:
        ax.set_global()
    if kind == "polar":
        ax.set(xlim=(-9e6, 9e6), ylim=(-9e6, 9e6))
    ax.patch.set_facecolor("white")
    add_land(ax, facecolor="#00ff00", lakecolor="white", edgecolor="#00ff00", linewidth=0)
    figure.canvas.draw()
    pixels = np.asarray(figure.canvas.buffer_rgba())
    places = {
        "Qingdao": (119.5, 36.6, True),
        "Yellow Sea": (123.5, 35.5, False),
        "Caspian": (51.0, 41.5, False),
        "Siberia": (179.0, 67.8, True),
        "Pacific": (-160.0, 35.0, False),
        "Greenland": (-40.0, 70.0, True),
    }
    for name, (lon, lat, land) in places.items():
        if projection is None:
            point = (20 + (lon - 20) % 360, lat)
        else:
            point = projection.transform_point(lon, lat, ccrs.PlateCarree())
        x, y = ax.transData.transform(point)
        red, green, blue, _ = pixels[pixels.shape[0] - 1 - int(y), int(x)]
        assert ((red, green, blue) == (0, 255, 0)) is land, (name, red, green, blue)


def _refused(*args, **kwargs):
    raise AssertionError("the network was asked")


def test_missing_package_names_the_extra(monkeypatch):
    monkeypatch.setattr(coastlines, "_PACKAGES", ("no_such_package_of_coasts",))
    with pytest.raises(MissingExtraError, match=r"oceankit\[plot\]"):
        coast(0, 10, 0, 10)


@pytest.mark.parametrize("box", [(10, 0, 0, 10), (0, 400, 0, 10), (0, 10, 10, 0), (0, 10, -95, 0), (0, np.nan, 0, 1)])
def test_region_that_is_none(box):
    with pytest.raises(ValueError, match="west < east"):
        coast(*box)


def test_resolution_not_installed():
    with pytest.raises(ValueError, match="'huge' is not installed; there are crude"):
        coast(0, 10, 0, 10, resolution="huge")


def test_plain_axes_without_degrees():
    import matplotlib.pyplot as plt

    ax = plt.figure().add_subplot()
    ax.set(xlim=(0, 1000), ylim=(2000, 3000))
    with pytest.raises(ValueError, match="no latitudes"):
        add_land(ax)
