"""What every kernel may use: compilation, threads, the sphere, search, covariances, sparse rows.

Arrays only: this room knows NumPy and Numba, not xarray or Dask.
"""
