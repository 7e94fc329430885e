"""The last stage of a search: the best retrained, kept, and scored on the test split, once."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from babysit.recipe.building import Prepared, Stream, groups
from babysit.recipe.scoring import TEST, VALIDATION, Model, Scores, scores
from babysit.records import Details, Reading, Result, Run, State, Trial, score
from babysit.session.commands.handler import members_of, requests_of
from babysit.session.jobs.job import Job
from babysit.session.jobs.recorder import Watched
from babysit.session.models.export import save_model
from babysit.session.models.onnx import try_save_onnx
from babysit.training.population import Tensors
from babysit.training.trainer import Candidate, Trainer
from babysit.tuning.engines.inbox import Inbox
from babysit.tuning.search import Outcome
from babysit.tuning.stages import FINAL, Budget, ranked
from babysit.views.data.final_costs import costs_data
from babysit.watching.observer import EVERY_IN_SEARCH, PopulationObserver
from babysit.watching.trace import joined
from babysit.watching.watch import EVERY


@dataclass(frozen=True)
class Member:
    """One training of one of the best trials, from initial weights of its own.

    Attributes:
        seed: its number among the trainings of its trial, from 0.
        trainer, index: who trained it, and as which member.
        watched: its costs and what its layers showed.
        details: the same for the store, under "final/" names.
    """

    seed: int
    trainer: Trainer
    index: int
    watched: Watched
    details: Details

    @property
    def run(self) -> Run:
        """How it went."""
        return self.trainer.runs()[self.index]

    @property
    def state(self) -> State:
        """How it ended: one that still runs was stopped when the time was up."""
        return State.STOPPED if self.run.state is State.RUNNING else self.run.state

    @property
    def score(self) -> float:
        """Its best validation score; minus infinity where there is none."""
        reading = self.run.best
        return -math.inf if reading is None else score(reading)

    @property
    def weights(self) -> Tensors:
        """Its state dict at its best epoch."""
        return self.trainer.weights(self.index)


@dataclass(frozen=True)
class Retrained:
    """One of the best trials, trained anew, once for every seed.

    Attributes:
        trial: which.
        epochs: how many each training was given.
        members: its trainings, by seed.
    """

    trial: Trial
    epochs: int
    members: tuple[Member, ...]

    @property
    def completed(self) -> list[Member]:
        """The trainings that came through with a score."""
        return [member for member in self.members if math.isfinite(member.score)]

    @property
    def best(self) -> Member:
        """The training with the best validation score."""
        return max(self.members, key=lambda member: member.score)

    @property
    def mean(self) -> float:
        """The mean of the best validation scores over the seeds that came through; NaN without one."""
        return statistics.fmean([member.score for member in self.completed]) if self.completed else math.nan

    @property
    def deviation(self) -> float:
        """The standard deviation over seeds, of a sample (divided by K - 1); NaN with fewer than two."""
        values = [member.score for member in self.completed]
        return statistics.stdev(values) if len(values) > 1 else math.nan

    @property
    def rank(self) -> tuple[int, float]:
        """Greater is better: how many seeds came through, then the mean score."""
        return len(self.completed), self.mean if self.completed else -math.inf

    @property
    def details(self) -> Details:
        """What the best training showed, for the store."""
        return self.best.details

    def model(self, member: Member) -> Model:
        """One of the trainings as a model to score."""
        return self.trial.hyperparameters, member.weights

    @property
    def _touches(self) -> list[dict[str, Any]]:
        """What was done by hand to all its trainings."""
        return [asdict(touch) for touch in self.members[0].run.touches]

    def as_data(self) -> dict[str, Any]:
        """The trial with its validation scores as plain data."""
        return {
            "trial": list(self.trial.key),
            "hyperparameters": dict(self.trial.hyperparameters),
            "scores": [member.score for member in self.members],
            "states": [str(member.state) for member in self.members],
            **({"touches": touches} if (touches := self._touches) else {}),
            "mean": self.mean,
            "std": self.deviation,
        }


def finalize(
    job: Job, prepared: Prepared, stem: str, finalists: Sequence[Retrained], *, onnx: bool = False
) -> tuple[dict[str, Any] | None, Path | None]:
    """Keeps the best epoch of the best, and scores it and the ensemble of all on the test split, once.

    Args:
        job: what the user asked for.
        prepared: the recipe with its data.
        stem: what the study's files are called.
        finalists: the retrained trials, the best first.
        onnx: also write the network as ONNX.

    Returns:
        What it came to, for the store, and the file with the weights; None without an accuracy to report.
    """
    if not finalists:
        return None, None
    best = finalists[0]
    member, hyperparameters = best.best, best.trial.hyperparameters
    reading = member.run.best
    if reading is None:
        return {"state": str(member.run.state), "hyperparameters": dict(hyperparameters)}, None
    path = job.folder / f"{stem}.safetensors"
    recipe = save_model(
        path, prepared, hyperparameters, member.weights, recipe=job.recipe, settings=job.settings
    )
    report = member.watched.report(Result(best.trial, member.run), prepared)
    return {
        "trial": list(best.trial.key),
        "hyperparameters": dict(hyperparameters),
        "epochs": best.epochs,
        "epochs_done": len(member.run.readings),
        "seed": member.seed,
        "best_epoch": reading.epoch,
        "val_accuracy": reading.val_accuracy,
        "val_loss": reading.val_loss,
        **_held_out(prepared, best, finalists),
        "finalists": [each.as_data() for each in finalists],
        "readings": [asdict(entry) for entry in member.run.readings],
        **costs_data(member.watched.costs),
        "causes": [cause.as_data() for cause in report.causes],
        "weights": str(path),
        "recipe": str(recipe),
        **(try_save_onnx(path, prepared, hyperparameters, member.weights) if onnx else {}),
    }, path


def _held_out(prepared: Prepared, best: Retrained, finalists: Sequence[Retrained]) -> dict[str, Any]:
    """The scores of the best and of the ensemble, on validation and, in one evaluation, on the test split."""
    everyone = [(each, member) for each in finalists for member in each.completed]
    first = next(index for index, (_, member) in enumerate(everyone) if member is best.best)
    models = [each.model(member) for each, member in everyone]
    test = scores(prepared, models, TEST)
    several = len(models) > 1
    val = scores(prepared, models, VALIDATION) if several else None
    return {
        "test_accuracy": None if test is None else test.each[first].accuracy,
        "test_loss": None if test is None else test.each[first].loss,
        "test_examples": None if test is None else test.each[first].examples,
        "ensemble": _ensemble(len(models), val, test) if val is not None else None,
    }


def _ensemble(members: int, val: Scores, test: Scores | None) -> dict[str, Any]:
    return {
        "members": members,
        "val_accuracy": val.ensemble.accuracy,
        "val_loss": val.ensemble.loss,
        "test_accuracy": None if test is None else test.ensemble.accuracy,
        "test_loss": None if test is None else test.ensemble.loss,
    }


@dataclass(frozen=True)
class Retraining:
    """How the best are trained anew.

    Attributes:
        seeds: trainings of each trial, at least 1; they differ in initial weights and dropout masks, and see
            the same mini-batches.
        observe: look at layers.
        details: keep histograms and first-layer weights too.
        deadline: no epoch but a training's first begins after this moment, in seconds since 1970.
    """

    seeds: int = 1
    observe: bool = True
    details: bool = False
    deadline: float = math.inf


def finalists_of(found: Outcome, budgets: Sequence[Budget]) -> tuple[Budget, list[Trial]]:
    """The final stage's budget, and the trials that it trains anew."""
    budget = budgets[-1] if budgets[-1].name == FINAL else Budget(FINAL, 1, budgets[-1].epochs)
    return budget, [result.trial for result in ranked(found.results)[: budget.trials]]


def retrain(
    prepared: Prepared,
    found: Outcome,
    budgets: Sequence[Budget],
    how: Retraining,
    told: Callable[[Reading, int], None],
    *,
    inbox: Inbox | None = None,
) -> list[Retrained]:
    """Trains the best trials anew, longer, each from several seeds.

    Args:
        prepared: the recipe with its data.
        found: what the stages brought.
        budgets: of the stages; the last may be the final one's.
        how: seeds, and what is looked at.
        told: called with every epoch's best reading and the number of epochs.
        inbox: what is asked of the trials by hand meanwhile; it is done to all trainings of a trial.

    Returns:
        The retrained, the best first; empty when no trial completed.
    """
    budget, trials = finalists_of(found, budgets)
    asked = [(trial, seed) for trial in trials for seed in range(how.seeds)]
    candidates = [prepared.candidate(trial.hyperparameters, _stream(trial, seed)) for trial, seed in asked]
    trained: dict[tuple[tuple[int, int], int], Member] = {}
    for group in groups(candidates):
        some = [asked[index] for index in group]
        members = _together(
            prepared, some, [candidates[index] for index in group], budget.epochs, how, told, inbox
        )
        trained |= {(trial.key, seed): member for (trial, seed), member in zip(some, members, strict=True)}
    finished = [
        Retrained(trial, budget.epochs, tuple(trained[trial.key, seed] for seed in range(how.seeds)))
        for trial in trials
    ]
    return sorted(finished, key=lambda each: each.rank, reverse=True)


def _stream(trial: Trial, seed: int) -> Stream:
    """The random stream of a training; the first is the trial's own, so that one seed repeats it."""
    return ("trial", *trial.key) if seed == 0 else ("trial", *trial.key, "seed", seed)


def _together(
    prepared: Prepared,
    asked: Sequence[tuple[Trial, int]],
    candidates: Sequence[Candidate],
    epochs: int,
    how: Retraining,
    told: Callable[[Reading, int], None],
    inbox: Inbox | None,
) -> list[Member]:
    """Trains trials of one architecture anew as one population."""
    trainer = prepared.trainer_of(candidates, epochs, keep_best=True)
    observer = PopulationObserver(EVERY if how.details else EVERY_IN_SEARCH, detailed=how.details)
    trainer.observer = observer if how.observe else None
    if inbox is not None:
        trainer.requests = requests_of(inbox, members_of([trial for trial, _ in asked]))
    rule = prepared.recipe.update
    watched = [Watched(str(trial.hyperparameters.get("update", rule))) for trial, _ in asked]
    pieces: list[list[Details]] = [[] for _ in asked]
    for report in prepared.reports(trainer):
        for index, values in report.costs.items():
            watched[index].add_costs(values)
        for index, seen in observer.take().items():
            pieces[index].append(watched[index].trace.add(seen))
        if report.readings:
            told(max(report.readings.values(), key=score), epochs)
        if time.time() > how.deadline:
            break
    return [
        Member(seed, trainer, index, one, _renamed(joined(pieces[index])))
        for index, ((_, seed), one) in enumerate(zip(asked, watched, strict=True))
    ]


def _renamed(details: Details) -> Details:
    """The details under names of their own, beside those of the trial's first training."""
    return Details(
        {f"{FINAL}/{name}": points for name, points in details.series.items()},
        [replace(one, name=f"{FINAL}/{one.name}") for one in details.histograms],
        [replace(one, name=f"{FINAL}/{one.name}") for one in details.snapshots],
    )
