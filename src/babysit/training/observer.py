"""Who may look at a population while it trains: training knows this protocol, and nothing of who looks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from torch import Tensor, nn

from babysit.training.gradients import Gradient
from babysit.training.population import Tensors


class Moment(NamedTuple):
    """One step of a population: its tensors themselves, so whoever looks must not write.

    Attributes:
        step: from 1.
        members: the trainer's number of the member in each slot.
        template: a model that knows the architecture, in the mode of the step; its values mean nothing.
        parameters, buffers: name -> [P, ...].
        gradients: name -> gradient of the data loss, for every trained parameter.
        x: the inputs of the mini-batch, [B, ...], the same for all members.
        learning_rate: of this step, [P].
    """

    step: int
    members: Sequence[int]
    template: nn.Module
    parameters: Tensors
    buffers: Tensors
    gradients: Mapping[str, Gradient]
    x: Tensor
    learning_rate: Tensor


class Observer(Protocol):
    """Looks at some steps; it never changes what it sees, never draws random numbers, never raises."""

    def wants(self, step: int) -> bool:
        """Whether to be shown this step; asked at every step, so it must cost next to nothing."""
        ...

    def before(self, moment: Moment) -> None:
        """The gradients are known, the weights are still the old ones."""
        ...

    def after(self, moment: Moment) -> None:
        """The weights are the new ones."""
        ...
