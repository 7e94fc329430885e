"""Read-ahead: threads prepare the next pieces while the current one is in use.

They are threads, not processes: reading a mapped file, decoding an image and NumPy's copies all let other
threads run, and the data is in this process already.
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
    """Yields the results of tasks in order, while threads already work on the next ones.

    Args:
        tasks: each is called once, in a thread; taken from the iterable only when there is room.
        threads: the number of threads.
        depth: most tasks that are finished or running beyond the result that is yielded.

    Yields:
        One result per task. An exception of a task is raised here, at its turn. A consumer that stops early
        does not wait for running tasks.

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
    """Returns the number of reading threads: as many as torch computes with, at most 16."""
    return max(1, min(MOST_THREADS, torch.get_num_threads()))


def depth_for(threads: int, piece_bytes: int) -> int:
    """Returns the number of pieces to read ahead: two per thread, at most a gigabyte of them, at least one.

    Example:
        >>> depth_for(2, piece_bytes=2**20), depth_for(16, piece_bytes=2**28)
        (4, 4)
    """
    return max(1, min(2 * threads, _AHEAD_BYTES // max(1, piece_bytes)))


def pieces(x: Rows, rows: int) -> Iterator[Array]:
    """Yields all rows in order, ``rows`` at a time, read ahead.

    Example:
        >>> from babysit.data.rows import ChosenRows
        >>> [len(piece) for piece in pieces(ChosenRows(np.zeros((9, 2)), np.arange(5)), 2)]
        [2, 2, 1]
    """
    threads = threads_here()
    depth = depth_for(threads, rows * x.dtype.itemsize * x.size // max(1, len(x)))
    starts = range(0, len(x), rows)
    yield from ahead(
        (partial(x.__getitem__, slice(start, start + rows)) for start in starts), threads=threads, depth=depth
    )


def read_all(x: Rows) -> Array:
    """Reads all rows into one array by several threads; for rows that fit into memory.

    Example:
        >>> from babysit.data.rows import ChosenRows
        >>> read_all(ChosenRows(np.arange(6), np.array([4, 2]))).tolist()
        [4, 2]
    """
    whole, done = np.empty(x.shape, dtype=x.dtype), 0
    for piece in pieces(x, max(1, PIECE_VALUES * len(x) // max(1, x.size))):
        whole[done : done + len(piece)] = piece
        done += len(piece)
    return whole
