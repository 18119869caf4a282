"""What one step takes of a worker: how its kernels hold and copy the chunks they get, in bytes."""

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from math import ceil, prod, sqrt
from typing import Any

from oceankit.cluster._plan_fields import Layout, reads

__all__ = ["COSTS", "LIBRARIES", "Cost", "Stage", "needs_whole"]

LIBRARIES = {"write": 320 * 2**20, "regrid": 440 * 2**20, "levels": 420 * 2**20, "climatology": 440 * 2**20,
             "assimilate": 500 * 2**20, "analysis": 500 * 2**20, "forecast": 1000 * 2**20}  # fmt: skip
"""A worker with its libraries, measured while kernels are compiled for the first time."""

_ROOM = 16 * 2**20
_YEAR = 366
_EVENTS_A_YEAR = 3 * 250
"""Bytes of the heatwaves of one cell in one year, with a copy."""
_SAID = 4 * 8
"""Bytes of what an ensemble analysis says of each place."""
# Entries of a row of weights; conservative ones go by the grids.
_ENTRIES = {"nearest": 1, "nearest_target": 1, "bilinear": 4, "bicubic": 20, "idw": 8}


@dataclass(frozen=True)
class Stage:
    """One kind of work on a field, with what it must be told besides the field."""

    kind: str
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Cost:
    """Bytes of one step in certain chunks."""

    thread: int
    """At most at one time in one worker thread, with the chunk that waits for it and the result that waits to be written"""
    held: int
    """In each worker as long as the step lasts"""
    read: int
    moved: int
    written: int
    result: Layout
    made: dict[Hashable, int]
    """Chunks of the result"""
    words: tuple[str, ...] = ()
    before: tuple[int, int] = (0, 0)
    """Held in each worker, and in each thread, by a first pass over the field"""

    def peak(self, kind: str, threads: int) -> int:
        """Of one worker with everything."""
        held, thread = self.before
        most = max(self.held + threads * self.thread, held + threads * thread)
        return LIBRARIES[kind] + most * 11 // 10 + threads * _ROOM


Workers = int


def needs_whole(stage: Stage, layout: Layout) -> set[Hashable]:
    """Dimensions that must lie in one chunk; a grid may be cut where nothing else will do."""
    match stage.kind:
        case "climatology":
            return {layout.time} if layout.time is not None else set()
        case "assimilate":
            return set(layout.sizes) - set(layout.grid)
        case "levels":
            return {layout.vertical} if layout.vertical is not None else set()
        case "regrid":
            return set(layout.grid)
    return set()


def _regrid(layout: Layout, chunks: Mapping[Hashable, int], stage: Stage, workers: Workers) -> Cost:
    target: dict[Hashable, int] = dict(stage.options["target"])
    width = max(layout.itemsize, 4)
    mine = layout.chunk_bytes(chunks) // layout.itemsize * width
    pieces = prod(ceil(layout.sizes[d] / chunks.get(d, layout.sizes[d])) for d in layout.grid)
    share = prod(target.values()) / prod(layout.sizes[d] for d in layout.grid)
    cut = pieces > 1
    out = int(mine * share)
    weights = _weights(layout, prod(target.values()), str(stage.options.get("method") or "bilinear"))
    others = {d: n for d, n in layout.sizes.items() if d not in layout.grid}
    made = {d: chunks.get(d, n) for d, n in others.items()}
    words = []
    if cut:
        # A tile of targets holds the source's chunks around it: those of three rows of chunks, joined and gathered.
        across = prod(ceil(layout.sizes[d] / chunks.get(d, layout.sizes[d])) for d in layout.grid[1:])
        around = min(pieces, 3 * across)
        thread = mine * (2 * around + 3) + 3 * out
        each = ceil(pieces ** (1 / len(target)))
        rows = [ceil(layout.sizes[d] / chunks.get(d, layout.sizes[d])) for d in layout.grid]
        cuts = rows if len(rows) == len(target) else [each] * len(target)
        made |= {d: ceil(n / min(k, n)) for (d, n), k in zip(target.items(), cuts, strict=True)}
        moved = int(2 * layout.bytes * _elsewhere(workers))
        words.append(f"the grid is cut into {pieces} parts, and each part of the target reads those around it")
    else:
        ordered = tuple(layout.sizes)[-len(layout.grid) :] == layout.grid and width == layout.itemsize
        thread = mine + out + max(layout.reading(chunks), mine * (1 if ordered else 3) + 2 * out)
        made |= target
        moved = 0
    result = layout.resized({**others, **target}, tuple(target))
    total = int(layout.bytes // layout.itemsize * width * share)
    moved += weights * max(0, workers - 1)
    return Cost(thread, weights * 3 // 2, _read(layout, chunks), moved, total, result, made, tuple(words))


def _weights(layout: Layout, targets: int, method: str) -> int:
    """Bytes of the weights: by pairs of cells, or along two axes."""
    sources = prod(layout.sizes[d] for d in layout.grid)
    if layout.regular and method in ("bilinear", "bicubic"):
        return int(400 * (sqrt(targets) + sqrt(sources)))
    if method.startswith("conservative"):
        pairs = targets + sources + 2 * sqrt(targets * sources)
        return int(pairs * (12 if method == "conservative" else 40) + 24 * targets)
    if method in _ENTRIES:
        return targets * (2 * _ENTRIES[method] * 12 + 24)
    return 12 * sources + 24 * targets


def _levels(layout: Layout, chunks: Mapping[Hashable, int], stage: Stage, workers: Workers) -> Cost:  # noqa: ARG001
    assert layout.vertical is not None  # the stage was checked
    number = int(stage.options["number"])
    mine = layout.chunk_bytes(chunks)
    out = mine * number // layout.sizes[layout.vertical]
    # Depths of each column are float64, of the levels and of the targets beside them.
    depths = (8 * 2 * mine // layout.itemsize) if layout.terrain else 0
    thread = mine + out + max(layout.reading(chunks), 2 * mine + 2 * out) + depths
    sizes = {d: number if d == layout.vertical else n for d, n in layout.sizes.items()}
    made = {d: number if d == layout.vertical else chunks.get(d, n) for d, n in layout.sizes.items()}
    result = layout.resized(sizes)
    return Cost(thread, 0, _read(layout, chunks), 0, result.bytes, result, made)


def _climatology(layout: Layout, chunks: Mapping[Hashable, int], stage: Stage, workers: Workers) -> Cost:
    assert layout.time is not None  # the stage was checked
    steps = layout.sizes[layout.time]
    entries, passes = int(stage.options.get("entries", _YEAR)), int(stage.options.get("passes", 3))
    mine = layout.chunk_bytes(chunks)
    cells = mine // (steps * layout.itemsize)
    statistics = 2 * entries * 8 * cells
    # Anomalies, or the categories of the days, come out beside the statistics.
    out = statistics + mine
    width = max(layout.itemsize, 4)
    merging = mine if layout.files > 1 or layout.origin == "dask" else 0
    thread = mine + out + max(layout.reading(chunks), mine + out + 2 * statistics) + merging + 4 * 2**18 * (width + 8)
    years = max(1.0, steps / (_YEAR if entries > 12 else 12))
    all_cells = layout.bytes // (steps * layout.itemsize)
    events = int(all_cells * years * _EVENTS_A_YEAR) if stage.options.get("heatwaves", True) else 0
    words = []
    if events > 2**30:
        words.append(f"the table of events may take {events / 2**30:.1f} GiB, which the command holds itself")
    moved = int(layout.bytes * _elsewhere(workers)) if merging else 0
    if merging:
        pieces = f"pieces, one in each of {layout.files} files" if layout.files > 1 else "pieces"
        words.append(f"what is there comes in {pieces}, which are joined where the chunk is worked on")
    written = layout.bytes + 2 * entries * 8 * all_cells
    result = layout.resized(layout.sizes)
    # Events wait with the workers until the last cell is done.
    return Cost(
        thread,
        events // 2 // workers,
        passes * _read(layout, chunks),
        moved,
        written,
        result,
        dict(chunks),
        tuple(words),
    )


def _assimilate(layout: Layout, chunks: Mapping[Hashable, int], stage: Stage, workers: Workers) -> Cost:  # noqa: ARG001
    mine = layout.chunk_bytes(chunks)
    places = mine // layout.itemsize // layout.sizes.get("member", 1)
    out = mine + _SAID * places
    scratch = 4 * mine // max(1, places) * 32 * 32
    merging = mine if layout.files > 1 or layout.origin in ("dask", "step") else 0
    thread = mine + out + max(layout.reading(chunks), mine + 2 * out) + merging + scratch + 24 * places
    # What the members would have measured is picked from one chunk after another.
    before = 2 * mine, 4 * mine + layout.reading(chunks)
    moved = int(layout.bytes * _elsewhere(workers)) * (2 if merging else 1)
    result = layout.resized(layout.sizes)
    written = layout.bytes + _SAID * layout.bytes // layout.itemsize // layout.sizes.get("member", 1)
    return Cost(thread, 0, 2 * _read(layout, chunks), moved, written, result, dict(chunks), (), before)


def _write(layout: Layout, chunks: Mapping[Hashable, int], stage: Stage, workers: Workers) -> Cost:  # noqa: ARG001
    mine = layout.chunk_bytes(chunks)
    thread = mine + max(layout.reading(chunks), 2 * mine)
    result = layout.resized(layout.sizes)
    return Cost(thread, 0, _read(layout, chunks), 0, layout.bytes, result, dict(chunks))


def _together(layout: Layout, chunks: Mapping[Hashable, int], stage: Stage, workers: Workers) -> Cost:  # noqa: ARG001
    words = "the whole field is read into the memory of the command itself, which needs as much as a worker"
    result = layout.resized(layout.sizes)
    thread = 3 * layout.bytes + layout.reading(chunks)
    return Cost(thread, 0, _read(layout, chunks), layout.bytes, layout.bytes, result, dict(chunks), (words,))


def _read(layout: Layout, chunks: Mapping[Hashable, int]) -> int:
    return int(layout.bytes * reads(layout, chunks)) if layout.origin == "disk" else 0


def _elsewhere(workers: int) -> float:
    """The share of what a task needs that another worker has."""
    return 1.0 - 1.0 / workers


COSTS: dict[str, Callable[[Layout, Mapping[Hashable, int], Stage, Workers], Cost]] = {
    "regrid": _regrid, "levels": _levels, "climatology": _climatology, "assimilate": _assimilate, "write": _write,
    "analysis": _together, "forecast": _together,
}  # fmt: skip
"""The cost of a kind of work."""
