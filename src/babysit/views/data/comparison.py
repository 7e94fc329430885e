"""Trials and studies side by side: the settings that differ, and the result of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from babysit.records import Result, Study, Value, score
from babysit.verdicts import Verdict
from babysit.views.data.trial_rows import finite

_COMPARED_SETTINGS = ("loss", "update", "schedule", "epochs", "dataset", "train_examples", "precision")


@dataclass(frozen=True)
class Compared:
    """A trial that is compared, or a study that is compared by its best trial.

    Attributes:
        name: as the user typed it.
        study: the study.
        result: the trial; None for a study in which none has a score.
        settings: those of the study, where a whole study is compared.
        trials: the number of trials of the study, where a whole study is compared; 0 for a trial.
        verdict: on the trial.
    """

    name: str
    study: Study
    result: Result | None
    settings: dict[str, Value] = field(default_factory=dict)
    trials: int = 0
    verdict: Verdict = field(default_factory=Verdict)

    @property
    def values(self) -> dict[str, Value]:
        """Everything that was set, hyperparameters last."""
        return {**self.settings, **(dict(self.result.trial.hyperparameters) if self.result else {})}


def study_settings(study: Study) -> dict[str, Value]:
    """Returns the settings of a whole study that may differ between studies."""
    known = study.settings
    stages = ",".join(f"{name}:{trials}x{epochs}" for name, trials, epochs in known.get("stages") or ())
    found: dict[str, Value] = {"recipe": study.recipe, "seed": study.seed, "stages": stages}
    return found | {name: known[name] for name in _COMPARED_SETTINGS if name in known}


def differing(compared: Sequence[Compared]) -> list[str]:
    """Returns the names of the settings that differ, in the order in which they appear."""
    values = [one.values for one in compared]
    names = list(dict.fromkeys(name for known in values for name in known))
    return [name for name in names if len({repr(known.get(name)) for known in values}) > 1]


def comparison_data(compared: Sequence[Compared]) -> dict[str, Any]:
    """Returns the comparison as plain data."""
    return {
        "differing": differing(compared),
        "compared": [
            {
                "name": one.name,
                "study": one.study.id,
                "trial": None if one.result is None else list(one.result.trial.key),
                "state": str(one.study.state if one.trials or one.result is None else one.result.run.state),
                "trials": one.trials,
                "values": {name: one.values.get(name) for name in differing(compared)},
                "score": None if one.result is None else finite(one.result.score),
                "epochs": 0 if one.result is None else len(one.result.run.readings),
                "scores": [] if one.result is None else [score(each) for each in one.result.run.readings],
                "verdict": str(one.verdict.health),
                "causes": [cause.rule for cause in one.verdict.causes],
            }
            for one in compared
        ],
    }
