"""Grid: where the cells of a field are, their corners, areas and mask."""

from __future__ import annotations

from collections.abc import Hashable
from functools import cached_property
from typing import Any, Literal

import numpy as np
import xarray as xr

from oceankit.fields import coordinates, meshes, rotated
from oceankit.fields.corners import (
    GridError,
    axis_edges,
    bounds_in_degrees,
    derive_curvilinear,
    find_bounds,
    lattice_to_cells,
)
from oceankit.fields.topology import Topology, circular_order, of_lattice
from oceankit.numerics import sphere
from oceankit.numerics.cells import Cells

__all__ = ["Grid", "GridError"]

Kind = Literal["rectilinear", "curvilinear", "mesh", "points"]
Edges = Literal["great_circle", "latitude"]


class Grid:
    """Where the cells of a field are.

    Made by :meth:`from_dataset`, :meth:`regular`, :meth:`global_regular` or :meth:`points`.

    Attributes
    ----------
    kind : {"rectilinear", "curvilinear", "mesh", "points"}
    dims : tuple
        Horizontal dimensions, for example ``("lat", "lon")`` or ``("y", "x")``.
    shape : tuple of int
        Their sizes.
    lon, lat : DataArray
        Centres in degrees: 1-D along their own dimensions (rectilinear) or with all of ``dims``.
        On a plane they are ``x`` and ``y``.
    mask : DataArray of bool or None
        True where a cell takes part; None where nothing is masked.
    planar : bool
        Whether the coordinates are x and y of a plane.
    """

    def __init__(
        self,
        kind: Kind,
        lon: xr.DataArray,
        lat: xr.DataArray,
        *,
        planar: bool = False,
        bounds: tuple[np.ndarray, np.ndarray] | None = None,
        mesh: meshes.Mesh | None = None,
        location: Literal["face", "node"] = "face",
        mask: xr.DataArray | None = None,
    ) -> None:
        self.kind = kind
        self.lon, self.lat = lon, lat
        self.planar = planar
        self.dims: tuple[Hashable, ...] = (*lat.dims, *lon.dims) if kind == "rectilinear" else lon.dims
        self.shape: tuple[int, ...] = (*lat.shape, *lon.shape) if kind == "rectilinear" else lon.shape
        self.location = location
        self._bounds = bounds
        self._mesh = mesh
        self._check_centres()
        self.mask = None if mask is None else self._as_mask(mask)

    # ---- making one ---------------------------------------------------------------------------------------------

    @classmethod
    def from_dataset(
        cls,
        ds: xr.Dataset | xr.DataArray,
        *,
        lon: Hashable | None = None,
        lat: Hashable | None = None,
        bounds: tuple[Hashable, Hashable] | None = None,
        mask: Hashable | xr.DataArray | None = None,
    ) -> Grid:
        """The grid of a dataset or field.

        Parameters
        ----------
        ds
            Longitude and latitude are found by CF attributes and usual names; 1-D pairs make a rectilinear grid,
            2-D ones a curvilinear one. UGRID, FVCOM, FESOM and ICON meshes are recognised, rotated-pole axes are turned
            to geographic ones. Where a dataset has ``x`` and ``y`` and no longitude, they span a plane.
        lon, lat
            Names of the coordinates, where they are not found or not the ones wanted.
        bounds
            Names of the variables with the corners of longitude and latitude: shape (..., 4), (n, 2) or one larger
            than the centres in each direction.
        mask
            Name or array over the grid's dimensions; zero, False or missing means that a cell takes no part.

        Raises
        ------
        CoordinateError
            If coordinates are absent, ambiguous, in the wrong units or not finite.
        GridError
            If they do not make a grid.
        """
        container = (
            ds if isinstance(ds, xr.Dataset) else ds.to_dataset(name=ds.name if ds.name is not None else "field")
        )
        container.encoding.setdefault("source", ds.encoding.get("source", ""))
        found_mask = container[mask] if isinstance(mask, Hashable) and mask in container.variables else mask
        if found_mask is not None and not isinstance(found_mask, xr.DataArray):
            raise GridError(f"mask={mask!r} is neither a variable of {coordinates.describe(ds)} nor a DataArray")
        if lon is None and lat is None:
            mesh = meshes.read_mesh(container)
            if mesh is not None and (isinstance(ds, xr.Dataset) or {mesh.node_dim, mesh.face_dim} & set(ds.dims)):
                return cls._of_mesh(container, mesh, found_mask)
            pole = rotated.read_pole(container)
            if pole is not None and not coordinates.candidates(ds, "longitude"):
                return cls._of_rotated(container, pole, found_mask)
            if not coordinates.candidates(ds, "longitude"):
                pair = coordinates.plane(ds)
                if pair is not None:
                    return cls._of_plane(*pair, found_mask)
        return cls._of_pair(container, *coordinates.horizontal(ds, lon=lon, lat=lat), bounds, found_mask)

    @classmethod
    def _of_pair(
        cls, ds: xr.Dataset, lon: xr.DataArray, lat: xr.DataArray,
        bounds: tuple[Hashable, Hashable] | None, mask: xr.DataArray | None,
    ) -> Grid:  # fmt: skip
        lon, lat = _squeezed(lon), _squeezed(lat)
        found = find_bounds(ds, lon, lat, bounds)
        corners = None if found is None else bounds_in_degrees(found, (lon, lat))
        centres = _plain(lon, "longitude"), _plain(lat, "latitude")
        if lon.ndim == 1 and lat.ndim == 1 and lon.dims != lat.dims:
            if corners is not None:
                corners = _axis_bounds(corners[0], centres[0]), _axis_bounds(corners[1], centres[1])
            grid = cls("rectilinear", *centres, bounds=corners, mask=mask)
        elif lon.ndim == 1:
            if corners is None:
                return cls("points", *centres, mask=mask)
            mesh = _mesh_of_bounds(corners, lon.dims[0])
            return cls("mesh", *centres, mesh=mesh, mask=mask)
        elif lon.ndim == 2:
            _refuse_trajectories(ds, lon)
            if corners is not None:
                corners = _cell_bounds(corners[0], lon), _cell_bounds(corners[1], lon)
            grid = cls("curvilinear", *centres, bounds=corners, mask=mask)
        else:
            raise GridError(
                f"{lon.name!r} has {lon.ndim} dimensions, {lon.dims}; a grid has 1 or 2: select one of the others first"
            )
        grid._refuse_data_without_place(ds, {lon.name, lat.name, *(b.name for b in found or ())})
        return grid

    @classmethod
    def _of_mesh(cls, ds: xr.Dataset, mesh: meshes.Mesh, mask: xr.DataArray | None) -> Grid:
        location = meshes.data_location(ds, mesh)
        if location == "node":
            x, y, dim = mesh.node_x, mesh.node_y, mesh.node_dim
        else:
            dim = mesh.face_dim
            given = mesh.face_x is not None and mesh.face_y is not None
            x, y = (mesh.face_x, mesh.face_y) if given else _face_centres(mesh)  # type: ignore[assignment]
        lon, lat = _pair_1d(x, y, dim, planar=mesh.planar)
        return cls("mesh", lon, lat, planar=mesh.planar, mesh=mesh, location=location, mask=mask)

    @classmethod
    def _of_plane(cls, x: xr.DataArray, y: xr.DataArray, mask: xr.DataArray | None) -> Grid:
        x, y = _plain(x, None), _plain(y, None)
        if x.dims != y.dims:
            return cls("rectilinear", x, y, planar=True, mask=mask)
        return cls("points" if x.ndim == 1 else "curvilinear", x, y, planar=True, mask=mask)

    @classmethod
    def _of_rotated(cls, ds: xr.Dataset, pole: rotated.Pole, mask: xr.DataArray | None) -> Grid:
        x, y = ds[pole.x], ds[pole.y]
        lon, lat = rotated.to_geographic(x.values[None, :], y.values[:, None], pole)
        edges = axis_edges(np.asarray(x.values, float), pole.x), axis_edges(np.asarray(y.values, float), pole.y)
        lattice = [np.append(e[:, 0], e[-1, 1]) for e in edges]
        corners = rotated.to_geographic(lattice[0][None, :], lattice[1][:, None], pole)
        dims = (y.dims[0], x.dims[0])
        return cls(
            "curvilinear",
            xr.DataArray(lon, dims=dims, name="lon", attrs=_LON_ATTRS),
            xr.DataArray(lat, dims=dims, name="lat", attrs=_LAT_ATTRS),
            bounds=(lattice_to_cells(corners[0]), lattice_to_cells(corners[1])),
            mask=mask,
        )

    @classmethod
    def regular(
        cls,
        lon: tuple[float, float, float] | None = None,
        lat: tuple[float, float, float] | None = None,
        *,
        x: tuple[float, float, float] | None = None,
        y: tuple[float, float, float] | None = None,
    ) -> Grid:
        """A regular grid between edges: ``lon=(west, east, step)`` and ``lat=(south, north, step)`` in degrees.

        Centres are half a step inside the edges. ``x`` and ``y`` instead make a grid on a plane.

        Examples
        --------
        >>> Grid.regular(lon=(117, 127, 0.5), lat=(31, 41, 0.5)).shape
        (20, 20)
        """
        planar = lon is None and lat is None
        first, second = (x, y) if planar else (lon, lat)
        if first is None or second is None or (not planar and (x is not None or y is not None)):
            raise GridError("a regular grid takes either lon= and lat=, or x= and y=, each as (low, high, step)")
        names = ("x", "y") if planar else ("lon", "lat")
        edges = [_regular_edges(values, name) for values, name in zip((first, second), names, strict=True)]
        if not planar:
            _check_extent(edges[0], edges[1])
        axes = []
        for e, name in zip(edges, names, strict=True):
            attrs = {} if planar else (_LON_ATTRS if name == "lon" else _LAT_ATTRS)
            axes.append(xr.DataArray((e[:-1] + e[1:]) / 2, dims=(name,), name=name, attrs=attrs))
        bounds = tuple(np.stack([e[:-1], e[1:]], axis=1) for e in edges)
        return cls("rectilinear", axes[0], axes[1], planar=planar, bounds=(bounds[0], bounds[1]))

    @classmethod
    def global_regular(cls, step: float) -> Grid:
        """The global grid of ``step`` degrees: longitudes 0..360, latitudes south to north, dims (lat, lon).

        Examples
        --------
        >>> grid = Grid.global_regular(1.0)
        >>> grid.shape, float(grid.lon[0]), float(grid.lat[0])
        ((180, 360), 0.5, -89.5)
        """
        return cls.regular(lon=(0.0, 360.0, step), lat=(-90.0, 90.0, step))

    @classmethod
    def points(
        cls, lon: Any = None, lat: Any = None, *, x: Any = None, y: Any = None, dim: Hashable = "points"
    ) -> Grid:
        """A bare list of points, in degrees, or with ``x`` and ``y`` on a plane.

        Parameters
        ----------
        lon, lat
            Sequences of equal length, or 1-D DataArrays along one dimension (which then names ``dim``).
        """
        planar = lon is None and lat is None
        first, second = (x, y) if planar else (lon, lat)
        if first is None or second is None:
            raise GridError("points take lon and lat, or x= and y=; one of the two was not given")
        if isinstance(first, xr.DataArray) and first.ndim == 1:
            dim = first.dims[0]
        a, b = (np.atleast_1d(np.asarray(v, np.float64)) for v in (first, second))
        if a.shape != b.shape or a.ndim != 1:
            raise GridError(f"points need two 1-D sequences of equal length, not shapes {a.shape} and {b.shape}")
        lon_array, lat_array = _pair_1d(a, b, dim, planar=planar)
        if not planar:
            coordinates.in_degrees(lat_array, "latitude")
        return cls("points", lon_array, lat_array, planar=planar)

    # ---- what it knows ------------------------------------------------------------------------------------------

    @property
    def size(self) -> int:
        """Number of cells."""
        return int(np.prod(self.shape))

    @cached_property
    def topology(self) -> Topology:
        """How rows and columns join beyond the edges (curvilinear grids)."""
        if self.kind != "curvilinear" or self.planar:
            return Topology(False, None, np.zeros(self.shape, bool), False)
        return of_lattice(sphere.unit_vectors(self.lon.values, self.lat.values))

    @cached_property
    def periodic(self) -> bool:
        """Whether the grid closes on itself in longitude."""
        if self.planar or self.kind not in ("rectilinear", "curvilinear"):
            return False
        if self.kind == "curvilinear":
            return self.topology.periodic
        return circular_order(self.lon.values)[2]

    @cached_property
    def corners(self) -> xr.Dataset:
        """Corners of the cells as CF bounds: ``lon_bnds`` and ``lat_bnds`` (``x_bnds``, ``y_bnds`` on a plane).

        Shape (n, 2) for each axis of a rectilinear grid, (..., corners) otherwise, NaN where a corner is missing.

        Raises
        ------
        GridError
            If the file gives none and they cannot be derived; the message says why.
        """
        names = ("x_bnds", "y_bnds") if self.planar else ("lon_bnds", "lat_bnds")
        if self.kind == "rectilinear":
            a, b = self._bounds if self._bounds is not None else self._derived_axes()
            arrays = {names[0]: ((*self.lon.dims, "bnds"), a), names[1]: ((*self.lat.dims, "bnds"), b)}
            return xr.Dataset(arrays)
        if self.kind == "curvilinear":
            a, b = self._bounds if self._bounds is not None else self._derived_cells()
        elif self.kind == "mesh" and self._mesh is not None and self.location == "face":
            faces = self._mesh.faces
            a = np.where(faces >= 0, self._mesh.node_x[faces], np.nan)
            b = np.where(faces >= 0, self._mesh.node_y[faces], np.nan)
        else:
            what = "a bare list of points" if self.kind == "points" else "the nodes of a mesh"
            raise GridError(
                f"{what} has no cells and so no corners; conservative methods and areas need a grid with cells"
            )
        return xr.Dataset({names[0]: ((*self.dims, "corner"), a), names[1]: ((*self.dims, "corner"), b)})

    @property
    def has_cells(self) -> bool:
        """Whether the places of the grid are cells, with corners given or derivable, rather than bare points."""
        return self.kind in ("rectilinear", "curvilinear") or (self.kind == "mesh" and self.location == "face")

    def area(self, *, edges: Edges = "great_circle") -> xr.DataArray:
        """Area of each cell in m2 (squared coordinate units on a plane), NaN for cells that are none.

        Parameters
        ----------
        edges
            ``"great_circle"``: edges are great circles, as in regridding and in ESMF. ``"latitude"``: edges whose ends
            share a latitude follow that parallel, as in CDO.
        """
        if edges not in ("great_circle", "latitude"):
            raise GridError(f"edges={edges!r} is not known; choose 'great_circle' or 'latitude'")
        if self.kind == "rectilinear" and edges == "latitude" and not self.planar:
            lon, lat = (np.radians(v.values) for v in self.corners.data_vars.values())
            bands = np.abs(np.sin(lat[:, 1]) - np.sin(lat[:, 0]))
            area = bands[:, None] * np.abs(lon[:, 1] - lon[:, 0])[None, :]
        else:
            cells = self.cells()
            area = sphere.polygon_areas(cells.nodes, cells.faces, cells.planar)
            if edges == "latitude" and not self.planar:
                area = area + sphere.parallel_edge_areas(cells.nodes, cells.faces)
            area = np.where(cells.faces[:, 0] >= 0, area, np.nan)
        scale, units = (1.0, "1") if self.planar else (sphere.EARTH_RADIUS**2, "m2")
        attrs = {"standard_name": "cell_area", "long_name": "area of the grid cell", "units": units, "edges": edges}
        return xr.DataArray(
            area.reshape(self.shape) * scale, dims=self.dims, name="cell_area", attrs=attrs, coords=self.coords()
        )

    def report(self) -> dict[str, int | str]:
        """What was found and mended: cells in all, clockwise (mended), bow-ties, without area, without corners
        (these three take no part in conservative methods), copies in halos, cells without a place, masked cells.
        """
        missing = int((~np.isfinite(self._flat_centres()).all(axis=1)).sum())
        out: dict[str, int | str] = {"kind": self.kind, "cells": self.size, "without_place": missing}
        out["masked"] = 0 if self.mask is None else int((~self.mask.values).sum())
        if not self.has_cells:
            return out
        try:
            status = self._oriented[1]
        except GridError as error:
            out["corners"] = f"none: {error}"
        else:
            out["corners"] = "given" if self._bounds is not None or self.kind == "mesh" else "derived"
            for name, code in (
                ("clockwise", sphere.FLIPPED), ("bow_ties", sphere.BOW_TIE),
                ("zero_area", sphere.ZERO_AREA), ("without_corners", sphere.INCOMPLETE),
            ):  # fmt: skip
                out[name] = int((status == code).sum())
            out["halo_copies"] = int(self.topology.halo.sum())
        return out

    def coords(self) -> dict[Hashable, xr.DataArray]:
        """Coordinates of a field on this grid."""
        return {
            name: xr.DataArray(array.values, dims=array.dims, attrs=array.attrs)
            for name, array in ((self.lon.name, self.lon), (self.lat.name, self.lat))
        }

    def cells(self) -> Cells:
        """Cells as kernels want them: oriented, those that are none marked by -1."""
        return self._oriented[0]

    def centres(self) -> np.ndarray:
        """Centres as kernels want them: unit vectors (n, 3), or (x, y, 1) on a plane; NaN where there is none."""
        flat = self._flat_centres()
        if self.planar:
            return np.column_stack([flat, np.ones(flat.shape[0])])
        return sphere.unit_vectors(flat[:, 0], flat[:, 1])

    def used(self) -> np.ndarray:
        """bool (n,): cells that have a place and are not masked."""
        here = np.isfinite(self._flat_centres()).all(axis=1)
        return here if self.mask is None else here & self.mask.values.ravel()

    def same_as(self, other: Grid) -> bool:
        """Whether both grids have the same places."""
        return (
            self.kind == other.kind
            and self.shape == other.shape
            and self.planar == other.planar
            and np.array_equal(self.lon.values, other.lon.values, equal_nan=True)
            and np.array_equal(self.lat.values, other.lat.values, equal_nan=True)
        )

    def __repr__(self) -> str:
        shape = ", ".join(f"{d}: {n}" for d, n in zip(self.dims, self.shape, strict=True))
        extent = []
        for array in (self.lon, self.lat):
            finite = array.values[np.isfinite(array.values)]
            extent.append(
                f"{array.name} {finite.min():g} to {finite.max():g}" if finite.size else f"{array.name} empty"
            )
        marks = [
            m
            for m, on in (("periodic", self.periodic), ("plane", self.planar), ("masked", self.mask is not None))
            if on
        ]
        return f"<oceankit.Grid {self.kind} ({shape}), {', '.join(extent)}{''.join(', ' + m for m in marks)}>"

    # ---- how it finds out ---------------------------------------------------------------------------------------

    def _flat_centres(self) -> np.ndarray:
        a, b = self.lon.values, self.lat.values
        if self.kind == "rectilinear":
            a, b = np.meshgrid(a, b)
        return np.column_stack([a.ravel(), b.ravel()])

    def _derived_axes(self) -> tuple[np.ndarray, np.ndarray]:
        if self.planar:
            return axis_edges(self.lon.values, self.lon.name), axis_edges(self.lat.values, self.lat.name)
        order, values, closed = circular_order(self.lon.values)
        edges = np.empty((order.size, 2))
        edges[order] = axis_edges(values, self.lon.name, period=360.0 if closed else None)
        return edges, axis_edges(self.lat.values, self.lat.name, lower=-90.0, upper=90.0)

    def _derived_cells(self) -> tuple[np.ndarray, np.ndarray]:
        name = f"{self.lon.name!r} and {self.lat.name!r}"
        top = self.topology
        return derive_curvilinear(
            self.lon.values, self.lat.values, planar=self.planar, wraps=top.wraps, fold=top.fold, name=name
        )

    @cached_property
    def _oriented(self) -> tuple[Cells, np.ndarray]:
        if self.kind == "rectilinear":
            nodes, faces = self._rectilinear_cells()
        elif self.kind == "mesh" and self.location == "face" and self._mesh is not None:
            mesh = self._mesh
            nodes = _vectors(mesh.node_x, mesh.node_y, self.planar)
            faces = mesh.faces.copy()
        else:
            a, b = (v.values for v in self.corners.data_vars.values())
            nodes, faces = _lattice_or_loose(a, b, self.planar)
        status, convex = sphere.orient(nodes, faces, self.planar)
        none = (status == sphere.BOW_TIE) | (status == sphere.ZERO_AREA) | (status == sphere.INCOMPLETE)
        twisted = (status == sphere.BOW_TIE) | (status == sphere.ZERO_AREA)
        # A few are usual (a degenerate seam, a block of land without coordinates); many mean that these are no neighbours.
        if (
            self._bounds is None
            and self.kind == "curvilinear"
            and twisted.sum() > 0.2 * (status != sphere.INCOMPLETE).sum()
        ):
            raise GridError(
                f"{int(twisted.sum())} of {none.size} cells derived from the centres {self.lon.name!r} and "
                f"{self.lat.name!r} cross "
                "themselves or have no area: the centres do not form a grid of neighbours; give the corners with bounds="
            )
        faces[none] = -1
        return Cells(nodes, faces, convex, self.planar), status

    def _rectilinear_cells(self) -> tuple[np.ndarray, np.ndarray]:
        a, b = (v.values for v in self.corners.data_vars.values())
        if not self.planar and np.abs(a[:, 1] - a[:, 0]).max() >= 180.0:
            raise GridError(
                f"a cell of {self.lon.name!r} is {np.abs(a[:, 1] - a[:, 0]).max():g} degrees wide; cells with great-circle edges "
                "must be narrower than 180: use a finer grid or edges='latitude'"
            )
        x_edges, x_at = np.unique(a, return_inverse=True)
        y_edges, y_at = np.unique(b, return_inverse=True)
        x_at, y_at = x_at.reshape(a.shape), y_at.reshape(b.shape)
        x_lattice, y_lattice = np.meshgrid(x_edges, y_edges)
        nodes = _vectors(x_lattice, y_lattice, self.planar).reshape(-1, 3)
        n = x_edges.size
        south, north = np.sort(y_at, axis=1).T
        west, east = np.sort(x_at, axis=1).T
        faces = np.stack(
            [
                south[:, None] * n + west,
                south[:, None] * n + east,
                north[:, None] * n + east,
                north[:, None] * n + west,
            ],
            axis=-1,
        )
        return nodes, np.ascontiguousarray(faces.reshape(-1, 4), np.int32)

    def _check_centres(self) -> None:
        if self.size == 0:
            raise GridError(f"the grid is empty: its dimensions {self.dims} have sizes {self.shape}")
        if self.kind == "rectilinear":
            for array in (self.lon, self.lat):
                bad = ~np.isfinite(array.values)
                if bad.any():
                    raise coordinates.CoordinateError(
                        f"{array.name!r} holds {int(bad.sum())} missing or infinite value(s), the first at position "
                        f"{int(np.argmax(bad))}; repair the coordinate, or drop those positions with .isel or .dropna"
                    )
                self._check_axis(array)
            return
        bad = ~(np.isfinite(self.lon.values) & np.isfinite(self.lat.values))
        if bad.all():
            raise coordinates.CoordinateError(f"{self.lon.name!r} and {self.lat.name!r} hold no finite value at all")
        if bad.any() and self.kind == "points":
            raise coordinates.CoordinateError(
                f"{self.lon.name!r} and {self.lat.name!r} hold {int(bad.sum())} missing value(s), the first at position "
                f"{int(np.argmax(bad))}; drop the points without a position"
            )

    def _check_axis(self, array: xr.DataArray) -> None:
        values = array.values
        if array is self.lon and not self.planar:
            values = circular_order(values)[1]
        steps = np.diff(values)
        if (steps > 0).all() or (steps < 0).all():
            return
        at = int(np.argmax(steps == 0)) if (steps == 0).any() else int(np.argmax(np.sign(steps) != np.sign(steps[0])))
        what = "repeats the value" if steps[at] == 0 else "neither rises nor falls throughout: it turns at"
        raise GridError(
            f"{array.name!r} is no axis of a grid: it {what} {values[at]:g}; if these are the positions of scattered "
            "observations or of one platform, they are not a grid: use oceankit.observations or Grid.points"
        )

    def _as_mask(self, mask: xr.DataArray) -> xr.DataArray:
        extra = [d for d in mask.dims if d not in self.dims]
        if any(mask.sizes[d] > 1 for d in extra):
            raise GridError(
                f"the mask {mask.name!r} also depends on {extra}; select one position of them, a grid has one mask"
            )
        mask = mask.squeeze(extra, drop=True)
        absent = [d for d in self.dims if d not in mask.dims]
        if absent or tuple(mask.sizes[d] for d in self.dims) != self.shape:
            raise GridError(
                f"the mask has dimensions {dict(mask.sizes)}, the grid has {dict(zip(self.dims, self.shape, strict=True))}"
            )
        values = mask.transpose(*self.dims).values
        on = np.isfinite(values) & (values != 0) if values.dtype.kind == "f" else values.astype(bool)
        if not on.any():
            raise GridError(
                f"the mask {mask.name!r} leaves no cell at all; True or nonzero means that a cell takes part"
            )
        return xr.DataArray(on, dims=self.dims, name="mask", attrs={"long_name": "cell takes part"})

    def _refuse_data_without_place(self, ds: xr.Dataset, aside: set[Hashable]) -> None:
        """Cells without coordinates or corners are usual over land; data in them would be lost without a word."""
        if self.kind != "curvilinear":
            return
        without = ~np.isfinite(self._flat_centres()).all(axis=1).reshape(self.shape)
        where = f"{self.lon.name!r} or {self.lat.name!r}"
        if self._bounds is not None:
            lost = ~(np.isfinite(self._bounds[0]).all(axis=-1) & np.isfinite(self._bounds[1]).all(axis=-1))
            if lost.any() and not without.any():
                without, where = lost, f"the corners of {self.lon.name!r} and {self.lat.name!r}"
        if not without.any():
            return
        if self.mask is not None:
            without = without & self.mask.values
        for name, variable in ds.data_vars.items():
            if name in aside or not set(self.dims) <= set(variable.dims) or variable.dtype.kind != "f":
                continue
            first = variable.isel({d: 0 for d in variable.dims if d not in self.dims}).transpose(*self.dims)
            bad = without & np.isfinite(first.values)
            if bad.any():
                at = tuple(int(i) for i in np.argwhere(bad)[0])
                raise GridError(
                    f"{int(bad.sum())} cells of {where} are missing, yet {name!r} has data there "
                    f"(the first at {self.dims} = {at}); "
                    "repair the coordinates, or leave those cells out with mask="
                )


_LON_ATTRS = {"standard_name": "longitude", "long_name": "longitude", "units": "degrees_east"}
_LAT_ATTRS = {"standard_name": "latitude", "long_name": "latitude", "units": "degrees_north"}


def _refuse_trajectories(ds: xr.Dataset, lon: xr.DataArray) -> None:
    """Two-dimensional positions of platforms (CF discrete sampling geometries) are no grid."""
    feature = str(ds.attrs.get("featureType", "")).lower()
    roles = [
        n for n, v in ds.variables.items() if v.attrs.get("cf_role") in ("trajectory_id", "timeseries_id", "profile_id")
    ]
    moving = [n for n in coordinates.candidates(ds, "time") if n in lon.dims and ds.sizes[n] > 1]
    if feature in ("trajectory", "timeseries", "profile", "trajectoryprofile", "point") or roles or moving:
        sign = f"featureType {feature!r}" if feature else f"the variable {(roles or moving)[0]!r}"
        raise GridError(
            f"{lon.name!r} has the positions of moving platforms along {lon.dims} ({sign} says so), not a grid; read them with "
            "oceankit.observations, or flatten them into Grid.points"
        )


def _squeezed(array: xr.DataArray) -> xr.DataArray:
    """Without the length-1 dimensions in front that some models give their coordinates (time, y, x)."""
    extra = [d for d in array.dims[:-2] if array.sizes[d] == 1]
    return array.squeeze(extra, drop=True)


def _plain(array: xr.DataArray, kind: Literal["longitude", "latitude"] | None) -> xr.DataArray:
    """A coordinate as float64 degrees without coordinates of its own; name and attributes kept."""
    values = np.asarray(array.values, np.float64) if kind is None else coordinates.in_degrees(array, kind)
    attrs = {k: v for k, v in array.attrs.items() if k != "bounds"}
    if kind is not None:
        attrs |= _LON_ATTRS if kind == "longitude" else _LAT_ATTRS
        attrs["long_name"] = array.attrs.get("long_name", kind)
    return xr.DataArray(values, dims=array.dims, name=array.name, attrs=attrs)


def _pair_1d(x: np.ndarray, y: np.ndarray, dim: Hashable, *, planar: bool) -> tuple[xr.DataArray, xr.DataArray]:
    names, attrs = (("x", "y"), ({}, {})) if planar else (("lon", "lat"), (_LON_ATTRS, _LAT_ATTRS))
    return (
        xr.DataArray(x, dims=(dim,), name=names[0], attrs=attrs[0]),
        xr.DataArray(y, dims=(dim,), name=names[1], attrs=attrs[1]),
    )


def _vectors(x: np.ndarray, y: np.ndarray, planar: bool) -> np.ndarray:
    return np.stack([x, y, np.ones_like(x)], axis=-1) if planar else sphere.unit_vectors(x, y)


def _regular_edges(values: tuple[float, float, float], name: str) -> np.ndarray:
    try:
        low, high, step = (float(v) for v in values)
    except (TypeError, ValueError):
        raise GridError(f"{name}={values!r}; a regular axis is (low, high, step), three numbers") from None
    if not (np.isfinite([low, high, step]).all() and step > 0 and high > low):
        raise GridError(f"{name}={values!r}; the upper edge must be above the lower one and the step above zero")
    number = round((high - low) / step)
    if number < 1 or abs(number * step - (high - low)) > 1e-6 * step:
        raise GridError(
            f"{name}={values!r}: a step of {step:g} does not divide {high - low:g}; "
            f"choose for example {(high - low) / max(1, number):g}"
        )
    # From whole numbers of steps, not by repeated addition: edges of two grids then agree to the last digit.
    return low + (high - low) * np.arange(number + 1) / number


def _check_extent(lon: np.ndarray, lat: np.ndarray) -> None:
    if lat[0] < -90 or lat[-1] > 90:
        raise GridError(f"lat reaches from {lat[0]:g} to {lat[-1]:g}; latitudes lie between -90 and 90")
    if lon[-1] - lon[0] > 360 + 1e-9:
        raise GridError(f"lon reaches from {lon[0]:g} to {lon[-1]:g}, more than once around; give at most 360 degrees")


def _axis_bounds(values: np.ndarray, centres: xr.DataArray) -> np.ndarray:
    """Bounds (n, 2) of a 1-D axis from that layout or from n + 1 edges."""
    n = centres.size
    if values.shape == (n + 1,):
        values = np.stack([values[:-1], values[1:]], axis=1)
    if values.shape != (n, 2):
        raise GridError(
            f"the bounds of {centres.name!r} have shape {values.shape}; they must be ({n}, 2) or ({n + 1},)"
        )
    bad = ~np.isfinite(values).all(axis=1)
    if bad.any():
        raise GridError(
            f"the bounds of {centres.name!r} are missing at {int(bad.sum())} position(s), the first {int(np.argmax(bad))}; "
            "repair them, or drop the bounds so that they are derived from the centres"
        )
    low, high = values.min(axis=1), values.max(axis=1)
    centre = centres.values
    if centres.attrs.get("standard_name") == "longitude":
        centre = centre - 360.0 * np.round((centre - (low + high) / 2) / 360.0)
    outside = (centre < low - 1e-4) | (centre > high + 1e-4)
    if outside.any():
        i = int(np.argmax(outside))
        raise GridError(
            f"the bounds of {centres.name!r} do not hold its centres: {centres.values[i]:g} at position {i} has the bounds "
            f"{values[i, 0]:g} and {values[i, 1]:g}; name the right ones with bounds=, or drop them"
        )
    return values


def _cell_bounds(values: np.ndarray, centres: xr.DataArray) -> np.ndarray:
    """Corners (ny, nx, 4) from that layout or from a lattice (ny + 1, nx + 1)."""
    shape = centres.shape
    values = values.squeeze() if values.ndim > 3 else values
    if values.shape == tuple(n + 1 for n in shape):
        return lattice_to_cells(values)
    if values.ndim != 3 or values.shape[:2] != shape or values.shape[2] < 3:
        raise GridError(
            f"the corners of {centres.name!r} have shape {values.shape}; "
            f"they must be {(*shape, 4)} or {tuple(n + 1 for n in shape)}"
        )
    return values


def _mesh_of_bounds(corners: tuple[np.ndarray, np.ndarray], dim: Hashable) -> meshes.Mesh:
    """A mesh of cells that each bring their own corners (ICON, unstructured CF bounds)."""
    x, y = corners
    faces = np.arange(x.size, dtype=np.int32).reshape(x.shape)
    faces = np.where(np.isfinite(x) & np.isfinite(y), faces, np.int32(-1))
    return meshes.Mesh(x.ravel(), y.ravel(), np.ascontiguousarray(faces), f"{dim}_node", dim, False)


def _face_centres(mesh: meshes.Mesh) -> tuple[np.ndarray, np.ndarray]:
    """Mean of the corners of each face."""
    points = _vectors(mesh.node_x, mesh.node_y, mesh.planar)
    there = (mesh.faces >= 0)[..., None]
    mean = np.where(there, points[mesh.faces], 0.0).sum(axis=1) / there.sum(axis=1)
    return (mean[:, 0], mean[:, 1]) if mesh.planar else sphere.lonlat(mean)


def _lattice_or_loose(x: np.ndarray, y: np.ndarray, planar: bool) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and faces of corners (ny, nx, n): shared where neighbours agree to the last digit, else each cell its own."""
    ny, nx = x.shape[:2]
    if x.shape[2] == 4 and all(_shared(v) for v in (x, y)):
        lattice = []
        for v in (x, y):
            rows = np.concatenate([v[:, :, 0], v[:, -1:, 1]], axis=1)
            last = np.concatenate([v[-1:, :, 3], v[-1:, -1:, 2]], axis=1)
            lattice.append(np.concatenate([rows, last], axis=0))
        nodes = _vectors(lattice[0], lattice[1], planar).reshape(-1, 3)
        number = np.arange((ny + 1) * (nx + 1), dtype=np.int32).reshape(ny + 1, nx + 1)
        return nodes, np.ascontiguousarray(lattice_to_cells(number).reshape(-1, 4))
    nodes = _vectors(x, y, planar).reshape(-1, 3)
    return nodes, np.arange(nodes.shape[0], dtype=np.int32).reshape(-1, x.shape[2])


def _shared(v: np.ndarray) -> bool:
    pairs = (
        (v[:, :-1, 1], v[:, 1:, 0]), (v[:, :-1, 2], v[:, 1:, 3]),
        (v[:-1, :, 3], v[1:, :, 0]), (v[:-1, :, 2], v[1:, :, 1]),
    )  # fmt: skip
    return all(np.array_equal(a, b) for a, b in pairs)
