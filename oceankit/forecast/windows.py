"""Batches of windows, history to targets, from records of any size: lazily, shuffled, resumable to the bit."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, Self

import numpy as np
import xarray as xr

from oceankit._extras import require
from oceankit.forecast._steps import text
from oceankit.forecast._window_options import apart, leads_of, names_of, pair_of, period_rows, seasonal_names, whole
from oceankit.forecast._window_patches import corners_of, known_share
from oceankit.forecast._window_plan import as_bytes, make_plan
from oceankit.forecast._window_scaling import Scaling, as_mask, fit_scaling
from oceankit.forecast._window_source import open_source
from oceankit.forecast._window_stream import Batch, Stream, prepared

__all__ = ["Batch", "Scaling", "Splits", "Windows"]


class Splits(NamedTuple):
    """Windows of each period; None for those not asked for."""

    train: "Windows"
    validation: "Windows | None"
    test: "Windows | None"


class Windows:
    """Batches of windows cut from a record along time.

    A window is ``history`` steps up to a start, and the targets ``leads`` steps after it. A loop over the object is one
    epoch: each window once, in an order that depends on ``seed``, the epoch and ``memory``, not on chunks or threads.
    A loop that was left goes on where it was; :meth:`state` and :meth:`resume` carry that over to another process.

    Parameters
    ----------
    data
        Dataset (eager or lazy), DataArray with a name, or the path of a NetCDF file or Zarr store.
    targets
        Names of what is forecast; its past is an input. All lie on the same cells: a plane, levels, stations or none.
    leads
        Steps ahead, as ``range(1, 13)``.
    history
        Steps looked back on, the start included.
    forcings
        Names of further inputs over the history, on the cells of the targets or along time alone.
    future_forcings
        Names of forcings that are shown up to the longest lead as well: forecasts of them, or perfect.
    calendar
        Adds sine and cosine of the year, and of the day where steps are shorter than one, to the series.
    period
        First and last date, both included; the whole record by default. Windows lie inside it, history and targets.
    batch
        Windows in a batch; the last of an epoch may have fewer.
    shuffle, seed
        Order of windows; without shuffling that of time.
    scaling
        ``"cell"`` or ``"pooled"``: each variable minus its mean, divided by its standard deviation, of each cell or of
        all together, learnt from ``period``. The ``scaling`` of other windows takes over theirs. None leaves values as
        they are.
    season
        Subtracts the mean of each time of the year first: True, or names of variables.
    mask
        DataArray along cells, true on sea. By default cells where a target has a value in the period of the scaling.
    patches, stride
        Rows and columns of patches of the last two dimensions, and their distance (by default their size). Those
        without sea are left out.
    min_known
        Least share, above 0 to 1, of target values on sea that must be known; other windows are left out, see
        :meth:`report`. None keeps all.
    fill
        What missing inputs become, after scaling (0 is the mean). None leaves NaN. Targets are never filled.
    memory
        What buffers may take, as ``"1 GiB"``; a chunk longer than an eighth of it, batches and series come on top.
    stretch
        Steps in a piece that is read at once; ``"chunks"`` puts its ends at chunk edges, which saves reading, and makes
        the order of windows depend on them. By default from ``memory``.
    prefetch
        Batches prepared by a background thread, which also reads ahead; batches are the same without it.
    as_tensors
        Torch tensors that share the memory of the arrays (``oceankit[forecast]``).

    Raises
    ------
    ValueError
        For missing variables, holes in time, windows longer than the period, periods without data, variables without
        any value, units or cells other than those of the scaling, and memory too small.

    Examples
    --------
    >>> import numpy as np, xarray as xr
    >>> time = xr.date_range("2000-01-01", periods=100)
    >>> sst = xr.DataArray(np.arange(600.0).reshape(100, 2, 3), dims=("time", "lat", "lon"), coords={"time": time})
    >>> data = xr.Dataset({"sst": sst, "nao": ("time", np.sin(np.arange(100.0)))})
    >>> train, validation, _ = Windows.split(
    ...     data, train=("2000-01-01", "2000-02-29"), validation=("2000-03-01", "2000-04-09"),
    ...     targets=["sst"], leads=(1, 2, 5), history=4, forcings=["nao"], batch=16)
    >>> train
    Windows(52 windows in 4 batches, 2000-01-01 to 2000-02-29, history 4, leads 1 to 5, targets sst)
    >>> batch = next(iter(train))
    >>> batch.history.shape, batch.series.shape, batch.targets.shape
    ((16, 4, 1, 2, 3), (16, 4, 3), (16, 3, 1, 2, 3))
    >>> train.channels["series"]
    ['nao', 'year_sin', 'year_cos']
    >>> validation.report()["left_out_steps_gap"]
    9
    >>> train.resume(train.state())  # in another process, say
    Windows(52 windows in 4 batches, 2000-01-01 to 2000-02-29, history 4, leads 1 to 5, targets sst)
    """

    def __init__(
        self,
        data: Any,
        *,
        targets: Sequence[str] | str,
        leads: Sequence[int],
        history: int,
        forcings: Sequence[str] | str = (),
        future_forcings: Sequence[str] | str = (),
        calendar: bool = True,
        period: Any = None,
        batch: int = 32,
        shuffle: bool = True,
        seed: int = 0,
        scaling: "Scaling | str | None" = "cell",
        season: bool | Sequence[str] = False,
        mask: xr.DataArray | None = None,
        patches: tuple[int, int] | None = None,
        stride: tuple[int, int] | None = None,
        min_known: float | None = None,
        fill: float | None = None,
        memory: str | int = "1 GiB",
        stretch: int | str | None = None,
        prefetch: int = 0,
        as_tensors: bool = False,
    ) -> None:
        self.history, self.leads, self.batch, self.seed, self.prefetch = (
            whole("history", history, 1),
            leads_of(leads),
            whole("batch", batch, 1),
            whole("seed", seed, 0),
            whole("prefetch", prefetch, 0),
        )
        self.memory, self.as_tensors = as_bytes(memory), as_tensors
        if as_tensors:
            require("torch", extra="forecast", purpose="as_tensors=True")
        if min_known is not None and not 0 < min_known <= 1:
            raise ValueError(
                f"min_known={min_known!r} must lie above 0 and be at most 1, or be None to keep all windows"
            )
        if stretch is not None and stretch != "chunks":
            stretch = whole("stretch", stretch, 1)
        self._fill = fill
        source = self._source = open_source(
            data, names_of(targets), names_of(forcings), names_of(future_forcings), strip=self.memory // 8
        )
        rows = self._rows = period_rows(source, period)
        reach = self.history + max(self.leads)
        if reach > rows.stop - rows.start:
            raise ValueError(
                f"history={self.history} and the longest lead of {max(self.leads)} span {reach} steps, longer than the "
                f"{rows.stop - rows.start} steps of the record from {text(source.axis.times[rows.start])} to "
                f"{text(source.axis.times[rows.stop - 1])}: shorten them, or choose a longer period"
            )
        given = as_mask(mask, source)
        if isinstance(scaling, Scaling):
            if season:
                raise ValueError(f"season={season!r} is learnt with the scaling, and one is given; leave season out")
            self.scaling = scaling
        elif scaling in ("cell", "pooled", None):
            self.scaling = fit_scaling(
                source,
                rows,
                kind=scaling or "none",
                season=seasonal_names(season, source, scaling),
                mask=given,
                memory=self.memory,
            )
        else:
            raise ValueError(f"scaling={scaling!r} must be 'cell', 'pooled', None or the scaling of other windows")
        self.mask = self.scaling.check(source, given)
        self._left_out: dict[str, int] = {}
        corners = None
        patch = None if patches is None else pair_of("patches", patches)
        if patch is not None:
            corners, dry = corners_of(source, patch, patch if stride is None else pair_of("stride", stride), self.mask)
            self._left_out["left_out_patches_land"] = dry
        places = 1 if corners is None else len(corners)
        row_bytes = 4 * source.cells * (len(source.fields) + (0 if fill is None else len(source.targets))) + 16 * places
        plan = make_plan(
            rows.start,
            rows.stop,
            reach,
            row_bytes=row_bytes,
            memory=self.memory - self.memory // 8,
            stretch=stretch,
            chunk_edges=source.edges,
            lazy=source.lazy,
        )
        kept = None
        if min_known is not None:
            share = known_share(source, rows, self.mask, corners, patch, self.history, self.leads)
            kept = share >= min_known
            self._left_out["left_out_windows_min_known"] = int((~kept).sum())
            if not kept.any():
                raise ValueError(
                    f"no window has min_known={min_known:g} of its targets known; at most {share.max():.3g} are: lower it"
                )
        names, series, split = self._series(calendar)
        self.channels = {
            "history": list(source.fields),
            "series": names[: split[0]],
            "future": list(source.future),
            "future_series": names[split[0] - split[1] : split[0]],
            "targets": list(source.targets),
        }
        self._stream = Stream(
            source, self.scaling, plan, self.history, self.leads, corners, patch,
            kept, series, split, self.mask, fill, bool(shuffle), self.seed,
        )  # fmt: skip
        self._epoch = self._position = self._turn = 0
        self._running: Any = None

    @staticmethod
    def split(
        data: Any, *, train: Any, validation: Any = None, test: Any = None, gap: int | None = None, **options: Any
    ) -> Splits:
        """Windows of several periods of one record, none of which reaches into another.

        Scaling, season and mask come from ``train`` alone. Validation and test are not shuffled.

        Parameters
        ----------
        train, validation, test
            First and last date of each, both included.
        gap
            Steps that lie between two periods at least; where they lie closer, the first steps of the later one are left
            out (:meth:`report`). By default ``history`` and the longest lead together.
        **options
            As for :class:`Windows`.

        Raises
        ------
        ValueError
            For periods that overlap, and as :class:`Windows`.
        """
        if "period" in options:
            raise ValueError("period= is what train=, validation= and test= say; leave it out")
        for name in ("targets", "leads", "history"):
            if name not in options:
                raise ValueError(f"{name}= is missing; split takes the options of Windows")
        leads, history = leads_of(options["leads"]), whole("history", options["history"], 1)
        gap = history + max(leads) if gap is None else whole("gap", gap, 0)
        wanted = [names_of(options.get(n, ())) for n in ("targets", "forcings", "future_forcings")]
        source = open_source(data, *wanted, strip=as_bytes(options.get("memory", "1 GiB")) // 8)
        given = {n: p for n, p in (("train", train), ("validation", validation), ("test", test)) if p is not None}
        spans = {n: period_rows(source, p, what=n) for n, p in given.items()}
        cut = apart(spans, gap, source)
        made: dict[str, Windows] = {}
        for name, rows in cut.items():
            own = dict(options)
            if name != "train":
                own |= {"scaling": made["train"].scaling, "shuffle": False, "season": False}
            made[name] = Windows(source, period=rows, **own)
            made[name]._left_out["left_out_steps_gap"] = rows.start - spans[name].start
        return Splits(made["train"], made.get("validation"), made.get("test"))

    # ---- what they are ----------------------------------------------------------------------------------------------

    @property
    def samples(self) -> int:
        """Windows in an epoch, each patch counted."""
        return self._stream.total

    @property
    def epoch(self) -> int:
        """The epoch that the next batch belongs to."""
        return self._epoch

    def __len__(self) -> int:
        return -(-self.samples // self.batch)

    def __repr__(self) -> str:
        times = self._source.axis.times[self._rows]
        return (
            f"Windows({self.samples} windows in {len(self)} batches, {text(times[0])} to {text(times[-1])}, "
            f"history {self.history}, leads {min(self.leads)} to {max(self.leads)}, "
            f"targets {', '.join(self._source.targets)})"
        )

    def report(self) -> dict[str, Any]:
        """What was left out, and how reading is planned.

        Returns
        -------
        dict
            ``samples``; ``left_out_...`` steps for the gap, patches of land, windows with too few known targets;
            ``resident`` (the whole period is kept in memory), ``pieces``, ``pieces_at_once``, ``steps_at_once``,
            ``reads`` of each step in an epoch, ``peak_bytes`` that buffers have taken so far.
        """
        plan = self._stream.plan
        return {
            "samples": self.samples,
            **self._left_out,
            "resident": plan.resident,
            "pieces": plan.pieces,
            "pieces_at_once": plan.at_once,
            "steps_at_once": plan.most_rows,
            "reads": plan.reads,
            "peak_bytes": self._stream.peak_bytes,
        }

    # ---- batches ----------------------------------------------------------------------------------------------------

    def __iter__(self) -> Iterator[Batch]:
        self._turn += 1
        turn, epoch = self._turn, self._epoch
        if self._running is not None:
            self._running.close()
        made: Any = self._stream.batches(epoch, self._position, self.batch, ahead=self.prefetch > 0)
        running: Any = prepared(made, self.prefetch) if self.prefetch else made
        self._running = running
        try:
            for batch, position in running:
                ended = position == self.samples
                self._epoch, self._position = (epoch + 1, 0) if ended else (epoch, position)
                yield _as_tensors(batch) if self.as_tensors else batch
                if turn != self._turn:
                    raise RuntimeError(
                        "another loop over these windows has begun, or resume() was called; make one Windows for each"
                    )
        finally:
            running.close()

    def restart(self, epoch: int = 0) -> Self:
        """Begin the next loop with the first batch of ``epoch``."""
        self._turn += 1
        self._epoch, self._position = whole("epoch", epoch, 0), 0
        return self

    def state(self) -> dict[str, Any]:
        """Where the loop stands: a small dict that ``json`` can write. Batches handed out so far count as used."""
        return {"epoch": self._epoch, "position": self._position, "windows": self._marks()}

    def resume(self, state: Mapping[str, Any]) -> Self:
        """Go on from a :meth:`state`: the batches that follow are those of a run that was not interrupted, to the bit.

        Raises
        ------
        ValueError
            For the state of windows that differ in what decides on the order; the message says in what.
        """
        try:
            epoch, position, marks = int(state["epoch"]), int(state["position"]), dict(state["windows"])
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"this is not a state of Windows ({error!r}); give what state() returned") from error
        own = self._marks()
        differing = [n for n in {**own, **marks} if own.get(n) != marks.get(n)]
        if differing:
            shown = ", ".join(f"{n}={own.get(n)!r} (the state has {marks.get(n)!r})" for n in differing)
            raise ValueError(f"the state belongs to other windows: {shown}; make them alike, or begin anew")
        if not 0 <= position < self.samples or epoch < 0:
            raise ValueError(f"the state is at window {position} of {self.samples} in epoch {epoch}; it is damaged")
        self._turn += 1
        self._epoch, self._position = epoch, position
        return self

    def restore(self, values: np.ndarray, batch: Batch) -> np.ndarray:
        """Values shaped like ``batch.targets``, such as a prediction, back in the units of the data (float64)."""
        out = np.array(values, dtype=np.float64)
        if self.scaling.kind == "none":
            return out
        if out.shape != tuple(batch.targets.shape):
            raise ValueError(
                f"values have the shape {out.shape}, the targets of the batch {tuple(batch.targets.shape)}"
            )
        rows = batch.start[:, None] + np.array(self.leads)
        for i, name in enumerate(self._source.targets):
            for part in range(len(out)):
                where = _window_of(batch.corner, part, out.shape[-2:])
                for table, use in ((self.scaling.width[name], np.multiply), (self.scaling.mean[name], np.add)):
                    use(out[part, :, i], table[where] if table.ndim else table, out=out[part, :, i])
                if name in self.scaling.season:
                    season = self.scaling.seasonal(name, self._source.axis.times[rows[part]], self._source.shape)
                    out[part, :, i] += season[where]
        return out

    # ---- private ----------------------------------------------------------------------------------------------------

    def _series(self, calendar: bool) -> tuple[list[str], np.ndarray, tuple[int, int]]:
        """Variables along time alone, then the calendar: names, (rows, channels), and how many are shown past, future."""
        source, rows = self._source, self._rows
        columns = []
        for name in source.series:
            values = source.data[name][rows].values
            out = np.empty(len(values), np.float32)
            self.scaling.apply(name, values, source.axis.times[rows], out)
            if self._fill is not None:
                out[np.isnan(out)] = self._fill
            columns.append(out[:, None])
        names, future = list(source.series), len(source.future_series)
        if calendar:
            added, features = source.calendar(rows)
            names, columns, future = names + added, [*columns, features], future + len(added)
        table = np.concatenate(columns, axis=1) if columns else np.empty((rows.stop - rows.start, 0), np.float32)
        return names, np.ascontiguousarray(table), (len(names), future)

    def _marks(self) -> dict[str, Any]:
        """What decides on which window comes when, as JSON would give it back."""
        stream, times = self._stream, self._source.axis.times[self._rows]
        marks = {
            "targets": list(self._source.targets),
            "inputs": [*self._source.fields, *self._source.series],
            "history": self.history,
            "leads": list(self.leads),
            "period": [text(times[0]), text(times[-1])],
            "cells": list(self._source.shape),
            "batch": self.batch,
            "seed": self.seed,
            "shuffle": stream.shuffle,
            "samples": self.samples,
            "patches": None if stream.patch is None else [*stream.patch, stream.patches],
            "pieces": stream.plan.pieces,
            "pieces_at_once": stream.plan.at_once,
            "scaling": self.scaling.kind,
        }
        found: dict[str, Any] = json.loads(json.dumps(marks))
        return found


def _as_tensors(batch: Batch) -> Batch:
    """The same memory as torch tensors."""
    torch = require("torch", extra="forecast", purpose="as_tensors=True")
    arrays = {n: torch.from_numpy(v) for n, v in {**batch.inputs, "targets": batch.targets}.items()}
    return replace(batch, **arrays, mask=torch.from_numpy(np.ascontiguousarray(batch.mask)))


def _window_of(corner: np.ndarray | None, part: int, size: tuple[int, ...]) -> Any:
    """The patch of one window among all cells."""
    if corner is None:
        return ...
    top, left = corner[part]
    return (..., slice(top, top + size[0]), slice(left, left + size[1]))
