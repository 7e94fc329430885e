"""Hooks that stay with their own model: in a copy or a pickle of it they do nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def nothing(*_: Any) -> None:
    """Ignores its arguments: the body of a copied hook."""


class Hook:
    """A hook on a module.

    Models are copied in the middle of training (the best weights, a moving average) or saved whole. A closure
    cannot be pickled, and a copied hook would report another model's batches.

    Args:
        function: called by the hook.

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
