"""The verdict on a run whose layers were looked at too: the rules on readings, and those on layers.

A layer's peculiarity is no alarm while the run learns. Where it does not, a layer is a cause, and what the
readings show is its symptom, unless the readings name a cause of their own, as an explosion.
"""

from __future__ import annotations

import math
from dataclasses import replace

from babysit.records import Finding, Run, Severity
from babysit.watching.live_rules import judge
from babysit.watching.quantities import Log
from babysit.watching.rules import Context, diagnose

LAYER_RULES = frozenset(
    {"vanishing_gradients", "exploding_gradients", "dead_units", "saturated", "rate_too_high"}
)
"""The rules of the live watch that join the findings on a run; the others ask what its readings answer."""
_SYMPTOMS = frozenset(
    {
        "learning_rate_too_low",
        "learned_nothing",
        "bad_initialization",
        "accuracy_stands_still",
        "oscillation",
        "underfitting",
        "plateau",
        "still_improving",
    }
)
_LEARNED = 0.25


def examine(run: Run, context: Context, log: Log | None) -> list[Finding]:
    """All findings on a run, the gravest first.

    Args:
        run: the run, finished or not.
        context: its hyperparameters and its loss's chance level.
        log: what was seen of its layers; None if nobody looked.

    Example:
        >>> from babysit.records import State
        >>> examine(Run(State.COMPLETE), Context(2.3, 0.1, {}), None)
        []
    """
    found = diagnose(run, context)
    named_a_cause = any(finding.rule not in _SYMPTOMS for finding in found)
    if log is None or not log.samples or named_a_cause or learns(run, context):
        return found
    layers = layer_findings(run, log)
    return [*layers, *(finding for finding in found if not layers or finding.rule not in _SYMPTOMS)]


def layer_findings(run: Run, log: Log) -> list[Finding]:
    """What the layers of a run that does not learn tell, symptoms folded away.

    Args:
        run: the run; its readings tell the epoch of a step.
        log: what was seen of its layers.
    """
    causes = [cause.finding for cause in judge(log).causes if cause.rule in LAYER_RULES]
    grave = [finding for finding in causes if finding.severity is not Severity.INFO]
    return [replace(finding, since=_epoch(run, finding.since), unit="epoch") for finding in grave]


def _epoch(run: Run, step: int) -> int:
    """The epoch that a step belongs to, from 1."""
    return next((each.epoch for each in run.readings if step <= each.step), len(run.readings) + 1)


def learns(run: Run, context: Context) -> bool:
    """Whether a run does so well that odd layers are its own business.

    The cost halved, or a quarter of the way from chance to all right is done.

    Args:
        run: the run.
        context: the chance levels.

    Example:
        >>> from babysit.records import Reading, State
        >>> run = Run(State.COMPLETE, (Reading(1, 490, 1.8, 0.36, 0.35, 1e-3),), first_cost=2.3)
        >>> learns(run, Context(2.3, 0.1, {}))
        True
    """
    best, last = run.best, run.last
    if best is None or last is None:
        return False
    if last.cost < run.first_cost / 2:
        return True
    if math.isnan(best.val_accuracy):
        return best.val_loss < (1 - _LEARNED) * context.chance_loss
    return best.val_accuracy > context.chance_accuracy + _LEARNED * (1 - context.chance_accuracy)
