"""Storage of a population: named tensors with a leading axis of slots, one slot per member.

Members leave when they explode, stop or are pruned: the last member then moves into the free slot, which
copies one row of every tensor. A new member is written behind the last.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from torch import Tensor


class StackedTensors:
    """Named tensors [capacity, ...] of which the first ``size`` slots are in use.

    Args:
        tensors: name -> [P, ...]; used as they are, not copied.

    Attributes:
        size: number of slots in use.

    Example:
        >>> import torch
        >>> tensors = StackedTensors({"rate": torch.tensor([0.1, 0.2, 0.3, 0.4])})
        >>> tensors.release([1])
        [0, 3, 2]
        >>> tensors["rate"].tolist()
        [0.1..., 0.4..., 0.3...]
    """

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        self._storage = dict(tensors)
        self.size = next(iter(self._storage.values())).shape[0]

    def __getitem__(self, name: str) -> Tensor:
        """Returns a view of the slots in use; it is valid until members leave or join."""
        return self._storage[name][: self.size]

    def __iter__(self) -> Iterator[str]:
        return iter(self._storage)

    def add(self, tensors: Mapping[str, Tensor]) -> None:
        """Adds tensors [size, ...] under new names; allowed only before the first release."""
        self._storage |= tensors

    def under(self, prefix: str) -> dict[str, Tensor]:
        """Returns the views of all names that begin with ``prefix``, keyed by the rest of the name."""
        return {name.removeprefix(prefix): self[name] for name in self if name.startswith(prefix)}

    def release(self, leaving: Sequence[int]) -> list[int]:
        """Frees slots; the last members move into them.

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

    def admit(self, newcomers: StackedTensors) -> None:
        """Appends another population's members, and enlarges the capacity where it is too small."""
        total = self.size + newcomers.size
        for name, value in self._storage.items():
            if value.shape[0] < total:
                larger = value.new_empty(total, *value.shape[1:])
                larger[: value.shape[0]] = value
                self._storage[name] = larger
            self._storage[name][self.size : total] = newcomers[name]
        self.size = total

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Overwrites the slots in use by tensors [n, ...] of the same names, n at most the capacity."""
        self.size = next(tensors[name] for name in self if name in tensors).shape[0]
        for name in self:
            if name in tensors:
                self[name].copy_(tensors[name])
