"""Names, units and dates of fields as people write them."""

from typing import Any

import numpy as np
import xarray as xr

from oceankit.fields import coordinates
from oceankit.products import date_text, degrees_text, pretty_units

__all__ = ["MINUS", "TIMES", "by_times", "date_of", "degrees", "label_of", "signed", "unit_of", "when_text"]

MINUS, TIMES = "\N{MINUS SIGN}", "\N{MULTIPLICATION SIGN}"


def label_of(field: xr.DataArray) -> str:
    """What a field is called in a sentence."""
    text = str(field.attrs.get("long_name", field.attrs.get("standard_name", field.name))).replace("_", " ")
    return text[:1].upper() + text[1:]


def when_text(field: xr.DataArray, cadence: str) -> str:
    """The date of a field, a month by its name; the first and the last where there are several."""
    names = coordinates.candidates(field, "time")
    if not names or field[names[0]].size == 0:
        return ""
    values = np.atleast_1d(field[names[0]].values)
    first, last = (date_of(v, cadence) for v in (values[0], values[-1]))
    return first if first == last else f"{first} to {last}"


def date_of(value: Any, cadence: str) -> str:
    """A date for print: ``January 2015`` where steps are months.

    Examples
    --------
    >>> date_of(np.datetime64("2015-01-16T12:00"), "months")
    'January 2015'
    """
    text = date_text(value)
    return " ".join(text.split()[1:3]) if cadence == "months" else text


def unit_of(field: xr.DataArray) -> str:
    """The unit of a field as it follows a number, with its space."""
    unit = pretty_units(field.attrs.get("units"))
    return f" {unit}" if unit else ""


def signed(text: str) -> str:
    """A text with numbers, with minus signs for hyphens.

    Examples
    --------
    >>> signed("-1.5") == f"{MINUS}1.5"
    True
    """
    return text.replace("-", MINUS)


def by_times(shape: tuple[int, ...]) -> str:
    """A shape for print."""
    return f" {TIMES} ".join(map(str, shape))


def degrees(value: float, letters: str) -> str:
    """A longitude (letters "EW") or latitude ("NS") for print.

    Examples
    --------
    >>> degrees(190.0, "EW"), degrees(-5.0, "NS"), degrees(0.0, "NS")
    ('170°W', '5°S', '0°')
    """
    return degrees_text(round(value, 1), letters)
