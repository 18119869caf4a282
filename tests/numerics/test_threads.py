"""Threads: how many, and that blocks come back in order."""

import threading

import pytest

from oceankit.numerics import threads


def test_blocks_come_back_in_order():
    with threads.limit(3):
        spans = threads.over_blocks(lambda a, b: (a, b), 10, block=3)
    assert spans == [(0, 3), (3, 6), (6, 9), (9, 10)]
    assert threads.over_blocks(lambda a, b: (a, b), 0, block=3) == []


def test_a_worker_thread_works_alone():
    seen = []
    worker = threading.Thread(target=lambda: seen.append(threads.count()))
    worker.start()
    worker.join()
    assert seen == [1]


def test_the_environment_is_obeyed(monkeypatch):
    monkeypatch.setenv("OCEANKIT_NUM_THREADS", "3")
    assert threads.count() == 3
    monkeypatch.setenv("OCEANKIT_NUM_THREADS", "many")
    with pytest.raises(ValueError, match="'many'"):
        threads.count()


def test_an_error_in_a_block_is_the_callers():
    def fail(start, stop):
        raise RuntimeError(f"block {start}")

    with threads.limit(2), pytest.raises(RuntimeError, match="block 0"):
        threads.over_blocks(fail, 4, block=2)


def test_a_limit_is_at_least_one():
    with pytest.raises(ValueError, match="0 threads"), threads.limit(0):
        pass
