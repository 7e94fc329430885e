"""Recorder that diagnoses each finished trial before storing it, and gives every study an end."""

from __future__ import annotations

import math
import time
from array import array
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np

from babysit.diagnosis.report import Report
from babysit.readings.context import Context
from babysit.recipe.building import Prepared
from babysit.records import Reading, Result, Run, Stage, State, Trial, Value
from babysit.session.commands.liveness import PROCESS, this_process
from babysit.session.jobs.verdict import judged
from babysit.store.command_rows import RETRAINING
from babysit.store.points import to_single
from babysit.store.writer import Writer
from babysit.watching.observer import Look
from babysit.watching.sample import Log
from babysit.watching.trace import Trace

JUDGE_SECONDS = 2.0
"""The least time between two judgements of an unfinished run."""
JUDGE_SHARE = 100
"""Judging may take one part in so many of the time: some rules read the cost of every step."""

Key = tuple[int, int]
Series = tuple[np.ndarray, np.ndarray]


def context_of(prepared: Prepared, hyperparameters: Mapping[str, Value]) -> Context:
    """Makes what the detectors may know about a run of this recipe."""
    return Context(prepared.chance_loss, prepared.chance_accuracy, hyperparameters)


class Watched:
    """What is kept of an unfinished run for its verdict: what its layers showed, and its costs.

    Args:
        update: the update rule, by name.

    Attributes:
        costs: of every step.
    """

    def __init__(self, update: str) -> None:
        self.trace = Trace(update)
        self.readings: list[Reading] = []
        self.costs = array("f")  # four bytes a step, all that grows with them
        self._due = -math.inf

    def add_costs(self, costs: np.ndarray) -> None:
        """Takes in the costs of the next steps."""
        self.costs.frombytes(np.asarray(costs, np.float32).tobytes())

    @property
    def run(self) -> Run:
        """The run as far as it has come."""
        first = self.costs[0] if self.costs else math.nan
        steps = self.readings[-1].step if self.readings else 0
        return Run(State.RUNNING, tuple(self.readings), first, steps=steps)

    @property
    def is_due(self) -> bool:
        """Whether it is time to judge again."""
        return time.monotonic() >= self._due

    def put_off(self, seconds: float) -> None:
        """Puts the next judgement off.

        Args:
            seconds: what the last one took.
        """
        self._due = time.monotonic() + max(JUDGE_SECONDS, JUDGE_SHARE * seconds)

    def report(self, result: Result, prepared: Prepared) -> Report:
        """Makes the verdict on the run, as far as it has come.

        Args:
            result: the run, and the trial it belongs to.
            prepared: the recipe with its data.
        """
        context = context_of(prepared, result.trial.hyperparameters)
        log = self._log(result.run) if self.trace.samples else None
        epochs = len(result.run.readings)
        return judged(result.run, context, log, when=f"after {epochs} epoch{'' if epochs == 1 else 's'}")

    def _log(self, run: Run) -> Log:
        # Of a run that goes on from a checkpoint the costs before it are gone; the first stands for them.
        before = array("f", to_single([run.first_cost]).tolist()) * max(0, run.steps - len(self.costs))
        return self.trace.log(before + self.costs, run.readings)


class DiagnosingRecorder:
    """Recorder that passes everything on to the store's writer, with the verdict on each finished trial.

    Args:
        writer: of the store.
        prepared: the recipe with its data.
    """

    def __init__(self, writer: Writer, prepared: Prepared) -> None:
        self._writer, self._prepared = writer, prepared
        self._seen: dict[Key, Watched] = {}

    def begin_stage(self, study: int, stage: Stage) -> None:
        """A stage begins."""
        self._writer.begin_stage(study, stage)

    def begin_trials(self, study: int, trials: Sequence[Trial]) -> None:
        """Trials begin, or begin again."""
        for trial in trials:
            self._seen.pop(trial.key, None)
        self._writer.begin_trials(study, trials)

    def observed(self, study: int, trial: Trial, looks: Sequence[Look]) -> None:
        """The observer saw something of a trial."""
        self._writer.details(study, trial, self._of(trial).trace.add(looks))

    def epoch(self, study: int, trial: Trial, reading: Reading, steps: np.ndarray, costs: np.ndarray) -> None:
        """One epoch of one trial is done."""
        seen = self._of(trial)
        seen.add_costs(costs)
        seen.readings.append(reading)
        self._writer.epoch(study, trial, reading, steps, costs)

    def judge_so_far(self, study: int, trial: Trial) -> None:
        """Writes the verdict on an unfinished run, now and then, so that a page can show it."""
        seen = self._of(trial)
        if seen.is_due:
            started = time.monotonic()
            self._writer.verdict(study, trial, seen.report(Result(trial, seen.run), self._prepared))
            seen.put_off(time.monotonic() - started)

    def finish_trials(
        self, study: int, results: Sequence[Result], costs: Mapping[Key, Series]
    ) -> dict[Key, Report]:
        """Writes finished trials; returns the verdicts on them."""
        verdicts = {}
        for result in results:
            seen = self._seen.pop(result.trial.key, None) or self._fresh(result.trial)
            seen.add_costs(costs[result.trial.key][1])
            verdicts[result.trial.key] = seen.report(result, self._prepared)
        self._writer.finish_trials(study, results, verdicts, costs)
        return verdicts

    def _of(self, trial: Trial) -> Watched:
        if trial.key not in self._seen:
            self._seen[trial.key] = self._fresh(trial)
        return self._seen[trial.key]

    def _fresh(self, trial: Trial) -> Watched:
        return Watched(str(trial.hyperparameters.get("update", self._prepared.recipe.update)))


@contextmanager
def closing(writer: Writer, study: int) -> Iterator[None]:
    """Marks a study that ends early as stopped (Ctrl-C) or failed, and lets the exception pass.

    A process that is killed marks nothing, so its study names it as long as it runs.
    """
    writer.note_study(study, {PROCESS: this_process()})
    try:
        yield
    except KeyboardInterrupt:
        writer.finish_study(study, State.STOPPED, {})
        raise
    except Exception as error:
        # The store itself may be what failed; the first error is the one to tell.
        _try_to_fail(writer, study, str(error))
        raise


def note_retraining(writer: Writer, study: int, trials: Sequence[Trial]) -> None:
    """Writes which finished trials train once more, so that something may be asked of them again."""
    writer.note_study(study, {PROCESS: this_process(), RETRAINING: [list(trial.key) for trial in trials]})


def _try_to_fail(writer: Writer, study: int, message: str) -> None:
    try:
        writer.finish_study(study, State.FAILED, {"error": message})
    except Exception:
        return
