"""One recorded trial with everything that a page or a terminal shows, loaded at once."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from babysit.diagnosis.report import Report
from babysit.records import Histogram, Result, Snapshot, Stage, Study, TrialKey
from babysit.store import queries, run_queries
from babysit.store.queries import Curve
from babysit.store.reader import Reader
from babysit.verdicts import CheckResult, Verdict
from babysit.watching.trace import CHANCE


@dataclass(frozen=True)
class TrialView:
    """One trial with all that belongs to it.

    Attributes:
        study: its study.
        stage: its stage; None where the store has none.
        result: the trial and its run.
        costs: steps and the cost at each.
        series: the other quantities that were recorded step by step, by name.
        verdict: the findings, and the questions that were asked.
        histograms: by name, oldest first: "activations/LAYER", "gradients/PARAMETER".
        snapshots: of the first layer's weights by the parameter's name, oldest first.
        checks: the checks before training.
        version: the number of the run's last change in the store.
    """

    study: Study
    stage: Stage | None
    result: Result
    costs: Curve
    series: Mapping[str, Curve] = field(default_factory=dict)
    verdict: Verdict = field(default_factory=Verdict)
    histograms: Mapping[str, Sequence[Histogram]] = field(default_factory=dict)
    snapshots: Mapping[str, Sequence[Snapshot]] = field(default_factory=dict)
    checks: Sequence[CheckResult] = ()
    version: int = 0

    @property
    def name(self) -> str:
        """The trial as it is typed: study/stage/number."""
        stage, number = self.result.trial.key
        return f"{self.study.id}/{stage}/{number}"

    @property
    def report(self) -> Report:
        """The verdict as it is printed, under the trial's name."""
        found = self.verdict
        return Report(found.causes, found.questions, found.facts, found.steps, found.when, self.name)

    @property
    def chance_loss(self) -> float:
        """The loss of the best constant answer; NaN where it is unknown."""
        setting = self.study.settings.get("chance_loss")
        if isinstance(setting, int | float):
            return float(setting)
        recorded = self.series.get(CHANCE)
        return float(recorded[1][-1]) if recorded is not None and len(recorded[1]) else math.nan

    @property
    def has_layers(self) -> bool:
        """True where its layers were recorded."""
        return any(name.startswith("layers/") for name in self.series) or bool(self.histograms)

    def layers(self, quantity: str) -> dict[str, Curve]:
        """Returns one quantity of every layer or parameter that has it, by its name.

        Args:
            quantity: "update_ratio", "gradient_norm", "mean", "std", "dead" or "saturated".
        """
        found = {
            name.removeprefix("layers/").removesuffix(f"/{quantity}"): curve
            for name, curve in self.series.items()
            if name.startswith("layers/") and name.endswith(f"/{quantity}")
        }
        return {name: found[name] for name in sorted(found, key=in_order)}


def in_order(name: str) -> list[tuple[int, str]]:
    """Returns a key that sorts names by the numbers in them: layer 10 comes after layer 2.

    Example:
        >>> sorted(["10.weight", "2.weight", "head.weight"], key=in_order)
        ['2.weight', '10.weight', 'head.weight']
    """
    return [
        (int(part), "") if part.isdecimal() else (1 << 62, part) for part in re.split(r"(\d+)", name) if part
    ]


def load_trial_view(reader: Reader, study: int, key: TrialKey) -> TrialView:
    """Loads a trial.

    Args:
        reader: the store.
        study: the study's number in it.
        key: stage and number of the trial.

    Raises:
        StoreError: the store has no such trial.
    """
    stages = {stage.index: stage for stage in queries.stages(reader, study)}
    # The version first: a change that is written meanwhile is then read once more, and never missed.
    version = run_queries.version(reader, study, key)
    return TrialView(
        queries.study(reader, study),
        stages.get(key[0]),
        run_queries.result(reader, study, key),
        queries.costs(reader, study, key),
        queries.series_of(reader, study, key),
        run_queries.verdict(reader, study, key),
        queries.histograms(reader, study, key),
        queries.snapshots(reader, study, key),
        queries.checks(reader, study),
        version,
    )
