"""Trials on their way through training: populations that start together and join when they grow thin.

A population of which explosions and pruning have left less than half costs nearly as much Python per step
as a full one. It waits then for another of the same shape and age, and the two go on as one. Only equals in
age join: all members of a population see the same mini-batches, and which ones a trial sees must not depend
on who happened to train when. So no result depends on the number of workers or the size of the populations.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from babysit.errors import InputError
from babysit.recipe.building import Prepared, groups, shared_settings
from babysit.records import Result, Run, State, Trial
from babysit.training.population import signature
from babysit.training.requests import Request
from babysit.training.trainer import Candidate, EpochReport, Trainer
from babysit.tuning.engines.early_stop import NEVER, Ending, Key
from babysit.tuning.engines.events import (
    NOTHING,
    Event,
    Looks,
    TrialDone,
    epoch_events,
    failed,
    looks_until_the_end,
    series,
    stopped,
    told_of_stop,
)
from babysit.tuning.engines.inbox import Inbox, nobody_asks
from babysit.watching.observer import PopulationObserver

Kind = tuple[object, ...]
"""What two populations must share to join: architecture, shared settings, epochs done."""

_NONE: Mapping[Key, str] = {}


class Crew:
    """One population with the trials that its members are.

    Args:
        prepared: the recipe with its data.
        trials: the trials, in the order of the candidates.
        candidates: their models, of one group.
        epochs: how many each trial gets.
        observe: whether layers and updates are looked at.
        ending: what ends trials early.
        inbox: what is asked of trials by hand.
    """

    def __init__(
        self,
        prepared: Prepared,
        trials: Sequence[Trial],
        candidates: Sequence[Candidate],
        epochs: int,
        *,
        inbox: Inbox,
        observe: bool = False,
        ending: Ending = NEVER,
    ) -> None:
        self._prepared, self._trials, self._ending = prepared, list(trials), ending
        self._trainer: Trainer = prepared.search_trainer(candidates, epochs)
        self._observer = PopulationObserver() if observe else None
        self._trainer.observer = self._observer
        self._inbox, self._trainer.requests = inbox, self._asked
        self._architecture = signature(candidates[0].model)
        self._settings = shared_settings(candidates[0].hyperparameters)
        self._full = len(trials)

    @property
    def kind(self) -> Kind:
        """Equal for two crews that may join."""
        trainer = self._trainer
        return (self._architecture, self._settings, trainer.epoch, trainer.plan.epochs)

    @property
    def age(self) -> int:
        """Epochs done."""
        return self._trainer.epoch

    @property
    def is_running(self) -> bool:
        """True until all its trials are done."""
        return bool(self._trainer.alive) and self._trainer.epoch < self._trainer.plan.epochs

    @property
    def is_thin(self) -> bool:
        """True when less than half of the members it began with are left."""
        return 2 * len(self._trainer.alive) < self._full

    def join(self, other: Crew) -> None:
        """Takes in the members of another crew of the same kind, which is not to be used any more."""
        self._trainer.absorb(other._trainer)
        self._trials += other._trials

    def epoch(self) -> list[Event]:
        """Trains one epoch and tells of it; every trial that ends in it gets its ``TrialDone``."""
        try:
            report = next(self._prepared.reports(self._trainer))
        except InputError as error:
            broken, self._trainer.alive = self._trainer.alive, []
            return [failed(self._trials[member], str(error)) for member in broken]
        looks = {} if self._observer is None else self._observer.take()
        runs = self._trainer.runs()
        ended = [] if self.is_running else self._trainer.alive
        events: list[Event] = [
            *epoch_events(report, self._trials, looks, runs),
            *(self._exploded(report, member, runs[member], looks) for member in report.exploded),
            *(self._stopped(report, member, runs[member], looks) for member in report.stopped),
            *(TrialDone(Result(self._trials[member], runs[member]), *NOTHING) for member in ended),
        ]
        if not self.is_running:
            return events
        content = [member for member in self._trainer.alive if self._ending.is_satisfied(runs[member])]
        return events + self._leave(content, State.COMPLETE)

    def prune(self, reasons: Mapping[Key, str]) -> list[Event]:
        """Ends those members whose trials have a reason to be pruned."""
        leaving = [member for member in self._trainer.alive if self._trials[member].key in reasons]
        return self._leave(leaving, State.PRUNED, reasons)

    def stop(self) -> list[Event]:
        """Ends all members half-way."""
        return self._leave(list(self._trainer.alive), State.STOPPED)

    def _leave(self, members: Sequence[int], state: State, reasons: Mapping[Key, str] = _NONE) -> list[Event]:
        if not members:
            return []
        self._trainer.drop(members, state)
        runs, trials = self._trainer.runs(), self._trials
        ended = {
            member: replace(runs[member], message=reasons.get(trials[member].key, "")) for member in members
        }
        return [TrialDone(Result(trials[member], run), *NOTHING) for member, run in ended.items()]

    def _exploded(self, report: EpochReport, member: int, run: Run, looks: Looks) -> TrialDone:
        seen = looks_until_the_end(report, member, looks)
        return TrialDone(Result(self._trials[member], run), *series(report, member), seen)

    def _stopped(self, report: EpochReport, member: int, run: Run, looks: Looks) -> TrialDone:
        seen = looks.get(member, ())
        return TrialDone(Result(self._trials[member], told_of_stop(run)), *series(report, member), seen)

    def _asked(self, alive: Sequence[int]) -> Sequence[Request]:
        """What is asked of the members that train."""
        if self._inbox.is_empty:
            return ()
        return self._inbox.requests({self._trials[one].key: [one] for one in alive})


class Crews:
    """All crews of one worker.

    Args:
        prepared: the recipe with its data.
        epochs: how many each trial gets.
        observe: whether layers and updates are looked at.
        ending: what ends trials early; at each of its rungs all crews pause.
        inbox: what is asked of trials by hand; default nothing.
    """

    def __init__(
        self,
        prepared: Prepared,
        epochs: int,
        *,
        observe: bool = False,
        ending: Ending = NEVER,
        inbox: Inbox | None = None,
    ) -> None:
        self._prepared, self._epochs, self._observe, self._ending = prepared, epochs, observe, ending
        self._inbox = Inbox(nobody_asks) if inbox is None else inbox
        self._waiting: dict[Kind, Crew] = {}
        self._paused: list[Crew] = []
        self._pauses = iter((*ending.rungs, epochs))
        self._until = next(self._pauses)

    def train(self, trials: Sequence[Trial]) -> Iterator[list[Event]]:
        """Trains trials in as few populations as their architectures allow; thin ones may be left waiting.

        They are trained to the first rung, or to the end where there is none. A trial whose model cannot be
        built, or raises in training, ends as failed with the reason; the others train on.

        Yields:
            What one epoch of one population brought.
        """
        if self._ending.is_over:
            yield [stopped(trial) for trial in trials]
            return
        built: list[tuple[Trial, Candidate]] = []
        for trial in trials:
            try:
                built.append((trial, self._prepared.candidate(trial.hyperparameters, ("trial", *trial.key))))
            except InputError as error:
                yield [failed(trial, str(error))]
        for indices in groups([candidate for _, candidate in built]):
            members, candidates = zip(*(built[index] for index in indices), strict=True)
            crew = Crew(
                self._prepared,
                members,
                candidates,
                self._epochs,
                inbox=self._inbox,
                observe=self._observe,
                ending=self._ending,
            )
            yield from self._run(crew)

    def finish(self) -> Iterator[list[Event]]:
        """Trains to the next rung, or to their end, those that still wait; nobody else will come."""
        while self._waiting:
            _, crew = self._waiting.popitem()
            while self._has_epochs(crew):
                yield self._epoch(crew)
            self._pause(crew)

    def go_on(self, reasons: Mapping[Key, str]) -> Iterator[list[Event]]:
        """Ends the trials that have a reason to be pruned, and trains the others to the next rung."""
        self._until = next(self._pauses)
        paused, self._paused = self._paused, []
        for crew in paused:
            yield crew.prune(reasons)
            if self._ending.is_over:
                yield crew.stop()
        for crew in paused:
            yield from self._run(crew)
        yield from self.finish()

    def adopt(self, others: Crews) -> None:
        """Takes in those that wait at the same rung elsewhere; the others are not to be used any more."""
        self._paused += others._paused

    def _run(self, crew: Crew) -> Iterator[list[Event]]:
        while self._has_epochs(crew):
            while crew.is_thin:
                mate = self._waiting.pop(crew.kind, None)
                if mate is None:
                    self._waiting[crew.kind] = crew
                    return
                crew.join(mate)
            yield self._epoch(crew)
        self._pause(crew)

    def _has_epochs(self, crew: Crew) -> bool:
        """True while a crew has something to train before the next rung."""
        return crew.is_running and crew.age < self._until

    def _pause(self, crew: Crew) -> None:
        if crew.is_running:
            self._paused.append(crew)

    def _epoch(self, crew: Crew) -> list[Event]:
        events = crew.epoch()
        return events + crew.stop() if self._ending.is_over else events
