"""The one compilation policy: every kernel of oceankit is decorated with :func:`kernel`."""

from collections.abc import Callable
from typing import Any

import numba

__all__ = ["helper", "kernel"]


def kernel(function: Callable[..., Any]) -> Any:
    """Compile ``function`` on first call, without the GIL, and keep the machine code on disk.

    Never ``parallel=True``: its workqueue layer aborts the process when two Dask threads enter it.
    Parallelism is Dask's chunks or :mod:`oceankit.numerics.threads`.
    """
    return numba.njit(nogil=True, cache=True)(function)


def helper(function: Callable[..., Any]) -> Any:
    """Compile a small function that only kernels call; it is inlined into them."""
    return numba.njit(nogil=True, cache=True, inline="always")(function)
