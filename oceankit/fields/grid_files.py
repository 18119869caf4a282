"""A Grid as arrays and a description in JSON, and back: what files need that have to name a grid exactly.

Only what a Grid was made of is kept, to the last bit; corners, cells and topology are derived again when asked for.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import xarray as xr

from oceankit.fields.files import StoreError
from oceankit.fields.grid import Grid
from oceankit.fields.meshes import Mesh
from oceankit.fields.places import Places

__all__ = ["from_json", "grid_from_parts", "grid_parts", "to_json"]

_MESH = ("node_x", "node_y", "faces", "face_x", "face_y")


def grid_parts(grid: Grid) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """What a grid is made of.

    Returns
    -------
    arrays
        ``lon`` and ``lat`` (degrees, or x and y on a plane), and where there are any ``lon_bounds``, ``lat_bounds``,
        ``mask`` (bool) and the nodes and faces of the mesh as ``mesh_node_x`` and so on.
    description
        Kind, names, dimensions and attributes, fit for JSON.

    Raises
    ------
    StoreError
        If a name, dimension or attribute of the coordinates cannot be written down.

    Examples
    --------
    >>> arrays, description = grid_parts(Grid.global_regular(30.0))
    >>> sorted(arrays), description["kind"]
    (['lat', 'lat_bounds', 'lon', 'lon_bounds'], 'rectilinear')
    >>> grid_from_parts(arrays, description)
    <oceankit.Grid rectilinear (lat: 6, lon: 12), lon 15 to 345, lat -75 to 75, periodic>
    """
    arrays = {"lon": grid.lon.values, "lat": grid.lat.values}
    about: dict[str, Any] = {
        "kind": grid.kind,
        "planar": grid.planar,
        "location": grid.location,
        "periodic": bool(grid.periodic),
        "described_by": sorted(_text(n, "a variable that describes the grid") for n in grid.described_by),
    }
    for key, array in (("lon", grid.lon), ("lat", grid.lat)):
        name = _text(array.name, "a coordinate of the grid")
        dims = [_text(d, f"a dimension of {name!r}") for d in array.dims]
        about[key] = {"name": name, "dims": dims, "attrs": to_json(dict(array.attrs), repr(name))}
    about["others"] = []
    for number, (other, array) in enumerate(grid.others.items()):
        name = _text(other, "a coordinate of the grid")
        said: dict[str, Any] = {"name": name, "dims": [_text(d, f"a dimension of {name!r}") for d in array.dims]}
        said["attrs"] = to_json(dict(array.attrs), repr(name))
        if array.dtype.kind in "fiub":
            arrays[f"other_{number}"] = array.values
        else:
            # Names and dates: as text, which numbers need not go through.
            said |= {
                "values": array.values.astype(str).ravel().tolist(),
                "dtype": str(array.dtype),
                "shape": list(array.shape),
            }
        about["others"].append(said)
    if grid._bounds is not None:
        arrays["lon_bounds"], arrays["lat_bounds"] = grid._bounds
    if grid.mask is not None:
        arrays["mask"] = grid.mask.values
    if grid._mesh is not None:
        mesh = grid._mesh
        arrays |= {f"mesh_{n}": getattr(mesh, n) for n in _MESH if getattr(mesh, n) is not None}
        about["mesh"] = {
            "node_dim": _text(mesh.node_dim, "the nodes' dimension"),
            "face_dim": _text(mesh.face_dim, "the faces' dimension"),
            "planar": mesh.planar,
            "described_by": sorted(_text(n, "a variable that describes the mesh") for n in mesh.described_by),
        }
    return arrays, about


def grid_from_parts(arrays: Mapping[str, np.ndarray], about: Mapping[str, Any]) -> Grid:
    """The grid of :func:`grid_parts`, without deriving anything anew."""
    lon, lat = (
        xr.DataArray(
            arrays[key], dims=about[key]["dims"], name=about[key]["name"], attrs=from_json(about[key]["attrs"])
        )
        for key in ("lon", "lat")
    )
    bounds = (arrays["lon_bounds"], arrays["lat_bounds"]) if "lon_bounds" in arrays else None
    mesh = None
    if "mesh" in about:
        said = about["mesh"]
        node_x, node_y, faces, face_x, face_y = (arrays.get(f"mesh_{n}") for n in _MESH)
        assert node_x is not None
        assert node_y is not None
        assert faces is not None
        mesh = Mesh(
            node_x, node_y, faces, said["node_dim"], said["face_dim"], said["planar"], face_x, face_y,
            frozenset(said["described_by"]),
        )  # fmt: skip
    places = Places(
        about["kind"], lon, lat, about["planar"], bounds, mesh, about["location"], frozenset(about["described_by"])
    )
    dims = [*about["lat"]["dims"], *about["lon"]["dims"]] if about["kind"] == "rectilinear" else about["lon"]["dims"]
    mask = xr.DataArray(arrays["mask"], dims=dims) if "mask" in arrays else None
    grid = Grid(places, mask)
    for number, said in enumerate(about.get("others", ())):
        values = arrays.get(f"other_{number}")
        if values is None:
            values = np.array(said["values"]).astype(said["dtype"]).reshape(said["shape"])
        grid.others[said["name"]] = xr.DataArray(values, dims=said["dims"], attrs=from_json(said["attrs"]))
    # Looked up rather than found out: of a curvilinear grid that takes its topology.
    grid.periodic = about["periodic"]
    return grid


def _text(name: Hashable, what: str) -> str:
    if not isinstance(name, str):
        raise StoreError(f"{what} is called {name!r}, and a file can only hold names that are text; rename it")
    return name


# ---- attributes, exactly ----------------------------------------------------------------------------------------------


def to_json(value: Any, owner: str) -> Any:
    """``value`` fit for JSON, with types that JSON does not know spelled out; :func:`from_json` is the way back.

    Raises
    ------
    StoreError
        If it is neither text, number, bool, None, a NumPy array of these, nor a list, tuple or mapping of them.

    Examples
    --------
    >>> import json
    >>> from_json(json.loads(json.dumps(to_json({"valid_min": np.float32(-2.1)}, "sst"))))
    {'valid_min': np.float32(-2.1)}
    """
    if isinstance(value, np.ndarray | np.generic) and value.dtype.kind in "biufU" and value.dtype.char != "g":
        kind = "array" if isinstance(value, np.ndarray) else "scalar"
        return {kind: [value.dtype.str, list(value.shape), value.ravel().tolist()]}
    if value is None or type(value) in (str, bool, int, float):
        return value
    if type(value) is list:
        return [to_json(v, owner) for v in value]
    if type(value) is tuple:
        return {"tuple": [to_json(v, owner) for v in value]}
    if type(value) is dict and all(type(k) is str for k in value):
        return {"dict": {k: to_json(v, owner) for k, v in value.items()}}
    raise StoreError(
        f"{owner} has an attribute or option of type {type(value).__name__}, {value!r}, which cannot be written down; "
        "make it text or a number"
    )


def from_json(value: Any) -> Any:
    """What :func:`to_json` wrote down."""
    if isinstance(value, list):
        return [from_json(v) for v in value]
    if not isinstance(value, dict):
        return value
    (kind, held), *_ = value.items()
    if kind == "tuple":
        return tuple(from_json(v) for v in held)
    if kind == "dict":
        return {k: from_json(v) for k, v in held.items()}
    array = np.array(held[2], dtype=np.dtype(held[0])).reshape(held[1])
    return array if kind == "array" else array[()]
