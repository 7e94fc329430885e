"""When trials end before their last epoch, as an engine is told."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

from babysit.records import Run

Key = tuple[int, int]
Judge = Callable[[int], Mapping[Key, str]]
"""Asked at a rung, once every trial has come to it or ended: which trials are pruned, and why, in words."""


class Ending(NamedTuple):
    """What ends trials early; by default nothing does. It travels to the workers.

    Attributes:
        patience: a trial whose validation score was not improved for so many epochs is complete; 0 for never.
        deadline: no epoch begins after this moment, in seconds since 1970; what is unfinished is stopped.
        rungs: the epochs, ascending and less than the trials' own number, at whose end all trials wait for
            one another and are judged.
    """

    patience: int = 0
    deadline: float = math.inf
    rungs: tuple[int, ...] = ()

    @property
    def is_over(self) -> bool:
        """True once the time is up."""
        return time.time() > self.deadline

    def is_satisfied(self, run: Run) -> bool:
        """True for a run that has waited long enough for a better score.

        Example:
            >>> from babysit.records import Reading, State
            >>> readings = [Reading(e, e, 1.0, a, a, 0.1) for e, a in enumerate([0.5, 0.8, 0.7, 0.8], 1)]
            >>> run = Run(State.RUNNING, tuple(readings))
            >>> Ending(patience=2).is_satisfied(run), Ending(patience=3).is_satisfied(run)
            (True, False)
        """
        best, last = run.best, run.last
        if not self.patience or best is None or last is None:
            return False
        return last.epoch - best.epoch >= self.patience


NEVER = Ending()
"""Every trial trains to its last epoch, unless it explodes."""


def nobody(_: int) -> Mapping[Key, str]:
    """The judge who prunes nobody."""
    return {}
