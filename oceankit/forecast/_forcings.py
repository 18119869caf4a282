"""Exogenous fields that act on what is forecast: standardised, at the start and at each lead."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import xarray as xr

from oceankit.forecast._linear import fill, memory_of
from oceankit.forecast._record import Layout, read
from oceankit.forecast._season import Season, fit_season
from oceankit.forecast._steps import Axis, text

__all__ = ["Forcings"]


@dataclass
class Forcings:
    """Standardised anomalies of each forcing, (times, cells or 1), in the order of ``names``."""

    names: tuple[str, ...]
    seasons: tuple[Season, ...]
    scales: tuple[np.ndarray, ...]
    memories: tuple[np.ndarray, ...]
    layouts: tuple[Layout, ...]
    values: tuple[np.ndarray, ...] = ()
    last: tuple[int, ...] = ()  # row of the last value of each

    @staticmethod
    def fit(
        forcings: Any,
        axis: Axis,
        rows: np.ndarray | None,
        layout: Layout,
        *,
        like: "Forcings | None" = None,
        start: int | None = None,
        extend: int = 0,
    ) -> "Forcings":
        """Read forcings on the times of ``axis``; statistics from ``rows``, or from ``like``.

        ``extend``: so many steps after the axis are looked for. ``start``: every step after this one must be there.
        """
        if forcings is None:
            raise ValueError("the forecaster was fitted with forcings; pass them here too: forcings=")
        dataset = (
            forcings.to_dataset(name=forcings.name or "forcing") if isinstance(forcings, xr.DataArray) else forcings
        )
        names = tuple(str(n) for n in dataset.data_vars) if like is None else like.names
        lacking = [n for n in names if n not in dataset.data_vars]
        if lacking or not names:
            raise ValueError(f"forcings lack {lacking}; the forecaster was fitted with {list(names)}")
        out: list[list[Any]] = [[], [], [], [], [], []]
        for i, name in enumerate(names):
            known = None if like is None else like.layouts[i]
            record = read(dataset[name], like=known, axis=axis, what=f"forcing {name!r}")
            if known is None and record.layout.dims not in ((), layout.dims):
                raise ValueError(
                    f"forcing {name!r} has the dimensions {tuple(map(str, record.layout.dims))}; it needs those of the "
                    f"field, {tuple(map(str, layout.dims))}, or time alone"
                )
            if record.layout.dims:
                whole = np.full((len(record.values), record.layout.sea.size), np.nan)
                whole[:, record.layout.sea] = record.values
                values = whole[:, layout.sea]
            else:
                values = record.values
            offset = int(record.axis.numbers[0] - axis.numbers[0])
            length = len(axis) + extend
            placed = np.full((length, values.shape[1]), np.nan)
            first, last = max(offset, 0), min(offset + len(values), length)
            if last > first:
                placed[first:last] = values[first - offset : last - offset]
            wanted = slice(start, length) if start is not None else slice(0, len(axis))
            if np.isnan(placed[wanted]).all(axis=1).any():
                k = int(np.argmax(np.isnan(placed[wanted]).all(axis=1))) + (start or 0)
                when = axis.times[k] if k < len(axis) else axis.valid(np.array([len(axis) - 1]), k - len(axis) + 1)[0]
                raise ValueError(
                    f"forcing {name!r} has no value at {text(when)}; forcings must cover every time needed"
                )
            if like is None:
                assert rows is not None
                season = fit_season(placed, axis, rows)
                anomalies = placed[: len(axis)] - season.at(axis.times)
                scale = np.nanstd(anomalies[rows], axis=0)
                scale = np.where(scale > 0, scale, 1.0)
                memory = memory_of(anomalies, rows)
            else:
                season, scale, memory = like.seasons[i], like.scales[i], like.memories[i]
            times = np.concatenate(
                [axis.times, *(axis.valid(np.array([len(axis) - 1]), k) for k in range(1, extend + 1))]
            )
            standard = (placed - season.at(times)) / scale
            found = (season, scale, memory, record.layout, fill(standard, memory), last - 1)
            for part, value in zip(out, found, strict=True):
                part.append(value)
        return Forcings(names, *(tuple(part) for part in out))

    def statistics(self) -> "Forcings":
        """The same without the values, which is what a saved forecaster keeps."""
        return replace(self, values=(), last=())

    def at(self, rows: np.ndarray, leads: tuple[int, ...], *, known: "str | np.ndarray" = "perfect") -> np.ndarray:
        """At the start and at each lead: (rows, 1 + leads, forcings + 1, cells or 1).

        ``known``: ``"perfect"``, ``"start"``, or for each row whether it is perfect. The last one of the forcings
        is 1 where those after the start are given and 0 where they fade from what is known at the start.
        """
        given = np.full(len(rows), known == "perfect") if isinstance(known, str) else known
        cells = max(v.shape[1] for v in self.values)
        out = np.empty((len(rows), 1 + len(leads), len(self.names) + 1, cells), dtype=np.float32)
        out[:, :, -1] = given[:, None, None]
        for j, (values, memory) in enumerate(zip(self.values, self.memories, strict=True)):
            out[:, 0, j] = values[rows]
            for i, lead in enumerate(leads):
                fading = values[rows] * memory**lead
                out[:, 1 + i, j] = np.where(given[:, None], values[np.minimum(rows + lead, len(values) - 1)], fading)
        return out

    def require(self, row: int) -> None:
        """Refuse forcings that end before ``row``, which may lie beyond the axis."""
        for name, last in zip(self.names, self.last, strict=True):
            if row > last:
                raise ValueError(
                    f"forcing {name!r} ends {row - last} steps before the last lead of the last start; a hindcast with "
                    "known='perfect' needs them all: end the period earlier, or take known='start'"
                )
