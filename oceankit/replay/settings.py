"""What a replay is told, checked before anything runs."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import xarray as xr

__all__ = ["ReplayError", "Settings"]


class ReplayError(ValueError):
    """A replay that cannot be; the message names the option, its value and the remedy."""


@dataclass(frozen=True)
class Settings:
    """Options of :func:`oceankit.replay.replay`."""

    base: tuple[str, str]
    """First and last year of the base period of climatology and thresholds"""
    train: tuple[str, str]
    """First and last date that the forecast model and its baselines learn from"""
    days: tuple[str, str]
    """First and last day that is lived"""
    leads: tuple[int, ...] = tuple(range(1, 15))
    """Days ahead"""
    share: float = 0.1
    """Part of the sea's area that has to reach a level"""
    confidence: float | None = None
    """Probability with which it has to; None: what served best in forecasts of the end of the training period"""
    hold: int = 3
    """Days without a level before the alert falls"""
    place: Mapping[str, str] = field(default_factory=lambda: {"zh": "该海域", "en": "the region"})
    centre: str = ""
    late: float = 0.05
    again: float = 0.03
    corrected: float = 0.05
    seed: int = 0
    maps: int = 1
    """Every how many days a map is drawn; 0: never"""

    def __post_init__(self) -> None:
        for name in ("base", "train", "days"):
            given = getattr(self, name)
            if isinstance(given, str) or len(given) != 2:
                raise ReplayError(f"{name} is {given!r}; give the first and the last")
            object.__setattr__(self, name, tuple(str(g) for g in given))
        object.__setattr__(self, "leads", tuple(int(k) for k in self.leads))
        if not self.leads or min(self.leads) < 1 or sorted(set(self.leads)) != list(self.leads):
            raise ReplayError(f"leads is {list(self.leads)}; give days ahead in ascending order, such as range(1, 15)")
        for name in ("share", "confidence"):
            if getattr(self, name) is not None and not 0 < getattr(self, name) <= 1:
                raise ReplayError(f"{name} is {getattr(self, name)!r}; give a part above 0 and at most 1")
        shares = (self.late, self.again, self.corrected)
        if min(shares) < 0 or sum(shares) > 1:
            raise ReplayError(
                f"late, again and corrected are {shares}; give shares of the days that together are at most 1"
            )
        if self.hold < 0 or self.maps < 0:
            raise ReplayError(f"hold is {self.hold} and maps {self.maps}; give numbers of days, 0 or more")
        if set(self.place) != {"zh", "en"}:
            raise ReplayError(f"place is {dict(self.place)!r}; give its name as 'zh' and 'en'")
        first, last = self.first, self.last
        if first > last:
            raise ReplayError(f"days begin with {first} and end with {last}; give the first and the last")
        for name in ("base", "train"):
            end = _end(getattr(self, name)[1])
            if end >= first:
                raise ReplayError(
                    f"{name} ends with {getattr(self, name)[1]}, but the first day that is lived is {first}: nothing may be "
                    "learnt from what had not happened; end it earlier"
                )

    @property
    def first(self) -> np.datetime64:
        return np.datetime64(self.days[0], "D")

    @property
    def last(self) -> np.datetime64:
        return _end(self.days[1])

    @property
    def lived(self) -> np.ndarray:
        """All days, as datetime64[D]."""
        return np.arange(self.first, self.last + 1)

    @property
    def learnt(self) -> np.datetime64:
        """The last day that anything was learnt from."""
        return max(_end(self.train[1]), _end(self.base[1]))

    def as_json(self) -> str:
        return (
            json.dumps(asdict(self) | {"place": dict(self.place)}, ensure_ascii=False, indent=1, sort_keys=True) + "\n"
        )

    def checked(self, field: xr.DataArray) -> None:
        """Whether a field has what is asked for.

        Raises
        ------
        ReplayError
            If not.
        """
        if "time" not in field.dims or field["time"].dtype.kind != "M":
            raise ReplayError(
                f"{field.name!r} has no dates along 'time'; it has {dict(field.sizes)}. Give a daily field"
            )
        days = field["time"].values.astype("M8[D]")
        steps = np.diff(days).astype(int)
        if (steps != 1).any():
            k = int(np.argmax(steps != 1))
            raise ReplayError(
                f"{field.name!r} is not daily: after {days[k]} comes {days[k + 1]}; fill holes with missing values"
            )
        wanted = {"base": _start(self.base[0]), "train": _start(self.train[0]), "days": self.last}
        for name, day in wanted.items():
            if not days[0] <= day <= days[-1]:
                raise ReplayError(
                    f"{name} wants {day}, but {field.name!r} covers {days[0]} to {days[-1]}; choose within"
                )


def _start(text: str) -> np.datetime64:
    return np.datetime64(text).astype("M8[D]")


def _end(text: str) -> np.datetime64:
    """The last day of a year, month or day."""
    whole: Any = np.datetime64(text)
    last: np.datetime64 = (whole + 1).astype("M8[D]") - 1
    return last
