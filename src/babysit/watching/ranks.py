"""Notes between the processes of distributed training: rank 0 reports, and the others leave it a note.

Notes go through the store of the process group, where writing and reading do not wait. In a collective all
processes would hang where one of them fails or is at another step.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from babysit.watching.schedule import next_sample

_MOST_WAITING = 64
"""Most losses that wait on a device before they are read."""


def rank() -> int:
    """Returns this process's rank among those that train together; 0 if it is alone.

    Example:
        >>> rank()
        0
    """
    distributed = torch.distributed
    if distributed.is_available() and distributed.is_initialized():
        return int(distributed.get_rank())
    value = os.environ.get("RANK", "0")
    return int(value) if value.isdigit() and "WORLD_SIZE" in os.environ else 0


def processes() -> int:
    """Returns the number of processes that train together; 1 for one alone.

    Example:
        >>> processes()
        1
    """
    distributed = torch.distributed
    if distributed.is_available() and distributed.is_initialized():
        return int(distributed.get_world_size())
    value = os.environ.get("WORLD_SIZE", "1")
    return int(value) if value.isdigit() and "RANK" in os.environ else 1


class RankNote(NamedTuple):
    """Note of one process about itself.

    Attributes:
        rank: its rank.
        step: the newest step in the note.
        loss: its loss at that step.
        bad_step: the first step whose loss was NaN or infinite; 0 if there was none.
        bad_loss: that loss.
        ending: the exception that ended its loop, in one line.
    """

    rank: int
    step: int
    loss: float
    bad_step: int = 0
    bad_loss: float = 0.0
    ending: str = ""


class RankReporter:
    """Writes the notes of a process that does not report.

    Args:
        rank: its rank.
        watch: the number of the watch in the program, counted from 1.
        every: steps from note to note in the beginning.
    """

    def __init__(self, rank: int, watch: int, every: int) -> None:
        self._note, self._key, self._every = RankNote(rank, 0, math.nan), _key(watch, rank), every
        self._waiting: list[Tensor | float] = []
        self._steps, self._due = 0, 1

    def step(self, loss: Tensor | float) -> None:
        """Keeps the loss of a step and writes a note now and then; at once where it is NaN or infinite."""
        self._steps += 1
        value = loss.detach().float().mean() if isinstance(loss, Tensor) else float(loss)
        self._waiting.append(value)
        here = not isinstance(value, Tensor) or value.is_cpu
        is_bad = here and not math.isfinite(value) and not self._note.bad_step
        if self._steps >= self._due or is_bad or len(self._waiting) >= _MOST_WAITING:
            self._publish("")

    def end(self, ending: str) -> None:
        """Writes the last note.

        Args:
            ending: the exception that ended it, in one line; empty if there was none.
        """
        self._publish(ending)

    def _publish(self, ending: str) -> None:
        if self._steps >= self._due:
            self._due = next_sample(self._steps, self._every)
        # All numbers with one transfer.
        tensors = [value for value in self._waiting if isinstance(value, Tensor)]
        numbers = iter(torch.stack(tensors).tolist() if tensors else ())
        losses = [next(numbers) if isinstance(value, Tensor) else value for value in self._waiting]
        self._waiting = []
        first = self._steps - len(losses) + 1
        bad = next(((step, one) for step, one in enumerate(losses, first) if not math.isfinite(one)), None)
        note = self._note._replace(step=self._steps, ending=ending)
        note = note._replace(loss=losses[-1]) if losses else note
        if bad is not None and not note.bad_step:
            note = note._replace(bad_step=bad[0], bad_loss=bad[1])
        self._note = note
        store = _store()
        if store is not None:
            store.set(self._key, json.dumps(note))


def notes(watch: int) -> tuple[RankNote, ...]:
    """Reads the newest note of every other process that has written one, without waiting.

    Args:
        watch: the number of the watch in the program, counted from 1.
    """
    store = _store()
    if store is None:
        return ()
    keys = [_key(watch, rank) for rank in range(1, processes())]
    return tuple(RankNote(*json.loads(store.get(key))) for key in keys if store.check([key]))


def _key(watch: int, rank: int) -> str:
    return f"babysit/watch/{watch}/{rank}"


def _store() -> Any:
    """Returns the store of the process group; None without a group."""
    distributed = torch.distributed
    if not (distributed.is_available() and distributed.is_initialized()):
        return None
    find: Callable[[], Any] = distributed.distributed_c10d._get_default_store
    return find()
