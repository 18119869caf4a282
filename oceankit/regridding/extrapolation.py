"""Values for target cells that have none, from valid data of the same field."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

from oceankit.fields.adjacency import Adjacency, adjacency, originals
from oceankit.fields.corners import GridError
from oceankit.fields.grid import Grid
from oceankit.numerics import neighbours, threads
from oceankit.regridding import _extrapolation_kernels as kernels
from oceankit.regridding.scattered import inverse_distance

__all__ = ["EXTRAPOLATE", "Creep", "FromSource", "check", "check_target", "extrapolation"]

EXTRAPOLATE = (None, "nearest", "inverse_distance", "creep")

_BLOCK = 16_384


def check(extrapolate: str | None, creep_levels: int | None, *, method: str, skipna: bool) -> None:
    """Refuse extrapolations that are not known, or that contradict the other options."""
    if extrapolate not in EXTRAPOLATE:
        raise ValueError(f"extrapolate={extrapolate!r} is not known; choose one of {', '.join(map(repr, EXTRAPOLATE))}")
    if creep_levels is not None:
        if extrapolate != "creep":
            raise ValueError(f"creep_levels={creep_levels!r} is for extrapolate='creep', not for {extrapolate!r}")
        if not isinstance(creep_levels, int | np.integer) or isinstance(creep_levels, bool) or creep_levels < 1:
            raise ValueError(f"creep_levels={creep_levels!r}; give a whole number of at least 1, or None for no end")
    if extrapolate is not None and not skipna:
        raise ValueError(
            f"extrapolate={extrapolate!r} fills what is missing, and skipna=False asks for it to stay missing; choose one"
        )
    if extrapolate is not None and method == "count":
        raise ValueError(
            f"extrapolate={extrapolate!r}: a count is 0 where there is nothing, never missing; leave extrapolate out"
        )


def check_target(extrapolate: str | None, target: Grid) -> None:
    """Refuse a target on which there is no way from cell to cell."""
    if extrapolate == "creep" and target.kind == "points":
        raise GridError(
            "extrapolate='creep' goes from cell to cell, and the target is a bare list of points; use 'nearest'"
        )


def extrapolation(
    source: Grid, target: Grid, extrapolate: str, *, number: int, power: float, creep_levels: int | None
) -> FromSource | Creep:
    """What fills the target cells without a value, by name."""
    closed = ~target.used()
    if extrapolate == "creep":
        return Creep(adjacency(target), closed, -1 if creep_levels is None else int(creep_levels))
    usable = source.used() & (originals(source) == np.arange(source.size))
    if extrapolate == "nearest":
        number = 1
    return FromSource(source.centres(), usable, target.centres(), closed, number, power, source.planar)


class FromSource:
    """Values of the nearest valid source cells.

    Parameters
    ----------
    places, wanted
        Centres of source and target, (n, 3).
    usable
        bool (sources,): not masked, with a place, no copy.
    closed
        bool (targets,): masked or without a place; these stay as they are.
    number, power
        How many of the nearest, the first of equals, and how they are weighted: one over distance to the power.
    planar
        Whether the places are on a plane.
    """

    def __init__(
        self, places: np.ndarray, usable: np.ndarray, wanted: np.ndarray, closed: np.ndarray, number: int, power: float,
        planar: bool,
    ):  # fmt: skip
        self.places, self.usable, self.wanted, self.closed = places, usable, wanted, closed
        self.number, self.power, self.planar = number, power, planar
        self._last: tuple[bytes, np.ndarray, np.ndarray] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"_last": None}

    def fill(self, fields: np.ndarray, out: np.ndarray) -> None:
        """Fill ``out`` (n, targets) in place from ``fields`` (n, sources)."""
        # Fields have few masks, as a rule one: they are taken together, with one tree for each mask.
        groups: dict[bytes, list[int]] = {}
        for f in range(fields.shape[0]):
            groups.setdefault(_digest(np.isnan(fields[f])), []).append(f)
        parts = [np.array(g) for g in groups.values()]
        threads.over_blocks(lambda n, _: self._fill_alike(fields, out, parts[n]), len(parts), block=1)

    def _fill_alike(self, fields: np.ndarray, out: np.ndarray, which: np.ndarray) -> None:
        """Fill the fields ``which``, that have their missing values in the same cells."""
        valid = self.usable & ~np.isnan(fields[which[0]])
        empty = np.zeros(self.closed.size, bool)
        for f in which:
            empty |= np.isnan(out[f])
        empty &= ~self.closed
        if not valid.any() or not empty.any():
            return
        sources, weights = self._sources(valid, empty)
        targets = np.flatnonzero(empty)

        def work(begin: int, end: int) -> None:
            kernels.put(fields, which, sources[begin:end], weights[begin:end], targets[begin:end], out)

        threads.over_blocks(work, targets.size, block=_BLOCK)

    def _sources(self, valid: np.ndarray, empty: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Sources (m, k) and weights of the targets that are ``empty``, of the sources that are ``valid``."""
        # The chunks of a lazy field come one after the other, most often with the mask of the one before.
        key = _digest(valid) + _digest(empty)
        last = self._last
        if last is not None and last[0] == key:
            return last[1], last[2]
        cells = np.flatnonzero(valid)
        tree = neighbours.build(self.places[cells])
        found, distance = neighbours.nearest(tree, self.wanted[empty], k=min(self.number, cells.size))
        sources, weights = cells[found], inverse_distance(distance, self.power, planar=self.planar)
        self._last = key, sources, weights
        return sources, weights


def _digest(mask: np.ndarray) -> bytes:
    return hashlib.blake2b(np.packbits(mask).tobytes(), digest_size=16).digest()


class Creep:
    """Values that spread on the target grid from cell to cell, ring by ring.

    Parameters
    ----------
    beside
        Neighbours in the target.
    closed
        bool (targets,): masked or without a place; these are not filled and pass nothing on.
    levels
        Number of rings; negative for as many as there are.
    """

    def __init__(self, beside: Adjacency, closed: np.ndarray, levels: int):
        self.beside, self.closed, self.levels = beside, closed, levels

    def fill(self, fields: np.ndarray, out: np.ndarray) -> None:  # noqa: ARG002
        """Fill ``out`` (n, targets) in place."""

        def work(f: int, _: int) -> None:
            kernels.creep(out[f], self.beside.start, self.beside.columns, self.closed, self.levels)

        threads.over_blocks(work, out.shape[0], block=1)
