"""Which side of each kink a computation is on: the sign pattern of every ReLU-like or max input.

Watched below the modules, operation by operation, so that a functional ``relu``, a comparison of the user's
own and the margins of a hinge loss are seen as well as an ``nn.ReLU``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

_AT_ZERO = {"relu", "leaky_relu", "_prelu_kernel", "rrelu_with_noise", "elu", "abs", "sgn", "sign"}
_FIXED = dict.fromkeys(_AT_ZERO, (0.0,)) | {"hardsigmoid": (-3.0, 3.0), "hardswish": (-3.0, 3.0)}
_GIVEN = {"threshold", "clamp", "clamp_min", "clamp_max", "hardtanh"}  # their arguments say where
_SHRINKING = {"hardshrink", "softshrink"}
_LARGER_OF_TWO = {"maximum", "minimum", "fmax", "fmin"}
_EXTREMES = {"amax", "amin", "max", "min"}


class ActiveSet(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch leaves it untyped
    """Records, for everything computed inside, on which side of its kinks each value lies.

    Attributes:
        sides: one tensor an operation with kinks, in the order of the computation.
        narrowed: the type that float64 values were cast down to, or None.

    Example:
        >>> with ActiveSet() as above:
        ...     _ = torch.relu(torch.tensor([1e-6, 1.0]))
        >>> with ActiveSet() as below:
        ...     _ = torch.relu(torch.tensor([-1e-6, 1.0]))
        >>> above.sides[0].tolist(), above.equals(below)
        ([True, True], False)
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.sides: list[Tensor] = []
        self.narrowed: torch.dtype | None = None

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        # torch's own answer imports its compiler at the first operation, which takes more than a second.
        return False

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Runs one operation, noting the side of its inputs before it may overwrite them."""
        given = [value for value in args if isinstance(value, Tensor) and value.is_floating_point()]
        name = func.overloadpacket.__name__
        if given and given[0] is args[0]:
            self.sides += _sides(name if name in _FIXED else name.rstrip("_"), args)
        found = func(*args, **(kwargs or {}))
        if given:
            self._note(name, given[0], found if isinstance(found, tuple | list) else (found,))
        return found

    def equals(self, other: ActiveSet) -> bool:
        """True when no kink lies between the two computations."""
        return len(self.sides) == len(other.sides) and all(map(torch.equal, self.sides, other.sides))

    def _note(self, name: str, given: Tensor, found: Sequence[Any]) -> None:
        for value in found:
            if not isinstance(value, Tensor):
                continue
            if not value.is_floating_point():
                self.sides.append(value)  # a comparison, or the places of winners
            elif name == "_to_copy" and given.dtype == torch.float64 != value.dtype:
                self.narrowed = value.dtype


def _sides(name: str, args: tuple[Any, ...]) -> Iterator[Tensor]:
    x = args[0]
    if name in _LARGER_OF_TWO:
        yield x > args[1]
    elif name in _EXTREMES and not (name in ("max", "min") and len(args) > 1):
        # Those along one axis tell the places of their winners themselves.
        dims = args[1] if len(args) > 1 and args[1] else list(range(x.dim()))
        yield x == (torch.amax if "max" in name else torch.amin)(x, dims, keepdim=True)
    for threshold in _thresholds(name, args):
        yield x > threshold


def _thresholds(name: str, args: tuple[Any, ...]) -> Sequence[Any]:
    if name in _GIVEN:
        limits = args[1:2] if name == "threshold" else args[1:3]
        return [limit for limit in limits if limit is not None] or (-1.0, 1.0)
    if name in _SHRINKING:
        width = args[1] if len(args) > 1 else 0.5
        return (-width, width)
    return _FIXED.get(name, ())
