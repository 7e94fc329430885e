"""Seeded mini-batches of the training split, and whole splits for evaluation, as torch tensors."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import torch

from babysit.data.dataset import Dataset, Split
from babysit.data.preprocessing import Array
from babysit.errors import SpaceError
from babysit.seeding import numpy_generator

Batch = tuple[torch.Tensor, torch.Tensor]
"""x float32 [B, ...] and y: int64 [B] for classification, float32 [B] or [B, targets] for regression."""


class Batches:
    """Seeded mini-batches of the training split as torch tensors.

    A small data set is preprocessed once and kept as float32; a large one keeps its own type (uint8
    images: a quarter of the memory) and is preprocessed batch by batch.

    Args:
        dataset: its training split is used.
        batch_size: examples per step; N or more gives one batch of all N.
        seed: of the order; equal seeds give equal orders.
        in_memory_bytes: the largest float32 form that is kept (default 256 MiB).

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
                f"batch_size must be at least 1, not {batch_size}", cure="use e.g. batch_size=100"
            )
        self.dataset = dataset
        self.batch_size = min(batch_size, len(dataset.train))
        self.seed = seed
        self.steps_per_epoch = len(dataset.train) // self.batch_size
        self._y = _targets(dataset, dataset.train.y)
        self._kept = dataset.inputs(dataset.train.x) if _float32_bytes(dataset) <= in_memory_bytes else None

    def epoch(self, epoch: int) -> Iterator[Batch]:
        """The mini-batches of one epoch; their order depends on the seed and the epoch and nothing else.

        Args:
            epoch: from 1.

        Yields:
            ``steps_per_epoch`` pairs (x, y), without replacement; the tensors are the caller's own.
        """
        for rows in self.rows(epoch):
            yield torch.from_numpy(self._inputs(rows)), torch.from_numpy(self._y[rows])

    def rows(self, epoch: int) -> Iterator[Array]:
        """The numbers of the training rows in each mini-batch of one epoch, in the order of ``epoch``."""
        order = numpy_generator(self.seed, "batches", epoch).permutation(len(self.dataset.train))
        for step in range(self.steps_per_epoch):
            yield order[step * self.batch_size : (step + 1) * self.batch_size]

    def _inputs(self, rows: Array) -> Array:
        if self._kept is not None:
            kept: Array = self._kept[rows]
            return kept
        return self.dataset.inputs(self.dataset.train.x[rows])


def evaluation_tensors(dataset: Dataset, split: Split) -> Batch:
    """A whole split as tensors, preprocessed.

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
    # Copied where it is the split's own memory: a network may change its input in place.
    own = inputs.copy() if np.may_share_memory(inputs, split.x) else inputs
    return torch.from_numpy(own), torch.from_numpy(_targets(dataset, split.y).copy())


def _targets(dataset: Dataset, y: Array) -> Array:
    return np.ascontiguousarray(y, dtype=np.float32 if dataset.task == "regression" else np.int64)


def _float32_bytes(dataset: Dataset) -> int:
    return 4 * len(dataset.train) * math.prod(dataset.input_shape)
