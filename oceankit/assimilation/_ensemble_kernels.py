"""Kernels of the ensemble methods: the transform of one place, and of all places of a tile.

S is float64 (observations, members): anomalies of the modelled observations over their errors; d the innovations over
them, P the perturbed innovations of each member. f is members - 1. Every method is a function of the eigenvalues of
S^T S, found in the smaller of observation and ensemble space (Hunt et al. 2007; Sakov and Oke 2008a, b).

A tile of the state is (places, fields, members): one place's values lie together, and one product turns them all.
"""

import math
from typing import NamedTuple

import numpy as np

from oceankit.numerics.compiling import kernel
from oceankit.numerics.covariance import gaspari_cohn
from oceankit.numerics.eigen import symmetric, width_of
from oceankit.numerics.within import CellList, find

__all__ = [
    "EAKF",
    "ENKF",
    "DENKF",
    "EOI",
    "ETKF",
    "Inflating",
    "System",
    "analysed",
    "idle",
    "reach",
    "stored",
    "taper",
    "transform",
    "weights_at",
    "whole",
]

ETKF, DENKF, ENKF, EOI, EAKF = 0, 1, 2, 3, 4
# A product of fewer multiplications is not cut among threads by the library that does it: kernels are threads already.
_PRODUCT = 200_000


class System(NamedTuple):
    """The observations' side of an analysis, made once for the whole state; observations are in the order of ``cells``."""

    method: int
    cells: CellList
    extra: np.ndarray
    """float64 (observations, extras): depth and time, where these are localized"""
    s: np.ndarray
    """float64 (observations, members); for EAKF the step that each makes members take"""
    d: np.ndarray
    """float64 (observations,)"""
    perturbed: np.ndarray
    """float64 (observations, members) for EnKF; for EAKF what regression multiplies the members by; or empty"""
    omega: np.ndarray
    """float64 (members, members - 1), the basis of the error subspace, or empty"""
    rotation: np.ndarray
    """float64 (members, members) or empty"""
    x: np.ndarray
    """float64 (members, members), the transform of all places where nothing is localized, or empty"""
    signal: float
    reduction: float
    """What ``transform`` says of ``x``"""
    scales: np.ndarray
    sphere: float
    radius: float
    function: int
    squared: bool
    """Whether the taper multiplies anomalies, so that it counts twice"""
    everywhere: bool


class Inflating(NamedTuple):
    """What becomes of the anomalies of members."""

    prior: float
    """Of the background, before all else"""
    factor: float
    relax: float
    """Share of the background's anomalies"""
    spread: float
    """Share of what the spread has lost that is given back"""


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
    Returns the degrees of freedom for signal, and the spread reduction factor: by how much the spread of the modelled
    observations over their errors is larger than after the analysis (Sakov 2014, EnKF-C user guide, section 2.7.4).
    """
    p, n = s.shape
    f = n - 1.0
    signal = before = 0.0
    for i in range(n):
        for j in range(n):
            out[i, j] = 1.0 if i == j else 0.0
    if p == 0:
        return 0.0, 0.0
    small = p < n
    reduced = s if small or omega.shape[1] == 0 else s @ omega
    m = p if small else reduced.shape[1]
    width = width_of(m)
    values, padded, vectors = np.empty(m), np.zeros((m, width)), np.empty((m, width))
    _gram(reduced, small, padded)
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
        before += value / f
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
        return signal, math.sqrt(before / signal) - 1.0 if signal > 0.0 else 0.0
    along = rows @ d if small else basis @ (s.T @ d)
    for k in range(m):
        along[k] /= f + max(values[k], 0.0)
    weight = basis.T @ along
    for i in range(n):
        for j in range(n):
            out[i, j] += weight[i]
    return signal, math.sqrt(before / signal) - 1.0 if signal > 0.0 else 0.0


@kernel
def _gram(s, rows, out):
    """``s s^T`` or ``s^T s`` in the first columns of ``out``."""
    m = out.shape[0]
    if rows:
        step = max(_PRODUCT // max(s.size, 1), 1)
        for i in range(0, m, step):
            out[i : i + step, :m] = s[i : i + step] @ s.T
        return
    step = max(_PRODUCT // (m * m), 1)
    for k in range(0, s.shape[0], step):
        part = s[k : k + step]
        out[:, :m] += part.T @ part


@kernel
def _turned(out, rotation, weights):
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
def reach(at, extra, cells, obs_extra, scales, sphere, radius, function, found, squared, weights):
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
def _applied(rows, fill, x, anomalies, new, inflating):
    """One place's values (fields, members) by the transform ``x``, in place; both are of the state's type."""
    n = rows.shape[1]
    means = np.empty(rows.shape[0])
    for f in range(rows.shape[0]):
        total = 0.0
        for i in range(n):
            total += rows[f, i]
        means[f] = total / n
        for i in range(n):
            anomalies[f, i] = (rows[f, i] - means[f]) * inflating.prior
    step = max(_PRODUCT // (n * n), 1)
    for f in range(0, rows.shape[0], step):
        np.dot(anomalies[f : f + step], x, new[f : f + step])
    for f in range(rows.shape[0]):
        if not fill[f]:
            stored(rows[f], means[f], new[f], anomalies[f], inflating)


@kernel
def stored(row, mean, new, old, inflating):
    """Members of one value: its mean, and what the analysis adds to it, whose anomalies are inflated."""
    n = row.size
    if inflating.factor == 1.0 and inflating.relax == 0.0 and inflating.spread == 0.0:
        for j in range(n):
            row[j] = mean + new[j]
        return
    centre = before = after = 0.0
    for j in range(n):
        centre += new[j]
    centre /= n
    for j in range(n):
        before += float(old[j]) * old[j]
        after += (new[j] - centre) * (new[j] - centre)
    scale = inflating.factor
    if inflating.spread > 0.0 and after > 0.0:
        after, before = math.sqrt(after), math.sqrt(before)
        scale *= 1.0 + inflating.spread * (before - after) / after
    relax = inflating.relax
    for j in range(n):
        row[j] = mean + centre + scale * ((new[j] - centre) * (1.0 - relax) + old[j] * relax)


@kernel
def whole(system, x):
    """One transform for all places, in ``x``; returns what :func:`transform` says."""
    said = transform(system.method, system.s, system.d, system.perturbed, system.omega, x)
    if system.rotation.shape[0] > 0:
        _turned(x, system.rotation, np.empty(x.shape[0]))
    return said


@kernel
def weights_at(system, at, extra, found, squared, weights, x, means):
    """The transform of one place in ``x``; returns how many observations reached it, what ``transform`` says, and the arrays."""
    n = x.shape[0]
    kept, found, squared, weights = reach(
        at, extra, system.cells, system.extra, system.scales, system.sphere, system.radius, system.function,
        found, squared, weights,
    )  # fmt: skip
    here, innovation = np.empty((kept, n)), np.empty(kept)
    own = np.empty((kept if system.perturbed.shape[0] > 0 else 0, n))
    for k in range(kept):
        w = weights[k] if system.squared else math.sqrt(weights[k])
        innovation[k] = w * system.d[found[k]]
        for i in range(n):
            here[k, i] = w * system.s[found[k], i]
            if own.shape[0] > 0:
                own[k, i] = w * system.perturbed[found[k], i]
    signal, reduction = transform(system.method, here, innovation, own, system.omega, x)
    if system.rotation.shape[0] > 0:
        _turned(x, system.rotation, means)
    return kept, signal, reduction, found, squared, weights


@kernel
def _cast(x, out):
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            out[i, j] = x[i, j]


@kernel
def idle(system, inflating):
    """Whether a place that no observation reaches keeps its values, to the bit."""
    return system.rotation.shape[0] == 0 and inflating.prior == 1.0 and inflating.factor == 1.0


@kernel
def analysed(system, inflating, state, fill, at, extra, counts, signals, reductions):
    """Analyse each place of a tile from the observations that reach it, in place.

    ``state`` is (places, fields, members); ``fill`` (places, fields) says what is missing and left alone.
    """
    n = state.shape[2]
    still = idle(system, inflating)
    found, squared, weights = np.empty(64, np.int64), np.empty(64), np.empty(64)
    x, means = np.empty((n, n)), np.empty(n)
    cast = np.empty((n, n), state.dtype)
    anomalies, new = np.empty(state.shape[1:], state.dtype), np.empty(state.shape[1:], state.dtype)
    if system.everywhere:
        _cast(system.x, cast)
    for c in range(state.shape[0]):
        if fill[c].all():
            continue
        if system.everywhere:
            counts[c], signals[c], reductions[c] = system.d.size, system.signal, system.reduction
        else:
            counts[c], signals[c], reductions[c], found, squared, weights = weights_at(
                system, at[c], extra[c], found, squared, weights, x, means
            )
            if still and counts[c] == 0:
                continue
            _cast(x, cast)
        _applied(state[c], fill[c], cast, anomalies, new, inflating)
