"""Everything about one study that a page about it needs, loaded at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from babysit.records import Result, Snapshot, Stage, Study
from babysit.store import queries
from babysit.store.reader import Reader
from babysit.tuning.ranking import as_tried
from babysit.verdicts import CheckResult, Verdict
from babysit.views.data.first_layer import CHOSEN
from babysit.views.data.recorded_run import TrialView, load_trial_view

Key = tuple[int, int]
"""Stage and number of a trial."""

Costs = tuple[NDArray[np.int32], NDArray[np.float32]]
"""Steps and the cost at each."""


@dataclass(frozen=True)
class StudyView:
    """One study with all that belongs to it.

    Attributes:
        study: the question that was asked, and its outcome.
        checks: the answers of the checks before training.
        stages: the boxes of ranges, first to last.
        results: every trial with its run.
        costs: trial key -> steps and costs.
        verdicts: trial key -> what was found in it.
        first_layer: the weights of the chosen model's first layer, where they can be drawn.
        look: the chosen model's training, or else the best trial, with what its layers showed.
    """

    study: Study
    checks: Sequence[CheckResult] = ()
    stages: Sequence[Stage] = ()
    results: Sequence[Result] = ()
    costs: Mapping[Key, Costs] = field(default_factory=dict)
    verdicts: Mapping[Key, Verdict] = field(default_factory=dict)
    first_layer: Snapshot | None = None
    look: TrialView | None = None

    @cached_property
    def best(self) -> Result | None:
        """The result with the best validation score; None when no trial has one.

        One whose learning rate was changed by hand counts only where there is no other.
        """
        scored = [result for result in self.results if np.isfinite(result.score)]
        return max(as_tried(scored) or scored, key=lambda result: result.score, default=None)

    def trial_name(self, key: Key) -> str:
        """A trial as people call it: its stage and its number, "fine 12"."""
        stages = {stage.index: stage.name for stage in self.stages}
        return f"{stages.get(key[0], key[0])} {key[1]}"

    def trial_names(self, keys: Sequence[Key], most: int = 12) -> str:
        """Some trials in words, the first ``most`` of them by name."""
        named = ", ".join(self.trial_name(key) for key in keys[:most])
        return named if len(keys) <= most else f"{named} and {len(keys) - most} more"


def load_study_view(url: str, study_id: int) -> StudyView:
    """Loads a study from a store.

    Args:
        url: the store's path or URL.
        study_id: the study's number in it.

    Raises:
        StoreError: the store cannot be read, or has no such study.
    """
    with Reader(url) as reader:
        study, results = queries.study(reader, study_id), queries.results(reader, study_id)
        return StudyView(
            study=study,
            checks=queries.checks(reader, study_id),
            stages=queries.stages(reader, study_id),
            results=results,
            costs=queries.all_costs(reader, study_id),
            verdicts=queries.verdicts(reader, study_id),
            first_layer=_first_layer(reader, study),
            look=_look(reader, study, results),
        )


def _look(reader: Reader, study: Study, results: Sequence[Result]) -> TrialView | None:
    """The trial whose layers are shown: the one that was retrained, the best one, or the only one."""
    trial = (study.outcome.get("final") or {}).get("trial")
    best = StudyView(study, results=results).best
    only = results[0] if len(results) == 1 else None
    shown = (trial[0], trial[1]) if trial else next((one.trial.key for one in (best, only) if one), None)
    known = {result.trial.key for result in results}
    return load_trial_view(reader, study.id, shown) if shown in known and shown is not None else None


def _first_layer(reader: Reader, study: Study) -> Snapshot | None:
    """The newest snapshot of the chosen model's first layer."""
    trial = (study.outcome.get("final") or {}).get("trial")
    kept = queries.snapshots(reader, study.id, (trial[0], trial[1])) if trial else {}
    return next((found[-1] for name, found in kept.items() if name.startswith(CHOSEN)), None)
