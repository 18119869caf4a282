"""Where the files of a run are: beside the run file, inside installed packages, at addresses; and writing them whole."""

import glob
import importlib.util
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["PlaceError", "found", "replaced", "size_text"]

# Data packages that an extra of oceankit brings.
_EXTRAS = {"iris_sample_data": "pip install 'oceankit[demo]'"}


class PlaceError(ValueError):
    """A path of a run file leads nowhere; the message says what to do."""


def found(path: str, folder: Path) -> list[str]:
    """The files that ``path`` names: relative to ``folder``, in a package, by pattern, or an address as it is.

    Raises
    ------
    PlaceError
        If the package is not installed, there is no such file, or nothing matches the pattern.
    """
    if "://" in path:
        return [path]
    place = _in_package(path) if path.startswith("package:") else Path(os.path.expanduser(path))
    place = folder / place
    if place.exists():
        return [str(place)]
    if glob.has_magic(path):
        names = sorted(glob.glob(str(place), recursive=True))
        if not names:
            raise PlaceError(f"no file matches {path!r} (looked in {str(_deepest(place))!r}); correct the pattern")
        return names
    raise PlaceError(f"there is no file {path!r} (looked for {str(place)!r}); correct the path")


def _in_package(path: str) -> Path:
    name, _, rest = path.removeprefix("package:").partition("/")
    if not name.replace("_", "a").isidentifier() or not rest:
        raise PlaceError(f"{path!r} is no path in a package; write package:NAME/path/in/it")
    spec = importlib.util.find_spec(name)
    if spec is None:
        remedy = _EXTRAS.get(name, f"pip install {name.replace('_', '-')}")
        raise PlaceError(f"the Python package {name!r} is not installed; install it with: {remedy}")
    if not spec.submodule_search_locations:
        raise PlaceError(f"{name!r} is one Python module without files of its own; name a package")
    return Path(next(iter(spec.submodule_search_locations))) / rest


def _deepest(place: Path) -> Path:
    """The folder down to which a pattern exists."""
    return next((parent for parent in place.parents if parent.is_dir()), place)


@contextmanager
def replaced(path: Path) -> Iterator[Path]:
    """A temporary sibling of ``path`` to write to, which takes its place when the block ends well."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=path.suffix)
    os.close(handle)
    try:
        yield Path(name)
        # mkstemp makes files private; an output gets the mode that any new file has.
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(name, 0o666 & ~mask)
        os.replace(name, path)
    finally:
        Path(name).unlink(missing_ok=True)


def size_text(path: Path) -> str:
    """Size of a file or directory for people.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.NamedTemporaryFile() as file:
    ...     size_text(Path(file.name))
    '0 B'
    """
    size = float(
        sum(p.stat().st_size for p in path.rglob("*") if p.is_file()) if path.is_dir() else path.stat().st_size
    )
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" or size >= 100 else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"
