"""A whole search: its stages, the best trials retrained, the test split scored once, the outcome stored."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from babysit.data.folds import folds
from babysit.errors import InputError
from babysit.recipe.building import Prepared
from babysit.recipe.space import middle
from babysit.records import Reading, Result, State, Study, TrialKey
from babysit.session.commands.handler import SearchCommandHandler
from babysit.session.jobs.final_stage import Retrained, finalists_of, finalize, retrain
from babysit.session.jobs.first_layer import first_weights
from babysit.session.jobs.interrupt import Interruption
from babysit.session.jobs.job import Job, computing_words, deciding, file_stem, fingerprint_of, writable
from babysit.session.jobs.recorder import DiagnosingRecorder, closing, note_retraining
from babysit.session.jobs.resuming import earlier_search
from babysit.session.jobs.summary import summary
from babysit.session.jobs.train import begin
from babysit.session.models.onnx import require_onnx
from babysit.store import queries
from babysit.store.reader import Reader
from babysit.store.writer import Writer
from babysit.training.folds import refuse_mixing
from babysit.tuning.engines.calibration import calibrate
from babysit.tuning.engines.inbox import Inbox
from babysit.tuning.engines.local import Engine, InProcess, Processes
from babysit.tuning.engines.registry import RAY
from babysit.tuning.extension import Extension
from babysit.tuning.search import Outcome, Progress, StagedSearch
from babysit.tuning.settings import SearchSettings, words_of
from babysit.tuning.stages import FINAL, budgets_of
from babysit.verdicts import CheckResult

FOR_THE_FINAL = 0.2
"""The share of the time limit that the stages leave for retraining the best."""


@dataclass(frozen=True)
class Hooks:
    """Functions that are called while a search runs. Default: nothing is called."""

    stage: Callable[[Progress], None] = lambda _: None
    final: Callable[[Reading, int], None] = lambda *_: None
    resumed: Callable[[Study, int], None] = lambda *_: None
    interrupted: Callable[[], None] = lambda: None


@dataclass(frozen=True)
class Searched:
    """The result of a search.

    Attributes:
        study: its number in the store.
        outcome: as it is kept in the store.
        weights: the file with the best model's weights; None when no trial completed.
        report: the path for its report.
    """

    study: int
    outcome: Mapping[str, Any]
    weights: Path | None
    report: Path


def check_search(prepared: Prepared, settings: SearchSettings) -> None:
    """Refuses a search that cannot be done.

    Raises:
        InputError: for stages, folds or a form of export that cannot be.
    """
    if settings.onnx:
        require_onnx()
    budgets_of(prepared.recipe, settings)
    in_folds(prepared, settings.folds)


def in_folds(prepared: Prepared, count: int) -> Prepared:
    """Returns the recipe with K folds; 0 is none.

    Raises:
        InputError: the data cannot be split so, or the model mixes the rows of a batch.
    """
    if not count:
        return prepared
    folds(prepared.dataset, count, prepared.seed)
    refuse_mixing(prepared.model(middle(prepared.recipe.full_space()), ("folds",)))
    return replace(prepared, folds=count)


def run_search(
    job: Job,
    prepared: Prepared,
    settings: SearchSettings,
    *,
    resume: bool = False,
    checks: Sequence[CheckResult] = (),
    hooks: Hooks | None = None,
) -> Searched:
    """Searches coarse to fine, retrains the best and scores the test split once.

    Args:
        job: the recipe, seed and store.
        prepared: the recipe with its data.
        settings: of the search. A resumed search may have larger budgets than the earlier one, see
            :func:`babysit.session.jobs.resuming.earlier_search`.
        resume: continue the earlier search of the same command, if there is one.
        checks: results to keep with the study.
        hooks: called while it runs.

    Raises:
        InputError: for stages that cannot be read, a store that cannot be written, an earlier search in
            another precision.
        WorkerError: when a worker process dies; finished trials are kept.
        KeyboardInterrupt: after Ctrl-C, at the end of the running epoch, or at once after the second.
    """
    return _Search(job, prepared, settings, hooks or Hooks()).run(resume, checks)


class _Search:
    def __init__(self, job: Job, prepared: Prepared, settings: SearchSettings, hooks: Hooks) -> None:
        self._deadline = time.time() + (settings.timeout or math.inf)
        if settings.onnx:
            require_onnx()
        self._job, self._settings, self._hooks = job, settings, hooks
        self._prepared = in_folds(prepared, settings.folds)
        self._budgets = budgets_of(prepared.recipe, settings)
        self._deciding, self._fingerprint = self._decided_by(settings)

    def _decided_by(self, settings: SearchSettings) -> tuple[dict[str, Any], str]:
        recipe, precision = self._prepared.recipe, self._prepared.precision
        found = deciding(self._job, recipe, settings)
        return found, fingerprint_of(self._job, recipe, "search", precision, **found)

    def run(self, resume: bool, checks: Sequence[CheckResult]) -> Searched:
        job, prepared = self._job, self._prepared
        writable(job.folder)
        with Writer(job.store_url) as writer:
            study, finished = self._start(writer, resume, checks)
            stem = file_stem(job.name or prepared.recipe.name, study, self._fingerprint)
            given = [budget for budget in self._budgets if budget.name != FINAL]
            extension = Extension(len(given) - 1, given[-1].trials)

            def extend(trials: int) -> str:
                return self._extend(trials, extension, writer, study)

            with (
                closing(writer, study),
                Interruption(self._hooks.interrupted) as interruption,
                SearchCommandHandler(job.store_url, study, extend) as commands,
            ):
                with contextlib.closing(self._engine(interruption, commands)) as engine:
                    commands.pass_to(engine.touch)
                    found = StagedSearch(
                        study=study,
                        space=prepared.recipe.full_space(),
                        budgets=self._budgets,
                        settings=self._settings,
                        seed=job.seed,
                        examples=len(prepared.dataset.val),
                        engine=engine,
                        recorder=DiagnosingRecorder(writer, prepared),
                        show=self._hooks.stage,
                        enqueue=prepared.recipe.enqueue,
                        finished=finished,
                        deadline=self._deadline - FOR_THE_FINAL * self._settings.timeout,
                        extension=extension,
                    ).run()
                interruption.at_once()
                commands.end_if_stopped()
                finalists = self._retrain(writer, study, found, commands)
                final, weights = finalize(job, prepared, stem, finalists, onnx=self._settings.onnx)
                if weights is not None and (reading := finalists[0].best.run.best) is not None:
                    trial = finalists[0].trial
                    shape = prepared.at(trial.hyperparameters).dataset.input_shape
                    details = first_weights(finalists[0].best.weights, shape, reading.step)
                    writer.details(study, trial, details)
                outcome = summary(prepared, found, final)
                writer.finish_study(study, State.COMPLETE, outcome)
        return Searched(study, outcome, weights, job.folder / f"{stem}.html")

    def _start(
        self, writer: Writer, resume: bool, checks: Sequence[CheckResult]
    ) -> tuple[int, Mapping[TrialKey, Result]]:
        """Returns the number of the study, new or resumed, and its finished trials."""
        job, prepared, settings = self._job, self._prepared, self._settings
        how = [*computing_words(job), *words_of(settings.changed(""))]
        # After the writer, which makes the tables: a search that was killed before it had any can resume too.
        earlier = earlier_search(job, prepared, self._fingerprint, self._deciding) if resume else None
        if earlier is None:
            recorded = {**self._deciding, **settings.changed("final"), "how": how}
            study = begin(writer, job, prepared, "search", self._fingerprint, recorded)
            writer.checks(study, checks)
            return study, {}
        before, finished = earlier
        writer.reopen_study(before.id)
        recorded = {**before.settings, **self._deciding, "how": how, "out": str(job.folder)}
        writer.extend_study(before.id, self._fingerprint, recorded)
        self._hooks.resumed(before, len(finished))
        return before.id, finished

    def _extend(self, trials: int, extension: Extension, writer: Writer, study: int) -> str:
        """Extends the last stage, or returns the reason why not; the store then knows the larger command."""
        if self._settings.sampler == "grid":
            return "a grid of more trials is another grid: search anew with a larger budget"
        if self._settings.until_stable:
            return "repetitions of the last stage have its size: search anew with a larger budget"

        def record() -> None:
            found, fingerprint = self._decided_by(replace(self._settings, trials=trials))
            with Reader(self._job.store_url) as reader:
                settings = queries.study(reader, study).settings
            writer.extend_study(study, fingerprint, {**settings, **found})

        reason = extension.request(trials, record)
        return f"the last stage does not grow: {reason}" if reason else ""

    def _engine(self, interruption: Interruption, commands: SearchCommandHandler) -> Engine:
        job, prepared, settings = self._job, self._prepared, self._settings
        observe = settings.observe and not settings.folds  # the layers of folds are not sampled
        workers, population, answered = settings.workers, settings.population, commands.answered

        def stop() -> bool:
            return interruption.asked() or commands.is_stopped()

        if settings.engine == RAY:
            from babysit.tuning.engines.ray import Cluster

            address = settings.address
            return Cluster(
                prepared, workers, population, address, observe=observe, stop=stop, answered=answered
            )
        is_alone = workers <= 1 or prepared.device != "cpu"
        if not is_alone and not population:
            # A trial that cannot train fails by itself, with its reason.
            with contextlib.suppress(InputError):
                values = middle(prepared.recipe.full_space())
                is_alone = calibrate(prepared, values, workers=workers).threads_pay
        if is_alone:
            return InProcess(prepared, population, observe=observe, stop=stop, answered=answered)
        return Processes(
            prepared,
            job.recipe,
            job.settings,
            workers,
            population,
            observe=observe,
            stop=stop,
            answered=answered,
        )

    def _retrain(
        self, writer: Writer, study: int, found: Outcome, commands: SearchCommandHandler
    ) -> list[Retrained]:
        """Trains the best trials once more, on the training split."""
        settings, inbox = self._settings, Inbox(commands.answered)
        commands.pass_to(inbox.put)
        note_retraining(writer, study, finalists_of(found, self._budgets)[1])

        def show(reading: Reading, epochs: int) -> None:
            self._hooks.final(reading, epochs)
            commands.end_if_stopped()

        whole = replace(self._prepared, folds=0)
        finalists = retrain(whole, found, self._budgets, settings, show, deadline=self._deadline, inbox=inbox)
        if finalists and settings.details:
            writer.details(study, finalists[0].trial, finalists[0].best.details)
        return finalists
