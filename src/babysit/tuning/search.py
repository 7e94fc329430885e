"""The staged search: draws trials, trains them in an engine, records them, narrows the box, repeats."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from babysit.recipe.space import Space, as_data
from babysit.records import Reading, Result, Stage, State, Trial, TrialKey, Value
from babysit.tuning import ranking
from babysit.tuning.engines.early_stop import EarlyStop
from babysit.tuning.engines.events import EpochDone, Event, Restarted, TrialDone
from babysit.tuning.engines.local import Engine
from babysit.tuning.extension import Extension, no_extension
from babysit.tuning.pruning import StagePruner
from babysit.tuning.ranking import Round, unchanged
from babysit.tuning.samplers import sampler_of
from babysit.tuning.settings import SearchSettings
from babysit.tuning.stages import FINAL, Budget, following_box, planned
from babysit.watching.observer import MemberSample


class Recorder(Protocol):
    """Keeps what happens in a search; the store's writer is one."""

    def begin_stage(self, study: int, stage: Stage) -> None:
        """Records the start of a stage."""
        ...

    def begin_trials(self, study: int, trials: Sequence[Trial]) -> None:
        """Records the start of trials."""
        ...

    def epoch(self, study: int, trial: Trial, reading: Reading, steps: np.ndarray, costs: np.ndarray) -> None:
        """Records an epoch of a trial."""
        ...

    def observed(self, study: int, trial: Trial, looks: Sequence[MemberSample]) -> None:
        """Records samples of a trial, before the epoch or the end that they belong to."""
        ...

    def finish_trials(
        self,
        study: int,
        results: Sequence[Result],
        costs: Mapping[TrialKey, tuple[np.ndarray, np.ndarray]],
    ) -> object:
        """Records the end of trials, with the costs since their last full epoch."""
        ...


@dataclass(frozen=True, slots=True)
class Progress:
    """The progress of a search, for a display.

    Attributes:
        stage: the stage that runs.
        done, trials: trials of the stage that are finished, and all.
        epochs_done, epochs: trial-epochs finished (all those of a trial that ended early), and in the stage.
        best: the best result of the study so far.
        exploded, pruned: trials of the stage that exploded, and that were pruned.
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
    """The results of a search.

    Attributes:
        stages: as they were run, each box with its reason.
        boxes: the box of each stage, by its index.
        results: every trial with its run, in the order they were drawn.
        trained_steps: update steps of all trials that were trained in this session.
        seconds: wall-clock time of this session.
        given: stages that were requested; any further ones repeat the last. 0 is all of them.
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
        return ranking.best(self.results)

    @property
    def rounds(self) -> list[Round]:
        """Each stage's box with its results; trials that the user changed only where there are no others."""
        found = [self.of_stage(index) for index in range(len(self.boxes))]
        return [Round(box, unchanged(each) or each) for box, each in zip(self.boxes, found, strict=True)]

    def of_stage(self, index: int) -> list[Result]:
        """Returns the results of a stage."""
        return [result for result in self.results if result.trial.stage == index]

    def states(self) -> dict[str, int]:
        """Counts the trials that ended in each state."""
        return dict(Counter(str(result.run.state) for result in self.results))


@dataclass(kw_only=True)
class StagedSearch:
    """A search, stage after stage.

    Attributes:
        study: the study's number at the recorder.
        space: the first stage's box.
        budgets: the stages; a final one is not run here.
        settings: the settings of the search; its budgets are those above.
        seed: the one seed.
        examples: validation examples behind a score.
        engine: trains the trials.
        recorder: gets every finished trial before the next event is taken from the engine.
        show: called after every event. Default: nothing.
        enqueue: points that the first stage tries before any other.
        finished: results of an earlier session, which are not trained again.
        deadline: in seconds since 1970; running epochs are finished after it, nothing new starts.
        extension: the number of trials of the last stage, which may change while it runs.
    """

    study: int
    space: Space
    budgets: Sequence[Budget]
    settings: SearchSettings
    seed: int
    examples: int
    engine: Engine
    recorder: Recorder
    show: Callable[[Progress], None] = lambda _: None
    enqueue: Sequence[Mapping[str, Value]] = ()
    finished: Mapping[TrialKey, Result] = field(default_factory=dict)
    deadline: float = math.inf
    extension: Extension = field(default_factory=no_extension)

    def run(self) -> Outcome:
        """Runs the stages; returns the outcome over all, those of an earlier session included."""
        started = time.perf_counter()
        outcome = Outcome(given=sum(budget.name != FINAL for budget in self.budgets))
        box, reason, count = self.space, "as the recipe says", len(self.enqueue)
        if count:
            reason += f"; trials 0 to {count - 1} were enqueued" if count > 1 else "; trial 0 was enqueued"
        boxes, repetitions = self.settings.boxes or {}, self.settings.until_stable
        stages = planned(self.budgets, lambda: outcome.rounds, self.examples, repetitions)
        for index, (budget, why) in enumerate(stages):
            if budget.name in boxes:
                box, reason = {**self.space, **boxes[budget.name]}, "as asked"
            elif outcome.results:
                box, reason = following_box(outcome.rounds, self.examples, outcome.given)
                reason = f"{why}: {reason}" if why else reason
            outcome.boxes.append(box)
            trials = self.extension.started(index, budget.trials)
            while trials:
                self._run_stage(index, budget._replace(trials=trials), box, reason, outcome)
                in_time = time.time() <= self.deadline
                trials = self.extension.ended(index, trials, in_time=in_time)
            if time.time() > self.deadline:
                break
        outcome.seconds = time.perf_counter() - started
        return outcome

    def _run_stage(self, index: int, budget: Budget, box: Space, reason: str, outcome: Outcome) -> None:
        """Runs a stage round by round; one that was extended runs once more and keeps its results."""
        size = self.settings.round_size
        sampler = sampler_of(
            self.settings.sampler,
            box,
            stage=index,
            count=budget.trials,
            seed=self.seed,
            enqueue=() if index else self.enqueue,
            round_size=size,
        )
        stage = Stage(index, budget.name, as_data(box), sampler.count, budget.epochs, reason)
        earlier = {key: result for key, result in self.finished.items() if key[0] == index}
        earlier |= {result.trial.key: result for result in outcome.of_stage(index) if result.run.is_final}
        outcome.results = [result for result in outcome.results if result.trial.stage != index]
        outcome.stages[index:] = [stage]
        self.recorder.begin_stage(self.study, stage)
        run = _StageRun(self, stage, earlier, outcome)
        size = size or sampler.round
        for first in range(0, stage.trials, size):
            if first and time.time() > self.deadline:
                break
            trials = sampler.ask(first, min(size, stage.trials - first))
            results = run.train(trials)
            sampler.tell(results)
            outcome.results += results


class _StageRun:
    """A stage while it runs: passes every event to the recorder, the pruner and the display.

    Args:
        search: the search.
        stage: its stage.
        finished: results of the stage that are not trained again.
        outcome: of the stages before.
    """

    def __init__(
        self, search: StagedSearch, stage: Stage, finished: Mapping[TrialKey, Result], outcome: Outcome
    ) -> None:
        self._search, self._stage, self._finished, self._outcome = search, stage, finished, outcome
        self._pruner = StagePruner(search.settings.pruner, stage.epochs)
        self._early_stop = EarlyStop(search.settings.patience, search.deadline, self._pruner.rungs)
        self._best, self._done = ranking.best(outcome.results), 0
        self._states: Counter[State] = Counter()
        self._epochs: dict[TrialKey, int] = {}
        for result in finished.values():
            self._count(result)

    def train(self, trials: Sequence[Trial]) -> list[Result]:
        """Trains the trials that are not finished yet; returns the results of all, in their order."""
        finished = {trial.key: self._finished[trial.key] for trial in trials if trial.key in self._finished}
        for result in finished.values():
            self._pruner.ended(result)
        waiting = [trial for trial in trials if trial.key not in finished]
        search = self._search
        search.recorder.begin_trials(search.study, waiting)
        for event in search.engine.train(waiting, self._stage.epochs, self._early_stop, self._pruner):
            self._take(event)
            if isinstance(event, TrialDone):
                finished[event.trial.key] = event.result
        return [finished[trial.key] for trial in trials]

    def _take(self, event: Event) -> None:
        study, recorder, key = self._search.study, self._search.recorder, event.trial.key
        if isinstance(event, Restarted):
            recorder.begin_trials(study, [event.trial])
            self._epochs.pop(key, None)
            self._pruner.restarted(key)
            return
        if event.looks:
            recorder.observed(study, event.trial, event.looks)
        if isinstance(event, EpochDone):
            recorder.epoch(study, event.trial, event.reading, event.steps, event.costs)
            self._epochs[key] = event.reading.epoch
            self._pruner.epoch_done(key, event.reading, is_touched=event.is_touched)
        else:
            recorder.finish_trials(study, [event.result], {key: (event.steps, event.costs)})
            self._count(event.result)
            self._pruner.ended(event.result)
            self._outcome.trained_steps += event.result.run.steps
        stage, states = self._stage, self._states
        done, total = sum(self._epochs.values()), stage.trials * stage.epochs
        exploded, pruned = states[State.EXPLODED], states[State.PRUNED]
        self._search.show(
            Progress(stage, self._done, stage.trials, done, total, self._best, exploded, pruned)
        )

    def _count(self, result: Result) -> None:
        self._done += 1
        self._states[result.run.state] += 1
        self._epochs[result.trial.key] = self._stage.epochs
        self._best = ranking.best([result, *([self._best] if self._best else [])])
