"""In distributed training one process reports, and eight reports would be noise; the others leave it a note.

Notes go through the store that the processes met at: writing and reading one waits for nobody. A collective
would: where one process fails, or looks at another step, all others would hang in it.
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
"""So many losses wait on a device before they are read."""


def rank() -> int:
    """This process's place among those that train together; 0 if it is alone.

    Example:
        >>> rank()
        0
    """
    distributed = torch.distributed
    if distributed.is_available() and distributed.is_initialized():
        return int(distributed.get_rank())
    told = os.environ.get("RANK", "0")
    return int(told) if told.isdigit() and "WORLD_SIZE" in os.environ else 0


def processes() -> int:
    """How many processes train together; 1 for one alone.

    Example:
        >>> processes()
        1
    """
    distributed = torch.distributed
    if distributed.is_available() and distributed.is_initialized():
        return int(distributed.get_world_size())
    told = os.environ.get("WORLD_SIZE", "1")
    return int(told) if told.isdigit() and "RANK" in os.environ else 1


class RankNote(NamedTuple):
    """What one process says of itself.

    Attributes:
        rank: its place.
        step: the step that it speaks of.
        loss: its loss at that step.
        bad_step: the first step whose loss was no number; 0 if there was none.
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
    """Leaves the notes of a process that does not report.

    Args:
        rank: its place.
        watch: which watch of the program, counted from 1.
        every: steps from note to note in the beginning.
    """

    def __init__(self, rank: int, watch: int, every: int) -> None:
        self._note, self._key, self._every = RankNote(rank, 0, math.nan), _key(watch, rank), every
        self._waiting: list[Tensor | float] = []
        self._steps, self._due = 0, 1

    def step(self, loss: Tensor | float) -> None:
        """One step is done: its loss is kept, and now and then told; what is no number is told at once."""
        self._steps += 1
        value = loss.detach().float().mean() if isinstance(loss, Tensor) else float(loss)
        self._waiting.append(value)
        here = not isinstance(value, Tensor) or value.is_cpu
        is_bad = here and not math.isfinite(value) and not self._note.bad_step
        if self._steps >= self._due or is_bad or len(self._waiting) >= _MOST_WAITING:
            self._tell("")

    def end(self, ending: str) -> None:
        """The loop is over.

        Args:
            ending: the exception that ended it, in one line; empty if there was none.
        """
        self._tell(ending)

    def _tell(self, ending: str) -> None:
        if self._steps >= self._due:
            self._due = next_sample(self._steps, self._every)
        losses = _read(self._waiting)
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
    """The newest note of every other process that has left one; waits for none.

    Args:
        watch: which watch of the program, counted from 1.
    """
    store = _store()
    if store is None:
        return ()
    keys = [_key(watch, rank) for rank in range(1, processes())]
    return tuple(RankNote(*json.loads(store.get(key))) for key in keys if store.check([key]))


def _read(values: list[Tensor | float]) -> list[float]:
    """All numbers with one transfer from each device."""
    tensors = [value for value in values if isinstance(value, Tensor)]
    numbers = iter(torch.stack(tensors).tolist() if tensors else ())
    return [next(numbers) if isinstance(value, Tensor) else value for value in values]


def _key(watch: int, rank: int) -> str:
    return f"babysit/watch/{watch}/{rank}"


def _store() -> Any:
    """Where the processes met; None where they have not, or have parted."""
    distributed = torch.distributed
    if not (distributed.is_available() and distributed.is_initialized()):
        return None
    find: Callable[[], Any] = distributed.distributed_c10d._get_default_store
    return find()
