"""Alert levels: from a value or a forecast to blue, yellow, orange or red, and to what is sent out.

``assess`` compares with rules that are an editable YAML, in which each number carries its source and date; ``follow`` issues,
upgrades, downgrades and lifts; ``bulletin`` says it in Chinese and English, as CAP 1.2, GeoJSON and a map. The shipped
rules come from public pages that quote the official ones: check them against those in force before warning anybody.
"""

from oceankit.products._alert_bulletin import Bulletin, bulletin
from oceankit.products._alert_follow import follow, words
from oceankit.products._alert_levels import assess, state_of
from oceankit.products._alert_rules import RulesError, add_station, check_rules, rules

__all__ = [
    "assess",
    "follow",
    "bulletin",
    "Bulletin",
    "rules",
    "check_rules",
    "add_station",
    "words",
    "state_of",
    "RulesError",
]
