"""Climatology, heatwaves and their days of a whole ocean, from disk to disk, in bounded memory."""

import os
import re
import shutil
from collections.abc import Hashable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import dask.array
import numpy as np
import xarray as xr
import zarr

from oceankit.anomaly import _calendar
from oceankit.anomaly._event_store import EventStore
from oceankit.anomaly.climatology import climatology, one_variable
from oceankit.anomaly.heatwaves import heatwaves_and_days
from oceankit.fields import blocks, store
from oceankit.fields.coordinates import describe
from oceankit.numerics import threads

__all__ = ["detect"]

# Bytes of the events of one cell in a record of one year, and of its climatology, both with the copies that are made of them.
_EVENTS_A_YEAR = 4 * 2 * 250
_CLIMATOLOGY = 6 * 2 * 366 * 8
# Reading a chunk again and again for the cells of several tiles is refused from here on.
_MOST_READS = 8.0
_DAYS_A_CHUNK = 1461
_UNITS = {"": 1, "b": 1, "kib": 2**10, "mib": 2**20, "gib": 2**30, "kb": 10**3, "mb": 10**6, "gb": 10**9}

Tile = dict[Hashable, slice]


def detect(
    field: xr.DataArray | xr.Dataset,
    path: str | os.PathLike[str],
    *,
    period: Any,
    memory: str | int = "1GiB",
    half_window: int = 5,
    smooth: int | None = 31,
    percentile: float = 90,
    convention: str = "oliver",
    min_duration: int = 5,
    max_gap: int = 2,
    max_missing: int | None = None,
    keep_climatology: bool = True,
    time: Hashable | None = None,
) -> None:
    """Find the heatwaves of a record that does not fit in memory, and write them with all that belongs to them.

    The cells are taken tile by tile: the whole record of a tile is read, its climatology computed, and its events and days are
    written, while the next tile is being read. How many cells a tile has follows from ``memory``, so that neither the length of
    the record nor the size of the globe shows in it.

    Parameters
    ----------
    field
        As in :func:`oceankit.climatology`; lazy, or opened without Dask, with any chunks. Best are chunks of few cells and many
        days. Packed integers (``mask_and_scale=False``) are taken as they are, in half of the memory.
    path
        A folder, which must not exist: ``days.zarr`` (category of each day, int8), ``events.zarr`` (along ``event``, tile by
        tile) and ``climatology.zarr`` (``mean`` and ``threshold``, which :func:`oceankit.anomaly.update` begins with). It is
        made under another name and gets its own when all is there.
    period, half_window, smooth, percentile, convention
        As in :func:`oceankit.climatology`.
    memory
        What tiles may take, such as ``"1GiB"`` or a number of bytes; the process with its libraries has about half a GiB
        besides.
    min_duration, max_gap, max_missing
        As in :func:`oceankit.heatwaves`.
    keep_climatology
        Whether to write the climatology, which is as large as a year of float64 data twice.
    time
        Name of the time coordinate, where it is not found by itself.

    Raises
    ------
    ValueError
        As :func:`oceankit.climatology` and :func:`oceankit.heatwaves`; if ``path`` exists; if the record of one row of cells is
        more than ``memory``; or if chunks of the field are such that each would be read more than eight times: the message says
        how to chunk it.

    Examples
    --------
    >>> import os, tempfile, numpy as np, xarray as xr
    >>> days = xr.date_range("2001-01-01", "2005-12-31")
    >>> values = np.random.default_rng(0).normal(size=(days.size, 2, 3)).cumsum(0)
    >>> sst = xr.DataArray(values, dims=("time", "lat", "lon"), coords={"time": days}, name="sst")
    >>> folder = tempfile.TemporaryDirectory()
    >>> detect(sst, os.path.join(folder.name, "found"), period=(2001, 2005))
    >>> sorted(os.listdir(os.path.join(folder.name, "found")))
    ['climatology.zarr', 'days.zarr', 'events.zarr']
    """
    target = Path(path)
    if target.exists():
        raise ValueError(f"{os.fspath(path)!r} exists: give another folder, or remove it first")
    variable = one_variable(field, time)
    axis, days = _calendar.read(variable, time)
    dim = axis.dims[0]
    tiles = _tiles(variable, dim, _bytes(memory), years=np.unique(days.year).size)
    to_clim: dict[str, Any] = {
        "period": period, "half_window": half_window, "smooth": smooth, "percentile": percentile, "convention": convention,
        "time": time,
    }  # fmt: skip
    to_find: dict[str, Any] = {
        "min_duration": min_duration,
        "max_gap": max_gap,
        "max_missing": max_missing,
        "time": time,
    }
    part = target.with_name(target.name + ".partial")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    try:
        made_by = {key: value for key, value in (to_clim | to_find).items() if key != "time"}
        made_by["period"] = [str(bound) for bound in period]
        written = _Writer(part, variable, dim, tiles, keep_climatology, made_by)
        for tile, part_of in _loaded(variable, dim, tiles):
            clim = climatology(part_of, **to_clim)
            events, by_day = heatwaves_and_days(part_of, clim, **to_find)
            written.add(tile, clim, by_day, events)
        written.finish()
        part.rename(target)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise


def _bytes(memory: str | int) -> int:
    found = re.fullmatch(r"\s*([0-9.]+)\s*([A-Za-z]*)\s*", str(memory))
    if found is None or found[2].lower() not in _UNITS:
        raise ValueError(f"memory is {memory!r}; give a size such as '1GiB', or a number of bytes")
    return int(float(found[1]) * _UNITS[found[2].lower()])


def _chunks(variable: xr.DataArray) -> dict[Hashable, int]:
    """Size of the pieces in which the values come, by dimension; none where they are in memory."""
    if blocks.is_lazy(variable):
        return {d: max(c) for d, c in variable.chunksizes.items()}
    if isinstance(variable.variable._data, np.ndarray):
        return {}
    sizes = variable.encoding.get("preferred_chunks") or {}
    return {d: int(sizes[d]) for d in variable.dims if d in sizes}


def _tiles(variable: xr.DataArray, dim: Hashable, memory: int, years: int) -> list[Tile]:
    """Cuts of the cells into tiles: whole chunks if they fit, otherwise parts of one.

    Raises
    ------
    ValueError
        If no tile fits, or each chunk would be read too often.
    """
    steps, width = variable.sizes[dim], variable.dtype.itemsize
    # A tile, the next one and what decoding takes, its days and those being written; memory in pieces takes more than it holds.
    each = steps * (4 * width + 4) + years * _EVENTS_A_YEAR + _CLIMATOLOGY
    most = memory // each
    cells = [d for d in variable.dims if d != dim]
    if most < 1:
        raise ValueError(
            f"the record of one cell of {describe(variable)} takes about {each / 2**20:.1f} MiB with all that is made of it, and "
            f"memory is {memory / 2**20:.1f} MiB: allow more"
        )
    chunks = _chunks(variable)
    sizes = {d: min(chunks.get(d, 1), variable.sizes[d]) for d in cells}
    for d in cells:  # less than a chunk, if need be: the greatest even part of it
        others = int(np.prod([n for other, n in sizes.items() if other != d]))
        room = max(1, min(sizes[d], most // others))
        sizes[d] = next((n for n in range(room, room // 2, -1) if sizes[d] % n == 0), room)
    for d in cells[::-1]:  # several chunks, if there is room
        others = int(np.prod([n for other, n in sizes.items() if other != d]))
        sizes[d] = min(variable.sizes[d], max(1, most // (others * sizes[d])) * sizes[d])
    reads = np.prod([max(1.0, chunks.get(d, 1) / sizes[d]) for d in cells]) if cells else 1.0
    if reads > _MOST_READS and chunks.get(dim, steps) < steps:
        wanted = {dim: steps, **{d: min(sizes[d], chunks.get(d, sizes[d])) for d in cells}}
        raise ValueError(
            f"{describe(variable)} comes in chunks of {chunks}, and with memory={memory / 2**30:.2g}GiB each of them would be "
            f"read {reads:.0f} times: write it once in chunks of about {wanted}, or allow more memory"
        )
    spans = [
        [slice(a, min(a + sizes[d], variable.sizes[d])) for a in range(0, variable.sizes[d], sizes[d])] for d in cells
    ]
    index = np.ndindex(*(len(s) for s in spans))
    return [{d: spans[n][k] for n, (d, k) in enumerate(zip(cells, at, strict=True))} for at in index]


def _loaded(variable: xr.DataArray, dim: Hashable, tiles: list[Tile]) -> Iterator[tuple[Tile, xr.DataArray]]:
    """Each tile in memory, as maps, while the next one is being read."""

    def load(tile: Tile) -> xr.DataArray:
        return variable.isel(tile).transpose(dim, ...).compute()

    with ThreadPoolExecutor(1) as reader:
        ahead = reader.submit(load, tiles[0])
        for n, tile in enumerate(tiles):
            maps = ahead.result()
            if n + 1 < len(tiles):
                ahead = reader.submit(load, tiles[n + 1])
            yield tile, maps


class _Writer:
    """The three stores, filled tile by tile in a thread of its own."""

    def __init__(
        self,
        folder: Path,
        variable: xr.DataArray,
        dim: Hashable,
        tiles: list[Tile],
        keep_climatology: bool,
        options: dict[str, Any],
    ) -> None:
        source = variable.encoding.get("source")
        self.provenance: dict[str, Any] = {"options": options} | (
            {"inputs": [source]} if isinstance(source, str) else {}
        )
        self.folder, self.variable, self.dim, self.keep = folder, variable, dim, keep_climatology
        self.cells = [d for d in variable.dims if d != dim]
        self.chunks = {d: s.stop - s.start for d, s in tiles[0].items()}
        self.laid_out: set[str] = set()
        self.events = EventStore(self._path("events"), self._begin_events)
        self.thread = ThreadPoolExecutor(1)
        self.last: Future[None] | None = None

    def add(self, tile: Tile, clim: xr.Dataset, days: xr.DataArray, events: xr.Dataset) -> None:
        self._wait()
        self.last = self.thread.submit(self._write, tile, clim, days, events)

    def finish(self) -> None:
        self._wait()
        self.thread.shutdown()
        self.events.finish()
        with ThreadPoolExecutor(threads.count()) as pool:
            list(pool.map(store.seal, [self._path(name) for name in (*self.laid_out, "events")]))

    def _wait(self) -> None:
        if self.last is not None:
            self.last.result()

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.zarr"

    def _write(self, tile: Tile, clim: xr.Dataset, days: xr.DataArray, events: xr.Dataset) -> None:
        self._fill("days", days.to_dataset(), tile, {self.dim: _DAYS_A_CHUNK})
        if self.keep:
            (year,) = (d for d in clim["mean"].dims if d not in self.cells)
            self._fill("climatology", clim.transpose(year, ...), tile, {year: clim.sizes[year]})
        self.events.add(self._of_the_whole(tile, events))

    def _fill(self, name: str, part: xr.Dataset, tile: Tile, chunks: dict[Hashable, int]) -> None:
        if name not in self.laid_out:
            coords = {n: c for n, c in self.variable.coords.items() if n in part.coords}
            layout = {
                str(n): (v.dims, self._nothing(v, self.chunks | chunks), v.attrs) for n, v in part.data_vars.items()
            }
            others = {n: c for n, c in part.coords.items() if n not in coords}
            store.template(xr.Dataset(layout, {**coords, **others}, part.attrs), self._path(name), **self.provenance)
            self.laid_out.add(name)
        # Chunks of zeros, or of missing values, are written too: that is how a store is known to be complete.
        with zarr.config.set({"array.write_empty_chunks": True}):
            group = zarr.open_group(self._path(name), mode="r+")
            for key, variable in part.data_vars.items():
                group[str(key)][tuple(tile.get(d, slice(None)) for d in variable.dims)] = variable.values

    def _nothing(self, part: xr.DataArray, chunks: dict[Hashable, int]) -> dask.array.Array:
        shape = [self.variable.sizes[d] if d in self.cells else part.sizes[d] for d in part.dims]
        return dask.array.zeros(
            shape, chunks=[min(chunks[d], n) for d, n in zip(part.dims, shape, strict=True)], dtype=part.dtype
        )

    def _begin_events(self, events: xr.Dataset) -> None:
        # In space and time they are events of the whole field, not of the first tile.
        whole = dict(zarr.open_group(self._path("days"), mode="r").attrs)
        extents = {k: v for k, v in whole.items() if k.startswith(("geospatial", "time_coverage"))}
        store.template(events, self._path("events"), metadata=extents, **self.provenance)

    def _of_the_whole(self, tile: Tile, events: xr.Dataset) -> xr.Dataset:
        """Events with the numbers that their cells have in the whole field."""
        if not self.cells:
            return events
        inside = np.unravel_index(events["cell"].values, [tile[d].stop - tile[d].start for d in self.cells])
        index = [i + tile[d].start for i, d in zip(inside, self.cells, strict=True)]
        cell = np.ravel_multi_index(index, [self.variable.sizes[d] for d in self.cells])
        positions = {d: ("event", i) for d, i in zip(self.cells, index, strict=True) if d not in self.variable.coords}
        return events.assign(cell=("event", cell, events["cell"].attrs)).assign_coords(positions)
