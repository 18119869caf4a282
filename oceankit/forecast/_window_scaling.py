"""Means, standard deviations and seasonal means of a training period, taken in one pass of bounded memory."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr

from oceankit.forecast._season import Season, fit_season, harmonics
from oceankit.forecast._steps import Axis, months_of, phase_of, text
from oceankit.forecast._window_source import Source

__all__ = ["Scaling", "as_mask", "fit_scaling"]

_BLOCK = 8 * 2**20  # bytes of float64 in one step of the sums: fixed, so that results depend on no chunks
_STRIP = 1 << 18  # values standardised at once


@dataclass(frozen=True)
class Scaling:
    """What is subtracted from each variable and what it is divided by; learnt from ``period`` alone."""

    kind: str  # "cell", "pooled" or "none"
    period: str
    mean: dict[str, np.ndarray]  # (*cells) or ()
    width: dict[str, np.ndarray]
    season: dict[str, Season]  # tables (n, *cells) flattened to (n, cells)
    units: dict[str, str | None]
    sea: np.ndarray  # (*cells), bool
    dims: tuple[str, ...]
    coords: dict[str, np.ndarray]

    def seasonal(self, name: str, times: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        """Seasonal means at ``times``, (times, *shape)."""
        season = self.season[name]
        if season.step.unit == "months":
            return season.table[months_of(times)].reshape(len(times), *shape)
        waves = harmonics(phase_of(times, season.step), (len(season.table) - 1) // 2)
        # Term by term: the last digit of a matrix product depends on how many rows it has.
        total = waves[:, :1] * season.table[0]
        for k in range(1, len(season.table)):
            total += waves[:, k : k + 1] * season.table[k]
        return total.reshape(len(times), *shape)

    def apply(self, name: str, values: np.ndarray, times: np.ndarray, out: np.ndarray) -> None:
        """Standardise ``values`` (times, *cells) into ``out``, computed in float64."""
        if self.kind == "none":
            out[...] = values
            return
        step = max(1, _STRIP // max(1, int(np.prod(values.shape[1:], dtype=int))))
        for lo in range(0, len(values), step):
            part = slice(lo, lo + step)
            work = values[part] - self.mean[name]
            if name in self.season:
                work -= self.seasonal(name, times[part], values.shape[1:])
            np.divide(work, self.width[name], out=out[part], casting="same_kind")

    def check(self, source: Source, mask: np.ndarray | None) -> np.ndarray:
        """Refuse data of other variables, units or cells; the mask of sea that serves them.

        Raises
        ------
        ValueError
            Naming what differs.
        """
        for name in (*source.fields, *source.series):
            if name not in self.mean and self.kind != "none":
                raise ValueError(f"the scaling has no {name!r}; it was learnt for {sorted(self.mean)}: fit it anew")
            own, fitted = source.units.get(name), self.units.get(name)
            if own is not None and fitted is not None and own != fitted:
                raise ValueError(f"{name!r} is in {own!r}, its scaling was learnt in {fitted!r}; convert it first")
        alike = self.dims == source.dims and self.sea.shape == source.shape
        for name, values in self.coords.items():
            if alike and name in source.coords and source.coords[name].shape == values.shape:
                alike = _equal(values, source.coords[name])
        if not alike and (self.kind == "cell" or self.season):
            raise ValueError(
                f"the scaling was learnt on other cells ({dict(zip(self.dims, self.sea.shape, strict=True))}) than the "
                f"data have ({dict(zip(source.dims, source.shape, strict=True))}, or other coordinates); regrid them, "
                "or use scaling='pooled' without season, which serves any cells"
            )
        if mask is None and not alike:
            raise ValueError("the data have other cells than the scaling was learnt on; say which are sea: mask=")
        return self.sea if mask is None else mask


def fit_scaling(
    source: Source, rows: slice, *, kind: str, season: Sequence[str], mask: np.ndarray | None, memory: int
) -> Scaling:
    """Statistics of ``rows``; where ``mask`` is None, cells with a value of a target in them are sea.

    Raises
    ------
    ValueError
        For variables without any value in the period.
    """
    times = source.axis.times[rows]
    period = f"{text(times[0])} to {text(times[-1])}"
    seasons = {name: _fit_season(source, name, rows, memory, mask) for name in season}
    bare = Scaling("cell", period, {}, {}, seasons, {}, np.zeros(0, bool), (), {})
    mean, width, sea = {}, {}, np.zeros(source.shape, bool)
    for name in (*source.fields, *source.series):
        on_cells = name in source.fields
        count, middle, square = _moments(source, name, rows, bare, plain=kind == "none")
        if on_cells and mask is not None:
            count = np.where(mask, count, 0)
        if not count.any():
            raise ValueError(
                f"{name!r} has no value from {period}" + (" on sea" if mask is not None else "") + "; choose another "
                "period, or leave it out"
            )
        if name in source.targets:
            sea |= count > 0
        if kind == "none":
            continue
        if kind == "pooled":
            total = count.sum()
            pooled = (count * middle).sum() / total
            spread = np.where(count > 0, square + count * (middle - pooled) ** 2, 0.0).sum() / total
            mean[name], deviation = np.asarray(pooled), np.asarray(np.sqrt(spread))
        else:
            mean[name], deviation = middle, np.sqrt(square / np.maximum(count, 1))
        # What is constant within rounding is not blown up.
        tiny = 1e-7 * np.maximum(np.abs(mean[name]), 1e-30)
        width[name] = np.where(deviation > tiny, deviation, 1.0)
    return Scaling(
        kind,
        period,
        mean,
        width,
        seasons,
        dict(source.units),
        sea if mask is None else mask,
        source.dims,
        source.coords,
    )


def _moments(
    source: Source, name: str, rows: slice, bare: Scaling, *, plain: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Count, mean and sum of squared departures of each cell, block by block (Chan, Golub and LeVeque 1983, eq. 2.1)."""
    shape = source.data[name].shape[1:]
    count, mean, square = np.zeros(shape, np.int64), np.zeros(shape), np.zeros(shape)
    length = max(1, _BLOCK // (8 * max(1, int(np.prod(shape, dtype=int)))))
    for lo, block in _blocks(source, name, rows, length):
        known = np.isfinite(block)
        own = known.sum(axis=0)
        if not plain:
            if name in bare.season:
                block -= bare.seasonal(name, source.axis.times[lo : lo + len(block)], shape)
            block[~known] = 0.0
            middle = block.sum(axis=0) / np.maximum(own, 1)
            block -= middle
            block[~known] = 0.0
            departure = middle - mean
            both = np.maximum(count + own, 1)
            square += np.square(block).sum(axis=0) + departure**2 * (count * (own / both))
            mean += departure * (own / both)
        count += own
    return count, mean, square


def _blocks(source: Source, name: str, rows: slice, length: int) -> Iterator[tuple[int, np.ndarray]]:
    """Blocks of exactly ``length`` rows in float64 (the last is shorter), whatever strips they are read in."""
    shape = source.data[name].shape[1:]
    begin, at = rows.start, 0
    block = np.empty((min(length, rows.stop - begin), *shape))
    for lo, hi, (values,) in source.strips([name], rows.start, rows.stop):
        done = lo
        while done < hi:
            n = min(hi - done, len(block) - at)
            block[at : at + n] = values[done - lo : done - lo + n]
            at, done = at + n, done + n
            if at == len(block):
                yield begin, block
                begin, at = begin + at, 0
                block = np.empty((min(length, rows.stop - begin), *shape))


def _fit_season(source: Source, name: str, rows: slice, memory: int, mask: np.ndarray | None) -> Season:
    """The seasonal mean of each cell, by as many cells at a time as fit; each time the period is read once."""
    axis = source.axis
    own = Axis(axis.times[rows], axis.numbers[rows], axis.step, axis.calendar)
    steps, cells = len(own), int(np.prod(source.data[name].shape[1:], dtype=int))
    each = max(1, min(cells, memory // (32 * steps)))
    wanted = np.ones(cells, bool) if mask is None or cells != mask.size else mask.reshape(-1)
    table: np.ndarray | None = None
    for lo in range(0, cells, each):
        values = np.empty((steps, min(each, cells - lo)))
        for first, last, (read,) in source.strips([name], rows.start, rows.stop):
            values[first - rows.start : last - rows.start] = read.reshape(last - first, -1)[:, lo : lo + each]
        here = np.flatnonzero(np.isfinite(values).any(axis=0) & wanted[lo : lo + each])
        if not len(here):
            continue
        try:
            found = fit_season(values[:, here], own, np.arange(steps))
        except ValueError as error:
            raise ValueError(f"{name!r}: {error}") from error
        if table is None:
            table = np.zeros((len(found.table), cells))
        table[:, lo + here] = found.table
    return Season(np.zeros((12 if axis.step.unit == "months" else 1, cells)) if table is None else table, axis.step)


def _equal(one: np.ndarray, other: np.ndarray) -> bool:
    if one.dtype.kind in "fiu" and other.dtype.kind in "fiu":
        return bool(np.allclose(one.astype(float), other.astype(float), atol=1e-4, equal_nan=True))
    return bool((one.astype(str) == other.astype(str)).all())


def as_mask(mask: xr.DataArray | None, source: Source) -> np.ndarray | None:
    """A mask given by the user, True on sea, in the order of the cells."""
    if mask is None:
        return None
    if not isinstance(mask, xr.DataArray) or set(map(str, mask.dims)) - set(source.dims):
        shown = tuple(map(str, mask.dims)) if isinstance(mask, xr.DataArray) else type(mask).__name__
        raise ValueError(f"mask has {shown}; it must be a DataArray along {source.dims}, true on sea")
    like = xr.DataArray(np.zeros(source.shape, bool), dims=source.dims)
    for dim in mask.dims:
        if mask.sizes[dim] != like.sizes[dim]:
            raise ValueError(f"mask has {mask.sizes[dim]} cells along {dim!r}, the data have {like.sizes[dim]}")
    values = mask.drop_vars(list(mask.coords)).astype(bool).broadcast_like(like).transpose(*source.dims).values
    if not values.any():
        raise ValueError("mask has no sea at all; it must be true on sea")
    return np.ascontiguousarray(values)
