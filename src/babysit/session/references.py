"""Which study or trial is meant: ``3``, ``3/0/12``, ``3/fine/7``, ``3/best``, or a study's name."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from babysit.errors import InputError
from babysit.records import Result, Stage, Study
from babysit.store import queries
from babysit.store.queries import Key
from babysit.store.reader import Reader
from babysit.tuning.ranking import as_tried

BEST = "best"
_MOST = 5


class Reference(NamedTuple):
    """What was meant: a study, or one trial of it."""

    study: Study
    key: Key | None


def resolve(reader: Reader, text: str) -> Reference:
    """The study or trial that a text names.

    Args:
        reader: the store.
        text: a study's number or name (the newest of that name); after a slash a trial: "best",
            STAGE/NUMBER with the stage's index or name, or NUMBER alone where there is one stage.

    Raises:
        InputError: the store has none such; the message names the nearest.
    """
    study_text, _, trial_text = text.strip().partition("/")
    study = _study(reader, study_text)
    return Reference(study, _trial(reader, study, text, trial_text) if trial_text else None)


def _study(reader: Reader, text: str) -> Study:
    known = queries.studies(reader)
    found = [study for study in known if str(study.id) == text or study.name == text]
    if not found:
        fix = near(text, [str(study.id) for study in known] + [study.name for study in known])
        raise InputError(f"there is no study {text!r} in the store", fix=fix or "`babysit runs` lists them")
    return next((study for study in found if str(study.id) == text), found[0])


def _trial(reader: Reader, study: Study, text: str, trial: str) -> Key:
    results, stages = queries.results(reader, study.id), queries.stages(reader, study.id)
    known = [result.trial.key for result in results]
    key = _best(study, results) if trial == BEST else _key(trial, stages, known)
    if key not in known:
        fix = near(text, nearest(study.id, key, known))
        raise InputError(f"study {study.id} has no trial {trial!r}", fix=fix or "it has no trials yet")
    return key


def _best(study: Study, results: Sequence[Result]) -> Key:
    scored = [result for result in results if result.score > float("-inf")]
    if not scored:
        raise InputError(
            f"study {study.id} has no trial with a score", fix="name one by its stage and number"
        )
    return max(as_tried(scored) or scored, key=lambda result: result.score).trial.key


def _key(trial: str, stages: Sequence[Stage], known: Iterable[Key]) -> Key | None:
    """Reads a trial's stage and number; a watched loop has a trial and no stages."""
    stage, slash, number = trial.rpartition("/")
    places = {stage.index for stage in stages} | {key[0] for key in known}
    indices = {stage.name: stage.index for stage in stages} | {str(place): place for place in places}
    only = next(iter(places)) if len(places) == 1 and not slash else None
    index = indices.get(stage, only)
    return (index, int(number)) if index is not None and number.isdecimal() else None


def nearest(study: int, key: Key | None, known: Iterable[Key]) -> list[str]:
    """The trials of a study nearest to one that is not there, as they are typed.

    Example:
        >>> nearest(3, (0, 9), [(0, number) for number in range(8)] + [(1, 0)])[:2]
        ['3/0/7', '3/0/6']
    """
    wanted = key or (0, 0)
    order = sorted(known, key=lambda one: (abs(one[0] - wanted[0]), abs(one[1] - wanted[1])))
    return [f"{study}/{stage}/{number}" for stage, number in order[:_MOST]]


def near(text: str, known: Sequence[str]) -> str:
    """Which of the known names may have been meant; the first of them where none is like it.

    Example:
        >>> near("digist", ["1", "digits"]), near("9", ["1", "2"])
        ("did you mean 'digits'?", 'choose one of 1, 2')
    """
    if not known:
        return ""
    close = difflib.get_close_matches(text, known, n=1, cutoff=0.7) if not text.isdecimal() else []
    if close and "/" not in text:
        return f"did you mean {close[0]!r}?"
    return f"choose one of {', '.join(list(dict.fromkeys(known))[:_MOST])}"
