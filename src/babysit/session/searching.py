"""A whole search: checks, stages, the best retrained, the test split scored once, the outcome kept."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from babysit.errors import InputError
from babysit.recipe.building import Prepared, groups, held_out
from babysit.recipe.recipe import Recipe
from babysit.recipe.space import Space, middle, number, searched
from babysit.records import CheckResult, Reading, Result, State, Study, score
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
from babysit.session.recording import DiagnosingRecorder, closing, context_of
from babysit.session.training import begin, best_data, save_weights
from babysit.store.queries import Reader, find_study, results
from babysit.store.writer import Writer
from babysit.training.trainer import Trainer
from babysit.watching.rules import diagnose


@dataclass(frozen=True)
class Ask:
    """What a search is asked to do beside its job.

    Attributes:
        stages: "name:TRIALSxEPOCHS,..."; empty for the recipe's own.
        boxes: prescribed boxes of stages, by name.
        workers: worker processes; 0 trains in this process.
        resume: go on with the interrupted search of the same command.
        population: trials that train together; 0 measures what is fastest here.
    """

    stages: str = ""
    boxes: Mapping[str, Space] = field(default_factory=dict)
    workers: int = 0
    resume: bool = False
    population: int = 0


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
    return parse_stages(ask.stages or recipe.stages or usual)


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
        )
        with closing(writer, study):
            recorder = DiagnosingRecorder(writer, prepared)
            with contextlib.closing(_engine(job, prepared, ask)) as engine:
                found = search(request, engine, recorder, hooks.stage)
            stem = file_stem(job.name or prepared.recipe.name, study, fingerprint)
            final, weights = _finalize(job, prepared, stem, found, budgets, hooks)
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
        return InProcess(prepared, ask.population)
    source = Source(job.recipe, job.settings, job.seed, prepared.precision, prepared.way)
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


def _finalize(
    job: Job,
    prepared: Prepared,
    stem: str,
    found: Outcome,
    budgets: Sequence[Budget],
    hooks: Hooks,
) -> tuple[dict[str, Any] | None, Path | None]:
    """Retrains the best trials longer, keeps the best epoch of the best, and scores the test split, once."""
    best = ranked(found.results)
    if not best:
        return None, None
    budget = budgets[-1] if budgets[-1].name == FINAL else Budget(FINAL, 1, budgets[-1].epochs)
    result, trainer, member, costs = _retrain(prepared, best[: budget.trials], budget.epochs, hooks)
    run = trainer.runs()[member]
    reading = run.best
    if reading is None:
        return {"state": str(run.state), "hyperparameters": dict(result.trial.hyperparameters)}, None
    weights = trainer.weights(member)
    path = job.folder / f"{stem}.safetensors"
    save_weights(path, prepared, result.trial.hyperparameters, weights)
    test = held_out(prepared, result.trial.hyperparameters, weights)
    findings = diagnose(run, context_of(prepared, result.trial.hyperparameters))
    return {
        "trial": list(result.trial.key),
        "hyperparameters": dict(result.trial.hyperparameters),
        "epochs": budget.epochs,
        "best_epoch": reading.epoch,
        "val_accuracy": reading.val_accuracy,
        "val_loss": reading.val_loss,
        "test_accuracy": None if test is None else test.accuracy,
        "test_loss": None if test is None else test.loss,
        "test_examples": None if test is None else test.examples,
        "readings": [asdict(entry) for entry in run.readings],
        "costs": costs,
        "findings": [asdict(finding) for finding in findings],
        "weights": str(path),
    }, path


def _retrain(
    prepared: Prepared, chosen: Sequence[Result], epochs: int, hooks: Hooks
) -> tuple[Result, Trainer, int, list[float]]:
    """Trains each of the results anew for so many epochs; returns the best with its trainer."""
    candidates = [
        prepared.candidate(result.trial.hyperparameters, ("trial", *result.trial.key)) for result in chosen
    ]
    finished: list[tuple[Result, Trainer, int, list[float]]] = []
    for group in groups(candidates):
        trainer = prepared.trainer_of([candidates[index] for index in group], epochs, keep_best=True)
        costs: list[list[float]] = [[] for _ in group]
        for report in prepared.reports(trainer):
            for member, values in report.costs.items():
                costs[member] += values.tolist()
            if report.readings:
                hooks.final(max(report.readings.values(), key=score), epochs)
        finished += [(chosen[index], trainer, member, costs[member]) for member, index in enumerate(group)]
    return max(finished, key=lambda entry: _final_score(entry[1], entry[2]))


def _final_score(trainer: Trainer, member: int) -> float:
    reading = trainer.runs()[member].best
    return float("-inf") if reading is None else score(reading)


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
        values = sorted(float(result.trial.hyperparameters[name]) for result in ties)
        told.append(f"{name} {number(values[0])} to {number(values[-1])}")
    return f" ({', '.join(told)})" if told else ""
