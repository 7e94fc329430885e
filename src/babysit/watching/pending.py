"""What a sampled step left behind, before it is read: samples are made of it many at a time.

Reading is a transfer and some hundred small operations of Python, which cost several times as much when each
comes alone, between two training steps, as in a row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from babysit.watching.instruments import noise_in, norms_in, telling_in
from babysit.watching.measuring import Scalars, read_together
from babysit.watching.sample import Sample, TargetStat, TensorStat, layer_stat, output_stat


@dataclass(slots=True)
class Taken:
    """One sampled step.

    Attributes:
        step: the step, counted from 1.
        stepped, rates, training, leftover: as in a :class:`Sample`; a leftover among the scalars decides
            where this one is not False.
        scalars: what was computed on the device.
        dims: dimensions of the tensors among them, by name.
        examples: in the batch.
    """

    step: int
    stepped: bool
    rates: tuple[float, ...]
    training: bool | None
    leftover: bool | None
    scalars: Scalars
    dims: Mapping[str, int]
    examples: int

    def sample(self, numbers: Mapping[Any, list[float]]) -> Sample:
        """The sample.

        Args:
            numbers: the scalars, read.
        """
        sizes = self.scalars.sizes
        return Sample(
            step=self.step,
            stepped=self.stepped,
            rates=self.rates,
            training=self.training,
            leftover=self._leftover(numbers.get(("leftover",))),
            layers={key[1]: layer_stat(sizes[key], *numbers[key]) for key in numbers if key[0] == "layer"},
            tensors={key[1]: self._tensor(key, numbers[key]) for key in numbers if key[0] == "tensor"},
            output=output_stat(numbers.get(("output",)), sizes.get(("output",), 0), self.examples),
            targets=_target_stat(numbers),
            noise=noise_in(numbers),
            norms=norms_in(numbers),
            telling=telling_in(numbers),
        )

    def _tensor(self, key: tuple[str, str], norms: list[float]) -> TensorStat:
        weight, gradient, update = norms
        return TensorStat(weight, gradient, update, self.scalars.sizes[key], self.dims[key[1]])

    def _leftover(self, flags: list[float] | None) -> bool | None:
        if flags is None:
            return self.leftover
        return True if flags[0] else None


def samples_of(taken: Sequence[Taken]) -> list[Sample]:
    """All of them, with one transfer.

    Args:
        taken: oldest first.
    """
    read = read_together([each.scalars for each in taken])
    return [each.sample(numbers) for each, numbers in zip(taken, read, strict=True)]


def _target_stat(numbers: Mapping[Any, list[float]]) -> TargetStat | None:
    if ("moments",) in numbers:
        return TargetStat((), *numbers[("moments",)])
    return TargetStat(tuple(numbers[("classes",)])) if ("classes",) in numbers else None
