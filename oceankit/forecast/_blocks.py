"""Blocks of a training period that are left out in turn."""

import numpy as np

__all__ = ["blocks_of", "pairs"]


def blocks_of(rows: np.ndarray, folds: int, length: int) -> np.ndarray:
    """The block (0 to folds - 1) of each row of a record of ``length``; -1 outside ``rows``."""
    blocks = np.full(length, -1)
    for k, part in enumerate(np.array_split(rows, folds)):
        blocks[part] = k
    return blocks


def pairs(allowed: np.ndarray, lead: int, reach: int = 0) -> np.ndarray:
    """Starts whose row and target are ``allowed`` (bool, times), and which have ``reach`` steps of the first one before."""
    inside = np.flatnonzero(allowed)
    starts = inside[(inside >= inside[0] + reach) & (inside + lead < len(allowed))]
    return starts[allowed[starts + lead]]
