"""What a run has finished, so that the same command goes on where an earlier one was cut off."""

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from oceankit._version import __version__
from oceankit.cli.reading import RunFile
from oceankit.fields.files import write_whole

__all__ = ["FOLDER", "Ledger", "read_ledger"]

FOLDER = ".oceankit"
"""In the output folder: what a run has finished, the logs of its jobs."""
_NAME = "ledger.json"


def read_ledger(output: Path) -> dict[str, Any] | None:
    """What the last run into a folder has left, if it was not complete."""
    try:
        found: dict[str, Any] = json.loads((output / FOLDER / _NAME).read_text())
    except FileNotFoundError:
        return None
    return found


class Ledger:
    """Steps and files of a run into ``output``; on disk after each that is finished."""

    def __init__(
        self, run: RunFile, output: Path, *, fresh: bool = False, notes: Mapping[str, Any] | None = None
    ) -> None:
        """Take up what an earlier run has left, unless ``fresh``; ``notes`` tell `oceankit resume` how it was started."""
        self.run, self.output = run, output
        earlier = None if fresh else read_ledger(output)
        self.steps: dict[str, dict[str, Any]] = {} if earlier is None else earlier["steps"]
        self.notes = {**({} if earlier is None else earlier["notes"]), **(notes or {})}
        self.begun = self._done()
        (output / FOLDER).mkdir(parents=True, exist_ok=True)
        self._save()

    @property
    def progress(self) -> int:
        """How many files, and tiles and days of what is not complete, there are more than at the beginning."""
        return self._done() - self.begun

    def complete(self, step: dict[str, Any]) -> list[Path] | None:
        """The files of a step that is finished, all as it left them and made of inputs that are the same; else None."""
        known = self._known(step)
        if known is None or not known.get("complete"):
            return None
        paths = [self.output / name for name in known["files"]]
        return paths if all(self.has(step, path) for path in paths) else None

    def has(self, step: dict[str, Any], path: Path) -> bool:
        """Whether a file of a step is there, as it was left and made of the same inputs."""
        known = self._known(step)
        if known is None:
            return False
        same = all(_signature(Path(name)) == mark for name, mark in known["inputs"].items())
        return same and _signature(path) is not None and known["files"].get(self._name(path)) == _signature(path)

    def wrote(self, step: dict[str, Any], path: Path, sources: Iterable[str]) -> None:
        """Note a file that is there now, and what it was made from."""
        entry = self._entry(step)
        entry["files"][self._name(path)] = _signature(path)
        entry["inputs"] = {name: _signature(Path(name)) for name in sources if "://" not in name}
        self._save()

    def finished(self, step: dict[str, Any]) -> None:
        """Note that all files of a step are there."""
        self._entry(step)["complete"] = True
        self._save()

    def close(self) -> None:
        """All steps are finished: there is nothing to take up."""
        folder = self.output / FOLDER
        (folder / _NAME).unlink(missing_ok=True)
        if not any(folder.iterdir()):
            folder.rmdir()

    def failed(self) -> None:
        """A stage has failed: where nothing is finished, nothing is to be taken up."""
        if not self._done() and "script" not in self.notes:
            self.close()

    def _known(self, step: dict[str, Any]) -> dict[str, Any] | None:
        known = self.steps.get(step["name"])
        return known if known is not None and known["identity"] == self._identity(step) else None

    def _entry(self, step: dict[str, Any]) -> dict[str, Any]:
        if self._known(step) is None:
            self.steps[step["name"]] = {
                "identity": self._identity(step), "files": {}, "inputs": {}, "complete": False,
            }  # fmt: skip
        return self.steps[step["name"]]

    def _identity(self, step: dict[str, Any]) -> str:
        """What makes a step another one: its keys, what the run file says for all, and the version."""
        told = [__version__, step, self.run.values.get("metadata"), self.run.values.get("centre")]
        return hashlib.sha256(json.dumps(told, sort_keys=True, default=str).encode()).hexdigest()

    def _name(self, path: Path) -> str:
        return path.relative_to(self.output).as_posix()

    def _done(self) -> int:
        files = sum(len(entry["files"]) for entry in self.steps.values())
        parts = (self.output.glob(f"**/.*.unfinished/{kind}/[!.]*") for kind in ("tiles", "days"))
        return files + sum(1 for found in parts for _ in found)

    def _save(self) -> None:
        content = {
            "oceankit": __version__, "run_file": str(self.run.path.resolve()), "notes": self.notes, "steps": self.steps,
        }  # fmt: skip
        write_whole(self.output / FOLDER / _NAME, json.dumps(content, indent=1).encode())


def _signature(path: Path) -> list[int] | None:
    """What tells whether a file was replaced: size and time, of a Zarr store and of a replay those of what is written last."""
    for first in (path / "zarr.json", path / "report.html") if path.is_dir() else (path,):
        with suppress(OSError):
            status = os.stat(first)
            return [status.st_size, status.st_mtime_ns]
    return None
