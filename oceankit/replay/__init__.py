"""A past event as a duty officer would have lived it: day by day, with what existed that day and nothing else.

``replay`` goes through the days of an archive. Each day's deliveries are checked and added to the record, late and corrected ones
too; heatwaves are updated and followed, the next two weeks forecast, the alert level is decided and a bulletin written, and
the forecasts of the days before are held against what came. ``judged`` says at the end how good all of that was.
"""

from oceankit.replay.deliveries import Delivery, schedule
from oceankit.replay.judging import judged
from oceankit.replay.replaying import replay
from oceankit.replay.settings import ReplayError, Settings

__all__ = ["Delivery", "ReplayError", "Settings", "judged", "replay", "schedule"]
