"""Neighbours of cells: against corners in common, and against the lattice walked cell by cell."""

import numpy as np
import pytest
import scipy.sparse
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from oceankit.fields import Grid, GridError
from oceankit.fields import _adjacency_kernels as kernels
from oceankit.fields.adjacency import adjacency
from oceankit.numerics import threads


def sets(grid: Grid) -> list[set[int]]:
    beside = adjacency(grid)
    assert beside.start.dtype == np.int64
    assert beside.columns.dtype == np.int32
    return [set(beside.columns[a:b].tolist()) for a, b in zip(beside.start[:-1], beside.start[1:], strict=True)]


def matrix(grid: Grid) -> scipy.sparse.csr_array:
    beside = adjacency(grid)
    return scipy.sparse.csr_array((np.ones(beside.columns.size), beside.columns, beside.start), shape=(grid.size,) * 2)


def edges_in_common(grid: Grid) -> list[set[int]]:
    """Cells with two neighbouring corners in the same places, edge by edge in a dictionary."""
    cells = grid.cells()
    nodes = np.round(cells.nodes, 9) + 0.0
    owners: dict[frozenset, list[int]] = {}
    for f, face in enumerate(cells.faces):
        corners = [tuple(nodes[n]) for n in face if n >= 0]
        for a, b in zip(corners, corners[1:] + corners[:1], strict=True):
            if a != b:
                owners.setdefault(frozenset((a, b)), []).append(f)
    out: list[set[int]] = [set() for _ in range(grid.size)]
    for those in owners.values():
        for a in those:
            out[a] |= set(those) - {a}
    return out


@pytest.mark.parametrize(
    "grid",
    [
        Grid.global_regular(30.0),
        Grid.regular(lon=(100, 140, 10), lat=(0, 30, 10)),
        Grid.regular(lon=(-180, 180, 60), lat=(-90, 90, 45)),
        Grid.regular(x=(0, 5, 1), y=(0, 3, 1)),
        Grid.from_dataset(xr.Dataset(coords={"lat": [50.0, 40.0, 30.0], "lon": [170.0, 175.0, -180.0, -175.0]})),
        Grid.from_dataset(
            xr.Dataset(coords={"lat": np.arange(-75.0, 90, 30), "lon": np.roll(np.arange(0, 360, 45), 3)})
        ),
    ],
    ids=["global", "regional", "from the seam", "plane", "falling, across the date line", "rolled"],
)
def test_rectilinear_cells_share_edges(grid):
    assert sets(grid) == edges_in_common(grid)


def test_axes_with_gaps():
    ds = xr.Dataset(
        {
            "lon_bnds": (("lon", "b"), [[0.0, 10], [10, 20], [40, 50]]),
            "lat_bnds": (("lat", "b"), [[0.0, 10], [10, 20]]),
        },
        coords={"lon": [5.0, 15, 45], "lat": [5.0, 15]},
    )
    assert sets(Grid.from_dataset(ds)) == [{1, 3}, {0, 4}, {5}, {0, 4}, {1, 3}, {2}]


@given(st.integers(1, 6), st.integers(1, 7), st.booleans())
@settings(max_examples=40, deadline=None)
def test_rows_and_columns_of_any_number(ny, nx, planar):
    lon, lat = np.meshgrid(np.arange(nx) * 2.0, np.arange(ny) * 2.0)
    names = ("x", "y") if planar else ("lon", "lat")
    ds = xr.Dataset(coords={names[0]: (("j", "i"), lon), names[1]: (("j", "i"), lat)})
    expected = [
        {jj * nx + ii for jj, ii in ((j - 1, i), (j + 1, i), (j, i - 1), (j, i + 1)) if 0 <= jj < ny and 0 <= ii < nx}
        for j in range(ny)
        for i in range(nx)
    ]
    assert sets(Grid.from_dataset(ds)) == expected


def test_cells_without_a_place_have_no_neighbours():
    lon, lat = np.meshgrid(np.arange(4.0), np.arange(3.0))
    lon[1, 1] = lat[1, 1] = np.nan
    found = sets(Grid.from_dataset(xr.Dataset(coords={"lon": (("j", "i"), lon), "lat": (("j", "i"), lat)})))
    assert found[5] == set()
    assert found[1] == {0, 2}
    assert found[6] == {2, 7, 10}


# ---- tripolar grids --------------------------------------------------------------------------------------------------


NY, NX = 6, 24
MIRROR = NX - 1 - np.arange(NX)


def tripolar(pivot: bool, rows_beyond: int, halo_columns: int) -> tuple[Grid, np.ndarray]:
    """A grid with a fold beyond its last row of originals, or through it, and the number of the original of each cell.

    Rows beyond the fold mirror the last ones, ``halo_columns`` on each side repeat those of the other side.
    """
    along = (np.arange(NX) + 0.5) / NX * 2 * np.pi
    down = np.radians((0 if pivot else 3) + 6 * np.arange(NY))[::-1, None]
    z = np.cos(down) * np.ones(NX)
    # Rings around a line through the pole, flatter the nearer they are to it.
    x, y = 1.6 * np.sin(down + 0.35) * np.cos(along), 0.9 * np.sin(down) * np.sin(along)
    lon, lat = np.degrees(np.arctan2(y, x)), np.degrees(np.arctan2(z, np.hypot(x, y)))
    number = np.arange(NY * NX).reshape(NY, NX)
    if pivot:
        number[-1, NX // 2 :] = number[-1, MIRROR][NX // 2 :]
        lon[-1], lat[-1] = lon[-1, MIRROR], lat[-1, MIRROR]
    for k in range(rows_beyond):
        row = NY - 1 - k - pivot
        lon, lat, number = (np.concatenate([v, v[row, MIRROR][None]]) for v in (lon, lat, number))
    if halo_columns:
        lon, lat, number = (np.pad(v, ((0, 0), (halo_columns, halo_columns)), mode="wrap") for v in (lon, lat, number))
    return Grid.from_dataset(xr.Dataset(coords={"lon": (("j", "i"), lon), "lat": (("j", "i"), lat)})), number


@pytest.mark.parametrize("halo_columns", [0, 1])
@pytest.mark.parametrize(("pivot", "rows_beyond"), [(False, 0), (False, 1), (True, 0), (True, 1)])
def test_copies_have_the_neighbours_of_their_originals(pivot, rows_beyond, halo_columns):
    """The same neighbours whatever halos the file has: those of the grid without any, walked cell by cell."""
    grid, number = tripolar(pivot, rows_beyond, halo_columns)
    original = np.arange(NY * NX)
    if pivot:
        original.reshape(NY, NX)[-1] = np.minimum(np.arange(NX), MIRROR) + (NY - 1) * NX
    expected = {cell: set() for cell in range(NY * NX)}
    for cell in range(NY * NX):
        j, i = divmod(cell, NX)
        beside = {j * NX + (i - 1) % NX, j * NX + (i + 1) % NX} | ({cell - NX} if j else set())
        if j + 1 < NY:
            beside.add(cell + NX)
        elif not pivot:
            beside.add(j * NX + NX - 1 - i)
        expected[original[cell]] |= {int(original[c]) for c in beside}
    found = sets(grid)
    flat = number.ravel()
    for cell in range(grid.size):
        own = flat[cell]
        assert {int(flat[c]) for c in found[cell]} == expected[own] - {own}, (cell, own)
        assert not grid.topology.halo.ravel()[list(found[cell])].any()


def test_a_fold_through_a_row_of_points(samples):
    """ORCA2's last row is its own mirror image: each of its cells lies between two of the row before it."""
    with xr.open_dataset(samples / "orca2_votemper.nc", decode_times=False) as ds:
        grid = Grid.from_dataset(ds.load())
    ny, nx = grid.shape
    found = sets(grid)
    last = (ny - 1) * nx
    # Column 90 is the pivot.
    assert found[last + 60] == {last + 59, last + 61, last - nx + 60, last - nx + 120}
    assert found[last + 120] == found[last + 60]


def test_real_grids_are_symmetric_but_for_copies(nemo, samples):
    with xr.open_dataset(samples / "orca2_votemper.nc", decode_times=False) as ds:
        orca2 = Grid.from_dataset(ds.load())
    for grid in (Grid.from_dataset(nemo), orca2):
        m = matrix(grid)
        real = np.ones(grid.size, bool)
        apart = (m != m.T).tocoo()
        halo = grid.topology.halo.ravel()
        assert not (real[apart.row] & ~halo[apart.row] & ~halo[apart.col]).any()
        assert m.diagonal().max() == 0


def test_eorca1_across_its_seam_and_fold(nemo):
    grid = Grid.from_dataset(nemo)
    ny, nx = grid.shape
    found = sets(grid)
    assert found[200 * nx] == {199 * nx, 201 * nx, 200 * nx + 1, 201 * nx - 1}
    last = (ny - 1) * nx
    assert found[last + 30] == {last + 29, last + 31, last - nx + 30, last + nx - 1 - 30}
    turned = nemo.isel(y=slice(None, None, -1))
    backwards = matrix(Grid.from_dataset(turned)).tocoo()
    place = np.arange(grid.size).reshape(ny, nx)[::-1].ravel()
    m = matrix(grid).tocoo()
    assert set(zip(place[backwards.row], place[backwards.col], strict=True)) == set(zip(m.row, m.col, strict=True))


# ---- meshes -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["SFBOFS_subset1.nc", "fesom.mesh.diag.nc"])
def test_faces_of_real_meshes(shared, name):
    with xr.open_dataset(shared / "data/unstructured" / name, decode_times=False) as ds:
        grid = Grid.from_dataset(ds.load())
    assert (grid.kind, grid.location) == ("mesh", "face")
    assert sets(grid) == edges_in_common(grid)


def test_faces_that_bring_their_own_corners():
    """As ICON writes them: the corners of neighbours are the same places, not the same nodes."""
    base = Grid.global_regular(30.0)
    corners = base.cells()
    lon = np.degrees(np.arctan2(corners.nodes[:, 1], corners.nodes[:, 0]))[corners.faces]
    lat = np.degrees(np.arcsin(corners.nodes[:, 2]))[corners.faces]
    x, y = np.meshgrid(base.lon.values, base.lat.values)
    ds = xr.Dataset(
        {"clon_bnds": (("cell", "v"), lon), "clat_bnds": (("cell", "v"), lat)},
        coords={
            "clon": ("cell", x.ravel(), {"standard_name": "longitude", "units": "degrees_east", "bounds": "clon_bnds"}),
            "clat": ("cell", y.ravel(), {"standard_name": "latitude", "units": "degrees_north", "bounds": "clat_bnds"}),
        },
    )
    grid = Grid.from_dataset(ds)
    assert grid.kind == "mesh"
    assert sets(grid) == sets(base)


def test_nodes_of_a_mesh(shared):
    with xr.open_dataset(shared / "data/unstructured/SFBOFS_subset1.nc", decode_times=False) as ds:
        nodes = ds[["lon", "lat", "nv", "zeta", "temp"]].load()
    grid = Grid.from_dataset(nodes)
    assert grid.location == "node"
    expected: list[set[int]] = [set() for _ in range(grid.size)]
    for a, b, c in nodes["nv"].values.T.astype(int) - 1:
        for node, others in ((a, (b, c)), (b, (a, c)), (c, (a, b))):
            expected[node] |= {int(n) for n in others}
    assert sets(grid) == expected


# ---- manners ------------------------------------------------------------------------------------------------------------


def test_threads_change_nothing():
    grid = Grid.global_regular(0.9)
    with threads.limit(1):
        one = adjacency(grid)
    with threads.limit(3):
        many = adjacency(grid)
    np.testing.assert_array_equal(one.start, many.start)
    np.testing.assert_array_equal(one.columns, many.columns)


def test_points_have_no_neighbours():
    with pytest.raises(GridError, match="list of points"):
        adjacency(Grid.points([0.0, 1.0], [0.0, 1.0]))


def test_kernels_as_python(monkeypatch):
    """What the compiler makes of them is what they say."""
    grid = Grid.global_regular(45.0)
    compiled = sets(grid)
    monkeypatch.setattr(kernels, "of_lattice", kernels.of_lattice.py_func)
    assert sets(grid) == compiled
