"""Cheap instruments beside layers and tensors: passes, leaks, gradient noise, batch norm statistics."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from torch import Tensor, nn

from babysit.watching.leaks import find_leaking_columns
from babysit.watching.noise import NoiseProbe, ScalarSink
from babysit.watching.norms import NormProbe
from babysit.watching.passes import Passes

_LEAK_SEARCHES = 3
"""Number of sampled batches in which the label is searched among the inputs: columns do not change."""


class Instruments:
    """The instruments that the watcher calls at the steps it samples.

    Args:
        model: the module that the loop calls.
        guard: calls a function and swallows what it raises.
    """

    def __init__(self, model: nn.Module, guard: Callable[..., None]) -> None:
        self.passes = Passes(model, guard)
        self.noise = NoiseProbe()
        self.norms = NormProbe(model)
        self._leak_searches = 0

    def open(self) -> None:
        """Starts a sampled step."""
        self.noise.forget()
        self.norms.open()

    def measure(
        self, scalars: ScalarSink, given: Tensor | None, judged: tuple[Tensor, Tensor] | None
    ) -> None:
        """Measures the forward pass of a sampled step.

        Args:
            scalars: where the numbers are added.
            given: the model's input.
            judged: predictions and targets, as the criterion received them.
        """
        self.norms.measure(scalars)
        if given is not None and judged is not None and self._leak_searches < _LEAK_SEARCHES:
            self._leak_searches += 1
            columns = find_leaking_columns(given, *judged)
            if columns is not None:
                scalars.add(("leaks",), [columns.float()])

    def remember(self, values: Iterable[Tensor]) -> None:
        """Keeps a part of the gradients after the optimizer step, for the next step."""
        self.noise.remember(values)
