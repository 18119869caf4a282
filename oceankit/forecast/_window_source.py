"""What windows are cut from: variables that share one regular time axis, read in strips along the chunks."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import xarray as xr

from oceankit.fields import open_fields
from oceankit.fields.coordinates import CoordinateError, find
from oceankit.forecast._steps import Axis, axis_of, phase_of

__all__ = ["Source", "open_source"]


@dataclass(frozen=True)
class Source:
    """Variables along time and cells (``fields``: targets, forcings of the past, those of the future too) or time alone."""

    data: xr.Dataset  # transposed to (time, *dims)
    axis: Axis
    targets: tuple[str, ...]
    past: tuple[str, ...]
    future: tuple[str, ...]
    past_series: tuple[str, ...]
    future_series: tuple[str, ...]
    dims: tuple[str, ...]
    shape: tuple[int, ...]
    coords: dict[str, np.ndarray]
    edges: np.ndarray  # rows at which chunks begin, and the end
    strip: int  # bytes read at once, or one chunk
    units: dict[str, str | None] = field(default_factory=dict)

    @property
    def fields(self) -> tuple[str, ...]:
        """Names along time and cells, in the order of the channels."""
        return self.targets + self.past + self.future

    @property
    def series(self) -> tuple[str, ...]:
        """Names along time alone."""
        return self.past_series + self.future_series

    @property
    def cells(self) -> int:
        """Number of cells, land included."""
        return int(np.prod(self.shape, dtype=int))

    @property
    def lazy(self) -> bool:
        """True where values are read or computed when they are needed."""
        return not all(v.variable._in_memory for v in self.data.data_vars.values())

    def direct(self, name: str) -> np.ndarray | None:
        """The values themselves where they lie in memory as a buffer would: float32, contiguous."""
        variable = self.data[name].variable
        if not isinstance(variable._data, np.ndarray) or variable.dtype != np.float32:
            return None
        values = variable.values
        return values if values.flags.c_contiguous else None

    def strips(self, names: Sequence[str], start: int, stop: int) -> Iterator[tuple[int, int, list[np.ndarray]]]:
        """Values of rows ``start`` to ``stop``, in strips (first, last, arrays) that end where chunks do.

        Raises
        ------
        ValueError
            For infinite values.
        """
        if not names:
            return
        part = self.data[list(names)]
        each = sum(part[n].dtype.itemsize * int(np.prod(part[n].shape[1:], dtype=int)) for n in names)
        most = max(1, self.strip // max(each, 1))
        time = part[names[0]].dims[0]
        lo = start
        while lo < stop:
            if stop - lo <= most:
                hi = stop
            else:  # the last chunk edge within reach, else the next one: no chunk is read twice
                beyond = int(np.searchsorted(self.edges, lo, side="right"))
                last = int(np.searchsorted(self.edges, lo + most, side="right")) - 1
                hi = min(stop, int(self.edges[max(last, beyond)]))
            read = part.isel({time: slice(lo, hi)}).compute()
            arrays = [read[n].values for n in names]
            for name, values in zip(names, arrays, strict=True):
                if np.isinf(values).any():
                    raise ValueError(f"{name!r} has infinite values; set them to NaN")
            yield lo, hi, arrays
            lo = hi

    def calendar(self, rows: slice) -> tuple[list[str], np.ndarray]:
        """Sine and cosine of the year, and of the day where steps are shorter than one: names and (rows, features)."""
        times, step = self.axis.times[rows], self.axis.step
        names, phases = ["year_sin", "year_cos"], [phase_of(times, step)]
        if step.cadence == "hourly":
            clock = xr.DataArray(times, dims="time").dt
            names += ["day_sin", "day_cos"]
            phases.append((clock.hour.values + clock.minute.values / 60) / 24)
        columns = [wave(2 * np.pi * phase) for phase in phases for wave in (np.sin, np.cos)]
        return names, np.stack(columns, axis=1).astype(np.float32)


def open_source(
    data: Any, targets: Sequence[str], forcings: Sequence[str], future_forcings: Sequence[str], *, strip: int
) -> Source:
    """Check variables and their time, and lay them out.

    Raises
    ------
    ValueError
        For variables that are missing or named twice, without time, on other cells than the targets or not numbers; for
        times that are not regular.
    """
    if isinstance(data, Source):
        return data
    dataset = _dataset(data)
    names = [*targets, *forcings, *(n for n in future_forcings if n not in forcings)]
    lacking = [n for n in names if n not in dataset.data_vars]
    if lacking:
        raise ValueError(f"data lack {lacking}; they have {[str(n) for n in dataset.data_vars]}")
    twice = sorted({n for n in names if names.count(n) > 1})
    if twice or not targets:
        raise ValueError(
            f"{twice} stand twice among targets and forcings; the past of a target is an input anyway: name each once"
            if twice
            else "targets is empty; name the variables to forecast, as targets=['sst']"
        )
    try:
        time = find(dataset[targets[0]], "time")
    except CoordinateError as error:
        raise ValueError(f"{targets[0]!r}: {error}") from error
    if time.ndim != 1:
        raise ValueError(f"{targets[0]!r} has a single time; windows are cut from a record: concatenate along time")
    along = str(time.dims[0])
    dims = tuple(str(d) for d in dataset[targets[0]].dims if d != along)
    arrays, series = {}, []
    for name in names:
        array = dataset[name]
        own = {str(d) for d in array.dims}
        if array.dtype.kind not in "fiub":
            raise ValueError(f"{name!r} holds {array.dtype}, not numbers; convert it, as .astype('float32')")
        if along not in own:
            raise ValueError(f"{name!r} does not vary along {along!r}; a constant field is no forcing: leave it out")
        if own == {along} and dims and name not in targets:
            series.append(name)
        elif own != {along, *dims}:
            raise ValueError(
                f"{name!r} has the dimensions {tuple(map(str, array.dims))}; it needs those of {targets[0]!r}, "
                f"{(along, *dims)}, or {along!r} alone: regrid it or average it"
            )
        arrays[name] = array.transpose(along, ...) if own == {along} else array.transpose(along, *dims)
    axis = axis_of(dataset[targets[0]][str(time.name)], name=str(time.name))
    first = arrays[targets[0]]
    coords = {
        str(n): np.asarray(c.values) for n, c in first.coords.items() if along not in c.dims and c.dtype.kind in "fiuUS"
    }
    past = [n for n in forcings if n not in future_forcings]
    return Source(
        data=xr.Dataset({n: a.variable for n, a in arrays.items()}),
        axis=axis,
        targets=tuple(targets),
        past=tuple(n for n in past if n not in series),
        future=tuple(n for n in future_forcings if n not in series),
        past_series=tuple(n for n in past if n in series),
        future_series=tuple(n for n in future_forcings if n in series),
        dims=dims,
        shape=tuple(int(first.sizes[d]) for d in dims),
        coords=coords,
        edges=_edges([a for n, a in arrays.items() if n not in series], along, len(axis)),
        strip=strip,
        units={n: None if a.attrs.get("units") is None else str(a.attrs["units"]) for n, a in arrays.items()},
    )


def _dataset(data: Any) -> xr.Dataset:
    if isinstance(data, str | os.PathLike):
        # The file's own chunks: multiples of them could be longer than what memory allows.
        return open_fields(data, chunks={})
    if isinstance(data, xr.DataArray):
        if data.name is None:
            raise ValueError("the DataArray has no name, which targets= could give; use .rename('sst')")
        return data.to_dataset()
    if not isinstance(data, xr.Dataset):
        raise ValueError(f"data must be an xarray Dataset or the path of a store, got {type(data).__name__}")
    return data


def _edges(arrays: Sequence[xr.DataArray], along: str, rows: int) -> np.ndarray:
    """Rows where the longest chunks along time begin; of Dask, else of the file."""
    best: tuple[int, ...] = (rows,)
    longest = 0
    for array in arrays:
        if along in array.chunksizes:
            chunks = tuple(array.chunksizes[along])
        elif not array.variable._in_memory and array.encoding.get("preferred_chunks", {}).get(along):
            size = int(array.encoding["preferred_chunks"][along])
            chunks = tuple(min(size, rows - lo) for lo in range(0, rows, size))
        else:
            continue
        if max(chunks) > longest:
            best, longest = chunks, max(chunks)
    return np.concatenate([[0], np.cumsum(best)]).astype(np.int64)
