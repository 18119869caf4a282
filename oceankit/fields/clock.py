"""The time that products are stamped with: the present, or the moment that a run says it lives in."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

import numpy as np

__all__ = ["moment", "now"]

_MOMENT: ContextVar[datetime | None] = ContextVar("oceankit_moment", default=None)


def now() -> datetime:
    """In UTC."""
    return _MOMENT.get() or datetime.now(UTC)


@contextmanager
def moment(when: Any) -> Iterator[None]:
    """Let it be ``when`` (a date in UTC) inside the block: runs of the past that are repeated give the same files."""
    token = _MOMENT.set(np.datetime64(when, "us").item().replace(tzinfo=UTC))
    try:
        yield
    finally:
        _MOMENT.reset(token)
