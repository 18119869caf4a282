"""xarray meets the sea: coordinates, grids, stores, and the place where kernels meet Dask."""
