"""Which batches went through the model, in which mode, and whether validation batches were trained on.

A hook on the model counts forward passes. The rows of sampled training batches and of validation batches
leave a number each, made of at most 64 of their entries by whole-number arithmetic, so that the same row
always leaves the same number; rows themselves are not kept.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from babysit.watching.hooks import Hook

_COLUMNS, _FEWEST = 64, 4
_TRAINING_ROWS, _VALIDATION_ROWS = 64, 256
_BATCHES, _PASSES = 128, 32
"""So many training batches and validation batches are remembered."""
_BETWEEN, _GROWTH = 11, 8
"""Every so many training steps one is remembered: a prime, which shares no rhythm with an epoch. Later they
come more rarely: after an eighth of the steps so far."""
_ENOUGH_EPOCHS, _LONGEST = 8, 2048
"""So many told epochs are looked at; one that may have more steps is looked at near its end only."""
_NEAR = 16
"""Where an epoch's end is expected, this part of its steps is looked at before it."""


@dataclass(frozen=True, slots=True)
class EpochPasses:
    """The forward passes of one told epoch.

    Attributes:
        loose: passes in training mode after its last training step: its validation, if there was none in
            eval mode.
        evaluated: passes in eval mode.
        trained_rows, evaluated_rows: examples that went through in training mode and in eval mode; those
            of training are 0 where they were not counted.
    """

    loose: int
    evaluated: int
    trained_rows: int
    evaluated_rows: int


@dataclass(frozen=True, slots=True)
class Overlap:
    """Validation batches set against remembered training rows.

    Attributes:
        judged: validation batches of which training rows would be recognized, had they been trained on.
        known: those of them with rows that are among the training rows.
        share: of the rows that would be recognized, how many were.
        recurring: the share of later training rows already seen in earlier samples.
        rows: how many different training rows were seen.
    """

    judged: int
    known: int
    share: float
    recurring: float
    rows: int


@dataclass(frozen=True, slots=True)
class PassesSeen:
    """What is known of a run's forward passes.

    Attributes:
        epochs: one for each told epoch; None for one that was not looked at.
        overlap: training rows among validation rows; None if it cannot be said.
    """

    epochs: tuple[EpochPasses | None, ...] = ()
    overlap: Overlap | None = None


class Passes:
    """Counts forward passes and remembers rows.

    A hook on the model costs a small network some per cent of its step. So there is none until an epoch is
    told, but for the one pass of which rows are remembered; the second epoch is counted whole, and of later
    ones their ends, where validation is expected: they are taken to be as long as the one before.

    Args:
        model: the module that the loop calls.
        guard: calls a function and swallows what it raises.

    Attributes:
        due: the number of steps done at which it must be told of a step again.
    """

    def __init__(self, model: nn.Module, guard: Callable[..., None]) -> None:
        self._model, self._guard = model, guard
        self._hook: Any = None
        self._running = False
        self._reset()
        self._epochs: list[EpochPasses | None] = []
        self._counted: tuple[int, int] = (0, 0)
        self._steps = self._began = 0
        self._armed: float = math.inf
        self._remembered: float = 1
        self.due: float = 0
        self._training: list[Tensor] = []
        self._validation: list[Tensor] = []
        self._seen, self._stride = 0, 1

    def _reset(self) -> None:
        self._loose = self._evaluated = self._trained_rows = self._evaluated_rows = 0

    def start(self) -> None:
        """The first step is about to begin."""
        self._running = True
        self._prepare()

    def stop(self) -> None:
        """The last step is done."""
        self._running = False
        self._unhook()

    def _unhook(self) -> None:
        if self._hook is not None:
            self._hook.remove()
            self._hook = None

    def stepped(self, steps: int) -> None:
        """A step of training is done: the passes before it belonged to it. To be called from ``due`` on.

        Args:
            steps: how many are done.
        """
        self._loose, self._steps = 0, steps
        if steps >= self.due:
            self._prepare()

    def _prepare(self) -> None:
        """Whether the next step is looked at, and when to ask again."""
        coming = self._steps + 1
        first = min(self._remembered, self._armed)
        wanted = self._running and coming >= first
        if not wanted:
            self._unhook()
        elif self._hook is None:
            self._hook = self._model.register_forward_pre_hook(Hook(self._on_forward))
        self.due = max(coming, first - 1)

    def epoch(self, steps: int) -> None:
        """The user told an epoch: what was validated was validated since the last step.

        Args:
            steps: how many are done.
        """
        self._steps = steps
        length = self._steps - self._began
        self._epochs.append(self._passes(length) if self._armed <= self._steps + 1 else None)
        self._reset()
        self._began = self._steps
        self._armed = self._expected(length) if len(self._epochs) < _ENOUGH_EPOCHS else math.inf
        self._prepare()

    def _expected(self, length: int) -> float:
        """The step from which the next epoch is looked at."""
        if len(self._epochs) == 1 and length <= _LONGEST:
            return self._steps + 1
        return self._steps + length - length // _NEAR

    def _passes(self, length: int) -> EpochPasses:
        if self._armed <= self._began + 1:  # all of it was counted
            self._counted = (length, self._trained_rows)
        rows = self._counted[1] if length == self._counted[0] else 0
        return EpochPasses(self._loose, self._evaluated, rows, self._evaluated_rows)

    def _on_forward(self, module: nn.Module, inputs: Any) -> None:
        first = inputs[0] if inputs else None
        rows = first.shape[0] if isinstance(first, Tensor) and first.dim() else 0
        if module.training:
            self._loose += 1
            self._trained_rows += rows
            if torch.is_grad_enabled() and self._steps + 1 >= self._remembered:
                self._guard(self._remember_training, first)
        else:
            self._evaluated += 1
            self._evaluated_rows += rows
        if rows and not (module.training and torch.is_grad_enabled()):
            self._guard(self._remember_validation, first)

    def _remember_validation(self, batch: Tensor) -> None:
        self._seen += 1
        if self._seen % self._stride:
            return
        rows = fingerprints(batch, _VALIDATION_ROWS)
        if rows is not None:
            self._validation.append(rows)
        if len(self._validation) > _PASSES:  # evenly spread over all passes, however many there will be
            self._validation, self._stride = self._validation[1::2], 2 * self._stride

    def _remember_training(self, batch: Any) -> None:
        self._remembered = self._steps + 1 + max(_BETWEEN, self._steps // _GROWTH | 1)
        entries = entries_of(batch, _TRAINING_ROWS) if isinstance(batch, Tensor) else None
        if entries is not None:  # made numbers when they are asked for: not between two steps
            self._training.append(entries.clone())
        if len(self._training) == _BATCHES:
            self._remembered = math.inf

    def seen(self) -> PassesSeen:
        """What is known so far."""
        training = [number_of(entries).tolist() for entries in self._training]
        validation = [rows.tolist() for rows in self._validation]
        return PassesSeen(tuple(self._epochs), overlap(training, validation) if validation else None)


@torch.no_grad()
def entries_of(batch: Tensor, most: int) -> Tensor | None:
    """Some entries of each of a batch's first rows; None if rows are too small, or of whole numbers.

    Args:
        batch: (examples, ...).
        most: so many rows at most.
    """
    if batch.dim() < 2 or not batch.is_floating_point():
        return None
    rows = batch.detach()[:most].flatten(1)
    # An odd stride meets every column of an image, an even one would meet the same few again and again.
    rows = rows[:, :: -(-rows.shape[1] // _COLUMNS) | 1]
    return None if rows.shape[1] < _FEWEST else rows


@torch.no_grad()
def number_of(entries: Tensor) -> Tensor:
    """One whole number for each row.

    Args:
        entries: (rows, columns), at most 64 columns.

    Example:
        >>> x = torch.arange(12.0).reshape(2, 6)
        >>> bool((number_of(x) == number_of(x.flip(0)).flip(0)).all())
        True
    """
    bits = entries.float().contiguous().view(torch.int32).long()
    return (bits * _odd(entries.device)[: entries.shape[1]]).sum(1)


def fingerprints(batch: Tensor, most: int) -> Tensor | None:
    """One whole number for each of a batch's first rows; None if they have none.

    Args:
        batch: (examples, ...).
        most: so many rows at most.
    """
    entries = entries_of(batch, most)
    return None if entries is None else number_of(entries)


@cache
def _odd(device: torch.device) -> Tensor:
    """Odd factors: whole-number sums of products wrap round, alike in any order and batch."""
    own = torch.arange(1, _COLUMNS + 1, dtype=torch.int64) * -7046029254386353131
    return ((own ^ (own >> 29)) | 1).to(device)


def overlap(training: Sequence[Sequence[int]], validation: Sequence[Sequence[int]]) -> Overlap | None:
    """Whether validation rows were trained on.

    How many of them the samples would know is estimated from the training rows: so many of the later ones
    were already in the earlier samples. A batch of another set has none.

    Args:
        training: fingerprints of sampled training batches, oldest first.
        validation: fingerprints of validation batches.

    Example:
        >>> rows = [[1, 2, 3, 4], [5, 6, 7, 8]]
        >>> overlap(rows * 4, [[1, 2, 3, 4]] * 2)
        Overlap(judged=2, known=2, share=1.0, recurring=1.0, rows=8)
        >>> overlap(rows * 4, [[9, 10, 11, 12]] * 2)
        Overlap(judged=2, known=0, share=0.0, recurring=1.0, rows=8)
    """
    half = len(training) // 2
    earlier = {row for batch in training[:half] for row in batch}
    later = [row for batch in training[half:] for row in batch]
    # Rows that repeat inside a batch are made of few different values: they meet by chance.
    if not later or not _distinct([*training, *validation]):
        return None
    recurring = sum(row in earlier for row in later) / len(later)
    every = earlier.union(later)
    hits = [(len(batch) * recurring, sum(row in every for row in batch)) for batch in validation]
    judged = [(expected, found) for expected, found in hits if expected >= 3]
    known = sum(found > 0.3 * expected for expected, found in judged)
    share = sum(found for _, found in judged) / sum(expected for expected, _ in judged) if judged else 0.0
    return Overlap(len(judged), known, share, recurring, len(every))


def _distinct(batches: Sequence[Sequence[int]]) -> bool:
    return sum(len(set(batch)) for batch in batches) >= 0.99 * sum(map(len, batches))
