"""Units of alerts: checked at the door, changed only where the factor is exact, refused otherwise."""

from typing import Any

import numpy as np
import xarray as xr

__all__ = ["in_rule_units", "known"]

_SPELLINGS = {
    "1": ("1", "", "dimensionless", "none", "category"),
    "m": ("m", "metre", "metres", "meter", "meters"),
    "cm": ("cm", "centimetre", "centimetres", "centimeter", "centimeters"),
    "mm": ("mm", "millimetre", "millimetres", "millimeter", "millimeters"),
    "km": ("km", "kilometre", "kilometres", "kilometer", "kilometers"),
    "nmi": ("nmi", "nautical_mile", "nautical mile", "nautical miles"),
    "m2": ("m2", "m^2", "m**2", "m²"),
    "km2": ("km2", "km^2", "km**2", "km²"),
    "d": ("d", "day", "days"),
    "h": ("h", "hour", "hours", "hr"),
}
_UNITS = {spelling: name for name, spellings in _SPELLINGS.items() for spelling in spellings}
# have, want: divide by this. A quotient is rounded once: 720 cm are 7.2 m exactly, 720 * 0.01 are not.
_DIVISORS: dict[tuple[str, str], float] = {
    ("cm", "m"): 100, ("mm", "m"): 1000, ("mm", "cm"): 10, ("m", "km"): 1000, ("m", "nmi"): 1852, ("km", "nmi"): 1.852,
    ("m2", "km2"): 1e6, ("h", "d"): 24,
}  # fmt: skip


def known(units: Any) -> str | None:
    """The one name of some units, or None where they are not understood.

    Examples
    --------
    >>> known("metres"), known("km**2"), known("furlong")
    ('m', 'km2', None)
    """
    text = str(units).strip()
    return _UNITS.get(text, _UNITS.get(text.lower()))


def in_rule_units(
    field: xr.DataArray, want: str, what: str, *, units: str | None = None, bare: bool = False
) -> xr.DataArray:
    """The field in the units of a rule.

    Parameters
    ----------
    field
        With ``units`` among its attributes; timedelta64 counts as a time span.
    want
        Units of the rule.
    what
        Its name in messages.
    units
        Units instead of the attribute, where that is missing.
    bare
        A plain number, which can carry no units: taken as in ``want`` where ``units`` is None.

    Raises
    ------
    ValueError
        If the units are missing, not understood, contradict ``units`` or cannot be changed exactly.
    """
    target = known(want) or want
    if field.dtype.kind == "m":
        if target not in ("d", "h"):
            raise ValueError(f"{what} is a time span, but the rule is in {want!r}; give numbers with units {want!r}")
        step = np.timedelta64(1, "D") if target == "d" else np.timedelta64(1, "h")
        return xr.where(field.isnull(), np.nan, field / step).assign_attrs(units=want)
    if field.dtype.kind == "b" or field.dtype.kind not in "fiu":
        raise ValueError(f"{what} has dtype {field.dtype}; the rule compares numbers in {want!r}: convert it")
    said = field.attrs.get("units")
    if said is not None and units is not None and known(said) != known(units):
        raise ValueError(f"{what} says units {said!r}, but units={units!r}; leave units= out, or correct the attribute")
    given = said if said is not None else units
    if given is None:
        if not bare and target != "1":
            raise ValueError(f"{what} has no units; set .attrs['units'], for example to {want!r}, or give units=")
        given = want
    have = known(given)
    if have is None:
        raise ValueError(f"{what} is in {given!r}, which is not understood; convert it to {want!r} first")
    if have == target:
        return field.assign_attrs(units=want)
    if (have, target) in _DIVISORS:
        changed = field / _DIVISORS[have, target]
    elif (target, have) in _DIVISORS:
        changed = field * _DIVISORS[target, have]
    else:
        raise ValueError(f"{what} is in {given!r}, but the rule is in {want!r}; convert it first")
    return changed.assign_attrs({**field.attrs, "units": want})
