"""Forward passes by mode, and validation rows that were trained on.

A hook on the model counts forward passes. Rows of sampled training batches and of validation batches are kept
as fingerprints: one whole number made of at most 64 entries of a row, the same for the same row.
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
"""Most training batches and validation batches that are remembered."""
_BETWEEN, _GROWTH = 11, 8
"""Steps between two remembered training batches: a prime, as epochs rarely are multiples of it. Later an
eighth of the steps so far, if that is more."""
_ENOUGH_EPOCHS, _LONGEST = 8, 2048
"""Most epochs that are counted, and most steps of the second epoch that is counted whole."""
_NEAR = 16
"""Counting starts this part of an epoch's steps before its expected end."""


@dataclass(frozen=True, slots=True)
class EpochPasses:
    """Forward passes of one reported epoch.

    Attributes:
        after_last_step: passes in training mode after its last training step. They are its validation if
            there was none in eval mode.
        evaluated: passes in eval mode.
        trained_rows, evaluated_rows: examples that went through in training mode and in eval mode; those
            of training are 0 where they were not counted.
    """

    after_last_step: int
    evaluated: int
    trained_rows: int
    evaluated_rows: int


@dataclass(frozen=True, slots=True)
class Overlap:
    """Comparison of validation batches with remembered training rows.

    Attributes:
        judged: validation batches whose rows would be recognized if they had been trained on.
        known: those of them that have training rows.
        share: the share of recognizable rows that were recognized.
        recurring: the share of later training rows that were in earlier samples.
        rows: number of different training rows.
    """

    judged: int
    known: int
    share: float
    recurring: float
    rows: int


@dataclass(frozen=True, slots=True)
class ObservedPasses:
    """Forward passes of a run, as far as they were observed.

    Attributes:
        epochs: one for each reported epoch; None for one that was not counted.
        overlap: training rows among validation rows; None if unknown.
    """

    epochs: tuple[EpochPasses | None, ...] = ()
    overlap: Overlap | None = None


class Passes:
    """Counter of forward passes, which remembers some of their rows.

    A hook on the model costs a small network some per cent of its step. Until the first epoch is reported,
    there is one only for passes whose rows are remembered. The second epoch is counted whole. Of later epochs
    only the end is counted, where validation is expected: an epoch is taken to be as long as the last one.

    Args:
        model: the module that the loop calls.
        guard: calls a function and swallows what it raises.

    Attributes:
        due: the number of steps from which ``stepped`` must be called again.
    """

    def __init__(self, model: nn.Module, guard: Callable[..., None]) -> None:
        self._model, self._guard = model, guard
        self._hook: Any = None
        self._running = False
        self._reset()
        self._epochs: list[EpochPasses | None] = []
        self._counted: tuple[int, int] = (0, 0)
        self._steps = self._epoch_start = 0
        self._armed: float = math.inf
        self._remembered: float = 1
        self.due: float = 0
        self._training: list[Tensor] = []
        self._validation: list[Tensor] = []
        self._validated, self._stride = 0, 1

    def _reset(self) -> None:
        self._after_last_step = self._evaluated = self._trained_rows = self._evaluated_rows = 0

    def start(self) -> None:
        """Starts counting, before the first step."""
        self._running = True
        self._prepare()

    def stop(self) -> None:
        """Stops counting, after the last step."""
        self._running = False
        self._unhook()

    def _unhook(self) -> None:
        if self._hook is not None:
            self._hook.remove()
            self._hook = None

    def stepped(self, steps: int) -> None:
        """Records a step of training; the passes before it belong to it. Must be called from ``due`` on.

        Args:
            steps: number of steps done.
        """
        self._after_last_step, self._steps = 0, steps
        if steps >= self.due:
            self._prepare()

    def _prepare(self) -> None:
        """Sets or removes the hook for the next step, and the step at which to decide again."""
        coming = self._steps + 1
        first = min(self._remembered, self._armed)
        wanted = self._running and coming >= first
        if not wanted:
            self._unhook()
        elif self._hook is None:
            self._hook = self._model.register_forward_pre_hook(Hook(self._on_forward))
        self.due = max(coming, first - 1)

    def epoch(self, steps: int) -> None:
        """Records a reported epoch. Its validation took place since the last step.

        Args:
            steps: number of steps done.
        """
        self._steps = steps
        length = steps - self._epoch_start
        counted = None
        if self._armed <= steps + 1:
            if self._armed <= self._epoch_start + 1:  # all of it was counted
                self._counted = (length, self._trained_rows)
            rows = self._counted[1] if length == self._counted[0] else 0
            counted = EpochPasses(self._after_last_step, self._evaluated, rows, self._evaluated_rows)
        self._epochs.append(counted)
        self._reset()
        self._epoch_start = steps
        if len(self._epochs) >= _ENOUGH_EPOCHS:
            self._armed = math.inf
        elif len(self._epochs) == 1 and length <= _LONGEST:
            self._armed = steps + 1
        else:
            self._armed = steps + length - length // _NEAR
        self._prepare()

    def _on_forward(self, module: nn.Module, inputs: Any) -> None:
        first = inputs[0] if inputs else None
        rows = first.shape[0] if isinstance(first, Tensor) and first.dim() else 0
        if module.training:
            self._after_last_step += 1
            self._trained_rows += rows
            if torch.is_grad_enabled() and self._steps + 1 >= self._remembered:
                self._guard(self._remember_training, first)
        else:
            self._evaluated += 1
            self._evaluated_rows += rows
        if rows and not (module.training and torch.is_grad_enabled()):
            self._guard(self._remember_validation, first)

    def _remember_validation(self, batch: Tensor) -> None:
        self._validated += 1
        if self._validated % self._stride:
            return
        rows = fingerprints(batch, _VALIDATION_ROWS)
        if rows is not None:
            self._validation.append(rows)
        if len(self._validation) > _PASSES:  # spread evenly over all passes of the run
            self._validation, self._stride = self._validation[1::2], 2 * self._stride

    def _remember_training(self, batch: Any) -> None:
        self._remembered = self._steps + 1 + max(_BETWEEN, self._steps // _GROWTH | 1)
        entries = row_entries(batch, _TRAINING_ROWS) if isinstance(batch, Tensor) else None
        if entries is not None:  # fingerprints are made later, not between two steps
            self._training.append(entries.clone())
        if len(self._training) == _BATCHES:
            self._remembered = math.inf

    def observed(self) -> ObservedPasses:
        """Returns what is known so far."""
        training = [fingerprint(entries).tolist() for entries in self._training]
        validation = [rows.tolist() for rows in self._validation]
        return ObservedPasses(tuple(self._epochs), overlap(training, validation) if validation else None)


@torch.no_grad()
def row_entries(batch: Tensor, most: int) -> Tensor | None:
    """Returns some entries of a batch's first rows; None if rows are too small, or of whole numbers.

    Args:
        batch: (examples, ...).
        most: most rows.
    """
    if batch.dim() < 2 or not batch.is_floating_point():
        return None
    rows = batch.detach()[:most].flatten(1)
    # An odd stride reaches every column of an image, an even one only some of them.
    rows = rows[:, :: -(-rows.shape[1] // _COLUMNS) | 1]
    return None if rows.shape[1] < _FEWEST else rows


@torch.no_grad()
def fingerprint(entries: Tensor) -> Tensor:
    """Makes a fingerprint of each row: one whole number.

    Args:
        entries: (rows, columns), at most 64 columns.

    Example:
        >>> x = torch.arange(12.0).reshape(2, 6)
        >>> bool((fingerprint(x) == fingerprint(x.flip(0)).flip(0)).all())
        True
    """
    bits = entries.float().contiguous().view(torch.int32).long()
    return (bits * _odd_factors(entries.device)[: entries.shape[1]]).sum(1)


def fingerprints(batch: Tensor, most: int) -> Tensor | None:
    """Makes fingerprints of a batch's first rows; None if rows are too small, or of whole numbers.

    Args:
        batch: (examples, ...).
        most: most rows.
    """
    entries = row_entries(batch, most)
    return None if entries is None else fingerprint(entries)


@cache
def _odd_factors(device: torch.device) -> Tensor:
    """Returns odd whole-number factors: sums of products wrap around, and do not depend on the order."""
    own = torch.arange(1, _COLUMNS + 1, dtype=torch.int64) * -7046029254386353131
    return ((own ^ (own >> 29)) | 1).to(device)


def overlap(training: Sequence[Sequence[int]], validation: Sequence[Sequence[int]]) -> Overlap | None:
    """Finds validation rows that were trained on; None if that is unknown.

    The share of rows that the samples would recognize is estimated from the training rows: the share of later
    ones that were already in the earlier samples. A batch of another set has none.

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
    # Rows that repeat inside a batch are made of few different values, and are equal by chance.
    batches = [*training, *validation]
    distinct = sum(len(set(batch)) for batch in batches)
    if not later or distinct < 0.99 * sum(map(len, batches)):
        return None
    recurring = sum(row in earlier for row in later) / len(later)
    every = earlier.union(later)
    hits = [(len(batch) * recurring, sum(row in every for row in batch)) for batch in validation]
    judged = [(expected, found) for expected, found in hits if expected >= 3]
    known = sum(found > 0.3 * expected for expected, found in judged)
    share = sum(found for _, found in judged) / sum(expected for expected, _ in judged) if judged else 0.0
    return Overlap(len(judged), known, share, recurring, len(every))
