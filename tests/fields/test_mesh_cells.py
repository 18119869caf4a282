"""Cells of the nodes of a mesh, and patches between the centres of its faces."""

import made_meshes as made
import numpy as np
import pytest
import xarray as xr

from oceankit.fields import Grid, GridError, dual
from oceankit.numerics import sphere
from oceankit.numerics.cells import Cells
from oceankit.numerics.overlap import overlaps


def both(ds: xr.Dataset) -> tuple[Grid, Grid]:
    return Grid.from_dataset(ds, location="node"), Grid.from_dataset(ds, location="face")


def radians2(grid: Grid) -> np.ndarray:
    """Areas on the unit sphere, or in the plane's units."""
    return grid.area().values / (1.0 if grid.planar else sphere.EARTH_RADIUS**2)


def patches(grid: Grid) -> Cells:
    rows = dual.patches_of_centres(grid._mesh, grid.centres())
    return Cells(grid.centres(), rows, np.zeros(len(rows), bool), grid.planar)


# ---- cells of nodes ---------------------------------------------------------------------------------------------------


def test_one_square_of_two_triangles():
    node, _ = both(made.ugrid(np.array([0.0, 3, 3, 0]), np.array([0.0, 0, 3, 3]), [[0, 1, 2], [2, 3, 0]], planar=True))
    corners = [tuple(c) for c in np.stack([node.corners[v].values[0] for v in ("x_bnds", "y_bnds")], axis=1).round(12)]
    assert corners[:6] == [(0, 0), (1.5, 0), (2, 1), (1.5, 1.5), (1, 2), (0, 1.5)]
    np.testing.assert_allclose(node.area().values, [3, 1.5, 3, 1.5], rtol=1e-15)


@pytest.mark.parametrize(
    "ds", [made.on_sphere(3000), made.icosahedral(3), made.on_sphere(12)], ids=["random", "ico", "12"]
)
def test_cells_of_nodes_tile_the_sphere(ds):
    node, face = both(ds)
    assert node.has_cells
    assert abs(radians2(node).sum() / (4 * np.pi) - 1) < 1e-12
    assert abs(radians2(face).sum() / (4 * np.pi) - 1) < 1e-12
    report = node.report()
    assert [report[k] for k in ("bow_ties", "zero_area", "without_corners", "clockwise")] == [0, 0, 0, 0]
    rows = overlaps(node.cells(), node.cells())
    apart = rows.numbers() != rows.columns
    assert rows.values[apart].sum() < 1e-12


def test_on_a_plane_a_triangle_gives_each_node_a_third():
    ds = made.on_plane(400, holes=60)
    node, face = both(ds)
    thirds = np.bincount(ds["face_nodes"].values.ravel(), np.repeat(face.area().values / 3, 3), minlength=node.size)
    np.testing.assert_allclose(np.nan_to_num(node.area().values), thirds, rtol=1e-12, atol=1e-15)
    assert node.area().values[thirds > 0].sum() == pytest.approx(face.area().values.sum(), rel=1e-13)


def test_quadrangles_and_triangles():
    node, face = both(made.quads(7, 6))
    assert node.area().values.sum() == pytest.approx(face.area().values.sum(), rel=1e-13)
    assert node.report()["clockwise"] == 0


def test_islands_that_touch_in_a_node():
    """Four triangles around a node, of which two that are opposite are gone: the cell is both parts in one polygon."""
    x, y = np.array([0.0, 1, 0, -1, 0]), np.array([0.0, 0, 1, 0, -1])
    whole = made.ugrid(x, y, [[0, 1, 2], [0, 2, 3], [0, 3, 4], [0, 4, 1]], planar=True)
    pinched = whole.isel(face=[0, 2])
    assert both(whole)[0].area().values[0] == pytest.approx(2 / 3, rel=1e-15)
    node, _ = both(pinched)
    assert node.area().values[0] == pytest.approx(1 / 3, rel=1e-15)
    assert node.report()["bow_ties"] == 0
    assert not node.cells().convex[0]
    around = node.corners["x_bnds"].values[0]
    assert np.isfinite(around).sum() == 8
    # Its overlap with the first quadrant is the part that lies there.
    quadrant = Grid.regular(x=(0, 1, 1), y=(0, 1, 1))
    assert overlaps(quadrant.cells(), node.cells()).values[0] == pytest.approx(1 / 6, rel=1e-14)


def test_nodes_in_no_face_have_no_cell():
    ds = made.ugrid(np.array([0.0, 1, 0, 9]), np.array([0.0, 0, 1, 9]), [[0, 1, 2], [3, 3, 3]], planar=True)
    node, _ = both(ds)
    np.testing.assert_allclose(node.area().values, [1 / 6, 1 / 6, 1 / 6, np.nan])
    assert node.report()["without_corners"] == 1
    assert np.isnan(node.corners["x_bnds"].values[3]).all()


def test_repeated_corners_are_one():
    x, y = np.array([0.0, 1, 1, 0]), np.array([0.0, 0, 1, 1])
    as_quads, _ = both(made.ugrid(x, y, [[0, 1, 2, 2], [0, 0, 2, 3]], planar=True))
    as_triangles, _ = both(made.ugrid(x, y, [[0, 1, 2], [0, 2, 3]], planar=True))
    np.testing.assert_allclose(as_quads.area().values, as_triangles.area().values, rtol=1e-15)


def test_cells_do_not_depend_on_how_faces_are_written():
    ds = made.on_sphere(200)
    turned = ds.assign(face_nodes=ds["face_nodes"].isel(corner=[2, 1, 0]))
    rolled = ds.assign(face_nodes=ds["face_nodes"].isel(corner=[1, 2, 0], face=slice(None, None, -1)))
    for other in (turned, rolled):
        np.testing.assert_allclose(both(other)[0].area().values, both(ds)[0].area().values, rtol=1e-12)


def test_fesoms_own_areas(shared):
    """FESOM's areas are planar, in longitude and latitude of its rotated frame; of a triangle each node gets a third.

    With its formula its areas of triangles come out to 1e-12, so triangles and nodes are the same. Ours differ by
    what the formula leaves out: by at most one and a half times what cos(lat) varies within the triangle.
    """
    with xr.open_dataset(shared / "data/unstructured/fesom.mesh.diag.nc") as ds:
        ds = ds.load()
    node, face = both(ds)
    radius = 6_367_500.0
    corners = _in_fesoms_frame(ds)[ds["elements"].values.T - 1]
    lon, lat = np.arctan2(corners[..., 1], corners[..., 0]), np.arcsin(corners[..., 2])
    dx, dy = ((v[:, 1:] - v[:, :1] + np.pi) % (2 * np.pi) - np.pi for v in (lon, lat))
    planar = 0.5 * np.abs(dx[:, 0] * dy[:, 1] - dx[:, 1] * dy[:, 0]) * np.cos(lat.mean(axis=1)) * radius**2
    np.testing.assert_allclose(ds["elem_area"].values, planar, rtol=1e-12)

    off = np.abs(radians2(face) * radius**2 / ds["elem_area"].values - 1)
    varies = (np.cos(lat).max(axis=1) - np.cos(lat).min(axis=1)) / np.cos(lat).mean(axis=1)
    assert (off < 1.5 * varies).all()
    assert np.median(off) < 0.007
    theirs = ds["nod_area"].values[0]
    off = np.abs(radians2(node) * radius**2 / theirs - 1)
    assert off.max() < 0.03
    assert np.median(off) < 0.002
    assert radians2(node).sum() * radius**2 == pytest.approx(theirs.sum(), rel=1e-4)
    # With the same areas of triangles, all that is left is that on the sphere a median does not halve exactly.
    thirds = np.bincount(ds["elements"].values.T.ravel() - 1, np.repeat(radians2(face) / 3, 3))
    assert np.abs(radians2(node) / thirds - 1).max() < 1e-3
    assert radians2(node).sum() == pytest.approx(radians2(face).sum(), rel=1e-13)


def _in_fesoms_frame(ds: xr.Dataset) -> np.ndarray:
    """Unit vectors of the nodes in the frame turned by the Euler angles 50, 15 and -90 degrees."""
    (ca, cb, cg), (sa, sb, sg) = (f(np.radians([50.0, 15.0, -90.0])) for f in (np.cos, np.sin))
    turn = [
        [cg * ca - sg * cb * sa, cg * sa + sg * cb * ca, sg * sb],
        [-sg * ca - cg * cb * sa, -sg * sa + cg * cb * ca, cg * sb],
        [sb * sa, -sb * ca, cb],
    ]
    return sphere.unit_vectors(ds["lon"].values, ds["lat"].values) @ np.array(turn).T


@pytest.mark.parametrize("name", ["SFBOFS_subset1.nc", "out2d_1.nc", "fesom.mesh.diag.nc"])
def test_areas_of_nodes_and_faces_of_real_meshes_add_up_alike(shared, name):
    with xr.open_dataset(shared / "data/unstructured" / name, decode_times=False) as ds:
        node, face = both(ds)
    assert radians2(node).sum() == pytest.approx(radians2(face).sum(), rel=1e-13)
    assert node.report()["bow_ties"] == node.report()["zero_area"] == 0
    assert np.isfinite(node.reach()).all()


# ---- patches between centres of faces ---------------------------------------------------------------------------------


def _covered_once(grid: Grid) -> float:
    """Assert that patches overlap nowhere and are counter-clockwise; returns their share of the mesh's area."""
    cells = patches(grid)
    status, _ = sphere.orient(cells.nodes, cells.faces.copy(), grid.planar)
    assert (status == sphere.GOOD).all()
    areas = sphere.polygon_areas(cells.nodes, cells.faces, grid.planar)
    rows = overlaps(cells, cells)
    apart = rows.numbers() != rows.columns
    assert rows.values[apart].sum() < 1e-12 * areas.sum()
    return areas.sum() / radians2(grid).sum()


@pytest.mark.parametrize("ds", [made.on_sphere(3000), made.icosahedral(3)], ids=["random", "ico"])
def test_patches_tile_the_sphere(ds):
    assert _covered_once(both(ds)[1]) == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize("name", ["SFBOFS_subset1.nc", "out2d_1.nc", "fesom.mesh.diag.nc"])
def test_real_meshes_are_covered_once_by_patches(shared, name):
    with xr.open_dataset(shared / "data/unstructured" / name, decode_times=False) as ds:
        share = _covered_once(both(ds)[1])
    assert 0.8 < share < 0.95


def test_meshes_with_holes_are_covered_once_by_patches():
    for seed in range(5):
        assert 0.4 < _covered_once(both(made.on_plane(600, holes=40, seed=seed))[1]) < 0.9


def test_a_polygon_that_is_not_convex_is_cut_within():
    """Around the node in the middle, one centre is far inside of the others: no fan from any corner would do."""
    x = np.array([0.0, 4, 1, 0, -1, -4, -1, 0, 1])
    y = np.array([0.0, 0, 1, 4, 1, 0, -1, -4, -1])
    ring = np.arange(1, 9)
    ds = made.ugrid(x, y, np.stack([np.zeros(8, int), ring, np.roll(ring, -1)], axis=1), planar=True)
    centres = np.column_stack(
        [[3.0, 0.4, -0.4, -3, -3, -0.4, 0.4, 3], [0.5, 3, 3, 0.5, -0.5, -3, -3, -0.5], np.ones(8)]
    )
    centres[[1, 5], :2] *= 0.1
    grid = both(ds)[1]
    rows = dual.patches_of_centres(grid._mesh, centres)
    areas = sphere.polygon_areas(centres, rows, True)
    whole = sphere.polygon_areas(centres, np.arange(8, dtype=np.int32)[None], True)
    assert areas.min() > 0
    assert areas.sum() == pytest.approx(whole[0], rel=1e-12)


def test_faces_with_more_than_four_corners_are_cut():
    angle = np.radians(np.arange(0, 360, 60))
    ds = made.ugrid(np.cos(angle), np.sin(angle), [np.arange(6)], planar=True)
    mesh = both(ds)[0]._mesh
    rows = dual.patches_of_nodes(mesh)
    assert rows.shape == (4, 4)
    points = np.column_stack([mesh.node_x, mesh.node_y, np.ones(6)])
    assert sphere.polygon_areas(points, rows, True).sum() == pytest.approx(1.5 * np.sqrt(3), rel=1e-14)


# ---- where the values stand -------------------------------------------------------------------------------------------


def test_location_is_chosen():
    ds = made.on_sphere(50)
    ds["a"] = ("node", np.zeros(50))
    assert Grid.from_dataset(ds).dims == ("node",)
    assert Grid.from_dataset(ds, location="face").dims == ("face",)
    with pytest.raises(GridError, match=r"location='edge'.*'node', 'face'"):
        Grid.from_dataset(ds, location="edge")
    regular = xr.Dataset(coords={"lon": np.arange(4.0), "lat": np.arange(3.0)})
    with pytest.raises(GridError, match=r"location='node' is for meshes"):
        Grid.from_dataset(regular, location="node")


def test_what_fesom_writes_of_its_mesh_is_no_data(shared):
    folder = shared / "data/unstructured"
    with xr.open_dataset(folder / "fesom.mesh.diag.nc") as mesh:
        for name, location in (("temp", "node"), ("u", "face")):
            with xr.open_dataset(folder / f"{name}.fesom.1948.nc") as ds:
                assert Grid.from_dataset(xr.merge([ds, mesh])).location == location


def test_corners_first_without_a_word_of_it():
    """SELFE and ADCIRC write (corner, face) and say nothing of it."""
    ds = made.on_sphere(50)
    del ds["mesh"].attrs["face_dimension"]
    expected = both(ds)[1].area().values
    selfe = ds.assign(face_nodes=ds["face_nodes"].transpose("corner", "face"))
    assert Grid.from_dataset(selfe, location="face").dims == ("face",)
    np.testing.assert_array_equal(both(selfe)[1].area().values, expected)
