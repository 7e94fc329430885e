"""Forward pass of a population: its signature, and the ways "vmap" and "serial"."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from babysit.seeding import preserved_random_state
from babysit.training.gradient_tape import GradientTape
from babysit.training.population import Population, Tensors


class Forward(Protocol):
    """One pass with outputs [P, B, ...], in the template's mode; linear layers may add to the tape."""

    def __call__(
        self, parameters: Tensors, buffers: Tensors, inputs: Tensor, tape: GradientTape | None = None, /
    ) -> Tensor:
        """Computes the outputs of all members from the same ``inputs`` [B, ...]."""


def alone(template: nn.Module, tensors: Mapping[str, Tensor], x: Tensor) -> Tensor:
    """Computes the outputs of one member."""
    output = functional_call(template, dict(tensors), (x,))
    if not isinstance(output, Tensor):
        raise TypeError(f"the model returned {type(output).__name__}, not one tensor")
    return output


def mapped(template: nn.Module) -> Forward:
    """Builds the pass that maps ``vmap`` over the stacked parameters and buffers."""
    over_members = vmap(
        lambda parameters, buffers, x: alone(template, {**parameters, **buffers}, x), in_dims=(0, 0, None)
    )

    def forward(
        parameters: Tensors, buffers: Tensors, inputs: Tensor, tape: GradientTape | None = None
    ) -> Tensor:
        return over_members(parameters, buffers, inputs)

    return forward


def serial(population: Population) -> Forward:
    """Builds the pass that runs one member after the other, each with a random stream seeded by its key."""

    def forward(
        parameters: Tensors, buffers: Tensors, inputs: Tensor, tape: GradientTape | None = None
    ) -> Tensor:
        outputs = []
        size = len(next(iter(parameters.values())))  # an evaluation may measure only some of the members
        with preserved_random_state():
            for member, key in enumerate(population.keys.tolist()[:size]):
                torch.manual_seed(key)
                # Views of the stacked buffers: an in-place write of the model changes the population.
                own = {name: value[member] for name, value in {**parameters, **buffers}.items()}
                outputs.append(alone(population.template, own, inputs))
        return torch.stack(outputs)

    return forward


@contextmanager
def mode(template: nn.Module, training: bool) -> Iterator[None]:
    """Sets training or evaluation mode inside, and restores the mode of every layer afterwards."""
    before = [(module, module.training) for module in template.modules()]
    template.train(training)
    try:
        yield
    finally:
        for module, was_training in before:
            module.training = was_training
