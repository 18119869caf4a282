"""Vectors: rotations stay rotations, angles are those of the models, staggered components meet at the centres."""

import dask
import numpy as np
import pytest
import xarray as xr
from analytic import rotated_grid
from hypothesis import given, settings
from hypothesis import strategies as st

from oceankit.fields import Grid, GridError
from oceankit.numerics.sphere import lonlat, unit_vectors
from oceankit.regridding import METHODS, Regridder, VectorRegridder, grid_angle, regrid_vectors, rotate, to_centres
from oceankit.regridding import _vector_kernels as kernels
from oceankit.regridding._components import VectorError
from oceankit.regridding.angles import place_axes

AXES = {"z": (0.0, 0.0, 1.0), "x": (1.0, 0.0, 0.0), "y": (0.0, 1.0, 0.0), "tilted": (0.4, -0.8, 0.45)}
each_axis = pytest.mark.parametrize("axis", AXES.values(), ids=AXES)


def compass(grid):
    lon, lat = grid.lon.values, grid.lat.values
    if grid.kind == "rectilinear":
        lon, lat = np.meshgrid(lon, lat)
    return place_axes(lon, lat)


def as_components(grid, vectors):
    """East and north of vectors in space (*shape, 3)."""
    return tuple(
        xr.DataArray((vectors * a).sum(axis=-1), dims=grid.dims, coords=grid.coords(), name=name)
        for a, name in zip(compass(grid), ("u", "v"), strict=True)
    )


def rotation(grid, axis):
    """A solid-body rotation about ``axis``, of speed one at its equator, as east and north."""
    unit = np.asarray(axis) / np.linalg.norm(axis)
    return as_components(grid, np.cross(unit, grid.centres().reshape(*grid.shape, 3)))


def largest_error(found, exact):
    return float(np.hypot(found[0] - exact[0], found[1] - exact[1]).max())


def polar_grid(n=31, reach=12.0, sign=1):
    """A curvilinear grid with its middle on a pole."""
    x, y = np.meshgrid(np.linspace(-reach, reach, n), np.linspace(-reach, reach, n))
    lon, lat = np.degrees(np.arctan2(x, -y)), sign * (90.0 - np.hypot(x, y))
    coords = {"lon": (("y", "x"), lon, {"units": "degrees_east"}), "lat": (("y", "x"), lat, {"units": "degrees_north"})}
    return Grid.from_dataset(xr.Dataset(coords=coords))


# ---- a rotation stays one -------------------------------------------------------------------------------------------


@each_axis
@pytest.mark.parametrize("target", [1.0, polar_grid()], ids=["1 degree", "polar"])
def test_a_rotation_stays_one_from_eorca1(nemo, axis, target):
    """To 1e-6 of the speed at its equator (measured: 1e-15)."""
    regridder = VectorRegridder(nemo, target, "bilinear")
    found = regridder(*rotation(regridder.source, axis))
    assert float(found[0].notnull().mean()) > 0.96
    assert largest_error(found, rotation(regridder.target, axis)) < 1e-12


@each_axis
@pytest.mark.parametrize("sign", [1, -1], ids=["north", "south"])
@pytest.mark.parametrize("step", [1.0, 5.0])
def test_a_rotation_stays_one_across_the_pole(axis, sign, step):
    source, target = Grid.global_regular(step), polar_grid(sign=sign)
    found = regrid_vectors(*rotation(source, axis), target, "bilinear")
    assert found[0].notnull().all()
    assert largest_error(found, rotation(target, axis)) < 1e-12


@pytest.mark.skipif("bicubic" not in METHODS, reason="bicubic is yet to come")
@each_axis
def test_a_rotation_stays_one_by_bicubic(nemo, axis):
    for source, target in ((Grid.global_regular(1.0), polar_grid()), (nemo, Grid.global_regular(1.0))):
        regridder = VectorRegridder(source, target, "bicubic")
        assert largest_error(regridder(*rotation(regridder.source, axis)), rotation(target, axis)) < 1e-6


@each_axis
def test_a_rotation_stays_one_in_float32(nemo, axis):
    regridder = VectorRegridder(nemo, 1.0)
    found = regridder(*(c.astype(np.float32) for c in rotation(regridder.source, axis)))
    assert found[0].dtype == found[1].dtype == np.float32
    assert largest_error(found, rotation(regridder.target, axis)) < 1e-6


@each_axis
def test_a_rotation_stays_one_in_clean_water(nemo, axis):
    """Where no source is missing; at coasts vectors are of first order, as scalars are."""
    wet = nemo["tos"].squeeze(drop=True).notnull()
    regridder = VectorRegridder(nemo, 1.0, skipna=False)
    source = [c.where(wet.values) for c in rotation(regridder.source, axis)]
    found = regridder(*source)
    assert 0.6 < float(found[0].notnull().mean()) < 0.7
    assert largest_error(found, rotation(regridder.target, axis)) < 1e-12
    more = VectorRegridder(nemo, 1.0)(*source)
    assert int(more[0].notnull().sum()) > int(found[0].notnull().sum())
    assert largest_error(more, rotation(regridder.target, axis)) < np.radians(1.0)


def test_only_the_curvature_is_mended_by_first_order_methods():
    """The error of a rotation is the distance between the target and where the source's weights lie."""
    source, target, axis = Grid.global_regular(1.0), Grid.global_regular(0.75), AXES["tilted"]
    for method in ("nearest", "conservative"):
        error = largest_error(regrid_vectors(*rotation(source, axis), target, method), rotation(target, axis))
        assert 1e-3 < error < np.radians(1.0)


@pytest.mark.parametrize("method", [m for m in METHODS if m in ("bicubic", "conservative2")])
def test_higher_methods_are_better(method):
    axis, errors = AXES["tilted"], []
    for step in (4.0, 2.0):
        source, target = Grid.global_regular(step), Grid.global_regular(step * 0.75)
        found = regrid_vectors(*rotation(source, axis), target, method)
        errors.append(float(np.hypot(*(a - b for a, b in zip(found, rotation(target, axis), strict=True))).mean()))
    assert np.log2(errors[0] / errors[1]) > 1.7


@given(
    st.floats(20, 90), st.floats(-180, 180), st.tuples(*[st.floats(-1, 1)] * 3).filter(lambda a: max(map(abs, a)) > 0.1)
)
@settings(max_examples=20, deadline=None)
def test_a_rotation_stays_one_from_any_tilted_grid(tilt, turn, axis):
    source = rotated_grid(15, 25, pole=(tilt, turn))
    lon, lat = (c.values[2:-2, 2:-2].ravel() for c in (source.lon, source.lat))
    target = Grid.points(lon + 0.3, np.clip(lat + 0.2, -90, 90))
    found = regrid_vectors(*rotation(source, axis), target, "bilinear")
    assert largest_error(found, rotation(target, axis)) < 1e-12


@pytest.mark.parametrize(
    "lat", [np.arange(90.0, -91, -2), np.arange(-89.0, 90, 2)], ids=["rows on the poles", "rows before them"]
)
def test_values_at_the_poles_themselves(lat):
    """Along the axes of the longitude that the target gives its pole."""
    source = Grid.from_dataset(xr.Dataset(coords={"lat": lat, "lon": np.arange(-180.0, 180, 2)}))
    for target in (Grid.points([0.0, 77.0, -120.0], [90.0, 90.0, -90.0]), Grid.points([10.0], [89.5])):
        for axis in AXES.values():
            found = regrid_vectors(*rotation(source, axis), target, "bilinear")
            assert largest_error(found, rotation(target, axis)) < 1e-12


def test_without_closing_the_cap():
    source, target = Grid.global_regular(2.0), Grid.points([5.0, 5.0], [89.5, 88.0])
    u, v = regrid_vectors(*rotation(source, AXES["x"]), target, "bilinear", pole=None)
    assert u.isnull().values.tolist() == v.isnull().values.tolist() == [True, False]


def test_the_same_targets_as_for_scalars():
    """At the edges of a region, where great circles leave the parallels, too; whatever the order of rows and columns."""
    source = Grid.regular(lon=(170, 200, 1), lat=(30, 75, 1))
    target = Grid.from_dataset(
        xr.Dataset(coords={"lat": np.arange(30.5, 74.6, 0.25), "lon": np.arange(168.0, 202, 0.25)})
    )
    u, v = rotation(source, AXES["tilted"])
    scalar = Regridder(source, target, "bilinear")(u)
    split = np.r_[15:30, 0:15]
    turned = [
        c.isel(lat=slice(None, None, -1), lon=split).assign_coords(lon=(c.lon.values[split] + 180) % 360 - 180)
        for c in (u, v)
    ]
    for pair in ((u, v), turned):
        found = regrid_vectors(*pair, target, "bilinear")
        np.testing.assert_array_equal(found[0].notnull(), scalar.notnull())
        inside = [c.isel(lat=slice(1, -1)) for c in found]
        exact = [c.isel(lat=slice(1, -1)) for c in rotation(target, AXES["tilted"])]
        assert largest_error(inside, exact) < 1e-12


def test_nearest_keeps_the_speed():
    rng = np.random.default_rng(3)
    source = Grid.global_regular(5.0)
    u, v = (xr.DataArray(rng.normal(size=source.shape), dims=source.dims, coords=source.coords()) for _ in "uv")
    east, north = regrid_vectors(u, v, polar_grid(), "nearest")
    speed = Regridder(source, polar_grid(), "nearest")(np.hypot(u, v))
    np.testing.assert_allclose(np.hypot(east, north), speed, rtol=1e-12)


def test_a_jet_over_the_pole_is_better_than_by_components():
    """A straight flow across the pole: component by component it is lost near the pole, in space it is kept."""
    source, target = Grid.global_regular(1.0), polar_grid(n=41, reach=5.0)

    def jet(grid):
        r = grid.centres().reshape(*grid.shape, 3)
        flow = np.array([1.0, 0.0, 0.0]) * np.exp(-((r[..., 1:2] / 0.05) ** 2))
        return as_components(grid, flow - (flow * r).sum(axis=-1, keepdims=True) * r)

    exact, alone = jet(target), Regridder(source, target, "bilinear")
    # Bilinear interpolation of a Gaussian of this width is 0.03 too low at its ridge.
    assert largest_error(regrid_vectors(*jet(source), target, "bilinear"), exact) < 0.03
    assert largest_error([alone(c) for c in jet(source)], exact) > 0.5


# ---- angles ---------------------------------------------------------------------------------------------------------


def test_the_angle_of_a_rotated_pole_is_the_analytic_one():
    """Through spherical trigonometry: the direction in which the grid's own parallels run."""
    errors = []
    for n in (20, 40):
        grid = rotated_grid(n, n, lon=(-30, 30), lat=(-60, 20), pole=(40.0, 160.0))
        angle = grid_angle(grid)
        # Along its parallels a rotated grid turns about the axis through its own north pole.
        axis = unit_vectors(160.0, 40.0)
        east, north = rotation(grid, axis)
        apart = np.angle(np.exp(1j * (angle.values - np.arctan2(north.values, east.values))))
        assert np.abs(apart[:, 1:-1]).max() < 1e-12
        errors.append(np.abs(apart).max())
    # At open edges, where neighbours are on one side alone.
    assert errors[1] < 1e-3
    assert np.log2(errors[0] / errors[1]) > 1.8
    assert angle.attrs["units"] == "radian"


@pytest.mark.parametrize(("file", "most"), [("roms/WCOFS_subset.nc", 2e-7), ("roms/Nordic_subset.nc", 6e-3)])
def test_the_angle_of_roms(shared, file, most):
    """The positions of the Nordic file have kinks of some metres, the angle follows them."""
    with xr.open_dataset(shared / "data" / file, decode_times=False) as ds:
        angle = grid_angle(Grid.from_dataset(ds, lon="lon_rho", lat="lat_rho"))
        assert float(np.abs(ds["angle"]).min()) > 0.2
        assert float(np.abs(angle - ds["angle"].values).max()) < most


def test_the_angle_of_nemo(shared):
    """From T points alone, against the direction between the V points north and south of them and between the F points."""
    with xr.open_dataset(shared / "data/nemo_orca025_northsea/coordinates.nc", decode_times=False) as ds:
        ds = ds.squeeze().load()
    angle = grid_angle(Grid.from_dataset(ds, lon="glamt", lat="gphit")).values[1:, 1:]
    east, north = place_axes(ds["glamt"].values[1:, 1:], ds["gphit"].values[1:, 1:])
    v, f = (unit_vectors(ds[f"glam{p}"].values, ds[f"gphi{p}"].values) for p in "vf")
    along = v[1:, 1:] - v[:-1, 1:]
    across = f[1:, 1:] + f[:-1, 1:] - f[1:, :-1] - f[:-1, :-1]
    second = np.arctan2((along * north).sum(axis=-1), (along * east).sum(axis=-1)) - np.pi / 2
    first = np.arctan2((across * north).sum(axis=-1), (across * east).sum(axis=-1))
    assert np.abs(first).max() > 0.7
    for theirs in (first, second):
        assert np.abs(np.angle(np.exp(1j * (angle - theirs)))).max() < 2e-4


def test_the_angle_of_eorca1_is_that_of_its_corners(nemo):
    """At every wet cell, those at the seam, the fold and next to the pole too."""
    grid = Grid.from_dataset(nemo)
    wet = nemo["tos"].squeeze().notnull().values
    angle = grid_angle(grid).values
    points = grid.centres().reshape(*grid.shape, 3)
    corners = unit_vectors(nemo["bounds_lon"].values, nemo["bounds_lat"].values)
    # The two corners nearest to the next centre are those of the eastern face.
    order = np.argsort(np.linalg.norm(corners - np.roll(points, -1, axis=1)[:, :, None], axis=-1), axis=-1)
    ahead, behind = (
        np.take_along_axis(corners, k[..., None], 2).mean(axis=2) for k in (order[..., :2], order[..., 2:])
    )
    east, north = compass(grid)
    theirs = np.arctan2(((ahead - behind) * north).sum(axis=-1), ((ahead - behind) * east).sum(axis=-1))
    assert np.abs(np.angle(np.exp(1j * (angle - theirs))))[wet].max() < 5e-4


def test_angles_there_and_then_none():
    assert (grid_angle(Grid.global_regular(30.0)) == 0).all()
    with pytest.raises(GridError, match="no rows and columns"):
        grid_angle(Grid.points([0.0, 1.0], [0.0, 1.0]))


def test_on_a_fold_the_other_axis_serves():
    """A row that turns back on itself has no direction at the turn."""
    x = np.array([-2.0, -1.0, 0.0, -1.0, -2.0])
    lon, lat = np.meshgrid(x, np.arange(4.0))
    angle = grid_angle(Grid.from_dataset(_curvilinear(lon, lat)))
    np.testing.assert_allclose(np.abs(angle.values[1:3]), [[0, 0, 0, np.pi, np.pi]] * 2, atol=1e-3)


def _curvilinear(lon, lat):
    coords = {"lon": (("y", "x"), lon, {"units": "degrees_east"}), "lat": (("y", "x"), lat, {"units": "degrees_north"})}
    return xr.Dataset(coords=coords)


# ---- rotation -------------------------------------------------------------------------------------------------------


@given(st.integers(0, 10_000), st.floats(-10, 10))
@settings(max_examples=30, deadline=None)
def test_there_and_back_is_nothing(seed, turn):
    rng = np.random.default_rng(seed)
    u, v = (xr.DataArray(rng.normal(size=(4, 5)), dims=("y", "x"), name=n) for n in "uv")
    angle = xr.DataArray(np.angle(np.exp(1j * rng.normal(turn, size=(4, 5)))), dims=("y", "x"))
    east, north = rotate(u, v, angle)
    np.testing.assert_allclose(np.hypot(east, north), np.hypot(u, v), rtol=1e-12)
    back = rotate(east, north, angle, back=True)
    assert largest_error(back, (u, v)) < 1e-12


def test_the_forms_of_an_angle():
    u, v = (xr.DataArray(np.ones((2, 3)) * k, dims=("y", "x")) for k in (1.0, 2.0))
    radians = xr.DataArray(np.full((1, 2, 3), 0.3), dims=("time", "y", "x"), name="angle", attrs={"units": "radians"})
    expected = rotate(u, v, 0.3)
    assert float(expected[0][0, 0]) == pytest.approx(np.cos(0.3) - 2 * np.sin(0.3))
    degrees = np.degrees(radians).assign_attrs(units="degrees")
    cos, sin = np.cos(radians), np.sin(radians)
    clockwise = (-sin).rename("sinrot")
    named = u.assign_coords(angle=radians.squeeze("time"))
    for form in (radians, radians.drop_attrs(), degrees, (cos, sin), (cos, clockwise), 0.3):
        assert largest_error(rotate(u, v, form), expected) < 1e-12
    assert largest_error(rotate(named, v, "angle"), expected) < 1e-12


@pytest.mark.parametrize(
    ("angle", "says"),
    [
        (xr.DataArray(np.full((2, 3), 45.0), dims=("y", "x"), name="a"), "more than once around"),
        (xr.DataArray(np.zeros((2, 3)), dims=("y", "x"), name="a", attrs={"units": "m"}), "units 'm'"),
        (xr.DataArray(np.zeros((2, 2)), dims=("y", "x_u")), "to_centres"),
        ((xr.DataArray(0.5), xr.DataArray(0.5)), "no cosine and sine"),
        ("nowhere", "no variable here"),
        ("grid", "needs a grid"),
        (np.zeros((2, 3)), "ndarray"),
    ],
)
def test_no_angles(angle, says):
    u = xr.DataArray(np.ones((2, 3)), dims=("y", "x"), name="u")
    with pytest.raises(VectorError, match=says):
        rotate(u, u, angle)


@pytest.mark.parametrize(
    ("grid", "geographic"),
    [
        ("sea_water_x_velocity", "eastward_sea_water_velocity"),
        ("sea_water_y_velocity", "northward_sea_water_velocity"),
        ("barotropic_sea_water_x_velocity", "barotropic_eastward_sea_water_velocity"),
        ("sea_ice_y_velocity", "northward_sea_ice_velocity"),
        ("x_wind", "eastward_wind"),
        ("surface_downward_x_stress", "surface_downward_eastward_stress"),
        ("sea_surface_wave_stokes_drift_y_velocity", "sea_surface_wave_stokes_drift_northward_velocity"),
    ],
)
def test_standard_names_follow(grid, geographic):
    u = xr.DataArray(
        [1.0], dims="x", name="u", attrs={"standard_name": grid, "units": "m s-1", "long_name": "x is kept"}
    )
    east, _ = rotate(u, u, 0.1)
    assert east.attrs == {"standard_name": geographic, "units": "m s-1", "long_name": "x is kept"}
    assert rotate(east, east, 0.1, back=True)[0].attrs == u.attrs


# ---- the two together -----------------------------------------------------------------------------------------------


def test_components_along_the_grid(nemo):
    """With the grid's own angle in, and the target's out: the same vectors."""
    source, target = Grid.from_dataset(nemo), rotated_grid(20, 30, pole=(60.0, 100.0))
    east, north = rotation(source, AXES["tilted"])
    attrs = ({"standard_name": f"sea_water_{k}_velocity", "units": "m/s"} for k in "xy")
    u, v = (c.assign_attrs(a) for c, a in zip(rotate(east, north, grid_angle(source), back=True), attrs, strict=True))
    found = regrid_vectors(u, v, target, "bilinear", source=nemo, source_angle="grid")
    assert largest_error(found, rotation(target, AXES["tilted"])) < 1e-12
    assert [c.attrs["standard_name"] for c in found] == [f"{k}ward_sea_water_velocity" for k in ("east", "north")]
    along = regrid_vectors(u, v, target, "bilinear", source=nemo, source_angle="grid", target_angle="grid")
    assert largest_error(along, rotate(*found, grid_angle(target), back=True)) < 1e-12
    assert [c.attrs["standard_name"] for c in along] == [f"sea_water_{k}_velocity" for k in "xy"]


def test_a_model_file_with_its_angle(shared):
    """ROMS: staggered, along the grid, with land; the same as by hand."""
    with xr.open_dataset(shared / "data/roms/WCOFS_subset.nc", decode_times=False) as ds:
        ds = ds.load()
    target = Grid.regular(lon=(-125.5, -123.5, 0.1), lat=(44, 45.5, 0.1))
    u, v = to_centres(ds["u_sur"], ds["v_sur"], centres=Grid.from_dataset(ds, lon="lon_rho", lat="lat_rho"))
    with pytest.raises(VectorError, match="source_angle"):
        regrid_vectors(u, v, target, "bilinear")
    found = regrid_vectors(u, v, target, "bilinear", source_angle=ds["angle"])
    by_hand = [Regridder(u, target, "bilinear")(c) for c in rotate(u, v, ds["angle"])]
    assert float(found[0].notnull().mean()) > 0.3
    # Over a degree of longitude, far from a pole, east hardly turns.
    assert largest_error(found, by_hand) < 1e-3
    np.testing.assert_array_equal(found[0].notnull(), by_hand[0].notnull())


def test_one_missing_component_is_a_missing_vector():
    source = Grid.global_regular(10.0)
    u, v = rotation(source, AXES["z"])
    v = v.where(v.lat < 40)
    east, north = regrid_vectors(u, v, source, "nearest")
    np.testing.assert_array_equal(east.notnull(), np.broadcast_to(source.lat.values[:, None] < 40, source.shape))
    np.testing.assert_array_equal(east.notnull(), north.notnull())


@pytest.mark.parametrize("method", ["nearest", "bilinear", "conservative"])
def test_lazy_is_eager(method):
    source, target = Grid.global_regular(6.0), polar_grid(n=9)
    rng = np.random.default_rng(1)
    u, v = (
        xr.DataArray(
            rng.normal(size=(30, 3, 60, 2)).astype(np.float32), dims=("lat", "time", "lon", "depth"), name=name,
            coords={"lat": source.lat.values, "lon": source.lon.values, "time": [1, 2, 3], "depth": [0.0, 5.0]},
        )
        for name in ("uo", "vo")
    )  # fmt: skip
    u = u.where(u > -2)
    regridder = VectorRegridder(source, target, method)
    eager = regridder(u, v)
    with dask.config.set(scheduler="threads"):
        lazy = regridder(u.chunk({"time": 1, "lat": 7}), v.chunk({"depth": 1, "lon": 11}))
        assert all(dask.is_dask_collection(c) for c in lazy)
        for a, b in zip(eager, lazy, strict=True):
            xr.testing.assert_identical(a, b.compute())
    assert eager[0].dims == ("y", "time", "x", "depth")
    assert [c.name for c in eager] == ["uo", "vo"]
    assert eager[0].dtype == np.float32
    alone = regridder(u.isel(time=1, depth=0), v.isel(time=1, depth=0).transpose("lon", "lat"))
    xr.testing.assert_equal(alone[0], eager[0].isel(time=1, depth=0))


def test_on_a_plane():
    """There components are scalars; only their axes may turn."""
    source, target = Grid.regular(x=(0, 10, 1), y=(0, 8, 1)), Grid.regular(x=(2, 8, 0.5), y=(2, 6, 0.5))
    x, y = np.meshgrid(source.lon.values, source.lat.values)
    u, v = (xr.DataArray(a, dims=source.dims, coords=source.coords()) for a in (2.0 - y, x + 1.0))
    east, north = regrid_vectors(u, v, target, "bilinear")
    a, b = np.meshgrid(target.lon.values, target.lat.values)
    np.testing.assert_allclose(east, 2.0 - b, atol=1e-12)
    np.testing.assert_allclose(north, a + 1.0, atol=1e-12)
    turned = regrid_vectors(*rotate(u, v, 0.3, back=True), target, "bilinear", source_angle=0.3, target_angle=0.5)
    assert largest_error(turned, rotate(east, north, 0.5, back=True)) < 1e-12


def test_units_and_names_of_depths_may_differ_in_writing():
    source = Grid.global_regular(30.0)
    u, v = (c.expand_dims({f"depth{c.name}": [0.5, 1.5]}) for c in rotation(source, AXES["z"]))
    u, v = u.assign_attrs(units="m/s"), v.assign_attrs(units="meter second-1")
    east, north = regrid_vectors(u, v, source, "nearest")
    assert east.dims == north.dims == ("depthu", "lat", "lon")


def _pair():
    return rotation(Grid.global_regular(30.0), AXES["z"])


@pytest.mark.parametrize(
    ("change", "options", "says"),
    [
        (lambda u, v: (u.assign_attrs(units="m/s"), v.assign_attrs(units="cm/s")), {}, "one unit"),
        (lambda u, v: (u, v.isel(lon=slice(1, None))), {}, "to_centres"),
        (lambda u, v: (u, v.assign_coords(lon=v.lon + 15)), {}, "to_centres"),
        (lambda u, v: (u, v.values), {}, "v is a ndarray"),
        (lambda u, v: (u, v > 0), {}, "dtype bool"),
        (lambda u, v: (u, v.assign_attrs(scale_factor=0.1)), {}, "mask_and_scale"),
        (lambda u, v: (u, v), {"source": Grid.global_regular(15.0)}, "source="),
        (lambda u, v: (u, v), {"source_angle": xr.DataArray([1.0], dims="other")}, None),
        (lambda u, v: (u, v), {"source_angle": xr.DataArray([1.0, 2.0], dims="other")}, "at the grid's centres"),
        (lambda u, v: (u, v), {"method": "median"}, "vectors have no median"),
        (lambda u, v: (u, v), {"method": "cubic"}, "not known"),
        (lambda u, v: (u, v), {"min_coverage": 2}, "min_coverage"),
    ],
)
def test_refusals(change, options, says):
    u, v = change(*_pair())
    options = dict(options)
    method = options.pop("method", "nearest")
    if says is None:
        regrid_vectors(u, v, 45.0, method, **options)
        return
    with pytest.raises(ValueError, match=says):
        regrid_vectors(u, v, 45.0, method, **options)


def test_staggered_components_are_told_apart(shared):
    folder = shared / "data/nemo_orca025_northsea"
    with (
        xr.open_dataset(folder / "ORCA025-N06_20000104d05U.nc", decode_times=False) as u,
        xr.open_dataset(folder / "ORCA025-N06_20000104d05V.nc", decode_times=False) as v,
        pytest.raises(VectorError, match="'vos' lies elsewhere.*to_centres"),
    ):
        regrid_vectors(u["uos"], v["vos"], 1.0, "nearest", source_angle="grid")


def test_a_component_along_the_grid_needs_an_angle():
    grid = polar_grid()
    u, v = rotation(grid, AXES["x"])
    for attrs in ({"standard_name": "sea_water_x_velocity"}, {"long_name": "u-momentum component"}):
        with pytest.raises(VectorError, match="source_angle"):
            regrid_vectors(u.assign_attrs(attrs), v, 10.0, "nearest")
        regrid_vectors(u.assign_attrs(attrs), v, 10.0, "nearest", source_angle=0)
    regrid_vectors(u.assign_attrs(standard_name="eastward_sea_water_velocity"), v, 10.0, "nearest")


def test_kernel_is_its_reference():
    rng = np.random.default_rng(0)
    fields, matrix = rng.normal(size=(2, 3, 7)), rng.normal(size=(2, 3, 7))
    fields[1, 2, 3] = np.nan
    for run in (kernels.combine, kernels.combine.py_func):
        out = np.empty((2, 2, 7))
        run(fields, matrix, out)
        np.testing.assert_allclose(out, np.einsum("aki,fki->fai", matrix, fields), rtol=1e-14)


# ---- from faces to centres ------------------------------------------------------------------------------------------


def faces_of(grid):
    """Positions (ny, nx, 3) of the eastern and northern faces of a lattice's cells, and unit vectors across them."""
    lon, lat = (c.values for c in grid.corners.data_vars.values())
    q = unit_vectors(lon, lat)
    found = []
    # Corners are SW, SE, NE, NW; the way across a face is to the right of going along it.
    for a, b in ((1, 2), (2, 3)):
        middle, along = q[:, :, a] + q[:, :, b], q[:, :, b] - q[:, :, a]
        across = np.cross(along, middle)
        found.append([x / np.linalg.norm(x, axis=-1, keepdims=True) for x in (middle, across)])
    return found


def staggered(grid, axis):
    """u at eastern and v at northern faces of a rotation, as a model on a C-grid has them."""
    unit = np.asarray(axis) / np.linalg.norm(axis)
    out = []
    for name, (place, across) in zip("uv", faces_of(grid), strict=True):
        out.append(xr.DataArray((np.cross(unit, place) * across).sum(axis=-1), dims=grid.dims, name=name))
    return out


def test_centres_are_of_second_order():
    errors = []
    for n in (15, 30, 60):
        grid = rotated_grid(n, n, pole=(30.0, 20.0))
        u, v = to_centres(*staggered(grid, AXES["tilted"]), centres=grid, model="nemo")
        assert u.isnull().values[0].all()
        assert u.isnull().values[:, 0].all()
        found = rotate(u, v, grid_angle(grid))
        errors.append(largest_error(found, rotation(grid, AXES["tilted"])))
    assert np.log2(np.array(errors[:-1]) / errors[1:]) == pytest.approx([2.0, 2.0], abs=0.2)


def test_centres_across_the_seam_and_at_the_fold_of_eorca1(nemo):
    """From faces half-way between the corners that the file gives, to the vectors at all wet cells but the first row."""
    grid = Grid.from_dataset(nemo)
    wet = nemo["tos"].squeeze().notnull().values & ~grid.topology.halo
    wet[0] = False
    # The order of corners varies from cell to cell: derived ones are in the order of rows and columns.
    plain = Grid.from_dataset(_curvilinear(grid.lon.values, grid.lat.values))
    u, v = to_centres(*staggered(plain, AXES["tilted"]), centres=plain, model="nemo")
    assert plain.topology.fold is not None
    assert np.isfinite(u.values[1:]).all()
    east, north = rotate(u, v, grid_angle(plain))
    a, b = rotation(plain, AXES["tilted"])
    error = np.hypot(east - a.values, north - b.values).values[wet]
    assert error.max() < 5e-3
    assert error.mean() < 1e-4
    # The last row joins itself across the fold.
    assert wet[-1].sum() > 50


def test_models_number_their_faces_differently():
    """One field on faces, stored in each model's way."""
    rng = np.random.default_rng(5)
    outer_u, outer_v = rng.normal(size=(4, 6)), rng.normal(size=(5, 5))
    a, b = (outer_u[:, :-1] + outer_u[:, 1:]) / 2, (outer_v[:-1] + outer_v[1:]) / 2

    def ask(u, v, u_dims, v_dims, model):
        return to_centres(xr.DataArray(u, dims=u_dims, name="u"), xr.DataArray(v, dims=v_dims, name="v"), model=model)

    u, v = ask(outer_u, outer_v, ("yh", "xq"), ("yq", "xh"), None)
    np.testing.assert_allclose(u, a)
    np.testing.assert_allclose(v, b)
    u, v = ask(outer_u[:, 1:], outer_v[1:], ("y", "x"), ("y", "x"), "nemo")
    assert u.dims == ("y", "x")
    np.testing.assert_allclose(u[1:, 1:], a[1:, 1:])
    np.testing.assert_allclose(v[1:, 1:], b[1:, 1:])
    assert int(u.isnull().sum()) == int(v.isnull().sum()) == 8
    u, v = ask(outer_u[:, :-1], outer_v[:-1], ("YC", "XG"), ("YG", "XC"), "mitgcm")
    assert u.dims == v.dims == ("YC", "XC")
    np.testing.assert_allclose(u[:-1, :-1], a[:-1, :-1])
    np.testing.assert_allclose(v[:-1, :-1], b[:-1, :-1])
    for u_dims, v_dims in ((("eta_u", "xi_u"), ("eta_v", "xi_v")), (("eta_rho", "xi_u"), ("eta_v", "xi_rho"))):
        u, v = ask(outer_u[:, 1:-1], outer_v[1:-1], u_dims, v_dims, "roms")
        assert u.dims == v.dims == ("eta_rho", "xi_rho")
        np.testing.assert_allclose(u[1:-1, 1:-1], a[1:-1, 1:-1])
        np.testing.assert_allclose(v[1:-1, 1:-1], b[1:-1, 1:-1])
        assert int(u.notnull().sum()) == 6


def test_the_side_is_found():
    """By the shift that xgcm's files declare, or by where faces and centres lie."""
    u, v = (xr.DataArray(np.arange(20.0).reshape(4, 5), dims=d) for d in (("y", "x_f"), ("y_f", "x")))
    with pytest.raises(VectorError, match="model="):
        to_centres(u, v)
    for shift, first in ((0.5, True), (-0.5, False)):
        a = u.assign_coords(x_f=("x_f", np.arange(5.0), {"c_grid_axis_shift": shift}))
        b = v.assign_coords(y_f=("y_f", np.arange(4.0), {"c_grid_axis_shift": shift}))
        found = to_centres(a, b)[0].isnull().values
        assert found[0].all() == found[:, 0].all() == first
    grid = rotated_grid(6, 7)
    for sign, first in ((1, True), (-1, False)):
        pair = []
        for (place, _), values in zip(faces_of(grid), staggered(grid, AXES["x"]), strict=True):
            # Western faces of cells are eastern faces of the cells before them.
            k = "uv".index(values.name)
            place = place if sign > 0 else np.roll(place, 1, axis=1 - k)
            lon, lat = lonlat(place)
            coords = _curvilinear(lon, lat).coords
            pair.append(values.assign_coords(coords))
        found = to_centres(*pair, centres=grid)[0].isnull().values
        assert found[0].all() == found[:, 0].all() == first


def test_faces_at_coasts_and_edges():
    u = xr.DataArray([[1.0, np.nan, np.nan, 3.0]], dims=("y", "x"), name="u").astype(np.float32)
    v = xr.DataArray([[2.0, 4.0, np.nan, np.nan], [2.0, 2.0, np.nan, np.nan]], dims=("y_q", "x"), name="v")
    zero = to_centres(u, v.astype(np.float32), model="nemo", periodic=True)
    assert zero[0].dtype == np.float32
    np.testing.assert_allclose(zero[0], [[2.0, 0.5, np.nan, 1.5]])
    np.testing.assert_allclose(zero[1], [[2.0, 3.0, np.nan, 0.0]])
    skip = to_centres(u, v, model="nemo", periodic=True, masked="skip")
    np.testing.assert_allclose(skip[0], [[2.0, 1.0, np.nan, np.nan]])
    np.testing.assert_allclose(skip[1], [[2.0, 3.0, np.nan, np.nan]])
    missing = to_centres(u, v, model="nemo", periodic=True, masked="missing")
    np.testing.assert_allclose(missing[0], [[2.0, np.nan, np.nan, np.nan]])
    np.testing.assert_allclose(missing[1], [[2.0, np.nan, np.nan, np.nan]])
    opened = to_centres(u, v, model="nemo", masked="missing")
    assert opened[0].isnull().all()
    extended = to_centres(u, v, model="nemo", extend=True)
    np.testing.assert_allclose(extended[0], [[1.0, 0.5, np.nan, 1.5]])


def test_halo_columns_are_what_they_are_copies_of():
    """A global grid with two columns that stand twice, as NEMO stores it."""
    lon, lat = np.meshgrid(np.arange(-2.0, 362, 4) % 360, np.arange(-60.0, 61, 4))
    grid = Grid.from_dataset(_curvilinear(lon, lat))
    assert grid.periodic
    assert grid.topology.halo.any()
    u = xr.DataArray(np.cos(np.radians(lon + 2)), dims=("y", "x"), name="u")
    found, _ = to_centres(u, 0 * u, centres=grid, model="nemo")
    np.testing.assert_allclose(found[1:], np.cos(np.radians(lon[1:])) * np.cos(np.radians(2)), atol=1e-12)
    assert list(found.coords) == ["lon", "lat"]


def test_centres_lazily():
    grid = rotated_grid(6, 7)
    u, v = (c.expand_dims(time=3).copy() for c in staggered(grid, AXES["x"]))
    u[1, 2:4, 3] = np.nan
    eager = to_centres(u, v, centres=grid, model="nemo")
    lazy = to_centres(u.chunk({"time": 1, "y": 4}), v.chunk({"x": 3}), centres=grid, model="nemo")
    for a, b in zip(eager, lazy, strict=True):
        assert dask.is_dask_collection(b)
        xr.testing.assert_identical(a, b.compute())
    assert eager[0].dims == ("time", "y", "x")


def test_roms_files(shared):
    """Against the mean by hand, inside; the file's angle and mask."""
    with xr.open_dataset(shared / "data/roms/WCOFS_subset.nc", decode_times=False) as ds:
        ds = ds.load()
    grid = Grid.from_dataset(ds, lon="lon_rho", lat="lat_rho")
    u, v = to_centres(ds["u_sur"], ds["v_sur"], centres=grid)
    x, y = ds["u_sur"].fillna(0).values, ds["v_sur"].fillna(0).values
    sea = ds["mask_rho"].values[1:-1, 1:-1] == 1
    np.testing.assert_allclose(u.values[:, 1:-1, 1:-1][:, sea], ((x[:, :, 1:] + x[:, :, :-1]) / 2)[:, 1:-1][:, sea])
    np.testing.assert_allclose(v.values[:, 1:-1, 1:-1][:, sea], ((y[:, 1:] + y[:, :-1]) / 2)[:, :, 1:-1][:, sea])
    assert np.isnan(u.values[:, 1:-1, 1:-1][:, ~sea]).all()


def test_nemo_files(shared):
    """U and V in files of their own, T points in a third; sides found from the positions; depthu and depthv are one."""
    folder = shared / "data/nemo_orca025_northsea"
    with (
        xr.open_dataset(folder / "ORCA025-N06_20000104d05U.nc", decode_times=False) as u,
        xr.open_dataset(folder / "ORCA025-N06_20000104d05V.nc", decode_times=False) as v,
        xr.open_dataset(folder / "coordinates.nc", decode_times=False) as c,
    ):
        grid = Grid.from_dataset(c, lon="glamt", lat="gphit")
        found = to_centres(u["uo"], v["vo"], centres=grid)
        told = to_centres(u["uo"], v["vo"], centres=grid, model="nemo")
        for a, b in zip(found, told, strict=True):
            xr.testing.assert_identical(a, b)
        assert found[0].dims == found[1].dims == ("time_counter", "depthu", "y", "x")
        values = u["uo"].values[0, 0]
        np.testing.assert_allclose(found[0].values[0, 0, 50, 20], (values[50, 20] + values[50, 19]) / 2, rtol=1e-6)
        east, north = regrid_vectors(*found, Grid.regular(lon=(-20, 5, 0.5), lat=(50, 62, 0.5)), source_angle="grid")
        assert float(np.hypot(east, north).max()) <= float(np.hypot(*found).max())
        assert float(east.notnull().mean()) > 0.8


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"model": "hycom"}, "choose one of"),
        ({"model": "nemo", "masked": "nan"}, "masked='nan'"),
        ({"model": "nemo", "centres": Grid.global_regular(30.0)}, "as many as those of cells"),
    ],
)
def test_no_centres(options, says):
    u = xr.DataArray(np.zeros((4, 5)), dims=("y", "x"), name="u")
    with pytest.raises(VectorError, match=says):
        to_centres(u, u, **options)


def test_too_few_faces():
    u, v = (xr.DataArray(np.zeros(s), dims=d) for s, d in (((4, 3), ("y", "x_f")), ((4, 6), ("y_f", "x"))))
    with pytest.raises(VectorError, match="as many, one more or one fewer"):
        to_centres(u, v, model="nemo")
    with pytest.raises(VectorError, match="type list"):
        to_centres([1.0], v)
