"""Order statistics and transposes against NumPy."""

import numpy as np
import pytest
from numba import njit

from oceankit.numerics import threads
from oceankit.numerics.ranks import LANES, census, kth, split, total
from oceankit.numerics.transposing import as_rows


@njit
def asked(keys, pivot):
    return split(keys, pivot), census(keys)


@njit
def ranked(keys, k, near, gap):
    return kth(keys, k, near, gap)


@njit
def summed(values):
    return total(values)


def buffer(keys: np.ndarray) -> np.ndarray:
    full = np.full(keys.size + (-keys.size) % LANES + LANES, np.iinfo(keys.dtype).max, keys.dtype)
    full[: keys.size] = keys
    return np.random.default_rng(0).permutation(full)


SPREADS = {
    "even": lambda rng, n: rng.integers(-1000, 1000, n),
    "ties": lambda rng, n: rng.integers(0, 3, n),
    "one": lambda rng, n: np.full(n, 7),
    "wide": lambda rng, n: rng.choice([-32768, -5, 0, 32766], n),
}


@pytest.mark.parametrize("dtype", [np.int16, np.int32, np.int64])
@pytest.mark.parametrize("spread", SPREADS)
def test_ranks(dtype, spread):
    rng = np.random.default_rng(1)
    for n in (1, 2, 31, 330):
        keys = SPREADS[spread](rng, n).astype(dtype)
        held, ordered = buffer(keys), np.sort(keys)
        for pivot in (ordered[0], ordered[n // 2], np.iinfo(dtype).max):
            below = keys[keys < pivot]
            (count, under, over), (number, added) = asked(held, pivot)
            assert count == below.size
            assert under == (below.max() if below.size else np.iinfo(dtype).min)
            assert over == (keys[keys >= pivot].min() if below.size < n else np.iinfo(dtype).max)
            assert (number, added) == (n, keys.astype(int).sum())
        for k in {0, n // 3, n - 2, n - 1} - {-1}:
            for near, gap in ((0, 1), (int(ordered[-1]), 1000), (int(ordered[0]), 1)):
                found, after, _ = ranked(held, k, near, gap)
                assert found == ordered[k]
                if k + 1 < n:
                    assert after == ordered[k + 1]


def test_keys_of_64_bits_far_apart():
    keys = np.array([-(2**62), -1, 3, 2**61, 2**62 + 5, 2**63 - 2])
    for k in range(5):
        for near in (-(2**62), 0, 2**63 - 2):
            assert ranked(buffer(keys), k, near, 1)[:2] == (keys[k], keys[k + 1])


def test_totals():
    values = np.zeros(352)
    values[:330] = np.random.default_rng(2).normal(size=330)
    assert summed(values) == pytest.approx(values.sum(), rel=1e-14)


@pytest.mark.parametrize("dtype", ["i1", "<i2", ">f4", "f8", "M8[ns]", "c16"])
@pytest.mark.parametrize("shape", [(0, 5), (5, 0), (1, 1), (33, 70), (200, 129)])
def test_as_rows(dtype, shape):
    columns = np.random.default_rng(3).integers(0, 100, (shape[0], 2 * shape[1])).astype(dtype)[:, ::2]
    for workers in (1, 2):
        with threads.limit(workers):
            rows = as_rows(columns)
    assert rows.flags.c_contiguous
    assert rows.dtype == columns.dtype
    np.testing.assert_array_equal(rows, columns.T)
