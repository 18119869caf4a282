"""Trained forecasters that come with the package."""

from importlib.resources import as_file, files
from typing import TYPE_CHECKING

from oceankit._extras import require

if TYPE_CHECKING:
    from oceankit.forecast.forecaster import Forecaster

__all__ = ["card", "names", "pretrained"]

_FOLDER = files("oceankit.forecast") / "models"


def names() -> list[str]:
    """Names of the forecasters that come with the package."""
    return sorted(f.name.removesuffix(".safetensors") for f in _FOLDER.iterdir() if f.name.endswith(".safetensors"))


def card(name: str) -> str:
    """What a model was trained on, how well it does, and what it must not be used for; Markdown."""
    _known(name)
    return (_FOLDER / f"{name}.md").read_text(encoding="utf-8")


def pretrained(name: str) -> "Forecaster":
    """A trained forecaster that comes with the package.

    Parameters
    ----------
    name
        One of ``pretrained.names()``. Read ``pretrained.card(name)`` first: it says what stands behind the model.

    Returns
    -------
    Forecaster
        For the places it was trained on; ``.localise(history)`` makes it a forecaster of yours.

    Examples
    --------
    >>> from oceankit.forecast import pretrained
    >>> pretrained.names()
    ['sst_daily', 'surge_hourly']
    >>> pretrained("sst_daily").leads[-1]
    14
    """
    _known(name)
    require("torch", extra="forecast", purpose="a trained forecaster")
    from oceankit.forecast.forecaster import Forecaster

    with as_file(_FOLDER / f"{name}.safetensors") as path:
        return Forecaster.load(path)


def _known(name: str) -> None:
    if name not in names():
        raise ValueError(f"there is no trained forecaster {name!r}; there are {', '.join(names())}")


pretrained.names = names  # type: ignore[attr-defined]
pretrained.card = card  # type: ignore[attr-defined]
