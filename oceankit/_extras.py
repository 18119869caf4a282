"""Optional packages: imported when first needed, and named with their extra when absent."""

import importlib
from types import ModuleType

__all__ = ["MissingExtraError", "require"]


class MissingExtraError(ImportError, ValueError):
    """An optional package is not installed; the message names the extra that brings it."""


def require(module: str, *, extra: str, purpose: str) -> ModuleType:
    """Import ``module`` or say which extra of oceankit installs it.

    Examples
    --------
    >>> require("math", extra="plot", purpose="maps").pi > 3
    True
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        raise MissingExtraError(
            f"{purpose} needs the package {package!r}, which could not be imported ({error}); "
            f"install it with: pip install 'oceankit[{extra}]'"
        ) from error
