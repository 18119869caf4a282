"""What a value of a run file may be: each type reads a YAML node, reports what is wrong with it and describes itself."""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import yaml

from oceankit.cli._nodes import Place, Reading, did_you_mean, entries, plain, shown

__all__ = ["Choice", "Date", "Either", "Flag", "Free", "Key", "Number", "Path", "Section", "Several", "Text", "Type"]

_NUMBER = re.compile(r"[-+]?(\d[\d_]*\.?\d*|\.\d+)(e[-+]?\d+)?", re.IGNORECASE)
_DATE = re.compile(r"\d{4}(-(\d{2})(-(\d{2})([T ]\d{2}:\d{2}(:\d{2})?)?)?)?")


class Type(Protocol):
    """A type reads a node into a value, or reports mistakes and gives None."""

    def read(self, node: yaml.Node, place: Place, reading: Reading) -> Any:
        """The value of ``node``."""

    def describe(self) -> str:
        """The type in words, for the reference."""


@dataclass(frozen=True)
class Text:
    """Any text."""

    words: str = "text"

    def read(self, node: yaml.Node, place: Place, reading: Reading) -> str | None:
        if not plain(node):
            return reading.wrong(place, f"is {shown(node)}, but must be {self.words}")
        return str(node.value)

    def describe(self) -> str:
        return self.words


@dataclass(frozen=True)
class Path:
    """A file's name, with one of these suffixes where there are any."""

    suffixes: tuple[str, ...] = ()
    output: bool = False

    def read(self, node: yaml.Node, place: Place, reading: Reading) -> str | None:
        if not plain(node):
            return reading.wrong(place, f"is {shown(node)}, but must be {self.describe()}")
        name = str(node.value)
        if self.suffixes and not name.endswith(self.suffixes):
            return reading.wrong(place, f"is {name!r}, but must end in {' or '.join(self.suffixes)}")
        if self.output and (name.startswith(("/", "~")) or ".." in name.split("/")):
            return reading.wrong(
                place, f"is {name!r}; outputs lie in the output folder: give a name without '/' or '..'"
            )
        return name

    def describe(self) -> str:
        return f"file name ending in {' or '.join(self.suffixes)}" if self.suffixes else "path"


@dataclass(frozen=True)
class Number:
    """A number, whole or not, within limits."""

    above: float = -math.inf
    least: float = -math.inf
    most: float = math.inf
    whole: bool = False

    def read(self, node: yaml.Node, place: Place, reading: Reading) -> float | int | None:
        # By its looks: YAML 1.1 takes 1e-3 for text and 12:30 for a number.
        if not (plain(node) and _NUMBER.fullmatch(node.value) and getattr(node, "style", None) is None):
            return reading.wrong(place, f"is {shown(node)}, but must be {self.describe()}")
        number = float(node.value.replace("_", ""))
        inside = self.above < number <= self.most and number >= self.least
        if not inside or (self.whole and number != int(number)):
            return reading.wrong(place, f"is {node.value}, but must be {self.describe()}")
        return int(number) if self.whole else number

    def describe(self) -> str:
        limits = [
            text
            for value, text in (
                (self.above, f"above {self.above:g}"),
                (self.least, f"at least {self.least:g}"),
                (self.most, f"at most {self.most:g}"),
            )
            if math.isfinite(value)
        ]
        return " ".join(["a whole number" if self.whole else "a number", " and ".join(limits)]).strip()


@dataclass(frozen=True)
class Flag:
    """true or false."""

    def read(self, node: yaml.Node, place: Place, reading: Reading) -> bool | None:
        if not (plain(node) and node.tag.endswith(":bool")):
            return reading.wrong(place, f"is {shown(node)}, but must be true or false")
        return bool(node.value.lower() in ("true", "yes", "on"))

    def describe(self) -> str:
        return "true or false"


@dataclass(frozen=True)
class Date:
    """A year, month, day or minute; the text as written, which xarray takes for the whole period."""

    def read(self, node: yaml.Node, place: Place, reading: Reading) -> str | None:
        found = _DATE.fullmatch(node.value) if plain(node) else None
        if found is None or not (1 <= int(found[2] or 1) <= 12 and 1 <= int(found[4] or 1) <= 31):
            return reading.wrong(place, f"is {shown(node)}, but must be {self.describe()}")
        return str(node.value)

    def describe(self) -> str:
        return "a date (2015, 2015-01, 2015-01-16 or 2015-01-16T12:00)"


@dataclass(frozen=True)
class Choice:
    """One of a few words."""

    words: tuple[str, ...]

    def read(self, node: yaml.Node, place: Place, reading: Reading) -> str | None:
        if not plain(node):
            return reading.wrong(place, f"is {shown(node)}, but must be {self.describe()}")
        if node.value not in self.words:
            hint = did_you_mean(node.value, self.words)
            listed = "" if hint.startswith("known") else f" (one of {', '.join(self.words)})"
            return reading.wrong(place, f"{node.value!r} is not known{listed}; {hint}")
        return str(node.value)

    def describe(self) -> str:
        return " | ".join(f"`{w}`" for w in self.words)


@dataclass(frozen=True)
class Several:
    """A list of one type; where ``alone``, one item may stand without its list."""

    item: "Type"
    sizes: tuple[int, int] = (1, 10**6)
    alone: bool = False

    def read(self, node: yaml.Node, place: Place, reading: Reading) -> list[Any] | None:
        if not isinstance(node, yaml.SequenceNode):
            if self.alone:
                reading.names[(*place, 0)] = ""  # messages do not count what stands without a list
                value = self.item.read(node, (*place, 0), reading)
                return None if value is None else [value]
            return reading.wrong(place, f"is {shown(node)}, but must be {self.describe()}")
        if not self.sizes[0] <= len(node.value) <= self.sizes[1]:
            return reading.wrong(place, f"has {len(node.value)} items, but must be {self.describe()}")
        found = []
        for number, item in enumerate(node.value):
            reading.lines[(*place, number)] = item.start_mark.line + 1
            found.append(self.item.read(item, (*place, number), reading))
        return None if any(v is None for v in found) else found

    def describe(self) -> str:
        least, most = self.sizes
        many = f"{least} " if least == most else ""
        if many and re.fullmatch(r"an? \w+", self.item.describe()):
            return f"a list of {many}{self.item.describe().split()[1]}s"
        apart = ", each " if many else ": " if " " in self.item.describe() else ""
        listed = f"a list of {many.strip()}{apart}{self.item.describe()}"
        return f"{self.item.describe()}, or a list of them" if self.alone else listed


@dataclass(frozen=True)
class Either:
    """One of two types: the second is tried where the first does not fit, and ``words`` says what both are."""

    first: "Type"
    second: "Type"
    words: str

    def read(self, node: yaml.Node, place: Place, reading: Reading) -> Any:
        for kind in (self.first, self.second):
            trial = Reading(lines=reading.lines, names=reading.names)
            value = kind.read(node, place, trial)
            if not trial.mistakes:
                return value
        return reading.wrong(place, f"is {shown(node)}, but must be {self.words}")

    def describe(self) -> str:
        return self.words


@dataclass(frozen=True)
class Free:
    """A mapping whose keys the run file chooses."""

    item: "Type"
    words: str

    def read(self, node: yaml.Node, place: Place, reading: Reading) -> dict[str, Any] | None:
        if not isinstance(node, yaml.MappingNode):
            return reading.wrong(place, f"is {shown(node)}, but must be {self.words}")
        return {
            name: self.item.read(value, (*place, name), reading)
            for name, value in entries(node, place, reading).items()
        }

    def describe(self) -> str:
        return self.words


@dataclass(frozen=True)
class Key:
    """One key of a section: its type, what it means, and whether it must be there."""

    type: "Type"
    doc: str
    required: bool = False
    default: Any = None
    # Further conditions on the value: what is wrong with it, or nothing.
    check: Callable[[Any], str | None] | None = None


@dataclass(frozen=True)
class Section:
    """A mapping with known keys.

    ``one_of`` lists groups of keys of which exactly one must be there, whole; ``shorthand`` names the key that a bare
    value stands for.
    """

    title: str
    doc: str
    keys: Mapping[str, Key]
    one_of: tuple[tuple[str, ...], ...] = ()
    shorthand: str | None = None

    def read(self, node: yaml.Node, place: Place, reading: Reading) -> dict[str, Any] | None:
        if self.shorthand and plain(node):
            reading.lines[(*place, self.shorthand)] = node.start_mark.line + 1
            value = self._value(self.shorthand, node, (*place, self.shorthand), reading)
            return None if value is None else self._filled({self.shorthand: value})
        if not isinstance(node, yaml.MappingNode):
            return reading.wrong(place, f"is {shown(node)}, but must be a mapping with the keys {', '.join(self.keys)}")
        found: dict[str, Any] = {}
        given = entries(node, place, reading)
        for name, item in given.items():
            if name in self.keys:
                found[name] = self._value(name, item, (*place, name), reading)
            else:
                reading.wrong((*place, name), f"no such key; {did_you_mean(name, self.keys)}")
        for name, key in self.keys.items():
            if key.required and name not in given:
                reading.wrong(place, f"{name!r} is missing: {key.doc}", node.start_mark.line + 1 if not place else None)
        self._check_groups(set(given), place, reading)
        return self._filled(found)

    def _value(self, name: str, node: yaml.Node, place: Place, reading: Reading) -> Any:
        key = self.keys[name]
        value = key.type.read(node, place, reading)
        complaint = key.check(value) if key.check and value is not None else None
        if complaint:
            return reading.wrong(place, complaint)
        return value

    def _check_groups(self, given: set[str], place: Place, reading: Reading) -> None:
        if not self.one_of:
            return
        listed = ", or ".join(" and ".join(map(repr, group)) for group in self.one_of)
        present = [group for group in self.one_of if given & set(group)]
        if len(present) != 1 or not set(present[0]) <= given:
            what = " and ".join(repr(n) for n in self.keys if any(n in g for g in present) and n in given)
            reading.wrong(place, f"has {what or 'none of them'}; give {listed}")

    def _filled(self, found: dict[str, Any]) -> dict[str, Any]:
        return {
            name: found.get(name) if found.get(name) is not None else key.default for name, key in self.keys.items()
        }

    def describe(self) -> str:
        anchor = re.sub(r"[^a-z0-9]+", "-", self.title.lower()).strip("-")
        link = f"[{self.title}](#{anchor})"
        return f"{link}, or just `{self.shorthand}`" if self.shorthand else link
