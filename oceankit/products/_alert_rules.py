"""The rules of alerts: read from the shipped YAML or the user's, laid one over the other, and looked up by name."""

import copy
import os
from collections.abc import Hashable, Mapping
from datetime import date
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from oceankit.products._alert_schema import RulesError, check

__all__ = ["Picked", "Rules", "RulesError", "add_station", "check_rules", "listing", "loaded", "pick", "rules"]

Rules = dict[str, Any]
_SHIPPED = "alert_rules.yaml"
_BASE = "oceankit"


class Picked(NamedTuple):
    """One rule of one hazard, with the whole book beside it."""

    book: Rules
    hazard: str
    entry: Rules
    name: str
    rule: Rules


def rules() -> Rules:
    """The rules that oceankit ships, as a nested dictionary of your own to look at and to change.

    Returns
    -------
    dict
        Keys ``levels``, ``decision``, ``cap``, ``hazards``, ``stations``, ``actions``, ``wording``. Every number is
        a mapping of ``value``, ``source``, ``date`` (of the rule) and ``note``.

    Examples
    --------
    >>> shipped = rules()
    >>> list(shipped["hazards"])
    ['near_shore_waves', 'offshore_waves', 'storm_surge', 'green_tide', 'sea_ice', 'red_tide', 'marine_heatwave']
    >>> shipped["hazards"]["near_shore_waves"]["rules"]["nmefc"]["levels"]["orange"]["value"]
    4.5
    """
    return copy.deepcopy(_shipped())


def check_rules(rules: str | os.PathLike[str] | Mapping[str, Any] | None = None) -> Rules:
    """Read rules and refuse them where a key, a number or a source is missing, unknown or out of order.

    Parameters
    ----------
    rules
        Path of a YAML file, or a mapping; None for those shipped. With ``extends: oceankit`` at the top it is laid over
        the shipped rules: mappings are merged key by key, everything else replaced; a key set to null is taken away.

    Returns
    -------
    dict
        The complete rules.

    Raises
    ------
    RulesError
        A ValueError that lists every mistake with its key, its value and the remedy.
    FileNotFoundError
        If the file does not exist.

    Examples
    --------
    >>> check_rules({"extends": "oceankit", "decision": {"confidence": {"value": 1.5}}})
    Traceback (most recent call last):
    oceankit.products._alert_schema.RulesError: the alert rules have a mistake:
      decision.confidence.value: 1.5 is no probability; give a number above 0 and at most 1
    """
    return copy.deepcopy(loaded(rules))


def add_station(
    rules: str | os.PathLike[str] | Mapping[str, Any] | None,
    name: str,
    *,
    levels: Mapping[str, float],
    datum: str,
    source: str,
    date: str,
    units: str = "m",
    note: str = "",
    lon: float | None = None,
    lat: float | None = None,
    names: Mapping[str, str] | None = None,
) -> Rules:
    """Rules with the warning levels of one tide gauge added; none is shipped.

    Parameters
    ----------
    rules
        As in :func:`check_rules`; None for those shipped.
    name
        The station, as ``station=`` and a coordinate ``station`` say it.
    levels
        Warning level by alert level, for example ``{"blue": 6.6, "yellow": 6.9, "orange": 7.2, "red": 7.5}``, in ``units``.
    datum
        Name of the vertical datum that the levels refer to. A forecast is compared with them only where its own
        ``vertical_datum`` has the same name.
    source, date, note
        Where the levels come from and of which date they are (``"not stated"`` where that is not known).
    units
        ``"m"`` or ``"cm"``.
    lon, lat
        Position in degrees, for the map, GeoJSON and CAP.
    names
        The name in Chinese and English: ``{"zh": ..., "en": ...}``.

    Returns
    -------
    dict
        Complete, checked rules to hand on as ``rules=``.

    Raises
    ------
    RulesError
        If levels, datum, units, source or date are missing or out of order.

    Examples
    --------
    >>> book = add_station(None, "A", levels={"blue": 2.0, "red": 3.0}, datum="A zero", source="harbour", date="2020")
    >>> book["stations"]["A"]["levels"]["red"]["value"]
    3.0
    """
    entry: Rules = {"datum": datum, "units": units, "names": dict(names or {"zh": name, "en": name})}
    entry["levels"] = {k: {"value": v, "source": source, "date": date, "note": note} for k, v in levels.items()}
    entry |= {key: value for key, value in (("lon", lon), ("lat", lat)) if value is not None}
    book = check_rules(rules)
    book["stations"] = {**book["stations"], name: entry}
    return check_rules(book)


def loaded(rules: str | os.PathLike[str] | Mapping[str, Any] | None) -> Rules:
    """Complete, checked rules; not a copy where they are the shipped ones."""
    if rules is None:
        return _shipped()
    if isinstance(rules, Mapping):
        given = _plain(dict(rules))
    elif isinstance(rules, str | os.PathLike):
        given = _parsed(Path(rules).read_text(encoding="utf-8"), os.fspath(rules))
    else:
        raise RulesError(f"rules is a {type(rules).__name__}; give the path of a YAML file or a mapping")
    base = given.pop("extends", None)
    if base not in (None, _BASE):
        raise RulesError(
            f"extends: {base!r} is unknown; write 'extends: {_BASE}', or leave it out for rules of your own"
        )
    book = _over(rules_text(), given) if base else given
    check(book)
    return book


@lru_cache(maxsize=1)
def _shipped() -> Rules:
    book = rules_text()
    check(book)
    return book


def rules_text() -> Rules:
    """The shipped file, parsed anew."""
    return _parsed(resources.files("oceankit.products").joinpath(_SHIPPED).read_text(encoding="utf-8"), _SHIPPED)


class _Loader(yaml.SafeLoader):
    """YAML in which a key given twice is a mistake, not an overwriting."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if key.tag != "tag:yaml.org,2002:merge" and key.value in seen and not getattr(node, "_merged", False):
                line = key.start_mark.line + 1
                raise RulesError(f"line {line}: the key {key.value!r} is given twice in one mapping; keep one")
            seen.add(key.value)
        # After the merge below, keys of the anchor stand beside those that replace them.
        node._merged = True  # type: ignore[attr-defined]
        return super().construct_mapping(node, deep=deep)


def _parsed(text: str, name: str) -> Rules:
    try:
        book = yaml.load(text, _Loader)  # a SafeLoader: builds nothing but plain values
    except yaml.YAMLError as error:
        raise RulesError(f"{name} is no YAML: {error}") from error
    if not isinstance(book, dict):
        raise RulesError(f"{name} holds a {type(book).__name__}; rules are a mapping of keys")
    return _plain(book)


def _plain(value: Any) -> Any:
    """Without private keys (``_sources``, which only holds anchors), dates as texts."""
    if isinstance(value, Mapping):
        out = {str(k): _plain(v) for k, v in value.items() if not str(k).startswith("_")}
        if isinstance(out.get("date"), int | date) and not isinstance(out["date"], bool):
            out["date"] = str(out["date"])
        return out
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return value


def _over(base: Any, top: Any) -> Any:
    if not (isinstance(base, dict) and isinstance(top, dict)):
        return top
    merged = {**base, **{k: _over(base.get(k), v) for k, v in top.items()}}
    return {k: v for k, v in merged.items() if not (k in top and top[k] is None)}


def pick(rules: str | os.PathLike[str] | Mapping[str, Any] | None, hazard: str, rule: str | None = None) -> Picked:
    """One rule of a hazard: the one named, or the hazard's default.

    Raises
    ------
    ValueError
        If the hazard or the rule is not in the rules, or no rule is the default and none is named.
    """
    book = loaded(rules)
    if hazard not in book["hazards"]:
        raise ValueError(f"hazard={hazard!r} is not in the rules; they have {listing(book['hazards'])}")
    entry = book["hazards"][hazard]
    name = entry.get("default") if rule is None else rule
    if name is None:
        raise ValueError(f"{hazard} has no default rule; name one with rule=: {listing(entry['rules'])}")
    if name not in entry["rules"]:
        raise ValueError(f"rule={name!r} is no rule of {hazard}; it has {listing(entry['rules'])}")
    return Picked(book, hazard, entry, name, entry["rules"][name])


def listing(names: Any) -> str:
    """Names in quotes."""
    return ", ".join(repr(str(n)) for n in names) or "none"
