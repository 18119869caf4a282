"""How a piece of work is cut to fit: chunks for each step, what they take of a worker, and why, in words."""

import os
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import xarray as xr
from dask.utils import parse_bytes

from oceankit.cluster import _plan_words as words
from oceankit.cluster._plan_choice import Chosen, MisfitError, Workers, choose
from oceankit.cluster._plan_costs import Stage
from oceankit.cluster._plan_fields import Layout, layout_of

if TYPE_CHECKING:
    from oceankit.cli.reading import RunFile

__all__ = ["KINDS_OF_WORK", "Plan", "PlanError", "PlanStep", "plan"]

KINDS_OF_WORK = ("regrid", "levels", "assimilate", "climatology", "write")


class PlanError(ValueError):
    """The work does not fit, or cannot be planned; the message says what would do."""


@dataclass(frozen=True)
class PlanStep:
    """One step of a plan. Bytes are of decoded values."""

    name: str
    """Of the field, or of the step of the run file."""
    work: str
    chunks: Mapping[Hashable, int]
    """In which the step's field is to be, as for ``.chunk()``"""
    tasks: int
    peak_memory: int
    """Of one worker with its libraries, in bytes: an upper bound"""
    bytes_read: int
    bytes_moved: int
    """Between workers, and from or to the command"""
    bytes_written: int
    words: tuple[str, ...]
    """What was chosen and why"""


@dataclass(frozen=True)
class Plan:
    """What :func:`plan` has chosen; printed, it explains itself."""

    steps: tuple[PlanStep, ...]
    memory: int
    """Of one worker, in bytes"""
    workers: int
    threads: int

    @property
    def peak_memory(self) -> int:
        """The most that one worker takes in any step, in bytes."""
        return max(step.peak_memory for step in self.steps)

    @property
    def bytes_moved(self) -> int:
        """Of all steps."""
        return sum(step.bytes_moved for step in self.steps)

    def of(self, name: str) -> dict[str, PlanStep]:
        """The steps of one field, or of one step of a run file, by their work, in order."""
        return {step.work: step for step in self.steps if step.name == name}

    def explain(self) -> str:
        """What was chosen for each step, and why, in words."""
        return words.explained(self)

    def __str__(self) -> str:
        return self.explain()


def plan(
    run_or_field: "xr.DataArray | xr.Dataset | RunFile | str | os.PathLike[str]",
    *,
    memory: str | int,
    workers: int,
    threads: int = 1,
    work: str | Sequence[str] | Mapping[str, Any] | None = None,
) -> Plan:
    """Choose chunks for each step of some work, and say what they take; nothing is computed.

    Peak memory is an upper bound of what one worker process has in memory, its libraries included; plans stay below 60 % of
    ``memory``, where Dask begins to spill to disk. Times are not estimated.

    Parameters
    ----------
    run_or_field
        A field (DataArray or Dataset, lazy or not), or a run file (a path that ends in ``.yaml`` or ``.yml``, or as read).
    memory
        Of one worker, such as ``"4GiB"`` or a number of bytes.
    workers
        Number of worker processes.
    threads
        Worker threads in each.
    work
        Of a field: what is to be done with it, of ``"regrid"``, ``"levels"``, ``"assimilate"``, ``"climatology"`` (with
        heatwaves and anomalies) and ``"write"``; None: all that its dimensions allow. A mapping also says what to:
        ``{"regrid": target}`` as for :func:`oceankit.regrid`, ``{"levels": depths}`` or their number, ``{"climatology":
        {"heatwaves": False}}`` where no events are wanted, and None for others. Without that as many cells or levels are
        assumed as the field has. A run file says it by itself.

    Returns
    -------
    Plan
        Of a run file with a step for each of its stages that matters for memory.

    Raises
    ------
    PlanError
        If not even the smallest chunks fit (the message names the step, what it takes and what would do), the run file has
        mistakes, the field does not allow the work, or an argument makes no sense.

    Examples
    --------
    >>> import dask.array, numpy as np, xarray as xr
    >>> days = xr.date_range("1991-01-01", periods=3650)
    >>> sst = xr.DataArray(dask.array.zeros((3650, 360, 720), chunks=(3650, 20, 720), dtype="f4"), name="sst",
    ...                    dims=("time", "lat", "lon"), coords={"time": days, "lat": np.arange(-89.75, 90, 0.5),
    ...                                                         "lon": np.arange(0.25, 360, 0.5)})
    >>> found = plan(sst, memory="4GiB", workers=4, work="climatology")
    >>> found.steps[0].chunks["time"], found.peak_memory < 0.6 * 4 * 2**30
    (3650, True)
    """
    available = Workers(_bytes(memory), _whole("workers", workers), _whole("threads", threads))
    steps: list[PlanStep] = []
    if isinstance(run_or_field, xr.DataArray | xr.Dataset):
        for layout, stages in _of_field(run_or_field, work):
            for stage in stages:
                steps += _steps(layout.name, layout, [stage], available)
    else:
        if work is not None:
            raise PlanError(f"work={work!r} is for fields; a run file says itself what is to be done")
        for name, layout, stages in _of_run(run_or_field):
            steps += _steps(name, layout, stages, available)
    if not steps:
        raise PlanError("there is nothing to plan: no step reads a field")
    return Plan(tuple(steps), available.memory, available.number, available.threads)


def _steps(name: str, layout: Layout, stages: Sequence[Stage], workers: Workers) -> list[PlanStep]:
    try:
        chosen = choose(layout, stages, workers)
    except MisfitError as error:
        raise PlanError(words.refusal(name, layout, stages, workers, error.chosen)) from None
    return [_step(name, layout, chosen, number, workers) for number in range(len(chosen.costs))]


def _step(name: str, layout: Layout, chosen: Chosen, number: int, workers: Workers) -> PlanStep:
    stage, field, chunks, cost, peak = chosen.costs[number]
    return PlanStep(
        name=name,
        work=stage.kind,
        chunks=dict(chunks),
        tasks=field.number(chunks),
        peak_memory=peak,
        bytes_read=cost.read,
        bytes_moved=cost.moved + (words.brought(layout, chunks, workers) if number == 0 else 0),
        # What goes on to the next step stays where it is.
        bytes_written=cost.written if number == len(chosen.costs) - 1 else 0,
        words=words.reasons(stage, field, chunks, cost, peak, workers, last=number == len(chosen.costs) - 1),
    )


# ---- what is planned ------------------------------------------------------------------------------------------------


def _of_field(
    field: xr.DataArray | xr.Dataset, work: str | Sequence[str] | Mapping[str, Any] | None
) -> list[tuple[Layout, list[Stage]]]:
    """Each variable with what is to be done with it."""
    named: Iterable[str] | None = [work] if isinstance(work, str) else work
    given: Mapping[str, Any] = work if isinstance(work, Mapping) else {}
    for kind in named or ():
        if kind not in KINDS_OF_WORK:
            raise PlanError(f"work={kind!r} is not known; choose of {', '.join(KINDS_OF_WORK)}")
    variables = [field] if isinstance(field, xr.DataArray) else [field[n] for n in field.data_vars]
    found, allowed = [], set()
    for variable in variables:
        if variable.dtype.kind not in "fiu" or variable.ndim == 0:
            continue
        layout = layout_of(variable)
        possible = _possible(layout)
        allowed |= set(possible)
        kinds = [k for k in possible if named is None or k in named]
        stages = [Stage(k, _told(k, layout, given.get(k))) for k in kinds]
        found.append((layout, stages))
    for kind in named or ():
        if kind not in allowed:
            raise PlanError(f"work={kind!r}: {words.WANTED[kind]}, and {_described(variables)}")
    return found


def _possible(layout: Layout) -> list[str]:
    """Kinds of work that the dimensions allow."""
    there = {
        "regrid": bool(layout.grid),
        "levels": layout.vertical is not None,
        "assimilate": "member" in layout.sizes and bool(layout.grid),
        "climatology": layout.time is not None and layout.sizes.get("member", 1) == 1,
        "write": True,
    }
    return [kind for kind in KINDS_OF_WORK if there[kind]]


def _told(kind: str, layout: Layout, given: Any) -> dict[str, Any]:
    """What a kind of work must be told."""
    if kind == "levels":
        own = layout.sizes[layout.vertical] if layout.vertical is not None else 1
        return {"number": own if given is None else given if isinstance(given, int) else len(given)}
    if kind == "climatology" and given is not None:
        if not isinstance(given, Mapping) or set(given) - {"heatwaves"}:
            raise PlanError(
                f"work={{'climatology': {given!r}}}; give None or {{'heatwaves': False}}, where no events are wanted"
            )
        return dict(given)
    if kind != "regrid":
        return {}
    if given is None:
        return {"target": {d: layout.sizes[d] for d in layout.grid}, "assumed": True}
    from oceankit.regridding.regridder import as_target

    target = as_target(given)
    return {"target": dict(zip(target.dims, target.shape, strict=True))}


def _described(variables: Sequence[xr.DataArray]) -> str:
    return "; ".join(f"{v.name!r} has the dimensions {v.dims}" for v in variables) or "there is no variable"


def _of_run(run: "RunFile | str | os.PathLike[str]") -> list[tuple[str, Layout, list[Stage]]]:
    """The steps of a run file."""
    # The one arrow that goes up: what a run file means is known there.
    from oceankit.cli import planning

    try:
        planned = planning.work_of(run)
    except planning.UnplannableError as error:
        raise PlanError(str(error)) from error
    return [(name, layout_of(field, files=files), stages) for name, field, files, stages in planned]


# ---- arguments ------------------------------------------------------------------------------------------------------


def _bytes(memory: Any) -> int:
    # Dask takes a text without a number for one of the unit.
    told = not isinstance(memory, bool) and any(c.isdigit() for c in str(memory))
    try:
        size = int(parse_bytes(memory)) if told else 0
    except (ValueError, TypeError, AttributeError, OverflowError):
        size = 0
    if size < 1:
        raise PlanError(f"memory={memory!r}; give the memory of one worker, such as '4GiB' or a number of bytes")
    return size


def _whole(name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise PlanError(f"{name}={value!r}; give a whole number of at least 1")
    return value
