"""A model of one's own that computes what the members of a population compute, with hooks in it.

The population's own template stays without hooks. One pass under ``vmap`` serves all members; what vmap
refuses is looked at member by member. The statistics are those of the live watch, computed inside.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Hashable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from babysit.seeding import preserved_random_state
from babysit.watching.capture import Capture, Guard
from babysit.watching.measuring import Scalars

Numbers = dict[Hashable, list[Tensor]]


class Seen(NamedTuple):
    """What one pass showed, each tensor with a leading axis of members.

    Attributes:
        numbers: scalars by name, [P] each.
        sizes: of how many numbers of a member those under a name were made.
        active: which units of a layer gave anything above zero, [P, units].
        kept: the layers' outputs, [P, B, ...]; empty unless they are wanted.
    """

    numbers: Numbers
    sizes: dict[Hashable, int]
    active: dict[str, Tensor]
    kept: dict[str, Tensor]


class _Collected(Scalars):
    """Scalars that stay where they are: inside ``vmap`` nothing can be read."""

    def __init__(self) -> None:
        super().__init__()
        self.values: Numbers = {}

    def add(self, name: Hashable, values: list[Tensor], size: int = 0) -> None:
        """Puts scalars under a name."""
        self.values[name], self.sizes[name] = values, size

    def later(self, name: Hashable, compute: Callable[[], list[Tensor]], size: int = 0) -> None:
        """Computes at once: here many are looked at in one pass."""
        self.add(name, compute(), size)


class Twin:
    """The model that is looked at in the place of the members.

    Args:
        template: the population's; copied.
        guard: swallows what goes wrong in a hook.
        keep: whether the layers' outputs are wanted too.

    Example:
        >>> twin = Twin(nn.Sequential(nn.Linear(3, 2), nn.ReLU()), Guard())
        >>> weights = {"0.weight": torch.ones(5, 2, 3), "0.bias": torch.zeros(5, 2)}
        >>> seen = twin.look(weights, torch.ones(4, 3), training=True)
        >>> seen.numbers["layer", "1"][0].tolist(), seen.active["1"].shape
        ([24.0, 24.0, 24.0, 24.0, 24.0], torch.Size([5, 2]))
    """

    def __init__(self, template: nn.Module, guard: Guard, *, keep: bool = False) -> None:
        self.model, self.keep = copy.deepcopy(template), keep
        self.capture = Capture(self.model, None, guard, lambda: None)
        self.capture.arm()
        self._together = True
        self._sizes: dict[Hashable, int] = {}

    def look(self, tensors: dict[str, Tensor], x: Tensor, *, training: bool) -> Seen:
        """One pass of all members.

        Args:
            tensors: parameters and buffers, [P, ...]; buffers may be written, so give copies.
            x: inputs, [B, ...], the same for all.
            training: the mode of the pass.
        """
        self.model.train(training)
        try:
            with preserved_random_state():
                return self._mapped(tensors, x) or self._one_by_one(tensors, x)
        finally:
            self.capture.forget()

    def _mapped(self, tensors: dict[str, Tensor], x: Tensor) -> Seen | None:
        if self._together:
            try:
                numbers, active, kept = vmap(self._one, in_dims=(0, None))(tensors, x)
                return Seen(numbers, self._sizes, active, kept)
            except Exception:  # a model of the user's may raise anything under vmap
                self._together = False
        return None

    def _one_by_one(self, tensors: dict[str, Tensor], x: Tensor) -> Seen:
        count = len(next(iter(tensors.values())))
        all_seen = [
            self._one({name: value[member] for name, value in tensors.items()}, x) for member in range(count)
        ]
        return Seen(
            {
                name: [
                    torch.stack(column) for column in zip(*(seen[0][name] for seen in all_seen), strict=True)
                ]
                for name in all_seen[0][0]
            },
            self._sizes,
            {name: torch.stack([seen[1][name] for seen in all_seen]) for name in all_seen[0][1]},
            {name: torch.stack([seen[2][name] for seen in all_seen]) for name in all_seen[0][2]},
        )

    def _one(
        self, tensors: dict[str, Tensor], x: Tensor
    ) -> tuple[Numbers, dict[str, Tensor], dict[str, Tensor]]:
        self.capture.forget()
        with torch.enable_grad():  # the hooks look only where gradients are on; nothing here asks for one
            functional_call(self.model, tensors, (x,))
        found, kept = _Collected(), dict(self.capture.kept) if self.keep else {}
        active = self.capture.measure(found)
        self._sizes = found.sizes
        return found.values, active, kept
