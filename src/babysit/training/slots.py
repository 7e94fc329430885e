"""Everything that a population knows of its members, as tensors with a leading axis of slots.

Members come and go at epoch boundaries and explosions. A member that leaves costs one copy: the last member
moves into its slot, and nobody else is touched. A member that comes is written behind the last.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from torch import Tensor


class Slots:
    """Named tensors [capacity, ...] of which the first ``size`` slots are in use.

    Args:
        tensors: name -> [P, ...]; used as they are, not copied.

    Attributes:
        size: slots in use.

    Example:
        >>> import torch
        >>> slots = Slots({"rate": torch.tensor([0.1, 0.2, 0.3, 0.4])})
        >>> slots.release([1])
        [0, 3, 2]
        >>> slots["rate"].tolist()
        [0.1..., 0.4..., 0.3...]
    """

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        self._storage = dict(tensors)
        self.size = next(iter(self._storage.values())).shape[0]

    def __getitem__(self, name: str) -> Tensor:
        """A view of the slots in use; valid until members come or go."""
        return self._storage[name][: self.size]

    def __iter__(self) -> Iterator[str]:
        return iter(self._storage)

    def add(self, tensors: Mapping[str, Tensor]) -> None:
        """Adds tensors [size, ...] under new names; only while no slot was ever released."""
        self._storage |= tensors

    def under(self, prefix: str) -> dict[str, Tensor]:
        """The views of all names that begin with ``prefix``, by the rest of their name."""
        return {name.removeprefix(prefix): self[name] for name in self if name.startswith(prefix)}

    def release(self, leaving: Sequence[int]) -> list[int]:
        """Frees slots; the last members move into the holes.

        Returns:
            For each slot still in use, the slot its content was in before.
        """
        gone, size = set(leaving), self.size - len(set(leaving))
        holes = [slot for slot in range(size) if slot in gone]
        movers = [slot for slot in range(size, self.size) if slot not in gone]
        for value in self._storage.values():
            value[holes] = value[movers]
        self.size = size
        moved = dict(zip(holes, movers, strict=True))
        return [moved.get(slot, slot) for slot in range(size)]

    def admit(self, newcomers: Slots) -> None:
        """Appends another population's members, in free slots as far as there are any."""
        total = self.size + newcomers.size
        for name, value in self._storage.items():
            self._storage[name] = value = _grown(value, total)
            value[self.size : total] = newcomers[name]
        self.size = total

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Overwrites the slots in use by tensors [n, ...] of the same names, n at most the capacity."""
        self.size = next(tensors[name] for name in self if name in tensors).shape[0]
        for name in self:
            if name in tensors:
                self[name].copy_(tensors[name])


def _grown(value: Tensor, slots: int) -> Tensor:
    if value.shape[0] >= slots:
        return value
    larger = value.new_empty(slots, *value.shape[1:])
    larger[: value.shape[0]] = value
    return larger
