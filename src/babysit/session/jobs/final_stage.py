"""The final stage of a search: the best trials retrained, exported, and scored once on the test split."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from babysit.recipe.building import Prepared, groups
from babysit.recipe.scoring import TEST, VALIDATION, Model, scores
from babysit.recipe.setting_text import setting_texts
from babysit.records import Details, Reading, Result, Run, State, Trial, score
from babysit.session.commands.handler import members_of, requests_of
from babysit.session.jobs.job import Job
from babysit.session.jobs.recorder import Watched
from babysit.session.models.export import save_model
from babysit.session.models.onnx import try_save_onnx
from babysit.training.population import Tensors
from babysit.training.trainer import Trainer
from babysit.tuning.engines.inbox import Inbox
from babysit.tuning.search import Outcome
from babysit.tuning.settings import SearchSettings
from babysit.tuning.stages import FINAL, Budget, ranked
from babysit.views.data.final_costs import costs_data
from babysit.watching.observer import EVERY_IN_SEARCH, PopulationObserver
from babysit.watching.trace import joined
from babysit.watching.watch import EVERY


@dataclass(frozen=True)
class Member:
    """One training of one of the best trials, from its own initial weights.

    Attributes:
        seed: its number among the trainings of its trial, from 0.
        trainer, index: the trainer, and the number of its member.
        watched: its costs and the samples of its layers.
        details: the same for the store, under "final/" names.
    """

    seed: int
    trainer: Trainer
    index: int
    watched: Watched
    details: Details

    @property
    def run(self) -> Run:
        """Its run."""
        return self.trainer.runs()[self.index]

    @property
    def state(self) -> State:
        """Its state at the end; a training that still runs was stopped when the time was up."""
        return State.STOPPED if self.run.state is State.RUNNING else self.run.state

    @property
    def score(self) -> float:
        """Its best validation score; minus infinity without one."""
        reading = self.run.best
        return -math.inf if reading is None else score(reading)

    @property
    def weights(self) -> Tensors:
        """Its state dict at its best epoch."""
        return self.trainer.weights(self.index)


@dataclass(frozen=True)
class Retrained:
    """One of the best trials, trained anew once for every seed.

    Attributes:
        trial: the trial.
        epochs: of each training.
        members: its trainings, by seed.
    """

    trial: Trial
    epochs: int
    members: tuple[Member, ...]

    @property
    def completed(self) -> list[Member]:
        """The trainings with a score."""
        return [member for member in self.members if math.isfinite(member.score)]

    @property
    def best(self) -> Member:
        """The training with the best validation score."""
        return max(self.members, key=lambda member: member.score)

    @property
    def mean(self) -> float:
        """The mean of the best validation scores of the trainings with a score; NaN without one."""
        return statistics.fmean([member.score for member in self.completed]) if self.completed else math.nan

    @property
    def deviation(self) -> float:
        """The standard deviation over seeds, of a sample (divided by K - 1); NaN with fewer than two."""
        values = [member.score for member in self.completed]
        return statistics.stdev(values) if len(values) > 1 else math.nan

    @property
    def rank(self) -> tuple[int, float]:
        """The number of trainings with a score, then the mean score: greater is better."""
        return len(self.completed), self.mean if self.completed else -math.inf

    def as_data(self) -> dict[str, Any]:
        """Returns the trial with its validation scores as plain data."""
        touches = [asdict(touch) for touch in self.members[0].run.touches]
        return {
            "trial": list(self.trial.key),
            "hyperparameters": dict(self.trial.hyperparameters),
            "scores": [member.score for member in self.members],
            "states": [str(member.state) for member in self.members],
            **({"touches": touches} if touches else {}),
            "mean": self.mean,
            "std": self.deviation,
        }


def finalize(
    job: Job, prepared: Prepared, stem: str, finalists: Sequence[Retrained], *, onnx: bool = False
) -> tuple[dict[str, Any] | None, Path | None]:
    """Exports the best epoch of the best trial; scores it and the ensemble of all once on the test split.

    Args:
        job: the job.
        prepared: the recipe with its data.
        stem: of the names of the study's files.
        finalists: the retrained trials, best first.
        onnx: also write the network as ONNX.

    Returns:
        The outcome for the store, and the file with the weights; None without an accuracy to report.
    """
    if not finalists:
        return None, None
    best = finalists[0]
    member, hyperparameters = best.best, best.trial.hyperparameters
    reading = member.run.best
    if reading is None:
        return {"state": str(member.run.state), "hyperparameters": dict(hyperparameters)}, None
    path, settings = job.folder / f"{stem}.safetensors", setting_texts(job.settings)
    recipe = save_model(path, prepared, hyperparameters, member.weights, recipe=job.recipe, settings=settings)
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
        **_held_out(prepared, member, finalists),
        "finalists": [each.as_data() for each in finalists],
        "readings": [asdict(entry) for entry in member.run.readings],
        **costs_data(member.watched.costs),
        "causes": [cause.as_data() for cause in report.causes],
        "weights": str(path),
        "recipe": str(recipe),
        **(try_save_onnx(path, prepared, hyperparameters, member.weights) if onnx else {}),
    }, path


def _held_out(prepared: Prepared, best: Member, finalists: Sequence[Retrained]) -> dict[str, Any]:
    """Scores the best model and the ensemble, on validation and, in one evaluation, on the test split."""
    everyone = [(each.trial, member) for each in finalists for member in each.completed]
    first = next(index for index, (_, member) in enumerate(everyone) if member is best)
    models: list[Model] = [(trial.hyperparameters, member.weights) for trial, member in everyone]
    test = scores(prepared, models, TEST)
    data: dict[str, Any] = {
        "test_accuracy": None if test is None else test.each[first].accuracy,
        "test_loss": None if test is None else test.each[first].loss,
        "test_examples": None if test is None else test.each[first].examples,
        "ensemble": None,
    }
    val = scores(prepared, models, VALIDATION) if len(models) > 1 else None
    if val is not None:
        data["ensemble"] = {
            "members": len(models),
            "val_accuracy": val.ensemble.accuracy,
            "val_loss": val.ensemble.loss,
            "test_accuracy": None if test is None else test.ensemble.accuracy,
            "test_loss": None if test is None else test.ensemble.loss,
        }
    return data


def finalists_of(found: Outcome, budgets: Sequence[Budget]) -> tuple[Budget, list[Trial]]:
    """Returns the final stage's budget, and the trials that it trains anew."""
    budget = budgets[-1] if budgets[-1].name == FINAL else Budget(FINAL, 1, budgets[-1].epochs)
    return budget, [result.trial for result in ranked(found.results)[: budget.trials]]


def retrain(
    prepared: Prepared,
    found: Outcome,
    budgets: Sequence[Budget],
    settings: SearchSettings,
    show: Callable[[Reading, int], None],
    *,
    deadline: float = math.inf,
    inbox: Inbox | None = None,
) -> list[Retrained]:
    """Trains the best trials anew, longer, each from several seeds.

    The trainings of a trial differ in initial weights and dropout masks; they see the same mini-batches.

    Args:
        prepared: the recipe with its data.
        found: the outcome of the stages.
        budgets: of the stages; the last may be the final one's.
        settings: of the search: seeds, observe, details.
        show: called with every epoch's best reading and the number of epochs.
        deadline: in seconds since 1970; after it, no epoch starts but the first of a training.
        inbox: the commands to the trials; each applies to all trainings of its trial.

    Returns:
        The retrained trials, best first; empty when no trial completed.
    """
    budget, trials = finalists_of(found, budgets)
    trainings = [(trial, seed) for trial in trials for seed in range(settings.seeds)]
    # The first training has the random stream of the trial itself, so that one seed repeats it.
    candidates = [
        prepared.candidate(trial.hyperparameters, ("trial", *trial.key, *(("seed", seed) if seed else ())))
        for trial, seed in trainings
    ]
    trained: dict[tuple[tuple[int, int], int], Member] = {}
    for group in groups(candidates):
        mine = [trainings[index] for index in group]
        trainer = prepared.trainer_of([candidates[index] for index in group], budget.epochs, keep_best=True)
        if inbox is not None:
            trainer.requests = requests_of(inbox, members_of([trial for trial, _ in mine]))
        members = _train_together(prepared, trainer, mine, settings, show, deadline)
        trained |= {(trial.key, seed): member for (trial, seed), member in zip(mine, members, strict=True)}
    finished = [
        Retrained(trial, budget.epochs, tuple(trained[trial.key, seed] for seed in range(settings.seeds)))
        for trial in trials
    ]
    return sorted(finished, key=lambda each: each.rank, reverse=True)


def _train_together(
    prepared: Prepared,
    trainer: Trainer,
    trainings: Sequence[tuple[Trial, int]],
    settings: SearchSettings,
    show: Callable[[Reading, int], None],
    deadline: float,
) -> list[Member]:
    """Trains trials of one architecture as one population."""
    every = EVERY if settings.details else EVERY_IN_SEARCH
    observer = PopulationObserver(every, detailed=settings.details)
    trainer.observer = observer if settings.observe else None
    rule = prepared.recipe.update
    watched = [Watched(str(trial.hyperparameters.get("update", rule))) for trial, _ in trainings]
    pieces: list[list[Details]] = [[] for _ in trainings]
    for report in prepared.reports(trainer):
        for index, values in report.costs.items():
            watched[index].add_costs(values)
        for index, samples in observer.take().items():
            pieces[index].append(watched[index].trace.add(samples))
        if report.readings:
            show(max(report.readings.values(), key=score), trainer.plan.epochs)
        if time.time() > deadline:
            break
    return [
        Member(seed, trainer, index, one, _under_final_names(joined(pieces[index])))
        for index, ((_, seed), one) in enumerate(zip(trainings, watched, strict=True))
    ]


def _under_final_names(details: Details) -> Details:
    """Renames details, so that they lie beside those of the trial's first training."""
    return Details(
        {f"{FINAL}/{name}": points for name, points in details.series.items()},
        [replace(one, name=f"{FINAL}/{one.name}") for one in details.histograms],
        [replace(one, name=f"{FINAL}/{one.name}") for one in details.snapshots],
    )
