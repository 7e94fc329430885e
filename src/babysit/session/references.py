"""References to a study or trial: ``3``, ``3/0/12``, ``3/fine/7``, ``3/best``, or a study's name."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from babysit.errors import InputError
from babysit.records import Stage, Study, TrialKey
from babysit.store import queries
from babysit.store.reader import Reader
from babysit.tuning import ranking

BEST = "best"
_MOST = 5


class Reference(NamedTuple):
    """A study, or one trial of it."""

    study: Study
    key: TrialKey | None


def resolve(reader: Reader, text: str) -> Reference:
    """Finds the study or trial that a text names.

    Args:
        reader: the store.
        text: a study's number or name (the newest of that name); after a slash a trial: "best",
            STAGE/NUMBER with the stage's index or name, or NUMBER alone if there is one stage.

    Raises:
        InputError: the store has no such study or trial; the fix names the nearest.
    """
    text = text.strip()
    name, _, trial = text.partition("/")
    known = queries.studies(reader)
    found = [study for study in known if str(study.id) == name or study.name == name]
    if not found:
        fix = near(name, [str(study.id) for study in known] + [study.name for study in known])
        raise InputError(f"there is no study {name!r} in the store", fix=fix or "`babysit runs` lists them")
    study = next((study for study in found if str(study.id) == name), found[0])
    return Reference(study, _trial(reader, study, text, trial) if trial else None)


def _trial(reader: Reader, study: Study, text: str, trial: str) -> TrialKey:
    results, stages = queries.results(reader, study.id), queries.stages(reader, study.id)
    known = [result.trial.key for result in results]
    if trial == BEST:
        best = ranking.best(results)
        if best is None:
            raise InputError(
                f"study {study.id} has no trial with a score", fix="name one by its stage and number"
            )
        return best.trial.key
    key = _key(trial, stages, known)
    if key not in known:
        fix = near(text, nearest(study.id, key, known))
        raise InputError(f"study {study.id} has no trial {trial!r}", fix=fix or "it has no trials yet")
    return key


def _key(trial: str, stages: Sequence[Stage], known: Iterable[TrialKey]) -> TrialKey | None:
    """Parses a trial's stage and number; a watched loop has a trial and no stages."""
    stage, slash, number = trial.rpartition("/")
    places = {stage.index for stage in stages} | {key[0] for key in known}
    indices = {stage.name: stage.index for stage in stages} | {str(place): place for place in places}
    only = next(iter(places)) if len(places) == 1 and not slash else None
    index = indices.get(stage, only)
    return (index, int(number)) if index is not None and number.isdecimal() else None


def nearest(study: int, key: TrialKey | None, known: Iterable[TrialKey]) -> list[str]:
    """Lists the trials of a study nearest to a missing one, as a user types them.

    Example:
        >>> nearest(3, (0, 9), [(0, number) for number in range(8)] + [(1, 0)])[:2]
        ['3/0/7', '3/0/6']
    """
    wanted = key or (0, 0)
    order = sorted(known, key=lambda one: (abs(one[0] - wanted[0]), abs(one[1] - wanted[1])))
    return [f"{study}/{stage}/{number}" for stage, number in order[:_MOST]]


def near(text: str, known: Sequence[str]) -> str:
    """Suggests a similar name; the first of the known names if none is similar.

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
