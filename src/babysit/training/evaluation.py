"""Evaluation of a population: the rows for its accuracies, and the measurement."""

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
"""Training rows that a training accuracy is measured on, enough for the lecture's three decimals."""


class Evaluation(NamedTuple):
    """The rows for the accuracies: a sample of the training split, and the validation split.

    Inputs that would take too much memory are read in pieces, at each measurement anew.
    """

    train_x: Examples
    train_y: Tensor
    val_x: Examples
    val_y: Tensor

    def to(self, device: torch.device | str) -> Evaluation:
        """Returns the same rows on a device."""
        train_x, train_y, val_x, val_y = self
        return Evaluation(train_x.to(device), train_y.to(device), val_x.to(device), val_y.to(device))


class Members(Protocol):
    """The part of a population that is measured."""

    @property
    def size(self) -> int:
        """The number of members."""
        ...

    @property
    def parameters(self) -> Tensors:
        """Name -> [P, ...]."""
        ...

    @property
    def buffers(self) -> Tensors:
        """Name -> [P, ...]."""
        ...


class _SomeMembers(NamedTuple):
    """Copies of some members of a population."""

    size: int
    parameters: Tensors
    buffers: Tensors


class MemberScores(NamedTuple):
    """The accuracy in [0, 1] and the mean data loss of every member on some rows, [P] each."""

    accuracy: list[float]
    loss: list[float]


def evaluation_of(dataset: Dataset, *, seed: int, train_rows: int = SAMPLE_ROWS) -> Evaluation:
    """Selects the rows for the accuracies: a fixed training sample and the whole validation split.

    Args:
        dataset: the data.
        seed: the run's seed; the sample depends on nothing else.
        train_rows: the number of training rows. Default: 1000.

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
def measure(population: Members, forward: Forward, loss: Loss, x: Examples, y: Tensor) -> MemberScores:
    """Measures accuracy and mean data loss of every member on all rows, in pieces that bound the memory."""
    hits = torch.zeros(population.size, dtype=torch.float64)
    total = torch.zeros(population.size, dtype=torch.float64, device=y.device)
    for part, wanted in zip(in_pieces(x, _ROWS), torch.split(y, _ROWS), strict=True):
        outputs = forward(population.parameters, population.buffers, part.to(y.device))
        hits += accuracy(loss, outputs, wanted) * len(part)
        total += loss.per_example(outputs, wanted).double().sum(1)
    return MemberScores((hits / len(x)).tolist(), (total / len(x)).tolist())


@torch.no_grad()
def measure_folds(
    population: Members,
    forward: Forward,
    loss: Loss,
    x: Examples,
    y: Tensor,
    fold: Tensor,
    counted: Callable[[int], Tensor],
) -> MemberScores:
    """Measures accuracy and mean data loss of every member on the rows that count for its fold.

    Args:
        population, forward, loss: as for ``measure``.
        x, y: all N rows.
        fold: the fold of each member, [P] int64.
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
        found = measure(_SomeMembers(len(members), *parts), forward, loss, some, y[rows])
        for place, member in enumerate(members.tolist()):
            accuracies[member], losses[member] = found.accuracy[place], found.loss[place]
    return MemberScores(accuracies, losses)
