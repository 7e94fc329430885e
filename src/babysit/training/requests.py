"""What may be asked of the members of a population while they train; training knows nothing of who asks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from babysit.records import Touch


class Request(NamedTuple):
    """Something to be done to one member between two steps.

    Attributes:
        member: the trainer's number of it.
        touch: what is to be done; its step is not known yet, and 0.
        done: told once it is done, with the steps that the member had made by then.
    """

    member: int
    touch: Touch
    done: Callable[[int], None]


Requests = Callable[[Sequence[int]], Sequence[Request]]
"""Asked now and then with the members that train: what is to be done to them, which is then done at once."""


def no_requests(_: Sequence[int]) -> Sequence[Request]:
    """Nobody asks for anything."""
    return ()
