"""Which batches went through the model, in which mode, and whether validation batches were trained on.

One hook on the model counts forward passes. The rows of sampled training batches and of validation batches
leave a number each, made of at most 64 of their entries by whole-number arithmetic, so that the same row
always leaves the same number; rows themselves are not kept.
"""

from __future__ import annotations

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
_BETWEEN = 7
"""Every so many training batches one is remembered: a prime, which shares no rhythm with an epoch."""
_ENOUGH_EPOCHS, _ENOUGH_STEPS = 8, 20_000
"""After so many told epochs, or so many steps without one, all is known and the hook goes."""


@dataclass(frozen=True, slots=True)
class EpochPasses:
    """The forward passes of one told epoch.

    Attributes:
        loose: passes in training mode after its last training step: its validation, if there was none in
            eval mode.
        evaluated: passes in eval mode.
        trained_rows, evaluated_rows: examples that went through in training mode and in eval mode.
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
        epochs: one for each told epoch.
        overlap: training rows among validation rows; None if it cannot be said.
    """

    epochs: tuple[EpochPasses, ...] = ()
    overlap: Overlap | None = None


class Passes:
    """Counts forward passes and remembers rows.

    Args:
        model: the module that the loop calls.
        guard: calls a function and swallows what it raises.
    """

    def __init__(self, model: nn.Module, guard: Callable[..., None]) -> None:
        self._model, self._guard = model, guard
        self._hook: Any = None
        self._loose = self._evaluated = self._trained_rows = self._evaluated_rows = 0
        self._epochs: list[EpochPasses] = []
        self._steps = self._trained = 0
        self._training: list[Tensor] = []
        self._validation: list[Tensor] = []
        self._seen, self._stride = 0, 1

    def start(self) -> None:
        """Sets the hook."""
        self._hook = self._model.register_forward_pre_hook(Hook(self._on_forward))

    def stop(self) -> None:
        """Removes the hook."""
        if self._hook is not None:
            self._hook.remove()
            self._hook = None

    def stepped(self) -> None:
        """A step of training is done: the passes before it belonged to it."""
        self._loose = 0
        self._steps += 1
        if self._steps == _ENOUGH_STEPS and not self._epochs:
            self.stop()

    def epoch(self) -> None:
        """The user told an epoch: what was validated was validated since the last step."""
        if self._hook is not None:
            counts = (self._loose, self._evaluated, self._trained_rows, self._evaluated_rows)
            self._epochs.append(EpochPasses(*counts))
        self._loose = self._evaluated = self._trained_rows = self._evaluated_rows = 0
        if len(self._epochs) >= _ENOUGH_EPOCHS:
            self.stop()

    def _on_forward(self, module: nn.Module, inputs: Any) -> None:
        first = inputs[0] if inputs else None
        rows = first.shape[0] if isinstance(first, Tensor) and first.dim() else 0
        if module.training:
            self._loose += 1
            self._trained_rows += rows
            self._trained += 1
            if self._trained % _BETWEEN == 1 and torch.is_grad_enabled():
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
        if isinstance(batch, Tensor) and len(self._training) < _BATCHES:
            rows = fingerprints(batch, _TRAINING_ROWS)
            self._training += [] if rows is None else [rows]

    def seen(self) -> PassesSeen:
        """What is known so far."""
        training = [rows.tolist() for rows in self._training]
        return PassesSeen(
            tuple(self._epochs), overlap(training, [rows.tolist() for rows in self._validation])
        )


@torch.no_grad()
def fingerprints(batch: Tensor, most: int) -> Tensor | None:
    """One whole number for each of a batch's first rows; None for rows too small, or of whole numbers.

    Args:
        batch: (examples, ...).
        most: so many rows at most.

    Example:
        >>> x = torch.arange(12.0).reshape(2, 6)
        >>> bool((fingerprints(x, 9) == fingerprints(x.flip(0), 9).flip(0)).all())
        True
    """
    if batch.dim() < 2 or not batch.is_floating_point():
        return None
    rows = batch.detach()[:most].flatten(1)
    # An odd stride meets every column of an image, an even one would meet the same few again and again.
    rows = rows[:, :: -(-rows.shape[1] // _COLUMNS) | 1]
    if rows.shape[1] < _FEWEST:
        return None
    bits = rows.float().contiguous().view(torch.int32).long()
    return (bits * _odd(rows.device)[: rows.shape[1]]).sum(1)


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
