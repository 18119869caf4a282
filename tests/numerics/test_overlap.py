"""Overlaps of cells close: every target is covered once, every source is used once; moments add up to nothing."""

from itertools import pairwise

import numpy as np
import pytest
from analytic import rotated_grid
from hypothesis import given, settings
from hypothesis import strategies as st

from oceankit.fields import Grid
from oceankit.numerics import overlap, sparse, sphere, threads
from oceankit.numerics.cells import Cells
from oceankit.numerics.moments import areas, centroids


def one_cell(points: np.ndarray, *, planar: bool = False) -> Cells:
    faces = np.arange(len(points), dtype=np.int32)[None].copy()
    _, convex = sphere.orient(points, faces, planar)
    return Cells(points, faces, convex, planar)


def regular_polygon(lon: float, lat: float, size: float, n: int, turn: float = 0.0) -> np.ndarray:
    """Corners ``size`` degrees from a point."""
    middle = sphere.unit_vectors(lon, lat)[None]
    east, north = sphere.tangent_frames(middle)
    around = np.radians(turn + 360.0 * np.arange(n) / n)[:, None]
    points = np.cos(np.radians(size)) * middle
    return points + np.sin(np.radians(size)) * (np.cos(around) * east + np.sin(around) * north)


def closure(target: Cells, source: Cells) -> tuple[float, float, float]:
    """Largest errors of covering each target once, using each source once, and of the moments of each source."""
    rows, moments = overlap.overlaps(target, source, moments=True)
    plain = overlap.overlaps(target, source)
    for a, b in zip(rows, plain, strict=True):
        np.testing.assert_array_equal(a, b)
    ours, theirs = areas(target), areas(source)
    by_source = np.bincount(rows.columns, weights=rows.values, minlength=theirs.size)
    turned = [np.bincount(rows.columns, weights=m, minlength=theirs.size) for m in moments.T]
    corners = source.nodes[source.faces]
    size = np.linalg.norm(corners - corners[:, :1], axis=-1).max(axis=1)
    left = np.abs(turned).max(axis=0) / (theirs * size)
    return np.abs(sparse.sums(rows) / ours - 1).max(), np.abs(by_source / theirs - 1).max(), left.max()


# ---- closure --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fine", "coarse"), [(3.0, 7.5), (7.5, 3.0), (5.0, 5.0), (4.0, 10.0), (1.0, 45.0), (45.0, 1.0), (1.0, 2.5)]
)
def test_global_pairs_close(fine, coarse):
    assert max(closure(Grid.global_regular(coarse).cells(), Grid.global_regular(fine).cells())) < 2e-13


@given(st.floats(-180, 180), st.integers(2, 9), st.integers(3, 9))
@settings(max_examples=25, deadline=None)
def test_shifted_grids_close(shift, ny, nx):
    first = Grid.regular(lon=(shift, shift + 360, 360 / nx), lat=(-90, 90, 180 / ny))
    assert max(closure(first.cells(), Grid.global_regular(10.0).cells())) < 1e-12
    assert max(closure(Grid.global_regular(10.0).cells(), first.cells())) < 1e-12


@given(st.floats(20, 89), st.floats(-180, 180))
@settings(max_examples=15, deadline=None)
def test_tilted_cells_are_covered_once(tilt, turn):
    tilted, world = rotated_grid(12, 18, pole=(tilt, turn)).cells(), Grid.global_regular(6.0).cells()
    np.testing.assert_allclose(sparse.sums(overlap.overlaps(tilted, world)), areas(tilted), rtol=1e-12)
    rows, moments = overlap.overlaps(world, tilted, moments=True)
    np.testing.assert_allclose(np.bincount(rows.columns, weights=rows.values), areas(tilted), rtol=1e-12)
    left = [np.bincount(rows.columns, weights=m) for m in moments.T]
    assert np.abs(left).max() < 1e-12 * areas(tilted).max() ** 1.5


@pytest.mark.parametrize(("lon", "lat"), [(0, 90), (123, -90), (180, 10), (0, 0), (-180, 89.5), (359.9, -60)])
@pytest.mark.parametrize("size", [0.01, 3.0, 40.0])
def test_a_cell_over_a_pole_or_the_seam_is_covered_once(lon, lat, size):
    cell = one_cell(regular_polygon(lon, lat, size, 6, 11.0))
    for step in (1.5, 30.0):
        world = Grid.global_regular(step).cells()
        assert sparse.sums(overlap.overlaps(cell, world))[0] == pytest.approx(areas(cell)[0], rel=1e-12)
        rows, moments = overlap.overlaps(world, cell, moments=True)
        assert rows.values.sum() == pytest.approx(areas(cell)[0], rel=1e-12)
        assert np.abs(moments.sum(axis=0)).max() < 1e-12 * areas(cell)[0] * np.radians(size)


@pytest.mark.parametrize("n", [3, 31, 32, 70])
def test_cells_of_many_corners(n):
    cell = one_cell(regular_polygon(100.0, 70.0, 25.0, n))
    for step in (3.0, 60.0):
        world = Grid.global_regular(step).cells()
        assert sparse.sums(overlap.overlaps(cell, world))[0] == pytest.approx(areas(cell)[0], rel=1e-12)
        rows, moments = overlap.overlaps(world, cell, moments=True)
        assert rows.values.sum() == pytest.approx(areas(cell)[0], rel=1e-12)
        assert np.abs(moments.sum(axis=0)).max() < 1e-12


# ---- against other ways to know -------------------------------------------------------------------------------------


def inside(points: np.ndarray, polygon: np.ndarray) -> np.ndarray:
    normals = np.cross(polygon, np.roll(polygon, -1, axis=0))
    return (points @ normals.T >= 0).all(axis=1)


def intersection(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """Corners of what two convex polygons share: those of each in the other and where edges meet, in order."""
    found = [p[inside(p, q)], q[inside(q, p)]]
    for a, b in zip(p, np.roll(p, -1, axis=0), strict=True):
        for c, d in zip(q, np.roll(q, -1, axis=0), strict=True):
            x = np.cross(np.cross(a, b), np.cross(c, d))
            for x_k in (x, -x):
                x_k = x_k / np.linalg.norm(x_k)
                if min(x_k @ (a + b), x_k @ (c + d)) > 0 and all(
                    np.cross(s, x_k) @ np.cross(x_k, e) > 0 for s, e in ((a, b), (c, d))
                ):
                    found.append(x_k[None])
    points = np.concatenate(found)
    if len(points) < 3:
        return points[:0]
    east, north = sphere.tangent_frames((points.sum(axis=0) / np.linalg.norm(points.sum(axis=0)))[None])
    return points[np.argsort(np.arctan2(points @ north[0], points @ east[0]))]


def by_angles(polygon: np.ndarray) -> float:
    """Girard: the sum of a polygon's angles above that in a plane."""
    total = 0.0
    for a, b, c in zip(np.roll(polygon, 1, axis=0), polygon, np.roll(polygon, -1, axis=0), strict=True):
        u, v = np.cross(b, a), np.cross(b, c)
        total += np.arctan2(np.linalg.norm(np.cross(u, v)), u @ v)
    return total - (len(polygon) - 2) * np.pi


def by_quadrature(polygon: np.ndarray) -> np.ndarray:
    """Integral of the position over a polygon: Gauss points on flat triangles, seen from the centre."""
    x, w = np.polynomial.legendre.leggauss(16)
    x, w = (x + 1) / 2, w / 2
    total = np.zeros(3)
    a = polygon[0]
    for b, c in pairwise(polygon[1:]):
        u, v = b - a, c - a
        p = a + x[:, None, None] * (u + x[None, :, None] * (v - u))
        weight = w[:, None] * w * x[:, None] * (a @ np.cross(u, v))
        total += np.einsum("ij,ijk->k", weight / np.linalg.norm(p, axis=-1) ** 4, p)
    return total


@pytest.mark.parametrize("seed", range(100))
def test_convex_polygons_agree_with_another_way(seed):
    rng = np.random.default_rng(seed)
    middle = rng.normal(size=3)
    near = middle / np.linalg.norm(middle) + rng.normal(size=3) * rng.uniform(0, 0.3)
    p, q = (
        regular_polygon(*sphere.lonlat(m), rng.uniform(4, 30), int(rng.integers(3, 7)), rng.uniform(0, 360))
        for m in (middle, near)
    )
    shared = intersection(p, q)
    expected = by_angles(shared) if len(shared) else 0.0
    source = one_cell(q)
    rows, moments = overlap.overlaps(one_cell(p), source, moments=True)
    assert rows.values.sum() == pytest.approx(expected, abs=1e-12)
    centre = centroids(source)
    whole = by_quadrature(q)
    np.testing.assert_allclose(centre[0], whole / np.linalg.norm(whole), atol=1e-12)
    if len(shared):
        frame = np.concatenate(sphere.tangent_frames(centre))
        np.testing.assert_allclose(moments[0], frame @ by_quadrature(shared), atol=1e-12)


def direction(a: np.ndarray, b: np.ndarray) -> float:
    """Degrees from east of the way from a to b."""
    east, north = sphere.tangent_frames(a[None])
    return float(np.degrees(np.arctan2((b - a) @ north[0], (b - a) @ east[0])))


@given(st.floats(-180, 180), st.floats(-90, 90), st.floats(1e-4, 0.3), st.floats(0.1, 3), st.floats(0, 360))
@settings(max_examples=100, deadline=None)
def test_small_cells_keep_their_digits(lon, lat, size, ratio, turn):
    """A small pair anywhere has the numbers of the same pair at the equator."""
    found = []
    for at in ((lon, lat, turn), (0.0, 0.0, 0.0)):
        square = regular_polygon(*at[:2], size, 4, at[2])
        # Around a corner of the square, and to it as it is everywhere.
        beside = regular_polygon(*sphere.lonlat(square[0]), size * ratio, 5, direction(square[0], square[1]))
        rows, moments = overlap.overlaps(one_cell(square), one_cell(beside), moments=True)
        found.append((rows.values[0], np.linalg.norm(moments[0])))
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-8)
    assert found[0][1] == pytest.approx(found[1][1], rel=1e-6, abs=1e-9 * found[1][0] * size)


def test_octants_share_what_they_should():
    first, second, third = (
        one_cell(sphere.unit_vectors(np.array([w, w + 90.0, 0.0]), np.array([0.0, 0.0, 90.0]))) for w in (0, 45, 180)
    )
    assert overlap.overlaps(first, second).values == pytest.approx([np.pi / 4], rel=1e-14)
    assert overlap.overlaps(first, first).values == pytest.approx([np.pi / 2], rel=1e-14)
    assert overlap.overlaps(first, third).values.size == 0
    np.testing.assert_allclose(centroids(first), np.full((1, 3), 3**-0.5), rtol=1e-15)


def test_a_cell_of_nearly_half_a_sphere():
    cap = one_cell(regular_polygon(0.0, 90.0, 88.0, 5))
    np.testing.assert_allclose(centroids(cap), [[0, 0, 1]], atol=1e-15)
    rows, moments = overlap.overlaps(Grid.global_regular(10.0).cells(), cap, moments=True)
    assert rows.values.sum() == pytest.approx(areas(cap)[0], rel=1e-13)
    assert np.abs(moments.sum(axis=0)).max() < 1e-13


# ---- ways through the code ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("target", "source"), [(7.5, 3.0), (3.0, 7.5), (5.0, 5.0)])
def test_shortcuts_change_nothing(target, source):
    """Cells inside a window are not clipped; windows called not convex are clipped against in full."""
    a, b = Grid.global_regular(target).cells(), Grid.global_regular(source).cells()
    rows, moments = overlap.overlaps(a, b, moments=True)
    for convex in ((True, False), (False, True), (False, False)):
        full = [g._replace(convex=np.full(g.convex.shape, c)) for g, c in zip((a, b), convex, strict=True)]
        slow, slow_moments = overlap.overlaps(*full, moments=True)
        np.testing.assert_array_equal(rows.start, slow.start)
        np.testing.assert_array_equal(rows.columns, slow.columns)
        np.testing.assert_allclose(rows.values, slow.values, atol=1e-15)
        np.testing.assert_allclose(moments, slow_moments, atol=1e-15)


def test_the_kernel_does_without_its_compiler(monkeypatch):
    a, b = Grid.global_regular(45.0).cells(), rotated_grid(2, 3).cells()
    compiled = overlap.overlaps(a, b, moments=True), overlap.overlaps(b, a)
    monkeypatch.setattr(overlap, "_overlaps", overlap._overlaps.py_func)
    (rows, moments), back = overlap.overlaps(a, b, moments=True), overlap.overlaps(b, a)
    np.testing.assert_array_equal(rows.columns, compiled[0][0].columns)
    np.testing.assert_allclose(rows.values, compiled[0][0].values, rtol=1e-14)
    np.testing.assert_allclose(moments, compiled[0][1], atol=1e-15)
    np.testing.assert_allclose(back.values, compiled[1].values, rtol=1e-14)


def test_the_same_grid_has_weight_one():
    cells = rotated_grid(20, 30).cells()
    rows, moments = overlap.overlaps(cells, cells, moments=True)
    np.testing.assert_array_equal(rows.columns, np.arange(600))
    np.testing.assert_array_equal(rows.values, areas(cells))
    assert (moments == 0).all()


def test_results_do_not_depend_on_threads_or_blocks():
    for target, source in ((6.0, 2.0), (2.0, 6.0)):
        pair = Grid.global_regular(target).cells(), rotated_grid(int(40 / source), int(60 / source)).cells()
        with threads.limit(1):
            one, first = overlap.overlaps(*pair, moments=True, block=100)
        with threads.limit(2):
            two, second = overlap.overlaps(*pair, moments=True, block=37)
        for a, b in zip((*one, first), (*two, second), strict=True):
            np.testing.assert_array_equal(a, b)
        assert one.columns.dtype == np.uint32
        assert all((np.diff(one.columns[i:j].astype(int)) > 0).all() for i, j in pairwise(one.start))


def test_cells_that_are_not_convex_are_measured_right():
    shape = one_cell(sphere.unit_vectors(np.array([0.0, 8.0, 0.0, 2.0]), np.array([0.0, 4.0, 8.0, 4.0])))
    assert not shape.convex[0]
    squares = Grid.regular(lon=(-2, 10, 1), lat=(-2, 10, 1)).cells()
    area = areas(shape)[0]
    for target, source in ((shape, squares), (squares, shape), (shape, shape)):
        rows, moments = overlap.overlaps(target, source, moments=True)
        assert rows.values.sum() == pytest.approx(area, rel=1e-12)
    assert np.abs(moments).max() < 1e-12 * area
    rows, moments = overlap.overlaps(squares, shape, moments=True)
    assert np.abs(moments.sum(axis=0)).max() < 1e-12 * area
    # The notch is in no square.
    notch = 12 * 6 + 2
    assert rows.start[notch] == rows.start[notch + 1]


# ---- on a plane -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("away", [0.0, 5e6])
def test_on_a_plane(away):
    a = Grid.regular(x=(away, away + 6, 2), y=(0, 4, 1))
    b = Grid.regular(x=(away + 1, away + 5, 0.5), y=(-1, 3, 0.8))

    def shared(p, q):
        low, high = np.maximum(p[:, None, 0], q[None, :, 0]), np.minimum(p[:, None, 1], q[None, :, 1])
        length = np.maximum(high - low, 0)
        return length, length * ((low + high) / 2 - q.mean(axis=1))

    for target, source in ((a, b), (b, a)):
        rows, moments = overlap.overlaps(target.cells(), source.cells(), moments=True)
        (x, mx), (y, my) = (shared(target.corners[n].values, source.corners[n].values) for n in ("x_bnds", "y_bnds"))
        for found, p, q in ((rows.values, y, x), (moments[:, 0], y, mx), (moments[:, 1], my, x)):
            dense = np.zeros(rows.shape)
            dense[rows.numbers(), rows.columns] = found
            np.testing.assert_allclose(
                dense, np.einsum("ij,kl->ikjl", p, q).reshape(rows.shape), atol=1e-8 if away else 1e-12
            )


def test_a_sphere_and_a_plane_do_not_mix():
    with pytest.raises(ValueError, match="plane"):
        overlap.overlaps(Grid.global_regular(30).cells(), Grid.regular(x=(0, 1, 1), y=(0, 1, 1)).cells())
