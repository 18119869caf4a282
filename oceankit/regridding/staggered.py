"""Velocities of a C-grid from the faces of cells to their centres."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, Literal, NamedTuple

import numpy as np
import xarray as xr

from oceankit.fields import coordinates
from oceankit.fields.grid import Grid
from oceankit.numerics.sphere import unit_vectors
from oceankit.regridding._components import VectorError, check_pair, name_of, together

__all__ = ["to_centres"]

Side = Literal["left", "right"]

# Where the face with the number of a cell lies, in models that store as many faces as cells.
_SIDES: dict[str, Side] = {"nemo": "right", "roms": "right", "mom6": "right", "mitgcm": "left"}
_MASKED = ("zero", "skip", "missing")


class _Faces(NamedTuple):
    """For each cell along one direction, the numbers of the faces before and after it; -1 where the file has none."""

    before: np.ndarray
    after: np.ndarray


def to_centres(
    u: xr.DataArray,
    v: xr.DataArray,
    *,
    centres: Grid | xr.Dataset | xr.DataArray | None = None,
    model: Literal["nemo", "roms", "mitgcm", "mom6"] | None = None,
    periodic: bool | None = None,
    masked: Literal["zero", "skip", "missing"] = "zero",
    extend: bool = False,
) -> tuple[xr.DataArray, xr.DataArray]:
    """Bring the components of a C-grid (Arakawa and Lamb 1977) to the centres of the cells, the mean of opposite faces.

    Parameters
    ----------
    u, v
        Components on the faces across the first axis and across the second: (..., j, i) with the last two dimensions
        horizontal, of sizes that belong together. Lazy in, lazy out.
    centres
        The Grid of the cell centres, or a Dataset or DataArray that has it (ROMS ``lon_rho``, NEMO's T file, MITgcm
        ``XC``): gives the results its dimensions and coordinates, and closes global grids in longitude, halo columns
        included. Without it the results have no horizontal coordinates.
    model
        ``"nemo"``, ``"mom6"``: a cell's own faces are those to its east and north. ``"mitgcm"``: those to its west and
        south. ``"roms"``: inner faces alone, one fewer than cells; where a subset has as many, as in NEMO. Found, where
        None, from the sizes, from the attribute ``c_grid_axis_shift`` of the dimensions, or from where faces and centres
        lie.
    periodic
        Whether the first axis closes on itself; found from ``centres`` where None, and False without it.
    masked
        What a missing face counts for. ``"zero"``: nothing flows through a coast, so 0 where any of the cell's four faces
        has a value, as the models themselves do; a cell without any is missing. ``"skip"``: the opposite face alone.
        ``"missing"``: a cell with any missing face is missing.
    extend
        Cells at the edge of the file, of which a face lies outside it, are missing; True gives them the opposite face.

    Returns
    -------
    tuple of DataArray
        Both at the same points, still along the grid's axes (:func:`~oceankit.regridding.rotate` turns them). Names,
        attributes and other dimensions kept, as is float32; where one component is missing, so is the other.

    Raises
    ------
    ValueError
        If sizes do not belong together, or it is not known on which side the faces are.

    Notes
    -----
    Second order. Nothing needs care at the fold of a tripolar NEMO grid: both faces of every cell are stored with
    signs along the cell's own axes. The last row of a folded grid that stores southern faces alone has no northern ones.

    Examples
    --------
    >>> u = xr.DataArray([[1.0, 3.0], [5.0, 7.0]], dims=("yh", "xq"))
    >>> v = xr.DataArray([[0.0, 0.0], [2.0, 4.0]], dims=("yq", "xh"))
    >>> east, north = to_centres(u, v, model="nemo")
    >>> east.dims, east.values.tolist(), north.values.tolist()
    (('yh', 'xh'), [[nan, nan], [nan, 6.0]], [[nan, nan], [nan, 2.0]])
    """
    if model is not None and model not in _SIDES:
        raise VectorError(f"model={model!r} is not known; choose one of {', '.join(map(repr, _SIDES))}, or None")
    if masked not in _MASKED:
        raise VectorError(f"masked={masked!r} is not known; choose one of {', '.join(map(repr, _MASKED))}")
    u, v = together(u, v)
    grid = centres if isinstance(centres, Grid) or centres is None else Grid.from_dataset(centres)
    (ju, iu), (jv, iv) = _horizontal(u), _horizontal(v)
    dims = grid.dims if grid is not None else _centre_dims((ju, iu), (jv, iv))
    shape = grid.shape if grid is not None else (u.sizes[ju], v.sizes[iv])
    if len(dims) != 2 or u.sizes[ju] != shape[0] or v.sizes[iv] != shape[1]:
        raise VectorError(
            f"{name_of(u)} has {dict(u.sizes)}, {name_of(v)} {dict(v.sizes)} and the centres "
            f"{dict(zip(dims, shape, strict=True))}: rows of u and columns of v must be as many as those of cells"
        )
    wraps = periodic if periodic is not None else grid is not None and grid.periodic
    sides = [_side(c, d, axis, grid, model, centres) for c, d, axis in ((u, iu, 1), (v, jv, 0))]
    across = _faces(u, iu, shape[1], sides[0], _Ring.of(grid, shape[1], wraps))
    along = _faces(v, jv, shape[0], sides[1], None)
    u_faces = [_at(u, iu, n, dict(zip((ju, iu), dims, strict=True))) for n in across]
    v_faces = [_at(v, jv, n, dict(zip((jv, iv), dims, strict=True))) for n in along]
    check_pair(u_faces[0], v_faces[0].transpose(*u_faces[0].dims))
    if extend:
        u_faces, v_faces = _extended(u_faces, across, dims[1]), _extended(v_faces, along, dims[0])
    a, b = _means(u_faces, v_faces, masked)
    if not extend:
        whole = _has_both(along, dims[0]) & _has_both(across, dims[1])
        a, b = a.where(whole), b.where(whole)
    return _labelled(a, u, u_faces[0].dims, grid), _labelled(b, v, v_faces[0].dims, grid)


def _means(u: list[xr.DataArray], v: list[xr.DataArray], masked: str) -> tuple[xr.DataArray, xr.DataArray]:
    """Means of opposite faces."""
    faces = [*u, *v]
    there = [f.notnull() for f in faces]
    if masked == "missing":
        a, b = (u[0] + u[1]) / 2, (v[0] + v[1]) / 2
        return a.where(b.notnull()), b.where(a.notnull())
    if masked == "zero":
        wet = there[0] | there[1] | there[2] | there[3]
        a, b = ((p.fillna(0) + q.fillna(0)) / 2 for p, q in (u, v))
        return a.where(wet), b.where(wet)
    a, b = ((p.fillna(q) + q.fillna(p)) / 2 for p, q in (u, v))
    return a.where(b.notnull()), b.where(a.notnull())


# ---- which faces ----------------------------------------------------------------------------------------------------


class _Ring(NamedTuple):
    """How columns of cells close: the columns that are no copies, and for each column its place among them."""

    columns: np.ndarray
    same_as: np.ndarray

    @classmethod
    def of(cls, grid: Grid | None, n: int, wraps: bool) -> _Ring | None:
        if not wraps:
            return None
        if grid is not None and grid.kind == "curvilinear" and grid.topology.wraps and not grid.topology.transposed:
            return cls(grid.topology.columns, grid.topology.same_as)
        return cls(np.arange(n), np.arange(n))


def _faces(component: xr.DataArray, dim: Hashable, cells: int, side: Side | None, ring: _Ring | None) -> _Faces:
    n = component.sizes[dim]
    number = np.arange(cells)
    if n == cells + 1:
        return _Faces(number, number + 1)
    if n == cells - 1:
        return _Faces(number - 1, np.where(number < n, number, -1))
    if n != cells:
        raise VectorError(
            f"{name_of(component)} has {n} faces along {dim!r} for {cells} cells; there must be as many, one more or one fewer"
        )
    if side is None:
        raise VectorError(
            f"{name_of(component)} has as many faces along {dim!r} as there are cells, and nothing says on which side of a "
            f"cell its own face is; give model=, one of {', '.join(map(repr, _SIDES))}"
        )
    if ring is None:
        before, after = number - 1, np.where(number + 1 < cells, number + 1, -1)
    else:
        count = ring.columns.size
        before = ring.columns[(ring.same_as - 1) % count]
        after = ring.columns[(ring.same_as + 1) % count]
    return _Faces(before, number) if side == "right" else _Faces(number, after)


def _side(
    component: xr.DataArray, dim: Hashable, axis: int, grid: Grid | None, model: str | None, holder: Any
) -> Side | None:
    """On which side of a cell the face with its number is, in the order of the file."""
    if model is not None:
        return _SIDES[model]
    shift = component.coords[dim].attrs.get("c_grid_axis_shift") if dim in component.coords else None
    if shift is not None and float(shift) != 0.0:
        return "left" if float(shift) < 0.0 else "right"
    return None if grid is None or grid.planar else _side_by_place(component, axis, grid, holder)


def _side_by_place(component: xr.DataArray, axis: int, grid: Grid, holder: Any) -> Side | None:
    """Between which centres the faces lie, where the component or the dataset of the centres has their coordinates."""
    horizontal = set(component.dims[-2:])
    if isinstance(holder, xr.Dataset):
        own = {n: v for n, v in holder.variables.items() if 0 < v.ndim <= 2 and set(v.dims) <= horizontal}
        component = component.assign_coords({n: v for n, v in own.items() if n not in component.coords})
    try:
        lon, lat = coordinates.horizontal(component)
        x, y = coordinates.in_degrees(lon, "longitude"), coordinates.in_degrees(lat, "latitude")
    except coordinates.CoordinateError:
        return None
    if x.ndim == 1 and y.ndim == 1:
        x, y = np.meshgrid(x, y)
    x, y = x.squeeze(), y.squeeze()
    if x.shape != grid.shape or y.shape != grid.shape:
        return None
    faces, cells = unit_vectors(x, y), grid.centres().reshape(*grid.shape, 3)
    faces, cells = (np.moveaxis(a, axis, 0) for a in (faces, cells))
    middle = (cells[1:] + cells[:-1]) / 2
    size = np.linalg.norm(cells[1:] - cells[:-1], axis=-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        right, left = (np.nanmedian(np.linalg.norm(f - middle, axis=-1) / size) for f in (faces[:-1], faces[1:]))
    # Half a cell off both is what centres themselves are.
    if not min(right, left) < 0.25:
        return None
    return "right" if right < left else "left"


def _horizontal(component: Any) -> tuple[Hashable, Hashable]:
    if not isinstance(component, xr.DataArray) or component.ndim < 2:
        what = (
            f"{component.ndim} dimensions"
            if isinstance(component, xr.DataArray)
            else f"type {type(component).__name__}"
        )
        raise VectorError(f"a component on faces is a DataArray (..., j, i), not one of {what}")
    return component.dims[-2], component.dims[-1]


def _centre_dims(u: tuple[Hashable, Hashable], v: tuple[Hashable, Hashable]) -> tuple[Hashable, Hashable]:
    """Rows are named as those of u, columns as those of v; ROMS has a name of its own for each."""
    names = {"eta_u": "eta_rho", "xi_v": "xi_rho"}
    return names.get(str(u[0]), u[0]), names.get(str(v[1]), v[1])


# ---- values at faces ------------------------------------------------------------------------------------------------


def _at(component: xr.DataArray, dim: Hashable, numbers: np.ndarray, names: dict[Hashable, Hashable]) -> xr.DataArray:
    """The values of one face of each cell along ``dim``, missing where there is none, with the dimensions of cells."""
    horizontal = set(names)
    bare = component.drop_vars([n for n, c in component.coords.items() if horizontal & set(c.dims)])
    if bare.dtype.kind in "iu":
        bare = bare.astype(np.result_type(bare.dtype, np.float32))
    if component.sizes[dim] == 0:
        raise VectorError(f"{name_of(component)} has no faces along {dim!r}")
    chosen = bare.isel({dim: np.maximum(numbers, 0)})
    if (numbers < 0).any():
        chosen = chosen.where(xr.DataArray(numbers >= 0, dims=(dim,)))
    return chosen.rename({old: new for old, new in names.items() if old != new})


def _has_both(faces: _Faces, dim: Hashable) -> xr.DataArray:
    return xr.DataArray((faces.before >= 0) & (faces.after >= 0), dims=(dim,))


def _extended(values: list[xr.DataArray], faces: _Faces, dim: Hashable) -> list[xr.DataArray]:
    """With the opposite face where the file has only one of a cell's two."""
    before, after = values
    return [
        xr.where(xr.DataArray(faces.before >= 0, dims=(dim,)), before, after, keep_attrs=False).transpose(*before.dims),
        xr.where(xr.DataArray(faces.after >= 0, dims=(dim,)), after, before, keep_attrs=False).transpose(*before.dims),
    ]


def _labelled(out: xr.DataArray, like: xr.DataArray, dims: tuple[Hashable, ...], grid: Grid | None) -> xr.DataArray:
    out = out.transpose(*dims).rename(like.name)
    out.attrs = {k: a for k, a in like.attrs.items() if k not in ("cell_measures", "coordinates", "location")}
    return out if grid is None else out.assign_coords(grid.coords())
