"""Seeded mini-batches of the training split, and splits for evaluation, as torch tensors."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from functools import partial

import numpy as np
import torch

from babysit.data.dataset import Dataset, Split
from babysit.data.prefetch import ahead, depth_for, threads_here
from babysit.data.rows import Array, ChosenRows, Inputs, Rows
from babysit.errors import SpaceError
from babysit.seeding import numpy_generator

Batch = tuple[torch.Tensor, torch.Tensor]
"""x float32 [B, ...] and y: int64 [B] for classification, float32 [B] or [B, targets] for regression."""

HELD_BYTES = 2**30
"""The largest float32 form of a split that is held for evaluation; larger ones are streamed."""


class Batches:
    """Seeded mini-batches of the training split as torch tensors.

    A small data set is preprocessed once and kept as float32; a large one keeps its own type (uint8
    images: a quarter of the memory) and is preprocessed batch by batch. One that is not in memory is read by
    threads, ahead of the training.

    Args:
        dataset: its training split is used.
        batch_size: examples per step; N or more gives one batch of all N.
        seed: of the order; equal seeds give equal orders.
        in_memory_bytes: the largest float32 form that is kept. Default: 256 MiB.

    Attributes:
        steps_per_epoch: max(N // batch_size, 1); the remainder of an epoch is dropped.

    Raises:
        SpaceError: ``batch_size`` is below 1.

    Example:
        >>> from babysit.data.sources import digits
        >>> batches = Batches(digits(), 100, seed=0)
        >>> batches.steps_per_epoch
        12
        >>> x, y = next(batches.epoch(1))
        >>> x.shape, x.dtype, y.dtype
        (torch.Size([100, 1, 8, 8]), torch.float32, torch.int64)
    """

    def __init__(
        self, dataset: Dataset, batch_size: int, *, seed: int, in_memory_bytes: int = 256 * 2**20
    ) -> None:
        if batch_size < 1:
            raise SpaceError(
                f"batch_size must be at least 1, not {batch_size}", fix="use e.g. batch_size=100"
            )
        self.dataset = dataset
        self.batch_size = min(batch_size, len(dataset.train))
        self.seed = seed
        self.steps_per_epoch = len(dataset.train) // self.batch_size
        self._y = _targets(dataset, dataset.train.y)
        small = _float32_bytes(dataset, dataset.train) <= in_memory_bytes
        self._kept = dataset.inputs(dataset.train.x) if small else None

    def epoch(self, epoch: int) -> Iterator[Batch]:
        """Yields the mini-batches of one epoch; their order depends only on the seed and the epoch.

        Args:
            epoch: from 1.

        Yields:
            ``steps_per_epoch`` pairs (x, y), without replacement; the tensors are the caller's own.
        """
        if self._kept is not None or not self.dataset.streamed:
            for rows in self.rows(epoch):
                yield self._batch(rows)
            return
        train = self.dataset.train
        threads = threads_here()
        bytes_each = self.batch_size * _float32_bytes(self.dataset, train) // len(train)
        tasks = (partial(self._batch, rows) for rows in self.rows(epoch))
        yield from ahead(tasks, threads=threads, depth=depth_for(threads, bytes_each))

    def rows(self, epoch: int) -> Iterator[Array]:
        """Yields the training rows' numbers of each mini-batch of one epoch, in the order of ``epoch``."""
        order = numpy_generator(self.seed, "batches", epoch).permutation(len(self.dataset.train))
        for step in range(self.steps_per_epoch):
            yield order[step * self.batch_size : (step + 1) * self.batch_size]

    def _batch(self, rows: Array) -> Batch:
        x: Array = self.dataset.inputs(self.dataset.train.x[rows]) if self._kept is None else self._kept[rows]
        return torch.from_numpy(x), torch.from_numpy(self._y[rows])


class Streamed:
    """Inputs of a split that are read in pieces, with the methods of a tensor that evaluation needs.

    Args:
        dataset: gives the preprocessing.
        x: rows [N, ...].
        dtype: of the tensors. Default: float32.

    Example:
        >>> from babysit.data.sources import digits
        >>> data = digits()
        >>> rows = Streamed(data, data.val.x)
        >>> [len(piece) for piece in rows.split(100)], rows[:2].shape
        ([100, 80], torch.Size([2, 1, 8, 8]))
    """

    def __init__(self, dataset: Dataset, x: Inputs, dtype: torch.dtype = torch.float32) -> None:
        self._dataset, self._x, self._dtype = dataset, x, dtype

    def __len__(self) -> int:
        return len(self._x)

    def __getitem__(self, rows: slice) -> torch.Tensor:
        x = self._x[rows]
        return torch.from_numpy(_own(self._dataset.inputs(x), x)).to(self._dtype)

    def split(self, rows: int) -> Iterator[torch.Tensor]:
        """Yields all inputs in order, ``rows`` at a time, read ahead; the caller owns the tensors."""
        threads = threads_here()
        depth = depth_for(threads, 4 * rows * math.prod(self._dataset.input_shape))
        parts = range(0, len(self), rows)
        return ahead(
            (partial(self.__getitem__, slice(start, start + rows)) for start in parts),
            threads=threads,
            depth=depth,
        )

    def of(self, rows: torch.Tensor) -> Streamed:
        """Selects the rows where a bool [N] is True."""
        return Streamed(self._dataset, ChosenRows(self._x, rows.cpu().numpy().nonzero()[0]), self._dtype)

    def to(self, device: torch.device | str) -> Streamed:
        """Returns itself, since pieces always come on the CPU."""
        return self

    def double(self) -> Streamed:
        """Returns the same rows as float64."""
        return Streamed(self._dataset, self._x, torch.float64)


Examples = torch.Tensor | Streamed
"""The inputs of a split for evaluation: held, or read in pieces."""


def in_pieces(x: Examples, rows: int) -> Iterable[torch.Tensor]:
    """Yields all inputs in order, ``rows`` at a time."""
    return x.split(rows) if isinstance(x, Streamed) else torch.split(x, rows)


def evaluation_inputs(dataset: Dataset, split: Split, *, held_bytes: int = HELD_BYTES) -> Examples:
    """Prepares a split's inputs for evaluation: a tensor of at most ``held_bytes``, otherwise streamed.

    Args:
        dataset: gives the preprocessing.
        split: e.g. ``dataset.val``.
        held_bytes: the largest float32 form that is held. Default: 1 GiB.

    Example:
        >>> from babysit.data.sources import digits
        >>> data = digits()
        >>> type(evaluation_inputs(data, data.val)).__name__
        'Tensor'
    """
    if _float32_bytes(dataset, split) > held_bytes:
        return Streamed(dataset, split.x)
    return evaluation_tensors(dataset, split)[0]


def evaluation_tensors(dataset: Dataset, split: Split) -> Batch:
    """Converts a whole split to preprocessed tensors.

    Args:
        dataset: gives the preprocessing.
        split: e.g. ``dataset.val``.

    Returns:
        x float32 [N, ...], contiguous, and y as in a batch; both are copies.

    Example:
        >>> from babysit.data.sources import digits
        >>> data = digits()
        >>> evaluation_tensors(data, data.val)[0].shape
        torch.Size([180, 1, 8, 8])
    """
    inputs = dataset.inputs(split.x)
    own = inputs if isinstance(split.x, Rows) else _own(inputs, split.x)
    return torch.from_numpy(own), evaluation_targets(dataset, split)


def evaluation_targets(dataset: Dataset, split: Split) -> torch.Tensor:
    """Copies a whole split's targets into a tensor of the type that batches have."""
    return torch.from_numpy(_targets(dataset, split.y).copy())


def _own(inputs: Array, x: Array) -> Array:
    """Copies inputs that share memory with the rows, since a network may change its input in place."""
    return inputs.copy() if np.may_share_memory(inputs, x) else inputs


def _targets(dataset: Dataset, y: Array) -> Array:
    return np.ascontiguousarray(y, dtype=np.float32 if dataset.task == "regression" else np.int64)


def _float32_bytes(dataset: Dataset, split: Split) -> int:
    return 4 * len(split) * math.prod(dataset.input_shape)
