"""Products as files: the format that a path names, and taking an earlier product's place all at once."""

import itertools
import os
import shutil
import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

__all__ = [
    "StoreError", "existing", "format_of", "growing", "is_zarr", "local", "replacing", "reporting", "require_place", "sync",
    "taking", "write_whole",
]  # fmt: skip

_FORMATS: dict[str, Literal["netcdf", "zarr"]] = {".nc": "netcdf", ".zarr": "zarr"}
_ZARR_MARKS = ("zarr.json", ".zgroup", ".zarray", ".zmetadata")
_ABANDONED_AFTER = 86400.0  # seconds; a temporary of another machine may still be growing before that
_parts = itertools.count()
_growing: set[Path] = set()


class StoreError(ValueError):
    """A file cannot be opened, combined, written or checked; the message names it and the remedy."""


def format_of(path: str | os.PathLike[str]) -> Literal["netcdf", "zarr"]:
    """The format that the suffix of ``path`` asks for.

    Examples
    --------
    >>> format_of("sst.nc"), format_of("runs/sst.zarr")
    ('netcdf', 'zarr')
    """
    suffix = Path(path).suffix.lower()
    if suffix not in _FORMATS:
        raise StoreError(
            f"the path {os.fspath(path)!r} ends in {suffix!r}, which names no format that is written here; "
            "use .nc for NetCDF or .zarr for Zarr"
        )
    return _FORMATS[suffix]


def local(path: str | os.PathLike[str]) -> Path | None:
    """Where ``path`` lies on this machine's file systems; None for an address such as ``s3://``."""
    name = os.fspath(path)
    return None if "://" in name else Path(name).expanduser()


def is_zarr(path: Path) -> bool:
    """Whether ``path`` is the directory of a Zarr group or array."""
    return path.is_dir() and any((path / mark).exists() for mark in _ZARR_MARKS)


def existing(path: Path) -> Path:
    """``path``, or the copy set aside where a writer was killed in the instant of a directory's replacement."""
    aside = _aside(path)
    return aside if not path.exists() and aside.exists() else path


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A temporary sibling of ``path`` to write to; it takes the place of ``path`` when the block ends well.

    A file is replaced in one step (``os.replace``). A directory cannot be on POSIX: the old one is renamed aside, the
    new one renamed in, the old one deleted. A process killed between the two renames leaves the old product aside,
    where `existing` finds it; the next write puts it back. Temporaries are named ``.NAME.HOST-PID-N.part``; those of
    dead processes are removed by the next write of the same product. A file is on the disk before it is renamed; the
    many files of a directory are left to the system (but for those of tiles), so after a power cut (not a kill) let
    `check_integrity` look.

    Raises
    ------
    StoreError
        If the folder is missing, or something that is no product of this format is in the place.
    """
    target = _target(path)
    with growing(target) as part:
        yield part
        _put(part, target)


@contextmanager
def growing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A temporary sibling of ``path``, removed at the end, and by a later write where this process is killed."""
    target = Path(os.path.realpath(Path(path).expanduser()))
    part = target.with_name(f".{target.name}.{socket.gethostname()}-{os.getpid()}-{next(_parts)}.part")
    _growing.add(part)
    try:
        yield part
    finally:
        _growing.discard(part)
        _remove(part)


@contextmanager
def reporting(path: str | os.PathLike[str]) -> Iterator[None]:
    """Say which product it was that the disk refused.

    Raises
    ------
    StoreError
        Instead of the error of the disk, or of the NetCDF library.
    """
    try:
        yield
    except (OSError, RuntimeError) as error:
        # The NetCDF library reports a full disk as a RuntimeError; others are the computation's own.
        if isinstance(error, RuntimeError) and not any(word in str(error) for word in ("NetCDF", "HDF")):
            raise
        raise StoreError(
            f"{os.fspath(path)!r} could not be written ({error}); an earlier product is untouched: "
            "look at the space and the rights there, or choose another place"
        ) from error


def require_place(path: str | os.PathLike[str]) -> None:
    """Refuse a path that no product can take.

    Raises
    ------
    StoreError
        If its folder is missing, or something that is no product of this format is there.
    """
    _check_place(Path(os.path.realpath(Path(path).expanduser())), os.fspath(path))


def sync(path: Path) -> None:
    """Have a file, or the names in a folder, on the disk and not only in memory: a node may die, not only a process."""
    if path.is_dir() and os.name != "posix":
        return
    handle = os.open(path, os.O_RDONLY if os.name == "posix" else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_whole(path: Path, content: bytes) -> None:
    """Write a small file whole or not at all: a reader never meets half of it. Its folder must exist."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        # mkstemp makes files private; this one gets the mode that any new file has.
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(name, 0o666 & ~mask)
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise


@contextmanager
def taking(part: Path, path: str | os.PathLike[str]) -> Iterator[None]:
    """Put a sibling that is complete in the place of ``path`` when the block ends well, as `replacing` does."""
    target = _target(path)
    yield
    _put(part, target)


def _target(path: str | os.PathLike[str]) -> Path:
    target = Path(os.path.realpath(Path(path).expanduser()))  # a link stays a link: what it points to is replaced
    _check_place(target, os.fspath(path))
    _recover(target)
    return target


def _check_place(target: Path, given: str) -> None:
    if not target.parent.is_dir():
        what = "is a file" if target.parent.exists() else "does not exist"
        raise StoreError(f"cannot write {given!r}: its folder {str(target.parent)!r} {what}; create the folder first")
    if not target.exists():
        return
    if format_of(given) == "netcdf" and target.is_dir():
        raise StoreError(f"cannot write {given!r}: it is a folder; remove it or choose another name")
    if format_of(given) == "zarr" and not is_zarr(target) and not (target.is_dir() and not any(target.iterdir())):
        raise StoreError(f"cannot write {given!r}: what is there is no Zarr store; remove it or choose another name")


def _aside(target: Path) -> Path:
    return target.with_name(f".{target.name}.aside")


def _recover(target: Path) -> None:
    """Clear up after writers that were killed."""
    aside = _aside(target)
    if aside.exists():
        if target.exists():
            _remove(aside)
        else:
            os.rename(aside, target)
    beginning = f".{target.name}."
    for stray in target.parent.iterdir():
        if stray.name.startswith(beginning) and stray.name.endswith(".part") and _is_abandoned(stray):
            _remove(stray)


def _is_abandoned(part: Path) -> bool:
    host, _, _ = part.name.removesuffix(".part").rpartition("-")
    host, _, pid = host.rpartition("-")
    if host.endswith(f".{socket.gethostname()}") and pid.isdigit() and os.name == "posix":
        if int(pid) == os.getpid():
            return part not in _growing
        try:
            os.kill(int(pid), 0)
        except ProcessLookupError:
            return True
        except PermissionError:
            return False
        return False
    try:
        return time.time() - part.stat().st_mtime > _ABANDONED_AFTER
    except FileNotFoundError:
        return False


def _put(part: Path, target: Path) -> None:
    if part.is_dir():
        aside = _aside(target)
        if target.exists():
            os.rename(target, aside)
        try:
            os.rename(part, target)
        except OSError:
            if aside.exists():
                os.rename(aside, target)
            raise
        _remove(aside)
    else:
        sync(part)
        os.replace(part, target)
    sync(target.parent)


def _remove(path: Path) -> None:
    if not path.is_dir():
        path.unlink(missing_ok=True)
        return
    for _ in range(10):
        shutil.rmtree(path, ignore_errors=True)
        if not path.exists():
            return
        time.sleep(0.1)  # where another fails, a worker may still be writing its chunk
