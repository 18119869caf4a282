"""How far an observation reaches: tapers that fall to zero at a distance."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from oceankit.assimilation._scales import above_zero, in_days

__all__ = ["Boxcar", "GaspariCohn", "Localization", "WeightGrid"]

TaperOn = Literal["R", "anomalies"]


class Localization:
    """What all localizations have: distances at which the taper becomes zero, and what is tapered.

    Parameters
    ----------
    radius
        Horizontal distance, km on the sphere (great circles) and coordinate units on a plane.
    depth
        The same for depth, in metres. None: an observation reaches all depths alike.
    time
        The same for time: a timedelta, a string such as ``"5D"``, or days. None: it reaches all times alike.
    """

    function: int
    taper_on: TaperOn = "R"

    def __init__(self, radius: float, *, depth: float | None = None, time: Any = None) -> None:
        self.radius = above_zero(radius, "radius")
        self.depth = None if depth is None else above_zero(depth, "depth")
        self.time = None if time is None else in_days(time, "time")

    def __repr__(self) -> str:
        said = [f"{self.radius:g}"] + [
            f"{n}={v:g}" for n, v in (("depth", self.depth), ("time", self.time)) if v is not None
        ]
        said += [f"taper_on={self.taper_on!r}"] if self.taper_on != "R" else []
        return f"{type(self).__name__}({', '.join(said)})"


class GaspariCohn(Localization):
    """The fifth-order function of Gaspari and Cohn (1999, eq. 4.10), zero at ``radius``.

    ``radius`` is the zero point, twice their c. Packages disagree on both what the number means and what it tapers:

    - ``taper_on="R"``: the inverse of each observation's error variance is multiplied by the taper (PDAF, DAPPER).
    - ``taper_on="anomalies"``: the scaled anomalies and innovations are, so that it counts twice (EnKF-C, NEDAS).

    Examples
    --------
    >>> GaspariCohn(300.0, depth=500.0, time="2D")
    GaspariCohn(300, depth=500, time=2)
    """

    function = 0

    def __init__(self, radius: float, *, depth: float | None = None, time: Any = None, taper_on: TaperOn = "R") -> None:
        super().__init__(radius, depth=depth, time=time)
        if taper_on not in ("R", "anomalies"):
            raise ValueError(f"taper_on={taper_on!r} is not known; choose 'R' or 'anomalies'")
        self.taper_on = taper_on


class Boxcar(Localization):
    """All or nothing: what lies at most ``radius`` away counts in full.

    Examples
    --------
    >>> Boxcar(5.0)
    Boxcar(5)
    """

    function = 1


class WeightGrid:
    """Find the transforms at every ``stride``-th row and column of the grid and interpolate them bilinearly between.

    Weights vary as smoothly as the taper does, so that little is lost while the stride is a third of the localization's
    radius or less (Yang, Kalnay, Hunt and Bowler 2009). Rows and columns at the edges always have their own.

    Examples
    --------
    >>> WeightGrid(3)
    WeightGrid(3)
    """

    def __init__(self, stride: int) -> None:
        if isinstance(stride, bool) or not isinstance(stride, int | np.integer) or stride < 1:
            raise ValueError(f"WeightGrid(stride={stride!r}): give a whole number of at least 1")
        self.stride = int(stride)

    def __repr__(self) -> str:
        return f"WeightGrid({self.stride})"


def check_weight_grid(weight_grid: Any, method: str) -> WeightGrid | None:
    """``weight_grid``, if it is one."""
    if weight_grid is not None and not isinstance(weight_grid, WeightGrid):
        raise ValueError(f"{method}(weight_grid={weight_grid!r}): give WeightGrid(stride) or None")
    return weight_grid


def check(localization: Any, method: str) -> Localization | None:
    """``localization``, if it is one."""
    if localization is not None and not isinstance(localization, Localization):
        raise ValueError(
            f"{method}(localization={localization!r}): give GaspariCohn(radius), Boxcar(radius) or None; a bare number "
            "does not say which taper is meant"
        )
    return localization


def scales(localization: Localization, names: tuple[str, ...]) -> np.ndarray:
    """float64: zero points of the named extra coordinates."""
    return np.array([getattr(localization, name) for name in names], np.float64)
