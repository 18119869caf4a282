"""What is sent out of an assessment: text in two languages, CAP 1.2, GeoJSON and a map."""

import io
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from oceankit.fields.files import write_whole
from oceankit.products import _alert_geojson, _alert_map, _alert_text, _cap
from oceankit.products._alert_rules import pick
from oceankit.products._alert_schema import LANGUAGES
from oceankit.products._alert_summary import Summary, moment, summarise
from oceankit.products._alert_text import Issue

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["Bulletin", "bulletin"]

_SENDER = "oceankit"
_FILES = {"zh": ".zh.txt", "en": ".en.txt", "cap": ".cap.xml", "geojson": ".geojson", "map": ".png"}


@dataclass(frozen=True)
class Bulletin:
    """A bulletin in all its forms, in memory; :meth:`save` writes them.

    ``zh`` and ``en`` are plain text, ``cap`` is CAP 1.2 XML (None without an alert and without one to cancel), ``geojson`` a
    dictionary, ``level`` the highest level.
    """

    zh: str
    en: str
    cap: str | None
    geojson: dict[str, Any]
    level: int
    _issue: Issue = field(repr=False)

    def map(self, **options: Any) -> "Axes":
        """Draw the levels on a map; options as for :func:`oceankit.products.plot_map`. Needs ``oceankit[plot]``."""
        return _alert_map.draw(self._issue, **options)

    def save(
        self,
        folder: str | os.PathLike[str],
        *,
        name: str = "alert",
        products: Sequence[str] | None = None,
    ) -> dict[str, Path]:
        """Write the products into an existing folder, each whole or not at all.

        Parameters
        ----------
        folder
            Where to.
        name
            What the files are called, before their endings.
        products
            Of ``"zh"``, ``"en"``, ``"cap"``, ``"geojson"``, ``"map"``; by default all that there are, but no map.

        Returns
        -------
        dict
            Path of each product.

        Raises
        ------
        ValueError
            If a product is unknown or there is none of it, the name is none or the folder does not exist.
        """
        wanted = [p for p in _FILES if p != "map" and (p != "cap" or self.cap)] if products is None else list(products)
        unknown = [p for p in wanted if p not in _FILES]
        if isinstance(products, str) or unknown:
            raise ValueError(f"products={products!r}: give a list of {', '.join(_FILES)}")
        if "cap" in wanted and self.cap is None:
            raise ValueError(
                "there is no CAP message: no alert level is reached and no previous message is to be cancelled"
            )
        if not name or Path(name).name != name:
            raise ValueError(f"name={name!r} is no file name; the folder is given on its own")
        if not Path(folder).is_dir():
            raise ValueError(f"folder={os.fspath(folder)!r} does not exist; make it first")
        contents = {p: self._bytes(p) for p in wanted}
        out = {}
        for product, content in contents.items():
            out[product] = Path(folder) / f"{name}{_FILES[product]}"
            write_whole(out[product], content)
        return out

    def _bytes(self, product: str) -> bytes:
        if product == "map":
            figure: Any = self.map().figure
            file = io.BytesIO()
            figure.savefig(file, format="png", dpi=200)
            import matplotlib.pyplot as plt

            plt.close(figure)
            return file.getvalue()
        if product == "geojson":
            return (json.dumps(self.geojson, ensure_ascii=False, allow_nan=False, indent=1) + "\n").encode()
        return str(getattr(self, product)).encode()


def bulletin(
    assessment: xr.Dataset,
    *,
    rules: str | os.PathLike[str] | Mapping[str, Any] | None = None,
    issued: datetime | np.datetime64 | str | None = None,
    centre: str = "",
    place: str | Mapping[str, str] | None = None,
    area: Mapping[str, Any] | None = None,
    previous: Any = None,
    sender: str = _SENDER,
    identifier: str | None = None,
    status: str = "Draft",
    scope: str = "Public",
    observed: bool = False,
    expires: datetime | np.datetime64 | str | None = None,
) -> Bulletin:
    """Say an assessment in Chinese and English, with Beijing time beside UTC, as CAP 1.2, GeoJSON and a map.

    Parameters
    ----------
    assessment
        As :func:`assess` made it, of one forecast (at most one ``init_time``): one place, stations with positions, or a
        field; along times or not.
    rules
        The rules that it was made with: names, wording, actions, colours.
    issued
        Time of issue; a naive one is UTC. By default the forecast's ``init_time``, else now.
    centre
        Who issues it.
    place
        Its name, or its names ``{"zh": ..., "en": ...}``. By default those of the station.
    area
        For CAP: ``names`` as for ``place``, ``polygons`` (lists of (longitude, latitude)), ``circle`` (longitude, latitude, km).
        By default the outline of the alerted cells (needs shapely, of ``oceankit[plot]``), or the stations.
    previous
        The message that this one updates or, without an alert, cancels: a Bulletin, the text or path of its CAP XML, or
        ``"sender,identifier,sent"``.
    sender, identifier
        Of CAP, without spaces and commas. The identifier is by default made of hazard, place and time of issue.
    status, scope
        Of CAP. ``"Draft"`` is not to be acted upon; say ``"Actual"`` yourself, with your own ``sender``.
    observed
        The values are observations: CAP's certainty is ``Observed``. Else it follows from the probability, and is
        ``Unknown`` where there is none.
    expires
        Of CAP. By default the last time at which the level is reached, or ``decision.valid_for`` after the issue.

    Returns
    -------
    Bulletin
        With ``zh``, ``en``, ``cap``, ``geojson``, ``map()`` and ``save(folder)``.

    Raises
    ------
    ValueError
        If the assessment is none, of several forecasts or empty, a name of CAP's is wrong, a time is no date or
        the rules are not those of the assessment.

    Examples
    --------
    >>> from oceankit.products.alerts import assess
    >>> told = bulletin(assess("near_shore_waves", 4.7), issued="2024-08-01T00:00", place="Cape")
    >>> print(told.en.splitlines()[2])
    Cape: the significant wave height reaches the orange level.
    """
    summary = summarise(assessment)
    picked = pick(rules, str(assessment.attrs["hazard"]), str(assessment.attrs["rule"]))
    at = _issue_time(assessment, issued)
    reference = None if previous is None else _cap.reference_of(previous)
    kind = ("update" if reference else "issue") if summary.level > 0 else "none"
    if reference and summary.level == 0:
        kind = "cancel"
    if status == "Actual" and sender == _SENDER:
        raise ValueError("status='Actual' needs your own sender=, for example 'forecast.example.org'")
    issue = Issue(
        picked, assessment, summary, at, kind, str(centre), _place(assessment, summary, place, picked.book["wording"])
    )
    cap = None
    if kind in ("issue", "update", "cancel"):
        cap = _cap.message(
            issue, sender=sender, identifier=identifier, status=status, scope=scope, reference=reference,
            area=_area(area), expires=None if expires is None else moment(expires), observed=observed,
        )  # fmt: skip
    texts = {language: _alert_text.text(issue, language) for language in LANGUAGES}
    return Bulletin(texts["zh"], texts["en"], cap, _alert_geojson.collection(issue), summary.level, issue)


def _issue_time(assessment: xr.Dataset, issued: Any) -> datetime:
    if issued is not None:
        return moment(issued)
    if (
        "init_time" in assessment.coords
        and assessment["init_time"].size == 1
        and assessment["init_time"].dtype.kind == "M"
    ):
        return moment(assessment["init_time"].squeeze())
    return _alert_text.now().replace(microsecond=0)


def _place(assessment: xr.Dataset, summary: Summary, place: Any, wording: Mapping[str, Any]) -> dict[str, str]:
    if isinstance(place, Mapping):
        missing = [language for language in LANGUAGES if not place.get(language)]
        if missing:
            raise ValueError(f"place={dict(place)!r} lacks {', '.join(missing)}; give it in both languages")
        return {language: str(place[language]) for language in LANGUAGES}
    if place is not None:
        return dict.fromkeys(LANGUAGES, str(place))
    if "place_en" in assessment.attrs:
        return {language: str(assessment.attrs[f"place_{language}"]) for language in LANGUAGES}
    if summary.station is not None:
        return dict.fromkeys(LANGUAGES, summary.station)
    return {language: str(wording[language]["here"]) for language in LANGUAGES}


def _area(area: Any) -> Mapping[str, Any] | None:
    if area is None:
        return None
    known = ("names", "polygons", "circle")
    if not isinstance(area, Mapping) or set(area) - set(known):
        raise ValueError(f"area={area!r} must be a mapping with keys of {', '.join(known)}")
    if "names" in area and any(language not in area["names"] for language in LANGUAGES):
        raise ValueError(f"area names {area['names']!r} must be given in both languages, {{'zh': ..., 'en': ...}}")
    if "circle" in area and len(area["circle"]) != 3:
        raise ValueError(f"area circle {area['circle']!r} must be longitude, latitude and kilometres")
    return area
