"""The sphere: vectors, distances, areas, and what polygons are refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oceankit.numerics import sphere

degrees = st.floats(-720, 720, allow_nan=False)
latitudes = st.floats(-90, 90, allow_nan=False)


@given(degrees, latitudes)
def test_there_and_back(lon, lat):
    back_lon, back_lat = sphere.lonlat(sphere.unit_vectors(lon, lat))
    assert back_lat == pytest.approx(lat, abs=1e-6)
    if abs(lat) < 89.999:
        assert (back_lon - lon + 180) % 360 - 180 == pytest.approx(0, abs=1e-6)


@given(degrees)
def test_turning_once_is_the_same_point_to_the_last_bit(lon):
    whole = float(np.round(lon))
    assert (sphere.unit_vectors(whole, 30.0) == sphere.unit_vectors(whole + 360.0, 30.0)).all()


def test_a_pole_is_one_point():
    poles = sphere.unit_vectors(np.arange(0.0, 360.0, 7), 90.0)
    assert (poles == [0.0, 0.0, 1.0]).all()


def test_distances_agree_with_vincenty_on_the_sphere():
    rng = np.random.default_rng(1)
    a, b, c, d = (
        rng.uniform(-180, 180, 50),
        rng.uniform(-90, 90, 50),
        rng.uniform(-180, 180, 50),
        rng.uniform(-90, 90, 50),
    )
    p, q, dl = np.radians(b), np.radians(d), np.radians(c - a)
    expected = np.arctan2(
        np.hypot(np.cos(q) * np.sin(dl), np.cos(p) * np.sin(q) - np.sin(p) * np.cos(q) * np.cos(dl)),
        np.sin(p) * np.sin(q) + np.cos(p) * np.cos(q) * np.cos(dl),
    )
    np.testing.assert_allclose(sphere.great_circle_distance(a, b, c, d), expected * 6371.0, rtol=1e-9, atol=1e-6)


def face(lon, lat):
    nodes = sphere.unit_vectors(np.asarray(lon, float), np.asarray(lat, float))
    return nodes, np.arange(len(lon), dtype=np.int32)[None]


def test_an_octant_is_an_eighth_of_the_sphere():
    nodes, faces = face([0, 90, 0], [0, 0, 90])
    assert sphere.polygon_areas(nodes, faces, False)[0] == pytest.approx(np.pi / 2, rel=1e-15)


def test_a_tiny_square_keeps_its_digits():
    size = np.radians(1e-4)
    nodes, faces = face([10, 10.0001, 10.0001, 10], [20, 20, 20.0001, 20.0001])
    expected = size * (np.sin(np.radians(20.0001)) - np.sin(np.radians(20.0)))
    assert sphere.polygon_areas(nodes, faces, False)[0] == pytest.approx(expected, rel=1e-9)


def test_parallels_add_what_great_circles_leave_out():
    nodes, faces = face([0, 30, 30, 0], [40, 40, 60, 60])
    exact = np.radians(30) * (np.sin(np.radians(60)) - np.sin(np.radians(40)))
    area = sphere.polygon_areas(nodes, faces, False) + sphere.parallel_edge_areas(nodes, faces)
    assert area[0] == pytest.approx(exact, rel=1e-14)
    assert abs(sphere.polygon_areas(nodes, faces, False)[0] / exact - 1) > 1e-3


@pytest.mark.parametrize(
    ("lon", "lat", "expected"),
    [
        ([0, 1, 1, 0], [0, 0, 1, 1], sphere.GOOD),
        ([0, 0, 1, 1], [0, 1, 1, 0], sphere.FLIPPED),
        ([0, 1, 0, 1], [0, 1, 1, 0], sphere.BOW_TIE),
        ([0, 1, 2, 1], [0, 0, 0, 0], sphere.ZERO_AREA),
        ([0, 0, 0, 0], [0, 0, 0, 0], sphere.ZERO_AREA),
        ([0, 1, 1, 0], [89, 89, 90, 90], sphere.GOOD),
        ([0, np.nan, 1, 0], [0, 0, 1, 1], sphere.INCOMPLETE),
    ],
)
def test_polygons_are_told_apart(lon, lat, expected):
    nodes, faces = face(lon, lat)
    status, convex = sphere.orient(nodes, faces, False)
    assert status[0] == expected
    if expected in (sphere.GOOD, sphere.FLIPPED):
        assert sphere.polygon_areas(nodes, faces, False)[0] > 0
        assert convex[0]
    plain = face(lon, lat)
    assert sphere.orient.py_func(plain[0], plain[1], False)[0][0] == expected


def test_a_dart_is_not_convex():
    nodes, faces = face([0, 2, 0, 0.5], [0, 1, 2, 1])
    assert not sphere.orient(nodes, faces, False)[1][0]
