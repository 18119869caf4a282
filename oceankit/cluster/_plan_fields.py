"""What a plan knows of a field: sizes, chunks on disk, which dimension is what. Nothing of it is computed."""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, replace
from math import ceil, prod

import xarray as xr

from oceankit.fields import coordinates
from oceankit.fields.verticals import vertical_dim

__all__ = ["Layout", "layout_of", "reads"]

_ZARR_AT_ONCE = 10
"""Chunks of a Zarr store that are decoded at the same time for one task (``async.concurrency``)."""


@dataclass(frozen=True)
class Layout:
    """A field as bytes: in which pieces it lies, and what may be cut."""

    name: str
    sizes: Mapping[Hashable, int]
    itemsize: int
    stored: Mapping[Hashable, int]
    """Size of the pieces in which it comes; 1 along a dimension that may be cut anywhere."""
    origin: str
    """``"disk"``, ``"dask"`` (made by tasks), ``"memory"``, or ``"step"``: what the step before hands on."""
    files: int = 1
    grid: tuple[Hashable, ...] = ()
    time: Hashable | None = None
    vertical: Hashable | None = None
    regular: bool = False
    """Whether longitude and latitude are axes."""
    terrain: bool = False
    """Whether depths differ from column to column."""

    @property
    def bytes(self) -> int:
        """Of the whole field, decoded."""
        return prod(self.sizes.values()) * self.itemsize

    def chunk_bytes(self, chunks: Mapping[Hashable, int]) -> int:
        """Of one chunk."""
        return prod(chunks.get(d, n) for d, n in self.sizes.items()) * self.itemsize

    def number(self, chunks: Mapping[Hashable, int]) -> int:
        """Of chunks."""
        return prod(ceil(n / chunks.get(d, n)) for d, n in self.sizes.items())

    def reading(self, chunks: Mapping[Hashable, int]) -> int:
        """Bytes while one chunk is read: the chunk, and what is being decoded or masked."""
        mine = self.chunk_bytes(chunks)
        if self.origin in ("memory", "step"):
            return 2 * mine
        piece = prod(self.stored.get(d, 1) for d in self.sizes) * self.itemsize
        touched = prod(ceil(chunks.get(d, n) / self.stored.get(d, 1)) for d, n in self.sizes.items())
        if self.origin == "dask":
            return mine + min(touched * piece, 2 * max(mine, piece))
        # Encoded and decoded pieces beside the chunk; then a mask and a copy without fill values.
        return max(mine + 2 * min(_ZARR_AT_ONCE, touched) * piece, mine * 9 // 4)

    def resized(self, sizes: Mapping[Hashable, int], grid: tuple[Hashable, ...] | None = None) -> "Layout":
        """The same field after a step that gave it other dimensions; it comes from the tasks of that step."""
        kept = dict.fromkeys(sizes, 1)
        return replace(self, sizes=dict(sizes), stored=kept, origin="step", grid=self.grid if grid is None else grid)


def layout_of(field: xr.DataArray, *, files: int | None = None) -> Layout:
    """The layout of a field, lazy or not."""
    encoding = field.encoding
    sources = encoding.get("sources") or ()
    on_disk = bool(sources) or "source" in encoding or "preferred_chunks" in encoding
    preferred = encoding.get("preferred_chunks") or {}
    if field.chunks is None and not on_disk:
        origin, stored = "memory", dict.fromkeys(field.dims, 1)
    elif on_disk:
        origin = "disk"
        stored = {d: min(int(preferred.get(d, 1)), field.sizes[d]) for d in field.dims}
    else:
        origin, stored = "dask", {d: max(c) for d, c in field.chunksizes.items()}
    grid, regular = _grid(field)
    depths = [field[n] for n in coordinates.candidates(field, "vertical") if n in field.coords]
    return Layout(
        name=str(field.name or "the field"),
        sizes={d: int(n) for d, n in field.sizes.items()},
        itemsize=field.dtype.itemsize,
        stored=stored,
        origin=origin,
        files=max(1, len(sources)) if files is None else files,
        grid=grid,
        time=_time(field),
        vertical=_vertical(field),
        regular=regular,
        terrain=any(d.ndim > 1 for d in depths),
    )


def reads(layout: Layout, chunks: Mapping[Hashable, int]) -> float:
    """How many times each stored piece is read when the field is taken in these chunks."""
    if layout.origin != "disk":
        return 1.0
    times = 1.0
    for d, n in layout.sizes.items():
        size, piece = chunks.get(d, n), min(layout.stored.get(d, 1), n)
        if size < n and size % piece:
            times *= 1 + piece / size if size > piece else ceil(piece / size)
    return times


def _grid(field: xr.DataArray) -> tuple[tuple[Hashable, ...], bool]:
    """The dimensions of the cells, and whether their positions are two axes."""
    try:
        lon, lat = coordinates.horizontal(field)
    except ValueError:
        return (), False
    dims = tuple(d for d in field.dims if d in {*lon.dims, *lat.dims})
    return dims, lon.ndim == lat.ndim == 1 and lon.dims != lat.dims


def _time(field: xr.DataArray) -> Hashable | None:
    try:
        found = coordinates.find(field, "time")
    except ValueError:
        return None
    return found.dims[0] if found.ndim == 1 and field.sizes.get(found.dims[0], 0) > 1 else None


def _vertical(field: xr.DataArray) -> Hashable | None:
    try:
        found = vertical_dim(field.to_dataset(name="field"), field)
    except ValueError:
        return None
    return found if found in field.dims and found != "member" else None
