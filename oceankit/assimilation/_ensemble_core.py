"""The algebra of the ensemble methods on plain arrays: what fields, tables and twin experiments have in common."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from oceankit.assimilation import _ensemble_kernels as kernels
from oceankit.assimilation import _serial_kernels as serial
from oceankit.assimilation import _weight_grid_kernels as grid
from oceankit.assimilation._ensemble_kernels import Inflating, System
from oceankit.assimilation._weight_grid_kernels import Between
from oceankit.assimilation.inflation import RTPP, RTPS, Forgetting, Inflation, Multiplicative
from oceankit.assimilation.localization import Localization, scales
from oceankit.numerics import threads, within
from oceankit.numerics.lanes import lanes_of
from oceankit.numerics.products import TOGETHER

__all__ = [
    "Anchors",
    "Found",
    "Modelled",
    "Places",
    "cut",
    "error_subspace",
    "prepared",
    "random_rotation",
    "solve",
    "solve_between",
]

_BLOCK = 256


class Places(NamedTuple):
    """Where values or observations are."""

    at: np.ndarray
    """float64 (n, 2 or 3): points on the sphere of radius ``sphere``, or on a plane"""
    extra: np.ndarray
    """float64 (n, extras): depth and time, where these are localized"""
    names: tuple[str, ...]
    sphere: float
    """Radius in the units of the localization; 0 on a plane"""


class Modelled(NamedTuple):
    """Observations, and what the members would have measured."""

    hx: np.ndarray
    """float64 (observations, members)"""
    value: np.ndarray
    error_std: np.ndarray
    places: Places
    observed: np.ndarray | None = None
    """int64 (observations,): the value of the state (fields, places) that each is of, where it is one"""


class Found(NamedTuple):
    """What an analysis says of itself."""

    counts: np.ndarray
    """int64 (places,): observations that reached each"""
    signals: np.ndarray
    """float64 (places,): degrees of freedom for signal"""
    reductions: np.ndarray
    """float64 (places,): spread reduction factors"""


class Anchors(NamedTuple):
    """Where transforms are found, and where the rows and columns of a tile lie between them."""

    places: Places
    """Those of the anchors; ``at`` is (rows, columns, levels, 2 or 3) and ``extra`` (rows, columns, levels, extras)"""
    rows: np.ndarray
    """int64 (rows of the tile,): the anchor before each"""
    row_shares: np.ndarray
    """float64 (rows of the tile,): how far it is to the next"""
    columns: np.ndarray
    column_shares: np.ndarray

    def between(self, wet: np.ndarray, members: int, dtype: np.dtype) -> Between:
        """What is kept from row to row of a tile whose places have values of ``dtype`` where ``wet`` (rows, columns, levels)."""
        rows, columns, levels = self.places.at.shape[:3]
        needed = np.zeros((rows, levels, columns), bool)
        grid.needed(wet, self.rows, self.columns, needed)
        lanes, shape = lanes_of(dtype), (-(-members // TOGETHER), members, TOGETHER)
        return Between(
            which=np.full(2, -1), found=np.empty((levels, columns, int(np.prod(shape))), dtype),
            laid=np.empty((2, levels, -(-len(self.columns) // lanes), *shape, lanes), dtype),
            said=np.empty((2, levels, columns, 3)), needed=needed,
        )  # fmt: skip


def random_rotation(rng: np.random.Generator, members: int) -> np.ndarray:
    """An orthogonal matrix (members, members) that keeps the mean, drawn evenly (Sakov and Oke 2008b)."""
    q, r = np.linalg.qr(rng.standard_normal((members - 1, members - 1)))
    q = q * np.sign(np.diag(r))
    basis = error_subspace(members)
    return np.ascontiguousarray(basis @ q @ basis.T + 1.0 / members)


def error_subspace(members: int) -> np.ndarray:
    """Orthonormal columns (members, members - 1), each adding up to nothing (Nerger et al. 2012)."""
    out = np.eye(members, members - 1)
    out -= 1.0 / (members * (1.0 + 1.0 / np.sqrt(members)))
    out[-1] = -1.0 / np.sqrt(members)
    return out


def inflating(inflation: Inflation | None) -> Inflating:
    """An inflation as the kernels take it."""
    return Inflating(
        prior=1.0 / np.sqrt(inflation.value) if isinstance(inflation, Forgetting) else 1.0,
        factor=inflation.value if isinstance(inflation, Multiplicative) else 1.0,
        relax=inflation.value if isinstance(inflation, RTPP) else 0.0,
        spread=inflation.value if isinstance(inflation, RTPS) else 0.0,
    )


def prepared(
    method: int,
    seen: Modelled,
    *,
    localization: Localization | None,
    prior: float,
    perturbations: np.ndarray | None = None,
    rotation: np.ndarray | None = None,
    subspace: bool = False,
) -> System:
    """The observations' side of an analysis.

    Parameters
    ----------
    method
        One of those of the kernels.
    prior
        Multiplies the background's anomalies.
    perturbations
        float64 (observations, members), for EnKF.
    rotation
        float64 (members, members).
    """
    p, members = seen.hx.shape
    mean = seen.hx.mean(axis=1, keepdims=True)
    anomalies = (seen.hx - mean) * prior
    places, sphere = seen.places, seen.places.sphere
    at, extra = places.at, places.extra
    if localization is None:
        # Everything is at the same place.
        at, extra, radius, limits, function, twice = np.zeros((p, 2)), np.zeros((p, 0)), 1.0, np.empty(0), 1, False
        cells = within.build(at, 1.0)
    else:
        radius, function = localization.radius, localization.function
        twice, limits = localization.taper_on == "anomalies", scales(localization, places.names)
        # Straight through the sphere: what is farther than half way round is everywhere.
        straight = 2.0 * sphere * np.sin(min(0.5 * radius / sphere, 0.5 * np.pi)) if sphere > 0 else radius
        cells = within.build(at, straight)
    order = cells.order
    none = np.empty((0, members))
    s = np.ascontiguousarray((anomalies / seen.error_std[:, None])[order])
    perturbed = none
    if perturbations is not None:
        # Of inflated members, as S is.
        own = seen.value[:, None] + perturbations - mean - anomalies
        perturbed = np.ascontiguousarray((own / seen.error_std[:, None])[order])
    system = System(
        method=method, cells=cells, extra=np.ascontiguousarray(extra[order]), s=s,
        d=np.ascontiguousarray(((seen.value - mean[:, 0]) / seen.error_std)[order]), perturbed=perturbed,
        omega=error_subspace(members) if subspace else np.empty((members, 0)),
        rotation=np.empty((0, 0)) if rotation is None else rotation, x=np.empty((0, 0)), signal=0.0, reduction=0.0,
        scales=limits, sphere=sphere, radius=radius, function=function, squared=twice, everywhere=localization is None,
    )  # fmt: skip
    if method == kernels.EAKF:
        steps, slopes = np.empty((p, members)), np.empty((p, members))
        serial.sequence(system, mean + anomalies, seen.value, seen.error_std**2, at, extra, steps, slopes)
        return system._replace(s=np.ascontiguousarray(steps[order]), perturbed=np.ascontiguousarray(slopes[order]))
    if localization is None:
        x = np.empty((members, members))
        signal, reduction = kernels.whole(system, x)
        return system._replace(x=x, signal=signal, reduction=reduction)
    return system


def cut(system: System, places: Places) -> System:
    """What of the observations can reach some of the places: enough for a tile, in the order that they have as a whole."""
    if system.everywhere:
        return system
    at = places.at.reshape(-1, places.at.shape[-1])
    at = at[np.isfinite(at).all(axis=1)]
    reach = system.cells.reach
    keep = np.zeros(len(system.d), bool)
    if len(at):
        low, high = at.min(axis=0) - reach * (1 + 1e-6), at.max(axis=0) + reach * (1 + 1e-6)
        keep = ((system.cells.points >= low) & (system.cells.points <= high)).all(axis=1)
    cells = system.cells
    return system._replace(
        cells=cells._replace(points=cells.points[keep], order=cells.order[keep], keys=cells.keys[keep]),
        extra=system.extra[keep], s=system.s[keep], d=system.d[keep],
        perturbed=system.perturbed[keep] if len(system.perturbed) else system.perturbed,
    )  # fmt: skip


def solve(system: System, inflate: Inflating, state: np.ndarray, missing: np.ndarray, places: Places) -> Found:
    """Turn a tile of the background ensemble into the analysis, in place.

    Parameters
    ----------
    state
        Floats (places, fields, members).
    missing
        bool (places, fields): left alone.
    """
    found = nothing_found(state.shape[0])
    if system.method == kernels.EAKF:
        serial.in_sequence(system, inflate, state, missing, places.at, places.extra, found.counts)
    else:
        kernels.analysed(system, inflate, state, missing, places.at, places.extra, *found)
    return found


def solve_between(
    system: System, inflate: Inflating, state: np.ndarray, missing: np.ndarray, anchors: Anchors, some: slice,
    work: Between, found: Found,
) -> None:  # fmt: skip
    """The same for rows ``some`` of a tile that lie between the same two rows of anchors; rows come one after the other.

    ``state`` is (levels, rows, members, fields, columns), ``missing`` (levels, rows, fields, columns), and what is found
    (rows, columns, levels).
    """
    grid.between_anchors(
        system, inflate, state, missing, anchors.places.at, anchors.places.extra, anchors.rows[some.start],
        anchors.row_shares[some], anchors.columns, anchors.column_shares, work, *found,
    )  # fmt: skip


def nothing_found(shape: int | tuple[int, ...]) -> Found:
    """For so many places."""
    return Found(np.zeros(shape, np.int64), np.zeros(shape), np.zeros(shape))


def solve_all(system: System, inflate: Inflating, state: np.ndarray, missing: np.ndarray, places: Places) -> None:
    """The same for a state (members, fields, places) that is one array, missing (fields, places), shared among threads."""

    def work(begin: int, end: int) -> None:
        tile = np.ascontiguousarray(state[:, :, begin:end].transpose(2, 1, 0))
        gone = np.ascontiguousarray(missing[:, begin:end].T)
        here = places._replace(at=places.at[begin:end], extra=places.extra[begin:end])
        solve(system, inflate, tile, gone, here)
        state[:, :, begin:end] = tile.transpose(2, 1, 0)

    threads.over_blocks(work, state.shape[2], block=_BLOCK)
