"""Binning, inverse distance and nearest target: against SciPy, pandas and brute force."""

import dask
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from analytic import on_grid, rotated_grid, smooth, vortex
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import cKDTree
from scipy.stats import binned_statistic_2d

from oceankit.fields import Grid, GridError
from oceankit.numerics import threads
from oceankit.numerics.cells import Cells
from oceankit.numerics.locate import _winds_around, cells_of, tangents
from oceankit.numerics.sphere import great_circle_distance, unit_vectors
from oceankit.regridding import Regridder, regrid
from oceankit.regridding import _binning_kernels as kernels
from oceankit.regridding.binning import STATISTICS, Bins, holders
from oceankit.regridding.operators import restored

OF_VALUES = tuple(s for s in STATISTICS if s != "count")


def scatter(n: int, seed: int = 0, gaps: float = 0.1, dim: str = "obs") -> xr.DataArray:
    """Values at random points of the sphere, some of them missing."""
    rng = np.random.default_rng(seed)
    lon, lat = rng.uniform(-180, 180, n), np.degrees(np.arcsin(rng.uniform(-1, 1, n)))
    values = rng.normal(size=n)
    values[rng.random(n) < gaps] = np.nan
    return xr.DataArray(values, dims=dim, coords={"lon": (dim, lon), "lat": (dim, lat)}, name="v")


def places(data: xr.DataArray) -> Grid:
    return Grid.points(data["lon"], data["lat"])


def binned(data: xr.DataArray, target: Grid, statistic: str) -> np.ndarray:
    return Regridder(places(data), target, statistic)(data).values


# ---- binning between parallels and meridians ---------------------------------------------------------------------------


@pytest.mark.parametrize("statistic", STATISTICS)
@pytest.mark.parametrize("n", [50, 20_000])
def test_same_as_scipy(statistic, n):
    data = scatter(n)
    ours = binned(data, Grid.regular(lon=(-180, 180, 10), lat=(-90, 90, 10)), statistic)
    there = data.dropna("obs")
    bins = [np.arange(-90, 91, 10), np.arange(-180, 181, 10)]
    theirs = binned_statistic_2d(there.lat, there.lon, there.values, statistic, bins=bins).statistic
    np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-14)
    assert ours.dtype == (np.int64 if statistic == "count" else np.float64)


@pytest.mark.parametrize("planar", [False, True])
def test_points_on_edges_are_where_numpys_histogram_has_them(planar):
    """Every point on an edge or a corner: low edges belong to the cell, the outermost high ones too."""
    x, y = (a.ravel().astype(float) for a in np.meshgrid(np.arange(98, 152, 1), np.arange(-22, 33, 1)))
    names = ("x", "y") if planar else ("lon", "lat")
    target = Grid.regular(**{names[0]: (100, 150, 5), names[1]: (-20, 30, 10)})
    source = Grid.points(**{names[0]: x, names[1]: y})
    regridder = Regridder(source, target, "count")
    ours = regridder(xr.DataArray(np.ones(x.size), dims="points"))
    theirs = np.histogram2d(y, x, bins=[np.arange(-20, 31, 10), np.arange(100, 151, 5)])[0]
    np.testing.assert_array_equal(ours.values, theirs)
    assert regridder._operator.n_unused == x.size - theirs.sum()


def test_around_the_globe_the_last_edge_is_the_first():
    lon = np.array([0.0, 360.0, -360.0, 359.999, -1e-9, 180.0, -180.0, 540.0, 90.0, 89.999999])
    data = xr.DataArray(np.ones(lon.size), dims="obs", coords={"lon": ("obs", lon), "lat": ("obs", np.zeros(lon.size))})
    for target in (
        Grid.regular(lon=(0, 360, 90), lat=(-90, 90, 180)),
        Grid.regular(lon=(-180, 180, 90), lat=(-90, 90, 180)),
        Grid.regular(lon=(90, 450, 90), lat=(-90, 90, 180)),
    ):
        found = dict(zip(np.mod(target.lon.values, 360.0), binned(data, target, "count")[0], strict=True))
        assert found == {45.0: 4, 135.0: 1, 225.0: 3, 315.0: 2}


def test_latitudes_up_to_the_pole():
    lat = np.array([-90.0, -90.0, 90.0, 60.0, 59.9])
    data = xr.DataArray(np.ones(5), dims="obs", coords={"lon": ("obs", np.full(5, 12.0)), "lat": ("obs", lat)})
    assert binned(data, Grid.global_regular(30.0), "count")[:, 0].tolist() == [2, 0, 0, 0, 1, 2]


def test_axes_in_any_order():
    """Falling latitudes, longitudes that begin anywhere, in any turn: the same cells."""
    data = scatter(3000)
    base = Regridder(places(data), Grid.global_regular(10.0), "median")(data)
    template = base.drop_attrs()
    for other in (
        template.isel(lat=slice(None, None, -1)),
        template.roll(lon=13, roll_coords=True),
        template.isel(lon=slice(None, None, -1)),
        template.assign_coords(lon=(template.lon + 180) % 360 - 180),
        template.assign_coords(lon=template.lon - 360),
    ):
        # Derived edges differ from given ones in the last digit, and no point is so close to one.
        found = Regridder(places(data), other, "median")(data)
        np.testing.assert_array_equal(
            found.sel(lat=base.lat).values[:, np.argsort(found.lon.values % 360)], base.values
        )
    regional = base.sel(lon=slice(100, 200))
    west = Regridder(places(data), regional.assign_coords(lon=(regional.lon + 180) % 360 - 180).drop_attrs(), "median")
    np.testing.assert_array_equal(west(data).values, regional.values)


def test_between_cells_there_is_nothing():
    ds = xr.Dataset(
        {"lon_bnds": (("lon", "b"), [[0.0, 10], [20, 30]]), "lat_bnds": (("lat", "b"), [[0.0, 10]])},
        coords={"lon": [5.0, 25], "lat": [5.0]},
    )
    lon = np.array([-0.1, 0.0, 9.9, 10.0, 15.0, 20.0, 30.0, 30.1, 365.0])
    data = xr.DataArray(np.ones(9), dims="obs", coords={"lon": ("obs", lon), "lat": ("obs", np.full(9, 5.0))})
    regridder = Regridder(places(data), Grid.from_dataset(ds), "count")
    assert regridder(data).values.tolist() == [[3, 2]]
    assert regridder._operator.n_unused == 4


def test_centres_of_any_grid_are_places(nemo):
    """Cells of eORCA1 by their centres, as pandas groups them."""
    sst = nemo["tos"].squeeze(drop=True).astype(np.float64)
    regridder = Regridder(nemo, Grid.regular(lon=(-180, 180, 5), lat=(-90, 90, 5)), "median")
    halo = regridder.source.topology.halo
    frame = pd.DataFrame({"i": np.floor(sst.nav_lon.values.ravel() / 5), "j": np.floor(sst.nav_lat.values.ravel() / 5)})
    groups = frame.assign(v=sst.values.ravel())[~halo.ravel()].groupby(["j", "i"])["v"].median().dropna()
    ours = regridder(sst)
    assert int(ours.notnull().sum()) == groups.size > 1000
    j, i = (np.array(groups.index.get_level_values(k), int) for k in ("j", "i"))
    np.testing.assert_allclose(ours.values[j + 18, i + 36], groups.values, rtol=1e-15)


def test_rectilinear_source():
    field = on_grid(Grid.global_regular(2.0), vortex)
    np.testing.assert_allclose(regrid(field, 10.0, "max").values, field.coarsen(lat=5, lon=5).max().values, rtol=1e-15)
    np.testing.assert_array_equal(regrid(field, 10.0, "count").values, 25)


# ---- binning in polygons ------------------------------------------------------------------------------------------------


def inside(points: np.ndarray, grid: Grid) -> np.ndarray:
    """bool (points, cells): which convex cells hold which points, by the sides of all their edges."""
    cells = grid.cells()
    out = np.ones((points.shape[0], grid.size), bool)
    for f, face in enumerate(cells.faces):
        corners = cells.nodes[face[face >= 0]]
        for a, b in zip(corners, np.roll(corners, -1, axis=0), strict=True):
            out[:, f] &= points @ np.cross(a, b) > 0
    return out


def around(grid: Grid, n: int) -> xr.DataArray:
    """Random points in and around a grid."""
    rng = np.random.default_rng(1)
    (west, east), (south, north) = ((a.values.min(), a.values.max()) for a in (grid.lon, grid.lat))
    dx, dy = 0.1 * (east - west), 0.1 * (north - south)
    lon, lat = rng.uniform(west - dx, east + dx, n), rng.uniform(max(south - dy, -90.0), min(north + dy, 90.0), n)
    return xr.DataArray(rng.normal(size=n), dims="obs", coords={"lon": ("obs", lon), "lat": ("obs", lat)})


def check_polygons(grid: Grid, data: xr.DataArray) -> None:
    holds = inside(unit_vectors(data.lon.values, data.lat.values), grid)
    assert holds.sum(axis=1).max() == 1
    cell = np.where(holds.any(axis=1), holds.argmax(axis=1), -1)
    assert (cell >= 0).sum() > 100
    np.testing.assert_array_equal(holders(places(data), grid), cell)
    frame = pd.DataFrame({"cell": cell, "v": data.values})[cell >= 0].groupby("cell")["v"]
    for statistic in STATISTICS:
        expected = getattr(frame, statistic)().reindex(
            range(grid.size), fill_value=0 if statistic == "count" else np.nan
        )
        np.testing.assert_allclose(binned(data, grid, statistic).ravel(), expected.values, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("pole", [(40.0, 160.0), (5.0, -20.0), (90.0, 0.0)])
def test_curvilinear_cells(pole):
    grid = rotated_grid(6, 9, pole=pole)
    check_polygons(grid, around(grid, 3000))


@pytest.mark.parametrize("name", ["SFBOFS_subset1.nc", "fesom.mesh.diag.nc"])
def test_faces_of_real_meshes(shared, name):
    with xr.open_dataset(shared / "data/unstructured" / name, decode_times=False) as ds:
        grid = Grid.from_dataset(ds.load())
    check_polygons(grid, around(grid, 1500))


@pytest.mark.parametrize("pole", [(40.0, 160.0), (90.0, 0.0)])
def test_points_on_edges_and_corners_are_in_one_cell(pole):
    """Corners and points along edges, to the last digit on or beside them."""
    grid = rotated_grid(6, 9, pole=pole)
    cells = grid.cells()
    edges = [(f[k], f[(k + 1) % 4]) for f in cells.faces for k in range(4)]
    ends = np.array([cells.nodes[list(e)] for e in edges])
    on_edges = np.concatenate([ends[:, 0] * (1 - t) + ends[:, 1] * t for t in (0.0, 0.25, 0.5, 0.7)])
    on_edges /= np.linalg.norm(on_edges, axis=1, keepdims=True)
    first = cells_of(on_edges, cells)
    backwards = cells._replace(faces=np.ascontiguousarray(cells.faces[::-1]))
    last = cells_of(on_edges, backwards)
    number = np.bincount(cells.faces.ravel())[np.array(edges)[:, 0]]
    # The same cell whichever way one looks for it: there is only one.
    np.testing.assert_array_equal(np.where(last >= 0, grid.size - 1 - last, -1), first)
    corners = first[: len(edges)]
    assert (corners[number == 4] >= 0).all()
    # A tiny step to all sides finds every cell beside an edge; the edge is in one of those.
    for k in range(0, on_edges.shape[0], 7):
        if first[k] >= 0:
            face = cells.nodes[cells.faces[first[k]]]
            sides = [on_edges[k] @ np.cross(a, b) for a, b in zip(face, np.roll(face, -1, axis=0), strict=True)]
            assert min(sides) > -1e-15


def test_cells_that_are_not_convex():
    """An L and the square in its corner, on a plane; a point in the notch is in the square."""
    nodes = np.array([[0.0, 0], [2, 0], [2, 1], [1, 1], [1, 2], [0, 2], [2, 2]])
    faces = np.array([[0, 1, 2, 3, 4, 5], [3, 2, 6, 4, -1, -1]], np.int32)
    cells = Cells(np.column_stack([nodes, np.ones(7)]), faces, np.array([False, True]), True)
    x, y = (a.ravel() for a in np.meshgrid(np.linspace(-0.25, 2.25, 11), np.linspace(-0.25, 2.25, 11)))
    found = cells_of(np.column_stack([x, y, np.ones(x.size)]), cells)
    square = (x > 1) & (y > 1) & (x < 2) & (y < 2)
    ell = (x > 0) & (y > 0) & (x < 2) & (y < 2) & ((x < 1) | (y < 1))
    assert (found[square] == 1).all()
    assert (found[ell] == 0).all()
    assert (found[(x < 0) | (y < 0) | (x > 2) | (y > 2)] == -1).all()
    # What lies on the edges between the two is in one of them.
    assert (found[((x == 1) & (y > 1) & (y < 2)) | ((y == 1) & (x > 1) & (x < 2))] >= 0).all()


def test_a_cell_around_the_pole():
    """A cap of six corners at 80 N, with the pole in it."""
    lon = np.arange(0.0, 360, 60)
    nodes = unit_vectors(lon, np.full(6, 80.0))
    cells = Cells(nodes, np.arange(6, dtype=np.int32)[None], np.ones(1, bool), False)
    points = unit_vectors(np.array([0.0, 10.0, 30.0, 30.0, 30.0]), np.array([90.0, 85.0, 81.0, 81.5, -90.0]))
    assert cells_of(points, cells).tolist() == [0, 0, -1, 0, -1]


def test_copies_in_halos_have_what_their_originals_have(samples):
    """ORCA2's last row repeats itself: all its cells have the points that fall there, and none is lost."""
    with xr.open_dataset(samples / "orca2_votemper.nc", decode_times=False) as ds:
        grid = Grid.from_dataset(ds.load())
    data = scatter(20_000, gaps=0.0)
    counts = binned(data, grid, "count")
    last = counts[-1]
    np.testing.assert_array_equal(last[1:], last[1:][::-1])
    own = grid.cells()._replace(
        faces=np.where(grid.topology.halo.reshape(-1, 1), -1, grid.cells().faces).astype(np.int32)
    )
    found = (cells_of(unit_vectors(data.lon.values, data.lat.values), own) >= 0).sum()
    assert counts[~grid.topology.halo].sum() == pytest.approx(found, abs=3)


def test_a_plane():
    rng = np.random.default_rng(4)
    x, y, v = rng.uniform(0, 10, 500), rng.uniform(0, 6, 500), rng.normal(size=500)
    data = xr.DataArray(v, dims="points")
    source, target = Grid.points(x=x, y=y), Grid.regular(x=(0, 10, 2), y=(0, 6, 2))
    theirs = binned_statistic_2d(y, x, v, "mean", bins=[np.arange(0, 7, 2), np.arange(0, 11, 2)]).statistic
    np.testing.assert_allclose(Regridder(source, target, "mean")(data).values, theirs, rtol=1e-12)
    xx, yy = np.meshgrid(target.lon.values, target.lat.values)
    two = Grid.from_dataset(xr.Dataset(coords={"x": (("j", "i"), xx), "y": (("j", "i"), yy)}))
    assert two.kind == "curvilinear"
    np.testing.assert_allclose(Regridder(source, two, "mean")(data).values, theirs, rtol=1e-12)


# ---- what holds for any points -----------------------------------------------------------------------------------------


@given(st.integers(1, 400), st.integers(0, 10_000), st.sampled_from([15.0, 30.0, 90.0]))
@settings(max_examples=30, deadline=None)
def test_each_point_counts_once(n, seed, step):
    data = scatter(n, seed)
    # On edges and corners as often as not.
    data = data.assign_coords(lon=data.lon.round(-1), lat=(data.lat / 15).round() * 15)
    counts = binned(data, Grid.global_regular(step), "count")
    assert counts.sum() == data.notnull().sum()
    low, middle, mean, high = (binned(data, Grid.global_regular(step), s) for s in ("min", "median", "mean", "max"))
    some = counts > 0
    for v in (low, middle, mean, high):
        np.testing.assert_array_equal(np.isfinite(v), some)
    assert (low[some] <= middle[some]).all()
    assert (middle[some] <= high[some]).all()
    assert (low[some] <= mean[some] + 1e-12).all()


@pytest.mark.parametrize("method", [*OF_VALUES, "idw", "nearest_target"])
def test_a_constant_stays_constant(method):
    data = scatter(4000)
    out = Regridder(places(data), 5.0, method, min_coverage=0.0)(data * 0 + 1 / 3).values
    assert np.isfinite(out).sum() > 1000
    assert np.nanmax(np.abs(out - 1 / 3)) < 1e-15


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("method", [*STATISTICS, "idw", "nearest_target"])
def test_lazy_is_eager_whatever_the_chunks_and_threads(method, dtype):
    data = scatter(3000).astype(dtype).expand_dims(level=2, time=5) * xr.DataArray(
        [1.0, 2.0, 3.0, 4.0, 5.0], dims="time"
    )
    data = (
        data.astype(dtype)
        .where(np.random.default_rng(3).random(data.shape) < 0.9)
        .transpose("time", "obs", "level")
        .rename("v")
    )
    regridder = Regridder(places(data), 10.0, method)
    with threads.limit(1):
        eager = regridder(data)
    assert eager.dims == ("time", "lat", "lon", "level")
    assert eager.dtype == (np.int64 if method == "count" else dtype)
    with threads.limit(3):
        xr.testing.assert_identical(eager, regridder(data))
    for chunks in ({"time": 1}, {"level": 1, "time": 2}, {"obs": 700}, {"obs": 1000, "time": 2}):
        lazy = regridder(data.chunk(chunks))
        assert dask.is_dask_collection(lazy)
        assert lazy.dtype == eager.dtype
        xr.testing.assert_identical(eager, lazy.compute())
    np.testing.assert_array_equal(regridder(data[2, :, 1]).values, eager.values[2, :, :, 1])


def test_tiles_without_points():
    """Chunks of points far from most of the target: 0 in counts and missing elsewhere, lazily too."""
    data = scatter(200, gaps=0.0)
    data = data.assign_coords(lon=data.lon / 100 + 5, lat=data.lat / 100 + 5)
    for statistic in ("count", "max"):
        regridder = Regridder(places(data), 5.0, statistic)
        xr.testing.assert_identical(regridder(data), regridder(data.chunk(obs=50)).compute())


def test_missing_values_and_masks():
    lon, lat = np.array([0.5, 0.6, 0.7, 1.5, 1.6, 2.5]), np.full(6, 0.5)
    data = xr.DataArray(
        [1.0, np.nan, 3.0, np.nan, np.nan, 7.0], dims="obs", coords={"lon": ("obs", lon), "lat": ("obs", lat)}, name="v"
    )
    target = Grid.regular(lon=(0, 4, 1), lat=(0, 1, 1))
    out = {s: Regridder(places(data), target, s)(data).values[0] for s in STATISTICS}
    np.testing.assert_array_equal(out["mean"], [2, np.nan, 7, np.nan])
    np.testing.assert_array_equal(out["count"], [2, 0, 1, 0])
    strict = {s: Regridder(places(data), target, s, skipna=False)(data).values[0] for s in STATISTICS}
    for s in OF_VALUES:
        np.testing.assert_array_equal(strict[s], [np.nan, np.nan, 7, np.nan])
    np.testing.assert_array_equal(strict["count"], [2, 0, 1, 0])
    np.testing.assert_array_equal(
        Regridder(places(data), target, "mean", min_coverage=1.0)(data).values[0], out["mean"]
    )
    np.testing.assert_allclose(Regridder(places(data), target, "mean").coverage(data).values[0], [2 / 3, 0, 1, 0])
    masked = Grid.from_dataset(data.to_dataset(), mask=xr.DataArray([False, True, True, True, True, True], dims="obs"))
    np.testing.assert_array_equal(Regridder(masked, target, "mean")(data).values[0], [3, np.nan, 7, np.nan])
    wide = Grid.regular(lon=(0, 4, 1), lat=(0, 2, 1))
    ds = xr.Dataset(coords=wide.coords())
    sea = Grid.from_dataset(ds, mask=xr.DataArray([[True, True, False, True]] * 2, dims=("lat", "lon")))
    for s, expected in (("mean", [2, np.nan, np.nan, np.nan]), ("count", [2, 0, 0, 0])):
        regridder = Regridder(places(data), sea, s)
        np.testing.assert_array_equal(regridder(data).values[0], expected)
        assert regridder._operator.n_unused == 1


def test_cells_without_a_place():
    """Blocks of land without coordinates, as some ocean models have them."""
    field = on_grid(rotated_grid(6, 9), vortex)
    lon, lat = field.lon.values.copy(), field.lat.values.copy()
    lon[:3, :3] = lat[:3, :3] = np.nan
    sea = xr.DataArray(np.isfinite(lon), dims=("y", "x"))
    ds = xr.Dataset(coords={"lon": (("y", "x"), lon), "lat": (("y", "x"), lat)})
    regridder = Regridder(Grid.from_dataset(ds, mask=sea), 10.0, "count")
    assert int(regridder(field.drop_vars(["lon", "lat"])).sum()) == 45
    assert regridder._operator.n_unused == 0


def test_weights_of_bins_and_their_file(tmp_path):
    data = scatter(500, gaps=0.0)
    for statistic, total in (("mean", 1.0), ("max", None)):
        regridder = Regridder(places(data), 30.0, statistic)
        weights = regridder.weights
        count = np.bincount(weights["row"].values - 1, minlength=72)
        np.testing.assert_array_equal(count, Regridder(places(data), 30.0, "count")(data).values.ravel())
        sums = np.bincount(weights["row"].values - 1, weights["S"].values, minlength=72)
        np.testing.assert_allclose(sums[count > 0], total or count[count > 0])
        assert sorted(weights["col"].values) == list(range(1, 501))
        regridder.save(tmp_path / f"{statistic}.nc")
        again = Regridder.load(tmp_path / f"{statistic}.nc")
        xr.testing.assert_identical(again(data), regridder(data))
    operator = Regridder(places(data), Grid.regular(lon=(0, 60, 30), lat=(0, 60, 30)), "count")._operator
    same = restored("Bins", operator.arrays())
    assert isinstance(same, Bins)
    assert (same.shape, same.statistic, same.n_unused) == ((4, 500), "count", operator.n_unused)
    np.testing.assert_array_equal(same.columns, operator.columns)


@pytest.mark.parametrize("statistic", STATISTICS)
def test_a_report_of_bins(statistic):
    data = scatter(500, gaps=0.0)
    regridder = Regridder(places(data), Grid.regular(lon=(0, 60, 30), lat=(0, 60, 30)), statistic)
    report = regridder.report()
    assert report.attrs["n_source_cells_unused"] == regridder._operator.n_unused > 400
    np.testing.assert_allclose(report["coverage"].values, 1.0)


def test_attributes_of_counts():
    data = scatter(50).assign_attrs(units="degC", standard_name="sea_surface_temperature", long_name="SST")
    attrs = Regridder(places(data), 30.0, "count")(data).attrs
    assert attrs["units"] == "1"
    assert attrs["standard_name"] == "sea_surface_temperature number_of_observations"
    assert Regridder(places(data), 30.0, "mean")(data).attrs == data.attrs


def test_kernels_as_python():
    """What they say, before they are compiled, is what NumPy says."""
    rng = np.random.default_rng(8)
    fields = rng.integers(0, 5, (3, 40)).astype(float)
    fields[rng.random(fields.shape) < 0.2] = np.nan
    cells = rng.integers(-1, 7, 40)
    cells[cells == 3] = 2
    start, columns = np.zeros(8, np.int64), np.empty(0, np.uint32)
    kernels.sort_by_cell.py_func(cells, start, columns)
    np.testing.assert_array_equal(np.diff(np.cumsum(start)), [(cells == c).sum() for c in range(7)])
    start = np.cumsum(start)
    columns = np.empty(start[-1], np.uint32)
    kernels.sort_by_cell.py_func(cells, start[:-1].copy(), columns)
    functions = {"mean": np.nanmean, "median": np.nanmedian, "least": np.nanmin, "greatest": np.nanmax}
    for name, function in functions.items():
        for strict in (False, True):
            out, compiled = np.empty((3, 7)), np.empty((3, 7))
            getattr(kernels, name).py_func(fields, start, columns, strict, out)
            getattr(kernels, name)(fields, start, columns, strict, compiled)
            np.testing.assert_array_equal(out, compiled)
            for f in range(3):
                for c in range(7):
                    values = fields[f, cells == c]
                    none = not np.isfinite(values).any() or (strict and np.isnan(values).any())
                    expected = np.nan if none else function(values)
                    np.testing.assert_allclose(out[f, c], expected, rtol=1e-15)
    counts = np.empty((3, 7), np.int64)
    kernels.count.py_func(fields, start, columns, counts)
    np.testing.assert_array_equal(counts, [[np.isfinite(f[cells == c]).sum() for c in range(7)] for f in fields])


def test_places_along_an_axis_as_python():
    edges = np.array([-3.0, -1.0, 0.5, 2.0, 7.0])
    at = np.concatenate([edges, np.linspace(-5, 9, 57), [np.nan]])
    found = np.empty(at.size, np.int64)
    kernels.place_in_axis.py_func(at, edges[:-1], edges[1:], 0.0, 0.0, found)
    expected = np.searchsorted(edges, at, side="right") - 1
    expected[at == 7.0] = 3
    expected[~((at >= -3) & (at <= 7))] = -1
    np.testing.assert_array_equal(found, expected)
    turned = np.empty(at.size, np.int64)
    kernels.place_in_axis.py_func(at + 20.0, edges[:-1], edges[1:], -3.0, 10.0, turned)
    np.testing.assert_array_equal(turned[:5], [0, 1, 2, 3, 0])


@pytest.mark.parametrize("planar", [False, True])
def test_winding_numbers_as_python(planar):
    """The angle by which the direction to a polygon's edge turns, in whole turns."""
    rng = np.random.default_rng(2)
    angle = np.sort(rng.uniform(0, 2 * np.pi, 7))
    star = np.column_stack([np.cos(angle), np.sin(angle)]) * rng.uniform(0.2, 1.0, 7)[:, None]
    nodes = np.column_stack([star, np.ones(7)])
    points = np.column_stack([rng.uniform(-1, 1, (60, 2)), np.ones(60)])
    if not planar:
        nodes, points = (v / np.linalg.norm(v, axis=1, keepdims=True) for v in (nodes, points))
    face = np.arange(7, dtype=np.int32)[None]
    found = cells_of(points, Cells(nodes, face, np.zeros(1, bool), planar)) >= 0
    for p, held in zip(points, found, strict=True):
        # Gnomonic: great circles are straight lines.
        flat, here = nodes[:, :2] / nodes[:, 2:], p[:2] / p[2]
        direction = np.arctan2(*(flat - here).T[::-1])
        turned = np.diff(np.append(direction, direction[0]))
        turns = round(float((turned - 2 * np.pi * np.round(turned / (2 * np.pi))).sum() / (2 * np.pi)))
        assert held == (turns != 0)
        assert _winds_around.py_func(nodes, face, 0, p, np.array(tangents(p, planar))) == turns
    assert 5 < found.sum() < 55


# ---- inverse distance ----------------------------------------------------------------------------------------------------


def shepard(data: xr.DataArray, lon: np.ndarray, lat: np.ndarray, k: int, power: float) -> np.ndarray:
    """By brute force, of the values that are there."""
    apart = great_circle_distance(lon[:, None], lat[:, None], data.lon.values, data.lat.values)
    order = np.argsort(apart, axis=1)[:, :k]
    near = np.take_along_axis(apart, order, axis=1)
    values = data.values[order]
    weights = np.where(np.isfinite(values), near**-power, 0.0)
    return (weights * np.nan_to_num(values)).sum(axis=1) / weights.sum(axis=1)


@pytest.mark.parametrize(("k", "power"), [(1, 2.0), (8, 2.0), (5, 1.0), (12, 3.5)])
def test_inverse_distance_is_shepards(k, power):
    data = scatter(600, gaps=0.0)
    target = Grid.points(*_lonlat(scatter(300, seed=9)))
    ours = Regridder(places(data), target, "idw", neighbours=k, power=power)(data).values
    np.testing.assert_allclose(ours, shepard(data, target.lon.values, target.lat.values, k, power), rtol=1e-9)


def _lonlat(data: xr.DataArray) -> tuple[np.ndarray, np.ndarray]:
    return data["lon"].values, data["lat"].values


def test_inverse_distance_with_missing_values():
    """The valid ones of the nearest, if they have enough of the weight."""
    data = scatter(600, gaps=0.3)
    lon, lat = _lonlat(scatter(300, seed=9))
    target = Grid.points(lon, lat)
    any_value = Regridder(places(data), target, "idw", min_coverage=0.0)
    np.testing.assert_allclose(any_value(data).values, shepard(data, lon, lat, 8, 2.0), rtol=1e-9)
    half = Regridder(places(data), target, "idw")(data).values
    covered = any_value.coverage(data).values
    assert 0 < (covered < 0.5).sum() < 300
    np.testing.assert_array_equal(np.isfinite(half), covered >= 0.5 - 1e-9)
    strict = Regridder(places(data), target, "idw", skipna=False)(data).values
    np.testing.assert_array_equal(np.isfinite(strict), covered > 1 - 1e-12)


def test_targets_on_sources_take_their_values():
    lon, lat = np.array([10.0, 10.0, 20.0, -350.0]), np.array([5.0, 6.0, 5.0, 5.0])
    data = xr.DataArray([1.0, 2.0, 4.0, 3.0], dims="points")
    # The first and the last are one place: there the mean of the two.
    out = Regridder(Grid.points(lon, lat), Grid.points([10.0, 10.0, 380.0], [5.0, 6.0, 5.0]), "idw", power=1.0)(data)
    np.testing.assert_array_equal(out.values, [2.0, 2.0, 4.0])


def test_inverse_distance_on_a_plane():
    rng = np.random.default_rng(0)
    xy, to, v = rng.uniform(0, 1e5, (200, 2)), rng.uniform(0, 1e5, (50, 2)), rng.normal(size=200)
    near, order = cKDTree(xy).query(to, k=8)
    expected = (v[order] / near**2).sum(axis=1) / (near**-2.0).sum(axis=1)
    source, target = Grid.points(x=xy[:, 0], y=xy[:, 1]), Grid.points(x=to[:, 0], y=to[:, 1])
    np.testing.assert_allclose(
        Regridder(source, target, "idw")(xr.DataArray(v, dims="points")).values, expected, rtol=1e-12
    )


def test_the_same_outside_as_nearest():
    field = on_grid(Grid.regular(lon=(100, 140, 5), lat=(-20, 20, 5)), smooth)
    ours, nearest = regrid(field, 2.5, "idw"), regrid(field, 2.5, "nearest")
    np.testing.assert_array_equal(np.isfinite(ours.values), np.isfinite(nearest.values))
    assert 16 * 16 <= int(ours.notnull().sum()) < 20 * 20
    with pytest.raises(GridError, match="covers nothing"):
        regrid(field, Grid.regular(lon=(0, 10, 5), lat=(0, 10, 5)), "idw")


def test_masked_sources_are_no_neighbours():
    data = scatter(400, gaps=0.0)
    sea = xr.DataArray(np.arange(400) % 3 > 0, dims="obs")
    lon, lat = _lonlat(scatter(100, seed=2))
    masked = Grid.from_dataset(data.to_dataset(), mask=sea)
    ours = Regridder(masked, Grid.points(lon, lat), "idw")(data).values
    np.testing.assert_allclose(ours, shepard(data[sea.values], lon, lat, 8, 2.0), rtol=1e-9)


def test_fewer_sources_than_neighbours():
    data = scatter(3, gaps=0.0)
    lon, lat = _lonlat(scatter(20, seed=2))
    ours = Regridder(places(data), Grid.points(lon, lat), "idw")(data).values
    np.testing.assert_allclose(ours, shepard(data, lon, lat, 3, 2.0), rtol=1e-9)


# ---- nearest target --------------------------------------------------------------------------------------------------------


def test_each_source_to_its_nearest_target():
    data = scatter(2000)
    target = Grid.global_regular(15.0)
    x, y = (a.ravel() for a in np.meshgrid(target.lon.values, target.lat.values))
    _, nearest = cKDTree(unit_vectors(x, y)).query(unit_vectors(data.lon.values, data.lat.values))
    frame = pd.DataFrame({"t": nearest, "v": data.values}).groupby("t")["v"]
    expected = frame.mean().reindex(range(target.size)).values
    enough = (frame.count() / frame.size()).reindex(range(target.size)).fillna(0).values
    ours = Regridder(places(data), target, "nearest_target", min_coverage=0.0)(data).values.ravel()
    np.testing.assert_allclose(ours, expected, rtol=1e-12)
    half = Regridder(places(data), target, "nearest_target")(data).values.ravel()
    np.testing.assert_array_equal(np.isfinite(half), enough >= 0.5)


def test_sources_out_of_reach_are_not_carried():
    data = scatter(2000, gaps=0.0)
    target = Grid.regular(lon=(100, 140, 5), lat=(-20, 20, 5))
    regridder = Regridder(places(data), target, "nearest_target")
    carried = np.unique(regridder.weights["col"].values - 1)
    centre = np.abs((data.lon.values[carried] - 120 + 180) % 360 - 180)
    assert centre.max() < 20 + 5
    assert np.abs(data.lat.values[carried]).max() < 20 + 5
    within = (abs(data.lon - 120) < 20) & (abs(data.lat) < 20)
    assert set(np.flatnonzero(within.values)) <= set(carried)
    with pytest.raises(GridError, match="covers nothing"):
        Regridder(Grid.points([0.0], [0.0]), target, "nearest_target")


def test_masked_targets_leave_sources_to_the_next():
    target = Grid.regular(lon=(0, 4, 1), lat=(0, 2, 1))
    sea = xr.DataArray([[True, False, True, True], [False] * 4], dims=("lat", "lon"))
    masked = Grid.from_dataset(xr.Dataset(coords=target.coords()), mask=sea)
    data = xr.DataArray([1.0, 5.0], dims="points")
    out = Regridder(Grid.points([0.4, 1.6], [0.5, 0.5]), masked, "nearest_target")(data)
    np.testing.assert_array_equal(out.values[0], [1.0, np.nan, 5.0, np.nan])


# ---- real files --------------------------------------------------------------------------------------------------------------


def test_along_track_altimetry_in_one_degree(shared):
    path = shared / "data/altimetry_alongtrack"
    with xr.open_dataset(next(path.glob("JA1*.nc"))) as ds:
        swh = ds["swh_ku"].load()
    regridder = Regridder(swh, 1.0, "mean")
    assert regridder.source.kind == "points"
    ours = regridder(swh)
    there = swh.dropna("time")
    theirs = binned_statistic_2d(
        there.lat, there.lon % 360, there.values, "mean", bins=[np.arange(-90, 91), np.arange(0, 361)]
    ).statistic
    assert int(ours.notnull().sum()) > 100
    np.testing.assert_allclose(ours.values, theirs, rtol=1e-12)
    table = pd.read_csv(next(path.glob("*.csv")))
    waves = xr.DataArray(table["significant_wave_height"].values, dims="obs")
    where = Grid.points(table["lon"].values, table["lat"].values, dim="obs")
    target = Grid.regular(lon=(-5, 13, 1), lat=(50, 62, 1))
    inside = table[table["lon"].between(-5, 13) & table["lat"].between(50, 62)]
    for statistic in ("median", "max", "count"):
        ours = Regridder(where, target, statistic)(waves)
        groups = inside.groupby([np.floor(inside["lat"]), np.floor(inside["lon"])])["significant_wave_height"]
        expected = getattr(groups, statistic)()
        found = ours.values[[int(j) - 50 for j, _ in expected.index], [int(i) + 5 for _, i in expected.index]]
        np.testing.assert_allclose(found, expected.values, rtol=1e-12)
        assert (ours.values > 0).sum() == len(expected)


def test_from_the_nodes_of_real_meshes(shared):
    """FVCOM: by inverse distance to the faces' centres, and the nodes binned in the faces' own area."""
    with xr.open_dataset(shared / "data/unstructured/SFBOFS_subset1.nc", decode_times=False) as ds:
        ds = ds[["lon", "lat", "nv", "zeta", "temp", "lonc", "latc"]].load()
    nodes = Grid.from_dataset(ds[["lon", "lat", "nv", "zeta", "temp"]])
    assert nodes.location == "node"
    where = Grid.points(ds["lonc"].values, ds["latc"].values)
    zeta = ds["zeta"].isel(time=0).astype(np.float64)
    out = Regridder(nodes, where, "idw")(zeta)
    data = xr.DataArray(
        zeta.values, dims="obs", coords={n: ("obs", ds[n].values.astype(float)) for n in ("lon", "lat")}
    )
    np.testing.assert_allclose(out.values, shepard(data, where.lon.values, where.lat.values, 8, 2.0), rtol=1e-6)
    time_and_level = Regridder(nodes, Grid.regular(lon=(237, 238, 0.05), lat=(37, 38, 0.05)), "max")(ds["temp"])
    assert time_and_level.dims[:2] == ds["temp"].dims[:2]
    np.testing.assert_array_equal(time_and_level.max(("lat", "lon")).values, ds["temp"].max("node").values)


# ---- mistakes ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"neighbours": 0}, "neighbours=0; give a whole number"),
        ({"neighbours": 2.5}, r"neighbours=2\.5"),
        ({"neighbours": True}, "neighbours=True"),
        ({"power": 0.0}, r"power=0\.0; give a number above 0"),
        ({"power": "two"}, "power='two'"),
        ({"power": np.inf}, "power=inf"),
        ({"power": np.nan}, "power=nan"),
    ],
)
def test_options_that_are_none(options, message):
    with pytest.raises(ValueError, match=message):
        Regridder(Grid.global_regular(30), 30.0, "idw", **options)


@pytest.mark.parametrize("statistic", STATISTICS)
def test_targets_without_cells(statistic):
    with pytest.raises(GridError, match=r"binning needs cells.*bare list of points.*nearest_target"):
        Regridder(Grid.global_regular(30.0), Grid.points([0.0], [0.0]), statistic)


def test_nothing_to_be_binned():
    with pytest.raises(GridError, match="covers nothing of the target"):
        Regridder(Grid.points([0.0], [50.0]), Grid.regular(lon=(10, 20, 5), lat=(0, 10, 5)), "mean")
