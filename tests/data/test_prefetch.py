"""Reading ahead: the order holds, no more is read than was allowed, and what goes wrong arrives."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from babysit.data.prefetch import ahead, depth_for, pieces, read_all
from babysit.data.rows import ChosenRows


def test_results_come_in_the_order_of_the_tasks():
    released = [threading.Event() for _ in range(6)]

    def task(number: int) -> int:
        # Each waits for the one behind it, so that they end in the opposite order.
        if number % 3 < 2:
            assert released[number + 1].wait(20)
        released[number].set()
        return number

    assert list(ahead((lambda n=n: task(n) for n in range(6)), threads=3, depth=3)) == list(range(6))


def test_no_task_begins_before_there_is_room():
    begun: list[int] = []
    results = ahead((lambda n=n: begun.append(n) for n in range(50)), threads=2, depth=4)
    for handed_out in range(1, 11):
        next(results)
        assert len(begun) <= handed_out + 4
    results.close()
    assert len(begun) <= 14


def test_what_a_task_raises_comes_at_its_turn():
    def fails() -> int:
        raise ValueError("the second")

    results = ahead([lambda: 1, fails, lambda: 3], threads=3, depth=3)
    assert next(results) == 1
    with pytest.raises(ValueError, match="the second"):
        next(results)


def test_whoever_stops_early_waits_for_nobody_and_leaves_no_thread():
    before, gate = set(threading.enumerate()), threading.Event()
    results = ahead([lambda: 1, lambda: gate.wait(60), lambda: 3], threads=1, depth=2)
    assert next(results) == 1
    results.close()  # would hang for a minute if it waited
    gate.set()
    for thread in set(threading.enumerate()) - before:
        thread.join(20)
        assert not thread.is_alive()


def test_pieces_together_are_the_rows():
    x = np.arange(1000, dtype=np.int32).reshape(100, 10)
    rows = ChosenRows(x, np.random.default_rng(0).permutation(100))
    assert np.array_equal(np.concatenate(list(pieces(rows, 7))), rows[:])
    assert np.array_equal(read_all(rows), rows[:])


def test_what_is_read_ahead_is_bounded_in_bytes():
    assert depth_for(16, piece_bytes=2**20) == 32
    assert depth_for(16, piece_bytes=2**29) == 2
    assert depth_for(16, piece_bytes=2**40) == 1
