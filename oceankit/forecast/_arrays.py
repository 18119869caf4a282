"""Arrays with a JSON header in one safetensors file: written whole or not at all, checked when read, never unpickled."""

import json
import os
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from oceankit._extras import require
from oceankit.fields.files import write_whole

__all__ = ["read_arrays", "write_arrays"]

_FORMAT = 1


def write_arrays(path: str | os.PathLike[str], arrays: dict[str, np.ndarray], header: dict[str, Any]) -> Path:
    """Write ``arrays`` and ``header`` to ``path``, replacing it at once."""
    numpy_io = require("safetensors.numpy", extra="forecast", purpose="saving a forecast model")
    path = Path(path)
    if not path.parent.is_dir():
        raise ValueError(f"the folder of {path} does not exist; make it first")
    arrays = {k: np.ascontiguousarray(v) for k, v in arrays.items()}
    metadata = {
        "oceankit": json.dumps({"format": _FORMAT, "sha256": _digest(arrays, header), "header": header}, sort_keys=True)
    }
    write_whole(path, numpy_io.save(arrays, metadata=metadata))
    return path


def read_arrays(path: str | os.PathLike[str], *, what: str = "model") -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Read what ``write_arrays`` wrote.

    Raises
    ------
    ValueError
        For a file that is absent, cut off, of another kind, or whose contents are not what was written.
    """
    safetensors = require("safetensors", extra="forecast", purpose="reading a forecast model")
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"there is no {what} file {path}")
    try:
        with safetensors.safe_open(path, framework="numpy") as stream:
            metadata = stream.metadata() or {}
            arrays = {name: stream.get_tensor(name) for name in stream.keys()}  # noqa: SIM118
    except Exception as error:
        raise ValueError(f"{path} cannot be read as a {what} ({error}); it is cut off or damaged") from error
    try:
        said = json.loads(metadata["oceankit"])
        header, digest, version = said["header"], said["sha256"], said["format"]
    except (KeyError, ValueError, TypeError) as error:
        raise ValueError(f"{path} is a safetensors file, but not a {what} of oceankit") from error
    if version != _FORMAT:
        raise ValueError(f"{path} is a {what} of format {version}, this oceankit reads format {_FORMAT}")
    if _digest(arrays, header) != digest:
        raise ValueError(
            f"{path}: the contents are not those that were written (their hash differs); do not use this {what}"
        )
    return arrays, header


def _digest(arrays: dict[str, np.ndarray], header: dict[str, Any]) -> str:
    h = sha256(json.dumps(header, sort_keys=True).encode())
    for name in sorted(arrays):
        array = arrays[name]
        h.update(f"{name} {array.dtype.str} {array.shape}".encode())
        h.update(np.ascontiguousarray(array).tobytes())
    return h.hexdigest()
