"""A plan in plain words, and what is said where nothing fits."""

from collections.abc import Hashable, Mapping, Sequence
from math import ceil, prod
from typing import TYPE_CHECKING

from oceankit.cluster._plan_choice import SHARE, Chosen, Workers, crosses, remedy, text
from oceankit.cluster._plan_costs import LIBRARIES, Cost, Stage
from oceankit.cluster._plan_fields import Layout, reads

if TYPE_CHECKING:
    from oceankit.cluster.planning import Plan

__all__ = ["WANTED", "brought", "explained", "reasons", "refusal"]

_MANY = 8.0

WANTED = {
    "regrid": "regridding needs longitudes and latitudes",
    "levels": "other levels need a vertical dimension",
    "assimilate": "an ensemble analysis needs a dimension 'member', longitudes and latitudes",
    "climatology": "a climatology needs a time coordinate along a dimension, of one field and not of members",
    "write": "writing needs a variable of numbers",
}


def explained(plan: "Plan") -> str:
    """The whole plan."""
    threads = f" with {plan.threads} threads each" if plan.threads > 1 else ""
    lines = [
        f"{plan.workers} worker{'s' * (plan.workers != 1)} of {text(plan.memory)}{threads}: at most "
        f"{text(plan.peak_memory)} in any of them, {text(plan.bytes_moved)} moved between processes."
    ]
    for step in plan.steps:
        chunks = _chunks(step.chunks)
        lines.append(f"\n{step.name}, {step.work}: {step.tasks} tasks on chunks {chunks}")
        lines += [f"  - {sentence}" for sentence in step.words]
    return "\n".join(lines)


def brought(layout: Layout, chunks: Mapping[Hashable, int], workers: Workers) -> int:
    """Bytes that are sent before work begins: of fields in memory, and where chunks of tasks are cut anew."""
    if layout.origin == "memory":
        return layout.bytes
    if layout.origin == "dask" and any(chunks.get(d, n) > layout.stored.get(d, n) for d, n in layout.sizes.items()):
        return int(layout.bytes * (1 - 1 / workers.number))
    return 0


def reasons(
    stage: Stage, field: Layout, chunks: Mapping[Hashable, int], cost: Cost, peak: int, workers: Workers, *, last: bool
) -> tuple[str, ...]:
    """What was chosen for one stage, and why."""
    hands = workers.number * workers.threads
    tasks, size = field.number(chunks), field.chunk_bytes(chunks)
    said = [f"{_size(field)}, {text(field.bytes)}, in chunks of {text(size)}{_why(stage, field, chunks)}"]
    if stage.options.get("assumed"):
        said.append("the target is taken to be as large as the source; name it with work={'regrid': target}")
    if tasks < 2 * hands:
        said.append(f"{tasks} tasks do not keep {hands} worker threads busy: fewer workers would do")
    said.append(
        f"a worker takes at most {text(peak)}, {100 * peak / workers.memory:.0f} % of its {text(workers.memory)}: "
        f"{text(LIBRARIES[stage.kind])} for libraries, {text(cost.held)} held, the rest for "
        f"{'one task' if workers.threads == 1 else f'{workers.threads} tasks at a time'}"
    )
    again = reads(field, chunks)
    if again > 1.0:
        said.append(
            f"stored chunks of {_chunks(field.stored)} are each read about {again:.0f} times"
            f"{', which is most of the work' if again > _MANY else ''}; more memory would spare some of it, a copy of the input "
            f"in chunks of about {_chunks(chunks)} all"
        )
    if crosses(field, chunks):
        said.append(
            f"the field comes from tasks in chunks of {_chunks(field.stored)}; cutting it anew moves all of it between workers "
            "and holds it there"
        )
    said += cost.words
    read = f"reads {text(cost.read)}" if cost.read else "reads nothing from disk"
    moved = f"moves {text(cost.moved)}" if cost.moved else "moves nothing between workers"
    said.append(f"{read}, {moved}, {'writes' if last else 'hands on'} {text(cost.written)}")
    return tuple(said)


def refusal(name: str, layout: Layout, stages: Sequence[Stage], workers: Workers, chosen: Chosen) -> str:
    """What does not fit, and what would."""
    stage, field, chunks, _, peak = max(chosen.costs, key=lambda c: c[-1])
    threads = "" if workers.threads == 1 else f" with {workers.threads} threads"
    step = f"{name}, {stage.kind} of {layout.name!r}" if name != layout.name else f"{stage.kind} of {name!r}"
    return (
        f"{step} does not fit: even in chunks {_chunks(chunks)} ({text(field.chunk_bytes(chunks))}) a worker{threads} takes up "
        f"to {text(peak)}, and of {text(workers.memory)} it may take {text(workers.room)} ({SHARE:.0%}, as Dask spills beyond). "
        f"What would do: {remedy(layout, stages, workers, chosen)}"
    )


def _why(stage: Stage, field: Layout, chunks: Mapping[Hashable, int]) -> str:
    whole = [d for d, n in field.sizes.items() if chunks.get(d, n) == n]
    match stage.kind:
        case "climatology":
            return f": {field.time!r} in one piece, for a climatology reads the whole record of a cell"
        case "assimilate":
            return ": all members, levels and times of a part of the grid together"
        case "levels":
            return f": {field.vertical!r} in one piece, for columns are worked on as a whole"
        case "regrid" if set(field.grid) <= set(whole):
            return ": the grid in one piece, so that each chunk is regridded by itself"
        case "regrid":
            pieces = prod(ceil(field.sizes[d] / chunks.get(d, field.sizes[d])) for d in field.grid)
            return f": the grid in {pieces} parts, for other dimensions must be whole or one map is too large"
    return ""


def _size(field: Layout) -> str:
    return f"{field.name} (" + " x ".join(f"{n} {d}" for d, n in field.sizes.items()) + ")"


def _chunks(chunks: Mapping[Hashable, int]) -> str:
    return ", ".join(f"{d}={n}" for d, n in chunks.items())
