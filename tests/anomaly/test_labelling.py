"""Labels against scipy.ndimage and cc3d, across chunks, threads and seams, and on grids of every kind."""

from itertools import pairwise

import dask
import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from made_meshes import ugrid
from scipy import ndimage

from oceankit.anomaly import _connected, label
from oceankit.anomaly import _label_kernels as kernels
from oceankit.fields import Grid
from oceankit.fields.adjacency import adjacency
from oceankit.numerics import threads

STRUCTURE = {
    4: np.pad(ndimage.generate_binary_structure(2, 1)[None], ((1, 1), (0, 0), (0, 0))),
    8: np.pad(np.ones((1, 3, 3), bool), ((1, 1), (0, 0), (0, 0))),
    6: ndimage.generate_binary_structure(3, 1),
    18: ndimage.generate_binary_structure(3, 2),
    26: np.ones((3, 3, 3), bool),
}
MASKS = hnp.arrays(bool, st.tuples(st.integers(1, 5), st.integers(1, 6), st.integers(1, 21)))


def stack(mask) -> xr.DataArray:
    return xr.DataArray(mask, dims=("time", "y", "x"), name="warm")


def first_come(labels: np.ndarray) -> np.ndarray:
    """The same parts numbered as they first appear."""
    _, first, group = np.unique(labels, return_index=True, return_inverse=True)
    inside = labels.ravel()[first] != 0
    rank = np.zeros(first.size, int)
    rank[np.flatnonzero(inside)[np.argsort(first[inside])]] = np.arange(1, inside.sum() + 1)
    return rank[group].reshape(labels.shape)


def expected(mask: np.ndarray, connectivity: int, periodic: bool) -> np.ndarray:
    """By scipy.ndimage: a periodic mask three times side by side, and parts joined that share a cell of the middle one."""
    if not periodic:
        return first_come(ndimage.label(mask, STRUCTURE[connectivity])[0])
    nx = mask.shape[2]
    wide = ndimage.label(np.concatenate([mask] * 3, axis=2), STRUCTURE[connectivity])[0]
    joined = {k: k for k in range(wide.max() + 1)}

    def root(a: int) -> int:
        while joined[a] != a:
            a = joined[a]
        return a

    for shift in (0, 2 * nx):
        for a, b in zip(wide[:, :, nx : 2 * nx].ravel(), wide[:, :, shift : shift + nx].ravel(), strict=True):
            joined[root(a)] = root(b)
    return first_come(np.vectorize(root)(wide[:, :, :nx]) if mask.size else wide[:, :, :nx])


@settings(deadline=None, max_examples=120)
@given(mask=MASKS, connectivity=st.sampled_from(sorted(STRUCTURE)), periodic=st.booleans())
def test_against_scipy(mask, connectivity, periodic):
    labels = label(stack(mask), connectivity=connectivity, periodic=periodic, dim="time")
    wanted = expected(mask, connectivity, periodic)
    np.testing.assert_array_equal(labels, wanted)
    assert labels.attrs["n_labels"] == wanted.max()
    assert labels.dtype == np.int32


@pytest.mark.parametrize("connectivity", [6, 18, 26])
@pytest.mark.parametrize("share", [0.05, 0.3, 0.6])
def test_against_cc3d(connectivity, share):
    cc3d = pytest.importorskip("cc3d")
    mask = np.random.default_rng(3).random((20, 61, 83)) < share
    wanted = first_come(cc3d.connected_components(mask, connectivity=connectivity))
    np.testing.assert_array_equal(label(stack(mask), connectivity=connectivity, dim="time"), wanted)


@pytest.mark.parametrize("connectivity", [8, 26])
@pytest.mark.parametrize("periodic", [False, True])
@pytest.mark.parametrize("nx", [1, 2, 3, 63, 64, 65, 128, 130])
def test_rows_as_words_of_bits(connectivity, periodic, nx):
    rng = np.random.default_rng(nx)
    for share in (0.04, 0.15, 0.4, 0.9):
        mask = rng.random((5, 7, nx)) < share
        labels = label(stack(mask), connectivity=connectivity, periodic=periodic, dim="time")
        np.testing.assert_array_equal(labels, expected(mask, connectivity, periodic))


@pytest.mark.parametrize("connectivity", [4, 8, 6, 18, 26])
@pytest.mark.parametrize("periodic", [False, True])
def test_against_scipy_on_larger_masks(connectivity, periodic):
    rng = np.random.default_rng(connectivity)
    for mask in (rng.random((9, 40, 70)) < 0.2, ndimage.gaussian_filter(rng.normal(size=(9, 40, 72)), 2) > 0.05):
        labels = label(stack(mask), connectivity=connectivity, periodic=periodic, dim="time")
        np.testing.assert_array_equal(labels, expected(mask, connectivity, periodic))


@settings(deadline=None, max_examples=30)
@given(mask=MASKS, connectivity=st.sampled_from(sorted(STRUCTURE)), periodic=st.booleans())
def test_kernels_in_plain_python(mask, connectivity, periodic):
    reach = _connected.CONNECTIVITIES[connectivity]
    flags = np.ascontiguousarray(mask).view(np.uint8)
    words = _connected.words_of(flags)
    out = np.zeros(mask.shape, np.int32)
    count = kernels.label_rows.py_func(flags, words, out, *reach, periodic)
    wanted = expected(mask, connectivity, periodic)
    np.testing.assert_array_equal(out, wanted)
    assert count == wanted.max()
    ends = np.zeros((2, *mask.shape[1:]), np.int32)
    assert kernels.label_rows.py_func(flags, words, ends, *reach, periodic) == count
    np.testing.assert_array_equal(ends[: len(mask)], wanted[[0, -1]][: len(mask)])
    if mask.shape[0] > 1 and reach[1] >= 0:
        last, first = out[0], out[1]
        pair = np.ascontiguousarray(flags[:2])
        found = kernels.seam_rows.py_func(pair, _connected.words_of(pair), last, first, *reach[1:], periodic)
        assert {tuple(p) for p in found.tolist()} == touching(last, first, connectivity, periodic)
    table = np.arange(count + 1, dtype=np.int32)[::-1].copy()
    table[0] = 0
    kernels.relabel.py_func(out.reshape(-1), words, table)
    np.testing.assert_array_equal(out, table[wanted])


def touching(last, first, connectivity, periodic) -> set[tuple[int, int]]:
    """Pairs of labels, cell by cell."""
    ny, nx = first.shape
    pairs = set()
    for dy, dx in zip(*np.nonzero(STRUCTURE[connectivity][0]), strict=True):
        for y, x in np.ndindex(ny, nx):
            yy, xx = y + dy - 1, x + dx - 1
            xx = xx % nx if periodic else xx
            if first[y, x] and 0 <= yy < ny and 0 <= xx < nx and last[yy, xx]:
                pairs.add((int(last[yy, xx]), int(first[y, x])))
    return pairs


@pytest.fixture(scope="module")
def field() -> xr.DataArray:
    rng = np.random.default_rng(5)
    noise = ndimage.gaussian_filter(rng.normal(size=(40, 18, 36)), (1, 1, 1), mode=("nearest", "nearest", "wrap"))
    coords = {"time": xr.date_range("2001-01-01", periods=40), **Grid.global_regular(10.0).coords()}
    return xr.DataArray(noise > 0.2, dims=("time", "lat", "lon"), coords=coords, name="warm")


@pytest.mark.parametrize("chunks", [{"time": 1}, {"time": 7}, {"time": 40}, {"time": 3, "lon": 5, "lat": 4}])
@pytest.mark.parametrize("connectivity", [8, 6, 18, 26])
def test_chunks_and_threads_change_nothing(field, chunks, connectivity, monkeypatch):
    wanted = label(field, connectivity=connectivity)
    np.testing.assert_array_equal(wanted, expected(field.values, connectivity, True))
    lazy = label(field.chunk(chunks), connectivity=connectivity)
    assert lazy.chunks is not None
    assert lazy.data.numblocks[0] == -(-40 // chunks["time"])
    with dask.config.set(scheduler="threads", num_workers=2):
        xr.testing.assert_identical(lazy.compute(), wanted)
        xr.testing.assert_identical(lazy[5:9].compute(), wanted[5:9])
    monkeypatch.setattr("oceankit.anomaly.labelling._BLOCK_VALUES", 18 * 36 * chunks["time"])
    with threads.limit(2):
        xr.testing.assert_identical(label(field, connectivity=connectivity), wanted)


def test_what_is_returned(field):
    labels = label(field)
    assert labels.name == "label"
    assert labels.dims == field.dims
    assert labels.attrs["n_labels"] == labels.max()
    assert labels.attrs["source_variable"] == "warm"
    xr.testing.assert_identical(labels["lat"], field["lat"])
    turned = field.transpose("lon", "time", "lat")
    again = label(turned)
    assert again.dims == turned.dims
    np.testing.assert_array_equal(again.transpose(*field.dims), labels)
    for dtype in ("float32", "int8", ">f4"):
        np.testing.assert_array_equal(label(field.astype(dtype)), labels)
        np.testing.assert_array_equal(label(field.astype(dtype).chunk(time=9)), labels)
    holes = field.astype(float).where(field)
    np.testing.assert_array_equal(label(holes), labels)


def test_longitudes_say_whether_the_seam_is_closed(field):
    half = field.isel(lon=slice(18))
    np.testing.assert_array_equal(label(half), expected(half.values, 26, False))
    np.testing.assert_array_equal(label(half, periodic=True), expected(half.values, 26, True))
    np.testing.assert_array_equal(label(field, periodic=False), expected(field.values, 26, False))
    rolled = field.roll(lon=11, roll_coords=True)
    assert same_parts(label(rolled).roll(lon=-11, roll_coords=True), label(field))


def same_parts(a, b) -> bool:
    return bool((first_come(np.asarray(a)) == first_come(np.asarray(b))).all())


def test_longitudes_out_of_order_or_with_gaps():
    rng = np.random.default_rng(0)
    mask = xr.DataArray(rng.random((6, 7, 9)) < 0.3, dims=("time", "lat", "lon"))
    mask = mask.assign_coords(
        time=xr.date_range("2001-01-01", periods=6), lat=np.arange(7) * 5.0, lon=np.arange(9) * 5.0
    )
    shuffled = mask.isel(lon=rng.permutation(9))
    assert same_parts(label(shuffled).sortby("lon"), label(mask))
    lon = np.where(np.arange(9) < 4, np.arange(9), np.arange(9) + 3) * 5.0
    ends = xr.DataArray(np.stack([lon - 2.5, lon + 2.5], 1), dims=("lon", "b"))
    apart = Grid.from_dataset(
        xr.Dataset(
            {"lon_bnds": ends, "lat_bnds": (("lat", "b"), np.arange(7)[:, None] * 5.0 + [-2.5, 2.5])}
        ).assign_coords(lon=lon, lat=mask["lat"]),
        bounds=("lon_bnds", "lat_bnds"),
    )
    halves = [label(mask.isel(lon=part)) for part in (slice(4), slice(4, None))]
    halves[1] = halves[1].where(halves[1] == 0, halves[1] + 1000)
    assert same_parts(label(mask.drop_vars(["lon", "lat"]), grid=apart), xr.concat(halves, "lon"))


def test_nothing_is_connected_along_further_dimensions(field):
    members = xr.concat([field, field.roll(time=3), ~field], "member").transpose("time", "lat", "member", "lon")
    labels = label(members)
    offset = 0
    for m in range(3):
        one = label(members.isel(member=m))
        np.testing.assert_array_equal(labels.isel(member=m), one.where(one == 0, one + offset))
        offset += one.attrs["n_labels"]
    assert labels.attrs["n_labels"] == offset
    xr.testing.assert_identical(label(members.chunk(time=7, member=2)).compute(), labels)


def test_one_map_and_other_dimensions_than_time(field):
    np.testing.assert_array_equal(label(field[0], connectivity=8), expected(field.values[:1], 8, True)[0])
    np.testing.assert_array_equal(label(field[0].chunk(), connectivity=8), expected(field.values[:1], 8, True)[0])
    deep = field.drop_vars("time").rename(time="depth")
    np.testing.assert_array_equal(label(deep, dim="depth"), label(field))


def test_empty_and_full(field):
    nothing, everything = label(field & False), label(field | True)
    assert nothing.attrs["n_labels"] == 0
    assert (everything == 1).all()
    assert label(field.chunk(time=9) & False).attrs["n_labels"] == 0
    assert label(field[:0].drop_vars("time"), dim="time").shape == (0, 18, 36)


# ---- cells of any kind ----------------------------------------------------------------------------------------------


def graph_parts(mask: np.ndarray, beside: list[set[int]], before: list[set[int]]) -> np.ndarray:
    """Flood fill over steps and cells (steps, cells)."""
    labels, count = np.zeros(mask.shape, int), 0
    after: list[set[int]] = [set() for _ in before]
    for cell, those in enumerate(before):
        for other in those:
            after[other].add(cell)
    for t, cell in np.argwhere(mask):
        if labels[t, cell]:
            continue
        count += 1
        todo = [(t, cell)]
        while todo:
            s, c = todo.pop()
            if not (0 <= s < len(mask)) or not mask[s, c] or labels[s, c]:
                continue
            labels[s, c] = count
            todo += [(s, o) for o in beside[c]] + [(s - 1, o) for o in before[c]] + [(s + 1, o) for o in after[c]]
    return labels


def triangles(ny: int = 6, nx: int = 8) -> xr.Dataset:
    """Squares cut in two."""
    x, y = np.meshgrid(np.arange(nx + 1.0), np.arange(ny + 1.0))
    corner = np.arange((ny + 1) * (nx + 1)).reshape(ny + 1, nx + 1)
    a, b, c, d = (v.ravel() for v in (corner[:-1, :-1], corner[:-1, 1:], corner[1:, 1:], corner[1:, :-1]))
    return ugrid(x.ravel(), y.ravel(), np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)]))


@pytest.mark.parametrize("connectivity", [4, 8, 6, 18, 26])
@pytest.mark.parametrize("location", ["face", "node"])
def test_meshes(connectivity, location):
    grid = Grid.from_dataset(triangles(), location=location)
    start, columns = adjacency(grid)
    edges = [set(columns[a:b].tolist()) for a, b in pairwise(start)]
    cells = grid.cells()
    nodes = np.round(cells.nodes, 9)
    owned = [{tuple(nodes[n]) for n in face if n >= 0} for face in cells.faces]
    corners = [{b for b in range(grid.size) if b != a and owned[a] & owned[b]} for a in range(grid.size)]
    nothing, itself = [set() for _ in edges], [{c} for c in range(grid.size)]
    beside = edges if connectivity in (4, 6) else corners
    before = {4: nothing, 8: nothing, 6: itself}.get(connectivity)
    if before is None:
        before = [{c} | o for c, o in enumerate(edges if connectivity == 18 else corners)]
    mask = np.random.default_rng(0).random((5, grid.size)) < 0.25
    field = xr.DataArray(mask, dims=("time", *grid.dims))
    labels = label(field, connectivity=connectivity, grid=grid, dim="time")
    np.testing.assert_array_equal(labels, graph_parts(mask, beside, before))
    for steps in (1, 2):
        lazy = label(field.chunk(time=steps), connectivity=connectivity, grid=grid, dim="time")
        np.testing.assert_array_equal(lazy, labels)
    out = np.zeros(mask.shape, np.int32)
    neighbours, _ = _connected.neighbours_of(field, grid, "time", connectivity, None)
    assert kernels.label_cells.py_func(mask.view(np.uint8), out, *neighbours[:5]) == labels.attrs["n_labels"]
    np.testing.assert_array_equal(out, labels)


@pytest.mark.parametrize("connectivity", [4, 8])
def test_across_a_tripolar_fold(connectivity):
    """A bipolar cap is cut at its fold: what is beside each other there is told by distance."""
    grid = folded()
    assert grid.topology.fold is not None
    ny, nx = grid.shape
    centres = grid.centres().reshape(ny, nx, 3)
    mask = np.zeros((1, ny, nx), bool)
    here = nx // 4
    there = int(np.argmin(np.linalg.norm(centres[-1] - centres[-1, here], axis=1) + 9 * (np.arange(nx) == here)))
    assert abs(there - here) > 2
    mask[0, -1, [here, there]] = True
    field = xr.DataArray(mask, dims=("time", *grid.dims))
    assert label(field, connectivity=connectivity, grid=grid).attrs["n_labels"] == 1
    mask[0, -1, there], mask[0, -1, there + 1] = False, True
    assert label(field, connectivity=connectivity, grid=grid).attrs["n_labels"] == (1 if connectivity == 8 else 2)
    full = label(field | True, connectivity=connectivity, grid=grid)
    assert (full == 1).all()


def folded(ny: int = 10, nx: int = 24) -> Grid:
    """Latitude circles, and beyond them rows that bend around two poles on land and meet in the middle of the last row."""
    lon = np.tile(np.arange(nx) * 360.0 / nx + 7.5, (ny, 1))
    lat = np.tile(np.linspace(-60, 60, ny)[:, None], (1, nx))
    # The last row runs from one pole of the grid to the other and back, half a cell from the line between them.
    for j, k in ((ny - 2, 2.0), (ny - 1, 1.0)):
        angle = np.radians(lon[0])
        x, y, z = np.cos(angle), 0.12 * k * np.sin(angle), np.full(nx, 2.2)
        lon[j], lat[j] = np.degrees(np.arctan2(y, x)), np.degrees(np.arctan2(z, np.hypot(x, y)))
    return Grid.from_dataset(xr.Dataset(coords={"nav_lon": (("y", "x"), lon), "nav_lat": (("y", "x"), lat)}))


def test_halos_take_the_label_of_their_original(nemo_like):
    grid, field, copies = nemo_like
    labels = label(field, grid=grid, connectivity=26, dim="time").values.reshape(len(field), -1)
    for copy, original in copies:
        same = field.values.reshape(len(field), -1)[:, copy]
        np.testing.assert_array_equal(labels[same, copy], labels[same, original])
        assert (labels[~same, copy] == 0).all()


@pytest.fixture
def nemo_like():
    """A closed lattice with two columns of copies."""
    lon, lat = np.meshgrid(np.arange(-1, 25) * 15.0, np.linspace(-70, 70, 9))
    grid = Grid.from_dataset(xr.Dataset(coords={"nav_lon": (("y", "x"), lon), "nav_lat": (("y", "x"), lat)}))
    mask = np.random.default_rng(2).random((4, 9, 26)) < 0.3
    mask[:, :, 0], mask[:, :, 25] = mask[:, :, 24], mask[:, :, 1]
    number = np.arange(9 * 26).reshape(9, 26)
    copies = np.concatenate([np.stack([number[:, a], number[:, b]], 1) for a, b in ((0, 24), (25, 1))])
    assert grid.topology.halo.any()
    return grid, xr.DataArray(mask, dims=("time", "y", "x")), copies


def test_a_closed_lattice_equals_rows_and_columns(nemo_like):
    grid, field, _ = nemo_like
    kept = ~grid.topology.halo.any(axis=0)
    for connectivity in (4, 8, 6, 18, 26):
        labels = label(field, grid=grid, connectivity=connectivity, dim="time").values[:, :, kept]
        wanted = expected(field.values[:, :, kept], connectivity, True)
        assert same_parts(labels, wanted)


def test_a_curvilinear_grid_without_halos_is_rows_and_columns(field):
    lon, lat = np.meshgrid(field["lon"], field["lat"])
    bare = field.drop_vars(["lon", "lat"]).rename(lat="j", lon="i")
    placed = bare.assign_coords(nav_lon=(("j", "i"), lon), nav_lat=(("j", "i"), lat))
    np.testing.assert_array_equal(label(placed), label(field))
    np.testing.assert_array_equal(label(placed.transpose("i", "time", "j")).transpose(*placed.dims), label(field))


# ---- refusals -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"connectivity": 27}, "connectivity is 27; choose one of 4, 8, 6, 18, 26"),
        ({"connectivity": True}, "connectivity is True"),
        ({"periodic": "yes"}, "periodic is 'yes'"),
        ({"dim": "depth"}, "dim is 'depth'"),
        ({"dim": "lon"}, "dim is 'lon'"),
        ({"grid": Grid.global_regular(20.0)}, "sizes .* the grid .*give the grid that the mask lies on"),
    ],
)
def test_refused_options(field, options, words):
    with pytest.raises(ValueError, match=words):
        label(field, **options)


def test_refused_masks(field):
    cells = xr.DataArray(
        np.zeros((3, 5), bool), dims=("time", "cell"), coords={n: ("cell", np.arange(5.0)) for n in ("lon", "lat")}
    )
    cases = [
        (field.values, "the mask is a ndarray"),
        (field.astype("datetime64[ns]"), "holds datetime64"),
        (field * 2.5, "holds the value 2.5; it must be true or false"),
        (field.isel(time=slice(None, None, -1)), "not sorted"),
        (field.isel(time=[0, 0, 1]), "twice"),
        (field.isel(time=[0, 1, 2, 7, 8]), "jumps from 2001-01-03.* to 2001-01-08.*reindex"),
        (field.drop_vars("time"), "no time coordinate"),
        (field[:, 0, 0].drop_vars(["lon", "lat"]), "rows and columns are needed"),
        (cells, "give grid="),
    ]
    for mask, words in cases:
        with pytest.raises(ValueError, match=words):
            label(mask)
    with pytest.raises(ValueError, match="holds the value 2.5"):
        label((field * 2.5).chunk(time=5))


def test_too_many_parts(field, monkeypatch):
    monkeypatch.setattr("oceankit.anomaly.labelling._MOST_LABELS", 3)
    with pytest.raises(ValueError, match="more than int32 can number"):
        label(field)


def test_a_grid_that_joins_itself_is_not_cut(nemo_like):
    grid, field, _ = nemo_like
    with pytest.raises(ValueError, match="periodic is False, but .* leave periodic out"):
        label(field, grid=grid, dim="time", periodic=False)


def test_threads_share_the_work(field, monkeypatch):
    monkeypatch.setattr("oceankit.anomaly.labelling._BLOCK_VALUES", 1)
    wanted = expected(field.values, 26, True)
    with threads.limit(2):
        np.testing.assert_array_equal(label(field), wanted)
