"""Learning rates multiplied by the user in their own training loop, with any schedule.

The factor applies only during an optimizer's step. A scheduler sees and sets the rates that it would have
without it. So no schedule undoes the factor or applies it twice, and the saved state of the optimizer and the
scheduler does not contain it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from babysit.watching.capture import Removable


class ScaledRates:
    """Factor on the learning rate of every parameter group of some optimizers, during their steps.

    Args:
        optimizers: those of the loop.

    Attributes:
        factor: 1 changes nothing.

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
        """True if all optimizers have hooks before and after their steps, as those of PyTorch."""
        return all(hasattr(one, "register_step_pre_hook") for one in self._optimizers)

    def start(self) -> None:
        """Sets the hooks. A hook that is set later reads the multiplied rates."""
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
        rates = [group["lr"] for group in groups]
        self._own[id(optimizer)] = [rate.clone() if isinstance(rate, Tensor) else rate for rate in rates]
        for group in groups:
            _set(group, group["lr"] * self.factor)

    def _restore(self, optimizer: Any, *_: object) -> None:
        for group, rate in zip(optimizer.param_groups, self._own.pop(id(optimizer), ()), strict=False):
            _set(group, rate)


@torch.no_grad()
def _set(group: dict[str, Any], rate: Any) -> None:
    if isinstance(group["lr"], Tensor):  # in place: a captured graph reads that memory
        group["lr"].copy_(rate)
    else:
        group["lr"] = rate
