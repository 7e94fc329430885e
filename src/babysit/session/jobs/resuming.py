"""Which study a resumed search goes on with: the same command's, or the same with smaller budgets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from babysit.errors import InputError
from babysit.recipe.building import Prepared
from babysit.records import Result, Study
from babysit.session.commands.liveness import running_elsewhere
from babysit.session.jobs.job import Job, fingerprint_of, other_fingerprints, refuse_to_mix
from babysit.store import queries
from babysit.store.queries import Key
from babysit.store.reader import Reader
from babysit.tuning.stages import FINAL, Budget

Earlier = tuple[Study, dict[Key, Result]]


def earlier_search(
    job: Job, prepared: Prepared, fingerprint: str, asked: Mapping[str, Any]
) -> Earlier | None:
    """The newest search that a command goes on with, and its finished trials.

    It is one of the same command, or one that this command extends: with the same stages, of which the
    last that was begun may get more trials, and others may follow. The trials are those that the command
    would have trained without the earlier one.

    Args:
        job: what the user asked for.
        prepared: the recipe with its data.
        fingerprint: of the command.
        asked: what else decides, with the budgets as "stages".

    Raises:
        InputError: the study is running in another process, was trained in another precision, has more
            trials than are asked for, or its next stage was drawn from fewer.
    """
    with Reader(job.store_url) as reader:
        study = queries.find_study(reader, fingerprint, "search") or _extended(reader, job, prepared, asked)
        if study is None:
            _refuse_another_precision(reader, job, prepared, asked)
            return None
        if pid := running_elsewhere(study):
            raise InputError(
                f"study {study.id} of this command is running in process {pid}",
                fix="wait for it, interrupt it first, or leave --resume out to begin anew",
            )
        found = queries.results(reader, study.id)
    return study, {result.trial.key: result for result in found if result.run.is_final}


def _extended(reader: Reader, job: Job, prepared: Prepared, asked: Mapping[str, Any]) -> Study | None:
    ours = _budgets(asked["stages"])
    for study in queries.studies(reader):
        stages = [list(stage) for stage in study.settings.get("stages") or ()]
        told = {**asked, "stages": stages}
        same = fingerprint_of(job, prepared.recipe, "search", prepared.precision, **told)
        if study.kind == "search" and study.fingerprint == same and _continues(_budgets(stages), ours):
            begun = {summary.stage for summary in queries.run_summaries(reader, study.id)}
            for index, (theirs, wanted) in enumerate(zip(_budgets(stages), ours, strict=False)):
                _refuse_fewer(study, theirs, wanted)
                if wanted.trials > theirs.trials and index + 1 in begun:
                    _refuse_earlier_stage(study, theirs, ours[index + 1])
            return study
    return None


def _budgets(stages: Sequence[Sequence[Any]]) -> list[Budget]:
    """All but the final one: the best are retrained after every extension anyway."""
    return [Budget(*stage) for stage in stages if stage[0] != FINAL]


def _continues(theirs: Sequence[Budget], ours: Sequence[Budget]) -> bool:
    """Whether the stages are the same, or the same and more, but for their numbers of trials."""
    shape = [(budget.name, budget.epochs) for budget in theirs]
    return shape == [(budget.name, budget.epochs) for budget in ours[: len(theirs)]]


def _refuse_fewer(study: Study, theirs: Budget, wanted: Budget) -> None:
    if wanted.trials < theirs.trials:
        raise InputError(
            f"study {study.id} of this command has {theirs.trials} trials in its stage {theirs.name!r}, "
            f"more than the {wanted.trials} that are asked for",
            fix=f"ask for {theirs.trials} or more in all, or leave --resume out to begin anew",
        )


def _refuse_earlier_stage(study: Study, theirs: Budget, following: Budget) -> None:
    raise InputError(
        f"the stage {theirs.name!r} of study {study.id} cannot grow: {following.name!r} was begun in the box "
        f"that its {theirs.trials} trials gave",
        fix=f"give {following.name!r} more trials, add a stage, or leave --resume out to begin anew",
    )


def _refuse_another_precision(reader: Reader, job: Job, prepared: Prepared, asked: Mapping[str, Any]) -> None:
    for precision, fingerprint in other_fingerprints(job, prepared, "search", **asked).items():
        study = queries.find_study(reader, fingerprint, "search")
        if study is not None:
            refuse_to_mix(f"study {study.id} of this command", precision, prepared.precision)
