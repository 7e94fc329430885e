"""Losses and samples of a run in bounded memory: eight bytes a step for the loss, at most 512 samples."""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Mapping

import torch
from torch import Tensor

from babysit.watching.pending import PendingSample, read_samples
from babysit.watching.sample import Sample, Units

MOST_SAMPLES = 512
"""Beyond this number every other sample is dropped, and new ones come half as often."""
UNIT_BATCHES = 16
"""A unit is dead if it was silent in each of this many newest sampled batches."""
_MOST_WAITING = 512
_MOST_UNREAD = 16
MOST_PACES = 1024
"""Number of newest paces that count."""


class Losses:
    """One number a step. Those on a device are read in bulk, as reading one would wait for it.

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
        """Adds the next step's loss: a number, or a tensor, of which the mean counts."""
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
        """Reads the losses that wait on a device."""
        if self._waiting:
            numbers = torch.stack([value for _, value in self._waiting]).tolist()
            for (index, _), number in zip(self._waiting, numbers, strict=True):
                self._values[index] = number
            self._waiting = []

    def read(self) -> array[float]:
        """Returns all losses as a copy; a tuple of them would take four times the memory."""
        self.flush()
        return self._values[:]


class History:
    """The samples of a run, spread evenly over its whole length.

    Attributes:
        stretch: factor by which samples have become rarer.
        paces: seconds per step.
    """

    def __init__(self) -> None:
        self.stretch = 1
        self.paces: deque[float] = deque(maxlen=MOST_PACES)
        self._samples: list[Sample] = []
        self._unread: list[PendingSample] = []
        self._active: dict[str, deque[tuple[int, Tensor]]] = {}

    def keep(self, sample: PendingSample, active: Mapping[str, Tensor]) -> None:
        """Adds a sample.

        Args:
            sample: the newest.
            active: which units were active or got a gradient, by layer.
        """
        for name, units in active.items():
            self._active.setdefault(name, deque(maxlen=UNIT_BATCHES)).append((sample.step, units))
        self._unread.append(sample)
        if len(self._unread) >= _MOST_UNREAD:
            self._read()
        if len(self._samples) + len(self._unread) > MOST_SAMPLES:
            self._samples = self.samples()[::2]
            self.stretch *= 2

    def samples(self) -> list[Sample]:
        """Returns the kept samples, oldest first."""
        self._read()
        return self._samples

    def _read(self) -> None:
        self._samples += read_samples(self._unread)
        self._unread = []

    def units(self) -> dict[str, Units]:
        """Counts the dead units of each layer."""
        found = {}
        for name, batches in self._active.items():
            ever = torch.stack([active for _, active in batches]).any(0)
            found[name] = Units(int((~ever).sum()), ever.numel(), len(batches), batches[0][0])
        return found
