"""What a product was made from and how: recorded in its ``provenance`` attribute, and checked again when asked."""

import importlib.metadata
import json
import os
import platform
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import zarr

from oceankit._version import __version__
from oceankit.fields.files import StoreError, local
from oceankit.fields.hashing import Stored, content_sha256, digest, digests, path_sha256, size_of, stored
from oceankit.numerics import threads

__all__ = ["Integrity", "check_integrity", "content_of", "input_records", "record", "unsealed"]

# Each holds a slab of its array.
_MOST_READERS = 4
_PACKAGES = ("numpy", "xarray", "dask", "numba", "netCDF4", "zarr")


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
        raise StoreError(
            f"{path!r} carries no provenance, so there is nothing to check; it was not written by oceankit.write"
        )
    try:
        found = json.loads(text)
        if not isinstance(found["inputs"], list) or not isinstance(found["attributes"], dict):
            raise TypeError
        return dict(found)
    except (ValueError, TypeError, KeyError) as error:
        raise StoreError(f"the provenance of {path!r} was altered, or written by another program") from error


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
            try:
                same = content_sha256(array.data, array.chunks) == recorded[name]["sha256"]
                problem = "differs from what was written"
            except (OSError, RuntimeError, ValueError) as error:  # what the libraries say of damaged chunks
                same, problem = False, f"is damaged and cannot be read ({error})"
            if same:
                report.verified += 1
            else:
                report.changed.append(f"variable {name!r} of the product {problem}")
            if digest(array.attrs) == recorded[name]["attributes"]:
                report.verified += 1
            else:
                report.changed.append(f"the attributes of variable {name!r} differ from what was written")


def _check_input(entry: Mapping[str, Any], report: Integrity) -> None:
    name = entry["path"]
    place = local(name)
    if entry["sha256"] is None or place is None:
        report.unverifiable.append(f"input {name!r}: no hash was recorded ({entry.get('note', 'not a local file')})")
    elif not place.exists():
        report.unverifiable.append(f"input {name!r}: not reachable from the folder {os.getcwd()!r}")
    elif _same_place(place, Path(report.path)):
        report.unverifiable.append(f"input {name!r}: this product has taken its place")
    elif path_sha256(place, fresh=True) != entry["sha256"]:
        report.changed.append(f"input {name!r}: sha256 differs from the file that was read")
    else:
        report.verified += 1


def _same_place(one: Path, other: Path) -> bool:
    return os.path.realpath(one) == os.path.realpath(other.expanduser())


def record(
    product: Stored,
    *,
    inputs: Sequence[Mapping[str, Any]],
    options: Mapping[str, Any],
    now: datetime,
    content: bool = True,
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
    # The arrays of a store are read side by side; the NetCDF library lets nobody else in.
    side_by_side = all(isinstance(a.data, zarr.Array) for a in product.arrays.values())
    with ThreadPoolExecutor(min(threads.count(), _MOST_READERS) if side_by_side else 1) as pool:
        contents = list(pool.map(lambda a: content_sha256(a.data, a.chunks), product.arrays.values()))
    return {
        name: {"sha256": content, "attributes": digest(a.attrs)}
        for (name, a), content in zip(product.arrays.items(), contents, strict=True)
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
            entry |= {"size": size_of(place), "sha256": path_sha256(place)}
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
