"""One study with everything that a view of it needs, loaded at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from babysit.records import Result, Snapshot, Stage, Study, TrialKey
from babysit.store import queries
from babysit.store.reader import Reader
from babysit.tuning import ranking
from babysit.tuning.standing import Standing
from babysit.verdicts import CheckResult, Verdict
from babysit.views.data.first_layer import CHOSEN
from babysit.views.data.recorded_run import TrialView, load_trial_view
from babysit.views.data.standing import study_standing

Costs = tuple[NDArray[np.int32], NDArray[np.float32]]
"""Steps and the cost at each."""


@dataclass(frozen=True)
class StudyView:
    """One study with all that belongs to it.

    Attributes:
        study: the study with its settings and its outcome.
        checks: the results of the checks before training.
        stages: the boxes of ranges, first to last.
        results: every trial with its run.
        costs: trial key -> steps and costs.
        verdicts: trial key -> its findings.
        first_layer: the weights of the chosen model's first layer, where they can be drawn.
        look: the chosen model's training, or else the best trial, with the statistics of its layers.
    """

    study: Study
    checks: Sequence[CheckResult] = ()
    stages: Sequence[Stage] = ()
    results: Sequence[Result] = ()
    costs: Mapping[TrialKey, Costs] = field(default_factory=dict)
    verdicts: Mapping[TrialKey, Verdict] = field(default_factory=dict)
    first_layer: Snapshot | None = None
    look: TrialView | None = None

    @cached_property
    def best(self) -> Result | None:
        """The best trial; None where no trial has a score."""
        return ranking.best(self.results)

    @cached_property
    def standing(self) -> Standing:
        """The best trial, the ties, the edge alarms, and what to do next."""
        return study_standing(self.study, self.stages, self.results)

    def trial_name(self, key: TrialKey) -> str:
        """Returns the name of a trial: its stage and its number, "fine 12"."""
        stages = {stage.index: stage.name for stage in self.stages}
        return f"{stages.get(key[0], key[0])} {key[1]}"

    def trial_names(self, keys: Sequence[TrialKey], most: int = 12) -> str:
        """Returns the names of the first ``most`` trials, and how many more there are."""
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
        known = {result.trial.key for result in results}

        # The layers are shown of the retrained trial, the best one, or the only one.
        final = (study.outcome.get("final") or {}).get("trial")
        retrained = (final[0], final[1]) if final else None
        first = ranking.best(results) or (results[0] if len(results) == 1 else None)
        shown = retrained or (first.trial.key if first else None)
        snapshots = queries.snapshots(reader, study_id, retrained) if retrained else {}
        return StudyView(
            study=study,
            checks=queries.checks(reader, study_id),
            stages=queries.stages(reader, study_id),
            results=results,
            costs=queries.all_costs(reader, study_id),
            verdicts=queries.verdicts(reader, study_id),
            first_layer=next((each[-1] for name, each in snapshots.items() if name.startswith(CHOSEN)), None),
            look=load_trial_view(reader, study_id, shown) if shown and shown in known else None,
        )
