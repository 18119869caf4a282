"""Grid: where the cells of a field are, their corners, areas and mask."""

from __future__ import annotations

from collections.abc import Hashable
from functools import cached_property
from typing import Any, Literal

import numpy as np
import xarray as xr

from oceankit.fields import checks, coordinates, dual, geometry, topology
from oceankit.fields.corners import GridError, axis_edges, derive_curvilinear
from oceankit.fields.places import (
    LAT_ATTRS,
    LON_ATTRS,
    Location,
    Places,
    check_extent,
    pair_1d,
    read,
    regular_edges,
)
from oceankit.fields.topology import Topology, circular_order, of_lattice
from oceankit.numerics import sphere
from oceankit.numerics.cells import Cells

__all__ = ["Grid", "GridError"]

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
    others : dict of DataArray
        Further coordinates along ``dims`` of the dataset that the grid was read from.
    planar : bool
        Whether the coordinates are x and y of a plane.
    """

    def __init__(self, places: Places, mask: xr.DataArray | None = None) -> None:
        checks.check_centres(places)
        self.kind, self.planar, self.location = places.kind, places.planar, places.location
        self.lon, self.lat = places.lon, places.lat
        axes = (places.lat, places.lon) if places.kind == "rectilinear" else (places.lon,)
        self.dims: tuple[Hashable, ...] = tuple(d for axis in axes for d in axis.dims)
        self.shape: tuple[int, ...] = tuple(n for axis in axes for n in axis.shape)
        self.mask = None if mask is None else checks.as_mask(mask, places, self.dims, self.shape)
        self.described_by = places.described_by
        self.others: dict[Hashable, xr.DataArray] = {}
        self._bounds, self._mesh = places.bounds, places.mesh

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
        location: Location | None = None,
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
        location
            Of a mesh: whether the values stand at its nodes (``"node"``) or its faces (``"face"``). Where None, the side
            that has more of the dataset's variables.

        Raises
        ------
        CoordinateError
            If coordinates are absent, ambiguous, in the wrong units or not finite.
        GridError
            If they do not make a grid.
        """
        if not isinstance(ds, xr.Dataset | xr.DataArray):
            raise GridError(
                f"a grid is read from a Dataset or DataArray, not from a {type(ds).__name__}; open files with open_fields"
            )
        if bounds is not None and (isinstance(bounds, str) or len(bounds) != 2):
            raise GridError(f"bounds={bounds!r}; give the names of two variables, (of longitude, of latitude)")
        container = ds if isinstance(ds, xr.Dataset) else _as_dataset(ds)
        found_mask = container[mask] if isinstance(mask, Hashable) and mask in container.variables else mask
        if found_mask is not None and not isinstance(found_mask, xr.DataArray):
            given = repr(mask) if isinstance(mask, str) else f"a {type(mask).__name__}"
            raise GridError(
                f"mask= is {given}, which is neither a variable of {coordinates.describe(ds)} nor a DataArray"
            )
        if location not in (None, "node", "face"):
            raise GridError(f"location={location!r} is not known; choose 'node', 'face' or None")
        places = read(container, ds, lon, lat, bounds, location)
        grid = cls(places, found_mask)
        grid.others = _along(container.coords if isinstance(ds, xr.Dataset) else ds.coords, grid)
        checks.refuse_data_without_place(container, places, grid.mask)
        return grid

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
        edges = [regular_edges(values, name) for values, name in zip((first, second), names, strict=True)]
        if not planar:
            check_extent(edges[0], edges[1])
        axes = []
        for e, name in zip(edges, names, strict=True):
            attrs = {} if planar else (LON_ATTRS if name == "lon" else LAT_ATTRS)
            axes.append(xr.DataArray((e[:-1] + e[1:]) / 2, dims=(name,), name=name, attrs=attrs))
        bounds = tuple(np.stack([e[:-1], e[1:]], axis=1) for e in edges)
        return cls(Places("rectilinear", axes[0], axes[1], planar, (bounds[0], bounds[1])))

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
        cls,
        lon: Any = None,
        lat: Any = None,
        *,
        x: Any = None,
        y: Any = None,
        dim: Hashable = "points",
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
        lon_array, lat_array = pair_1d(a, b, dim, planar=planar)
        if not planar:
            coordinates.in_degrees(lat_array, "latitude")
        return cls(Places("points", lon_array, lat_array, planar))

    # ---- what it knows ------------------------------------------------------------------------------------------

    @property
    def size(self) -> int:
        """Number of cells."""
        return int(np.prod(self.shape))

    @cached_property
    def topology(self) -> Topology:
        """How rows and columns join beyond the edges (curvilinear grids)."""
        if self.kind != "curvilinear" or self.planar:
            return topology.none(self.shape)
        return of_lattice(self.lon.values, self.lat.values)

    @cached_property
    def periodic(self) -> bool:
        """Whether the grid closes on itself in longitude."""
        if self.planar or self.kind not in ("rectilinear", "curvilinear"):
            return False
        if self.kind == "curvilinear":
            return self.topology.periodic
        if self._bounds is not None:
            widths = np.abs(self._bounds[0][:, 1] - self._bounds[0][:, 0])
            return bool(self.lon.size > 2 and abs(widths.sum() - 360.0) < 1e-3)
        return circular_order(self.lon.values)[2]

    @cached_property
    def corners(self) -> xr.Dataset:
        """Corners of the cells as CF bounds: ``lon_bnds`` and ``lat_bnds`` (``x_bnds``, ``y_bnds`` on a plane).

        Shape (n, 2) for each axis of a rectilinear grid, (..., corners) otherwise, NaN where a corner is missing.
        The cell of a node of a mesh goes through the centres of its faces and the middles of its edges.

        Raises
        ------
        GridError
            If the file gives none and they cannot be derived; the message says why.
        """
        names = ("x_bnds", "y_bnds") if self.planar else ("lon_bnds", "lat_bnds")
        if self.kind == "rectilinear":
            a, b = self._bounds if self._bounds is not None else self._derived_axes()
            arrays = {
                names[0]: ((*self.lon.dims, "bnds"), a),
                names[1]: ((*self.lat.dims, "bnds"), b),
            }
            return xr.Dataset(arrays)
        if self.kind == "curvilinear":
            a, b = self._bounds if self._bounds is not None else self._derived_cells()
        elif self.kind == "mesh" and self._mesh is not None:
            a, b, faces = self._mesh.node_x, self._mesh.node_y, self._mesh.faces
            if self.location == "node":
                nodes, faces = dual.cells_of_nodes(self._mesh)
                a, b = (nodes[:, 0], nodes[:, 1]) if self.planar else sphere.lonlat(nodes)
            a, b = (np.where(faces >= 0, v[faces], np.nan) for v in (a, b))
        else:
            raise GridError(
                "a bare list of points has no cells and so no corners; conservative methods and areas need a grid with cells"
            )
        return xr.Dataset(
            {
                names[0]: ((*self.dims, "corner"), a),
                names[1]: ((*self.dims, "corner"), b),
            }
        )

    @property
    def has_cells(self) -> bool:
        """Whether the places of the grid are cells, with corners given or derivable, rather than bare points."""
        return self.kind != "points"

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
        attrs = {
            "standard_name": "cell_area",
            "long_name": "area of the grid cell",
            "units": units,
            "edges": edges,
        }
        return xr.DataArray(
            area.reshape(self.shape) * scale,
            dims=self.dims,
            name="cell_area",
            attrs=attrs,
            coords=self.coords(),
        )

    def report(self) -> dict[str, int | str]:
        """What was found and mended: cells in all, clockwise (mended), bow-ties, without area, without corners
        (these three take no part in conservative methods), copies in halos, cells without a place, masked cells.
        """
        missing = int((~np.isfinite(self._flat_centres()).all(axis=1)).sum())
        out: dict[str, int | str] = {
            "kind": self.kind,
            "cells": self.size,
            "without_place": missing,
        }
        out["masked"] = 0 if self.mask is None else int((~self.mask.values).sum())
        if not self.has_cells:
            return out
        try:
            status = self._oriented[1]
        except GridError as error:
            out["corners"] = f"none: {error}"
        else:
            given = self._bounds is not None or (self.kind == "mesh" and self.location == "face")
            out["corners"] = "given" if given else "derived"
            for name, code in (
                ("clockwise", sphere.FLIPPED), ("bow_ties", sphere.BOW_TIE),
                ("zero_area", sphere.ZERO_AREA), ("without_corners", sphere.INCOMPLETE),
            ):  # fmt: skip
                out[name] = int((status == code).sum())
            out["halo_copies"] = int(self.topology.halo.sum())
        return out

    def coords(self) -> dict[Hashable, xr.DataArray]:
        """Coordinates of a field on this grid: longitude, latitude, and what else came along its dimensions."""
        known = {**self.others, self.lon.name: self.lon, self.lat.name: self.lat}
        return {name: xr.DataArray(array.values, dims=array.dims, attrs=array.attrs) for name, array in known.items()}

    def cells(self) -> Cells:
        """Cells as kernels want them: oriented, those that are none marked by -1."""
        return self._oriented[0]

    def centres(self) -> np.ndarray:
        """Centres as kernels want them: unit vectors (n, 3), or (x, y, 1) on a plane; NaN where there is none."""
        if self.kind == "rectilinear":
            return geometry.crossed(self.lon.values, self.lat.values, self.planar).reshape(-1, 3)
        return geometry.vectors(self.lon.values.ravel(), self.lat.values.ravel(), self.planar)

    def used(self) -> np.ndarray:
        """bool (n,): cells that have a place and are not masked."""
        here = np.isfinite(self._flat_centres()).all(axis=1)
        return here if self.mask is None else here & self.mask.values.ravel()

    def reach(self) -> np.ndarray:
        """float64 (n,): straight distance from each centre to the farthest corner of its cell, inf for bare points.

        As far as a value reaches; in units of the sphere's radius, or of a plane's coordinates.
        """
        if self.kind == "points":
            return np.full(self.size, np.inf)
        if self.kind == "mesh" and self.location == "node" and self._mesh is not None:
            return geometry.longest_edges(self.centres(), self._mesh.faces)
        try:
            cells = self.cells()
        except GridError:
            # A single row or column: no cells, and so no outside.
            return np.full(self.size, np.inf)
        return geometry.farthest_corners(self.centres(), cells.nodes, cells.faces)

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
            for m, on in (
                ("periodic", self.periodic),
                ("plane", self.planar),
                ("masked", self.mask is not None),
            )
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
        x, y = (top.canonical(v.values) for v in (self.lon, self.lat))
        a, b = derive_curvilinear(x, y, planar=self.planar, wraps=top.wraps, fold=top.fold, name=name)
        return top.original(a), top.original(b)

    @cached_property
    def _oriented(self) -> tuple[Cells, np.ndarray]:
        if self.kind == "rectilinear":
            a, b = (v.values for v in self.corners.data_vars.values())
            nodes, faces = geometry.rectilinear_cells(a, b, self.planar, self.lon.name)
        elif self.kind == "mesh" and self._mesh is not None:
            mesh = self._mesh
            if self.location == "node":
                nodes, faces = dual.cells_of_nodes(mesh)
            else:
                nodes, faces = geometry.vectors(mesh.node_x, mesh.node_y, self.planar), mesh.faces.copy()
        else:
            a, b = (v.values for v in self.corners.data_vars.values())
            nodes, faces = geometry.lattice_or_loose(a, b, self.planar)
        status, convex = geometry.oriented(nodes, faces, self.planar)
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


def _along(coords: Any, grid: Grid) -> dict[Hashable, xr.DataArray]:
    """Other coordinates along a grid's dimensions: names of stations, numbers of rows, depth of the sea floor."""
    mine = {grid.lon.name, grid.lat.name} | grid.described_by
    return {
        n: c.drop_vars(c.coords)
        for n, c in coords.items()
        if n not in mine and c.dims and set(c.dims) <= set(grid.dims)
    }


def _as_dataset(field: xr.DataArray) -> xr.Dataset:
    container = field.to_dataset(name=field.name if field.name is not None else "field")
    container.encoding["source"] = field.encoding.get("source", "")
    return container
