"""The ledger of a cycling run: what it is, and how far it has come; whole on the disk at any moment."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from oceankit.fields.hashing import content_sha256

__all__ = ["LEDGER", "LedgerError", "exclusive", "fingerprint", "opened", "save"]

LEDGER = "ledger.json"
_FORMAT = 1


class LedgerError(ValueError):
    """A directory holds another run, or one that cannot go on; the message says what differs."""


def fingerprint(ds: xr.Dataset, *, values: bool = True) -> str:
    """sha256 of names, dimensions and types, of the coordinates, and of the values too."""
    running = hashlib.sha256()
    for name in sorted(ds.variables, key=str):
        variable = ds.variables[name]
        running.update(f"{name} {variable.dims} {variable.shape} {variable.dtype}\n".encode())
        if values or name in ds.coords:
            data = variable.values
            # Dates and durations as the numbers they are.
            plain = data.astype(f"{data.dtype.kind}8[ns]").astype(np.int64) if data.dtype.kind in "mM" else data
            running.update(content_sha256(plain).encode())
    return running.hexdigest()


def opened(directory: Path, identity: dict[str, Any], *, resume: bool) -> dict[str, Any]:
    """The ledger of this run in ``directory``: as it was left, or a new one.

    Raises
    ------
    LedgerError
        If there is one of another run, or there is one and ``resume`` is False.
    """
    place = directory / LEDGER
    if not place.exists():
        return {"format": _FORMAT, "identity": identity, "cycles": []}
    try:
        found: dict[str, Any] = json.loads(place.read_text(encoding="utf-8"))
        before, _ = found["identity"], found["cycles"]
        if found["format"] != _FORMAT:
            raise KeyError("format")
    except (ValueError, KeyError, TypeError) as error:
        raise LedgerError(
            f"{str(place)!r} is no ledger of this version ({error}); choose another directory, or remove it"
        ) from error
    if not resume:
        raise LedgerError(
            f"{str(directory)!r} holds a run already, of {len(found['cycles'])} cycles; go on with it (resume=True), choose "
            "another directory, or remove this one"
        )
    differs = [
        f"{key} was {_short(before.get(key))} and is {_short(identity.get(key))}"
        for key in sorted(before.keys() | identity.keys())
        if before.get(key) != identity.get(key)
    ]
    if differs:
        raise LedgerError(
            f"{str(directory)!r} holds another run: {'; '.join(differs)}. Choose another directory, or give what was given then"
        )
    return found


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 160 else f"{text[:100]} ... {text[-40:]}"


def save(directory: Path, ledger: dict[str, Any]) -> None:
    """Write it beside, bring it to the disk, put it in place: there is always a whole one."""
    place, part = directory / LEDGER, directory / f".{LEDGER}.part"
    with open(part, "w", encoding="utf-8") as file:
        json.dump(ledger, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, place)
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def exclusive(directory: Path) -> Iterator[None]:
    """Keep other processes out of ``directory``; the system lets go of the lock when this one ends, however it does."""
    with open(directory / ".lock", "w", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LedgerError(
                f"another process is at work in {str(directory)!r}; wait for it, or choose another directory"
            ) from None
        except OSError:
            pass  # a file system without locks: the caller keeps order
        yield
