"""Protocol of an observer that inspects a population while it trains; training knows no observer by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from torch import Tensor, nn

from babysit.training.gradients import Gradient
from babysit.training.population import Tensors


class Moment(NamedTuple):
    """One step of a population; it holds the tensors themselves, so an observer must not write to them.

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
    """Receiver of selected steps; it is read-only, draws no random numbers and never raises."""

    def wants(self, step: int) -> bool:
        """Tells whether to observe this step; it is called at every step, so it must be cheap."""
        ...

    def before(self, moment: Moment) -> None:
        """Receives the step when the gradients are computed and the weights not yet updated."""
        ...

    def after(self, moment: Moment) -> None:
        """Receives the step after the update of the weights."""
        ...
