"""Sampled steps whose numbers are still on the device, and their reading, many at a time.

Reading is a transfer and some hundred small operations of Python. Each costs several times as much when it
comes alone, between two training steps, as in a row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from babysit.watching.measuring import Scalars, read_together
from babysit.watching.noise import NoiseStat
from babysit.watching.norms import norm_stat
from babysit.watching.sample import Sample, TargetStat, layer_stat, output_stat, tensor_stat


@dataclass(slots=True)
class PendingSample:
    """A sampled step whose numbers have not been read yet.

    Attributes:
        step: the step, counted from 1.
        stepped, rates, training, stale: as in a :class:`Sample`. A "stale" among the scalars decides where
            this one is not False.
        scalars: what was computed on the device.
        dims: number of dimensions of the tensors among them, by name.
        examples: number of examples in the batch.
    """

    step: int
    stepped: bool
    rates: tuple[float, ...]
    training: bool | None
    stale: bool | None
    scalars: Scalars
    dims: Mapping[str, int]
    examples: int

    def sample(self, numbers: Mapping[Any, list[float]]) -> Sample:
        """Makes the sample.

        Args:
            numbers: what was read of the scalars.
        """
        sizes = self.scalars.sizes
        stale = self.stale
        if ("stale",) in numbers:
            stale = True if numbers[("stale",)][0] else None
        targets = None
        if ("moments",) in numbers:
            targets = TargetStat((), *numbers[("moments",)])
        elif ("classes",) in numbers:
            targets = TargetStat(tuple(numbers[("classes",)]))
        leaks = numbers.get(("leaks",))
        return Sample(
            step=self.step,
            stepped=self.stepped,
            rates=self.rates,
            training=self.training,
            stale=stale,
            layers={key[1]: layer_stat(sizes[key], *numbers[key]) for key in numbers if key[0] == "layer"},
            tensors={
                key[1]: tensor_stat(numbers[key], sizes[key], self.dims[key[1]])
                for key in numbers
                if key[0] == "tensor"
            },
            output=output_stat(numbers.get(("output",)), sizes.get(("output",), 0), self.examples),
            targets=targets,
            noise=NoiseStat(*numbers[("noise",)]) if ("noise",) in numbers else None,
            norms={key[1]: norm_stat(*numbers[key]) for key in numbers if key[0] == "norm"},
            leaking_columns=None if leaks is None else tuple(at for at, flag in enumerate(leaks) if flag),
        )


def read_samples(pending: Sequence[PendingSample]) -> list[Sample]:
    """Reads several samples with one transfer.

    Args:
        pending: oldest first.
    """
    read = read_together([each.scalars for each in pending])
    return [each.sample(numbers) for each, numbers in zip(pending, read, strict=True)]
