"""Products and inputs as bytes: what lies in them, undecoded, and its hashes."""

import functools
import hashlib
import itertools
import json
import math
import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import netCDF4
import numpy as np
import zarr

from oceankit.fields.files import StoreError, existing, is_zarr

__all__ = ["Stored", "StoredArray", "content_sha256", "digest", "digests", "path_sha256", "size_of", "stored"]

_SLAB_BYTES = 2**26
_MOST_READS = 8


class StoredArray(NamedTuple):
    """An array as it lies in a product: sliceable, never decoded."""

    data: Any
    attrs: dict[str, Any]
    chunks: tuple[int, ...] | None


class Stored(NamedTuple):
    """The root group of a product."""

    attrs: dict[str, Any]
    arrays: dict[str, StoredArray]


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
        raise StoreError(
            f"{os.fspath(path)!r} could not be read as NetCDF ({error}): it is damaged, or no product of oceankit.write"
        ) from error
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


def content_sha256(data: Any, chunks: tuple[int, ...] | None = None) -> str:
    """The sha256 of an array's content, whatever the chunks it is stored in.

    The hash runs over one line of text, ``"<dtype> <shape>\\n"``, and then the values as stored, in C order and
    little-endian; strings as UTF-8, each ended by a zero byte. Read slab by slab in bounded memory. Where each chunk would be
    read many times on the way, as those that hold all members of a part of the grid, the line is
    ``"<dtype> <shape> in chunks <chunks>\n"`` and the values come chunk by chunk.

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
    slabs, layout = _slabs(shape, dtype.itemsize, chunks), ""
    if chunks and math.prod(shape) and _reads(shape, dtype.itemsize, chunks) > _MOST_READS:
        slabs, layout = _in_chunks(shape, chunks), f" in chunks {tuple(int(c) for c in chunks)}"
    running = hashlib.sha256(f"{label} {shape}{layout}\n".encode())
    for slab in slabs:
        values = np.asarray(data[slab])
        if kind is not None:
            running.update(np.ascontiguousarray(values, dtype=kind).reshape(-1).view(np.uint8).data)
        else:
            running.update(b"".join(_utf8(v) + b"\0" for v in values.ravel()))
    return running.hexdigest()


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


def _in_chunks(shape: tuple[int, ...], chunks: tuple[int, ...]) -> Iterator[tuple[slice | int, ...]]:
    """One slice for each chunk, in C order."""
    starts = [range(0, n, c) for n, c in zip(shape, chunks, strict=True)]
    for at in itertools.product(*starts):
        yield tuple(slice(a, a + c) for a, c in zip(at, chunks, strict=True))


def _reads(shape: tuple[int, ...], itemsize: int, chunks: tuple[int, ...]) -> float:
    """How often a chunk is read when all is read in C order."""
    total = 0
    for slab in _slabs(shape, itemsize, chunks):
        many = 1
        for k, (n, c) in enumerate(zip(shape, chunks, strict=True)):
            part = slab[k] if k < len(slab) and slab[k] is not Ellipsis else slice(None)
            if isinstance(part, slice):
                start, stop, _ = part.indices(n)
                many *= (stop - 1) // c - start // c + 1
        total += many
    return total / math.prod(-(-n // c) for n, c in zip(shape, chunks, strict=True))


def _files(place: Path) -> list[Path]:
    return sorted(f for f in place.rglob("*") if f.is_file()) if place.is_dir() else [place]


def size_of(place: Path) -> int:
    """Bytes of a file, or of all files in a directory."""
    return sum(f.stat().st_size for f in _files(place))


def path_sha256(place: Path, *, fresh: bool = False) -> str:
    """The sha256 of a file, or of a directory: of the lines ``sha256  path/inside``, sorted by path.

    A file whose size, time and inode are as before is not read again, unless ``fresh``: one run writes several products
    from the same inputs.
    """
    if place.is_dir():
        lines = [f"{path_sha256(f, fresh=fresh)}  {f.relative_to(place).as_posix()}\n" for f in _files(place)]
        return hashlib.sha256("".join(lines).encode()).hexdigest()
    status = place.stat()
    read = _hash_file.__wrapped__ if fresh else _hash_file
    return read(os.path.realpath(place), status.st_size, status.st_mtime_ns, status.st_ino)


@functools.lru_cache(maxsize=2**17)  # files of a store are many, and always asked for in the same order
def _hash_file(path: str, *_state: int) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest(value: Any) -> str:
    """The sha256 of an attribute, or of all attributes of a variable."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=_plain).encode()).hexdigest()


def digests(attrs: Mapping[str, Any]) -> dict[str, str]:
    """A short hash of each attribute but the provenance itself."""
    # Sixteen digits find any change and leave the record readable.
    return {key: digest(value)[:16] for key, value in attrs.items() if key != "provenance"}


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        return [value.dtype.str, value.tolist()]
    return repr(value)
