"""A shadow model, which computes what the members of a population compute, with hooks in it.

The population's own template stays without hooks. One pass under ``vmap`` serves all members; a model that
vmap refuses is run member by member. The statistics are those of the live watch, computed inside.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Hashable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from babysit.seeding import preserved_random_state
from babysit.watching.capture import Capture, ExceptionGuard
from babysit.watching.measuring import Scalars

Numbers = dict[Hashable, list[Tensor]]


class PopulationPass(NamedTuple):
    """Statistics of one forward pass, each tensor with a leading axis of members.

    Attributes:
        numbers: scalars by name, [P] each.
        sizes: the number of values of a member that the scalars under a name were computed from.
        active: which units of a layer were above zero for any example, [P, units].
        kept: the layers' outputs, [P, B, ...]; empty unless requested.
    """

    numbers: Numbers
    sizes: dict[Hashable, int]
    active: dict[str, Tensor]
    kept: dict[str, Tensor]


class _UnreadScalars(Scalars):
    """Scalars that stay on the device: inside ``vmap`` no number can be read."""

    def __init__(self) -> None:
        super().__init__()
        self.values: Numbers = {}

    def add(self, name: Hashable, values: list[Tensor], size: int = 0) -> None:
        """Stores scalars under a name."""
        self.values[name], self.sizes[name] = values, size

    def later(self, name: Hashable, compute: Callable[[], list[Tensor]], size: int = 0) -> None:
        """Computes scalars at once, for all members in the same pass."""
        self.add(name, compute(), size)


class ShadowModel:
    """The model that is measured in place of the members.

    Args:
        template: the population's; copied.
        guard: swallows what goes wrong in a hook.
        keep: also keep the layers' outputs. Default: False.

    Example:
        >>> shadow = ShadowModel(nn.Sequential(nn.Linear(3, 2), nn.ReLU()), ExceptionGuard())
        >>> weights = {"0.weight": torch.ones(5, 2, 3), "0.bias": torch.zeros(5, 2)}
        >>> observed = shadow.observe(weights, torch.ones(4, 3), training=True)
        >>> observed.numbers["layer", "1"][0].tolist(), observed.active["1"].shape
        ([24.0, 24.0, 24.0, 24.0, 24.0], torch.Size([5, 2]))
    """

    def __init__(self, template: nn.Module, guard: ExceptionGuard, *, keep: bool = False) -> None:
        self.model, self.keep = copy.deepcopy(template), keep
        self.capture = Capture(self.model, None, guard, lambda: None)
        self.capture.arm()
        self._together = True
        self._sizes: dict[Hashable, int] = {}

    def observe(self, tensors: dict[str, Tensor], x: Tensor, *, training: bool) -> PopulationPass:
        """Runs one forward pass of all members.

        Args:
            tensors: parameters and buffers, [P, ...]; buffers may be written, so give copies.
            x: inputs, [B, ...], the same for all.
            training: the mode of the pass.
        """
        self.model.train(training)
        try:
            with preserved_random_state():
                if self._together:
                    try:
                        numbers, active, kept = vmap(self._one, in_dims=(0, None))(tensors, x)
                        return PopulationPass(numbers, self._sizes, active, kept)
                    except Exception:  # a user's model may raise anything under vmap
                        self._together = False
                return self._one_by_one(tensors, x)
        finally:
            self.capture.forget()

    def _one_by_one(self, tensors: dict[str, Tensor], x: Tensor) -> PopulationPass:
        count = len(next(iter(tensors.values())))
        passes = [
            self._one({name: value[member] for name, value in tensors.items()}, x) for member in range(count)
        ]
        first_numbers, first_active, first_kept = passes[0]
        numbers: Numbers = {
            name: [torch.stack(column) for column in zip(*(one[0][name] for one in passes), strict=True)]
            for name in first_numbers
        }
        active = {name: torch.stack([one[1][name] for one in passes]) for name in first_active}
        kept = {name: torch.stack([one[2][name] for one in passes]) for name in first_kept}
        return PopulationPass(numbers, self._sizes, active, kept)

    def _one(
        self, tensors: dict[str, Tensor], x: Tensor
    ) -> tuple[Numbers, dict[str, Tensor], dict[str, Tensor]]:
        """Runs the forward pass of one member; returns its scalars, active units and outputs."""
        self.capture.forget()
        with torch.enable_grad():  # the hooks do nothing without gradients; none is computed here
            functional_call(self.model, tensors, (x,))
        found, kept = _UnreadScalars(), dict(self.capture.kept) if self.keep else {}
        active = self.capture.measure(found)
        self._sizes = found.sizes
        return found.values, active, kept
