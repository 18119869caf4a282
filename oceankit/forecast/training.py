"""Training of the correction: one network for each block left out, all in step, with checkpoints that resume exactly."""

import math
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from oceankit.forecast._arrays import read_arrays, write_arrays
from oceankit.forecast.network import Corrector, crps_gaussian

__all__ = ["Samples", "Settings", "train"]


@dataclass(frozen=True)
class Settings:
    """How the network is trained; the defaults are the shipped method."""

    width: int = 64
    dropout: float = 0.1
    epochs: int = 12
    patience: int = 3
    batch: int = 4096
    rate: float = 1e-3
    decay: float = 1e-2
    most_samples: int = 400_000  # drawn for each epoch and network
    seed: int = 0
    device: str = "cpu"


@dataclass(frozen=True)
class Samples:
    """Inputs (samples, inputs), errors of the base in units of its spread (samples, leads), weights, and their block."""

    inputs: np.ndarray
    errors: np.ndarray
    weights: np.ndarray
    block: np.ndarray

    def digest(self) -> str:
        """A hash of what is trained on, so that a checkpoint is not resumed with other data."""
        h = sha256()
        for part in (self.inputs, self.errors, self.weights, self.block):
            h.update(str(part.shape).encode())
            h.update(np.ascontiguousarray(part[:: max(1, len(part) // 2000)]).tobytes())
        return h.hexdigest()[:16]


def train(
    samples: Samples,
    held: Samples | None,
    settings: Settings,
    *,
    checkpoint: str | os.PathLike[str] | None = None,
    progress: Callable[[int, int, float], None] | None = None,
) -> tuple[list[Corrector], dict[str, Any]]:
    """Train one network for each block of ``samples``, without that block.

    Each is judged on the block it has not seen, or on ``held`` where given; training stops when the mean CRPS of all of
    them has not fallen for ``patience`` epochs, and the best epoch is taken. Order of samples and dropout depend on
    the seed, the network and the epoch alone, so a run that was killed and resumed ends with the same weights.

    Raises
    ------
    ValueError
        For a checkpoint of other data or settings, or one that is damaged.
    """
    device = torch.device(settings.device)
    runs = [_Run(samples, held, settings, k, device) for k in sorted({int(b) for b in np.unique(samples.block)})]
    state: dict[str, Any] = {"epoch": 0, "best": math.inf, "best_epoch": -1, "scores": [], "start": 0.0}
    mark = {"data": samples.digest(), "settings": asdict(settings)}
    if checkpoint is not None and Path(checkpoint).exists():
        state = _resume(Path(checkpoint), runs, mark)
    if not state["scores"]:
        state["start"] = float(np.mean([run.score() for run in runs]))
        state["best"] = state["start"]
        for run in runs:
            run.keep()
    while state["epoch"] < settings.epochs and state["epoch"] - state["best_epoch"] <= settings.patience:
        for run in runs:
            run.epoch(state["epoch"])
        score = float(np.mean([run.score() for run in runs]))
        state["scores"] = [*state["scores"], score]
        if score < state["best"]:
            state["best"], state["best_epoch"] = score, state["epoch"]
            for run in runs:
                run.keep()
        state["epoch"] += 1
        if progress is not None:
            progress(state["epoch"], settings.epochs, score)
        if checkpoint is not None:
            _save(Path(checkpoint), runs, {**mark, "state": state})
    return [run.best() for run in runs], state


class _Run:
    """One network, its optimiser and the samples it may see."""

    def __init__(
        self, samples: Samples, held: Samples | None, settings: Settings, block: int, device: torch.device
    ) -> None:
        self.settings, self.block, self.device = settings, block, device
        seen = samples.block != block
        self.inputs, self.errors, self.weights = _tensors(samples, seen if seen.any() else ~seen, device)
        judge = samples if held is None else held
        self.judged = _tensors(
            judge, samples.block == block if held is None else np.ones(len(judge.block), bool), device
        )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(1000 * settings.seed + block)
            self.net = Corrector(
                samples.inputs.shape[1], samples.errors.shape[1], width=settings.width, dropout=settings.dropout
            ).to(device)
        self.optimiser = torch.optim.AdamW(self.net.parameters(), lr=settings.rate, weight_decay=settings.decay)
        self.kept = {k: v.clone() for k, v in self.net.state_dict().items()}

    def epoch(self, number: int) -> None:
        s = self.settings
        rng = np.random.default_rng([s.seed, self.block, number])
        order = torch.from_numpy(rng.permutation(len(self.inputs))[: s.most_samples]).to(self.device)
        # Short records have smaller batches, so that an epoch is more than a step or two.
        steps = max(1, len(order) // min(s.batch, max(64, len(order) // 32)))
        devices = [self.device] if self.device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices):
            torch.manual_seed((s.seed * 1000 + self.block) * 1000 + number)
            self.net.train()
            for i, rows in enumerate(torch.tensor_split(order, steps)):
                at = (number + i / steps) / s.epochs
                for group in self.optimiser.param_groups:
                    group["lr"] = s.rate * 0.5 * (1 + math.cos(math.pi * at))
                self.optimiser.zero_grad(set_to_none=True)
                loss = _loss(self.net, self.inputs[rows], self.errors[rows], self.weights[rows])
                loss.backward()
                self.optimiser.step()

    def score(self) -> float:
        self.net.eval()
        with torch.no_grad():
            inputs, errors, weights = self.judged
            parts = range(0, len(inputs), 65536)
            total = sum(
                float(_loss(self.net, inputs[i : i + 65536], errors[i : i + 65536], weights[i : i + 65536]))
                * len(inputs[i : i + 65536])
                for i in parts
            )
        return total / max(len(inputs), 1)

    def keep(self) -> None:
        self.kept = {k: v.detach().clone() for k, v in self.net.state_dict().items()}

    def best(self) -> Corrector:
        self.net.load_state_dict(self.kept)
        return self.net.eval().cpu()

    def arrays(self) -> dict[str, np.ndarray]:
        out = {f"{self.block}.net.{k}": v for k, v in self.net.state_dict().items()}
        out |= {f"{self.block}.kept.{k}": v for k, v in self.kept.items()}
        for i, parameter in self.optimiser.state_dict()["state"].items():
            out |= {f"{self.block}.optimiser.{i}.{k}": v for k, v in parameter.items()}
        return {k: v.detach().cpu().numpy() for k, v in out.items()}

    def load(self, arrays: dict[str, np.ndarray]) -> None:
        tensors = {k: torch.from_numpy(np.array(v)) for k, v in arrays.items()}
        part = lambda kind: {k.split(".", 2)[2]: v for k, v in tensors.items() if k.startswith(f"{self.block}.{kind}.")}  # noqa: E731
        self.net.load_state_dict(part("net"))
        self.kept = {k: v.to(self.device) for k, v in part("kept").items()}
        state: dict[int, dict[str, Tensor]] = {}
        for key, value in part("optimiser").items():
            index, name = key.split(".", 1)
            state.setdefault(int(index), {})[name] = value
        self.optimiser.load_state_dict({**self.optimiser.state_dict(), "state": state})


def _tensors(samples: Samples, rows: np.ndarray, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    return tuple(
        torch.from_numpy(np.ascontiguousarray(a[rows], dtype=np.float32)).to(device)
        for a in (samples.inputs, samples.errors, samples.weights)
    )


def _loss(net: Corrector, inputs: Tensor, errors: Tensor, weights: Tensor) -> Tensor:
    """Weighted mean CRPS over samples and leads whose truth is known."""
    shift, log_spread = net(inputs)
    known = torch.isfinite(errors)
    score = crps_gaussian(shift, log_spread, torch.where(known, errors, torch.zeros_like(errors)))
    weights = torch.where(known, weights, torch.zeros_like(weights))
    return (score * weights).sum() / weights.sum().clamp_min(1e-12)


def _save(path: Path, runs: list[_Run], header: dict[str, Any]) -> None:
    arrays: dict[str, np.ndarray] = {}
    for run in runs:
        arrays |= run.arrays()
    write_arrays(path, arrays, header)


def _resume(path: Path, runs: list[_Run], mark: dict[str, Any]) -> dict[str, Any]:
    arrays, header = read_arrays(path, what="checkpoint")
    if header.get("data") != mark["data"]:
        raise ValueError(f"the checkpoint {path} was made with other training data; remove it to start anew")
    if header.get("settings") != mark["settings"]:
        raise ValueError(
            f"the checkpoint {path} was made with other settings ({header.get('settings')}); "
            "give the same ones, or remove it to start anew"
        )
    for run in runs:
        run.load(arrays)
    state: dict[str, Any] = header["state"]
    return state
