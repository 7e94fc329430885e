"""Commands to copy: a study repeated, a study in other ranges, or one of its trials alone."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence

from babysit.records import Study
from babysit.store.addresses import USUAL_FOLDER
from babysit.tuning.settings import words_of


def study_words(study: Study, *, without: Sequence[str] = ()) -> list[str]:
    """Returns the words of the command that started a study, as far as the store knows it.

    Args:
        study: the study.
        without: names whose settings are left out, to be set anew.

    Example:
        >>> from babysit.records import State
        >>> settings = {"settings": ["l2=1e-3"], "stages": [["coarse", 20, 3], ["final", 1, 9]]}
        >>> study = Study(1, "digits", "digits", "search", 3, "f", settings, State.RUNNING, 0.0)
        >>> " ".join(study_words(study))
        'babysit search digits --seed 3 -s l2=1e-3 --stages coarse:20x3,final:1x9'
    """
    recorded = study.settings
    words = ["babysit", study.kind, study.recipe, *(["--seed", str(study.seed)] if study.seed else [])]
    for setting in map(str, recorded.get("settings") or ()):
        words += ["-s", setting] if setting.partition("=")[0] not in without else []
    words += ["--name", str(recorded["name"])] if recorded.get("name") else []
    words += [word for point in recorded.get("enqueued") or () for word in ("--enqueue", str(point))]
    stages = ",".join(f"{name}:{trials}x{epochs}" for name, trials, epochs in recorded.get("stages") or ())
    words += words_of({**recorded, "stages": stages})
    precision = recorded.get("precision", "float32")
    words += ["--precision", str(precision)] if precision != "float32" else []
    words += [str(word) for word in recorded.get("how") or ()]
    out = recorded.get("out", USUAL_FOLDER)
    return words + (["--out", str(out)] if out != USUAL_FOLDER else [])


def searched_again(study: Study, ranges: Mapping[str, str]) -> str:
    """Returns the command that repeats a study in other ranges.

    Args:
        study: the study.
        ranges: name -> the range as it is typed after ``-s``.
    """
    words = study_words(study, without=list(ranges))
    new = [word for name, text in ranges.items() for word in ("-s", f"{name}={text}")]
    return shlex.join([*words[:3], *new, *words[3:]])
