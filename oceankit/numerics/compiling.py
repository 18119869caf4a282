"""The one compilation policy: every kernel of oceankit is decorated with :func:`kernel`."""

import logging
from collections.abc import Callable
from typing import Any

import numba

__all__ = ["dividing", "helper", "kernel"]

logger = logging.getLogger(__name__)


def kernel(function: Callable[..., Any]) -> Any:
    """Compile ``function`` on first call, without the GIL, and keep the machine code on disk.

    Never ``parallel=True``: its workqueue layer aborts the process when two Dask threads enter it.
    Parallelism is Dask's chunks or :mod:`oceankit.numerics.threads`. Where neither the package's folder nor the user's
    cache can be written (a container), code is compiled anew in each process; ``NUMBA_CACHE_DIR`` names another place.
    """
    return _compiled(function)


def dividing(function: Callable[..., Any]) -> Any:
    """The same for kernels that divide: by zero gives inf or NaN as in NumPy, so that their loops become vectors.

    Where Python's error is looked out for, each division is a branch. Products may be fused with sums, and divisions become
    products with the inverse: both change the last digit at most, and the same way whatever the tile.
    """
    return _compiled(function, error_model="numpy", fastmath={"contract", "arcp"})


def helper(function: Callable[..., Any]) -> Any:
    """Compile a small function that only kernels call; it is inlined into them."""
    return _compiled(function, inline="always")


def _compiled(function: Callable[..., Any], **options: Any) -> Any:
    try:
        return numba.njit(nogil=True, cache=True, **options)(function)
    except RuntimeError as error:
        logger.warning("no place to keep compiled code, set NUMBA_CACHE_DIR to one: %s", error)
        return numba.njit(nogil=True, **options)(function)
