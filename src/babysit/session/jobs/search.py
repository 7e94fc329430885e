"""A whole search: checks, stages, the best retrained, the test split scored once, the outcome kept."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from babysit.errors import InputError
from babysit.recipe.building import Prepared
from babysit.recipe.space import middle
from babysit.records import Details, Reading, Result, State, Study
from babysit.session.commands.handler import SearchDesk
from babysit.session.jobs.final_stage import Retrained, Retraining, finalists_of, finalize, retrain
from babysit.session.jobs.first_layer import first_weights
from babysit.session.jobs.interrupt import Interruption
from babysit.session.jobs.job import Job, file_stem, fingerprint_of, writable
from babysit.session.jobs.recorder import DiagnosingRecorder, closing, note_retraining
from babysit.session.jobs.resuming import earlier_search
from babysit.session.jobs.search_ask import (
    Ask,
    asked_of,
    boxes_of,
    budgets_of,
    check_final,
    how_words,
    in_folds,
    of_the_final,
)
from babysit.session.jobs.summary import summary
from babysit.session.jobs.train import begin
from babysit.store import queries
from babysit.store.reader import Reader
from babysit.store.writer import Writer
from babysit.tuning.engines.calibration import calibrate
from babysit.tuning.engines.early_stop import Key
from babysit.tuning.engines.inbox import Inbox
from babysit.tuning.engines.local import Engine, InProcess, Processes, Source
from babysit.tuning.engines.registry import RAY
from babysit.tuning.extension import Growth
from babysit.tuning.search import Outcome, Progress, Request, search
from babysit.tuning.stages import FINAL, Budget
from babysit.verdicts import CheckResult

FOR_THE_FINAL = 0.2
"""The share of the time limit that the stages leave for retraining the best."""


@dataclass(frozen=True)
class Hooks:
    """Who is told while a search runs; by default nobody."""

    stage: Callable[[Progress], None] = lambda _: None
    final: Callable[[Reading, int], None] = lambda *_: None
    resumed: Callable[[Study, int], None] = lambda *_: None
    interrupted: Callable[[], None] = lambda: None


@dataclass(frozen=True)
class Searched:
    """What a search brought.

    Attributes:
        study: its number in the store.
        outcome: what came of it, as it is kept in the store.
        weights: the file with the best model's weights; None when no trial completed.
        report: where its report belongs.
    """

    study: int
    outcome: Mapping[str, Any]
    weights: Path | None
    report: Path


@dataclass(frozen=True)
class _Plan:
    """A search that is about to begin.

    Attributes:
        job, prepared, ask, hooks: as they were given, with folds where they were asked for.
        deadline: when no epoch may begin any more, in seconds since 1970.
        budgets, asked, fingerprint: its stages, and all that decides which results there are.
    """

    job: Job
    prepared: Prepared
    ask: Ask
    hooks: Hooks
    deadline: float
    budgets: list[Budget]
    asked: Mapping[str, Any]
    fingerprint: str

    def stem(self, study: int) -> str:
        """What the files of the search are called."""
        return file_stem(self.job.name or self.prepared.recipe.name, study, self.fingerprint)


def run_search(
    job: Job,
    prepared: Prepared,
    ask: Ask,
    *,
    checks: Sequence[CheckResult] = (),
    hooks: Hooks | None = None,
) -> Searched:
    """Searches coarse to fine, retrains the best and scores the test split once.

    Args:
        job: what the user asked for.
        prepared: the recipe with its data.
        ask: stages, workers, resume. A resumed search may ask for more than the earlier one, see
            :func:`babysit.session.jobs.resuming.earlier_search`.
        checks: answers to keep with the study.
        hooks: who is told.

    Raises:
        InputError: for stages that cannot be read, a store that cannot be written, a search to go on with
            in another precision.
        WorkerError: when a worker process dies; finished trials are kept.
        KeyboardInterrupt: after Ctrl-C, at the end of the running epoch, or at once after the second.
    """
    plan = _planned(job, prepared, ask, hooks or Hooks())
    writable(job.folder)
    with Writer(job.store_url) as writer:
        study, done = _begun(plan, writer, checks)
        growth = _growth(plan.budgets)
        with (
            closing(writer, study),
            Interruption(plan.hooks.interrupted) as interruption,
            SearchDesk(job.store_url, study, _extension(plan, growth, writer, study)) as desk,
        ):
            found = _searched(plan, writer, _request(plan, study, done, growth), interruption, desk)
            interruption.at_once()
            desk.end_if_stopped()
            finalists = _retrained(plan, writer, study, found, desk)
            final, weights = finalize(job, plan.prepared, plan.stem(study), finalists, onnx=ask.onnx)
            if weights is not None:
                writer.details(study, finalists[0].trial, _pictures(plan.prepared, finalists[0]))
            outcome = summary(plan.prepared, found, final)
            writer.finish_study(study, State.COMPLETE, outcome)
    return Searched(study, outcome, weights, job.folder / f"{plan.stem(study)}.html")


def _planned(job: Job, prepared: Prepared, ask: Ask, hooks: Hooks) -> _Plan:
    deadline = time.time() + (ask.timeout or math.inf)
    check_final(ask)
    prepared = in_folds(prepared, ask.folds) if ask.folds else prepared
    asked = asked_of(prepared, ask)
    fingerprint = fingerprint_of(job, prepared.recipe, "search", prepared.precision, **asked)
    return _Plan(job, prepared, ask, hooks, deadline, budgets_of(prepared.recipe, ask), asked, fingerprint)


def _begun(plan: _Plan, writer: Writer, checks: Sequence[CheckResult]) -> tuple[int, Mapping[Key, Result]]:
    """The number of the search's study, begun or gone on with, and its finished trials."""
    job, prepared, asked, how = plan.job, plan.prepared, plan.asked, how_words(plan.job, plan.ask)
    # After the writer, which makes the tables: a search killed while it made them can be resumed too.
    earlier = earlier_search(job, prepared, plan.fingerprint, asked) if plan.ask.resume else None
    if earlier is None:
        told = {**asked, **of_the_final(plan.ask), "how": how}
        study = begin(writer, job, prepared, "search", plan.fingerprint, told)
        writer.checks(study, checks)
        return study, {}
    before, done = earlier
    writer.reopen_study(before.id)
    told = {**before.settings, **asked, "how": how, "out": str(job.folder)}
    writer.extend_study(before.id, plan.fingerprint, told)
    plan.hooks.resumed(before, len(done))
    return before.id, done


def _request(plan: _Plan, study: int, done: Mapping[Key, Result], growth: Growth) -> Request:
    prepared, ask = plan.prepared, plan.ask
    return Request(
        study,
        prepared.recipe.full_space(),
        plan.budgets,
        plan.job.seed,
        len(prepared.dataset.val),
        boxes_of(prepared, ask),
        done,
        prepared.recipe.enqueue,
        ask.until_stable,
        ask.sampler,
        ask.round_size,
        ask.pruner,
        ask.patience,
        plan.deadline - FOR_THE_FINAL * ask.timeout,
        growth,
    )


def _searched(
    plan: _Plan, writer: Writer, request: Request, interruption: Interruption, desk: SearchDesk
) -> Outcome:
    """All stages but the final one."""
    recorder = DiagnosingRecorder(writer, plan.prepared)
    # Nobody looks at the layers of folds.
    how_to_train = replace(plan.ask, observe=plan.ask.observe and not plan.ask.folds)
    with contextlib.closing(_engine(plan.job, plan.prepared, how_to_train, interruption, desk)) as engine:
        desk.pass_to(engine.touch)
        return search(request, engine, recorder, plan.hooks.stage)


def _retrained(plan: _Plan, writer: Writer, study: int, found: Outcome, desk: SearchDesk) -> list[Retrained]:
    """The best, trained once more on the training split."""
    inbox = Inbox(desk.answered)
    desk.pass_to(inbox.put)
    note_retraining(writer, study, finalists_of(found, plan.budgets)[1])
    how = Retraining(plan.ask.seeds, plan.ask.observe, plan.ask.details, plan.deadline)
    each_epoch, whole = _each_epoch(plan.hooks, desk), replace(plan.prepared, folds=0)
    finalists = retrain(whole, found, plan.budgets, how, each_epoch, inbox=inbox)
    if finalists and plan.ask.details:
        writer.details(study, finalists[0].trial, finalists[0].details)
    return finalists


def _pictures(prepared: Prepared, chosen: Retrained) -> Details:
    """The first layer of the chosen model, where it can be drawn."""
    member, shape = chosen.best, prepared.at(chosen.trial.hyperparameters).dataset.input_shape
    reading = member.run.best
    return Details() if reading is None else first_weights(member.weights, shape, reading.step)


def _each_epoch(hooks: Hooks, desk: SearchDesk) -> Callable[[Reading, int], None]:
    """Tells of an epoch of the retraining, and ends it there if that was asked for."""

    def told(reading: Reading, epochs: int) -> None:
        hooks.final(reading, epochs)
        desk.end_if_stopped()

    return told


def _growth(budgets: Sequence[Budget]) -> Growth:
    """The last stage before the final one may grow."""
    given = [budget for budget in budgets if budget.name != FINAL]
    return Growth(len(given) - 1, given[-1].trials)


def _extension(plan: _Plan, growth: Growth, writer: Writer, study: int) -> Callable[[int], str]:
    """What answers who asks a running search for more trials: the larger command, begun early."""
    ask = plan.ask

    def extend(trials: int) -> str:
        if ask.sampler == "grid":
            return "a grid of more trials is another grid: search anew with a larger budget"
        if ask.until_stable:
            return "repetitions of the last stage have its size: search anew with a larger budget"
        reason = growth.ask(trials, lambda: _write_down(plan, trials, writer, study))
        return f"the last stage does not grow: {reason}" if reason else ""

    return extend


def _write_down(plan: _Plan, trials: int, writer: Writer, study: int) -> None:
    """Keeps in the store that a study was extended, so that the larger command goes on with it."""
    recipe, precision = plan.prepared.recipe, plan.prepared.precision
    asked = asked_of(plan.prepared, replace(plan.ask, trials=trials))
    fingerprint = fingerprint_of(plan.job, recipe, "search", precision, **asked)
    with Reader(plan.job.store_url) as reader:
        settings = queries.study(reader, study).settings
    writer.extend_study(study, fingerprint, {**settings, **asked})


def _engine(job: Job, prepared: Prepared, ask: Ask, interruption: Interruption, desk: SearchDesk) -> Engine:
    def stop() -> bool:
        return interruption.asked() or desk.is_stopped()

    if ask.engine == RAY:
        from babysit.tuning.engines.ray import Cluster

        size, see = ask.population, ask.observe
        return Cluster(
            *(prepared, ask.workers, size, ask.address), observe=see, stop=stop, answered=desk.answered
        )
    if ask.workers <= 1 or prepared.device != "cpu" or _threads_pay(prepared, ask):
        return InProcess(prepared, ask.population, observe=ask.observe, stop=stop, answered=desk.answered)
    source = Source(
        job.recipe, job.settings, job.seed, prepared.precision, prepared.way, ask.observe, ask.folds
    )
    return Processes(prepared, source, ask.workers, ask.population, stop=stop, answered=desk.answered)


def _threads_pay(prepared: Prepared, ask: Ask) -> bool:
    """Whether one process with all threads was measured to beat a process per core, which is rare."""
    if ask.population:
        return False
    try:
        found = calibrate(prepared, middle(prepared.recipe.full_space()), workers=ask.workers)
    except InputError:  # a trial that cannot train fails by itself, with its reason
        return False
    return found.threads_pay
