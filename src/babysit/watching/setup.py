"""What is so before the first step: which parameters train, and which of them the optimizers hold."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from torch import nn

from babysit.watching.capture import MOODY, is_compiled
from babysit.watching.sample import Setup


def set_up(model: nn.Module, optimizers: Sequence[Any]) -> Setup:
    """What is so before the first step.

    Args:
        model: the module.
        optimizers: those that train it.

    Example:
        >>> import torch
        >>> model = nn.Linear(2, 1)
        >>> set_up(model, [torch.optim.SGD([model.weight], lr=0.1)]).left_out
        ('bias',)
    """
    groups = [group for optimizer in optimizers for group in optimizer.param_groups]
    held = {id(value) for group in groups for value in group["params"]}
    trainable = {name: id(value) for name, value in model.named_parameters() if value.requires_grad}
    return Setup(
        optimizers=tuple(type(optimizer).__name__ for optimizer in optimizers),
        stepped=frozenset(held.intersection(trainable.values())),
        trainable=tuple(trainable),
        left_out=tuple(name for name, value in trainable.items() if value not in held),
        foreign=len(held - {id(value) for value in model.parameters()}),
        moody=tuple(name for name, part in model.named_modules() if _is_moody(part)),
        lookups=tuple(_lookups(model)),
        maximize=any(group.get("maximize", False) for group in groups),
        compiled=any(is_compiled(part) for part in model.modules()),
    )


def _lookups(model: nn.Module) -> Iterable[str]:
    tables = {
        id(part.weight) for part in model.modules() if isinstance(part, (nn.Embedding, nn.EmbeddingBag))
    }
    return (name for name, value in model.named_parameters() if id(value) in tables)


def _is_moody(part: nn.Module) -> bool:
    """A layer of two modes right inside a part that trains; in a frozen part eval mode is what one wants."""
    layers = [child for child in part.children() if isinstance(child, MOODY)]
    return bool(layers) and any(value.requires_grad for value in part.parameters())
