"""Polygons of great circles against boxes between parallels."""

import numpy as np
import pytest
from analytic import rotated_grid
from hypothesis import given, settings
from hypothesis import strategies as st

from oceankit.fields import Grid, GridError
from oceankit.numerics import parallels, sphere
from oceankit.numerics.cells import Cells
from oceankit.regridding import Regridder


def boxes(step: float) -> parallels.Boxes:
    grid = Grid.global_regular(step)
    return parallels.Boxes(grid.corners["lon_bnds"].values, grid.corners["lat_bnds"].values)


def polygon(lon, lat) -> Cells:
    nodes = sphere.unit_vectors(lon, lat)
    return Cells(nodes, np.arange(len(nodes), dtype=np.int32)[None], np.ones(1, bool), False)


@given(
    st.floats(-80, 80), st.floats(-180, 180), st.floats(2, 40), st.integers(3, 7), st.floats(0, 360),
    st.sampled_from([5.0, 7.5, 20.0]),
)  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_boxes_share_out_a_polygon(lat, lon, size, n, turn, step):
    """Any convex polygon, poles and the dateline included: its parts add up to it."""
    centre = sphere.unit_vectors(lon, lat)
    east, north = (v[0] for v in sphere.tangent_frames(centre[None]))
    around = np.radians(turn + np.arange(n) * 360 / n)[:, None]
    points = centre + np.tan(np.radians(size)) * (np.cos(around) * east + np.sin(around) * north)
    cells = polygon(*sphere.lonlat(points / np.linalg.norm(points, axis=1, keepdims=True)))
    _, _, area = parallels.box_overlaps(boxes(step), cells)
    assert area.sum() == pytest.approx(float(sphere.polygon_areas(cells.nodes, cells.faces, False)[0]), rel=1e-11)
    assert (area > 0).all()


def test_the_slice_between_a_chord_and_its_parallel():
    """A great circle from (-30, 45) to (30, 45) and the parallel 45: what bulges beyond is known in closed form."""
    cells = polygon([-30.0, 30.0, 30.0, -30.0], [30.0, 30.0, 45.0, 45.0])
    box = parallels.Boxes(np.array([[-40.0, 40.0]]), np.array([[45.0, 60.0]]))
    _, _, area = parallels.box_overlaps(box, cells)
    turn, z = np.radians(60.0), np.sin(np.radians(45.0))
    assert area.sum() == pytest.approx(2 * np.arctan2(z * np.sin(turn / 2), np.cos(turn / 2)) - turn * z, rel=1e-12)


@pytest.mark.parametrize("pole", [(40.0, 160.0), (90.0, 0.0), (88.0, 10.0)])
def test_a_tilted_grid_and_a_regular_one_close_either_way(pole):
    tilted = rotated_grid(24, 36, lon=(-50, 50), lat=(-40, 40), pole=pole)
    there = Regridder(tilted, 4.0, "conservative", edges="latitude", min_coverage=0.0)
    rows = there._operator.matrix()
    ours, theirs = there.target.area(edges="latitude").values.ravel(), tilted.area().values.ravel()
    taken = np.bincount(rows.columns, weights=rows.values * ours[rows.numbers()], minlength=theirs.size)
    np.testing.assert_allclose(taken, theirs, rtol=1e-12)
    back = Regridder(Grid.global_regular(4.0), tilted, "conservative", edges="latitude")._operator.matrix()
    np.testing.assert_allclose(np.bincount(back.numbers(), weights=back.values), 1.0, rtol=1e-12)


def test_refusals():
    tilted = rotated_grid(4, 5)
    with pytest.raises(GridError, match="needs a rectilinear grid"):
        Regridder(tilted, rotated_grid(5, 4), "conservative", edges="latitude")
    wide = Grid.regular(lon=(0, 360, 180), lat=(-90, 90, 45))
    with pytest.raises(GridError, match="180 degrees wide"):
        Regridder(tilted, wide, "conservative", edges="latitude")
