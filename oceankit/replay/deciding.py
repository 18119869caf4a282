"""How likely a level must be for an alert: what would have served best in forecasts of years that their model had not seen."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from scipy.special import ndtr

from oceankit.fields.files import write_whole
from oceankit.replay.regions import LEVELS, reached_by, severity
from oceankit.replay.settings import ReplayError, Settings

__all__ = ["Decision", "decided"]

_CANDIDATES = np.round(np.arange(0.05, 0.96, 0.05), 2)
_HELD_OUT = 0.25
"""Part of the training period, its end"""
_UNDECIDED = 0.5
_AS_GOOD = 0.95
_VALUES = 5_000_000
"""Forecast at a time"""


@dataclass(frozen=True)
class Decision:
    """The probability from which on a level counts as forecast, and where it comes from."""

    confidence: float
    given: bool
    """Whether the settings say it"""
    starts: tuple[str, str] | None = None
    """First and last of the forecasts it was chosen by"""
    learnt_until: str | None = None
    """What the model of these forecasts knew"""
    scores: dict[str, tuple[int, int, int]] | None = None
    """For each probability tried: onsets warned of, onsets missed, false alarms"""

    @property
    def index(self) -> float | None:
        """The critical success index of the choice; None where there was nothing to choose by."""
        hits, misses, false = (self.scores or {}).get(f"{self.confidence:g}", (0, 0, 0))
        return hits / (hits + misses + false) if hits else None


def decided(
    train: xr.DataArray,
    settings: Settings,
    normal: Callable[[xr.DataArray], tuple[xr.DataArray, xr.DataArray]],
    area: np.ndarray,
    trained: Callable[[xr.DataArray], Any],
    path: Path,
) -> Decision:
    """Choose it, or read what an earlier run has chosen.

    The last quarter of the training period is forecast from each of its days by a model of the time before. Of the days on
    which a level is not there yet, those count as hits that are followed by it within the leads and on which it is forecast
    with the probability in question, all levels together. Of the probabilities whose critical success index comes within 5 % of
    the greatest the highest is taken: it gives the fewest false alarms.

    Parameters
    ----------
    train
        The field of the training period.
    normal
        Gives mean and threshold on the days of a field.
    area
        Of the cells, with the sum 1.
    trained
        Gives a forecaster that has learnt from a field and forecasts all cells.
    path
        Where it is kept.

    Raises
    ------
    ReplayError
        If the training period is too short to be divided.
    """
    if settings.confidence is not None:
        return Decision(settings.confidence, given=True)
    if path.exists():
        kept = json.loads(path.read_text(encoding="ascii"))
        return Decision(
            **{**kept, "starts": tuple(kept["starts"]), "scores": {k: tuple(v) for k, v in kept["scores"].items()}}
        )
    days = train["time"].values.astype("M8[D]")
    first = int(days.size * (1 - _HELD_OUT))
    horizon = max(settings.leads)
    if first < 3 * 366 or days.size - first <= 2 * horizon:
        raise ReplayError(
            f"train is {settings.train}, too short to choose by it how likely a level must be for an alert; give a "
            "confidence, such as 0.3, or four years at least"
        )
    model = trained(train[:first])
    scores = _scores(train, first, settings, normal, area, model)
    tried = {f"{c:g}": (int(h), int(m), int(f)) for c, (h, m, f) in zip(_CANDIDATES, scores, strict=True)}
    whole = scores.sum(axis=1)
    index = np.where(scores[:, 0] > 0, scores[:, 0] / np.maximum(whole, 1), 0.0)
    # Of those that are about as good, the one with the fewest false alarms.
    best = float(_CANDIDATES[np.flatnonzero(index >= _AS_GOOD * index.max())[-1]]) if index.any() else _UNDECIDED
    found = Decision(best, False, (str(days[first]), str(days[-horizon - 1])), str(days[first - 1]), tried)
    write_whole(path, (json.dumps(asdict(found), indent=1) + "\n").encode())
    return found


def _scores(
    train: xr.DataArray, first: int, settings: Settings, normal: Any, area: np.ndarray, model: Any
) -> np.ndarray:
    """Hits, misses and false alarms (probabilities tried, 3) of the days before an onset."""
    leads = np.asarray(settings.leads)
    later = train[first:]
    mean, threshold = normal(later)
    severe = severity(later, mean, threshold).values.reshape(len(later), -1)
    observed = reached_by(severe, area, settings.share)
    middle, width = (a.values.reshape(len(later), -1) for a in (mean, threshold - mean))
    out = np.zeros((_CANDIDATES.size, 3), np.int64)
    last = len(later) - leads[-1] - 1
    block = int(max(1, min(365, _VALUES // (leads.size * severe.shape[1]))))
    for begin in range(0, last + 1, block):
        rows = np.arange(begin, min(begin + block, last + 1))
        times = later["time"].values[rows[[0, -1]]]
        known = train[max(0, first + begin - model.reach - 1) : first + rows[-1] + 1]
        said = model.hindcast(known, period=(str(times[0])[:10], str(times[1])[:10]))
        value, std = (
            said[n].transpose("init_time", "lead_time", *train.dims[1:]).values.reshape(rows.size, leads.size, -1)
            for n in ("mean", "std")
        )
        valid = rows[:, None] + leads
        value, std = (value - middle[valid]) / width[valid], std / width[valid]
        after = observed[rows[:, None] + np.arange(1, leads[-1] + 1)]
        for level in range(1, len(LEVELS) + 1):
            chance = reached_by(ndtr((value - level) / std), area, settings.share).max(axis=1)
            judged = np.isfinite(chance) & (observed[rows] < level) & np.isfinite(after).all(axis=1)
            comes = (after[judged] >= level).any(axis=1)
            warned = chance[judged] >= _CANDIDATES[:, None]
            out += np.stack([(warned & comes).sum(1), (~warned & comes).sum(1), (warned & ~comes).sum(1)], axis=1)
    return out
