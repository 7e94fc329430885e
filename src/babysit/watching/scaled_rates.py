"""Learning rates multiplied by hand, in a loop of one's own, whatever schedule it has.

The factor is there during an optimizer's step and at no other time. A scheduler, known or not, sees and sets
the rates that it would have without it, so no schedule undoes the factor and none applies it twice, and what
the loop saves as the optimizer's or the scheduler's state is its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from babysit.watching.capture import Removable


class ScaledRates:
    """Multiplies the learning rate of every parameter group of some optimizers, for the time of their steps.

    Args:
        optimizers: those of the loop.

    Attributes:
        factor: 1 leaves everything as it is.

    Example:
        >>> weight = torch.nn.Parameter(torch.zeros(1))
        >>> optimizer = torch.optim.SGD([weight], lr=0.5)
        >>> scaled = ScaledRates([optimizer])
        >>> scaled.start()
        >>> scaled.factor = 0.1
        >>> weight.grad = torch.ones(1)
        >>> optimizer.step()
        >>> round(weight.item(), 6), optimizer.param_groups[0]["lr"]
        (-0.05, 0.5)
        >>> scaled.stop()
    """

    def __init__(self, optimizers: Sequence[Any]) -> None:
        self.factor = 1.0
        self._optimizers = optimizers
        self._hooks: list[Removable] = []
        self._own: dict[int, list[Any]] = {}

    @property
    def possible(self) -> bool:
        """Whether all of the optimizers have hooks round their steps, as torch's have."""
        return all(hasattr(one, "register_step_pre_hook") for one in self._optimizers)

    def start(self) -> None:
        """Sets the hooks. Whoever reads rates in a hook that is set later sees the ones that count."""
        for optimizer in self._optimizers if self.possible else ():
            self._hooks.append(optimizer.register_step_pre_hook(self._scale))
            self._hooks.append(optimizer.register_step_post_hook(self._restore))

    def stop(self) -> None:
        """Removes the hooks."""
        for hook in self._hooks:
            hook.remove()
        self._hooks = []
        for optimizer in self._optimizers:
            self._restore(optimizer)

    def _scale(self, optimizer: Any, *_: object) -> None:
        if self.factor == 1:
            return
        self._restore(optimizer)  # a step that raised left them scaled
        groups = optimizer.param_groups
        self._own[id(optimizer)] = [_copied(group["lr"]) for group in groups]
        for group in groups:
            _set(group, group["lr"] * self.factor)

    def _restore(self, optimizer: Any, *_: object) -> None:
        for group, rate in zip(optimizer.param_groups, self._own.pop(id(optimizer), ()), strict=False):
            _set(group, rate)


def _copied(rate: Any) -> Any:
    return rate.clone() if isinstance(rate, Tensor) else rate


@torch.no_grad()
def _set(group: dict[str, Any], rate: Any) -> None:
    if isinstance(group["lr"], Tensor):  # in its place: a captured graph reads that memory
        group["lr"].copy_(rate)
    else:
        group["lr"] = rate
