"""Between training and store: every finished trial is diagnosed on its way, every study gets an end."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np

from babysit.recipe.building import Prepared
from babysit.records import Finding, Reading, Result, Stage, State, Trial, Value
from babysit.session.liveness import PROCESS, this_process
from babysit.store.writer import Writer
from babysit.watching.rules import Context, diagnose

Key = tuple[int, int]
Series = tuple[np.ndarray, np.ndarray]


def context_of(prepared: Prepared, hyperparameters: Mapping[str, Value]) -> Context:
    """What the rules may know about a run of this recipe."""
    return Context(prepared.chance_loss, prepared.chance_accuracy, hyperparameters)


class DiagnosingRecorder:
    """Passes everything on to the store's writer, and adds the findings on each finished trial."""

    def __init__(self, writer: Writer, prepared: Prepared) -> None:
        self._writer, self._prepared = writer, prepared

    def begin_stage(self, study: int, stage: Stage) -> None:
        """A stage begins."""
        self._writer.begin_stage(study, stage)

    def begin_trials(self, study: int, trials: Sequence[Trial]) -> None:
        """Trials begin."""
        self._writer.begin_trials(study, trials)

    def epoch(self, study: int, trial: Trial, reading: Reading, steps: np.ndarray, costs: np.ndarray) -> None:
        """One epoch of one trial is done."""
        self._writer.epoch(study, trial, reading, steps, costs)

    def finish_trials(self, study: int, results: Sequence[Result], costs: Mapping[Key, Series]) -> None:
        """Trials are finished."""
        findings: dict[Key, list[Finding]] = {
            result.trial.key: diagnose(result.run, context_of(self._prepared, result.trial.hyperparameters))
            for result in results
        }
        self._writer.finish_trials(study, results, findings, costs)


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


def _try_to_fail(writer: Writer, study: int, message: str) -> None:
    try:
        writer.finish_study(study, State.FAILED, {"error": message})
    except Exception:
        return
