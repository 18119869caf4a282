"""What is unusual in the sea: climatologies, the anomalies from them, heatwaves and other spells that last.

A climatology says what is normal and what is rare on each day of the year or in each month, with the base period and
the convention named in its attributes; anomalies are departures from it, and are refused against the climatology of
another source; heatwaves and cold spells are what lies beyond a climatology's threshold for days on end, with all of
their metrics; spells are the runs of any condition that last. There is one entry per event however many cells there are.
"""

from oceankit.anomaly import surge, tides
from oceankit.anomaly.anomalies import anomalies
from oceankit.anomaly.climatology import climatology
from oceankit.anomaly.detecting import detect
from oceankit.anomaly.heatwaves import heatwave_days, heatwaves
from oceankit.anomaly.labelling import label
from oceankit.anomaly.spells import spells
from oceankit.anomaly.tracking import Tracks, track
from oceankit.anomaly.trends import trends
from oceankit.anomaly.updating import ongoing, update, updated_events
from oceankit.anomaly.yearly import yearly

__all__ = [
    "Tracks",
    "anomalies",
    "climatology",
    "detect",
    "heatwave_days",
    "heatwaves",
    "label",
    "ongoing",
    "spells",
    "surge",
    "tides",
    "track",
    "trends",
    "update",
    "updated_events",
    "yearly",
]
