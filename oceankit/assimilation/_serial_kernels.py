"""Kernels that take observations one by one (Anderson 2003): first what each does to those behind it, then to the state."""

import math

import numpy as np

from oceankit.assimilation._ensemble_kernels import reach, stored
from oceankit.numerics.compiling import kernel

__all__ = ["in_sequence", "sequence"]


@kernel
def _shift(value, variance, hx, i, mean, spread, out_step, out_slope):
    """What observation ``i`` does to each of its own members, and the members' anomalies over their variance."""
    n = hx.shape[1]
    squares = spread * (n - 1.0)
    after = 1.0 / (1.0 / spread + 1.0 / variance)
    centre = after * (mean / spread + value / variance)
    shrink = math.sqrt(after / spread)
    for j in range(n):
        anomaly = hx[i, j] - mean
        out_step[i, j] = (centre - mean) + (shrink - 1.0) * anomaly
        out_slope[i, j] = anomaly / squares


@kernel
def _regressed(members, step, slope, weight):
    """Add to ``members`` what an observation's step means for them, times a taper."""
    total = 0.0
    for j in range(members.size):
        total += members[j] * slope[j]
    for j in range(members.size):
        members[j] += weight * total * step[j]


@kernel
def sequence(system, hx, value, variance, at, extra, steps, slopes):
    """Take observations one after the other, each changing those behind it; steps and slopes are left for the state.

    All arrays are in the order in which observations are taken.
    """
    p = hx.shape[0]
    found, squared, weights = np.empty(64, np.int64), np.empty(64), np.empty(64)
    for i in range(p):
        mean = spread = 0.0
        for j in range(hx.shape[1]):
            mean += hx[i, j]
        mean /= hx.shape[1]
        for j in range(hx.shape[1]):
            spread += (hx[i, j] - mean) ** 2
        spread /= hx.shape[1] - 1.0
        if not spread > 0.0:
            # No member differs: the observation can change nothing.
            for j in range(hx.shape[1]):
                steps[i, j] = slopes[i, j] = 0.0
            continue
        _shift(value[i], variance[i], hx, i, mean, spread, steps, slopes)
        if system.everywhere:
            for k in range(i + 1, p):
                _regressed(hx[k], steps[i], slopes[i], 1.0)
            continue
        kept, found, squared, weights = reach(
            at[i], extra[i], system.cells, system.extra, system.scales, system.sphere, system.radius, system.function,
            found, squared, weights,
        )  # fmt: skip
        for k in range(kept):
            other = system.cells.order[found[k]]
            if other > i:
                _regressed(hx[other], steps[i], slopes[i], weights[k])


@kernel
def in_sequence(system, inflating, state, fill, at, extra, counts):
    """What the steps of :func:`sequence` mean for each place, in the order in which observations were taken."""
    n = state.shape[2]
    found, squared, weights = np.empty(64, np.int64), np.empty(64), np.empty(64)
    members, old = np.empty(n), np.empty(n)
    kept = system.s.shape[0]
    number, weight = np.arange(kept), np.ones(kept)
    if system.everywhere:
        number[:] = np.argsort(system.cells.order)
    for c in range(state.shape[0]):
        if fill[c].all():
            continue
        if not system.everywhere:
            kept, found, squared, weights = reach(
                at[c], extra[c], system.cells, system.extra, system.scales, system.sphere, system.radius,
                system.function, found, squared, weights,
            )  # fmt: skip
            ids = np.empty(kept, np.int64)
            for k in range(kept):
                ids[k] = system.cells.order[found[k]]
            by = np.argsort(ids)
            for k in range(kept):
                number[k], weight[k] = found[by[k]], weights[by[k]]
        counts[c] = kept
        for f in range(state.shape[1]):
            if fill[c, f]:
                continue
            mean = 0.0
            for j in range(n):
                mean += state[c, f, j]
            mean /= n
            for j in range(n):
                old[j] = (state[c, f, j] - mean) * inflating.prior
                members[j] = old[j]
            for k in range(kept):
                _regressed(members, system.s[number[k]], system.perturbed[number[k]], weight[k])
            if system.rotation.shape[0] > 0:
                members[:] = _rotated(members, system.rotation)
            stored(state[c, f], mean, members, old, inflating)


@kernel
def _rotated(members, rotation):
    """Anomalies turned; the rotation keeps the mean."""
    n = members.size
    out = np.empty(n)
    for j in range(n):
        total = 0.0
        for i in range(n):
            total += members[i] * rotation[i, j]
        out[j] = total
    return out
