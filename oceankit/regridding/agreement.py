"""Whether cells are those of a grid: of a file, one by one; of a field, by its coordinates and its side of a mesh."""

from collections.abc import Iterator

import numpy as np
import xarray as xr

from oceankit.fields.coordinates import in_degrees
from oceankit.fields.grid import Grid, GridError
from oceankit.numerics.sphere import unit_vectors

__all__ = ["check_field", "check_places", "check_side"]

_TOLERANCE = 1e-3
"""Degrees between two centres that are the same: coordinates in float32 are good for 2e-5 degrees."""


def check_places(name: str, which: str, lon: np.ndarray, lat: np.ndarray, mask: np.ndarray | None, grid: Grid) -> None:
    """Refuse a grid whose centres are not those of a file, in the file's order.

    Parameters
    ----------
    name, which
        The file, and ``"source"`` or ``"target"``, for the message.
    lon, lat
        float64 (cells,): centres in degrees, longitudes in any turn; x and y where the grid is on a plane.
    mask
        bool (cells,), None where all take part. Cells that take no part, or have no centre in the grid, are not looked at:
        files have anything there.

    Raises
    ------
    GridError
        If one centre or more lies elsewhere; the message says whether the file has the same grid in another order.
    """
    theirs = np.column_stack([lon, lat, np.ones(lon.size)]) if grid.planar else unit_vectors(lon, lat)
    if mask is not None:
        theirs = np.where(mask[:, None], theirs, np.nan)
    mine = grid.centres()
    apart = _apart(theirs, mine, grid.planar)
    other = apart > _TOLERANCE
    if not other.any():
        return
    at = int(np.argmax(other))
    x, y = grid._flat_centres()[at]
    where = (
        f"{int(other.sum())} of {other.size} centres lie elsewhere, the first that of cell {at + 1}, "
        f"at ({lon[at]:g}, {lat[at]:g}) in the file and at ({x:g}, {y:g}) in the grid"
    )
    order = _other_order(theirs, mine, grid)
    remedy = order or f"give the {which} that the file was made for, or make the weights anew"
    raise GridError(f"{name!r} was written for another {which} than {grid!r}: {where}; {remedy}")


def check_side(name: str, field: xr.DataArray, grid: Grid) -> None:
    """Refuse a field that stands at the faces of a mesh where the grid is of its nodes, the other way around, or at edges.

    Raises
    ------
    GridError
        If it does; fields without a dimension of the mesh are let pass.
    """
    mesh = grid._mesh
    if mesh is None or set(grid.dims) & set(field.dims):
        return
    other = "node" if grid.location == "face" else "face"
    if (mesh.node_dim if other == "node" else mesh.face_dim) in field.dims:
        raise GridError(
            f"{name} stands at the {other}s of the mesh, and this regridder is for its {grid.location}s; make another one with "
            f"Grid.from_dataset(ds, location={other!r}) as its source, or leave {name} out with .drop_vars"
        )
    if field.attrs.get("location") == "edge":
        raise GridError(f"{name} stands at the edges of the mesh, which are no cells; leave it out with .drop_vars")


def check_field(name: str, data: xr.DataArray, source: Grid) -> None:
    """Refuse a field that is not on the cells of a grid, by its dimensions, its side of a mesh or its coordinates.

    Raises
    ------
    ValueError
        Also for values that were not decoded, which have another scale than they say.
    """
    absent = [d for d in source.dims if d not in data.dims]
    sizes = tuple(data.sizes.get(d) for d in source.dims)
    check_side(name, data, source)
    if absent or sizes != source.shape:
        raise ValueError(
            f"{name} has dimensions {dict(data.sizes)}, but this regridder was made for a source with "
            f"{dict(zip(source.dims, source.shape, strict=True))}; make a Regridder for this field's own grid"
        )
    packed = [a for a in ("scale_factor", "add_offset", "_FillValue") if a in data.attrs]
    if packed:
        raise ValueError(
            f"{name} was opened without decoding, its attributes say {packed[0]}={data.attrs[packed[0]]!r}; "
            "open it with mask_and_scale, or pass the dataset through xarray.decode_cf"
        )
    for mine, kind in ((source.lon, "longitude"), (source.lat, "latitude")):
        # Not .get: for a dimension without a coordinate it makes one up.
        theirs = data.coords[mine.name] if mine.name in data.coords else None  # noqa: SIM401
        if theirs is None or theirs.dims != mine.dims or theirs.dtype.kind not in "fiu":
            continue
        if theirs.attrs.get("units") == mine.attrs.get("units") and np.array_equal(theirs.values, mine.values):
            continue
        values = theirs.values if source.planar else in_degrees(theirs, kind)  # type: ignore[arg-type]
        apart = np.abs(values - mine.values)
        if kind == "longitude" and not source.planar:
            apart = np.minimum(apart % 360.0, 360.0 - apart % 360.0)
        apart = apart[np.isfinite(apart)]
        if apart.size and apart.max() > _tolerance(mine.values):
            raise ValueError(
                f"{name} lies elsewhere than the source this regridder was made for: its {mine.name!r} differs by up to "
                f"{apart.max():g}; make a Regridder for this field's own grid"
            )


def _tolerance(axis: np.ndarray) -> float:
    """How far a coordinate may be off and still be the same: single precision, and little beside the spacing of the cells."""
    steps = np.abs(np.diff(axis.ravel()))
    steps = steps[np.isfinite(steps) & (steps > 0)]
    rounding = 4 * float(np.finfo(np.float32).eps) * float(np.nanmax(np.abs(axis), initial=1.0))
    fine: float = 0.01 * float(np.median(steps)) if steps.size else 1e-3
    return max(rounding, min(1e-3, fine))


def _apart(a: np.ndarray, b: np.ndarray, planar: bool) -> np.ndarray:
    """Distance of places, one by one: degrees, or units of a plane; NaN where one is none."""
    chord = np.linalg.norm(a - b, axis=-1)
    return chord if planar else np.degrees(2 * np.arcsin(np.minimum(chord / 2, 1.0)))


def _other_order(theirs: np.ndarray, mine: np.ndarray, grid: Grid) -> str:
    """What to do where the file has the same cells in another order."""
    if len(grid.shape) != 2:
        return ""
    rows, columns = grid.dims
    lattice = mine.reshape(*grid.shape, 3)
    for other, said in _orders(lattice, theirs, str(rows), str(columns)):
        if not (_apart(theirs, other.reshape(-1, 3), grid.planar) > _TOLERANCE).any():
            return f"it is the same grid {said}"
    return ""


def _orders(lattice: np.ndarray, theirs: np.ndarray, rows: str, columns: str) -> Iterator[tuple[np.ndarray, str]]:
    upside = f"stored with {rows!r} the other way around: turn the field and its grid with .isel({rows}=slice(None, None, -1))"
    yield lattice[::-1], upside
    yield lattice[:, ::-1], upside.replace(rows, columns)
    yield (
        lattice[::-1, ::-1],
        f"stored with both {rows!r} and {columns!r} the other way around: turn the field and its grid",
    )
    yield (
        np.swapaxes(lattice, 0, 1),
        f"stored with {columns!r} before {rows!r}, in which order no grid of ours lies: make the weights anew",
    )
    known = np.flatnonzero(np.isfinite(theirs).all(axis=1))
    row, column = divmod(int(known[0]), lattice.shape[1])
    for turned, also in ((lattice, ""), (lattice[::-1], f", and with {rows!r} the other way around")):
        away = np.linalg.norm(turned[row] - theirs[known[0]], axis=-1)
        if np.isfinite(away).any():
            shift = (int(np.nanargmin(away)) - column) % lattice.shape[1]
            yield (
                np.roll(turned, -shift, axis=1),
                f"whose columns begin elsewhere{also}: turn the field and its grid with "
                f".roll({columns}={-shift}, roll_coords=True)",
            )
