"""What the programs for marine heatwaves do differently, by name."""

from typing import Literal, NamedTuple

__all__ = ["CONVENTIONS", "Convention", "named"]


class Convention(NamedTuple):
    """The choices that Hobday et al. (2016) leave open, as one program makes them."""

    window: Literal["beyond", "inside", "own_year"]
    """The window runs past the edges of the base period where data exist, stops at them, or wraps within each year."""
    leap_day: Literal["between", "filled", "three_days"]
    """29 February of the finished statistic is the mean of its two neighbours, or of the three days; or the day is filled
    into every year of the data before, with the mean of its neighbours rounded to two decimals."""
    degrees_of_freedom: int
    """Subtracted from the number of days in the standard deviation of an event."""
    relative_at_peak: bool
    """The maximum relative to the threshold, and the absolute one, are those of the day of the greatest anomaly."""
    greatest_sum: bool
    """Cumulative intensities are the greatest of the running sum, which a gap may make differ from the sum."""
    edge_rates: bool
    """Rates are also given where an event touches the ends of the record (or missing data), measured from its own end."""
    first_day_is_a_day: bool
    """The onset of an event whose peak is its first day takes a day and a half, not half a day."""
    signed_rates: bool
    """Rates of cold spells are negative."""
    category_by_days: bool
    """The category is the highest with a share of days that rounds to at least one per cent; else the highest of any day."""


CONVENTIONS = {
    "oliver": Convention("beyond", "between", 0, True, False, True, False, False, False),
    "heatwaveR": Convention("own_year", "filled", 1, False, True, False, False, True, True),
    "heatwave3": Convention("inside", "filled", 1, False, False, False, False, True, True),
    "xmhw": Convention("inside", "three_days", 1, True, False, True, True, False, False),
}


def named(name: object) -> Convention:
    """The convention of this name.

    Raises
    ------
    ValueError
        If there is none.
    """
    if not isinstance(name, str) or name not in CONVENTIONS:
        raise ValueError(f"convention is {name!r}; choose one of {', '.join(map(repr, CONVENTIONS))}")
    return CONVENTIONS[name]
