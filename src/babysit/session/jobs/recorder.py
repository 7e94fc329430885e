"""Recorder that diagnoses each finished trial before storing it, and gives every study an end."""

from __future__ import annotations

import math
import time
from array import array
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress

import numpy as np

from babysit.diagnosis.report import Report
from babysit.readings.context import Context
from babysit.recipe.building import Prepared
from babysit.records import Reading, Result, Run, Stage, State, Trial, TrialKey, Value
from babysit.session.commands.liveness import PROCESS, this_process
from babysit.session.jobs.verdict import judged
from babysit.store.command_rows import RETRAINING
from babysit.store.points import to_single
from babysit.store.writer import Writer
from babysit.watching.observer import MemberSample
from babysit.watching.trace import MemberTrace

JUDGE_SECONDS = 2.0
"""The least time between two judgements of an unfinished run."""
JUDGE_SHARE = 100
"""Judging may take one part in this many of the time: some rules read the cost of every step."""

Series = tuple[np.ndarray, np.ndarray]


def context_of(prepared: Prepared, hyperparameters: Mapping[str, Value]) -> Context:
    """Makes the context of a run of this recipe, for the detectors."""
    return Context(prepared.chance_loss, prepared.chance_accuracy, hyperparameters)


class Watched:
    """The samples, readings and costs of an unfinished run, for its verdict.

    Args:
        update: the update rule, by name.

    Attributes:
        costs: of every step.
    """

    def __init__(self, update: str) -> None:
        self.trace = MemberTrace(update)
        self.readings: list[Reading] = []
        self.costs = array("f")  # four bytes a step, all that grows with them
        self._due = -math.inf

    def add_costs(self, costs: np.ndarray) -> None:
        """Appends the costs of the next steps."""
        self.costs.frombytes(np.asarray(costs, np.float32).tobytes())

    @property
    def run(self) -> Run:
        """The run as far as it has come."""
        first = self.costs[0] if self.costs else math.nan
        steps = self.readings[-1].step if self.readings else 0
        return Run(State.RUNNING, tuple(self.readings), first, steps=steps)

    @property
    def is_due(self) -> bool:
        """True when it is time to judge again."""
        return time.monotonic() >= self._due

    def put_off(self, seconds: float) -> None:
        """Postpones the next judgement.

        Args:
            seconds: the duration of the last one.
        """
        self._due = time.monotonic() + max(JUDGE_SECONDS, JUDGE_SHARE * seconds)

    def report(self, result: Result, prepared: Prepared) -> Report:
        """Makes the verdict on the run, as far as it has come.

        Args:
            result: the run and its trial.
            prepared: the recipe with its data.
        """
        run, log = result.run, None
        if self.trace.samples:
            # After a resume from a checkpoint the costs before it are missing; the first stands for them.
            missing = max(0, run.steps - len(self.costs))
            before = array("f", to_single([run.first_cost]).tolist()) * missing
            log = self.trace.log(before + self.costs, run.readings)
        context, epochs = context_of(prepared, result.trial.hyperparameters), len(run.readings)
        return judged(run, context, log, when=f"after {epochs} epoch{'' if epochs == 1 else 's'}")


class DiagnosingRecorder:
    """Recorder that passes everything on to the store's writer, with the verdict on each finished trial.

    Args:
        writer: of the store.
        prepared: the recipe with its data.
    """

    def __init__(self, writer: Writer, prepared: Prepared) -> None:
        self._writer, self._prepared = writer, prepared
        self._watched: dict[TrialKey, Watched] = {}

    def begin_stage(self, study: int, stage: Stage) -> None:
        """Records the start of a stage."""
        self._writer.begin_stage(study, stage)

    def begin_trials(self, study: int, trials: Sequence[Trial]) -> None:
        """Records the start of trials, or their restart."""
        for trial in trials:
            self._watched.pop(trial.key, None)
        self._writer.begin_trials(study, trials)

    def observed(self, study: int, trial: Trial, looks: Sequence[MemberSample]) -> None:
        """Records samples of a trial."""
        self._writer.details(study, trial, self._of(trial).trace.add(looks))

    def epoch(self, study: int, trial: Trial, reading: Reading, steps: np.ndarray, costs: np.ndarray) -> None:
        """Records an epoch of a trial."""
        watched = self._of(trial)
        watched.add_costs(costs)
        watched.readings.append(reading)
        self._writer.epoch(study, trial, reading, steps, costs)

    def judge_so_far(self, study: int, trial: Trial) -> None:
        """Writes the verdict on an unfinished run from time to time, so that a page can show it."""
        watched = self._of(trial)
        if watched.is_due:
            started = time.monotonic()
            self._writer.verdict(study, trial, watched.report(Result(trial, watched.run), self._prepared))
            watched.put_off(time.monotonic() - started)

    def finish_trials(
        self, study: int, results: Sequence[Result], costs: Mapping[TrialKey, Series]
    ) -> dict[TrialKey, Report]:
        """Records the end of trials; returns the verdicts on them."""
        verdicts = {}
        for result in results:
            watched = self._watched.pop(result.trial.key, None) or self._new(result.trial)
            watched.add_costs(costs[result.trial.key][1])
            verdicts[result.trial.key] = watched.report(result, self._prepared)
        self._writer.finish_trials(study, results, verdicts, costs)
        return verdicts

    def _of(self, trial: Trial) -> Watched:
        if trial.key not in self._watched:
            self._watched[trial.key] = self._new(trial)
        return self._watched[trial.key]

    def _new(self, trial: Trial) -> Watched:
        return Watched(str(trial.hyperparameters.get("update", self._prepared.recipe.update)))


@contextmanager
def closing(writer: Writer, study: int) -> Iterator[None]:
    """Marks a study that ends early as stopped (Ctrl-C) or failed, and lets the exception pass.

    A process that is killed marks nothing; therefore the study names the process that runs it.
    """
    writer.note_study(study, {PROCESS: this_process()})
    try:
        yield
    except KeyboardInterrupt:
        writer.finish_study(study, State.STOPPED, {})
        raise
    except Exception as error:
        with suppress(Exception):  # the store itself may have failed; the first error is the one to raise
            writer.finish_study(study, State.FAILED, {"error": str(error)})
        raise


def note_retraining(writer: Writer, study: int, trials: Sequence[Trial]) -> None:
    """Records the finished trials that train once more, so that they take commands again."""
    writer.note_study(study, {PROCESS: this_process(), RETRAINING: [list(trial.key) for trial in trials]})
