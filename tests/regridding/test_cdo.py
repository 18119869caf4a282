"""Against the Climate Data Operators: weights, remapped values and errors, and files both ways.

What differs, and why: CDO's cells of a longitude-latitude grid lie between parallels, ours have great circles for edges unless
``edges="latitude"``; its bilinear weights are linear in longitude and latitude, ours are on the patch in space; beyond the last
row it takes the nearest values, ours close the polar cap.
"""

import shutil
import subprocess

import numpy as np
import pytest
import scipy.sparse
import xarray as xr
from analytic import harmonic, on_grid, rotated_grid, sinusoid, smooth, vortex

from oceankit.fields import Grid, StoreError
from oceankit.numerics.sphere import EARTH_RADIUS
from oceankit.regridding import METHODS, Regridder

pytestmark = pytest.mark.skipif(shutil.which("cdo") is None, reason="needs the Climate Data Operators (cdo)")

FUNCTIONS = {"smooth": smooth, "sinusoid": sinusoid, "harmonic": harmonic, "vortex": vortex}


class Cdo:
    """CDO in a folder of its own."""

    def __init__(self, folder):
        self.folder = folder

    def __call__(self, operator: str, *files: str, norm: str = "fracarea") -> None:
        command = ["cdo", "-s", "-f", "nc4", "-b", "F64", operator, *files]
        env = {"PATH": "/usr/local/bin:/usr/bin:/bin", "CDO_REMAP_NORM": norm, "OMP_NUM_THREADS": "1"}
        done = subprocess.run(command, cwd=self.folder, env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"

    def put(self, name: str, field: xr.DataArray, grid: Grid) -> None:
        """A field with the corners of its cells."""
        lon, lat = grid.lon.name, grid.lat.name
        ds = field.rename("f").to_dataset()
        ds["f"].encoding["_FillValue"] = -9e33
        if grid.has_cells:
            for axis, bounds in ((lon, "lon_bnds"), (lat, "lat_bnds")):
                ds[bounds] = grid.corners[bounds]
                ds[bounds].encoding |= {"_FillValue": None, "coordinates": None}
                ds[axis].attrs["bounds"] = bounds
        ds.to_netcdf(self.folder / name, encoding={lon: {"_FillValue": None}, lat: {"_FillValue": None}})

    def get(self, name: str, variable: str = "f") -> np.ndarray:
        with xr.open_dataset(self.folder / name) as ds:
            return ds[variable].values.squeeze()

    def matrix(self, name: str, shape: tuple[int, int]) -> scipy.sparse.csr_array:
        with xr.open_dataset(self.folder / name) as ds:
            cells = ds["dst_address"].values - 1, ds["src_address"].values - 1
            return scipy.sparse.csr_array((ds["remap_matrix"].values[:, 0], cells), shape=shape)


@pytest.fixture
def cdo(tmp_path):
    return Cdo(tmp_path)


def ours(regridder: Regridder) -> scipy.sparse.csr_array:
    weights = regridder.weights
    cells = weights["row"].values - 1, weights["col"].values - 1
    return scipy.sparse.csr_array((weights["S"].values, cells), shape=(regridder.target.size, regridder.source.size))


# ---- grids ------------------------------------------------------------------------------------------------------------


def rectilinear(lon_edges: np.ndarray, lat_bounds: np.ndarray, lat: np.ndarray | None = None) -> Grid:
    names = {"lon": "longitude", "lat": "latitude"}
    ds = xr.Dataset(
        {
            "lon_bnds": (("lon", "bnds"), np.stack([lon_edges[:-1], lon_edges[1:]], axis=1)),
            "lat_bnds": (("lat", "bnds"), lat_bounds),
        },
        coords={
            "lon": (
                "lon",
                (lon_edges[:-1] + lon_edges[1:]) / 2,
                {"standard_name": names["lon"], "units": "degrees_east"},
            ),
            "lat": (
                "lat",
                lat_bounds.mean(axis=1) if lat is None else lat,
                {"standard_name": names["lat"], "units": "degrees_north"},
            ),
        },
    )
    return Grid.from_dataset(ds)


def gaussian(n: int) -> Grid:
    """Latitudes at the zeros of a Legendre polynomial, the bounds between them by its weights."""
    at, weight = np.polynomial.legendre.leggauss(n)
    edges = np.degrees(np.arcsin(np.clip(np.append(-1.0, -1.0 + np.cumsum(weight)), -1.0, 1.0)))
    edges[-1] = 90.0
    step = 180.0 / n
    lon = np.arange(2 * n + 1) * step - step / 2
    return rectilinear(lon, np.stack([edges[:-1], edges[1:]], axis=1), np.degrees(np.arcsin(at)))


def falling(step: float) -> Grid:
    edges = np.arange(90.0, -90.1, -step)
    return rectilinear(np.arange(0.0, 360.1, step), np.stack([edges[:-1], edges[1:]], axis=1))


def from_the_dateline(step: float) -> Grid:
    edges = np.arange(-90.0, 90.1, step)
    return rectilinear(np.arange(-180.0, 180.1, step), np.stack([edges[:-1], edges[1:]], axis=1))


PAIRS = {
    "5 to 3 degrees": lambda: (Grid.global_regular(5.0), Grid.global_regular(3.0)),
    "2 to 5 degrees": lambda: (Grid.global_regular(2.0), Grid.global_regular(5.0)),
    "from gaussian": lambda: (gaussian(32), Grid.global_regular(5.0)),
    "to gaussian": lambda: (Grid.global_regular(5.0), gaussian(24)),
    "from a region": lambda: (Grid.regular(lon=(101, 161, 2.5), lat=(-21, 49, 2.5)), Grid.global_regular(2.0)),
    "to a region": lambda: (Grid.global_regular(2.0), Grid.regular(lon=(101, 161, 2.5), lat=(-21, 49, 2.5))),
    "across the seam": lambda: (Grid.global_regular(2.0), Grid.regular(lon=(-31, 29, 2.5), lat=(20, 90, 2.5))),
    "from falling latitudes": lambda: (falling(4.0), Grid.global_regular(5.0)),
    "to falling latitudes": lambda: (Grid.global_regular(5.0), falling(4.0)),
    "from the dateline": lambda: (from_the_dateline(4.0), gaussian(20)),
    "to the dateline": lambda: (falling(5.0), from_the_dateline(4.0)),
}
GLOBAL = [name for name in PAIRS if "region" not in name and "seam" not in name]


# ---- conservative -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pair", PAIRS)
def test_conservative_weights_are_those_of_cdo(pair, cdo):
    """Between parallels, normalised by the area of the target: measured 6e-13 at most."""
    source, target = PAIRS[pair]()
    cdo.put("source.nc", on_grid(source, vortex), source)
    cdo.put("target.nc", on_grid(target, vortex), target)
    cdo("gencon,target.nc", "source.nc", "weights.nc", norm="destarea")
    regridder = Regridder(source, target, "conservative", edges="latitude")
    mine, theirs = ours(regridder), cdo.matrix("weights.nc", (target.size, source.size))
    assert abs(mine - theirs).max() < 1e-10
    assert np.abs(mine.sum(axis=1) - cdo.get("weights.nc", "dst_grid_frac")).max() < 1e-10
    area = cdo.get("weights.nc", "dst_grid_area")
    # Of targets that it does not reach it has none.
    np.testing.assert_allclose(
        area[area > 0], target.area(edges="latitude").values.ravel()[area > 0] / EARTH_RADIUS**2, rtol=1e-10
    )


@pytest.mark.parametrize("edges", ["latitude", "great_circle"])
@pytest.mark.parametrize("pair", GLOBAL)
def test_areas_close(pair, edges):
    """Every target is covered, and every source given away, to 1e-13."""
    source, target = PAIRS[pair]()
    weights = ours(Regridder(source, target, "conservative", edges=edges))
    theirs, mine = (g.area(edges=edges).values.ravel() for g in (source, target))
    assert np.abs(weights.sum(axis=1) - 1).max() < 1e-13
    assert np.abs(weights.T @ mine / theirs - 1).max() < 1e-13


def test_great_circles_between_curvilinear_grids(cdo):
    """Here CDO's cells have the same edges as ours: measured 2e-14."""
    source = rotated_grid(40, 60, lon=(-60, 60), lat=(-40, 40), pole=(40.0, 160.0))
    target = rotated_grid(30, 40, lon=(-50, 50), lat=(-30, 30), pole=(55.0, 100.0))
    cdo.put("source.nc", on_grid(source, vortex), source)
    cdo.put("target.nc", on_grid(target, vortex), target)
    cdo("gencon,target.nc", "source.nc", "weights.nc", norm="destarea")
    theirs = cdo.matrix("weights.nc", (target.size, source.size))
    assert abs(ours(Regridder(source, target, "conservative")) - theirs).max() < 1e-12


@pytest.mark.parametrize("step", [3.0, 1.0])
@pytest.mark.parametrize("pole", [(40.0, 160.0), (70.0, 30.0)])
def test_parallels_against_great_circles_are_cdos(step, pole, cdo):
    """From a curvilinear grid with ``edges="latitude"``: CDO's weights (measured 1e-11, at the smallest polar cells)."""
    source, target = rotated_grid(40, 60, lon=(-60, 60), lat=(-40, 40), pole=pole), Grid.global_regular(step)
    cdo.put("source.nc", on_grid(source, vortex), source)
    cdo.put("target.nc", on_grid(target, vortex), target)
    cdo("gencon,target.nc", "source.nc", "weights.nc", norm="destarea")
    theirs = cdo.matrix("weights.nc", (target.size, source.size))
    assert abs(ours(Regridder(source, target, "conservative", edges="latitude")) - theirs).max() < 1e-10


def test_great_circles_against_parallels(cdo):
    """From a curvilinear grid to a regular one weights differ by the slivers between a parallel and its chord.

    Measured: 1.5e-3 at 2 degrees and 7.3e-4 at 1 degree; values of a smooth field differ by 4e-5 and 1e-5 on average.
    """
    source = rotated_grid(40, 60, lon=(-60, 60), lat=(-40, 40), pole=(40.0, 160.0))
    field = on_grid(source, vortex)
    cdo.put("source.nc", field, source)
    weights, values = [], []
    for step in (2.0, 1.0):
        target = Grid.global_regular(step)
        cdo.put("target.nc", on_grid(target, vortex), target)
        cdo("gencon,target.nc", "source.nc", "weights.nc", norm="destarea")
        mine = Regridder(source, target, "conservative")
        theirs = Regridder.from_esmf(cdo.folder / "weights.nc", source, target)
        weights.append(abs(ours(mine) - ours(theirs)).max())
        values.append(float(np.abs(mine(field) - theirs(field)).mean()))
        # Both keep the integral, each over its own cells.
        for regridder, edges in ((mine, "great_circle"), (theirs, "latitude")):
            covered = (regridder.coverage(field) * target.area(edges=edges)).sum()
            assert float(covered) == pytest.approx(float(source.area().sum()), rel=1e-12)
    assert weights[0] < 2e-3
    assert weights[1] < 0.6 * weights[0]
    assert values[0] < 5e-5
    assert values[1] < 0.4 * values[0]


# ---- the other methods ------------------------------------------------------------------------------------------------


def errors(cdo, operator: str, regridder: Regridder, function: str) -> tuple[float, float, float]:
    """Mean relative errors, ours and CDO's, and the mean difference."""
    source, target = regridder.source, regridder.target
    field = on_grid(source, FUNCTIONS[function])
    cdo.put("source.nc", field, source)
    cdo.put("target.nc", on_grid(target, smooth), target)
    cdo(f"{operator},target.nc", "source.nc", "out.nc")
    mine, theirs, exact = regridder(field).values, cdo.get("out.nc"), on_grid(target, FUNCTIONS[function]).values
    assert np.isfinite(mine).all()
    return tuple(float(np.abs(a / b - 1).mean()) for a, b in ((mine, exact), (theirs, exact), (mine, theirs)))


@pytest.mark.parametrize("function", FUNCTIONS)
def test_bilinear_errors_are_at_most_those_of_cdo(function, cdo):
    """Linear in longitude and latitude against the patch in space: as far apart as both are from the truth, second order."""
    apart = []
    for step in (4.0, 2.0):
        regridder = Regridder(Grid.global_regular(step), Grid.global_regular(0.75 * step), "bilinear")
        mine, theirs, between = errors(cdo, "remapbil", regridder, function)
        assert mine < 1.01 * theirs
        apart.append(between)
    assert apart[1] < 0.45 * apart[0]


@pytest.mark.parametrize("function", FUNCTIONS)
def test_bicubic_is_cdos_and_better_at_the_poles(function, cdo):
    """The same cubic to rounding where sixteen centres are there; beyond the last row CDO goes on with less."""
    regridder = Regridder(Grid.global_regular(2.0), Grid.global_regular(1.0), "bicubic")
    mine, theirs, _ = errors(cdo, "remapbic", regridder, function)
    assert mine < 1.001 * theirs
    away = np.abs(regridder.target.lat.values) < 86
    field = on_grid(regridder.source, FUNCTIONS[function])
    np.testing.assert_allclose(regridder(field).values[away], cdo.get("out.nc")[away], rtol=1e-12)


def test_nearest_is_cdos(cdo):
    """On grids without ties."""
    source, target = Grid.global_regular(5.0), Grid.global_regular(3.0)
    field = on_grid(source, lambda lon, _: np.arange(lon.size, dtype=np.float64).reshape(lon.shape))
    cdo.put("source.nc", field, source)
    cdo.put("target.nc", on_grid(target, smooth), target)
    cdo("remapnn,target.nc", "source.nc", "out.nc")
    np.testing.assert_array_equal(Regridder(source, target, "nearest")(field), cdo.get("out.nc"))


@pytest.mark.skipif("idw" not in METHODS, reason="no inverse distances yet")
@pytest.mark.parametrize("function", FUNCTIONS)
def test_inverse_distances_are_cdos(function, cdo):
    """Of the four nearest, one over the distance; CDO adds a little to the distance."""
    regridder = Regridder(Grid.global_regular(2.0), Grid.global_regular(1.0), "idw", neighbours=4, power=1)
    assert errors(cdo, "remapdis", regridder, function)[2] < 1e-6


@pytest.mark.skipif("conservative2" not in METHODS, reason="no second order yet")
@pytest.mark.parametrize("function", FUNCTIONS)
def test_second_order_errors_are_at_most_those_of_cdo(function, cdo):
    """Measured: those of CDO 2.1 are ten to sixty times as large, hardly better than of first order."""
    regridder = Regridder(Grid.global_regular(2.0), Grid.global_regular(1.0), "conservative2")
    mine, theirs, _ = errors(cdo, "remapcon2", regridder, function)
    assert mine < theirs
    first = Regridder(regridder.source, regridder.target, "conservative")(
        on_grid(regridder.source, FUNCTIONS[function])
    )
    assert mine < 0.2 * float(np.abs(first / on_grid(regridder.target, FUNCTIONS[function]) - 1).mean())


# ---- files ------------------------------------------------------------------------------------------------------------


def source_field(masked: bool) -> tuple[Grid, xr.DataArray]:
    grid = Grid.global_regular(5.0)
    field = on_grid(grid, vortex)
    if not masked:
        return grid, field
    sea = xr.DataArray(np.random.default_rng(3).random(grid.shape) > 0.25, dims=grid.dims)
    return Grid.from_dataset(field.to_dataset(name="f"), mask=sea), field.where(sea)


@pytest.mark.parametrize("masked", [False, True], ids=["whole", "masked"])
@pytest.mark.parametrize("operator", ["gencon", "genbil", "gennn", "gendis", "genycon"])
def test_a_file_of_cdo_is_applied_as_cdo_does(operator, masked, cdo):
    source, field = source_field(masked)
    target = Grid.regular(lon=(100, 221, 2.75), lat=(-61, 60, 2.75))
    cdo.put("source.nc", field, source)
    cdo.put("target.nc", on_grid(target, smooth), target)
    cdo(f"{operator},target.nc", "source.nc", "weights.nc")
    cdo("remap,target.nc,weights.nc", "source.nc", "out.nc")
    regridder = Regridder.from_esmf(cdo.folder / "weights.nc", source, target, min_coverage=0.0)
    np.testing.assert_allclose(regridder(field), cdo.get("out.nc"), rtol=1e-12)
    single = regridder(field.astype(np.float32))
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, cdo.get("out.nc"), rtol=1e-6)


def test_a_file_of_cdo_for_a_curvilinear_grid(cdo, nemo):
    """eORCA1 sea surface temperature, its land masked."""
    field = nemo["tos"].squeeze(drop=True).astype(np.float64)
    source = Grid.from_dataset(nemo, mask=field.notnull())
    target = Grid.global_regular(2.0)
    cdo.put("source.nc", field, source)
    cdo.put("target.nc", on_grid(target, smooth), target)
    cdo("gencon,target.nc", "source.nc", "weights.nc")
    cdo("remap,target.nc,weights.nc", "source.nc", "out.nc")
    theirs = Regridder.from_esmf(cdo.folder / "weights.nc", source, target, min_coverage=0.0)(field)
    np.testing.assert_allclose(theirs, cdo.get("out.nc"), rtol=1e-9)
    mine = Regridder(source, target, "conservative", min_coverage=0.5)(field)
    assert float(np.abs(mine - theirs).mean()) < 1e-3
    assert float((mine.notnull() & theirs.isnull()).sum()) == 0


def test_the_share_that_is_covered_in_files_of_cdo(cdo):
    """``destarea`` keeps it; with ``fracarea`` CDO 2.1 writes 1 for its dst_grid_frac, so that it is lost."""
    source, target = PAIRS["from a region"]()
    field = on_grid(source, vortex)
    cdo.put("source.nc", field, source)
    cdo.put("target.nc", on_grid(target, smooth), target)
    mine = Regridder(source, target, "conservative", edges="latitude")
    cdo("gencon,target.nc", "source.nc", "weights.nc", norm="destarea")
    theirs = Regridder.from_esmf(cdo.folder / "weights.nc", source, target)
    np.testing.assert_allclose(theirs.coverage(field), mine.coverage(field).fillna(0.0), atol=1e-10)
    np.testing.assert_allclose(theirs(field), mine(field), rtol=1e-10)
    cdo("gencon,target.nc", "source.nc", "weights.nc", norm="fracarea")
    lost = Regridder.from_esmf(cdo.folder / "weights.nc", source, target).coverage(field).values
    assert set(np.round(lost.ravel(), 9)) == {0.0, 1.0}


@pytest.mark.parametrize("masked", [False, True], ids=["whole", "masked"])
@pytest.mark.parametrize("method", [m for m in METHODS if m not in ("median", "min", "max", "count")])
def test_cdo_applies_our_files(method, masked, cdo):
    source, field = source_field(masked)
    target = Grid.regular(lon=(100, 221, 2.75), lat=(-61, 60, 2.75))
    regridder = Regridder(source, target, method, min_coverage=0.0)
    regridder.to_scrip(cdo.folder / "weights.nc")
    cdo.put("source.nc", field, source)
    cdo.put("target.nc", on_grid(target, smooth), target)
    cdo("remap,target.nc,weights.nc", "source.nc", "out.nc")
    mine = regridder(field)
    np.testing.assert_allclose(cdo.get("out.nc"), mine, rtol=1e-12)
    np.testing.assert_allclose(cdo.get("out.nc"), regridder(field.astype(np.float32)), rtol=3e-6)
    # That these were our weights: CDO would make its own, without a word, did it not like them.
    if method in ("bilinear", "nearest_target", "mean"):
        cdo("remapcon,target.nc", "source.nc", "own.nc")
        assert np.nanmax(np.abs(cdo.get("own.nc") - mine.values)) > 1e-6


def test_cdo_applies_our_file_from_a_curvilinear_grid_to_points(cdo):
    source = rotated_grid(20, 30)
    target = Grid.points([-20.0, 339.5, 355.25], [45.0, 50.5, 40.0])
    regridder = Regridder(source, target, "bilinear")
    field = on_grid(source, vortex)
    assert np.isfinite(regridder(field)).any()
    regridder.to_scrip(cdo.folder / "weights.nc")
    cdo.put("source.nc", field, source)
    lines = ["gridtype = unstructured", "gridsize = 3"]
    lines += [f"{n} = {' '.join(map(str, a.values))}" for n, a in (("xvals", target.lon), ("yvals", target.lat))]
    (cdo.folder / "points.txt").write_text("\n".join(lines) + "\n")
    cdo("remap,points.txt,weights.nc", "source.nc", "out.nc")
    np.testing.assert_allclose(cdo.get("out.nc"), regridder(field), rtol=1e-12)


@pytest.mark.parametrize(
    ("operator", "message"),
    [("gencon2", "3 weights for each"), ("genbic", "4 weights for each"), ("genlaf", "largest share of a target")],
)
def test_files_of_cdo_that_are_no_means(operator, message, cdo):
    source, target = Grid.global_regular(5.0), Grid.global_regular(3.0)
    cdo.put("source.nc", on_grid(source, vortex), source)
    cdo.put("target.nc", on_grid(target, smooth), target)
    cdo(f"{operator},target.nc", "source.nc", "weights.nc")
    with pytest.raises(StoreError, match=message):
        Regridder.from_esmf(cdo.folder / "weights.nc", source, target)
