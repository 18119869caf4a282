"""Windows in the order of an epoch: pieces are read into a shuffle buffer, batches are gathered from it."""

import queue
import threading
from collections.abc import Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from oceankit.forecast._window_kernels import aligned, gather
from oceankit.forecast._window_plan import Plan
from oceankit.forecast._window_scaling import Scaling
from oceankit.forecast._window_source import Source

__all__ = ["Batch", "Stream", "prepared"]


@dataclass(frozen=True)
class Batch:
    """One batch; float32 arrays, or torch tensors of the same shapes. ``cells`` are those of a patch where there are patches.

    Attributes
    ----------
    history
        (n, history, channels, *cells), standardised, oldest step first.
    series
        (n, history, channels) of variables along time alone and of the calendar, or None.
    future
        (n, longest lead, channels, *cells) of forcings at steps 1, 2 ... after the start, or None.
    future_series
        (n, longest lead, channels), or None.
    targets
        (n, leads, targets, *cells), standardised, NaN where unknown.
    mask
        (*cells) or with patches (n, *cells); True on sea.
    start
        (n,) row of the record of the last step of history.
    init_time
        (n,) its time.
    corner
        (n, 2) first row and column of the patch, or None.
    """

    history: Any
    series: Any
    future: Any
    future_series: Any
    targets: Any
    mask: Any
    start: np.ndarray
    init_time: np.ndarray
    corner: np.ndarray | None

    def __len__(self) -> int:
        return len(self.start)

    @property
    def inputs(self) -> dict[str, Any]:
        """What a network is shown, by name; absent parts are left out."""
        parts = {n: getattr(self, n) for n in ("history", "series", "future", "future_series")}
        return {n: v for n, v in parts.items() if v is not None}


@dataclass(frozen=True)
class Held:
    """Rows of some pieces in memory: (rows, channels, *cells), and the windows in them in the order of the epoch."""

    group: tuple[int, ...]
    values: np.ndarray
    truth: np.ndarray  # the same array, or one whose missing values are not filled
    offset: np.ndarray  # by piece: row in the buffer of row 0 of the record


@dataclass
class Stream:
    """What an epoch is made of; knows no state."""

    source: Source
    scaling: Scaling
    plan: Plan
    history: int
    leads: tuple[int, ...]
    corners: np.ndarray | None  # (patches, 2)
    patch: tuple[int, int] | None
    kept: np.ndarray | None  # bool (first rows, patches) of all windows of the plan
    series: np.ndarray  # (rows of the period, channels), past first
    series_split: tuple[int, int]  # channels of the past, of them those shown in the future too: the last ones
    sea: np.ndarray
    fill: float | None
    shuffle: bool
    seed: int
    held_bytes: int = 0
    peak_bytes: int = 0

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._resident: Held | None = None
        self.patches = 1 if self.corners is None else len(self.corners)
        edges = self.plan.edges
        self.counts = np.array(
            [
                (edges[j + 1] - edges[j]) * self.patches if self.kept is None else len(self._ids(j))
                for j in range(self.plan.pieces)
            ]
        )

    @property
    def total(self) -> int:
        """Windows in an epoch."""
        return int(self.counts.sum())

    def groups(self, epoch: int) -> list[tuple[int, ...]]:
        """Pieces that lie in the buffer together, in the order of the epoch."""
        pieces = np.arange(self.plan.pieces)
        if not self.shuffle:
            return [(int(j),) for j in pieces]
        order = np.random.default_rng([self.seed, epoch, 0]).permutation(pieces)
        return [tuple(map(int, order[i : i + self.plan.at_once])) for i in range(0, len(order), self.plan.at_once)]

    def order(self, epoch: int, number: int, group: tuple[int, ...]) -> np.ndarray:
        """Windows of the group in the order of the epoch: first row times the number of patches, plus the patch."""
        ids = np.concatenate([self._ids(j) for j in sorted(group)])
        if self.shuffle:
            np.random.default_rng([self.seed, epoch, 1 + number]).shuffle(ids)
        return ids

    def _ids(self, piece: int) -> np.ndarray:
        lo, hi = (int(e) * self.patches for e in self.plan.edges[piece : piece + 2])
        ids = np.arange(lo, hi)
        if self.kept is None:
            return ids
        begin = int(self.plan.edges[0]) * self.patches
        return ids[self.kept.reshape(-1)[lo - begin : hi - begin]]

    # ---- reading ----------------------------------------------------------------------------------------------------

    def load(self, group: tuple[int, ...]) -> Held:
        """Read the rows of a group, standardised."""
        if self._resident is not None:
            return self._resident
        source, shape = self.source, self.source.shape
        spans = [self.plan.rows(j) for j in group]
        offset = np.zeros(self.plan.pieces, np.int64)
        direct = source.direct(source.fields[0]) if self._can_be_direct() else None
        if direct is not None:
            held = Held(group, direct[:, None], direct[:, None], offset)
            self._resident = held
            return held
        total = sum(hi - lo for lo, hi in spans)
        values = np.empty((total, len(source.fields), *shape), np.float32)
        truth = values if self.fill is None else np.empty((total, len(source.targets), *shape), np.float32)
        self._count(values.nbytes + (truth.nbytes if truth is not values else 0))
        at = 0
        for piece, (lo, hi) in zip(group, spans, strict=True):
            offset[piece] = at - lo
            self._read(lo, hi, values[at : at + hi - lo], truth[at : at + hi - lo])
            at += hi - lo
        held = Held(group, values, truth, offset)
        if self.plan.resident:
            self._resident = held
        return held

    def _can_be_direct(self) -> bool:
        """Values that lie in memory as they are wanted need no copy."""
        return self.plan.resident and self.scaling.kind == "none" and self.fill is None and len(self.source.fields) == 1

    def _read(self, lo: int, hi: int, values: np.ndarray, truth: np.ndarray) -> None:
        for first, last, arrays in self.source.strips(self.source.fields, lo, hi):
            rows = slice(first - lo, last - lo)
            raw = sum(a.nbytes for a in arrays) if self.source.lazy else 0
            self._count(raw)
            for channel, (name, read) in enumerate(zip(self.source.fields, arrays, strict=True)):
                self.scaling.apply(name, read, self.source.axis.times[first:last], values[rows, channel])
            if self.fill is not None:
                truth[rows] = values[rows, : truth.shape[1]]
                np.copyto(values[rows], np.float32(self.fill), where=np.isnan(values[rows]))
            del arrays
            self._count(-raw)

    def _count(self, size: int) -> None:
        with self._lock:
            self.held_bytes += size
            self.peak_bytes = max(self.peak_bytes, self.held_bytes)

    def drop(self, held: Held | None) -> None:
        """Count a buffer as gone."""
        if held is not None and held is not self._resident:
            self._count(-held.values.nbytes - (held.truth.nbytes if held.truth is not held.values else 0))

    # ---- gathering --------------------------------------------------------------------------------------------------

    def batches(self, epoch: int, position: int, size: int, *, ahead: bool) -> Generator[tuple[Batch, int], None, None]:
        """Batches from ``position`` to the end of the epoch, each with the position after it."""
        groups = self.groups(epoch)
        ends = np.cumsum([self.counts[list(g)].sum() for g in groups])
        reader = _Reader(self, epoch, groups, ahead=ahead)
        try:
            while position < ends[-1]:
                parts = self._empty(min(size, int(ends[-1]) - position))
                filled, n = 0, len(parts["ids"])
                while filled < n:
                    number = int(np.searchsorted(ends, position, side="right"))
                    held, ids = reader.take(number)
                    begin = position - (int(ends[number - 1]) if number else 0)
                    taken = ids[begin : begin + n - filled]
                    self._fill(held, taken, parts, slice(filled, filled + len(taken)))
                    filled, position = filled + len(taken), position + len(taken)
                yield self._batch(parts), position
        finally:
            reader.close()

    def _empty(self, n: int) -> dict[str, np.ndarray]:
        source = self.source
        cells = source.shape if self.patch is None else (*source.shape[:-2], *self.patch)
        future = max(self.leads)
        past, shown = self.series_split
        shapes = {
            "history": (n, self.history, len(source.fields), *cells),
            "targets": (n, len(self.leads), len(source.targets), *cells),
            "future": (n, future, len(source.future), *cells) if source.future else None,
            "series": (n, self.history, past) if past else None,
            "future_series": (n, future, shown) if shown else None,
        }
        parts = {name: aligned(shape) for name, shape in shapes.items() if shape is not None}
        return {"ids": np.empty(n, np.int64), **parts}

    def _fill(self, held: Held, ids: np.ndarray, parts: dict[str, np.ndarray], at: slice) -> None:
        parts["ids"][at] = ids
        rows, which = np.divmod(ids, self.patches)
        piece = np.searchsorted(self.plan.edges, rows, side="right") - 1
        first = rows + held.offset[piece]
        past, ahead = np.arange(self.history), self.history + np.arange(max(self.leads))
        later = self.history - 1 + np.array(self.leads)
        self._gather(held.values, first, past, 0, parts["history"][at], which)
        self._gather(held.truth, first, later, 0, parts["targets"][at], which)
        if "future" in parts:
            channel = len(self.source.fields) - len(self.source.future)
            self._gather(held.values, first, ahead, channel, parts["future"][at], which)
        own, table = rows - int(self.plan.edges[0]), self.series[:, :, None, None]
        seen, shown = self.series_split
        for name, steps, channel in (("series", past, 0), ("future_series", ahead, seen - shown)):
            if name in parts:
                gather(table, own, steps, channel, parts[name][at][..., None, None])

    def _gather(
        self, buffer: np.ndarray, rows: np.ndarray, steps: np.ndarray, channel: int, out: np.ndarray, which: np.ndarray
    ) -> None:
        """Levels and the like are channels to the kernel."""
        levels = int(np.prod(self.source.shape[:-2], dtype=int))
        plane = (1, 1, *self.source.shape)[-2:]
        inner = plane if self.patch is None else self.patch
        corners = (None, None) if self.corners is None else (self.corners[which, 0], self.corners[which, 1])
        gather(
            buffer.reshape(len(buffer), -1, *plane),
            rows,
            steps,
            channel * levels,
            out.reshape(*out.shape[:2], out.shape[2] * levels, *inner),
            *corners,
        )

    def _batch(self, parts: dict[str, np.ndarray]) -> Batch:
        rows, which = np.divmod(parts["ids"], self.patches)
        start = rows + self.history - 1
        mask, corner = self.sea, None
        if self.corners is not None and self.patch is not None:
            corner = self.corners[which]
            views = np.lib.stride_tricks.sliding_window_view(self.sea, self.patch, axis=(-2, -1))
            mask = np.moveaxis(views[..., corner[:, 0], corner[:, 1], :, :], -3, 0)
        return Batch(
            history=parts["history"],
            series=parts.get("series"),
            future=parts.get("future"),
            future_series=parts.get("future_series"),
            targets=parts["targets"],
            mask=mask,
            start=start,
            init_time=self.source.axis.times[start],
            corner=corner,
        )


class _Reader:
    """Hands out buffers of groups in order; with ``ahead`` the next is read while one is in use."""

    def __init__(self, stream: Stream, epoch: int, groups: list[tuple[int, ...]], *, ahead: bool) -> None:
        self.stream, self.epoch, self.groups = stream, epoch, groups
        self.pool = ThreadPoolExecutor(1, "windows-read") if ahead and not stream.plan.resident else None
        self.number = -1
        self.held: Held | None = None
        self.ids = np.zeros(0, np.int64)
        self.next: Future[Held] | None = None

    def take(self, number: int) -> tuple[Held, np.ndarray]:
        """The buffer of group ``number`` and its windows."""
        if number != self.number or self.held is None:
            self.stream.drop(self.held)
            self.held = None
            future, self.next = self.next, None
            self.held = self.stream.load(self.groups[number]) if future is None else future.result()
            self.number = number
            self.ids = self.stream.order(self.epoch, number, self.groups[number])
            if self.pool is not None and number + 1 < len(self.groups):
                self.next = self.pool.submit(self.stream.load, self.groups[number + 1])
        return self.held, self.ids

    def close(self) -> None:
        """Wait for what is being read and count buffers as gone."""
        self.stream.drop(self.held)
        self.held = None
        if self.next is not None and self.next.exception() is None:
            self.stream.drop(self.next.result())
        self.next = None
        if self.pool is not None:
            self.pool.shutdown()


def prepared(made: Generator[Any, None, None], depth: int) -> Iterator[Any]:
    """The same items, up to ``depth`` of them prepared by a thread in the background; errors are raised in their place."""
    waiting: queue.Queue[tuple[str, Any]] = queue.Queue(maxsize=depth)
    stop = threading.Event()

    def put(item: tuple[str, Any]) -> bool:
        while not stop.is_set():
            try:
                waiting.put(item, timeout=0.1)
                return True
            except queue.Full:
                continue
        return False

    def work() -> None:
        try:
            for item in made:
                if not put(("item", item)):
                    return
            put(("end", None))
        except BaseException as error:
            put(("error", error))
        finally:
            made.close()

    thread = threading.Thread(target=work, name="windows-prefetch", daemon=True)
    thread.start()
    try:
        while True:
            kind, item = waiting.get()
            if kind == "end":
                return
            if kind == "error":
                raise item
            yield item
    finally:
        stop.set()
        thread.join()
