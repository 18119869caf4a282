"""Units that are not what they say: a record that goes on in kelvin where it began in degrees Celsius."""

from typing import NamedTuple

import numpy as np

__all__ = ["SAMPLES", "Guard", "guard_of", "is_temperature"]

_TEMPERATURE = {
    "k", "kelvin", "degc", "deg_c", "degree_c", "degrees_c", "celsius", "degree_celsius", "degrees_celsius", "°c",
}  # fmt: skip
# No place of the sea, and no air above it, is so much warmer at one time than at another; a change of units is 273.15.
_WIDEST = 150.0
SAMPLES = 96
"""So many steps of a record will do: units that change stay changed for long."""


def is_temperature(units: object) -> bool:
    """Whether these are units of temperature, in which other units would show.

    Examples
    --------
    >>> is_temperature("degree_C"), is_temperature("m")
    (True, False)
    """
    return str(units).strip().lower() in _TEMPERATURE


class Guard(NamedTuple):
    """What is known of a field of temperature."""

    name: str
    units: str
    times: np.ndarray

    def check(self, rows: np.ndarray, stride: int) -> None:
        """Refuse values that change their units on the way: each ``stride``-th of the steps of (n, steps) rows, unpacked.

        Raises
        ------
        ValueError
            Naming the values and about when they change.
        """
        known = np.isfinite(rows)
        high = np.where(known, rows, -np.inf).max(1, initial=-np.inf)
        low = np.where(known, rows, np.inf).min(1, initial=np.inf)
        wide = np.flatnonzero(high - low > _WIDEST)
        if not wide.size:
            return
        row = rows[wide[0]].astype(np.float64)
        steps = np.flatnonzero(np.isfinite(row))
        jump = int(np.abs(np.diff(row[steps])).argmax())
        before, after = (self.times[stride * steps[k]] for k in (jump, jump + 1))
        raise ValueError(
            f"the field {self.name!r} has units {self.units!r}, and runs from {low[wide[0]]:g} to {high[wide[0]]:g} in one cell: "
            f"between {before} and {after} it seems to change to other units; convert one part first, for example by 273.15"
        )


def guard_of(name: object, units: object, times: np.ndarray) -> Guard | None:
    """A guard of a field of temperature; None for others, whose values do not tell units."""
    return Guard(str(name), str(units), times) if is_temperature(units) else None
