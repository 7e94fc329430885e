"""Events that an engine reports to the search: an epoch of a trial, a restart, the end of a trial."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from babysit.records import Reading, Result, Run, State, Trial
from babysit.training.trainer import EpochReport
from babysit.watching.observer import MemberSample


@dataclass(frozen=True, slots=True)
class EpochDone:
    """The end of one epoch of one trial.

    Attributes:
        trial: the trial.
        reading: its reading.
        steps: the epoch's steps, int32.
        costs: the cost of each, float32.
        looks: the samples of the epoch.
        is_touched: the user has changed its learning rate.
    """

    trial: Trial
    reading: Reading
    steps: np.ndarray
    costs: np.ndarray
    looks: tuple[MemberSample, ...] = ()
    is_touched: bool = False


@dataclass(frozen=True, slots=True)
class Restarted:
    """The restart of a trial that was lost with its machine; its earlier events are void.

    Attributes:
        trial: the trial.
    """

    trial: Trial


@dataclass(frozen=True, slots=True)
class TrialDone:
    """The end of a trial.

    Attributes:
        result: the trial and its run.
        steps, costs: of the last, unfinished epoch of a trial that exploded or that the user stopped; else
            empty.
        looks: the samples of that epoch.
    """

    result: Result
    steps: np.ndarray
    costs: np.ndarray
    looks: tuple[MemberSample, ...] = ()

    @property
    def trial(self) -> Trial:
        """The trial."""
        return self.result.trial


Looks = Mapping[int, tuple[MemberSample, ...]]
"""The samples of an observer, by member."""

Event = EpochDone | Restarted | TrialDone

NOTHING = (np.empty(0, np.int32), np.empty(0, np.float32))


def failed(trial: Trial, message: str) -> TrialDone:
    """Makes the end of a trial that could not be trained, with the reason."""
    return TrialDone(Result(trial, Run(State.FAILED, message=message)), *NOTHING)


def stopped(trial: Trial) -> TrialDone:
    """Makes the end of a trial that had not started when the time was up."""
    return TrialDone(Result(trial, Run(State.STOPPED)), *NOTHING)


def with_stop_message(run: Run) -> Run:
    """Returns the run, with a message if the user stopped it.

    Example:
        >>> with_stop_message(Run(State.STOPPED, steps=120)).message
        'stopped by user at step 120'
    """
    stopped = run.state is State.STOPPED
    return replace(run, message=f"stopped by user at step {run.steps}") if stopped else run


def epoch_events(
    report: EpochReport, trials: Sequence[Trial], looks: Looks, runs: Sequence[Run]
) -> Iterator[EpochDone]:
    """Yields the events of an epoch of a population; trials and runs are in the trainer's numbering."""
    for member, reading in report.readings.items():
        seen, is_touched = looks.get(member, ()), runs[member].is_touched
        yield EpochDone(trials[member], reading, *series(report, member), seen, is_touched)


def samples_until_explosion(report: EpochReport, member: int, looks: Looks) -> tuple[MemberSample, ...]:
    """Returns the samples of a member up to its explosion, after which it may have trained a few steps."""
    last = report.exploded[member].step
    return tuple(look for look in looks.get(member, ()) if look.sample.step <= last)


def series(report: EpochReport, member: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns the steps of an epoch and a member's cost at each; fewer for one that exploded in it."""
    costs = report.costs[member]
    return np.arange(report.first_step, report.first_step + len(costs), dtype=np.int32), costs
