"""The signature of a forward pass, and the two ways that any model may go."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from babysit.seeding import preserved_random_state
from babysit.training.population import Population, Tensors
from babysit.training.tape import Tape


class Forward(Protocol):
    """One pass: outputs [P, B, ...]; the mode is the template's; linear layers may leave taps on the tape."""

    def __call__(
        self, parameters: Tensors, buffers: Tensors, inputs: Tensor, tape: Tape | None = None, /
    ) -> Tensor:
        """``inputs`` [B, ...] are the same for all members."""


def alone(template: nn.Module, tensors: Mapping[str, Tensor], x: Tensor) -> Tensor:
    """What one member computes."""
    output = functional_call(template, dict(tensors), (x,))
    if not isinstance(output, Tensor):
        raise TypeError(f"the model returned {type(output).__name__}, not one tensor")
    return output


def mapped(template: nn.Module) -> Forward:
    """``vmap`` over the stacked parameters and buffers."""
    over_members = vmap(
        lambda parameters, buffers, x: alone(template, {**parameters, **buffers}, x), in_dims=(0, 0, None)
    )

    def forward(parameters: Tensors, buffers: Tensors, inputs: Tensor, tape: Tape | None = None) -> Tensor:
        return over_members(parameters, buffers, inputs)

    return forward


def serial(population: Population) -> Forward:
    """Member by member, each with a random stream that follows from its key."""

    def forward(parameters: Tensors, buffers: Tensors, inputs: Tensor, tape: Tape | None = None) -> Tensor:
        outputs = []
        size = len(next(iter(parameters.values())))  # an evaluation may ask for some of the members
        with preserved_random_state():
            for member, key in enumerate(population.keys.tolist()[:size]):
                torch.manual_seed(key)
                # Views of the stacked buffers: what the model writes in place lands in the population.
                own = {name: value[member] for name, value in {**parameters, **buffers}.items()}
                outputs.append(alone(population.template, own, inputs))
        return torch.stack(outputs)

    return forward


@contextmanager
def mode(template: nn.Module, training: bool) -> Iterator[None]:
    """Training or evaluation mode inside; afterwards every layer is in the mode that it was in."""
    before = [(module, module.training) for module in template.modules()]
    template.train(training)
    try:
        yield
    finally:
        for module, was_training in before:
            module.training = was_training
