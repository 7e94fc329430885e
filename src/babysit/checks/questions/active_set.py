"""The active set of a computation: the sign pattern of the input of every ReLU-like or max operation.

It is recorded below the modules, operation by operation, so that a functional ``relu``, a comparison in the
user's code and the margins of a hinge loss count as well as an ``nn.ReLU``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

_AT_ZERO = {"relu", "leaky_relu", "_prelu_kernel", "rrelu_with_noise", "elu", "abs", "sgn", "sign"}
_FIXED = dict.fromkeys(_AT_ZERO, (0.0,)) | {"hardsigmoid": (-3.0, 3.0), "hardswish": (-3.0, 3.0)}
_GIVEN = {"threshold", "clamp", "clamp_min", "clamp_max", "hardtanh"}  # thresholds are arguments
_SHRINKING = {"hardshrink", "softshrink"}
_LARGER_OF_TWO = {"maximum", "minimum", "fmax", "fmin"}
_EXTREMES = {"amax", "amin", "max", "min"}


class ActiveSet(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch leaves it untyped
    """Recorder of the side of its kinks on which each value of a computation lies.

    Attributes:
        sides: one tensor for each operation with kinks, in the order of the computation.
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
        # The default imports PyTorch's compiler at the first operation, which takes more than a second.
        return False

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Runs one operation, and records the sides of its inputs before it may overwrite them."""
        given = [value for value in args if isinstance(value, Tensor) and value.is_floating_point()]
        name = func.overloadpacket.__name__
        if given and given[0] is args[0]:
            self.sides += _sides(name if name in _FIXED else name.rstrip("_"), args)
        result = func(*args, **(kwargs or {}))
        for value in result if isinstance(result, tuple | list) else (result,):
            if not given or not isinstance(value, Tensor):
                continue
            if not value.is_floating_point():
                self.sides.append(value)  # a comparison, or the indices of maxima
            elif name == "_to_copy" and given[0].dtype == torch.float64 != value.dtype:
                self.narrowed = value.dtype
        return result

    def equals(self, other: ActiveSet) -> bool:
        """Tells whether no kink lies between the two computations."""
        return len(self.sides) == len(other.sides) and all(map(torch.equal, self.sides, other.sides))


def _sides(name: str, args: tuple[Any, ...]) -> Iterator[Tensor]:
    """Yields the side of each input value at every kink of an operation."""
    x = args[0]
    if name in _LARGER_OF_TWO:
        yield x > args[1]
    elif name in _EXTREMES and not (name in ("max", "min") and len(args) > 1):
        # Those along one axis return the indices of their maxima.
        dims = args[1] if len(args) > 1 and args[1] else list(range(x.dim()))
        yield x == (torch.amax if "max" in name else torch.amin)(x, dims, keepdim=True)
    thresholds: Sequence[Any] = _FIXED.get(name, ())
    if name in _GIVEN:
        limits = args[1:2] if name == "threshold" else args[1:3]
        thresholds = [limit for limit in limits if limit is not None] or (-1.0, 1.0)
    elif name in _SHRINKING:
        width = args[1] if len(args) > 1 else 0.5
        thresholds = (-width, width)
    for threshold in thresholds:
        yield x > threshold
