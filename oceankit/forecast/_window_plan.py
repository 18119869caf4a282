"""How a period is cut into pieces that are read one by one, so that memory stays bounded."""

import re
from dataclasses import dataclass

import numpy as np

__all__ = ["Plan", "as_bytes", "make_plan"]

_MOST_PIECES = 8  # in the shuffle buffer at once
_MOST_READS = 8  # of a row in an epoch
_UNITS = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40}


@dataclass(frozen=True)
class Plan:
    """Pieces of windows: piece ``j`` holds those whose first row lies from ``edges[j]`` to before ``edges[j + 1]``."""

    edges: np.ndarray
    reach: int  # rows of a window, history and targets
    at_once: int
    resident: bool  # the whole period stays in memory

    @property
    def pieces(self) -> int:
        """Their number."""
        return len(self.edges) - 1

    def rows(self, piece: int) -> tuple[int, int]:
        """First row and the row after the last that windows of ``piece`` need."""
        return int(self.edges[piece]), int(self.edges[piece + 1]) + self.reach - 1

    @property
    def most_rows(self) -> int:
        """Rows in the largest buffer."""
        lengths = np.sort(np.diff(self.edges) + self.reach - 1)
        return int(lengths[-self.at_once :].sum())

    @property
    def reads(self) -> float:
        """How many times a row is read in an epoch, on average."""
        rows = int(self.edges[-1] - self.edges[0]) + self.reach - 1
        return float((np.diff(self.edges) + self.reach - 1).sum() / rows)


def make_plan(
    first: int,
    stop: int,
    reach: int,
    *,
    row_bytes: int,
    memory: int,
    stretch: int | str | None,
    chunk_edges: np.ndarray,
    lazy: bool,
) -> Plan:
    """Cut rows ``first`` to ``stop``.

    Without ``stretch`` the cut follows from ``memory`` and the size of the data alone, so that the order of windows does
    not depend on chunks. Memory is divided between the buffer in use and the one being filled.

    Raises
    ------
    ValueError
        Where memory is too small for two windows, or rows would be read again and again.
    """
    windows = stop - first - reach + 1
    if (stop - first) * row_bytes <= memory:
        return Plan(np.array([first, first + windows]), reach, 1, True)
    room = memory // (2 * row_bytes)
    if room < reach:
        raise ValueError(
            f"memory={memory / 2**20:.3g} MiB holds {2 * room} steps of {row_bytes / 2**20:.3g} MiB, but a window spans "
            f"{reach} and two of them must fit: allow {2 * reach * row_bytes / 2**20:.3g} MiB or more, or shorten history "
            "or leads"
        )
    if stretch == "chunks":
        edges = _chunk_aligned(first, first + windows, room - reach + 1, chunk_edges)
    elif stretch is not None:
        length = int(stretch)
        edges = np.append(np.arange(first, first + windows, length), first + windows)
    else:
        # As many pieces as leave each of them four times as long as what is read beyond it.
        fitting = [k for k in range(_MOST_PIECES, 0, -1) if room // k - reach + 1 >= 4 * reach]
        length = room // (fitting[0] if fitting else 1) - reach + 1
        count = -(-windows // length)
        edges = first + np.arange(count + 1) * windows // count
    longest = int(np.diff(edges).max()) + reach - 1
    if longest > room:
        raise ValueError(
            f"stretch={stretch!r} reads up to {longest} steps at once, {longest * row_bytes / 2**20:.3g} MiB, and half of "
            f"memory={memory / 2**20:.3g} MiB must hold them: shorten it, or allow more memory"
        )
    plan = Plan(edges, reach, min(room // longest, len(edges) - 1), False)
    chunk = int(np.diff(chunk_edges).max()) if lazy else 1
    reads = plan.reads + (chunk - 1) / float(np.diff(edges).mean())
    if reads > _MOST_READS:
        raise ValueError(
            f"with memory={memory / 2**20:.3g} MiB each value would be read {reads:.0f} times in an epoch (windows of "
            f"{reach} steps, pieces of {int(np.diff(edges).mean())}, chunks of {chunk}): allow more memory, or write the "
            "data once in shorter chunks along time"
        )
    return plan


def as_bytes(memory: str | int) -> int:
    """A size such as ``"1 GiB"`` in bytes."""
    found = re.fullmatch(r"\s*([0-9.]+)\s*([A-Za-z]*)\s*", str(memory))
    if found is None or found[2].lower() not in _UNITS or found[1].count(".") > 1 or float(found[1]) <= 0:
        raise ValueError(f"memory is {memory!r}; give a size such as '1 GiB', or a number of bytes")
    return int(float(found[1]) * _UNITS[found[2].lower()])


def _chunk_aligned(first: int, stop: int, most: int, chunk_edges: np.ndarray) -> np.ndarray:
    """Edges of chunks, as far apart as ``most / 4`` to ``most`` allows."""
    aim = max(1, most // 4)
    edges = [first]
    inside = chunk_edges[(chunk_edges > first) & (chunk_edges < stop)]
    while edges[-1] < stop:
        ahead = inside[inside > edges[-1]]
        fitting = ahead[ahead <= edges[-1] + aim]
        edges.append(int(fitting[-1]) if len(fitting) else int(ahead[0]) if len(ahead) else stop)
        if not len(ahead):
            break
    return np.array(edges)
