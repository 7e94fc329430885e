"""A run's or a log's readings as a report: what the rules found, each with how sure it is."""

from __future__ import annotations

from collections.abc import Sequence

from babysit.records import Cause, Finding, Run
from babysit.verdict.cards import RuleCard
from babysit.verdict.report import Report, ranked
from babysit.watching import live_rules
from babysit.watching.remedies import card
from babysit.watching.rules import RULES, Context, diagnose

APPLIES = "train, search, diagnose"
_OF_LAYERS = 0.7
"""How sure a finding on a layer is where the run does not learn and no reading names a cause."""


def report_on(run: Run, context: Context, name: str = "", when: str = "") -> Report:
    """The verdict on a run's readings.

    A symptom whose cause was found is not in it: readings are too coarse to tell it apart.

    Args:
        run: the run, finished or not.
        context: its hyperparameters and its loss's chance level.
        name: what to call it.
        when: what was seen of it, in words.

    Example:
        >>> from babysit.records import Reading, State
        >>> readings = tuple(Reading(e, e * 490, 2.3025 - 1e-5 * e, 0.19, 0.19, 1e-6) for e in range(1, 11))
        >>> run = Run(State.COMPLETE, readings, first_cost=2.302576)
        >>> print(report_on(run, Context(2.302585, 0.1, {"learning_rate": 1e-6}), "slow").headline)
        slow: not healthy: 1 warning
    """
    return report_of(diagnose(run, context), name, when)


def report_of(found: Sequence[Finding], name: str = "", when: str = "") -> Report:
    """Findings on a run as a report.

    Args:
        found: of the rules on readings, or of the live watch's on layers.
        name: what to call the run.
        when: what was seen of it, in words.
    """
    certainty = {rule.name: rule.certainty for rule in RULES}
    causes = ranked(Cause(finding, certainty.get(finding.rule, _OF_LAYERS)) for finding in found)
    names = {finding.rule for finding in found}
    told = [each for each in cards() if each.name in names]
    layers = live_rules.cards(names - certainty.keys())
    return Report(name, causes, when=when, rules=(*told, *layers))


def cards() -> tuple[RuleCard, ...]:
    """What the table says of every rule."""
    return tuple(card(rule, APPLIES, rule.severity) for rule in RULES)
