"""Overlaps of cells close: every target is covered once, every source is used once."""

import numpy as np
import pytest
from analytic import rotated_grid
from hypothesis import given, settings
from hypothesis import strategies as st

from oceankit.fields import Grid
from oceankit.numerics import overlap, sparse, sphere, threads
from oceankit.numerics.cells import Cells, bucket_cells


def closure(target: Cells, source: Cells) -> tuple[float, float]:
    rows = overlap.overlaps(target, source)
    ours = sphere.polygon_areas(target.nodes, target.faces, target.planar)
    theirs = sphere.polygon_areas(source.nodes, source.faces, source.planar)
    by_source = np.bincount(rows.columns, weights=rows.values, minlength=theirs.size)
    return float(np.abs(sparse.sums(rows) / ours - 1).max()), float(np.abs(by_source / theirs - 1).max())


@pytest.mark.parametrize(("fine", "coarse"), [(3.0, 7.5), (7.5, 3.0), (5.0, 5.0), (4.0, 10.0), (1.0, 45.0)])
def test_global_pairs_close(fine, coarse):
    rows, columns = closure(Grid.global_regular(coarse).cells(), Grid.global_regular(fine).cells())
    assert rows < 1e-12
    assert columns < 1e-12


@given(st.floats(-180, 180), st.integers(2, 9), st.integers(3, 9))
@settings(max_examples=25, deadline=None)
def test_shifted_grids_close(shift, ny, nx):
    first = Grid.regular(lon=(shift, shift + 360, 360 / nx), lat=(-90, 90, 180 / ny))
    rows, columns = closure(first.cells(), Grid.global_regular(10.0).cells())
    assert rows < 1e-11
    assert columns < 1e-11


@given(st.floats(20, 89), st.floats(-180, 180))
@settings(max_examples=15, deadline=None)
def test_tilted_cells_are_covered_once(tilt, turn):
    tilted = rotated_grid(12, 18, pole=(tilt, turn)).cells()
    rows = overlap.overlaps(tilted, Grid.global_regular(6.0).cells())
    area = sphere.polygon_areas(tilted.nodes, tilted.faces, False)
    np.testing.assert_allclose(sparse.sums(rows), area, rtol=1e-11)


def test_cells_that_are_not_convex_are_measured_right():
    dart = sphere.unit_vectors(np.array([0.0, 8.0, 0.0, 2.0]), np.array([0.0, 4.0, 8.0, 4.0]))
    faces = np.arange(4, dtype=np.int32)[None].copy()
    _, convex = sphere.orient(dart, faces, False)
    shape = Cells(dart, faces, convex, False)
    squares = Grid.regular(lon=(-2, 10, 1), lat=(-2, 10, 1)).cells()
    area = sphere.polygon_areas(dart, faces, False)[0]
    assert sparse.sums(overlap.overlaps(shape, squares))[0] == pytest.approx(area, rel=1e-12)
    assert overlap.overlaps(squares, shape).values.sum() == pytest.approx(area, rel=1e-12)
    assert overlap.overlaps(shape, shape).values.sum() == pytest.approx(area, rel=1e-12)


def test_on_a_plane():
    a, b = Grid.regular(x=(0, 6, 2), y=(0, 4, 1)), Grid.regular(x=(1, 5, 0.5), y=(-1, 3, 0.8))
    rows = overlap.overlaps(a.cells(), b.cells())
    dense = np.zeros(rows.shape)
    dense[rows.numbers(), rows.columns] = rows.values

    def shared(p, q):
        return np.maximum(np.minimum(p[:, None, 1], q[None, :, 1]) - np.maximum(p[:, None, 0], q[None, :, 0]), 0)

    x, y = (shared(a.corners[n].values, b.corners[n].values) for n in ("x_bnds", "y_bnds"))
    np.testing.assert_allclose(dense, np.einsum("ij,kl->kilj", x, y).reshape(rows.shape), atol=1e-12)


def test_results_do_not_depend_on_threads_or_blocks():
    target, source = Grid.global_regular(6.0).cells(), rotated_grid(20, 30).cells()
    with threads.limit(1):
        one = overlap.overlaps(target, source, block=100)
    with threads.limit(2):
        two = overlap.overlaps(target, source, block=37)
    for a, b in zip(one, two, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_sphere_and_a_plane_do_not_mix():
    with pytest.raises(ValueError, match="plane"):
        overlap.overlaps(Grid.global_regular(30).cells(), Grid.regular(x=(0, 1, 1), y=(0, 1, 1)).cells())


def test_every_cell_is_in_some_bucket_and_a_polar_cell_in_all_of_the_last_row():
    cells = Grid.global_regular(10.0).cells()
    buckets = bucket_cells(cells)
    assert set(buckets.items) == set(range(cells.faces.shape[0]))
    cap = sphere.unit_vectors(np.arange(0.0, 360, 60), 80.0)
    polar = Cells(cap, np.arange(6, dtype=np.int32)[None], np.ones(1, bool), False)
    found = bucket_cells(polar)
    last = found.first[-2], found.first[-1]
    assert (np.diff(found.start)[last[0] : last[1]] == 1).all()
