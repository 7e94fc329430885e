"""The staged search: draws trials, has an engine train them, tells a recorder, narrows the box, repeats."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from babysit.recipe.space import Space, as_data
from babysit.records import Edge, Reading, Result, Stage, State, Trial, Value
from babysit.search.edges import alarms_of
from babysit.search.engines.events import EpochDone, TrialDone
from babysit.search.engines.local import Engine
from babysit.search.ranking import Round, ranked, ties
from babysit.search.stages import FINAL, Budget, draw_trials, following_box, planned
from babysit.watching.population import Look

Key = tuple[int, int]


class Recorder(Protocol):
    """Who is told about a search; the store's writer is one."""

    def begin_stage(self, study: int, stage: Stage) -> None:
        """A stage begins."""
        ...

    def begin_trials(self, study: int, trials: Sequence[Trial]) -> None:
        """Trials begin."""
        ...

    def epoch(self, study: int, trial: Trial, reading: Reading, steps: np.ndarray, costs: np.ndarray) -> None:
        """One epoch of one trial is done."""
        ...

    def observed(self, study: int, trial: Trial, looks: Sequence[Look]) -> None:
        """The observer saw something of a trial; told before the epoch or the end that it belongs to."""
        ...

    def finish_trials(
        self,
        study: int,
        results: Sequence[Result],
        costs: Mapping[Key, tuple[np.ndarray, np.ndarray]],
    ) -> object:
        """Trials are finished, with the costs of what they trained since their last full epoch."""
        ...


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a search is, for whoever shows it.

    Attributes:
        stage: the stage that runs.
        done, trials: trials finished, and in the stage.
        epochs_done, epochs: trial-epochs finished (all those of a trial that ended early), and in the stage.
        best: the best result of the study so far.
        exploded: trials of the stage that exploded.
    """

    stage: Stage
    done: int
    trials: int
    epochs_done: int
    epochs: int
    best: Result | None
    exploded: int


@dataclass(slots=True)
class Outcome:
    """What a search found.

    Attributes:
        stages: as they were run, each box with its reason.
        boxes: the box of each stage, by its index.
        results: every trial with its run, in the order they were drawn.
        trained_steps: update steps of all trials that were trained in this session.
        seconds: wall-clock time of this session.
        given: stages that were asked for; any further ones repeat the last. 0 is all of them.
    """

    stages: list[Stage] = field(default_factory=list)
    boxes: list[Space] = field(default_factory=list)
    results: list[Result] = field(default_factory=list)
    trained_steps: int = 0
    seconds: float = 0.0
    given: int = 0

    @property
    def best(self) -> Result | None:
        """The trial with the best validation score."""
        order = ranked(self.results)
        return order[0] if order else None

    @property
    def rounds(self) -> list[Round]:
        """Each stage's box with its results."""
        return [Round(box, _of_stage(self, index)) for index, box in enumerate(self.boxes)]

    def edges(self, examples: int) -> list[Edge]:
        """The alarms on the best trial, in the box it was drawn from; the silenced ones say why."""
        return alarms_of(self.rounds, examples, self.given)

    def ties(self, examples: int) -> list[Result]:
        """The results within one standard error of the best."""
        return ties(self.results, examples)

    def states(self) -> dict[str, int]:
        """How many trials ended in each state."""
        return dict(Counter(str(result.run.state) for result in self.results))


@dataclass(frozen=True, slots=True)
class Request:
    """What to search.

    Attributes:
        study: the study's number at the recorder.
        space: the first stage's box.
        budgets: the stages; a final one is not run here.
        seed: the one seed.
        examples: validation examples behind a score.
        boxes: boxes prescribed for later stages, by stage name; others follow from the results.
        enqueue: points that the first stage tries before any other.
        done: results of an earlier session, which are not trained again.
        extra: further stages at most, run until no edge alarm remains and the best stays; default none.
    """

    study: int
    space: Space
    budgets: Sequence[Budget]
    seed: int
    examples: int
    boxes: Mapping[str, Space] = field(default_factory=dict)
    done: Mapping[Key, Result] = field(default_factory=dict)
    enqueue: Sequence[Mapping[str, Value]] = ()
    extra: int = 0


def search(
    request: Request, engine: Engine, recorder: Recorder, show: Callable[[Progress], None] = lambda _: None
) -> Outcome:
    """Runs the stages one after another.

    Args:
        request: what to search.
        engine: who trains.
        recorder: who is told; every finished trial reaches it before the next event is taken.
        show: called after every event.

    Returns:
        The outcome over all stages, those of an earlier session included.
    """
    started, box, reason = time.perf_counter(), request.space, _first_reason(request)
    outcome = Outcome(given=sum(budget.name != FINAL for budget in request.budgets))
    stages = planned(request.budgets, lambda: outcome.rounds, request.examples, request.extra)
    for index, (budget, why) in enumerate(stages):
        if budget.name in request.boxes:
            box, reason = request.boxes[budget.name], "as asked"
        elif outcome.results:
            box, reason = following_box(outcome.rounds, request.examples, outcome.given)
            reason = f"{why}: {reason}" if why else reason
        stage = Stage(index, budget.name, as_data(box), budget.trials, budget.epochs, reason)
        outcome.stages.append(stage)
        outcome.boxes.append(box)
        _run_stage(stage, box, request, engine, recorder, show, outcome)
    outcome.seconds = time.perf_counter() - started
    return outcome


def _first_reason(request: Request) -> str:
    count = len(request.enqueue)
    enqueued = f"; trials 0 to {count - 1} were enqueued" if count > 1 else "; trial 0 was enqueued"
    return "as the recipe says" + (enqueued if count else "")


def _of_stage(outcome: Outcome, index: int) -> list[Result]:
    return [result for result in outcome.results if result.trial.stage == index]


def _run_stage(
    stage: Stage,
    box: Space,
    request: Request,
    engine: Engine,
    recorder: Recorder,
    show: Callable[[Progress], None],
    outcome: Outcome,
) -> None:
    enqueue = () if stage.index else request.enqueue
    trials = draw_trials(box, stage=stage.index, count=stage.trials, seed=request.seed, enqueue=enqueue)
    finished = {trial.key: request.done[trial.key] for trial in trials if trial.key in request.done}
    waiting = [trial for trial in trials if trial.key not in finished]
    recorder.begin_stage(request.study, stage)
    recorder.begin_trials(request.study, waiting)
    earlier, counter = ranked(outcome.results)[:1], _Counter(stage, finished)
    for event in engine.train(waiting, stage.epochs):
        if event.looks:
            recorder.observed(request.study, event.trial, event.looks)
        if isinstance(event, EpochDone):
            recorder.epoch(request.study, event.trial, event.reading, event.steps, event.costs)
            counter.epochs[event.trial.key] = event.reading.epoch
        else:
            _finish(event, request.study, recorder)
            finished[event.result.trial.key] = event.result
            counter.add(event.result)
            outcome.trained_steps += event.result.run.steps
        best = ranked([*earlier, *([counter.best] if counter.best else [])])[:1]
        show(counter.progress(best[0] if best else None))
    outcome.results += [finished[trial.key] for trial in trials]


def _finish(event: TrialDone, study: int, recorder: Recorder) -> None:
    key = event.result.trial.key
    recorder.finish_trials(study, [event.result], {key: (event.steps, event.costs)})


class _Counter:
    """Counts a stage's trials and epochs as they come."""

    def __init__(self, stage: Stage, finished: Mapping[Key, Result]) -> None:
        self.stage, self.done, self.exploded = stage, 0, 0
        self.best: Result | None = None
        self.epochs: dict[Key, int] = {}
        for result in finished.values():
            self.add(result)

    def add(self, result: Result) -> None:
        self.done += 1
        self.exploded += result.run.state is State.EXPLODED
        self.epochs[result.trial.key] = self.stage.epochs
        self.best = next(iter(ranked([result, *([self.best] if self.best else [])])), None)

    def progress(self, best: Result | None) -> Progress:
        total = self.stage.trials * self.stage.epochs
        done = sum(self.epochs.values())
        return Progress(self.stage, self.done, self.stage.trials, done, total, best, self.exploded)
