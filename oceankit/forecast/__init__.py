"""What the sea will do, and how sure that is: simple forecasts, a small network that must beat them, scores, hazards.

Baselines (climatology, persistence, damped persistence, a linear inverse model, a seasonal ridge, their blend) and
:class:`Forecaster` are called alike: ``fit`` on a training period, ``predict`` from the last time of a field,
``hindcast`` from many. A forecast is a Dataset over ``lead_time`` with ``mean``, ``std`` and, from the forecaster,
``p_event``. ``verify`` scores anybody's forecast; ``scoreboard`` sets all of them side by side on a period that none of
them has seen. The only room that imports torch, and it does so when a ``Forecaster`` is first touched
(``pip install 'oceankit[forecast]'``); baselines and scores need no torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from oceankit._extras import require
from oceankit.forecast import baselines, heads, typhoon
from oceankit.forecast.baselines import LIM, Blend, Climatology, DampedPersistence, Persistence, SeasonalRidge
from oceankit.forecast.hindcast import hindcast
from oceankit.forecast.pretrained import pretrained
from oceankit.forecast.scoreboard import scoreboard
from oceankit.forecast.verify import verify
from oceankit.forecast.windows import Windows

if TYPE_CHECKING:
    from oceankit.forecast.forecaster import Forecaster as Forecaster

__all__ = [
    "LIM",
    "Blend",
    "Climatology",
    "DampedPersistence",
    "Forecaster",
    "Persistence",
    "SeasonalRidge",
    "Windows",
    "baselines",
    "heads",
    "hindcast",
    "pretrained",
    "scoreboard",
    "typhoon",
    "verify",
]


def __getattr__(name: str) -> Any:
    if name == "Forecaster":
        require("torch", extra="forecast", purpose="oceankit.forecast.Forecaster")
        return import_module("oceankit.forecast.forecaster").Forecaster
    raise AttributeError(f"oceankit.forecast has no {name!r}; it has {', '.join(__all__)}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
