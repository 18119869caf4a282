"""What has come until a day: the last version of each day that passed the check, and how it came."""

import hashlib
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import xarray as xr

from oceankit.replay.checking import BAD, MISSING, Checks
from oceankit.replay.deliveries import Delivery, schedule, spoiled
from oceankit.replay.normals import place_in_year
from oceankit.replay.settings import Settings

__all__ = ["Arrival", "Record"]

_BEFORE = 400
"""Days before the first one: models look back for a year"""


class Arrival(NamedTuple):
    """A delivery that came, and what the check said."""

    delivery: Delivery
    rejected: int
    """Cells"""
    changed: bool
    """Whether the record is another for it"""


@dataclass
class Record:
    """Days from the end of the training period on, or from a year before the first one; one that has not come is missing."""

    archive: xr.DataArray
    """The whole field, of which nothing is read but days that are delivered"""
    mean: np.ndarray
    """Climatological mean of each day of the year (366, cells)"""
    checks: Checks
    settings: Settings
    days: np.ndarray = field(init=False)
    values: np.ndarray = field(init=False)
    """(days, cells); what was rejected is NaN"""
    flags: np.ndarray = field(init=False)
    digests: list[bytes] = field(init=False)

    def __post_init__(self) -> None:
        """Begin with what lies between the training period and the first day, and a year at least: it has long come."""
        s = self.settings
        begin = max(min(s.learnt + 1, s.first - _BEFORE), self.archive["time"].values[0].astype("M8[D]"))
        self.days = np.arange(begin, s.first)
        known = self.archive.sel(time=slice(self.days[0], self.days[-1])) if self.days.size else self.archive[:0]
        self._raw = np.ascontiguousarray(known.values, np.float64).reshape(self.days.size, -1)
        self.values = self._raw.copy()
        self.flags = np.where(np.isnan(self.values), MISSING, np.int8(1)).astype(np.int8)
        self.digests = []
        self._deliveries = schedule(s.lived, late=s.late, again=s.again, corrected=s.corrected, seed=s.seed)
        self._digest(0)

    def receive(self, day: np.datetime64) -> list[Arrival]:
        """Take in what arrives on a day; the record then ends with it, whether it has come or not."""
        missing = np.full((1, self.mean.shape[1]), np.nan)
        self.days = np.append(self.days, day)
        self._raw, self.values = np.concatenate([self._raw, missing]), np.concatenate([self.values, missing])
        self.flags = np.concatenate([self.flags, np.full(missing.shape, MISSING)])
        first, arrivals = len(self.days) - 1, []
        for delivery in self._deliveries:
            if delivery.arrives == day:
                at = int((delivery.day - self.days[0]).astype(int))
                changed = self._take(at, delivery)
                first = min(first, at) if changed else first
                arrivals.append(Arrival(delivery, int((self.flags[at] == BAD).sum()), changed))
        self._digest(first)
        return arrivals

    def _take(self, at: int, delivery: Delivery) -> bool:
        """Put a version of a day in its place; whether the record is another for it."""
        values = np.asarray(self.archive.sel(time=delivery.day).values, np.float64).reshape(-1)
        if delivery.kind == "preliminary":
            values = spoiled(values, delivery.day, self.settings.seed)
        if np.array_equal(values, self._raw[at], equal_nan=True):
            return False
        self._raw[at] = values
        # Each day is checked against the one before: what is accepted is the same in whatever order they come.
        for k in range(at, len(self.days)):
            before = self.values[k - 1] if k else np.full_like(values, np.nan)
            flags = self.checks.flags(self._raw[k], self._normal(k), before, self._normal(k - 1))
            accepted = np.where(flags == BAD, np.nan, self._raw[k])
            if k > at and np.array_equal(accepted, self.values[k], equal_nan=True):
                break
            self.values[k], self.flags[k] = accepted, flags
        return True

    def _normal(self, at: int) -> np.ndarray:
        """The mean of a day of the record, by its place in a leap year."""
        return self.mean[place_in_year(self.days[0] + at)]

    def _digest(self, first: int) -> None:
        """What a state is known by: all days until it, in the version that it has seen."""
        del self.digests[first:]
        before = self.digests[-1] if self.digests else b""
        for values in self.values[first:]:
            before = hashlib.sha256(before + values.tobytes()).digest()
            self.digests.append(before)

    def field(self, begin: int, end: int | None = None) -> xr.DataArray:
        """Days ``begin`` to ``end`` as a field like the archive."""
        part = slice(begin, end)
        shape = self.archive.isel(time=0, drop=True)
        data = self.values[part].reshape(-1, *shape.shape)
        coords = {n: c for n, c in shape.coords.items() if c.dims != ()}
        return xr.DataArray(
            data, coords | {"time": ("time", self.days[part].astype("M8[ns]"), self.archive["time"].attrs)},
            ("time", *shape.dims), str(self.archive.name), self.archive.attrs,
        )  # fmt: skip
