"""Statistics of a sample on the device: few operations, read with one transfer.

On a CPU a small operation costs its dispatch, whatever it computes. So norms of many tensors are one call,
sums become means after the transfer, and a part of a large tensor stands for all of it.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn

EXAMPLES, NUMBERS, FEWEST = 64, 1 << 15, 8
"""The first examples of a batch enter a layer's statistics: at most 64, and about 32,768 numbers unless eight
examples have more. That is enough for a mean, and cheap on any batch."""
SATURATED = 0.97
"""A tanh beyond this, or a sigmoid as close to its ends, passes on less than 6% of its gradient."""
PART, BLOCK = 1 << 13, 1 << 6
"""Blocks of 64 numbers, 8,192 in all, enter the norm of a larger tensor. They give the norm to
1%, and blocks are read fast."""
_GOLDEN = 0.6180339887498949


class Scalars:
    """Small tensors under names, read with one transfer.

    Attributes:
        sizes: the number of values that the scalars under a name were computed from; 0 if not given.

    Example:
        >>> scalars = Scalars()
        >>> scalars.add("loss", [torch.tensor(2.0), torch.tensor(3.0)])
        >>> scalars.add("shares", [torch.tensor([0.5, 0.5])])
        >>> scalars.read()
        {'loss': [2.0, 3.0], 'shares': [0.5, 0.5]}
    """

    def __init__(self) -> None:
        self.sizes: dict[Hashable, int] = {}
        self._values: dict[Hashable, list[Tensor]] = {}
        self._waiting: dict[Hashable, Callable[[], list[Tensor]]] = {}

    def add(self, name: Hashable, values: list[Tensor], size: int = 0) -> None:
        """Stores scalars, or vectors, under a name, in place of those already there."""
        self._values[name], self.sizes[name] = values, size

    def later(self, name: Hashable, compute: Callable[[], list[Tensor]], size: int = 0) -> None:
        """Stores under a name scalars that are computed only when all are read.

        Args:
            name: as for :meth:`add`.
            compute: returns the scalars; the tensors that it holds must be small copies.
            size: as for :meth:`add`.
        """
        self._waiting[name], self.sizes[name] = compute, size

    def drop(self, name: Hashable) -> None:
        """Removes the scalars under a name."""
        self._values.pop(name, None)

    @torch.no_grad()
    def settled(self) -> dict[Hashable, list[Tensor]]:
        """Computes what is left to compute, and returns all scalars by name."""
        self._values |= {name: compute() for name, compute in self._waiting.items()}
        self._waiting = {}
        return self._values

    def read(self) -> dict[Any, list[float]]:
        """Reads all scalars as numbers, by name."""
        return read_together([self])[0]


def read_together(several: Iterable[Scalars]) -> list[dict[Any, list[float]]]:
    """Reads the numbers of several sets of scalars, by name, with one transfer for all.

    Example:
        >>> first, second = Scalars(), Scalars()
        >>> first.add("loss", [torch.tensor(2.0)])
        >>> second.later("shares", lambda: [torch.tensor([0.5, 0.5])])
        >>> read_together([first, second])
        [{'loss': [2.0]}, {'shares': [0.5, 0.5]}]
    """
    settled = [scalars.settled() for scalars in several]
    flat = [value for named in settled for values in named.values() for value in values]
    single = [value for value in flat if not value.dim()]
    numbers = _numbers(single, [value.reshape(-1) for value in flat if value.dim()])
    ones, others = iter(numbers[: len(single)]), iter(numbers[len(single) :])
    return [
        {
            name: [
                number
                for value in values
                for number in (islice(others, value.numel()) if value.dim() else islice(ones, 1))
            ]
            for name, values in named.items()
        }
        for named in settled
    ]


def _numbers(single: list[Tensor], wide: list[Tensor]) -> list[float]:
    """Reads scalars, then vectors, as one list; moves them to one device where they are on several."""
    if not single and not wide:
        return []
    device = (single or wide)[0].device
    if any(value.device != device for value in wide) or any(value.device != device for value in single):
        single, wide = [value.to(device) for value in single], [value.to(device) for value in wide]
    joined = torch.cat([*([torch.stack(single)] if single else []), *wide])  # promotes dtypes
    numbers: list[float] = joined.tolist()
    return numbers


def first_examples(output: Tensor) -> Tensor:
    """Returns the examples of a batch that enter statistics.

    Args:
        output: of a layer, one example a row.

    Example:
        >>> first_examples(torch.zeros(100, 3)).shape[0], first_examples(torch.zeros(100, 8, 32, 32)).shape[0]
        (64, 8)
    """
    rows = output.shape[0]
    most = min(EXAMPLES, max(FEWEST, NUMBERS * rows // max(output.numel(), 1)))
    return output if rows <= most else output[:most]


def layer_scalars(kinds: Sequence[type[nn.Module]], outputs: Sequence[Tensor]) -> list[list[Tensor]]:
    """Computes sum, norm and, of a sigmoid or tanh, saturated share of each layer's output.

    ``torch.std_mean`` takes ten times as long on a CPU.

    Args:
        kinds: the layers' classes.
        outputs: their outputs, or the part of each that counts.

    Example:
        >>> [[total, norm]] = layer_scalars([nn.Linear], [torch.tensor([[3.0, 4.0]])])
        >>> total.item(), norm.item()
        (7.0, 5.0)
    """
    values = [output.float() for output in outputs]
    if any(map(torch._C._functorch.is_batchedtensor, values)):  # vmap has no norm of several tensors at once
        norms = [torch.linalg.vector_norm(value) for value in values]
    else:
        norms = list(torch._foreach_norm(values)) if values else []
    found = []
    for kind, each, norm in zip(kinds, values, norms, strict=True):
        scalars = [each.sum(), norm]
        if issubclass(kind, nn.Tanh):
            scalars.append((each.abs() > SATURATED).float().mean())
        elif issubclass(kind, nn.Sigmoid):
            scalars.append(((2 * each - 1).abs() > SATURATED).float().mean())
        found.append(scalars)
    return found


def active_units(values: Tensor, units_first: bool) -> Tensor:
    """Finds the units that are above zero for any example.

    Args:
        values: (examples, units), (examples, channels, ...) or (examples, ..., units).
        units_first: units are dimension 1, as in convolutions, and not the last.

    Example:
        >>> active_units(torch.tensor([[0.0, 1.0], [0.0, 0.0]]), units_first=True).tolist()
        [False, True]
    """
    axis = 1 if units_first else values.dim() - 1
    return values.amax([other for other in range(values.dim()) if other != axis]) > 0


def output_part(output: Tensor) -> Tensor:
    """Returns the part of the model's output that counts: the first examples, and every n-th of many numbers.

    Args:
        output: one example a row.

    Example:
        >>> output_part(torch.zeros(100, 10)).shape, output_part(torch.zeros(100, 10000)).shape
        (torch.Size([64, 10]), torch.Size([64, 527]))
    """
    values = output[:EXAMPLES].flatten(1)
    every = values.numel() // NUMBERS
    return values if every < 2 else values[:, ::every]


def output_scalars(values: Tensor) -> list[Tensor]:
    """Computes sum and norm of the model's output, and its spread over examples.

    Args:
        values: the part of it that counts, (examples, outputs).
    """
    total, norm = layer_scalars([nn.Module], [values])[0]
    return [total, norm, spread_over_examples(values)]


def spread_over_examples(values: Tensor) -> Tensor:
    """Computes the standard deviation over examples, and its mean over outputs.

    Example:
        >>> spread_over_examples(torch.tensor([[1.0, 5.0], [3.0, 5.0]])).item()
        0.5
    """
    return values.float().std(0, correction=0).mean()


def target_scalars(targets: Tensor, classes: int) -> list[Tensor]:
    """Computes shares of class numbers, or mean, mean square and share below zero of other targets.

    Args:
        targets: the criterion's second input.
        classes: number of classes; only used for class numbers.
    """
    if targets.is_floating_point():
        x = targets.float()
        return [x.mean(), x.square().mean(), (x < 0).float().mean()]
    numbers = torch.arange(classes, device=targets.device)
    return [(targets.reshape(-1, 1) == numbers).mean(0, dtype=torch.float32)]


class Parts:
    """The parts of tensors that enter norms: the same places of a tensor at every call.

    Example:
        >>> parts = Parts()
        >>> parts(torch.ones(3, 4)).shape, parts(torch.ones(1000, 1000)).numel()
        (torch.Size([3, 4]), 8192)
    """

    def __init__(self) -> None:
        self._places: dict[tuple[int, torch.device], Tensor] = {}

    def __call__(self, value: Tensor) -> Tensor:
        """Returns the tensor itself if it is small, else a copy of blocks spread over it."""
        count = value.numel()
        if count <= PART:
            return value
        rest = count % BLOCK
        blocks = (value.reshape(-1)[:-rest] if rest else value).reshape(-1, BLOCK)
        key = (len(blocks), value.device)
        if key not in self._places:
            # One place in each of 128 equal parts; golden steps do not resonate with rows of any width.
            places = PART // BLOCK
            spread = [int((at + at * _GOLDEN % 1) * len(blocks) / places) for at in range(places)]
            self._places[key] = torch.tensor(spread, device=value.device)
        return blocks.index_select(0, self._places[key])

    def copy(self, value: Tensor) -> Tensor:
        """Returns the same part, always as a copy."""
        return value.clone() if value.numel() <= PART else self(value)
