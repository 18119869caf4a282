"""oceankit: regridding, assimilation, anomaly detection and forecasts for big ocean data, on xarray, Dask and Numba.

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
    "Forecaster": "oceankit.forecast",
    "LETKF": "oceankit.assimilation",
    "OptimalInterpolation": "oceankit.assimilation",
    "anomalies": "oceankit.anomaly",
    "climatology": "oceankit.anomaly",
    "heatwaves": "oceankit.anomaly",
    "spells": "oceankit.anomaly",
}
_ROOMS = (
    "anomaly", "assimilation", "cli", "cluster", "fields", "forecast", "numerics", "observations", "products", "regridding",
)  # fmt: skip

__all__ = ["__version__", *_HOMES, *_ROOMS]

if TYPE_CHECKING:
    # For type checkers and editors, which do not run __getattr__.
    from oceankit.anomaly import anomalies as anomalies
    from oceankit.anomaly import climatology as climatology
    from oceankit.anomaly import heatwaves as heatwaves
    from oceankit.anomaly import spells as spells
    from oceankit.assimilation import LETKF as LETKF
    from oceankit.assimilation import OptimalInterpolation as OptimalInterpolation
    from oceankit.fields import Grid as Grid
    from oceankit.fields import check_integrity as check_integrity
    from oceankit.fields import open_fields as open_fields
    from oceankit.fields import write as write
    from oceankit.forecast import Forecaster as Forecaster
    from oceankit.regridding import Regridder as Regridder
    from oceankit.regridding import regrid as regrid


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    if name in _ROOMS:
        return import_module(f"oceankit.{name}")
    raise AttributeError(f"oceankit has no {name!r}; it has {', '.join(__all__)}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
