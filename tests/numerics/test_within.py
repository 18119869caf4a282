"""Points within a distance against trying all."""

import numpy as np
import pytest

from oceankit.numerics.within import build, find


@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize("reach", [1e-9, 0.05, 0.4, 50.0])
def test_all_points_within_reach_are_found(dims, reach):
    rng = np.random.default_rng(dims)
    points = rng.normal(size=(400, dims))
    points[5] = points[6]
    cells = build(points, reach)
    for query in [*points[::40], *rng.normal(size=(10, dims)), np.full(dims, 1e6), np.full(dims, -3.0)]:
        found, squared = np.empty(400, np.int64), np.empty(400)
        n = find(query, cells, found, squared)
        apart = ((points - query) ** 2).sum(axis=1)
        assert sorted(cells.order[found[:n]]) == np.flatnonzero(apart <= reach**2 * (1 + 2e-9)).tolist()
        np.testing.assert_allclose(squared[:n], apart[cells.order[found[:n]]], atol=1e-15)
        assert find(query, cells, found[:0], squared[:0]) == n


def test_the_order_is_that_of_cells_then_of_the_caller():
    points = np.array([[0.1, 0.1], [2.5, 0.1], [0.2, 0.2], [2.4, 0.3]])
    cells = build(points, 1.0)
    assert cells.order.tolist() == [0, 2, 1, 3]


@pytest.mark.parametrize(
    ("points", "reach", "words"),
    [
        (np.full((2, 2), np.nan), 1.0, "not finite"),
        (np.zeros((2, 4)), 1.0, "at most 3"),
        (np.zeros((2, 2)), 0.0, "reach=0.0"),
    ],
)
def test_bad_input(points, reach, words):
    with pytest.raises(ValueError, match=words):
        build(points, reach)
