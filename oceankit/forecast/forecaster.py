"""The forecaster: the best linear forecast, a small network's correction of it, its spread, and event probabilities."""

import copy
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any, Self

import numpy as np
import torch
import xarray as xr

from oceankit.forecast import _linear
from oceankit.forecast._blocks import blocks_of
from oceankit.forecast._chain import Chain
from oceankit.forecast._events import YEARS, Threshold, calibrate, fit_threshold, probability
from oceankit.forecast._forcings import Forcings
from oceankit.forecast._inputs import Inputs, scale_of
from oceankit.forecast._model import Model
from oceankit.forecast._record import Layout, Record, as_period, base_rows, read, same_units
from oceankit.forecast._season import fit_season
from oceankit.forecast._shrinking import shares
from oceankit.forecast._spread import fit_spread
from oceankit.forecast._steps import Axis
from oceankit.forecast.network import parameters_of
from oceankit.forecast.training import Samples, Settings, train

__all__ = ["Forecaster"]

_MOST_SAMPLES = 1_500_000
_PARTS = 30  # stretches of time that calibrations are judged by
_SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)


class Forecaster(Model):
    """A forecaster that learns what the best linear forecasts leave, and is never worse where it was validated.

    The base is linear: damped persistence or its mean with a linear inverse model, and a seasonal ridge on lagged
    principal components that predicts the departure from it; penalties are chosen by blocks of the training period
    left out in turn. A small network, the same for all cells, corrects the base's mean and spread; it is trained with
    CRPS on forecasts of blocks that the base had not seen, and what it adds is shrunk, lead by lead, to what it gains
    on data that it had not seen, down to nothing.

    Parameters
    ----------
    leads
        Steps ahead, as ``range(1, 13)``.
    climatology
        First and last date of the years the seasonal mean is taken from; the training period by default.
    local
        Each cell for itself: no principal components and no neighbours. Such a model serves other places
        (:meth:`localise`).
    event_percentile
        The event of ``p_event``: above this percentile of the training period for the time of the year.
    event_threshold
        A fixed threshold instead, in units of the field.
    seed, device, epochs, width, folds
        Of the training; ``device`` is ``"cpu"`` or ``"cuda"``.

    Examples
    --------
    >>> import numpy as np, pandas as pd, xarray as xr
    >>> time = pd.date_range("2000-01-01", "2009-12-01", freq="MS")
    >>> noise = np.random.default_rng(0).standard_normal((len(time), 3)).cumsum(axis=0) % 3
    >>> sst = xr.DataArray(noise, dims=("time", "station"), coords={"time": time}, name="sst", attrs={"units": "degC"})
    >>> model = Forecaster(leads=(1, 2), epochs=1).fit(sst.isel(time=slice(0, 100)))
    >>> forecast = model.predict(sst.isel(time=slice(0, 110)))
    >>> dict(forecast.sizes)
    {'lead_time': 2, 'station': 3}
    >>> sorted(forecast.data_vars)
    ['mean', 'p_event', 'std', 'threshold']
    """

    name = "forecaster"

    def __init__(
        self,
        *,
        leads: Sequence[int],
        climatology: Any = None,
        local: bool = False,
        event_percentile: float = 90.0,
        event_threshold: float | None = None,
        seed: int = 0,
        device: str = "cpu",
        epochs: int = 12,
        width: int = 64,
        folds: int = 5,
    ) -> None:
        super().__init__(leads=leads, climatology=climatology)
        if not 0 < event_percentile < 100:
            raise ValueError(f"event_percentile must lie between 0 and 100, got {event_percentile!r}")
        if folds < 2:
            raise ValueError(f"folds must be 2 or more, got {folds!r}")
        if device != "cpu" and not (str(device).startswith("cuda") and torch.cuda.is_available()):
            raise ValueError(f"device={device!r} is not there; use 'cpu', or 'cuda' on a machine with a GPU")
        self.local, self.folds = local, folds
        self.event_percentile, self.event_threshold = event_percentile, event_threshold
        self.settings = Settings(seed=seed, device=device, epochs=epochs, width=width)
        self.correct = True
        self.card: dict[str, Any] = {}
        self._nets: list[Any] = []
        self._forcings: Forcings | None = None

    def __repr__(self) -> str:
        return f"Forecaster(leads={self.leads}, climatology={self.climatology!r}, local={self.local}, seed={self.settings.seed})"

    @property
    def reach(self) -> int:
        """Steps of history that are looked at."""
        return 0 if self._axis is None else max(self._chain.reach, self._inputs.reach)

    @property
    def parameters(self) -> int:
        """Trainable values of one network; the correction is the mean of ``folds`` of them."""
        return parameters_of(self._nets[0]) if self._nets else 0

    @property
    def kept(self) -> xr.Dataset:
        """Share of the network's correction kept at each lead: of the mean, and of the logarithm of the spread."""
        self._fitted()
        return xr.Dataset(
            {n: ("lead_time", self._shares[:, i]) for i, n in enumerate(("mean", "spread"))},
            coords={"lead_time": list(self.leads)},
        )

    # -- fitting ---------------------------------------------------------------------------------------------------
    def fit(
        self,
        train: xr.DataArray | xr.Dataset,
        validation: xr.DataArray | xr.Dataset | None = None,
        *,
        forcings: xr.DataArray | xr.Dataset | None = None,
        checkpoint: str | os.PathLike[str] | None = None,
        progress: Callable[[int, int, float], None] | None = None,
    ) -> Self:
        """Learn from ``train``.

        Parameters
        ----------
        train
            Field along ``time`` and any other dimensions; regular steps, missing values as NaN.
        validation
            A later period that decides when to stop, how much of the correction is kept, and how probabilities are
            calibrated; by default blocks of ``train`` that are left out in turn do. Statistics never come from it.
        forcings
            Exogenous fields along the same times (of training and validation): each with the dimensions of the
            field, or with ``time`` alone. Those valid after the start are shown too.
        checkpoint
            A file that is written after each epoch; a run that finds it goes on from there and ends with the same
            weights.
        progress
            Called with the epoch, the number of epochs and the CRPS on data not trained on.

        Raises
        ------
        ValueError
            For times with holes, a record shorter than the leads need, another grid in ``validation``, a checkpoint of
            other data or settings.
        """
        record = read(train)
        judged = (
            None if validation is None else read(validation, like=record.layout, axis=record.axis, what="validation")
        )
        if judged is not None and judged.axis.numbers[0] <= record.axis.numbers[-1]:
            raise ValueError("validation begins before train ends; the two must not share any time")
        self._fit_base(record, np.arange(len(record.axis)), forcings)
        self._fit_network(judged, forcings, checkpoint=checkpoint, progress=progress)
        self._forget()
        return self

    def _fit_record(self, record: Record, rows: np.ndarray) -> None:
        self._fit_base(record, rows)
        self._fit_network(None)
        self._forget()

    def _forget(self) -> None:
        """Let go of the training data: what is kept is what a saved forecaster has."""
        del self._training
        if self._forcings is not None:
            self._forcings = self._forcings.statistics()

    def _begin(self, record: Record) -> None:
        self._start(record.layout, record.axis)

    def _start(self, layout: Layout, axis: Axis) -> None:
        self._layout, self._axis = layout, axis
        self._chain = Chain(self.leads, axis.step.cadence, local=self.local, folds=self.folds)
        self._inputs = Inputs(axis.step.cadence, self.leads, self.local or layout.cells == 1, layout)
        self._forcings = None

    def _fit_base(self, record: Record, rows: np.ndarray, forcings: Any = None) -> None:
        """Season, thresholds, linear base; and the samples that the network learns from."""
        axis, layout = record.axis, record.layout
        self._begin(record)
        needed = max(self.leads) + self.reach + 10 * self.folds
        if len(rows) < needed:
            raise ValueError(
                f"train has {len(rows)} steps; leads to {max(self.leads)}, {self.reach} steps of history and "
                f"{self.folds} blocks need {needed} at least: train on more, or forecast less far"
            )
        years = base_rows(self.climatology, axis, rows)
        self._season = fit_season(record.values, axis, years)
        anomalies = record.values - self._season.at(axis.times)
        self._memory = _linear.memory_of(anomalies, rows)
        self._scale = scale_of(anomalies[rows])
        self._threshold = self._fit_threshold(record, rows)
        self._forcings = None if forcings is None else Forcings.fit(forcings, axis, rows, layout)
        if self._forcings is not None:
            self._inputs.forcings = self._forcings.names
        past = self._past(record, anomalies)
        stride = max(1, -(-len(rows) * layout.cells // _MOST_SAMPLES))
        held, starts = [], rows[:0]
        self._spreads, self._wide = {}, {}
        for lead, shown, forecast in self._chain.fit(past, rows, layout.weights, stride):
            errors = past.anomalies[shown + lead] - forecast
            valid = axis.valid(shown, lead)
            keep = round(YEARS * axis.step.per_year() / stride)
            self._wide[lead] = fit_spread(errors, valid, axis.step)
            self._spreads[lead] = fit_spread(errors, valid, axis.step, keep=keep)
            held.append(forecast.astype(np.float32))
            starts = shown
        fine = starts >= rows[0] + self.reach
        self._training = (record, rows, starts[fine], np.stack(held, axis=1)[fine])

    def _fit_threshold(self, record: Record, rows: np.ndarray) -> Threshold:
        if self.event_threshold is not None:
            return Threshold(np.full((1, record.layout.cells), float(self.event_threshold)), record.axis.step)
        return fit_threshold(record.values, record.axis, rows, self._season, self.event_percentile)

    def _fit_network(
        self,
        validation: Record | None,
        forcings: Any = None,
        *,
        checkpoint: Any = None,
        progress: Callable[[int, int, float], None] | None = None,
    ) -> None:
        """Train the correction, decide how much of it is kept, calibrate probabilities."""
        record, rows, starts, held = self._training
        past = self._past(record)
        raw, rest = self._samples(past, record, starts, held, blocks_of(rows, self.folds, len(record.axis)))
        self._inputs.learn(raw)
        samples = Samples(self._inputs.standard(raw), *rest)
        judged, truth = None, (past, record, starts, held)
        if validation is not None:
            begin = np.arange(self.reach, len(validation.axis) - max(self.leads))
            if not len(begin):
                raise ValueError(
                    f"validation has {len(validation.axis)} steps, fewer than {self.reach} of history and a lead of "
                    f"{max(self.leads)} need; make it longer"
                )
            later = self._past(validation)
            begin = begin[:: max(1, -(-len(begin) * record.layout.cells // _MOST_SAMPLES))]
            known = np.stack([self._chain.anomalies(later, begin, lead) for lead in self.leads], axis=1)
            truth = (later, validation, begin, known.astype(np.float32))
            own = (
                Forcings.fit(forcings, validation.axis, None, record.layout, like=self._forcings)
                if self._forcings
                else None
            )
            raw, more = self._samples(*truth, np.zeros(len(validation.axis), dtype=int), own)
            judged = Samples(self._inputs.standard(raw), *more)
        self._nets, self.history = train(samples, judged, self.settings, checkpoint=checkpoint, progress=progress)
        self._judge(samples if judged is None else judged, own=judged is None, truth=truth)

    def _samples(
        self,
        past: _linear.Past,
        record: Record,
        starts: np.ndarray,
        held: np.ndarray,
        blocks: np.ndarray,
        forcings: Any = None,
    ) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray, np.ndarray]]:
        layout = record.layout
        spread = self._spread_of(record.axis, starts, self._wide)
        truth = np.stack([past.anomalies[starts + lead] for lead in self.leads], axis=1)
        forcings = self._forcings if forcings is None else forcings
        # Every other start is shown only what was known then: the network learns how far to trust what it is given.
        forced = None if forcings is None else forcings.at(starts, self.leads, known=np.arange(len(starts)) % 2 == 0)
        raw = self._inputs.raw(past, starts, self._scale, held, spread, forced)
        flat = lambda a: np.moveaxis(a, 1, 2).reshape(-1, len(self.leads)).astype(np.float32)  # noqa: E731
        weights = spread * layout.weights / (spread * layout.weights).mean()
        block = np.repeat(blocks[starts], layout.cells)
        return raw.reshape(-1, raw.shape[2]), (flat((truth - held) / spread), flat(weights), block)

    def _spread_of(self, axis: Axis, rows: np.ndarray, spreads: dict[int, Any]) -> np.ndarray:
        return np.stack([spreads[lead].at(axis.valid(rows, lead)) for lead in self.leads], axis=1)

    def _judge(
        self, samples: Samples, *, own: bool, truth: tuple[_linear.Past, Record, np.ndarray, np.ndarray]
    ) -> None:
        """Shares of the correction that gain on data not trained on, and the calibration of event probabilities."""
        past, record, starts, held = truth
        cells = record.layout.cells
        shift, log_spread = self._corrections(samples, own)
        self._shares = shares(shift, log_spread, samples, len(starts), _SHARES)
        base = self._spread_of(record.axis, starts, self._wide)
        reshape = lambda a: np.moveaxis(a.reshape(len(starts), cells, -1), 1, 2)  # noqa: E731
        mean = held + self._shares[:, 0, None] * reshape(shift) * base
        spread = base * np.exp(self._shares[:, 1, None] * reshape(log_spread))
        self._calibration = np.zeros((2, len(self.leads), 3))
        for i, lead in enumerate(self.leads):
            valid = record.axis.valid(starts, lead)
            limit = self._threshold.at(valid) - self._season.at(valid)
            actual = past.anomalies[starts + lead]
            fine = np.isfinite(actual)
            weights = np.broadcast_to(record.layout.weights, actual.shape)[fine]
            plain = (held[:, i] - limit) / base[:, i]
            corrected = (mean[:, i] - limit) / spread[:, i]
            happened = (actual > limit)[fine].astype(float)
            part = np.broadcast_to((np.arange(len(starts)) * _PARTS // len(starts))[:, None], actual.shape)
            self._calibration[0, i] = calibrate(plain[fine], None, happened, weights, part[fine])
            self._calibration[1, i] = calibrate(corrected[fine], plain[fine], happened, weights, part[fine])

    def _corrections(self, samples: Samples, own: bool) -> tuple[np.ndarray, np.ndarray]:
        """Corrections of samples, by the network that has not seen them or by the mean of all."""
        size = (len(samples.inputs), len(self.leads))
        shift, log_spread = np.zeros(size, dtype=np.float32), np.zeros(size, dtype=np.float32)
        for k, net in enumerate(self._nets):
            rows = np.flatnonzero(samples.block == k) if own else np.arange(size[0])
            for part in np.array_split(rows, max(1, len(rows) // 65536)):
                with torch.no_grad():
                    a, b = net(torch.from_numpy(np.ascontiguousarray(samples.inputs[part])))
                share = 1 if own else 1 / len(self._nets)
                shift[part] += share * a.numpy()
                log_spread[part] += share * b.numpy()
        return shift, log_spread

    # -- forecasting -----------------------------------------------------------------------------------------------
    def predict(self, init: xr.DataArray | xr.Dataset, *, forcings: Any = None) -> xr.Dataset:
        """Forecast from the last time of ``init``, which holds the steps before it too.

        Parameters
        ----------
        init
            The field up to the start.
        forcings
            Where the forecaster was fitted with forcings: the same, from the start to the last lead. Those after the
            start are themselves a forecast; with a dimension ``member`` the forecast is made for each of them.

        Returns
        -------
        Dataset
            ``mean``, ``std``, ``p_event`` and the event's ``threshold`` over ``lead_time`` and the dimensions of the
            field (and ``member``).
        """
        record = self._read(init, "init")
        row = np.array([len(record.axis) - 1])
        if forcings is not None and "member" in getattr(forcings, "dims", ()):
            members = [self._forced(record, row, forcings.isel(member=i)) for i in range(forcings.sizes["member"])]
            labels = forcings["member"] if "member" in forcings.coords else "member"
            return xr.concat(members, dim=labels).isel(init_time=0)
        return self._forced(record, row, forcings).isel(init_time=0)

    def hindcast(
        self, data: xr.DataArray | xr.Dataset, *, period: Any = None, forcings: Any = None, known: str = "start"
    ) -> xr.Dataset:
        """Forecasts from every time of ``data`` (within ``period``), each from its own past alone.

        Parameters
        ----------
        forcings
            Along the times of ``data``, where the forecaster was fitted with them.
        known
            ``"perfect"``: forcings after the start are shown as they came (the score of a perfect forecast of them);
            ``"start"``: only what is known at the start, and after it the last value fading to the seasonal mean.

        Notes
        -----
        Before ``data`` begin, anomalies count as zero: give :attr:`reach` steps before the first start.
        """
        if known not in ("perfect", "start"):
            raise ValueError(f"known must be 'perfect' or 'start', got {known!r}")
        record = self._read(data, "data")
        rows = np.arange(len(record.axis)) if period is None else as_period(period, record.axis, what="period")
        if self._forcings is not None:
            own = Forcings.fit(forcings, record.axis, None, record.layout, like=self._forcings, extend=max(self.leads))
            if known == "perfect":
                own.require(int(rows[-1]) + max(self.leads))
            out = self._forecasts(record, rows, (own, known))
            out.attrs["forcings"] = "perfect: as they came" if known == "perfect" else "as known at the start"
            return out
        if forcings is not None:
            raise ValueError("forcings were given, but this forecaster was fitted without any; fit it with forcings=")
        return self._forecasts(record, rows)

    def _forced(self, record: Record, rows: np.ndarray, forcings: Any) -> xr.Dataset:
        if self._forcings is None:
            if forcings is not None:
                raise ValueError(
                    "forcings were given, but this forecaster was fitted without any; fit it with forcings="
                )
            return self._forecasts(record, rows)
        own = Forcings.fit(
            forcings, record.axis, None, record.layout, like=self._forcings, start=rows[-1], extend=max(self.leads)
        )
        return self._forecasts(record, rows, (own, "perfect"))

    def _anomalies(self, past: _linear.Past, rows: np.ndarray, lead: int) -> np.ndarray:
        return self._chain.anomalies(past, rows, lead)

    def _block(self, past: _linear.Past, axis: Axis, rows: np.ndarray, forced: Any) -> dict[str, np.ndarray]:
        base = np.stack([self._chain.anomalies(past, rows, lead) for lead in self.leads], axis=1)
        spread = self._spread_of(axis, rows, self._spreads)
        mean, std = base, spread
        if self.correct and self._shares.any():
            shown = None if forced is None else forced[0].at(rows, self.leads, known=forced[1])
            raw = self._inputs.raw(past, rows, self._scale, base, self._spread_of(axis, rows, self._wide), shown)
            shape = raw.shape[:2]
            inputs = self._inputs.standard(raw).reshape(-1, raw.shape[2])
            none = np.zeros((len(inputs), 0), dtype=np.float32)
            shift, log_spread = self._corrections(Samples(inputs, none, none, np.zeros(len(inputs))), own=False)
            reshape = lambda a: np.moveaxis(a.reshape(*shape, -1), 1, 2)  # noqa: E731
            mean = base + self._shares[:, 0, None] * reshape(shift) * spread
            std = spread * np.exp(self._shares[:, 1, None] * reshape(log_spread))
        out = {
            "mean": np.empty_like(mean),
            "std": std,
            "p_event": np.empty_like(mean),
            "threshold": np.empty_like(mean),
        }
        for i, lead in enumerate(self.leads):
            valid = axis.valid(rows, lead)
            out["mean"][:, i] = mean[:, i] + self._season.at(valid)
            out["threshold"][:, i] = self._threshold.at(valid)
            fit, limit = self._calibration[int(self.correct), i], out["threshold"][:, i] - self._season.at(valid)
            other = (base[:, i] - limit) / spread[:, i] if self.correct else None
            out["p_event"][:, i] = probability(mean[:, i], std[:, i], limit, fit, other)
        return out

    def without_network(self) -> "Forecaster":
        """The same forecaster with the network's correction switched off: what it must beat to earn its place."""
        other = copy.copy(self)
        other.correct, other.name = False, "forecaster_zero"
        return other

    # -- other places ----------------------------------------------------------------------------------------------
    def localise(self, history: xr.DataArray | xr.Dataset) -> "Forecaster":
        """A local forecaster for other places: statistics from their own ``history``, the correction as it was learnt.

        Parameters
        ----------
        history
            Years of the same variable at the new cells, before anything that is to be forecast.

        Raises
        ------
        ValueError
            For a forecaster that is not local, another time step, other units, or less than three years.
        """
        fitted = self._fitted()
        if not self.local or self._forcings is not None:
            raise ValueError("only a forecaster with local=True and without forcings serves other places")
        assert self._axis is not None
        record = read(history, axis=self._axis, what="history")
        units, own = fitted.attrs.get("units"), record.layout.attrs.get("units")
        if units is not None and own is not None and not same_units(units, own):
            raise ValueError(f"history is in {own!r}, the forecaster was trained in {units!r}; convert it")
        if len(record.axis) < 3 * record.axis.step.per_year():
            raise ValueError(f"history has {len(record.axis)} steps; three years are needed at least")
        shares, calibration, nets = self._shares, self._calibration, self._nets
        middle, width = self._inputs.middle, self._inputs.width
        other = copy.copy(self)
        other.climatology, other.local = None, True
        other._fit_base(record, np.arange(len(record.axis)))
        other._forget()
        other._shares, other._calibration, other._nets = shares, calibration, nets
        other._inputs.middle, other._inputs.width = middle, width
        return other

    # -- files -----------------------------------------------------------------------------------------------------
    def save(self, path: str | os.PathLike[str]) -> None:
        """Write everything that forecasts need to one safetensors file with a JSON header."""
        from oceankit.forecast.saving import save

        self._fitted()
        save(self, path, card=self.card)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "Forecaster":
        """Read a forecaster; nothing is unpickled, and a file whose contents were changed is refused."""
        from oceankit.forecast.saving import load

        return load(path)

    def _settings(self) -> dict[str, Any]:
        return {
            "leads": list(self.leads),
            "climatology": None if self.climatology is None else [str(d) for d in self.climatology],
            "local": self.local,
            "event_percentile": self.event_percentile,
            "event_threshold": self.event_threshold,
            "folds": self.folds,
            "settings": asdict(self.settings),
        }
