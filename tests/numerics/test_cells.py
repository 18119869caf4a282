"""Buckets bring every cell that holds a point or touches another, wherever on the sphere or a plane it lies."""

import numpy as np
import pytest
from analytic import rotated_grid
from hypothesis import given, settings
from hypothesis import strategies as st

from oceankit.fields import Grid
from oceankit.numerics import sphere
from oceankit.numerics.cells import Cells, bucket_cells, bucket_of, face_box, place

GRIDS = {
    "global": Grid.global_regular(6.0),
    "over the seam": Grid.regular(lon=(350, 375, 1), lat=(-20, 5, 1)),
    "over the date line": Grid.regular(lon=(170, 200, 2.5), lat=(40, 60, 2)),
    "all but a gap": Grid.regular(lon=(20, 310, 5), lat=(-30, 30, 5)),
    "tilted": rotated_grid(20, 30),
    "over a pole": rotated_grid(20, 30, pole=(0.0, 90.0)),
    "one cell": Grid.regular(lon=(10, 11, 1), lat=(10, 11, 1)),
    "thin": Grid.regular(lon=(0, 360, 0.5), lat=(88, 90, 1)),
    "plane": Grid.regular(x=(5e6, 5e6 + 300, 10), y=(-7e6, -7e6 + 200, 5)),
}


def inner_points(cells: Cells, rng: np.random.Generator) -> np.ndarray:
    """A point in each cell: random weights of its corners; every fourth is a corner."""
    corners = cells.nodes[cells.faces]
    share = rng.dirichlet(np.ones(cells.faces.shape[1]), cells.faces.shape[0])
    share[::4] = np.eye(cells.faces.shape[1])[0]
    points = np.einsum("ij,ijk->ik", share, corners)
    return points if cells.planar else points / np.linalg.norm(points, axis=1, keepdims=True)


@pytest.mark.parametrize("name", GRIDS)
def test_a_point_of_a_cell_finds_it(name):
    cells = GRIDS[name].cells()
    buckets = bucket_cells(cells)
    for i, p in enumerate(inner_points(cells, np.random.default_rng(1))):
        if not cells.planar and abs(p[2]) == 1.0:
            # A pole that many cells meet at: one of them will do.
            continue
        b = bucket_of(*p, cells.planar, buckets.origin, buckets.first, buckets.wraps)
        assert b >= 0
        assert i in buckets.items[buckets.start[b] : buckets.start[b + 1]]


@pytest.mark.parametrize("name", GRIDS)
def test_buckets_are_few_and_hold_few_cells_in_order(name):
    cells = GRIDS[name].cells()
    buckets = bucket_cells(cells)
    n = cells.faces.shape[0]
    assert set(buckets.items) == set(range(n))
    assert buckets.items.size <= 5 * n
    assert buckets.start.size <= 2 * n + 2
    for b in range(buckets.start.size - 1):
        assert (np.diff(buckets.items[buckets.start[b] : buckets.start[b + 1]]) > 0).all()


def test_a_polar_cell_is_in_all_of_the_last_row():
    cap = sphere.unit_vectors(np.arange(0.0, 360, 60), 80.0)
    found = bucket_cells(Cells(cap, np.arange(6, dtype=np.int32)[None], np.ones(1, bool), False))
    assert (np.diff(found.start)[found.first[-2] : found.first[-1]] == 1).all()


def test_cells_that_are_none_are_in_no_bucket():
    cells = Grid.global_regular(30.0).cells()
    faces = cells.faces.copy()
    faces[::2] = -1
    assert set(bucket_cells(cells._replace(faces=faces)).items) == set(range(1, faces.shape[0], 2))
    assert bucket_cells(cells._replace(faces=np.full_like(faces, -1))).items.size == 0


def test_nothing_is_found_far_from_a_regional_grid():
    cells = GRIDS["over the date line"].cells()
    buckets = bucket_cells(cells)
    for lon, lat in ((0, 50), (185, -50), (160, 50), (210, 50)):
        p = sphere.unit_vectors(lon, lat)
        assert bucket_of(*p, False, buckets.origin, buckets.first, buckets.wraps) == -1


@given(st.floats(-180, 180), st.floats(-90, 90), st.floats(0.01, 40), st.integers(3, 7), st.floats(0, 360))
@settings(max_examples=200, deadline=None)
def test_a_box_holds_its_polygon(lon, lat, size, n, turn):
    around = np.radians(turn + 360.0 * np.arange(n) / n)
    middle = sphere.unit_vectors(lon, lat)[None]
    east, north = sphere.tangent_frames(middle)
    polygon = middle + np.tan(np.radians(size)) * (np.cos(around)[:, None] * east + np.sin(around)[:, None] * north)
    polygon /= np.linalg.norm(polygon, axis=1, keepdims=True)
    box = face_box(polygon, n, False)
    assert box == pytest.approx(face_box.py_func(polygon, n, False), abs=1e-12)
    low, high, west, east_end = box
    t = np.linspace(0, 1, 33)[:, None]
    for a, b in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
        for p in (1 - t) * a + t * b:
            row, column = place(*p, False)
            assert low - 1e-9 <= row <= high + 1e-9
            if np.hypot(p[0], p[1]) > 1e-9:
                assert (column - west + 1e-9) % 4.0 <= east_end - west + 2e-9


@given(st.floats(-180, 180), st.floats(-90, 90))
def test_places_rise_with_longitude_and_latitude(lon, lat):
    row, column = place(*sphere.unit_vectors(lon, lat), False)
    assert -1 <= row <= 1
    assert -2 <= column <= 2
    if abs(lat) < 89:
        north, _ = place(*sphere.unit_vectors(lon, lat + 0.5), False)
        _, east = place(*sphere.unit_vectors(lon + 0.5, lat), False)
        assert north > row
        assert (east - column) % 4.0 < 0.02
