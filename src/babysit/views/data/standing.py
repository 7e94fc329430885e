"""The standing of a study as every view reads it: recorded at its end, or judged from its trials so far."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from babysit.recipe.space import from_data
from babysit.records import Edge, Result, Stage, Study
from babysit.tuning.ranking import Round, best
from babysit.tuning.stages import FINAL
from babysit.tuning.standing import Standing, no_alarms_reason, standing


def study_standing(study: Study, stages: Sequence[Stage], results: Sequence[Result]) -> Standing:
    """Returns the standing of a study.

    Args:
        study: the study; what its search judged at its end is in its outcome.
        stages: its stages.
        results: its trials; their best reading is enough.
    """
    first, outcome = best(results), study.outcome
    examples = int(study.settings.get("val_examples") or 0)
    if "edges" in outcome:
        by_key = {result.trial.key: result for result in results}
        ties = [(int(key[0]), int(key[1])) for key in outcome.get("ties") or ()]
        reason = no_alarms_reason(first)  # stores of earlier versions hold alarms on other trials too
        return Standing(
            best=first,
            ties=tuple(by_key[key] for key in ties if key in by_key),
            edges=() if reason else _edges(outcome, "edges"),
            silenced=() if reason else _edges(outcome, "silenced"),
            no_alarms=reason,
            advice=tuple(str(line) for line in outcome.get("advice") or ()),
        )
    if study.kind != "search" or not examples or not stages:
        return Standing(best=first)
    rounds = [
        Round(from_data(stage.box), [each for each in results if each.trial.stage == stage.index])
        for stage in stages
    ]
    given = sum(budget[0] != FINAL for budget in study.settings.get("stages") or ())
    names = [stage.name for stage in stages]
    return standing(rounds, names, examples, given=given, ended=False)


def _edges(outcome: Mapping[str, Any], name: str) -> tuple[Edge, ...]:
    """Reads the recorded alarms; those that lack a number are left out."""
    known = {field.name for field in fields(Edge)}
    plain = [edge for edge in outcome.get(name) or () if isinstance(edge, Mapping)]
    required = known - {"near", "top", "silenced"}
    return tuple(
        Edge(**{key: edge[key] for key in known & edge.keys()}) for edge in plain if required <= edge.keys()
    )
