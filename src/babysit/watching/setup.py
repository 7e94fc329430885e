"""The setup of a run: which parameters train, and which of them the optimizers hold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import nn

from babysit.watching.capture import MODE_DEPENDENT, is_compiled
from babysit.watching.sample import Setup


def set_up(model: nn.Module, optimizers: Sequence[Any]) -> Setup:
    """Reads the setup of a model and its optimizers before the first step.

    Args:
        model: the module.
        optimizers: those that train it.

    Example:
        >>> import torch
        >>> model = nn.Linear(2, 1)
        >>> set_up(model, [torch.optim.SGD([model.weight], lr=0.1)]).left_out
        ('bias',)
    """
    tables = [part for part in model.modules() if isinstance(part, (nn.Embedding, nn.EmbeddingBag))]
    lookups = {id(table.weight) for table in tables}
    # A mode-dependent layer counts right inside a part that trains; in a frozen part eval mode is right.
    mode_dependent = [
        name
        for name, part in model.named_modules()
        if any(isinstance(child, MODE_DEPENDENT) for child in part.children())
        and any(value.requires_grad for value in part.parameters())
    ]
    groups = [group for optimizer in optimizers for group in optimizer.param_groups]
    held = {id(value) for group in groups for value in group["params"]}
    trainable = {name: id(value) for name, value in model.named_parameters() if value.requires_grad}
    return Setup(
        optimizers=tuple(type(optimizer).__name__ for optimizer in optimizers),
        stepped=frozenset(held.intersection(trainable.values())),
        trainable=tuple(trainable),
        left_out=tuple(name for name, value in trainable.items() if value not in held),
        foreign=len(held - {id(value) for value in model.parameters()}),
        mode_dependent=tuple(mode_dependent),
        lookups=tuple(name for name, value in model.named_parameters() if id(value) in lookups),
        maximize=any(group.get("maximize", False) for group in groups),
        compiled=any(is_compiled(part) for part in model.modules()),
    )
