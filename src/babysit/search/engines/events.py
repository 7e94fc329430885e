"""What an engine tells the search: an epoch of some trials is done, a trial is finished."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from babysit.records import Reading, Result, Run, State, Trial
from babysit.training.trainer import EpochReport
from babysit.watching.population import Look


@dataclass(frozen=True, slots=True)
class EpochDone:
    """One trial finished one epoch.

    Attributes:
        trial: which.
        reading: what was measured.
        steps: the epoch's steps, int32.
        costs: the cost of each, float32.
        looks: what the observer saw in it.
    """

    trial: Trial
    reading: Reading
    steps: np.ndarray
    costs: np.ndarray
    looks: tuple[Look, ...] = ()


@dataclass(frozen=True, slots=True)
class TrialDone:
    """One trial will not change any more.

    Attributes:
        result: the trial and its run.
        steps, costs: of an exploded trial, those of its last, unfinished epoch; empty otherwise.
        looks: what the observer saw in that epoch.
    """

    result: Result
    steps: np.ndarray
    costs: np.ndarray
    looks: tuple[Look, ...] = ()

    @property
    def trial(self) -> Trial:
        """Which trial."""
        return self.result.trial


Looks = Mapping[int, tuple[Look, ...]]
"""What an observer saw, by member."""

Event = EpochDone | TrialDone

NOTHING = (np.empty(0, np.int32), np.empty(0, np.float32))


def failed(trial: Trial, message: str) -> TrialDone:
    """The end of a trial that could not be trained, with the reason."""
    return TrialDone(Result(trial, Run(State.FAILED, message=message)), *NOTHING)


def stopped(trial: Trial) -> TrialDone:
    """The end of a trial that had not begun when the time was up."""
    return TrialDone(Result(trial, Run(State.STOPPED)), *NOTHING)


def epoch_events(report: EpochReport, trials: Sequence[Trial], looks: Looks) -> Iterator[EpochDone]:
    """The events of one epoch of one population; ``trials`` are its members' in the trainer's numbering."""
    for member, reading in report.readings.items():
        yield EpochDone(trials[member], reading, *series(report, member), looks.get(member, ()))


def looks_until_the_end(report: EpochReport, member: int, looks: Looks) -> tuple[Look, ...]:
    """What was seen of a member up to its explosion: it may have trained on for a few steps, for nobody."""
    last = report.exploded[member].step
    return tuple(look for look in looks.get(member, ()) if look.sample.step <= last)


def series(report: EpochReport, member: int) -> tuple[np.ndarray, np.ndarray]:
    """The steps of an epoch and a member's cost at each; shorter for one that exploded in it."""
    costs = report.costs[member]
    return np.arange(report.first_step, report.first_step + len(costs), dtype=np.int32), costs
