"""Commands that somebody may copy: a study asked again, with other ranges, or one of its trials alone."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence

from babysit.records import Study, Value
from babysit.store.addresses import USUAL_FOLDER

_DECIDING = {"sampler": "--sampler", "round_size": "--round", "pruner": "--pruner", "patience": "--patience"}


def study_words(study: Study, *, without: Sequence[str] = ()) -> list[str]:
    """The words of the command that asked for a study, as far as the store knows it.

    Args:
        study: the study.
        without: names whose settings are left out, to be given anew.

    Example:
        >>> from babysit.records import State
        >>> settings = {"settings": ["l2=1e-3"], "stages": [["coarse", 20, 3], ["final", 1, 9]]}
        >>> study = Study(1, "digits", "digits", "search", 3, "f", settings, State.RUNNING, 0.0)
        >>> " ".join(study_words(study))
        'babysit search digits --seed 3 -s l2=1e-3 --stages coarse:20x3,final:1x9'
    """
    told = study.settings
    words = ["babysit", study.kind, study.recipe, *(["--seed", str(study.seed)] if study.seed else [])]
    kept = [str(one) for one in told.get("settings") or () if str(one).partition("=")[0] not in without]
    words += [word for setting in kept for word in ("-s", setting)]
    words += ["--name", str(told["name"])] if told.get("name") else []
    words += [word for point in told.get("enqueued") or () for word in ("--enqueue", str(point))]
    stages = [f"{name}:{trials}x{epochs}" for name, trials, epochs in told.get("stages") or ()]
    words += ["--stages", ",".join(stages)] if stages else []
    words += ["--folds", str(told["folds"])] if "folds" in told else []
    words += ["--seeds", str(told["seeds"])] if "seeds" in told else []
    words += ["--onnx"] if told.get("onnx") else []
    for name, option in _DECIDING.items():
        words += [option, str(told[name])] if name in told else []
    if "until_stable" in told:
        words += ["--until-stable", "--extra-stages", str(told["until_stable"])]
    precision = told.get("precision", "float32")
    words += ["--precision", str(precision)] if precision != "float32" else []
    words += [str(word) for word in told.get("how") or ()]
    out = told.get("out", USUAL_FOLDER)
    return words + (["--out", str(out)] if out != USUAL_FOLDER else [])


def searched_again(study: Study, ranges: Mapping[str, str]) -> str:
    """The command that asks the same in other ranges.

    Args:
        study: the study.
        ranges: name -> the range as it is written behind ``-s``.
    """
    words = study_words(study, without=list(ranges))
    at = 3
    return shlex.join(
        [
            *words[:at],
            *(word for name, text in ranges.items() for word in ("-s", f"{name}={text}")),
            *words[at:],
        ]
    )


def trained_alone(study: Study, hyperparameters: Mapping[str, Value], epochs: int) -> str:
    """The command that trains one choice of hyperparameters as a run of its own.

    Args:
        study: where it was tried.
        hyperparameters: the choice.
        epochs: for how long; 0 leaves it to the recipe.

    Example:
        >>> from babysit.records import State
        >>> study = Study(1, "digits", "digits", "search", 0, "f", {}, State.RUNNING, 0.0)
        >>> trained_alone(study, {"learning_rate": 1e-3, "hidden": 50}, 5)
        'babysit train digits -s learning_rate=0.001 -s hidden=50 -s epochs=5'
    """
    words = ["babysit", "train", study.recipe, *(["--seed", str(study.seed)] if study.seed else [])]
    values = {**hyperparameters, **({"epochs": epochs} if epochs else {})}
    return shlex.join(
        [*words, *(word for name, value in values.items() for word in ("-s", f"{name}={value}"))]
    )
