"""The progress of a computation on the terminal."""

import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from dask.diagnostics import ProgressBar

__all__ = ["progress"]


class _OneLine(io.TextIOBase):
    """Where Dask draws its bar: one line of the terminal, wiped when the bar is done."""

    def write(self, text: str) -> int:
        sys.stdout.write("\r\x1b[2K" if text == "\n" else text.replace("\r", "\r\x1b[2K  "))
        return len(text)

    def flush(self) -> None:
        sys.stdout.flush()


@contextmanager
def progress() -> Iterator[None]:
    """Dask's progress bar, for computations that take longer than half a second."""
    with ProgressBar(minimum=0.5, dt=0.2, out=_OneLine()):
        yield
