"""What the network is shown of each cell at the start: its own past, its surroundings, the base forecast, forcings."""

from dataclasses import dataclass, field

import numpy as np
from scipy.ndimage import uniform_filter

from oceankit.forecast._linear import Past
from oceankit.forecast._record import Layout

__all__ = ["Inputs", "scale_of"]

LAGS = {
    "monthly": (0, 1, 2, 3, 6),
    "daily": (0, 1, 2, 3, 5, 7, 10, 14, 21, 29),
    "hourly": (0, 1, 2, 3, 4, 6, 9, 12, 13, 18, 24, 25),
}
# Steps of trailing means: what the sea drifts back to is not the mean of the training years but of the last one.
MEANS: dict[str, tuple[int, ...]] = {"monthly": (), "daily": (30, 365), "hourly": (72,)}
_BOXES = (3, 7)
_MOST_LEADS = 6


def scale_of(anomalies: np.ndarray) -> np.ndarray:
    """Standard deviation of each cell's anomalies, 1 where there are none."""
    known = np.isfinite(anomalies)
    square = np.where(known, anomalies, 0.0) ** 2
    scale = np.sqrt(square.sum(axis=0) / np.maximum(known.sum(axis=0), 1))
    return np.where(scale > 0, scale, 1.0)


@dataclass
class Inputs:
    """Lays out the network's inputs: (rows, cells, ``count``) in float32, each standardised over the training.

    Local inputs are the same whichever cells were trained on; others look at neighbours and at the mean of all cells.
    """

    cadence: str
    leads: tuple[int, ...]
    local: bool
    layout: Layout
    forcings: tuple[str, ...] = ()
    middle: np.ndarray = field(default_factory=lambda: np.zeros(0))
    width: np.ndarray = field(default_factory=lambda: np.ones(0))

    @property
    def reach(self) -> int:
        """Steps of history looked at."""
        return max(*LAGS[self.cadence], *(n - 1 for n in MEANS[self.cadence]))

    @property
    def shown_leads(self) -> list[int]:
        """Positions of the leads whose base forecast is shown."""
        return sorted({round(i) for i in np.linspace(0, len(self.leads) - 1, min(_MOST_LEADS, len(self.leads)))})

    def raw(
        self,
        past: Past,
        rows: np.ndarray,
        scale: np.ndarray,
        base: np.ndarray,
        spread: np.ndarray,
        forced: np.ndarray | None,
    ) -> np.ndarray:
        """Inputs before standardising.

        Parameters
        ----------
        rows
            Starts.
        scale
            Standard deviation of each cell.
        base, spread
            Base forecast of anomalies and its standard deviation, (rows, leads, cells).
        forced
            Forcings (rows, 1 + leads, forcings, cells or 1): at the start and at each lead, standardised; or None.
        """
        own = [past.lagged(rows, lag) / scale for lag in LAGS[self.cadence]]
        rough = sum(np.abs(past.lagged(rows, k) - past.lagged(rows, k + 1)) for k in range(3)) / (3 * scale)
        parts = [*own, rough, *(past.trailing(rows, steps) / scale for steps in MEANS[self.cadence])]
        cells = own[0].shape[1]
        if not self.local and cells > 1:
            weights = self.layout.weights
            for one in (own[0], own[2]):
                parts.append(np.broadcast_to((one @ weights / weights.sum())[:, None], one.shape))
            lattice = self.layout.lattice()
            if lattice is not None:
                parts += [self._box(own[0], lattice, size) for size in _BOXES]
        for i in self.shown_leads:
            parts += [base[:, i] / scale, np.log(spread[:, i] / scale)]
        angle = 2 * np.pi * past.phase[rows]
        parts += [np.broadcast_to(f(k * angle)[:, None], own[0].shape) for k in (1, 2) for f in (np.cos, np.sin)]
        if forced is not None:
            for i in [0, *(1 + k for k in range(len(self.leads)))]:
                parts += [np.broadcast_to(forced[:, i, j], own[0].shape) for j in range(forced.shape[2])]
        return np.stack(parts, axis=2).astype(np.float32)

    def _box(self, values: np.ndarray, lattice: tuple[int, int], size: int) -> np.ndarray:
        """Mean over a box of ``size`` cells around each, of the sea in it."""
        sea = self.layout.sea.astype(float)
        full = np.zeros((len(values), sea.size))
        full[:, self.layout.sea] = values
        total = uniform_filter(full.reshape(-1, *lattice), size=(0, size, size), mode="constant")
        share = uniform_filter(sea.reshape(lattice), size=size, mode="constant").reshape(-1)[self.layout.sea]
        return total.reshape(len(values), -1)[:, self.layout.sea] / share

    def learn(self, raw: np.ndarray) -> None:
        """Take means and standard deviations of raw inputs (samples, count)."""
        self.middle = raw.mean(axis=0, dtype=np.float64).astype(np.float32)
        width = raw.std(axis=0, dtype=np.float64)
        self.width = np.where(width > 1e-6, width, 1.0).astype(np.float32)

    def standard(self, raw: np.ndarray) -> np.ndarray:
        """Standardised inputs, held within five standard deviations: nothing is extrapolated without end."""
        return np.clip((raw - self.middle) / self.width, -5.0, 5.0)
