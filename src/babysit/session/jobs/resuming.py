"""The study that a resumed search continues: one of the same command, or one with smaller budgets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from babysit.errors import InputError
from babysit.recipe.building import Prepared
from babysit.records import Result, Study, TrialKey
from babysit.session.commands.liveness import running_elsewhere
from babysit.session.jobs.job import Job, fingerprint_of, other_fingerprints, refuse_to_mix
from babysit.store import queries
from babysit.store.reader import Reader
from babysit.tuning.stages import FINAL, Budget

Earlier = tuple[Study, dict[TrialKey, Result]]


def earlier_search(
    job: Job, prepared: Prepared, fingerprint: str, decided: Mapping[str, Any]
) -> Earlier | None:
    """Returns the newest search that a command resumes, and its finished trials; None without one.

    It is one of the same command, or one that this command extends: with the same stages, of which the last
    that has started may get more trials, and others may follow. The trials are those that the command would
    have trained without the earlier one.

    Args:
        job: the job.
        prepared: the recipe with its data.
        fingerprint: of the command.
        decided: the settings that decide the trials, with the budgets as "stages".

    Raises:
        InputError: the study is running in another process, was trained in another precision, has more
            trials than the command, or its next stage was drawn from fewer.
    """
    with Reader(job.store_url) as reader:
        study = queries.find_study(reader, fingerprint, "search") or _extended(reader, job, prepared, decided)
        if study is None:
            others = other_fingerprints(job, prepared, "search", **decided)
            for precision, other in others.items():
                if found := queries.find_study(reader, other, "search"):
                    refuse_to_mix(f"study {found.id} of this command", precision, prepared.precision)
            return None
        if pid := running_elsewhere(study):
            raise InputError(
                f"study {study.id} of this command is running in process {pid}",
                fix="wait for it, interrupt it first, or leave --resume out to start anew",
            )
        results = queries.results(reader, study.id)
    return study, {result.trial.key: result for result in results if result.run.is_final}


def _extended(reader: Reader, job: Job, prepared: Prepared, decided: Mapping[str, Any]) -> Study | None:
    """Returns the study that a command extends."""
    ours = _budgets(decided["stages"])
    for study in queries.studies(reader):
        stages = [list(stage) for stage in study.settings.get("stages") or ()]
        theirs = _budgets(stages)
        before = {**decided, "stages": stages}
        same = fingerprint_of(job, prepared.recipe, "search", prepared.precision, **before)
        shape = [(budget.name, budget.epochs) for budget in theirs]
        continues = shape == [(budget.name, budget.epochs) for budget in ours[: len(theirs)]]
        if study.kind == "search" and study.fingerprint == same and continues:
            started = {summary.stage for summary in queries.run_summaries(reader, study.id)}
            for index, (earlier, wanted) in enumerate(zip(theirs, ours, strict=False)):
                _refuse_fewer(study, earlier, wanted)
                if wanted.trials > earlier.trials and index + 1 in started:
                    _refuse_earlier_stage(study, earlier, ours[index + 1])
            return study
    return None


def _budgets(stages: Sequence[Sequence[Any]]) -> list[Budget]:
    """Returns all budgets but the final one: the best are retrained after every extension anyway."""
    return [Budget(*stage) for stage in stages if stage[0] != FINAL]


def _refuse_fewer(study: Study, earlier: Budget, wanted: Budget) -> None:
    if wanted.trials < earlier.trials:
        raise InputError(
            f"study {study.id} of this command has {earlier.trials} trials in its stage {earlier.name!r}, "
            f"more than the {wanted.trials} that are asked for",
            fix=f"ask for {earlier.trials} or more in all, or leave --resume out to start anew",
        )


def _refuse_earlier_stage(study: Study, earlier: Budget, following: Budget) -> None:
    raise InputError(
        f"the stage {earlier.name!r} of study {study.id} cannot be extended: {following.name!r} has started "
        f"in the box that its {earlier.trials} trials gave",
        fix=f"give {following.name!r} more trials, add a stage, or leave --resume out to start anew",
    )
