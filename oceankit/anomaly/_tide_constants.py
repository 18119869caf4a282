"""What a constituent's name means: astronomical argument and nodal correction, on the tables of UTide.

Names are shared by agencies, meanings are not: the annual tide SA of UTide (from T_TIDE) is reckoned from perihelion, that of the
IHO and of most published lists from the equinox, 77 degrees apart; OQ2 is another frequency. Hence two conventions.
"""

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from oceankit._extras import require

__all__ = ["CONVENTIONS", "Meaning", "arguments", "frequencies", "latitude", "meaning"]

CONVENTIONS = ("iho", "utide")
_DAYS = 719163.0  # 1970-01-01 as UTide counts days
_BLOCK = 2048  # times at once: UTide makes arrays of (constituents, times)

_ALIASES = {
    "EP2": "EPS2", "LAMBDA2": "LDA2", "LABDA2": "LDA2", "LAM2": "LDA2", "SGM": "SIG1", "SIGMA1": "SIG1", "RHO": "RHO1",
    "M1": "NO1", "MFM": "MTM",
}  # fmt: skip

# The IHO's list where UTide has another meaning or none: multiples of tau, s, h, p; cycles added; whose nodal correction.
_IHO: dict[str, tuple[tuple[int, int, int, int], float, str]] = {
    "SA": ((0, 0, 1, 0), 0.0, ""),
    "S1": ((1, 1, -1, 0), -0.5, ""),
    "MA2": ((2, 0, -1, 0), 0.0, "M2"),
    "MB2": ((2, 0, 1, 0), 0.0, "M2"),
    "3N2": ((2, -3, 0, 3), 0.0, "M2"),
    "3L2": ((2, 1, 0, 0), 0.0, ""),
    "S3": ((3, 3, -3, 0), -0.5, ""),
    "T3": ((3, 3, -4, 0), 0.0, ""),
    "R3": ((3, 3, -2, 0), 0.0, ""),
    "MTM": ((0, 3, 0, -1), 0.0, "MF"),
    "MSQM": ((0, 4, -2, 0), 0.0, "MF"),
}
# Shallow-water constituents as sums, after their speeds in the IHO list; UTide has many more of its own.
_SUMS = {
    "SM": "S2-M2", "OQ2": "O1+Q1", "3MKS2": "3M2-K2-S2", "3MS2": "3M2-2S2", "MNS2": "M2+N2-S2", "2ML2S2": "2M2+L2-2S2",
    "NLK2": "N2+L2-K2", "MSK2": "M2+S2-K2", "MPS2": "M2+P1-S1", "MSP2": "M2+S1-P1", "2MN2": "2M2-N2", "2MK3": "2M2-K1",
    "2MP3": "2M2-P1", "4MS4": "4M2-2S2", "2MNS4": "2M2+N2-S2", "2MLS4": "2M2+L2-S2", "2MSK4": "2M2+S2-K2",
    "3MN4": "3M2-N2", "2MSN4": "2M2+S2-N2", "3MK5": "3M2-K1", "3MO5": "3M2-O1", "3MNS6": "3M2+N2-S2", "4MS6": "4M2-S2",
    "2MNU6": "2M2+NU2", "3MSK6": "3M2+S2-K2", "MKNU6": "M2+K2+NU2", "3MSN6": "3M2+S2-N2", "2MNO7": "2M2+N2+O1",
    "2MSO7": "2M2+S2+O1", "2(MN)8": "2M2+2N2", "2MSN8": "2M2+S2+N2", "2MNK8": "2M2+N2+K2", "2(MS)8": "2M2+2S2",
    "2MSK8": "2M2+S2+K2", "3MNK9": "3M2+N2+K1", "3MSK9": "3M2+S2+K1", "4MN10": "4M2+N2", "3MSN10": "3M2+S2+N2",
    "4MS10": "4M2+S2", "2(MS)N10": "2M2+2S2+N2", "3M2S10": "3M2+2S2", "4MSK11": "4M2+S2+K1", "4MSN12": "4M2+S2+N2",
    "5MS12": "5M2+S2", "4M2S12": "4M2+2S2", "2MS2": "2M2-S2", "2MK2": "2M2-K2", "MNK2": "M2+N2-K2",
}  # fmt: skip


class Meaning(NamedTuple):
    """One constituent as a sum: UTide's constituents and multiples of tau, s, h, p, with an offset, and its nodal correction."""

    utide: dict[str, float]
    doodson: np.ndarray
    offset: float
    nodal: dict[str, float]


def meaning(name: str, convention: str) -> Meaning | None:
    """What a name means; None where it means nothing here.

    Examples
    --------
    >>> meaning("2MN2", "iho").utide
    {'M2': 2.0, 'N2': -1.0}
    >>> meaning("SA", "iho").doodson, meaning("SA", "utide").utide
    (array([0., 0., 1., 0.]), {'SA': 1.0})
    """
    known = _table()[1]
    if convention == "utide":
        return Meaning({name: 1.0}, np.zeros(4), 0.0, {name: 1.0}) if name in known else None
    upper = name.upper()
    upper = upper if upper in _IHO else _ALIASES.get(upper, upper)
    if upper in _IHO:
        doodson, offset, nodal = _IHO[upper]
        return Meaning({}, np.array(doodson, dtype=float), offset, {nodal: 1.0} if nodal else {})
    if upper in _SUMS:
        return _summed(_SUMS[upper])
    return Meaning({upper: 1.0}, np.zeros(4), 0.0, {upper: 1.0}) if upper in known else None


def _summed(text: str) -> Meaning:
    total = Meaning({}, np.zeros(4), 0.0, {})
    for sign, many, part in re.findall(r"([+-]?)(\d*)([A-Z]+\d)", text):
        times = float(many or 1) * (-1 if sign == "-" else 1)
        one = meaning(part, "iho")
        assert one is not None, text
        for name, value in one.utide.items():
            total.utide[name] = total.utide.get(name, 0.0) + times * value
        for name, value in one.nodal.items():
            total.nodal[name] = total.nodal.get(name, 0.0) + times * value
        total = total._replace(doodson=total.doodson + times * one.doodson, offset=total.offset + times * one.offset)
    return total


def latitude(lat: float) -> float:
    """A latitude for UTide, which takes those below 5 degrees for 5, and divides by zero on the equator.

    Examples
    --------
    >>> latitude(0.0) > 0, latitude(-30.0)
    (True, -30.0)
    """
    return float(lat) if lat else 1e-9


def _table() -> tuple[Any, dict[str, int]]:
    constants = require("utide._ut_constants", extra="forecast", purpose="the tide")
    return constants.ut_constants, constants.constit_index_dict


def frequencies(meanings: Sequence[Meaning]) -> np.ndarray:
    """Speeds in degrees per hour, at the middle of 2000.

    Examples
    --------
    >>> frequencies([meaning("M2", "iho"), meaning("SA", "iho")]).round(4)
    array([28.9841,  0.0411])
    """
    astronomy = require("utide.astronomy", extra="forecast", purpose="the tide")
    harmonics = require("utide.harmonics", extra="forecast", purpose="the tide")
    middle = np.array([730303.5])
    rates = astronomy.ut_astron(middle)[1].ravel()[:4] / 24
    freq, index = harmonics.linearized_freqs(middle), _table()[1]
    return np.array(
        [360 * (sum(c * freq[index[n]] for n, c in m.utide.items()) + float(m.doodson @ rates)) for m in meanings]
    )


def arguments(meanings: Sequence[Meaning], time: np.ndarray, lat: float, *, nodal: bool) -> np.ndarray:
    """Complex ``f exp(i (V + u))`` of each constituent at each time, exact at each time, not linearised.

    Parameters
    ----------
    meanings
        Constituents.
    time
        datetime64 of shape (n,).
    lat
        Latitude in degrees, on which the nodal corrections depend a little.
    nodal
        False leaves the 18.6-year corrections out.

    Returns
    -------
    ndarray
        Complex of shape (n, constituents).
    """
    days = time.astype("datetime64[ns]").astype(np.int64) / 86400e9 + _DAYS
    out = np.empty((days.size, len(meanings)), dtype=np.complex128)
    for start in range(0, days.size, _BLOCK):
        out[start : start + _BLOCK] = _block(meanings, days[start : start + _BLOCK], lat, nodal)
    return out


def _block(meanings: Sequence[Meaning], days: np.ndarray, lat: float, nodal: bool) -> np.ndarray:
    harmonics = require("utide.harmonics", extra="forecast", purpose="the tide")
    astronomy = require("utide.astronomy", extra="forecast", purpose="the tide")
    index = _table()[1]
    names = sorted({n for m in meanings for n in (*m.utide, *m.nodal)})
    V = np.zeros((days.size, len(meanings)))
    F, U = np.ones_like(V), np.zeros_like(V)
    if names:
        f, u, v = harmonics.FUV(days, days[:1], [index[n] for n in names], latitude(lat), [0, 0 if nodal else 1, 0, 0])
        column = {n: k for k, n in enumerate(names)}
        for k, m in enumerate(meanings):
            for name, times in m.utide.items():
                V[:, k] += times * v[:, column[name]]
            for name, times in m.nodal.items():
                F[:, k] *= f[:, column[name]] ** abs(times)
                U[:, k] += times * u[:, column[name]]
    astro = astronomy.ut_astron(days)[0][:4]
    for k, m in enumerate(meanings):
        if m.doodson.any():
            V[:, k] += m.doodson @ astro + m.offset
    result: np.ndarray = F * np.exp(2j * np.pi * (V + U))
    return result
