"""The angle between a grid's axes and east and north, and the rotation of vectors by it."""

import re
from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import xarray as xr

from oceankit.fields.grid import Grid, GridError
from oceankit.numerics.sphere import unit_vectors
from oceankit.regridding._components import VectorError, check_pair, name_of, named_along

__all__ = ["Angle", "grid_angle", "place_axes", "resolve", "rotate"]

Angle = str | float | xr.DataArray | tuple[Any, Any] | None

# ---- from the grid --------------------------------------------------------------------------------------------------


def grid_angle(grid: Grid) -> xr.DataArray:
    """Angle from east to the grid's first axis, counter-clockwise.

    Parameters
    ----------
    grid
        Rectilinear (its axes are east and north: the angle is 0) or curvilinear. The first axis is along the columns,
        towards rising column numbers; the second is taken to stand 90 degrees to its left, as on every orthogonal grid.

    Returns
    -------
    DataArray
        float64 radians in -pi..pi with the grid's dimensions and coordinates; NaN where a cell has no place.

    Raises
    ------
    GridError
        If the grid has no axes: a mesh, or a list of points.

    Notes
    -----
    The direction is that of the parabola through a centre and its two neighbours along the row, in space: it has no
    trouble at poles, seams and folds, and is of second order on stretched grids too. At open edges the parabola ends at
    the centre. Where the neighbours of a centre coincide (on the pivot of a tripolar fold) the other axis is used.

    Examples
    --------
    >>> float(abs(grid_angle(Grid.global_regular(30.0))).max())
    0.0
    """
    if grid.kind not in ("rectilinear", "curvilinear"):
        what = "a mesh" if grid.kind == "mesh" else "a bare list of points"
        raise GridError(f"{what} has no rows and columns, and so no angle; give components as eastward and northward")
    if grid.kind == "rectilinear":
        angle = np.zeros(grid.shape)
    elif grid.planar:
        x, y = grid.lon.values, grid.lat.values
        first = _along(np.stack([x, y, np.ones_like(x)], axis=-1), wraps=False)
        angle = np.arctan2(first[..., 1], first[..., 0])
    else:
        angle = _angle_on_sphere(grid)
    attrs = {"long_name": "angle from east to the grid's first axis, counter-clockwise", "units": "radian"}
    return xr.DataArray(angle, dims=grid.dims, coords=grid.coords(), name="angle", attrs=attrs)


def _angle_on_sphere(grid: Grid) -> np.ndarray:
    east, north = place_axes(grid.lon.values, grid.lat.values)
    points = unit_vectors(grid.lon.values, grid.lat.values)
    top = grid.topology
    if top.wraps and not top.transposed:
        # Copies in halo columns are no neighbours; rows are left in their order, whichever it is.
        first = _along(points[:, top.columns], wraps=True)[:, top.same_as]
    else:
        first = _along(points, wraps=False)
    second = np.swapaxes(_along(np.swapaxes(points, 0, 1), wraps=False), 0, 1)
    # A row that turns back on itself at a centre has no direction there: the second axis, turned a quarter to the right.
    flat = ~(np.linalg.norm(first, axis=-1) > 0.5)
    first[flat] = np.cross(second, points)[flat]
    return np.arctan2((first * north).sum(axis=-1), (first * east).sum(axis=-1))


def _along(points: np.ndarray, *, wraps: bool) -> np.ndarray:
    """Direction (ny, nx, 3) in which points (ny, nx, 3) run along their second axis: length 1 where they run straight.

    NaN where there are fewer than two; a missing neighbour is treated as an open edge.
    """
    padding = points[:, [-1]], points[:, [0]]
    if not wraps:
        padding = np.full_like(padding[0], np.nan), np.full_like(padding[1], np.nan)
    steps = np.diff(np.concatenate([padding[0], points, padding[1]], axis=1), axis=1)
    before, after = steps[:, :-1], steps[:, 1:]
    with np.errstate(invalid="ignore", divide="ignore"):
        near, far = (np.linalg.norm(s, axis=-1, keepdims=True) for s in (before, after))
        middle = (before * (far / near) + after * (near / far)) / (near + far)
        # The parabola's slope at its end, where one neighbour is absent.
        bend = (after / far - before / near) / (near + far)
        at_start = after / far - far * np.roll(bend, -1, axis=1)
        at_end = before / near + near * np.roll(bend, 1, axis=1)
    tries = [middle, at_start, after, at_end, before]
    out = np.full_like(points, np.nan)
    for direction in tries:
        lacking = np.isnan(out).any(axis=-1)
        out[lacking] = direction[lacking]
    return out


def place_axes(lon: np.ndarray, lat: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors (..., 3) to the east and to the north; at a pole those of the longitude given."""
    lam, phi = np.radians(lon), np.radians(lat)
    zero = np.zeros_like(lam)
    east = np.stack([-np.sin(lam), np.cos(lam), zero], axis=-1)
    north = np.stack([-np.sin(phi) * np.cos(lam), -np.sin(phi) * np.sin(lam), np.cos(phi)], axis=-1)
    return east, north


# ---- from the user --------------------------------------------------------------------------------------------------


def resolve(
    angle: Angle, which: str, where: Mapping[Hashable, xr.DataArray], grid: Grid | None = None
) -> tuple[Any, Any]:
    """Cosine and sine (DataArrays without coordinates, or numbers) of an angle in one of its many forms.

    Parameters
    ----------
    angle
        As in :func:`rotate`, or ``"grid"`` where ``grid`` is known.
    which
        What messages call it.
    where
        Variables among which names are looked up.
    """
    if isinstance(angle, str) and angle == "grid":
        if grid is None:
            raise VectorError(
                f"{which}='grid' needs a grid to derive it from; give oceankit.regridding.grid_angle(grid)"
            )
        angle = grid_angle(grid)
    if isinstance(angle, tuple | list):
        if len(angle) != 2:
            raise VectorError(f"{which} has {len(angle)} members; a pair is (cosine, sine)")
        cos, sin = (_variable(a, which, where) for a in angle)
        return _pair(cos, sin, which)
    if isinstance(angle, int | float | np.integer | np.floating) and not isinstance(angle, bool):
        return float(np.cos(angle)), float(np.sin(angle))
    values = _variable(angle, which, where)
    radians = _in_radians(values, which)
    return np.cos(radians), np.sin(radians)


def _variable(angle: Any, which: str, where: Mapping[Hashable, xr.DataArray]) -> xr.DataArray:
    """A DataArray given itself or by name, in float64, without coordinates and without dimensions of length 1."""
    if isinstance(angle, str):
        if angle not in where:
            known = ", ".join(repr(n) for n in where) or "none"
            raise VectorError(f"{which}={angle!r} is no variable here (there are {known}); give the DataArray itself")
        angle = where[angle]
    if not isinstance(angle, xr.DataArray):
        raise VectorError(
            f"{which} is a {type(angle).__name__}; give 'grid', the name of a variable, a DataArray with units, "
            "a pair (cosine, sine) or a number of radians"
        )
    if angle.dtype.kind not in "fiu":
        raise VectorError(f"{which}: {angle.name!r} has dtype {angle.dtype}, which is no angle")
    return angle.drop_vars(list(angle.coords)).squeeze().astype(float)


def _in_radians(angle: xr.DataArray, which: str) -> xr.DataArray:
    units = str(angle.attrs.get("units", "")).strip().lower()
    if re.fullmatch(r"rad(ian)?s?|1?", units):
        largest = float(np.abs(angle).max())
        if largest > 2 * np.pi + 1e-3:
            raise VectorError(
                f"{which}: {angle.name!r} holds {largest:g}, which is more than once around in radians, and its units are "
                f"{angle.attrs.get('units')!r}; if it is in degrees, set attrs['units'] = 'degrees'"
            )
        return angle
    if re.fullmatch(r"deg(ree)?s?|°", units):
        return angle * (np.pi / 180.0)
    raise VectorError(
        f"{which}: {angle.name!r} has the units {angle.attrs['units']!r}; an angle is in radians or degrees"
    )


def _pair(cos: xr.DataArray, sin: xr.DataArray, which: str) -> tuple[xr.DataArray, xr.DataArray]:
    size = np.hypot(cos, sin)
    worst = float(np.abs(size - 1.0).max())
    if worst > 0.01:
        raise VectorError(
            f"{which}: {cos.name!r} and {sin.name!r} are no cosine and sine of one angle, the root of the sum of their "
            f"squares is off one by up to {worst:g}; mask cells that have none"
        )
    # MOM6 and SIS2 count their sin_rot clockwise: east = u cos_rot + v sin_rot.
    says = f"{sin.name} {sin.attrs.get('long_name', '')}".lower()
    turned = -1.0 if re.search(r"sin_?rot\b|(?<!counter[- ])(?<!anti[- ])\bclockwise", says) else 1.0
    return cos / size, turned * sin / size


# ---- rotation -------------------------------------------------------------------------------------------------------


def rotate(u: xr.DataArray, v: xr.DataArray, angle: Angle, *, back: bool = False) -> tuple[xr.DataArray, xr.DataArray]:
    """Turn components along a grid's axes into eastward and northward ones, or back.

    ``east = u cos(angle) - v sin(angle)``, ``north = u sin(angle) + v cos(angle)``.

    Parameters
    ----------
    u, v
        The two components at the same points. Lazy in, lazy out.
    angle
        From east to the grid's first axis, counter-clockwise: a DataArray over horizontal dimensions of ``u`` with
        units of radians or degrees (radians where it has none, as in ROMS), the name of a coordinate of ``u``, a pair
        (cosine, sine), or a number of radians. ROMS ``angle``, POP ``ANGLET``, NEMO ``(gcost, gsint)`` and MITgcm
        ``(AngleCS, AngleSN)`` are counted so; MOM6's ``sinrot`` is counted clockwise, is known by its name and turned.
    back
        From eastward and northward to the grid's axes.

    Returns
    -------
    tuple of DataArray
        Names, dimensions and attributes of ``u`` and ``v``, float32 kept; CF standard names changed to what they are
        now (``sea_water_x_velocity`` to ``eastward_sea_water_velocity``).

    Raises
    ------
    VectorError
        If the components are of different units or sizes, or the angle is none.

    Examples
    --------
    >>> u, v = xr.DataArray([1.0, 0.0], dims="x"), xr.DataArray([0.0, 1.0], dims="x")
    >>> east, north = rotate(u, v, np.pi / 2)
    >>> east.values.round(12).tolist(), north.values.round(12).tolist()
    ([0.0, -1.0], [1.0, 0.0])
    """
    check_pair(u, v)
    cos, sin = resolve(angle, "angle", dict(u.coords.items()))
    for part in (cos, sin):
        strange = [d for d in getattr(part, "dims", ()) if part.sizes[d] != u.sizes.get(d)]
        if strange:
            raise VectorError(
                f"angle has {dict(part.sizes)}, and {name_of(u)} {dict(u.sizes)}: they are not at the same points; "
                "bring staggered components to the cell centres with to_centres"
            )
    if back:
        sin = -sin
    dtype = np.result_type(u.dtype, v.dtype, np.float32)
    a, b = u.astype(dtype, copy=False), v.drop_vars(list(v.coords)).astype(dtype, copy=False)
    cos, sin = (p.astype(dtype) if isinstance(p, xr.DataArray) else dtype.type(p) for p in (cos, sin))
    east, north = a * cos - b * sin, a * sin + b * cos
    axes = "grid" if back else "geographic"
    return (
        east.transpose(*u.dims).rename(u.name).assign_attrs(named_along(u.attrs, axes)),
        north.transpose(*v.dims).rename(v.name).assign_attrs(named_along(v.attrs, axes)),
    )
