"""The k-d tree against scipy's and against brute force."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import cKDTree

from oceankit.numerics import neighbours, threads


@pytest.mark.parametrize("dimensions", [2, 3, 5])
@pytest.mark.parametrize("k", [1, 7, 40])
def test_same_as_scipy(dimensions, k):
    rng = np.random.default_rng(dimensions * 100 + k)
    points, queries = rng.normal(size=(700, dimensions)), rng.normal(size=(300, dimensions))
    found, distance = neighbours.nearest(neighbours.build(points), queries, k=k)
    expected, places = cKDTree(points).query(queries, k=k)
    np.testing.assert_array_equal(found, places.reshape(found.shape))
    np.testing.assert_allclose(distance, expected.reshape(found.shape), rtol=1e-14)


@given(st.integers(1, 60), st.integers(1, 6), st.integers(0, 10_000))
@settings(max_examples=60, deadline=None)
def test_ties_go_to_the_first(n, k, seed):
    rng = np.random.default_rng(seed)
    points = rng.integers(0, 3, size=(n, 2)).astype(float)
    query = rng.integers(0, 3, size=(5, 2)).astype(float)
    found, _ = neighbours.nearest(neighbours.build(points), query, k=k)
    squared = ((points[None] - query[:, None]) ** 2).sum(-1)
    for row, distances in zip(found, squared, strict=True):
        expected = np.lexsort((np.arange(n), distances))[:k]
        np.testing.assert_array_equal(row[: expected.size], expected)
        assert (row[expected.size :] == -1).all()


def test_a_radius_is_a_limit():
    points = np.array([[0.0, 0.0], [1.0, 0.0], [3.0, 0.0]])
    found, distance = neighbours.nearest(neighbours.build(points), np.array([[0.0, 0.0]]), k=3, within=1.0)
    assert found.tolist() == [[0, 1, -1]]
    assert distance.tolist() == [[0.0, 1.0, np.inf]]


def test_points_without_a_place_are_refused_and_queries_without_one_find_nothing():
    with pytest.raises(ValueError, match="not finite"):
        neighbours.build(np.array([[0.0, np.nan]]))
    found, _ = neighbours.nearest(neighbours.build(np.zeros((3, 2))), np.array([[np.nan, 0.0]]))
    assert found.tolist() == [[-1]]


def test_threads_change_nothing():
    rng = np.random.default_rng(5)
    tree, queries = neighbours.build(rng.normal(size=(500, 3))), rng.normal(size=(900, 3))
    with threads.limit(1):
        one = neighbours.nearest(tree, queries, k=3, block=900)
    with threads.limit(3):
        many = neighbours.nearest(tree, queries, k=3, block=50)
    np.testing.assert_array_equal(one[0], many[0])


def test_plain_python_agrees():
    rng = np.random.default_rng(6)
    points = rng.normal(size=(60, 2))
    order, axis = np.arange(60), np.zeros(60, np.int8)
    neighbours._build.py_func(points, order, axis)
    tree = neighbours.build(points)
    np.testing.assert_array_equal(tree.order, order)
    found, distances = np.empty(4, np.int64), np.empty(4)
    n = neighbours.search.py_func(
        points[7], *tree, 4, np.inf, found, distances, np.empty((128, 2), np.int64), np.empty((128, 3))
    )
    assert n == 4
    np.testing.assert_array_equal(found, cKDTree(points).query(points[7], k=4)[1])


def test_queries_far_from_all_points():
    """From the other side of the sphere, and ties: the same places as by brute force."""
    rng = np.random.default_rng(11)
    points = rng.normal(size=(500, 3)) * 0.05 + np.array([0, 0, 1])
    points = np.concatenate([points, points[:40]])
    queries = rng.normal(size=(60, 3)) - np.array([0, 0, 1])
    found, distances = neighbours.nearest(neighbours.build(points), queries, k=3)
    apart = np.linalg.norm(queries[:, None] - points[None], axis=-1)
    expected = np.argsort(apart, axis=1, kind="stable")[:, :3]
    np.testing.assert_allclose(distances, np.take_along_axis(apart, expected, axis=1), rtol=1e-13)
    np.testing.assert_array_equal(found, expected)
