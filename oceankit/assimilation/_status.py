"""What became of an observation, in all methods alike."""

from typing import Any

import numpy as np

__all__ = ["FLAGGED", "OUTSIDE", "STATUS", "USED"]

USED, OUTSIDE, FLAGGED = 0, 1, 2
STATUS: dict[str, Any] = {
    "flag_values": np.array([0, 1, 2], np.int8),
    "flag_meanings": "used outside_the_background rejected_by_quality_flag",
    "long_name": "what became of the observation",
}
