"""Time series out of maps: rows of cells from an array whose cells vary fastest."""

import numpy as np

from oceankit.numerics import threads
from oceankit.numerics.compiling import kernel

__all__ = ["as_rows"]

# A tile of this side is read and written within the first-level cache.
_TILE = 32


def as_rows(columns: np.ndarray) -> np.ndarray:
    """The transpose of a (steps, n) array as a C-contiguous (n, steps) one.

    NumPy's own copy goes through memory against its grain; by tiles it takes a sixth of the time.

    Examples
    --------
    >>> as_rows(np.arange(6).reshape(2, 3)).tolist()
    [[0, 3], [1, 4], [2, 5]]
    """
    # Kernels know no big-endian numbers, and no objects; whatever is as wide is moved alike.
    width = columns.dtype.itemsize
    if columns.dtype.kind not in "biufmM" or width not in (1, 2, 4, 8):
        return np.ascontiguousarray(columns.T)
    plain = columns.view(np.dtype(f"u{width}"))
    rows = np.empty(plain.shape[::-1], plain.dtype)

    def work(start: int, stop: int) -> None:
        _transpose(plain[:, start:stop], rows[start:stop])

    # Rows that are written stay in the second-level cache.
    threads.over_blocks(work, rows.shape[0], block=2 * _TILE)
    return rows.view(columns.dtype)


@kernel
def _transpose(columns: np.ndarray, rows: np.ndarray) -> None:
    # Unsigned indices need no check for negatives, which would take as long as the copy.
    steps, n = np.uint64(columns.shape[0]), np.uint64(columns.shape[1])
    side, one = np.uint64(_TILE), np.uint64(1)
    first = np.uint64(0)
    while first < steps:
        last = min(first + side, steps)
        left = np.uint64(0)
        while left < n:
            right = min(left + side, n)
            cell = left
            while cell < right:
                step = first
                while step < last:
                    rows[cell, step] = columns[step, cell]
                    step += one
                cell += one
            left = right
        first = last
