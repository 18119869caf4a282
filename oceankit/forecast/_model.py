"""What every forecaster shares: reading in, the seasonal mean, the spread, and forecasts as Datasets."""

import copy
from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import xarray as xr

from oceankit._version import __version__
from oceankit.forecast import _linear
from oceankit.forecast._blocks import blocks_of
from oceankit.forecast._record import Layout, Record, as_period, base_rows, read
from oceankit.forecast._season import Season, fit_season
from oceankit.forecast._spread import Spread, fit_spread
from oceankit.forecast._steps import Axis, phase_of, shifted, text

__all__ = ["Model", "NotFittedError", "check_leads"]

_BLOCK = 2**22  # values that are worked on at once
_FOLDS = 3


class NotFittedError(ValueError):
    """A forecaster was asked for a forecast before it was fitted."""


def check_leads(leads: Any) -> tuple[int, ...]:
    """Leads as increasing whole numbers of steps."""
    try:
        values = [leads] if isinstance(leads, int) else list(leads)
        whole = [int(v) for v in values]
        fine = all(w == v for w, v in zip(whole, values, strict=True))
    except (TypeError, ValueError):
        fine, whole = False, []
    if not fine or not whole or min(whole) < 1 or sorted(set(whole)) != whole:
        raise ValueError(f"leads must be increasing whole numbers of time steps from 1 on, as (1, 3, 6), got {leads!r}")
    return tuple(whole)


class Model:
    """A forecaster of one field: fit on a training period, predict from what is known at the start.

    Parameters
    ----------
    leads
        Steps ahead, as ``range(1, 13)``.
    climatology
        First and last date of the years that the seasonal mean is taken from; the training period by default.
    """

    name = "model"

    def __init__(self, *, leads: Sequence[int], climatology: Any = None) -> None:
        self.leads = check_leads(leads)
        self.climatology = climatology
        self._layout: Layout | None = None
        self._axis: Axis | None = None

    @property
    def reach(self) -> int:
        """Steps before the start that are looked at; known once the steps are."""
        return 0

    def __repr__(self) -> str:
        return f"{type(self).__name__}(leads={self.leads}, climatology={self.climatology!r})"

    # -- what a forecaster defines ---------------------------------------------------------------------------------
    def _prepare(self, past: _linear.Past, rows: np.ndarray) -> None:
        """What is taken from the whole training period, such as EOFs."""

    def _learn(self, past: _linear.Past, allowed: np.ndarray) -> None:
        """Fit to the pairs of start and target that both are ``allowed`` (bool, times)."""

    def _anomalies(self, past: _linear.Past, rows: np.ndarray, lead: int) -> np.ndarray:
        raise NotImplementedError

    # -- what users call -------------------------------------------------------------------------------------------
    def fit(self, train: xr.DataArray | xr.Dataset, validation: Any = None, *, forcings: Any = None) -> Self:  # noqa: ARG002
        """Learn from ``train``; baselines need no validation and take no forcings.

        Parameters
        ----------
        train
            Field along ``time`` and any other dimensions; regular steps, missing values as NaN.
        validation, forcings
            Taken so that every forecaster is called alike; forcings are refused.

        Raises
        ------
        ValueError
            For times with holes, a record shorter than the leads, no data.
        """
        if forcings is not None:
            raise ValueError(f"{type(self).__name__} takes no forcings; Forecaster does")
        record = read(train)
        self._fit_record(record, np.arange(len(record.axis)))
        return self

    def predict(self, init: xr.DataArray | xr.Dataset, *, forcings: Any = None) -> xr.Dataset:
        """Forecast from the last time of ``init``, which holds the steps before it too.

        Returns
        -------
        Dataset
            ``mean`` and ``std`` (Gaussian) over ``lead_time`` (in steps) and the dimensions of the field, with
            ``init_time`` and ``valid_time``.
        """
        if forcings is not None:
            raise ValueError(f"{type(self).__name__} takes no forcings; Forecaster does")
        record = self._read(init, "init")
        return self._forecasts(record, np.array([len(record.axis) - 1])).isel(init_time=0)

    def hindcast(self, data: xr.DataArray | xr.Dataset, *, period: Any = None) -> xr.Dataset:
        """Forecasts from every time of ``data`` (within ``period``), each from its own past alone.

        Returns
        -------
        Dataset
            As of ``predict``, along ``init_time`` too.
        """
        record = self._read(data, "data")
        rows = np.arange(len(record.axis)) if period is None else as_period(period, record.axis, what="period")
        return self._forecasts(record, rows)

    # -- shared machinery ------------------------------------------------------------------------------------------
    def _fit_record(self, record: Record, rows: np.ndarray) -> None:
        """Learn from ``rows`` of a record; nothing of the other rows but the climatology's is looked at."""
        axis = record.axis
        self._begin(record)
        if len(rows) < max(self.leads) + self.reach + 3:
            raise ValueError(
                f"the training period has {len(rows)} steps ({text(axis.times[rows[0]])} to "
                f"{text(axis.times[rows[-1]])}), too few for a lead of {max(self.leads)} with {self.reach} steps of "
                "history; train on more, or forecast less far"
            )
        years = base_rows(self.climatology, axis, rows)
        self._season: Season = fit_season(record.values, axis, years)
        anomalies = record.values - self._season.at(axis.times)
        self._memory = _linear.memory_of(anomalies, rows)
        past = self._past(record, anomalies)
        self._prepare(past, rows)
        self._spreads = self._held_out_spread(past, rows, axis)
        self._learn(past, blocks_of(rows, 1, len(axis)) == 0)

    def _begin(self, record: Record) -> None:
        self._layout, self._axis = record.layout, record.axis

    def _held_out_spread(self, past: _linear.Past, rows: np.ndarray, axis: Axis) -> dict[int, Spread]:
        """Spread of the errors in thirds of the training period, each forecast by a fit to the others."""
        blocks = blocks_of(rows, _FOLDS, len(axis))
        parts = []
        for k in range(_FOLDS):
            self._learn(past, (blocks >= 0) & (blocks != k))
            parts.append(copy.copy(self))
        out = {}
        for lead in self.leads:
            starts = rows[self.reach : len(rows) - lead]
            errors = np.empty((len(starts), past.filled.shape[1]))
            for k, part in enumerate(parts):
                at = blocks[starts + lead] == k
                errors[at] = past.anomalies[starts[at] + lead] - part._anomalies(past, starts[at], lead)
            out[lead] = fit_spread(errors, axis.times[starts + lead], axis.step)
        return out

    def _past(self, record: Record, anomalies: np.ndarray | None = None) -> _linear.Past:
        if anomalies is None:
            anomalies = record.values - self._season.at(record.axis.times)
        filled = _linear.fill(anomalies, self._memory)
        return _linear.Past(anomalies, filled, phase_of(record.axis.times, record.axis.step))

    def _fitted(self) -> Layout:
        if self._layout is None:
            raise NotFittedError(f"this {type(self).__name__} is not fitted; call .fit(train) first")
        return self._layout

    def _read(self, field: xr.DataArray | xr.Dataset, what: str) -> Record:
        layout = self._fitted()
        record = read(field, like=layout, axis=self._axis, what=what)
        if len(record.axis) < self.reach + 1:
            raise ValueError(
                f"{what} has {len(record.axis)} steps, this {type(self).__name__} looks at {self.reach + 1}: "
                "pass the steps before the start too"
            )
        return record

    def _block(self, past: _linear.Past, axis: Axis, rows: np.ndarray, forced: Any) -> dict[str, np.ndarray]:  # noqa: ARG002
        """Variables of the forecasts from ``rows``, each (rows, leads, cells)."""
        mean, std = [], []
        for lead in self.leads:
            valid = axis.valid(rows, lead)
            mean.append(self._anomalies(past, rows, lead) + self._season.at(valid))
            std.append(self._spreads[lead].at(valid))
        return {"mean": np.stack(mean, axis=1), "std": np.stack(std, axis=1)}

    def _forecasts(self, record: Record, rows: np.ndarray, forced: Any = None) -> xr.Dataset:
        layout = self._fitted()
        past = self._past(record)
        # A cell without a value yet has no forecast; what it has later is not known at the start.
        never = ~np.logical_or.accumulate(np.isfinite(record.values), axis=0)[rows]
        dtype = np.float32 if len(rows) * layout.cells > 2**20 else np.float64
        shape = (len(rows), len(self.leads), layout.cells)
        out: dict[str, np.ndarray] = {}
        block = max(1, _BLOCK // max(layout.cells * len(self.leads), 1))
        for begin in range(0, len(rows), block):
            for name, values in self._block(past, record.axis, rows[begin : begin + block], forced).items():
                out.setdefault(name, np.empty(shape, dtype=dtype))[begin : begin + block] = values
        for values in out.values():
            np.moveaxis(values, 1, 0)[:, never] = np.nan
        return self._dataset(record.axis, rows, out)

    def _dataset(self, axis: Axis, rows: np.ndarray, variables: dict[str, np.ndarray]) -> xr.Dataset:
        layout = self._fitted()
        dims = ("init_time", "lead_time", *layout.dims)
        valid = np.stack([shifted(axis.times[rows], lead, axis.step) for lead in self.leads], axis=1)
        units = {k: v for k, v in layout.attrs.items() if k == "units"}
        long_name = str(layout.attrs.get("long_name", layout.name))
        described: dict[str, dict[str, Any]] = {
            "mean": {
                **{k: v for k, v in layout.attrs.items() if k in ("units", "standard_name")},
                "long_name": f"forecast of {long_name}",
            },
            "std": {**units, "long_name": f"standard deviation of the forecast of {long_name}"},
            "p_event": {"units": "1", "long_name": f"probability that {long_name} exceeds its threshold"},
            "threshold": {**units, "long_name": f"threshold of {long_name}"},
        }
        return xr.Dataset(
            {n: (dims, layout.spread(v), described.get(n, {})) for n, v in variables.items()},
            coords={
                **layout.coords,
                "init_time": ("init_time", axis.times[rows], {"standard_name": "forecast_reference_time"}),
                "lead_time": (
                    "lead_time",
                    np.asarray(self.leads),
                    {
                        "standard_name": "forecast_period",
                        "long_name": f"lead in steps of {axis.step.label}",
                        "step": axis.step.label,
                    },
                ),
                "valid_time": (
                    ("init_time", "lead_time"),
                    valid,
                    {"standard_name": "time", "long_name": "time that is forecast"},
                ),
            },
            attrs={"forecaster": self.name, "oceankit_version": __version__, "variable": layout.name},
        )
