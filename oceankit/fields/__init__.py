"""xarray meets the sea: coordinates, grids, stores, and the place where kernels meet Dask."""

from oceankit.fields.coordinates import CoordinateError
from oceankit.fields.grid import Grid, GridError
from oceankit.fields.store import check_integrity, open_fields, write

__all__ = ["CoordinateError", "Grid", "GridError", "check_integrity", "open_fields", "write"]
