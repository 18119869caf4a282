"""The simple forecasts that a model must beat, each a forecaster of its own: fit, predict, hindcast."""

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np

from oceankit.forecast import _linear
from oceankit.forecast._blocks import pairs
from oceankit.forecast._linear import Past
from oceankit.forecast._model import Model
from oceankit.forecast._record import Record

__all__ = ["LIM", "Blend", "Climatology", "DampedPersistence", "Persistence", "SeasonalRidge"]


_RIDGE_LAGS = {"monthly": (0, 3, 6, 11), "daily": (0, 1, 2, 4, 7, 14), "hourly": (0, 1, 2, 3, 6, 12, 24, 25)}


class Climatology(Model):
    """The seasonal mean of the base period, with the spread of the training period around it."""

    name = "climatology"

    def _anomalies(self, past: Past, rows: np.ndarray, lead: int) -> np.ndarray:  # noqa: ARG002
        return np.zeros((len(rows), past.filled.shape[1]))


class Persistence(Model):
    """Today's anomaly stays."""

    name = "persistence"

    def _anomalies(self, past: Past, rows: np.ndarray, lead: int) -> np.ndarray:  # noqa: ARG002
        return past.filled[rows]


class DampedPersistence(Model):
    """Today's anomaly times its regression on itself, for each cell and lead."""

    name = "damped_persistence"

    def _learn(self, past: Past, allowed: np.ndarray) -> None:
        self._factors = {lead: _linear.damped(past, pairs(allowed, lead), lead) for lead in self.leads}

    def _anomalies(self, past: Past, rows: np.ndarray, lead: int) -> np.ndarray:
        return past.filled[rows] * self._factors[lead]


class LIM(Model):
    """Linear inverse model of the leading principal components (Penland & Magorian 1993).

    Parameters
    ----------
    leads, climatology
        As of every forecaster.
    modes
        Number of EOFs, at most the number of cells.
    """

    name = "lim"

    def __init__(self, *, leads: Sequence[int], climatology: Any = None, modes: int = 30) -> None:
        super().__init__(leads=leads, climatology=climatology)
        self.modes = modes

    def _prepare(self, past: Past, rows: np.ndarray) -> None:
        self._eofs = _linear.eofs_of(past.filled[rows], self._fitted().weights, self.modes)

    def _learn(self, past: Past, allowed: np.ndarray) -> None:
        step = _linear.propagator(self._eofs.components(past.filled), pairs(allowed, 1))
        self._steps = {lead: np.linalg.matrix_power(step, lead) for lead in self.leads}

    def _anomalies(self, past: Past, rows: np.ndarray, lead: int) -> np.ndarray:
        return self._eofs.field(self._eofs.components(past.filled[rows]) @ self._steps[lead].T)


class SeasonalRidge(Model):
    """Ridge regression of the leading principal components on themselves at several lags and on today's by season.

    Today's components times the cosine and sine of the time of the year are among the predictors. What the
    components do not hold is left to damped persistence.

    Parameters
    ----------
    leads, climatology
        As of every forecaster.
    modes
        Number of EOFs.
    lags
        Steps back at which they are looked at; by default (0, 3, 6, 11) months, (0, 1, 2, 4, 7, 14) days, or
        (0, 1, 2, 3, 6, 12, 24, 25) hours.
    penalty
        In units of the number of training rows times the mean variance of the components.
    """

    name = "ridge"

    def __init__(
        self,
        *,
        leads: Sequence[int],
        climatology: Any = None,
        modes: int = 10,
        lags: Sequence[int] | None = None,
        penalty: float = 0.064,
    ) -> None:
        super().__init__(leads=leads, climatology=climatology)
        self.modes, self.lags, self.penalty = modes, lags, penalty

    @property
    def reach(self) -> int:
        """Steps of history it looks at."""
        return max(self._lags)

    @property
    def _lags(self) -> tuple[int, ...]:
        if self.lags is not None:
            return tuple(self.lags)
        return (0,) if self._axis is None else _RIDGE_LAGS[self._axis.step.cadence]

    def _prepare(self, past: Past, rows: np.ndarray) -> None:
        self._eofs = _linear.eofs_of(past.filled[rows], self._fitted().weights, self.modes)
        self._ridge = self.penalty * float((self._eofs.scale**2).mean())

    def _learn(self, past: Past, allowed: np.ndarray) -> None:
        everything = np.arange(len(past.filled))
        components = self._eofs.components(past.filled)
        rest = Past(
            past.anomalies - self._eofs.field(components), past.filled - self._eofs.field(components), past.phase
        )
        features = self._features(past, everything)
        self._slopes, self._factors = {}, {}
        for lead in self.leads:
            starts = pairs(allowed, lead, self.reach)
            known = np.isfinite(past.anomalies[starts + lead]).mean(axis=1) >= 0.5
            x, y = features[starts[known]], components[starts[known] + lead]
            gram = x.T @ x + self._ridge * len(x) * np.eye(x.shape[1])
            self._slopes[lead] = np.linalg.solve(gram, x.T @ y)
            self._factors[lead] = np.minimum(_linear.damped(rest, pairs(allowed, lead), lead), 1.0)

    def _features(self, past: Past, rows: np.ndarray) -> np.ndarray:
        lagged = [self._eofs.components(past.lagged(rows, lag)) for lag in self._lags]
        angle = 2 * np.pi * past.phase[rows, None]
        return np.concatenate([*lagged, lagged[0] * np.cos(angle), lagged[0] * np.sin(angle)], axis=1)

    def _anomalies(self, past: Past, rows: np.ndarray, lead: int) -> np.ndarray:
        now = past.filled[rows]
        rest = now - self._eofs.field(self._eofs.components(now))
        return self._eofs.field(self._features(past, rows) @ self._slopes[lead]) + rest * self._factors[lead]


class Blend(Model):
    """The mean of several forecasters: damped persistence, the LIM and the seasonal ridge unless others are given.

    Parameters
    ----------
    leads, climatology
        As of every forecaster.
    members
        Forecasters with the same leads and climatology; they are fitted with the blend.
    """

    name = "blend"

    def __init__(
        self, *, leads: Sequence[int], climatology: Any = None, members: Sequence[Model] | None = None
    ) -> None:
        super().__init__(leads=leads, climatology=climatology)
        kinds = (DampedPersistence, LIM, SeasonalRidge)
        self.members = (
            [kind(leads=self.leads, climatology=climatology) for kind in kinds] if members is None else list(members)
        )
        if not self.members:
            raise ValueError("members is empty; a blend needs at least one forecaster")
        for member in self.members:
            if member.leads != self.leads:
                raise ValueError(f"member {member.name!r} forecasts leads {member.leads}, the blend {self.leads}")

    @property
    def reach(self) -> int:
        """Steps of history that the most demanding member looks at."""
        return max(member.reach for member in self.members)

    def _begin(self, record: Record) -> None:
        super()._begin(record)
        for member in self.members:
            member._begin(record)

    def _prepare(self, past: Past, rows: np.ndarray) -> None:
        for member in self.members:
            member._season, member._memory = self._season, self._memory
            member._prepare(past, rows)

    def _learn(self, past: Past, allowed: np.ndarray) -> None:
        # Copies, so that the fits to parts of the training period do not share what they learn.
        self.members = [copy.copy(member) for member in self.members]
        for member in self.members:
            member._learn(past, allowed)

    def _anomalies(self, past: Past, rows: np.ndarray, lead: int) -> np.ndarray:
        return sum(member._anomalies(past, rows, lead) for member in self.members) / len(self.members)  # type: ignore[return-value]
