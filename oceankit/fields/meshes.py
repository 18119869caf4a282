"""Unstructured meshes: UGRID-1.0, and the dialects of FVCOM, FESOM and ICON."""

from collections.abc import Hashable
from typing import Literal, NamedTuple

import numpy as np
import xarray as xr

from oceankit.fields.coordinates import CoordinateError, candidates, describe, in_degrees

__all__ = ["USUAL_DIMS", "Mesh", "data_location", "read_mesh"]

USUAL_DIMS = frozenset(("node", "nele", "nod2", "elem", "ncells", "nCells"))
"""Dimensions that fields on meshes have in FVCOM, FESOM, ICON and MPAS."""

# What FVCOM and FESOM write of the mesh itself beside its corners: who is beside whom, areas, gradients.
_OF_FVCOM = (
    "nv", "nbe", "ntsn", "nbsn", "ntve", "nbve", "x", "y", "xc", "yc", "art1", "art2", "a1u", "a2u", "aw0", "awx", "awy",
)  # fmt: skip
_OF_FESOM = (
    "elements", "elem", "nodes", "edges", "edge_tri", "edge_cross_dxdy", "nod_in_elem2D", "nod_in_elem2D_num", "nod_part",
    "elem_part", "nlevels", "nlevels_nod2D", "nod_area", "elem_area", "gradient_sca_x", "gradient_sca_y",
)  # fmt: skip
# The bed's depth and the levels are given where they are whatever the model computes elsewhere.
_STANDING = ("h", "depth", "siglay", "siglev", "zbar_n_bottom", "zbar_e_bottom")


class Mesh(NamedTuple):
    """Nodes and the faces between them."""

    node_x: np.ndarray
    """float64 (nodes,): longitudes in degrees, or x on a plane"""
    node_y: np.ndarray
    faces: np.ndarray
    """int32 (faces, most corners), padded with -1"""
    node_dim: Hashable
    face_dim: Hashable
    planar: bool
    face_x: np.ndarray | None = None
    """float64 (faces,): centres of the faces where the file gives them"""
    face_y: np.ndarray | None = None
    described_by: frozenset[Hashable] = frozenset()
    """Names of the variables that describe the mesh, as against data on it."""


def read_mesh(ds: xr.Dataset) -> Mesh | None:
    """The mesh that a dataset describes, or None where it describes none.

    Raises
    ------
    CoordinateError
        If the dataset refers to a mesh of which a part is missing.
    """
    for name, variable in ds.variables.items():
        if variable.attrs.get("cf_role") == "mesh_topology":
            return _ugrid(ds, name)._replace(described_by=_describing(ds))
    for name, variable in ds.variables.items():
        if variable.attrs.get("cf_role") == "face_node_connectivity":
            raise CoordinateError(
                f"{describe(ds)} has the faces {name!r} of a mesh but neither a mesh_topology variable nor the positions "
                "of the nodes (SCHISM keeps them in its out2d files); merge them in: xr.merge([ds, xr.open_dataset(...)])"
            )
    if {"nv", "lon", "lat"} <= set(ds.variables) and ds["nv"].ndim == 2 and ds["lon"].ndim == 1:
        return _dialect(ds, "nv", "lon", "lat", "lonc", "latc")._replace(described_by=_describing(ds, _OF_FVCOM))
    for name in ("elements", "elem"):
        if name in ds.variables and ds[name].ndim == 2 and {"lon", "lat"} <= set(ds.variables):
            return _dialect(ds, name, "lon", "lat", None, None)._replace(described_by=_describing(ds, _OF_FESOM))
    return None


def data_location(ds: xr.Dataset, mesh: Mesh) -> Literal["face", "node"]:
    """Where the data variables of a dataset live: on the side that more of them have as a dimension."""
    counts = {"node": 0, "face": 0}
    for name, variable in ds.data_vars.items():
        if variable.dtype.kind == "f" and name not in mesh.described_by and name not in _STANDING:
            counts["node"] += mesh.node_dim in variable.dims
            counts["face"] += mesh.face_dim in variable.dims
    return "node" if counts["node"] > counts["face"] else "face"


def _describing(ds: xr.Dataset, usual: tuple[str, ...] = ()) -> frozenset[Hashable]:
    """Names of the variables that describe a mesh: coordinates and connectivity."""
    names: set[Hashable] = set(usual)
    for name, variable in ds.variables.items():
        role = str(variable.attrs.get("cf_role", ""))
        if role == "mesh_topology":
            names |= {n for v in variable.attrs.values() if isinstance(v, str) for n in v.split()}
        if role.endswith("connectivity") or role == "mesh_topology":
            names.add(name)
    for kind in ("longitude", "latitude"):
        names |= set(candidates(ds, kind))
    return frozenset(names & set(ds.variables))


def _ugrid(ds: xr.Dataset, name: Hashable) -> Mesh:
    topology = ds[name].attrs
    if int(topology.get("topology_dimension", 2)) != 2:
        raise CoordinateError(
            f"the mesh {name!r} has topology_dimension {topology['topology_dimension']}; only meshes of faces (2) are grids"
        )
    wanted = {key: str(topology.get(key, "")).split() for key in ("node_coordinates", "face_node_connectivity")}
    for key, names in wanted.items():
        absent = [n for n in names if n not in ds.variables]
        if not names or absent:
            raise CoordinateError(
                f"the mesh {name!r} of {describe(ds)} lacks its {key}: {', '.join(map(repr, absent)) or 'no such attribute'}; "
                "merge in the file that holds it"
            )
    x, y = _in_order(ds, wanted["node_coordinates"])
    faces_name = wanted["face_node_connectivity"][0]
    faces = ds[faces_name]
    node_dim = x.dims[0]
    face_dim = topology.get("face_dimension") or _face_dim(ds, faces, topology)
    planar = _is_planar(x, y)
    centres: tuple[np.ndarray, np.ndarray] | None = None
    face_names = [n for n in str(topology.get("face_coordinates", "")).split() if n in ds.variables]
    if len(face_names) == 2:
        fx, fy = _in_order(ds, face_names)
        centres = _values(fx, fy, planar)
    return Mesh(
        *_values(x, y, planar),
        _zero_based(faces, face_dim, x.size),
        node_dim, face_dim, planar, *(centres or (None, None)),
    )  # fmt: skip


def _dialect(ds: xr.Dataset, faces: str, lon: str, lat: str, lonc: str | None, latc: str | None) -> Mesh:
    """FVCOM (nv, lon, lat, lonc, latc) and FESOM (elements, lon, lat): triangles, corners first."""
    connectivity, x, y = ds[faces], ds[lon], ds[lat]
    corner_dim = min(connectivity.dims, key=lambda d: connectivity.sizes[d])
    face_dim = next(d for d in connectivity.dims if d != corner_dim)
    centres: tuple[np.ndarray, np.ndarray] | tuple[None, None] = (None, None)
    if lonc in ds.variables and latc in ds.variables:
        centres = _values(ds[lonc], ds[latc], False)
    return Mesh(
        *_values(x, y, False), _zero_based(connectivity, face_dim, x.size), x.dims[0], face_dim, False, *centres
    )


def _in_order(ds: xr.Dataset, names: list[str]) -> tuple[xr.DataArray, xr.DataArray]:
    """The pair as (x or longitude, y or latitude), whatever order the attribute lists them in."""
    if len(names) != 2:
        raise CoordinateError(f"a mesh lists the coordinates {names}; there must be two, a longitude and a latitude")
    a, b = ds[names[0]], ds[names[1]]
    is_y = (
        str(a.attrs.get("standard_name", a.attrs.get("units", "")))
        .lower()
        .startswith(("latitude", "degrees_n", "degree_n", "projection_y"))
    )
    return (b, a) if is_y else (a, b)


def _is_planar(x: xr.DataArray, y: xr.DataArray) -> bool:
    marks = f"{x.attrs.get('standard_name', '')} {y.attrs.get('standard_name', '')}"
    return "projection" in marks or str(x.attrs.get("units", "")).lower() in (
        "m",
        "km",
        "meters",
        "metres",
        "meter",
        "metre",
    )


def _values(x: xr.DataArray, y: xr.DataArray, planar: bool) -> tuple[np.ndarray, np.ndarray]:
    if planar:
        return np.asarray(x.values, np.float64), np.asarray(y.values, np.float64)
    return in_degrees(x, "longitude"), in_degrees(y, "latitude")


def _face_dim(ds: xr.Dataset, faces: xr.DataArray, topology: dict[str, object]) -> Hashable:
    for name in str(topology.get("face_coordinates", "")).split():
        if name in ds.variables and ds[name].dims[0] in faces.dims:
            return ds[name].dims[0]
    # Corners first, as SELFE and ADCIRC write them, without a word of it: a mesh has more faces than a face has corners.
    corners_first = faces.shape[0] in (3, 4) and faces.shape[1] > 8
    return faces.dims[1 if corners_first else 0]


def _zero_based(faces: xr.DataArray, face_dim: Hashable, n_nodes: int) -> np.ndarray:
    """Connectivity as int32 (faces, corners) counted from 0, padded with -1."""
    values = faces.transpose(face_dim, ...).values
    missing = ~np.isfinite(values) if values.dtype.kind == "f" else np.zeros(values.shape, bool)
    fill = faces.attrs.get("_FillValue", faces.encoding.get("_FillValue"))
    if fill is not None:
        missing |= values == fill
    missing |= values < 0
    found = values[~missing]
    if not found.size:
        raise CoordinateError(f"the connectivity {faces.name!r} holds no node at all")
    # Written by start_index, else by what is there: a mesh that never uses 0 and uses n counts from 1.
    start = int(faces.attrs.get("start_index", 1 if found.max() == n_nodes and found.min() >= 1 else 0))
    out = np.where(missing, -1, np.where(missing, 0, values).astype(np.int64) - start).astype(np.int32)
    if found.max() - start >= n_nodes or found.min() - start < 0:
        raise CoordinateError(
            f"the connectivity {faces.name!r} refers to node {int(found.max())}, but there are {n_nodes} nodes counted from "
            f"{start}; check its start_index attribute"
        )
    # Padding last, so that a row ends at its first -1.
    order = np.argsort(out < 0, axis=1, kind="stable")
    return np.ascontiguousarray(np.take_along_axis(out, order, axis=1))
