"""Where a grid lies, read from a dataset or made of numbers: the ways to a Grid."""

from collections.abc import Hashable
from typing import Literal, NamedTuple

import numpy as np
import xarray as xr

from oceankit.fields import coordinates, meshes, rotated
from oceankit.fields.corners import (
    GridError,
    axis_edges,
    bounds_in_degrees,
    find_bounds,
    lattice_to_cells,
)
from oceankit.fields.geometry import face_centres

__all__ = [
    "LAT_ATTRS",
    "LON_ATTRS",
    "Kind",
    "Location",
    "Places",
    "check_extent",
    "pair_1d",
    "read",
    "regular_edges",
]

Kind = Literal["rectilinear", "curvilinear", "mesh", "points"]
Location = Literal["face", "node"]

LON_ATTRS = {
    "standard_name": "longitude",
    "long_name": "longitude",
    "units": "degrees_east",
}
LAT_ATTRS = {
    "standard_name": "latitude",
    "long_name": "latitude",
    "units": "degrees_north",
}


class Places(NamedTuple):
    """What a Grid is made of."""

    kind: Kind
    lon: xr.DataArray
    lat: xr.DataArray
    planar: bool = False
    bounds: tuple[np.ndarray, np.ndarray] | None = None
    mesh: meshes.Mesh | None = None
    location: Location = "face"
    described_by: frozenset[Hashable] = frozenset()
    """Names of the variables that say where the cells are, as against data in them."""


def read(
    container: xr.Dataset,
    ds: xr.Dataset | xr.DataArray,
    lon: Hashable | None,
    lat: Hashable | None,
    bounds: tuple[Hashable, Hashable] | None,
    location: Location | None,
) -> Places:
    """The places of a dataset or field ``ds``; ``container`` is the same as a Dataset."""
    if lon is None and lat is None:
        mesh = meshes.read_mesh(container)
        if mesh is not None and (isinstance(ds, xr.Dataset) or {mesh.node_dim, mesh.face_dim} & set(ds.dims)):
            return _of_mesh(container, mesh, location)
        if location is not None:
            raise GridError(
                f"location={location!r} is for meshes, and {coordinates.describe(ds)} describes none; "
                f"{_LOST if isinstance(ds, xr.DataArray) else 'merge in the file that has its faces'}"
            )
        if not coordinates.candidates(ds, "longitude"):
            pole = rotated.read_pole(container)
            if pole is not None:
                return _of_rotated(container, pole)
            pair = coordinates.plane(ds)
            if pair is not None:
                return _of_plane(*pair)
            _refuse_lost_mesh(ds)
    return _of_pair(container, *coordinates.horizontal(ds, lon=lon, lat=lat), bounds)


def _of_pair(
    ds: xr.Dataset,
    lon: xr.DataArray,
    lat: xr.DataArray,
    bounds: tuple[Hashable, Hashable] | None,
) -> Places:
    lon, lat = _squeezed(lon), _squeezed(lat)
    found = find_bounds(ds, lon, lat, bounds)
    corners = None if found is None else bounds_in_degrees(found, (lon, lat))
    centres = _plain(lon, "longitude"), _plain(lat, "latitude")
    aside = frozenset((lon.name, lat.name, *(b.name for b in found or ())))
    if lon.ndim == 1 and lat.ndim == 1 and lon.dims != lat.dims:
        if corners is not None:
            corners = (
                _axis_bounds(corners[0], centres[0]),
                _axis_bounds(corners[1], centres[1]),
            )
        return Places("rectilinear", *centres, bounds=corners, described_by=aside)
    if lon.ndim == 1:
        if corners is None:
            return Places("points", *centres, described_by=aside)
        return Places("mesh", *centres, mesh=_mesh_of_bounds(corners, lon.dims[0]), described_by=aside)
    if lon.ndim == 2:
        _refuse_trajectories(ds, lon)
        if corners is not None:
            corners = _cell_bounds(corners[0], lon), _cell_bounds(corners[1], lon)
        return Places("curvilinear", *centres, bounds=corners, described_by=aside)
    raise GridError(
        f"{lon.name!r} has {lon.ndim} dimensions, {lon.dims}; a grid has 1 or 2: select one of the others first"
    )


_LOST = (
    "taken out of its Dataset a field has lost its mesh: make the regridder of the Dataset that has both and give it the "
    "field, Regridder(ds, target)(ds['temp'])"
)


def _refuse_lost_mesh(ds: xr.Dataset | xr.DataArray) -> None:
    """A field that says it is on a mesh, and has neither faces nor positions."""
    if isinstance(ds, xr.DataArray) and ({"mesh", "location"} <= set(ds.attrs) or meshes.USUAL_DIMS & set(ds.dims)):
        raise coordinates.CoordinateError(f"{coordinates.describe(ds)} has no longitude and no latitude; {_LOST}")


def _of_mesh(ds: xr.Dataset, mesh: meshes.Mesh, location: Location | None) -> Places:
    location = location or meshes.data_location(ds, mesh)
    if location == "node":
        x, y, dim = mesh.node_x, mesh.node_y, mesh.node_dim
    else:
        dim = mesh.face_dim
        given = mesh.face_x is not None and mesh.face_y is not None
        x, y = (mesh.face_x, mesh.face_y) if given else face_centres(mesh)  # type: ignore[assignment]
    lon, lat = pair_1d(x, y, dim, planar=mesh.planar)
    return Places("mesh", lon, lat, planar=mesh.planar, mesh=mesh, location=location, described_by=mesh.described_by)


def _of_plane(x: xr.DataArray, y: xr.DataArray) -> Places:
    x, y = _plain(x, None), _plain(y, None)
    if x.dims != y.dims:
        return Places("rectilinear", x, y, planar=True)
    return Places("points" if x.ndim == 1 else "curvilinear", x, y, planar=True)


def _of_rotated(ds: xr.Dataset, pole: rotated.Pole) -> Places:
    x, y = ds[pole.x], ds[pole.y]
    lon, lat = rotated.to_geographic(x.values[None, :], y.values[:, None], pole)
    edges = (
        axis_edges(np.asarray(x.values, float), pole.x),
        axis_edges(np.asarray(y.values, float), pole.y),
    )
    lattice = [np.append(e[:, 0], e[-1, 1]) for e in edges]
    corners = rotated.to_geographic(lattice[0][None, :], lattice[1][:, None], pole)
    dims = (y.dims[0], x.dims[0])
    return Places(
        "curvilinear",
        xr.DataArray(lon, dims=dims, name="lon", attrs=LON_ATTRS),
        xr.DataArray(lat, dims=dims, name="lat", attrs=LAT_ATTRS),
        bounds=(lattice_to_cells(corners[0]), lattice_to_cells(corners[1])),
    )


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
        attrs |= LON_ATTRS if kind == "longitude" else LAT_ATTRS
        attrs["long_name"] = array.attrs.get("long_name", kind)
    return xr.DataArray(values, dims=array.dims, name=array.name, attrs=attrs)


def pair_1d(x: np.ndarray, y: np.ndarray, dim: Hashable, *, planar: bool) -> tuple[xr.DataArray, xr.DataArray]:
    """Coordinates of a list of points along ``dim``."""
    names, attrs = (("x", "y"), ({}, {})) if planar else (("lon", "lat"), (LON_ATTRS, LAT_ATTRS))
    return (
        xr.DataArray(x, dims=(dim,), name=names[0], attrs=attrs[0]),
        xr.DataArray(y, dims=(dim,), name=names[1], attrs=attrs[1]),
    )


def regular_edges(values: tuple[float, float, float], name: str) -> np.ndarray:
    """Edges of a regular axis given as (low, high, step)."""
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
            f"choose a step that does, or end at {low + max(1, number) * step:g}"
        )
    # From whole numbers of steps, not by repeated addition: edges of two grids then agree to the last digit.
    return low + (high - low) * np.arange(number + 1) / number


def check_extent(lon: np.ndarray, lat: np.ndarray) -> None:
    """Refuse edges beyond the poles or more than once around."""
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
    centre = centres.values
    if centres.attrs.get("standard_name") == "longitude":
        # Each bound on its own side of its centre, whatever turn it was written in (355 and 5 around 0).
        values = np.where(
            np.abs(values[:, :1] - values[:, 1:]) < 360.0,
            centre[:, None] + np.mod(values - centre[:, None] + 180.0, 360.0) - 180.0,
            values,
        )
    low, high = values.min(axis=1), values.max(axis=1)
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
