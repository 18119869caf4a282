"""xarray meets the sea: coordinates, grids, stores, and the place where kernels meet Dask."""

from oceankit.fields.coordinates import CoordinateError
from oceankit.fields.depths import depth_edges, depths
from oceankit.fields.grid import Grid, GridError
from oceankit.fields.store import StoreError, check_integrity, open_fields, seal, template, write
from oceankit.fields.terrain import s_coordinate

__all__ = [
    "CoordinateError",
    "Grid",
    "GridError",
    "StoreError",
    "check_integrity",
    "depth_edges",
    "depths",
    "open_fields",
    "s_coordinate",
    "seal",
    "template",
    "write",
]
