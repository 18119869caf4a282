"""Order statistics of pools side by side, against NumPy."""

import numpy as np
import pytest
from numba import njit

from oceankit.numerics import ranks
from oceankit.numerics.lanes import lanes_of

KEYS = {"int16": "int16", "int32": "int32", "float32": "int32", "float64": "int64"}


@njit
def exchanged(columns, first, steps, slots, held, missing, whole):
    ranks.exchange(columns, first, steps, slots, 0, steps.size, held, missing, missing, whole)


@njit
def found(held, whole, real):
    ranks.find(held, whole, real)


@njit
def summed(columns, held, whole, real):
    ranks.totals(columns, held, real)
    ranks.as_values(columns, whole, real)


@njit
def emptied(held, whole):
    ranks.empty(held, whole)


class Pool:
    """Cells of one group, and what is known of them."""

    def __init__(self, columns: np.ndarray, slots: int) -> None:
        self.columns, self.n = columns, lanes_of(columns.dtype)
        self.held = np.zeros((slots, self.n), KEYS[columns.dtype.name])
        self.whole, self.real = np.zeros(ranks.WHOLE * self.n, np.int64), np.ones(ranks.REAL * self.n)
        emptied(self.held, self.whole)
        self.steps = np.full(slots, -1)
        self.missing = columns.dtype.type(np.nan if columns.dtype.kind == "f" else -999)

    def take(self, steps: np.ndarray, slots: np.ndarray, first: int = 0) -> None:
        given = (np.asarray(a, np.uint32) for a in (steps, slots))
        exchanged(self.columns, first, *given, self.held, self.missing, self.whole)
        self.steps[slots] = steps

    def ask(self, targets: np.ndarray) -> None:
        self.row(ranks.TARGET)[:] = targets
        found(self.held, self.whole, self.real)
        if self.columns.dtype.kind == "f":
            summed(self.columns, self.held, self.whole, self.real)

    def row(self, name: int) -> np.ndarray:
        return self.whole[name * self.n : (name + 1) * self.n]

    def told(self, name: int) -> np.ndarray:
        return self.real[name * self.n : (name + 1) * self.n]

    def values(self, lane: int) -> np.ndarray:
        """What the pool of a cell holds, in order."""
        held = self.columns[self.steps[self.steps >= 0], lane]
        gone = np.isnan(held) if held.dtype.kind == "f" else held == self.missing
        return np.sort(held[~gone])


SPREADS = {
    "even": lambda rng, shape: rng.integers(-1000, 1000, shape),
    "ties": lambda rng, shape: rng.integers(0, 3, shape),
    "one": lambda rng, shape: np.full(shape, 7),
    "wide": lambda rng, shape: rng.choice([-32768, -5, 0, 32766], shape),
    "far apart": lambda rng, shape: rng.choice([-32000, 32000], shape) + rng.integers(0, 4, shape),
}


@pytest.mark.parametrize("dtype", KEYS)
@pytest.mark.parametrize("spread", SPREADS)
def test_ranks(dtype, spread):
    """Each cell asks for a rank of its own, again and again while a part of the pool is exchanged."""
    rng = np.random.default_rng(1)
    n = lanes_of(dtype)
    columns = SPREADS[spread](rng, (500, n)).astype(dtype)
    if columns.dtype.kind == "f" and spread == "even":
        columns *= columns.dtype.type(1e-3)
        columns[rng.random(columns.shape) < 0.01] = -np.inf
    columns[rng.random(columns.shape) < 0.1] = np.nan if columns.dtype.kind == "f" else -999
    pool = Pool(columns, 64)
    pool.take(np.arange(60), np.arange(60))
    for turn in range(12):
        known = [pool.values(lane) for lane in range(n)]
        assert pool.row(ranks.COUNT).tolist() == [v.size for v in known]
        targets = np.array([rng.integers(0, v.size + 1) for v in known])
        pool.ask(targets)
        for lane in range(n):
            values, target = known[lane], targets[lane]
            if columns.dtype.kind == "f":
                with np.errstate(invalid="ignore"):
                    np.testing.assert_allclose(
                        pool.told(ranks.TOTAL)[lane], values.astype(float).sum(), rtol=1e-13, atol=1e-12
                    )
                got = [pool.told(name)[lane] for name in (ranks.FOUND_VALUE, ranks.AFTER_VALUE)]
            else:
                assert pool.row(ranks.SUM)[lane] == values.astype(int).sum()
                got = [pool.row(name)[lane] for name in (ranks.FOUND, ranks.AFTER)]
            if target > 0:
                assert got[0] == values[target - 1]
                if target < values.size:
                    assert got[1] == values[target]
        begin = 60 + 30 * turn
        pool.take(np.arange(begin, begin + 30), rng.permutation(64)[:30])


def test_no_key_is_held():
    columns = np.full((5, lanes_of("int16")), -999, np.int16)
    pool = Pool(columns, 8)
    pool.take(np.arange(5), np.arange(5))
    pool.ask(np.zeros(pool.n, int))
    assert not pool.row(ranks.COUNT).any()


def test_keys_of_64_bits_far_apart():
    n = lanes_of("float64")
    columns = np.tile([-np.inf, -1e300, -1.0, -0.0, 5e-324, 1.0, 1e300, np.inf], (n, 1)).T.copy()
    for start in (-(2**62), 0, 2**63 - 2):
        pool = Pool(columns, 8)
        pool.row(ranks.PIVOT)[:] = start
        pool.take(np.arange(8), np.arange(8))
        pool.ask(np.arange(n) % 8 + 1)
        np.testing.assert_array_equal(pool.told(ranks.FOUND_VALUE), columns[np.arange(n) % 8, 0])


def test_a_part_of_the_cells():
    """Columns may be a part of maps, in which cells follow each other but steps lie apart."""
    rng = np.random.default_rng(2)
    n = lanes_of("int16")
    maps = rng.integers(-100, 100, (50, 3 * n)).astype(np.int16)
    pool = Pool(maps[:, 5:-7], 50)
    pool.take(np.arange(50), np.arange(50), first=20)
    pool.ask(np.full(n, 25))
    np.testing.assert_array_equal(pool.row(ranks.FOUND), np.sort(maps[:, 25 : 25 + n], axis=0)[24])
