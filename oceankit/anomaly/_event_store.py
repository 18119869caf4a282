"""Events in a Zarr store, to which those of more cells are added."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
import zarr

from oceankit.fields.encoding import GROWING, encoded

__all__ = ["EventStore"]

_DIM = "event"


class EventStore:
    """A store along ``event`` that grows: chunks are written when they are full, the last one by :meth:`finish`.

    Parameters
    ----------
    path
        Where the store will be.
    begin
        Lays it out with the first events, as :func:`oceankit.fields.store.template` does.
    """

    def __init__(self, path: Path, begin: Callable[[xr.Dataset], None]) -> None:
        self.path, self._begin = path, begin
        self.begun = False
        self._none: xr.Dataset | None = None
        self._encodings: dict[Any, dict[Any, Any]] = {}
        self._waiting: list[dict[str, np.ndarray]] = []
        self._written = self._count = 0

    def add(self, events: xr.Dataset) -> None:
        if self.begun:
            self._waiting.append(self._columns(events))
            self._count += events.sizes[_DIM]
            self._write(self._count - self._count % self._chunk)
        elif events.sizes[_DIM]:
            self._lay_out(events)
        else:
            self._none = events

    def finish(self) -> None:
        if self.begun:
            self._write(self._count)
        elif self._none is not None:
            self._lay_out(self._none)

    def _lay_out(self, events: xr.Dataset) -> None:
        growing = events.copy()
        growing.encoding = {GROWING: {_DIM}}
        self._begin(growing)
        self._encodings = {name: v.encoding for name, v in encoded(growing, "zarr").variables.items() if _DIM in v.dims}
        self._written = self._count = events.sizes[_DIM]
        self._chunk = self._encodings["start"]["chunks"][0]
        self.begun = True

    def _columns(self, events: xr.Dataset) -> dict[str, np.ndarray]:
        """As they are stored: dates counted like those of the first events."""
        out = {}
        for name, encoding in self._encodings.items():
            variable = events.variables[name].copy(deep=False)
            variable.encoding = encoding
            out[str(name)] = np.asarray(xr.conventions.encode_cf_variable(variable, name=name).data)
        return out

    def _write(self, stop: int) -> None:
        if stop <= self._written:
            return
        many = stop - self._written
        # Chunks of zeros are written too: that is how a store is known to be complete.
        with zarr.config.set({"array.write_empty_chunks": True}):
            group = zarr.open_group(self.path, mode="r+")
            for name in self._encodings:
                column = np.concatenate([part[name] for part in self._waiting])
                array = group[name]
                array.resize((stop,))
                array[self._written :] = column[:many]
                self._waiting[0][name] = column[many:].copy()
        del self._waiting[1:]
        self._written = stop
