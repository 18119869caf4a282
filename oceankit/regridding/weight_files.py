"""A regridder as a file of its own format: every array and option to the last bit, checked when it is read.

The file is NetCDF in the 64-bit data format (CDF-5), which opens ten times faster than NetCDF-4: plain arrays whose names
begin with ``operator_``, ``source_`` and ``target_``. The attribute ``about`` says in JSON what they are; ``checksum`` is the
SHA-256 of that text and of all arrays. Weights for other tools are written by :mod:`oceankit.regridding.exported_weights`.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, NamedTuple

import netCDF4
import numpy as np

from oceankit._version import __version__
from oceankit.fields.files import StoreError, local, replacing
from oceankit.fields.grid import Grid
from oceankit.fields.grid_files import from_json, grid_from_parts, grid_parts, to_json
from oceankit.regridding.operators import Operator, restored

__all__ = ["Saved", "load", "place_of", "save", "written"]

_FORMAT = 1
_MARK = "oceankit_regridder_format"
_PARTS = ("operator", "source", "target")

Arrays = dict[str, np.ndarray]


class Saved(NamedTuple):
    """What a file holds of a regridder."""

    operator: Operator
    source: Grid
    target: Grid
    options: dict[str, Any]
    """Everything else that the regridder knows, by attribute."""


def save(path: str | os.PathLike[str], saved: Saved) -> None:
    """Write a regridder; the file takes the place of an earlier one when it is complete.

    Raises
    ------
    StoreError
        If the path does not end in ``.nc``, its folder is missing, the disk does not take the file, or something of the
        grids cannot be written down.
    """
    place_of(path, "write")
    parts = {"operator": saved.operator.arrays()}
    about: dict[str, Any] = {"operator": type(saved.operator).__name__}
    for name, grid in (("source", saved.source), ("target", saved.target)):
        parts[name], about[name] = grid_parts(grid)
    about["options"] = to_json(dict(saved.options), "the regridder")
    about["arrays"] = {g: {n: [a.dtype.str, list(a.shape)] for n, a in arrays.items()} for g, arrays in parts.items()}
    text = json.dumps(about)
    with written(path) as part:
        _write(part, parts, text, str(saved.options.get("method", "")))


def _write(place: Path, parts: Mapping[str, Arrays], text: str, method: str) -> None:
    with netCDF4.Dataset(place, "w", format="NETCDF3_64BIT_DATA") as file:
        file.setncattr("title", f"oceankit regridder, {method}")
        file.setncattr(_MARK, np.int32(_FORMAT))
        file.setncattr("oceankit_version", __version__)
        file.setncattr("about", text)
        file.setncattr("checksum", _checksum(text, parts))
        # A NetCDF dimension of no length would be one that grows; what is empty is known from its shape in ``about``.
        stored = {f"{p}_{n}": a for p, arrays in parts.items() for n, a in arrays.items() if a.size}
        for size in sorted({n for a in stored.values() for n in a.shape}):
            file.createDimension(f"n{size}", size)
        for name, array in stored.items():
            dtype = np.dtype(np.int8) if array.dtype == bool else array.dtype
            file.createVariable(name, dtype, tuple(f"n{n}" for n in array.shape), fill_value=False)
        for name, array in stored.items():
            file.variables[name][...] = array


def load(path: str | os.PathLike[str]) -> Saved:
    """Read a regridder.

    Raises
    ------
    StoreError
        If there is no such file, it is no regridder, a newer oceankit wrote it, or it is damaged.
    """
    given = place_of(path, "read")
    name = os.fspath(path)
    try:
        with netCDF4.Dataset(given) as file:
            file.set_auto_maskandscale(False)
            file.set_always_mask(False)
            _check_format(file, name)
            text = str(file.getncattr("about"))
            about = json.loads(text)
            parts = {p: _read(file, p, about["arrays"][p]) for p in _PARTS}
            checksum = file.getncattr("checksum")
    except StoreError:
        raise
    except (OSError, RuntimeError, AttributeError, KeyError, IndexError, TypeError, ValueError) as error:
        raise _damaged(name, str(error)) from error
    if checksum != _checksum(text, parts):
        raise _damaged(name, "its checksum is not that of its arrays")
    source, target = (grid_from_parts(parts[g], about[g]) for g in ("source", "target"))
    return Saved(restored(about["operator"], parts["operator"]), source, target, from_json(about["options"]))


def _check_format(file: Any, name: str) -> None:
    if _MARK not in file.ncattrs():
        foreign = {"S", "remap_matrix"} & set(file.variables)
        remedy = (
            "its weights are those of another tool: read them with Regridder.from_esmf(path, source, target)"
            if foreign
            else f"it holds {', '.join(map(repr, list(file.variables)[:5])) or 'nothing, or was cut short'}; correct the path"
        )
        raise StoreError(f"{name!r} is no file of Regridder.save: {remedy}")
    version = int(file.getncattr(_MARK))
    if version > _FORMAT:
        raise StoreError(
            f"{name!r} has format {version}, written by oceankit {file.getncattr('oceankit_version')}; this is oceankit "
            f"{__version__}, which reads up to format {_FORMAT}: update oceankit, or make the weights again"
        )


def _read(file: Any, part: str, described: Mapping[str, tuple[str, list[int]]]) -> Arrays:
    found = {}
    for name, (dtype, shape) in described.items():
        if 0 in shape:
            found[name] = np.empty(shape, dtype)
        else:
            values = np.asarray(file.variables[f"{part}_{name}"][...]).reshape(shape)
            found[name] = values.astype(dtype, copy=False)
    return found


def _checksum(text: str, parts: Mapping[str, Arrays]) -> str:
    """SHA-256 over the description, which names every array, and the arrays in the order of their names."""
    running = hashlib.sha256(text.encode())
    for part in sorted(parts):
        for name in sorted(parts[part]):
            array = parts[part][name]
            running.update(np.ascontiguousarray(array, array.dtype.newbyteorder("<")).data)
    return running.hexdigest()


def _damaged(name: str, why: str) -> StoreError:
    return StoreError(
        f"{name!r} is damaged ({why}): copy it again from where it came, or make the regridder anew and save it"
    )


@contextmanager
def written(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A temporary file to write to, which takes the place of ``path``; says which file it was that the disk refused."""
    try:
        with replacing(place_of(path, "write")) as part:
            yield part
    except (OSError, RuntimeError) as error:
        raise StoreError(
            f"{os.fspath(path)!r} could not be written ({error}); an earlier file is untouched: "
            "look at the space and the rights there, or choose another place"
        ) from error


def place_of(path: str | os.PathLike[str], verb: Literal["read", "write"]) -> Path:
    """Where a file of weights lies.

    Raises
    ------
    StoreError
        If it is on another machine, is not there to be read, or is not to be written as NetCDF by its name.
    """
    given = local(path)
    if given is None:
        raise StoreError(f"cannot {verb} {os.fspath(path)!r}: weights are files on this machine; copy it here first")
    if verb == "read" and not given.is_file():
        raise StoreError(f"there is no file {os.fspath(path)!r}; correct the path")
    if verb == "write" and given.suffix.lower() != ".nc":
        raise StoreError(f"cannot write {os.fspath(path)!r}: weights are NetCDF files; use a name that ends in .nc")
    return given
