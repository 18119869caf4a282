"""Patches of a plane, and how much of each window's targets is known."""

import numpy as np

from oceankit.forecast._window_source import Source

__all__ = ["corners_of", "known_share"]


def corners_of(
    source: Source, patches: tuple[int, int], stride: tuple[int, int], sea: np.ndarray
) -> tuple[np.ndarray, int]:
    """First row and column of each patch that has sea, (patches, 2), and how many have none.

    The last patch along each side ends at the edge, so that every cell is in one.

    Raises
    ------
    ValueError
        For cells that are no plane, and patches larger than it.
    """
    if len(source.shape) < 2:
        raise ValueError(f"patches={patches} need two dimensions of space, the data have {source.dims}: leave it out")
    plane = source.shape[-2:]
    if patches[0] > plane[0] or patches[1] > plane[1]:
        raise ValueError(
            f"patches={patches} are larger than the plane {dict(zip(source.dims[-2:], plane, strict=True))}"
        )
    sides = []
    for length, size, step in zip(plane, patches, stride, strict=True):
        places = list(range(0, length - size + 1, step))
        sides.append(np.array(places if places[-1] == length - size else [*places, length - size]))
    corners = np.stack(np.meshgrid(*sides, indexing="ij"), axis=-1).reshape(-1, 2).astype(np.int64)
    wet = _sums(sea.reshape(1, -1, *plane).sum(axis=1), corners, patches)[0] > 0
    return corners[wet], int((~wet).sum())


def known_share(
    source: Source,
    rows: slice,
    sea: np.ndarray,
    corners: np.ndarray | None,
    patch: tuple[int, int] | None,
    history: int,
    leads: tuple[int, ...],
) -> np.ndarray:
    """Share of target values on sea that are known, for each window of ``rows``: (first rows, patches)."""
    ny, nx = (1, 1, *source.shape)[-2:]
    plane = (ny, nx)
    at = np.zeros((1, 2), np.int64) if corners is None else corners
    size = plane if patch is None else patch
    possible = _sums(sea.reshape(1, -1, *plane).sum(axis=1), at, size)[0] * len(source.targets)
    known = np.empty((rows.stop - rows.start, len(at)), np.int64)
    for lo, hi, arrays in source.strips(source.targets, rows.start, rows.stop):
        count = np.zeros((hi - lo, *plane), np.int64)
        for values in arrays:
            count += (np.isfinite(values) & sea).reshape(hi - lo, -1, *plane).sum(axis=1)
        known[lo - rows.start : hi - rows.start] = _sums(count, at, size)
    windows = len(known) - history - max(leads) + 1
    total = np.zeros((windows, len(at)), np.int64)
    for lead in leads:
        total += known[history - 1 + lead : history - 1 + lead + windows]
    return total / (possible * len(leads))


def _sums(counts: np.ndarray, corners: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Sums over patches, (rows, patches), from cumulative sums."""
    whole = np.zeros((len(counts), counts.shape[1] + 1, counts.shape[2] + 1), np.int64)
    whole[:, 1:, 1:] = counts.cumsum(axis=1).cumsum(axis=2)
    top, left = corners.T
    return (
        whole[:, top + size[0], left + size[1]]
        - whole[:, top, left + size[1]]
        - (whole[:, top + size[0], left] - whole[:, top, left])
    )
