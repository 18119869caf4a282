"""Vertical regridding: against numpy.interp, sums over overlaps by hand, real ROMS fields, and what must hold for any column."""

import tracemalloc

import dask
import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from oceankit.fields import CoordinateError, Grid, blocks, depth_edges, depths, s_coordinate
from oceankit.numerics import threads
from oceankit.regridding import Regridder, _columns, _vertical_kernels, regrid_vertical, vertical_coverage

SHAPE = (3, 12, 5, 40)
DIMS = ("time", "k", "y", "x")


def random_columns(seed: int = 0, up: bool = False) -> tuple[xr.DataArray, xr.DataArray, xr.DataArray]:
    """A field, depths of its levels and edges of its layers, different in every column."""
    rng = np.random.default_rng(seed)
    nt, n, ny, nx = SHAPE
    edges = np.cumsum(rng.uniform(0.5, 30, (nt, n + 1, ny, nx)), axis=1) - 10
    middle = 0.5 * (edges[:, 1:] + edges[:, :-1])
    values = rng.normal(size=SHAPE)
    flip = slice(None, None, -1) if up else slice(None)
    coords = {"x": np.arange(nx), "y": np.arange(ny)}
    field = xr.DataArray(values[:, flip], dims=DIMS, coords=coords, name="temp")
    attrs = {"units": "m", "positive": "down"}
    return (
        field,
        xr.DataArray(middle[:, flip], dims=DIMS, coords=coords, attrs=attrs, name="depth"),
        xr.DataArray(edges[:, flip], dims=("time", "k_edges", "y", "x"), coords=coords, attrs=attrs, name="edges"),
    )


LEVELS = [0.0, 1.0, 7.5, 40.0, 90.0, 150.0, 400.0]


def numpy_linear(z: np.ndarray, x: np.ndarray, levels: np.ndarray) -> np.ndarray:
    order = np.argsort(z)
    return np.interp(levels, z[order], x[order], left=np.nan, right=np.nan)


def numpy_conservative(
    edges: np.ndarray, x: np.ndarray, target: np.ndarray, least: float
) -> tuple[np.ndarray, np.ndarray]:
    """Means and shares, from the matrix of overlaps."""
    low, high = np.minimum(edges[1:], edges[:-1]), np.maximum(edges[1:], edges[:-1])
    top, bottom = np.minimum(target[1:], target[:-1]), np.maximum(target[1:], target[:-1])
    overlap = np.clip(np.minimum(bottom[:, None], high) - np.maximum(top[:, None], low), 0, None) * np.isfinite(x)
    share = overlap.sum(axis=1) / (bottom - top)
    with np.errstate(invalid="ignore"):
        mean = overlap @ np.nan_to_num(x) / overlap.sum(axis=1)
    return np.where((share > 0) & (share >= least - 1e-9), mean, np.nan), share


def over_columns(function, *arrays: xr.DataArray) -> np.ndarray:
    """``function`` of each column, k last."""
    last = [np.moveaxis(a.values, 1, -1) for a in arrays]
    return np.array([function(*(a[i] for a in last)) for i in np.ndindex(last[0].shape[:-1])]).reshape(
        *last[0].shape[:-1], -1
    )


# ---- against numpy --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("up", [False, True])
def test_linear_is_numpys(up):
    field, depth, _ = random_columns(up=up)
    found = regrid_vertical(field, LEVELS, depth=depth, dim="k")
    assert found.dims == ("time", "depth", "y", "x")
    expected = over_columns(lambda z, x: numpy_linear(z, x, np.array(LEVELS)), depth, field)
    np.testing.assert_allclose(found.transpose("time", "y", "x", "depth").values, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("up", [False, True])
def test_linear_on_one_axis_is_numpys(up):
    field, depth, _ = random_columns(up=up)
    axis = depth[0, :, 0, 0].drop_vars(["x", "y"])
    found = regrid_vertical(field.assign_coords(k=axis), LEVELS)
    expected = over_columns(lambda x: numpy_linear(axis.values, x, np.array(LEVELS)), field)
    np.testing.assert_allclose(found.transpose("time", "y", "x", "depth").values, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("up", [False, True])
@pytest.mark.parametrize("least", [0.0, 0.5, 1.0])
def test_conservative_is_the_sum_over_overlaps(up, least):
    field, _, edges = random_columns(up=up)
    field = field.where(field > -1)
    target = np.array([-20.0, 3, 4, 30, 100, 500])
    found = regrid_vertical(field, None, edges=target, depth=edges, dim="k", method="conservative", min_coverage=least)
    covered = vertical_coverage(field, None, edges=target, depth=edges, dim="k")
    expected = over_columns(lambda e, x: numpy_conservative(e, x, target, least)[0], edges, field)
    shares = over_columns(lambda e, x: numpy_conservative(e, x, target, least)[1], edges, field)
    np.testing.assert_allclose(found.transpose("time", "y", "x", "depth").values, expected, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(covered.transpose("time", "y", "x", "depth").values, shares, rtol=1e-12, atol=1e-12)
    assert np.isfinite(expected).any()
    assert np.isnan(expected).any()


def test_a_line_is_exact():
    _, depth, _ = random_columns()
    out = regrid_vertical(3 * depth - 5, LEVELS, depth=depth, dim="k")
    np.testing.assert_allclose(out.values, (0 * out + 3 * out.depth - 5).values, rtol=1e-12)


def test_the_error_of_a_curved_profile_falls_as_the_square():
    errors = []
    for n in (20, 40, 80):
        z = (np.arange(n) + 0.5) * 1000 / n
        field = xr.DataArray(20 * np.exp(-z / 200), dims="depth", coords={"depth": ("depth", z, {"units": "m"})})
        at = np.linspace(50, 900, 333)
        errors.append(float(np.abs(regrid_vertical(field, at).values - 20 * np.exp(-at / 200)).max()))
    assert np.log2(errors[0] / errors[1]) == pytest.approx(2, abs=0.25)
    assert np.log2(errors[1] / errors[2]) == pytest.approx(2, abs=0.25)


# ---- real ROMS fields -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def nordic(shared):
    with xr.open_dataset(shared / "data/roms/Nordic_subset.nc") as ds:
        return ds.load()


@pytest.mark.parametrize("name", ["temp", "salt"])
def test_the_integral_of_roms_fields_is_kept(nordic, name):
    """Per column to 1e-12; the target reaches from above the highest surface to below the deepest bed."""
    ds = nordic[[name, "h", "zeta", "hc", "Cs_r", "Cs_w", "s_w"]].astype(np.float64)
    edges = np.r_[-2.0, 3, 10, 20, 35, 60, 100, 180, 250, 330]
    assert float(-ds["zeta"].max()) > edges[0]
    assert float(ds["h"].max()) < edges[-1]
    out = regrid_vertical(ds, None, edges=edges, method="conservative", min_coverage=0.0)
    share = vertical_coverage(ds, None, edges=edges)
    after = (out[name] * share[name] * xr.DataArray(np.diff(edges), dims="depth")).sum("depth")
    layers = -depth_edges(ds, name).diff("s_rho_edges").rename(s_rho_edges="s_rho")
    before = (ds[name].drop_vars("s_rho") * layers).sum("s_rho")
    assert int((before != 0).sum()) > 1000
    scale = np.abs(ds[name].drop_vars("s_rho") * layers).sum("s_rho")
    error = np.abs(after - before) / scale.where(scale > 0)
    assert float(error.max()) < 1e-12
    water = (share[name] * xr.DataArray(np.diff(edges), dims="depth")).sum("depth")
    column = (ds["h"] + ds["zeta"]).where(ds[name].notnull().any("s_rho"), 0.0).transpose(*water.dims)
    np.testing.assert_allclose(water.values, column.values, rtol=1e-12)


def test_roms_fields_at_depths_are_numpys(nordic):
    out = regrid_vertical(nordic, [1, 20, 75, 200])
    z, temp = depths(nordic, "temp").values, nordic["temp"].values
    for t, j, i in ((0, 20, 30), (1, 20, 10), (2, 12, 25)):
        expected = numpy_linear(z[t, :, j, i], temp[t, :, j, i].astype(float), np.array([1.0, 20, 75, 200]))
        np.testing.assert_allclose(out["temp"].values[t, :, j, i], expected, rtol=1e-6)
    assert out["temp"].dtype == np.float32
    assert out["u"].dims == ("ocean_time", "depth", "eta_u", "xi_u")
    # Nothing is lost but what described the old levels.
    assert set(nordic.data_vars) - set(out.data_vars) == {"Cs_r", "Cs_w"}
    assert set(nordic.coords) - set(out.coords) == {"s_rho", "s_w"}


def test_variables_between_layers_have_depths_of_their_own():
    ds = s_coordinate(10, theta_s=5.0, theta_b=0.5, hc=10.0).assign(h=("x", [40.0, 90.0]), zeta=("x", [0.5, 0.0]))
    for name, dim in (("temp", "s_rho"), ("akt", "s_w")):
        ds[name] = (dim, "x"), np.zeros((ds.sizes[dim], 2))
        ds[name] = (dim, "x"), -depths(ds, name).values
    out = regrid_vertical(ds.assign(n=3), [5.0, 20.0, 30.0])
    for name in ("temp", "akt"):
        np.testing.assert_allclose(out[name].values, -np.array([[5.0, 20, 30]]).T * np.ones(2), rtol=1e-12)
    assert set(out.data_vars) == {
        "h",
        "zeta",
        "hc",
        "theta_s",
        "theta_b",
        "Vtransform",
        "Vstretching",
        "temp",
        "akt",
        "n",
    }
    means = regrid_vertical(ds, None, edges=[-1, 10, 30], method="conservative")
    np.testing.assert_allclose(means["temp"][1].values, -20.0, rtol=0.02)
    np.testing.assert_allclose(means["akt"][1].values, -20.0, rtol=0.05)


# ---- missing levels and ends ----------------------------------------------------------------------------------------


def column(values, z=(10.0, 20.0, 30.0, 40.0, 50.0)) -> xr.DataArray:
    return xr.DataArray(
        values, dims="depth", coords={"depth": ("depth", list(z), {"units": "m", "positive": "down"})}, name="t"
    )


@pytest.mark.parametrize("flip", [1, -1])
def test_a_gap_is_bridged_only_when_asked(flip):
    field = column([1.0, 2.0, np.nan, 4.0, np.nan])[::flip]
    at = [10, 15, 20, 25, 30, 40, 45, 50]
    np.testing.assert_array_equal(regrid_vertical(field, at).values, [1, 1.5, 2, np.nan, np.nan, 4, np.nan, np.nan])
    np.testing.assert_array_equal(
        regrid_vertical(field, at, skipna=True).values, [1, 1.5, 2, 2.5, 3, 4, np.nan, np.nan]
    )


@pytest.mark.parametrize("flip", [1, -1])
@pytest.mark.parametrize("wide", [False, True])
def test_extrapolation_has_a_name(flip, wide):
    """Edges are half-way: the layers of 20 and 40 m end at 15 and 45 m."""
    field = column([np.nan, 2.0, 3.0, 5.0, np.nan])[::flip]
    if wide:
        field = field.expand_dims(x=40).transpose("depth", "x")
    at = [10, 15, 20, 40, 45, 46]
    nan = np.nan
    for how, expected in {
        None: [nan, nan, 2, 5, nan, nan],
        "layer": [nan, 2, 2, 5, 5, nan],
        "nearest": [2, 2, 2, 5, 5, 5],
        "linear": [1, 1.5, 2, 5, 6, 6.2],
        ("nearest", None): [2, 2, 2, 5, nan, nan],
        (None, "linear"): [nan, nan, 2, 5, 6, 6.2],
        ("layer", "nearest"): [nan, 2, 2, 5, 5, 5],
    }.items():
        found = regrid_vertical(field, at, extrapolate=how).values
        np.testing.assert_allclose(found[:, 0] if wide else found, expected)


def test_one_level_stays_one_level():
    field = column([np.nan, 7.0, np.nan, np.nan, np.nan])
    np.testing.assert_array_equal(regrid_vertical(field, [10, 20, 25]).values, [np.nan, 7, np.nan])
    np.testing.assert_array_equal(regrid_vertical(field, [10, 20, 25], extrapolate="nearest").values, [7, 7, 7])
    np.testing.assert_array_equal(regrid_vertical(field, [10, 20], extrapolate="linear").values, [np.nan, 7])


def test_layers_at_the_same_depth_have_no_weight():
    """Vanished layers of a hybrid model: linear takes the upper value, means take none."""
    field = xr.DataArray([1.0, 9.0, 3.0], dims="k")
    centres = xr.DataArray([10.0, 10.0, 20.0], dims="k", attrs={"units": "m"})
    np.testing.assert_allclose(regrid_vertical(field, [10, 15], depth=centres).values, [1, 6])
    edges = xr.DataArray([0.0, 15.0, 15.0, 25.0], dims="e", attrs={"units": "m"})
    out = regrid_vertical(field, None, edges=[0, 20], depth=edges, method="conservative")
    np.testing.assert_allclose(out.values, [(15 + 15) / 20])


def test_coverage_decides():
    """Layers end at 5, 15, ... 55 m; a target of 25 to 65 m has 10 m with a value, 10 missing, 10 with one, 10 of rock."""
    field = column([1.0, 2.0, 3.0, np.nan, 5.0])
    options = {"edges": [25.0, 65.0], "method": "conservative"}
    assert vertical_coverage(field, None, edges=[25.0, 65.0]).item() == pytest.approx(0.5)
    assert regrid_vertical(field, None, **options).item() == pytest.approx(4.0)
    assert np.isnan(regrid_vertical(field, None, **options, min_coverage=0.51).item())
    assert np.isnan(regrid_vertical(field, None, **options, skipna=False).item())
    assert regrid_vertical(field[:3], None, **options, min_coverage=0.0, skipna=False).item() == pytest.approx(3.0)


def test_all_missing_stays_missing():
    field, depth, edges = random_columns()
    nothing = field * np.nan
    assert np.isnan(regrid_vertical(nothing, LEVELS, depth=depth, dim="k", extrapolate="nearest").values).all()
    out = regrid_vertical(nothing, LEVELS, depth=edges, dim="k", method="conservative", min_coverage=0.0)
    assert np.isnan(out.values).all()
    assert (vertical_coverage(nothing, LEVELS, depth=edges, dim="k").values == 0).all()


def test_columns_without_depths_are_missing():
    field, depth, edges = random_columns()
    for part, method in ((depth, "linear"), (edges, "conservative")):
        out = regrid_vertical(field, LEVELS, depth=part.where(part.x != 7), dim="k", method=method)
        assert np.isnan(out.sel(x=7).values).all()
        full = regrid_vertical(field, LEVELS, depth=part, dim="k", method=method)
        xr.testing.assert_identical(out.drop_sel(x=7), full.drop_sel(x=7))


# ---- what holds for any column --------------------------------------------------------------------------------------

COLUMNS = st.integers(0, 10_000).map(lambda seed: np.random.default_rng(seed))


def drawn(rng, up: bool, wide: int):
    """A field of one or many columns with edges of its own."""
    n = int(rng.integers(2, 30))
    edges = np.cumsum(rng.uniform(0.01, 50, (n + 1, wide)), axis=0) - 20
    x = rng.normal(size=(n, wide))
    order = slice(None, None, -1) if up else slice(None)
    where = xr.DataArray(edges[order], dims=("e", "x"), attrs={"units": "m", "positive": "down"}, name="edges")
    target = np.r_[edges.min() - 1, np.sort(rng.uniform(edges.min(), edges.max(), 6)), edges.max() + 1]
    return xr.DataArray(x[order], dims=("k", "x"), name="t"), where, target


@given(COLUMNS, st.booleans(), st.sampled_from([1, 3, 40]))
@settings(max_examples=60, deadline=None)
def test_the_integral_is_kept_and_means_stay_in_range(rng, up, wide):
    field, edges, target = drawn(rng, up, wide)
    out = regrid_vertical(field, None, edges=target, depth=edges, dim="k", method="conservative", min_coverage=0.0)
    share = vertical_coverage(field, None, edges=target, depth=edges, dim="k")
    after = (out.fillna(0.0) * share * xr.DataArray(np.diff(target), dims="depth")).sum("depth")
    thick = np.abs(np.diff(edges.values, axis=0))
    np.testing.assert_allclose(
        after.values, (field.values * thick).sum(axis=0), atol=1e-12 * float((np.abs(field.values) * thick).sum())
    )
    assert float(out.max()) <= float(field.max()) + 1e-12
    assert float(out.min()) >= float(field.min()) - 1e-12


@given(COLUMNS, st.booleans(), st.sampled_from([1, 3, 40]), st.sampled_from(["linear", "conservative"]))
@settings(max_examples=60, deadline=None)
def test_constants_stay_and_direction_does_not_matter(rng, up, wide, method):
    field, edges, target = drawn(rng, up, wide)
    more = {"method": "conservative", "min_coverage": 0.0} if method == "conservative" else {"extrapolate": "nearest"}
    options = {"depth": edges, "dim": "k", **more}
    positive = np.sort(np.abs(target[1:-1])) + np.arange(target.size - 2)
    constant = regrid_vertical(field * 0 + 1 / 3, positive, **options).values
    np.testing.assert_allclose(constant[np.isfinite(constant)], 1 / 3, rtol=1e-14)
    # The same column upside down, heights for depths, targets from the bottom up: the same numbers to the bit.
    first = regrid_vertical(field, positive, **options)
    turned = regrid_vertical(
        field.isel(k=slice(None, None, -1)), positive, **{**options, "depth": edges.isel(e=slice(None, None, -1))}
    )
    np.testing.assert_array_equal(first.values, turned.values)
    heights = (-edges).assign_attrs(units="m", positive="up")
    np.testing.assert_array_equal(
        first.values, regrid_vertical(field, positive, **{**options, "depth": heights}).values
    )
    falling = regrid_vertical(field, positive[::-1], **options)
    np.testing.assert_array_equal(first.values, falling.values[::-1])


@given(COLUMNS, st.sampled_from([1, 40]))
@settings(max_examples=40, deadline=None)
def test_linear_stays_between_its_neighbours(rng, wide):
    field, edges, _ = drawn(rng, False, wide)
    rising = field.copy(data=np.sort(field.values, axis=0))
    levels = np.unique(rng.uniform(0.1, float(edges.max()) + 0.2, 20))
    out = regrid_vertical(rising, levels, depth=edges, dim="k", extrapolate="nearest")
    assert (np.diff(out.values, axis=0) >= -1e-12).all()
    assert (out.values >= rising.values[0] - 1e-12).all()
    assert (out.values <= rising.values[-1] + 1e-12).all()


# ---- targets of each column -----------------------------------------------------------------------------------------


def test_onto_the_levels_of_another_model():
    """From z to s and back: depths are exact as a linear profile, the integral is kept by layers."""
    s = s_coordinate(20, theta_s=5.0, theta_b=1.0, hc=20.0)
    roms = s.assign(h=(("y", "x"), np.array([[60.0, 200.0], [450.0, 800.0]])), zeta=(("y", "x"), np.zeros((2, 2))))
    roms["temp"] = ("s_rho", "y", "x"), np.zeros((20, 2, 2))
    goal, goal_edges = depths(roms, "temp"), depth_edges(roms, "temp")
    axis = np.arange(0.0, 1001, 10)
    coords = {"depth": ("depth", axis, {"units": "m", "positive": "down"})}
    field = xr.DataArray(
        np.broadcast_to(20 - axis[:, None, None] / 100, (axis.size, 2, 2)), dims=("depth", "y", "x"), coords=coords
    )
    out = regrid_vertical(field, goal)
    assert out.dims == ("s_rho", "y", "x")
    np.testing.assert_allclose(out.values, 20 - goal.values / 100, rtol=1e-12)
    np.testing.assert_array_equal(out["depth"].values, goal.values)
    means = regrid_vertical(field, goal, edges=goal_edges, method="conservative")
    np.testing.assert_allclose(means.values, out.values, atol=0.05)
    back = regrid_vertical(
        means, None, edges=[0, 100, 1000], depth=goal_edges, dim="s_rho", method="conservative", min_coverage=0.0
    )
    share = vertical_coverage(means, None, edges=[0, 100, 1000], depth=goal_edges, dim="s_rho")
    after = (back * share * xr.DataArray([100.0, 900.0], dims="depth")).sum("depth")
    before = (means.drop_vars(["depth", "s_rho"]) * -goal_edges.diff("s_rho_edges").rename(s_rho_edges="s_rho")).sum(
        "s_rho"
    )
    np.testing.assert_allclose(after.values, before.values, rtol=1e-12)
    with pytest.raises(ValueError, match=r"levels='depth' are those of each column.*edges="):
        regrid_vertical(field, goal, method="conservative")


def test_columns_onto_columns_is_numpys():
    field, depth, _ = random_columns(1)
    _, goal, _ = random_columns(2, up=True)
    goal = goal.isel(k=slice(None, 7)).rename(k="s_rho")
    found = regrid_vertical(field, goal, depth=depth, dim="k")
    expected = over_columns(lambda z, x, g: numpy_linear(z, x, g), depth, field, goal)
    np.testing.assert_allclose(found.transpose("time", "y", "x", "s_rho").values, expected, rtol=1e-12, atol=1e-12)


def test_targets_that_turn_back_are_found_all_the_same():
    field, depth, _ = random_columns(1)
    goal = xr.DataArray(
        [[40.0, 3.0, 90.0, 90.0, np.nan, 1.0]], dims=("y0", "s"), attrs={"units": "m", "positive": "down"}
    )
    goal = goal.isel(y0=0).expand_dims(x=field.x).transpose("s", "x")
    found = regrid_vertical(field, goal, depth=depth, dim="k", extrapolate="nearest")
    for k, z in enumerate(goal.values[:, 0]):
        alone = (
            regrid_vertical(field, [z], depth=depth, dim="k", extrapolate="nearest")
            if z == z
            else field[:, :1] * np.nan
        )
        np.testing.assert_array_equal(found.isel(s=k).values, alone.values[:, 0])


# ---- the same numbers whatever the road -----------------------------------------------------------------------------

CHUNKS = [{"time": 1}, {"x": 13, "y": 2}, {"time": 2, "k": 5, "x": 17}]


@pytest.mark.parametrize("method", ["linear", "conservative"])
@pytest.mark.parametrize("number", [1, 2])
def test_numpy_and_dask_and_threads_agree_to_the_bit(method, number):
    field, depth, edges = random_columns()
    field = field.where(field > -1.5).astype(np.float32)
    where = depth if method == "linear" else edges
    moving = regrid_vertical(field, LEVELS, depth=where, dim="k", method=method)
    fixed = where[0].drop_vars("time", errors="ignore")
    axis = where[0, :, 0, 0].drop_vars(["x", "y"])
    with threads.limit(number):
        for part in (where, fixed, axis):
            eager = regrid_vertical(field, LEVELS, depth=part, dim="k", method=method)
            for chunks in CHUNKS:
                lazy = regrid_vertical(field.chunk(chunks), LEVELS, depth=part, dim="k", method=method)
                assert dask.is_dask_collection(lazy)
                assert lazy.chunksizes["depth"] == (len(LEVELS),)
                xr.testing.assert_identical(eager, lazy.compute())
            # Lazy depths of a field in memory, and both, in other chunks.
            if part.ndim > 1:
                cut = {d: c for d, c in {"time": 1, "x": 9}.items() if d in part.dims}
                for data in (field, field.chunk(x=25)):
                    lazy = regrid_vertical(data, LEVELS, depth=part.chunk(cut), dim="k", method=method)
                    assert dask.is_dask_collection(lazy)
                    xr.testing.assert_identical(eager, lazy.compute())
    assert moving.dtype == np.float32


@pytest.mark.parametrize("method", ["linear", "conservative"])
@pytest.mark.parametrize("order", [("time", "y", "x", "k"), ("k", "x", "time", "y"), ("x", "k", "y", "time")])
def test_order_of_dimensions_is_the_users(method, order):
    field, depth, edges = random_columns()
    where = depth if method == "linear" else edges
    usual = regrid_vertical(field, LEVELS, depth=where, dim="k", method=method)
    other = regrid_vertical(field.transpose(*order), LEVELS, depth=where, dim="k", method=method)
    assert other.dims == tuple("depth" if d == "k" else d for d in order)
    xr.testing.assert_identical(usual, other.transpose(*usual.dims))


def test_one_axis_and_the_same_axis_in_each_column_agree_to_the_bit():
    field, depth, edges = random_columns()
    field = field.where(field > -1)
    for part, method in ((depth, "linear"), (edges, "conservative")):
        axis = part[0, :, 0, 0].drop_vars(["x", "y"])
        each = axis.expand_dims(x=field.x).transpose(axis.dims[0], "x")
        one = regrid_vertical(field, LEVELS, depth=axis, dim="k", method=method)
        xr.testing.assert_identical(one, regrid_vertical(field, LEVELS, depth=each, dim="k", method=method))


def test_levels_that_move_in_time_move_a_field_that_does_not():
    field, depth, _ = random_columns()
    still = field.isel(time=0)
    out = regrid_vertical(still, LEVELS, depth=depth, dim="k")
    assert out.dims == ("time", "depth", "y", "x")
    for t in range(3):
        np.testing.assert_array_equal(out[t].values, regrid_vertical(still, LEVELS, depth=depth[t], dim="k").values)


def test_what_lies_beside_a_field_has_its_dimensions():
    field, depth, _ = random_columns()
    with pytest.raises(ValueError, match=r"'depth' has the dimension 'member', which 'temp' lacks"):
        blocks.columns(np.add, field, "k", [(depth.expand_dims(member=2), "k")], blocks.Output(("k",), (12,), float))


def test_float32_is_summed_in_float64():
    values = np.full(1000, 0.1, np.float32)
    edges = xr.DataArray(np.arange(1001.0), dims="e", attrs={"units": "m"})
    out = regrid_vertical(xr.DataArray(values, dims="k"), None, edges=[0, 1000], depth=edges, method="conservative")
    assert out.dtype == np.float32
    assert out.item() == np.float32(0.1)


def test_kernels_agree_with_numpy():
    """The Python behind each kernel, on few columns."""
    field, depth, edges = (a.isel(time=slice(1), y=slice(2), x=slice(20)) for a in random_columns())
    field = field.where(field > -1)
    kernels = _vertical_kernels
    target = np.array([5.0, 30.0, 80.0])
    columns = [_columns._columns(a, field.values, 1) for a in (field.values, depth.values, edges.values)]
    goal = _columns._columns(target.reshape(1, -1, 1, 1), field.values, 1)
    shape = (1, 3, 2, 20)
    for compiled in (True, False):
        pick = (lambda k: k) if compiled else (lambda k: k.py_func)
        out, bad = np.full(shape, 9.0), np.zeros(2, np.int64)
        made = _columns._columns(out, field.values, 1)
        pick(kernels.linear_columns)(columns[0], columns[1], goal, columns[2], True, 0, 0, 0, 2, 20, made, bad)
        expected = over_columns(lambda z, x: numpy_linear(z[x == x], x[x == x], target), depth, field)
        np.testing.assert_allclose(np.moveaxis(made.flat.reshape(shape), 1, -1), expected, rtol=1e-12)
        assert bad[0] == 0
        out, bad = np.full((1, 2, 2, 20), 9.0), np.zeros(4, np.int64)
        made = _columns._columns(out, field.values, 1)
        pick(kernels.conservative_columns)(columns[0], columns[2], goal, 0.5, 0, 0, 2, 20, made, bad)
        expected = over_columns(lambda e, x: numpy_conservative(e, x, target, 0.5)[0], edges, field)
        np.testing.assert_allclose(np.moveaxis(made.flat.reshape(1, 2, 2, 20), 1, -1), expected, rtol=1e-12)


def test_shared_kernels_agree_with_numpy():
    field = random_columns()[0].values[:1, :, :1].reshape(1, 12, 40)
    axis, target = np.arange(12.0) * 10, np.array([0.0, 33.0, 110.0, 111.0])
    expected = np.array([numpy_linear(axis, field[0, :, j], target) for j in range(40)]).T
    edges = np.arange(13.0) * 10
    means = np.array([numpy_conservative(edges, field[0, :, j], target, 0.5)[0] for j in range(40)]).T
    for kernel in (_vertical_kernels.linear_shared, _vertical_kernels.linear_shared.py_func):
        out = np.empty((1, 4, 40))
        kernel(field, *_columns._between(axis, target), 0, 2, 32, out)
        np.testing.assert_allclose(out[0], expected, rtol=1e-12)
    for kernel in (_vertical_kernels.conservative_shared, _vertical_kernels.conservative_shared.py_func):
        out = np.empty((1, 3, 40))
        kernel(field, *_columns._met(edges, target), 0.5, 0, 0, 2, 32, out)
        np.testing.assert_allclose(out[0], means, rtol=1e-12)


# ---- together with the horizontal -----------------------------------------------------------------------------------


def roms_like(times: int, ny: int, nx: int) -> xr.Dataset:
    lon, lat = np.meshgrid(np.linspace(120, 124, nx), np.linspace(30, 33, ny))
    ds = s_coordinate(12, theta_s=5.0, theta_b=1.0, hc=20.0).assign_coords(
        lon_rho=(("eta_rho", "xi_rho"), lon, {"units": "degrees_east"}),
        lat_rho=(("eta_rho", "xi_rho"), lat, {"units": "degrees_north"}),
    )
    ds["h"] = ("eta_rho", "xi_rho"), 40 + 60 * (lon - 120)
    ds["zeta"] = ("ocean_time", "eta_rho", "xi_rho"), np.zeros((times, ny, nx))
    ds["temp"] = ("ocean_time", "s_rho", "eta_rho", "xi_rho"), np.random.default_rng(0).normal(size=(times, 12, ny, nx))
    return ds


def test_vertical_then_horizontal_in_one_graph():
    """Step by step in memory and chunk by chunk in one graph: the same numbers."""
    ds = roms_like(3, 20, 24)
    target = Grid.regular(lon=(120.5, 123.5, 0.5), lat=(30.5, 32.5, 0.5))
    flat = regrid_vertical(ds[["temp", "zeta", "h", "hc", "Cs_r"]], [2, 20, 60])
    whole = Regridder(ds, target)(flat["temp"])
    lazy = regrid_vertical(ds.chunk(ocean_time=1), [2, 20, 60])
    chained = Regridder(ds, target)(lazy["temp"])
    assert dask.is_dask_collection(chained)
    assert chained.chunksizes["ocean_time"] == (1, 1, 1)
    xr.testing.assert_allclose(chained.compute(), whole, rtol=0, atol=0)


def test_a_chain_of_both_holds_few_chunks_at_a_time():
    """Sixteen steps that are made chunk by chunk: the peak is a few steps, not the whole."""
    ds = roms_like(16, 120, 150)
    step = ds["temp"].nbytes // 16
    small = {n: ds[n] for n in ("h", "hc", "Cs_r", "Vtransform")}
    zeta = ds["zeta"].chunk(ocean_time=1)
    temp = zeta.expand_dims(s_rho=ds["s_rho"], axis=1) + xr.DataArray(np.arange(12.0), dims="s_rho")
    lazy = xr.Dataset({**small, "temp": temp, "zeta": zeta})
    regridder = Regridder(ds, Grid.regular(lon=(120.5, 123.5, 0.5), lat=(30.5, 32.5, 0.5)))
    out = regridder(regrid_vertical(lazy, [2, 20, 60])["temp"])
    with dask.config.set(scheduler="synchronous"):
        out.isel(ocean_time=0).compute()
        tracemalloc.start()
        out.compute()
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 8 * step


# ---- manners --------------------------------------------------------------------------------------------------------


def test_attributes_and_coordinates():
    field, depth, _ = random_columns()
    field = field.assign_attrs(units="degC", cell_measures="area: areacello volume: volcello").assign_coords(run=7)
    out = regrid_vertical(field.assign_coords(z=depth), [5, 10], depth="z", dim="k")
    assert out.attrs == {"units": "degC", "cell_measures": "area: areacello"}
    assert set(out.coords) == {"x", "y", "run", "depth"}
    assert out.name == "temp"
    named = {"standard_name": "depth", "long_name": "depth", "units": "m", "positive": "down", "axis": "Z"}
    assert out["depth"].attrs == named
    assert regrid_vertical(field.astype(np.int16), [5, 10], depth=depth, dim="k").dtype == np.float32


def test_levels_as_the_user_has_them():
    field = column([1.0, 2.0, 3.0, 4.0, 5.0])
    heights = xr.DataArray(
        [-15.0, -25.0], dims="z", name="z", attrs={"units": "m", "positive": "up", "comment": "mine"}
    )
    out = regrid_vertical(field, heights)
    np.testing.assert_allclose(out.values, [1.5, 2.5])
    assert out.dims == ("z",)
    assert out["z"].values.tolist() == [-15, -25]
    assert out["z"].attrs == {"units": "m", "positive": "up", "axis": "Z", "comment": "mine"}
    km = xr.DataArray([0.015, 0.025], dims="lev", attrs={"units": "km"})
    np.testing.assert_allclose(regrid_vertical(field, km).values, [1.5, 2.5])
    np.testing.assert_allclose(regrid_vertical(field, 15).values, [1.5])
    ds = regrid_vertical(
        field.to_dataset(),
        heights,
        edges=xr.DataArray([-10.0, -20, -30], dims="e", attrs=heights.attrs),
        method="conservative",
    )
    np.testing.assert_allclose(ds["z_bnds"].values, [[-10, -20], [-20, -30]])
    assert ds["z"].attrs["bounds"] == "z_bnds"


def test_edges_of_targets():
    field = column([1.0, 2.0, 3.0, 4.0, 5.0]).to_dataset()
    out = regrid_vertical(field, [10.0, 30.0], method="conservative")
    np.testing.assert_allclose(out["depth_bnds"].values, [[0, 20], [20, 40]])
    np.testing.assert_allclose(out["t"].values, [(10 * 1 + 5 * 2) / 15, (5 * 2 + 10 * 3 + 5 * 4) / 20])
    levels = xr.DataArray(
        [12.0, 30.0], dims="depth", attrs={"units": "m", "bounds": "b"}, coords={"depth": [12.0, 30.0]}
    )
    bounded = levels.to_dataset(name="v").assign_coords(b=(("depth", "n"), [[5.0, 15.0], [15.0, 55.0]]))["v"]
    assert "b" not in bounded.coords
    np.testing.assert_allclose(
        regrid_vertical(field, None, edges=[55.0, 15.0, 5.0], method="conservative")["t"].values, [3.5, 1]
    )
    swapped = regrid_vertical(field, [10, 35], edges=[55.0, 15.0, 5.0], method="conservative")
    np.testing.assert_allclose(swapped["t"].values, [1, 3.5])


def test_depth_in_every_form():
    field, _, _ = random_columns()
    row = field[0, :, 0, 0].drop_vars(["x", "y"])
    edges = np.linspace(0, 120, 13)
    centres = 0.5 * (edges[1:] + edges[:-1])
    expected = regrid_vertical(row, [10, 50], depth=xr.DataArray(centres, dims="k", attrs={"units": "m"}))
    pairs = xr.DataArray(np.stack([edges[:-1], edges[1:]], axis=1), dims=("k", "b"))
    for depth in (centres, list(edges), xr.DataArray(edges, dims="e"), pairs, xr.DataArray(-centres, dims="k")):
        np.testing.assert_allclose(regrid_vertical(row, [10, 50], depth=depth).values, expected.values, rtol=1e-12)
    named = row.assign_coords(where=("k", centres))
    np.testing.assert_allclose(regrid_vertical(named, [10, 50], depth="where").values, expected.values)


def test_a_dataset_with_levels_given():
    field, depth, _ = random_columns()
    ds = xr.Dataset({"temp": field, "salt": 2 * field, "ssh": field[:, 0], "e3t": depth})
    out = regrid_vertical(ds, LEVELS, depth=depth, dim="k")
    assert set(out.data_vars) == {"temp", "salt", "ssh"}
    xr.testing.assert_identical(out["temp"], regrid_vertical(field, LEVELS, depth=depth, dim="k"))
    np.testing.assert_allclose(out["salt"].values, 2 * out["temp"].values)


def test_a_clash_of_names():
    ds = xr.Dataset(
        {"t": ("lev", [1.0, 2.0]), "depth": ("node", [40.0])}, coords={"lev": ("lev", [5.0, 15.0], {"units": "m"})}
    )
    with pytest.raises(ValueError, match=r"variable 'depth'.*rename"):
        regrid_vertical(ds, [7.0])
    levels = xr.DataArray([7.0], dims="z", name="z")
    assert set(regrid_vertical(ds, levels).coords) == {"z"}
    field = xr.DataArray(np.zeros((2, 2)), dims=("lev", "depth"), coords={"lev": ("lev", [5.0, 15.0], {"units": "m"})})
    with pytest.raises(ValueError, match=r"both have 'depth'"):
        regrid_vertical(field, [7.0], dim="lev")


@pytest.mark.parametrize(
    ("levels", "options", "message"),
    [
        ([10, 30, 20], {}, "levels are not sorted: 20 follows 30"),
        ([10, 10], {}, "levels are not sorted: 10 follows 10"),
        ([10, np.nan], {}, "levels holds nan"),
        ([-10, -20], {}, "levels holds -20, which lies above the surface.*positive is 'up'"),
        (xr.DataArray([-10.0, -20], dims="z"), {}, "levels holds -20"),
        ([], {}, "levels is empty"),
        ("deep", {}, "levels='deep' are no numbers"),
        (None, {}, "levels=None, and no edges either"),
        (xr.DataArray([10.0], dims="z", attrs={"units": "dbar"}), {}, "pressure in 'dbar'"),
        ([10], {"method": "conservative"}, r"single level has no edges; give edges="),
        ([10, 20], {"edges": [0, 10], "method": "conservative"}, "edges has 2 values for 2 levels; give 3"),
        ([10, 20], {"edges": [11, 15, 30], "method": "conservative"}, "level 10 m lies outside its layer, 11 to 15 m"),
        (None, {"edges": [0, 20, 10], "method": "conservative"}, "edges are not sorted"),
        (None, {"edges": [0], "method": "conservative"}, "a layer has two"),
        ([10], {"method": "cubic"}, "method='cubic'.*'linear', 'conservative'"),
        ([10], {"extrapolate": "creep"}, "extrapolate='creep'"),
        ([10, 20], {"extrapolate": "nearest", "method": "conservative"}, "belongs to method='linear'"),
        ([10], {"min_coverage": 2}, "min_coverage=2"),
        ([10], {"skipna": "yes"}, "skipna='yes'"),
        ([10], {"dim": "lev"}, "no dimension 'lev' to take as vertical"),
        ([10], {"depth": "z"}, "depth='z' is none of the variables 'depth'"),
        ([10], {"depth": np.arange(4.0)}, r"sizes .*: 4.*5 levels along 'depth'"),
        ([10], {"depth": np.zeros((5, 3))}, r"shape \(5, 3\)"),
        ([10], {"depth": [1.0, 3.0, 2.0, 4.0, 5.0]}, "turn back, 2 m follows 3 m"),
        ([10], {"depth": [1.0, 3.0, np.nan, 4.0, 5.0]}, "hold nan"),
    ],
)
def test_mistakes(levels, options, message):
    with pytest.raises(ValueError, match=message):
        regrid_vertical(column([1.0, 2.0, 3.0, 4.0, 5.0]), levels, **options)


@pytest.mark.parametrize(
    ("field", "message"),
    [
        (xr.DataArray(np.zeros((2, 2)), dims=("y", "x")), "no vertical dimension"),
        (xr.DataArray(np.zeros((2, 2)), dims=("depth", "lev")), "several vertical dimensions: 'depth', 'lev'"),
        (
            xr.DataArray([0.0, 1], dims="p", coords={"p": ("p", [1.0, 2], {"units": "dbar", "axis": "Z"})}),
            "pressure in 'dbar'",
        ),
        (xr.Dataset({"a": ("x", [1.0])}), "no variable of the dataset has a vertical dimension"),
        (
            column([1.0, 2, 3, 4, 5]).to_dataset(name="dz"),
            "but for 'dz', told by name or standard_name to be depths or thick",
        ),
        (np.zeros(3), "not a ndarray"),
        (column(["a", "b", "c", "d", "e"]), "dtype <U1"),
        (column([1, 2, 3, 4, 5]).assign_attrs(scale_factor=0.1), "scale_factor=0.1"),
    ],
)
def test_fields_that_are_none(field, message):
    with pytest.raises(ValueError, match=message):
        regrid_vertical(field, [10.0, 20.0])


def test_depths_that_turn_back_in_a_column():
    field, depth, edges = random_columns()
    for part, method, what in ((depth, "linear", "levels"), (edges, "conservative", "edges of layers")):
        wrong = part.copy(deep=True)
        wrong[1, 4, 2, 33] = 500.0
        with pytest.raises(ValueError, match=rf"'temp': the {what} turn back in a column, from 500 m to"):
            regrid_vertical(field, LEVELS, depth=wrong, dim="k", method=method)
        lazy = regrid_vertical(field.chunk(time=1), LEVELS, depth=wrong, dim="k", method=method)
        with pytest.raises(ValueError, match="turn back in a column, from 500 m"):
            lazy.compute()
        # Where there is nothing to regrid, it does no harm.
        here = (field.x == 33) & (field.y == 2)
        assert np.isfinite(regrid_vertical(field.where(~here), LEVELS, depth=wrong, dim="k", method=method)).any()


def test_depths_of_other_places():
    field, depth, _ = random_columns()
    with pytest.raises(CoordinateError, match=r"coordinate 'x' differs"):
        regrid_vertical(field, LEVELS, depth=depth.assign_coords(x=depth.x + 1), dim="k")


def test_a_lone_field_of_roms_says_what_it_lacks():
    ds = s_coordinate(10, theta_s=5.0, theta_b=0.5, hc=10.0).assign(h=("x", [40.0]), zeta=("x", [0.5]))
    ds["temp"] = ("s_rho", "x"), np.ones((10, 1))
    with pytest.raises(
        CoordinateError, match=r"C: Cs_r, eta: zeta, depth: h, depth_c: hc are not with the field 'temp'.*depth="
    ):
        regrid_vertical(ds["temp"], [5.0])
    np.testing.assert_allclose(regrid_vertical(ds["temp"], [5.0], depth=depths(ds, "temp")).values, 1.0)
