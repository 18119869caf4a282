"""A wind-driven basin of shallow water with a coast: where it is, how it is forced, what is seen of it."""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from oceankit.assimilation import _ensemble_core as core
from oceankit.assimilation import _shallow_water_kernels as kernels
from oceankit.assimilation._twin_model import Model
from oceankit.numerics import threads

__all__ = ["ERROR_STD", "FIELDS", "Basin", "States", "Water", "double_gyre", "model", "states_of_a_free_run"]

FIELDS = (("ssh", "m"), ("u", "m s-1"), ("v", "m s-1"))
ERROR_STD = {"ssh": 0.03, "u": 0.05, "v": 0.05}
STEP = 4800.0
"""Seconds: the fastest gravity wave goes 0.7 of a cell"""
_DAY = 18
_SETTLES, _GAP, _KEPT = 1200, 15, 120
_REPEAT = 10
_NAMES = {
    "ssh": "sea surface height above geoid",
    "u": "velocity through the east face of the cell",
    "v": "velocity through the north face of the cell",
}


class Water(NamedTuple):
    """Numbers of the flow; the order is the kernel's."""

    dx: float = 20e3
    dy: float = 20e3
    gravity: float = 9.81
    reduced: float = 0.02
    """Gravity times the relative density difference to the resting water below"""
    depth: float = 500.0
    """Of the moving layer at rest, m"""
    viscosity: float = 60.0
    drag: float = 2e-8


class Basin:
    """A closed basin on a beta plane.

    Parameters
    ----------
    wet
        bool (y, x): where there is water; the rim is land.
    water
        Numbers of the flow.
    stress
        Eastward wind stress in N/m2: (y,) or (y, x). None: calm.
    f0, beta
        Coriolis parameter (1/s) in the middle of the basin and its change to the north (1/(m s)).
    slip
        0: free slip; 2: no slip; between: partial.
    """

    def __init__(
        self, wet: np.ndarray, water: Water, *, stress: np.ndarray | None = None, f0: float = 5e-5, beta: float = 2e-11,
        slip: float = 2.0,
    ) -> None:  # fmt: skip
        if wet[0].any() or wet[-1].any() or wet[:, 0].any() or wet[:, -1].any():
            raise ValueError("the rim of wet= must be land: the basin is closed")
        self.water = water
        c = wet.astype(np.float64)
        around = np.zeros(wet.shape)
        around[:-1, :-1] = c[:-1, :-1] + c[1:, :-1] + c[:-1, 1:] + c[1:, 1:]
        east, north = np.zeros(wet.shape), np.zeros(wet.shape)
        east[:, :-1], north[:-1] = c[:, :-1] * c[:, 1:], c[:-1] * c[1:]
        self.masks = np.stack([c, east, north, np.where(around == 4, 1.0, slip), around])
        ny, nx = self.shape = wet.shape
        corners = (np.arange(ny) + 1.0 - 0.5 * ny) * water.dy
        self.coriolis = np.ascontiguousarray(np.broadcast_to((f0 + beta * corners)[:, None], wet.shape))
        blown = np.zeros(wet.shape) if stress is None else np.asarray(stress, np.float64).reshape(ny, -1)
        self.wind = np.ascontiguousarray(blown / 1000.0 * east)
        self.x, self.y = (np.arange(nx) + 0.5) * water.dx / 1e3, (np.arange(ny) + 0.5) * water.dy / 1e3

    @property
    def missing(self) -> np.ndarray:
        """bool (3, y, x): where ssh, u and v have no meaning."""
        return self.masks[:3] == 0.0

    def advance(self, states: np.ndarray, dt: float, steps: int) -> None:
        """Take states (members, 3, y, x) or (members, 3 y x) on in place; members are shared among threads."""
        whole = states.reshape(len(states), 3, *self.shape)

        def work(begin: int, end: int) -> None:
            kernels.advance(
                whole[begin:end], self.masks, tuple(self.water), self.wind, self.coriolis, float(dt), int(steps)
            )

        threads.over_blocks(work, len(whole), block=4)

    def energy(self, state: np.ndarray) -> float:
        """Kinetic and available potential energy of one state (3, y, x) over density, m5/s2."""
        w, (_, east, north) = self.water, self.masks[:3]
        h = self.masks[0] * (w.depth + w.gravity / w.reduced * state[0])
        hu, hv = 0.5 * (h + np.roll(h, -1, 1)) * east, 0.5 * (h + np.roll(h, -1, 0)) * north
        raised = (h - w.depth * self.masks[0]) ** 2
        return float(0.5 * w.dx * w.dy * (hu * state[1] ** 2 + hv * state[2] ** 2 + w.reduced * raised).sum())


def double_gyre() -> Basin:
    """1000 by 800 km of 20 km cells, a slanting coast in the north-west, a headland, an island, two wind gyres.

    The reduced gravity, Coriolis parameter and grid are those of Jiang, Jin and Ghil (1995), the friction is weaker, so that
    the flow is aperiodic.
    """
    water, (ny, nx) = Water(), (40, 50)
    y, x = np.mgrid[:ny, :nx]
    wet = np.zeros((ny, nx), bool)
    wet[1:-1, 1:-1] = True
    wet[(x < 8) & (y > ny - 3 - 0.9 * (8 - x))] = False
    wet[(x < 6) & (abs(y - ny // 2) <= 3 - 0.6 * x)] = False
    wet[((x - 32) / 3.2) ** 2 + ((y - 12) / 2.2) ** 2 < 1.0] = False
    return Basin(wet, water, stress=-0.03 * np.cos(2.0 * np.pi * (np.arange(ny) - 0.5) / (ny - 2)))


@cache
def _basin() -> Basin:
    return double_gyre()


@cache
def states_of_a_free_run(number: int = _KEPT, seed: int = 0, gap: int = _GAP) -> np.ndarray:
    """float64 (number, 3 y x): states of one run, ``gap`` days apart, after 1200 days from rest."""
    basin = _basin()
    rng = np.random.default_rng([seed, 1])
    state = np.zeros((1, 3, *basin.shape))
    state[0, 0] = 0.01 * rng.standard_normal(basin.shape) * basin.masks[0]
    basin.advance(state, STEP, _SETTLES * _DAY)
    out = np.empty((number, state.size))
    for k in range(number):
        basin.advance(state, STEP, gap * _DAY)
        out[k] = state.ravel()
    out.setflags(write=False)
    return out


def _begin(rng: np.random.Generator, number: int) -> np.ndarray:
    """States of the free run at random times, none twice."""
    kept = states_of_a_free_run(max(_KEPT, 2 * number))
    return kept[rng.choice(len(kept), number, replace=False)]


def _scales() -> np.ndarray:
    """Standard deviation in time of each field, root mean square over its places."""
    kept = states_of_a_free_run().reshape(_KEPT, 3, -1)
    missing = _basin().missing.reshape(3, -1)
    return np.array([np.sqrt(kept[:, f, ~missing[f]].var(axis=0, ddof=1).mean()) for f in range(3)])


def tracks(cycle: int) -> np.ndarray:
    """int (observations,): cells of ssh under one ascending and one descending pass, which repeat after ten cycles."""
    basin = _basin()
    ny, nx = basin.shape
    row = np.arange(ny)
    # Passes of one day lie far apart, and those of the next days fall between them.
    first = (3 * (cycle % _REPEAT) % _REPEAT) * nx / _REPEAT
    columns = np.concatenate([(first + 0.4 * row) % nx, (first + 0.5 * nx - 0.4 * row) % nx]).astype(np.int64)
    cells = np.unique(np.concatenate([row, row]) * nx + columns)
    return cells[basin.masks[0].ravel()[cells] > 0]


def model() -> Model:
    """The double gyre as a model of twin experiments: a cycle is a day, ssh is observed along two passes."""
    basin = _basin()
    a, b = np.meshgrid(basin.x, basin.y)
    at = np.column_stack([a.ravel(), b.ravel()])
    return Model(
        step=basin.advance,
        dt=STEP,
        steps=_DAY,
        begin=_begin,
        fields=FIELDS,
        places=core.Places(at, np.empty((len(at), 0)), (), 0.0),
        missing=basin.missing.reshape(3, -1),
        error_std=np.repeat([ERROR_STD[name] for name, _ in FIELDS], len(at)),
        observed=tracks,
        scales=_scales,
        gap=_GAP,
        settles=0,
    )


# ---- as fields ----------------------------------------------------------------------------------------------------------


class States:
    """The basin as a model of Datasets: ``states(ensemble, start, end)`` is the ensemble at ``end``.

    Members, if any, lie along ``member``; ssh, u and v have the dimensions y and x.
    """

    name = "shallow_water"

    def __repr__(self) -> str:
        return f"twin.{self.name}"

    def __call__(self, ensemble: xr.Dataset, start: Any, end: Any) -> xr.Dataset:
        """The ensemble at ``end``; computed in float64, in the precision that it came in.

        Raises
        ------
        ValueError
            If the time between is no whole number of steps, or a field or the grid is another.
        """
        basin = _basin()
        seconds = (np.datetime64(end, "ns") - np.datetime64(start, "ns")) / np.timedelta64(1, "s")
        steps = round(seconds / STEP)
        if seconds < 0 or steps * STEP != seconds:
            raise ValueError(
                f"from {start} to {end} are {seconds:g} seconds; the model goes on in whole steps of {STEP:g} seconds"
            )
        lead = [d for d in ensemble["ssh"].dims if d not in ("y", "x")] if "ssh" in ensemble else []
        for name, _ in FIELDS:
            if name not in ensemble or ensemble[name].shape[-2:] != basin.shape or lead not in ([], ["member"]):
                raise ValueError(
                    f"{name!r} must have the dimensions y and x ({basin.shape}), and may have 'member'; "
                    f"the ensemble has {dict(ensemble.sizes)}"
                )
        dims = (*lead, "y", "x")
        fields = [ensemble[name].transpose(*dims) for name, _ in FIELDS]
        states = np.stack([f.values.reshape(-1, *basin.shape) for f in fields], axis=1).astype(np.float64)
        states = np.where(basin.missing, 0.0, states)
        basin.advance(states, STEP, steps)
        return ensemble.assign(as_fields(states, lead, [f.dtype for f in fields])).assign_coords(
            time=np.datetime64(end, "ns")
        )


def as_fields(states: np.ndarray, lead: list[Any], dtypes: list[Any] | None = None) -> dict[str, Any]:
    """States (members, 3, y, x) as variables for a Dataset; land is missing."""
    basin = _basin()
    values = np.where(basin.missing, np.nan, states.reshape(-1, 3, *basin.shape))
    out = {}
    for f, (name, units) in enumerate(FIELDS):
        column = values[:, f].astype(np.float64 if dtypes is None else dtypes[f])
        attrs = {"long_name": _NAMES[name], "units": units}
        out[name] = ((*lead, "y", "x"), column if lead else column[0], attrs)
    return out


def coordinates() -> dict[str, Any]:
    """x and y in km."""
    basin = _basin()
    return {
        "y": ("y", basin.y, {"long_name": "distance to the north", "units": "km"}),
        "x": ("x", basin.x, {"long_name": "distance to the east", "units": "km"}),
    }
