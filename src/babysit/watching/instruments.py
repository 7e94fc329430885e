"""The cheap instruments beside layers and tensors: passes, leaks, gradient noise, batch norm's statistics."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from torch import Tensor, nn

from babysit.watching.leaks import telling_columns
from babysit.watching.noise import NoiseProbe, NoiseStat, Takes
from babysit.watching.norms import NormProbe, NormStat, norm_stat
from babysit.watching.passes import Passes

_LEAK_LOOKS = 3
"""So many sampled batches are searched for the label among the inputs: columns do not change."""


class Instruments:
    """What the watcher calls at the steps it samples.

    Args:
        model: the module that the loop calls.
        guard: calls a function and swallows what it raises.
    """

    def __init__(self, model: nn.Module, guard: Callable[..., None]) -> None:
        self.passes = Passes(model, guard)
        self.noise = NoiseProbe()
        self.norms = NormProbe(model)
        self._looks = 0

    def open(self) -> None:
        """A sampled step begins."""
        self.noise.forget()
        self.norms.open()

    def measure(self, scalars: Takes, given: Tensor | None, judged: tuple[Tensor, Tensor] | None) -> None:
        """Its forward pass is done.

        Args:
            scalars: where numbers go.
            given: the model's input.
            judged: what the criterion was given: predictions and targets.
        """
        self.norms.measure(scalars)
        if given is not None and judged is not None and self._looks < _LEAK_LOOKS:
            self._looks += 1
            columns = telling_columns(given, *judged)
            if columns is not None:
                scalars.add(("telling",), [columns.float()])

    def remember(self, values: Iterable[Tensor]) -> None:
        """Its optimizer step is done: keeps a part of the gradients for the next."""
        self.noise.remember(values)


def norms_in(numbers: Mapping[Any, list[float]]) -> dict[str, NormStat]:
    """The batch norms among what was read."""
    return {key[1]: norm_stat(*values) for key, values in numbers.items() if key[0] == "norm"}


def noise_in(numbers: Mapping[Any, list[float]]) -> NoiseStat | None:
    """The gradient noise among what was read."""
    return NoiseStat(*numbers[("noise",)]) if ("noise",) in numbers else None


def telling_in(numbers: Mapping[Any, list[float]]) -> tuple[int, ...] | None:
    """The input columns that gave the target away; None if it was not looked for."""
    flags = numbers.get(("telling",))
    return None if flags is None else tuple(place for place, flag in enumerate(flags) if flag)
