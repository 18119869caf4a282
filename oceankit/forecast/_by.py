"""What scores are grouped by: lead, time of the year, regions, depth, any coordinate of the cells or column of a table."""

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import xarray as xr

from oceankit.fields.coordinates import candidates, describe, horizontal, in_degrees
from oceankit.forecast._pairing import Given, Pairs, on_grid, place_in_year

__all__ = ["Groups", "groups_of"]

_SEASONS = ("DJF", "MAM", "JJA", "SON")


@dataclass(frozen=True)
class _Part:
    """One dimension of the groups: its labels, and which of them a pair has (below zero: none)."""

    name: str
    labels: xr.DataArray
    numbers: Callable[[Pairs], np.ndarray]
    members: np.ndarray | None = None
    """Which places belong, where parts overlap: bool (labels, places)"""
    bounds: np.ndarray | None = None
    """Ends of bins: (labels, 2)"""

    def passes(self, pairs: Pairs) -> Iterator[np.ndarray]:
        """Numbers of the groups; where regions overlap, once for each of them."""
        if self.members is None:
            yield self.numbers(pairs)
            return
        for k, inside in enumerate(self.members):
            yield np.where(inside[pairs.place], k, -1)


class Groups:
    """All combinations of what scores are grouped by."""

    def __init__(self, parts: Sequence[_Part]) -> None:
        self.parts = tuple(parts)
        self.dims = tuple(p.name for p in parts)
        self.shape = tuple(p.labels.size for p in parts)
        self.size = int(np.prod(self.shape, dtype=np.int64))
        self.coords: dict[Hashable, Any] = {part.name: part.labels for part in parts}
        self.coords |= {f"{p.name}_bounds": ((p.name, "bounds"), p.bounds) for p in parts if p.bounds is not None}

    def numbers(self, pairs: Pairs) -> Iterator[np.ndarray]:
        """Group of each pair, broadcastable to the pairs."""
        for chosen in product(*(list(part.passes(pairs)) for part in self.parts)):
            number: Any = np.zeros(1, np.int64)
            outside: Any = np.zeros(1, bool)
            for part, own in zip(self.parts, chosen, strict=True):
                number = number * part.labels.size + own
                outside = outside | (own < 0)
            yield np.where(outside, -1, number)


def groups_of(by: Any, given: Given, obs: xr.Dataset | None) -> Groups:
    """Read ``by``: a name, several names, or a mapping from names to what they are made of.

    Raises
    ------
    ValueError
        For a name that is neither a dimension of the forecast, a coordinate of its cells, nor a column of the table.
    """
    if isinstance(by, str):
        by = (by,)
    wanted = dict(by) if isinstance(by, Mapping) else dict.fromkeys(by)
    return Groups([_part(str(name), spec, given, obs) for name, spec in wanted.items()])


def _part(name: str, spec: Any, given: Given, obs: xr.Dataset | None) -> _Part:
    if spec is None and name == "lead_time":
        own = given.lead.reset_coords(drop=True)
        return _Part(
            name, xr.DataArray(np.atleast_1d(own.values), dims=name, attrs=own.attrs), lambda pairs: pairs.lead
        )
    if spec is None and name == "month":
        labels = xr.DataArray(np.arange(1, 13), dims=name, attrs={"long_name": "month of the valid time"})
        return _Part(name, labels, lambda pairs: place_in_year(pairs.valid, "month"))
    if spec is None and name == "season":
        labels = xr.DataArray(list(_SEASONS), dims=name, attrs={"long_name": "season of the valid time"})
        return _Part(name, labels, lambda pairs: (place_in_year(pairs.valid, "month") + 1) % 12 // 3)
    if isinstance(spec, Mapping):
        return _regions(name, spec, given, obs)
    if isinstance(spec, xr.DataArray):
        if obs is not None:
            raise ValueError(
                f"by={{{name!r}: ...}} labels cells, but the truth is a table of observations: give outlines, such as "
                f"{{'north': (west, east, south, north)}}, or the name of a column"
            )
        values = on_grid(spec, given.cells, f"by={{{name!r}: ...}}", given.space).values.ravel()
    else:
        values = _column(name, given, obs)
    if spec is None or isinstance(spec, xr.DataArray):
        return _values(name, values)
    return _bins(name, np.asarray(spec, np.float64), values)


def _column(name: str, given: Given, obs: xr.Dataset | None) -> np.ndarray:
    """A value for each place: a column of the table or a coordinate of the cells."""
    if obs is not None:
        if name not in obs.variables or obs[name].dims != ("obs",):
            raise ValueError(
                f"by={name!r} is no column of the observations, which have {[str(v) for v in obs.variables]}"
            )
        return np.asarray(obs[name].values)
    cells = given.cells
    found = (
        name if name in cells.coords else next(iter(candidates(cells, "vertical")), None) if name == "depth" else None
    )
    if found is None or not set(cells[found].dims) <= set(given.space):
        raise ValueError(
            f"by={name!r} is neither lead_time, season or month, nor a coordinate of {describe(cells)}, which has "
            f"{[str(c) for c in cells.coords]}; give by={{{name!r}: regions}} to name regions"
        )
    return np.asarray(cells[found].broadcast_like(cells).transpose(*given.space).values).ravel()


def _values(name: str, values: np.ndarray) -> _Part:
    text = values.dtype.kind in "OUS"
    none = (
        values.astype(str) == ""
        if text
        else ~np.isfinite(values.astype(np.float64))
        if values.dtype.kind == "f"
        else None
    )
    known = np.ones(values.size, bool) if none is None else ~none
    labels, place = np.unique(values[known].astype(str) if text else values[known], return_inverse=True)
    number = np.full(values.size, -1)
    number[known] = place
    if labels.size > 1000:
        raise ValueError(
            f"by={name!r} has {labels.size} values, a group for each; give edges of bins: by={{{name!r}: [...]}}"
        )
    return _Part(name, xr.DataArray(labels, dims=name), lambda pairs: number[pairs.place])


def _bins(name: str, edges: np.ndarray, values: np.ndarray) -> _Part:
    if edges.ndim != 1 or edges.size < 2 or not (np.diff(edges) > 0).all():
        raise ValueError(f"by={{{name!r}: {edges.tolist()}}}; edges of bins are two or more numbers that rise")
    number = np.searchsorted(edges, values.astype(np.float64), side="right") - 1
    number = np.where(values == edges[-1], edges.size - 2, number)
    number = np.where((number < 0) | (number > edges.size - 2), -1, number)
    bounds = np.stack([edges[:-1], edges[1:]], axis=1)
    labels = xr.DataArray(bounds.mean(axis=1), dims=name, attrs={"long_name": f"middle of a bin of {name}"})
    return _Part(name, labels, lambda pairs: number[pairs.place], bounds=bounds)


def _regions(name: str, outlines: Mapping[Any, Any], given: Given, obs: xr.Dataset | None) -> _Part:
    """Named regions: boxes (west, east, south, north), polygons [(lon, lat), ...] or masks on the forecast's cells."""
    members = []
    for label, outline in outlines.items():
        if isinstance(outline, xr.DataArray):
            if obs is not None:
                raise ValueError(f"the region {label!r} is a mask of cells, but the truth is a table; give its outline")
            mask = on_grid(outline, given.cells, f"the region {label!r}", given.space).values.ravel()
            members.append(np.nan_to_num(mask.astype(np.float64)) != 0)
            continue
        lon, lat = _positions(given, obs)
        shape = np.asarray(outline, np.float64)
        if shape.shape == (4,):
            west, east, south, north = shape
            width = (east - west) % 360 or 360.0 * (east != west)
            members.append(((lon - west) % 360 <= width) & (lat >= south) & (lat <= north))
        elif shape.ndim == 2 and shape.shape[0] >= 3 and shape.shape[1] == 2:
            members.append(_inside(lon, lat, shape))
        else:
            raise ValueError(
                f"the region {label!r} is {outline!r}; give (west, east, south, north), a list of three or more "
                "(lon, lat), or a mask on the forecast's cells"
            )
        if not members[-1].any():
            raise ValueError(
                f"the region {label!r} holds no {'cell' if obs is None else 'observation'} at all: {outline!r}"
            )
    labels = xr.DataArray([str(k) for k in outlines], dims=name)
    return _Part(name, labels, lambda pairs: pairs.place, np.stack(members))


def _positions(given: Given, obs: xr.Dataset | None) -> tuple[np.ndarray, np.ndarray]:
    if obs is not None:
        if "lon" not in obs.variables:
            raise ValueError("regions in degrees need lon and lat, but these observations have x and y")
        return obs["lon"].values, obs["lat"].values
    cells = given.cells
    lon, lat = horizontal(cells)
    out = []
    for axis, kind in ((lon, "longitude"), (lat, "latitude")):
        degrees = axis.copy(data=in_degrees(axis, kind))  # type: ignore[arg-type]
        out.append(degrees.broadcast_like(cells).transpose(*given.space).values.ravel())
    return out[0], out[1]


def _inside(lon: np.ndarray, lat: np.ndarray, outline: np.ndarray) -> np.ndarray:
    """Points inside a polygon of straight lines in degrees, by how often a ray crosses it."""
    x = (lon - outline[0, 0] + 180) % 360 - 180
    corner = (outline[:, 0] - outline[0, 0] + 180) % 360 - 180
    inside = np.zeros(x.size, bool)
    for (x1, y1), (x2, y2) in zip(zip(corner, outline[:, 1], strict=True),
                                  zip(np.roll(corner, -1), np.roll(outline[:, 1], -1), strict=True), strict=True):  # fmt: skip
        crosses = (lat < y1) != (lat < y2)
        with np.errstate(divide="ignore", invalid="ignore"):
            inside ^= crosses & (x < x1 + (lat - y1) / (y2 - y1) * (x2 - x1))
    return inside
