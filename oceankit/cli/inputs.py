"""From the `input` of a step to a field: open, choose the variable, put attributes right, select a part."""

import warnings
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from oceankit.cli import members
from oceankit.cli._nodes import did_you_mean
from oceankit.cli.places import PlaceError, found
from oceankit.fields import CoordinateError, Grid, GridError, coordinates, open_fields

__all__ = ["Input", "ProblemError", "cadence", "grid_of", "narrowed", "opened", "target_grid"]

_KINDS = {"time": "time", "depth": "vertical", "lon": "longitude", "lat": "latitude"}


class ProblemError(ValueError):
    """A key of the run file asks for what cannot be: ``place`` is the key, from the section on."""

    def __init__(self, place: tuple[str | int, ...], message: str) -> None:
        super().__init__(message)
        self.place = place


@dataclass
class Input:
    """A dataset with the field that is wanted and all that describes its cells."""

    ds: xr.Dataset
    variable: str
    sources: list[str]
    cadence: str
    """What a step of time is: "months", "days" or "steps"."""

    @property
    def field(self) -> xr.DataArray:
        """The field itself."""
        return self.ds[self.variable]


def opened(
    spec: Mapping[str, Any],
    folder: Path,
    *,
    tiles: bool = False,
    static: bool = False,
    chunks: Mapping[Hashable, int] | None = None,
) -> Input:
    """Open an `input`, lazily, and select the part that is wanted.

    Parameters
    ----------
    tiles
        Whether all members of a part of the grid will be wanted together, as assimilation does.
    static
        Whether members are of different dates, which are none of the field's: a single time is left out.
    chunks
        Those of a plan, by the field's dimensions; None: as the files suggest.

    Raises
    ------
    ProblemError
        With the key that is to blame.
    """
    sources: list[str] = []
    for number, path in enumerate(spec["paths"]):
        try:
            sources += found(path, folder)
        except PlaceError as error:
            raise ProblemError(("paths", number), str(error)) from error
    ds = _joined(spec, sources, tiles, static, chunks)
    variable = spec["variable"]
    if variable not in ds.data_vars:
        known = [str(n) for n, v in ds.data_vars.items() if v.dtype.kind in "fiu"]
        raise ProblemError(("variable",), f"the files have no variable {variable!r}; {did_you_mean(variable, known)}")
    if ds[variable].dtype.kind not in "fiu":
        raise ProblemError(("variable",), f"{variable!r} holds {ds[variable].dtype} values, not numbers; name another")
    ds[variable].attrs.update(spec.get("attrs") or {})
    data = Input(ds, variable, sources, cadence(ds, variable))
    select = dict(spec.get("select") or {})
    numbers = select.pop("member", None)
    for name, wanted in select.items():
        data = narrowed(data, name, wanted)
    # Members are named last: a part of the dates that they are of may be wanted.
    dim = spec.get("members")
    try:
        data = replace(data, ds=members.named(data.ds, variable, None if dim == members.FILES else dim))
    except ValueError as error:
        raise ProblemError(("members",), str(error)) from error
    if numbers is not None:
        data = narrowed(data, "member", numbers)
        if not isinstance(numbers, list):  # one field, and no ensemble of one
            data = replace(data, ds=data.ds.isel(member=0, drop=True))
    if chunks is not None:
        data = replace(data, ds=_whole_again(data.ds, variable, chunks))
    return replace(data, ds=members.timeless(data.ds, variable)) if static else data


def _whole_again(ds: xr.Dataset, variable: str, chunks: Mapping[Hashable, int]) -> xr.Dataset:
    """What a plan has in one piece and several files, or a part of one, brought in several."""
    field = ds[variable]
    pieces = {d: len(c) for d, c in field.chunksizes.items()}
    whole = [d for d, n in chunks.items() if pieces.get(d, 1) > 1 and n >= field.sizes[d]]
    return ds.assign({variable: field.chunk(dict.fromkeys(whole, -1))}) if whole else ds


def _joined(
    spec: Mapping[str, Any],
    sources: list[str],
    tiles: bool,
    static: bool,
    wanted: Mapping[Hashable, int] | None,
) -> xr.Dataset:
    """The files as one dataset: joined by their coordinates, or a member each."""
    engine, variable, dim = spec.get("engine"), spec["variable"], spec.get("members")

    def joined(chunks: Any) -> xr.Dataset:
        if dim == members.FILES:
            return members.each_its_file(sources, variable, static=static, engine=engine, chunks=chunks)
        return open_fields(sources, engine=engine, chunks=chunks)

    try:
        ds = joined("auto")
        if wanted is not None and variable in ds.data_vars:
            # Members are named later; those of a file each are not cut.
            own = {dim if d == "member" and dim not in (None, members.FILES) else d: n for d, n in wanted.items()}
            dims = set(ds[variable].dims) - ({"member"} if dim == members.FILES else set())
            with warnings.catch_warnings():
                # The plan has weighed that, and says so.
                warnings.filterwarnings("ignore", message="The specified chunks separate", category=UserWarning)
                ds = joined({d: n for d, n in own.items() if d in dims})
        elif tiles and variable in ds.data_vars:
            chunks = members.tiles_of(ds, variable, None if dim == members.FILES else dim)
            ds = ds if chunks == "auto" else joined(chunks)
    except (ValueError, ImportError) as error:
        raise ProblemError(("paths",), str(error)) from error
    return ds


def narrowed(data: Input, name: str, wanted: Any) -> Input:
    """The part of an input where the coordinate ``name`` is as wanted.

    Raises
    ------
    ProblemError
        If there is no such coordinate, or nothing of it is wanted.
    """
    return replace(data, ds=_selected(data.ds, data.variable, name, wanted))


def _selected(ds: xr.Dataset, variable: str, name: str, wanted: Any) -> xr.Dataset:
    place = ("select", name)
    axis = _axis(ds[variable], name)
    dim, values = axis.dims[0], axis.values
    dated = values.dtype.kind in "MO"
    bounds = wanted if isinstance(wanted, list) else [wanted, wanted]
    if dated:
        texts = [str(int(b)) if isinstance(b, float) and b == int(b) else str(b) for b in bounds]
        try:
            chosen = xr.DataArray(np.arange(values.size), coords={dim: axis.variable}, dims=[dim]).sel(
                {dim: slice(*texts)}
            )
        except (KeyError, ValueError, TypeError) as error:
            raise ProblemError(
                place, f"{wanted!r} cannot be looked up in {axis.name!r} ({error}); give dates in order"
            ) from error
        picks = chosen.values
    else:
        try:
            low, high = (float(b) for b in bounds)
        except ValueError:
            raise ProblemError(place, f"is {wanted!r}, but {axis.name!r} holds numbers, not dates") from None
        picks = _within(values.astype(np.float64), low, high, _is_longitude(ds[variable], axis))
    if not len(picks):
        shown = " to ".join(str(v)[:16] for v in (values.min(), values.max()))
        raise ProblemError(place, f"nothing of {axis.name!r} lies in {wanted!r}; the files have {shown}")
    return ds.isel({dim: picks})


def _axis(field: xr.DataArray, name: str) -> xr.DataArray:
    place = ("select", name)
    if name in field.coords:
        axis = field[name]
    elif name in _KINDS:
        try:
            axis = coordinates.find(field, _KINDS[name])  # type: ignore[arg-type]
        except CoordinateError as error:
            raise ProblemError(place, str(error)) from error
    else:
        known = [*_KINDS, *map(str, field.coords)]
        raise ProblemError(place, f"{field.name!r} has no coordinate {name!r}; {did_you_mean(name, known)}")
    if axis.ndim != 1 or axis.dims[0] not in field.dims:
        raise ProblemError(
            place,
            f"{axis.name!r} runs along {axis.dims}, so no part of it can be cut out; use 'regrid' to choose a region",
        )
    return axis


def _is_longitude(field: xr.DataArray, axis: xr.DataArray) -> bool:
    return axis.name in coordinates.candidates(field, "longitude")


def _within(values: np.ndarray, low: float, high: float, turns: bool) -> np.ndarray:
    """Positions of the values in a range, or of the nearest one to a single value (within half a step of it)."""
    if low == high:
        apart = np.abs(values - low)
        if turns:
            apart = np.minimum(np.mod(values - low, 360.0), np.mod(low - values, 360.0))
        step = float(np.abs(np.diff(values)).max()) if values.size > 1 else 0.0
        nearest = int(np.argmin(apart))
        return np.array([nearest]) if apart[nearest] <= step / 2 + 1e-9 else np.array([], int)
    if not turns:
        return np.flatnonzero((values >= min(low, high)) & (values <= max(low, high)))
    offset, width = np.mod(values - low, 360.0), np.mod(high - low, 360.0) or 360.0
    picks = np.flatnonzero(offset <= width + 1e-9)
    # Across the seam of the axis the western part comes first.
    return picks[np.argsort(offset[picks], kind="stable")] if (np.diff(picks) > 1).any() else picks


def cadence(ds: xr.Dataset, variable: str) -> str:
    """What a step of time is, by the steps of the axis or the width of its bounds."""
    try:
        time = coordinates.find(ds[variable], "time")
    except CoordinateError:
        return "steps"
    values = time.values
    bounds = ds.variables.get(str(time.attrs.get("bounds", time.encoding.get("bounds", ""))))
    if values.dtype.kind not in "MO" or time.ndim != 1:
        return "steps"
    if values.size > 1:
        steps = np.diff(values)
    elif bounds is not None and bounds.ndim == 2 and bounds.dtype.kind in "MO":
        steps = np.diff(bounds.values, axis=1).ravel()
    else:
        return "steps"
    days = np.median(
        [s / np.timedelta64(1, "D") if isinstance(s, np.timedelta64) else s.total_seconds() / 86400 for s in steps]
    )
    return "months" if 28 <= days <= 31 else "days" if days == 1 else "steps"


def grid_of(data: Input) -> Grid:
    """The grid of the field, with its corners where the files give them."""
    dims = set(data.field.dims)
    try:
        grid = Grid.from_dataset(data.ds)
        if set(grid.dims) <= dims:
            return grid
    except CoordinateError:
        pass  # several grids in one file: the field's own coordinates decide
    lon, lat = coordinates.horizontal(data.field)
    return Grid.from_dataset(data.ds, lon=lon.name, lat=lat.name)


def target_grid(spec: Mapping[str, Any], folder: Path) -> Grid:
    """The grid that `regrid.to` describes.

    Raises
    ------
    ProblemError
        With the key that is to blame.
    """
    if spec["like"] is not None:
        try:
            with open_fields(found(spec["like"], folder)) as ds:
                return Grid.from_dataset(ds)
        except (ValueError, ImportError) as error:
            raise ProblemError(("like",), str(error)) from error
    try:
        if spec["step"] is not None:
            return Grid.global_regular(spec["step"])
        return Grid.regular(lon=tuple(spec["lon"]), lat=tuple(spec["lat"]))
    except GridError as error:
        key = "step" if spec["step"] is not None else "lat" if str(error).startswith("lat") else "lon"
        raise ProblemError((key,), str(error)) from error
