"""What a product was made from and how: recorded in its ``provenance`` attribute, and checked again when asked."""

import functools
import hashlib
import importlib.metadata
import json
import os
import platform
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import netCDF4
import numpy as np
import zarr

from oceankit._version import __version__
from oceankit.fields.files import StoreError, existing, is_zarr, local

__all__ = [
    "Integrity", "Stored", "StoredArray", "check_integrity", "content_of", "content_sha256", "digests", "input_records",
    "record", "stored", "unsealed",
]  # fmt: skip

_SLAB_BYTES = 2**26
_PACKAGES = ("numpy", "xarray", "dask", "numba", "netCDF4", "zarr")


class StoredArray(NamedTuple):
    """An array as it lies in a product: sliceable, never decoded."""

    data: Any
    attrs: dict[str, Any]
    chunks: tuple[int, ...] | None


class Stored(NamedTuple):
    """The root group of a product."""

    attrs: dict[str, Any]
    arrays: dict[str, StoredArray]


@dataclass
class Integrity:
    """What `check_integrity` found: sentences under ``changed``, ``missing`` and ``unverifiable``."""

    path: str
    changed: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    unverifiable: list[str] = field(default_factory=list)
    verified: int = 0

    @property
    def ok(self) -> bool:
        """Whether nothing has changed or is missing (what could not be verified does not count against it)."""
        return not self.changed and not self.missing

    def __str__(self) -> str:
        verdict = "as recorded" if self.ok else "NOT as recorded"
        lines = [f"{self.path}: {verdict}, {self.verified} hashes verified"]
        for title in ("changed", "missing", "unverifiable"):
            lines += [f"  {title}: {sentence}" for sentence in getattr(self, title)]
        return "\n".join(lines)


def check_integrity(path: str | os.PathLike[str]) -> Integrity:
    """Compare a product and its inputs with the hashes recorded when it was written.

    Parameters
    ----------
    path
        A NetCDF file or Zarr directory written by `oceankit.write`.

    Returns
    -------
    Integrity
        ``.ok`` and, in words, what changed, what is missing and what could not be verified: inputs that are not
        reachable from the current folder under the recorded name, and variables of a store that is not sealed.

    Raises
    ------
    StoreError
        If there is no such product or it carries no provenance.
    """
    report = Integrity(os.fspath(path))
    with stored(path) as product:
        provenance = _parsed(product.attrs.get("provenance"), report.path)
        _check_attributes(product, provenance, report)
        _check_variables(product, provenance, report)
    for entry in provenance["inputs"]:
        _check_input(entry, report)
    return report


def _parsed(text: Any, path: str) -> dict[str, Any]:
    if text is None:
        raise StoreError(f"{path!r} carries no provenance, so there is nothing to check; it was not written by oceankit.write")
    try:
        found = json.loads(text)
        if not isinstance(found["inputs"], list) or not isinstance(found["attributes"], dict):
            raise TypeError
        return found  # type: ignore[no-any-return]
    except (ValueError, TypeError, KeyError) as error:
        raise StoreError(f"the provenance of {path!r} is not what oceankit.write records; it was altered") from error


def _check_attributes(product: Stored, provenance: Mapping[str, Any], report: Integrity) -> None:
    now, then = digests(product.attrs), provenance["attributes"]
    for key in sorted(then.keys() | now.keys()):
        if key not in now:
            report.missing.append(f"the global attribute {key!r}")
        elif key not in then:
            report.changed.append(f"the global attribute {key!r} was added")
        elif now[key] != then[key]:
            report.changed.append(f"the global attribute {key!r} differs from what was written")
        else:
            report.verified += 1


def _check_variables(product: Stored, provenance: Mapping[str, Any], report: Integrity) -> None:
    recorded = provenance.get("variables")
    if recorded is None:
        report.unverifiable.append("the variables: written by region and not sealed since; call oceankit.fields.seal")
        return
    for name in sorted(recorded.keys() | product.arrays.keys()):
        if name not in product.arrays:
            report.missing.append(f"variable {name!r} of the product")
        elif name not in recorded:
            report.changed.append(f"variable {name!r} was added to the product")
        else:
            array = product.arrays[name]
            report.verified += 2
            if content_sha256(array.data, array.chunks) != recorded[name]["sha256"]:
                report.changed.append(f"variable {name!r} of the product differs from what was written")
                report.verified -= 1
            if _digest(array.attrs) != recorded[name]["attributes"]:
                report.changed.append(f"the attributes of variable {name!r} differ from what was written")
                report.verified -= 1


def _check_input(entry: Mapping[str, Any], report: Integrity) -> None:
    name = entry["path"]
    place = local(name)
    if entry["sha256"] is None or place is None:
        report.unverifiable.append(f"input {name!r}: no hash was recorded ({entry.get('note', 'not a local file')})")
    elif not place.exists():
        report.unverifiable.append(f"input {name!r}: not reachable from the folder {os.getcwd()!r}")
    elif _same_place(place, Path(report.path)):
        report.unverifiable.append(f"input {name!r}: this product has taken its place")
    elif _sha256_of(name) != entry["sha256"]:
        report.changed.append(f"input {name!r}: sha256 differs from the file that was read")
    else:
        report.verified += 1


def _same_place(one: Path, other: Path) -> bool:
    return os.path.realpath(one) == os.path.realpath(other.expanduser())


def record(
    product: Stored, *, inputs: Sequence[Mapping[str, Any]], options: Mapping[str, Any], now: datetime, content: bool = True
) -> str:
    """The JSON text of a product's provenance; ``content=False`` where variables are still to be written by region."""
    described = {
        "inputs": list(inputs),
        "options": dict(options),
        "versions": _versions(),
        "created": now.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "attributes": digests(product.attrs),
        "variables": content_of(product) if content else None,
    }
    return json.dumps(described, indent=1)


def content_of(product: Stored) -> dict[str, dict[str, str]]:
    """The hashes of each variable: of its content and of its attributes."""
    return {
        name: {"sha256": content_sha256(a.data, a.chunks), "attributes": _digest(a.attrs)} for name, a in product.arrays.items()
    }


def input_records(inputs: Sequence[str], *, given: bool) -> list[dict[str, Any]]:
    """Path as given, size and sha256 of each input.

    An input that is not there is an error where the caller named it (``given``), a note where a field remembered it.
    """
    found = []
    for name in inputs:
        place = local(name)
        entry: dict[str, Any] = {"path": name, "size": None, "sha256": None}
        if place is None:
            entry["note"] = "an address, not hashed"
        elif not place.exists():
            if given:
                raise StoreError(f"the input {name!r} does not exist (seen from {os.getcwd()!r}); correct inputs=")
            entry["note"] = "gone when the product was written"
        else:
            entry |= {"size": sum(f.stat().st_size for f in _files(place)), "sha256": _sha256_of(name)}
        found.append(entry)
    return found


def unsealed(place: Path) -> None:
    """Forget the hashes of a Zarr store's content before a part of it is written anew."""
    attrs = zarr.open_group(place, mode="r+").attrs
    text = attrs.get("provenance")
    if text is not None and (found := json.loads(str(text))).get("variables") is not None:
        attrs["provenance"] = json.dumps(found | {"variables": None}, indent=1)


def _versions() -> dict[str, str]:
    return {
        "oceankit": __version__,
        "python": platform.python_version(),
        **{p: importlib.metadata.version(p) for p in _PACKAGES},
    }


def _files(place: Path) -> list[Path]:
    return sorted(f for f in place.rglob("*") if f.is_file()) if place.is_dir() else [place]


def _sha256_of(name: str) -> str:
    """The sha256 of a file, or of a directory: of the lines ``sha256  path/inside``, sorted by path."""
    place = Path(name).expanduser()
    if place.is_dir():
        lines = [f"{_file_sha256(f)}  {f.relative_to(place).as_posix()}\n" for f in _files(place)]
        return hashlib.sha256("".join(lines).encode()).hexdigest()
    return _file_sha256(place)


def _file_sha256(path: Path) -> str:
    status = path.stat()
    return _hash_file(os.path.realpath(path), status.st_size, status.st_mtime_ns, status.st_ino)


@functools.lru_cache(maxsize=4096)
def _hash_file(path: str, *_state: int) -> str:
    # Remembered while size, time and inode stay: one run writes several products from the same inputs.
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def content_sha256(data: Any, chunks: tuple[int, ...] | None = None) -> str:
    """The sha256 of an array's content, whatever the chunks it is stored in.

    The hash runs over one line of text, ``"<dtype> <shape>\\n"``, and then the values as stored, in C order and little-endian;
    strings as UTF-8, each ended by a zero byte. Read slab by slab in bounded memory.

    Examples
    --------
    >>> import hashlib, numpy as np
    >>> values = np.arange(6, dtype="<f4").reshape(2, 3)
    >>> content_sha256(values) == hashlib.sha256(b"<f4 (2, 3)\\n" + values.tobytes()).hexdigest()
    True
    """
    shape = tuple(int(n) for n in data.shape)
    dtype = np.dtype(data.dtype) if not isinstance(data.dtype, type) else np.dtype(object)
    plain = dtype.kind in "fiubc"
    kind = dtype.newbyteorder("<") if plain else None
    # A truth value is stored as one byte, which NetCDF calls an integer.
    label = "|i1" if dtype.kind == "b" else kind.str if kind is not None else "string"
    digest = hashlib.sha256(f"{label} {shape}\n".encode())
    for slab in _slabs(shape, dtype.itemsize, chunks):
        values = np.asarray(data[slab])
        if kind is not None:
            digest.update(np.ascontiguousarray(values, dtype=kind).tobytes())
        else:
            digest.update(b"".join(_utf8(v) + b"\0" for v in values.ravel()))
    return digest.hexdigest()


def _utf8(value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()


def _slabs(shape: tuple[int, ...], itemsize: int, chunks: tuple[int, ...] | None) -> Iterator[tuple[slice | int, ...]]:
    """Slices that cover an array in C order, each of bounded size and, where that allows, of whole chunks."""
    if 0 in shape:
        return
    row = itemsize * int(np.prod(shape[1:], dtype=np.int64))
    if not shape or row * shape[0] <= _SLAB_BYTES:
        yield (...,)  # type: ignore[misc]
    elif row > _SLAB_BYTES:
        for i in range(shape[0]):
            for rest in _slabs(shape[1:], itemsize, chunks[1:] if chunks else None):
                yield (i, *rest)
    else:
        rows = _SLAB_BYTES // row
        if chunks and chunks[0] > 1:
            # Whole chunks are read once each; a chunk up to four slabs thick is worth the memory.
            rows = max(rows // chunks[0] * chunks[0], min(chunks[0], 4 * rows))
        for start in range(0, shape[0], rows):
            yield (slice(start, start + rows), ...)  # type: ignore[misc]


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=_plain).encode()).hexdigest()


def digests(attrs: Mapping[str, Any]) -> dict[str, str]:
    """A short hash of each attribute but the provenance itself."""
    # Sixteen digits find any change and leave the record readable.
    return {key: _digest(value)[:16] for key, value in attrs.items() if key != "provenance"}


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        return [value.dtype.str, value.tolist()]
    return repr(value)


@contextmanager
def stored(path: str | os.PathLike[str]) -> Iterator[Stored]:
    """The root group of a NetCDF file or Zarr directory, undecoded."""
    place = existing(Path(path).expanduser())
    if is_zarr(place):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", category=UserWarning)  # about data types not yet in the specification
            group = zarr.open_group(place, mode="r")
            arrays = {k: StoredArray(a, dict(a.attrs), a.chunks) for k, a in sorted(group.arrays())}
            yield Stored(dict(group.attrs), arrays)
        return
    if not place.is_file():
        raise StoreError(f"there is no product {os.fspath(path)!r}; correct the path")
    try:
        dataset = netCDF4.Dataset(place)
    except OSError as error:
        raise StoreError(f"{os.fspath(path)!r} is neither NetCDF nor Zarr ({error}); name a product of oceankit.write") from error
    with dataset:
        dataset.set_auto_mask(False)
        dataset.set_auto_scale(False)
        yield Stored(
            {k: dataset.getncattr(k) for k in dataset.ncattrs()},
            {
                name: StoredArray(v, {k: v.getncattr(k) for k in v.ncattrs()}, _netcdf_chunks(v))
                for name, v in sorted(dataset.variables.items())
            },
        )


def _netcdf_chunks(variable: Any) -> tuple[int, ...] | None:
    chunks = variable.chunking()
    return tuple(chunks) if isinstance(chunks, list) else None
