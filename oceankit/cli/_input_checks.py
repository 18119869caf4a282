"""What can be wrong with an `input`, or what is given like one, before anything is computed."""

import os
from functools import partial
from typing import Any

from oceankit.cli._checking import Step
from oceankit.cli._nodes import Place
from oceankit.cli.inputs import Input, narrowed, opened
from oceankit.cli.members import FILES
from oceankit.cli.places import PlaceError, found

__all__ = ["check_input", "missing"]


def check_input(step: Step, keys: Place, spec: Any, *, static: bool = False) -> Input | None:
    """The input, if all of it is in order; each part is looked at, whatever is wrong with the others."""
    if spec is None:
        return None
    clean = {
        k: step.reading.clean((*step.place, *keys, k))
        for k in ("paths", "variable", "select", "engine", "attrs", "members")
    }
    gone = [missing(step, (*keys, "paths", n), path) for n, path in enumerate(spec["paths"] or ())]
    if any(gone) or spec["paths"] is None or spec["variable"] is None:
        return None
    # Parts are chosen before members are named.
    apart = spec["members"] == FILES
    plain = spec | {"select": None, "members": FILES if apart else None}
    data: Input | None = step.attempt(keys, lambda: opened(plain, step.run.folder, static=static and apart))
    if data is None:
        return None
    for source in data.sources:
        if os.path.realpath(source) in step.claimed:
            place = step.claimed[os.path.realpath(source)]
            step.reading.wrong(place, f"would take the place of the input {source!r}; choose another name or folder")
    select = {k: v for k, v in (spec["select"] or {}).items() if k != "member"}
    parts = [
        None if wanted is None else step.attempt(keys, partial(narrowed, data, name, wanted))
        for name, wanted in select.items()
    ]
    if any(p is None for p in parts) or not all(clean.values()):
        return None
    whole: Input | None = step.attempt(keys, lambda: opened(spec, step.run.folder, static=static))
    return whole


def missing(step: Step, keys: Place, path: str) -> bool:
    """Whether a path leads nowhere, which is then said."""
    try:
        found(path, step.run.folder)
    except PlaceError as error:
        step.wrong(keys, str(error))
        return True
    return False
