"""Sparse rows: the weights of each target cell, and their application to many fields at once."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from oceankit.numerics.compiling import kernel

__all__ = ["Rows", "apply", "apply_strict", "apply_sum", "from_fixed", "join", "sums"]


class Rows(NamedTuple):
    """A sparse matrix by rows: row i has ``columns[start[i]:start[i + 1]]`` with ``values`` at the same places."""

    start: np.ndarray
    """int64 (rows + 1,)"""
    columns: np.ndarray
    """uint32: unsigned indices need no check for negatives, which is what lets the inner loop vectorise"""
    values: np.ndarray
    """float64"""
    n_columns: int

    @property
    def shape(self) -> tuple[int, int]:
        return self.start.size - 1, self.n_columns

    def numbers(self) -> np.ndarray:
        """Row number of each entry."""
        return np.repeat(np.arange(self.start.size - 1), np.diff(self.start))


def join(parts: Sequence[tuple[np.ndarray, ...]], n_columns: int) -> Rows:
    """Rows from consecutive blocks of (counts, columns, values)."""
    if not parts:
        return Rows(np.zeros(1, np.int64), np.empty(0, np.uint32), np.empty(0), n_columns)
    counts = np.concatenate([p[0] for p in parts])
    start = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    columns = np.concatenate([p[1] for p in parts]).astype(np.uint32, copy=False)
    return Rows(start, columns, np.concatenate([p[2] for p in parts]), n_columns)


def from_fixed(columns: np.ndarray, values: np.ndarray, n_columns: int) -> Rows:
    """Rows from (rows, k) arrays; entries with a negative column or a weight of zero are left out."""
    keep = (columns >= 0) & (values != 0.0)
    start = np.concatenate([[0], np.cumsum(keep.sum(axis=1))]).astype(np.int64)
    return Rows(start, columns[keep].astype(np.uint32), values[keep], n_columns)


def sums(rows: Rows) -> np.ndarray:
    """Sum of each row."""
    return np.bincount(rows.numbers(), weights=rows.values, minlength=rows.start.size - 1)


@kernel
def apply(fields, start, columns, values, least, out):
    """Weighted means over what is not missing, where its weights reach ``least`` of one; NaN elsewhere.

    ``fields`` (n, columns) and ``out`` (n, rows); sums are float64 whatever the fields are.
    """
    for f in range(fields.shape[0]):
        field = fields[f]
        for i in range(start.size - 1):
            total = 0.0
            weight = 0.0
            for k in range(start[i], start[i + 1]):
                value = field[columns[k]]
                if value == value:
                    total += values[k] * value
                    weight += values[k]
            out[f, i] = total / weight if weight > 0.0 and weight >= least else np.nan


@kernel
def apply_strict(fields, start, columns, values, least, out):
    """As :func:`apply`, but any missing value with a weight makes the result missing."""
    for f in range(fields.shape[0]):
        field = fields[f]
        for i in range(start.size - 1):
            total = 0.0
            weight = 0.0
            for k in range(start[i], start[i + 1]):
                total += values[k] * field[columns[k]]
                weight += values[k]
            out[f, i] = total / weight if weight > 0.0 and weight >= least else np.nan


@kernel
def apply_sum(fields, start, columns, values, least, out):  # noqa: ARG001
    """Plain weighted sums, 0 for a row without weights; ``least`` is not used (same call as its siblings)."""
    for f in range(fields.shape[0]):
        field = fields[f]
        for i in range(start.size - 1):
            total = 0.0
            for k in range(start[i], start[i + 1]):
                total += values[k] * field[columns[k]]
            out[f, i] = total
