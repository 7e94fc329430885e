"""What an engine tells the search: an epoch of some trials is done, a trial is finished."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from babysit.records import Reading, Result, Run, State, Trial
from babysit.training.trainer import EpochReport
from babysit.watching.observer import Look


@dataclass(frozen=True, slots=True)
class EpochDone:
    """One trial finished one epoch.

    Attributes:
        trial: which.
        reading: what was measured.
        steps: the epoch's steps, int32.
        costs: the cost of each, float32.
        looks: what the observer saw in it.
        is_touched: whether its learning rate was changed by hand so far.
    """

    trial: Trial
    reading: Reading
    steps: np.ndarray
    costs: np.ndarray
    looks: tuple[Look, ...] = ()
    is_touched: bool = False


@dataclass(frozen=True, slots=True)
class BegunAgain:
    """One trial was lost with the machine that trained it, and begins again: nothing told of it counts.

    Attributes:
        trial: which.
    """

    trial: Trial


@dataclass(frozen=True, slots=True)
class TrialDone:
    """One trial will not change any more.

    Attributes:
        result: the trial and its run.
        steps, costs: of a trial that exploded or was stopped by hand, those of its last, unfinished epoch;
            empty otherwise.
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

Event = EpochDone | BegunAgain | TrialDone

NOTHING = (np.empty(0, np.int32), np.empty(0, np.float32))


def failed(trial: Trial, message: str) -> TrialDone:
    """The end of a trial that could not be trained, with the reason."""
    return TrialDone(Result(trial, Run(State.FAILED, message=message)), *NOTHING)


def stopped(trial: Trial) -> TrialDone:
    """The end of a trial that had not begun when the time was up."""
    return TrialDone(Result(trial, Run(State.STOPPED)), *NOTHING)


def told_of_stop(run: Run) -> Run:
    """The same run; one that was stopped by hand says so in its message.

    Example:
        >>> told_of_stop(Run(State.STOPPED, steps=120)).message
        'stopped by user at step 120'
    """
    stopped = run.state is State.STOPPED
    return replace(run, message=f"stopped by user at step {run.steps}") if stopped else run


def epoch_events(
    report: EpochReport, trials: Sequence[Trial], looks: Looks, runs: Sequence[Run]
) -> Iterator[EpochDone]:
    """The events of one epoch of one population; trials and runs are in the trainer's numbering."""
    for member, reading in report.readings.items():
        seen, is_touched = looks.get(member, ()), runs[member].is_touched
        yield EpochDone(trials[member], reading, *series(report, member), seen, is_touched)


def looks_until_the_end(report: EpochReport, member: int, looks: Looks) -> tuple[Look, ...]:
    """What was seen of a member up to its explosion: it may have trained on for a few steps, for nobody."""
    last = report.exploded[member].step
    return tuple(look for look in looks.get(member, ()) if look.sample.step <= last)


def series(report: EpochReport, member: int) -> tuple[np.ndarray, np.ndarray]:
    """The steps of an epoch and a member's cost at each; shorter for one that exploded in it."""
    costs = report.costs[member]
    return np.arange(report.first_step, report.first_step + len(costs), dtype=np.int32), costs
