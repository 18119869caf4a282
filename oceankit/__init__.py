"""oceankit: regridding, assimilation and anomaly detection for big ocean data, on xarray, Dask and Numba.

The names below are loaded when they are first touched; ``import oceankit`` itself stays cheap.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from oceankit._version import __version__

_HOMES = {
    "Grid": "oceankit.fields",
    "check_integrity": "oceankit.fields",
    "open_fields": "oceankit.fields",
    "write": "oceankit.fields",
    "Regridder": "oceankit.regridding",
    "regrid": "oceankit.regridding",
    "OptimalInterpolation": "oceankit.assimilation",
    "anomalies": "oceankit.anomaly",
    "climatology": "oceankit.anomaly",
    "spells": "oceankit.anomaly",
}
_ROOMS = ("anomaly", "assimilation", "cli", "fields", "numerics", "observations", "products", "regridding")

__all__ = ["__version__", *_HOMES, *_ROOMS]

if TYPE_CHECKING:
    from oceankit.anomaly import anomalies, climatology, spells
    from oceankit.assimilation import OptimalInterpolation
    from oceankit.fields import Grid, check_integrity, open_fields, write
    from oceankit.regridding import Regridder, regrid


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    if name in _ROOMS:
        return import_module(f"oceankit.{name}")
    raise AttributeError(f"oceankit has no {name!r}; it has {', '.join(__all__)}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
