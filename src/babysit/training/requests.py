"""Requests to members of a population while they train; training knows no requester by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from babysit.records import Touch


class MemberRequest(NamedTuple):
    """A change to one member, applied between two steps.

    Attributes:
        member: the trainer's number of it.
        touch: the change; its step is not known yet, and 0.
        done: called after the change, with the number of steps that the member had made by then.
    """

    member: int
    touch: Touch
    done: Callable[[int], None]


Requests = Callable[[Sequence[int]], Sequence[MemberRequest]]
"""Called now and then with the members that train; returns the changes to apply at once."""


def no_requests(_: Sequence[int]) -> Sequence[MemberRequest]:
    """Returns no requests."""
    return ()
