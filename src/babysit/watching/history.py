"""What a run leaves behind in bounded memory: eight bytes a step for its loss, and at most 512 samples."""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from babysit.watching.pending import Taken, samples_of
from babysit.watching.sample import Sample, Units

MOST_SAMPLES = 512
"""When there are so many, every other one is dropped and new ones come half as often."""
_BATCHES = 16
"""A unit is dead if silent in the last so many sampled batches."""
_MOST_WAITING = 512
_MOST_UNREAD = 16
MOST_PACES = 1024
"""So many of the newest paces count."""


class Losses:
    """One number a step; those on a device are read in bulk, for reading one would wait for it.

    Example:
        >>> losses = Losses()
        >>> losses.add(torch.tensor(2.0))
        >>> losses.add(0.5)
        >>> len(losses), losses.read()
        (2, array('d', [2.0, 0.5]))
    """

    def __init__(self) -> None:
        self._values = array("d")
        self._waiting: list[tuple[int, Tensor]] = []

    def __len__(self) -> int:
        return len(self._values)

    def add(self, loss: Tensor | float) -> None:
        """The next step's loss: a number, or a tensor, of which the mean counts."""
        if not isinstance(loss, Tensor):
            self._values.append(float(loss))
            return
        value = loss if loss.numel() == 1 else loss.detach().float().mean()
        if value.is_cpu:
            self._values.append(value.item())
        else:
            self._wait(value)

    def _wait(self, value: Tensor) -> None:
        self._waiting.append((len(self._values), value.detach().reshape(()).float().clone()))
        self._values.append(float("nan"))
        if len(self._waiting) >= _MOST_WAITING:
            self.flush()

    def flush(self) -> None:
        """Reads what waits on a device."""
        if self._waiting:
            numbers = torch.stack([value for _, value in self._waiting]).tolist()
            for (index, _), number in zip(self._waiting, numbers, strict=True):
                self._values[index] = number
            self._waiting = []

    def read(self) -> array[float]:
        """All of them, as a copy: of a long run a tuple of numbers would take four times its memory."""
        self.flush()
        return self._values[:]


class History:
    """The samples of a run, spread evenly over it however long it is.

    Attributes:
        stretch: how many times rarer samples have become.
        paces: seconds a step.
    """

    def __init__(self) -> None:
        self.stretch = 1
        self.paces: deque[float] = deque(maxlen=MOST_PACES)
        self._samples: list[Sample] = []
        self._unread: list[Taken] = []
        self._active: dict[str, deque[tuple[int, Tensor]]] = {}

    def keep(self, taken: Taken, active: Mapping[str, Tensor]) -> None:
        """Puts a sample to the others.

        Args:
            taken: the newest.
            active: which units were active or learning, by layer.
        """
        for name, units in active.items():
            self._active.setdefault(name, deque(maxlen=_BATCHES)).append((taken.step, units))
        self._unread.append(taken)
        if len(self._unread) >= _MOST_UNREAD:
            self._read()
        if len(self._samples) + len(self._unread) > MOST_SAMPLES:
            self._samples = self.samples()[::2]
            self.stretch *= 2

    def samples(self) -> list[Sample]:
        """All that are kept, oldest first."""
        self._read()
        return self._samples

    def _read(self) -> None:
        self._samples += samples_of(self._unread)
        self._unread = []

    def units(self) -> dict[str, Units]:
        """Dead units by layer."""
        return {name: _count(batches) for name, batches in self._active.items()}


def _count(batches: Sequence[tuple[int, Tensor]]) -> Units:
    ever = torch.stack([active for _, active in batches]).any(0)
    return Units(int((~ever).sum()), ever.numel(), len(batches), batches[0][0])
