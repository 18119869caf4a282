"""Lengths and times that users give, checked."""

from typing import Any

import numpy as np
import pandas as pd

__all__ = ["above_zero", "in_days"]


def above_zero(value: Any, name: str) -> float:
    """A finite number above zero."""
    number = isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
    if not number or not (np.isfinite(value) and value > 0):
        raise ValueError(f"{name}={value!r}; give a number above zero")
    return float(value)


def in_days(value: Any, name: str) -> float:
    """A duration as days: a timedelta, text such as '5D', or a number of days."""
    if isinstance(value, int | float | np.integer | np.floating):
        days = float(value)
    else:
        try:
            whole = pd.Timedelta(value) if isinstance(value, str) else np.timedelta64(value)
            days = float(whole / np.timedelta64(1, "D"))
        except (TypeError, ValueError) as error:
            raise ValueError(f"{name}={value!r} is no duration ({error}); give a timedelta, '5D' or days") from None
    if not (np.isfinite(days) and days > 0):
        raise ValueError(f"{name}={value!r}; a time is above zero here")
    return days
