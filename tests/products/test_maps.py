"""A map shows each cell where it is and as large as it is, on any grid, and refuses what it cannot show."""

import numpy as np
import pytest
import xarray as xr

from oceankit._extras import MissingExtraError
from oceankit.products import _cells, _geo, plot_map

ccrs = pytest.importorskip("cartopy.crs", reason="needs the extra 'plot'")


def curvilinear(globe: xr.DataArray) -> xr.DataArray:
    """The same field with 2-D longitude and latitude, and nothing said of their order."""
    lon, lat = np.meshgrid(globe.lon, globe.lat)
    return xr.DataArray(
        globe.values,
        dims=("j", "i"),
        coords={"nav_lon": (("j", "i"), lon, {"units": "degrees_east"}),
                "nav_lat": (("j", "i"), lat, {"units": "degrees_north"})},
        name="tos",
        attrs=globe.attrs,
    )  # fmt: skip


def forms(globe: xr.DataArray) -> dict[str, xr.DataArray]:
    west = globe.assign_coords(lon=("lon", (globe.lon.values + 180) % 360 - 180, globe.lon.attrs))
    return {
        "0..360": globe,
        "-180..180": west.sortby("lon"),
        "jump at 180": west,
        "descending": globe.sortby("lat", ascending=False).sortby("lon", ascending=False),
        "transposed": globe.transpose("lon", "lat"),
        "extra dimension": globe.expand_dims(depth=[0.5]),
        "curvilinear": curvilinear(globe),
        "lazy": globe.chunk(lat=9),
    }


FORMS = ("0..360", "-180..180", "jump at 180", "descending", "transposed", "extra dimension", "curvilinear", "lazy")


@pytest.mark.parametrize("form", FORMS)
def test_same_picture_whatever_the_form(globe, form, artist):
    """The colour under a point depends on the place alone."""
    field = forms(globe)[form]
    ax = plot_map(field, projection=ccrs.Robinson(200), land=False, vmin=0, vmax=30, colorbar=False)
    ax.figure.set_size_inches(7, 3.5)
    ax.set_position([0.02, 0.02, 0.96, 0.96])
    ax.figure.canvas.draw()
    pixels = np.asarray(ax.figure.canvas.buffer_rgba())
    mesh = artist(ax, "field")
    for lon, lat in ((18.0, 2.0), (22.0, 2.0), (175.0, -42.0), (-2.0, 61.0), (357.0, -61.0), (-70.0, 22.0)):
        x, y = ax.transData.transform(ax.projection.transform_point(lon, lat, ccrs.PlateCarree()))
        value = float(globe.sel(lon=lon % 360, lat=lat, method="nearest"))
        wanted = np.array(mesh.cmap(mesh.norm(value), bytes=True)[:3], int)
        found = pixels[pixels.shape[0] - 1 - int(y), int(x), :3].astype(int)
        assert np.abs(found - wanted).max() <= 6, (lon, lat)


def test_tripolar_cells_are_whole_and_not_smeared(nemo):
    """NEMO eORCA1: every wet cell is drawn once, and none is wider than a cell."""
    ax = plot_map(nemo["tos"], land=False)
    on = _geo.view(ax)
    cells = _cells.cut(nemo["tos"].squeeze(), nemo["nav_lon"], nemo["nav_lat"])
    mesh = _cells.mesh(cells, on)
    wet = np.isfinite(cells.values)
    drawn = mesh.shown.copy()
    drawn.ravel()[mesh.owner] = True
    assert (drawn == wet).all()
    assert not mesh.shown.ravel()[mesh.owner].any()
    width = abs(np.diff(ax.get_xlim())[0])
    corner = np.stack([mesh.xy[:-1, :-1], mesh.xy[:-1, 1:], mesh.xy[1:, 1:], mesh.xy[1:, :-1]])
    # Beside the pole a cell of 50 km is many degrees of longitude wide, and truly so.
    usual = mesh.shown & (np.abs(cells.lat) < 87)
    assert usual.sum() > 0.99 * mesh.shown.sum()
    across = np.ptp(corner, axis=0)
    assert across[usual].max() < 0.02 * width
    assert across[mesh.shown][:, 1].max() < 0.02 * width
    pieces = [p for p, k in zip(mesh.polygons, mesh.owner, strict=True) if abs(cells.lat.ravel()[k]) < 87]
    assert max(np.ptp(p, axis=0).max() for p in pieces) < 0.02 * width
    assert len(mesh.polygons) > 100


def test_tripolar_values_lie_where_they_are(nemo, pixel):
    """Sampled at wet cell centres all over the globe: the fold, the seam at 20 E, the tropics."""
    ax = plot_map(nemo["tos"], land=False, vmin=-2, vmax=32, colorbar=False)
    mesh = next(a for a in ax.get_children() if a.get_gid() == "field")
    tos, lon, lat = nemo["tos"].squeeze().values, nemo["nav_lon"].values, nemo["nav_lat"].values
    ax.figure.canvas.draw()
    pixels = np.asarray(ax.figure.canvas.buffer_rgba()).astype(int)
    wet = np.argwhere(np.isfinite(tos) & (np.abs(lat) < 80))[::997]
    wrong = 0
    for j, i in wet:
        x, y = ax.transData.transform(ax.projection.transform_point(lon[j, i], lat[j, i], ccrs.PlateCarree()))
        wanted = np.array(mesh.cmap(mesh.norm(tos[j, i]), bytes=True)[:3], int)
        found = pixels[pixels.shape[0] - 1 - int(y), int(x), :3]
        # Grid lines cover a few of the points.
        wrong += np.abs(found - wanted).max() > 12
    assert len(wet) > 50
    assert wrong <= 0.1 * len(wet)


def test_seam_cells_tile_the_edge(globe):
    """On a map cut through the middle of a column both its pieces reach the edges and nothing overlaps them."""
    cells = _cells.cut(globe, globe["lon"], globe["lat"])
    on = _geo.View((22.0, 382.0, -90.0, 90.0), 22.0, None, True)
    mesh = _cells.mesh(cells, on)
    x = np.array([np.sort(p[:, 0])[[0, -1]] for p in mesh.polygons])
    assert len(x) == 2 * globe.sizes["lat"]
    assert {tuple(v) for v in x} == {(22.0, 25.0), (380.0, 382.0)}
    assert mesh.shown.sum() == np.isfinite(globe.values).sum() - globe.sizes["lat"]


def test_cell_around_the_pole_becomes_its_cap():
    lon, lat = np.meshgrid(np.arange(3.0), np.arange(3.0))
    # Nine centres around the north pole on a plane touching it.
    x, y = (lon - 1) * 0.02, (lat - 1) * 0.02
    field = xr.DataArray(np.ones((3, 3)), dims=("j", "i"))
    at = {"lon": np.degrees(np.arctan2(y, x)), "lat": 90 - np.degrees(np.hypot(x, y))}
    coords = {k: xr.DataArray(v, dims=("j", "i"), name=k) for k, v in at.items()}
    mesh = _cells.mesh(_cells.cut(field, coords["lon"], coords["lat"]), _geo.View((20, 380, 80, 90), 20.0, None, True))
    caps = [p for p in mesh.polygons if len(p) == 8]
    assert len(caps) == 1
    assert (caps[0][:, 0].min(), caps[0][:, 0].max(), caps[0][:, 1].max()) == (20.0, 380.0, 90.0)
    assert caps[0][:, 1].min() > 89.0


def test_values_without_a_position_are_refused_and_missing_ones_need_none(globe):
    field = curvilinear(globe)
    north = field["nav_lat"] >= 60
    lost = field.assign_coords(nav_lon=field["nav_lon"].where(~north))
    with pytest.raises(ValueError, match=r"'tos' has 432 values where 'nav_lon'.*mask them first"):
        plot_map(lost)
    cells = _cells.cut(lost.where(~north), lost["nav_lon"], lost["nav_lat"])
    mesh = _cells.mesh(cells, _geo.View((0, 360, -90, 90), 0.0, None, True))
    rows = np.flatnonzero(mesh.shown.any(axis=1))
    assert field["nav_lat"].values[rows, 0].max() < 60
    # The corners beside the missing centres are where they were.
    assert mesh.xy[rows.max() + 1, 1:-1, 1] == pytest.approx(60.0, abs=0.1)


def test_missing_values_and_land_look_different(globe, pixel):
    ax = plot_map(globe, projection="plain", title="", colorbar=False)
    hole, land = pixel(ax, 212.0, -34.7), pixel(ax, 100.0, 60.5)
    assert land == (0xD6, 0xD3, 0xCD)
    assert hole != land
    assert min(hole) > 180, "the hatch is light"


def test_global_is_robinson_and_a_region_is_plain_with_the_right_aspect(globe):
    assert isinstance(plot_map(globe, land=False).projection, ccrs.Robinson)
    ax = plot_map(globe.sel(lon=slice(100, 140), lat=slice(10, 50)), land=False)
    assert not _geo.is_geo(ax)
    assert ax.get_aspect() == pytest.approx(1 / np.cos(np.radians(30.0)))
    assert ax.get_xlim() == (100.0, 140.0)
    labels = [t.get_text() for t in ax.get_xticklabels()]
    assert "120°E" in labels


def test_region_across_the_date_line(globe, artist):
    west = globe.assign_coords(lon=("lon", (globe.lon.values + 180) % 360 - 180, globe.lon.attrs)).sortby("lon")
    ax = plot_map(west, extent=(150, -150, -30, 30), land=False)
    assert ax.get_xlim() == (150.0, 210.0)
    values = artist(ax, "field").get_array()
    assert values.shape[1] <= 14, "only the columns that are seen are drawn"
    assert [t.get_text() for t in ax.get_xticklabels()][-1].endswith("°W")


def test_given_axes_are_used(globe):
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3))
    before = len(plt.get_fignums())
    assert plot_map(globe, ax=right, land=False) is right
    assert len(plt.get_fignums()) == before
    assert tuple(figure.get_size_inches()) == (9, 3)
    assert not left.collections
    geo = plt.figure().add_subplot(projection=ccrs.Mollweide(0))
    assert plot_map(globe, ax=geo, land=False) is geo
    with pytest.raises(ValueError, match="both ax and projection"):
        plot_map(globe, ax=geo, projection=ccrs.Robinson())


def test_texts(globe, artist):
    ax = plot_map(globe, land=False, stamp="SYNTHETIC OBSERVATIONS", attribution="NEMO")
    assert ax.get_title(loc="left") == "Sea surface temperature"
    texts = [t.get_text() for t in ax.texts]
    assert "16 January 2015 12:00 UTC" in texts
    assert "NEMO" in texts
    assert artist(ax, "stamp").get_text() == "SYNTHETIC OBSERVATIONS"
    (bar,) = ax.child_axes
    assert bar.get_xlabel() == "°C"
    ax = plot_map(globe, land=False, title="January", subtitle="mean")
    assert ax.get_title(loc="left") == "January"
    assert ax.child_axes[0].get_xlabel() == "Sea surface temperature (°C)"


def test_nothing_is_cropped(globe):
    """All that is drawn lies on the figure, however long the texts are, and the figure fits the page."""
    for options in (
        {},
        {"projection": "plain", "title": "A title " * 20, "subtitle": "and more " * 30, "attribution": "here " * 9},
        {"extent": (100, 140, -20, 60), "title": "A title of two lines " * 4, "stamp": "SYNTHETIC"},
        {"extent": (0, 359, -5, 5)},
    ):
        figure = plot_map(globe, land=False, **options).figure
        figure.canvas.draw()
        box = figure.get_tightbbox()
        wide, high = figure.get_size_inches()
        assert box.x0 > -0.01, options
        assert box.y0 > -0.01, options
        assert box.x1 < wide + 0.01, options
        assert box.y1 < high + 0.01, options
        assert wide < 7.1
        assert high < 10.0


def test_observations_are_dots_and_counted(globe, artist):
    obs = xr.Dataset({"lon": ("obs", [-170.0, 175.0, 10.0]), "lat": ("obs", [0.0, 10.0, 0.0])})
    ax = plot_map(globe, extent=(150, -150, -30, 30), land=False, observations=obs)
    dots = artist(ax, "observations")
    assert dots.get_offsets().tolist() == [[190.0, 0.0], [175.0, 10.0]]
    assert ax.get_legend().get_texts()[0].get_text() == "2 observations"
    ax = plot_map(globe, land=False, observations=obs)
    assert len(artist(ax, "observations").get_offsets()) == 3


def test_contours_follow_the_field_and_break_at_the_seam(globe, artist):
    field = curvilinear(globe)
    ax = plot_map(globe, projection="plain", land=False, contours=field, contour_levels=[14.0])
    (path,) = artist(ax, "contours").get_paths()
    # 28 cos2(lat) = 14 at 45 degrees; linear between rows of 5 degrees.
    assert np.abs(path.vertices[:, 1]) == pytest.approx(45.0, abs=0.5)
    steps = np.abs(np.diff(path.vertices[:, 0]))
    assert steps[path.codes[1:] != 1].max() < 10


def test_log_scale_shows_zero_as_lowest_not_missing(globe, pixel):
    chl = (globe * 0.01).where(globe.lat > 0, 0.0)
    chl.attrs["standard_name"] = "mass_concentration_of_chlorophyll_in_sea_water"
    ax = plot_map(chl, projection="plain", land=False, title="", colorbar=False)
    mesh = next(a for a in ax.get_children() if a.get_gid() == "field")
    lowest = mesh.cmap(mesh.norm(mesh.norm.vmin), bytes=True)[:3]
    assert np.abs(np.subtract(pixel(ax, 231.0, -41.0), np.array(lowest, int))).max() <= 3


def test_no_network(globe, monkeypatch, tmp_path):
    def refused(*args, **kwargs):
        raise AssertionError("the network was asked")

    monkeypatch.setattr("socket.socket", refused)
    monkeypatch.setattr("urllib.request.urlopen", refused)
    figure = plot_map(globe).figure
    figure.savefig(tmp_path / "map.png")
    assert (tmp_path / "map.png").stat().st_size > 50_000


def test_times_of_other_calendars(globe):
    time = xr.date_range("2001-02-30", periods=1, calendar="360_day", use_cftime=True)
    field = globe.drop_vars("time").expand_dims(time=time)
    assert "30 February 2001" in [t.get_text() for t in plot_map(field, land=False).texts]


def test_refusals(globe):
    cube = globe.expand_dims(level=3, member=2)
    with pytest.raises(ValueError, match=r"'level': 3.*\.isel\(level=0, member=0\)"):
        plot_map(cube)
    with pytest.raises(ValueError, match=r"Dataset of \['tos'\]; pick one"):
        plot_map(globe.to_dataset())
    with pytest.raises(ValueError, match="ndarray"):
        plot_map(globe.values)
    with pytest.raises(ValueError, match="no longitude"):
        plot_map(globe.drop_vars("lon"))
    with pytest.raises(ValueError, match="grid of cells"):
        plot_map(globe.stack(cell=("lat", "lon")).reset_index("cell"))
    with pytest.raises(ValueError, match="no finite value"):
        plot_map(globe.where(False))
    with pytest.raises(ValueError, match=r"\.sortby\('lat'\)"):
        plot_map(globe.isel(lat=[0, 2, 1, 3]))
    with pytest.raises(ValueError, match="no cell centre of .*'tos'"):
        plot_map(globe.sel(lon=slice(100, 140)), extent=(-60, -20, 0, 30))
    for wrong in ((0, 10, 20), (0, 10, 20, 10), (0, 10, 0, np.nan), (0, 400, 0, 10)):
        with pytest.raises(ValueError, match="extent"):
            plot_map(globe, extent=wrong)
    with pytest.raises(ValueError, match="'robinson' must be"):
        plot_map(globe, projection="robinson")
    with pytest.raises(ValueError, match="one value each"):
        plot_map(globe.isel(lat=[3], lon=[3]))
    with pytest.raises(ValueError, match="colour; convert"):
        plot_map(globe.astype(str))


def test_no_figure_is_left_behind_by_a_refusal(globe):
    import matplotlib.pyplot as plt

    with pytest.raises(ValueError, match="no finite value"):
        plot_map(globe.where(False))
    with pytest.raises(ValueError, match="levels"):
        plot_map(globe, levels=[2, 1])
    assert plt.get_fignums() == []


def test_missing_cartopy_names_the_extra(globe, monkeypatch):
    import importlib

    real = importlib.import_module

    def absent(name, *args):
        if name.partition(".")[0] == "cartopy":
            raise ModuleNotFoundError(f"No module named {name!r}")
        return real(name, *args)

    monkeypatch.setattr("oceankit._extras.importlib.import_module", absent)
    with pytest.raises(MissingExtraError, match=r"'cartopy'.*pip install 'oceankit\[plot\]'"):
        plot_map(globe)
    assert plot_map(globe, projection="plain").get_title(loc="left")
