"""Vectors from grid to grid: in space, so that poles and the turning of east and north from place to place do not matter."""

from __future__ import annotations

import copy
from collections.abc import Hashable
from typing import Any

import numpy as np
import xarray as xr

from oceankit.fields import blocks
from oceankit.fields.coordinates import in_degrees
from oceankit.fields.grid import Grid
from oceankit.regridding import _space
from oceankit.regridding._components import VectorError, check_pair, name_of, named_along, said_of, together
from oceankit.regridding.angles import Angle
from oceankit.regridding.regridder import NoOverlapError, Regridder, as_target

__all__ = ["VectorRegridder", "regrid_vectors"]

_DIM = "component_"
# Attributes that are true of the source's places alone.
_OF_PLACES = ("cell_measures", "grid_mapping", "coordinates", "location", "mesh")


class VectorRegridder:
    """Regrid vectors from one grid to another, again and again.

    Components to the east and to the north are no scalars: east at one place is not east at the next, and at the poles
    there is none. So vectors are turned into three components in space, these are regridded as scalars with the weights
    of any :class:`~oceankit.regridding.Regridder`, and the sums are brought back to the surface at each target.

    Parameters
    ----------
    source, target, method
        As for :class:`~oceankit.regridding.Regridder`.
    source_angle
        What the components that come in are along. None: east and north. ``"grid"``: the source grid's axes, whose
        angle :func:`~oceankit.regridding.grid_angle` derives. Or the angle from east to the first axis,
        counter-clockwise: a DataArray over the grid's dimensions with units of radians or degrees, the name of such a
        variable of ``source``, a pair (cosine, sine), or a number of radians.
    target_angle
        What the components that come out are along; the same forms, names are looked up in ``target``.
    **options
        ``skipna``, ``min_coverage``, ``extrapolate``, ``periodic``, ``edges``, ``pole``, as for
        :class:`~oceankit.regridding.Regridder`. A value is missing where either component is.

    Raises
    ------
    ValueError
        As for :class:`~oceankit.regridding.Regridder`; if an angle is none; if the method makes no weighted means.

    Notes
    -----
    The sum of weights times vectors lies not on the sphere, but in it: with ``V`` the sum over vectors and ``R`` the
    same sum over the unit vectors of their places, a solid-body rotation ``v = W x r`` gives ``V = W x R``. So ``V`` is
    freed of its part along ``R``, divided by the length of ``R`` and carried from the direction of ``R`` to the target
    along the great circle (parallel transport). What is left of a rotation's error is the distance between the target
    and ``R``, in radians, times the rotation about the vertical. ``"bilinear"`` has none: the patch in space on which
    curvilinear sources are interpolated is used for rectilinear ones too, and polar caps are closed by the pole itself
    with the mean vector of the last row. A single source (``"nearest"``) keeps its speed. ``"conservative"`` is of first
    order in vectors as in scalars: it takes a source cell's vector to hold all over the cell.

    Examples
    --------
    >>> source = Grid.global_regular(5.0)
    >>> lat = xr.DataArray(np.radians(source.lat.values), dims="lat", coords={"lat": source.lat.values})
    >>> lon = xr.DataArray(np.radians(source.lon.values), dims="lon", coords={"lon": source.lon.values})
    >>> u, v = -np.sin(lat) * np.cos(lon), np.sin(lon) + 0 * lat  # once around an axis on the equator, over both poles
    >>> regridder = VectorRegridder(source, Grid.points([0.0, 90.0], [90.0, 90.0]), "bilinear")
    >>> east, north = regridder(u, v.transpose("lat", "lon"))
    >>> bool(np.allclose(east, [-1.0, 0.0])), bool(np.allclose(north, [0.0, 1.0]))
    (True, True)
    """

    def __init__(
        self,
        source: Grid | xr.Dataset | xr.DataArray,
        target: Grid | xr.Dataset | xr.DataArray | float,
        method: str = "bilinear",
        *,
        source_angle: Angle = None,
        target_angle: Angle = None,
        **options: Any,
    ) -> None:
        if method in ("median", "min", "max", "count"):
            raise VectorError(f"method={method!r} is for scalars: vectors have no {method}; regrid the speed instead")
        self.source = source if isinstance(source, Grid) else Grid.from_dataset(source)
        self.target = as_target(target)
        self.method = method
        self.source_angle, self.target_angle = source_angle, target_angle
        self._lift = self._lifted(_named(source), method, options)
        self._regridders = self._of_components(method, options)
        self._matrices = self._dropped(_named(target))

    # ---- making one ---------------------------------------------------------------------------------------------

    def _lifted(self, where: dict[Hashable, xr.DataArray], method: str, options: dict[str, Any]) -> _space.Lift:
        """How components at the source become components in space."""
        grid = self.source
        turn = _space.turn_of(self.source_angle, "source_angle", where, grid)
        axes = turn.reshape(2, 2, -1) if grid.planar else _space.axes_of(grid, turn)
        matrix = np.ascontiguousarray(axes.swapaxes(0, 1))
        if grid.planar or grid.kind != "rectilinear" or method != "bilinear":
            return _space.Lift(matrix, grid.shape)
        return _space.Lift(matrix, grid.shape, *_space.order_and_caps(grid, options))

    def _of_components(self, method: str, options: dict[str, Any]) -> list[Regridder]:
        """The regridder of the three components, and one for the targets that it leaves out, if any."""
        whole = Regridder(self.source, self.target, method, **options)
        if self._lift.rows is None:
            return [whole]
        lattice = _space.as_lattice(self.source, self._lift)
        inside = {"pole": None, "extrapolate": None, "periodic": _space.wraps(self.source, options)}
        try:
            patches = Regridder(lattice, self.target, method, **(options | inside))
        except NoOverlapError:
            self._lift = self._lift.plain()
            return [whole]
        # A patch that ends in the pole has no coordinates there; and at a regional edge the great circle between two
        # centres leaves out a sliver along the parallel.
        there, wanted = (r(_ones(r.source)).notnull().values for r in (patches, whole))
        if not (wanted & ~there).any():
            return [patches]
        rest = copy.copy(self.target)
        rest.mask = xr.DataArray(wanted & ~there, dims=self.target.dims)
        return [patches, Regridder(self.source, rest, method, **options)]

    def _dropped(self, where: dict[Hashable, xr.DataArray]) -> list[blocks.Shared]:
        """How the components in space of each regridder become components at the target."""
        grid = self.target
        turn = _space.turn_of(self.target_angle, "target_angle", where, grid)
        if grid.planar:
            return [blocks.Shared(np.ascontiguousarray(turn.reshape(2, 2, -1)))]
        axes, places = _space.axes_of(grid, turn), self.source.centres().T.reshape(3, *self.source.shape)
        found = []
        for lift, regridder in zip(self._lifts(), self._regridders, strict=True):
            lifted = lift.complete(places[None])[0]
            mean = regridder(xr.DataArray(lifted, dims=(_DIM, *regridder.source.dims))).transpose(_DIM, *grid.dims)
            found.append(blocks.Shared(_space.to_surface(axes, mean.values.reshape(3, -1), grid.centres().T)))
        return found

    def _lifts(self) -> list[_space.Lift]:
        return [self._lift, self._lift.plain()][: len(self._regridders)]

    # ---- use ----------------------------------------------------------------------------------------------------

    def __call__(self, u: xr.DataArray, v: xr.DataArray) -> tuple[xr.DataArray, xr.DataArray]:
        """Regrid a pair of components; lazy in, lazy out.

        Parameters
        ----------
        u, v
            The components along the first and the second axis that ``source_angle`` says, at the same places, with the
            dimensions of the source grid and any others.

        Returns
        -------
        tuple of DataArray
            On the target, along the axes that ``target_angle`` says; names, attributes and other dimensions of ``u``
            and ``v``, float32 kept. CF standard names are changed where the axes have.

        Raises
        ------
        VectorError
            If the two are no pair, lie elsewhere than the source, or name axes that contradict ``source_angle=None``.
        """
        u, v = together(u, v)
        check_pair(u, v)
        for component in (u, v):
            _check_places(component, self.source)
        for component in (u, v):
            _check_axes(component, self.source, self.source_angle)
        dtype = np.result_type(u.dtype, v.dtype, np.float32)
        # Side by side where the kernels want them, which saves a copy.
        order = [*(d for d in u.dims if d not in self.source.dims), *self.source.dims]
        parts = [
            c.drop_vars(list(c.coords))
            .astype(dtype, copy=False)
            .transpose(*order)
            .expand_dims(_DIM, len(order) - len(self.source.dims))
            for c in (u, v)
        ]
        pair = xr.concat(parts, dim=_DIM, combine_attrs="drop").rename("the vectors")
        found = [
            self._regridded(pair, lift, regridder, matrix, dtype)
            for lift, regridder, matrix in zip(self._lifts(), self._regridders, self._matrices, strict=True)
        ]
        out = found[0] if len(found) == 1 else found[0].fillna(found[1])
        return self._labelled(out.isel({_DIM: 0}), u), self._labelled(out.isel({_DIM: 1}), v)

    def _regridded(
        self, pair: xr.DataArray, lift: _space.Lift, regridder: Regridder, matrix: blocks.Shared, dtype: np.dtype
    ) -> xr.DataArray:
        """Both components (component, ...) at the target."""
        n = lift.matrix.shape[0]
        (space,) = blocks.along(
            _space.lift_rows,
            pair,
            (_DIM, *self.source.dims),
            [blocks.Output((_DIM, *self.source.dims), (n, *lift.completed_shape), dtype)],
            constants={"lift": blocks.Shared(lift)},
            rechunk=True,
        )
        (out,) = blocks.along(
            _space.drop_rows,
            regridder(space),
            (_DIM, *self.target.dims),
            [blocks.Output((_DIM, *self.target.dims), (2, *self.target.shape), dtype)],
            constants={"matrix": matrix},
            rechunk=True,
        )
        return out

    def _labelled(self, out: xr.DataArray, like: xr.DataArray) -> xr.DataArray:
        mine = set(self.source.dims) | set(self.target.dims)
        kept = {k: c for k, c in like.coords.items() if not mine & set(c.dims)}
        coords = self.target.coords()
        out = out.drop_vars(list(out.coords)).assign_coords({k: c for k, c in kept.items() if k not in coords})
        out = out.assign_coords(coords).transpose(*_placed(like.dims, self.source.dims, self.target.dims))
        attrs = {k: a for k, a in like.attrs.items() if k not in _OF_PLACES}
        if self.target_angle is not None:
            attrs = named_along(attrs, "grid")
        elif self.source_angle is not None:
            attrs = named_along(attrs, "geographic")
        out.attrs = attrs
        return out.rename(like.name)

    def __repr__(self) -> str:
        return f"<oceankit.VectorRegridder {self.method}\n  from {self.source!r}\n  to   {self.target!r}>"


def regrid_vectors(
    u: xr.DataArray,
    v: xr.DataArray,
    target: Grid | xr.Dataset | xr.DataArray | float,
    method: str = "bilinear",
    *,
    source_angle: Angle = None,
    target_angle: Angle = None,
    source: Grid | xr.Dataset | xr.DataArray | None = None,
    **options: Any,
) -> tuple[xr.DataArray, xr.DataArray]:
    """Regrid a vector field once, through poles, seams and folds.

    Parameters
    ----------
    u, v
        The two components at the same points, in the same units. Components on the faces of a C-grid are brought
        together by :func:`~oceankit.regridding.to_centres` first.
    target, method
        As for :class:`~oceankit.regridding.Regridder`.
    source_angle, target_angle
        None where components are eastward and northward; other axes as for :class:`VectorRegridder`, which is worth
        keeping for a second field.
    source
        The Grid of the components, or a Dataset that has it; give it where it has cell corners, which a DataArray has
        left behind. Found from ``u`` where None.
    **options
        As for :class:`VectorRegridder`.

    Returns
    -------
    tuple of DataArray
        Eastward and northward components on the target, or along its axes where ``target_angle`` says so.

    Raises
    ------
    ValueError
        As for :class:`VectorRegridder`.

    Examples
    --------
    >>> u = xr.DataArray(np.ones((18, 36)), dims=("lat", "lon"), name="u",
    ...                  coords={"lat": np.arange(-85.0, 90, 10), "lon": np.arange(0.0, 360, 10)})
    >>> east, north = regrid_vectors(u, 0 * u, Grid.regular(lon=(0, 20, 1), lat=(-10, 10, 1)))
    >>> east.shape, bool(abs(north).max() < 1e-9)
    ((20, 20), True)
    """
    u, v = together(u, v)
    check_pair(u, v)
    holder = u if source is None else source
    grid = holder if isinstance(holder, Grid) else Grid.from_dataset(holder)
    # Before the weights, which take longer.
    for component in (u, v):
        _check_places(component, grid)
    return VectorRegridder(
        holder, target, method, source_angle=source_angle, target_angle=target_angle, **options
    )(u, v)  # fmt: skip


# ---- the user's arrays ----------------------------------------------------------------------------------------------


def _check_places(component: xr.DataArray, source: Grid) -> None:
    """Refuse a component that lies elsewhere, or is packed."""
    name = name_of(component)
    sizes = tuple(component.sizes.get(d) for d in source.dims)
    if sizes != source.shape:
        raise VectorError(
            f"{name} has {dict(component.sizes)}, and the source grid {dict(zip(source.dims, source.shape, strict=True))}; "
            "give its own grid as source=, or bring staggered components to the cell centres with to_centres"
        )
    packed = [a for a in ("scale_factor", "add_offset", "_FillValue") if a in component.attrs]
    if packed:
        raise VectorError(
            f"{name} was opened without decoding, its attributes say {packed[0]}={component.attrs[packed[0]]!r}; "
            "open it with mask_and_scale, or pass the dataset through xarray.decode_cf"
        )
    apart = _distance(component, source)
    if apart > 1e-3:
        raise VectorError(
            f"{name} lies elsewhere than the source grid: its coordinates differ by up to {apart:g} degrees; give its "
            "own grid as source=, or bring staggered components to the cell centres with to_centres(u, v, centres=...)"
        )


def _check_axes(component: xr.DataArray, source: Grid, angle: Angle) -> None:
    """Refuse a component along axes that are not known."""
    if angle is None and source.kind != "rectilinear" and said_of(component.attrs) == "grid":
        said = component.attrs.get("standard_name", component.attrs.get("long_name"))
        raise VectorError(
            f"{name_of(component)} says that it is along the grid's axes ({said!r}), and the grid is {source.kind}; give "
            "source_angle: 'grid' to derive it from the grid, the model's own angle, or 0 if the component is eastward or "
            "northward"
        )


def _ones(grid: Grid) -> xr.DataArray:
    return xr.DataArray(np.ones(grid.shape), dims=grid.dims)


def _named(holder: Any) -> dict[Hashable, xr.DataArray]:
    """Variables of what a grid was read from, among which angles may be named."""
    if isinstance(holder, xr.Dataset):
        return {n: holder[n] for n in holder.variables}
    return dict(holder.coords.items()) if isinstance(holder, xr.DataArray) else {}


def _distance(component: xr.DataArray, grid: Grid) -> float:
    """Largest difference in degrees between the component's own coordinates and those of the grid, where it has them."""
    worst = 0.0
    for mine, kind in ((grid.lon, "longitude"), (grid.lat, "latitude")):
        if mine.name not in component.coords or component.coords[mine.name].dims != mine.dims:
            continue
        theirs = component.coords[mine.name]
        if grid.planar or theirs.dtype.kind not in "fiu":
            continue
        apart = np.abs(in_degrees(theirs, kind) - mine.values)  # type: ignore[arg-type]
        apart = np.minimum(apart % 360.0, 360.0 - apart % 360.0)
        worst = max(worst, float(np.nanmax(apart, initial=0.0)))
    return worst


def _placed(dims: tuple[Hashable, ...], old: tuple[Hashable, ...], new: tuple[Hashable, ...]) -> list[Hashable]:
    """The user's order of dimensions, the new ones where the old ones were."""
    if len(old) == len(new):
        swap = dict(zip(old, new, strict=True))
        return [swap.get(d, d) for d in dims]
    first = min(dims.index(d) for d in old)
    out: list[Hashable] = []
    for k, d in enumerate(dims):
        if k == first:
            out.extend(new)
        if d not in old:
            out.append(d)
    return out
