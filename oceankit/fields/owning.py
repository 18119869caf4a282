"""One writer at a time: who fills an unfinished product, told by a file that its writer keeps fresh."""

import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from oceankit.fields.files import StoreError, reporting

__all__ = ["owned"]

_NAME = "writer.json"
_BEAT = 10.0  # seconds between two signs of life
_PATIENCE = 60.0  # seconds without one, after which a writer is taken for dead
_LOOK = 0.5
_mine: set[Path] = set()


@contextmanager
def owned(place: Path, path: str) -> Iterator[Callable[[], None]]:
    """Keep others from filling the product in the folder ``place`` while the block runs.

    A process of this machine that is gone holds nobody up. Of any other writer (of a job that was requeued from another
    machine, or a process whose number was given anew) a sign of life is waited for. Clocks are not compared, nor are
    locks of the file system used, which not every parallel one has.

    Yields
    ------
    callable
        Raises where another writer has taken over meanwhile, as it may when this one was suspended for long.

    Raises
    ------
    StoreError
        If another process is writing the product, or the folder cannot be written.
    """
    file = place / _NAME
    me = {"host": socket.gethostname(), "pid": os.getpid(), "begun": time.time(), "token": uuid.uuid4().hex}
    if file in _mine:
        raise _refusal(path, me, file)
    with reporting(path):
        place.mkdir(exist_ok=True)
        while not _signed(file, me):
            _oust(file, path)
    _mine.add(file)
    over = threading.Event()

    def beat() -> None:
        while not over.wait(_BEAT):
            # A moment's trouble of the disk is no reason to be silent from then on.
            with suppress(OSError):
                if _owner(file) == me:
                    os.utime(file)

    def still() -> None:
        owner = _owner(file)
        if owner != me:
            raise _refusal(path, owner or {}, file)

    thread = threading.Thread(target=beat, name="oceankit-owned", daemon=True)
    thread.start()
    try:
        yield still
    finally:
        over.set()
        thread.join()
        _mine.discard(file)
        with suppress(OSError):
            if _owner(file) == me:
                file.unlink()
            place.rmdir()  # where nothing was begun


def _signed(file: Path, me: dict[str, Any]) -> bool:
    """Whether nobody had signed, and now this process has."""
    try:
        handle = os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
    except FileExistsError:
        return False
    try:
        with os.fdopen(handle, "w") as sign:
            sign.write(json.dumps(me))
    except OSError:
        file.unlink()
        raise
    return True


def _oust(file: Path, path: str) -> None:
    """Remove the sign of a writer that is dead, and refuse to where it lives."""
    owner, before = _owner(file), _sign(file)
    here = owner is not None and owner.get("host") == socket.gethostname()
    if not (here and owner and _gone(owner["pid"])):
        end = time.monotonic() + _PATIENCE
        while time.monotonic() < end:
            time.sleep(_LOOK)
            now = _sign(file)
            if now is None:
                return
            if now != before:
                raise _refusal(path, _owner(file) or {}, file)
    # Of two that oust the same writer one renames first; what the other renames is the sign of the first, and goes back.
    aside = file.with_name(f"{file.name}.{uuid.uuid4().hex}")
    try:
        os.rename(file, aside)
    except FileNotFoundError:
        return
    if _owner(aside) == owner:
        aside.unlink()
    else:
        os.replace(aside, file)


def _refusal(path: str, owner: dict[str, Any], file: Path) -> StoreError:
    return StoreError(
        f"{path!r} is being written by process {owner.get('pid', '?')} on {owner.get('host', '?')}; wait for it, or end it "
        f"first (if you know that it is dead, delete {str(file)!r})"
    )


def _owner(file: Path) -> dict[str, Any] | None:
    """Who signed; None where nobody has, or not to the end."""
    try:
        return dict(json.loads(file.read_text()))
    except (FileNotFoundError, ValueError):
        return None


def _sign(file: Path) -> int | None:
    """When its writer last gave a sign of life, by the clock of the disk."""
    try:
        # Opened, because a network file system may remember what it said of a closed file.
        with open(file) as sign:
            return os.fstat(sign.fileno()).st_mtime_ns
    except FileNotFoundError:
        return None


def _gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False
