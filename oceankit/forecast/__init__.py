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

_HOMES = {
    "Blend": "baselines",
    "Climatology": "baselines",
    "DampedPersistence": "baselines",
    "Forecaster": "forecaster",
    "LIM": "baselines",
    "Persistence": "baselines",
    "SeasonalRidge": "baselines",
    "Windows": "windows",
    "hindcast": "hindcast",
    "pretrained": "pretrained",
    "scoreboard": "scoreboard",
    "verify": "verify",
}
_MODULES = ("baselines", "heads", "typhoon")

__all__ = [*_HOMES, *_MODULES]

if TYPE_CHECKING:
    from oceankit.forecast import baselines as baselines
    from oceankit.forecast import heads as heads
    from oceankit.forecast import typhoon as typhoon
    from oceankit.forecast.baselines import LIM as LIM
    from oceankit.forecast.baselines import Blend as Blend
    from oceankit.forecast.baselines import Climatology as Climatology
    from oceankit.forecast.baselines import DampedPersistence as DampedPersistence
    from oceankit.forecast.baselines import Persistence as Persistence
    from oceankit.forecast.baselines import SeasonalRidge as SeasonalRidge
    from oceankit.forecast.forecaster import Forecaster as Forecaster
    from oceankit.forecast.hindcast import hindcast as hindcast
    from oceankit.forecast.pretrained import pretrained as pretrained
    from oceankit.forecast.scoreboard import scoreboard as scoreboard
    from oceankit.forecast.verify import verify as verify
    from oceankit.forecast.windows import Windows as Windows


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        module = import_module(f"oceankit.forecast.{_HOMES[name]}")
        # A function and its module share a name: the function is what is handed on.
        globals()[name] = value = getattr(module, name)
        return value
    if name in _MODULES:
        return import_module(f"oceankit.forecast.{name}")
    raise AttributeError(f"oceankit.forecast has no {name!r}; it has {', '.join(__all__)}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
