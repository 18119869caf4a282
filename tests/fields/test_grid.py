"""Grids: kinds, corners, areas, and refusals that say what to do."""

import numpy as np
import pytest
import xarray as xr
from analytic import rotated_grid
from hypothesis import given, settings
from hypothesis import strategies as st

from oceankit.fields import CoordinateError, Grid, GridError
from oceankit.numerics.sphere import EARTH_RADIUS

SPHERE = 4 * np.pi * EARTH_RADIUS**2


def field(lon, lat, dims=("lat", "lon"), **attrs) -> xr.Dataset:
    lon, lat = np.asarray(lon, float), np.asarray(lat, float)
    return xr.Dataset(
        {"sst": (dims, np.zeros((lat.size, lon.size)))},
        coords={
            "lon": ("lon", lon, {"units": "degrees_east", **attrs}),
            "lat": ("lat", lat, {"units": "degrees_north"}),
        },
    )


@pytest.mark.parametrize("step", [0.5, 1.0, 7.5, 30.0])
@pytest.mark.parametrize("edges", ["great_circle", "latitude"])
def test_a_global_grid_has_the_area_of_the_sphere(step, edges):
    total = float(Grid.global_regular(step).area(edges=edges).sum())
    assert abs(total / SPHERE - 1) < 1e-12


@given(
    st.integers(3, 12), st.integers(2, 9), st.floats(-360, 360), st.booleans(), st.booleans(),
    st.lists(st.floats(0.05, 1), min_size=12, max_size=12),
)  # fmt: skip
@settings(max_examples=40, deadline=None)
def test_any_cover_of_the_sphere_has_its_area(nx, ny, west, descending, turned, sizes):
    """Uneven steps, any starting meridian, either direction of both axes."""
    widths = np.array(sizes[:nx])
    assert widths.size == nx
    widths = np.clip(widths / widths.sum(), None, 0.45)
    lon = west + 360 * np.concatenate([[0], np.cumsum(widths / widths.sum())])
    if np.diff(lon).max() >= 179:
        return
    lat = np.linspace(-90, 90, ny + 1)
    ds = xr.Dataset(
        coords={
            "lon": ("lon", (lon[:-1] + lon[1:]) / 2, {"units": "degrees_east", "bounds": "lon_bnds"}),
            "lat": ("lat", (lat[:-1] + lat[1:]) / 2, {"units": "degrees_north", "bounds": "lat_bnds"}),
            "lon_bnds": (("lon", "bnds"), np.stack([lon[:-1], lon[1:]], 1)),
            "lat_bnds": (("lat", "bnds"), np.stack([lat[:-1], lat[1:]], 1)),
        }
    )
    if descending:
        ds = ds.isel(lat=slice(None, None, -1))
    if turned:
        ds = ds.isel(lon=slice(None, None, -1))
    grid = Grid.from_dataset(ds)
    for edges in ("great_circle", "latitude"):
        assert abs(float(grid.area(edges=edges).sum()) / SPHERE - 1) < 1e-12


def test_regular():
    grid = Grid.regular(lon=(117, 127, 0.25), lat=(31, 41, 0.5))
    assert (grid.kind, grid.shape, grid.dims) == ("rectilinear", (20, 40), ("lat", "lon"))
    assert grid.lon.values[[0, -1]].tolist() == [117.125, 126.875]
    assert grid.corners["lat_bnds"].values[0].tolist() == [31.0, 31.5]
    assert not grid.periodic
    assert grid.mask is None


def test_global_regular():
    grid = Grid.global_regular(2.0)
    assert grid.shape == (90, 180)
    assert grid.periodic
    assert (grid.lon.values[0], grid.lon.values[-1], grid.lat.values[0]) == (1.0, 359.0, -89.0)


def test_points():
    grid = Grid.points([120.0, 121.0], [35.0, 36.0])
    assert (grid.kind, grid.shape) == ("points", (2,))
    with pytest.raises(GridError, match="bare list of points"):
        grid.area()


@pytest.mark.parametrize(
    ("lon", "periodic"),
    [
        (np.arange(0.5, 360), True), (np.arange(-179.5, 180), True), (np.arange(21, 380, 2), True),
        (np.arange(359.5, 0, -1), True), (np.arange(-17.6, 8, 0.667), False), (np.arange(300, 421, 1.0), False),
        (np.r_[np.arange(180.5, 360), np.arange(0.5, 180)], True), ([0.5, 325.5, 330.5, 335.5], False), ([5.0, 6.0], False),
    ],
)  # fmt: skip
def test_whether_an_axis_closes(lon, periodic):
    grid = Grid.from_dataset(field(lon, [-1, 0, 1]))
    assert grid.periodic == periodic
    if periodic:
        widths = np.abs(np.diff(grid.corners["lon_bnds"].values, axis=1))
        assert widths.sum() == pytest.approx(360)


def test_derived_corners_stop_at_the_poles():
    grid = Grid.from_dataset(field(np.arange(0, 360, 2.0), np.linspace(-90, 90, 91)))
    assert grid.corners["lat_bnds"].values[[0, -1]].tolist() == [[-90.0, -89.0], [89.0, 90.0]]
    assert abs(float(grid.area().sum()) / SPHERE - 1) < 1e-12


def test_corners_of_a_tilted_grid_derived_from_its_centres_are_near_the_true_ones():
    true = rotated_grid(40, 60)
    bare = Grid.from_dataset(xr.Dataset(coords=true.coords()))
    assert bare.kind == "curvilinear"
    assert bare.report()["corners"] == "derived"
    ratio = (bare.area() / true.area()).values
    assert abs(ratio - 1).max() < 2e-3


def test_eorca1_is_mended_and_reported(nemo):
    grid = Grid.from_dataset(nemo)
    report = grid.report()
    assert (grid.kind, grid.shape, grid.periodic) == ("curvilinear", (330, 360), True)
    assert report["corners"] == "given"
    assert 60 <= report["clockwise"] <= 100
    assert 15 <= report["bow_ties"] <= 25
    wet = np.isfinite(nemo["tos"].values[0])
    area = grid.area().values
    assert np.isfinite(area[wet]).all()
    assert (area[wet] > 0).all()
    # The sea is 70.8 % of the sphere, a little more where the model has ice shelves for land.
    assert area[wet].sum() / SPHERE == pytest.approx(0.70, abs=0.02)


def test_the_fold_of_eorca1_is_found(nemo):
    fold = Grid.from_dataset(nemo).topology.fold
    np.testing.assert_array_equal(fold, 359 - np.arange(360))


def test_halo_columns_are_told_from_cells(nemo):
    """With its two halo columns put back, as NEMO writes them, the grid is the same sea."""
    plain = Grid.from_dataset(nemo)
    haloed = xr.concat([nemo.isel(x=[-1]), nemo, nemo.isel(x=[0])], dim="x", data_vars="minimal")
    grid = Grid.from_dataset(haloed)
    assert grid.periodic
    assert grid.topology.halo[:, -2:].all()
    kept = ~grid.topology.halo
    assert kept.sum() == (~plain.topology.halo).sum()


def test_a_plane():
    ds = xr.Dataset({"h": (("y", "x"), np.zeros((3, 4)))}, coords={"x": [0.0, 1, 2, 3], "y": [0.0, 10, 20]})
    grid = Grid.from_dataset(ds)
    assert grid.planar
    assert float(grid.area().sum()) == pytest.approx(120.0)
    assert Grid.regular(x=(0, 10, 1), y=(0, 4, 2)).shape == (2, 10)


def test_rotated_pole_axes_are_turned(samples):
    crs = pytest.importorskip("cartopy.crs", reason="needs cartopy to compare with")
    with xr.open_dataset(samples / "rotated_pole.nc") as ds:
        grid = Grid.from_dataset(ds)
        mapping = ds["rotated_latitude_longitude"].attrs
        x, y = np.meshgrid(ds["grid_longitude"].values, ds["grid_latitude"].values)
    turned = crs.RotatedPole(mapping["grid_north_pole_longitude"], mapping["grid_north_pole_latitude"])
    lon, lat, _ = np.moveaxis(crs.Geodetic(turned.globe).transform_points(turned, x, y), -1, 0)
    assert grid.kind == "curvilinear"
    np.testing.assert_allclose(grid.lat.values, lat, atol=1e-4)
    np.testing.assert_allclose((grid.lon.values - lon + 180) % 360 - 180, 0, atol=1e-4)


def test_ugrid_faces(samples):
    with xr.open_dataset(samples / "mesh_C4_synthetic_float.nc") as ds:
        grid = Grid.from_dataset(ds)
    assert (grid.kind, grid.shape) == ("mesh", (96,))
    assert abs(float(grid.area().sum()) / SPHERE - 1) < 1e-12


def test_a_mask_by_name_and_by_array():
    ds = field([0, 1, 2], [0, 1])
    ds["sea"] = (("lat", "lon"), [[1, 0, 1], [1, 1, 0]])
    grid = Grid.from_dataset(ds, mask="sea")
    assert grid.mask.values.tolist() == [[True, False, True], [True, True, False]]
    assert Grid.from_dataset(ds, mask=ds["sea"].transpose()).mask.values.sum() == 4
    with pytest.raises(GridError, match="leaves no cell"):
        Grid.from_dataset(ds, mask=xr.zeros_like(ds["sea"]))
    with pytest.raises(GridError, match="dimensions"):
        Grid.from_dataset(ds, mask=ds["sea"].isel(lat=0))


def test_1e36_over_land_is_no_place(shared):
    ds = xr.open_dataset(next((shared / "data" / "mom6_pop_cmip").glob("tos_Omon_CESM2*.nc")), decode_times=False)
    grid = Grid.from_dataset(ds)
    assert grid.report()["without_place"] == 16016
    assert grid.used().sum() == grid.size - 16016


# ---- refusals -----------------------------------------------------------------------------------------------------


def test_unknown_coordinates():
    ds = xr.Dataset({"sst": (("a", "b"), np.zeros((2, 3)))}, coords={"a": [0, 1], "b": [0, 1, 2]})
    with pytest.raises(CoordinateError, match=r"no longitude and no latitude.*'a', 'b'.*lon="):
        Grid.from_dataset(ds)
    assert Grid.from_dataset(ds.assign_coords(a=[10.0, 11.0], b=[1.0, 2.0, 3.0]), lon="b", lat="a").shape == (2, 3)
    with pytest.raises(CoordinateError, match="no variable 'nav_lon'"):
        Grid.from_dataset(ds, lon="nav_lon", lat="a")


def test_wrong_units():
    ds = field([0, 1], [0, 1])
    ds["lon"].attrs = {"units": "m", "standard_name": "longitude"}
    with pytest.raises(CoordinateError, match=r"'lon'.*units are 'm'.*degrees_east"):
        Grid.from_dataset(ds)


def test_radians_are_turned_to_degrees():
    ds = xr.Dataset(coords={"lon": ("lon", [0.1, 0.2], {"units": "radian", "standard_name": "longitude"}),
                            "lat": ("lat", [0.3, 0.4], {"units": "radian", "standard_name": "latitude"})})  # fmt: skip
    np.testing.assert_allclose(Grid.from_dataset(ds).lon.values, np.degrees([0.1, 0.2]))


def test_a_latitude_beyond_the_pole():
    with pytest.raises(CoordinateError, match=r"'lat'.*91"):
        Grid.from_dataset(field([0, 1], [89, 91]))


def test_nan_in_an_axis():
    with pytest.raises(CoordinateError, match=r"'lon' holds 1 missing.*position 1"):
        Grid.from_dataset(field([0, np.nan, 2], [0, 1]))


def test_nan_in_curvilinear_coordinates_under_data():
    lon, lat = np.meshgrid([0.0, 1, 2], [0.0, 1])
    lon[1, 2] = np.nan
    coords = {"lon": (("y", "x"), lon), "lat": (("y", "x"), lat)}
    ds = xr.Dataset({"sst": (("y", "x"), np.ones((2, 3)))}, coords=coords)
    with pytest.raises(GridError, match=r"1 cells.*'sst' has data there.*\(1, 2\).*mask="):
        Grid.from_dataset(ds)
    dry = ds.assign(sst=ds["sst"].where(np.isfinite(lon)))
    assert Grid.from_dataset(dry).report()["without_place"] == 1


def test_masked_corners_under_data(nemo):
    broken = nemo.copy(deep=True)
    j, i = (int(k) for k in np.argwhere(np.isfinite(nemo["tos"].values[0]))[1000])
    broken["bounds_lat"][j, i, 2] = np.nan
    with pytest.raises(GridError, match=rf"corners.*'tos' has data there.*\({j}, {i}\)"):
        Grid.from_dataset(broken)


def test_an_axis_that_turns_or_repeats():
    with pytest.raises(GridError, match="'lat'.*neither rises nor falls"):
        Grid.from_dataset(field([0, 1], [0, 2, 1]))
    with pytest.raises(GridError, match="'lon'.*repeats"):
        Grid.from_dataset(field([0, 1, 1], [0, 1]))


def test_a_single_value_has_no_derived_corners():
    grid = Grid.from_dataset(field([0.0], [0, 1]))
    with pytest.raises(GridError, match=r"'lon' has a single value.*bounds"):
        grid.area()


def test_bounds_that_do_not_hold_their_centres():
    ds = field([0, 1, 2], [0, 1], bounds="lon_bnds")
    ds["lon_bnds"] = (("lon", "bnds"), [[5, 6], [6, 7], [7, 8.0]])
    ds["lat_bnds"] = (("lat", "bnds"), [[-0.5, 0.5], [0.5, 1.5]])
    with pytest.raises(GridError, match=r"bounds of 'lon' do not hold its centres: 0 at position 0"):
        Grid.from_dataset(ds)


def test_centres_that_are_no_grid():
    rng = np.random.default_rng(0)
    ds = xr.Dataset(
        coords={"lon": (("y", "x"), rng.uniform(0, 50, (9, 9))), "lat": (("y", "x"), rng.uniform(0, 50, (9, 9)))}
    )
    with pytest.raises(GridError, match="do not form a grid"):
        Grid.from_dataset(ds).area()


def test_trajectories_are_no_grid(shared):
    ds = xr.open_dataset(shared / "data" / "drifters_saildrone" / "barents.nc", decode_times=False)
    with pytest.raises(GridError, match="moving platforms"):
        Grid.from_dataset(ds)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"lon": (0, 10, 3), "lat": (0, 10, 1)}, "step of 3 does not divide 10"),
        ({"lon": (10, 0, 1), "lat": (0, 10, 1)}, "upper edge"),
        ({"lon": (0, 10, 1), "lat": (0, 100, 1)}, "between -90 and 90"),
        ({"lon": (0, 400, 1), "lat": (0, 10, 1)}, "more than once around"),
        ({"lon": (0, 10, 1)}, "either lon= and lat="),
        ({"lon": (0, 10), "lat": (0, 10, 1)}, "three numbers"),
    ],
)
def test_regular_grids_that_are_none(arguments, message):
    with pytest.raises(GridError, match=message):
        Grid.regular(**arguments)


def test_cells_too_wide_for_great_circles():
    grid = Grid.regular(lon=(0, 360, 180), lat=(-90, 90, 90))
    with pytest.raises(GridError, match="narrower than 180"):
        grid.area()
    assert abs(float(grid.area(edges="latitude").sum()) / SPHERE - 1) < 1e-12


def test_a_mask_goes_by_its_coordinates():
    ds = field([0, 1, 2], [0, 1])
    sea = xr.DataArray([[1, 0, 1], [1, 1, 1]], dims=("lat", "lon"), coords={"lat": [1.0, 0.0], "lon": [0.0, 1.0, 2.0]})
    assert Grid.from_dataset(ds, mask=sea).mask.values.tolist() == [[True, True, True], [True, False, True]]
    with pytest.raises(GridError, match="lies elsewhere along 'lat'"):
        Grid.from_dataset(ds, mask=sea.assign_coords(lat=[5.0, 6.0]))


def test_bounds_written_in_another_turn():
    ds = field([0.0, 10, 20], [0, 1], bounds="lon_bnds")
    ds["lon_bnds"] = (("lon", "bnds"), [[355.0, 5], [5, 15], [15, 25]])
    ds["lat_bnds"] = (("lat", "bnds"), [[-0.5, 0.5], [0.5, 1.5]])
    assert Grid.from_dataset(ds).corners["lon_bnds"].values[0].tolist() == [-5.0, 5.0]


def test_a_mesh_with_data_at_faces_alone(samples):
    with xr.open_dataset(samples / "mesh_C4_synthetic_float.nc") as ds:
        bare = ds.reset_coords()
        assert Grid.from_dataset(bare).location == "face"


@pytest.mark.parametrize("thing", ["file.nc", None, np.zeros((2, 2))])
def test_what_has_no_grid(thing):
    with pytest.raises(GridError, match=type(thing).__name__):
        Grid.from_dataset(thing)


def test_the_users_dataset_is_left_as_it_is():
    ds = field([0, 1, 2], [0, 1])
    before = dict(ds.encoding)
    Grid.from_dataset(ds)
    assert ds.encoding == before
