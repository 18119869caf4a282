"""Transposes against NumPy."""

import numpy as np
import pytest

from oceankit.numerics import threads
from oceankit.numerics.transposing import as_rows


@pytest.mark.parametrize("dtype", ["i1", "<i2", ">f4", "f8", "M8[ns]", "c16"])
@pytest.mark.parametrize("shape", [(0, 5), (5, 0), (1, 1), (1, 40), (33, 70), (200, 129), (64, 256)])
@pytest.mark.parametrize("apart", [1, 2])
def test_as_rows(dtype, shape, apart):
    columns = np.random.default_rng(3).integers(0, 100, (shape[0], apart * shape[1])).astype(dtype)[:, ::apart]
    for workers in (1, 2):
        with threads.limit(workers):
            rows = as_rows(columns)
    assert rows.flags.c_contiguous
    assert rows.dtype == columns.dtype
    np.testing.assert_array_equal(rows, columns.T)
    whole = np.zeros((columns.shape[1], columns.shape[0] + 3), columns.dtype)
    assert as_rows(columns, whole[:, 2:-1]) is not None
    np.testing.assert_array_equal(whole, np.pad(columns.T, ((0, 0), (2, 1))))


def test_a_part_of_maps():
    maps = np.random.default_rng(4).integers(0, 100, (50, 90)).astype("i2")
    np.testing.assert_array_equal(as_rows(maps[:, 7:77]), maps[:, 7:77].T)
