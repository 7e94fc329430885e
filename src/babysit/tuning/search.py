"""The staged search: draws trials, has an engine train them, tells a recorder, narrows the box, repeats."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np

from babysit.recipe.space import Space, as_data
from babysit.records import Edge, Reading, Result, Stage, State, Trial, Value
from babysit.tuning.edges import alarms_of
from babysit.tuning.engines.early_stop import Ending
from babysit.tuning.engines.events import BegunAgain, EpochDone, Event, TrialDone
from babysit.tuning.engines.local import Engine
from babysit.tuning.extension import Growth, fixed
from babysit.tuning.pruning import NONE, Judge
from babysit.tuning.ranking import Round, as_tried, ranked, ties
from babysit.tuning.samplers import RANDOM, Sampler, sampler_of
from babysit.tuning.stages import FINAL, Budget, following_box, planned
from babysit.watching.observer import Look

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
        exploded, pruned: trials of the stage that exploded, and that were given up.
    """

    stage: Stage
    done: int
    trials: int
    epochs_done: int
    epochs: int
    best: Result | None
    exploded: int
    pruned: int


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
        """Each stage's box with its results; touched trials only where a stage has no others."""
        stages = [_of_stage(self, index) for index in range(len(self.boxes))]
        return [Round(box, as_tried(found) or found) for box, found in zip(self.boxes, stages, strict=True)]

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
        sampler: where trials come from, one of ``samplers.SAMPLERS``.
        round_size: trials that are drawn, and judged, at once; 0 draws as many as the sampler can.
        pruner: who is given up at the rungs, one of ``pruning.PRUNERS``.
        patience: epochs without a better score after which a trial is complete; 0 for never.
        deadline: when to stop, in seconds since 1970: epochs that run are finished, nothing new begins.
        growth: how many trials the last stage shall have, where that may change while it runs.
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
    sampler: str = RANDOM
    round_size: int = 0
    pruner: str = NONE
    patience: int = 0
    deadline: float = math.inf
    growth: Growth = field(default_factory=fixed)


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
        outcome.boxes.append(box)
        trials = request.growth.begun(index, budget.trials)
        while trials:
            budget = budget._replace(trials=trials)
            sampler = _sampler(request, box, index, budget)
            stage = Stage(index, budget.name, as_data(box), sampler.count, budget.epochs, reason)
            request = _begin_again(stage, request, outcome)
            _run_stage(stage, sampler, request, engine, recorder, show, outcome)
            in_time = time.time() <= request.deadline
            trials = request.growth.ended(index, trials, in_time=in_time)
        if time.time() > request.deadline:
            break
    outcome.seconds = time.perf_counter() - started
    return outcome


def _begin_again(stage: Stage, request: Request, outcome: Outcome) -> Request:
    """Begins a stage, or once more if it has grown: then with what it has done as done."""
    before = {result.trial.key: result for result in _of_stage(outcome, stage.index) if result.run.is_final}
    outcome.results = [result for result in outcome.results if result.trial.stage != stage.index]
    outcome.stages[stage.index :] = [stage]
    return replace(request, done={**request.done, **before}) if before else request


def _first_reason(request: Request) -> str:
    count = len(request.enqueue)
    enqueued = f"; trials 0 to {count - 1} were enqueued" if count > 1 else "; trial 0 was enqueued"
    return "as the recipe says" + (enqueued if count else "")


def _of_stage(outcome: Outcome, index: int) -> list[Result]:
    return [result for result in outcome.results if result.trial.stage == index]


def _sampler(request: Request, box: Space, index: int, budget: Budget) -> Sampler:
    return sampler_of(
        request.sampler,
        box,
        stage=index,
        count=budget.trials,
        seed=request.seed,
        enqueue=() if index else request.enqueue,
        round_size=request.round_size,
    )


def _run_stage(
    stage: Stage,
    sampler: Sampler,
    request: Request,
    engine: Engine,
    recorder: Recorder,
    show: Callable[[Progress], None],
    outcome: Outcome,
) -> None:
    """Round after round: asks for trials, has them trained, tells the sampler what came of them."""
    recorder.begin_stage(request.study, stage)
    run = _StageRun(stage, request, engine, recorder, show, outcome)
    size = request.round_size or sampler.round
    for first in range(0, stage.trials, size):
        if first and time.time() > request.deadline:
            break
        trials = sampler.ask(first, min(size, stage.trials - first))
        results = run.train(trials)
        sampler.tell(results)
        outcome.results += results


class _StageRun:
    """One stage while it runs: who is told of each event, and what they make of it together."""

    def __init__(
        self,
        stage: Stage,
        request: Request,
        engine: Engine,
        recorder: Recorder,
        show: Callable[[Progress], None],
        outcome: Outcome,
    ) -> None:
        self._stage, self._request, self._engine = stage, request, engine
        self._recorder, self._show, self._outcome = recorder, show, outcome
        finished = {key: result for key, result in request.done.items() if key[0] == stage.index}
        self._counter = _Counter(stage, finished)
        self._earlier = ranked(outcome.results)[:1]
        self._judge = Judge(request.pruner, stage.epochs)
        self._ending = Ending(request.patience, request.deadline, self._judge.rungs)

    def train(self, trials: Sequence[Trial]) -> list[Result]:
        """Trains the trials that an earlier session did not finish; the results of all, in their order."""
        finished = {
            trial.key: self._request.done[trial.key] for trial in trials if trial.key in self._request.done
        }
        for result in finished.values():
            self._judge.ended(result)
        waiting = [trial for trial in trials if trial.key not in finished]
        self._recorder.begin_trials(self._request.study, waiting)
        for event in self._engine.train(waiting, self._stage.epochs, self._ending, self._judge):
            self._take(event)
            if isinstance(event, TrialDone):
                finished[event.trial.key] = event.result
        return [finished[trial.key] for trial in trials]

    def _take(self, event: Event) -> None:
        study, recorder, counter = self._request.study, self._recorder, self._counter
        if isinstance(event, BegunAgain):
            recorder.begin_trials(study, [event.trial])
            counter.epochs.pop(event.trial.key, None)
            self._judge.began_again(event.trial.key)
            return
        if event.looks:
            recorder.observed(study, event.trial, event.looks)
        if isinstance(event, EpochDone):
            recorder.epoch(study, event.trial, event.reading, event.steps, event.costs)
            counter.epochs[event.trial.key] = event.reading.epoch
            self._judge.saw(event.trial.key, event.reading, is_touched=event.is_touched)
        else:
            _finish(event, study, recorder)
            counter.add(event.result)
            self._judge.ended(event.result)
            self._outcome.trained_steps += event.result.run.steps
        best = ranked([*self._earlier, *([counter.best] if counter.best else [])])[:1]
        self._show(counter.progress(best[0] if best else None))


def _finish(event: TrialDone, study: int, recorder: Recorder) -> None:
    key = event.result.trial.key
    recorder.finish_trials(study, [event.result], {key: (event.steps, event.costs)})


class _Counter:
    """Counts a stage's trials and epochs as they come."""

    def __init__(self, stage: Stage, finished: Mapping[Key, Result]) -> None:
        self.stage, self.done = stage, 0
        self.states: Counter[State] = Counter()
        self.best: Result | None = None
        self.epochs: dict[Key, int] = {}
        for result in finished.values():
            self.add(result)

    def add(self, result: Result) -> None:
        self.done += 1
        self.states[result.run.state] += 1
        self.epochs[result.trial.key] = self.stage.epochs
        self.best = next(iter(ranked([result, *([self.best] if self.best else [])])), None)

    def progress(self, best: Result | None) -> Progress:
        total = self.stage.trials * self.stage.epochs
        done = sum(self.epochs.values())
        exploded, pruned = self.states[State.EXPLODED], self.states[State.PRUNED]
        return Progress(self.stage, self.done, self.stage.trials, done, total, best, exploded, pruned)
