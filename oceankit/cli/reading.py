"""Read a run file: YAML to values with their lines, and every mistake that shows without opening the data."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from oceankit.cli._nodes import Mistake, Reading, plain
from oceankit.cli.schema import RUN_FILE

__all__ = ["RunFile", "read"]


@dataclass
class RunFile:
    """A run file as read: its values with defaults filled in, where its keys are, and what is wrong with it."""

    path: Path
    values: dict[str, Any]
    reading: Reading

    @property
    def folder(self) -> Path:
        """The folder that relative paths start from."""
        return self.path.resolve().parent

    @property
    def mistakes(self) -> list[Mistake]:
        """Every mistake found so far, in the order of lines, each once."""
        return sorted(set(self.reading.mistakes))

    @property
    def steps(self) -> list[tuple[int, dict[str, Any]]]:
        """The steps that could be read, with their positions."""
        found = self.values.get("steps") or []
        return [(n, step) for n, step in enumerate(found) if step is not None]


def read(path: Path) -> RunFile:
    """Read a run file; what is wrong with it is in ``.mistakes``."""
    reading = Reading()
    run = RunFile(path, {}, reading)
    try:
        node = yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        reading.wrong((), f"is no YAML: {_sentence(error)}", mark.line + 1 if mark else 1)
        return run
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        reading.wrong((), f"is no YAML text: {' '.join(str(error).split())}", 1)
        return run
    if node is None:
        reading.wrong((), "is empty; docs/runfile.md and 'oceankit schema' say what a run file holds", 1)
        return run
    _name_steps(node, reading)
    try:
        run.values = _read_whole(node, reading)
    except RecursionError:
        reading.wrong((), "an alias refers to a mapping that contains it; write the part out", 1)
    return run


def _read_whole(node: yaml.Node, reading: Reading) -> dict[str, Any]:
    # A broken step must not hide the others: the list of steps keeps its good ones.
    steps = next((v for k, v in node.value if k.value == "steps"), None) if isinstance(node, yaml.MappingNode) else None
    values = RUN_FILE.read(node, (), reading) or {}
    if values.get("steps") is None and isinstance(steps, yaml.SequenceNode):
        step_type = RUN_FILE.keys["steps"].type.item  # type: ignore[attr-defined]
        values["steps"] = [step_type.read(item, ("steps", n), Reading()) for n, item in enumerate(steps.value)]
    return values


def _name_steps(node: yaml.Node, reading: Reading) -> None:
    """Let messages call steps by their names, and refuse a name that two of them have."""
    pairs = node.value if isinstance(node, yaml.MappingNode) else []
    steps = next((v for k, v in pairs if k.value == "steps"), None)
    if not isinstance(steps, yaml.SequenceNode):
        return
    first: dict[str, int] = {}
    for number, step in enumerate(steps.value):
        if not isinstance(step, yaml.MappingNode):
            continue
        name = next((v for k, v in step.value if k.value == "name" and plain(v)), None)
        if name is None:
            continue
        if name.value in first:
            line = name.start_mark.line + 1
            message = f"{name.value!r} is the name of two steps, the first on line {first[name.value]}; rename one"
            reading.wrong(("steps", number, "name"), message, line)
        else:
            first[name.value] = name.start_mark.line + 1
            reading.names[("steps", number)] = str(name.value)


def _sentence(error: yaml.MarkedYAMLError) -> str:
    parts = [p for p in (error.context, error.problem) if p]
    hint = "; indent with spaces" if "\\t" in str(error.problem) else ""
    return ", ".join(parts) + hint
