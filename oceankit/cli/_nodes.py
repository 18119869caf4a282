"""Nodes of a YAML file, the mistakes in them and their lines."""

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import yaml

__all__ = ["Mistake", "Place", "Reading", "did_you_mean", "entries", "plain", "shown"]

Place = tuple[str | int, ...]


@dataclass(frozen=True, order=True)
class Mistake:
    """One thing wrong with a run file: where, and what to do about it."""

    line: int
    key: str
    message: str

    def __str__(self) -> str:
        return f"{self.key}: {self.message}" if self.key else self.message


@dataclass
class Reading:
    """The mistakes found so far, and the line of each key."""

    mistakes: list[Mistake] = field(default_factory=list)
    lines: dict[Place, int] = field(default_factory=dict)
    names: dict[Place, str] = field(default_factory=dict)
    bad: set[Place] = field(default_factory=set)

    def wrong(self, place: Place, message: str, line: int | None = None) -> Any:
        """Report a mistake at ``place``, on its own line or that of the nearest key above it; returns None."""
        self.bad.add(place)
        # Types describe themselves in Markdown, for the reference.
        message = re.sub(r"\[([^]]+)\]\(#[^)]*\)", r"\1", message).replace("`", "")
        self.mistakes.append(Mistake(self.line(place) if line is None else line, self.label(place), message))

    def clean(self, place: Place) -> bool:
        """Whether nothing is wrong at ``place`` or under it."""
        return not any(bad[: len(place)] == place for bad in self.bad)

    def line(self, place: Place) -> int:
        """The line of ``place``, or of the nearest key above it that is in the file."""
        while place and place not in self.lines:
            place = place[:-1]
        return self.lines.get(place, 1)

    def label(self, place: Place) -> str:
        """``steps.experiment.assimilate.method``: steps by their names, other items by their number from 1."""
        parts: list[str] = []
        for depth, part in enumerate(place):
            if isinstance(part, str):
                parts.append(part)
            elif place[: depth + 1] in self.names:
                parts += [self.names[place[: depth + 1]]] if self.names[place[: depth + 1]] else []
            else:
                parts[-1] += f"[{part + 1}]"
        return ".".join(parts)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A remedy for a misspelt word: the nearest known one, or all of them.

    Examples
    --------
    >>> did_you_mean("metod", ["method", "to"])
    "did you mean 'method'?"
    """
    known = list(known)
    near = difflib.get_close_matches(word, known, 1, cutoff=0.6)
    if near:
        return f"did you mean {near[0]!r}?"
    return f"known here: {', '.join(known)}" if known else "nothing is known here"


def shown(node: yaml.Node) -> str:
    """A node as an error message shows it."""
    if isinstance(node, yaml.MappingNode):
        return "a mapping"
    if isinstance(node, yaml.SequenceNode):
        return "a list"
    return repr(node.value) if node.value else "empty"


def plain(node: yaml.Node) -> bool:
    """Whether the node is one value that is not empty."""
    return isinstance(node, yaml.ScalarNode) and not node.tag.endswith(":null") and node.value.strip() != ""


def entries(node: yaml.MappingNode, place: Place, reading: Reading) -> dict[str, yaml.Node]:
    """The keys of a mapping and their nodes; keys given twice are mistakes, ``<<`` merges other mappings in."""
    found: dict[str, yaml.Node] = {}
    merged: list[yaml.Node] = []
    first: dict[str, int] = {}
    for key, value in node.value:
        line = key.start_mark.line + 1
        if key.tag.endswith(":merge"):
            merged += value.value if isinstance(value, yaml.SequenceNode) else [value]
            continue
        if not isinstance(key, yaml.ScalarNode):
            reading.wrong(place, f"has the key {shown(key)}; keys are words", line)
            continue
        name = str(key.value)
        if name in found:
            reading.wrong((*place, name), f"is given twice, first on line {first[name]}; keep one", line)
            continue
        found[name], first[name] = value, line
        reading.lines[(*place, name)] = line
    for other in merged:
        if not isinstance(other, yaml.MappingNode):
            reading.wrong(place, f"'<<' merges {shown(other)}, but must merge a mapping", other.start_mark.line + 1)
            continue
        for name, value in entries(other, place, Reading()).items():
            if name not in found:
                found[name] = value
                reading.lines[(*place, name)] = value.start_mark.line + 1
    return found
