"""Proof on the example batch that a fused pass computes the same as each member alone."""

from __future__ import annotations

import random

import numpy as np
import torch
from torch import Tensor

from babysit.training.lowering.forward import Forward, alone, mode
from babysit.training.population import Population, Tensors

_TOLERANCE = 1e-6
_MODES = {True: "training", False: "evaluation"}


def disproof(population: Population, forward: Forward, example: Tensor) -> str | None:
    """Compares the fused pass with members alone; returns the difference in words, or None.

    The first and the last member are compared, in both modes, outputs and buffers, on copies. With double
    precision, rounding neither looks like an error nor hides one.
    """
    ends = torch.tensor([0, population.size - 1], device=population.keys.device)
    parameters = {name: _double(value.detach()[ends]) for name, value in population.parameters.items()}
    x = _double(torch.cat([example[:2]] * 2)[:2])  # batch norm needs two examples or more
    before = _random_state()
    for training, name in _MODES.items():
        buffers = {key: _double(value[ends]) for key, value in population.buffers.items()}
        with mode(population.template, training), torch.no_grad():
            agrees = _agrees(population, forward, parameters, buffers, x)
        if _random_state() != before:  # the traced graph holds one draw as a constant
            return f"it draws random numbers of its own in {name} mode"
        if not agrees:
            return f"its fused form differs from the model alone in {name} mode"
    return None


def _random_state() -> tuple[object, ...]:
    return (torch.random.get_rng_state().numpy().tobytes(), random.getstate(), repr(np.random.get_state()))


def _agrees(
    population: Population, forward: Forward, parameters: Tensors, buffers: Tensors, x: Tensor
) -> bool:
    tensors = {**parameters, **buffers}
    members = [{name: value[index].clone() for name, value in tensors.items()} for index in (0, 1)]
    outputs = torch.stack([alone(population.template, member, x.clone()) for member in members])
    found = forward(parameters, buffers, x.clone())
    return _close(found, outputs) and all(
        _close(value[index], members[index][name]) for name, value in buffers.items() for index in (0, 1)
    )


def _double(tensor: Tensor) -> Tensor:
    return tensor.double() if tensor.is_floating_point() else tensor.clone()


def _close(found: Tensor, expected: Tensor) -> bool:
    """Compares up to rounding, on the scale of the largest finite number."""
    if found.shape != expected.shape or found.dtype != expected.dtype:
        return False
    finite = expected[expected.isfinite()]
    scale = float(finite.abs().max()) if finite.numel() else 0.0
    return torch.allclose(found, expected, rtol=_TOLERANCE, atol=_TOLERANCE * scale, equal_nan=True)
