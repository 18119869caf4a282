"""Kernels of the ensemble methods: the transform of one place, of all places of a tile, and observations one by one.

S is float64 (observations, members): anomalies of the modelled observations over their errors; d the innovations over
them, P the perturbed innovations of each member. f is members - 1. Every method is a function of the eigenvalues of
S^T S, found in the smaller of observation and ensemble space (Hunt et al. 2007; Sakov and Oke 2008a, b).
"""

import math

import numpy as np

from oceankit.numerics.compiling import kernel
from oceankit.numerics.covariance import gaspari_cohn
from oceankit.numerics.eigen import symmetric, width_of
from oceankit.numerics.within import find

__all__ = [
    "ENKF",
    "DENKF",
    "EOI",
    "ETKF",
    "in_sequence",
    "local",
    "sequence",
    "taper",
    "transform",
    "transformed",
    "turned",
]

ETKF, DENKF, ENKF, EOI = 0, 1, 2, 3


@kernel
def taper(function, share):
    """Gaspari-Cohn (0) or all or nothing (1) at a share of the radius."""
    if function == 0:
        return gaspari_cohn(2.0 * share)
    return 1.0 if share <= 1.0 + 1e-12 else 0.0


@kernel
def _root(method, f, value):
    """What an eigenvalue makes of the anomalies along its vector, less one; and of innovations, times S^T."""
    if method == 0:
        # sqrt(f / (f + value)) - 1, without losing digits where value is small.
        s = math.sqrt(f + value)
        return -value / (s * (math.sqrt(f) + s)), 1.0 / (f + value)
    if method == 1:
        return -0.5 * value / (f + value), 1.0 / (f + value)
    return 0.0, 1.0 / (f + value)


@kernel
def transform(method, s, d, perturbed, omega, out):
    """``out`` (members, members) takes background anomalies to analysis members less the background mean.

    ``omega`` (members, members - 1) is the basis of the error subspace that ensemble space is replaced by, or empty.
    Returns the degrees of freedom for signal.
    """
    p, n = s.shape
    f = n - 1.0
    signal = 0.0
    for i in range(n):
        for j in range(n):
            out[i, j] = 1.0 if i == j else 0.0
    if p == 0:
        return signal
    small = p < n
    reduced = s if small or omega.shape[1] == 0 else s @ omega
    gram = reduced @ reduced.T if small else reduced.T @ reduced
    m = gram.shape[0]
    width = width_of(m)
    values, padded, vectors = np.empty(m), np.zeros((m, width)), np.empty((m, width))
    padded[:, :m] = gram
    if not symmetric(padded, values, vectors, np.empty((m + 3, width))):
        raise ValueError("an ensemble's covariance has no eigenvalues: observations or members are not finite")
    rows = np.ascontiguousarray(vectors[:, :m])
    # Rows of ensemble space. Those of S^T U have length sqrt(value): the anomalies' share is divided by it.
    basis = rows @ s if small else (rows if omega.shape[1] == 0 else rows @ omega.T)
    scaled = np.empty(basis.shape)
    for k in range(m):
        value = max(values[k], 0.0)
        root, gain = _root(method, f, value)
        signal += value * gain
        if small:
            # Both limits at zero are finite.
            root = root / value if value > 0.0 else (-0.5 / f if method < 2 else 0.0)
        for j in range(n):
            scaled[k, j] = basis[k, j] * root
    if method < 2:
        out += basis.T @ scaled
    if method == 2:
        # Each member's own innovation: S^T (S S^T + f)^-1 P.
        right = rows @ perturbed if small else basis @ (s.T @ perturbed)
        for k in range(m):
            gain = 1.0 / (f + max(values[k], 0.0))
            for j in range(n):
                right[k, j] *= gain
        out += basis.T @ right
        return signal
    along = rows @ d if small else basis @ (s.T @ d)
    for k in range(m):
        along[k] /= f + max(values[k], 0.0)
    weight = basis.T @ along
    for i in range(n):
        for j in range(n):
            out[i, j] += weight[i]
    return signal


@kernel
def turned(out, rotation, weights):
    """Anomalies turned by a rotation that keeps the mean: ``weights`` (n,) is their mean over members."""
    n = out.shape[0]
    for i in range(n):
        total = 0.0
        for j in range(n):
            total += out[i, j]
        weights[i] = total / n
    for i in range(n):
        for j in range(n):
            out[i, j] -= weights[i]
    turned = out @ rotation
    for i in range(n):
        for j in range(n):
            out[i, j] = turned[i, j] + weights[i]


@kernel
def _reach(at, extra, cells, obs_extra, scales, sphere, radius, function, found, squared, weights):
    """Observations that reach a place, in the order of their cells, and their tapers.

    Returns how many there are and the three arrays, which are larger ones where they had no room for all.
    """
    n = find(at, cells, found, squared)
    if n > found.size:
        found, squared, weights = np.empty(2 * n, np.int64), np.empty(2 * n), np.empty(2 * n)
        n = find(at, cells, found, squared)
    kept = 0
    for k in range(n):
        distance = math.sqrt(squared[k])
        if sphere > 0.0:
            distance = 2.0 * sphere * math.asin(min(1.0, distance / (2.0 * sphere)))
        weight = taper(function, distance / radius)
        for e in range(scales.size):
            apart = abs(obs_extra[found[k], e] - extra[e])
            # Where one of both has no depth or time, it is near all.
            if weight > 0.0 and apart == apart:
                weight *= taper(function, apart / scales[e])
        if weight > 0.0:
            found[kept], weights[kept] = found[k], weight
            kept += 1
    return kept, found, squared, weights


@kernel
def _stored(state, f, c, mean, new, old, factor, relax, spread):
    """Members of one value from its mean and anomalies, which are inflated: ``new`` ones, and ``old`` of the background."""
    before = after = 0.0
    for j in range(new.size):
        before += old[j] * old[j]
        after += new[j] * new[j]
    scale = factor
    if spread > 0.0 and after > 0.0:
        after, before = math.sqrt(after), math.sqrt(before)
        scale *= 1.0 + spread * (before - after) / after
    for j in range(new.size):
        state[j, f, c] = mean + scale * (new[j] * (1.0 - relax) + old[j] * relax)


@kernel
def _written(state, c, fill, x, members, prior, factor, relax, spread):
    """One place of every field: its members from ``x``, the anomalies inflated."""
    n = state.shape[0]
    new = np.empty(n)
    for f in range(state.shape[1]):
        if fill[f, c]:
            continue
        average = 0.0
        for i in range(n):
            average += state[i, f, c]
        average /= n
        for i in range(n):
            members[i] = (state[i, f, c] - average) * prior
        for j in range(n):
            new[j] = 0.0
        for i in range(n):
            for j in range(n):
                new[j] += members[i] * x[i, j]
        centre = 0.0
        for j in range(n):
            centre += new[j]
        centre /= n
        for j in range(n):
            new[j] -= centre
        _stored(state, f, c, average + centre, new, members, factor, relax, spread)


@kernel
def local(
    method, state, fill, at, extra, cells, obs_extra, scales, sphere, radius, function, squared_taper, s, d, perturbed,
    omega, rotation, prior, factor, relax, spread, counts, signals,
):  # fmt: skip
    """Analyse each place from the observations that reach it, in place; ``state`` is (members, fields, places).

    Observations are in the order of ``cells``. ``fill`` (fields, places) says what is missing and left alone; ``prior``
    multiplies the background's anomalies.
    """
    n = state.shape[0]
    found, squared, weights = np.empty(64, np.int64), np.empty(64), np.empty(64)
    x, members, means = np.empty((n, n)), np.empty(n), np.empty(n)
    for c in range(at.shape[0]):
        if fill[:, c].all():
            continue
        kept, found, squared, weights = _reach(
            at[c], extra[c], cells, obs_extra, scales, sphere, radius, function, found, squared, weights
        )
        here, innovation = np.empty((kept, n)), np.empty(kept)
        own = np.empty((kept if perturbed.shape[0] > 0 else 0, n))
        for k in range(kept):
            w = weights[k] if squared_taper else math.sqrt(weights[k])
            innovation[k] = w * d[found[k]]
            for i in range(n):
                here[k, i] = w * s[found[k], i]
                if own.shape[0] > 0:
                    own[k, i] = w * perturbed[found[k], i]
        counts[c] = kept
        signals[c] = transform(method, here, innovation, own, omega, x)
        if rotation.shape[0] > 0:
            turned(x, rotation, means)
        _written(state, c, fill, x, members, prior, factor, relax, spread)


@kernel
def transformed(state, fill, x, prior, factor, relax, spread):
    """All places by the same transform, in place."""
    members = np.empty(state.shape[0])
    for c in range(state.shape[2]):
        _written(state, c, fill, x, members, prior, factor, relax, spread)


# ---- observations one by one ------------------------------------------------------------------------------------------


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
def sequence(
    hx, value, variance, at, extra, cells, cells_extra, scales, sphere, radius, function, everywhere, steps, slopes
):  # fmt: skip
    """Take observations one after the other, each changing those behind it; steps and slopes are left for the state."""
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
        if everywhere:
            for k in range(i + 1, p):
                _regressed(hx[k], steps[i], slopes[i], 1.0)
            continue
        kept, found, squared, weights = _reach(
            at[i], extra[i], cells, cells_extra, scales, sphere, radius, function, found, squared, weights
        )
        for k in range(kept):
            other = cells.order[found[k]]
            if other > i:
                _regressed(hx[other], steps[i], slopes[i], weights[k])


@kernel
def in_sequence(
    state, fill, at, extra, cells, obs_extra, scales, sphere, radius, function, everywhere, steps, slopes, rotation, prior,
    factor, relax, spread, counts,
):  # fmt: skip
    """What the steps of :func:`sequence` mean for each place, in the order in which observations were taken."""
    n = state.shape[0]
    found, squared, weights = np.empty(64, np.int64), np.empty(64), np.empty(64)
    members, old, turned = np.empty(n), np.empty(n), np.empty(n)
    kept = steps.shape[0]
    number = np.arange(steps.shape[0])
    weight = np.ones(steps.shape[0])
    for c in range(at.shape[0]):
        if fill[:, c].all():
            continue
        if not everywhere:
            kept, found, squared, weights = _reach(
                at[c], extra[c], cells, obs_extra, scales, sphere, radius, function, found, squared, weights
            )
            ids = np.empty(kept, np.int64)
            for k in range(kept):
                ids[k] = cells.order[found[k]]
            by = np.argsort(ids)
            for k in range(kept):
                number[k], weight[k] = ids[by[k]], weights[by[k]]
        counts[c] = kept
        for f in range(state.shape[1]):
            if fill[f, c]:
                continue
            average = 0.0
            for j in range(n):
                average += state[j, f, c]
            average /= n
            for j in range(n):
                old[j] = (state[j, f, c] - average) * prior
                members[j] = old[j]
            for k in range(kept):
                _regressed(members, steps[number[k]], slopes[number[k]], weight[k])
            centre = 0.0
            for j in range(n):
                centre += members[j]
            centre /= n
            for j in range(n):
                members[j] -= centre
            if rotation.shape[0] > 0:
                for j in range(n):
                    total = 0.0
                    for i in range(n):
                        total += members[i] * rotation[i, j]
                    turned[j] = total
                members[:] = turned
            _stored(state, f, c, average + centre, members, old, factor, relax, spread)
