"""The network: a small perceptron that every cell shares, whose correction of the base forecast is zero at birth."""

import math
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["Corrector", "crps_gaussian", "parameters_of"]

_WIDEST = 1.5  # the spread may change by a factor of exp(1.5) at most


class Corrector(nn.Module):
    """Corrections of mean and spread at all leads from the inputs of one cell.

    Parameters
    ----------
    inputs
        Number of inputs.
    leads
        Number of leads.
    width
        Hidden units in each of two layers.
    dropout
        Share of hidden units left out in training.
    """

    def __init__(self, inputs: int, leads: int, *, width: int = 64, dropout: float = 0.1) -> None:
        super().__init__()
        self.leads = leads
        self.body = nn.Sequential(
            nn.Linear(inputs, width),
            nn.SiLU(),
            nn.Dropout(dropout),
            nn.Linear(width, width),
            nn.SiLU(),
            nn.Dropout(dropout),
        )
        self.head = nn.Linear(width, 2 * leads)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Correction of the mean in units of the base's spread, and of the logarithm of the spread: (samples, leads)."""
        out = self.head(self.body(x))
        return out[..., : self.leads], _WIDEST * torch.tanh(out[..., self.leads :] / _WIDEST)


def crps_gaussian(shift: Tensor, log_spread: Tensor, error: Tensor) -> Tensor:
    """CRPS of a Gaussian (Gneiting et al. 2005, eq. 5), all in units of the base's spread."""
    spread = torch.exp(log_spread)
    z = (error - shift) / spread
    return spread * (
        z * torch.erf(z / math.sqrt(2)) + math.sqrt(2 / math.pi) * torch.exp(-0.5 * z * z) - 1 / math.sqrt(math.pi)
    )


def parameters_of(module: Any) -> int:
    """Number of trainable values."""
    return sum(p.numel() for p in module.parameters())
