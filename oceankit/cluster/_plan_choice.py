"""Chunks for a step: the largest of a ladder of sizes that fit, leave work for all and need little reading twice."""

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil

from dask.utils import format_bytes

from oceankit.cluster._plan_costs import COSTS, Cost, Stage, needs_whole
from oceankit.cluster._plan_fields import Layout, reads

__all__ = ["SHARE", "Chosen", "MisfitError", "Workers", "choose", "crosses", "remedy", "text"]

SHARE = 0.6
"""Of a worker's memory that is planned with: Dask begins to spill at 60 % and pauses the worker at 80 %."""
_SMALL, _LARGE = 16 * 2**20, 128 * 2**20
_TASKS = 3
"""For each worker thread, so that all have work to the end."""


@dataclass(frozen=True)
class Workers:
    """What the work runs on."""

    memory: int
    number: int
    threads: int

    @property
    def room(self) -> int:
        """Bytes of one worker that may be planned with."""
        return int(self.memory * SHARE)


@dataclass(frozen=True)
class Chosen:
    """Chunks of the field as it is read, and what each stage takes with them."""

    chunks: dict[Hashable, int]
    costs: list[tuple[Stage, Layout, dict[Hashable, int], Cost, int]]
    """The stage, its field, the chunks of that, the cost and the peak in bytes"""

    @property
    def largest(self) -> int:
        """Bytes of the largest chunk of any stage."""
        fields = [(field, chunks) for _, field, chunks, _, _ in self.costs]
        fields += [(cost.result, cost.made) for *_, cost, _ in self.costs]
        return max(field.chunk_bytes(chunks) for field, chunks in fields)

    @property
    def peak(self) -> int:
        """Bytes of one worker, in the stage that takes the most."""
        return max(peak for *_, peak in self.costs)


class MisfitError(ValueError):
    """Not even the smallest chunks fit; ``chosen`` says what they would take."""

    def __init__(self, chosen: Chosen) -> None:
        super().__init__("does not fit")
        self.chosen = chosen


def choose(layout: Layout, stages: Sequence[Stage], workers: Workers) -> Chosen:
    """The chunks in which a field is to be read for all these stages, one after the other.

    Raises
    ------
    MisfitError
        If nothing fits.
    """
    whole = _whole(layout, stages)
    rungs = list(_ladder(layout, whole))
    first = _priced(layout, stages, rungs[0], workers)
    if first.peak > workers.room:
        # A grid that does not fit is cut, where the regridding allows it.
        cut = whole - set(layout.grid)
        if cut == whole or any(s.options.get("extrapolate") for s in stages if s.kind == "regrid"):
            raise MisfitError(first)
        rungs = list(_ladder(layout, cut))
        first = _priced(layout, stages, rungs[0], workers)
        if first.peak > workers.room:
            raise MisfitError(first)
    return _highest(layout, stages, rungs, first, workers)


def _whole(layout: Layout, stages: Sequence[Stage]) -> set[Hashable]:
    """Dimensions that no stage can do with in pieces; grids are cut where time or members must be whole."""
    kinds = {s.kind for s in stages}
    whole: set[Hashable] = set()
    for stage in stages:
        whole |= needs_whole(stage, layout)
    extrapolates = any(s.options.get("extrapolate") for s in stages)
    if {"climatology", "assimilate"} & kinds and not extrapolates:
        whole -= set(layout.grid)
    return whole


def _highest(
    layout: Layout, stages: Sequence[Stage], rungs: Sequence[dict[Hashable, int]], first: Chosen, workers: Workers
) -> Chosen:
    hands = workers.number * workers.threads
    cap = min(max(layout.bytes // (_TASKS * hands), _SMALL), _LARGE)
    found = first
    for chunks in rungs[1:]:
        # Beyond the size that suits tasks, only to read each piece of the disk fewer times.
        again = reads(layout, found.chunks) > 1.0 and layout.number(chunks) >= hands
        tried = _priced(layout, stages, chunks, workers)
        if tried.peak > workers.room or (tried.largest > cap and not again):
            break
        if reads(layout, chunks) <= reads(layout, found.chunks):
            found = tried
    return found


def _ladder(layout: Layout, whole: set[Hashable]) -> Iterator[dict[Hashable, int]]:
    """Chunks from the smallest to the whole field: up to the stored pieces first, then by multiples of them."""
    sizes = {d: n if d in whole else 1 for d, n in layout.sizes.items()}
    yield dict(sizes)
    # The last dimensions lie side by side; where one must be whole, others are cut in their order.
    free = [d for d in reversed(layout.sizes) if d not in whole]
    for d in free:
        piece = min(max(layout.stored.get(d, 1), 1), layout.sizes[d])
        while sizes[d] < piece:
            sizes[d] = min(2 * sizes[d], piece)
            yield dict(sizes)
    for d in free:
        piece = sizes[d]
        while sizes[d] < layout.sizes[d]:
            times = max(sizes[d] // piece + 1, sizes[d] * 9 // 8 // piece)
            sizes[d] = min(times * piece, layout.sizes[d])
            yield dict(sizes)


def _priced(layout: Layout, stages: Sequence[Stage], chunks: Mapping[Hashable, int], workers: Workers) -> Chosen:
    """What all stages take, each on what the one before hands on."""
    costs: list[tuple[Stage, Layout, dict[Hashable, int], Cost, int]] = []
    field, mine, waiting, held = layout, dict(chunks), 0, 0
    if crosses(layout, chunks):
        # Every new chunk needs a part of every old one: they are all there before the first is whole.
        held = 2 * layout.bytes // workers.number
    for stage in stages:
        cost = COSTS[stage.kind](field, mine, stage, workers.number)
        # What is read waits while the stages behind work; weights of the stages before stay.
        total = replace(cost, thread=cost.thread + waiting, held=cost.held + held)
        costs.append((stage, field, mine, total, total.peak(stage.kind, workers.threads)))
        waiting, held = waiting + field.chunk_bytes(mine), total.held
        field, mine = cost.result, dict(cost.made)
    return Chosen(dict(chunks), costs)


def crosses(layout: Layout, chunks: Mapping[Hashable, int]) -> bool:
    """Whether chunks that tasks have made must be joined along one dimension and cut along another."""
    if layout.origin != "dask":
        return False
    joined = any(chunks.get(d, n) > layout.stored.get(d, n) for d, n in layout.sizes.items())
    return joined and any(chunks.get(d, n) < layout.stored.get(d, n) for d, n in layout.sizes.items())


def remedy(layout: Layout, stages: Sequence[Stage], workers: Workers, chosen: Chosen) -> str:
    """What would make it fit, in words."""
    ways = [f"memory={format_gib(ceil(chosen.peak / SHARE))!r} for each worker"]
    for threads in range(workers.threads - 1, 0, -1):
        if _fits(layout, stages, replace(workers, threads=threads)):
            ways.append(f"threads={threads}")
            break
    smaller = {d: min(n, 64) for d, n in layout.stored.items()}
    if any(s.kind == "climatology" for s in stages):
        smaller = {d: n if d == layout.time else min(n, 16) for d, n in layout.sizes.items()}
    if layout.origin == "disk" and smaller != dict(layout.stored):
        rewritten = replace(layout, stored=smaller)
        if _fits(rewritten, stages, workers):
            shown = {str(d): n for d, n in smaller.items()}
            ways.append(f"the input written once in chunks of about {shown}, smaller to decode")
    if crosses(layout, chosen.chunks):
        ways.append(
            "a copy of the field on disk, written in the chunks that it has and opened in those that are wanted"
        )
    if any(s.kind == "climatology" for s in stages):
        eventless = [replace(s, options={**s.options, "heatwaves": False}) for s in stages]
        if _fits(layout, eventless, workers):
            ways.append(
                "no table of events, which is held until the last cell is done (of a field, work={'climatology': "
                "{'heatwaves': False}})"
            )
        ways.append("the command 'oceankit detect', which takes a record tile by tile")
    return ", or ".join(ways)


def _fits(layout: Layout, stages: Sequence[Stage], workers: Workers) -> bool:
    try:
        choose(layout, stages, workers)
    except MisfitError:
        return False
    return True


def format_gib(size: int) -> str:
    """A size that can be given as ``memory``, rounded up."""
    half = 2**29
    return f"{ceil(size / half) / 2:g}GiB"


def text(size: float) -> str:
    """Bytes in words."""
    return format_bytes(int(size))
