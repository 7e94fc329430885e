"""A hook that stays with its own model: a copy or a pickle of that model carries one that does nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def nothing(*_: Any) -> None:
    """What a copied hook does."""


class Hook:
    """A hook on a module.

    People copy the model in the middle of training (the best weights, a moving average) or save it whole. A
    closure cannot be pickled, and a copied hook would report another model's batches.

    Args:
        function: what the hook calls.

    Example:
        >>> import copy
        >>> copy.deepcopy(Hook(print)) is nothing
        True
    """

    __slots__ = ("function",)

    def __init__(self, function: Callable[..., None]) -> None:
        self.function = function

    def __call__(self, *given: Any) -> None:
        self.function(*given)

    def __deepcopy__(self, _: Any) -> Callable[..., None]:
        return nothing

    def __reduce__(self) -> str | tuple[Any, ...]:
        return _nothing, ()


def _nothing() -> Callable[..., None]:
    return nothing
