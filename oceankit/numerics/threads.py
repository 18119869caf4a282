"""How many threads eager work may use, and a pool that shares blocks of rows among them."""

import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from functools import cache
from typing import TypeVar

__all__ = ["count", "limit", "over_blocks"]

T = TypeVar("T")
_limit: int | None = None


def count() -> int:
    """Threads that eager work started here may use.

    One outside the main thread (a Dask worker thread is already one of many), otherwise
    ``OCEANKIT_NUM_THREADS`` or the number of cores this process may run on.

    Examples
    --------
    >>> with limit(1):
    ...     count()
    1
    """
    if threading.current_thread() is not threading.main_thread():
        return 1
    if _limit is not None:
        return _limit
    asked = os.environ.get("OCEANKIT_NUM_THREADS")
    if asked:
        try:
            number = int(asked)
        except ValueError:
            number = 0
        if number < 1:
            raise ValueError(f"OCEANKIT_NUM_THREADS is {asked!r}; set it to a whole number of at least 1, or unset it")
        return number
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@contextmanager
def limit(number: int) -> Iterator[None]:
    """Use at most ``number`` threads for eager work inside the ``with`` block."""
    global _limit
    if number < 1:
        raise ValueError(f"a limit of {number} threads was asked for; it must be at least 1")
    before, _limit = _limit, number
    try:
        yield
    finally:
        _limit = before


@cache
def _pool(workers: int) -> ThreadPoolExecutor:
    """Threads that stay: starting some for each call takes longer than much of the work."""
    return ThreadPoolExecutor(workers, thread_name_prefix="oceankit")


if hasattr(os, "register_at_fork"):
    # A forked child has the pools, but none of their threads.
    os.register_at_fork(after_in_child=_pool.cache_clear)


def over_blocks(work: Callable[[int, int], T], total: int, *, block: int) -> list[T]:
    """Call ``work(start, stop)`` on consecutive blocks of ``range(total)``; results in block order.

    Blocks do not depend on the number of threads, so neither do the results. When it raises, no block is at work any more.
    """
    spans = [(start, min(start + block, total)) for start in range(0, total, block)]
    workers = count()
    if min(workers, len(spans)) <= 1:
        return [work(*span) for span in spans]
    pool = _pool(workers)
    futures = [pool.submit(work, *span) for span in spans]
    try:
        return [future.result() for future in futures]
    except BaseException:
        for future in futures:
            future.cancel()
        wait(futures)
        raise
