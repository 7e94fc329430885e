"""A whole search: checks, stages, the best retrained, the test split scored once, the outcome kept."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from babysit.errors import InputError
from babysit.recipe.building import Prepared, groups, held_out
from babysit.recipe.recipe import Recipe
from babysit.recipe.space import Space, middle, number, searched
from babysit.records import CheckResult, Details, Reading, Result, Run, State, Study, Trial, score
from babysit.search.engines.calibration import calibrate
from babysit.search.engines.local import Engine, InProcess, Processes, Source
from babysit.search.search import Key, Outcome, Progress, Request, search
from babysit.search.stages import FINAL, Budget, parse_stages, ranked, standard_error
from babysit.session.job import (
    Job,
    file_stem,
    fingerprint_of,
    other_fingerprints,
    refuse_to_mix,
    writable,
)
from babysit.session.recording import DiagnosingRecorder, Watched, closing
from babysit.session.training import begin, best_data, save_weights
from babysit.store.queries import Reader, find_study, results
from babysit.store.writer import Writer
from babysit.training.trainer import Candidate, Trainer
from babysit.watching.own_loop import EVERY
from babysit.watching.population import EVERY_IN_SEARCH, Look, PopulationObserver


@dataclass(frozen=True)
class Ask:
    """What a search is asked to do beside its job.

    Attributes:
        stages: "name:TRIALSxEPOCHS,..."; empty for the recipe's own.
        boxes: prescribed boxes of stages, by name.
        workers: worker processes; 0 trains in this process.
        resume: go on with the interrupted search of the same command.
        population: trials that train together; 0 measures what is fastest here.
        observe: look at layers and updates, for findings and for the dashboard; default yes.
        details: also keep histograms and first-layer weights of the best trials' retraining, in the store
            under "final/" names of their trials; default no.
    """

    stages: str = ""
    boxes: Mapping[str, Space] = field(default_factory=dict)
    workers: int = 0
    resume: bool = False
    population: int = 0
    observe: bool = True
    details: bool = False


@dataclass(frozen=True)
class Hooks:
    """Who is told while a search runs; by default nobody."""

    stage: Callable[[Progress], None] = lambda _: None
    final: Callable[[Reading, int], None] = lambda *_: None
    resumed: Callable[[Study, int], None] = lambda *_: None


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


def budgets_of(recipe: Recipe, ask: Ask) -> list[Budget]:
    """The stages that are asked for, else the recipe's, else 100 coarse and 50 fine trials.

    Example:
        >>> from babysit.recipe.loading import load_recipe
        >>> [budget.trials for budget in budgets_of(load_recipe("digits"), Ask())]
        [100, 50, 1]
    """
    usual = f"coarse:100x{recipe.epochs},fine:50x{recipe.epochs}"
    budgets = parse_stages(ask.stages or recipe.stages or usual)
    if len(recipe.enqueue) > budgets[0].trials:
        raise InputError(
            f"{len(recipe.enqueue)} points are enqueued, but the stage {budgets[0].name!r} has only "
            f"{budgets[0].trials} trials",
            cure="enqueue fewer points or give the first stage more trials, e.g. --stages coarse:40x5",
        )
    return budgets


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
        ask: stages, workers, resume.
        checks: answers to keep with the study.
        hooks: who is told.

    Raises:
        InputError: for stages that cannot be read, a store that cannot be written, a search to go on with
            in another precision.
        WorkerError: when a worker process dies; finished trials are kept.
    """
    hooks = hooks or Hooks()
    budgets = budgets_of(prepared.recipe, ask)
    boxes = {name: {**prepared.recipe.full_space(), **box} for name, box in ask.boxes.items()}
    asked = {"stages": [list(budget) for budget in budgets], "boxes": repr(sorted(boxes.items()))}
    fingerprint = fingerprint_of(job, prepared.recipe, "search", prepared.precision, **asked)
    writable(job.folder)
    with Writer(job.store_url) as writer:
        # After the writer, which makes the tables: a search killed while it made them can be resumed too.
        earlier = _earlier(job, prepared, fingerprint, asked) if ask.resume else None
        done = {} if earlier is None else earlier[1]
        if earlier is None:
            study = begin(writer, job, prepared, "search", fingerprint, asked)
            writer.checks(study, checks)
        else:
            study = earlier[0].id
            writer.reopen_study(study)
            hooks.resumed(earlier[0], len(done))
        request = Request(
            study,
            prepared.recipe.full_space(),
            budgets,
            job.seed,
            len(prepared.dataset.val),
            boxes,
            done,
            prepared.recipe.enqueue,
        )
        with closing(writer, study):
            recorder = DiagnosingRecorder(writer, prepared)
            with contextlib.closing(_engine(job, prepared, ask)) as engine:
                found = search(request, engine, recorder, hooks.stage)
            stem = file_stem(job.name or prepared.recipe.name, study, fingerprint)
            best = _retrain(prepared, found, budgets, ask, hooks)
            if best is not None and ask.details:
                writer.details(study, best.trial, best.details)
            final, weights = (None, None) if best is None else _finalize(job, prepared, stem, best)
            outcome = _summary(prepared, found, final)
            writer.finish_study(study, State.COMPLETE, outcome)
    return Searched(study, outcome, weights, job.folder / f"{stem}.html")


def _earlier(
    job: Job, prepared: Prepared, fingerprint: str, asked: Mapping[str, Any]
) -> tuple[Study, dict[Key, Result]] | None:
    """The newest search of the same command, with its finished trials."""
    with Reader(job.store_url) as reader:
        study = find_study(reader, fingerprint, "search")
        if study is None:
            _refuse_another_precision(reader, job, prepared, asked)
            return None
        return study, {
            result.trial.key: result for result in results(reader, study.id) if result.run.state.is_final
        }


def _refuse_another_precision(reader: Reader, job: Job, prepared: Prepared, asked: Mapping[str, Any]) -> None:
    for precision, fingerprint in other_fingerprints(job, prepared, "search", **asked).items():
        study = find_study(reader, fingerprint, "search")
        if study is not None:
            refuse_to_mix(f"study {study.id} of this command", precision, prepared.precision)


def _engine(job: Job, prepared: Prepared, ask: Ask) -> Engine:
    if ask.workers <= 1 or prepared.device != "cpu" or _threads_pay(prepared, ask):
        return InProcess(prepared, ask.population, observe=ask.observe)
    source = Source(job.recipe, job.settings, job.seed, prepared.precision, prepared.way, observe=ask.observe)
    return Processes(prepared, source, ask.workers, ask.population)


def _threads_pay(prepared: Prepared, ask: Ask) -> bool:
    """Whether one process with all threads was measured to beat a process per core, which is rare."""
    if ask.population:
        return False
    try:
        found = calibrate(prepared, middle(prepared.recipe.full_space()), workers=ask.workers)
    except InputError:  # a trial that cannot train fails by itself, with its reason
        return False
    return found.threads_pay


@dataclass(frozen=True)
class _Retrained:
    """One of the best trials, trained anew.

    Attributes:
        trial: which.
        epochs: how many it was given.
        trainer, member: who trained it, and as which member.
        watched: its costs and what its layers showed.
        details: the same for the store, under "final/" names.
    """

    trial: Trial
    epochs: int
    trainer: Trainer
    member: int
    watched: Watched
    details: Details

    @property
    def run(self) -> Run:
        """How it went."""
        return self.trainer.runs()[self.member]

    @property
    def score(self) -> float:
        """Its best validation score; minus infinity where there is none."""
        reading = self.run.best
        return float("-inf") if reading is None else score(reading)


def _finalize(
    job: Job, prepared: Prepared, stem: str, best: _Retrained
) -> tuple[dict[str, Any] | None, Path | None]:
    """Keeps the best epoch of the best, and scores the test split, once."""
    run, hyperparameters = best.run, best.trial.hyperparameters
    reading = run.best
    if reading is None:
        return {"state": str(run.state), "hyperparameters": dict(hyperparameters)}, None
    weights = best.trainer.weights(best.member)
    path = job.folder / f"{stem}.safetensors"
    save_weights(path, prepared, hyperparameters, weights)
    test = held_out(prepared, hyperparameters, weights)
    findings = best.watched.findings(Result(best.trial, run), prepared)
    return {
        "trial": list(best.trial.key),
        "hyperparameters": dict(hyperparameters),
        "epochs": best.epochs,
        "best_epoch": reading.epoch,
        "val_accuracy": reading.val_accuracy,
        "val_loss": reading.val_loss,
        "test_accuracy": None if test is None else test.accuracy,
        "test_loss": None if test is None else test.loss,
        "test_examples": None if test is None else test.examples,
        "readings": [asdict(entry) for entry in run.readings],
        "costs": [cost for costs in best.watched.costs for cost in costs.tolist()],
        "findings": [asdict(finding) for finding in findings],
        "weights": str(path),
    }, path


def _retrain(
    prepared: Prepared, found: Outcome, budgets: Sequence[Budget], ask: Ask, hooks: Hooks
) -> _Retrained | None:
    """Trains the best trials anew, longer; returns the best of them, if any trial completed."""
    budget = budgets[-1] if budgets[-1].name == FINAL else Budget(FINAL, 1, budgets[-1].epochs)
    trials = [result.trial for result in ranked(found.results)[: budget.trials]]
    candidates = [prepared.candidate(trial.hyperparameters, ("trial", *trial.key)) for trial in trials]
    finished = [
        retrained
        for group in groups(candidates)
        for retrained in _retrain_together(
            prepared,
            [trials[index] for index in group],
            [candidates[index] for index in group],
            budget.epochs,
            ask,
            hooks,
        )
    ]
    return max(finished, key=lambda each: each.score, default=None)


def _retrain_together(
    prepared: Prepared,
    trials: Sequence[Trial],
    candidates: Sequence[Candidate],
    epochs: int,
    ask: Ask,
    hooks: Hooks,
) -> list[_Retrained]:
    """Trains trials of one architecture anew as one population."""
    trainer = prepared.trainer_of(candidates, epochs, keep_best=True)
    observer = PopulationObserver(EVERY if ask.details else EVERY_IN_SEARCH, detailed=ask.details)
    trainer.observer = observer if ask.observe else None
    watched = [Watched(prepared.recipe.update) for _ in trials]
    looks: list[list[Look]] = [[] for _ in trials]
    for report in prepared.reports(trainer):
        for member, values in report.costs.items():
            watched[member].costs.append(values)
        for member, seen in observer.take().items():
            looks[member] += seen
        if report.readings:
            hooks.final(max(report.readings.values(), key=score), epochs)
    return [
        _Retrained(trial, epochs, trainer, member, one, _renamed(one.trace.add(looks[member])))
        for member, (trial, one) in enumerate(zip(trials, watched, strict=True))
    ]


def _renamed(details: Details) -> Details:
    """The details under names of their own, beside those of the trial's first training."""
    return Details(
        {f"{FINAL}/{name}": points for name, points in details.series.items()},
        [replace(one, name=f"{FINAL}/{one.name}") for one in details.histograms],
        [replace(one, name=f"{FINAL}/{one.name}") for one in details.snapshots],
    )


def _summary(prepared: Prepared, found: Outcome, final: dict[str, Any] | None) -> dict[str, Any]:
    """The outcome as plain data, for the store, the report and the machine."""
    best, examples = found.best, len(prepared.dataset.val)
    ties = found.ties(examples)
    seconds = max(found.seconds, 1e-9)
    return {
        "best": None if best is None else best_data(best),
        "edges": [asdict(edge) for edge in found.edges()],
        "ties": [list(result.trial.key) for result in ties],
        "states": found.states(),
        "wall_seconds": found.seconds,
        "trial_steps_per_second": found.trained_steps / seconds,
        "final": final,
        "advice": _advice(prepared, found, ties, final),
    }


def _advice(
    prepared: Prepared, found: Outcome, ties: Sequence[Result], final: dict[str, Any] | None
) -> list[str]:
    """What to do next, in words; the edge alarms speak for themselves elsewhere."""
    if found.best is None:
        return ["no trial completed: lower the learning rate's upper bound a hundredfold, or run the checks"]
    advice = []
    if len(ties) > 1:
        error = standard_error(found.best.score, len(prepared.dataset.val))
        advice.append(
            f"{len(ties)} trials lie within one standard error ({error:.3f}) of the best on "
            f"{len(prepared.dataset.val)} validation examples: a set of equals, not a winner"
            f"{_spread(found, ties)}"
        )
    advice += [] if final is None else [f"{f['message']}: {f['advice']}" for f in final.get("findings", [])]
    return advice


def _spread(found: Outcome, ties: Sequence[Result]) -> str:
    """Which ranges the equals cover: where one is wide, its knob did not matter."""
    told = []
    for name in searched(found.boxes[ties[0].trial.stage]):
        values = sorted(float(hp[name]) for result in ties if name in (hp := result.trial.hyperparameters))
        if not values:
            continue
        told.append(f"{name} {number(values[0])} to {number(values[-1])}")
    return f" ({', '.join(told)})" if told else ""
