"""One training: a single run with checkpoints, its verdict, and its best weights."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from babysit.diagnosis.report import Report
from babysit.errors import CheckpointError
from babysit.recipe.building import Prepared
from babysit.recipe.recipe import Recipe
from babysit.recipe.setting_text import point_text, setting_texts
from babysit.recipe.space import as_data, middle
from babysit.records import Reading, Result, Run, Stage, State, Trial
from babysit.session.commands.handler import RunCommandHandler
from babysit.session.jobs.environment import environment
from babysit.session.jobs.job import (
    Job,
    computing_words,
    file_stem,
    fingerprint_of,
    other_fingerprints,
    refuse_to_mix,
    writable,
)
from babysit.session.jobs.recorder import DiagnosingRecorder, Series, closing
from babysit.session.models.export import save_model
from babysit.store.writer import Writer
from babysit.training.checkpoint import load_checkpoint, save_checkpoint
from babysit.training.trainer import EpochReport, Trainer
from babysit.tuning.engines.events import samples_until_explosion, series, with_stop_message
from babysit.verdicts import Finding
from babysit.watching.observer import PopulationObserver
from babysit.watching.watch import EVERY

CHECKPOINT_SECONDS = 2.0
"""The least time between two checkpoints: what a killed training may lose, with its unfinished epoch."""


@dataclass(frozen=True)
class Trained:
    """The result of one training.

    Attributes:
        study: its number in the store.
        run: the summary.
        report: the verdict on it.
        weights: the file with the weights of the best epoch; None when the run exploded.
    """

    study: int
    run: Run
    report: Report
    weights: Path | None

    @property
    def findings(self) -> tuple[Finding, ...]:
        """The report's findings, most severe first."""
        return self.report.findings


def train(
    job: Job,
    prepared: Prepared,
    *,
    resume: bool = False,
    show: Callable[[Reading], None] = lambda _: None,
) -> Trained:
    """Trains one run.

    Args:
        job: the job.
        prepared: the recipe with its data.
        resume: resume from the checkpoint of the same command, bit for bit, if there is one.
        show: called with every reading, those before the checkpoint included.

    Raises:
        CheckpointError: when the checkpoint is damaged or cannot be written.
        InputError: when there is a checkpoint of the same command in another precision.
        StoreError: when the store cannot be written.
    """
    recipe = prepared.recipe
    trial = Trial(0, 0, middle(recipe.full_space()))
    fingerprint = fingerprint_of(job, recipe, "train", prepared.precision)
    checkpoint = _checkpoint(job, recipe, fingerprint)
    is_resumed = resume and checkpoint.exists()
    if resume and not is_resumed:
        for precision, other in other_fingerprints(job, prepared, "train").items():
            if (found := _checkpoint(job, recipe, other)).exists():
                refuse_to_mix(f"the training behind {found}", precision, prepared.precision)
    trainer = prepared.trainer([(trial.hyperparameters, ("trial", 0, 0))], recipe.epochs, keep_best=True)
    trainer.observer = observer = PopulationObserver(EVERY, detailed=True)
    if is_resumed:
        tensors, data = load_checkpoint(checkpoint)
        if data.get("fingerprint") != fingerprint:
            raise CheckpointError(
                f"{checkpoint} belongs to another recipe or other settings",
                fix="repeat the former command exactly, or leave --resume out",
            )
        trainer.restore(tensors, data)
    with Writer(job.store_url) as writer:
        study = begin(writer, job, prepared, "train", fingerprint, {})
        recorder = DiagnosingRecorder(writer, prepared)
        with closing(writer, study), RunCommandHandler(job.store_url, study) as commands:
            trainer.requests = commands.requests
            stage = Stage(0, "train", as_data(recipe.full_space()), 1, recipe.epochs, "as asked")
            recorder.begin_stage(study, stage)
            recorder.begin_trials(study, [trial])
            for reading in trainer.runs()[0].readings:
                show(reading)
            reports = prepared.reports(trainer)
            recorded = _recorded(reports, observer, recorder, study, trial)
            tail = _follow(trainer, recorded, checkpoint, fingerprint, show)
            run = with_stop_message(trainer.runs()[0])
            verdicts = recorder.finish_trials(study, [Result(trial, run)], {trial.key: tail})
            weights = None
            if run.best is not None:
                stem = file_stem(job.name or recipe.name, study, fingerprint)
                weights = job.folder / f"{stem}.safetensors"
                save_model(
                    weights,
                    prepared,
                    trial.hyperparameters,
                    trainer.weights(0),
                    recipe=job.recipe,
                    settings=setting_texts(job.settings),
                )
            if run.state is not State.STOPPED:
                checkpoint.unlink(missing_ok=True)  # the run is finished: nothing is left to resume
            best = None if run.best is None else best_data(Result(trial, run))
            writer.finish_study(study, run.state, {"best": best, "weights": str(weights or "")})
    report = replace(verdicts[trial.key], name=job.name or recipe.name)
    return Trained(study, run, report, weights)


def _checkpoint(job: Job, recipe: Recipe, fingerprint: str) -> Path:
    return writable(job.folder) / f"{file_stem(recipe.name, 0, fingerprint)}.checkpoint.safetensors"


def _recorded(
    reports: Iterator[EpochReport],
    observer: PopulationObserver,
    recorder: DiagnosingRecorder,
    study: int,
    trial: Trial,
) -> Iterator[EpochReport]:
    """Yields the reports, after each was recorded with the samples of its layers."""
    for report in reports:
        looks = observer.take()
        samples = samples_until_explosion(report, 0, looks) if report.exploded else looks.get(0, ())
        recorder.observed(study, trial, samples)
        if report.readings:
            recorder.epoch(study, trial, report.readings[0], *series(report, 0))
            recorder.judge_so_far(study, trial)
        yield report


def _follow(
    trainer: Trainer,
    reports: Iterator[EpochReport],
    checkpoint: Path,
    fingerprint: str,
    show: Callable[[Reading], None],
) -> Series:
    """Trains to the end; returns the costs of the last, unfinished epoch of a run that has one."""
    saved = -math.inf
    for report in reports:
        if 0 not in report.readings:
            return series(report, 0)
        if time.monotonic() - saved >= CHECKPOINT_SECONDS:
            tensors, data = trainer.snapshot()
            save_checkpoint(checkpoint, tensors, {**data, "fingerprint": fingerprint})
            saved = time.monotonic()
        show(report.readings[0])
    return np.empty(0, np.int32), np.empty(0, np.float32)


def best_data(best: Result) -> dict[str, Any]:
    """Returns the best trial as plain data, for the store and ``--json``."""
    reading = best.run.best
    return {
        "stage": best.trial.stage,
        "number": best.trial.number,
        "val_accuracy": None if reading is None else reading.val_accuracy,
        "val_loss": None if reading is None else reading.val_loss,
        "hyperparameters": dict(best.trial.hyperparameters),
        **({"folds": list(best.run.folds), "fold_error": best.fold_error} if best.run.folds else {}),
    }


def begin(
    writer: Writer, job: Job, prepared: Prepared, kind: str, fingerprint: str, settings: Mapping[str, Any]
) -> int:
    """Starts a study in the store, with all its settings."""
    recipe = prepared.recipe
    enqueued = [point if isinstance(point, str) else point_text(point) for point in job.enqueue]
    recorded = {
        "settings": setting_texts(job.settings),
        "loss": recipe.loss,
        "update": " or ".join(recipe.options("update")),
        "schedule": " or ".join(recipe.options("schedule")),
        "epochs": recipe.epochs,
        "dataset": prepared.dataset.name,
        "train_examples": len(prepared.dataset.train),
        "val_examples": len(prepared.dataset.val),
        "chance_loss": prepared.chance_loss,
        "precision": prepared.precision,
        "environment": environment(),
        "out": str(job.folder),
        "how": computing_words(job),
        **({"name": job.name} if job.name else {}),
        **({"enqueued": enqueued} if enqueued else {}),
        **({"enqueue": list(recipe.enqueue)} if recipe.enqueue and kind == "search" else {}),
        **settings,
    }
    return writer.begin_study(
        name=job.name or recipe.name,
        recipe=job.recipe,
        kind=kind,
        seed=job.seed,
        fingerprint=fingerprint,
        settings=recorded,
    )
