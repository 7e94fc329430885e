"""Populations of trials that start together, and merge when most of their members have ended.

A population of which explosions and pruning have left less than half is undersized: it costs nearly as much
Python per step as a full one. It waits for another of the same shape and age, and the two merge. Only equals
in age merge: all members of a population see the same mini-batches, and those of a trial must not depend on
its neighbours. So no result depends on the number of workers or the size of the populations.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from babysit.errors import InputError
from babysit.recipe.building import Prepared, groups, shared_settings
from babysit.records import Result, State, Trial, TrialKey
from babysit.training.population import signature
from babysit.training.requests import MemberRequest
from babysit.training.trainer import Candidate
from babysit.tuning.engines.early_stop import NEVER, EarlyStop
from babysit.tuning.engines.events import (
    NOTHING,
    Event,
    TrialDone,
    epoch_events,
    failed,
    samples_until_explosion,
    series,
    stopped,
    with_stop_message,
)
from babysit.tuning.engines.inbox import Inbox, ignore_replies
from babysit.watching.observer import PopulationObserver

Kind = tuple[object, ...]
"""Equal for two populations that may merge: architecture, shared settings, epochs done."""

_NONE: Mapping[TrialKey, str] = {}


class TrialPopulation:
    """A population whose members are trials.

    Args:
        prepared: the recipe with its data.
        trials: the trials, in the order of the candidates.
        candidates: their models, of one group.
        epochs: of each trial.
        observe: layers and updates are sampled.
        early_stop: the rules that end trials early.
        inbox: the commands to trials.
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
        early_stop: EarlyStop = NEVER,
    ) -> None:
        self._prepared, self._trials, self._early_stop = prepared, list(trials), early_stop
        self._trainer = prepared.search_trainer(candidates, epochs)
        self._observer = PopulationObserver() if observe else None
        self._trainer.observer = self._observer
        self._trainer.requests = self._requests
        self._inbox = inbox
        self._architecture = signature(candidates[0].model)
        self._settings = shared_settings(candidates[0].hyperparameters)
        self._full = len(trials)

    @property
    def kind(self) -> Kind:
        """Equal for two populations that may merge."""
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
    def is_undersized(self) -> bool:
        """True when less than half of its first members are left."""
        return 2 * len(self._trainer.alive) < self._full

    def absorb(self, other: TrialPopulation) -> None:
        """Takes over the members of another population of the same kind; that one is not used any more."""
        self._trainer.absorb(other._trainer)
        self._trials += other._trials

    def epoch(self) -> list[Event]:
        """Trains one epoch; returns its events, with a ``TrialDone`` for every trial that ends in it."""
        try:
            report = next(self._prepared.reports(self._trainer))
        except InputError as error:
            broken, self._trainer.alive = self._trainer.alive, []
            return [failed(self._trials[member], str(error)) for member in broken]
        looks = {} if self._observer is None else self._observer.take()
        runs = self._trainer.runs()
        ended = [] if self.is_running else self._trainer.alive
        trials = self._trials
        events: list[Event] = [*epoch_events(report, trials, looks, runs)]
        for member in report.exploded:
            samples = samples_until_explosion(report, member, looks)
            result = Result(trials[member], runs[member])
            events.append(TrialDone(result, *series(report, member), samples))
        for member in report.stopped:
            result = Result(trials[member], with_stop_message(runs[member]))
            events.append(TrialDone(result, *series(report, member), looks.get(member, ())))
        events += [TrialDone(Result(trials[member], runs[member]), *NOTHING) for member in ended]
        if not self.is_running:
            return events
        content = [member for member in self._trainer.alive if self._early_stop.is_satisfied(runs[member])]
        return events + self._leave(content, State.COMPLETE)

    def _requests(self, alive: Sequence[int]) -> Sequence[MemberRequest]:
        if self._inbox.is_empty:
            return ()
        return self._inbox.requests({self._trials[one].key: [one] for one in alive})

    def prune(self, reasons: Mapping[TrialKey, str]) -> list[Event]:
        """Prunes the members whose trials have a reason."""
        leaving = [member for member in self._trainer.alive if self._trials[member].key in reasons]
        return self._leave(leaving, State.PRUNED, reasons)

    def stop(self) -> list[Event]:
        """Stops all members."""
        return self._leave(list(self._trainer.alive), State.STOPPED)

    def _leave(
        self, members: Sequence[int], state: State, reasons: Mapping[TrialKey, str] = _NONE
    ) -> list[Event]:
        if not members:
            return []
        self._trainer.drop(members, state)
        runs, trials = self._trainer.runs(), self._trials
        ended = {
            member: replace(runs[member], message=reasons.get(trials[member].key, "")) for member in members
        }
        return [TrialDone(Result(trials[member], run), *NOTHING) for member, run in ended.items()]


class Populations:
    """The populations of one worker.

    Args:
        prepared: the recipe with its data.
        epochs: of each trial.
        observe: layers and updates are sampled.
        early_stop: the rules that end trials early; at each of its rungs all populations pause.
        inbox: the commands to trials. Default: none.
    """

    def __init__(
        self,
        prepared: Prepared,
        epochs: int,
        *,
        observe: bool = False,
        early_stop: EarlyStop = NEVER,
        inbox: Inbox | None = None,
    ) -> None:
        self._prepared, self._epochs, self._observe, self._early_stop = prepared, epochs, observe, early_stop
        self._inbox = Inbox(ignore_replies) if inbox is None else inbox
        self._waiting: dict[Kind, TrialPopulation] = {}
        self._paused: list[TrialPopulation] = []
        self._pauses = iter((*early_stop.rungs, epochs))
        self._until = next(self._pauses)

    def train(self, trials: Sequence[Trial]) -> Iterator[list[Event]]:
        """Trains trials in as few populations as their architectures allow; undersized ones may wait.

        They are trained to the first rung, or to the end where there is none. A trial whose model cannot be
        built, or raises in training, ends as failed with the reason; the others train on.

        Yields:
            The events of one epoch of one population.
        """
        if self._early_stop.is_over:
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
            population = TrialPopulation(
                self._prepared,
                members,
                candidates,
                self._epochs,
                inbox=self._inbox,
                observe=self._observe,
                early_stop=self._early_stop,
            )
            yield from self._run(population)

    def finish(self) -> Iterator[list[Event]]:
        """Trains the populations that wait to the next rung, or to their end; no others will come."""
        while self._waiting:
            _, population = self._waiting.popitem()
            while population.is_running and population.age < self._until:
                yield self._epoch(population)
            self._pause(population)

    def next_rung(self, reasons: Mapping[TrialKey, str]) -> Iterator[list[Event]]:
        """Prunes the trials that have a reason, and trains the others to the next rung."""
        self._until = next(self._pauses)
        paused, self._paused = self._paused, []
        for population in paused:
            yield population.prune(reasons)
            if self._early_stop.is_over:
                yield population.stop()
        for population in paused:
            yield from self._run(population)
        yield from self.finish()

    def adopt(self, others: Populations) -> None:
        """Takes over populations that pause at the same rung; the others must not be used afterwards."""
        self._paused += others._paused

    def _run(self, population: TrialPopulation) -> Iterator[list[Event]]:
        while population.is_running and population.age < self._until:
            while population.is_undersized:
                partner = self._waiting.pop(population.kind, None)
                if partner is None:
                    self._waiting[population.kind] = population
                    return
                population.absorb(partner)
            yield self._epoch(population)
        self._pause(population)

    def _pause(self, population: TrialPopulation) -> None:
        if population.is_running:
            self._paused.append(population)

    def _epoch(self, population: TrialPopulation) -> list[Event]:
        events = population.epoch()
        return events + population.stop() if self._early_stop.is_over else events
