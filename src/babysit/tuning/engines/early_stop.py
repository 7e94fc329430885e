"""Early stopping: the rules by which an engine ends trials before their last epoch."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

from babysit.records import Run, TrialKey

Prune = Callable[[int], Mapping[TrialKey, str]]
"""Called at a rung, once every trial has come to it or ended; returns the pruned trials with the reasons."""


class EarlyStop(NamedTuple):
    """The rules that end trials early, as they are sent to the workers. Default: none.

    Attributes:
        patience: epochs without a better validation score after which a trial is complete; 0 for never.
        deadline: in seconds since 1970; no epoch starts after it, and unfinished trials are stopped.
        rungs: the epochs, ascending and before the last, at whose end all trials wait for one another and the
            worst are pruned.
    """

    patience: int = 0
    deadline: float = math.inf
    rungs: tuple[int, ...] = ()

    @property
    def is_over(self) -> bool:
        """True once the time is up."""
        return time.time() > self.deadline

    def is_satisfied(self, run: Run) -> bool:
        """Returns True for a run that has waited long enough for a better score.

        Example:
            >>> from babysit.records import Reading, State
            >>> readings = [Reading(e, e, 1.0, a, a, 0.1) for e, a in enumerate([0.5, 0.8, 0.7, 0.8], 1)]
            >>> run = Run(State.RUNNING, tuple(readings))
            >>> EarlyStop(patience=2).is_satisfied(run), EarlyStop(patience=3).is_satisfied(run)
            (True, False)
        """
        best, last = run.best, run.last
        if not self.patience or best is None or last is None:
            return False
        return last.epoch - best.epoch >= self.patience


NEVER = EarlyStop()
"""Every trial trains to its last epoch, unless it explodes."""


def prune_none(_: int) -> Mapping[TrialKey, str]:
    """Prunes no trial."""
    return {}
