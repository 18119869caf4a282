"""Meshes as source and as target, with values at nodes and at faces: made ones, FVCOM, SCHISM, FESOM."""

from collections.abc import Callable

import made_meshes as made
import numpy as np
import pytest
import xarray as xr
from analytic import on_grid, smooth, vortex

from oceankit.fields import Grid
from oceankit.fields.coordinates import CoordinateError
from oceankit.fields.corners import GridError
from oceankit.numerics import sphere
from oceankit.regridding import METHODS, Regridder, regrid

SIDES = ("node", "face")
# Bicubic needs rows and columns.
EVERY = [m for m in METHODS if m != "bicubic"]
MEANS = [m for m in EVERY if m not in ("count", "nearest_target")]


@pytest.fixture(scope="module")
def globe() -> xr.Dataset:
    return made.on_sphere(2500)


def constant(grid: Grid, value: float = 7.25) -> xr.DataArray:
    return xr.DataArray(np.full(grid.shape, value), dims=grid.dims, coords=grid.coords())


def integral(field: xr.DataArray, grid: Grid, share: xr.DataArray | None = None) -> float:
    """Sum of value times area, times the share that is covered."""
    covered = 1.0 if share is None else share
    return float((field.fillna(0.0) * covered * grid.area()).sum())


# ---- what holds for any mesh ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("method", ["conservative", "conservative2"])
def test_integrals_are_kept_there_and_back(globe, side, method):
    mesh, regular = Grid.from_dataset(globe, location=side), Grid.global_regular(4.0)
    for source, target in ((mesh, regular), (regular, mesh)):
        field = on_grid(source, vortex)
        out = Regridder(source, target, method)(field)
        assert np.isfinite(out.values).all()
        assert integral(out, target) == pytest.approx(integral(field, source), rel=1e-13)


def test_integrals_are_kept_between_nodes_and_faces(globe):
    node, face = (Grid.from_dataset(globe, location=side) for side in SIDES)
    for source, target in ((node, face), (face, node)):
        field = on_grid(source, vortex)
        out = Regridder(source, target, "conservative")(field)
        assert integral(out, target) == pytest.approx(integral(field, source), rel=1e-13)


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("holes", [0, 40])
def test_integrals_are_kept_on_a_plane_with_islands(side, holes):
    mesh = Grid.from_dataset(made.on_plane(500, holes=holes), location=side)
    cover = Grid.regular(x=(-0.1, 1.1, 0.1), y=(-0.1, 1.1, 0.1))
    field = xr.DataArray(np.sin(5 * mesh.lon.values) + mesh.lat.values, dims=mesh.dims)
    field = field.where(np.isfinite(mesh.area().values))
    regridder = Regridder(mesh, cover, "conservative", min_coverage=0.0)
    after = integral(regridder(field), cover, regridder.coverage(field))
    assert after == pytest.approx(integral(field, mesh), rel=1e-13)


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("method", MEANS)
def test_a_constant_stays_constant(globe, side, method):
    mesh, regular = Grid.from_dataset(globe, location=side), Grid.global_regular(10.0)
    for source, target in ((mesh, regular), (regular, mesh)):
        out = Regridder(source, target, method)(constant(source)).values
        assert np.isfinite(out).mean() > (0.1 if method in ("mean", "median", "min", "max") else 0.999)
        assert np.nanmax(np.abs(out - 7.25)) < 1e-12


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize(
    "ds", [made.on_plane(500), made.on_plane(500, holes=30), made.quads(12, 9)], ids=["", "holes", "quads"]
)
def test_linear_functions_are_exact_between_centres_on_a_plane(ds, side):
    mesh = Grid.from_dataset(ds, location=side)
    rng = np.random.default_rng(1)
    x, y = (rng.uniform(v.values.min(), v.values.max(), 4000) for v in (mesh.lon, mesh.lat))
    field = xr.DataArray(3 * mesh.lon.values - 2 * mesh.lat.values + 1, dims=mesh.dims)
    out = Regridder(mesh, Grid.points(x=x, y=y))(field).values
    assert np.isfinite(out).mean() > 0.5
    assert np.nanmax(np.abs(out - (3 * x - 2 * y + 1))) < 1e-12


@pytest.mark.parametrize("side", SIDES)
def test_weights_meet_the_ray_through_the_target(globe, side):
    """Linear in space: the mean of the centres by the weights lies on the ray from the sphere's centre to the target."""
    mesh = Grid.from_dataset(globe, location=side)
    target = Grid.global_regular(3.0)
    regridder = Regridder(mesh, target)
    met = np.stack([regridder(xr.DataArray(c, dims=mesh.dims)).values.ravel() for c in mesh.centres().T], axis=1)
    assert np.isfinite(met).all()
    assert np.abs(np.cross(met, target.centres())).max() < 1e-12


def test_four_faces_around_a_node_are_a_bilinear_patch():
    """On a lattice written as a mesh, values on faces are interpolated as on the lattice itself."""
    lon, lat = np.meshgrid(np.arange(10.0, 20), np.arange(40.0, 48))
    corner = np.meshgrid(np.arange(9.5, 20), np.arange(39.5, 48))
    number = np.arange(corner[0].size).reshape(corner[0].shape)
    faces = np.stack([number[:-1, :-1], number[:-1, 1:], number[1:, 1:], number[1:, :-1]], axis=-1).reshape(-1, 4)
    ds = made.ugrid(corner[0].ravel(), corner[1].ravel(), faces)
    ds["mesh"].attrs["face_coordinates"] = "face_x face_y"
    ds = ds.assign_coords(
        face_x=("face", lon.ravel(), {"units": "degrees_east"}),
        face_y=("face", lat.ravel(), {"units": "degrees_north"}),
    )
    values = vortex(np.radians(lon), np.radians(lat))
    lattice = xr.DataArray(values, dims=("j", "i"), coords={"lon": (("j", "i"), lon), "lat": (("j", "i"), lat)})
    rng = np.random.default_rng(2)
    target = Grid.points(rng.uniform(10.1, 18.9, 500), rng.uniform(40.1, 46.9, 500))
    mesh = Grid.from_dataset(ds, location="face")
    out = Regridder(mesh, target)(xr.DataArray(values.ravel(), dims="face"))
    np.testing.assert_allclose(out.values, regrid(lattice, target).values, rtol=1e-12)


def test_values_on_hexagons_at_their_corners():
    """Faces of more than four corners are cut into triangles, where they used to hold no point."""
    angle = np.radians(np.arange(0, 360, 60))
    mesh = Grid.from_dataset(made.ugrid(np.cos(angle), np.sin(angle), [np.arange(6)], planar=True), location="node")
    field = xr.DataArray(2 * mesh.lon.values - mesh.lat.values, dims=mesh.dims)
    out = Regridder(mesh, Grid.points(x=[0.0, 0.3, -0.6, 2.0], y=[0.0, 0.5, -0.1, 0.0]))(field)
    np.testing.assert_allclose(out.values, [0.0, 0.1, -1.1, np.nan], atol=1e-14)


# ---- accuracy ---------------------------------------------------------------------------------------------------------


def _orders(errors: list[float]) -> np.ndarray:
    return np.log2(np.array(errors[:-1]) / np.array(errors[1:]))


def _errors(make: Callable[[int], xr.Dataset], sizes: tuple[int, ...], side: str, method: str) -> list[float]:
    """Mean errors on a grid with cells far smaller than those of the mesh: their means are as good as the values there."""
    target = Grid.regular(lon=(0, 60, 0.4), lat=(-20, 30, 0.4))
    exact = on_grid(target, vortex)
    out = []
    for size in sizes:
        source = Grid.from_dataset(make(size), location=side)
        out.append(float(np.abs(Regridder(source, target, method)(on_grid(source, vortex)) - exact).mean()))
    return out


@pytest.mark.parametrize(
    ("method", "side", "order"),
    [("bilinear", "node", 2), ("bilinear", "face", 2), ("conservative", "node", 1), ("conservative", "face", 1),
     ("conservative2", "node", 2), ("conservative2", "face", 2)],
)  # fmt: skip
def test_errors_fall_with_the_expected_order(method, side, order):
    """On the icosahedron, edges halved from step to step."""
    errors = _errors(made.icosahedral, (3, 4, 5), side, method)
    np.testing.assert_allclose(_orders(errors), order, atol=0.25)


def test_second_order_on_a_mesh_without_any_order():
    """On faces as on any mesh. Nodes are not the centres of mass of their cells: first order, if several times better."""
    for side, order in (("face", 2), ("node", 1)):
        first, second = (
            _errors(made.on_sphere, (642, 2562, 10242), side, m) for m in ("conservative", "conservative2")
        )
        np.testing.assert_allclose(_orders(second), order, atol=0.25)
        assert max(np.array(second) / first) < 0.3


# ---- the file formats -------------------------------------------------------------------------------------------------


def _opened(shared, name: str) -> xr.Dataset:
    folder = shared / "data/unstructured"
    with xr.open_dataset(folder / name, decode_times=False) as ds:
        return ds.load()


@pytest.fixture(scope="module")
def fvcom(shared):
    return _opened(shared, "SFBOFS_subset1.nc")


@pytest.fixture(scope="module")
def fesom(shared):
    return xr.merge([_opened(shared, f"{n}.nc") for n in ("fesom.mesh.diag", "temp.fesom.1948", "u.fesom.1948")])


@pytest.fixture(scope="module")
def schism(shared):
    """The real file holds a sea at rest, so heights are made."""
    ds = _opened(shared, "out2d_1.nc").assign(salinity=_opened(shared, "salinity_1.nc")["salinity"])
    x, y = ds["SCHISM_hgrid_node_x"] / 1e5, ds["SCHISM_hgrid_node_y"] / 1e5
    return ds.assign(elevation=(ds["elevation"] * 0 + x - 2 * y).assign_attrs(ds["elevation"].attrs))


def _cases(fvcom, fesom, schism):
    """(mesh, field, where it stands, a grid over it)"""
    bay = Grid.regular(lon=(237.46, 237.56, 0.005), lat=(37.84, 37.92, 0.005))
    plane = Grid.regular(x=(0.0, 153_000.0, 3000.0), y=(0.0, 153_000.0, 3000.0))
    return {
        "fvcom temp": (fvcom, fvcom["temp"], "node", bay),
        "fvcom u": (fvcom, fvcom["u"], "face", bay),
        "fesom temp": (fesom, fesom["temp"].where(fesom["temp"] != 0), "node", Grid.global_regular(4.0)),
        "fesom u": (fesom, fesom["u"].where(fesom["u"] != 0), "face", Grid.global_regular(4.0)),
        "schism elevation": (schism, schism["elevation"], "node", plane),
        "schism salinity": (schism, schism["salinity"], "node", plane),
        "schism dry": (schism, schism["dryFlagElement"], "face", plane),
    }


NAMES = ("fvcom temp", "fvcom u", "fesom temp", "fesom u", "schism elevation", "schism salinity", "schism dry")


@pytest.mark.parametrize("method", EVERY)
@pytest.mark.parametrize("name", NAMES)
def test_files_as_source(fvcom, fesom, schism, name, method):
    ds, field, side, target = _cases(fvcom, fesom, schism)[name]
    source = Grid.from_dataset(ds, location=side)
    assert source.dims == (d,) if (d := source.dims[0]) in field.dims else False
    out = Regridder(source, target, method)(field)
    # Levels, layers and times stay where they were, the grid's dimensions stand where the mesh's stood.
    at = field.dims.index(source.dims[0])
    assert out.dims == (*field.dims[:at], *target.dims, *field.dims[at + 1 :])
    assert set(target.coords()) <= set(out.coords)
    assert not {"mesh", "location"} & set(out.attrs)
    assert int(out.notnull().sum()) > 0
    if method in ("conservative", "conservative2", "bilinear"):
        low, high = float(field.min()), float(field.max())
        slack = 0.2 * (high - low) if method == "conservative2" else 1e-6 * max(abs(low), abs(high))
        assert low - slack <= float(out.min())
        assert float(out.max()) <= high + slack


@pytest.mark.parametrize("method", EVERY)
@pytest.mark.parametrize("name", NAMES[:4] + NAMES[4::2])
def test_files_as_target(fvcom, fesom, schism, name, method):
    ds, _, side, regular = _cases(fvcom, fesom, schism)[name]
    target = Grid.from_dataset(ds, location=side)
    field = constant(regular).expand_dims(time=2)
    out = Regridder(regular, target, method)(field)
    assert out.dims == ("time", *target.dims)
    if method != "count":
        assert np.nanmax(np.abs(out.values - 7.25)) < 1e-12
    if method in ("nearest", "conservative", "conservative2", "idw"):
        assert np.isfinite(out.values).all()


@pytest.mark.parametrize("name", NAMES[:4])
def test_files_are_conserved(fvcom, fesom, schism, name):
    ds, field, side, target = _cases(fvcom, fesom, schism)[name]
    source = Grid.from_dataset(ds, location=side)
    layer = field.isel({d: 0 for d in field.dims if d not in source.dims}).astype(np.float64)
    for method in ("conservative", "conservative2"):
        regridder = Regridder(source, target, method, min_coverage=0.0)
        after = integral(regridder(layer), target, regridder.coverage(layer))
        size = integral(np.abs(layer), source)
        assert abs(after - integral(layer, source)) < 1e-13 * size


def test_centres_of_faces_are_those_of_the_file(fvcom):
    face = Grid.from_dataset(fvcom, location="face")
    np.testing.assert_array_equal(face.lon.values, fvcom["lonc"].values.astype(np.float64))


def test_fields_of_one_side_of_a_dataset(fesom):
    """What describes the mesh is left behind, what stands at the nodes is regridded, the rest is kept."""
    ds = fesom.drop_vars(["u", "zbar_e_bottom"])
    out = regrid(ds, 10.0, "conservative")
    assert {"temp", "zbar_n_bottom"} == {n for n, v in out.data_vars.items() if "lat" in v.dims}
    assert not {"elements", "nod_area", "lon_bnds", "edges"} & set(out.data_vars)


def test_lazy_is_eager(fvcom):
    bay = Grid.regular(lon=(237.46, 237.56, 0.01), lat=(37.84, 37.92, 0.01))
    regridder = Regridder(Grid.from_dataset(fvcom, location="node"), bay, "conservative")
    xr.testing.assert_identical(regridder(fvcom["temp"].chunk(time=3)).compute(), regridder(fvcom["temp"]))


def icon_like(ds: xr.Dataset) -> xr.Dataset:
    """Cells that bring their own corners, in radians: clon, clat and their vertices."""
    face = Grid.from_dataset(ds, location="face")
    corners = face.corners
    out = xr.Dataset({"t": ("ncells", smooth(*(np.radians(v.values) for v in (face.lon, face.lat))))})
    for name, centre, bounds in (("clon", face.lon, corners["lon_bnds"]), ("clat", face.lat, corners["lat_bnds"])):
        kind = "longitude" if name == "clon" else "latitude"
        attrs = {"standard_name": kind, "units": "radian", "bounds": f"{name}_vertices"}
        out[f"{name}_vertices"] = (("ncells", "vertices"), np.radians(bounds.values))
        out = out.assign_coords({name: ("ncells", np.radians(centre.values), attrs)})
    return out


def test_icon(globe):
    """Corners written cell by cell are one where they agree: the same numbers as from the mesh that they came from."""
    ds = icon_like(globe)
    source = Grid.from_dataset(globe, location="face")
    for method in ("bilinear", "conservative", "conservative2"):
        out = regrid(ds, 10.0, method)["t"]
        expected = Regridder(source, 10.0, method)(xr.DataArray(ds["t"].values, dims="face"))
        np.testing.assert_allclose(out.values, expected.values, rtol=1e-11)
    field = on_grid(Grid.global_regular(10.0), smooth)
    out = regrid(field, ds, "conservative")
    assert out.dims == ("ncells",)
    assert integral(out, Grid.from_dataset(ds)) == pytest.approx(integral(field, Grid.global_regular(10.0)), rel=1e-12)


def test_selfe(globe):
    """Corners first, counted from 1, levels beside: as SELFE and UGRID files in three dimensions have it."""
    ds = globe.rename(node_x="lon", node_y="lat", face_nodes="ele", corner="nface", face="nele")
    ele = (ds["ele"] + 1).transpose().assign_attrs(cf_role="face_node_connectivity", start_index=1)
    topology = {"cf_role": "mesh_topology", "topology_dimension": 2, "node_coordinates": "lon lat",
                "face_node_connectivity": "ele"}  # fmt: skip
    base = smooth(np.radians(ds["lon"].values), np.radians(ds["lat"].values))
    ds = ds.assign(mesh=((), 0, topology), ele=ele)
    ds["salt"] = (("time", "sigma", "node"), base * np.array([1.0, 2.0, 3.0])[None, :, None] * np.ones((2, 1, 1)))
    out = Regridder(ds, 10.0, "conservative")(ds["salt"])
    assert out.dims == ("time", "sigma", "lat", "lon")
    np.testing.assert_allclose(out[1, 2].values, 3 * out[0, 0].values, rtol=1e-12)
    assert regrid(ds, 10.0)["salt"].dims == out.dims


# ---- errors -----------------------------------------------------------------------------------------------------------


def test_a_field_alone_has_lost_its_mesh(fvcom, fesom, schism):
    remedy = r"Regridder\(ds, target\)\(ds\['temp'\]\)"
    for method in ("bilinear", "conservative", "conservative2"):
        with pytest.raises(GridError, match=f"bare list of points.*{remedy}"):
            regrid(fvcom["temp"], 1.0, method)
    for field in (fesom["temp"].drop_vars(["lon", "lat"], errors="ignore"), schism["elevation"]):
        with pytest.raises(CoordinateError, match=f"{field.name!r} has no longitude.*{remedy}"):
            regrid(field, 1.0)


def test_the_other_side_of_the_mesh(fvcom, schism):
    bay = Grid.regular(lon=(237.46, 237.56, 0.01), lat=(37.84, 37.92, 0.01))
    regridder = Regridder(Grid.from_dataset(fvcom, location="node"), bay)
    with pytest.raises(GridError, match=r"'u' stands at the faces.*location='face'"):
        regridder(fvcom["u"])
    with pytest.raises(GridError, match=r"'u' stands at the faces.*drop_vars"):
        regridder(fvcom)
    assert set(regridder(fvcom[["temp", "zeta"]]).data_vars) == {"temp", "zeta"}
    plane = Grid.regular(x=(0.0, 153_000.0, 3000.0), y=(0.0, 153_000.0, 3000.0))
    with pytest.raises(GridError, match=r"'dryFlagSide' stands at the edges"):
        Regridder(schism, plane)(schism["dryFlagSide"])


def test_bicubic_needs_rows_and_columns(globe):
    with pytest.raises(GridError, match="a mesh has none"):
        Regridder(Grid.from_dataset(globe, location="node"), 10.0, "bicubic")


def test_nothing_is_beyond_the_outermost_centres_but_by_extrapolation():
    mesh = Grid.from_dataset(made.on_plane(300), location="face")
    target = Grid.points(x=[0.5, 1e-4], y=[0.5, 0.5])
    field = constant(mesh)
    assert np.isfinite(Regridder(mesh, target)(field).values).tolist() == [True, False]
    assert np.isfinite(Regridder(mesh, target, extrapolate="nearest")(field).values).all()


def test_masked_faces_have_no_weight(globe):
    source = Grid.from_dataset(globe, location="face")
    shown = xr.DataArray(sphere.unit_vectors(source.lon.values, source.lat.values)[:, 2] > 0, dims="face")
    masked = Grid.from_dataset(globe, location="face", mask=shown)
    field = xr.where(shown, 1.0, 99.0)
    for method in ("nearest", "bilinear", "conservative", "conservative2"):
        out = Regridder(masked, 5.0, method)(field).values
        assert np.nanmax(np.abs(out - 1.0)) < 1e-12
        # The nearest cell that is not masked serves wherever the source has cells at all.
        assert method == "nearest" or 0.45 < np.isfinite(out).mean() < 0.55
