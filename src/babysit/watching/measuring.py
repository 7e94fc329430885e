"""What is computed on the device in a sample: as few operations as it takes, read with one transfer.

On a CPU a small operation costs its dispatch, whatever it computes: norms of many tensors are one call, sums
become means after the transfer, and of a large tensor a part stands for all.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn

EXAMPLES, NUMBERS, FEWEST = 64, 1 << 15, 8
"""A batch's first examples enter a layer's statistics: at most 64 of them, and not many more numbers than
32,768 unless eight examples have more: enough for a mean, cheap on any batch."""
SATURATED = 0.97
"""A tanh beyond this, or a sigmoid as close to its ends, passes on less than 6% of its gradient."""
PART, BLOCK = 1 << 13, 1 << 6
"""Of a tensor with more numbers than this, blocks of 64 spread over it enter its norms: from 8,192 numbers a
norm is known to 1%, and memory is read in stretches."""
_GOLDEN = 0.6180339887498949


class Scalars:
    """Small tensors under names, read with one transfer.

    Attributes:
        sizes: of how many numbers those under a name were made, where that was told.

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
        """Puts scalars, or vectors, under a name, in place of those already there."""
        self._values[name], self.sizes[name] = values, size

    def later(self, name: Hashable, compute: Callable[[], list[Tensor]], size: int = 0) -> None:
        """Puts under a name what is computed only when all are read.

        Args:
            name: as for :meth:`add`.
            compute: gives the scalars; what it holds must be small, and its own.
            size: as for :meth:`add`.
        """
        self._waiting[name], self.sizes[name] = compute, size

    def drop(self, name: Hashable) -> None:
        """Takes away what is under a name."""
        self._values.pop(name, None)

    @torch.no_grad()
    def settled(self) -> dict[Hashable, list[Tensor]]:
        """All by name, nothing left to compute."""
        self._values |= {name: compute() for name, compute in self._waiting.items()}
        self._waiting = {}
        return self._values

    def read(self) -> dict[Any, list[float]]:
        """All as numbers, by name."""
        return read_together([self])[0]


def read_together(several: Iterable[Scalars]) -> list[dict[Any, list[float]]]:
    """What each of several holds, as numbers by name: one transfer for all.

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
            name: [number for value in values for number in _next_of(value, ones, others)]
            for name, values in named.items()
        }
        for named in settled
    ]


def _next_of(value: Tensor, ones: Iterable[float], others: Iterable[float]) -> Iterable[float]:
    return islice(others, value.numel()) if value.dim() else islice(ones, 1)


def _numbers(single: list[Tensor], wide: list[Tensor]) -> list[float]:
    if not single and not wide:
        return []
    device = (single or wide)[0].device
    if any(value.device != device for value in wide) or any(value.device != device for value in single):
        single, wide = [value.to(device) for value in single], [value.to(device) for value in wide]
    joined = torch.cat([*([torch.stack(single)] if single else []), *wide])  # promotes dtypes
    numbers: list[float] = joined.tolist()
    return numbers


def first_examples(output: Tensor) -> Tensor:
    """The examples that enter statistics.

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
    """Sum, norm and, of a sigmoid or tanh, saturated share of each layer's output.

    ``torch.std_mean`` takes ten times as long on a CPU.

    Args:
        kinds: the layers' classes.
        outputs: what they returned, or the part of it that counts.

    Example:
        >>> [[total, norm]] = layer_scalars([nn.Linear], [torch.tensor([[3.0, 4.0]])])
        >>> total.item(), norm.item()
        (7.0, 5.0)
    """
    values = [output.float() for output in outputs]
    norms = _norms(values)
    return [
        [each.sum(), norm, *_saturated(kind, each)]
        for kind, each, norm in zip(kinds, values, norms, strict=True)
    ]


def _norms(values: list[Tensor]) -> Sequence[Tensor]:
    if any(map(torch._C._functorch.is_batchedtensor, values)):  # vmap knows no norm of several at once
        return [torch.linalg.vector_norm(value) for value in values]
    return torch._foreach_norm(values) if values else ()


def _saturated(kind: type[nn.Module], values: Tensor) -> list[Tensor]:
    if issubclass(kind, nn.Tanh):
        return [(values.abs() > SATURATED).float().mean()]
    if issubclass(kind, nn.Sigmoid):
        return [((2 * values - 1).abs() > SATURATED).float().mean()]
    return []


def active_units(values: Tensor, units_first: bool) -> Tensor:
    """Which units gave anything above zero for any example.

    Args:
        values: (examples, units), (examples, channels, ...) or (examples, ..., units).
        units_first: the units lie in dimension 1 (convolutions) rather than in the last.

    Example:
        >>> active_units(torch.tensor([[0.0, 1.0], [0.0, 0.0]]), units_first=True).tolist()
        [False, True]
    """
    axis = 1 if units_first else values.dim() - 1
    return values.amax([other for other in range(values.dim()) if other != axis]) > 0


def output_part(output: Tensor) -> Tensor:
    """What counts of the model's output: first examples, and of very wide ones every so many-th number.

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
    """Sum and norm of the model's output, and its spread over examples.

    Args:
        values: what counts of it, (examples, outputs).
    """
    total, norm = layer_scalars([nn.Module], [values])[0]
    return [total, norm, spread_over_examples(values)]


def spread_over_examples(values: Tensor) -> Tensor:
    """The mean over outputs of the standard deviation over examples.

    Example:
        >>> spread_over_examples(torch.tensor([[1.0, 5.0], [3.0, 5.0]])).item()
        0.5
    """
    return values.float().std(0, correction=0).mean()


def target_scalars(targets: Tensor, classes: int) -> list[Tensor]:
    """Class shares where the targets are class numbers, else mean, mean square and the share below zero.

    Args:
        targets: what the criterion was given second.
        classes: how many there are; it counts for class numbers only.
    """
    if targets.is_floating_point():
        x = targets.float()
        return [x.mean(), x.square().mean(), (x < 0).float().mean()]
    numbers = torch.arange(classes, device=targets.device)
    return [(targets.reshape(-1, 1) == numbers).mean(0, dtype=torch.float32)]


class Parts:
    """The parts of tensors that enter norms: the same places of a tensor every time.

    Example:
        >>> parts = Parts()
        >>> parts(torch.ones(3, 4)).shape, parts(torch.ones(1000, 1000)).numel()
        (torch.Size([3, 4]), 8192)
    """

    def __init__(self) -> None:
        self._places: dict[tuple[int, torch.device], Tensor] = {}

    def __call__(self, value: Tensor) -> Tensor:
        """The tensor itself if it is small, else a copy of blocks spread over it."""
        count = value.numel()
        if count <= PART:
            return value
        rest = count % BLOCK
        blocks = (value.reshape(-1)[:-rest] if rest else value).reshape(-1, BLOCK)
        return blocks.index_select(0, self._at(len(blocks), value.device))

    def copy(self, value: Tensor) -> Tensor:
        """The same, always as a copy."""
        return value.clone() if value.numel() <= PART else self(value)

    def _at(self, blocks: int, device: torch.device) -> Tensor:
        key = (blocks, device)
        if key not in self._places:
            self._places[key] = torch.tensor(_spread(blocks, PART // BLOCK), device=device)
        return self._places[key]


def _spread(total: int, count: int) -> list[int]:
    """One place in each of ``count`` equal stretches; golden steps keep rows of any width from resonating."""
    return [int((at + at * _GOLDEN % 1) * total / count) for at in range(count)]
