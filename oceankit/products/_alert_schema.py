"""What alert rules must look like; every mistake is listed with its key, its value and the remedy."""

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from oceankit.products._alert_units import known

__all__ = ["LANGUAGES", "RulesError", "check"]

LANGUAGES = ("zh", "en")
_DATE = re.compile(r"\d{4}(-\d{2}(-\d{2})?)?")
_TOP = ("format", "levels", "no_alert", "decision", "cap", "hazards", "stations", "actions", "wording")
_NUMBER = ("value", "source", "date", "note")
_OPERATORS = ("at_least", "above", "at_most", "below", "is")
_SEVERITIES = ("Minor", "Moderate", "Severe", "Extreme", "Unknown")
_RESPONSES = ("Shelter", "Evacuate", "Prepare", "Execute", "Avoid", "Monitor", "Assess", "AllClear", "None")
_CATEGORIES = (
    "Geo", "Met", "Safety", "Security", "Rescue", "Fire", "Health", "Env", "Transport", "Infra", "CBRNE", "Other",
)  # fmt: skip
_WORDS = (
    "language", "title", "title_none", "kinds", "time", "headline", "headline_now", "headline_untimed", "headline_none",
    "headline_unknown", "headline_missing", "headline_cancel", "partly", "act", "act_now", "threshold", "comma", "names",
    "hours", "separator", "own_words", "draft", "here",
)  # fmt: skip
_ROWS = (
    "issued", "centre", "place", "first", "peak", "peak_time", "last", "lead", "probability", "confidence", "datum",
    "thresholds", "actions", "caution",
)  # fmt: skip
# kind: keys needed, keys allowed
_KINDS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "threshold": (("quantity",), ("margin", "hold")),
    "station": (("quantity",), ("margin", "hold")),
    "conditions": (("inputs",), ("hold",)),
}
Mistakes = Iterator[str]


class RulesError(ValueError):
    """Alert rules that cannot be used; the message lists every mistake."""


def check(book: dict[str, Any]) -> None:
    """Refuse rules with a mistake.

    Raises
    ------
    RulesError
        With one line for each mistake.
    """
    mistakes = list(dict.fromkeys(_book(book)))
    if mistakes:
        head = (
            "the alert rules have a mistake:"
            if len(mistakes) == 1
            else f"the alert rules have {len(mistakes)} mistakes:"
        )
        raise RulesError("\n  ".join([head, *mistakes]))


def _book(book: dict[str, Any]) -> Mistakes:
    yield from _keys("", book, _TOP, ())
    if any(not isinstance(book.get(k), dict) for k in _TOP if k != "format"):
        return
    if book.get("format") != 1:
        yield f"format: {book.get('format')!r} is not known here; write 'format: 1'"
    yield from _levels(book["levels"])
    yield from _decision(book)
    yield from _named("no_alert", book["no_alert"])
    order = list(book["levels"])
    for name, hazard in book["hazards"].items():
        yield from _hazard(f"hazards.{name}", hazard, order)
    for name, station in book["stations"].items():
        yield from _station(f"stations.{name}", station, order)
    yield from _actions(book, order)
    for language in LANGUAGES:
        key, words = f"wording.{language}", book["wording"].get(language)
        if not isinstance(words, dict):
            yield f"{key}: missing; copy it from oceankit.products.alerts.rules()"
            continue
        yield from _keys(key, words, _WORDS, ())
        yield from _keys(f"{key}.names", words.get("names"), _ROWS, ())
        yield from _keys(f"{key}.kinds", words.get("kinds"), ("issue", "update", "cancel", "none"), ())


def _levels(levels: dict[str, Any]) -> Mistakes:
    ranks = [v.get("value") if isinstance(v, dict) else None for v in levels.values()]
    if ranks != list(range(1, len(ranks) + 1)) or not ranks:
        yield f"levels: the values {ranks} must be 1, 2, 3, ... in the order in which the levels stand"
    for name, level in levels.items():
        key = f"levels.{name}"
        needed = ("value", "numeral", "names", "colour", "severity", "response", "source", "date")
        yield from _keys(key, level, needed, ("note",))
        if not isinstance(level, dict):
            continue
        yield from _named(key, level)
        yield from _sourced(key, level)
        if not re.fullmatch(r"#[0-9a-fA-F]{6}", str(level.get("colour"))):
            yield f'{key}.colour: {level.get("colour")!r} is no colour; write it as "#rrggbb", in quotes'
        if level.get("severity") not in _SEVERITIES:
            yield f"{key}.severity: {level.get('severity')!r} is none of CAP's; take one of {', '.join(_SEVERITIES)}"
        responses = level.get("response")
        if not isinstance(responses, list) or not set(responses) <= set(_RESPONSES):
            yield f"{key}.response: {responses!r} is no list of CAP's responses; take from {', '.join(_RESPONSES)}"


def _decision(book: dict[str, Any]) -> Mistakes:
    shares = ("confidence", "likely_above", "unlikely_below")
    for part, names in (
        ("decision", ("confidence", "hold", "valid_for")),
        ("cap", ("immediate_within", "expected_within", "likely_above", "unlikely_below")),
    ):
        yield from _keys(part, book[part], names, ())
        for name in names:
            key, entry = f"{part}.{name}", book[part].get(name)
            if entry is None:
                continue
            yield from _number(key, entry, units=True)
            if not isinstance(entry, dict) or not _is_number(entry.get("value")):
                continue
            if name in shares and not 0 < entry["value"] <= 1:
                yield f"{key}.value: {entry['value']} is no probability; give a number above 0 and at most 1"
            if name not in shares:
                yield from _hours(key, entry)


def _hours(key: str, entry: dict[str, Any]) -> Mistakes:
    if entry.get("units", "h") != "h":
        yield f"{key}.units: {entry['units']!r} is not understood here; give it in hours: h"
    if _is_number(entry.get("value")) and entry["value"] < 0:
        yield f"{key}.value: {entry['value']} is negative; give hours from 0 up"


def _hazard(key: str, hazard: Any, order: list[str]) -> Mistakes:
    kind = hazard.get("kind") if isinstance(hazard, dict) else None
    if kind not in _KINDS:
        yield f"{key}.kind: {kind!r} is unknown; take one of {', '.join(_KINDS)}"
        return
    needed, allowed = _KINDS[kind]
    yield from _keys(key, hazard, ("names", "kind", "category", "rules", *needed), ("default", *allowed))
    yield from _named(key, hazard)
    if hazard.get("category") not in _CATEGORIES:
        yield f"{key}.category: {hazard.get('category')!r} is none of CAP's; take one of {', '.join(_CATEGORIES)}"
    if "quantity" in hazard:
        yield from _quantity(f"{key}.quantity", hazard["quantity"])
    for name in ("margin", "hold"):
        if name in hazard:
            yield from _number(f"{key}.{name}", hazard[name], units=name == "hold")
            if isinstance(hazard[name], dict):
                yield from _hours(f"{key}.{name}", hazard[name])
    for name, given in (hazard.get("inputs") or {}).items():
        yield from _input(f"{key}.inputs.{name}", given)
    known_rules = hazard.get("rules")
    if not isinstance(known_rules, dict) or not known_rules:
        yield f"{key}.rules: {known_rules!r} holds no rule; give at least one by name"
        return
    default = hazard.get("default")
    if default is not None and default not in known_rules:
        yield f"{key}.default: {default!r} is none of its rules; name one of {', '.join(known_rules)}"
    for name, rule in known_rules.items():
        place = f"{key}.rules.{name}"
        yield from _rule(place, rule, kind, order, hazard.get("inputs") or {})
        if isinstance(rule, dict) and rule.get("superseded") and name == default:
            yield f"{key}.default: {name!r} is superseded; name a rule in force, or leave the default out"


def _rule(key: str, rule: Any, kind: str, order: list[str], inputs: dict[str, Any]) -> Mistakes:
    content = {
        "threshold": ("levels", "places"),
        "station": ("surge_below_blue",),
        "conditions": ("levels", "complete", "none"),
    }
    yield from _keys(key, rule, ("superseded",), ("caution", *content[kind]))
    if not isinstance(rule, dict):
        return
    if not isinstance(rule.get("superseded"), bool):
        yield f"{key}.superseded: {rule.get('superseded')!r}; write true or false"
    if "caution" in rule:
        yield from _texts(f"{key}.caution", rule["caution"])
    if kind == "station":
        if "surge_below_blue" in rule:
            yield from _number(f"{key}.surge_below_blue", rule["surge_below_blue"])
    elif kind == "conditions":
        yield from _conditional(key, rule, order, inputs)
    elif ("levels" in rule) == ("places" in rule):
        yield f"{key}: give either 'levels' or 'places'"
    elif "levels" in rule:
        yield from _thresholds(f"{key}.levels", rule["levels"], order)
    else:
        for name, place in rule["places"].items():
            yield from _keys(f"{key}.places.{name}", place, ("names", "levels"), ("lon", "lat"))
            if isinstance(place, dict):
                yield from _named(f"{key}.places.{name}", place)
                yield from _thresholds(f"{key}.places.{name}.levels", place.get("levels"), order)


def _thresholds(key: str, levels: Any, order: list[str]) -> Mistakes:
    if not isinstance(levels, dict) or not levels:
        yield f"{key}: {levels!r} holds no level; give at least one of {', '.join(order)}"
        return
    yield from _order(key, levels, order)
    for name, entry in levels.items():
        yield from _number(f"{key}.{name}", entry)
    numbers = [
        (n, levels[n]["value"]) for n in order if isinstance(levels.get(n), dict) and _is_number(levels[n].get("value"))
    ]
    for (low, a), (high, b) in pairwise(numbers):
        if not a < b:
            yield f"{key}.{high}.value: {b} is not above {low} ({a}); thresholds rise with the level"


def _order(key: str, levels: dict[str, Any], order: list[str]) -> Mistakes:
    unknown = [n for n in levels if n not in order]
    for name in unknown:
        yield f"{key}.{name}: unknown level; take one of {', '.join(order)}"
    if not unknown and list(levels) != [n for n in order if n in levels]:
        yield f"{key}: the levels stand as {', '.join(levels)}; write them from the lowest to the highest"


def _conditional(key: str, rule: dict[str, Any], order: list[str], inputs: dict[str, Any]) -> Mistakes:
    if not isinstance(rule.get("complete"), bool):
        yield f"{key}.complete: {rule.get('complete')!r}; write true where no level met means no alert, else false"
    levels = rule.get("levels")
    if not isinstance(levels, dict) or not levels:
        yield f"{key}.levels: {levels!r} holds no level; give at least one of {', '.join(order)}"
        return
    yield from _order(f"{key}.levels", levels, order)
    groups = [(f"{key}.none", rule.get("none") or [])]
    for name, level in levels.items():
        if not isinstance(level, dict) or not level or not set(level) <= {"any", "all"}:
            yield f"{key}.levels.{name}: {level!r}; give the conditions under 'any' and 'all'"
            continue
        groups += [(f"{key}.levels.{name}.{part}", conditions) for part, conditions in level.items()]
    for place, conditions in groups:
        if not isinstance(conditions, list):
            yield f"{place}: {conditions!r} is no list of conditions"
            continue
        for i, condition in enumerate(conditions):
            yield from _condition(f"{place}[{i}]", condition, inputs)


def _condition(key: str, condition: Any, inputs: dict[str, Any]) -> Mistakes:
    yield from _keys(key, condition, ("input", "source", "date"), ("note", *_OPERATORS))
    if not isinstance(condition, dict):
        return
    yield from _sourced(key, condition)
    if condition.get("input") not in inputs:
        yield f"{key}.input: {condition.get('input')!r} is none of the inputs {', '.join(inputs)}"
        return
    used = [o for o in _OPERATORS if o in condition]
    choices = inputs[condition["input"]].get("choices")
    if len(used) != 1:
        yield f"{key}: has the comparisons {', '.join(used) or 'none'}; give one of {', '.join(_OPERATORS)}"
    elif (used[0] == "is") != (choices is not None):
        yield f"{key}.{used[0]}: compares {condition['input']!r}, which has {'choices' if choices else 'units'}; use another"
    elif choices is not None and condition["is"] not in choices:
        yield f"{key}.is: {condition['is']!r} is none of the choices {', '.join(choices)}"
    elif choices is None and not _is_number(condition[used[0]]):
        yield f"{key}.{used[0]}: {condition[used[0]]!r} is no finite number"


def _station(key: str, station: Any, order: list[str]) -> Mistakes:
    yield from _keys(key, station, ("datum", "units", "levels"), ("names", "lon", "lat"))
    if not isinstance(station, dict):
        return
    datum = station.get("datum")
    if not isinstance(datum, str) or datum.strip().lower() in ("", "unknown", "none", "not stated"):
        yield f"{key}.datum: {datum!r} names no datum; name the one that the levels refer to"
    yield from _unit(f"{key}.units", station.get("units"))
    if "names" in station:
        yield from _named(key, station)
    for name, most in (("lon", 360), ("lat", 90)):
        if name in station and not (_is_number(station[name]) and abs(station[name]) <= most):
            yield f"{key}.{name}: {station[name]!r} are no degrees; give a number of at most {most}"
    yield from _thresholds(f"{key}.levels", station.get("levels"), order)


def _actions(book: dict[str, Any], order: list[str]) -> Mistakes:
    if "any" not in book["actions"]:
        yield "actions.any: missing; it says who acts where a hazard has no actions of its own"
    for hazard, levels in book["actions"].items():
        if hazard != "any" and hazard not in book["hazards"]:
            yield f"actions.{hazard}: no such hazard; take one of {', '.join(book['hazards'])} or any"
        for level, items in levels.items() if isinstance(levels, dict) else ():
            if level not in order:
                yield f"actions.{hazard}.{level}: unknown level; take one of {', '.join(order)}"
            for i, item in enumerate(items if isinstance(items, list) else [items]):
                key = f"actions.{hazard}.{level}[{i}]"
                yield from _keys(key, item, ("who", "what", "hours_before"), ())
                if isinstance(item, dict) and {"who", "what", "hours_before"} <= set(item):
                    yield from _texts(f"{key}.who", item["who"])
                    yield from _texts(f"{key}.what", item["what"])
                    yield from _number(f"{key}.hours_before", item["hours_before"])
                    if isinstance(item["hours_before"], dict):
                        yield from _hours(f"{key}.hours_before", item["hours_before"])


def _quantity(key: str, quantity: Any) -> Mistakes:
    yield from _keys(key, quantity, ("names", "units"), ())
    if isinstance(quantity, dict):
        yield from _named(key, quantity)
        yield from _unit(f"{key}.units", quantity.get("units"))


def _input(key: str, given: Any) -> Mistakes:
    yield from _keys(key, given, ("names",), ("units", "choices"))
    if not isinstance(given, dict):
        return
    yield from _named(key, given)
    if ("units" in given) == ("choices" in given):
        yield f"{key}: give either 'units' or 'choices'"
    elif "units" in given:
        yield from _unit(f"{key}.units", given["units"])
    else:
        for name, texts in given["choices"].items():
            yield from _texts(f"{key}.choices.{name}", texts)


def _unit(key: str, units: Any) -> Mistakes:
    if units is None:
        yield f"{key}: missing; say the units, for example m"
    elif known(units) is None:
        yield f"{key}: {units!r} is not understood; use 1, m, cm, mm, km, nmi, m2, km2, d or h"


def _number(key: str, entry: Any, *, units: bool = False) -> Mistakes:
    yield from _keys(key, entry, (*_NUMBER[:3], *(("units",) if units else ())), ("note", "units"))
    if isinstance(entry, dict):
        if "value" in entry and not _is_number(entry["value"]):
            yield f"{key}.value: {entry['value']!r} is no finite number"
        yield from _sourced(key, entry)


def _sourced(key: str, entry: dict[str, Any]) -> Mistakes:
    if "source" in entry and not str(entry["source"] or "").strip():
        yield f"{key}.source: empty; say where the number comes from"
    if "date" in entry and not (_DATE.fullmatch(str(entry["date"])) or entry["date"] == "not stated"):
        yield f"{key}.date: {entry['date']!r} is no date of a rule; write YYYY, YYYY-MM, YYYY-MM-DD or 'not stated'"


def _named(key: str, entry: dict[str, Any]) -> Mistakes:
    yield from _texts(f"{key}.names", entry.get("names"))


def _texts(key: str, texts: Any) -> Mistakes:
    for language in LANGUAGES:
        if not isinstance(texts, dict) or not str(texts.get(language) or "").strip():
            yield f"{key}.{language}: missing; give the text in both languages, {{zh: ..., en: ...}}"
    for name in texts if isinstance(texts, dict) else ():
        if name not in LANGUAGES:
            yield f"{key}.{name}: no language of {', '.join(LANGUAGES)}; put a text with a comma in quotes"


def _keys(key: str, entry: Any, needed: tuple[str, ...], allowed: tuple[str, ...]) -> Mistakes:
    if not isinstance(entry, dict):
        yield f"{key or 'rules'}: {entry!r} is no mapping; it needs the keys {', '.join(needed)}"
        return
    dot = f"{key}." if key else ""
    for name in needed:
        if name not in entry:
            yield f"{dot}{name}: missing; add it"
    for name in entry:
        if name not in needed and name not in allowed:
            yield f"{dot}{name}: unknown key; known here are {', '.join((*needed, *allowed))}"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < float("inf")
