"""Selection of the way in which P members compute outputs [P, B, ...] from one mini-batch [B, ...].

Three ways, chosen once per model:

- **fused**: every operation of the model, as torch.fx records it, has a form for P members. All members get
  the same mini-batch, so the first linear layer is one matrix product ``X[B, D] @ W[D, P * H]``.
- **vmap**: any other model that ``torch.func.vmap`` can map over stacked parameters and buffers.
- **serial**: one member after another, for models that vmap refuses (data-dependent control flow, random
  numbers).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from babysit.errors import RecipeError
from babysit.seeding import preserved_random_state
from babysit.training.lowering.forward import Forward, mapped, mode, serial
from babysit.training.lowering.graph import compiled, first_line
from babysit.training.lowering.primitives import NotLoweredError
from babysit.training.lowering.proof import disproof
from babysit.training.population import Population


class Lowering(NamedTuple):
    """The chosen way, with the reason for it.

    Attributes:
        kind: "fused", "vmap" or "serial".
        forward: the pass itself.
        reason: the reason for this way, in one line.
    """

    kind: str
    forward: Forward
    reason: str


def lower(population: Population, example: Tensor, way: str | None = None) -> Lowering:
    """Chooses the fastest way that gives each member what it would compute alone.

    The fused form is proven before it is chosen: on the example, the first and the last member must compute
    what they compute alone, in training and in evaluation mode. Random state and buffers do not change.

    Args:
        population: the stacked members.
        example: a small batch of inputs, [B, ...], to try the ways on.
        way: "fused", "vmap" or "serial" to request one; None chooses the first that is possible.

    Returns:
        The lowering, with the reason for it.

    Raises:
        RecipeError: the requested way is impossible or unknown.

    Example:
        >>> from torch import nn
        >>> from babysit.training.population import stack
        >>> models = [nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)) for _ in range(5)]
        >>> lowering = lower(stack(models), torch.zeros(7, 3))
        >>> lowering.kind, lowering.reason
        ('fused', 'every layer is known: 2 Linear, 1 ReLU')
    """
    if way is not None and way not in WAYS:
        raise RecipeError(f"no way to train is called '{way}'", fix=f"choose one of: {', '.join(WAYS)}")
    obstacles = []
    for kind in WAYS if way is None else (way,):
        try:
            forward, reason = WAYS[kind](population, example)
        except NotLoweredError as obstacle:
            obstacles.append(str(obstacle))
        else:
            chosen = ", and ".join(obstacles) or reason
            return Lowering(kind, forward, chosen if way is None else f"as asked: {reason}")
    # The serial way is always possible, so only a request fails.
    others = " or ".join(repr(other) for other in list(WAYS)[list(WAYS).index(kind) + 1 :])
    raise RecipeError(
        f"this model cannot train as '{way}': {obstacles[0]}", fix=f"ask for {others}, or for no way at all"
    )


def _fused(population: Population, example: Tensor) -> tuple[Forward, str]:
    for module in population.template.modules():
        forward_hooks = module._forward_hooks or module._forward_pre_hooks
        if forward_hooks or module._backward_hooks or module._backward_pre_hooks:
            raise NotLoweredError("the model has hooks")
    try:
        with preserved_random_state():
            with mode(population.template, training=False):
                program = compiled(population, example[:2])
            difference = disproof(population, program, example)
    except NotLoweredError:
        raise
    except Exception as error:  # an error of the model itself is raised again when it trains
        raise NotLoweredError(f"its fused form fails: {first_line(error)}") from None
    if difference is not None:
        raise NotLoweredError(difference)
    census = ", ".join(f"{count} {label}" for label, count in Counter(program.labels).items())
    return program, f"every layer is known: {census}"


def _vmap(population: Population, example: Tensor) -> tuple[Forward, str]:
    forward = mapped(population.template)
    # A trial on copies, so that no buffer changes.
    buffers = {name: value.clone() for name, value in population.buffers.items()}
    try:
        with torch.no_grad(), preserved_random_state():
            for training in (True, False):
                with mode(population.template, training):
                    forward(population.parameters, buffers, example)
    except Exception as error:  # a user's model may raise anything; serial training decides then
        raise NotLoweredError(f"vmap refuses it: {first_line(error)}") from None
    return forward, "vmap maps it"


WAYS: dict[str, Callable[[Population, Tensor], tuple[Forward, str]]] = {
    "fused": _fused,
    "vmap": _vmap,
    "serial": lambda population, example: (serial(population), "member by member"),
}
"""The ways by name, fastest first; each raises ``NotLoweredError`` if it is impossible."""
