"""How much of a correction to keep: what gains on data that it was not trained on, less one standard error."""

from collections.abc import Sequence

import numpy as np
import torch

from oceankit.forecast.network import crps_gaussian
from oceankit.forecast.training import Samples

__all__ = ["shares"]

_PARTS = 20


def shares(
    shift: np.ndarray, log_spread: np.ndarray, samples: Samples, starts: int, grid: Sequence[float]
) -> np.ndarray:
    """Shares of the corrections of mean and spread for each lead, shape (leads, 2).

    For each pair of shares on ``grid`` the gain in CRPS over no correction is taken in 20 stretches of time; the pair
    with the largest mean gain less its standard error is kept, or none where that is not positive.
    """
    leads = samples.errors.shape[1]
    out = np.zeros((leads, 2))
    known = np.isfinite(samples.errors)
    part = np.repeat(np.arange(starts) * _PARTS // starts, len(samples.errors) // starts)
    for lead in range(leads):
        fine = known[:, lead]
        if not fine.any():
            continue
        error, weight = (torch.from_numpy(a[fine, lead]) for a in (samples.errors, samples.weights))
        a, b = torch.from_numpy(shift[fine, lead]), torch.from_numpy(log_spread[fine, lead])
        where = torch.from_numpy(part[fine])
        total = torch.zeros(_PARTS).index_add_(0, where, weight)
        none = crps_gaussian(torch.zeros_like(a), torch.zeros_like(b), error)
        best = 0.0
        for of_mean in grid:
            for of_spread in grid:
                gain = weight * (none - crps_gaussian(of_mean * a, of_spread * b, error))
                mean = (torch.zeros(_PARTS).index_add_(0, where, gain) / total)[total > 0].double()
                sure = float(mean.mean() - mean.std() / max(len(mean), 2) ** 0.5)
                if sure > best:
                    best, out[lead] = sure, (of_mean, of_spread)
    return out
