"""One forward pass for P members: outputs [P, B, ...] from one shared mini-batch [B, ...].

Three ways, chosen once per model:

- **fused**: every operation of the model, as torch.fx records it, has a form for P members. All members see
  the same mini-batch, so the first linear layer is one matrix product ``X[B, D] @ W[D, P * H]``.
- **vmap**: any other model that ``torch.func.vmap`` can map over stacked parameters and buffers.
- **serial**: what vmap refuses (data-dependent control flow, random layers of its own), member by member.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from babysit.errors import RecipeError
from babysit.seeding import preserved_random_state
from babysit.training.lowering.forward import Forward, mapped, mode, serial
from babysit.training.lowering.graph import compiled, first_line
from babysit.training.lowering.proof import disproof
from babysit.training.lowering.values import NotLoweredError
from babysit.training.population import Population


class Lowering(NamedTuple):
    """The chosen way with the reason for it.

    Attributes:
        kind: "fused", "vmap" or "serial".
        forward: the pass itself.
        reason: why this way, in one line.
    """

    kind: str
    forward: Forward
    reason: str


def lower(population: Population, example: Tensor, way: str | None = None) -> Lowering:
    """Chooses the fastest way that gives each member what it would compute alone.

    The fused form is proven before it is taken: on the example, the first and the last member must compute
    what they compute alone, in training and in evaluation mode. Neither random state nor buffers move.

    Args:
        population: the stacked members.
        example: a small batch of inputs, [B, ...], to try the ways on.
        way: "fused", "vmap" or "serial" to ask for one; None takes the first that is possible.

    Returns:
        The lowering; ``reason`` says in one line why.

    Raises:
        RecipeError: the way asked for is impossible or unknown.

    Example:
        >>> from babysit.training.population import stack
        >>> models = [nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)) for _ in range(5)]
        >>> lowering = lower(stack(models), torch.zeros(7, 3))
        >>> lowering.kind, lowering.reason
        ('fused', 'every layer is known: 2 Linear, 1 ReLU')
    """
    return _first_possible(population, example) if way is None else _asked(population, example, way)


def _first_possible(population: Population, example: Tensor) -> Lowering:
    obstacles = []
    for kind, attempt in WAYS.items():
        try:
            forward, reason = attempt(population, example)
        except NotLoweredError as obstacle:
            obstacles.append(str(obstacle))
        else:
            return Lowering(kind, forward, ", and ".join(obstacles) or reason)
    raise AssertionError("the serial way is always possible")


def _asked(population: Population, example: Tensor, way: str) -> Lowering:
    if way not in WAYS:
        raise RecipeError(f"no way to train is called '{way}'", fix=f"choose one of: {', '.join(WAYS)}")
    try:
        forward, reason = WAYS[way](population, example)
    except NotLoweredError as obstacle:
        others = " or ".join(repr(other) for other in list(WAYS)[list(WAYS).index(way) + 1 :])
        raise RecipeError(
            f"this model cannot train as '{way}': {obstacle}", fix=f"ask for {others}, or for no way at all"
        ) from None
    return Lowering(way, forward, f"as asked: {reason}")


def _fused(population: Population, example: Tensor) -> tuple[Forward, str]:
    if any(_hooks(module) for module in population.template.modules()):
        raise NotLoweredError("the model has hooks")
    try:
        with preserved_random_state():
            with mode(population.template, training=False):
                program = compiled(population, example[:2])
            difference = disproof(population, program, example)
    except NotLoweredError:
        raise
    except Exception as error:  # whatever the model alone raises is raised again when it trains
        raise NotLoweredError(f"its fused form fails: {first_line(error)}") from None
    if difference is not None:
        raise NotLoweredError(difference)
    census = ", ".join(f"{count} {label}" for label, count in Counter(program.labels).items())
    return program, f"every layer is known: {census}"


def _hooks(module: nn.Module) -> bool:
    return any(
        (
            module._forward_hooks,
            module._forward_pre_hooks,
            module._backward_hooks,
            module._backward_pre_hooks,
        )
    )


def _vmap(population: Population, example: Tensor) -> tuple[Forward, str]:
    """Tried on copies, so that no buffer moves."""
    forward = mapped(population.template)
    buffers = {name: value.clone() for name, value in population.buffers.items()}
    try:
        with torch.no_grad(), preserved_random_state():
            for training in (True, False):
                with mode(population.template, training):
                    forward(population.parameters, buffers, example)
    except Exception as error:  # a model of the user's may raise anything; serial training decides then
        raise NotLoweredError(f"vmap refuses it: {first_line(error)}") from None
    return forward, "vmap maps it"


def _serial(population: Population, example: Tensor) -> tuple[Forward, str]:
    return serial(population), "member by member"


WAYS: dict[str, Callable[[Population, Tensor], tuple[Forward, str]]] = {
    "fused": _fused,
    "vmap": _vmap,
    "serial": _serial,
}
"""The ways by name, the fastest first; each raises ``NotLoweredError`` where it is impossible."""
