"""What the accuracies of a population are measured on, and the measuring."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from babysit.data.batches import Examples, Streamed, evaluation_inputs, evaluation_targets, in_pieces
from babysit.data.dataset import Dataset
from babysit.training.losses import Loss, accuracy
from babysit.training.lowering import Forward
from babysit.training.population import Tensors

_ROWS = 1000
SAMPLE_ROWS = 1000
"""Training rows behind a training accuracy: the lecture's three decimals."""


class Evaluation(NamedTuple):
    """The rows for the accuracies: a sample of the training split, and validation.

    Inputs that would take too much memory are read in pieces, each time they are measured on.
    """

    train_x: Examples
    train_y: Tensor
    val_x: Examples
    val_y: Tensor

    def to(self, device: torch.device | str) -> Evaluation:
        """The same rows on a device."""
        train_x, train_y, val_x, val_y = self
        return Evaluation(train_x.to(device), train_y.to(device), val_x.to(device), val_y.to(device))


class Members(Protocol):
    """What of a population is measured."""

    @property
    def size(self) -> int:
        """How many members."""
        ...

    @property
    def parameters(self) -> Tensors:
        """Name -> [P, ...]."""
        ...

    @property
    def buffers(self) -> Tensors:
        """Name -> [P, ...]."""
        ...


class _Some(NamedTuple):
    """Copies of some members."""

    size: int
    parameters: Tensors
    buffers: Tensors


class Score(NamedTuple):
    """How every member does on some rows, [P] each: accuracy in [0, 1] and mean data loss."""

    accuracy: list[float]
    loss: list[float]


def evaluation_of(dataset: Dataset, *, seed: int, train_rows: int = SAMPLE_ROWS) -> Evaluation:
    """The rows for the accuracies: a fixed sample of the training split and the whole validation split.

    Args:
        dataset: the data.
        seed: the run's seed; the sample depends on nothing else.
        train_rows: how many training rows, default 1000 (the lecture's: three decimals).

    Example:
        >>> from babysit.data.sources import digits
        >>> [len(rows) for rows in evaluation_of(digits(), seed=0)]
        [1000, 1000, 180, 180]
    """
    sample = dataset.sample(dataset.train, train_rows, seed)
    train_x, val_x = (evaluation_inputs(dataset, part) for part in (sample, dataset.val))
    train_y, val_y = (evaluation_targets(dataset, part) for part in (sample, dataset.val))
    return Evaluation(train_x, train_y, val_x, val_y)


@torch.no_grad()
def measure(population: Members, forward: Forward, loss: Loss, x: Examples, y: Tensor) -> Score:
    """Accuracy and mean data loss of every member on all rows, in pieces that bound the memory."""
    hits = torch.zeros(population.size, dtype=torch.float64)
    total = torch.zeros(population.size, dtype=torch.float64, device=y.device)
    for part, wanted in zip(in_pieces(x, _ROWS), torch.split(y, _ROWS), strict=True):
        outputs = forward(population.parameters, population.buffers, part.to(y.device))
        hits += accuracy(loss, outputs, wanted) * len(part)
        total += loss.per_example(outputs, wanted).double().sum(1)
    return Score((hits / len(x)).tolist(), (total / len(x)).tolist())


@torch.no_grad()
def measure_folds(
    population: Members,
    forward: Forward,
    loss: Loss,
    x: Examples,
    y: Tensor,
    fold: Tensor,
    counted: Callable[[int], Tensor],
) -> Score:
    """Accuracy and mean data loss of every member on the rows that count for its fold, and on no others.

    Args:
        population, forward, loss: as for ``measure``.
        x, y: all rows, N of them.
        fold: [P] int64, that of each member.
        counted: fold -> bool [N], the rows that count.
    """
    accuracies, losses = ([math.nan] * population.size for _ in range(2))
    for each in sorted(set(fold.tolist())):
        members, rows = (fold == each).nonzero().flatten(), counted(each)
        parts = [
            {name: value[members] for name, value in tensors.items()}
            for tensors in (population.parameters, population.buffers)
        ]
        some = x.of(rows) if isinstance(x, Streamed) else x[rows]
        found = measure(_Some(len(members), *parts), forward, loss, some, y[rows])
        for place, member in enumerate(members.tolist()):
            accuracies[member], losses[member] = found.accuracy[place], found.loss[place]
    return Score(accuracies, losses)
