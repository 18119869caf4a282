"""Bits against NumPy's own packing and searching."""

import numba
import numpy as np
import pytest

from oceankit.numerics import bits


@numba.njit
def packed(flags):
    words = np.empty(bits.words_for(flags.size), np.uint64)
    bits.pack_ones(flags, words)
    return words


@numba.njit
def searched(words, start, stop):
    return bits.next_set(words, start, stop), bits.next_clear(words, start, stop), bits.any_between(words, start, stop)


@numba.njit
def counted(words):
    return [bits.how_many(w) for w in words], [bits.lowest(w) for w in words]


@pytest.mark.parametrize("size", [1, 7, 63, 64, 65, 200, 640])
def test_packing(size):
    flags = np.random.default_rng(size).integers(0, 3, size + 5).astype(np.uint8)[5:]
    words = packed(flags)
    wanted = np.zeros(64 * -(-size // 64), bool)
    wanted[:size] = flags == 1
    np.testing.assert_array_equal(words.view(np.uint8), np.packbits(wanted, bitorder="little"))
    many, lowest = counted(words)
    for word, number, first in zip(wanted.reshape(-1, 64), many, lowest, strict=True):
        assert number == word.sum()
        assert first == (word.argmax() if word.any() else 64)


@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 1.0])
def test_searching(share):
    rng = np.random.default_rng(1)
    flags = (rng.random(300) < share).astype(np.uint8)
    words = packed(flags)
    for start, stop in [
        (0, 300),
        (0, 1),
        (299, 300),
        (63, 64),
        (64, 65),
        (5, 200),
        *np.sort(rng.integers(0, 300, (50, 2))),
    ]:
        if start == stop:
            continue
        part = flags[start:stop] == 1
        wanted = [start + p.argmax() if p.any() else stop for p in (part, ~part)]
        assert searched(words, start, stop) == (*wanted, part.any())
