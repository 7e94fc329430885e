"""The last stage of a search: the best retrained, kept, and scored on the test split, once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from babysit.recipe.building import Prepared, groups, held_out
from babysit.records import Details, Reading, Result, Run, Trial, score
from babysit.search.search import Outcome
from babysit.search.stages import FINAL, Budget, ranked
from babysit.session.job import Job
from babysit.session.recording import Watched
from babysit.session.training import save_weights
from babysit.training.trainer import Candidate, Trainer
from babysit.watching.own_loop import EVERY
from babysit.watching.population import EVERY_IN_SEARCH, Look, PopulationObserver


@dataclass(frozen=True)
class Retrained:
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


def finalize(
    job: Job, prepared: Prepared, stem: str, best: Retrained
) -> tuple[dict[str, Any] | None, Path | None]:
    """Keeps the best epoch of the best, and scores the test split, once.

    Args:
        job: what the user asked for.
        prepared: the recipe with its data.
        stem: what the study's files are called.
        best: the best of the retrained.

    Returns:
        What it came to, for the store, and the file with the weights; None without an accuracy to report.
    """
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


def retrain(
    prepared: Prepared,
    found: Outcome,
    budgets: Sequence[Budget],
    observe: bool,
    details: bool,
    told: Callable[[Reading, int], None],
) -> Retrained | None:
    """Trains the best trials anew, longer; returns the best of them, if any trial completed.

    Args:
        prepared: the recipe with its data.
        found: what the stages brought.
        budgets: of the stages; the last may be the final one's.
        observe: look at layers.
        details: keep histograms and first-layer weights too.
        told: called with every epoch's best reading and the number of epochs.
    """
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
            observe,
            details,
            told,
        )
    ]
    return max(finished, key=lambda each: each.score, default=None)


def _retrain_together(
    prepared: Prepared,
    trials: Sequence[Trial],
    candidates: Sequence[Candidate],
    epochs: int,
    observe: bool,
    details: bool,
    told: Callable[[Reading, int], None],
) -> list[Retrained]:
    """Trains trials of one architecture anew as one population."""
    trainer = prepared.trainer_of(candidates, epochs, keep_best=True)
    observer = PopulationObserver(EVERY if details else EVERY_IN_SEARCH, detailed=details)
    trainer.observer = observer if observe else None
    rule = prepared.recipe.update
    watched = [Watched(str(trial.hyperparameters.get("update", rule))) for trial in trials]
    looks: list[list[Look]] = [[] for _ in trials]
    for report in prepared.reports(trainer):
        for member, values in report.costs.items():
            watched[member].costs.append(values)
        for member, seen in observer.take().items():
            looks[member] += seen
        if report.readings:
            told(max(report.readings.values(), key=score), epochs)
    return [
        Retrained(trial, epochs, trainer, member, one, _renamed(one.trace.add(looks[member])))
        for member, (trial, one) in enumerate(zip(trials, watched, strict=True))
    ]


def _renamed(details: Details) -> Details:
    """The details under names of their own, beside those of the trial's first training."""
    return Details(
        {f"{FINAL}/{name}": points for name, points in details.series.items()},
        [replace(one, name=f"{FINAL}/{one.name}") for one in details.histograms],
        [replace(one, name=f"{FINAL}/{one.name}") for one in details.snapshots],
    )
