"""What a method comes to: an operator that takes fields from source cells to target cells.

Every operator has the same few members, so that the Regridder, its files and its report need not know the method:

- ``shape``: (targets, sources)
- ``is_empty``: whether it reaches no target at all
- ``apply(fields, least, strict)``: fields (n, sources), C-contiguous floats, to (n, targets)
- ``coverage(fields)``: float64 (n, targets), the share of each target that valid values cover
- ``matrix()``: the weights as :class:`~oceankit.numerics.sparse.Rows`, formed where they are not yet
- ``part(targets)``: (source cells needed, the operator from those cells to these targets)
- ``first()``: int64 (targets,), one of the source cells that each needs, -1 where it needs none
- ``arrays()``: its arrays by name, from which ``restored`` makes it again
"""

from __future__ import annotations

from functools import cached_property
from typing import Any, Protocol

import numpy as np
import scipy.sparse

from oceankit.numerics import separable, sparse
from oceankit.numerics.separable import Axes, Prepared
from oceankit.numerics.sparse import Rows

__all__ = ["Matrix", "Operator", "Separable", "expand", "from_scipy", "of_axes", "restored", "without"]


class Operator(Protocol):
    """From source cells to target cells."""

    @property
    def shape(self) -> tuple[int, int]: ...
    @property
    def is_empty(self) -> bool: ...
    def apply(self, fields: np.ndarray, least: float, strict: bool) -> np.ndarray: ...
    def coverage(self, fields: np.ndarray) -> np.ndarray: ...
    def matrix(self) -> Rows: ...
    def part(self, targets: np.ndarray) -> tuple[np.ndarray, Operator]: ...
    def first(self) -> np.ndarray: ...
    def arrays(self) -> dict[str, np.ndarray]: ...


class Matrix:
    """Sparse rows, applied as they are.

    Parameters
    ----------
    rows
        Weights; columns beyond the ``n_source`` cells are virtual points.
    n_source
        Number of source cells.
    rings
        Members of each virtual point, whose value is their mean (of those not missing).
    instead
        Weights for targets where one of the values that ``rows`` asks for is missing; None where ``rows`` themselves do,
        weighted up. A bicubic stencil falls back to its bilinear one.
    """

    def __init__(self, rows: Rows, n_source: int, rings: tuple[np.ndarray, ...] = (), instead: Rows | None = None):
        self.rows, self.n_source, self.rings, self.instead = rows, n_source, rings, instead

    @property
    def shape(self) -> tuple[int, int]:
        return self.rows.shape[0], self.n_source

    @property
    def is_empty(self) -> bool:
        return not self.rows.values.size

    @cached_property
    def _plans(self) -> tuple[sparse.Blocks, sparse.Blocks | None]:
        return sparse.plan(self.rows), None if self.instead is None else sparse.plan(self.instead)

    def _with_rings(self, fields: np.ndarray) -> np.ndarray:
        if not self.rings:
            return fields
        means = []
        for members in self.rings:
            # In one piece, so that the order of the sum does not depend on how many fields there are.
            values = np.ascontiguousarray(fields[:, members])
            there = np.isfinite(values)
            count = there.sum(axis=1)
            total = np.where(there, values, 0).sum(axis=1, dtype=np.float64)
            means.append(np.divide(total, count, out=np.full(count.shape, np.nan), where=count > 0))
        return np.concatenate([fields, np.stack(means, axis=1).astype(fields.dtype)], axis=1)

    @cached_property
    def _apart(self) -> tuple[Matrix, np.ndarray, np.ndarray, Matrix] | None:
        """Without the few targets that use virtual points, these, the cells they need and the matrix from those.

        Virtual points are put behind the cells of each field: too much to copy for the sake of a few targets.
        """
        uses = np.zeros(self.shape[0], bool)
        for rows in (self.rows, self.instead):
            if rows is not None and self.rings:
                uses[rows.numbers()[rows.columns >= self.n_source]] = True
        if not self.rings or uses.sum() > 0.25 * uses.size:
            return None
        targets = np.flatnonzero(uses)
        rest = [
            None if r is None else sparse.select(r, ~uses[r.numbers()])._replace(n_columns=self.n_source)
            for r in (self.rows, self.instead)
        ]
        assert rest[0] is not None
        return Matrix(rest[0], self.n_source, (), rest[1]), targets, *self.part(targets)

    def apply(self, fields: np.ndarray, least: float, strict: bool) -> np.ndarray:
        if self._apart is not None:
            most, targets, cells, few = self._apart
            out = most.apply(fields, least, strict)
            if targets.size:
                out[:, targets] = few.apply(np.ascontiguousarray(fields[:, cells]), least, strict)
            return out
        fields = self._with_rings(fields)
        first, second = self._plans
        if self.instead is None or second is None or strict:
            return sparse.apply(self.rows, first, fields, least, strict)
        out = sparse.apply(self.rows, first, fields, least, True)
        missing = np.isnan(out)
        if missing.any():
            out[missing] = sparse.apply(self.instead, second, fields, least, False)[missing]
        return out

    def coverage(self, fields: np.ndarray) -> np.ndarray:
        return sparse.coverage(self.rows if self.instead is None else self.instead, self._with_rings(fields))

    def matrix(self) -> Rows:
        return expand(self.rows, self.rings, self.n_source)

    def part(self, targets: np.ndarray) -> tuple[np.ndarray, Matrix]:
        chosen = [sparse.take(self.rows, targets)]
        if self.instead is not None:
            chosen.append(sparse.take(self.instead, targets))
        columns = np.unique(np.concatenate([r.columns for r in chosen])).astype(np.int64)
        virtual = [k for k in range(len(self.rings)) if self.n_source + k in columns]
        real = [columns[columns < self.n_source], *(self.rings[k] for k in virtual)]
        cells = np.unique(np.concatenate(real))
        place = np.concatenate([cells, self.n_source + np.array(virtual, np.int64)])
        local = [
            r._replace(columns=np.searchsorted(place, r.columns).astype(np.uint32), n_columns=place.size)
            for r in chosen
        ]
        rings = tuple(np.searchsorted(cells, self.rings[k]) for k in virtual)
        return cells, Matrix(local[0], cells.size, rings, local[1] if len(local) > 1 else None)

    def first(self) -> np.ndarray:
        out = sparse.first_columns(self.rows.start, self.rows.columns)
        for k, members in enumerate(self.rings):
            out[out == self.n_source + k] = members[0] if members.size else -1
        return out

    def arrays(self) -> dict[str, np.ndarray]:
        out = {"n_source": np.array(self.n_source)}
        for name, rows in (("rows", self.rows), ("instead", self.instead)):
            if rows is not None:
                out |= sparse.named(name, rows)
        return out | {f"ring_{k}": members for k, members in enumerate(self.rings)}

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray]) -> Matrix:
        rings = tuple(arrays[f"ring_{k}"] for k in range(sum(n.startswith("ring_") for n in arrays)))
        instead = sparse.unnamed("instead", arrays) if "instead_start" in arrays else None
        return cls(sparse.unnamed("rows", arrays), int(arrays["n_source"]), rings, instead)


class Separable:
    """One set of weights along each axis; the matrix is not formed unless asked for."""

    def __init__(self, axes: Axes, instead: Axes | None = None):
        self.axes, self.instead = axes, instead

    @property
    def shape(self) -> tuple[int, int]:
        (ty, tx), (sy, sx) = self.axes.target_shape, self.axes.source_shape
        return ty * tx, sy * sx

    @property
    def is_empty(self) -> bool:
        return any(not (a.lat.values.size and a.lon.values.size) for a in (self.axes, self.instead) if a is not None)

    @cached_property
    def _prepared(self) -> tuple[Prepared, Prepared | None]:
        return separable.prepare(self.axes), None if self.instead is None else separable.prepare(self.instead)

    def apply(self, fields: np.ndarray, least: float, strict: bool) -> np.ndarray:
        given, instead = self._prepared
        return separable.apply(given, fields, least, strict, instead)

    def coverage(self, fields: np.ndarray) -> np.ndarray:
        given, instead = self._prepared
        return separable.coverage(given if instead is None else instead, fields)

    def as_matrix(self) -> Matrix:
        """The same weights as sparse rows."""
        j, i = np.divmod(np.arange(self.shape[0]), self.axes.target_shape[1])
        return of_axes(self.axes, self.instead, j, i)

    def matrix(self) -> Rows:
        return self.as_matrix().matrix()

    def part(self, targets: np.ndarray) -> tuple[np.ndarray, Operator]:
        """``targets`` must be a rectangle of rows and columns, as a tile of the target grid is."""
        nx = self.axes.source_shape[1]
        width = self.axes.target_shape[1]
        rows, columns = np.unique(targets // width), np.unique(targets % width)
        pieces = [a for a in (self.axes, self.instead) if a is not None]
        # Rows made for a pole are made of whole rows: then all columns are needed.
        used_rows = np.unique(np.concatenate([_rows_needed(a, rows) for a in pieces]))
        whole = any(_uses_made(a, rows) for a in pieces)
        used_columns = (
            np.arange(nx) if whole else np.unique(np.concatenate([sparse.take(a.lon, columns).columns for a in pieces]))
        )
        cells = (used_rows[:, None] * nx + used_columns[None, :]).ravel()
        local = [_sub_axes(a, rows, columns, used_rows, used_columns) for a in pieces]
        return cells, Separable(local[0], local[1] if len(local) > 1 else None)

    def first(self) -> np.ndarray:
        return self.as_matrix().first()

    def arrays(self) -> dict[str, np.ndarray]:
        out: dict[str, np.ndarray] = {}
        for name, axes in (("axes", self.axes), ("instead", self.instead)):
            if axes is not None:
                out |= sparse.named(f"{name}_lat", axes.lat) | sparse.named(f"{name}_lon", axes.lon)
                out |= {f"{name}_front": np.array(axes.front), f"{name}_made": axes.made, f"{name}_bend": axes.bend}
                out |= {f"{name}_column_bend": axes.column_bend, f"{name}_columns_first": np.array(axes.columns_first)}
        return out

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray]) -> Separable:
        found = []
        for name in ("axes", "instead"):
            if f"{name}_front" in arrays:
                lat, lon = sparse.unnamed(f"{name}_lat", arrays), sparse.unnamed(f"{name}_lon", arrays)
                made, bend, column_bend = (arrays[f"{name}_{n}"] for n in ("made", "bend", "column_bend"))
                front, columns_first = int(arrays[f"{name}_front"]), bool(arrays[f"{name}_columns_first"])
                found.append(Axes(lat, lon, front, made, bend, column_bend, columns_first))
        return cls(found[0], found[1] if len(found) > 1 else None)


def of_axes(axes: Axes, instead: Axes | None, j: np.ndarray, i: np.ndarray) -> Matrix:
    """Weights along axes as sparse rows, for targets in rows ``j`` and columns ``i``."""
    rows, rings = separable.rows_of(axes, j, i)
    size = axes.source_shape[0] * axes.source_shape[1]
    if instead is None:
        return Matrix(rows, size, rings)
    others, more = separable.rows_of(instead, j, i)
    # Virtual points are counted through both, first those of the one, then those of the other.
    columns = np.where(others.columns >= size, others.columns + len(rings), others.columns).astype(np.uint32)
    n_columns = size + len(rings) + len(more)
    return Matrix(
        rows._replace(n_columns=n_columns), size, rings + more, Rows(others.start, columns, others.values, n_columns)
    )


def _extended(axes: Axes, rows: np.ndarray) -> np.ndarray:
    return np.unique(sparse.take(axes.lat, rows).columns).astype(np.int64)


def _uses_made(axes: Axes, rows: np.ndarray) -> bool:
    used = _extended(axes, rows)
    return bool(((used < axes.front) | (used >= axes.front + axes.source_shape[0])).any())


def _rows_needed(axes: Axes, rows: np.ndarray) -> np.ndarray:
    used, ny = _extended(axes, rows), axes.source_shape[0]
    real = used[(used >= axes.front) & (used < axes.front + ny)] - axes.front
    front, back = used[used < axes.front], used[used >= axes.front + ny] - ny
    return np.concatenate([real, axes.made[front, 0], axes.made[back, 0]])


def _sub_axes(
    axes: Axes, rows: np.ndarray, columns: np.ndarray, used_rows: np.ndarray, used_columns: np.ndarray
) -> Axes:
    """The axes of a rectangle of targets, over a rectangle of source cells."""
    lat, lon = sparse.take(axes.lat, rows), sparse.take(axes.lon, columns)
    at = sparse.entries_of(axes.lat.start, rows)
    ny = axes.source_shape[0]
    used = _extended(axes, rows)
    front, back = used[used < axes.front], used[used >= axes.front + ny]
    kept = np.concatenate([front, back - ny]).astype(np.int64)
    made = axes.made[kept].copy()
    made[:, 0] = np.searchsorted(used_rows, made[:, 0])
    # Extended rows of the rectangle: those made in front, the rows in use, those made behind.
    place = np.concatenate([front, used_rows + axes.front, back])
    lat = lat._replace(columns=np.searchsorted(place, lat.columns).astype(np.uint32), n_columns=place.size)
    lon = lon._replace(
        columns=np.searchsorted(used_columns, lon.columns).astype(np.uint32), n_columns=used_columns.size
    )
    bend = np.ascontiguousarray(axes.bend[:, at])
    return Axes(lat, lon, front.size, made, bend, axes.column_bend[columns], axes.columns_first)


def expand(rows: Rows, rings: tuple[np.ndarray, ...], size: int) -> Rows:
    """Rows whose weights on virtual columns are spread evenly over the cells these are the mean of."""
    if not rings:
        return rows
    sizes = np.array([members.size for members in rings])
    spread = (
        np.repeat(1.0 / sizes, sizes),
        (size + np.repeat(np.arange(len(rings)), sizes), np.concatenate(rings)),
    )
    identity = scipy.sparse.eye_array(size, format="coo")
    both = [
        np.concatenate([a, b])
        for a, b in zip((identity.data, identity.row, identity.col), (spread[0], *spread[1]), strict=True)
    ]
    means = scipy.sparse.csr_array((both[0], (both[1], both[2])), shape=(size + len(rings), size))
    matrix = scipy.sparse.csr_array((rows.values, rows.columns.astype(np.int64), rows.start), shape=rows.shape)
    return from_scipy(matrix @ means)


def from_scipy(matrix: scipy.sparse.csr_array) -> Rows:
    """Rows with columns in ascending order."""
    matrix = matrix.tocsr()
    matrix.sum_duplicates()
    return Rows(matrix.indptr.astype(np.int64), matrix.indices.astype(np.uint32), matrix.data, matrix.shape[1])


def without(operator: Operator, masked: np.ndarray) -> Operator:
    """The operator without the source cells that are masked, bool (n_source,)."""
    if isinstance(operator, Separable):
        operator = operator.as_matrix()
    if not isinstance(operator, Matrix):
        raise TypeError(f"{type(operator).__name__} has masked cells left out when it is made")
    rings = tuple(members[~masked[members]] for members in operator.rings)
    drop = np.concatenate([masked, np.array([members.size == 0 for members in rings], bool)])
    rows, instead = operator.rows, operator.instead
    if instead is not None:
        # A stencil that has lost a value is none: its fallback stands in for it, here as at run time.
        hit = np.bincount(rows.numbers()[drop[rows.columns]], minlength=rows.shape[0]) > 0
        both = sparse.stack(rows, instead)
        rows = sparse.take(both, np.where(hit, rows.shape[0], 0) + np.arange(rows.shape[0]))
        instead = sparse.select(instead, ~drop[instead.columns])
    return Matrix(sparse.select(rows, ~drop[rows.columns]), operator.n_source, rings, instead)


def restored(kind: str, arrays: dict[str, np.ndarray]) -> Any:
    """The operator of a class, by its name, from its arrays."""
    from oceankit.regridding.binning import Bins
    from oceankit.regridding.second_order import SecondOrder

    return {c.__name__: c for c in (Bins, Matrix, Separable, SecondOrder)}[kind].from_arrays(arrays)
