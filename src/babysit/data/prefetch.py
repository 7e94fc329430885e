"""Reading ahead: threads that have the next pieces ready while the present one is worked on.

Threads, not processes: reading a mapped file, decoding an image and NumPy's copies all let other threads
run, and what is read is in this process already, with nothing to send.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import TypeVar

import numpy as np
import torch

from babysit.data.rows import Array, Rows

T = TypeVar("T")

MOST_THREADS = 16
PIECE_VALUES = 2**18
_AHEAD_BYTES = 2**30


def ahead(tasks: Iterable[Callable[[], T]], *, threads: int, depth: int) -> Iterator[T]:
    """The results of tasks, in their order, while the next ones are already worked on.

    Args:
        tasks: each is called once, in a thread; asked for only when there is room.
        threads: how many work at once.
        depth: how many may be finished or under way beyond the one that is handed out.

    Yields:
        One result a task. What a task raises is raised here, at its turn. Whoever stops early waits for
        nobody.

    Example:
        >>> list(ahead([lambda: 1, lambda: 2, lambda: 3], threads=2, depth=2))
        [1, 2, 3]
    """
    pool = ThreadPoolExecutor(threads, thread_name_prefix="babysit-ahead")
    waiting: deque[Future[T]] = deque()
    try:
        for task in tasks:
            waiting.append(pool.submit(task))
            if len(waiting) > depth:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def threads_here() -> int:
    """How many threads may read: as many as torch computes with, so a worker of one thread stays small."""
    return max(1, min(MOST_THREADS, torch.get_num_threads()))


def depth_for(threads: int, piece_bytes: int) -> int:
    """How many pieces to read ahead: two a thread, but no more than a gigabyte of them, and at least one.

    Example:
        >>> depth_for(2, piece_bytes=2**20), depth_for(16, piece_bytes=2**28)
        (4, 4)
    """
    return max(1, min(2 * threads, _AHEAD_BYTES // max(1, piece_bytes)))


def pieces(x: Rows, rows: int) -> Iterator[Array]:
    """All rows in their order, so many at a time, read ahead.

    Example:
        >>> from babysit.data.rows import Chosen
        >>> [len(piece) for piece in pieces(Chosen(np.zeros((9, 2)), np.arange(5)), 2)]
        [2, 2, 1]
    """
    threads = threads_here()
    depth = depth_for(threads, rows * x.dtype.itemsize * x.size // max(1, len(x)))
    starts = range(0, len(x), rows)
    yield from ahead(
        (partial(x.__getitem__, slice(start, start + rows)) for start in starts), threads=threads, depth=depth
    )


def read_all(x: Rows) -> Array:
    """All rows as one array, read by several threads; for rows that fit into memory.

    Example:
        >>> from babysit.data.rows import Chosen
        >>> read_all(Chosen(np.arange(6), np.array([4, 2]))).tolist()
        [4, 2]
    """
    whole, done = np.empty(x.shape, dtype=x.dtype), 0
    for piece in pieces(x, max(1, PIECE_VALUES * len(x) // max(1, x.size))):
        whole[done : done + len(piece)] = piece
        done += len(piece)
    return whole
